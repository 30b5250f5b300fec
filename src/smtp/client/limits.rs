//! Limits of what a server may say, and of what is sent in one go.

/// Octets of a reply's line without its end. RFC 5321 §4.5.3.1.5 asks for 512; Postfix reads 2,048.
pub const REPLY_LINE_BYTES_MAX: usize = 2048;

/// Lines of a reply. A long list of extensions has some twenty.
pub const REPLY_LINES_MAX: usize = 100;

/// Octets of a whole reply, line ends included: sixteen of the longest lines.
pub const REPLY_BYTES_MAX: usize = 32 * 1024;

/// Octets of a reply's text that are kept for reports and logs: what fits on a screen.
pub const REPLY_TEXT_BYTES_MAX: usize = 1024;

/// Octets of a line of a message without its end (RFC 5321 §4.5.3.1.6: 1,000 with it).
pub const MESSAGE_LINE_BYTES_MAX: usize = 998;

/// Recipients of one transaction: what every server must take (RFC 5321 §4.5.3.1.8).
pub const TRANSACTION_RECIPIENTS_MAX: usize = 100;

/// Recipients that are named in one group of commands (RFC 2920 §3.1): what was said cannot be
/// unsaid, and ten replies at five minutes each (RFC 5321 §4.5.3.2.3) stay within an hour.
pub const GROUP_RECIPIENTS_MAX: usize = 10;

/// Octets of a parameter that is passed on (ORCPT, RFC 3461 §4.2: 500).
pub const PARAMETER_BYTES_MAX: usize = 512;
