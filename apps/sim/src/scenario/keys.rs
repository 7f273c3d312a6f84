//! The keys of a scenario file: what each takes, where it means something, what it is without.

use super::quantity::Takes;

/// What is done in a scenario.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
#[non_exhaustive]
pub enum Kind {
    /// Lookups, with or without churn, loss and what else the network does.
    Lookups,
    /// Half of the contacts are dead.
    HalfDead,
    /// The network falls into two parts, and heals.
    Partition,
    /// Many come at once and want the same.
    FlashCrowd,
    /// Many lose their network, and come back.
    OfflineAndBack,
    /// NATs, firewalls, pairs that are apart.
    Nat,
    /// Values without a publisher.
    Republish,
    /// Hostile nodes with random ids.
    SybilRandom,
    /// Hostile nodes next to keys.
    SybilTargeted,
    /// Nodes of two versions.
    MixedVersions,
    /// One node under a flood.
    Flood,
}

impl Kind {
    /// All of them.
    pub const ALL: [Self; 11] = [
        Self::Lookups,
        Self::HalfDead,
        Self::Partition,
        Self::FlashCrowd,
        Self::OfflineAndBack,
        Self::Nat,
        Self::Republish,
        Self::SybilRandom,
        Self::SybilTargeted,
        Self::MixedVersions,
        Self::Flood,
    ];

    /// As `kind` names it.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Lookups => "lookups",
            Self::HalfDead => "half-dead",
            Self::Partition => "partition",
            Self::FlashCrowd => "flash-crowd",
            Self::OfflineAndBack => "offline-and-back",
            Self::Nat => "nat",
            Self::Republish => "republish",
            Self::SybilRandom => "sybil-random",
            Self::SybilTargeted => "sybil-targeted",
            Self::MixedVersions => "mixed-versions",
            Self::Flood => "flood",
        }
    }
}

/// One key.
#[derive(Clone, Copy, Debug)]
pub struct Key {
    /// In snake case.
    pub name: &'static str,
    /// What it takes.
    pub takes: Takes,
    /// What it is without.
    pub default: &'static str,
    /// Where it means something; everywhere if empty.
    pub kinds: &'static [Kind],
    /// What it is.
    pub about: &'static str,
}

const ALL: &[Kind] = &[];
/// Where somebody who is being looked at may leave.
const LASTING: &[Kind] = &[Kind::Lookups, Kind::HalfDead, Kind::Republish];
/// Where the world is the one of [`crate::experiment::setting::Setting`].
const FRIENDLY: &[Kind] = &[
    Kind::Lookups,
    Kind::HalfDead,
    Kind::Partition,
    Kind::FlashCrowd,
    Kind::OfflineAndBack,
    Kind::Nat,
    Kind::Republish,
];
/// Where lookups are measured.
const LOOKING_UP: &[Kind] = &[
    Kind::Lookups,
    Kind::HalfDead,
    Kind::Partition,
    Kind::FlashCrowd,
    Kind::OfflineAndBack,
    Kind::Nat,
];
/// Where they are measured one after the other, not all at named moments.
const PACED: &[Kind] = &[Kind::Lookups, Kind::HalfDead, Kind::FlashCrowd, Kind::Nat];
/// Where others are run beside them.
const COMPARED: &[Kind] = &[Kind::Lookups, Kind::HalfDead, Kind::Nat];
const SYBIL: &[Kind] = &[Kind::SybilRandom, Kind::SybilTargeted];

const fn key(
    name: &'static str,
    takes: Takes,
    default: &'static str,
    kinds: &'static [Kind],
    about: &'static str,
) -> Key {
    Key { name, takes, default, kinds, about }
}

/// More would have no addresses: `AddressPlan::address`.
const MOST_NODES: u64 = 5_000_000;

/// All keys, in the order in which they are documented.
pub const KEYS: &[Key] = &[
    key("nodes", Takes::Count(2, MOST_NODES), "1000", ALL, "Nodes."),
    key(
        "wire",
        Takes::Choice(&["native", "mainline"]),
        "native",
        FRIENDLY,
        "Which wire the nodes speak, with the settings that belong to it.",
    ),
    key(
        "k",
        // An answer names no more.
        Takes::Count(1, 20),
        "20",
        ALL,
        "Contacts in a bucket, and how many a lookup looks for; on Mainline 8 without it.",
    ),
    key(
        "alpha",
        Takes::Count(1, 64),
        "4",
        ALL,
        "Requests of a lookup under way at once; on Mainline its own number without it.",
    ),
    key(
        "b",
        Takes::Count(1, 8),
        "1",
        ALL,
        "Bits of the id by which a bucket may split: 1 is the plain table, more makes fewer hops.",
    ),
    key("paths", Takes::Count(1, 16), "1", ALL, "d: disjoint paths of a lookup."),
    key(
        "questionable_after",
        Takes::Time,
        "15 min",
        ALL,
        "A contact not heard of for so long is pinged; where many are found dead, after a third of it.",
    ),
    key(
        "refresh_after",
        Takes::Time,
        "1 h",
        ALL,
        "A bucket that saw no lookup for so long is refreshed; on Mainline after 15 min without it.",
    ),
    key(
        "lookups",
        Takes::Count(1, 10_000_000),
        "200",
        LOOKING_UP,
        "Lookups that are measured, from random nodes for random targets.",
    ),
    key(
        "puts",
        Takes::Count(0, 10_000_000),
        "0",
        &[Kind::Lookups],
        "Values that random nodes store after that: how long it takes, and where they come to lie.",
    ),
    key(
        "pace",
        Takes::Time,
        "5 s",
        PACED,
        "From the start of one measured lookup or store to that of the next.",
    ),
    key("warm_up", Takes::Time, "1 min", FRIENDLY, "From the last join to what is measured."),
    key(
        "sessions",
        Takes::Choice(&["forever", "weibull", "exponential"]),
        "forever",
        LASTING,
        "How long nodes stay; each that leaves is replaced at once by a newcomer with an id of its own.",
    ),
    key(
        "session_scale",
        Takes::Time,
        "5000 s",
        LASTING,
        "Scale of the sessions: of the exponential one its mean.",
    ),
    key("session_shape", Takes::Number, "0.5", LASTING, "Shape of the Weibull sessions."),
    key(
        "round_trips",
        Takes::Choice(&["pairs", "plane", "constant"]),
        "pairs",
        FRIENDLY,
        "Round-trip times: log-normal over pairs; distances in a plane plus access lines; the same for all.",
    ),
    key("round_trip", Takes::Time, "156 ms", FRIENDLY, "Their median."),
    key(
        "round_trip_sigma",
        Takes::Number,
        "0.514",
        FRIENDLY,
        "The standard deviation of their logarithm, with `pairs`.",
    ),
    key("jitter", Takes::Time, "5 ms", FRIENDLY, "Up to so much more for each datagram."),
    key("loss", Takes::Share, "0 %", FRIENDLY, "Datagrams that are lost."),
    key("duplication", Takes::Share, "0 %", FRIENDLY, "Datagrams that arrive twice."),
    key("reordering", Takes::Share, "0 %", FRIENDLY, "Datagrams that are held up for `detour`."),
    key("detour", Takes::Time, "100 ms", FRIENDLY, "For how long."),
    key("apart", Takes::Share, "0 %", FRIENDLY, "Pairs of nodes that cannot reach each other."),
    key(
        "line_up",
        Takes::Rate,
        "unlimited",
        FRIENDLY,
        "What each node's line carries away from it.",
    ),
    key("line_down", Takes::Rate, "unlimited", FRIENDLY, "What it carries to it."),
    key(
        "line_queue",
        Takes::Time,
        "500 ms",
        FRIENDLY,
        "What would wait longer for its line is dropped.",
    ),
    key(
        "policies",
        Takes::Choice(&["none", "classical"]),
        "none",
        COMPARED,
        "Whether the lookups of other programs' policies are run beside each lookup.",
    ),
    key("dead", Takes::Share, "50 %", &[Kind::HalfDead], "Nodes that die."),
    key(
        "own",
        Takes::Share,
        "20 %",
        &[Kind::HalfDead],
        "Dead entries that an asker's own table may have.",
    ),
    key(
        "nats",
        Takes::Choice(&["none", "measured"]),
        "none",
        &[Kind::HalfDead],
        "Whether nodes are behind NATs and firewalls in the shares that were measured, 4.5 % of the pairs apart if `apart` says nothing else, as in `nat`; on Mainline nobody stays out of tables for it.",
    ),
    key(
        "askers",
        Takes::Count(1, 100_000),
        "20",
        &[Kind::HalfDead, Kind::SybilRandom, Kind::SybilTargeted],
        "Nodes that ask.",
    ),
    key("part", Takes::Share, "33 %", &[Kind::Partition], "Nodes in the smaller part."),
    key("lasts", Takes::Time, "1 h", &[Kind::Partition], "How long the partition lasts."),
    key(
        "values",
        Takes::Count(1, 1_000_000),
        "20",
        &[Kind::Partition, Kind::Nat, Kind::Republish],
        "Values stored and read.",
    ),
    key("newcomers", Takes::Count(1, MOST_NODES), "1000", &[Kind::FlashCrowd], "Nodes that come."),
    key("within", Takes::Time, "1 min", &[Kind::FlashCrowd], "Within this time."),
    key("gone", Takes::Share, "20 %", &[Kind::OfflineAndBack], "Nodes that lose their network."),
    key("away", Takes::Time, "8 h", &[Kind::OfflineAndBack], "For how long."),
    key(
        "hours",
        Takes::Count(1, 1_000),
        "24",
        &[Kind::Republish],
        "For so many hours nobody renews the values.",
    ),
    key(
        "hostile_share",
        Takes::Share,
        "20 %",
        &[Kind::SybilRandom],
        "Hostile nodes, of all nodes.",
    ),
    key(
        "hostile",
        Takes::Count(1, 1_000),
        "16",
        &[Kind::SybilTargeted],
        "Hostile nodes next to each key.",
    ),
    key("strategy", Takes::Choice(super::STRATEGIES), "closest-lies", SYBIL, "What they do."),
    key(
        "prefixes",
        Takes::Count(0, 65_536),
        "0",
        SYBIL,
        "In how many /24 networks they are; 0: each in one of its own.",
    ),
    key("keys", Takes::Count(1, 100_000), "20", SYBIL, "Values stored and read."),
    key("readers", Takes::Count(1, 1_000), "1", SYBIL, "Honest readers of each value."),
    key(
        "stored",
        Takes::Choice(&["before", "during"]),
        "during",
        SYBIL,
        "Whether values are stored before the attack or while it lasts.",
    ),
    key(
        "defences",
        Takes::Choice(&["on", "off"]),
        "on",
        SYBIL,
        "Off: one path, the k closest alone, no limits per network of addresses, whoever names contacts believed whatever becomes of them: the table of the paper.",
    ),
    key(
        "later",
        Takes::Share,
        "0 %",
        &[Kind::Lookups, Kind::Republish, Kind::MixedVersions],
        "Nodes of a later version, whose messages have fields, methods and capabilities that today's do not know.",
    ),
    key(
        "operations",
        Takes::Count(1, 100_000),
        "20",
        &[Kind::MixedVersions],
        "Lookups, and values stored and read.",
    ),
    key(
        "sources",
        Takes::Count(1, 10_000),
        "400",
        &[Kind::Flood],
        "Addresses that flood, four to a /24 network.",
    ),
    key(
        "per_second",
        Takes::Count(1, 1_000_000),
        "2000",
        &[Kind::Flood],
        "Datagrams a second from all of them: a third each of junk, questions and puts with bad signatures.",
    ),
    key("seconds", Takes::Count(1, 3_600), "5", &[Kind::Flood], "For so long."),
];

/// A key by its name.
#[must_use]
pub fn find(name: &str) -> Option<&'static Key> {
    KEYS.iter().find(|key| key.name == name)
}

impl Key {
    /// Whether it means something in a kind of scenario.
    #[must_use]
    pub fn is_of(&self, kind: Kind) -> bool {
        self.kinds.is_empty() || self.kinds.contains(&kind)
    }
}
