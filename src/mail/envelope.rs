//! What IMAP's ENVELOPE shows of a message (RFC 3501 §7.4.2).
//!
//! Values are the field bodies as written: unfolded, comments and encoded words left as they are,
//! 8-bit octets included. Whoever writes them to a client chooses quoted string or literal.

use serde::{Deserialize, Serialize};

/// The envelope. `None` means that the field is absent; `Some` of nothing that it is empty.
///
/// RFC 3501 §7.4.2: where Sender or Reply-To is absent or empty, the server shows From in its
/// place; [`Envelope::sender_shown`] and [`Envelope::reply_to_shown`] do, the fields here do not.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Envelope {
    /// The Date field.
    pub date: Option<Vec<u8>>,
    /// The Subject field.
    pub subject: Option<Vec<u8>>,
    /// From; several fields are joined.
    pub from: Vec<EnvelopeAddress>,
    /// Sender.
    pub sender: Vec<EnvelopeAddress>,
    /// Reply-To.
    pub reply_to: Vec<EnvelopeAddress>,
    /// To.
    pub to: Vec<EnvelopeAddress>,
    /// Cc.
    pub cc: Vec<EnvelopeAddress>,
    /// Bcc.
    pub bcc: Vec<EnvelopeAddress>,
    /// In-Reply-To.
    pub in_reply_to: Option<Vec<u8>>,
    /// Message-ID.
    pub message_id: Option<Vec<u8>>,
}

impl Envelope {
    /// Sender, or From where there is none.
    pub fn sender_shown(&self) -> &[EnvelopeAddress] {
        if self.sender.is_empty() { &self.from } else { &self.sender }
    }

    /// Reply-To, or From where there is none.
    pub fn reply_to_shown(&self) -> &[EnvelopeAddress] {
        if self.reply_to.is_empty() { &self.from } else { &self.reply_to }
    }
}

/// One address structure. Groups are told by absent parts, as RFC 3501 §7.4.2 has it: a start has
/// no
/// `host` and the group's name in `mailbox`, an end has neither.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct EnvelopeAddress {
    /// The display name, quotes removed, encoded words left as they are.
    pub name: Option<Vec<u8>>,
    /// The obsolete source route.
    pub route: Option<Vec<u8>>,
    /// The local part (quotes removed), or the name of a group that starts here.
    pub mailbox: Option<Vec<u8>>,
    /// The domain.
    pub host: Option<Vec<u8>>,
}
