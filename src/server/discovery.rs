//! Names and keys of others: the resolver, HTTPS, and the book of keys, wired and looked after.
//!
//! Others take [`Discovery::resolver`] and [`Discovery::keys`]. What the book has learnt is written
//! every second and at the end.

use super::events::ServerEvent;
use super::protocol::{Answer, LookupLine};
use super::start::StartError;
use crate::base::clock::Clock;
use crate::base::crypto::{self, Key};
use crate::base::disk::Disk;
use crate::base::entropy::Entropy;
use crate::base::event::Log;
use crate::config::{Config, convert};
use crate::discovery::{FindKey, Finder, Verdict, World};
use crate::dns::Resolver;
use crate::host::blocking::TokioBlocking;
use crate::host::clock::TokioTimer;
use crate::host::dns::{self, HostResolver};
use crate::host::fetch::{HttpsFetch, Trust};
use crate::host::listen;
use crate::host::mailauth::SenderCheck;
use crate::ledger::{self, KeyBook, Report};
use crate::mail::Address;
use crate::mailauth::CheckSender;
use std::net::IpAddr;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;
use tokio::task::JoinHandle;

/// How long one question to name servers may take: two tries, and one by TCP.
const QUESTION_TIME: Duration = Duration::from_secs(6);
/// How often what was learnt is written. First sights of keys do not wait for it.
const FLUSH_EVERY: Duration = Duration::from_secs(1);
/// How long a search by hand may wait for its turn, and take.
const LOOKUP_TIME: Duration = Duration::from_secs(60);

/// What was opened before, and is worked with.
pub(super) struct Given<'a> {
    pub disk: Arc<dyn Disk>,
    pub clock: Arc<dyn Clock>,
    pub entropy: Arc<dyn Entropy>,
    pub events: &'a Log,
    /// A key from outside the data directory.
    pub journal_key: &'a Key,
}

/// Names and keys of others.
pub(super) struct Discovery {
    resolver: Arc<HostResolver>,
    fetch: Arc<HttpsFetch>,
    keys: Arc<KeyBook>,
    keeper: JoinHandle<()>,
}

impl Discovery {
    pub async fn open(config: &Config, given: Given<'_>) -> Result<Discovery, StartError> {
        let resolver = Arc::new(HostResolver::new(dns_options(config)?));
        if let Some(error) = resolver.trouble() {
            given.events.emit(&ServerEvent::NoResolver { error });
        }
        let fetch = Arc::new(HttpsFetch::new(roots(config)).map_err(StartError::Tls)?);
        let world = World {
            resolver: Arc::clone(&resolver) as Arc<dyn Resolver>,
            fetch: fetch.clone(),
            clock: Arc::clone(&given.clock),
            timer: Arc::new(TokioTimer),
        };
        let parts = ledger::Parts {
            finder: Finder::new(world, convert::discovery(config, own_addresses(config))),
            disk: given.disk,
            clock: given.clock,
            timer: Arc::new(TokioTimer),
            blocking: Arc::new(TokioBlocking),
            entropy: given.entropy,
            log: given.events.clone(),
            root: crypto::derive(given.journal_key.expose(), b"", "postseal ledger root 1"),
            options: convert::ledger(config),
        };
        let opened = tokio::task::spawn_blocking(|| KeyBook::open(parts)).await;
        let keys = Arc::new(opened.map_err(|failed| StartError::Ledger(failed.to_string()))?);
        let keeper = tokio::spawn(keep(Arc::clone(&keys)));
        Ok(Discovery { resolver, fetch, keys, keeper })
    }

    /// Who is asked for names.
    pub fn resolver(&self) -> Arc<dyn Resolver> {
        Arc::clone(&self.resolver) as Arc<dyn Resolver>
    }

    /// Judges who sent what comes from other servers, by the same name servers.
    pub fn check_sender(&self) -> Option<Arc<dyn CheckSender>> {
        let check = SenderCheck::by(&self.resolver)?;
        Some(Arc::new(check))
    }

    /// Who is asked for keys.
    pub fn keys(&self) -> Arc<dyn FindKey> {
        Arc::clone(&self.keys) as Arc<dyn FindKey>
    }

    /// Reads the certificate authorities again, for [`Discovery::take_up`].
    pub fn read(config: &Config) -> Result<Trust, String> {
        Trust::read(roots(config)).map_err(|error| format!("network.tls_roots: {error}"))
    }

    /// Trusts what was read.
    pub fn take_up(&self, trust: Trust) {
        self.fetch.trust(trust);
    }

    /// Searches by hand.
    pub async fn look_up(&self, address: &str) -> Answer {
        match address.parse::<Address>() {
            Ok(address) => {
                let report = self.keys.look_up(&address, LOOKUP_TIME).await;
                Answer::Lookup { lookup: line(&address, report) }
            }
            Err(error) => Answer::Failed { error: error.to_string() },
        }
    }

    /// Writes what was learnt.
    pub async fn close(&self) {
        self.keeper.abort();
        flush(Arc::clone(&self.keys)).await;
    }
}

impl Drop for Discovery {
    fn drop(&mut self) {
        self.keeper.abort();
    }
}

async fn keep(keys: Arc<KeyBook>) {
    loop {
        tokio::time::sleep(FLUSH_EVERY).await;
        flush(Arc::clone(&keys)).await;
    }
}

/// A panic in it is reported by the process's hook; there is nobody else to tell.
async fn flush(keys: Arc<KeyBook>) {
    let _ = tokio::task::spawn_blocking(move || keys.flush()).await;
}

fn dns_options(config: &Config) -> Result<dns::Options, StartError> {
    let network = &config.network;
    let zone = network.zone.as_ref().map(|path| dns::read_zone(&path.0));
    Ok(dns::Options {
        servers: network.resolvers.clone(),
        trust_anchor: network.trust_anchor.as_ref().map(|path| path.0.clone()),
        validate: network.dnssec,
        zone: zone.transpose().map_err(StartError::Zone)?,
        time_max: QUESTION_TIME,
    })
}

fn roots(config: &Config) -> Option<&Path> {
    config.network.tls_roots.as_ref().map(|path| path.0.as_path())
}

/// The addresses that this server is known to have.
fn own_addresses(config: &Config) -> Vec<IpAddr> {
    let listen = &config.listen;
    let lists = [
        &listen.smtp,
        &listen.submission,
        &listen.submissions,
        &listen.imap,
        &listen.imaps,
        &listen.https,
    ];
    let listening = lists.into_iter().flatten().map(|address| address.ip());
    let mut own: Vec<IpAddr> = listening.filter(|address| !address.is_unspecified()).collect();
    own.extend(listen::addresses_outwards());
    own
}

fn line(address: &Address, report: Report) -> LookupLine {
    let mut line = LookupLine {
        address: address.to_string(),
        verdict: "none".into(),
        stale: false,
        fingerprint: None,
        encryption_key: None,
        expires: None,
        why: None,
        steps: report.steps,
    };
    let (verdict, why) = match report.verdict {
        Verdict::Key { cert, stale } => {
            line.stale = stale;
            line.fingerprint = Some(cert.primary().to_string());
            line.encryption_key = Some(cert.fingerprint().to_string());
            line.expires = cert.expires().map(|time| time.0);
            ("key", None)
        }
        Verdict::None => ("none", None),
        Verdict::Unusable(why) => ("unusable", Some(why.to_string())),
        Verdict::Failed(why) => ("failed", Some(why.to_string())),
        Verdict::Vanished => {
            ("vanished", Some("a key was once published, and none is for too long a time".into()))
        }
    };
    LookupLine { verdict: verdict.into(), why, ..line }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::discovery::FailWhy;
    use crate::pgp::Unusable;

    #[test]
    fn every_verdict_has_its_word_and_its_reason() {
        for (verdict, word, has_reason) in [
            (Verdict::None, "none", false),
            (Verdict::Unusable(Unusable::Expired), "unusable", true),
            (Verdict::Failed(FailWhy::Status(503)), "failed", true),
            (Verdict::Vanished, "vanished", true),
        ] {
            let report = Report { verdict, steps: vec!["asked".into()] };
            let line = line(&"a@b.example".parse().unwrap(), report);
            assert_eq!((line.verdict.as_str(), line.why.is_some()), (word, has_reason));
            assert_eq!((line.steps.len(), line.fingerprint, line.stale), (1, None, false));
        }
    }
}
