//! What a hostile machine answers.

use core::net::{IpAddr, Ipv4Addr, SocketAddr};
use core::sync::atomic::Ordering;

use kadlet_core::wire::{Body, Hit, List, Message, Method, NodeInfo, Peer, Query, Response};
use kadlet_core::{Capabilities, Contact, Family, Id, Node, Rng};

use super::{Conspiracy, Member, Reaction, Strategy, VICTIM};

/// Contacts named in one answer: more than fit into a datagram, which is then cut.
const NAMED: usize = 40;
/// Members that plausible lies put into one neighbourhood, in multiples of the k nodes expected
/// there.
const PLAUSIBLE: usize = 40;
/// Any token will do: a hostile machine takes every store.
const TOKEN: &[u8] = b"anything";

impl Conspiracy {
    /// What the machine with this node at this address does with a datagram from `asker`.
    pub(crate) fn react(
        &self,
        (node, address): (&Node, SocketAddr),
        asker: SocketAddr,
        datagram: &[u8],
    ) -> Reaction {
        let me = Member { id: node.id(), address };
        if !self.awake.load(Ordering::Relaxed) {
            return Reaction::Pass;
        }
        let Ok(message) = self.wire.decode(datagram) else { return Reaction::Pass };
        let Body::Query(query) = &message.body else { return Reaction::Pass };
        // Fellows do not lie to each other: their tables are to be as good as anybody's.
        let (Some(target), false) = (query.target, self.is_fellow(asker)) else {
            return Reaction::Pass;
        };
        match (self.strategy, kind(&query.method)) {
            (_, Kind::Other) => Reaction::Pass,
            (Strategy::Silent, Kind::Find) => Reaction::Pass,
            (Strategy::Silent, _) => Reaction::Silence,
            (Strategy::Forgetful, Kind::Store) => self.acknowledge(me, asker, &message, query),
            (Strategy::Forgetful, _) => Reaction::Pass,
            (_, Kind::Store) => self.acknowledge(me, asker, &message, query),
            (Strategy::Misplaced, Kind::Find | Kind::Read) => {
                let known = node.closest(target, Family::V4);
                let nodes = self.misplace(&known);
                self.poisoned(me.id, &message, query, &nodes)
            }
            (_, Kind::Find | Kind::Read) => self.lie(me, asker, target, &message, query),
        }
    }

    fn is_fellow(&self, address: SocketAddr) -> bool {
        self.shared().addresses.contains(&address)
    }

    fn acknowledge(
        &self,
        me: Member,
        asker: SocketAddr,
        message: &Message<'_>,
        query: &Query<'_>,
    ) -> Reaction {
        let sender = query
            .target
            .map_or(me.id, |target| self.shared().told.name((asker, target), me.address, me.id));
        self.say(sender, message, query, Response::default())
    }

    fn lie(
        &self,
        me: Member,
        asker: SocketAddr,
        target: Id,
        message: &Message<'_>,
        query: &Query<'_>,
    ) -> Reaction {
        let lookup = (asker, target);
        let mut shared = self.shared();
        let super::Shared { members, told, rng, .. } = &mut *shared;
        let sender = told.name(lookup, me.address, me.id);
        if self.strategy == Strategy::Poison {
            let nodes = poison(target, asker, rng);
            drop(shared);
            return self.poisoned(sender, message, query, &nodes);
        }
        let fellows = match self.strategy {
            Strategy::ForgedLies => {
                told.tell(lookup, members, NAMED, || target.random_within(64, rng))
            }
            Strategy::PlausibleLies => {
                let left = PLAUSIBLE.saturating_sub(told.count(lookup));
                let region = self.region;
                told.tell(lookup, members, left, || within(target, region, rng))
            }
            _ => {
                let mut fellows = members.clone();
                if fellows.len() > NAMED {
                    fellows.select_nth_unstable_by_key(NAMED, |it| it.id.distance(target));
                    fellows.truncate(NAMED);
                }
                fellows.sort_unstable_by_key(|it| it.id.distance(target));
                fellows
            }
        };
        drop(shared);
        let nodes: Vec<NodeInfo> = fellows
            .iter()
            .filter(|fellow| fellow.address != me.address)
            .map(|fellow| NodeInfo {
                id: fellow.id,
                address: fellow.address,
                capabilities: Capabilities::STORE.union(Capabilities::SIGNAL),
            })
            .collect();
        let mut response = Response::default();
        response.nodes = List::new(&nodes);
        response.token = (kind(&query.method) == Kind::Read).then_some(TOKEN);
        self.say(sender, message, query, response)
    }

    /// The good ones of these contacts, each at an address where nobody is: one, for no more are
    /// believed of one namer, and another than fellows give.
    fn misplace(&self, known: &[Contact]) -> Vec<NodeInfo> {
        let mut shared = self.shared();
        let super::Shared { addresses, rng, .. } = &mut *shared;
        let good = known.iter().filter(|it| !addresses.contains(&it.addr()));
        let false_ones = good.map(|contact| NodeInfo {
            id: contact.id,
            address: nowhere(rng),
            capabilities: contact.capabilities,
        });
        false_ones.take(NAMED).collect()
    }

    fn poisoned(
        &self,
        sender: Id,
        message: &Message<'_>,
        query: &Query<'_>,
        nodes: &[NodeInfo],
    ) -> Reaction {
        let ports = (0..10).map(|port| SocketAddr::new(VICTIM.ip(), 5_000 + port));
        let providers: Vec<Peer> = ports.map(|address| Peer { address, transports: 1 }).collect();
        let content = [7; 32];
        let hits = [Hit::new("something that nobody has", 1, &content)];
        let mut response = Response::default();
        response.nodes = List::new(nodes);
        response.token = (kind(&query.method) == Kind::Read).then_some(TOKEN);
        match query.method {
            Method::GetProviders { .. } => response.providers = List::new(&providers),
            Method::Search { .. } => response.hits = List::new(&hits),
            _ => {}
        }
        self.say(sender, message, query, response)
    }

    fn say(
        &self,
        sender: Id,
        message: &Message<'_>,
        query: &Query<'_>,
        mut response: Response<'_>,
    ) -> Reaction {
        response.method = query.method.code();
        let mut answer = Message::new(message.transaction, sender, Body::Response(response));
        answer.capabilities = Some(Capabilities::STORE.union(Capabilities::SIGNAL));
        let mut datagram = Vec::new();
        self.wire.encode(&answer, None, &mut datagram);
        Reaction::Say(datagram)
    }
}

/// Contacts that are none, all next to the target: as many as an answer holds, and most of them where
/// nobody is, for each such address is asked and waited for.
fn poison(target: Id, asker: SocketAddr, rng: &mut Rng) -> Vec<NodeInfo> {
    let mut addresses = Vec::new();
    for number in 0..12_u8 {
        addresses.push(nowhere(rng));
        if number < 2 {
            addresses.push(at(Ipv4Addr::new(192, 168, number, 1)));
            // A neighbour of the asker's in the plan of public addresses: a good node, or nobody.
            if let IpAddr::V4(ip) = asker.ip() {
                let neighbour = ip.to_bits() ^ ((u32::from(number) + 1) << 8);
                addresses.push(at(Ipv4Addr::from_bits(neighbour)));
            }
        }
    }
    // The victim's address is named again and again, under new ids: that is what it is for.
    addresses.extend([VICTIM; 4]);
    let info = |address| NodeInfo {
        id: target.random_within(64, rng),
        address,
        capabilities: Capabilities::STORE,
    };
    addresses.into_iter().map(info).collect()
}

/// A random public address where nobody is.
fn nowhere(rng: &mut Rng) -> SocketAddr {
    let [high, low] = rng.bytes();
    at(Ipv4Addr::new(160, high, low, 1))
}

const fn at(ip: Ipv4Addr) -> SocketAddr {
    SocketAddr::new(IpAddr::V4(ip), 4_000)
}

/// An id at a random distance up to `reach` (in 2^-64 of the space) of the target.
fn within(target: Id, reach: u64, rng: &mut Rng) -> Id {
    let mut bytes: [u8; Id::LEN] = rng.bytes();
    let high = rng.below(reach.max(1)).to_be_bytes();
    bytes[..8].copy_from_slice(&high);
    for (byte, of_target) in bytes.iter_mut().zip(target.as_bytes()) {
        *byte ^= of_target;
    }
    Id::new(bytes)
}

/// What a question is to an attacker.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Kind {
    /// Wants contacts.
    Find,
    /// Wants a record, or to store one: contacts and a token.
    Read,
    /// Brings a record.
    Store,
    Other,
}

const fn kind(method: &Method<'_>) -> Kind {
    match method {
        Method::FindNode | Method::Unknown { .. } => Kind::Find,
        Method::GetProviders { .. } | Method::Get { .. } | Method::Search { .. } => Kind::Read,
        Method::Announce { .. } | Method::Put { .. } | Method::Publish { .. } => Kind::Store,
        _ => Kind::Other,
    }
}
