//! Between what the role speaks of and what the queue stores.

use super::super::outgoing::{Failure, Outgoing, OutgoingRecipient, QueueId};
use crate::queue::{Envelope, EnvelopeRecipient, ItemId, Notify, Trouble};
use crate::smtp::{DsnNotify, DsnReturn};
use std::sync::Arc;

pub(in super::super) fn envelope(message: &Outgoing) -> Envelope {
    let recipients = message.recipients.iter().map(|recipient| EnvelopeRecipient {
        address: recipient.address.clone(),
        notify: recipient.notify.map(|notify| Notify {
            success: notify.success,
            failure: notify.failure,
            delay: notify.delay,
        }),
        original: recipient.original.clone(),
    });
    Envelope {
        from: message.from.clone(),
        owner: message.owner.clone(),
        recipients: recipients.collect(),
        accepted: message.accepted,
        envelope_id: message.envelope_id.clone(),
        return_full: message.dsn_return.map(|wish| wish == DsnReturn::Full),
        utf8: message.utf8,
    }
}

pub(in super::super) fn outgoing(envelope: Envelope, message: Vec<u8>) -> Outgoing {
    let recipients = envelope.recipients.into_iter().map(|recipient| OutgoingRecipient {
        address: recipient.address,
        notify: recipient.notify.map(|notify| DsnNotify {
            success: notify.success,
            failure: notify.failure,
            delay: notify.delay,
        }),
        original: recipient.original,
    });
    Outgoing {
        from: envelope.from,
        owner: envelope.owner,
        recipients: recipients.collect(),
        message: Arc::new(message),
        accepted: envelope.accepted,
        envelope_id: envelope.envelope_id,
        dsn_return: envelope.return_full.map(|full| match full {
            true => DsnReturn::Full,
            false => DsnReturn::Headers,
        }),
        utf8: envelope.utf8,
        permitted: Vec::new(),
        seven_bit: false,
    }
}

pub(in super::super) fn trouble(failure: &Failure) -> Trouble {
    Trouble::new(failure.host.as_deref(), &failure.status, &failure.text)
}

impl From<ItemId> for QueueId {
    fn from(id: ItemId) -> QueueId {
        QueueId(id.0)
    }
}

impl From<QueueId> for ItemId {
    fn from(id: QueueId) -> ItemId {
        ItemId(id.0)
    }
}
