//! Taking mail in: analyse once, seal to each recipient, one batch, and only then "yes".
//!
//! No key is near: an account's file gives the one subkey that its mail is sealed to. If that file
//! is not what it should be, the mail is deferred for all its recipients and an alarm is raised; it
//! is never stored plain and never dropped.

use super::core::{Core, Died};
use super::directory::{Account, Found};
use super::events::MailboxEvent;
use super::large::{LargeBodies, leaves_nothing};
use super::life::Why;
use crate::base::ids::AccountNumber;
use crate::journal::{AppendError, Entry};
use crate::mail::{self, Address, Analysis};
use crate::seams::{
    DeliverError, Delivery, LocalRecipient, RECIPIENTS_MAX, RecipientVerdict, Role, SenderProof,
};
use crate::store::{self, ArrivalError, ArrivalRecord, Destination, SealedArrival};
use std::sync::Arc;

/// Messages above this many octets are analysed and sealed on a thread that may block: 64 KiB take
/// 0.7 ms, which is what a reactor can spare (measured: 100 MB/s of OCB and parsing on one core).
const INLINE_BYTES_MAX: usize = 64 * 1024;

/// Octets of one message's copies, heads included, from which on bodies go to files of their own
/// whatever their size. All copies are one batch, and the journal takes 16 MiB at once: the heads
/// of [`RECIPIENTS_MAX`] copies, 64 KiB each at most, still fit beside this.
const BATCH_INLINE_BYTES_MAX: usize = 3 << 20;

/// Whether mail for `address` would be taken now.
pub fn recipient(core: &Core, address: &Address) -> RecipientVerdict {
    match core.directory.find(address) {
        Found::NotLocal => RecipientVerdict::NotLocal,
        Found::Nobody => RecipientVerdict::Unknown,
        Found::Suspect => RecipientVerdict::Unavailable,
        Found::Account(account) if is_full(core, account.file.number()) => {
            RecipientVerdict::OverQuota
        }
        Found::Account(account) => RecipientVerdict::Local(account.file.number()),
    }
}

/// Quota counts sealed octets, padding and tray included: no key is needed to count them.
fn is_full(core: &Core, account: AccountNumber) -> bool {
    let head = core.log.reader().account(account);
    is_over_quota(core, account) || head.arrivals_since_record >= core.options.tray_messages_max
}

/// Whether nothing more may be stored for the account, by whomever.
pub fn is_over_quota(core: &Core, account: AccountNumber) -> bool {
    core.log.reader().account(account).bytes >= core.options.account_bytes_max
}

/// Seals and stores one message for all its recipients, all or nothing.
pub async fn deliver(core: &Arc<Core>, delivery: Delivery) -> Result<(), DeliverError> {
    let bytes = delivery.message.len() as u64;
    let result = store_copies(core, delivery).await;
    match &result {
        Ok(accounts) => {
            core.events.emit(&MailboxEvent::Stored { bytes, copies: accounts.len() as u64 });
            accounts.iter().filter_map(|account| core.registry.resident(*account)).for_each(
                |resident| {
                    resident.nudge();
                },
            );
        }
        Err(why) => core.events.emit(&MailboxEvent::NotStored { why: why.word() }),
    }
    result.map(|_| ()).map_err(NotStored::answer)
}

/// Why a message was not stored, for the log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum NotStored {
    /// An account is gone, or its file is suspect.
    Account,
    /// More accounts than one batch can hold.
    TooMany,
    /// Sealing failed.
    Seal,
    /// No space.
    Full,
    /// The journal failed.
    Journal,
}

impl NotStored {
    fn word(self) -> &'static str {
        match self {
            NotStored::Account => "account",
            NotStored::TooMany => "too-many",
            NotStored::Seal => "seal",
            NotStored::Full => "full",
            NotStored::Journal => "journal",
        }
    }

    fn answer(self) -> DeliverError {
        match self {
            NotStored::Full => DeliverError::Full,
            _ => DeliverError::TryLater,
        }
    }
}

async fn store_copies(
    core: &Arc<Core>,
    delivery: Delivery,
) -> Result<Vec<AccountNumber>, NotStored> {
    let recipients = accounts(core, &delivery.recipients)?;
    let sealing = Sealing { core: core.clone(), delivery: Arc::new(delivery) };
    let analysis = sealing.analyse().await?;
    let mut batch: Vec<Entry> = Vec::with_capacity(recipients.len());
    let mut large = LargeBodies::new(core.log.clone());
    let mut inline_bytes = 0;
    for (account, detail) in &recipients {
        let mut sealed = sealing.seal(account, detail.clone(), &analysis).await?;
        // A body in its own file is durable before the next copy is made, so that what is in memory
        // is bounded too.
        if sealed.is_large() || inline_bytes + sealed.inline_bytes() > BATCH_INLINE_BYTES_MAX {
            large.write(&mut sealed).await?;
        }
        inline_bytes += sealed.inline_bytes();
        batch.push(sealed.into_entry());
    }
    let bodies = large.submitted();
    if let Err(error) = core.log.submit(batch).await {
        if leaves_nothing(error) {
            large.refused(bodies);
        }
        return Err(error.into());
    }
    Ok(recipients.iter().map(|(account, _)| account.file.number()).collect())
}

type Recipient = (Arc<Account>, Option<String>);

/// The accounts with their keys, each once, the first detail winning.
fn accounts(core: &Core, recipients: &[LocalRecipient]) -> Result<Vec<Recipient>, NotStored> {
    if recipients.len() > RECIPIENTS_MAX {
        return Err(NotStored::TooMany);
    }
    let mut accounts: Vec<Recipient> = Vec::with_capacity(recipients.len());
    for recipient in recipients {
        let is_known = |(known, _): &Recipient| known.file.number() == recipient.account;
        if !accounts.iter().any(is_known) {
            let Some(account) = core.directory.seal_key(recipient.account) else {
                core.registry.stop(recipient.account, Why::Suspect);
                return Err(NotStored::Account);
            };
            accounts.push((account, recipient.detail.clone()));
        }
    }
    Ok(accounts)
}

/// One message that is being sealed.
struct Sealing {
    core: Arc<Core>,
    delivery: Arc<Delivery>,
}

impl Sealing {
    async fn analyse(&self) -> Result<Arc<Analysis>, NotStored> {
        let delivery = self.delivery.clone();
        Ok(Arc::new(self.compute(move || mail::analyse(&delivery.message)).await?))
    }

    async fn seal(
        &self,
        account: &Arc<Account>,
        detail: Option<String>,
        analysis: &Arc<Analysis>,
    ) -> Result<SealedArrival, NotStored> {
        let (core, delivery) = (self.core.clone(), self.delivery.clone());
        let (account, analysis) = (account.clone(), analysis.clone());
        let sealed = self.compute(move || {
            let role = match delivery.role {
                Role::Inbox => store::Role::Inbox,
                Role::Junk => store::Role::Junk,
            };
            let (detail, received) = (detail.as_deref(), delivery.received);
            let analysis = Analysis::clone(&analysis);
            let record = ArrivalRecord::new(role, detail, received, &delivery.message, analysis)?;
            let SenderProof { proved, certificate } = delivery.sender.clone();
            let record = record.with_sender(store::Sender { proved, certificate });
            seal(&core, &account, &delivery.message, &record)
        });
        sealed.await?.map_err(|_| NotStored::Seal)
    }

    /// Runs `work` here if the message is small, else where it may block. What runs here is bounded
    /// by the reactor's own threads, and does not wait behind folds and searches.
    async fn compute<T: Send + 'static>(
        &self,
        work: impl FnOnce() -> T + Send + 'static,
    ) -> Result<T, NotStored> {
        match self.delivery.message.len() > INLINE_BYTES_MAX {
            true => Ok(self.core.compute(work).await?),
            false => {
                // Others get their turn between two copies for a crowd of recipients.
                tokio::task::yield_now().await;
                Ok(work())
            }
        }
    }
}

/// Seals one copy to one account.
pub fn seal(
    core: &Core,
    account: &Account,
    message: &[u8],
    record: &ArrivalRecord,
) -> Result<SealedArrival, ArrivalError> {
    let to = Destination {
        server: core.log.reader().identity().server,
        account: account.file.number(),
        key: &account.seal_key,
    };
    store::seal(&to, message, record, &*core.entropy)
}

impl From<Died> for NotStored {
    fn from(_: Died) -> Self {
        NotStored::Seal
    }
}

impl From<AppendError> for NotStored {
    fn from(error: AppendError) -> Self {
        match error {
            AppendError::Full => NotStored::Full,
            _ => NotStored::Journal,
        }
    }
}
