//! What a node has besides on BitTorrent's Mainline DHT.

use js_sys::Uint8Array;
use kadlet_core::Config;
use kadlet_core::wire::bencode;
use wasm_bindgen::prelude::*;

use crate::convert::{id, instant};
use crate::{Node, Result, number, settings};

#[wasm_bindgen]
impl Node {
    /// How many have the content with this key (Mainline, BEP 33)?
    pub fn scrape(&mut self, now: f64, key: &str) -> Result<f64> {
        Ok(number(self.0.scrape(instant(now)?, id(key)?)))
    }

    /// Which keys do the nodes around `target` hold providers of (Mainline, BEP 51)?
    pub fn sample(&mut self, now: f64, target: &str) -> Result<f64> {
        Ok(number(self.0.sample(instant(now)?, id(target)?)))
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

/// The settings of a node of Mainline.
#[wasm_bindgen(js_name = mainlineConfig, unchecked_return_type = "Config")]
pub fn mainline_config() -> JsValue {
    settings::show(&mut Config::mainline())
}
