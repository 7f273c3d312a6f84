//! What a node has besides on BitTorrent's Mainline DHT.

use wasm_bindgen::prelude::*;

use crate::convert::{id, instant};
use crate::{Node, Result, number};

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
