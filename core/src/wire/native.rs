//! The native wire (docs/protocol.md).
use super::{Malformed, Message};
use alloc::vec::Vec;

/// The native wire of one network.
#[derive(Clone, PartialEq, Debug)]
pub struct Native {
    network: [u8; 8],
}

impl Native {
    /// Reads one datagram.
    ///
    /// # Errors
    /// Says why it is none.
    pub fn decode<'a>(&self, _datagram: &'a [u8]) -> Result<Message<'a>, Malformed> {
        Err(Malformed::NotOurs)
    }

    /// Appends one datagram to `out`.
    pub fn encode(&self, _message: &Message<'_>, _grease: Option<u32>, _out: &mut Vec<u8>) {}
}
