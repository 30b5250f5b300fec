//! What the queue reports. Addresses are fields of their own kind, hashed by default.

use super::super::outgoing::QueueId;
use crate::base::event::{Event, Fields, Level};
use crate::mail::Address;
use crate::queue::Trouble;

/// An event of the queue.
#[derive(Debug)]
pub(in super::super) enum QueueEvent<'a> {
    /// The queue was opened.
    Restored { items: u64, unreadable: u64 },
    /// A message is durable.
    Queued { id: QueueId, from: Option<&'a Address>, recipients: usize, bytes: usize },
    /// The next server has it.
    Delivered { id: QueueId, recipient: &'a Address, host: &'a str, tls: bool, seconds: u64 },
    /// It will be tried again.
    Deferred { id: QueueId, recipient: &'a Address, why: &'a Trouble, attempts: u64 },
    /// It was given up.
    Bounced { id: QueueId, recipient: &'a Address, why: &'a Trouble },
    /// Somebody has to decide.
    Held { id: QueueId, recipient: &'a Address },
    /// The owner was told something.
    Reported { id: QueueId, what: &'static str },
    /// The owner could not be told; it is tried again.
    NotReported { id: QueueId, what: &'static str },
    /// The owner could not be told for so long that it is given up.
    ReportLost { id: QueueId, what: &'static str },
    /// It has left the queue.
    Removed { id: QueueId },
    /// Somebody gave a command.
    Command { id: QueueId, what: &'static str },
    /// What lies on the disk does not open.
    Damaged { id: QueueId },
    /// How far it had come cannot be read; it is held.
    ProgressLost { id: QueueId },
    /// A round ended by an internal error; its recipients are tried again.
    RoundFailed { id: QueueId },
    /// What happened could not be recorded; it is tried again, and a restart repeats deliveries.
    NotRecorded { items: u64 },
    /// A new day's key pair or journal could not be made; the old one goes on.
    DayNotBegun { error: &'a str },
    /// A past day's secret or journal could not be removed; the next start tries again.
    DayNotEnded { error: &'a str },
}

impl Event for QueueEvent<'_> {
    fn level(&self) -> Level {
        use QueueEvent::*;
        match self {
            Damaged { .. } | ProgressLost { .. } | RoundFailed { .. } => Level::Error,
            ReportLost { .. } | NotRecorded { .. } => Level::Error,
            DayNotBegun { .. } | DayNotEnded { .. } => Level::Error,
            Restored { unreadable, .. } if *unreadable > 0 => Level::Error,
            Bounced { .. } | Held { .. } | NotReported { .. } => Level::Warn,
            _ => Level::Info,
        }
    }

    fn name(&self) -> &'static str {
        use QueueEvent::*;
        match self {
            Restored { .. } => "queue.restored",
            Queued { .. } => "queue.queued",
            Delivered { .. } => "queue.delivered",
            Deferred { .. } => "queue.deferred",
            Bounced { .. } => "queue.bounced",
            Held { .. } => "queue.held",
            Reported { .. } => "queue.reported",
            NotReported { .. } => "queue.not-reported",
            ReportLost { .. } => "queue.report-lost",
            Removed { .. } => "queue.removed",
            Command { .. } => "queue.command",
            Damaged { .. } => "queue.damaged",
            ProgressLost { .. } => "queue.progress-lost",
            RoundFailed { .. } => "queue.round-failed",
            NotRecorded { .. } => "queue.not-recorded",
            DayNotBegun { .. } => "queue.day-not-begun",
            DayNotEnded { .. } => "queue.day-not-ended",
        }
    }

    fn fields(&self, fields: &mut dyn Fields) {
        use QueueEvent::*;
        match self {
            Restored { items, unreadable } => {
                fields.number("items", *items);
                fields.number("unreadable", *unreadable);
            }
            Queued { id, from, recipients, bytes } => {
                fields.id("id", id);
                fields.address("from", &from.map(Address::to_string).unwrap_or_default());
                fields.number("recipients", *recipients as u64);
                fields.number("bytes", *bytes as u64);
            }
            Delivered { id, recipient, host, tls, seconds } => {
                fields.id("id", id);
                fields.address("recipient", &recipient.to_string());
                // Where mail goes says much about to whom.
                fields.address("host", host);
                fields.word("tls", if *tls { "yes" } else { "no" });
                fields.number("seconds", *seconds);
            }
            Deferred { id, recipient, why, attempts } => {
                fields.id("id", id);
                fields.address("recipient", &recipient.to_string());
                fields.quoted("status", &why.status);
                fields.number("attempts", *attempts);
            }
            Bounced { id, recipient, why } => {
                fields.id("id", id);
                fields.address("recipient", &recipient.to_string());
                fields.quoted("status", &why.status);
            }
            Held { id, recipient } => {
                fields.id("id", id);
                fields.address("recipient", &recipient.to_string());
            }
            Reported { id, what } | NotReported { id, what } | ReportLost { id, what } => {
                fields.id("id", id);
                fields.word("what", what);
            }
            Command { id, what } => {
                fields.id("id", id);
                fields.word("what", what);
            }
            Removed { id } | Damaged { id } | ProgressLost { id } | RoundFailed { id } => {
                fields.id("id", id);
            }
            NotRecorded { items } => fields.number("items", *items),
            DayNotBegun { error } | DayNotEnded { error } => fields.quoted("error", error),
        }
    }
}
