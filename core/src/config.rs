//! Every number of the protocol, with its unit, its reason and its default.

// ---- routing table ----------------------------------------------------------------------------

// ---- lookup -----------------------------------------------------------------------------------

/// One iterative lookup ([`Lookup`](crate::Lookup)).
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct LookupConfig {
    /// k: how many contacts a lookup looks for, per address family and path. 20 as in the paper:
    /// that all twenty leave within an hour is improbable. At least 1.
    pub k: usize,
    /// α: questions in flight per path, as long as answers bring closer contacts. 3 as in the paper;
    /// silent contacts give their slot back early, so more buys little time. At least 1.
    pub alpha: usize,
    /// d: disjoint paths (S/Kademlia, section 4.4), 1 to 16. Traffic grows linearly with it. 1, which
    /// is the plain lookup of the Kademlia paper.
    pub paths: usize,
    /// Contacts heard of and not yet asked, per path and address family; the farthest gives way. 128:
    /// six full answers, of which a lookup follows up the best few. At least `k` times
    /// `addresses_per_id`, so that none of the k closest is ever dropped.
    pub candidates: usize,
    /// Addresses of one id that wait to be asked. 3: hearsay may give an id a false address or two,
    /// and the true one must find room; more would let one id fill the list.
    pub addresses_per_id: usize,
    /// Questions one path may ask in all. 400: five times a lookup of 20 with half of the contacts
    /// dead; a swarm that names ever closer contacts which do not exist gets no more.
    pub questions: usize,
    /// Contacts beyond the k closest that a widened lookup asks, per family and path. 80, four times
    /// k: a region under a denser attack is cut off here.
    pub region: usize,
    /// Contacts of one [`Prefix`](crate::Prefix) that one lookup follows; 0 for no limit. 4: who holds
    /// one block of addresses does not fill the k closest, but neighbours in one network remain.
    pub per_prefix: usize,
    /// Whether `per_prefix` spares loopback and private addresses, where one prefix is the whole
    /// network. True.
    pub spare_local: bool,
}

impl Default for LookupConfig {
    fn default() -> Self {
        Self {
            k: 20,
            alpha: 3,
            paths: 1,
            candidates: 128,
            addresses_per_id: 3,
            questions: 400,
            region: 80,
            per_prefix: 4,
            spare_local: true,
        }
    }
}

// ---- requests ---------------------------------------------------------------------------------

// ---- tokens and limits ------------------------------------------------------------------------

// ---- store ------------------------------------------------------------------------------------

// ---- content ----------------------------------------------------------------------------------

// ---- node -------------------------------------------------------------------------------------
