//! Write tokens and address cookies: proof that a sender receives what we send to its address.
//!
//! Who wants to store something asks first and gets a token with the answer; only who received the
//! answer can show it. The token is a keyed pseudo-random function (SipHash-2-4, a 128-bit secret)
//! over address, port, id and key, so that it is good for nobody else and for nothing else; a plain
//! checksum of address and secret could be forged. A cookie is the same over the address alone: it
//! lifts the limit on the length of answers.
//!
//! Nothing is remembered per asker. The first byte of a token says when it was made, in steps of a
//! sixty-fourth of its lifetime, and is covered by the function: one evaluation checks it, and age
//! is exact to a step however the secrets rotate. Secrets rotate every 5 minutes and tokens are good
//! for 10 (BEP 5); the secrets of three periods are kept, which is all that a good token can need.

use core::fmt;
use core::hash::Hasher as _;
use core::net::{IpAddr, SocketAddr};

use siphasher::sip::SipHasher24;

use crate::config::TokenConfig;
use crate::id::Id;
use crate::rng::{Resting, Rng};
use crate::time::Instant;

/// How many steps a token lives; its age in steps fits the byte with room to tell old from new.
const STEPS: u64 = 64;

/// A token lives [`STEPS`] steps and a secret at least half of them, so a token that is still good
/// was made in the current period or one of the two before.
const SECRETS: u64 = 3;

/// What a token may be shown for. The domains keep one kind from being shown as another.
#[derive(Clone, Copy)]
enum Domain {
    Token = 1,
    Cookie = 2,
}

/// Issues tokens and cookies, and knows its own again.
///
/// ```
/// use kadlet_core::{Id, Instant, Tokens, config::TokenConfig};
///
/// let mut tokens = Tokens::new(&TokenConfig::default(), [7; 32]);
/// let (asker, id, key) = ("192.0.2.1:6881".parse()?, Id::new([1; 20]), Id::new([2; 20]));
/// let token = tokens.issue(Instant::from_secs(5), asker, id, key);
/// assert!(tokens.check(Instant::from_secs(600), token.as_bytes(), asker, id, key));
/// assert!(!tokens.check(Instant::from_secs(900), token.as_bytes(), asker, id, key));
/// # Ok::<(), core::net::AddrParseError>(())
/// ```
#[derive(Clone)]
pub struct Tokens {
    /// Length of a step in microseconds.
    step: u64,
    /// Length of a period, in steps.
    period: u64,
    /// The secret of period `p` lies at `p % SECRETS`.
    secrets: [Option<Secret>; SECRETS as usize],
    rng: Resting,
}

#[derive(Clone, Copy)]
struct Secret {
    period: u64,
    key: [u8; 16],
}

impl Tokens {
    /// A source of tokens whose secrets follow from `seed`. A seed is never used twice: whoever
    /// saw tokens before a restart could show them after it.
    #[must_use]
    pub fn new(config: &TokenConfig, seed: [u8; 32]) -> Self {
        let micros = |span: core::time::Duration| u64::try_from(span.as_micros());
        let step = micros(config.lifetime).unwrap_or(u64::MAX).div_ceil(STEPS).max(1);
        let period = micros(config.rotation).unwrap_or(u64::MAX).div_ceil(step).max(STEPS / 2);
        let rng = Resting::of(&Rng::from_seed(seed));
        Self { step, period, secrets: [None; SECRETS as usize], rng }
    }

    /// A token with which `addr`, calling itself `id`, may store under `key`: good from now for the
    /// configured lifetime, and at most a sixty-fourth longer.
    pub fn issue(&mut self, now: Instant, addr: SocketAddr, id: Id, key: Id) -> Token {
        Token(self.make(now, Domain::Token, addr, id, key))
    }

    /// Whether `bytes` are a token that was issued to `addr` and `id` for `key` and is still good.
    /// Takes the same time wherever the bytes differ.
    #[must_use]
    pub fn check(&self, now: Instant, bytes: &[u8], addr: SocketAddr, id: Id, key: Id) -> bool {
        self.knows(now, bytes, Domain::Token, addr, id, key)
    }

    /// A cookie for `addr`: whoever shows it from there receives what we send there.
    pub fn cookie(&mut self, now: Instant, addr: SocketAddr) -> [u8; Token::LEN] {
        self.make(now, Domain::Cookie, addr, Id::ZERO, Id::ZERO)
    }

    /// Whether `bytes` are a cookie that was given to `addr` and is still good.
    #[must_use]
    pub fn check_cookie(&self, now: Instant, bytes: &[u8], addr: SocketAddr) -> bool {
        self.knows(now, bytes, Domain::Cookie, addr, Id::ZERO, Id::ZERO)
    }

    fn make(&mut self, now: Instant, domain: Domain, addr: SocketAddr, id: Id, key: Id) -> Mac {
        let step = now.as_micros() / self.step;
        let secret = self.secret(step / self.period);
        // The low byte of the step: `knows` finds the rest from the time.
        mac(&secret, step as u8, domain, addr, id, key)
    }

    /// The secret of `period`, drawn when first needed: a jump in time draws one, not thousands.
    fn secret(&mut self, period: u64) -> [u8; 16] {
        let Some(slot) = self.secrets.get_mut((period % SECRETS) as usize) else {
            return [0; 16];
        };
        match slot {
            Some(secret) if secret.period == period => secret.key,
            _ => slot.insert(Secret { period, key: self.rng.draw(Rng::bytes) }).key,
        }
    }

    fn knows(
        &self,
        now: Instant,
        shown: &[u8],
        domain: Domain,
        addr: SocketAddr,
        id: Id,
        key: Id,
    ) -> bool {
        let Ok(shown) = <&Mac>::try_from(shown) else { return false };
        let [stamp, ..] = *shown;
        let step = now.as_micros() / self.step;
        let age = u64::from((step as u8).wrapping_sub(stamp));
        let Some(made) = step.checked_sub(age).filter(|_| age <= STEPS) else { return false };
        let period = made / self.period;
        let secret = self.secrets.get((period % SECRETS) as usize).copied().flatten();
        let Some(secret) = secret.filter(|secret| secret.period == period) else { return false };
        let right = mac(&secret.key, stamp, domain, addr, id, key);
        // No early exit: the time taken must not say how many bytes were guessed right.
        let differing = right.iter().zip(shown).fold(0, |bits, (a, b)| bits | (a ^ b));
        core::hint::black_box(differing) == 0
    }
}

/// Secrets stay out of logs.
impl fmt::Debug for Tokens {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Tokens(..)")
    }
}

/// A write token of ours. Those of others are whatever bytes they chose.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct Token(Mac);

impl Token {
    /// Length in bytes: one says when, seven are the function's. Whoever guesses is right once in
    /// 2^56 datagrams.
    pub const LEN: usize = 8;

    /// The bytes, as they travel.
    #[must_use]
    pub const fn as_bytes(&self) -> &[u8; Self::LEN] {
        &self.0
    }
}

type Mac = [u8; Token::LEN];

fn mac(secret: &[u8; 16], stamp: u8, domain: Domain, addr: SocketAddr, id: Id, key: Id) -> Mac {
    let ip = match addr.ip() {
        // A mapped address is none (`Scope::of`), so no IPv6 sender has the octets of an IPv4 one.
        IpAddr::V4(ip) => ip.to_ipv6_mapped(),
        IpAddr::V6(ip) => ip,
    };
    let mut hasher = SipHasher24::new_with_key(secret);
    hasher.write(&[domain as u8, stamp]);
    hasher.write(&ip.octets());
    hasher.write(&addr.port().to_be_bytes());
    hasher.write(id.as_bytes());
    hasher.write(key.as_bytes());
    let mut mac = hasher.finish().to_le_bytes();
    if let Some(first) = mac.first_mut() {
        *first = stamp;
    }
    mac
}

#[cfg(test)]
mod tests {
    use core::time::Duration;

    use proptest::prelude::*;

    use super::*;

    const MINUTE: Duration = Duration::from_secs(60);

    fn tokens() -> Tokens {
        Tokens::new(&TokenConfig::default(), [3; 32])
    }

    fn addr(host: u8, port: u16) -> SocketAddr {
        SocketAddr::from(([203, 0, 114, host], port))
    }

    proptest! {
        /// Rule: "secret rotates every 5 minutes; a token is good for 10".
        #[test]
        fn a_token_is_good_for_ten_minutes(
            at in 0_u64..1 << 50,
            after in prop_oneof![0_u64..2_000_000_000, 590_000_000_u64..630_000_000],
        ) {
            let (mut tokens, id) = (tokens(), Id::new([1; 20]));
            let made = Instant::from_micros(at);
            let token = tokens.issue(made, addr(1, 1), id, id);
            let shown = made + Duration::from_micros(after);
            // Others ask meanwhile, so the secrets rotate.
            for minutes in 0..after / 60_000_000 {
                let _ = tokens.issue(made + MINUTE * minutes as u32, addr(2, 2), id, id);
            }
            let good = tokens.check(shown, token.as_bytes(), addr(1, 1), id, id);
            if after <= 600_000_000 {
                prop_assert!(good);
            }
            if after > 610_000_000 {
                prop_assert!(!good);
            }
        }

        /// Mistakes 21 and 22: guessable numbers; writing to who gave no token. A token is good for
        /// one address, port, id and key, and every bit of it counts.
        #[test]
        fn a_token_is_good_for_nothing_else(bit in 0_usize..64, other in 2_u8..) {
            let (mut tokens, now) = (tokens(), Instant::from_secs(1_000));
            let (id, key) = (Id::new([1; 20]), Id::new([2; 20]));
            let token = tokens.issue(now, addr(1, 1), id, key);
            let with = |bytes: &[u8], addr, id, key| tokens.check(now, bytes, addr, id, key);
            let bytes = *token.as_bytes();
            prop_assert!(with(&bytes, addr(1, 1), id, key));
            prop_assert!(!with(&bytes, addr(other, 1), id, key));
            prop_assert!(!with(&bytes, addr(1, other.into()), id, key));
            prop_assert!(!with(&bytes, addr(1, 1), Id::new([other; 20]), key));
            prop_assert!(!with(&bytes, addr(1, 1), id, Id::new([other + (other == 2) as u8; 20])));
            let mut wrong = bytes;
            wrong[bit / 8] ^= 1 << (bit % 8);
            prop_assert!(!with(&wrong, addr(1, 1), id, key));
            prop_assert!(!with(&bytes[..7], addr(1, 1), id, key));
            prop_assert!(!with(&[], addr(1, 1), id, key));
        }
    }

    #[test]
    fn a_cookie_is_no_token() {
        let mut tokens = tokens();
        let now = Instant::from_secs(9);
        let cookie = tokens.cookie(now, addr(1, 1));
        assert!(tokens.check_cookie(now + MINUTE * 9, &cookie, addr(1, 1)));
        assert!(!tokens.check_cookie(now, &cookie, addr(1, 2)));
        assert!(!tokens.check(now, &cookie, addr(1, 1), Id::ZERO, Id::ZERO));
    }

    #[test]
    fn secrets_rotate_and_a_jump_in_time_is_one_rotation() {
        let mut tokens = tokens();
        let id = Id::new([1; 20]);
        let mut issue = |secs| {
            let now = Instant::from_secs(secs);
            let token = tokens.issue(now, addr(1, 1), id, id);
            assert!(tokens.check(now, token.as_bytes(), addr(1, 1), id, id));
            token
        };
        // The stamps repeat every 40 minutes; only the secret tells these apart.
        let (first, same_stamp) = (issue(0), issue(2_400));
        assert_eq!(first.as_bytes()[0], same_stamp.as_bytes()[0]);
        assert_ne!(first, same_stamp);
        let late = issue(u64::MAX / 1_000_000);
        assert!(!tokens.check(Instant::from_secs(0), late.as_bytes(), addr(1, 1), id, id));
    }

    #[test]
    fn odd_settings_do_no_harm() {
        for (rotation, lifetime) in [(0, 0), (1, 600), (600, 1), (u64::MAX, u64::MAX)] {
            let config = TokenConfig {
                rotation: Duration::from_secs(rotation),
                lifetime: Duration::from_secs(lifetime),
                ..TokenConfig::default()
            };
            let mut tokens = Tokens::new(&config, [0; 32]);
            let now = Instant::from_secs(77);
            let token = tokens.issue(now, addr(1, 1), Id::ZERO, Id::ZERO);
            assert!(tokens.check(now, token.as_bytes(), addr(1, 1), Id::ZERO, Id::ZERO));
        }
    }
}
