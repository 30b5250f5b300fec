//! The verbs about an account's identity: show, export, import, publish.
//!
//! What is public is shown to whoever holds the control socket. A secret key is shown, and the
//! identity replaced, only with the owner's credential in the same request; what is resident is
//! never used for it. Each change, and each secret that was shown, leaves a note in INBOX.

use super::admin::{self, AdminError};
use super::core::{Core, blocking};
use super::life::Why;
use super::note::{self, Note};
use super::publish;
use crate::base::secret::SecretBytes;
use crate::mail::Address;
use crate::pgp::{self, CertFacts};
use std::sync::Arc;

/// What anybody may know of an account's identity.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeyInfo {
    /// Whose.
    pub address: Address,
    /// What the certificate says.
    pub facts: CertFacts,
    /// The certificate with the account's User ID and no other, binary.
    pub certificate: Vec<u8>,
    /// Whether it is given to whoever asks.
    pub published: bool,
    /// Its name in the Web Key Directory of the domain.
    pub wkd_hash: String,
}

/// `key show`, and the public half of `key export`.
pub async fn show(core: &Arc<Core>, address: &str) -> Result<KeyInfo, AdminError> {
    let account = core.directory.get(admin::number(core, address)?).ok_or(AdminError::Damaged)?;
    let (file, address) = (&account.file, account.address.clone());
    let certificate =
        pgp::published(file.identity_cert(), file.address()).map_err(|_| AdminError::Damaged)?;
    let facts = pgp::facts(&certificate, core.clock.now()).map_err(|_| AdminError::Damaged)?;
    let (published, wkd_hash) = (file.is_published(), publish::wkd_hash(&address));
    Ok(KeyInfo { address, facts, certificate, published, wkd_hash })
}

/// `key export --secret` and `--storage`: in armour.
pub async fn export(
    core: &Arc<Core>,
    address: &str,
    credential: SecretBytes,
    storage: bool,
) -> Result<SecretBytes, AdminError> {
    let account = admin::number(core, address)?;
    let authority = admin::open(core, address, credential).await?.authority;
    let shared = core.clone();
    let armoured = blocking(move || {
        let account = shared.directory.get(account).ok_or(AdminError::Damaged)?;
        let keys = match storage {
            true => authority.export_storage(&account.file)?,
            false => vec![authority.export_identity(&account.file)?],
        };
        pgp::armored_secret(&keys).map_err(|_| AdminError::TryLater)
    })
    .await??;
    // Known before it is shown: the note is on its way even if nobody waits for the answer.
    note::leave(core, account, Note::KeyExport { storage }).await;
    Ok(armoured)
}

/// `key import`.
pub async fn import(
    core: &Arc<Core>,
    address: &str,
    credential: SecretBytes,
    key: SecretBytes,
    passphrase: Option<SecretBytes>,
) -> Result<(), AdminError> {
    let account = admin::number(core, address)?;
    let authority = admin::open(core, address, credential).await?.authority;
    let opens = admin::change(core, account, move |core, file| {
        let (now, entropy) = (core.clock.now(), &*core.entropy);
        let imported = pgp::import(key.expose(), file.address(), passphrase.as_ref(), now)
            .map_err(AdminError::BadKey)?;
        let opens = imported.secret.is_some();
        Ok((authority.replace_identity(file, imported, entropy)?, opens))
    })
    .await?;
    // What is resident has the old key: sessions log in again, and mail to the new one opens.
    core.registry.lock(account, Why::Command).await;
    note::leave(core, account, Note::KeyImport { opens }).await;
    Ok(())
}

/// `key publish`.
pub async fn publish(core: &Arc<Core>, address: &str, on: bool) -> Result<(), AdminError> {
    let account = admin::number(core, address)?;
    let shared = core.clone();
    let changed = blocking(move || {
        shared.directory.change(account, |file| {
            let changed = file.is_published() != on;
            Ok::<_, AdminError>((changed.then(|| file.publishing(on)), changed))
        })
    })
    .await??;
    if changed {
        note::leave(core, account, Note::KeyPublish { on }).await;
    }
    Ok(())
}
