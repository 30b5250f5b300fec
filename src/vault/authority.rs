//! Changes to an account: each consumes the authority that a credential gave in the same request.
//!
//! Every verb takes the account file as it stands now and returns the new one. The caller replaces
//! the file durably, and only then tells anybody (shows the new secret, answers OK).

use super::credential::Password;
use super::file::{AccountFile, SlotId, SlotKind};
use super::keys::{ServerKeys, Unlocked};
use super::login::Tampered;
use super::passphrase::GeneratedSecret;
use crate::base::clock::UnixTime;
use crate::base::entropy::Entropy;
use crate::base::ids::AccountNumber;
use crate::base::secret::SecretBytes;
use crate::pgp::CertError;

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
    /// A certificate could not be made.
    Cert(CertError),
}

/// The right to one change of one account: holds the AMK. Made by [`login`](super::login) alone.
#[derive(Debug)]
pub struct SlotAuthority {
    number: AccountNumber,
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
    let _ = (server, number, address, password, known_to, now, entropy);
    todo!()
}

impl SlotAuthority {
    /// Whose account.
    pub fn account(&self) -> AccountNumber {
        self.number
    }

    /// The account's slots with their labels.
    pub fn slots(&self, file: &AccountFile) -> Result<Vec<SlotInfo>, Denied> {
        let _ = file;
        todo!()
    }

    /// `passwd`: another password. No mail is touched, other slots stay; who has an old file and the
    /// old password still opens what that opened.
    pub fn set_password(
        self,
        server: &ServerKeys,
        file: &AccountFile,
        password: &Password,
        known_to: Party,
        now: UnixTime,
        entropy: &dyn Entropy,
    ) -> Result<AccountFile, Denied> {
        let _ = (server, file, password, known_to, now, entropy);
        todo!()
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
        let _ = (file, label, scope, now, entropy);
        todo!()
    }

    /// Takes an app password or the recovery code away.
    pub fn revoke(
        self,
        file: &AccountFile,
        slot: SlotId,
        entropy: &dyn Entropy,
    ) -> Result<AccountFile, Denied> {
        let _ = (file, slot, entropy);
        todo!()
    }

    /// Draws a new recovery code; the old one dies.
    pub fn new_recovery_code(
        self,
        file: &AccountFile,
        known_to: Party,
        now: UnixTime,
        entropy: &dyn Entropy,
    ) -> Result<(AccountFile, GeneratedSecret), Denied> {
        let _ = (file, known_to, now, entropy);
        todo!()
    }

    /// `rekey`, after a theft: new AMK, new index key, new storage epoch, the password given, a new
    /// recovery code; all app passwords are dropped. An old file with its old secrets opens mail that
    /// arrived before and none that arrives after.
    pub fn rekey(
        self,
        server: &ServerKeys,
        file: &AccountFile,
        password: &Password,
        known_to: Party,
        now: UnixTime,
        entropy: &dyn Entropy,
    ) -> Result<Rekeyed, Denied> {
        let _ = (server, file, password, known_to, now, entropy);
        todo!()
    }

    /// Gives the account a new index key; the old one stays beside it
    /// ([`Unlocked::previous_index_key`]) until [`SlotAuthority::end_index_rekey`] or the
    /// [`IndexRekey`] that is returned says that nothing is sealed under it any more.
    pub fn begin_index_rekey(
        self,
        file: &AccountFile,
        entropy: &dyn Entropy,
    ) -> Result<(AccountFile, Unlocked, IndexRekey), Denied> {
        let _ = (file, entropy);
        todo!()
    }

    /// Finishes an index re-keying that a crash interrupted: the old index key leaves the vault.
    pub fn end_index_rekey(
        self,
        file: &AccountFile,
        entropy: &dyn Entropy,
    ) -> Result<AccountFile, Denied> {
        let _ = (file, entropy);
        todo!()
    }

    /// Makes sure that keys of epochs to come are in the vault; `None` if they are already. Any slot
    /// that opens may do this.
    pub fn prepare_epochs(
        &self,
        file: &AccountFile,
        now: UnixTime,
        entropy: &dyn Entropy,
    ) -> Result<Option<AccountFile>, Denied> {
        let _ = (file, now, entropy);
        todo!()
    }

    /// Takes the lock off. The file is changed; [`login`](super::login) with
    /// [`Purpose::Read`](super::Purpose) opens again.
    pub fn clear_lock(&self, file: &AccountFile) -> Result<AccountFile, Denied> {
        let _ = file;
        todo!()
    }

    /// Lets login-only credentials read while `unlocked` lasts.
    pub fn admit_login_only(&self, unlocked: &Unlocked) {
        let _ = unlocked;
        todo!()
    }

    /// The identity's secret key, to take away (`key export`). Needs the password or recovery code.
    pub fn export_identity(self, file: &AccountFile) -> Result<SecretBytes, Denied> {
        let _ = file;
        todo!()
    }
}

/// The right to end one index re-keying, and nothing else.
#[derive(Debug)]
pub struct IndexRekey {
    number: AccountNumber,
}

impl IndexRekey {
    /// The old index key leaves the vault. Call it when nothing sealed under it is live.
    pub fn end(self, file: &AccountFile, entropy: &dyn Entropy) -> Result<AccountFile, Denied> {
        let _ = (self.number, file, entropy);
        todo!()
    }
}
