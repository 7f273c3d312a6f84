//! Settings that many nodes have in common.

use alloc::sync::Arc;
use core::fmt;
use core::ops::{Deref, DerefMut};

/// Settings that are copied when they are changed, not when one more node gets them: a hundred
/// thousand nodes of one process keep them once.
///
/// Read and written like what is in it.
///
/// ```
/// use kadlet_core::Config;
///
/// let usual = Config::default();
/// let mut other = usual.clone();
/// other.table.k = 8;
/// assert_eq!((usual.table.k, other.table.k), (20, 8));
/// ```
#[derive(PartialEq, Eq)]
pub struct Shared<T>(Arc<T>);

impl<T: Clone + PartialEq> Shared<T> {
    /// The same with what `change` makes of them; still shared if that is no change.
    pub(crate) fn corrected(self, change: impl FnOnce(&mut T)) -> Self {
        let mut corrected = (*self.0).clone();
        change(&mut corrected);
        if corrected == *self.0 { self } else { corrected.into() }
    }
}

impl<T> From<T> for Shared<T> {
    fn from(settings: T) -> Self {
        Self(Arc::new(settings))
    }
}

impl<T: Default> Default for Shared<T> {
    fn default() -> Self {
        T::default().into()
    }
}

impl<T> Clone for Shared<T> {
    fn clone(&self) -> Self {
        Self(Arc::clone(&self.0))
    }
}

impl<T: fmt::Debug> fmt::Debug for Shared<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl<T> Deref for Shared<T> {
    type Target = T;

    fn deref(&self) -> &T {
        &self.0
    }
}

impl<T: Clone> DerefMut for Shared<T> {
    fn deref_mut(&mut self) -> &mut T {
        Arc::make_mut(&mut self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_corrected_to_itself_stays_shared() {
        let usual = Shared::from(7);
        let same = usual.clone().corrected(|number| *number = 7);
        let other = usual.clone().corrected(|number| *number = 8);
        assert!(Arc::ptr_eq(&usual.0, &same.0));
        assert_eq!((*usual, *other), (7, 8));
    }
}
