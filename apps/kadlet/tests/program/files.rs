//! Files for the tests, and providers in this process that do what no program of ours would.

use alloc::sync::Arc;
use core::ops::Range;
use std::fs;
use std::io;
use std::net::{TcpListener, TcpStream};
use std::path::Path;
use std::sync::mpsc::{Receiver, channel};
use std::sync::{Condvar, Mutex};

use kadlet::core::Announcement;
use kadlet::core::content::{ContentId, HashList, HashListBuilder, PIECE_LEN};
use kadlet::{Content, Dht, Shares};
use serde_json::Value;
use tokio::runtime::Runtime;

use crate::common::{Ended, Node, ask};

/// A piece, as a length in memory.
pub(crate) const PIECE: usize = PIECE_LEN as usize;

/// Bytes that repeat nowhere, a different sequence for each seed.
pub(crate) fn noise(seed: u64, len: usize) -> Vec<u8> {
    let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    let words = core::iter::repeat_with(|| {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state.to_le_bytes()
    });
    words.flatten().take(len).collect()
}

pub(crate) fn list_of(bytes: &[u8]) -> HashList {
    let mut builder = HashListBuilder::new();
    builder.update(bytes);
    builder.finish()
}

pub(crate) fn text(path: &Path) -> &str {
    path.to_str().unwrap()
}

/// The link in an event.
pub(crate) fn link(event: &Value) -> String {
    event["link"].as_str().unwrap().to_owned()
}

/// The link without the contacts in it: who uses it has to find the provider.
pub(crate) fn bare(link: &str) -> String {
    link.split("&x.pe=").next().unwrap().to_owned()
}

pub(crate) fn get(node: &Node, link: &str, target: &Path) -> Ended {
    ask(node, &["get", link, "-o", text(target)])
}

/// Nothing but `names` is in the folder: no target, and nothing half done.
#[track_caller]
pub(crate) fn assert_holds_only(folder: &Path, names: &[&str]) {
    let mut found: Vec<_> = fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    found.sort_unstable();
    assert_eq!(found, names);
}

/// What a provider in this process does when it is asked for bytes.
pub(crate) type Read = dyn Fn(Range<u64>) -> io::Result<Vec<u8>> + Send + Sync;

pub(crate) struct Scripted {
    list: HashList,
    read: Box<Read>,
}

impl Content for Scripted {
    fn list(&self) -> &HashList {
        &self.list
    }

    fn read(&self, range: Range<u64>) -> io::Result<Vec<u8>> {
        (self.read)(range)
    }
}

pub(crate) fn part(bytes: &[u8], range: &Range<u64>) -> Vec<u8> {
    bytes[range.start as usize..range.end as usize].to_vec()
}

/// A provider in this process: a node that announces, and what is behind the port it names.
pub(crate) struct Provider {
    runtime: Option<Runtime>,
    pub(crate) shares: Option<Shares>,
    _dht: Dht,
}

impl Provider {
    /// Serves `bytes` under their list as `read` says, and announces that.
    pub(crate) fn serve(
        node: &Node,
        bytes: &[u8],
        read: impl Fn(Range<u64>) -> io::Result<Vec<u8>> + Send + Sync + 'static,
    ) -> Self {
        let runtime = Runtime::new().unwrap();
        let shares = runtime.block_on(Shares::listen("127.0.0.1:0".parse().unwrap())).unwrap();
        let list = list_of(bytes);
        let dht = announce(&runtime, node, list.id(), shares.addr().port());
        shares.add(Arc::new(Scripted { list, read: Box::new(read) }));
        Self { runtime: Some(runtime), shares: Some(shares), _dht: dht }
    }

    /// Announces a port, whatever is behind it.
    pub(crate) fn at_port(node: &Node, id: ContentId, port: u16) -> Self {
        let runtime = Runtime::new().unwrap();
        let dht = announce(&runtime, node, id, port);
        Self { runtime: Some(runtime), shares: None, _dht: dht }
    }

    pub(crate) fn addr(&self) -> String {
        self.shares.as_ref().unwrap().addr().to_string()
    }

    /// Gone at once: its connections break.
    pub(crate) fn vanish(&mut self) {
        self.shares = None;
    }
}

impl Drop for Provider {
    fn drop(&mut self) {
        // Reads that wait for something are not waited for.
        self.runtime.take().unwrap().shutdown_background();
    }
}

pub(crate) fn announce(runtime: &Runtime, node: &Node, id: ContentId, port: u16) -> Dht {
    runtime.block_on(async {
        let loopback = "127.0.0.1:0".parse().unwrap();
        let dht = Dht::builder().listen(loopback).network(&node.network).start().await.unwrap();
        dht.bootstrap(&[node.addr.parse().unwrap()]).await.unwrap();
        dht.announce(id.key(), Announcement::http(port)).await.unwrap();
        dht
    })
}

/// Something that happens once, and lets those who wait for it go on.
#[derive(Clone, Default)]
pub(crate) struct Gate(Arc<(Mutex<bool>, Condvar)>);

impl Gate {
    pub(crate) fn open(&self) {
        *self.0.0.lock().unwrap() = true;
        self.0.1.notify_all();
    }

    pub(crate) fn wait(&self) {
        let open = self.0.0.lock().unwrap();
        drop(self.0.1.wait_while(open, |open| !*open).unwrap());
    }
}

/// Takes connections and never says anything; each is told of.
pub(crate) fn silent() -> (TcpListener, Receiver<TcpStream>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let (taken, connections) = channel();
    let accept = listener.try_clone().unwrap();
    std::thread::spawn(move || {
        while let Ok((stream, _)) = accept.accept() {
            if taken.send(stream).is_err() {
                return;
            }
        }
    });
    (listener, connections)
}
