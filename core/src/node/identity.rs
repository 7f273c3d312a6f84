//! Ids that follow from addresses (BEP 42): whose count, and which one is ours.

use core::net::SocketAddr;

use super::Node;
use crate::id::Id;

#[cfg(feature = "mainline")]
use {
    crate::config::AddressIds,
    crate::contact::{Contact, Family},
    crate::table::Admission,
    crate::time::Instant,
    crate::wire::mainline::bep42,
};

#[cfg(feature = "mainline")]
impl Node {
    /// Whether a node with this id at this address counts: in lookups, in the table, for tokens.
    pub(super) fn counts(&self, id: Id, addr: SocketAddr) -> bool {
        self.config.address_ids != AddressIds::Enforce || bep42::is_valid(id, addr.ip())
    }

    /// A contact answered, and its bucket was full: where ids that follow from addresses are
    /// preferred, one without gives way to it.
    pub(super) fn prefer(&mut self, now: Instant, contact: Contact, admission: Admission) -> bool {
        let is_better = self.config.address_ids != AddressIds::Ignore
            && matches!(admission, Admission::Replacement)
            && !bep42::is_exempt(contact.addr().ip())
            && bep42::is_valid(contact.id, contact.addr().ip());
        let table = self.table_mut(contact.path.family());
        is_better && table.displace(now, contact.id, |id, ip| !bep42::is_valid(id, ip))
    }

    /// Several nodes agree that this is our address: our id there follows from it.
    pub(super) fn take_id_for(&mut self, now: Instant, address: SocketAddr) {
        let (family, ip) = (Family::of(&address), address.ip());
        if self.config.address_ids == AddressIds::Ignore || bep42::is_valid(self.own_id(family), ip)
        {
            return;
        }
        let own = bep42::id_for(Id::random(&mut self.rng), ip);
        let [v4, v6] = &mut self.ids;
        match family {
            Family::V4 => *v4 = own,
            Family::V6 => *v6 = own,
        }
        self.table_mut(family).set_own(now, own);
        if family == Family::V4 {
            self.store.set_own(own);
        }
        // Others meet us as a new node, the new neighbours first.
        self.refresh(now, own);
    }
}

#[cfg(not(feature = "mainline"))]
impl Node {
    /// Every id counts: that ids follow from addresses is Mainline's rule.
    #[expect(clippy::unused_self, reason = "as with the feature")]
    pub(super) const fn counts(&self, _: Id, _: SocketAddr) -> bool {
        true
    }
}
