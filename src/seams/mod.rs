//! The seams: the traits where roles meet, so that no role imports another.
//!
//! The relay role receives mail and asks [`Deliver`] to seal and store it; it asks [`Authenticate`]
//! whether a user may submit; it and the web role learn our users' public keys by [`Publish`].
//! Roles turn a plain connection into a protected one through [`UpgradeTls`] and reach others
//! through [`Dial`], which the real world (`host`) implements. All are object safe and answer with
//! boxed futures, so that a role may become a process of its own behind the same trait.
//!
//! What crosses a seam is owned and bounded by the side that sends it: a message is one buffer
//! whose octets the receiver has already admitted to its byte budget. No key and no witness of an
//! unlocked account ever crosses a seam.

mod authenticate;
mod deliver;
mod dial;
mod publish;
mod tls;

pub use authenticate::{
    AuthRequest, AuthVerdict, Authenticate, PASSWORD_BYTES_MAX, Service, USER_BYTES_MAX,
};
pub use deliver::{
    Deliver, DeliverError, Delivery, LocalRecipient, RECIPIENTS_MAX, RecipientVerdict, Role,
    SenderProof,
};
pub use dial::{Dial, PeerCheck};
pub use publish::{Publish, Published};
pub use tls::{BoxStream, Stream, TlsFacts, TlsStream, UpgradeTls};
