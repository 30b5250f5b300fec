//! IMAP4rev1 as a machine: octets in, commands out; values in, responses out.
//!
//! [`Receiver`] cuts a byte stream into commands within a budget, [`grammar`] reads a whole command
//! into a [`Command`], [`Session`] says whether it may be given now, [`Out`] writes what is
//! answered, and [`SequenceView`] keeps the message numbers that this client knows. The driver that
//! joins them to a stream and to an account is in the mailbox role.
//!
//! # Trust
//! Everything from a client is hostile, before login all the more: a command is bounded in octets,
//! literals and nesting before anything is made of it, and reading it costs time linear in its
//! length. Errors carry an offset and what was expected there, never what was sent.
//!
//! # Standards
//! RFC 3501 (IMAP4rev1), RFC 2177 (IDLE), RFC 2342 (NAMESPACE), RFC 2971 (ID), RFC 3348 (CHILDREN),
//! RFC 3691 (UNSELECT), RFC 4315 (UIDPLUS), RFC 4959 (SASL-IR), RFC 5161 (ENABLE), RFC 5258
//! (LIST-EXTENDED), RFC 5530 (response codes), RFC 5819 (LIST-STATUS), RFC 6154 (SPECIAL-USE),
//! RFC 6851 (MOVE), RFC 7888 (LITERAL+).
//!
//! # Known gaps
//! CONDSTORE, ESEARCH, COMPRESS and IMAP4rev2 are not announced and refused; `SELECT x (CONDSTORE)`
//! is taken and the parameter passed over. SEARCH knows the charsets US-ASCII and UTF-8.

pub mod command;
pub mod grammar;
pub mod limits;
mod matching;
mod part_text;
mod pattern;
mod receive;
mod render;
mod respond;
mod scan;
mod sequence;
mod session;
pub mod utf7;
mod value;
mod view;

pub use command::{
    Append, Command, FetchItem, ListCommand, ListReturn, ListSelect, Part, Partial, SearchKey,
    SectionItem, SectionText, SelectParam, Spelling, StatusItem, StoreMode, When,
};
pub use matching::{Candidate, Known, Program};
pub use pattern::{Patterns, TooMuch};
pub use receive::{Budget, Event, Fatal, Receiver, Refused};
pub use render::{Answer, Message, Plan, envelope, structure};
pub use respond::{Code, Out};
pub use scan::Scan;
pub use sequence::SequenceSet;
pub use session::{Denial, Session, State, capabilities};
pub use value::{Date, Flag, HIERARCHY_SEPARATOR, MailboxName, Tag};
pub use view::{Change, Place, Rows, SequenceView, Step};
