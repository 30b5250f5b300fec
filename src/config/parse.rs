//! From TOML text to a [`Config`], or to the list of everything that is wrong with it.
//!
//! Every problem carries the line it stands on and, where a name is unknown, the nearest known one.

use super::table::{Config, Fallback, Row, TABLE};
use super::values::{CREDENTIALS, Setting, credential};
use std::fmt;
use std::path::Path;
use toml_edit::{Document, Item, TableLike, Value};

/// Octets that a configuration file may have; the complete sample has about a fifth of it.
pub const CONFIG_BYTES_MAX: u64 = 64 * 1024;

/// How alike (0 to 1) a known name must be to be proposed.
const LIKENESS_MIN: f64 = 0.6;

/// One thing that is wrong.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    /// The line, counted from 1; `None` where something is missing altogether.
    pub line: Option<usize>,
    /// The key, `section.key`, or empty for a mistake of syntax.
    pub key: String,
    /// What is wrong, and what was expected.
    pub text: String,
}

/// A configuration that cannot be used: the file's name and all its problems, by line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Invalid {
    /// The file, as it was named.
    pub file: String,
    /// What is wrong with it.
    pub problems: Vec<Problem>,
}

impl fmt::Display for Invalid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, problem) in self.problems.iter().enumerate() {
            let newline = if index == 0 { "" } else { "\n" };
            write!(f, "{newline}{}", self.file)?;
            problem.line.map_or(Ok(()), |line| write!(f, ":{line}"))?;
            match problem.key.as_str() {
                "" => write!(f, ": {}", problem.text)?,
                key => write!(f, ": {key}: {}", problem.text)?,
            }
        }
        Ok(())
    }
}

impl std::error::Error for Invalid {}

/// Reads `text`, the contents of the file `file`; relative paths in it start at the file's
/// directory.
pub fn parse(text: &str, file: &Path) -> Result<Config, Invalid> {
    parse_with(text, file, credentials_are_there())
}

/// [`parse`] for those who ask a running server and open none of the named files: systemd gives its
/// credentials to the server alone.
pub fn parse_without_credentials(text: &str, file: &Path) -> Result<Config, Invalid> {
    parse_with(text, file, true)
}

fn credentials_are_there() -> bool {
    std::env::var_os(CREDENTIALS).is_some()
}

fn parse_with(text: &str, file: &Path, credentials: bool) -> Result<Config, Invalid> {
    let invalid = |problems| Invalid { file: file.display().to_string(), problems };
    let document = Document::parse(text).map_err(|error| invalid(vec![syntax(&error, text)]))?;
    let base = file.parent().unwrap_or(Path::new(""));
    let mut reader = Reader { text, root: document.as_table(), base, problems: Vec::new() };
    reader.refuse_unknown();
    if !credentials {
        reader.refuse_credentials();
    }
    match (Config::read(&mut reader), reader.problems) {
        (Some(config), problems) if problems.is_empty() => Ok(config),
        (_, mut problems) => {
            problems.sort_by_key(|problem| problem.line.unwrap_or(usize::MAX));
            Err(invalid(problems))
        }
    }
}

fn syntax(error: &toml_edit::TomlError, text: &str) -> Problem {
    let line = error.span().map(|span| line_of(text, span.start));
    Problem { line, key: String::new(), text: error.message().replace('\n', ", ") }
}

/// Takes values out of a parsed document and gathers what is wrong.
pub(super) struct Reader<'a> {
    text: &'a str,
    root: &'a toml_edit::Table,
    base: &'a Path,
    problems: Vec<Problem>,
}

impl Reader<'_> {
    /// The value of `section.key`, or its default; `None` after a problem was noted.
    pub(super) fn take<T: Setting>(&mut self, section: &str, key: &str) -> Option<T> {
        let row = row(section, key)?;
        let item = self.root.get(section).and_then(Item::as_table_like).and_then(|t| t.get(key));
        let (line, read) = match (item.map(Item::as_value), row.fallback) {
            (Some(Some(value)), _) => {
                let read = T::read(value, self.base);
                (self.line(value.span()), read.and_then(|value| not_below(row, value, self.base)))
            }
            (Some(None), _) => (None, Err(format!("expected a {}", row.kind))),
            (None, Fallback::Default(text)) => (None, read_text(text, self.base)),
            (None, Fallback::Required(example)) => {
                (None, Err(format!("must be set, for example {key} = {example}")))
            }
        };
        read.map_err(|text| self.problem(line, format!("{section}.{key}"), text)).ok()
    }

    fn refuse_unknown(&mut self) {
        for (name, item) in self.root.iter() {
            let line = self.root.key(name).and_then(|key| self.line(key.span()));
            match (TABLE.iter().find(|section| section.name == name), item.as_table_like()) {
                (Some(section), Some(table)) => self.refuse_unknown_keys(section.name, table),
                (Some(_), None) => {
                    self.problem(line, name.into(), format!("is a section: write [{name}]"));
                }
                (None, _) => self.unknown(line, name, ""),
            }
        }
    }

    fn refuse_unknown_keys(&mut self, section: &'static str, table: &dyn TableLike) {
        for (name, _) in table.iter().filter(|(name, _)| row(section, name).is_none()) {
            let line = table.key(name).and_then(|key| self.line(key.span()));
            self.unknown(line, name, section);
        }
    }

    /// Paths of credentials lead nowhere where systemd has given none.
    fn refuse_credentials(&mut self) {
        for row in TABLE.iter().flat_map(|section| section.rows) {
            let section = self.root.get(row.section).and_then(Item::as_table_like);
            let value = section.and_then(|section| section.get(row.key)).and_then(Item::as_value);
            let is_one = |value: &&Value| value.as_str().is_some_and(|t| credential(t).is_some());
            if let Some(value) = value.filter(is_one) {
                let text = format!(
                    "{CREDENTIALS} is not set: systemd sets it for the service; run the command \
                     as systemd/postseal.service says"
                );
                self.problem(self.line(value.span()), format!("{}.{}", row.section, row.key), text);
            }
        }
    }

    fn unknown(&mut self, line: Option<usize>, name: &str, section: &str) {
        let key = if section.is_empty() { name.into() } else { format!("{section}.{name}") };
        let text = match nearest(name, section) {
            Some(known) => format!("unknown; did you mean {known}?"),
            None => "unknown".into(),
        };
        self.problem(line, key, text);
    }

    fn problem(&mut self, line: Option<usize>, key: String, text: String) {
        self.problems.push(Problem { line, key, text });
    }

    fn line(&self, span: Option<std::ops::Range<usize>>) -> Option<usize> {
        span.map(|span| line_of(self.text, span.start))
    }
}

/// Reads a text of the table.
fn read_text<T: Setting>(text: &str, base: &Path) -> Result<T, String> {
    let value: Value = text.parse().map_err(|_| "default does not parse".to_owned())?;
    T::read(&value, base)
}

fn not_below<T: Setting>(row: &Row, value: T, base: &Path) -> Result<T, String> {
    let Some(text) = row.least else { return Ok(value) };
    match value.is_below(&read_text(text, base)?) {
        true => Err(format!("the smallest value is {text}")),
        false => Ok(value),
    }
}

fn row(section: &str, key: &str) -> Option<&'static Row> {
    let section = TABLE.iter().find(|known| known.name == section)?;
    section.rows.iter().find(|row| row.key == key)
}

fn line_of(text: &str, offset: usize) -> usize {
    1 + text.as_bytes()[..offset.min(text.len())].iter().filter(|byte| **byte == b'\n').count()
}

/// The known name nearest to `name`: a key of the same section before one of another, and for a
/// name outside any section a section or a key that belongs into one.
fn nearest(name: &str, section: &str) -> Option<String> {
    let rows = || TABLE.iter().flat_map(|section| section.rows);
    let sections = TABLE.iter().filter(|_| section.is_empty());
    let likeness = |known: &str| strsim::normalized_damerau_levenshtein(name, known);
    sections
        .map(|known| (likeness(known.name) + 0.05, format!("[{}]", known.name)))
        .chain(rows().map(|row| {
            let bonus = if row.section == section { 0.1 } else { 0.0 };
            (likeness(row.key) + bonus, format!("{}.{}", row.section, row.key))
        }))
        .filter(|(likeness, _)| *likeness >= LIKENESS_MIN)
        .max_by(|left, right| left.0.total_cmp(&right.0))
        .map(|(_, known)| known)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::table::Effect;

    const LEAST: &str = "[server]\nhostname = \"mx.example.org\"\n\
                         [mail]\ndomains = [\"example.org\"]\n\
                         [tls]\ncertificate = \"c.pem\"\nkey = \"k.pem\"\n";

    fn problems(text: &str) -> Vec<Problem> {
        parse(text, Path::new("/etc/x.toml")).unwrap_err().problems
    }

    #[test]
    fn the_least_file_is_enough_and_every_default_reads() {
        let config = parse(LEAST, Path::new("/etc/postseal/x.toml")).unwrap();
        assert_eq!(config.server.hostname.0, "mx.example.org");
        assert_eq!(config.tls.key.0, Path::new("/etc/postseal/k.pem"));
        assert_eq!(config.listen.smtp.len(), 2);
    }

    #[test]
    fn an_unknown_key_names_line_and_nearest_key() {
        let found = problems(&LEAST.replace("hostname", "hostnam"));
        assert_eq!(found.len(), 2, "{found:?}");
        assert_eq!((found[0].line, found[0].key.as_str()), (Some(2), "server.hostnam"));
        assert_eq!(found[0].text, "unknown; did you mean server.hostname?");
        assert_eq!((found[1].line, found[1].key.as_str()), (None, "server.hostname"));
    }

    #[test]
    fn a_key_in_the_wrong_section_is_pointed_to_its_own() {
        let found = problems(&format!("{LEAST}data_dir = \"/x\"\n[lisen]\n"));
        assert_eq!(found[0].text, "unknown; did you mean server.data_dir?");
        assert_eq!(found[1].text, "unknown; did you mean [listen]?");
    }

    #[test]
    fn several_problems_come_at_once_in_order_of_lines() {
        let found = problems(&format!("{LEAST}[log]\nlevel = \"loud\"\naddresses = 3\n"));
        let lines: Vec<_> = found.iter().map(|problem| problem.line).collect();
        assert_eq!(lines, [Some(9), Some(10)]);
    }

    #[test]
    fn a_value_by_which_nobody_is_served_is_refused_with_the_smallest() {
        for row in TABLE.iter().flat_map(|section| section.rows) {
            let Some(least) = row.least else { continue };
            let set = |value: &str| format!("{LEAST}[{}]\n{} = {value}\n", row.section, row.key);
            let read = |value: &str| parse(&set(value), Path::new("/etc/x.toml"));
            assert!(read(least).is_ok() && read(row.fallback.text()).is_ok(), "{row:?}");
            let zero: String = match least.starts_with('"') {
                true => least.chars().map(|c| if c.is_ascii_digit() { '0' } else { c }).collect(),
                false => "0".into(),
            };
            let found = read(&zero).unwrap_err().problems;
            assert_eq!((found.len(), found[0].line), (1, Some(9)), "{row:?}");
            assert_eq!(found[0].key, format!("{}.{}", row.section, row.key));
            assert_eq!(found[0].text, format!("the smallest value is {least}"));
        }
        for (section, key) in [("submission", "messages_per_hour"), ("queue", "delay_notice")] {
            assert!(row(section, key).unwrap().least.is_none(), "0 has a meaning there");
        }
    }

    #[test]
    fn a_credential_that_systemd_has_not_given_is_named_with_its_line() {
        let text = LEAST.replace("k.pem", "${CREDENTIALS_DIRECTORY}/tls.key");
        let found = parse_with(&text, Path::new("/etc/x.toml"), false).unwrap_err().problems;
        assert_eq!((found.len(), found[0].line, found[0].key.as_str()), (1, Some(7), "tls.key"));
        assert!(found[0].text.starts_with("CREDENTIALS_DIRECTORY is not set"), "{found:?}");
        assert!(parse_without_credentials(&text, Path::new("/etc/x.toml")).is_ok());
        assert!(parse_with(LEAST, Path::new("/etc/x.toml"), false).is_ok());
    }

    #[test]
    fn broken_syntax_names_its_line() {
        let error = parse("[server]\nhostname = \n", Path::new("/etc/x.toml")).unwrap_err();
        assert!(error.to_string().starts_with("/etc/x.toml:2: "), "{error}");
    }

    #[test]
    fn a_section_that_is_no_table_is_told_so() {
        let found = problems(&format!("listen = 3\n{LEAST}"));
        assert_eq!(found[0].text, "is a section: write [listen]");
    }

    #[test]
    fn differences_name_exactly_the_changed_rows() {
        let old = parse(LEAST, Path::new("x")).unwrap();
        let mut new = old.clone();
        assert!(old.differences(&new).is_empty());
        new.server.test = true;
        new.log.level = crate::config::values::LogLevel::Warn;
        let rows = old.differences(&new);
        let keys: Vec<_> = rows.iter().map(|row| (row.section, row.key)).collect();
        assert_eq!(keys, [("server", "test"), ("log", "level")]);
        assert_eq!(rows[0].effect, Effect::Restart);
    }

    proptest::proptest! {
        #[test]
        fn no_text_makes_it_panic(text in "\\PC{0,200}") {
            let _ = parse(&text, Path::new("x"));
        }
    }
}
