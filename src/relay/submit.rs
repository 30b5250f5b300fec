//! Mail from users: under whose names they may write, what becomes of their header, and the way
//! of a message whose recipients are here, elsewhere, or both.
//!
//! A user writes under the address of the account, its details (`alice+x@`), and aliases that lead
//! to this account alone; so what is proved by the login is the sender. A message is answered with
//! 250 when all of it is durable: first the part for elsewhere is stored in the queue, hidden; then
//! the copies for accounts here; then the queue may have its part. If the second fails, the first
//! is withdrawn.
//!
//! # Standards
//! RFC 6409 §5 and §6 (what a submission server may refuse and mend), RFC 5321 §4.4.
//!
//! # Known gaps
//! When the account that an alias leads to is full, it cannot be said whose alias it is, and mail
//! under that name is put off.

use std::sync::Arc;

use super::delivered::Delivered;
use super::events::RelayEvent;
use super::options::{Options, Outbound, World};
use super::outgoing::{Enqueue, EnqueueError, Outgoing, OutgoingRecipient, QueueId};
use super::quota::Quotas;
use super::receive::{copies, refusal_of};
use super::recipients::{self, Target};
use super::verdicts;
use crate::base::budget::Reservation;
use crate::base::ids::{AccountNumber, ObjectId};
use crate::mail::submission::{self, Additions, Authors};
use crate::mail::{Address, ProvedFields, header};
use crate::queue::Owner;
use crate::seams::{Delivery, LocalRecipient, Role, SenderProof};
use crate::smtp::{Answer, Reply, Transaction, replies};

/// Who has logged in.
#[derive(Clone, Debug)]
pub(super) struct User {
    pub account: AccountNumber,
    /// The account's address.
    pub address: Address,
}

/// What a submission is judged and carried by.
pub(super) struct Submission<'a> {
    pub session: &'a str,
    pub user: &'a User,
    pub options: &'a Options,
    pub world: &'a World,
    pub quotas: &'a Quotas,
}

/// A message with what the receiver wrote in front.
pub(super) struct Submitted {
    pub transaction: Transaction<Target>,
    /// Octets of Return-Path and Received.
    pub prefix_bytes: usize,
    /// Holds the message's octets in the budget.
    pub reservation: Reservation,
}

impl Submission<'_> {
    /// Whether the user may send under `from` now.
    pub async fn sender(&self, from: Option<&Address>) -> Result<(), Reply> {
        self.within_rates(0)?;
        match from {
            Some(from) if !self.owns(from).await? => {
                self.report_sender(from);
                Err(replies::NOT_YOUR_ADDRESS)
            }
            _ => Ok(()),
        }
    }

    /// Whether a message may have this many recipients.
    pub fn within_rates(&self, recipients: usize) -> Result<(), Reply> {
        let (account, now) = (self.user.account, self.world.clock.monotonic());
        let rates = &self.options.submission.rates;
        let checked = self.quotas.check(account, count(recipients), now, rates);
        checked.inspect_err(|_| self.report_rate())
    }

    /// Takes a message. `Ok` means that every copy is durable.
    pub async fn store(&self, mut submitted: Submitted) -> Result<(), Answer> {
        let content = &submitted.transaction.message[submitted.prefix_bytes..];
        let authors = submission::authors(content)
            .map_err(|fault| Answer::new(550, "5.6.0", &fault.to_string()))?;
        let proved = self.judge(&authors).await?;
        self.mend(&mut submitted);
        let recipients = count(submitted.transaction.recipients.len());
        let (account, now) = (self.user.account, self.world.clock.monotonic());
        self.quotas
            .take(account, recipients, now, &self.options.submission.rates)
            .inspect_err(|_| self.report_rate())?;
        let content = &submitted.transaction.message[submitted.prefix_bytes..];
        let report = Delivered::wanted(&submitted.transaction, content, self.world.clock.now());
        let stored = self.hand_over(submitted, proved).await;
        match (&stored, report) {
            (Ok(()), Some(report)) => {
                report.report(self.session, self.user, self.options, self.world).await;
            }
            (Ok(()), None) => {}
            (Err(_), _) => self.quotas.give_back(account, recipients),
        }
        stored
    }

    /// Whether an address is the user's own.
    async fn owns(&self, address: &Address) -> Result<bool, Reply> {
        let User { account, address: own } = self.user;
        recipients::is_own(address, *account, own, self.options, self.world).await
    }

    /// Says what the message claims is proved: all of it, if one address of the user's wrote it.
    async fn judge(&self, authors: &Authors) -> Result<ProvedFields, Answer> {
        if let Some(sender) = &authors.sender {
            self.must_own("Sender", sender).await?;
        }
        // RFC 5322 §3.6.2 allows several authors, of whom the sender is one. Programs show the
        // first, and our signature would be on it: all are to be the user's.
        for author in &authors.from {
            self.must_own("From", author).await?;
        }
        // What was written elsewhere may have been sent on there; under names of this server only
        // their owners do.
        let resent = authors.resent.iter();
        for address in resent.filter(|address| recipients::is_local(address, self.options)) {
            self.must_own("A Resent field", address).await?;
        }
        Ok(if authors.from.len() <= 1 { ProvedFields::ALL } else { ProvedFields::NONE })
    }

    async fn must_own(&self, field: &str, address: &Address) -> Result<(), Answer> {
        match self.owns(address).await? {
            true => Ok(()),
            false => Err(self.not_yours(field, address)),
        }
    }

    fn not_yours(&self, field: &str, address: &Address) -> Answer {
        self.report_sender(address);
        let text = format!("{field} has <{address}>, which is not an address of yours");
        Answer::new(550, "5.7.1", &text)
    }

    /// Writes the header anew, in place. The content behind it is not touched.
    fn mend(&self, submitted: &mut Submitted) {
        let Submitted { transaction, prefix_bytes, .. } = submitted;
        let from = transaction.from.as_ref().unwrap_or(&self.user.address);
        let domain = self.user.address.domain();
        let message_id = format!("{}@{domain}", ObjectId::random(self.world.entropy.as_ref()));
        let additions = Additions {
            from,
            message_id: &message_id,
            now: self.world.clock.now(),
            hostname: &self.options.hostname,
            strip: &self.options.submission.strip,
            utc_date: self.options.submission.utc_date,
        };
        let content = &transaction.message[*prefix_bytes..];
        let (header, taken) = submission::header(content, &additions);
        transaction.message.splice(*prefix_bytes..*prefix_bytes + taken, header);
    }

    /// Stores the part for elsewhere, hidden, then the part for accounts here.
    async fn hand_over(&self, submitted: Submitted, proved: ProvedFields) -> Result<(), Answer> {
        let Submitted { mut transaction, prefix_bytes, mut reservation } = submitted;
        let message = std::mem::take(&mut transaction.message);
        let local = copies(&transaction);
        let Some((outbound, recipients)) = self.elsewhere(&transaction) else {
            return self.deliver(transaction.from, local, message, proved).await;
        };
        let trace = return_path_bytes(&message[..prefix_bytes]);
        // Both parts are in memory until both are stored.
        let both = !local.is_empty();
        if both && !reservation.grow(message.len() as u64) {
            return Err(replies::NO_ROOM.into());
        }
        let (outgoing, message) = match both {
            true => (message[trace..].to_vec(), message),
            false => (behind(message, trace), Vec::new()),
        };
        let from = transaction.from.clone();
        let outgoing = self.outgoing(transaction, recipients, outgoing);
        refused_for_good(outbound, &outgoing).await?;
        let recipients = outgoing.recipients.len();
        let id = outbound.enqueue.accept(outgoing).await.map_err(|error| match error {
            EnqueueError::Full => replies::NO_ROOM,
            EnqueueError::TryLater => replies::STORE_UNAVAILABLE,
        })?;
        let hidden = Hidden { enqueue: &*outbound.enqueue, id: Some(id) };
        if both && let Err(answer) = self.deliver(from, local, message, proved).await {
            hidden.withdraw().await;
            return Err(answer);
        }
        hidden.release();
        let session = self.session;
        self.world.log.emit(&RelayEvent::Queued { session, id, recipients });
        Ok(())
    }

    /// The recipients that are elsewhere, if there are any and mail is sent there at all.
    fn elsewhere(
        &self,
        transaction: &Transaction<Target>,
    ) -> Option<(&Outbound, Vec<OutgoingRecipient>)> {
        let outbound = self.world.outbound.as_ref()?;
        let all = transaction.recipients.iter().filter_map(|recipient| match &recipient.tag {
            Target::Local(_) => None,
            Target::Remote(address) => Some(OutgoingRecipient {
                address: address.clone(),
                notify: recipient.notify,
                original: recipient.original.clone(),
            }),
        });
        // Named twice is sent once.
        let mut recipients: Vec<OutgoingRecipient> = Vec::new();
        for recipient in all {
            if recipients.iter().all(|other| other.address != recipient.address) {
                recipients.push(recipient);
            }
        }
        (!recipients.is_empty()).then_some((outbound, recipients))
    }

    fn outgoing(
        &self,
        transaction: Transaction<Target>,
        recipients: Vec<OutgoingRecipient>,
        message: Vec<u8>,
    ) -> Outgoing {
        Outgoing {
            from: transaction.from,
            owner: Some(Owner { account: self.user.account, address: self.user.address.clone() }),
            recipients,
            message: Arc::new(message),
            accepted: self.world.clock.now(),
            envelope_id: transaction.envelope_id,
            dsn_return: transaction.dsn_return,
            utf8: transaction.utf8,
            permitted: Vec::new(),
            seven_bit: false,
        }
    }

    async fn deliver(
        &self,
        from: Option<Address>,
        recipients: Vec<LocalRecipient>,
        message: Vec<u8>,
        proved: ProvedFields,
    ) -> Result<(), Answer> {
        let (sealed, certificate) = verdicts::look(self.world, &message);
        let accounts: Vec<_> = recipients.iter().map(|recipient| recipient.account).collect();
        let delivery = Delivery {
            from,
            recipients,
            message,
            received: self.world.clock.now(),
            role: Role::Inbox,
            sender: SenderProof { proved, certificate },
        };
        self.world.deliver.deliver(delivery).await.map_err(refusal_of)?;
        sealed.note(&accounts, self.world);
        Ok(())
    }

    fn report_sender(&self, address: &Address) {
        let (session, account) = (self.session, self.user.account);
        self.world.log.emit(&RelayEvent::SenderRefused { session, account, address });
    }

    fn report_rate(&self) {
        let (session, account) = (self.session, self.user.account);
        self.world.log.emit(&RelayEvent::RateReached { session, account });
    }
}

/// A message that the queue holds and nobody sees yet. Where the session ends before the other half
/// is stored, by a panic or because it is dropped, no 250 was said, and the message is taken back:
/// else it would lie there until a restart, and go out then, perhaps weeks later.
struct Hidden<'a> {
    enqueue: &'a dyn Enqueue,
    id: Option<QueueId>,
}

impl Hidden<'_> {
    fn release(mut self) {
        if let Some(id) = self.id.take() {
            self.enqueue.release(id);
        }
    }

    async fn withdraw(mut self) {
        if let Some(id) = self.id.take() {
            self.enqueue.withdraw(id).await;
        }
    }
}

impl Drop for Hidden<'_> {
    fn drop(&mut self) {
        if let Some(id) = self.id.take() {
            self.enqueue.abandon(id);
        }
    }
}

/// Asks who of the recipients would never be sent to. One is enough to take nothing: the user
/// learns it at once, and decides.
async fn refused_for_good(outbound: &Outbound, outgoing: &Outgoing) -> Result<(), Answer> {
    let refusals = outbound.prepare.refusals(outgoing).await;
    let Some(refusal) = refusals.first() else { return Ok(()) };
    // Code 523 is what programs know as the want of encryption.
    let code = if refusal.status == "5.7.10" { 523 } else { 550 };
    let text = match outgoing.recipients.get(refusal.recipient) {
        Some(recipient) => format!("<{}>: {}", recipient.address, refusal.why),
        None => refusal.why.clone(),
    };
    Err(Answer::new(code, refusal.status, &text))
}

/// RFC 5321 §4.4: Return-Path is for whom the mail ends at.
fn return_path_bytes(prefix: &[u8]) -> usize {
    let first = header::fields(prefix).next().filter(|field| field.is("Return-Path"));
    first.map_or(0, |field| field.raw.len())
}

fn behind(mut message: Vec<u8>, start: usize) -> Vec<u8> {
    message.drain(..start);
    message
}

fn count(recipients: usize) -> u32 {
    u32::try_from(recipients).unwrap_or(u32::MAX)
}
