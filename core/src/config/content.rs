//! The numbers of fetching a file.

use core::time::Duration;

/// Fetching a file from several providers.
///
/// ```
/// let mut config = kadlet_core::config::FetchConfig::default();
/// config.in_flight = 16; // a page holds whole pieces in memory
/// ```
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct FetchConfig {
    /// Largest file taken, in bytes. 1 TiB: its hash list is 32 MiB, which a host holds in memory.
    pub max_size: u64,
    /// Providers asked or about to be asked; others wait for a place. 64: more never made a fetch
    /// faster, and every choice looks at each of them.
    pub providers: usize,
    /// Distinct addresses one fetch knows: asked, waiting and dropped. 1024: a liar stays known for
    /// good, so the number of liars has to end somewhere. Who only failed makes room.
    pub known: usize,
    /// Requests in flight to one provider, once it has shown that it delivers; 1 before. 4 hide a
    /// round trip of 300 ms at 10 MB/s.
    pub in_flight_per_provider: u32,
    /// Requests in flight altogether. 32: a host that buffers whole pieces holds 32 MiB.
    pub in_flight: usize,
    /// How much work a provider is given ahead, as time at its measured rate. 1 s outlasts a round
    /// trip, and is little to give to others should it vanish.
    pub pipeline: Duration,
    /// How long bytes are counted before they make a new measurement of a provider's rate.
    pub sample: Duration,
    /// Rate taken for granted before the first measurement, in bytes a second: an ordinary line.
    pub assumed_rate: u64,
    /// A request that made no progress for this long is given up. 8 s: longer than lost packets
    /// take to be sent again, shorter than a person's patience.
    pub stall_timeout: Duration,
    /// Below this rate, in bytes a second, a request is given up though it still trickles: a
    /// provider could else hold a piece for ever. 4 KiB/s: 256 s for a piece.
    pub min_rate: u64,
    /// After this time without an outcome a second provider is asked for the list, and the last
    /// pieces are asked of a second provider too. 1 s: several round trips.
    pub hedge_after: Duration,
    /// Providers whose hash lists are on trial at once. Each of them may hold a list in memory.
    pub trials: usize,
    /// Requests in flight for one piece. 2: more would only spend the providers' lines.
    pub copies: usize,
    /// Failures in a row after which a provider is dropped.
    pub failures: u32,
    /// Delay after a provider's first failure; doubles with each further one.
    pub backoff: Duration,
    /// Longest such delay.
    pub backoff_max: Duration,
}

impl Default for FetchConfig {
    fn default() -> Self {
        Self {
            max_size: 1 << 40,
            providers: 64,
            known: 1024,
            in_flight_per_provider: 4,
            in_flight: 32,
            pipeline: Duration::from_secs(1),
            sample: Duration::from_millis(250),
            assumed_rate: 1 << 20,
            stall_timeout: Duration::from_secs(8),
            min_rate: 4 << 10,
            hedge_after: Duration::from_secs(1),
            trials: 8,
            copies: 2,
            failures: 4,
            backoff: Duration::from_secs(1),
            backoff_max: Duration::from_secs(30),
        }
    }
}
