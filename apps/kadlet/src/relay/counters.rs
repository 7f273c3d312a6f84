//! What the relay did since it started, in numbers: for whoever runs it, and nobody else.

use core::sync::atomic::{AtomicU64, Ordering};

use serde_json::{Map, Value};

/// An enum of reasons with their words, and a counter for each.
macro_rules! reasons {
    ($($variant:ident => $word:literal, $field:ident, $doc:literal;)*) => {
        /// Why a datagram was not passed on.
        #[derive(Clone, Copy, PartialEq, Eq, Debug)]
        pub(super) enum Reason { $($variant,)* }

        impl Reason {
            pub(super) const ALL: &[Self] = &[$(Self::$variant,)*];

            /// Whether it was too much at once.
            pub(super) const fn is_rate(self) -> bool {
                matches!(self, Self::Rate | Self::Bytes)
            }

            /// The word for programs.
            pub(super) const fn name(self) -> &'static str {
                match self { $(Self::$variant => $word,)* }
            }
        }

        /// Datagrams that were not passed on, by reason.
        #[derive(Clone, Default, Debug)]
        #[non_exhaustive]
        pub struct Drops { $(#[doc = $doc] pub $field: u64,)* }

        impl Drops {
            fn of(all: &[AtomicU64; Reason::ALL.len()]) -> Self {
                let read = |reason: Reason| all[reason as usize].load(Ordering::Relaxed);
                Self { $($field: read(Reason::$variant),)* }
            }

            fn to_json(&self) -> Value {
                Value::Object(Map::from_iter([$(($word.to_owned(), self.$field.into()),)*]))
            }
        }
    };
}

reasons! {
    DestinationPrivate => "destination_private", destination_private,
        "To an address that is not public, or no address.";
    DestinationPort => "destination_port", destination_port, "To a port of something else.";
    DestinationFamily => "destination_family", destination_family,
        "To IPv4 or IPv6 where the relay has only the other.";
    Rate => "rate", rate, "Too many at once, either way.";
    Bytes => "bytes", bytes, "Too many bytes at once, either way.";
    Destinations => "destinations", destinations, "To too many addresses.";
    Unanswered => "unanswered", unanswered, "To an address that does not answer.";
    Malformed => "malformed", malformed, "Not of the network's shape, or no frame.";
    TooLong => "too_long", too_long, "Longer than the network's datagrams.";
}

/// The counters, and how to read them all.
macro_rules! counters {
    ($($field:ident: $doc:literal,)*) => {
        /// What the relay counts while it runs.
        #[derive(Default, Debug)]
        pub(super) struct Tally {
            $(pub(super) $field: AtomicU64,)*
            pub(super) dropped: [AtomicU64; Reason::ALL.len()],
        }

        /// What a relay has done since it started.
        #[derive(Clone, Default, Debug)]
        #[non_exhaustive]
        pub struct Counters {
            $(#[doc = $doc] pub $field: u64,)*
            /// Datagrams that were not passed on.
            pub dropped: Drops,
        }

        impl Tally {
            pub(super) fn read(&self) -> Counters {
                Counters {
                    $($field: self.$field.load(Ordering::Relaxed),)*
                    dropped: Drops::of(&self.dropped),
                }
            }
        }

        impl Counters {
            /// The same for programs.
            #[must_use]
            pub fn to_json(&self) -> Value {
                let mut all = Map::from_iter([$((stringify!($field).to_owned(), self.$field.into()),)*]);
                all.insert("dropped".to_owned(), self.dropped.to_json());
                Value::Object(all)
            }
        }
    };
}

counters! {
    clients: "Clients connected now.",
    sessions: "Sessions now, those included whose client may come back.",
    opened: "Sessions opened.",
    resumed: "Sessions taken up again.",
    refused: "Connections refused: token, origin, request, too many.",
    closed_idle: "Clients sent away because they sent nothing.",
    datagrams_out: "Datagrams from clients to the network.",
    bytes_out: "Their bytes.",
    datagrams_in: "Datagrams from the network to clients.",
    bytes_in: "Their bytes.",
    stun: "STUN requests answered.",
    stun_dropped: "STUN requests over the rate, and what was none.",
    requests: "HTTP requests.",
    fetches: "Fetches passed on to a provider.",
    fetched_bytes: "Bytes of their answers.",
}

impl Tally {
    /// Counts a datagram that is not passed on.
    pub(super) fn refuse(&self, reason: Reason) {
        add(&self.dropped[reason as usize], 1);
    }
}

/// Adds to a counter.
pub(super) fn add(counter: &AtomicU64, amount: usize) {
    counter.fetch_add(amount as u64, Ordering::Relaxed);
}
