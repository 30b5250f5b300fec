//! Role: seal and store what arrives, run one task per unlocked account, answer IMAP.
//!
//! [`Mailboxes`] is the whole role behind one handle. The relay role sees it as
//! [`seams::Deliver`](crate::seams::Deliver) and
//! [`seams::Authenticate`](crate::seams::Authenticate), the web role as
//! [`seams::Publish`](crate::seams::Publish); the IMAP driver calls
//! [`Mailboxes::login_to_read`] and works on the [`AccountHandle`] it gets; the control socket
//! calls the verbs (`add`, `passwd`, `lock`, ...) on [`Mailboxes`].
//!
//! # How it fits
//! A delivery is analysed once, sealed once per recipient and submitted as one batch; it needs no
//! key but the public one in the account's file. A login opens a slot, and the witness of that very
//! opening starts (or attaches to) the account's task. The task owns the account's machine and does
//! one thing at a time: plan, submit, wait until durable, commit, publish, answer. Sessions read
//! what was published and open messages themselves.
//!
//! # What it trusts, and what not
//! It trusts the journal's word that something is durable, and the vault's word that a credential
//! is right. It does not trust the account files on disk (each is believed only after its MAC), the
//! message (parsed by `mail` under its limits), nor root on the control socket (each verb that
//! makes a slot needs the owner's credential in the same request).
//!
//! # Order of visibility
//! append, sync, commit to memory, publish to sessions, reply. Nothing that is not durable is ever
//! seen by anyone, other sessions of the same account included.

mod admin;
mod board;
mod cache;
mod core;
mod deliver;
mod directory;
mod events;
mod expiry;
mod handle;
pub mod imap;
mod kdf;
mod keys;
mod large;
mod life;
mod login;
mod note;
mod opened;
mod options;
mod publish;
mod registry;
mod resident;
mod service;
mod task;

#[cfg(test)]
pub(crate) mod tests;

pub use admin::{Added, AdminError, Line, State};
pub use board::Version;
pub use events::MailboxEvent;
pub use handle::{AccountHandle, Append, ApplyError, Locked, ReadError};
pub use keys::KeyInfo;
pub use opened::Room;
pub use options::Options;
pub use publish::wkd_hash;
pub use service::{Login, Mailboxes, Parts};
