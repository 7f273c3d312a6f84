//! Data channels with other nodes, pages above all (docs/webrtc.md).

use alloc::sync::Arc;
use core::net::SocketAddr;
use core::ops::Range;

use tokio::sync::{mpsc, oneshot};

use super::Dht;
use crate::driver::Command;
use crate::files::channel::Shelves;
use crate::resolve::AttemptResult;
use crate::webrtc::{ChannelStats, Frame, Wish};

/// Data channels (feature `webrtc`).
impl Dht {
    /// Opens a data channel with the node at this address, signalled through the network. From then
    /// on datagrams for that address go straight, until it breaks. True if there is one.
    pub async fn connect(&self, address: SocketAddr) -> bool {
        let (found, wait) = oneshot::channel();
        self.wish(Wish::Find(address, found));
        if wait.await.unwrap_or(false) {
            return true;
        }
        // A stranger tells its id with its first answer.
        let Ok(joined) = self.contact(&[address.into()]).await else { return false };
        let id = joined.attempts.iter().find_map(|attempt| match attempt.result {
            AttemptResult::Answered { id, .. } => Some(id),
            _ => None,
        });
        let (Some(id), Some(path)) = (id, self.path_to(address)) else { return false };
        let (done, wait) = oneshot::channel();
        self.wish(Wish::Dial(id, path, done));
        wait.await.unwrap_or(false)
    }

    /// Closes the data channel with the node at this address, if there is one.
    pub fn disconnect(&self, address: SocketAddr) {
        self.wish(Wish::Hangup(address));
    }

    /// What became of data channels so far; nothing if the node is shut down.
    pub async fn channel_stats(&self) -> ChannelStats {
        let (to, wait) = oneshot::channel();
        self.wish(Wish::Stats(to));
        wait.await.unwrap_or_default()
    }

    pub(crate) fn serve_by_channel(&self, shelves: Shelves) {
        self.wish(Wish::Serve(Arc::new(shelves)));
    }

    /// The parts of an answer, as they come: closed early if there is no channel, or none any more.
    pub(crate) fn ask_by_channel(
        &self,
        remote: SocketAddr,
        path: String,
        range: Option<Range<u64>>,
        room: u64,
    ) -> mpsc::UnboundedReceiver<Frame> {
        let (to, frames) = mpsc::unbounded_channel();
        self.wish(Wish::Ask { remote, path, range, room, to });
        frames
    }

    fn wish(&self, wish: Wish) {
        // A driver that is gone drops it, which says so.
        let _ = self.commands.send(Command::Channels(wish));
    }
}
