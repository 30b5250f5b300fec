//! What each command does, and what the driver's answers lead to.

use super::chunk::{Chunk, Chunks};
use super::command::{Command, Mail, Rcpt, is_bdat, parse};
use super::data::Unstuffer;
use super::limits::AUTH_FAILURES_MAX;
use super::reply::{Answer, Reply, replies};
use super::session::{
    Ending, Event, Framing, Helo, Question, Receiving, Recipient, Session, State, Transaction,
};
use super::{BareNewlines, ListenerKind};
use crate::base::secret::SecretBytes;

/// Octets that are set aside for a message because SIZE declared them; the rest as they come.
const RESERVE_BYTES_MAX: u64 = 64 * 1024;

/// Octets from which on a piece of a message is not counted as a command: large messages come in
/// thousands of such pieces.
const CHUNK_BYTES: u64 = 4096;

/// How an AUTH exchange ends.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum AuthAnswer {
    /// The credential is right; this is who it is.
    Accepted(String),
    /// It is wrong.
    Refused,
    /// The response does not have the mechanism's form.
    Malformed,
    /// The response is not base64.
    BadBase64,
    /// The client has given up.
    Cancelled,
    /// It cannot be checked now.
    TryLater,
}

impl<R> Session<R> {
    /// Answers [`Event::StartTls`]: the handshake is done. All that was said in clear is forgotten
    /// (RFC 3207 §4.2).
    pub fn tls_established(&mut self) {
        if let State::Asked(Question::Tls) = self.state {
            self.protected = true;
            (self.helo, self.user) = (None, None);
            self.forget_transaction();
            self.forget_input();
            self.state = State::Command;
        }
    }

    /// Answers [`Event::Auth`] or [`Event::AuthLine`]: the exchange goes on. `text` is base64.
    pub fn challenge(&mut self, text: &str) {
        if matches!(self.state, State::Asked(Question::Login)) {
            self.outbox.extend_from_slice(format!("334 {text}\r\n").as_bytes());
            self.state = State::Auth;
        }
    }

    /// Answers [`Event::Auth`] or [`Event::AuthLine`]: the exchange has ended.
    pub fn answer_login(&mut self, answer: AuthAnswer) {
        if !matches!(self.state, State::Asked(Question::Login)) {
            return;
        }
        self.state = State::Command;
        match answer {
            AuthAnswer::Accepted(user) => {
                self.user = Some(user);
                self.say(replies::LOGGED_IN);
            }
            AuthAnswer::TryLater => self.say(replies::LOGIN_UNAVAILABLE),
            AuthAnswer::Refused => self.login_failed(replies::LOGIN_REFUSED),
            AuthAnswer::Malformed => self.login_failed(replies::BAD_RESPONSE),
            AuthAnswer::BadBase64 => self.refuse_command(replies::BAD_BASE64),
            AuthAnswer::Cancelled => self.refuse_command(replies::LOGIN_CANCELLED),
        }
    }

    /// Answers [`Event::Sender`].
    pub fn answer_sender(&mut self, answer: Result<(), Reply>) {
        if !matches!(self.state, State::Asked(Question::Sender(_))) {
            return;
        }
        let State::Asked(Question::Sender(mail)) =
            std::mem::replace(&mut self.state, State::Command)
        else {
            return;
        };
        match answer {
            Ok(()) => self.begin_transaction(*mail),
            Err(reply) => self.refuse_command(reply),
        }
    }

    /// Answers [`Event::Recipient`].
    pub fn answer_recipient(&mut self, answer: Result<R, Reply>) {
        if !matches!(self.state, State::Asked(Question::Recipient { .. })) {
            return;
        }
        let State::Asked(Question::Recipient { path, notify, original }) =
            std::mem::replace(&mut self.state, State::Command)
        else {
            return;
        };
        match (answer, &mut self.transaction) {
            (Ok(tag), Some(transaction)) => {
                transaction.recipients.push(Recipient { path, notify, original, tag });
                self.say(replies::RECIPIENT_OK);
            }
            (Ok(_), None) => self.refuse_command(replies::MAIL_FIRST),
            (Err(reply), _) => self.refuse_command(reply),
        }
    }

    /// Answers [`Event::Message`]: it may come. `prefix` (trace fields) stands in front of it.
    pub fn begin_message(&mut self, prefix: Vec<u8>) {
        let State::Asked(Question::Message { chunk }) = self.state else { return };
        let Some(mut transaction) = self.transaction.take() else { return };
        let prefix_bytes = prefix.len();
        transaction.message = prefix;
        let declared = transaction.declared_bytes.map_or(0, |bytes| bytes.min(RESERVE_BYTES_MAX));
        transaction.message.reserve(declared as usize);
        let normalise = self.options.bare_newlines == BareNewlines::Normalise;
        let framing = match chunk {
            None => Framing::Dots(Unstuffer::new(normalise)),
            Some(chunk) => Framing::Chunks(Chunks::new(chunk, normalise)),
        };
        let receiving = Receiving { transaction, framing, prefix_bytes, fault: None };
        self.state = State::Data(Box::new(receiving));
        if chunk.is_none() {
            self.say(replies::SEND_DATA);
        }
    }

    /// Answers [`Event::Message`]: it may not come. The transaction is over.
    pub fn refuse_message(&mut self, reply: Reply) {
        if let State::Asked(Question::Message { chunk }) = self.state {
            self.state = State::Command;
            self.transaction = None;
            match chunk {
                None => self.refuse_command(reply),
                Some(chunk) => self.skip(chunk, reply),
            }
        }
    }

    /// The message that is coming in cannot be held any longer: it is refused at its end.
    pub fn abandon_message(&mut self, reply: Reply) {
        match (&mut self.state, &mut self.partial) {
            (State::Data(receiving), _) | (_, Some(receiving)) => receiving.fail(reply),
            _ => {}
        }
    }

    /// Answers [`Event::Received`]. `Ok` only if every copy is durable.
    pub fn answer_message(&mut self, answer: Result<(), Answer>) {
        if !matches!(self.state, State::Asked(Question::Stored)) {
            return;
        }
        self.state = State::Command;
        match answer {
            Ok(()) => {
                // A connection that is used again and again (lists, large senders) is no attack.
                (self.commands, self.errors) = (0, 0);
                self.say(replies::ACCEPTED);
            }
            Err(answer) => {
                answer.write(&mut self.outbox);
                self.count_refusal(answer.code());
            }
        }
    }

    /// Takes a line: a command, or a response within AUTH.
    pub(super) fn line(&mut self, line: &[u8]) {
        if matches!(self.state, State::Auth) {
            let event = Event::AuthLine(SecretBytes::new(line.to_vec()));
            return self.ask(Question::Login, event);
        }
        self.commands += 1;
        if self.commands > self.options.commands_max {
            return self.end(replies::TOO_MANY_COMMANDS, Ending::TooMuch);
        }
        match parse(line) {
            Ok(command) => self.obey(command),
            Err(reply) if is_bdat(line) => self.end(reply, Ending::Bdat),
            Err(reply) => self.refuse_command(reply),
        }
    }

    /// Says no, and ends the session if that was once too often.
    pub(super) fn refuse_command(&mut self, reply: Reply) {
        self.say(reply);
        self.count_refusal(reply.code);
    }

    /// A 4xx answer is not the client's mistake.
    fn count_refusal(&mut self, code: u16) {
        self.errors += u32::from(code >= 500);
        if self.errors >= self.options.errors_max {
            self.end(replies::TOO_MANY_ERRORS, Ending::TooMuch);
        }
    }

    /// CRLF.CRLF has come, or all of a piece.
    pub(super) fn message_ended(&mut self) {
        let State::Data(receiving) = std::mem::replace(&mut self.state, State::Command) else {
            return;
        };
        match (receiving.fault, &receiving.framing) {
            // The other side may see more than one message here; nothing more is heard from it.
            (Some(reply), Framing::Dots(_)) if reply == replies::BARE_NEWLINE_IN_MESSAGE => {
                self.end(reply, Ending::BareNewline);
            }
            // Pieces are counted, so that both sides agree on where they end.
            (Some(reply), _) => self.refuse_command(reply),
            (None, Framing::Chunks(chunks)) if !chunks.last => {
                self.partial = Some(receiving);
                self.say(replies::CHUNK_OK);
            }
            (None, _) => self.ask(Question::Stored, Event::Received(receiving.transaction)),
        }
    }

    fn obey(&mut self, command: Command) {
        match command {
            Command::Helo(name) => self.helo_command(name, false),
            Command::Ehlo(name) => self.helo_command(name, true),
            Command::Mail(mail) => self.mail(mail),
            Command::Rcpt(rcpt) => self.rcpt(rcpt),
            Command::Data => self.data(),
            Command::Rset => {
                self.forget_transaction();
                self.say(replies::OK);
            }
            Command::Noop => self.say(replies::OK),
            Command::Help => self.say(replies::HELP),
            Command::Vrfy => self.say(replies::NOT_VERIFIED),
            Command::Expn => self.refuse_command(replies::NOT_IMPLEMENTED),
            Command::Quit => self.end(replies::BYE, Ending::Quit),
            Command::StartTls => self.starttls(),
            Command::Auth { mechanism, initial } => self.auth(&mechanism, initial),
            Command::Bdat(chunk) => self.bdat(chunk),
        }
    }

    fn ask(&mut self, question: Question, event: Event<R>) {
        self.state = State::Asked(question);
        self.event = Some(event);
    }

    fn forget_transaction(&mut self) {
        (self.transaction, self.partial) = (None, None);
    }

    /// RFC 5321 §4.1.4: EHLO in the midst of a transaction ends it.
    fn helo_command(&mut self, name: String, extended: bool) {
        self.forget_transaction();
        let mut lines = vec![self.options.hostname.clone()];
        if extended {
            lines.extend(self.extensions());
        }
        for (at, line) in lines.iter().enumerate() {
            let gap = if at + 1 < lines.len() { '-' } else { ' ' };
            self.outbox.extend_from_slice(format!("250{gap}{line}\r\n").as_bytes());
        }
        self.helo = Some(Helo { name, extended });
    }

    fn extensions(&self) -> Vec<String> {
        let mut out = vec![
            "PIPELINING".to_owned(),
            format!("SIZE {}", self.options.message_bytes_max),
            "8BITMIME".to_owned(),
            "ENHANCEDSTATUSCODES".to_owned(),
            "SMTPUTF8".to_owned(),
            "CHUNKING".to_owned(),
        ];
        // RFC 3461 §5.2.3: who offers it to other servers owes them reports of success, and sends
        // none; theirs then say "relayed" (§5.2.2). What is asked for all the same is read.
        if self.options.kind.needs_auth() {
            out.push("DSN".to_owned());
        }
        if self.options.tls_offered && !self.protected {
            out.push("STARTTLS".to_owned());
        }
        if self.options.kind.needs_auth() && self.protected && self.user.is_none() {
            out.push(format!("AUTH {}", self.options.mechanisms.join(" ")));
        }
        out
    }

    fn mail(&mut self, mail: Mail) {
        if let Some(reply) = self.not_yet() {
            return self.refuse_command(reply);
        }
        if self.transaction.is_some() || self.partial.is_some() {
            return self.refuse_command(replies::NESTED_MAIL);
        }
        // RFC 1870 §6.1: what is declared too large need not be sent to be refused.
        if mail.declared_bytes.is_some_and(|bytes| bytes > self.options.message_bytes_max) {
            return self.refuse_command(replies::MESSAGE_TOO_LARGE);
        }
        if self.options.kind.needs_auth() {
            let event = Event::Sender(mail.from.clone());
            return self.ask(Question::Sender(Box::new(mail)), event);
        }
        self.begin_transaction(mail);
    }

    fn begin_transaction(&mut self, mail: Mail) {
        self.transaction = Some(Transaction {
            from: mail.from,
            declared_bytes: mail.declared_bytes,
            body: mail.body,
            utf8: mail.utf8,
            dsn_return: mail.dsn_return,
            envelope_id: mail.envelope_id,
            recipients: Vec::new(),
            message: Vec::new(),
        });
        self.say(replies::SENDER_OK);
    }

    /// What must come before mail.
    fn not_yet(&self) -> Option<Reply> {
        if self.needs_tls() {
            Some(replies::TLS_FIRST)
        } else if self.options.kind.needs_auth() && self.user.is_none() {
            // RFC 6409 §4.3.
            Some(replies::LOGIN_FIRST)
        } else if self.helo.is_none() {
            Some(replies::EHLO_FIRST)
        } else {
            None
        }
    }

    fn rcpt(&mut self, rcpt: Rcpt) {
        let Some(transaction) = &self.transaction else {
            return self.refuse_command(self.not_yet().unwrap_or(replies::MAIL_FIRST));
        };
        // RFC 5321 §4.5.3.1.10.
        if transaction.recipients.len() >= self.options.recipients_max {
            return self.refuse_command(replies::TOO_MANY_RECIPIENTS);
        }
        let Rcpt { path, notify, original, in_utf8 } = rcpt;
        if in_utf8 && !transaction.utf8 {
            return self.refuse_command(replies::NEEDS_UTF8);
        }
        let event = Event::Recipient(path.clone());
        self.ask(Question::Recipient { path, notify, original }, event);
    }

    fn data(&mut self) {
        // RFC 3030 §2: the two are not mixed in one transaction.
        if self.partial.is_some() {
            return self.refuse_command(replies::OUT_OF_PLACE);
        }
        let Some(transaction) = &self.transaction else {
            return self.refuse_command(self.not_yet().unwrap_or(replies::MAIL_FIRST));
        };
        if transaction.recipients.is_empty() {
            return self.refuse_command(replies::NO_RECIPIENTS);
        }
        // RFC 2920 §3.1: DATA is the last of a group, its answer is waited for. Who does not wait
        // does not know that these octets will be taken for the message.
        if self.has_unread() {
            return self.end(replies::PIPELINED, Ending::BehindData);
        }
        let declared_bytes = transaction.declared_bytes;
        self.ask(Question::Message { chunk: None }, Event::Message { declared_bytes });
    }

    /// RFC 3030 §2: whatever the answer, the octets that were announced follow.
    fn bdat(&mut self, chunk: Chunk) {
        self.commands -= u32::from(chunk.bytes >= CHUNK_BYTES);
        let bytes_max = self.options.message_bytes_max;
        if let Some(mut receiving) = self.partial.take() {
            receiving.next_chunk(chunk, bytes_max);
            self.state = State::Data(receiving);
            return;
        }
        let Some(transaction) = &self.transaction else {
            return self.skip(chunk, self.not_yet().unwrap_or(replies::MAIL_FIRST));
        };
        if transaction.recipients.is_empty() {
            return self.skip(chunk, replies::NO_RECIPIENTS);
        }
        if chunk.bytes > bytes_max {
            self.transaction = None;
            return self.skip(chunk, replies::MESSAGE_TOO_LARGE);
        }
        let declared_bytes = transaction.declared_bytes.max(Some(chunk.bytes));
        self.ask(Question::Message { chunk: Some(chunk) }, Event::Message { declared_bytes });
    }

    fn skip(&mut self, chunk: Chunk, reply: Reply) {
        self.state = State::Skip { left: chunk.bytes, reply };
    }

    fn starttls(&mut self) {
        if self.protected || self.options.kind == ListenerKind::Submissions {
            return self.refuse_command(replies::OUT_OF_PLACE);
        }
        if !self.options.tls_offered {
            return self.refuse_command(replies::NOT_IMPLEMENTED);
        }
        // RFC 3207 §4.2 and CVE-2011-0411: commands sent in clear behind STARTTLS would be heard as
        // if they had come protected.
        if self.has_unread() {
            return self.end(replies::PIPELINED, Ending::BehindStartTls);
        }
        self.say(replies::READY_FOR_TLS);
        self.ask(Question::Tls, Event::StartTls);
    }

    fn auth(&mut self, mechanism: &str, initial: Option<Vec<u8>>) {
        if !self.options.kind.needs_auth() {
            return self.refuse_command(replies::NOT_IMPLEMENTED);
        }
        if !self.protected {
            return self.refuse_command(replies::LOGIN_NEEDS_TLS);
        }
        if self.helo.is_none() {
            return self.refuse_command(replies::EHLO_FIRST);
        }
        // RFC 4954 §4: once, and not within a transaction.
        if self.user.is_some() || self.transaction.is_some() || self.partial.is_some() {
            return self.refuse_command(replies::OUT_OF_PLACE);
        }
        let offered = &self.options.mechanisms;
        let Some(mechanism) = offered.iter().find(|name| name.eq_ignore_ascii_case(mechanism))
        else {
            return self.refuse_command(replies::UNKNOWN_MECHANISM);
        };
        let initial = initial.map(SecretBytes::new);
        self.ask(Question::Login, Event::Auth { mechanism, initial });
    }

    fn login_failed(&mut self, reply: Reply) {
        self.auth_failures += 1;
        self.refuse_command(reply);
        if self.auth_failures >= AUTH_FAILURES_MAX {
            self.end(replies::TOO_MANY_LOGINS, Ending::TooMuch);
        }
    }
}
