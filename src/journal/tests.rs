//! The journal's own tests: the ordinary course, recovery, faults and damage.

use super::*;
use crate::base::disk::Disk as _;
use crate::base::disk::memory::{Failure, Fault, Loss, MemoryDisk, Op};
use crate::base::entropy::SeededEntropy;
use crate::base::ids::{AccountNumber, ObjectId};

fn key() -> Key {
    Key::copy_from(&[7; 32]).unwrap()
}

fn open(disk: &MemoryDisk) -> (Journal, Recovery) {
    open_with(disk, Options::small(key()))
}

fn open_with(disk: &MemoryDisk, options: Options) -> (Journal, Recovery) {
    let entropy = Arc::new(SeededEntropy::new(1));
    Journal::open(Arc::new(disk.clone()), options, entropy).unwrap()
}

fn object(n: u64) -> ObjectId {
    let mut id = [0; 16];
    id[..8].copy_from_slice(&n.to_le_bytes());
    ObjectId(id)
}

fn entry(class: Class, account: u32, n: u64) -> Entry {
    let head = format!("head {n} {}", "h".repeat(n as usize % 700)).into_bytes();
    let body = match class {
        Class::Arrival => {
            Body::Inline(format!("body {n} {}", "b".repeat(n as usize * 37 % 3000)).into_bytes())
        }
        _ => Body::None,
    };
    Entry { class, account: AccountNumber(account), object: object(n), head, body }
}

fn arrival(account: u32, n: u64) -> Entry {
    entry(Class::Arrival, account, n)
}

fn one(journal: &mut Journal, batch: Vec<Entry>) -> Result<Vec<Address>, AppendError> {
    journal.append(&[batch]).pop().unwrap()
}

fn body_of(entry: &Entry) -> Vec<u8> {
    match &entry.body {
        Body::Inline(body) => body.clone(),
        _ => Vec::new(),
    }
}

fn assert_holds(reader: &Reader, at: Address, entry: &Entry) {
    let (info, head) = reader.info_and_head(at).unwrap();
    assert_eq!((info.class, info.account, info.object), (entry.class, entry.account, entry.object));
    assert_eq!(head, entry.head);
    assert_eq!(reader.body(at).unwrap(), body_of(entry));
}

#[test]
fn what_was_appended_is_read_back_now_and_after_a_clean_stop() {
    let disk = MemoryDisk::new();
    let (mut journal, recovery) = open(&disk);
    assert_eq!(recovery, Recovery::default());
    let mut held = Vec::new();
    for n in 0..100 {
        let batch = vec![arrival(1, n), entry(Class::Account, 1, 1000 + n), arrival(2, 2000 + n)];
        let addresses = one(&mut journal, batch.clone()).unwrap();
        held.extend(addresses.into_iter().zip(batch));
    }
    let head = journal.reader().account(AccountNumber(1));
    assert_eq!(head.arrivals_since_record, 0);
    held.iter().for_each(|(at, entry)| assert_holds(&journal.reader(), *at, entry));
    let position = journal.close().unwrap();
    disk.power_cut(Loss::All);
    let (journal, recovery) = open(&disk);
    assert!(recovery.clean && recovery.damage.is_empty() && recovery.cuts.is_empty());
    assert!(recovery.segments > 3, "small segments were rolled over");
    assert_eq!(journal.position(), position);
    held.iter().for_each(|(at, entry)| assert_holds(&journal.reader(), *at, entry));
    assert_eq!(journal.reader().account(AccountNumber(1)), head);
    assert_eq!(journal.reader().account(AccountNumber(2)).arrivals_since_record, 100);
}

#[test]
fn an_accounts_frames_chain_backwards() {
    let disk = MemoryDisk::new();
    let (mut journal, _) = open(&disk);
    let first = one(&mut journal, vec![arrival(1, 1), arrival(2, 2), arrival(1, 3)]).unwrap();
    let second = one(&mut journal, vec![entry(Class::Account, 1, 4)]).unwrap();
    let reader = journal.reader();
    assert_eq!(reader.account(AccountNumber(1)).last, Some(second[0]));
    assert_eq!(reader.info(second[0]).unwrap().previous, Some(first[2]));
    assert_eq!(reader.info(first[2]).unwrap().previous, Some(first[0]));
    assert_eq!(reader.info(first[0]).unwrap().previous, None);
    assert_eq!(reader.earlier(AccountNumber(1), second[0]), Ok(Some(first[2])));
    assert_eq!(reader.earlier(AccountNumber(2), first[1]), Ok(None));
}

#[test]
fn what_was_acknowledged_survives_a_power_cut() {
    let disk = MemoryDisk::new();
    let (mut journal, _) = open(&disk);
    let at = one(&mut journal, vec![arrival(1, 1)]).unwrap()[0];
    let last = one(&mut journal, vec![arrival(1, 2), entry(Class::Account, 1, 3)]).unwrap();
    disk.power_cut(Loss::All);
    let (journal, recovery) = open(&disk);
    assert_eq!(recovery.carried_frames, 2, "the unmarked tail goes to a new segment");
    assert_eq!((recovery.clean, recovery.damage.len()), (false, 0));
    let reader = journal.reader();
    assert_holds(&reader, at, &arrival(1, 1));
    let head = reader.account(AccountNumber(1)).last.unwrap();
    assert_ne!(head, last[1]);
    assert_holds(&reader, head, &entry(Class::Account, 1, 3));
    let carried = reader.info(head).unwrap().previous.unwrap();
    assert_holds(&reader, carried, &arrival(1, 2));
    assert_eq!(reader.info(carried).unwrap().previous, Some(at));
}

#[test]
fn a_tail_that_a_dead_process_left_in_the_cache_is_durable_before_it_is_served() {
    let disk = MemoryDisk::new();
    let (mut journal, _) = open(&disk);
    one(&mut journal, vec![arrival(1, 1)]).unwrap();
    let sync = Fault { op: Some(Op::Sync), nth: 1, lasting: false, failure: Failure::Io };
    // The last batch is written whole, and the process dies in its sync.
    disk.inject(Fault { nth: 1, op: Some(Op::Sync), ..sync });
    let _ = one(&mut journal, vec![arrival(1, 2)]);
    disk.kill();
    let (journal, _) = open(&disk);
    let served = journal.reader().account(AccountNumber(1));
    disk.power_cut(Loss::All);
    let (journal, _) = open(&disk);
    let after = journal.reader().account(AccountNumber(1));
    assert_eq!(served.arrivals_since_record, after.arrivals_since_record);
}

#[test]
fn a_torn_tail_is_cut_and_does_not_return() {
    for seed in 0..200 {
        let disk = MemoryDisk::new();
        let (mut journal, _) = open(&disk);
        one(&mut journal, vec![arrival(1, 1)]).unwrap();
        let sync = Fault { op: Some(Op::Sync), nth: 1, lasting: true, failure: Failure::Io };
        disk.inject(sync);
        assert_eq!(one(&mut journal, vec![arrival(1, 50)]), Err(AppendError::Failed));
        disk.power_cut(Loss::Some(seed));
        let (mut journal, recovery) = open(&disk);
        assert!(recovery.damage.is_empty(), "seed {seed}: {recovery:?}");
        let arrivals = journal.reader().account(AccountNumber(1)).arrivals_since_record;
        assert!((1..=2).contains(&arrivals), "seed {seed}");
        one(&mut journal, vec![arrival(2, 3)]).unwrap();
        disk.power_cut(Loss::All);
        let (journal, recovery) = open(&disk);
        assert!(recovery.damage.is_empty(), "seed {seed}: {recovery:?}");
        let again = journal.reader().account(AccountNumber(1)).arrivals_since_record;
        assert_eq!(arrivals, again, "seed {seed}");
    }
}

#[test]
fn a_clean_stop_lets_the_next_open_read_footers_only() {
    let disk = MemoryDisk::new();
    let (mut journal, _) = open(&disk);
    for n in 0..200 {
        one(&mut journal, vec![arrival(1, n)]).unwrap();
    }
    let segments = journal.reader().0.tables().segments.len() as u64;
    journal.close().unwrap();
    disk.kill();
    let before = disk.count(Op::Read);
    open(&disk);
    let reads = disk.count(Op::Read) - before;
    assert!(reads <= 3 * segments + 2, "{reads} reads for {segments} segments of many frames");
}

#[test]
fn an_index_is_believed_at_its_very_position_only() {
    let disk = MemoryDisk::new();
    let (mut journal, _) = open(&disk);
    one(&mut journal, vec![arrival(1, 1)]).unwrap();
    let position = journal.close().unwrap();
    disk.kill();
    let false_head = AccountHead { arrivals_since_record: 77, ..AccountHead::default() };
    let index = |position| Some((position, vec![(AccountNumber(1), false_head)]));
    let (journal, _) =
        open_with(&disk, Options { index: index(position), ..Options::small(key()) });
    assert_eq!(journal.reader().account(AccountNumber(1)), false_head, "it was not read again");
    let stale = Position { batch: position.batch - 1, ..position };
    let (journal, _) = open_with(&disk, Options { index: index(stale), ..Options::small(key()) });
    assert_eq!(journal.reader().account(AccountNumber(1)).arrivals_since_record, 1);
}

#[test]
fn a_copied_directory_gets_a_higher_incarnation_once() {
    let disk = MemoryDisk::new();
    let (mut journal, _) = open(&disk);
    let at = one(&mut journal, vec![arrival(1, 1)]).unwrap()[0];
    let original = journal.reader().identity();
    assert_eq!((original.incarnation, original.copied), (1, false));
    journal.close().unwrap();
    let copy = disk.duplicate();
    let (journal, recovery) = open(&copy);
    let identity = journal.reader().identity();
    assert!(recovery.copied);
    assert_eq!((identity.incarnation, identity.copied), (2, true));
    assert_eq!((identity.journal, identity.server), (original.journal, original.server));
    assert_holds(&journal.reader(), at, &arrival(1, 1));
    copy.power_cut(Loss::All);
    let (journal, _) = open(&copy);
    assert_eq!(journal.reader().identity().incarnation, 2);
    assert!(!journal.reader().identity().copied);
    disk.kill();
    assert_eq!(open(&disk).0.reader().identity().incarnation, 1);
}

#[test]
fn another_key_opens_nothing() {
    let disk = MemoryDisk::new();
    let (mut journal, _) = open(&disk);
    one(&mut journal, vec![arrival(1, 1)]).unwrap();
    drop(journal);
    disk.kill();
    let options = Options::small(Key::copy_from(&[8; 32]).unwrap());
    let entropy = Arc::new(SeededEntropy::new(1));
    let opened = Journal::open(Arc::new(disk.clone()), options, entropy);
    assert!(matches!(opened, Err(OpenError::WrongKey)));
}

#[test]
fn a_newer_format_is_refused_with_a_sentence() {
    let disk = MemoryDisk::new();
    let (mut journal, _) = open(&disk);
    one(&mut journal, vec![arrival(1, 1)]).unwrap();
    let identity = journal.reader().identity();
    let keys = format::Keys::derive(&key(), &identity.journal);
    drop(journal);
    disk.kill();
    let file = crate::base::disk::Disk::open(&disk, "journal/00000001.segment").unwrap();
    let mut bytes = vec![0; format::SEGMENT_HEADER_BYTES as usize];
    file.read_at(0, &mut bytes).unwrap();
    let mut header = format::SegmentHeader::decode(&bytes, &keys).unwrap();
    header.version = 2;
    file.write_at(0, &header.encode(&keys)).unwrap();
    let entropy = Arc::new(SeededEntropy::new(1));
    let opened = Journal::open(Arc::new(disk.clone()), Options::small(key()), entropy);
    let Err(error @ OpenError::NewerFormat(1, 2)) = opened else { panic!("opened") };
    assert!(error.to_string().contains("reads up to 1"));
}

#[test]
fn what_a_tombstone_names_is_erased_from_the_octets_on_disk() {
    let disk = MemoryDisk::new();
    let (mut journal, _) = open(&disk);
    let mut batch = vec![arrival(1, 1), arrival(1, 2)];
    batch[0].head = b"CANARY-HEAD".to_vec();
    batch[0].body = Body::Inline(b"CANARY-BODY".to_vec());
    let at = one(&mut journal, batch).unwrap();
    let bytes = journal.reader().account(AccountNumber(1)).bytes;
    let grave = Entry::tombstone(AccountNumber(1), object(9), &at[..1]);
    one(&mut journal, vec![grave.clone()]).unwrap();
    assert_eq!(journal.reader().head(at[0]), Err(ReadError::Erased(at[0])), "at once");
    assert_eq!(journal.reader().account(AccountNumber(1)).bytes, bytes - 22);
    while journal.maintain(Budget { frames: 1, bytes: 1000 }) {}
    let raw = disk.contents("journal/00000001.segment").unwrap();
    assert!(!raw.windows(6).any(|six| six == b"CANARY"));
    assert_holds(&journal.reader(), at[1], &arrival(1, 2));
    one(&mut journal, vec![grave]).unwrap();
    assert_eq!(journal.reader().account(AccountNumber(1)).bytes, bytes - 22, "not freed twice");
    let foreign = Entry::tombstone(AccountNumber(2), object(10), &at[1..]);
    assert_eq!(one(&mut journal, vec![foreign]), Err(AppendError::NotYours(at[1])));
    let report = fsck::verify(Arc::new(disk), &key(), None).unwrap();
    assert_eq!((report.damage, report.frames_dead), (vec![], 1));
}

#[test]
fn a_place_that_cannot_be_erased_keeps_no_other_back() {
    let disk = MemoryDisk::new();
    let (mut journal, _) = open(&disk);
    let dead: Vec<Address> =
        (1..4).map(|n| one(&mut journal, vec![arrival(1, n)]).unwrap()[0]).collect();
    one(&mut journal, vec![Entry::tombstone(AccountNumber(1), object(9), &dead)]).unwrap();
    let failure = Failure::Io;
    disk.inject(Fault { op: Some(Op::Punch), nth: 1, lasting: false, failure });
    journal.maintain(Budget { frames: 100, bytes: 0 });
    assert_eq!(disk.count(Op::Punch), 3, "the others had their turn");
    journal.maintain(Budget { frames: 100, bytes: 0 });
    assert_eq!(disk.count(Op::Punch), 4, "and it has its second one");
    journal.maintain(Budget { frames: 100, bytes: 0 });
    assert_eq!(disk.count(Op::Punch), 4);
}

#[test]
fn what_cannot_be_read_at_open_is_named_and_nothing_is_cut() {
    let disk = MemoryDisk::new();
    let (mut journal, _) = open(&disk);
    let held: Vec<_> = (0..200)
        .map(|n| (one(&mut journal, vec![arrival(1, n)]).unwrap()[0], arrival(1, n)))
        .collect();
    drop(journal);
    let mut refused = 0;
    for nth in 1.. {
        disk.kill();
        disk.inject(Fault { op: Some(Op::Read), nth, lasting: true, failure: Failure::Io });
        let entropy = Arc::new(SeededEntropy::new(1));
        let opened = Journal::open(Arc::new(disk.clone()), Options::small(key()), entropy);
        disk.heal();
        let Err(error) = opened else { break };
        let text = error.to_string();
        assert!(text.contains("journal/"), "read {nth}: {text}");
        refused += u32::from(text.contains(".segment cannot be read at octet "));
    }
    assert!(refused > 1);
    disk.kill();
    let (journal, recovery) = open(&disk);
    assert_eq!((recovery.damage, recovery.cuts), (vec![], vec![]));
    let heads = journal.reader().account(AccountNumber(1));
    assert_eq!(heads.arrivals_since_record, held.len() as u32);
}

#[test]
fn compaction_keeps_addresses_chain_and_what_lives() {
    let disk = MemoryDisk::new();
    let (mut journal, _) = open(&disk);
    let mut held = Vec::new();
    for n in 0..120 {
        held.push((one(&mut journal, vec![arrival(1, n)]).unwrap()[0], n));
    }
    let size = |disk: &MemoryDisk| disk.contents("journal/00000001.segment").unwrap().len();
    let before = size(&disk);
    let (dead, live): (Vec<_>, Vec<_>) = held.into_iter().partition(|(_, n)| n % 4 != 0);
    let dead: Vec<Address> = dead.into_iter().map(|(at, _)| at).collect();
    one(&mut journal, vec![Entry::tombstone(AccountNumber(1), object(999), &dead)]).unwrap();
    while journal.maintain(Budget { frames: 7, bytes: 5000 }) {}
    assert!(size(&disk) < before / 2, "{} of {before}", size(&disk));
    for _ in 0..2 {
        let reader = journal.reader();
        live.iter().for_each(|(at, n)| assert_holds(&reader, *at, &arrival(1, *n)));
        assert!(dead.iter().all(|at| reader.info(*at).unwrap().dead));
        let report = fsck::verify(Arc::new(disk.clone()), &key(), None).unwrap();
        assert_eq!((report.damage, report.frames_dead), (vec![], dead.len() as u64));
        disk.power_cut(Loss::All);
        journal = open(&disk).0;
    }
}

#[test]
fn large_bodies_live_in_files_of_their_own_and_orphans_are_swept() {
    let disk = MemoryDisk::new();
    let (mut journal, _) = open(&disk);
    let bytes = vec![5; 300 << 10];
    let large = |n| write_large(&disk, object(n), &bytes).unwrap();
    let with = |n, body| Entry { body: Body::Large(body), ..arrival(1, n) };
    assert_eq!(
        one(&mut journal, vec![with(3, large(1))]),
        Err(AppendError::Malformed),
        "a body of another object"
    );
    let at = one(&mut journal, vec![with(2, large(2)), with(4, large(4))]).unwrap();
    let path = |n| format!("journal/large/{}", object(n));
    one(&mut journal, vec![arrival(1, 8)]).unwrap();
    drop(journal);
    disk.power_cut(Loss::All);
    // A segment may be missing at the end that names it, for all that is known.
    let (journal, recovery) = open(&disk);
    assert_eq!((recovery.orphans, disk.contents(&path(1)).is_some()), (0, true));
    let stopped_at = Some(journal.close().unwrap());
    let (mut journal, recovery) = open_with(&disk, Options { stopped_at, ..Options::small(key()) });
    assert_eq!(recovery.orphans, 1);
    assert_eq!((disk.contents(&path(1)), disk.contents(&path(2)).is_some()), (None, true));
    assert_eq!(journal.reader().body(at[0]).unwrap(), bytes);
    assert_eq!(journal.reader().arrival(at[0], 10).unwrap().2, [5; 10]);
    one(&mut journal, vec![Entry::tombstone(AccountNumber(1), object(9), &at[..1])]).unwrap();
    while journal.maintain(Budget { frames: 10, bytes: 0 }) {}
    assert_eq!(disk.contents(&path(2)), None);
    assert_eq!(journal.reader().body(at[1]).unwrap(), bytes);
}

/// What stands behind the end is not there to be missed, but the stop before knew of it. Bodies
/// that only the missing segment names are kept: it may come back.
#[test]
fn a_journal_that_was_shortened_after_a_clean_stop_is_noticed_and_loses_no_body() {
    let disk = MemoryDisk::new();
    let (mut journal, _) = open(&disk);
    one(&mut journal, vec![arrival(1, 1)]).unwrap();
    let first = journal.close().unwrap();
    let (mut journal, recovery) =
        open_with(&disk, Options { stopped_at: Some(first), ..Options::small(key()) });
    assert_eq!(recovery.damage, []);
    let body = Body::Large(write_large(&disk, object(2), &vec![5; 300 << 10]).unwrap());
    let at = one(&mut journal, vec![Entry { body, ..arrival(1, 2) }]).unwrap()[0];
    let stopped_at = Some(journal.close().unwrap());
    let verify = |disk: &MemoryDisk| {
        fsck::verify(Arc::new(disk.clone()), &key(), stopped_at).unwrap().damage
    };
    assert_eq!(verify(&disk), []);

    let last = format!("journal/{:08}.segment", at.segment);
    let whole = disk.contents(&last).unwrap();
    disk.remove(&last).unwrap();
    let shortened = Damage::of_all(What::Shortened);
    assert_eq!(verify(&disk), [shortened]);
    assert_eq!(fsck::verify(Arc::new(disk.clone()), &key(), Some(first)).unwrap().damage, []);
    let copy = disk.clone();
    let (_, recovery) = open_with(&copy, Options { stopped_at, ..Options::small(key()) });
    assert_eq!((recovery.damage, recovery.orphans), (vec![shortened], 0));

    let file = disk.create(&last).unwrap();
    file.write_at(0, &whole).unwrap();
    let (journal, recovery) = open_with(&disk, Options { stopped_at, ..Options::small(key()) });
    assert_eq!(recovery.damage, []);
    assert_eq!(journal.reader().body(at).unwrap(), [5; 300 << 10]);
}

#[test]
fn a_journal_that_is_gone_as_a_whole_after_a_clean_stop_is_missed() {
    let disk = MemoryDisk::new();
    let (mut journal, _) = open(&disk);
    one(&mut journal, vec![arrival(1, 1)]).unwrap();
    let stopped_at = Some(journal.close().unwrap());
    let shortened = [Damage::of_all(What::Shortened)];
    for gone in [MemoryDisk::new(), {
        for name in disk.list("journal").unwrap() {
            let _ = disk.remove(&format!("journal/{name}"));
        }
        disk.clone()
    }] {
        let verify = |at| fsck::verify(Arc::new(gone.clone()), &key(), at).unwrap().damage;
        assert_eq!(
            (verify(stopped_at).as_slice(), verify(None).as_slice()),
            (&shortened[..], &[][..])
        );
        let (_, recovery) = open_with(&gone, Options { stopped_at, ..Options::small(key()) });
        assert_eq!(recovery.damage, shortened);
    }
}

/// A small journal with everything in it, closed, and what its frames held.
fn mixed() -> (MemoryDisk, Vec<(Address, Entry)>, Vec<Address>) {
    let disk = MemoryDisk::new();
    let small = || Options { segment_bytes_max: 2500, ..Options::small(key()) };
    let (mut journal, _) = open_with(&disk, small());
    let mut held = Vec::new();
    for n in 1..6 {
        let mut batch = vec![arrival(1, n), entry(Class::Account, 2, n + 10)];
        batch[0].body = Body::Inline(vec![n as u8; 200]);
        let at = one(&mut journal, batch.clone()).unwrap();
        held.extend(at.into_iter().zip(batch));
    }
    let dead = vec![held.remove(2).0];
    let grave = Entry::tombstone(AccountNumber(1), object(50), &dead);
    one(&mut journal, vec![grave]).unwrap();
    one(&mut journal, vec![arrival(3, 60)]).unwrap();
    journal.close().unwrap();
    disk.kill();
    (disk, held, dead)
}

#[test]
fn what_was_erased_before_a_clean_stop_stays_erased_after_a_power_cut() {
    let disk = MemoryDisk::new();
    let small = || Options { segment_bytes_max: 2500, ..Options::small(key()) };
    let (mut journal, _) = open_with(&disk, small());
    let mut doomed = arrival(1, 1);
    doomed.body = Body::Inline(b"a word that was expunged".to_vec());
    let at = one(&mut journal, vec![doomed]).unwrap();
    (2..8).for_each(|n| drop(one(&mut journal, vec![arrival(2, n * 17)]).unwrap()));
    one(&mut journal, vec![Entry::tombstone(AccountNumber(1), object(50), &at)]).unwrap();
    journal.close().unwrap();
    disk.power_cut(Loss::All);
    open_with(&disk, small()).0.close().unwrap();
    let holds_it = |path: &String| {
        let contents = disk.contents(path).unwrap();
        contents.windows(24).any(|window| window == b"a word that was expunged")
    };
    assert_eq!(disk.paths().into_iter().find(holds_it), None);
}

#[test]
fn one_flipped_octet_anywhere_is_named_and_other_frames_stay_readable() {
    let (disk, held, dead) = mixed();
    let reader = open(&disk).0.reader();
    let dead_range = {
        let tables = reader.0.tables();
        let start = u64::from(tables.segments[&dead[0].segment].offsets[dead[0].slot as usize]);
        let header = reader.header(dead[0]).unwrap();
        let payload = start + format::FRAME_HEADER_BYTES;
        (recover::segment_path(dead[0].segment), payload..payload + header.payload_bytes())
    };
    let grave = {
        let all = |segment| (0..30).map(move |slot| Address { segment, slot });
        let is_grave =
            |at: &Address| reader.info(*at).is_ok_and(|info| info.class == Class::Tombstone);
        let at = (1..20).flat_map(all).find(is_grave).unwrap();
        (at.segment, at.slot)
    };
    let mut flips = 0;
    for path in disk.paths() {
        let len = disk.contents(&path).unwrap().len() as u64;
        for offset in (0..len).step_by(3) {
            if path == dead_range.0 && dead_range.1.contains(&offset) {
                continue;
            }
            flips += 1;
            let copy = disk.duplicate();
            copy.flip(&path, offset, 1 << (offset % 8));
            let report = fsck::verify(Arc::new(copy.clone()), &key(), None).unwrap();
            assert_ne!(report.damage, [], "{path} at {offset}");
            let named = report.damage.iter().filter_map(|it| Some((it.segment, it.slot?)));
            let named: Vec<(u32, u32)> = named.collect();
            let reader = open(&copy).0.reader();
            for (at, entry) in &held {
                if named.contains(&(at.segment, at.slot)) {
                    let body = reader.body(*at);
                    assert!(reader.head(*at).is_err() || body.is_err(), "{path} at {offset}: {at}");
                } else {
                    assert_holds(&reader, *at, entry);
                }
            }
            // A tombstone that cannot be read no longer excuses the zeros it made.
            assert!(named.len() <= 1 || named.contains(&grave), "{path} at {offset}: {named:?}");
        }
    }
    assert!(flips > 1500, "{flips}");
}

#[test]
fn damage_in_the_middle_is_stepped_over_and_never_cut() {
    let disk = MemoryDisk::new();
    let (mut journal, _) = open(&disk);
    let mut held = Vec::new();
    for n in 0..6 {
        held.push((one(&mut journal, vec![arrival(1, n)]).unwrap()[0], n));
    }
    let offset = journal.reader().0.tables().segments[&1].offsets[2];
    drop(journal);
    disk.kill();
    // No footer, so what is left decides; one frame header in the middle is bad.
    disk.flip("journal/00000001.segment", u64::from(offset) + 40, 1);
    let before = disk.contents("journal/00000001.segment").unwrap();
    let (journal, recovery) = open(&disk);
    let named: Vec<_> = recovery.damage.iter().map(|it| (it.slot, it.what)).collect();
    assert_eq!(named, [(Some(2), What::FrameHeader)]);
    let after = disk.contents("journal/00000001.segment").unwrap();
    assert_eq!(before[..after.len().min(offset as usize + 500)], after[..offset as usize + 500]);
    for (at, n) in &held[..5] {
        match at.slot {
            2 => assert!(journal.reader().head(*at).is_err()),
            _ => assert_holds(&journal.reader(), *at, &arrival(1, *n)),
        }
    }
    let account = AccountNumber(1);
    assert_eq!(journal.reader().earlier(account, held[2].0), Ok(Some(held[1].0)));
}

#[test]
fn cuts_inserts_repeats_and_swaps_of_batches_are_noticed() {
    let disk = MemoryDisk::new();
    let (mut journal, _) = open(&disk);
    let mut starts = vec![format::SEGMENT_HEADER_BYTES as usize];
    for n in 0..4 {
        one(&mut journal, vec![arrival(1, 5), entry(Class::Account, 1, n)]).unwrap();
        starts.push(journal.reader().0.tables().segments[&1].data_end as usize);
    }
    drop(journal);
    disk.kill();
    let path = "journal/00000001.segment";
    let raw = disk.contents(path).unwrap();
    let part = |n: usize| raw[starts[n]..starts[n + 1]].to_vec();
    let orders: [&[usize]; 4] = [&[0, 2, 3], &[0, 1, 1, 2, 3], &[0, 2, 1, 3], &[1, 2, 3]];
    for order in orders {
        let copy = disk.duplicate();
        let mut bytes = raw[..starts[0]].to_vec();
        order.iter().for_each(|n| bytes.extend(part(*n)));
        let file = crate::base::disk::Disk::open(&copy, path).unwrap();
        file.set_len(0).unwrap();
        file.write_at(0, &bytes).unwrap();
        let report = fsck::verify(Arc::new(copy), &key(), None).unwrap();
        assert_ne!(report.damage, [], "{order:?}");
    }
}

mod properties {
    use super::*;
    use crate::base::disk::Disk;
    use proptest::prelude::*;

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(200))]

        #[test]
        fn decoders_never_panic_and_believe_nothing_without_a_tag(
            bytes in proptest::collection::vec(any::<u8>(), 0..400),
        ) {
            let keys = format::Keys::derive(&key(), &[1; 16]);
            prop_assert!(format::SegmentHeader::decode(&bytes, &keys).is_none());
            prop_assert!(format::BatchHeader::decode(&bytes, &keys).is_none());
            prop_assert!(format::FrameHeader::decode(&bytes, &keys).is_none());
            prop_assert!(format::Footer::decode(&bytes, &bytes, &keys).is_none());
            let dead = format::decode_dead(&bytes);
            prop_assert_eq!(dead.is_some(), bytes.len() % 16 == 0);
            if let Some(dead) = dead {
                prop_assert_eq!(format::encode_dead(&dead), bytes.clone());
            }
            if let Some(addresses) = format::decode_addresses(&bytes) {
                prop_assert_eq!(format::encode_addresses(&addresses), bytes);
            }
        }

        #[test]
        fn hostile_octets_anywhere_in_a_segment_never_panic(
            at in 0_usize..3000,
            junk in proptest::collection::vec(any::<u8>(), 1..700),
            cut in 0_u64..3000,
        ) {
            let (disk, held, _) = mixed();
            let path = "journal/00000002.segment";
            let file = Disk::open(&disk, path).unwrap();
            file.write_at(at as u64, &junk).unwrap();
            file.set_len(file.len().unwrap().saturating_sub(cut)).unwrap();
            let report = fsck::verify(Arc::new(disk.clone()), &key(), None).unwrap();
            let reader = open(&disk).0.reader();
            let is_good = |(at, entry): &(Address, Entry)| {
                reader.head(*at).as_ref() == Ok(&entry.head)
                    && reader.body(*at) == Ok(body_of(entry))
            };
            // Only a footer may vanish without a word: nothing depends on it.
            prop_assert!(!report.damage.is_empty() || held.iter().all(is_good));
        }
    }

    #[test]
    fn headers_survive_a_round_trip() {
        let keys = format::Keys::derive(&key(), &[1; 16]);
        let frame = format::FrameHeader {
            at: Address { segment: 1, slot: 2 },
            epoch: 3,
            batch: 4,
            class: Class::Account,
            body_kind: format::BodyKind::Large,
            account: AccountNumber(5),
            object: object(6),
            previous: Some(Address { segment: 7, slot: 8 }),
            head_bytes: 9,
            body_bytes: 10,
            head_sha256: [11; 32],
            body_sha256: [12; 32],
            present: true,
        };
        assert_eq!(format::FrameHeader::decode(&frame.encode(&keys), &keys), Some(frame));
    }
}
