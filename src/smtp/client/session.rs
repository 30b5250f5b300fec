//! The session: what is awaited, what is to be sent, and where the dialog stands.

use std::collections::VecDeque;
use std::sync::Arc;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use zeroize::{Zeroize, Zeroizing};

use super::envelope::Envelope;
use super::extensions::Extensions;
use super::reply::{Reply, ReplyError, ReplyReader};
use super::transaction::{Transaction, Verdict};
use crate::base::secret::SecretBytes;

/// What a session is told.
#[derive(Debug)]
pub struct Options {
    /// The name this side calls itself by in EHLO: a host name, or an address literal.
    pub hostname: String,
    /// Whether STARTTLS is used.
    pub security: Security,
    /// Who to log in as. The session then has to be protected, and the driver must have verified
    /// the server's name.
    pub credential: Option<Arc<Credential>>,
}

/// Whether STARTTLS is used.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Security {
    /// Not even where it is offered: it failed before.
    Never,
    /// Where it is offered.
    May,
    /// Or the session ends.
    Must,
}

/// A login at a relay.
#[derive(Debug)]
pub struct Credential {
    /// The user.
    pub user: String,
    /// The password.
    pub password: SecretBytes,
}

/// What the driver is told.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event {
    /// Shake hands, then [`Client::tls_established`]. Read nothing in between.
    StartTls,
    /// A transaction may begin: [`Client::begin`].
    Ready,
    /// The transaction is over: a verdict for each recipient, in their order. Whether another may
    /// follow says [`Client::is_ready`].
    Done(Vec<Verdict>),
    /// The session is over, outside any transaction.
    Broken(Broken),
}

/// Why a session cannot go on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Broken {
    /// The server refused to talk, at its greeting, at EHLO or at AUTH; or said 421.
    Refused(Reply),
    /// TLS has to be and is not offered, or is refused by this reply.
    NoTls(Option<Reply>),
    /// No mechanism is offered that we know.
    NoLogin,
    /// Octets came that answer nothing; behind the 220 to STARTTLS above all.
    Unsolicited,
    /// A reply that does not fit its command.
    OutOfPlace(Reply),
    /// What came is no reply.
    Malformed(ReplyError),
    /// The server closed the connection, or it broke.
    Closed,
    /// The driver's patience ended while this was awaited.
    TimedOut(Waiting),
}

/// What the session waits for: the driver chooses its patience by it (RFC 5321 §4.5.3.2).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Waiting {
    /// The greeting.
    Greeting,
    /// The reply to EHLO or HELO.
    Hello,
    /// The reply to STARTTLS.
    StartTls,
    /// The driver, who shakes hands or has nothing to send.
    Driver,
    /// A reply within AUTH.
    Auth,
    /// The reply to MAIL, or to RSET ahead of it.
    Mail,
    /// The reply to RCPT.
    Rcpt,
    /// The reply to DATA.
    DataStart,
    /// Room to write the message.
    DataBlock,
    /// The reply to the message.
    DataEnd,
    /// The reply to QUIT.
    Quit,
    /// Nothing more: close.
    Closed,
}

/// The command that a reply will answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Awaited {
    Greeting,
    Ehlo,
    Helo,
    StartTls,
    AuthPlain,
    AuthLogin(LoginStep),
    Reset,
    Mail,
    Rcpt(usize),
    Data,
    End,
    Quit,
}

/// What goes out next within LOGIN.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum LoginStep {
    User,
    Password,
    Nothing,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum State {
    /// Before a transaction may begin.
    Opening,
    /// The driver shakes hands.
    ShakingHands,
    /// Nothing is under way.
    Ready,
    Busy,
    /// The session as such is refused, by either side, and nothing is awaited: QUIT is still owed.
    Leaving,
    Quitting,
    Over,
}

/// One session.
///
/// The driver's loop: [`Client::next_event`] until it gives something; when it gives `None`, write
/// [`Client::output`], then [`Client::feed`] what is read next.
#[derive(Debug)]
pub struct Client {
    options: Arc<Options>,
    pub(super) state: State,
    pub(super) event: Option<Event>,
    pub(super) pending: VecDeque<Awaited>,
    pub(super) reader: ReplyReader,
    pub(super) extensions: Extensions,
    pub(super) transaction: Option<Transaction>,
    /// A transaction was left open on the server's side.
    pub(super) needs_reset: bool,
    protected: bool,
    server_name: String,
    /// Commands, and how much of them was sent; whether a password is among them.
    pub(super) outbox: Vec<u8>,
    outbox_sent: usize,
    outbox_is_secret: bool,
    turns: u64,
}

impl Client {
    /// A session that waits for the greeting. `protected`: TLS is already on (RFC 8314).
    pub fn new(options: Arc<Options>, protected: bool) -> Client {
        Client {
            options,
            state: State::Opening,
            event: None,
            pending: VecDeque::from([Awaited::Greeting]),
            reader: ReplyReader::default(),
            extensions: Extensions::default(),
            transaction: None,
            needs_reset: false,
            protected,
            server_name: String::new(),
            outbox: Vec::new(),
            outbox_sent: 0,
            outbox_is_secret: false,
            turns: 0,
        }
    }

    /// Takes what was read.
    pub fn feed(&mut self, input: &[u8]) {
        match self.state {
            State::Over => {}
            // RFC 3207 §6: what came in clear must not be heard behind the handshake.
            State::ShakingHands => self.give_up(Broken::Unsolicited),
            _ => self.reader.feed(input),
        }
    }

    /// Goes on until there is something to tell, or more must be written or read (`None`).
    pub fn next_event(&mut self) -> Option<Event> {
        while self.event.is_none() && self.turn() {}
        self.event.take()
    }

    /// What is to be written, in this order: commands, a message, its end. Then
    /// [`Client::wrote`].
    pub fn output(&self) -> [&[u8]; 3] {
        let [body, end] = self.transaction.as_ref().map_or([&[][..]; 2], Transaction::output);
        [&self.outbox[self.outbox_sent..], body, end]
    }

    /// Whether anything is to be written.
    pub fn has_output(&self) -> bool {
        self.output().iter().any(|piece| !piece.is_empty())
    }

    /// The first `count` octets of the output were written.
    pub fn wrote(&mut self, count: usize) {
        let commands = count.min(self.outbox.len() - self.outbox_sent);
        self.outbox_sent += commands;
        if self.outbox_sent == self.outbox.len() {
            self.clear_outbox();
        }
        if let Some(transaction) = &mut self.transaction {
            transaction.wrote(count - commands);
        }
    }

    /// Answers [`Event::StartTls`]: the handshake is done. All that was said in clear is forgotten
    /// (RFC 3207 §4.2).
    pub fn tls_established(&mut self) {
        if self.state == State::ShakingHands {
            self.state = State::Opening;
            self.protected = true;
            self.extensions = Extensions::default();
            self.server_name.clear();
            self.say_ehlo();
        }
    }

    /// Begins a transaction; only when [`Client::is_ready`].
    pub fn begin(&mut self, envelope: Arc<Envelope>) {
        let (lack, empty) = (envelope.lack(&self.extensions), envelope.recipients.is_empty());
        self.transaction = Some(Transaction::new(envelope));
        if self.state != State::Ready {
            self.give_up(Broken::Closed);
        } else if let Some(lack) = lack {
            self.end_transaction(|| Verdict::Lacking(lack));
        } else if empty {
            self.end_transaction(|| Verdict::Broken(Broken::Closed));
        } else if self.reader.has_unread() {
            self.give_up(Broken::Unsolicited);
        } else {
            self.state = State::Busy;
            self.begin_transaction();
        }
    }

    /// Says QUIT, if there is anybody to say it to.
    pub fn quit(&mut self) {
        if matches!(self.state, State::Ready | State::Leaving) {
            self.state = State::Quitting;
            self.say(b"QUIT\r\n", Awaited::Quit);
        } else {
            self.state = State::Over;
        }
    }

    /// Ends the session for a reason that the driver has: the connection is closed, or time is up.
    pub fn give_up(&mut self, why: Broken) {
        self.state = State::Over;
        self.pending.clear();
        self.clear_outbox();
        match self.transaction.take() {
            Some(transaction) => self.event = Some(Event::Done(transaction.break_off(&why))),
            // A transaction that has just ended stands.
            None if matches!(self.event, Some(Event::Done(_))) => {}
            None => self.event = Some(Event::Broken(why)),
        }
    }

    /// Ends the session where the server has said all it had to say and still listens: it is told
    /// goodbye like others (RFC 5321 §3.1, §4.1.1.10).
    fn leave(&mut self, why: Broken) {
        self.give_up(why);
        if !self.reader.has_unread() {
            self.state = State::Leaving;
        }
    }

    /// Whether a transaction may begin. Not where the server has already said something more.
    pub fn is_ready(&self) -> bool {
        self.state == State::Ready && !self.reader.has_unread()
    }

    /// Whether the connection is protected by TLS.
    pub fn is_protected(&self) -> bool {
        self.protected
    }

    /// What the server offers.
    pub fn extensions(&self) -> &Extensions {
        &self.extensions
    }

    /// The name that the server calls itself by, in lower case; empty before it was heard.
    pub fn server_name(&self) -> &str {
        &self.server_name
    }

    /// Counts replies; a driver's patience begins anew when it changes.
    pub fn turns(&self) -> u64 {
        self.turns
    }

    /// What the session waits for.
    pub fn waiting(&self) -> Waiting {
        if self.transaction.as_ref().is_some_and(Transaction::is_sending) {
            return Waiting::DataBlock;
        }
        match (self.state, self.pending.front()) {
            (State::Over, _) => Waiting::Closed,
            (_, None) => Waiting::Driver,
            (_, Some(awaited)) => match awaited {
                Awaited::Greeting => Waiting::Greeting,
                Awaited::Ehlo | Awaited::Helo => Waiting::Hello,
                Awaited::StartTls => Waiting::StartTls,
                Awaited::AuthPlain | Awaited::AuthLogin(_) => Waiting::Auth,
                Awaited::Reset | Awaited::Mail => Waiting::Mail,
                Awaited::Rcpt(_) => Waiting::Rcpt,
                Awaited::Data => Waiting::DataStart,
                Awaited::End => Waiting::DataEnd,
                Awaited::Quit => Waiting::Quit,
            },
        }
    }

    /// Takes one reply. `false`: nothing more can be done without input.
    fn turn(&mut self) -> bool {
        if matches!(self.state, State::Over | State::ShakingHands | State::Leaving) {
            return false;
        }
        match self.reader.next() {
            Ok(None) => return false,
            Ok(Some((reply, lines))) => {
                self.turns += 1;
                match self.pending.pop_front() {
                    // RFC 5321 §3.8: it may come at any time and means the end.
                    _ if reply.code == 421 => self.closing(reply),
                    Some(awaited) => self.take(awaited, reply, &lines),
                    None => self.give_up(Broken::Unsolicited),
                }
            }
            Err(error) => self.give_up(Broken::Malformed(error)),
        }
        true
    }

    fn closing(&mut self, reply: Reply) {
        if let Some(transaction) = &mut self.transaction {
            transaction.refuse_rest(&reply);
        }
        self.give_up(Broken::Refused(reply));
    }

    fn take(&mut self, awaited: Awaited, reply: Reply, lines: &[Vec<u8>]) {
        match awaited {
            Awaited::Greeting => self.take_greeting(reply, lines),
            Awaited::Ehlo => self.take_ehlo(reply, lines),
            Awaited::Helo if reply.is_positive() => self.after_hello(),
            Awaited::Helo => self.refused(reply),
            Awaited::StartTls => self.take_starttls(reply),
            Awaited::AuthPlain => self.take_login_end(reply),
            Awaited::AuthLogin(step) => self.take_login(step, reply),
            Awaited::Quit => self.state = State::Over,
            Awaited::Reset | Awaited::Mail | Awaited::Rcpt(_) | Awaited::Data | Awaited::End => {
                self.take_in_transaction(awaited, reply)
            }
        }
    }

    fn take_greeting(&mut self, reply: Reply, lines: &[Vec<u8>]) {
        match reply.code {
            220 => {
                self.server_name = first_word(lines);
                self.say_ehlo();
            }
            _ => self.refused(reply),
        }
    }

    fn take_ehlo(&mut self, reply: Reply, lines: &[Vec<u8>]) {
        if reply.is_positive() {
            self.server_name = first_word(lines);
            self.extensions = Extensions::read(lines.get(1..).unwrap_or_default());
            self.after_hello();
        } else if reply.is_permanent() && reply.code != 521 {
            // RFC 5321 §3.2: an old server.
            let line = format!("HELO {}\r\n", self.options.hostname);
            self.say(line.as_bytes(), Awaited::Helo);
        } else {
            self.refused(reply);
        }
    }

    fn after_hello(&mut self) {
        let wants_tls = !self.protected && self.options.security != Security::Never;
        if wants_tls && self.extensions.starttls {
            self.say(b"STARTTLS\r\n", Awaited::StartTls);
        } else if wants_tls && self.options.security == Security::Must {
            self.leave(Broken::NoTls(None));
        } else {
            self.log_in();
        }
    }

    fn take_starttls(&mut self, reply: Reply) {
        if reply.code == 220 {
            // CVE-2011-0411 and its kin, from the other side: replies sent in clear behind this one
            // would be heard as if they had come protected.
            if self.reader.has_unread() {
                return self.give_up(Broken::Unsolicited);
            }
            self.state = State::ShakingHands;
            self.event = Some(Event::StartTls);
        } else if reply.code < 400 {
            self.give_up(Broken::OutOfPlace(reply));
        } else if self.options.security == Security::Must {
            self.leave(Broken::NoTls(Some(reply)));
        } else {
            self.log_in();
        }
    }

    /// RFC 4954, where there is a login; then all is ready.
    fn log_in(&mut self) {
        let options = Arc::clone(&self.options);
        let Some(credential) = &options.credential else {
            return self.ready();
        };
        if !self.protected {
            self.leave(Broken::NoTls(None));
        } else if self.extensions.auth_plain {
            let password = credential.password.expose();
            // RFC 4616 §2: an empty authorisation identity.
            let parts = [b"\0", credential.user.as_bytes(), b"\0", password];
            let response = Zeroizing::new(parts.concat());
            self.say_secret("AUTH PLAIN ", &response, Awaited::AuthPlain);
        } else if self.extensions.auth_login {
            self.say(b"AUTH LOGIN\r\n", Awaited::AuthLogin(LoginStep::User));
        } else {
            self.leave(Broken::NoLogin);
        }
    }

    fn take_login(&mut self, step: LoginStep, reply: Reply) {
        let options = Arc::clone(&self.options);
        match (step, &options.credential) {
            (LoginStep::User, Some(credential)) if reply.code == 334 => {
                let next = Awaited::AuthLogin(LoginStep::Password);
                self.say_secret("", credential.user.as_bytes(), next);
            }
            (LoginStep::Password, Some(credential)) if reply.code == 334 => {
                let next = Awaited::AuthLogin(LoginStep::Nothing);
                self.say_secret("", credential.password.expose(), next);
            }
            (LoginStep::User | LoginStep::Password, _) if reply.code < 400 => {
                self.give_up(Broken::OutOfPlace(reply));
            }
            _ => self.take_login_end(reply),
        }
    }

    fn take_login_end(&mut self, reply: Reply) {
        match reply.code {
            235 => self.ready(),
            _ => self.refused(reply),
        }
    }

    fn ready(&mut self) {
        self.state = State::Ready;
        self.event = Some(Event::Ready);
    }

    /// The server says no to the session as such.
    fn refused(&mut self, reply: Reply) {
        match reply.code {
            // Nobody knows what it waits for now.
            ..400 => self.give_up(Broken::OutOfPlace(reply)),
            _ => self.leave(Broken::Refused(reply)),
        }
    }

    fn say_ehlo(&mut self) {
        let line = format!("EHLO {}\r\n", self.options.hostname);
        self.say(line.as_bytes(), Awaited::Ehlo);
    }

    /// Says something that must be answered before anything else is said. What is already there
    /// cannot be an answer to it.
    pub(super) fn say(&mut self, line: &[u8], awaited: Awaited) {
        if self.reader.has_unread() {
            return self.give_up(Broken::Unsolicited);
        }
        self.outbox.extend_from_slice(line);
        self.pending.push_back(awaited);
    }

    fn say_secret(&mut self, verb: &str, secret: &[u8], awaited: Awaited) {
        let text = Zeroizing::new(STANDARD.encode(secret));
        let line = Zeroizing::new([verb.as_bytes(), text.as_bytes(), b"\r\n"].concat());
        self.outbox_is_secret = true;
        // Reserved whole, so that no copy is left behind by growth.
        self.outbox.reserve_exact(line.len());
        self.say(&line, awaited);
    }

    fn clear_outbox(&mut self) {
        if std::mem::take(&mut self.outbox_is_secret) {
            self.outbox.zeroize();
        }
        self.outbox.clear();
        self.outbox_sent = 0;
    }
}

/// The name at the start of a greeting or of the answer to EHLO.
fn first_word(lines: &[Vec<u8>]) -> String {
    let line = lines.first().map_or(&[][..], Vec::as_slice);
    let word = line.split(|octet| *octet == b' ').next().unwrap_or_default();
    let keep = |b: &u8| b.is_ascii_alphanumeric() || b"-._:[]".contains(b);
    let name: String = word.iter().take(255).filter(|b| keep(b)).map(|b| char::from(*b)).collect();
    name.to_ascii_lowercase()
}
