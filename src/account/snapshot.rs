//! Snapshots: the whole state in pieces, so that a load need not read the account's whole past.
//!
//! The image is one run of octets: a head with all but the rows, then the rows of each mailbox in
//! the order of the head. It is cut into chunks, each in a record of its own; a snapshot counts
//! only when all its chunks are there.

use super::catalog::{MailboxId, SpecialUse};
use super::flags::Flags;
use super::state::{Folder, State};
use super::view::{KEY_BYTES, KeyBlock, Kind, PAGE_ROWS, Pages, Row};
use crate::base::clock::UnixTime;
use crate::base::secret::SecretBytes;
use crate::journal::Address;
use serde::{Deserialize, Serialize};
use std::sync::Arc;

/// What a reader of snapshots must know beside the state.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(super) struct Footing {
    /// All frames up to this one are accounted for in the snapshot.
    pub floor: Option<Address>,
    /// The account's own frames that are kept one generation longer, in case this one is damaged.
    pub older: Vec<Address>,
}

/// What will be other than in the state, once the snapshot is durable.
pub(super) struct Marks {
    pub expunged: bool,
    pub rekeyed_at: Option<UnixTime>,
    /// The account's own frames that nothing will point to any more.
    pub dying: Vec<Address>,
}

#[derive(Serialize, Deserialize)]
struct Head {
    footing: Footing,
    subscriptions: Vec<String>,
    next_mailbox: u32,
    uid_validity_last: u32,
    repairs: u32,
    shared: Vec<(Address, u32)>,
    seen: Vec<u64>,
    pending: Vec<Address>,
    dead: Vec<Address>,
    salvage_to: Option<Address>,
    expunged: bool,
    rekeyed_at: Option<UnixTime>,
    folders: Vec<FolderHead>,
}

#[derive(Serialize, Deserialize)]
struct FolderHead {
    id: MailboxId,
    name: String,
    special_use: Option<SpecialUse>,
    no_select: bool,
    uid_validity_base: u32,
    uid_next: u32,
    modseq: u64,
    recent_from: u32,
    keywords: Vec<String>,
    rows: u32,
}

#[derive(Serialize, Deserialize)]
struct StoredRow<'a> {
    uid: u32,
    size: u32,
    flags: Flags,
    modseq: u64,
    received: UnixTime,
    frame: Address,
    kind: Kind,
    key: &'a [u8],
}

/// About how many octets a row takes, for the buffer's first size.
const ROW_BYTES: usize = 72;

/// The state as octets.
pub(super) fn encode(state: &State, footing: Footing, marks: Marks) -> SecretBytes {
    let head = head_of(state, footing, marks);
    let rows: usize = state.folders.values().map(|folder| folder.pages.len() as usize).sum();
    let out = Vec::with_capacity(
        postcard::experimental::serialized_size(&head).unwrap_or(0) + rows * ROW_BYTES,
    );
    const WHY: &str = "a snapshot has no type that postcard lacks";
    let mut out = postcard::to_extend(&head, out).expect(WHY);
    for row in state.folders.values().flat_map(|folder| folder.pages.iter()) {
        out = postcard::to_extend(&stored(row), out).expect(WHY);
    }
    SecretBytes::new(out)
}

/// The state that `bytes` hold; `None` if they are no snapshot.
pub(super) fn decode(bytes: &[u8]) -> Option<(State, Footing)> {
    let (mut head, mut rest) = postcard::take_from_bytes::<Head>(bytes).ok()?;
    let mut state = State {
        subscriptions: Arc::new(head.subscriptions.into_iter().collect()),
        next_mailbox: head.next_mailbox,
        uid_validity_last: head.uid_validity_last,
        repairs: head.repairs,
        shared: head.shared.into_iter().collect(),
        seen: head.seen.into_iter().collect(),
        pending: head.pending.into_iter().collect(),
        dead: head.dead.into_iter().collect(),
        salvage_to: head.salvage_to,
        expunged: head.expunged,
        rekeyed_at: head.rekeyed_at,
        ..State::default()
    };
    for folder in std::mem::take(&mut head.folders) {
        let (pages, left) = decode_rows(rest, folder.rows)?;
        rest = left;
        state.names.insert(folder.name.as_str().into(), folder.id);
        state.folders.insert(folder.id, folder.into_folder(pages));
    }
    rest.is_empty().then_some((state, head.footing))
}

fn head_of(state: &State, footing: Footing, marks: Marks) -> Head {
    let mut seen: Vec<u64> = state.seen.iter().copied().collect();
    seen.sort_unstable();
    let mut shared: Vec<_> = state.shared.iter().map(|(frame, more)| (*frame, *more)).collect();
    shared.sort_unstable();
    Head {
        footing,
        subscriptions: state.subscriptions.iter().cloned().collect(),
        next_mailbox: state.next_mailbox,
        uid_validity_last: state.uid_validity_last,
        repairs: state.repairs,
        shared,
        seen,
        pending: state.pending.iter().copied().collect(),
        dead: state.dead.iter().copied().chain(marks.dying).collect(),
        salvage_to: state.salvage_to,
        expunged: marks.expunged,
        rekeyed_at: marks.rekeyed_at,
        folders: state.folders.iter().map(|(id, folder)| folder_head(*id, folder)).collect(),
    }
}

fn folder_head(id: MailboxId, folder: &Folder) -> FolderHead {
    FolderHead {
        id,
        name: folder.name.to_string(),
        special_use: folder.special_use,
        no_select: folder.no_select,
        uid_validity_base: folder.uid_validity_base,
        uid_next: folder.uid_next,
        modseq: folder.modseq,
        recent_from: folder.recent_from,
        keywords: folder.keywords.to_vec(),
        rows: folder.pages.len(),
    }
}

impl FolderHead {
    fn into_folder(self, pages: Pages) -> Folder {
        Folder {
            name: self.name.into(),
            special_use: self.special_use,
            no_select: self.no_select,
            uid_validity_base: self.uid_validity_base,
            uid_next: self.uid_next,
            modseq: self.modseq,
            recent_from: self.recent_from,
            keywords: Arc::new(self.keywords),
            pages,
        }
    }
}

fn stored(row: &Row) -> StoredRow<'_> {
    StoredRow {
        uid: row.uid,
        size: row.size,
        flags: row.flags,
        modseq: row.modseq,
        received: row.received,
        frame: row.frame,
        kind: row.kind,
        key: row.key_bytes(),
    }
}

/// Takes `count` rows from the front of `bytes`; one block of keys a page.
fn decode_rows(mut bytes: &[u8], count: u32) -> Option<(Pages, &[u8])> {
    let mut pages = Pages::default();
    let mut left = count as usize;
    while left > 0 {
        let page = left.min(PAGE_ROWS);
        let mut images = Vec::with_capacity(page);
        for _ in 0..page {
            let (row, rest) = postcard::take_from_bytes::<StoredRow<'_>>(bytes).ok()?;
            images.push(row);
            bytes = rest;
        }
        pages.extend(page_rows(&images)?);
        left -= page;
    }
    Some((pages, bytes))
}

fn page_rows(images: &[StoredRow<'_>]) -> Option<Vec<Row>> {
    if images.iter().any(|image| image.key.len() != KEY_BYTES) {
        return None;
    }
    let mut keys = Vec::with_capacity(images.len() * KEY_BYTES);
    images.iter().for_each(|image| keys.extend_from_slice(image.key));
    let keys = KeyBlock::new(SecretBytes::new(keys));
    let row = |(at, image): (usize, &StoredRow<'_>)| Row {
        uid: image.uid,
        size: image.size,
        flags: image.flags,
        modseq: image.modseq,
        received: image.received,
        frame: image.frame,
        kind: image.kind,
        key_at: at as u16,
        keys: keys.clone(),
    };
    Some(images.iter().enumerate().map(row).collect())
}
