//! Keys in memory: the server's own, and those of an unlocked account.

use super::credential::Credential;
use super::file::{AccountFile, SlotId, SlotKind};
use super::login::{Tampered, Verified, WhyShut};
use super::sealed::Vault;
use crate::base::crypto::{self, Argon2Cost, Key};
use crate::base::entropy::Entropy;
use crate::base::ids::AccountNumber;
use crate::base::secret::SecretBytes;
use crate::pgp::{self, Fingerprint, IdentityKeys, OpenError, OpenKey, SealKey, SessionKey};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, OnceLock};

/// What the server brings to every vault: keys from outside the data directory, and the cost of a
/// chosen password. Share it by `Arc`.
#[derive(Debug)]
pub struct ServerKeys {
    pub(super) mac: Key,
    pub(super) fake: Key,
    pub(super) pepper: Option<Key>,
    pub(super) cost: Argon2Cost,
}

impl ServerKeys {
    /// From the journal key (which is kept outside the data directory) and the optional pepper.
    pub fn new(journal_key: &Key, pepper: Option<Key>) -> ServerKeys {
        let derive = |label| crypto::derive(journal_key.expose(), b"", label);
        ServerKeys {
            mac: derive("postseal account file mac 1"),
            fake: derive("postseal unknown account 1"),
            pepper,
            cost: Argon2Cost::PASSWORD,
        }
    }

    /// With another cost for slots made from now on. For tests, and for machines with more memory;
    /// an unacceptable cost is ignored.
    pub fn with_cost(mut self, cost: Argon2Cost) -> ServerKeys {
        if cost.is_acceptable() {
            self.cost = cost;
        }
        self
    }
}

/// The witness that an account is unlocked, and the keys to read and file its mail. Clones share
/// the keys; they are zeroed when the last clone is dropped. The AMK is not among them.
#[derive(Clone)]
pub struct Unlocked(Arc<Keys>);

struct Keys {
    number: AccountNumber,
    generation: u64,
    index_key: Key,
    index_epoch: u32,
    previous_index_key: Option<Key>,
    seal_key: SealKey,
    epochs: Vec<EpochKey>,
    identity: IdentityKeys,
    fast_key: Key,
    remembered: Mutex<Vec<Remembered>>,
    login_only_admitted: AtomicBool,
}

/// One epoch's secret; parsed when the first message of that epoch is opened.
struct EpochKey {
    subkey: Fingerprint,
    secret: SecretBytes,
    open_key: OnceLock<OpenKey>,
}

/// A credential that was verified during this unlock. There is one entry a slot at most.
struct Remembered {
    slot: SlotId,
    kind: SlotKind,
    hmac: [u8; 32],
}

impl Unlocked {
    /// From an opened vault, for what the file now shows as the current epoch.
    pub(super) fn new(
        file: &AccountFile,
        vault: &Vault,
        entropy: &dyn Entropy,
    ) -> Result<Unlocked, Tampered> {
        let epochs = vault.epochs.iter().map(|epoch| EpochKey {
            subkey: epoch.subkey,
            secret: epoch.secret.clone(),
            open_key: OnceLock::new(),
        });
        Ok(Unlocked(Arc::new(Keys {
            number: vault.number,
            generation: file.generation(),
            index_key: vault.index_key.clone(),
            index_epoch: vault.index_epoch,
            previous_index_key: vault.previous_index_key.as_ref().map(|boxed| boxed.0.clone()),
            seal_key: file.seal_key().map_err(|_| Tampered::StorageCert)?,
            epochs: epochs.collect(),
            identity: IdentityKeys::from_secrets(&vault.identity_secrets()),
            fast_key: Key::random(entropy),
            remembered: Mutex::new(Vec::new()),
            login_only_admitted: AtomicBool::new(false),
        })))
    }

    /// Whose mail.
    pub fn account(&self) -> AccountNumber {
        self.0.number
    }

    /// The generation of the account file that this was opened from. See
    /// [`AccountFile::generation`](super::AccountFile::generation).
    pub fn generation(&self) -> u64 {
        self.0.generation
    }

    /// The key that the account's records are sealed under.
    pub fn index_key(&self) -> &Key {
        &self.0.index_key
    }

    /// Counts the index keys of this account, from 1.
    pub fn index_epoch(&self) -> u32 {
        self.0.index_epoch
    }

    /// The index key before this one, while records under it may still stand.
    pub fn previous_index_key(&self) -> Option<&Key> {
        self.0.previous_index_key.as_ref()
    }

    /// The key of the current epoch, for what is filed while unlocked (APPEND).
    pub fn seal_key(&self) -> &SealKey {
        &self.0.seal_key
    }

    /// The session key of a stored message, from its first
    /// [`PKESK_PREFIX_BYTES`](crate::pgp::PKESK_PREFIX_BYTES) octets. The epoch is found by the
    /// recipient's fingerprint ([`crate::pgp::recipient`]).
    pub fn session_key(&self, prefix: &[u8]) -> Result<SessionKey, OpenError> {
        let subkey = pgp::recipient(prefix)?;
        let epoch = self.0.epochs.iter().find(|epoch| epoch.subkey == subkey);
        epoch.ok_or(OpenError::OtherKey)?.open_key()?.session_key(prefix)
    }

    /// The encryption subkeys of the account's identity and of those before it, for the fold: they
    /// open session keys of mail that was encrypted to one, and do nothing else. The keys that sign
    /// and certify stay in the vault.
    pub fn identity_keys(&self) -> &IdentityKeys {
        &self.0.identity
    }

    /// Remembers a credential that was just verified, for [`Unlocked::knows`]. What is kept is its
    /// HMAC under a random key of this unlock.
    pub fn remember(&self, verified: &Verified, credential: &Credential) {
        if verified.account != self.0.number {
            return;
        }
        let entry = Remembered {
            slot: verified.slot,
            kind: verified.kind,
            hmac: self.fast_hmac(credential),
        };
        let mut remembered = self.remembered();
        remembered.retain(|other| other.slot != entry.slot);
        remembered.push(entry);
    }

    /// The fast second login: the slot of a credential that was verified during this unlock. `None`
    /// means nothing: try [`login`](super::login()), at its full cost.
    pub fn knows(&self, credential: &Credential) -> Option<Verified> {
        let hmac = self.fast_hmac(credential);
        let remembered = self.remembered();
        let known = remembered.iter().find(|entry| crypto::equal(&entry.hmac, &hmac))?;
        let shut = (known.kind == SlotKind::LoginOnly).then_some(WhyShut::LoginOnly);
        Some(Verified { account: self.0.number, slot: known.slot, kind: known.kind, shut })
    }

    /// Forgets a slot's credential (it was revoked or changed).
    pub fn forget(&self, slot: SlotId) {
        self.remembered().retain(|entry| entry.slot != slot);
    }

    /// Forgets all credentials but those of slots that `file` still has.
    pub fn forget_missing(&self, file: &AccountFile) {
        let has = |slot| file.slots().any(|(id, _)| id == slot);
        self.remembered().retain(|entry| has(entry.slot));
    }

    /// Whether login-only credentials may read while this unlock lasts: an `unlock` command said so
    /// with a credential
    /// ([`SlotAuthority::admit_login_only`](super::SlotAuthority::admit_login_only)).
    pub fn admits_login_only(&self) -> bool {
        self.0.login_only_admitted.load(Ordering::Acquire)
    }

    pub(super) fn set_admits_login_only(&self) {
        self.0.login_only_admitted.store(true, Ordering::Release);
    }

    fn fast_hmac(&self, credential: &Credential) -> [u8; 32] {
        crypto::hmac(&self.0.fast_key, &[credential.prepared().expose()])
    }

    fn remembered(&self) -> std::sync::MutexGuard<'_, Vec<Remembered>> {
        self.0.remembered.lock().unwrap_or_else(|poisoned| poisoned.into_inner())
    }
}

impl EpochKey {
    fn open_key(&self) -> Result<&OpenKey, OpenError> {
        if self.open_key.get().is_none() {
            let key = OpenKey::from_secret(&self.secret, &self.subkey)
                .map_err(|_| OpenError::OtherKey)?;
            // Another thread may have been first; its key is the same.
            let _ = self.open_key.set(key);
        }
        self.open_key.get().ok_or(OpenError::OtherKey)
    }
}

impl std::fmt::Debug for Unlocked {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Unlocked({})", self.0.number)
    }
}
