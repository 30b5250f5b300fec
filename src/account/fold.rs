//! Folding: arrivals that wait become messages with UIDs.
//!
//! The expensive half (one public-key operation a message) needs no state and may run on another
//! thread: [`FoldWork::run`]. What it finds is only ever filed and flagged: there is no way from
//! here to anything that a stranger could see. What does not open becomes a placeholder with a UID,
//! so that a forged arrival neither stops the fold nor vanishes.
//!
//! Mail that came encrypted to the account's identity is opened here, once, if it may be
//! ([`super::letter`]). What it is shown as becomes a sealed message of its own, in the same batch
//! as the record that gives it its UID; the arrival is let go when both are durable. A crash before
//! that leaves the arrival as it was, and no UID was seen.

use super::catalog::{INBOX, MailboxId, SpecialUse};
use super::command::{Folded, Outcome};
use super::flags::Flags;
use super::letter;
use super::open;
use super::plan::{Draft, room_for};
use super::record::{
    Change, FoldGroup, FoldedRow, Folding, KeyImage, OpenedView, Place, RowImage, short,
};
use super::state::State;
use super::view::{KEY_BYTES, Kind};
use crate::base::clock::UnixTime;
use crate::base::entropy::Entropy;
use crate::base::ids::ObjectId;
use crate::base::secret::SecretBytes;
use crate::journal::{Address, ReadError, Reader};
use crate::pgp::{self, PKESK_PREFIX_BYTES, SessionKey};
use crate::store::{ArrivalRecord, Role, SealedArrival, open_record};
use crate::vault::Unlocked;
use std::collections::{BTreeMap, HashSet};
use std::panic::{self, AssertUnwindSafe};
use std::sync::Arc;

/// Arrivals that the disk may refuse before a fold step is given up: a bad place is stepped over, a
/// dead disk is left alone for a while.
const FAILURES_MAX: usize = 8;

/// Octets of opened views that one step holds in memory, before the last one.
const VIEWS_BYTES_MAX: usize = 32 << 20;
/// The same, of views that will stand in the journal's segment: all of a step is one batch, of 16
/// MiB at most, and the record of 256 messages has room beside this.
const VIEWS_INLINE_BYTES_MAX: usize = 4 << 20;

/// Arrivals taken out for a fold step: owns all it needs, so that it can run on another thread.
pub struct FoldWork {
    pub(super) arrivals: Vec<Address>,
    pub(super) unlocked: Unlocked,
    pub(super) reader: Reader,
    pub(super) entropy: Arc<dyn Entropy>,
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
    Message {
        object: ObjectId,
        key: SessionKey,
        record: Box<ArrivalRecord>,
        /// What it is shown as instead, if it was encrypted to the owner and may be opened.
        view: Option<Box<SealedArrival>>,
    },
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
    /// Opens the records: one public-key operation a message, about 220 us each, and what came
    /// encrypted to the owner: another one, and the time that its octets take. Blocks. Stops early
    /// where opened messages would fill the memory; the rest waits for the next step.
    pub fn run(self) -> Opened {
        self.run_by(|frame| self.open(frame))
    }

    /// Nothing that one frame does, or that the disk does under it, keeps the others back.
    pub(super) fn run_by(&self, open: impl Fn(Address) -> Result<What, ReadError>) -> Opened {
        let mut opened =
            Opened { found: Vec::with_capacity(self.arrivals.len()), ..Opened::none() };
        let (mut bytes, mut inline_bytes) = (0, 0);
        for &frame in &self.arrivals {
            // Hostile octets go through parsers of others here: what one of them does not survive
            // would else end the unlock, again and again.
            let caught = panic::catch_unwind(AssertUnwindSafe(|| open(frame)));
            match caught.unwrap_or_else(|_| self.unreadable(frame, ReadError::Unknown(frame))) {
                Ok(what) => {
                    if let What::Message { view: Some(view), .. } = &what {
                        bytes += view.inline_bytes();
                        inline_bytes += if view.is_large() { 0 } else { view.inline_bytes() };
                    }
                    opened.found.push(Found { frame, what });
                }
                Err(_) => opened.put_off.push(frame),
            }
            let full = bytes >= VIEWS_BYTES_MAX || inline_bytes >= VIEWS_INLINE_BYTES_MAX;
            if full || opened.put_off.len() >= FAILURES_MAX {
                break;
            }
        }
        opened
    }

    pub(super) fn open(&self, frame: Address) -> Result<What, ReadError> {
        let (info, head, prefix) = match self.reader.arrival(frame, PKESK_PREFIX_BYTES) {
            Ok(found) => found,
            Err(error) => return self.unreadable(frame, error),
        };
        let object = info.object;
        let opened = pgp::recipient(&prefix).ok().and_then(|subkey| {
            let key = self.unlocked.session_key(&prefix).ok()?;
            let Place { server, account, .. } = &self.place;
            let record =
                open_record(&key, server, *account, object, &subkey, &info.body_sha256, &head)
                    .ok()?;
            Some((key, Box::new(record)))
        });
        let Some((key, record)) = opened else { return Ok(What::Unreadable { object }) };
        let view = self.view(frame, &key, &record)?;
        Ok(What::Message { object, key, record, view })
    }

    /// What a message that came encrypted is shown as. `None` if it stays as it came.
    fn view(
        &self,
        frame: Address,
        key: &SessionKey,
        record: &ArrivalRecord,
    ) -> Result<Option<Box<SealedArrival>>, ReadError> {
        if !letter::is_candidate(record) {
            return Ok(None);
        }
        let body = match self.reader.body(frame) {
            Ok(body) => body,
            Err(error @ ReadError::Io(_)) => return Err(error),
            // Its row says so when it is read.
            Err(_) => return Ok(None),
        };
        let Ok(message) = pgp::open(key, &body) else { return Ok(None) };
        drop(body);
        let seal = || {
            let (view, record) = letter::open(message.expose(), record, &self.unlocked)?;
            letter::seal(view.expose(), &record, &self.unlocked, &self.place, &*self.entropy)
        };
        // It stays readable as it came, whatever its content does to who opens it.
        Ok(panic::catch_unwind(AssertUnwindSafe(seal)).ok().flatten().map(Box::new))
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

    /// The opened views whose bodies must go to files of their own before [`plan`]: one that has
    /// not is not shown.
    ///
    /// [`plan`]: super::Machine::plan_fold
    pub fn large_views(&mut self) -> impl Iterator<Item = &mut SealedArrival> {
        self.found.iter_mut().filter_map(|found| match &mut found.what {
            What::Message { view: Some(view), .. } if view.is_large() => Some(&mut **view),
            _ => None,
        })
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
pub(super) fn plan(state: &State, opened: Opened, now: UnixTime) -> Draft {
    let mut folder = Folder { state, groups: BTreeMap::new(), views: Vec::new(), now };
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
    counts.opened = folder.views.len() as u32;
    folder.into_draft(dropped, counts)
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
    /// Opened views, in the order in which they will stand before the record.
    views: Vec<(OpenedView, SealedArrival)>,
    now: UnixTime,
}

impl Folder<'_> {
    fn into_draft(self, dropped: Vec<Address>, counts: Folded) -> Draft {
        let count = self.views.len() as u32;
        let (mut opened, messages): (Vec<_>, Vec<_>) = self.views.into_iter().unzip();
        (0..).zip(&mut opened).for_each(|(place, view)| view.slots_before = count - place);
        let groups: Vec<FoldGroup> = self.groups.into_values().collect();
        let mut changes = Vec::new();
        if !groups.is_empty() || !dropped.is_empty() {
            changes.push(Change::Folded(Folding { groups, dropped }));
        }
        if !opened.is_empty() {
            changes.push(Change::Opened(opened));
        }
        let parts = if changes.is_empty() { Vec::new() } else { vec![changes] };
        Draft { messages, parts, outcome: Outcome::Folded(counts) }
    }

    fn file(&mut self, frame: Address, object: u64, what: What) -> Filed {
        let role = match &what {
            What::Message { record, .. } => record.role,
            _ => Role::Inbox,
        };
        let Effect::File(mailbox, flags) = self.effect(role, frame) else { return Filed::Dropped };
        let Some(uid) = self.next_uid(mailbox) else { return Filed::NoRoom };
        let (row, view) = self.row(frame, uid, flags, what);
        if let Some(view) = view {
            let (arrival, object) = (frame, short(view.object));
            let place = OpenedView { mailbox, uid, arrival, slots_before: 0, object };
            self.views.push((place, view));
        }
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

    /// The row of what was found, and the opened view that it stands for.
    fn row(
        &self,
        frame: Address,
        uid: u32,
        flags: Flags,
        what: What,
    ) -> (RowImage, Option<SealedArrival>) {
        let What::Message { key, record, view, .. } = what else {
            let row = RowImage {
                uid,
                size: open::placeholder(frame).len() as u32,
                flags,
                received: self.now,
                kind: Kind::Placeholder,
                key: KeyImage(SecretBytes::new(vec![0; KEY_BYTES])),
            };
            return (row, None);
        };
        let view = view.map(|view| *view).filter(|view| !view.is_large());
        let (size, key) = match &view {
            Some(view) => (view.size, &view.session_key),
            None => (record.size, &key),
        };
        let key = KeyImage(SecretBytes::new(key.key().expose().to_vec()));
        let received = record.received;
        (RowImage { uid, size, flags, received, kind: Kind::Sealed, key }, view)
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
