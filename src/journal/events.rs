//! What the journal reports. The machine itself reports nothing; its owner does, by [`report`].

use super::{AppendError, Cut, Damage, Recovery};
use crate::base::event::{Event, Fields, Level, Log};

/// What can happen to a journal.
#[derive(Clone, Copy, Debug)]
pub enum JournalEvent {
    /// It was opened.
    Opened {
        /// Segments there are.
        segments: u32,
        /// Frames carried from an unmarked tail.
        carried_frames: u32,
        /// Large files removed because nothing names them.
        orphans: u32,
    },
    /// The directory is a copy: the incarnation was raised.
    Copied,
    /// A tail that was never acknowledged was cut.
    Cut(Cut),
    /// Something is not as it was written.
    Damaged(Damage),
    /// A batch was not appended.
    Refused(AppendError),
}

impl Event for JournalEvent {
    fn level(&self) -> Level {
        match self {
            JournalEvent::Opened { .. } => Level::Info,
            JournalEvent::Copied | JournalEvent::Cut(_) => Level::Warn,
            JournalEvent::Damaged(_) | JournalEvent::Refused(_) => Level::Error,
        }
    }

    fn name(&self) -> &'static str {
        match self {
            JournalEvent::Opened { .. } => "journal.opened",
            JournalEvent::Copied => "journal.is-a-copy",
            JournalEvent::Cut(_) => "journal.torn-tail-cut",
            JournalEvent::Damaged(_) => "journal.damaged",
            JournalEvent::Refused(_) => "journal.not-appended",
        }
    }

    fn fields(&self, fields: &mut dyn Fields) {
        match self {
            JournalEvent::Opened { segments, carried_frames, orphans } => {
                fields.number("segments", u64::from(*segments));
                fields.number("carried_frames", u64::from(*carried_frames));
                fields.number("orphans", u64::from(*orphans));
            }
            JournalEvent::Copied => {}
            JournalEvent::Cut(cut) => {
                fields.number("segment", u64::from(cut.segment));
                fields.number("offset", cut.offset);
                fields.number("bytes", cut.bytes);
            }
            JournalEvent::Damaged(damage) => {
                fields.number("segment", u64::from(damage.segment));
                fields.number("offset", damage.offset);
                if let Some(slot) = damage.slot {
                    fields.number("slot", u64::from(slot));
                }
                fields.quoted("what", &damage.what.to_string());
            }
            JournalEvent::Refused(error) => fields.quoted("why", &error.to_string()),
        }
    }
}

/// Reports what was found and done at open.
pub fn report(recovery: &Recovery, log: &Log) {
    log.emit(&JournalEvent::Opened {
        segments: recovery.segments,
        carried_frames: recovery.carried_frames,
        orphans: recovery.orphans,
    });
    if recovery.copied {
        log.emit(&JournalEvent::Copied);
    }
    recovery.cuts.iter().for_each(|cut| log.emit(&JournalEvent::Cut(*cut)));
    recovery.damage.iter().for_each(|damage| log.emit(&JournalEvent::Damaged(*damage)));
}
