//! Mail addresses as SMTP has them (RFC 5321 §4.1.2), in one canonical form.
//!
//! The local part is kept without the quotes and escapes that only its spelling needs, case kept;
//! the domain in lower case, internationalised labels as A-labels (RFC 5890), or an address literal
//! in brackets. Two spellings of one mailbox are therefore equal: `"a"@B.example` is `a@b.example`.
//! Nothing is ever re-routed on `%`, `!` or an `@` inside the local part.
//!
//! # Known gaps
//! General address literals (`[tag:...]`) other than IPv6 are no addresses here. The local part is
//! not normalised (RFC 6532 asks for NFC): two normal forms of a UTF-8 local part differ.

use serde::{Deserialize, Serialize};
use std::fmt;
use std::net::{Ipv4Addr, Ipv6Addr};

/// Octets of a local part that every server takes (RFC 5321 §4.5.3.1.1). Longer ones are read, for
/// forwarders and lists that write a whole address into one make them; none is given out here.
pub const LOCAL_BYTES_MAX: usize = 64;
/// Octets of a domain at most (RFC 5321 §4.5.3.1.2).
pub const DOMAIN_BYTES_MAX: usize = 255;
/// Octets of an address at most: a path of 256 without its brackets (RFC 5321 §4.5.3.1.3).
pub const ADDRESS_BYTES_MAX: usize = 254;

/// Octets of a spelling at most: each octet of the local part behind a backslash, and quotes.
const SPELLING_BYTES_MAX: usize = 2 * ADDRESS_BYTES_MAX + 2;

/// An address. Its `Display` quotes the local part where it must be quoted.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Address {
    local: String,
    domain: String,
}

/// Why octets are no address.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AddressError {
    /// The syntax is broken at this offset.
    Syntax {
        /// Octets from the start of the text.
        at: usize,
    },
    /// The domain is longer than 255 octets, a label than 63, or no valid name at all.
    Domain,
    /// The whole is longer than 254 octets (RFC 5321 §4.5.3.1.3).
    TooLong,
    /// There is no `@domain`.
    NoDomain,
}

impl Address {
    /// Reads `local@domain`, quoted forms, address literals and UTF-8 (RFC 6531 §3.3) included.
    pub fn parse(text: &[u8]) -> Result<Address, AddressError> {
        if text.len() > SPELLING_BYTES_MAX {
            return Err(AddressError::TooLong);
        }
        let text = std::str::from_utf8(text)
            .map_err(|error| AddressError::Syntax { at: error.valid_up_to() })?;
        let (local, rest) = match text.strip_prefix('"') {
            Some(_) => quoted_local(text)?,
            None => dot_string(text)?,
        };
        let Some(domain) = text[rest..].strip_prefix('@') else {
            let ended = rest == text.len();
            return Err(if ended {
                AddressError::NoDomain
            } else {
                AddressError::Syntax { at: rest }
            });
        };
        Address::from_parts(local, canonical_domain(domain)?)
    }

    /// Whether every server takes its local part, as an address that is given out must be.
    pub fn is_short_enough_for_all(&self) -> bool {
        self.local.len() <= LOCAL_BYTES_MAX
    }

    /// The local part, unquoted, case as written.
    pub fn local(&self) -> &str {
        &self.local
    }

    /// The domain: lower case, A-labels; or a literal in brackets.
    pub fn domain(&self) -> &str {
        &self.domain
    }

    /// Whether the domain is an address literal.
    pub fn is_literal(&self) -> bool {
        self.domain.starts_with('[')
    }

    /// Whether it needs SMTPUTF8 to be sent (RFC 6531).
    pub fn needs_utf8(&self) -> bool {
        !self.local.is_ascii()
    }

    /// The form by which accounts are found: local part in lower case, domain as it is.
    pub fn lookup_key(&self) -> String {
        format!("{}@{}", self.local.to_lowercase(), self.domain)
    }

    /// Splits `user+detail` at the first `delimiter` that is not first; without one the detail is
    /// `None`.
    pub fn split_detail(&self, delimiter: char) -> (Address, Option<String>) {
        match self.local.char_indices().skip(1).find(|(_, c)| *c == delimiter) {
            Some((at, _)) => {
                let detail = self.local[at + delimiter.len_utf8()..].to_owned();
                let local = self.local[..at].to_owned();
                (Address { local, domain: self.domain.clone() }, Some(detail))
            }
            None => (self.clone(), None),
        }
    }

    /// Another mailbox at the same domain. `local` is taken as it is, not as its quoted spelling.
    pub fn with_local(&self, local: &str) -> Result<Address, AddressError> {
        if let Some(at) = local.bytes().position(|octet| octet.is_ascii_control()) {
            return Err(AddressError::Syntax { at });
        }
        Address::from_parts(local.to_owned(), self.domain.clone())
    }

    fn from_parts(local: String, domain: String) -> Result<Address, AddressError> {
        let address = Address { local, domain };
        if address.to_string().len() > ADDRESS_BYTES_MAX {
            return Err(AddressError::TooLong);
        }
        Ok(address)
    }
}

/// Reads a domain name or address literal into its canonical form.
pub fn canonical_domain(text: &str) -> Result<String, AddressError> {
    if let Some(inside) = text.strip_prefix('[') {
        return literal(inside.strip_suffix(']').ok_or(AddressError::Domain)?);
    }
    if text.is_empty() || text.len() > DOMAIN_BYTES_MAX {
        return Err(AddressError::Domain);
    }
    let domain = if text.is_ascii() {
        text.to_ascii_lowercase()
    } else {
        idna::domain_to_ascii_strict(text).map_err(|_| AddressError::Domain)?
    };
    let fits = domain.len() <= DOMAIN_BYTES_MAX && domain.split('.').all(is_label);
    fits.then_some(domain).ok_or(AddressError::Domain)
}

/// RFC 5321 §4.1.3: an IPv4 address, or an IPv6 address behind `IPv6:`.
fn literal(inside: &str) -> Result<String, AddressError> {
    if let Ok(address) = inside.parse::<Ipv4Addr>() {
        return Ok(format!("[{address}]"));
    }
    let tag = inside.get(..5).filter(|tag| tag.eq_ignore_ascii_case("IPv6:"));
    let address = tag.and_then(|_| inside[5..].parse::<Ipv6Addr>().ok());
    address.map(|address| format!("[IPv6:{address}]")).ok_or(AddressError::Domain)
}

/// RFC 5321 §4.1.2 `sub-domain`; an underscore is let pass, for it occurs.
fn is_label(label: &str) -> bool {
    let inner = |b: u8| b.is_ascii_alphanumeric() || b == b'-' || b == b'_';
    (1..=63).contains(&label.len())
        && label.bytes().all(inner)
        && !label.starts_with('-')
        && !label.ends_with('-')
}

/// RFC 5321 §4.1.2 `Dot-string`: the local part and where it ends.
fn dot_string(text: &str) -> Result<(String, usize), AddressError> {
    let end = text.find(|c: char| !is_atom_char(c) && c != '.').unwrap_or(text.len());
    let local = &text[..end];
    let mut at = 0;
    for atom in local.split('.') {
        if atom.is_empty() {
            return Err(AddressError::Syntax { at });
        }
        at += atom.len() + 1;
    }
    Ok((local.to_owned(), end))
}

/// RFC 5321 §4.1.2 `Quoted-string`: its content and where it ends.
fn quoted_local(text: &str) -> Result<(String, usize), AddressError> {
    let mut content = String::new();
    let mut chars = text.char_indices().skip(1);
    while let Some((at, c)) = chars.next() {
        match c {
            '"' if content.is_empty() => return Err(AddressError::Syntax { at }),
            '"' => return Ok((content, at + 1)),
            '\\' => match chars.next() {
                Some((_, escaped @ ' '..='~')) => content.push(escaped),
                _ => return Err(AddressError::Syntax { at }),
            },
            ' '..='~' => content.push(c),
            c if !c.is_ascii() && !c.is_control() => content.push(c),
            _ => return Err(AddressError::Syntax { at }),
        }
    }
    Err(AddressError::Syntax { at: text.len() })
}

/// RFC 5321 `atext`, and RFC 6531 §3.3's UTF-8. Controls of the C1 set are no text.
fn is_atom_char(c: char) -> bool {
    c.is_ascii_alphanumeric()
        || "!#$%&'*+-/=?^_`{|}~".contains(c)
        || (!c.is_ascii() && !c.is_control())
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let plain = |atom: &str| !atom.is_empty() && atom.chars().all(is_atom_char);
        if self.local.split('.').all(plain) {
            return write!(f, "{}@{}", self.local, self.domain);
        }
        f.write_str("\"")?;
        for c in self.local.chars() {
            if matches!(c, '"' | '\\') {
                f.write_str("\\")?;
            }
            write!(f, "{c}")?;
        }
        write!(f, "\"@{}", self.domain)
    }
}

impl std::str::FromStr for Address {
    type Err = AddressError;

    fn from_str(text: &str) -> Result<Self, AddressError> {
        Address::parse(text.as_bytes())
    }
}

impl fmt::Display for AddressError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            AddressError::Syntax { at } => write!(f, "not an address: octet {at} does not fit"),
            AddressError::Domain => write!(f, "the domain is not a valid name"),
            AddressError::TooLong => write!(f, "the address is longer than 254 octets"),
            AddressError::NoDomain => write!(f, "the address has no domain"),
        }
    }
}

impl std::error::Error for AddressError {}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn read(text: &str) -> Result<(String, String), AddressError> {
        text.parse::<Address>().map(|a| (a.local().to_owned(), a.domain().to_owned()))
    }

    fn ok(local: &str, domain: &str) -> Result<(String, String), AddressError> {
        Ok((local.into(), domain.into()))
    }

    #[test]
    fn spellings_of_one_mailbox_are_equal() {
        assert_eq!(read("a@B.Example"), ok("a", "b.example"));
        assert_eq!(read("\"a\"@b.example"), ok("a", "b.example"));
        assert_eq!(read("\"\\a\"@b.example"), ok("a", "b.example"));
        assert_eq!(read("ü@bücher.example"), ok("ü", "xn--bcher-kva.example"));
        assert_eq!(read("ü@XN--BCHER-KVA.example"), ok("ü", "xn--bcher-kva.example"));
        assert_eq!(read("x@[IPv6:2001:DB8:0::1]"), ok("x", "[IPv6:2001:db8::1]"));
        assert_eq!(read("x@[192.0.2.1]"), ok("x", "[192.0.2.1]"));
    }

    #[test]
    fn odd_local_parts_stay_what_they_are() {
        assert_eq!(read("user%other@x.example"), ok("user%other", "x.example"));
        assert_eq!(read("a!b@x.example"), ok("a!b", "x.example"));
        let quoted: Address = "\"user@other\"@x.example".parse().unwrap();
        assert_eq!(
            (quoted.local(), quoted.to_string().as_str()),
            ("user@other", "\"user@other\"@x.example")
        );
        assert_eq!(read("\"us er\"@x.example"), ok("us er", "x.example"));
    }

    #[test]
    fn what_is_no_address_is_refused_with_its_place() {
        use AddressError::*;
        for (text, error) in [
            ("", Syntax { at: 0 }),
            ("a", NoDomain),
            ("@x", Syntax { at: 0 }),
            (".a@x", Syntax { at: 0 }),
            ("a..b@x", Syntax { at: 2 }),
            ("a.@x", Syntax { at: 2 }),
            ("a b@x", Syntax { at: 1 }),
            ("a@b@c", Domain),
            ("a@", Domain),
            ("a@-x", Domain),
            ("a@x..y", Domain),
            ("a@x.", Domain),
            ("a@[300.0.0.1]", Domain),
            ("a@[192.0.2.1", Domain),
            ("\"\"@x", Syntax { at: 1 }),
            ("\"a@x", Syntax { at: 4 }),
            ("\"a\"b@x", Syntax { at: 3 }),
            ("a\0@x", Syntax { at: 1 }),
            ("a\r\n@x", Syntax { at: 1 }),
            ("\"a\r\"@x", Syntax { at: 2 }),
        ] {
            assert_eq!(read(text), Err(error), "{text:?}");
        }
        assert_eq!(Address::parse(b"a\xff@x").unwrap_err(), Syntax { at: 1 });
    }

    #[test]
    fn lengths_are_bounded() {
        let local = "l".repeat(LOCAL_BYTES_MAX);
        let is_short = |text: String| text.parse::<Address>().unwrap().is_short_enough_for_all();
        assert!(is_short(format!("{local}@x.example")));
        // Sender rewriting and return paths of lists come to more.
        assert!(!is_short(format!("SRS0=HHHH=TT=a.example={local}@x.example")));
        let whole = "l".repeat(ADDRESS_BYTES_MAX - 2);
        assert!(read(&format!("{whole}@x")).is_ok());
        assert_eq!(read(&format!("{whole}l@x")), Err(AddressError::TooLong));
        let escaped = "\\ ".repeat(ADDRESS_BYTES_MAX - 4);
        assert!(read(&format!("\"{escaped}\"@x")).is_ok());
        let label = "d".repeat(63);
        assert_eq!(read(&format!("a@{label}d.example")), Err(AddressError::Domain));
        let long = [label.as_str(); 4].join(".");
        assert_eq!(read(&format!("aa@{long}")), Err(AddressError::TooLong));
    }

    #[test]
    fn details_are_split_off() {
        let split = |text: &str| {
            let (base, detail) = text.parse::<Address>().unwrap().split_detail('+');
            (base.to_string(), detail)
        };
        assert_eq!(split("u+a+b@x.y"), ("u@x.y".into(), Some("a+b".into())));
        assert_eq!(split("u+@x.y"), ("u@x.y".into(), Some(String::new())));
        assert_eq!(split("+u@x.y"), ("+u@x.y".into(), None));
        assert_eq!(split("u@x.y"), ("u@x.y".into(), None));
    }

    proptest! {
        #[test]
        fn what_is_read_is_written_so_that_it_reads_alike(
            local in "[a-zA-Z0-9.+%!@\" \\\\üß]{1,20}",
            domain in "[a-zA-Z0-9ü-]{1,10}(\\.[a-z]{2,5}){0,3}",
        ) {
            for text in [format!("{local}@{domain}"), format!("\"{local}\"@{domain}")] {
                if let Ok(address) = text.parse::<Address>() {
                    prop_assert_eq!(Ok(address.clone()), address.to_string().parse::<Address>());
                }
            }
            if let Ok(base) = format!("x@{domain}").parse::<Address>() {
                let made = base.with_local(&local).unwrap();
                prop_assert_eq!(Ok(made.clone()), made.to_string().parse::<Address>());
            }
        }

        #[test]
        fn any_octets_are_an_address_or_not(text in any::<Vec<u8>>()) {
            if let Ok(address) = Address::parse(&text) {
                let text = address.to_string();
                prop_assert!(!text.contains(['\r', '\n', '\0']));
            }
        }
    }
}
