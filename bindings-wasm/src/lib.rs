//! Kadlet's core for browsers and Node.js: the verbs of [`kadlet_core::Node`], and a conversion for
//! every type.
//!
//! No policy, no clock, no callbacks. What crosses are plain objects, with a `type` where there are
//! several kinds. Bytes are `Uint8Array`s; ids and keys 40 hexadecimal digits, which can be keys of
//! a `Map`; sequence numbers `bigint`s, for they use all of 64 bits; other numbers `number`s. Times
//! are milliseconds, as `performance.now()` and `setTimeout` have them: what comes in is rounded to
//! the nearest microsecond (ties to even), and a moment given out comes back as the same microsecond
//! for seventy years from its epoch.

#![cfg_attr(target_arch = "wasm32", no_std)]

extern crate alloc;

mod content;
mod convert;
#[cfg(feature = "mainline")]
mod mainline;
#[cfg(feature = "full")]
mod parts;
mod quick;
#[cfg(target_arch = "wasm32")]
mod runtime;
mod settings;
#[cfg(feature = "full")]
mod wire;

use alloc::format;
use alloc::string::{String, ToString as _};
use alloc::vec::Vec;

use js_sys::{Array, Uint8Array};
use kadlet_core::record::{SearchQuery, SignedValue, Transports};
use kadlet_core::wire::native::Native;
use kadlet_core::{
    Announcement, Event, GetQuery, LinkId, Network, OperationId, PutOptions, Transmit,
};
use wasm_bindgen::prelude::*;

use convert::{array, duration, id, instant, invalid, list, millis};

#[wasm_bindgen(typescript_custom_section)]
const TYPES: &str = include_str!("types.d.ts");

type Result<T> = core::result::Result<T, JsError>;

/// Operations are counted from 0: a `number` names more of them than any node ever starts.
fn number(operation: OperationId) -> f64 {
    operation.0 as f64
}

const fn operation(number: f64) -> OperationId {
    OperationId(number as u64)
}

/// A Kademlia node without sockets, clock, threads or entropy.
///
/// Calls that are given `now` change it; poll until the polls give `undefined` after each of them,
/// and read `pollTimeout` again. `seed` is 32 bytes of entropy that no node ever had before.
#[wasm_bindgen]
pub struct Node {
    core: kadlet_core::Node,
    /// What the host took to send, until it has the bytes.
    taken: Option<Transmit>,
}

impl From<kadlet_core::Node> for Node {
    fn from(core: kadlet_core::Node) -> Self {
        Self { core, taken: None }
    }
}

#[wasm_bindgen]
impl Node {
    /// A node without contacts.
    #[wasm_bindgen(constructor)]
    pub fn new(
        #[wasm_bindgen(unchecked_param_type = "Partly<Config> | undefined")] config: &JsValue,
        own: &str,
        seed: &[u8],
        now: f64,
    ) -> Result<Self> {
        let (config, seed) = (settings::config(config)?, array("a seed", seed)?);
        Ok(kadlet_core::Node::new(config, id(own)?, seed, instant(now)?).into())
    }

    /// The node that `exportState` wrote down, `elapsed` after it was written.
    pub fn restore(
        #[wasm_bindgen(unchecked_param_type = "Partly<Config> | undefined")] config: &JsValue,
        state: &[u8],
        seed: &[u8],
        now: f64,
        elapsed: f64,
    ) -> Result<Self> {
        let (config, seed) = (settings::config(config)?, array("a seed", seed)?);
        let (now, elapsed) = (instant(now)?, duration(elapsed)?);
        let node = kadlet_core::Node::restore(config, state, seed, now, elapsed);
        node.map(Self::from).map_err(invalid)
    }

    /// A datagram came. Gives the reason if it was dropped: the sender's fault, never an exception.
    #[wasm_bindgen(js_name = handleDatagram, unchecked_return_type = "Rejected | undefined")]
    pub fn handle_datagram(
        &mut self,
        now: f64,
        #[wasm_bindgen(unchecked_param_type = "Path")] path: &JsValue,
        datagram: &[u8],
    ) -> Result<Option<String>> {
        let result = self.core.handle_datagram(instant(now)?, convert::path_from(path)?, datagram);
        Ok(result.err().map(|rejected| rejected.name().to_string()))
    }

    /// Nothing can be sent by this path.
    #[wasm_bindgen(js_name = handlePathFailed)]
    pub fn handle_path_failed(
        &mut self,
        now: f64,
        #[wasm_bindgen(unchecked_param_type = "Path")] path: &JsValue,
    ) -> Result<()> {
        self.core.handle_path_failed(instant(now)?, convert::path_from(path)?);
        Ok(())
    }

    /// The deadline of `pollTimeout` has come. Early or twice does nothing.
    #[wasm_bindgen(js_name = handleTimeout)]
    pub fn handle_timeout(&mut self, now: f64) -> Result<()> {
        self.core.handle_timeout(instant(now)?);
        Ok(())
    }

    /// A link is open: the families it reaches, and the longest datagram it carries.
    #[wasm_bindgen(js_name = linkUp)]
    pub fn link_up(
        &mut self,
        now: f64,
        link: u16,
        local: &str,
        #[wasm_bindgen(unchecked_param_type = "Family[]")] families: Vec<String>,
        mtu: u16,
    ) -> Result<()> {
        let (local, families) = (convert::address_from(local)?, convert::families(&families)?);
        self.core.link_up(instant(now)?, LinkId(link), local, families, mtu);
        Ok(())
    }

    /// A link is closed.
    #[wasm_bindgen(js_name = linkDown)]
    pub fn link_down(&mut self, now: f64, link: u16) -> Result<()> {
        self.core.link_down(instant(now)?, LinkId(link));
        Ok(())
    }

    /// Joins a network by these addresses.
    pub fn bootstrap(
        &mut self,
        now: f64,
        #[wasm_bindgen(unchecked_param_type = "Path[]")] addresses: Vec<JsValue>,
    ) -> Result<f64> {
        let paths = addresses.iter().map(convert::path_from).collect::<Result<Vec<_>>>()?;
        Ok(number(self.core.bootstrap(instant(now)?, &paths)))
    }

    /// Looks up the contacts closest to `target`.
    #[wasm_bindgen(js_name = findNode)]
    pub fn find_node(&mut self, now: f64, target: &str) -> Result<f64> {
        Ok(number(self.core.find_node(instant(now)?, id(target)?)))
    }

    /// Who has the content with this key?
    pub fn providers(&mut self, now: f64, key: &str) -> Result<f64> {
        Ok(number(self.core.providers(instant(now)?, id(key)?)))
    }

    /// Tells the nodes closest to `key` that the content is to be had from us.
    pub fn announce(
        &mut self,
        now: f64,
        key: &str,
        port: Option<u16>,
        transports: Option<u8>,
        renew: Option<bool>,
    ) -> Result<f64> {
        let mut announcement = Announcement::http(0);
        announcement.port = port;
        announcement.transports = Transports(transports.unwrap_or(0));
        announcement.renew = renew.unwrap_or(false);
        Ok(number(self.core.announce(instant(now)?, id(key)?, announcement)))
    }

    /// Reads the value under a key.
    pub fn get(
        &mut self,
        now: f64,
        key: &str,
        salt: Option<Vec<u8>>,
        newer_than: Option<u64>,
    ) -> Result<f64> {
        let mut query = GetQuery::new(id(key)?);
        (query.salt, query.newer_than) = (salt.unwrap_or_default(), newer_than);
        Ok(number(self.core.get(instant(now)?, query)))
    }

    /// Stores a value: bytes, or a signed one; `cas` only over the one with this sequence number.
    pub fn put(
        &mut self,
        now: f64,
        #[wasm_bindgen(unchecked_param_type = "Item")] item: &JsValue,
        cas: Option<u64>,
        renew: Option<bool>,
    ) -> Result<f64> {
        let mut options = PutOptions::default();
        (options.cas, options.renew) = (cas, renew.unwrap_or(false));
        let mainline = !matches!(self.core.config().network, Network::Native(_));
        let put = self.core.put(instant(now)?, convert::item_from(item, mainline)?, options);
        put.map(number).map_err(invalid)
    }

    /// Searches for files whose names carry every word of the query.
    pub fn search(&mut self, now: f64, query: &str) -> Result<f64> {
        let query = SearchQuery::parse(query).map_err(invalid)?;
        Ok(number(self.core.search(instant(now)?, query)))
    }

    /// Lets a file be found by every word of its name.
    pub fn publish(
        &mut self,
        now: f64,
        #[wasm_bindgen(unchecked_param_type = "SearchEntry")] entry: &JsValue,
        renew: Option<bool>,
    ) -> Result<f64> {
        let entry = convert::search_entry_from(entry)?;
        let published = self.core.publish(instant(now)?, entry, renew.unwrap_or(false));
        published.map(number).map_err(invalid)
    }

    /// Sends a few hundred bytes to the node with the id `target`.
    pub fn signal(&mut self, now: f64, target: &str, payload: &[u8]) -> Result<f64> {
        self.core.signal(instant(now)?, id(target)?, payload).map(number).map_err(invalid)
    }

    /// The same if it answers at this path, and to nobody else.
    #[wasm_bindgen(js_name = signalAt)]
    pub fn signal_at(
        &mut self,
        now: f64,
        target: &str,
        #[wasm_bindgen(unchecked_param_type = "Path")] path: &JsValue,
        payload: &[u8],
    ) -> Result<f64> {
        let path = convert::path_from(path)?;
        let signalled = self.core.signal_at(instant(now)?, id(target)?, path, payload);
        signalled.map(number).map_err(invalid)
    }

    /// Ends an operation and the renewal of what it published. False if there was neither.
    pub fn cancel(&mut self, now: f64, named: f64) -> Result<bool> {
        Ok(self.core.cancel(instant(now)?, operation(named)))
    }

    /// Gives an operation so much time from now on. False if it is not running.
    #[wasm_bindgen(js_name = setDeadline)]
    pub fn set_deadline(&mut self, now: f64, named: f64, after: f64) -> Result<bool> {
        Ok(self.core.set_deadline(instant(now)?, operation(named), duration(after)?))
    }

    /// Takes another id.
    #[wasm_bindgen(js_name = setId)]
    pub fn set_id(&mut self, now: f64, own: &str) -> Result<()> {
        self.core.set_id(instant(now)?, id(own)?);
        Ok(())
    }

    /// Ends everything: operations are cancelled, nothing is answered any more.
    pub fn shutdown(&mut self, now: f64) -> Result<()> {
        self.core.shutdown(instant(now)?);
        Ok(())
    }

    /// The next datagram to send.
    #[wasm_bindgen(js_name = pollTransmit, unchecked_return_type = "Transmit | undefined")]
    pub fn poll_transmit(&mut self) -> JsValue {
        self.core
            .poll_transmit()
            .map_or(JsValue::UNDEFINED, |transmit| convert::transmit(&transmit))
    }

    /// The next event. With `brief` those that say that an operation began and whom it asked are
    /// passed over and not made: what an answer named costs more than the rest of it.
    #[wasm_bindgen(js_name = pollEvent, unchecked_return_type = "Event | undefined")]
    pub fn poll_event(&mut self, brief: Option<bool>) -> JsValue {
        let brief = brief.unwrap_or_default();
        while let Some(event) = self.core.poll_event() {
            let step = matches!(
                event,
                Event::Started { .. } | Event::Asked { .. } | Event::Answered { .. }
            );
            if !(brief && step) {
                return convert::event(&event);
            }
        }
        JsValue::UNDEFINED
    }

    /// The next change worth keeping.
    #[wasm_bindgen(js_name = pollChange, unchecked_return_type = "Change | undefined")]
    pub fn poll_change(&mut self) -> JsValue {
        self.core.poll_change().map_or(JsValue::UNDEFINED, |change| convert::change(&change))
    }

    /// When `handleTimeout` is to be called next; undefined: never.
    #[wasm_bindgen(js_name = pollTimeout)]
    pub fn poll_timeout(&self) -> Option<f64> {
        self.core.poll_timeout().map(millis)
    }

    /// Everything worth keeping over a restart.
    #[wasm_bindgen(js_name = exportState)]
    pub fn export_state(&self, now: f64) -> Result<Uint8Array> {
        Ok(Uint8Array::from(self.core.export_state(instant(now)?).as_slice()))
    }

    /// Gives back one record of `record_stored`, `elapsed` after it was written down.
    #[wasm_bindgen(js_name = restoreRecord)]
    pub fn restore_record(&mut self, now: f64, record: &[u8], elapsed: f64) -> Result<()> {
        self.core.restore_record(instant(now)?, record, duration(elapsed)?).map_err(invalid)
    }

    /// Our id.
    pub fn id(&self) -> String {
        self.core.id().to_string()
    }

    /// The settings the node was made with.
    #[wasm_bindgen(unchecked_return_type = "Config")]
    pub fn config(&self) -> JsValue {
        settings::show(&mut self.core.config().clone())
    }

    /// The buckets of a family's routing table, nearest first.
    #[wasm_bindgen(unchecked_return_type = "Bucket[]")]
    pub fn table(
        &self,
        #[wasm_bindgen(unchecked_param_type = "Family")] family: &str,
    ) -> Result<Array> {
        Ok(list(self.core.table(convert::family(family)?).buckets(), |bucket| {
            convert::bucket(&bucket)
        }))
    }

    /// The k contacts of our table that are closest to `target`, nearest first.
    #[wasm_bindgen(unchecked_return_type = "Contact[]")]
    pub fn closest(
        &self,
        target: &str,
        #[wasm_bindgen(unchecked_param_type = "Family")] family: &str,
    ) -> Result<Array> {
        let closest = self.core.closest(id(target)?, convert::family(family)?);
        Ok(list(closest, |contact| convert::contact(&contact)))
    }

    /// How far an operation is; undefined if it has ended.
    #[wasm_bindgen(unchecked_return_type = "OperationProgress | undefined")]
    pub fn operation(&self, named: f64) -> JsValue {
        let progress = self.core.operation(operation(named));
        progress.map_or(JsValue::UNDEFINED, |progress| convert::progress(&progress))
    }

    /// What happened so far.
    #[wasm_bindgen(unchecked_return_type = "Stats")]
    pub fn stats(&self) -> JsValue {
        convert::stats(self.core.stats())
    }

    /// What limits per source made us drop.
    #[wasm_bindgen(unchecked_return_type = "Dropped")]
    pub fn dropped(&self) -> JsValue {
        convert::dropped(self.core.dropped())
    }

    /// What is kept for others, and what became of what was to be kept.
    #[wasm_bindgen(js_name = storeStats, unchecked_return_type = "StoreStats")]
    pub fn store_stats(&self) -> JsValue {
        convert::store_stats(&self.core.store_stats())
    }

    /// How the node is.
    #[wasm_bindgen(unchecked_return_type = "Health")]
    pub fn health(&self) -> JsValue {
        convert::health(&self.core.health())
    }

    /// How many nodes the network is estimated to have.
    pub fn estimate(&self) -> Option<f64> {
        self.core.estimate().map(|nodes| nodes as f64)
    }
}

/// Signs a value with the key pair that follows from `secret` (32 bytes); one of Mainline is bencode.
#[wasm_bindgen(unchecked_return_type = "SignedValue")]
pub fn sign(
    secret: &[u8],
    salt: &[u8],
    #[wasm_bindgen(unchecked_param_type = "bigint")] seq: JsValue,
    value: &[u8],
    mainline: Option<bool>,
) -> Result<JsValue> {
    let seq = convert::sequence(seq)?;
    let (secret, form) = (array("a secret", secret)?, convert::form(mainline.unwrap_or(false))?);
    let signed = SignedValue::sign_for(form, &secret, salt, seq, value);
    Ok(convert::signed_value(&signed.map_err(invalid)?))
}

/// The key an item is stored under.
#[wasm_bindgen(js_name = keyOf)]
pub fn key_of(
    #[wasm_bindgen(unchecked_param_type = "Item")] item: &JsValue,
    mainline: Option<bool>,
) -> Result<String> {
    Ok(convert::item_from(item, mainline.unwrap_or(false))?.key().to_string())
}

/// The key under which `publicKey` keeps a value with this salt.
#[wasm_bindgen(js_name = signedKeyOf)]
pub fn signed_key_of(public_key: &[u8], salt: &[u8], mainline: Option<bool>) -> Result<String> {
    let form = convert::form(mainline.unwrap_or(false))?;
    Ok(form.signed_key(&array("a public key", public_key)?, salt).to_string())
}

/// The id of the network with this name, as its datagrams carry it: 16 hexadecimal digits.
#[wasm_bindgen(js_name = networkIdOf)]
pub fn network_id_of(network: &str) -> String {
    let id = u64::from_be_bytes(Native::new(network).network());
    format!("{id:016x}")
}

/// The settings that a node has where nothing else is said.
#[wasm_bindgen(js_name = defaultConfig, unchecked_return_type = "Config")]
pub fn default_config() -> JsValue {
    settings::show(&mut kadlet_core::Config::default())
}
