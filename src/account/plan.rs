//! What a command becomes: its changes, or why not. Looks at the state and changes nothing.

use super::catalog::{
    COPIED_MESSAGES_MAX, DEFAULTS, INBOX, MAILBOXES_MAX, MailboxId, SEPARATOR, SUBSCRIPTIONS_MAX,
    SpecialUse, canonical, check_name,
};
use super::command::{Command, FlagNames, Outcome, Refusal};
use super::flags::{FlagMode, Flags, KEYWORDS_MAX, UidSet, is_keyword};
use super::record::{
    Change, Copying, Filing, KeyImage, NewMailbox, RANGES_MAX, RowImage, Storing, short,
};
use super::state::{Folder, State};
use super::view::Kind;
use crate::base::clock::UnixTime;
use crate::base::ids::AccountNumber;
use crate::base::secret::SecretBytes;
use crate::store::SealedArrival;

/// Names that one record carries: half a head of the longest ones.
const NAMES_PER_RECORD: usize = 512;

/// How far apart UIDVALIDITYs are given, so that they stay apart when copies of the directory and
/// repairs have raised some of them: a rename must never bring two mailboxes under one name and one
/// UIDVALIDITY. Leaves room for nine million mailboxes.
const VALIDITY_STEP: u32 = 256;

/// What a command becomes. Each part is one record; all of them go into one batch.
pub(super) struct Draft {
    /// Messages that stand before the first record.
    pub messages: Vec<SealedArrival>,
    pub parts: Vec<Vec<Change>>,
    pub outcome: Outcome,
}

impl Draft {
    fn one(change: Change, outcome: Outcome) -> Draft {
        Draft { messages: Vec::new(), parts: vec![vec![change]], outcome }
    }

    fn nothing(outcome: Outcome) -> Draft {
        Draft { messages: Vec::new(), parts: Vec::new(), outcome }
    }
}

/// What planning needs beside the state.
pub(super) struct Planner<'a> {
    pub state: &'a State,
    pub account: AccountNumber,
    pub incarnation: u32,
    pub now: UnixTime,
}

impl Planner<'_> {
    pub(super) fn plan(&self, command: Command) -> Result<Draft, Refusal> {
        match command {
            Command::Store { mailbox, uids, mode, flags, unchanged_since } => {
                self.store(mailbox, &uids, mode, &flags, unchanged_since)
            }
            Command::Expunge { mailbox, uids } => self.expunge(mailbox, uids.as_ref()),
            Command::Copy { from, uids, to } => self.copy(from, &uids, &to, false),
            Command::Move { from, uids, to } => self.copy(from, &uids, &to, true),
            Command::Append { to, message, flags, received } => {
                self.append(&to, *message, &flags, received)
            }
            Command::Create { name, special_use } => self.create(&name, special_use),
            Command::Delete { name } => self.delete(&name),
            Command::Rename { from, to } => self.rename(&from, &to),
            Command::Subscribe { name } => self.subscribe(&name, true),
            Command::Unsubscribe { name } => self.subscribe(&name, false),
        }
    }

    /// What a new account begins with, or what one that lost it gets back.
    pub(super) fn set_up(&self) -> Draft {
        let mut ids = self.ids();
        let mut validity = self.new_validity();
        let mut new = Vec::new();
        let mut changes = Vec::new();
        for (name, special_use) in
            std::iter::once((INBOX, None)).chain(DEFAULTS.map(|(name, what)| (name, Some(what))))
        {
            if self.state.by_name(name).is_none() {
                new.push(new_mailbox(ids.next(), name, validity, special_use));
                changes.push(Change::Subscribed(name.into(), true));
                validity = validity.saturating_add(VALIDITY_STEP);
            }
        }
        changes.insert(0, Change::Created(new));
        Draft { messages: Vec::new(), parts: vec![changes], outcome: Outcome::Maintained }
    }

    fn selectable(&self, id: MailboxId) -> Result<&Folder, Refusal> {
        let folder = self.state.folder(id).ok_or(Refusal::NoSuchMailbox)?;
        if folder.no_select { Err(Refusal::NotSelectable) } else { Ok(folder) }
    }

    fn destination(&self, name: &str) -> Result<(MailboxId, &Folder), Refusal> {
        let id = self.state.by_name(&canonical(name)).ok_or(Refusal::NoSuchDestination)?;
        Ok((id, self.selectable(id)?))
    }

    /// The effective UIDVALIDITY of a mailbox.
    pub(super) fn validity(&self, folder: &Folder) -> u32 {
        effective_validity(self.state, folder, self.incarnation)
    }

    /// A UIDVALIDITY above all that were ever given, without its raises; the time of day where that
    /// is higher (RFC 3501 §2.3.1.1 suggests it).
    fn new_validity(&self) -> u32 {
        let raises = i64::from(self.incarnation) + i64::from(self.state.repairs);
        let now = (self.now.0 - raises).clamp(1, i64::from(u32::MAX - (1 << 20))) as u32;
        now.max(self.state.uid_validity_last.saturating_add(VALIDITY_STEP))
    }

    fn ids(&self) -> Ids {
        Ids(self.state.next_mailbox.max(1))
    }

    fn store(
        &self,
        mailbox: MailboxId,
        uids: &UidSet,
        mode: FlagMode,
        names: &FlagNames,
        unchanged_since: Option<u64>,
    ) -> Result<Draft, Refusal> {
        let folder = self.selectable(mailbox)?;
        let (flags, keywords) = flags_of(folder, names, mode != FlagMode::Remove)?;
        let (mut changed, mut modified) = (UidSet::new(), UidSet::new());
        for row in folder.pages.select(uids) {
            if unchanged_since.is_some_and(|since| row.modseq > since) {
                modified.push(row.uid);
            } else if row.flags.changed(mode, flags) != row.flags {
                changed.push(row.uid);
            }
        }
        let modseq = folder.modseq + 1;
        let mut keywords = Some(keywords);
        let part = |uids: UidSet| {
            let keywords = keywords.take().unwrap_or_default();
            vec![Change::Stored(Storing { mailbox, modseq, keywords, mode, flags, uids })]
        };
        let parts = in_parts(&changed).map(part).collect();
        Ok(Draft { messages: Vec::new(), parts, outcome: Outcome::Stored { changed, modified } })
    }

    fn expunge(&self, mailbox: MailboxId, only: Option<&UidSet>) -> Result<Draft, Refusal> {
        let folder = self.selectable(mailbox)?;
        let all = UidSet::range(1, u32::MAX);
        let uids: UidSet = {
            let mut uids = UidSet::new();
            let rows = folder.pages.select(only.unwrap_or(&all));
            rows.filter(|row| row.flags.has(Flags::DELETED)).for_each(|row| uids.push(row.uid));
            uids
        };
        let modseq = folder.modseq + 1;
        let part = |uids: UidSet| vec![Change::Expunged { mailbox, modseq, uids }];
        let parts = in_parts(&uids).map(part).collect();
        Ok(Draft { messages: Vec::new(), parts, outcome: Outcome::Expunged { uids } })
    }

    fn copy(
        &self,
        from: MailboxId,
        uids: &UidSet,
        to: &str,
        moved: bool,
    ) -> Result<Draft, Refusal> {
        let source = self.selectable(from)?;
        let (mailbox, folder) = self.destination(to)?;
        let mut found = UidSet::new();
        let mut used = 0;
        for row in source.pages.select(uids) {
            found.push(row.uid);
            used |= row.flags.keywords;
        }
        let uid_validity = self.validity(folder);
        if found.is_empty() {
            let (from, to) = (UidSet::new(), UidSet::new());
            return Ok(Draft::nothing(Outcome::Copied { mailbox, uid_validity, from, to }));
        }
        let (bits, keywords) = translate(source, folder, used)?;
        let first = folder.uid_next;
        let last = room_for(folder, found.len())?;
        if !moved && self.messages() + found.len() > COPIED_MESSAGES_MAX {
            return Err(Refusal::TooManyMessages);
        }
        // A move within one mailbox counts its change once.
        let moved = moved.then_some(if from == mailbox { 0 } else { source.modseq + 1 });
        let copy = CopyParts { from, to: mailbox, first, modseq: folder.modseq + 1, bits, moved };
        let parts = copy.parts(&found, keywords);
        let to = UidSet::range(first, last);
        let outcome = Outcome::Copied { mailbox, uid_validity, from: found, to };
        Ok(Draft { messages: Vec::new(), parts, outcome })
    }

    fn append(
        &self,
        to: &str,
        message: SealedArrival,
        names: &FlagNames,
        received: UnixTime,
    ) -> Result<Draft, Refusal> {
        let (mailbox, folder) = self.destination(to)?;
        if message.account != self.account || message.is_large() {
            return Err(Refusal::BadMessage);
        }
        let (flags, keywords) = flags_of(folder, names, true)?;
        let uid = folder.uid_next;
        room_for(folder, 1)?;
        let row = RowImage {
            uid,
            size: message.size,
            flags,
            received,
            kind: Kind::Sealed,
            key: KeyImage(SecretBytes::new(message.session_key.key().expose().to_vec())),
        };
        let filing = Filing {
            mailbox,
            modseq: folder.modseq + 1,
            keywords,
            object: short(message.object),
            row,
        };
        let uid_validity = self.validity(folder);
        let outcome = Outcome::Appended { mailbox, uid_validity, uid };
        let draft = Draft::one(Change::Appended(filing), outcome);
        Ok(Draft { messages: vec![message], ..draft })
    }

    fn create(&self, name: &str, special_use: Option<SpecialUse>) -> Result<Draft, Refusal> {
        let name = check_name(name).map_err(Refusal::BadName)?;
        let there = self.state.by_name(&name).and_then(|id| self.state.folder(id));
        if there.is_some_and(|folder| !folder.no_select) {
            return Err(Refusal::Exists);
        }
        let special_use = special_use.or_else(|| self.use_of(&name));
        let mut ids = self.ids();
        let mut new = self.missing_parents(&name, &mut ids);
        let mailbox = ids.next();
        new.push(new_mailbox(mailbox, &name, self.new_validity(), special_use));
        self.check_count(new.len())?;
        Ok(Draft::one(Change::Created(new), Outcome::Created { mailbox }))
    }

    /// What a default name is for, if no mailbox is for that: somebody has deleted it, and programs
    /// find Sent and Trash by their use alone.
    fn use_of(&self, name: &str) -> Option<SpecialUse> {
        let (_, wanted) = DEFAULTS.into_iter().find(|(default, _)| *default == name)?;
        let taken = |folder: &Folder| folder.special_use == Some(wanted);
        (!self.state.folders.values().any(taken)).then_some(wanted)
    }

    fn messages(&self) -> u64 {
        self.state.folders.values().map(|folder| u64::from(folder.pages.len())).sum()
    }

    fn delete(&self, name: &str) -> Result<Draft, Refusal> {
        let name = canonical(name);
        let id = self.state.by_name(&name).ok_or(Refusal::NoSuchMailbox)?;
        let folder = self.state.folder(id).ok_or(Refusal::NoSuchMailbox)?;
        let has_children = self.state.has_children(&name);
        if name == INBOX {
            return Err(Refusal::Cannot);
        }
        if has_children && folder.no_select {
            return Err(Refusal::HasChildren);
        }
        let mut changes = vec![Change::Deleted(id)];
        if has_children {
            // RFC 3501 §6.3.4: the name stays for the sake of those below it.
            changes.push(Change::Created(vec![level(self.ids().next(), &name)]));
        }
        Ok(Draft { messages: Vec::new(), parts: vec![changes], outcome: Outcome::Done })
    }

    fn rename(&self, from: &str, to: &str) -> Result<Draft, Refusal> {
        let from = canonical(from);
        let id = self.state.by_name(&from).ok_or(Refusal::NoSuchMailbox)?;
        let to = check_name(to).map_err(Refusal::BadName)?;
        if self.state.by_name(&to).is_some() {
            return Err(Refusal::Exists);
        }
        if from == INBOX {
            return self.rename_inbox(id, &to);
        }
        let below = format!("{from}{SEPARATOR}");
        if to.starts_with(&below) {
            return Err(Refusal::Cannot);
        }
        let mut names = vec![(id, to.clone())];
        for (name, &child) in &self.state.names {
            if let Some(rest) = name.strip_prefix(&below) {
                let name = check_name(&format!("{to}{SEPARATOR}{rest}"));
                names.push((child, name.map_err(Refusal::BadName)?));
            }
        }
        let parents = self.missing_parents(&to, &mut self.ids());
        self.check_count(parents.len())?;
        let mut parts: Vec<Vec<Change>> = names
            .chunks(NAMES_PER_RECORD)
            .map(|some| vec![Change::Renamed(some.to_vec())])
            .collect();
        if !parents.is_empty() {
            parts[0].insert(0, Change::Created(parents));
        }
        Ok(Draft { messages: Vec::new(), parts, outcome: Outcome::Done })
    }

    /// RFC 3501 §6.3.5: renaming INBOX moves its messages to a new mailbox and leaves INBOX empty;
    /// names below INBOX stay.
    fn rename_inbox(&self, inbox: MailboxId, to: &str) -> Result<Draft, Refusal> {
        let source = self.selectable(inbox)?;
        let mut ids = self.ids();
        let mut new = self.missing_parents(to, &mut ids);
        let mailbox = ids.next();
        new.push(new_mailbox(mailbox, to, self.new_validity(), None));
        self.check_count(new.len())?;
        let mut uids = UidSet::new();
        source.pages.iter().for_each(|row| uids.push(row.uid));
        let names = source.keywords.iter().enumerate();
        let keywords = names.map(|(bit, name)| (bit as u8, name.clone())).collect();
        let bits = (0..source.keywords.len() as u8).map(|bit| (bit, bit)).collect();
        let moved = Some(source.modseq + 1);
        let copy = CopyParts { from: inbox, to: mailbox, first: 1, modseq: 2, bits, moved };
        let mut parts = vec![vec![Change::Created(new)]];
        parts.extend(copy.parts(&uids, keywords));
        Ok(Draft { messages: Vec::new(), parts, outcome: Outcome::Done })
    }

    fn subscribe(&self, name: &str, on: bool) -> Result<Draft, Refusal> {
        let name = check_name(name).map_err(Refusal::BadName)?;
        let subscriptions = &self.state.subscriptions;
        if subscriptions.contains(&name) == on {
            return Ok(Draft::nothing(Outcome::Done));
        }
        if on && subscriptions.len() >= SUBSCRIPTIONS_MAX {
            return Err(Refusal::TooManySubscriptions);
        }
        Ok(Draft::one(Change::Subscribed(name, on), Outcome::Done))
    }

    /// The levels above `name` that are not there (RFC 3501 §6.3.3).
    fn missing_parents(&self, name: &str, ids: &mut Ids) -> Vec<NewMailbox> {
        let ends = name.match_indices(SEPARATOR).map(|(at, _)| &name[..at]);
        let missing = ends.filter(|parent| self.state.by_name(parent).is_none());
        missing.map(|parent| level(ids.next(), parent)).collect()
    }

    fn check_count(&self, more: usize) -> Result<(), Refusal> {
        match self.state.folders.len() + more > MAILBOXES_MAX {
            true => Err(Refusal::TooManyMailboxes),
            false => Ok(()),
        }
    }
}

/// Gives out numbers of mailboxes.
struct Ids(u32);

impl Ids {
    fn next(&mut self) -> MailboxId {
        self.0 += 1;
        MailboxId(self.0 - 1)
    }
}

/// A copy, before it is cut into records.
struct CopyParts {
    from: MailboxId,
    to: MailboxId,
    first: u32,
    modseq: u64,
    bits: Vec<(u8, u8)>,
    /// The mod-sequence of the source; 0 where it is the destination's.
    moved: Option<u64>,
}

impl CopyParts {
    fn parts(&self, uids: &UidSet, keywords: Vec<(u8, String)>) -> Vec<Vec<Change>> {
        let mut first_uid = self.first;
        let mut keywords = Some(keywords);
        let part = |uids: UidSet| {
            let copying = Copying {
                from: self.from,
                to: self.to,
                first_uid,
                modseq: self.modseq,
                keywords: keywords.take().unwrap_or_default(),
                bits: self.bits.clone(),
                moved: self.moved.map(|modseq| modseq.max(1)),
                uids,
            };
            first_uid = first_uid.wrapping_add(copying.uids.len() as u32);
            vec![Change::Copied(copying)]
        };
        in_parts(uids).map(part).collect()
    }
}

/// The effective UIDVALIDITY: what was stored, raised by each copy of the directory and each
/// repair.
pub(super) fn effective_validity(state: &State, folder: &Folder, incarnation: u32) -> u32 {
    folder.uid_validity_base.saturating_add(incarnation).saturating_add(state.repairs)
}

fn new_mailbox(
    id: MailboxId,
    name: &str,
    uid_validity_base: u32,
    special_use: Option<SpecialUse>,
) -> NewMailbox {
    NewMailbox { id, name: name.into(), uid_validity_base, special_use, no_select: false }
}

fn level(id: MailboxId, name: &str) -> NewMailbox {
    NewMailbox { no_select: true, ..new_mailbox(id, name, 0, None) }
}

/// Cuts a set into pieces that fit into a record; none if it is empty.
fn in_parts(uids: &UidSet) -> impl Iterator<Item = UidSet> {
    uids.ranges().chunks(RANGES_MAX).map(|ranges| UidSet::from_ranges(ranges.iter().copied()))
}

/// The last of `count` UIDs that the mailbox can give.
pub(super) fn room_for(folder: &Folder, count: u64) -> Result<u32, Refusal> {
    let last = u64::from(folder.uid_next) + count - 1;
    u32::try_from(last).ok().filter(|last| *last < u32::MAX).ok_or(Refusal::NoMoreUids)
}

/// Flags by their bits, and the keywords that the mailbox has to learn (only if it may).
fn flags_of(
    folder: &Folder,
    names: &FlagNames,
    learn: bool,
) -> Result<(Flags, Vec<(u8, String)>), Refusal> {
    let mut table = KeywordTable::new(folder);
    let mut keywords = 0;
    for name in &names.keywords {
        if !is_keyword(name) {
            return Err(Refusal::BadKeyword);
        }
        if let Some(bit) = table.bit(name, learn)? {
            keywords |= 1 << bit;
        }
    }
    Ok((Flags { system: names.system & Flags::ALL, keywords }, table.new))
}

/// Which bit of `from` becomes which of `to`, for the bits that are used.
#[expect(clippy::type_complexity, reason = "two lists of pairs, named at the caller")]
fn translate(
    from: &Folder,
    to: &Folder,
    used: u64,
) -> Result<(Vec<(u8, u8)>, Vec<(u8, String)>), Refusal> {
    let mut table = KeywordTable::new(to);
    let mut bits = Vec::new();
    for (bit, name) in from.keywords.iter().enumerate() {
        if used >> bit & 1 == 1
            && let Some(there) = table.bit(name, true)?
        {
            bits.push((bit as u8, there));
        }
    }
    Ok((bits, table.new))
}

/// A mailbox's keywords while a plan adds to them.
struct KeywordTable<'a> {
    folder: &'a Folder,
    new: Vec<(u8, String)>,
    /// Bits that this plan uses.
    held: u64,
}

impl<'a> KeywordTable<'a> {
    fn new(folder: &'a Folder) -> Self {
        KeywordTable { folder, new: Vec::new(), held: 0 }
    }

    /// The bit of a keyword; a new one if it has none and may get one.
    fn bit(&mut self, name: &str, learn: bool) -> Result<Option<u8>, Refusal> {
        let known = self.folder.keywords.iter().enumerate().map(|(bit, name)| (bit as u8, name));
        let new = self.new.iter().map(|(bit, name)| (*bit, name));
        let renamed = |bit: u8| self.new.iter().any(|(new, _)| *new == bit);
        let found = known
            .filter(|(bit, _)| !renamed(*bit))
            .chain(new)
            .find(|(_, known)| known.eq_ignore_ascii_case(name))
            .map(|(bit, _)| bit);
        let bit = match found {
            Some(bit) => bit,
            None if !learn => return Ok(None),
            None => {
                let bit = self.free_bit().ok_or(Refusal::TooManyKeywords)?;
                self.new.push((bit, name.to_owned()));
                bit
            }
        };
        self.held |= 1 << bit;
        Ok(Some(bit))
    }

    /// A bit behind the table's end or, when that is full, one that no message uses any more.
    fn free_bit(&self) -> Option<u8> {
        let known = self.folder.keywords.len();
        let free = |bit: &usize| self.held >> bit & 1 == 0;
        if let Some(bit) = (known..KEYWORDS_MAX).find(free) {
            return Some(bit as u8);
        }
        let used = self.folder.pages.iter().fold(self.held, |used, row| used | row.flags.keywords);
        (0..KEYWORDS_MAX).find(|bit| used >> bit & 1 == 0).map(|bit| bit as u8)
    }
}
