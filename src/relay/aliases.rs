//! Aliases: names that stand for others, from a text file like /etc/aliases.
//!
//! ```text
//! # comment
//! postmaster: alice
//! sales: alice, bob@example.org,
//!     carol
//! info@example.net: bob
//! ```
//!
//! A line that starts with white space continues the one before. Pipes, files and includes
//! (`|command`, `/path`, `:include:`) are errors: mail is never given to a program here.

use std::collections::BTreeMap;

/// A table of aliases.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Aliases {
    entries: BTreeMap<String, Vec<String>>,
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
    /// Reads the text of an alias file. `local_domains` completes names; the first is the default.
    pub fn parse(text: &str, local_domains: &[String]) -> Result<Aliases, AliasError> {
        let _ = (text, local_domains);
        todo!()
    }
}

impl std::fmt::Display for AliasError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "line {}: {}", self.line, self.what)
    }
}

impl std::error::Error for AliasError {}
