//! The names of tags: the one word by which every language and every log calls a variant.
//!
//! The bindings hand variants over as these strings, and golden traces are written with them, so a
//! name that was published is not changed. The matches are exhaustive: a new variant does not
//! compile before it has a name here.

use crate::contact::Family;
use crate::event::{Event, Outcome, PeerFailure, Rejected};
use crate::wire::{ErrorCode, Malformed};

impl Event {
    /// Which event it is, such as `address_seen`.
    #[must_use]
    pub const fn name(&self) -> &'static str {
        match self {
            Self::Started { .. } => "started",
            Self::Asked { .. } => "asked",
            Self::Answered { .. } => "answered",
            Self::Failed { .. } => "failed",
            Self::Provider { .. } => "provider",
            Self::Value { .. } => "value",
            Self::Hit { .. } => "hit",
            Self::Stored { .. } => "stored",
            Self::Done { .. } => "done",
            Self::Renewed { .. } => "renewed",
            Self::Swarm { .. } => "swarm",
            Self::Sample { .. } => "sample",
            Self::Signal { .. } => "signal",
            Self::AddressSeen { .. } => "address_seen",
            Self::Reachable { .. } => "reachable",
            Self::Offline { .. } => "offline",
        }
    }
}

impl PeerFailure {
    /// Why there is no usable answer, such as `path_failed`.
    #[must_use]
    pub const fn name(&self) -> &'static str {
        match self {
            Self::Timeout => "timeout",
            Self::PathFailed => "path_failed",
            Self::Refused { .. } => "refused",
            Self::WrongId => "wrong_id",
            Self::Invalid => "invalid",
            Self::Ourselves => "ourselves",
            Self::NoToken => "no_token",
            Self::OtherNetwork => "other_network",
        }
    }
}

impl Outcome {
    /// How an operation ended, such as `no_answer`.
    #[must_use]
    pub const fn name(&self) -> &'static str {
        match self {
            Self::Success => "success",
            Self::Absent => "absent",
            Self::NoPeers => "no_peers",
            Self::NoAnswer => "no_answer",
            Self::Refused { .. } => "refused",
            Self::Cancelled => "cancelled",
            Self::DeadlineExceeded => "deadline_exceeded",
            Self::Overloaded => "overloaded",
        }
    }
}

impl Rejected {
    /// Why a datagram was dropped, such as `bad_source` or `malformed_truncated`.
    #[must_use]
    pub const fn name(&self) -> &'static str {
        match self {
            Self::Malformed(Malformed::NotOurs) => "malformed_not_ours",
            Self::Malformed(Malformed::OtherVersion) => "malformed_other_version",
            Self::Malformed(Malformed::OtherNetwork) => "malformed_other_network",
            Self::Malformed(Malformed::TooLong) => "malformed_too_long",
            Self::Malformed(Malformed::Truncated) => "malformed_truncated",
            Self::Malformed(Malformed::Trailing) => "malformed_trailing",
            Self::Malformed(Malformed::BadNumber) => "malformed_bad_number",
            Self::Malformed(Malformed::Missing) => "malformed_missing",
            Self::Malformed(Malformed::BadField) => "malformed_bad_field",
            Self::Malformed(Malformed::Duplicate) => "malformed_duplicate",
            Self::Malformed(Malformed::TooDeep) => "malformed_too_deep",
            Self::Malformed(Malformed::Critical) => "malformed_critical",
            Self::BadSource => "bad_source",
            Self::OwnId => "own_id",
            Self::Unsolicited => "unsolicited",
            Self::WrongAddress => "wrong_address",
            Self::WrongId => "wrong_id",
            Self::RateLimited => "rate_limited",
            Self::Closed => "closed",
        }
    }
}

impl ErrorCode {
    /// The reason of a refusal, such as `cas_mismatch`; `other` for numbers of later versions.
    #[must_use]
    pub const fn name(&self) -> &'static str {
        match self {
            Self::Generic => "generic",
            Self::Server => "server",
            Self::Protocol => "protocol",
            Self::UnknownMethod => "unknown_method",
            Self::ValueTooLarge => "value_too_large",
            Self::BadSignature => "bad_signature",
            Self::SaltTooLarge => "salt_too_large",
            Self::CasMismatch => "cas_mismatch",
            Self::StaleSequence => "stale_sequence",
            Self::BadToken => "bad_token",
            Self::NoRoom => "no_room",
            Self::Other(_) => "other",
        }
    }
}

impl Family {
    /// `ipv4` or `ipv6`.
    #[must_use]
    pub const fn name(&self) -> &'static str {
        match self {
            Self::V4 => "ipv4",
            Self::V6 => "ipv6",
        }
    }
}
