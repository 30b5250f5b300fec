//! How long an account stays unlocked, and why it was locked.
//!
//! Three clocks end an unlock: the grace time after the last session, the absolute limit, and
//! somebody's command. Mail programs that stay connected for ever are why the absolute limit is
//! there. All are monotonic: a jump of the wall clock changes nothing.

use super::resident::Resident;
use std::time::Duration;
use tokio::sync::watch;
use tokio::time::Instant;

/// Why an account was locked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Why {
    /// By the verb `lock`, or because its slots were changed.
    Command,
    /// The last session has been gone for the grace time.
    Grace,
    /// The absolute limit.
    Limit,
    /// The account's file is not what it should be.
    Suspect,
    /// The server stops.
    Shutdown,
    /// The account's machine failed.
    Failure,
}

impl Why {
    /// For the log.
    pub fn word(self) -> &'static str {
        match self {
            Why::Command => "command",
            Why::Grace => "grace",
            Why::Limit => "limit",
            Why::Suspect => "suspect",
            Why::Shutdown => "shutdown",
            Why::Failure => "failure",
        }
    }
}

/// How long the account stays unlocked.
#[derive(Clone, Copy)]
pub struct Limit {
    /// Until then at most.
    pub until: Instant,
    /// Whether it stays without sessions too.
    pub held: bool,
}

/// When the account is to be locked.
pub struct Life {
    stop: watch::Receiver<Option<Why>>,
    limit: watch::Receiver<Limit>,
    visitors: watch::Receiver<usize>,
    /// Since when no session has been there.
    empty_since: Option<Instant>,
    grace: Duration,
}

impl Life {
    /// Watches over `resident`; `stop` says when to lock it by command.
    pub fn new(resident: &Resident, stop: watch::Receiver<Option<Why>>, grace: Duration) -> Life {
        Life {
            stop,
            limit: resident.limit(),
            visitors: resident.visitors(),
            empty_since: None,
            grace,
        }
    }

    /// Waits until the account is to be locked. May be dropped and called again.
    pub async fn over(&mut self) -> Why {
        loop {
            if let Some(why) = *self.stop.borrow_and_update() {
                return why;
            }
            let (deadline, why) = self.deadline();
            tokio::select! {
                _ = self.stop.changed() => {}
                _ = self.limit.changed() => {}
                _ = self.visitors.changed() => {}
                () = tokio::time::sleep_until(deadline) => return why,
            }
        }
    }

    fn deadline(&mut self) -> (Instant, Why) {
        let limit = *self.limit.borrow_and_update();
        if *self.visitors.borrow_and_update() > 0 {
            self.empty_since = None;
            return (limit.until, Why::Limit);
        }
        let since = *self.empty_since.get_or_insert_with(Instant::now);
        match since + self.grace {
            grace_ends if !limit.held && grace_ends < limit.until => (grace_ends, Why::Grace),
            _ => (limit.until, Why::Limit),
        }
    }
}
