//! Questions from others, and what we say to them.
//!
//! A question never inserts its sender into a table: it may be a forgery. At most it makes the
//! sender a candidate, to be pinged when there is room for it. Whatever a question costs is
//! limited by source, and no answer to an address that has not shown to receive our datagrams is
//! longer than three times the question; on Mainline, which has no cookies by which it could be
//! shown at once, not longer than five and a half times, beyond which stored data is paid for from
//! a budget of the address's prefix.

use core::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use arrayvec::ArrayVec;

use super::keep::refusal;
use super::operation::{Announcement, NO_LIST, ONLY_TOKEN, Purpose, travelling};
use super::{Node, within_scope};
use crate::contact::{Capabilities, Contact, Families, Family, Path, Scope, is_usable};
use crate::event::{Event, Rejected};
use crate::id::Id;
use crate::limit::Cost;
use crate::record::{Item, Provider, SearchEntry, SearchFilter, Transports};
use crate::sort::sort_few_by_key;
use crate::table::Filter;
use crate::time::Instant;
use crate::wire::{
    Body, ErrorCode, Failure, Hit, List, Malformed, Message, Method, NodeInfo, Peer, Query,
    Response,
};

/// An answer to an unproven address is at most this many times as long as its question.
const AMPLIFICATION: usize = 3;

/// The same on a wire without cookies, in halves, as far as it is not paid for: eight contacts and 28
/// peers fit, or eight contacts of either family.
const HALVES_WITHOUT_COOKIES: usize = 11;

/// The most contacts one answer carries: k of either family.
pub(super) const MAX_NODES: usize = 40;

/// Providers looked at for one list: more than fit into half a datagram, so that one sees whether
/// there are more.
const MAX_PEERS: usize = 128;

/// Ports of one public address in a list that has no further pages: households and providers share an
/// address, and nobody fills a list by announcing all of its ports.
const MAX_PORTS: usize = 3;

/// Search entries looked at for one list, likewise.
const MAX_HITS: usize = 32;

/// Nodes whose signals we may want to answer: as many as a host works on at once, and then some. 4 kB.
const SIGNALLERS: usize = 64;

/// Who asks, as far as an answer needs to know.
#[derive(Clone, Copy)]
pub(super) struct Asker {
    pub(super) path: Path,
    pub(super) id: Id,
    /// The most bytes the answer may have, unless more is paid for.
    room: usize,
    /// Whether it is answered like somebody who has shown to receive our datagrams: on a wire without
    /// cookies everybody is.
    pub(super) proven: bool,
    /// Whether its address has shown that.
    shown: bool,
}

impl Asker {
    /// What its answer has for a list: half of it at least is kept for contacts.
    const fn list_room(self) -> usize {
        self.room / 2
    }
}

impl Node {
    pub(super) fn handle_query(
        &mut self,
        now: Instant,
        path: Path,
        message: &Message<'_>,
        query: &Query<'_>,
        len: usize,
    ) -> Result<(), Rejected> {
        let Some(id) = message.sender else { return Err(Rejected::Malformed(Malformed::Missing)) };
        let has_cookie =
            message.cookie.is_some_and(|it| self.tokens.check_cookie(now, &it, path.remote));
        let known = self.proofs.is_proven(now, &path.remote);
        // Where there are cookies, an address that is known to be somebody's is forged as easily.
        let is_own = has_cookie || known && !self.wire.has_cookies();
        let cost = if is_own { Cost::ShownQuery } else { Cost::Query };
        if !self.limits.allow(now, cost, path.remote) {
            return Err(Rejected::RateLimited);
        }
        if has_cookie {
            self.proofs.prove(now, path.remote);
        }
        let shown = known || has_cookie;
        let proven = shown || !self.config.amplification.holds_for(path.remote.ip());
        let bound = if !proven {
            AMPLIFICATION * len
        } else if shown || self.wire.has_cookies() || !self.limits.hold_for(path.remote) {
            usize::MAX
        } else {
            HALVES_WITHOUT_COOKIES * len / 2
        };
        let room = self.max_datagram(path).min(bound);
        let asker = Asker { path, id, room, proven, shown };
        if !message.client {
            self.meet(now, id, path, shown);
        }
        self.note_stranger(now, path);
        if !self.answers_questions() {
            return Ok(());
        }
        self.stats.queries_answered += 1;
        self.answer(now, asker, message, query);
        Ok(())
    }

    /// Whether it is one of those that are asked: Mainline's clients are read-only (BEP 43).
    pub(super) fn answers_questions(&self) -> bool {
        !self.is_client() || self.wire.clients_answer()
    }

    /// Somebody who is no client spoke to us: the table may want to ping it.
    fn meet(&mut self, now: Instant, id: Id, path: Path, shown: bool) {
        let family = path.family();
        self.table_mut(family).heard_from(now, id, path, shown);
        if self.offline.is() {
            self.greet(now, id, path);
        }
    }

    fn answer(&mut self, now: Instant, asker: Asker, message: &Message<'_>, query: &Query<'_>) {
        match &query.method {
            Method::Ping { nonce } => {
                if let Some(nonce) = nonce {
                    self.handle_reach_ping(now, *nonce, asker.path);
                }
                self.reply(now, asker, message, Response::default());
            }
            Method::FindNode => {
                self.reply_with_nodes(now, asker, message, query, Response::default())
            }
            #[cfg(feature = "mainline")]
            Method::GetProviders { scrape: true, .. } => {
                self.answer_scrape(now, asker, message, query);
            }
            Method::GetProviders { page, no_seeds, .. } => {
                self.answer_providers(now, asker, message, query, *page, *no_seeds);
            }
            Method::Get { newer_than } => self.answer_get(now, asker, message, query, *newer_than),
            Method::Search { words, page } => {
                self.answer_search(now, asker, message, query, words, *page);
            }
            Method::Announce { token, port, implied_port, transports, seed } => {
                // The address is the sender's own; only the port is its choice.
                let mut address = asker.path.remote;
                if let Some(port) = port
                    && !implied_port
                {
                    address.set_port(*port);
                }
                let mut transports = Transports(*transports);
                if *seed && !self.wire.has_capabilities() {
                    transports = transports.union(Transports::COMPLETE);
                }
                let provider = Provider { addr: address, transports };
                let result = self.check_token(now, asker, query, token).and_then(|key| {
                    if !is_usable(address) {
                        return Err(Failure::new(ErrorCode::Protocol));
                    }
                    let from = asker.path.remote;
                    self.store.put_provider(now, key, provider, from).map(|_| ()).map_err(refusal)
                });
                self.reply_stored(now, asker, message, result);
            }
            Method::Put { token, item, cas, age, lifetime } => {
                let result = self.take_value(now, asker, query, token, item, *cas, *age, *lifetime);
                self.reply_stored(now, asker, message, result);
            }
            Method::Publish { token, entry } => {
                let result = self.take_entry(now, asker, query, token, entry);
                self.reply_stored(now, asker, message, result);
            }
            Method::Signal { origin, payload } => {
                self.pass_signal(now, asker, query, *origin, payload);
                self.reply(now, asker, message, Response::default());
            }
            Method::DialBack { nonce } => {
                self.pass_dial_back(now, asker, *nonce);
                self.reply(now, asker, message, Response::default());
            }
            Method::Probe { address, nonce } => {
                self.probe(now, asker, *address, *nonce);
                self.reply(now, asker, message, Response::default());
            }
            // The unknown crosses us like a find_node, so that new methods work among old nodes.
            #[cfg(feature = "mainline")]
            Method::SampleKeys if !self.wire.has_capabilities() => {
                self.answer_sample(now, asker, message, query);
            }
            Method::SampleKeys | Method::Unknown { .. } if query.target.is_some() => {
                let response = Response { unsupported: true, ..Response::default() };
                self.reply_with_nodes(now, asker, message, query, response);
            }
            Method::SampleKeys | Method::Unknown { .. } => {
                self.reply_error(asker, message, Failure::new(ErrorCode::UnknownMethod));
            }
        }
    }

    /// Whether so many bytes of stored data may go to an address that may be somebody else's: what is
    /// stored for a few bytes could be asked for a thousand times. Makes room for them.
    pub(super) fn pay(&mut self, now: Instant, asker: &mut Asker, bytes: usize) -> bool {
        if asker.shown {
            return true;
        }
        // No datagram has more than 2^16.
        let paid = self.limits.allow(now, Cost::StoredBytes(bytes as u32), asker.path.remote);
        if paid {
            asker.room = self.max_datagram(asker.path).min(asker.room + bytes);
        }
        paid
    }

    /// Where we provide from, in an answer by this path. Others than ourselves take an address as it
    /// is written: on Mainline it is one of ours that makes sense to the asker, or none.
    fn ourselves(&self, asker: Path, port: u16) -> Option<SocketAddr> {
        let family = asker.family();
        if self.wire.has_capabilities() {
            return Some(itself(family, port));
        }
        let local = self.links.get(&asker.link).map(|link| link.local);
        let known = local.into_iter().chain(self.reach.seen_from_outside(family));
        known.map(|address| SocketAddr::new(address.ip(), port)).find(|address| {
            Family::of(address) == family
                && is_usable(*address)
                && within_scope(*address, asker.remote)
        })
    }

    fn answer_providers(
        &mut self,
        now: Instant,
        mut asker: Asker,
        message: &Message<'_>,
        query: &Query<'_>,
        page: u32,
        no_seeds: bool,
    ) {
        let Some(key) = query.target else {
            return self.reply_error(asker, message, Failure::new(ErrorCode::Protocol));
        };
        let mut peers: ArrayVec<Peer, MAX_PEERS> = ArrayVec::new();
        let mut cursors: ArrayVec<u32, MAX_PEERS> = ArrayVec::new();
        if asker.proven && page != NO_LIST {
            // Ourselves first, at the address by which we are asked.
            if page == 0
                && let Some((_, Announcement { port: Some(port), transports, .. })) =
                    self.provided.get(&key)
                && let Some(address) = self.ourselves(asker.path, *port)
            {
                peers.push(Peer { address, transports: transports.0 });
                cursors.push(1);
            }
            // A private address means another machine to a public asker.
            // Without pages one answer is all that anybody hears: each begins somewhere else, or of a
            // thousand peers the same few would be told to everybody.
            let after = if self.wire.has_pages() { page } else { self.rng.next_u32() >> 2 };
            let before = self.store.providers(now, key, 0).take_while(|(at, _)| *at <= after);
            let before = before.filter(|_| !self.wire.has_pages());
            let held = self.store.providers(now, key, after).chain(before);
            let mut told: ArrayVec<IpAddr, MAX_PEERS> = ArrayVec::new();
            let nameable = held.filter(|(_, it)| {
                within_scope(it.addr, asker.path.remote)
                    && self.lists_together(it.addr, asker.path)
                    && !(no_seeds && it.transports.contains(Transports::COMPLETE))
            });
            let nameable = nameable.filter(|(_, it)| {
                let ip = it.addr.ip();
                let crowds = !self.wire.has_pages()
                    && Scope::of(ip) == Some(Scope::Public)
                    && told.iter().filter(|other| **other == ip).count() >= MAX_PORTS;
                !crowds && told.try_push(ip).is_ok()
            });
            for (cursor, provider) in nameable.take(MAX_PEERS - 1) {
                peers.push(Peer { address: provider.addr, transports: provider.transports.0 });
                cursors.push(cursor);
            }
        }
        let most = self.max_datagram(asker.path);
        let more = most - asker.room;
        let mut fitting = self.wire.fit_peers(&peers, asker.list_room());
        if asker.proven
            && self.wire.fit_peers(&peers, most / 2) > fitting
            && self.pay(now, &mut asker, more)
        {
            fitting = self.wire.fit_peers(&peers, asker.list_room());
        }
        let next_page = last_of(&cursors, fitting);
        peers.truncate(fitting);
        let token = self.token_for(now, asker, key);
        let response = Response {
            token: token.as_ref().map(|token| &token[..]),
            providers: List::new(&peers),
            next_page,
            ..Response::default()
        };
        self.reply_with_nodes(now, asker, message, query, response);
    }

    /// Mainline lists over one family the peers of that family (BEP 32): who has both asks over both,
    /// and some read no mixed list.
    fn lists_together(&self, peer: SocketAddr, asker: Path) -> bool {
        self.wire.has_capabilities() || Family::of(&peer) == asker.family()
    }

    fn answer_get(
        &mut self,
        now: Instant,
        mut asker: Asker,
        message: &Message<'_>,
        query: &Query<'_>,
        newer_than: Option<u64>,
    ) {
        let Some(key) = query.target else {
            return self.reply_error(asker, message, Failure::new(ErrorCode::Protocol));
        };
        let held = if asker.proven { self.held_item(now, key) } else { None };
        let held = held.filter(|item| self.pay(now, &mut asker, item.as_bytes().len()));
        let token = self.token_for(now, asker, key);
        let token = token.as_ref().map(|token| &token[..]);
        let mut response = Response { token, ..Response::default() };
        if let Some(held) = &held {
            response.seq = held.seq();
            // An immutable value has no number, and is wanted unless only a token is.
            let wanted = match (held.seq(), newer_than) {
                (_, None) => true,
                (Some(seq), Some(than)) => seq > than,
                (None, Some(than)) => than != ONLY_TOKEN,
            };
            if wanted {
                response.item = Some(travelling(held));
            }
        }
        self.reply_with_nodes(now, asker, message, query, response);
    }

    fn answer_search(
        &mut self,
        now: Instant,
        asker: Asker,
        message: &Message<'_>,
        query: &Query<'_>,
        words: &str,
        page: u32,
    ) {
        let Some(key) = query.target else {
            return self.reply_error(asker, message, Failure::new(ErrorCode::Protocol));
        };
        let token = self.token_for(now, asker, key);
        let mut found: ArrayVec<SearchEntry, MAX_HITS> = ArrayVec::new();
        let mut cursors: ArrayVec<u32, MAX_HITS> = ArrayVec::new();
        if asker.proven && page != NO_LIST {
            let filter = SearchFilter::parse(words);
            for (cursor, entry) in self.store.search(now, key, &filter, page).take(MAX_HITS) {
                found.push(entry.clone());
                cursors.push(cursor);
            }
        }
        let mut hits: ArrayVec<Hit<'_>, MAX_HITS> = found.iter().map(hit).collect();
        let fitting = self.wire.fit_hits(&hits, asker.list_room());
        let next_page = last_of(&cursors, fitting);
        hits.truncate(fitting);
        let response = Response {
            token: token.as_ref().map(|token| &token[..]),
            hits: List::new(&hits),
            next_page,
            ..Response::default()
        };
        self.reply_with_nodes(now, asker, message, query, response);
    }

    /// The value we hold under `key`, of either kind.
    pub(super) fn held_item(&self, now: Instant, key: Id) -> Option<Item> {
        let signed = || self.store.signed(now, key).cloned().map(Item::Signed);
        let held = self.store.value(now, key);
        held.map(|held| Item::Immutable(held.value.clone())).or_else(signed)
    }

    /// A signal for us is an event; one for a contact of ours goes on to it, once.
    fn pass_signal(
        &mut self,
        now: Instant,
        asker: Asker,
        query: &Query<'_>,
        origin: Option<NodeInfo>,
        payload: &[u8],
    ) {
        let Some(target) = query.target else { return };
        let believable = |info: NodeInfo| {
            is_usable(info.address) && within_scope(info.address, asker.path.remote)
        };
        if origin.is_some_and(|info| !believable(info)) {
            return;
        }
        if self.ids.contains(&target) {
            let from = match origin {
                None => {
                    Contact { id: asker.id, path: asker.path, capabilities: Capabilities::NONE }
                }
                Some(info) => Contact {
                    id: info.id,
                    path: Path { link: asker.path.link, remote: info.address },
                    capabilities: info.capabilities,
                },
            };
            self.remember_signaller(from);
            self.push_event(Event::Signal { from, payload: payload.to_vec() });
            return;
        }
        // One hop, one for one: what was already handed on is not handed on again.
        if origin.is_some() || !self.limits.allow(now, Cost::Query, asker.path.remote) {
            return;
        }
        // Whom it goes to may say nothing to it, and each is waited for: strangers must not take the
        // room that our own questions need.
        if self.requests.len() >= self.config.requests.outstanding / 8 {
            return;
        }
        let contact = self.tables.iter().find_map(|table| table.get(target)).map(|it| it.contact);
        if let Some(contact) = contact {
            let origin = NodeInfo {
                id: asker.id,
                address: asker.path.remote,
                capabilities: Capabilities::NONE,
            };
            let method = Method::Signal { origin: Some(origin), payload };
            let query = Query::about(target, method);
            self.ask(now, contact.path, Some(contact.id), query, Purpose::Forward);
        }
    }

    fn remember_signaller(&mut self, from: Contact) {
        self.signallers.retain(|(id, _)| *id != from.id);
        self.signallers.truncate(SIGNALLERS - 1);
        self.signallers.push_front((from.id, from.path));
    }

    fn reply_stored(
        &mut self,
        now: Instant,
        asker: Asker,
        message: &Message<'_>,
        result: Result<(), Failure<'static>>,
    ) {
        match result {
            Ok(()) => self.reply(now, asker, message, Response::default()),
            Err(failure) => self.reply_error(asker, message, failure),
        }
    }

    /// Adds the contacts closest to the target, as many as fit, and replies.
    pub(super) fn reply_with_nodes(
        &mut self,
        now: Instant,
        asker: Asker,
        message: &Message<'_>,
        query: &Query<'_>,
        mut response: Response<'_>,
    ) {
        let want =
            if query.want.is_empty() { Families::only(asker.path.family()) } else { query.want };
        let mut nodes: ArrayVec<NodeInfo, MAX_NODES> = ArrayVec::new();
        if let Some(target) = query.target {
            self.gather_nodes(target, want, query.mask, asker, &mut nodes);
            let by_family = response.item.is_some() && self.wire.ipv6_gives_way_to_values();
            if want == Families::BOTH && !by_family {
                // Where not all fit, the farthest of either family are left out.
                sort_few_by_key(&mut nodes, |node| node.id.distance(target));
            }
        }
        response.listed = want;
        // An unproven asker is told so: with the cookie it gets token, lists and all contacts.
        response.short = !asker.proven;
        let mut reply = self.reply_message(now, asker, message, Body::Response(response));
        let room = asker.room.saturating_sub(self.wire.encoded_len(&reply));
        nodes.truncate(self.wire.fit_nodes(&nodes, room));
        if let Body::Response(response) = &mut reply.body {
            response.nodes = List::new(&nodes);
        }
        if !asker.proven {
            self.stats.shortened += 1;
        }
        self.send(asker.path, &reply);
    }

    /// The k closest contacts of each wanted family that may be named to the asker.
    fn gather_nodes(
        &self,
        target: Id,
        want: Families,
        mask: Capabilities,
        asker: Asker,
        nodes: &mut ArrayVec<NodeInfo, MAX_NODES>,
    ) {
        let filter = Filter::answering(asker.id).capable(mask);
        let k = self.config.table.k.min(MAX_NODES / 2);
        let asking = Scope::of(asker.path.remote.ip());
        // As many of one owner of addresses as one lookup would follow.
        let per_prefix = match self.config.lookup.per_prefix {
            0 => usize::MAX,
            some => some,
        };
        for family in want.iter() {
            let closest = self.table(family).closest(target, filter).diverse(per_prefix);
            closest.name(k, asking, |id, address, capabilities| {
                nodes.push(NodeInfo { id, address, capabilities });
            });
        }
    }

    fn reply(&mut self, now: Instant, asker: Asker, message: &Message<'_>, response: Response<'_>) {
        let reply = self.reply_message(now, asker, message, Body::Response(response));
        self.send(asker.path, &reply);
    }

    fn reply_message<'a>(
        &mut self,
        now: Instant,
        asker: Asker,
        message: &Message<'a>,
        mut body: Body<'a>,
    ) -> Message<'a> {
        if let (Body::Response(response), Body::Query(query)) = (&mut body, &message.body) {
            response.method = query.method.code();
        }
        let own = self.own_id(asker.path.family());
        let mut reply = Message::new(message.transaction, own, body);
        reply.client = self.is_client();
        reply.capabilities = Some(self.config.capabilities);
        reply.observed = Some(asker.path.remote);
        if !asker.proven {
            reply.cookie = Some(self.tokens.cookie(now, asker.path.remote));
        }
        reply
    }

    pub(super) fn reply_error(
        &mut self,
        asker: Asker,
        message: &Message<'_>,
        mut failure: Failure<'_>,
    ) {
        failure.code = self.wire.error_code(failure.code);
        if let Body::Query(query) = &message.body {
            failure.method = query.method.code();
        }
        let mut reply = Message::new(
            message.transaction,
            self.own_id(asker.path.family()),
            Body::Error(failure),
        );
        reply.client = self.is_client();
        // Who is refused must not believe that we can do nothing.
        reply.capabilities = Some(self.config.capabilities);
        self.send(asker.path, &reply);
    }
}

/// How an answer names its own sender as a provider, on our own wire: it need not know its address
/// from outside.
pub(super) const fn itself(family: Family, port: u16) -> SocketAddr {
    match family {
        Family::V4 => SocketAddr::new(IpAddr::V4(Ipv4Addr::UNSPECIFIED), port),
        Family::V6 => SocketAddr::new(IpAddr::V6(Ipv6Addr::UNSPECIFIED), port),
    }
}

/// The cursor to go on with after the first `fitting` of a list, if there are more.
fn last_of(cursors: &[u32], fitting: usize) -> Option<u32> {
    if fitting < cursors.len() { cursors.get(fitting.checked_sub(1)?).copied() } else { None }
}

/// A search entry as it travels.
pub(super) fn hit(entry: &SearchEntry) -> Hit<'_> {
    let mut hit = Hit::new(entry.name(), entry.size(), entry.content());
    hit.extra = entry.extra();
    hit
}
