//! What an opened message is shown as.
//!
//! ```text
//! Postseal-Opened: sealed to you; ...         what was found, in one line
//! Return-Path, Received, ...                  as they stood on the outside
//! From, To, Subject, ...                      protected ones, or what there is outside
//! MIME-Version, Content-...                   of what was encrypted
//!
//! the body that was encrypted, octet for octet
//! ```
//!
//! The first line is ours: mail that is not opened begins with another field of ours, so that one
//! that a stranger wrote is never the first.
//!
//! Where the sender protected the header (`hp=`, or `protected-headers=` of the time before), its
//! fields are the ones that are shown; outer ones add nothing but what a message cannot do without.
//! Where he did not, some outer ones are shown, if it is proved that they are his: the DKIM
//! signature that proves From need not cover To, and whoever mails the message again can put a Cc
//! in front. An answer with the text would go there. What is not proved is kept under a name that
//! no program shows or answers by (`X-Unproved-Cc`). Reply-To is not shown at all.
//!
//! Date and the ids are needed, and taken where nobody vouches for them, too: one of each, the last
//! in the header, which is the one that a signature covers first (RFC 6376 §5.4.2); of the fields
//! that name other messages, the ids and no other word.
//!
//! An answer to the view names the message by the id that it had on its way, too: that goes into
//! References where the protected id is another.
//!
//! Fields of the sender's that would speak for this server, or for one on the way, are left out.
//!
//! # Known gaps
//! A legacy display element in HTML with elements within, or in an encoded or signed part, is left
//! where it is; the first line says so.
//!
//! # Standards
//! RFC 9788 §4.5 (what is rendered), §4.5.3 (legacy display elements), §4.10.

use crate::base::secret::SecretBytes;
use crate::mail::header::{self, Field, fields};
use crate::mail::{Content, Encoding, Part, ProvedFields};
use crate::pgp::mime::{InnerSignature, OpenedMime, own_parts};
use std::ops::Range;

/// The field that says what was found.
const VERDICT: &str = "Postseal-Opened";
/// What servers on the way wrote, and ours.
const TRACE: &[&str] = &["Return-Path", "Received", "Authentication-Results"];
/// What a sender cannot say inside: it would speak for a server, or of the outside.
const NOT_FROM_INSIDE: &[&str] = &[
    "Return-Path",
    "Received",
    "Received-SPF",
    "Authentication-Results",
    "ARC-Authentication-Results",
    "ARC-Message-Signature",
    "ARC-Seal",
    "DKIM-Signature",
    "Delivered-To",
    "HP-Outer",
    // What `pgp` pads messages with for readers of version 1.
    "X-Padding",
    "MIME-Version",
];
/// What a message cannot do without (RFC 5322 §3.6), and what identifies it.
const NEEDED: &[&str] = &["From", "Date", "Message-ID"];
/// Outer fields that are shown where the sender protected none, if they are proved.
const UNPROTECTED: &[&str] = &["From", "To", "Cc", "Subject", "Keywords", "Comments"];
/// What the name of such a field begins with if it is not proved.
const UNPROVED: &[u8] = b"X-Unproved-";
/// Outer fields that say what a message answers.
const ANSWERED: &[&str] = &["In-Reply-To", "References"];

/// RFC 9788 §2.1.2.2: how the element begins, as its examples and known writers have it.
const LEGACY_DIV: &[u8] = b"<div class=\"header-protection-legacy-display\">";

/// The cryptographic payload of an opened message (RFC 9787 §4.1.2).
pub(super) struct Payload<'a> {
    entity: &'a [u8],
    parts: &'a [Part],
    /// The part whose header is the message's: the root, or what a signature is over.
    root: usize,
    /// The parts that speak of the message.
    own: Vec<usize>,
}

impl<'a> Payload<'a> {
    pub(super) fn of(opened: &'a OpenedMime) -> Payload<'a> {
        let parts = &opened.analysis.structure.parts[..];
        let signed = (&*parts[0].media_type, &*parts[0].subtype) == ("multipart", "signed");
        let root = usize::from(signed && parts[0].content == Content::Multipart);
        let own = own_parts(&opened.analysis.structure);
        Payload { entity: opened.entity.expose(), parts, root, own }
    }

    /// The header blocks that could be taken for the message's, by any program: those of all parts
    /// but attached messages. Some sign or protect a part deep inside.
    pub(super) fn headers(&self) -> impl Iterator<Item = &'a [u8]> {
        let (entity, parts) = (self.entity, self.parts);
        self.own.iter().map(move |part| &entity[parts[*part].header.range()])
    }

    fn header(&self) -> &'a [u8] {
        &self.entity[self.parts[self.root].header.range()]
    }

    /// Whether the sender says that the payload's header is the message's.
    fn is_protected(&self) -> bool {
        let root = &self.parts[self.root];
        let says = |name, values: &[&str]| {
            let value = param(root, name);
            values.iter().any(|known| value.eq_ignore_ascii_case(known.as_bytes()))
        };
        says("hp", &["cipher", "clear"]) || says("protected-headers", &["v1"])
    }
}

/// Writes the view.
pub(super) fn write(
    outer: &[u8],
    payload: &Payload<'_>,
    proved: ProvedFields,
    signature: InnerSignature,
) -> SecretBytes {
    let (cuts, left) = legacy_display(payload);
    let protected = payload.is_protected();
    let verdict = verdict(proved.author(), signature, protected, left);
    let mut out = Vec::with_capacity(outer.len() + payload.entity.len() + 256);
    header::write(&mut out, VERDICT, verdict.as_bytes()).expect("the verdict is plain text");
    fields(outer).filter(|field| is_one(field, TRACE)).for_each(|field| push(&mut out, field));
    match protected {
        true => protected_fields(&mut out, outer, payload.header()),
        false => unprotected_fields(&mut out, outer, proved),
    }
    out.extend_from_slice(b"MIME-Version: 1.0\r\n");
    let root = &payload.entity[payload.parts[0].header.range()];
    fields(root).filter(is_structural).for_each(|field| push(&mut out, field));
    out.extend_from_slice(b"\r\n");
    let mut from = payload.parts[0].body.start as usize;
    for cut in cuts {
        out.extend_from_slice(&payload.entity[from..cut.start]);
        from = cut.end;
    }
    out.extend_from_slice(&payload.entity[from..]);
    SecretBytes::new(out)
}

fn protected_fields(out: &mut Vec<u8>, outer: &[u8], inner: &[u8]) {
    let shown = |field: &Field| {
        let ours = header::is_named_ours(field.name);
        !(ours || is_structural(field) || is_one(field, NOT_FROM_INSIDE))
    };
    let outside = id_outside(outer, inner);
    let threads = |field: &Field| field.is("References");
    for field in fields(inner).filter(shown) {
        push(out, field);
        if let Some(id) = outside.as_ref().filter(|_| threads(&field)) {
            out.truncate(out.len() - b"\r\n".len());
            out.extend_from_slice(&[b"\r\n\t", &id[..], b"\r\n"].concat());
        }
    }
    if let Some(id) = outside.filter(|_| !fields(inner).any(|field| threads(&field))) {
        // RFC 5322 §3.6.4: where there is no References, In-Reply-To says what came before.
        let answered = last(inner, "In-Reply-To").and_then(|field| ids(field.body).next());
        let pieces: Vec<&[u8]> = answered.iter().chain([&id]).map(Vec::as_slice).collect();
        header::write_folded(out, "References", &pieces).expect("an id has no line end in it");
    }
    let missing = NEEDED.iter().filter(|name| !fields(inner).any(|field| field.is(name)));
    missing.for_each(|name| push_last(out, outer, name));
}

/// The id that the message had on its way, if the protected header names another and not this one.
/// It is the one that is remembered as that of sealed mail: the answer, of whatever program, must
/// name it, or it could go out plain.
fn id_outside(outer: &[u8], inner: &[u8]) -> Option<Vec<u8>> {
    let has_one = fields(inner).any(|field| field.is("Message-ID"));
    let id = last(outer, "Message-ID").and_then(|field| ids(field.body).next())?;
    let named = fields(inner).filter(|field| is_one(field, &["Message-ID", "References"]));
    let is_new = !named.flat_map(|field| ids(field.body)).any(|other| other == id);
    (has_one && is_new).then_some(id)
}

fn unprotected_fields(out: &mut Vec<u8>, outer: &[u8], proved: ProvedFields) {
    for field in fields(outer).filter(|field| is_one(field, UNPROTECTED)) {
        // There is one From, and it is proved, or its certificate has signed what is inside.
        if !(proved.has(field.name) || field.is("From")) {
            out.extend_from_slice(UNPROVED);
        }
        push(out, field);
    }
    let needed = NEEDED.iter().filter(|name| **name != "From");
    needed.for_each(|name| push_last(out, outer, name));
    for name in ANSWERED {
        let Some(field) = last(outer, name) else { continue };
        let ids: Vec<_> = ids(field.body).collect();
        let ids: Vec<&[u8]> = ids.iter().map(Vec::as_slice).collect();
        if !ids.is_empty() {
            header::write_folded(out, name, &ids).expect("an id has no line end in it");
        }
    }
}

/// The last field of this name, which is the one that a signature covers first.
fn last<'a>(block: &'a [u8], name: &str) -> Option<Field<'a>> {
    fields(block).filter(|field| field.is(name)).last()
}

fn push_last(out: &mut Vec<u8>, outer: &[u8], name: &str) {
    let Some(field) = last(outer, name) else { return };
    // What names several is one message all the same.
    match ids(field.body).next().filter(|_| name == "Message-ID") {
        Some(id) => header::write(out, name, &id).expect("an id has no line end in it"),
        None => push(out, field),
    }
}

/// The message ids in a field's body, with their brackets (RFC 5322 §3.6.4).
fn ids(body: &[u8]) -> impl Iterator<Item = Vec<u8>> {
    let inside = body.split(|octet| *octet == b'<').skip(1).filter_map(|piece| {
        let end = piece.iter().position(|octet| *octet == b'>')?;
        Some(piece[..end].trim_ascii())
    });
    // What has a blank in it is text, or could be taken for it.
    let whole =
        inside.filter(|id| !id.is_empty() && id.iter().all(|o| !matches!(o, 0..=b' ' | 127)));
    whole.map(|id| [b"<", id, b">"].concat())
}

fn verdict(
    from_is_proved: bool,
    signature: InnerSignature,
    protected: bool,
    legacy_left: bool,
) -> String {
    let proof = match from_is_proved {
        true => "sender proved on arrival",
        false => "sender proved by his signature",
    };
    let signature = match signature {
        InnerSignature::Absent => "not signed",
        InnerSignature::Good => "signature good",
        InnerSignature::Bad => "signature bad",
        InnerSignature::Unknown => "signature not checked",
    };
    let header = if protected { "header protected" } else { "header not protected" };
    let legacy = if legacy_left { "; copies of header fields left in the text" } else { "" };
    format!("sealed to you; {proof}; {signature}; {header}{legacy}")
}

fn is_one(field: &Field<'_>, names: &[&str]) -> bool {
    names.iter().any(|name| field.is(name))
}

/// RFC 9788 §1.9: Content-* and MIME-Version; ours is written apart.
fn is_structural(field: &Field<'_>) -> bool {
    field.name.len() > 8 && field.name[..8].eq_ignore_ascii_case(b"content-")
}

/// Appends a field as it stands, its line ends as mail has them. Another control character is a
/// blank (RFC 5322 §2.2): programs take a CR alone for the end of a line, and what follows for a
/// field.
fn push(out: &mut Vec<u8>, field: Field<'_>) {
    let plain = |octet: &u8| match octet {
        b'\t' | b' '..=b'~' | 128.. => *octet,
        _ => b' ',
    };
    for line in field.raw.split_inclusive(|octet| *octet == b'\n') {
        let line = line.strip_suffix(b"\n").unwrap_or(line);
        out.extend(line.strip_suffix(b"\r").unwrap_or(line).iter().map(plain));
        out.extend_from_slice(b"\r\n");
    }
}

fn param<'a>(part: &'a Part, name: &str) -> &'a [u8] {
    part.params.iter().find(|param| param.name == name).map_or(b"", |param| &param.value)
}

/// Where legacy display elements lie, ascending, and whether one had to be left.
fn legacy_display(payload: &Payload<'_>) -> (Vec<Range<usize>>, bool) {
    let (mut cuts, mut left) = (Vec::new(), false);
    for part in payload.parts {
        if part.content != Content::Leaf || param(part, "hp-legacy-display") != b"1" {
            continue;
        }
        // What a signature is over is not touched.
        let found = if payload.root == 0 { element(payload.entity, part) } else { None };
        match found {
            Some(cut) => cuts.push(cut),
            None => left = true,
        }
    }
    (cuts, left)
}

/// The element in one part, if it is simple to tell.
fn element(entity: &[u8], part: &Part) -> Option<Range<usize>> {
    let start = part.body.start as usize;
    let body = &entity[part.body.range()];
    let is_plain = matches!(part.encoding, Encoding::SevenBit | Encoding::EightBit);
    match &*part.subtype {
        // RFC 9788 §4.5.3.2: all up to the first blank line, which no quoting hides.
        "plain" if is_plain || part.encoding == Encoding::QuotedPrintable => {
            let mut end = 0;
            for line in body.split_inclusive(|octet| *octet == b'\n') {
                end += line.len();
                if line.trim_ascii().is_empty() {
                    return Some(start..start + end);
                }
            }
            None
        }
        "html" if is_plain => {
            let at = find(body, LEGACY_DIV)?;
            let within = &body[at + LEGACY_DIV.len()..];
            let end = find(within, b"</div>")?;
            let simple = find(&within[..end], b"<div").is_none();
            let end = at + LEGACY_DIV.len() + end + b"</div>".len();
            simple.then_some(start + at..start + end)
        }
        _ => None,
    }
}

/// Where `needle` first stands in `hay`. It begins with an octet that is rare in it, or is short.
fn find(hay: &[u8], needle: &[u8]) -> Option<usize> {
    hay.windows(needle.len()).position(|window| window == needle)
}
