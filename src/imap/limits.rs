//! The limits of the IMAP grammar, each with its unit and its source.

/// Octets of one command, literals included, before login: two names and a password.
pub const PREAUTH_COMMAND_BYTES_MAX: usize = 8 * 1024;
/// Octets of one literal before login. RFC 7888 §5 proposes 4096 for literals nobody asked for.
pub const PREAUTH_LITERAL_BYTES_MAX: usize = 4 * 1024;
/// Octets of one command after login, literals included; APPEND's message does not count.
/// RFC 7162 §4 asks for 8192 at least; peers stop at 64 KiB.
pub const COMMAND_BYTES_MAX: usize = 64 * 1024;
/// Literals in one command: each costs a look at what came before it.
pub const LITERALS_MAX: usize = 64;
/// Octets of a tag. RFC 3501 sets no limit; clients send four to ten.
pub const TAG_BYTES_MAX: usize = 64;
/// Octets of a message that is refused by its size and read away instead of ending the session.
pub const SKIPPED_APPEND_BYTES_MAX: u64 = 1024 * 1024 * 1024;

/// Nesting of a SEARCH program. Thunderbird chains one OR a search term.
pub const SEARCH_DEPTH_MAX: usize = 256;
/// Keys of a SEARCH program.
pub const SEARCH_KEYS_MAX: usize = 1024;
/// Texts that one SEARCH looks for in headers and bodies: each octet of each message costs so much
/// the more. People look for a few words; a word of memory holds what is known of 64.
pub const SEARCH_TEXTS_MAX: usize = 64;
/// Ranges of a sequence set: a command is 64 KiB, so that this only bounds the memory for `1,2,3`.
pub const SEQUENCE_RANGES_MAX: usize = 32 * 1024;
/// Items of one FETCH.
pub const FETCH_ITEMS_MAX: usize = 128;
/// Header field names in one section.
pub const FETCH_FIELDS_MAX: usize = 128;
/// Depth of a part number such as `1.2.3`; the analysis of mail stops at depth 50.
pub const SECTION_DEPTH_MAX: usize = 64;
/// Flags in one list.
pub const FLAGS_MAX: usize = 128;
/// Octets of a keyword.
pub const KEYWORD_BYTES_MAX: usize = 255;
/// Octets of a mailbox name, decoded (peers: 255 for each level; ours is one sealed record).
pub const MAILBOX_BYTES_MAX: usize = 1000;
/// Patterns of one extended LIST.
pub const LIST_PATTERNS_MAX: usize = 32;
/// Wildcards in all patterns of one LIST, runs counted as one. Clients send one or two.
pub const LIST_WILDCARDS_MAX: usize = 64;
/// Octets from the first wildcard of a pattern to its last: one word holds all places in them.
/// What stands before and behind may be as long as a name.
pub const LIST_MIDDLE_BYTES_MAX: usize = 127;
/// Pairs in ID (RFC 2971 §3.3: at most 30).
pub const ID_PAIRS_MAX: usize = 30;
/// Octets of an ID value (RFC 2971 §3.3: at most 1024).
pub const ID_VALUE_BYTES_MAX: usize = 1024;
/// Octets of one line of a SASL exchange (base64), and of the line that ends IDLE.
pub const LINE_BYTES_MAX: usize = 12 * 1024;

/// Commands nobody knows before the session ends, before login: HTTP and its like.
pub const PREAUTH_BAD_MAX: u32 = 3;
/// Refused commands in a row before the session ends, after login.
pub const BAD_MAX: u32 = 50;
