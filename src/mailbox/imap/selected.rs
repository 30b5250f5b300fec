//! The selected mailbox as this client knows it, and how it is told of changes.

use super::link::{End, LOCKED};
use super::session::Session;
use crate::account::{Flags, MailboxId, MailboxView, Row, UidSet};
use crate::imap::{Change, Code, Flag, Out, Rows, SequenceSet, SequenceView, Step};
use std::ops::Range;
use std::sync::Arc;

/// Ranges of recent UIDs that a session remembers; neighbours are joined, so that one suffices
/// unless sessions compete.
const RECENT_RANGES_MAX: usize = 1024;

/// Somebody else has deleted the selected mailbox. RFC 2180 §3.3: the client cannot be told so
/// within the session, for it may know no code for it and would wait for mail that cannot come.
const DELETED: End = End::Bye(Code::None, "The selected mailbox was deleted", "mailbox-deleted");

/// The selected mailbox.
pub(super) struct Selected {
    pub(super) id: MailboxId,
    /// The newest picture that was looked at; the client was told of every message in it.
    pub(super) view: Arc<MailboxView>,
    pub(super) numbers: SequenceView,
    pub(super) read_only: bool,
    pub(super) recent: Recent,
    keywords_told: Arc<Vec<String>>,
}

/// UIDs that are recent for this session: ascending ranges, as claims come.
#[derive(Clone, Debug, Default)]
pub(super) struct Recent(Vec<(u32, u32)>);

/// Which messages a command means.
#[derive(Debug)]
pub(super) struct Targets {
    /// Indexes into the picture, ascending.
    pub(super) rows: Vec<Range<u32>>,
    /// Some numbers stand for messages that are gone.
    pub(super) gone: bool,
}

/// A number that no message has.
#[derive(Debug)]
pub(super) struct NoSuchMessage;

impl Rows for MailboxView {
    fn count(&self) -> u32 {
        self.exists()
    }

    fn uid(&self, index: u32) -> Option<u32> {
        self.row(index).map(|row| row.uid)
    }

    fn lower_bound(&self, uid: u32) -> u32 {
        MailboxView::lower_bound(self, uid)
    }
}

impl Recent {
    /// Adds the UIDs of a claim.
    pub(super) fn add(&mut self, claim: Range<u32>) {
        if claim.is_empty() || self.0.len() >= RECENT_RANGES_MAX {
            return;
        }
        match self.0.last_mut() {
            Some(last) if last.1 == claim.start => last.1 = claim.end,
            _ => self.0.push((claim.start, claim.end)),
        }
    }

    pub(super) fn contains(&self, uid: u32) -> bool {
        let after = self.0.partition_point(|range| range.0 <= uid);
        after > 0 && self.0[after - 1].1 > uid
    }

    fn count(&self, view: &MailboxView) -> u32 {
        let rows = |&(start, end): &(u32, u32)| view.lower_bound(end) - view.lower_bound(start);
        self.0.iter().map(rows).sum()
    }
}

impl Targets {
    /// The indexes, ascending.
    pub(super) fn indexes(&self) -> impl Iterator<Item = u32> + '_ {
        self.rows.iter().cloned().flatten()
    }

    /// The UIDs.
    pub(super) fn uids(&self, view: &MailboxView) -> UidSet {
        let mut uids = UidSet::new();
        self.indexes().filter_map(|index| view.row(index)).for_each(|row| uids.push(row.uid));
        uids
    }
}

impl Selected {
    pub(super) fn new(view: Arc<MailboxView>, read_only: bool, recent: Recent) -> Selected {
        Selected {
            id: view.id,
            numbers: SequenceView::select(&*view),
            read_only,
            recent,
            keywords_told: view.keywords.clone(),
            view,
        }
    }

    /// How many messages the client knows of.
    pub(super) fn exists(&self) -> u32 {
        self.numbers.exists(&*self.view)
    }

    pub(super) fn recent_count(&self) -> u32 {
        self.recent.count(&self.view)
    }

    /// The messages that `set` means. RFC 3501 §6.4.8: UIDs that are not there are passed over; a
    /// message number that is not in use is a mistake.
    pub(super) fn targets(&self, set: &SequenceSet, uid: bool) -> Result<Targets, NoSuchMessage> {
        let view = &*self.view;
        if uid {
            let largest = view.exists().checked_sub(1).and_then(|last| view.row(last));
            let ranges = set.resolve(largest.map_or(0, |row| row.uid));
            let rows = ranges.into_iter().map(|(first, last)| {
                let end = match last.checked_add(1) {
                    Some(after) => view.lower_bound(after),
                    None => view.exists(),
                };
                view.lower_bound(first)..end
            });
            return Ok(Targets { rows: rows.filter(|r| !r.is_empty()).collect(), gone: false });
        }
        let exists = self.exists();
        if exists == 0 || set.highest_named() > exists {
            return Err(NoSuchMessage);
        }
        let mut targets = Targets { rows: Vec::new(), gone: false };
        for (first, last) in set.resolve(exists) {
            let rows = self.numbers.rows_between(view, first, last);
            targets.gone |= rows.len() as u32 != last - first + 1;
            if !rows.is_empty() {
                targets.rows.push(rows);
            }
        }
        Ok(targets)
    }

    /// The flags of a row as FETCH shows them.
    pub(super) fn flags(&self, row: &Row) -> String {
        flags_text(&self.view, row, &self.recent)
    }

    /// `* FLAGS` and PERMANENTFLAGS.
    pub(super) fn write_flag_lists(&self, out: &mut Out) {
        let mut names: Vec<&str> = Flag::SYSTEM.iter().map(Flag::as_str).collect();
        names.extend(self.view.keywords.iter().map(String::as_str));
        out.line(&format!("* FLAGS ({})", names.join(" ")));
        match self.read_only {
            true => out.line("* OK [PERMANENTFLAGS ()] No flag can be changed here"),
            false => {
                // `\*`: a client may make up keywords, as long as there is room for them.
                if self.view.keywords.len() < crate::account::KEYWORDS_MAX {
                    names.push("\\*");
                }
                out.line(&format!("* OK [PERMANENTFLAGS ({})] Flags", names.join(" ")));
            }
        }
    }

    /// RFC 3501 §7.2.6: the keywords, where they are others than those that were told. A keyword
    /// that no message has may have made room for another one.
    fn tell_keywords(&mut self, out: &mut Out) {
        if self.view.keywords != self.keywords_told {
            self.keywords_told = self.view.keywords.clone();
            self.write_flag_lists(out);
        }
    }

    fn tell(&self, change: &Change, out: &mut Out) {
        match *change {
            Change::Expunge(number) => out.line(&format!("* {number} EXPUNGE")),
            Change::Exists(count) => {
                out.line(&format!("* {count} EXISTS"));
                out.line(&format!("* {} RECENT", self.recent_count()));
            }
            Change::Flags { number, index } => {
                if let Some(row) = self.view.row(index) {
                    write_flags(out, number, row.uid, &self.flags(row));
                }
            }
        }
    }
}

/// `* n FETCH (UID u FLAGS (..))`
pub(super) fn write_flags(out: &mut Out, number: u32, uid: u32, flags: &str) {
    out.line(&format!("* {number} FETCH (UID {uid} FLAGS ({flags}))"));
}

/// The flags of a row as FETCH shows them.
pub(super) fn flags_text(view: &MailboxView, row: &Row, recent: &Recent) -> String {
    let mut text = String::new();
    let mut add = |name: &str| {
        if !text.is_empty() {
            text.push(' ');
        }
        text.push_str(name);
    };
    SYSTEM_BITS.iter().filter(|(bit, _)| row.flags.has(*bit)).for_each(|(_, name)| add(name));
    view.keyword_names(row.flags).for_each(&mut add);
    if recent.contains(row.uid) {
        add("\\Recent");
    }
    text
}

/// The system flags that are stored, as bits and as words.
pub(super) const SYSTEM_BITS: [(u8, &str); 5] = [
    (Flags::ANSWERED, "\\Answered"),
    (Flags::FLAGGED, "\\Flagged"),
    (Flags::DELETED, "\\Deleted"),
    (Flags::SEEN, "\\Seen"),
    (Flags::DRAFT, "\\Draft"),
];

impl Session {
    /// Tells what has changed in the selected mailbox. Expunges only where the command that is
    /// being answered allows it (RFC 3501 §7.4.1).
    pub(super) async fn sync(&mut self, may_expunge: bool) -> Result<(), End> {
        self.sync_silently(may_expunge, |_, _, _| false).await
    }

    /// As [`Session::sync`], but leaves out rows of which `silent` (newest picture, row now, row
    /// before) says that the client knows their flags.
    pub(super) async fn sync_silently(
        &mut self,
        may_expunge: bool,
        silent: impl Fn(&MailboxView, &Row, &Row) -> bool,
    ) -> Result<(), End> {
        let (Some(account), Some(selected)) = (&self.account, &mut self.selected) else {
            return Ok(());
        };
        let Some(newest) = account.view(selected.id).map_err(|_| LOCKED)? else {
            return Err(DELETED);
        };
        let same = Arc::ptr_eq(&newest, &selected.view);
        if same && !(may_expunge && selected.numbers.has_ghosts()) {
            return Ok(());
        }
        let changes = newest.changes_since(&selected.view);
        if !changes.added.is_empty() && !selected.read_only {
            let claim = account.claim_recent(selected.id).await.map_err(|_| LOCKED)?;
            selected.recent.add(claim);
        }
        let before = std::mem::replace(&mut selected.view, newest);
        let gone = changes.expunged.iter().filter_map(|&index| before.row(index));
        let expunged = gone.map(|row| row.uid).collect();
        let step = Step { expunged, changed: changes.changed };
        let view = selected.view.clone();
        let known = |index: u32| {
            let now = view.row(index);
            let then = now.and_then(|row| before.row(before.lower_bound(row.uid)));
            now.zip(then).is_some_and(|(now, then)| silent(&view, now, then))
        };
        let told = selected.numbers.step(&*view, &step, may_expunge, known);
        selected.tell_keywords(&mut self.link.out);
        for change in &told {
            selected.tell(change, &mut self.link.out);
            self.link.flush_if_much().await?;
        }
        Ok(())
    }

    /// After a DELETE of this session: if it was the selected mailbox, there is none any more.
    pub(super) fn leave_if_deleted(&mut self) -> Result<(), End> {
        let (Some(account), Some(selected)) = (&self.account, &self.selected) else {
            return Ok(());
        };
        if account.view(selected.id).map_err(|_| LOCKED)?.is_none() {
            self.leave();
            self.link.out.untagged_ok(Code::Closed, "The selected mailbox was deleted");
        }
        Ok(())
    }
}
