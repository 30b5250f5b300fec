//! The system's clocks.

use crate::base::BoxFuture;
use crate::base::clock::{Clock, Instant, Timer, UnixTime};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

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

/// The runtime's timer. To be used within it.
#[derive(Clone, Copy, Debug, Default)]
pub struct TokioTimer;

impl Timer for TokioTimer {
    fn sleep(&self, duration: Duration) -> BoxFuture<'static, ()> {
        Box::pin(tokio::time::sleep(duration))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::clock::within;

    #[test]
    fn the_clocks_go_forward() {
        let clock = SystemClock::new();
        assert!(clock.now() > UnixTime(1_700_000_000));
        let first = clock.monotonic();
        assert!(clock.monotonic() >= first);
    }

    #[tokio::test(start_paused = true)]
    async fn work_that_takes_too_long_is_dropped() {
        let second = Duration::from_secs(1);
        let timely = async {
            tokio::time::sleep(second / 2).await;
            7
        };
        assert_eq!(within(&TokioTimer, second, timely).await, Some(7));
        let dropped = std::sync::Arc::new(());
        let held = std::sync::Arc::clone(&dropped);
        let endless = async move {
            let _held = held;
            std::future::pending::<()>().await;
        };
        assert_eq!(within(&TokioTimer, second, endless).await, None);
        assert_eq!(std::sync::Arc::strong_count(&dropped), 1);
    }
}
