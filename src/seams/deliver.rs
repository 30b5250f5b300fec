//! How mail comes into the mailbox role: first "do you take mail for this address?", then the mail.

use crate::base::BoxFuture;
use crate::base::clock::UnixTime;
use crate::base::ids::AccountNumber;
use crate::mail::{Address, ProvedFields};

/// Copies that one message may have: all of them are one batch of the journal. Twice the 100
/// recipients of RFC 5321 §4.5.3.1.8, because the last of them may be an alias for a hundred.
pub const RECIPIENTS_MAX: usize = 200;

/// Takes mail for local accounts. Implemented by the mailbox role, used by the relay role.
pub trait Deliver: Send + Sync {
    /// Whether mail for `address` would be taken now. Asked at RCPT, without any message.
    ///
    /// The address is what aliases have been resolved to; the recipient delimiter has been taken
    /// off by the caller (it comes back as [`LocalRecipient::detail`]).
    fn recipient<'a>(&'a self, address: &'a Address) -> BoxFuture<'a, RecipientVerdict>;

    /// Seals and stores one message for all its local recipients, all or nothing.
    ///
    /// `Ok` means that every copy is durable: the caller may answer 250. On any error nothing was
    /// stored for anyone.
    fn deliver(&self, delivery: Delivery) -> BoxFuture<'_, Result<(), DeliverError>>;
}

/// What [`Deliver::recipient`] says of an address.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RecipientVerdict {
    /// A local account takes it.
    Local(AccountNumber),
    /// The domain is ours, the local part is nobody's: 550 5.1.1.
    Unknown,
    /// The domain is not ours: 550 5.7.1 (no relaying here).
    NotLocal,
    /// The account is full, or its tray is: 452 4.2.2.
    OverQuota,
    /// It cannot be said now (the account's file does not verify): 451 4.3.0.
    Unavailable,
}

/// One message on its way into the store.
#[derive(Clone, Debug)]
pub struct Delivery {
    /// The reverse path, `None` for the null one.
    pub from: Option<Address>,
    /// Whose copies to make, at most [`RECIPIENTS_MAX`]. An account that is named twice gets one
    /// copy (the first detail wins).
    pub recipients: Vec<LocalRecipient>,
    /// The message as it is to be read back, octet for octet, with the Return-Path and Received
    /// fields that the receiver wrote in front, CRLF line ends.
    pub message: Vec<u8>,
    /// When it was received: becomes INTERNALDATE.
    pub received: UnixTime,
    /// Where it is to be filed.
    pub role: Role,
    /// What is known of its sender.
    pub sender: SenderProof,
}

/// What is known of who wrote a message. Decides whether mail that came encrypted to the owner is
/// shown opened: a stranger who re-mails a captured ciphertext must not have it opened for him.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SenderProof {
    /// What of the header is proved: by DKIM signatures that passed and are aligned with the one
    /// address of the From field (RFC 7489 §3.1.1), or because a user of ours who owns it logged
    /// in.
    pub proved: ProvedFields,
    /// The certificate known for the From field's address, binary, where the relay role has one.
    pub certificate: Option<Vec<u8>>,
}

/// One copy of a [`Delivery`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LocalRecipient {
    /// The account, as [`RecipientVerdict::Local`] named it.
    pub account: AccountNumber,
    /// What stood behind the recipient delimiter, as it was written.
    pub detail: Option<String>,
}

/// Which kind of folder a message belongs in. A name cannot be chosen while the account is locked,
/// because folder names are sealed; the fold resolves the role.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Role {
    /// Ordinary mail.
    #[default]
    Inbox,
    /// Mail that a filter called junk.
    Junk,
}

/// Why a message was not stored. Nothing of it was, for anyone.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DeliverError {
    /// No space is left, here or in an account: 452 4.3.1.
    Full,
    /// It could not be made durable or sealed now: 451 4.3.0.
    TryLater,
}

impl std::fmt::Display for DeliverError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            DeliverError::Full => "no space is left for the message",
            DeliverError::TryLater => "the message cannot be stored now",
        })
    }
}

impl std::error::Error for DeliverError {}
