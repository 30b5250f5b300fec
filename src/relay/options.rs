//! What the role is told: about the site, about a listener, and about the world around it.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use crate::base::budget::ByteBudget;
use crate::base::clock::Clock;
use crate::base::entropy::Entropy;
use crate::base::event::Log;
use crate::discovery::FindKey;
use crate::mail::Address;
use crate::mailauth::CheckSender;
use crate::seams::{Authenticate, BoxStream, Deliver, UpgradeTls};
use crate::smtp::{self, BareNewlines};

use super::aliases::Aliases;
use super::outgoing::{Enqueue, Prepare};
use super::quota::Rates;
use super::verdicts::Incoming;

/// What can change by a reload.
#[derive(Clone, Debug)]
pub struct Options {
    /// The name this server calls itself by: banner, EHLO, Received.
    pub hostname: String,
    /// The domains whose mail is for local accounts, canonical; the first completes names that have
    /// none. Aliases without a domain hold in each of them.
    pub local_domains: Vec<String>,
    /// Who gets mail for postmaster where neither an alias nor an account of that name exists.
    /// RFC 5321 §4.5.1: such mail is always taken.
    pub postmaster: Option<Address>,
    /// What parts a name from its detail, as in `user+detail`; `None` for no details.
    pub recipient_delimiter: Option<char>,
    /// Names that stand for others.
    pub aliases: Aliases,
    /// What is done with mail whose sender is not who he says.
    pub incoming: Incoming,
    /// How much of everything.
    pub limits: Limits,
    /// What holds for mail from users.
    pub submission: SubmissionOptions,
}

/// What holds for mail from users.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SubmissionOptions {
    /// Names of header fields that are taken out.
    pub strip: Vec<String>,
    /// Whether Date is written in UTC, so that it does not tell where the writer is.
    pub utc_date: bool,
    /// How much one user may send.
    pub rates: Rates,
}

impl Default for SubmissionOptions {
    fn default() -> Self {
        let strip = ["User-Agent", "X-Mailer", "X-Originating-IP"];
        SubmissionOptions {
            strip: strip.map(str::to_owned).into(),
            utc_date: true,
            rates: Rates::default(),
        }
    }
}

/// How much a session, a network and all together may use.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Octets of a message at most; announced by SIZE (RFC 1870).
    pub message_bytes_max: u64,
    /// Recipients of a message at most; RFC 5321 §4.5.3.1.8 asks for at least 100.
    pub recipients_max: usize,
    /// Received fields that a message may bring (RFC 5321 §6.3).
    pub hops_max: usize,
    /// Sessions at once, of all listeners together; other servers on the one side and users on the
    /// other may have three quarters of them at most.
    pub sessions_max: usize,
    /// Sessions at once from one network (IPv4 /24, IPv6 /48).
    pub sessions_per_network_max: usize,
    /// New connections from one network within a minute.
    pub connections_per_minute_max: u32,
    /// Whether loopback is bound by the limits for a network too.
    pub limit_loopback: bool,
    /// Errors after which a session is ended.
    pub errors_max: u32,
    /// Commands between two accepted messages after which a session is ended.
    pub commands_max: u32,
    /// Octets of a session at most.
    pub session_bytes_max: u64,
    /// How long the server waits for a command (RFC 5321 §4.5.3.2.7: at least five minutes).
    pub command_timeout: Duration,
    /// How long it waits for the next piece of a message (§4.5.3.2.5: three minutes).
    pub data_timeout: Duration,
    /// How long one message may take from DATA to its end.
    pub message_timeout: Duration,
    /// How long a TLS handshake may take.
    pub handshake_timeout: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Limits {
            message_bytes_max: 50 * 1024 * 1024,
            recipients_max: 100,
            // Postfix `hopcount_limit`.
            hops_max: 50,
            sessions_max: 1000,
            sessions_per_network_max: 50,
            connections_per_minute_max: 240,
            limit_loopback: false,
            // Postfix `smtpd_hard_error_limit`.
            errors_max: 20,
            commands_max: 1000,
            session_bytes_max: 4 * 1024 * 1024 * 1024,
            command_timeout: Duration::from_secs(300),
            data_timeout: Duration::from_secs(180),
            message_timeout: Duration::from_secs(3600),
            handshake_timeout: Duration::from_secs(30),
        }
    }
}

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

impl ListenerKind {
    /// The machine's word for it.
    pub(super) fn machine(self) -> smtp::ListenerKind {
        match self {
            ListenerKind::Mx => smtp::ListenerKind::Mx,
            ListenerKind::Submission => smtp::ListenerKind::Submission,
            ListenerKind::Submissions => smtp::ListenerKind::Submissions,
        }
    }
}

/// One listener.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Listener {
    /// What it is for.
    pub kind: ListenerKind,
    /// What is done with CR or LF alone; refuse unless old devices need otherwise.
    pub bare_newlines: BareNewlines,
}

/// What the role is given to work with.
#[derive(Clone)]
pub struct World {
    /// Takes the mail.
    pub deliver: Arc<dyn Deliver>,
    /// Sends what users write to others; `None` where nothing is sent: recipients elsewhere are
    /// then refused.
    pub outbound: Option<Outbound>,
    /// Judges who sent mail that comes from other servers; `None` where nobody can.
    pub check_sender: Option<Arc<dyn CheckSender>>,
    /// Knows others' certificates, and remembers which mail came sealed; `None` where nobody does.
    pub keys: Option<Arc<dyn FindKey>>,
    /// Judges credentials.
    pub authenticate: Arc<dyn Authenticate>,
    /// Shakes hands; `None` where no certificate is configured (then STARTTLS is not offered, and
    /// listeners of users take no mail).
    pub tls: Option<Arc<dyn UpgradeTls>>,
    /// Octets of messages that may be in memory at once, over all sessions; beyond it, 452.
    pub message_budget: ByteBudget,
    /// Time.
    pub clock: Arc<dyn Clock>,
    /// Randomness, for the names of sessions.
    pub entropy: Arc<dyn Entropy>,
    /// Where events go.
    pub log: Log,
}

/// The way out.
#[derive(Clone)]
pub struct Outbound {
    /// Takes what goes out.
    pub enqueue: Arc<dyn Enqueue>,
    /// Says who would never be sent to.
    pub prepare: Arc<dyn Prepare>,
}

/// A connection that was accepted.
pub struct Connection {
    /// The stream.
    pub stream: BoxStream,
    /// Who is at the other end.
    pub peer: IpAddr,
    /// Where it came in.
    pub listener: Listener,
}
