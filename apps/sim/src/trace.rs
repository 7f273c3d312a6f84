//! One number over all that happened: two runs with the same number were the same run.

use core::fmt::Write;
use core::hash::Hasher;

use kadlet_core::{Event, Instant, Path};
use siphasher::sip::SipHasher13;

use crate::host::NodeIndex;

/// SipHash over datagrams and events in order. It reads its input byte by byte as little-endian, so
/// the machine does not matter, and is an order of magnitude cheaper than handling a datagram.
#[derive(Clone, Debug, Default)]
pub(crate) struct Trace(SipHasher13);

impl Trace {
    pub(crate) fn hash(&self) -> u64 {
        self.0.finish()
    }

    /// A datagram left a node.
    pub(crate) fn datagram(&mut self, now: Instant, from: NodeIndex, path: &Path, payload: &[u8]) {
        self.head(b'd', now, from);
        self.text(format_args!("{} {}", path.link.0, path.remote));
        self.0.write(&(payload.len() as u64).to_le_bytes());
        self.0.write(payload);
    }

    /// A node said something to its host.
    pub(crate) fn event(&mut self, now: Instant, node: NodeIndex, event: &Event) {
        self.head(b'e', now, node);
        self.text(format_args!("{event:?}"));
    }

    fn head(&mut self, kind: u8, now: Instant, node: NodeIndex) {
        self.0.write(&[kind]);
        self.0.write(&now.as_micros().to_le_bytes());
        self.0.write(&node.0.to_le_bytes());
    }

    fn text(&mut self, text: core::fmt::Arguments<'_>) {
        struct Sink<'a>(&'a mut SipHasher13);
        impl Write for Sink<'_> {
            fn write_str(&mut self, s: &str) -> core::fmt::Result {
                self.0.write(s.as_bytes());
                Ok(())
            }
        }
        // The sink takes everything.
        let _ = Sink(&mut self.0).write_fmt(text);
    }
}
