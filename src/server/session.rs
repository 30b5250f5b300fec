//! Hands an accepted connection to the driver of its protocol.

use super::Shared;
use crate::host::listen::Kind;
use crate::mailbox::imap::{self, Security};
use crate::relay::{Connection, Listener, ListenerKind};
use crate::smtp::BareNewlines;
use std::net::SocketAddr;
use tokio::net::TcpStream;

/// Serves one connection until it ends.
pub(super) async fn run(shared: &Shared, kind: Kind, stream: TcpStream, peer: SocketAddr) {
    match kind {
        Kind::Smtp => smtp(shared, ListenerKind::Mx, stream, peer).await,
        Kind::Submission => smtp(shared, ListenerKind::Submission, stream, peer).await,
        Kind::Submissions => smtp(shared, ListenerKind::Submissions, stream, peer).await,
        Kind::Imap => imap(shared, Security::StartTls, stream, peer).await,
        Kind::Imaps => imap(shared, Security::Implicit, stream, peer).await,
        Kind::Https => {
            shared.web.serve(Box::new(stream), peer.ip(), shared.stopping.subscribe()).await;
        }
    }
}

async fn smtp(shared: &Shared, kind: ListenerKind, stream: TcpStream, peer: SocketAddr) {
    let listener = Listener { kind, bare_newlines: BareNewlines::Refuse };
    let connection = Connection { stream: Box::new(stream), peer: peer.ip(), listener };
    shared.receiver.serve(connection, shared.stopping.subscribe()).await;
}

async fn imap(shared: &Shared, security: Security, stream: TcpStream, peer: SocketAddr) {
    let peer = Some(peer.ip());
    let connection = imap::Connection { stream: Box::new(stream), peer, security };
    shared.imap.serve(connection, shared.stopping.subscribe()).await;
}
