//! Parts of a node that are of use alone: the routing table and the lookup.

use std::sync::Mutex;

use kadlet_core::config::{LookupConfig, TableConfig};
use kadlet_core::{
    Admission, Capabilities, Failure, Filter, Heard, Id, Lookup as Machine, Refusal, Rng, Step,
};
use pyo3::prelude::*;
use pyo3::types::{PyBytes, PyString, PyTuple};

use crate::convert::{
    self, address_from, array, bucket, class, contact, contact_from, duration, entry, families,
    family, id, instant, make, path_from, seconds, tuple,
};
use crate::settings::{Number, Setting};
use crate::{Any, lock};

fn contacts(all: &Any<'_>) -> PyResult<Vec<kadlet_core::Contact>> {
    all.try_iter()?.map(|one| contact_from(&one?)).collect()
}

// ---- routing table ----------------------------------------------------------------------------

/// The table, and what its refreshes are drawn from.
struct Table {
    table: kadlet_core::RoutingTable,
    rng: Rng,
}

/// The routing table of one address family: who enters, who gives way, whom to ping.
#[pyclass(frozen, module = "kadlet")]
pub(crate) struct RoutingTable(Mutex<Table>);

#[pymethods]
impl RoutingTable {
    #[new]
    #[pyo3(signature = (own, seed, config=None))]
    fn new(own: &[u8], seed: &[u8], config: Option<&Any<'_>>) -> PyResult<Self> {
        let config = config.map_or_else(|| Ok(TableConfig::default()), TableConfig::read)?;
        let table = kadlet_core::RoutingTable::new(id(own)?, config);
        let rng = Rng::from_seed(array("a seed", seed)?);
        Ok(Self(Mutex::new(Table { table, rng })))
    }

    /// A contact answered a question of ours: the only way in.
    #[pyo3(signature = (now, contact, rtt=None))]
    fn verified(&self, now: f64, contact: &Any<'_>, rtt: Option<f64>) -> PyResult<&'static str> {
        let (now, contact) = (instant(now)?, contact_from(contact)?);
        let rtt = rtt.map(duration).transpose()?;
        Ok(match lock(&self.0)?.table.verified(now, contact, rtt) {
            Admission::Inserted => "inserted",
            Admission::Updated => "updated",
            Admission::Replacement => "replacement",
            Admission::Refused(Refusal::OwnId) => "own_id",
            Admission::Refused(Refusal::IdTaken) => "id_taken",
            Admission::Refused(Refusal::AddressTaken) => "address_taken",
            Admission::Refused(Refusal::PrefixInBucket) => "prefix_in_bucket",
            Admission::Refused(Refusal::PrefixInTable) => "prefix_in_table",
            _ => "full",
        })
    }

    /// A node spoke to us unasked.
    fn heard(&self, now: f64, id: &[u8], path: &Any<'_>) -> PyResult<&'static str> {
        let (now, id, path) = (instant(now)?, convert::id(id)?, path_from(path)?);
        Ok(match lock(&self.0)?.table.heard(now, id, path) {
            Heard::Touched => "touched",
            Heard::Candidate => "candidate",
            _ => "ignored",
        })
    }

    /// A contact did not answer in time: how often in a row, or what became of it.
    fn failed<'py>(
        &self,
        py: Python<'py>,
        now: f64,
        id: &[u8],
        addr: &Any<'_>,
    ) -> PyResult<Any<'py>> {
        let (now, id, addr) = (instant(now)?, convert::id(id)?, address_from(addr)?);
        let failure = lock(&self.0)?.table.failed(now, id, addr);
        let word = match failure {
            Failure::Counted(failures) => return Ok(failures.into_pyobject(py)?.into_any()),
            Failure::Replaced(by) => return contact(py, &by),
            Failure::Stale => "stale",
            Failure::Dropped => "dropped",
            _ => "ignored",
        };
        Ok(PyString::new(py, word).into_any())
    }

    /// At most `count` contacts closest to `target`, nearest first.
    #[pyo3(
        signature = (target, count, capabilities=Number(0), besides=None, doubtful=false),
        text_signature = "($self, target, count, capabilities=0, besides=None, doubtful=False)"
    )]
    fn closest<'py>(
        &self,
        py: Python<'py>,
        target: &[u8],
        count: Number<usize>,
        capabilities: Number<u32>,
        besides: Option<&[u8]>,
        doubtful: bool,
    ) -> PyResult<Bound<'py, PyTuple>> {
        let mut filter = Filter::default();
        filter.capabilities = Capabilities(capabilities.0);
        filter.except = besides.map(id).transpose()?;
        filter.doubtful = doubtful;
        let target = id(target)?;
        let closest: Vec<_> = lock(&self.0)?.table.closest(target, filter).take(count.0).collect();
        tuple(py, &closest, contact)
    }

    /// Whom to ping now; ask again until there is nobody.
    fn next_ping<'py>(&self, py: Python<'py>, now: f64) -> PyResult<Option<Any<'py>>> {
        let next = lock(&self.0)?.table.next_ping(instant(now)?);
        next.map(|next| contact(py, &next)).transpose()
    }

    /// An id to look up so that a bucket stays fresh; ask again until there is none.
    fn next_refresh<'py>(
        &self,
        py: Python<'py>,
        now: f64,
    ) -> PyResult<Option<Bound<'py, PyBytes>>> {
        let now = instant(now)?;
        let mut locked = lock(&self.0)?;
        let Table { table, rng } = &mut *locked;
        let next = table.next_refresh(now, rng);
        drop(locked);
        Ok(next.map(|id| PyBytes::new(py, id.as_bytes())))
    }

    /// The ids to look up after joining, one for every bucket farther away than `closest`.
    fn refresh_beyond<'py>(
        &self,
        py: Python<'py>,
        now: f64,
        closest: &[u8],
    ) -> PyResult<Bound<'py, PyTuple>> {
        let (now, closest) = (instant(now)?, id(closest)?);
        let mut locked = lock(&self.0)?;
        let Table { table, rng } = &mut *locked;
        let ids = table.refresh_beyond(now, closest, rng);
        drop(locked);
        tuple(py, &ids, |py, id| Ok(PyBytes::new(py, id.as_bytes()).into_any()))
    }

    /// A lookup for `target` goes on, which refreshes its bucket.
    fn touched(&self, now: f64, target: &[u8]) -> PyResult<()> {
        lock(&self.0)?.table.touched(instant(now)?, id(target)?);
        Ok(())
    }

    /// When `next_ping` or `next_refresh` may next have something; None: never.
    fn poll_timeout(&self) -> PyResult<Option<f64>> {
        Ok(lock(&self.0)?.table.poll_timeout().map(seconds))
    }

    /// Forgets a contact. True if it was in the table.
    fn remove(&self, now: f64, id: &[u8]) -> PyResult<bool> {
        let (now, id) = (instant(now)?, convert::id(id)?);
        Ok(lock(&self.0)?.table.remove(now, id))
    }

    /// Sorts the table anew around another id.
    fn set_own(&self, now: f64, own: &[u8]) -> PyResult<()> {
        lock(&self.0)?.table.set_own(instant(now)?, id(own)?);
        Ok(())
    }

    /// While it is we who are offline, nobody fails.
    fn set_frozen(&self, frozen: bool) -> PyResult<()> {
        lock(&self.0)?.table.set_frozen(frozen);
        Ok(())
    }

    /// Whether the table is frozen.
    fn is_frozen(&self) -> PyResult<bool> {
        Ok(lock(&self.0)?.table.is_frozen())
    }

    /// Whether the contact failed so recently that it is to be left alone.
    fn is_backing_off(&self, now: f64, id: &[u8]) -> PyResult<bool> {
        let (now, id) = (instant(now)?, convert::id(id)?);
        Ok(lock(&self.0)?.table.is_backing_off(now, id))
    }

    /// The id the table is built around.
    fn own<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyBytes>> {
        Ok(PyBytes::new(py, lock(&self.0)?.table.own().as_bytes()))
    }

    /// The settings in use.
    fn config<'py>(&self, py: Python<'py>) -> PyResult<Any<'py>> {
        let config = lock(&self.0)?.table.config().clone();
        config.write(py)
    }

    /// What the table knows of a contact; None if it is in no bucket.
    fn get<'py>(&self, py: Python<'py>, id: &[u8]) -> PyResult<Option<Any<'py>>> {
        let known = lock(&self.0)?.table.get(convert::id(id)?);
        known.map(|known| entry(py, &known)).transpose()
    }

    /// All buckets, nearest first.
    fn buckets<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyTuple>> {
        let buckets: Vec<_> = lock(&self.0)?.table.buckets().map(bucket::read).collect();
        tuple(py, &buckets, bucket::write)
    }

    /// What is worth keeping over a restart.
    fn export<'py>(&self, py: Python<'py>, now: f64) -> PyResult<Bound<'py, PyTuple>> {
        let now = instant(now)?;
        let saved: Vec<_> = lock(&self.0)?.table.export(now).collect();
        tuple(py, &saved, |py, saved| {
            let rtt = saved.rtt.map(convert::elapsed);
            make(
                py,
                "SavedContact",
                (contact(py, &saved.contact)?, convert::elapsed(saved.age), rtt),
            )
        })
    }

    /// Contacts in the table.
    fn __len__(&self) -> PyResult<usize> {
        Ok(lock(&self.0)?.table.len())
    }
}

// ---- lookup -----------------------------------------------------------------------------------

/// One iterative lookup: whom to ask next, and when it is over.
#[pyclass(frozen, module = "kadlet")]
pub(crate) struct Lookup(Mutex<Machine>);

#[pymethods]
impl Lookup {
    #[new]
    #[pyo3(
        signature = (target, own, families, config=None, mask=Number(0)),
        text_signature = "(target, own, families, config=None, mask=0)"
    )]
    fn new(
        target: &[u8],
        own: &[u8],
        families: &Any<'_>,
        config: Option<&Any<'_>>,
        mask: Number<u32>,
    ) -> PyResult<Self> {
        let config = config.map_or_else(|| Ok(LookupConfig::default()), LookupConfig::read)?;
        let machine = Machine::new(id(target)?, id(own)?, self::families(families)?, config);
        Ok(Self(Mutex::new(machine.with_mask(Capabilities(mask.0)))))
    }

    /// Contacts to start from.
    fn start(&self, contacts: &Any<'_>) -> PyResult<()> {
        let contacts = self::contacts(contacts)?;
        lock(&self.0)?.start(contacts);
        Ok(())
    }

    /// Whom to ask now, or "wait", or "done"; ask again until it is no contact, and after every
    /// report.
    fn next<'py>(&self, py: Python<'py>) -> PyResult<Any<'py>> {
        let step = lock(&self.0)?.next();
        match step {
            Step::Ask(whom) => contact(py, &whom),
            Step::Wait => Ok(PyString::new(py, "wait").into_any()),
            Step::Done => Ok(PyString::new(py, "done").into_any()),
        }
    }

    /// A contact answered and named these. False if it was not asked, or had answered or failed.
    fn answered(
        &self,
        id: &[u8],
        address: &Any<'_>,
        capabilities: Number<u32>,
        closer: &Any<'_>,
    ) -> PyResult<bool> {
        let (id, address) = (convert::id(id)?, address_from(address)?);
        let (can, closer) = (Capabilities(capabilities.0), contacts(closer)?);
        Ok(lock(&self.0)?.answered(id, address, can, closer))
    }

    /// The short timeout passed: somebody else is asked meanwhile.
    fn slow(&self, id: &[u8], address: &Any<'_>) -> PyResult<bool> {
        let (id, address) = (convert::id(id)?, address_from(address)?);
        Ok(lock(&self.0)?.slow(id, address))
    }

    /// Answers do not take so long: the lookup goes on without, and takes the answer if it comes.
    fn silent(&self, id: &[u8], address: &Any<'_>) -> PyResult<bool> {
        let (id, address) = (convert::id(id)?, address_from(address)?);
        Ok(lock(&self.0)?.silent(id, address))
    }

    /// The hard timeout passed, or it cannot be reached.
    fn failed(&self, id: &[u8], address: &Any<'_>) -> PyResult<bool> {
        let (id, address) = (convert::id(id)?, address_from(address)?);
        Ok(lock(&self.0)?.failed(id, address))
    }

    /// Contacts heard of outside of an answer: from somebody who was asked, or from nobody.
    fn heard(&self, from_: Option<(Vec<u8>, Any<'_>)>, candidates: &Any<'_>) -> PyResult<()> {
        let from = from_.map(|(of, at)| Ok::<_, PyErr>((id(&of)?, address_from(&at)?)));
        let (from, candidates) = (from.transpose()?, contacts(candidates)?);
        lock(&self.0)?.heard(from, candidates);
        Ok(())
    }

    /// Asks also what lies within this distance of the target.
    fn widen(&self, bound: &[u8]) -> PyResult<()> {
        // A distance is its exclusive or with nothing.
        let bound = Id::ZERO.distance(id(bound)?);
        lock(&self.0)?.widen(bound);
        Ok(())
    }

    /// Ends the lookup: what it was for is found.
    fn finish_early(&self) -> PyResult<()> {
        lock(&self.0)?.finish_early();
        Ok(())
    }

    /// Whether it is over.
    fn is_done(&self) -> PyResult<bool> {
        Ok(lock(&self.0)?.is_done())
    }

    /// The addresses heard of that may still be asked.
    fn waiting<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyTuple>> {
        let waiting: Vec<_> = lock(&self.0)?.waiting().collect();
        tuple(py, &waiting, convert::address)
    }

    /// What is looked for.
    fn target<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyBytes>> {
        Ok(PyBytes::new(py, lock(&self.0)?.target().as_bytes()))
    }

    /// The counts so far.
    fn progress<'py>(&self, py: Python<'py>) -> PyResult<Any<'py>> {
        let it = lock(&self.0)?.progress();
        let fields = (it.asked, it.answered, it.failed, it.in_flight, it.hops, it.cut_short);
        class(py, "LookupProgress")?.call1(fields)
    }

    /// All who answered, nearest first.
    fn closest<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyTuple>> {
        let found: Vec<_> = lock(&self.0)?.closest().collect();
        tuple(py, &found, found_to)
    }

    /// Of those the ones to store with: the k closest of a family, or its region.
    fn closest_of<'py>(&self, py: Python<'py>, family: &str) -> PyResult<Bound<'py, PyTuple>> {
        let family = self::family(family)?;
        let found: Vec<_> = lock(&self.0)?.closest_of(family).collect();
        tuple(py, &found, found_to)
    }
}

fn found_to<'py>(py: Python<'py>, found: &kadlet_core::Found) -> PyResult<Any<'py>> {
    make(py, "Found", (contact(py, &found.contact)?, found.hop))
}
