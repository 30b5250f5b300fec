//! What can go wrong, as the callers must tell it apart.

use super::entry::Address;
use std::fmt;
use std::io;

/// Why a batch was not appended. Nothing of it will be seen by anyone in this process.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AppendError {
    /// No space. The sender may try again later (452, `NO [UNAVAILABLE]`).
    Full,
    /// The disk failed. Whether the batch survives a restart is unknown (451, `NO [UNAVAILABLE]`).
    Failed,
    /// An entry is larger than its limit, or a batch is.
    TooLarge,
    /// A large body belongs to another object, or a tombstone's list cannot be read.
    Malformed,
    /// A tombstone names a frame that does not exist or belongs to another account.
    NotYours(Address),
    /// The journal was closed.
    Closed,
}

/// Why a frame could not be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ReadError {
    /// There is no such frame.
    Unknown(Address),
    /// It was erased after a tombstone.
    Erased(Address),
    /// Its octets are not those that were written. Other frames are not concerned.
    Damaged(Address, What),
    /// The disk failed.
    Io(io::ErrorKind),
}

/// What of a segment is not as it was written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum What {
    /// The segment's header.
    SegmentHeader,
    /// A batch's header, or what its MAC covers.
    BatchHeader,
    /// A frame's header: the frame cannot be read.
    FrameHeader,
    /// A frame's head.
    Head,
    /// A frame's body.
    Body,
    /// A body's own file is missing or has another length.
    LargeFile,
    /// Zeros where no tombstone allows them.
    ZerosWithoutTombstone,
    /// A payload was dropped by compaction, and no tombstone names it.
    DroppedWithoutTombstone,
    /// The MAC chain does not continue: something was cut out, put in, repeated or swapped.
    Chain,
    /// The table at a sealed segment's end; what it says is found again by walking.
    Footer,
    /// A segment that its successor names is not there.
    SegmentMissing,
    /// The file that tells the journal from a copy of it.
    Identity,
    /// Octets that belong to nothing.
    Gap,
    /// Its last batch is one before the last clean stop: what came after it has been taken away.
    Shortened,
}

/// Why a journal could not be opened.
#[derive(Debug)]
pub enum OpenError {
    /// The disk failed.
    Io(io::Error),
    /// The journal was written under another key, or not by Postseal.
    WrongKey,
    /// A segment was written by a newer version: its number, its format version.
    NewerFormat(u32, u32),
    /// A segment uses features that this version does not know: its number, the unknown bits.
    UnknownFeatures(u32, u32),
    /// More segments than [`super::SEGMENTS_MAX`].
    TooManySegments,
}

impl From<io::Error> for OpenError {
    fn from(error: io::Error) -> Self {
        OpenError::Io(error)
    }
}

impl fmt::Display for AppendError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            AppendError::Full => write!(f, "no space left for the journal"),
            AppendError::Failed => write!(f, "the disk failed under the journal"),
            AppendError::TooLarge => write!(f, "an entry is larger than the journal takes"),
            AppendError::Malformed => write!(f, "an entry contradicts itself"),
            AppendError::NotYours(at) => write!(f, "a tombstone may not name frame {at}"),
            AppendError::Closed => write!(f, "the journal is closed"),
        }
    }
}

impl fmt::Display for ReadError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            ReadError::Unknown(at) => write!(f, "the journal has no frame {at}"),
            ReadError::Erased(at) => write!(f, "frame {at} was erased"),
            ReadError::Damaged(at, what) => write!(f, "frame {at} is damaged: {what}"),
            ReadError::Io(kind) => write!(f, "the journal could not be read: {kind}"),
        }
    }
}

impl fmt::Display for OpenError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            OpenError::Io(error) => write!(f, "the journal could not be opened: {error}"),
            OpenError::WrongKey => {
                write!(f, "the journal was not written under this journal key")
            }
            OpenError::NewerFormat(segment, version) => write!(
                f,
                "segment {segment} has format {version}; this version of Postseal reads up to {}",
                super::format::FORMAT_VERSION
            ),
            OpenError::UnknownFeatures(segment, bits) => write!(
                f,
                "segment {segment} needs features (bits {bits:#x}) that this version does not know"
            ),
            OpenError::TooManySegments => {
                write!(f, "the journal has more than {} segments", super::SEGMENTS_MAX)
            }
        }
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.segment, self.slot)
    }
}

impl fmt::Display for What {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            What::SegmentHeader => "the segment header differs from what was written",
            What::BatchHeader => "a batch header differs from what was written",
            What::FrameHeader => "the frame header differs from what was written",
            What::Head => "the head differs from what was written",
            What::Body => "the body differs from what was written",
            What::LargeFile => "the body's own file is missing or has another length",
            What::ZerosWithoutTombstone => "zeros although no tombstone names the frame",
            What::DroppedWithoutTombstone => "dropped although no tombstone names the frame",
            What::Chain => "the chain of batches does not continue here",
            What::Footer => "the table at the segment's end differs from what was written",
            What::SegmentMissing => "the segment is missing",
            What::Identity => "the identity file differs from what was written",
            What::Gap => "octets that belong to nothing",
            What::Shortened => "it ends before where it stood when the server was stopped",
        })
    }
}

impl std::error::Error for AppendError {}
impl std::error::Error for ReadError {}
impl std::error::Error for OpenError {}
