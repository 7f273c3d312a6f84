//! What a host calls for every datagram, once more without objects: they cost more than the core's
//! part. An IPv4 address is one number, `IP * 65,536 + port`, which a `number` has exactly and a host
//! can keep beside its text; IPv6 goes by the verbs that everybody uses.

use alloc::string::{String, ToString as _};
use alloc::vec::Vec;
use core::net::{IpAddr, Ipv4Addr, SocketAddr};

use kadlet_core::{Change, LinkId, Path, Transmit};
use wasm_bindgen::prelude::*;

use crate::convert::instant;
use crate::{Node, Result};

#[wasm_bindgen]
impl Node {
    /// `handleDatagram` for IPv4, where nobody asks what was wrong with it: `stats` counts that.
    pub fn receive(&mut self, now: f64, link: u16, from: f64, datagram: &[u8]) -> Result<()> {
        let from = from as u64;
        let ip = Ipv4Addr::from((from >> 16) as u32);
        let remote = SocketAddr::from((ip, from as u16));
        let path = Path { link: LinkId(link), remote };
        let _ = self.core.handle_datagram(instant(now)?, path, datagram);
        Ok(())
    }

    /// Takes the next datagram to send and gives where to: -1 if there is none, and NaN if that is
    /// IPv6. Then `takenAddress` and `takenPayload` have it.
    #[wasm_bindgen(js_name = takeTransmit)]
    pub fn take_transmit(&mut self) -> f64 {
        self.taken = self.core.poll_transmit();
        match &self.taken {
            None => -1.0,
            Some(Transmit { path, .. }) => match path.remote.ip() {
                IpAddr::V4(ip) => {
                    (u64::from(u32::from(ip)) << 16 | u64::from(path.remote.port())) as f64
                }
                IpAddr::V6(_) => f64::NAN,
            },
        }
    }

    /// Where the datagram taken last goes to.
    #[wasm_bindgen(js_name = takenAddress)]
    pub fn taken_address(&self) -> Option<String> {
        self.taken.as_ref().map(|transmit| transmit.path.remote.to_string())
    }

    /// The bytes of the datagram taken last, once.
    #[wasm_bindgen(js_name = takenPayload)]
    pub fn taken_payload(&mut self) -> Vec<u8> {
        self.taken.take().map(|transmit| transmit.payload).unwrap_or_default()
    }

    /// Takes all changes, for a host that saves whole states: 0 if there were none, 1 if there were
    /// some, 2 if there were records among them.
    #[wasm_bindgen(js_name = takeChanges)]
    pub fn take_changes(&mut self) -> u8 {
        let mut most = 0;
        while let Some(change) = self.core.poll_change() {
            most = most.max(if matches!(change, Change::Contacts) { 1 } else { 2 });
        }
        most
    }

    /// `pollTimeout`, with infinity for never.
    pub fn deadline(&self) -> f64 {
        self.core.poll_timeout().map_or(f64::INFINITY, crate::convert::millis)
    }
}
