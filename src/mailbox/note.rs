//! Notes to the owner: what was done to the account, or will happen to it, as a message in INBOX.
//!
//! A note is sealed and stored like any arrival, so that neither root nor a thief of the disk sees
//! more of it than of other mail, and nobody can use a credential unseen. It holds no secret, not
//! even a label that somebody chose: a note must be safe to forward.
//!
//! # Standards
//! RFC 5322 (format), RFC 3834 §5 (`Auto-Submitted`).

use super::core::Core;
use super::deliver;
use super::events::MailboxEvent;
use crate::base::clock::UnixTime;
use crate::base::ids::{AccountNumber, ObjectId};
use crate::mail::{Address, DateTime};
use crate::seams::{Delivery, LocalRecipient, Role};
use std::sync::Arc;

/// What a note is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Note {
    /// The account is new.
    Added,
    /// Another password.
    Password,
    /// New master key.
    Rekey,
    /// A new recovery code.
    Recovery,
    /// A new app password; whether it opens the mail.
    AppPassword {
        /// Whether it opens the mail.
        opens: bool,
    },
    /// Unlocked by command, for this long.
    Unlock {
        /// In hours.
        hours: u32,
    },
    /// A secret key was shown.
    KeyExport {
        /// Those that stored mail is sealed to, not the one of the identity.
        storage: bool,
    },
    /// The identity was replaced.
    KeyImport {
        /// Whether the server has its secret key.
        opens: bool,
    },
    /// The identity ends soon, or has ended.
    KeyEnds {
        /// When.
        ends: UnixTime,
        /// Whether that is over.
        over: bool,
    },
    /// The certificate is given out from now on, or no longer.
    KeyPublish {
        /// Whether it is.
        on: bool,
    },
}

impl Note {
    /// The verb, for the log.
    pub fn verb(self) -> &'static str {
        match self {
            Note::Added => "add",
            Note::Password => "passwd",
            Note::Rekey => "rekey",
            Note::Recovery => "recovery",
            Note::AppPassword { .. } => "app-password",
            Note::Unlock { .. } => "unlock",
            Note::KeyExport { .. } => "key-export",
            Note::KeyImport { .. } => "key-import",
            Note::KeyEnds { .. } => "key-ends",
            Note::KeyPublish { .. } => "key-publish",
        }
    }

    fn subject(self) -> &'static str {
        match self {
            Note::Added => "Your account was made",
            Note::Password => "Your password was changed",
            Note::Rekey => "Your account has a new master key",
            Note::Recovery => "Your account has a new recovery code",
            Note::AppPassword { .. } => "Your account has a new app password",
            Note::Unlock { .. } => "Your account was unlocked by command",
            Note::KeyExport { .. } => "A secret key of your account was shown",
            Note::KeyImport { .. } => "Your account has another public key",
            Note::KeyEnds { over: false, .. } => "Your public key expires soon",
            Note::KeyEnds { over: true, .. } => "Your public key has expired",
            Note::KeyPublish { on: true } => "Your public key is published",
            Note::KeyPublish { on: false } => "Your public key is no longer published",
        }
    }

    fn text(self) -> String {
        match self {
            Note::Added => {
                "Your account was made by the operator of this server, who has seen its\r\n\
                password and its recovery code. Set a password of your own and draw a new\r\n\
                recovery code: until then the operator could open your mail.\r\n"
                    .into()
            }
            Note::Password => {
                "Your password was changed with one of your credentials. Whoever kept an\r\n\
                old copy of the account file and knows the old password can still open what\r\n\
                they opened before; after a theft use `rekey`.\r\n"
                    .into()
            }
            Note::Rekey => {
                "Your account has a new master key, a new password and a new recovery code.\r\n\
                All app passwords were removed.\r\n"
                    .into()
            }
            Note::Recovery => {
                "A new recovery code was drawn with one of your credentials. The old one no\r\n\
                longer works.\r\n"
                    .into()
            }
            Note::AppPassword { opens: true } => {
                "A new app password was drawn with one of your credentials. It logs in and\r\n\
                opens your mail.\r\n"
                    .into()
            }
            Note::AppPassword { opens: false } => {
                "A new app password was drawn with one of your credentials. It logs in and\r\n\
                opens nothing by itself.\r\n"
                    .into()
            }
            Note::KeyExport { storage: false } => {
                "The secret key of your account's identity was shown with one of your\r\n\
                credentials. Who has it can read what others encrypt to you, and sign as you.\r\n"
                    .into()
            }
            Note::KeyExport { storage: true } => {
                "The secret keys that your stored mail is sealed to were shown with one of\r\n\
                your credentials. Who has them and a copy of the disk can read all your mail.\r\n"
                    .into()
            }
            Note::KeyImport { opens } => import_text(opens).into(),
            Note::KeyEnds { ends, over } => ends_text(ends, over),
            Note::KeyPublish { on: true } => {
                "Others find your public key by your address from now on, and can encrypt to\r\n\
                you.\r\n"
                    .into()
            }
            Note::KeyPublish { on: false } => {
                "Others no longer find your public key by your address. Who has it already can\r\n\
                still use it.\r\n"
                    .into()
            }
            Note::Unlock { hours } => format!(
                "Your account was unlocked by command, with one of your credentials, for up to\r\n\
                {hours} hours. While it is unlocked this server can read your mail.\r\n"
            ),
        }
    }

    /// The message.
    fn message(self, core: &Core, to: &Address) -> Vec<u8> {
        let date = DateTime::from_unix(core.clock.now(), 0).to_rfc5322();
        let id = ObjectId::random(&*core.entropy);
        let (subject, text, domain) = (self.subject(), self.text(), to.domain());
        let advice = match self {
            Note::KeyEnds { .. } => "",
            _ => "\r\nIf this was not you, lock the account and change its secrets.\r\n",
        };
        format!(
            "From: Postseal <postmaster@{domain}>\r\nTo: <{to}>\r\nSubject: {subject}\r\n\
             Date: {date}\r\nMessage-ID: <{id}@{domain}>\r\nAuto-Submitted: auto-generated\r\n\
             MIME-Version: 1.0\r\nContent-Type: text/plain; charset=utf-8\r\n\r\n\
             {text}{advice}"
        )
        .into_bytes()
    }
}

fn import_text(opens: bool) -> &'static str {
    match opens {
        true => {
            "The public key of your account was replaced with one of your credentials. This\r\n\
            server has the secret key too, and opens what others encrypt to it.\r\n"
        }
        false => {
            "The public key of your account was replaced with one of your credentials. Only\r\n\
            you have the secret key: what others encrypt to it opens in your mail program.\r\n"
        }
    }
}

fn ends_text(ends: UnixTime, over: bool) -> String {
    format!(
        "The public key of your account {} on\r\n\
        {}. Nobody can encrypt to it after\r\n\
        that, and mail to you from servers that know it may be held. Give it a later\r\n\
        date in the program that made it, or make another one, and import it again.\r\n",
        if over { "has expired" } else { "expires" },
        DateTime::from_unix(ends, 0).to_rfc5322(),
    )
}

/// Leaves a note in the owner's INBOX and in the log. What was done stands even if the note cannot
/// be stored; that is reported.
pub async fn leave(core: &Arc<Core>, account: AccountNumber, note: Note) {
    core.events.emit(&MailboxEvent::AccountChanged { account, verb: note.verb() });
    let Some(owner) = core.directory.get(account) else { return };
    let delivery = Delivery {
        from: None,
        recipients: vec![LocalRecipient { account, detail: None }],
        message: note.message(core, &owner.address),
        received: core.clock.now(),
        role: Role::Inbox,
        sender: Default::default(),
    };
    if deliver::deliver(core, delivery).await.is_err() {
        core.events.emit(&MailboxEvent::AccountFailed { account, what: "note" });
    }
}
