//! Domain names in one form: A-labels in lower case, without the dot at the end.

/// Octets of a name in text at most (RFC 1035 §2.3.4: 255 in the wire's form).
const NAME_BYTES_MAX: usize = 253;
/// Octets of a label at most.
const LABEL_BYTES_MAX: usize = 63;

/// A name, absolute. The root is the empty text.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Name(String);

/// The text is not a name: a label is empty or too long, or an octet is not a letter, digit, hyphen
/// or underscore.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NameError;

impl Name {
    /// Reads an ASCII name; a dot at the end is taken off. Underscores are allowed: `_domainkey`.
    pub fn parse(text: &str) -> Result<Name, NameError> {
        let text = text.strip_suffix('.').unwrap_or(text);
        let plain = |label: &str| {
            (1..=LABEL_BYTES_MAX).contains(&label.len())
                && label.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'_')
        };
        let valid = text.len() <= NAME_BYTES_MAX && (text.is_empty() || text.split('.').all(plain));
        valid.then(|| Name(text.to_ascii_lowercase())).ok_or(NameError)
    }

    /// The root of all names.
    pub fn root() -> Name {
        Name(String::new())
    }

    /// `label.self`.
    pub fn prepend(&self, label: &str) -> Result<Name, NameError> {
        Name::parse(&format!("{label}.{}", self.0))
    }

    /// Whether it is `tree` or a name below it.
    pub fn is_within(&self, tree: &Name) -> bool {
        let above = self.0.strip_suffix(&tree.0);
        above.is_some_and(|above| above.is_empty() || tree.is_root() || above.ends_with('.'))
    }

    /// The text, without a dot at the end.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Whether it is the root.
    pub fn is_root(&self) -> bool {
        self.0.is_empty()
    }
}

impl std::fmt::Display for Name {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(if self.0.is_empty() { "." } else { &self.0 })
    }
}

impl std::fmt::Display for NameError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("not a domain name")
    }
}

impl std::error::Error for NameError {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_have_one_form() {
        let name = Name::parse("Mail.EXAMPLE.org.").unwrap();
        assert_eq!(name.as_str(), "mail.example.org");
        assert_eq!(name.prepend("_dmarc").unwrap().as_str(), "_dmarc.mail.example.org");
        assert!(Name::parse(".").unwrap().is_root());
        let org = Name::parse("example.org").unwrap();
        assert!(name.is_within(&org) && org.is_within(&org) && org.is_within(&Name::root()));
        assert!(!org.is_within(&name));
        assert!(!Name::parse("notexample.org").unwrap().is_within(&org));
        let long = "a.".repeat(128);
        for bad in ["a..b", "a b", "ü.example", "a/b", &"x".repeat(64), &long] {
            assert_eq!(Name::parse(bad), Err(NameError), "{bad}");
        }
    }
}
