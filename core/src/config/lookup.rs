//! The numbers of lookups, and of what they say about the size of the network.

/// One iterative lookup ([`Lookup`](crate::Lookup)).
#[derive(Clone, PartialEq, Debug)]
#[non_exhaustive]
pub struct LookupConfig {
    /// k: how many contacts a lookup looks for, per address family and path. 20 as in the paper:
    /// that all twenty leave within an hour is improbable. At least 1. An answer names at most 20 of
    /// a family, so that of more a lookup may miss some.
    pub k: usize,
    /// α: questions in flight per path, as long as answers bring closer contacts. 4: a tenth faster
    /// under churn than the paper's 3, for a tenth more questions; silent contacts give their slot
    /// back early, so more buys little time. At least 1.
    pub alpha: usize,
    /// d: disjoint paths (S/Kademlia, section 4.4), 1 to 16. Traffic grows linearly with it. 1, which
    /// is the plain lookup of the Kademlia paper.
    pub paths: usize,
    /// Contacts heard of and not yet asked, per path and address family; the farthest gives way. 128:
    /// six full answers, of which a lookup follows up the best few. At least `k` times
    /// `addresses_per_id`, so that none of the k closest is ever dropped.
    pub candidates: usize,
    /// Addresses of one id that wait to be asked, per path. 3: hearsay may give an id a false address
    /// or two, and the true one must find room; more would let one id fill the list.
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
    /// Contacts that may be silent, or somebody else, of those that somebody names in one lookup and of
    /// which none answered; then whom such ones alone name is asked last. 0: nobody is judged by whom
    /// it names, and contacts that somebody invents can hold a lookup up until its deadline. 4: an
    /// honest answer whose first four contacts are dead is rare, and each that answers makes up for
    /// three.
    pub credit: u32,
    /// Where more than one in eight of the k closest is silent or failed: so many of those that answered,
    /// fewer where less than half is dead, are asked besides about each subtree of which the dead have
    /// crowded somebody out of the answers, and half as many again once the lookup is over; 0 for none.
    /// 16: with half of all contacts dead 599 of 600 lookups end with exactly the k closest, 587 with
    /// 8, and 349 without. Mainline: 8, as answers there have eight places, and more help no more.
    pub beside: usize,
}

impl Default for LookupConfig {
    fn default() -> Self {
        Self {
            k: 20,
            alpha: 4,
            paths: 1,
            candidates: 128,
            addresses_per_id: 3,
            questions: 400,
            region: 80,
            per_prefix: 4,
            spare_local: true,
            credit: 4,
            beside: 16,
        }
    }
}

/// The network-size estimate ([`Estimate`](crate::Estimate)).
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct EstimateConfig {
    /// Lookups whose density is remembered; the estimate is their median. 32: the median of samples
    /// that scatter by 23 % (k = 20) scatters by 5 %, and an attacker must sit at 16 random targets.
    pub samples: usize,
    /// Lookups before there is an estimate. 3, of which one that somebody crowds is outvoted: a join
    /// alone makes as many in a network of a hundred, and who joined just now is to store under
    /// protection too.
    pub enough: usize,
    /// Contacts a lookup must have found to be a sample. 5: fewer scatter by more than half.
    pub closest: usize,
}

impl Default for EstimateConfig {
    fn default() -> Self {
        Self { samples: 32, enough: 3, closest: 5 }
    }
}
