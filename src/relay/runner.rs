//! The runner: takes what is due, has it prepared, gives it to transmission, and takes the outcome.
//!
//! A *round* is one leg of an item: its waiting recipients in one domain. Its outcome is recorded
//! by one record of the journal, behind the delivery: a crash between the two delivers again. A
//! round that panics ends alone, and its recipients are tried again at their time. Only what is
//! durable and given out is ever seen here.

use super::bounce::{Report, Reporter};
use super::outgoing::{
    Action, Consignment, Outcome, Outgoing, Prepare, Prepared, QueueId, Transmit,
};
use super::queue::events::QueueEvent;
use super::queue::{Queue, ReadFailure, convert};
use crate::queue::{ItemId, Owed, Standing, Task, Trouble, Verdict, View};
use crate::seams::Deliver;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::{Instant, timeout};

/// How long one step of a round may take, its preparation or one copy on its way: above all that
/// RFC 5321 §4.5.3.2 grants a slow server for one message, so that only a fault of ours meets it.
const STEP_TIME_MAX: Duration = Duration::from_secs(4 * 60 * 60);

/// When an attempt has taken so long, nothing more is begun in it: who waits for his part of the
/// plan, or for his copy's turn, is tried again at his time.
const PARTS_TIME_MAX: Duration = Duration::from_secs(20 * 60);

/// How long after its lifetime an item is kept for a report that its owner cannot be given.
const REPORT_TIME: Duration = Duration::from_secs(7 * 24 * 60 * 60);

/// How often at least that was tried then, in a row.
const REPORT_TRIES_MIN: u16 = 20;

/// What the runner works with.
#[derive(Clone)]
pub struct Parts {
    /// The queue.
    pub queue: Queue,
    /// Looks up keys, plans, seals and signs.
    pub prepare: Arc<dyn Prepare>,
    /// Speaks to other servers.
    pub transmit: Arc<dyn Transmit>,
    /// Takes the reports for owners.
    pub deliver: Arc<dyn Deliver>,
    /// This server's name, in reports.
    pub hostname: String,
}

/// Runs the queue until `stopping` says so; then begins nothing more, waits for what is under way,
/// and records it. May be dropped at any time: what was under way is tried again at the next start.
pub async fn run(parts: Parts, mut stopping: watch::Receiver<bool>) {
    let queue = parts.queue.clone();
    let runner = Arc::new(Runner {
        reporter: Reporter::new(&parts.hostname, Arc::clone(&parts.deliver), queue.world()),
        parts,
        stopping: stopping.clone(),
    });
    let mut rounds = JoinSet::new();
    let work = async {
        loop {
            while let Some(round) = Round::next(&runner) {
                rounds.spawn(round.run_on(stopping.clone()));
            }
            let due = wait(&queue);
            tokio::select! {
                _ = stopping.wait_for(|stopping| *stopping) => break,
                Some(_) = rounds.join_next() => {}
                () = queue.woken() => {}
                () = due => {}
            }
        }
        while rounds.join_next().await.is_some() {}
    };
    tokio::select! {
        () = work => {}
        () = queue.keep() => {}
    }
    // What is not recorded now is done again at the next start.
    let _ = queue.record().await;
}

/// Waits until the next timer of the queue, for ever if there is none.
async fn wait(queue: &Queue) {
    let (next, now) = (queue.machine().next_at(), queue.at().now);
    match next {
        // A little later than due rather than a little early, which would turn in a circle.
        Some(at) => tokio::time::sleep(at.since(now) + Duration::from_millis(1)).await,
        None => std::future::pending().await,
    }
}

struct Runner {
    parts: Parts,
    stopping: watch::Receiver<bool>,
    reporter: Reporter,
}

/// One leg that is being worked on. Dropped before it is settled (by a panic, or because the
/// process ends), its recipients are deferred.
struct Round {
    runner: Arc<Runner>,
    task: Option<Task>,
}

/// What became of a recipient; whether its content is sealed or was meant to be.
type Judged = (usize, Verdict, bool);

/// A copy for some recipients, and whether it is sealed.
type Parcel = (Vec<usize>, bool, Consignment);

/// What became of a copy.
type Sent = (Vec<usize>, bool, Vec<Outcome>);

/// A place among those that may be busy at once, beside the one that a round has by its task.
struct Extra {
    queue: Queue,
    domain: Arc<str>,
}

impl Extra {
    fn take(queue: &Queue, domain: &Arc<str>) -> Option<Extra> {
        let taken = queue.machine().take_place(domain);
        taken.then(|| Extra { queue: queue.clone(), domain: Arc::clone(domain) })
    }
}

impl Drop for Extra {
    fn drop(&mut self) {
        self.queue.machine().give_back(&self.domain);
        self.queue.wake();
    }
}

impl Round {
    fn next(runner: &Arc<Runner>) -> Option<Round> {
        let now = runner.parts.queue.at().now;
        let task = runner.parts.queue.machine().next(now)?;
        Some(Round { runner: Arc::clone(runner), task: Some(task) })
    }

    /// Runs this one and then whatever is due: the place that it leaves is filled without a detour
    /// over the loop that begins rounds.
    async fn run_on(self, stopping: watch::Receiver<bool>) {
        let runner = Arc::clone(&self.runner);
        let mut round = Some(self);
        while let Some(one) = round.take() {
            one.run().await;
            if !*stopping.borrow() {
                round = Round::next(&runner);
            }
        }
    }

    async fn run(mut self) {
        let runner = Arc::clone(&self.runner);
        let Some(task) = &self.task else { return };
        let id = task.id;
        let read = runner.parts.queue.read(id).await;
        let judged = match &read {
            Ok(message) => runner.attempt(&as_permitted(message, task), task).await,
            Err(failure) => unreadable(*failure, task),
        };
        if matches!(read, Err(ReadFailure::Damaged)) {
            runner.parts.queue.emit(&QueueEvent::Damaged { id: id.into() });
        }
        let (domain, tried) = (Arc::clone(&task.domain), !task.waiting.is_empty());
        if let Some(task) = self.task.take() {
            runner.settle(task, judged, read.as_deref().ok());
        }
        if tried {
            // Before anything else may take long or fail.
            runner.parts.queue.note_change(id);
        }
        if runner.report(id, &domain, read.ok()).await {
            runner.parts.queue.note_change(id);
        }
        runner.conclude(id);
    }
}

/// The message with what its owner or the administrator has decided about it.
fn as_permitted(message: &Arc<Outgoing>, task: &Task) -> Arc<Outgoing> {
    match task.permitted.is_empty() {
        true => Arc::clone(message),
        false => {
            let permitted = task.permitted.clone();
            Arc::new(Outgoing { permitted, ..Outgoing::clone(message) })
        }
    }
}

/// The message as one that is to be encoded in seven bits.
fn narrow(message: &Arc<Outgoing>) -> Arc<Outgoing> {
    Arc::new(Outgoing { seven_bit: true, ..Outgoing::clone(message) })
}

impl Drop for Round {
    fn drop(&mut self) {
        if let Some(task) = self.task.take() {
            let queue = &self.runner.parts.queue;
            let id = task.id;
            let why = Trouble::new(None, "4.3.0", "an internal error; it will be tried again");
            let judged = task.waiting.iter().map(|at| (*at, Verdict::Deferred(why.clone()), true));
            let judged = judged.collect();
            queue.machine().settle(task, judged, queue.at());
            queue.note_change(id);
            queue.wake();
            queue.emit(&QueueEvent::RoundFailed { id: id.into() });
        }
    }
}

impl Runner {
    async fn attempt(&self, message: &Arc<Outgoing>, task: &Task) -> Vec<Judged> {
        if task.waiting.is_empty() {
            return Vec::new();
        }
        let (began, mut judged) = (Instant::now(), Vec::new());
        let (mut unplanned, mut wide) = (task.waiting.clone(), Vec::new());
        let mut message = Arc::clone(message);
        loop {
            let preparing = self.parts.prepare.prepare(&message, &unplanned);
            let Ok(prepared) = timeout(STEP_TIME_MAX, preparing).await else { break };
            let prepared = once_each(prepared, &unplanned);
            let planned = prepared.iter().flat_map(|it| it.recipients.clone());
            let planned: Vec<usize> = planned.collect();
            judged.extend(self.carry_out(&message, task, prepared, began, &mut wide).await);
            unplanned.retain(|at| !planned.contains(at));
            if unplanned.is_empty() && !wide.is_empty() {
                (unplanned, message) = (std::mem::take(&mut wide), narrow(&message));
            }
            if planned.is_empty() || unplanned.is_empty() || !self.goes_on(began) {
                break;
            }
        }
        let left = task.waiting.iter().filter(|at| judged.iter().all(|judged| judged.0 != **at));
        let why = Trouble::new(None, "4.3.0", "the attempt came to no end");
        let deferred: Vec<_> = left.map(|at| (*at, Verdict::Deferred(why.clone()), true)).collect();
        judged.extend(deferred);
        judged
    }

    /// Whether more may be begun in an attempt.
    fn goes_on(&self, began: Instant) -> bool {
        began.elapsed() < PARTS_TIME_MAX && !*self.stopping.borrow()
    }

    /// Does what was planned. Whoever can have the message with 7-bit text alone is `wide`, and has
    /// no verdict yet.
    async fn carry_out(
        &self,
        message: &Arc<Outgoing>,
        task: &Task,
        prepared: Vec<Prepared>,
        began: Instant,
        wide: &mut Vec<usize>,
    ) -> Vec<Judged> {
        let (mut judged, mut sends) = (Vec::new(), Vec::new());
        for Prepared { recipients, action } in prepared {
            let (verdict, sealed) = match action {
                Action::Send { message: octets, sealed, utf8 } => {
                    let consignment = consignment(message, task, &recipients, octets, utf8);
                    sends.push((recipients, sealed, consignment));
                    continue;
                }
                // Whatever the plan refuses was not to be read by everybody.
                Action::Hold { why } => (Verdict::Held(Trouble::new(None, "4.7.0", &why)), true),
                Action::Bounce { status, why } => {
                    (Verdict::Failed(Trouble::new(None, status, &why)), true)
                }
                Action::Defer { status, why } => {
                    (Verdict::Deferred(Trouble::new(None, status, &why)), true)
                }
            };
            judged.extend(recipients.into_iter().map(|at| (at, verdict.clone(), sealed)));
        }
        for (recipients, sealed, outcomes) in self.send_all(sends, &task.domain, began).await {
            for (at, outcome) in recipients.into_iter().zip(outcomes) {
                if let Outcome::Delivered { host, tls, .. } = &outcome {
                    self.log_delivery(message, task, at, host, *tls);
                }
                match outcome {
                    Outcome::EightBit(_) if !message.seven_bit => wide.push(at),
                    outcome => judged.push((at, verdict(outcome), sealed)),
                }
            }
        }
        judged
    }

    /// Sends copies at the place of the round, one after another, and side by side where more
    /// places are free: each has a connection, and the places bound these. A copy that does not
    /// come to its end, or to its turn in time, leaves its recipients without a verdict; the caller
    /// defers them.
    async fn send_all(
        &self,
        mut sends: Vec<Parcel>,
        domain: &Arc<str>,
        began: Instant,
    ) -> Vec<Sent> {
        // Most messages go out as one copy, which needs no task of its own.
        if sends.len() == 1
            && let Some(one) = sends.pop()
        {
            return Vec::from_iter(send(&*self.parts.transmit, one).await);
        }
        let (mut sending, mut out) = (JoinSet::new(), Vec::new());
        let (mut is_own_free, mut is_first) = (true, true);
        loop {
            while !sends.is_empty() && (std::mem::take(&mut is_first) || self.goes_on(began)) {
                let extra = match std::mem::take(&mut is_own_free) {
                    true => None,
                    false => match Extra::take(&self.parts.queue, domain) {
                        Some(extra) => Some(extra),
                        None => break,
                    },
                };
                let Some(one) = sends.pop() else { break };
                let transmit = Arc::clone(&self.parts.transmit);
                sending.spawn(async move { (send(&*transmit, one).await, extra) });
            }
            match sending.join_next().await {
                None => return out,
                Some(Ok((sent, extra))) => {
                    out.extend(sent);
                    is_own_free |= extra.is_none();
                }
                // Whose place it was is not known; that of the round is nobody's when all ended.
                Some(Err(_)) => is_own_free |= sending.is_empty(),
            }
        }
    }

    fn log_delivery(&self, message: &Outgoing, task: &Task, at: usize, host: &str, tls: bool) {
        let Some(recipient) = message.recipients.get(at) else { return };
        let queue = &self.parts.queue;
        let age = queue.at().unix.0.saturating_sub(message.accepted.0);
        queue.emit(&QueueEvent::Delivered {
            id: task.id.into(),
            recipient: &recipient.address,
            host,
            tls,
            seconds: u64::try_from(age).unwrap_or(0),
        });
    }

    fn settle(&self, task: Task, judged: Vec<Judged>, message: Option<&Outgoing>) {
        let queue = &self.parts.queue;
        let (id, tried) = (task.id, task.waiting.clone());
        let at = queue.at();
        queue.machine().settle(task, judged, at);
        let view = queue.machine().view(id, at);
        if view.as_ref().is_some_and(|view| view.next.is_some()) {
            // Whoever waits for the next timer has another one to wait for.
            queue.wake();
        }
        if let (Some(view), Some(message)) = (view, message) {
            tried.into_iter().for_each(|at| self.log(&view, message, at));
        }
    }

    fn log(&self, view: &View, message: &Outgoing, at: usize) {
        let (Some(seen), Some(to)) = (view.recipients.get(at), message.recipients.get(at)) else {
            return;
        };
        let Some(why) = seen.trouble.as_deref() else { return };
        let (id, recipient, attempts) = (view.id.into(), &to.address, seen.attempts.into());
        self.parts.queue.emit(&match seen.standing {
            Standing::Waiting => QueueEvent::Deferred { id, recipient, why, attempts },
            Standing::Held => QueueEvent::Held { id, recipient },
            Standing::Failed => QueueEvent::Bounced { id, recipient, why },
            Standing::Delivered => return,
        });
    }

    /// Tells the owner what he is owed about one domain. `true` if that changed anything.
    async fn report(&self, id: ItemId, domain: &str, message: Option<Arc<Outgoing>>) -> bool {
        let queue = &self.parts.queue;
        let owed = queue.machine().owed(id, domain);
        let view = queue.machine().view(id, queue.at());
        let Some(view) = view.filter(|_| !owed.is_empty()) else { return false };
        let known = message.or_else(|| {
            let envelope = queue.envelope(id)?;
            Some(Arc::new(convert::outgoing(envelope, Vec::new())))
        });
        let Some(message) = known else { return false };
        let (view, lifetime, mut changed) = (&view, queue.machine().lifetime(), false);
        for kind in [Owed::Failure, Owed::Hold, Owed::Delay, Owed::Relayed] {
            let about = owed.iter().filter(|(_, owed)| *owed == kind).map(|(at, _)| *at);
            let about: Vec<usize> = about.collect();
            if about.is_empty() {
                continue;
            }
            let report = Report { kind, view, message: &message, about: &about, lifetime };
            changed |= self.tell(id, &report).await;
        }
        changed
    }

    /// Tells one thing. `true` if the owner is no longer owed it.
    async fn tell(&self, id: ItemId, report: &Report<'_>) -> bool {
        let queue = &self.parts.queue;
        let (id, what) = (QueueId::from(id), word(report.kind));
        let age = queue.at().unix.0.saturating_sub(report.view.accepted.0);
        let age = Duration::from_secs(u64::try_from(age).unwrap_or(0));
        let told = self.reporter.tell(report).await;
        if told.is_err() {
            let first = report.about.first().copied().unwrap_or_default();
            let failed = queue.machine().report_failed(id.into(), first);
            if age <= report.lifetime.saturating_add(REPORT_TIME) || failed < REPORT_TRIES_MIN {
                queue.emit(&QueueEvent::NotReported { id, what });
                return false;
            }
            queue.emit(&QueueEvent::ReportLost { id, what });
        } else {
            queue.emit(&QueueEvent::Reported { id, what });
        }
        queue.machine().reported(id.into(), report.about);
        true
    }

    /// What is left to do after a round. Whoever runs rounds looks for the next one by himself.
    fn conclude(&self, id: ItemId) {
        let queue = &self.parts.queue;
        if queue.machine().is_quiet(id) {
            queue.forget(id);
        }
    }
}

/// Sends one copy; `None` if that came to no end.
async fn send(transmit: &dyn Transmit, (recipients, sealed, consignment): Parcel) -> Option<Sent> {
    let sent = timeout(STEP_TIME_MAX, transmit.transmit(consignment)).await;
    sent.ok().map(|outcomes| (recipients, sealed, outcomes))
}

/// Makes sure that nobody is planned who was not asked about, and nobody twice: the first counts.
fn once_each(prepared: Vec<Prepared>, which: &[usize]) -> Vec<Prepared> {
    let mut left: Vec<usize> = which.to_vec();
    let mut out = Vec::new();
    for Prepared { recipients, action } in prepared {
        let (ours, rest): (Vec<_>, Vec<_>) =
            left.into_iter().partition(|at| recipients.contains(at));
        left = rest;
        if !ours.is_empty() {
            out.push(Prepared { recipients: ours, action });
        }
    }
    out
}

fn consignment(
    message: &Outgoing,
    task: &Task,
    recipients: &[usize],
    octets: Arc<Vec<u8>>,
    utf8: bool,
) -> Consignment {
    let to = recipients.iter().filter_map(|at| message.recipients.get(*at).cloned());
    Consignment {
        id: task.id.into(),
        from: message.from.clone(),
        domain: task.domain.to_string(),
        recipients: to.collect(),
        message: octets,
        envelope_id: message.envelope_id.clone(),
        dsn_return: message.dsn_return,
        utf8,
    }
}

fn verdict(outcome: Outcome) -> Verdict {
    match outcome {
        Outcome::Delivered { host, reply, dsn, .. } => {
            Verdict::Delivered { reply: Trouble::new(Some(&host), "2.0.0", &reply), dsn }
        }
        Outcome::Deferred(failure) => Verdict::Deferred(convert::trouble(&failure)),
        Outcome::Failed(failure) | Outcome::EightBit(failure) => {
            Verdict::Failed(convert::trouble(&failure))
        }
    }
}

/// What is said of recipients whose message could not be read from the disk.
fn unreadable(failure: ReadFailure, task: &Task) -> Vec<Judged> {
    let verdict = match failure {
        ReadFailure::Disk => {
            Verdict::Deferred(Trouble::new(None, "4.3.0", "the message cannot be read now"))
        }
        ReadFailure::Damaged => {
            let text = "the message was damaged on this server's disk and cannot be sent";
            Verdict::Failed(Trouble::new(None, "5.3.0", text))
        }
    };
    task.waiting.iter().map(|at| (*at, verdict.clone(), true)).collect()
}

fn word(kind: Owed) -> &'static str {
    match kind {
        Owed::Failure => "failure",
        Owed::Delay => "delay",
        Owed::Hold => "hold",
        Owed::Relayed => "relayed",
    }
}
