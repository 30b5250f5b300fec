//! Signs and judges messages, so that another program may check both.
//!
//! `signatures sign ed25519|rsa KEY-FILE DOMAIN SELECTOR` reads a message and writes it signed;
//! `signatures check ZONE-FILE PEER` reads a message and writes the field with the verdicts, all
//! questions being answered by the written zone.
#![allow(
    clippy::disallowed_methods,
    clippy::disallowed_types,
    clippy::unwrap_used,
    reason = "a program that reads files, for tests"
)]

use postseal::base::clock::Clock;
use postseal::dns::Zone;
use postseal::host::clock::SystemClock;
use postseal::host::dkim_key::DkimKey;
use postseal::host::dns::{HostResolver, Options};
use postseal::host::mailauth::SenderCheck;
use postseal::mailauth::{CheckSender, Envelope, KeyKind, Signer, SigningKey, write_results};
use std::io::{Read, Write};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let mut message = Vec::new();
    std::io::stdin().read_to_end(&mut message).unwrap();
    let out = match arguments.as_slice() {
        ["sign", kind, key, domain, selector] => sign(kind, key, domain, selector, message),
        ["check", zone, peer] => check(zone, peer, &message),
        _ => panic!("usage: signatures sign KIND KEY DOMAIN SELECTOR | check ZONE PEER"),
    };
    std::io::stdout().write_all(&out).unwrap();
}

fn sign(kind: &str, key: &str, domain: &str, selector: &str, message: Vec<u8>) -> Vec<u8> {
    let kind = if kind == "rsa" { KeyKind::Rsa } else { KeyKind::Ed25519 };
    let key: Arc<dyn SigningKey> = Arc::new(DkimKey::read(Path::new(key), kind).unwrap());
    let clock: Arc<dyn Clock> = Arc::new(SystemClock::new());
    let signer = Signer::new(vec![key], selector.into(), vec![domain.into()], clock);
    let mut out = signer.sign(&message, domain).unwrap();
    out.extend(message);
    out
}

fn check(zone: &str, peer: &str, message: &[u8]) -> Vec<u8> {
    let zone = Zone::parse(&std::fs::read_to_string(zone).unwrap()).unwrap();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let hostname = "mx.here.example";
    let envelope = Envelope { peer: peer.parse().unwrap(), helo: "x", from: None, hostname };
    let mut out = Vec::new();
    runtime.block_on(async {
        let resolver = HostResolver::new(Options {
            servers: Vec::new(),
            trust_anchor: None,
            validate: false,
            zone: Some(zone),
            time_max: Duration::from_secs(5),
        });
        let check = SenderCheck::by(&resolver).unwrap();
        let verdicts = check.check(envelope, message, Duration::from_secs(5)).await;
        write_results(&mut out, hostname, &verdicts);
    });
    out
}
