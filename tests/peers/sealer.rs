//! Seals for others as the server does, so that other programs may open it; and tells what it
//! thinks of their certificates and of their mail.
//!
//! - `sealer seal MESSAGE-FILE (CERT-FILE ADDRESS)...` writes the sealed message.
//! - `sealer judge CERT-FILE ADDRESS` writes the fingerprint or the reason, and microseconds.
//! - `sealer rate CERT-FILE ADDRESS OCTETS` writes how many messages a second are sealed, and how
//!   many the OpenPGP library's own writer seals and armors.
//! - `sealer detect MESSAGE-FILE` writes how a message is sealed already, or `plain`.
#![allow(
    clippy::disallowed_methods,
    clippy::unwrap_used,
    reason = "a program that reads files, for tests"
)]

use postseal::base::clock::{Clock, UnixTime};
use postseal::host::clock::SystemClock;
use postseal::host::entropy::SystemEntropy;
use postseal::mail::Address;
use postseal::pgp::{PeerCert, Unusable, already_sealed, judge_cert, seal_mime};
use sequoia_openpgp::Cert;
use sequoia_openpgp::parse::Parse;
use sequoia_openpgp::policy::StandardPolicy;
use sequoia_openpgp::serialize::stream::{Armorer, Encryptor, LiteralWriter, Message, Recipient};
use sequoia_openpgp::types::SymmetricAlgorithm;
use std::io::Write;
use std::sync::Arc;
use std::time::{Duration, Instant};

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let words: Vec<&str> = arguments.iter().map(String::as_str).collect();
    match words.as_slice() {
        ["seal", message, recipients @ ..] if recipients.len() % 2 == 0 => {
            let certs: Vec<Arc<PeerCert>> = recipients
                .chunks(2)
                .map(|pair| Arc::new(judged(pair[0], pair[1]).unwrap()))
                .collect();
            let message = std::fs::read(message).unwrap();
            let sealed = seal_mime(&message, &certs, &SystemEntropy::new()).unwrap();
            std::io::stdout().write_all(&sealed).unwrap();
        }
        ["judge", cert, address] => {
            let start = Instant::now();
            let verdict = judged(cert, address);
            let micros = start.elapsed().as_micros();
            match verdict {
                Ok(cert) => println!("{} {micros}", cert.fingerprint()),
                Err(why) => println!("{why:?} {micros}"),
            }
        }
        ["rate", cert, address, octets] => rate(cert, address, octets.parse().unwrap()),
        ["detect", message] => {
            let sealed = already_sealed(&std::fs::read(message).unwrap());
            println!("{}", sealed.map_or("plain".to_owned(), |how| format!("{how:?}")));
        }
        _ => {
            eprintln!("usage: sealer seal|judge|rate|detect ...");
            std::process::exit(2);
        }
    }
}

fn judged(cert: &str, address: &str) -> Result<PeerCert, Unusable> {
    let now: UnixTime = SystemClock::new().now();
    judge_cert(&std::fs::read(cert).unwrap(), &Address::parse(address.as_bytes()).unwrap(), now)
}

/// How long each way of sealing is measured.
const RATE_TIME: Duration = Duration::from_secs(2);

fn rate(cert: &str, address: &str, octets: usize) {
    let peer = [Arc::new(judged(cert, address).unwrap())];
    let mut message = format!("From: <a@b.example>\r\nTo: <{address}>\r\n\r\n").into_bytes();
    while message.len() < octets {
        message.extend_from_slice(b"The quick brown fox jumps over the lazy dog, again.\r\n");
    }
    let entropy = SystemEntropy::new();
    let ours = per_second(|| seal_mime(&message, &peer, &entropy).unwrap().len());
    let bare = Cert::from_file(cert).unwrap();
    let theirs = per_second(|| sealed_by_library(&bare, &message).len());
    println!("seal_mime {ours:.0}/s, library {theirs:.0}/s, ratio {:.2}", ours / theirs);
}

fn per_second(mut work: impl FnMut() -> usize) -> f64 {
    let (start, mut count) = (Instant::now(), 0);
    while start.elapsed() < RATE_TIME {
        assert!(work() > 0);
        count += 1;
    }
    f64::from(count) / start.elapsed().as_secs_f64()
}

fn sealed_by_library(cert: &Cert, message: &[u8]) -> Vec<u8> {
    let policy = StandardPolicy::new();
    let keys = cert.keys().with_policy(&policy, None).supported().for_transport_encryption();
    let mut out = Vec::new();
    let armored = Armorer::new(Message::new(&mut out)).build().unwrap();
    let to = keys.map(Recipient::from);
    let sealed = Encryptor::for_recipients(armored, to)
        .symmetric_algo(SymmetricAlgorithm::AES256)
        .build()
        .unwrap();
    let mut literal = LiteralWriter::new(sealed).build().unwrap();
    literal.write_all(message).unwrap();
    literal.finalize().unwrap();
    out
}
