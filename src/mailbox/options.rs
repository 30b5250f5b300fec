//! What the administrator can set about the mailbox role. `config` makes it; units are in the
//! names.

use crate::vault::KdfLimits;
use std::time::Duration;

/// The role's options.
#[derive(Clone, Debug)]
pub struct Options {
    /// The domains whose addresses are accounts here, in lower case; the first one is meant where a
    /// login name has no domain.
    pub domains: Vec<String>,
    /// The address of the account that takes mail for `postmaster`, with or without any of our
    /// domains (RFC 5321 §4.5.1); `None` leaves only an account of that very name.
    pub postmaster: Option<String>,
    /// Sealed octets that an account may hold, mail that was not folded yet included. Beyond: 452.
    pub account_bytes_max: u64,
    /// Arrivals that may wait for their owner. Beyond: 452.
    pub tray_messages_max: u32,
    /// How long an account stays unlocked after its last session has ended.
    pub grace: Duration,
    /// How long an account stays unlocked at most, sessions or not.
    pub unlock_max: Duration,
    /// The longest that the verb `unlock` may ask for, in hours.
    pub unlock_hours_max: u32,
    /// Worker threads that may do long computations (sealing, opening, searching) at a time.
    pub cores: usize,
    /// The bounds of the queue for the slow key derivation; each run takes 64 MiB.
    pub kdf: KdfLimits,
    /// Opened bodies that one session may keep, in octets; at least one body is always kept.
    pub session_cache_bytes_max: u64,
    /// Opened messages and answers on their way that may be in memory at once, in octets, over all
    /// sessions; a quarter of it for one account.
    pub opened_bytes_max: u64,
}

impl Default for Options {
    fn default() -> Self {
        Options {
            domains: Vec::new(),
            postmaster: None,
            account_bytes_max: 20 << 30,
            tray_messages_max: 1_000_000,
            grace: Duration::from_secs(5 * 60),
            unlock_max: Duration::from_secs(12 * 3600),
            unlock_hours_max: 7 * 24,
            cores: 2,
            kdf: KdfLimits::default(),
            session_cache_bytes_max: 64 << 20,
            opened_bytes_max: 512 << 20,
        }
    }
}
