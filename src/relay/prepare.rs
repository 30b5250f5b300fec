//! Gets a message ready to go out: keys are looked up, the plan is made, copies are sealed and
//! signed.
//!
//! Who may see whom decides how many copies there are. Recipients who stand in To or Cc see each
//! other anyway and share a ciphertext with those of them whose programs read alike (see
//! [`PeerKind`](crate::pgp::PeerKind)); each of the others (Bcc, or behind an alias) gets one of
//! his own, because the key ids in front of a ciphertext name everybody who can open it. Whoever
//! gets it plain gets the submitted message.
//!
//! The plan itself is not made here but in [`crate::plan`]; nothing here turns one into another.
//!
//! # Standards
//! RFC 3156, RFC 9788 (what a sealed copy looks like), RFC 6376 (signed last, over what is sent),
//! Autocrypt level 1 §2.1.
//!
//! # Known gaps
//! Of a message that is tried again for some of its recipients new copies are made, which only
//! these can open.

mod compose;
mod events;
mod examine;
mod explain;

pub use compose::Sign;
pub use explain::Explanation;

use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use tokio::sync::Semaphore;
use tokio::task::JoinSet;
use tokio::time::{Instant, timeout_at};

use super::outgoing::{Action, Outgoing, Prepare, Prepared, Refusal};
use crate::base::BoxFuture;
use crate::base::clock::Clock;
use crate::base::entropy::Entropy;
use crate::base::event::Log;
use crate::discovery::{FailWhy, FindKey, Verdict};
use crate::mail::Address;
use crate::pgp::{PeerCert, Unusable};
use crate::plan::{self, Facts, Plan, Rules};
use crate::seams::Publish;

use events::PrepareEvent;
use examine::Examined;

/// How long the search for one key may take while the message waits in the queue.
const SEARCH_TIME_MAX: Duration = Duration::from_secs(20);
/// How long all searches together may take while a user waits for the reply to his message.
const REFUSAL_TIME_MAX: Duration = Duration::from_secs(2);
/// Searches at once for one message.
const SEARCHES_MAX: usize = 16;

/// What can change by a reload.
#[derive(Clone, Debug, Default)]
pub struct PrepareOptions {
    /// Who gets what how.
    pub rules: Rules,
    /// Whether our users' certificates go with their mail (Autocrypt).
    pub autocrypt: bool,
}

/// What the preparation knows of the world.
pub struct PrepareWorld {
    /// Finds recipients' keys, and remembers what was sealed.
    pub keys: Arc<dyn FindKey>,
    /// Has our users' certificates.
    pub publish: Arc<dyn Publish>,
    /// Signs what goes out.
    pub sign: Arc<dyn Sign>,
    /// The time, by which keys expire.
    pub clock: Arc<dyn Clock>,
    /// For session keys, boundaries, and orders that tell nothing.
    pub entropy: Arc<dyn Entropy>,
    /// Where it is reported what was planned.
    pub log: Log,
}

/// Implements [`Prepare`].
pub struct Preparer {
    world: PrepareWorld,
    options: RwLock<Arc<PrepareOptions>>,
}

/// The plan for one recipient and the key that it rests on.
#[derive(Clone, Debug)]
struct Planned {
    /// Position in [`Outgoing::recipients`].
    recipient: usize,
    plan: Plan,
    cert: Option<Arc<PeerCert>>,
}

impl Preparer {
    /// A preparer in this world.
    pub fn new(options: PrepareOptions, world: PrepareWorld) -> Preparer {
        Preparer { world, options: RwLock::new(Arc::new(options)) }
    }

    /// Takes other options, for messages that are prepared from now on.
    pub fn reload(&self, options: PrepareOptions) {
        *self.options.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(options);
    }

    fn options(&self) -> Arc<PrepareOptions> {
        Arc::clone(&self.options.read().unwrap_or_else(PoisonError::into_inner))
    }

    /// Plans for all recipients: one alone may change what is done for the others.
    async fn plan_all(
        &self,
        message: &Outgoing,
        examined: &Examined,
        options: &PrepareOptions,
        deadline: Option<Instant>,
    ) -> Vec<Planned> {
        let reader = message.owner.as_ref().map(|owner| owner.account);
        let is_confidential = |id: &String| self.world.keys.is_confidential(reader, id);
        let answers_sealed = examined.answers.iter().any(is_confidential);
        let senders = senders(message, examined);
        let facts = |at: usize| {
            let address = &message.recipients[at].address;
            Facts {
                policy: options.rules.find(&senders, address).0,
                verdict: None,
                sealed_already: examined.sealed_already,
                answers_sealed,
                // The null path alone is no sign: a user may submit under it, too.
                is_report: message.from.is_none() && message.owner.is_none(),
                is_blind: !examined.is_visible(address),
                permitted: message.permitted.contains(&at),
            }
        };
        let all: Vec<Facts<'_>> = (0..message.recipients.len()).map(facts).collect();
        let searched = all.iter().enumerate().filter(|(_, facts)| facts.needs_key());
        let addresses = searched.map(|(at, _)| (at, message.recipients[at].address.clone()));
        let verdicts = self.search(addresses.collect(), all.len(), deadline).await;
        let plan_of = |(facts, verdict): (&Facts<'_>, &Option<Verdict>)| {
            plan::plan(&Facts { verdict: verdict.as_ref(), ..*facts })
        };
        let mut plans: Vec<Plan> = all.iter().zip(&verdicts).map(plan_of).collect();
        plan::settle(&mut plans, &message.permitted, options.rules.all_or_nothing);
        let planned = plans.into_iter().zip(verdicts).enumerate();
        planned.map(|(recipient, (plan, verdict))| Planned::new(recipient, plan, verdict)).collect()
    }

    /// Searches for the keys of `addresses`, some at a time; what is not found by the deadline has
    /// failed. One entry for each of `count` recipients.
    async fn search(
        &self,
        addresses: Vec<(usize, Address)>,
        count: usize,
        deadline: Option<Instant>,
    ) -> Vec<Option<Verdict>> {
        let mut verdicts = vec![None; count];
        for (at, _) in &addresses {
            verdicts[*at] = Some(Verdict::Failed(FailWhy::Timeout));
        }
        let room = Arc::new(Semaphore::new(SEARCHES_MAX));
        let mut searches = JoinSet::new();
        for (at, address) in addresses {
            let (keys, room) = (Arc::clone(&self.world.keys), Arc::clone(&room));
            searches.spawn(async move {
                let _permit = room.acquire().await;
                let time_max = deadline.map_or(SEARCH_TIME_MAX, |end| end - Instant::now());
                (at, keys.find(&address, time_max.min(SEARCH_TIME_MAX)).await)
            });
        }
        loop {
            let next = match deadline {
                Some(deadline) => timeout_at(deadline, searches.join_next()).await.ok().flatten(),
                None => searches.join_next().await,
            };
            match next {
                Some(Ok((at, verdict))) => verdicts[at] = Some(self.judged_now(verdict)),
                // A search that died has failed; the entry says so already.
                Some(Err(_)) => {}
                None => return verdicts,
            }
        }
    }

    /// A key may have expired since it was found.
    fn judged_now(&self, verdict: Verdict) -> Verdict {
        match verdict {
            Verdict::Key { cert, .. } if !cert.is_usable_at(self.world.clock.now()) => {
                Verdict::Unusable(Unusable::Expired)
            }
            other => other,
        }
    }

    async fn prepare_now(&self, message: &Outgoing, which: &[usize]) -> Vec<Prepared> {
        let options = self.options();
        let Some(examined) = Examined::of(&message.message).await else {
            return vec![Prepared { recipients: which.to_vec(), action: compose::died() }];
        };
        let all = self.plan_all(message, &examined, &options, None).await;
        let planned: Vec<Planned> =
            all.into_iter().filter(|planned| which.contains(&planned.recipient)).collect();
        for Planned { recipient, plan, .. } in &planned {
            let recipient = &message.recipients[*recipient].address;
            self.world.log.emit(&PrepareEvent::Planned { recipient, plan });
        }
        self.compose(message, &examined, &options, planned).await
    }

    async fn refusals_now(&self, message: &Outgoing) -> Vec<Refusal> {
        let deadline = Instant::now() + REFUSAL_TIME_MAX;
        let Some(examined) = Examined::of(&message.message).await else { return Vec::new() };
        let all = self.plan_all(message, &examined, &self.options(), Some(deadline)).await;
        let refusal = |planned: Planned| match planned.plan {
            Plan::Bounce(why) => Some(Refusal {
                recipient: planned.recipient,
                status: why.refused(),
                why: why.to_string(),
            }),
            _ => None,
        };
        all.into_iter().filter_map(refusal).collect()
    }
}

/// Whose mail it is, for the rules. Whoever logged in may write under other names of his, and with
/// the null path, but no rule for his mail is evaded by that.
fn senders(message: &Outgoing, examined: &Examined) -> Vec<Address> {
    let owner = message.owner.as_ref().map(|owner| &owner.address);
    let named = owner.into_iter().chain(&message.from).chain(&examined.writers);
    named.cloned().collect()
}

impl Planned {
    fn new(recipient: usize, plan: Plan, verdict: Option<Verdict>) -> Planned {
        let cert = match verdict {
            Some(Verdict::Key { cert, .. }) => Some(cert),
            _ => None,
        };
        Planned { recipient, plan, cert }
    }

    /// What is done where nothing is sent.
    fn action(&self) -> Option<Action> {
        match self.plan {
            Plan::Hold(why) => Some(Action::Hold { why: why.to_string() }),
            Plan::Bounce(why) => {
                Some(Action::Bounce { status: why.refused(), why: why.to_string() })
            }
            Plan::Defer(why) => Some(Action::Defer { status: why.delayed(), why: why.to_string() }),
            Plan::Seal { .. } | Plan::Plain(_) => None,
        }
    }
}

impl Prepare for Preparer {
    fn prepare<'a>(
        &'a self,
        message: &'a Outgoing,
        which: &'a [usize],
    ) -> BoxFuture<'a, Vec<Prepared>> {
        Box::pin(self.prepare_now(message, which))
    }

    fn refusals<'a>(&'a self, message: &'a Outgoing) -> BoxFuture<'a, Vec<Refusal>> {
        Box::pin(self.refusals_now(message))
    }
}

impl std::fmt::Debug for Preparer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Preparer").field("options", &self.options()).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests;
