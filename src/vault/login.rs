//! Trying a credential: at the same cost and with the same answer whether the account exists or
//! not.

use super::authority::SlotAuthority;
use super::credential::{Credential, Form};
use super::file::APP_SLOTS_MAX;
use super::file::{AccountFile, SlotId, SlotKind};
use super::keys::{ServerKeys, Unlocked};
use super::sealed::Vault;
use super::slot::{self, Fit, Root, Slot};
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

/// Tries `credential` for the account of that `name`; `file` is `None` if there is none. The work
/// is the same in both cases: one Argon2id run for a chosen password, none for the other forms.
/// Call it where blocking is allowed, and for credentials that need the KDF after the queue's
/// permission.
pub fn login(
    server: &ServerKeys,
    name: &str,
    file: Option<&AccountFile>,
    credential: &Credential,
    purpose: Purpose,
    entropy: &dyn Entropy,
) -> Result<Login, Refusal> {
    let found = match credential.form() {
        Form::Chosen => try_password(server, name, file, credential),
        Form::App | Form::Recovery => try_code(server, file, credential),
    };
    let Some((file, slot, root)) = found else {
        return Err(Refusal::WrongSecret);
    };
    let verified = |shut| Verified { account: file.number(), slot: slot.id, kind: slot.kind, shut };
    let shut = match (slot.kind, purpose) {
        (SlotKind::LoginOnly, _) => Some(WhyShut::LoginOnly),
        (_, Purpose::Verify) => Some(WhyShut::NotAsked),
        (_, Purpose::Read) if file.is_locked() => Some(WhyShut::Locked),
        _ => None,
    };
    if shut.is_some() {
        return Ok(Login::Verified(verified(shut)));
    }
    let opened = open(file, slot, &root, verified(None), entropy).map_err(Refusal::Tampered)?;
    opened.unlocked.remember(&opened.verified, credential);
    Ok(Login::Opened(opened))
}

/// Unwraps the AMK, opens the vault and holds the file against it.
fn open(
    file: &AccountFile,
    slot: &Slot,
    root: &Root,
    verified: Verified,
    entropy: &dyn Entropy,
) -> Result<Opened, Tampered> {
    let amk = slot.unwrap(file.number(), root).ok_or(Tampered::Slot)?;
    let vault = Vault::open(file, &amk)?;
    let unlocked = Unlocked::new(file, &vault, entropy)?;
    Ok(Opened { unlocked, authority: SlotAuthority::new(file.number(), amk, slot), verified })
}

type Found<'a> = (&'a AccountFile, &'a Slot, Root);

/// One run of Argon2id, whether there is an account or not.
fn try_password<'a>(
    server: &ServerKeys,
    name: &str,
    file: Option<&'a AccountFile>,
    credential: &Credential,
) -> Option<Found<'a>> {
    let Some((file, slot)) = slots_for(file, Form::Chosen).next() else {
        slot::pretend_password(server, name, credential);
        return None;
    };
    match slot.fits(file.number(), credential, server) {
        Fit::Yes(root) => Some((file, slot, root)),
        Fit::No => None,
    }
}

/// As many derivations as an account can have slots for generated secrets, always.
fn try_code<'a>(
    server: &ServerKeys,
    file: Option<&'a AccountFile>,
    credential: &Credential,
) -> Option<Found<'a>> {
    let mut found = None;
    let mut tried = 0;
    for (file, slot) in slots_for(file, credential.form()) {
        tried += 1;
        if let Fit::Yes(root) = slot.fits(file.number(), credential, server) {
            found = Some((file, slot, root));
        }
    }
    (tried..APP_SLOTS_MAX).for_each(|_| slot::pretend_code(server, credential));
    found
}

/// The slots that a credential of this form may be for.
fn slots_for(
    file: Option<&AccountFile>,
    form: Form,
) -> impl Iterator<Item = (&AccountFile, &Slot)> {
    let slots = file.into_iter().flat_map(|file| file.whole_slots().iter().map(move |s| (file, s)));
    slots.filter(move |(_, slot)| match form {
        Form::Chosen => slot.kind == SlotKind::Password,
        Form::App => matches!(slot.kind, SlotKind::App | SlotKind::LoginOnly),
        Form::Recovery => slot.kind == SlotKind::Recovery,
    })
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
