//! What transmission reports.

use std::net::IpAddr;

use crate::base::event::{Event, Fields, Level};
use crate::relay::outgoing::QueueId;
use crate::seams::TlsFacts;
use crate::smtp::client::Status;

/// An event of transmission.
#[derive(Debug)]
pub(super) enum TransmitEvent<'a> {
    /// A transaction has ended with a reply.
    Sent {
        id: QueueId,
        peer: IpAddr,
        tls: Option<&'a TlsFacts>,
        recipients: usize,
        accepted: usize,
        bytes: u64,
        reused: bool,
    },
    /// A server could not be used.
    ServerFailed { id: QueueId, peer: Option<IpAddr>, status: Status, why: &'static str },
    /// TLS was offered and failed, and this message goes in clear instead.
    SentInClear { id: QueueId, peer: IpAddr },
    /// There is nowhere to go.
    NoRoute { id: QueueId, domain: &'a str, status: &'static str },
}

impl Event for TransmitEvent<'_> {
    fn level(&self) -> Level {
        match self {
            TransmitEvent::Sent { .. } => Level::Info,
            _ => Level::Warn,
        }
    }

    fn name(&self) -> &'static str {
        match self {
            TransmitEvent::Sent { .. } => "smtp.sent",
            TransmitEvent::ServerFailed { .. } => "smtp.server-failed",
            TransmitEvent::SentInClear { .. } => "smtp.sent-in-clear",
            TransmitEvent::NoRoute { .. } => "smtp.no-route",
        }
    }

    fn fields(&self, fields: &mut dyn Fields) {
        match self {
            TransmitEvent::Sent { id, peer, tls, recipients, accepted, bytes, reused } => {
                fields.id("message", id);
                fields.peer("peer", *peer);
                fields.word("tls", tls.map_or("none", |facts| facts.version));
                fields.word("cipher", tls.map_or("none", |facts| facts.cipher));
                fields.number("recipients", *recipients as u64);
                fields.number("accepted", *accepted as u64);
                fields.number("bytes", *bytes);
                fields.word("connection", if *reused { "kept" } else { "new" });
            }
            TransmitEvent::ServerFailed { id, peer, status, why } => {
                fields.id("message", id);
                if let Some(peer) = peer {
                    fields.peer("peer", *peer);
                }
                fields.id("status", status);
                fields.word("why", why);
            }
            TransmitEvent::SentInClear { id, peer } => {
                fields.id("message", id);
                fields.peer("peer", *peer);
            }
            TransmitEvent::NoRoute { id, domain, status } => {
                fields.id("message", id);
                fields.address("domain", domain);
                fields.word("status", status);
            }
        }
    }
}
