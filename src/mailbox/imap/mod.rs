//! IMAP sessions: joins the machine of [`crate::imap`] to a stream and to an unlocked account.
//!
//! [`Imap`] is shared by all connections of the process; the server accepts connections and calls
//! [`Imap::serve`] for each. A session reads the account's published pictures, asks its task for
//! changes, and opens messages itself, in chunks of [`CHUNK_ROWS`], where it may block.
//!
//! # Order
//! Answers are gathered in one buffer and written when the client has to be waited for, or when
//! much is in it: a chunk of a FETCH is pulled only when the one before is on its way, so that a
//! client that stops reading stops the work. Whatever a session tells is durable.
//!
//! # When the account is locked
//! A login with a right credential succeeds, and each command that needs a mailbox is answered with
//! a tagged `NO [UNAVAILABLE]` and nothing else: a locked mailbox is never shown as an empty one.
//! When an account is locked during a session, it ends with BYE between two responses.
//!
//! # Standards
//! Those that [`crate::imap`] lists; RFC 3501 §5.4 (autologout), RFC 2180 (several sessions on one
//! mailbox), RFC 8314 (TLS).

mod append;
mod events;
mod fetch;
mod idle;
mod link;
mod list;
mod login;
mod mailboxes;
mod messages;
mod search;
mod select;
mod selected;
mod session;
mod store;

#[cfg(test)]
mod tests;

pub use events::ImapEvent;

use super::Mailboxes;
use crate::base::budget::ByteBudget;
use crate::base::event::Log;
use crate::seams::{BoxStream, UpgradeTls};
use std::net::IpAddr;
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;
use tokio::sync::watch;

/// Messages that are rendered or searched in one piece of blocking work.
pub const CHUNK_ROWS: usize = 256;

/// What the administrator can set about IMAP sessions. Units are in the names.
#[derive(Clone, Debug)]
pub struct Options {
    /// The largest message that APPEND takes, in octets. As for SMTP.
    pub message_bytes_max: u64,
    /// How long a client may be silent after login. RFC 3501 §5.4: at least 30 minutes.
    pub autologout: Duration,
    /// How long a client may be silent within the message of APPEND. As for SMTP.
    pub piece_timeout: Duration,
    /// How long the message of APPEND may take as a whole. As for SMTP.
    pub message_timeout: Duration,
    /// How long a client may be silent before login.
    pub login_timeout: Duration,
    /// How long a TLS handshake may take.
    pub handshake_timeout: Duration,
    /// How long a client may refuse to take what we send.
    pub write_timeout: Duration,
    /// Wrong passwords in one session before it ends.
    pub login_failures_max: u32,
}

impl Default for Options {
    fn default() -> Self {
        Options {
            message_bytes_max: 50 * 1024 * 1024,
            autologout: Duration::from_secs(30 * 60),
            piece_timeout: Duration::from_secs(3 * 60),
            message_timeout: Duration::from_secs(3600),
            login_timeout: Duration::from_secs(3 * 60),
            handshake_timeout: Duration::from_secs(30),
            write_timeout: Duration::from_secs(5 * 60),
            login_failures_max: 3,
        }
    }
}

/// What sessions are given to work with.
#[derive(Clone)]
pub struct World {
    /// The accounts.
    pub mailboxes: Mailboxes,
    /// Shakes hands; `None` where no certificate is configured, and then nobody can log in.
    pub tls: Option<Arc<dyn UpgradeTls>>,
    /// Octets of messages that may be in memory at once, over all sessions.
    pub message_budget: ByteBudget,
    /// Where events go.
    pub log: Log,
}

/// A connection that was accepted.
pub struct Connection {
    /// The stream, as it was accepted.
    pub stream: BoxStream,
    /// Who is at the other end; `None` for a test or a pipe.
    pub peer: Option<IpAddr>,
    /// TLS comes first (port 993), or STARTTLS (port 143).
    pub security: Security,
}

/// How a connection becomes protected.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Security {
    /// The handshake comes first: port 993.
    Implicit,
    /// STARTTLS: port 143.
    StartTls,
    /// It is protected already, by what carries it.
    Done,
}

/// The IMAP side of the mailbox role, shared by all connections.
pub struct Imap {
    options: RwLock<Arc<Options>>,
    world: World,
}

impl Imap {
    /// IMAP over these accounts.
    pub fn new(options: Options, world: World) -> Arc<Imap> {
        Arc::new(Imap { options: RwLock::new(Arc::new(options)), world })
    }

    /// Puts new options in force for sessions that begin from now on.
    pub fn reload(&self, options: Options) {
        *self.options.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(options);
    }

    /// Serves one connection until it ends. When `draining` becomes true, the session ends with BYE
    /// before its next command. Dropping the future ends it at any point without a false OK.
    pub async fn serve(&self, connection: Connection, draining: watch::Receiver<bool>) {
        let options = self.options.read().unwrap_or_else(PoisonError::into_inner).clone();
        session::serve(options, self.world.clone(), connection, draining).await;
    }
}
