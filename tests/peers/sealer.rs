//! Seals for others as the server does, so that other programs may open it; and tells what it
//! thinks of their certificates and of their mail.
//!
//! - `sealer seal MESSAGE-FILE (CERT-FILE ADDRESS)...` writes the sealed message.
//! - `sealer judge CERT-FILE ADDRESS` writes the fingerprint or the reason, and microseconds.
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
use std::io::Write;
use std::sync::Arc;
use std::time::Instant;

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
        ["detect", message] => {
            let sealed = already_sealed(&std::fs::read(message).unwrap());
            println!("{}", sealed.map_or("plain".to_owned(), |how| format!("{how:?}")));
        }
        _ => {
            eprintln!("usage: sealer seal|judge|detect ...");
            std::process::exit(2);
        }
    }
}

fn judged(cert: &str, address: &str) -> Result<PeerCert, Unusable> {
    let now: UnixTime = SystemClock::new().now();
    judge_cert(&std::fs::read(cert).unwrap(), &Address::parse(address.as_bytes()).unwrap(), now)
}
