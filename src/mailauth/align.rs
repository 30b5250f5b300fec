//! Whether one domain answers for another.
//!
//! RFC 7489 §3.1 aligns two domains if they belong to one organisation. Where an organisation ends
//! cannot be read from a name (`co.uk`, `github.io`). For DMARC's own verdict mail-auth finds it by
//! the tree walk of RFC 9989 §4.10. The proof of an author is asked more: the signer's domain is
//! the author's or stands above it. Whoever holds a zone can speak for what lies in it, so that
//! nothing need be known about public suffixes.
//!
//! # Known gaps
//! A signature by `news.example.org` for an author at `example.org`, or by a sister domain, passes
//! DMARC in relaxed mode and yet proves no author here.

/// Whether DMARC's identifiers are the same domain, in any case and with or without a last dot.
pub(super) fn is_same(a: &str, b: &str) -> bool {
    let (a, b) = (plain(a), plain(b));
    !a.is_empty() && a.eq_ignore_ascii_case(b)
}

/// Whether a signature by `signer` (`d=`) speaks for an author at `author`: the same domain, or one
/// above it that has at least two labels.
pub fn speaks_for(signer: &str, author: &str) -> bool {
    let (signer, author) = (plain(signer), plain(author));
    if is_same(signer, author) {
        return true;
    }
    let Some(at) = author.len().checked_sub(signer.len()).filter(|at| *at > 0) else {
        return false;
    };
    let (Some(above), Some(below)) = (author.get(at..), author.get(..at)) else { return false };
    signer.contains('.') && above.eq_ignore_ascii_case(signer) && below.ends_with('.')
}

fn plain(domain: &str) -> &str {
    domain.trim_end_matches('.')
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_signer_speaks_for_its_own_zone_only() {
        for (signer, author, speaks) in [
            ("example.org", "example.org", true),
            ("Example.ORG", "example.org.", true),
            ("example.org", "news.example.org", true),
            ("example.org", "a.b.example.org", true),
            // The other way round would let a tenant of github.io write as github.io.
            ("news.example.org", "example.org", false),
            ("a.example.org", "b.example.org", false),
            ("ample.org", "example.org", false),
            ("example.org", "example.org.evil.example", false),
            ("org", "example.org", false),
            ("org.", "example.org", false),
            ("", "example.org", false),
            (".", "example.org", false),
            ("", "", false),
            ("example.org", "", false),
            ("localhost", "localhost", true),
            ("..", "..", false),
        ] {
            assert_eq!(speaks_for(signer, author), speaks, "{signer} for {author}");
        }
    }

    proptest! {
        #[test]
        fn any_names_are_compared_without_panic(a in "[a-cü.]{0,12}", b in "[a-cü.]{0,12}") {
            let both = speaks_for(&a, &b) && speaks_for(&b, &a);
            prop_assert_eq!(both, is_same(&a, &b));
        }

        #[test]
        fn a_zone_above_speaks(label in "[a-z]{1,8}", zone in "[a-z]{1,8}\\.[a-z]{2,3}") {
            let (below, mixed) = (format!("{label}.{zone}"), zone.to_uppercase());
            prop_assert!(speaks_for(&mixed, &below));
            prop_assert!(!speaks_for(&below, &zone));
        }
    }
}
