//! The written zone in the shape of mail-auth's caches, which it asks before it asks the resolver.

use crate::dns::{DnsError, Lookup, Mx, Name, Resolver, Zone};
use hickory_resolver::proto::op::ResponseCode;
use mail_auth::common::parse::TxtRecordParser;
use mail_auth::common::verify::DomainKey;
use mail_auth::dkim::{Atps, DomainKeyReport};
use mail_auth::dmarc::Dmarc;
use mail_auth::spf::{Macro, Mechanism, Spf};
use mail_auth::{DnssecStatus, Error, MX, RecordSet, ResolverCache, Txt};
use std::borrow::Borrow;
use std::future::Future;
use std::hash::{Hash, Hasher};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};
use std::time::Instant;

/// The zone, where there is one.
pub(super) struct Written(pub(super) Option<Arc<Zone>>);

impl Written {
    /// What the zone says of `key`, if it answers for it: `read` is given the name.
    fn answer<Q: Hash + ?Sized, T>(
        &self,
        key: &Q,
        read: impl FnOnce(&Zone, &Name) -> Option<T>,
    ) -> Option<T> {
        let zone = self.0.as_deref()?;
        let name = Name::parse(&spelled(key)?).ok().filter(|name| zone.covers(name))?;
        read(zone, &name)
    }
}

/// The name that `key` is. The trait asks by any type that borrows from a name and hashes as it
/// does; a text hashes as its octets with 0xff behind them.
fn spelled<Q: Hash + ?Sized>(key: &Q) -> Option<String> {
    struct Octets(Vec<u8>);
    impl Hasher for Octets {
        fn write(&mut self, bytes: &[u8]) {
            self.0.extend_from_slice(bytes);
        }
        fn finish(&self) -> u64 {
            0
        }
    }
    let mut octets = Octets(Vec::new());
    key.hash(&mut octets);
    octets.0.pop().filter(|last| *last == 0xff)?;
    String::from_utf8(octets.0).ok()
}

/// A written zone answers at once.
fn at_once<T>(mut future: Pin<Box<dyn Future<Output = T> + Send + '_>>) -> Option<T> {
    match future.as_mut().poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(answer) => Some(answer),
        Poll::Pending => None,
    }
}

impl ResolverCache<Box<str>, Txt> for Written {
    fn get<Q>(&self, key: &Q) -> Option<Txt>
    where
        Box<str>: Borrow<Q>,
        Q: Hash + Eq + ?Sized,
    {
        self.answer(key, |zone, name| {
            Some(match at_once(zone.txt(name))? {
                Lookup::Found { records, .. } => typed(name.as_str(), &records),
                Lookup::Absent { no_name, .. } => {
                    let code = if no_name { ResponseCode::NXDomain } else { ResponseCode::NoError };
                    Txt::Error(Error::Dns(mail_auth::DnsError::RecordNotFound(code)))
                }
                Lookup::Failed(error) => Txt::Error(failed(error)),
            })
        })
    }

    fn remove<Q>(&self, _: &Q) -> Option<Txt>
    where
        Box<str>: Borrow<Q>,
        Q: Hash + Eq + ?Sized,
    {
        None
    }

    fn insert(&self, _: Box<str>, _: Txt, _: Instant) {}
}

fn failed(error: DnsError) -> Error {
    Error::Dns(mail_auth::DnsError::Resolver(error.to_string()))
}

/// A record in the type that is asked for at such a name.
fn typed(name: &str, records: &[Vec<u8>]) -> Txt {
    if name.starts_with("_report._domainkey.") {
        first::<DomainKeyReport>(records)
    } else if name.contains("._domainkey.") {
        first::<DomainKey>(records)
    } else if name.starts_with("_dmarc.") {
        first::<Dmarc>(records)
    } else if name.contains("._atps.") {
        first::<Atps>(records)
    } else {
        match first::<Spf>(records) {
            Txt::Spf(spf) if asks_whether_exists(&spf) => Txt::Error(Error::ParseError),
            // RFC 7208 §6.2: the explanation is a text of any kind.
            Txt::Error(error) if records.iter().all(|text| !text.starts_with(b"v=spf1")) => {
                match first::<Macro>(records) {
                    Txt::SpfMacro(found) if !name.starts_with('_') => Txt::SpfMacro(found),
                    _ => Txt::Error(error),
                }
            }
            other => other,
        }
    }
}

fn asks_whether_exists(spf: &Spf) -> bool {
    spf.directives.iter().any(|found| matches!(found.mechanism, Mechanism::Exists { .. }))
}

fn first<T: TxtRecordParser + Into<Txt>>(records: &[Vec<u8>]) -> Txt {
    let mut result = Err(Error::Dns(mail_auth::DnsError::InvalidRecordType));
    for record in records {
        result = T::parse(record);
        if result.is_ok() {
            break;
        }
    }
    result.into()
}

fn set<T>(records: Vec<T>) -> RecordSet<T> {
    RecordSet { rrset: records.into(), dnssec_status: DnssecStatus::Indeterminate }
}

/// Addresses; none where the zone knows of none.
fn addresses<T>(zone: &Zone, name: &Name, of: fn(IpAddr) -> Option<T>) -> Option<RecordSet<T>> {
    match at_once(zone.addresses(name))? {
        Lookup::Found { records, .. } => Some(set(records.into_iter().filter_map(of).collect())),
        _ => Some(set(Vec::new())),
    }
}

macro_rules! cache {
    ($Value:ty, $read:expr) => {
        impl ResolverCache<Box<str>, RecordSet<$Value>> for Written {
            fn get<Q>(&self, key: &Q) -> Option<RecordSet<$Value>>
            where
                Box<str>: Borrow<Q>,
                Q: Hash + Eq + ?Sized,
            {
                self.answer(key, $read)
            }

            fn remove<Q>(&self, _: &Q) -> Option<RecordSet<$Value>>
            where
                Box<str>: Borrow<Q>,
                Q: Hash + Eq + ?Sized,
            {
                None
            }

            fn insert(&self, _: Box<str>, _: RecordSet<$Value>, _: Instant) {}
        }
    };
}

cache!(Ipv4Addr, |zone, name| addresses(zone, name, |ip| match ip {
    IpAddr::V4(v4) => Some(v4),
    IpAddr::V6(_) => None,
}));
cache!(Ipv6Addr, |zone, name| addresses(zone, name, |ip| match ip {
    IpAddr::V6(v6) => Some(v6),
    IpAddr::V4(_) => None,
}));
cache!(MX, |zone, name| match at_once(zone.mx(name))? {
    Lookup::Found { mut records, .. } => {
        records.sort();
        Some(set(records.into_iter().map(exchange).collect()))
    }
    _ => Some(set(Vec::new())),
});

fn exchange(mx: Mx) -> MX {
    let host = format!("{}.", mx.host.as_str()).into_boxed_str();
    MX { exchanges: [host].into(), preference: mx.preference }
}

/// A written zone has no reverse names: where it answers for all names there are none.
impl ResolverCache<IpAddr, RecordSet<Box<str>>> for Written {
    fn get<Q>(&self, _: &Q) -> Option<RecordSet<Box<str>>>
    where
        IpAddr: Borrow<Q>,
        Q: Hash + Eq + ?Sized,
    {
        let everything = self.0.as_ref().is_some_and(|zone| zone.covers(&Name::root()));
        everything.then(|| set(Vec::new()))
    }

    fn remove<Q>(&self, _: &Q) -> Option<RecordSet<Box<str>>>
    where
        IpAddr: Borrow<Q>,
        Q: Hash + Eq + ?Sized,
    {
        None
    }

    fn insert(&self, _: IpAddr, _: RecordSet<Box<str>>, _: Instant) {}
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_name_is_found_in_what_a_key_hashes() {
        assert_eq!(spelled("_dmarc.b.example."), Some("_dmarc.b.example.".to_owned()));
        assert_eq!(spelled(&Box::<str>::from("a")), Some("a".to_owned()));
        let address: IpAddr = "192.0.2.1".parse().unwrap();
        assert!(spelled(&address).is_none_or(|text| text.parse::<IpAddr>().is_err()));
    }
}
