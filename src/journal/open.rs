//! Opening: who the journal is, what counts, and what must be made durable before it is served.

use super::entry::{AccountHead, Address};
use super::error::{OpenError, ReadError, What};
use super::format::{self, BodyKind, Keys, Link, SegmentHeader};
use super::identity::{self, Names, Stored};
use super::large::LARGE_DIR;
use super::reader::{Identity, Reader};
use super::recover::{self, Opened, Resolved};
use super::reserve::Reserve;
use super::table::{Builder, Segment, Shared, Tables};
use super::walk::SeenBatch;
use super::{Damage, Journal, Options, Position, Recovery, SEGMENTS_MAX};
use crate::base::disk::{Disk, DiskFile};
use crate::base::entropy::{self, Entropy};
use crate::base::ids::{AccountNumber, ObjectId};
use std::collections::BTreeSet;
use std::io;
use std::sync::Arc;

/// A journal's files as they were found, and what of them counts.
pub(super) struct Found {
    pub keys: Keys,
    pub stored: Stored,
    pub names: Names,
    pub opened: Vec<Opened>,
    pub resolved: Resolved,
    pub epoch_max: u32,
}

impl Journal {
    /// Opens the journal in `disk`'s directory `journal/`, or makes it. What was never acknowledged
    /// is cut; what was is durable when this returns, or named in the [`Recovery`].
    pub fn open(
        disk: Arc<dyn Disk>,
        options: Options,
        entropy: Arc<dyn Entropy>,
    ) -> Result<(Journal, Recovery), OpenError> {
        disk.create_dir(LARGE_DIR)?;
        disk.sync_dir("")?;
        disk.sync_dir("journal")?;
        sweep_unfinished(&*disk)?;
        let fresh = Names {
            journal: entropy::bytes(&*entropy),
            server: entropy::bytes(&*entropy),
            incarnation: 0,
        };
        let found = find(&*disk, &options, fresh)?;
        let identity = settle_identity(&*disk, &options, &found)?;
        let (mut journal, mut recovery) = assemble(disk, options, found, identity)?;
        journal.carry_tail(&mut recovery)?;
        journal.seal_walked();
        recovery.orphans = journal.sweep_orphans(&recovery)?;
        recovery.segments = journal.shared.tables().segments.len() as u32;
        Ok((journal, recovery))
    }

    /// Writes the unmarked tail to a new segment and syncs it: until then it may be in the page
    /// cache only.
    fn carry_tail(&mut self, recovery: &mut Recovery) -> Result<(), OpenError> {
        let tail = std::mem::take(&mut self.found.tail);
        let Some(file) = self.found.tail_file.take() else { return Ok(()) };
        let frames = tail.into_iter().flat_map(|batch| batch.frames).collect::<Vec<_>>();
        recovery.carried_frames = frames.len() as u32;
        if !frames.is_empty() {
            self.begin_with_tail(&*file, frames)?;
        }
        Ok(())
    }

    /// Gives a footer to each segment that had to be walked, so that the next open need not.
    /// Nothing depends on it, so errors are no more than a slower open.
    fn seal_walked(&mut self) {
        if self.active.is_none() && !self.found.void.is_empty() {
            // A segment that does not count may still repeat what a cut would take.
            return;
        }
        for (number, link, builder) in std::mem::take(&mut self.found.unsealed) {
            let _ = self.write_footer(number, link, &builder, false);
        }
    }

    fn sweep_orphans(&self, recovery: &Recovery) -> Result<u32, OpenError> {
        let unsure = recovery.damage.iter().any(|damage| damage.what != What::SegmentHeader);
        if unsure || self.found.unreadable || !self.found.is_whole {
            // A frame that cannot be read, or a segment that is missing at the end, may name a file
            // that looks like an orphan.
            return Ok(0);
        }
        let mut swept = 0;
        for name in self.shared.disk.list(LARGE_DIR)? {
            if !self.found.large.contains(&name) {
                self.shared.disk.remove(&format!("{LARGE_DIR}/{name}"))?;
                swept += 1;
            }
        }
        Ok(swept)
    }
}

/// Leftovers that the writer settles after opening.
#[derive(Default)]
pub(super) struct Leftovers {
    pub tail: Vec<SeenBatch>,
    pub tail_file: Option<Arc<dyn DiskFile>>,
    pub void: Vec<u32>,
    pub unsealed: Vec<(u32, Link, Builder)>,
    /// Names of the large files that live frames need.
    pub large: BTreeSet<String>,
    /// Some frame's header cannot be read.
    pub unreadable: bool,
    /// The journal is known to end where it was stopped.
    pub is_whole: bool,
}

/// Reads what there is. Changes nothing.
pub(super) fn find(disk: &dyn Disk, options: &Options, fresh: Names) -> Result<Found, OpenError> {
    let stored = identity::load(disk, &options.journal_key)?;
    let numbers = segment_numbers(disk)?;
    let names = match stored {
        Stored::Original(names) | Stored::Copied(names) => names,
        Stored::Missing if numbers.is_empty() => fresh,
        Stored::Missing | Stored::Damaged => names_by_segments(disk, options, &numbers)?,
    };
    let keys = Keys::derive(&options.journal_key, &names.journal);
    let opened: Vec<Opened> = numbers
        .into_iter()
        .map(|number| recover::open_segment(disk, number, &keys))
        .collect::<Result<_, _>>()?;
    let epoch = |opened: &Opened| opened.header.as_ref().map_or(opened.number, |it| it.epoch);
    let epoch_max = opened.iter().map(epoch).max().unwrap_or(0);
    let resolved = recover::resolve(&opened, &keys)?;
    Ok(Found { keys, stored, names, opened, resolved, epoch_max })
}

fn segment_numbers(disk: &dyn Disk) -> Result<Vec<u32>, OpenError> {
    let names = disk.list("journal")?;
    let mut numbers: Vec<u32> =
        names.iter().filter_map(|name| recover::segment_number(name)).collect();
    numbers.sort_unstable();
    match numbers.len() > SEGMENTS_MAX {
        true => Err(OpenError::TooManySegments),
        false => Ok(numbers),
    }
}

/// The names as the newest readable segment header has them, when the identity file is of no use.
fn names_by_segments(
    disk: &dyn Disk,
    options: &Options,
    numbers: &[u32],
) -> Result<Names, OpenError> {
    for number in numbers.iter().rev() {
        let file = disk.open(&recover::segment_path(*number))?;
        let bytes = recover::read_start(&*file, *number, file.len()?)?;
        let Some(journal) = SegmentHeader::claimed_journal(&bytes) else { continue };
        let keys = Keys::derive(&options.journal_key, &journal);
        if let Some(header) = SegmentHeader::decode(&bytes, &keys) {
            let (server, incarnation) = (header.server, header.incarnation);
            return Ok(Names { journal, server, incarnation });
        }
    }
    Err(OpenError::WrongKey)
}

/// Raises the incarnation of a copy, durably, before anything of it is served.
fn settle_identity(
    disk: &dyn Disk,
    options: &Options,
    found: &Found,
) -> Result<Identity, OpenError> {
    let is_original = matches!(found.stored, Stored::Original(_));
    let mut names = found.names;
    if !is_original {
        names.incarnation = names.incarnation.saturating_add(1);
        identity::store(disk, &options.journal_key, &names)?;
    }
    Ok(Identity {
        journal: names.journal,
        server: names.server,
        incarnation: names.incarnation,
        copied: !is_original && names.incarnation > 1,
    })
}

fn assemble(
    disk: Arc<dyn Disk>,
    options: Options,
    found: Found,
    identity: Identity,
) -> Result<(Journal, Recovery), OpenError> {
    let mut resolved = found.resolved;
    let mut recovery = Recovery {
        clean: resolved.clean,
        cuts: std::mem::take(&mut resolved.cuts),
        damage: std::mem::take(&mut resolved.damage),
        copied: identity.copied,
        ..Recovery::default()
    };
    if found.stored == Stored::Damaged {
        recovery.damage.push(Damage::of_all(What::Identity));
    }
    let position = Position {
        journal: identity.journal,
        incarnation: identity.incarnation,
        batch: resolved.link.batch,
    };
    let stopped_at = options.stopped_at;
    let is_whole =
        stopped_at.is_some_and(|at| at.journal == position.journal && at.batch == position.batch);
    let is_gone = found.stored == Stored::Missing && found.opened.is_empty();
    if stopped_at.is_some_and(|at| is_gone || at.is_beyond(&position.journal, position.batch)) {
        recovery.damage.push(Damage::of_all(What::Shortened));
    }
    let believed = options.index.clone().filter(|(at, _)| resolved.clean && *at == position);
    let loaded = load(&resolved, believed.map(|(_, heads)| heads));
    let unreadable = loaded.tables.segments.values().any(|held| held.offsets.contains(&0));
    let reserve = Reserve::take(&*disk, options.reserve_bytes);
    let shared = Arc::new(Shared::new(disk, found.keys, identity, loaded.tables));
    let reader = Reader(shared.clone());
    recovery.damage.extend(apply_tombstones(&reader, &loaded.tombstones, loaded.believed));
    if resolved.erases_done {
        shared.tables_mut().segments.values_mut().for_each(Segment::all_erased);
    }
    let large = live_objects(&shared, loaded.large);
    let parts = resolved.parts.into_iter();
    let unsealed = parts.filter_map(|part| Some((part.number, part.link, part.unsealed?)));
    let journal = Journal {
        shared,
        link: resolved.link,
        active: None,
        next_number: found.opened.last().map_or(0, |last| last.number) + 1,
        next_epoch: found.epoch_max + 1,
        next_batch: resolved.link.batch + 1,
        reserve,
        buffer: Vec::new(),
        compaction: None,
        uncompactable: BTreeSet::new(),
        punched: BTreeSet::new(),
        found: Leftovers {
            tail: resolved.tail,
            tail_file: resolved.tail_file,
            void: resolved.void,
            unsealed: unsealed.collect(),
            large,
            unreadable,
            is_whole,
        },
        options,
    };
    Ok((journal, recovery))
}

/// What the footers, or walks, say.
pub(super) struct Loaded {
    pub tables: Tables,
    /// The heads are those of the index, from which dead octets are already taken.
    believed: bool,
    pub tombstones: Vec<Address>,
    large: Vec<(Address, ObjectId)>,
}

pub(super) fn load(
    resolved: &Resolved,
    believed: Option<Vec<(AccountNumber, AccountHead)>>,
) -> Loaded {
    let mut out = Loaded {
        tables: Tables::default(),
        believed: believed.is_some(),
        tombstones: Vec::new(),
        large: Vec::new(),
    };
    for part in &resolved.parts {
        let at = |slot: &u32| Address { segment: part.number, slot: *slot };
        let mut segment = Segment::new(part.file.clone(), part.data_end, part.offsets.clone());
        segment.sealed = part.unsealed.is_none();
        segment.dropped_bytes = part.dropped_bytes;
        out.tables.segments.insert(part.number, segment);
        out.tables.fold(part.number, &part.summary);
        out.tombstones.extend(part.summary.tombstones.iter().map(at));
        out.large.extend(part.summary.large.iter().map(|(slot, object)| (at(slot), *object)));
    }
    let tail = resolved.tail.iter().flat_map(|batch| &batch.frames);
    let large = tail.filter(|(_, frame)| frame.body_kind == BodyKind::Large);
    out.large.extend(large.map(|(_, frame)| (frame.at, frame.object)));
    if let Some(heads) = believed {
        out.tables.heads = heads.into_iter().collect();
    }
    out
}

/// Marks what durable tombstones name, and says which tombstones cannot be read.
pub(super) fn apply_tombstones(
    reader: &Reader,
    tombstones: &[Address],
    believed: bool,
) -> Vec<Damage> {
    let mut damage = Vec::new();
    for at in tombstones {
        let read = reader.info_and_head(*at);
        let dead = read.as_ref().ok().and_then(|(_, head)| format::decode_dead(head));
        let (Ok((info, _)), Some(dead)) = (&read, dead) else {
            let what = match read {
                Err(ReadError::Damaged(_, what)) => what,
                _ => What::Head,
            };
            let offset = reader.offset(*at);
            damage.push(Damage { segment: at.segment, offset, slot: Some(at.slot), what });
            continue;
        };
        let mut tables = reader.0.tables_mut();
        for (at, bytes) in dead {
            if tables.kill(at, bytes) && !believed {
                tables.release(info.account, bytes);
            }
        }
    }
    damage
}

/// The names of the large files that frames which are not dead need.
fn live_objects(shared: &Shared, large: Vec<(Address, ObjectId)>) -> BTreeSet<String> {
    let tables = shared.tables();
    let is_live =
        |at: &Address| !tables.segments.get(&at.segment).is_some_and(|held| held.dead.get(at.slot));
    let live = large.into_iter().filter(|(at, _)| is_live(at));
    live.map(|(_, object)| object.to_string()).collect()
}

/// Removes what was being written beside its name when the process ended.
fn sweep_unfinished(disk: &dyn Disk) -> io::Result<()> {
    for name in disk.list("journal")? {
        if name.ends_with(".new") {
            disk.remove(&format!("journal/{name}"))?;
        }
    }
    Ok(())
}
