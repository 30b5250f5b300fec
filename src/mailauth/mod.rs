//! Who wrote it: SPF, DKIM, DMARC and ARC verdicts on what comes in, and DKIM signatures on what
//! goes out.
//!
//! The verdicts are made by [`CheckSender`], implemented in `host` with mail-auth and a resolver.
//! What is asked of it, how much of a message it may look at, what a verdict means and how it is
//! written down are decided here, without I/O. A verdict never refuses a message: it may file one
//! as junk, and it decides what is proved to be of the author ([`Verdicts::proved`]).
//!
//! # Standards
//! RFC 6376, 8301 and 8463 (DKIM), RFC 7208 (SPF), RFC 7489 with the tree walk of RFC 9989 (DMARC),
//! RFC 8617 (ARC), RFC 8601 (Authentication-Results).
//!
//! # Known gaps
//! An ARC chain that passes is written down and changes nothing: there is no list of forwarders who
//! are believed. No reports are sent to domains that ask for them (`rua`, `ruf`).

mod align;
mod author;
mod body;
mod bounded;
mod results;
mod sign;
mod verdicts;

pub use align::speaks_for;
pub use author::{authors, only_author};
pub use bounded::{BodyHashes, Bounded, Outline, SIGNATURES_MAX};
pub use results::write_results;
pub use sign::{KeyKind, Signer, SigningKey, key_record};
pub use verdicts::{
    ArcResult, DkimResult, DkimVerdict, DmarcResult, DmarcVerdict, Policy, SpfResult, SpfVerdict,
    Verdicts,
};

use crate::base::BoxFuture;
use crate::mail::Address;
use std::net::IpAddr;
use std::time::Duration;

/// What SMTP told of a message.
#[derive(Clone, Copy, Debug)]
pub struct Envelope<'a> {
    /// Who is at the other end.
    pub peer: IpAddr,
    /// The name of EHLO or HELO; empty if there was none.
    pub helo: &'a str,
    /// The reverse path, `None` for the null one.
    pub from: Option<&'a Address>,
    /// The name this server calls itself by.
    pub hostname: &'a str,
}

/// Judges who sent a message.
pub trait CheckSender: Send + Sync {
    /// The verdicts on `message`, the original octets, after at most `time_max`: what is not known
    /// by then is a temporary error. Never fails.
    fn check<'a>(
        &'a self,
        envelope: Envelope<'a>,
        message: &'a [u8],
        time_max: Duration,
    ) -> BoxFuture<'a, Verdicts>;
}

/// Whether a peer is this machine or in a private network, which SPF says nothing about: loopback,
/// RFC 1918, RFC 4193 and link-local addresses.
pub fn is_near(peer: IpAddr) -> bool {
    match peer.to_canonical() {
        IpAddr::V4(v4) => v4.is_loopback() || v4.is_private() || v4.is_link_local(),
        IpAddr::V6(v6) => v6.is_loopback() || v6.is_unique_local() || v6.is_unicast_link_local(),
    }
}

#[cfg(test)]
mod tests {
    #[test]
    fn a_near_peer_is_told_from_a_far_one() {
        for near in ["127.0.0.1", "10.1.2.3", "::1", "fd00::1", "fe80::1", "::ffff:192.168.0.1"] {
            assert!(super::is_near(near.parse().unwrap()), "{near}");
        }
        for far in ["192.0.2.1", "2001:db8::1", "::ffff:203.0.113.1", "100.64.0.1"] {
            assert!(!super::is_near(far.parse().unwrap()), "{far}");
        }
    }
}
