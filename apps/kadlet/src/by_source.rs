//! How many of something each source has: places are few, and taking one costs nothing.

use alloc::collections::BTreeMap;
use alloc::sync::Arc;
use core::net::IpAddr;
use std::sync::{Mutex, PoisonError};

use kadlet_core::{Prefix, Scope};

/// Counts by prefix: an IPv4 /24 or an IPv6 /48, as the network itself counts its peers.
#[derive(Clone, Default, Debug)]
pub(crate) struct BySource(Arc<Mutex<BTreeMap<Prefix, usize>>>);

/// One that is counted until this is dropped; not counted at all where it is none of a source's.
#[derive(Default, Debug)]
pub(crate) struct Counted(Option<(BySource, Prefix)>);

impl BySource {
    /// Counts one more of the source of this address, if it has fewer than so many.
    pub(crate) fn enter(&self, ip: IpAddr, most: usize) -> Option<Counted> {
        let prefix = Prefix::of(ip.to_canonical());
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let count = all.entry(prefix).or_default();
        if *count >= most {
            return None;
        }
        *count += 1;
        Some(Counted(Some((self.clone(), prefix))))
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        let Some((BySource(all), prefix)) = self.0.take() else { return };
        let mut all = all.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(count) = all.get_mut(&prefix) {
            *count -= 1;
            if *count == 0 {
                all.remove(&prefix);
            }
        }
    }
}

/// Loopback and private networks, where one prefix is everybody.
pub(crate) fn is_local(ip: IpAddr) -> bool {
    matches!(Scope::of(ip.to_canonical()), Some(Scope::Loopback | Scope::Private))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_source_has_so_many_at_once() {
        let sources = BySource::default();
        let enter = |ip: &str| sources.enter(ip.parse().expect("an address"), 3);
        let mut held: Vec<_> = (0..9).filter_map(|_| enter("8.8.8.8")).collect();
        assert_eq!(held.len(), 3);
        assert!(enter("8.8.8.9").is_none() && enter("::ffff:8.8.8.9").is_none());
        assert!(enter("8.8.9.8").is_some(), "another source");
        held.pop();
        held.extend(enter("8.8.8.9"));
        assert!(held.len() == 3 && enter("8.8.8.8").is_none());
        drop(held);
        assert!(sources.0.lock().expect("not poisoned").is_empty());
    }
}
