//! Kadlet's core for Python: the verbs of [`kadlet_core::Node`], and a conversion for every type.
//!
//! No policy, no clock, no callbacks. The values that cross are the dataclasses of
//! `kadlet/_types.py`. Times are seconds: `now` and durations are rounded to the nearest
//! microsecond (ties to even), and a moment given out comes back as the same microsecond for
//! seventy years from its epoch.
//!
//! The node stands behind a mutex, which is never held while Python is called: whoever waited for
//! the one with the other in hand would wait for ever.

mod content;
mod convert;
mod parts;
mod settings;
mod sim;
mod wire;

use std::sync::{Mutex, MutexGuard};

use kadlet_core::record::{SearchQuery, SignedValue};
use kadlet_core::wire::{bencode, mainline};
use kadlet_core::{Announcement, Config, GetQuery, LinkId, Network, OperationId, PutOptions};
use pyo3::exceptions::{PyRuntimeError, PyValueError};
use pyo3::prelude::*;
use pyo3::types::{PyBytes, PyTuple};

use convert::{array, bucket, duration, id, instant, seconds};
use settings::{Number, Setting};

/// The caller's fault, in the core's words.
fn invalid(why: impl core::fmt::Display) -> PyErr {
    PyValueError::new_err(why.to_string())
}

/// What an earlier call left in the middle is not used again.
fn lock<T>(mutex: &Mutex<T>) -> PyResult<MutexGuard<'_, T>> {
    mutex.lock().map_err(|_| PyRuntimeError::new_err("it failed in an earlier call"))
}

type Any<'py> = Bound<'py, PyAny>;

/// A Kademlia node without sockets, clock, threads or entropy.
///
/// Calls that are given `now` change it; poll until the polls give None after each of them, and
/// read `poll_timeout` again. `seed` is 32 bytes of entropy that no node ever had before.
#[pyclass(frozen, module = "kadlet")]
struct Node(Mutex<kadlet_core::Node>);

impl Node {
    fn lock(&self) -> PyResult<MutexGuard<'_, kadlet_core::Node>> {
        lock(&self.0)
    }
}

#[pymethods]
impl Node {
    #[new]
    fn new(config: &Any<'_>, id: &[u8], seed: &[u8], now: f64) -> PyResult<Self> {
        let (config, id) = (Config::read(config)?, convert::id(id)?);
        let node = kadlet_core::Node::new(config, id, array("a seed", seed)?, instant(now)?);
        Ok(Self(Mutex::new(node)))
    }

    /// The node that `export_state` wrote down, `elapsed` seconds after it was written.
    #[staticmethod]
    fn restore(
        config: &Any<'_>,
        state: &[u8],
        seed: &[u8],
        now: f64,
        elapsed: f64,
    ) -> PyResult<Self> {
        let (config, seed) = (Config::read(config)?, array("a seed", seed)?);
        let (now, elapsed) = (instant(now)?, duration(elapsed)?);
        let node = kadlet_core::Node::restore(config, state, seed, now, elapsed);
        Ok(Self(Mutex::new(node.map_err(invalid)?)))
    }

    /// A datagram came. Gives the reason if it was dropped: the sender's fault, never an exception.
    fn handle_datagram(
        &self,
        now: f64,
        path: &Any<'_>,
        datagram: &[u8],
    ) -> PyResult<Option<&'static str>> {
        let (now, path) = (instant(now)?, convert::path_from(path)?);
        let result = self.lock()?.handle_datagram(now, path, datagram);
        Ok(result.err().map(|rejected| rejected.name()))
    }

    /// Nothing can be sent by this path.
    fn handle_path_failed(&self, now: f64, path: &Any<'_>) -> PyResult<()> {
        let (now, path) = (instant(now)?, convert::path_from(path)?);
        self.lock()?.handle_path_failed(now, path);
        Ok(())
    }

    /// The deadline of `poll_timeout` has come. Early or twice does nothing.
    fn handle_timeout(&self, now: f64) -> PyResult<()> {
        self.lock()?.handle_timeout(instant(now)?);
        Ok(())
    }

    /// A socket is open: the families it reaches, and the longest datagram it carries.
    fn link_up(
        &self,
        now: f64,
        link: Number<u16>,
        local: &Any<'_>,
        families: &Any<'_>,
        mtu: Number<u16>,
    ) -> PyResult<()> {
        let (now, local) = (instant(now)?, convert::address_from(local)?);
        let families = convert::families(families)?;
        self.lock()?.link_up(now, LinkId(link.0), local, families, mtu.0);
        Ok(())
    }

    /// A socket is closed.
    fn link_down(&self, now: f64, link: Number<u16>) -> PyResult<()> {
        self.lock()?.link_down(instant(now)?, LinkId(link.0));
        Ok(())
    }

    /// Joins a network by these addresses.
    fn bootstrap(&self, now: f64, addresses: Vec<Any<'_>>) -> PyResult<u64> {
        let paths = addresses.iter().map(convert::path_from).collect::<PyResult<Vec<_>>>()?;
        Ok(self.lock()?.bootstrap(instant(now)?, &paths).0)
    }

    /// Looks up the contacts closest to `target`.
    fn find_node(&self, now: f64, target: &[u8]) -> PyResult<u64> {
        Ok(self.lock()?.find_node(instant(now)?, id(target)?).0)
    }

    /// Who has the content with this key?
    fn providers(&self, now: f64, key: &[u8]) -> PyResult<u64> {
        Ok(self.lock()?.providers(instant(now)?, id(key)?).0)
    }

    /// How many have the content with this key (Mainline, BEP 33)?
    fn scrape(&self, now: f64, key: &[u8]) -> PyResult<u64> {
        Ok(self.lock()?.scrape(instant(now)?, id(key)?).0)
    }

    /// Which keys do the nodes around `target` hold providers of (Mainline, BEP 51)?
    fn sample(&self, now: f64, target: &[u8]) -> PyResult<u64> {
        Ok(self.lock()?.sample(instant(now)?, id(target)?).0)
    }

    /// Tells the nodes closest to `key` that the content is to be had from us.
    #[pyo3(
        signature = (now, key, port=None, transports=Number(0), renew=false),
        text_signature = "($self, now, key, port=None, transports=0, renew=False)"
    )]
    fn announce(
        &self,
        now: f64,
        key: &[u8],
        port: Option<Number<u16>>,
        transports: Number<u8>,
        renew: bool,
    ) -> PyResult<u64> {
        let mut announcement = Announcement::http(0);
        announcement.port = port.map(|Number(port)| port);
        announcement.transports = kadlet_core::record::Transports(transports.0);
        announcement.renew = renew;
        Ok(self.lock()?.announce(instant(now)?, id(key)?, announcement).0)
    }

    /// Reads the value under a key.
    #[pyo3(
        signature = (now, key, salt=vec![], newer_than=None),
        text_signature = "($self, now, key, salt=b'', newer_than=None)"
    )]
    fn get(
        &self,
        now: f64,
        key: &[u8],
        salt: Vec<u8>,
        newer_than: Option<Number<u64>>,
    ) -> PyResult<u64> {
        let mut query = GetQuery::new(id(key)?);
        (query.salt, query.newer_than) = (salt, newer_than.map(|Number(seq)| seq));
        Ok(self.lock()?.get(instant(now)?, query).0)
    }

    /// Stores a value: bytes, or a signed one; `cas` only over the one with this sequence number.
    #[pyo3(signature = (now, item, cas=None, renew=false))]
    fn put(
        &self,
        now: f64,
        item: &Any<'_>,
        cas: Option<Number<u64>>,
        renew: bool,
    ) -> PyResult<u64> {
        let mainline = matches!(self.lock()?.config().network, Network::Mainline);
        let (now, item) = (instant(now)?, convert::item_from(item, convert::form(mainline))?);
        let mut options = PutOptions::default();
        (options.cas, options.renew) = (cas.map(|Number(seq)| seq), renew);
        let operation = self.lock()?.put(now, item, options);
        Ok(operation.map_err(invalid)?.0)
    }

    /// Searches for files whose names carry every word of the query.
    fn search(&self, now: f64, query: &str) -> PyResult<u64> {
        let query = SearchQuery::parse(query).map_err(invalid)?;
        Ok(self.lock()?.search(instant(now)?, query).0)
    }

    /// Lets a file be found by every word of its name.
    #[pyo3(signature = (now, entry, renew=false))]
    fn publish(&self, now: f64, entry: &Any<'_>, renew: bool) -> PyResult<u64> {
        let (now, entry) = (instant(now)?, convert::search_entry_from(entry)?);
        let operation = self.lock()?.publish(now, entry, renew);
        Ok(operation.map_err(invalid)?.0)
    }

    /// Sends a few hundred bytes to the node with the id `target`.
    fn signal(&self, now: f64, target: &[u8], payload: &[u8]) -> PyResult<u64> {
        let operation = self.lock()?.signal(instant(now)?, id(target)?, payload);
        Ok(operation.map_err(invalid)?.0)
    }

    /// The same if it answers at this path, and to nobody else.
    fn signal_at(&self, now: f64, target: &[u8], path: &Any<'_>, payload: &[u8]) -> PyResult<u64> {
        let path = convert::path_from(path)?;
        let operation = self.lock()?.signal_at(instant(now)?, id(target)?, path, payload);
        Ok(operation.map_err(invalid)?.0)
    }

    /// Ends an operation and the renewal of what it published. False if there was neither.
    fn cancel(&self, now: f64, operation: Number<u64>) -> PyResult<bool> {
        Ok(self.lock()?.cancel(instant(now)?, OperationId(operation.0)))
    }

    /// Gives an operation so many seconds from now on. False if it is not running.
    fn set_deadline(&self, now: f64, operation: Number<u64>, after: f64) -> PyResult<bool> {
        let (now, after) = (instant(now)?, duration(after)?);
        Ok(self.lock()?.set_deadline(now, OperationId(operation.0), after))
    }

    /// Takes another id.
    fn set_id(&self, now: f64, id: &[u8]) -> PyResult<()> {
        self.lock()?.set_id(instant(now)?, convert::id(id)?);
        Ok(())
    }

    /// Ends everything: operations are cancelled, nothing is answered any more.
    fn shutdown(&self, now: f64) -> PyResult<()> {
        self.lock()?.shutdown(instant(now)?);
        Ok(())
    }

    /// The next datagram to send.
    fn poll_transmit<'py>(&self, py: Python<'py>) -> PyResult<Option<Any<'py>>> {
        let transmit = self.lock()?.poll_transmit();
        transmit.map(|transmit| convert::transmit(py, &transmit)).transpose()
    }

    /// The next event. Those whose names are in `skip` are passed over and not made: what an answer
    /// named costs more than the rest of it.
    #[pyo3(signature = (skip=None), text_signature = "($self, skip=None)")]
    fn poll_event<'py>(
        &self,
        py: Python<'py>,
        skip: Option<&Bound<'py, PyTuple>>,
    ) -> PyResult<Option<Any<'py>>> {
        loop {
            let Some(event) = self.lock()?.poll_event() else { return Ok(None) };
            let skipped = skip.map(|names| names.contains(event.name())).transpose()?;
            if !skipped.unwrap_or_default() {
                return convert::event(py, &event).map(Some);
            }
        }
    }

    /// The next change worth keeping.
    fn poll_change<'py>(&self, py: Python<'py>) -> PyResult<Option<Any<'py>>> {
        let change = self.lock()?.poll_change();
        change.map(|change| convert::change(py, &change)).transpose()
    }

    /// When `handle_timeout` is to be called next; None: never.
    fn poll_timeout(&self) -> PyResult<Option<f64>> {
        Ok(self.lock()?.poll_timeout().map(seconds))
    }

    /// Everything worth keeping over a restart.
    fn export_state<'py>(&self, py: Python<'py>, now: f64) -> PyResult<Bound<'py, PyBytes>> {
        let state = self.lock()?.export_state(instant(now)?);
        Ok(PyBytes::new(py, &state))
    }

    /// Gives back one record of `RecordStored`, `elapsed` seconds after it was written down.
    fn restore_record(&self, now: f64, record: &[u8], elapsed: f64) -> PyResult<()> {
        let (now, elapsed) = (instant(now)?, duration(elapsed)?);
        let restored = self.lock()?.restore_record(now, record, elapsed);
        restored.map_err(invalid)
    }

    /// Our id.
    fn id<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyBytes>> {
        let id = self.lock()?.id();
        Ok(PyBytes::new(py, id.as_bytes()))
    }

    /// The settings the node was made with.
    fn config<'py>(&self, py: Python<'py>) -> PyResult<Any<'py>> {
        let config = self.lock()?.config().clone();
        config.write(py)
    }

    /// The buckets of a family's routing table, nearest first.
    fn table<'py>(&self, py: Python<'py>, family: &str) -> PyResult<Bound<'py, PyTuple>> {
        let family = convert::family(family)?;
        let buckets: Vec<_> = self.lock()?.table(family).buckets().map(bucket::read).collect();
        convert::tuple(py, &buckets, bucket::write)
    }

    /// The k contacts of our table that are closest to `target`, nearest first.
    fn closest<'py>(
        &self,
        py: Python<'py>,
        target: &[u8],
        family: &str,
    ) -> PyResult<Bound<'py, PyTuple>> {
        let (target, family) = (id(target)?, convert::family(family)?);
        let closest = self.lock()?.closest(target, family);
        convert::tuple(py, &closest, convert::contact)
    }

    /// How far an operation is; None if it has ended.
    fn operation<'py>(
        &self,
        py: Python<'py>,
        operation: Number<u64>,
    ) -> PyResult<Option<Any<'py>>> {
        let progress = self.lock()?.operation(OperationId(operation.0));
        progress.map(|progress| convert::progress(py, &progress)).transpose()
    }

    /// What happened so far.
    fn stats<'py>(&self, py: Python<'py>) -> PyResult<Any<'py>> {
        let stats = self.lock()?.stats().clone();
        convert::stats(py, &stats)
    }

    /// What limits per source made us drop.
    fn dropped<'py>(&self, py: Python<'py>) -> PyResult<Any<'py>> {
        let dropped = self.lock()?.dropped();
        convert::dropped(py, dropped)
    }

    /// What is kept for others, and what became of what was to be kept.
    fn store_stats<'py>(&self, py: Python<'py>) -> PyResult<Any<'py>> {
        let stats = self.lock()?.store_stats();
        convert::store_stats(py, &stats)
    }

    /// How the node is.
    fn health<'py>(&self, py: Python<'py>) -> PyResult<Any<'py>> {
        let health = self.lock()?.health();
        convert::health(py, &health)
    }

    /// How many nodes the network is estimated to have.
    fn estimate(&self) -> PyResult<Option<u64>> {
        Ok(self.lock()?.estimate())
    }
}

/// Signs a value with the key pair that follows from `secret` (32 bytes); one of Mainline is bencode.
#[pyfunction]
#[pyo3(signature = (secret, salt, seq, value, mainline=false),
       text_signature = "(secret, salt, seq, value, mainline=False)")]
fn sign<'py>(
    py: Python<'py>,
    secret: &[u8],
    salt: &[u8],
    seq: Number<u64>,
    value: &[u8],
    mainline: bool,
) -> PyResult<Any<'py>> {
    let (secret, form) = (array("a secret", secret)?, convert::form(mainline));
    let signed = SignedValue::sign_for(form, &secret, salt, seq.0, value).map_err(invalid)?;
    convert::signed_value(py, &signed)
}

/// The key an item is stored under.
#[pyfunction]
#[pyo3(signature = (item, mainline=false), text_signature = "(item, mainline=False)")]
fn key_of<'py>(py: Python<'py>, item: &Any<'_>, mainline: bool) -> PyResult<Bound<'py, PyBytes>> {
    let key = convert::item_from(item, convert::form(mainline))?.key();
    Ok(PyBytes::new(py, key.as_bytes()))
}

/// The key under which `public_key` keeps a value with this salt.
#[pyfunction]
#[pyo3(signature = (public_key, salt, mainline=false),
       text_signature = "(public_key, salt, mainline=False)")]
fn signed_key_of<'py>(
    py: Python<'py>,
    public_key: &[u8],
    salt: &[u8],
    mainline: bool,
) -> PyResult<Bound<'py, PyBytes>> {
    let key = convert::form(mainline).signed_key(&array("a public key", public_key)?, salt);
    Ok(PyBytes::new(py, key.as_bytes()))
}

/// Bytes as a value of Mainline: a string in bencode.
#[pyfunction]
fn bencode_string<'py>(py: Python<'py>, value: &[u8]) -> Bound<'py, PyBytes> {
    PyBytes::new(py, &bencode::string(value))
}

/// What a value of Mainline says if it is a string.
#[pyfunction]
fn bencoded_string<'py>(py: Python<'py>, value: &[u8]) -> Option<Bound<'py, PyBytes>> {
    bencode::as_string(value).map(|value| PyBytes::new(py, value))
}

/// Where Mainline's public network can be entered.
#[pyfunction]
const fn mainline_routers() -> [&'static str; 4] {
    mainline::ROUTERS
}

/// The settings of a node of Mainline.
#[pyfunction]
fn mainline_config(py: Python<'_>) -> PyResult<Any<'_>> {
    Config::mainline().write(py)
}

/// The settings as the core has them, where `Config()` says them in Python.
#[pyfunction]
fn default_config(py: Python<'_>) -> PyResult<Any<'_>> {
    Config::default().write(py)
}

#[pymodule(gil_used = false)]
mod _native {
    #[pymodule_export]
    use super::content::{
        Fetch, HashList, HashListBuilder, content_id_of, content_key_of, decode_resume,
        encode_resume, format_link, parse_link, safe_file_name,
    };
    #[pymodule_export]
    use super::parts::{Lookup, RoutingTable};
    #[pymodule_export]
    use super::sim::{sim_library, sim_run};
    #[pymodule_export]
    use super::wire::{decode, encode};
    #[pymodule_export]
    use super::{
        Node, bencode_string, bencoded_string, default_config, key_of, mainline_config,
        mainline_routers, sign, signed_key_of,
    };
}
