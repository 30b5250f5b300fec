//! Keys in memory: the server's own, and those of an unlocked account.

use super::credential::Credential;
use super::file::SlotId;
use super::login::Verified;
use crate::base::crypto::{Argon2Cost, Key};
use crate::base::ids::AccountNumber;
use crate::pgp::{OpenError, SealKey, SessionKey};
use std::sync::Arc;

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
        let derive = |label| crate::base::crypto::derive(journal_key.expose(), b"", label);
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

/// The witness that an account is unlocked, and the keys to read and file its mail. Clones share the
/// keys; they are zeroed when the last clone is dropped. The AMK is not among them.
#[derive(Clone, Debug)]
pub struct Unlocked(Arc<Keys>);

#[derive(Debug)]
struct Keys {
    number: AccountNumber,
}

impl Unlocked {
    /// Whose mail.
    pub fn account(&self) -> AccountNumber {
        self.0.number
    }

    /// The generation of the account file that this was opened from. See
    /// [`AccountFile::generation`](super::AccountFile::generation).
    pub fn generation(&self) -> u64 {
        todo!()
    }

    /// The key that the account's records are sealed under.
    pub fn index_key(&self) -> &Key {
        todo!()
    }

    /// Counts the index keys of this account, from 1.
    pub fn index_epoch(&self) -> u32 {
        todo!()
    }

    /// The index key before this one, while records under it may still stand.
    pub fn previous_index_key(&self) -> Option<&Key> {
        todo!()
    }

    /// The key of the current epoch, for what is filed while unlocked (APPEND).
    pub fn seal_key(&self) -> &SealKey {
        todo!()
    }

    /// The session key of a stored message, from its first
    /// [`PKESK_PREFIX_BYTES`](crate::pgp::PKESK_PREFIX_BYTES) octets. The epoch is found by the
    /// recipient's fingerprint ([`crate::pgp::recipient`]).
    pub fn session_key(&self, prefix: &[u8]) -> Result<SessionKey, OpenError> {
        let _ = prefix;
        todo!()
    }

    /// Remembers a credential that was just verified, for [`Unlocked::knows`]. What is kept is its
    /// HMAC under a random key of this unlock.
    pub fn remember(&self, verified: &Verified, credential: &Credential) {
        let _ = (verified, credential);
        todo!()
    }

    /// The fast second login: the slot of a credential that was verified during this unlock. `None`
    /// means nothing: try [`login`](super::login), at its full cost.
    pub fn knows(&self, credential: &Credential) -> Option<Verified> {
        let _ = credential;
        todo!()
    }

    /// Forgets a slot's credential (it was revoked or changed).
    pub fn forget(&self, slot: SlotId) {
        let _ = slot;
        todo!()
    }

    /// Whether login-only credentials may read while this unlock lasts: an `unlock` command said so
    /// with a credential ([`SlotAuthority::admit_login_only`](super::SlotAuthority::admit_login_only)).
    pub fn admits_login_only(&self) -> bool {
        todo!()
    }
}
