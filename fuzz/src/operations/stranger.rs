//! Those who are not ours: they know the protocol, keep what they are given, and say what they like.

use kadlet_core::record::Item;
use kadlet_core::wire::{
    Body, ErrorCode, Failure, Hit, Item as WireItem, List, Message, Method, NodeInfo, Peer, Query,
    Response, SignedItem, Wire,
};
use kadlet_core::{Capabilities, Families, Id};

use super::{Datagram, STRANGERS, TEXTS, World, item, stranger_address, stranger_id};
use crate::input::Input;

impl World {
    /// What strangers are told, they keep.
    pub(super) fn learn(&mut self, datagram: &Datagram) {
        let Datagram { from, to, payload } = datagram;
        let Ok(message) = self.wire.decode(payload) else { return };
        let Body::Response(response) = &message.body else { return };
        if let Some(token) = response.token {
            self.tokens.insert((*to, *from), token.to_vec());
        }
        if let Some(cookie) = message.cookie {
            self.cookies.insert((*to, *from), cookie);
        }
    }

    /// A question on its way to a stranger is answered, or one to a node by somebody quicker.
    pub(super) fn stranger_answers(&mut self, input: &mut Input<'_>) {
        let Some(asked) = self.pick(input) else { return };
        let Ok(question) = self.wire.decode(&asked.payload) else { return };
        let Body::Query(query) = &question.body else { return };
        let flags = input.byte();
        let index = (0..STRANGERS).find(|index| {
            [false, true].map(|v6| stranger_address(self.public, *index, v6)).contains(&asked.to)
        });
        let sender = match (flags & 7, index) {
            (0, _) => stranger_id(input.below(STRANGERS)),
            (1, _) => self.key(input),
            (_, Some(index)) => stranger_id(index),
            (_, None) => self.host_at(asked.to).map_or(Id::ZERO, |it| self.hosts[it].node.id()),
        };
        let mut payload = Vec::new();
        if flags & 0x38 == 0x38 {
            let code = ErrorCode::from_number(200 + u16::from(input.byte()));
            let mut failure = Failure::new(code);
            failure.method = query.method.code();
            failure.seq = input.bit().then(|| input.number());
            let message = Message::new(question.transaction, sender, Body::Error(failure));
            self.wire.encode(&message, None, &mut payload);
        } else {
            self.answer(input, &question, query, sender, flags, &mut payload);
        }
        self.arrive(&Datagram { from: asked.to, to: asked.from, payload });
    }

    fn answer(
        &self,
        input: &mut Input<'_>,
        question: &Message<'_>,
        query: &Query<'_>,
        sender: Id,
        flags: u8,
        payload: &mut Vec<u8>,
    ) {
        let mainline = matches!(self.wire, Wire::Mainline(_));
        let nodes: Vec<NodeInfo> = (0..input.below(12)).map(|_| self.node_info(input)).collect();
        let providers: Vec<Peer> = (0..input.below(5))
            .map(|_| Peer { address: self.address(input), transports: input.byte() })
            .collect();
        let content = [input.byte(); 32];
        let hits: Vec<Hit<'_>> = (0..input.below(4))
            .map(|_| Hit::new(TEXTS[input.below(TEXTS.len())], input.number(), &content))
            .collect();
        let item = if input.bit() { item(input, mainline) } else { None };
        let mut response = Response::default();
        response.method = query.method.code();
        response.nodes = List::new(&nodes);
        response.listed = Families::from_bits(input.byte() & 3);
        response.token = (flags & 8 == 8).then_some(&[7; 20][..input.below(21).max(1)]);
        response.providers = List::new(&providers);
        response.hits = List::new(if mainline { &[] } else { &hits });
        response.item = item.as_ref().map(as_sent);
        response.seq = input.bit().then(|| input.number());
        response.next_page = (input.bit() && !mainline).then(|| u32::from(input.byte()));
        response.short = flags & 0x10 == 0x10;
        response.unsupported = flags & 0x60 == 0x60;
        let mut message = Message::new(question.transaction, sender, Body::Response(response));
        message.client = flags & 0x80 == 0x80;
        message.capabilities = Some(Capabilities(u32::from(input.byte())));
        message.cookie = input.bit().then_some([9; 8]);
        message.observed = input.bit().then(|| self.address(input));
        self.wire.encode(&message, None, payload);
    }

    fn node_info(&self, input: &mut Input<'_>) -> NodeInfo {
        let byte = input.byte();
        let index = usize::from(byte) % STRANGERS;
        let mut address = stranger_address(self.public, index, byte & 0x40 == 0x40);
        if byte & 0x80 == 0x80 {
            // Where it is not: at a node, or at a port where nobody can be.
            address = self.address(input);
        }
        if byte & 0xe0 == 0xe0 {
            address.set_port(0);
        }
        let id = if byte & 0x20 == 0 { stranger_id(index) } else { self.key(input) };
        NodeInfo { id, address, capabilities: Capabilities(u32::from(byte & 3)) }
    }

    /// A question of a stranger's, or in a stranger's name.
    pub(super) fn stranger_asks(&mut self, input: &mut Input<'_>) {
        let mainline = matches!(self.wire, Wire::Mainline(_));
        let (from, to) = (self.address(input), self.hosts[self.host(input)].addresses[0]);
        let sender =
            if input.below(8) == 0 { self.key(input) } else { stranger_id(input.below(STRANGERS)) };
        let held = item(input, mainline);
        let token = self.tokens.get(&(from, to)).cloned().unwrap_or_else(|| vec![1; 8]);
        let content = [input.byte(); 32];
        let payload = vec![5; 4 * usize::from(input.byte())];
        let method = match input.byte() % 14 {
            0 => Method::Ping { nonce: input.bit().then(|| input.number()) },
            1 => Method::FindNode,
            2 => {
                let (scrape, no_seeds) = (mainline && input.bit(), mainline && input.bit());
                Method::GetProviders { page: page(input, mainline), scrape, no_seeds }
            }
            3 | 4 => Method::Announce {
                token: &token,
                port: Some(u16::from(input.byte())),
                implied_port: mainline && input.bit(),
                transports: if mainline { 0 } else { input.byte() },
                seed: mainline && input.bit(),
            },
            5 => Method::Get { newer_than: input.bit().then(|| input.number()) },
            6 | 7 => {
                let Some(held) = &held else { return };
                let signed = matches!(held, Item::Signed(_));
                Method::Put {
                    token: &token,
                    item: as_sent(held),
                    cas: (signed && input.bit()).then(|| input.number()),
                    age: if mainline { 0 } else { u32::try_from(input.number()).unwrap_or(0) },
                    lifetime: (!mainline && input.bit()).then(|| u32::from(input.byte())),
                }
            }
            8 => Method::Search {
                words: TEXTS[input.below(TEXTS.len())],
                page: page(input, mainline),
            },
            9 => Method::Publish {
                token: &token,
                entry: Hit::new(TEXTS[input.below(TEXTS.len())], input.number(), &content),
            },
            10 => Method::Signal {
                origin: input.bit().then(|| self.node_info(input)),
                payload: &payload,
            },
            11 => Method::DialBack { nonce: input.number() },
            12 => Method::Probe { address: self.address(input), nonce: input.number() },
            _ => Method::SampleKeys,
        };
        // A record is most often put where it belongs.
        let target = match (&method, &held) {
            (Method::Put { .. }, Some(held)) if input.below(4) > 0 => held.key(),
            _ => self.key(input),
        };
        let mut query = Query::about(target, method);
        query.want = Families::from_bits(input.byte() & 3);
        let mut message = Message::new(b"stranger", sender, Body::Query(query));
        message.client = input.below(4) == 0;
        message.cookie = self.cookies.get(&(from, to)).filter(|_| input.bit()).copied();
        let mut payload = Vec::new();
        self.wire.encode(&message, None, &mut payload);
        self.arrive(&Datagram { from, to, payload });
    }
}

fn page(input: &mut Input<'_>, mainline: bool) -> u32 {
    if mainline { 0 } else { u32::from(input.byte() >> 4) }
}

/// An item as it travels.
fn as_sent(item: &Item) -> WireItem<'_> {
    match item {
        Item::Immutable(value) => WireItem::Immutable(value.as_bytes()),
        Item::Signed(signed) => WireItem::Signed({
            let mut sent = SignedItem::new(
                signed.public_key(),
                signed.seq(),
                signed.value(),
                signed.signature(),
            );
            sent.salt = signed.salt();
            sent
        }),
    }
}
