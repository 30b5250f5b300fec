//! Which names a LIST pattern means.
//!
//! What stands in front of a pattern's first wildcard and behind its last is compared at once. What
//! lies between is walked with a set of places in one word, so that an octet of a name costs one
//! step, whatever the pattern.
//!
//! # Standards
//! RFC 3501 §6.3.8.

use super::limits::{LIST_MIDDLE_BYTES_MAX, LIST_WILDCARDS_MAX};
use super::value::{HIERARCHY_SEPARATOR, MailboxName};
use std::ops::Range;

/// Places in a pattern: bit `n` stands for "the first `n` tokens are met".
type Places = u128;

const _: () = assert!(LIST_MIDDLE_BYTES_MAX < Places::BITS as usize, "a place behind the last");

/// The patterns of one command, joined with its reference name.
#[derive(Clone, Debug)]
pub struct Patterns(Vec<Pattern>);

/// Patterns that ask for more than one command may.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TooMuch {
    /// More than [`LIST_WILDCARDS_MAX`] wildcards.
    Wildcards,
    /// More than [`LIST_MIDDLE_BYTES_MAX`] octets from the first wildcard of a pattern to its last.
    Octets,
}

impl Patterns {
    /// The patterns of one command.
    pub fn new(reference: &str, patterns: &[String]) -> Result<Patterns, TooMuch> {
        let mut wildcards = 0;
        let mut made = Vec::with_capacity(patterns.len());
        for pattern in patterns {
            let tokens = tokens(reference, pattern);
            wildcards += tokens.iter().filter(|token| token.is_wild()).count();
            if wildcards > LIST_WILDCARDS_MAX {
                return Err(TooMuch::Wildcards);
            }
            made.push(Pattern::new(&tokens).ok_or(TooMuch::Octets)?);
        }
        Ok(Patterns(made))
    }

    /// Whether one of them means `name`. INBOX is met in any case, above others too.
    pub fn matches(&self, name: &str) -> bool {
        self.0.iter().any(|pattern| pattern.matches(name))
    }

    /// The longest of `name` and the levels above it that one of them means.
    pub fn level<'a>(&self, name: &'a str) -> Option<&'a str> {
        let end = self.0.iter().filter_map(|pattern| pattern.level(name)).max()?;
        name.get(..end)
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Token {
    /// This octet.
    Is(u8),
    /// `*`: anything.
    Any,
    /// `%`: anything but the hierarchy separator.
    Level,
}

impl Token {
    fn is_wild(self) -> bool {
        !matches!(self, Token::Is(_))
    }

    fn octet(self) -> Option<u8> {
        match self {
            Token::Is(octet) => Some(octet),
            Token::Any | Token::Level => None,
        }
    }
}

/// The tokens of a pattern. Of a run of wildcards one is left: `*` means what `%` does, and more.
fn tokens(reference: &str, pattern: &str) -> Vec<Token> {
    let joined = MailboxName::from_decoded(&format!("{reference}{pattern}"));
    let mut tokens: Vec<Token> = Vec::new();
    for octet in joined.as_str().bytes() {
        let token = match octet {
            b'*' => Token::Any,
            b'%' => Token::Level,
            octet => Token::Is(octet),
        };
        match (tokens.last_mut(), token) {
            (Some(Token::Any), Token::Any | Token::Level) | (Some(Token::Level), Token::Level) => {}
            (Some(last @ Token::Level), Token::Any) => *last = Token::Any,
            (_, token) => tokens.push(token),
        }
    }
    tokens
}

#[derive(Clone, Debug)]
struct Pattern {
    /// Octets in front of the first wildcard: all of them, where there is none.
    start: Vec<u8>,
    middle: Option<Middle>,
    /// Octets behind the last wildcard.
    end: Vec<u8>,
}

impl Pattern {
    /// `None` if the wildcards stand too far apart.
    fn new(tokens: &[Token]) -> Option<Pattern> {
        let octets = |tokens: &[Token]| tokens.iter().filter_map(|token| token.octet()).collect();
        let wild = |token: &Token| token.is_wild();
        let Some((first, last)) = tokens.iter().position(wild).zip(tokens.iter().rposition(wild))
        else {
            return Some(Pattern { start: octets(tokens), middle: None, end: Vec::new() });
        };
        let middle = &tokens[first..=last];
        (middle.len() <= LIST_MIDDLE_BYTES_MAX).then(|| Pattern {
            start: octets(&tokens[..first]),
            middle: Some(Middle::new(middle)),
            end: octets(&tokens[last + 1..]),
        })
    }

    fn matches(&self, name: &str) -> bool {
        let name = Name::new(name);
        let Some(middle) = &self.middle else {
            return name.octets.len() == self.start.len() && name.holds(&self.start, 0);
        };
        let Some(end) = name.octets.len().checked_sub(self.end.len()) else { return false };
        if end < self.start.len() || !name.holds(&self.start, 0) || !name.holds(&self.end, end) {
            return false;
        }
        let mut met = false;
        middle.walk(&name, self.start.len()..end, |at| met = at == end);
        met
    }

    /// Where the longest level ends that it means, the name itself included.
    fn level(&self, name: &str) -> Option<usize> {
        let name = Name::new(name);
        if !name.holds(&self.start, 0) {
            return None;
        }
        let ends = |at: usize| name.octets.get(at).is_none_or(|octet| is_separator(*octet));
        let Some(middle) = &self.middle else {
            return Some(self.start.len()).filter(|&at| ends(at));
        };
        let mut longest = None;
        middle.walk(&name, self.start.len()..name.octets.len(), |at| {
            let end = at + self.end.len();
            if end <= name.octets.len() && ends(end) && name.holds(&self.end, at) {
                longest = Some(end);
            }
        });
        longest
    }
}

fn is_separator(octet: u8) -> bool {
    char::from(octet) == HIERARCHY_SEPARATOR
}

/// A name, and how much of its start is met in any case.
struct Name<'a> {
    octets: &'a [u8],
    caseless: usize,
}

impl Name<'_> {
    fn new(name: &str) -> Name<'_> {
        let top = name.split(HIERARCHY_SEPARATOR).next();
        let caseless = top.filter(|top| *top == "INBOX").map_or(0, str::len);
        Name { octets: name.as_bytes(), caseless }
    }

    /// Whether `wanted` stands at `at`.
    fn holds(&self, wanted: &[u8], at: usize) -> bool {
        let Some(there) = self.octets.get(at..at + wanted.len()) else { return false };
        let free = self.caseless.saturating_sub(at).min(wanted.len());
        there[..free].eq_ignore_ascii_case(&wanted[..free]) && there[free..] == wanted[free..]
    }
}

/// From the first wildcard to the last.
#[derive(Clone)]
struct Middle {
    /// For each octet, the tokens that are it.
    is: Box<[Places; 256]>,
    any: Places,
    level: Places,
    len: usize,
}

impl Middle {
    fn new(tokens: &[Token]) -> Middle {
        let mut middle = Middle { is: Box::new([0; 256]), any: 0, level: 0, len: tokens.len() };
        for (at, token) in tokens.iter().enumerate() {
            let place = match *token {
                Token::Is(octet) => &mut middle.is[usize::from(octet)],
                Token::Any => &mut middle.any,
                Token::Level => &mut middle.level,
            };
            *place |= 1 << at;
        }
        middle
    }

    /// Calls `met` with the end of each part of the name from the range's start that it means.
    fn walk(&self, name: &Name<'_>, range: Range<usize>, mut met: impl FnMut(usize)) {
        let mut places = self.over_wildcards(1);
        for at in range.clone() {
            if places >> self.len & 1 == 1 {
                met(at);
            }
            let octet = name.octets[at];
            let mut is = self.is[usize::from(octet)];
            if at < name.caseless {
                is |= self.is[usize::from(octet.to_ascii_lowercase())];
            }
            let stays = if is_separator(octet) { self.any } else { self.any | self.level };
            places = self.over_wildcards((places & is) << 1 | places & stays);
            if places == 0 {
                return;
            }
        }
        if places >> self.len & 1 == 1 {
            met(range.end);
        }
    }

    /// A wildcard may stand for nothing; no two stand side by side.
    fn over_wildcards(&self, places: Places) -> Places {
        places | (places & (self.any | self.level)) << 1
    }
}

impl std::fmt::Debug for Middle {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Middle({} tokens)", self.len)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn patterns(pattern: &str) -> Result<Patterns, TooMuch> {
        Patterns::new("", &[pattern.to_owned()])
    }

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
            pattern in "[aü/%*]{0,9}",
            name in "[aü/]{0,9}",
        ) {
            let chars = |text: &str| text.chars().collect::<Vec<_>>();
            let means = |name: &str| by_definition(&chars(&pattern), &chars(name));
            let made = patterns(&pattern).unwrap();
            prop_assert_eq!(made.matches(&name), means(&name));
            let above = name.match_indices('/').map(|(end, _)| &name[..end]);
            let longest = above.chain([&*name]).rfind(|level| means(level));
            prop_assert_eq!(made.level(&name), longest);
        }
    }

    #[test]
    fn inbox_is_met_in_any_case_and_nothing_else_is() {
        for pattern in ["inbox", "inb%", "inb*", "%box", "*x", "i*N%x", "inbox%"] {
            assert!(patterns(pattern).unwrap().matches("INBOX"), "{pattern}");
        }
        for pattern in ["inbox*", "inb*", "%x/sub", "inBox/%", "i%x/s*", "inbox/sub"] {
            assert!(patterns(pattern).unwrap().matches("INBOX/sub"), "{pattern}");
        }
        for name in ["INBOXES", "INBOXES/sub", "a/INBOX", "a/INBOX/sub"] {
            assert!(!patterns("*inbox*").unwrap().matches(name), "{name}");
        }
        assert!(!patterns("*sub").unwrap().matches("INBOX/SUB"));
        assert!(!patterns("sent").unwrap().matches("Sent"));
        assert!(Patterns::new("a/", &["%".into()]).unwrap().matches("a/b"));
    }

    #[test]
    fn wildcards_are_bounded_over_all_patterns_and_so_is_what_they_span() {
        let most = vec!["%a".repeat(LIST_WILDCARDS_MAX / 4); 4];
        assert!(Patterns::new("", &most).is_ok());
        let more = [&most[..], &["*".into()]].concat();
        assert_eq!(Patterns::new("", &more).unwrap_err(), TooMuch::Wildcards);
        assert!(patterns(&"*%".repeat(5000)).unwrap().matches("a/b"));
        let name = "n".repeat(1000);
        assert!(patterns(&name).unwrap().matches(&name));
        assert!(patterns(&format!("{name}/*{name}")).unwrap().matches(&format!("{name}/{name}")));
        let middle = "n".repeat(LIST_MIDDLE_BYTES_MAX - 2);
        assert!(patterns(&format!("*{middle}*")).unwrap().matches(&name));
        assert_eq!(patterns(&format!("*{middle}n*")).unwrap_err(), TooMuch::Octets);
    }
}
