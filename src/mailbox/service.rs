//! The whole role behind one handle: [`Mailboxes`].

use super::admin::{self, Added, AdminError, Line};
use super::core::Core;
use super::deliver;
use super::directory::Directory;
use super::expiry;
use super::handle::AccountHandle;
use super::kdf::Kdf;
use super::keys::{self, KeyInfo};
use super::life::Why;
use super::login::{self, Denied};
use super::opened::Opened;
use super::options::Options;
use super::registry::Registry;
use crate::base::BoxFuture;
use crate::base::clock::{Clock, UnixTime};
use crate::base::disk::Disk;
use crate::base::entropy::Entropy;
use crate::base::event::Log;
use crate::base::ids::AccountNumber;
use crate::base::secret::SecretBytes;
use crate::mail::Address;
use crate::seams::{AuthRequest, AuthVerdict, Authenticate};
use crate::seams::{Deliver, DeliverError, Delivery, RecipientVerdict};
use crate::store;
use crate::vault::{GeneratedSecret, Purpose, ServerKeys};
use std::sync::Arc;
use tokio::sync::Semaphore;

/// What the role is made of.
pub struct Parts {
    /// Where entries are made durable; its reader reads them back.
    pub log: Arc<dyn store::Log>,
    /// Where the account files are (directory `accounts/`).
    pub disk: Arc<dyn Disk>,
    /// Time.
    pub clock: Arc<dyn Clock>,
    /// Randomness.
    pub entropy: Arc<dyn Entropy>,
    /// Where events go.
    pub events: Log,
    /// The server's keys from outside the data directory, with the cost of a chosen password.
    pub keys: Arc<ServerKeys>,
    /// What the administrator set.
    pub options: Options,
}

/// The mailbox role. Cheap to clone; needs a tokio runtime with blocking threads when it is used.
#[derive(Clone)]
pub struct Mailboxes(Arc<Core>);

/// What came of a login for reading mail.
pub enum Login {
    /// This credential opened a slot: here is the account.
    Open(AccountHandle),
    /// The credential is right, but the account is locked (by the verb `lock`, or the credential
    /// opens nothing and nobody else's unlock is lent to it): the login succeeds, and commands that
    /// need a mailbox answer `NO [UNAVAILABLE]`.
    Locked {
        /// Whose it is.
        account: AccountNumber,
        /// The account's address.
        address: Address,
    },
    /// No such user or wrong password: `NO [AUTHENTICATIONFAILED]`.
    Refused,
    /// It cannot be checked now: `NO [UNAVAILABLE]`.
    TryLater,
}

impl Mailboxes {
    /// Starts the role: reads and verifies the account files. A file that does not verify does not
    /// stop the others; its account's mail is deferred and an alarm is raised.
    pub fn open(parts: Parts) -> Result<Mailboxes, store::AccountsError> {
        let Parts { log, disk, clock, entropy, keys, events, options } = parts;
        let stored = log.reader().accounts();
        let directory = Directory::load(disk, keys.clone(), events.clone(), &options, &stored)?;
        let kdf = Kdf::new(options.kdf, Arc::clone(&clock), &*entropy);
        let cores = Arc::new(Semaphore::new(options.cores.max(1)));
        let searches = Arc::new(Semaphore::new(options.cores.saturating_sub(1).max(1)));
        let registry = Registry::default();
        let opened = Opened::new(options.opened_bytes_max);
        Ok(Mailboxes(Arc::new(Core {
            log,
            directory,
            keys,
            clock,
            entropy,
            events,
            options,
            kdf,
            registry,
            cores,
            searches,
            opened,
        })))
    }

    /// Logs in to read mail. Unlike [`Authenticate::login`], an open slot's keys stay in memory
    /// while the handle (or another session's) lives, the grace time after it, and at most the
    /// absolute limit. Answers before what has arrived meanwhile is folded.
    pub async fn login_to_read(&self, request: AuthRequest) -> Login {
        let core = &self.0;
        let admitted = match login::check(core, request, Purpose::Read).await {
            Ok(admitted) => admitted,
            Err(denied) => return denied.into(),
        };
        let (account, address) = (admitted.account.file.number(), admitted.account.address.clone());
        match admitted.attach(core).await {
            Ok(Some(resident)) => match AccountHandle::attach(core.clone(), resident) {
                // The grace time or the limit ended between the two.
                handle if handle.is_locked() => Login::TryLater,
                handle => Login::Open(handle),
            },
            Ok(None) => Login::Locked { account, address },
            Err(denied) => denied.into(),
        }
    }

    pub(super) fn directory(&self) -> &Directory {
        &self.0.directory
    }

    /// What is inside, for the role's own tests.
    #[cfg(test)]
    pub(super) fn core(&self) -> &Arc<Core> {
        &self.0
    }

    /// Slow key derivations since the start, for reports.
    pub fn slow_derivations(&self) -> u64 {
        self.0.kdf.turns()
    }

    /// Tells the owners whose public keys end soon, of what fell due after `since`, up to `until`.
    pub async fn announce_expiries(&self, since: UnixTime, until: UnixTime) {
        expiry::announce(&self.0, since, until).await;
    }

    /// Locks all accounts (the end of the server): tasks finish what they do, keys are zeroed.
    pub async fn close(&self) {
        self.0.registry.lock_all(Why::Shutdown).await
    }
}

/// The verbs of the control socket. Addresses are as people type them; `credential` is the owner's
/// password, app password or recovery code, and comes in the same request.
impl Mailboxes {
    /// Makes an account with a password that the administrator gives; it is marked as known to the
    /// operator until its owner sets one.
    pub async fn add(&self, address: &str, password: SecretBytes) -> Result<Added, AdminError> {
        admin::add(&self.0, address, password).await
    }

    /// Removes an account: its sessions end, its file goes, its mail can no longer be opened.
    pub async fn remove(&self, address: &str) -> Result<(), AdminError> {
        admin::remove(&self.0, address).await
    }

    /// All accounts, by address.
    pub async fn list(&self) -> Result<Vec<Line>, AdminError> {
        admin::list(&self.0).await
    }

    /// Sets a new password: rewraps one slot, touches no mail. The old one no longer logs in.
    pub async fn passwd(
        &self,
        address: &str,
        credential: SecretBytes,
        new_password: SecretBytes,
    ) -> Result<(), AdminError> {
        admin::passwd(&self.0, address, credential, new_password).await
    }

    /// After a theft: new master key, new storage epoch, all other slots dropped. Returns the new
    /// recovery code, to be shown once.
    pub async fn rekey(
        &self,
        address: &str,
        credential: SecretBytes,
        new_password: SecretBytes,
    ) -> Result<GeneratedSecret, AdminError> {
        admin::rekey(&self.0, address, credential, new_password).await
    }

    /// Draws a new recovery code; the old one dies. Returned to be shown once.
    pub async fn recovery(
        &self,
        address: &str,
        credential: SecretBytes,
    ) -> Result<GeneratedSecret, AdminError> {
        admin::recovery(&self.0, address, credential).await
    }

    /// Draws an app password, to be shown once, with a label of at most 64 octets. With `unlocks`
    /// false it logs in but opens nothing.
    pub async fn app_password(
        &self,
        address: &str,
        credential: SecretBytes,
        label: &str,
        unlocks: bool,
    ) -> Result<GeneratedSecret, AdminError> {
        admin::app_password(&self.0, address, credential, label, unlocks).await
    }

    /// Ends `lock`, opens the account and keeps it open for `hours` (else for the absolute limit of
    /// the configuration), sessions or not. While it lasts, login-only credentials may read too.
    pub async fn unlock(
        &self,
        address: &str,
        credential: SecretBytes,
        hours: Option<u32>,
    ) -> Result<(), AdminError> {
        admin::unlock(&self.0, address, credential, hours).await
    }

    /// Locks an account at once and until [`Mailboxes::unlock`]: sessions are told BYE, keys
    /// zeroed, and no login opens a slot. Needs no credential.
    pub async fn lock(&self, address: &str) -> Result<(), AdminError> {
        admin::lock(&self.0, address).await
    }
}

/// The verbs about an account's identity, by the same rules.
impl Mailboxes {
    /// What anybody may know of the account's identity. Needs no credential.
    pub async fn key(&self, address: &str) -> Result<KeyInfo, AdminError> {
        keys::show(&self.0, address).await
    }

    /// The secret key of the identity, or with `storage` those that stored mail is sealed to; in
    /// armour, without a passphrase.
    pub async fn export_key(
        &self,
        address: &str,
        credential: SecretBytes,
        storage: bool,
    ) -> Result<SecretBytes, AdminError> {
        keys::export(&self.0, address, credential, storage).await
    }

    /// Replaces the identity by a certificate, or by a secret key with its passphrase, binary or in
    /// armour. Sessions end; what was encrypted to the identity before still opens.
    pub async fn import_key(
        &self,
        address: &str,
        credential: SecretBytes,
        key: SecretBytes,
        passphrase: Option<SecretBytes>,
    ) -> Result<(), AdminError> {
        keys::import(&self.0, address, credential, key, passphrase).await
    }

    /// Whether the identity's certificate is given to whoever asks. Needs no credential.
    pub async fn publish_key(&self, address: &str, on: bool) -> Result<(), AdminError> {
        keys::publish(&self.0, address, on).await
    }
}

impl Deliver for Mailboxes {
    fn recipient<'a>(&'a self, address: &'a Address) -> BoxFuture<'a, RecipientVerdict> {
        Box::pin(std::future::ready(deliver::recipient(&self.0, address)))
    }

    fn deliver(&self, delivery: Delivery) -> BoxFuture<'_, Result<(), DeliverError>> {
        Box::pin(deliver::deliver(&self.0, delivery))
    }
}

impl Authenticate for Mailboxes {
    fn login(&self, request: AuthRequest) -> BoxFuture<'_, AuthVerdict> {
        Box::pin(async move {
            match login::check(&self.0, request, Purpose::Verify).await {
                Ok(admitted) => AuthVerdict::Accepted {
                    account: admitted.account.file.number(),
                    address: admitted.account.address.clone(),
                },
                Err(Denied::Refused) => AuthVerdict::Refused,
                Err(Denied::TryLater) => AuthVerdict::TryLater,
            }
        })
    }
}

impl From<Denied> for Login {
    fn from(denied: Denied) -> Login {
        match denied {
            Denied::Refused => Login::Refused,
            Denied::TryLater => Login::TryLater,
        }
    }
}
