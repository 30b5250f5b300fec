//! How many sessions and connections each network has, and what it may hold of messages: a table
//! that forgets and cannot grow.
//!
//! A network is an IPv4 /24 or an IPv6 /48: who has one address there usually has them all.
//!
//! Other servers and users come by listeners of their own, and neither side may take all the places
//! for sessions: a flood of strangers from many networks does not keep users from sending, nor the
//! other way round.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use crate::base::budget::ByteBudget;
use crate::base::clock::Instant;

use super::options::{Limits, ListenerKind};

/// Networks remembered at once; about 100 octets each.
const NETWORKS_MAX: usize = 65_536;

/// The time over which connections are counted.
const WINDOW: Duration = Duration::from_secs(60);

/// The table, shared by clones.
#[derive(Clone, Default)]
pub(super) struct Networks(Arc<Mutex<Table>>);

/// By which listeners a session came.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Side {
    Servers,
    Users,
}

#[derive(Default)]
struct Table {
    of_servers: usize,
    of_users: usize,
    networks: BTreeMap<u128, Network>,
    /// When old entries were last looked for: at most once a second, however full the table is.
    swept: Option<Instant>,
}

#[derive(Default)]
struct Network {
    sessions: usize,
    /// When the current window began.
    window: Option<Instant>,
    connections: u32,
    /// Octets of messages that its sessions may hold at once.
    share: Option<ByteBudget>,
}

/// A session that counts until it is dropped.
pub(super) struct Admitted {
    networks: Networks,
    side: Side,
    key: Option<u128>,
}

impl Networks {
    /// Counts a connection; `None` if it is one too many.
    pub fn admit(
        &self,
        kind: ListenerKind,
        peer: IpAddr,
        now: Instant,
        limits: &Limits,
    ) -> Option<Admitted> {
        let side = Side::of(kind);
        let mut table = self.lock();
        if !table.has_place(side, limits.sessions_max) {
            return None;
        }
        let exempt = peer.to_canonical().is_loopback() && !limits.limit_loopback;
        let key = network(peer);
        let tracked = !exempt && table.has_room(key, now);
        if tracked && !table.networks.entry(key).or_default().take(now, limits) {
            return None;
        }
        *table.sessions(side) += 1;
        drop(table);
        Some(Admitted { networks: self.clone(), side, key: tracked.then_some(key) })
    }

    /// What the network of a session may hold of messages at once, of `limit_bytes`; nothing where
    /// networks are not counted.
    fn share(&self, key: u128, limit_bytes: u64) -> Option<ByteBudget> {
        let mut table = self.lock();
        let network = table.networks.get_mut(&key)?;
        Some(network.share.get_or_insert_with(|| ByteBudget::new(limit_bytes)).clone())
    }

    fn lock(&self) -> MutexGuard<'_, Table> {
        self.0.lock().unwrap_or_else(|poisoned| poisoned.into_inner())
    }
}

impl Side {
    fn of(kind: ListenerKind) -> Side {
        match kind {
            ListenerKind::Mx => Side::Servers,
            ListenerKind::Submission | ListenerKind::Submissions => Side::Users,
        }
    }
}

impl Table {
    fn sessions(&mut self, side: Side) -> &mut usize {
        match side {
            Side::Servers => &mut self.of_servers,
            Side::Users => &mut self.of_users,
        }
    }

    /// Whether there is a place for one more: a quarter of them is out of reach for each side.
    fn has_place(&mut self, side: Side, sessions_max: usize) -> bool {
        self.of_servers + self.of_users < sessions_max
            && *self.sessions(side) < sessions_max - sessions_max / 4
    }

    /// Whether `key` is in the table or may get in. A table that is full of the living lets new
    /// networks in uncounted: the limit over all sessions still holds.
    fn has_room(&mut self, key: u128, now: Instant) -> bool {
        if self.networks.contains_key(&key) || self.networks.len() < NETWORKS_MAX {
            return true;
        }
        if self.swept.is_none_or(|swept| now.since(swept) >= Duration::from_secs(1)) {
            self.swept = Some(now);
            self.networks.retain(|_, network| !network.is_forgotten(now));
        }
        self.networks.len() < NETWORKS_MAX
    }
}

impl Network {
    fn take(&mut self, now: Instant, limits: &Limits) -> bool {
        if self.window.is_none_or(|window| now.since(window) >= WINDOW) {
            (self.window, self.connections) = (Some(now), 0);
        }
        self.connections = self.connections.saturating_add(1);
        let few = self.connections <= limits.connections_per_minute_max
            && self.sessions < limits.sessions_per_network_max;
        self.sessions += usize::from(few);
        few
    }

    fn is_forgotten(&self, now: Instant) -> bool {
        self.sessions == 0 && self.window.is_none_or(|window| now.since(window) >= WINDOW)
    }
}

impl Admitted {
    /// See [`Networks::share`].
    pub fn share(&self, limit_bytes: u64) -> Option<ByteBudget> {
        self.networks.share(self.key?, limit_bytes)
    }
}

impl Drop for Admitted {
    fn drop(&mut self) {
        let mut table = self.networks.lock();
        *table.sessions(self.side) -= 1;
        if let Some(network) = self.key.and_then(|key| table.networks.get_mut(&key)) {
            network.sessions -= 1;
        }
    }
}

/// The network's number: families do not overlap.
fn network(peer: IpAddr) -> u128 {
    match peer.to_canonical() {
        IpAddr::V4(v4) => u128::from(u32::from(v4) >> 8),
        IpAddr::V6(v6) => (u128::from(v6) >> 80) + (1 << 32),
    }
}

#[cfg(test)]
mod tests {
    use super::ListenerKind::*;
    use super::*;

    fn limits() -> Limits {
        Limits {
            sessions_max: 4,
            sessions_per_network_max: 2,
            connections_per_minute_max: 3,
            ..Limits::default()
        }
    }

    fn at(seconds: u64) -> Instant {
        Instant(Duration::from_secs(seconds))
    }

    fn ip(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    #[test]
    fn a_network_has_few_sessions_and_few_connections_a_minute() {
        let networks = Networks::default();
        let admit = |peer, seconds| networks.admit(Mx, ip(peer), at(seconds), &limits());
        let first = admit("192.0.2.1", 0).unwrap();
        let _second = admit("192.0.2.99", 0).unwrap();
        assert!(admit("192.0.2.2", 0).is_none());
        // The same network by IPv6-mapped address, and another one.
        assert!(admit("::ffff:192.0.2.3", 1).is_none());
        assert!(admit("192.0.3.1", 1).is_some());
        drop(first);
        assert!(admit("192.0.2.1", 1).is_none(), "four connections within the minute");
        assert!(admit("192.0.2.1", 61).is_some());
    }

    #[test]
    fn all_together_are_bounded_and_loopback_only_by_that() {
        let networks = Networks::default();
        let admit = |kind, peer| networks.admit(kind, ip(peer), at(0), &limits());
        let kinds = [Mx, Mx, Submission, Submissions];
        let held: Vec<_> = kinds.iter().map(|kind| admit(*kind, "127.0.0.1").unwrap()).collect();
        assert!(admit(Mx, "127.0.0.1").is_none() && admit(Submission, "127.0.0.1").is_none());
        drop(held);
        assert!(admit(Mx, "::1").is_some());
    }

    #[test]
    fn neither_other_servers_nor_users_take_all_the_places() {
        for (flood, others) in [(Mx, Submissions), (Submission, Mx)] {
            let networks = Networks::default();
            let admit = |kind, network: u32| {
                let peer = IpAddr::V4((network << 8).into());
                networks.admit(kind, peer, at(0), &limits())
            };
            let held: Vec<_> = (1..9).filter_map(|network| admit(flood, network)).collect();
            assert_eq!(held.len(), 3);
            let _other = admit(others, 9).unwrap();
            assert!(admit(others, 10).is_none(), "all are taken");
            drop(held);
            assert!(admit(flood, 1).is_some());
        }
        // A single place is for whoever comes first.
        let one = Limits { sessions_max: 1, ..limits() };
        assert!(Networks::default().admit(Mx, ip("192.0.2.1"), at(0), &one).is_some());
    }

    #[test]
    fn ipv6_is_counted_by_48_bits_and_the_table_does_not_grow() {
        assert_eq!(network(ip("2001:db8:1:2::3")), network(ip("2001:db8:1:ffff::")));
        assert_ne!(network(ip("2001:db8:1::")), network(ip("2001:db8:2::")));
        let networks = Networks::default();
        for number in 0..NETWORKS_MAX as u32 + 10 {
            let peer = IpAddr::V4((number << 8).into());
            let limits = Limits { limit_loopback: true, ..limits() };
            drop(networks.admit(Mx, peer, at(0), &limits).unwrap());
        }
        assert_eq!(networks.lock().networks.len(), NETWORKS_MAX);
        assert!(networks.admit(Mx, ip("2001:db8::1"), at(100), &limits()).is_some());
        assert_eq!(networks.lock().networks.len(), 1);
    }
}
