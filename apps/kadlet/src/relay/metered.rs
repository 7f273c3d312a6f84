//! A client's stream, read no faster than it may send.

use core::pin::Pin;
use core::task::{Context, Poll, ready};
use std::io;

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::{Instant, Sleep};

use super::limits::{Limits, Rate};

/// What stands before a message in a WebSocket, at most.
const HEAD: u32 = 14;

/// A stream that is read at twice the rate of what may pass, so that whoever sends too much can be
/// told; whoever sends more waits. That messages are counted does not do: fragments of nothing,
/// without end, are read in one go and never become one. Writing is as before.
#[derive(Debug)]
pub(super) struct Metered<S> {
    stream: S,
    rate: Rate,
    /// Runs while what was read is not paid for.
    timer: Option<Pin<Box<Sleep>>>,
}

impl<S> Metered<S> {
    pub(super) fn new(stream: S, limits: &Limits) -> Self {
        let heads = limits.datagrams_per_second.saturating_mul(HEAD);
        let per_second = limits.bytes_per_second.saturating_add(heads).saturating_mul(2);
        Self { stream, rate: Rate::new(per_second, Instant::now().into_std()), timer: None }
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Metered<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        read: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = &mut *self;
        if let Some(timer) = &mut this.timer {
            ready!(timer.as_mut().poll(cx));
            this.timer = None;
        }
        let before = read.filled().len();
        ready!(Pin::new(&mut this.stream).poll_read(cx, read))?;
        let now = Instant::now();
        let wait = this.rate.owe(read.filled().len() - before, now.into_std());
        if !wait.is_zero() {
            this.timer = Some(Box::pin(tokio::time::sleep_until(now + wait)));
        }
        Poll::Ready(Ok(()))
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Metered<S> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(cx, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::relay::client::web_socket_config;
    use core::time::Duration;
    use futures_util::StreamExt as _;
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, DuplexStream, duplex};
    use tokio_tungstenite::WebSocketStream;
    use tokio_tungstenite::tungstenite::protocol::Role;

    /// A client's end with so much room, and ours at which 2,000 bytes a second are read.
    fn ends(room: usize) -> (DuplexStream, Metered<DuplexStream>) {
        let limits =
            Limits { bytes_per_second: 1_000, datagrams_per_second: 0, ..Limits::default() };
        let (client, stream) = duplex(room);
        (client, Metered::new(stream, &limits))
    }

    #[tokio::test(start_paused = true)]
    async fn what_is_sent_too_fast_is_read_later() {
        let (mut client, mut stream) = ends(20_000);
        client.write_all(&[0; 20_000]).await.expect("room");
        drop(client);
        let begun = Instant::now();
        let mut buffer = [0; 1_000];
        for _ in 0..20 {
            stream.read_exact(&mut buffer).await.expect("bytes");
        }
        // Two seconds' worth at once, and the last piece before it is paid for.
        assert_eq!(begun.elapsed().as_millis() / 10, 750);
        assert_eq!(stream.read(&mut buffer).await.expect("the end"), 0);
    }

    #[tokio::test(start_paused = true)]
    async fn fragments_of_nothing_are_not_read_without_end() {
        let room = 1 << 18;
        let (mut client, stream) = ends(room);
        let config = Some(web_socket_config());
        let mut socket = WebSocketStream::from_raw_socket(stream, Role::Server, config).await;
        let begin = [&[2, 0x81, 0, 0, 0, 0, 0][..], &[0, 0x80, 0, 0, 0, 0].repeat(room / 6 - 2)];
        client.write_all(&begin.concat()).await.expect("room");
        let next = tokio::time::timeout(Duration::from_millis(100), socket.next()).await;
        assert!(next.is_err(), "{next:?}");
        // There is as much room again as was read.
        let mut cx = Context::from_waker(core::task::Waker::noop());
        let written = Pin::new(&mut client).poll_write(&mut cx, &vec![0; room]);
        assert!(matches!(written, Poll::Ready(Ok(1..10_000))), "{written:?}");
    }
}
