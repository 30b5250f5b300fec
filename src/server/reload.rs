//! SIGHUP: the configuration, the certificate and the aliases are read again.
//!
//! All or nothing: everything that can fail is read and opened first, and only then is all of it
//! put in force, which cannot fail. So a file that does not parse, a certificate that does not fit
//! its key, or a log that cannot be opened leaves everything as it was. Options that cannot change
//! while the server runs keep their old value and are named.

use super::Shared;
use super::discovery::Discovery;
use super::events::ServerEvent;
use super::sending::{self, Sending};
use super::start::{log_destination, read_aliases};
use crate::config::table::Effect;
use crate::config::{CONFIG_BYTES_MAX, Config, Weight, convert, parse, review};
use crate::host::log::{Opened, Style};
use crate::host::tls::{Pair, TlsError};
use crate::host::{fetch, files};
use crate::relay;
use std::path::Path;

/// Reads everything again; the error is the sentence that was logged.
pub(super) fn reload(shared: &Shared) -> Result<(), String> {
    let outcome = read(&shared.file).and_then(|config| apply(shared, config));
    match &outcome {
        Ok(waiting_for_restart) => {
            let waiting_for_restart = *waiting_for_restart;
            shared.events.emit(&ServerEvent::Reloaded { waiting_for_restart });
            doubted_certificates(shared);
        }
        Err(error) => shared.events.emit(&ServerEvent::NotReloaded { error }),
    }
    outcome.map(drop)
}

fn read(file: &Path) -> Result<Config, String> {
    let text = files::read_text(file, CONFIG_BYTES_MAX).map_err(|error| error.to_string())?;
    let config = parse(&text, file).map_err(|invalid| invalid.to_string())?;
    match review(&config).into_iter().find(|remark| remark.weight == Weight::Error) {
        Some(remark) => Err(format!("{}: {}", remark.key, remark.text)),
        None => Ok(config),
    }
}

/// What a reload reads and opens, not in force yet.
struct Fresh {
    aliases: relay::Aliases,
    tls: Pair,
    web_tls: Pair,
    trust: fetch::Trust,
    sending: sending::Fresh,
    log: Opened,
}

impl Fresh {
    fn read(config: &Config) -> Result<Fresh, String> {
        let pair = |(certificate, key)| {
            Pair::read(certificate, key).map_err(|error: TlsError| error.to_string())
        };
        Ok(Fresh {
            aliases: read_aliases(config)?,
            tls: pair((&config.tls.certificate.0, &config.tls.key.0))?,
            web_tls: pair(convert::web_certificate(config))?,
            trust: Discovery::read(config)?,
            sending: Sending::read(config)?,
            // The last, because opening may make the file.
            log: Opened::open(&log_destination(config))
                .map_err(|error| format!("log.destination: {error}"))?,
        })
    }

    fn put_in_force(self, shared: &Shared, config: &Config) {
        shared.tls.serve(self.tls);
        shared.web_tls.serve(self.web_tls);
        shared.discovery.take_up(self.trust);
        shared.sending.take_up(self.sending);
        let (level, hashed) = (convert::log_level(config), convert::log_hashed(config));
        shared.log.change(self.log, Style { level, hashed });
        shared.take_up(config, self.aliases);
    }
}

/// Takes `config` up; returns how many changed options wait for a restart.
fn apply(shared: &Shared, config: Config) -> Result<u64, String> {
    let kept = keeping(&shared.config(), config.clone());
    Fresh::read(&kept)?.put_in_force(shared, &kept);
    let mut current = shared.config.write().unwrap_or_else(std::sync::PoisonError::into_inner);
    let waiting = current
        .differences(&config)
        .into_iter()
        .filter(|row| row.effect == Effect::Restart)
        .map(|row| {
            let event = ServerEvent::NeedsRestart { section: row.section, key: row.key };
            shared.events.emit(&event);
        })
        .count();
    *current = kept;
    Ok(waiting as u64)
}

/// Takes up certificates whose files have changed. One that does not fit its key (both are being
/// replaced, perhaps) leaves the old one in force, and is looked at again when a file changes.
pub(super) fn renewed_certificates(shared: &Shared) {
    let config = shared.config();
    let of_web = convert::web_certificate(&config);
    let of_mail = (config.tls.certificate.0.as_path(), config.tls.key.0.as_path());
    for (tls, (certificate, key)) in [(&shared.tls, of_mail), (&shared.web_tls, of_web)] {
        match tls.reload_if_changed(certificate, key) {
            Ok(false) => {}
            Ok(true) => shared.events.emit(&ServerEvent::CertificateRenewed { certificate }),
            Err(error) => {
                let error = &error.to_string();
                shared.events.emit(&ServerEvent::CertificateNotRenewed { error });
            }
        }
    }
}

/// Says what others hold against the certificates that are served, once for each and each kind.
pub(super) fn doubted_certificates(shared: &Shared) {
    let (config, now) = (shared.config(), shared.clock.now());
    let of_mail = shared.tls.look(Some(&config.server.hostname.0), now);
    // HTTPS is asked for other names, which `check` looks at.
    let of_web = shared.web_tls.look(None, now);
    let mut said = shared.doubts_said.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
    said.retain(|(digest, _)| [of_mail.digest, of_web.digest].contains(digest));
    let of_mail = (config.tls.certificate.0.as_path(), of_mail);
    let of_web = (convert::web_certificate(&config).0, of_web);
    for (certificate, look) in [of_mail, of_web] {
        for doubt in look.doubts {
            if said.insert((look.digest, doubt.word())) {
                shared.events.emit(&ServerEvent::CertificateDoubted { certificate, doubt });
            }
        }
    }
}

/// `new` with the values of `old` where a restart is needed and a role would take up the new ones
/// alone, at odds with the others: who we are, and whose mail is ours.
fn keeping(old: &Config, new: Config) -> Config {
    let mut kept = new;
    kept.server.hostname = old.server.hostname.clone();
    kept.mail.domains = old.mail.domains.clone();
    kept.mail.postmaster = old.mail.postmaster.clone();
    kept
}
