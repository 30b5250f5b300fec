//! The whole role behind one handle: [`Mailboxes`].

use super::admin::{Added, AdminError, Line};
use super::handle::AccountHandle;
use super::options::Options;
use crate::base::BoxFuture;
use crate::base::clock::Clock;
use crate::base::crypto::Key;
use crate::base::disk::Disk;
use crate::base::entropy::Entropy;
use crate::base::event::Log;
use crate::base::ids::AccountNumber;
use crate::base::secret::SecretBytes;
use crate::mail::Address;
use crate::seams::{AuthRequest, AuthVerdict, Authenticate};
use crate::seams::{Deliver, DeliverError, Delivery, RecipientVerdict};
use crate::store;
use std::sync::Arc;

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
    /// The server's journal key: account files carry a MAC under it.
    pub journal_key: Key,
    /// The optional pepper of chosen passwords; never in the data directory.
    pub pepper: Option<SecretBytes>,
    /// What the administrator set.
    pub options: Options,
}

/// The mailbox role. Cheap to clone; needs a tokio runtime with blocking threads when it is used.
#[derive(Clone)]
pub struct Mailboxes {}

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
        let _ = parts;
        todo!()
    }

    /// Logs in to read mail. Unlike [`Authenticate::login`], an open slot's keys stay in memory while
    /// the handle (or another session's) lives, the grace time after it, and at most the absolute
    /// limit. Answers before what has arrived meanwhile is folded.
    pub async fn login_to_read(&self, request: AuthRequest) -> Login {
        let _ = request;
        todo!()
    }

    /// Locks all accounts (the end of the server): tasks finish what they do, keys are zeroed.
    pub async fn close(&self) {
        todo!()
    }
}

/// The verbs of the control socket. Addresses are as people type them; `credential` is the owner's
/// password, app password or recovery code, and comes in the same request.
impl Mailboxes {
    /// Makes an account with a password that the administrator gives; it is marked as known to the
    /// operator until its owner sets one.
    pub async fn add(&self, address: &str, password: SecretBytes) -> Result<Added, AdminError> {
        let _ = (address, password);
        todo!()
    }

    /// Removes an account: its sessions end, its file goes, its mail can no longer be opened.
    pub async fn remove(&self, address: &str) -> Result<(), AdminError> {
        let _ = address;
        todo!()
    }

    /// All accounts, by address.
    pub async fn list(&self) -> Result<Vec<Line>, AdminError> {
        todo!()
    }

    /// Sets a new password: rewraps one slot, touches no mail. The old one no longer logs in.
    pub async fn passwd(
        &self,
        address: &str,
        credential: SecretBytes,
        new_password: SecretBytes,
    ) -> Result<(), AdminError> {
        let _ = (address, credential, new_password);
        todo!()
    }

    /// After a theft: new master key, new storage epoch, all other slots dropped. Returns the new
    /// recovery code, to be shown once.
    pub async fn rekey(
        &self,
        address: &str,
        credential: SecretBytes,
        new_password: SecretBytes,
    ) -> Result<SecretBytes, AdminError> {
        let _ = (address, credential, new_password);
        todo!()
    }

    /// Draws a new recovery code; the old one dies. Returned to be shown once.
    pub async fn recovery(
        &self,
        address: &str,
        credential: SecretBytes,
    ) -> Result<SecretBytes, AdminError> {
        let _ = (address, credential);
        todo!()
    }

    /// Draws an app password, to be shown once. With `unlocks` false it logs in but opens nothing.
    pub async fn app_password(
        &self,
        address: &str,
        credential: SecretBytes,
        unlocks: bool,
    ) -> Result<SecretBytes, AdminError> {
        let _ = (address, credential, unlocks);
        todo!()
    }

    /// Ends `lock` and, with `hours`, keeps the account unlocked for so long, sessions or not.
    pub async fn unlock(
        &self,
        address: &str,
        credential: SecretBytes,
        hours: Option<u32>,
    ) -> Result<(), AdminError> {
        let _ = (address, credential, hours);
        todo!()
    }

    /// Locks an account at once and until [`Mailboxes::unlock`]: sessions are told BYE, keys zeroed,
    /// and no login opens a slot. Needs no credential.
    pub async fn lock(&self, address: &str) -> Result<(), AdminError> {
        let _ = address;
        todo!()
    }
}

impl Deliver for Mailboxes {
    fn recipient<'a>(&'a self, address: &'a Address) -> BoxFuture<'a, RecipientVerdict> {
        let _ = address;
        todo!()
    }

    fn deliver(&self, delivery: Delivery) -> BoxFuture<'_, Result<(), DeliverError>> {
        let _ = delivery;
        todo!()
    }
}

impl Authenticate for Mailboxes {
    fn login(&self, request: AuthRequest) -> BoxFuture<'_, AuthVerdict> {
        let _ = request;
        todo!()
    }
}
