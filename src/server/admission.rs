//! How many sessions there may be, altogether and from one network, for each kind of listener.
//!
//! Counted before a single octet is read, so that a flood costs an accept and a close. A network is
//! a /24 of IPv4 or a /48 of IPv6: what one customer of a provider gets.
//!
//! # Known gaps
//! Behind a proxy or a tunnel everybody is one network; raise the limit there.

use crate::host::listen::Kind;
use std::collections::HashMap;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::sync::{Arc, Mutex, PoisonError};

/// Sessions that may be held at once.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SessionLimits {
    /// Of one kind.
    pub sessions_max: u32,
    /// Of one kind, from one network. Does not hold for the machine itself.
    pub sessions_per_network_max: u32,
}

impl SessionLimits {
    /// No limit here: somebody else counts.
    pub const NONE: SessionLimits =
        SessionLimits { sessions_max: u32::MAX, sessions_per_network_max: u32::MAX };
}

/// Which limit was reached.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Full {
    /// That of all sessions of the kind.
    All,
    /// That of the network.
    Network,
}

/// The counters of the process; clones share them.
#[derive(Clone, Debug, Default)]
pub struct Admission(Arc<Mutex<Counts>>);

#[derive(Debug, Default)]
struct Counts {
    kinds: HashMap<Kind, u32>,
    networks: HashMap<(Kind, IpAddr), u32>,
}

/// A session's place; dropping it frees the place.
#[derive(Debug)]
pub struct Place {
    admission: Admission,
    kind: Kind,
    network: IpAddr,
}

impl Admission {
    /// A place for a session of `kind` from `peer`, if there is one.
    pub fn admit(&self, kind: Kind, peer: IpAddr, limits: SessionLimits) -> Result<Place, Full> {
        let network = network(peer);
        let mut counts = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let all = counts.kinds.get(&kind).copied().unwrap_or(0);
        let here = counts.networks.get(&(kind, network)).copied().unwrap_or(0);
        if all >= limits.sessions_max {
            return Err(Full::All);
        }
        if here >= limits.sessions_per_network_max && !peer.is_loopback() {
            return Err(Full::Network);
        }
        counts.kinds.insert(kind, all + 1);
        counts.networks.insert((kind, network), here + 1);
        drop(counts);
        Ok(Place { admission: self.clone(), kind, network })
    }

    /// Sessions of `kind` now.
    pub fn sessions(&self, kind: Kind) -> u32 {
        let counts = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        counts.kinds.get(&kind).copied().unwrap_or(0)
    }

    /// Sessions of all kinds now.
    pub fn all_sessions(&self) -> u32 {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).kinds.values().sum()
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut counts = self.admission.0.lock().unwrap_or_else(PoisonError::into_inner);
        let counts = &mut *counts;
        release(&mut counts.kinds, self.kind);
        release(&mut counts.networks, (self.kind, self.network));
    }
}

/// Takes one off; a key that came to nothing is removed, so that the table stays as small as what
/// is connected.
fn release<K: std::hash::Hash + Eq>(counts: &mut HashMap<K, u32>, key: K) {
    if let std::collections::hash_map::Entry::Occupied(mut entry) = counts.entry(key) {
        *entry.get_mut() -= 1;
        if *entry.get() == 0 {
            entry.remove();
        }
    }
}

fn network(peer: IpAddr) -> IpAddr {
    match peer.to_canonical() {
        IpAddr::V4(v4) => Ipv4Addr::from_bits(v4.to_bits() & 0xffff_ff00).into(),
        IpAddr::V6(v6) => Ipv6Addr::from_bits(v6.to_bits() & !(u128::MAX >> 48)).into(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIMITS: SessionLimits = SessionLimits { sessions_max: 3, sessions_per_network_max: 2 };

    fn ip(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    #[test]
    fn a_network_has_its_limit_and_all_together_have_one() {
        let admission = Admission::default();
        let admit = |peer| admission.admit(Kind::Smtp, ip(peer), LIMITS);
        let first = admit("192.0.2.1").unwrap();
        let _second = admit("192.0.2.200").unwrap();
        assert_eq!(admit("192.0.2.3").unwrap_err(), Full::Network);
        let _third = admit("192.0.3.1").unwrap();
        assert_eq!(admit("198.51.100.1").unwrap_err(), Full::All);
        assert!(admission.admit(Kind::Imap, ip("192.0.2.3"), LIMITS).is_ok());
        drop(first);
        assert!(admit("192.0.2.3").is_ok());
        assert_eq!(admission.sessions(Kind::Smtp), 2);
    }

    #[test]
    fn networks_of_ipv6_are_48_bits_and_mapped_ones_are_ipv4() {
        assert_eq!(network(ip("2001:db8:1:2::3")), ip("2001:db8:1::"));
        assert_eq!(network(ip("::ffff:192.0.2.77")), ip("192.0.2.0"));
    }

    #[test]
    fn nothing_is_remembered_of_those_who_left() {
        let admission = Admission::default();
        drop(admission.admit(Kind::Smtp, ip("192.0.2.1"), LIMITS).unwrap());
        let counts = admission.0.lock().unwrap();
        assert!(counts.kinds.is_empty() && counts.networks.is_empty());
    }
}
