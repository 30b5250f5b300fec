//! What sessions see: an immutable picture of one mailbox, cheap to make and cheap to compare.
//!
//! Rows stand in pages of [`PAGE_ROWS`], shared between pictures: a change of one flag in a mailbox
//! of 100,000 copies one page, and two pictures are compared page by page, by address first.
//! Session keys stand apart, in blocks that are filled in place, shared, and zeroed when the last
//! row that points to them is gone; copying a page never copies a key.
//!
//! A row costs 64 octets and its key 32.

use super::catalog::MailboxId;
use super::flags::{Flags, UidSet};
use crate::base::clock::UnixTime;
use crate::base::secret::{Secret, SecretBytes};
use crate::journal::Address;
use std::ops::Range;
use std::sync::Arc;

/// Rows in one page: what a change of one flag copies (32 KiB).
pub const PAGE_ROWS: usize = 512;
const PAGE_ROWS_FEW: usize = PAGE_ROWS / 4;
pub(super) const KEY_BYTES: usize = 32;

/// Session keys side by side; zeroed when dropped.
pub(super) struct KeyBlock(SecretBytes);

impl KeyBlock {
    /// Takes keys of [`KEY_BYTES`] each.
    pub(super) fn new(keys: SecretBytes) -> Arc<KeyBlock> {
        Arc::new(KeyBlock(keys))
    }
}

/// How the octets behind a row are had.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub enum Kind {
    /// A sealed message.
    Sealed,
    /// What arrived could not be opened: a fixed text stands in for it.
    Placeholder,
}

/// One message in one mailbox.
#[derive(Clone)]
pub struct Row {
    /// Its UID (RFC 3501 §2.3.1.1).
    pub uid: u32,
    /// The exact octets of the message (RFC822.SIZE).
    pub size: u32,
    /// Its flags and keywords.
    pub flags: Flags,
    /// The mod-sequence of its last change in this mailbox.
    pub modseq: u64,
    /// When it was received or, for APPEND, what the client said (INTERNALDATE).
    pub received: UnixTime,
    /// Where the sealed message stands.
    pub frame: Address,
    /// Sealed message or placeholder.
    pub kind: Kind,
    pub(super) key_at: u16,
    pub(super) keys: Arc<KeyBlock>,
}

impl Row {
    /// A copy of the message's session key.
    pub(super) fn key(&self) -> Secret<KEY_BYTES> {
        Secret::copy_from(self.key_bytes()).expect("a key block holds whole keys")
    }

    /// The message's session key in place.
    pub(super) fn key_bytes(&self) -> &[u8] {
        let start = usize::from(self.key_at) * KEY_BYTES;
        &self.keys.0.expose()[start..start + KEY_BYTES]
    }
}

impl std::fmt::Debug for Row {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Row({} {:?} modseq {} {:?})", self.uid, self.flags, self.modseq, self.frame)
    }
}

/// Up to [`PAGE_ROWS`] rows and their sums.
struct Page {
    rows: Vec<Row>,
    unseen: u32,
    deleted: u32,
    bytes: u64,
}

impl Page {
    fn new(rows: Vec<Row>) -> Arc<Page> {
        let count = |test: fn(&Row) -> bool| rows.iter().filter(|row| test(row)).count() as u32;
        Arc::new(Page {
            unseen: count(|row| !row.flags.has(Flags::SEEN)),
            deleted: count(|row| row.flags.has(Flags::DELETED)),
            bytes: rows.iter().map(|row| u64::from(row.size)).sum(),
            rows,
        })
    }

    fn uids(&self) -> (u32, u32) {
        let uid = |row: Option<&Row>| row.map_or(0, |row| row.uid);
        (uid(self.rows.first()), uid(self.rows.last()))
    }
}

/// Rows in ascending UID, in shared pages; no page is empty.
#[derive(Clone, Default)]
pub(super) struct Pages {
    pages: Vec<Arc<Page>>,
    /// The index of each page's first row.
    starts: Vec<u32>,
    len: u32,
}

impl Pages {
    pub(super) fn len(&self) -> u32 {
        self.len
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = &Row> {
        self.pages.iter().flat_map(|page| &page.rows)
    }

    pub(super) fn get(&self, index: u32) -> Option<&Row> {
        let page = self.starts.partition_point(|&start| start <= index).checked_sub(1)?;
        self.pages[page].rows.get((index - self.starts[page]) as usize)
    }

    /// The index of the first row whose UID is `uid` or more.
    pub(super) fn lower_bound(&self, uid: u32) -> u32 {
        let page = self.pages.partition_point(|page| page.uids().1 < uid);
        match self.pages.get(page) {
            None => self.len,
            Some(found) => {
                self.starts[page] + found.rows.partition_point(|row| row.uid < uid) as u32
            }
        }
    }

    pub(super) fn find(&self, uid: u32) -> Option<u32> {
        let index = self.lower_bound(uid);
        self.get(index).filter(|row| row.uid == uid).map(|_| index)
    }

    /// Adds rows behind the last; their UIDs ascend and are above all that are here.
    pub(super) fn extend(&mut self, rows: impl IntoIterator<Item = Row>) {
        let mut tail = match self.pages.last() {
            Some(page) if page.rows.len() < PAGE_ROWS => {
                let rows = page.rows.clone();
                self.pages.pop();
                rows
            }
            _ => Vec::new(),
        };
        for row in rows {
            tail.push(row);
            if tail.len() == PAGE_ROWS {
                self.pages.push(Page::new(std::mem::take(&mut tail)));
            }
        }
        if !tail.is_empty() {
            self.pages.push(Page::new(tail));
        }
        self.renumber();
    }

    /// Changes the rows of `uids`, copying only the pages in which `change` says it changed one.
    pub(super) fn change(&mut self, uids: &UidSet, mut change: impl FnMut(&mut Row) -> bool) {
        for page in self.touched(uids) {
            let mut rows = self.pages[page].rows.clone();
            let changed = rows.iter_mut().filter(|row| uids.contains(row.uid));
            if changed.fold(false, |any, row| change(row) | any) {
                self.pages[page] = Page::new(rows);
            }
        }
    }

    /// Takes the rows of `uids` out and returns them, ascending.
    pub(super) fn remove(&mut self, uids: &UidSet) -> Vec<Row> {
        let mut removed = Vec::new();
        for page in self.touched(uids) {
            let rows = &self.pages[page].rows;
            if !rows.iter().any(|row| uids.contains(row.uid)) {
                continue;
            }
            let (gone, stay): (Vec<Row>, Vec<Row>) =
                rows.iter().cloned().partition(|row| uids.contains(row.uid));
            removed.extend(gone);
            self.pages[page] = Page::new(stay);
        }
        self.merge_small();
        removed
    }

    /// The rows of `uids`, ascending.
    pub(super) fn select<'a>(&'a self, uids: &'a UidSet) -> impl Iterator<Item = &'a Row> {
        self.touched(uids)
            .into_iter()
            .flat_map(|page| self.pages[page].rows.iter())
            .filter(|row| uids.contains(row.uid))
    }

    /// The pages whose span of UIDs meets `uids`.
    fn touched(&self, uids: &UidSet) -> Vec<usize> {
        let mut pages = Vec::new();
        for &(first, last) in uids.ranges() {
            let mut page = self.pages.partition_point(|page| page.uids().1 < first);
            while page < self.pages.len() && self.pages[page].uids().0 <= last {
                if pages.last() != Some(&page) {
                    pages.push(page);
                }
                page += 1;
            }
        }
        pages
    }

    /// Drops empty pages and joins small ones to their neighbour, so that pages stay few.
    fn merge_small(&mut self) {
        let mut merged: Vec<Arc<Page>> = Vec::with_capacity(self.pages.len());
        for page in std::mem::take(&mut self.pages) {
            match merged.last_mut() {
                _ if page.rows.is_empty() => {}
                Some(last)
                    if last.rows.len().min(page.rows.len()) < PAGE_ROWS_FEW
                        && last.rows.len() + page.rows.len() <= PAGE_ROWS =>
                {
                    *last = Page::new(last.rows.iter().chain(&page.rows).cloned().collect());
                }
                _ => merged.push(page),
            }
        }
        self.pages = merged;
        self.renumber();
    }

    fn renumber(&mut self) {
        let mut next = 0;
        self.starts.clear();
        for page in &self.pages {
            self.starts.push(next);
            next += page.rows.len() as u32;
        }
        self.len = next;
    }
}

/// An immutable picture of one mailbox. Everything in it is durable.
pub struct MailboxView {
    /// Which mailbox.
    pub id: MailboxId,
    /// The effective UIDVALIDITY.
    pub uid_validity: u32,
    /// The UID that the next message gets at least; `u32::MAX` when there are no more.
    pub uid_next: u32,
    /// The highest mod-sequence of the mailbox (RFC 7162 §3.1.2.1); 1 when nothing ever happened.
    pub highest_modseq: u64,
    /// The first UID that no session was told of as recent.
    pub recent_from: u32,
    /// Keyword names; a row's bit `n` stands for entry `n`.
    pub keywords: Arc<Vec<String>>,
    /// Messages without `\Seen`.
    pub unseen: u32,
    /// Messages with `\Deleted`.
    pub deleted: u32,
    /// The sum of all messages' octets.
    pub bytes: u64,
    pages: Pages,
}

impl MailboxView {
    pub(super) fn new(head: ViewHead, pages: Pages) -> MailboxView {
        let sum = |of: fn(&Page) -> u64| pages.pages.iter().map(|page| of(page)).sum::<u64>();
        MailboxView {
            id: head.id,
            uid_validity: head.uid_validity,
            uid_next: head.uid_next,
            highest_modseq: head.highest_modseq,
            recent_from: head.recent_from,
            keywords: head.keywords,
            unseen: sum(|page| u64::from(page.unseen)) as u32,
            deleted: sum(|page| u64::from(page.deleted)) as u32,
            bytes: sum(|page| page.bytes),
            pages,
        }
    }

    /// How many messages (EXISTS).
    pub fn exists(&self) -> u32 {
        self.pages.len()
    }

    /// The row at `index`, counted from 0: message sequence number minus one.
    pub fn row(&self, index: u32) -> Option<&Row> {
        self.pages.get(index)
    }

    /// All rows in ascending UID.
    pub fn rows(&self) -> impl Iterator<Item = &Row> {
        self.pages.iter()
    }

    /// The rows of `uids`, in ascending UID; UIDs that are not here are passed over.
    pub fn select<'a>(&'a self, uids: &'a UidSet) -> impl Iterator<Item = &'a Row> {
        self.pages.select(uids)
    }

    /// The index of the message with this UID, counted from 0.
    pub fn index_of(&self, uid: u32) -> Option<u32> {
        self.pages.find(uid)
    }

    /// The index of the first message whose UID is `uid` or more; `exists()` if there is none.
    pub fn lower_bound(&self, uid: u32) -> u32 {
        self.pages.lower_bound(uid)
    }

    /// The index of the first message without `\Seen`.
    pub fn first_unseen(&self) -> Option<u32> {
        let page = self.pages.pages.iter().position(|page| page.unseen > 0)?;
        let rows = &self.pages.pages[page].rows;
        let within = rows.iter().position(|row| !row.flags.has(Flags::SEEN))?;
        Some(self.pages.starts[page] + within as u32)
    }

    /// The names of the keywords that are set in `flags`.
    pub fn keyword_names(&self, flags: Flags) -> impl Iterator<Item = &str> {
        let set = move |bit: &usize| flags.keywords >> bit & 1 == 1;
        (0..self.keywords.len()).filter(set).map(|bit| self.keywords[bit].as_str())
    }

    /// The bit of a keyword, which is compared without regard to ASCII case.
    pub fn keyword_bit(&self, name: &str) -> Option<u32> {
        let same = |known: &String| known.eq_ignore_ascii_case(name);
        self.keywords.iter().position(same).map(|bit| bit as u32)
    }

    /// What became of `old`, an earlier picture of the same mailbox, on the way to this one.
    /// Pages that both share are passed over: the cost follows the change, not the mailbox.
    pub fn changes_since(&self, old: &MailboxView) -> Changes {
        let mut changes = Changes::default();
        let (mut from, mut to) = (Cursor::new(&old.pages), Cursor::new(&self.pages));
        loop {
            if from.skip_shared(&mut to) {
                continue;
            }
            match (from.row(), to.row()) {
                (None, _) => break,
                (Some(was), Some(is)) if was.uid == is.uid => {
                    if was.flags != is.flags || was.modseq != is.modseq {
                        changes.changed.push(to.index);
                    }
                    from.step();
                    to.step();
                }
                (Some(_), _) => {
                    changes.expunged.push(from.index);
                    from.step();
                }
            }
        }
        changes.added = to.index..self.exists();
        changes
    }
}

impl std::fmt::Debug for MailboxView {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "MailboxView({:?}, {} messages)", self.id, self.exists())
    }
}

/// The scalars of a view.
pub(super) struct ViewHead {
    pub id: MailboxId,
    pub uid_validity: u32,
    pub uid_next: u32,
    pub highest_modseq: u64,
    pub recent_from: u32,
    pub keywords: Arc<Vec<String>>,
}

/// The way from one picture to a later one. All indexes are counted from 0.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Changes {
    /// Messages that are gone: their indexes in the *old* picture, ascending.
    pub expunged: Vec<u32>,
    /// Messages whose flags or mod-sequence changed: their indexes in the *new* picture, ascending.
    pub changed: Vec<u32>,
    /// Messages that are new: their indexes in the *new* picture, all behind the old ones.
    pub added: Range<u32>,
}

/// A place in pages.
struct Cursor<'a> {
    pages: &'a Pages,
    page: usize,
    within: usize,
    index: u32,
}

impl<'a> Cursor<'a> {
    fn new(pages: &'a Pages) -> Self {
        Cursor { pages, page: 0, within: 0, index: 0 }
    }

    fn row(&self) -> Option<&'a Row> {
        self.pages.pages.get(self.page).and_then(|page| page.rows.get(self.within))
    }

    fn step(&mut self) {
        self.index += 1;
        self.within += 1;
        if self.pages.pages.get(self.page).is_some_and(|page| self.within == page.rows.len()) {
            self.page += 1;
            self.within = 0;
        }
    }

    /// Where both stand at the start of one shared page, steps over it on both sides.
    fn skip_shared(&mut self, other: &mut Cursor<'_>) -> bool {
        let (Some(mine), Some(theirs)) =
            (self.pages.pages.get(self.page), other.pages.pages.get(other.page))
        else {
            return false;
        };
        if self.within != 0 || other.within != 0 || !Arc::ptr_eq(mine, theirs) {
            return false;
        }
        self.step_page();
        other.step_page();
        true
    }

    fn step_page(&mut self) {
        self.index += self.pages.pages[self.page].rows.len() as u32;
        self.page += 1;
    }
}
