//! The network of the demo: nodes that share nothing but sockets, one of which lies.

use alloc::collections::BTreeSet;
use alloc::sync::Arc;
use core::net::{Ipv4Addr, SocketAddr};
use core::ops::Range;
use std::io;

use kadlet::core::content::{ContentId, HashList};
use kadlet::core::{Announcement, Rng};
use kadlet::{Content, Dht, SharedFile, Shares};

use crate::failure::Failure;

/// A node and what it serves.
#[derive(Debug)]
pub(crate) struct Member {
    pub(crate) dht: Dht,
    pub(crate) shares: Shares,
}

/// All nodes; a dead one leaves its place.
#[derive(Debug, Default)]
pub(crate) struct Network {
    pub(crate) members: Vec<Option<Member>>,
}

impl Network {
    /// A node with its own sockets on loopback. It knows `entry` at most.
    pub(crate) async fn start_member(
        name: &str,
        entry: Option<SocketAddr>,
    ) -> Result<Member, Failure> {
        let any = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
        let dht = Dht::builder().listen(any).network(name).start().await?;
        let shares = Shares::listen(any).await?;
        if let Some(entry) = entry {
            dht.bootstrap(&[entry.into()]).await?;
        }
        Ok(Member { dht, shares })
    }

    pub(crate) fn member(&self, index: usize) -> Option<&Member> {
        self.members.get(index).and_then(Option::as_ref)
    }

    /// Nodes that live.
    pub(crate) fn living(&self) -> impl Iterator<Item = (usize, &Member)> {
        self.members.iter().enumerate().filter_map(|(i, it)| it.as_ref().map(|it| (i, it)))
    }

    /// These nodes end, without a word to anybody.
    pub(crate) fn kill(&mut self, which: &BTreeSet<usize>) {
        for index in which {
            if let Some(place) = self.members.get_mut(*index) {
                *place = None;
            }
        }
    }
}

/// Who shares what: the demo's own list, which everything is checked against.
#[derive(Debug)]
pub(crate) struct Plan {
    /// The node that shares nothing, and looks and fetches.
    pub(crate) fetcher: usize,
    /// The node that serves wrong bytes.
    pub(crate) liar: usize,
    /// Those who will die, drawn before anything is dealt out.
    pub(crate) doomed: BTreeSet<usize>,
    /// For each file, who shares it.
    pub(crate) sharers: Vec<Vec<usize>>,
    /// For each file, whether it outlives the deaths.
    surviving: Vec<bool>,
}

impl Plan {
    /// Draws who dies, who lies and who shares what.
    pub(crate) fn draw(nodes: usize, files: usize, large: usize, rng: &mut Rng) -> Self {
        let mut order: Vec<usize> = (1..nodes).collect();
        rng.shuffle(&mut order);
        // The node that the others joined by may die like any other, but not the fetcher.
        let fetcher = order.pop().unwrap_or(0);
        let liar = order.pop().unwrap_or(0);
        let mut mortal: Vec<usize> = order.iter().copied().chain([0]).collect();
        rng.shuffle(&mut mortal);
        let doomed: BTreeSet<usize> = mortal.iter().copied().take(nodes / 3).collect();
        let sharers = (0..files)
            .map(|file| {
                let count = if file == large { 6 } else { 2 + rng.below(3) as usize };
                rng.shuffle(&mut mortal);
                let mut sharers: Vec<usize> = mortal.iter().copied().take(count).collect();
                // The liar offers the large file, and one in twenty of the others.
                if file == large || rng.one_in(20) {
                    sharers.push(liar);
                }
                sharers
            })
            .collect();
        Self { fetcher, liar, doomed, sharers, surviving: Vec::new() }
    }

    /// Files with the same bytes are one content: whoever shares one of them has all.
    pub(crate) fn unite(&mut self, shared: &[Arc<SharedFile>]) {
        let mut honest: BTreeSet<ContentId> = BTreeSet::new();
        for (file, sharers) in shared.iter().zip(&self.sharers) {
            let tells_the_truth = |node: &usize| *node != self.liar && !self.doomed.contains(node);
            // An empty file is known by its id: nobody is needed to have it.
            if file.size() == 0 || sharers.iter().any(tells_the_truth) {
                honest.insert(file.id());
            }
        }
        self.surviving = shared.iter().map(|file| honest.contains(&file.id())).collect();
    }

    /// Whether somebody who tells the truth still has the file after the deaths.
    pub(crate) fn survives(&self, file: usize) -> bool {
        self.surviving.get(file).copied().unwrap_or(false)
    }
}

/// What the liar serves: the right length, the wrong bytes.
#[derive(Debug)]
pub(crate) struct Lie(pub(crate) Arc<SharedFile>);

impl Content for Lie {
    fn list(&self) -> &HashList {
        self.0.list()
    }

    fn read(&self, range: Range<u64>) -> io::Result<Vec<u8>> {
        let mut bytes = self.0.read(range)?;
        if let Some(byte) = bytes.last_mut() {
            *byte ^= 1;
        }
        Ok(bytes)
    }
}

/// What one member has to do while sharing: its files with their names, where they have one that can
/// be published.
#[derive(Debug, Default)]
pub(crate) struct Load(pub(crate) Vec<(Arc<SharedFile>, Option<String>)>);

impl Load {
    /// Serves, announces and publishes everything, as `kadlet share` does for one file after the
    /// other; several at once, or the waiting would add up. How often holders refused.
    pub(crate) async fn share(
        self,
        dht: Dht,
        shares: Shares,
        lies: bool,
        told: impl Fn(),
    ) -> Result<u64, kadlet::Error> {
        let mut stored = 0;
        for (file, name) in self.0 {
            let id = file.id();
            if lies {
                shares.add(Arc::new(Lie(Arc::clone(&file))));
            } else {
                shares.add(Arc::<SharedFile>::clone(&file));
            }
            let announcement = Announcement::http(shares.addr().port());
            let announced = dht.announce(id.key(), announcement);
            let published = async {
                let Some(name) = name else { return Ok(0) };
                let published = dht.publish(&name, file.size(), *id.as_bytes(), true).await;
                published.map(|stored| stored.nodes)
            };
            let (announced, published) = tokio::join!(announced, published);
            stored += u64::from(announced?.nodes) + u64::from(published?);
            told();
        }
        Ok(stored)
    }
}
