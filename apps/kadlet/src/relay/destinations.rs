//! Where a client may send to: which addresses at all, how many of them, and how much without an
//! answer.

use alloc::collections::BTreeMap;
use core::net::{IpAddr, SocketAddr};
use core::time::Duration;
use std::time::Instant;

use kadlet_core::{Scope, is_usable};

use super::counters::Reason;
use super::limits::Limits;

/// Ports above 1023 at which something else than a node listens by custom, and answers strangers
/// with more than they sent or does what they say: databases, games, telephones, printers,
/// routers. What is relayed has a node's shape and would mean nothing to them; they are spared all
/// the same.
const OTHERS_PORTS: [u16; 18] = [
    1_434, 1_604, 1_900, 3_283, 3_389, 3_478, 3_702, 5_060, 5_061, 5_093, 5_351, 5_353, 5_683,
    10_001, 11_211, 17_185, 27_015, 27_960,
];

/// The system's ports (RFC 6335) are below.
const FIRST_USER_PORT: u16 = 1_024;

/// Whether the relay sends to `address` for anybody.
pub(super) fn permitted(address: SocketAddr, allow_private: bool) -> Result<(), Reason> {
    // What is no address of a node is refused like one of this house. So is 6to4 (RFC 3056): where
    // there is such a tunnel it leads to any address of IPv4, those of this house among them.
    let is_tunnel = matches!(address.ip(), IpAddr::V6(ip) if ip.segments()[0] == 0x2002);
    if !is_usable(address) || is_tunnel {
        return Err(Reason::DestinationPrivate);
    }
    if Scope::of(address.ip()) != Some(Scope::Public) && !allow_private {
        return Err(Reason::DestinationPrivate);
    }
    if address.port() < FIRST_USER_PORT || OTHERS_PORTS.contains(&address.port()) {
        return Err(Reason::DestinationPort);
    }
    Ok(())
}

/// An address that nothing was sent to, and that said nothing, for so long is forgotten.
const FORGET: Duration = Duration::from_secs(60);

/// One more datagram is allowed every so often to whoever does not answer.
const REFILL: Duration = Duration::from_secs(10);

/// What goes to an address. The two are told apart: whoever answers the one has not asked for the
/// other, and a web server's UDP port is somebody else's.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(super) enum Way {
    Datagram,
    Fetch,
}

/// The addresses one client writes to.
#[derive(Debug)]
pub(super) struct Destinations {
    start: Instant,
    swept: Instant,
    /// By address, packed: a thousand clients have half a million of them.
    known: BTreeMap<(Way, [u8; 18]), Destination>,
}

#[derive(Clone, Copy, Debug)]
struct Destination {
    /// Seconds from the start to the last datagram either way.
    last: u32,
    /// Datagrams, or fetches, since it last said something.
    unanswered: u8,
    /// Whether it ever did.
    answered: bool,
}

impl Destinations {
    pub(super) const fn new(now: Instant) -> Self {
        Self { start: now, swept: now, known: BTreeMap::new() }
    }

    /// Counts a datagram or a fetch to `address`, if one more may go there.
    pub(super) fn send(
        &mut self,
        way: Way,
        address: SocketAddr,
        limits: &Limits,
        now: Instant,
    ) -> Result<(), Reason> {
        let (key, at) = ((way, pack(address)), self.seconds(now));
        if !self.known.contains_key(&key) && self.known.len() >= limits.destinations {
            self.sweep(now);
            if self.known.len() >= limits.destinations {
                return Err(Reason::Destinations);
            }
        }
        let fresh = Destination { last: at, unanswered: 0, answered: false };
        let destination = self.known.entry(key).or_insert(fresh);
        let rested = u64::from(at.saturating_sub(destination.last)) / REFILL.as_secs();
        let forgiven = u8::try_from(rested).unwrap_or(u8::MAX);
        let unanswered = destination.unanswered.saturating_sub(forgiven);
        let most = if destination.answered { limits.unanswered_known } else { limits.unanswered };
        if unanswered >= most {
            return Err(Reason::Unanswered);
        }
        destination.unanswered = unanswered + 1;
        destination.last = at;
        Ok(())
    }

    /// `address` said something. Whom the client never wrote to is not remembered for it: strangers
    /// must not fill the list.
    pub(super) fn heard(&mut self, way: Way, address: SocketAddr, now: Instant) {
        let at = self.seconds(now);
        if let Some(destination) = self.known.get_mut(&(way, pack(address))) {
            *destination = Destination { last: at, unanswered: 0, answered: true };
        }
    }

    /// Forgets those that are quiet; at most once a second, so that a full list costs little.
    fn sweep(&mut self, now: Instant) {
        if now.duration_since(self.swept) < Duration::from_secs(1) {
            return;
        }
        self.swept = now;
        let at = self.seconds(now);
        self.known.retain(|_, it| u64::from(at.saturating_sub(it.last)) < FORGET.as_secs());
    }

    fn seconds(&self, now: Instant) -> u32 {
        u32::try_from(now.saturating_duration_since(self.start).as_secs()).unwrap_or(u32::MAX)
    }
}

fn pack(address: SocketAddr) -> [u8; 18] {
    let ip = match address {
        SocketAddr::V4(v4) => v4.ip().to_ipv6_mapped(),
        SocketAddr::V6(v6) => *v6.ip(),
    };
    let mut packed = [0; 18];
    packed[..16].copy_from_slice(&ip.octets());
    packed[16..].copy_from_slice(&address.port().to_be_bytes());
    packed
}

#[cfg(test)]
mod tests {
    use super::super::sessions::PORTS_PER_CLIENT;
    use super::*;

    fn address(number: u32) -> SocketAddr {
        SocketAddr::from((core::net::Ipv4Addr::from(0x0808_0000 + number), 6_881))
    }

    #[test]
    fn only_nodes_addresses_are_permitted() {
        let check = |text: &str, private| permitted(text.parse().expect("an address"), private);
        for public in ["8.8.8.8:6881", "[2600::1]:1024", "100.63.1.1:40000"] {
            assert_eq!(check(public, false), Ok(()), "{public}");
        }
        for private in [
            "127.0.0.1:6881",
            "10.1.2.3:6881",
            "172.31.0.1:6881",
            "192.168.1.1:6881",
            "169.254.169.254:6881",
            "100.64.0.1:6881",
            "[::1]:6881",
            "[fd00::1]:6881",
            "[fe80::1]:6881",
        ] {
            assert_eq!(check(private, false), Err(Reason::DestinationPrivate), "{private}");
            assert_eq!(check(private, true), Ok(()), "{private}");
        }
        for never in [
            "[2002:c0a8:101::1]:6881",
            "0.0.0.0:6881",
            "255.255.255.255:6881",
            "224.0.0.251:6881",
            "8.8.8.8:0",
            "[ff02::1]:6881",
            "[::ffff:127.0.0.1]:6881",
            "[::]:6881",
        ] {
            assert_eq!(check(never, true), Err(Reason::DestinationPrivate), "{never}");
        }
        for port in [1, 22, 53, 80, 123, 443, 1_023].into_iter().chain(OTHERS_PORTS) {
            let address = format!("8.8.8.8:{port}");
            assert_eq!(check(&address, true), Err(Reason::DestinationPort), "{address}");
        }
    }

    /// docs/relay.md has the list, and the limits.
    #[test]
    fn the_documentation_says_the_same() {
        const DOCS: &str = include_str!("../../../../docs/relay.md");
        let ports: Vec<_> = OTHERS_PORTS.iter().map(ToString::to_string).collect();
        let limits = Limits::default();
        for line in [
            format!("{}.", ports.join(", ")),
            format!("come back | {},000 |", limits.clients / 1_000),
            format!("of a source | {} |", limits.clients_per_source),
            format!("each way | {} a second", limits.datagrams_per_second),
            format!("each way | {} KiB a second", limits.bytes_per_second >> 10),
            format!("together | those of {} clients |", limits.rates_per_source),
            format!("within a minute | {} |", limits.destinations),
            format!("answered | {} / {}, and", limits.unanswered, limits.unanswered_known),
            format!("sends nothing | {} minutes |", limits.idle.as_secs() / 60),
            format!("answer pings | {} s |", limits.silent.as_secs()),
            format!("waits for it | {} s |", limits.silent.as_secs()),
            format!("waits for its client | {} s |", limits.grace.as_secs()),
            format!("rests {} minutes |", limits.port_rest.as_secs() / 60),
            format!("public network | {} |", limits.serving),
            format!(
                "in all | {} / {} / {} |",
                limits.fetches, limits.fetches_per_source, limits.fetches_in_all
            ),
            format!(
                "of a source | {} / {} |",
                limits.fetches_per_second,
                limits.fetches_per_second_of_source()
            ),
            format!("that rest | {PORTS_PER_CLIENT} times its clients |"),
            format!("fetches | {} MiB a second |", limits.fetched_bytes_per_second >> 20),
            format!("in all | {} / 2,000 a second |", limits.stun_per_second),
        ] {
            assert!(DOCS.contains(&line), "{line}");
        }
    }

    #[test]
    fn whoever_does_not_answer_is_left_alone() {
        let start = Instant::now();
        let limits = Limits { unanswered: 3, unanswered_known: 5, ..Limits::default() };
        let mut all = Destinations::new(start);
        let mut sent = |heard: bool, at: u64| {
            let now = start + Duration::from_secs(at);
            if heard {
                all.heard(Way::Datagram, address(1), now);
            }
            (0..100)
                .take_while(|_| all.send(Way::Datagram, address(1), &limits, now).is_ok())
                .count()
        };
        assert_eq!(sent(false, 0), 3);
        assert_eq!(sent(false, 9), 0);
        assert_eq!(sent(false, 10), 1);
        assert_eq!(sent(false, 40), 3);
        assert_eq!(sent(true, 41), 5);
        assert_eq!(sent(false, 42), 0);
        assert_eq!(
            all.send(Way::Datagram, address(1), &limits, start + Duration::from_secs(42)),
            Err(Reason::Unanswered)
        );
        assert_eq!(
            all.send(Way::Datagram, address(2), &limits, start + Duration::from_secs(42)),
            Ok(())
        );
    }

    #[test]
    fn who_answers_fetches_is_not_sent_datagrams_for_it() {
        let now = Instant::now();
        let limits = Limits { unanswered: 1, destinations: 2, ..Limits::default() };
        let mut all = Destinations::new(now);
        for way in [Way::Datagram, Way::Fetch] {
            assert_eq!(all.send(way, address(1), &limits, now), Ok(()));
        }
        all.heard(Way::Fetch, address(1), now);
        assert_eq!(all.send(Way::Fetch, address(1), &limits, now), Ok(()));
        let datagram = all.send(Way::Datagram, address(1), &limits, now);
        assert_eq!(datagram, Err(Reason::Unanswered));
        let both = all.send(Way::Fetch, address(2), &limits, now);
        assert_eq!(both, Err(Reason::Destinations), "they are counted together");
    }

    #[test]
    fn destinations_are_counted_and_forgotten() {
        let start = Instant::now();
        let limits = Limits { destinations: 10, ..Limits::default() };
        let mut all = Destinations::new(start);
        for number in 0..10 {
            all.send(Way::Datagram, address(number), &limits, start).expect("room");
        }
        let late = start + Duration::from_secs(30);
        all.heard(Way::Datagram, address(99), late);
        assert_eq!(all.send(Way::Datagram, address(10), &limits, late), Err(Reason::Destinations));
        assert_eq!(all.send(Way::Datagram, address(3), &limits, late), Ok(()), "known already");
        let later = start + FORGET;
        assert_eq!(all.send(Way::Datagram, address(10), &limits, later), Ok(()));
        assert_eq!(all.known.len(), 2);
    }
}
