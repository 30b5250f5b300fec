//! Appending: one write and one sync for a group, and what happens when either fails.
//!
//! The order is: write, sync, publish to readers, reply. Nothing is visible before it is durable.
//! - A write without space is cut back to the group's start; the segment goes on.
//! - A failed sync poisons the segment: what it holds behind the last good sync is never synced
//!   again (Linux would say OK over lost octets), and the next group goes to a new segment whose
//!   header was written and synced first.

use super::entry::{
    Address, Body, Class, Entry, HEAD_BYTES_MAX, INLINE_BODY_BYTES_MAX, TOMBSTONE_ADDRESSES_MAX,
};
use super::error::AppendError;
use super::format::{
    self, BATCH_HEADER_BYTES, BatchHeader, BodyKind, FORMAT_VERSION, FRAME_HEADER_BYTES, Footer,
    FrameHeader, Link, Mac, SEGMENT_HEADER_BYTES, SegmentHeader,
};
use super::large::LargeBody;
use super::reader::Reader;
use super::recover::{read_at, segment_path};
use super::table::{Builder, Segment, Shared};
use super::{Journal, SEGMENTS_MAX};
use crate::base::crypto;
use crate::base::disk::DiskFile;
use crate::base::ids::{AccountNumber, ObjectId};
use std::borrow::Cow;
use std::collections::{HashMap, HashSet};
use std::io;
use std::sync::Arc;

/// Octets of one group, and so of one batch of entries: what one sync may take, and what the writer
/// holds in memory beside the entries themselves.
pub const GROUP_BYTES_MAX: u64 = 16 << 20;
/// Octets of the group buffer that are kept between groups.
const BUFFER_KEPT_BYTES: usize = 1 << 20;

/// The segment that is appended to.
pub(super) struct Active {
    pub number: u32,
    epoch: u32,
    pub file: Arc<dyn DiskFile>,
    /// Where the next batch goes: behind the durable end, and behind a mark not yet synced.
    offset: u64,
    /// Where what is durable ends.
    pub link: Link,
    /// The last batch written, a mark included.
    chain: (u64, Mac),
    pub builder: Builder,
}

/// A frame as it is about to be written.
pub(super) struct NewFrame<'a> {
    class: Class,
    account: AccountNumber,
    object: ObjectId,
    head: Cow<'a, [u8]>,
    body: NewBody<'a>,
    /// What a tombstone frees.
    dead: Vec<(Address, u64)>,
}

enum NewBody<'a> {
    None,
    Inline(Cow<'a, [u8]>),
    Large(LargeBody),
}

/// A batch that was checked.
struct Prepared<'a> {
    frames: Vec<NewFrame<'a>>,
    bytes: u64,
    /// It may be written from the reserve.
    is_urgent: bool,
}

/// A group as it stands in the buffer.
struct Encoded {
    frames: Vec<(u64, FrameHeader)>,
    dead: Vec<(AccountNumber, Address, u64)>,
    chain: (u64, Mac),
}

type Outcome = Result<Vec<Address>, AppendError>;

impl Journal {
    /// Appends `batches`, each whole or not at all, with one write and one sync for as many as fit
    /// into a group. When this returns `Ok` for a batch, it is durable and readable; the addresses
    /// are those of its entries, in order: consecutive slots of one segment.
    pub fn append(&mut self, batches: &[Vec<Entry>]) -> Vec<Outcome> {
        self.reserve.restore(&*self.shared.disk);
        let reader = self.reader();
        let mut out = vec![Err(AppendError::Failed); batches.len()];
        let (mut group, mut bytes) = (Vec::new(), 0);
        for (index, batch) in batches.iter().enumerate() {
            let prepared = match self.prepare(&reader, batch) {
                Ok(prepared) => prepared,
                Err(error) => {
                    out[index] = Err(error);
                    continue;
                }
            };
            if bytes + prepared.bytes > GROUP_BYTES_MAX {
                self.write_group(std::mem::take(&mut group), &mut out);
                bytes = 0;
            }
            bytes += prepared.bytes;
            group.push((index, prepared));
        }
        self.write_group(group, &mut out);
        self.buffer.shrink_to(BUFFER_KEPT_BYTES);
        out
    }

    /// Adds a mark behind the last batch, without a sync: should that batch be damaged later, it
    /// will be known to have been durable. For when there is nothing else to do.
    pub fn mark(&mut self) {
        let Some(active) = &mut self.active else { return };
        if active.offset != active.link.end || active.offset == SEGMENT_HEADER_BYTES {
            return;
        }
        let encoded = active.encode(&self.shared, &[], self.next_batch, &mut self.buffer);
        self.next_batch += 1;
        match active.file.write_at(active.offset, &self.buffer) {
            Ok(()) => {
                active.offset += self.buffer.len() as u64;
                active.chain = encoded.chain;
            }
            Err(error) => {
                self.write_failed(error);
            }
        }
    }

    /// Writes a footer behind what is durable of a segment.
    pub(super) fn write_footer(
        &self,
        number: u32,
        link: Link,
        builder: &Builder,
        erases_done: bool,
    ) -> io::Result<()> {
        let file = {
            let tables = self.shared.tables();
            let segment = tables.segments.get(&number).ok_or(io::ErrorKind::NotFound)?;
            segment.file.clone()
        };
        let footer = Footer {
            segment: number,
            epoch: self.next_epoch,
            data_end: link.end,
            last_batch: link.batch,
            last_mac: link.mac,
            dropped_bytes: builder.dropped_bytes,
            erases_done,
            offsets: builder.offsets.clone(),
            summary: builder.summary(),
        };
        file.set_len(link.end)?;
        let written = file
            .write_at(link.end, &footer.encode(&self.shared.keys))
            .and_then(|()| file.sync_data());
        match written {
            Ok(()) => self.mark_sealed(number),
            // Without a footer the segment is walked at the next open; a torn one says so.
            Err(_) => drop(file.set_len(link.end)),
        }
        written
    }

    fn mark_sealed(&self, number: u32) {
        if let Some(segment) = self.shared.tables_mut().segments.get_mut(&number) {
            segment.sealed = true;
        }
    }

    /// Carries frames of an unmarked tail, which stand in `file`, into a new segment.
    pub(super) fn begin_with_tail(
        &mut self,
        file: &dyn DiskFile,
        frames: Vec<(u64, FrameHeader)>,
    ) -> io::Result<()> {
        let carried: Vec<NewFrame> = frames
            .iter()
            .map(|(at, frame)| read_frame(file, *at, frame))
            .collect::<Result<_, _>>()?;
        self.begin_segment(&carried)
    }

    fn prepare<'a>(
        &self,
        reader: &Reader,
        batch: &'a [Entry],
    ) -> Result<Prepared<'a>, AppendError> {
        let is_urgent = batch.iter().all(|entry| entry.class != Class::Arrival);
        if self.reserve.is_spent() && !is_urgent {
            return Err(AppendError::Full);
        }
        let frames: Vec<NewFrame> =
            batch.iter().map(|entry| new_frame(reader, entry)).collect::<Result<_, _>>()?;
        let bytes = frames.iter().map(NewFrame::bytes).sum();
        if bytes > GROUP_BYTES_MAX - BATCH_HEADER_BYTES {
            return Err(AppendError::TooLarge);
        }
        Ok(Prepared { frames, bytes, is_urgent })
    }

    fn write_group(&mut self, group: Vec<(usize, Prepared)>, out: &mut [Outcome]) {
        let written = self.write_durably(&group);
        if written != Err(AppendError::Full) || !self.reserve.give_up(&*self.shared.disk) {
            settle(&group, written, out);
            return;
        }
        let (urgent, others): (Vec<_>, Vec<_>) =
            group.into_iter().partition(|(_, prepared)| prepared.is_urgent);
        settle(&others, Err(AppendError::Full), out);
        let written = self.write_durably(&urgent);
        settle(&urgent, written, out);
    }

    /// Writes and syncs a group; then, and only then, publishes it.
    fn write_durably(&mut self, group: &[(usize, Prepared)]) -> Result<Vec<Address>, AppendError> {
        let frames: Vec<&NewFrame> =
            group.iter().flat_map(|(_, prepared)| &prepared.frames).collect();
        if frames.is_empty() {
            return Ok(Vec::new());
        }
        let bytes = frames.iter().map(|frame| frame.bytes()).sum::<u64>() + BATCH_HEADER_BYTES;
        let active = self.ensure_segment(bytes).map_err(|error| append_error(&error))?;
        let encoded = active.encode(&self.shared, &frames, self.next_batch, &mut self.buffer);
        self.next_batch += 1;
        if let Err(error) = active.file.write_at(active.offset, &self.buffer) {
            self.active = Some(active);
            return Err(self.write_failed(error));
        }
        if let Err(error) = active.file.sync_data() {
            self.poison(active);
            return Err(append_error(&error));
        }
        Ok(self.publish(active, encoded))
    }

    /// The active segment, or a new one if it has no room for `bytes` or there is none.
    fn ensure_segment(&mut self, bytes: u64) -> io::Result<Active> {
        let limit = self.options.segment_bytes_max.min(u64::from(u32::MAX) / 2);
        let is_full = |active: &mut Active| {
            active.offset + bytes > limit && active.link.end > SEGMENT_HEADER_BYTES
        };
        if let Some(full) = self.active.take_if(is_full) {
            self.link = full.link;
            // What it holds is durable; without its footer the next open is slower, no more.
            let _ = self.write_footer(full.number, full.link, &full.builder, false);
        }
        if self.active.is_none() {
            self.begin_segment(&[])?;
        }
        self.active.take().ok_or(io::ErrorKind::NotFound.into())
    }

    /// Begins a segment, with `carried` as its first batch. It is durable, and so proven, when this
    /// returns.
    fn begin_segment(&mut self, carried: &[NewFrame]) -> io::Result<()> {
        if self.shared.tables().segments.len() >= SEGMENTS_MAX {
            return Err(io::ErrorKind::StorageFull.into());
        }
        let (number, epoch) = (self.next_number, self.next_epoch);
        self.next_number += 1;
        self.next_epoch += 1;
        let path = segment_path(number);
        let file = self.shared.disk.create(&path)?;
        let active = Active::new(number, epoch, file, self.link, carried.is_empty());
        let mut bytes = self.segment_header(&active, carried.len() as u32);
        let mut encoded = None;
        if !carried.is_empty() {
            let frames: Vec<&NewFrame> = carried.iter().collect();
            let batch = self.next_batch;
            self.next_batch += 1;
            encoded = Some(active.encode(&self.shared, &frames, batch, &mut self.buffer));
            bytes.extend_from_slice(&self.buffer);
        }
        let disk = self.shared.disk.clone();
        let proven = active
            .file
            .write_at(0, &bytes)
            .and_then(|()| active.file.sync_data())
            .and_then(|()| disk.sync_dir("journal"));
        if let Err(error) = proven {
            // Should it come back after a crash: nothing shows that it counts.
            let _ = disk.remove(&path);
            return Err(error);
        }
        let segment = Segment::new(active.file.clone(), SEGMENT_HEADER_BYTES, Vec::new());
        self.shared.tables_mut().segments.insert(number, segment);
        match encoded {
            Some(encoded) => drop(self.publish(active, encoded)),
            None => self.active = Some(active),
        }
        for void in std::mem::take(&mut self.found.void) {
            // It is void by the new segment's header, whether or not its name is gone.
            let _ = disk.remove(&segment_path(void));
        }
        Ok(())
    }

    fn segment_header(&self, active: &Active, carried: u32) -> Vec<u8> {
        let identity = self.shared.identity;
        let header = SegmentHeader {
            version: FORMAT_VERSION,
            features: 0,
            journal: identity.journal,
            server: identity.server,
            segment: active.number,
            epoch: active.epoch,
            incarnation: identity.incarnation,
            carried,
            previous: self.link,
        };
        header.encode(&self.shared.keys)
    }

    /// Cuts back to the group's start, so that the segment can go on; else gives the segment up.
    fn write_failed(&mut self, error: io::Error) -> AppendError {
        if let Some(active) = self.active.take() {
            let is_full = error.kind() == io::ErrorKind::StorageFull;
            match is_full && active.file.set_len(active.offset).is_ok() {
                true => self.active = Some(active),
                false => self.poison(active),
            }
        }
        append_error(&error)
    }

    /// Gives a segment up behind its last good sync, and never syncs it again.
    fn poison(&mut self, active: Active) {
        self.link = active.link;
        // Only to spare the next open a look at what failed; the next segment's header decides.
        let _ = active.file.set_len(active.link.end);
    }

    /// Shows readers what has just become durable.
    fn publish(&mut self, mut active: Active, encoded: Encoded) -> Vec<Address> {
        active.accept(&encoded, self.buffer.len() as u64);
        let mut tables = self.shared.tables_mut();
        if let Some(segment) = tables.segments.get_mut(&active.number) {
            segment.data_end = active.link.end;
            segment.offsets.extend(encoded.frames.iter().map(|(offset, _)| *offset as u32));
        }
        encoded.frames.iter().for_each(|(_, frame)| tables.note(frame));
        for (account, at, bytes) in &encoded.dead {
            if tables.kill(*at, *bytes) {
                tables.release(*account, *bytes);
            }
        }
        drop(tables);
        self.active = Some(active);
        encoded.frames.iter().map(|(_, frame)| frame.at).collect()
    }
}

impl Active {
    fn new(
        number: u32,
        epoch: u32,
        file: Arc<dyn DiskFile>,
        previous: Link,
        is_header_proven_first: bool,
    ) -> Self {
        // With carried frames the header is not durable before them, so nothing below is marked.
        let end = if is_header_proven_first { SEGMENT_HEADER_BYTES } else { 0 };
        Active {
            number,
            epoch,
            file,
            offset: SEGMENT_HEADER_BYTES,
            link: Link { segment: number, end, batch: previous.batch, mac: previous.mac },
            chain: (previous.batch, previous.mac),
            builder: Builder::default(),
        }
    }

    /// Encodes a batch of `frames` as it will stand at the segment's end.
    fn encode(
        &self,
        shared: &Shared,
        frames: &[&NewFrame],
        batch: u64,
        buffer: &mut Vec<u8>,
    ) -> Encoded {
        let first_slot = self.builder.offsets.len() as u32;
        let mut newest: HashMap<AccountNumber, Option<Address>> = HashMap::new();
        let mut encoded = Encoded {
            frames: Vec::with_capacity(frames.len()),
            dead: Vec::new(),
            chain: self.chain,
        };
        let mut chained = Vec::new();
        buffer.clear();
        buffer.resize(BATCH_HEADER_BYTES as usize, 0);
        for (slot, frame) in (first_slot..).zip(frames) {
            let at = Address { segment: self.number, slot };
            let head_of = || shared.tables().heads.get(&frame.account).and_then(|head| head.last);
            let last = newest.entry(frame.account).or_insert_with(head_of);
            let header = frame.header(at, self.epoch, batch, *last);
            if frame.class != Class::Tombstone {
                *last = Some(at);
            }
            let octets = header.encode(&shared.keys);
            chained.extend_from_slice(FrameHeader::chained(&octets));
            encoded.frames.push((self.offset + buffer.len() as u64, header));
            buffer.extend_from_slice(&octets);
            frame.put_payloads(buffer);
            let dead = frame.dead.iter().map(|(at, bytes)| (frame.account, *at, *bytes));
            encoded.dead.extend(dead);
        }
        let mut header = BatchHeader {
            segment: self.number,
            epoch: self.epoch,
            frames: frames.len() as u32,
            batch,
            durable_below: self.link.end,
            bytes: buffer.len() as u64,
            first_slot,
            previous_batch: self.chain.0,
            previous_mac: self.chain.1,
            mac: [0; 32],
        };
        let octets = header.encode(&shared.keys, &chained);
        buffer[..BATCH_HEADER_BYTES as usize].copy_from_slice(&octets);
        encoded.chain = (batch, header.mac);
        encoded
    }

    /// Takes a batch of `bytes` octets as durable.
    fn accept(&mut self, encoded: &Encoded, bytes: u64) {
        self.offset += bytes;
        self.chain = encoded.chain;
        let (batch, mac) = encoded.chain;
        self.link = Link { segment: self.number, end: self.offset, batch, mac };
        for (offset, frame) in &encoded.frames {
            self.builder.add(*offset, frame);
        }
    }
}

impl NewFrame<'_> {
    fn bytes(&self) -> u64 {
        let body = match &self.body {
            NewBody::Inline(body) => body.len(),
            NewBody::None | NewBody::Large(_) => 0,
        };
        FRAME_HEADER_BYTES + (self.head.len() + body) as u64
    }

    fn header(
        &self,
        at: Address,
        epoch: u32,
        batch: u64,
        previous: Option<Address>,
    ) -> FrameHeader {
        let (body_kind, body_bytes, body_sha256) = match &self.body {
            NewBody::None => (BodyKind::None, 0, crypto::sha256(&[])),
            NewBody::Inline(body) => (BodyKind::Inline, body.len() as u64, crypto::sha256(&[body])),
            NewBody::Large(large) => (BodyKind::Large, large.bytes, large.sha256),
        };
        FrameHeader {
            at,
            epoch,
            batch,
            class: self.class,
            body_kind,
            account: self.account,
            object: self.object,
            previous: previous.filter(|_| self.class != Class::Tombstone),
            head_bytes: self.head.len() as u32,
            body_bytes,
            head_sha256: crypto::sha256(&[&self.head]),
            body_sha256,
            present: true,
        }
    }

    fn put_payloads(&self, buffer: &mut Vec<u8>) {
        buffer.extend_from_slice(&self.head);
        if let NewBody::Inline(body) = &self.body {
            buffer.extend_from_slice(body);
        }
    }
}

/// Checks an entry against its limits.
fn new_frame<'a>(reader: &Reader, entry: &'a Entry) -> Result<NewFrame<'a>, AppendError> {
    let body = match &entry.body {
        Body::None => NewBody::None,
        Body::Inline(body) if body.len() > INLINE_BODY_BYTES_MAX => {
            return Err(AppendError::TooLarge);
        }
        Body::Inline(body) => NewBody::Inline(Cow::Borrowed(body)),
        Body::Large(large) if large.object != entry.object => return Err(AppendError::Malformed),
        Body::Large(large) => NewBody::Large(*large),
    };
    if entry.head.len() > HEAD_BYTES_MAX {
        return Err(AppendError::TooLarge);
    }
    let (head, dead) = match entry.class {
        Class::Tombstone => {
            let dead = what_dies(reader, entry)?;
            (Cow::Owned(format::encode_dead(&dead)), dead)
        }
        Class::Arrival | Class::Account => (Cow::Borrowed(&entry.head[..]), Vec::new()),
    };
    Ok(NewFrame {
        class: entry.class,
        account: entry.account,
        object: entry.object,
        head,
        body,
        dead,
    })
}

/// The frames that a tombstone names and that are not dead yet, with the octets they free.
fn what_dies(reader: &Reader, entry: &Entry) -> Result<Vec<(Address, u64)>, AppendError> {
    let addresses = format::decode_addresses(&entry.head).ok_or(AppendError::Malformed)?;
    if addresses.len() > TOMBSTONE_ADDRESSES_MAX {
        return Err(AppendError::TooLarge);
    }
    let mut seen = HashSet::new();
    let mut dead = Vec::with_capacity(addresses.len());
    for at in addresses.into_iter().filter(|at| seen.insert(*at)) {
        match reader.info(at) {
            Ok(info) if info.account != entry.account || info.class == Class::Tombstone => {
                return Err(AppendError::NotYours(at));
            }
            Ok(info) if info.dead => {}
            Ok(info) => dead.push((at, u64::from(info.head_bytes) + info.body_bytes)),
            // A frame whose header is damaged cannot be told to be anybody's; it stays.
            Err(super::ReadError::Damaged(..)) => {}
            Err(super::ReadError::Io(_)) => return Err(AppendError::Failed),
            Err(_) => return Err(AppendError::NotYours(at)),
        }
    }
    Ok(dead)
}

/// A frame of a tail, as it is to be written again.
fn read_frame(
    file: &dyn DiskFile,
    offset: u64,
    frame: &FrameHeader,
) -> io::Result<NewFrame<'static>> {
    let mut head = vec![0; frame.payload_bytes() as usize];
    read_at(file, frame.at.segment, offset + FRAME_HEADER_BYTES, &mut head)?;
    let inline = head.split_off(frame.head_bytes as usize);
    let body = match frame.body_kind {
        BodyKind::None => NewBody::None,
        BodyKind::Inline => NewBody::Inline(Cow::Owned(inline)),
        BodyKind::Large => NewBody::Large(LargeBody {
            object: frame.object,
            bytes: frame.body_bytes,
            sha256: frame.body_sha256,
        }),
    };
    let dead = match frame.class {
        Class::Tombstone => format::decode_dead(&head).unwrap_or_default(),
        Class::Arrival | Class::Account => Vec::new(),
    };
    let (class, account, object) = (frame.class, frame.account, frame.object);
    Ok(NewFrame { class, account, object, head: Cow::Owned(head), body, dead })
}

/// Hands each batch of a group its part of the outcome.
fn settle(group: &[(usize, Prepared)], written: Outcome, out: &mut [Outcome]) {
    let mut from = 0;
    for (index, prepared) in group {
        let to = from + prepared.frames.len();
        out[*index] = match &written {
            Ok(addresses) => Ok(addresses[from..to].to_vec()),
            Err(error) => Err(*error),
        };
        from = to;
    }
}

fn append_error(error: &io::Error) -> AppendError {
    match error.kind() {
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => AppendError::Full,
        _ => AppendError::Failed,
    }
}
