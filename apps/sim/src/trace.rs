//! One number over all that happened: two runs with the same number were the same run.

use core::fmt::Write;
use core::hash::Hasher;

use kadlet_core::{Event, Instant, Path};
use siphasher::sip::SipHasher13;

use crate::host::NodeIndex;

/// The sum of a SipHash of everything that happened. What one node does is numbered, so its order
/// counts; how the doings of different nodes at the same time lie between each other does not, and
/// so it does not matter how many threads ran them. SipHash reads its input byte by byte as
/// little-endian, so the machine does not matter either.
#[derive(Clone, Debug, Default)]
pub(crate) struct Trace(u64);

impl Trace {
    pub(crate) const fn hash(&self) -> u64 {
        self.0
    }

    pub(crate) const fn add(&mut self, other: &Self) {
        self.0 = self.0.wrapping_add(other.0);
    }

    /// A datagram left a node as its `number`-th.
    pub(crate) fn datagram(
        &mut self,
        now: Instant,
        (from, number): (NodeIndex, u64),
        path: &Path,
        payload: &[u8],
    ) {
        let mut hasher = head(b'd', now, from, number);
        text(&mut hasher, format_args!("{} {}", path.link.0, path.remote));
        hasher.write(&(payload.len() as u64).to_le_bytes());
        hasher.write(payload);
        self.0 = self.0.wrapping_add(hasher.finish());
    }

    /// A node said something to its host, its `number`-th saying.
    pub(crate) fn event(&mut self, now: Instant, (node, number): (NodeIndex, u64), event: &Event) {
        let mut hasher = head(b'e', now, node, number);
        text(&mut hasher, format_args!("{event:?}"));
        self.0 = self.0.wrapping_add(hasher.finish());
    }
}

fn head(kind: u8, now: Instant, node: NodeIndex, number: u64) -> SipHasher13 {
    let mut hasher = SipHasher13::default();
    hasher.write(&[kind]);
    hasher.write(&now.as_micros().to_le_bytes());
    hasher.write(&node.0.to_le_bytes());
    hasher.write(&number.to_le_bytes());
    hasher
}

fn text(hasher: &mut SipHasher13, text: core::fmt::Arguments<'_>) {
    struct Sink<'a>(&'a mut SipHasher13);
    impl Write for Sink<'_> {
        fn write_str(&mut self, s: &str) -> core::fmt::Result {
            self.0.write(s.as_bytes());
            Ok(())
        }
    }
    // The sink takes everything.
    let _ = Sink(hasher).write_fmt(text);
}
