//! The seizer's kit: given a whole data directory and the outside keys, prints all that they tell.
//!
//! `seizer COPY-OF-DATA-DIR JOURNAL-KEY-FILE [QUEUE-KEY-FILE]` reads as the server would, with
//! everything but a password, and prints one line a fact: `kind: value`. `tests/canary/canary.py`
//! compares the kinds with `seized.txt`, which says the same as the claims in
//! `src/manual/claims.md`, and the values with what it sent.
//!
//! Give it a copy: opening a journal writes to it.
//!
//! # Known gaps
//! It finds what it knows how to look for, and runs of text. What it cannot do is break a cipher.
#![allow(
    clippy::disallowed_methods,
    clippy::disallowed_types,
    clippy::unwrap_used,
    reason = "a program that reads files, for tests"
)]

mod outgoing;

use postseal::base::crypto::{self, Key};
use postseal::base::disk::Disk;
use postseal::base::ids::AccountNumber;
use postseal::host::disk::DataDir;
use postseal::host::entropy::SystemEntropy;
use postseal::host::files;
use postseal::journal::{Address, FrameInfo, Journal, Options, Reader};
use postseal::store::Accounts;
use postseal::vault::{AccountFile, ServerKeys};
use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

/// A run of this many printable characters does not come out of a cipher by chance.
const TEXT_CHARACTERS_MIN: usize = 24;

fn main() {
    let arguments: Vec<String> = std::env::args().collect();
    let [_, directory, key, queue_key @ ..] = arguments.as_slice() else {
        eprintln!("usage: seizer COPY-OF-DATA-DIR JOURNAL-KEY-FILE [QUEUE-KEY-FILE]");
        std::process::exit(2);
    };
    let directory = Path::new(directory);
    texts(directory);
    let key = files::read_key(Path::new(key)).unwrap();
    let disk: Arc<dyn Disk> = Arc::new(DataDir::open(directory).unwrap());
    accounts(&disk, &key);
    journal(&disk, &key);
    outgoing::frames(directory, &*disk);
    outgoing::ledger(directory, &key);
    if let [queue_key] = queue_key {
        outgoing::queued(&disk, &files::read_key(Path::new(queue_key)).unwrap());
    }
}

fn accounts(disk: &Arc<dyn Disk>, key: &Key) {
    let keys = Arc::new(ServerKeys::new(key, None));
    let accounts = Accounts::load(Arc::clone(disk), keys).unwrap();
    accounts.list().for_each(|file| account(file));
    accounts.bad_files().iter().for_each(|bad| println!("account.bad-file: {}", bad.name));
}

fn account(file: &AccountFile) {
    let number = file.number().0;
    println!("account.address: {number} {}", file.address());
    println!("account.times-changed: {number} {}", file.generation());
    println!("account.locked: {number} {}", file.is_locked());
    println!("account.known-to-operator: {number} {}", file.operator_knows());
    println!("account.identity-certificate: {number} {} octets", file.identity_cert().len());
    println!("account.storage-certificate: {number} {} octets", file.storage_cert().len());
    println!("account.epoch: {number} {}", file.epoch());
    println!("account.subkey: {number} {:?}", file.subkey());
    for (_, kind) in file.slots() {
        println!("account.slot: {number} {kind:?}");
    }
}

fn journal(disk: &Arc<dyn Disk>, key: &Key) {
    let entropy = Arc::new(SystemEntropy::new());
    let options = Options::new(key.clone());
    let (journal, recovery) = Journal::open(Arc::clone(disk), options, entropy).unwrap();
    println!("journal.segments: {}", recovery.segments);
    println!("journal.incarnation: {}", journal.reader().identity().incarnation);
    let reader = journal.reader();
    for (account, head) in journal.heads() {
        println!("tray.at-least: {} {}", account.0, head.arrivals_since_record);
        println!("account.octets: {} {}", account.0, head.bytes);
        let mut at = head.last;
        let mut counts: BTreeMap<String, u32> = BTreeMap::new();
        while let Some(address) = at {
            let info = reader.info(address).unwrap();
            frame(&reader, address, &info, account, key);
            *counts.entry(format!("{:?}", info.class).to_lowercase()).or_default() += 1;
            at = info.previous;
        }
        counts.iter().for_each(|(class, n)| println!("frames.{class}: {} {n}", account.0));
    }
}

fn frame(reader: &Reader, at: Address, info: &FrameInfo, account: AccountNumber, key: &Key) {
    assert_eq!(info.account, account);
    let class = format!("{:?}", info.class).to_lowercase();
    println!("{class}.place: {} {}:{}", account.0, at.segment, at.slot);
    println!("{class}.object: {} {}", account.0, info.object);
    println!("{class}.octets: {} {} {}", account.0, info.head_bytes, info.body_bytes);
    if info.dead {
        return println!("{class}.deleted: {}", account.0);
    }
    let head = reader.head(at).unwrap();
    for (name, key) in keys_at_hand(key) {
        for skip in [0, 32] {
            if head.len() > skip && crypto::open(&key, b"", &head[skip..]).is_some() {
                println!("opened: a head, by {name}");
            }
        }
    }
}

/// Every key that can be made without a password.
fn keys_at_hand(journal_key: &Key) -> Vec<(String, Key)> {
    let labels = ["postseal account file mac 1", "postseal unknown account 1", "postseal record 1"];
    let derived = labels
        .iter()
        .map(|label| (format!("{label:?}"), crypto::derive(journal_key.expose(), b"", label)));
    let plain = [("the journal key", journal_key.clone()), ("zeros", Key::zeroed())];
    derived.chain(plain.map(|(name, key)| (name.to_owned(), key))).collect()
}

/// Runs of text in files, each once, and the names of files.
fn texts(directory: &Path) {
    let mut open = vec![directory.to_owned()];
    let mut seen = std::collections::BTreeSet::new();
    while let Some(path) = open.pop() {
        for entry in std::fs::read_dir(path).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                open.push(path);
                continue;
            }
            let name = path.strip_prefix(directory).unwrap().display().to_string();
            println!("file: {name}");
            let bytes = std::fs::read(&path).unwrap();
            let printable = |byte: &u8| (b' '..=b'~').contains(byte);
            for run in bytes.split(|byte| !printable(byte)) {
                if run.len() >= TEXT_CHARACTERS_MIN && seen.insert(run.to_vec()) {
                    println!("text: {} in {name}", String::from_utf8_lossy(run));
                }
            }
        }
    }
}
