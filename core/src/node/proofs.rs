//! Which addresses have shown that they receive our datagrams, and the cookies others gave us.
//!
//! A datagram's source address can be forged. Whoever answers a question of ours, or shows a cookie
//! we sent it, is where it says; everybody else gets at most three times what it sent, so that
//! nobody can use us to flood a third party.

use alloc::vec::Vec;
use core::net::SocketAddr;
use core::time::Duration;

use crate::sorted::Map;
use crate::time::Instant;

/// An address in 22 bytes, where [`SocketAddr`] takes 32: an idle node's largest collection is this
/// one. IPv4 is in the mapped form; addresses of one link are told from those of another.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
struct Address {
    ip: [u8; 16],
    port: u16,
    scope: [u8; 4],
}

impl From<&SocketAddr> for Address {
    fn from(addr: &SocketAddr) -> Self {
        let (ip, scope) = match addr {
            SocketAddr::V4(v4) => (v4.ip().to_ipv6_mapped(), 0),
            SocketAddr::V6(v6) => (*v6.ip(), v6.scope_id()),
        };
        Self { ip: ip.octets(), port: addr.port(), scope: scope.to_be_bytes() }
    }
}

/// What is known of one address.
#[derive(Clone, Copy, Default, Debug)]
struct Known {
    /// In whole seconds of the host's time.
    proven_until: u32,
    cookie: Option<[u8; 8]>,
}

/// A bounded memory of addresses.
#[derive(Clone, Debug)]
pub(super) struct Proofs {
    known: Map<Address, Known>,
    most: usize,
    lifetime: Duration,
    /// When those whose proof has run out are forgotten.
    sweep: Instant,
}

impl Proofs {
    pub(super) const fn new(most: usize, lifetime: Duration) -> Self {
        // At least one, or room could never be made.
        let most = if most == 0 { 1 } else { most };
        Self { known: Map::new(), most, lifetime, sweep: Instant::EPOCH }
    }

    /// `addr` answered us, or showed a cookie of ours.
    pub(super) fn prove(&mut self, now: Instant, addr: SocketAddr) {
        if self.sweep <= now {
            // Once in a lifetime: an idle node remembers whom it heard of lately, and nobody else.
            self.known.retain(|_, known| seconds(now) < known.proven_until);
            self.sweep = now + self.lifetime;
        }
        let addr = Address::from(&addr);
        if self.known.len() >= self.most && !self.known.contains_key(&addr) {
            self.make_room();
        }
        self.known.or_insert(addr, Known::default()).proven_until = seconds(now + self.lifetime);
    }

    pub(super) fn is_proven(&self, now: Instant, addr: &SocketAddr) -> bool {
        self.known.get(&addr.into()).is_some_and(|known| seconds(now) < known.proven_until)
    }

    /// `addr`, which answered us, gave us this cookie to show with the next question.
    pub(super) fn keep_cookie(&mut self, addr: &SocketAddr, cookie: [u8; 8]) {
        if let Some(known) = self.known.get_mut(&addr.into()) {
            known.cookie = Some(cookie);
        }
    }

    pub(super) fn cookie(&self, addr: &SocketAddr) -> Option<[u8; 8]> {
        self.known.get(&addr.into()).and_then(|known| known.cookie)
    }

    /// Forgets the eighth that was heard of longest ago: rarely, so that the scan costs little for
    /// each address.
    fn make_room(&mut self) {
        let ends: Vec<_> = self.known.values().map(|it| it.proven_until).collect();
        let cut = nth(&ends, self.most / 8);
        let mut spare = self.most - self.most / 8;
        self.known.retain(|_, known| {
            let until = known.proven_until;
            let keep = until > cut || (until == cut && spare > self.most / 2);
            if keep {
                spare = spare.saturating_sub(1);
            }
            keep
        });
        // Everything heard of in one instant: order is by address, and any half will do.
        while self.known.len() >= self.most {
            self.known.pop_first();
        }
    }
}

/// What would come `n`th (from 0) if these were sorted: halved down to, bit by bit. The last if
/// there are fewer.
fn nth(numbers: &[u32], n: usize) -> u32 {
    let (mut low, mut high) = (0, u32::MAX);
    while low < high {
        let middle = low + (high - low) / 2;
        if numbers.iter().filter(|number| **number <= middle).count() > n {
            high = middle;
        } else {
            low = middle + 1;
        }
    }
    low
}

/// Whole seconds: a proof need not be known to run out more exactly than that. What lies beyond 136
/// years saturates.
fn seconds(at: Instant) -> u32 {
    u32::try_from(at.as_micros() / 1_000_000).unwrap_or(u32::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;
    use core::net::Ipv4Addr;

    fn addr(n: u32) -> SocketAddr {
        SocketAddr::from((Ipv4Addr::from(0x0a00_0000 + n), 1))
    }

    #[test]
    fn a_proof_lasts_its_time() {
        let mut proofs = Proofs::new(10, Duration::from_secs(60));
        proofs.prove(Instant::EPOCH, addr(1));
        assert!(proofs.is_proven(Instant::from_secs(59), &addr(1)));
        assert!(!proofs.is_proven(Instant::from_secs(60), &addr(1)));
        assert!(!proofs.is_proven(Instant::EPOCH, &addr(2)));
    }

    /// An idle node does not keep everybody it ever heard of.
    #[test]
    fn what_has_run_out_is_forgotten() {
        let mut proofs = Proofs::new(1_000, Duration::from_secs(600));
        for n in 0..900 {
            proofs.prove(Instant::from_secs(u64::from(n) * 10), addr(n));
            assert!(proofs.known.len() <= 120, "those of the last two lifetimes");
        }
    }

    #[test]
    fn memory_is_bounded_and_the_oldest_go_first() {
        let mut proofs = Proofs::new(64, Duration::from_secs(3600));
        for n in 0..1000 {
            proofs.prove(Instant::from_secs(u64::from(n)), addr(n));
            assert!(proofs.known.len() <= 64);
            assert!(proofs.is_proven(Instant::from_secs(u64::from(n)), &addr(n)));
        }
        assert!(proofs.is_proven(Instant::from_secs(1000), &addr(960)));
        assert!(!proofs.is_proven(Instant::from_secs(1000), &addr(10)));
        for n in 0..1000 {
            proofs.prove(Instant::from_secs(2000), addr(n));
            assert!(proofs.known.len() <= 64);
        }
    }
}
