//! From the typed configuration to each room's own options. The rooms define theirs; nothing but
//! this file knows both sides.

use super::Config;
use super::values::{DmarcAction, LogAddresses, LogDestination, LogLevel};
use crate::base::event::Level;
use crate::base::secret::SecretBytes;
use crate::discovery;
use crate::ledger;
use crate::mail::Address;
use crate::mailauth::KeyKind;
use crate::mailbox::{self, imap};
use crate::plan;
use crate::queue;
use crate::relay::{self, transmit};
use crate::smtp::client::Credential;
use crate::vault::KdfLimits;
use crate::web;
use std::net::IpAddr;
use std::path::Path;
use std::sync::Arc;

/// The mailbox role's options on a machine with `cores`.
pub fn mailbox(config: &Config, cores: usize) -> mailbox::Options {
    let postmaster = &config.mail.postmaster;
    mailbox::Options {
        domains: domains(config),
        postmaster: (!postmaster.is_empty()).then(|| postmaster.clone()),
        account_bytes_max: config.accounts.size.0,
        tray_messages_max: config.accounts.waiting,
        grace: config.unlock.grace,
        unlock_max: config.unlock.longest,
        unlock_hours_max: hours(config.unlock.by_command),
        cores,
        kdf: KdfLimits {
            runs_max: config.login.derivations.max(1) as usize,
            waiting_max: config.login.waiting as usize,
            ..KdfLimits::default()
        },
        session_cache_bytes_max: config.imap.body_cache.0,
        opened_bytes_max: config.imap.memory.0,
    }
}

/// The relay role's options, with the aliases that were read from their file.
pub fn relay(config: &Config, aliases: relay::Aliases) -> relay::Options {
    relay::Options {
        hostname: config.server.hostname.0.clone(),
        local_domains: domains(config),
        postmaster: Address::parse(config.mail.postmaster.as_bytes()).ok(),
        recipient_delimiter: config.mail.recipient_delimiter.0.map(char::from),
        aliases,
        incoming: relay::Incoming {
            authenticate: config.incoming.authenticate,
            junk: config.incoming.dmarc == DmarcAction::Junk,
        },
        limits: smtp_limits(config),
        submission: submission(config),
    }
}

fn submission(config: &Config) -> relay::SubmissionOptions {
    let submission = &config.submission;
    relay::SubmissionOptions {
        strip: submission.strip.iter().map(|name| name.0.clone()).collect(),
        utc_date: submission.utc_date,
        rates: relay::Rates {
            messages_per_hour: submission.messages_per_hour,
            messages_per_day: submission.messages_per_day,
            recipients_per_hour: submission.recipients_per_hour,
            recipients_per_day: submission.recipients_per_day,
        },
    }
}

/// How mail goes out; with the relay's password where one was read.
pub fn outgoing(config: &Config, password: Option<SecretBytes>) -> transmit::Options {
    let outgoing = &config.outgoing;
    let hello = outgoing.hello.as_ref().unwrap_or(&config.server.hostname);
    let user = &outgoing.relayhost_user;
    let credential = password
        .filter(|_| !user.is_empty())
        .map(|password| Arc::new(Credential { user: user.clone(), password }));
    transmit::Options {
        relayhost: outgoing.relayhost.clone(),
        credential,
        tls: outgoing.tls,
        port: outgoing.port.0,
        ipv6: outgoing.ipv6,
        own_addresses: config.listen.smtp.clone(),
        timeouts: transmit::Timeouts {
            connect: outgoing.connect_timeout,
            attempt: outgoing.attempt_timeout,
            ..transmit::Timeouts::default()
        },
        reuse: transmit::Reuse { idle: outgoing.keep_connection, ..transmit::Reuse::default() },
        ..transmit::Options::new(hello.0.clone())
    }
}

/// How mail to others is sealed.
pub fn seal(config: &Config) -> relay::prepare::PrepareOptions {
    let seal = &config.seal;
    relay::prepare::PrepareOptions {
        rules: plan::Rules {
            default: seal.policy,
            list: seal.rules.clone(),
            delimiter: config.mail.recipient_delimiter.0.map(char::from),
            all_or_nothing: seal.all_or_nothing,
        },
        autocrypt: seal.autocrypt,
    }
}

/// How the queue is run.
pub fn queue(config: &Config) -> queue::Options {
    let options = &config.queue;
    queue::Options {
        schedule: queue::Schedule {
            first: options.first_retry,
            longest: options.longest_retry,
            lifetime: options.lifetime,
            delay_notice: options.delay_notice,
        },
        destination_concurrency_max: options.deliveries_per_domain.max(1) as usize,
        concurrency_max: options.deliveries.max(1) as usize,
        items_max: options.messages as usize,
    }
}

/// What IMAP sessions may do.
pub fn imap(config: &Config) -> imap::Options {
    imap::Options {
        message_bytes_max: config.smtp.message_size.0,
        autologout: config.imap.idle_timeout,
        piece_timeout: config.smtp.data_timeout,
        message_timeout: config.smtp.message_timeout,
        login_timeout: config.imap.login_timeout,
        ..imap::Options::default()
    }
}

/// What HTTPS connections may do.
pub fn web(config: &Config) -> web::Options {
    web::Options {
        domains: domains(config),
        request_timeout: config.web.request_timeout,
        connection_timeout: config.web.connection_timeout,
        ..web::Options::default()
    }
}

/// Certificate and key for HTTPS: its own, or those of the mail protocols.
pub fn web_certificate(config: &Config) -> (&Path, &Path) {
    match (&config.web.certificate, &config.web.key) {
        (Some(certificate), Some(key)) => (&certificate.0, &key.0),
        _ => (&config.tls.certificate.0, &config.tls.key.0),
    }
}

/// How keys are searched for by a server that has the addresses `own`.
pub fn discovery(config: &Config, own: Vec<IpAddr>) -> discovery::Options {
    discovery::Options {
        vet: discovery::Vet { excepted: config.network.private.clone(), own },
        https_port: config.network.https_port.0,
        time_max: config.discovery.timeout,
    }
}

/// How long it is believed what was found out about keys.
pub fn ledger(config: &Config) -> ledger::Options {
    let discovery = &config.discovery;
    ledger::Options {
        found: discovery.found,
        absent: discovery.absent,
        failed: discovery.failed,
        missing: discovery.missing,
        searches_max: discovery.searches as usize,
        searches_per_domain_max: discovery.searches_per_domain as usize,
        local_domains: domains(config),
    }
}

fn smtp_limits(config: &Config) -> relay::Limits {
    let smtp = &config.smtp;
    relay::Limits {
        message_bytes_max: smtp.message_size.0,
        recipients_max: smtp.recipients as usize,
        hops_max: smtp.hops as usize,
        sessions_max: smtp.sessions as usize,
        sessions_per_network_max: smtp.sessions_per_network as usize,
        connections_per_minute_max: smtp.connections_per_minute,
        command_timeout: smtp.command_timeout,
        data_timeout: smtp.data_timeout,
        message_timeout: smtp.message_timeout,
        ..relay::Limits::default()
    }
}

/// The local domains, in lower case.
pub fn domains(config: &Config) -> Vec<String> {
    config.mail.domains.iter().map(|domain| domain.0.clone()).collect()
}

/// The secret keys of DKIM that are named.
pub fn dkim_keys(config: &Config) -> Vec<(KeyKind, &Path)> {
    let dkim = &config.dkim;
    let named = [(KeyKind::Ed25519, &dkim.ed25519_key), (KeyKind::Rsa, &dkim.rsa_key)];
    named.into_iter().filter_map(|(kind, path)| Some((kind, path.as_ref()?.0.as_path()))).collect()
}

fn hours(duration: std::time::Duration) -> u32 {
    u32::try_from(duration.as_secs() / 3600).unwrap_or(u32::MAX)
}

/// The least urgent level that is logged.
pub fn log_level(config: &Config) -> Level {
    match config.log.level {
        LogLevel::Error => Level::Error,
        LogLevel::Warn => Level::Warn,
        LogLevel::Info => Level::Info,
    }
}

/// Whether addresses are hashed in the log.
pub fn log_hashed(config: &Config) -> bool {
    config.log.addresses == LogAddresses::Hashed
}

/// The file that the log goes to, or nothing for standard error.
pub fn log_file(config: &Config) -> Option<&Path> {
    match &config.log.destination {
        LogDestination::Stderr => None,
        LogDestination::File(path) => Some(path),
    }
}
