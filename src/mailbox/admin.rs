//! The verbs that the control socket carries to a running server.
//!
//! Whoever holds the socket (root) may lock, list, add and remove. Every verb that makes a slot or
//! shows a key needs the owner's credential in the same request and re-opens its slot: a master key
//! that happens to be resident is never used for it. Each such verb leaves a note in the owner's
//! INBOX, sealed like any arrival, without secrets in it.

use super::core::{Core, Died, blocking};
use super::directory::{Account, Found};
use super::events::MailboxEvent;
use super::life::Why;
use super::login::{self, Denied, Gives};
use super::note::{self, Note};
use crate::base::ids::{AccountNumber, ObjectId};
use crate::base::secret::SecretBytes;
use crate::journal::{Address as FrameAddress, Entry, TOMBSTONE_ADDRESSES_MAX};
use crate::mail::Address;
use crate::pgp::{CertError, ImportError};
use crate::seams::{AuthRequest, Service};
use crate::store::AccountsError;
use crate::vault::{
    self, AccountFile, DenyReason, GeneratedSecret, Opened, Party, Password, Purpose, Scope,
    SlotAuthority,
};
use std::sync::Arc;
use std::time::Duration;
use tokio::time::Instant;

/// A new account.
#[derive(Debug)]
pub struct Added {
    /// Its number.
    pub account: AccountNumber,
    /// Its address in the canonical form.
    pub address: Address,
    /// Its recovery code, to be shown once.
    pub recovery_code: GeneratedSecret,
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
    /// No certificate carries the address, for its name has spaces, or not every server takes it.
    BadName,
    /// There is no such account.
    NoSuchAccount,
    /// There is one already.
    Exists,
    /// The credential is wrong, or is of a kind that may not do this.
    BadCredential,
    /// The new password is too short, too common, or has octets that no password may have.
    BadPassword,
    /// The label is above 64 octets or has control characters.
    BadLabel,
    /// All app passwords that an account may have are taken.
    TooManySlots,
    /// The hours asked for are more than the configuration allows.
    TooLong,
    /// The key cannot be the account's identity.
    BadKey(ImportError),
    /// The server does not hold the secret key.
    NoSecretKey,
    /// As many replaced keys as an account may have are kept already.
    TooManyKeys,
    /// The account's file does not verify.
    Damaged,
    /// Too many are waiting for the slow key derivation, or the disk failed. Nothing was changed.
    TryLater,
}

impl std::fmt::Display for AdminError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            AdminError::BadAddress => "not an address of a local domain",
            AdminError::BadName => {
                "an account's name has at most 64 octets and no spaces, not in quotes either"
            }
            AdminError::NoSuchAccount => "there is no such account",
            AdminError::Exists => "the account exists already",
            AdminError::BadCredential => "the credential is wrong or may not do this",
            AdminError::BadPassword => "the new password cannot be used (12 characters at least)",
            AdminError::BadLabel => "the label is too long or has control characters",
            AdminError::TooManySlots => "the account has as many app passwords as it may have",
            AdminError::TooLong => "more hours than the configuration allows",
            AdminError::BadKey(error) => return error.fmt(f),
            AdminError::NoSecretKey => {
                "the owner keeps the secret key; the server does not have it"
            }
            AdminError::TooManyKeys => "as many replaced keys as an account may have are kept",
            AdminError::Damaged => "the account's file does not verify; see the log",
            AdminError::TryLater => {
                "it cannot be done now; if the disk failed, see whether it counts first"
            }
        })
    }
}

impl std::error::Error for AdminError {}

impl From<AccountsError> for AdminError {
    fn from(error: AccountsError) -> Self {
        match error {
            AccountsError::Address => AdminError::Exists,
            AccountsError::NoSuchAccount => AdminError::NoSuchAccount,
            AccountsError::File(_) | AccountsError::Inconsistent => AdminError::Damaged,
            AccountsError::Disk(_) | AccountsError::NoMoreNumbers => AdminError::TryLater,
        }
    }
}

impl From<vault::Denied> for AdminError {
    fn from(denied: vault::Denied) -> Self {
        match denied.0 {
            DenyReason::NeedsOwner | DenyReason::NoSuchSlot => AdminError::BadCredential,
            DenyReason::Tampered(_) => AdminError::Damaged,
            DenyReason::TooManySlots => AdminError::TooManySlots,
            DenyReason::Label => AdminError::BadLabel,
            DenyReason::NoSecret => AdminError::NoSecretKey,
            DenyReason::TooManyIdentities => AdminError::TooManyKeys,
            DenyReason::Stale | DenyReason::Busy | DenyReason::Cert(_) => AdminError::TryLater,
        }
    }
}

impl From<CertError> for AdminError {
    fn from(error: CertError) -> Self {
        match error {
            CertError::UserId => AdminError::BadName,
            _ => AdminError::TryLater,
        }
    }
}

impl From<Died> for AdminError {
    fn from(_: Died) -> Self {
        AdminError::TryLater
    }
}

impl From<Denied> for AdminError {
    fn from(denied: Denied) -> Self {
        match denied {
            Denied::Refused => AdminError::BadCredential,
            Denied::TryLater => AdminError::TryLater,
        }
    }
}

/// `add`.
pub async fn add(
    core: &Arc<Core>,
    address: &str,
    password: SecretBytes,
) -> Result<Added, AdminError> {
    let address = core.directory.parse(address).ok_or(AdminError::BadAddress)?;
    match core.directory.find_login(&address) {
        Found::NotLocal => return Err(AdminError::BadAddress),
        Found::Account(_) => return Err(AdminError::Exists),
        Found::Suspect => return Err(AdminError::Damaged),
        Found::Nobody if !address.is_short_enough_for_all() => return Err(AdminError::BadName),
        Found::Nobody => {}
    }
    let (shared, name) = (core.clone(), address.to_string());
    let made = blocking(move || create(&shared, &name, &password)).await?;
    let (account, recovery_code) = made?;
    note::leave(core, account, Note::Added).await;
    Ok(Added { account, address, recovery_code })
}

fn create(
    core: &Core,
    address: &str,
    password: &SecretBytes,
) -> Result<(AccountNumber, GeneratedSecret), AdminError> {
    let password = choose(password)?;
    let (now, entropy) = (core.clock.now(), &*core.entropy);
    let mut code = None;
    let account = core.directory.create(|number| {
        let party = Party::Operator;
        let made = vault::create(&core.keys, number, address, &password, party, now, entropy)?;
        code = Some(made.recovery_code);
        Ok::<_, AdminError>(made.file)
    })?;
    Ok((account, code.ok_or(AdminError::TryLater)?))
}

fn choose(password: &SecretBytes) -> Result<Password, AdminError> {
    Password::choose(password.expose()).map_err(|_| AdminError::BadPassword)
}

/// `remove`.
pub async fn remove(core: &Arc<Core>, address: &str) -> Result<(), AdminError> {
    let account = number(core, address)?;
    let shared = core.clone();
    // The file first: a mail program that logs in again at once must not start the account anew.
    blocking(move || shared.directory.remove(account)).await??;
    core.registry.lock(account, Why::Command).await;
    core.events.emit(&MailboxEvent::AccountChanged { account, verb: "remove" });
    erase(core, account).await
}

/// Marks all that the account stored as dead, newest first. Without its file none of it opens.
async fn erase(core: &Arc<Core>, account: AccountNumber) -> Result<(), AdminError> {
    let mut next = core.log.reader().account(account).last;
    while next.is_some() {
        let reader = core.log.reader().clone();
        let (dead, rest) = blocking(move || {
            let mut dead: Vec<FrameAddress> = Vec::new();
            while let Some(at) = next.filter(|_| dead.len() < TOMBSTONE_ADDRESSES_MAX) {
                dead.push(at);
                next = match reader.info(at) {
                    Ok(info) => info.previous,
                    Err(_) => reader.earlier(account, at).ok().flatten(),
                };
            }
            (dead, next)
        })
        .await?;
        let object = ObjectId::random(&*core.entropy);
        let tombstone = Entry::tombstone(account, object, &dead);
        core.log.submit(vec![tombstone]).await.map_err(|_| AdminError::TryLater)?;
        next = rest;
    }
    Ok(())
}

/// `list`.
pub async fn list(core: &Arc<Core>) -> Result<Vec<Line>, AdminError> {
    let shared = core.clone();
    let accounts = blocking(move || shared.directory.list()).await?;
    let mut lines: Vec<Line> =
        accounts.into_iter().map(|(number, account)| line(core, number, account)).collect();
    lines.sort_by_key(|line| (line.address.clone(), line.account));
    Ok(lines)
}

fn line(core: &Core, number: AccountNumber, account: Option<Arc<Account>>) -> Line {
    let head = core.log.reader().account(number);
    let state = match &account {
        None => State::Damaged,
        Some(account) if account.file.is_locked() => State::Locked,
        Some(_) if core.registry.resident(number).is_some() => State::Unlocked,
        Some(_) => State::Closed,
    };
    Line {
        account: number,
        state,
        known_to_operator: account.as_ref().is_some_and(|account| account.file.operator_knows()),
        address: account.map(|account| account.address.clone()),
        bytes: head.bytes,
        waiting: head.arrivals_since_record,
    }
}

/// `passwd`.
pub async fn passwd(
    core: &Arc<Core>,
    address: &str,
    credential: SecretBytes,
    password: SecretBytes,
) -> Result<(), AdminError> {
    let password = choose(&password)?;
    let account = number(core, address)?;
    let authority = open(core, address, credential).await?.authority;
    change(core, account, move |core, file| {
        let (now, entropy) = (core.clock.now(), &*core.entropy);
        let party = Party::Owner;
        let keys = &core.keys;
        Ok((authority.set_password(keys, file, &password, party, now, entropy)?, ()))
    })
    .await?;
    forget_missing(core, account);
    note::leave(core, account, Note::Password).await;
    Ok(())
}

/// `rekey`.
pub async fn rekey(
    core: &Arc<Core>,
    address: &str,
    credential: SecretBytes,
    password: SecretBytes,
) -> Result<GeneratedSecret, AdminError> {
    let password = choose(&password)?;
    let account = number(core, address)?;
    let authority = open(core, address, credential).await?.authority;
    let code = change(core, account, move |core, file| {
        let (now, entropy) = (core.clock.now(), &*core.entropy);
        let party = Party::Owner;
        let made = authority.rekey(&core.keys, file, &password, party, now, entropy)?;
        Ok((made.file, made.recovery_code))
    })
    .await?;
    // What is resident belongs to the old master key: sessions log in again, with the new password.
    core.registry.lock(account, Why::Command).await;
    note::leave(core, account, Note::Rekey).await;
    Ok(code)
}

/// `recovery`.
pub async fn recovery(
    core: &Arc<Core>,
    address: &str,
    credential: SecretBytes,
) -> Result<GeneratedSecret, AdminError> {
    let account = number(core, address)?;
    let authority = open(core, address, credential).await?.authority;
    let code = change(core, account, move |core, file| {
        let (now, entropy) = (core.clock.now(), &*core.entropy);
        Ok(authority.new_recovery_code(file, Party::Owner, now, entropy)?)
    })
    .await?;
    forget_missing(core, account);
    note::leave(core, account, Note::Recovery).await;
    Ok(code)
}

/// `app-password`.
pub async fn app_password(
    core: &Arc<Core>,
    address: &str,
    credential: SecretBytes,
    label: &str,
    opens: bool,
) -> Result<GeneratedSecret, AdminError> {
    let account = number(core, address)?;
    let authority = open(core, address, credential).await?.authority;
    let scope = if opens { Scope::Open } else { Scope::LoginOnly };
    let label = label.to_owned();
    let secret = change(core, account, move |core, file| {
        let (now, entropy) = (core.clock.now(), &*core.entropy);
        let (file, secret, _) = authority.add_app_password(file, &label, scope, now, entropy)?;
        Ok((file, secret))
    })
    .await?;
    note::leave(core, account, Note::AppPassword { opens }).await;
    Ok(secret)
}

/// `unlock`.
pub async fn unlock(
    core: &Arc<Core>,
    address: &str,
    credential: SecretBytes,
    hours: Option<u32>,
) -> Result<(), AdminError> {
    let default_hours = (core.options.unlock_max.as_secs() / 3600).max(1) as u32;
    let hours = hours.unwrap_or(default_hours);
    if hours > core.options.unlock_hours_max.max(default_hours) {
        return Err(AdminError::TooLong);
    }
    let account = number(core, address)?;
    let opened = open(core, address, credential).await?;
    let (shared, Opened { unlocked, authority, .. }) = (core.clone(), opened);
    let opened_at = unlocked.generation();
    let cleared = blocking(move || clear_lock(&shared, account, opened_at, authority)).await?;
    let (authority, generation) = cleared?;
    // Whichever unlock it will be: this one, if it starts the account's task, or the one there is.
    authority.admit_login_only(&unlocked);
    let started = core.registry.get_or_start(core, unlocked, generation, authority).await;
    let (resident, authority) = started.map_err(|_| AdminError::TryLater)?;
    if let (Some(authority), Some(unlocked)) = (authority, resident.unlocked()) {
        authority.admit_login_only(&unlocked);
    }
    resident.hold(Instant::now() + Duration::from_secs(u64::from(hours) * 3600));
    note::leave(core, account, Note::Unlock { hours }).await;
    Ok(())
}

/// Takes the lock off the file that was opened. Returns the generation that the witness is good
/// for.
fn clear_lock(
    core: &Core,
    account: AccountNumber,
    opened_at: u64,
    authority: SlotAuthority,
) -> Result<(SlotAuthority, u64), AdminError> {
    let generation = core.directory.change(account, |file| {
        if file.generation() != opened_at {
            return Err(AdminError::TryLater);
        }
        let cleared = file.is_locked().then(|| authority.clear_lock(file)).transpose()?;
        let generation = cleared.as_ref().unwrap_or(file).generation();
        Ok((cleared, generation))
    })?;
    Ok((authority, generation))
}

/// `lock`.
pub async fn lock(core: &Arc<Core>, address: &str) -> Result<(), AdminError> {
    let account = number(core, address)?;
    let shared = core.clone();
    // The state first, durably: a login between the two would else unlock again.
    blocking(move || {
        shared.directory.change(account, |file| {
            Ok::<_, AdminError>(((!file.is_locked()).then(|| file.locked()), ()))
        })
    })
    .await??;
    core.registry.lock(account, Why::Command).await;
    core.events.emit(&MailboxEvent::AccountChanged { account, verb: "lock" });
    Ok(())
}

/// The account that a verb names.
pub(super) fn number(core: &Core, address: &str) -> Result<AccountNumber, AdminError> {
    let address = core.directory.parse(address).ok_or(AdminError::BadAddress)?;
    match core.directory.find_login(&address) {
        Found::Account(account) => Ok(account.file.number()),
        Found::NotLocal => Err(AdminError::BadAddress),
        Found::Nobody => Err(AdminError::NoSuchAccount),
        Found::Suspect => Err(AdminError::Damaged),
    }
}

/// Opens a slot with the credential of this very request. What is resident is never used for it.
pub(super) async fn open(
    core: &Arc<Core>,
    address: &str,
    credential: SecretBytes,
) -> Result<Opened, AdminError> {
    let request = AuthRequest {
        user: address.to_owned(),
        password: credential,
        peer: None,
        service: Service::Command,
    };
    match login::check(core, request, Purpose::Command).await?.gives {
        Gives::Opened(opened, _) => Ok(*opened),
        Gives::Verified(_) | Gives::Known(..) => Err(AdminError::BadCredential),
    }
}

/// Changes an account's file, durably.
pub(super) async fn change<T, F>(
    core: &Arc<Core>,
    account: AccountNumber,
    change: F,
) -> Result<T, AdminError>
where
    T: Send + 'static,
    F: FnOnce(&Core, &AccountFile) -> Result<(AccountFile, T), AdminError> + Send + 'static,
{
    let shared = core.clone();
    blocking(move || {
        shared.directory.change(account, |file| {
            let (file, result) = change(&shared, file)?;
            Ok((Some(file), result))
        })
    })
    .await?
}

/// Slots that are gone must not be known to a running unlock either.
fn forget_missing(core: &Core, account: AccountNumber) {
    let resident = core.registry.resident(account);
    let unlocked = resident.and_then(|resident| resident.unlocked());
    if let (Some(unlocked), Some(account)) = (unlocked, core.directory.get(account)) {
        unlocked.forget_missing(&account.file);
    }
}
