//! Limits that are the same for every listener.

/// Octets of a command line without its line end. RFC 5321 §4.5.3.1.4 asks for 512, and the
/// parameters of extensions for some hundred more; Postfix has 2,048.
pub const COMMAND_LINE_BYTES_MAX: usize = 2048;

/// Octets of a line of an AUTH exchange, the command's own words included (RFC 4954 §4: 12,288).
pub const AUTH_LINE_BYTES_MAX: usize = 12_288 + 64;

/// Failed logins after which a session is ended.
pub const AUTH_FAILURES_MAX: u32 = 3;

/// Octets of the name given with EHLO that are kept (RFC 5321 §4.5.3.1.2).
pub const HELO_BYTES_MAX: usize = 255;

/// Octets of an ENVID (RFC 3461 §4.4: 100).
pub const ENVID_BYTES_MAX: usize = 100;

/// Octets of an ORCPT (RFC 3461 §4.2: 500).
pub const ORCPT_BYTES_MAX: usize = 500;

/// Parameters of one MAIL or RCPT command.
pub const PARAMS_MAX: usize = 16;
