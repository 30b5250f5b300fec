//! A slot: one wrapping of the account master key (AMK) under one secret.
//!
//! From the secret comes a *root*: by Argon2id for a chosen password, by HKDF alone for a generated
//! secret of 128 bits. From the root come two keys by HKDF: the *commitment*, which stands in the
//! slot and is compared first, and the *KEK*, which wraps the AMK. The commitment is what makes a
//! slot fit one root only: the cipher alone would not, and who may write to the disk could plant a
//! slot that opens under many passwords and learn from who gets in.
//!
//! Everything that the slot says of itself goes into both derivations and into the wrapping's AAD,
//! so that a changed parameter, a swapped identifier or another account's slot fits nothing.

use super::credential::Credential;
use super::file::{SlotId, SlotKind};
use super::keys::ServerKeys;
use crate::base::crypto::{self, Argon2Cost, Key};
use crate::base::entropy::{self, Entropy};
use crate::base::ids::AccountNumber;

/// Octets of a wrapped AMK.
const WRAPPED_BYTES: usize = 32 + crypto::SEAL_OVERHEAD_BYTES;

/// How the root comes from the secret.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub enum Kdf {
    /// Argon2id at this cost, with the server's pepper as its secret input if it is `peppered`.
    Argon2id {
        /// Memory, passes, lanes.
        cost: Argon2Cost,
        /// Whether the server's pepper takes part.
        peppered: bool,
    },
    /// HKDF alone, for generated secrets.
    Hkdf,
}

/// One slot as it stands in the account file.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Slot {
    pub id: SlotId,
    pub kind: SlotKind,
    pub kdf: Kdf,
    pub salt: [u8; 32],
    pub commitment: [u8; 32],
    pub wrapped: Option<Vec<u8>>,
}

/// What a secret does at a slot.
pub enum Fit {
    /// It is not this slot's secret.
    No,
    /// It is. Only now is the root of any use.
    Yes(Root),
}

/// The root that a secret gave at a slot which it fits.
pub struct Root(Key);

impl Slot {
    /// A slot for a secret. `amk` is `None` for a login-only credential.
    pub fn make(
        account: AccountNumber,
        (id, kind, kdf): (SlotId, SlotKind, Kdf),
        credential: &Credential,
        amk: Option<&Key>,
        server_pepper: Option<&Key>,
        entropy: &dyn Entropy,
    ) -> Slot {
        let salt = entropy::bytes(entropy);
        let mut slot = Slot { id, kind, kdf, salt, commitment: [0; 32], wrapped: None };
        let root = slot
            .root(account, credential, server_pepper)
            .expect("the costs and the pepper of a new slot are the server's own");
        slot.commitment = slot.commitment_of(account, &root);
        let kek = slot.kek(account, &root);
        slot.wrapped =
            amk.map(|amk| crypto::seal(&kek, &slot.binding(account), amk.expose(), entropy));
        slot
    }

    /// Tries a secret. A run of Argon2id if the slot's KDF is that.
    pub fn fits(&self, account: AccountNumber, credential: &Credential, keys: &ServerKeys) -> Fit {
        let Some(root) = self.root(account, credential, keys.pepper.as_ref()) else {
            return Fit::No;
        };
        match crypto::equal(&self.commitment, &self.commitment_of(account, &root)) {
            true => Fit::Yes(Root(root)),
            false => Fit::No,
        }
    }

    /// The AMK; `None` if the slot wraps none, or if it does not open although the root fits.
    pub fn unwrap(&self, account: AccountNumber, root: &Root) -> Option<Key> {
        let wrapped = self.wrapped.as_ref()?;
        let kek = self.kek(account, &root.0);
        let amk = crypto::open(&kek, &self.binding(account), wrapped)?;
        Key::copy_from(amk.expose())
    }

    /// Whether kind, KDF and wrapping belong together, and costs are within the limits. A file that
    /// says otherwise is refused before any of it is run.
    pub fn is_consistent(&self) -> bool {
        let kdf = match (self.kind, self.kdf) {
            (SlotKind::Password, Kdf::Argon2id { cost, .. }) => cost.is_acceptable(),
            (SlotKind::Password, Kdf::Hkdf) => false,
            (_, kdf) => kdf == Kdf::Hkdf,
        };
        let wrapped = match (self.kind, &self.wrapped) {
            (SlotKind::LoginOnly, wrapped) => wrapped.is_none(),
            (_, wrapped) => wrapped.as_ref().is_some_and(|bytes| bytes.len() == WRAPPED_BYTES),
        };
        kdf && wrapped
    }

    /// What the vault remembers a slot by.
    pub fn digest(&self) -> [u8; 32] {
        let bytes = postcard::to_allocvec(self).expect("a slot is plain data");
        crypto::sha256(&[b"postseal slot digest 1", &bytes])
    }

    fn root(
        &self,
        account: AccountNumber,
        credential: &Credential,
        pepper: Option<&Key>,
    ) -> Option<Key> {
        let secret = credential.prepared().expose();
        match self.kdf {
            Kdf::Argon2id { cost, peppered } => {
                let pepper: &[u8] = match peppered {
                    true => pepper?.expose(),
                    false => b"",
                };
                crypto::argon2id(secret, &self.salt, pepper, cost)
            }
            Kdf::Hkdf => {
                let salt = crypto::sha256(&[&self.parameters(account)]);
                Some(crypto::derive(secret, &salt, "postseal slot root 1"))
            }
        }
    }

    fn commitment_of(&self, account: AccountNumber, root: &Key) -> [u8; 32] {
        let salt = crypto::sha256(&[&self.parameters(account)]);
        *crypto::derive(root.expose(), &salt, "postseal slot commitment 1").expose()
    }

    fn kek(&self, account: AccountNumber, root: &Key) -> Key {
        let salt = crypto::sha256(&[&self.parameters(account)]);
        crypto::derive(root.expose(), &salt, "postseal slot kek 1")
    }

    /// All that the slot says before the commitment, and whose it is. One encoding, unambiguous.
    fn parameters(&self, account: AccountNumber) -> Vec<u8> {
        let parameters = (account, self.id, self.kind, self.kdf, self.salt);
        postcard::to_allocvec(&parameters).expect("parameters are plain data")
    }

    /// The AAD of the wrapping: every field, and whose slot it is.
    fn binding(&self, account: AccountNumber) -> Vec<u8> {
        let mut binding = b"postseal slot 1".to_vec();
        binding.extend_from_slice(&self.parameters(account));
        binding.extend_from_slice(&self.commitment);
        binding
    }
}

/// The work of trying a chosen password where there is no account: the same run, at the cost that
/// new slots have, on a salt that is always the same for the same name.
pub fn pretend_password(keys: &ServerKeys, name: &str, credential: &Credential) {
    let slot = Slot {
        id: SlotId(0),
        kind: SlotKind::Password,
        kdf: Kdf::Argon2id { cost: keys.cost, peppered: keys.pepper.is_some() },
        salt: crypto::hmac(&keys.fake, &[b"salt", name.as_bytes()]),
        commitment: crypto::hmac(&keys.fake, &[b"commitment", name.as_bytes()]),
        wrapped: None,
    };
    std::hint::black_box(matches!(slot.fits(AccountNumber(0), credential, keys), Fit::Yes(_)));
}

/// The work of trying a generated secret at one slot that is not there.
pub fn pretend_code(keys: &ServerKeys, credential: &Credential) {
    let slot = Slot {
        id: SlotId(0),
        kind: SlotKind::App,
        kdf: Kdf::Hkdf,
        salt: [0; 32],
        commitment: [0; 32],
        wrapped: None,
    };
    std::hint::black_box(matches!(slot.fits(AccountNumber(0), credential, keys), Fit::Yes(_)));
}
