//! How many wrong passwords are tried: a few at once, then one a minute for an account from one
//! network, and one in ten seconds from one network for all accounts together.
//!
//! No account is ever shut: another network has tries of its own, and who has logged in well from a
//! network is not kept out by what others there do wrong. A name that nobody has is counted like
//! any other, so that nothing tells which exist.
//!
//! # Standards
//! The generic cell rate algorithm (ITU-T I.371, annex A): one time for each count.
//!
//! # Known gaps
//! Whoever has many networks has the tries of each. What stands against him is that every try costs
//! this server's Argon2id, of which it makes few a second, and the strength of passwords.

use super::kdf_queue::{Network, Source};
use crate::base::clock::Instant;
use std::collections::BTreeMap;
use std::time::Duration;

/// Wrong tries at once, and how long it takes until one more is given.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Rate {
    at_once: u32,
    each: Duration,
}

/// For one account from one network: a person who tries the passwords that he has.
const OF_SOURCE: Rate = Rate { at_once: 8, each: Duration::from_secs(60) };
/// For one network: an office where many have just been told to change theirs.
const OF_NETWORK: Rate = Rate { at_once: 60, each: Duration::from_secs(10) };
/// Sources and networks that are counted at once; about 60 octets each. When there are more, those
/// that have most of their tries go first.
const COUNTED_MAX: usize = 65_536;

/// The counts.
#[derive(Debug, Default)]
pub struct Guesses {
    sources: Counts<Source>,
    networks: Counts<Network>,
}

impl Guesses {
    /// Whether a password may be tried now; `known` if this source has logged in well before.
    pub fn may_try(&self, source: &Source, known: bool, now: Instant) -> bool {
        self.sources.has_left(source, OF_SOURCE, now)
            && (known || self.networks.has_left(&source.network, OF_NETWORK, now))
    }

    /// A password was wrong.
    pub fn failed(&mut self, source: Source, now: Instant) {
        self.sources.take(source, OF_SOURCE, now);
        self.networks.take(source.network, OF_NETWORK, now);
    }

    /// A password was right: what went wrong before it is forgiven for this account.
    pub fn succeeded(&mut self, source: &Source) {
        self.sources.0.remove(source);
    }
}

/// When all tries of somebody will have been given again.
#[derive(Debug)]
struct Counts<K>(BTreeMap<K, Instant>);

impl<K> Default for Counts<K> {
    fn default() -> Self {
        Counts(BTreeMap::new())
    }
}

impl<K: Ord + Copy> Counts<K> {
    fn has_left(&self, key: &K, rate: Rate, now: Instant) -> bool {
        let owed = self.0.get(key).map_or(Duration::ZERO, |whole| whole.since(now));
        owed <= rate.each * (rate.at_once - 1)
    }

    fn take(&mut self, key: K, rate: Rate, now: Instant) {
        if self.0.len() >= COUNTED_MAX && !self.0.contains_key(&key) {
            self.make_room(now);
        }
        let whole = self.0.entry(key).or_insert(now);
        *whole = (*whole).max(now).after(rate.each);
    }

    fn make_room(&mut self, now: Instant) {
        self.0.retain(|_, whole| *whole > now);
        if self.0.len() < COUNTED_MAX {
            return;
        }
        let mut times: Vec<Instant> = self.0.values().copied().collect();
        let place = times.len() / 8;
        let (_, limit, _) = times.select_nth_unstable(place);
        let limit = *limit;
        self.0.retain(|_, whole| *whole > limit);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::IpAddr;

    fn source(last: [u8; 4], account: u64) -> Source {
        Source { network: Network::of(IpAddr::from(last)), account }
    }

    fn at(seconds: u64) -> Instant {
        Instant(Duration::from_secs(seconds))
    }

    /// Wrong passwords that are looked at in an hour of trying each second.
    fn tried(guesses: &mut Guesses, source: impl Fn(u64) -> Source) -> u64 {
        let mut tried = 0;
        for second in 0..3600 {
            let source = source(second);
            if guesses.may_try(&source, false, at(second)) {
                guesses.failed(source, at(second));
                tried += 1;
            }
        }
        tried
    }

    #[test]
    fn an_account_is_guessed_at_once_a_minute_and_many_of_a_network_in_ten_seconds() {
        let one = tried(&mut Guesses::default(), |_| source([192, 0, 2, 1], 1));
        assert_eq!(one, 8 + 59);
        let hosts = |second: u64| source([192, 0, 2, second as u8], second);
        assert_eq!(tried(&mut Guesses::default(), hosts), 60 + 359);
    }

    #[test]
    fn others_and_those_who_are_known_are_not_kept_out() {
        let mut guesses = Guesses::default();
        tried(&mut guesses, |second| source([192, 0, 2, 1], second));
        let owner = source([192, 0, 2, 9], 100_000);
        assert!(!guesses.may_try(&owner, false, at(3599)));
        assert!(guesses.may_try(&owner, true, at(3599)));
        assert!(guesses.may_try(&source([192, 0, 3, 9], 1), false, at(3599)));
        // Time gives all back, and so does the right password.
        assert!(guesses.may_try(&owner, false, at(3600)));
        (0..8).for_each(|_| guesses.failed(owner, at(5000)));
        assert!(!guesses.may_try(&owner, true, at(5000)));
        guesses.succeeded(&owner);
        assert!(guesses.may_try(&owner, true, at(5000)));
    }

    #[test]
    fn the_table_is_bounded_and_keeps_who_has_nothing_left() {
        let mut guesses = Guesses::default();
        let guesser = source([192, 0, 2, 1], 0);
        (0..8).for_each(|_| guesses.failed(guesser, at(0)));
        for account in 1..200_000 {
            guesses.failed(source([198, 51, 100, 1], account), at(0));
        }
        assert!(guesses.sources.0.len() <= COUNTED_MAX);
        assert!(!guesses.may_try(&guesser, true, at(0)));
    }
}
