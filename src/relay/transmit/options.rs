//! What transmission is told, and the world it is given.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use crate::base::entropy::Entropy;
use crate::base::event::Log;
use crate::dns::Resolver;
use crate::relay::route::{Relayhost, SMTP_PORT};
use crate::seams::Dial;
use crate::smtp::client::{Credential, Waiting};

/// What can change by a reload.
#[derive(Clone, Debug)]
pub struct Options {
    /// The name this server calls itself by in EHLO.
    pub hostname: String,
    /// A relay that takes all mail, in place of the domains' own servers.
    pub relayhost: Option<Relayhost>,
    /// Who to log in as at the relay. Only over TLS with the relay's name verified, whatever
    /// [`Options::tls`] says.
    pub credential: Option<Arc<Credential>>,
    /// How much protection is asked for.
    pub tls: TlsPolicy,
    /// The port where the relay names none. 465 means TLS from the first octet (RFC 8314).
    pub port: u16,
    /// Whether IPv6 is used.
    pub ipv6: bool,
    /// Where this server listens: mail is not sent there.
    pub own_addresses: Vec<SocketAddr>,
    /// How long is waited.
    pub timeouts: Timeouts,
    /// How long connections are kept for the next message.
    pub reuse: Reuse,
}

/// How much protection a connection must have.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum TlsPolicy {
    /// TLS where it is offered and works, without a look at the certificate (RFC 7435).
    #[default]
    May,
    /// TLS or nothing is sent; without a look at the certificate.
    Encrypt,
    /// TLS with a certificate that is valid for the server's name, or nothing is sent.
    Verify,
}

/// How long each step may take (RFC 5321 §4.5.3.2).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Timeouts {
    /// Until a connection stands. Postfix has 30 s.
    pub connect: Duration,
    /// A TLS handshake.
    pub handshake: Duration,
    /// The greeting (§4.5.3.2.1: five minutes).
    pub greeting: Duration,
    /// The replies to EHLO, STARTTLS and AUTH.
    pub hello: Duration,
    /// The reply to MAIL (§4.5.3.2.2: five minutes).
    pub mail: Duration,
    /// The reply to RCPT (§4.5.3.2.3: five minutes).
    pub rcpt: Duration,
    /// The reply to DATA (§4.5.3.2.4: two minutes).
    pub data_start: Duration,
    /// Room for the next piece of a message (§4.5.3.2.5: three minutes).
    pub data_block: Duration,
    /// The reply to a message (§4.5.3.2.6: ten minutes).
    pub data_end: Duration,
    /// The reply to QUIT; nothing hangs on it.
    pub quit: Duration,
    /// Going from host to host until one is ready for mail: after that no other one is asked.
    pub attempt: Duration,
    /// Naming the recipients of one transaction. Whoever was not named by then is tried again
    /// later, and the message goes to those who were accepted.
    pub recipients: Duration,
    /// All of one message's octets.
    pub message: Duration,
}

impl Default for Timeouts {
    fn default() -> Self {
        let minutes = |count: u64| Duration::from_secs(60 * count);
        Timeouts {
            connect: Duration::from_secs(30),
            handshake: minutes(1),
            greeting: minutes(5),
            hello: minutes(5),
            mail: minutes(5),
            rcpt: minutes(5),
            data_start: minutes(2),
            data_block: minutes(3),
            data_end: minutes(10),
            quit: Duration::from_secs(5),
            attempt: minutes(20),
            // Six recipients at the slowest that §4.5.3.2.3 grants, so that each attempt gets on.
            recipients: minutes(30),
            message: minutes(60),
        }
    }
}

impl Timeouts {
    /// How long `waiting` may take.
    pub(super) fn of(&self, waiting: Waiting) -> Duration {
        match waiting {
            Waiting::Greeting => self.greeting,
            Waiting::Hello | Waiting::StartTls | Waiting::Auth => self.hello,
            Waiting::Mail => self.mail,
            Waiting::Rcpt => self.rcpt,
            Waiting::DataStart => self.data_start,
            Waiting::DataBlock => self.data_block,
            Waiting::DataEnd => self.data_end,
            Waiting::Quit | Waiting::Driver | Waiting::Closed => self.quit,
        }
    }
}

/// How long connections are kept.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reuse {
    /// How long a connection waits for the next message. Zero: not at all.
    pub idle: Duration,
    /// How old it may become. Postfix has 300 s.
    pub age: Duration,
    /// Messages over one connection at most. Servers have limits of their own, often 100.
    pub transactions_max: u32,
    /// Connections that wait at once, over all hosts.
    pub waiting_max: usize,
}

impl Default for Reuse {
    fn default() -> Self {
        Reuse {
            // Postfix `smtp_connection_cache_time_limit` is 2 s.
            idle: Duration::from_secs(4),
            age: Duration::from_secs(300),
            transactions_max: 100,
            waiting_max: 200,
        }
    }
}

impl Options {
    /// Options of a server called `hostname` that sends to the domains' own servers.
    pub fn new(hostname: String) -> Options {
        Options {
            hostname,
            relayhost: None,
            credential: None,
            tls: TlsPolicy::May,
            port: SMTP_PORT,
            ipv6: true,
            own_addresses: Vec::new(),
            timeouts: Timeouts::default(),
            reuse: Reuse::default(),
        }
    }

    /// The port that is connected to.
    pub(super) fn port(&self) -> u16 {
        self.relayhost.as_ref().and_then(Relayhost::port).unwrap_or(self.port)
    }

    /// Whether somebody who connects to `target` meets this server. A wildcard listener is met at
    /// the machine's loopback addresses; which others it has is not known here, so a server that
    /// answers by our own name is taken for us too.
    pub(super) fn is_ours(&self, target: SocketAddr) -> bool {
        let ip = target.ip().to_canonical();
        let near = ip.is_loopback() || ip.is_unspecified();
        self.own_addresses.iter().any(|own| {
            let same_family = own.ip().is_ipv4() == ip.is_ipv4();
            let met = own.ip() == ip || (own.ip().is_unspecified() && near && same_family);
            own.port() == target.port() && met
        })
    }
}

/// What transmission is given to work with.
#[derive(Clone)]
pub struct World {
    /// Makes connections.
    pub dial: Arc<dyn Dial>,
    /// Looks names up.
    pub resolver: Arc<dyn Resolver>,
    /// Randomness, for the order among equal servers.
    pub entropy: Arc<dyn Entropy>,
    /// Where events go.
    pub log: Log,
}
