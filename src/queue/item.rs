//! What is known of an item: its envelope, as it was accepted, and its progress, which changes.
//!
//! Both are stored (postcard), so fields are only ever added behind a new version octet.

use crate::base::clock::UnixTime;
use crate::base::ids::{AccountNumber, ObjectId};
use crate::mail::Address;
use serde::{Deserialize, Serialize};

/// Octets of a text in a [`Trouble`]: a reply of some lines (RFC 5321 §4.5.3.1.5 has 512 a line).
pub const TROUBLE_TEXT_BYTES_MAX: usize = 512;

/// Octets of a host's name or a status in a [`Trouble`].
const TROUBLE_WORD_BYTES_MAX: usize = 255;

/// The name of an item among those that are queued.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ItemId(pub u64);

impl ItemId {
    /// The name of the item that is stored as `object`: the first 48 bits of that random name.
    pub fn of(object: &ObjectId) -> ItemId {
        ItemId(object.0[..6].iter().fold(0, |id, octet| id << 8 | u64::from(*octet)))
    }
}

/// What was asked for when the item was accepted. Never changes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Envelope {
    /// The reverse path; `None` for the null one.
    pub from: Option<Address>,
    /// Whose message it is.
    pub owner: Option<Owner>,
    /// Who gets it.
    pub recipients: Vec<EnvelopeRecipient>,
    /// When it was accepted.
    pub accepted: UnixTime,
    /// ENVID (RFC 3461 §4.4), as xtext.
    pub envelope_id: Option<String>,
    /// RET (RFC 3461 §4.3): whether the whole message is wanted back, if anything was said.
    pub return_full: Option<bool>,
    /// Whether SMTPUTF8 was asked for (RFC 6531).
    pub utf8: bool,
}

/// The user who submitted an item.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Owner {
    /// His account.
    pub account: AccountNumber,
    /// The account's address. He may write under others.
    pub address: Address,
}

/// One recipient of an [`Envelope`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct EnvelopeRecipient {
    /// The address.
    pub address: Address,
    /// NOTIFY (RFC 3461 §4.1).
    pub notify: Option<Notify>,
    /// ORCPT (RFC 3461 §4.2): `type;xtext`.
    pub original: Option<String>,
}

/// When reports are wanted (RFC 3461 §4.1). All false is NEVER.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Notify {
    /// On delivery.
    pub success: bool,
    /// On failure.
    pub failure: bool,
    /// On delay.
    pub delay: bool,
}

impl Notify {
    /// What holds where nothing was said (RFC 3461 §4.1: failure, and delay as the server likes).
    pub const UNSAID: Notify = Notify { success: false, failure: true, delay: true };
}

/// How a recipient stands.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum Standing {
    /// It will be tried, or is being tried.
    #[default]
    Waiting,
    /// Somebody has to decide.
    Held,
    /// The next server has it.
    Delivered,
    /// It was given up.
    Failed,
}

/// A report that the owner is still to be given.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum Owed {
    /// It was given up.
    Failure,
    /// It takes long.
    Delay,
    /// It is held.
    Hold,
    /// A server has it that promises no report of its own (RFC 3461 §5.2.2).
    Relayed,
}

/// Why a recipient was not reached, or what the server said that took it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Trouble {
    /// The server that said so, if one did.
    pub host: Option<String>,
    /// The enhanced status code (RFC 3463).
    pub status: String,
    /// Its reply or our sentence: one line, printable.
    pub text: String,
}

impl Trouble {
    /// A trouble with everything that came from outside bounded and made printable.
    pub fn new(host: Option<&str>, status: &str, text: &str) -> Trouble {
        Trouble {
            host: host.map(|host| printable(host, TROUBLE_WORD_BYTES_MAX)),
            status: printable(status, TROUBLE_WORD_BYTES_MAX),
            text: printable(text, TROUBLE_TEXT_BYTES_MAX),
        }
    }
}

fn printable(text: &str, bytes_max: usize) -> String {
    let mut out = String::new();
    for c in text.chars().map(|c| if c.is_control() { ' ' } else { c }) {
        if out.len() + c.len_utf8() > bytes_max {
            break;
        }
        out.push(c);
    }
    out
}

/// All that changes of an item. A newer one takes the place of an older one as a whole.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Progress {
    /// The administrator holds it.
    pub held: bool,
    /// For each domain, in the order in which recipients name them: attempts, and when the next is.
    pub legs: Vec<(u16, UnixTime)>,
    /// For each recipient of the envelope, in its order.
    pub recipients: Vec<RecipientProgress>,
}

/// One recipient's part of a [`Progress`].
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct RecipientProgress {
    /// How it stands.
    pub standing: Standing,
    /// What its owner is still to be told.
    pub owed: Option<Owed>,
    /// Its content is sealed or meant to be: no report quotes it.
    pub sealed: bool,
    /// The owner was told that it takes long.
    pub told_delay: bool,
    /// It was held by the plan, and somebody who may has released it.
    pub permitted: bool,
    /// What happened last.
    pub trouble: Option<Trouble>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_servers_say_is_bounded_and_printable() {
        let long = "ü".repeat(1000);
        let trouble = Trouble::new(Some("a\r\nb"), "5.1.1", &long);
        assert_eq!(trouble.host.as_deref(), Some("a  b"));
        assert_eq!(trouble.text.len(), TROUBLE_TEXT_BYTES_MAX);
    }

    #[test]
    fn an_item_is_named_by_the_beginning_of_its_object() {
        let mut object = ObjectId([0xff; 16]);
        object.0[..6].copy_from_slice(&[0, 1, 2, 3, 4, 5]);
        assert_eq!(ItemId::of(&object), ItemId(0x0001_0203_0405));
    }
}
