//! Which address a node has: computed from its number and back, so that a million of them cost no
//! memory and no look-up.

use core::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use kadlet_core::Family;

use crate::host::NodeIndex;

/// From which range the nodes have their addresses; each node has an address of its own in both
/// families.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub enum AddressPlan {
    /// One machine: 127.0.0.0/8 (IPv6 has one loopback address only: fc00::/16 stands in).
    Loopback,
    /// An office: 10.0.0.0/8 and fd00::/16.
    Private,
    /// The internet: each node in a /24 and a /48 of its own, 11.0.0.0 to 99.255.255.0 and
    /// 2a00::/16.
    Public,
}

/// Every node listens here.
const PORT: u16 = 4_000;
/// /24 prefixes of the public plan: more than the 1,000,000 nodes that fit into memory.
const PUBLIC: u32 = 89 << 16;

impl AddressPlan {
    /// The address of a node.
    ///
    /// # Panics
    /// If there are more nodes than addresses: 16,777,215, public 5,832,704.
    #[must_use]
    pub fn address(self, node: NodeIndex, family: Family) -> SocketAddr {
        let number = node.0;
        assert!(number < self.limit(), "no address is left for node {number}");
        let ip = match family {
            // From 1 on: 10.0.0.0 looks like a network and not like a machine.
            Family::V4 => IpAddr::V4(Ipv4Addr::from_bits(match self {
                Self::Loopback => (127 << 24) + number + 1,
                Self::Private => (10 << 24) + number + 1,
                Self::Public => (11 << 24) + (number << 8) + 1,
            })),
            Family::V6 => {
                let (high, low) = ((number >> 16) as u16, number as u16);
                IpAddr::V6(Ipv6Addr::new(self.first_segment(), high, low, 0, 0, 0, 0, 1))
            }
        };
        SocketAddr::new(ip, PORT)
    }

    /// The node at an address, if it could be one of ours.
    #[must_use]
    pub fn node(self, address: SocketAddr) -> Option<NodeIndex> {
        self.machine(address).filter(|_| address.port() == PORT)
    }

    /// The node that an address leads to, whatever the port: a NAT has many for one machine.
    #[must_use]
    pub fn machine(self, address: SocketAddr) -> Option<NodeIndex> {
        let number = match address.ip() {
            IpAddr::V4(ip) => match (self, ip.to_bits().wrapping_sub(1)) {
                (Self::Loopback, bits) if bits >> 24 == 127 => bits & 0x00ff_ffff,
                (Self::Private, bits) if bits >> 24 == 10 => bits & 0x00ff_ffff,
                (Self::Public, bits) if bits & 0xff == 0 => (bits >> 8).checked_sub(11 << 16)?,
                _ => return None,
            },
            IpAddr::V6(ip) => match ip.segments() {
                [first, high, low, 0, 0, 0, 0, 1] if first == self.first_segment() => {
                    u32::from(high) << 16 | u32::from(low)
                }
                _ => return None,
            },
        };
        (number < self.limit()).then_some(NodeIndex(number))
    }

    /// How many nodes have an address.
    const fn limit(self) -> u32 {
        match self {
            Self::Loopback | Self::Private => (1 << 24) - 1,
            Self::Public => PUBLIC,
        }
    }

    const fn first_segment(self) -> u16 {
        match self {
            Self::Loopback => 0xfc00,
            Self::Private => 0xfd00,
            Self::Public => 0x2a00,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use kadlet_core::{Prefix, Scope};

    const PLANS: [(AddressPlan, Scope); 3] = [
        (AddressPlan::Loopback, Scope::Loopback),
        (AddressPlan::Private, Scope::Private),
        (AddressPlan::Public, Scope::Public),
    ];

    #[test]
    fn addresses_lead_back_to_their_node() {
        for (plan, scope) in PLANS {
            for number in (0..1_000).chain([65_535, 65_536, 1_000_000, 5_832_703]) {
                for family in Family::ALL {
                    let address = plan.address(NodeIndex(number), family);
                    assert_eq!(plan.node(address), Some(NodeIndex(number)), "{address}");
                    assert_eq!(Family::of(&address), family);
                    let expected =
                        if family == Family::V6 { scope.max(Scope::Private) } else { scope };
                    assert_eq!(Scope::of(address.ip()), Some(expected), "{address}");
                }
            }
        }
    }

    #[test]
    fn strangers_are_nobody() {
        for text in ["9.9.9.9:4000", "[2a00::2]:4000", "11.0.0.0:4000", "10.0.0.1:4001"] {
            let address = text.parse().expect("a test address");
            assert!(PLANS.iter().all(|(plan, _)| plan.node(address).is_none()), "{text}");
        }
    }

    #[test]
    fn public_nodes_share_no_prefix() {
        let prefix =
            |number| Prefix::of(AddressPlan::Public.address(NodeIndex(number), Family::V4).ip());
        assert!((0..999).all(|number| prefix(number) != prefix(number + 1)));
    }
}
