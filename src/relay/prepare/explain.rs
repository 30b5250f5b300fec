//! What would happen to mail between two addresses, and why: for `postseal explain`.

use std::time::Duration;

use super::Preparer;
use crate::discovery::Verdict;
use crate::mail::Address;
use crate::plan::{self, Facts, Plan, Policy, Rule};

/// How long the search may take while somebody waits at a terminal.
const SEARCH_TIME_MAX: Duration = Duration::from_secs(15);

/// An answer. It is about a message of no importance: not sealed by its sender, answering nothing,
/// to this recipient alone.
#[derive(Clone, Debug)]
pub struct Explanation {
    /// The policy that holds.
    pub policy: Policy,
    /// The rule that says so; `None` where it is the default.
    pub rule: Option<Rule>,
    /// What the search for a key ended with; `None` where none is made.
    pub verdict: Option<Verdict>,
    /// What would be done.
    pub plan: Plan,
}

impl Preparer {
    /// Explains mail from `from` to `to`. Searches for the key as sending would.
    pub async fn explain(&self, from: &Address, to: &Address) -> Explanation {
        let options = self.options();
        let (policy, rule) = options.rules.find(std::slice::from_ref(from), to);
        let mut facts = Facts {
            policy,
            verdict: None,
            sealed_already: false,
            answers_sealed: false,
            is_report: false,
            is_blind: false,
            permitted: false,
        };
        let verdict = match facts.needs_key() {
            true => Some(self.judged_now(self.world.keys.find(to, SEARCH_TIME_MAX).await)),
            false => None,
        };
        facts.verdict = verdict.as_ref();
        let plan = plan::plan(&facts);
        Explanation { policy, rule: rule.cloned(), verdict, plan }
    }
}
