//! From the typed configuration to each room's own options. The rooms define theirs; nothing but
//! this file knows both sides.

use super::Config;
use super::values::{LogAddresses, LogDestination, LogLevel};
use crate::base::event::Level;
use crate::mail::Address;
use crate::mailbox::{self, imap};
use crate::queue;
use crate::relay;
use crate::vault::KdfLimits;

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
        limits: smtp_limits(config),
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
        login_timeout: config.imap.login_timeout,
        ..imap::Options::default()
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
pub fn log_file(config: &Config) -> Option<&std::path::Path> {
    match &config.log.destination {
        LogDestination::Stderr => None,
        LogDestination::File(path) => Some(path),
    }
}
