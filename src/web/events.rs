//! What the web role reports: how many asked, not for whom.

use crate::base::event::{Event, Fields, Level};
use std::net::IpAddr;

/// An event of the web role.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum WebEvent {
    /// A connection has ended.
    Ended {
        /// From where.
        peer: IpAddr,
        /// Why, in a word.
        why: &'static str,
        /// Requests that were answered.
        requests: u64,
        /// How many of them got a key.
        keys: u64,
    },
    /// A TLS handshake failed.
    HandshakeFailed {
        /// From where.
        peer: IpAddr,
    },
}

impl Event for WebEvent {
    fn level(&self) -> Level {
        Level::Info
    }

    fn name(&self) -> &'static str {
        match self {
            WebEvent::Ended { .. } => "web.ended",
            WebEvent::HandshakeFailed { .. } => "web.handshake-failed",
        }
    }

    fn fields(&self, fields: &mut dyn Fields) {
        match self {
            WebEvent::Ended { peer, why, requests, keys } => {
                fields.peer("peer", *peer);
                fields.word("why", why);
                fields.number("requests", *requests);
                fields.number("keys", *keys);
            }
            WebEvent::HandshakeFailed { peer } => fields.peer("peer", *peer),
        }
    }
}
