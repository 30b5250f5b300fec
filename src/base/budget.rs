//! A byte budget that many sessions share: what is admitted is bounded before it is read.
//!
//! A session reserves the octets it is about to hold and gives them back by dropping the
//! [`Reservation`]. Nothing waits: a budget that is spent answers `None`; the protocol says 452.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

/// Octets by which a message's reservation grows as it comes. A message that is no larger than this
/// is a small one: most mail is, and it comes in one step.
pub const STEP_BYTES: u64 = 256 * 1024;

/// The part of a budget (one of so many) that messages above a step leave to smaller ones: a few
/// clients that send much, and slowly, would else keep everybody's mail out.
const SMALL_SHARE: u64 = 4;

/// Octets that may be held at once, shared by clones.
#[derive(Clone, Debug)]
pub struct ByteBudget {
    limit_bytes: u64,
    free_bytes: Arc<AtomicU64>,
}

impl ByteBudget {
    /// A budget of `limit_bytes`.
    pub fn new(limit_bytes: u64) -> Self {
        ByteBudget { limit_bytes, free_bytes: Arc::new(AtomicU64::new(limit_bytes)) }
    }

    /// Reserves `bytes`, or nothing if less is free.
    pub fn reserve(&self, bytes: u64) -> Option<Reservation> {
        self.free_bytes
            .fetch_update(Ordering::AcqRel, Ordering::Acquire, |free| free.checked_sub(bytes))
            .ok()
            .map(|_| Reservation { budget: self.clone(), bytes })
    }

    /// A reservation of nothing, to be grown.
    pub fn empty(&self) -> Reservation {
        Reservation { budget: self.clone(), bytes: 0 }
    }

    /// What large messages leave to small ones, in octets: less where one of the `largest` size
    /// would not fit beside it.
    pub fn for_small_bytes(&self, largest: u64) -> u64 {
        (self.limit_bytes / SMALL_SHARE).min(self.limit_bytes.saturating_sub(largest))
    }

    /// All that there is, in octets.
    pub fn limit_bytes(&self) -> u64 {
        self.limit_bytes
    }

    /// What is free at this moment, in octets.
    pub fn free_bytes(&self) -> u64 {
        self.free_bytes.load(Ordering::Acquire)
    }
}

/// Reserved octets; dropping it gives them back.
#[derive(Debug)]
pub struct Reservation {
    budget: ByteBudget,
    bytes: u64,
}

impl Reservation {
    /// How many octets are reserved.
    pub fn bytes(&self) -> u64 {
        self.bytes
    }

    /// Grows the reservation by `more` octets; `false`, and no change, if they are not free.
    pub fn grow(&mut self, more: u64) -> bool {
        match self.budget.reserve(more) {
            Some(mut extra) => {
                self.bytes += std::mem::take(&mut extra.bytes);
                true
            }
            None => false,
        }
    }
}

impl Drop for Reservation {
    fn drop(&mut self) {
        self.budget.free_bytes.fetch_add(self.bytes, Ordering::AcqRel);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_reserved_comes_back_exactly_once() {
        let budget = ByteBudget::new(100);
        let mut first = budget.reserve(60).unwrap();
        assert!(budget.reserve(41).is_none());
        assert!(first.grow(40));
        assert!(!first.grow(1));
        assert_eq!((first.bytes(), budget.free_bytes()), (100, 0));
        drop(first);
        assert_eq!(budget.free_bytes(), 100);
    }

    #[test]
    fn a_quarter_is_for_small_ones_unless_the_largest_needs_it() {
        let budget = ByteBudget::new(100);
        assert_eq!([10, 80, 100, 200].map(|most| budget.for_small_bytes(most)), [25, 20, 0, 0]);
    }
}
