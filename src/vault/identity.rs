//! The identity's keys in the vault: taken away, and replaced by others.
//!
//! The secret of an identity that is replaced stays, so that mail which was encrypted to it opens
//! as before; nothing new is encrypted to it once others have learned of the new one.

use super::authority::{Denied, DenyReason, SlotAuthority};
use super::file::AccountFile;
use super::sealed::{Identity, Vault, cert_digest};
use crate::base::crypto;
use crate::base::entropy::Entropy;
use crate::base::secret::SecretBytes;
use crate::pgp::Imported;

/// Replaced identities that one vault keeps, of 16 KiB at most each.
const PREVIOUS_MAX: usize = 8;

impl SlotAuthority {
    /// The identity's secret key, to take away (`key export`). Needs the password or recovery code.
    pub fn export_identity(self, file: &AccountFile) -> Result<SecretBytes, Denied> {
        self.require_owner()?;
        let secret = self.vault(file)?.identity.secret;
        match secret.expose().is_empty() {
            true => Err(Denied(DenyReason::NoSecret)),
            false => Ok(secret),
        }
    }

    /// The secret keys of all storage epochs, each a transferable secret key, so that any program
    /// for OpenPGP version 6 opens a copy of the stored mail. Needs the password or recovery code.
    pub fn export_storage(self, file: &AccountFile) -> Result<Vec<SecretBytes>, Denied> {
        self.require_owner()?;
        Ok(self.vault(file)?.epochs.into_iter().map(|epoch| epoch.secret).collect())
    }

    /// `key import`: another identity, for vault and file at once. A certificate alone that is a
    /// new form of the present one keeps the present secret; of any other the server holds none
    /// then, and opens nothing that is sent to it. Needs the password or recovery code.
    pub fn replace_identity(
        self,
        file: &AccountFile,
        imported: Imported,
        entropy: &dyn Entropy,
    ) -> Result<AccountFile, Denied> {
        let mut draft = self.owners_draft(file)?;
        let Imported { public, secret, fingerprint } = imported;
        let vault = &mut draft.vault;
        let same = vault.identity.fingerprint == fingerprint;
        let secret = match secret {
            None if same => vault.identity.secret.clone(),
            None => SecretBytes::new(Vec::new()),
            Some(secret) => secret,
        };
        let identity = Identity { fingerprint, cert_digest: cert_digest(&public), secret };
        let old = std::mem::replace(&mut vault.identity, identity);
        vault.tail.previous.retain(|kept| !is_same(kept, &vault.identity));
        vault.keep(old)?;
        draft.file.identity_cert = public;
        Ok(draft.seal(entropy))
    }
}

fn is_same(one: &Identity, other: &Identity) -> bool {
    crypto::equal(one.secret.expose(), other.secret.expose())
}

impl Vault {
    /// The secret keys of the identity and of those before it, the present one first.
    pub fn identity_secrets(&self) -> Vec<SecretBytes> {
        let all = std::iter::once(&self.identity).chain(self.tail.previous.iter().rev());
        let held = all.filter(|identity| !identity.secret.expose().is_empty());
        held.map(|identity| identity.secret.clone()).collect()
    }

    /// Keeps a replaced identity, unless it has no secret or is kept already.
    fn keep(&mut self, old: Identity) -> Result<(), Denied> {
        let mut held = std::iter::once(&self.identity).chain(&self.tail.previous);
        if old.secret.expose().is_empty() || held.any(|identity| is_same(identity, &old)) {
            return Ok(());
        }
        if self.tail.previous.len() >= PREVIOUS_MAX {
            return Err(Denied(DenyReason::TooManyIdentities));
        }
        self.tail.previous.push(old);
        Ok(())
    }
}
