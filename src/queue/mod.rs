//! The queue as a machine: what waits to go out, when each is tried, and what is stored of it.
//!
//! A [`Machine`] knows every item, its recipients and their schedule; it is told the time and says
//! what is to be done. Nothing here reads a clock, a disk or a network: [`Machine::next`] gives
//! work, [`Machine::settle`] takes its outcome. What an item looks like on the disk is in
//! [`mod@seal`], whose keys those are in [`mod@epochs`].
//!
//! What is trusted: the caller's times and outcomes. What is not: octets from the disk; what does
//! not open is reported, never guessed.
//!
//! # Standards
//! RFC 5321 §4.5.4.1 (retries, giving up after four to five days), RFC 3461 (who is told what),
//! RFC 3463 (status codes).

pub mod epochs;
mod item;
mod machine;
mod schedule;
pub mod seal;
#[cfg(test)]
mod tests;

pub use item::{
    Envelope, EnvelopeRecipient, ItemId, Notify, Owed, Owner, Progress, RecipientProgress,
    Standing, Trouble,
};
pub use machine::{Due, Machine, NewItem, RecipientView, Restored, Task, Verdict, View};
pub use schedule::{Options, Schedule};
