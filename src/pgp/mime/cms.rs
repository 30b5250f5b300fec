//! Whether octets are an S/MIME message that is encrypted: its outer structure, nothing inside.
//!
//! An object identifier alone proves nothing; here all lengths are walked, and those that are
//! declared must cover the whole. Both forms are read: DER, and BER with lengths that are not known
//! beforehand, which programs write that encrypt while they read.
//!
//! # Standards
//! RFC 5652 §3 (ContentInfo), §6.1 (EnvelopedData, RecipientInfo); RFC 5083 §2.1
//! (AuthEnvelopedData); X.690 §8.1 (identifiers, lengths, end of contents).

use super::text::is_text;

const INTEGER: u8 = 0x02;
const OCTETS: u8 = 0x04;
const OBJECT: u8 = 0x06;
const SEQUENCE: u8 = 0x30;
const SET: u8 = 0x31;
/// Octets whose pieces are elements of their own.
const OCTETS_IN_PIECES: u8 = 0x24;
/// `[0]`, `[1]`, `[2]`, which hold elements, and `[0]`, which holds octets.
const TAGGED_0: u8 = 0xA0;
const TAGGED_1: u8 = 0xA1;
const TAGGED_2: u8 = 0xA2;
const TAGGED_0_OCTETS: u8 = 0x80;

/// What a recipient may be (RFC 5652 §6.2): a sequence, or one of `[1]` to `[4]`.
const RECIPIENTS: [u8; 5] = [SEQUENCE, 0xA1, 0xA2, 0xA3, 0xA4];

/// The bit of an identifier that says that elements are inside.
const CONSTRUCTED: u8 = 0x20;
/// An identifier whose number needs more octets; no standard of mail has one here.
const LONG_NUMBER: u8 = 0x1F;

/// `1.2.840.113549.1.7.3` (RFC 5652 §6) and `1.2.840.113549.1.9.16.1.23` (RFC 5083 §2).
const ENVELOPED: &[u8] = &[0x2A, 0x86, 0x48, 0x86, 0xF7, 0x0D, 1, 7, 3];
const AUTH_ENVELOPED: &[u8] = &[0x2A, 0x86, 0x48, 0x86, 0xF7, 0x0D, 1, 9, 16, 1, 23];

/// Whether `bytes` are one encrypted message, with nothing behind it but line ends.
pub fn is_enveloped(bytes: &[u8]) -> bool {
    content_info(bytes).is_some()
}

fn content_info(bytes: &[u8]) -> Option<()> {
    let info = next(bytes, &[SEQUENCE]).filter(|info| info.rest.trim_ascii().is_empty())?;
    let kind = next(info.content, &[OBJECT])?;
    let data = one(one(kind.rest, &[TAGGED_0])?, &[SEQUENCE])?;
    let version = next(data, &[INTEGER])?;
    let originator = next(version.rest, &[TAGGED_0]).map_or(version.rest, |found| found.rest);
    let recipients = next(originator, &[SET])?;
    let encrypted = next(recipients.rest, &[SEQUENCE])?;
    let behind: &[u8] = match kind.content {
        ENVELOPED => &[TAGGED_1],
        AUTH_ENVELOPED => &[TAGGED_1, OCTETS, TAGGED_2],
        _ => return None,
    };
    let is_whole = version.content.len() == 1
        && !recipients.content.is_empty()
        && are_all(recipients.content, &RECIPIENTS)
        && are_all(encrypted.rest, behind);
    encrypted_content(encrypted.content).filter(|_| is_whole)
}

/// RFC 5652 §6.1: the type of what is encrypted, the algorithm, and the octets, which the standard
/// lets stand elsewhere, and a message cannot.
fn encrypted_content(info: &[u8]) -> Option<()> {
    let kind = next(info, &[OBJECT])?;
    let algorithm = next(kind.rest, &[SEQUENCE])?;
    let octets = next(algorithm.rest, &[TAGGED_0_OCTETS, TAGGED_0])?;
    let pieces = [OCTETS, OCTETS_IN_PIECES];
    let first = match octets.tag {
        TAGGED_0 if are_all(octets.content, &pieces) => next(octets.content, &pieces)?.content,
        TAGGED_0 => return None,
        _ => octets.content,
    };
    (octets.rest.is_empty() && !first.is_empty() && !is_text(first)).then_some(())
}

/// Whether `bytes` are elements of these kinds and nothing else.
fn are_all(mut bytes: &[u8], tags: &[u8]) -> bool {
    while !bytes.is_empty() {
        let Some(found) = next(bytes, tags) else { return false };
        bytes = found.rest;
    }
    true
}

/// What is inside the one element that `bytes` are.
fn one<'a>(bytes: &'a [u8], tags: &[u8]) -> Option<&'a [u8]> {
    next(bytes, tags).filter(|found| found.rest.is_empty()).map(|found| found.content)
}

/// An element and what follows it.
struct Element<'a> {
    tag: u8,
    content: &'a [u8],
    rest: &'a [u8],
}

/// The element at the start of `bytes`, if it is there whole and of one of these kinds.
fn next<'a>(bytes: &'a [u8], tags: &[u8]) -> Option<Element<'a>> {
    let Head { tag, bytes: head, length } = head(bytes)?;
    let behind = &bytes[head..];
    let (content, whole) = match length {
        Some(length) => (length, length),
        None => open_length(behind)?,
    };
    let (content, rest) = (behind.get(..content)?, behind.get(whole..)?);
    tags.contains(&tag).then_some(Element { tag, content, rest })
}

/// How many octets there are up to the end of contents that closes what is open, without it and
/// with it.
fn open_length(bytes: &[u8]) -> Option<(usize, usize)> {
    let (mut at, mut open) = (0usize, 1usize);
    loop {
        let Head { tag, bytes: head, length } = head(bytes.get(at..)?)?;
        at = at.checked_add(head)?.checked_add(length.unwrap_or(0))?;
        match (tag, length) {
            (0, Some(0)) if open == 1 => return Some((at - head, at)),
            (0, Some(0)) => open -= 1,
            (_, None) => open += 1,
            _ => {}
        }
    }
}

/// The identifier and the length in front of an element.
struct Head {
    tag: u8,
    bytes: usize,
    /// `None`: up to its end of contents.
    length: Option<usize>,
}

fn head(bytes: &[u8]) -> Option<Head> {
    let (tag, first) = (*bytes.first()?, *bytes.get(1)?);
    let (octets, length) = match first {
        0..=0x7F => (0, Some(usize::from(first))),
        0x80 if tag & CONSTRUCTED != 0 => (0, None),
        // Zeros may stand in front.
        0x81..=0x88 => {
            let octets = usize::from(first & 0x7F);
            let digits = bytes.get(2..2 + octets)?;
            let length = digits.iter().fold(0u64, |sum, digit| sum << 8 | u64::from(*digit));
            (octets, Some(usize::try_from(length).ok()?))
        }
        _ => return None,
    };
    (tag & LONG_NUMBER != LONG_NUMBER).then_some(Head { tag, bytes: 2 + octets, length })
}

#[cfg(test)]
pub mod tests {
    use super::*;
    use base64::Engine;
    use base64::engine::general_purpose::STANDARD;
    use proptest::prelude::*;

    /// What `openssl cms -encrypt` writes for an elliptic key: DER; `-stream`; `-aes-128-gcm`.
    const SAMPLES: [&str; 3] = [
        "MIIBLgYJKoZIhvcNAQcDoIIBHzCCARsCAQIxgbehgbQCAQOgUaFPMAkGByqGSM49AgEDQgAE4MX00S3R2cc/GJVe\
         M7Zp2FEEE0zbXT8bM0hrHxmtuTmMhTbBwPCPF4GsSIPtDuNAk8n6yC1F0gXyvOGIRVS3rTAYBgkrgQUQhkg/AAIw\
         CwYJYIZIAWUDBAEFMEIwQDAkMAwxCjAIBgNVBAMMAWICFGwh36f3GzqwSwbjS5elqT9KHybIBBj07ARqFA6yauRd\
         9t0F5gtqtQuGig3Fy7wwXAYJKoZIhvcNAQcBMB0GCWCGSAFlAwQBAgQQqqShoOawMLJksRoqNAPfSoAwojKvZK4C\
         7DP/lLDQnXO6ve4oOupHJhUHo9GwccNyoFF9ZOrbjxrR+YxS2Cvt6gLm",
        "MIAGCSqGSIb3DQEHA6CAMIACAQIxgbehgbQCAQOgUaFPMAkGByqGSM49AgEDQgAETWIw6Pfnf3wfbloffqPLKvbm\
         6kDtbpwt/pylybKtC3lmTrccdhZ9692TTBlAQWR6/E/UVsjOqj0NcGtXLcCDXzAYBgkrgQUQhkg/AAIwCwYJYIZI\
         AWUDBAEFMEIwQDAkMAwxCjAIBgNVBAMMAWICFGwh36f3GzqwSwbjS5elqT9KHybIBBjCbXkHPIk3VS6xWPop14/E\
         9B7l70D1CKgwgAYJKoZIhvcNAQcBMB0GCWCGSAFlAwQBAgQQFytlx6Sc/atAzdpMarhZH6CABCDbUPrCYx8j7kAN\
         K9ZA1Y6dZerno9CuczKKTGzNjP2ukgQQtaua6ho1mBDICEVDvp0rKwAAAAAAAAAAAAA=",
        "MIIBNgYLKoZIhvcNAQkQARegggElMIIBIQIBADGBt6GBtAIBA6BRoU8wCQYHKoZIzj0CAQNCAAQwV4oLRNsZ8Lpi\
         WCNfyKmqv81QxzsJ/Ay/D4d18BV/C/L2ggLZct8zePxQnoUu27f0QUdhBo8Esj5bStFGyeCKMBgGCSuBBRCGSD8A\
         AjALBglghkgBZQMEAQUwQjBAMCQwDDEKMAgGA1UEAwwBYgIUbCHfp/cbOrBLBuNLl6WpP0ofJsgEGKsgul8umyRv\
         U+vxWNas6EQdY+h0pWZMtTBQBgkqhkiG9w0BBwEwHgYJYIZIAWUDBAEGMBEEDJcqiYnA+9CZAmrmjwIBEIAj48Bq\
         ZDCWWKTgNE4oSxJyLX5CftWDG8KG6iNRrUo/Gg4jeAQEEOWI4bUwQfBYI7GBg1vZW4I=",
    ];

    /// A message as a program encrypted it.
    pub fn encrypted() -> Vec<u8> {
        samples().swap_remove(0)
    }

    fn samples() -> Vec<Vec<u8>> {
        SAMPLES.iter().map(|sample| STANDARD.decode(sample).unwrap()).collect()
    }

    /// A message around these encrypted octets.
    fn made(kind: &[u8], recipients: &[u8], octets: &[u8]) -> Vec<u8> {
        let tlv = |tag: u8, content: &[u8]| {
            let length = u16::try_from(content.len()).unwrap().to_be_bytes();
            [&[tag, 0x82], &length[..], content].concat()
        };
        let inner = [&tlv(OBJECT, &[1]), &tlv(SEQUENCE, &[])[..], &tlv(0x80, octets)].concat();
        let version: &[u8] = &[INTEGER, 1, 0];
        let data = [version, &tlv(SET, recipients), &tlv(SEQUENCE, &inner)].concat();
        let content = tlv(TAGGED_0, &tlv(SEQUENCE, &data));
        tlv(SEQUENCE, &[tlv(OBJECT, kind), content].concat())
    }

    #[test]
    fn what_programs_write_is_known() {
        for sample in samples() {
            assert!(is_enveloped(&sample));
            assert!(is_enveloped(&[&sample[..], b"\r\n"].concat()));
        }
        assert!(is_enveloped(&made(ENVELOPED, &[SEQUENCE, 0], &[0xFF; 48])));
    }

    #[test]
    fn text_behind_an_object_identifier_is_no_message() {
        let head = [&[SEQUENCE, 0x82, 9, 9, OBJECT, 9], ENVELOPED].concat();
        let open = [&[SEQUENCE, 0x80, OBJECT, 9], ENVELOPED].concat();
        let text = b"all of my secret, in plain words, up to the end of the message";
        for bytes in [
            [&head[..], text].concat(),
            [&open[..], text].concat(),
            [&open[..], text, &[0, 0]].concat(),
            made(ENVELOPED, &[SEQUENCE, 0], text),
            made(ENVELOPED, text, &[0xFF; 48]),
            made(ENVELOPED, &[], &[0xFF; 48]),
            made(ENVELOPED, &[SEQUENCE, 0], &[]),
            // Signed data.
            made(&[0x2A, 0x86, 0x48, 0x86, 0xF7, 0x0D, 1, 7, 2], &[SEQUENCE, 0], &[0xFF; 48]),
        ] {
            assert!(!is_enveloped(&bytes), "{bytes:x?}");
        }
    }

    #[test]
    fn what_is_cut_or_goes_on_is_no_message() {
        for sample in samples() {
            for end in 0..sample.len() {
                assert!(!is_enveloped(&sample[..end]), "{end}");
            }
            assert!(!is_enveloped(&[&sample[..], b" text"].concat()));
        }
    }

    #[test]
    fn depth_costs_nothing() {
        assert!(!is_enveloped(&[SEQUENCE, 0x80].repeat(1 << 20)));
    }

    proptest! {
        #[test]
        fn no_octets_make_it_panic(
            bytes in any::<Vec<u8>>(),
            at in 0usize..320,
            which in 0usize..3,
            octet: u8,
        ) {
            is_enveloped(&bytes);
            let mut sample = samples().swap_remove(which);
            let at = at % sample.len();
            sample[at] = octet;
            is_enveloped(&sample);
        }
    }
}
