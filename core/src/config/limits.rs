//! The numbers of tokens, and of what one source may cost us.

use core::net::IpAddr;
use core::time::Duration;

use crate::contact::Scope;

/// Against whom limits and quotas per source hold.
///
/// Nodes of one machine or one office share their prefix by nature; on the internet a prefix is
/// what one owner usually holds together.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub enum Enforce {
    /// Against nobody: tests, closed networks. Budgets that are not per source hold nevertheless.
    Nobody,
    /// Against public addresses; loopback and private ranges are spared.
    #[default]
    Public,
    /// Against every address.
    Everybody,
}

impl Enforce {
    /// Whether limits hold against this address. An address of no scope is nobody's to spare.
    #[must_use]
    pub fn holds_for(self, ip: IpAddr) -> bool {
        match self {
            Self::Nobody => false,
            Self::Public => !matches!(Scope::of(ip), Some(Scope::Loopback | Scope::Private)),
            Self::Everybody => true,
        }
    }
}

/// Write tokens and cookies ([`Tokens`](crate::Tokens)).
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct TokenConfig {
    /// How long a secret makes new tokens. 5 minutes as in BEP 5; at least half of `lifetime` is
    /// used.
    pub rotation: Duration,
    /// How long a token is good. 10 minutes as in BEP 5: a lookup and its stores take seconds, and
    /// an address may change hands.
    pub lifetime: Duration,
    /// Whether a token is for the id that asked for it, and not for its address alone. Yes; Mainline:
    /// no, since some programs draw another id for every store.
    pub bind_id: bool,
}

impl Default for TokenConfig {
    fn default() -> Self {
        Self {
            rotation: Duration::from_secs(5 * 60),
            lifetime: Duration::from_secs(10 * 60),
            bind_id: true,
        }
    }
}

/// A token bucket: so much per second in the long run, so much at once.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Rate {
    /// Units per second. 0: only the first burst, ever.
    pub per_second: u32,
    /// Units at once, after a rest of `burst / per_second` seconds.
    pub burst: u32,
}

impl Rate {
    /// `per_second` units a second, `burst` at once.
    #[must_use]
    pub const fn new(per_second: u32, burst: u32) -> Self {
        Self { per_second, burst }
    }
}

/// What one source may cost us ([`Limits`](crate::Limits)).
#[derive(Clone, PartialEq, Debug)]
#[non_exhaustive]
pub struct LimitConfig {
    /// Against whom the limits per source hold. Public addresses: a network on one machine or in
    /// one office works untuned.
    pub enforce: Enforce,
    /// Queries from one address (IPv6: one /64), whatever the port. 20 a second: a lookup asks a
    /// node once, and a client that runs ten lookups at once meets us in few of them.
    pub queries_per_host: Rate,
    /// Queries from one prefix. 200 a second: ten busy hosts; a household's worth behind one NAT.
    pub queries_per_prefix: Rate,
    /// Bytes of stored data in answers to one prefix. 8 kB a second: an attacker who has shown that
    /// he receives gains nothing by asking us instead of any file server.
    pub stored_bytes_per_prefix: Rate,
    /// Signatures checked, all sources together, whoever is spared. 5,000 a second at 37 µs are a
    /// fifth of a core.
    pub signatures: Rate,
    /// Signatures checked for one prefix. 50 a second: a holder that hands over a few hundred
    /// signed values is done in seconds, and a hundred prefixes must conspire to use the budget.
    pub signatures_per_prefix: Rate,
    /// First questions to addresses of one prefix that others named. 4 a second: with many nodes
    /// led to one victim it is what each of them adds. 16 at once, since a provider's and a
    /// university's nodes do share prefixes.
    pub candidates_per_prefix: Rate,
    /// First questions to addresses that one contact named. A join asks the bootstrap contact for
    /// its own neighbourhood and twenty ranges: 400 names, of which half are known by then.
    pub candidates_per_namer: Rate,
    /// Questions of ours to one address. None: nobody on Kadlet's own networks counts them against
    /// us. Mainline: 3 a second, 10 at once, since libtorrent bans whoever sends 50 packets in 10 s.
    pub questions_per_host: Option<Rate>,
    /// Sources remembered per limit: 4,096 of at most 32 bytes each. Where more are active at once,
    /// those that used least of their limit are forgotten first.
    pub max_sources: u32,
}

impl Default for LimitConfig {
    fn default() -> Self {
        Self {
            enforce: Enforce::Public,
            queries_per_host: Rate::new(20, 100),
            queries_per_prefix: Rate::new(200, 1_000),
            stored_bytes_per_prefix: Rate::new(8_000, 8_000),
            signatures: Rate::new(5_000, 1_000),
            signatures_per_prefix: Rate::new(50, 100),
            candidates_per_prefix: Rate::new(4, 16),
            candidates_per_namer: Rate::new(20, 200),
            questions_per_host: None,
            max_sources: 4_096,
        }
    }
}
