//! A place in a command, and the small rules of the grammar read from it.
//!
//! The input is a whole command with its CRLF, literals inline as they came. It may also be a
//! command as far as an announced literal; then the rule that meets the end says
//! [`Failure::Incomplete`], and all before it was right.

use super::super::value::{is_astring_char, is_atom_char};

/// Why a command, or the beginning of one, was not read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Failure {
    /// It ends at a literal that has not come yet.
    Incomplete,
    /// It is wrong.
    Syntax(SyntaxError),
}

/// What is wrong with a command. Carries no octet of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SyntaxError {
    /// Where, in octets from the command's start.
    pub offset: usize,
    /// What should have been there.
    pub expected: &'static str,
    /// What kind of mistake, where the answer or the next step differs.
    pub kind: ErrorKind,
}

/// What kind of mistake.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ErrorKind {
    /// Any that has no kind of its own.
    Syntax,
    /// There is no such command.
    UnknownCommand,
    /// A SEARCH in a charset that we do not read: `NO [BADCHARSET]`.
    Charset,
    /// A mailbox name that is no modified UTF-7: `NO [CANNOT]`, not a mistake of the grammar.
    MailboxName,
}

/// What a rule gives.
pub type Parsed<T> = Result<T, Failure>;

/// A place in a command.
pub struct Cursor<'a> {
    input: &'a [u8],
    at: usize,
}

impl<'a> Cursor<'a> {
    /// The start of `input`.
    pub fn new(input: &'a [u8]) -> Self {
        Cursor { input, at: 0 }
    }

    /// Octets read so far.
    pub fn at(&self) -> usize {
        self.at
    }

    /// What is left.
    pub fn rest(&self) -> &'a [u8] {
        &self.input[self.at..]
    }

    /// The next octet, if there is one.
    pub fn peek(&self) -> Option<u8> {
        self.input.get(self.at).copied()
    }

    /// A failure at this place.
    pub fn fail<T>(&self, expected: &'static str) -> Parsed<T> {
        self.fail_as(ErrorKind::Syntax, expected)
    }

    /// A failure of some kind at this place.
    pub fn fail_as<T>(&self, kind: ErrorKind, expected: &'static str) -> Parsed<T> {
        Err(Failure::Syntax(SyntaxError { offset: self.at, expected, kind }))
    }

    /// Takes `byte` if it is next.
    pub fn accept(&mut self, byte: u8) -> bool {
        let found = self.peek() == Some(byte);
        self.at += usize::from(found);
        found
    }

    /// Takes `byte`, which must be next.
    pub fn expect(&mut self, byte: u8, name: &'static str) -> Parsed<()> {
        match self.accept(byte) {
            true => Ok(()),
            false => self.fail(name),
        }
    }

    /// One space.
    pub fn sp(&mut self) -> Parsed<()> {
        self.expect(b' ', "a space")
    }

    /// The end of the command.
    pub fn crlf(&mut self) -> Parsed<()> {
        match self.rest() {
            b"\r\n" => {
                self.at += 2;
                Ok(())
            }
            _ => self.fail("the end of the line (CRLF)"),
        }
    }

    /// Takes `word`, in any case, if it is next and no word character follows.
    pub fn accept_word(&mut self, word: &str) -> bool {
        let rest = self.rest();
        let found = rest.len() >= word.len()
            && rest[..word.len()].eq_ignore_ascii_case(word.as_bytes())
            && !rest.get(word.len()).is_some_and(|&next| is_atom_char(next) && next != b'[');
        self.at += if found { word.len() } else { 0 };
        found
    }

    /// The longest run of octets that pass `test`; may be empty.
    pub fn take_while(&mut self, test: impl Fn(u8) -> bool) -> &'a [u8] {
        let rest = self.rest();
        let len = rest.iter().position(|&byte| !test(byte)).unwrap_or(rest.len());
        self.at += len;
        &rest[..len]
    }

    /// RFC 3501 §9: `atom = 1*ATOM-CHAR`.
    pub fn atom(&mut self, name: &'static str) -> Parsed<&'a [u8]> {
        match self.take_while(is_atom_char) {
            [] => self.fail(name),
            atom => Ok(atom),
        }
    }

    /// An atom in capitals, where it is ASCII by nature.
    pub fn upper_atom(&mut self, name: &'static str) -> Parsed<String> {
        let atom = self.atom(name)?;
        Ok(atom.iter().map(|byte| char::from(byte.to_ascii_uppercase())).collect())
    }

    /// RFC 3501 §9: `astring = 1*ASTRING-CHAR / string`.
    pub fn astring(&mut self, name: &'static str) -> Parsed<Vec<u8>> {
        match self.peek() {
            Some(b'"' | b'{') => self.string(name),
            _ => match self.take_while(is_astring_char) {
                [] => self.fail(name),
                atom => Ok(atom.to_vec()),
            },
        }
    }

    /// RFC 3501 §9: `string = quoted / literal`.
    pub fn string(&mut self, name: &'static str) -> Parsed<Vec<u8>> {
        match self.peek() {
            Some(b'"') => self.quoted(),
            Some(b'{') => self.literal(),
            _ => self.fail(name),
        }
    }

    /// RFC 3501 §9: `nstring = string / nil`.
    pub fn nstring(&mut self, name: &'static str) -> Parsed<Option<Vec<u8>>> {
        match self.accept_word("NIL") {
            true => Ok(None),
            false => self.string(name).map(Some),
        }
    }

    /// RFC 3501 §9: `quoted`. 8-bit octets pass: clients send UTF-8 there, and who takes the string
    /// says whether it may.
    fn quoted(&mut self) -> Parsed<Vec<u8>> {
        self.expect(b'"', "a quoted string")?;
        let mut out = Vec::new();
        loop {
            out.extend_from_slice(
                self.take_while(|byte| !matches!(byte, b'"' | b'\\' | b'\r' | b'\n' | 0)),
            );
            match self.peek() {
                Some(b'"') => break self.at += 1,
                Some(b'\\') => {
                    self.at += 1;
                    match self.peek() {
                        Some(escaped @ (b'"' | b'\\')) => out.push(escaped),
                        _ => return self.fail("a quote or a backslash behind a backslash"),
                    }
                    self.at += 1;
                }
                _ => return self.fail("the end of a quoted string"),
            }
        }
        Ok(out)
    }

    /// RFC 3501 §9: `literal`; RFC 7888: `literal+`.
    fn literal(&mut self) -> Parsed<Vec<u8>> {
        let announced = self.literal_head()?;
        let rest = self.rest();
        // Something always follows a literal, be it the CRLF: an end here is one that came too
        // soon.
        if rest.is_empty() || announced > rest.len() as u64 {
            return Err(Failure::Incomplete);
        }
        let octets = &rest[..announced as usize];
        // RFC 3501 §4.3: a literal holds any octet but NUL.
        if let Some(zero) = octets.iter().position(|&byte| byte == 0) {
            self.at += zero;
            return self.fail("an octet other than NUL");
        }
        self.at += octets.len();
        Ok(octets.to_vec())
    }

    /// `{n}` or `{n+}` and CRLF.
    pub fn literal_head(&mut self) -> Parsed<u64> {
        self.expect(b'{', "a literal")?;
        let count = self.number64()?;
        self.accept(b'+');
        self.expect(b'}', "the end of a literal's length")?;
        self.expect(b'\r', "CRLF behind a literal's length")?;
        self.expect(b'\n', "CRLF behind a literal's length")?;
        Ok(count)
    }

    fn number64(&mut self) -> Parsed<u64> {
        let digits = self.take_while(|byte| byte.is_ascii_digit());
        let text = std::str::from_utf8(digits).ok();
        match text.and_then(|text| text.parse().ok()) {
            Some(number) => Ok(number),
            None => self.fail("a number"),
        }
    }

    /// RFC 3501 §9: `number = 1*DIGIT`, below 2^32.
    pub fn number(&mut self) -> Parsed<u32> {
        let start = self.at;
        match u32::try_from(self.number64()?) {
            Ok(number) => Ok(number),
            Err(_) => {
                self.at = start;
                self.fail("a number below 2^32")
            }
        }
    }

    /// RFC 3501 §9: `nz-number`.
    pub fn nz_number(&mut self) -> Parsed<u32> {
        let start = self.at;
        match self.number()? {
            0 => {
                self.at = start;
                self.fail("a number other than 0")
            }
            number => Ok(number),
        }
    }

    /// `"(" item *(SP item) ")"`, at most `most` items; none only if `may_be_empty`.
    pub fn list<T>(
        &mut self,
        most: usize,
        may_be_empty: bool,
        mut item: impl FnMut(&mut Self) -> Parsed<T>,
    ) -> Parsed<Vec<T>> {
        self.expect(b'(', "a list in parentheses")?;
        let mut out = Vec::new();
        if may_be_empty && self.accept(b')') {
            return Ok(out);
        }
        loop {
            if out.len() == most {
                return self.fail("a shorter list");
            }
            out.push(item(self)?);
            if self.accept(b')') {
                return Ok(out);
            }
            self.sp()?;
        }
    }
}
