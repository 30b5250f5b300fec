//! FETCH: rendered in chunks, where it may block, one buffer a chunk.
//!
//! Flags, sizes and dates come from the picture of the mailbox; headers, envelope and structure
//! from the arrival record; octets from the opened message, which the account keeps for this
//! session within its budget, so that one fetched in pieces is opened once.
//!
//! # Standards
//! RFC 3501 §6.4.5, §7.4.2; RFC 2180 §4.1.

use super::events::ImapEvent;
use super::link::{End, LOCKED};
use super::selected::{Recent, flags_text};
use super::session::Session;
use super::{CHUNK_ROWS, store};
use crate::account::{Command, FlagMode, Flags, MailboxView, Row, UidSet};
use crate::imap::{Code, FetchItem, Flag, Message, Out, Plan, SequenceSet, Tag, write_fetch};
use crate::mailbox::{AccountHandle, ReadError};
use std::sync::Arc;

/// Messages whose answer needs nothing but their rows, rendered before others get their turn.
const ROWS_AT_ONCE: usize = 2048;
/// Octets of bodies in one chunk: one large message, or several small ones.
const CHUNK_BODY_BYTES: u64 = 1024 * 1024;

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
                    work.write(&mut self.link.out, number, row, Known::default());
                }
            }
            self.link.flush_if_much().await?;
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
            let (work, chunk) = (work.clone(), chunk.to_vec());
            let job = move |account: &AccountHandle| work.render(account, &chunk);
            let account = self.account()?.clone();
            let Ok(mut rendered) = account.blocking(job).await else {
                return Ok(worst.max(Trouble::Unavailable));
            };
            self.link.out.append(&mut rendered.out);
            self.report(&rendered.damaged)?;
            if rendered.trouble == Trouble::Locked {
                return Err(LOCKED);
            }
            worst = worst.max(rendered.trouble);
            self.link.flush_if_much().await?;
        }
        Ok(worst)
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

/// What is known of a message beside its row.
#[derive(Default)]
struct Known<'a> {
    record: Option<&'a crate::store::ArrivalRecord>,
    body: Option<&'a [u8]>,
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

    /// Renders a chunk. Blocks.
    fn render(&self, account: &AccountHandle, rows: &[(u32, u32)]) -> Rendered {
        let mut rendered = Rendered::default();
        for &(number, index) in rows {
            let Some(row) = self.view.row(index) else { continue };
            if let Err(error) = self.render_one(account, &mut rendered.out, number, row) {
                let trouble = match error {
                    ReadError::Locked => Trouble::Locked,
                    ReadError::Erased => Trouble::Gone,
                    ReadError::Damaged => Trouble::Damaged,
                    ReadError::Unavailable => Trouble::Unavailable,
                };
                if trouble == Trouble::Damaged {
                    rendered.damaged.push(row.uid);
                }
                rendered.trouble = rendered.trouble.max(trouble);
                if trouble == Trouble::Locked {
                    break;
                }
            }
        }
        rendered
    }

    fn render_one(
        &self,
        account: &AccountHandle,
        out: &mut Out,
        number: u32,
        row: &Row,
    ) -> Result<(), ReadError> {
        let record = match self.plan.needs_record {
            true => Some(account.card_now(row)?),
            false => None,
        };
        let body = match self.plan.needs_body {
            true => Some(account.body_now(row)?),
            false => None,
        };
        let body = body.as_ref().map(|body| body.expose());
        self.write(out, number, row, Known { record: record.as_ref(), body });
        Ok(())
    }

    fn write(&self, out: &mut Out, number: u32, row: &Row, known: Known<'_>) {
        let with_flags = self.seen.contains(row.uid);
        let flags = match with_flags || self.plan.wants_flags {
            true => flags_text(&self.view, row, &self.recent),
            false => String::new(),
        };
        let record = known.record;
        let message = Message {
            uid: row.uid,
            flags: &flags,
            received: row.received,
            size: row.size,
            header: record.and_then(|record| record.header.as_deref()),
            envelope: record.and_then(|record| record.envelope.as_ref()),
            structure: record.and_then(|record| record.structure.as_ref()),
            body: known.body,
        };
        write_fetch(out, number, &self.plan, &message, with_flags);
    }
}
