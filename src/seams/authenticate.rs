//! How a role asks who somebody is, without learning a key.

use crate::base::BoxFuture;
use crate::base::ids::AccountNumber;
use crate::base::secret::SecretBytes;
use crate::mail::Address;
use std::net::IpAddr;

/// The longest user name that is looked at, in octets: a mailbox (RFC 5321 §4.5.3.1.1 and
/// §4.5.3.1.2) in the longest UTF-8 that still makes sense. Longer ones are refused at once.
pub const USER_BYTES_MAX: usize = 1024;

/// The longest password that is looked at, in octets. Longer ones are refused at once.
pub const PASSWORD_BYTES_MAX: usize = 1024;

/// Says whether a credential is right. Implemented by the mailbox role.
///
/// The answer for an unknown user takes the same work and the same words as for a wrong password.
pub trait Authenticate: Send + Sync {
    /// Checks one credential. May wait in the queue for the slow key derivation.
    ///
    /// No key stays in memory on account of this call: submission needs to know who, not to read.
    fn login(&self, request: AuthRequest) -> BoxFuture<'_, AuthVerdict>;
}

/// One attempt to log in.
#[derive(Debug)]
pub struct AuthRequest {
    /// The name as the client sent it (an address; without a domain the first local one is meant).
    pub user: String,
    /// The password as the client sent it, unprepared.
    pub password: SecretBytes,
    /// Where the client is, for fairness between networks; `None` for local commands.
    pub peer: Option<IpAddr>,
    /// What is being logged in to.
    pub service: Service,
}

/// What a login is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Service {
    /// Reading mail.
    Imap,
    /// Submitting mail.
    Submission,
    /// A command of the administrator that brings the owner's credential.
    Command,
}

impl Service {
    /// Its name in logs.
    pub fn word(self) -> &'static str {
        match self {
            Service::Imap => "imap",
            Service::Submission => "submission",
            Service::Command => "command",
        }
    }
}

/// What [`Authenticate::login`] says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum AuthVerdict {
    /// The credential is right.
    Accepted {
        /// Whose it is.
        account: AccountNumber,
        /// The account's address in its one canonical form.
        address: Address,
    },
    /// No such user, a wrong password, or a credential that is not for this service: 535 5.7.8.
    Refused,
    /// It cannot be checked now (too many are waiting, or the account's file does not verify):
    /// 454 4.7.0. Says nothing about the credential.
    TryLater,
}
