//! Hostile nodes: machines that know our source and settings, and each other.
//!
//! A hostile machine is a real node with somebody else at its ear. The node joins, fills its table,
//! pings and is pinged, so that others take it in like any good one; questions that matter are
//! answered by its [`Conspiracy`] instead, as the [`Strategy`] says. All members share what they
//! know at once, which is more than a real attacker could (it has the network's delays too): the
//! figures err to the attacker's side. It also makes what they say depend on the order of questions
//! everywhere: a network with an attacker is run by one thread, event by event (`network/run.rs`).
//!
//! What the native wire lets an attacker do, it does: ids are free, so a member may be named and
//! answer under an id that was made up for one lookup; what it may not do is answer at an address
//! that is not its own, or under two ids at one address in the same lookup.

mod answer;
mod ground;
mod told;

use alloc::collections::BTreeSet;
use alloc::sync::Arc;
use core::net::{IpAddr, Ipv4Addr, SocketAddr};
use core::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

use kadlet_core::wire::native::Native;
use kadlet_core::{Config, Id, Rng};

pub use ground::ids_beside;
use told::Told;

/// What hostile nodes do with questions.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
#[non_exhaustive]
pub enum Strategy {
    /// Answers pings and find_node as a good node does, so that tables keep it. Whoever looks for a
    /// record, to read or to store it, meets silence and waits for its timeout.
    Silent,
    /// Answers every find with fellows: those closest to the target by their real ids. Acknowledges
    /// stores and forgets them. S/Kademlia's attacker.
    ClosestLies,
    /// The same, but names fellows under ids made up for this lookup, right next to the target, and
    /// they answer under those.
    ForgedLies,
    /// Forged ids again, but no closer to the target than an honest neighbourhood would be: what
    /// looks for a crowd next to the target sees none.
    PlausibleLies,
    /// Names, next to whatever is looked for, contacts that are none: addresses where nobody is, a
    /// victim's, good nodes under ids that are not theirs, machines of the asker's own network. As
    /// providers it names the victim. Acknowledges stores and forgets them.
    Poison,
    /// Names the good nodes next to whatever is looked for, by their true ids, each at an address where
    /// nobody is. Acknowledges stores and forgets them.
    Misplaced,
    /// Honest until the store: names whom a good node names, acknowledges what it is to keep, and
    /// has nothing when asked.
    Forgetful,
}

impl Strategy {
    /// All of them, in the order in which they are reported.
    pub const ALL: [Self; 7] = [
        Self::Silent,
        Self::ClosestLies,
        Self::ForgedLies,
        Self::PlausibleLies,
        Self::Poison,
        Self::Misplaced,
        Self::Forgetful,
    ];

    /// Its name in reports and scenario files.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Silent => "silent",
            Self::ClosestLies => "closest-lies",
            Self::ForgedLies => "forged-lies",
            Self::PlausibleLies => "plausible-lies",
            Self::Poison => "poison",
            Self::Misplaced => "misplaced",
            Self::Forgetful => "forgetful",
        }
    }
}

/// Whom [`Strategy::Poison`] has others write to: nobody of the network, in nobody's plan.
pub const VICTIM: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::new(170, 0, 0, 1)), 4_000);

/// Which addresses an attacker has.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Addresses {
    /// Every member in a prefix of its own, like everybody else.
    Spread,
    /// So many /24 prefixes for all of them together.
    Prefixes(u32),
}

impl Addresses {
    /// The address of an attacker's `number`-th member; none where the network's plan gives one.
    #[must_use]
    pub fn of(self, number: u32) -> Option<SocketAddr> {
        /// Machines in one prefix; more of them share an address, on other ports.
        const HOSTS: u32 = 250;
        let Self::Prefixes(count) = self else { return None };
        let (prefix, host) = (number % count.max(1), number / count.max(1));
        // 150.0.0.0/8 is in nobody's plan.
        let ip = Ipv4Addr::from_bits((150 << 24) + (prefix << 8) + 1 + host % HOSTS);
        // A million members at most, as scenarios have them: far below the ports there are.
        Some(SocketAddr::new(IpAddr::V4(ip), 4_000 + (host / HOSTS) as u16))
    }
}

/// One machine of an attacker.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Member {
    /// The id under which its node joined.
    pub(crate) id: Id,
    pub(crate) address: SocketAddr,
}

/// What a hostile machine does with a datagram.
#[derive(Debug)]
pub(crate) enum Reaction {
    /// Lets its node handle it.
    Pass,
    /// Says nothing.
    Silence,
    /// Sends this back.
    Say(Vec<u8>),
}

/// All machines of one attacker.
#[derive(Debug)]
pub struct Conspiracy {
    strategy: Strategy,
    wire: Native,
    /// The distance within which k nodes are expected, in 2^-64 of the space: what
    /// [`Strategy::PlausibleLies`] fills.
    region: u64,
    awake: AtomicBool,
    shared: Mutex<Shared>,
}

#[derive(Debug)]
struct Shared {
    members: Vec<Member>,
    addresses: BTreeSet<SocketAddr>,
    told: Told,
    rng: Rng,
}

impl Conspiracy {
    /// An attacker without machines yet, against a native network of `nodes` nodes with these
    /// settings. Its machines behave until [`Conspiracy::wake`].
    ///
    /// # Panics
    /// If the settings are those of another wire.
    #[must_use]
    pub fn new(strategy: Strategy, config: &Config, nodes: u64, seed: [u8; 32]) -> Arc<Self> {
        let kadlet_core::Network::Native(name) = &config.network else {
            panic!("hostile nodes speak the native wire")
        };
        let spacing = u64::MAX / nodes.max(1);
        let k = config.lookup.k as u64;
        let (members, addresses) = (Vec::new(), BTreeSet::new());
        let (told, rng) = (Told::default(), Rng::from_seed(seed));
        Arc::new(Self {
            strategy,
            wire: Native::new(name),
            region: spacing.saturating_mul(k),
            awake: AtomicBool::new(false),
            shared: Mutex::new(Shared { members, addresses, told, rng }),
        })
    }

    /// From now on its machines attack.
    pub fn wake(&self) {
        self.awake.store(true, Ordering::Relaxed);
    }

    /// What its machines do.
    #[must_use]
    pub const fn strategy(&self) -> Strategy {
        self.strategy
    }

    /// The ids under which its machines joined, in the order in which they came.
    #[must_use]
    pub fn ids(&self) -> Vec<Id> {
        self.shared().members.iter().map(|member| member.id).collect()
    }

    /// The addresses of its machines.
    #[must_use]
    pub fn addresses(&self) -> Vec<SocketAddr> {
        self.shared().addresses.iter().copied().collect()
    }

    /// A machine joins the attacker's.
    pub(crate) fn enlist(&self, member: Member) {
        let mut shared = self.shared();
        shared.addresses.insert(member.address);
        shared.members.push(member);
    }

    /// A machine of the attacker's is no more.
    pub(crate) fn dismiss(&self, address: SocketAddr) {
        let mut shared = self.shared();
        shared.addresses.remove(&address);
        shared.members.retain(|member| member.address != address);
    }

    /// Nothing panics while it holds the lock that would leave it half changed.
    fn shared(&self) -> MutexGuard<'_, Shared> {
        self.shared.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
