//! Reading an account's chain back from its head, and putting its records in their order.
//!
//! Each frame names the one before it. The walk goes back to the newest snapshot of which all
//! chunks are there, and from there on only for arrivals, down to the snapshot's floor. Then the
//! records behind the snapshot are linked by their hashes; what does not link is named.
//!
//! A record whose append was reported as failed may be on the disk all the same. It has the number
//! and the predecessor of the one written instead, which stands behind it: the newest wins.

use super::machine::Damage;
use super::record::{Change, IndexKey, Place, Record, hash};
use super::snapshot::{self, Footing};
use super::state::State;
use crate::journal::{Address, Class, ReadError, Reader};
use crate::vault::Unlocked;
use std::collections::{BTreeMap, HashMap, HashSet};
use std::io::ErrorKind;

/// A record as found.
pub(super) struct Found {
    pub at: Address,
    pub record: Record,
    pub hash: [u8; 32],
    pub epoch: u32,
    pub bytes: usize,
}

/// What a walk found.
#[derive(Default)]
pub(super) struct Walk {
    /// Newest first.
    pub records: Vec<Found>,
    pub arrivals: Vec<Address>,
    pub base: Option<Base>,
    pub damage: Vec<Damage>,
    /// The newest place where something could not be read that may have been a record.
    unreadable: Option<Address>,
    /// Where the walk began.
    pub head: Option<Address>,
}

/// A complete snapshot.
pub(super) struct Base {
    pub state: State,
    pub footing: Footing,
    pub last: Address,
    pub seq: u64,
    pub hash: [u8; 32],
    pub epoch: u32,
    pub bytes: usize,
    pub frames: Vec<Address>,
}

/// Records in their order.
#[derive(Default)]
pub(super) struct Linked {
    pub records: Vec<Found>,
    /// Frames of records that do not count; they can go.
    pub left_over: Vec<Address>,
    /// A record is missing: what clients were told may not be known here.
    pub lost: bool,
}

/// Walks back from the account's head.
pub(super) fn walk(reader: &Reader, unlocked: &Unlocked, place: &Place) -> Result<Walk, ErrorKind> {
    let mut walk = Walk { head: reader.account(place.account).last, ..Walk::default() };
    let mut next = walk.head;
    while let Some(at) = next {
        if walk.is_below_floor(at) {
            break;
        }
        next = match reader.info(at) {
            Ok(info) => {
                match info.class {
                    Class::Arrival if !info.dead => walk.arrivals.push(at),
                    Class::Account if !info.dead && walk.base.is_none() => {
                        walk.take_record(reader, unlocked, place, at)?;
                    }
                    _ => {}
                }
                info.previous
            }
            Err(ReadError::Io(kind)) => return Err(kind),
            Err(error) => {
                walk.note_unreadable(at, error);
                reader.earlier(place.account, at).map_err(kind_of)?
            }
        };
    }
    Ok(walk)
}

fn kind_of(error: ReadError) -> ErrorKind {
    match error {
        ReadError::Io(kind) => kind,
        _ => ErrorKind::InvalidData,
    }
}

/// The keys that a record may be sealed under.
pub(super) fn keys(unlocked: &Unlocked) -> Vec<IndexKey<'_>> {
    let epoch = unlocked.index_epoch();
    let mut keys = vec![IndexKey { key: unlocked.index_key(), epoch }];
    let previous = unlocked.previous_index_key();
    keys.extend(previous.map(|key| IndexKey { key, epoch: epoch.saturating_sub(1) }));
    keys
}

impl Walk {
    fn is_below_floor(&self, at: Address) -> bool {
        self.base.as_ref().is_some_and(|base| base.footing.floor.is_some_and(|floor| at <= floor))
    }

    fn note_unreadable(&mut self, at: Address, error: ReadError) {
        self.damage.push(Damage::Unreadable(error));
        if self.base.is_none() {
            self.unreadable = self.unreadable.max(Some(at));
        }
    }

    fn take_record(
        &mut self,
        reader: &Reader,
        unlocked: &Unlocked,
        place: &Place,
        at: Address,
    ) -> Result<(), ErrorKind> {
        let (info, head) = match reader.info_and_head(at) {
            Ok(found) => found,
            Err(ReadError::Io(kind)) => return Err(kind),
            Err(ReadError::Erased(_)) => return Ok(()),
            Err(error) => {
                self.note_unreadable(at, error);
                return Ok(());
            }
        };
        let Some((record, epoch)) = Record::open(&head, info.object, place, &keys(unlocked)) else {
            self.damage.push(Damage::Forged(at));
            self.unreadable = self.unreadable.max(Some(at));
            return Ok(());
        };
        let begins =
            matches!(record.changes.first(), Some(Change::Chunk(chunk)) if chunk.index == 0);
        self.records.push(Found { at, record, hash: hash(&head), epoch, bytes: head.len() });
        if begins {
            self.try_snapshot();
        }
        Ok(())
    }

    /// The first chunk of a snapshot was found: if the others were too, the walk has its base.
    fn try_snapshot(&mut self) {
        let chunk_of = |found: &Found| match found.record.changes.first() {
            Some(Change::Chunk(chunk)) => Some((chunk.snapshot, chunk.index, chunk.count)),
            _ => None,
        };
        let Some((snapshot, _, count)) = self.records.last().and_then(chunk_of) else { return };
        let mut chunks = BTreeMap::new();
        for (place, found) in self.records.iter().enumerate().rev() {
            if let Some((of, index, _)) = chunk_of(found)
                && of == snapshot
            {
                chunks.entry(index).or_insert(place);
            }
        }
        if !(0..count).eq(chunks.keys().copied()) {
            return;
        }
        let places: Vec<usize> = chunks.into_values().collect();
        match self.join(&places) {
            Some((state, footing)) => self.set_base(&places, state, footing),
            None => self.damage.push(Damage::Forged(self.records[places[0]].at)),
        }
    }

    fn join(&self, places: &[usize]) -> Option<(State, Footing)> {
        let pieces =
            places.iter().filter_map(|&place| match self.records[place].record.changes.first() {
                Some(Change::Chunk(chunk)) => Some(chunk.bytes.0.expose()),
                _ => None,
            });
        let whole: Vec<&[u8]> = pieces.collect();
        snapshot::decode(crate::base::secret::SecretBytes::new(whole.concat()).expose())
    }

    fn set_base(&mut self, places: &[usize], state: State, footing: Footing) {
        let last = &self.records[places[places.len() - 1]];
        self.base = Some(Base {
            state,
            footing,
            last: last.at,
            seq: last.record.seq,
            hash: last.hash,
            epoch: places.iter().map(|&p| self.records[p].epoch).min().unwrap_or(last.epoch),
            bytes: places.iter().map(|&p| self.records[p].bytes).sum(),
            frames: places.iter().map(|&p| self.records[p].at).collect(),
        });
        let chunks: HashSet<usize> = places.iter().copied().collect();
        let mut place = 0;
        self.records.retain(|_| {
            place += 1;
            !chunks.contains(&(place - 1))
        });
    }

    /// Puts the records behind the base in their order.
    pub(super) fn link(&mut self) -> Linked {
        let mut records = std::mem::take(&mut self.records);
        records.reverse();
        let (seq, hash) = self.base.as_ref().map_or((0, [0; 32]), |base| (base.seq, base.hash));
        let linker = Linker::new(records, self.base.as_ref());
        let mut linked = linker.run(seq, hash, &mut self.damage);
        let newest = linked.records.last().map(|found| found.at);
        let base = self.base.as_ref().map(|base| base.last);
        linked.lost |= self.unreadable.is_some() && self.unreadable > newest.max(base);
        linked
    }
}

/// Follows hashes from record to record.
struct Linker {
    records: Vec<Option<Found>>,
    by_previous: HashMap<[u8; 32], Vec<usize>>,
    known: HashSet<[u8; 32]>,
    visited: HashSet<[u8; 32]>,
    /// Number and place of the snapshot's last record.
    base: Option<(u64, Address)>,
}

impl Linker {
    fn new(records: Vec<Found>, base: Option<&Base>) -> Linker {
        let mut by_previous: HashMap<[u8; 32], Vec<usize>> = HashMap::new();
        for (place, found) in records.iter().enumerate() {
            by_previous.entry(found.record.previous).or_default().push(place);
        }
        let known = records.iter().map(|found| found.hash).collect();
        let records = records.into_iter().map(Some).collect();
        let visited = base.iter().map(|base| base.hash).collect();
        let base = base.map(|base| (base.seq, base.last));
        Linker { records, by_previous, known, visited, base }
    }

    fn run(mut self, mut seq: u64, mut hash: [u8; 32], damage: &mut Vec<Damage>) -> Linked {
        let mut linked = Linked::default();
        let mut newest: Option<Address> = None;
        loop {
            let place = match self.successor(&hash, seq) {
                Some(place) => place,
                None => match self.after_gap(seq) {
                    Some(place) => {
                        linked.lost |= self.note_gap(place, seq, damage);
                        place
                    }
                    None => break,
                },
            };
            let Some(found) = self.records[place].take() else { break };
            if newest.is_some_and(|newest| found.at < newest) {
                damage.push(Damage::Swapped(found.at));
            }
            newest = newest.max(Some(found.at));
            (seq, hash) = (found.record.seq, found.hash);
            self.visited.insert(hash);
            linked.records.push(found);
        }
        self.name_the_rest(&mut linked, damage);
        linked
    }

    /// The newest record that continues `hash`; of equal ones the first.
    fn successor(&self, hash: &[u8; 32], seq: u64) -> Option<usize> {
        let places = self.by_previous.get(hash)?.iter().copied();
        let fits = |place: &usize| {
            let found = self.records[*place].as_ref();
            found.is_some_and(|f| f.record.seq == seq + 1 && !self.visited.contains(&f.hash))
        };
        let newest = places.clone().rfind(fits)?;
        let same = self.records[newest].as_ref()?.hash;
        places.filter(fits).find(|&p| self.records[p].as_ref().is_some_and(|f| f.hash == same))
    }

    /// Nothing continues the chain: the record with the next higher number, if there is one.
    fn after_gap(&self, seq: u64) -> Option<usize> {
        let left = self.records.iter().enumerate().filter_map(|(place, found)| {
            let record = &found.as_ref()?.record;
            // What continues a record that was passed over was given up together with it.
            let beyond = record.seq > seq && !self.known.contains(&record.previous);
            beyond.then_some((record.seq, std::cmp::Reverse(place)))
        });
        left.min().map(|(_, std::cmp::Reverse(place))| place)
    }

    /// Whether something is lost: a gap that a damaged snapshot explains loses nothing.
    fn note_gap(&self, place: usize, seq: u64, damage: &mut Vec<Damage>) -> bool {
        let Some(found) = self.records[place].as_ref() else { return false };
        let (next, (first, count)) = (found.record.seq, found.record.snapshot);
        if next == seq + 1 {
            damage.push(Damage::Broken(found.at));
            return true;
        }
        damage.push(Damage::Missing { from: seq + 1, to: next - 1 });
        let in_snapshot = |seq: u64| seq >= first && seq - first < u64::from(count);
        !(in_snapshot(seq + 1) && in_snapshot(next - 1))
    }

    fn name_the_rest(self, linked: &mut Linked, damage: &mut Vec<Damage>) {
        for found in self.records.into_iter().flatten() {
            let before_base = |(seq, last)| found.record.seq <= seq && found.at > last;
            if self.visited.contains(&found.hash) || self.base.is_some_and(before_base) {
                damage.push(Damage::Repeated(found.at));
            }
            linked.left_over.push(found.at);
        }
    }
}
