//! The one author of a message: one From field with one address.

use crate::mail::{Address, analyse, header};

/// Octets of a From field that are read; RFC 5322 §2.1.1 has lines of 998.
const FROM_BYTES_MAX: usize = 8192;

/// How many From fields a header block has.
pub fn from_fields(block: &[u8]) -> usize {
    header::fields(block).filter(|field| field.is("From")).count()
}

/// The address of a header block's only From field, if that names exactly one and no group.
///
/// Counted are all From fields of the block, the ones that no view shows included: several are the
/// oldest way to have one checked and another displayed.
pub fn only_author(block: &[u8]) -> Option<Address> {
    let mut fields = header::fields(block).filter(|field| field.is("From"));
    let (Some(field), None) = (fields.next(), fields.next()) else { return None };
    // RFC 5322 §4.5: white space before the colon is obsolete, and signers do not know it as From.
    let plain = field.raw.get(field.name.len()) == Some(&b':');
    if !plain || field.raw.len() > FROM_BYTES_MAX {
        return None;
    }
    let shown = analyse(&[field.raw, b"\r\n"].concat()).envelope.from;
    let [only] = shown.as_slice() else { return None };
    let address = [only.mailbox.as_deref()?, b"@", only.host.as_deref()?].concat();
    Address::parse(&address).ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn there_is_one_author_or_none() {
        for (block, author) in [
            ("From: a@b.example\r\n\r\n", Some("a@b.example")),
            (
                "X: y\r\nfrom: \"A, B\" <a@B.example>\r\nTo: c@d.example\r\n\r\n",
                Some("a@b.example"),
            ),
            ("From : a@b.example\r\n\r\n", None),
            ("From: A\r\n <a@b.example>\r\n\r\nFrom: c@d.example\r\n", Some("a@b.example")),
            ("From: a@b.example\r\nFrom: c@d.example\r\n\r\n", None),
            ("From: a@b.example\r\nFROM : a@b.example\r\n\r\n", None),
            ("From: a@b.example, c@d.example\r\n\r\n", None),
            ("From: team: a@b.example;\r\n\r\n", None),
            ("From:\r\n\r\n", None),
            ("From: nobody\r\n\r\n", None),
            ("To: a@b.example\r\n\r\n", None),
            ("text\r\nFrom: a@b.example\r\n\r\n", None),
        ] {
            let found = only_author(block.as_bytes()).map(|address| address.to_string());
            assert_eq!(found.as_deref(), author, "{block:?}");
        }
        let long = format!("From: {}a@b.example\r\n\r\n", "x ".repeat(FROM_BYTES_MAX));
        assert_eq!(only_author(long.as_bytes()), None);
    }

    proptest! {
        #[test]
        fn any_octets_are_read(block in any::<Vec<u8>>()) {
            only_author(&block);
            only_author(&[b"From: ".as_slice(), &block].concat());
        }
    }
}
