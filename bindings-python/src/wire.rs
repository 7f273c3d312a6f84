//! Messages for Python: a datagram becomes the dataclasses of `kadlet/wire.py`, and back.
//!
//! A `Message` borrows what it says, so that what is read from Python is kept in variables around
//! it: `with_body` and its like call a closure with the part they read.

use core::net::SocketAddr;

use kadlet_core::wire::native::{MAX_DATAGRAM, Native};
use kadlet_core::wire::{
    Body, ErrorCode, Failure, Hit, Item, List, Message, Method, NodeInfo, Peer, Query, Response,
    Samples, SignedItem, Wire, mainline::Mainline,
};
use kadlet_core::{Capabilities, Families, Id};
use pyo3::call::PyCallArgs;
use pyo3::exceptions::{PyNotImplementedError, PyTypeError};
use pyo3::prelude::*;
use pyo3::sync::PyOnceLock;
use pyo3::types::{PyBytes, PyString, PyTuple};

use crate::convert::{address, address_from, array, families, id, part, tuple};
use crate::settings::{Setting, kind_of};
use crate::{Any, invalid};

fn make<'py>(py: Python<'py>, class: &str, fields: impl PyCallArgs<'py>) -> PyResult<Any<'py>> {
    static TYPES: PyOnceLock<Py<PyModule>> = PyOnceLock::new();
    let types = TYPES.get_or_try_init(py, || py.import("kadlet.wire").map(Bound::unbind))?;
    types.bind(py).getattr(class)?.call1(fields)
}

fn wire(network: Option<&str>) -> Wire {
    network.map_or(Wire::Mainline(Mainline), |name| Wire::Native(Native::new(name)))
}

// ---- from the wire ----------------------------------------------------------------------------

/// Reads a datagram of a network (None: Mainline): a message, or in a word why it is none.
#[pyfunction]
#[pyo3(
    signature = (datagram, network=Some("kadlet")),
    text_signature = "(datagram, network='kadlet')"
)]
pub(crate) fn decode<'py>(
    py: Python<'py>,
    datagram: &[u8],
    network: Option<&str>,
) -> PyResult<Any<'py>> {
    let message = match wire(network).decode(datagram) {
        Ok(message) => message,
        Err(why) => {
            let name = kadlet_core::Rejected::Malformed(why).name();
            return Ok(PyString::new(py, name).into_any());
        }
    };
    let fields = (
        bytes(py, message.transaction),
        message.sender.map(|id| bytes(py, id.as_bytes())),
        body(py, &message.body)?,
        message.client,
        message.capabilities.map(|it| it.0),
        message.cookie.map(|it| bytes(py, &it)),
        message.observed.map(|it| address(py, &it)).transpose()?,
        message.version.map(|it| bytes(py, it)),
    );
    make(py, "Message", fields)
}

fn bytes<'py>(py: Python<'py>, bytes: &[u8]) -> Bound<'py, PyBytes> {
    PyBytes::new(py, bytes)
}

fn names<'py>(py: Python<'py>, families: Families) -> PyResult<Bound<'py, PyTuple>> {
    PyTuple::new(py, families.iter().map(|family| family.name()).collect::<Vec<_>>())
}

fn body<'py>(py: Python<'py>, body: &Body<'_>) -> PyResult<Any<'py>> {
    match body {
        Body::Query(query) => {
            let target = query.target.map(|id| bytes(py, id.as_bytes()));
            let (want, mask) = (names(py, query.want)?, query.mask.0);
            make(py, "Query", (method(py, &query.method)?, target, want, mask))
        }
        Body::Response(response) => response_to(py, response),
        Body::Error(it) => {
            make(py, "Failure", (it.code.name(), it.code.number(), it.text, it.method, it.seq))
        }
    }
}

fn method<'py>(py: Python<'py>, method: &Method<'_>) -> PyResult<Any<'py>> {
    match method {
        Method::Ping { nonce } => make(py, "Ping", (*nonce,)),
        Method::FindNode => make(py, "FindNode", ()),
        Method::GetProviders { page, scrape, no_seeds } => {
            make(py, "GetProviders", (*page, *scrape, *no_seeds))
        }
        Method::Announce { token, port, implied_port, transports, seed } => {
            make(py, "Announce", (bytes(py, token), *port, *implied_port, *transports, *seed))
        }
        Method::Get { newer_than } => make(py, "Get", (*newer_than,)),
        Method::Put { token, item, cas, age, lifetime } => {
            make(py, "Put", (bytes(py, token), item_to(py, item)?, *cas, *age, *lifetime))
        }
        Method::Search { words, page } => make(py, "Search", (*words, *page)),
        Method::Publish { token, entry } => {
            make(py, "Publish", (bytes(py, token), hit_to(py, entry)?))
        }
        Method::Signal { origin, payload } => {
            let origin = origin.map(|it| node_to(py, &it)).transpose()?;
            make(py, "Signal", (origin, bytes(py, payload)))
        }
        Method::DialBack { nonce } => make(py, "DialBack", (*nonce,)),
        Method::Probe { address: at, nonce } => make(py, "Probe", (address(py, at)?, *nonce)),
        Method::SampleKeys => make(py, "SampleKeys", ()),
        Method::Unknown { code, name } => make(py, "Unknown", (*code, bytes(py, name))),
        other => Err(PyNotImplementedError::new_err(format!("{other:?}"))),
    }
}

fn response_to<'py>(py: Python<'py>, it: &Response<'_>) -> PyResult<Any<'py>> {
    let nodes: Vec<_> = it.nodes.iter().collect();
    let providers: Vec<_> = it.providers.iter().collect();
    let hits: Vec<_> = it.hits.iter().collect();
    let samples = it.samples.as_ref().map(|samples| {
        let keys: Vec<Id> = samples.keys.iter().collect();
        let keys = tuple(py, &keys, |py, id| Ok(bytes(py, id.as_bytes()).into_any()))?;
        make(py, "Samples", (keys, samples.total, samples.interval))
    });
    // More than a tuple of Rust's holds for a call.
    let fields = [
        tuple(py, &nodes, node_to)?.into_any(),
        tuple(py, &providers, |py, peer| {
            make(py, "Peer", (address(py, &peer.address)?, peer.transports))
        })?
        .into_any(),
        tuple(py, &hits, hit_to)?.into_any(),
        it.token.map(|it| bytes(py, it)).into_pyobject(py)?,
        it.item.map(|it| item_to(py, &it)).transpose()?.into_pyobject(py)?,
        it.seq.into_pyobject(py)?,
        it.next_page.into_pyobject(py)?,
        it.unsupported.into_pyobject(py)?.to_owned().into_any(),
        it.short.into_pyobject(py)?.to_owned().into_any(),
        it.method.into_pyobject(py)?.into_any(),
        names(py, it.listed)?.into_any(),
        it.seed_filter.map(|it| bytes(py, it)).into_pyobject(py)?,
        it.peer_filter.map(|it| bytes(py, it)).into_pyobject(py)?,
        samples.transpose()?.into_pyobject(py)?,
    ];
    make(py, "Response", PyTuple::new(py, fields)?)
}

fn node_to<'py>(py: Python<'py>, node: &NodeInfo) -> PyResult<Any<'py>> {
    let id = bytes(py, node.id.as_bytes());
    make(py, "NodeInfo", (id, address(py, &node.address)?, node.capabilities.0))
}

fn hit_to<'py>(py: Python<'py>, hit: &Hit<'_>) -> PyResult<Any<'py>> {
    let (content, extra) = (bytes(py, hit.content), bytes(py, hit.extra));
    make(py, "SearchEntry", (hit.name, hit.size, content, extra))
}

fn item_to<'py>(py: Python<'py>, item: &Item<'_>) -> PyResult<Any<'py>> {
    match item {
        Item::Immutable(value) => Ok(bytes(py, value).into_any()),
        Item::Signed(it) => {
            let (key, salt, value) =
                (bytes(py, it.public_key), bytes(py, it.salt), bytes(py, it.value));
            let (signature, extra) = (bytes(py, it.signature), bytes(py, it.extra));
            make(py, "SignedValue", (key, salt, it.seq, value, signature, extra))
        }
    }
}

// ---- to the wire ------------------------------------------------------------------------------

/// Writes a message as a datagram of a network (None: Mainline).
#[pyfunction]
#[pyo3(
    signature = (message, network=Some("kadlet")),
    text_signature = "(message, network='kadlet')"
)]
pub(crate) fn encode<'py>(
    py: Python<'py>,
    message: &Any<'_>,
    network: Option<&str>,
) -> PyResult<Bound<'py, PyBytes>> {
    let body = part(message, "a Message", "body")?;
    let transaction = read_bytes(message, "transaction")?;
    let lengths = if network.is_some() { 8..=8 } else { 1..=20 };
    if !lengths.contains(&transaction.len()) {
        let (least, most, len) = (lengths.start(), lengths.end(), transaction.len());
        let text = format_args!("a transaction has {least} to {most} bytes, this has {len}");
        return Err(invalid(text));
    }
    let sender = optional(message, "sender")?.map(|it| id(&it)).transpose()?;
    let cookie = optional(message, "cookie")?.map(|it| array("a cookie", &it)).transpose()?;
    let version = optional(message, "version")?;
    let observed = some(message, "observed")?.map(|it| address_from(&it)).transpose()?;
    let datagram = with_body(&body, |body| {
        let mut whole = Message::new(&transaction, Id::ZERO, body);
        whole.sender = sender;
        whole.client = field(message, "client")?;
        whole.capabilities = number::<u32>(message, "capabilities")?.map(Capabilities);
        (whole.cookie, whole.observed, whole.version) = (cookie, observed, version.as_deref());
        let (wire, limit) = (wire(network), MAX_DATAGRAM);
        let len = wire.encoded_len(&whole);
        if len > limit {
            return Err(invalid(format_args!("a datagram has at most {limit} bytes, not {len}")));
        }
        let mut datagram = Vec::with_capacity(len);
        wire.encode(&whole, None, &mut datagram);
        Ok(datagram)
    })?;
    Ok(PyBytes::new(py, &datagram))
}

fn field<T: Setting>(of: &Any<'_>, name: &str) -> PyResult<T> {
    T::read(&of.getattr(name)?)
}

fn some<'py>(of: &Any<'py>, name: &str) -> PyResult<Option<Any<'py>>> {
    let value = of.getattr(name)?;
    Ok((!value.is_none()).then_some(value))
}

fn number<T: Setting>(of: &Any<'_>, name: &str) -> PyResult<Option<T>> {
    some(of, name)?.map(|value| T::read(&value)).transpose()
}

fn read_bytes(of: &Any<'_>, name: &str) -> PyResult<Vec<u8>> {
    of.getattr(name)?.extract()
}

fn optional(of: &Any<'_>, name: &str) -> PyResult<Option<Vec<u8>>> {
    of.getattr(name)?.extract()
}

fn filter(of: &Any<'_>, name: &str) -> PyResult<Option<[u8; 256]>> {
    optional(of, name)?.map(|it| array("a filter", &it)).transpose()
}

fn with_body(
    body: &Any<'_>,
    mut then: impl FnMut(Body<'_>) -> PyResult<Vec<u8>>,
) -> PyResult<Vec<u8>> {
    match kind_of(body).as_str() {
        "Query" => with_method(&body.getattr("method")?, &mut |method| {
            let mut query = Query::new(method);
            query.target = optional(body, "target")?.map(|it| id(&it)).transpose()?;
            query.want = families(&body.getattr("want")?)?;
            query.mask = Capabilities(field(body, "mask")?);
            then(Body::Query(query))
        }),
        "Response" => with_response(body, &mut |response| then(Body::Response(response))),
        "Failure" => {
            let text: String = body.getattr("text")?.extract()?;
            let mut failure = Failure::new(ErrorCode::from_number(field(body, "number")?));
            (failure.text, failure.method) = (&text, field(body, "method")?);
            failure.seq = number(body, "seq")?;
            then(Body::Error(failure))
        }
        other => Err(unexpected("a body is a Query, Response or Failure", other)),
    }
}

fn unexpected(expected: &str, found: &str) -> PyErr {
    PyTypeError::new_err(format!("{expected}, this is {found}"))
}

fn with_method(
    it: &Any<'_>,
    then: &mut dyn FnMut(Method<'_>) -> PyResult<Vec<u8>>,
) -> PyResult<Vec<u8>> {
    let token = || read_bytes(it, "token");
    match kind_of(it).as_str() {
        "Ping" => then(Method::Ping { nonce: number(it, "nonce")? }),
        "FindNode" => then(Method::FindNode),
        "GetProviders" => {
            let (scrape, no_seeds) = (field(it, "scrape")?, field(it, "no_seeds")?);
            then(Method::GetProviders { page: field(it, "page")?, scrape, no_seeds })
        }
        "Announce" => then(Method::Announce {
            token: &token()?,
            port: number(it, "port")?,
            implied_port: field(it, "implied_port")?,
            transports: field(it, "transports")?,
            seed: field(it, "seed")?,
        }),
        "Get" => then(Method::Get { newer_than: number(it, "newer_than")? }),
        "Put" => with_item(&it.getattr("item")?, &mut |item| {
            let (cas, age, lifetime) =
                (number(it, "cas")?, field(it, "age")?, number(it, "lifetime")?);
            then(Method::Put { token: &token()?, item, cas, age, lifetime })
        }),
        "Search" => {
            let words: String = it.getattr("words")?.extract()?;
            then(Method::Search { words: &words, page: field(it, "page")? })
        }
        "Publish" => {
            let entry = OwnedHit::read(&it.getattr("entry")?)?;
            then(Method::Publish { token: &token()?, entry: entry.hit() })
        }
        "Signal" => {
            let origin = some(it, "origin")?.map(|node| node_from(&node)).transpose()?;
            then(Method::Signal { origin, payload: &read_bytes(it, "payload")? })
        }
        "DialBack" => then(Method::DialBack { nonce: field(it, "nonce")? }),
        "Probe" => {
            let address: SocketAddr = address_from(&it.getattr("address")?)?;
            then(Method::Probe { address, nonce: field(it, "nonce")? })
        }
        "SampleKeys" => then(Method::SampleKeys),
        "Unknown" => {
            then(Method::Unknown { code: field(it, "code")?, name: &read_bytes(it, "name")? })
        }
        other => Err(unexpected("a method is one of kadlet.wire.Method", other)),
    }
}

fn with_response(
    it: &Any<'_>,
    then: &mut dyn FnMut(Response<'_>) -> PyResult<Vec<u8>>,
) -> PyResult<Vec<u8>> {
    let each = |name: &str| it.getattr(name)?.try_iter()?.collect::<PyResult<Vec<_>>>();
    let nodes: Vec<_> = each("nodes")?.iter().map(node_from).collect::<PyResult<_>>()?;
    let peers = each("providers")?;
    let providers: Vec<Peer> = peers.iter().map(peer_from).collect::<PyResult<_>>()?;
    let owned: Vec<_> = each("hits")?.iter().map(OwnedHit::read).collect::<PyResult<_>>()?;
    let hits: Vec<Hit<'_>> = owned.iter().map(OwnedHit::hit).collect();
    let (token, samples) = (optional(it, "token")?, some(it, "samples")?);
    let keys: Vec<Id> = match &samples {
        Some(samples) => {
            let keys: Vec<Vec<u8>> = samples.getattr("keys")?.extract()?;
            keys.iter().map(|key| id(key)).collect::<PyResult<_>>()?
        }
        None => Vec::new(),
    };
    let (seeds, others) = (filter(it, "seed_filter")?, filter(it, "peer_filter")?);
    let mut fill = |item: Option<Item<'_>>| {
        let mut response = Response::default();
        response.method = field(it, "method")?;
        response.nodes = List::new(&nodes);
        response.listed = families(&it.getattr("listed")?)?;
        response.token = token.as_deref();
        response.providers = List::new(&providers);
        response.item = item;
        response.seq = number(it, "seq")?;
        (response.seed_filter, response.peer_filter) = (seeds.as_ref(), others.as_ref());
        if let Some(samples) = &samples {
            let (total, interval) = (field(samples, "total")?, field(samples, "interval")?);
            response.samples = Some(Samples { keys: List::new(&keys), total, interval });
        }
        response.hits = List::new(&hits);
        response.next_page = number(it, "next_page")?;
        (response.unsupported, response.short) = (field(it, "unsupported")?, field(it, "short")?);
        then(response)
    };
    match some(it, "item")? {
        Some(item) => with_item(&item, &mut |item| fill(Some(item))),
        None => fill(None),
    }
}

fn with_item(
    it: &Any<'_>,
    then: &mut dyn FnMut(Item<'_>) -> PyResult<Vec<u8>>,
) -> PyResult<Vec<u8>> {
    if let Ok(value) = it.extract::<&[u8]>() {
        return then(Item::Immutable(value));
    }
    let key = array("a public key", &read_bytes(it, "public_key")?)?;
    let signature = array("a signature", &read_bytes(it, "signature")?)?;
    let (salt, value) = (read_bytes(it, "salt")?, read_bytes(it, "value")?);
    let extra = read_bytes(it, "extra")?;
    let mut signed = SignedItem::new(&key, field(it, "seq")?, &value, &signature);
    (signed.salt, signed.extra) = (&salt, &extra);
    then(Item::Signed(signed))
}

fn node_from(it: &Any<'_>) -> PyResult<NodeInfo> {
    Ok(NodeInfo {
        id: id(&read_bytes(it, "id")?)?,
        address: address_from(&it.getattr("address")?)?,
        capabilities: Capabilities(field(it, "capabilities")?),
    })
}

fn peer_from(it: &Any<'_>) -> PyResult<Peer> {
    let address = address_from(&it.getattr("address")?)?;
    Ok(Peer { address, transports: field(it, "transports")? })
}

/// A search entry as it is read from Python.
struct OwnedHit(String, u64, [u8; 32], Vec<u8>);

impl OwnedHit {
    fn read(it: &Any<'_>) -> PyResult<Self> {
        let content = array("a content", &read_bytes(it, "content")?)?;
        let name = it.getattr("name")?.extract()?;
        Ok(Self(name, field(it, "size")?, content, read_bytes(it, "extra")?))
    }

    fn hit(&self) -> Hit<'_> {
        let Self(name, size, content, extra) = self;
        let mut hit = Hit::new(name, *size, content);
        hit.extra = extra;
        hit
    }
}
