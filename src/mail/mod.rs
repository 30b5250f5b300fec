//! The formats of mail, pure: addresses, headers, MIME structure, dates.
//!
//! Everything here reads octets that a stranger wrote. [`analyse()`] takes a whole message and says
//! where its parts lie; it is run once, when mail arrives and no key is near, and its result is
//! what IMAP later shows. All functions are total: any input gives a result, in linear time, within
//! the limits of [`limits`], and no input makes them panic.
//!
//! # Standards
//! RFC 5322 (headers, dates), RFC 2045-2047 and RFC 2231 (MIME), RFC 2046 §5.1 (multipart), RFC
//! 2183 (Content-Disposition), RFC 3282 (Content-Language), RFC 2557 (Content-Location), RFC 1864
//! (Content-MD5), RFC 5321 §4.1.2 and RFC 6531 §3.3 (addresses), RFC 3501 §7.4.2 (what ENVELOPE and
//! BODYSTRUCTURE hold).

pub mod address;
mod addrlist;
pub mod analyse;
pub mod date;
pub mod dsn;
pub mod envelope;
mod forged;
pub mod header;
pub mod limits;
pub mod message_id;
mod mime;
mod proved;
pub mod structure;
pub mod submission;
pub mod wire;
mod words;

pub use address::{Address, AddressError};
pub use analyse::{Analysis, analyse};
pub use date::DateTime;
pub use envelope::{Envelope, EnvelopeAddress};
pub use forged::{is_forged, remove_forged};
pub use proved::ProvedFields;
pub use structure::{Content, Disposition, Encoding, Param, Part, Section, Span, Structure};
pub use words::from_charset;
