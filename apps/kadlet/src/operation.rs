//! One operation as its caller sees it: a stream that ends, and that stops its traffic when dropped.

use core::net::SocketAddr;
use core::pin::Pin;
use core::task::{Context, Poll, ready};
use core::time::Duration;

use futures_core::Stream;
use kadlet_core::content::ContentId;
use kadlet_core::record::Transports;
use kadlet_core::{Contact, Event, Id, OperationId, Outcome, Totals};
use tokio::sync::mpsc;

use crate::driver::{Command, Ticket};
use crate::error::Error;

/// How an operation ended, and what it cost.
#[derive(Clone, PartialEq, Debug)]
pub struct Summary {
    /// Names the operation to [`Dht::withdraw`](crate::Dht::withdraw), where something was
    /// published that is renewed.
    pub operation: OperationId,
    /// How it ended.
    pub outcome: Outcome,
    /// The contacts closest to the target that answered, nearest first.
    pub closest: Vec<Contact>,
    /// What it cost.
    pub totals: Totals,
}

/// The events of one operation, in order; the last one is [`Event::Done`].
///
/// A stream, with an inherent [`next`](Self::next) for those who want no stream library. Dropping
/// it cancels the operation.
#[derive(Debug)]
#[must_use = "dropping an operation cancels it"]
pub struct Operation {
    events: mpsc::Receiver<Result<Event, Error>>,
    ticket: Ticket,
    commands: mpsc::UnboundedSender<Command>,
    ended: bool,
}

impl Operation {
    pub(crate) const fn new(
        events: mpsc::Receiver<Result<Event, Error>>,
        ticket: Ticket,
        commands: mpsc::UnboundedSender<Command>,
    ) -> Self {
        Self { events, ticket, commands, ended: false }
    }

    /// The next event; none after the last.
    ///
    /// # Errors
    /// The operation could not begin, or the node was shut down under it: nothing follows.
    pub async fn next(&mut self) -> Option<Result<Event, Error>> {
        core::future::poll_fn(|cx| self.poll_event(cx)).await
    }

    fn poll_event(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Event, Error>>> {
        if self.ended {
            return Poll::Ready(None);
        }
        let event = ready!(self.events.poll_recv(cx)).unwrap_or(Err(Error::Closed));
        self.ended = matches!(event, Ok(Event::Done { .. }) | Err(_));
        Poll::Ready(Some(event))
    }

    /// Waits for the end. Whatever else comes is passed to `each`.
    pub(crate) async fn finish(mut self, mut each: impl FnMut(Event)) -> Result<Summary, Error> {
        while let Some(event) = self.next().await {
            match event? {
                Event::Done { operation, outcome, closest, totals } => {
                    return Ok(Summary { operation, outcome, closest, totals });
                }
                other => each(other),
            }
        }
        Err(Error::Closed)
    }
}

impl Stream for Operation {
    type Item = Result<Event, Error>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        self.poll_event(cx)
    }
}

impl Drop for Operation {
    fn drop(&mut self) {
        if !self.ended {
            // A driver that is gone has stopped everything already.
            let _ = self.commands.send(Command::Leave(self.ticket));
        }
    }
}

/// Somebody who has a content.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Provider {
    /// Where to fetch from.
    pub address: SocketAddr,
    /// How.
    pub transports: Transports,
    /// Who said so.
    pub holder: Id,
}

/// A file whose name carries all the words.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Hit {
    /// Its name.
    pub name: String,
    /// Its size in bytes, as its publisher says.
    pub size: u64,
    /// What it is called in the network.
    pub content: ContentId,
    /// Who said so.
    pub holder: Id,
}

/// Some of the info-hashes that a node knows.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Sample {
    /// Whose.
    pub holder: SocketAddr,
    /// The info-hashes, drawn at random.
    pub keys: Vec<Id>,
    /// How many it knows in all.
    pub total: u64,
    /// Until it draws others.
    pub interval: Duration,
}

/// A sample in an event, if it carries one.
pub(crate) fn sample(event: Event) -> Option<Sample> {
    match event {
        Event::Sample { peer, keys, total, interval, .. } => {
            Some(Sample { holder: peer.path.remote, keys, total, interval })
        }
        _ => None,
    }
}

/// A provider in an event, if it carries one.
pub(crate) fn provider(event: Event) -> Option<Provider> {
    match event {
        Event::Provider { address, transports, holder, .. } => {
            Some(Provider { address, transports, holder })
        }
        _ => None,
    }
}

/// A hit in an event, if it carries one.
pub(crate) fn hit(event: Event) -> Option<Hit> {
    match event {
        Event::Hit { entry, holder, .. } => Some(Hit {
            name: entry.name().to_owned(),
            size: entry.size(),
            content: ContentId::new(*entry.content()),
            holder,
        }),
        _ => None,
    }
}

/// Results as they arrive, each once. Dropping the stream cancels the operation.
#[derive(Debug)]
#[must_use = "dropping a stream of results cancels its operation"]
pub struct Results<T> {
    operation: Operation,
    summary: Option<Summary>,
    /// The result in an event, if it carries one.
    found: fn(Event) -> Option<T>,
}

impl<T> Results<T> {
    pub(crate) const fn new(operation: Operation, found: fn(Event) -> Option<T>) -> Self {
        Self { operation, summary: None, found }
    }

    /// The next result; none when there are no more: then [`summary`](Self::summary) says how it
    /// ended.
    ///
    /// # Errors
    /// There was nobody to ask, nobody answered, or the time was up: nothing follows. That nobody
    /// has anything is no error, but an end without results.
    pub async fn next(&mut self) -> Option<Result<T, Error>> {
        core::future::poll_fn(|cx| self.poll_found(cx)).await
    }

    /// How the operation ended; none before the end.
    #[must_use]
    pub const fn summary(&self) -> Option<&Summary> {
        self.summary.as_ref()
    }

    fn poll_found(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<T, Error>>> {
        loop {
            match ready!(self.operation.poll_event(cx)) {
                None => return Poll::Ready(None),
                Some(Err(error)) => return Poll::Ready(Some(Err(error))),
                Some(Ok(Event::Done { operation, outcome, closest, totals })) => {
                    self.summary = Some(Summary { operation, outcome, closest, totals });
                    return Poll::Ready(Error::of(outcome).map(Err));
                }
                Some(Ok(event)) => {
                    if let Some(found) = (self.found)(event) {
                        return Poll::Ready(Some(Ok(found)));
                    }
                }
            }
        }
    }
}

impl<T> Stream for Results<T> {
    type Item = Result<T, Error>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        self.poll_found(cx)
    }
}
