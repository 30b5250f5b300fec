//! Which names a LIST pattern means.
//!
//! A pattern is walked once over a name with a set of places in it, so that no pattern makes the
//! work grow beyond places times octets of the name.
//!
//! # Standards
//! RFC 3501 §6.3.8.

use super::value::{HIERARCHY_SEPARATOR, MailboxName};

/// Wildcards in one pattern, runs counted as one. People use two.
const WILDCARDS_MAX: usize = 32;

/// A pattern, joined with its reference name.
#[derive(Clone, Debug)]
pub struct Pattern(Vec<Token>);

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Token {
    /// This character.
    Is(char),
    /// `*`: anything.
    Any,
    /// `%`: anything but the hierarchy separator.
    Level,
}

impl Pattern {
    /// The pattern; `None` if it has too many wildcards.
    pub fn new(reference: &str, pattern: &str) -> Option<Pattern> {
        let joined = MailboxName::from_decoded(&format!("{reference}{pattern}"));
        let mut tokens: Vec<Token> = Vec::new();
        for character in joined.as_str().chars() {
            match (tokens.last(), token(character)) {
                (Some(Token::Any), Token::Any | Token::Level)
                | (Some(Token::Level), Token::Level) => {}
                (Some(Token::Level), Token::Any) => *tokens.last_mut()? = Token::Any,
                (_, token) => tokens.push(token),
            }
        }
        let wildcards = tokens.iter().filter(|token| !matches!(token, Token::Is(_))).count();
        (wildcards <= WILDCARDS_MAX).then_some(Pattern(tokens))
    }

    /// Whether it means `name`. INBOX is met in any case.
    pub fn matches(&self, name: &str) -> bool {
        self.walk(name, |left, right| left == right)
            || name == "INBOX" && self.walk(name, |left, right| left.eq_ignore_ascii_case(&right))
    }

    fn walk(&self, name: &str, same: impl Fn(char, char) -> bool) -> bool {
        let mut places = vec![0];
        self.skip_wildcards(&mut places);
        for character in name.chars() {
            let mut next = Vec::with_capacity(places.len());
            for place in places {
                match self.0.get(place) {
                    Some(&Token::Is(wanted)) if same(wanted, character) => next.push(place + 1),
                    Some(Token::Any) => next.push(place),
                    Some(Token::Level) if character != HIERARCHY_SEPARATOR => next.push(place),
                    _ => {}
                }
            }
            self.skip_wildcards(&mut next);
            places = next;
        }
        places.contains(&self.0.len())
    }

    /// A wildcard may stand for nothing. Keeps the places ascending and each once.
    fn skip_wildcards(&self, places: &mut Vec<usize>) {
        let skipped: Vec<usize> = places
            .iter()
            .filter(|&&place| matches!(self.0.get(place), Some(Token::Any | Token::Level)))
            .flat_map(|&place| self.after_wildcards(place))
            .collect();
        places.extend(skipped);
        places.sort_unstable();
        places.dedup();
    }

    /// The places behind the run of wildcards at `place`; a run is at most two long.
    fn after_wildcards(&self, place: usize) -> impl Iterator<Item = usize> {
        let run = self.0[place..].iter().take_while(|token| !matches!(token, Token::Is(_))).count();
        place + 1..=place + run
    }
}

fn token(character: char) -> Token {
    match character {
        '*' => Token::Any,
        '%' => Token::Level,
        other => Token::Is(other),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// The definition, by trying everything.
    fn by_definition(pattern: &[char], name: &[char]) -> bool {
        match pattern.split_first() {
            None => name.is_empty(),
            Some((&wild @ ('*' | '%'), rest)) => {
                let limit = match wild {
                    '%' => name.iter().position(|&c| c == '/').unwrap_or(name.len()),
                    _ => name.len(),
                };
                (0..=limit).any(|taken| by_definition(rest, &name[taken..]))
            }
            Some((first, rest)) => name.first() == Some(first) && by_definition(rest, &name[1..]),
        }
    }

    proptest! {
        #[test]
        fn a_pattern_means_what_the_definition_says(
            pattern in "[ab/%*]{0,9}",
            name in "[ab/]{0,9}",
        ) {
            let chars = |text: &str| text.chars().collect::<Vec<_>>();
            let expected = by_definition(&chars(&pattern), &chars(&name));
            prop_assert_eq!(Pattern::new("", &pattern).unwrap().matches(&name), expected);
        }
    }

    #[test]
    fn inbox_is_met_in_any_case_and_nothing_else_is() {
        assert!(Pattern::new("", "inbox").unwrap().matches("INBOX"));
        assert!(Pattern::new("", "inb%").unwrap().matches("INBOX"));
        assert!(!Pattern::new("", "sent").unwrap().matches("Sent"));
        assert!(Pattern::new("a/", "%").unwrap().matches("a/b"));
        assert!(Pattern::new("", &"%a".repeat(33)).is_none());
        assert!(Pattern::new("", &"*%".repeat(5000)).is_some());
    }
}
