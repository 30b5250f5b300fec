//! FETCH: rendered in pieces, where it may block; the next one when the client has taken the last.
//!
//! A piece holds many small answers, or a part of one: a client may ask a hundred times for a large
//! message. A session that reads messages has room for the one that is open and for a piece, and
//! waits for that before it begins.
//!
//! Flags, sizes and dates come from the picture of the mailbox; headers, envelope and structure
//! from the arrival record; octets from the opened message, which the account keeps for this
//! session within its budget, so that one fetched in pieces is opened once.
//!
//! # Standards
//! RFC 3501 §6.4.5, §7.4.2; RFC 2180 §4.1.

use super::events::ImapEvent;
use super::link::{End, LOCKED, locked};
use super::selected::{Recent, flags_text};
use super::session::Session;
use super::{CHUNK_ROWS, store};
use crate::account::{Command, FlagMode, Flags, MailboxView, Row, UidSet};
use crate::base::secret::SecretBytes;
use crate::imap::{Answer, Code, FetchItem, Flag, Message, Out, Plan, SequenceSet, Tag};
use crate::mailbox::{AccountHandle, ReadError, Room};
use crate::store::ArrivalRecord;
use std::sync::Arc;

/// Messages whose answer needs nothing but their rows, rendered before others get their turn.
const ROWS_AT_ONCE: usize = 2048;
/// Octets of bodies in one chunk: one large message, or several small ones.
const CHUNK_BODY_BYTES: u64 = 1024 * 1024;
/// Octets of answers that are rendered before they are written. A session whose client does not
/// read holds as many; more would make nothing faster.
const PIECE_BYTES: usize = 256 * 1024;
/// Octets that a message may take, for each of its own, where its header or structure is not in the
/// arrival record: itself, its header, what is picked out of that, and an envelope on its way.
const UNPACKED_FACTOR: u64 = 4;

/// One command, as the blocking work needs it.
struct Work {
    view: Arc<MailboxView>,
    plan: Plan,
    recent: Recent,
    /// Messages that `\Seen` was set on by this command: their flags are told.
    seen: UidSet,
}

/// What became of a chunk.
#[derive(Default)]
struct Rendered {
    out: Out,
    trouble: Trouble,
    damaged: Vec<u32>,
    /// Messages that are done with.
    rows: usize,
    /// The next one, if its answer is written in part.
    part: Option<Part>,
    /// The next one needs room for so many octets, if it cannot be opened in what there is.
    wants_bytes: Option<u64>,
}

/// A message that is open, and how far its answer is written.
struct Part {
    answer: Answer,
    record: Option<ArrivalRecord>,
    body: Option<Arc<SecretBytes>>,
}

/// Why a message is not opened.
enum Stop {
    Read(ReadError),
    /// It takes so many octets.
    Wants(u64),
}

impl From<ReadError> for Stop {
    fn from(error: ReadError) -> Self {
        Stop::Read(error)
    }
}

/// The worst that was met.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
enum Trouble {
    #[default]
    None,
    Gone,
    Damaged,
    Unavailable,
    Locked,
}

impl Session {
    pub(super) async fn fetch(
        &mut self,
        tag: &Tag,
        uid: bool,
        set: &SequenceSet,
        items: &[FetchItem],
    ) -> Result<(), End> {
        let Some(selected) = &self.selected else { return Ok(()) };
        let Ok(targets) = selected.targets(set, uid) else {
            return self.count_bad(Some(tag), "There is no such message");
        };
        let plan = Plan::new(items, uid);
        let uids = targets.uids(&selected.view);
        let seen = match plan.sets_seen && !selected.read_only {
            true => self.mark_seen(&uids).await?,
            false => UidSet::new(),
        };
        let mut trouble = if targets.gone { Trouble::Gone } else { Trouble::None };
        trouble = trouble.max(self.render(plan, uids, seen).await?);
        // RFC 3501 §7.4.1: no EXPUNGE in the answer to FETCH; UID FETCH is another command.
        self.sync(uid).await?;
        self.finish_fetch(tag, trouble);
        Ok(())
    }

    /// Sets `\Seen` on what has not got it, with one change for the whole command. Says on what.
    async fn mark_seen(&mut self, uids: &UidSet) -> Result<UidSet, End> {
        let Some(selected) = &self.selected else { return Ok(UidSet::new()) };
        let unseen: UidSet = selected
            .view
            .select(uids)
            .filter(|row| !row.flags.has(Flags::SEEN))
            .map(|row| row.uid)
            .collect();
        if unseen.is_empty() {
            return Ok(unseen);
        }
        let command = Command::Store {
            mailbox: selected.id,
            uids: unseen.clone(),
            mode: FlagMode::Add,
            flags: store::flag_names(&[Flag::Seen]),
            unchanged_since: None,
        };
        // A disk that is full does not keep anybody from reading.
        if let Err(crate::mailbox::ApplyError::Locked) =
            self.account()?.clone().apply(command).await
        {
            return Err(LOCKED);
        }
        self.sync_silently(false, |_, now, _| unseen.contains(now.uid)).await?;
        Ok(unseen)
    }

    async fn render(&mut self, plan: Plan, uids: UidSet, seen: UidSet) -> Result<Trouble, End> {
        let Some(selected) = &self.selected else { return Ok(Trouble::Gone) };
        let (view, recent) = (selected.view.clone(), selected.recent.clone());
        let number = |row: &Row| {
            let index = view.index_of(row.uid)?;
            Some((selected.numbers.number(&*view, index)?, index))
        };
        let rows: Vec<(u32, u32)> = view.select(&uids).filter_map(number).collect();
        let deep = plan.needs_record || plan.needs_body;
        let work = Arc::new(Work { view, plan, recent, seen });
        match deep {
            true => self.render_deep(work, &rows).await,
            false => self.render_rows(&work, &rows).await,
        }
    }

    /// What needs nothing but rows: no key and no disk.
    async fn render_rows(&mut self, work: &Work, rows: &[(u32, u32)]) -> Result<Trouble, End> {
        for chunk in rows.chunks(ROWS_AT_ONCE) {
            for &(number, index) in chunk {
                if let Some(row) = work.view.row(index) {
                    let mut part = work.part(number, row, None, None);
                    work.write(&mut self.link.out, row, &mut part, usize::MAX);
                }
                self.link.flush_if_much().await?;
            }
            tokio::task::yield_now().await;
        }
        Ok(Trouble::None)
    }

    async fn render_deep(&mut self, work: Arc<Work>, rows: &[(u32, u32)]) -> Result<Trouble, End> {
        let mut worst = Trouble::None;
        let mut rest = rows;
        while !rest.is_empty() {
            let (chunk, after) = rest.split_at(work.chunk_len(rest));
            rest = after;
            worst = worst.max(self.render_chunk(&work, chunk).await?);
        }
        Ok(worst)
    }

    /// Messages that are read one after the other in the room for the largest of them.
    async fn render_chunk(
        &mut self,
        work: &Arc<Work>,
        chunk: &[(u32, u32)],
    ) -> Result<Trouble, End> {
        let account = self.account()?.clone();
        let (mut worst, mut rest, mut part) = (Trouble::None, chunk, None);
        let mut opens_bytes = work.opens_bytes(chunk);
        let mut room = self.room_to_open(&account, opens_bytes).await?;
        while !rest.is_empty() {
            let within = part.is_some();
            let (work, rows) = (work.clone(), rest.to_vec());
            let job = move |account: &AccountHandle| work.render(account, &rows, part, opens_bytes);
            let Ok(mut rendered) = account.blocking(job).await else {
                // Within a literal nothing can be said any more.
                return if within { Err(End::Closed) } else { Ok(Trouble::Unavailable) };
            };
            self.link.out.append(&mut rendered.out);
            self.report(&rendered.damaged)?;
            if rendered.trouble == Trouble::Locked {
                return Err(if within && rendered.rows == 0 { End::Closed } else { LOCKED });
            }
            worst = worst.max(rendered.trouble);
            rest = &rest[rendered.rows..];
            part = rendered.part;
            self.link.flush_if_much().await?;
            if let Some(bytes) = rendered.wants_bytes {
                drop(room);
                opens_bytes = bytes;
                room = self.room_to_open(&account, bytes).await?;
            }
        }
        drop(room);
        Ok(worst)
    }

    /// Room for a message that takes `opens_bytes` and for a piece of its answer. The client gets
    /// what there is before that is waited for.
    async fn room_to_open(
        &mut self,
        account: &AccountHandle,
        opens_bytes: u64,
    ) -> Result<Room, End> {
        let bytes = opens_bytes.saturating_add(PIECE_BYTES as u64);
        if let Some(room) = account.room_now(bytes) {
            return Ok(room);
        }
        self.link.flush().await?;
        tokio::select! {
            biased;
            () = locked(&mut self.changes) => Err(LOCKED),
            room = account.room(bytes) => Ok(room),
        }
    }

    fn report(&self, damaged: &[u32]) -> Result<(), End> {
        let account = self.account()?.account();
        for &uid in damaged {
            self.world.log.emit(&ImapEvent::MessageDamaged { account, uid });
        }
        Ok(())
    }

    fn finish_fetch(&mut self, tag: &Tag, trouble: Trouble) {
        let out = &mut self.link.out;
        match trouble {
            Trouble::None => out.ok(tag, Code::None, "FETCH completed"),
            Trouble::Gone => out.no(tag, Code::None, "Some of these messages are gone"),
            Trouble::Damaged => {
                out.no(tag, Code::ServerBug, "A stored message is damaged; the log has its name");
            }
            Trouble::Unavailable | Trouble::Locked => {
                out.no(tag, Code::Unavailable, "Messages cannot be read now");
            }
        }
    }
}

impl Work {
    /// How many of `rows` make one chunk: at least one.
    fn chunk_len(&self, rows: &[(u32, u32)]) -> usize {
        if !self.plan.needs_body {
            return rows.len().min(CHUNK_ROWS);
        }
        let mut bytes = 0;
        let mut fits = |&(_, index): &(u32, u32)| {
            bytes += self.view.row(index).map_or(0, |row| u64::from(row.size));
            bytes <= CHUNK_BODY_BYTES
        };
        rows.iter().take(CHUNK_ROWS).take_while(|row| fits(row)).count().max(1)
    }

    /// Octets that the largest of `rows` takes while it is open, as far as rows tell.
    fn opens_bytes(&self, rows: &[(u32, u32)]) -> u64 {
        if !self.plan.needs_body {
            return 0;
        }
        let sizes = rows.iter().filter_map(|&(_, index)| self.view.row(index)).map(|row| row.size);
        u64::from(sizes.max().unwrap_or(0))
    }

    /// Renders a piece: of `part`, if there is one, and the messages behind it. Blocks.
    fn render(
        &self,
        account: &AccountHandle,
        rows: &[(u32, u32)],
        mut part: Option<Part>,
        opens_bytes: u64,
    ) -> Rendered {
        let mut rendered = Rendered::default();
        if account.is_locked() {
            rendered.trouble = Trouble::Locked;
            return rendered;
        }
        for &(number, index) in rows {
            if rendered.out.len() >= PIECE_BYTES {
                break;
            }
            let Some(row) = self.view.row(index) else {
                rendered.rows += 1;
                continue;
            };
            let open = match part.take() {
                Some(part) => Ok(part),
                None => self.open(account, number, row, opens_bytes),
            };
            match open {
                Ok(mut part) => {
                    if !self.write(&mut rendered.out, row, &mut part, PIECE_BYTES) {
                        rendered.part = Some(part);
                        break;
                    }
                }
                Err(Stop::Read(error)) => rendered.note(error, row.uid),
                Err(Stop::Wants(bytes)) => {
                    rendered.wants_bytes = Some(bytes);
                    break;
                }
            }
            if rendered.trouble == Trouble::Locked {
                break;
            }
            rendered.rows += 1;
        }
        rendered
    }

    /// Opens what the plan needs of a message, if that takes no more than `most_bytes`.
    fn open(
        &self,
        account: &AccountHandle,
        number: u32,
        row: &Row,
        most_bytes: u64,
    ) -> Result<Part, Stop> {
        let record = match self.plan.needs_record {
            true => Some(account.stored_card_now(row)?),
            false => None,
        };
        let unpacks = record.as_ref().is_some_and(|record| !record.is_complete());
        let takes_bytes = match (unpacks, self.plan.needs_body) {
            (true, _) => u64::from(row.size).saturating_mul(UNPACKED_FACTOR),
            (false, true) => u64::from(row.size),
            (false, false) => 0,
        };
        if takes_bytes > most_bytes {
            return Err(Stop::Wants(takes_bytes));
        }
        let body = match unpacks || self.plan.needs_body {
            true => Some(account.body_now(row)?),
            false => None,
        };
        let record = match (record, &body) {
            (Some(record), Some(body)) => Some(record.complete(body.expose())),
            (record, _) => record,
        };
        Ok(self.part(number, row, record, body))
    }

    /// A message of which nothing is written.
    fn part(
        &self,
        number: u32,
        row: &Row,
        record: Option<ArrivalRecord>,
        body: Option<Arc<SecretBytes>>,
    ) -> Part {
        Part { answer: Answer::new(number, self.seen.contains(row.uid)), record, body }
    }

    /// Writes on until `out` holds `most` octets; says whether all of the message is written.
    fn write(&self, out: &mut Out, row: &Row, part: &mut Part, most: usize) -> bool {
        let Part { answer, record, body } = part;
        let flags = match self.plan.wants_flags || self.seen.contains(row.uid) {
            true => flags_text(&self.view, row, &self.recent),
            false => String::new(),
        };
        let record = record.as_ref();
        let message = Message {
            uid: row.uid,
            flags: &flags,
            received: row.received,
            size: row.size,
            header: record.and_then(|record| record.header.as_deref()),
            envelope: record.and_then(|record| record.envelope.as_ref()),
            structure: record.and_then(|record| record.structure.as_ref()),
            body: body.as_ref().map(|body| body.expose()),
        };
        answer.write(out, &self.plan, &message, most)
    }
}

impl Rendered {
    /// A message could not be read.
    fn note(&mut self, error: ReadError, uid: u32) {
        let trouble = match error {
            ReadError::Locked => Trouble::Locked,
            ReadError::Erased => Trouble::Gone,
            ReadError::Damaged => Trouble::Damaged,
            ReadError::Unavailable => Trouble::Unavailable,
        };
        if trouble == Trouble::Damaged {
            self.damaged.push(uid);
        }
        self.trouble = self.trouble.max(trouble);
    }
}
