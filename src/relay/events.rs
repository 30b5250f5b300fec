//! What the relay role reports.

use std::net::IpAddr;

use crate::base::event::{Event, Fields, Level};
use crate::base::ids::AccountNumber;
use crate::mail::Address;
use crate::smtp::{Answer, Ending, Reply};

use super::outgoing::QueueId;

/// An event of the role. Sessions are named by their random ids.
#[derive(Debug)]
pub(super) enum RelayEvent<'a> {
    /// A connection was one too many.
    ConnectionRefused { peer: IpAddr },
    /// A TLS handshake failed or took too long.
    HandshakeFailed { session: &'a str, peer: IpAddr },
    /// A credential was judged.
    Login { session: &'a str, peer: IpAddr, accepted: bool },
    /// A recipient was refused.
    RecipientRefused { session: &'a str, recipient: &'a Address, reply: Reply },
    /// The alias in that line of the file leads to somebody who does not exist.
    AliasBroken { line: usize },
    /// The stand-in for postmaster leads to somebody who does not exist.
    PostmasterBroken,
    /// Mail for postmaster cannot be given to anybody.
    PostmasterMissing,
    /// A message is durable.
    Accepted {
        session: &'a str,
        peer: IpAddr,
        from: Option<&'a Address>,
        recipients: usize,
        bytes: usize,
    },
    /// A message for elsewhere is in the queue.
    Queued { session: &'a str, id: QueueId, recipients: usize },
    /// A user wanted to write under a name that is not his.
    SenderRefused { session: &'a str, account: AccountNumber, address: &'a Address },
    /// A user has sent as much as he may.
    RateReached { session: &'a str, account: AccountNumber },
    /// A whole message was not taken.
    MessageRefused { session: &'a str, answer: &'a Answer, bytes: usize },
    /// It was judged who sent a message.
    Judged {
        session: &'a str,
        peer: IpAddr,
        spf: &'static str,
        dkim: &'static str,
        dmarc: &'static str,
        proved: bool,
        junk: bool,
    },
    /// This side ended a session for a reason that is worth knowing.
    Ended { session: &'a str, peer: IpAddr, ending: Ending },
}

impl Event for RelayEvent<'_> {
    fn level(&self) -> Level {
        match self {
            RelayEvent::PostmasterMissing | RelayEvent::AliasBroken { .. } => Level::Error,
            RelayEvent::PostmasterBroken => Level::Error,
            RelayEvent::MessageRefused { .. } | RelayEvent::ConnectionRefused { .. } => Level::Warn,
            RelayEvent::Ended { .. } | RelayEvent::RateReached { .. } => Level::Warn,
            _ => Level::Info,
        }
    }

    fn name(&self) -> &'static str {
        match self {
            RelayEvent::ConnectionRefused { .. } => "smtp.connection-refused",
            RelayEvent::HandshakeFailed { .. } => "smtp.handshake-failed",
            RelayEvent::Login { accepted: true, .. } => "smtp.login-accepted",
            RelayEvent::Login { accepted: false, .. } => "smtp.login-refused",
            RelayEvent::RecipientRefused { .. } => "smtp.recipient-refused",
            RelayEvent::AliasBroken { .. } => "smtp.alias-broken",
            RelayEvent::PostmasterBroken => "smtp.postmaster-broken",
            RelayEvent::PostmasterMissing => "smtp.postmaster-missing",
            RelayEvent::Accepted { .. } => "smtp.message-accepted",
            RelayEvent::Queued { .. } => "smtp.message-queued",
            RelayEvent::SenderRefused { .. } => "smtp.sender-refused",
            RelayEvent::RateReached { .. } => "smtp.rate-reached",
            RelayEvent::MessageRefused { .. } => "smtp.message-refused",
            RelayEvent::Judged { .. } => "smtp.sender-judged",
            RelayEvent::Ended { .. } => "smtp.session-ended",
        }
    }

    fn fields(&self, fields: &mut dyn Fields) {
        match self {
            RelayEvent::ConnectionRefused { peer } => fields.peer("peer", *peer),
            RelayEvent::PostmasterMissing | RelayEvent::PostmasterBroken => {}
            RelayEvent::AliasBroken { line } => fields.number("line", *line as u64),
            RelayEvent::HandshakeFailed { session, peer }
            | RelayEvent::Login { session, peer, .. } => {
                fields.id("session", session);
                fields.peer("peer", *peer);
            }
            RelayEvent::RecipientRefused { session, recipient, reply } => {
                fields.id("session", session);
                fields.address("recipient", &recipient.to_string());
                reply_fields(fields, reply);
            }
            RelayEvent::Accepted { session, peer, from, recipients, bytes } => {
                fields.id("session", session);
                fields.peer("peer", *peer);
                let from = from.map(Address::to_string).unwrap_or_default();
                fields.address("from", &from);
                fields.number("recipients", *recipients as u64);
                fields.number("bytes", *bytes as u64);
            }
            RelayEvent::Queued { session, id, recipients } => {
                fields.id("session", session);
                fields.id("queue", id);
                fields.number("recipients", *recipients as u64);
            }
            RelayEvent::SenderRefused { session, account, address } => {
                fields.id("session", session);
                fields.number("account", u64::from(account.0));
                fields.address("sender", &address.to_string());
            }
            RelayEvent::RateReached { session, account } => {
                fields.id("session", session);
                fields.number("account", u64::from(account.0));
            }
            RelayEvent::MessageRefused { session, answer, bytes } => {
                fields.id("session", session);
                fields.number("code", u64::from(answer.code()));
                fields.id("enhanced", &answer.enhanced());
                fields.number("bytes", *bytes as u64);
            }
            RelayEvent::Judged { session, peer, spf, dkim, dmarc, proved, junk } => {
                fields.id("session", session);
                fields.peer("peer", *peer);
                fields.word("spf", spf);
                fields.word("dkim", dkim);
                fields.word("dmarc", dmarc);
                fields.word("author", if *proved { "proved" } else { "not-proved" });
                fields.word("role", if *junk { "junk" } else { "inbox" });
            }
            RelayEvent::Ended { session, peer, ending } => {
                fields.id("session", session);
                fields.peer("peer", *peer);
                fields.word("why", word(*ending));
            }
        }
    }
}

fn reply_fields(fields: &mut dyn Fields, reply: &Reply) {
    fields.number("code", u64::from(reply.code));
    fields.word("enhanced", reply.enhanced);
}

fn word(ending: Ending) -> &'static str {
    match ending {
        Ending::Quit => "quit",
        Ending::EarlyTalk => "early-talk",
        Ending::BehindStartTls => "behind-starttls",
        Ending::BehindData => "behind-data",
        Ending::BareNewline => "bare-newline",
        Ending::Bdat => "bdat",
        Ending::TooMuch => "too-much",
        Ending::Idle => "idle",
        Ending::Draining => "draining",
        Ending::Refused => "refused",
    }
}
