//! What IMAP sessions report. Logins are reported by the role.

use crate::base::event::{Event, Fields, Level};
use crate::base::ids::AccountNumber;
use std::net::IpAddr;

/// An event of an IMAP session.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ImapEvent {
    /// A session has ended.
    Ended {
        /// Whose, if somebody was logged in.
        account: Option<AccountNumber>,
        /// From where.
        peer: Option<IpAddr>,
        /// Why, in a word.
        why: &'static str,
        /// Commands that were answered.
        commands: u64,
        /// Octets that were sent.
        sent_bytes: u64,
    },
    /// A TLS handshake failed.
    HandshakeFailed {
        /// From where.
        peer: Option<IpAddr>,
    },
    /// ALARM: a stored message is not what was written.
    MessageDamaged {
        /// Whose.
        account: AccountNumber,
        /// Its UID.
        uid: u32,
    },
}

impl Event for ImapEvent {
    fn level(&self) -> Level {
        match self {
            ImapEvent::MessageDamaged { .. } => Level::Error,
            ImapEvent::Ended { .. } | ImapEvent::HandshakeFailed { .. } => Level::Info,
        }
    }

    fn name(&self) -> &'static str {
        match self {
            ImapEvent::Ended { .. } => "imap.ended",
            ImapEvent::HandshakeFailed { .. } => "imap.handshake-failed",
            ImapEvent::MessageDamaged { .. } => "imap.message-damaged",
        }
    }

    fn fields(&self, fields: &mut dyn Fields) {
        match self {
            ImapEvent::Ended { account, peer, why, commands, sent_bytes } => {
                if let Some(account) = account {
                    fields.number("account", account.0.into());
                }
                peer_field(fields, *peer);
                fields.word("why", why);
                fields.number("commands", *commands);
                fields.number("sent_bytes", *sent_bytes);
            }
            ImapEvent::HandshakeFailed { peer } => peer_field(fields, *peer),
            ImapEvent::MessageDamaged { account, uid } => {
                fields.number("account", account.0.into());
                fields.number("uid", u64::from(*uid));
            }
        }
    }
}

fn peer_field(fields: &mut dyn Fields, peer: Option<IpAddr>) {
    if let Some(peer) = peer {
        fields.peer("peer", peer);
    }
}
