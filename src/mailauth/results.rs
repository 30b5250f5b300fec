//! The Authentication-Results field (RFC 8601), written. Where others wrote it in our name,
//! [`remove_forged`](crate::mail::remove_forged) takes it out.
//!
//! Every text of a stranger that goes into the field is a domain name, a selector or a piece of
//! base64, and is left out if it has an octet that these cannot have: nothing can add a verdict.

use super::verdicts::{DkimVerdict, DmarcVerdict, SpfVerdict, Verdicts};
use crate::mail::header;

const NAME: &str = "Authentication-Results";

/// Octets of a domain name or selector that is written down (RFC 1035 §2.3.4).
const WORD_BYTES_MAX: usize = 253;

/// Appends the field that says `verdicts` in the name of `hostname` (RFC 8601 §2.2).
pub fn write_results(out: &mut Vec<u8>, hostname: &str, verdicts: &Verdicts) {
    let mut pieces = Vec::new();
    pieces.extend(verdicts.spf.as_ref().map(spf));
    pieces.extend(verdicts.dkim.iter().map(dkim));
    pieces.extend(verdicts.dmarc.as_ref().map(dmarc));
    pieces.extend(verdicts.arc.map(|result| format!("arc={}", result.word())));
    let mut lines = vec![format!("{hostname};")];
    match pieces.split_last() {
        None => lines[0].push_str(" none"),
        Some((last, others)) => {
            lines.extend(others.iter().map(|piece| format!("{piece};")));
            lines.push(last.clone());
        }
    }
    let lines: Vec<&[u8]> = lines.iter().map(String::as_bytes).collect();
    // Neither our own name nor a cleaned word can hold what the writer refuses.
    let written = header::write_folded(out, NAME, &lines);
    debug_assert!(written.is_ok());
}

fn spf(verdict: &SpfVerdict) -> String {
    let property = if verdict.of_helo { "smtp.helo" } else { "smtp.mailfrom" };
    format!("spf={}{}", verdict.result.word(), said(property, &verdict.domain))
}

fn dkim(verdict: &DkimVerdict) -> String {
    format!(
        "dkim={}{}{}{}{}",
        verdict.result.word(),
        said("header.d", &verdict.domain),
        said("header.s", &verdict.selector),
        said("header.a", verdict.algorithm),
        start(&verdict.start),
    )
}

fn dmarc(verdict: &DmarcVerdict) -> String {
    let policy = format!(" policy.dmarc={}", verdict.policy.word());
    let from = said("header.from", &verdict.domain);
    format!("dmarc={}{policy}{from}", verdict.result.word())
}

/// ` property=word`, or nothing where the word is none.
fn said(property: &str, word: &str) -> String {
    let plain = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_' | b'.');
    match (1..=WORD_BYTES_MAX).contains(&word.len()) && word.bytes().all(plain) {
        true => format!(" {property}={word}"),
        false => String::new(),
    }
}

/// RFC 6008 §4: quoted, because base64 has octets that a token has not.
fn start(base64: &str) -> String {
    let plain = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'+' | b'/');
    match !base64.is_empty() && base64.bytes().all(plain) {
        true => format!(" header.b=\"{base64}\""),
        false => String::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::mail::remove_forged;
    use crate::mailauth::*;
    use proptest::prelude::*;

    const HOST: &str = "mx.ours.example";

    fn written(verdicts: &Verdicts) -> String {
        let mut out = Vec::new();
        write_results(&mut out, HOST, verdicts);
        String::from_utf8(out).unwrap()
    }

    fn some() -> Verdicts {
        Verdicts {
            spf: Some(SpfVerdict {
                result: SpfResult::SoftFail,
                of_helo: false,
                domain: "b.example".into(),
            }),
            dkim: vec![DkimVerdict {
                result: DkimResult::Pass,
                domain: "b.example".into(),
                selector: "2026-a".into(),
                algorithm: "ed25519-sha256",
                start: "abCD+/09".into(),
                covers: Default::default(),
            }],
            dmarc: Some(DmarcVerdict {
                result: DmarcResult::Pass,
                policy: Policy::Reject,
                domain: "b.example".into(),
                strict_dkim: false,
            }),
            arc: Some(ArcResult::Pass),
        }
    }

    #[test]
    fn verdicts_are_written_as_rfc_8601_has_them() {
        assert_eq!(
            written(&some()),
            "Authentication-Results: mx.ours.example;\r\n\tspf=softfail smtp.mailfrom=b.example;\
             \r\n\tdkim=pass header.d=b.example header.s=2026-a header.a=ed25519-sha256 \
             header.b=\"abCD+/09\";\
             \r\n\tdmarc=pass policy.dmarc=reject header.from=b.example;\
             \r\n\tarc=pass\r\n"
        );
        assert_eq!(
            written(&Verdicts::default()),
            "Authentication-Results: mx.ours.example; none\r\n"
        );
    }

    #[test]
    fn a_word_of_a_stranger_cannot_add_a_verdict() {
        for evil in ["b.example; dkim=pass", "b\r\n x", "b(", "b\"", "b c", "ü", "", "b=c"] {
            let mut verdicts = some();
            verdicts.dkim[0].domain = evil.into();
            verdicts.dkim[0].start = evil.into();
            let text = written(&verdicts);
            assert!(!text.contains("header.d") && !text.contains("header.b"), "{text}");
        }
    }

    proptest! {
        #[test]
        fn what_is_written_is_taken_out_again(domain in ".{0,20}", start in ".{0,8}") {
            let mut verdicts = some();
            verdicts.dkim[0].domain = domain;
            verdicts.dkim[0].start = start;
            let mut message = written(&verdicts).into_bytes();
            message.extend_from_slice(b"A: b\r\n\r\n");
            prop_assert_eq!(header::fields(&message).count(), 2);
            prop_assert_eq!(remove_forged(&mut message, HOST), 1);
            prop_assert_eq!(message, b"A: b\r\n\r\n");
        }
    }
}
