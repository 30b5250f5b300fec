//! From what stands on the disk to what counts.
//!
//! The rules, in one place:
//! - A segment that is named as predecessor by a valid header, or that ends in a valid footer, is
//!   all durable up to the batch named there; what stands behind was never acknowledged.
//! - In the last segment, all below the highest mark was durable. Behind it, whole batches with
//!   good payloads are the *tail*: perhaps acknowledged, perhaps only in the page cache. They are
//!   carried into a new segment before they are served. What is not whole was never acknowledged:
//!   cut.
//! - A last segment in which nothing shows that its header was ever durable does not count, unless
//!   it repeats a tail whole; its predecessor is then judged as the last one.
//! - Bad octets below a mark are damage: named and stepped over, never cut.

use super::error::{OpenError, What};
use super::format::{
    BATCH_HEADER_BYTES, BatchHeader, BodyKind, FEATURES_KNOWN, FORMAT_VERSION, FRAME_HEADER_BYTES,
    Footer, FrameHeader, Keys, Link, SEGMENT_HEADER_BYTES, SegmentHeader, Summary, TRAILER_BYTES,
};
use super::table::Builder;
use super::walk::{SeenBatch, Walk};
use super::{Cut, Damage};
use crate::base::crypto;
use crate::base::disk::{Disk, DiskFile};
use std::io;
use std::sync::Arc;

/// Octets that a footer's table may have: far above what a segment of 4 GiB needs.
const TABLE_BYTES_MAX: u64 = 256 << 20;

/// Octets by which a place that cannot be read is narrowed down.
const BLOCK_BYTES: usize = 4096;

/// A segment file and its header, where that verifies.
pub(super) struct Opened {
    pub number: u32,
    pub file: Arc<dyn DiskFile>,
    pub len: u64,
    pub header: Option<SegmentHeader>,
}

/// What a segment holds that counts.
pub(super) struct Part {
    pub number: u32,
    pub file: Arc<dyn DiskFile>,
    pub data_end: u64,
    pub offsets: Vec<u32>,
    pub summary: Summary,
    pub dropped_bytes: u64,
    /// Its end and last batch.
    pub link: Link,
    /// `None`: it ends in a good footer. Else what to write into one.
    pub unsealed: Option<Builder>,
}

/// What counts of a journal.
#[derive(Default)]
pub(super) struct Resolved {
    /// By number, rising.
    pub parts: Vec<Part>,
    /// What the next segment continues.
    pub link: Link,
    /// Whole batches that must be carried before they are served, and the file they stand in.
    pub tail: Vec<SeenBatch>,
    pub tail_file: Option<Arc<dyn DiskFile>>,
    /// Segments that do not count; to be removed once a new segment is durable.
    pub void: Vec<u32>,
    /// The last segment ends in a footer.
    pub clean: bool,
    /// Its footer says that nothing was left to be erased.
    pub erases_done: bool,
    pub cuts: Vec<Cut>,
    pub damage: Vec<Damage>,
}

/// Where to stop counting.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Limit {
    /// The last segment: its own marks decide.
    Marks,
    /// All of it, a successor exists.
    All,
    /// Batches up to this number.
    Batch(u64),
}

/// What a walk through a segment found.
pub(super) struct Survey {
    pub builder: Builder,
    /// Where what is durable ends.
    pub durable: u64,
    /// The highest mark in any batch header.
    pub mark: u64,
    pub last_batch: u64,
    pub last_mac: [u8; 32],
    /// What the first batch says about the one before.
    pub first_link: Option<(u64, [u8; 32])>,
    pub tail: Vec<SeenBatch>,
    pub cut: Option<Cut>,
    pub damage: Vec<Damage>,
    /// Every batch that counts, for a check that reads payloads; only if asked for.
    pub batches: Vec<SeenBatch>,
}

/// What stands at a segment's end.
pub(super) enum End {
    NoFooter,
    Damaged,
    Footer(Footer),
}

/// The path of a segment.
pub(super) fn segment_path(number: u32) -> String {
    format!("journal/{number:08}.segment")
}

/// The number in the name of a segment.
pub(super) fn segment_number(name: &str) -> Option<u32> {
    let digits = name.strip_suffix(".segment")?;
    digits.parse().ok().filter(|number| *number > 0 && segment_path(*number).ends_with(name))
}

/// Opens a segment and reads its header.
pub(super) fn open_segment(disk: &dyn Disk, number: u32, keys: &Keys) -> Result<Opened, OpenError> {
    let file = disk.open(&segment_path(number))?;
    let len = file.len()?;
    let header = read_start(&*file, number, len)?;
    let header = SegmentHeader::decode(&header, keys).filter(|header| header.segment == number);
    if let Some(header) = &header {
        if header.version > FORMAT_VERSION {
            return Err(OpenError::NewerFormat(number, header.version));
        }
        if header.features & !FEATURES_KNOWN != 0 {
            let unknown = header.features & !FEATURES_KNOWN;
            return Err(OpenError::UnknownFeatures(number, unknown));
        }
    }
    Ok(Opened { number, file, len, header })
}

/// Reads; an error names the segment and the first block that the disk does not give. What cannot
/// be read may have been acknowledged: it is no damage that may be stepped over, or cut, before
/// somebody has tried to get it back.
pub(super) fn read_at(
    file: &dyn DiskFile,
    segment: u32,
    offset: u64,
    buffer: &mut [u8],
) -> io::Result<()> {
    match file.read_at(offset, buffer) {
        Err(error) if error.kind() != io::ErrorKind::UnexpectedEof => {}
        other => return other,
    }
    for (at, block) in (offset..).step_by(BLOCK_BYTES).zip(buffer.chunks_mut(BLOCK_BYTES)) {
        file.read_at(at, block).map_err(|error| {
            let path = segment_path(segment);
            io::Error::new(error.kind(), format!("{path} cannot be read at octet {at}: {error}"))
        })?;
    }
    Ok(())
}

/// The octets of a segment's header, or as many as there are.
pub(super) fn read_start(file: &dyn DiskFile, segment: u32, len: u64) -> io::Result<Vec<u8>> {
    let mut bytes = vec![0; len.min(SEGMENT_HEADER_BYTES) as usize];
    read_at(file, segment, 0, &mut bytes)?;
    Ok(bytes)
}

/// Reads the footer, if there is one.
pub(super) fn read_end(opened: &Opened, keys: &Keys) -> io::Result<End> {
    let Some(behind) = opened.len.checked_sub(SEGMENT_HEADER_BYTES + TRAILER_BYTES) else {
        return Ok(End::NoFooter);
    };
    let mut trailer = [0; TRAILER_BYTES as usize];
    read_at(&*opened.file, opened.number, opened.len - TRAILER_BYTES, &mut trailer)?;
    let (bytes, begins) = Footer::table_bytes(&trailer);
    if bytes > behind.min(TABLE_BYTES_MAX) {
        return Ok(if begins { End::Damaged } else { End::NoFooter });
    }
    let mut table = vec![0; bytes as usize];
    let start = opened.len - TRAILER_BYTES - bytes;
    read_at(&*opened.file, opened.number, start, &mut table)?;
    let footer = Footer::decode(&table, &trailer, keys);
    let footer = footer.filter(|it| it.segment == opened.number && it.data_end == start);
    Ok(match footer {
        Some(footer) if begins => End::Footer(footer),
        None if !begins => End::NoFooter,
        _ => End::Damaged,
    })
}

/// Decides what counts of the segments `opened`, which rise by number.
pub(super) fn resolve(opened: &[Opened], keys: &Keys) -> io::Result<Resolved> {
    let mut out = Resolved::default();
    let mut below = opened.len();
    let mut expected = None;
    while below > 0 && expected.is_none() {
        below -= 1;
        expected = out.judge_last(&opened[below], keys)?;
    }
    let Some(expected) = expected else { return Ok(out) };
    out.descend(&opened[..below], expected, keys)?;
    out.parts.reverse();
    out.damage.sort();
    out.damage.dedup();
    Ok(out)
}

/// What a segment says about the one before: a limit by its header, or by its first batch.
struct Expected {
    /// Its number, where a header says so; 0 for none.
    segment: Option<u32>,
    batch: Option<(u64, [u8; 32])>,
}

impl Resolved {
    /// Judges a segment as the last one. `None`: it does not count.
    fn judge_last(&mut self, last: &Opened, keys: &Keys) -> io::Result<Option<Expected>> {
        match read_end(last, keys)? {
            End::Footer(footer) => {
                self.clean = true;
                self.erases_done = footer.erases_done;
                let expected = expected_by(last, first_link(last, keys)?);
                self.damaged_header(last);
                self.link = footer_link(&footer);
                self.parts.push(part_of_footer(last, footer));
                return Ok(Some(expected));
            }
            End::Damaged => self.note(last.number, last.len, What::Footer),
            End::NoFooter => {}
        }
        // What a process that died left in the page cache need not be on the device.
        last.file.drop_cache()?;
        let survey = survey(last, keys, Limit::Marks, false)?;
        let expected = expected_by(last, survey.first_link);
        if survey.mark >= SEGMENT_HEADER_BYTES {
            self.damaged_header(last);
            self.accept_last(last, survey);
            return Ok(Some(expected));
        }
        let repeats = last.header.as_ref().is_none_or(|header| header.carried > 0);
        if repeats && !survey.tail.is_empty() {
            let (batch, mac) = survey.first_link.unwrap_or_default();
            let previous = last.header.as_ref().map(|header| header.previous);
            let unknown = Link { batch, mac, ..Link::default() };
            self.link = previous.unwrap_or(unknown);
            self.damaged_header(last);
            self.take_tail(last, survey);
            self.void.push(last.number);
            return Ok(Some(expected));
        }
        if last.len > SEGMENT_HEADER_BYTES {
            let bytes = last.len - SEGMENT_HEADER_BYTES;
            self.cuts.push(Cut { segment: last.number, offset: SEGMENT_HEADER_BYTES, bytes });
        }
        self.void.push(last.number);
        Ok(None)
    }

    fn accept_last(&mut self, last: &Opened, mut survey: Survey) {
        self.damage.append(&mut survey.damage);
        let link = Link {
            segment: last.number,
            end: survey.durable,
            batch: survey.last_batch,
            mac: survey.last_mac,
        };
        self.link = link;
        let builder = std::mem::take(&mut survey.builder);
        self.parts.push(part_of_walk(last, builder, link));
        self.take_tail(last, survey);
    }

    fn take_tail(&mut self, last: &Opened, survey: Survey) {
        self.cuts.extend(survey.cut);
        self.tail = survey.tail;
        self.tail_file = Some(last.file.clone());
    }

    /// Takes the segments below one that counts, down to the first.
    fn descend(
        &mut self,
        mut opened: &[Opened],
        mut expected: Expected,
        keys: &Keys,
    ) -> io::Result<()> {
        while let Some((highest, lower)) = opened.split_last() {
            match expected.segment {
                Some(number) if number < highest.number => {
                    // A valid header says that its predecessor is another one.
                    self.void.push(highest.number);
                    opened = lower;
                    continue;
                }
                Some(number) if number > highest.number => {
                    self.note(number, 0, What::SegmentMissing);
                    expected = Expected { segment: None, batch: None };
                    continue;
                }
                _ => {}
            }
            if self.link.segment == 0 {
                self.link.segment = highest.number;
            }
            expected = self.take_predecessor(highest, &expected, keys)?;
            opened = lower;
        }
        if let Some(number) = expected.segment.filter(|number| *number != 0) {
            self.note(number, 0, What::SegmentMissing);
        }
        Ok(())
    }

    fn take_predecessor(
        &mut self,
        opened: &Opened,
        expected: &Expected,
        keys: &Keys,
    ) -> io::Result<Expected> {
        self.damaged_header(opened);
        match read_end(opened, keys)? {
            End::Footer(footer) => {
                let (batch, mac) = expected.batch.unwrap_or((footer.last_batch, footer.last_mac));
                if (batch, mac) != (footer.last_batch, footer.last_mac) {
                    self.note(opened.number, footer.data_end, What::Chain);
                }
                let next = expected_by(opened, first_link(opened, keys)?);
                self.parts.push(part_of_footer(opened, footer));
                return Ok(next);
            }
            End::Damaged => self.note(opened.number, opened.len, What::Footer),
            End::NoFooter => {}
        }
        opened.file.drop_cache()?;
        let limit = expected.batch.map_or(Limit::All, |(batch, _)| Limit::Batch(batch));
        let mut survey = survey(opened, keys, limit, false)?;
        let reached = (survey.last_batch, survey.last_mac);
        let (batch, mac) = expected.batch.unwrap_or(reached);
        if batch != reached.0 || (mac != reached.1 && survey.damage.is_empty()) {
            self.note(opened.number, survey.durable, What::Chain);
        }
        self.damage.append(&mut survey.damage);
        self.cuts.extend(survey.cut);
        let link = Link { segment: opened.number, end: survey.durable, batch, mac };
        let next = expected_by(opened, survey.first_link);
        self.parts.push(part_of_walk(opened, survey.builder, link));
        Ok(next)
    }

    fn damaged_header(&mut self, opened: &Opened) {
        if opened.header.is_none() {
            self.note(opened.number, 0, What::SegmentHeader);
        }
    }

    fn note(&mut self, segment: u32, offset: u64, what: What) {
        self.damage.push(Damage { segment, offset, slot: None, what });
    }
}

/// Walks a segment and sorts what it finds. With `keep`, the batches that count are returned too.
pub(super) fn survey(opened: &Opened, keys: &Keys, limit: Limit, keep: bool) -> io::Result<Survey> {
    let start = SEGMENT_HEADER_BYTES.min(opened.len);
    let mut walk = Walk::new(&*opened.file, keys, opened.number, start, opened.len);
    let mut sorter = Sorter::new(opened, keep);
    while let Some(batch) = walk.next()? {
        if matches!(limit, Limit::Batch(last) if batch.number > last) {
            break;
        }
        sorter.take(batch, limit);
    }
    sorter.finish(&*opened.file, limit)
}

/// Whether all payloads of a batch are as they were written. Large bodies are not looked at: they
/// were durable before the batch was.
fn payloads_good(file: &dyn DiskFile, batch: &SeenBatch) -> io::Result<bool> {
    for (offset, frame) in &batch.frames {
        if frame.present && !damaged_payloads(file, *offset, frame)?.is_empty() {
            return Ok(false);
        }
    }
    Ok(true)
}

/// Which payloads inside the segment differ from their digests, and whether each is all zeros.
pub(super) fn damaged_payloads(
    file: &dyn DiskFile,
    offset: u64,
    frame: &FrameHeader,
) -> io::Result<Vec<(What, bool)>> {
    let mut bytes = vec![0; frame.payload_bytes() as usize];
    match read_at(file, frame.at.segment, offset + FRAME_HEADER_BYTES, &mut bytes) {
        Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => {
            return Ok(vec![(What::Head, false)]);
        }
        other => other?,
    }
    let (head, body) = bytes.split_at(frame.head_bytes as usize);
    let mut out = Vec::new();
    if crypto::sha256(&[head]) != frame.head_sha256 {
        out.push((What::Head, head.iter().all(|octet| *octet == 0)));
    }
    if frame.body_kind == BodyKind::Inline && crypto::sha256(&[body]) != frame.body_sha256 {
        out.push((What::Body, body.iter().all(|octet| *octet == 0)));
    }
    Ok(out)
}

fn part_of_footer(opened: &Opened, footer: Footer) -> Part {
    Part {
        number: opened.number,
        file: opened.file.clone(),
        data_end: footer.data_end,
        link: footer_link(&footer),
        dropped_bytes: footer.dropped_bytes,
        offsets: footer.offsets,
        summary: footer.summary,
        unsealed: None,
    }
}

fn part_of_walk(opened: &Opened, builder: Builder, link: Link) -> Part {
    Part {
        number: opened.number,
        file: opened.file.clone(),
        data_end: link.end,
        offsets: builder.offsets.clone(),
        summary: builder.summary(),
        dropped_bytes: builder.dropped_bytes,
        link,
        unsealed: Some(builder),
    }
}

fn footer_link(footer: &Footer) -> Link {
    Link {
        segment: footer.segment,
        end: footer.data_end,
        batch: footer.last_batch,
        mac: footer.last_mac,
    }
}

fn expected_by(opened: &Opened, first: Option<(u64, [u8; 32])>) -> Expected {
    match &opened.header {
        Some(header) => Expected {
            segment: Some(header.previous.segment),
            batch: Some((header.previous.batch, header.previous.mac)),
        },
        None => Expected { segment: None, batch: first },
    }
}

/// What a segment's first batch says about the one before, if it can be read.
fn first_link(opened: &Opened, keys: &Keys) -> io::Result<Option<(u64, [u8; 32])>> {
    if opened.header.is_some() || opened.len < SEGMENT_HEADER_BYTES + BATCH_HEADER_BYTES {
        return Ok(None);
    }
    let mut bytes = vec![0; BATCH_HEADER_BYTES as usize];
    read_at(&*opened.file, opened.number, SEGMENT_HEADER_BYTES, &mut bytes)?;
    let first = BatchHeader::decode(&bytes, keys);
    Ok(first.map(|header| (header.previous_batch, header.previous_mac)))
}

/// Sorts batches into what is durable and what may be a tail.
struct Sorter {
    out: Survey,
    segment: u32,
    len: u64,
    /// The MAC and number of the batch before, where known.
    chain: Option<(u64, [u8; 32])>,
    pending: Vec<SeenBatch>,
    keep: bool,
}

impl Sorter {
    fn new(opened: &Opened, keep: bool) -> Self {
        let previous = opened.header.as_ref().map(|header| header.previous);
        let start = SEGMENT_HEADER_BYTES.min(opened.len);
        Sorter {
            segment: opened.number,
            len: opened.len,
            chain: previous.map(|link| (link.batch, link.mac)),
            pending: Vec::new(),
            keep,
            out: Survey {
                builder: Builder::default(),
                durable: start,
                mark: 0,
                last_batch: previous.map_or(0, |link| link.batch),
                last_mac: previous.map_or([0; 32], |link| link.mac),
                first_link: None,
                tail: Vec::new(),
                cut: None,
                damage: Vec::new(),
                batches: Vec::new(),
            },
        }
    }

    fn take(&mut self, batch: SeenBatch, limit: Limit) {
        if let Some(header) = &batch.header {
            if self.out.first_link.is_none() {
                self.out.first_link = Some((header.previous_batch, header.previous_mac));
            }
            self.out.mark = self.out.mark.max(header.durable_below.min(batch.offset));
        }
        self.pending.push(batch);
        let durable = match limit {
            Limit::Marks => self.out.mark,
            Limit::All | Limit::Batch(_) => u64::MAX,
        };
        let split = self.pending.iter().position(|batch| batch.offset >= durable);
        let rest = split.map_or(Vec::new(), |at| self.pending.split_off(at));
        for batch in std::mem::replace(&mut self.pending, rest) {
            self.accept(batch);
        }
    }

    /// Takes a batch that is durable, and names what of it is damaged.
    fn accept(&mut self, batch: SeenBatch) {
        self.name_damage(&batch);
        self.chain = batch.header.as_ref().map(|header| (header.batch, header.mac));
        self.out.last_batch = batch.number;
        self.out.last_mac = self.chain.map_or(self.out.last_mac, |(_, mac)| mac);
        for (offset, frame) in &batch.frames {
            if !self.out.builder.add(*offset, frame) {
                self.note(*offset, Some(frame.at.slot), What::Chain);
            }
        }
        // Damage at a batch's end still belongs to it: what is written next must not cover it.
        let behind_gaps = batch.gaps.last().map_or(0, |gap| gap.end);
        self.out.durable = batch.end.max(behind_gaps);
        if self.keep {
            self.out.batches.push(batch);
        }
    }

    fn name_damage(&mut self, batch: &SeenBatch) {
        let mut leading = batch.leading.iter();
        if let Some(header) = &batch.header {
            let continues = self
                .chain
                .is_none_or(|before| before == (header.previous_batch, header.previous_mac));
            if !continues && batch.leading.is_empty() {
                self.note(batch.offset, None, What::Chain);
            }
        } else {
            let at = leading.next_back().map_or(batch.offset, |gap| gap.start);
            self.note(at, None, What::BatchHeader);
        }
        leading.for_each(|gap| self.note(gap.start, None, What::Gap));
        let missing = batch.missing_slots();
        for slot in &missing {
            let at = batch.gaps.first().map_or(batch.end, |gap| gap.start);
            self.note(at, Some(*slot), What::FrameHeader);
        }
        if batch.header.is_some() && !batch.whole && missing.is_empty() {
            self.note(batch.offset, None, What::BatchHeader);
        }
    }

    fn finish(mut self, file: &dyn DiskFile, limit: Limit) -> io::Result<Survey> {
        if limit == Limit::Marks {
            self.out.durable = self.out.durable.max(self.out.mark);
            self.link_to_tail();
        }
        let mut end = self.out.durable;
        for batch in std::mem::take(&mut self.pending) {
            if batch.offset != end || !batch.whole || !payloads_good(file, &batch)? {
                break;
            }
            end = batch.end;
            self.out.tail.push(batch);
        }
        if end < self.len {
            let bytes = self.len - end;
            self.out.cut = Some(Cut { segment: self.segment, offset: end, bytes });
        }
        Ok(self.out)
    }

    /// The batch at the mark says which batch is the last below it, and whether that one was found.
    fn link_to_tail(&mut self) {
        let mark = self.out.mark;
        let at_mark = self.pending.first().filter(|batch| batch.offset == mark);
        let Some(header) = at_mark.and_then(|batch| batch.header.clone()) else { return };
        let gap = self.pending[0].leading.first().copied();
        let told = (header.previous_batch, header.previous_mac);
        match gap {
            Some(gap) => self.note(gap.start, None, What::Gap),
            None if self.chain.is_some_and(|chain| chain != told) => {
                self.note(mark, None, What::Chain);
            }
            None => {}
        }
        (self.out.last_batch, self.out.last_mac) = told;
    }

    fn note(&mut self, offset: u64, slot: Option<u32>, what: What) {
        self.out.damage.push(Damage { segment: self.segment, offset, slot, what });
    }
}
