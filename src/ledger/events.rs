//! What the ledger reports.

use crate::base::event::{Event, Fields, Level};
use crate::mail::Address;

/// An event of the ledger, or of a search for a key.
#[derive(Debug)]
pub(super) enum LedgerEvent<'a> {
    /// It was read.
    Opened { keys: usize, messages: usize },
    /// A part of its file, or all of it, cannot be read and is forgotten. After a power cut the
    /// tail may be missing; otherwise somebody has changed the file, or its key.
    Damaged { lost_bytes: u64 },
    /// It could not be written; it stays in memory and is tried again.
    NotWritten { error: &'a str },
    /// A key was found for the first time.
    KeyFound { address: &'a Address, armored: bool },
    /// Another key than before is published for an address, and is used from now on.
    KeyChanged { address: &'a Address },
    /// A key that was once seen is not published any more.
    KeyMissing { address: &'a Address },
    /// What is published cannot be used.
    KeyUnusable { address: &'a Address, why: &'static str },
    /// A search has failed.
    SearchFailed { address: &'a Address, why: &'static str },
}

impl Event for LedgerEvent<'_> {
    fn level(&self) -> Level {
        use LedgerEvent::*;
        match self {
            NotWritten { .. } => Level::Error,
            Damaged { .. } | KeyChanged { .. } | KeyMissing { .. } | KeyUnusable { .. } => {
                Level::Warn
            }
            Opened { .. } | KeyFound { .. } | SearchFailed { .. } => Level::Info,
        }
    }

    fn name(&self) -> &'static str {
        use LedgerEvent::*;
        match self {
            Opened { .. } => "ledger.opened",
            Damaged { .. } => "ledger.damaged",
            NotWritten { .. } => "ledger.not-written",
            KeyFound { .. } => "key.found",
            KeyChanged { .. } => "key.changed",
            KeyMissing { .. } => "key.missing",
            KeyUnusable { .. } => "key.unusable",
            SearchFailed { .. } => "key.search-failed",
        }
    }

    fn fields(&self, fields: &mut dyn Fields) {
        use LedgerEvent::*;
        match self {
            Opened { keys, messages } => {
                fields.number("keys", *keys as u64);
                fields.number("messages", *messages as u64);
            }
            Damaged { lost_bytes } => fields.number("lost_bytes", *lost_bytes),
            NotWritten { error } => fields.quoted("error", error),
            KeyFound { address, armored } => {
                fields.address("address", &address.to_string());
                fields.word("form", if *armored { "armored" } else { "binary" });
            }
            KeyChanged { address } | KeyMissing { address } => {
                fields.address("address", &address.to_string());
            }
            KeyUnusable { address, why } | SearchFailed { address, why } => {
                fields.address("address", &address.to_string());
                fields.word("why", why);
            }
        }
    }
}
