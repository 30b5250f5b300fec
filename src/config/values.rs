//! The types that an option's value may have, each with its name, its way of being written and its
//! refusal in plain words.
//!
//! Sizes and times carry their unit in the text (`"50 MiB"`, `"5 min"`), so that no reader has to
//! guess it. Relative paths are taken from the directory of the configuration file.

use crate::discovery::Network;
use crate::plan::{Policy, Rule};
use crate::relay::Relayhost;
use crate::relay::transmit::TlsPolicy;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;
use toml_edit::Value;

/// Entries that one list may have; nobody needs more, and a slip should not make a thousand
/// sockets.
const LIST_ENTRIES_MAX: usize = 256;

/// A type of value.
pub trait Setting: Sized + PartialEq {
    /// What it is called in texts for people.
    const KIND: &'static str;
    /// Reads it; the error says what was expected. Relative paths start at `base`.
    fn read(value: &Value, base: &Path) -> Result<Self, String>;
    /// Whether it is less than `least`; types without an order never are.
    fn is_below(&self, least: &Self) -> bool {
        let _ = least;
        false
    }
}

/// A number of octets.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Size(pub u64);

impl Setting for Size {
    const KIND: &'static str = "size with unit B, KiB, MiB or GiB";

    fn read(value: &Value, _: &Path) -> Result<Self, String> {
        const UNITS: [(&str, u64); 4] =
            [("B", 1), ("KiB", 1 << 10), ("MiB", 1 << 20), ("GiB", 1 << 30)];
        with_unit(value, &UNITS).map(Size).ok_or_else(|| expected(Self::KIND, "\"50 MiB\""))
    }

    fn is_below(&self, least: &Self) -> bool {
        self < least
    }
}

impl Setting for Duration {
    const KIND: &'static str = "time with unit s, min, h or d";

    fn read(value: &Value, _: &Path) -> Result<Self, String> {
        const UNITS: [(&str, u64); 4] = [("s", 1), ("min", 60), ("h", 3600), ("d", 86_400)];
        let seconds = with_unit(value, &UNITS).ok_or_else(|| expected(Self::KIND, "\"5 min\""))?;
        Ok(Duration::from_secs(seconds))
    }

    fn is_below(&self, least: &Self) -> bool {
        self < least
    }
}

fn with_unit(value: &Value, units: &[(&str, u64)]) -> Option<u64> {
    let text = value.as_str()?;
    let digits = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    let (number, unit) = text.split_at(digits);
    let (_, factor) = units.iter().find(|(name, _)| *name == unit.trim_start())?;
    number.parse::<u64>().ok()?.checked_mul(*factor)
}

impl Setting for u32 {
    const KIND: &'static str = "number";

    fn read(value: &Value, _: &Path) -> Result<Self, String> {
        value
            .as_integer()
            .and_then(|number| number.try_into().ok())
            .ok_or_else(|| expected("number from 0 to 4294967295", "100"))
    }

    fn is_below(&self, least: &Self) -> bool {
        self < least
    }
}

impl Setting for Network {
    const KIND: &'static str = "network";

    fn read(value: &Value, _: &Path) -> Result<Self, String> {
        value
            .as_str()
            .and_then(|text| Network::parse(text).ok())
            .ok_or_else(|| expected(Self::KIND, "\"10.0.0.0/8\" or \"fd00::/8\""))
    }
}

impl Setting for Vec<Network> {
    const KIND: &'static str = "list of networks";

    fn read(value: &Value, base: &Path) -> Result<Self, String> {
        list(value, base, "[\"10.0.0.0/8\"]")
    }
}

impl Setting for bool {
    const KIND: &'static str = "true or false";

    fn read(value: &Value, _: &Path) -> Result<Self, String> {
        value.as_bool().ok_or_else(|| expected(Self::KIND, "true"))
    }
}

/// A path, already taken from the configuration file's directory.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FilePath(pub PathBuf);

impl Setting for FilePath {
    const KIND: &'static str = "path";

    fn read(value: &Value, base: &Path) -> Result<Self, String> {
        match value.as_str() {
            Some(text) if !text.is_empty() => Ok(FilePath(base.join(resolved(text)))),
            _ => Err(expected(Self::KIND, "\"/var/lib/postseal\"")),
        }
    }
}

/// The variable in which systemd names the directory of a service's credentials (systemd.exec(5)).
pub(super) const CREDENTIALS: &str = "CREDENTIALS_DIRECTORY";

/// The name behind `${CREDENTIALS_DIRECTORY}/`.
pub(super) fn credential(text: &str) -> Option<&str> {
    text.strip_prefix("${")?.strip_prefix(CREDENTIALS)?.strip_prefix("}/")
}

/// A credential's path; anything else, and this too where systemd has not set the variable, stays
/// as it is written.
fn resolved(text: &str) -> PathBuf {
    match (credential(text), std::env::var_os(CREDENTIALS)) {
        (Some(name), Some(dir)) => Path::new(&dir).join(name),
        _ => PathBuf::from(text),
    }
}

/// A path that may be left empty.
impl Setting for Option<FilePath> {
    const KIND: &'static str = "path, or \"\" for none";

    fn read(value: &Value, base: &Path) -> Result<Self, String> {
        match value.as_str() {
            Some("") => Ok(None),
            _ => FilePath::read(value, base).map(Some),
        }
    }
}

/// A host name or mail domain in its lower-case ASCII form.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DomainName(pub String);

impl Setting for DomainName {
    const KIND: &'static str = "domain name";

    fn read(value: &Value, _: &Path) -> Result<Self, String> {
        value.as_str().and_then(domain).ok_or_else(|| expected(Self::KIND, "\"mail.example.org\""))
    }
}

/// RFC 1123 §2.1 and RFC 1035 §2.3.4: labels of 1 to 63 letters, digits and inner hyphens, 253 in
/// all.
fn domain(text: &str) -> Option<DomainName> {
    let ascii = idna::domain_to_ascii(text).ok()?.to_ascii_lowercase();
    let label = |label: &str| {
        (1..=63).contains(&label.len())
            && !label.starts_with('-')
            && !label.ends_with('-')
            && label.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-')
    };
    (ascii.len() <= 253 && ascii.split('.').all(label)).then_some(DomainName(ascii))
}

/// A domain name that may be left empty.
impl Setting for Option<DomainName> {
    const KIND: &'static str = "domain name, or \"\" for none";

    fn read(value: &Value, base: &Path) -> Result<Self, String> {
        match value.as_str() {
            Some("") => Ok(None),
            _ => DomainName::read(value, base).map(Some),
        }
    }
}

/// A relay that may be left empty.
impl Setting for Option<Relayhost> {
    const KIND: &'static str = "host, host:port, [host], [host]:port, or \"\" for none";

    fn read(value: &Value, _: &Path) -> Result<Self, String> {
        match value.as_str() {
            Some("") => Ok(None),
            Some(text) => match Relayhost::parse(text) {
                Ok(relayhost) => Ok(Some(relayhost)),
                Err(_) => Err(expected(Self::KIND, "\"[relay.example.net]:587\"")),
            },
            None => Err(expected(Self::KIND, "\"[relay.example.net]:587\"")),
        }
    }
}

/// A port of TCP.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Port(pub u16);

impl Setting for Port {
    const KIND: &'static str = "port";

    fn read(value: &Value, _: &Path) -> Result<Self, String> {
        let port = value.as_integer().and_then(|number| u16::try_from(number).ok());
        port.filter(|port| *port > 0)
            .map(Port)
            .ok_or_else(|| expected("number from 1 to 65535", "25"))
    }
}

impl Setting for TlsPolicy {
    const KIND: &'static str = "one of \"may\", \"encrypt\", \"verify\"";

    fn read(value: &Value, _: &Path) -> Result<Self, String> {
        match value.as_str() {
            Some("may") => Ok(TlsPolicy::May),
            Some("encrypt") => Ok(TlsPolicy::Encrypt),
            Some("verify") => Ok(TlsPolicy::Verify),
            _ => Err(format!("expected {}", Self::KIND)),
        }
    }
}

/// A text, possibly empty.
impl Setting for String {
    const KIND: &'static str = "text";

    fn read(value: &Value, _: &Path) -> Result<Self, String> {
        value.as_str().map(str::to_owned).ok_or_else(|| expected(Self::KIND, "\"text\""))
    }
}

/// Fields that are never taken out of a message: without them it is none, or another.
const KEPT_FIELDS: [&str; 12] = [
    "From",
    "Sender",
    "Reply-To",
    "To",
    "Cc",
    "Date",
    "Message-ID",
    "In-Reply-To",
    "References",
    "Received",
    "MIME-Version",
    "DKIM-Signature",
];

/// The name of a header field that may be left out of a message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FieldName(pub String);

impl Setting for FieldName {
    const KIND: &'static str = "header field name";

    fn read(value: &Value, _: &Path) -> Result<Self, String> {
        // RFC 5322 §2.2.
        let named = |name: &&str| {
            !name.is_empty() && name.bytes().all(|b| b.is_ascii_graphic() && b != b':')
        };
        let name =
            value.as_str().filter(named).ok_or_else(|| expected(Self::KIND, "\"X-Mailer\""))?;
        let kept = KEPT_FIELDS.iter().any(|kept| kept.eq_ignore_ascii_case(name))
            || name.get(..8).is_some_and(|start| start.eq_ignore_ascii_case("Content-"));
        match kept {
            true => Err(format!("{name} is a field that a message needs")),
            false => Ok(FieldName(name.to_owned())),
        }
    }
}

impl Setting for Vec<FieldName> {
    const KIND: &'static str = "list of header field names";

    fn read(value: &Value, base: &Path) -> Result<Self, String> {
        list(value, base, "[\"User-Agent\", \"X-Mailer\"]")
    }
}

/// The character between a local part and its detail, or none.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Delimiter(pub Option<u8>);

impl Setting for Delimiter {
    const KIND: &'static str = "one of \"+\", \"-\", \"=\", \"_\", or \"\" for none";

    fn read(value: &Value, _: &Path) -> Result<Self, String> {
        match value.as_str().map(str::as_bytes) {
            Some([]) => Ok(Delimiter(None)),
            Some(&[byte @ (b'+' | b'-' | b'=' | b'_')]) => Ok(Delimiter(Some(byte))),
            _ => Err(format!("expected {}", Self::KIND)),
        }
    }
}

impl Setting for SocketAddr {
    const KIND: &'static str = "address with port";

    fn read(value: &Value, _: &Path) -> Result<Self, String> {
        value
            .as_str()
            .and_then(|text| text.parse().ok())
            .ok_or_else(|| expected(Self::KIND, "\"127.0.0.1:25\" or \"[::]:25\""))
    }
}

impl Setting for Vec<SocketAddr> {
    const KIND: &'static str = "list of addresses with port";

    fn read(value: &Value, base: &Path) -> Result<Self, String> {
        list(value, base, "[\"0.0.0.0:25\", \"[::]:25\"]")
    }
}

impl Setting for Vec<DomainName> {
    const KIND: &'static str = "list of domain names";

    fn read(value: &Value, base: &Path) -> Result<Self, String> {
        list(value, base, "[\"example.org\"]")
    }
}

impl Setting for Policy {
    const KIND: &'static str = "one of \"prefer\", \"require\", \"hold\", \"plain\"";

    fn read(value: &Value, _: &Path) -> Result<Self, String> {
        value.as_str().and_then(Policy::parse).ok_or_else(|| format!("expected {}", Self::KIND))
    }
}

impl Setting for Rule {
    const KIND: &'static str = "rule";

    fn read(value: &Value, _: &Path) -> Result<Self, String> {
        let text = value.as_str().ok_or_else(|| expected(Self::KIND, "\"example.org require\""))?;
        Rule::parse(text)
    }
}

impl Setting for Vec<Rule> {
    const KIND: &'static str = "list of rules";

    fn read(value: &Value, base: &Path) -> Result<Self, String> {
        list(value, base, "[\"example.org require\"]")
    }
}

fn list<T: Setting>(value: &Value, base: &Path, example: &str) -> Result<Vec<T>, String> {
    let array = value.as_array().ok_or_else(|| expected("list", example))?;
    if array.len() > LIST_ENTRIES_MAX {
        return Err(format!("more than {LIST_ENTRIES_MAX} entries"));
    }
    let mut out = Vec::with_capacity(array.len());
    for (index, entry) in array.iter().enumerate() {
        let entry = T::read(entry, base).map_err(|why| format!("entry {}: {why}", index + 1))?;
        if out.contains(&entry) {
            return Err(format!("entry {} stands there twice", index + 1));
        }
        out.push(entry);
    }
    Ok(out)
}

/// From which urgency on events are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LogLevel {
    /// Only what needs a person.
    Error,
    /// And what was wrong and was coped with.
    Warn,
    /// And the ordinary course of things.
    Info,
}

impl Setting for LogLevel {
    const KIND: &'static str = "one of \"error\", \"warn\", \"info\"";

    fn read(value: &Value, _: &Path) -> Result<Self, String> {
        match value.as_str() {
            Some("error") => Ok(LogLevel::Error),
            Some("warn") => Ok(LogLevel::Warn),
            Some("info") => Ok(LogLevel::Info),
            _ => Err(format!("expected {}", Self::KIND)),
        }
    }
}

/// How mail addresses and network peers stand in the log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LogAddresses {
    /// As an HMAC under a key that lives a day and only in memory.
    Hashed,
    /// As they are.
    Full,
}

impl Setting for LogAddresses {
    const KIND: &'static str = "one of \"hashed\", \"full\"";

    fn read(value: &Value, _: &Path) -> Result<Self, String> {
        match value.as_str() {
            Some("hashed") => Ok(LogAddresses::Hashed),
            Some("full") => Ok(LogAddresses::Full),
            _ => Err(format!("expected {}", Self::KIND)),
        }
    }
}

/// What is done with mail that fails DMARC under a policy of quarantine or reject.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DmarcAction {
    /// It goes to the junk folder.
    Junk,
    /// It is only written in the header.
    Mark,
}

impl Setting for DmarcAction {
    const KIND: &'static str = "one of \"junk\", \"mark\"";

    fn read(value: &Value, _: &Path) -> Result<Self, String> {
        match value.as_str() {
            Some("junk") => Ok(DmarcAction::Junk),
            Some("mark") => Ok(DmarcAction::Mark),
            _ => Err(format!("expected {}", Self::KIND)),
        }
    }
}

/// Where the log goes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum LogDestination {
    /// Standard error, for journald and containers.
    Stderr,
    /// A file, opened anew at each reload.
    File(PathBuf),
}

impl Setting for LogDestination {
    const KIND: &'static str = "\"stderr\" or a path";

    fn read(value: &Value, base: &Path) -> Result<Self, String> {
        match value.as_str() {
            Some("stderr") => Ok(LogDestination::Stderr),
            Some(text) if !text.is_empty() => Ok(LogDestination::File(base.join(text))),
            _ => Err(format!("expected {}", Self::KIND)),
        }
    }
}

fn expected(kind: &str, example: &str) -> String {
    format!("expected a {kind}, such as {example}")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read<T: Setting>(text: &str) -> Result<T, String> {
        T::read(&text.parse().unwrap(), Path::new("/etc/postseal"))
    }

    #[test]
    fn sizes_and_times_need_a_unit_and_do_not_overflow() {
        assert_eq!(read::<Size>("\"50 MiB\"").unwrap(), Size(50 << 20));
        assert_eq!(read::<Size>("\"7B\"").unwrap(), Size(7));
        assert_eq!(read::<Duration>("\"5 min\"").unwrap(), Duration::from_secs(300));
        for bad in ["50", "\"50\"", "\"50 MB\"", "\"-1 MiB\"", "\"MiB\"", "\"99999999999 GiB\""] {
            assert!(read::<Size>(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn domains_are_lower_cased_and_bad_ones_refused() {
        assert_eq!(read::<DomainName>("\"Mail.Example.ORG\"").unwrap().0, "mail.example.org");
        assert_eq!(read::<DomainName>("\"bücher.example\"").unwrap().0, "xn--bcher-kva.example");
        for bad in ["\"\"", "\"a..b\"", "\"-a.example\"", "\"a b\"", "\"a_b.example\"", "7"] {
            assert!(read::<DomainName>(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn paths_start_at_the_configuration_file() {
        assert_eq!(read::<FilePath>("\"data\"").unwrap().0, Path::new("/etc/postseal/data"));
        assert_eq!(read::<FilePath>("\"/srv/x\"").unwrap().0, Path::new("/srv/x"));
        assert_eq!(read::<Option<FilePath>>("\"\"").unwrap(), None);
        assert!(read::<FilePath>("\"\"").is_err());
    }

    #[test]
    fn ports_and_networks_are_read_exactly() {
        assert_eq!(read::<Port>("443").unwrap(), Port(443));
        for bad in ["0", "65536", "-1", "\"443\""] {
            assert!(read::<Port>(bad).is_err(), "{bad}");
        }
        assert_eq!(read::<Vec<Network>>("[\"10.0.0.0/8\", \"::1\"]").unwrap().len(), 2);
        let error = read::<Vec<Network>>("[\"10.0.0.1/8\"]").unwrap_err();
        assert!(error.starts_with("entry 1: expected a network"), "{error}");
    }

    #[test]
    fn rules_and_policies_are_exactly_the_documented_words() {
        let rules =
            read::<Vec<Rule>>("[\"example.org require\", \"from a@b.example hold\"]").unwrap();
        assert_eq!(rules[1].to_string(), "from a@b.example hold");
        let error = read::<Vec<Rule>>("[\"example.org require\", \"x@y plian\"]").unwrap_err();
        assert!(error.starts_with("entry 2: plian"), "{error}");
        for word in ["prefer", "require", "hold", "plain"] {
            assert_eq!(read::<Policy>(&format!("\"{word}\"")).unwrap().as_str(), word);
        }
        for word in ["\"encrypt\"", "\"PLAIN\"", "\"\"", "true"] {
            assert!(read::<Policy>(word).is_err(), "{word}");
        }
    }

    #[test]
    fn a_field_that_a_message_needs_is_never_stripped() {
        assert_eq!(read::<FieldName>("\"X-Mailer\"").unwrap().0, "X-Mailer");
        for bad in ["\"\"", "\"from\"", "\"Content-Type\"", "\"a:\"", "\"a b\"", "\"ü\"", "7"] {
            assert!(read::<FieldName>(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn a_list_names_the_entry_that_is_wrong() {
        let error = read::<Vec<SocketAddr>>("[\"127.0.0.1:25\", \"localhost\"]").unwrap_err();
        assert!(error.starts_with("entry 2:"), "{error}");
        assert!(read::<Vec<SocketAddr>>("[\"[::1]:25\", \"[::1]:25\"]").is_err());
    }
}
