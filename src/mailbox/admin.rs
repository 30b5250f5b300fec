//! The verbs that the control socket carries to a running server.
//!
//! Whoever holds the socket (root) may lock, list, add and remove. Every verb that makes a slot or
//! shows a key needs the owner's credential in the same request and re-opens its slot: a master key
//! that happens to be resident is never used for it. Each such verb leaves a note in the owner's
//! INBOX, sealed like any arrival, without secrets in it.

use crate::base::ids::AccountNumber;
use crate::base::secret::SecretBytes;
use crate::mail::Address;

/// A new account.
#[derive(Debug)]
pub struct Added {
    /// Its number.
    pub account: AccountNumber,
    /// Its address in the canonical form.
    pub address: Address,
    /// Its recovery code, to be shown once.
    pub recovery_code: SecretBytes,
}

/// One account in a list.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Line {
    /// Its number.
    pub account: AccountNumber,
    /// Its address; `None` if the file does not verify.
    pub address: Option<Address>,
    /// What it is in now.
    pub state: State,
    /// The operator gave the password and its owner has not set one since.
    pub known_to_operator: bool,
    /// Sealed octets in the journal.
    pub bytes: u64,
    /// Messages that wait for the next unlock.
    pub waiting: u32,
}

/// What an account is in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum State {
    /// No key is in memory; the next login that opens a slot unlocks it.
    Closed,
    /// Its keys are in memory.
    Unlocked,
    /// Locked by the verb, until the verb `unlock`.
    Locked,
    /// Its file does not verify: mail is deferred, nobody logs in.
    Damaged,
}

/// Why a verb was not carried out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AdminError {
    /// That is no address, or its domain is not ours.
    BadAddress,
    /// There is no such account.
    NoSuchAccount,
    /// There is one already.
    Exists,
    /// The credential is wrong, or is of a kind that may not do this.
    BadCredential,
    /// The new password is too short, too common, or has octets that no password may have.
    BadPassword,
    /// The hours asked for are more than the configuration allows.
    TooLong,
    /// The account's file does not verify.
    Damaged,
    /// Too many are waiting for the slow key derivation, or the disk failed. Nothing was changed.
    TryLater,
}

impl std::fmt::Display for AdminError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            AdminError::BadAddress => "not an address of a local domain",
            AdminError::NoSuchAccount => "there is no such account",
            AdminError::Exists => "the account exists already",
            AdminError::BadCredential => "the credential is wrong or may not do this",
            AdminError::BadPassword => "the new password cannot be used (12 characters at least)",
            AdminError::TooLong => "more hours than the configuration allows",
            AdminError::Damaged => "the account's file does not verify; see the log",
            AdminError::TryLater => "it cannot be done now; nothing was changed",
        })
    }
}

impl std::error::Error for AdminError {}
