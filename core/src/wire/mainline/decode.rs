//! KRPC read: one pass over the datagram, then a look at what was found.

use core::net::SocketAddr;

use super::compact::{COMPACT_V4, COMPACT_V6, socket_address};
use super::{MAX_DATAGRAM, MAX_SAMPLE_INTERVAL, MAX_TOKEN, MAX_TRANSACTION, bep44};
use crate::contact::{Capabilities, Families};
use crate::id::Id;
use crate::wire::bencode::{self, Raw, Reader, Value, refuse_duplicates};
use crate::wire::{
    Body, ErrorCode, Failure, Item, List, Malformed, Message, Method, Query, Response, Samples,
    SignedItem,
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
    // The two large ones are filled where they are: moving them would cost more than reading them.
    let (mut arguments, mut reply, mut failure) = (None, None, None);
    let (mut method, mut address, mut read_only) = (None, None, None);
    // What nearly all datagrams consist of, in its order. What does not stand there is left to the
    // loop, which takes anything anywhere.
    if reader.passes(b"1:a") {
        arguments.insert(Arguments::default()).read(&mut reader)?;
        method = reader.expected_string(b"1:q");
    } else {
        address = reader.expected(b"2:ip6:").map(|ip: &[u8; 6]| Value::Bytes(ip));
        if reader.passes(b"1:r") {
            reply.insert(Reply::default()).read(&mut reader)?;
        }
    }
    let mut transaction = reader.expected_string(b"1:t");
    let mut version = reader.expected_string(b"1:v").map(Value::Bytes);
    let mut kind = reader.expected_string(b"1:y");
    while let Some(key) = reader.key()? {
        match key {
            b"a" if arguments.is_some() => return Err(Malformed::Duplicate),
            b"a" => arguments.insert(Arguments::default()).read(&mut reader)?,
            b"e" => once(&mut failure, read_failure(&mut reader)?)?,
            b"ip" => once(&mut address, reader.value()?)?,
            b"q" => once(&mut method, reader.bytes()?)?,
            b"r" if reply.is_some() => return Err(Malformed::Duplicate),
            b"r" => reply.insert(Reply::default()).read(&mut reader)?,
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
    let head = Head {
        transaction,
        observed: bytes(address).ok().and_then(socket_address),
        version: bytes(version).ok(),
    };
    match kind.ok_or(Malformed::Missing)? {
        b"q" => {
            let (arguments, method) = arguments.as_ref().zip(method).ok_or(Malformed::Missing)?;
            let (sender, query) = (id(arguments.id)?, arguments.query(method)?);
            Ok(head.with(Some(sender), flag(read_only), Body::Query(query)))
        }
        b"r" => {
            let reply = reply.as_ref().ok_or(Malformed::Missing)?;
            let sender = reply.id.ok_or(Malformed::Missing)?;
            let item = reply.item()?;
            Ok(head.with(Some(Id::new(*sender)), false, Body::Response(reply.response(item))))
        }
        b"e" => {
            let failure = failure.ok_or(Malformed::Missing)?;
            Ok(head.with(None, false, Body::Error(failure)))
        }
        _ => Err(Malformed::BadField),
    }
}

/// What messages of all kinds have.
struct Head<'a> {
    transaction: &'a [u8],
    observed: Option<SocketAddr>,
    version: Option<&'a [u8]>,
}

impl<'a> Head<'a> {
    /// The message. Always inlined, so that each kind is put together where it is returned: a
    /// message has half a kilobyte, and moving it costs as much as reading it.
    #[inline(always)]
    const fn with(self, sender: Option<Id>, client: bool, body: Body<'a>) -> Message<'a> {
        Message {
            transaction: self.transaction,
            sender,
            client,
            capabilities: None,
            cookie: None,
            observed: self.observed,
            version: self.version,
            body,
        }
    }
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
        let id = |id: &'a [u8; Id::LEN]| Value::Bytes(id);
        self.id = reader.expected(b"2:id20:").map(id);
        self.implied_port = reader.expected_number(b"12:implied_port");
        self.info_hash = reader.expected(b"9:info_hash20:").map(id);
        if self.info_hash.is_some() {
            self.port = reader.expected_number(b"4:port");
            self.seed = reader.expected_number(b"4:seed");
            self.token = reader.expected_string(b"5:token").map(Value::Bytes);
        } else {
            self.target = reader.expected(b"6:target20:").map(id);
        }
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

    #[inline(always)]
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

    #[inline(always)]
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

/// All that any method's response has.
#[derive(Default)]
struct Reply<'a> {
    id: Option<&'a [u8; Id::LEN]>,
    nodes: Option<&'a [u8]>,
    nodes6: Option<&'a [u8]>,
    token: Option<&'a [u8]>,
    values: Option<Values<'a>>,
    v: Option<&'a [u8]>,
    k: Option<&'a [u8; 32]>,
    sig: Option<&'a [u8; 64]>,
    seq: Option<u64>,
    seed_filter: Option<&'a [u8; 256]>,
    peer_filter: Option<&'a [u8; 256]>,
    samples: Option<&'a [u8]>,
    num: Option<Value<'a>>,
    interval: Option<Value<'a>>,
}

impl<'a> Reply<'a> {
    #[inline]
    fn read(&mut self, reader: &mut Reader<'a>) -> Result<(), Malformed> {
        let mut unknown = 0_u32;
        reader.dictionary()?;
        let keys = reader.rest();
        self.id = reader.expected(b"2:id20:");
        self.k = reader.expected(b"1:k32:");
        if reader.passes(b"5:nodes") {
            self.nodes = Some(reader.bytes()?);
        }
        if self.k.is_some() {
            if reader.passes(b"3:seq") {
                self.seq = Some(number(Some(reader.value()?))?);
            }
            self.sig = reader.expected(b"3:sig64:");
        }
        self.token = reader.expected_string(b"5:token");
        if reader.passes(b"1:v") {
            self.v = Some(canonical(reader.raw()?)?);
        }
        while let Some(name) = reader.key()? {
            match name {
                b"id" => once(&mut self.id, fixed(reader.bytes()?)?)?,
                b"nodes" => once(&mut self.nodes, reader.bytes()?)?,
                b"nodes6" => once(&mut self.nodes6, reader.bytes()?)?,
                b"token" => once(&mut self.token, reader.bytes()?)?,
                b"values" => once(&mut self.values, read_values(reader)?)?,
                b"v" => once(&mut self.v, canonical(reader.raw()?)?)?,
                b"k" => once(&mut self.k, fixed(reader.bytes()?)?)?,
                b"sig" => once(&mut self.sig, fixed(reader.bytes()?)?)?,
                b"seq" => once(&mut self.seq, number(Some(reader.value()?))?)?,
                b"BFsd" => once(&mut self.seed_filter, fixed(reader.bytes()?)?)?,
                b"BFpe" => once(&mut self.peer_filter, fixed(reader.bytes()?)?)?,
                b"samples" => once(&mut self.samples, reader.bytes()?)?,
                b"num" => once(&mut self.num, reader.value()?)?,
                b"interval" => once(&mut self.interval, reader.value()?)?,
                _ => {
                    reader.skip()?;
                    unknown = unknown.saturating_add(1);
                }
            }
        }
        if unknown > 1 {
            refuse_duplicates(keys)?;
        }
        Ok(())
    }

    #[inline(always)]
    fn item(&self) -> Result<Option<Item<'a>>, Malformed> {
        let Some(value) = self.v else { return Ok(None) };
        match (self.k, self.sig, self.seq) {
            (None, None, _) => Ok(Some(Item::Immutable(value))),
            (Some(public_key), Some(signature), Some(seq)) => {
                Ok(Some(Item::Signed(SignedItem::new(public_key, seq, value, signature))))
            }
            _ => Err(Malformed::Missing),
        }
    }

    #[inline(always)]
    fn response(&self, item: Option<Item<'a>>) -> Response<'a> {
        let (v4, v6) = (self.nodes.unwrap_or_default(), self.nodes6.unwrap_or_default());
        let listed = |nodes: Option<_>, family| nodes.map_or(Families::NONE, |_| family);
        Response {
            nodes: List::from_compact(v4, v6),
            listed: listed(self.nodes, Families::V4).union(listed(self.nodes6, Families::V6)),
            token: self.token.filter(|token| token.len() <= MAX_TOKEN),
            providers: self
                .values
                .map_or(List::default(), |values| List::from_compact(values.strings, values.run)),
            // A signed value says its own.
            seq: if let Some(Item::Signed(_)) = item { None } else { self.seq },
            item,
            seed_filter: self.seed_filter,
            peer_filter: self.peer_filter,
            samples: self.samples.map(|samples| Samples {
                keys: List::from_compact(samples, &[]),
                total: number(self.num).unwrap_or_default(),
                interval: number(self.interval)
                    .map_or(0, |secs| u32::try_from(secs).unwrap_or(u32::MAX))
                    .min(MAX_SAMPLE_INTERVAL),
            }),
            ..Response::default()
        }
    }
}

/// `values`: the addresses as strings of their own (BEP 5, BEP 32; mixed by some), and those that
/// stand in one string as nodes do.
#[derive(Clone, Copy, Default)]
struct Values<'a> {
    strings: &'a [u8],
    run: &'a [u8],
}

/// The first client of all put its peers into one string in the list, and others the string in the
/// list's place. A string of 18 bytes is an address of IPv6.
#[inline]
fn read_values<'a>(reader: &mut Reader<'a>) -> Result<Values<'a>, Malformed> {
    let is_run = |bytes: &[u8]| {
        bytes.len().is_multiple_of(COMPACT_V4) && !matches!(bytes.len(), COMPACT_V4 | COMPACT_V6)
    };
    if reader.list().is_err() {
        return Ok(match reader.value()? {
            Value::Bytes(run) if run.len() == COMPACT_V4 || is_run(run) => {
                Values { strings: &[], run }
            }
            _ => Values::default(),
        });
    }
    let start = reader.rest();
    reader.skip_strings_of_6();
    while !reader.at_end() {
        reader.skip()?;
        reader.skip_strings_of_6();
    }
    let strings = reader.since(start).split_last().map_or(&[][..], |(_end, entries)| entries);
    match bencode::as_string(strings) {
        Some(run) if is_run(run) => Ok(Values { strings: &[], run }),
        _ => Ok(Values { strings, run: &[] }),
    }
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
