//! Aliases: names that stand for others, from a text file like /etc/aliases.
//!
//! ```text
//! # comment
//! postmaster: alice
//! sales: alice, bob@example.org,
//!     carol
//! info@example.org: bob
//! ```
//!
//! A line that starts with white space continues the one before. A name without a domain holds in
//! every local domain; a target without one is in the first of them. Pipes, files and includes
//! (`|command`, `/path`, `:include:`) are errors: mail is never given to a program here. So are
//! names and targets in domains that are not ours, and names that lead back to themselves by way of
//! others. An alias that names itself means the mailbox of that name.

use std::collections::{BTreeMap, BTreeSet};

use crate::mail::Address;

/// Targets of one alias at most.
pub const ALIAS_TARGETS_MAX: usize = 100;

/// Aliases of one file at most.
pub const ALIASES_MAX: usize = 100_000;

/// A table of aliases.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Aliases {
    /// By `local` or `local@domain`, in lower case.
    entries: BTreeMap<String, Alias>,
}

/// What one name stands for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Alias {
    /// The line of the file in which it begins, from 1.
    pub line: usize,
    /// Who gets its mail.
    pub targets: Vec<Address>,
}

/// What is wrong with an alias file, and where.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AliasError {
    /// The line, from 1.
    pub line: usize,
    /// What is wrong with it.
    pub what: &'static str,
}

impl Aliases {
    /// Reads the text of an alias file. `local_domains` (canonical) completes names; the first is
    /// the default.
    pub fn parse(text: &str, local_domains: &[String]) -> Result<Aliases, AliasError> {
        let aliases = Aliases::read(text, local_domains)?;
        aliases.refuse_foreign(local_domains)?;
        aliases.refuse_loops()?;
        Ok(aliases)
    }

    /// The file as it stands, with what can never work.
    pub(super) fn read(text: &str, local_domains: &[String]) -> Result<Aliases, AliasError> {
        let mut aliases = Aliases::default();
        let default_domain = local_domains.first().map_or("localhost", String::as_str);
        for (line, entry) in logical_lines(text)? {
            aliases.add(line, &entry, default_domain).map_err(|what| AliasError { line, what })?;
        }
        Ok(aliases)
    }

    /// What `address` stands for, if it is an alias. `local`: its domain is ours, so that names
    /// without a domain hold.
    pub fn lookup(&self, address: &Address, local: bool) -> Option<&Alias> {
        self.entry(address, local).map(|(_, alias)| alias)
    }

    fn entry(&self, address: &Address, local: bool) -> Option<(&str, &Alias)> {
        let whole = self.entries.get_key_value(&address.lookup_key());
        let bare = || self.entries.get_key_value(&address.local().to_lowercase()).filter(|_| local);
        whole.or_else(bare).map(|(name, alias)| (name.as_str(), alias))
    }

    /// Every alias with its name, by name.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &Alias)> {
        self.entries.iter().map(|(name, alias)| (name.as_str(), alias))
    }

    /// How many aliases there are.
    pub fn len(&self) -> usize {
        self.entries.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    fn add(&mut self, line: usize, entry: &str, default_domain: &str) -> Result<(), &'static str> {
        let (name, targets) = split_name(entry)?;
        let key = match name.contains('@') {
            true => name.parse::<Address>().map_err(|_| "the name is no address")?.lookup_key(),
            false => complete(name, default_domain)?.local().to_lowercase(),
        };
        let mut addresses = Vec::new();
        for target in split_targets(targets) {
            refuse_programs(target)?;
            addresses.push(complete(target, default_domain)?);
        }
        if addresses.is_empty() {
            return Err("the alias stands for nobody");
        }
        if addresses.len() > ALIAS_TARGETS_MAX || self.entries.len() >= ALIASES_MAX {
            return Err("too many: an alias has at most 100 targets, a file 100,000 aliases");
        }
        match self.entries.insert(key, Alias { line, targets: addresses }) {
            None => Ok(()),
            Some(_) => Err("the name has an alias already"),
        }
    }

    /// Mail for other domains is taken from users alone, who mean what they write; and whoever
    /// writes to an alias did not ask for mail to leave.
    fn refuse_foreign(&self, local_domains: &[String]) -> Result<(), AliasError> {
        let is_ours = |domain: &str| local_domains.iter().any(|known| known == domain);
        let wrong = |(name, alias): (&str, &Alias)| {
            let name_is_ours = name.rsplit_once('@').is_none_or(|(_, domain)| is_ours(domain));
            let what = match alias.targets.iter().all(|target| is_ours(target.domain())) {
                _ if !name_is_ours => "the name's domain is none of mail.domains",
                true => return None,
                false => "a target's domain is none of mail.domains: aliases lead to accounts here",
            };
            Some(AliasError { line: alias.line, what })
        };
        self.iter().filter_map(wrong).min_by_key(|error| error.line).map_or(Ok(()), Err)
    }

    /// Takes away, again and again, the names that lead to no other name: what stays leads into a
    /// loop.
    fn refuse_loops(&self) -> Result<(), AliasError> {
        let mut after: BTreeMap<&str, BTreeSet<&str>> = BTreeMap::new();
        let mut before: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
        for (name, alias) in self.iter() {
            let targets = alias.targets.iter().filter_map(|target| self.entry(target, true));
            let others: BTreeSet<_> = targets.map(|(n, _)| n).filter(|n| *n != name).collect();
            others.iter().for_each(|other| before.entry(other).or_default().push(name));
            after.insert(name, others);
        }
        let ends = after.iter().filter(|(_, others)| others.is_empty());
        let mut last: Vec<&str> = ends.map(|(name, _)| *name).collect();
        while let Some(name) = last.pop() {
            after.remove(name);
            for earlier in before.get(name).into_iter().flatten() {
                if let Some(others) = after.get_mut(earlier) {
                    others.remove(name);
                    last.extend(others.is_empty().then_some(*earlier));
                }
            }
        }
        let what = "a loop: the name leads back to itself by way of others";
        match self.first_of_loop(&after) {
            Some(line) => Err(AliasError { line, what }),
            None => Ok(()),
        }
    }

    /// The first line of a loop among names of which each leads to another of them.
    fn first_of_loop(&self, after: &BTreeMap<&str, BTreeSet<&str>>) -> Option<usize> {
        let next = |name: &str| after.get(name)?.first().copied();
        let mut at = *after.keys().next()?;
        let mut seen = BTreeSet::new();
        while seen.insert(at) {
            at = next(at)?;
        }
        // It was met twice, so it is in the loop.
        let rest = std::iter::successors(next(at), |name| next(name)).take_while(|n| *n != at);
        rest.chain([at]).filter_map(|name| Some(self.entries.get(name)?.line)).min()
    }
}

/// Joins continued lines; gives each with the number of its first line.
fn logical_lines(text: &str) -> Result<Vec<(usize, String)>, AliasError> {
    let mut out: Vec<(usize, String)> = Vec::new();
    for (index, line) in text.lines().enumerate() {
        if line.trim().is_empty() || line.trim_start().starts_with('#') {
            continue;
        }
        if line.starts_with([' ', '\t']) {
            let what = "a continued line comes first";
            let (_, entry) = out.last_mut().ok_or(AliasError { line: index + 1, what })?;
            entry.push(' ');
            entry.push_str(line.trim());
        } else {
            out.push((index + 1, line.trim_end().to_owned()));
        }
    }
    Ok(out)
}

/// Splits at the first colon outside quotes.
fn split_name(entry: &str) -> Result<(&str, &str), &'static str> {
    let at = outside_quotes(entry, ':').next().ok_or("there is no colon behind the name")?;
    let name = entry[..at].trim();
    if name.is_empty() {
        return Err("there is no name before the colon");
    }
    Ok((name, &entry[at + 1..]))
}

fn split_targets(targets: &str) -> impl Iterator<Item = &str> {
    let mut start = 0;
    let ends: Vec<_> = outside_quotes(targets, ',').chain([targets.len()]).collect();
    ends.into_iter()
        .map(move |end| {
            let target = targets[start..end].trim();
            start = end + 1;
            target
        })
        .filter(|target| !target.is_empty())
}

fn outside_quotes(text: &str, wanted: char) -> impl Iterator<Item = usize> {
    let mut quoted = false;
    text.char_indices().filter_map(move |(at, c)| {
        quoted ^= c == '"';
        (c == wanted && !quoted).then_some(at)
    })
}

fn refuse_programs(target: &str) -> Result<(), &'static str> {
    match target.trim_start_matches('"').chars().next() {
        Some('|') => Err("a pipe: mail is never given to a program here"),
        Some('/') => Err("a file: mail is never written to a file by an alias here"),
        Some(':') => Err("an include: write the targets into this file"),
        _ => Ok(()),
    }
}

fn complete(name: &str, default_domain: &str) -> Result<Address, &'static str> {
    let whole = match outside_quotes(name, '@').next() {
        Some(_) => name.to_owned(),
        None => format!("{name}@{default_domain}"),
    };
    whole.parse().map_err(|_| "a name or target is no address")
}

impl std::fmt::Display for AliasError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "line {}: {}", self.line, self.what)
    }
}

impl std::error::Error for AliasError {}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn parse(text: &str) -> Result<Aliases, AliasError> {
        Aliases::parse(text, &["ours.example".into(), "also.example".into()])
    }

    fn targets(aliases: &Aliases, name: &str, local: bool) -> Vec<String> {
        let address = name.parse().unwrap();
        let found = aliases.lookup(&address, local).map(|a| &a.targets[..]).unwrap_or_default();
        found.iter().map(Address::to_string).collect()
    }

    #[test]
    fn a_file_is_read() {
        let aliases = parse(
            "# the staff\nPostmaster: alice\nsales: alice, \"b c\"@also.example,\n  # comment\n\
             \tcarol\n\n\
             info@Also.example: bob\n",
        )
        .unwrap();
        assert_eq!(aliases.len(), 3);
        assert_eq!(targets(&aliases, "postmaster@also.example", true), ["alice@ours.example"]);
        assert_eq!(targets(&aliases, "postmaster@else.example", false), [""; 0]);
        let sales = ["alice@ours.example", "\"b c\"@also.example", "carol@ours.example"];
        assert_eq!(targets(&aliases, "SALES@ours.example", true), sales);
        assert_eq!(targets(&aliases, "info@also.example", true), ["bob@ours.example"]);
        assert_eq!(targets(&aliases, "info@ours.example", true), [""; 0]);
    }

    #[test]
    fn mistakes_are_named_with_their_line() {
        for (text, line) in [
            ("a: b\n\nno colon here\n", 3),
            ("  continued: first\n", 1),
            ("a: b\n# c\na: c\n", 3),
            ("A: b\na: c\n", 2),
            ("a:\n", 1),
            (": b\n", 1),
            ("a: |/bin/sh\n", 1),
            ("a: \"|/bin/sh -c x\"\n", 1),
            ("a: b,\n   /var/mail/b\n", 1),
            ("x: y\na: :include:/etc/list\n", 2),
            ("a b: c\n", 1),
            ("a: b@-\n", 1),
        ] {
            assert_eq!(parse(text).unwrap_err().line, line, "{text:?}");
        }
    }

    #[test]
    fn what_can_never_work_is_named_with_its_line() {
        let (foreign, name, a_loop) = ("a target's domain", "the name's domain", "a loop");
        for (text, line, what) in [
            ("a: b\nb: alice, x@else.example\n", 2, foreign),
            ("x@else.example: alice\n", 1, name),
            ("z: y\ny: x\nx: z\n", 1, a_loop),
            ("leads: b\nb: c, alice\nc: b\n", 2, a_loop),
            ("a: b@also.example\nb: alice\nb@also.example: A@ours.example\n", 1, a_loop),
        ] {
            let error = parse(text).unwrap_err();
            assert_eq!((error.line, error.what.starts_with(what)), (line, true), "{text}: {error}");
        }
        for good in [
            "a: a, b\nb: b\n",
            "a: a@also.example\n",
            "a: b, c\nb: d\nc: d\nd: alice\n",
            "a@ours.example: a@also.example\na: carol\n",
        ] {
            assert!(parse(good).is_ok(), "{good}");
        }
        let chain: String = (0..5000).map(|at| format!("n{at}: n{}\n", at + 1)).collect();
        assert!(parse(&chain).is_ok());
        assert_eq!(parse(&(chain + "n5000: n4999\n")).unwrap_err().line, 5000);
    }

    proptest! {
        #[test]
        fn any_text_is_a_file_or_a_mistake(text in "[a:,\"@|/# \n\t]{0,60}") {
            let _ = parse(&text);
        }
    }
}
