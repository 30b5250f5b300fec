//! The journal's own tests: the ordinary course, recovery, faults and damage.

use super::*;
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
