//! What stands between a machine and the network: NATs of each class, and firewalls.
//!
//! Classes are RFC 3489's, which measurements of DHTs still use; RFC 4787 names their two sides
//! apart (mapping and filtering). The gate of a machine sees only that machine's datagrams: it
//! changes where one that leaves seems to come from, and decides about one that arrives.
//!
//! A mapping lives as long as something leaves by it (RFC 4787, REQ-6: what arrives need not keep
//! it open). All NATs keep the machine's port, except symmetric ones, which have one for each
//! destination.

use alloc::collections::BTreeMap;
use core::net::SocketAddr;
use core::time::Duration;

use kadlet_core::Instant;

use crate::distribution::mix;
use crate::host::NodeIndex;

/// What stands before a machine.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum Nat {
    /// Nothing: everybody reaches it.
    Open,
    /// While anything of the machine's has left, everybody reaches it.
    FullCone,
    /// Lets in what comes from an IP address that the machine wrote to.
    AddressRestricted,
    /// Lets in what comes from an IP address and port that the machine wrote to.
    PortRestricted,
    /// The same, and the machine has another port for each destination: what one sees is of no use
    /// to another.
    Symmetric,
    /// Changes no address and lets in what the machine wrote to.
    Firewalled,
}

impl Nat {
    /// All classes, in the order of [`NatModel::shares`].
    pub const ALL: [Self; 6] = [
        Self::Open,
        Self::FullCone,
        Self::AddressRestricted,
        Self::PortRestricted,
        Self::Symmetric,
        Self::Firewalled,
    ];
}

/// Who sits behind what.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct NatModel {
    /// Of a million machines, by class in the order of [`Nat::ALL`]; the rest is open.
    pub shares: [u32; 6],
    /// The shortest time after which a mapping nobody uses is gone.
    pub shortest: Duration,
    /// The longest such time; a machine's is drawn evenly between the two.
    pub longest: Duration,
}

impl NatModel {
    /// Everybody reaches everybody.
    pub const NONE: Self =
        Self { shares: [1_000_000, 0, 0, 0, 0, 0], shortest: SHORTEST, longest: LONGEST };

    /// As measured in Mainline (Jimenez, Osmani and Knutsson 2009): a third is open, 31 % are
    /// behind port-restricted or symmetric NATs, 11 % behind firewalls; what is left is behind the
    /// two classes that are easier on others. How the 31 and the 25 % divide is not told there: two
    /// to one and one to one here.
    pub const MEASURED: Self = Self {
        shares: [330_000, 125_000, 125_000, 207_000, 103_000, 110_000],
        shortest: SHORTEST,
        longest: LONGEST,
    };

    /// What stands before a machine: follows from its number and the seed.
    #[must_use]
    pub fn class(&self, seed: u64, node: NodeIndex) -> Nat {
        let hash = mix(seed ^ mix(u64::from(node.0)) ^ CLASS);
        // The high half of the product: below a million.
        let mut left = ((u128::from(hash) * 1_000_000) >> 64) as u32;
        for (class, share) in Nat::ALL.into_iter().zip(self.shares) {
            if left < share {
                return class;
            }
            left -= share;
        }
        Nat::Open
    }

    /// The gate before a machine; none before an open one.
    pub(crate) fn gate(&self, seed: u64, node: NodeIndex) -> Option<Gate> {
        let class = self.class(seed, node);
        let span = self.longest.saturating_sub(self.shortest).as_micros();
        let hash = u128::from(mix(seed ^ mix(u64::from(node.0)) ^ LIFETIME));
        // The high half of the product: at most the span, which is some minutes.
        let more = Duration::from_micros(((hash * span) >> 64) as u64);
        (class != Nat::Open).then(|| Gate::new(class, self.shortest + more))
    }
}

const SHORTEST: Duration = Duration::from_secs(30);
const LONGEST: Duration = Duration::from_secs(180);

/// Keep what is drawn for one machine apart.
const CLASS: u64 = 0x6e61_745f_636c_6173;
const LIFETIME: u64 = 0x6e61_745f_7469_6d65;

/// The first port a symmetric NAT gives out: below it are those that mean something.
const FIRST_PORT: u16 = 1_024;

/// Mappings of one machine: household routers have a few thousand (RFC 7857 speaks of 16 bits of
/// ports for all inside). The one not used for longest gives way.
const MAX_MAPPINGS: usize = 4_096;

/// The gate before one machine.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Gate {
    class: Nat,
    /// How long a mapping lives that nobody uses.
    lifetime: Duration,
    /// By destination.
    mappings: BTreeMap<SocketAddr, Mapping>,
    /// The latest of all.
    used: Option<Instant>,
    next_port: u16,
    /// When mappings that are gone were last thrown away.
    swept: Instant,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
struct Mapping {
    used: Instant,
    /// As others see it.
    port: u16,
}

impl Gate {
    const fn new(class: Nat, lifetime: Duration) -> Self {
        Self {
            class,
            lifetime,
            mappings: BTreeMap::new(),
            used: None,
            next_port: FIRST_PORT,
            swept: Instant::EPOCH,
        }
    }

    /// Something leaves the machine, which is at `own`, for `remote`: where it seems to come from.
    pub(crate) fn leave(
        &mut self,
        now: Instant,
        own: SocketAddr,
        remote: SocketAddr,
    ) -> SocketAddr {
        self.used = Some(now);
        if self.class == Nat::FullCone {
            return own;
        }
        self.sweep(now);
        let lives = self.mappings.get(&remote).copied().filter(|it| self.lives(now, it.used));
        let port = match (lives, self.class) {
            (Some(mapping), _) => mapping.port,
            (None, Nat::Symmetric) => {
                let port = self.next_port;
                self.next_port = port.checked_add(1).unwrap_or(FIRST_PORT);
                port
            }
            (None, _) => own.port(),
        };
        self.mappings.insert(remote, Mapping { used: now, port });
        SocketAddr::new(own.ip(), port)
    }

    /// Whether something from `source` that was sent to `port` of the machine, which is at `own`,
    /// gets in.
    pub(crate) fn admits(
        &self,
        now: Instant,
        own: SocketAddr,
        port: u16,
        source: SocketAddr,
    ) -> bool {
        let open = |mapping: &Mapping| self.lives(now, mapping.used) && mapping.port == port;
        match self.class {
            Nat::Open => port == own.port(),
            Nat::FullCone => {
                port == own.port() && self.used.is_some_and(|used| self.lives(now, used))
            }
            Nat::AddressRestricted => {
                let (first, last) =
                    (SocketAddr::new(source.ip(), 0), SocketAddr::new(source.ip(), u16::MAX));
                self.mappings.range(first..=last).any(|(_, mapping)| open(mapping))
            }
            Nat::PortRestricted | Nat::Symmetric | Nat::Firewalled => {
                self.mappings.get(&source).is_some_and(open)
            }
        }
    }

    fn lives(&self, now: Instant, used: Instant) -> bool {
        now.since(used) < self.lifetime
    }

    /// Throws away what is gone, now and then, and more if there are too many.
    fn sweep(&mut self, now: Instant) {
        if now.since(self.swept) >= self.lifetime {
            self.swept = now;
            let lifetime = self.lifetime;
            self.mappings.retain(|_, mapping| now.since(mapping.used) < lifetime);
        }
        if self.mappings.len() >= MAX_MAPPINGS {
            let oldest = self.mappings.iter().min_by_key(|(_, mapping)| mapping.used);
            if let Some(remote) = oldest.map(|(remote, _)| *remote) {
                self.mappings.remove(&remote);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MINUTE: Duration = Duration::from_secs(60);

    fn at(text: &str) -> SocketAddr {
        text.parse().expect("a test address")
    }

    /// The shares that were measured come out, to a percent.
    #[test]
    fn machines_sit_behind_what_was_measured() {
        let mut counts = BTreeMap::new();
        for node in 0..20_000 {
            *counts.entry(NatModel::MEASURED.class(3, NodeIndex(node))).or_insert(0) += 1;
        }
        let share = |classes: &[Nat]| classes.iter().map(|it| counts[it]).sum::<u32>() / 200;
        assert!((32..=34).contains(&share(&[Nat::Open])));
        assert!((30..=32).contains(&share(&[Nat::PortRestricted, Nat::Symmetric])));
        assert!((10..=12).contains(&share(&[Nat::Firewalled])));
        let none = (0..1_000).filter(|node| NatModel::NONE.gate(3, NodeIndex(*node)).is_some());
        assert_eq!(none.count(), 0);
    }

    #[test]
    fn mappings_live_between_half_a_minute_and_three() {
        let lifetimes: Vec<Duration> = (0..20_000)
            .filter_map(|node| NatModel::MEASURED.gate(4, NodeIndex(node)))
            .map(|gate| gate.lifetime)
            .collect();
        let (least, most) = (lifetimes.iter().min(), lifetimes.iter().max());
        assert!(least.is_some_and(|it| (30..32).contains(&it.as_secs())), "{least:?}");
        assert!(most.is_some_and(|it| (178..180).contains(&it.as_secs())), "{most:?}");
    }

    /// Who gets in, after the machine wrote to one of them: by class, from the one written to, from
    /// another port of its address, from a stranger; and after the mapping is gone.
    #[test]
    fn each_class_lets_in_whom_it_should() {
        let (own, friend) = (at("10.0.0.1:4000"), at("10.0.0.2:4000"));
        let (other_port, stranger) = (at("10.0.0.2:4001"), at("10.0.0.3:4000"));
        for (class, expected) in [
            (Nat::Open, [true; 4]),
            (Nat::FullCone, [true, true, true, false]),
            (Nat::AddressRestricted, [true, true, false, false]),
            (Nat::PortRestricted, [true, false, false, false]),
            (Nat::Symmetric, [true, false, false, false]),
            (Nat::Firewalled, [true, false, false, false]),
        ] {
            let mut gate = Gate::new(class, MINUTE);
            let now = Instant::from_secs(100);
            if class != Nat::Open {
                assert!(!gate.admits(now, own, own.port(), friend), "{class:?}");
            }
            let seen = gate.leave(now, own, friend);
            let soon = now + MINUTE / 2;
            let admits = |when, source| gate.admits(when, own, seen.port(), source);
            let got = [
                admits(soon, friend),
                admits(soon, other_port),
                admits(soon, stranger),
                admits(now + MINUTE, friend),
            ];
            assert_eq!(got, expected, "{class:?}");
            assert_eq!(seen == own, class != Nat::Symmetric, "{class:?}");
        }
    }

    /// What one destination sees of a symmetric NAT is of no use to another, and of none to itself
    /// after the mapping is gone.
    #[test]
    fn a_symmetric_nat_has_a_port_for_each_destination() {
        let (own, one, two) = (at("10.0.0.1:4000"), at("10.0.0.2:4000"), at("10.0.0.3:4000"));
        let mut gate = Gate::new(Nat::Symmetric, MINUTE);
        let now = Instant::from_secs(100);
        let (first, second) = (gate.leave(now, own, one), gate.leave(now, own, two));
        assert_ne!(first, second);
        assert!(gate.admits(now, own, second.port(), two));
        assert!(!gate.admits(now, own, second.port(), one));
        assert_eq!(gate.leave(now + MINUTE / 2, own, one), first);
        let later = now + MINUTE * 2;
        assert_ne!(gate.leave(later, own, one), first);
        assert!(!gate.admits(later, own, first.port(), one));
    }

    #[test]
    fn traffic_from_inside_keeps_a_mapping_open() {
        let (own, friend) = (at("10.0.0.1:4000"), at("10.0.0.2:4000"));
        let mut gate = Gate::new(Nat::PortRestricted, MINUTE);
        for minutes in 0..10 {
            let now = Instant::from_secs(100) + MINUTE * minutes / 2;
            gate.leave(now, own, friend);
            assert!(gate.admits(now + MINUTE * 2 / 3, own, own.port(), friend));
        }
    }

    #[test]
    fn no_machine_has_more_mappings_than_a_router_holds() {
        let mut gate = Gate::new(Nat::PortRestricted, MINUTE);
        let own = at("10.0.0.1:4000");
        for port in 1..=u16::MAX {
            gate.leave(Instant::from_secs(1), own, SocketAddr::new(own.ip(), port));
        }
        assert_eq!(gate.mappings.len(), MAX_MAPPINGS);
    }
}
