//! Room for what is open: bodies that sessions read or keep, and answers that are on their way.
//!
//! Unlike [`crate::base::budget`], which says no, this one waits, in the order of asking: a FETCH
//! that comes at a bad moment is slow and not wrong. An account has its share, so that one user's
//! clients that do not read make nobody else wait. Room is asked for of the account first and then
//! of all, by sessions that hold none, so that nobody waits for himself.

use std::sync::Arc;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// Octets in one unit: what a semaphore counts has 32 bits.
const UNIT_BYTES: u64 = 1024;

/// The part (one of so many) that one account may have: as much as one network by SMTP.
const ACCOUNT_SHARE: u64 = 4;

/// Octets that may be open at once, shared by clones.
#[derive(Clone, Debug)]
pub struct Opened {
    units: u32,
    free: Arc<Semaphore>,
}

/// Some of them; dropping it gives them back.
#[derive(Debug)]
pub struct Held {
    _units: Option<OwnedSemaphorePermit>,
}

/// Room of an account's share and of all.
#[derive(Debug)]
pub struct Room {
    _of_account: Held,
    _of_all: Held,
}

impl Opened {
    /// Room for `bytes` octets.
    pub fn new(bytes: u64) -> Opened {
        let units = u32::try_from(bytes.div_ceil(UNIT_BYTES)).unwrap_or(u32::MAX).max(1);
        Opened { units, free: Arc::new(Semaphore::new(units as usize)) }
    }

    /// What one account may have of it.
    pub fn share(&self) -> Opened {
        Opened::new(u64::from(self.units) * UNIT_BYTES / ACCOUNT_SHARE)
    }

    /// Room for `bytes` octets, if there is enough now and nobody waits.
    fn try_hold(&self, bytes: u64) -> Option<Held> {
        let units = self.free.clone().try_acquire_many_owned(self.units(bytes)).ok()?;
        Some(Held { _units: Some(units) })
    }

    /// Room for `bytes` octets, as soon as there is enough.
    async fn hold(&self, bytes: u64) -> Held {
        // Nobody closes the semaphore.
        Held { _units: self.free.clone().acquire_many_owned(self.units(bytes)).await.ok() }
    }

    fn at_most(&self, bytes: u64) -> u64 {
        bytes.min(u64::from(self.units) * UNIT_BYTES)
    }

    /// What is larger than all that there is counts as that: it waits until it is alone.
    fn units(&self, bytes: u64) -> u32 {
        u32::try_from(bytes.div_ceil(UNIT_BYTES)).unwrap_or(u32::MAX).min(self.units)
    }
}

impl Room {
    /// Room of both, if there is enough now.
    pub fn now(share: &Opened, all: &Opened, bytes: u64) -> Option<Room> {
        let bytes = share.at_most(bytes);
        Some(Room { _of_account: share.try_hold(bytes)?, _of_all: all.try_hold(bytes)? })
    }

    /// Room of both, as soon as there is enough.
    pub async fn wait(share: &Opened, all: &Opened, bytes: u64) -> Room {
        let bytes = share.at_most(bytes);
        let of_account = share.hold(bytes).await;
        Room { _of_account: of_account, _of_all: all.hold(bytes).await }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn one_account_waits_for_itself_and_not_others_for_it() {
        let all = Opened::new(400 * UNIT_BYTES);
        let (ann, bob) = (all.share(), all.share());
        let kib = |units: u64| units * UNIT_BYTES;
        let first = Room::now(&ann, &all, kib(60)).unwrap();
        assert!(Room::now(&ann, &all, kib(60)).is_none());
        let other = Room::now(&bob, &all, kib(60)).unwrap();
        // Counts as the whole share, of all too.
        let waits = tokio::spawn({
            let (ann, all) = (ann.clone(), all.clone());
            async move { Room::wait(&ann, &all, kib(5000)).await }
        });
        tokio::time::sleep(std::time::Duration::from_secs(1)).await;
        assert!(!waits.is_finished());
        drop(first);
        let alone = waits.await.unwrap();
        assert_eq!((ann.free.available_permits(), bob.free.available_permits()), (0, 40));
        assert_eq!(all.free.available_permits(), 240, "no more than the share");
        drop((alone, other));
        assert_eq!((ann.free.available_permits(), all.free.available_permits()), (100, 400));
    }
}
