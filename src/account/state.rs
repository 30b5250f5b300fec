//! The state of one account in memory, and how a record changes it.
//!
//! Applying is total and repeatable: the same records in the same order give the same state, at
//! commit and at load. A record that no longer fits, because one before it was lost, changes what
//! it can and leaves the rest.

use super::catalog::{MailboxId, SpecialUse};
use super::flags::{Flags, UidSet};
use super::record::{Change, Copying, Filing, Folding, NewMailbox, OpenedView, RowImage, Storing};
use super::view::{KEY_BYTES, KeyBlock, Pages, Row};
use crate::base::clock::UnixTime;
use crate::base::secret::SecretBytes;
use crate::journal::Address;
use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::sync::Arc;

/// Objects that are remembered so that a second arrival of one is dropped (8 octets each). Beyond
/// it, new ones are not remembered any more.
pub(super) const SEEN_MAX: usize = 4_000_000;

/// One mailbox.
pub(super) struct Folder {
    pub name: Arc<str>,
    pub special_use: Option<SpecialUse>,
    pub no_select: bool,
    pub uid_validity_base: u32,
    pub uid_next: u32,
    pub modseq: u64,
    /// The first UID that no session was told of as recent.
    pub recent_from: u32,
    pub keywords: Arc<Vec<String>>,
    pub pages: Pages,
}

/// All of an account.
#[derive(Default)]
pub(super) struct State {
    pub folders: BTreeMap<MailboxId, Folder>,
    pub names: BTreeMap<Arc<str>, MailboxId>,
    pub subscriptions: Arc<BTreeSet<String>>,
    pub next_mailbox: u32,
    /// The highest UIDVALIDITY ever given, without the raises by incarnation and repair.
    pub uid_validity_last: u32,
    /// How often every UIDVALIDITY was raised after damage.
    pub repairs: u32,
    /// Frames that more than one row stands for: how many more.
    pub shared: HashMap<Address, u32>,
    /// Objects that were filed once (their short names).
    pub seen: HashSet<u64>,
    /// Arrivals that have no UID yet.
    pub pending: BTreeSet<Address>,
    /// Frames that nothing points to any more and no durable tombstone names.
    pub dead: BTreeSet<Address>,
    /// Arrivals up to this one that nobody filed are not dropped: their filing was lost.
    pub salvage_to: Option<Address>,
    /// A message was removed since the index key was made.
    pub expunged: bool,
    /// When the index key was made, as far as this account knows.
    pub rekeyed_at: Option<UnixTime>,
}

impl State {
    pub(super) fn folder(&self, id: MailboxId) -> Option<&Folder> {
        self.folders.get(&id)
    }

    pub(super) fn by_name(&self, name: &str) -> Option<MailboxId> {
        self.names.get(name).copied()
    }

    /// Whether there are names below `name`.
    pub(super) fn has_children(&self, name: &str) -> bool {
        let below = format!("{name}{}", super::SEPARATOR);
        let after = std::ops::Bound::Included(&*below);
        self.names
            .range::<str, _>((after, std::ops::Bound::Unbounded))
            .next()
            .is_some_and(|(next, _)| next.starts_with(&below))
    }

    /// Applies one change of the record that stands at `at`; says which mailboxes look different.
    pub(super) fn apply(&mut self, change: Change, at: Address, touched: &mut BTreeSet<MailboxId>) {
        match change {
            Change::Created(new) => new.into_iter().for_each(|new| self.create(new, touched)),
            Change::Deleted(id) => self.delete(id, touched),
            Change::Renamed(names) => self.rename(names, touched),
            Change::Subscribed(name, on) => self.subscribe(name, on),
            Change::Folded(folding) => self.fold(folding, touched),
            Change::Appended(filing) => self.append(filing, at, touched),
            Change::Stored(storing) => self.store(storing, touched),
            Change::Expunged { mailbox, modseq, uids } => {
                self.expunge(mailbox, modseq, &uids, touched);
                self.expunged = true;
            }
            Change::Copied(copying) => self.copy(copying, touched),
            Change::Repaired => {
                self.repairs = self.repairs.saturating_add(1);
                touched.extend(self.folders.keys());
            }
            Change::Chunk(_) => {}
            Change::Opened(views) => views.iter().for_each(|view| self.show_opened(view, at)),
        }
    }

    fn create(&mut self, new: NewMailbox, touched: &mut BTreeSet<MailboxId>) {
        let name: Arc<str> = new.name.into();
        if let Some(old) = self.names.insert(name.clone(), new.id) {
            self.drop_folder(old);
            touched.insert(old);
        }
        self.next_mailbox = self.next_mailbox.max(new.id.0.saturating_add(1));
        self.uid_validity_last = self.uid_validity_last.max(new.uid_validity_base);
        let folder = Folder {
            name,
            special_use: new.special_use,
            no_select: new.no_select,
            uid_validity_base: new.uid_validity_base,
            uid_next: 1,
            modseq: 1,
            recent_from: 1,
            keywords: Arc::default(),
            pages: Pages::default(),
        };
        self.folders.insert(new.id, folder);
        touched.insert(new.id);
    }

    fn delete(&mut self, id: MailboxId, touched: &mut BTreeSet<MailboxId>) {
        if let Some(folder) = self.folders.get(&id) {
            let name = folder.name.clone();
            self.names.remove(&name);
            self.drop_folder(id);
            touched.insert(id);
        }
    }

    /// Forgets a mailbox and lets go of its messages.
    fn drop_folder(&mut self, id: MailboxId) {
        if let Some(folder) = self.folders.remove(&id) {
            self.expunged |= folder.pages.len() > 0;
            folder.pages.iter().for_each(|row| self.release(row.frame));
        }
    }

    fn rename(&mut self, names: Vec<(MailboxId, String)>, touched: &mut BTreeSet<MailboxId>) {
        for (id, _) in &names {
            if let Some(folder) = self.folders.get(id) {
                self.names.remove(&folder.name);
            }
        }
        for (id, name) in names {
            let name: Arc<str> = name.into();
            if let Some(folder) = self.folders.get_mut(&id) {
                folder.name = name.clone();
                self.names.insert(name, id);
                touched.insert(id);
            }
        }
    }

    fn subscribe(&mut self, name: String, on: bool) {
        let subscriptions = Arc::make_mut(&mut self.subscriptions);
        if on {
            subscriptions.insert(name);
        } else {
            subscriptions.remove(&name);
        }
    }

    fn fold(&mut self, folding: Folding, touched: &mut BTreeSet<MailboxId>) {
        for frame in folding.dropped {
            self.pending.remove(&frame);
            self.dead.insert(frame);
        }
        for group in folding.groups {
            let places: Vec<(Address, u64)> =
                group.rows.iter().map(|row| (row.frame, row.object)).collect();
            let rows = rows(group.rows.into_iter().map(|row| row.row).collect(), group.modseq);
            for (frame, object) in &places {
                self.pending.remove(frame);
                self.remember(*object);
            }
            let frames = places.into_iter().map(|(frame, _)| frame);
            let rows = rows.into_iter().zip(frames).map(|(row, frame)| Row { frame, ..row });
            self.add_rows(group.mailbox, group.modseq, rows.collect(), touched);
        }
    }

    /// The row that was just added stands for the view from now on; what arrived can go.
    fn show_opened(&mut self, view: &OpenedView, at: Address) {
        // One batch has consecutive slots of one segment; the views stand before their record.
        let Some(slot) = at.slot.checked_sub(view.slots_before) else { return };
        let frame = Address { segment: at.segment, slot };
        let Some(folder) = self.folders.get_mut(&view.mailbox) else { return };
        let mut shown = false;
        folder.pages.change(&UidSet::range(view.uid, view.uid), |row| {
            let same = row.frame == view.arrival;
            if same {
                row.frame = frame;
                shown = true;
            }
            same
        });
        // Without its row, which can only be after damage, the view is found again by itself.
        if shown {
            self.pending.remove(&frame);
            self.remember(view.object);
            self.release(view.arrival);
        }
    }

    fn append(&mut self, filing: Filing, at: Address, touched: &mut BTreeSet<MailboxId>) {
        // One batch has consecutive slots of one segment; the message stands before its record.
        let Some(slot) = at.slot.checked_sub(1) else { return };
        let frame = Address { segment: at.segment, slot };
        self.pending.remove(&frame);
        self.remember(filing.object);
        self.learn(filing.mailbox, &filing.keywords);
        let rows = rows(vec![filing.row], filing.modseq);
        let rows = rows.into_iter().map(|row| Row { frame, ..row }).collect();
        self.add_rows(filing.mailbox, filing.modseq, rows, touched);
    }

    /// Adds rows behind those of a mailbox. A row whose UID was given before is left out: that can
    /// only be after damage, and its frame is found again.
    fn add_rows(
        &mut self,
        mailbox: MailboxId,
        modseq: u64,
        rows: Vec<Row>,
        touched: &mut BTreeSet<MailboxId>,
    ) {
        let Some(folder) = self.folders.get_mut(&mailbox) else { return };
        let mut next = folder.uid_next;
        let mut fresh = rows;
        fresh.retain(|row| {
            let ascends = row.uid >= next;
            next = if ascends { row.uid.saturating_add(1) } else { next };
            ascends
        });
        folder.uid_next = next;
        folder.modseq = folder.modseq.max(modseq);
        folder.pages.extend(fresh);
        touched.insert(mailbox);
    }

    fn store(&mut self, storing: Storing, touched: &mut BTreeSet<MailboxId>) {
        self.learn(storing.mailbox, &storing.keywords);
        let Some(folder) = self.folders.get_mut(&storing.mailbox) else { return };
        folder.modseq = folder.modseq.max(storing.modseq);
        folder.pages.change(&storing.uids, |row| {
            row.flags = row.flags.changed(storing.mode, storing.flags);
            row.modseq = storing.modseq;
            true
        });
        touched.insert(storing.mailbox);
    }

    fn expunge(
        &mut self,
        mailbox: MailboxId,
        modseq: u64,
        uids: &UidSet,
        touched: &mut BTreeSet<MailboxId>,
    ) {
        let Some(folder) = self.folders.get_mut(&mailbox) else { return };
        folder.modseq = folder.modseq.max(modseq);
        let removed = folder.pages.remove(uids);
        removed.iter().for_each(|row| self.release(row.frame));
        touched.insert(mailbox);
    }

    fn copy(&mut self, copying: Copying, touched: &mut BTreeSet<MailboxId>) {
        self.learn(copying.to, &copying.keywords);
        let Some(source) = self.folders.get(&copying.from) else { return };
        let renamed = |flags: Flags| Flags {
            system: flags.system,
            keywords: copying
                .bits
                .iter()
                .filter(|(from, _)| flags.keywords >> (from & 63) & 1 == 1)
                .fold(0, |set, (_, to)| set | 1 << (to & 63)),
        };
        let uids = copying.first_uid..=u32::MAX;
        let rows: Vec<Row> = source
            .pages
            .select(&copying.uids)
            .zip(uids)
            .map(|(row, uid)| Row {
                uid,
                flags: renamed(row.flags),
                modseq: copying.modseq,
                ..row.clone()
            })
            .collect();
        for row in &rows {
            *self.shared.entry(row.frame).or_insert(0) += 1;
        }
        self.add_rows(copying.to, copying.modseq, rows, touched);
        if let Some(modseq) = copying.moved {
            self.expunge(copying.from, modseq, &copying.uids, touched);
        }
    }

    /// A mailbox takes keywords into its table. A bit that no row uses may get another name.
    fn learn(&mut self, mailbox: MailboxId, keywords: &[(u8, String)]) {
        let Some(folder) = self.folders.get_mut(&mailbox) else { return };
        if keywords.is_empty() {
            return;
        }
        let table = Arc::make_mut(&mut folder.keywords);
        for (bit, name) in keywords {
            let bit = usize::from(bit & 63);
            if table.len() <= bit {
                table.resize(bit + 1, String::new());
            }
            table[bit].clone_from(name);
        }
    }

    fn remember(&mut self, object: u64) {
        if self.seen.len() < SEEN_MAX {
            self.seen.insert(object);
        }
    }

    /// One row less stands for `frame`.
    fn release(&mut self, frame: Address) {
        match self.shared.get_mut(&frame) {
            Some(more) if *more > 1 => *more -= 1,
            Some(_) => {
                self.shared.remove(&frame);
            }
            None => {
                self.dead.insert(frame);
            }
        }
    }
}

/// Rows with their keys in one block; their frames are still to be filled in.
fn rows(images: Vec<RowImage>, modseq: u64) -> Vec<Row> {
    let mut keys = Vec::with_capacity(images.len() * KEY_BYTES);
    images.iter().for_each(|image| keys.extend_from_slice(image.key.0.expose()));
    let keys = KeyBlock::new(SecretBytes::new(keys));
    let row = |(at, image): (usize, RowImage)| Row {
        uid: image.uid,
        size: image.size,
        flags: image.flags,
        modseq,
        received: image.received,
        frame: Address { segment: 0, slot: 0 },
        kind: image.kind,
        key_at: at as u16,
        keys: keys.clone(),
    };
    images.into_iter().enumerate().map(row).collect()
}
