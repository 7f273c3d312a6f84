//! Data channels with nodes that hold them, pages above all: from then on their datagrams go
//! straight (docs/webrtc.md).
//!
//! Rules:
//! - A peer's name stays its address in the network, and the core learns nothing of channels:
//!   datagrams for that address take the channel while there is one, and what comes by the channel
//!   comes from there. When it breaks they go by UDP again.
//! - A channel stands for an address only when its other end has shown that it receives what is
//!   sent there: anybody can make an offer in another's name. Until then an older channel stays.
//! - The packets of a channel go over the node's own socket: their first byte tells them from the
//!   network's (RFC 7983), and how the outside sees that socket the network has told us already.
//! - Pages dial us. We dial whom we want something of: over UDP a native node is reached anyway.
//! - No socket and no task here: given time, packets and signals, it gives packets, datagrams and
//!   signals back.

use alloc::collections::{BTreeMap, BTreeSet, VecDeque};
use alloc::sync::Arc;
use core::net::SocketAddr;
use core::ops::Range;
use core::task::{Context, Waker};
use core::time::Duration;
use std::time::Instant;

use kadlet_core::{Contact, Id, LinkId, Path, Prefix, Transmit};
use str0m::Input;
use str0m::net::{Protocol, Receive};
use tokio::sync::{mpsc, oneshot};

use crate::by_source::is_local;
use crate::files::channel::Shelves;

mod crypto;
mod peer;
mod pieces;
mod sdp;

use peer::{Peer, Said};
pub(crate) use pieces::Frame;
use sdp::{Description, Kind};

/// Channels at most. 48: as many as a page holds; each costs some 100 kB.
const MAX_CHANNELS: usize = 48;

/// Attempts at once, ours and others'.
const DIALS: usize = 8;

/// Those that others make. Half: however many they are, we can dial.
const OTHERS_DIALS: usize = DIALS / 2;

/// Attempts and channels of others under one prefix: ids are free, addresses are not. 2 and 4: pages
/// behind one relay have its address, and none of them needs a channel to be reached.
const DIALS_PER_PREFIX: usize = 2;
const CHANNELS_PER_PREFIX: usize = 4;

/// One peer may make an offer so often.
const OFFER_EVERY: Duration = Duration::from_secs(1);

/// Offers that are remembered for it: more than find a place in that time.
const OFFERS: usize = 64;

/// What became of offers and datagrams.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
#[non_exhaustive]
pub struct ChannelStats {
    /// Channels that are open.
    pub open: usize,
    /// Offers that we made.
    pub offered: u64,
    /// Offers of others that we answered.
    pub accepted: u64,
    /// Channels that came about.
    pub opened: u64,
    /// Attempts that came to nothing.
    pub failed: u64,
    /// Signals that are none.
    pub malformed: u64,
    /// Offers and answers that we did not take: too many, too soon, or to nothing we said.
    pub refused: u64,
    /// Datagrams that went straight.
    pub direct: u64,
}

/// What is wished of the channels.
pub(crate) enum Wish {
    /// Whether there is a channel to this address.
    Find(SocketAddr, oneshot::Sender<bool>),
    /// A channel to this node; whether there is one.
    Dial(Id, Path, oneshot::Sender<bool>),
    /// A file, or part of one.
    Ask { remote: SocketAddr, path: String, range: Option<Range<u64>>, room: u64, to: Frames },
    /// Answers requests from here.
    Serve(Arc<Shelves>),
    /// Closes the channel to this address.
    Hangup(SocketAddr),
    /// What became of everything.
    Stats(oneshot::Sender<ChannelStats>),
}

/// Where an answer goes.
pub(crate) type Frames = mpsc::UnboundedSender<Frame>;

/// What the channels give.
pub(crate) enum Out {
    /// A packet to be sent.
    Transmit(Transmit),
    /// A datagram of the network that came by a channel.
    Datagram(Path, Vec<u8>),
    /// A signal to be sent to this address and nowhere else, and the session that it is of.
    Signal { to: Id, at: Path, session: String, payload: Vec<u8> },
}

/// Every connection.
pub(crate) struct Channels {
    own: Id,
    /// Whether others may dial us.
    accepts: bool,
    /// Longest datagram of the network.
    longest: usize,
    /// Where each link is reached, and as what the outside sees it.
    links: Vec<(LinkId, SocketAddr, Option<SocketAddr>)>,
    /// By number, for a peer may have an attempt beside its open channels: at most one.
    peers: BTreeMap<u64, Peer>,
    /// The number of the next one.
    next: u64,
    open: BTreeMap<Path, u64>,
    last_offers: VecDeque<(Id, Instant)>,
    waiting: Vec<(Path, oneshot::Sender<bool>)>,
    shelves: Option<Arc<Shelves>>,
    out: VecDeque<Out>,
    stats: ChannelStats,
}

impl Channels {
    pub(crate) fn new(
        own: Id,
        accepts: bool,
        longest: usize,
        links: impl Iterator<Item = (LinkId, SocketAddr)>,
    ) -> Self {
        Self {
            own,
            accepts,
            longest,
            links: links.map(|(link, address)| (link, address, None)).collect(),
            peers: BTreeMap::new(),
            next: 0,
            open: BTreeMap::new(),
            last_offers: VecDeque::new(),
            waiting: Vec::new(),
            shelves: None,
            out: VecDeque::new(),
            stats: ChannelStats::default(),
        }
    }

    /// Others see us at this address.
    pub(crate) fn seen_as(&mut self, address: SocketAddr) {
        let same = |link: &&mut (_, SocketAddr, _)| link.1.is_ipv4() == address.is_ipv4();
        if let Some(link) = self.links.iter_mut().find(same) {
            link.2 = Some(address);
        }
    }

    pub(crate) fn wish(&mut self, wish: Wish, now: Instant) {
        match wish {
            Wish::Find(remote, to) => {
                let _ = to.send(self.at(remote).is_some());
            }
            Wish::Dial(id, path, done) => self.dial(id, path, done, now),
            Wish::Ask { remote, path, range, room, to } => {
                // Without a channel `to` is dropped, which says so.
                if let Some(peer) = self.at(remote) {
                    peer.pieces.ask(&path, range, room, to);
                }
            }
            Wish::Serve(shelves) => self.shelves = Some(shelves),
            Wish::Hangup(remote) => {
                if let Some(peer) = self.at(remote) {
                    peer.close();
                }
            }
            Wish::Stats(to) => {
                let _ = to.send(ChannelStats { open: self.open.len(), ..self.stats });
            }
        }
    }

    fn at(&mut self, remote: SocketAddr) -> Option<&mut Peer> {
        let (_, number) = self.open.iter().find(|(path, _)| path.remote == remote)?;
        self.peers.get_mut(number)
    }

    /// The attempt to come to a channel with this peer.
    fn attempt(&self, id: Id) -> Option<(u64, &Peer)> {
        let attempt = |peer: &Peer| peer.id == id && !peer.open && !peer.over;
        self.peers.iter().find(|(_, peer)| attempt(peer)).map(|(number, peer)| (*number, peer))
    }

    /// Whether there is a place for an attempt. It takes that of an attempt of the same peer, and
    /// once it is open that of the channel to the same address.
    fn has_room(&self, id: Id, path: Path) -> bool {
        let (attempts, channels) = self.beside(id, path, |_| true);
        attempts < DIALS && channels < MAX_CHANNELS
    }

    /// Whether there is a place for one that somebody else makes.
    fn has_room_for(&self, id: Id, path: Path) -> bool {
        let (attempts, _) = self.beside(id, path, |peer| !peer.offered);
        if attempts >= OTHERS_DIALS || !self.has_room(id, path) {
            return false;
        }
        let prefix = |path: Path| Prefix::of(path.remote.ip().to_canonical());
        let near = |peer: &Peer| !peer.offered && prefix(peer.path) == prefix(path);
        let (attempts, channels) = self.beside(id, path, near);
        let few = attempts < DIALS_PER_PREFIX && channels < CHANNELS_PER_PREFIX;
        few || is_local(path.remote.ip())
    }

    /// Attempts and channels, those to be included, that stay beside another one of this peer.
    fn beside(&self, id: Id, path: Path, of: impl Fn(&Peer) -> bool) -> (usize, usize) {
        let others = self.peers.values().filter(|peer| (peer.open || peer.id != id) && of(peer));
        let attempts = others.clone().filter(|peer| !peer.open).count();
        let channels: BTreeSet<Path> =
            others.map(|peer| peer.path).filter(|other| *other != path).collect();
        (attempts, channels.len())
    }

    fn dial(&mut self, id: Id, path: Path, done: oneshot::Sender<bool>, now: Instant) {
        // Who has lost interest hears nothing.
        if self.open.contains_key(&path) {
            let _ = done.send(true);
        } else if self.attempt(id).is_some() {
            self.waiting.push((path, done));
        } else if id == self.own || !self.has_room(id, path) {
            let _ = done.send(false);
        } else if self.offer(id, path, now).is_some() {
            self.waiting.push((path, done));
        }
        // Dropped, `done` says that nothing comes of it.
    }

    fn offer(&mut self, id: Id, path: Path, now: Instant) -> Option<()> {
        let session = random_hex::<8>()?;
        let mut peer = self.connect(id, path, session, true, now)?;
        self.say(&mut peer, Kind::Offer)?;
        self.stats.offered += 1;
        self.add(peer);
        Some(())
    }

    /// A connection to be; none if its link is gone.
    fn connect(
        &self,
        id: Id,
        path: Path,
        session: String,
        offered: bool,
        now: Instant,
    ) -> Option<Peer> {
        let (_, local, outside) = *self.links.iter().find(|(link, ..)| *link == path.link)?;
        Some(Peer::new(id, path, session, offered, (local, outside), now))
    }

    /// Sends our half of the exchange; none if nobody could reach us by it.
    fn say(&mut self, peer: &mut Peer, kind: Kind) -> Option<()> {
        let said = peer.describe(kind);
        (!said.candidates.is_empty()).then_some(())?;
        let payload = said.encode();
        self.out.push_back(Out::Signal {
            to: peer.id,
            at: peer.path,
            session: said.session,
            payload,
        });
        Some(())
    }

    fn add(&mut self, peer: Peer) {
        self.peers.insert(self.next, peer);
        self.next += 1;
    }

    /// A signal came.
    pub(crate) fn signalled(&mut self, from: Contact, payload: &[u8], now: Instant) {
        let Some(said) = Description::decode(payload) else {
            self.stats.malformed += 1;
            return;
        };
        let taken = match said.kind {
            Kind::Answer => self.answered(from.id, &said),
            Kind::Offer => self.accept(from, &said, now),
        };
        if taken.is_none() {
            self.stats.refused += 1;
        }
    }

    fn answered(&mut self, id: Id, said: &Description) -> Option<()> {
        let (number, _) = self.attempt(id)?;
        let peer = self.peers.get_mut(&number)?;
        let ours = peer.offered && peer.told.is_none() && peer.session == said.session;
        ours.then(|| peer.listen(said))
    }

    fn accept(&mut self, from: Contact, offer: &Description, now: Instant) -> Option<()> {
        let id = from.id;
        if !self.accepts || id == self.own {
            return None;
        }
        // Both dialled: the offer of the lower id stands. A peer that has lost its channel makes a
        // new offer; that anybody can make in its name, so an open channel stays until the new one
        // is open.
        let there = self.attempt(id);
        let before = there.map(|(number, _)| number);
        let ours = there.is_some_and(|(_, peer)| peer.offered) && self.own < id;
        // One that we have dialled has the place already.
        let dialled = there.is_some_and(|(_, peer)| peer.offered && peer.path == from.path);
        self.last_offers.retain(|(_, at)| now.duration_since(*at) < OFFER_EVERY);
        let soon = self.last_offers.iter().any(|(last, _)| *last == id);
        if ours || soon || self.last_offers.len() >= OFFERS {
            return None;
        }
        self.last_offers.push_back((id, now));
        let room = if dialled { Self::has_room } else { Self::has_room_for };
        if !room(self, id, from.path) {
            return None;
        }
        let mut peer = self.connect(id, from.path, offer.session.clone(), false, now)?;
        peer.listen(offer);
        self.say(&mut peer, Kind::Answer)?;
        self.stats.accepted += 1;
        if let Some(before) = before {
            self.replace(before);
        }
        self.add(peer);
        Some(())
    }

    /// Another one takes its place: its end is none of a peer's, and whoever waits for a channel
    /// waits on.
    fn replace(&mut self, number: u64) {
        let Some(mut peer) = self.peers.remove(&number) else { return };
        peer.close();
        self.hear(number, &mut peer);
    }

    /// A signal of ours did not arrive, and its attempt comes to nothing; not another one that has
    /// taken its place.
    pub(crate) fn unheard(&mut self, id: Id, session: &str) {
        if let Some((number, _)) = self.attempt(id)
            && let Some(peer) = self.peers.get_mut(&number)
            && peer.session == session
        {
            peer.close();
        }
    }

    /// Takes a packet that is one of a channel's, by its first byte (RFC 7983); false if it is not.
    pub(crate) fn takes(
        &mut self,
        link: LinkId,
        remote: SocketAddr,
        packet: &[u8],
        now: Instant,
    ) -> bool {
        if self.peers.is_empty() || !matches!(packet.first(), Some(0..=3 | 20..=63)) {
            return false;
        }
        let Some((_, local, _)) = self.links.iter().find(|(it, ..)| *it == link) else {
            return false;
        };
        let Ok(received) = Receive::new(Protocol::Udp, remote, *local, packet) else {
            return false;
        };
        let input = Input::Receive(now, received);
        // The newest first: the one that it takes the place of has the same two ends, and would
        // take all that comes from there. Before a peer has answered its checks, it takes only
        // what is meant for itself.
        let accepts = |(number, peer): (&u64, &Peer)| peer.accepts(&input).then_some(*number);
        if let Some(number) = self.peers.iter().rev().find_map(accepts)
            && let Some(mut peer) = self.peers.remove(&number)
        {
            peer.input(input);
            // Between any two packets: DTLS keeps few of them.
            self.hear(number, &mut peer);
            self.peers.insert(number, peer);
        }
        true
    }

    /// Sends a datagram by the channel to its address; false if there is none.
    pub(crate) fn send(&mut self, transmit: &Transmit) -> bool {
        let Some(number) = self.open.get(&transmit.path) else { return false };
        let Some(peer) = self.peers.get_mut(number) else { return false };
        let sent = peer.send(&transmit.payload);
        self.stats.direct += u64::from(sent);
        sent
    }

    /// When [`poll`](Self::poll) is wanted at the latest.
    pub(crate) fn deadline(&self) -> Option<Instant> {
        self.peers.values().map(Peer::deadline).min()
    }

    /// Does what is due. Files that are read wake the task.
    pub(crate) fn poll(&mut self, cx: &mut Context<'_>, now: Instant) {
        let numbers: Vec<u64> = self.peers.keys().copied().collect();
        for number in numbers {
            // Out of the map, for what it says may concern the others.
            let Some(mut peer) = self.peers.remove(&number) else { continue };
            peer.handle_timeout(now);
            self.hear(number, &mut peer);
            peer.pump(self.shelves.as_ref(), cx, now);
            self.hear(number, &mut peer);
            if peer.over {
                self.ended(number, &peer);
            } else {
                self.peers.insert(number, peer);
            }
        }
        // Nobody waits any more for whom there is no attempt.
        let peers = &self.peers;
        let attempted = |path: Path| peers.values().any(|peer| peer.path == path);
        self.waiting.retain(|(path, done)| !done.is_closed() && attempted(*path));
    }

    /// What comes out of it all.
    pub(crate) fn next(&mut self) -> Option<Out> {
        self.out.pop_front()
    }

    fn hear(&mut self, number: u64, peer: &mut Peer) {
        for said in peer.poll() {
            match said {
                Said::Transmit(transmit) => {
                    let at = |link: &&(_, SocketAddr, _)| link.1 == transmit.source;
                    let Some((link, ..)) = self.links.iter().find(at) else { continue };
                    let path = Path { link: *link, remote: transmit.destination };
                    let payload = transmit.contents.to_vec();
                    self.out.push_back(Out::Transmit(Transmit { path, payload }));
                }
                Said::Datagram(bytes) if bytes.len() <= self.longest => {
                    self.out.push_back(Out::Datagram(peer.path, bytes));
                }
                Said::Datagram(_) => {}
                Said::Opened => self.began(number, peer.path),
            }
        }
    }

    fn began(&mut self, number: u64, path: Path) {
        self.stats.opened += 1;
        // The channel that it takes the place of, of this id or of one that has moved out. One of
        // the same id at another address stays: ids are free.
        if let Some(older) = self.open.insert(path, number) {
            self.replace(older);
        }
        let (done, waiting) = self.waiting.drain(..).partition(|(for_, _)| *for_ == path);
        self.waiting = waiting;
        let done: Vec<_> = done;
        for (_, done) in done {
            // Who has lost interest does not hear it.
            let _ = done.send(true);
        }
    }

    fn ended(&mut self, number: u64, peer: &Peer) {
        if self.open.get(&peer.path) == Some(&number) {
            self.open.remove(&peer.path);
        }
        self.stats.failed += u64::from(!peer.opened);
    }

    /// Says farewell to everybody.
    pub(crate) fn close(&mut self, now: Instant) {
        for peer in self.peers.values_mut() {
            peer.close();
        }
        self.poll(&mut Context::from_waker(Waker::noop()), now);
    }
}

/// Bytes that nobody can guess, in hexadecimal digits.
fn random_hex<const N: usize>() -> Option<String> {
    let mut bytes = [0; N];
    getrandom::fill(&mut bytes).ok()?;
    Some(bytes.iter().map(|byte| format!("{byte:02x}")).collect())
}

#[cfg(test)]
mod tests;
