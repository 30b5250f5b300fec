//! What the seizer's kit finds of mail that goes out: the queue, and the ledger of others' keys.
//!
//! Frame headers of the queue's journals are read from the octets, as anybody reads them who has no
//! key. The ledger is opened with the journal key, and the queue's items with the queue key, if
//! that is given: kinds that begin with `queued.` need it.

use postseal::base::crypto::{self, Key};
use postseal::base::disk::{Below, Disk};
use postseal::host::entropy::SystemEntropy;
use postseal::journal::{Class, Journal, Options};
use postseal::queue::epochs::{self, Epoch, Epochs};
use postseal::queue::seal::{self, ContentKey};
use postseal::relay::queue::{slot_dir, slots};
use std::path::Path;
use std::sync::Arc;

/// How a frame header begins (`journal::format`).
const FRAME_MAGIC: &[u8] = b"\xF1PSf";
/// Octets of a frame header.
const FRAME_HEADER_BYTES: usize = 160;

/// What is there to see without a key: frames of the queue's journals.
pub fn frames(directory: &Path, disk: &dyn Disk) {
    for slot in slots(disk).unwrap() {
        println!("queue.day: {slot}");
        let journal = directory.join(slot_dir(slot)).join("journal");
        for entry in std::fs::read_dir(journal).unwrap() {
            let path = entry.unwrap().path();
            if path.extension().is_some_and(|extension| extension == "segment") {
                segment(&std::fs::read(&path).unwrap());
            }
        }
    }
}

fn segment(bytes: &[u8]) {
    let mut at = 0;
    while let Some(found) = bytes[at..].windows(4).position(|window| window == FRAME_MAGIC) {
        let Some(frame) = bytes.get(at + found..at + found + FRAME_HEADER_BYTES) else { return };
        let octets = |from: usize| u32::from_le_bytes(frame[from..from + 4].try_into().unwrap());
        let object: String = frame[32..48].iter().map(|octet| format!("{octet:02x}")).collect();
        match frame[24] {
            1 => println!("queue.item: {object} {} {}", octets(56), octets(64)),
            2 => println!("queue.progress: {object} {}", octets(56)),
            _ => println!("queue.left: {} octets of names", octets(56)),
        }
        at += found + 4;
    }
}

/// What the journal key opens of the ledger.
pub fn ledger(directory: &Path, journal_key: &Key) {
    let bytes = std::fs::read(directory.join("ledger/ledger")).unwrap();
    let root = crypto::derive(journal_key.expose(), b"", "postseal ledger root 1");
    let key = crypto::derive(root.expose(), b"", "postseal ledger values 1");
    let (head, mut rest) = bytes.split_at(18 + 16);
    for number in 0_u64.. {
        let Some((length, more)) = rest.split_first_chunk::<4>() else { return };
        let (sealed, next) = more.split_at(u32::from_le_bytes(*length) as usize);
        let record = crypto::open(&key, &[head, &number.to_le_bytes()].concat(), sealed).unwrap();
        println!("ledger.record: {number} {} octets", sealed.len());
        let shown = |byte: &u8| byte.is_ascii_graphic();
        for run in record.expose().split(|byte| !shown(byte)) {
            let text = String::from_utf8_lossy(run);
            if text.contains(".example") {
                println!("ledger.correspondent: {}", text.trim_matches(['<', '>']));
            }
        }
        rest = next;
    }
}

/// What the queue key opens.
pub fn queued(disk: &Arc<dyn Disk>, root: &Key) {
    let epochs = Epochs::load(&**disk, root).unwrap().unwrap();
    for epoch in epochs.all() {
        println!("queued.day: {} {}", epoch.number, epoch.day);
        let below = Below::make(Arc::clone(disk), &slot_dir(epoch.slot)).unwrap();
        let options = Options::new(epochs::journal_key(root));
        let entropy = Arc::new(SystemEntropy::new());
        let (journal, _) = Journal::open(Arc::new(below), options, entropy).unwrap();
        day(&journal, epoch);
    }
}

fn day(journal: &Journal, epoch: &Epoch) {
    let (reader, open) = (journal.reader(), epoch.open_key().unwrap());
    for (_, head) in journal.heads() {
        let mut at = head.last;
        while let Some(address) = at {
            let info = reader.info(address).unwrap();
            at = info.previous;
            if info.dead {
                println!("queued.gone: {}", info.object);
                continue;
            }
            if info.class != Class::Arrival {
                continue;
            }
            let head = reader.head(address).unwrap();
            let content = ContentKey::open(seal::sealed_key(&head).unwrap(), &open).unwrap();
            let keys = content.item(epoch.number, &info.object);
            let envelope = keys.open_head(&head).unwrap();
            println!("queued.sender: {} {:?}", info.object, envelope.from.map(|a| a.to_string()));
            for recipient in envelope.recipients {
                println!("queued.recipient: {} {}", info.object, recipient.address);
            }
            let message = keys.open_message(&reader.body(address).unwrap()).unwrap();
            let text = String::from_utf8_lossy(message.expose()).into_owned();
            println!("queued.message: {} {}", info.object, text.escape_default());
        }
    }
}
