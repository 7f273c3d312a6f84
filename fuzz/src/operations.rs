//! Two or three nodes, a network that lies, and a clock that jumps: every byte is a decision.
//!
//! The nodes talk to each other and to strangers. A datagram on its way may arrive, arrive twice,
//! late, cut, changed, or from another address; strangers answer whatever they like, with the right
//! transaction and id if they please, and show tokens and cookies they were given. Hosts give
//! commands, bring links up and down, restart nodes. The numbers are small, so that every cap is
//! reached. `host.rs` states what must hold after every step.

mod host;
mod stranger;

use alloc::collections::{BTreeMap, VecDeque};
use core::net::SocketAddr;
use core::time::Duration;

use kadlet_core::config::{AddressIds, Enforce, Network, Role};
use kadlet_core::content::ContentId;
use kadlet_core::record::{
    Form, Item, MAX_WORDS, SearchEntry, SearchQuery, SignedValue, Transports, Value,
};
use kadlet_core::wire::Wire;
use kadlet_core::wire::bencode::put_bytes;
use kadlet_core::wire::mainline::Mainline;
use kadlet_core::{
    Announcement, Config, Families, Family, GetQuery, Id, Instant, LinkId, OperationId, Path,
    PutOptions,
};

use crate::input::Input;
use crate::{NETWORK, native};
use host::Host;

/// Steps of one input: enough for two joins, a put and its renewal, few enough to be quick.
const STEPS: usize = 256;

/// Datagrams on their way, and datagrams remembered to come again.
const IN_FLIGHT: usize = 64;

/// Addresses that are not one of our nodes.
const STRANGERS: usize = 16;

/// Lets a small network live as the bytes say.
pub fn operations(data: &[u8]) {
    let mut input = Input::new(data);
    let mut world = World::new(&mut input);
    for _ in 0..STEPS {
        if input.is_empty() {
            break;
        }
        world.step(&mut input);
    }
    world.end();
}

/// A datagram between two addresses.
#[derive(Clone, Debug)]
struct Datagram {
    from: SocketAddr,
    to: SocketAddr,
    payload: Vec<u8>,
}

struct World {
    wire: Wire,
    public: bool,
    hosts: Vec<Host>,
    now: Instant,
    in_flight: VecDeque<Datagram>,
    past: VecDeque<Datagram>,
    /// What strangers were given: by their address and the node's.
    tokens: BTreeMap<(SocketAddr, SocketAddr), Vec<u8>>,
    cookies: BTreeMap<(SocketAddr, SocketAddr), [u8; 8]>,
}

impl World {
    fn new(input: &mut Input<'_>) -> Self {
        let kind = input.byte();
        let (mainline, public, third) = (kind & 1 == 1, kind & 2 == 2, kind & 4 == 4);
        let now = Instant::from_secs(1_000);
        let config = config(mainline, kind);
        let hosts = (0..2 + u8::from(third))
            .map(|index| Host::new(&config, index, addresses(public, u16::from(index)), now))
            .collect();
        Self {
            wire: if mainline { Wire::Mainline(Mainline) } else { Wire::Native(native()) },
            public,
            hosts,
            now,
            in_flight: VecDeque::new(),
            past: VecDeque::new(),
            tokens: BTreeMap::new(),
            cookies: BTreeMap::new(),
        }
    }

    fn step(&mut self, input: &mut Input<'_>) {
        match input.byte() % 24 {
            0..=3 => self.run_network(1 + input.below(16)),
            4 => self.deliver_spoiled(input, |payload, input| {
                let at = usize::from(input.byte()) | usize::from(input.byte()) << 8;
                if let Some(byte) = payload.get_mut(at % 1_500) {
                    *byte = input.byte();
                }
            }),
            5 => self.deliver_spoiled(input, |payload, input| {
                payload.truncate(usize::from(input.byte()) << (input.byte() & 3));
            }),
            6 => self.deliver_spoiled(input, |payload, input| {
                payload.extend_from_slice(input.bytes(16));
            }),
            7 => self.deliver_elsewhere(input),
            8 => self.deliver_again(input),
            9 => self.deliver_bytes(input),
            10 | 11 => self.stranger_answers(input),
            12 | 13 => self.stranger_asks(input),
            14 => self.next_deadline(input),
            15 => self.wait(input),
            16..=20 => self.command(input),
            21 => self.links(input),
            22 => self.restart(input),
            _ => self.lose(input),
        }
    }

    /// Delivers what is on its way to our nodes, and what they answer, oldest first.
    fn run_network(&mut self, at_most: usize) {
        for _ in 0..at_most {
            let ours = |it: &Datagram| self.host_at(it.to).is_some();
            let Some(at) = self.in_flight.iter().position(ours) else { return };
            if let Some(datagram) = self.in_flight.remove(at) {
                self.now = self.now + Duration::from_millis(10);
                self.arrive(&datagram);
            }
        }
    }

    fn deliver_spoiled(
        &mut self,
        input: &mut Input<'_>,
        spoil: impl Fn(&mut Vec<u8>, &mut Input<'_>),
    ) {
        if let Some(mut datagram) = self.pick(input) {
            spoil(&mut datagram.payload, input);
            self.arrive(&datagram);
        }
    }

    /// From another address, or at another node.
    fn deliver_elsewhere(&mut self, input: &mut Input<'_>) {
        let Some(mut datagram) = self.pick(input) else { return };
        let other = self.address(input);
        if input.bit() {
            datagram.from = other;
        } else {
            datagram.to = other;
        }
        self.arrive(&datagram);
    }

    fn deliver_again(&mut self, input: &mut Input<'_>) {
        if !self.past.is_empty() {
            let at = input.below(self.past.len());
            self.arrive(&self.past[at].clone());
        }
    }

    fn deliver_bytes(&mut self, input: &mut Input<'_>) {
        let (from, to) = (self.address(input), self.hosts[self.host(input)].addresses[0]);
        let len = usize::from(input.byte());
        self.arrive(&Datagram { from, to, payload: input.bytes(len).to_vec() });
    }

    fn lose(&mut self, input: &mut Input<'_>) {
        if input.bit() {
            self.in_flight.clear();
        } else {
            self.pick(input);
        }
    }

    fn next_deadline(&mut self, input: &mut Input<'_>) {
        let host = self.host(input);
        if let Some(deadline) = self.hosts[host].node.poll_timeout() {
            self.now = self.now.max(deadline);
            self.catch_up(host);
        }
    }

    fn wait(&mut self, input: &mut Input<'_>) {
        const MILLIS: [u64; 8] = [1, 100, 1_000, 5_000, 61_000, 901_000, 3_601_000, 90_000_000];
        self.now = self.now + Duration::from_millis(MILLIS[input.below(MILLIS.len())]);
        for host in 0..self.hosts.len() {
            self.catch_up(host);
        }
    }

    fn command(&mut self, input: &mut Input<'_>) {
        let (host, now) = (self.host(input), self.now);
        let method = input.byte() % 16;
        let (known, key) = (self.address(input), self.key(input));
        let mainline = matches!(self.wire, Wire::Mainline(_));
        let node = &mut self.hosts[host].node;
        match method {
            0 => {
                let paths = [Path::direct(known), Path::direct(self.hosts[0].addresses[0])];
                let count = input.below(paths.len() + 1);
                self.hosts[host].node.bootstrap(now, &paths[..count]);
            }
            1 => drop(node.find_node(now, key)),
            2 => drop(node.providers(now, key)),
            3 => {
                let mut announcement = Announcement::http(u16::from(input.byte()));
                announcement.renew = input.bit();
                announcement.transports = Transports(input.byte());
                announcement.port = announcement.port.filter(|port| *port != 7);
                node.announce(now, key, announcement);
            }
            4 | 5 => {
                let mut query = GetQuery::new(key);
                query.newer_than = input.bit().then(|| input.number());
                query.salt = input.bytes(input_len(key)).to_vec();
                node.get(now, query);
            }
            6 | 7 => {
                let mut options =
                    if input.bit() { PutOptions::renewed() } else { PutOptions::default() };
                options.cas = input.bit().then(|| input.number());
                if let Some(item) = item(input, mainline) {
                    node.put(now, item, options).ok();
                }
            }
            8 => {
                if let Ok(query) = SearchQuery::parse(TEXTS[input.below(TEXTS.len())]) {
                    node.search(now, query);
                }
            }
            9 => {
                let name = TEXTS[input.below(TEXTS.len())];
                if let Ok(entry) = SearchEntry::new(name, input.number(), [input.byte(); 32]) {
                    node.publish(now, entry, input.bit()).ok();
                }
            }
            10 => drop(node.signal(now, key, &vec![7; 8 * usize::from(input.byte())])),
            11 => drop(node.cancel(now, OperationId(input.byte().into()))),
            12 => {
                let after = Duration::from_secs(u64::from(input.byte()));
                node.set_deadline(now, OperationId(input.byte().into()), after);
            }
            13 => drop(node.scrape(now, key)),
            14 => drop(node.sample(now, key)),
            _ => node.set_id(now, Id::new([input.byte(); Id::LEN])),
        }
        self.collect(host);
    }

    fn links(&mut self, input: &mut Input<'_>) {
        let (host, now) = (self.host(input), self.now);
        let link = LinkId(u16::from(input.byte() & 1));
        let remote = self.address(input);
        let Host { node, addresses, .. } = &mut self.hosts[host];
        match input.byte() % 4 {
            0 => node.link_down(now, link),
            1 => node.handle_path_failed(now, Path { link, remote }),
            _ => {
                let families = Families::from_bits(input.byte() & 3);
                let mtu = u16::from(input.byte()) << 4;
                node.link_up(now, link, addresses[0], families, mtu);
            }
        }
        self.collect(host);
    }

    fn restart(&mut self, input: &mut Input<'_>) {
        let (host, now) = (self.host(input), self.now);
        let elapsed = Duration::from_secs(60 * u64::from(input.byte()));
        if input.bit() {
            self.hosts[host].restore_record(now, elapsed, input);
        } else {
            self.hosts[host].restart(now, elapsed, input);
        }
        self.collect(host);
    }

    /// Calls a node until nothing of it is due.
    fn catch_up(&mut self, host: usize) {
        for _ in 0..host::TURNS {
            match self.hosts[host].node.poll_timeout() {
                Some(deadline) if deadline <= self.now => {
                    self.hosts[host].node.handle_timeout(self.now);
                    self.collect(host);
                }
                _ => return,
            }
        }
        let node = &self.hosts[host].node;
        let (due, health) = (node.poll_timeout(), node.health());
        panic!("no call does away with the deadline {due:?} at {:?}: {health:?}", self.now);
    }

    /// Everything comes to its end: operations by their deadlines, nodes by their shutdown.
    fn end(&mut self) {
        let begun: Vec<_> = self.hosts.iter().map(Host::running).collect();
        // Longer than any deadline, as often as an operation can have keys.
        for _ in 0..=MAX_WORDS {
            self.now = self.now + Duration::from_secs(256);
            for host in 0..self.hosts.len() {
                self.catch_up(host);
            }
        }
        for (host, begun) in self.hosts.iter_mut().zip(begun) {
            let over = begun.iter().all(|operation| host.is_done(*operation));
            assert!(over, "an operation outlived its deadline");
            host.shut_down(self.now);
        }
    }

    fn arrive(&mut self, datagram: &Datagram) {
        let Some(host) = self.host_at(datagram.to) else { return };
        let sent = self.hosts[host].hear(self.now, &self.wire, datagram);
        self.send(host, sent);
        remember(&mut self.past, datagram.clone());
    }

    /// Takes out what a call left in a node's queues.
    fn collect(&mut self, host: usize) {
        let sent = self.hosts[host].drain(&self.wire);
        self.hosts[host].check();
        self.send(host, sent);
    }

    fn send(&mut self, host: usize, sent: Vec<kadlet_core::Transmit>) {
        for transmit in sent {
            let to = transmit.path.remote;
            let from = self.hosts[host].address(Family::of(&to));
            let datagram = Datagram { from, to, payload: transmit.payload };
            self.learn(&datagram);
            remember(&mut self.in_flight, datagram);
        }
    }

    /// Takes one that is on its way.
    fn pick(&mut self, input: &mut Input<'_>) -> Option<Datagram> {
        if self.in_flight.is_empty() {
            return None;
        }
        self.in_flight.remove(input.below(self.in_flight.len()))
    }

    fn host(&self, input: &mut Input<'_>) -> usize {
        input.below(self.hosts.len())
    }

    fn host_at(&self, address: SocketAddr) -> Option<usize> {
        self.hosts.iter().position(|host| host.addresses.contains(&address))
    }

    /// Of a node, or of a stranger.
    fn address(&self, input: &mut Input<'_>) -> SocketAddr {
        let byte = input.byte();
        let index = usize::from(byte >> 1) % (self.hosts.len() + STRANGERS);
        match self.hosts.get(index) {
            Some(host) => host.addresses[usize::from(byte & 1)],
            None => stranger_address(self.public, index - self.hosts.len(), byte & 1 == 1),
        }
    }

    /// A key that others have too: of a node, of a value, of a word.
    fn key(&self, input: &mut Input<'_>) -> Id {
        let mainline = matches!(self.wire, Wire::Mainline(_));
        match input.byte() % 6 {
            0 => self.hosts[self.host(input)].node.id(),
            1 => stranger_id(input.below(STRANGERS)),
            2 | 3 => item(input, mainline).map_or(Id::ZERO, |item| item.key()),
            4 => {
                let words = kadlet_core::record::words(TEXTS[input.below(TEXTS.len())]);
                words.map(|word| word.key()).next().unwrap_or(Id::ZERO)
            }
            _ => ContentId::of(&[input.byte()]).key(),
        }
    }
}

/// Names and searches.
const TEXTS: [&str; 6] = [
    "one",
    "one two",
    "two Drei.txt",
    "\u{e9}t\u{e9} one two three four five six",
    "...",
    "a-b_c d",
];

const fn input_len(key: Id) -> usize {
    (key.as_bytes()[0] & 1) as usize
}

/// One of 256 values, some of them signed; the same bytes make the same one.
fn item(input: &mut Input<'_>, mainline: bool) -> Option<Item> {
    let kind = input.byte();
    let form = if mainline { Form::Bencode } else { Form::Native };
    let len = 4 * usize::from(kind & 0xf0);
    let mut value = vec![kind; len];
    if mainline {
        value.clear();
        put_bytes(&mut value, &vec![kind; len]);
    }
    if kind & 1 == 0 {
        return Value::of(form, value).ok().map(Item::Immutable);
    }
    let salt: &[u8] = if kind & 2 == 2 { b"s" } else { b"" };
    let secret = [kind & 4; 32];
    SignedValue::sign_for(form, &secret, salt, input.number(), &value).ok().map(Item::Signed)
}

/// Small caps: all of them are reached.
fn config(mainline: bool, kind: u8) -> Config {
    let mut config = if mainline { Config::mainline() } else { Config::default() };
    if !mainline {
        config.network = Network::Native(NETWORK.to_owned());
    }
    config.address_ids = match kind >> 5 & 3 {
        0 => AddressIds::Ignore,
        1 => AddressIds::Enforce,
        _ => AddressIds::Prefer,
    };
    config.role = match kind >> 3 & 3 {
        0 => Role::Auto,
        1 => Role::Client,
        _ => Role::Server,
    };
    config.table.k = 3;
    config.table.replacements = 2;
    config.table.candidates = 2;
    config.lookup.k = 4;
    config.lookup.candidates = 16;
    config.lookup.questions = 32;
    config.lookup.paths = 1 + usize::from(kind >> 5 & 1);
    config.estimate.enough = 1;
    config.estimate.closest = 1;
    config.requests.outstanding = 24;
    config.requests.offline_after = 3;
    config.limits.max_sources = 4;
    config.limits.enforce = if kind & 128 == 0 { Enforce::Public } else { Enforce::Everybody };
    config.store.max_records = 12;
    config.store.max_bytes = 8_192;
    config.store.max_source_records = 6;
    config.store.max_providers = 4;
    config.store.max_entries = 3;
    config.store.max_changes = 3;
    config.store.work_per_call = 2;
    config.max_operations = 16;
    config.max_publications = 3;
    config.max_proven = 4;
    config.max_transmits = 32;
    config.max_events = 64;
    config.max_pages = 2;
    config.max_found = 6;
    config.path_copies = kind & 64 == 64;
    config.grease_one_in = 2;
    config
}

fn addresses(public: bool, index: u16) -> [SocketAddr; 2] {
    let (v4, v6) = if public { ([11, 0, 0, 1], 0x2620) } else { ([127, 0, 0, 1], 0xfd00) };
    let port = 1_000 + index;
    [(v4, port).into(), ([v6, 0, 0, index, 0, 0, 0, 1], port).into()]
}

fn stranger_address(public: bool, index: usize, v6: bool) -> SocketAddr {
    let index = u8::try_from(index).unwrap_or(0);
    let port = 6_881 + u16::from(index & 1);
    match (public, v6) {
        // Pairs share a prefix.
        (true, false) => ([12, 0, index / 2, index], port).into(),
        (false, false) => ([10, 0, index / 2, index], port).into(),
        (true, true) => ([0x2a00, u16::from(index / 2), 0, 0, 0, 0, 0, 1], port).into(),
        (false, true) => ([0xfd01, u16::from(index / 2), 0, 0, 0, 0, 0, 1], port).into(),
    }
}

/// Half of them sit next to the first node.
fn stranger_id(index: usize) -> Id {
    let byte = u8::try_from(index).unwrap_or(0);
    if index.is_multiple_of(2) {
        return Id::new([byte << 4 | 8; Id::LEN]);
    }
    let mut id = [1; Id::LEN];
    id[usize::from(byte)] ^= byte;
    Id::new(id)
}

fn remember(queue: &mut VecDeque<Datagram>, datagram: Datagram) {
    if queue.len() == IN_FLIGHT {
        queue.pop_front();
    }
    queue.push_back(datagram);
}
