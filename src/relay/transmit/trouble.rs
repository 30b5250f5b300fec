//! What went wrong with a server, as a report says it: an enhanced code and a sentence.

use std::io;

use crate::relay::outgoing::{Failure, Outcome};
use crate::relay::route::NoRoute;
use crate::smtp::client::{Broken, Lack, Reply, Status, Waiting};

/// Octets of a system's or library's error text that are shown.
const ERROR_TEXT_BYTES_MAX: usize = 300;

/// The status of [`Lack::EightBit`]: conversion is required and not supported (RFC 3463 §3.7).
const EIGHT_BIT: Status = Status(5, 6, 3);

/// Why a server could not be used, or not for a recipient. Another server may do better.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Trouble {
    /// Whether it would be the same tomorrow.
    pub permanent: bool,
    pub failure: Failure,
    /// For the log.
    pub why: &'static str,
    pub status: Status,
}

impl Trouble {
    fn new(status: Status, why: &'static str, text: String) -> Trouble {
        let failure = Failure { host: None, status: status.to_string(), text };
        Trouble { permanent: status.0 == 5, failure, why, status }
    }

    /// As it stands for a recipient when no server did better.
    pub fn outcome(self) -> Outcome {
        match self.permanent {
            true if self.status == EIGHT_BIT => Outcome::EightBit(self.failure),
            true => Outcome::Failed(self.failure),
            false => Outcome::Deferred(self.failure),
        }
    }

    /// A reply that says "not now", or that is taken for it.
    pub fn reply(host: &str, reply: &Reply) -> Trouble {
        let status = reply.status.as_temporary();
        let mut trouble = Trouble::new(status, "refused", reply.to_string());
        trouble.failure.host = Some(host.to_owned());
        trouble
    }

    /// The server took others of the transaction and no more.
    pub fn crowded(host: &str, reply: &Reply) -> Trouble {
        let mut trouble = Trouble::reply(host, reply);
        (trouble.status, trouble.failure.status) = (Status(4, 5, 3), "4.5.3".to_owned());
        trouble
    }

    /// The session could not go on.
    pub fn broken(host: &str, broken: &Broken) -> Trouble {
        let say = |status, why, what: &str| Trouble::new(status, why, format!("{host}: {what}"));
        match broken {
            // RFC 7504 §3: it never takes mail; another server of the domain may.
            Broken::Refused(reply) if reply.code == 521 => {
                let mut trouble = Trouble::reply(host, reply);
                (trouble.permanent, trouble.failure.status) = (true, "5.3.2".to_owned());
                trouble
            }
            Broken::Refused(reply) => Trouble::reply(host, reply),
            Broken::NoTls(None) => {
                say(Status(4, 7, 4), "no-tls", "TLS is required and not offered")
            }
            Broken::NoTls(Some(reply)) => {
                let what = format!("TLS is required, and the server said {reply}");
                say(reply.status.as_temporary(), "refused", &what)
            }
            Broken::NoLogin => {
                say(Status(4, 7, 4), "no-login", "no way to log in is offered that is known here")
            }
            Broken::Unsolicited => {
                say(Status(4, 5, 0), "unsolicited", "the server spoke when it was not its turn")
            }
            Broken::OutOfPlace(reply) => {
                let what = format!("the server's reply does not fit: {reply}");
                say(Status(4, 5, 0), "out-of-place", &what)
            }
            Broken::Malformed(error) => say(Status(4, 5, 0), "malformed", &error.to_string()),
            Broken::Closed => say(Status(4, 4, 2), "closed", "the connection was lost"),
            Broken::TimedOut(waiting) => {
                let what = format!("no answer in time while waiting for {}", words(*waiting));
                say(Status(4, 4, 2), "timed-out", &what)
            }
        }
    }

    /// The server cannot take such a message.
    pub fn lacking(host: &str, lack: Lack) -> Trouble {
        let (status, what) = match lack {
            Lack::Size => (Status(5, 3, 4), "the message is larger than the server takes"),
            Lack::EightBit => {
                (EIGHT_BIT, "the message has 8-bit text, which the server does not take")
            }
            Lack::Utf8 => {
                let what = "the message needs internationalised addresses (SMTPUTF8), which the \
                            server does not take";
                (Status(5, 6, 7), what)
            }
        };
        Trouble::new(status, "lacking", format!("{host}: {what}"))
    }

    /// No connection.
    pub fn connect(host: &str, error: &io::Error) -> Trouble {
        let text = format!("{host}: no connection: {}", error.kind());
        Trouble::new(Status(4, 4, 1), "no-connection", text)
    }

    /// A handshake that failed where TLS is required.
    pub fn handshake(host: &str, error: &io::Error) -> Trouble {
        let text = format!("{host}: the TLS handshake failed: {}", printable(&error.to_string()));
        Trouble::new(Status(4, 7, 5), "handshake", text)
    }

    /// The time for the whole attempt is over.
    pub fn out_of_time() -> Trouble {
        let text = "the attempt took too long and was ended".to_owned();
        Trouble::new(Status(4, 4, 7), "out-of-time", text)
    }

    /// The server took so long with the others that its turn did not come.
    pub fn unnamed(host: &str) -> Trouble {
        let text = format!("{host}: the server took so long that not all recipients were named");
        Trouble::new(Status(4, 4, 7), "unnamed", text)
    }

    /// A host without an address.
    pub fn no_address(text: String) -> Trouble {
        Trouble::new(Status(5, 4, 4), "no-address", text)
    }

    /// There is no way to one host, or to any.
    pub fn no_route(no_route: NoRoute) -> Trouble {
        let NoRoute { permanent, status, text } = no_route;
        let failure = Failure { host: None, status: status.to_owned(), text };
        let class = if permanent { Status(5, 4, 0) } else { Status(4, 4, 0) };
        Trouble { permanent, failure, why: "no-route", status: class }
    }
}

/// A server's final no.
pub(super) fn refused(host: &str, reply: &Reply) -> Failure {
    let text = reply.to_string();
    Failure { host: Some(host.to_owned()), status: reply.status.to_string(), text }
}

fn words(waiting: Waiting) -> &'static str {
    match waiting {
        Waiting::Greeting => "the greeting",
        Waiting::Hello => "the reply to EHLO",
        Waiting::StartTls => "the reply to STARTTLS",
        Waiting::Auth => "the reply to AUTH",
        Waiting::Mail => "the reply to MAIL",
        Waiting::Rcpt => "the reply to RCPT",
        Waiting::DataStart => "the reply to DATA",
        Waiting::DataBlock => "the server to take the message",
        Waiting::DataEnd => "the reply to the message",
        Waiting::Quit | Waiting::Driver | Waiting::Closed => "the end",
    }
}

/// One line of printable ASCII.
fn printable(text: &str) -> String {
    let keep = |octet: u8| match octet {
        b' '..=b'~' => char::from(octet),
        _ => '?',
    };
    text.bytes().take(ERROR_TEXT_BYTES_MAX).map(keep).collect()
}
