//! Trying a credential: at the same cost and with the same answer whether the account exists or not.

use super::authority::SlotAuthority;
use super::credential::Credential;
use super::file::{AccountFile, SlotId, SlotKind};
use super::keys::{ServerKeys, Unlocked};
use crate::base::entropy::Entropy;
use crate::base::ids::AccountNumber;
use std::fmt;

/// What a login is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Purpose {
    /// Only to know who it is (SMTP AUTH): no key is unwrapped.
    Verify,
    /// To read mail by protocol (IMAP): opens unless the account is locked by command.
    Read,
    /// A command or page of the owner: opens also a locked account.
    Command,
}

/// What a right credential gives.
#[derive(Debug)]
pub enum Login {
    /// The slot is open.
    Opened(Opened),
    /// The credential is right, and opens nothing.
    Verified(Verified),
}

/// An opened slot.
#[derive(Debug)]
pub struct Opened {
    /// The right to read.
    pub unlocked: Unlocked,
    /// The right to one change of the account. Drop it if none is wanted: it holds the AMK.
    pub authority: SlotAuthority,
    /// Which slot; [`Unlocked::remember`] takes it.
    pub verified: Verified,
}

/// The proof that a credential was right. Only [`login`] and [`Unlocked::knows`] make one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Verified {
    pub(super) account: AccountNumber,
    pub(super) slot: SlotId,
    pub(super) kind: SlotKind,
    pub(super) shut: Option<WhyShut>,
}

impl Verified {
    /// Whose credential it is.
    pub fn account(&self) -> AccountNumber {
        self.account
    }

    /// Which slot it is.
    pub fn slot(&self) -> SlotId {
        self.slot
    }

    /// What kind of slot.
    pub fn kind(&self) -> SlotKind {
        self.kind
    }

    /// Why nothing was opened; `None` for a credential that opened its slot.
    pub fn shut(&self) -> Option<WhyShut> {
        self.shut
    }
}

/// Why a right credential opened nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WhyShut {
    /// It was only to be verified.
    NotAsked,
    /// The slot wraps no key.
    LoginOnly,
    /// The account is locked by command.
    Locked,
}

/// Why a login gives nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// No such account, or not its secret.
    WrongSecret,
    /// The secret is right, and the file is not what the vault says it should be. Lock, tell
    /// somebody, defer mail (451).
    Tampered(Tampered),
}

/// What differs between the file and its vault.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Tampered {
    /// The slot's wrapped key does not open although its commitment fits.
    Slot,
    /// The vault does not open under the AMK, or is not a vault.
    Vault,
    /// The slots in the file are not those that the vault lists.
    SlotList,
    /// The identity certificate.
    IdentityCert,
    /// The storage certificate or subkey of an epoch, or the current epoch itself.
    StorageCert,
    /// Address, number or generation.
    Header,
}

/// Tries `credential` for the account of that `name`; `file` is `None` if there is none. The work is
/// the same in both cases: one Argon2id run for a chosen password, none for the other forms. Call it
/// where blocking is allowed, and for credentials that need the KDF after the queue's permission.
pub fn login(
    server: &ServerKeys,
    name: &str,
    file: Option<&AccountFile>,
    credential: &Credential,
    purpose: Purpose,
    entropy: &dyn Entropy,
) -> Result<Login, Refusal> {
    let _ = (server, name, file, credential, purpose, entropy);
    todo!()
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Refusal::WrongSecret => f.write_str("no such account or wrong secret"),
            Refusal::Tampered(what) => write!(f, "the account file was tampered with: {what}"),
        }
    }
}

impl fmt::Display for Tampered {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Tampered::Slot => "a slot's wrapped key",
            Tampered::Vault => "the sealed vault",
            Tampered::SlotList => "the list of slots",
            Tampered::IdentityCert => "the identity certificate",
            Tampered::StorageCert => "the storage certificate",
            Tampered::Header => "address, number or generation",
        })
    }
}

impl std::error::Error for Refusal {}
