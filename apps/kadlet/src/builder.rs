//! How a node is started.

use alloc::sync::Arc;
use core::net::SocketAddr;
use std::path::PathBuf;

use kadlet_core::record::Form;
use kadlet_core::{BadRecord, Config, Id, Network, Node, Role};
use tokio::sync::{broadcast, mpsc, watch};

use crate::clock::Clock;
use crate::data::{Data, Journal, Kept};
use crate::dht::{Dht, Shared};
use crate::driver::{Counters, Driver, Parts};
use crate::error::{DataError, StartError};
use crate::lan::Lan;
use crate::sockets::Link;

/// The network that programs join which name none.
pub const DEFAULT_NETWORK: &str = "kadlet";

/// The name that stands for BitTorrent's Mainline DHT.
pub const MAINLINE: &str = "mainline";

/// Notices (`Dht::notices`) kept for a listener that does not keep up.
const NOTICES: usize = 256;

/// Changes of the store that the core keeps for us: it is drained after at most 64 datagrams a
/// socket, each of which may store one record and push out some others.
const CHANGES: u32 = 16_384;

/// What a node is to be, before it is started with [`start`](Self::start).
///
/// ```
/// # tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(async {
/// let loopback = "127.0.0.1:0".parse()?;
/// let dht = kadlet::Dht::builder().listen(loopback).network("office").start().await?;
/// println!("{} at {}", dht.id(), dht.local_addr());
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// # }).unwrap();
/// ```
#[derive(Clone, Debug)]
#[must_use = "a builder does nothing until it is started"]
pub struct Builder {
    listen: Vec<SocketAddr>,
    network: String,
    data: Option<PathBuf>,
    lan: bool,
    id: Option<Id>,
    #[cfg(feature = "webrtc")]
    webrtc: bool,
    config: Config,
}

impl Default for Builder {
    fn default() -> Self {
        Self {
            listen: Vec::new(),
            network: DEFAULT_NETWORK.to_owned(),
            data: None,
            lan: false,
            id: None,
            #[cfg(feature = "webrtc")]
            webrtc: false,
            config: Config::default(),
        }
    }
}

impl Builder {
    /// Listens on this address too; port 0 is any free one. Without a call: on all addresses of
    /// the machine, on any free port.
    pub fn listen(mut self, address: SocketAddr) -> Self {
        self.listen.push(address);
        self
    }

    /// The name of the network; networks with different names never meet. [`MAINLINE`] is
    /// BitTorrent's, with settings of its own: say it before changing any.
    pub fn network(mut self, name: impl Into<String>) -> Self {
        self.network = name.into();
        if self.network == MAINLINE {
            let role = self.config.role;
            self.config = Config::mainline();
            self.config.role = role;
        }
        self
    }

    /// Keeps state in this folder, which is made if it does not exist.
    pub fn data(mut self, dir: impl Into<PathBuf>) -> Self {
        self.data = Some(dir.into());
        self
    }

    /// Asks others without serving them.
    pub fn client(mut self) -> Self {
        self.config.role = Role::Client;
        self
    }

    /// Serves others, without finding out first whether they can reach us.
    pub fn server(mut self) -> Self {
        self.config.role = Role::Server;
        self
    }

    /// Finds other nodes of the local network by multicast, and is found by them.
    pub fn lan(mut self, on: bool) -> Self {
        self.lan = on;
        self
    }

    /// The node's id; without a call it is the one kept in the folder, or drawn at random.
    pub fn id(mut self, id: Id) -> Self {
        self.id = Some(id);
        self
    }

    /// Settings of the core, to be changed one by one. What [`network`](Self::network) says comes
    /// on top of them.
    pub fn config(mut self, change: impl FnOnce(&mut Config)) -> Self {
        change(&mut self.config);
        self
    }

    /// Lets others open data channels with this node, and says so of it (feature `webrtc`). Not on
    /// Mainline, which has no signals.
    #[cfg(feature = "webrtc")]
    pub fn webrtc(mut self, on: bool) -> Self {
        self.webrtc = on;
        self
    }

    /// Starts the node on the current tokio runtime, which must have its timer and I/O.
    ///
    /// # Errors
    /// This machine or the folder does not allow it; nothing is left behind.
    pub async fn start(mut self) -> Result<Dht, StartError> {
        self.config.network = match self.network.as_str() {
            MAINLINE => Network::Mainline,
            name => Network::Native(name.to_owned()),
        };
        #[cfg(feature = "webrtc")]
        if self.webrtc {
            self.config.capabilities =
                self.config.capabilities.union(kadlet_core::Capabilities::DATA_CHANNEL);
        }
        if self.data.is_some() {
            self.config.store.max_changes = CHANGES;
        }
        let (data, kept) = match &self.data {
            Some(dir) => {
                let (dir, network) = (dir.clone(), self.network.clone());
                let opened = tokio::task::spawn_blocking(move || Data::open(&dir, &network)).await;
                // The task is neither cancelled nor does it panic: opening catches its own.
                let (data, kept) = opened.map_err(|_| StartError::Entropy)??;
                (Some(data), kept)
            }
            None => (None, Kept::default()),
        };
        let links = Link::open_all(&self.listen)?;
        let clock = Clock::start();
        let Restored { node, shares, refused, damage } = self.restore(kept, &clock)?;
        let journal = match data {
            Some(mut data) => {
                data.keep_id(node.id())?;
                let path = self.data.clone().unwrap_or_default();
                let started = Journal::start(data, &shares);
                let mut journal = started.map_err(|error| DataError::Io { path, error })?;
                for key in refused {
                    journal.record_removed(&key);
                }
                Some(journal)
            }
            None => None,
        };
        // Mainline has no such custom.
        let lan =
            if self.lan && self.network != MAINLINE { self.join_lan(&links, &node)? } else { None };
        let (commands, incoming) = mpsc::unbounded_channel();
        let (notices, _) = broadcast::channel(NOTICES);
        let (lan_found, lan_watch) = watch::channel(0);
        let (unwritable, folder) = watch::channel(None);
        let counters = Arc::new(Counters::default());
        let shared = Shared {
            id: node.id(),
            form: match node.config().network {
                Network::Mainline => Form::Bencode,
                _ => Form::Native,
            },
            bound: links.iter().map(|link| link.bound).collect(),
            reached: links.iter().map(Link::reached_at).collect(),
            links: links.iter().map(|link| (link.id, link.bound)).collect(),
            damage,
            shares,
            has_lan: lan.is_some(),
            folder,
            counters: Arc::clone(&counters),
        };
        let driver = Driver::new(Parts {
            node,
            links,
            clock,
            commands: incoming,
            notices: notices.clone(),
            journal,
            #[cfg(feature = "webrtc")]
            channels: self.webrtc,
            lan,
            lan_found,
            counters,
            unwritable,
        });
        tokio::spawn(driver.run());
        Ok(Dht::new(shared, commands, notices, lan_watch))
    }

    fn restore(&self, kept: Kept, clock: &Clock) -> Result<Restored, StartError> {
        let mut damage = kept.damage;
        let now = clock.now();
        let fresh = |id: Option<Id>| {
            let id = match id {
                Some(id) => id,
                None => Id::new(entropy()?),
            };
            Ok::<_, StartError>(Node::new(self.config.clone(), id, entropy()?, now))
        };
        let wanted = self.id.or(kept.id);
        let mut node = match &kept.state {
            Some((state, age)) => {
                match Node::restore(self.config.clone(), state, entropy()?, now, *age) {
                    Ok(mut node) => {
                        if let Some(id) = wanted
                            && id != node.id()
                        {
                            node.set_id(now, id);
                        }
                        node
                    }
                    Err(error) => {
                        damage.push(format!("the contacts could not be read: {error}"));
                        fresh(wanted)?
                    }
                }
            }
            None => fresh(wanted)?,
        };
        let count = kept.records.len();
        let mut refused = Vec::new();
        let mut unread = 0;
        for (key, bytes, age) in kept.records {
            match node.restore_record(now, &bytes, age) {
                Ok(()) => {}
                // Too old by now, or no room: nothing is wrong with it, and nobody wants it back.
                Err(BadRecord::Refused(_)) => refused.push(key),
                // Damaged, or a later version's, which can still read it: left alone.
                Err(_) => unread += 1,
            }
        }
        if unread > 0 {
            damage.push(format!("{unread} of {count} records could not be read"));
        }
        Ok(Restored { node, shares: kept.shares, refused, damage })
    }

    /// Without the local network a node is merely harder to find: no reason not to start.
    fn join_lan(&self, links: &[Link], node: &Node) -> Result<Option<Lan>, StartError> {
        let bound: Vec<_> =
            links.iter().map(|link| link.bound).filter(SocketAddr::is_ipv4).collect();
        if bound.is_empty() {
            return Ok(None);
        }
        let is_found = !matches!(node.config().role, Role::Client);
        match Lan::join(&self.network, entropy()?, &bound, is_found) {
            Ok(lan) => Ok(Some(lan)),
            Err(error) => {
                tracing::warn!(%error, "nodes of the local network cannot be found by multicast");
                Ok(None)
            }
        }
    }
}

struct Restored {
    node: Node,
    shares: Vec<(String, Vec<u8>)>,
    /// Keys of records that the node did not take back: their rows go.
    refused: Vec<Vec<u8>>,
    damage: Vec<String>,
}

/// Bytes that nobody can guess.
fn entropy<const N: usize>() -> Result<[u8; N], StartError> {
    let mut bytes = [0; N];
    getrandom::fill(&mut bytes).map_err(|_| StartError::Entropy)?;
    Ok(bytes)
}
