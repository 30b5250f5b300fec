//! Mail that a peer encrypted to the owner's identity: whether it is opened, and what it is then.
//!
//! Opening mail without being asked makes the server an oracle: somebody who captured a ciphertext
//! mails it again under his own name, the owner's program shows the old text as new mail from him,
//! and an answer that quotes it is his. So mail is opened only if it is proved who sent it, and if
//! what was encrypted does not say that it was somebody else ([`may_open`]). All other mail stays
//! PGP/MIME, octet for octet, and no key is touched for it where that can be told without one.
//!
//! The decision is made once, at the fold, from what was known when the message arrived. What a UID
//! shows never changes, whatever becomes known later.
//!
//! # What is kept
//! The opened view takes the place of what arrived, which is erased when the view is durable: a
//! second copy would double what an account holds, and would have to be found and erased again with
//! the first. Lost with it are the ciphertext, the outer Subject, and OpenPGP signatures that do
//! not lie in a multipart/signed; the view says what they were found to be.
//!
//! # Known gaps
//! - What a peer encrypted without protecting its header (RFC 3156 alone) and without a signature
//!   that names him is bound to its sender by his proof only: somebody whose own From is proved can
//!   mail another's ciphertext as his own.
//! - The content is parsed in the process that holds the keys, in memory-safe code, on a thread
//!   whose panic leaves the message as it came.
//!
//! # Standards
//! RFC 9788 (header protection; §4.4.5 how addresses are compared), RFC 3156 §4.

mod view;

use super::record::Place;
use crate::base::entropy::Entropy;
use crate::base::secret::SecretBytes;
use crate::mail::{self, Address, EnvelopeAddress, header};
use crate::pgp::mime::{self, InnerSignature};
use crate::store::{self, ArrivalRecord, Destination, Role, SealedArrival, Sender};
use crate::vault::Unlocked;

/// Whom a header names as its author.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Author {
    /// Nobody: it has no From.
    Nobody,
    /// One address in one From field.
    One(Address),
    /// Several, or what is no address.
    Unclear,
}

/// What the decision hangs on.
#[derive(Debug)]
struct Facts {
    /// The outer From was proved when the message arrived.
    from_is_proved: bool,
    /// What the certificate known for the outer From says of a signature inside.
    signature: InnerSignature,
    /// The outer From.
    outer: Author,
    /// Every From inside the encryption that could be taken for the message's, and the addresses
    /// that its signatures name.
    inner: Vec<Author>,
}

/// The rule. Everything that is not said here stays as it came.
fn may_open(facts: &Facts) -> bool {
    let Author::One(outer) = &facts.outer else { return false };
    let agrees = |inner: &Author| match inner {
        Author::Nobody => true,
        Author::One(inner) => is_same(inner, outer),
        Author::Unclear => false,
    };
    let is_proved = facts.from_is_proved || facts.signature == InnerSignature::Good;
    is_proved && facts.inner.iter().all(agrees)
}

/// RFC 9788 §4.4.5: domains as A-labels, local parts in ASCII, both without regard to case.
fn is_same(one: &Address, other: &Address) -> bool {
    one.domain() == other.domain() && one.local().eq_ignore_ascii_case(other.local())
}

/// Whether a message may turn out to be one that is opened, without any key.
pub(super) fn is_candidate(record: &ArrivalRecord) -> bool {
    let Some(sender) = &record.pgp_mime else { return false };
    (sender.proved.author() || sender.certificate.is_some())
        && record.structure.is_some()
        && (record.size as usize) <= mime::MESSAGE_BYTES_MAX
        && record.header.as_deref().is_some_and(|header| matches!(author(header), Author::One(_)))
}

/// Opens a candidate: what it is shown as, and the record of that. `None` if it stays as it came.
pub(super) fn open(
    message: &[u8],
    record: &ArrivalRecord,
    unlocked: &Unlocked,
) -> Option<(SecretBytes, ArrivalRecord)> {
    let Sender { proved, certificate } = record.pgp_mime.as_ref()?;
    let structure = record.structure.as_ref()?;
    // The record is ours or forged; the octets are what count.
    let outer = message.get(structure.parts.first()?.header.range())?;
    let keys = unlocked.identity_keys();
    let opened =
        mime::open(message, structure, keys, certificate.as_deref(), record.received).ok()?;
    let payload = view::Payload::of(&opened);
    let signers = opened.named_signers.iter().map(|signer| signer_author(signer));
    let inner = payload.headers().map(author).chain(signers).collect();
    let (from_is_proved, signature) = (proved.author(), opened.signature);
    let facts = Facts { from_is_proved, signature, outer: author(outer), inner };
    // No literal of IMAP may hold a NUL (RFC 3501 §4.3).
    if !may_open(&facts) || opened.entity.expose().contains(&0) {
        return None;
    }
    let shown = view::write(outer, &payload, *proved, signature);
    let (role, detail) = (Role::Filed, record.detail.as_deref());
    let analysis = mail::analyse(shown.expose());
    let record =
        ArrivalRecord::new(role, detail, record.received, shown.expose(), analysis).ok()?;
    Some((shown, record))
}

/// Seals an opened view to the current epoch, as APPEND seals a message.
pub(super) fn seal(
    view: &[u8],
    record: &ArrivalRecord,
    unlocked: &Unlocked,
    place: &Place,
    entropy: &dyn Entropy,
) -> Option<SealedArrival> {
    let Place { server, account, .. } = *place;
    let to = Destination { server, account, key: unlocked.seal_key() };
    store::seal(&to, view, record, entropy).ok()
}

/// Whom a header block names as its author.
fn author(block: &[u8]) -> Author {
    let mut fields = header::fields(block).filter(|field| field.is("From"));
    let Some(field) = fields.next() else { return Author::Nobody };
    if fields.next().is_some() {
        return Author::Unclear;
    }
    let envelope = mail::analyse(field.raw).envelope;
    match &envelope.from[..] {
        [one] => address(one).map_or(Author::Unclear, Author::One),
        _ => Author::Unclear,
    }
}

/// Whom a signature names as its maker. What is no address of mail says nothing.
fn signer_author(name: &str) -> Author {
    Address::parse(name.as_bytes()).map_or(Author::Nobody, Author::One)
}

fn address(written: &EnvelopeAddress) -> Option<Address> {
    let local = std::str::from_utf8(written.mailbox.as_deref()?).ok()?;
    let domain = written.host.as_deref()?;
    Address::parse(&[b"x@", domain].concat()).ok()?.with_local(local).ok()
}

#[cfg(test)]
mod tests;
