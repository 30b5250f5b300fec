//! Routes over a literal zone.

use super::*;
use crate::base::BoxFuture;
use crate::base::entropy::SeededEntropy;
use crate::dns::Proof;

/// What a test says of the MX records of `domain.example`, and of the addresses of every host.
struct Zone {
    mx: Lookup<Mx>,
    addresses: Lookup<IpAddr>,
}

impl Resolver for Zone {
    fn addresses<'a>(&'a self, _: &'a Name) -> BoxFuture<'a, Lookup<IpAddr>> {
        Box::pin(async { self.addresses.clone() })
    }

    fn mx<'a>(&'a self, name: &'a Name) -> BoxFuture<'a, Lookup<Mx>> {
        assert_eq!(name.as_str(), "domain.example");
        Box::pin(async { self.mx.clone() })
    }

    fn txt<'a>(&'a self, _: &'a Name) -> BoxFuture<'a, Lookup<Vec<u8>>> {
        Box::pin(async { absent(false) })
    }
}

fn absent<T>(no_name: bool) -> Lookup<T> {
    Lookup::Absent { no_name, proof: Proof::Insecure }
}

fn found<T>(records: Vec<T>) -> Lookup<T> {
    Lookup::Found { records, proof: Proof::Insecure }
}

fn mx(records: &[(u16, &str)]) -> Lookup<Mx> {
    let record = |(preference, host): &(u16, &str)| Mx {
        preference: *preference,
        host: Name::parse(host).unwrap(),
    };
    found(records.iter().map(record).collect())
}

/// The places for `domain`, or the code of why there are none, with a star if it may change.
async fn of(domain: &str, mx: Lookup<Mx>, seed: u64) -> Result<Vec<String>, String> {
    let zone = Zone { mx, addresses: absent(false) };
    let entropy = SeededEntropy::new(seed);
    match places(domain, &zone, &entropy, "us.example").await {
        Ok(places) => Ok(places.iter().map(Place::name).collect()),
        Err(why) => Err(format!("{}{}", why.status, if why.permanent { "" } else { "*" })),
    }
}

fn ok(names: &[&str]) -> Result<Vec<String>, String> {
    Ok(names.iter().map(|name| (*name).to_owned()).collect())
}

#[tokio::test]
async fn servers_are_asked_by_preference_and_equals_by_lot() {
    let records = [(20, "c.example"), (10, "a.example"), (10, "b.example"), (5, "first.example")];
    let mut orders = std::collections::BTreeSet::new();
    for seed in 0..32 {
        let places = of("domain.example", mx(&records), seed).await.unwrap();
        assert_eq!((places[0].as_str(), places[3].as_str()), ("first.example", "c.example"));
        orders.insert(places);
    }
    assert_eq!(orders.len(), 2);
    let many: Vec<_> = (0..40).map(|preference| (preference, "a.example")).collect();
    assert_eq!(of("domain.example", mx(&many), 1).await.unwrap().len(), MX_HOSTS_MAX);
}

#[tokio::test]
async fn the_domain_itself_is_asked_only_if_it_is_known_that_there_is_no_mx() {
    assert_eq!(of("domain.example", absent(false), 1).await, ok(&["domain.example"]));
    assert_eq!(of("domain.example", absent(true), 1).await, Err("5.1.2".into()));
    for error in [DnsError::Timeout, DnsError::Server, DnsError::Bogus] {
        assert_eq!(of("domain.example", Lookup::Failed(error), 1).await, Err("4.4.3*".into()));
    }
    assert_eq!(of("domain.example", mx(&[(0, ".")]), 1).await, Err("5.1.10".into()));
    let both = mx(&[(0, "."), (1, "a.example")]);
    assert_eq!(of("domain.example", both, 1).await, ok(&["a.example"]));
    assert_eq!(of("not a name", absent(false), 1).await, Err("5.1.2".into()));
    assert_eq!(of("", absent(false), 1).await, Err("5.1.2".into()));
}

#[tokio::test]
async fn we_and_who_is_no_better_are_left_out() {
    let records = [(10, "a.example"), (20, "US.example"), (20, "b.example"), (30, "c.example")];
    assert_eq!(of("domain.example", mx(&records), 3).await, ok(&["a.example"]));
    let records = [(10, "a.example"), (10, "us.example")];
    for seed in 0..8 {
        assert_eq!(of("domain.example", mx(&records), seed).await, Err("5.4.6".into()));
    }
}

#[tokio::test]
async fn address_literals_are_places() {
    assert_eq!(of("[192.0.2.1]", absent(true), 1).await, ok(&["192.0.2.1"]));
    assert_eq!(of("[IPv6:2001:db8::1]", absent(true), 1).await, ok(&["2001:db8::1"]));
    for bad in ["[192.0.2.1", "[x]", "[IPv6:192.0.2.1]", "[2001:db8::1]", "[]", "[\u{fc}\u{fc}:]"] {
        assert_eq!(of(bad, absent(true), 1).await, Err("5.1.2".into()), "{bad}");
    }
}

#[tokio::test]
async fn addresses_of_both_families_take_turns() {
    let ip = |text: &str| text.parse::<IpAddr>().unwrap();
    let place = Place::Host(Name::parse("a.example").unwrap());
    let all = ["192.0.2.1", "192.0.2.2", "2001:db8::1", "192.0.2.3"].map(ip).to_vec();
    let zone = Zone { mx: absent(false), addresses: found(all) };
    let turns = ["2001:db8::1", "192.0.2.1", "192.0.2.2", "192.0.2.3"].map(ip).to_vec();
    assert_eq!(addresses(&place, &zone, true).await, Addresses::Some(turns.clone()));
    assert_eq!(addresses(&place, &zone, false).await, Addresses::Some(turns[1..].to_vec()));
    let zone = Zone { mx: absent(false), addresses: found(vec![ip("2001:db8::1")]) };
    assert!(matches!(addresses(&place, &zone, false).await, Addresses::None(_)));
    let zone = Zone { mx: absent(false), addresses: Lookup::Failed(DnsError::Timeout) };
    assert!(matches!(addresses(&place, &zone, true).await, Addresses::Unknown(_)));
    let literal = Place::Address(ip("192.0.2.9"));
    let own = Addresses::Some(vec![ip("192.0.2.9")]);
    assert_eq!(addresses(&literal, &zone, true).await, own);
}

#[tokio::test]
async fn relays_are_read() {
    let read = |text: &str| Relayhost::parse(text).map(|relay| relay.to_string());
    for good in ["a.example", "[a.example]", "[a.example]:587", "[192.0.2.1]:25", "[2001:db8::1]"] {
        let shown = Relayhost::parse(good).map(|relay| relay.to_string());
        assert_eq!(shown, Ok(good.to_owned()));
    }
    assert_eq!(read("A.example:26"), Ok("a.example:26".into()));
    for bad in
        ["", ":25", "a b", "[a.example", "[a]25", "a:0", "a:65536", "a:x", "[]", "192.0.2.1", "a]"]
    {
        assert_eq!(read(bad), Err(RelayhostError), "{bad}");
    }
    let records = mx(&[(20, "b.example"), (10, "us.example")]);
    let zone = Zone { mx: records, addresses: absent(false) };
    let places = async |text: &str, check| {
        let relay = Relayhost::parse(text).unwrap();
        let places = relay.places(&zone, &SeededEntropy::new(1), check).await.unwrap();
        places.iter().map(Place::name).collect::<Vec<_>>()
    };
    assert_eq!(places("domain.example", PeerCheck::Nothing).await, ["us.example", "b.example"]);
    assert_eq!(places("[domain.example]", PeerCheck::Nothing).await, ["domain.example"]);
    // The name system does not choose whose certificate is asked for.
    assert_eq!(places("domain.example", PeerCheck::Name).await, ["domain.example"]);
    assert_eq!(places("[domain.example]", PeerCheck::Name).await, ["domain.example"]);
}
