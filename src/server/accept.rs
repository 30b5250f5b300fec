//! Accepts connections on one listener and watches over the sessions that come of them.
//!
//! A session is a task. When it panics it ends alone: its counters are freed by their guards, the
//! failure is reported without what it was handling, and the listener goes on.

use super::Shared;
use super::admission::{Full, Place};
use super::events::ServerEvent;
use super::session;
use crate::host::listen::{Kind, Listener};
use std::net::SocketAddr;
use std::sync::Arc;
use tokio::net::TcpStream;
use tokio::task::{JoinError, JoinSet};

/// Serves `listener` until the server stops, then waits for the sessions. Dropping the future ends
/// the sessions at once.
pub(super) async fn serve(shared: Arc<Shared>, listener: Listener) {
    let kind = listener.kind();
    let mut stopping = shared.stopping.subscribe();
    let mut sessions = JoinSet::new();
    loop {
        tokio::select! {
            (stream, peer) = listener.accept() => {
                begin(&shared, kind, stream, peer, &mut sessions);
            }
            Some(ended) = sessions.join_next() => report(&shared, kind, ended),
            _ = stopping.wait_for(|stopping| *stopping) => break,
        }
    }
    // New connections are refused from here on.
    drop(listener);
    while let Some(ended) = sessions.join_next().await {
        report(&shared, kind, ended);
    }
}

fn begin(
    shared: &Arc<Shared>,
    kind: Kind,
    stream: TcpStream,
    peer: SocketAddr,
    sessions: &mut JoinSet<()>,
) {
    let limits = shared.session_limits(kind);
    match shared.admission.admit(kind, peer.ip(), limits) {
        Ok(place) => {
            let shared = Arc::clone(shared);
            sessions.spawn(guarded(shared, kind, stream, peer, place));
        }
        Err(full) => turn_away(shared, kind, &stream, peer, full),
    }
}

async fn guarded(
    shared: Arc<Shared>,
    kind: Kind,
    stream: TcpStream,
    peer: SocketAddr,
    place: Place,
) {
    session::run(&shared, kind, stream, peer).await;
    drop(place);
}

/// Says why, where the client can read it before TLS, and closes.
fn turn_away(shared: &Shared, kind: Kind, stream: &TcpStream, peer: SocketAddr, full: Full) {
    let limit = match full {
        Full::All => "all",
        Full::Network => "network",
    };
    shared.events.emit(&ServerEvent::TooManySessions { kind: kind.word(), limit, peer: peer.ip() });
    let text: &[u8] = match kind {
        // RFC 3463 §3.4: X.3.2, the system is not accepting network messages.
        Kind::Smtp | Kind::Submission => b"421 4.3.2 Too many connections, try again later\r\n",
        Kind::Imap => b"* BYE Too many connections, try again later\r\n",
        Kind::Submissions | Kind::Imaps | Kind::Https => b"",
    };
    // A fresh connection's buffer is empty, so a short text always fits; if not, closing says it
    // too.
    let _ = stream.try_write(text);
}

fn report(shared: &Shared, kind: Kind, ended: Result<(), JoinError>) {
    if ended.is_err_and(|error| error.is_panic()) {
        shared.events.emit(&ServerEvent::SessionFailed { kind: kind.word() });
    }
}
