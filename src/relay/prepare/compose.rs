//! The copies of a message: sealed together, sealed alone, plain; each signed over what is sent.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::examine::{Examined, off_thread};
use super::{Planned, PrepareOptions, Preparer};
use crate::base::entropy::{self, Entropy};
use crate::discovery::Circle;
use crate::mail::Address;
use crate::mail::wire;
use crate::mailauth::Signer;
use crate::pgp::{MimeError, PeerCert, PeerKind, autocrypt_field, seal_mime};
use crate::plan::{Plan, Why};
use crate::relay::outgoing::{Action, Outgoing, Prepared};

/// Copies for one recipient each that are made at once: as many as go side by side where there are
/// places (Postfix `default_destination_concurrency_limit`).
pub(super) const ALONE_MAX: usize = 20;
/// Octets of the messages in such copies.
const ALONE_BYTES_MAX: usize = 64 << 20;

/// Signs what goes out.
pub trait Sign: Send + Sync {
    /// The fields to put in front of `message` (CRLF line ends); `None` to send it unsigned.
    fn sign(&self, message: &[u8], from_domain: &str) -> Option<Vec<u8>>;
}

impl Sign for Signer {
    fn sign(&self, message: &[u8], from_domain: &str) -> Option<Vec<u8>> {
        Signer::sign(self, message, from_domain)
    }
}

/// What all copies of one message have in common.
#[derive(Clone)]
struct Source {
    message: Arc<Vec<u8>>,
    /// An Autocrypt field to put in front, or nothing.
    autocrypt: Vec<u8>,
    from_domain: Option<String>,
    /// Whether its sender has said that it needs SMTPUTF8.
    utf8: bool,
    seven_bit: bool,
    sign: Arc<dyn Sign>,
}

/// What is done after work on a message died: a fault of ours, so that it is tried again.
pub(super) fn died() -> Action {
    Action::Defer { status: "4.3.0", why: "the message could not be worked on".to_owned() }
}

impl Preparer {
    /// Carries the plans out, but for those of blind recipients beyond what is made at once. No
    /// recipient is twice in what comes back; the order tells nothing.
    pub(super) async fn compose(
        &self,
        message: &Outgoing,
        examined: &Examined,
        options: &PrepareOptions,
        mut planned: Vec<Planned>,
    ) -> Vec<Prepared> {
        shuffle(&mut planned, &*self.world.entropy);
        let mut alone_left = alone_max(message.message.len());
        let source = self.source(message, examined, options).await;
        let mut out = Vec::new();
        let mut together: BTreeMap<Option<PeerKind>, Vec<Planned>> = BTreeMap::new();
        let mut plain = Vec::new();
        for planned in planned {
            match (&planned.plan, planned.action()) {
                (_, Some(action)) => {
                    out.push(Prepared { recipients: vec![planned.recipient], action });
                }
                (Plan::Seal { alone: true }, _) if alone_left == 0 => {}
                (Plan::Seal { alone: true }, _) => {
                    alone_left -= 1;
                    out.push(self.sealed(&source, vec![planned]).await)
                }
                (Plan::Seal { alone: false }, _) => {
                    let kind = planned.cert.as_ref().map(|cert| cert.kind());
                    together.entry(kind).or_default().push(planned);
                }
                _ => plain.push(planned),
            }
        }
        for alike in together.into_values() {
            out.push(self.sealed(&source, alike).await);
        }
        if !plain.is_empty() {
            out.push(self.plain(&source, plain).await);
        }
        let is_sealed =
            |prepared: &Prepared| matches!(prepared.action, Action::Send { sealed: true, .. });
        if out.iter().any(is_sealed)
            && let Some(id) = &examined.message_id
        {
            self.world.keys.note_confidential(Circle::Everybody, id);
        }
        shuffle(&mut out, &*self.world.entropy);
        out
    }

    async fn source(
        &self,
        message: &Outgoing,
        examined: &Examined,
        options: &PrepareOptions,
    ) -> Source {
        // A sender whose program does OpenPGP by itself speaks for himself.
        let wanted = options.autocrypt
            && message.owner.is_some()
            && !examined.has_autocrypt
            && !examined.sealed_already;
        let author = examined.author.as_ref();
        let autocrypt = match author.filter(|_| wanted) {
            Some(author) => self.autocrypt(author).await,
            None => None,
        };
        Source {
            message: Arc::clone(&message.message),
            autocrypt: autocrypt.unwrap_or_default(),
            utf8: message.utf8,
            seven_bit: message.seven_bit,
            from_domain: author.map(|author| author.domain().to_owned()),
            sign: Arc::clone(&self.world.sign),
        }
    }

    async fn autocrypt(&self, author: &Address) -> Option<Vec<u8>> {
        let published = self.world.publish.by_address(author).await?;
        autocrypt_field(author, &published.certificate)
    }

    /// One ciphertext to all of `planned`.
    async fn sealed(&self, source: &Source, planned: Vec<Planned>) -> Prepared {
        let recipients = positions(&planned);
        let mut certs: Vec<Arc<PeerCert>> =
            planned.into_iter().filter_map(|planned| planned.cert).collect();
        shuffle(&mut certs, &*self.world.entropy);
        let entropy = Arc::clone(&self.world.entropy);
        let source = source.clone();
        let made = off_thread(source.message.len(), move || {
            seal_mime(&source.with_autocrypt(), &certs, &*entropy)
                .map(|sealed| source.signed_if_fit(&sealed))
        });
        let action = match made.await {
            Some(Ok(Ok((message, utf8)))) => Action::Send { message, sealed: true, utf8 },
            Some(Ok(Err(unfit))) => unfit,
            Some(Err(MimeError::TooLarge)) => {
                Action::Bounce { status: "5.3.4", why: MimeError::TooLarge.to_string() }
            }
            // A key that was tried out when it was judged, and nevertheless: never plain for that.
            Some(Err(error)) => Action::Hold { why: format!("it could not be sealed: {error}") },
            None => died(),
        };
        Prepared { recipients, action }
    }

    /// One copy as it was submitted, for all of `planned`.
    async fn plain(&self, source: &Source, planned: Vec<Planned>) -> Prepared {
        let sealed = planned.iter().all(|planned| planned.plan == Plan::Plain(Why::SealedAlready));
        let recipients = positions(&planned);
        let source = source.clone();
        let made = off_thread(source.message.len(), move || {
            source.signed_if_fit(&source.with_autocrypt())
        });
        let action = match made.await {
            Some(Ok((message, utf8))) => Action::Send { message, sealed, utf8 },
            Some(Err(unfit)) => unfit,
            None => died(),
        };
        Prepared { recipients, action }
    }
}

impl Source {
    fn with_autocrypt(&self) -> Vec<u8> {
        [&self.autocrypt[..], &self.message].concat()
    }

    /// The message as it can go over the wire, its signatures in front, and whether it needs
    /// SMTPUTF8; or why it cannot. RFC 6531 §3.6 lets a sender say SMTPUTF8 without need.
    fn signed_if_fit(&self, message: &[u8]) -> Result<(Arc<Vec<u8>>, bool), Action> {
        // RFC 3463 §3.7: conversion is required and not possible.
        let unfit = |why: wire::Unfit| Action::Bounce { status: "5.6.3", why: why.to_string() };
        let narrow = self.seven_bit.then(|| wire::conform_to_seven_bits(message).ok()).flatten();
        let message = narrow.map_or_else(|| wire::conform(message), Ok).map_err(unfit)?;
        let domain = self.from_domain.as_deref();
        let fields = domain.and_then(|domain| self.sign.sign(&message, domain));
        let utf8 = self.utf8 && wire::has_eight_bit_headers(&message);
        let signed = match fields {
            Some(fields) => [fields, message.into_owned()].concat(),
            None => message.into_owned(),
        };
        Ok((Arc::new(signed), utf8))
    }
}

fn positions(planned: &[Planned]) -> Vec<usize> {
    let mut all: Vec<usize> = planned.iter().map(|planned| planned.recipient).collect();
    all.sort_unstable();
    all
}

/// How many recipients get copies of their own at once, of a message of so many octets.
fn alone_max(bytes: usize) -> usize {
    (ALONE_BYTES_MAX / bytes.max(1)).clamp(1, ALONE_MAX)
}

/// Fisher and Yates; the bias of the remainder is far below what an order could tell.
fn shuffle<T>(items: &mut [T], entropy: &dyn Entropy) {
    for last in (1..items.len()).rev() {
        let random = u64::from_le_bytes(entropy::bytes(entropy));
        items.swap(last, (random % (last as u64 + 1)) as usize);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn few_large_copies_are_made_at_once() {
        let made = [0, 1000, 3 << 20, 10 << 20, 50 << 20, 500 << 20].map(alone_max);
        assert_eq!(made, [ALONE_MAX, ALONE_MAX, ALONE_MAX, 6, 1, 1]);
    }
}
