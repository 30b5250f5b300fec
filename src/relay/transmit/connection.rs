//! One connection: a stream and the machine that speaks over it.
//!
//! What the machine has to say goes out in one write, the message from where it lies. While a write
//! has to wait, replies are read: a server that answers a long group of commands before it reads on
//! would else wait for us, and we for it (RFC 2920 §3.1).

use std::future::poll_fn;
use std::io::{self, IoSlice};
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt, ReadBuf};
use tokio::time::{Instant, timeout, timeout_at};

use super::options::Timeouts;
use crate::seams::{BoxStream, Dial, PeerCheck, TlsFacts};
use crate::smtp::client::{self, Broken, Client, Event, Waiting};

/// Octets that are read at once: replies are short.
const READ_BYTES: usize = 4096;

/// A connection.
pub(super) struct Connection {
    stream: BoxStream,
    pub client: Client,
    /// The server's name, as it was looked up.
    pub host: Arc<str>,
    pub peer: SocketAddr,
    pub tls: Option<TlsFacts>,
    /// Transactions that were done.
    pub transactions: u32,
    pub since: Instant,
    /// In clear although TLS was offered: not for a second message.
    pub is_last_resort: bool,
    timeouts: Arc<Timeouts>,
    buffer: Box<[u8]>,
    flushed: bool,
    /// Nothing can be written any more; what the server has said can still be read.
    deaf: bool,
    patience: Patience,
}

/// What bounds a wait beside the patience with one reply.
#[derive(Clone, Copy, Debug)]
pub(super) enum Bound {
    /// All of it ends then.
    All(Instant),
    /// No recipient is named to the server any more then; each reply has its whole time (RFC 5321
    /// §4.5.3.2).
    Naming(Instant),
}

/// Since when something is waited for.
struct Patience {
    what: (Waiting, u64),
    since: Instant,
    /// When the octets of the message began to go out.
    message: Option<Instant>,
}

impl Connection {
    pub fn new(
        stream: BoxStream,
        peer: SocketAddr,
        host: Arc<str>,
        options: Arc<client::Options>,
        tls: Option<TlsFacts>,
        timeouts: Arc<Timeouts>,
    ) -> Connection {
        let now = Instant::now();
        Connection {
            stream,
            client: Client::new(options, tls.is_some()),
            host,
            peer,
            tls,
            transactions: 0,
            since: now,
            is_last_resort: false,
            timeouts,
            buffer: vec![0; READ_BYTES].into_boxed_slice(),
            flushed: true,
            deaf: false,
            patience: Patience { what: (Waiting::Greeting, 0), since: now, message: None },
        }
    }

    /// What the machine has to tell next.
    pub async fn event(&mut self, bound: Bound) -> Event {
        loop {
            if matches!(bound, Bound::Naming(at) if Instant::now() >= at) {
                self.client.cut_short();
            }
            if let Some(event) = self.client.next_event() {
                self.patience.message = None;
                return event;
            }
            let waiting = self.client.waiting();
            if waiting == Waiting::Closed {
                return Event::Broken(Broken::Closed);
            }
            let deadline = self.deadline(waiting, bound);
            match timeout_at(deadline, poll_fn(|context| self.poll_step(context))).await {
                Ok(Ok(())) => {}
                Ok(Err(_)) => self.client.give_up(Broken::Closed),
                Err(_) => self.client.give_up(Broken::TimedOut(waiting)),
            }
        }
    }

    /// Shakes hands; the machine has asked for it.
    pub async fn secure(&mut self, dial: &dyn Dial, check: PeerCheck) -> io::Result<()> {
        let plain = std::mem::replace(&mut self.stream, Box::new(tokio::io::empty()));
        let (stream, facts) = handshake(dial, plain, &self.host, check, &self.timeouts).await?;
        (self.stream, self.tls) = (stream, Some(facts));
        self.client.tls_established();
        Ok(())
    }

    /// Whether the server has closed the connection or said something while nothing was asked.
    /// Does not wait.
    pub async fn is_stale(&mut self) -> bool {
        poll_fn(|context| Poll::Ready(self.poll_read(context).is_ready())).await
    }

    /// Says goodbye, and does not mind whether it is heard.
    pub async fn close(mut self) {
        self.client.quit();
        let limit = self.timeouts.quit;
        let _ = timeout(limit, async {
            let bound = Bound::All(Instant::now() + limit);
            while self.client.waiting() != Waiting::Closed {
                self.event(bound).await;
            }
            self.stream.shutdown().await
        })
        .await;
    }

    /// The time runs from the last reply, or from the last piece of the message that went out.
    fn deadline(&mut self, waiting: Waiting, bound: Bound) -> Instant {
        let patience = &mut self.patience;
        let what = (waiting, self.client.turns());
        if waiting == Waiting::DataBlock {
            let began = *patience.message.get_or_insert_with(Instant::now);
            (patience.what, patience.since) = (what, Instant::now());
            return (patience.since + self.timeouts.data_block).min(began + self.timeouts.message);
        }
        if patience.what != what {
            (patience.what, patience.since) = (what, Instant::now());
        }
        let deadline = patience.since + self.timeouts.of(waiting);
        match bound {
            Bound::All(until) => deadline.min(until),
            Bound::Naming(_) => deadline,
        }
    }

    /// Writes or reads once.
    fn poll_step(&mut self, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        if !self.deaf {
            match self.poll_write(context) {
                Poll::Ready(Ok(true)) => return Poll::Ready(Ok(())),
                Poll::Ready(Ok(false)) | Poll::Pending => {}
                // The reply that explains it may be there to be read.
                Poll::Ready(Err(_)) => self.deaf = true,
            }
        }
        self.poll_read(context)
    }

    /// `true`: something went out.
    fn poll_write(&mut self, context: &mut Context<'_>) -> Poll<io::Result<bool>> {
        let stream = Pin::new(&mut self.stream);
        if self.client.has_output() {
            let pieces = self.client.output().map(IoSlice::new);
            let written = std::task::ready!(stream.poll_write_vectored(context, &pieces))?;
            if written == 0 {
                return Poll::Ready(Err(io::ErrorKind::WriteZero.into()));
            }
            self.client.wrote(written);
            self.flushed = false;
            return Poll::Ready(Ok(true));
        }
        if !self.flushed {
            std::task::ready!(stream.poll_flush(context))?;
            self.flushed = true;
        }
        Poll::Ready(Ok(false))
    }

    fn poll_read(&mut self, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let mut buffer = ReadBuf::new(&mut self.buffer);
        std::task::ready!(Pin::new(&mut self.stream).poll_read(context, &mut buffer))?;
        if buffer.filled().is_empty() {
            return Poll::Ready(Err(io::ErrorKind::UnexpectedEof.into()));
        }
        self.client.feed(buffer.filled());
        Poll::Ready(Ok(()))
    }
}

/// A handshake within its time.
pub(super) async fn handshake(
    dial: &dyn Dial,
    plain: BoxStream,
    host: &str,
    check: PeerCheck,
    timeouts: &Timeouts,
) -> io::Result<(BoxStream, TlsFacts)> {
    let secured = within(timeouts.handshake, dial.secure(plain, host, check)).await?;
    Ok((secured.stream, secured.facts))
}

/// The result of `work`, or an error when it takes longer than `limit`.
pub(super) async fn within<T>(
    limit: Duration,
    work: impl Future<Output = io::Result<T>>,
) -> io::Result<T> {
    timeout(limit, work).await.unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into()))
}
