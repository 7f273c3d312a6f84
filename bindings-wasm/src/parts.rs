//! Parts of a node that are of use alone: the routing table and the lookup.

use alloc::string::{String, ToString as _};
use alloc::vec::Vec;

use js_sys::Array;
use kadlet_core::config::{LookupConfig, TableConfig};
use kadlet_core::{
    Admission, Capabilities, Contact, Failure, Filter, Heard, Id, Lookup as Machine, Refusal, Rng,
    Step,
};
use wasm_bindgen::prelude::*;

use crate::convert::{
    address, address_from, array, bucket, contact, contact_from, duration, elapsed, entry,
    families, family, id, instant, list, millis, object, path_from,
};
use crate::{Result, settings};

fn contacts(all: &[JsValue]) -> Result<Vec<Contact>> {
    all.iter().map(contact_from).collect()
}

/// The routing table of one address family: who enters, who gives way, whom to ping.
#[wasm_bindgen]
pub struct RoutingTable {
    table: kadlet_core::RoutingTable,
    /// What its refreshes are drawn from.
    rng: Rng,
}

#[wasm_bindgen]
impl RoutingTable {
    /// A table around `own`; refreshes are drawn from `seed`, 32 bytes.
    #[wasm_bindgen(constructor)]
    pub fn new(
        own: &str,
        seed: &[u8],
        #[wasm_bindgen(unchecked_optional_param_type = "Partly<TableConfig>")] config: &JsValue,
    ) -> Result<Self> {
        let mut settings = TableConfig::default();
        settings::fill(&mut settings, config)?;
        let table = kadlet_core::RoutingTable::new(id(own)?, settings);
        Ok(Self { table, rng: Rng::from_seed(array("a seed", seed)?) })
    }

    /// A contact answered a question of ours: the only way in.
    #[wasm_bindgen(unchecked_return_type = "Admission")]
    pub fn verified(
        &mut self,
        now: f64,
        #[wasm_bindgen(unchecked_param_type = "Contact")] contact: &JsValue,
        rtt: Option<f64>,
    ) -> Result<String> {
        let rtt = rtt.map(duration).transpose()?;
        let admission = match self.table.verified(instant(now)?, contact_from(contact)?, rtt) {
            Admission::Inserted => "inserted",
            Admission::Updated => "updated",
            Admission::Replacement => "replacement",
            Admission::Refused(Refusal::OwnId) => "own_id",
            Admission::Refused(Refusal::IdTaken) => "id_taken",
            Admission::Refused(Refusal::AddressTaken) => "address_taken",
            Admission::Refused(Refusal::PrefixInBucket) => "prefix_in_bucket",
            Admission::Refused(Refusal::PrefixInTable) => "prefix_in_table",
            _ => "full",
        };
        Ok(admission.into())
    }

    /// A node spoke to us unasked.
    #[wasm_bindgen(unchecked_return_type = "Heard")]
    pub fn heard(
        &mut self,
        now: f64,
        named: &str,
        #[wasm_bindgen(unchecked_param_type = "Path")] path: &JsValue,
    ) -> Result<String> {
        let heard = match self.table.heard(instant(now)?, id(named)?, path_from(path)?) {
            Heard::Touched => "touched",
            Heard::Candidate => "candidate",
            _ => "ignored",
        };
        Ok(heard.into())
    }

    /// A contact did not answer in time: how often in a row, or what became of it.
    #[wasm_bindgen(unchecked_return_type = "TableFailure")]
    pub fn failed(&mut self, now: f64, named: &str, addr: &str) -> Result<JsValue> {
        Ok(match self.table.failed(instant(now)?, id(named)?, address_from(addr)?) {
            Failure::Counted(failures) => failures.into(),
            Failure::Replaced(by) => contact(&by),
            Failure::Stale => "stale".into(),
            Failure::Dropped => "dropped".into(),
            _ => "ignored".into(),
        })
    }

    /// At most `count` contacts closest to `target`, nearest first.
    #[wasm_bindgen(unchecked_return_type = "Contact[]")]
    pub fn closest(
        &self,
        target: &str,
        count: u32,
        capabilities: Option<u32>,
        besides: Option<String>,
        doubtful: Option<bool>,
    ) -> Result<Array> {
        let mut filter = Filter::default();
        filter.capabilities = Capabilities(capabilities.unwrap_or(0));
        filter.except = besides.map(|it| id(&it)).transpose()?;
        filter.doubtful = doubtful.unwrap_or(false);
        let closest = self.table.closest(id(target)?, filter).take(count as usize);
        Ok(list(closest, |it| contact(&it)))
    }

    /// Whom to ping now; ask again until there is nobody.
    #[wasm_bindgen(js_name = nextPing, unchecked_return_type = "Contact | undefined")]
    pub fn next_ping(&mut self, now: f64) -> Result<JsValue> {
        let next = self.table.next_ping(instant(now)?);
        Ok(next.map_or(JsValue::UNDEFINED, |it| contact(&it)))
    }

    /// An id to look up so that a bucket stays fresh; ask again until there is none.
    #[wasm_bindgen(js_name = nextRefresh)]
    pub fn next_refresh(&mut self, now: f64) -> Result<Option<String>> {
        Ok(self.table.next_refresh(instant(now)?, &mut self.rng).map(|id| id.to_string()))
    }

    /// The ids to look up after joining, one for every bucket farther away than `closest`.
    #[wasm_bindgen(js_name = refreshBeyond)]
    pub fn refresh_beyond(&mut self, now: f64, closest: &str) -> Result<Vec<String>> {
        let ids = self.table.refresh_beyond(instant(now)?, id(closest)?, &mut self.rng);
        Ok(ids.iter().map(Id::to_string).collect())
    }

    /// A lookup for `target` goes on, which refreshes its bucket.
    pub fn touched(&mut self, now: f64, target: &str) -> Result<()> {
        self.table.touched(instant(now)?, id(target)?);
        Ok(())
    }

    /// When `nextPing` or `nextRefresh` may next have something; undefined: never.
    #[wasm_bindgen(js_name = pollTimeout)]
    pub fn poll_timeout(&self) -> Option<f64> {
        self.table.poll_timeout().map(millis)
    }

    /// Forgets a contact. True if it was in the table.
    pub fn remove(&mut self, now: f64, named: &str) -> Result<bool> {
        Ok(self.table.remove(instant(now)?, id(named)?))
    }

    /// Sorts the table anew around another id.
    #[wasm_bindgen(js_name = setOwn)]
    pub fn set_own(&mut self, now: f64, own: &str) -> Result<()> {
        self.table.set_own(instant(now)?, id(own)?);
        Ok(())
    }

    /// While it is we who are offline, nobody fails.
    #[wasm_bindgen(js_name = setFrozen)]
    pub fn set_frozen(&mut self, frozen: bool) {
        self.table.set_frozen(frozen);
    }

    /// Whether the table is frozen.
    #[wasm_bindgen(js_name = isFrozen)]
    pub fn is_frozen(&self) -> bool {
        self.table.is_frozen()
    }

    /// Whether the contact failed so recently that it is to be left alone.
    #[wasm_bindgen(js_name = isBackingOff)]
    pub fn is_backing_off(&self, now: f64, named: &str) -> Result<bool> {
        Ok(self.table.is_backing_off(instant(now)?, id(named)?))
    }

    /// The id the table is built around.
    pub fn own(&self) -> String {
        self.table.own().to_string()
    }

    /// The settings in use.
    #[wasm_bindgen(unchecked_return_type = "TableConfig")]
    pub fn config(&self) -> JsValue {
        settings::show(&mut self.table.config().clone())
    }

    /// What the table knows of a contact; undefined if it is in no bucket.
    #[wasm_bindgen(unchecked_return_type = "Entry | undefined")]
    pub fn get(&self, named: &str) -> Result<JsValue> {
        Ok(self.table.get(id(named)?).map_or(JsValue::UNDEFINED, entry))
    }

    /// All buckets, nearest first.
    #[wasm_bindgen(unchecked_return_type = "Bucket[]")]
    pub fn buckets(&self) -> Array {
        list(self.table.buckets(), |it| bucket(&it))
    }

    /// What is worth keeping over a restart.
    #[wasm_bindgen(unchecked_return_type = "SavedContact[]")]
    pub fn export(&self, now: f64) -> Result<Array> {
        Ok(list(self.table.export(instant(now)?), |saved| {
            object([
                ("contact", contact(&saved.contact)),
                ("age", elapsed(saved.age).into()),
                ("rtt", saved.rtt.map(elapsed).into()),
            ])
        }))
    }

    /// Contacts in the table.
    #[wasm_bindgen(getter)]
    pub fn length(&self) -> u32 {
        self.table.len() as u32
    }
}

/// One iterative lookup: whom to ask next, and when it is over.
#[wasm_bindgen]
pub struct Lookup(Machine);

#[wasm_bindgen]
impl Lookup {
    /// A lookup of `target` by `own` among these families, of contacts with all bits of `mask`.
    #[wasm_bindgen(constructor)]
    pub fn new(
        target: &str,
        own: &str,
        #[wasm_bindgen(unchecked_param_type = "Family[]")] families: Vec<String>,
        #[wasm_bindgen(unchecked_param_type = "Partly<LookupConfig> | undefined")] config: &JsValue,
        mask: Option<u32>,
    ) -> Result<Self> {
        let mut settings = LookupConfig::default();
        settings::fill(&mut settings, config)?;
        let machine = Machine::new(id(target)?, id(own)?, self::families(&families)?, settings);
        Ok(Self(machine.with_mask(Capabilities(mask.unwrap_or(0)))))
    }

    /// Contacts to start from.
    pub fn start(
        &mut self,
        #[wasm_bindgen(unchecked_param_type = "Contact[]")] contacts: Vec<JsValue>,
    ) -> Result<()> {
        self.0.start(self::contacts(&contacts)?);
        Ok(())
    }

    /// Whom to ask now, or "wait", or "done"; ask again until it is no contact, and after every
    /// report.
    #[wasm_bindgen(unchecked_return_type = "Contact | \"wait\" | \"done\"")]
    pub fn next(&mut self) -> JsValue {
        match self.0.next() {
            Step::Ask(whom) => contact(&whom),
            Step::Wait => "wait".into(),
            Step::Done => "done".into(),
        }
    }

    /// A contact answered and named these. False if it was not asked, or had answered or failed.
    pub fn answered(
        &mut self,
        named: &str,
        address: &str,
        capabilities: u32,
        #[wasm_bindgen(unchecked_param_type = "Contact[]")] closer: Vec<JsValue>,
    ) -> Result<bool> {
        let (named, address) = (id(named)?, address_from(address)?);
        let (can, closer) = (Capabilities(capabilities), contacts(&closer)?);
        Ok(self.0.answered(named, address, can, closer))
    }

    /// The short timeout passed: somebody else is asked meanwhile.
    pub fn slow(&mut self, named: &str, address: &str) -> Result<bool> {
        Ok(self.0.slow(id(named)?, address_from(address)?))
    }

    /// Answers do not take so long: the lookup goes on without, and takes the answer if it comes.
    pub fn silent(&mut self, named: &str, address: &str) -> Result<bool> {
        Ok(self.0.silent(id(named)?, address_from(address)?))
    }

    /// The hard timeout passed, or it cannot be reached.
    pub fn failed(&mut self, named: &str, address: &str) -> Result<bool> {
        Ok(self.0.failed(id(named)?, address_from(address)?))
    }

    /// Contacts heard of outside of an answer: from somebody who was asked, or from nobody.
    pub fn heard(
        &mut self,
        #[wasm_bindgen(unchecked_param_type = "Contact[]")] candidates: Vec<JsValue>,
        named: Option<String>,
        address: Option<String>,
    ) -> Result<()> {
        let from = match (named, address) {
            (Some(named), Some(address)) => Some((id(&named)?, address_from(&address)?)),
            _ => None,
        };
        self.0.heard(from, contacts(&candidates)?);
        Ok(())
    }

    /// Asks also what lies within this distance of the target.
    pub fn widen(&mut self, bound: &str) -> Result<()> {
        // A distance is its exclusive or with nothing.
        self.0.widen(Id::ZERO.distance(id(bound)?));
        Ok(())
    }

    /// Ends the lookup: what it was for is found.
    #[wasm_bindgen(js_name = finishEarly)]
    pub fn finish_early(&mut self) {
        self.0.finish_early();
    }

    /// Whether it is over.
    #[wasm_bindgen(js_name = isDone)]
    pub fn is_done(&self) -> bool {
        self.0.is_done()
    }

    /// The addresses heard of that may still be asked.
    #[wasm_bindgen(unchecked_return_type = "Address[]")]
    pub fn waiting(&self) -> Array {
        list(self.0.waiting(), address)
    }

    /// What is looked for.
    pub fn target(&self) -> String {
        self.0.target().to_string()
    }

    /// The counts so far.
    #[wasm_bindgen(unchecked_return_type = "LookupProgress")]
    pub fn progress(&self) -> JsValue {
        let it = self.0.progress();
        object([
            ("asked", it.asked.into()),
            ("answered", it.answered.into()),
            ("failed", it.failed.into()),
            ("inFlight", it.in_flight.into()),
            ("hops", it.hops.into()),
            ("cutShort", it.cut_short.into()),
        ])
    }

    /// All who answered, nearest first.
    #[wasm_bindgen(unchecked_return_type = "Found[]")]
    pub fn closest(&self) -> Array {
        list(self.0.closest(), |it| found(&it))
    }

    /// Of those the ones to store with: the k closest of a family, or its region.
    #[wasm_bindgen(js_name = closestOf, unchecked_return_type = "Found[]")]
    pub fn closest_of(
        &self,
        #[wasm_bindgen(unchecked_param_type = "Family")] family: &str,
    ) -> Result<Array> {
        Ok(list(self.0.closest_of(self::family(family)?), |it| found(&it)))
    }
}

fn found(found: &kadlet_core::Found) -> JsValue {
    object([("contact", contact(&found.contact)), ("hop", found.hop.into())])
}
