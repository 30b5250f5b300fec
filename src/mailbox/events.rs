//! What the mailbox role reports.

use crate::base::event::{Event, Fields, Level};
use crate::base::ids::AccountNumber;
use std::net::IpAddr;

/// An event of the mailbox role.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum MailboxEvent {
    /// A message is durable for all its local recipients.
    Stored {
        /// Octets of the message.
        bytes: u64,
        /// Copies that were made.
        copies: u64,
    },
    /// A message could not be stored; its sender was told to try later.
    NotStored {
        /// Why, in a word.
        why: &'static str,
    },
    /// ALARM: an account's file does not verify, or its certificate is not the one that the vault
    /// names. Its mail is deferred and nobody can log in until a person has looked.
    AccountFileForged {
        /// The account.
        account: AccountNumber,
        /// What differs, in a word.
        what: &'static str,
    },
    /// The journal holds mail of an account that has no file: its mail is refused.
    AccountFileMissing {
        /// The account.
        account: AccountNumber,
    },
    /// An account's file cannot be read.
    AccountFileUnreadable {
        /// The account.
        account: AccountNumber,
        /// The system's error.
        error: String,
    },
    /// Somebody logged in.
    LoggedIn {
        /// The account.
        account: AccountNumber,
        /// What for.
        service: &'static str,
        /// From where.
        peer: Option<IpAddr>,
    },
    /// Somebody did not get in.
    LoginRefused {
        /// The name that was tried.
        user: String,
        /// What for.
        service: &'static str,
        /// From where.
        peer: Option<IpAddr>,
        /// Why, in a word that the client does not hear.
        why: &'static str,
    },
    /// An account was unlocked.
    Unlocked {
        /// The account.
        account: AccountNumber,
    },
    /// An account was locked: its keys are gone from memory.
    Locked {
        /// The account.
        account: AccountNumber,
        /// Why, in a word.
        why: &'static str,
    },
    /// An account's state could not be loaded from the journal, or its task failed.
    AccountFailed {
        /// The account.
        account: AccountNumber,
        /// What happened, in a word.
        what: &'static str,
    },
    /// What arrived was given its places in the mailboxes.
    Folded {
        /// The account.
        account: AccountNumber,
        /// How many messages.
        messages: u64,
        /// Of these, placeholders for what could not be opened.
        placeholders: u64,
        /// Of these, those that came encrypted and are shown opened.
        opened: u64,
        /// Arrivals that were dropped because they had been seen before.
        repeated: u64,
    },
    /// ALARM: an account's records are not all as they were written. What can be read is served.
    AccountDamaged {
        /// The account.
        account: AccountNumber,
        /// In how many places.
        places: u64,
    },
    /// A verb of the control socket was carried out.
    AccountChanged {
        /// The account.
        account: AccountNumber,
        /// The verb.
        verb: &'static str,
    },
}

impl Event for MailboxEvent {
    fn level(&self) -> Level {
        use MailboxEvent::*;
        match self {
            AccountFileForged { .. }
            | AccountFileMissing { .. }
            | AccountFileUnreadable { .. }
            | AccountFailed { .. }
            | AccountDamaged { .. } => Level::Error,
            NotStored { .. } | LoginRefused { .. } => Level::Warn,
            _ => Level::Info,
        }
    }

    fn name(&self) -> &'static str {
        use MailboxEvent::*;
        match self {
            Stored { .. } => "mailbox.stored",
            NotStored { .. } => "mailbox.not-stored",
            AccountFileForged { .. } => "mailbox.account-file-forged",
            AccountFileMissing { .. } => "mailbox.account-file-missing",
            AccountFileUnreadable { .. } => "mailbox.account-file-unreadable",
            LoggedIn { .. } => "mailbox.logged-in",
            LoginRefused { .. } => "mailbox.login-refused",
            Unlocked { .. } => "mailbox.unlocked",
            Locked { .. } => "mailbox.locked",
            AccountFailed { .. } => "mailbox.account-failed",
            AccountDamaged { .. } => "mailbox.account-damaged",
            Folded { .. } => "mailbox.folded",
            AccountChanged { .. } => "mailbox.account-changed",
        }
    }

    fn fields(&self, fields: &mut dyn Fields) {
        use MailboxEvent::*;
        if let Some(account) = self.account() {
            fields.number("account", account.0.into());
        }
        match self {
            Stored { bytes, copies } => {
                fields.number("bytes", *bytes);
                fields.number("copies", *copies);
            }
            NotStored { why } | Locked { why, .. } => fields.word("why", why),
            AccountFileForged { what, .. } | AccountFailed { what, .. } => {
                fields.word("what", what);
            }
            AccountFileUnreadable { error, .. } => fields.quoted("error", error),
            LoggedIn { service, peer, .. } => login_fields(fields, service, *peer),
            LoginRefused { user, service, peer, why } => {
                fields.address("user", user);
                fields.word("why", why);
                login_fields(fields, service, *peer);
            }
            AccountDamaged { places, .. } => fields.number("places", *places),
            Folded { messages, placeholders, opened, repeated, .. } => {
                fields.number("messages", *messages);
                fields.number("placeholders", *placeholders);
                fields.number("opened", *opened);
                fields.number("repeated", *repeated);
            }
            AccountChanged { verb, .. } => fields.word("verb", verb),
            AccountFileMissing { .. } | Unlocked { .. } => {}
        }
    }
}

impl MailboxEvent {
    fn account(&self) -> Option<AccountNumber> {
        use MailboxEvent::*;
        match self {
            AccountFileForged { account, .. }
            | AccountFileMissing { account }
            | AccountFileUnreadable { account, .. }
            | LoggedIn { account, .. }
            | Unlocked { account }
            | Locked { account, .. }
            | AccountFailed { account, .. }
            | AccountDamaged { account, .. }
            | Folded { account, .. }
            | AccountChanged { account, .. } => Some(*account),
            Stored { .. } | NotStored { .. } | LoginRefused { .. } => None,
        }
    }
}

fn login_fields(fields: &mut dyn Fields, service: &'static str, peer: Option<IpAddr>) {
    fields.word("service", service);
    if let Some(peer) = peer {
        fields.peer("peer", peer);
    }
}
