//! The machine: load, plan, commit.

use super::catalog::{Catalog, INBOX, Mailbox, MailboxId, Status};
use super::chain::{self, Base, Found, Walk};
use super::command::{Command, Folded, Outcome, Refusal};
use super::fold::{self, FoldWork, Opened};
use super::plan::{Draft, Planner, effective_validity};
use super::record::{CHUNK_BYTES_MAX, Change, Chunk, IndexKey, KeyBytes, Place, Record};
use super::snapshot::{self, Footing};
use super::state::{Folder, State};
use super::view::{MailboxView, ViewHead};
use crate::base::clock::UnixTime;
use crate::base::entropy::{self, Entropy};
use crate::base::ids::{AccountNumber, ObjectId};
use crate::base::secret::SecretBytes;
use crate::journal::{Address, Class, Entry, ReadError, Reader, TOMBSTONE_ADDRESSES_MAX};
use crate::store::SealedArrival;
use crate::vault::Unlocked;
use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::ops::Range;
use std::sync::Arc;

/// Messages that one fold step gives UIDs to; a login waits for one such step at most (57 ms).
pub const FOLD_BATCH_MAX: usize = 256;
/// Records after which a snapshot is due: what a load applies, at about 20 us each.
pub const SNAPSHOT_RECORDS: usize = 4096;
/// Octets of records after which a snapshot is due at the earliest; later ones wait for as many as
/// the last snapshot has, so that the sum of all snapshots stays in proportion.
pub const SNAPSHOT_BYTES: usize = 1 << 20;
const DAY_SECONDS: i64 = 24 * 60 * 60;

/// One account, unlocked.
pub struct Machine {
    unlocked: Unlocked,
    reader: Reader,
    entropy: Arc<dyn Entropy>,
    place: Place,
    incarnation: u32,
    state: State,
    seq: u64,
    hash: [u8; 32],
    /// All frames up to this one have been looked at.
    accounted: Option<Address>,
    /// Messages that this machine filed itself, until the look at new frames has passed them.
    filed: HashSet<Address>,
    /// Arrivals that the disk did not give at their turn.
    put_off: BTreeSet<Address>,
    log: OwnFrames,
    /// Claims to `\Recent` that no record has yet.
    claimed: BTreeSet<MailboxId>,
    needs_repair: bool,
    tuning: Tuning,
    views: BTreeMap<MailboxId, Arc<MailboxView>>,
    catalog: Arc<Catalog>,
}

/// When snapshots are due and how they are cut. The default is for all but tests.
#[derive(Clone, Copy, Debug)]
pub struct Tuning {
    /// Records after which a snapshot is due.
    pub snapshot_records: usize,
    /// Octets of a snapshot that one record carries; at most the default.
    pub chunk_bytes: usize,
}

impl Default for Tuning {
    fn default() -> Self {
        Tuning { snapshot_records: SNAPSHOT_RECORDS, chunk_bytes: CHUNK_BYTES_MAX }
    }
}

/// The account's own frames.
#[derive(Default)]
struct OwnFrames {
    /// The newest snapshot's, and all records behind it.
    live: Vec<Address>,
    /// Those of the snapshot before, kept in case the newest one is damaged.
    older: Vec<Address>,
    /// The lowest index epoch that any of `live` is sealed under.
    epoch: u32,
    /// Records behind the snapshot, and their octets.
    records: usize,
    bytes: usize,
    snapshot_bytes: usize,
    /// The numbers of the newest snapshot's records.
    snapshot: (u64, u32),
}

impl OwnFrames {
    fn add(&mut self, at: Address, bytes: usize, epoch: u32) {
        self.live.push(at);
        self.epoch = self.epoch.min(epoch);
        self.records += 1;
        self.bytes += bytes;
    }

    fn snapshot_is_due(&self, records: usize) -> bool {
        self.records >= records || self.bytes >= SNAPSHOT_BYTES.max(self.snapshot_bytes)
    }
}

/// A loaded account.
pub struct Loaded {
    /// The machine.
    pub machine: Machine,
    /// What was not as it was written. To be reported; what could be read is there.
    pub damage: Vec<Damage>,
}

/// Why an account could not be loaded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LoadError {
    /// The disk cannot be read now.
    Unavailable(std::io::ErrorKind),
}

impl std::fmt::Display for LoadError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            LoadError::Unavailable(kind) => write!(f, "the account cannot be read now: {kind}"),
        }
    }
}

impl std::error::Error for LoadError {}

/// Something in an account's chain that is not as it was written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Damage {
    /// A frame cannot be read.
    Unreadable(ReadError),
    /// A record does not open, or is none.
    Forged(Address),
    /// Records are missing: those with these numbers.
    Missing {
        /// The first.
        from: u64,
        /// The last.
        to: u64,
    },
    /// A record stands there a second time.
    Repeated(Address),
    /// A record stands behind one that came after it.
    Swapped(Address),
    /// A record does not continue the one before it.
    Broken(Address),
}

/// A change that is ready to be made durable.
#[derive(Debug)]
pub struct Planned {
    batches: Vec<Vec<Entry>>,
    step: Step,
    outcome: Outcome,
}

#[derive(Debug)]
enum Step {
    /// Records in the first batch, from this entry on.
    Records { first: usize, records: Vec<Sealed> },
    /// These frames are named by a tombstone.
    Buried(Vec<Address>),
    /// A snapshot: one record a batch.
    Snapshot { records: Vec<Sealed>, floor: Option<Address>, older: Vec<Address>, at: UnixTime },
}

/// A record that is being written.
#[derive(Debug)]
struct Sealed {
    changes: Vec<Change>,
    hash: [u8; 32],
    bytes: usize,
    epoch: u32,
}

impl Planned {
    /// The batches to submit, in this order, each only when the one before is durable. Empty if
    /// nothing has to be written; commit all the same.
    pub fn take_batches(&mut self) -> Vec<Vec<Entry>> {
        std::mem::take(&mut self.batches)
    }

    /// The objects of all frames that are to be written.
    pub fn objects(&self) -> impl Iterator<Item = ObjectId> {
        self.batches.iter().flatten().map(|entry| entry.object)
    }
}

impl Machine {
    /// Loads the account that `unlocked` is the witness of. Reads its chain back to the newest
    /// complete snapshot; blocks. A new account gets its mailboxes by the first
    /// [`Machine::plan_upkeep`].
    pub fn load(
        unlocked: Unlocked,
        reader: Reader,
        entropy: Arc<dyn Entropy>,
    ) -> Result<Loaded, LoadError> {
        let identity = reader.identity();
        let place = Place::new(identity, unlocked.account());
        let mut walk = chain::walk(&reader, &unlocked, &place).map_err(LoadError::Unavailable)?;
        let linked = walk.link();
        let mut machine = Machine {
            log: OwnFrames { epoch: unlocked.index_epoch(), ..OwnFrames::default() },
            unlocked,
            reader,
            entropy,
            place,
            incarnation: identity.incarnation,
            state: State::default(),
            seq: 0,
            hash: [0; 32],
            accounted: walk.head,
            filed: HashSet::new(),
            put_off: BTreeSet::new(),
            claimed: BTreeSet::new(),
            needs_repair: linked.lost,
            tuning: Tuning::default(),
            views: BTreeMap::new(),
            catalog: Arc::default(),
        };
        machine.take_base(walk.base.take());
        machine.state.pending.extend(walk.arrivals.iter().copied());
        linked.records.into_iter().for_each(|found| machine.replay(found));
        machine.log.live.extend(linked.left_over);
        machine.settle(&walk, linked.lost).map_err(LoadError::Unavailable)?;
        machine.publish_all();
        Ok(Loaded { machine, damage: walk.damage })
    }

    fn take_base(&mut self, base: Option<Base>) {
        let Some(base) = base else { return };
        self.state = base.state;
        (self.seq, self.hash) = (base.seq, base.hash);
        let count = base.frames.len() as u32;
        self.log = OwnFrames {
            live: base.frames,
            older: base.footing.older,
            epoch: base.epoch,
            snapshot_bytes: base.bytes,
            snapshot: (base.seq + 1 - u64::from(count), count),
            ..OwnFrames::default()
        };
    }

    fn replay(&mut self, found: Found) {
        (self.seq, self.hash) = (found.record.seq, found.hash);
        self.log.add(found.at, found.bytes, found.epoch);
        for (mailbox, from) in found.record.recent {
            if let Some(folder) = self.state.folders.get_mut(&mailbox) {
                folder.recent_from = folder.recent_from.max(from);
            }
        }
        let mut touched = BTreeSet::new();
        for change in found.record.changes {
            self.state.apply(change, found.at, &mut touched);
        }
    }

    /// After the records: what is dead already need not be buried, and after a loss no arrival that
    /// has no row is given up.
    fn settle(&mut self, walk: &Walk, lost: bool) -> Result<(), std::io::ErrorKind> {
        let mut dead = BTreeSet::new();
        for &at in &self.state.dead {
            match self.reader.info(at) {
                Ok(info) if !info.dead && info.account == self.place.account => {
                    dead.insert(at);
                }
                Err(ReadError::Io(kind)) => return Err(kind),
                _ => {}
            }
        }
        self.state.dead = dead;
        if lost {
            self.state.salvage_to = walk.head;
            let filed: HashSet<Address> =
                self.state.folders.values().flat_map(|f| f.pages.iter()).map(|r| r.frame).collect();
            self.state.pending.retain(|frame| !filed.contains(frame));
        }
        Ok(())
    }

    /// The same machine with other thresholds.
    pub fn tuned(mut self, tuning: Tuning) -> Machine {
        let chunk_bytes = tuning.chunk_bytes.clamp(1, CHUNK_BYTES_MAX);
        self.tuning = Tuning { chunk_bytes, ..tuning };
        self
    }

    /// Whose.
    pub fn account(&self) -> AccountNumber {
        self.place.account
    }

    /// The mailboxes as of the last commit.
    pub fn catalog(&self) -> Arc<Catalog> {
        self.catalog.clone()
    }

    /// The messages of a mailbox as of the last commit.
    pub fn view(&self, mailbox: MailboxId) -> Option<Arc<MailboxView>> {
        self.views.get(&mailbox).cloned()
    }

    /// Sealed octets that the account holds in the journal, arrivals that wait included: what its
    /// quota counts.
    pub fn bytes_used(&self) -> u64 {
        self.reader.account(self.place.account).bytes
    }

    /// Checks a change and makes its frames. `now` dates a new UIDVALIDITY, nothing else.
    pub fn plan(&mut self, command: Command, now: UnixTime) -> Result<Planned, Refusal> {
        let draft = self.planner(now).plan(command)?;
        Ok(self.seal_draft(draft))
    }

    fn planner(&self, now: UnixTime) -> Planner<'_> {
        let (state, account) = (&self.state, self.place.account);
        Planner { state, account, incarnation: self.incarnation, now }
    }

    fn seal_draft(&self, draft: Draft) -> Planned {
        let messages = draft.messages.into_iter();
        let mut batch: Vec<Entry> = messages.map(SealedArrival::into_entry).collect();
        let first = batch.len();
        let (entries, records) = self.seal_records(draft.parts);
        batch.extend(entries);
        let batches = if batch.is_empty() { Vec::new() } else { vec![batch] };
        Planned { batches, step: Step::Records { first, records }, outcome: draft.outcome }
    }

    /// Seals records that follow the last one, each chained to the one before.
    fn seal_records(&self, parts: Vec<Vec<Change>>) -> (Vec<Entry>, Vec<Sealed>) {
        let (mut seq, mut previous) = (self.seq, self.hash);
        let epoch = self.unlocked.index_epoch();
        let key = IndexKey { key: self.unlocked.index_key(), epoch };
        let mut recent: Option<Vec<_>> = Some(self.claims());
        let seal = |changes: Vec<Change>| {
            seq += 1;
            let recent = recent.take().unwrap_or_default();
            let record = Record { seq, previous, recent, snapshot: self.log.snapshot, changes };
            let sealed = record.seal(&self.place, key, &*self.entropy);
            previous = sealed.hash;
            let bytes = sealed.entry.head.len();
            let sealed_record = Sealed { changes: record.changes, hash: previous, bytes, epoch };
            (sealed.entry, sealed_record)
        };
        parts.into_iter().map(seal).unzip()
    }

    fn claims(&self) -> Vec<(MailboxId, u32)> {
        let folder = |id: &MailboxId| Some((*id, self.state.folder(*id)?.recent_from));
        self.claimed.iter().filter_map(folder).collect()
    }

    /// What was planned is durable at these addresses (one list a batch): changes the state and
    /// makes new views.
    pub fn commit(&mut self, planned: Planned, addresses: Vec<Vec<Address>>) -> Outcome {
        match planned.step {
            Step::Records { first, records } => {
                let batch = addresses.into_iter().next().unwrap_or_default();
                self.filed.extend(batch.iter().take(first));
                let at: Vec<Address> = batch.into_iter().skip(first).collect();
                self.commit_records(records, &at);
            }
            Step::Buried(frames) => {
                frames.iter().for_each(|frame| {
                    self.state.dead.remove(frame);
                });
            }
            Step::Snapshot { records, floor, older, at } => {
                let frames: Vec<Address> = addresses.into_iter().flatten().collect();
                self.commit_snapshot(records, frames, floor, older, at);
            }
        }
        planned.outcome
    }

    fn commit_records(&mut self, records: Vec<Sealed>, addresses: &[Address]) {
        assert_eq!(records.len(), addresses.len(), "the journal gives each entry its address");
        let mut touched = BTreeSet::new();
        for (record, &at) in records.into_iter().zip(addresses) {
            self.advance(&record);
            self.log.add(at, record.bytes, record.epoch);
            self.claimed.clear();
            for change in record.changes {
                self.state.apply(change, at, &mut touched);
            }
        }
        self.publish(&touched);
    }

    fn advance(&mut self, record: &Sealed) {
        self.seq += 1;
        self.hash = record.hash;
    }

    fn commit_snapshot(
        &mut self,
        records: Vec<Sealed>,
        frames: Vec<Address>,
        floor: Option<Address>,
        older: Vec<Address>,
        at: UnixTime,
    ) {
        let first = self.seq + 1;
        let rekeyed = self.unlocked.index_epoch() > self.log.epoch;
        records.iter().for_each(|record| self.advance(record));
        let gone = std::mem::take(&mut self.log.older).into_iter();
        let gone = gone.chain(std::mem::take(&mut self.log.live));
        let kept: HashSet<Address> = older.iter().copied().collect();
        self.state.dead.extend(gone.filter(|frame| !kept.contains(frame)));
        self.state.expunged &= !rekeyed;
        if rekeyed || self.state.rekeyed_at.is_none() {
            self.state.rekeyed_at = Some(at);
        }
        self.claimed.clear();
        self.needs_repair = false;
        self.accounted = self.accounted.max(floor);
        self.log = OwnFrames {
            older,
            epoch: self.unlocked.index_epoch(),
            snapshot_bytes: records.iter().map(|record| record.bytes).sum(),
            snapshot: (first, frames.len() as u32),
            live: frames,
            ..OwnFrames::default()
        };
    }

    /// Looks for arrivals that came since the last look, and says how many wait. Cheap if none
    /// came.
    pub fn waiting(&mut self) -> Result<usize, ReadError> {
        let head = self.reader.account(self.place.account).last;
        let mut next = head;
        let mut found = Vec::new();
        while let Some(at) = next.filter(|at| Some(*at) > self.accounted) {
            next = match self.reader.info(at) {
                Ok(info) => {
                    if info.class == Class::Arrival && !info.dead && !self.filed.contains(&at) {
                        found.push(at);
                    }
                    info.previous
                }
                Err(error @ ReadError::Io(_)) => return Err(error),
                Err(_) => self.reader.earlier(self.place.account, at)?,
            };
        }
        self.state.pending.extend(found);
        self.accounted = self.accounted.max(head);
        self.filed.retain(|filed| Some(*filed) > head);
        Ok(self.state.pending.len())
    }

    /// Takes up to `most` (and [`FOLD_BATCH_MAX`]) arrivals out for opening; `None` if none waits,
    /// an error if the disk gives none of those that do.
    pub fn fold_work(&mut self, most: usize) -> Result<Option<FoldWork>, ReadError> {
        if self.waiting()? == 0 {
            return Ok(None);
        }
        let waiting = self.state.pending.iter().filter(|at| !self.put_off.contains(at));
        let arrivals: Vec<_> = waiting.take(most.min(FOLD_BATCH_MAX)).copied().collect();
        if arrivals.is_empty() {
            // Only what the disk did not give is left; next time all of it is tried again.
            self.put_off.clear();
            return Err(ReadError::Io(std::io::ErrorKind::Other));
        }
        let (unlocked, reader) = (self.unlocked.clone(), self.reader.clone());
        let entropy = self.entropy.clone();
        Ok(Some(FoldWork { arrivals, unlocked, reader, entropy, place: self.place }))
    }

    /// Gives what was opened its UIDs. One record, whole or absent.
    pub fn plan_fold(&mut self, opened: Opened, now: UnixTime) -> Planned {
        self.put_off.extend(opened.put_off.iter().copied());
        let draft = fold::plan(&self.state, opened, now);
        self.seal_draft(draft)
    }

    /// The next piece of work on the account's own records, `None` if there is none: set-up of a
    /// new account, repair after damage (both before anybody is served), snapshots when due, and
    /// tombstones for what nothing points to any more. Call it after load until it is `None`, and
    /// after commits.
    pub fn plan_upkeep(&mut self, now: UnixTime) -> Option<Planned> {
        if self.needs_repair {
            return Some(self.plan_repair(now));
        }
        if self.state.by_name(INBOX).is_none() {
            let draft = self.planner(now).set_up();
            return Some(self.seal_draft(draft));
        }
        if self.log.snapshot_is_due(self.tuning.snapshot_records) || self.index_is_old() {
            return self.plan_snapshot(now);
        }
        if !self.state.dead.is_empty() {
            return Some(self.plan_burial());
        }
        None
    }

    /// After a loss: UIDVALIDITY is raised, because UIDs may have been given that are not known
    /// here, and mailboxes that everybody has are there.
    fn plan_repair(&mut self, now: UnixTime) -> Planned {
        let mut draft = self.planner(now).set_up();
        draft.parts[0].insert(0, Change::Repaired);
        // Otherwise the next load would find the same damage and repair it again.
        self.want_snapshot();
        self.needs_repair = false;
        self.seal_draft(draft)
    }

    /// Makes a snapshot due.
    pub(super) fn want_snapshot(&mut self) {
        self.log.bytes = usize::MAX / 2;
    }

    #[cfg(test)]
    pub(super) fn want_small_chunks(&mut self) {
        self.tuning.chunk_bytes = 100;
    }

    fn index_is_old(&self) -> bool {
        self.log.epoch < self.unlocked.index_epoch()
    }

    /// Everything in one image, in chunks. Under a new index key nothing older is kept.
    fn plan_snapshot(&mut self, now: UnixTime) -> Option<Planned> {
        // The floor must have all arrivals below it accounted for; if the disk cannot tell, later.
        self.waiting().ok()?;
        let rekeying = self.index_is_old();
        let older = if rekeying { Vec::new() } else { self.log.live.clone() };
        let dying: Vec<Address> = match rekeying {
            true => self.log.older.iter().chain(&self.log.live).copied().collect(),
            false => self.log.older.clone(),
        };
        let footing = Footing { floor: self.accounted, older: older.clone() };
        let marks = snapshot::Marks {
            expunged: self.state.expunged && !rekeying,
            rekeyed_at: if rekeying { Some(now) } else { self.state.rekeyed_at.or(Some(now)) },
            dying,
        };
        let image = snapshot::encode(&self.state, footing, marks);
        let (entries, records) =
            self.seal_records(chunks(&image, self.tuning.chunk_bytes, &*self.entropy));
        let batches = entries.into_iter().map(|entry| vec![entry]).collect();
        let step = Step::Snapshot { records, floor: self.accounted, older, at: now };
        Some(Planned { batches, step, outcome: Outcome::Maintained })
    }

    /// A tombstone for what nothing points to any more.
    fn plan_burial(&self) -> Planned {
        let frames: Vec<Address> =
            self.state.dead.iter().take(TOMBSTONE_ADDRESSES_MAX).copied().collect();
        // The journal refuses a tombstone that names a frame whose header it cannot read.
        let known = |at: &Address| match self.reader.info(*at) {
            Ok(info) => info.account == self.place.account,
            Err(error) => matches!(error, ReadError::Io(_)),
        };
        let buried: Vec<Address> = frames.iter().copied().filter(known).collect();
        let object = ObjectId::random(&*self.entropy);
        let entry = Entry::tombstone(self.place.account, object, &buried);
        let batches = if buried.is_empty() { Vec::new() } else { vec![vec![entry]] };
        Planned { batches, step: Step::Buried(frames), outcome: Outcome::Maintained }
    }

    /// Whether a message was expunged since the index key was made, so that a new one is wanted:
    /// `SlotAuthority::begin_index_rekey` at the next login, daily at most.
    pub fn wants_index_rekey(&self, now: UnixTime) -> bool {
        let rested = |at: UnixTime| now.0.saturating_sub(at.0).unsigned_abs() >= DAY_SECONDS as u64;
        self.state.expunged && self.state.rekeyed_at.is_none_or(rested)
    }

    /// Takes over a witness with a new index key. From the next [`Machine::plan_upkeep`] on, all is
    /// written anew under it.
    pub fn adopt(&mut self, unlocked: Unlocked) {
        self.unlocked = unlocked;
    }

    /// Whether nothing live is sealed under the previous index key any more, so that it may leave
    /// the vault (`IndexRekey::end`, `SlotAuthority::end_index_rekey`).
    pub fn previous_index_key_is_unused(&self) -> bool {
        !self.index_is_old() && self.state.dead.is_empty()
    }

    /// Claims messages of a mailbox as recent for one session (`\Recent`): those UIDs that no
    /// session has claimed. The claim becomes durable with the next record; lost in a crash, the
    /// messages are recent once more (RFC 3501 §2.3.2).
    pub fn claim_recent(&mut self, mailbox: MailboxId) -> Range<u32> {
        let Some(folder) = self.state.folders.get_mut(&mailbox) else { return 0..0 };
        let claimed = folder.recent_from..folder.uid_next;
        if !claimed.is_empty() {
            folder.recent_from = claimed.end;
            self.claimed.insert(mailbox);
            self.publish(&BTreeSet::from([mailbox]));
        }
        claimed
    }

    fn publish_all(&mut self) {
        self.publish(&self.state.folders.keys().copied().collect());
    }

    /// Makes views of the mailboxes that look different, and a catalog.
    fn publish(&mut self, touched: &BTreeSet<MailboxId>) {
        for &id in touched {
            match self.state.folder(id) {
                Some(folder) if !folder.no_select => {
                    self.views.insert(id, Arc::new(self.make_view(id, folder)));
                }
                _ => {
                    self.views.remove(&id);
                }
            }
        }
        self.catalog = Arc::new(self.make_catalog(touched));
    }

    fn make_view(&self, id: MailboxId, folder: &Folder) -> MailboxView {
        let head = ViewHead {
            id,
            uid_validity: effective_validity(&self.state, folder, self.incarnation),
            uid_next: folder.uid_next,
            highest_modseq: folder.modseq,
            recent_from: folder.recent_from,
            keywords: folder.keywords.clone(),
        };
        MailboxView::new(head, folder.pages.clone())
    }

    fn make_catalog(&self, touched: &BTreeSet<MailboxId>) -> Catalog {
        let old: BTreeMap<MailboxId, &Arc<Mailbox>> =
            self.catalog.mailboxes.iter().map(|mailbox| (mailbox.id, mailbox)).collect();
        let entry = |(name, &id): (&Arc<str>, &MailboxId)| {
            let fresh = self.make_mailbox(id, name)?;
            let same = old.get(&id).filter(|old| !touched.contains(&id) && ****old == fresh);
            Some(same.map_or_else(|| Arc::new(fresh), |old| (*old).clone()))
        };
        Catalog {
            mailboxes: self.state.names.iter().filter_map(entry).collect(),
            subscriptions: self.state.subscriptions.clone(),
        }
    }

    fn make_mailbox(&self, id: MailboxId, name: &Arc<str>) -> Option<Mailbox> {
        let folder = self.state.folder(id)?;
        Some(Mailbox {
            id,
            name: name.clone(),
            special_use: folder.special_use,
            no_select: folder.no_select,
            has_children: self.state.has_children(name),
            subscribed: self.state.subscriptions.contains(&**name),
            status: self.views.get(&id).map(|view| status(view)).unwrap_or_default(),
        })
    }
}

fn status(view: &MailboxView) -> Status {
    Status {
        messages: view.exists(),
        recent: view.exists() - view.lower_bound(view.recent_from),
        unseen: view.unseen,
        deleted: view.deleted,
        bytes: view.bytes,
        uid_next: view.uid_next,
        uid_validity: view.uid_validity,
        highest_modseq: view.highest_modseq,
    }
}

/// Cuts an image into the records of one snapshot.
fn chunks(image: &SecretBytes, chunk_bytes: usize, entropy: &dyn Entropy) -> Vec<Vec<Change>> {
    let snapshot = u64::from_be_bytes(entropy::bytes(entropy));
    let pieces = image.expose().chunks(chunk_bytes);
    let count = pieces.len() as u32;
    let chunk = |(index, piece): (usize, &[u8])| {
        let bytes = KeyBytes(SecretBytes::new(piece.to_vec()));
        vec![Change::Chunk(Chunk { snapshot, index: index as u32, count, bytes })]
    };
    pieces.enumerate().map(chunk).collect()
}

/// A fold step's counts, for those who only want to know whether anything happened.
impl Folded {
    /// Whether nothing was done.
    pub fn is_nothing(&self) -> bool {
        *self == Folded::default()
    }
}
