//! All that the server says, in one table: code (RFC 5321 §4.2), enhanced code (RFC 3463), text.

/// A reply of one line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Reply {
    /// The three digits.
    pub code: u16,
    /// The enhanced code; empty where RFC 2034 has none.
    pub enhanced: &'static str,
    /// The text.
    pub text: &'static str,
}

impl Reply {
    /// Whether it says that something will not be done, now or ever.
    pub fn is_refusal(&self) -> bool {
        self.code >= 400
    }

    /// Appends it to `out` as it goes over the wire.
    pub(super) fn write(&self, out: &mut Vec<u8>) {
        let gap = if self.enhanced.is_empty() { "" } else { " " };
        let line = format!("{} {}{gap}{}\r\n", self.code, self.enhanced, self.text);
        out.extend_from_slice(line.as_bytes());
    }
}

/// Octets of a reply's text at most: with codes and line end it stays below the 512 of RFC 5321
/// §4.5.3.1.5.
const TEXT_BYTES_MAX: usize = 400;

/// A reply whose words are made for the occasion.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Answer {
    code: u16,
    enhanced: String,
    text: String,
}

impl Answer {
    /// A reply of one line. `enhanced` is an enhanced code as in `5.7.1`; one that does not fit
    /// `code` or is none becomes the code of nothing in particular (RFC 3463 §3.1). What a reply
    /// cannot hold is replaced in `text`, and what is too long cut off.
    pub fn new(code: u16, enhanced: &str, text: &str) -> Answer {
        let class = code / 100;
        let fits = enhanced.split('.').count() == 3
            && enhanced.len() <= "5.999.999".len()
            && enhanced.split('.').all(|n| !n.is_empty() && n.bytes().all(|b| b.is_ascii_digit()))
            && enhanced.starts_with(&format!("{class}."));
        let enhanced = if fits { enhanced.to_owned() } else { format!("{class}.0.0") };
        let clean = |c: char| if c == ' ' || c.is_ascii_graphic() { c } else { '?' };
        Answer { code, enhanced, text: text.chars().take(TEXT_BYTES_MAX).map(clean).collect() }
    }

    /// The three digits.
    pub fn code(&self) -> u16 {
        self.code
    }

    /// The enhanced code.
    pub fn enhanced(&self) -> &str {
        &self.enhanced
    }

    /// Appends it to `out` as it goes over the wire.
    pub(super) fn write(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(
            format!("{} {} {}\r\n", self.code, self.enhanced, self.text).as_bytes(),
        );
    }
}

impl From<Reply> for Answer {
    fn from(reply: Reply) -> Answer {
        Answer { code: reply.code, enhanced: reply.enhanced.into(), text: reply.text.into() }
    }
}

macro_rules! table {
    ($($(#[$doc:meta])* $name:ident = $code:literal $enhanced:literal $text:literal;)*) => {
        /// The table.
        pub mod replies {
            use super::Reply;
            $(
                $(#[$doc])*
                #[doc = concat!("`", $code, " ", $enhanced, " ", $text, "`")]
                pub const $name: Reply = Reply { code: $code, enhanced: $enhanced, text: $text };
            )*
            #[cfg(test)]
            pub(super) const ALL: &[Reply] = &[$($name),*];
        }
    };
}

table! {
    HELP = 214 "2.0.0" "See RFC 5321";
    READY_FOR_TLS = 220 "2.0.0" "Go ahead";
    BYE = 221 "2.0.0" "Bye";
    LOGGED_IN = 235 "2.7.0" "You are logged in";
    OK = 250 "2.0.0" "Ok";
    SENDER_OK = 250 "2.1.0" "Sender ok";
    RECIPIENT_OK = 250 "2.1.5" "Recipient ok";
    CHUNK_OK = 250 "2.0.0" "The piece has come, send the next";
    ACCEPTED = 250 "2.0.0" "Message accepted";
    /// RFC 5321 §7.3: addresses are not confirmed.
    NOT_VERIFIED = 252 "2.0.0" "Send mail and find out";
    SEND_DATA = 354 "" "Send the message, end with a dot on a line of its own";

    SHUTTING_DOWN = 421 "4.3.2" "This server is being stopped, try again soon";
    IDLE_TOO_LONG = 421 "4.4.2" "Waited too long";
    TOO_MANY_SESSIONS = 421 "4.7.0" "Too many sessions, try again later";
    TOO_MANY_ERRORS = 421 "4.7.0" "Too many errors";
    TOO_MANY_COMMANDS = 421 "4.7.0" "Too many commands";
    SESSION_TOO_LARGE = 421 "4.7.0" "Too much for one session";
    TOO_MANY_LOGINS = 421 "4.7.0" "Too many failed logins";
    STORE_UNAVAILABLE = 451 "4.3.0" "The message cannot be stored now, try again later";
    SENDER_UNCHECKED = 451 "4.3.0" "The sender's address cannot be checked now, try again later";
    MAILBOX_UNAVAILABLE = 451 "4.3.0" "The mailbox cannot be reached now, try again later";
    MISCONFIGURED = 451 "4.3.5" "The recipient's address is misconfigured here";
    MAILBOX_FULL = 452 "4.2.2" "The mailbox is full";
    NO_ROOM = 452 "4.3.1" "No room for the message now, try again later";
    TOO_MANY_MESSAGES = 451 "4.7.1" "You have sent too many messages, try again later";
    TOO_MANY_RECIPIENTS_SENT = 452 "4.7.1" "You have written to too many, try again later";
    TOO_MANY_RECIPIENTS = 452 "4.5.3" "Too many recipients in one message, send the rest later";
    TLS_UNAVAILABLE = 454 "4.7.0" "TLS is not available now";
    LOGIN_UNAVAILABLE = 454 "4.7.0" "Logins cannot be checked now, try again later";

    UNKNOWN_COMMAND = 500 "5.5.2" "Unknown command";
    LINE_TOO_LONG = 500 "5.5.2" "The line is too long";
    BARE_NEWLINE = 500 "5.5.2" "Lines must end in CR LF; a CR or LF alone is refused";
    BAD_OCTETS = 500 "5.5.2" "The command holds octets that are not allowed";
    BAD_ARGUMENTS = 501 "5.5.4" "The arguments do not have the command's form";
    BAD_SENDER = 501 "5.1.7" "The sender's address does not have the form <local@domain>";
    BAD_RECIPIENT = 501 "5.1.3" "The recipient's address does not have the form <local@domain>";
    BAD_BASE64 = 501 "5.5.2" "The response is not base64";
    BAD_RESPONSE = 501 "5.5.2" "The response does not have the mechanism's form";
    LOGIN_CANCELLED = 501 "5.7.0" "The login was given up";
    NOT_IMPLEMENTED = 502 "5.5.1" "The command is not implemented";
    EHLO_FIRST = 503 "5.5.1" "EHLO comes first";
    MAIL_FIRST = 503 "5.5.1" "MAIL comes first";
    NESTED_MAIL = 503 "5.5.1" "The sender is already named";
    OUT_OF_PLACE = 503 "5.5.1" "The command does not belong here";
    NO_RECIPIENTS = 554 "5.5.1" "No recipient was accepted";
    UNKNOWN_MECHANISM = 504 "5.5.4" "The mechanism is not offered";
    TLS_FIRST = 530 "5.7.0" "STARTTLS comes first";
    LOGIN_FIRST = 530 "5.7.0" "Log in first";
    LOGIN_REFUSED = 535 "5.7.8" "The user or the password is wrong";
    LOGIN_NEEDS_TLS = 538 "5.7.11" "STARTTLS comes before logging in";
    NO_SUCH_MAILBOX = 550 "5.1.1" "No such mailbox here";
    NOT_YOUR_ADDRESS = 553 "5.7.1" "The sender is not an address of yours";
    NO_LITERALS = 550 "5.1.2" "Mail is not sent to address literals, name a domain";
    NO_RELAYING = 550 "5.7.1" "relaying is not offered";
    BARE_NEWLINE_IN_MESSAGE = 550 "5.6.0" "The message holds a CR or LF alone (RFC 5321 2.3.8)";
    NUL_IN_MESSAGE = 550 "5.6.0" "The message holds a NUL octet (RFC 5322 4)";
    MESSAGE_TOO_LARGE = 552 "5.3.4" "The message is too large";
    NEEDS_UTF8 = 553 "5.6.7" "The address is in UTF-8, which needs the parameter SMTPUTF8 of MAIL";
    PIPELINED = 554 "5.5.0" "Something was sent before it was asked for";
    TOO_MANY_HOPS = 554 "5.4.6" "The message has been through too many servers; it loops";
    UNKNOWN_PARAMETER = 555 "5.5.4" "The parameter is not offered";
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn answers_are_one_line_whatever_they_are_made_of() {
        let wire = |answer: Answer| {
            let mut out = Vec::new();
            answer.write(&mut out);
            String::from_utf8(out).unwrap()
        };
        let plain = Answer::new(523, "5.7.10", "No key for <x@y.example>");
        assert_eq!(wire(plain), "523 5.7.10 No key for <x@y.example>\r\n");
        for odd in ["4.7.10", "5.7", "5.7.x", "5..1", "5.7.1\r\n250 ok", "5.7.1000000", ""] {
            assert_eq!(wire(Answer::new(550, odd, "a\r\nb\u{fc}")), "550 5.0.0 a??b?\r\n", "{odd}");
        }
        let long = wire(Answer::new(550, "5.7.1", &"\u{fc}x".repeat(1000)));
        assert!(long.len() <= 512 && long.ends_with("\r\n"));
        assert_eq!(
            wire(replies::NO_ROOM.into()),
            wire(Answer::new(452, "4.3.1", replies::NO_ROOM.text))
        );
    }

    #[test]
    fn every_reply_has_the_form_of_rfc_5321_and_2034() {
        for reply in replies::ALL {
            assert!((200..600).contains(&reply.code), "{reply:?}");
            assert!(reply.text.bytes().all(|b| b.is_ascii_graphic() || b == b' '), "{reply:?}");
            let mut wire = Vec::new();
            reply.write(&mut wire);
            // RFC 5321 §4.5.3.1.5: a reply line has 512 octets at most.
            assert!(wire.len() <= 512 && wire.ends_with(b"\r\n"));
            if reply.code / 100 == 3 {
                assert_eq!(reply.enhanced, "");
            } else {
                // RFC 3463 §2: class of code and enhanced code are the same.
                let class = reply.enhanced.split('.').next().and_then(|c| c.parse().ok());
                assert_eq!(class, Some(reply.code / 100), "{reply:?}");
                assert_eq!(reply.enhanced.split('.').count(), 3);
            }
        }
    }
}
