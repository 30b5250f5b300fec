//! What a search for a recipient's key ends with, and the trait that others search by.
//!
//! The words matter: *none* means that it is known that there is no key, and never that nothing
//! could be learnt. Whoever can make a search fail must not be able to make mail go out plain.

use crate::base::BoxFuture;
use crate::base::ids::AccountNumber;
use crate::mail::Address;
use crate::pgp::{PeerCert, Unusable};
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

/// What was found for an address.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// A certificate that mail is sealed to.
    Key {
        /// The certificate, judged for the address.
        cert: Arc<PeerCert>,
        /// Whether it comes from memory because it could not be asked for anew, or is gone since a
        /// short while.
        stale: bool,
    },
    /// There is no key, and never was one.
    None,
    /// There is one that must not be used.
    Unusable(Unusable),
    /// Nothing could be learnt. To be asked again later.
    Failed(FailWhy),
    /// A key was once seen for the address, and none is published since too long a time.
    Vanished,
}

/// Why nothing could be learnt.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum FailWhy {
    /// Names could not be resolved.
    Dns,
    /// The answer does not hold under DNSSEC: forged, or its signatures were lost on the way.
    Bogus,
    /// No connection to the directory's server.
    Connect,
    /// Its certificate is not valid for its name.
    Tls,
    /// It did not answer in time.
    Timeout,
    /// It answered with this HTTP status, which says neither that there is a key nor that there is
    /// none.
    Status(u16),
    /// Its answer is no answer of a directory: a web page, or broken HTTP.
    NotADirectory,
    /// Its answer is larger than any certificate.
    TooLarge,
    /// It is at an address that must not be asked: a private or local one.
    Forbidden,
    /// Too many searches run at this moment.
    Busy,
}

/// For whom a message is remembered as confidential.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Circle {
    /// All who write here: we sealed it.
    Everybody,
    /// The one account that it came to sealed. Anybody can send such a message, under the id of any
    /// other: it must make nobody else's answers wait.
    Account(AccountNumber),
}

/// Finds recipients' keys. Implemented by discovery, over caches and the network.
pub trait FindKey: Send + Sync {
    /// Searches for the key of `address`, for `time_max` at most; [`FailWhy::Timeout`] then.
    fn find<'a>(&'a self, address: &'a Address, time_max: Duration) -> BoxFuture<'a, Verdict>;

    /// The certificate that mail to the address would be sealed to without asking anybody: binary.
    fn known(&self, address: &Address) -> Option<Vec<u8>>;

    /// Remembers that a message went out sealed (or came in so), so that a reply to it is not sent
    /// in the clear unasked. `message_id` is written as in the field, with or without its brackets.
    fn note_confidential(&self, circle: Circle, message_id: &str);

    /// Whether [`FindKey::note_confidential`] was told of this message, for everybody or for
    /// `reader`.
    fn is_confidential(&self, reader: Option<AccountNumber>, message_id: &str) -> bool;
}

impl fmt::Display for FailWhy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            FailWhy::Dns => "the key directory's name could not be resolved",
            FailWhy::Bogus => "what was said about the key directory does not hold under DNSSEC",
            FailWhy::Connect => "the key directory could not be reached",
            FailWhy::Tls => "the key directory's certificate is not valid",
            FailWhy::Timeout => "the key directory did not answer in time",
            FailWhy::Status(status) => {
                return write!(f, "the key directory answered with status {status}");
            }
            FailWhy::NotADirectory => "what answered is no key directory",
            FailWhy::TooLarge => "the key directory's answer is too large",
            FailWhy::Forbidden => "the key directory is at an address that is not asked",
            FailWhy::Busy => "too many keys are being looked up",
        })
    }
}
