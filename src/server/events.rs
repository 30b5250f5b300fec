//! What the server itself reports.

use crate::base::event::{Event, Fields, Level};
use crate::host::tls::Doubt;
use std::net::SocketAddr;
use std::path::Path;

/// An event of the server.
#[derive(Debug)]
pub enum ServerEvent<'a> {
    /// All listeners are bound.
    Ready {
        /// How many.
        listeners: u64,
    },
    /// It runs on a configuration that is for trying things out.
    TestSetup,
    /// A listener is bound.
    Listening {
        /// What is spoken there.
        kind: &'static str,
        /// Where.
        address: SocketAddr,
    },
    /// An address of a list could not be bound, others of the same list could.
    NotListening {
        /// What would have been spoken there.
        kind: &'static str,
        /// Where.
        address: SocketAddr,
        /// Why not.
        error: &'a str,
    },
    /// A connection was turned away.
    TooManySessions {
        /// What it asked for.
        kind: &'static str,
        /// Which limit was reached: `all` or `network`.
        limit: &'static str,
        /// From where.
        peer: std::net::IpAddr,
    },
    /// A session ended by an internal error; others go on.
    SessionFailed {
        /// What was spoken.
        kind: &'static str,
    },
    /// The configuration was read again.
    Reloaded {
        /// Changed options that wait for a restart.
        waiting_for_restart: u64,
    },
    /// A changed option that takes effect only at a restart.
    NeedsRestart {
        /// Its section.
        section: &'static str,
        /// Its key.
        key: &'static str,
    },
    /// The configuration could not be used; the old one stays.
    NotReloaded {
        /// Why.
        error: &'a str,
    },
    /// The files of a certificate have changed, and it is served from now on.
    CertificateRenewed {
        /// The certificate's file.
        certificate: &'a Path,
    },
    /// The files of a certificate have changed and cannot be used; the old one stays.
    CertificateNotRenewed {
        /// Why.
        error: &'a str,
    },
    /// There is something that others hold against a certificate that is served.
    CertificateDoubted {
        /// The certificate's file.
        certificate: &'a Path,
        /// What.
        doubt: Doubt,
    },
    /// The index cannot be used; the journal is read in its place.
    NoIndex {
        /// Why.
        error: &'a str,
    },
    /// There is nobody to ask for names: keys are not found, and mail elsewhere waits.
    NoResolver {
        /// Why.
        error: &'a str,
    },
    /// The journal's thread has failed: nothing can be stored, and the server ends.
    StoreFailed,
    /// The end has begun.
    Stopping {
        /// Sessions that are still there.
        sessions: u64,
    },
    /// The end.
    Stopped {
        /// Sessions that were cut off.
        cut_off: u64,
    },
}

impl Event for ServerEvent<'_> {
    fn level(&self) -> Level {
        use ServerEvent::*;
        match self {
            NoResolver { .. }
            | NotReloaded { .. }
            | SessionFailed { .. }
            | NoIndex { .. }
            | StoreFailed => Level::Error,
            CertificateDoubted { doubt, .. } if doubt.is_refused() => Level::Error,
            TestSetup
            | NotListening { .. }
            | TooManySessions { .. }
            | NeedsRestart { .. }
            | CertificateDoubted { .. }
            | CertificateNotRenewed { .. } => Level::Warn,
            _ => Level::Info,
        }
    }

    fn name(&self) -> &'static str {
        use ServerEvent::*;
        match self {
            Ready { .. } => "server.ready",
            TestSetup => "server.test-setup",
            Listening { .. } => "server.listening",
            NotListening { .. } => "server.not-listening",
            TooManySessions { .. } => "server.too-many-sessions",
            SessionFailed { .. } => "server.session-failed",
            Reloaded { .. } => "server.reloaded",
            NeedsRestart { .. } => "server.needs-restart",
            NotReloaded { .. } => "server.not-reloaded",
            CertificateRenewed { .. } => "server.certificate-renewed",
            CertificateNotRenewed { .. } => "server.certificate-not-renewed",
            CertificateDoubted { .. } => "server.certificate-doubted",
            NoIndex { .. } => "server.no-index",
            NoResolver { .. } => "server.no-resolver",
            StoreFailed => "server.store-failed",
            Stopping { .. } => "server.stopping",
            Stopped { .. } => "server.stopped",
        }
    }

    fn fields(&self, fields: &mut dyn Fields) {
        use ServerEvent::*;
        match self {
            Ready { listeners } => fields.number("listeners", *listeners),
            TestSetup | StoreFailed => {}
            Listening { kind, address } => {
                fields.word("kind", kind);
                fields.id("address", address);
            }
            NotListening { kind, address, error } => {
                fields.word("kind", kind);
                fields.id("address", address);
                fields.quoted("error", error);
            }
            TooManySessions { kind, limit, peer } => {
                fields.word("kind", kind);
                fields.word("limit", limit);
                fields.peer("peer", *peer);
            }
            SessionFailed { kind } => fields.word("kind", kind),
            Reloaded { waiting_for_restart } => {
                fields.number("waiting_for_restart", *waiting_for_restart);
            }
            NeedsRestart { section, key } => {
                fields.word("section", section);
                fields.word("key", key);
            }
            CertificateRenewed { certificate } => {
                fields.quoted("certificate", &certificate.to_string_lossy());
            }
            CertificateDoubted { certificate, doubt } => {
                fields.quoted("certificate", &certificate.to_string_lossy());
                fields.word("why", doubt.word());
                fields.quoted("error", &doubt.to_string());
            }
            CertificateNotRenewed { error }
            | NotReloaded { error }
            | NoIndex { error }
            | NoResolver { error } => fields.quoted("error", error),
            Stopping { sessions } => fields.number("sessions", *sessions),
            Stopped { cut_off } => fields.number("cut_off", *cut_off),
        }
    }
}
