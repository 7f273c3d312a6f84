//! Messages: a datagram becomes an object, and back.
//!
//! A `Message` borrows what it says, so that what is read from JavaScript is kept in variables
//! around it: `with_body` and its like call a closure with the part they read.

use alloc::string::String;
use alloc::vec::Vec;

use js_sys::{Array, Uint8Array};
use kadlet_core::wire::native::{MAX_DATAGRAM, Native};
use kadlet_core::wire::{
    Body, ErrorCode, Failure, Hit, Item, List, Message, Method, NodeInfo, Peer, Query, Response,
    Samples, SignedItem, Wire, mainline::Mainline,
};
use kadlet_core::{Capabilities, Families, Id, Rejected};
use wasm_bindgen::prelude::*;

use crate::Result;
use crate::convert::{
    address, address_from, array, bytes, bytes_to, families, field, id, id_to, invalid, list,
    number, object, optional, tagged, text, whole,
};

const U8: f64 = u8::MAX as f64;
const U16: f64 = u16::MAX as f64;
const U32: f64 = u32::MAX as f64;

/// Of the network with this name; null is Mainline.
fn wire(network: &JsValue) -> Result<Wire> {
    if network.is_null() {
        return Ok(Wire::Mainline(Mainline));
    }
    let name = if network.is_undefined() { Some("kadlet".into()) } else { network.as_string() };
    let name = name.ok_or_else(|| invalid("a network is a name, or null for Mainline"))?;
    Ok(Wire::Native(Native::new(&name)))
}

// ---- from the wire ----------------------------------------------------------------------------

/// Reads a datagram of a network (null: Mainline): a message, or in a word why it is none.
#[wasm_bindgen(unchecked_return_type = "Message | Rejected")]
pub fn decode(
    datagram: &[u8],
    #[wasm_bindgen(unchecked_optional_param_type = "string | null")] network: &JsValue,
) -> Result<JsValue> {
    let message = match wire(network)?.decode(datagram) {
        Ok(message) => message,
        Err(why) => return Ok(Rejected::Malformed(why).name().into()),
    };
    Ok(object([
        ("transaction", bytes_to(message.transaction)),
        ("sender", message.sender.map(id_to).into()),
        ("body", body(&message.body)),
        ("client", message.client.into()),
        ("capabilities", message.capabilities.map(|it| it.0).into()),
        ("cookie", message.cookie.map(|it| bytes_to(&it)).into()),
        ("observed", message.observed.map(address).into()),
        ("version", message.version.map(bytes_to).into()),
    ]))
}

fn names(families: Families) -> JsValue {
    list(families.iter(), |family| family.name().into()).into()
}

fn big(number: Option<u64>) -> JsValue {
    number.map_or(JsValue::UNDEFINED, JsValue::from)
}

fn body(body: &Body<'_>) -> JsValue {
    match body {
        Body::Query(query) => tagged(
            "query",
            [
                ("method", method(&query.method)),
                ("target", query.target.map(id_to).into()),
                ("want", names(query.want)),
                ("mask", query.mask.0.into()),
            ],
        ),
        Body::Response(response) => response_to(response),
        Body::Error(it) => tagged(
            "failure",
            [
                ("code", it.code.name().into()),
                ("number", it.code.number().into()),
                ("text", it.text.into()),
                ("method", it.method.into()),
                ("seq", big(it.seq)),
            ],
        ),
    }
}

fn method(method: &Method<'_>) -> JsValue {
    match method {
        Method::Ping { nonce } => tagged("ping", [("nonce", big(*nonce))]),
        Method::FindNode => tagged("find_node", []),
        Method::GetProviders { page, scrape, no_seeds } => {
            let (scrape, no_seeds) = ((*scrape).into(), (*no_seeds).into());
            let page = ("page", JsValue::from(*page));
            tagged("get_providers", [page, ("scrape", scrape), ("noSeeds", no_seeds)])
        }
        Method::Announce { token, port, implied_port, transports, seed } => tagged(
            "announce",
            [
                ("token", bytes_to(token)),
                ("port", (*port).into()),
                ("impliedPort", (*implied_port).into()),
                ("transports", (*transports).into()),
                ("seed", (*seed).into()),
            ],
        ),
        Method::Get { newer_than } => tagged("get", [("newerThan", big(*newer_than))]),
        Method::Put { token, item, cas, age, lifetime } => tagged(
            "put",
            [
                ("token", bytes_to(token)),
                ("item", item_to(item)),
                ("cas", big(*cas)),
                ("age", (*age).into()),
                ("lifetime", (*lifetime).into()),
            ],
        ),
        Method::Search { words, page } => {
            tagged("search", [("words", (*words).into()), ("page", (*page).into())])
        }
        Method::Publish { token, entry } => {
            tagged("publish", [("token", bytes_to(token)), ("entry", hit_to(entry))])
        }
        Method::Signal { origin, payload } => {
            let origin = origin.map(|it| node_to(&it)).into();
            tagged("signal", [("origin", origin), ("payload", bytes_to(payload))])
        }
        Method::DialBack { nonce } => tagged("dial_back", [("nonce", (*nonce).into())]),
        Method::Probe { address: at, nonce } => {
            tagged("probe", [("address", address(*at)), ("nonce", (*nonce).into())])
        }
        Method::SampleKeys => tagged("sample_keys", []),
        Method::Unknown { code, name } => {
            tagged("unknown", [("code", (*code).into()), ("name", bytes_to(name))])
        }
        _ => JsValue::UNDEFINED,
    }
}

fn response_to(it: &Response<'_>) -> JsValue {
    let provider = |peer: Peer| {
        object([("address", address(peer.address)), ("transports", peer.transports.into())])
    };
    let samples = it.samples.as_ref().map(|samples| {
        object([
            ("keys", list(samples.keys.iter(), id_to).into()),
            ("total", (samples.total as f64).into()),
            ("interval", samples.interval.into()),
        ])
    });
    tagged(
        "response",
        [
            ("nodes", list(it.nodes.iter(), |node| node_to(&node)).into()),
            ("providers", list(it.providers.iter(), provider).into()),
            ("hits", list(it.hits.iter(), |hit| hit_to(&hit)).into()),
            ("token", it.token.map(bytes_to).into()),
            ("item", it.item.map(|item| item_to(&item)).into()),
            ("seq", big(it.seq)),
            ("nextPage", it.next_page.into()),
            ("unsupported", it.unsupported.into()),
            ("short", it.short.into()),
            ("method", it.method.into()),
            ("listed", names(it.listed)),
            ("seedFilter", it.seed_filter.map(|it| bytes_to(it)).into()),
            ("peerFilter", it.peer_filter.map(|it| bytes_to(it)).into()),
            ("samples", samples.into()),
        ],
    )
}

fn node_to(node: &NodeInfo) -> JsValue {
    let (address, capabilities) = (address(node.address), node.capabilities.0.into());
    object([("id", id_to(node.id)), ("address", address), ("capabilities", capabilities)])
}

fn hit_to(hit: &Hit<'_>) -> JsValue {
    object([
        ("name", hit.name.into()),
        ("size", (hit.size as f64).into()),
        ("content", bytes_to(hit.content)),
        ("extra", bytes_to(hit.extra)),
    ])
}

fn item_to(item: &Item<'_>) -> JsValue {
    match item {
        Item::Immutable(value) => bytes_to(value),
        Item::Signed(it) => object([
            ("publicKey", bytes_to(it.public_key)),
            ("salt", bytes_to(it.salt)),
            ("seq", it.seq.into()),
            ("value", bytes_to(it.value)),
            ("signature", bytes_to(it.signature)),
            ("extra", bytes_to(it.extra)),
        ]),
    }
}

// ---- to the wire ------------------------------------------------------------------------------

/// Writes a message as a datagram of a network (null: Mainline).
#[wasm_bindgen]
pub fn encode(
    #[wasm_bindgen(unchecked_param_type = "Message")] message: &JsValue,
    #[wasm_bindgen(unchecked_optional_param_type = "string | null")] network: &JsValue,
) -> Result<Uint8Array> {
    let wire = wire(network)?;
    let transaction = bytes(message, "transaction")?;
    let lengths = if network.is_null() { 1..=20 } else { 8..=8 };
    if !lengths.contains(&transaction.len()) {
        let (least, most) = (lengths.start(), lengths.end());
        return Err(invalid(format_args!("a transaction has {least} to {most} bytes")));
    }
    let sender = optional(message, "sender", text)?.map(|it| id(&it)).transpose()?;
    let cookie =
        optional(message, "cookie", bytes)?.map(|it| array("a cookie", &it)).transpose()?;
    let version = optional(message, "version", bytes)?;
    let observed = optional(message, "observed", text)?.map(|it| address_from(&it)).transpose()?;
    let body = field(message, "body")?;
    let datagram = with_body(&body, |body| {
        let mut whole = Message::new(&transaction, Id::ZERO, body);
        whole.sender = sender;
        whole.client = flag(message, "client")?;
        let capabilities = optional(message, "capabilities", |of, name| count(of, name, U32))?;
        whole.capabilities = capabilities.map(|bits| Capabilities(bits as u32));
        (whole.cookie, whole.observed, whole.version) = (cookie, observed, version.as_deref());
        let len = wire.encoded_len(&whole);
        if len > MAX_DATAGRAM {
            let text = format_args!("a datagram has at most {MAX_DATAGRAM} bytes, not {len}");
            return Err(invalid(text));
        }
        let mut datagram = Vec::with_capacity(len);
        wire.encode(&whole, None, &mut datagram);
        Ok(datagram)
    })?;
    Ok(Uint8Array::from(datagram.as_slice()))
}

/// A number that is 0 where it is left out.
fn count(of: &JsValue, name: &str, most: f64) -> Result<f64> {
    number(of, name, most, 0.0)
}

fn flag(of: &JsValue, name: &str) -> Result<bool> {
    Ok(field(of, name)?.is_truthy())
}

/// All of 64 bits.
fn wide(of: &JsValue, name: &str) -> Result<u64> {
    field(of, name)?.try_into().map_err(|_| invalid([name, " has to be a bigint"].concat()))
}

fn each(of: &JsValue, name: &str) -> Result<Array> {
    let value = field(of, name)?;
    Ok(if value.is_undefined() { Array::new() } else { Array::from(&value) })
}

fn some_families(of: &JsValue, name: &str) -> Result<Families> {
    let names: Vec<String> = each(of, name)?.iter().filter_map(|it| it.as_string()).collect();
    families(&names)
}

fn filter(of: &JsValue, name: &str) -> Result<Option<[u8; 256]>> {
    optional(of, name, bytes)?.map(|it| array("a filter", &it)).transpose()
}

fn with_body(body: &JsValue, mut then: impl FnMut(Body<'_>) -> Result<Vec<u8>>) -> Result<Vec<u8>> {
    match text(body, "type")?.as_str() {
        "query" => with_method(&field(body, "method")?, &mut |method| {
            let mut query = Query::new(method);
            query.target = optional(body, "target", text)?.map(|it| id(&it)).transpose()?;
            query.want = some_families(body, "want")?;
            query.mask = Capabilities(count(body, "mask", U32)? as u32);
            then(Body::Query(query))
        }),
        "response" => with_response(body, &mut |response| then(Body::Response(response))),
        "failure" => {
            let words = optional(body, "text", text)?.unwrap_or_default();
            let code = ErrorCode::from_number(count(body, "number", U16)? as u16);
            let mut failure = Failure::new(code);
            (failure.text, failure.method) = (&words, count(body, "method", U16)? as u16);
            failure.seq = optional(body, "seq", wide)?;
            then(Body::Error(failure))
        }
        _ => Err(invalid("a body is a query, a response or a failure")),
    }
}

fn with_method(
    it: &JsValue,
    then: &mut dyn FnMut(Method<'_>) -> Result<Vec<u8>>,
) -> Result<Vec<u8>> {
    match text(it, "type")?.as_str() {
        "ping" => then(Method::Ping { nonce: optional(it, "nonce", wide)? }),
        "find_node" => then(Method::FindNode),
        "get_providers" => then(Method::GetProviders {
            page: count(it, "page", U32)? as u32,
            scrape: flag(it, "scrape")?,
            no_seeds: flag(it, "noSeeds")?,
        }),
        "announce" => then(Method::Announce {
            token: &bytes(it, "token")?,
            port: optional(it, "port", |of, name| count(of, name, U16))?.map(|port| port as u16),
            implied_port: flag(it, "impliedPort")?,
            transports: count(it, "transports", U8)? as u8,
            seed: flag(it, "seed")?,
        }),
        "get" => then(Method::Get { newer_than: optional(it, "newerThan", wide)? }),
        "put" => with_item(&field(it, "item")?, &mut |item| {
            let lifetime = optional(it, "lifetime", |of, name| count(of, name, U32))?;
            then(Method::Put {
                token: &bytes(it, "token")?,
                item,
                cas: optional(it, "cas", wide)?,
                age: count(it, "age", U32)? as u32,
                lifetime: lifetime.map(|it| it as u32),
            })
        }),
        "search" => {
            let words = optional(it, "words", text)?.unwrap_or_default();
            then(Method::Search { words: &words, page: count(it, "page", U32)? as u32 })
        }
        "publish" => {
            let entry = OwnedHit::read(&field(it, "entry")?)?;
            then(Method::Publish { token: &bytes(it, "token")?, entry: entry.hit() })
        }
        "signal" => {
            let origin = optional(it, "origin", field)?.map(|it| node_from(&it)).transpose()?;
            then(Method::Signal { origin, payload: &bytes(it, "payload")? })
        }
        "dial_back" => then(Method::DialBack { nonce: wide(it, "nonce")? }),
        "probe" => {
            let address = address_from(&text(it, "address")?)?;
            then(Method::Probe { address, nonce: wide(it, "nonce")? })
        }
        "sample_keys" => then(Method::SampleKeys),
        "unknown" => {
            let code = count(it, "code", U16)? as u16;
            then(Method::Unknown { code, name: &bytes(it, "name")? })
        }
        other => Err(invalid(["there is no method ", other].concat())),
    }
}

fn with_response(
    it: &JsValue,
    then: &mut dyn FnMut(Response<'_>) -> Result<Vec<u8>>,
) -> Result<Vec<u8>> {
    let nodes: Vec<_> =
        each(it, "nodes")?.iter().map(|it| node_from(&it)).collect::<Result<_>>()?;
    let peers = each(it, "providers")?;
    let providers: Vec<_> = peers.iter().map(|it| peer_from(&it)).collect::<Result<_>>()?;
    let owned = each(it, "hits")?;
    let owned: Vec<_> = owned.iter().map(|it| OwnedHit::read(&it)).collect::<Result<_>>()?;
    let hits: Vec<Hit<'_>> = owned.iter().map(OwnedHit::hit).collect();
    let (token, samples) = (optional(it, "token", bytes)?, optional(it, "samples", field)?);
    let mut keys: Vec<Id> = Vec::new();
    if let Some(samples) = &samples {
        for key in each(samples, "keys")?.iter() {
            keys.push(id(&key.as_string().unwrap_or_default())?);
        }
    }
    let (seeds, others) = (filter(it, "seedFilter")?, filter(it, "peerFilter")?);
    let mut fill = |item: Option<Item<'_>>| {
        let mut response = Response::default();
        response.method = count(it, "method", U16)? as u16;
        response.nodes = List::new(&nodes);
        response.listed = some_families(it, "listed")?;
        response.token = token.as_deref();
        response.providers = List::new(&providers);
        response.item = item;
        response.seq = optional(it, "seq", wide)?;
        (response.seed_filter, response.peer_filter) = (seeds.as_ref(), others.as_ref());
        if let Some(samples) = &samples {
            let total = field(samples, "total")?.as_f64().and_then(whole).unwrap_or(0);
            let interval = count(samples, "interval", U32)? as u32;
            response.samples = Some(Samples { keys: List::new(&keys), total, interval });
        }
        response.hits = List::new(&hits);
        let next = optional(it, "nextPage", |of, name| count(of, name, U32))?;
        response.next_page = next.map(|page| page as u32);
        (response.unsupported, response.short) = (flag(it, "unsupported")?, flag(it, "short")?);
        then(response)
    };
    match optional(it, "item", field)? {
        Some(item) => with_item(&item, &mut |item| fill(Some(item))),
        None => fill(None),
    }
}

fn with_item(it: &JsValue, then: &mut dyn FnMut(Item<'_>) -> Result<Vec<u8>>) -> Result<Vec<u8>> {
    if let Some(value) = it.dyn_ref::<Uint8Array>() {
        return then(Item::Immutable(&value.to_vec()));
    }
    let key = array("a public key", &bytes(it, "publicKey")?)?;
    let signature = array("a signature", &bytes(it, "signature")?)?;
    let (salt, value, extra) = (bytes(it, "salt")?, bytes(it, "value")?, bytes(it, "extra")?);
    let mut signed = SignedItem::new(&key, wide(it, "seq")?, &value, &signature);
    (signed.salt, signed.extra) = (&salt, &extra);
    then(Item::Signed(signed))
}

fn node_from(it: &JsValue) -> Result<NodeInfo> {
    Ok(NodeInfo {
        id: id(&text(it, "id")?)?,
        address: address_from(&text(it, "address")?)?,
        capabilities: Capabilities(count(it, "capabilities", U32)? as u32),
    })
}

fn peer_from(it: &JsValue) -> Result<Peer> {
    let address = address_from(&text(it, "address")?)?;
    Ok(Peer { address, transports: count(it, "transports", U8)? as u8 })
}

/// A search entry as it is read from JavaScript.
struct OwnedHit(String, u64, [u8; 32], Vec<u8>);

impl OwnedHit {
    fn read(it: &JsValue) -> Result<Self> {
        let size = field(it, "size")?.as_f64().and_then(whole);
        let size = size.ok_or_else(|| invalid("size has to be a whole number from 0 on"))?;
        let content = array("a content", &bytes(it, "content")?)?;
        let extra = optional(it, "extra", bytes)?.unwrap_or_default();
        Ok(Self(text(it, "name")?, size, content, extra))
    }

    fn hit(&self) -> Hit<'_> {
        let Self(name, size, content, extra) = self;
        let mut hit = Hit::new(name, *size, content);
        hit.extra = extra;
        hit
    }
}
