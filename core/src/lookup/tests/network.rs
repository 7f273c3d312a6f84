//! A network in memory: who knows whom, and what they answer.

use alloc::collections::BTreeSet;

use super::super::*;
use crate::rng::Rng;

/// The id with this number in its last bytes: its distance to the zero id.
pub(super) fn id(number: u16) -> Id {
    let mut bytes = [0; 20];
    bytes[18..].copy_from_slice(&number.to_be_bytes());
    Id::new(bytes)
}

pub(super) fn number(id: Id) -> u16 {
    u16::from_be_bytes([id.as_bytes()[18], id.as_bytes()[19]])
}

/// A loopback address of its own for each number.
pub(super) fn addr(number: u16) -> SocketAddr {
    let [high, low] = number.to_be_bytes();
    ([127, 1, high, low], 6881).into()
}

pub(super) fn contact(number: u16) -> Contact {
    Contact::new(id(number), addr(number))
}

/// Nodes with ideal Kademlia tables: of every bucket min(k, its size) contacts, drawn at random.
pub(super) struct Network {
    pub(super) nodes: Vec<Contact>,
    tables: Vec<Vec<usize>>,
    k: usize,
}

impl Network {
    pub(super) fn new(n: u16, k: usize, rng: &mut Rng) -> Self {
        let nodes: Vec<_> = (0..n).map(|i| Contact::new(Id::random(rng), addr(i))).collect();
        let mut others: Vec<_> = (0..nodes.len()).collect();
        let tables = nodes.iter().map(|own| {
            rng.shuffle(&mut others);
            let mut sizes = [0; 160];
            let mut known = others.clone();
            known.retain(|other| {
                let Some(bucket) = own.id.distance(nodes[*other].id).bucket() else { return false };
                sizes[bucket as usize] += 1;
                sizes[bucket as usize] <= k
            });
            known
        });
        Self { tables: tables.collect(), nodes, k }
    }

    /// The k closest to `target` that the node at `address` knows.
    pub(super) fn answer(&self, address: SocketAddr, target: Id) -> Vec<Contact> {
        let Some(i) = self.nodes.iter().position(|node| node.addr() == address) else {
            return Vec::new();
        };
        nearest(self.tables[i].iter().map(|other| self.nodes[*other]), target, self.k)
    }

    /// Brute force: the k closest of those for whom `holds`.
    pub(super) fn closest(&self, target: Id, holds: impl Fn(&Contact) -> bool) -> Vec<Contact> {
        nearest(self.nodes.iter().copied().filter(|node| holds(node)), target, self.k)
    }

    pub(super) fn some(&self, n: usize, rng: &mut Rng) -> Vec<Contact> {
        let mut nodes = self.nodes.clone();
        rng.shuffle(&mut nodes);
        nodes.truncate(n);
        nodes
    }
}

fn nearest(contacts: impl Iterator<Item = Contact>, target: Id, k: usize) -> Vec<Contact> {
    let mut contacts: Vec<_> = contacts.collect();
    contacts.sort_by_key(|contact| contact.id.distance(target));
    contacts.truncate(k);
    contacts
}

/// What an onlooker saw of one lookup, kept apart from the lookup's own books.
#[derive(Default)]
pub(super) struct Onlooker {
    pub(super) seen: BTreeSet<(Id, SocketAddr)>,
    pub(super) asked: BTreeSet<(Id, SocketAddr)>,
    pub(super) answered: BTreeSet<(Id, SocketAddr)>,
    pub(super) failed: BTreeSet<(Id, SocketAddr)>,
    /// Asked, with a slot; and without.
    pub(super) fast: Vec<Contact>,
    pub(super) slow: Vec<Contact>,
    /// The most that ever held a slot at once.
    pub(super) most: usize,
}

impl Onlooker {
    /// Runs a lookup to its end, in an order drawn by `rng`; the dead never answer.
    pub(super) fn watch(
        lookup: &mut Lookup,
        network: &Network,
        start: &[Contact],
        is_dead: impl Fn(&Contact) -> bool,
        rng: &mut Rng,
    ) -> Self {
        let mut onlooker = Self::default();
        onlooker.seen.extend(start.iter().map(|contact| (contact.id, contact.addr())));
        lookup.start(start.iter().copied());
        loop {
            match lookup.next() {
                Step::Ask(contact) => {
                    let is_new = onlooker.asked.insert((contact.id, contact.addr()));
                    assert!(is_new, "asked twice: {contact:?}");
                    onlooker.fast.push(contact);
                    onlooker.most = onlooker.most.max(onlooker.fast.len());
                    // Sometimes something comes in before the next question goes out.
                    if !rng.one_in(4) {
                        continue;
                    }
                }
                Step::Wait => {}
                Step::Done => return onlooker,
            }
            onlooker.something_happens(lookup, network, &is_dead, rng);
        }
    }

    fn something_happens(
        &mut self,
        lookup: &mut Lookup,
        network: &Network,
        is_dead: impl Fn(&Contact) -> bool,
        rng: &mut Rng,
    ) {
        let in_flight = (self.fast.len() + self.slow.len()) as u64;
        assert!(in_flight > 0, "the lookup waits for nothing");
        let drawn = rng.below(in_flight) as usize;
        let is_fast = drawn < self.fast.len();
        if is_fast && rng.one_in(3) {
            let contact = self.fast.swap_remove(drawn);
            assert!(lookup.slow(contact.id, contact.addr()));
            self.slow.push(contact);
            return;
        }
        let contact = if is_fast {
            self.fast.swap_remove(drawn)
        } else {
            self.slow.swap_remove(drawn - self.fast.len())
        };
        let key = (contact.id, contact.addr());
        if is_dead(&contact) {
            assert!(lookup.failed(contact.id, contact.addr()));
            self.failed.insert(key);
        } else {
            let closer = network.answer(contact.addr(), lookup.target());
            self.seen.extend(closer.iter().map(|contact| (contact.id, contact.addr())));
            assert!(lookup.answered(contact.id, contact.addr(), contact.capabilities, closer));
            self.answered.insert(key);
        }
    }
}
