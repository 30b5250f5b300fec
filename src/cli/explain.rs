//! `postseal explain`: what would happen to mail between two addresses, and why.
//!
//! The running server is asked, because it has the keys that it has seen; nothing is sent to the
//! recipient, but the directory of his domain may be asked for his key.

use super::asker::{self, date};
use super::configuration::Configuration;
use super::{Failure, output};
use crate::server::protocol::{Answer, Explained, Request};

/// Say what would happen to mail between two addresses: which rule holds, which key, where it goes
#[derive(Debug, clap::Args)]
pub(super) struct Arguments {
    #[command(flatten)]
    configuration: Configuration,
    /// The sender's address
    from: String,
    /// The recipient's address
    to: String,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

pub(super) fn run(arguments: &Arguments) -> Result<(), Failure> {
    let config = arguments.configuration.read_to_ask()?;
    let request = Request::Explain { from: arguments.from.clone(), to: arguments.to.clone() };
    match asker::ask_server(&config, &request)? {
        Answer::Explained(explained) if arguments.json => output::json(&explained),
        Answer::Explained(explained) => output::text(&text(&explained)),
        Answer::Failed { error } => Err(Failure(error)),
        _ => Err(asker::unexpected()),
    }
}

/// One line for each thing that matters.
fn text(explained: &Explained) -> String {
    let rule = match &explained.rule {
        Some(rule) => format!("seal.rules: {rule}"),
        None => format!("seal.policy: {}", explained.policy),
    };
    let plan = match &explained.why {
        Some(why) => format!("{}: {why}", explained.plan),
        None => explained.plan.clone(),
    };
    let mut lines = vec![
        ("from", explained.from.clone()),
        ("to", explained.to.clone()),
        ("rule", rule),
        ("key", explained.key.clone()),
    ];
    if let Some(fingerprint) = &explained.fingerprint {
        lines.push(("", fingerprint.clone()));
        lines.push(("expires", explained.expires.map_or("never".into(), date)));
    }
    lines.push(("plan", plan));
    lines.push(("route", explained.route.join(", ")));
    lines.iter().map(|(name, value)| format!("{name:8} {value}\n")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_text_has_a_line_for_each_thing() {
        let explained = Explained {
            from: "a@our.example".into(),
            to: "b@other.example".into(),
            rule: None,
            policy: "prefer".into(),
            key: "found".into(),
            fingerprint: Some("ABCD".into()),
            expires: Some(1_800_000_000),
            plan: "seal".into(),
            why: None,
            route: vec!["mx1.other.example".into(), "mx2.other.example".into()],
        };
        assert_eq!(
            text(&explained),
            "from     a@our.example\nto       b@other.example\nrule     seal.policy: prefer\n\
             key      found\n         ABCD\nexpires  Fri, 15 Jan 2027 08:00:00 +0000\n\
             plan     seal\nroute    mx1.other.example, mx2.other.example\n"
        );
    }
}
