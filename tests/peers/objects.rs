//! Takes the stored OpenPGP messages out of a data directory, so that another program may open
//! them.
//!
//! `objects COPY-OF-DATA-DIR JOURNAL-KEY-FILE OUT-DIR` writes the body of each arrival that is not
//! deleted to `OUT-DIR/ACCOUNT-SEGMENT-SLOT.pgp`, as it stands in the journal. No key of any
//! account is needed for that, and none is used.
//!
//! Give it a copy: opening a journal writes to it.
#![allow(
    clippy::disallowed_methods,
    clippy::disallowed_types,
    clippy::unwrap_used,
    reason = "a program that writes files, for tests"
)]

use postseal::base::disk::Disk;
use postseal::host::disk::DataDir;
use postseal::host::entropy::SystemEntropy;
use postseal::host::files;
use postseal::journal::{Class, Journal, Options};
use std::path::Path;
use std::sync::Arc;

fn main() {
    let arguments: Vec<String> = std::env::args().collect();
    let [_, directory, key, out] = arguments.as_slice() else {
        eprintln!("usage: objects COPY-OF-DATA-DIR JOURNAL-KEY-FILE OUT-DIR");
        std::process::exit(2);
    };
    let key = files::read_key(Path::new(key)).unwrap();
    let disk: Arc<dyn Disk> = Arc::new(DataDir::open(Path::new(directory)).unwrap());
    let entropy = Arc::new(SystemEntropy::new());
    let (journal, _) = Journal::open(disk, Options::new(key), entropy).unwrap();
    let reader = journal.reader();
    for (account, head) in journal.heads() {
        let mut at = head.last;
        while let Some(address) = at {
            let info = reader.info(address).unwrap();
            if info.class == Class::Arrival && !info.dead {
                let name = format!("{}-{}-{}.pgp", account.0, address.segment, address.slot);
                let body = reader.body(address).unwrap();
                std::fs::write(Path::new(out).join(name), body).unwrap();
            }
            at = info.previous;
        }
    }
}
