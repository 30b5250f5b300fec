//! Reports to the owners of messages: failed, late, held, handed on.
//!
//! A report goes to an account of ours and nowhere else, through the same door as other mail, and
//! is sealed to its owner there. A message without an owner gets none, so that no report is ever
//! made of a report, and none goes to somebody who wrote nothing; of one that a user submitted with
//! the null reverse path only a hold is told (RFC 5321 §4.5.5, §6.1).
//!
//! Of a message that was sealed to a recipient, or was meant to be, or may still be, no report
//! shows more than its Message-ID, whatever RET asked for: what was protected once must not come
//! back in clear.

use super::outgoing::Outgoing;
use super::queue::World;
use crate::base::clock::{Clock, UnixTime};
use crate::base::entropy::Entropy;
use crate::base::ids::ObjectId;
use crate::mail::dsn::{self, Kind, Original, Recipient};
use crate::queue::{Owed, View};
use crate::seams::{Deliver, DeliverError, Delivery, LocalRecipient, Role, SenderProof};
use crate::smtp::DsnReturn;
use std::sync::Arc;
use std::time::Duration;

/// Writes reports and has them stored.
pub(super) struct Reporter {
    hostname: String,
    deliver: Arc<dyn Deliver>,
    clock: Arc<dyn Clock>,
    entropy: Arc<dyn Entropy>,
}

/// A report that is due.
pub(super) struct Report<'a> {
    pub kind: Owed,
    pub view: &'a View,
    pub message: &'a Outgoing,
    /// Positions of the recipients that it is about.
    pub about: &'a [usize],
    /// How long the message is tried.
    pub lifetime: Duration,
}

impl Reporter {
    pub fn new(hostname: &str, deliver: Arc<dyn Deliver>, world: &World) -> Reporter {
        let (clock, entropy) = (Arc::clone(&world.clock), Arc::clone(&world.entropy));
        Reporter { hostname: hostname.to_owned(), deliver, clock, entropy }
    }

    /// Tells the owner; durable when this returns `Ok`. A message that nobody owns is `Ok` at once.
    pub async fn tell(&self, report: &Report<'_>) -> Result<(), DeliverError> {
        let message = report.message;
        let Some(owner) = &message.owner else { return Ok(()) };
        let token = ObjectId::random(&*self.entropy).to_string();
        let queue_id = crate::relay::outgoing::QueueId::from(report.view.id).to_string();
        let lifetime = i64::try_from(report.lifetime.as_secs()).unwrap_or(i64::MAX);
        let recipients = self.recipients(report);
        let text = dsn::write(&dsn::Report {
            kind: kind(report.kind),
            server: &self.hostname,
            to: message.from.as_ref().unwrap_or(&owner.address),
            now: self.clock.now(),
            arrival: message.accepted,
            retry_until: Some(UnixTime(message.accepted.0.saturating_add(lifetime))),
            queue_id: &queue_id,
            envelope_id: message.envelope_id.as_deref(),
            token: &token,
            recipients,
            original: original(report),
        });
        let delivery = Delivery {
            from: None,
            recipients: vec![LocalRecipient { account: owner.account, detail: None }],
            message: text,
            received: self.clock.now(),
            role: Role::Inbox,
            sender: SenderProof::default(),
        };
        self.deliver.deliver(delivery).await
    }

    fn recipients<'a>(&self, report: &Report<'a>) -> Vec<Recipient<'a>> {
        let both = report.about.iter().filter_map(|at| {
            Some((report.message.recipients.get(*at)?, report.view.recipients.get(*at)?))
        });
        both.map(|(recipient, seen)| {
            let trouble = seen.trouble.as_deref();
            Recipient {
                address: &recipient.address,
                original: recipient.original.as_deref(),
                status: trouble.map_or("", |trouble| trouble.status.as_str()),
                host: trouble.and_then(|trouble| trouble.host.as_deref()),
                text: trouble.map_or("nothing more is known", |trouble| trouble.text.as_str()),
            }
        })
        .collect()
    }
}

/// What of the message is shown. One sealed recipient is enough to show nothing, and so is one who
/// was not tried yet: perhaps it is being sealed for him at this moment.
fn original<'a>(report: &Report<'a>) -> Original<'a> {
    let message = report.message.message.as_slice();
    match report.message.dsn_return {
        _ if report.view.recipients.iter().any(|it| it.sealed || it.attempts == 0) => {
            Original::Named(message)
        }
        _ if report.kind == Owed::Hold => Original::Named(message),
        // RFC 3461 §4.3 and §6.2: only a failure brings the whole message back.
        Some(DsnReturn::Full) if report.kind == Owed::Failure => Original::Whole(message),
        Some(DsnReturn::Full | DsnReturn::Headers) | None => Original::Headers(message),
    }
}

fn kind(owed: Owed) -> Kind {
    match owed {
        Owed::Failure => Kind::Failure,
        Owed::Delay => Kind::Delay,
        Owed::Hold => Kind::Hold,
        Owed::Relayed => Kind::Relayed,
    }
}
