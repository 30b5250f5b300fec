//! What is done for each recipient of a message going out: sealed, plain, held or refused.
//!
//! All of it is in this file, and it is pure: which rule holds for a pair of addresses, and what
//! follows from the rule, from what the search for a key ended with, and from the message. The
//! table of everything that can happen is in the tests.
//!
//! The order of what matters: nobody who can make a search fail makes mail go out plain; nobody who
//! can take a key away does; and what came sealed does not go on in the clear unasked.
//!
//! # Standards
//! RFC 3463 and RFC 7372 (status codes), RFC 5248 (523 5.7.10: encryption needed).
//!
//! # Known gaps
//! Where a zone is not signed, whoever is on the way of its DNS at the very first search can claim
//! that there is no key. The word for those who cannot live with that is `require`.

use crate::discovery::{FailWhy, Verdict};
use crate::mail::Address;
use crate::mail::address::canonical_domain;
use crate::pgp::Unusable;
use std::fmt;

/// What an administrator wants for some mail.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Policy {
    /// Seal if there is a key, send plain if it is known that there is none.
    #[default]
    Prefer,
    /// Seal, or refuse.
    Require,
    /// Seal, or keep until somebody decides.
    Hold,
    /// Never look a key up, never seal.
    Plain,
}

impl Policy {
    const ALL: [Policy; 4] = [Policy::Prefer, Policy::Require, Policy::Hold, Policy::Plain];

    /// The policy that a word means.
    pub fn parse(word: &str) -> Option<Policy> {
        Policy::ALL.into_iter().find(|policy| policy.as_str() == word)
    }

    /// Whether nothing goes out plain under it.
    fn is_strict(self) -> bool {
        matches!(self, Policy::Require | Policy::Hold)
    }

    fn strictness(self) -> u8 {
        match self {
            Policy::Plain => 0,
            Policy::Prefer => 1,
            Policy::Hold => 2,
            Policy::Require => 3,
        }
    }

    /// Its word.
    pub fn as_str(self) -> &'static str {
        match self {
            Policy::Prefer => "prefer",
            Policy::Require => "require",
            Policy::Hold => "hold",
            Policy::Plain => "plain",
        }
    }
}

/// What separates a local part from its detail on most other servers (RFC 5233 names no sign).
const DETAIL: char = '+';

/// Whose mail a rule is for. What stands first here is stronger.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Whose {
    /// Mail to one address.
    To(Address),
    /// Mail to all addresses of a domain; its subdomains are others.
    ToDomain(String),
    /// Mail from one address.
    From(Address),
    /// Mail from all addresses of one of our domains.
    FromDomain(String),
}

/// A rule: `example.org require`, `bob@example.net plain`, `from alice@our.example hold`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rule {
    /// For which mail.
    pub whose: Whose,
    /// What.
    pub policy: Policy,
}

impl Rule {
    /// Reads a rule; the error says what is wrong.
    pub fn parse(text: &str) -> Result<Rule, String> {
        let words: Vec<&str> = text.split_whitespace().collect();
        let (from, target, word) = match words[..] {
            [target, word] => (false, target, word),
            ["from", target, word] => (true, target, word),
            _ => return Err("expected `ADDRESS-OR-DOMAIN WORD` or `from … WORD`".to_owned()),
        };
        let policy = Policy::parse(word)
            .ok_or_else(|| format!("{word} is none of prefer, require, hold, plain"))?;
        let no_target = || format!("{target} is neither an address nor a domain");
        let whose = match target.contains('@') {
            true => {
                let address = Address::parse(target.as_bytes()).map_err(|_| no_target())?;
                if from { Whose::From(address) } else { Whose::To(address) }
            }
            false => {
                let domain = canonical_domain(target).map_err(|_| no_target())?;
                if from { Whose::FromDomain(domain) } else { Whose::ToDomain(domain) }
            }
        };
        Ok(Rule { whose, policy })
    }

    /// How near a rule about recipients is to this one, the nearest first. A rule that protects
    /// `bob@` protects `bob+lists@`, which as a rule is the same person; one that does not stays
    /// where it was put.
    fn nearness_to(&self, to: &Address) -> Option<u8> {
        match &self.whose {
            Whose::To(address) if same(address, to) => Some(0),
            Whose::To(address) if self.policy.is_strict() => {
                same(address, &to.split_detail(DETAIL).0).then_some(1)
            }
            Whose::ToDomain(domain) => (domain == to.domain()).then_some(2),
            Whose::To(_) | Whose::From(_) | Whose::FromDomain(_) => None,
        }
    }

    /// The same for rules about senders, who write under `alice+lists@` as themselves.
    fn nearness_from(&self, from: &Address, delimiter: Option<char>) -> Option<u8> {
        let base = || delimiter.map_or_else(|| from.clone(), |c| from.split_detail(c).0);
        match &self.whose {
            Whose::From(address) if same(address, from) => Some(0),
            Whose::From(address) => same(address, &base()).then_some(1),
            Whose::FromDomain(domain) => (domain == from.domain()).then_some(2),
            Whose::To(_) | Whose::ToDomain(_) => None,
        }
    }
}

fn same(left: &Address, right: &Address) -> bool {
    left.lookup_key() == right.lookup_key()
}

/// All rules.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Rules {
    /// Where none of the list applies.
    pub default: Policy,
    /// In any order.
    pub list: Vec<Rule>,
    /// What separates a local part of ours from its detail.
    pub delimiter: Option<char>,
    /// Whether a message is sent to nobody before it can be sealed to all whom it is for.
    pub all_or_nothing: bool,
}

impl Rules {
    /// The policy for mail to an address, and the rule that says so: recipient before domain before
    /// sender before sender's domain before the default. Of several names of the sender (account,
    /// path, author) the one counts for which the strictest holds.
    pub fn find(&self, from: &[Address], to: &Address) -> (Policy, Option<&Rule>) {
        if let Some(rule) = nearest(&self.list, |rule| rule.nearness_to(to)) {
            return (rule.policy, Some(rule));
        }
        let of = |from: &Address| {
            let rule = nearest(&self.list, |rule| rule.nearness_from(from, self.delimiter));
            (rule.map_or(self.default, |rule| rule.policy), rule)
        };
        let strictest = from.iter().map(of).max_by_key(|(policy, _)| policy.strictness());
        strictest.unwrap_or((self.default, None))
    }
}

fn nearest(rules: &[Rule], nearness: impl Fn(&Rule) -> Option<u8>) -> Option<&Rule> {
    let near = rules.iter().filter_map(|rule| Some((nearness(rule)?, rule)));
    near.min_by_key(|(nearness, _)| *nearness).map(|(_, rule)| rule)
}

/// All that is known about one recipient of one message.
#[derive(Clone, Copy, Debug)]
pub struct Facts<'a> {
    /// What the rules say.
    pub policy: Policy,
    /// What the search for a key ended with; `None` where none was made ([`Facts::needs_key`]).
    pub verdict: Option<&'a Verdict>,
    /// Whether the sender's own program has sealed the message.
    pub sealed_already: bool,
    /// Whether it answers mail that was sealed.
    pub answers_sealed: bool,
    /// Whether it is a report of ours, with an empty reverse path.
    pub is_report: bool,
    /// Whether the recipient stands in no field of the message (Bcc).
    pub is_blind: bool,
    /// Whether somebody who may has released the message from a hold.
    pub permitted: bool,
}

/// What is done for one recipient.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Plan {
    /// Sealed to the key that was found.
    Seal {
        /// In a message of its own: the others must not see that there is this recipient.
        alone: bool,
    },
    /// Sent as it is.
    Plain(Why),
    /// Kept until its owner or the administrator decides.
    Hold(Why),
    /// Refused for good.
    Bounce(Why),
    /// To be planned again later.
    Defer(Why),
}

/// Why.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Why {
    /// The sender's program has sealed it.
    SealedAlready,
    /// It is a report, which names no content and must reach its reader as it is.
    Report,
    /// The rules say so.
    Rule,
    /// There is no key.
    NoKey,
    /// There is a key that must not be used.
    Unusable(Unusable),
    /// There was a key once.
    Vanished,
    /// It could not be learnt whether there is a key.
    Failed(FailWhy),
    /// The key was not searched for yet.
    NotLookedUp,
    /// It answers or forwards sealed mail, and to this recipient it would go in the clear.
    AnswersSealed,
    /// Some of the other recipients have a key and some have none, and all must.
    Mixed,
    /// It was held, and somebody who may has released it.
    Permitted,
}

impl Facts<'_> {
    /// Whether the plan depends on a key.
    pub fn needs_key(&self) -> bool {
        !self.sealed_already && !self.is_report && self.policy != Policy::Plain
    }
}

/// The plan for one recipient. A hold is a question to a person: once it was answered, what cannot
/// be sealed goes out plain, and is still sealed where there is a key by now.
pub fn plan(facts: &Facts<'_>) -> Plan {
    match unasked(facts) {
        Plan::Hold(_) if facts.permitted => Plan::Plain(Why::Permitted),
        plan => plan,
    }
}

/// The plan as long as nobody has decided otherwise.
fn unasked(facts: &Facts<'_>) -> Plan {
    if facts.sealed_already {
        return Plan::Plain(Why::SealedAlready);
    }
    if facts.is_report {
        return Plan::Plain(Why::Report);
    }
    let plain = |why| match facts.answers_sealed {
        true => Plan::Hold(Why::AnswersSealed),
        false => Plan::Plain(why),
    };
    let verdict = match (facts.policy, facts.verdict) {
        (Policy::Plain, _) => return plain(Why::Rule),
        (_, None) => return Plan::Defer(Why::NotLookedUp),
        (_, Some(verdict)) => verdict,
    };
    match (verdict, facts.policy) {
        (Verdict::Key { .. }, _) => Plan::Seal { alone: facts.is_blind },
        (Verdict::None, Policy::Require) => Plan::Bounce(Why::NoKey),
        (Verdict::None, Policy::Hold) => Plan::Hold(Why::NoKey),
        (Verdict::None, _) => plain(Why::NoKey),
        (Verdict::Unusable(why), Policy::Require) => Plan::Bounce(Why::Unusable(*why)),
        (Verdict::Unusable(why), _) => Plan::Hold(Why::Unusable(*why)),
        (Verdict::Failed(why), _) => Plan::Defer(Why::Failed(*why)),
        (Verdict::Vanished, _) => Plan::Hold(Why::Vanished),
    }
}

/// Looks at the plans of all recipients of a message together. With [`Rules::all_or_nothing`] no
/// sealed copy goes out while another recipient's copy would go plain, wait or be refused: what one
/// of them reads sealed would be told to the other in the clear, or be half sent. Recipients who
/// are `permitted`, by their positions, keep their plans: about them it was decided.
pub fn settle(plans: &mut [Plan], permitted: &[usize], all_or_nothing: bool) {
    let is_sealed = |plan: &Plan| matches!(plan, Plan::Seal { .. });
    if !all_or_nothing || !plans.iter().any(is_sealed) || plans.iter().all(is_sealed) {
        return;
    }
    let waits = plans.iter().any(|plan| matches!(plan, Plan::Defer(_)));
    for (at, plan) in plans.iter_mut().enumerate() {
        match plan {
            _ if permitted.contains(&at) => {}
            Plan::Seal { .. } | Plan::Plain(_) if waits => *plan = Plan::Defer(Why::Mixed),
            Plan::Seal { .. } | Plan::Plain(_) => *plan = Plan::Hold(Why::Mixed),
            Plan::Hold(_) | Plan::Bounce(_) | Plan::Defer(_) => {}
        }
    }
}

impl Plan {
    /// Its word.
    pub fn as_str(&self) -> &'static str {
        match self {
            Plan::Seal { .. } => "seal",
            Plan::Plain(_) => "plain",
            Plan::Hold(_) => "hold",
            Plan::Bounce(_) => "bounce",
            Plan::Defer(_) => "defer",
        }
    }

    /// Its reason; sealing has none.
    pub fn why(&self) -> Option<Why> {
        match self {
            Plan::Seal { .. } => None,
            Plan::Plain(why) | Plan::Hold(why) | Plan::Bounce(why) | Plan::Defer(why) => Some(*why),
        }
    }
}

impl Why {
    /// The enhanced status code of a refusal for this reason (RFC 5248: 5.7.10 is "encryption
    /// needed").
    pub fn refused(self) -> &'static str {
        "5.7.10"
    }

    /// The enhanced status code of a delay for this reason (RFC 3463 §3.8: 4.7.5 is a
    /// cryptographic failure).
    pub fn delayed(self) -> &'static str {
        "4.7.5"
    }
}

impl fmt::Display for Why {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Why::SealedAlready => "the sender's program has encrypted it",
            Why::Report => "it is a report without content",
            Why::Rule => "a rule says that mail for this recipient is never sealed",
            Why::NoKey => "no key is published for this recipient",
            Why::Unusable(why) => return why.fmt(f),
            Why::Vanished => "a key was published for this recipient once, and is not any more",
            Why::Failed(why) => {
                return write!(f, "whether there is a key could not be looked up: {why}");
            }
            Why::NotLookedUp => "the key was not looked up yet",
            Why::AnswersSealed => {
                "it answers or forwards sealed mail, and there is no key to seal it to for this \
                 recipient"
            }
            Why::Mixed => "it is to go sealed to all recipients or to none",
            Why::Permitted => "it was held and released",
        })
    }
}

impl fmt::Display for Rule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let word = self.policy.as_str();
        match &self.whose {
            Whose::To(address) => write!(f, "{address} {word}"),
            Whose::ToDomain(domain) => write!(f, "{domain} {word}"),
            Whose::From(address) => write!(f, "from {address} {word}"),
            Whose::FromDomain(domain) => write!(f, "from {domain} {word}"),
        }
    }
}

#[cfg(test)]
mod tests;
