//! The SMTP client as a machine: bytes in, bytes and events out; no socket, no clock, no task.
//!
//! A driver sends what [`Client::output`] shows, feeds what it reads, and waits as long as
//! [`Client::waiting`] tells it to be patient. The machine greets, asks for TLS, logs in, and then
//! does transactions one after another, with a [`Verdict`] for each recipient.
//!
//! A server is not believed. Octets that answer nothing end the session: what was said in clear
//! ahead of a TLS handshake or behind the 220 to STARTTLS is never interpreted. Replies are bounded
//! by [`limits`]. A password goes out only within TLS. A message is sent only as [`Content`], which
//! holds CRLF as its only line end, so that no server can see another end of it than ours.
//!
//! Messages go by DATA, never by BDAT: a chunk saves a round trip only if it is sent before the
//! server has agreed to take it, and a server that refuses and does not swallow it would read
//! its text as commands.
//!
//! # Standards
//! RFC 5321, RFC 2920 (PIPELINING), RFC 1870 (SIZE), RFC 6152 (8BITMIME), RFC 6531 (SMTPUTF8), RFC
//! 2034 and RFC 3463 (enhanced codes), RFC 3207 (STARTTLS), RFC 3461 (DSN), RFC 4954 (AUTH) with
//! RFC 4616 (PLAIN), RFC 7504 (521).
//!
//! # Known gaps
//! CHUNKING and BINARYMIME (RFC 3030) are not used. LOGIN and PLAIN are the only mechanisms.

mod content;
mod envelope;
mod extensions;
pub mod limits;
mod reply;
mod session;
mod transaction;

pub use content::{Content, ContentFault};
pub use envelope::{Envelope, Lack, Recipient};
pub use extensions::Extensions;
pub use reply::{Reply, ReplyError, Status};
pub use session::{Broken, Client, Credential, Event, Options, Security, Waiting};
pub use transaction::Verdict;

#[cfg(test)]
mod tests;
