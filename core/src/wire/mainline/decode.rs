//! KRPC read: one pass over the datagram, then a look at what was found.

use core::net::{IpAddr, SocketAddr};

use super::{MAX_DATAGRAM, MAX_SAMPLE_INTERVAL, MAX_TOKEN, MAX_TRANSACTION, bep44};
use crate::contact::{Capabilities, Families};
use crate::id::Id;
use crate::wire::bencode::{Raw, Reader, Value, refuse_duplicates};
use crate::wire::list::{Run, Take};
use crate::wire::{
    Body, ErrorCode, Failure, Item, List, Malformed, Message, Method, NodeInfo, Peer, Query,
    Response, Samples, SignedItem,
};

/// Reads one datagram.
pub(super) fn message(datagram: &[u8]) -> Result<Message<'_>, Malformed> {
    if datagram.len() > MAX_DATAGRAM {
        return Err(Malformed::TooLong);
    }
    let mut reader = Reader::new(datagram);
    reader.dictionary().map_err(|_| Malformed::NotOurs)?;
    let keys = reader.rest();
    let mut unknown = 0_u32;
    let (mut transaction, mut kind, mut method) = (None, None, None);
    // Filled where they are: they are large, and moving them costs more than reading them.
    let (mut arguments, mut response) = (Arguments::default(), Response::default());
    let (mut asked, mut answered, mut failure) = (None, None, None);
    let (mut address, mut read_only, mut version) = (None, None, None);
    while let Some(key) = reader.key()? {
        match key {
            b"a" => once(&mut asked, arguments.read(&mut reader)?)?,
            b"e" => once(&mut failure, read_failure(&mut reader)?)?,
            b"ip" => once(&mut address, reader.value()?)?,
            b"q" => once(&mut method, reader.bytes()?)?,
            b"r" => once(&mut answered, read_reply(&mut reader, &mut response)?)?,
            b"ro" => once(&mut read_only, reader.value()?)?,
            b"t" => once(&mut transaction, reader.bytes()?)?,
            b"v" => once(&mut version, reader.value()?)?,
            b"y" => once(&mut kind, reader.bytes()?)?,
            _ => {
                reader.skip()?;
                unknown = unknown.saturating_add(1);
            }
        }
    }
    reader.finish()?;
    if unknown > 1 {
        refuse_duplicates(keys)?;
    }
    let transaction = transaction.ok_or(Malformed::Missing)?;
    if transaction.is_empty() || transaction.len() > MAX_TRANSACTION {
        return Err(Malformed::BadField);
    }
    let (sender, body) = match kind.ok_or(Malformed::Missing)? {
        b"q" => {
            let ((), method) = asked.zip(method).ok_or(Malformed::Missing)?;
            (Some(id(arguments.id)?), Body::Query(arguments.query(method)?))
        }
        b"r" => {
            let sender: Id = answered.ok_or(Malformed::Missing)?;
            (Some(sender), Body::Response(response))
        }
        b"e" => (None, Body::Error(failure.ok_or(Malformed::Missing)?)),
        _ => return Err(Malformed::BadField),
    };
    Ok(Message {
        transaction,
        sender,
        client: flag(read_only) && matches!(body, Body::Query(_)),
        capabilities: None,
        cookie: None,
        observed: bytes(address).ok().and_then(socket_address),
        version: bytes(version).ok(),
        body,
    })
}

/// A query's arguments as they came: which of them matter is for the method to say, which stands
/// behind them in the datagram. A later method may use the same names for other types.
#[derive(Default)]
struct Arguments<'a> {
    cas: Option<Value<'a>>,
    id: Option<Value<'a>>,
    implied_port: Option<Value<'a>>,
    info_hash: Option<Value<'a>>,
    k: Option<Value<'a>>,
    noseed: Option<Value<'a>>,
    port: Option<Value<'a>>,
    salt: Option<Value<'a>>,
    scrape: Option<Value<'a>>,
    seed: Option<Value<'a>>,
    seq: Option<Value<'a>>,
    sig: Option<Value<'a>>,
    target: Option<Value<'a>>,
    token: Option<Value<'a>>,
    v: Option<Raw<'a>>,
    want: Option<Families>,
}

impl<'a> Arguments<'a> {
    #[inline]
    fn read(&mut self, reader: &mut Reader<'a>) -> Result<(), Malformed> {
        let mut unknown = 0_u32;
        reader.dictionary()?;
        let keys = reader.rest();
        while let Some(key) = reader.key()? {
            let field = match key {
                b"cas" => &mut self.cas,
                b"id" => &mut self.id,
                b"implied_port" => &mut self.implied_port,
                b"info_hash" => &mut self.info_hash,
                b"k" => &mut self.k,
                b"noseed" => &mut self.noseed,
                b"port" => &mut self.port,
                b"salt" => &mut self.salt,
                b"scrape" => &mut self.scrape,
                b"seed" => &mut self.seed,
                b"seq" => &mut self.seq,
                b"sig" => &mut self.sig,
                b"target" => &mut self.target,
                b"token" => &mut self.token,
                b"v" => {
                    once(&mut self.v, reader.raw()?)?;
                    continue;
                }
                b"want" => {
                    once(&mut self.want, read_want(reader)?)?;
                    continue;
                }
                _ => {
                    reader.skip()?;
                    unknown = unknown.saturating_add(1);
                    continue;
                }
            };
            once(field, reader.value()?)?;
        }
        if unknown > 1 {
            refuse_duplicates(keys)?;
        }
        Ok(())
    }

    #[inline]
    fn query(&self, method: &'a [u8]) -> Result<Query<'a>, Malformed> {
        let (target, method) = match method {
            b"ping" => (None, Method::Ping { nonce: None }),
            b"find_node" => (Some(id(self.target)?), Method::FindNode),
            b"get_peers" => {
                let (scrape, no_seeds) = (flag(self.scrape), flag(self.noseed));
                (Some(id(self.info_hash)?), Method::GetProviders { page: 0, scrape, no_seeds })
            }
            b"announce_peer" => (Some(id(self.info_hash)?), self.announce()?),
            b"get" => {
                // Every number is newer than a negative one.
                let newer_than = number(self.seq).ok();
                (Some(id(self.target)?), Method::Get { newer_than })
            }
            b"put" => (self.target.map(|target| id(Some(target))).transpose()?, self.put()?),
            b"sample_infohashes" => (Some(id(self.target)?), Method::SampleKeys),
            name => {
                let target = id(self.target).or_else(|_| id(self.info_hash)).ok();
                (target, Method::Unknown { code: 0, name })
            }
        };
        let want = self.want.unwrap_or(Families::NONE);
        Ok(Query { method, target, want, mask: Capabilities::NONE })
    }

    fn announce(&self) -> Result<Method<'a>, Malformed> {
        let token = bytes(self.token)?;
        let implied_port = flag(self.implied_port);
        let port = match self.port {
            None if implied_port => None,
            port => {
                let port = u16::try_from(number(port)?).map_err(|_| Malformed::BadNumber)?;
                if port == 0 && !implied_port {
                    return Err(Malformed::BadNumber);
                }
                Some(port)
            }
        };
        Ok(Method::Announce { token, port, implied_port, transports: 0, seed: flag(self.seed) })
    }

    fn put(&self) -> Result<Method<'a>, Malformed> {
        let token = bytes(self.token)?;
        let value = canonical(self.v.ok_or(Malformed::Missing)?)?;
        let salt = self.salt.map(|salt| bytes(Some(salt))).transpose()?.unwrap_or_default();
        let cas = self.cas.map(|cas| number(Some(cas))).transpose()?;
        let item = match self.k {
            None => Item::Immutable(value),
            Some(key) => {
                let public_key = fixed(bytes(Some(key))?)?;
                let signature = fixed(bytes(self.sig)?)?;
                let seq = match number(self.seq) {
                    // A value or a salt over the limit is refused for that, whatever the number:
                    // BEP 44's clients tell 205 and 207 from 203.
                    Err(Malformed::BadNumber)
                        if value.len() > bep44::MAX_VALUE || salt.len() > bep44::MAX_SALT =>
                    {
                        0
                    }
                    seq => seq?,
                };
                Item::Signed(SignedItem { public_key, salt, seq, value, extra: &[], signature })
            }
        };
        Ok(Method::Put { token, item, cas, age: 0, lifetime: None })
    }
}

/// `want`: the names of families (BEP 32). Others are ignored, and so is what is no list.
fn read_want(reader: &mut Reader<'_>) -> Result<Families, Malformed> {
    let mut families = Families::NONE;
    if reader.list().is_err() {
        reader.skip()?;
        return Ok(families);
    }
    while !reader.at_end() {
        families = families.union(match reader.value()? {
            Value::Bytes(b"n4") => Families::V4,
            Value::Bytes(b"n6") => Families::V6,
            _ => Families::NONE,
        });
    }
    Ok(families)
}

/// A response: all that any method's response has. Returns who sends it.
#[inline]
fn read_reply<'a>(reader: &mut Reader<'a>, response: &mut Response<'a>) -> Result<Id, Malformed> {
    let mut unknown = 0_u32;
    let (mut sender, mut key, mut signature, mut seq, mut value) = (None, None, None, None, None);
    let (mut nodes, mut nodes6, mut values) = (None, None, None);
    let (mut token, mut seed_filter, mut peer_filter) = (None, None, None);
    let (mut samples, mut total, mut interval) = (None, None, None);
    reader.dictionary()?;
    let keys = reader.rest();
    while let Some(name) = reader.key()? {
        match name {
            b"id" => once(&mut sender, id(Some(reader.value()?))?)?,
            b"nodes" => once(&mut nodes, reader.bytes()?)?,
            b"nodes6" => once(&mut nodes6, reader.bytes()?)?,
            b"token" => once(&mut token, reader.bytes()?)?,
            b"values" => once(&mut values, read_values(reader)?)?,
            b"v" => once(&mut value, canonical(reader.raw()?)?)?,
            b"k" => once(&mut key, fixed(reader.bytes()?)?)?,
            b"sig" => once(&mut signature, fixed(reader.bytes()?)?)?,
            b"seq" => once(&mut seq, number(Some(reader.value()?))?)?,
            b"BFsd" => once(&mut seed_filter, fixed(reader.bytes()?)?)?,
            b"BFpe" => once(&mut peer_filter, fixed(reader.bytes()?)?)?,
            b"samples" => once(&mut samples, reader.bytes()?)?,
            b"num" => once(&mut total, reader.value()?)?,
            b"interval" => once(&mut interval, reader.value()?)?,
            _ => {
                reader.skip()?;
                unknown = unknown.saturating_add(1);
            }
        }
    }
    if unknown > 1 {
        refuse_duplicates(keys)?;
    }
    response.item = match (value, key, signature) {
        (None, ..) => None,
        (Some(value), None, None) => Some(Item::Immutable(value)),
        (Some(value), Some(public_key), Some(signature)) => {
            let seq = seq.take().ok_or(Malformed::Missing)?;
            Some(Item::Signed(SignedItem::new(public_key, seq, value, signature)))
        }
        _ => return Err(Malformed::Missing),
    };
    response.seq = seq;
    response.listed = nodes
        .map_or(Families::NONE, |_| Families::V4)
        .union(nodes6.map_or(Families::NONE, |_| Families::V6));
    if !response.listed.is_empty() {
        response.nodes = List::from_runs([
            run(nodes.unwrap_or_default(), 26, take_v4),
            run(nodes6.unwrap_or_default(), 38, take_v6),
        ]);
    }
    response.token = token.filter(|token| token.len() <= MAX_TOKEN);
    if let Some(values) = values {
        response.providers = values;
    }
    response.seed_filter = seed_filter;
    response.peer_filter = peer_filter;
    response.samples = samples.map(|samples| Samples {
        keys: List::from_runs([run(samples, Id::LEN, take_key), (&[], take_key)]),
        total: number(total).unwrap_or_default(),
        interval: number(interval)
            .map_or(0, |secs| u32::try_from(secs).unwrap_or(u32::MAX))
            .min(MAX_SAMPLE_INTERVAL),
    });
    sender.ok_or(Malformed::Missing)
}

/// `values`: a list of addresses of either family (BEP 5, BEP 32), mixed by some.
#[inline]
fn read_values<'a>(reader: &mut Reader<'a>) -> Result<List<'a, Peer>, Malformed> {
    reader.list()?;
    let start = reader.rest();
    reader.skip_strings_of_6();
    while !reader.at_end() {
        reader.skip()?;
        reader.skip_strings_of_6();
    }
    let entries = reader.since(start).split_last().map_or(&[][..], |(_end, entries)| entries);
    Ok(List::from_runs([(entries, take_peer), (&[], take_peer)]))
}

/// `e`: a list of a number and a text. The text is for people: what is not UTF-8 of it is left out.
fn read_failure<'a>(reader: &mut Reader<'a>) -> Result<Failure<'a>, Malformed> {
    reader.list()?;
    let code = u16::try_from(reader.integer()?).map_err(|_| Malformed::BadNumber)?;
    let mut text: &[u8] = &[];
    if !reader.at_end() {
        text = reader.bytes()?;
        while !reader.at_end() {
            reader.skip()?;
        }
    }
    let text = text.utf8_chunks().next().map_or("", |chunk| chunk.valid());
    Ok(Failure { text, ..Failure::new(ErrorCode::from_number(code)) })
}

/// Puts a field where there is none yet.
#[inline]
fn once<T>(field: &mut Option<T>, value: T) -> Result<(), Malformed> {
    if field.is_some() {
        return Err(Malformed::Duplicate);
    }
    *field = Some(value);
    Ok(())
}

#[inline]
fn bytes(value: Option<Value<'_>>) -> Result<&[u8], Malformed> {
    match value {
        Some(Value::Bytes(bytes)) => Ok(bytes),
        Some(_) => Err(Malformed::BadField),
        None => Err(Malformed::Missing),
    }
}

#[inline]
fn fixed<const N: usize>(bytes: &[u8]) -> Result<&[u8; N], Malformed> {
    bytes.try_into().map_err(|_| Malformed::BadField)
}

#[inline]
fn id(value: Option<Value<'_>>) -> Result<Id, Malformed> {
    Id::from_slice(bytes(value)?).ok_or(Malformed::BadField)
}

/// A number that cannot be negative.
#[inline]
fn number(value: Option<Value<'_>>) -> Result<u64, Malformed> {
    match value {
        Some(Value::Integer(number)) => u64::try_from(number).map_err(|_| Malformed::BadNumber),
        Some(_) => Err(Malformed::BadField),
        None => Err(Malformed::Missing),
    }
}

/// Set by any number but 0.
#[inline]
fn flag(value: Option<Value<'_>>) -> bool {
    matches!(value, Some(Value::Integer(number)) if number != 0)
}

fn canonical(raw: Raw<'_>) -> Result<&[u8], Malformed> {
    if raw.canonical { Ok(raw.bytes) } else { Err(Malformed::BadField) }
}

/// A run of entries of so many bytes. One that is no multiple of that holds none that could be used:
/// nobody knows where it was cut.
#[inline]
fn run<T>(bytes: &[u8], entry: usize, take: Take<T>) -> Run<'_, T> {
    let whole = bytes.len().checked_rem(entry) == Some(0);
    (bytes, if whole { take } else { |_| None })
}

fn take_v4(bytes: &mut &[u8]) -> Option<NodeInfo> {
    take_node::<6>(bytes)
}

fn take_v6(bytes: &mut &[u8]) -> Option<NodeInfo> {
    take_node::<18>(bytes)
}

#[inline]
fn take_node<const N: usize>(bytes: &mut &[u8]) -> Option<NodeInfo> {
    let id = take_key(bytes)?;
    let (address, rest) = bytes.split_first_chunk::<N>()?;
    *bytes = rest;
    let address = socket_address(address)?;
    Some(NodeInfo { id, address, capabilities: Capabilities::NONE })
}

#[inline]
fn take_key(bytes: &mut &[u8]) -> Option<Id> {
    let (id, rest) = bytes.split_first_chunk::<{ Id::LEN }>()?;
    *bytes = rest;
    Some(Id::new(*id))
}

/// The next entry that is an address; others are passed over.
fn take_peer(bytes: &mut &[u8]) -> Option<Peer> {
    if let [b'6', b':', a, b, c, d, e, f, rest @ ..] = *bytes {
        *bytes = rest;
        let address = socket_address(&[*a, *b, *c, *d, *e, *f])?;
        return Some(Peer { address, transports: 0 });
    }
    let mut reader = Reader::new(bytes);
    while !reader.rest().is_empty() {
        let entry = reader.value().ok()?;
        *bytes = reader.rest();
        if let Value::Bytes(entry) = entry
            && let Some(address) = socket_address(entry)
        {
            return Some(Peer { address, transports: 0 });
        }
    }
    None
}

/// An address and a port in network byte order: 6 bytes or 18.
#[inline]
fn socket_address(bytes: &[u8]) -> Option<SocketAddr> {
    let (ip, port) = bytes.split_last_chunk::<2>()?;
    let ip = match ip.len() {
        4 => IpAddr::from(<[u8; 4]>::try_from(ip).ok()?),
        16 => IpAddr::from(<[u8; 16]>::try_from(ip).ok()?),
        _ => return None,
    };
    Some(SocketAddr::new(ip, u16::from_be_bytes(*port)))
}
