//! What handles ask of the driver.

use kadlet_core::{Event, Instant, Node, OperationId};
use tokio::sync::{mpsc, oneshot};

use crate::data::Write;
use crate::error::{DataError, Error};

/// Names an operation from before the node has given it an id, so that it can be left at any time.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub(crate) struct Ticket(pub(crate) u64);

/// Starts an operation on the node.
pub(crate) type Start = Box<dyn FnOnce(&mut Node, Instant) -> Result<OperationId, Error> + Send>;

/// Looks at the node.
pub(crate) type Look = Box<dyn FnOnce(&Node, Instant) + Send>;

/// One wish of a handle.
pub(crate) enum Command {
    /// Start an operation; its events go into the channel.
    Start {
        ticket: Ticket,
        start: Start,
        events: mpsc::Sender<Result<Event, Error>>,
        /// Whether each step is wanted, or results only.
        trace: bool,
    },
    /// Whoever started this is not interested any more.
    Leave(Ticket),
    /// End the renewal of something published by an operation that is done.
    Withdraw(OperationId),
    /// Look at the node.
    Inspect(Look),
    /// Keep something of the host's own in the store.
    Write(Write, oneshot::Sender<Result<(), DataError>>),
    /// Ask the local network who is there.
    AskLan,
    /// Something about data channels.
    #[cfg(feature = "webrtc")]
    Channels(crate::webrtc::Wish),
    /// Stop, and say so when everything is written.
    Shutdown(oneshot::Sender<()>),
}
