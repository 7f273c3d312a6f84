//! Lines that carry so many bytes a second: what is too much waits, and what is too much for the
//! queue is dropped.
//!
//! Each machine has a line up and a line down. A line is busy until some moment; a datagram goes
//! behind what is there already. That a queue is bounded in time and not in bytes is how buffers of
//! access lines are described where they were measured (Dischinger et al. 2007: hundreds of
//! milliseconds upwards).

use core::time::Duration;

use kadlet_core::Instant;

/// What a machine's line carries.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Bandwidth {
    /// Bytes a second from the machine into the network; at least 1.
    pub up: u32,
    /// Bytes a second from the network into the machine; at least 1.
    pub down: u32,
    /// A datagram that would wait longer than this is dropped.
    pub queue: Duration,
    /// Bytes on the line beside each datagram's own: 28 are IPv4's and UDP's.
    pub header: u32,
}

impl Bandwidth {
    /// A slow household's line: 1 Mbit/s up, 10 Mbit/s down, half a second of queue.
    pub const HOUSEHOLD: Self =
        Self { up: 125_000, down: 1_250_000, queue: Duration::from_millis(500), header: 28 };

    /// When a datagram of so many bytes is through a line with this rate, or none if the queue is
    /// full.
    fn pass(&self, line: &mut Line, rate: u32, now: Instant, bytes: usize) -> Option<Instant> {
        let start = line.free.max(now);
        if start.since(now) > self.queue {
            return None;
        }
        let bytes = bytes as u64 + u64::from(self.header);
        // Rounded up: a line is never faster than it is.
        let micros = (bytes * 1_000_000).div_ceil(u64::from(rate.max(1)));
        line.free = start + Duration::from_micros(micros);
        Some(line.free)
    }
}

/// One direction of a machine's line.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
struct Line {
    /// Until when it is busy.
    free: Instant,
}

/// A machine's line, both directions.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Lines {
    up: Line,
    down: Line,
}

impl Lines {
    /// Free in both directions.
    pub(crate) const NEW: Self =
        Self { up: Line { free: Instant::EPOCH }, down: Line { free: Instant::EPOCH } };

    /// When a datagram that leaves now is on its way; none if it is dropped.
    pub(crate) fn leave(&mut self, of: &Bandwidth, now: Instant, bytes: usize) -> Option<Instant> {
        of.pass(&mut self.up, of.up, now, bytes)
    }

    /// When a datagram that comes now is in the machine; none if it is dropped.
    pub(crate) fn enter(&mut self, of: &Bandwidth, now: Instant, bytes: usize) -> Option<Instant> {
        of.pass(&mut self.down, of.down, now, bytes)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SLOW: Bandwidth =
        Bandwidth { up: 10_000, down: 100_000, queue: Duration::from_millis(500), header: 28 };

    /// 972 bytes and a header of 28 take 100 ms at 10,000 bytes a second.
    #[test]
    fn what_follows_waits_for_what_went_before() {
        let (mut lines, now) = (Lines::NEW, Instant::from_secs(9));
        let times = [100, 200, 300].map(|ms| Some(now + Duration::from_millis(ms)));
        assert_eq!([0; 3].map(|_| lines.leave(&SLOW, now, 972)), times);
        // The other direction is a line of its own.
        assert_eq!(lines.enter(&SLOW, now, 972), Some(now + Duration::from_millis(10)));
        // After a rest nothing waits.
        let later = now + Duration::from_secs(1);
        assert_eq!(lines.leave(&SLOW, later, 972), Some(later + Duration::from_millis(100)));
    }

    /// Whatever is offered, no more passes than the line carries, and nothing waits longer than the
    /// queue allows.
    #[test]
    fn a_full_queue_drops_and_the_rate_holds() {
        let mut lines = Lines::NEW;
        let (mut passed, mut dropped) = (0_u64, 0_u64);
        for ms in 0..10_000 {
            let now = Instant::EPOCH + Duration::from_millis(ms);
            match lines.leave(&SLOW, now, 72) {
                Some(at) => {
                    assert!(at.since(now) <= SLOW.queue + Duration::from_millis(10));
                    passed += 1;
                }
                None => dropped += 1,
            }
        }
        // 1,000 datagrams of 100 bytes fit into 10 s, and 50 wait in the queue at the end.
        assert!((1_045..=1_055).contains(&passed), "{passed}");
        assert_eq!(passed + dropped, 10_000);
    }
}
