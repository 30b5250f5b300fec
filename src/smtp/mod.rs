//! The SMTP server as a machine: bytes in, bytes and events out; no socket, no clock, no task.

/// What a listener is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ListenerKind {
    /// Mail from other servers, for local recipients (port 25). No AUTH.
    Mx,
    /// Mail from users: STARTTLS, then AUTH (port 587, RFC 6409).
    Submission,
    /// Mail from users: TLS from the first octet (port 465, RFC 8314).
    Submissions,
}

/// What is done with a CR or LF that is not half of a CRLF.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum BareNewlines {
    /// The command or message is refused and the session ended (RFC 5321 §2.3.8).
    #[default]
    Refuse,
    /// It becomes CRLF, for old devices. It still never ends a message.
    Normalise,
}
