//! The system's clocks.

use crate::base::clock::{Clock, Instant, UnixTime};
use std::time::{SystemTime, UNIX_EPOCH};

/// The wall clock and the monotonic clock of the system.
#[derive(Clone, Copy, Debug)]
pub struct SystemClock {
    start: std::time::Instant,
}

impl SystemClock {
    /// A clock whose monotonic side starts now.
    pub fn new() -> Self {
        SystemClock { start: std::time::Instant::now() }
    }
}

impl Default for SystemClock {
    fn default() -> Self {
        Self::new()
    }
}

impl Clock for SystemClock {
    fn now(&self) -> UnixTime {
        UnixTime(match SystemTime::now().duration_since(UNIX_EPOCH) {
            Ok(since) => i64::try_from(since.as_secs()).unwrap_or(i64::MAX),
            Err(before) => -i64::try_from(before.duration().as_secs()).unwrap_or(i64::MAX),
        })
    }

    fn monotonic(&self) -> Instant {
        Instant(self.start.elapsed())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_clocks_go_forward() {
        let clock = SystemClock::new();
        assert!(clock.now() > UnixTime(1_700_000_000));
        let first = clock.monotonic();
        assert!(clock.monotonic() >= first);
    }
}
