//! Verifies every octet of a journal that is not in use, and names what is not as it was written.
//!
//! It trusts nothing but the journal key: footers are compared with what a walk finds, payloads
//! with the digests in their headers, headers with their tags, batches with the chain. Zeros and
//! dropped payloads are right where a tombstone names the frame, and damage elsewhere.
//!
//! # Known gaps
//! What a dead frame's payload holds is not looked at. Segments removed at the end of the journal
//! are missed only after a clean stop, which says where it ended.

use super::entry::{AccountHead, Address, Class};
use super::error::{OpenError, ReadError, What};
use super::format::{self, BodyKind, FRAME_HEADER_BYTES, FrameHeader};
use super::identity::{Names, Stored};
use super::open::{self, Found};
use super::reader::{Identity, Reader};
use super::recover::{self, Limit, Opened, Part, Resolved, damaged_payloads};
use super::table::Shared;
use super::{Damage, Options, Position, large};
use crate::base::crypto::{self, Key};
use crate::base::disk::{Disk, DiskFile};
use crate::base::ids::AccountNumber;
use std::io;
use std::sync::Arc;

/// What a verification found.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Report {
    /// Segments read.
    pub segments: u32,
    /// Frames whose header and payloads are as they were written.
    pub frames_good: u64,
    /// Frames that a tombstone names.
    pub frames_dead: u64,
    /// Octets behind the last whole batch that were never acknowledged.
    pub torn_bytes: u64,
    /// What there is of each account.
    pub accounts: Vec<(AccountNumber, AccountHead)>,
    /// What is damaged, in order.
    pub damage: Vec<Damage>,
}

/// Reads all of the journal in `disk` under the journal key. Changes nothing. The server must not
/// be running; `stopped_at` is where it was when it was stopped, if that is known.
pub fn verify(
    disk: Arc<dyn Disk>,
    journal_key: &Key,
    stopped_at: Option<Position>,
) -> Result<Report, OpenError> {
    let mut report = Report::default();
    let fresh = Names { journal: [0; 16], server: [0; 16], incarnation: 0 };
    let found = match open::find(&*disk, &Options::new(journal_key.clone()), fresh) {
        Err(OpenError::Io(error)) if error.kind() == io::ErrorKind::NotFound => {
            if stopped_at.is_some() {
                report.note(0, 0, None, What::Shortened);
            }
            return Ok(report);
        }
        other => other?,
    };
    if found.stored == Stored::Damaged {
        report.note(0, 0, None, What::Identity);
    }
    let Found { keys, names, opened, resolved, stored, .. } = found;
    report.segments = opened.len() as u32;
    report.torn_bytes = resolved.cuts.iter().map(|cut| cut.bytes).sum();
    report.damage.extend_from_slice(&resolved.damage);
    let is_gone = stored == Stored::Missing && opened.is_empty();
    if stopped_at.is_some_and(|at| is_gone || at.is_beyond(&names.journal, resolved.link.batch)) {
        report.note(0, 0, None, What::Shortened);
    }
    let loaded = open::load(&resolved, None);
    let identity = Identity {
        journal: names.journal,
        server: names.server,
        incarnation: names.incarnation,
        copied: false,
    };
    let reader = Reader(Arc::new(Shared::new(disk, keys, identity, loaded.tables)));
    let tombstones = loaded.tombstones;
    report.damage.extend(open::apply_tombstones(&reader, &tombstones, false));
    bury_by_tail(&reader, &resolved)?;
    for part in &resolved.parts {
        if let Some(opened) = opened.iter().find(|opened| opened.number == part.number) {
            report.segment(&reader, opened, part)?;
        }
    }
    report.frames_good += resolved.tail.iter().map(|batch| batch.frames.len() as u64).sum::<u64>();
    report.accounts = reader.accounts();
    report.damage.sort();
    report.damage.dedup();
    Ok(report)
}

impl Report {
    fn segment(&mut self, reader: &Reader, opened: &Opened, part: &Part) -> io::Result<()> {
        let shortened = Opened {
            number: part.number,
            file: part.file.clone(),
            len: part.data_end.min(opened.len),
            header: opened.header.clone(),
        };
        let limit = Limit::Batch(part.link.batch);
        let survey = recover::survey(&shortened, &reader.0.keys, limit, true)?;
        self.damage.extend_from_slice(&survey.damage);
        let walked = &survey.builder.offsets;
        let differs = |(slot, offset): (usize, &u32)| {
            let found = walked.get(slot).copied().unwrap_or(0);
            found != 0 && found != *offset
        };
        if part.offsets.iter().enumerate().any(differs) || walked.len() > part.offsets.len() {
            self.note(part.number, part.data_end, None, What::Footer);
        }
        for batch in &survey.batches {
            for (offset, frame) in &batch.frames {
                self.frame(reader, &*part.file, *offset, frame)?;
            }
        }
        Ok(())
    }

    fn frame(
        &mut self,
        reader: &Reader,
        file: &dyn DiskFile,
        offset: u64,
        frame: &FrameHeader,
    ) -> io::Result<()> {
        if reader.is_dead(frame.at) {
            self.frames_dead += 1;
            return Ok(());
        }
        let Address { segment, slot } = frame.at;
        if !frame.present {
            self.note(segment, offset, Some(slot), What::DroppedWithoutTombstone);
            return Ok(());
        }
        let mut damaged = false;
        for (what, is_zero) in damaged_payloads(file, offset, frame)? {
            let what = if is_zero { What::ZerosWithoutTombstone } else { what };
            self.note(segment, offset, Some(slot), what);
            damaged = true;
        }
        if frame.body_kind == BodyKind::Large
            && let Some(what) = damaged_large(reader, frame)?
        {
            self.note(segment, offset, Some(slot), what);
            damaged = true;
        }
        self.frames_good += u64::from(!damaged);
        Ok(())
    }

    fn note(&mut self, segment: u32, offset: u64, slot: Option<u32>, what: What) {
        self.damage.push(Damage { segment, offset, slot, what });
    }
}

/// Marks what the tombstones of an unmarked tail name: the server that wrote them may have erased
/// it.
fn bury_by_tail(reader: &Reader, resolved: &Resolved) -> io::Result<()> {
    let Some(file) = &resolved.tail_file else { return Ok(()) };
    let frames = resolved.tail.iter().flat_map(|batch| &batch.frames);
    for (offset, frame) in frames.filter(|(_, frame)| frame.class == Class::Tombstone) {
        let mut head = vec![0; frame.head_bytes as usize];
        file.read_at(offset + FRAME_HEADER_BYTES, &mut head)?;
        let mut tables = reader.0.tables_mut();
        for (at, bytes) in format::decode_dead(&head).unwrap_or_default() {
            tables.kill(at, bytes);
        }
    }
    Ok(())
}

/// What is wrong with a large body.
fn damaged_large(reader: &Reader, frame: &FrameHeader) -> io::Result<Option<What>> {
    match large::read(&*reader.0.disk, frame, frame.body_bytes) {
        Ok(body) if crypto::sha256(&[&body]) == frame.body_sha256 => Ok(None),
        Ok(_) => Ok(Some(What::Body)),
        Err(ReadError::Io(kind)) => Err(kind.into()),
        Err(_) => Ok(Some(What::LargeFile)),
    }
}

impl Reader {
    pub(super) fn is_dead(&self, at: Address) -> bool {
        let tables = self.0.tables();
        tables.segments.get(&at.segment).is_some_and(|held| held.dead.get(at.slot))
    }
}
