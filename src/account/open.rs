//! Opening stored messages, by sessions, away from the machine.

use super::view::{Kind, Row};
use crate::base::secret::SecretBytes;
use crate::journal::{ReadError, Reader};
use crate::store::ArrivalRecord;
use crate::vault::Unlocked;

/// Opens records and bodies of one account's rows. Cheap to clone; needs the witness to be made.
/// Its calls read the disk and compute: call them where blocking is allowed.
#[derive(Clone)]
pub struct Opener {
    unlocked: Unlocked,
    reader: Reader,
}

/// Why a message cannot be shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OpenFailure {
    /// The disk cannot be read now.
    Unavailable,
    /// The frame was erased: the message was expunged by another session.
    Erased,
    /// What stands there is not what was written.
    Damaged,
}

impl From<ReadError> for OpenFailure {
    fn from(error: ReadError) -> Self {
        match error {
            ReadError::Io(_) => OpenFailure::Unavailable,
            ReadError::Erased(_) => OpenFailure::Erased,
            ReadError::Unknown(_) | ReadError::Damaged(..) => OpenFailure::Damaged,
        }
    }
}

impl Opener {
    /// An opener for the account that `unlocked` is the witness of.
    pub fn new(unlocked: Unlocked, reader: Reader) -> Opener {
        Opener { unlocked, reader }
    }

    /// The arrival record: headers, envelope, structure. One read and one symmetric opening. What
    /// was too large for it is left out; [`ArrivalRecord::complete`] derives it from the body.
    pub fn card(&self, row: &Row) -> Result<ArrivalRecord, OpenFailure> {
        let _ = (row, &self.unlocked, &self.reader, Kind::Sealed);
        todo!()
    }

    /// The octets of the message, all verified before the first is given out.
    pub fn body(&self, row: &Row) -> Result<SecretBytes, OpenFailure> {
        let _ = row;
        todo!()
    }
}
