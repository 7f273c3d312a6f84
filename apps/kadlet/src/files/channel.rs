//! Files by data channels: what is asked of us there, and what we ask (docs/webrtc.md).

use alloc::sync::Arc;
use core::ops::Range;

use kadlet_core::content::{ContentId, PIECE_LEN, Request, RequestFailure, Want};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc};

use super::client::Failed;
use super::server::{parse_path, read};
#[cfg(test)]
use super::shares::Content;
use super::shares::Shelf;
use crate::dht::Dht;
use crate::error::out_of_descriptors;
use crate::webrtc::Frame;

/// Requests answered at once, all peers together; each may hold two pieces in memory, until the last
/// of its bytes is on its way.
const ANSWERS: usize = 64;

/// The longest range that is answered, bytes.
const MAX_RANGE: u64 = 16 << 20;

/// The bytes of an answer, as they are read, and its place among the answers.
pub(crate) struct Reading {
    pub(crate) bytes: mpsc::Receiver<Vec<u8>>,
    _slot: OwnedSemaphorePermit,
}

/// What is served by channels.
pub(crate) struct Shelves {
    shelf: Arc<Shelf>,
    slots: Arc<Semaphore>,
}

impl Shelves {
    pub(super) fn new(shelf: Arc<Shelf>) -> Self {
        Self { shelf, slots: Arc::new(Semaphore::new(ANSWERS)) }
    }

    /// This content alone.
    #[cfg(test)]
    pub(crate) fn of(content: Arc<dyn Content>) -> Self {
        let shelf = Shelf::new();
        shelf.add(content);
        Self::new(Arc::new(shelf))
    }

    /// How many more answers may begin.
    #[cfg(test)]
    pub(crate) fn places(&self) -> usize {
        self.slots.available_permits()
    }

    /// An answer, or the status that refuses it. An end before all of its bytes says that the file
    /// cannot be read any more; dropping it ends the reading.
    pub(crate) fn read(&self, path: &str, range: Option<Range<u64>>) -> Result<Reading, u16> {
        let (id, hashes) = parse_path(path).ok_or(404_u16)?;
        let content = self.shelf.get(id).ok_or(404_u16)?;
        let list = if hashes { self.shelf.list(id) } else { None };
        let size = list.as_ref().map_or(content.list().size(), |list| list.len() as u64);
        let given = range.is_some();
        let asked = range.unwrap_or(0..size);
        let range = asked.start..asked.end.min(size);
        if range.start > range.end || (given && range.is_empty()) {
            return Err(416);
        }
        if range.end - range.start > MAX_RANGE {
            return Err(416);
        }
        let slot = Arc::clone(&self.slots).try_acquire_owned().map_err(|_| 503_u16)?;
        let (bytes, receiver) = mpsc::channel(1);
        let shelf = Arc::clone(&self.shelf);
        tokio::spawn(async move {
            if let Some(list) = list {
                let part = |at: u64| usize::try_from(at).unwrap_or(usize::MAX);
                let part = list.get(part(range.start)..part(range.end)).unwrap_or_default();
                let _ = bytes.send(part.to_vec()).await;
                return;
            }
            let mut at = range.start;
            while at < range.end {
                let end = range.end.min((at / PIECE_LEN + 1) * PIECE_LEN);
                match read(&shelf, &content, at..end).await {
                    Ok(piece) => {
                        shelf.count(piece.len());
                        if bytes.send(piece).await.is_err() {
                            return;
                        }
                    }
                    Err(error) => {
                        if !out_of_descriptors(&error) {
                            shelf.withdraw(content.list().id());
                        }
                        return;
                    }
                }
                at = end;
            }
        });
        Ok(Reading { bytes: receiver, _slot: slot })
    }
}

/// Asks the provider by a channel, which is dialled if there is none, and hands on each part of the
/// answer.
pub(super) async fn get(
    dht: &Dht,
    id: ContentId,
    Request { provider, want, .. }: &Request,
    mut take: impl FnMut(&[u8]),
) -> Result<(), Failed> {
    let (path, range, room) = match want {
        Want::Piece { range, .. } => {
            (format!("/blake3/{id}"), Some(range.clone()), range.end - range.start)
        }
        Want::HashList { max_len } => (format!("/blake3/{id}/hashes"), None, *max_len),
        _ => return Err(RequestFailure::Malformed.into()),
    };
    let wanted: u16 = if range.is_some() { 206 } else { 200 };
    if !dht.connect(*provider).await {
        return Err(RequestFailure::Unreachable.into());
    }
    let mut frames = dht.ask_by_channel(*provider, path, range, room);
    match frames.recv().await {
        Some(Frame::Head(status)) if status == wanted => {}
        Some(Frame::Head(404 | 410)) => return Err(RequestFailure::NotFound.into()),
        Some(Frame::Head(429 | 503)) => return Err(RequestFailure::Busy.into()),
        Some(_) => return Err(RequestFailure::Malformed.into()),
        None => return Err(RequestFailure::Disconnected.into()),
    }
    loop {
        match frames.recv().await {
            Some(Frame::Data(bytes)) => take(&bytes),
            Some(Frame::End) => return Ok(()),
            Some(Frame::Head(_)) => return Err(RequestFailure::Malformed.into()),
            None => return Err(RequestFailure::Disconnected.into()),
        }
    }
}
