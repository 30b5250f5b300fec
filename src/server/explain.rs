//! What would happen to mail between two addresses, asked over the control socket.

use super::protocol::{Answer, Explained};
use super::sending::Sending;
use crate::discovery::Verdict;
use crate::mail::Address;
use crate::relay::prepare::Explanation;

/// Explains; `local` are the domains that live here.
pub(super) async fn explain(sending: &Sending, local: &[String], from: &str, to: &str) -> Answer {
    match addresses(local, from, to) {
        Ok((from, to)) => {
            let (explanation, route) = tokio::join!(
                sending.preparer.explain(&from, &to),
                sending.transmitter.route(to.domain()),
            );
            Answer::Explained(explained(&from, &to, &explanation, route))
        }
        Err(error) => Answer::Failed { error },
    }
}

fn addresses(local: &[String], from: &str, to: &str) -> Result<(Address, Address), String> {
    let read =
        |text: &str| Address::parse(text.as_bytes()).map_err(|error| format!("{text}: {error}"));
    let (from, to) = (read(from)?, read(to)?);
    if local.iter().any(|domain| domain == to.domain()) {
        return Err(format!("{to} lives here: its mail is sealed when it is stored, not before"));
    }
    Ok((from, to))
}

fn explained(
    from: &Address,
    to: &Address,
    explanation: &Explanation,
    route: Result<Vec<String>, String>,
) -> Explained {
    let cert = match &explanation.verdict {
        Some(Verdict::Key { cert, .. }) => Some(cert),
        _ => None,
    };
    Explained {
        from: from.to_string(),
        to: to.to_string(),
        rule: explanation.rule.as_ref().map(ToString::to_string),
        policy: explanation.policy.as_str().into(),
        key: key(explanation.verdict.as_ref()),
        fingerprint: cert.map(|cert| cert.fingerprint().to_string()),
        expires: cert.and_then(|cert| cert.expires()).map(|time| time.0),
        plan: explanation.plan.as_str().into(),
        why: explanation.plan.why().map(|why| why.to_string()),
        route: route.unwrap_or_else(|why| vec![why]),
    }
}

/// What is known of the key.
fn key(verdict: Option<&Verdict>) -> String {
    match verdict {
        None => "not looked up".into(),
        Some(Verdict::Key { cert, stale }) => {
            let newest = if *stale { "from memory, not published at the moment" } else { "found" };
            let version = if cert.takes_seipdv2() { "AEAD" } else { "the older encryption" };
            format!("{newest}; its owner's program reads {version}")
        }
        Some(Verdict::None) => "none is published".into(),
        Some(Verdict::Unusable(why)) => why.to_string(),
        Some(Verdict::Failed(why)) => why.to_string(),
        Some(Verdict::Vanished) => "one was published once, and is not any more".into(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plan::{Plan, Policy, Rule, Why};

    #[test]
    fn local_and_broken_addresses_are_told() {
        let local = ["our.example".to_owned()];
        let error = addresses(&local, "a@our.example", "b@OUR.example").unwrap_err();
        assert!(error.contains("lives here"), "{error}");
        assert!(addresses(&local, "a@our.example", "nobody").unwrap_err().starts_with("nobody: "));
        assert!(addresses(&local, "a@our.example", "b@other.example").is_ok());
    }

    #[test]
    fn an_answer_says_rule_key_plan_and_route() {
        let (_, to) = addresses(&[], "a@our.example", "b@other.example").unwrap();
        let explanation = Explanation {
            policy: Policy::Require,
            rule: Some(Rule::parse("other.example require").unwrap()),
            verdict: Some(Verdict::None),
            plan: Plan::Bounce(Why::NoKey),
        };
        let route = Err("the domain other.example takes no mail".to_owned());
        let answer = explained(&to, &to, &explanation, route);
        assert_eq!(answer.rule.as_deref(), Some("other.example require"));
        assert_eq!((answer.policy.as_str(), answer.plan.as_str()), ("require", "bounce"));
        assert_eq!((answer.key.as_str(), answer.fingerprint), ("none is published", None));
        assert_eq!(answer.route, ["the domain other.example takes no mail"]);
        assert!(answer.why.unwrap().contains("no key"));
    }
}
