//! The SMTP server as a machine: bytes in, bytes and events out; no socket, no clock, no task. The
//! client is in [`client`].
//!
//! A driver feeds a [`Session`] what it reads and sends what the session has to say. Where the
//! session cannot decide by itself (is this recipient ours? is this password right? may the message
//! come? was it stored?) it hands out an [`Event`] and stands still until it is answered by a
//! method.
//!
//! What a client sends is not believed. A message ends at CRLF.CRLF and nowhere else; a CR or LF
//! alone is refused, because another server may take it for a line end and ours not (or the other
//! way round), and then two servers see different messages. What was sent in clear behind STARTTLS
//! ends the session. Everything is bounded by [`limits`] and [`Options`].
//!
//! # Standards
//! RFC 5321, RFC 2920 (PIPELINING), RFC 1870 (SIZE), RFC 6152 (8BITMIME), RFC 2034 and RFC 3463
//! (enhanced codes), RFC 3207 (STARTTLS), RFC 4954 (AUTH), RFC 6409 (submission), RFC 8314
//! (implicit TLS), RFC 6531 (SMTPUTF8), RFC 3030 (CHUNKING), RFC 3461 (DSN, offered to users;
//! what is asked for is read and handed on).
//!
//! # Known gaps
//! BINARYMIME (RFC 3030 §3) is not offered, and an ORCPT in raw UTF-8 (RFC 6533 §3) is refused.
//! Line lengths inside a message are not limited.

mod chunk;
pub mod client;
mod command;
mod data;
mod dialog;
pub mod limits;
mod reply;
mod session;

pub use command::{DsnNotify, DsnReturn, RecipientPath};
pub use dialog::AuthAnswer;
pub use reply::{Answer, Reply, replies};
pub use session::{Body, Ending, Event, Recipient, Session, Transaction, Waiting};

/// What a listener is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ListenerKind {
    /// Mail from other servers, for local recipients (port 25). No AUTH.
    Mx,
    /// Mail from users: STARTTLS, then AUTH (port 587, RFC 6409).
    Submission,
    /// Mail from users: TLS from the first octet (port 465, RFC 8314).
    Submissions,
}

impl ListenerKind {
    /// Whether mail is taken only from users who have logged in.
    pub fn needs_auth(self) -> bool {
        self != ListenerKind::Mx
    }
}

/// What is done with a CR or LF that is not half of a CRLF.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum BareNewlines {
    /// The command or message is refused and the session ended (RFC 5321 §2.3.8).
    #[default]
    Refuse,
    /// It becomes CRLF, for old devices. It still never ends a message.
    Normalise,
}

/// What a session is told.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Options {
    /// The name this server calls itself by.
    pub hostname: String,
    /// What the listener is for.
    pub kind: ListenerKind,
    /// What is done with CR or LF alone.
    pub bare_newlines: BareNewlines,
    /// The SASL mechanisms that are offered, by their registered names.
    pub mechanisms: Vec<&'static str>,
    /// Whether STARTTLS can be done.
    pub tls_offered: bool,
    /// Octets of a message at most (RFC 1870).
    pub message_bytes_max: u64,
    /// Recipients of a message at most.
    pub recipients_max: usize,
    /// Errors after which the session is ended.
    pub errors_max: u32,
    /// Commands since the last accepted message after which the session is ended.
    pub commands_max: u32,
    /// Octets of the session at most.
    pub session_bytes_max: u64,
}

#[cfg(test)]
mod tests;
