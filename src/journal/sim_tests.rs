//! Crashes and faults against an oracle. A seed decides everything: which batches, which faults,
//! when the process dies and what the power takes. `SEED=n` replays one.

use super::*;
use crate::base::disk::memory::{Failure, Fault, Loss, MemoryDisk, Op};
use crate::base::entropy::SeededEntropy;
use crate::base::ids::{AccountNumber, ObjectId};
use std::collections::{BTreeMap, BTreeSet};

/// Seeds in an ordinary test run.
const SEEDS: u64 = 200;
/// Steps a seed takes.
const STEPS: u64 = 60;
/// Accounts in the simulation.
const ACCOUNTS: u64 = 3;

/// What the oracle knows of a frame that may exist.
#[derive(Clone)]
struct Known {
    class: Class,
    account: AccountNumber,
    head: Vec<u8>,
    body: Vec<u8>,
}

struct World {
    seed: u64,
    disk: MemoryDisk,
    dice: SeededEntropy,
    journal: Option<Journal>,
    next: u64,
    frames: BTreeMap<ObjectId, Known>,
    /// By account, in order: what was acknowledged.
    held: BTreeMap<AccountNumber, Vec<ObjectId>>,
    /// Batches that failed and may come back, whole, at the next open only.
    doubtful: Vec<Vec<ObjectId>>,
    dead: BTreeSet<ObjectId>,
    /// Frames whose tombstone failed: dead or not after the next open.
    perhaps_dead: BTreeSet<ObjectId>,
    addresses: BTreeMap<ObjectId, Address>,
}

impl World {
    fn new(seed: u64) -> Self {
        World {
            seed,
            disk: MemoryDisk::new(),
            dice: SeededEntropy::new(seed.wrapping_mul(0x9E37_79B9) ^ 0xA5A5),
            journal: None,
            next: 1,
            frames: BTreeMap::new(),
            held: BTreeMap::new(),
            doubtful: Vec::new(),
            dead: BTreeSet::new(),
            perhaps_dead: BTreeSet::new(),
            addresses: BTreeMap::new(),
        }
    }

    fn roll(&self, sides: u64) -> u64 {
        self.dice.next_u64() % sides
    }

    fn run(mut self) {
        self.reopen();
        for _ in 0..STEPS {
            match self.roll(16) {
                0 => self.plan_fault(),
                1 => self.disk.heal(),
                2 => self.crash(),
                3 => self.stop_cleanly(),
                4 | 5 => self.maintain(),
                6 => self.journal().mark(),
                7 | 8 => self.bury(),
                _ => self.append(),
            }
        }
        self.crash();
    }

    fn journal(&mut self) -> &mut Journal {
        self.journal.as_mut().expect("reopened after each crash")
    }

    fn plan_fault(&mut self) {
        let failure = if self.roll(2) == 0 { Failure::Io } else { Failure::NoSpace };
        let nth = 1 + self.roll(6);
        let lasting = self.roll(3) == 0;
        self.disk.inject(Fault { op: None, nth, lasting, failure });
    }

    fn append(&mut self) {
        let groups = 1 + self.roll(3);
        let batches: Vec<Vec<Entry>> = (0..groups).filter_map(|_| self.batch()).collect();
        let outcomes = self.journal().append(&batches);
        for (batch, outcome) in batches.iter().zip(outcomes) {
            let objects: Vec<ObjectId> = batch.iter().map(|entry| entry.object).collect();
            match outcome {
                Ok(addresses) => {
                    for (entry, at) in batch.iter().zip(addresses) {
                        self.held.entry(entry.account).or_default().push(entry.object);
                        self.addresses.insert(entry.object, at);
                    }
                }
                Err(_) => self.doubtful.push(objects),
            }
        }
        self.check_live();
    }

    /// A batch, unless its large body could not be written.
    fn batch(&mut self) -> Option<Vec<Entry>> {
        (0..1 + self.roll(3)).map(|_| self.entry()).collect()
    }

    fn entry(&mut self) -> Option<Entry> {
        let mut id = [0; 16];
        id[..8].copy_from_slice(&self.next.to_le_bytes());
        let object = ObjectId(id);
        self.next += 1;
        let account = AccountNumber(1 + self.roll(ACCOUNTS) as u32);
        let class = if self.roll(3) == 0 { Class::Account } else { Class::Arrival };
        let head = vec![self.next as u8; self.roll(900) as usize];
        let bytes = vec![!self.next as u8; self.roll(6000) as usize];
        let body = match self.roll(8) {
            0 => Body::None,
            1 => Body::Large(write_large(&self.disk, object, &bytes).ok()?),
            _ => Body::Inline(bytes.clone()),
        };
        let held = if matches!(body, Body::None) { Vec::new() } else { bytes };
        self.frames.insert(object, Known { class, account, head: head.clone(), body: held });
        Some(Entry { class, account, object, head, body })
    }

    /// Tombstones for some of an account's frames.
    fn bury(&mut self) {
        let account = AccountNumber(1 + self.roll(ACCOUNTS) as u32);
        let held = self.held.get(&account).cloned().unwrap_or_default();
        let chosen: Vec<ObjectId> = held.into_iter().filter(|_| self.roll(3) == 0).collect();
        let addresses: Vec<Address> = chosen.iter().map(|it| self.addresses[it]).collect();
        let tombstone = Entry::tombstone(account, ObjectId([0xFF; 16]), &addresses);
        match self.journal().append(&[vec![tombstone]]).pop() {
            Some(Ok(_)) => self.dead.extend(chosen),
            _ => self.perhaps_dead.extend(chosen),
        }
        self.check_live();
    }

    fn maintain(&mut self) {
        let budget = Budget { frames: self.roll(20) as u32, bytes: self.roll(50_000) };
        self.journal().maintain(budget);
        self.check_live();
    }

    fn crash(&mut self) {
        self.journal = None;
        match self.roll(3) {
            0 => self.disk.kill(),
            1 => self.disk.power_cut(Loss::All),
            _ => self.disk.power_cut(Loss::Some(self.dice.next_u64())),
        }
        self.reopen();
    }

    fn stop_cleanly(&mut self) {
        let journal = self.journal.take().expect("reopened after each crash");
        let _ = journal.close();
        self.disk.kill();
        self.reopen();
    }

    /// Opens, with whatever faults are planned; then without.
    fn reopen(&mut self) {
        let opened = self.try_open().or_else(|_| {
            self.disk.heal();
            if self.roll(2) == 0 {
                self.disk.power_cut(Loss::Some(self.dice.next_u64()));
            }
            self.try_open()
        });
        let (journal, recovery) = opened.expect("opens when nothing fails");
        assert_eq!(recovery.damage, [], "seed {}: {recovery:?}", self.seed);
        self.journal = Some(journal);
        self.settle_doubts();
        self.check_live();
        let checked = fsck::verify(Arc::new(self.disk.clone()), &key(), None).unwrap();
        assert_eq!(checked.damage, [], "seed {}", self.seed);
    }

    fn try_open(&self) -> Result<(Journal, Recovery), OpenError> {
        let entropy = Arc::new(SeededEntropy::new(self.dice.next_u64()));
        let options = Options { segment_bytes_max: 20_000, ..Options::small(key()) };
        Journal::open(Arc::new(self.disk.clone()), options, entropy)
    }

    /// What failed is there whole or not at all; from now on that is certain.
    fn settle_doubts(&mut self) {
        let mut seen = BTreeMap::new();
        for account in (1..=ACCOUNTS as u32).map(AccountNumber) {
            for (object, at) in self.chain(account) {
                seen.insert(object, at);
            }
        }
        for batch in std::mem::take(&mut self.doubtful) {
            let back = batch.iter().filter(|object| seen.contains_key(object)).count();
            assert!(back == 0 || back == batch.len(), "seed {}: half a batch", self.seed);
            for object in batch.into_iter().filter(|_| back > 0) {
                let account = self.frames[&object].account;
                self.held.entry(account).or_default().push(object);
            }
        }
        self.addresses = seen;
        let reader = self.journal().reader();
        for object in std::mem::take(&mut self.perhaps_dead) {
            if reader.info(self.addresses[&object]).unwrap().dead {
                self.dead.insert(object);
            }
        }
    }

    /// An account's frames from the first to the last, by walking back.
    fn chain(&mut self, account: AccountNumber) -> Vec<(ObjectId, Address)> {
        let reader = self.journal().reader();
        let mut next = reader.account(account).last;
        let mut out = Vec::new();
        while let Some(at) = next {
            let info = reader.info(at).unwrap();
            assert_eq!(info.account, account, "seed {}", self.seed);
            out.push((info.object, at));
            next = info.previous;
        }
        out.reverse();
        out
    }

    /// Everything acknowledged is there, in order, as it was written, and nothing else is.
    fn check_live(&mut self) {
        let seed = self.seed;
        let reader = self.journal().reader();
        for account in (1..=ACCOUNTS as u32).map(AccountNumber) {
            let chain = self.chain(account);
            let objects: Vec<ObjectId> = chain.iter().map(|(object, _)| *object).collect();
            let held = self.held.get(&account).cloned().unwrap_or_default();
            assert_eq!(objects, held, "seed {seed}, account {account}");
            let (mut bytes, mut arrivals) = (0, 0);
            for (object, at) in chain {
                let known = &self.frames[&object];
                let dead = reader.info(at).unwrap().dead;
                if !self.perhaps_dead.contains(&object) {
                    assert_eq!(dead, self.dead.contains(&object), "seed {seed}, {at}");
                }
                match dead {
                    true => assert_eq!(reader.head(at), Err(ReadError::Erased(at))),
                    false => {
                        assert_eq!(reader.head(at).as_ref(), Ok(&known.head), "seed {seed}");
                        assert_eq!(reader.body(at).as_ref(), Ok(&known.body), "seed {seed}");
                        bytes += (known.head.len() + known.body.len()) as u64;
                    }
                }
                arrivals = if known.class == Class::Account { 0 } else { arrivals + 1 };
            }
            let head = reader.account(account);
            assert_eq!((head.bytes, head.arrivals_since_record), (bytes, arrivals), "seed {seed}");
        }
    }
}

fn key() -> Key {
    Key::copy_from(&[9; 32]).unwrap()
}

#[test]
fn crashes_and_faults_lose_nothing_that_was_acknowledged() {
    if let Some(seed) = std::env::var("SEED").ok().and_then(|seed| seed.parse().ok()) {
        return World::new(seed).run();
    }
    for seed in 0..SEEDS {
        let ran = std::panic::catch_unwind(|| World::new(seed).run());
        assert!(ran.is_ok(), "replay with SEED={seed}");
    }
}

/// One life of a journal in which every kind of operation happens; stops at nothing.
fn life(disk: &MemoryDisk, acknowledged: &mut Vec<(AccountNumber, ObjectId)>) {
    let entropy = Arc::new(SeededEntropy::new(1));
    let options = Options { segment_bytes_max: 4000, reserve_bytes: 1000, ..Options::small(key()) };
    let Ok((mut journal, _)) = Journal::open(Arc::new(disk.clone()), options, entropy) else {
        return;
    };
    let mut addresses = Vec::new();
    for n in 0..8_u8 {
        let (account, object) = (AccountNumber(1), ObjectId([n; 16]));
        let (head, body) = (vec![n; 300], Body::Inline(vec![n; 900]));
        let entry = Entry { class: Class::Arrival, account, object, head, body };
        if let Some(Ok(at)) = journal.append(&[vec![entry]]).pop() {
            acknowledged.push((account, object));
            addresses.extend(at);
        }
    }
    // Another account's frames die, so that erasing and compaction take their part.
    let (account, object) = (AccountNumber(2), ObjectId([0xEE; 16]));
    let body = Body::Inline(vec![1; 3000]);
    let entry = Entry { class: Class::Arrival, account, object, head: vec![1; 3000], body };
    if let Some(Ok(at)) = journal.append(&[vec![entry]]).pop() {
        journal.append(&[vec![Entry::tombstone(account, ObjectId([0xDD; 16]), &at)]]);
    }
    for _ in 0..20 {
        journal.maintain(Budget { frames: 10, bytes: 100_000 });
    }
    for ((_, object), at) in acknowledged.iter().zip(&addresses) {
        assert_eq!(journal.reader().body(*at).unwrap(), vec![object.0[0]; 900]);
    }
    let _ = journal.close();
}

#[test]
fn every_operation_of_the_accept_path_may_fail_once_or_for_ever() {
    for failure in [Failure::Io, Failure::NoSpace] {
        for lasting in [false, true] {
            let mut nth = 0;
            loop {
                nth += 1;
                let disk = MemoryDisk::new();
                disk.inject(Fault { op: None, nth, lasting, failure });
                let mut acknowledged = Vec::new();
                life(&disk, &mut acknowledged);
                let fired = disk.fired();
                disk.power_cut(Loss::All);
                assert_all_there(&disk, &acknowledged, &format!("{failure:?} {lasting} {nth}"));
                if fired == 0 {
                    assert_eq!(acknowledged.len(), 8, "nothing failed");
                    break;
                }
            }
            assert!(nth > 40, "{nth} operations are too few for this life");
        }
    }
}

fn assert_all_there(disk: &MemoryDisk, acknowledged: &[(AccountNumber, ObjectId)], case: &str) {
    let entropy = Arc::new(SeededEntropy::new(2));
    let opened = Journal::open(Arc::new(disk.clone()), Options::small(key()), entropy);
    let (journal, recovery) = opened.unwrap();
    assert_eq!(recovery.damage, [], "{case}");
    let reader = journal.reader();
    let mut found = BTreeSet::new();
    let mut next = reader.account(AccountNumber(1)).last;
    while let Some(at) = next {
        let info = reader.info(at).unwrap();
        assert_eq!(reader.body(at).unwrap(), vec![info.object.0[0]; 900], "{case}");
        assert!(found.insert(info.object), "{case}: twice the same");
        next = info.previous;
    }
    for (_, object) in acknowledged {
        assert!(found.contains(object), "{case}: {object} was acknowledged and is gone");
    }
}

#[test]
fn after_a_failed_sync_the_same_segment_is_never_synced_again() {
    let disk = MemoryDisk::new();
    let entropy = Arc::new(SeededEntropy::new(1));
    let (mut journal, _) =
        Journal::open(Arc::new(disk.clone()), Options::small(key()), entropy).unwrap();
    let entry = |n: u8| Entry {
        class: Class::Arrival,
        account: AccountNumber(1),
        object: ObjectId([n; 16]),
        head: vec![n; 100],
        body: Body::Inline(vec![n; 900]),
    };
    let first = journal.append(&[vec![entry(1)]]).pop().unwrap().unwrap()[0];
    disk.inject(Fault { op: Some(Op::Sync), nth: 1, lasting: false, failure: Failure::Io });
    assert_eq!(journal.append(&[vec![entry(2)]]), [Err(AppendError::Failed)]);
    let second = journal.append(&[vec![entry(3)]]).pop().unwrap().unwrap()[0];
    assert!(second.segment > first.segment, "a new segment proves itself first");
    assert_eq!(journal.reader().info(second).unwrap().previous, Some(first));
    drop(journal);
    disk.power_cut(Loss::All);
    assert_all_there(
        &disk,
        &[(AccountNumber(1), ObjectId([1; 16])), (AccountNumber(1), ObjectId([3; 16]))],
        "poisoned",
    );
}

#[test]
fn a_full_disk_says_so_keeps_going_and_gives_the_reserve_to_erases() {
    let disk = MemoryDisk::new();
    let entropy = Arc::new(SeededEntropy::new(1));
    let options = Options { reserve_bytes: 4000, ..Options::small(key()) };
    let (mut journal, _) = Journal::open(Arc::new(disk.clone()), options, entropy).unwrap();
    disk.set_capacity(Some(30_000));
    let entry = |n: u8| Entry {
        class: Class::Arrival,
        account: AccountNumber(1),
        object: ObjectId([n; 16]),
        head: vec![n; 100],
        body: Body::Inline(vec![n; 2000]),
    };
    let mut held = Vec::new();
    let full = loop {
        match journal.append(&[vec![entry(held.len() as u8)]]).pop().unwrap() {
            Ok(at) => held.extend(at),
            Err(error) => break error,
        }
    };
    assert_eq!(full, AppendError::Full);
    assert!(held.len() > 5);
    let tombstone = Entry::tombstone(AccountNumber(1), ObjectId([0xFF; 16]), &held[..3]);
    assert!(journal.append(&[vec![tombstone]])[0].is_ok(), "an erase must still be possible");
    assert!(journal.is_full());
    assert_eq!(journal.append(&[vec![entry(99)]]), [Err(AppendError::Full)], "mail must not");
    disk.set_capacity(Some(100_000));
    assert!(journal.append(&[vec![entry(100)]])[0].is_ok(), "room again, mail again");
    for at in &held[3..] {
        assert!(journal.reader().body(*at).is_ok());
    }
}
