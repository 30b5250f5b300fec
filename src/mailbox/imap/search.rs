//! SEARCH: rows first, then headers, then bodies, each only where the answer needs it.
//!
//! Rows are tried on the reactor, some at a time. What they do not decide is read where it may
//! block, in chunks that cost about the same, whatever the messages and the program: between two
//! chunks others get their turn, and a session whose client or key is gone ends.
//!
//! # Standards
//! RFC 3501 §6.4.4, §7.2.5; RFC 5530 §3 (LIMIT).

use super::CHUNK_ROWS;
use super::link::{End, LOCKED};
use super::selected::{Recent, SYSTEM_BITS};
use super::session::Session;
use crate::account::{MailboxView, Row};
use crate::base::clock::UnixTime;
use crate::base::secret::SecretBytes;
use crate::imap::limits::SEARCH_TEXTS_MAX;
use crate::imap::{Candidate, Code, Flag, Known, Program, Scan, SearchKey, SequenceView, Tag};
use crate::mailbox::{AccountHandle, ReadError};
use crate::store::ArrivalRecord;
use std::sync::Arc;

/// Tests of rows before others get their turn: some milliseconds.
const TESTS_AT_ONCE: usize = 16 * 1024;
/// Numbers of an answer that are written before others get their turn.
const NUMBERS_AT_ONCE: usize = 4096;
/// What one piece of blocking work may cost, in octets searched for one text: some ten
/// milliseconds.
const CHUNK_COST: usize = 16 * 1024 * 1024;
/// What opening a message's record costs, in the same unit.
const RECORD_COST: usize = 32 * 1024;
/// What opening an octet of a body costs, in the same unit.
const OPEN_COST: usize = 2;

/// One command, as the blocking work needs it.
struct Work {
    view: Arc<MailboxView>,
    numbers: SequenceView,
    recent: Recent,
    program: Program,
    uid: bool,
}

/// A message under trial.
struct Trial<'a> {
    work: &'a Work,
    row: &'a Row,
    number: u32,
}

/// The messages that their rows do not decide, and how far they were read.
struct Pass {
    /// Indexes, ascending.
    rows: Vec<u32>,
    next: usize,
    reading: Option<Reading>,
    found: Vec<u32>,
}

/// A message that is being read.
struct Reading {
    record: ArrivalRecord,
    body: Option<Arc<SecretBytes>>,
    scan: Scan,
}

impl Candidate for Trial<'_> {
    fn has_flag(&self, flag: &Flag) -> bool {
        match flag {
            Flag::Keyword(name) => {
                let bit = self.work.view.keyword_bit(name);
                bit.is_some_and(|bit| self.row.flags.keywords >> bit & 1 == 1)
            }
            system => SYSTEM_BITS
                .iter()
                .any(|&(bit, name)| name == system.as_str() && self.row.flags.has(bit)),
        }
    }

    fn is_recent(&self) -> bool {
        self.work.recent.contains(self.row.uid)
    }

    fn uid(&self) -> u32 {
        self.row.uid
    }

    fn number(&self) -> u32 {
        self.number
    }

    fn received(&self) -> UnixTime {
        self.row.received
    }

    fn size(&self) -> u32 {
        self.row.size
    }
}

impl Session {
    pub(super) async fn search(&mut self, tag: &Tag, uid: bool, key: SearchKey) -> Result<(), End> {
        let Some(selected) = &self.selected else { return Ok(()) };
        let view = selected.view.clone();
        let last = view.exists().checked_sub(1).and_then(|last| view.row(last));
        let largest = (selected.exists(), last.map_or(0, |row| row.uid));
        let Some(program) = Program::new(&key, largest) else {
            let text = format!("At most {SEARCH_TEXTS_MAX} texts are searched for in one command");
            self.link.out.no(tag, Code::Limit, &text);
            return Ok(());
        };
        let (numbers, recent) = (selected.numbers.clone(), selected.recent.clone());
        let work = Work { view, numbers, recent, program, uid };
        let Some(found) = self.find(Arc::new(work)).await? else {
            self.link.out.no(tag, Code::Unavailable, "Messages cannot be read now");
            return Ok(());
        };
        self.write_found(&found).await?;
        // RFC 3501 §7.4.1: no EXPUNGE in the answer to SEARCH; UID SEARCH is another command.
        self.sync(uid).await?;
        self.link.out.ok(tag, Code::None, "SEARCH completed");
        Ok(())
    }

    async fn write_found(&mut self, found: &[u32]) -> Result<(), End> {
        self.link.out.raw("* SEARCH");
        for numbers in found.chunks(NUMBERS_AT_ONCE) {
            for &number in numbers {
                self.link.out.byte(b' ');
                self.link.out.number(u64::from(number));
            }
            self.link.flush_if_much().await?;
            tokio::task::yield_now().await;
        }
        self.link.out.crlf();
        Ok(())
    }

    /// What is found, ascending; `None` if messages cannot be read.
    async fn find(&mut self, work: Arc<Work>) -> Result<Option<Vec<u32>>, End> {
        let account = self.account()?.clone();
        let mut pass = Pass { rows: Vec::new(), next: 0, reading: None, found: Vec::new() };
        let step = (TESTS_AT_ONCE / work.program.tests()).max(1);
        for start in (0..work.view.exists()).step_by(step) {
            let end = work.view.exists().min(start.saturating_add(step as u32));
            (start..end).for_each(|index| work.try_row(&mut pass, index));
            self.between(&account).await?;
        }
        if pass.rows.is_empty() {
            return Ok(Some(pass.found));
        }
        while pass.next < pass.rows.len() {
            let work = work.clone();
            let job = move |account: &AccountHandle| work.go_on(account, pass);
            pass = match account.searching(job).await {
                Ok(Ok(pass)) => pass,
                Ok(Err(ReadError::Locked)) | Err(ReadError::Locked) => return Err(LOCKED),
                Ok(Err(_)) | Err(_) => return Ok(None),
            };
            self.between(&account).await?;
        }
        pass.found.sort_unstable();
        Ok(Some(pass.found))
    }

    /// Between two chunks: others get their turn, and who is gone is let go.
    async fn between(&mut self, account: &AccountHandle) -> Result<(), End> {
        tokio::task::yield_now().await;
        if account.is_locked() {
            return Err(LOCKED);
        }
        self.link.look_for_end().await
    }
}

impl Work {
    /// Puts the message at `index` where its row alone says that it belongs.
    fn try_row(&self, pass: &mut Pass, index: u32) {
        let Some(trial) = self.trial(index) else { return };
        match self.program.meets(&trial, &Known::default()) {
            Some(true) => pass.found.push(self.shown(&trial)),
            Some(false) => {}
            None => pass.rows.push(index),
        }
    }

    /// Reads one chunk. Blocks.
    fn go_on(&self, account: &AccountHandle, mut pass: Pass) -> Result<Pass, ReadError> {
        let mut left = CHUNK_COST;
        let last = pass.rows.len().min(pass.next + CHUNK_ROWS);
        while left > 0 && pass.next < last {
            if let Some(trial) = self.trial(pass.rows[pass.next]) {
                match self.read(account, &mut pass.reading, &trial, &mut left) {
                    Ok(Some(true)) => pass.found.push(self.shown(&trial)),
                    // What is gone or damaged has no words that could be found.
                    Ok(Some(false)) | Err(ReadError::Erased | ReadError::Damaged) => {}
                    Ok(None) => break,
                    Err(error) => return Err(error),
                }
            }
            pass.reading = None;
            pass.next += 1;
        }
        Ok(pass)
    }

    /// Reads on in one message until it is decided; `None` if that costs more than is `left`.
    fn read(
        &self,
        account: &AccountHandle,
        reading: &mut Option<Reading>,
        trial: &Trial<'_>,
        left: &mut usize,
    ) -> Result<Option<bool>, ReadError> {
        let reading = match reading {
            Some(reading) => reading,
            None => {
                *left = left.saturating_sub(RECORD_COST);
                let record = account.card_now(trial.row)?;
                reading.insert(Reading { record, body: None, scan: Scan::default() })
            }
        };
        loop {
            if let Some(met) = self.program.meets(trial, reading.scan.known()) {
                return Ok(Some(met));
            }
            if *left == 0 {
                return Ok(None);
            }
            let cost = match reading.scan.is_head_read() {
                false => {
                    let block = reading.record.header.as_deref().unwrap_or_default();
                    reading.scan.step_head(&self.program, block).unwrap_or(0)
                }
                true => match self.read_body(account, reading, trial.row)? {
                    Some(cost) => cost,
                    None => {
                        return Ok(self.program.meets(trial, reading.scan.known()).or(Some(false)));
                    }
                },
            };
            *left = left.saturating_sub(cost + self.program.tests());
        }
    }

    /// Reads on in the message's body. What it cost; `None` at the end.
    fn read_body(
        &self,
        account: &AccountHandle,
        reading: &mut Reading,
        row: &Row,
    ) -> Result<Option<usize>, ReadError> {
        let Some(structure) = &reading.record.structure else { return Ok(None) };
        match &reading.body {
            Some(body) => Ok(reading.scan.step_body(&self.program, body.expose(), structure)),
            None => {
                let body = account.body_now(row)?;
                let cost = body.expose().len() * OPEN_COST;
                reading.body = Some(body);
                Ok(Some(cost))
            }
        }
    }

    /// The message at `index`, if this client knows of it.
    fn trial(&self, index: u32) -> Option<Trial<'_>> {
        let number = self.numbers.number(&*self.view, index)?;
        Some(Trial { work: self, row: self.view.row(index)?, number })
    }

    fn shown(&self, trial: &Trial<'_>) -> u32 {
        if self.uid { trial.row.uid } else { trial.number }
    }
}
