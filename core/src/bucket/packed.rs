//! A contact in 48 bytes, with what the table knows of it, and the clock its stamps count by.
//!
//! A million contacts of a thousand simulated nodes are memory before they are anything else, and a
//! bucket is scanned on every datagram. So addresses are 16 bytes (IPv4 in the mapped form, which
//! no contact of IPv6 has), round-trip times are an 8-bit floating point number, and stamps are
//! 16-bit seconds counted from a base that moves along (mistake 24: they saturate, never wrap).

use core::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, SocketAddrV4, SocketAddrV6};
use core::time::Duration;

use crate::contact::{Capabilities, Contact, LinkId, Path, Prefix};
use crate::id::Id;
use crate::time::Instant;

/// Set in `state` while a restored contact has not answered since.
const UNCONFIRMED: u8 = 0x80;
/// The lower bits of `state` count failures up to this.
const MOST_FAILURES: u8 = 0x0f;

/// A contact as the table keeps it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Packed {
    pub(crate) id: Id,
    ip: [u8; 16],
    capabilities: u32,
    port: u16,
    link: u16,
    /// When it was last heard of or, with failures, when the last one was counted.
    pub(crate) stamp: u16,
    rtt: u8,
    state: u8,
}

const _: () = assert!(size_of::<Packed>() <= 48);

impl Packed {
    pub(crate) fn new(contact: &Contact, stamp: u16, rtt: Option<Duration>) -> Self {
        let ip = match contact.path.remote.ip() {
            IpAddr::V4(ip) => ip.to_ipv6_mapped(),
            IpAddr::V6(ip) => ip,
        };
        Self {
            id: contact.id,
            ip: ip.octets(),
            capabilities: contact.capabilities.0,
            port: contact.path.remote.port(),
            link: contact.path.link.0,
            stamp,
            rtt: rtt.map_or(0, pack_rtt),
            state: 0,
        }
    }

    /// Marks it as not heard of since it was saved.
    pub(crate) const fn unconfirmed(mut self) -> Self {
        self.state |= UNCONFIRMED;
        self
    }

    /// The contact as others are told of it.
    // Called, not inlined, it is built in its caller's place; the optimizer would build it
    // elsewhere and move it, and moving what was just written in smaller pieces stalls for longer
    // than the call.
    #[inline(never)]
    pub(crate) fn contact(&self) -> Contact {
        let path = Path { link: LinkId(self.link), remote: self.remote() };
        Contact { id: self.id, path, capabilities: self.capabilities() }
    }

    /// Writes the contact to `slot`, piece by piece: see [`Packed::contact`].
    #[inline]
    pub(crate) fn unpack_into(&self, slot: &mut Contact) {
        slot.id = self.id;
        slot.capabilities = self.capabilities();
        slot.path.link = LinkId(self.link);
        let port = self.port;
        match self.ip_v4() {
            Some(ip) => slot.path.remote = SocketAddr::V4(SocketAddrV4::new(ip, port)),
            None => {
                slot.path.remote = SocketAddr::V6(SocketAddrV6::new(self.ip.into(), port, 0, 0))
            }
        }
    }

    #[inline]
    pub(crate) fn remote(&self) -> SocketAddr {
        match self.ip_v4() {
            Some(ip) => SocketAddr::V4(SocketAddrV4::new(ip, self.port)),
            None => SocketAddr::V6(SocketAddrV6::new(self.ip.into(), self.port, 0, 0)),
        }
    }

    pub(crate) fn ip(&self) -> IpAddr {
        self.ip_v4().map_or_else(|| IpAddr::V6(self.ip.into()), IpAddr::V4)
    }

    const fn ip_v4(&self) -> Option<Ipv4Addr> {
        let bits = u128::from_be_bytes(self.ip);
        // The mapped form is ::ffff:a.b.c.d; its low 32 bits are the address.
        if bits >> 32 == 0xffff { Some(Ipv4Addr::from_bits(bits as u32)) } else { None }
    }

    pub(crate) fn prefix(&self) -> Prefix {
        Prefix::of(self.ip())
    }

    pub(crate) fn same_path(&self, other: &Self) -> bool {
        self.ip == other.ip && self.port == other.port && self.link == other.link
    }

    /// Whether this is its address and port, over whichever link.
    #[inline]
    pub(crate) fn is_at(&self, remote: SocketAddr) -> bool {
        let same_ip = match remote {
            // The mapped form: see `ip_v4`.
            SocketAddr::V4(v4) => {
                u128::from_be_bytes(self.ip) == 0xffff << 32 | u128::from(v4.ip().to_bits())
            }
            SocketAddr::V6(v6) => self.ip == v6.ip().octets(),
        };
        same_ip && self.port == remote.port()
    }

    /// Whether this is its address, port and link.
    #[inline]
    pub(crate) fn is_on(&self, path: Path) -> bool {
        self.link == path.link.0 && self.is_at(path.remote)
    }

    pub(crate) const fn capabilities(&self) -> Capabilities {
        Capabilities(self.capabilities)
    }

    pub(crate) const fn rtt(&self) -> Option<Duration> {
        unpack_rtt(self.rtt)
    }

    /// Notes an answer from its address. The link stays: it works.
    #[inline]
    pub(crate) fn answered(&mut self, stamp: u16, says: Capabilities, rtt: Option<Duration>) {
        self.capabilities = says.0;
        self.stamp = stamp;
        self.state = 0;
        if let Some(rtt) = rtt {
            self.rtt = pack_rtt(rtt);
        }
    }

    pub(crate) const fn failures(&self) -> u8 {
        self.state & MOST_FAILURES
    }

    pub(crate) const fn fail(&mut self, stamp: u16) {
        self.stamp = stamp;
        if self.failures() < MOST_FAILURES {
            self.state += 1;
        }
    }

    /// Whether it answered when it was last asked, and not only in an earlier life of ours.
    pub(crate) const fn is_sound(&self) -> bool {
        self.state == 0
    }

    pub(crate) const fn is_unconfirmed(&self) -> bool {
        self.state & UNCONFIRMED != 0
    }

    /// Whether it may be handed on, with fewer than `doubtful_after` failures.
    pub(crate) const fn is_live(&self, doubtful_after: u8) -> bool {
        self.state < doubtful_after
    }

    /// Whether it gives way to another. One that answered only in an earlier life of ours has
    /// nothing to its credit, so its first failure is enough.
    pub(crate) const fn is_stale(&self, stale_after: u8) -> bool {
        self.failures() >= stale_after || (self.is_unconfirmed() && self.failures() > 0)
    }

    /// A number by which equal addresses are equal and addresses of one prefix are neighbours:
    /// exact for IPv4, for IPv6 the prefix with 16 bits folded from the rest.
    pub(crate) fn address_key(&self) -> AddressKey {
        let (port, link) = (u64::from(self.port), u64::from(self.link));
        if let Some(ip) = self.ip_v4() {
            let key = u64::from(ip.to_bits()) << 32 | port << 16 | link;
            return AddressKey { key, prefix_shift: 40 };
        }
        let bits = Ipv6Addr::from(self.ip).to_bits();
        // Each truncation takes 16 bits of the interface's part.
        let folded = (0..5).fold(self.port ^ self.link, |sum, i| sum ^ (bits >> (16 * i)) as u16);
        let key = ((bits >> 80) as u64) << 16 | u64::from(folded);
        AddressKey { key, prefix_shift: 16 }
    }
}

/// See [`Packed::address_key`].
#[derive(Clone, Copy)]
pub(crate) struct AddressKey {
    pub(crate) key: u64,
    /// Bits of the key behind the address's prefix.
    pub(crate) prefix_shift: u32,
}

/// Microseconds as a 5-bit exponent and a 3-bit mantissa: within an eighth, up to 71 minutes.
/// 0, which no duration packs to, stands for none.
fn pack_rtt(rtt: Duration) -> u8 {
    let micros = u32::try_from(rtt.as_micros()).unwrap_or(u32::MAX).max(8);
    let exponent = micros.ilog2();
    // An exponent below 32 and three bits make at most 255.
    (exponent << 3 | (micros >> (exponent - 3)) & 7) as u8
}

const fn unpack_rtt(packed: u8) -> Option<Duration> {
    let exponent = packed >> 3;
    if exponent < 3 {
        return None;
    }
    Some(Duration::from_micros((8 | packed as u64 & 7) << (exponent - 3)))
}

/// The base of the stamps, in seconds of the host's time.
///
/// A stamp tells ages exactly up to [`Clock::REACH`] and those beyond as "at least that".
#[derive(Clone, Copy, Debug)]
pub(crate) struct Clock {
    base: i64,
}

impl Clock {
    /// Seconds a stamp reaches back: 9.1 hours.
    pub(crate) const REACH: u16 = 0x8000;

    pub(crate) const fn new() -> Self {
        Self { base: -(Self::REACH as i64) }
    }

    /// How much the base has to move before `now` has a stamp; all stamps move by as much.
    #[inline]
    pub(crate) fn lag(&self, now: Instant) -> Option<u16> {
        let ahead = i64::from(now.as_secs()) - self.base;
        if ahead <= i64::from(u16::MAX) {
            return None;
        }
        Some(u16::try_from(ahead - i64::from(Self::REACH)).unwrap_or(u16::MAX))
    }

    /// Moves the base so that `now` has a stamp with the full reach behind it.
    pub(crate) fn advance(&mut self, now: Instant) {
        self.base = i64::from(now.as_secs()) - i64::from(Self::REACH);
    }

    /// The stamp of a moment; moments out of range have the first or the last.
    #[inline]
    pub(crate) fn stamp(&self, at: Instant) -> u16 {
        let ahead = i64::from(at.as_secs()) - self.base;
        u16::try_from(ahead.max(0)).unwrap_or(u16::MAX)
    }

    /// The moment of a stamp plus some seconds, not before the epoch.
    pub(crate) fn moment(&self, stamp: u16, plus: u16) -> Instant {
        let secs = self.base + i64::from(stamp) + i64::from(plus);
        Instant::from_secs(u64::try_from(secs).unwrap_or(0))
    }
}

/// Whole seconds of a configured duration, rounded up, within the reach of stamps.
pub(crate) fn pause_secs(pause: Duration) -> u16 {
    let whole = pause.as_secs().saturating_add(u64::from(pause.subsec_nanos() > 0));
    u16::try_from(whole).unwrap_or(u16::MAX).min(Clock::REACH - 1)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn a_contact_survives_packing(
            id in any::<[u8; 20]>(),
            v4 in any::<bool>(),
            ip in any::<u128>(),
            port in any::<u16>(),
            link in any::<u16>(),
            capabilities in any::<u32>(),
        ) {
            let ip = if v4 {
                IpAddr::V4(Ipv4Addr::from_bits(ip as u32))
            } else {
                IpAddr::V6(Ipv6Addr::from_bits(ip | 1 << 127))
            };
            let path = Path { link: LinkId(link), remote: SocketAddr::new(ip, port) };
            let capabilities = Capabilities(capabilities);
            let contact = Contact { id: Id::new(id), path, capabilities };
            let packed = Packed::new(&contact, 7, None);
            prop_assert_eq!(packed.contact(), contact);
            let mut slot = Contact::new(Id::ZERO, SocketAddr::from(([1, 2, 3, 4], 5)));
            packed.unpack_into(&mut slot);
            prop_assert_eq!(slot, contact);
            prop_assert_eq!(packed.prefix(), Prefix::of(ip));
            prop_assert!(packed.is_at(path.remote));
        }

        #[test]
        fn a_round_trip_time_is_kept_within_an_eighth(micros in 8_u64..=u64::from(u32::MAX)) {
            let kept = unpack_rtt(pack_rtt(Duration::from_micros(micros))).expect("a time");
            let kept = kept.as_micros() as u64;
            prop_assert!(kept <= micros && micros - kept <= micros / 8);
        }

        /// Mistake 24: times that wrap. A stamp's age is the true one, or it is at least
        /// the reach of the clock.
        #[test]
        fn ages_saturate_and_never_wrap(steps in prop::collection::vec(0_u64..200_000, 1..20)) {
            let (mut clock, mut now) = (Clock::new(), 0_u64);
            let mut stamps = alloc::vec::Vec::<(u64, u16)>::new();
            for step in steps {
                now += step;
                let at = Instant::from_secs(now);
                if let Some(lag) = clock.lag(at) {
                    stamps.iter_mut().for_each(|(_, stamp)| *stamp = stamp.saturating_sub(lag));
                    clock.advance(at);
                }
                stamps.push((now, clock.stamp(at)));
                for (then, stamp) in &stamps {
                    let (age, told) = (now - then, u64::from(clock.stamp(at) - stamp));
                    prop_assert!(told == age || (told < age && told >= u64::from(Clock::REACH)));
                }
            }
        }
    }

    #[test]
    fn extreme_round_trip_times_are_bounded() {
        assert_eq!(unpack_rtt(pack_rtt(Duration::ZERO)), Some(Duration::from_micros(8)));
        assert!(unpack_rtt(pack_rtt(Duration::MAX)).is_some_and(|rtt| rtt.as_secs() > 4_000));
        assert_eq!(unpack_rtt(0), None);
    }
}
