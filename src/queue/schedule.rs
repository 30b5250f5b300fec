//! When the next attempt is, and when it is enough.
//!
//! The first retry comes after some minutes, each further one after a longer time, up to a longest;
//! a little chance keeps what failed together from coming back together. RFC 5321 §4.5.4.1 wants 30
//! minutes at least between attempts "in general", and more often at first is common practice.

use std::time::Duration;

/// How the queue is run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Options {
    /// When what is tried.
    pub schedule: Schedule,
    /// Deliveries to one domain at once.
    pub destination_concurrency_max: usize,
    /// Deliveries at once.
    pub concurrency_max: usize,
    /// Items that may be queued.
    pub items_max: usize,
}

impl Default for Options {
    fn default() -> Self {
        Options {
            schedule: Schedule::default(),
            // Postfix `default_destination_concurrency_limit` and `default_process_limit`.
            destination_concurrency_max: 20,
            concurrency_max: 100,
            items_max: 1_000_000,
        }
    }
}

/// When what is tried.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Schedule {
    /// How long until the second attempt.
    pub first: Duration,
    /// The longest time between two attempts.
    pub longest: Duration,
    /// After how long an item is given up (RFC 5321 §4.5.4.1: four or five days).
    pub lifetime: Duration,
    /// After how long its owner is told that it takes long; zero for never.
    pub delay_notice: Duration,
}

impl Default for Schedule {
    fn default() -> Self {
        Schedule {
            first: Duration::from_secs(5 * 60),
            longest: Duration::from_secs(4 * 60 * 60),
            lifetime: Duration::from_secs(5 * 24 * 60 * 60),
            delay_notice: Duration::from_secs(4 * 60 * 60),
        }
    }
}

/// Each time is so many tenths of the one before.
const FACTOR_TENTHS: u32 = 16;

/// A time is shortened or lengthened by up to so many hundredths, by chance.
const JITTER_HUNDREDTHS: u64 = 10;

/// A clock that jumped must not end mail: at least this part of the attempts that fit into the
/// lifetime must have been made before an item is given up.
const ATTEMPTS_PART: u16 = 3;

/// Attempts that are counted when the schedule is looked at as a whole.
const ATTEMPTS_COUNTED_MAX: u16 = 300;

impl Schedule {
    /// How long to wait after `attempts` attempts, without the chance.
    pub fn delay(&self, attempts: u16) -> Duration {
        let mut delay = self.first.min(self.longest);
        for _ in 1..attempts {
            if delay >= self.longest {
                break;
            }
            delay = (delay.saturating_mul(FACTOR_TENTHS) / 10).min(self.longest);
        }
        delay
    }

    /// The same with the chance that `dice` gives.
    pub fn jittered(&self, attempts: u16, dice: u64) -> Duration {
        let hundredths = 100 - JITTER_HUNDREDTHS + dice % (2 * JITTER_HUNDREDTHS + 1);
        // Below a century, so that the product fits.
        self.delay(attempts).min(Duration::from_secs(u32::MAX.into())) * hundredths as u32 / 100
    }

    /// Attempts that must have been made before an item is given up, whatever the clock says.
    pub fn attempts_min(&self) -> u16 {
        let (mut at, mut attempts) = (Duration::ZERO, 1);
        while at < self.lifetime && attempts < ATTEMPTS_COUNTED_MAX {
            at = at.saturating_add(self.delay(attempts).max(Duration::from_secs(1)));
            attempts += 1;
        }
        (attempts / ATTEMPTS_PART).max(1)
    }

    /// Whether an item of this age is given up after so many attempts.
    pub fn is_over(&self, age: Duration, attempts: u16) -> bool {
        age >= self.lifetime && attempts >= self.attempts_min()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_grow_from_minutes_to_hours_and_no_further() {
        let schedule = Schedule::default();
        let minutes: Vec<u64> = (1..=11).map(|n| schedule.delay(n).as_secs() / 60).collect();
        assert_eq!(minutes, [5, 8, 12, 20, 32, 52, 83, 134, 214, 240, 240]);
        assert_eq!(schedule.delay(u16::MAX), schedule.longest);
    }

    #[test]
    fn chance_moves_a_time_by_a_tenth_at_most() {
        let schedule = Schedule::default();
        let times: Vec<_> = (0..1000).map(|dice| schedule.jittered(1, dice).as_secs()).collect();
        assert_eq!((times.iter().min(), times.iter().max()), (Some(&270), Some(&330)));
    }

    #[test]
    fn neither_age_nor_attempts_alone_end_an_item() {
        let schedule = Schedule::default();
        assert_eq!(schedule.attempts_min(), 12);
        let day = Duration::from_secs(24 * 60 * 60);
        assert!(schedule.is_over(5 * day, 12));
        assert!(!schedule.is_over(5 * day - Duration::from_secs(1), 1000));
        assert!(!schedule.is_over(5000 * day, 11), "the clock jumped");
    }

    #[test]
    fn odd_options_do_no_harm() {
        let zero = Duration::ZERO;
        let none = Schedule { first: zero, longest: zero, lifetime: zero, delay_notice: zero };
        assert_eq!((none.delay(9), none.attempts_min()), (zero, 1));
        let long = Schedule { longest: Duration::MAX, first: Duration::MAX, ..none };
        assert!(long.jittered(3, 7) <= Duration::MAX);
    }
}
