//! Role: receives mail by SMTP, for local accounts (port 25) and from users (587, 465).
//!
//! A [`Receiver`] is shared by all connections of the process; the server accepts connections and
//! calls [`Receiver::serve`] for each. What the role knows of the world are streams and the traits
//! of
//! `seams`: no socket, no file, no other role. It holds no key and stores nothing: a message is in
//! memory, within a budget, until the mailbox role says that every copy is durable; then the client
//! hears 250.
//!
//! # Standards
//! RFC 5321 §4.4 (trace fields), §4.5.1 (postmaster), §4.5.3 (limits and timeouts), §6.3 (loops);
//! RFC 3848 (the words behind `with`), RFC 6409, RFC 8314.
//!
//! # Known gaps
//! Mail for other servers is refused: there is no queue yet. A user may submit with any sender's
//! address to local recipients, as may any server on port 25.

pub mod aliases;
mod events;
mod networks;
mod options;
pub mod outgoing;
mod receive;
mod recipients;
mod trace;
mod verdicts;

pub use aliases::{AliasError, Aliases};
pub use options::{Connection, Limits, Listener, ListenerKind, Options, World};
pub use receive::Receiver;
pub use verdicts::Incoming;

#[cfg(test)]
mod tests;
