//! Who somebody is, and whether his credential opens the mail.
//!
//! The order is that of cost: a credential that this very unlock has seen before is known by an
//! HMAC; generated secrets need no slow key derivation; a chosen password waits for its turn in the
//! queue. An unknown user takes the same way as a wrong password, at the same cost and with the
//! same words.
//!
//! `lock` is sticky: while it stands in the account's file, the vault checks a credential without
//! opening anything. A credential attaches to an unlocked account only if it opened a slot itself,
//! or if the owner's `unlock` admitted login-only credentials.

use super::core::{Core, blocking};
use super::directory::{Account, Found};
use super::events::MailboxEvent;
use super::life::Why;
use super::resident::Resident;
use crate::base::secret::SecretBytes;
use crate::seams::{AuthRequest, PASSWORD_BYTES_MAX, USER_BYTES_MAX};
use crate::vault::{self, Credential, Opened, Purpose, Refusal, SlotKind, Verified};
use std::sync::Arc;

/// Why somebody did not get in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Denied {
    /// No such user or wrong password.
    Refused,
    /// It cannot be checked now.
    TryLater,
}

/// A right credential.
pub struct Admitted {
    /// Whose.
    pub account: Arc<Account>,
    /// What it gives.
    pub gives: Gives,
}

/// What a right credential gives.
pub enum Gives {
    /// It opened its slot.
    Opened(Box<Opened>, Credential),
    /// It is right and opened nothing now.
    Verified(Verified),
    /// It is known to the unlock that is there.
    Known(Verified, Arc<Resident>),
}

/// Tries a credential. Reports the outcome.
pub async fn check(
    core: &Arc<Core>,
    request: AuthRequest,
    purpose: Purpose,
) -> Result<Admitted, Denied> {
    let AuthRequest { user, password, peer, service } = request;
    let result = try_credential(core, &user, password, peer, purpose).await;
    match &result {
        Ok(admitted) => core.events.emit(&MailboxEvent::LoggedIn {
            account: admitted.account.file.number(),
            service: service.word(),
            peer,
        }),
        Err(denied) => core.events.emit(&MailboxEvent::LoginRefused {
            user: user.chars().take(USER_BYTES_MAX).collect(),
            service: service.word(),
            peer,
            why: denied.word(),
        }),
    }
    result
}

async fn try_credential(
    core: &Arc<Core>,
    user: &str,
    password: SecretBytes,
    peer: Option<std::net::IpAddr>,
    purpose: Purpose,
) -> Result<Admitted, Denied> {
    if user.len() > USER_BYTES_MAX || password.expose().len() > PASSWORD_BYTES_MAX {
        return Err(Denied::Refused);
    }
    let credential = Credential::parse(password.expose()).map_err(|_| Denied::Refused)?;
    let (name, found) = look_up(core, user);
    let (account, otherwise) = match found {
        Found::Account(account) => (Some(account), Denied::Refused),
        Found::Suspect => (None, Denied::TryLater),
        Found::Nobody | Found::NotLocal => (None, Denied::Refused),
    };
    if let (Some(account), false) = (&account, purpose == Purpose::Command)
        && let Some(gives) = known(core, account, &credential)
    {
        return Ok(Admitted { account: account.clone(), gives });
    }
    let result = slow(core, name, account.clone(), credential, peer, purpose).await?;
    match (account, result) {
        (Some(account), Ok(gives)) => still_valid(core, account, gives),
        (Some(account), Err(Refusal::Tampered(_))) => {
            core.directory.suspect(account.file.number(), "vault");
            core.registry.stop(account.file.number(), Why::Suspect);
            Err(Denied::TryLater)
        }
        (None, _) | (_, Err(Refusal::WrongSecret)) => Err(otherwise),
    }
}

/// The name in its one form, by which waiting is made fair, and whose it is.
fn look_up(core: &Core, user: &str) -> (String, Found) {
    match core.directory.parse(user) {
        Some(address) => (address.lookup_key(), core.directory.find_login(&address)),
        None => (user.to_lowercase(), Found::Nobody),
    }
}

/// The fast second login.
fn known(core: &Core, account: &Account, credential: &Credential) -> Option<Gives> {
    let resident = core.registry.resident(account.file.number())?;
    let verified = resident.unlocked()?.knows(credential)?;
    // The file is asked too: a slot that was revoked a moment ago is gone.
    let stands = account.file.slots().any(|(slot, _)| slot == verified.slot());
    stands.then_some(Gives::Known(verified, resident))
}

/// The vault's own check, in its turn if it is expensive, on a thread that may block.
async fn slow(
    core: &Arc<Core>,
    name: String,
    account: Option<Arc<Account>>,
    credential: Credential,
    peer: Option<std::net::IpAddr>,
    purpose: Purpose,
) -> Result<Result<Gives, Refusal>, Denied> {
    let run = match credential.needs_kdf() {
        true => Some(core.kdf.turn(peer, &name).await.map_err(|_| Denied::TryLater)?),
        false => None,
    };
    let shared = core.clone();
    let work = move || {
        let file = account.as_ref().map(|account| &*account.file);
        let (keys, entropy) = (&shared.keys, &*shared.entropy);
        let result = vault::login(keys, &name, file, &credential, purpose, entropy);
        if let Some(run) = run {
            run.ended(result.is_ok());
        }
        result.map(|login| match login {
            vault::Login::Opened(opened) => Gives::Opened(Box::new(opened), credential),
            vault::Login::Verified(verified) => Gives::Verified(verified),
        })
    };
    blocking(work).await.map_err(|_| Denied::TryLater)
}

/// While somebody waited for his turn, the slot may have been revoked or the account locked: the
/// file as it stands now decides.
fn still_valid(core: &Core, then: Arc<Account>, gives: Gives) -> Result<Admitted, Denied> {
    let account = core.directory.get(then.file.number()).ok_or(Denied::TryLater)?;
    let verified = gives.verified();
    if !account.file.slots().any(|(slot, _)| slot == verified.slot()) {
        return Err(Denied::Refused);
    }
    match account.file.is_locked() && !then.file.is_locked() {
        true => Err(Denied::TryLater),
        false => Ok(Admitted { account, gives }),
    }
}

impl Gives {
    fn verified(&self) -> Verified {
        match self {
            Gives::Opened(opened, _) => opened.verified,
            Gives::Verified(verified) | Gives::Known(verified, _) => *verified,
        }
    }
}

impl Admitted {
    /// Attaches to the account's task, starting it if need be. `None` if this credential opens
    /// nothing: the account is as good as locked for this session.
    pub async fn attach(self, core: &Arc<Core>) -> Result<Option<Arc<Resident>>, Denied> {
        let account = self.account.file.number();
        match self.gives {
            Gives::Opened(opened, credential) => {
                let Opened { unlocked, authority, verified } = *opened;
                let generation = unlocked.generation();
                let started =
                    core.registry.get_or_start(core, unlocked, generation, authority).await;
                let (resident, _) = started.map_err(|_| Denied::TryLater)?;
                if let Some(unlocked) = resident.unlocked() {
                    unlocked.remember(&verified, &credential);
                }
                Ok(Some(resident))
            }
            Gives::Known(verified, resident) => Ok(may_read(&verified, &resident)),
            Gives::Verified(verified) => {
                let resident = core.registry.resident(account);
                Ok(resident.and_then(|resident| may_read(&verified, &resident)))
            }
        }
    }
}

/// A credential that opened its slot during this unlock may read; one that has no key in its slot
/// only if the owner's `unlock` said so.
fn may_read(verified: &Verified, resident: &Arc<Resident>) -> Option<Arc<Resident>> {
    let unlocked = resident.unlocked()?;
    let may = match verified.kind() {
        SlotKind::LoginOnly => unlocked.admits_login_only(),
        _ => verified.shut().is_none(),
    };
    may.then(|| resident.clone())
}

impl Denied {
    fn word(self) -> &'static str {
        match self {
            Denied::Refused => "refused",
            Denied::TryLater => "try-later",
        }
    }
}
