//! Contacts and addresses: whom one can write to, and which addresses are no addresses.

use core::fmt;
use core::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use crate::id::Id;

/// One of the host's sockets, or whatever it sends through. A host with one socket uses 0.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Debug)]
pub struct LinkId(pub u16);

/// Where a datagram came from or goes to: the host's link, and the address as that link sees it.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct Path {
    /// The link; an answer leaves on the link its question came by.
    pub link: LinkId,
    /// The other end.
    pub remote: SocketAddr,
}

impl Path {
    /// The path to `remote` over link 0, which is the only one of a simple host.
    #[must_use]
    pub const fn direct(remote: SocketAddr) -> Self {
        Self { link: LinkId(0), remote }
    }

    /// The address family of the other end.
    #[must_use]
    pub const fn family(&self) -> Family {
        Family::of(&self.remote)
    }
}

/// An address family; every table, lookup and store keeps the two apart (BEP 32).
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum Family {
    /// IPv4.
    V4,
    /// IPv6.
    V6,
}

impl Family {
    /// Both, in the order in which things are listed.
    pub const ALL: [Self; 2] = [Self::V4, Self::V6];

    /// The family of an address.
    #[must_use]
    pub const fn of(address: &SocketAddr) -> Self {
        match address {
            SocketAddr::V4(_) => Self::V4,
            SocketAddr::V6(_) => Self::V6,
        }
    }
}

/// A set of address families.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Families(u8);

impl Families {
    /// No family.
    pub const NONE: Self = Self(0);
    /// IPv4 alone.
    pub const V4: Self = Self(1);
    /// IPv6 alone.
    pub const V6: Self = Self(2);
    /// Both.
    pub const BOTH: Self = Self(3);

    /// The set with these bits (1 = IPv4, 2 = IPv6); other bits are ignored.
    #[must_use]
    pub const fn from_bits(bits: u8) -> Self {
        Self(bits & 3)
    }

    /// The bits: 1 = IPv4, 2 = IPv6.
    #[must_use]
    pub const fn bits(self) -> u8 {
        self.0
    }

    /// Whether `family` is in the set.
    #[must_use]
    pub const fn contains(self, family: Family) -> bool {
        self.0 & Self::only(family).0 != 0
    }

    /// The set of one family.
    #[must_use]
    pub const fn only(family: Family) -> Self {
        match family {
            Family::V4 => Self::V4,
            Family::V6 => Self::V6,
        }
    }

    /// The families in either set.
    #[must_use]
    pub const fn union(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }

    /// Whether no family is in the set.
    #[must_use]
    pub const fn is_empty(self) -> bool {
        self.0 == 0
    }

    /// The families in the set, IPv4 first.
    pub fn iter(self) -> impl Iterator<Item = Family> {
        Family::ALL.into_iter().filter(move |family| self.contains(*family))
    }
}

impl fmt::Debug for Families {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.iter()).finish()
    }
}

/// What a node says of itself that it can do, one bit each; unknown bits are kept and passed on.
///
/// A bit handed on by somebody else is a hint; only the node's own word counts when one chooses
/// whom to store with.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Debug)]
pub struct Capabilities(pub u32);

impl Capabilities {
    /// Nothing beyond ping and find_node.
    pub const NONE: Self = Self(0);
    /// Keeps providers, values and search entries for others.
    pub const STORE: Self = Self(1);
    /// Hands signals on to nodes it knows (one hop).
    pub const SIGNAL: Self = Self(2);
    /// Holds WebRTC data channels, and takes offers of them as signals.
    pub const DATA_CHANNEL: Self = Self(4);

    /// Whether every bit of `mask` is set.
    #[must_use]
    pub const fn include(self, mask: Self) -> bool {
        self.0 & mask.0 == mask.0
    }

    /// The bits of either.
    #[must_use]
    pub const fn union(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }
}

/// A node as others are told of it: its id, where to reach it, and what it says it can do.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct Contact {
    /// Its id.
    pub id: Id,
    /// Where it is reached.
    pub path: Path,
    /// What it says it can do.
    pub capabilities: Capabilities,
}

impl Contact {
    /// A contact reached over link 0 of which nothing further is known.
    #[must_use]
    pub const fn new(id: Id, remote: SocketAddr) -> Self {
        Self { id, path: Path::direct(remote), capabilities: Capabilities::NONE }
    }

    /// Its address.
    #[must_use]
    pub const fn addr(&self) -> SocketAddr {
        self.path.remote
    }
}

/// How far an address reaches. A narrower scope is never believed from a wider one: a public node
/// that names `127.0.0.1` or `192.168.1.1` names one of *our* machines, not its own.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum Scope {
    /// This machine.
    Loopback,
    /// This office or home: private and link-local ranges, and the carrier's (RFC 6598).
    Private,
    /// The internet.
    Public,
}

impl Scope {
    /// The scope of an address, or none if no node can be behind it: unspecified, multicast,
    /// broadcast, reserved, documentation, IPv4 in IPv6 clothes.
    #[must_use]
    pub fn of(ip: IpAddr) -> Option<Self> {
        match ip {
            IpAddr::V4(ip) => Self::of_v4(ip),
            IpAddr::V6(ip) => Self::of_v6(ip),
        }
    }

    fn of_v4(ip: Ipv4Addr) -> Option<Self> {
        match ip.octets() {
            [127, ..] => Some(Self::Loopback),
            [0, ..] | [224..=255, ..] => None,
            [192, 0, 2, _] | [198, 51, 100, _] | [203, 0, 113, _] => None,
            [10, ..]
            | [192, 168, ..]
            | [172, 16..=31, ..]
            | [169, 254, ..]
            | [100, 64..=127, ..] => Some(Self::Private),
            _ => Some(Self::Public),
        }
    }

    fn of_v6(ip: Ipv6Addr) -> Option<Self> {
        if ip == Ipv6Addr::LOCALHOST {
            return Some(Self::Loopback);
        }
        match ip.segments() {
            // Unspecified, and the mapped and compatible forms: the IPv4 family speaks for those.
            [0, 0, 0, 0, 0, 0 | 0xffff, ..] => None,
            [0x2001, 0x0db8, ..] => None,
            [0xfc00..=0xfdff, ..] | [0xfe80..=0xfebf, ..] => Some(Self::Private),
            [0x2000..=0x3fff, ..] => Some(Self::Public),
            _ => None,
        }
    }

    /// Whether somebody who speaks to us from `sender` may name an address of scope `self`.
    #[must_use]
    pub fn may_be_named_by(self, sender: Self) -> bool {
        self >= sender
    }
}

/// Whether a node can be behind `address`: a port other than 0 and an address of some scope.
#[must_use]
pub fn is_usable(address: SocketAddr) -> bool {
    address.port() != 0 && Scope::of(address.ip()).is_some()
}

/// The group of addresses that one owner usually holds together: /24 for IPv4, /48 for IPv6. Limits
/// per source and the diversity of buckets, lookups and replies count by it.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct Prefix(u64);

impl Prefix {
    /// The group of an address.
    #[must_use]
    pub const fn of(ip: IpAddr) -> Self {
        match ip {
            IpAddr::V4(ip) => Self(ip.to_bits() as u64 >> 8),
            // Bit 63 keeps the families apart: 48 bits of address lie below it.
            IpAddr::V6(ip) => Self((ip.to_bits() >> 80) as u64 | 1 << 63),
        }
    }

    pub(crate) const fn number(self) -> u64 {
        self.0
    }
}

/// An address in 18 bytes, where a `SocketAddr` takes 32: how it is kept by the thousand. IPv4 is in
/// the mapped form, which no node of IPv6 has; what tells apart a host's own links is not kept.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(crate) struct PackedAddr {
    pub(crate) ip: [u8; 16],
    pub(crate) port: u16,
}

const _: () = assert!(size_of::<PackedAddr>() == 18);

impl PackedAddr {
    /// What all ports of one machine or household have in common: its address in IPv4, its /64 in IPv6.
    pub(crate) fn machine(self) -> [u8; 16] {
        let mut machine = self.ip;
        if SocketAddr::from(self).is_ipv6() {
            machine[8..].fill(0);
        }
        machine
    }
}

impl From<SocketAddr> for PackedAddr {
    fn from(addr: SocketAddr) -> Self {
        let ip = match addr.ip() {
            IpAddr::V4(ip) => ip.to_ipv6_mapped(),
            IpAddr::V6(ip) => ip,
        };
        Self { ip: ip.octets(), port: addr.port() }
    }
}

impl From<PackedAddr> for SocketAddr {
    fn from(packed: PackedAddr) -> Self {
        Self::new(Ipv6Addr::from(packed.ip).to_canonical(), packed.port)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn scope(text: &str) -> Option<Scope> {
        Scope::of(text.parse().expect("a test address"))
    }

    #[test]
    fn addresses_that_are_no_addresses() {
        for no in ["0.0.0.0", "0.1.2.3", "224.0.0.1", "255.255.255.255", "240.0.0.1", "::"] {
            assert_eq!(scope(no), None, "{no}");
        }
        for no in ["ff02::1", "::ffff:8.8.8.8", "2001:db8::1", "192.0.2.1", "::8.8.8.8"] {
            assert_eq!(scope(no), None, "{no}");
        }
        assert!(!is_usable("8.8.8.8:0".parse().expect("an address")));
        assert!(is_usable("8.8.8.8:1".parse().expect("an address")));
    }

    #[test]
    fn scopes() {
        for (text, expected) in [
            ("127.0.0.9", Scope::Loopback),
            ("::1", Scope::Loopback),
            ("10.1.2.3", Scope::Private),
            ("172.31.0.1", Scope::Private),
            ("100.64.0.1", Scope::Private),
            ("fe80::1", Scope::Private),
            ("fd00::1", Scope::Private),
            ("172.32.0.1", Scope::Public),
            ("8.8.8.8", Scope::Public),
            ("2a00::1", Scope::Public),
        ] {
            assert_eq!(scope(text), Some(expected), "{text}");
        }
    }

    #[test]
    fn a_wider_scope_names_no_narrower_address() {
        assert!(Scope::Public.may_be_named_by(Scope::Loopback));
        assert!(Scope::Private.may_be_named_by(Scope::Private));
        assert!(!Scope::Private.may_be_named_by(Scope::Public));
        assert!(!Scope::Loopback.may_be_named_by(Scope::Private));
    }

    #[test]
    fn prefixes_group_addresses() {
        let prefix = |text: &str| Prefix::of(text.parse().expect("a test address"));
        assert_eq!(prefix("8.8.8.8"), prefix("8.8.8.200"));
        assert_ne!(prefix("8.8.8.8"), prefix("8.8.9.8"));
        assert_eq!(prefix("2a00:1:2:3::1"), prefix("2a00:1:2:ffff::9"));
        assert_ne!(prefix("2a00:1:2::1"), prefix("2a00:1:3::1"));
    }
}
