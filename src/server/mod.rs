//! Wires configuration, host and roles into one running server.
//!
//! [`Server::start`] opens log, keys, journal and accounts, then binds; [`Server::run`] accepts,
//! reloads at SIGHUP, drains at SIGTERM and gives up waiting at a second one. Sessions are tasks of
//! their own: one that panics ends alone and is reported.

mod accept;
mod admission;
mod commands;
mod discovery;
mod events;
mod explain;
mod outbound;
pub mod protocol;
mod queue;
mod reload;
mod run;
mod sending;
mod session;
mod signer;
mod start;
mod store;

pub use signer::signer;
pub use start::{StartError, log_destination, read_aliases};
pub use store::{StoreError, lock, lock_read_only};

use crate::base::clock::Clock;
use crate::base::event::Log;
use crate::config::{Config, convert};
use crate::host::control::ControlSocket;
use crate::host::listen::{Kind, Listener};
use crate::host::log::JsonLog;
use crate::host::tls::Tls;
use crate::mailbox::Mailboxes;
use crate::mailbox::imap::Imap;
use crate::relay;
use crate::web::Web;
use admission::{Admission, SessionLimits};
use std::collections::BTreeSet;
use std::io;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError, RwLock};
use tokio::runtime::{Builder, Runtime};
use tokio::sync::watch;

/// Threads for work that blocks: reads of the disk and slow key derivations, each bounded
/// elsewhere.
const BLOCKING_THREADS_MAX: usize = 64;

/// A server that was started: everything is open and bound.
pub struct Server {
    shared: Arc<Shared>,
    listeners: Vec<Listener>,
    control: ControlSocket,
    store: store::Store,
    outbound: outbound::Outbound,
}

impl std::fmt::Debug for Server {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Server")
    }
}

/// What all sessions and commands share.
struct Shared {
    file: PathBuf,
    config: RwLock<Config>,
    log: Arc<JsonLog>,
    events: Log,
    tls: Tls,
    /// HTTPS has its own certificate where one is configured, and its own session tickets always.
    web_tls: Tls,
    mailboxes: Mailboxes,
    discovery: discovery::Discovery,
    receiver: Arc<relay::Receiver>,
    queue: relay::Queue,
    imap: Arc<Imap>,
    web: Arc<Web>,
    sending: sending::Sending,
    clock: Arc<dyn Clock>,
    /// What was said already of the certificates that are served.
    doubts_said: Mutex<BTreeSet<([u8; 32], &'static str)>>,
    admission: Admission,
    stopping: watch::Sender<bool>,
}

impl Shared {
    fn config(&self) -> std::sync::RwLockReadGuard<'_, Config> {
        self.config.read().unwrap_or_else(PoisonError::into_inner)
    }

    /// SMTP is counted by the relay role itself, which has the words for it.
    fn session_limits(&self, kind: Kind) -> SessionLimits {
        match kind {
            Kind::Smtp | Kind::Submission | Kind::Submissions => SessionLimits::NONE,
            Kind::Imap | Kind::Imaps => {
                let imap = &self.config().imap;
                SessionLimits {
                    sessions_max: imap.sessions,
                    sessions_per_network_max: imap.sessions_per_network,
                }
            }
            Kind::Https => {
                let web = &self.config().web;
                SessionLimits {
                    sessions_max: web.sessions,
                    sessions_per_network_max: web.sessions_per_network,
                }
            }
        }
    }

    /// Has it reported which aliases lead to nobody, beside other work.
    fn look_at_aliases(&self) {
        let receiver = Arc::clone(&self.receiver);
        tokio::spawn(async move { receiver.report_broken().await });
    }

    /// Puts into force what can change while the server runs.
    fn take_up(&self, config: &Config, aliases: relay::Aliases) {
        self.receiver.reload(convert::relay(config, aliases));
        self.queue.reload(convert::queue(config));
        self.imap.reload(convert::imap(config));
        self.web.reload(convert::web(config));
        self.look_at_aliases();
    }
}

/// The runtime that a server runs on.
pub fn runtime() -> io::Result<Runtime> {
    Builder::new_multi_thread()
        .enable_all()
        .max_blocking_threads(BLOCKING_THREADS_MAX)
        .on_thread_park(crate::base::secret::scrub_stack)
        .build()
}
