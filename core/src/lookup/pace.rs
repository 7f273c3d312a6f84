//! How many contacts are asked at once: so many that as many answers are expected as α or k say.
//!
//! Who does not answer holds a lookup up for as long as it takes to tell him from a slow one. Asked one
//! after the other, as each gives its slot back, a row of dead contacts costs a timeout each; asked
//! together they cost one. So a lookup counts who answered it and who is silent, and divides by the
//! share of those who answer. Where all live that share is one, and nobody is asked in vain. Liars who
//! name silent contacts gain no more than the factor 1000 / [`LEAST_LIVING`], within
//! [`LookupConfig::questions`](crate::config::LookupConfig::questions).

use super::{Lookup, Progression};

/// What a contact that answered counts towards the k closest; one that was asked counts for the share
/// of contacts that answer.
pub(super) const WHOLE: usize = 1_000;

/// Contacts that nobody asked and that count nevertheless, living and dead as before this lookup: the
/// first silent one is not to be taken for all. 8: what twice α contacts of this lookup did weighs as
/// much as what was presumed.
const PRESUMED: usize = 8;

/// However many are silent, this much of [`WHOLE`] is expected to answer.
const LEAST_LIVING: usize = 400;

/// With less than this of [`WHOLE`] answering, the dead crowd out the living.
const HELD_UP: usize = 750;

/// How many answers so much comes to, rounded: for less than half of one nobody is asked.
pub(super) const fn answers(expected: usize) -> usize {
    (expected + WHOLE / 2) / WHOLE
}

impl Lookup {
    /// So many of a thousand contacts were dead of late, for as long as this lookup has asked few of its
    /// own.
    pub(crate) fn presume_dead(&mut self, permille: u32) {
        self.presumed_dead = (permille as usize).min(WHOLE);
    }

    /// Whether whoever is waited for is overdue, or a good part of all were: what the dead have crowded
    /// out of the answers can be looked for meanwhile.
    pub(crate) fn is_held_up(&self) -> bool {
        self.living() < HELD_UP || self.paths.iter().all(|path| path.busy == 0)
    }

    /// How many questions a path may have in flight.
    pub(super) fn slots(&self, path: &Progression) -> usize {
        let alpha = self.config.alpha;
        let answers = if path.barren < alpha {
            alpha
        } else {
            self.config.k.saturating_mul(self.families.iter().count()).max(alpha)
        };
        answers.saturating_mul(WHOLE) / self.living()
    }

    /// How many of [`WHOLE`] contacts answer; never 0.
    pub(super) fn living(&self) -> usize {
        let (answered, overdue) = (self.progress.answered as usize, self.overdue as usize);
        let presumed = PRESUMED * WHOLE.saturating_sub(self.presumed_dead);
        let living = answered.saturating_mul(WHOLE).saturating_add(presumed);
        (living / (answered.saturating_add(overdue) + PRESUMED)).max(LEAST_LIVING)
    }
}
