//! Reading frames: by any task, at any time, only what is durable.

use super::entry::{AccountHead, Address, FrameInfo};
use super::error::ReadError;
use crate::base::ids::AccountNumber;
use std::sync::Arc;

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
pub struct Reader(#[allow(dead_code)] Arc<()>);

impl Reader {
    /// What the journal is called.
    pub fn identity(&self) -> Identity {
        todo!()
    }

    /// What can be known of an account without a key; the default for one without frames.
    pub fn account(&self, _account: AccountNumber) -> AccountHead {
        todo!()
    }

    /// What the frame's header says. Dead frames have headers too.
    pub fn info(&self, _at: Address) -> Result<FrameInfo, ReadError> {
        todo!()
    }

    /// The frame's head, verified.
    pub fn head(&self, _at: Address) -> Result<Vec<u8>, ReadError> {
        todo!()
    }

    /// Header and head by one read where the head is small: what a walk back needs.
    pub fn info_and_head(&self, _at: Address) -> Result<(FrameInfo, Vec<u8>), ReadError> {
        todo!()
    }

    /// The frame's body, verified; empty if there is none.
    pub fn body(&self, _at: Address) -> Result<Vec<u8>, ReadError> {
        todo!()
    }

    /// At most the first `bytes` octets of the body. *Not* verified: a digest covers the whole.
    pub fn body_prefix(&self, _at: Address, _bytes: usize) -> Result<Vec<u8>, ReadError> {
        todo!()
    }

    /// The newest frame of `account`, of class arrival or account, before `at`: the way on when the
    /// header at `at` is damaged. Slow: reads header after header, backwards.
    pub fn earlier(
        &self,
        _account: AccountNumber,
        _at: Address,
    ) -> Result<Option<Address>, ReadError> {
        todo!()
    }
}
