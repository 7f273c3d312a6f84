//! One conversion for each type that crosses, in each direction it crosses in.

use alloc::string::{String, ToString as _};
use alloc::vec::Vec;
use core::cell::RefCell;
use core::net::SocketAddr;
use core::time::Duration;

use js_sys::{Array, Object, Reflect, Uint8Array};
use kadlet_core::record::{Form, Item, SearchEntry, SignedValue, Value};
use kadlet_core::wire::ErrorCode;
use kadlet_core::{
    Asked, BucketView, Change, Contact, Dropped, Entry, Event, Families, Family, Health, Id,
    Instant, LinkId, OperationProgress, Outcome, Path, PeerFailure, Stats, StoreChange, StoreStats,
    Totals, Transmit,
};
use wasm_bindgen::__rt::LazyCell;
use wasm_bindgen::prelude::*;

use crate::Result;

/// The caller's fault, in the core's words.
pub(crate) fn invalid(why: impl core::fmt::Display) -> JsError {
    JsError::new(&why.to_string())
}

#[wasm_bindgen]
extern "C" {
    /// An object whose fields are set without `Reflect.set`, which is made for what may fail: setting
    /// a field of a fresh plain object cannot.
    type Plain;
    #[wasm_bindgen(method, structural, indexing_setter)]
    fn set(this: &Plain, name: &JsValue, value: &JsValue);
}

/// Names and tags as JavaScript has them: to decode them every time takes longer than all the rest.
/// A text's place in the module says which it is; two that fall together take turns.
const NAMES: usize = 256;

/// What values of JavaScript are kept in between calls: in one cell, as there is one thread.
static KNOWN: LazyCell<RefCell<[(&'static str, JsValue); NAMES]>> =
    LazyCell::new(|| RefCell::new([const { ("", JsValue::UNDEFINED) }; NAMES]));

fn with_word<T>(word: &'static str, then: impl FnOnce(&JsValue) -> T) -> T {
    let mut known = KNOWN.borrow_mut();
    let at = (word.as_ptr() as usize >> 2 ^ word.len() << 4) % NAMES;
    let (text, value) = &mut known[at];
    if !core::ptr::eq::<str>(*text, word) {
        (*text, *value) = (word, word.into());
    }
    then(value)
}

/// A word of ours as a string of JavaScript's.
pub(crate) fn word(word: &'static str) -> JsValue {
    with_word(word, JsValue::clone)
}

/// A plain object with these fields.
pub(crate) fn object<const N: usize>(fields: [(&'static str, JsValue); N]) -> JsValue {
    let object = Object::new().unchecked_into::<Plain>();
    set_all(&object, &fields);
    object.into()
}

/// Once for all lengths.
fn set_all(object: &Plain, fields: &[(&'static str, JsValue)]) {
    for (name, value) in fields {
        with_word(name, |name| object.set(name, value));
    }
}

pub(crate) fn tagged<const N: usize>(
    tag: &'static str,
    fields: [(&'static str, JsValue); N],
) -> JsValue {
    let object = object(fields).unchecked_into::<Plain>();
    set_all(&object, &[("type", word(tag))]);
    object.into()
}

pub(crate) fn list<T>(all: impl IntoIterator<Item = T>, convert: impl Fn(T) -> JsValue) -> Array {
    all.into_iter().map(convert).collect()
}

pub(crate) fn field(value: &JsValue, name: &str) -> Result<JsValue> {
    Reflect::get(value, &name.into()).map_err(|_| invalid(format_args!("no object with {name}")))
}

pub(crate) fn text(value: &JsValue, name: &str) -> Result<String> {
    let text = field(value, name)?.as_string();
    text.ok_or_else(|| invalid(format_args!("{name} has to be a string")))
}

pub(crate) fn bytes(value: &JsValue, name: &str) -> Result<Vec<u8>> {
    let value = field(value, name)?;
    let array = value.dyn_ref::<Uint8Array>().map(Uint8Array::to_vec);
    array.ok_or_else(|| invalid(format_args!("{name} has to be a Uint8Array")))
}

/// What `read` makes of a field, if it is there.
#[cfg(feature = "full")]
pub(crate) fn optional<T>(
    value: &JsValue,
    name: &str,
    read: impl Fn(&JsValue, &str) -> Result<T>,
) -> Result<Option<T>> {
    let there = field(value, name)?;
    if there.is_undefined() { Ok(None) } else { read(value, name).map(Some) }
}

/// A whole number from 0 on that JavaScript has exactly.
pub(crate) fn whole(number: f64) -> Option<u64> {
    const MAX_SAFE_INTEGER: f64 = 9_007_199_254_740_991.0;
    let whole = number as u64;
    (whole as f64 == number && number <= MAX_SAFE_INTEGER).then_some(whole)
}

/// A whole number up to `most`, or `missing` if there is none.
pub(crate) fn number(value: &JsValue, name: &str, most: f64, missing: f64) -> Result<f64> {
    let value = field(value, name)?;
    if value.is_undefined() {
        return Ok(missing);
    }
    let whole = value.as_f64().and_then(whole).map(|n| n as f64).filter(|n| *n <= most);
    whole.ok_or_else(|| invalid([name, " has to be a whole number, and not so large"].concat()))
}

// ---- time -------------------------------------------------------------------------------------

/// The nearest microsecond; what lies beyond the last one saturates.
fn micros(millis: f64) -> Result<u64> {
    /// From here on there are no fractions: what is added to it is rounded, with ties to even.
    const WHOLE: f64 = 4_503_599_627_370_496.0;
    if millis >= 0.0 {
        let micros = millis * 1e3;
        let micros = if micros < WHOLE { micros + WHOLE - WHOLE } else { micros };
        return Ok(micros as u64);
    }
    Err(invalid("a time is a number of milliseconds from 0 on"))
}

pub(crate) fn instant(millis: f64) -> Result<Instant> {
    micros(millis).map(Instant::from_micros)
}

pub(crate) fn duration(millis: f64) -> Result<Duration> {
    micros(millis).map(Duration::from_micros)
}

pub(crate) const fn millis(instant: Instant) -> f64 {
    instant.as_micros() as f64 / 1e3
}

pub(crate) const fn elapsed(duration: Duration) -> f64 {
    duration.as_micros() as f64 / 1e3
}

// ---- ids, addresses, contacts -----------------------------------------------------------------

pub(crate) fn array<const N: usize>(what: &str, bytes: &[u8]) -> Result<[u8; N]> {
    let wrong = |_| invalid(format_args!("{what} has {N} bytes, this has {}", bytes.len()));
    bytes.try_into().map_err(wrong)
}

pub(crate) fn id(text: &str) -> Result<Id> {
    text.parse().map_err(invalid)
}

/// Not by way of `Display`: an answer names twenty.
pub(crate) fn id_to(id: Id) -> JsValue {
    let digit = |nibble: u8| char::from_digit(nibble.into(), 16).unwrap_or_default();
    let digits = id.as_bytes().iter().flat_map(|byte| [digit(byte >> 4), digit(byte & 15)]);
    digits.collect::<String>().into()
}

pub(crate) fn bytes_to(bytes: &[u8]) -> JsValue {
    Uint8Array::from(bytes).into()
}

pub(crate) fn family(name: &str) -> Result<Family> {
    let known = Family::ALL.into_iter().find(|family| family.name() == name);
    known.ok_or_else(|| invalid(format_args!("a family is ipv4 or ipv6, this is {name}")))
}

pub(crate) fn families(names: &[String]) -> Result<Families> {
    names.iter().try_fold(Families::NONE, |all, name| Ok(all.union(Families::only(family(name)?))))
}

pub(crate) fn address_from(text: &str) -> Result<SocketAddr> {
    text.parse().map_err(|why| invalid(format_args!("{text} is no address: {why}")))
}

pub(crate) fn address(address: SocketAddr) -> JsValue {
    address.to_string().into()
}

/// `{remote, link}`; without a link it is link 0.
pub(crate) fn path_from(value: &JsValue) -> Result<Path> {
    let link = number(value, "link", u16::MAX.into(), 0.0)? as u16;
    Ok(Path { link: LinkId(link), remote: address_from(&text(value, "remote")?)? })
}

fn path(path: Path) -> JsValue {
    object([("remote", address(path.remote)), ("link", path.link.0.into())])
}

pub(crate) fn contact(contact: &Contact) -> JsValue {
    object([
        ("id", id_to(contact.id)),
        ("path", path(contact.path)),
        ("capabilities", contact.capabilities.0.into()),
    ])
}

#[cfg(feature = "full")]
pub(crate) fn contact_from(value: &JsValue) -> Result<Contact> {
    let path = path_from(&field(value, "path")?)?;
    let mut contact = Contact::new(id(&text(value, "id")?)?, path.remote);
    contact.path = path;
    let bits = number(value, "capabilities", u32::MAX.into(), 0.0)?;
    contact.capabilities = kadlet_core::Capabilities(bits as u32);
    Ok(contact)
}

fn peer(peer: &Asked) -> JsValue {
    object([("id", peer.id.map_or(JsValue::UNDEFINED, id_to)), ("path", path(peer.path))])
}

pub(crate) fn entry(entry: Entry) -> JsValue {
    object([
        ("contact", contact(&entry.contact)),
        ("seen", millis(entry.seen).into()),
        ("rtt", entry.rtt.map(elapsed).into()),
        ("failures", entry.failures.into()),
        ("live", entry.live.into()),
    ])
}

pub(crate) fn bucket(bucket: &BucketView<'_>) -> JsValue {
    object([
        ("depth", bucket.depth().into()),
        ("first", id_to(bucket.first())),
        ("refreshed", millis(bucket.refreshed()).into()),
        ("contacts", list(bucket.contacts(), entry).into()),
        ("replacements", list(bucket.replacements(), entry).into()),
    ])
}

// ---- records ----------------------------------------------------------------------------------

/// Of the values of Mainline, or of Kadlet's own networks.
pub(crate) fn form(mainline: bool) -> Result<Form> {
    match mainline {
        false => Ok(Form::Native),
        #[cfg(feature = "mainline")]
        true => Ok(Form::Bencode),
        #[cfg(not(feature = "mainline"))]
        true => Err(invalid("this build of the core has no Mainline")),
    }
}

/// A sequence number: a bigint of any size comes from JavaScript, and is not cut to 64 bits.
pub(crate) fn sequence(value: JsValue) -> Result<u64> {
    value.try_into().map_err(|_| invalid("seq has to be a bigint from 0 on, of 64 bits at most"))
}

pub(crate) fn item_from(value: &JsValue, mainline: bool) -> Result<Item> {
    let form = form(mainline)?;
    if let Some(bytes) = value.dyn_ref::<Uint8Array>() {
        return Value::of(form, bytes.to_vec()).map(Item::Immutable).map_err(invalid);
    }
    let seq = sequence(field(value, "seq")?)?;
    let signed = SignedValue::of(
        form,
        array("a public key", &bytes(value, "publicKey")?)?,
        bytes(value, "salt")?,
        seq,
        bytes(value, "value")?,
        array("a signature", &bytes(value, "signature")?)?,
        bytes(value, "extra")?,
    );
    signed.map(Item::Signed).map_err(invalid)
}

fn item(item: &Item) -> JsValue {
    match item {
        Item::Immutable(value) => bytes_to(value.as_bytes()),
        Item::Signed(signed) => signed_value(signed),
    }
}

pub(crate) fn signed_value(signed: &SignedValue) -> JsValue {
    object([
        ("publicKey", bytes_to(signed.public_key())),
        ("salt", bytes_to(signed.salt())),
        ("seq", signed.seq().into()),
        ("value", bytes_to(signed.value())),
        ("signature", bytes_to(signed.signature())),
        ("extra", bytes_to(signed.extra())),
    ])
}

pub(crate) fn search_entry_from(value: &JsValue) -> Result<SearchEntry> {
    const MAX_SAFE_INTEGER: f64 = 9_007_199_254_740_991.0;
    let size = number(value, "size", MAX_SAFE_INTEGER, 0.0)? as u64;
    let content = array("a content", &bytes(value, "content")?)?;
    let extra = match field(value, "extra")? {
        none if none.is_undefined() => Vec::new(),
        _ => bytes(value, "extra")?,
    };
    SearchEntry::with_extra(text(value, "name")?, size, content, extra).map_err(invalid)
}

fn search_entry(entry: &SearchEntry) -> JsValue {
    object([
        ("name", entry.name().into()),
        ("size", (entry.size() as f64).into()),
        ("content", bytes_to(entry.content())),
        ("extra", bytes_to(entry.extra())),
    ])
}

// ---- events and changes -----------------------------------------------------------------------

pub(crate) fn transmit(transmit: &Transmit) -> JsValue {
    object([("path", path(transmit.path)), ("payload", bytes_to(&transmit.payload))])
}

fn refused(code: ErrorCode, seq: Option<u64>) -> JsValue {
    object([
        ("code", word(code.name())),
        ("number", code.number().into()),
        ("seq", seq.map_or(JsValue::UNDEFINED, JsValue::from)),
    ])
}

fn reason(reason: PeerFailure) -> JsValue {
    match reason {
        PeerFailure::Refused { code, seq } => refused(code, seq),
        other => word(other.name()),
    }
}

fn outcome(outcome: Outcome) -> JsValue {
    match outcome {
        Outcome::Refused { code, seq } => refused(code, seq),
        other => word(other.name()),
    }
}

fn totals(totals: &Totals) -> JsValue {
    object([
        ("asked", totals.asked.into()),
        ("answered", totals.answered.into()),
        ("failed", totals.failed.into()),
        ("found", totals.found.into()),
        ("stored", totals.stored.into()),
        ("storeAttempts", totals.store_attempts.into()),
        ("hops", totals.hops.into()),
        ("datagrams", totals.datagrams.into()),
        ("bytesSent", (totals.bytes_sent as f64).into()),
        ("bytesReceived", (totals.bytes_received as f64).into()),
        ("elapsed", elapsed(totals.elapsed).into()),
    ])
}

pub(crate) fn event(event: &Event) -> JsValue {
    let tag = event.name();
    let operation = |id: &kadlet_core::OperationId| ("operation", (id.0 as f64).into());
    match event {
        Event::Started { operation: id } => tagged(tag, [operation(id)]),
        Event::Asked { operation: id, peer: asked } => {
            tagged(tag, [operation(id), ("peer", peer(asked))])
        }
        Event::Answered { operation: id, peer: asked, rtt, named } => {
            let named = list(named, contact).into();
            let rtt = elapsed(*rtt).into();
            tagged(tag, [operation(id), ("peer", peer(asked)), ("rtt", rtt), ("named", named)])
        }
        Event::Failed { operation: id, peer: asked, reason: why } => {
            tagged(tag, [operation(id), ("peer", peer(asked)), ("reason", reason(*why))])
        }
        Event::Provider { operation: id, address: at, transports, holder } => {
            let transports = ("transports", transports.0.into());
            let holder = ("holder", id_to(*holder));
            tagged(tag, [operation(id), ("address", address(*at)), transports, holder])
        }
        Event::Value { operation: id, item: value, holder } => {
            tagged(tag, [operation(id), ("item", item(value)), ("holder", id_to(*holder))])
        }
        Event::Hit { operation: id, entry, holder } => {
            let entry = search_entry(entry);
            tagged(tag, [operation(id), ("entry", entry), ("holder", id_to(*holder))])
        }
        #[cfg(feature = "mainline")]
        Event::Swarm { operation: id, seeds, peers } => {
            tagged(tag, [operation(id), ("seeds", (*seeds).into()), ("peers", (*peers).into())])
        }
        #[cfg(feature = "mainline")]
        Event::Sample { operation: id, peer: asked, keys, total, interval } => {
            let keys = ("keys", list(keys.iter().copied(), id_to).into());
            let (total, interval) = ((*total).into(), elapsed(*interval).into());
            let peer = ("peer", peer(asked));
            tagged(tag, [operation(id), peer, keys, ("total", total), ("interval", interval)])
        }
        Event::Stored { operation: id, peer: asked, key } => {
            tagged(tag, [operation(id), ("peer", peer(asked)), ("key", id_to(*key))])
        }
        Event::Done { operation: id, outcome: how, closest, totals: cost } => {
            let closest = ("closest", list(closest, contact).into());
            let outcome = ("outcome", outcome(*how));
            tagged(tag, [operation(id), outcome, closest, ("totals", totals(cost))])
        }
        Event::Renewed { operation: id, outcome: how, stored } => {
            let outcome = ("outcome", outcome(*how));
            tagged(tag, [operation(id), outcome, ("stored", (*stored).into())])
        }
        Event::Signal { from, payload } => {
            tagged(tag, [("from", contact(from)), ("payload", bytes_to(payload))])
        }
        Event::AddressSeen { address: at } => tagged(tag, [("address", address(*at))]),
        Event::Reachable { address: at, reachable } => {
            tagged(tag, [("address", address(*at)), ("reachable", (*reachable).into())])
        }
        Event::Offline { offline } => tagged(tag, [("offline", (*offline).into())]),
        // An event of a later core: its tag says at least what it is.
        _ => tagged(tag, []),
    }
}

pub(crate) fn change(change: &Change) -> JsValue {
    match change {
        Change::Record(StoreChange::Stored { name, record }) => {
            let name = bytes_to(name.as_bytes());
            tagged("record_stored", [("name", name), ("record", bytes_to(record))])
        }
        Change::Record(StoreChange::Removed { name }) => {
            tagged("record_removed", [("name", bytes_to(name.as_bytes()))])
        }
        Change::Record(_) => tagged("records_lost", []),
        _ => tagged("contacts", []),
    }
}

// ---- settings and reads -----------------------------------------------------------------------

pub(crate) fn progress(progress: &OperationProgress) -> JsValue {
    object([
        ("totals", totals(&progress.totals)),
        ("inFlight", progress.in_flight.into()),
        ("remaining", elapsed(progress.remaining).into()),
    ])
}

pub(crate) fn health(health: &Health) -> JsValue {
    let contacts = health.contacts.map(|(family, n)| (family.name(), (n as f64).into()));
    object([
        ("contacts", object(contacts)),
        ("offline", health.offline.into()),
        ("server", health.server.into()),
        ("reachable", health.reachable.into()),
        ("networkSize", health.network_size.map(|n| n as f64).into()),
        ("records", health.records.into()),
        ("publications", (health.publications as f64).into()),
        ("operations", (health.operations as f64).into()),
    ])
}

pub(crate) fn stats(stats: &Stats) -> JsValue {
    let count = |n: u64| JsValue::from(n as f64);
    let rejected = object([]);
    for (why, n) in &stats.rejected {
        let _ = Reflect::set(&rejected, &why.name().into(), &count(*n));
    }
    object([
        ("datagramsIn", count(stats.datagrams_in)),
        ("bytesIn", count(stats.bytes_in)),
        ("datagramsOut", count(stats.datagrams_out)),
        ("bytesOut", count(stats.bytes_out)),
        ("queriesAnswered", count(stats.queries_answered)),
        ("answers", count(stats.answers)),
        ("timeouts", count(stats.timeouts)),
        ("rejected", rejected),
        ("shortened", count(stats.shortened)),
        ("transmitsLost", count(stats.transmits_lost)),
        ("eventsLost", count(stats.events_lost)),
        ("operations", count(stats.operations)),
    ])
}

pub(crate) fn dropped(it: Dropped) -> JsValue {
    object([
        ("queries", (it.queries as f64).into()),
        ("stored", (it.stored as f64).into()),
        ("signatures", (it.signatures as f64).into()),
        ("candidates", (it.candidates as f64).into()),
        ("questions", (it.questions as f64).into()),
    ])
}

pub(crate) fn store_stats(it: &StoreStats) -> JsValue {
    let count = |n: u64| JsValue::from(n as f64);
    object([
        ("values", it.values.into()),
        ("copies", it.copies.into()),
        ("signed", it.signed.into()),
        ("providers", it.providers.into()),
        ("entries", it.entries.into()),
        ("bytes", count(it.bytes)),
        ("sources", it.sources.into()),
        ("evicted", count(it.evicted)),
        ("expired", count(it.expired)),
        ("refusedExpired", count(it.refused_expired)),
        ("refusedForeign", count(it.refused_foreign)),
        ("refusedStale", count(it.refused_stale)),
        ("refusedCas", count(it.refused_cas)),
        ("refusedQuota", count(it.refused_quota)),
        ("refusedFull", count(it.refused_full)),
    ])
}
