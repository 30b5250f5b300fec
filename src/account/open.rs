//! Opening stored messages, by sessions, away from the machine.

use super::record::Place;
use super::view::{Kind, Row};
use crate::base::secret::SecretBytes;
use crate::journal::{Address, ReadError, Reader};
use crate::mail::analyse;
use crate::pgp::{self, PKESK_PREFIX_BYTES, SessionKey};
use crate::store::{ArrivalRecord, Role, open_record};
use crate::vault::Unlocked;

/// Opens records and bodies of one account's rows. Cheap to clone; needs the witness to be made,
/// and then only what the rows hold. Its calls read the disk and compute: call them where blocking
/// is allowed.
#[derive(Clone)]
pub struct Opener {
    place: Place,
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
        let place = Place::new(reader.identity(), unlocked.account());
        Opener { place, reader }
    }

    /// The arrival record: headers, envelope, structure. One read and one symmetric opening. What
    /// was too large for it is left out; [`ArrivalRecord::complete`] derives it from the body.
    pub fn card(&self, row: &Row) -> Result<ArrivalRecord, OpenFailure> {
        if row.kind == Kind::Placeholder {
            return placeholder_card(row);
        }
        let (info, head, prefix) = self.reader.arrival(row.frame, PKESK_PREFIX_BYTES)?;
        let subkey = pgp::recipient(&prefix).map_err(|_| OpenFailure::Damaged)?;
        let key = SessionKey::new(row.key());
        let Place { server, account, .. } = &self.place;
        open_record(&key, server, *account, info.object, &subkey, &info.body_sha256, &head)
            .map_err(|_| OpenFailure::Damaged)
    }

    /// The octets of the message, all verified before the first is given out.
    pub fn body(&self, row: &Row) -> Result<SecretBytes, OpenFailure> {
        if row.kind == Kind::Placeholder {
            return Ok(SecretBytes::new(placeholder(row.frame)));
        }
        let message = self.reader.body(row.frame)?;
        let opened =
            pgp::open(&SessionKey::new(row.key()), &message).map_err(|_| OpenFailure::Damaged)?;
        // What a UID shows never changes, and RFC822.SIZE is exact.
        match opened.expose().len() == row.size as usize {
            true => Ok(opened),
            false => Err(OpenFailure::Damaged),
        }
    }
}

fn placeholder_card(row: &Row) -> Result<ArrivalRecord, OpenFailure> {
    let text = placeholder(row.frame);
    ArrivalRecord::new(Role::Inbox, None, row.received, &text, analyse(&text))
        .map_err(|_| OpenFailure::Damaged)
}

/// What stands in for an arrival that could not be opened. Made of nothing that can change, because
/// what a UID shows never changes.
pub(super) fn placeholder(frame: Address) -> Vec<u8> {
    format!(
        "From: Postseal <postmaster@localhost>\r\n\
         Subject: A message that could not be opened\r\n\
         Message-ID: <{}.{}.unopened@postseal.invalid>\r\n\
         MIME-Version: 1.0\r\n\
         Content-Type: text/plain; charset=us-ascii\r\n\
         \r\n\
         Something arrived for you that does not open with your keys: it was damaged\r\n\
         on the disk, or written there by somebody who is not this server. Its sealed\r\n\
         octets are kept until you delete this notice; the administrator can find them\r\n\
         in the journal as frame {frame}.\r\n",
        frame.segment, frame.slot
    )
    .into_bytes()
}
