//! The session: what has been read, what is to be sent, and where the dialog stands.

use std::sync::Arc;

use super::chunk::{Chunk, Chunks};
use super::command::{DsnNotify, DsnReturn, Mail, RecipientPath};
use super::data::Unstuffer;
use super::limits::AUTH_LINE_BYTES_MAX;
use super::reply::{Reply, replies};
use super::{BareNewlines, ListenerKind, Options};
use crate::base::secret::SecretBytes;

/// One session. `R` is what the driver wants to remember of each accepted recipient.
///
/// The driver's loop: [`Session::next_event`] until it gives `None`, send [`Session::take_output`],
/// then [`Session::feed`] what is read next. While an event is unanswered there are no more events.
#[derive(Debug)]
pub struct Session<R> {
    pub(super) options: Arc<Options>,
    pub(super) state: State<R>,
    pub(super) outbox: Vec<u8>,
    pub(super) event: Option<Event<R>>,
    pub(super) protected: bool,
    pub(super) helo: Option<Helo>,
    pub(super) user: Option<String>,
    pub(super) transaction: Option<Transaction<R>>,
    /// A message of which pieces have come, and more are to.
    pub(super) partial: Option<Box<Receiving<R>>>,
    pub(super) errors: u32,
    pub(super) commands: u32,
    pub(super) auth_failures: u32,
    pub(super) ending: Option<Ending>,
    draining: bool,
    inbox: Vec<u8>,
    /// How much of `inbox` has been taken, and how much of the rest is known to hold no LF.
    taken: usize,
    scanned: usize,
    session_bytes: u64,
    turns: u64,
}

/// Where the dialog stands.
#[derive(Debug)]
pub(super) enum State<R> {
    /// Before the banner: nothing may come.
    Silent,
    Command,
    /// A response within AUTH is awaited.
    Auth,
    /// An event waits for its answer.
    Asked(Question),
    Data(Box<Receiving<R>>),
    /// The octets behind a BDAT that is refused are passed over, then the reply is said.
    Skip {
        left: u64,
        reply: Reply,
    },
    Closed,
}

/// What the driver was asked.
#[derive(Debug)]
pub(super) enum Question {
    Tls,
    Login,
    Sender(Box<Mail>),
    Recipient {
        path: RecipientPath,
        notify: Option<DsnNotify>,
        original: Option<String>,
    },
    Message {
        /// The piece that it begins with; `None` behind DATA.
        chunk: Option<Chunk>,
    },
    Stored,
}

/// A message that is coming in.
#[derive(Debug)]
pub(super) struct Receiving<R> {
    pub transaction: Transaction<R>,
    pub framing: Framing,
    /// What the driver put in front.
    pub prefix_bytes: usize,
    /// Why it will be refused at its end; its octets are then thrown away.
    pub fault: Option<Reply>,
}

/// How the end of a message is found.
#[derive(Debug)]
pub(super) enum Framing {
    /// By the dot that ends it.
    Dots(Unstuffer),
    /// By counting.
    Chunks(Chunks),
}

/// How the client named itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Helo {
    pub name: String,
    pub extended: bool,
}

/// What kind of content was declared (RFC 6152; BINARYMIME has its place here).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Body {
    /// `7BIT`, also where nothing was declared.
    #[default]
    SevenBit,
    /// `8BITMIME`.
    EightBit,
}

/// A mail transaction.
#[derive(Clone, Debug)]
pub struct Transaction<R> {
    /// The reverse path; `None` for the null one. Only as the client says.
    pub from: Option<crate::mail::Address>,
    /// What SIZE declared, in octets.
    pub declared_bytes: Option<u64>,
    /// What BODY declared.
    pub body: Body,
    /// Whether SMTPUTF8 was asked for (RFC 6531).
    pub utf8: bool,
    /// RET.
    pub dsn_return: Option<DsnReturn>,
    /// ENVID, as xtext.
    pub envelope_id: Option<String>,
    /// The recipients that were accepted.
    pub recipients: Vec<Recipient<R>>,
    /// The message, behind what the driver put in front. Empty until it has come.
    pub message: Vec<u8>,
}

/// An accepted recipient.
#[derive(Clone, Debug)]
pub struct Recipient<R> {
    /// As the client named it.
    pub path: RecipientPath,
    /// NOTIFY.
    pub notify: Option<DsnNotify>,
    /// ORCPT: `type;xtext`.
    pub original: Option<String>,
    /// What the driver remembers.
    pub tag: R,
}

/// What the session cannot decide by itself. Each has the method that answers it.
#[derive(Debug)]
pub enum Event<R> {
    /// Send the output, then shake hands: [`Session::tls_established`]. Read nothing in between.
    StartTls,
    /// AUTH begins, with a mechanism that is offered. What goes to and fro within it is opaque
    /// here: [`Session::challenge`] or [`Session::answer_login`].
    Auth {
        /// The mechanism's name, as it stands in the options.
        mechanism: &'static str,
        /// The initial response as sent (base64, or `=`), if there was one.
        initial: Option<SecretBytes>,
    },
    /// The line that answers a challenge, as sent (base64, or `*`). Answered as [`Event::Auth`].
    AuthLine(SecretBytes),
    /// May the user who has logged in send under this reverse path (`None` is the null one)?
    /// [`Session::answer_sender`]. Not asked of other servers.
    Sender(Option<crate::mail::Address>),
    /// Is mail taken for this recipient? [`Session::answer_recipient`].
    Recipient(RecipientPath),
    /// May a message come, and what stands in front of it? [`Session::begin_message`] or
    /// [`Session::refuse_message`].
    Message {
        /// What SIZE declared, in octets.
        declared_bytes: Option<u64>,
    },
    /// A whole message has come. [`Session::answer_message`] once it is durable, or is not.
    Received(Transaction<R>),
}

/// Why a session was ended by this side, for the log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ending {
    /// The client said QUIT.
    Quit,
    /// Octets came before the banner.
    EarlyTalk,
    /// Octets were pipelined behind STARTTLS.
    BehindStartTls,
    /// Octets were pipelined behind DATA.
    BehindData,
    /// A CR or LF stood alone.
    BareNewline,
    /// A BDAT could not be read: what follows cannot be told from commands.
    Bdat,
    /// A limit was reached.
    TooMuch,
    /// Nothing came for too long.
    Idle,
    /// The server is being stopped.
    Draining,
    /// The connection was not wanted.
    Refused,
}

/// What the session waits for: the driver chooses its patience by it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Waiting {
    /// A command or a response.
    Command,
    /// A piece of a message.
    Data,
    /// An answer of the driver.
    Answer,
    /// Nothing: send what is to be sent and close.
    Closed,
}

impl<R> Session<R> {
    /// A session that has said nothing yet. `protected`: TLS is already on (port 465).
    pub fn new(options: Arc<Options>, protected: bool) -> Self {
        Session {
            options,
            state: State::Silent,
            outbox: Vec::new(),
            event: None,
            protected,
            helo: None,
            user: None,
            transaction: None,
            partial: None,
            errors: 0,
            commands: 0,
            auth_failures: 0,
            ending: None,
            draining: false,
            inbox: Vec::new(),
            taken: 0,
            scanned: 0,
            session_bytes: 0,
            turns: 0,
        }
    }

    /// Says the banner. Octets that came before it end the session.
    pub fn greet(&mut self) {
        if matches!(self.state, State::Silent) {
            let banner = format!("220 {} ESMTP Postseal\r\n", self.options.hostname);
            self.outbox.extend_from_slice(banner.as_bytes());
            self.state = State::Command;
        }
    }

    /// Refuses the connection instead of greeting it.
    pub fn refuse(&mut self, reply: Reply) {
        self.end(reply, Ending::Refused);
    }

    /// Takes what was read. Feed again only after [`Session::next_event`] gave `None` and nothing
    /// is asked: that bounds what is held.
    pub fn feed(&mut self, input: &[u8]) {
        self.session_bytes = self.session_bytes.saturating_add(input.len() as u64);
        match self.state {
            State::Closed => {}
            State::Silent => self.end(replies::PIPELINED, Ending::EarlyTalk),
            // RFC 3207 §4.2: what came in clear must not be heard behind the handshake.
            State::Asked(Question::Tls) => self.end(replies::PIPELINED, Ending::BehindStartTls),
            _ if self.session_bytes > self.options.session_bytes_max => {
                self.end(replies::SESSION_TOO_LARGE, Ending::TooMuch);
            }
            _ => {
                self.inbox.drain(..std::mem::take(&mut self.taken));
                self.inbox.extend_from_slice(input);
            }
        }
    }

    /// Goes on until there is something to ask, or more input is needed (`None`).
    pub fn next_event(&mut self) -> Option<Event<R>> {
        while self.event.is_none() && self.turn() {
            self.turns += 1;
        }
        self.event.take()
    }

    /// What is to be sent.
    pub fn take_output(&mut self) -> Vec<u8> {
        std::mem::take(&mut self.outbox)
    }

    /// What the session waits for.
    pub fn waiting(&self) -> Waiting {
        match self.state {
            State::Silent | State::Asked(_) => Waiting::Answer,
            State::Command if self.partial.is_some() => Waiting::Data,
            State::Command | State::Auth | State::Skip { .. } => Waiting::Command,
            State::Data(_) => Waiting::Data,
            State::Closed => Waiting::Closed,
        }
    }

    /// Counts what has been done; a driver's patience begins anew when it changes.
    pub fn turns(&self) -> u64 {
        self.turns
    }

    /// Octets of the message that is coming in, for the driver's budget: those that are held, and
    /// those that the current piece of it is still to bring.
    pub fn message_bytes(&self) -> usize {
        match (&self.state, &self.partial) {
            (State::Data(receiving), _) | (_, Some(receiving)) => receiving.held_bytes(),
            _ => 0,
        }
    }

    /// The name the client gave, cleaned for display, and whether by EHLO.
    pub fn helo(&self) -> Option<(&str, bool)> {
        self.helo.as_ref().map(|helo| (helo.name.as_str(), helo.extended))
    }

    /// The transaction that is being put together, before its message comes.
    pub fn transaction(&self) -> Option<&Transaction<R>> {
        self.transaction.as_ref()
    }

    /// Who has logged in.
    pub fn user(&self) -> Option<&str> {
        self.user.as_deref()
    }

    /// Whether the connection is protected by TLS.
    pub fn is_protected(&self) -> bool {
        self.protected
    }

    /// Why this side ended the session, if it did.
    pub fn ending(&self) -> Option<Ending> {
        self.ending
    }

    /// The driver's patience is at its end (RFC 5321 §4.5.3.2.7).
    pub fn time_out(&mut self) {
        self.end(replies::IDLE_TOO_LONG, Ending::Idle);
    }

    /// The server is being stopped: a session that is not in the midst of a message ends now,
    /// another behind that message. RFC 5321 §3.8: 421 may come at any time.
    pub fn drain(&mut self) {
        self.draining = true;
        if self.waiting() == Waiting::Command && self.event.is_none() {
            self.end(replies::SHUTTING_DOWN, Ending::Draining);
        }
    }

    /// Says `reply` for the last time.
    pub(super) fn end(&mut self, reply: Reply, ending: Ending) {
        if !matches!(self.state, State::Closed) {
            self.say(reply);
            self.close(ending);
        }
    }

    pub(super) fn close(&mut self, ending: Ending) {
        self.ending = Some(ending);
        self.state = State::Closed;
        (self.transaction, self.partial) = (None, None);
        self.event = None;
        self.forget_input();
    }

    pub(super) fn say(&mut self, reply: Reply) {
        reply.write(&mut self.outbox);
    }

    /// Whether something was sent behind the command that is being obeyed.
    pub(super) fn has_unread(&self) -> bool {
        self.taken < self.inbox.len()
    }

    pub(super) fn forget_input(&mut self) {
        self.inbox = Vec::new();
        (self.taken, self.scanned) = (0, 0);
    }

    pub(super) fn needs_tls(&self) -> bool {
        self.options.kind != ListenerKind::Mx && !self.protected
    }

    /// Does one thing; `false` if more input or an answer is needed.
    fn turn(&mut self) -> bool {
        match &mut self.state {
            State::Silent | State::Asked(_) | State::Closed => false,
            State::Command | State::Auth if self.draining && self.partial.is_none() => {
                self.end(replies::SHUTTING_DOWN, Ending::Draining);
                true
            }
            State::Command | State::Auth => self.turn_line(),
            State::Data(_) => self.turn_data(),
            State::Skip { .. } => self.turn_skip(),
        }
    }

    fn turn_line(&mut self) -> bool {
        let unread = &self.inbox[self.taken..];
        let found = memchr::memchr(b'\n', &unread[self.scanned..]);
        let line_bytes = found.map_or(unread.len(), |found| self.scanned + found);
        if line_bytes > AUTH_LINE_BYTES_MAX {
            self.end(replies::LINE_TOO_LONG, Ending::TooMuch);
            return true;
        }
        let Some(found) = found else {
            self.scanned = unread.len();
            return false;
        };
        let line_end = self.taken + self.scanned + found;
        let line = &self.inbox[self.taken..line_end];
        let (line, bare) = match line.strip_suffix(b"\r") {
            Some(line) => (line, line.contains(&b'\r')),
            None => (line, true),
        };
        // RFC 5321 §2.3.8: only CRLF ends a line. Where the client thinks otherwise, the two sides
        // would disagree about what is a command.
        if bare && self.options.bare_newlines == BareNewlines::Refuse {
            self.end(replies::BARE_NEWLINE, Ending::BareNewline);
            return true;
        }
        let line = line.to_vec();
        self.taken = line_end + 1;
        self.scanned = 0;
        self.line(&line);
        true
    }

    fn turn_data(&mut self) -> bool {
        let State::Data(receiving) = &mut self.state else { return false };
        let unread = &self.inbox[self.taken..];
        if unread.is_empty() && !receiving.awaits_nothing() {
            return false;
        }
        let ended = receiving.take(unread, self.options.message_bytes_max);
        self.taken += ended.unwrap_or(unread.len());
        if ended.is_some() {
            self.message_ended();
        }
        true
    }

    /// What is passed over is no turn of the dialog: the driver's patience does not begin anew.
    fn turn_skip(&mut self) -> bool {
        let State::Skip { left, reply } = &mut self.state else { return false };
        let unread = self.inbox.len() - self.taken;
        let bytes = usize::try_from(*left).unwrap_or(usize::MAX).min(unread);
        (self.taken, *left) = (self.taken + bytes, *left - bytes as u64);
        if *left > 0 {
            return false;
        }
        let reply = *reply;
        self.state = State::Command;
        self.refuse_command(reply);
        true
    }
}

impl<R> Receiving<R> {
    /// Takes octets of the message. `Some(n)`: it, or the current piece, ended behind `n` octets.
    fn take(&mut self, input: &[u8], bytes_max: u64) -> Option<usize> {
        let message = &mut self.transaction.message;
        let (ended, bare_newline, nul) = match &mut self.framing {
            Framing::Dots(dots) => (dots.push(input, message), dots.bare_newline, dots.nul),
            Framing::Chunks(chunks) => {
                let ended = chunks.push(input, message);
                if ended.is_some() && chunks.last {
                    chunks.finish(self.prefix_bytes, message);
                }
                (ended, chunks.bare_newline, chunks.nul)
            }
        };
        let content_bytes = message.len().saturating_sub(self.prefix_bytes) as u64;
        if bare_newline {
            self.fail(replies::BARE_NEWLINE_IN_MESSAGE);
        } else if nul {
            self.fail(replies::NUL_IN_MESSAGE);
        } else if content_bytes > bytes_max {
            self.fail(replies::MESSAGE_TOO_LARGE);
        }
        if self.fault.is_some() {
            self.transaction.message.clear();
        }
        ended
    }

    /// The next piece of a message that comes by BDAT. What makes it too large is not kept.
    pub(super) fn next_chunk(&mut self, chunk: Chunk, bytes_max: u64) {
        let content_bytes = self.transaction.message.len().saturating_sub(self.prefix_bytes);
        if chunk.bytes.saturating_add(content_bytes as u64) > bytes_max {
            self.fail(replies::MESSAGE_TOO_LARGE);
        }
        if let Framing::Chunks(chunks) = &mut self.framing {
            chunks.next(chunk);
        }
    }

    /// Whether the current piece is complete, so that no octet has to come.
    fn awaits_nothing(&self) -> bool {
        matches!(&self.framing, Framing::Chunks(chunks) if chunks.left == 0)
    }

    /// Without what the driver put in front.
    fn held_bytes(&self) -> usize {
        let coming = match &self.framing {
            Framing::Chunks(chunks) if self.fault.is_none() => chunks.left,
            _ => 0,
        };
        let coming = usize::try_from(coming).unwrap_or(usize::MAX);
        let content = self.transaction.message.len().saturating_sub(self.prefix_bytes);
        content.saturating_add(coming)
    }

    /// The message is refused at its end; the worst reason stands.
    pub(super) fn fail(&mut self, reply: Reply) {
        let worse = self.fault.is_none() || reply == replies::BARE_NEWLINE_IN_MESSAGE;
        if worse {
            self.fault = Some(reply);
        }
        self.transaction.message = Vec::new();
        self.prefix_bytes = 0;
    }
}
