//! Walks a segment from its beginning, without its footer, and finds every batch and frame that can
//! still be told: what recovery, the check and compaction stand on.
//!
//! Headers carry keyed tags, so a header that verifies was written here by this journal. Where none
//! verifies, the walk searches on, octet by octet, for the next one that does; what lies between is
//! a gap. Nothing read here is believed beyond its tag.

use super::format::{
    BATCH_HEADER_BYTES, BATCH_MAGIC, BatchHeader, FRAME_HEADER_BYTES, FRAME_MAGIC, FrameHeader,
    Keys,
};
use super::recover::read_at;
use crate::base::disk::DiskFile;
use std::io;

/// Octets that are read from the disk at once.
const WINDOW_BYTES: usize = 256 << 10;

/// A range of octets in which nothing verifies.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Gap {
    pub start: u64,
    pub end: u64,
}

/// A batch as far as it can be told.
#[derive(Clone, Debug)]
pub(super) struct SeenBatch {
    pub number: u64,
    pub offset: u64,
    /// Behind the last octet that was recognised as its own.
    pub end: u64,
    /// `None`: only frames were recognised.
    pub header: Option<BatchHeader>,
    pub frames: Vec<(u64, FrameHeader)>,
    /// Gaps before it, behind the end of the batch before.
    pub leading: Vec<Gap>,
    /// Gaps inside it.
    pub gaps: Vec<Gap>,
    /// Whether header, frame headers and MAC are all as written and the file is long enough.
    pub whole: bool,
}

impl SeenBatch {
    /// The slots that its header promises and that were not recognised.
    pub fn missing_slots(&self) -> Vec<u32> {
        let Some(header) = &self.header else { return Vec::new() };
        let promised = header.first_slot..header.first_slot.saturating_add(header.frames);
        let seen: Vec<u32> = self.frames.iter().map(|(_, frame)| frame.at.slot).collect();
        promised.filter(|slot| seen.binary_search(slot).is_err()).collect()
    }
}

/// One step of a walk.
enum Piece {
    Batch { offset: u64, header: BatchHeader, encoded: Vec<u8> },
    Frame { offset: u64, header: FrameHeader, encoded: Vec<u8>, complete: bool },
    Gap(Gap),
}

/// The batches of a segment, in order.
pub(super) struct Walk<'a> {
    window: Window<'a>,
    keys: &'a Keys,
    segment: u32,
    at: u64,
    end: u64,
    ahead: Option<Piece>,
    leading: Vec<Gap>,
}

impl<'a> Walk<'a> {
    /// Walks `file`, segment number `segment`, from `start` to `end`.
    pub fn new(file: &'a dyn DiskFile, keys: &'a Keys, segment: u32, start: u64, end: u64) -> Self {
        let window = Window { file, segment, buffer: Vec::new(), start: 0, end };
        Walk { window, keys, segment, at: start, end, ahead: None, leading: Vec::new() }
    }

    /// The next batch, or `None` at the end.
    pub fn next(&mut self) -> io::Result<Option<SeenBatch>> {
        loop {
            match self.piece()? {
                None => return Ok(None),
                Some(Piece::Gap(gap)) => self.leading.push(gap),
                Some(Piece::Batch { offset, header, encoded }) => {
                    return self.batch(offset, header, encoded).map(Some);
                }
                Some(piece @ Piece::Frame { .. }) => return self.loose(piece).map(Some),
            }
        }
    }

    fn batch(&mut self, at: u64, header: BatchHeader, encoded: Vec<u8>) -> io::Result<SeenBatch> {
        let mut seen = SeenBatch {
            number: header.batch,
            offset: at,
            end: self.at,
            frames: Vec::new(),
            leading: std::mem::take(&mut self.leading),
            gaps: Vec::new(),
            whole: true,
            header: None,
        };
        let mut chained = Vec::new();
        while (seen.frames.len() as u32) < header.frames {
            match self.piece()? {
                Some(Piece::Frame { offset, header: frame, encoded, complete })
                    if frame.batch == header.batch =>
                {
                    seen.whole &= complete;
                    seen.end = self.at;
                    chained.extend_from_slice(FrameHeader::chained(&encoded));
                    let last = frame.at.slot.checked_add(1);
                    seen.frames.push((offset, frame));
                    if last == header.first_slot.checked_add(header.frames) {
                        break;
                    }
                }
                Some(Piece::Gap(gap)) => seen.gaps.push(gap),
                other => {
                    self.ahead = other;
                    break;
                }
            }
        }
        let slots = seen.frames.iter().map(|(_, frame)| frame.at.slot);
        seen.whole &= slots.eq(header.first_slot..header.first_slot.saturating_add(header.frames))
            && seen.gaps.is_empty()
            && header.covers(self.keys, &encoded, &chained);
        seen.header = Some(header);
        Ok(seen)
    }

    /// Frames whose batch header is lost.
    fn loose(&mut self, first: Piece) -> io::Result<SeenBatch> {
        let Piece::Frame { offset, header, .. } = first else {
            unreachable!("called with a frame")
        };
        let mut seen = SeenBatch {
            number: header.batch,
            offset,
            end: self.at,
            header: None,
            frames: vec![(offset, header)],
            leading: std::mem::take(&mut self.leading),
            gaps: Vec::new(),
            whole: false,
        };
        loop {
            match self.piece()? {
                Some(Piece::Frame { offset, header, .. }) if header.batch == seen.number => {
                    seen.frames.push((offset, header));
                    seen.end = self.at;
                }
                other => {
                    self.ahead = other;
                    return Ok(seen);
                }
            }
        }
    }

    fn piece(&mut self) -> io::Result<Option<Piece>> {
        if let Some(piece) = self.ahead.take() {
            return Ok(Some(piece));
        }
        if self.at >= self.end {
            return Ok(None);
        }
        if let Some(piece) = self.recognise(self.at)? {
            self.at = match &piece {
                Piece::Batch { offset, .. } => offset + BATCH_HEADER_BYTES,
                Piece::Frame { offset, header, .. } => {
                    (offset + FRAME_HEADER_BYTES).saturating_add(header.payload_bytes())
                }
                Piece::Gap(gap) => gap.end,
            };
            self.at = self.at.min(self.end);
            return Ok(Some(piece));
        }
        let start = self.at;
        self.at = self.search(start + 1)?;
        Ok(Some(Piece::Gap(Gap { start, end: self.at })))
    }

    /// The batch or frame header that begins at `at`, if its tag is right.
    fn recognise(&mut self, at: u64) -> io::Result<Option<Piece>> {
        let (keys, segment, end) = (self.keys, self.segment, self.end);
        let bytes = self.window.get(at, FRAME_HEADER_BYTES as usize)?;
        if bytes.starts_with(&BATCH_MAGIC)
            && let Some(header) = BatchHeader::decode(bytes, keys)
            && header.segment == segment
        {
            let encoded = bytes[..BATCH_HEADER_BYTES as usize].to_vec();
            return Ok(Some(Piece::Batch { offset: at, header, encoded }));
        }
        if bytes.starts_with(&FRAME_MAGIC)
            && let Some(header) = FrameHeader::decode(bytes, keys)
            && header.at.segment == segment
        {
            let encoded = bytes.to_vec();
            let behind = (at + FRAME_HEADER_BYTES).saturating_add(header.payload_bytes());
            return Ok(Some(Piece::Frame { offset: at, header, encoded, complete: behind <= end }));
        }
        Ok(None)
    }

    /// The next place from `from` on where a header is recognised, or the end.
    fn search(&mut self, from: u64) -> io::Result<u64> {
        let mut at = from;
        while at < self.end {
            let bytes = self.window.get(at, WINDOW_BYTES / 2)?;
            let candidate = bytes
                .windows(4)
                .position(|four| four == BATCH_MAGIC.as_slice() || four == FRAME_MAGIC.as_slice());
            let Some(candidate) = candidate else {
                // A magic may begin in the last three octets of what was looked at.
                at += (bytes.len() as u64).saturating_sub(3).max(1);
                continue;
            };
            at += candidate as u64;
            if self.recognise(at)?.is_some() {
                return Ok(at);
            }
            at += 1;
        }
        Ok(self.end)
    }
}

/// Reads a file in large pieces.
struct Window<'a> {
    file: &'a dyn DiskFile,
    segment: u32,
    buffer: Vec<u8>,
    start: u64,
    end: u64,
}

impl Window<'_> {
    /// `len` octets from `at`, or as many as there are before the end.
    fn get(&mut self, at: u64, len: usize) -> io::Result<&[u8]> {
        let len = len.min(self.end.saturating_sub(at) as usize);
        let held = self.start..self.start + self.buffer.len() as u64;
        if !(held.start <= at && at + len as u64 <= held.end) {
            let size = WINDOW_BYTES.min(self.end.saturating_sub(at) as usize);
            self.buffer.resize(size, 0);
            read_at(self.file, self.segment, at, &mut self.buffer)?;
            self.start = at;
        }
        let from = (at - self.start) as usize;
        Ok(&self.buffer[from..from + len])
    }
}
