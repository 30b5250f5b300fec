//! The running server: signals, the control socket, and the end.
//!
//! # How it ends
//! SIGTERM (or SIGINT): no new connections; sessions are told, finish the command or delivery they
//! are in and say goodbye; after `server.drain`, or at a second signal, the rest is cut off. Then
//! accounts are locked, the journal is closed, the index is synced and the clean-stop marker is
//! written. Whoever skips this by SIGKILL loses nothing that was acknowledged.

use super::events::ServerEvent;
use super::protocol::{Answer, Request};
use super::{Server, Shared, accept, commands, explain, queue, reload};
use crate::config::convert;
use crate::host::control::{ControlPeer, ControlSocket};
use crate::host::listen::{KINDS, Kind};
use crate::host::notify::{State, notify};
use std::io;
use std::sync::Arc;
use std::time::Duration;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::mpsc;
use tokio::task::{JoinHandle, JoinSet};
use tokio::time::timeout;
use zeroize::Zeroizing;

/// How often old ticket keys are looked after; well within their half hour.
const TICKET_CARE: Duration = Duration::from_secs(5 * 60);

/// How often the certificates' files are looked at: who renews them need not tell us.
const CERTIFICATE_CARE: Duration = Duration::from_secs(60);

/// How often it is looked whose public key ends.
const EXPIRY_CARE: Duration = Duration::from_secs(60 * 60);

/// Commands that may be carried out at once; more wait in the socket's backlog.
const COMMANDS_MAX: usize = 16;

/// How long a peer at the control socket may be silent: commands ask at once.
const COMMAND_PATIENCE: Duration = Duration::from_secs(60);

/// How long the log may take for its last lines.
const LAST_LINES: Duration = Duration::from_secs(2);

/// How long accounts may take to finish a change that is under way.
const ACCOUNTS_CLOSE: Duration = Duration::from_secs(10);

impl Server {
    /// Serves until a signal says to stop, then closes everything.
    pub async fn run(self) -> io::Result<()> {
        let told = signals()?;
        self.serve(told).await
    }

    /// Serves until it is told to stop; when nobody can tell any more, that is a stop, too.
    async fn serve(mut self, mut told: mpsc::Receiver<Told>) -> io::Result<()> {
        let mut listeners = JoinSet::new();
        let count = self.listeners.len() as u64;
        for listener in self.listeners.drain(..) {
            listeners.spawn(accept::serve(Arc::clone(&self.shared), listener));
        }
        // The queue's runner ends as the listeners do: told to stop, then cut off.
        let mut runner = self.run_queue();
        listeners.spawn(async move { drop((&mut runner.0).await) });
        self.shared.events.emit(&ServerEvent::Ready { listeners: count });
        self.shared.look_at_aliases();
        notify(State::Ready);
        self.until_stopped(&mut told).await;
        notify(State::Stopping);
        self.drain(&mut told, listeners).await;
        self.close().await
    }

    fn run_queue(&self) -> Runner {
        let deliver = Arc::new(self.shared.mailboxes.clone());
        let hostname = self.shared.config().server.hostname.0.clone();
        let stopping = self.shared.stopping.subscribe();
        Runner(self.outbound.run(&self.shared.sending, deliver, hostname, stopping))
    }

    async fn until_stopped(&mut self, told: &mut mpsc::Receiver<Told>) {
        let mut care = tokio::time::interval(TICKET_CARE);
        let mut certificates = tokio::time::interval(CERTIFICATE_CARE);
        let mut expiries = tokio::time::interval(EXPIRY_CARE);
        let mut looked = self.shared.clock.now();
        let mut commands = JoinSet::new();
        loop {
            tokio::select! {
                said = told.recv() => match said {
                    Some(Told::Stop) | None => return,
                    // What went wrong was logged; the old configuration goes on.
                    Some(Told::Reload) => drop(reload::reload(&self.shared)),
                },
                peer = accept_command(&self.control), if commands.len() < COMMANDS_MAX => {
                    commands.spawn(converse(Arc::clone(&self.shared), peer));
                }
                Some(_) = commands.join_next() => {}
                // Better a new start than a server that puts everything off for ever.
                () = async { tokio::select! {
                    () = self.store.failed() => {}
                    () = self.outbound.failed() => {}
                } } => {
                    self.shared.events.emit(&ServerEvent::StoreFailed);
                    return;
                }
                _ = care.tick() => {
                    self.shared.tls.forget_old_tickets();
                    self.shared.web_tls.forget_old_tickets();
                }
                _ = certificates.tick() => {
                    reload::renewed_certificates(&self.shared);
                    reload::doubted_certificates(&self.shared);
                }
                _ = expiries.tick() => {
                    let (mailboxes, since) = (self.shared.mailboxes.clone(), looked);
                    looked = self.shared.clock.now();
                    commands.spawn(async move {
                        mailboxes.announce_expiries(since, looked).await;
                    });
                }
            }
        }
    }

    async fn drain(&self, told: &mut mpsc::Receiver<Told>, mut listeners: JoinSet<()>) {
        let sessions = u64::from(self.shared.admission.all_sessions());
        self.shared.events.emit(&ServerEvent::Stopping { sessions });
        self.shared.stopping.send_replace(true);
        let drain = self.shared.config().server.drain;
        tokio::select! {
            () = async { while listeners.join_next().await.is_some() {} } => {}
            () = tokio::time::sleep(drain) => {}
            () = stop(told) => {}
        }
        let cut_off = u64::from(self.shared.admission.all_sessions());
        listeners.shutdown().await;
        self.shared.events.emit(&ServerEvent::Stopped { cut_off });
    }

    async fn close(self) -> io::Result<()> {
        let _ = tokio::time::timeout(ACCOUNTS_CLOSE, self.shared.mailboxes.close()).await;
        let queue_closed = self.outbound.close().await;
        self.shared.discovery.close().await;
        let closed = self.store.close().await.and(queue_closed);
        self.shared.log.flush(LAST_LINES);
        closed
    }
}

/// The queue's runner; dropping this cuts it off.
struct Runner(JoinHandle<()>);

impl Drop for Runner {
    fn drop(&mut self) {
        self.0.abort();
    }
}

/// What the server is told from outside.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Told {
    Stop,
    Reload,
}

/// SIGHUP, SIGTERM and SIGINT, as they come.
fn signals() -> io::Result<mpsc::Receiver<Told>> {
    let mut hangup = signal(SignalKind::hangup())?;
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    let (tell, told) = mpsc::channel(1);
    tokio::spawn(async move {
        loop {
            let what = tokio::select! {
                _ = terminate.recv() => Told::Stop,
                _ = interrupt.recv() => Told::Stop,
                _ = hangup.recv() => Told::Reload,
            };
            if tell.send(what).await.is_err() {
                return;
            }
        }
    });
    Ok(told)
}

/// Waits for a second stop; a reload while draining means nothing any more.
async fn stop(told: &mut mpsc::Receiver<Told>) {
    while told.recv().await == Some(Told::Reload) {}
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
    while let Ok(Ok(Some(line))) = timeout(COMMAND_PATIENCE, peer.request()).await {
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
        Request::KeyLookup { address } => shared.discovery.look_up(&address).await,
        Request::Explain { from, to } => {
            let local = convert::domains(&shared.config());
            explain::explain(&shared.sending, &local, &from, &to).await
        }
        Request::Queue { what, id, accepted } => {
            queue::answer(&shared.queue, what, id, accepted).await
        }
        Request::AccountRemove { .. } => {
            let before = shared.receiver.broken().await;
            let answer = commands::account(&shared.mailboxes, request).await;
            commands::removed(answer, &before, shared.receiver.broken().await)
        }
        other => commands::account(&shared.mailboxes, other).await,
    }
}

fn status(shared: &Shared) -> Answer {
    let sessions = |kind: Kind| (kind.word().into(), shared.admission.sessions(kind).into());
    Answer::Status {
        version: env!("CARGO_PKG_VERSION").into(),
        test: shared.config().server.test,
        sessions: KINDS.into_iter().map(sessions).collect(),
    }
}

#[cfg(test)]
mod tests;
