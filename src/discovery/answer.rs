//! What answers mean, of name servers and of directories. Pure.
//!
//! The one rule: *absent* is said only where it is known. Everything that an attacker on the way or
//! a fault could bring about as well is a failure.
//!
//! # Standards
//! draft-koch-openpgp-webkey-service-22 §3.1, RFC 9110 §15 (status codes), RFC 4035 §4.3.

use super::verdict::FailWhy;
use crate::base::clock::UnixTime;
use crate::base::fetch::{FetchError, Fetched};
use crate::dns::{DnsError, Lookup, Proof};
use crate::mail::Address;
use crate::pgp::{self, PeerCert, Unusable};
use std::net::IpAddr;
use std::sync::Arc;

/// Addresses of one host that are looked at; the rest of a longer list is passed over.
const ADDRESSES_MAX: usize = 16;

/// What one search found out, whatever was known before.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// A certificate that can be used.
    Key(Arc<PeerCert>),
    /// The directory says that there is no key, or the name system that there is no directory.
    Absent,
    /// There is a certificate that cannot be used.
    Unusable(Unusable),
    /// Nothing was found out.
    Failed(FailWhy),
}

/// What is known of a host's addresses.
pub(super) enum Addresses {
    /// They, at least one.
    Found(Vec<IpAddr>),
    /// There are none.
    Absent(Proof),
    /// Nothing is known.
    Failed(FailWhy),
}

pub(super) fn addresses(lookup: Lookup<IpAddr>) -> Addresses {
    match lookup {
        Lookup::Found { mut records, .. } if !records.is_empty() => {
            records.truncate(ADDRESSES_MAX);
            // A host without IPv6 of its own reaches most others sooner by IPv4.
            records.sort_by_key(IpAddr::is_ipv6);
            Addresses::Found(records)
        }
        Lookup::Found { .. } => Addresses::Failed(FailWhy::Dns),
        Lookup::Absent { proof, .. } => Addresses::Absent(proof),
        Lookup::Failed(DnsError::Bogus) => Addresses::Failed(FailWhy::Bogus),
        Lookup::Failed(DnsError::Timeout | DnsError::Server) => Addresses::Failed(FailWhy::Dns),
    }
}

/// What a directory's answer is.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Answer {
    /// What is published, still to be judged.
    Published(Vec<u8>),
    /// Nothing is.
    Absent,
    /// To be asked elsewhere.
    Elsewhere {
        /// Where, as sent.
        location: String,
        /// The status with which it came.
        status: u16,
    },
    /// Nothing is known.
    Failed(FailWhy),
}

pub(super) fn answer(fetched: Result<Fetched, FetchError>) -> Answer {
    let fetched = match fetched {
        Ok(fetched) => fetched,
        Err(error) => return Answer::Failed(failure(error)),
    };
    match (fetched.status, fetched.location) {
        (200, _) if is_page(fetched.content_type.as_deref(), &fetched.body) => {
            Answer::Failed(FailWhy::NotADirectory)
        }
        (200, _) => Answer::Published(fetched.body),
        (404 | 410, _) => Answer::Absent,
        (status @ (301 | 302 | 303 | 307 | 308), Some(location)) => {
            Answer::Elsewhere { location, status }
        }
        (status, _) => Answer::Failed(FailWhy::Status(status)),
    }
}

fn failure(error: FetchError) -> FailWhy {
    match error {
        FetchError::Connect => FailWhy::Connect,
        FetchError::Tls => FailWhy::Tls,
        FetchError::Timeout => FailWhy::Timeout,
        FetchError::TooLarge => FailWhy::TooLarge,
        FetchError::Broken => FailWhy::NotADirectory,
    }
}

/// Web servers answer 200 with a page where they should have said 404. Any type is to be accepted
/// (draft §3.1), so a binary certificate counts however it is labelled; but armor in a page is
/// none.
fn is_page(content_type: Option<&str>, body: &[u8]) -> bool {
    let kind = content_type.unwrap_or_default().split(';').next().unwrap_or_default().trim();
    let is_labelled = kind.eq_ignore_ascii_case("text/html")
        || kind.eq_ignore_ascii_case("application/xhtml+xml");
    let is_written = body.trim_ascii_start().first() == Some(&b'<');
    (is_labelled || is_written) && !is_binary(body)
}

/// Whether these octets can begin an OpenPGP packet (RFC 9580 §4.2). Others are armored, which the
/// draft advises against and which is tolerated.
pub(super) fn is_binary(body: &[u8]) -> bool {
    body.first().is_some_and(|first| first & 0x80 != 0)
}

/// Judges what a directory has published. Octets that are no certificate are a failure and not a
/// key that cannot be used: they come from cut answers and from pages.
pub(super) fn published(body: &[u8], address: &Address, now: UnixTime) -> Outcome {
    match pgp::judge_cert(body, address, now) {
        Ok(cert) => Outcome::Key(Arc::new(cert)),
        Err(Unusable::Malformed) => Outcome::Failed(FailWhy::NotADirectory),
        Err(why) => Outcome::Unusable(why),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn fetched(status: u16, content_type: &str, location: Option<&str>, body: &[u8]) -> Answer {
        answer(Ok(Fetched {
            status,
            content_type: Some(content_type.into()),
            location: location.map(str::to_owned),
            body: body.to_vec(),
        }))
    }

    #[test]
    fn only_404_and_410_say_that_there_is_no_key() {
        for status in 100..=599 {
            let answer = fetched(status, "application/octet-stream", None, b"\x98");
            assert_eq!(answer == Answer::Absent, matches!(status, 404 | 410), "{status}");
            assert_eq!(matches!(answer, Answer::Published(_)), status == 200, "{status}");
        }
    }

    #[test]
    fn pages_are_no_answers_and_labels_do_not_matter_otherwise() {
        let page = Answer::Failed(FailWhy::NotADirectory);
        assert_eq!(fetched(200, "text/html; charset=utf-8", None, b"not here"), page);
        assert_eq!(fetched(200, "TEXT/HTML", None, b""), page);
        assert_eq!(fetched(200, "application/octet-stream", None, b"\r\n <!doctype html>"), page);
        let published = Answer::Published(b"\x98\x33".to_vec());
        assert_eq!(fetched(200, "text/html", None, b"\x98\x33"), published);
        assert_eq!(fetched(200, "application/pgp-keys", None, b"\x98\x33"), published);
        assert!(!is_binary(b"-----BEGIN PGP") && !is_binary(b""));
    }

    #[test]
    fn a_redirect_without_a_place_is_a_failure() {
        assert_eq!(fetched(302, "", None, b""), Answer::Failed(FailWhy::Status(302)));
        let elsewhere = Answer::Elsewhere { location: "/x".into(), status: 308 };
        assert_eq!(fetched(308, "", Some("/x"), b""), elsewhere);
        assert_eq!(fetched(304, "", Some("/x"), b""), Answer::Failed(FailWhy::Status(304)));
    }

    proptest! {
        #[test]
        fn no_body_makes_the_judge_panic_or_say_absent(body in any::<Vec<u8>>()) {
            let address = "a@b.example".parse().unwrap();
            let outcome = published(&body, &address, UnixTime(1_796_000_000));
            prop_assert!(!matches!(outcome, Outcome::Absent | Outcome::Key(_)));
        }
    }
}
