//! APPEND: the message is taken in pieces, against a budget, and filed when it is whole.
//!
//! # Standards
//! RFC 3501 §6.3.11, RFC 4315 §3 (APPENDUID), RFC 4469 §4 (TOOBIG), RFC 7888.

use super::link::{End, LOCKED};
use super::session::{Session, end_of};
use super::store::flag_names;
use crate::account::Outcome;
use crate::imap::{self, Code, Event, Tag};
use crate::mailbox::{AccountHandle, Append};
use tokio::time::timeout;

/// Octets that are set aside for a message before it comes; more are when they are needed.
const FIRST_BYTES: usize = 64 * 1024;

/// How the message came.
enum Message {
    /// Whole.
    Whole(Vec<u8>),
    /// With a NUL, which no literal may have (RFC 3501 §4.3).
    WithNul,
    /// Followed by something that may not follow.
    BadEnd,
}

impl Session {
    pub(super) async fn append(&mut self, tag: Tag, append: imap::Append) -> Result<(), End> {
        if self.account.as_ref().is_some_and(AccountHandle::is_locked) {
            return Err(LOCKED);
        }
        if let Err(denial) = self.state.permits_append() {
            self.deny(&tag, denial)?;
            self.link.receiver().refuse_append();
            return Ok(());
        }
        let reservation = match self.may_come(&append)? {
            Ok(reservation) => reservation,
            Err((code, text)) => {
                self.link.out.no(&tag, code, text);
                self.link.receiver().refuse_append();
                return Ok(());
            }
        };
        self.link.receiver().accept_append();
        if append.waits {
            self.link.out.go_on("go on");
        }
        self.link.read_large(true);
        let message = self.message(append.size).await;
        self.link.read_large(false);
        let filed = match message? {
            Message::Whole(message) => self.file(&tag, append, message).await,
            Message::WithNul => self.count_bad(Some(&tag), "A message holds no NUL"),
            Message::BadEnd => self.count_bad(Some(&tag), "Expected CRLF behind the message"),
        };
        drop(reservation);
        filed
    }

    /// Whether the message may come, before it does.
    #[allow(clippy::type_complexity)]
    fn may_come(
        &self,
        append: &imap::Append,
    ) -> Result<Result<crate::base::budget::Reservation, (Code, &'static str)>, End> {
        let catalog = self.account()?.catalog().map_err(|_| LOCKED)?;
        Ok(match catalog.by_name(append.mailbox.as_str()) {
            None => Err((Code::TryCreate, "There is no such mailbox")),
            Some(mailbox) if mailbox.no_select => {
                Err((Code::Cannot, "This name holds no messages"))
            }
            Some(_) if append.size == 0 => Err((Code::None, "The message is empty")),
            Some(_) if append.size > self.options.message_bytes_max => {
                Err((Code::TooBig, "The message is too large"))
            }
            Some(_) => self
                .world
                .message_budget
                .reserve(append.size)
                .ok_or((Code::Unavailable, "Too much comes in at the moment; try later")),
        })
    }

    async fn message(&mut self, size: u64) -> Result<Message, End> {
        let mut octets = Vec::with_capacity((size as usize).min(FIRST_BYTES));
        let mut nul = false;
        loop {
            match self.next_piece().await? {
                Event::AppendOctets(piece) => {
                    nul |= piece.contains(&0);
                    octets.extend_from_slice(&piece);
                }
                Event::AppendEnd(false) => return Ok(Message::BadEnd),
                Event::AppendEnd(true) if nul => return Ok(Message::WithNul),
                Event::AppendEnd(true) => return Ok(Message::Whole(octets)),
                Event::Fatal(fatal) => return Err(end_of(fatal)),
                _ => return Err(End::Closed),
            }
        }
    }

    /// The next event of the message. A literal in flight ends without BYE when the client is gone
    /// or silent: there is no place between two responses.
    async fn next_piece(&mut self) -> Result<Event, End> {
        loop {
            if let Some(event) = self.link.ready() {
                return Ok(event);
            }
            self.link.flush().await?;
            let silence = self.options.autologout;
            timeout(silence, self.link.read()).await.map_err(|_| End::Closed)??;
        }
    }

    async fn file(&mut self, tag: &Tag, append: imap::Append, message: Vec<u8>) -> Result<(), End> {
        let append = Append {
            mailbox: append.mailbox.as_str().to_owned(),
            flags: flag_names(&append.flags),
            received: append.date.map(|date| date.unix()),
            message,
        };
        match self.account()?.clone().append(append).await {
            Ok(Outcome::Appended { uid_validity, uid, .. }) => {
                let code = format!("[APPENDUID {uid_validity} {uid}] APPEND completed");
                self.done(tag, &code).await
            }
            Ok(_) => self.done(tag, "APPEND completed").await,
            Err(error) => self.apply_error(tag, error),
        }
    }
}
