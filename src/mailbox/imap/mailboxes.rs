//! CREATE, DELETE, RENAME, SUBSCRIBE, UNSUBSCRIBE; and how refusals are told.
//!
//! # Standards
//! RFC 3501 §6.3.3-7, RFC 5530 §3.

use super::link::{End, LOCKED};
use super::session::Session;
use crate::account::{Command, NameError, Refusal};
use crate::imap::{Code, MailboxName, Tag};
use crate::mailbox::ApplyError;

impl Session {
    pub(super) async fn create(&mut self, tag: &Tag, name: &MailboxName) -> Result<(), End> {
        let name = name.as_str().to_owned();
        self.change(tag, Command::Create { name, special_use: None }, "CREATE completed").await
    }

    pub(super) async fn delete(&mut self, tag: &Tag, name: &MailboxName) -> Result<(), End> {
        let name = name.as_str().to_owned();
        self.change(tag, Command::Delete { name }, "DELETE completed").await
    }

    pub(super) async fn rename(
        &mut self,
        tag: &Tag,
        from: &MailboxName,
        to: &MailboxName,
    ) -> Result<(), End> {
        let (from, to) = (from.as_str().to_owned(), to.as_str().to_owned());
        self.change(tag, Command::Rename { from, to }, "RENAME completed").await
    }

    pub(super) async fn subscribe(&mut self, tag: &Tag, name: &MailboxName) -> Result<(), End> {
        let name = name.as_str().to_owned();
        self.change(tag, Command::Subscribe { name }, "SUBSCRIBE completed").await
    }

    pub(super) async fn unsubscribe(&mut self, tag: &Tag, name: &MailboxName) -> Result<(), End> {
        let name = name.as_str().to_owned();
        self.change(tag, Command::Unsubscribe { name }, "UNSUBSCRIBE completed").await
    }

    async fn change(&mut self, tag: &Tag, command: Command, text: &str) -> Result<(), End> {
        match self.account()?.clone().apply(command).await {
            Ok(_) => {
                self.leave_if_deleted()?;
                self.done(tag, text).await
            }
            Err(error) => self.apply_error(tag, error),
        }
    }

    /// Says why a change was not made. Nothing of it was.
    pub(super) fn apply_error(&mut self, tag: &Tag, error: ApplyError) -> Result<(), End> {
        match error {
            ApplyError::Locked => return Err(LOCKED),
            ApplyError::Full => self.link.out.no(tag, Code::OverQuota, "No space is left"),
            ApplyError::Unavailable => {
                self.link.out.no(tag, Code::Unavailable, "This cannot be stored now");
            }
            ApplyError::Refused(Refusal::BadKeyword) => {
                self.link.out.bad(Some(tag), "A keyword is an atom of limited length");
            }
            ApplyError::Refused(refusal) => {
                let (code, text) = refusal_text(refusal);
                self.link.out.no(tag, code, text);
            }
        }
        Ok(())
    }
}

fn refusal_text(refusal: Refusal) -> (Code, &'static str) {
    match refusal {
        Refusal::NoSuchMailbox => (Code::NonExistent, "There is no such mailbox"),
        Refusal::NoSuchDestination => (Code::TryCreate, "There is no such mailbox"),
        Refusal::NotSelectable => (Code::Cannot, "This name holds no messages"),
        Refusal::Exists => (Code::AlreadyExists, "There is a mailbox of that name"),
        Refusal::BadName(NameError::EmptyLevel) => (Code::Cannot, "A level of the name is empty"),
        Refusal::BadName(NameError::TooLong) => (Code::Cannot, "The name is too long or too deep"),
        Refusal::BadName(NameError::BadCharacter) => {
            (Code::Cannot, "The name holds a character that a name cannot have")
        }
        Refusal::Cannot => (Code::Cannot, "This mailbox cannot be changed so"),
        Refusal::HasChildren => (Code::Cannot, "There are mailboxes below this name"),
        Refusal::TooManyMailboxes => (Code::Limit, "There are too many mailboxes"),
        Refusal::TooManySubscriptions => (Code::Limit, "There are too many subscriptions"),
        Refusal::BadKeyword => (Code::Cannot, "This is no keyword"),
        Refusal::TooManyKeywords => (Code::Limit, "The mailbox knows too many keywords"),
        Refusal::TooManyMessages => (Code::Limit, "The account has too many messages to copy"),
        Refusal::NoMoreUids => (Code::Limit, "The mailbox has given out all its UIDs"),
        Refusal::BadMessage => (Code::ServerBug, "The message was sealed for another account"),
    }
}
