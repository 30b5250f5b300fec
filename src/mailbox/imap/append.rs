//! APPEND: the message is taken in pieces, against a budget, and filed when it is whole.
//!
//! # Standards
//! RFC 3501 §6.3.11, RFC 4315 §3 (APPENDUID), RFC 4469 §4 (TOOBIG), RFC 7888.

use super::link::{End, LOCKED, locked};
use super::session::{Session, end_of};
use super::store::flag_names;
use crate::account::Outcome;
use crate::base::budget::{ByteBudget, Reservation, STEP_BYTES};
use crate::imap::{self, Code, Event, Tag};
use crate::mailbox::{AccountHandle, Append};
use tokio::time::{Instant, timeout_at};

/// Octets that are set aside for a message before it comes; more are when they are needed.
const FIRST_BYTES: usize = 64 * 1024;

/// The part of the budget (one of so many) that one account may hold by APPEND, over all its
/// sessions: as much as one network may by SMTP.
const ACCOUNT_SHARE: u64 = 4;

/// The client is silent within a message, or takes too long for it.
const SLOW: End = End::Bye(Code::None, "The message did not come in time", "append-timeout");

/// Why a message may not come, and the code for it.
type Refusal = (Code, &'static str);

/// There is no room, be it of the account's share or of the server.
const NO_ROOM: Refusal = (Code::Unavailable, "Too much comes in at the moment; try later");

/// How the message came.
enum Message {
    /// Whole.
    Whole(Vec<u8>),
    /// With a NUL, which no literal may have (RFC 3501 §4.3).
    WithNul,
    /// Followed by something that may not follow.
    BadEnd,
    /// So far that there was no more room for it. The rest is read away.
    NoRoom,
}

/// The room that a message has, of the server's and of the account's: it grows as octets come, so
/// that what is only announced keeps nobody else's out.
struct Room {
    budget: ByteBudget,
    of_all: Reservation,
    of_account: Reservation,
    /// Octets of the whole message.
    whole: u64,
    /// What is left to small messages, in octets.
    for_small: u64,
}

impl Room {
    /// Whether `more` octets leave enough for small messages. These need not ask.
    fn leaves_enough(&self, more: u64) -> bool {
        self.whole <= STEP_BYTES || self.budget.free_bytes() >= self.for_small.saturating_add(more)
    }

    /// Room for `held` octets of the message and some more; `false` if there is none.
    fn reach(&mut self, held: u64) -> bool {
        let has = self.of_all.bytes();
        if held <= has {
            return true;
        }
        let step = STEP_BYTES.min(self.whole.saturating_sub(has)).max(held - has);
        // What one of the two has given and the other has not goes back with the room.
        self.leaves_enough(step) && self.of_account.grow(step) && self.of_all.grow(step)
    }
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
        let mut room = match self.may_come(&append)? {
            Ok(room) => room,
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
        let message = self.message(&mut room).await;
        self.link.read_large(false);
        match message? {
            Message::Whole(message) => self.file(&tag, append, message).await,
            Message::WithNul => self.count_bad(Some(&tag), "A message holds no NUL"),
            Message::BadEnd => self.count_bad(Some(&tag), "Expected CRLF behind the message"),
            Message::NoRoom => {
                self.link.out.no(&tag, NO_ROOM.0, NO_ROOM.1);
                Ok(())
            }
        }
    }

    /// Whether the message may come, before it does.
    fn may_come(&self, append: &imap::Append) -> Result<Result<Room, Refusal>, End> {
        let account = self.account()?;
        let catalog = account.catalog().map_err(|_| LOCKED)?;
        Ok(match catalog.by_name(append.mailbox.as_str()) {
            None => Err((Code::TryCreate, "There is no such mailbox")),
            Some(mailbox) if mailbox.no_select => {
                Err((Code::Cannot, "This name holds no messages"))
            }
            Some(_) if append.size == 0 => Err((Code::None, "The message is empty")),
            Some(_) if append.size > self.options.message_bytes_max => {
                Err((Code::TooBig, "The message is too large"))
            }
            Some(_) => self.room(account, append.size).ok_or(NO_ROOM),
        })
    }

    /// Room for the first octets of a message of `whole` octets, if all would find room now.
    fn room(&self, account: &AccountHandle, whole: u64) -> Option<Room> {
        let (budget, largest) = (&self.world.message_budget, self.options.message_bytes_max);
        // One message of the largest size always fits into an account's share.
        let share = (budget.limit_bytes() / ACCOUNT_SHARE).max(largest.saturating_add(STEP_BYTES));
        let share = account.append_share(share);
        let mut room = Room {
            budget: budget.clone(),
            of_all: budget.empty(),
            of_account: share.empty(),
            whole,
            for_small: budget.for_small_bytes(largest),
        };
        let fits = room.leaves_enough(whole) && share.free_bytes() >= whole;
        (fits && room.reach(1)).then_some(room)
    }

    async fn message(&mut self, room: &mut Room) -> Result<Message, End> {
        let mut octets = Vec::with_capacity((room.whole as usize).min(FIRST_BYTES));
        let mut nul = false;
        let latest = Instant::now() + self.options.message_timeout;
        loop {
            match self.next_piece(latest).await? {
                Event::AppendOctets(piece) => {
                    if !room.reach((octets.len() + piece.len()) as u64) {
                        self.link.receiver().refuse_append();
                        return Ok(Message::NoRoom);
                    }
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

    /// The next event of the message, for which `latest` is the end.
    async fn next_piece(&mut self, latest: Instant) -> Result<Event, End> {
        loop {
            if let Some(event) = self.link.ready() {
                return Ok(event);
            }
            self.link.flush().await?;
            let deadline = latest.min(Instant::now() + self.options.piece_timeout);
            let Session { link, changes, .. } = self;
            tokio::select! {
                biased;
                () = locked(changes) => return Err(LOCKED),
                read = timeout_at(deadline, link.read()) => read.map_err(|_| SLOW)??,
            }
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
