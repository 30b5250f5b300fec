//! Role: receives mail by SMTP, for local accounts (port 25) and from users (587, 465), and sends
//! what users write to others: [`queue`] keeps it, [`runner`] takes its turns, [`prepare`] looks
//! up, plans and seals, [`transmit`] delivers. [`outgoing`] has the types between them.
//!
//! A [`Receiver`] is shared by all connections of the process; the server accepts connections and
//! calls [`Receiver::serve`] for each. What the role knows of the world are streams and traits: no
//! socket, no file, no other role. It holds no user's key. A message for users here is in memory,
//! within a budget, until the mailbox role says that every copy is durable; one for others until it
//! lies sealed in the queue's journal. Then the client hears 250.
//!
//! # Standards
//! RFC 5321 §4.4 (trace fields), §4.5.1 (postmaster), §4.5.3 (limits and timeouts), §6.3 (loops);
//! RFC 3848 and RFC 6531 §4.3 (the words behind `with`), RFC 6409, RFC 8314.
//!
//! # Known gaps
//! An alias leads to accounts here alone. On port 25 any server may name any sender.

pub mod aliases;
mod bounce;
mod delivered;
mod events;
mod networks;
mod options;
pub mod outgoing;
pub mod prepare;
pub mod queue;
mod quota;
mod receive;
mod recipients;
pub mod route;
pub mod runner;
mod submit;
mod trace;
pub mod transmit;
mod verdicts;

pub use aliases::{Alias, AliasError, Aliases};
pub use options::{
    Connection, Limits, Listener, ListenerKind, Options, Outbound, SubmissionOptions, World,
};
pub use queue::Queue;
pub use quota::Rates;
pub use receive::Receiver;
pub use recipients::Broken;
pub use route::Relayhost;
pub use transmit::Transmitter;
pub use verdicts::Incoming;

#[cfg(test)]
mod tests;
