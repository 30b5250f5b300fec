//! Every policy against every verdict, and the rules.

use super::*;
use crate::base::clock::UnixTime;
use crate::pgp::{generate_identity, judge_cert};
use std::sync::Arc;

fn address(text: &str) -> Address {
    Address::parse(text.as_bytes()).unwrap()
}

fn key(stale: bool) -> Verdict {
    let now = UnixTime(1_795_000_000);
    let pair = generate_identity("bob@example.net", now).unwrap();
    let cert = judge_cert(&pair.public, &address("bob@example.net"), now).unwrap();
    Verdict::Key { cert: Arc::new(cert), stale }
}

fn facts(policy: Policy, verdict: Option<&Verdict>) -> Facts<'_> {
    Facts {
        policy,
        verdict,
        sealed_already: false,
        answers_sealed: false,
        is_report: false,
        is_blind: false,
        permitted: false,
    }
}

const UNUSABLE: [Unusable; 7] = [
    Unusable::Malformed,
    Unusable::TooLarge,
    Unusable::WrongUserId,
    Unusable::Weak,
    Unusable::NoEncryptionKey,
    Unusable::Revoked,
    Unusable::Expired,
];

const FAILED: [FailWhy; 4] = [FailWhy::Timeout, FailWhy::Tls, FailWhy::Bogus, FailWhy::Status(503)];

/// What happens to a message that is not sealed, no report and answers nothing sealed, in the order
/// prefer, require, hold, plain.
fn table() -> Vec<(Option<Verdict>, [Plan; 4])> {
    use Plan::{Bounce, Defer, Hold, Plain, Seal};
    let seal = Seal { alone: false };
    let ruled = Plain(Why::Rule);
    let mut rows = vec![
        (Some(key(false)), [seal, seal, seal, ruled]),
        (Some(key(true)), [seal, seal, seal, ruled]),
        (Some(Verdict::None), [Plain(Why::NoKey), Bounce(Why::NoKey), Hold(Why::NoKey), ruled]),
        (
            Some(Verdict::Vanished),
            [Hold(Why::Vanished), Hold(Why::Vanished), Hold(Why::Vanished), ruled],
        ),
        (None, [Defer(Why::NotLookedUp), Defer(Why::NotLookedUp), Defer(Why::NotLookedUp), ruled]),
    ];
    for unusable in UNUSABLE {
        let why = Why::Unusable(unusable);
        rows.push((Some(Verdict::Unusable(unusable)), [Hold(why), Bounce(why), Hold(why), ruled]));
    }
    for failed in FAILED {
        let why = Why::Failed(failed);
        rows.push((Some(Verdict::Failed(failed)), [Defer(why), Defer(why), Defer(why), ruled]));
    }
    rows
}

#[test]
fn every_policy_meets_every_verdict() {
    for (verdict, expected) in table() {
        for (policy, expected) in Policy::ALL.into_iter().zip(expected) {
            let found = plan(&facts(policy, verdict.as_ref()));
            assert_eq!(found, expected, "{policy:?} {verdict:?}");
        }
    }
}

#[test]
fn an_answer_to_sealed_mail_never_goes_out_plain() {
    for (verdict, expected) in table() {
        for (policy, expected) in Policy::ALL.into_iter().zip(expected) {
            let answer = Facts { answers_sealed: true, ..facts(policy, verdict.as_ref()) };
            let expected = match expected {
                Plan::Plain(_) => Plan::Hold(Why::AnswersSealed),
                other => other,
            };
            assert_eq!(plan(&answer), expected, "{policy:?} {verdict:?}");
        }
    }
}

#[test]
fn what_is_sealed_already_and_reports_pass_whatever_else_is_so() {
    for (verdict, _) in table() {
        for policy in Policy::ALL {
            let other = Facts { answers_sealed: true, ..facts(policy, verdict.as_ref()) };
            let sealed = Facts { sealed_already: true, ..other };
            assert_eq!(plan(&sealed), Plan::Plain(Why::SealedAlready));
            let report = Facts { is_report: true, ..other };
            assert_eq!(plan(&report), Plan::Plain(Why::Report));
            assert!(!sealed.needs_key() && !report.needs_key());
            assert_eq!(other.needs_key(), policy != Policy::Plain);
        }
    }
}

#[test]
fn blind_recipients_are_sealed_to_alone() {
    let verdict = key(false);
    let blind = Facts { is_blind: true, ..facts(Policy::Prefer, Some(&verdict)) };
    assert_eq!(plan(&blind), Plan::Seal { alone: true });
}

/// Only these two give the text away; whoever adds a verdict is stopped here.
#[test]
fn plain_comes_of_knowing_that_there_is_no_key_and_of_a_rule_alone() {
    for (verdict, expected) in table() {
        let plain = expected[..3].iter().filter(|plan| matches!(plan, Plan::Plain(_))).count();
        assert_eq!(plain, usize::from(verdict == Some(Verdict::None)), "{verdict:?}");
    }
}

#[test]
fn all_or_nothing_lets_no_mixture_out() {
    use Plan::{Bounce, Defer, Hold, Plain, Seal};
    let seal = Seal { alone: false };
    let plain = Plain(Why::NoKey);
    let wait = Defer(Why::Failed(FailWhy::Tls));
    let settled = |plans: &[Plan], strict| {
        let mut plans = plans.to_vec();
        settle(&mut plans, &[], strict);
        plans
    };
    let held = Hold(Why::Mixed);
    let deferred = Defer(Why::Mixed);
    let refused = Bounce(Why::NoKey);
    for (before, after) in [
        (vec![seal, plain], vec![held, held]),
        (vec![seal, wait], vec![deferred, wait]),
        (vec![seal, plain, wait], vec![deferred, deferred, wait]),
        (vec![seal, Hold(Why::Vanished)], vec![held, Hold(Why::Vanished)]),
        (vec![seal, refused], vec![held, refused]),
        (vec![seal, seal], vec![seal, seal]),
        (vec![plain, plain, wait], vec![plain, plain, wait]),
        (vec![], vec![]),
    ] {
        assert_eq!(settled(&before, true), after, "{before:?}");
        assert_eq!(settled(&before, false), before);
    }
    // Who was released goes; about the others nobody was asked.
    let mut plans = [seal, Plain(Why::Permitted), seal];
    settle(&mut plans, &[1], true);
    assert_eq!(plans, [held, Plain(Why::Permitted), held]);
}

#[test]
fn the_nearest_rule_wins_in_any_order() {
    let texts = [
        "from our.example hold",
        "from alice@our.example plain",
        "example.net require",
        "bob@example.net prefer",
    ];
    let rules: Vec<Rule> = texts.iter().map(|text| Rule::parse(text).unwrap()).collect();
    for turn in 0..texts.len() {
        let mut list = rules.clone();
        list.rotate_left(turn);
        let rules =
            Rules { default: Policy::Hold, list, delimiter: Some('+'), all_or_nothing: false };
        let found = |from: &str, to: &str| {
            let from: Vec<Address> = from.split_whitespace().map(address).collect();
            let (policy, rule) = rules.find(&from, &address(to));
            (policy.as_str(), rule.map(Rule::to_string))
        };
        let ruled = |text: &str, policy| (policy, Some(text.to_owned()));
        assert_eq!(found("alice@our.example", "BOB@Example.net"), ruled(texts[3], "prefer"));
        assert_eq!(found("alice@our.example", "eve@example.net"), ruled(texts[2], "require"));
        assert_eq!(found("Alice@our.example", "x@sub.example.net"), ruled(texts[1], "plain"));
        assert_eq!(found("carol@our.example", "x@example.com"), ruled(texts[0], "hold"));
        assert_eq!(found("carol@other.example", "x@example.com"), ("hold", None));
        assert_eq!(found("", "x@example.com"), ("hold", None));
        // Of several names the strictest holds, and a detail is no other name.
        let both = "alice@our.example carol@our.example";
        assert_eq!(found(both, "x@example.com"), ruled(texts[0], "hold"));
        assert_eq!(found("alice+a@our.example", "x@example.com"), ruled(texts[1], "plain"));
        // What protects an address protects its details; what does not protect, stays put.
        assert_eq!(found("", "bob+x@example.net"), ruled(texts[2], "require"));
    }
}

#[test]
fn a_rule_that_protects_an_address_protects_its_details() {
    let rules = |word: &str| {
        let list = ["example.net prefer".to_owned(), format!("bob@example.net {word}")];
        let list = list.iter().map(|text| Rule::parse(text).unwrap()).collect();
        Rules { list, ..Rules::default() }
    };
    for (word, detail) in
        [("require", "require"), ("hold", "hold"), ("plain", "prefer"), ("prefer", "prefer")]
    {
        let found = |to: &str| rules(word).find(&[], &address(to)).0.as_str();
        assert_eq!((found("bob@example.net"), found("bob+x@example.net")), (word, detail));
    }
}

#[test]
fn rules_are_read_strictly_and_written_as_they_are_read() {
    for text in ["Example.ORG require", "bob@example.net plain", "from our.example  hold"] {
        let rule = Rule::parse(text).unwrap();
        assert_eq!(Rule::parse(&rule.to_string()).unwrap(), rule);
    }
    for bad in [
        "",
        "example.org",
        "example.org maybe",
        "to example.org hold",
        "a@ hold",
        "a b hold",
        "- x",
    ] {
        assert!(Rule::parse(bad).is_err(), "{bad}");
    }
    assert_eq!(Policy::parse("Prefer"), None);
    assert_eq!(Policy::default(), Policy::Prefer);
}

#[test]
fn reasons_are_sentences_without_addresses() {
    for (verdict, plans) in table() {
        for why in plans.iter().filter_map(Plan::why) {
            let text = why.to_string();
            assert!(text.len() > 20 && !text.contains('@'), "{verdict:?}: {text}");
        }
    }
}

#[test]
fn who_releases_a_held_message_sends_it_and_a_key_still_seals_it() {
    for verdict in [Some(Verdict::Vanished), Some(Verdict::Unusable(UNUSABLE[0]))] {
        let held = facts(Policy::Prefer, verdict.as_ref());
        assert!(matches!(plan(&held), Plan::Hold(_)));
        assert_eq!(plan(&Facts { permitted: true, ..held }), Plan::Plain(Why::Permitted));
    }
    // What fails or is refused is no question to anybody.
    let verdict = Some(Verdict::None);
    let refused = Facts { permitted: true, ..facts(Policy::Require, verdict.as_ref()) };
    assert_eq!(plan(&refused), Plan::Bounce(Why::NoKey));
    let found = Some(key(false));
    let sealed = Facts { permitted: true, ..facts(Policy::Prefer, found.as_ref()) };
    assert_eq!(plan(&sealed), Plan::Seal { alone: false });
}
