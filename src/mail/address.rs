//! Mail addresses as SMTP has them (RFC 5321 §4.1.2), in one canonical form.
//!
//! The local part is kept without the quotes and escapes that only its spelling needs, case kept; the
//! domain in lower case, internationalised labels as A-labels (RFC 5890), or an address literal in
//! brackets. Two spellings of one mailbox are therefore equal: `"a"@B.example` is `a@b.example`.
//! Nothing is ever re-routed on `%`, `!` or an `@` inside the local part.

use serde::{Deserialize, Serialize};
use std::fmt;

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
    /// The local part is longer than 64 octets (RFC 5321 §4.5.3.1.1).
    LocalTooLong,
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
        let _ = text;
        todo!()
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
        todo!()
    }

    /// Splits `user+detail` at the first `delimiter` that is not first; without one the detail is
    /// `None`.
    pub fn split_detail(&self, delimiter: char) -> (Address, Option<String>) {
        let _ = delimiter;
        todo!()
    }

    /// The same mailbox name at another domain, or `None` if it gets too long.
    pub fn with_local(&self, local: &str) -> Result<Address, AddressError> {
        let _ = local;
        todo!()
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let _ = f;
        todo!()
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
            AddressError::LocalTooLong => write!(f, "the local part is longer than 64 octets"),
            AddressError::Domain => write!(f, "the domain is not a valid name"),
            AddressError::TooLong => write!(f, "the address is longer than 254 octets"),
            AddressError::NoDomain => write!(f, "the address has no domain"),
        }
    }
}

impl std::error::Error for AddressError {}
