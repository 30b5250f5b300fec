//! The hash of a body in its canonical form, in pieces.
//!
//! mail-auth has such a hasher, but takes lines of white space at a body's end for text; RFC 6376
//! §3.4.4 takes the white space away first, and then the empty lines.
//!
//! # Standards
//! RFC 6376 §3.4.3 (simple), §3.4.4 (relaxed). A CR or LF alone ends no line and is text.

use mail_auth::common::crypto::{HashContext, HashImpl, Sha256};
use mail_auth::common::headers::Writer;
use mail_auth::dkim::Canonicalization;

/// Octets that are gathered before the hash takes them: words are short, and calls are dear.
const GATHERED_BYTES: usize = 4096;

/// A hash under way.
pub(super) struct BodyHash {
    form: Canonicalization,
    hash: <Sha256 as HashImpl>::Context,
    gathered: Vec<u8>,
    /// Ends of lines since the last text.
    lines: usize,
    /// White space since the last text or end of line.
    blank: bool,
    /// A CR that may begin an end of line.
    cr: bool,
    /// There was text.
    any: bool,
}

impl BodyHash {
    pub(super) fn new(form: Canonicalization) -> BodyHash {
        let gathered = Vec::with_capacity(GATHERED_BYTES * 2);
        let (hash, lines, blank) = (Sha256::hasher(), 0, false);
        BodyHash { form, hash, gathered, lines, blank, cr: false, any: false }
    }

    pub(super) fn form(&self) -> Canonicalization {
        self.form
    }

    /// Takes the next piece.
    pub(super) fn feed(&mut self, mut piece: &[u8]) {
        let relaxed = self.form == Canonicalization::Relaxed;
        let special = |octet: &u8| *octet == b'\r' || relaxed && matches!(*octet, b' ' | b'\t');
        while let Some((first, rest)) = piece.split_first() {
            if std::mem::take(&mut self.cr) {
                if *first == b'\n' {
                    (self.lines, self.blank) = (self.lines + 1, false);
                    piece = rest;
                    continue;
                }
                self.text(b"\r");
            }
            if special(first) {
                (self.cr, self.blank) = (*first == b'\r', self.blank || *first != b'\r');
                piece = rest;
                continue;
            }
            let end = piece.iter().position(special).unwrap_or(piece.len());
            self.text(&piece[..end]);
            piece = &piece[end..];
        }
    }

    /// The hash of all that was fed.
    pub(super) fn finish(mut self) -> Vec<u8> {
        if self.cr {
            self.text(b"\r");
        }
        if self.any || self.form == Canonicalization::Simple {
            self.gathered.extend_from_slice(b"\r\n");
        }
        self.hash.write(&self.gathered);
        self.hash.complete().as_ref().to_vec()
    }

    fn text(&mut self, text: &[u8]) {
        for _ in 0..std::mem::take(&mut self.lines) {
            self.gathered.extend_from_slice(b"\r\n");
            self.pass_on();
        }
        if std::mem::take(&mut self.blank) {
            self.gathered.push(b' ');
        }
        self.gathered.extend_from_slice(text);
        self.any = true;
        self.pass_on();
    }

    fn pass_on(&mut self) {
        if self.gathered.len() >= GATHERED_BYTES {
            self.hash.write(&self.gathered);
            self.gathered.clear();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::crypto::sha256;
    use proptest::prelude::*;

    const RELAXED: Canonicalization = Canonicalization::Relaxed;
    const SIMPLE: Canonicalization = Canonicalization::Simple;

    fn hash(form: Canonicalization, pieces: &[&[u8]]) -> Vec<u8> {
        let mut hash = BodyHash::new(form);
        pieces.iter().for_each(|piece| hash.feed(piece));
        hash.finish()
    }

    #[test]
    fn bodies_have_the_canonical_forms_of_rfc_6376() {
        for (form, body, canonical) in [
            // §3.4.5.
            (RELAXED, " C \r\nD \t E\r\n\r\n\r\n", " C\r\nD E\r\n"),
            (SIMPLE, " C \r\nD \t E\r\n\r\n\r\n", " C \r\nD \t E\r\n"),
            (RELAXED, "", ""),
            (SIMPLE, "", "\r\n"),
            (RELAXED, "\r\n\r\n", ""),
            (SIMPLE, "\r\n\r\n", "\r\n"),
            (RELAXED, " \r\n\t\r\n", ""),
            (SIMPLE, " \r\n\t\r\n", " \r\n\t\r\n"),
            (RELAXED, "a\r\n \r\n\t\r\nb", "a\r\n\r\n\r\nb\r\n"),
            (RELAXED, "a \t\r\n  \r\n", "a\r\n"),
            (RELAXED, "a  ", "a\r\n"),
            (SIMPLE, "a  ", "a  \r\n"),
            (RELAXED, "a\rb\nc\r", "a\rb\nc\r\r\n"),
        ] {
            let expected = sha256(&[canonical.as_bytes()]);
            assert_eq!(hash(form, &[body.as_bytes()]), expected, "{body:?}");
        }
    }

    proptest! {
        #[test]
        fn pieces_make_no_difference(
            body in "[ \t\r\na]{0,40}", at in 0usize..40, simple in any::<bool>(),
        ) {
            let form = if simple { SIMPLE } else { RELAXED };
            let (front, back) = body.as_bytes().split_at(at.min(body.len()));
            prop_assert_eq!(hash(form, &[front, back]), hash(form, &[body.as_bytes()]));
        }

        #[test]
        fn relaxed_is_what_its_words_say(body in "([ \t]{0,3}|a|b|\r\n){0,40}") {
            let mut lines: Vec<String> = Vec::new();
            for line in body.split("\r\n") {
                let words: Vec<_> = line.split([' ', '\t']).filter(|w| !w.is_empty()).collect();
                let indented = line.starts_with([' ', '\t']) && !words.is_empty();
                let lead = if indented { " " } else { "" };
                lines.push(format!("{lead}{}\r\n", words.join(" ")));
            }
            while lines.last().is_some_and(|line| line == "\r\n") {
                lines.pop();
            }
            let expected = sha256(&[lines.concat().as_bytes()]);
            prop_assert_eq!(hash(RELAXED, &[body.as_bytes()]), expected);
        }
    }
}
