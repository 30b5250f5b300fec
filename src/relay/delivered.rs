//! The report that a user has asked for: his message has reached accounts here (RFC 3461 §6.2,
//! NOTIFY=SUCCESS). It goes to his own account, through the same door as other mail.
//!
//! # Known gaps
//! Other servers get no such report, and are not offered any: who is named as the sender there may
//! have written nothing, and would get a report for each message that bears his name.

use super::options::{Options, World};
use super::recipients::Target;
use super::submit::User;
use crate::base::clock::UnixTime;
use crate::base::ids::ObjectId;
use crate::mail::dsn::{self, Kind, Original, Recipient};
use crate::mail::{Address, header};
use crate::seams::{Delivery, LocalRecipient, Role, SenderProof};
use crate::smtp::{RecipientPath, Transaction};

/// A report that is due once the message is stored.
pub(super) struct Delivered {
    /// The reverse path: the name under which the user wrote.
    to: Address,
    envelope_id: Option<String>,
    /// Whom it is about, each with ORCPT.
    recipients: Vec<(Address, Option<String>)>,
    /// The message's header.
    header: Vec<u8>,
    arrival: UnixTime,
}

impl Delivered {
    /// What was asked for, if anything was. `content` is the message without what the receiver
    /// wrote in front. The null reverse path gets no report.
    pub fn wanted(
        transaction: &Transaction<Target>,
        content: &[u8],
        arrival: UnixTime,
    ) -> Option<Delivered> {
        let to = transaction.from.clone()?;
        let wanted = transaction.recipients.iter().filter(|recipient| {
            let asked = recipient.notify.is_some_and(|notify| notify.success);
            asked && matches!(recipient.tag, Target::Local(_))
        });
        let recipients: Vec<_> = wanted
            .filter_map(|recipient| match &recipient.path {
                RecipientPath::Mailbox(address) => {
                    Some((address.clone(), recipient.original.clone()))
                }
                RecipientPath::Postmaster => None,
            })
            .collect();
        let header = content[..header::header_bytes(content)].to_vec();
        let envelope_id = transaction.envelope_id.clone();
        (!recipients.is_empty()).then_some(Delivered {
            to,
            envelope_id,
            recipients,
            header,
            arrival,
        })
    }

    /// Writes it and has it stored. The message is delivered whatever becomes of this.
    pub async fn report(self, session: &str, user: &User, options: &Options, world: &World) {
        let recipients = self.recipients.iter().map(|(address, original)| Recipient {
            address,
            original: original.as_deref(),
            status: "2.1.5",
            host: None,
            text: "the message is in the mailbox",
        });
        let now = world.clock.now();
        let message = dsn::write(&dsn::Report {
            kind: Kind::Delivered,
            server: &options.hostname,
            to: &self.to,
            now,
            arrival: self.arrival,
            retry_until: None,
            queue_id: session,
            envelope_id: self.envelope_id.as_deref(),
            token: &ObjectId::random(world.entropy.as_ref()).to_string(),
            recipients: recipients.collect(),
            // RFC 3461 §4.3: only a failure brings the whole message back.
            original: Original::Headers(&self.header),
        });
        let delivery = Delivery {
            from: None,
            recipients: vec![LocalRecipient { account: user.account, detail: None }],
            message,
            received: now,
            role: Role::Inbox,
            sender: SenderProof::default(),
        };
        // An account without room gets no report; that is no reason to doubt the message.
        let _ = world.deliver.deliver(delivery).await;
    }
}
