//! How others learn our users' public keys.

use crate::base::BoxFuture;
use crate::mail::Address;

/// Gives out public certificates of local accounts. Implemented by the mailbox role, which answers
/// only with what its account files vouch for.
pub trait Publish: Send + Sync {
    /// The certificate that is published for the local part whose WKD hash is `hash` (32 letters of
    /// z-base-32) in `domain`: binary, with the User ID of that one address and no other.
    fn by_hash<'a>(&'a self, domain: &'a str, hash: &'a str) -> BoxFuture<'a, Option<Published>>;

    /// The same by address. A recipient delimiter is not looked at.
    fn by_address<'a>(&'a self, address: &'a Address) -> BoxFuture<'a, Option<Published>>;
}

/// A certificate that may be shown to anybody.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Published {
    /// Whose, in its one form.
    pub address: Address,
    /// The certificate, binary.
    pub certificate: Vec<u8>,
}
