//! Who a message says it is from: the one author, who may be proved, and all whose domains are
//! asked what they think of it.
//!
//! # Standards
//! RFC 5322 §3.6 (one From, which must be there), §3.6.2 (several addresses), §4.5 (obsolete: white
//! space before the colon), RFC 6854 (groups), RFC 7489 §6.6.1 (what of these DMARC looks at).

use crate::mail::{Address, analyse, header, submission};

/// Octets of a From field that are read; RFC 5322 §2.1.1 has lines of 998.
const FROM_BYTES_MAX: usize = 8192;

/// Domains of authors that are asked; more than a few people do not write one message.
const DOMAINS_MAX: usize = 4;

/// How many From fields a program might find in `message`: also behind a line that ends the header
/// for this house, for others read on.
fn from_fields(message: &[u8]) -> usize {
    let lines = message.split_inclusive(|octet| *octet == b'\n');
    let header = lines.take_while(|line| !matches!(*line, b"\n" | b"\r\n"));
    header.filter(|line| header::fields(line).any(|field| field.is("From"))).count()
}

/// The authors of `message`, one for each domain. `None` where it is not clear who they are: there
/// is no From, or several; it holds a group, no address, or something that two programs read in two
/// ways; it names too many. Who wants to be taken for somebody whose domain disowns the mail writes
/// a From that is shown and cannot be checked.
///
/// No From at all counts as that: honest mail has one, for the first server adds it (RFC 6409 §8),
/// and programs then show what they find elsewhere.
pub fn authors(message: &[u8]) -> Option<Vec<Address>> {
    if from_fields(message) != 1 {
        return None;
    }
    if let Some(author) = only_author(message) {
        return Some(vec![author]);
    }
    let field = header::fields(message).find(|field| field.is("From"))?;
    let mut authors = submission::mailboxes(field.body).filter(|_| is_plain(&field))?;
    authors.sort_by(|one, other| one.domain().cmp(other.domain()));
    authors.dedup_by(|one, other| one.domain() == other.domain());
    (1..=DOMAINS_MAX).contains(&authors.len()).then_some(authors)
}

/// RFC 5322 §4.5: white space before the colon is obsolete, and signers do not know it as From.
fn is_plain(field: &header::Field<'_>) -> bool {
    field.raw.get(field.name.len()) == Some(&b':') && field.raw.len() <= FROM_BYTES_MAX
}

/// The address of a header block's only From field, if that names exactly one and no group.
///
/// Counted are all From fields of the block, the ones that no view shows included: several are the
/// oldest way to have one checked and another displayed.
pub fn only_author(block: &[u8]) -> Option<Address> {
    let mut fields = header::fields(block).filter(|field| field.is("From"));
    let (Some(field), None) = (fields.next(), fields.next()) else { return None };
    if !is_plain(&field) {
        return None;
    }
    let shown = analyse(&[field.raw, b"\r\n"].concat()).envelope.from;
    let [only] = shown.as_slice() else { return None };
    // The local part comes without its quotes.
    let local = std::str::from_utf8(only.mailbox.as_deref()?).ok()?;
    Address::parse(&[b"x@", only.host.as_deref()?].concat()).ok()?.with_local(local).ok()
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
            ("From: \"a b\"@b.example\r\n\r\n", Some("\"a b\"@b.example")),
            ("From: \"x@y.example\"@b.example\r\n\r\n", Some("\"x@y.example\"@b.example")),
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

    #[test]
    fn all_authors_are_told_or_none() {
        let long = format!("From: {}a@b.example\r\n\r\n", "x ".repeat(FROM_BYTES_MAX));
        for (message, domains) in [
            ("From: a@b.example\r\n\r\n", Some("b.example")),
            ("From: c@d.example <a@b.example>\r\n\r\n", Some("b.example")),
            ("From: a@b.example, c@d.example\r\n\r\nFrom: x@y", Some("b.example d.example")),
            ("From: a@b.example, C <c@b.example>\r\n", Some("b.example")),
            ("From: a@1.x, a@2.x, a@3.x, a@4.x\r\n\r\n", Some("1.x 2.x 3.x 4.x")),
            ("From: a@1.x, a@2.x, a@3.x, a@4.x, a@5.x\r\n\r\n", None),
            ("From: boss: a@b.example;\r\n\r\n", None),
            ("From: a@b.example, boss: c@d.example;\r\n\r\n", None),
            ("From : a@b.example\r\n\r\n", None),
            ("From : a@b.example\r\nFrom: c@d.example\r\n\r\n", None),
            ("From: a@b.example.\r\n\r\n", None),
            ("From: a@b..example\r\n\r\n", None),
            ("From: a@b.example, c@d.example.\r\n\r\n", None),
            ("From: nobody\r\n\r\n", None),
            ("From:\r\n\r\n", None),
            (&long, None),
            // Two programs may see two headers.
            ("From: a@b.example\r\nno field\r\nFrom: c@d.example\r\n\r\n", None),
            ("no field\r\nFrom: c@d.example\r\n\r\n", None),
            (" x\r\nFrom: c@d.example\r\n\r\n", None),
            ("From: a@b.example\r\n From: c@d.example\r\n\r\n", None),
            ("Subject: x\r\n\r\n", None),
            ("", None),
        ] {
            let found = authors(message.as_bytes())
                .map(|found| found.iter().map(Address::domain).collect::<Vec<_>>().join(" "));
            assert_eq!(found.as_deref(), domains, "{message:?}");
        }
    }

    proptest! {
        #[test]
        fn any_octets_are_read(block in any::<Vec<u8>>()) {
            only_author(&block);
            authors(&[b"From: ".as_slice(), &block].concat());
            only_author(&[b"From: ".as_slice(), &block].concat());
        }
    }
}
