//! `postseal key lookup`: searches for the key of an address elsewhere, and shows each step.

use super::{Failure, World};
use crate::cli::asker::{date, unexpected};
use crate::cli::output;
use crate::server::protocol::{Answer, LookupLine, Request};

/// Search for the public key of an address of another domain, anew, and show each step
#[derive(Debug, clap::Args)]
pub(super) struct Arguments {
    /// The address
    #[arg(value_name = "ADDRESS")]
    address: String,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

pub(super) fn run(world: &World<'_>, arguments: &Arguments) -> Result<(), Failure> {
    let request = Request::KeyLookup { address: arguments.address.clone() };
    let Answer::Lookup { lookup } = world.ask(&request)? else { return Err(unexpected()) };
    match arguments.json {
        true => output::json(&lookup),
        false => output::text(&text(&lookup)),
    }
}

fn text(lookup: &LookupLine) -> String {
    let mut lines: Vec<String> = lookup.steps.iter().map(|step| format!("  {step}")).collect();
    let stale = if lookup.stale {
        " (from memory: its directory does not have it now, or fails)"
    } else {
        ""
    };
    lines.push(match (&lookup.fingerprint, &lookup.why) {
        (Some(fingerprint), _) => format!("{}: {fingerprint}{stale}", lookup.verdict),
        (None, Some(why)) => format!("{}: {why}", lookup.verdict),
        (None, None) => lookup.verdict.clone(),
    });
    lines.extend(lookup.encryption_key.iter().map(|key| format!("  sealed to  {key}")));
    lines.extend(lookup.expires.iter().map(|t| format!("  expires    {}", date(*t))));
    lines.join("\n") + "\n"
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_steps_come_first_and_the_verdict_says_why() {
        let failed = LookupLine {
            address: "a@b.example".into(),
            verdict: "failed".into(),
            stale: false,
            fingerprint: None,
            encryption_key: None,
            expires: None,
            why: Some("the key directory could not be reached".into()),
            steps: vec!["b.example is at 192.0.2.1".into()],
        };
        let shown = "  b.example is at 192.0.2.1\nfailed: the key directory could not be reached\n";
        assert_eq!(text(&failed), shown);
        let key = LookupLine {
            verdict: "key".into(),
            stale: true,
            fingerprint: Some("ABCD".into()),
            encryption_key: Some("EF01".into()),
            expires: Some(0),
            why: None,
            ..failed.clone()
        };
        let shown = text(&key);
        assert!(
            shown.contains(
                "\nkey: ABCD (from memory: its directory does not have it now, or fails)\n"
            ),
            "{shown}"
        );
        assert!(shown.contains("EF01") && shown.contains("1970"), "{shown}");
        let none = LookupLine { verdict: "none".into(), why: None, ..failed };
        assert!(text(&none).ends_with("\nnone\n"));
    }
}
