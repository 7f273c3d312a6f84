//! One conversion for each type that crosses, in each direction it crosses in.
//!
//! Values for Python are made by calling the dataclasses of `kadlet._types` with their fields in
//! order; values from Python are read by attribute, so that anything of the right shape will do.

use core::net::{IpAddr, Ipv6Addr, SocketAddr, SocketAddrV6};
use core::time::Duration;

use kadlet_core::content::ContentId;
use kadlet_core::record::{Form, Item, SearchEntry, SignedValue, Value};
use kadlet_core::wire::ErrorCode;
use kadlet_core::{
    Asked, BucketView, Capabilities, Change, Contact, Dropped, Entry, Event, Families, Family,
    Health, Id, Instant, LinkId, OperationProgress, Outcome, Path, PeerFailure, Stats, StoreChange,
    StoreStats, Totals, Transmit,
};
use pyo3::call::PyCallArgs;
use pyo3::exceptions::{PyNotImplementedError, PyTypeError};
use pyo3::prelude::*;
use pyo3::sync::PyOnceLock;
use pyo3::types::{PyBytes, PyDict, PyString, PyTuple};

use crate::settings::{kind_of, number};
use crate::{Any, invalid};

/// A dataclass of `kadlet._types` with these fields.
pub(crate) fn make<'py>(
    py: Python<'py>,
    class: &str,
    fields: impl PyCallArgs<'py>,
) -> PyResult<Any<'py>> {
    self::class(py, class)?.call1(fields)
}

/// One of the classes of `kadlet._types`.
pub(crate) fn class<'py>(py: Python<'py>, name: &str) -> PyResult<Any<'py>> {
    static TYPES: PyOnceLock<Py<PyModule>> = PyOnceLock::new();
    let types = TYPES.get_or_try_init(py, || py.import("kadlet._types").map(Bound::unbind))?;
    types.bind(py).getattr(name)
}

/// What an argument should have been.
pub(crate) fn expected(what: &str, value: &Any<'_>) -> PyErr {
    PyTypeError::new_err(format!("{what} is expected, this is {}", kind_of(value)))
}

/// The attribute of a value of this kind.
pub(crate) fn part<'py>(value: &Any<'py>, what: &str, name: &str) -> PyResult<Any<'py>> {
    value.getattr(name).map_err(|_| expected(what, value))
}

pub(crate) fn tuple<'py, T>(
    py: Python<'py>,
    all: &[T],
    convert: impl Fn(Python<'py>, &T) -> PyResult<Any<'py>>,
) -> PyResult<Bound<'py, PyTuple>> {
    let all: Vec<_> = all.iter().map(|one| convert(py, one)).collect::<PyResult<_>>()?;
    PyTuple::new(py, all)
}

// ---- time -------------------------------------------------------------------------------------

/// The nearest microsecond; what lies beyond the last one saturates.
fn micros(seconds: f64) -> PyResult<u64> {
    if seconds >= 0.0 {
        return Ok((seconds * 1e6).round_ties_even() as u64);
    }
    Err(invalid(format_args!("a time is a number of seconds from 0 on, this is {seconds}")))
}

pub(crate) fn instant(seconds: f64) -> PyResult<Instant> {
    micros(seconds).map(Instant::from_micros)
}

pub(crate) fn duration(seconds: f64) -> PyResult<Duration> {
    micros(seconds).map(Duration::from_micros)
}

pub(crate) const fn seconds(instant: Instant) -> f64 {
    instant.as_micros() as f64 / 1e6
}

pub(crate) const fn elapsed(duration: Duration) -> f64 {
    duration.as_micros() as f64 / 1e6
}

// ---- ids, addresses, contacts -----------------------------------------------------------------

pub(crate) fn array<const N: usize>(what: &str, bytes: &[u8]) -> PyResult<[u8; N]> {
    let wrong = |_| invalid(format_args!("{what} has {N} bytes, this has {}", bytes.len()));
    bytes.try_into().map_err(wrong)
}

/// Of the values of Mainline, or of Kadlet's own networks.
pub(crate) const fn form(mainline: bool) -> Form {
    if mainline { Form::Bencode } else { Form::Native }
}

pub(crate) fn id(bytes: &[u8]) -> PyResult<Id> {
    array("an id", bytes).map(Id::new)
}

pub(crate) fn id_of_content(bytes: &[u8]) -> PyResult<ContentId> {
    array("a content", bytes).map(ContentId::new)
}

fn id_to<'py>(py: Python<'py>, id: &Id) -> Bound<'py, PyBytes> {
    PyBytes::new(py, id.as_bytes())
}

pub(crate) fn family(name: &str) -> PyResult<Family> {
    let known = Family::ALL.into_iter().find(|family| family.name() == name);
    known.ok_or_else(|| invalid(format_args!("a family is ipv4 or ipv6, this is {name}")))
}

pub(crate) fn families(names: &Any<'_>) -> PyResult<Families> {
    let names: Vec<String> = names.extract().map_err(|_| expected("a list of families", names))?;
    names.iter().try_fold(Families::NONE, |all, name| Ok(all.union(Families::only(family(name)?))))
}

/// An address as the `socket` module has it; a scope in the host's text gives way to its number.
pub(crate) fn address_from(value: &Any<'_>) -> PyResult<SocketAddr> {
    let host = value.get_item(0).and_then(|host| host.extract::<String>());
    let host = host.map_err(|_| expected("an address (host, port)", value))?;
    let port = number(&value.get_item(1)?, u16::MAX)?;
    let bare = host.split('%').next().unwrap_or_default();
    let not_ip = |why| invalid(format_args!("{host} is no IP address: {why}"));
    let ip: IpAddr = bare.parse().map_err(not_ip)?;
    Ok(match ip {
        IpAddr::V6(ip) if value.len()? == 4 => {
            let (flow, scope) = (value.get_item(2)?.extract()?, value.get_item(3)?.extract()?);
            SocketAddrV6::new(ip, port, flow, scope).into()
        }
        ip => SocketAddr::new(ip, port),
    })
}

pub(crate) fn address<'py>(py: Python<'py>, address: &SocketAddr) -> PyResult<Any<'py>> {
    let tuple = match address {
        SocketAddr::V4(v4) => (v4.ip().to_string(), v4.port()).into_pyobject(py)?,
        SocketAddr::V6(v6) => {
            let ip: &Ipv6Addr = v6.ip();
            (ip.to_string(), v6.port(), v6.flowinfo(), v6.scope_id()).into_pyobject(py)?
        }
    };
    Ok(tuple.into_any())
}

pub(crate) fn path_from(value: &Any<'_>) -> PyResult<Path> {
    let of = |name| part(value, "a Path", name);
    let remote = address_from(&of("remote")?)?;
    Ok(Path { link: LinkId(number(&of("link")?, u16::MAX)?), remote })
}

fn path<'py>(py: Python<'py>, path: &Path) -> PyResult<Any<'py>> {
    make(py, "Path", (address(py, &path.remote)?, path.link.0))
}

pub(crate) fn contact<'py>(py: Python<'py>, contact: &Contact) -> PyResult<Any<'py>> {
    let capabilities = contact.capabilities.0;
    make(py, "Contact", (id_to(py, &contact.id), path(py, &contact.path)?, capabilities))
}

pub(crate) fn contact_from(value: &Any<'_>) -> PyResult<Contact> {
    let of = |name| part(value, "a Contact", name);
    let (bytes, path): (Vec<u8>, _) = (of("id")?.extract()?, path_from(&of("path")?)?);
    let mut contact = Contact::new(id(&bytes)?, path.remote);
    contact.path = path;
    contact.capabilities = Capabilities(number(&of("capabilities")?, u32::MAX)?);
    Ok(contact)
}

fn peer<'py>(py: Python<'py>, peer: &Asked) -> PyResult<Any<'py>> {
    make(py, "Peer", (peer.id.map(|id| id_to(py, &id)), path(py, &peer.path)?))
}

pub(crate) fn entry<'py>(py: Python<'py>, entry: &Entry) -> PyResult<Any<'py>> {
    let (contact, rtt) = (contact(py, &entry.contact)?, entry.rtt.map(elapsed));
    make(py, "Entry", (contact, seconds(entry.seen), rtt, entry.failures, entry.live))
}

/// A bucket, copied out of its table so that nothing is held while Python is called.
pub(crate) mod bucket {
    use super::*;

    pub(crate) struct Copied(u32, Id, Instant, Vec<Entry>, Vec<Entry>);

    pub(crate) fn read(view: BucketView<'_>) -> Copied {
        let (contacts, replacements) = (view.contacts().collect(), view.replacements().collect());
        Copied(view.depth(), view.first(), view.refreshed(), contacts, replacements)
    }

    pub(crate) fn write<'py>(py: Python<'py>, bucket: &Copied) -> PyResult<Any<'py>> {
        let Copied(depth, first, refreshed, contacts, replacements) = bucket;
        let contacts = tuple(py, contacts, entry)?;
        let replacements = tuple(py, replacements, entry)?;
        make(py, "Bucket", (*depth, id_to(py, first), seconds(*refreshed), contacts, replacements))
    }
}

// ---- records ----------------------------------------------------------------------------------

pub(crate) fn item_from(value: &Any<'_>, form: Form) -> PyResult<Item> {
    if let Ok(bytes) = value.extract::<&[u8]>() {
        return Value::of(form, bytes).map(Item::Immutable).map_err(invalid);
    }
    let of = |name| part(value, "bytes or a SignedValue", name);
    let bytes = |name| of(name)?.extract::<Vec<u8>>();
    let signed = SignedValue::of(
        form,
        array("a public key", &bytes("public_key")?)?,
        bytes("salt")?,
        number(&of("seq")?, u64::MAX)?,
        bytes("value")?,
        array("a signature", &bytes("signature")?)?,
        bytes("extra")?,
    );
    signed.map(Item::Signed).map_err(invalid)
}

fn item<'py>(py: Python<'py>, item: &Item) -> PyResult<Any<'py>> {
    match item {
        Item::Immutable(value) => Ok(PyBytes::new(py, value.as_bytes()).into_any()),
        Item::Signed(signed) => signed_value(py, signed),
    }
}

pub(crate) fn signed_value<'py>(py: Python<'py>, signed: &SignedValue) -> PyResult<Any<'py>> {
    let bytes = |bytes: &[u8]| PyBytes::new(py, bytes);
    let fields = (
        bytes(signed.public_key()),
        bytes(signed.salt()),
        signed.seq(),
        bytes(signed.value()),
        bytes(signed.signature()),
        bytes(signed.extra()),
    );
    make(py, "SignedValue", fields)
}

pub(crate) fn search_entry_from(value: &Any<'_>) -> PyResult<SearchEntry> {
    let of = |name| part(value, "a SearchEntry", name);
    let name: String = of("name")?.extract()?;
    let content: Vec<u8> = of("content")?.extract()?;
    let extra: Vec<u8> = of("extra")?.extract()?;
    let size = number(&of("size")?, u64::MAX)?;
    SearchEntry::with_extra(name, size, array("a content", &content)?, extra).map_err(invalid)
}

fn search_entry<'py>(py: Python<'py>, entry: &SearchEntry) -> PyResult<Any<'py>> {
    let (content, extra) = (PyBytes::new(py, entry.content()), PyBytes::new(py, entry.extra()));
    make(py, "SearchEntry", (entry.name(), entry.size(), content, extra))
}

// ---- events and changes -----------------------------------------------------------------------

pub(crate) fn transmit<'py>(py: Python<'py>, transmit: &Transmit) -> PyResult<Any<'py>> {
    make(py, "Transmit", (path(py, &transmit.path)?, PyBytes::new(py, &transmit.payload)))
}

fn refused<'py>(py: Python<'py>, code: ErrorCode, seq: Option<u64>) -> PyResult<Any<'py>> {
    make(py, "Refused", (code.name(), code.number(), seq))
}

fn reason<'py>(py: Python<'py>, reason: &PeerFailure) -> PyResult<Any<'py>> {
    match *reason {
        PeerFailure::Refused { code, seq } => refused(py, code, seq),
        other => Ok(PyString::new(py, other.name()).into_any()),
    }
}

fn outcome<'py>(py: Python<'py>, outcome: &Outcome) -> PyResult<Any<'py>> {
    match *outcome {
        Outcome::Refused { code, seq } => refused(py, code, seq),
        other => Ok(PyString::new(py, other.name()).into_any()),
    }
}

fn totals<'py>(py: Python<'py>, totals: &Totals) -> PyResult<Any<'py>> {
    let fields = (
        totals.asked,
        totals.answered,
        totals.failed,
        totals.found,
        totals.stored,
        totals.store_attempts,
        totals.hops,
        totals.datagrams,
        totals.bytes_sent,
        totals.bytes_received,
        elapsed(totals.elapsed),
    );
    make(py, "Totals", fields)
}

pub(crate) fn event<'py>(py: Python<'py>, event: &Event) -> PyResult<Any<'py>> {
    match event {
        Event::Started { operation } => make(py, "Started", (operation.0,)),
        Event::Asked { operation, peer: asked } => {
            make(py, "Asked", (operation.0, peer(py, asked)?))
        }
        Event::Answered { operation, peer: asked, rtt, named } => {
            let named = tuple(py, named, contact)?;
            make(py, "Answered", (operation.0, peer(py, asked)?, elapsed(*rtt), named))
        }
        Event::Failed { operation, peer: asked, reason: why } => {
            make(py, "Failed", (operation.0, peer(py, asked)?, reason(py, why)?))
        }
        Event::Provider { operation, address: at, transports, holder } => {
            let fields = (operation.0, address(py, at)?, transports.0, id_to(py, holder));
            make(py, "Provider", fields)
        }
        Event::Value { operation, item: value, holder } => {
            make(py, "Value", (operation.0, item(py, value)?, id_to(py, holder)))
        }
        Event::Hit { operation, entry, holder } => {
            make(py, "Hit", (operation.0, search_entry(py, entry)?, id_to(py, holder)))
        }
        Event::Swarm { operation, seeds, peers } => {
            make(py, "Swarm", (operation.0, *seeds, *peers))
        }
        Event::Sample { operation, peer: asked, keys, total, interval } => {
            let keys = tuple(py, keys, |py, key| Ok(id_to(py, key).into_any()))?;
            make(py, "Sample", (operation.0, peer(py, asked)?, keys, *total, elapsed(*interval)))
        }
        Event::Stored { operation, peer: asked, key } => {
            make(py, "Stored", (operation.0, peer(py, asked)?, id_to(py, key)))
        }
        Event::Done { operation, outcome: how, closest, totals: cost } => {
            let closest = tuple(py, closest, contact)?;
            make(py, "Done", (operation.0, outcome(py, how)?, closest, totals(py, cost)?))
        }
        Event::Renewed { operation, outcome: how, stored } => {
            make(py, "Renewed", (operation.0, outcome(py, how)?, *stored))
        }
        Event::Signal { from, payload } => {
            make(py, "Signal", (contact(py, from)?, PyBytes::new(py, payload)))
        }
        Event::AddressSeen { address: at } => make(py, "AddressSeen", (address(py, at)?,)),
        Event::Reachable { address: at, reachable } => {
            make(py, "Reachable", (address(py, at)?, *reachable))
        }
        Event::Offline { offline } => make(py, "Offline", (*offline,)),
        other => Err(PyNotImplementedError::new_err(format!("the event {}", other.name()))),
    }
}

pub(crate) fn change<'py>(py: Python<'py>, change: &Change) -> PyResult<Any<'py>> {
    match change {
        Change::Contacts => make(py, "Contacts", ()),
        Change::Record(StoreChange::Stored { name, record }) => {
            let (name, record) = (PyBytes::new(py, name.as_bytes()), PyBytes::new(py, record));
            make(py, "RecordStored", (name, record))
        }
        Change::Record(StoreChange::Removed { name }) => {
            make(py, "RecordRemoved", (PyBytes::new(py, name.as_bytes()),))
        }
        Change::Record(StoreChange::Lost) => make(py, "RecordsLost", ()),
        other => Err(PyNotImplementedError::new_err(format!("the change {other:?}"))),
    }
}

// ---- reads ------------------------------------------------------------------------------------

pub(crate) fn progress<'py>(py: Python<'py>, progress: &OperationProgress) -> PyResult<Any<'py>> {
    let remaining = elapsed(progress.remaining);
    make(py, "OperationProgress", (totals(py, &progress.totals)?, progress.in_flight, remaining))
}

pub(crate) fn health<'py>(py: Python<'py>, health: &Health) -> PyResult<Any<'py>> {
    let contacts = PyDict::new(py);
    for (family, n) in health.contacts {
        contacts.set_item(family.name(), n)?;
    }
    let fields = (
        contacts,
        health.offline,
        health.server,
        health.reachable,
        health.network_size,
        health.records,
        health.publications,
        health.operations,
    );
    make(py, "Health", fields)
}

pub(crate) fn stats<'py>(py: Python<'py>, stats: &Stats) -> PyResult<Any<'py>> {
    let rejected = PyDict::new(py);
    for (why, n) in &stats.rejected {
        rejected.set_item(why.name(), n)?;
    }
    let fields = (
        stats.datagrams_in,
        stats.bytes_in,
        stats.datagrams_out,
        stats.bytes_out,
        stats.queries_answered,
        stats.answers,
        stats.timeouts,
        stats.shortened,
        stats.transmits_lost,
        stats.events_lost,
        stats.operations,
        rejected,
    );
    make(py, "Stats", fields)
}

pub(crate) fn dropped(py: Python<'_>, it: Dropped) -> PyResult<Any<'_>> {
    make(py, "Dropped", (it.queries, it.stored, it.signatures, it.candidates, it.questions))
}

pub(crate) fn store_stats<'py>(py: Python<'py>, it: &StoreStats) -> PyResult<Any<'py>> {
    let fields = [
        it.values.into(),
        it.copies.into(),
        it.signed.into(),
        it.providers.into(),
        it.entries.into(),
        it.bytes,
        it.sources.into(),
        it.evicted,
        it.expired,
        it.refused_expired,
        it.refused_foreign,
        it.refused_stale,
        it.refused_cas,
        it.refused_quota,
        it.refused_full,
    ];
    make(py, "StoreStats", PyTuple::new::<u64, _>(py, fields)?)
}
