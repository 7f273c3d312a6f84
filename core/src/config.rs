//! Every number of the protocol, with its unit, its reason and its default.

use alloc::string::{String, ToString};
use core::time::Duration;

use crate::contact::Capabilities;

mod content;
mod limits;
mod lookup;
mod requests;
mod shared;
mod store;
mod table;

pub use content::FetchConfig;
pub use limits::{Enforce, LimitConfig, Rate, TokenConfig};
pub use lookup::{EstimateConfig, LookupConfig};
pub use requests::RequestConfig;
pub use shared::Shared;
pub use store::StoreConfig;
pub use table::TableConfig;

/// The network a node belongs to, and with it the wire it speaks.
#[derive(Clone, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub enum Network {
    /// Kadlet's own wire, in the network of this name. Networks with different names never merge.
    Native(String),
    /// BitTorrent's Mainline DHT (BEP 5).
    #[cfg(feature = "mainline")]
    Mainline,
}

impl Default for Network {
    fn default() -> Self {
        Self::Native("kadlet".to_string())
    }
}

/// What is made of ids that do not follow from their node's address (BEP 42). An id that does costs
/// an attacker addresses: it is a cost of 21 bits, not a wall.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub enum AddressIds {
    /// Nothing: any id will do, ours too.
    #[default]
    Ignore,
    /// Ours follows from our address once that is known; in a full bucket a node with such an id
    /// takes the place of one without.
    Prefer,
    /// As [`Prefer`](Self::Prefer), and nodes without are served and no more: they get no token,
    /// have no place in the table and do not count in lookups.
    Enforce,
}

/// Whether others may rely on us.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub enum Role {
    /// Server on loopback and private networks; on public ones client until a stranger, asked by
    /// one of our contacts, has reached us.
    #[default]
    Auto,
    /// Never in anybody's table: asks, and answers what it is asked (on Mainline nothing, BEP 43).
    /// For one-shot commands.
    Client,
    /// In others' tables from the start.
    Server,
}

/// All settings of a node.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Config {
    /// The network, and with it the wire. Default: native, "kadlet".
    pub network: Network,
    /// Whether others may rely on us. Default: found out.
    pub role: Role,
    /// What is made of ids that do not follow from an address. Default: nothing; Mainline: prefer.
    pub address_ids: AddressIds,
    /// What we tell others we can do, beside ping and find_node. Default: store, signal.
    pub capabilities: Capabilities,
    /// Routing tables.
    pub table: Shared<TableConfig>,
    /// Lookups.
    pub lookup: Shared<LookupConfig>,
    /// The estimate of the network's size.
    pub estimate: EstimateConfig,
    /// Timeouts.
    pub requests: Shared<RequestConfig>,
    /// Write tokens and cookies.
    pub tokens: TokenConfig,
    /// What one source may cost us.
    pub limits: Shared<LimitConfig>,
    /// What we keep for others.
    pub store: Shared<StoreConfig>,
    /// An operation that was given no deadline of its own ends after this. Default: 60 s, which
    /// even a lookup among silent contacts does not need. What stores looks for holders in three
    /// quarters of it at most, once somebody is known who can keep the record.
    pub deadline: Duration,
    /// Operations at once; one more ends the oldest refresh, or else is refused. Default: 4,096:
    /// each holds about 8 kB while it lasts.
    pub max_operations: usize,
    /// Our own records are renewed this often. Default: 5 h, less a random quarter: well below the
    /// 13 h that holders keep them, so that one missed renewal loses nothing (design: 6 h at most).
    pub renew_after: Duration,
    /// Records a node renews for itself; one more is refused as [`Overloaded`](crate::Outcome). As
    /// many as default can be renewed within the hour. Default: 100,000.
    pub max_publications: usize,
    /// Addresses remembered for having shown that they receive our datagrams. Default: 4,096, at
    /// 40 B; the longest unheard of gives way.
    pub max_proven: usize,
    /// How long such a proof lasts. Default: 10 min, as a token's.
    pub proof_lifetime: Duration,
    /// Whether answers to addresses without proof are held to three times the question. Default:
    /// for public addresses.
    pub amplification: Enforce,
    /// How many datagrams may wait to be polled. Default: 65,536; what is sent beyond that counts
    /// as lost, as it would be in a socket's buffer.
    pub max_transmits: usize,
    /// How many events may wait to be polled. Default: 65,536; details beyond that are dropped and
    /// counted, `Done` never is.
    pub max_events: usize,
    /// Further pages of holders' lists that one operation asks for, all holders together. Default:
    /// 64, which is 40 kB: some 400 search entries, or 2,000 providers.
    pub max_pages: u32,
    /// Results of one operation kept to tell new ones from known ones. Default: 4,096.
    pub max_found: usize,
    /// Whether records are kept with, and looked for among, all nodes within the distance in which
    /// k are expected, and not the k closest alone. Default: yes; where nobody crowds a key it costs
    /// two or three questions more.
    pub region: bool,
    /// Whether a value that was found is copied to the closest contact that did not have it
    /// (section 4.1). Default: no; it pays where a few values are wanted by many.
    pub path_copies: bool,
    /// One in this many messages carries a field nobody knows, so that nobody forgets to ignore
    /// them; 0: none. Default: 100.
    pub grease_one_in: u32,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            network: Network::default(),
            role: Role::Auto,
            address_ids: AddressIds::Ignore,
            capabilities: Capabilities::STORE.union(Capabilities::SIGNAL),
            table: Shared::default(),
            lookup: Shared::default(),
            estimate: EstimateConfig::default(),
            requests: Shared::default(),
            tokens: TokenConfig::default(),
            limits: Shared::default(),
            store: Shared::default(),
            deadline: Duration::from_secs(60),
            max_operations: 4_096,
            renew_after: Duration::from_secs(5 * 3_600),
            max_publications: 100_000,
            max_proven: 4_096,
            proof_lifetime: Duration::from_secs(600),
            amplification: Enforce::Public,
            max_transmits: 65_536,
            max_events: 65_536,
            max_pages: 64,
            max_found: 4_096,
            region: true,
            path_copies: false,
            grease_one_in: 100,
        }
    }
}

#[cfg(feature = "mainline")]
impl Config {
    /// The settings of a node of BitTorrent's Mainline DHT: the same node, with the numbers that its
    /// neighbours there have and expect.
    #[must_use]
    pub fn mainline() -> Self {
        const MINUTE: Duration = Duration::from_secs(60);
        let mut config = Self { network: Network::Mainline, ..Self::default() };
        config.address_ids = AddressIds::Prefer;
        // BEP 5; α as libtorrent has it.
        config.table.k = 8;
        config.table.refresh_after = 15 * MINUTE;
        config.lookup.k = 8;
        config.lookup.alpha = 5;
        config.lookup.beside = 8;
        // One retransmission more is one packet more towards a ban: BEP 5 knows none.
        config.requests.repeats = 0;
        config.tokens.bind_id = false;
        config.limits.questions_per_host = Some(Rate::new(3, 10));
        // BEP 44, and half of what BEP 5's programs keep peers for.
        config.store.value_lifetime = 120 * MINUTE;
        config.store.provider_lifetime = 45 * MINUTE;
        config.renew_after = 25 * MINUTE;
        // There are no cookies by which an address could show itself. What answers are held to
        // instead: lists are short, and stored data has a budget by prefix.
        config.amplification = Enforce::Nobody;
        // BEP 44 puts to the k closest that gave a token, and to no others.
        config.region = false;
        config.grease_one_in = 0;
        config
    }
}
