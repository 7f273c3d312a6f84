//! What a node has besides on BitTorrent's Mainline DHT.

use alloc::borrow::ToOwned as _;
use alloc::string::{String, ToString as _};
use alloc::vec::Vec;

use js_sys::Uint8Array;
use kadlet_core::Config;
use kadlet_core::wire::bencode;
use kadlet_core::wire::mainline::ROUTERS;
use kadlet_core::wire::mainline::magnet::{self, Torrent};
use wasm_bindgen::prelude::*;

use crate::convert::{bytes_to, id, id_to, instant, invalid, object};
use crate::{Node, Result, number, settings};

#[wasm_bindgen]
impl Node {
    /// How many have the content with this key (Mainline, BEP 33)?
    pub fn scrape(&mut self, now: f64, key: &str) -> Result<f64> {
        Ok(number(self.core.scrape(instant(now)?, id(key)?)))
    }

    /// Which keys do the nodes around `target` hold providers of (Mainline, BEP 51)?
    pub fn sample(&mut self, now: f64, target: &str) -> Result<f64> {
        Ok(number(self.core.sample(instant(now)?, id(target)?)))
    }
}

/// Bytes as a value of Mainline: a string in bencode.
#[wasm_bindgen(js_name = bencodeString)]
pub fn bencode_string(value: &[u8]) -> Uint8Array {
    Uint8Array::from(bencode::string(value).as_slice())
}

/// What a value of Mainline says if it is a string.
#[wasm_bindgen(js_name = bencodedString)]
pub fn bencoded_string(value: &[u8]) -> Option<Uint8Array> {
    bencode::as_string(value).map(Uint8Array::from)
}

/// What a magnet link of BitTorrent names: a torrent, or the key pair whose owner names one.
#[wasm_bindgen(js_name = parseMagnet, unchecked_return_type = "Torrent")]
pub fn parse_magnet(link: &str) -> Result<JsValue> {
    Ok(match magnet::parse(link).map_err(invalid)? {
        Torrent::Hash(hash) => object([("type", "hash".into()), ("hash", id_to(hash))]),
        Torrent::Key { public_key, salt } => object([
            ("type", "key".into()),
            ("publicKey", bytes_to(&public_key)),
            ("salt", bytes_to(&salt)),
        ]),
    })
}

/// The info-hash in what the owner of a key pair said (BEP 46).
#[wasm_bindgen(js_name = infoHashIn)]
pub fn info_hash_in(value: &[u8]) -> Option<String> {
    magnet::info_hash_in(value).map(|hash| hash.to_string())
}

/// Where the public network can be entered, run by several independent people: HOST:PORT.
#[wasm_bindgen(js_name = mainlineRouters)]
pub fn mainline_routers() -> Vec<String> {
    ROUTERS.map(str::to_owned).to_vec()
}

/// The settings of a node of Mainline.
#[wasm_bindgen(js_name = mainlineConfig, unchecked_return_type = "Config")]
pub fn mainline_config() -> JsValue {
    settings::show(&mut Config::mainline())
}
