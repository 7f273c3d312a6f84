//! From a message to a datagram: fields in ascending order, each only if it says something.

use alloc::vec::Vec;

use super::write::{Counter, Filler, Head, Number, Put, Sink, field, maybe};
use super::{MAX_DATAGRAM, MAX_TEXT, Native, flag, kind, tag};
use crate::contact::Capabilities;
use crate::wire::{Body, Failure, Hit, Item, Message, Method, NodeInfo, Peer, Query, Response};

/// The lists of a response, cut to what the datagram has room for behind everything else.
struct Lists<'m, 'a> {
    nodes: Head<'m, 'a, NodeInfo>,
    providers: Head<'m, 'a, Peer>,
    hits: Head<'m, 'a, Hit<'a>>,
}

impl<'m, 'a> Lists<'m, 'a> {
    #[inline]
    fn of(response: &'m Response<'a>, mut room: usize) -> Self {
        Self {
            nodes: Head::of(&response.nodes, tag::NODES, &mut room),
            providers: Head::of(&response.providers, tag::PROVIDERS, &mut room),
            hits: Head::of(&response.hits, tag::HITS, &mut room),
        }
    }

    #[inline]
    fn put(&self, out: &mut impl Sink) {
        self.nodes.put_field(out, tag::NODES);
        self.providers.put_field(out, tag::PROVIDERS);
        self.hits.put_field(out, tag::HITS);
    }
}

/// What is in a field that nobody knows: 0 to 4 bytes.
struct Grease(u32);

impl Put for Grease {
    fn put(&self, out: &mut impl Sink) {
        let bytes = self.0.to_le_bytes();
        let len = usize::from(bytes[3] % 5);
        out.slice(bytes.get(..len).unwrap_or(&bytes));
    }
}

impl Native {
    pub(super) fn write(&self, message: &Message<'_>, grease: Option<u32>, out: &mut Vec<u8>) {
        let mut len = Counter(0);
        self.put_fixed(message, &mut len);
        let lists = match &message.body {
            Body::Response(response) => {
                Some(Lists::of(response, MAX_DATAGRAM.saturating_sub(len.0)))
            }
            _ => None,
        };
        if let Some(lists) = &lists {
            lists.put(&mut len);
        }
        let mut with_grease = Counter(len.0);
        if let Some(number) = grease {
            field(&mut with_grease, tag::reserved(number), &Grease(number));
        }
        let grease = grease.filter(|_| with_grease.0 <= MAX_DATAGRAM);
        let len = if grease.is_some() { with_grease.0 } else { len.0 };

        debug_assert!(len <= MAX_DATAGRAM, "a message over its limits: {message:?}");
        if len > MAX_DATAGRAM {
            return;
        }
        let start = out.len();
        out.resize(start.saturating_add(len), 0);
        let Some(datagram) = out.get_mut(start..) else { return };
        let mut filler = Filler(datagram);
        self.put_fixed(message, &mut filler);
        if let Some(lists) = &lists {
            lists.put(&mut filler);
        }
        if let Some(number) = grease {
            field(&mut filler, tag::reserved(number), &Grease(number));
        }
        debug_assert!(filler.0.is_empty(), "counted more than was written");
    }

    /// How many bytes the message takes.
    pub(super) fn count(&self, message: &Message<'_>) -> usize {
        let mut len = Counter(0);
        self.put_fixed(message, &mut len);
        if let Body::Response(response) = &message.body {
            Lists::of(response, MAX_DATAGRAM.saturating_sub(len.0)).put(&mut len);
        }
        len.0
    }

    /// Everything but the lists of a response.
    #[inline]
    fn put_fixed(&self, message: &Message<'_>, out: &mut impl Sink) {
        let mut flags = if message.client { flag::CLIENT } else { 0 };
        let (kind, method) = match &message.body {
            Body::Query(query) => (kind::QUERY, query.method.code()),
            Body::Response(response) => {
                flags |= if response.unsupported { flag::UNSUPPORTED } else { 0 };
                flags |= if response.short { flag::SHORT } else { 0 };
                (kind::RESPONSE, response.method)
            }
            Body::Error(failure) => (kind::ERROR, failure.method),
        };
        out.array(&self.start);
        out.array(&[kind, flags]);
        out.array(&method.to_be_bytes());
        out.array(&transaction(message.transaction));
        message.sender.unwrap_or_default().put(out);

        if let Body::Query(query) = &message.body {
            maybe(out, tag::TARGET, query.target.as_ref());
        }
        let capabilities = message.capabilities.filter(|bits| *bits != Capabilities::NONE);
        maybe(out, tag::CAPABILITIES, capabilities.as_ref());
        maybe(out, tag::COOKIE, message.cookie.as_ref());
        if !matches!(message.body, Body::Query(_)) {
            maybe(out, tag::OBSERVED, message.observed.as_ref());
        }
        match &message.body {
            Body::Query(query) => put_query(query, out),
            Body::Response(response) => put_response(response, out),
            Body::Error(failure) => put_failure(failure, out),
        }
    }
}

/// 8 bytes, whatever the caller has: others do not match anything.
#[inline]
fn transaction(bytes: &[u8]) -> [u8; 8] {
    let mut transaction = [0; 8];
    match bytes.first_chunk() {
        Some(bytes) => transaction = *bytes,
        None => transaction.iter_mut().zip(bytes).for_each(|(to, from)| *to = *from),
    }
    transaction
}

/// A field that is left out when the number is 0.
fn nonzero(out: &mut impl Sink, tag: u16, number: u32) {
    maybe(out, tag, (number != 0).then_some(&Number(number.into())));
}

fn optional(out: &mut impl Sink, tag: u16, number: Option<u64>) {
    maybe(out, tag, number.map(Number).as_ref());
}

fn put_query(query: &Query<'_>, out: &mut impl Sink) {
    maybe(out, tag::WANT, (!query.want.is_empty()).then_some(&query.want));
    nonzero(out, tag::MASK, query.mask.0);
    match &query.method {
        Method::Ping { nonce } => {
            maybe(out, tag::NONCE, nonce.map(u64::to_be_bytes).as_ref());
        }
        Method::FindNode | Method::SampleKeys | Method::Unknown { .. } => {}
        Method::GetProviders { page, .. } => nonzero(out, tag::PAGE, *page),
        Method::Announce { token, port, transports, .. } => {
            field(out, tag::TOKEN, *token);
            optional(out, tag::PORT, port.map(u64::from));
            maybe(out, tag::TRANSPORTS, (*transports != 0).then_some(&[*transports]));
        }
        Method::Get { newer_than } => optional(out, tag::NEWER_THAN, *newer_than),
        Method::Put { token, item, cas, age, lifetime } => {
            field(out, tag::TOKEN, *token);
            optional(out, tag::CAS, *cas);
            nonzero(out, tag::AGE, *age);
            optional(out, tag::LIFETIME, lifetime.map(u64::from));
            put_item(item, out);
        }
        Method::Search { words, page } => {
            nonzero(out, tag::PAGE, *page);
            maybe(out, tag::WORDS, (!words.is_empty()).then_some(words.as_bytes()));
        }
        Method::Publish { token, entry } => {
            field(out, tag::TOKEN, *token);
            field(out, tag::ENTRY, entry);
        }
        Method::Signal { origin, payload } => {
            maybe(out, tag::ORIGIN, origin.as_ref());
            field(out, tag::PAYLOAD, *payload);
        }
        Method::DialBack { nonce } => field(out, tag::NONCE, &nonce.to_be_bytes()),
        Method::Probe { address, nonce } => {
            field(out, tag::NONCE, &nonce.to_be_bytes());
            field(out, tag::ADDRESS, address);
        }
    }
}

fn put_response(response: &Response<'_>, out: &mut impl Sink) {
    maybe(out, tag::TOKEN, response.token);
    optional(out, tag::PAGE, response.next_page.map(u64::from));
    optional(out, tag::SEQ, response.seq);
    if let Some(item) = &response.item {
        put_item(item, out);
    }
}

fn put_item(item: &Item<'_>, out: &mut impl Sink) {
    match item {
        Item::Immutable(value) => field(out, tag::VALUE, *value),
        Item::Signed(signed) => field(out, tag::SIGNED, signed),
    }
}

fn put_failure(failure: &Failure<'_>, out: &mut impl Sink) {
    let longest = failure.text.len().min(MAX_TEXT);
    let text = (0..=longest).rev().find_map(|end| failure.text.get(..end)).unwrap_or_default();
    optional(out, tag::SEQ, failure.seq);
    field(out, tag::ERROR, &Failure { text, ..*failure });
}
