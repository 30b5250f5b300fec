//! Whose turn it is for the slow KDF: a pure machine, fair and bounded.
//!
//! Each run of Argon2id takes 64 MiB, so that the number of runs at once is the bound on memory. The
//! turn goes round the networks (/24 for IPv4, /48 for IPv6), and within a network round the
//! accounts; sources that have logged in well before go first. Over a bound the answer is
//! [`TryLater`], at once.

use std::net::IpAddr;
use std::time::Duration;

/// A peer's network: the /24 of an IPv4 address, the /48 of an IPv6 address.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Network([u8; 7]);

/// The bounds of the queue.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct KdfLimits {
    /// Runs at once; memory is this times 64 MiB.
    pub runs_max: usize,
    /// Waiting requests altogether.
    pub waiting_max: usize,
    /// Waiting requests of one network.
    pub waiting_per_network_max: usize,
    /// Waiting requests for one account.
    pub waiting_per_account_max: usize,
    /// Pairs of network and account that are remembered as known good.
    pub known_good_max: usize,
}

/// Who asks, and for which account.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Source {
    /// The peer's network.
    pub network: Network,
    /// A number that stands for the account's name, existing or not (a keyed hash of it).
    pub account: u64,
}

/// A place in the queue.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Ticket(u64);

/// The queue is full for this source; nothing was queued.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TryLater;

/// The queue. The caller keeps what is to be done beside it, by ticket.
#[derive(Debug)]
pub struct KdfQueue {
    limits: KdfLimits,
}

impl Network {
    /// The network of an address.
    pub fn of(address: IpAddr) -> Network {
        let _ = address;
        todo!()
    }
}

impl Default for KdfLimits {
    fn default() -> Self {
        KdfLimits {
            runs_max: 4,
            waiting_max: 512,
            waiting_per_network_max: 64,
            waiting_per_account_max: 16,
            known_good_max: 65_536,
        }
    }
}

impl KdfQueue {
    /// An empty queue.
    pub fn new(limits: KdfLimits) -> KdfQueue {
        KdfQueue { limits }
    }

    /// Asks for a run. The ticket comes back from [`KdfQueue::start`] when it is its turn.
    pub fn ask(&mut self, source: Source) -> Result<Ticket, TryLater> {
        let _ = (source, self.limits);
        todo!()
    }

    /// The next ticket to run now, if a run is free and somebody waits. Call it until it says `None`,
    /// after each `ask`, `done` and `give_up`.
    pub fn start(&mut self) -> Option<Ticket> {
        todo!()
    }

    /// A run has ended; `good` if the secret was right.
    pub fn done(&mut self, ticket: Ticket, good: bool) {
        let _ = (ticket, good);
        todo!()
    }

    /// The peer has gone. A ticket that waits leaves the queue; one that runs counts until `done`.
    pub fn give_up(&mut self, ticket: Ticket) {
        let _ = ticket;
        todo!()
    }

    /// Waiting requests.
    pub fn waiting(&self) -> usize {
        todo!()
    }

    /// Runs under way.
    pub fn running(&self) -> usize {
        todo!()
    }

    /// How long a new request would wait at most, if one run takes `run`.
    pub fn longest_wait(&self, run: Duration) -> Duration {
        let _ = run;
        todo!()
    }
}
