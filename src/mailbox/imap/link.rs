//! One connection: octets in through the receiver, answers out through one buffer.

use crate::imap::limits::COMMAND_BYTES_MAX;
use crate::imap::{Budget, Code, Event, Out, Receiver};
use crate::mailbox::Version;
use crate::seams::BoxStream;
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::sync::watch;
use tokio::time::{sleep, timeout};

/// Octets read at once while commands come: sessions that wait hold this buffer.
const READ_BYTES: usize = 2 * 1024;
/// Octets read at once while a message comes.
const READ_MESSAGE_BYTES: usize = 32 * 1024;
/// Octets of answers that are gathered before they are written.
pub(super) const GATHER_BYTES: usize = 64 * 1024;

/// How long a client may leave answers unread once its account is locked: they hold mail in the
/// open, and with them the session holds the keys of what it shows.
const LOCKED_PATIENCE: Duration = Duration::from_secs(2);

/// Why a session ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum End {
    /// The client closed the connection, or it broke.
    Closed,
    /// The client said LOGOUT and was answered.
    Logout,
    /// We end it, with BYE and this text; the word is for the log.
    Bye(Code, &'static str, &'static str),
}

/// The account is locked: what the client is told when it happens during a session.
pub(super) const LOCKED: End =
    End::Bye(Code::Unavailable, "This mail was locked; log in again to read it", "locked");

/// The client was silent for longer than it may be.
pub(super) const SILENCE: End = End::Bye(Code::None, "Nothing was heard for too long", "silence");

/// A connection.
pub(super) struct Link {
    stream: Option<BoxStream>,
    receiver: Receiver,
    /// Answers that wait to be written.
    pub(super) out: Out,
    /// Octets that were written.
    pub(super) sent_bytes: u64,
    chunk: Vec<u8>,
    write_timeout: Duration,
    /// Tells when the account is locked, once there is one.
    changes: Option<watch::Receiver<Version>>,
}

impl Link {
    pub(super) fn new(stream: BoxStream, write_timeout: Duration) -> Link {
        Link {
            stream: Some(stream),
            receiver: Receiver::new(Budget::BEFORE_LOGIN),
            out: Out::new(),
            sent_bytes: 0,
            chunk: vec![0; READ_BYTES],
            write_timeout,
            changes: None,
        }
    }

    /// From now on a lock of the account ends a write that does not get on.
    pub(super) fn watch(&mut self, changes: Option<watch::Receiver<Version>>) {
        self.changes = changes;
    }

    /// The machine that reads commands.
    pub(super) fn receiver(&mut self) -> &mut Receiver {
        &mut self.receiver
    }

    /// The next event that has come already.
    pub(super) fn ready(&mut self) -> Option<Event> {
        self.receiver.next_event()
    }

    /// Waits for octets and gives them to the receiver. May be dropped without loss.
    pub(super) async fn read(&mut self) -> Result<(), End> {
        let stream = self.stream.as_mut().ok_or(End::Closed)?;
        match stream.read(&mut self.chunk).await {
            Ok(0) | Err(_) => Err(End::Closed),
            Ok(count) => {
                self.receiver.push(&self.chunk[..count]);
                Ok(())
            }
        }
    }

    /// Says whether the client has gone while a command is being answered. What it has sent
    /// meanwhile is kept, up to one command; a client that sends more is asked later.
    pub(super) async fn look_for_end(&mut self) -> Result<(), End> {
        if self.receiver.pending_bytes() >= COMMAND_BYTES_MAX {
            return Ok(());
        }
        tokio::select! {
            biased;
            read = self.read() => read,
            () = std::future::ready(()) => Ok(()),
        }
    }

    /// Larger reads while a message comes, small ones else.
    pub(super) fn read_large(&mut self, large: bool) {
        self.chunk = vec![0; if large { READ_MESSAGE_BYTES } else { READ_BYTES }];
    }

    /// Writes what waits.
    pub(super) async fn flush(&mut self) -> Result<(), End> {
        if self.out.is_empty() {
            return Ok(());
        }
        let octets = self.out.take();
        let stream = self.stream.as_mut().ok_or(End::Closed)?;
        let write = async {
            stream.write_all(&octets).await?;
            stream.flush().await
        };
        let written = tokio::select! {
            biased;
            written = timeout(self.write_timeout, write) => matches!(written, Ok(Ok(()))),
            () = locked_for(&mut self.changes, LOCKED_PATIENCE) => false,
        };
        if !written {
            return Err(End::Closed);
        }
        self.sent_bytes += octets.len() as u64;
        Ok(())
    }

    /// Writes what waits if it has become much.
    pub(super) async fn flush_if_much(&mut self) -> Result<(), End> {
        match self.out.len() >= GATHER_BYTES {
            true => self.flush().await,
            false => Ok(()),
        }
    }

    /// Takes the stream out, to be put under TLS.
    pub(super) fn take_stream(&mut self) -> Option<BoxStream> {
        self.stream.take()
    }

    /// Puts the protected stream in, and forgets all that was read before.
    pub(super) fn put_stream(&mut self, stream: BoxStream) {
        self.stream = Some(stream);
        self.receiver = Receiver::new(Budget::BEFORE_LOGIN);
    }

    /// Says the last words and closes. The connection may be gone already.
    pub(super) async fn close(&mut self, end: End) {
        if let End::Bye(code, text, _) = end {
            self.out.bye(code, text);
        }
        if end != End::Closed {
            let _ = self.flush().await;
        }
        if let Some(mut stream) = self.stream.take() {
            let _ = timeout(self.write_timeout, stream.shutdown()).await;
        }
    }
}

/// Ends when the account is locked; never, where there is none.
pub(super) async fn locked(changes: &mut Option<watch::Receiver<Version>>) {
    match changes {
        None => std::future::pending().await,
        // A sender that is gone means that the account's task has ended.
        Some(changes) => drop(changes.wait_for(|version| version.locked).await),
    }
}

/// Ends when the account has been locked for `patience`.
async fn locked_for(changes: &mut Option<watch::Receiver<Version>>, patience: Duration) {
    locked(changes).await;
    sleep(patience).await;
}
