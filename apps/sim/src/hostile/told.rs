//! What the members of an attacker have told whom: a question does not say under which id its asker
//! knows the asked, so a member has to know under which it was named.

use alloc::collections::VecDeque;
use alloc::collections::btree_map::{BTreeMap, Entry};
use core::net::SocketAddr;

use kadlet_core::Id;

/// Lookups remembered: more than ever run at the same time.
const LOOKUPS: usize = 4_096;

/// A lookup as its victims' questions show it: who asks about what.
type Lookup = (SocketAddr, Id);

/// What one lookup was told.
#[derive(Default, Debug)]
struct Story {
    /// Under which id a member answers: forged if it was named under it, its own if it was asked
    /// before.
    names: BTreeMap<SocketAddr, Id>,
    /// How far in the list of members it is.
    next: usize,
}

/// The stories told lately.
#[derive(Default, Debug)]
pub(super) struct Told {
    stories: BTreeMap<Lookup, Story>,
    order: VecDeque<Lookup>,
}

impl Told {
    /// The id under which the member at `address` answers this lookup; from now on always that.
    pub(super) fn name(&mut self, lookup: Lookup, address: SocketAddr, own: Id) -> Id {
        *self.story(lookup).names.entry(address).or_insert(own)
    }

    /// Up to `count` members that this lookup has not heard of, each under the id that `forge`
    /// makes up for it.
    pub(super) fn tell(
        &mut self,
        lookup: Lookup,
        members: &[super::Member],
        count: usize,
        mut forge: impl FnMut() -> Id,
    ) -> Vec<super::Member> {
        let story = self.story(lookup);
        let mut told = Vec::with_capacity(count);
        while told.len() < count {
            let Some(member) = members.get(story.next) else { break };
            story.next += 1;
            if let Entry::Vacant(name) = story.names.entry(member.address) {
                let id = *name.insert(forge());
                told.push(super::Member { id, address: member.address });
            }
        }
        told
    }

    /// How many members this lookup has heard of.
    pub(super) fn count(&mut self, lookup: Lookup) -> usize {
        self.story(lookup).names.len()
    }

    fn story(&mut self, lookup: Lookup) -> &mut Story {
        if !self.stories.contains_key(&lookup) {
            if self.order.len() >= LOOKUPS
                && let Some(oldest) = self.order.pop_front()
            {
                self.stories.remove(&oldest);
            }
            self.order.push_back(lookup);
        }
        self.stories.entry(lookup).or_default()
    }
}
