//! What others will hold against a certificate that can be served: its days and its names.
//!
//! # Standards
//! RFC 5280 §4.1.2.5 (days), RFC 6125 (names), through rustls and webpki.

use super::{Tls, TlsError, offered, read_chain};
use crate::base::clock::UnixTime;
use crate::base::crypto::sha256;
use crate::mail::DateTime;
use rustls::client::{verify_server_cert_signed_by_trust_anchor, verify_server_name};
use rustls::pki_types::{self, CertificateDer, ServerName};
use rustls::server::ParsedCertificate;
use rustls::{CertificateError, Error, RootCertStore};
use std::path::Path;
use std::sync::PoisonError;
use std::time::Duration;

/// From how long before its end on a certificate is warned about, in seconds: renewals are due
/// weeks earlier, so one that comes so near has failed.
const NEAR_END_SECONDS: i64 = 14 * 86_400;

/// One thing that others will hold against a certificate.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Doubt {
    /// It is valid from this time on only.
    Early(UnixTime),
    /// It was valid until this time.
    Over(UnixTime),
    /// It is valid until this time, which is near.
    NearEnd(UnixTime),
    /// It is not for the server's own name.
    OtherName,
}

impl Doubt {
    /// What kind it is of, for logs.
    pub fn word(self) -> &'static str {
        match self {
            Doubt::Early(_) => "not-valid-yet",
            Doubt::Over(_) => "expired",
            Doubt::NearEnd(_) => "expires-soon",
            Doubt::OtherName => "other-name",
        }
    }

    /// Whether others refuse the certificate for it already, whatever name they look for.
    pub fn is_refused(self) -> bool {
        matches!(self, Doubt::Early(_) | Doubt::Over(_))
    }
}

impl std::fmt::Display for Doubt {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let date = |at: UnixTime| DateTime::from_unix(at, 0).to_rfc5322();
        match *self {
            Doubt::Early(from) => write!(f, "is not valid before {}", date(from)),
            Doubt::Over(end) => write!(f, "has expired at {}: renew it", date(end)),
            Doubt::NearEnd(end) => write!(f, "expires at {}: renew it", date(end)),
            Doubt::OtherName => {
                f.write_str("is not for server.hostname: programs that check the name refuse it")
            }
        }
    }
}

/// A certificate that is served, and what others will hold against it.
#[derive(Debug)]
pub struct Look {
    /// What tells it from others.
    pub digest: [u8; 32],
    /// What there is.
    pub doubts: Vec<Doubt>,
}

impl Tls {
    /// Looks at the certificate that is served now, for a server of that name if there is one.
    pub fn look(&self, hostname: Option<&str>, now: UnixTime) -> Look {
        let served = self.certificate.0.read().unwrap_or_else(PoisonError::into_inner).clone();
        let first = served.cert.first();
        Look {
            digest: sha256(&[first.map(AsRef::as_ref).unwrap_or_default()]),
            doubts: first.map(|first| all(first, hostname, now)).unwrap_or_default(),
        }
    }
}

/// What there is against the first certificate in the file, for a server of that name if there is
/// one.
pub fn doubts(
    certificate: &Path,
    hostname: Option<&str>,
    now: UnixTime,
) -> Result<Vec<Doubt>, TlsError> {
    let chain = read_chain(certificate)?;
    Ok(chain.first().map(|first| all(first, hostname, now)).unwrap_or_default())
}

/// One that does not parse is refused elsewhere.
fn all(first: &CertificateDer<'_>, hostname: Option<&str>, now: UnixTime) -> Vec<Doubt> {
    let Ok(parsed) = ParsedCertificate::try_from(first) else { return Vec::new() };
    let other = hostname
        .and_then(|name| ServerName::try_from(name).ok())
        .filter(|name| verify_server_name(&parsed, name).is_err());
    let soon = UnixTime(now.0.saturating_add(NEAR_END_SECONDS));
    let of_days = match (out_of_time(&parsed, now), out_of_time(&parsed, soon)) {
        (None, Some(Doubt::Over(end))) => Some(Doubt::NearEnd(end)),
        (now, _) => now,
    };
    of_days.into_iter().chain(other.map(|_| Doubt::OtherName)).collect()
}

/// Without any authority the verification always fails, but for the days of the certificate itself
/// first.
fn out_of_time(parsed: &ParsedCertificate<'_>, at: UnixTime) -> Option<Doubt> {
    let known = offered().signature_verification_algorithms.all;
    let seconds = Duration::from_secs(u64::try_from(at.0).unwrap_or_default());
    let when = pki_types::UnixTime::since_unix_epoch(seconds);
    let roots = RootCertStore::empty();
    let time = |time: pki_types::UnixTime| UnixTime(time.as_secs() as i64);
    match verify_server_cert_signed_by_trust_anchor(parsed, &roots, &[], when, known) {
        Err(Error::InvalidCertificate(CertificateError::ExpiredContext { not_after, .. })) => {
            Some(Doubt::Over(time(not_after)))
        }
        Err(Error::InvalidCertificate(CertificateError::NotValidYetContext {
            not_before, ..
        })) => Some(Doubt::Early(time(not_before))),
        _ => None,
    }
}
