//! A zone that is written down: names and records from a text, for closed networks and tests.
//!
//! One line each: `name TYPE data`, with A, AAAA, MX and TXT; or `name NXDOMAIN`, `SERVFAIL`,
//! `BOGUS` or `TIMEOUT` for what resolvers meet. Lines in between speak of the whole:
//! `$zone NAME` says which trees of names the text answers for (without any, for all names), and
//! `$secure` or `$insecure` how far the answers of the lines below it are to be believed. A name
//! that is not listed is believed as the last line is. `#` begins a comment.
//!
//! ```text
//! $zone closed.example
//! mail.closed.example        A     192.0.2.1
//! closed.example             MX    10 mail.closed.example
//! closed.example             TXT   "v=spf1 mx -all"
//! gone.closed.example        SERVFAIL
//! ```
//!
//! The text is trusted as the configuration is; what is guarded against are mistakes.
//!
//! # Standards
//! RFC 1035 §3 (records), RFC 8020 (a name with names below it exists).
//!
//! # Known gaps
//! No wildcards, no CNAME, no TTL.

use super::{DnsError, Lookup, Mx, Name, Proof, Resolver};
use crate::base::BoxFuture;
use std::collections::BTreeMap;
use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// Lines of a zone: a closed network of some ten thousand hosts.
const LINES_MAX: usize = 100_000;

/// A literal zone.
#[derive(Clone, Debug)]
pub struct Zone {
    apexes: Vec<Name>,
    names: BTreeMap<Name, Entry>,
    /// For names that are not listed.
    proof: Proof,
}

/// What is known of one name.
#[derive(Clone, Debug)]
struct Entry {
    proof: Proof,
    fate: Option<Fate>,
    addresses: Vec<IpAddr>,
    mx: Vec<Mx>,
    txt: Vec<Vec<u8>>,
}

/// What happens to every question about a name.
#[derive(Clone, Copy, Debug)]
enum Fate {
    NoName,
    Fails(DnsError),
}

/// A line that is not understood.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ZoneError {
    /// The line, counted from 1.
    pub line: usize,
    /// What was expected.
    pub text: &'static str,
}

impl Zone {
    /// Reads a zone's text.
    pub fn parse(text: &str) -> Result<Zone, ZoneError> {
        let mut zone = Zone { apexes: Vec::new(), names: BTreeMap::new(), proof: Proof::Insecure };
        for (at, line) in text.lines().enumerate() {
            let read = if at < LINES_MAX { zone.line(line) } else { Err("too many lines") };
            read.map_err(|text| ZoneError { line: at + 1, text })?;
        }
        Ok(zone)
    }

    /// Whether this zone answers for `name`, so that nobody else is to be asked.
    pub fn covers(&self, name: &Name) -> bool {
        self.apexes.is_empty() || self.apexes.iter().any(|apex| name.is_within(apex))
    }

    fn line(&mut self, line: &str) -> Result<(), &'static str> {
        let (first, rest) = split(line);
        if first.is_empty() || first.starts_with('#') {
            return Ok(());
        }
        if let Some(word) = first.strip_prefix('$') {
            return self.directive(word, rest);
        }
        let name = Name::parse(first).map_err(|_| "expected a name")?;
        let (kind, data) = split(rest);
        let entry = self.names.entry(name).or_insert_with(|| Entry::new(self.proof));
        entry.add(&kind.to_ascii_uppercase(), data)
    }

    fn directive(&mut self, word: &str, rest: &str) -> Result<(), &'static str> {
        match word {
            "secure" => self.proof = Proof::Secure,
            "insecure" => self.proof = Proof::Insecure,
            "zone" => self.apexes.push(Name::parse(rest).map_err(|_| "expected a zone's name")?),
            _ => return Err("expected $zone NAME, $secure or $insecure"),
        }
        Ok(())
    }

    fn answer<T: Clone>(&self, name: &Name, of: impl Fn(&Entry) -> &Vec<T>) -> Lookup<T> {
        if !self.covers(name) {
            return Lookup::Failed(DnsError::Server);
        }
        let Some(entry) = self.names.get(name) else {
            let no_name = !self.names.keys().any(|known| known.is_within(name));
            return Lookup::Absent { no_name, proof: self.proof };
        };
        let proof = entry.proof;
        match entry.fate {
            Some(Fate::Fails(error)) => Lookup::Failed(error),
            Some(Fate::NoName) => Lookup::Absent { no_name: true, proof },
            None if of(entry).is_empty() => Lookup::Absent { no_name: false, proof },
            None => Lookup::Found { records: of(entry).clone(), proof },
        }
    }
}

impl Entry {
    fn new(proof: Proof) -> Entry {
        Entry { proof, fate: None, addresses: Vec::new(), mx: Vec::new(), txt: Vec::new() }
    }

    fn add(&mut self, kind: &str, data: &str) -> Result<(), &'static str> {
        match kind {
            "A" => {
                let address: Ipv4Addr = data.parse().map_err(|_| "expected an IPv4 address")?;
                self.addresses.push(address.into());
            }
            "AAAA" => {
                let address: Ipv6Addr = data.parse().map_err(|_| "expected an IPv6 address")?;
                self.addresses.push(address.into());
            }
            "MX" => self.mx.push(mx(data).ok_or("expected a preference and a host")?),
            "TXT" => self.txt.push(unquoted(data).as_bytes().to_vec()),
            _ if !data.is_empty() => return Err("expected A, AAAA, MX or TXT"),
            "NXDOMAIN" => self.fate = Some(Fate::NoName),
            "SERVFAIL" => self.fate = Some(Fate::Fails(DnsError::Server)),
            "BOGUS" => self.fate = Some(Fate::Fails(DnsError::Bogus)),
            "TIMEOUT" => self.fate = Some(Fate::Fails(DnsError::Timeout)),
            _ => return Err("expected A, AAAA, MX, TXT, NXDOMAIN, SERVFAIL, BOGUS or TIMEOUT"),
        }
        Ok(())
    }
}

/// The first word of `text` and what follows it.
fn split(text: &str) -> (&str, &str) {
    let text = text.trim();
    let (first, rest) = text.split_once(char::is_whitespace).unwrap_or((text, ""));
    (first, rest.trim_start())
}

fn mx(data: &str) -> Option<Mx> {
    let (preference, host) = split(data);
    let host = Name::parse(host).ok().filter(|_| !host.is_empty())?;
    Some(Mx { preference: preference.parse().ok()?, host })
}

fn unquoted(data: &str) -> &str {
    data.strip_prefix('"').and_then(|inner| inner.strip_suffix('"')).unwrap_or(data)
}

impl Resolver for Zone {
    fn addresses<'a>(&'a self, name: &'a Name) -> BoxFuture<'a, Lookup<IpAddr>> {
        Box::pin(async move { self.answer(name, |entry| &entry.addresses) })
    }

    fn mx<'a>(&'a self, name: &'a Name) -> BoxFuture<'a, Lookup<Mx>> {
        Box::pin(async move { self.answer(name, |entry| &entry.mx) })
    }

    fn txt<'a>(&'a self, name: &'a Name) -> BoxFuture<'a, Lookup<Vec<u8>>> {
        Box::pin(async move { self.answer(name, |entry| &entry.txt) })
    }
}

impl fmt::Display for ZoneError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "line {}: {}", self.line, self.text)
    }
}

impl std::error::Error for ZoneError {}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const TEXT: &str = "# a closed network\n\
        $zone closed.example\n\
        $zone other.example.\n\
        mail.closed.example A 192.0.2.1\n\
        MAIL.closed.example AAAA 2001:db8::1\n\
        closed.example MX 10 mail.closed.example.\n\
        closed.example  TXT  \"v=spf1 -all\"\n\
        null.closed.example mx 0 .\n\
        $secure\n\
        signed.closed.example A 192.0.2.2\n\
        gone.closed.example NXDOMAIN\n\
        lame.closed.example SERVFAIL\n\
        false.closed.example BOGUS\n\
        slow.closed.example TIMEOUT\n";

    fn name(text: &str) -> Name {
        Name::parse(text).unwrap()
    }

    fn addresses(text: &str) -> Lookup<IpAddr> {
        Zone::parse(TEXT).unwrap().answer(&name(text), |entry| &entry.addresses)
    }

    #[test]
    fn records_are_found_under_any_spelling() {
        let records = vec!["192.0.2.1".parse().unwrap(), "2001:db8::1".parse().unwrap()];
        let found = Lookup::Found { records, proof: Proof::Insecure };
        assert_eq!(addresses("Mail.Closed.Example."), found);
        let zone = Zone::parse(TEXT).unwrap();
        let mx = Mx { preference: 10, host: name("mail.closed.example") };
        let found = Lookup::Found { records: vec![mx], proof: Proof::Insecure };
        assert_eq!(zone.answer(&name("closed.example"), |entry| &entry.mx), found);
        let found =
            Lookup::Found { records: vec![b"v=spf1 -all".to_vec()], proof: Proof::Insecure };
        assert_eq!(zone.answer(&name("closed.example"), |entry| &entry.txt), found);
        let Lookup::Found { records, .. } =
            zone.answer(&name("null.closed.example"), |entry| &entry.mx)
        else {
            panic!("no null MX");
        };
        assert!(records[0].host.is_root());
    }

    #[test]
    fn absence_and_failure_are_kept_apart() {
        let absent = |no_name, proof| Lookup::Absent { no_name, proof };
        assert_eq!(addresses("closed.example"), absent(false, Proof::Insecure));
        assert_eq!(addresses("nobody.closed.example"), absent(true, Proof::Secure));
        assert_eq!(addresses("gone.closed.example"), absent(true, Proof::Secure));
        assert_eq!(addresses("other.example"), absent(true, Proof::Secure));
        assert_eq!(addresses("lame.closed.example"), Lookup::Failed(DnsError::Server));
        assert_eq!(addresses("false.closed.example"), Lookup::Failed(DnsError::Bogus));
        assert_eq!(addresses("slow.closed.example"), Lookup::Failed(DnsError::Timeout));
    }

    /// RFC 8020: nothing is below a name that does not exist.
    #[test]
    fn a_name_with_names_below_it_exists() {
        let zone = Zone::parse("a.b.example A 192.0.2.1\n").unwrap();
        let absent = |no_name| Lookup::Absent::<IpAddr> { no_name, proof: Proof::Insecure };
        assert_eq!(zone.answer(&name("b.example"), |entry| &entry.addresses), absent(false));
        assert_eq!(zone.answer(&name("x.b.example"), |entry| &entry.addresses), absent(true));
        assert!(zone.covers(&name("anything.at.all")));
    }

    #[test]
    fn what_the_zone_does_not_answer_for_is_a_failure_and_never_an_absence() {
        let zone = Zone::parse(TEXT).unwrap();
        assert!(zone.covers(&name("closed.example")) && !zone.covers(&name("notclosed.example")));
        assert_eq!(addresses("elsewhere.example"), Lookup::Failed(DnsError::Server));
    }

    #[test]
    fn a_mistake_names_its_line() {
        for (line, text) in [
            ("a.example A 300.0.0.1", "expected an IPv4 address"),
            ("a.example AAAA 192.0.2.1", "expected an IPv6 address"),
            ("a.example MX mail.example", "expected a preference and a host"),
            ("a.example CNAME b.example", "expected A, AAAA, MX or TXT"),
            ("a.example NXDOMAIN soon", "expected A, AAAA, MX or TXT"),
            ("a..example A 192.0.2.1", "expected a name"),
            ("$origin example", "expected $zone NAME, $secure or $insecure"),
        ] {
            let error = Zone::parse(&format!("# first\n{line}\n")).unwrap_err();
            assert_eq!(error, ZoneError { line: 2, text }, "{line}");
        }
        let error = Zone::parse("a.example\n").unwrap_err();
        assert_eq!(error.line, 1);
    }

    proptest! {
        #[test]
        fn no_text_makes_it_panic(
            text in "\\PC{0,120}(\n[a-z$. ]{0,20} [A-Z]{1,5} \\PC{0,20}){0,3}"
        ) {
            let _ = Zone::parse(&text);
        }
    }
}
