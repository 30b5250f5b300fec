//! Whose turn it is for the slow KDF: a pure machine, fair and bounded.
//!
//! Each run of Argon2id takes 64 MiB, so that the number of runs at once is the bound on memory.
//! The turn goes round the networks (/24 for IPv4, /48 for IPv6), and within a network round the
//! accounts. Pairs of network and account that have logged in well before wait in a queue of their
//! own, which goes first three times of four and has bounds of its own: a flood of guesses against
//! an account can then neither delay nor lock out its owner's devices, and a flood from one good
//! pair cannot starve the others. Over a bound the answer is [`TryLater`], at once.
//!
//! # What is trusted
//! Nothing that a peer says. The network comes from the socket.

use std::collections::{BTreeMap, VecDeque};
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
    /// Waiting requests altogether. This and the next two bounds hold for known good sources and
    /// for the others apart.
    pub waiting_max: usize,
    /// Waiting requests of one network.
    pub waiting_per_network_max: usize,
    /// Waiting requests for one account.
    pub waiting_per_account_max: usize,
    /// Pairs of network and account that are remembered as known good.
    pub known_good_max: usize,
}

/// Who asks, and for which account.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
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
    next_ticket: u64,
    good: Lane,
    other: Lane,
    waiting: BTreeMap<Ticket, (Source, bool)>,
    running: BTreeMap<Ticket, Source>,
    known_good: KnownGood,
    good_in_a_row: u32,
}

/// Starts of known good sources in a row, while others wait.
const GOOD_IN_A_ROW_MAX: u32 = 3;

/// Waiting tickets: networks in turn, accounts of a network in turn, tickets of both in order.
#[derive(Debug, Default)]
struct Lane {
    turn: VecDeque<Network>,
    networks: BTreeMap<Network, Accounts>,
    per_account: BTreeMap<u64, usize>,
    waiting: usize,
}

#[derive(Debug, Default)]
struct Accounts {
    turn: VecDeque<u64>,
    tickets: BTreeMap<u64, VecDeque<Ticket>>,
    waiting: usize,
}

/// Sources that have logged in well, the longest unseen forgotten first.
#[derive(Debug, Default)]
struct KnownGood {
    seen: BTreeMap<Source, u64>,
    by_age: BTreeMap<u64, Source>,
    count: u64,
}

impl Network {
    /// The network of an address. An IPv4 address in IPv6 clothes counts as IPv4.
    pub fn of(address: IpAddr) -> Network {
        let mut network = [0; 7];
        match address.to_canonical() {
            IpAddr::V4(v4) => {
                network[0] = 4;
                network[1..4].copy_from_slice(&v4.octets()[..3]);
            }
            IpAddr::V6(v6) => {
                network[0] = 6;
                network[1..].copy_from_slice(&v6.octets()[..6]);
            }
        }
        Network(network)
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
        KdfQueue {
            limits,
            next_ticket: 0,
            good: Lane::default(),
            other: Lane::default(),
            waiting: BTreeMap::new(),
            running: BTreeMap::new(),
            known_good: KnownGood::default(),
            good_in_a_row: 0,
        }
    }

    /// Asks for a run. The ticket comes back from [`KdfQueue::start`] when it is its turn.
    pub fn ask(&mut self, source: Source) -> Result<Ticket, TryLater> {
        let good = self.is_known(&source);
        let limits = self.limits;
        let lane = self.lane(good);
        if !lane.has_room(&source, &limits) {
            return Err(TryLater);
        }
        let ticket = Ticket(self.next_ticket);
        self.lane(good).push(source, ticket);
        self.next_ticket += 1;
        self.waiting.insert(ticket, (source, good));
        Ok(ticket)
    }

    /// The next ticket to run now, if a run is free and somebody waits. Call it until it says
    /// `None`, after each `ask`, `done` and `give_up`.
    pub fn start(&mut self) -> Option<Ticket> {
        if self.running.len() >= self.limits.runs_max {
            return None;
        }
        let turn_of_others = self.good_in_a_row >= GOOD_IN_A_ROW_MAX && self.other.waiting > 0;
        let good = self.good.waiting > 0 && !turn_of_others;
        let ticket = self.lane(good).pop()?;
        self.good_in_a_row = if good { self.good_in_a_row + 1 } else { 0 };
        let (source, _) = self.waiting.remove(&ticket).expect("what a lane holds waits");
        self.running.insert(ticket, source);
        Some(ticket)
    }

    /// A run has ended; `good` if the secret was right.
    pub fn done(&mut self, ticket: Ticket, good: bool) {
        if let Some(source) = self.running.remove(&ticket)
            && good
        {
            self.vouch(source);
        }
    }

    /// A source has logged in well without a run (an app password, say): it is known good from now.
    pub fn vouch(&mut self, source: Source) {
        self.known_good.note(source, self.limits.known_good_max);
    }

    /// Whether a source has logged in well before.
    pub fn is_known(&self, source: &Source) -> bool {
        self.known_good.seen.contains_key(source)
    }

    /// The peer has gone. A ticket that waits leaves the queue; one that runs counts until `done`.
    pub fn give_up(&mut self, ticket: Ticket) {
        if let Some((source, good)) = self.waiting.remove(&ticket) {
            self.lane(good).remove(source, ticket);
        }
    }

    /// Waiting requests.
    pub fn waiting(&self) -> usize {
        self.waiting.len()
    }

    /// Runs under way.
    pub fn running(&self) -> usize {
        self.running.len()
    }

    /// How long a request that comes now would wait if all others went first and one run took
    /// `run`.
    pub fn longest_wait(&self, run: Duration) -> Duration {
        let before = self.waiting.len() + self.running.len();
        let rounds = before.div_ceil(self.limits.runs_max.max(1));
        run.saturating_mul(u32::try_from(rounds).unwrap_or(u32::MAX))
    }

    fn lane(&mut self, good: bool) -> &mut Lane {
        if good { &mut self.good } else { &mut self.other }
    }
}

impl Lane {
    fn has_room(&self, source: &Source, limits: &KdfLimits) -> bool {
        let of_network = self.networks.get(&source.network).map_or(0, |network| network.waiting);
        let of_account = self.per_account.get(&source.account).copied().unwrap_or(0);
        self.waiting < limits.waiting_max
            && of_network < limits.waiting_per_network_max
            && of_account < limits.waiting_per_account_max
    }

    fn push(&mut self, source: Source, ticket: Ticket) {
        let network = self.networks.entry(source.network).or_insert_with(|| {
            self.turn.push_back(source.network);
            Accounts::default()
        });
        let tickets = network.tickets.entry(source.account).or_insert_with(|| {
            network.turn.push_back(source.account);
            VecDeque::new()
        });
        tickets.push_back(ticket);
        network.waiting += 1;
        self.waiting += 1;
        *self.per_account.entry(source.account).or_default() += 1;
    }

    fn pop(&mut self) -> Option<Ticket> {
        let network = self.turn.pop_front()?;
        let accounts = self.networks.get_mut(&network)?;
        let account = accounts.turn.pop_front()?;
        let tickets = accounts.tickets.get_mut(&account)?;
        let ticket = tickets.pop_front()?;
        if tickets.is_empty() {
            accounts.tickets.remove(&account);
        } else {
            accounts.turn.push_back(account);
        }
        self.turn.push_back(network);
        self.uncount(Source { network, account });
        Some(ticket)
    }

    fn remove(&mut self, source: Source, ticket: Ticket) {
        let Some(accounts) = self.networks.get_mut(&source.network) else { return };
        let Some(tickets) = accounts.tickets.get_mut(&source.account) else { return };
        tickets.retain(|other| *other != ticket);
        if tickets.is_empty() {
            accounts.tickets.remove(&source.account);
            accounts.turn.retain(|account| *account != source.account);
        }
        self.uncount(source);
    }

    /// One ticket less; what is empty is forgotten.
    fn uncount(&mut self, source: Source) {
        self.waiting -= 1;
        if let Some(accounts) = self.networks.get_mut(&source.network) {
            accounts.waiting -= 1;
            if accounts.waiting == 0 {
                self.networks.remove(&source.network);
                self.turn.retain(|network| *network != source.network);
            }
        }
        if let Some(count) = self.per_account.get_mut(&source.account) {
            *count -= 1;
            if *count == 0 {
                self.per_account.remove(&source.account);
            }
        }
    }
}

impl KnownGood {
    fn note(&mut self, source: Source, most: usize) {
        if let Some(age) = self.seen.insert(source, self.count) {
            self.by_age.remove(&age);
        }
        self.by_age.insert(self.count, source);
        self.count += 1;
        while self.seen.len() > most {
            let Some((_, oldest)) = self.by_age.pop_first() else { break };
            self.seen.remove(&oldest);
        }
    }
}

impl std::fmt::Display for TryLater {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("too many logins wait; try later")
    }
}

impl std::error::Error for TryLater {}

#[cfg(test)]
mod tests {
    use super::*;

    fn source(network: u8, account: u64) -> Source {
        Source { network: Network::of(IpAddr::from([10, 0, network, 1])), account }
    }

    fn limits() -> KdfLimits {
        KdfLimits {
            runs_max: 1,
            waiting_max: 40,
            waiting_per_network_max: 20,
            waiting_per_account_max: 10,
            known_good_max: 4,
        }
    }

    /// Runs one after the other until nobody waits.
    fn drain(queue: &mut KdfQueue) -> Vec<Ticket> {
        let mut order = Vec::new();
        while let Some(ticket) = queue.start() {
            order.push(ticket);
            queue.done(ticket, false);
        }
        order
    }

    #[test]
    fn networks_are_the_24_and_the_48() {
        let of = |text: &str| Network::of(text.parse().unwrap());
        assert_eq!(of("192.0.2.1"), of("192.0.2.254"));
        assert_ne!(of("192.0.2.1"), of("192.0.3.1"));
        assert_eq!(of("192.0.2.1"), of("::ffff:192.0.2.9"));
        assert_eq!(of("2001:db8:1::1"), of("2001:db8:1:ffff::1"));
        assert_ne!(of("2001:db8:1::1"), of("2001:db8:2::1"));
    }

    #[test]
    fn never_more_runs_than_memory_is_for() {
        let mut queue = KdfQueue::new(KdfLimits { runs_max: 3, ..limits() });
        (0..9).for_each(|n| assert!(queue.ask(source(n, n.into())).is_ok()));
        let started: Vec<_> = std::iter::from_fn(|| queue.start()).collect();
        assert_eq!((started.len(), queue.running(), queue.waiting()), (3, 3, 6));
        queue.done(started[1], false);
        assert!(queue.start().is_some() && queue.start().is_none());
        // A second `done` of the same ticket frees nothing.
        queue.done(started[1], false);
        assert!(queue.start().is_none());
    }

    #[test]
    fn a_flood_from_one_network_delays_another_by_one_run() {
        let mut queue = KdfQueue::new(limits());
        let flood: Vec<_> = (0..15).map(|n| queue.ask(source(1, n)).unwrap()).collect();
        let quiet = queue.ask(source(2, 99)).unwrap();
        assert_eq!(drain(&mut queue)[..3], [flood[0], quiet, flood[1]]);
    }

    #[test]
    fn within_a_network_accounts_take_turns() {
        let mut queue = KdfQueue::new(limits());
        let guesses: Vec<_> = (0..5).map(|_| queue.ask(source(1, 7)).unwrap()).collect();
        let neighbour = queue.ask(source(1, 8)).unwrap();
        assert_eq!(drain(&mut queue)[..3], [guesses[0], neighbour, guesses[1]]);
    }

    #[test]
    fn every_bound_answers_try_later_at_once() {
        let mut queue = KdfQueue::new(limits());
        (0..10).for_each(|n| assert!(queue.ask(source(n, 7)).is_ok()));
        assert_eq!(queue.ask(source(11, 7)), Err(TryLater), "account");
        (0..20).for_each(|n| assert!(queue.ask(source(50, 100 + n)).is_ok()));
        assert_eq!(queue.ask(source(50, 200)), Err(TryLater), "network");
        (0..10).for_each(|n| assert!(queue.ask(source(60 + n as u8, 300 + n)).is_ok()));
        assert_eq!(queue.ask(source(90, 400)), Err(TryLater), "all");
        assert_eq!(queue.waiting(), 40);
    }

    #[test]
    fn the_owners_device_passes_a_flood_against_his_account() {
        let mut queue = KdfQueue::new(limits());
        let mine = source(1, 7);
        queue.vouch(mine);
        (0..10).for_each(|n| assert!(queue.ask(source(100 + n, 7)).is_ok()));
        assert_eq!(queue.ask(source(150, 7)), Err(TryLater));
        let ticket = queue.ask(mine).unwrap();
        assert_eq!(queue.start(), Some(ticket));
    }

    #[test]
    fn known_good_sources_cannot_starve_the_others() {
        let mut queue = KdfQueue::new(limits());
        queue.vouch(source(1, 7));
        let stranger = queue.ask(source(2, 8)).unwrap();
        let mut runs = 0;
        let found = std::iter::from_fn(|| {
            let _ = queue.ask(source(1, 7));
            let ticket = queue.start()?;
            queue.done(ticket, true);
            runs += 1;
            Some(ticket)
        })
        .take(10)
        .any(|ticket| ticket == stranger);
        assert!(found && runs == 4);
    }

    #[test]
    fn success_is_remembered_and_the_longest_unseen_is_forgotten() {
        let mut queue = KdfQueue::new(limits());
        for network in 0..4 {
            let ticket = queue.ask(source(network, 1)).unwrap();
            assert_eq!(queue.start(), Some(ticket));
            queue.done(ticket, true);
        }
        queue.vouch(source(0, 1));
        queue.vouch(source(9, 1));
        let good: Vec<_> = queue.known_good.seen.keys().copied().collect();
        assert_eq!(good, [source(0, 1), source(2, 1), source(3, 1), source(9, 1)]);
        assert_eq!(queue.known_good.by_age.len(), 4);
    }

    #[test]
    fn who_gives_up_leaves_room_behind() {
        let mut queue = KdfQueue::new(limits());
        let tickets: Vec<_> = (0..10).map(|_| queue.ask(source(1, 7)).unwrap()).collect();
        assert_eq!(queue.ask(source(1, 7)), Err(TryLater));
        tickets.iter().for_each(|ticket| queue.give_up(*ticket));
        assert_eq!((queue.waiting(), queue.start()), (0, None));
        assert!(queue.other.turn.is_empty() && queue.other.per_account.is_empty());
        assert!(queue.ask(source(1, 7)).is_ok());
    }

    #[test]
    fn every_ticket_comes_out_exactly_once_whatever_happens() {
        use proptest::prelude::*;
        let step = (0..5u8, 0..4u8, 0..3u64, any::<prop::sample::Index>());
        proptest!(|(steps in proptest::collection::vec(step, 0..120))| {
            let mut queue = KdfQueue::new(KdfLimits { runs_max: 2, ..limits() });
            let (mut asked, mut running, mut finished) = (Vec::new(), Vec::new(), Vec::new());
            for (kind, network, account, pick) in steps {
                match kind {
                    0 | 1 => asked.extend(queue.ask(source(network, account))),
                    2 => running.extend(queue.start()),
                    3 if !running.is_empty() => {
                        let ticket = running.remove(pick.index(running.len()));
                        queue.done(ticket, account == 0);
                        finished.push(ticket);
                    }
                    _ => {
                        let waits = |t: &&Ticket| !running.contains(t) && !finished.contains(t);
                        if let Some(ticket) = asked.iter().copied().find(|t| waits(&t)) {
                            queue.give_up(ticket);
                            finished.push(ticket);
                        }
                    }
                }
                prop_assert!(queue.running() <= 2 && queue.running() == running.len());
                let waiting = asked.len() - running.len() - finished.len();
                prop_assert_eq!(queue.waiting(), waiting);
                prop_assert_eq!(queue.good.waiting + queue.other.waiting, waiting);
            }
            for ticket in running.drain(..) {
                queue.done(ticket, false);
                finished.push(ticket);
            }
            finished.extend(drain(&mut queue));
            finished.sort();
            prop_assert_eq!(finished, asked);
        });
    }
}
