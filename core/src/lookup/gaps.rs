//! Whom a lookup may have missed: an answer names k contacts, and a dead one among them has the
//! place of somebody alive.
//!
//! Where nobody near the target failed, the k closest have named each other. Where some did, whoever
//! lies between the k-th contact of all and the k-th of the living may have been in nobody's answer,
//! although many know it. All that lies there is in a few subtrees beside the target, and is asked
//! for by the same question about the target with one bit flipped: its order of distances is ours.

use alloc::vec::Vec;

use super::candidates::State;
use super::pace::{WHOLE, answers};
use super::{Lookup, Phase};
use crate::contact::{Contact, Family};
use crate::id::Id;
use crate::sort::sort_by_key;

/// Subtrees asked about at most, the largest first. Each holds half as many nodes as the one before,
/// so that with seven of eight dead there are four; whoever makes up dead contacts next to the target
/// gets no more.
const SUBTREES: u32 = 4;

impl Lookup {
    /// The points beside the target that are to be asked about, of a family: one for each subtree
    /// that may hold contacts nobody had room for. None, where none of the k closest failed.
    ///
    /// And how many to ask about each: `most` where half of the contacts are dead, fewer where fewer
    /// are, for an answer leaves out as many living ones as it names dead ones.
    pub(crate) fn gaps(&self, family: Family, most: usize) -> impl Iterator<Item = (Id, usize)> {
        // Who was asked and is not overdue counts for the share of contacts that answer.
        let (mut all, mut living, asked) = (0, 0, self.living());
        // How many bits the k-th of all has in common with the target, and the k-th of the living.
        let (mut inner, mut outer) = (0, 0);
        let seen = |entry: &&super::candidates::Candidate| {
            entry.family() == family && entry.state != State::Heard
        };
        for entry in self.candidates.iter().filter(seen) {
            all += 1;
            living += match entry.state {
                State::Answered(_) => WHOLE,
                State::Asked(_) => asked,
                State::Heard | State::Slow(_) | State::Silent(_) | State::Out => 0,
            };
            outer = entry.distance.leading_zeros();
            if all <= self.config.k {
                inner = outer;
            }
            if answers(living) >= self.config.k {
                break;
            }
        }
        // With fewer than k in all there was room for everybody. And where hardly anybody is dead,
        // nobody is missing, while the lookup would take one more round trip. With a fifth of the nodes
        // just dead 84 of 4,000 lookups missed somebody while it began with a quarter of the k, and 1
        // with an eighth.
        let dead = all - answers(living).min(all);
        let is_crowded = all >= self.config.k && 8 * dead > self.config.k;
        let levels = if is_crowded { SUBTREES } else { 0 };
        let levels = (outer..=inner).take(levels as usize);
        let count = (2 * most * dead).div_ceil(all.max(1)).min(most);
        levels.map(move |level| (self.target.with_flipped(level), count))
    }

    /// Of those that answered, the ones closest to another point.
    pub(crate) fn closest_to(&self, point: Id, family: Family, count: usize) -> Vec<Contact> {
        let answered = self.closest().map(|found| found.contact);
        let mut found: Vec<_> =
            answered.filter(|contact| contact.path.family() == family).collect();
        sort_by_key(&mut found, |contact| contact.id.distance(point));
        found.truncate(count);
        found
    }

    /// A lookup that was done goes on, with what has been heard since.
    pub(crate) fn resume(&mut self) {
        if self.state == Phase::Done {
            self.state = Phase::Running;
        }
    }
}
