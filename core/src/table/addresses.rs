//! Which addresses the table holds: one id each, and not too many of one prefix.
//!
//! Asked for every newcomer, so it must not cost a walk through the table: a sorted vector of 64-bit
//! keys, in which the addresses of one prefix are neighbours. Keys of IPv6 addresses may coincide; the
//! table looks twice before it refuses anybody.

use alloc::vec::Vec;

use crate::bucket::{AddressKey, Packed};

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
