//! The running server: signals, the control socket, and the end.
//!
//! # How it ends
//! SIGTERM (or SIGINT): no new connections; sessions are told, finish the command or delivery they
//! are in and say goodbye; after `server.drain`, or at a second signal, the rest is cut off. Then
//! accounts are locked, the journal is closed, the index is synced and the clean-stop marker is
//! written. Whoever skips this by SIGKILL loses nothing that was acknowledged.

use super::events::ServerEvent;
use super::protocol::{Answer, Request};
use super::{Server, Shared, accept, commands, reload};
use crate::host::control::{ControlPeer, ControlSocket};
use crate::host::listen::Kind;
use crate::host::notify::{State, notify};
use std::io;
use std::sync::Arc;
use std::time::Duration;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::task::JoinSet;
use zeroize::Zeroizing;

/// How often old ticket keys are looked after; well within their half hour.
const TICKET_CARE: Duration = Duration::from_secs(5 * 60);

/// Commands that may be carried out at once; more wait in the socket's backlog.
const COMMANDS_MAX: usize = 16;

/// How long the log may take for its last lines.
const LAST_LINES: Duration = Duration::from_secs(2);

/// How long accounts may take to finish a change that is under way.
const ACCOUNTS_CLOSE: Duration = Duration::from_secs(10);

impl Server {
    /// Serves until a signal says to stop, then closes everything.
    pub async fn run(mut self) -> io::Result<()> {
        let mut signals = Signals::new()?;
        let mut listeners = JoinSet::new();
        let count = self.listeners.len() as u64;
        for listener in self.listeners.drain(..) {
            listeners.spawn(accept::serve(Arc::clone(&self.shared), listener));
        }
        self.shared.events.emit(&ServerEvent::Ready { listeners: count });
        notify(State::Ready);
        self.until_stopped(&mut signals).await;
        notify(State::Stopping);
        self.drain(&mut signals, listeners).await;
        self.close().await
    }

    async fn until_stopped(&self, signals: &mut Signals) {
        let mut care = tokio::time::interval(TICKET_CARE);
        let mut commands = JoinSet::new();
        loop {
            tokio::select! {
                told = signals.next() => match told {
                    Told::Stop => return,
                    // What went wrong was logged; the old configuration goes on.
                    Told::Reload => drop(reload::reload(&self.shared)),
                },
                peer = accept_command(&self.control), if commands.len() < COMMANDS_MAX => {
                    commands.spawn(converse(Arc::clone(&self.shared), peer));
                }
                Some(_) = commands.join_next() => {}
                _ = care.tick() => self.shared.tls.forget_old_tickets(),
            }
        }
    }

    async fn drain(&self, signals: &mut Signals, mut listeners: JoinSet<()>) {
        let sessions = u64::from(self.shared.admission.all_sessions());
        self.shared.events.emit(&ServerEvent::Stopping { sessions });
        self.shared.stopping.send_replace(true);
        let drain = self.shared.config().server.drain;
        tokio::select! {
            () = async { while listeners.join_next().await.is_some() {} } => {}
            () = tokio::time::sleep(drain) => {}
            () = signals.stop() => {}
        }
        let cut_off = u64::from(self.shared.admission.all_sessions());
        listeners.shutdown().await;
        self.shared.events.emit(&ServerEvent::Stopped { cut_off });
    }

    async fn close(self) -> io::Result<()> {
        let _ = tokio::time::timeout(ACCOUNTS_CLOSE, self.shared.mailboxes.close()).await;
        let closed = self.store.close().await;
        self.shared.log.flush(LAST_LINES);
        closed
    }
}

/// The signals that mean something.
struct Signals {
    hangup: Signal,
    terminate: Signal,
    interrupt: Signal,
}

impl Signals {
    fn new() -> io::Result<Signals> {
        Ok(Signals {
            hangup: signal(SignalKind::hangup())?,
            terminate: signal(SignalKind::terminate())?,
            interrupt: signal(SignalKind::interrupt())?,
        })
    }

    async fn next(&mut self) -> Told {
        tokio::select! {
            _ = self.terminate.recv() => Told::Stop,
            _ = self.interrupt.recv() => Told::Stop,
            _ = self.hangup.recv() => Told::Reload,
        }
    }

    /// Waits for a signal to stop; a hangup while draining means nothing any more.
    async fn stop(&mut self) {
        while !matches!(self.next().await, Told::Stop) {}
    }
}

/// What a signal says.
enum Told {
    Stop,
    Reload,
}

async fn accept_command(socket: &ControlSocket) -> ControlPeer {
    loop {
        match socket.accept().await {
            Ok(peer) => return peer,
            Err(_) => tokio::time::sleep(Duration::from_millis(100)).await,
        }
    }
}

/// Answers one command after the other until the peer hangs up.
async fn converse(shared: Arc<Shared>, mut peer: ControlPeer) {
    while let Ok(Some(line)) = peer.request().await {
        let answer = match serde_json::from_slice(&line) {
            Ok(request) => answer(&shared, request).await,
            // The parser's words could quote the line, so they stay here.
            Err(_) => Answer::Failed { error: "the request is not understood".into() },
        };
        let Ok(text) = serde_json::to_vec(&answer).map(Zeroizing::new) else { return };
        if peer.answer(&text).await.is_err() {
            return;
        }
    }
}

async fn answer(shared: &Shared, request: Request) -> Answer {
    match request {
        Request::Status {} => status(shared),
        Request::Reload {} => match reload::reload(shared) {
            Ok(()) => Answer::Done {},
            Err(error) => Answer::Failed { error },
        },
        other => commands::account(&shared.mailboxes, other).await,
    }
}

fn status(shared: &Shared) -> Answer {
    let kinds = [Kind::Smtp, Kind::Submission, Kind::Submissions, Kind::Imap, Kind::Imaps];
    let sessions = |kind: Kind| (kind.word().into(), shared.admission.sessions(kind).into());
    Answer::Status {
        version: env!("CARGO_PKG_VERSION").into(),
        test: shared.config().server.test,
        sessions: kinds.into_iter().map(sessions).collect(),
    }
}
