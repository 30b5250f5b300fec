//! Time comes in from outside: the wall clock as [`UnixTime`], durations from a monotonic clock.
//!
//! The wall clock may jump; nothing that decides about mail's safety may depend on it. Deadlines in
//! the protocol machines are handed in as [`Instant`].

use super::BoxFuture;
use std::pin::pin;
use std::task::Poll;
use std::time::Duration;

/// Seconds since 1970-01-01T00:00:00Z, as the wall clock has them. May jump in both directions.
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, serde::Serialize, serde::Deserialize,
)]
pub struct UnixTime(pub i64);

/// A point on a monotonic clock: time since some start that only this process knows.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Instant(pub Duration);

impl Instant {
    /// The time from `earlier` to `self`, zero if `earlier` is later.
    pub fn since(self, earlier: Instant) -> Duration {
        self.0.saturating_sub(earlier.0)
    }

    /// The point `duration` after this one.
    pub fn after(self, duration: Duration) -> Instant {
        Instant(self.0.saturating_add(duration))
    }
}

/// The source of time.
pub trait Clock: Send + Sync {
    /// The wall clock.
    fn now(&self) -> UnixTime;
    /// The monotonic clock.
    fn monotonic(&self) -> Instant;
}

/// Waits. Apart from [`Clock`], because only what runs as a task can wait.
pub trait Timer: Send + Sync {
    /// Is ready after `duration` on the monotonic clock.
    fn sleep(&self, duration: Duration) -> BoxFuture<'static, ()>;
}

/// What `work` comes to, or `None` if it is not done within `time_max`; it is dropped then. Work
/// that does not let others run in between is not interrupted.
pub async fn within<T>(
    timer: &dyn Timer,
    time_max: Duration,
    work: impl Future<Output = T> + Send,
) -> Option<T> {
    let (mut work, mut end) = (pin!(work), timer.sleep(time_max));
    std::future::poll_fn(|context| match work.as_mut().poll(context) {
        Poll::Ready(done) => Poll::Ready(Some(done)),
        Poll::Pending => end.as_mut().poll(context).map(|()| None),
    })
    .await
}

/// A clock that stands still until a test moves it.
#[derive(Debug)]
pub struct ManualClock(std::sync::Mutex<(UnixTime, Instant)>);

impl ManualClock {
    /// A clock that shows `now`.
    pub fn new(now: UnixTime) -> Self {
        ManualClock(std::sync::Mutex::new((now, Instant(Duration::ZERO))))
    }

    /// Lets `duration` pass on both clocks.
    pub fn advance(&self, duration: Duration) {
        let mut both = self.0.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
        both.0.0 += duration.as_secs() as i64;
        both.1 = both.1.after(duration);
    }

    /// Sets the wall clock alone, as an administrator or NTP might.
    pub fn jump_to(&self, now: UnixTime) {
        self.0.lock().unwrap_or_else(|poisoned| poisoned.into_inner()).0 = now;
    }
}

impl Clock for ManualClock {
    fn now(&self) -> UnixTime {
        self.0.lock().unwrap_or_else(|poisoned| poisoned.into_inner()).0
    }

    fn monotonic(&self) -> Instant {
        self.0.lock().unwrap_or_else(|poisoned| poisoned.into_inner()).1
    }
}
