//! What happens behind the mail's back, in bounded steps: erasing and compaction.
//!
//! Segments only lose. Once a tombstone is durable, the payloads it names are zeroed in place. When
//! half of a sealed segment is dead, the segment is written anew under the same number, with all
//! its headers but without the dead payloads: no address changes, and the chain stays verifiable.

use super::entry::Address;
use super::format::{BodyKind, FRAME_HEADER_BYTES, Footer, FrameHeader, SEGMENT_HEADER_BYTES};
use super::large;
use super::reader::Reader;
use super::recover::{self, End, Opened, damaged_payloads, segment_path};
use super::table::{Bits, Segment, weight};
use super::walk::{SeenBatch, Walk};
use super::{Budget, Journal, ReadError};
use crate::base::disk::DiskFile;
use std::io;
use std::sync::Arc;

/// Frames that are erased before the journal is closed: a stop may not take for ever.
const ERASED_AT_CLOSE_MAX: u32 = 100_000;
/// Erases that may fail in one call: a bad place is stepped over, a dead disk is left alone.
const ERASE_FAILURES_MAX: u32 = 8;
/// Octets of dead payloads below which a segment is not worth writing anew.
const COMPACTION_BYTES_MIN: u64 = 4 << 10;

/// A segment that is being written anew, a part at each call.
pub(super) struct Compaction {
    number: u32,
    old: Arc<dyn DiskFile>,
    new: Arc<dyn DiskFile>,
    footer: Footer,
    /// Up to where the old file was copied.
    read: u64,
    written: u64,
    dropped: Bits,
    dropped_bytes: u64,
}

/// Why a segment is not compacted.
enum Refusal {
    /// It is damaged: what is damaged is kept as it is.
    Damaged,
    Io,
}

impl From<io::Error> for Refusal {
    fn from(_: io::Error) -> Self {
        Refusal::Io
    }
}

impl Journal {
    /// Erases what durable tombstones name and compacts segments, within `budget`. `true` if there
    /// is more to do.
    pub fn maintain(&mut self, budget: Budget) -> bool {
        self.reserve.restore(&*self.shared.disk);
        let erased_all = self.erase(budget.frames);
        let compacting = self.compact(budget.bytes);
        !erased_all || compacting
    }

    /// Erases whatever is left before a stop. `true` if nothing is.
    pub(super) fn erase_all(&mut self) -> bool {
        self.abandon_compaction();
        self.erase(ERASED_AT_CLOSE_MAX)
            && self.shared.tables().segments.values().all(|segment| segment.unerased == 0)
            && self.sync_punched()
    }

    /// Makes the erasing durable: a footer that says so would else have a power cut bring back what
    /// was expunged, for good. A failure leaves the erasing to the next open.
    fn sync_punched(&mut self) -> bool {
        let punched = std::mem::take(&mut self.punched);
        let tables = self.shared.tables();
        let files = punched.iter().filter_map(|number| tables.segments.get(number));
        let files: Vec<_> = files.map(|segment| segment.file.clone()).collect();
        drop(tables);
        files.iter().all(|file| file.sync_data().is_ok())
    }

    /// Erases at most `frames` frames. `true` if nothing more can be done now.
    fn erase(&mut self, frames: u32) -> bool {
        let reader = self.reader();
        let mut failures = 0;
        for _ in 0..frames {
            let Some(at) = self.next_unerased() else { break };
            let erased = self.erase_frame(&reader, at);
            if erased.is_ok() {
                self.punched.insert(at.segment);
            }
            let mut tables = self.shared.tables_mut();
            let Some(segment) = tables.segments.get_mut(&at.segment) else { continue };
            match erased {
                Ok(()) => segment.mark_erased(at.slot),
                // Tried again after all others; the frame is not served in the meantime.
                Err(_) => {
                    segment.put_off.set(at.slot);
                    failures += 1;
                }
            }
            if failures >= ERASE_FAILURES_MAX {
                return true;
            }
        }
        let is_done = self.next_unerased().is_none();
        if is_done {
            let mut tables = self.shared.tables_mut();
            tables.segments.values_mut().for_each(|segment| segment.put_off = Bits::default());
        }
        is_done
    }

    fn next_unerased(&self) -> Option<Address> {
        let tables = self.shared.tables();
        let mut unerased = tables.segments.iter().filter(|(_, held)| held.unerased > 0);
        unerased.find_map(|(number, held)| {
            held.first_unerased().map(|slot| Address { segment: *number, slot })
        })
    }

    fn erase_frame(&self, reader: &Reader, at: Address) -> io::Result<()> {
        let header = match reader.header(at) {
            Ok(header) => header,
            Err(ReadError::Io(kind)) => return Err(kind.into()),
            // What cannot be found cannot be erased.
            Err(_) => return Ok(()),
        };
        if header.body_kind == BodyKind::Large {
            match self.shared.disk.remove(&large::path(&header.object)) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
                _ => {}
            }
        }
        let (file, offset) = {
            let tables = self.shared.tables();
            let Some(segment) = tables.segments.get(&at.segment) else { return Ok(()) };
            (segment.file.clone(), u64::from(segment.offsets[at.slot as usize]))
        };
        match header.payload_bytes() {
            0 => Ok(()),
            bytes => file.punch(offset + FRAME_HEADER_BYTES, bytes),
        }
    }

    /// Copies at most about `bytes` octets. `true` if there is more to do.
    fn compact(&mut self, bytes: u64) -> bool {
        let Some(mut compaction) = self.compaction.take().or_else(|| self.begin_compaction())
        else {
            return false;
        };
        match compaction.step(self, bytes) {
            Ok(false) => {
                self.compaction = Some(compaction);
                true
            }
            Ok(true) => {
                if self.finish_compaction(&compaction).is_err() {
                    self.give_up(compaction.number);
                }
                true
            }
            Err(_) => {
                self.give_up(compaction.number);
                true
            }
        }
    }

    fn begin_compaction(&mut self) -> Option<Compaction> {
        let number = self.worth_compacting()?;
        match self.prepare_compaction(number) {
            Ok(compaction) => Some(compaction),
            Err(_) => {
                self.give_up(number);
                None
            }
        }
    }

    /// A sealed segment, not the last one, of which at least half is dead and not dropped.
    fn worth_compacting(&self) -> Option<u32> {
        let tables = self.shared.tables();
        let last = tables.segments.keys().next_back().copied()?;
        let worth = |segment: &Segment| {
            let droppable = segment.dead_bytes.saturating_sub(segment.dropped_bytes);
            segment.sealed
                && droppable >= COMPACTION_BYTES_MIN
                && droppable.saturating_mul(2) >= segment.data_end
        };
        let mut candidates = tables.segments.iter();
        candidates
            .find(|(number, segment)| {
                **number != last && !self.uncompactable.contains(number) && worth(segment)
            })
            .map(|(number, _)| *number)
    }

    fn prepare_compaction(&self, number: u32) -> Result<Compaction, Refusal> {
        let old = {
            let tables = self.shared.tables();
            tables.segments.get(&number).ok_or(Refusal::Damaged)?.file.clone()
        };
        let opened = Opened { number, len: old.len()?, file: old.clone(), header: None };
        let End::Footer(footer) = recover::read_end(&opened, &self.shared.keys)? else {
            return Err(Refusal::Damaged);
        };
        let path = beside(number);
        match self.shared.disk.remove(&path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error.into()),
            _ => {}
        }
        let new = self.shared.disk.create(&path)?;
        new.write_at(0, &recover::read_start(&*old, number, opened.len)?)?;
        let (read, written) = (SEGMENT_HEADER_BYTES, SEGMENT_HEADER_BYTES);
        let dropped = Bits::default();
        Ok(Compaction { number, old, new, footer, read, written, dropped, dropped_bytes: 0 })
    }

    /// Puts the new file in the old one's place.
    fn finish_compaction(&mut self, compaction: &Compaction) -> io::Result<()> {
        let mut footer = compaction.footer.clone();
        footer.data_end = compaction.written;
        footer.dropped_bytes = compaction.dropped_bytes;
        footer.erases_done = false;
        compaction.new.write_at(compaction.written, &footer.encode(&self.shared.keys))?;
        compaction.new.sync_data()?;
        self.shared.disk.rename(&beside(compaction.number), &segment_path(compaction.number))?;
        // From here on the name leads to the new file, durably or not; both say the same.
        let mut tables = self.shared.tables_mut();
        if let Some(segment) = tables.segments.get_mut(&compaction.number) {
            segment.replace(compaction.new.clone(), &footer, compaction.dropped.clone());
        }
        drop(tables);
        self.shared.disk.sync_dir("journal")
    }

    fn abandon_compaction(&mut self) {
        if let Some(compaction) = self.compaction.take() {
            let _ = self.shared.disk.remove(&beside(compaction.number));
        }
    }

    fn give_up(&mut self, number: u32) {
        self.uncompactable.insert(number);
        let _ = self.shared.disk.remove(&beside(number));
    }
}

impl Compaction {
    /// Copies whole batches until about `bytes` octets are read. `true` at the end.
    fn step(&mut self, journal: &Journal, bytes: u64) -> Result<bool, Refusal> {
        let old = self.old.clone();
        let (keys, end) = (&journal.shared.keys, self.footer.data_end);
        let mut walk = Walk::new(&*old, keys, self.number, self.read, end);
        // At least one batch, so that every call gets on.
        let until = self.read.saturating_add(bytes.max(1));
        while self.read < until {
            let Some(batch) = walk.next()? else {
                return match self.read == end {
                    true => Ok(true),
                    false => Err(Refusal::Damaged),
                };
            };
            if !batch.whole || batch.offset != self.read {
                return Err(Refusal::Damaged);
            }
            self.copy(journal, &batch)?;
        }
        self.new.sync_data()?;
        Ok(false)
    }

    fn copy(&mut self, journal: &Journal, batch: &SeenBatch) -> Result<(), Refusal> {
        let mut out = vec![0; (batch.end - batch.offset) as usize];
        self.old.read_at(batch.offset, &mut out)?;
        let whole = std::mem::take(&mut out);
        let first = batch.frames.first().map_or(batch.end, |(offset, _)| *offset);
        out.extend_from_slice(&whole[..(first - batch.offset) as usize]);
        for (offset, frame) in &batch.frames {
            self.footer.offsets[frame.at.slot as usize] = (self.written + out.len() as u64) as u32;
            let from = (offset - batch.offset) as usize;
            let len = (FRAME_HEADER_BYTES + frame.payload_bytes()) as usize;
            if journal.reader().is_dead(frame.at) {
                let dropped = FrameHeader { present: false, ..frame.clone() };
                out.extend_from_slice(&dropped.encode(&journal.shared.keys));
                self.dropped.set(frame.at.slot);
                self.dropped_bytes += weight(frame.charged_bytes());
                continue;
            }
            if frame.present && !damaged_payloads(&*self.old, *offset, frame)?.is_empty() {
                return Err(Refusal::Damaged);
            }
            out.extend_from_slice(&whole[from..from + len]);
        }
        self.new.write_at(self.written, &out)?;
        self.written += out.len() as u64;
        self.read = batch.end;
        Ok(())
    }
}

impl Segment {
    fn first_unerased(&self) -> Option<u32> {
        self.dead.first_not_in([&self.erased, &self.put_off])
    }

    /// Takes the file that compaction wrote.
    fn replace(&mut self, file: Arc<dyn DiskFile>, footer: &Footer, dropped: Bits) {
        self.file = file;
        self.data_end = footer.data_end;
        self.offsets = footer.offsets.clone();
        self.dropped_bytes = footer.dropped_bytes;
        // What died while the copy was made stands in the new file as it was.
        self.erased = dropped;
        self.put_off = Bits::default();
        let dead = (0..self.offsets.len() as u32).filter(|slot| self.dead.get(*slot));
        self.unerased = dead.filter(|slot| !self.erased.get(*slot)).count() as u32;
    }
}

fn beside(number: u32) -> String {
    format!("{}.new", segment_path(number))
}
