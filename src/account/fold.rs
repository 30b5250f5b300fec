//! Folding: arrivals that wait become messages with UIDs.
//!
//! The expensive half (one public-key operation a message) needs no state and may run on another
//! thread: [`FoldWork::run`]. What it finds is only ever filed and flagged: there is no way from
//! here to anything that a stranger could see. What does not open becomes a placeholder with a UID,
//! so that a forged arrival neither stops the fold nor vanishes.

use super::catalog::{INBOX, MailboxId, SpecialUse};
use super::command::Folded;
use super::flags::Flags;
use super::open;
use super::plan::room_for;
use super::record::{FoldGroup, FoldedRow, Folding, KeyImage, Place, RowImage, short};
use super::state::State;
use super::view::{KEY_BYTES, Kind};
use crate::base::clock::UnixTime;
use crate::base::ids::ObjectId;
use crate::base::secret::SecretBytes;
use crate::journal::{Address, ReadError, Reader};
use crate::pgp::{self, PKESK_PREFIX_BYTES, SessionKey};
use crate::store::{ArrivalRecord, Role, open_record};
use crate::vault::Unlocked;
use std::collections::{BTreeMap, HashSet};
use std::panic::{self, AssertUnwindSafe};

/// Arrivals that the disk may refuse before a fold step is given up: a bad place is stepped over, a
/// dead disk is left alone for a while.
const FAILURES_MAX: usize = 8;

/// Arrivals taken out for a fold step: owns all it needs, so that it can run on another thread.
pub struct FoldWork {
    pub(super) arrivals: Vec<Address>,
    pub(super) unlocked: Unlocked,
    pub(super) reader: Reader,
    pub(super) place: Place,
}

/// What a fold step found.
pub struct Opened {
    found: Vec<Found>,
    /// The disk did not give these: they are left for a later step.
    pub(super) put_off: Vec<Address>,
}

struct Found {
    frame: Address,
    what: What,
}

pub(super) enum What {
    /// Its record opened.
    Message { object: ObjectId, key: SessionKey, record: Box<ArrivalRecord> },
    /// It did not open and never will.
    Unreadable { object: ObjectId },
    /// It was erased meanwhile.
    Erased,
}

/// All that a fold may do with a message. There is no Send.
enum Effect {
    /// Put it into this mailbox with these flags.
    File(MailboxId, Flags),
    /// It has a row already, or nobody ever acknowledged it.
    Drop,
}

impl FoldWork {
    /// Opens the records: one public-key operation a message, about 220 us each. Blocks.
    pub fn run(self) -> Opened {
        self.run_by(|frame| self.open(frame))
    }

    /// Nothing that one frame does, or that the disk does under it, keeps the others back.
    pub(super) fn run_by(&self, open: impl Fn(Address) -> Result<What, ReadError>) -> Opened {
        let mut opened =
            Opened { found: Vec::with_capacity(self.arrivals.len()), ..Opened::none() };
        for &frame in &self.arrivals {
            // Hostile octets go through parsers of others here: what one of them does not survive
            // would else end the unlock, again and again.
            let caught = panic::catch_unwind(AssertUnwindSafe(|| open(frame)));
            match caught.unwrap_or_else(|_| self.unreadable(frame, ReadError::Unknown(frame))) {
                Ok(what) => opened.found.push(Found { frame, what }),
                Err(_) => opened.put_off.push(frame),
            }
            if opened.put_off.len() >= FAILURES_MAX {
                break;
            }
        }
        opened
    }

    pub(super) fn open(&self, frame: Address) -> Result<What, ReadError> {
        let (info, head) = match self.reader.info_and_head(frame) {
            Ok(found) => found,
            Err(error) => return self.unreadable(frame, error),
        };
        let prefix = match self.reader.body_prefix(frame, PKESK_PREFIX_BYTES) {
            Ok(prefix) => prefix,
            Err(error) => return self.unreadable(frame, error),
        };
        let object = info.object;
        let opened = pgp::recipient(&prefix).ok().and_then(|subkey| {
            let key = self.unlocked.session_key(&prefix).ok()?;
            let Place { server, account, .. } = &self.place;
            let record =
                open_record(&key, server, *account, object, &subkey, &info.body_sha256, &head)
                    .ok()?;
            Some(What::Message { object, key, record: Box::new(record) })
        });
        Ok(opened.unwrap_or(What::Unreadable { object }))
    }

    /// What a frame that cannot be read becomes; an error only if the disk may do better later.
    fn unreadable(&self, frame: Address, error: ReadError) -> Result<What, ReadError> {
        match error {
            ReadError::Io(_) => Err(error),
            ReadError::Erased(_) => Ok(What::Erased),
            ReadError::Unknown(_) | ReadError::Damaged(..) => {
                let object = self.reader.info(frame).map(|info| info.object);
                Ok(object.map_or(What::Erased, |object| What::Unreadable { object }))
            }
        }
    }
}

impl Opened {
    fn none() -> Opened {
        Opened { found: Vec::new(), put_off: Vec::new() }
    }

    /// How many arrivals were looked at.
    pub fn len(&self) -> usize {
        self.found.len()
    }

    /// Whether there was none to look at.
    pub fn is_empty(&self) -> bool {
        self.found.is_empty()
    }
}

/// Gives what was opened its UIDs.
pub(super) fn plan(state: &State, opened: Opened, now: UnixTime) -> (Folding, Folded) {
    let mut folder = Folder { state, groups: BTreeMap::new(), now };
    let (mut dropped, mut counts, mut batch) = (Vec::new(), Folded::default(), HashSet::new());
    for Found { frame, what } in opened.found {
        let object = match &what {
            What::Message { object, .. } | What::Unreadable { object } => short(*object),
            What::Erased => {
                dropped.push(frame);
                continue;
            }
        };
        if !state.pending.contains(&frame) {
            continue;
        }
        if state.seen.contains(&object) || !batch.insert(object) {
            counts.repeated += 1;
            dropped.push(frame);
            continue;
        }
        match folder.file(frame, object, what) {
            Filed::Message => counts.messages += 1,
            Filed::Placeholder => {
                counts.messages += 1;
                counts.placeholders += 1;
            }
            Filed::Dropped => dropped.push(frame),
            Filed::NoRoom => {}
        }
    }
    let groups = folder.groups.into_values().collect();
    (Folding { groups, dropped }, counts)
}

enum Filed {
    Message,
    Placeholder,
    Dropped,
    /// The mailbox has given out all its UIDs; the arrival stays where it is.
    NoRoom,
}

struct Folder<'a> {
    state: &'a State,
    groups: BTreeMap<MailboxId, FoldGroup>,
    now: UnixTime,
}

impl Folder<'_> {
    fn file(&mut self, frame: Address, object: u64, what: What) -> Filed {
        let role = match &what {
            What::Message { record, .. } => record.role,
            _ => Role::Inbox,
        };
        let Effect::File(mailbox, flags) = self.effect(role, frame) else { return Filed::Dropped };
        let Some(uid) = self.next_uid(mailbox) else { return Filed::NoRoom };
        let row = self.row(frame, uid, flags, what);
        let kind = row.kind;
        if let Some(group) = self.groups.get_mut(&mailbox) {
            group.rows.push(FoldedRow { frame, object, row });
        }
        match kind {
            Kind::Sealed => Filed::Message,
            Kind::Placeholder => Filed::Placeholder,
        }
    }

    fn effect(&self, role: Role, frame: Address) -> Effect {
        let salvaged = self.state.salvage_to.is_some_and(|last| frame <= last);
        let junk = || {
            let junk = |folder: &super::state::Folder| folder.special_use == Some(SpecialUse::Junk);
            self.state.folders.iter().find(|(_, folder)| junk(folder)).map(|(id, _)| *id)
        };
        let target = match role {
            Role::Filed if !salvaged => None,
            Role::Junk => junk().or_else(|| self.state.by_name(INBOX)),
            Role::Filed | Role::Inbox => self.state.by_name(INBOX),
        };
        target.map_or(Effect::Drop, |mailbox| Effect::File(mailbox, Flags::default()))
    }

    fn row(&self, frame: Address, uid: u32, flags: Flags, what: What) -> RowImage {
        match what {
            What::Message { key, record, .. } => RowImage {
                uid,
                size: record.size,
                flags,
                received: record.received,
                kind: Kind::Sealed,
                key: KeyImage(SecretBytes::new(key.key().expose().to_vec())),
            },
            _ => RowImage {
                uid,
                size: open::placeholder(frame).len() as u32,
                flags,
                received: self.now,
                kind: Kind::Placeholder,
                key: KeyImage(SecretBytes::new(vec![0; KEY_BYTES])),
            },
        }
    }

    /// The UID that the next message in `mailbox` gets, if there is one.
    fn next_uid(&mut self, mailbox: MailboxId) -> Option<u32> {
        let folder = self.state.folder(mailbox)?;
        let modseq = folder.modseq + 1;
        let new = || FoldGroup { mailbox, modseq, rows: Vec::new() };
        let group = self.groups.entry(mailbox).or_insert_with(new);
        room_for(folder, group.rows.len() as u64 + 1).ok()
    }
}
