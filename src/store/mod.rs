//! Account files, arrival records, and the traits of journal and index as the mailbox role needs
//! them.
//!
//! - [`Log`] and [`Index`]: what the role asks of the journal's thread and of the cache beside it.
//! - [`seal`] makes a stored message: the OpenPGP message and its [`ArrivalRecord`], in one frame.
//! - [`Accounts`]: the account files and which address is whose.
//!
//! Nothing here has a thread or a file of its own: the disk comes in by the trait `Disk`.

mod accounts;
mod arrival;
mod index;

pub use accounts::{Accounts, AccountsError, BadFile, DIRECTORY};
pub use arrival::{
    ArrivalError, ArrivalRecord, CERTIFICATE_BYTES_MAX, DETAIL_BYTES_MAX, Destination,
    HEADER_BYTES_MAX, LARGE_BODY_BYTES, RECORD_BYTES_MAX, RECORD_STEP_BYTES, Role, SealedArrival,
    Sender, open_record, seal,
};
pub use index::{Index, Log, MemoryIndex};

#[cfg(test)]
mod tests;
