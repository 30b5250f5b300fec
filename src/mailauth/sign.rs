//! DKIM signatures on what goes out: the last step, on the finished octets.
//!
//! Each key makes a signature of its own over the same fields, so that a verifier who knows only
//! RSA finds one and one who knows Ed25519 another. Every field of the list below is named once
//! more than it occurs: nobody can add another From or Subject in front without breaking the
//! signature.
//!
//! # Standards
//! RFC 6376 §3.4.2 and §3.4.4 (relaxed), §3.7 (what is hashed), §5.4.2 (fields named beyond those
//! that are there), RFC 8463 (Ed25519-SHA256), RFC 8301 (RSA of 2048 bits, SHA-256).

use super::body::BodyHash;
use crate::base::clock::Clock;
use crate::base::crypto;
use crate::mail::header;
use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use mail_auth::dkim::Canonicalization;
use std::sync::Arc;

/// The fields that are signed, present or not.
const SIGNED: &[&str] = &[
    "from",
    "reply-to",
    "subject",
    "date",
    "to",
    "cc",
    "message-id",
    "in-reply-to",
    "references",
    "mime-version",
    "content-type",
    "autocrypt",
];

/// Octets of a line of the field, about.
const LINE_BYTES: usize = 70;

/// The kind of a key.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum KeyKind {
    /// RFC 8463.
    Ed25519,
    /// RFC 6376, with SHA-256.
    Rsa,
}

impl KeyKind {
    /// `a=` of a signature.
    pub fn algorithm(self) -> &'static str {
        match self {
            KeyKind::Ed25519 => "ed25519-sha256",
            KeyKind::Rsa => "rsa-sha256",
        }
    }

    /// `k=` of a key's record.
    pub fn word(self) -> &'static str {
        match self {
            KeyKind::Ed25519 => "ed25519",
            KeyKind::Rsa => "rsa",
        }
    }

    /// The selector of a key of this kind: two keys cannot share one.
    pub fn selector(self, base: &str) -> String {
        format!("{base}-{}", self.word())
    }
}

/// A secret key. Implemented in `host`.
pub trait SigningKey: Send + Sync {
    /// Its kind.
    fn kind(&self) -> KeyKind;

    /// The signature on `octets` by the plain primitive: PureEdDSA, or PKCS#1 v1.5 with SHA-256.
    /// `None` if the primitive fails.
    fn sign(&self, octets: &[u8]) -> Option<Vec<u8>>;

    /// `p=` of its record, before base64: 32 octets (RFC 8463 §4.2), or a SubjectPublicKeyInfo.
    fn public(&self) -> Vec<u8>;
}

/// The text of the record that a verifier asks for (RFC 6376 §3.6.1).
pub fn key_record(key: &dyn SigningKey) -> String {
    let public = BASE64_STANDARD.encode(key.public());
    format!("v=DKIM1; k={}; p={public}", key.kind().word())
}

/// Signs for some domains.
#[derive(Clone)]
pub struct Signer {
    keys: Vec<Arc<dyn SigningKey>>,
    selector: String,
    domains: Vec<String>,
    clock: Arc<dyn Clock>,
}

impl Signer {
    /// A signer for `domains` (in lower case), whose keys are published under `selector` with the
    /// kind appended (see [`KeyKind::selector`]).
    pub fn new(
        keys: Vec<Arc<dyn SigningKey>>,
        selector: String,
        domains: Vec<String>,
        clock: Arc<dyn Clock>,
    ) -> Signer {
        Signer { keys, selector, domains, clock }
    }

    /// The fields to put in front of `message` (CRLF line ends), one for each key; `None` if
    /// `from_domain`, the author's, is none of ours or nothing could be signed.
    pub fn sign(&self, message: &[u8], from_domain: &str) -> Option<Vec<u8>> {
        let ours = |domain: &&String| domain.eq_ignore_ascii_case(from_domain);
        let domain = self.domains.iter().find(ours)?;
        let (block, body) = message.split_at(header::header_bytes(message));
        let (names, mut signed) = signed_fields(block);
        let body_hash = BASE64_STANDARD.encode(hash_body(body));
        let signed_bytes = signed.len();
        let mut out = Vec::new();
        for key in &self.keys {
            let mut lines = self.lines(key.kind(), domain, &names, &body_hash);
            // RFC 6376 §3.7: the field itself comes last, with an empty `b=` and no line end.
            signed.truncate(signed_bytes);
            write_relaxed(&mut signed, b"dkim-signature", lines.join("\r\n\t").as_bytes());
            signed.truncate(signed.len() - 2);
            let Some(signature) = sign_octets(key.as_ref(), &signed) else { continue };
            append_folded(&mut lines, &BASE64_STANDARD.encode(signature));
            let pieces: Vec<_> = lines.iter().map(String::as_bytes).collect();
            header::write_folded(&mut out, "DKIM-Signature", &pieces).ok()?;
        }
        (!out.is_empty()).then_some(out)
    }

    /// The field's value up to an empty `b=`.
    fn lines(&self, kind: KeyKind, domain: &str, names: &[&str], body_hash: &str) -> Vec<String> {
        let selector = kind.selector(&self.selector);
        let mut lines = vec![
            format!("v=1; a={}; c=relaxed/relaxed;", kind.algorithm()),
            format!("d={domain}; s={selector}; t={};", self.clock.now().0.max(0)),
            "h=".to_owned(),
        ];
        for (at, name) in names.iter().enumerate() {
            let end = if at + 1 == names.len() { ";" } else { ":" };
            let full = lines.last().is_none_or(|line| line.len() + name.len() > LINE_BYTES);
            if full {
                lines.push(String::new());
            }
            if let Some(line) = lines.last_mut() {
                line.push_str(name);
                line.push_str(end);
            }
        }
        lines.push(format!("bh={body_hash};"));
        lines.push("b=".to_owned());
        lines
    }
}

fn append_folded(lines: &mut Vec<String>, base64: &str) {
    for (at, piece) in base64.as_bytes().chunks(LINE_BYTES).enumerate() {
        let piece = String::from_utf8_lossy(piece);
        match lines.last_mut().filter(|_| at == 0) {
            Some(line) => line.push_str(&piece),
            None => lines.push(piece.into_owned()),
        }
    }
}

/// RFC 8463 §3: Ed25519 signs the hash; for RSA the primitive hashes.
fn sign_octets(key: &dyn SigningKey, octets: &[u8]) -> Option<Vec<u8>> {
    match key.kind() {
        KeyKind::Ed25519 => key.sign(&crypto::sha256(&[octets])),
        KeyKind::Rsa => key.sign(octets),
    }
}

/// The names for `h=` and the fields they stand for, relaxed. RFC 6376 §5.4.2: the last field of a
/// name comes first, and a name beyond those that are there stands for nothing.
fn signed_fields(block: &[u8]) -> (Vec<&'static str>, Vec<u8>) {
    let mut found: Vec<Vec<header::Field<'_>>> = vec![Vec::new(); SIGNED.len()];
    for field in header::fields(block) {
        if let Some(at) = SIGNED.iter().position(|name| field.is(name)) {
            found[at].push(field);
        }
    }
    let (mut names, mut octets) = (Vec::new(), Vec::new());
    for (name, fields) in SIGNED.iter().zip(&found) {
        for field in fields.iter().rev() {
            write_relaxed(&mut octets, name.as_bytes(), field.body);
            names.push(*name);
        }
        names.push(*name);
    }
    (names, octets)
}

/// RFC 6376 §3.4.2: unfolded, white space in one piece, none around the value.
fn write_relaxed(out: &mut Vec<u8>, name: &[u8], body: &[u8]) {
    out.extend_from_slice(name);
    out.push(b':');
    let words = body.split(|octet| matches!(octet, b' ' | b'\t' | b'\r' | b'\n'));
    for (at, word) in words.filter(|word| !word.is_empty()).enumerate() {
        if at > 0 {
            out.push(b' ');
        }
        out.extend_from_slice(word);
    }
    out.extend_from_slice(b"\r\n");
}

fn hash_body(body: &[u8]) -> Vec<u8> {
    let mut hash = BodyHash::new(Canonicalization::Relaxed);
    hash.feed(body);
    hash.finish()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::clock::{ManualClock, UnixTime};
    use proptest::prelude::*;

    /// Signs by giving back what it was given.
    struct Mirror(KeyKind);

    impl SigningKey for Mirror {
        fn kind(&self) -> KeyKind {
            self.0
        }

        fn sign(&self, octets: &[u8]) -> Option<Vec<u8>> {
            Some(octets.to_vec())
        }

        fn public(&self) -> Vec<u8> {
            vec![0; 32]
        }
    }

    fn signer(kinds: &[KeyKind]) -> Signer {
        let keys = kinds.iter().map(|kind| Arc::new(Mirror(*kind)) as Arc<dyn SigningKey>);
        let clock = Arc::new(ManualClock::new(UnixTime(1_528_637_909)));
        Signer::new(keys.collect(), "s1".into(), vec!["b.example".into()], clock)
    }

    #[test]
    fn what_is_signed_is_the_header_in_the_order_of_h_and_the_field_itself() {
        let message = b"To: x@y.example\r\nX-Other: no\r\nTO: z@y.example\r\n\
            From:  A \r\n\t<a@b.example>\r\n\r\nHi \r\n\r\n";
        let field = signer(&[KeyKind::Rsa]).sign(message, "B.example").unwrap();
        let fields: Vec<_> = header::fields(&field).collect();
        assert_eq!(fields.len(), 1);
        let value = String::from_utf8(header::unfold(fields[0].body)).unwrap();
        assert!(
            value.starts_with(
                "v=1; a=rsa-sha256; c=relaxed/relaxed;\td=b.example; s=s1-rsa; t=1528637909;\
             \th=from:from:\
             reply-to:subject:date:to:to:to:cc:"
            ),
            "{value}"
        );
        let (_, b) = value.rsplit_once("b=").unwrap();
        let signed = BASE64_STANDARD.decode(b.replace('\t', "")).unwrap();
        let signed = String::from_utf8(signed).unwrap();
        assert!(
            signed.starts_with(
                "from:A <a@b.example>\r\nto:z@y.example\r\nto:x@y.example\r\ndkim-signature:v=1; "
            ),
            "{signed}"
        );
        assert!(signed.ends_with("; b="));
        assert!(field.split(|b| *b == b'\n').all(|line| line.len() <= 100));
    }

    #[test]
    fn only_our_domains_are_signed_for() {
        let signer = signer(&[KeyKind::Ed25519, KeyKind::Rsa]);
        let message = b"From: a@b.example\r\n\r\n";
        assert_eq!(signer.sign(message, "sub.b.example"), None);
        assert_eq!(signer.sign(message, "other.example"), None);
        let both = signer.sign(message, "b.example").unwrap();
        assert_eq!(header::fields(&both).count(), 2);
        let none = Signer { keys: Vec::new(), ..signer };
        assert_eq!(none.sign(message, "b.example"), None);
    }

    #[test]
    fn records_are_as_rfc_8463_has_them() {
        let record = key_record(&Mirror(KeyKind::Ed25519));
        assert_eq!(record, format!("v=DKIM1; k=ed25519; p={}=", "A".repeat(43)));
    }

    proptest! {
        #[test]
        fn any_octets_are_signed_and_one_field_comes_out(message in any::<Vec<u8>>()) {
            let field = signer(&[KeyKind::Rsa]).sign(&message, "b.example").unwrap();
            prop_assert_eq!(header::fields(&field).count(), 1);
            let mut whole = field.clone();
            whole.extend_from_slice(b"A: b\r\n\r\n");
            prop_assert_eq!(header::fields(&whole).count(), 2);
        }
    }
}
