//! Which addresses the table holds: one id each, and not too many of one prefix.
//!
//! Asked for every newcomer, so it must not cost a walk through the table: a sorted vector of
//! 64-bit keys, in which the addresses of one prefix are neighbours. Keys of IPv6 addresses may
//! coincide; the table looks twice before it refuses anybody.

use alloc::vec::Vec;
use core::net::IpAddr;

use super::{Refusal, RoutingTable};
use crate::bucket::{AddressKey, Packed};
use crate::contact::Scope;

/// What there may be of an address.
#[derive(Clone, Copy)]
pub(crate) struct Around {
    /// Whether somebody may have it.
    pub(crate) same: bool,
    /// How many may have one of its prefix, at most.
    pub(crate) kin: usize,
}

/// The keys of all contacts' addresses, sorted.
#[derive(Clone, Default, Debug)]
pub(crate) struct Addresses(Vec<u64>);

impl Addresses {
    pub(crate) const fn len(&self) -> usize {
        self.0.len()
    }

    /// Bytes in use on the heap.
    #[cfg(test)]
    pub(crate) const fn heap(&self) -> usize {
        self.0.capacity() * size_of::<u64>()
    }

    pub(crate) fn insert(&mut self, contact: &Packed) {
        let AddressKey { key, .. } = contact.address_key();
        let at = self.0.partition_point(|other| *other < key);
        if self.0.len() == self.0.capacity() {
            self.0.reserve_exact(8);
        }
        self.0.insert(at, key);
    }

    pub(crate) fn remove(&mut self, contact: &Packed) {
        if let Ok(at) = self.0.binary_search(&contact.address_key().key) {
            self.0.remove(at);
        }
    }

    /// Looks for an address and its prefix.
    #[inline]
    pub(crate) fn around(&self, contact: &Packed) -> Around {
        let AddressKey { key, prefix_shift } = contact.address_key();
        let prefix = key >> prefix_shift;
        let first = self.0.partition_point(|other| *other < prefix << prefix_shift);
        let rest = self.0.get(first..).unwrap_or_default();
        if rest.first().is_none_or(|other| other >> prefix_shift != prefix) {
            return Around { same: false, kin: 0 };
        }
        let kin = rest.partition_point(|other| other >> prefix_shift == prefix);
        let same = rest.get(..kin).is_some_and(|run| run.binary_search(&key).is_ok());
        Around { same, kin }
    }
}

impl RoutingTable {
    /// Who has this address.
    pub(super) fn holder(&self, contact: &Packed) -> Option<(usize, usize)> {
        if self.addresses.around(contact).same { self.find_holder(contact) } else { None }
    }

    pub(super) fn find_holder(&self, contact: &Packed) -> Option<(usize, usize)> {
        self.buckets.iter().enumerate().find_map(|(at, bucket)| {
            let position = bucket.contacts.iter().position(|other| other.same_path(contact))?;
            Some((at, position))
        })
    }

    /// Whether as many of its prefix as allowed are in the bucket or the table.
    pub(super) fn is_crowded(&self, at: usize, contact: &Packed) -> bool {
        self.is_limited(contact.ip())
            && self.crowded(at, contact, self.addresses.around(contact).kin).is_some()
    }

    /// Where as many of its prefix as allowed are, given that at most `kin` are in the table.
    pub(super) fn crowded(&self, at: usize, contact: &Packed, kin: usize) -> Option<Refusal> {
        let (in_bucket, in_table) =
            (self.config.per_prefix_in_bucket, self.config.per_prefix_in_table);
        if kin < in_bucket.min(in_table) {
            return None;
        }
        let prefix = contact.prefix();
        if self.buckets[at].count_prefix(prefix) >= in_bucket {
            return Some(Refusal::PrefixInBucket);
        }
        let count = || self.buckets.iter().map(|bucket| bucket.count_prefix(prefix)).sum::<usize>();
        (kin >= in_table && count() >= in_table).then_some(Refusal::PrefixInTable)
    }

    /// The same for a full bucket, whose replacements count as well.
    pub(super) fn is_crowded_with_waiting(&self, at: usize, contact: &Packed, kin: usize) -> bool {
        let bucket = &self.buckets[at];
        let prefix = contact.prefix();
        let waiting = bucket.replacements.iter().filter(|other| other.prefix() == prefix).count();
        let inside = if kin > 0 { bucket.count_prefix(prefix) } else { 0 };
        waiting + inside >= self.config.per_prefix_in_bucket
    }

    /// Whether the diversity of addresses is asked of this one.
    pub(super) fn is_limited(&self, ip: IpAddr) -> bool {
        self.limits(Scope::of(ip))
    }

    /// The same, of an address of that scope.
    pub(super) fn limits(&self, scope: Option<Scope>) -> bool {
        self.config.limit_private || scope == Some(Scope::Public)
    }
}
