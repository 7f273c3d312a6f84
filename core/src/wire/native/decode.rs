//! From a datagram to a message.
//!
//! One pass over the fields; what each says is checked where it is met, whether the method has a
//! use for it or not, because a tag means the same in every message. Then the method takes what it
//! needs.

use core::net::SocketAddr;

use super::read::{self, Fields, Reader, whole};
use super::{MAX_PAYLOAD, MAX_SALT, MAX_TOKEN, MAX_VALUE, MAX_WORDS_TEXT, code, tag};
use crate::contact::{Capabilities, Families};
use crate::id::Id;
use crate::wire::{
    ErrorCode, Failure, Hit, Item, Malformed, Method, NodeInfo, Query, Response, SignedItem,
};

/// Everything a query may say.
#[derive(Default)]
struct Said<'a> {
    target: Option<Id>,
    want: Families,
    mask: Capabilities,
    token: Option<&'a [u8]>,
    page: u32,
    newer_than: Option<u64>,
    cas: Option<u64>,
    age: u32,
    lifetime: Option<u32>,
    port: Option<u16>,
    transports: u8,
    words: &'a str,
    nonce: Option<u64>,
    address: Option<SocketAddr>,
    origin: Option<NodeInfo>,
    payload: Option<&'a [u8]>,
    item: Option<Item<'a>>,
    entry: Option<Hit<'a>>,
}

/// Where the fields go that any message may have.
pub(super) struct Common<'m> {
    pub(super) capabilities: &'m mut Option<Capabilities>,
    pub(super) cookie: &'m mut Option<[u8; 8]>,
    pub(super) observed: &'m mut Option<SocketAddr>,
}

/// Reads a query's body.
pub(super) fn query<'a>(
    body: &'a [u8],
    number: u16,
    query: &mut Query<'a>,
    common: &mut Common<'_>,
) -> Result<(), Malformed> {
    let mut said = Said::default();
    // Critical fields: the known ones as bits, and whether there was an unknown one.
    let (mut critical, mut strange) = (0_u32, false);
    let mut fields = Fields::new(body);
    while let Some(field) = fields.next()? {
        let bytes = field.bytes;
        match field.tag {
            tag::TARGET => said.target = Some(Id::new(*whole(bytes, Reader::array)?)),
            tag::WANT => {
                let [bits] = *whole(bytes, Reader::array)?;
                said.want = Families::from_bits(bits);
            }
            tag::MASK => said.mask = Capabilities(whole(bytes, Reader::u32)?),
            tag::TOKEN => said.token = Some(at_most(MAX_TOKEN, bytes)?),
            tag::PAGE => said.page = whole(bytes, Reader::u32)?,
            tag::NEWER_THAN => said.newer_than = Some(whole(bytes, Reader::u64)?),
            tag::CAS => said.cas = Some(whole(bytes, Reader::u64)?),
            tag::AGE => said.age = whole(bytes, Reader::u32)?,
            tag::LIFETIME => said.lifetime = Some(whole(bytes, Reader::u32)?),
            tag::PORT => said.port = Some(whole(bytes, Reader::u16)?),
            tag::TRANSPORTS => [said.transports] = *whole(bytes, Reader::array)?,
            tag::WORDS => said.words = read::text(at_most(MAX_WORDS_TEXT, bytes)?)?,
            tag::NONCE => said.nonce = Some(u64::from_be_bytes(*whole(bytes, Reader::array)?)),
            tag::ADDRESS => {
                said.address = Some(read::address(bytes)?.ok_or(Malformed::BadField)?);
            }
            tag::ORIGIN => said.origin = Some(read::node(bytes)?.ok_or(Malformed::BadField)?),
            tag::PAYLOAD => said.payload = Some(at_most(MAX_PAYLOAD, bytes)?),
            // Limits of values and salts are the store's to check: there are errors to say so.
            tag::VALUE => one(&mut said.item, Item::Immutable(bytes))?,
            tag::SIGNED => one(&mut said.item, Item::Signed(read::signed(bytes)?))?,
            tag::ENTRY => said.entry = Some(read::hit(bytes)?),
            // Answers alone say it: here it is skipped like an unknown one.
            tag::OBSERVED => {}
            _ => {
                common.read(field.tag, bytes)?;
                strange |= field.critical && field.tag > tag::LAST_KNOWN;
            }
        }
        if field.critical {
            critical |= tag::bit(field.tag);
        }
    }
    // A question with a critical field that is not understood is a question not understood.
    let method = if strange || critical & !uses(number) != 0 {
        Method::Unknown { code: number, name: &[] }
    } else {
        method(number, &said)?
    };
    if said.target.is_none() && needs_target(&method) {
        return Err(Malformed::Missing);
    }
    query.method = method;
    query.target = said.target;
    query.want = said.want;
    query.mask = said.mask;
    Ok(())
}

/// The tags, as bits, that mean something in a query with this method.
const fn uses(number: u16) -> u32 {
    tag::IN_EVERY_QUERY
        | match number {
            code::PING | code::DIAL_BACK => tag::bit(tag::NONCE),
            code::GET_PROVIDERS => tag::bit(tag::PAGE),
            code::ANNOUNCE => {
                tag::bit(tag::TOKEN) | tag::bit(tag::PORT) | tag::bit(tag::TRANSPORTS)
            }
            code::GET => tag::bit(tag::NEWER_THAN),
            code::PUT => {
                tag::bit(tag::TOKEN)
                    | tag::bit(tag::CAS)
                    | tag::bit(tag::AGE)
                    | tag::bit(tag::LIFETIME)
                    | tag::bit(tag::VALUE)
                    | tag::bit(tag::SIGNED)
            }
            code::SEARCH => tag::bit(tag::WORDS) | tag::bit(tag::PAGE),
            code::PUBLISH => tag::bit(tag::TOKEN) | tag::bit(tag::ENTRY),
            code::SIGNAL => tag::bit(tag::ORIGIN) | tag::bit(tag::PAYLOAD),
            code::PROBE => tag::bit(tag::ADDRESS) | tag::bit(tag::NONCE),
            _ => 0,
        }
}

fn method<'a>(number: u16, said: &Said<'a>) -> Result<Method<'a>, Malformed> {
    let token = || said.token.ok_or(Malformed::Missing);
    let nonce = || said.nonce.ok_or(Malformed::Missing);
    Ok(match number {
        code::PING => Method::Ping { nonce: said.nonce },
        code::FIND_NODE => Method::FindNode,
        code::GET_PROVIDERS => {
            Method::GetProviders { page: said.page, scrape: false, no_seeds: false }
        }
        code::ANNOUNCE => Method::Announce {
            token: token()?,
            port: said.port,
            implied_port: false,
            transports: said.transports,
            seed: false,
        },
        code::GET => Method::Get { newer_than: said.newer_than },
        code::PUT => Method::Put {
            token: token()?,
            item: said.item.ok_or(Malformed::Missing)?,
            cas: said.cas,
            age: said.age,
            lifetime: said.lifetime,
        },
        code::SEARCH => Method::Search { words: said.words, page: said.page },
        code::PUBLISH => {
            Method::Publish { token: token()?, entry: said.entry.ok_or(Malformed::Missing)? }
        }
        code::SIGNAL => {
            Method::Signal { origin: said.origin, payload: said.payload.ok_or(Malformed::Missing)? }
        }
        code::DIAL_BACK => Method::DialBack { nonce: nonce()? },
        code::PROBE => {
            Method::Probe { address: said.address.ok_or(Malformed::Missing)?, nonce: nonce()? }
        }
        code => Method::Unknown { code, name: &[] },
    })
}

/// A stored value says itself what its key is; what is not about a point has none.
const fn needs_target(method: &Method<'_>) -> bool {
    !matches!(
        method,
        Method::Ping { .. }
            | Method::Put { .. }
            | Method::DialBack { .. }
            | Method::Probe { .. }
            | Method::Unknown { .. }
    )
}

/// Reads a response's body.
pub(super) fn response<'a>(
    body: &'a [u8],
    response: &mut Response<'a>,
    common: &mut Common<'_>,
) -> Result<(), Malformed> {
    let mut fields = Fields::new(body);
    while let Some(field) = fields.next()? {
        let bytes = field.bytes;
        match field.tag {
            tag::TOKEN => response.token = Some(at_most(MAX_TOKEN, bytes)?),
            tag::PAGE => response.next_page = Some(whole(bytes, Reader::u32)?),
            tag::SEQ => response.seq = Some(whole(bytes, Reader::u64)?),
            tag::VALUE => one(&mut response.item, Item::Immutable(at_most(MAX_VALUE, bytes)?))?,
            tag::SIGNED => {
                let item = read::signed(bytes)?;
                if !within_limits(&item) {
                    return Err(Malformed::BadField);
                }
                one(&mut response.item, Item::Signed(item))?;
            }
            tag::NODES => response.nodes = read::nodes(bytes)?,
            tag::PROVIDERS => response.providers = read::peers(bytes)?,
            tag::HITS => response.hits = read::hits(bytes)?,
            tag if common.read(tag, bytes)? => {}
            _ if field.critical => return Err(Malformed::Critical),
            _ => {}
        }
    }
    Ok(())
}

/// Reads an error's body.
pub(super) fn failure<'a>(
    body: &'a [u8],
    number: u16,
    common: &mut Common<'_>,
) -> Result<Failure<'a>, Malformed> {
    let (mut reason, mut seq) = (None, None);
    let mut fields = Fields::new(body);
    while let Some(field) = fields.next()? {
        match field.tag {
            tag::SEQ => seq = Some(whole(field.bytes, Reader::u64)?),
            tag::ERROR => {
                let mut reader = Reader(field.bytes);
                let code = ErrorCode::from_number(reader.u16()?);
                reason = Some((code, read::text(reader.bytes()?)?));
            }
            tag if common.read(tag, field.bytes)? => {}
            _ if field.critical => return Err(Malformed::Critical),
            _ => {}
        }
    }
    let (code, text) = reason.ok_or(Malformed::Missing)?;
    Ok(Failure { method: number, code, text, seq })
}

impl Common<'_> {
    /// Reads a field that any message may have; false if it is none of those.
    fn read(&mut self, tag: u16, bytes: &[u8]) -> Result<bool, Malformed> {
        match tag {
            tag::CAPABILITIES => {
                // None said and not said are the same, and have one form here.
                let bits = Capabilities(whole(bytes, Reader::u32)?);
                *self.capabilities = (bits != Capabilities::NONE).then_some(bits);
            }
            tag::COOKIE => *self.cookie = Some(*whole(bytes, Reader::array)?),
            tag::OBSERVED => *self.observed = read::address(bytes)?,
            _ => return Ok(false),
        }
        Ok(true)
    }
}

const fn at_most(limit: usize, bytes: &[u8]) -> Result<&[u8], Malformed> {
    if bytes.len() > limit { Err(Malformed::BadField) } else { Ok(bytes) }
}

/// A message has one value: signed or not.
fn one<'a>(slot: &mut Option<Item<'a>>, item: Item<'a>) -> Result<(), Malformed> {
    if slot.replace(item).is_some() { Err(Malformed::Duplicate) } else { Ok(()) }
}

const fn within_limits(item: &SignedItem<'_>) -> bool {
    item.salt.len() <= MAX_SALT && item.value.len().saturating_add(item.extra.len()) <= MAX_VALUE
}
