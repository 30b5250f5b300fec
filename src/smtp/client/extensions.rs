//! What a server offers in its answer to EHLO (RFC 5321 §4.1.1.1).

/// The extensions that matter here. All false for a server that knows only HELO.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Extensions {
    /// PIPELINING (RFC 2920).
    pub pipelining: bool,
    /// SIZE (RFC 1870), with a limit or without.
    pub size: bool,
    /// Octets of a message at most, where SIZE names a limit.
    pub size_bytes_max: Option<u64>,
    /// 8BITMIME (RFC 6152).
    pub eight_bit: bool,
    /// SMTPUTF8 (RFC 6531).
    pub utf8: bool,
    /// DSN (RFC 3461).
    pub dsn: bool,
    /// STARTTLS (RFC 3207).
    pub starttls: bool,
    /// AUTH with PLAIN (RFC 4954, RFC 4616).
    pub auth_plain: bool,
    /// AUTH with LOGIN.
    pub auth_login: bool,
}

impl Extensions {
    /// Reads the lines behind the first. What is not known is passed over.
    pub(super) fn read(lines: &[Vec<u8>]) -> Extensions {
        let mut out = Extensions::default();
        for line in lines {
            let line = line.to_ascii_uppercase();
            let mut words = line.split(|octet| *octet == b' ').filter(|word| !word.is_empty());
            match words.next() {
                Some(b"PIPELINING") => out.pipelining = true,
                Some(b"SIZE") => {
                    out.size = true;
                    out.size_bytes_max = words.next().and_then(limit);
                }
                Some(b"8BITMIME") => out.eight_bit = true,
                Some(b"SMTPUTF8") => out.utf8 = true,
                Some(b"DSN") => out.dsn = true,
                Some(b"STARTTLS") => out.starttls = true,
                Some(b"AUTH") => words.for_each(|word| out.mechanism(word)),
                // A form from before RFC 2554 that some servers still say.
                Some(word) if word.starts_with(b"AUTH=") => {
                    out.mechanism(&word[5..]);
                    words.for_each(|word| out.mechanism(word));
                }
                _ => {}
            }
        }
        out
    }

    fn mechanism(&mut self, word: &[u8]) {
        self.auth_plain |= word == b"PLAIN";
        self.auth_login |= word == b"LOGIN";
    }
}

/// RFC 1870 §3: zero means that there is no fixed limit.
fn limit(word: &[u8]) -> Option<u64> {
    let text = std::str::from_utf8(word).ok().filter(|text| text.len() <= 20)?;
    text.parse().ok().filter(|limit| *limit > 0)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(lines: &[&str]) -> Extensions {
        Extensions::read(&lines.iter().map(|line| line.as_bytes().to_vec()).collect::<Vec<_>>())
    }

    #[test]
    fn keywords_are_read_in_any_case() {
        let got = read(&["pipelining", "Size 1000", "8bitmime", "DSN", "AUTH login PLAIN", "X"]);
        assert!(got.pipelining && got.size && got.eight_bit && got.dsn && !got.utf8);
        assert!(got.auth_plain && got.auth_login && !got.starttls);
        assert_eq!(got.size_bytes_max, Some(1000));
        assert!(read(&["AUTH=LOGIN"]).auth_login);
    }

    #[test]
    fn a_size_that_says_nothing_is_no_limit() {
        for line in ["SIZE", "SIZE 0", "SIZE x", "SIZE -1", "SIZE 999999999999999999999"] {
            let got = read(&[line]);
            assert_eq!((got.size, got.size_bytes_max), (true, None), "{line}");
        }
    }
}
