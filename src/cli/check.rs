//! `postseal check`: says what is wrong with a configuration, all of it at once.
//!
//! Looks at the text, at what the options mean together, and at the files they name; starts nothing
//! and changes nothing.

use super::configuration::Configuration;
use super::{Failure, output};
use crate::base::clock::{Clock, UnixTime};
use crate::config::{Config, Remark, Weight, convert, review};
use crate::host::clock::SystemClock;
use crate::host::dkim_key::DkimKey;
use crate::host::{dns, files, log, roots, tls};
use crate::mailauth::KeyKind;
use crate::server::{log_destination, read_aliases};
use std::path::Path;

/// Say what is wrong with a configuration, with line and nearest key
#[derive(Debug, clap::Args)]
pub(super) struct Arguments {
    #[command(flatten)]
    configuration: Configuration,
}

pub(super) fn run(arguments: &Arguments) -> Result<(), Failure> {
    let config = arguments.configuration.read()?;
    let mut remarks = review(&config);
    remarks.extend(look_at_files(&config));
    let file = arguments.configuration.config.display();
    for remark in &remarks {
        let Remark { weight, key, text } = remark;
        output::line(&format!("{file}: {}: {key}: {text}", word(*weight)))?;
    }
    let errors = remarks.iter().filter(|remark| remark.weight == Weight::Error).count();
    match errors {
        0 if remarks.is_empty() => output::line(&format!("{file}: nothing to remark")),
        0 => output::line(&format!("{file}: usable")),
        _ => Err(Failure(format!("{file}: {errors} to be corrected"))),
    }
}

fn word(weight: Weight) -> &'static str {
    match weight {
        Weight::Error => "error",
        Weight::Warning => "warning",
    }
}

/// What the named files are like, without making any.
fn look_at_files(config: &Config) -> Vec<Remark> {
    let mut remarks = Vec::new();
    let mut error = |key, text: String| {
        remarks.push(Remark { weight: Weight::Error, key, text });
    };
    if let Err(problem) = tls::check_pair(&config.tls.certificate.0, &config.tls.key.0) {
        error("tls", problem.to_string());
    }
    if let Err(problem) = read_aliases(config) {
        error("mail.aliases", problem);
    }
    if config.web.certificate.is_some()
        && let Err(problem) = check_web_pair(config)
    {
        error("web", problem.to_string());
    }
    if let Some(problem) = key_problem(&config.keys.journal.0, made_at_start(config)) {
        error("keys.journal", problem);
    }
    for (kind, path) in convert::dkim_keys(config) {
        let key = match kind {
            KeyKind::Ed25519 => "dkim.ed25519_key",
            KeyKind::Rsa => "dkim.rsa_key",
        };
        if let Err(problem) = DkimKey::read(path, kind) {
            error(key, problem.to_string());
        }
    }
    let queue_made = !files::exists(&config.server.data_dir.0.join(crate::queue::epochs::FILE));
    if let Some(problem) = key_problem(&config.keys.queue.0, queue_made) {
        error("keys.queue", problem);
    }
    if let Some(path) = &config.keys.pepper
        && let Some(problem) = key_problem(&path.0, false)
    {
        error("keys.pepper", problem);
    }
    if let Some(path) = &config.outgoing.relayhost_password_file
        && let Err(problem) = files::read_password(&path.0)
    {
        error("outgoing.relayhost_password_file", problem.to_string());
    }
    if let Err(problem) = log::check(&log_destination(config)) {
        error("log.destination", problem.to_string());
    }
    remarks.extend(exposed_keys(config));
    remarks.extend(look_at_network(config));
    remarks.extend(key_hosts(config));
    remarks.extend(doubted_certificates(config, SystemClock::new().now()));
    remarks
}

/// By what names and other servers are believed.
fn look_at_network(config: &Config) -> Vec<Remark> {
    let network = &config.network;
    let anchor = network.trust_anchor.as_ref().filter(|_| network.dnssec);
    let anchor = anchor.and_then(|path| dns::trust_anchors(&path.0).err());
    let zone = network.zone.as_ref().and_then(|path| dns::read_zone(&path.0).err());
    let roots = network.tls_roots.as_ref().and_then(|path| roots::load(Some(&path.0)).err());
    let problems = [
        ("network.trust_anchor", anchor),
        ("network.zone", zone),
        ("network.tls_roots", roots.map(|error| error.to_string())),
    ];
    let problems =
        problems.into_iter().filter_map(|(key, problem)| problem.map(|text| (key, text)));
    problems.map(|(key, text)| Remark { weight: Weight::Error, key, text }).collect()
}

/// Who looks for a user's key asks `openpgpkey.DOMAIN`, and the domain itself only if that name has
/// no address (draft-koch-openpgp-webkey-service-22 §3.1). The certificate must be for one of them.
fn key_hosts(config: &Config) -> Option<Remark> {
    let (certificate, _) = convert::web_certificate(config);
    let key = if config.web.certificate.is_some() { "web.certificate" } else { "tls.certificate" };
    let domains = config.mail.domains.iter().filter(|_| !config.listen.https.is_empty());
    let names: Vec<String> = domains.map(|domain| format!("openpgpkey.{}", domain.0)).collect();
    let missing = tls::names_missing(certificate, &names).ok()?;
    let first = missing.first()?;
    let text = format!(
        "is not for {}: programs that look there for your users' keys will not find them. Get a \
         certificate with these names, or see to it that {first} has no address and the \
         certificate is for the domain itself",
        missing.join(", ")
    );
    Some(Remark { weight: Weight::Warning, key, text })
}

/// Certificates that others refuse, or will before long. The server starts with them.
fn doubted_certificates(config: &Config, now: UnixTime) -> Vec<Remark> {
    let hostname = config.server.hostname.0.as_str();
    let mut looks = vec![("tls.certificate", &config.tls.certificate, Some(hostname))];
    looks.extend(config.web.certificate.iter().map(|path| ("web.certificate", path, None)));
    let doubts = looks.into_iter().flat_map(|(key, path, hostname)| {
        let doubts = tls::doubts(&path.0, hostname, now).unwrap_or_default();
        doubts.into_iter().map(move |doubt| (key, doubt.to_string()))
    });
    doubts.map(|(key, text)| Remark { weight: Weight::Warning, key, text }).collect()
}

fn check_web_pair(config: &Config) -> Result<(), String> {
    let (certificate, key) = convert::web_certificate(config);
    tls::check_pair(certificate, key).map_err(|error| error.to_string())
}

/// Keys of certificates that others can read. The server starts with them, for a renewal in the
/// night must not end it.
fn exposed_keys(config: &Config) -> Vec<Remark> {
    let web = config.web.certificate.is_some().then(|| convert::web_certificate(config).1);
    let keys = [("tls.key", Some(config.tls.key.0.as_path())), ("web.key", web)];
    let exposed = keys.into_iter().filter_map(|(key, path)| {
        let text = files::refuse_exposed(path?).err()?.to_string();
        Some(Remark { weight: Weight::Warning, key, text })
    });
    exposed.collect()
}

/// The journal key is made at the first start, and only then.
fn made_at_start(config: &Config) -> bool {
    !files::exists(&config.server.data_dir.0.join("journal"))
}

fn key_problem(path: &Path, may_be_missing: bool) -> Option<String> {
    match files::exists(path) {
        false if may_be_missing => None,
        _ => files::read_key(path).err().map(|problem| problem.to_string()),
    }
}
