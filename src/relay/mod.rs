//! Role: receives mail by SMTP, for local accounts (port 25) and from users (587, 465).
//!
//! A [`Receiver`] is shared by all connections of the process; the server accepts connections and
//! calls [`Receiver::serve`] for each. What the role knows of the world are streams and the traits of
//! `seams`: no socket, no file, no other role. It holds no key and stores nothing.

pub mod aliases;
mod options;
mod receive;

pub use aliases::{AliasError, Aliases};
pub use options::{Connection, Limits, Listener, ListenerKind, Options, World};
pub use receive::Receiver;
