//! How much of a message is looked at. What lies beyond a limit is kept, octet for octet, but not
//! interpreted: a part becomes an opaque leaf, a field is not shown in the envelope.

/// How deep parts may nest. Dovecot and Cyrus stop at 100 and 50; real mail stays below 10.
pub const NESTING_DEPTH_MAX: usize = 50;

/// How many parts are told apart in one message (CVE-2020-25275: 10,000 parts).
pub const PARTS_MAX: usize = 1000;

/// How many octets of one header block are interpreted (Postfix `header_size_limit`: 102,400).
pub const HEADER_INTERPRETED_BYTES_MAX: usize = 102_400;

/// How many fields of one header block are interpreted.
pub const HEADER_FIELDS_MAX: usize = 1000;

/// How many addresses all the envelopes of one message hold together (CVE-2024-23184: 500,000).
pub const ADDRESSES_MAX: usize = 2000;

/// How many parameters of one field are kept (CVE-2026-27859: RFC 2231 continuations).
pub const PARAMS_MAX: usize = 64;

/// How many languages of one Content-Language field are kept.
pub const LANGUAGES_MAX: usize = 16;

/// The longest boundary that is searched for. RFC 2046 §5.1.1 allows 70 octets; a line has 998.
pub const BOUNDARY_BYTES_MAX: usize = 998;

/// How deep comments may nest in a structured field before the rest is taken as text.
pub const COMMENT_DEPTH_MAX: usize = 32;
