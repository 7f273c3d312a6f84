//! Which addresses the table holds: one id each, and not too many of one prefix.
//!
//! Asked for every newcomer, so it must not cost a walk through the table: a sorted vector of 64-bit
//! keys, in which the addresses of one prefix are neighbours. Keys of IPv6 addresses may coincide; the
//! table looks twice before it refuses anybody.

use alloc::vec::Vec;

use crate::bucket::{AddressKey, Packed};

/// The keys of all contacts' addresses, sorted.
#[derive(Clone, Default, Debug)]
pub(crate) struct Addresses(Vec<u64>);

impl Addresses {
    pub(crate) const fn len(&self) -> usize {
        self.0.len()
    }

    pub(crate) fn insert(&mut self, contact: &Packed) {
        let AddressKey { key, .. } = contact.address_key();
        let at = self.0.partition_point(|other| *other < key);
        if self.0.len() == self.0.capacity() {
            self.0.reserve_exact(16);
        }
        self.0.insert(at, key);
    }

    pub(crate) fn remove(&mut self, contact: &Packed) {
        if let Ok(at) = self.0.binary_search(&contact.address_key().key) {
            self.0.remove(at);
        }
    }

    /// Whether the address may be there, and how many of its prefix may be, at most.
    #[inline]
    pub(crate) fn around(&self, contact: &Packed) -> (bool, usize) {
        let AddressKey { key, prefix_shift } = contact.address_key();
        let prefix = key >> prefix_shift;
        let first = self.0.partition_point(|other| *other < prefix << prefix_shift);
        let rest = self.0.get(first..).unwrap_or_default();
        if rest.first().is_none_or(|other| other >> prefix_shift != prefix) {
            return (false, 0);
        }
        let run = rest.partition_point(|other| other >> prefix_shift == prefix);
        let same = rest.get(..run).is_some_and(|run| run.binary_search(&key).is_ok());
        (same, run)
    }
}
