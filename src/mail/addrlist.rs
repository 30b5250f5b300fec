//! Address lists of header fields (RFC 5322 §3.4), read for ENVELOPE: leniently, in one pass, never
//! refusing. What is written oddly comes out oddly, but comes out.

use super::envelope::EnvelopeAddress;
use super::mime::{comment_bytes, quoted_string};

/// Appends the addresses of `body` to `out` until there are `room` more.
pub(super) fn read(body: &[u8], out: &mut Vec<EnvelopeAddress>, room: &mut usize) {
    let mut reader = Reader { text: body, at: 0, item: Item::default(), in_group: false };
    while *room > 0 {
        let Some(next) = reader.next() else { break };
        out.push(next);
        *room -= 1;
    }
    if reader.in_group && *room > 0 {
        out.push(EnvelopeAddress::default());
        *room -= 1;
    }
}

struct Reader<'a> {
    text: &'a [u8],
    at: usize,
    item: Item,
    in_group: bool,
}

/// What has been read of the current mailbox.
#[derive(Default)]
struct Item {
    /// Words with single spaces between.
    phrase: Vec<u8>,
    /// The same without spaces: a local part may be written with blanks around its dots.
    local: Vec<u8>,
    /// White space was seen since the last word.
    blank: bool,
    comment: Option<Vec<u8>>,
    domain: Option<Vec<u8>>,
    angle: Option<Angle>,
}

/// What stands in angle brackets.
#[derive(Default)]
struct Angle {
    local: Vec<u8>,
    host: Vec<u8>,
    route: Option<Vec<u8>>,
}

impl Reader<'_> {
    fn next(&mut self) -> Option<EnvelopeAddress> {
        while let Some(octet) = self.text.get(self.at).copied() {
            match octet {
                b',' | b';' => {
                    self.at += 1;
                    let done = std::mem::take(&mut self.item).finish();
                    if octet == b';' && std::mem::take(&mut self.in_group) {
                        // The group's last mailbox goes out first, its end behind it.
                        if done.is_some() {
                            self.in_group = true;
                            self.at -= 1;
                            return done;
                        }
                        return Some(EnvelopeAddress::default());
                    }
                    if done.is_some() {
                        return done;
                    }
                }
                b':' if !self.in_group && self.item.may_name_a_group() => {
                    self.at += 1;
                    self.in_group = true;
                    let name = std::mem::take(&mut self.item).phrase;
                    return Some(EnvelopeAddress { mailbox: Some(name), ..Default::default() });
                }
                _ => self.word(octet),
            }
        }
        std::mem::take(&mut self.item).finish()
    }

    /// Takes one piece of a mailbox.
    fn word(&mut self, octet: u8) {
        let rest = &self.text[self.at..];
        match octet {
            b' ' | b'\t' | b'\r' | b'\n' | 0 => {
                self.item.blank = true;
                self.at += 1;
            }
            b'(' => {
                let len = comment_bytes(rest);
                self.item.comment = Some(comment_text(&rest[..len]));
                self.item.blank = true;
                self.at += len;
            }
            b'"' => {
                let (value, len) = quoted_string(rest);
                self.item.push(&value);
                self.at += len;
            }
            b'<' if self.item.angle.is_none() => {
                self.at += 1;
                self.item.angle = Some(self.angle());
            }
            b'@' if self.item.domain.is_none() && self.item.angle.is_none() => {
                self.at += 1;
                self.item.domain = Some(self.domain());
            }
            _ => {
                let special = |o: &u8| b" \t\r\n\0(\"<@,;:".contains(o);
                let len = rest[1..].iter().take_while(|o| !special(o)).count() + 1;
                self.item.push(&rest[..len]);
                self.at += len;
            }
        }
    }

    /// `[route:]local@domain>`, from behind the `<`.
    fn angle(&mut self) -> Angle {
        let Angle { mut local, host, mut route } = Angle::default();
        while let Some(octet) = self.text.get(self.at).copied() {
            let rest = &self.text[self.at..];
            match octet {
                b'>' => {
                    self.at += 1;
                    break;
                }
                b'"' => {
                    let (value, len) = quoted_string(rest);
                    local.extend_from_slice(&value);
                    self.at += len;
                }
                b'(' => self.at += comment_bytes(rest),
                b'@' if local.is_empty() && route.is_none() => {
                    // RFC 5322 §4.4: `<@a,@b:local@domain>`.
                    let len = rest.iter().take_while(|o| !matches!(o, b':' | b'>')).count();
                    route = Some(without_blanks(&rest[..len]));
                    self.at += len + usize::from(rest.get(len) == Some(&b':'));
                }
                b'@' => {
                    self.at += 1;
                    let host = self.domain();
                    self.at += usize::from(self.text.get(self.at) == Some(&b'>'));
                    return Angle { local, host, route };
                }
                _ => {
                    local.extend(Some(octet).filter(|o| !b" \t\r\n\0".contains(o)));
                    self.at += 1;
                }
            }
        }
        Angle { local, host, route }
    }

    /// A domain, from behind the `@`, up to what ends a mailbox.
    fn domain(&mut self) -> Vec<u8> {
        let mut domain = Vec::new();
        while let Some(octet) = self.text.get(self.at).copied() {
            match octet {
                b',' | b';' | b'>' | b'<' => break,
                b'(' => {
                    let len = comment_bytes(&self.text[self.at..]);
                    self.item.comment = Some(comment_text(&self.text[self.at..self.at + len]));
                    self.at += len;
                }
                b' ' | b'\t' | b'\r' | b'\n' | 0 => self.at += 1,
                _ => {
                    domain.push(octet);
                    self.at += 1;
                }
            }
        }
        domain
    }
}

impl Item {
    fn push(&mut self, word: &[u8]) {
        if std::mem::take(&mut self.blank) && !self.phrase.is_empty() {
            self.phrase.push(b' ');
        }
        self.phrase.extend_from_slice(word);
        self.local.extend_from_slice(word);
    }

    fn may_name_a_group(&self) -> bool {
        self.angle.is_none() && self.domain.is_none()
    }

    fn finish(self) -> Option<EnvelopeAddress> {
        let named = |name: Vec<u8>| Some(name).filter(|name| !name.is_empty());
        let (name, mailbox, host, route) = match (self.angle, self.domain) {
            (Some(Angle { local, host, route }), _) => {
                (named(self.phrase).or(self.comment), local, host, route)
            }
            (None, Some(domain)) => (self.comment, self.local, domain, None),
            (None, None) => (self.comment, self.phrase, Vec::new(), None),
        };
        if mailbox.is_empty() && host.is_empty() && name.is_none() {
            return None;
        }
        // Host and mailbox stand even if empty: their absence would mean a group (RFC 3501 §7.4.2).
        Some(EnvelopeAddress { name, route, mailbox: Some(mailbox), host: Some(host) })
    }
}

fn comment_text(comment: &[u8]) -> Vec<u8> {
    let inner = comment.strip_prefix(b"(").unwrap_or(comment);
    super::header::unfold(inner.strip_suffix(b")").unwrap_or(inner))
}

fn without_blanks(text: &[u8]) -> Vec<u8> {
    text.iter().copied().filter(|octet| !b" \t\r\n\0".contains(octet)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// Each address as `name|route|mailbox|host`, `-` for what is absent.
    fn shown(body: &str) -> Vec<String> {
        let (mut out, mut room) = (Vec::new(), 100);
        read(body.as_bytes(), &mut out, &mut room);
        let text = |part: &Option<Vec<u8>>| match part {
            Some(value) => String::from_utf8_lossy(value).into_owned(),
            None => "-".to_owned(),
        };
        out.iter().map(|a| [&a.name, &a.route, &a.mailbox, &a.host].map(text).join("|")).collect()
    }

    #[test]
    fn addresses_of_rfc_5322_are_read() {
        // RFC 5322 appendix A.1.2, A.1.3, A.5, A.6.1.
        assert_eq!(
            shown(
                "\"Joe Q. Public\" <john.q.public@example.com>, jdoe@example.org, Who? <one@y.test>"
            ),
            [
                "Joe Q. Public|-|john.q.public|example.com",
                "-|-|jdoe|example.org",
                "Who?|-|one|y.test"
            ]
        );
        assert_eq!(
            shown("<boss@nil.test>, \"Giant; \\\"Big\\\" Box\" <s@example.net>"),
            ["-|-|boss|nil.test", "Giant; \"Big\" Box|-|s|example.net"]
        );
        assert_eq!(
            shown("A Group:Ed Jones <joe@where.test>,joe@where.test,John <jdoe@one.test>;"),
            [
                "-|-|A Group|-",
                "Ed Jones|-|joe|where.test",
                "-|-|joe|where.test",
                "John|-|jdoe|one.test",
                "-|-|-|-"
            ]
        );
        assert_eq!(shown("Undisclosed recipients:;"), ["-|-|Undisclosed recipients|-", "-|-|-|-"]);
        assert_eq!(
            shown("Pete(A nice \\) chap) <pete(his account)@silly.test(his host)>"),
            ["Pete|-|pete|silly.test"]
        );
        assert_eq!(
            shown("Mary Smith <@node.test,@b.test:mary@example.net>, , jdoe@test . example"),
            ["Mary Smith|@node.test,@b.test|mary|example.net", "-|-|jdoe|test.example"]
        );
    }

    #[test]
    fn odd_addresses_come_out() {
        assert_eq!(shown("joe@x.test (Joe)"), ["Joe|-|joe|x.test"]);
        assert_eq!(shown("MAILER-DAEMON"), ["-|-|MAILER-DAEMON|"]);
        assert_eq!(shown("\"a b\"@x.test"), ["-|-|a b|x.test"]);
        assert_eq!(shown("=?utf-8?q?J=C3=BC?= <j@x.test>"), ["=?utf-8?q?J=C3=BC?=|-|j|x.test"]);
        assert_eq!(shown("G: a@b"), ["-|-|G|-", "-|-|a|b", "-|-|-|-"]);
        assert_eq!(shown("<>"), [""; 0]);
        assert_eq!(shown("x@[192.0.2.1], y@[IPv6:::1]"), ["-|-|x|[192.0.2.1]", "-|-|y|[IPv6:::1]"]);
    }

    proptest! {
        #[test]
        fn any_octets_are_read(body in any::<Vec<u8>>(), text in "[a@<>,;:\"\\\\() .]{0,60}") {
            for body in [&body[..], text.as_bytes()] {
                let (mut out, mut room) = (Vec::new(), 10);
                read(body, &mut out, &mut room);
                prop_assert!(out.len() <= 10 && out.len() + room == 10);
            }
        }
    }
}
