//! Changes to an account: each consumes the authority that a credential gave in the same request.
//!
//! Every verb takes the account file as it stands now and returns the new one. The caller replaces
//! the file durably, and only then tells anybody (shows the new secret, answers OK).

use super::credential::{Credential, Form, Password};
use super::file::{APP_SLOTS_MAX, AccountFile, PublicEpoch, SlotId, SlotKind};
use super::keys::{ServerKeys, Unlocked};
use super::login::Tampered;
use super::passphrase::{GeneratedSecret, generate_code};
use super::sealed::{Epoch, Identity, KeyBox, ListedSlot, Tail, Vault};
use super::slot::{Kdf, Slot};
use crate::base::clock::UnixTime;
use crate::base::crypto::Key;
use crate::base::entropy::Entropy;
use crate::base::ids::AccountNumber;
use crate::pgp::{self, CertError};
use std::fmt;

/// Octets of an app password's label.
const LABEL_BYTES_MAX: usize = 64;

/// Epochs whose keys are made in advance, so that locked accounts can rotate.
const EPOCHS_AHEAD: usize = 1;

/// Epochs in one vault: some four thousand octets each, and the file has 4 MiB at most.
const EPOCHS_MAX: usize = 900;

/// Who has seen a new password or recovery code.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Party {
    /// Its owner alone.
    Owner,
    /// The operator too (`account add` by an administrator).
    Operator,
}

/// What an app password may do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scope {
    /// Log in and open the mail.
    Open,
    /// Log in and submit; opens nothing, because its slot wraps no key.
    LoginOnly,
}

/// A new account.
#[derive(Debug)]
pub struct Created {
    /// Its file.
    pub file: AccountFile,
    /// Its recovery code, shown once.
    pub recovery_code: GeneratedSecret,
    /// Opened, for the first mailboxes.
    pub unlocked: Unlocked,
}

/// An account with a new master key.
#[derive(Debug)]
pub struct Rekeyed {
    /// Its file.
    pub file: AccountFile,
    /// Its new recovery code, shown once.
    pub recovery_code: GeneratedSecret,
    /// The new keys; the index key before is in it until the index is rewritten.
    pub unlocked: Unlocked,
}

/// A slot with what its owner called it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SlotInfo {
    /// Its number.
    pub id: SlotId,
    /// Its kind.
    pub kind: SlotKind,
    /// What its owner called it.
    pub label: String,
    /// When it was made.
    pub created: UnixTime,
}

/// A change that was not made, with the reason.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Denied(pub DenyReason);

/// Why a change was not made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DenyReason {
    /// This needs the password or the recovery code; an app password is not enough.
    NeedsOwner,
    /// The file is another account's, or its master key has changed meanwhile.
    Stale,
    /// The file is not what the vault says.
    Tampered(Tampered),
    /// No slot with this number, or one that cannot be revoked (the password).
    NoSuchSlot,
    /// All 32 app passwords are taken.
    TooManySlots,
    /// The label is above 64 octets or has control characters.
    Label,
    /// The index is being rewritten already.
    Busy,
    /// As many replaced identities as may be are kept already.
    TooManyIdentities,
    /// The server does not hold the identity's secret key.
    NoSecret,
    /// A certificate could not be made.
    Cert(CertError),
}

/// The right to one change of one account: holds the AMK. Made by [`login`](super::login()) alone.
pub struct SlotAuthority {
    number: AccountNumber,
    amk: Key,
    slot: SlotId,
    kind: SlotKind,
    digest: [u8; 32],
}

/// Makes an account: keys, vault, password slot and recovery slot.
pub fn create(
    server: &ServerKeys,
    number: AccountNumber,
    address: &str,
    password: &Password,
    known_to: Party,
    now: UnixTime,
    entropy: &dyn Entropy,
) -> Result<Created, CertError> {
    let mut draft = Draft::new(number, address, now, entropy)?;
    draft.add_epochs(1 + EPOCHS_AHEAD, now)?;
    draft.file.current = 1;
    draft.set_password(server, password, known_to, now, entropy);
    let recovery_code = draft.draw_recovery_code(known_to, now, entropy);
    let (file, unlocked) = draft.finish(entropy).map_err(|_| CertError::Library)?;
    Ok(Created { file, recovery_code, unlocked })
}

impl SlotAuthority {
    pub(super) fn new(number: AccountNumber, amk: Key, slot: &Slot) -> SlotAuthority {
        SlotAuthority { number, amk, slot: slot.id, kind: slot.kind, digest: slot.digest() }
    }

    /// Whose account.
    pub fn account(&self) -> AccountNumber {
        self.number
    }

    /// The account's slots with their labels.
    pub fn slots(&self, file: &AccountFile) -> Result<Vec<SlotInfo>, Denied> {
        let info = |slot: ListedSlot| SlotInfo {
            id: slot.id,
            kind: slot.kind,
            label: slot.label,
            created: slot.created,
        };
        Ok(self.vault(file)?.slots.into_iter().map(info).collect())
    }

    /// `passwd`: another password. No mail is touched, other slots stay; who has an old file and
    /// the old password still opens what that opened.
    pub fn set_password(
        self,
        server: &ServerKeys,
        file: &AccountFile,
        password: &Password,
        known_to: Party,
        now: UnixTime,
        entropy: &dyn Entropy,
    ) -> Result<AccountFile, Denied> {
        let mut draft = self.owners_draft(file)?;
        draft.drop_slots(|kind| kind == SlotKind::Password);
        draft.set_password(server, password, known_to, now, entropy);
        Ok(draft.seal(entropy))
    }

    /// Makes an app password.
    pub fn add_app_password(
        self,
        file: &AccountFile,
        label: &str,
        scope: Scope,
        now: UnixTime,
        entropy: &dyn Entropy,
    ) -> Result<(AccountFile, GeneratedSecret, SlotId), Denied> {
        if label.len() > LABEL_BYTES_MAX || label.chars().any(char::is_control) {
            return Err(Denied(DenyReason::Label));
        }
        let mut draft = self.owners_draft(file)?;
        let is_app = |kind| matches!(kind, SlotKind::App | SlotKind::LoginOnly);
        if draft.file.slots().filter(|(_, kind)| is_app(*kind)).count() >= APP_SLOTS_MAX {
            return Err(Denied(DenyReason::TooManySlots));
        }
        let kind = match scope {
            Scope::Open => SlotKind::App,
            Scope::LoginOnly => SlotKind::LoginOnly,
        };
        let (secret, id) = draft.add_code(kind, label, now, entropy);
        Ok((draft.seal(entropy), secret, id))
    }

    /// Takes an app password or the recovery code away.
    pub fn revoke(
        self,
        file: &AccountFile,
        slot: SlotId,
        entropy: &dyn Entropy,
    ) -> Result<AccountFile, Denied> {
        let mut draft = self.owners_draft(file)?;
        let revocable = |(id, kind)| id == slot && kind != SlotKind::Password;
        if !draft.file.slots().any(revocable) {
            return Err(Denied(DenyReason::NoSuchSlot));
        }
        draft.drop_slot(slot);
        Ok(draft.seal(entropy))
    }

    /// Draws a new recovery code; the old one dies.
    pub fn new_recovery_code(
        self,
        file: &AccountFile,
        known_to: Party,
        now: UnixTime,
        entropy: &dyn Entropy,
    ) -> Result<(AccountFile, GeneratedSecret), Denied> {
        let mut draft = self.owners_draft(file)?;
        let code = draft.draw_recovery_code(known_to, now, entropy);
        Ok((draft.seal(entropy), code))
    }

    /// `rekey`, after a theft: new AMK, new index key, new storage epoch, the password given, a new
    /// recovery code; all app passwords are dropped. An old file with its old secrets opens mail
    /// that arrived before and none that arrives after. [`DenyReason::Busy`] while an index
    /// re-keying is unfinished: end that first.
    pub fn rekey(
        self,
        server: &ServerKeys,
        file: &AccountFile,
        password: &Password,
        known_to: Party,
        now: UnixTime,
        entropy: &dyn Entropy,
    ) -> Result<Rekeyed, Denied> {
        let mut draft = self.owners_draft(file)?;
        draft.turn_index_key(entropy)?;
        draft.amk = Key::random(entropy);
        draft.drop_slots(|_| true);
        let last_used = draft.file.current;
        let first = draft.add_epochs(1 + EPOCHS_AHEAD, now).map_err(cert)?;
        // Keys made in advance are in the stolen vault too: they are never used.
        draft.vault.epochs.retain(|epoch| epoch.number <= last_used || epoch.number >= first);
        draft.file.epochs.retain(|epoch| epoch.number >= first);
        draft.file.current = first;
        draft.set_password(server, password, known_to, now, entropy);
        let recovery_code = draft.draw_recovery_code(known_to, now, entropy);
        let (file, unlocked) = draft.finish(entropy)?;
        Ok(Rekeyed { file, recovery_code, unlocked })
    }

    /// Gives the account a new index key; the old one stays beside it
    /// ([`Unlocked::previous_index_key`]) until the [`IndexRekey`] that is returned, or after a
    /// crash [`SlotAuthority::end_index_rekey`], says that nothing is sealed under it any more. The
    /// new [`Unlocked`] remembers no credential yet. Any slot that opens may do this.
    pub fn begin_index_rekey(
        self,
        file: &AccountFile,
        entropy: &dyn Entropy,
    ) -> Result<(AccountFile, Unlocked, IndexRekey), Denied> {
        let mut draft = self.draft(file)?;
        draft.turn_index_key(entropy)?;
        let (file, unlocked) = draft.finish(entropy)?;
        Ok((file, unlocked, IndexRekey(self)))
    }

    /// Finishes an index re-keying that a crash interrupted: the old index key leaves the vault.
    pub fn end_index_rekey(
        self,
        file: &AccountFile,
        entropy: &dyn Entropy,
    ) -> Result<AccountFile, Denied> {
        IndexRekey(self).end(file, entropy)
    }

    /// Makes sure that keys of epochs to come are in the vault; `None` if they are already. Any
    /// slot that opens may do this.
    pub fn prepare_epochs(
        &self,
        file: &AccountFile,
        now: UnixTime,
        entropy: &dyn Entropy,
    ) -> Result<Option<AccountFile>, Denied> {
        let mut draft = self.draft(file)?;
        let ahead = draft.file.epochs.iter().filter(|e| e.number > draft.file.current).count();
        let missing = EPOCHS_AHEAD.saturating_sub(ahead);
        if missing == 0 || draft.vault.epochs.len() >= EPOCHS_MAX {
            return Ok(None);
        }
        draft.add_epochs(missing, now).map_err(cert)?;
        Ok(Some(draft.seal(entropy)))
    }

    /// Takes the lock off. The file is changed; [`login`](super::login()) with
    /// [`Purpose::Read`](super::Purpose) opens again.
    pub fn clear_lock(&self, file: &AccountFile) -> Result<AccountFile, Denied> {
        self.vault(file)?;
        Ok(AccountFile { locked: false, ..file.changed() })
    }

    /// Lets login-only credentials read while `unlocked` lasts.
    pub fn admit_login_only(&self, unlocked: &Unlocked) {
        if unlocked.account() == self.number {
            unlocked.set_admits_login_only();
        }
    }

    /// The vault of the file as it stands now, if this slot is still one of its slots.
    pub(super) fn vault(&self, file: &AccountFile) -> Result<Vault, Denied> {
        let vault = self.vault_by_key(file)?;
        match vault.slots.iter().any(|s| s.id == self.slot && s.digest == self.digest) {
            true => Ok(vault),
            false => Err(Denied(DenyReason::Stale)),
        }
    }

    fn vault_by_key(&self, file: &AccountFile) -> Result<Vault, Denied> {
        if file.number() != self.number {
            return Err(Denied(DenyReason::Stale));
        }
        Vault::open(file, &self.amk).map_err(|what| match what {
            Tampered::Vault => Denied(DenyReason::Stale),
            other => Denied(DenyReason::Tampered(other)),
        })
    }

    fn draft(&self, file: &AccountFile) -> Result<Draft, Denied> {
        let vault = self.vault(file)?;
        Ok(Draft { amk: self.amk.clone(), file: file.changed(), vault })
    }

    pub(super) fn owners_draft(&self, file: &AccountFile) -> Result<Draft, Denied> {
        self.require_owner()?;
        self.draft(file)
    }

    pub(super) fn require_owner(&self) -> Result<(), Denied> {
        match self.kind {
            SlotKind::Password | SlotKind::Recovery => Ok(()),
            SlotKind::App | SlotKind::LoginOnly => Err(Denied(DenyReason::NeedsOwner)),
        }
    }
}

/// The right to end one index re-keying, and nothing else.
#[derive(Debug)]
pub struct IndexRekey(SlotAuthority);

impl IndexRekey {
    /// The old index key leaves the vault. Call it when nothing sealed under it is live. That the
    /// slot was revoked meanwhile does not matter, a rekey does ([`DenyReason::Stale`]).
    pub fn end(self, file: &AccountFile, entropy: &dyn Entropy) -> Result<AccountFile, Denied> {
        let mut vault = self.0.vault_by_key(file)?;
        vault.previous_index_key = None;
        Ok(Draft { amk: self.0.amk, file: file.changed(), vault }.seal(entropy))
    }
}

/// An account in the making: both halves, brought into step by [`Draft::seal`].
pub(super) struct Draft {
    amk: Key,
    pub(super) file: AccountFile,
    pub(super) vault: Vault,
}

impl Draft {
    /// An account without epochs and slots.
    fn new(
        number: AccountNumber,
        address: &str,
        now: UnixTime,
        entropy: &dyn Entropy,
    ) -> Result<Draft, CertError> {
        let identity = pgp::generate_identity(address, now)?;
        let vault = Vault {
            number,
            address: address.to_owned(),
            generation: 1,
            identity: Identity::of(&identity),
            epochs: Vec::new(),
            epoch_floor: 1,
            index_key: Key::random(entropy),
            index_epoch: 1,
            previous_index_key: None,
            slots: Vec::new(),
            next_slot: 1,
            tail: Tail::default(),
        };
        let file = AccountFile {
            number,
            address: address.to_owned(),
            generation: 1,
            locked: false,
            password_known: false,
            recovery_known: false,
            identity_cert: identity.public,
            epochs: Vec::new(),
            current: 1,
            slots: Vec::new(),
            vault: Vec::new(),
            unpublished: false,
        };
        Ok(Draft { amk: Key::random(entropy), file, vault })
    }

    /// Makes `count` epochs behind the last one; the number of the first of them.
    fn add_epochs(&mut self, count: usize, now: UnixTime) -> Result<u32, CertError> {
        let first = self.vault.epochs.iter().map(|epoch| epoch.number).max().unwrap_or(0) + 1;
        for number in (first..).take(count) {
            let pair = pgp::generate_storage(now)?;
            self.vault.epochs.push(Epoch::of(number, &pair));
            self.file.epochs.push(PublicEpoch { number, cert: pair.public, subkey: pair.subkey });
        }
        Ok(first)
    }

    fn set_password(
        &mut self,
        server: &ServerKeys,
        password: &Password,
        known_to: Party,
        now: UnixTime,
        entropy: &dyn Entropy,
    ) {
        let kdf = Kdf::Argon2id { cost: server.cost, peppered: server.pepper.is_some() };
        let what = (self.next_slot(), SlotKind::Password, kdf);
        let (amk, pepper) = (Some(&self.amk), server.pepper.as_ref());
        let credential = password.as_credential();
        let slot = Slot::make(self.file.number, what, credential, amk, pepper, entropy);
        self.add_slot(slot, "", now);
        self.file.password_known = known_to == Party::Operator;
    }

    fn draw_recovery_code(
        &mut self,
        known_to: Party,
        now: UnixTime,
        entropy: &dyn Entropy,
    ) -> GeneratedSecret {
        self.drop_slots(|kind| kind == SlotKind::Recovery);
        self.file.recovery_known = known_to == Party::Operator;
        self.add_code(SlotKind::Recovery, "", now, entropy).0
    }

    /// A slot for a secret that is generated here: the only way to a slot without a slow KDF.
    fn add_code(
        &mut self,
        kind: SlotKind,
        label: &str,
        now: UnixTime,
        entropy: &dyn Entropy,
    ) -> (GeneratedSecret, SlotId) {
        let form = if kind == SlotKind::Recovery { Form::Recovery } else { Form::App };
        let secret = generate_code(form, entropy);
        let credential = Credential::parse(secret.expose().as_bytes())
            .expect("what was generated is of a known form");
        let id = self.next_slot();
        let amk = (kind != SlotKind::LoginOnly).then_some(&self.amk);
        let what = (id, kind, Kdf::Hkdf);
        let slot = Slot::make(self.file.number, what, &credential, amk, None, entropy);
        self.add_slot(slot, label, now);
        (secret, id)
    }

    fn add_slot(&mut self, slot: Slot, label: &str, created: UnixTime) {
        let (id, kind, digest) = (slot.id, slot.kind, slot.digest());
        self.vault.slots.push(ListedSlot { id, kind, label: label.to_owned(), created, digest });
        self.file.slots.push(slot);
    }

    fn drop_slots(&mut self, which: impl Fn(SlotKind) -> bool) {
        self.vault.slots.retain(|slot| !which(slot.kind));
        self.file.slots.retain(|slot| !which(slot.kind));
    }

    fn drop_slot(&mut self, id: SlotId) {
        self.vault.slots.retain(|slot| slot.id != id);
        self.file.slots.retain(|slot| slot.id != id);
    }

    fn next_slot(&mut self) -> SlotId {
        let id = SlotId(self.vault.next_slot);
        self.vault.next_slot += 1;
        id
    }

    fn turn_index_key(&mut self, entropy: &dyn Entropy) -> Result<(), Denied> {
        if self.vault.previous_index_key.is_some() {
            return Err(Denied(DenyReason::Busy));
        }
        let old = std::mem::replace(&mut self.vault.index_key, Key::random(entropy));
        self.vault.previous_index_key = Some(KeyBox(old));
        self.vault.index_epoch += 1;
        Ok(())
    }

    /// Seals the vault over what the file now shows.
    pub(super) fn seal(mut self, entropy: &dyn Entropy) -> AccountFile {
        self.seal_in_place(entropy);
        self.file
    }

    /// The same, and the keys.
    fn finish(mut self, entropy: &dyn Entropy) -> Result<(AccountFile, Unlocked), Denied> {
        self.seal_in_place(entropy);
        let unlocked = Unlocked::new(&self.file, &self.vault, entropy)
            .map_err(|what| Denied(DenyReason::Tampered(what)))?;
        Ok((self.file, unlocked))
    }

    fn seal_in_place(&mut self, entropy: &dyn Entropy) {
        self.vault.generation = self.file.generation;
        self.vault.epoch_floor = self.file.current;
        self.file.vault = self.vault.seal(&self.amk, entropy);
    }
}

fn cert(error: CertError) -> Denied {
    Denied(DenyReason::Cert(error))
}

impl fmt::Debug for SlotAuthority {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SlotAuthority({}, slot {})", self.number, self.slot.0)
    }
}

impl fmt::Display for Denied {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            DenyReason::NeedsOwner => f.write_str("this needs the password or the recovery code"),
            DenyReason::Stale => f.write_str("the account has changed meanwhile"),
            DenyReason::Tampered(what) => write!(f, "the account file was tampered with: {what}"),
            DenyReason::NoSuchSlot => f.write_str("no slot of this number that can be revoked"),
            DenyReason::TooManySlots => f.write_str("an account has at most 32 app passwords"),
            DenyReason::Label => f.write_str("a label has at most 64 octets and no control codes"),
            DenyReason::Busy => f.write_str("the index is being rewritten already"),
            DenyReason::TooManyIdentities => {
                f.write_str("as many replaced keys as may be are kept already")
            }
            DenyReason::NoSecret => f.write_str("the server does not hold the secret key"),
            DenyReason::Cert(error) => write!(f, "no certificate could be made: {error}"),
        }
    }
}

impl std::error::Error for Denied {}
