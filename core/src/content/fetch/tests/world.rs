//! Providers in simulated time: each has a line of its own, and manners of its own.

use alloc::collections::{BTreeMap, BTreeSet};
use alloc::vec;
use alloc::vec::Vec;
use core::net::{Ipv4Addr, SocketAddr};
use core::ops::Range;
use core::time::Duration;
use std::sync::OnceLock;

use blake3::hazmat::{Mode, merge_subtrees_non_root};

use super::super::*;
use crate::content::HashListBuilder;

pub(super) const MIB: usize = PIECE_LEN as usize;

/// Bytes in which no two pieces are alike; one file for all tests, which take prefixes of it.
pub(super) fn file(len: usize) -> &'static [u8] {
    static FILE: OnceLock<Vec<u8>> = OnceLock::new();
    let all = FILE.get_or_init(|| {
        let mut bytes = vec![0; 40 * MIB];
        blake3::Hasher::new().update(b"shared").finalize_xof().fill(&mut bytes);
        bytes
    });
    &all[..len]
}

pub(super) fn list_of(bytes: &[u8]) -> HashList {
    let mut builder = HashListBuilder::new();
    builder.update(bytes);
    builder.finish()
}

pub(super) fn addr(number: u8) -> SocketAddr {
    SocketAddr::from((Ipv4Addr::new(10, 0, 0, number), 1000))
}

/// How a provider behaves. All but the first six are somebody's fault.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Manners {
    Honest,
    /// Takes requests and never says a word.
    Silent,
    /// Gone for good after so many pieces: connections break, then fail.
    Vanishing(u32),
    /// Gone for good after so many pieces, without a word.
    Fading(u32),
    /// Lets everything trickle after so many pieces, a byte each half second.
    Stalling(u32),
    NotFound,
    /// Random bytes for a list.
    WrongList,
    /// A list with the right root and its last two pieces joined.
    JoinedList,
    /// The right list with another size within the last piece.
    WrongSize,
    /// The right list, wrong bytes after so many right pieces.
    WrongPieces(u32),
    /// The right list, pieces one byte short.
    ShortPieces,
}

impl Manners {
    /// Whether it ever gives wrong bytes.
    pub(super) fn is_lying(self) -> bool {
        matches!(
            self,
            Self::WrongList
                | Self::JoinedList
                | Self::WrongSize
                | Self::WrongPieces(_)
                | Self::ShortPieces
        )
    }
}

#[derive(Clone, Debug)]
pub(super) struct Peer {
    pub(super) manners: Manners,
    /// Bytes a second, over all of its connections.
    pub(super) rate: u64,
    pub(super) latency: Duration,
    /// When its line is free.
    free_at: Instant,
    /// Pieces it sent.
    pub(super) sent: u32,
    /// Answers of it that were rejected.
    pub(super) rejected: u32,
}

impl Peer {
    pub(super) fn new(manners: Manners, rate: u64, latency_ms: u64) -> Self {
        let latency = Duration::from_millis(latency_ms);
        Self { manners, rate, latency, free_at: Instant::EPOCH, sent: 0, rejected: 0 }
    }
}

/// What happens to a request next.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug)]
enum Happening {
    Progress(u64),
    Complete(Vec<u8>),
    Fails(u8),
}

const FAILURES: [RequestFailure; 3] =
    [RequestFailure::Unreachable, RequestFailure::Disconnected, RequestFailure::NotFound];

pub(super) struct World {
    pub(super) fetch: Fetch,
    pub(super) now: Instant,
    pub(super) peers: BTreeMap<SocketAddr, Peer>,
    pub(super) events: Vec<FetchEvent>,
    /// What the host wrote.
    pub(super) written: BTreeMap<u32, Vec<u8>>,
    /// Every piece that was asked for, in order.
    pub(super) asked: Vec<(SocketAddr, Want)>,
    /// The most requests in flight at once to one provider, and altogether.
    pub(super) most: (usize, usize),
    pub(super) steps: u32,
    /// When nobody is reached.
    pub(super) outage: Range<Instant>,
    config: FetchConfig,
    content: &'static [u8],
    list: HashList,
    open: BTreeMap<RequestId, Request>,
    /// When each was made.
    since: BTreeMap<RequestId, Instant>,
    agenda: BTreeSet<(Instant, RequestId, u32, Happening)>,
}

impl World {
    pub(super) fn new(content: &'static [u8], size: Option<u64>, peers: Vec<Peer>) -> Self {
        Self::with(FetchConfig::default(), content, size, peers)
    }

    pub(super) fn with(
        config: FetchConfig,
        content: &'static [u8],
        size: Option<u64>,
        peers: Vec<Peer>,
    ) -> Self {
        let list = list_of(content);
        let fetch = Fetch::new(config.clone(), list.id(), size).expect("a file of fair size");
        Self::around(config, fetch, content, list, peers)
    }

    pub(super) fn around(
        config: FetchConfig,
        fetch: Fetch,
        content: &'static [u8],
        list: HashList,
        peers: Vec<Peer>,
    ) -> Self {
        let peers = peers.into_iter().zip(1..).map(|(peer, n)| (addr(n), peer)).collect();
        Self {
            fetch,
            now: Instant::EPOCH,
            peers,
            events: Vec::new(),
            written: BTreeMap::new(),
            asked: Vec::new(),
            most: (0, 0),
            steps: 0,
            outage: Instant::EPOCH..Instant::EPOCH,
            config,
            content,
            list,
            open: BTreeMap::new(),
            since: BTreeMap::new(),
            agenda: BTreeSet::new(),
        }
    }

    /// All providers are found at once, and no more come.
    pub(super) fn find_all(&mut self) {
        for addr in self.peers.keys() {
            assert!(self.fetch.provider_found(self.now, *addr, Id::ZERO) || self.fetch.is_over());
        }
        self.fetch.no_more_providers(self.now);
    }

    /// Until nothing happens any more.
    pub(super) fn run(&mut self) {
        while self.step() {}
        assert!(self.open.is_empty() || !self.fetch.is_over(), "requests outlive the fetch");
    }

    /// One thing happens; false if there is none.
    pub(super) fn step(&mut self) -> bool {
        self.drain();
        self.check();
        self.steps += 1;
        assert!(self.steps < 100_000, "the fetch does not come to rest");
        let deadline = self.fetch.poll_timeout();
        let next = self.agenda.first().map(|(time, ..)| *time);
        match (next, deadline) {
            (None, None) => false,
            (Some(next), deadline) if deadline.is_none_or(|deadline| next <= deadline) => {
                self.now = self.now.max(next);
                self.happen();
                true
            }
            (_, deadline) => {
                self.now = self.now.max(deadline.expect("a deadline"));
                self.fetch.handle_timeout(self.now);
                let again = self.fetch.poll_timeout();
                assert!(again.is_none_or(|again| again > self.now), "{again:?} at {:?}", self.now);
                true
            }
        }
    }

    fn drain(&mut self) {
        while let Some(request) = self.fetch.poll_request() {
            self.asked.push((request.provider, request.want.clone()));
            self.answer(&request);
            self.since.insert(request.id, self.now);
            self.open.insert(request.id, request);
        }
        while let Some(id) = self.fetch.poll_cancel() {
            let request = self.open.remove(&id).expect("only what was asked is cancelled");
            self.agenda.retain(|(_, other, ..)| *other != id);
            // Its line carries what else it was asked for, and is free then.
            let others = self.agenda.iter().filter(|(_, other, ..)| {
                self.open.get(other).is_some_and(|other| other.provider == request.provider)
            });
            let free_at = others.map(|(time, ..)| *time).max().unwrap_or(self.now);
            if let Some(peer) = self.peers.get_mut(&request.provider) {
                peer.free_at = free_at;
            }
        }
        while let Some(event) = self.fetch.poll_event() {
            self.events.push(event);
        }
    }

    /// The limits hold at any time.
    fn check(&mut self) {
        let mut by_peer = BTreeMap::<_, usize>::new();
        let (mut by_piece, mut young) = (BTreeMap::<_, usize>::new(), BTreeMap::<_, usize>::new());
        for (id, request) in &self.open {
            *by_peer.entry(request.provider).or_default() += 1;
            if let Want::Piece { index, .. } = &request.want
                && self.fetch.list().is_some()
            {
                *by_piece.entry(*index).or_default() += 1;
                let since = self.since.get(id).copied().unwrap_or_default();
                let is_young = self.now.since(since) < self.config.stall_timeout;
                *young.entry(*index).or_default() += usize::from(is_young);
            }
        }
        let most = by_peer.values().copied().max().unwrap_or(0);
        assert!(most <= self.config.in_flight_per_provider as usize, "{by_peer:?}");
        assert!(self.open.len() <= self.config.in_flight.max(self.config.trials));
        assert!(young.values().all(|copies| *copies <= self.config.copies), "{young:?}");
        assert!(by_piece.values().all(|copies| *copies < 2 * self.config.copies), "{by_piece:?}");
        self.most = (self.most.0.max(most), self.most.1.max(self.open.len()));
    }

    /// A provider is asked: what it will do, and when.
    fn answer(&mut self, request: &Request) {
        let peer = self.peers.get_mut(&request.provider).expect("asked whom nobody found");
        let bytes = match &request.want {
            Want::HashList { .. } => list_from(peer.manners, &self.list),
            Want::Piece { range, .. } => {
                let range = range.start as usize..range.end as usize;
                // Who never lies about the size is never asked beyond its file.
                let end = range.end.min(self.content.len());
                let mut bytes = self.content[range.start.min(end)..end].to_vec();
                match peer.manners {
                    Manners::WrongPieces(after) if peer.sent >= after => bytes[0] ^= 1,
                    Manners::ShortPieces => drop(bytes.pop()),
                    Manners::JoinedList => bytes.resize(range.len(), 7),
                    _ => {}
                }
                bytes
            }
        };
        let after = self.now + peer.latency;
        if self.outage.contains(&self.now) {
            self.agenda.insert((after, request.id, 0, Happening::Fails(0)));
            return;
        }
        let gone = |limit: u32| peer.sent >= limit;
        match peer.manners {
            Manners::Silent => return,
            Manners::Fading(limit) if gone(limit) => return,
            Manners::Stalling(limit) if gone(limit) => {
                for number in 0..1_000 {
                    let time = after + Duration::from_millis(500) * number;
                    self.agenda.insert((time, request.id, number, Happening::Progress(1)));
                }
                return;
            }
            Manners::Vanishing(limit) if gone(limit) => {
                // The one on its way breaks, the next does not come about.
                let failure = u8::from(gone(limit) && peer.sent == limit);
                peer.sent += 1;
                self.agenda.insert((after, request.id, 0, Happening::Fails(failure)));
                return;
            }
            Manners::NotFound => {
                self.agenda.insert((after, request.id, 0, Happening::Fails(2)));
                return;
            }
            _ => {}
        }
        if matches!(request.want, Want::Piece { .. }) {
            peer.sent += 1;
        }
        // The answer comes in parts of 128 KiB, behind what the line carries already.
        let mut time = peer.free_at.max(after);
        // Whoever is slow is heard of every four seconds.
        let part = (peer.rate as usize * 4).min(MIB / 8);
        let parts = bytes.chunks(part).map(<[u8]>::len).collect::<Vec<_>>();
        for (part, number) in parts.iter().zip(0..) {
            time = time + Duration::from_micros(*part as u64 * 1_000_000 / peer.rate);
            if number as usize + 1 < parts.len() {
                self.agenda.insert((time, request.id, number, Happening::Progress(*part as u64)));
            }
        }
        peer.free_at = time;
        self.agenda.insert((time, request.id, u32::MAX, Happening::Complete(bytes)));
    }

    fn happen(&mut self) {
        let Some((_, id, _, happening)) = self.agenda.pop_first() else {
            return;
        };
        match happening {
            Happening::Progress(bytes) => self.fetch.progressed(self.now, id, bytes),
            Happening::Fails(failure) => {
                self.open.remove(&id);
                self.fetch.request_failed(self.now, id, FAILURES[usize::from(failure)]);
            }
            Happening::Complete(bytes) => {
                let request = self.open.remove(&id).expect("an open request");
                let peer = self.peers.get_mut(&request.provider).expect("a peer");
                let verdict = match request.want {
                    Want::HashList { max_len } => {
                        let read = bytes.len().min(usize::try_from(max_len).expect("fits"));
                        self.fetch.list_received(self.now, id, &bytes[..read])
                    }
                    Want::Piece { index, .. } => {
                        let verdict = self.fetch.piece_received(self.now, id, &bytes);
                        if verdict == Verdict::Accepted {
                            let again = self.written.insert(index, bytes);
                            assert!(again.is_none(), "piece {index} accepted twice");
                        }
                        verdict
                    }
                };
                assert_ne!(verdict, Verdict::Unwanted, "what was not cancelled is wanted");
                peer.rejected += u32::from(verdict == Verdict::Rejected);
            }
        }
    }

    /// What the host wrote, in order.
    pub(super) fn output(&self) -> Vec<u8> {
        self.written.values().flatten().copied().collect()
    }

    pub(super) fn is_done(&self) -> bool {
        self.events.last() == Some(&FetchEvent::Done)
    }

    /// Why a provider was dropped, if it was.
    pub(super) fn rejection(&self, number: u8) -> Option<Rejection> {
        self.fetch.rejected().find(|(who, _)| *who == addr(number)).map(|(_, reason)| reason)
    }
}

/// The list that somebody of these manners gives.
fn list_from(manners: Manners, list: &HashList) -> Vec<u8> {
    let mut bytes = list.encode();
    match manners {
        Manners::WrongList => bytes.iter_mut().for_each(|byte| *byte ^= 0x55),
        Manners::WrongSize if list.size() > 1 => {
            bytes[..8].copy_from_slice(&(list.size() - 1).to_le_bytes());
            bytes.truncate(HashList::encoded_len(list.size() - 1) as usize);
        }
        Manners::JoinedList if list.pieces().is_multiple_of(2) && list.pieces() > 2 => {
            let split = bytes.len() - 64;
            let pair: [u8; 64] = bytes[split..].try_into().expect("two hashes");
            let (left, right) = pair.split_at(32);
            let (left, right) = (left.try_into().expect("32"), right.try_into().expect("32"));
            let joined = merge_subtrees_non_root(&left, &right, Mode::Hash);
            bytes.truncate(split);
            bytes.extend_from_slice(&joined);
            let size = u64::from(list.pieces() - 1) * PIECE_LEN;
            bytes[..8].copy_from_slice(&size.to_le_bytes());
        }
        // Of few pieces there is nothing to join.
        Manners::JoinedList => bytes.push(0),
        _ => {}
    }
    bytes
}
