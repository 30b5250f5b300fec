//! Writes responses into one buffer, which the driver sends when it is large or a command ends.
//!
//! Text that came from outside goes through [`Out::string`] and its kin, which choose between a
//! quoted string and a literal: 8-bit octets, line ends and long texts are literals.
//!
//! # Standards
//! RFC 3501 §7, §9; RFC 5530 (response codes).

use super::value::{MailboxName, Tag, is_astring_char};

/// Quoted strings above this many octets are written as literals: clients read lines into buffers
/// of 1,000 octets and more.
const QUOTED_BYTES_MAX: usize = 512;

/// A response code in brackets.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Code {
    /// None.
    None,
    /// `[ALERT]`
    Alert,
    /// `[ALREADYEXISTS]`
    AlreadyExists,
    /// `[AUTHENTICATIONFAILED]`
    AuthenticationFailed,
    /// `[BADCHARSET (US-ASCII UTF-8)]`
    BadCharset,
    /// `[CANNOT]`
    Cannot,
    /// `[CLIENTBUG]`
    ClientBug,
    /// `[CLOSED]`
    Closed,
    /// `[LIMIT]`
    Limit,
    /// `[NONEXISTENT]`
    NonExistent,
    /// `[OVERQUOTA]`
    OverQuota,
    /// `[PRIVACYREQUIRED]`
    PrivacyRequired,
    /// `[READ-ONLY]`
    ReadOnly,
    /// `[READ-WRITE]`
    ReadWrite,
    /// `[SERVERBUG]`
    ServerBug,
    /// `[TOOBIG]` (RFC 4469)
    TooBig,
    /// `[TRYCREATE]`
    TryCreate,
    /// `[UNAVAILABLE]`
    Unavailable,
}

impl Code {
    fn as_str(self) -> &'static str {
        match self {
            Code::None => "",
            Code::Alert => "[ALERT] ",
            Code::AlreadyExists => "[ALREADYEXISTS] ",
            Code::AuthenticationFailed => "[AUTHENTICATIONFAILED] ",
            Code::BadCharset => "[BADCHARSET (US-ASCII UTF-8)] ",
            Code::Cannot => "[CANNOT] ",
            Code::ClientBug => "[CLIENTBUG] ",
            Code::Closed => "[CLOSED] ",
            Code::Limit => "[LIMIT] ",
            Code::NonExistent => "[NONEXISTENT] ",
            Code::OverQuota => "[OVERQUOTA] ",
            Code::PrivacyRequired => "[PRIVACYREQUIRED] ",
            Code::ReadOnly => "[READ-ONLY] ",
            Code::ReadWrite => "[READ-WRITE] ",
            Code::ServerBug => "[SERVERBUG] ",
            Code::TooBig => "[TOOBIG] ",
            Code::TryCreate => "[TRYCREATE] ",
            Code::Unavailable => "[UNAVAILABLE] ",
        }
    }
}

/// A buffer of responses.
#[derive(Debug, Default)]
pub struct Out {
    buffer: Vec<u8>,
}

impl Out {
    /// An empty buffer.
    pub fn new() -> Out {
        Out::default()
    }

    /// Octets in it.
    pub fn len(&self) -> usize {
        self.buffer.len()
    }

    /// Whether nothing is in it.
    pub fn is_empty(&self) -> bool {
        self.buffer.is_empty()
    }

    /// What is in it.
    pub fn as_bytes(&self) -> &[u8] {
        &self.buffer
    }

    /// Takes out what is in it.
    pub fn take(&mut self) -> Vec<u8> {
        std::mem::take(&mut self.buffer)
    }

    /// Adds what another buffer holds.
    pub fn append(&mut self, other: &mut Out) {
        match self.buffer.is_empty() {
            true => std::mem::swap(&mut self.buffer, &mut other.buffer),
            false => self.buffer.append(&mut other.buffer),
        }
    }

    /// Cuts back to `len` octets: takes back a response that could not be finished.
    pub fn truncate(&mut self, len: usize) {
        self.buffer.truncate(len);
    }

    /// `tag OK [code] text`
    pub fn ok(&mut self, tag: &Tag, code: Code, text: &str) {
        self.status(tag.as_str(), "OK", code, text);
    }

    /// `tag NO [code] text`
    pub fn no(&mut self, tag: &Tag, code: Code, text: &str) {
        self.status(tag.as_str(), "NO", code, text);
    }

    /// `tag BAD text`; without a tag, untagged.
    pub fn bad(&mut self, tag: Option<&Tag>, text: &str) {
        self.status(tag.map_or("*", Tag::as_str), "BAD", Code::None, text);
    }

    /// `* OK [code] text`
    pub fn untagged_ok(&mut self, code: Code, text: &str) {
        self.status("*", "OK", code, text);
    }

    /// `* BYE text`
    pub fn bye(&mut self, code: Code, text: &str) {
        self.status("*", "BYE", code, text);
    }

    /// `+ text`
    pub fn go_on(&mut self, text: &str) {
        self.raw("+ ");
        self.raw(text);
        self.crlf();
    }

    /// A whole line of ours: `text` and CRLF.
    pub fn line(&mut self, text: &str) {
        self.raw(text);
        self.crlf();
    }

    fn status(&mut self, tag: &str, word: &str, code: Code, text: &str) {
        self.raw(tag);
        self.raw(" ");
        self.raw(word);
        self.raw(" ");
        self.raw(code.as_str());
        self.raw(text);
        self.crlf();
    }

    /// Words of ours, as they are.
    pub fn raw(&mut self, text: &str) {
        self.buffer.extend_from_slice(text.as_bytes());
    }

    /// One octet of ours.
    pub fn byte(&mut self, byte: u8) {
        self.buffer.push(byte);
    }

    /// CRLF.
    pub fn crlf(&mut self) {
        self.buffer.extend_from_slice(b"\r\n");
    }

    /// A number.
    pub fn number(&mut self, number: u64) {
        let mut digits = [0; 20];
        let mut at = digits.len();
        let mut rest = number;
        loop {
            at -= 1;
            digits[at] = b'0' + (rest % 10) as u8;
            rest /= 10;
            if rest == 0 {
                break;
            }
        }
        self.buffer.extend_from_slice(&digits[at..]);
    }

    /// `string`: quoted where it can be.
    pub fn string(&mut self, octets: &[u8]) {
        let plain = |&byte: &u8| matches!(byte, 0x20..=0x7e);
        if octets.len() > QUOTED_BYTES_MAX || !octets.iter().all(plain) {
            return self.text_literal(octets);
        }
        self.buffer.push(b'"');
        for &byte in octets {
            if matches!(byte, b'"' | b'\\') {
                self.buffer.push(b'\\');
            }
            self.buffer.push(byte);
        }
        self.buffer.push(b'"');
    }

    /// `nstring`
    pub fn nstring(&mut self, octets: Option<&[u8]>) {
        match octets {
            Some(octets) => self.string(octets),
            None => self.raw("NIL"),
        }
    }

    /// `astring`: an atom where it can be.
    pub fn astring(&mut self, octets: &[u8]) {
        let atom = !octets.is_empty()
            && octets.len() <= QUOTED_BYTES_MAX
            && octets.iter().all(|&byte| is_astring_char(byte))
            && !octets.eq_ignore_ascii_case(b"NIL");
        match atom {
            true => self.buffer.extend_from_slice(octets),
            false => self.string(octets),
        }
    }

    /// A mailbox name on the wire; always quoted, as most servers do it.
    pub fn mailbox(&mut self, name: &MailboxName) {
        self.string(name.to_wire().as_bytes());
    }

    /// Octets of a message, exactly as they are, of the literal whose head was written.
    pub fn octets(&mut self, octets: &[u8]) {
        self.buffer.extend_from_slice(octets);
    }

    /// A literal of a text: RFC 3501 §9 has no NUL in it, so that one becomes a space.
    fn text_literal(&mut self, octets: &[u8]) {
        self.literal_head(octets.len());
        self.buffer.extend(octets.iter().map(|&byte| if byte == 0 { b' ' } else { byte }));
    }

    /// The head of a literal of so many octets.
    pub fn literal_head(&mut self, octets: usize) {
        self.byte(b'{');
        self.number(octets as u64);
        self.raw("}\r\n");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn written(write: impl FnOnce(&mut Out)) -> String {
        let mut out = Out::new();
        write(&mut out);
        String::from_utf8(out.take()).unwrap()
    }

    #[test]
    fn strings_take_the_form_that_carries_them() {
        assert_eq!(written(|out| out.string(b"a\"b\\c")), r#""a\"b\\c""#);
        assert_eq!(written(|out| out.string("ü".as_bytes())), "{2}\r\nü");
        assert_eq!(written(|out| out.string(b"a\r\nb")), "{4}\r\na\r\nb");
        assert_eq!(written(|out| out.string(b"a\0b")), "{3}\r\na b");
        assert_eq!(written(|out| out.nstring(None)), "NIL");
        assert_eq!(written(|out| out.astring(b"From")), "From");
        assert_eq!(written(|out| out.astring(b"NIL")), "\"NIL\"");
        assert_eq!(written(|out| out.astring(b"")), "\"\"");
    }

    #[test]
    fn numbers_have_no_leading_zero() {
        assert_eq!(written(|out| out.number(0)), "0");
        assert_eq!(written(|out| out.number(u64::MAX)), u64::MAX.to_string());
        assert_eq!(written(|out| out.number(4_070)), "4070");
    }

    #[test]
    fn a_status_line_has_tag_word_code_and_text() {
        let tag = Tag::new(b"a1").unwrap();
        assert_eq!(written(|out| out.no(&tag, Code::TryCreate, "x")), "a1 NO [TRYCREATE] x\r\n");
        assert_eq!(written(|out| out.bad(None, "x")), "* BAD x\r\n");
        assert_eq!(written(|out| out.go_on("")), "+ \r\n");
    }
}
