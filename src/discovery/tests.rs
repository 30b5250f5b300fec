//! Searches in a network of the tests' making: what each trouble ends in, and where connections
//! never go.

use super::testing::{self, NOW, TestNet, octets, redirect, status};
use super::vet::tests::REFUSED;
use super::{FailWhy, Network, Outcome, Search, Vet};
use crate::base::fetch::{FetchError, FetchRequest, Fetched};
use crate::mail::Address;
use crate::pgp::{self, Unusable};
use std::sync::Arc;

const ZONE: &str = "openpgpkey.peer.example A 9.9.9.9\npeer.example A 9.9.9.8\n";

fn address(text: &str) -> Address {
    text.parse().unwrap()
}

fn cert(of: &str) -> Vec<u8> {
    pgp::generate_identity(of, NOW).unwrap().public
}

async fn search(net: &Arc<TestNet>, of: &str) -> Search {
    net.finder(Vet::default()).search(&address(of)).await
}

async fn outcome(net: &Arc<TestNet>, of: &str) -> Outcome {
    search(net, of).await.outcome
}

fn body(body: &[u8], content_type: &str) -> Result<Fetched, FetchError> {
    let content_type = Some(content_type.to_owned());
    Ok(Fetched { content_type, body: body.to_vec(), ..status(200) })
}

#[tokio::test]
async fn a_key_is_found_at_the_first_place_and_nobody_else_is_asked() {
    let net = TestNet::new(ZONE);
    let alice = cert("alice@peer.example");
    net.serve(&alice);
    let search = search(&net, "Alice@Peer.Example").await;
    let Outcome::Key(found) = &search.outcome else { panic!("{search:?}") };
    assert_eq!(found.primary(), pgp::fingerprint(&alice).unwrap());
    assert!(!search.armored);
    assert_eq!(net.resolved(), ["openpgpkey.peer.example"]);
    let asked = net.asked();
    assert_eq!(asked.len(), 1);
    assert_eq!(asked[0].host, "openpgpkey.peer.example");
    assert_eq!(asked[0].address.to_string(), "9.9.9.9");
    assert_eq!((asked[0].port, asked[0].body_bytes_max), (443, 256 * 1024));
    assert!(asked[0].path.starts_with("/.well-known/openpgpkey/peer.example/hu/"));
    assert!(asked[0].path.ends_with("?l=Alice"));
    assert_eq!(search.steps.len(), 3, "{:?}", search.steps);
}

#[tokio::test]
async fn the_second_place_is_asked_only_if_the_first_has_no_address() {
    for (zone, hosts) in [
        ("peer.example A 9.9.9.8\n", &["peer.example"][..]),
        ("peer.example A 9.9.9.8\nopenpgpkey.peer.example TXT \"\"\n", &["peer.example"]),
        (ZONE, &["openpgpkey.peer.example"]),
        ("peer.example A 9.9.9.8\nopenpgpkey.peer.example SERVFAIL\n", &[]),
        ("peer.example A 9.9.9.8\nopenpgpkey.peer.example TIMEOUT\n", &[]),
        ("peer.example A 9.9.9.8\nopenpgpkey.peer.example BOGUS\n", &[]),
        ("mail.peer.example A 9.9.9.8\n", &[]),
    ] {
        let net = TestNet::new(zone);
        outcome(&net, "alice@peer.example").await;
        let asked: Vec<_> = net.asked().into_iter().map(|request| request.host).collect();
        assert_eq!(asked, hosts, "{zone}");
    }
    // No failure of the first leads to the second.
    use FetchError::*;
    for error in [Connect, Tls, Timeout, TooLarge, Broken] {
        let net = TestNet::new(ZONE);
        net.set_web(move |_| Err(error));
        assert!(matches!(outcome(&net, "alice@peer.example").await, Outcome::Failed(_)));
        assert!(net.asked().iter().all(|request| request.host == "openpgpkey.peer.example"));
        assert_eq!(net.resolved(), ["openpgpkey.peer.example"], "{error}");
    }
}

#[tokio::test]
async fn what_name_servers_say_ends_as_it_must() {
    let failed = Outcome::Failed;
    for (zone, expected) in [
        ("openpgpkey.peer.example SERVFAIL\n", failed(FailWhy::Dns)),
        ("openpgpkey.peer.example TIMEOUT\n", failed(FailWhy::Dns)),
        ("openpgpkey.peer.example BOGUS\n", failed(FailWhy::Bogus)),
        ("peer.example SERVFAIL\n", failed(FailWhy::Dns)),
        ("peer.example BOGUS\n", failed(FailWhy::Bogus)),
        ("$secure\npeer.example NXDOMAIN\n", Outcome::Absent),
        ("peer.example NXDOMAIN\n", Outcome::Absent),
        ("peer.example MX 10 mail.peer.example\n", Outcome::Absent),
    ] {
        let net = TestNet::new(zone);
        net.serve(&cert("alice@peer.example"));
        assert_eq!(outcome(&net, "alice@peer.example").await, expected, "{zone}");
        assert_eq!(net.asked().len(), 0, "{zone}");
    }
    let net = TestNet::new("");
    assert_eq!(outcome(&net, "alice@[192.0.2.1]").await, Outcome::Absent);
    assert_eq!(net.resolved().len(), 0);
}

#[tokio::test]
async fn what_directories_say_ends_as_it_must() {
    let alice = cert("alice@peer.example");
    let cut = alice[..alice.len() - 10].to_vec();
    let page = b"<!doctype html><title>Not found</title>";
    use FailWhy::*;
    let rows: Vec<(&str, Result<Fetched, FetchError>, Outcome)> = vec![
        ("404", Ok(status(404)), Outcome::Absent),
        ("410", Ok(status(410)), Outcome::Absent),
        ("401", Ok(status(401)), Outcome::Failed(Status(401))),
        ("403", Ok(status(403)), Outcome::Failed(Status(403))),
        ("429", Ok(status(429)), Outcome::Failed(Status(429))),
        ("500", Ok(status(500)), Outcome::Failed(Status(500))),
        ("503", Ok(status(503)), Outcome::Failed(Status(503))),
        ("204", Ok(status(204)), Outcome::Failed(Status(204))),
        ("206", Ok(status(206)), Outcome::Failed(Status(206))),
        ("empty", Ok(status(200)), Outcome::Failed(NotADirectory)),
        ("page", body(page, "text/html"), Outcome::Failed(NotADirectory)),
        (
            "page, mislabelled",
            body(page, "application/octet-stream"),
            Outcome::Failed(NotADirectory),
        ),
        ("cut body", body(&cut, ""), Outcome::Failed(NotADirectory)),
        ("noise", body(&[0x98; 300], ""), Outcome::Failed(NotADirectory)),
        ("blackhole", Err(FetchError::Timeout), Outcome::Failed(Timeout)),
        ("refused", Err(FetchError::Connect), Outcome::Failed(Connect)),
        ("bad certificate", Err(FetchError::Tls), Outcome::Failed(Tls)),
        ("too large", Err(FetchError::TooLarge), Outcome::Failed(TooLarge)),
        ("broken HTTP", Err(FetchError::Broken), Outcome::Failed(NotADirectory)),
        ("endless redirects", Ok(redirect("/again")), Outcome::Failed(Status(302))),
        ("foreign redirect", Ok(redirect("https://evil.example/")), Outcome::Failed(Status(302))),
        ("plain redirect", Ok(redirect("http://peer.example/")), Outcome::Failed(Status(302))),
    ];
    for (name, answer, expected) in rows {
        let net = TestNet::new(ZONE);
        net.set_web(move |_| answer.clone());
        assert_eq!(outcome(&net, "alice@peer.example").await, expected, "{name}");
    }
}

#[tokio::test]
async fn certificates_that_cannot_be_used_are_neither_none_nor_failed() {
    for (of, bytes, expected) in [
        ("expired@peer.example", octets(testing::EXPIRED), Unusable::Expired),
        ("revoked@peer.example", octets(testing::REVOKED), Unusable::Revoked),
        ("sha1@peer.example", octets(testing::SHA1), Unusable::Weak),
        ("alice@peer.example", cert("bob@peer.example"), Unusable::WrongUserId),
        ("alice@peer.example", cert("alice@other.example"), Unusable::WrongUserId),
    ] {
        let net = TestNet::new(ZONE);
        net.serve(&bytes);
        assert_eq!(outcome(&net, of).await, Outcome::Unusable(expected), "{of}");
    }
}

#[tokio::test]
async fn several_certificates_and_armored_ones_are_tolerated() {
    let (alice, bob) = (cert("alice@peer.example"), cert("bob@peer.example"));
    let net = TestNet::new(ZONE);
    net.serve(&[octets(testing::REVOKED), bob, alice.clone()].concat());
    let Outcome::Key(found) = outcome(&net, "alice@peer.example").await else { panic!("no key") };
    assert_eq!(found.primary(), pgp::fingerprint(&alice).unwrap());
    use base64::Engine;
    let base64 = base64::engine::general_purpose::STANDARD.encode(&alice);
    let lines: Vec<&str> =
        base64.as_bytes().chunks(64).map(|line| std::str::from_utf8(line).unwrap()).collect();
    let armored = format!(
        "-----BEGIN PGP PUBLIC KEY BLOCK-----\n\n{}\n-----END PGP PUBLIC KEY BLOCK-----\n",
        lines.join("\n")
    );
    net.serve(armored.as_bytes());
    let search = search(&net, "alice@peer.example").await;
    assert!(search.armored && matches!(search.outcome, Outcome::Key(_)), "{search:?}");
}

#[tokio::test]
async fn redirects_are_followed_three_times_and_each_is_resolved_and_vetted() {
    let net = TestNet::new(&format!("{ZONE}keys.peer.example A 9.9.9.7\n"));
    let alice = cert("alice@peer.example");
    let steps = |limit: u32| {
        let alice = alice.clone();
        move |request: &FetchRequest| match request.path.strip_prefix("/hop/") {
            None => Ok(redirect("https://keys.peer.example/hop/1")),
            Some(hop) if hop.parse::<u32>().unwrap() < limit => {
                let next = hop.parse::<u32>().unwrap() + 1;
                Ok(redirect(&format!("/hop/{next}")))
            }
            Some(_) => body(&alice, ""),
        }
    };
    net.set_web(steps(3));
    assert!(matches!(outcome(&net, "alice@peer.example").await, Outcome::Key(_)));
    let asked = net.asked();
    assert_eq!(asked.len(), 4);
    assert!(asked[1..].iter().all(|request| request.address.to_string() == "9.9.9.7"));
    net.set_web(steps(4));
    let failed = Outcome::Failed(FailWhy::Status(302));
    assert_eq!(outcome(&net, "alice@peer.example").await, failed);
    assert_eq!(net.asked().len(), 4);
}

/// Whoever owns a name owns what it resolves to: no address of the table is ever connected to, not
/// directly, not by the second place, not by a redirect, and not beside an allowed one.
#[tokio::test]
async fn no_way_leads_to_an_address_that_is_refused() {
    for (refused, _) in REFUSED {
        let kind = if refused.contains(':') { "AAAA" } else { "A" };
        let forbidden = Outcome::Failed(FailWhy::Forbidden);
        for name in ["openpgpkey.peer.example", "peer.example"] {
            let net = TestNet::new(&format!("{name} {kind} {refused}\n"));
            assert_eq!(outcome(&net, "alice@peer.example").await, forbidden, "{name} {refused}");
            assert_eq!(net.asked().len(), 0, "{name} {refused}");
        }
        let net = TestNet::new(&format!("{ZONE}in.peer.example {kind} {refused}\n"));
        net.set_web(|_| Ok(redirect("https://in.peer.example/x")));
        assert_eq!(outcome(&net, "alice@peer.example").await, forbidden, "{refused}");
        assert_eq!(net.asked().len(), 1, "{refused}");
        let net = TestNet::new(&format!("{ZONE}openpgpkey.peer.example {kind} {refused}\n"));
        assert_eq!(outcome(&net, "alice@peer.example").await, Outcome::Absent);
        let asked = net.asked();
        assert!(asked.iter().all(|request| request.address.to_string() == "9.9.9.9"), "{refused}");
    }
}

#[tokio::test]
async fn networks_that_are_excepted_are_asked() {
    let net = TestNet::new("openpgpkey.peer.example A 10.1.2.3\n");
    let excepted = vec![Network::parse("10.1.0.0/16").unwrap()];
    let finder = net.finder(Vet { excepted, own: Vec::new() });
    assert_eq!(finder.search(&address("alice@peer.example")).await.outcome, Outcome::Absent);
    assert_eq!(net.asked().len(), 1);
}

#[tokio::test]
async fn other_addresses_are_tried_when_one_does_not_answer() {
    let net = TestNet::new(
        "openpgpkey.peer.example AAAA 2606:4700::1\nopenpgpkey.peer.example A 9.9.9.9\n",
    );
    net.set_web(|request| match request.address.is_ipv4() {
        true => Err(FetchError::Connect),
        false => Ok(status(404)),
    });
    assert_eq!(outcome(&net, "alice@peer.example").await, Outcome::Absent);
    let asked = net.asked();
    assert_eq!(asked.len(), 2);
    assert_eq!(asked[0].time_max, testing::TIME_MAX / 2);
    let many: String = (1..=99).map(|n| format!("openpgpkey.peer.example A 9.9.9.{n}\n")).collect();
    let net = TestNet::new(&many);
    net.set_web(|_| Err(FetchError::Timeout));
    assert_eq!(outcome(&net, "alice@peer.example").await, Outcome::Failed(FailWhy::Timeout));
    assert_eq!(net.asked().len(), 3);
}

#[tokio::test]
async fn a_search_ends_in_time_even_if_answers_never_come() {
    let net = TestNet::new(ZONE);
    *net.stuck.lock().unwrap() = true;
    let search = search(&net, "alice@peer.example").await;
    assert_eq!(search.outcome, Outcome::Failed(FailWhy::Timeout));
    assert_eq!(search.steps.last().unwrap(), "given up after 10 s");
}
