//! A handle to a running node.

use alloc::sync::Arc;
use core::net::SocketAddr;
use core::sync::atomic::{AtomicU64, Ordering};

use kadlet_core::content::ContentId;
use kadlet_core::record::{Form, Item, SearchEntry, SearchQuery, SignedValue, Value};
use kadlet_core::wire::bencode;
use kadlet_core::{
    Announcement, Contact, Event, GetQuery, Health, Id, Instant, LinkId, Node, OperationId,
    Outcome, PutOptions, Stats,
};
use tokio::sync::{broadcast, mpsc, oneshot, watch};

use crate::builder::Builder;
use crate::data::Write;
use crate::driver::{Command, Counters, Start, Ticket};
use crate::error::{DataError, Error};
use crate::operation::{self, Hit, Operation, Provider, Results, Sample, Summary};

#[cfg(feature = "webrtc")]
mod channels;
mod join;

pub use join::Joined;
pub(crate) use join::contacts_of;

/// Events kept for an operation's caller that does not keep up; beyond it steps and results are
/// lost, never the end. A lookup has three steps for each of some tens of peers.
const EVENTS: usize = 4096;

/// A node of a Kademlia network, running on tokio. Clones are handles to the same node; when the
/// last one is dropped the node stops.
///
/// Every operation can be left: dropping its future or stream stops its traffic.
///
/// ```
/// # tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(async {
/// use kadlet::Dht;
///
/// let loopback = "127.0.0.1:0".parse()?;
/// let first = Dht::builder().listen(loopback).start().await?;
/// let second = Dht::builder().listen(loopback).start().await?;
/// second.bootstrap(&[first.local_addr().into()]).await?;
///
/// let stored = second.put(b"hello").await?;
/// let value = first.get(stored.key).await?.expect("it was just stored");
/// assert_eq!(value.as_bytes(), b"hello");
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// # }).unwrap();
/// ```
#[derive(Clone, Debug)]
pub struct Dht {
    shared: Arc<Shared>,
    commands: mpsc::UnboundedSender<Command>,
    notices: broadcast::Sender<Event>,
    lan_found: watch::Receiver<usize>,
    tickets: Arc<AtomicU64>,
}

/// What does not change while a node runs.
#[derive(Debug)]
pub(crate) struct Shared {
    pub(crate) id: Id,
    pub(crate) form: Form,
    pub(crate) bound: Vec<SocketAddr>,
    pub(crate) reached: Vec<SocketAddr>,
    pub(crate) links: Vec<(LinkId, SocketAddr)>,
    pub(crate) damage: Vec<String>,
    pub(crate) shares: Vec<(String, Vec<u8>)>,
    pub(crate) has_lan: bool,
    pub(crate) folder: watch::Receiver<Option<String>>,
    pub(crate) counters: Arc<Counters>,
}

/// A record that others keep now.
#[derive(Clone, PartialEq, Debug)]
pub struct Stored {
    /// The key it is found under.
    pub key: Id,
    /// How many nodes acknowledged it.
    pub nodes: u32,
    /// How many were asked to keep it.
    pub attempted: u32,
    /// Names the renewal, if there is one, to [`Dht::withdraw`].
    pub operation: OperationId,
}

/// Something that is published again and again until [`Dht::withdraw`], however the first time went:
/// what nobody took is tried again within minutes, and at once when somebody answers.
/// [`Event::Renewed`] among the [`Dht::notices`] tells when it goes otherwise than before.
#[derive(Clone, PartialEq, Debug)]
pub struct Publication {
    /// Names it.
    pub operation: OperationId,
    /// How the first time went.
    pub first: Result<Stored, Error>,
}

/// What the host counts beside the core's [`Stats`].
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
#[non_exhaustive]
pub struct HostStats {
    /// Errors that a receive gave; they belong to earlier sends.
    pub receive_errors: u64,
    /// Sends that the system refused.
    pub send_errors: u64,
    /// Datagrams that found no room.
    pub sends_lost: u64,
    /// Commits of the state folder that failed; their records were not acknowledged.
    pub write_failures: u64,
    /// Contacts that are safe in the state folder.
    pub contacts_kept: u64,
}

/// Starting and stopping.
impl Dht {
    /// A node to be started.
    pub fn builder() -> Builder {
        Builder::default()
    }

    pub(crate) fn new(
        shared: Shared,
        commands: mpsc::UnboundedSender<Command>,
        notices: broadcast::Sender<Event>,
        lan_found: watch::Receiver<usize>,
    ) -> Self {
        Self { shared: Arc::new(shared), commands, notices, lan_found, tickets: Arc::default() }
    }

    /// Stops the node: operations end, state is written, sockets close. Handles that are left give
    /// [`Error::Closed`].
    pub async fn shutdown(&self) {
        let (done, wait) = oneshot::channel();
        if self.commands.send(Command::Shutdown(done)).is_ok() {
            // An error means that it was stopped by somebody else meanwhile.
            let _ = wait.await;
        }
    }
}

/// Looking and reading.
impl Dht {
    /// One lookup, step by step: whom it asks, what came back, and at the end the closest contacts.
    pub fn lookup(&self, target: Id) -> Operation {
        self.start(true, move |node, now| Ok(node.find_node(now, target)))
    }

    /// The contacts closest to `target`, nearest first.
    ///
    /// # Errors
    /// There was nobody to ask, nobody answered, or the time was up.
    pub async fn find_node(&self, target: Id) -> Result<Vec<Contact>, Error> {
        let operation = self.start(false, move |node, now| Ok(node.find_node(now, target)));
        let summary = operation.finish(drop).await?;
        Error::of(summary.outcome).map_or(Ok(summary.closest), Err)
    }

    /// The value under `key`; none if peers answered and nobody has it. Of a signed value the
    /// newest that the closest holders have.
    ///
    /// # Errors
    /// It could not be found out: nobody to ask, no answer, no time.
    pub async fn get(&self, key: Id) -> Result<Option<Item>, Error> {
        self.read(GetQuery::new(key)).await
    }

    /// The newest value that the owner of `public_key` has stored under `salt`.
    ///
    /// # Errors
    /// As for [`get`](Self::get).
    pub async fn get_signed(
        &self,
        public_key: &[u8; 32],
        salt: &[u8],
    ) -> Result<Option<Item>, Error> {
        let mut query = GetQuery::new(self.form().signed_key(public_key, salt));
        query.salt = salt.to_vec();
        self.read(query).await
    }

    /// The same with everything that can be said about it.
    ///
    /// # Errors
    /// As for [`get`](Self::get).
    pub async fn read(&self, query: GetQuery) -> Result<Option<Item>, Error> {
        let mut best = None;
        let operation = self.start(false, move |node, now| Ok(node.get(now, query)));
        let summary = operation
            .finish(|event| {
                if let Event::Value { item, .. } = event {
                    best = Some(item);
                }
            })
            .await?;
        // What was found before the time was up is found.
        match (best, Error::of(summary.outcome)) {
            (Some(item), _) => Ok(Some(item)),
            (None, Some(error)) => Err(error),
            (None, None) => Ok(None),
        }
    }

    /// Who has the content with this key, as they are heard of.
    pub fn providers(&self, key: Id) -> Results<Provider> {
        let operation = self.start(false, move |node, now| Ok(node.providers(now, key)));
        Results::new(operation, operation::provider)
    }

    /// How many have the torrent with this info-hash, about: those that have all of it, and the
    /// others (Mainline, BEP 33). None if peers answered and nobody knows.
    ///
    /// # Errors
    /// It could not be found out: nobody to ask, no answer, no time.
    pub async fn scrape(&self, key: Id) -> Result<Option<(u32, u32)>, Error> {
        let mut swarm = None;
        let operation = self.start(false, move |node, now| Ok(node.scrape(now, key)));
        let summary = operation
            .finish(|event| {
                if let Event::Swarm { seeds, peers, .. } = event {
                    swarm = Some((seeds, peers));
                }
            })
            .await?;
        Error::of(summary.outcome).map_or(Ok(swarm), |error| swarm.map(Some).ok_or(error))
    }

    /// Some of the info-hashes that the nodes around `target` know (Mainline, BEP 51). Nobody is
    /// asked again within the interval that it named.
    pub fn sample(&self, target: Id) -> Results<Sample> {
        let operation = self.start(false, move |node, now| Ok(node.sample(now, target)));
        Results::new(operation, operation::sample)
    }

    /// Files whose names carry every word of `text`, as they are heard of.
    ///
    /// # Errors
    /// There is no word in it, or more than a question can carry.
    pub fn search(&self, text: &str) -> Result<Results<Hit>, Error> {
        let query = SearchQuery::parse(text)?;
        let operation = self.start(false, move |node, now| Ok(node.search(now, query)));
        Ok(Results::new(operation, operation::hit))
    }
}

/// Publishing.
impl Dht {
    /// How values are written in this network.
    #[must_use]
    pub fn form(&self) -> Form {
        self.shared.form
    }

    /// Stores a value that is found by its hash, once. On Mainline it becomes a string; what is
    /// bencode already is for [`put_item`](Self::put_item).
    ///
    /// # Errors
    /// It is too long, or nobody took it.
    pub async fn put(&self, value: &[u8]) -> Result<Stored, Error> {
        let value = Value::of(self.form(), self.written(value))?;
        self.put_item(Item::Immutable(value), PutOptions::default()).await
    }

    /// Bytes as a value of this network.
    fn written(&self, value: &[u8]) -> Vec<u8> {
        if self.form() == Form::Bencode { bencode::string(value) } else { value.to_vec() }
    }

    /// Signs a value with the key pair that follows from `secret` (32 bytes, RFC 8032) and stores
    /// it under the public key and `salt`. Holders keep the highest sequence number; with `cas`
    /// only over the value that has this one.
    ///
    /// # Errors
    /// It is too long, or nobody took it: with [`Error::Refused`] and the number that is held.
    pub async fn put_signed(
        &self,
        secret: &[u8; 32],
        salt: &[u8],
        seq: u64,
        value: &[u8],
        cas: Option<u64>,
    ) -> Result<Stored, Error> {
        let mut options = PutOptions::default();
        options.cas = cas;
        let value = self.written(value);
        let signed = SignedValue::sign_for(self.form(), secret, salt, seq, &value)?;
        self.put_item(Item::Signed(signed), options).await
    }

    /// Stores a value with everything that can be said about it.
    ///
    /// # Errors
    /// Its signature is wrong, or nobody took it.
    pub async fn put_item(&self, item: Item, options: PutOptions) -> Result<Stored, Error> {
        self.store(item.key(), move |node, now| Ok(node.put(now, item, options)?)).await
    }

    /// Tells the nodes closest to `key` that the content is to be had from us, and if the
    /// announcement says so tells them again before they forget it.
    ///
    /// # Errors
    /// Nobody took it.
    pub async fn announce(&self, key: Id, announcement: Announcement) -> Result<Stored, Error> {
        self.store(key, move |node, now| Ok(node.announce(now, key, announcement))).await
    }

    /// Lets a file be found by the words of its name; renewed until withdrawn if `renew`.
    ///
    /// # Errors
    /// The name has no words or is too long, or nobody took it.
    pub async fn publish(
        &self,
        name: &str,
        size: u64,
        content: [u8; 32],
        renew: bool,
    ) -> Result<Stored, Error> {
        let entry = SearchEntry::new(name, size, content)?;
        let key = ContentId::new(content).key();
        self.store(key, move |node, now| Ok(node.publish(now, entry, renew)?)).await
    }

    /// Announces that the content is to be had from us until that is withdrawn.
    ///
    /// # Errors
    /// It could not be begun.
    pub async fn keep_announced(
        &self,
        key: Id,
        mut announcement: Announcement,
    ) -> Result<Publication, Error> {
        announcement.renew = true;
        self.keep(key, move |node, now| Ok(node.announce(now, key, announcement))).await
    }

    /// Lets a file be found by the words of its name until that is withdrawn.
    ///
    /// # Errors
    /// The name has no words or is too long.
    pub async fn keep_published(
        &self,
        name: &str,
        size: u64,
        content: [u8; 32],
    ) -> Result<Publication, Error> {
        let entry = SearchEntry::new(name, size, content)?;
        let key = ContentId::new(content).key();
        self.keep(key, move |node, now| Ok(node.publish(now, entry, true)?)).await
    }

    /// Ends the renewal of something published. Holders forget it in their own time.
    pub fn withdraw(&self, operation: OperationId) {
        // A node that is gone renews nothing.
        let _ = self.commands.send(Command::Withdraw(operation));
    }

    async fn store(
        &self,
        key: Id,
        start: impl FnOnce(&mut Node, Instant) -> Result<OperationId, Error> + Send + 'static,
    ) -> Result<Stored, Error> {
        self.keep(key, start).await?.first
    }

    async fn keep(
        &self,
        key: Id,
        start: impl FnOnce(&mut Node, Instant) -> Result<OperationId, Error> + Send + 'static,
    ) -> Result<Publication, Error> {
        let summary = self.start(false, start).finish(drop).await?;
        let Summary { operation, outcome, totals, .. } = summary;
        // Some holders have it although the time was up for the others.
        let first = if outcome == Outcome::Success || totals.stored > 0 {
            let (nodes, attempted) = (totals.stored, totals.store_attempts);
            Ok(Stored { key, nodes, attempted, operation })
        } else {
            Err(Error::of(outcome).unwrap_or(Error::NoAnswer))
        };
        if first == Err(Error::Overloaded) {
            return Err(Error::Overloaded);
        }
        Ok(Publication { operation, first })
    }
}

/// Looking at the node itself.
impl Dht {
    /// Our id.
    #[must_use]
    pub fn id(&self) -> Id {
        self.shared.id
    }

    /// The address at which others reach the first socket: never a wildcard.
    #[must_use]
    pub fn local_addr(&self) -> SocketAddr {
        self.local_addrs().first().copied().unwrap_or(SocketAddr::from(([0; 4], 0)))
    }

    /// The addresses at which others reach the sockets.
    #[must_use]
    pub fn local_addrs(&self) -> &[SocketAddr] {
        &self.shared.reached
    }

    /// The addresses as bound, wildcards among them.
    #[must_use]
    pub fn bound_addrs(&self) -> &[SocketAddr] {
        &self.shared.bound
    }

    /// What could not be read of the state folder when the node was started, in words for a person.
    #[must_use]
    pub fn damage(&self) -> &[String] {
        &self.shared.damage
    }

    /// Why the state folder cannot be written, while it cannot: the disk is full, or the folder was
    /// deleted. What is not written is not acknowledged to anybody; the rest goes on, and everything
    /// is written as soon as that is possible again. Closed when the node has stopped.
    #[must_use]
    pub fn unwritable(&self) -> watch::Receiver<Option<String>> {
        self.shared.folder.clone()
    }

    /// Counters of the core.
    ///
    /// # Errors
    /// The node is shut down.
    pub async fn stats(&self) -> Result<Stats, Error> {
        self.inspect(|node, _| node.stats().clone()).await
    }

    /// Counters of the host.
    #[must_use]
    pub fn host_stats(&self) -> HostStats {
        let counters = &self.shared.counters;
        HostStats {
            receive_errors: counters.receive_errors.load(Ordering::Relaxed),
            send_errors: counters.send_errors.load(Ordering::Relaxed),
            sends_lost: counters.sends_lost.load(Ordering::Relaxed),
            write_failures: counters.write_failures.load(Ordering::Relaxed),
            contacts_kept: counters.contacts_kept.load(Ordering::Relaxed),
        }
    }

    /// How the node is.
    ///
    /// # Errors
    /// The node is shut down.
    pub async fn health(&self) -> Result<Health, Error> {
        self.inspect(|node, _| node.health()).await
    }

    /// What becomes of the node as a whole: signals, our address seen from outside, whether we are
    /// reachable or offline.
    #[must_use]
    pub fn notices(&self) -> broadcast::Receiver<Event> {
        self.notices.subscribe()
    }

    /// Looks at the node itself, for whatever has no method of its own here.
    ///
    /// # Errors
    /// The node is shut down.
    pub async fn inspect<T: Send + 'static>(
        &self,
        look: impl FnOnce(&Node, Instant) -> T + Send + 'static,
    ) -> Result<T, Error> {
        let (answer, wait) = oneshot::channel();
        let look = Box::new(move |node: &Node, now| {
            // Whoever asked may have lost interest.
            let _ = answer.send(look(node, now));
        });
        self.commands.send(Command::Inspect(look)).map_err(|_| Error::Closed)?;
        wait.await.map_err(|_| Error::Closed)
    }

    /// Starts any operation of the core; its events are the stream. With `trace` each step is
    /// among them, otherwise results and the end only.
    pub fn start(
        &self,
        trace: bool,
        start: impl FnOnce(&mut Node, Instant) -> Result<OperationId, Error> + Send + 'static,
    ) -> Operation {
        let ticket = Ticket(self.tickets.fetch_add(1, Ordering::Relaxed));
        let (events, receiver) = mpsc::channel(EVENTS);
        let start: Start = Box::new(start);
        // A driver that is gone drops the channel, which the operation reports as closed.
        let _ = self.commands.send(Command::Start { ticket, start, events, trace });
        Operation::new(receiver, ticket, self.commands.clone())
    }
}

/// Shares of our own, kept in the state folder beside the node's state.
impl Dht {
    /// What was kept when the node was started: names of the host's choice with their bytes.
    #[must_use]
    pub fn kept_shares(&self) -> &[(String, Vec<u8>)] {
        &self.shared.shares
    }

    /// Keeps a share until it is forgotten; safe when this returns. Without a folder nothing is
    /// written.
    ///
    /// # Errors
    /// The folder refuses.
    pub async fn keep_share(&self, key: &str, bytes: Vec<u8>) -> Result<(), DataError> {
        self.write(Write::Share { key: key.to_owned(), bytes: Some(bytes) }).await
    }

    /// Forgets a share.
    ///
    /// # Errors
    /// The folder refuses.
    pub async fn forget_share(&self, key: &str) -> Result<(), DataError> {
        self.write(Write::Share { key: key.to_owned(), bytes: None }).await
    }

    async fn write(&self, write: Write) -> Result<(), DataError> {
        let (done, wait) = oneshot::channel();
        let closed = || DataError::Closed;
        self.commands.send(Command::Write(write, done)).map_err(|_| closed())?;
        wait.await.map_err(|_| closed())?
    }
}
