//! Reading frames: by any task, at any time, only what is durable.
//!
//! Nothing read from the disk is believed before its tag or digest was checked, except what
//! [`Reader::arrival`] gives, which says so.

use super::entry::{AccountHead, Address, Class, FrameInfo};
use super::error::{ReadError, What};
use super::format::{BodyKind, FRAME_HEADER_BYTES, FrameHeader};
use super::large;
use super::table::Shared;
use crate::base::crypto;
use crate::base::disk::DiskFile;
use crate::base::ids::AccountNumber;
use std::io;
use std::sync::Arc;

/// Octets read behind a frame header in the hope that the head is among them: arrival records are
/// padded to multiples of 512 and mostly below 2 KiB.
const HEAD_GUESS_BYTES: u64 = 4096 - FRAME_HEADER_BYTES;

/// What the journal is called and whether it is the original.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Identity {
    /// The journal's random name.
    pub journal: [u8; 16],
    /// The server's random name, that sealed records are bound to. A copy keeps it.
    pub server: [u8; 16],
    /// Raised by one each time the directory is found to be a copy; the first is 1.
    pub incarnation: u32,
    /// Whether it was raised at this open.
    pub copied: bool,
}

/// Reads frames; cheap to clone, usable from any thread. Each call blocks for one or two reads.
#[derive(Clone)]
pub struct Reader(pub(super) Arc<Shared>);

/// A frame that was found: its header, where it stands, and what was read of its payloads already.
struct Found {
    file: Arc<dyn DiskFile>,
    offset: u64,
    header: FrameHeader,
    dead: bool,
    /// The header's octets and what was read behind them.
    read: Vec<u8>,
}

impl Reader {
    /// What the journal is called.
    pub fn identity(&self) -> Identity {
        self.0.identity
    }

    /// What can be known of an account without a key; the default for one without frames.
    pub fn account(&self, account: AccountNumber) -> AccountHead {
        self.0.tables().heads.get(&account).copied().unwrap_or_default()
    }

    /// The same of all accounts that have, or had, frames.
    pub fn accounts(&self) -> Vec<(AccountNumber, AccountHead)> {
        self.0.tables().heads.iter().map(|(account, head)| (*account, *head)).collect()
    }

    /// What the frame's header says. Dead frames have headers too.
    pub fn info(&self, at: Address) -> Result<FrameInfo, ReadError> {
        Ok(self.find(at, 0)?.info())
    }

    /// The frame's head, verified.
    pub fn head(&self, at: Address) -> Result<Vec<u8>, ReadError> {
        Ok(self.info_and_head(at)?.1)
    }

    /// Header and head by one read where the head is small: what a walk back needs.
    pub fn info_and_head(&self, at: Address) -> Result<(FrameInfo, Vec<u8>), ReadError> {
        let found = self.find(at, HEAD_GUESS_BYTES)?;
        let head = found.payload(0, u64::from(found.header.head_bytes))?;
        match crypto::sha256(&[&head]) == found.header.head_sha256 {
            true => Ok((found.info(), head)),
            false => Err(self.damaged(at, What::Head)),
        }
    }

    /// Header, head and the first `prefix_bytes` octets of the body, by one read where they are
    /// small. The payloads are *not* verified by their digests: this is for who opens the head with
    /// an AEAD, which says the same of it.
    pub fn arrival(
        &self,
        at: Address,
        prefix_bytes: usize,
    ) -> Result<(FrameInfo, Vec<u8>, Vec<u8>), ReadError> {
        let found = self.find(at, HEAD_GUESS_BYTES)?;
        let head = found.payload(0, u64::from(found.header.head_bytes))?;
        let bytes = found.header.body_bytes.min(prefix_bytes as u64);
        let prefix = self.body_part(&found, bytes)?;
        Ok((found.info(), head, prefix))
    }

    /// The frame's body, verified; empty if there is none.
    pub fn body(&self, at: Address) -> Result<Vec<u8>, ReadError> {
        let found = self.find(at, 0)?;
        let body = self.body_part(&found, found.header.body_bytes)?;
        match crypto::sha256(&[&body]) == found.header.body_sha256 {
            true => Ok(body),
            false => Err(self.damaged(at, What::Body)),
        }
    }

    /// The newest frame of `account`, of class arrival or account, before `at`: the way on when the
    /// header at `at` is damaged. Slow: reads header after header, backwards.
    pub fn earlier(
        &self,
        account: AccountNumber,
        at: Address,
    ) -> Result<Option<Address>, ReadError> {
        let mut next = self.0.before(at);
        while let Some(candidate) = next {
            match self.info(candidate) {
                Ok(info) if info.account == account && info.class != Class::Tombstone => {
                    return Ok(Some(candidate));
                }
                Ok(_) | Err(ReadError::Damaged(..) | ReadError::Unknown(_)) => {}
                Err(error) => return Err(error),
            }
            next = self.0.before(candidate);
        }
        Ok(None)
    }

    pub(super) fn header(&self, at: Address) -> Result<FrameHeader, ReadError> {
        Ok(self.find(at, 0)?.header)
    }

    /// Where the frame's header stands in its segment; 0 if that is not known.
    pub(super) fn offset(&self, at: Address) -> u64 {
        let tables = self.0.tables();
        let segment = tables.segments.get(&at.segment);
        let offset = segment.and_then(|held| held.offsets.get(at.slot as usize));
        offset.copied().map_or(0, u64::from)
    }

    fn find(&self, at: Address, ahead_bytes: u64) -> Result<Found, ReadError> {
        let (file, offset, data_end, dead) = {
            let tables = self.0.tables();
            let segment = tables.segments.get(&at.segment).ok_or(ReadError::Unknown(at))?;
            let offset = segment.offsets.get(at.slot as usize).ok_or(ReadError::Unknown(at))?;
            let offset = u64::from(*offset);
            (segment.file.clone(), offset, segment.data_end, segment.dead.get(at.slot))
        };
        if offset == 0 || offset + FRAME_HEADER_BYTES > data_end {
            return Err(ReadError::Damaged(at, What::FrameHeader));
        }
        let len = (FRAME_HEADER_BYTES + ahead_bytes).min(data_end - offset);
        let mut bytes = vec![0; len as usize];
        read(&*file, offset, &mut bytes, at, What::FrameHeader)?;
        let header = FrameHeader::decode(&bytes, &self.0.keys).filter(|header| header.at == at);
        let header = header.ok_or(ReadError::Damaged(at, What::FrameHeader))?;
        Ok(Found { file, offset: offset + FRAME_HEADER_BYTES, header, dead, read: bytes })
    }

    /// A frame that died while it was being read is erased, not damaged.
    fn damaged(&self, at: Address, what: What) -> ReadError {
        let tables = self.0.tables();
        match tables.segments.get(&at.segment).is_some_and(|held| held.dead.get(at.slot)) {
            true => ReadError::Erased(at),
            false => ReadError::Damaged(at, what),
        }
    }

    fn body_part(&self, found: &Found, bytes: u64) -> Result<Vec<u8>, ReadError> {
        let at = found.header.at;
        match found.header.body_kind {
            _ if found.dead || !found.header.present => Err(ReadError::Erased(at)),
            BodyKind::None => Ok(Vec::new()),
            BodyKind::Inline => found.payload(u64::from(found.header.head_bytes), bytes),
            BodyKind::Large => large::read(&*self.0.disk, &found.header, bytes),
        }
    }
}

impl std::fmt::Debug for Reader {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Reader")
    }
}

impl Found {
    fn info(&self) -> FrameInfo {
        FrameInfo {
            class: self.header.class,
            account: self.header.account,
            object: self.header.object,
            head_bytes: self.header.head_bytes,
            body_bytes: self.header.body_bytes,
            body_sha256: self.header.body_sha256,
            previous: self.header.previous,
            dead: self.dead,
        }
    }

    /// A part of what follows the header in the segment.
    fn payload(&self, from: u64, len: u64) -> Result<Vec<u8>, ReadError> {
        let at = self.header.at;
        if self.dead || !self.header.present {
            return Err(ReadError::Erased(at));
        }
        let start = (FRAME_HEADER_BYTES + from) as usize;
        if let Some(held) = self.read.get(start..start + len as usize) {
            return Ok(held.to_vec());
        }
        let mut bytes = vec![0; len as usize];
        let what = if from == 0 { What::Head } else { What::Body };
        read(&*self.file, self.offset + from, &mut bytes, at, what)?;
        Ok(bytes)
    }
}

impl Shared {
    /// The address before `at` in the order of appending.
    fn before(&self, at: Address) -> Option<Address> {
        let tables = self.tables();
        if at.slot > 0 && tables.segments.contains_key(&at.segment) {
            return Some(Address { segment: at.segment, slot: at.slot - 1 });
        }
        let mut earlier = tables.segments.range(..at.segment).rev();
        earlier.find(|(_, held)| !held.offsets.is_empty()).map(|(segment, held)| Address {
            segment: *segment,
            slot: held.offsets.len() as u32 - 1,
        })
    }
}

/// Reads, and takes a file that is too short for damage.
fn read(
    file: &dyn DiskFile,
    offset: u64,
    buffer: &mut [u8],
    at: Address,
    what: What,
) -> Result<(), ReadError> {
    file.read_at(offset, buffer).map_err(|error| match error.kind() {
        io::ErrorKind::UnexpectedEof => ReadError::Damaged(at, what),
        kind => ReadError::Io(kind),
    })
}
