//! Node ids that follow from the address (BEP 42).
//!
//! The first 21 bits of an id are those of CRC32C over the masked address and three bits of the
//! id's last byte. One address can so have eight beginnings and no more: an attacker needs many
//! addresses to choose where its nodes lie. It is a cost, not a wall: 21 bits.
//!
//! The BEP's prose says that 8 bytes of an IPv4 address are hashed; its vectors, and all clients,
//! hash 4.

use core::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use crate::id::Id;

/// Whether `id` is one that a node at `ip` may have. Nodes on private and local addresses may have
/// any.
///
/// ```
/// use kadlet_core::Id;
/// use kadlet_core::wire::mainline::bep42;
///
/// let ip = [124, 31, 75, 21].into();
/// let id: Id = "5fbfbff10c5d6a4ec8a88e4c6ab4c28b95eee401".parse()?;
/// assert!(bep42::is_valid(id, ip));
/// assert!(!bep42::is_valid(id.with_flipped(20), ip));
/// assert!(bep42::is_valid(id.with_flipped(21), ip));
/// # Ok::<(), kadlet_core::ParseIdError>(())
/// ```
#[must_use]
pub fn is_valid(id: Id, ip: IpAddr) -> bool {
    is_exempt(ip) || id_for(id, ip) == id
}

/// `random` with its first 21 bits changed to what a node at `ip` must have. The rest stays, so
/// from a random id comes a random valid one, and from a valid one itself.
#[must_use]
pub fn id_for(random: Id, ip: IpAddr) -> Id {
    let mut bytes = *random.as_bytes();
    let [a, b, c, .., last] = &mut bytes;
    let [x, y, z, _] = checksum(ip, *last & 7).to_be_bytes();
    (*a, *b, *c) = (x, y, z & 0xf8 | *c & 0x07);
    Id::new(bytes)
}

/// Whether a node at `ip` may have any id: nobody can check from where it is seen.
#[must_use]
pub fn is_exempt(ip: IpAddr) -> bool {
    match ip.to_canonical() {
        IpAddr::V4(ip) => ip.is_private() || ip.is_link_local() || ip.is_loopback(),
        IpAddr::V6(ip) => ip.is_loopback() || ip.is_unicast_link_local(),
    }
}

/// CRC32C over the masked address, with `r` in its top three bits.
fn checksum(ip: IpAddr, r: u8) -> u32 {
    match ip.to_canonical() {
        IpAddr::V4(ip) => checksum_v4(ip, r),
        IpAddr::V6(ip) => checksum_v6(ip, r),
    }
}

fn checksum_v4(ip: Ipv4Addr, r: u8) -> u32 {
    let masked = ip.to_bits() & 0x030f_3fff | u32::from(r) << 29;
    crc32c(&masked.to_be_bytes())
}

fn checksum_v6(ip: Ipv6Addr, r: u8) -> u32 {
    // The network's half of the address: the other half is the host's to choose.
    let high = ip.octets().first_chunk().map_or(0, |high| u64::from_be_bytes(*high));
    let masked = high & 0x0103_070f_1f3f_7fff | u64::from(r) << 61;
    crc32c(&masked.to_be_bytes())
}

/// CRC32C (Castagnoli), bit by bit: at most 8 bytes are ever hashed.
fn crc32c(bytes: &[u8]) -> u32 {
    let mut crc = u32::MAX;
    for byte in bytes {
        crc ^= u32::from(*byte);
        for _ in 0..8 {
            let low = crc & 1;
            crc = crc >> 1 ^ 0x82f6_3b78 & low.wrapping_neg();
        }
    }
    !crc
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_checksum_is_castagnolis() {
        assert_eq!(crc32c(b"123456789"), 0xe306_9283);
    }
}
