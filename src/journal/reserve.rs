//! Octets held back: when the disk is full, erases and account records must still be possible, or
//! nothing could ever be deleted again.

use crate::base::disk::Disk;
use std::io;

const RESERVE_PATH: &str = "journal/reserve";

/// The reserve file.
#[derive(Debug)]
pub(super) struct Reserve {
    bytes: u64,
    held: bool,
}

impl Reserve {
    /// Takes the reserve, if there is room.
    pub fn take(disk: &dyn Disk, bytes: u64) -> Self {
        let mut reserve = Reserve { bytes, held: false };
        reserve.held = bytes == 0 || reserve.allocate(disk).is_ok();
        reserve
    }

    /// Whether it was given up: only what frees space may be written.
    pub fn is_spent(&self) -> bool {
        !self.held
    }

    /// Gives it up. `false` if there was nothing to give.
    pub fn give_up(&mut self, disk: &dyn Disk) -> bool {
        if self.bytes == 0 || !self.held {
            return false;
        }
        self.held = false;
        // Blocks are free when the name is gone; that it stays gone need not be durable.
        disk.remove(RESERVE_PATH).is_ok()
    }

    /// Takes it again once there is room for it and as much again.
    pub fn restore(&mut self, disk: &dyn Disk) {
        if self.held {
            return;
        }
        if disk.free_bytes().unwrap_or(0) >= self.bytes.saturating_mul(2) {
            self.held = self.allocate(disk).is_ok();
        }
    }

    fn allocate(&self, disk: &dyn Disk) -> io::Result<()> {
        let file = match disk.open(RESERVE_PATH) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => disk.create(RESERVE_PATH)?,
            other => other?,
        };
        if file.len()? != self.bytes {
            file.set_len(0)?;
        }
        file.allocate(self.bytes)
    }
}
