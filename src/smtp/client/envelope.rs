//! What a transaction says before its message, and what a server must offer for it.

use super::content::Content;
use super::extensions::Extensions;
use super::limits::PARAMETER_BYTES_MAX;
use crate::mail::Address;
use crate::smtp::{DsnNotify, DsnReturn};

/// A transaction to be done.
#[derive(Clone, Debug)]
pub struct Envelope {
    /// The reverse path; `None` for the null one.
    pub from: Option<Address>,
    /// Who gets it: at least one, at most
    /// [`TRANSACTION_RECIPIENTS_MAX`](super::limits::TRANSACTION_RECIPIENTS_MAX).
    pub recipients: Vec<Recipient>,
    /// ENVID of RFC 3461, as xtext.
    pub envelope_id: Option<String>,
    /// RET of RFC 3461.
    pub dsn_return: Option<DsnReturn>,
    /// Whether a header field needs SMTPUTF8 (RFC 6531); addresses speak for themselves.
    pub utf8: bool,
    /// The message.
    pub content: Content,
}

/// A recipient.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Recipient {
    /// The address.
    pub address: Address,
    /// NOTIFY of RFC 3461.
    pub notify: Option<DsnNotify>,
    /// ORCPT of RFC 3461: `type;xtext`.
    pub original: Option<String>,
}

/// What a message needs and this server lacks; another server may have it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Lack {
    /// The server takes no message of that size (RFC 1870 §6.3): 5.3.4.
    Size,
    /// 8BITMIME (RFC 6152 §3): 5.6.3.
    EightBit,
    /// SMTPUTF8 (RFC 6531 §3.1): 5.6.7.
    Utf8,
}

impl Envelope {
    /// What the server lacks for it.
    pub(super) fn lack(&self, offered: &Extensions) -> Option<Lack> {
        let limit = offered.size_bytes_max.unwrap_or(u64::MAX);
        if self.needs_utf8() && !offered.utf8 {
            Some(Lack::Utf8)
        } else if self.content.is_eight_bit() && !offered.eight_bit {
            Some(Lack::EightBit)
        } else if self.content.bytes() > limit {
            Some(Lack::Size)
        } else {
            None
        }
    }

    fn needs_utf8(&self) -> bool {
        let recipients = self.recipients.iter().map(|recipient| &recipient.address);
        self.utf8 || self.from.iter().chain(recipients).any(Address::needs_utf8)
    }

    /// Appends MAIL.
    pub(super) fn write_mail(&self, offered: &Extensions, out: &mut Vec<u8>) {
        let mut line = match &self.from {
            Some(from) => format!("MAIL FROM:<{from}>"),
            None => "MAIL FROM:<>".to_owned(),
        };
        if offered.size {
            line.push_str(&format!(" SIZE={}", self.content.bytes()));
        }
        if self.content.is_eight_bit() {
            line.push_str(" BODY=8BITMIME");
        }
        if self.needs_utf8() {
            line.push_str(" SMTPUTF8");
        }
        if offered.dsn {
            match self.dsn_return {
                Some(DsnReturn::Full) => line.push_str(" RET=FULL"),
                Some(DsnReturn::Headers) => line.push_str(" RET=HDRS"),
                None => {}
            }
            push_parameter(&mut line, "ENVID", self.envelope_id.as_deref());
        }
        line.push_str("\r\n");
        out.extend_from_slice(line.as_bytes());
    }

    /// Appends RCPT for the recipient at `index`.
    pub(super) fn write_rcpt(&self, index: usize, offered: &Extensions, out: &mut Vec<u8>) {
        let Some(recipient) = self.recipients.get(index) else { return };
        let mut line = format!("RCPT TO:<{}>", recipient.address);
        if offered.dsn {
            let notify = recipient.notify.map(notify_words);
            push_parameter(&mut line, "NOTIFY", notify.as_deref());
            push_parameter(&mut line, "ORCPT", recipient.original.as_deref());
        }
        line.push_str("\r\n");
        out.extend_from_slice(line.as_bytes());
    }
}

/// A value that could end its parameter or its line, or is too long, is left out.
fn push_parameter(line: &mut String, name: &str, value: Option<&str>) {
    let clean = |value: &&str| {
        (1..=PARAMETER_BYTES_MAX).contains(&value.len())
            && value.bytes().all(|b| b.is_ascii_graphic() && b != b'=')
    };
    if let Some(value) = value.filter(clean) {
        line.push_str(&format!(" {name}={value}"));
    }
}

/// RFC 3461 §4.1.
fn notify_words(notify: DsnNotify) -> String {
    let words = [(notify.success, "SUCCESS"), (notify.failure, "FAILURE"), (notify.delay, "DELAY")];
    let wanted: Vec<_> = words.iter().filter(|word| word.0).map(|word| word.1).collect();
    if wanted.is_empty() { "NEVER".to_owned() } else { wanted.join(",") }
}
