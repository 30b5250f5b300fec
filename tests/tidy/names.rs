//! Finds the paths that a file names, in code, in tests and inside macro calls.
//!
//! Works on tokens, so that nothing hides in the argument of a macro. `a::{b, c::d}` is taken
//! apart, `super` is resolved against the module it stands in, and a name that the same file
//! imports is replaced by what it stands for.

use super::house::Source;
use proc_macro2::{Delimiter, TokenStream, TokenTree};
use std::collections::{BTreeMap, BTreeSet};

/// One path as it is meant: `["crate", "base", "crypto"]`, `["std", "fs", "read"]`.
#[derive(Clone, Debug)]
pub struct Name {
    pub segments: Vec<String>,
    pub line: usize,
    /// In code that only tests compile.
    pub in_test: bool,
    /// It began with `super` and went up to the crate's root.
    pub climbed_out: bool,
    /// It stands in a `use`.
    pub imported: bool,
}

/// A call of a method, or of a macro: its name and the tokens in its parentheses.
pub struct Call {
    pub name: String,
    pub arguments: TokenStream,
    pub line: usize,
    pub in_test: bool,
    pub is_macro: bool,
}

/// A function with a body.
pub struct Function {
    pub name: String,
    pub line: usize,
    pub lines: usize,
}

/// What a file names.
#[derive(Default)]
pub struct Found {
    pub names: Vec<Name>,
    pub calls: Vec<Call>,
    pub functions: Vec<Function>,
    /// Modules declared in this file, inline or not.
    pub modules: BTreeSet<String>,
    /// Name in this file to what it was imported as.
    aliases: BTreeMap<String, Vec<String>>,
}

impl Found {
    pub fn of(source: &Source) -> Result<Found, String> {
        let tokens: TokenStream = source.text.parse().map_err(|error| format!("{error}"))?;
        let mut found = Found::default();
        let place = Place { module: source.module(), in_test: source.is_test() };
        found.scan(tokens, &place);
        found.follow_imports();
        Ok(found)
    }

    fn follow_imports(&mut self) {
        for name in self.names.iter_mut().filter(|name| !name.imported) {
            let shadowed = self.modules.contains(&name.segments[0]);
            if let (false, Some(meant)) = (shadowed, self.aliases.get(&name.segments[0])) {
                name.segments.splice(..1, meant.iter().cloned());
            }
        }
    }

    fn scan(&mut self, tokens: TokenStream, place: &Place) {
        let tokens: Vec<TokenTree> = tokens.into_iter().collect();
        let mut at = 0;
        let mut test_next = false;
        while at < tokens.len() {
            if is_cfg_test(&tokens[at..]) {
                test_next = true;
                at += 2;
                continue;
            }
            match &tokens[at] {
                TokenTree::Group(group) => {
                    let inner = Place { in_test: place.in_test || test_next, ..place.clone() };
                    self.scan(group.stream(), &inner);
                    test_next &= group.delimiter() != Delimiter::Brace;
                    at += 1;
                }
                TokenTree::Ident(ident) => {
                    let here = Place { in_test: place.in_test || test_next, ..place.clone() };
                    at = self.scan_ident(&tokens, at, &ident.to_string(), &here, &mut test_next);
                }
                TokenTree::Literal(literal) => {
                    self.scan_literal(&literal.to_string(), line_of(&tokens[at]), place);
                    at += 1;
                }
                TokenTree::Punct(punct) => {
                    test_next &= punct.as_char() != ';';
                    at += 1;
                }
            }
        }
    }

    /// A path may hide in an attribute's text: `#[serde(with = "crate::mail::x")]`.
    fn scan_literal(&mut self, text: &str, line: usize, place: &Place) {
        let text = text.trim_matches('"');
        let plain = |c: char| c.is_alphanumeric() || c == '_' || c == ':';
        if text.starts_with("crate::") && text.chars().all(plain) {
            let segments = text.split("::").map(str::to_owned).collect();
            self.push(segments, line, place, false);
        }
    }

    fn scan_ident(
        &mut self,
        tokens: &[TokenTree],
        at: usize,
        word: &str,
        place: &Place,
        test_next: &mut bool,
    ) -> usize {
        let line = line_of(&tokens[at]);
        let next = tokens.get(at + 1);
        match (word, next) {
            ("mod", Some(TokenTree::Ident(name))) => {
                self.modules.insert(name.to_string());
                if let Some(TokenTree::Group(body)) = tokens.get(at + 2) {
                    let mut module = place.module.clone();
                    module.push(name.to_string());
                    self.scan(body.stream(), &Place { module, in_test: place.in_test });
                    *test_next = false;
                    return at + 3;
                }
                at + 2
            }
            ("fn", Some(TokenTree::Ident(name))) => {
                self.note_function(&tokens[at..], name.to_string(), line);
                at + 2
            }
            ("use", Some(TokenTree::Punct(punct))) if punct.as_char() == '<' => at + 1,
            ("use", _) => self.scan_use(tokens, at + 1, place),
            _ => self.scan_path_or_call(tokens, at, place),
        }
    }

    fn note_function(&mut self, tokens: &[TokenTree], name: String, line: usize) {
        let ends = |token: &TokenTree| match token {
            TokenTree::Punct(punct) => punct.as_char() == ';',
            TokenTree::Group(group) => group.delimiter() == Delimiter::Brace,
            _ => false,
        };
        if let Some(TokenTree::Group(body)) = tokens.iter().find(|token| ends(token)) {
            let lines = body.span_close().end().line + 1 - line;
            self.functions.push(Function { name, line, lines });
        }
    }

    fn scan_use(&mut self, tokens: &[TokenTree], from: usize, place: &Place) -> usize {
        let is_end = |token: &TokenTree| is_punct(Some(token), ';');
        let end = tokens[from..].iter().position(is_end).map_or(tokens.len(), |at| from + at);
        self.use_tree(&tokens[from..end], &[], place);
        end
    }

    /// Takes `a::b::{c, d as e}` apart; each leaf is one name.
    fn use_tree(&mut self, tokens: &[TokenTree], prefix: &[String], place: &Place) {
        let mut segments = prefix.to_vec();
        let line = tokens.first().map_or(0, line_of);
        let mut alias = None;
        let mut at = 0;
        while let Some(token) = tokens.get(at) {
            match token {
                TokenTree::Ident(word) if *word == "as" => {
                    alias = tokens.get(at + 1).map(|name| name.to_string());
                    at += 2;
                }
                TokenTree::Ident(word) => {
                    segments.push(word.to_string());
                    at += 1;
                }
                TokenTree::Punct(punct) if punct.as_char() == '*' => {
                    segments.push("*".to_owned());
                    at += 1;
                }
                TokenTree::Group(group) => {
                    let inner: Vec<TokenTree> = group.stream().into_iter().collect();
                    for leaf in inner.split(|token| is_punct(Some(token), ',')) {
                        if !leaf.is_empty() {
                            self.use_tree(leaf, &segments, place);
                        }
                    }
                    return;
                }
                _ => at += 1,
            }
        }
        if segments.last().is_some_and(|last| last == "self") && segments.len() > 1 {
            segments.pop();
        }
        self.push_import(segments, alias, line, place);
    }

    fn push_import(
        &mut self,
        segments: Vec<String>,
        alias: Option<String>,
        line: usize,
        place: &Place,
    ) {
        let Some(last) = segments.last().cloned() else { return };
        self.push(segments, line, place, true);
        let meant = self.names.last().map(|name| name.segments.clone()).unwrap_or_default();
        self.aliases.insert(alias.unwrap_or(last), meant);
    }

    fn scan_path_or_call(&mut self, tokens: &[TokenTree], at: usize, place: &Place) -> usize {
        let before = at.checked_sub(1).and_then(|before| tokens.get(before));
        if is_punct(before, '\'') {
            return at + 1;
        }
        if is_punct(before, '.') {
            self.note_call(tokens, at, place, false);
            return at + 1;
        }
        let mut segments = vec![tokens[at].to_string()];
        let mut end = at + 1;
        while is_punct(tokens.get(end), ':') && is_punct(tokens.get(end + 1), ':') {
            match tokens.get(end + 2) {
                Some(TokenTree::Ident(word)) => {
                    segments.push(word.to_string());
                    end += 3;
                }
                _ => break,
            }
        }
        if segments.len() > 1 {
            self.push(segments, line_of(&tokens[at]), place, false);
        }
        self.note_call(tokens, end - 1, place, true);
        end
    }

    fn note_call(&mut self, tokens: &[TokenTree], at: usize, place: &Place, is_macro: bool) {
        let open = if is_macro { at + 2 } else { at + 1 };
        if is_macro && !is_punct(tokens.get(at + 1), '!') {
            return;
        }
        if let Some(TokenTree::Group(group)) = tokens.get(open) {
            let (name, line) = (tokens[at].to_string(), line_of(&tokens[at]));
            let (arguments, in_test) = (group.stream(), place.in_test);
            self.calls.push(Call { name, arguments, line, in_test, is_macro });
        }
    }

    fn push(&mut self, segments: Vec<String>, line: usize, place: &Place, imported: bool) {
        let relative = segments.iter().skip(usize::from(segments[0] == "self"));
        let up = relative.clone().take_while(|word| *word == "super").count();
        let mut climbed_out = false;
        let segments = if up > 0 {
            let keep = place.module.len().saturating_sub(up);
            climbed_out = keep == 0;
            let base = std::iter::once("crate".to_owned()).chain(place.module[..keep].to_vec());
            base.chain(relative.skip(up).cloned()).collect()
        } else {
            segments
        };
        let in_test = place.in_test;
        self.names.push(Name { segments, line, in_test, climbed_out, imported });
    }
}

/// Where a token stands.
#[derive(Clone)]
struct Place {
    module: Vec<String>,
    in_test: bool,
}

/// `#[cfg(test)]`, `#[cfg(all(test, …))]`, `#[test]` and the like.
fn is_cfg_test(tokens: &[TokenTree]) -> bool {
    let (Some(hash), Some(TokenTree::Group(group))) = (tokens.first(), tokens.get(1)) else {
        return false;
    };
    if !is_punct(Some(hash), '#') || group.delimiter() != Delimiter::Bracket {
        return false;
    }
    let text: String = group.stream().to_string().split_whitespace().collect();
    let text = text.as_str();
    text == "test"
        || text.starts_with("tokio::test")
        || text.starts_with("cfg(test")
        || text.starts_with("cfg(all(test")
}

fn is_punct(token: Option<&TokenTree>, wanted: char) -> bool {
    matches!(token, Some(TokenTree::Punct(punct)) if punct.as_char() == wanted)
}

fn line_of(token: &TokenTree) -> usize {
    token.span().start().line
}
