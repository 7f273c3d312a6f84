//! STUN (RFC 8489): binding requests, answered with the address they came from.
//!
//! A page learns so at which address the outside sees its own UDP sockets. Nothing else of STUN is
//! done: no authentication, no indications, no RFC 3489. An answer is its header and the one
//! attribute that was asked for, 12 bytes more than the shortest request (24 over IPv6).

use alloc::collections::BTreeMap;
use alloc::sync::Arc;
use core::net::{IpAddr, SocketAddr};
use std::time::Instant;

use kadlet_core::Prefix;
use tokio::net::UdpSocket;

use super::counters::{Tally, add};
use super::limits::{Limits, Rate};

const HEADER: usize = 20;
const BINDING_REQUEST: u16 = 0x0001;
const BINDING_SUCCESS: u16 = 0x0101;
const BINDING_ERROR: u16 = 0x0111;
const COOKIE: [u8; 4] = [0x21, 0x12, 0xa4, 0x42];
const XOR_MAPPED_ADDRESS: u16 = 0x0020;
const ERROR_CODE: u16 = 0x0009;
const UNKNOWN_ATTRIBUTES: u16 = 0x000a;

/// From here on an attribute may be passed over by whoever does not know it.
const OPTIONAL: u16 = 0x8000;

/// Attributes that must be understood, and that ask nothing of us: who the client is, for servers
/// that want to know.
const WITHOUT_MEANING: [u16; 7] = [0x0006, 0x0008, 0x0014, 0x0015, 0x001c, 0x001d, 0x001e];

/// Longest request that is read: a page's has 20 bytes, one with credentials below 200.
const LONGEST: usize = 512;

/// Unknown attributes that an error names; more of them are more of the same.
const NAMED: usize = 8;

/// Sources whose rate is kept at once; further ones wait until others are forgotten. 4,096: more
/// than a relay of a thousand clients has, and 200 kB.
const SOURCES: usize = 4_096;

/// Answers a second in all. 2,000: every client of a full relay twice.
const IN_ALL: u32 = 2_000;

/// Answers on one socket until it is dropped.
pub(super) async fn serve(socket: UdpSocket, limits: Limits, tally: Arc<Tally>) {
    let mut budget = Budget::new(&limits, Instant::now());
    let mut request = [0; LONGEST + 1];
    loop {
        let Ok((len, from)) = socket.recv_from(&mut request).await else {
            // Nothing of ours: the system passes on what became of an earlier answer.
            tokio::task::yield_now().await;
            continue;
        };
        let answer = request.get(..len).and_then(|request| answer(request, from));
        match answer {
            Some(answer) if budget.take(from.ip(), Instant::now()) => {
                // An answer that cannot be sent now is asked for again.
                let _ = socket.try_send_to(&answer, from);
                add(&tally.stun, 1);
            }
            _ => add(&tally.stun_dropped, 1),
        }
    }
}

/// What one source, and all together, are answered.
struct Budget {
    limits: Limits,
    all: Rate,
    sources: BTreeMap<Prefix, Rate>,
}

impl Budget {
    fn new(limits: &Limits, now: Instant) -> Self {
        Self { limits: limits.clone(), all: Rate::new(IN_ALL, now), sources: BTreeMap::new() }
    }

    fn take(&mut self, ip: IpAddr, now: Instant) -> bool {
        if !self.all.has(1, now) {
            return false;
        }
        if self.limits.count(ip) {
            let prefix = Prefix::of(ip);
            if !self.sources.contains_key(&prefix) && self.sources.len() >= SOURCES {
                self.sources.retain(|_, rate| !rate.is_idle(now));
                if self.sources.len() >= SOURCES {
                    return false;
                }
            }
            let fresh = Rate::new(self.limits.stun_per_second, now);
            let rate = self.sources.entry(prefix).or_insert(fresh);
            if !rate.has(1, now) {
                return false;
            }
            rate.take(1, now);
        }
        self.all.take(1, now);
        true
    }
}

/// The answer to a datagram; none if it is no binding request.
fn answer(request: &[u8], from: SocketAddr) -> Option<Vec<u8>> {
    let (header, attributes) = request.split_first_chunk::<HEADER>()?;
    let [t0, t1, l0, l1, c0, c1, c2, c3, ..] = *header;
    let transaction = &header[8..];
    let length = usize::from(u16::from_be_bytes([l0, l1]));
    if u16::from_be_bytes([t0, t1]) != BINDING_REQUEST
        || [c0, c1, c2, c3] != COOKIE
        || length != attributes.len()
        || request.len() > LONGEST
    {
        return None;
    }
    let unknown = unknown_attributes(attributes)?;
    let mut body = Vec::new();
    if unknown.is_empty() {
        mapped_address(&mut body, from, transaction);
        return Some(message(BINDING_SUCCESS, transaction, &body));
    }
    // 420, without words.
    attribute(&mut body, ERROR_CODE, &[0, 0, 4, 20]);
    let names: Vec<u8> = unknown.iter().flat_map(|kind| kind.to_be_bytes()).collect();
    attribute(&mut body, UNKNOWN_ATTRIBUTES, &names);
    Some(message(BINDING_ERROR, transaction, &body))
}

/// Attributes that must be understood and are not; none if what stands there are no attributes.
fn unknown_attributes(mut rest: &[u8]) -> Option<Vec<u16>> {
    let mut unknown = Vec::new();
    while !rest.is_empty() {
        let ([t0, t1, l0, l1], behind) = rest.split_first_chunk::<4>()?;
        let kind = u16::from_be_bytes([*t0, *t1]);
        let length = usize::from(u16::from_be_bytes([*l0, *l1]));
        rest = behind.get(length.next_multiple_of(4)..)?;
        let understood = kind >= OPTIONAL || WITHOUT_MEANING.contains(&kind);
        if !understood && !unknown.contains(&kind) && unknown.len() < NAMED {
            unknown.push(kind);
        }
    }
    Some(unknown)
}

/// The address XORed with the header, so that no router on the way "translates" it.
fn mapped_address(out: &mut Vec<u8>, from: SocketAddr, transaction: &[u8]) {
    let mask: Vec<u8> = COOKIE.iter().chain(transaction).copied().collect();
    let masked = |ip: &[u8]| -> Vec<u8> { ip.iter().zip(&mask).map(|(a, b)| a ^ b).collect() };
    let (family, ip) = match from.ip() {
        IpAddr::V4(ip) => (1, masked(&ip.octets())),
        IpAddr::V6(ip) => (2, masked(&ip.octets())),
    };
    let port = masked(&from.port().to_be_bytes());
    let value = [&[0, family], &port[..], &ip[..]].concat();
    attribute(out, XOR_MAPPED_ADDRESS, &value);
}

fn attribute(out: &mut Vec<u8>, kind: u16, value: &[u8]) {
    let length = u16::try_from(value.len()).unwrap_or(u16::MAX);
    out.extend(kind.to_be_bytes());
    out.extend(length.to_be_bytes());
    out.extend(value);
    out.resize(out.len().next_multiple_of(4), 0);
}

fn message(kind: u16, transaction: &[u8], body: &[u8]) -> Vec<u8> {
    let length = u16::try_from(body.len()).unwrap_or(u16::MAX);
    [&kind.to_be_bytes()[..], &length.to_be_bytes(), &COOKIE, transaction, body].concat()
}

#[cfg(test)]
mod tests {
    use super::*;
    use core::time::Duration;

    fn request(attributes: &[u8]) -> Vec<u8> {
        message(BINDING_REQUEST, b"transaction!", attributes)
    }

    /// RFC 5769, section 2.2 and 2.3: the addresses and what becomes of them.
    #[test]
    fn addresses_are_masked_as_the_test_vectors_say() {
        let id = [0xb7, 0xe7, 0xa7, 0x01, 0xbc, 0x34, 0xd6, 0x86, 0xfa, 0x87, 0xdf, 0xae];
        let mut out = Vec::new();
        mapped_address(&mut out, "192.0.2.1:32853".parse().expect("an address"), &id);
        assert_eq!(out, [0, 0x20, 0, 8, 0, 1, 0xa1, 0x47, 0xe1, 0x12, 0xa6, 0x43]);
        out.clear();
        let six = "[2001:db8:1234:5678:11:2233:4455:6677]:32853".parse().expect("an address");
        mapped_address(&mut out, six, &id);
        let masked = [
            0x01, 0x13, 0xa9, 0xfa, 0xa5, 0xd3, 0xf1, 0x79, 0xbc, 0x25, 0xf4, 0xb5, 0xbe, 0xd2,
            0xb9, 0xd9,
        ];
        assert_eq!(out[..8], [0, 0x20, 0, 20, 0, 2, 0xa1, 0x47]);
        assert_eq!(out[8..], masked);
    }

    #[test]
    fn answers_are_no_longer_than_needed() {
        let four = "1.2.3.4:5".parse().expect("an address");
        let six = "[2001::1]:5".parse().expect("an address");
        let short = request(&[]);
        let success = answer(&short, four).expect("an answer");
        assert_eq!((short.len(), success.len()), (20, 32));
        assert_eq!(answer(&short, six).expect("an answer").len(), 44);
        assert_eq!(success[..2], BINDING_SUCCESS.to_be_bytes());
        assert_eq!(success[4..20], short[4..20]);
        // Software and a user's name make nothing longer.
        let named = [0x80, 0x22, 0, 1, b'x', 0, 0, 0, 0, 6, 0, 3, b'a', b'b', b'c', 0];
        assert_eq!(answer(&request(&named), four).expect("an answer").len(), 32);
        // Twenty unknown attributes: at most eight are named.
        let unknown: Vec<u8> = (0..20).flat_map(|kind| [0x70, kind, 0, 0]).collect();
        let request = request(&unknown);
        let error = answer(&request, four).expect("an answer");
        assert_eq!(error[..2], BINDING_ERROR.to_be_bytes());
        assert_eq!(error[20..28], [0, 9, 0, 4, 0, 0, 4, 20]);
        assert!(error.len() == 48 && error.len() < request.len());
    }

    #[test]
    fn what_is_no_binding_request_is_not_answered() {
        let from = "1.2.3.4:5".parse().expect("an address");
        let good = request(&[0x80, 0x22, 0, 4, 1, 2, 3, 4]);
        assert!(answer(&good, from).is_some());
        for length in 0..good.len() {
            assert_eq!(answer(&good[..length], from), None, "cut to {length}");
        }
        // The type, the length and the cookie; then the length of an attribute.
        for at in [0, 1, 2, 3, 4, 5, 6, 7, 22, 23] {
            let mut bad = good.clone();
            bad[at] ^= 0x11;
            assert_eq!(answer(&bad, from), None, "byte {at}");
        }
        assert_eq!(answer(&[&good[..], &[0; 4]].concat(), from), None);
        let long = [&[0x80, 0x22, 2, 0][..], &[0; 512]].concat();
        assert_eq!(answer(&request(&long), from), None);
    }

    #[test]
    fn a_source_is_answered_at_its_rate() {
        let start = Instant::now();
        let limits = Limits { stun_per_second: 10, ..Limits::default() };
        let mut budget = Budget::new(&limits, start);
        let mut taken = |ip: &str, at: u64| {
            let (ip, now) = (ip.parse().expect("an address"), start + Duration::from_secs(at));
            (0..100).take_while(|_| budget.take(ip, now)).count()
        };
        assert_eq!(taken("8.8.8.8", 0), 20);
        assert_eq!(taken("8.8.8.9", 0), 0, "the same prefix");
        assert_eq!(taken("8.8.9.8", 0), 20);
        assert_eq!(taken("8.8.8.8", 1), 10);
        assert_eq!(taken("127.0.0.1", 1), 100);
        for number in 0..2 * SOURCES as u32 {
            budget.take(core::net::Ipv4Addr::from(0x0900_0000 + (number << 8)).into(), start);
        }
        assert!(budget.sources.len() <= SOURCES);
    }
}
