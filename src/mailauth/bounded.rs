//! How much of a message is looked at, whoever wrote it and for whatever cost.
//!
//! mail-auth reads everything that it is given: each of ten thousand signatures, each of a hundred
//! thousand names in `h=` against each field. [`Bounded`] gives it a header block of limited size,
//! keeps the few signatures that may be believed, and hashes the body once for each way of writing
//! it (there are two).
//!
//! # Standards
//! RFC 6376 §6.1 (a verifier may limit its work), §3.5 and §5.4 (From must be signed), §8.2 (`l=`),
//! RFC 8301 §3.1 (no SHA-1), RFC 8617 §4.2.1 (instances; 50 there, fewer here).

use super::author::{authors, only_author};
use super::body::BodyHash;
use super::verdicts::{ArcResult, DkimResult, DkimVerdict};
use crate::mail::{Address, ProvedFields, header};
use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use mail_auth::common::crypto::{Algorithm, HashAlgorithm};
use mail_auth::common::headers::Header;
use mail_auth::dkim::{Canonicalization, DkimError, Signature};
use mail_auth::{AuthenticatedMessage, DkimOutput, Error};

/// Octets of a header that is looked at; a longer one gets no verdict by DKIM or ARC. Postfix's
/// `header_size_limit` is 100 KiB for one field.
pub const HEADER_BYTES_MAX: usize = 256 * 1024;

/// Fields of a header that is looked at.
const FIELDS_MAX: usize = 1000;

/// Signatures that are verified, those of the author's domain first. OpenDKIM's default is three,
/// Gmail's eight.
pub const SIGNATURES_MAX: usize = 5;

/// Names in a signature's `h=`; each is sought among all fields.
const SIGNED_NAMES_MAX: usize = 200;

/// Sets of an ARC chain.
const ARC_SETS_MAX: usize = 20;

/// Octets of `b=` that tell signatures apart (RFC 6008 §4: at least eight).
const START_BYTES: usize = 8;

/// What a message is made of, found without reading any signature.
#[derive(Clone, Debug)]
pub struct Outline<'x> {
    /// The header with the empty line behind it.
    pub header: &'x [u8],
    /// What follows.
    pub body: &'x [u8],
    /// The one author.
    pub author: Option<Address>,
    /// All authors, one for each domain; `None` if it is not clear who they are.
    pub authors: Option<Vec<Address>>,
    /// There is something to verify: a signature or a chain, in a header that is one for everybody.
    pub is_signed: bool,
}

impl<'x> Outline<'x> {
    /// Looks at `message`.
    pub fn of(message: &'x [u8]) -> Outline<'x> {
        let (header, body) = message.split_at(header::header_bytes(message));
        // A header that ends without an empty line or begins as an mbox does is read differently
        // elsewhere. What we verify must be what is shown.
        let ends = header.ends_with(b"\n\r\n") || header == b"\r\n" || body.is_empty();
        let begins = !header.starts_with(b"From ") && !header.starts_with(b">From ");
        let is_signed = ends
            && begins
            && header::fields(header)
                .any(|field| field.is("DKIM-Signature") || field.is("ARC-Seal"));
        let (author, authors) = (only_author(header), authors(message));
        Outline { header, body, author, authors, is_signed }
    }
}

/// A message as mail-auth may see it, with the verdicts that need no key.
pub struct Bounded<'x> {
    /// For mail-auth: its signatures are at most [`SIGNATURES_MAX`], and those of `h=` that sign
    /// From, by SHA-256 and over the whole body.
    pub message: AuthenticatedMessage<'x>,
    /// On signatures that are not verified.
    dismissed: Vec<DkimVerdict>,
    /// On a chain that is not verified.
    arc: Option<ArcResult>,
}

impl<'x> Bounded<'x> {
    /// Reads the header of `outline`; `None` if it has no signature or is too large.
    pub fn read(outline: &Outline<'x>) -> Option<Bounded<'x>> {
        let fields = header::fields(outline.header).take(FIELDS_MAX + 1).count();
        if !outline.is_signed || outline.header.len() > HEADER_BYTES_MAX || fields > FIELDS_MAX {
            return None;
        }
        let mut message = AuthenticatedMessage::parse_with_opts(outline.header, None, true)?;
        message.from = outline.author.iter().map(|a| a.to_string().to_lowercase()).collect();
        let mut bounded = Bounded { message, dismissed: Vec::new(), arc: None };
        bounded.choose(outline.author.as_ref().map_or("", Address::domain));
        bounded.bound_arc();
        Some(bounded)
    }

    /// Keeps the signatures that are worth verifying, the author's first.
    fn choose(&mut self, author: &str) {
        let all = std::mem::take(&mut self.message.dkim_headers);
        let (aligned, others): (Vec<_>, Vec<_>) =
            all.into_iter().partition(|found| super::speaks_for(&found.header.d, author));
        for mut found in aligned.into_iter().chain(others) {
            match dismiss(&found.header) {
                Some(result) => self.dismissed.push(verdict(result, Some(&found.header))),
                None => {
                    // No further questions by what a stranger asks for (RFC 6541, RFC 6651).
                    (found.header.atps, found.header.r) = (None, false);
                    self.message.dkim_headers.push(found);
                }
            }
        }
        for found in std::mem::take(&mut self.message.errors) {
            match found.header {
                Error::Dkim(DkimError::SignatureLength) => {
                    self.dismissed.push(verdict(DkimResult::Policy, None));
                }
                Error::Dkim(_) => self.dismissed.push(verdict(DkimResult::Neutral, None)),
                _ => {}
            }
        }
        self.message.dkim_headers.truncate(SIGNATURES_MAX);
        self.dismissed.truncate(SIGNATURES_MAX - self.message.dkim_headers.len());
    }

    /// RFC 8617 §4.2.1: a chain that is too long or weak is no chain.
    fn bound_arc(&mut self) {
        let message = &mut self.message;
        let sets = message.as_headers.len();
        let weak = |found: &Header<'_, mail_auth::arc::Signature>| {
            found.header.a == Algorithm::RsaSha1 || found.header.h.len() > SIGNED_NAMES_MAX
        };
        let broken = sets > ARC_SETS_MAX
            || sets != message.ams_headers.len()
            || sets != message.aar_headers.len()
            || message.ams_headers.iter().any(weak);
        if broken || message.has_arc_errors {
            self.arc = Some(ArcResult::Fail);
            message.has_arc_errors = false;
            message.as_headers.clear();
            message.ams_headers.clear();
            message.aar_headers.clear();
        }
    }

    /// What is to be done with the body before [`Bounded::set_hashes`].
    pub fn hashes(&self) -> BodyHashes {
        let signatures = self.message.dkim_headers.iter().map(|found| found.header.cb);
        let seals = self.message.ams_headers.iter().map(|found| found.header.cb);
        let mut ways: Vec<Canonicalization> = Vec::new();
        for way in signatures.chain(seals) {
            if !ways.contains(&way) {
                ways.push(way);
            }
        }
        BodyHashes(ways.into_iter().map(BodyHash::new).collect())
    }

    /// Takes the hashes of the whole body.
    pub fn set_hashes(&mut self, hashes: BodyHashes) {
        let hashes = hashes.0.into_iter().map(|hash| {
            let form = hash.form();
            (form, HashAlgorithm::Sha256, 0, hash.finish())
        });
        self.message.body_hashes = hashes.collect();
    }

    /// The verdicts on all signatures, `outputs` being mail-auth's on those it was given.
    pub fn dkim(&self, outputs: &[DkimOutput<'_>]) -> Vec<DkimVerdict> {
        let block = self.message.raw_message;
        let covers = |signature: &Signature| ProvedFields::signed(block, &signature.h);
        let verified = outputs.iter().map(|output| DkimVerdict {
            covers: output.signature().map(covers).unwrap_or_default(),
            ..verdict(result(output.result()), output.signature())
        });
        verified.chain(self.dismissed.iter().cloned()).collect()
    }

    /// The verdict on the chain, `output` being mail-auth's.
    pub fn arc(&self, output: &mail_auth::DkimResult) -> Option<ArcResult> {
        self.arc.or(match output {
            mail_auth::DkimResult::None => None,
            mail_auth::DkimResult::Pass => Some(ArcResult::Pass),
            mail_auth::DkimResult::TempError(_) => Some(ArcResult::TempError),
            _ => Some(ArcResult::Fail),
        })
    }
}

/// Hashes of a body under way.
pub struct BodyHashes(Vec<BodyHash>);

impl BodyHashes {
    /// Takes the next piece of the body.
    pub fn feed(&mut self, piece: &[u8]) {
        self.0.iter_mut().for_each(|hash| hash.feed(piece));
    }

    /// Whether no piece is needed.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

/// Why a signature is not even verified.
fn dismiss(signature: &Signature) -> Option<DkimResult> {
    let signs_from = signature.h.iter().any(|name| name.eq_ignore_ascii_case("from"));
    match signature {
        _ if signature.v != 1 => Some(DkimResult::PermError),
        _ if signature.h.len() > SIGNED_NAMES_MAX => Some(DkimResult::Policy),
        _ if signature.a == Algorithm::RsaSha1 => Some(DkimResult::Policy),
        _ if !signs_from => Some(DkimResult::PermError),
        _ => None,
    }
}

fn result(found: &mail_auth::DkimResult) -> DkimResult {
    match found {
        mail_auth::DkimResult::Pass => DkimResult::Pass,
        // mail-auth calls a body that does not fit neutral; RFC 8601 §2.7.1 calls it fail.
        mail_auth::DkimResult::Neutral(Error::Dkim(DkimError::FailedBodyHashMatch)) => {
            DkimResult::Fail
        }
        mail_auth::DkimResult::Neutral(_) | mail_auth::DkimResult::None => DkimResult::Neutral,
        mail_auth::DkimResult::Fail(_) => DkimResult::Fail,
        mail_auth::DkimResult::PermError(_) => DkimResult::PermError,
        mail_auth::DkimResult::TempError(_) => DkimResult::TempError,
    }
}

fn verdict(result: DkimResult, signature: Option<&Signature>) -> DkimVerdict {
    let Some(signature) = signature else { return DkimVerdict::unread(result) };
    let base64 = BASE64_STANDARD.encode(signature.b.get(..START_BYTES).unwrap_or(&signature.b));
    DkimVerdict {
        result,
        domain: signature.d.clone(),
        selector: signature.s.clone(),
        algorithm: signature.a.name(),
        start: base64.chars().take(START_BYTES).collect(),
        covers: ProvedFields::NONE,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const SIGNATURE: &str = "DKIM-Signature: v=1; a=rsa-sha256; c=relaxed/simple; d=b.example; \
        s=x; h=from:to; bh=AAAA; b=AAAABBBBCCCC\r\n";

    fn bounded(text: &str) -> Option<(usize, Vec<DkimVerdict>)> {
        let outline = Outline::of(text.as_bytes());
        let bounded = Bounded::read(&outline)?;
        Some((bounded.message.dkim_headers.len(), bounded.dismissed))
    }

    #[test]
    fn only_what_may_be_believed_is_verified() {
        let rest = "From: a@b.example\r\n\r\nbody";
        for (from, to, kept, result) in [
            ("v=1", "v=1", 1, None),
            ("v=1; ", "", 0, Some(DkimResult::PermError)),
            ("rsa-sha256", "rsa-sha1", 0, Some(DkimResult::Policy)),
            ("h=from:to", "h=to:subject", 0, Some(DkimResult::PermError)),
            ("h=from:to", "l=10; h=from:to", 0, Some(DkimResult::Policy)),
            ("rsa-sha256", "rsa-sha512", 0, Some(DkimResult::Neutral)),
        ] {
            let text = format!("{}{rest}", SIGNATURE.replacen(from, to, 1));
            let (count, dismissed) = bounded(&text).unwrap();
            assert_eq!((count, dismissed.first().map(|d| d.result)), (kept, result), "{text}");
        }
        let names = format!("h=from{}", ":to".repeat(SIGNED_NAMES_MAX));
        let text = format!("{}{rest}", SIGNATURE.replacen("h=from:to", &names, 1));
        assert_eq!(bounded(&text).unwrap().1[0].result, DkimResult::Policy);
    }

    #[test]
    fn a_header_that_others_read_differently_is_not_verified() {
        for text in [
            format!("From a@b.example Thu\r\n{SIGNATURE}From: a@b.example\r\n\r\n"),
            format!("{SIGNATURE}From: a@b.example\r\nthis is text\r\nFrom: c@d.example\r\n\r\n"),
            format!(" {SIGNATURE}From: a@b.example\r\n\r\n"),
            "From: a@b.example\r\n\r\nDKIM-Signature: v=1\r\n".to_owned(),
        ] {
            assert!(bounded(&text).is_none(), "{text}");
        }
    }

    #[test]
    fn the_authors_signature_is_found_among_others() {
        let others = SIGNATURE.replace("b.example", "other.example").repeat(30);
        let text = format!("{others}{SIGNATURE}From: a@b.example\r\n\r\n");
        let outline = Outline::of(text.as_bytes());
        let bounded = Bounded::read(&outline).unwrap();
        assert_eq!(bounded.message.dkim_headers.len(), SIGNATURES_MAX);
        assert_eq!(bounded.message.dkim_headers[0].header.d, "b.example");
        assert_eq!(
            verdict(DkimResult::Pass, Some(&bounded.message.dkim_headers[0].header)).start,
            "AAAABBBB"
        );
    }

    #[test]
    fn a_flood_of_signatures_is_not_read() {
        let text = format!("{}From: a@b.example\r\n\r\n", SIGNATURE.repeat(10_000));
        assert!(bounded(&text).is_none());
        let text = format!("{}From: a@b.example\r\n\r\n", SIGNATURE.repeat(900));
        assert_eq!(bounded(&text).unwrap().0, SIGNATURES_MAX);
        let long = format!("X: {}\r\n{SIGNATURE}From: a@b.example\r\n\r\n", "y".repeat(1 << 20));
        assert!(bounded(&long).is_none());
    }

    proptest! {
        #[test]
        fn any_header_is_read(
            text in concat!(
                "(DKIM-Signature|ARC-Seal|: ?|v=1;|a=rsa-sha256;|i=1;|cv=none;|d=b;|s=x;|b=A;|",
                "bh=A;|h=from;|From: a@b|\r\n|\r\n ){0,60}",
            ),
        ) {
            let text = format!("{text}\r\n\r\nbody");
            bounded(&text);
        }

        #[test]
        fn the_body_may_come_in_pieces(
            body in "( |\t|a|\r\n){0,40}a", at in 0usize..40, simple in any::<bool>(),
        ) {
            let signature = match simple {
                true => SIGNATURE.to_owned(),
                false => SIGNATURE.replace("relaxed/simple", "relaxed/relaxed"),
            };
            let text = format!("{signature}From: a@b.example\r\n\r\n{body}");
            let outline = Outline::of(text.as_bytes());
            let mut bounded = Bounded::read(&outline).unwrap();
            let mut hashes = bounded.hashes();
            let at = at.min(outline.body.len());
            hashes.feed(&outline.body[..at]);
            hashes.feed(&outline.body[at..]);
            bounded.set_hashes(hashes);
            let whole = AuthenticatedMessage::parse(text.as_bytes()).unwrap();
            prop_assert_eq!(&bounded.message.body_hashes, &whole.body_hashes);
        }
    }
}
