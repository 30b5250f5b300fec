//! SEARCH: rows first, then records, then bodies, each only where the answer needs it.
//!
//! # Standards
//! RFC 3501 §6.4.4, §7.2.5.

use super::CHUNK_ROWS;
use super::link::{End, LOCKED};
use super::selected::{Recent, SYSTEM_BITS};
use super::session::Session;
use crate::account::{MailboxView, Row};
use crate::base::clock::UnixTime;
use crate::imap::{Candidate, Code, Flag, SearchKey, Tag, needs};
use crate::mail::Structure;
use crate::mailbox::{AccountHandle, ReadError};
use std::sync::Arc;

/// Rows that are tried before others get their turn, where no message is opened.
const ROWS_AT_ONCE: usize = 4096;
/// Messages in one piece of blocking work that may open bodies.
const CHUNK_BODIES: usize = 32;

/// One command, as the blocking work needs it.
struct Work {
    view: Arc<MailboxView>,
    recent: Recent,
    key: SearchKey,
    largest: (u32, u32),
    uid: bool,
}

/// A message under trial.
struct Trial<'a> {
    work: &'a Work,
    row: &'a Row,
    number: u32,
    header: Option<&'a [u8]>,
    body: Option<(&'a [u8], &'a Structure)>,
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

    fn largest(&self) -> (u32, u32) {
        self.work.largest
    }

    fn received(&self) -> UnixTime {
        self.row.received
    }

    fn size(&self) -> u32 {
        self.row.size
    }

    fn header(&self) -> Option<&[u8]> {
        self.header
    }

    fn body(&self) -> Option<(&[u8], &Structure)> {
        self.body
    }
}

impl Session {
    pub(super) async fn search(&mut self, tag: &Tag, uid: bool, key: SearchKey) -> Result<(), End> {
        let Some(selected) = &self.selected else { return Ok(()) };
        let view = selected.view.clone();
        let last = view.exists().checked_sub(1).and_then(|last| view.row(last));
        let largest = (selected.exists(), last.map_or(0, |row| row.uid));
        let numbered = |index| Some((selected.numbers.number(&*view, index)?, index));
        let rows: Vec<(u32, u32)> = (0..view.exists()).filter_map(numbered).collect();
        let work = Work { view: view.clone(), recent: selected.recent.clone(), key, largest, uid };
        let found = self.find(Arc::new(work), &rows).await?;
        let Some(found) = found else {
            self.link.out.no(tag, Code::Unavailable, "Messages cannot be read now");
            return Ok(());
        };
        self.link.out.raw("* SEARCH");
        for number in found {
            self.link.out.byte(b' ');
            self.link.out.number(u64::from(number));
        }
        self.link.out.crlf();
        // RFC 3501 §7.4.1: no EXPUNGE in the answer to SEARCH; UID SEARCH is another command.
        self.sync(uid).await?;
        self.link.out.ok(tag, Code::None, "SEARCH completed");
        Ok(())
    }

    /// What is found, ascending; `None` if messages cannot be read.
    async fn find(
        &mut self,
        work: Arc<Work>,
        rows: &[(u32, u32)],
    ) -> Result<Option<Vec<u32>>, End> {
        let needs = needs(&work.key);
        let mut found = Vec::new();
        if !needs.record && !needs.body {
            for chunk in rows.chunks(ROWS_AT_ONCE) {
                found.extend(chunk.iter().filter_map(|&row| work.by_row(row)));
                tokio::task::yield_now().await;
            }
            return Ok(Some(found));
        }
        let account = self.account()?.clone();
        let size = if needs.body { CHUNK_BODIES } else { CHUNK_ROWS };
        for chunk in rows.chunks(size) {
            let (work, chunk) = (work.clone(), chunk.to_vec());
            let job = move |account: &AccountHandle| work.search(account, &chunk);
            match account.blocking(job).await {
                Ok(Ok(part)) => found.extend(part),
                Ok(Err(ReadError::Locked)) | Err(ReadError::Locked) => return Err(LOCKED),
                Ok(Err(_)) | Err(_) => return Ok(None),
            }
        }
        Ok(Some(found))
    }
}

impl Work {
    /// The message's number or UID if its row alone meets the program.
    fn by_row(&self, (number, index): (u32, u32)) -> Option<u32> {
        let trial = self.trial(number, self.view.row(index)?);
        trial.meets(&self.key).unwrap_or(false).then(|| self.shown(&trial))
    }

    /// Searches a chunk. Blocks.
    fn search(&self, account: &AccountHandle, rows: &[(u32, u32)]) -> Result<Vec<u32>, ReadError> {
        let mut found = Vec::new();
        for &(number, index) in rows {
            let Some(row) = self.view.row(index) else { continue };
            match self.meets(account, number, row) {
                Ok(true) => found.push(if self.uid { row.uid } else { number }),
                // What is gone or damaged has no words that could be found.
                Ok(false) | Err(ReadError::Erased | ReadError::Damaged) => {}
                Err(error) => return Err(error),
            }
        }
        Ok(found)
    }

    fn meets(&self, account: &AccountHandle, number: u32, row: &Row) -> Result<bool, ReadError> {
        let mut trial = self.trial(number, row);
        if let Some(met) = trial.meets(&self.key) {
            return Ok(met);
        }
        let record = account.card_now(row)?;
        trial.header = record.header.as_deref();
        if let Some(met) = trial.meets(&self.key) {
            return Ok(met);
        }
        let body = account.body_now(row)?;
        trial.body = record.structure.as_ref().map(|structure| (body.expose(), structure));
        Ok(trial.meets(&self.key).unwrap_or(false))
    }

    fn trial<'a>(&'a self, number: u32, row: &'a Row) -> Trial<'a> {
        Trial { work: self, row, number, header: None, body: None }
    }

    fn shown(&self, trial: &Trial<'_>) -> u32 {
        if self.uid { trial.row.uid } else { trial.number }
    }
}
