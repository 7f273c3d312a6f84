//! Bytes as a sequence of small decisions.

/// What is left of an input. Beyond its end everything is zero, so that every input means
/// something and a longer one means more.
pub(crate) struct Input<'a> {
    rest: &'a [u8],
}

impl<'a> Input<'a> {
    pub(crate) const fn new(data: &'a [u8]) -> Self {
        Self { rest: data }
    }

    pub(crate) const fn is_empty(&self) -> bool {
        self.rest.is_empty()
    }

    pub(crate) const fn byte(&mut self) -> u8 {
        match self.rest.split_first() {
            Some((byte, rest)) => {
                self.rest = rest;
                *byte
            }
            None => 0,
        }
    }

    pub(crate) const fn bit(&mut self) -> bool {
        self.byte() & 1 == 1
    }

    /// A number below `end`, which is at least 1 and at most 256.
    pub(crate) fn below(&mut self, end: usize) -> usize {
        usize::from(self.byte()) % end
    }

    pub(crate) fn number(&mut self) -> u64 {
        // Small ones, and those next to where something could overflow.
        let byte = self.byte();
        match byte {
            0..=200 => u64::from(byte),
            201..=230 => 1 << (2 * (byte - 200)),
            _ => u64::MAX >> (2 * (byte - 231)),
        }
    }

    /// At most `len` bytes, as many as there are.
    pub(crate) fn bytes(&mut self, len: usize) -> &'a [u8] {
        let (bytes, rest) = self.rest.split_at(len.min(self.rest.len()));
        self.rest = rest;
        bytes
    }
}
