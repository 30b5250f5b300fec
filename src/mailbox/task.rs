//! The task of one unlocked account: the only one that changes it, one thing at a time.
//!
//! plan, submit, wait until durable, commit, publish, answer: in this order, for commands, folds
//! and upkeep alike. Opening what arrived (the expensive half of a fold) runs beside the commands;
//! giving it its UIDs takes its turn among them.
//!
//! The task ends by command, after the grace time without a session, at the absolute limit, or when
//! its machine fails. With it goes what it holds: the machine, the witness, the published views,
//! the cached bodies. What sessions still hold (views, bodies in flight) goes when they notice.

use super::core::{Core, Died, blocking};
use super::events::MailboxEvent;
use super::handle::ApplyError;
use super::large::LargeBodies;
use super::life::{Life, Limit, Why};
use super::resident::{Request, Resident, Shown};
use crate::account::{
    Command, FOLD_BATCH_MAX, Folded, Loaded, Machine, Opened, Opener, Outcome, Planned,
};
use crate::base::ids::{AccountNumber, ObjectId};
use crate::journal::AppendError;
use crate::store::AccountsError;
use crate::vault::{Denied, IndexRekey, SlotAuthority, Unlocked};
use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::{mpsc, watch};
use tokio::task::JoinHandle;
use tokio::time::Instant;

/// Requests that may wait for the task. A session sends one at a time, so that this bounds nothing
/// but a crowd; more wait in their senders.
const REQUESTS_WAITING_MAX: usize = 64;

/// Steps of upkeep before anybody is served. A repair of 10 million messages needs fewer.
const UPKEEP_STEPS_MAX: usize = 100_000;

/// How long the task waits before it tries again what the disk refused.
const RETRY: Duration = Duration::from_secs(5);

/// The task's own state.
pub struct Task {
    core: Arc<Core>,
    resident: Arc<Resident>,
    requests: mpsc::Receiver<Request>,
    /// Away while it works on another thread; gone if it died there.
    machine: Option<Machine>,
    /// Arrivals that are being opened.
    opening: Option<JoinHandle<Option<Opened>>>,
    arrivals_due: bool,
    upkeep_due: bool,
    retry_at: Option<Instant>,
    index_rekey: Option<IndexRekey>,
}

/// Loads an account, repairs and sets it up. `None` if it cannot be served now.
pub async fn load(core: &Arc<Core>, unlocked: Unlocked, authority: SlotAuthority) -> Option<Task> {
    let account = unlocked.account();
    let (reader, entropy) = (core.log.reader().clone(), core.entropy.clone());
    let witness = unlocked.clone();
    let loaded = core.compute(move || Machine::load(witness, reader, entropy)).await.ok()?.ok()?;
    let Loaded { machine, damage } = loaded;
    if !damage.is_empty() {
        core.events.emit(&MailboxEvent::AccountDamaged { account, places: damage.len() as u64 });
    }
    let mut task = Task::new(core.clone(), unlocked, machine);
    if task.settle().await.is_err() && task.machine.as_ref()?.catalog().mailboxes().is_empty() {
        return None;
    }
    task.renew(authority).await.ok()?;
    let shown = task.shown()?;
    task.resident.publish(shown);
    Some(task)
}

/// What the loop wakes for.
enum Wake {
    Request(Option<Request>),
    Opened(Option<Opened>),
    Nudge,
    Work,
}

impl Task {
    fn new(core: Arc<Core>, unlocked: Unlocked, machine: Machine) -> Task {
        let (sender, requests) = mpsc::channel(REQUESTS_WAITING_MAX);
        let limit = Limit { until: Instant::now() + core.options.unlock_max, held: false };
        let opener = Opener::new(unlocked.clone(), core.log.reader().clone());
        let resident = Resident::new(unlocked, shown(&machine, opener), limit, sender);
        Task {
            core,
            resident,
            requests,
            machine: Some(machine),
            opening: None,
            arrivals_due: true,
            upkeep_due: false,
            retry_at: None,
            index_rekey: None,
        }
    }

    /// The account as the rest of the role sees it.
    pub fn resident(&self) -> &Arc<Resident> {
        &self.resident
    }

    /// Serves the account until it is locked.
    pub async fn run(mut self, stop: watch::Receiver<Option<Why>>) -> Why {
        let mut life = Life::new(&self.resident, stop, self.core.options.grace);
        loop {
            let wake = tokio::select! {
                biased;
                why = life.over() => return why,
                wake = self.wake() => wake,
            };
            if self.serve(wake).await.is_err() {
                let account = self.resident.account();
                self.core.events.emit(&MailboxEvent::AccountFailed { account, what: "task" });
                return Why::Failure;
            }
        }
    }

    /// The next thing to do. Nothing is lost if this future is dropped.
    async fn wake(&mut self) -> Wake {
        let has_work = (self.arrivals_due && self.opening.is_none()) || self.upkeep_due;
        let resident = self.resident.clone();
        let retry_at = self.retry_at;
        tokio::select! {
            request = self.requests.recv() => Wake::Request(request),
            opened = finished(&mut self.opening), if self.opening.is_some() => Wake::Opened(opened),
            () = resident.nudged() => Wake::Nudge,
            () = due(retry_at), if has_work => Wake::Work,
        }
    }

    async fn serve(&mut self, wake: Wake) -> Result<(), Died> {
        match wake {
            Wake::Request(Some(Request::Apply(command, reply))) => {
                let result = self.apply(command).await;
                // The session may have gone; what it asked for is done all the same.
                let _ = reply.send(result);
            }
            Wake::Request(Some(Request::ClaimRecent(mailbox, reply))) => {
                let recent = self.machine()?.claim_recent(mailbox);
                let _ = reply.send(recent);
                self.publish()?;
            }
            // The resident holds a sender as long as this task lives.
            Wake::Request(None) => return Err(Died),
            Wake::Nudge => self.arrivals_due = true,
            Wake::Opened(opened) => {
                self.opening = None;
                self.file(opened.ok_or(Died)?).await?;
                self.resident.batch_filed();
            }
            Wake::Work => self.work().await?,
        }
        if self.machine.is_some() { Ok(()) } else { Err(Died) }
    }

    async fn work(&mut self) -> Result<(), Died> {
        self.retry_at = None;
        if self.arrivals_due && self.opening.is_none() {
            self.open_arrivals().await?;
        }
        if self.upkeep_due {
            match self.upkeep_step().await {
                Ok(more) => self.upkeep_due = more,
                Err(ApplyError::Locked) => return Err(Died),
                Err(_) => self.retry_at = Some(Instant::now() + RETRY),
            }
        }
        Ok(())
    }

    async fn apply(&mut self, command: Command) -> Result<Outcome, ApplyError> {
        let now = self.core.clock.now();
        let planned = self.on_machine(move |machine| machine.plan(command, now)).await?;
        self.carry_out(planned.map_err(ApplyError::Refused)?).await
    }

    /// Submits a plan, waits until it is durable, commits and publishes it.
    async fn carry_out(&mut self, mut planned: Planned) -> Result<Outcome, ApplyError> {
        let mut addresses = Vec::new();
        for batch in planned.take_batches() {
            addresses.push(self.core.log.submit(batch).await?);
        }
        let outcome = self.on_machine(move |machine| machine.commit(planned, addresses)).await?;
        self.publish()?;
        self.upkeep_due |= !matches!(outcome, Outcome::Maintained);
        Ok(outcome)
    }

    /// Takes arrivals out of the tray and begins to open them, beside the commands.
    async fn open_arrivals(&mut self) -> Result<(), Died> {
        let work = self
            .on_machine(|machine| {
                machine.waiting()?;
                machine.fold_work(FOLD_BATCH_MAX)
            })
            .await?;
        match work {
            Ok(Some(work)) => {
                let core = self.core.clone();
                let opening = async move { core.compute(move || work.run()).await.ok() };
                self.opening = Some(tokio::spawn(opening));
            }
            Ok(None) => {
                self.arrivals_due = false;
                self.resident.tray_empty();
            }
            Err(_) => self.retry_at = Some(Instant::now() + RETRY),
        }
        Ok(())
    }

    /// Gives opened arrivals their places.
    async fn file(&mut self, mut opened: Opened) -> Result<(), Died> {
        let now = self.core.clock.now();
        let mut large = LargeBodies::new(self.core.log.clone());
        for view in opened.large_views() {
            if large.write(view).await.is_err() {
                self.retry_at = Some(Instant::now() + RETRY);
                return Ok(());
            }
        }
        let mut bodies = large.submitted();
        let planned = self.on_machine(move |machine| machine.plan_fold(opened, now)).await?;
        let named: HashSet<ObjectId> = planned.objects().collect();
        let unnamed = bodies.extract_if(.., |object| !named.contains(object)).collect();
        large.refused(unnamed);
        let filed = self.carry_out(planned).await;
        if matches!(filed, Err(ApplyError::Refused(_) | ApplyError::Full)) {
            large.refused(bodies);
        }
        match filed {
            // The disk failed under the first of them.
            Ok(Outcome::Folded(folded)) if folded == Folded::default() => {
                self.retry_at = Some(Instant::now() + RETRY);
            }
            Ok(Outcome::Folded(folded)) => {
                let (account, messages) = (self.resident.account(), folded.messages.into());
                self.core.events.emit(&MailboxEvent::Folded {
                    account,
                    messages,
                    placeholders: folded.placeholders.into(),
                    opened: folded.opened.into(),
                    repeated: folded.repeated.into(),
                });
            }
            Ok(_) => {}
            Err(ApplyError::Locked) => return Err(Died),
            // Not durable, so not seen by anyone; they are taken out again later.
            Err(_) => self.retry_at = Some(Instant::now() + RETRY),
        }
        Ok(())
    }

    /// Set-up and repair, before anybody is served.
    async fn settle(&mut self) -> Result<(), ApplyError> {
        for _ in 0..UPKEEP_STEPS_MAX {
            if !self.upkeep_step().await? {
                return Ok(());
            }
        }
        Ok(())
    }

    /// One piece of upkeep; whether there may be more.
    async fn upkeep_step(&mut self) -> Result<bool, ApplyError> {
        let now = self.core.clock.now();
        match self.on_machine(move |machine| machine.plan_upkeep(now)).await? {
            Some(planned) => self.carry_out(planned).await.map(|_| true),
            None => {
                self.end_index_rekey().await?;
                Ok(false)
            }
        }
    }

    /// Uses the credential of this very login for what the account's own file needs: keys of epochs
    /// to come, and a new index key after an expunge. What fails is tried at the next unlock.
    async fn renew(&mut self, authority: SlotAuthority) -> Result<(), Died> {
        let (core, account) = (self.core.clone(), self.resident.account());
        let Some(unlocked) = self.resident.unlocked() else { return Ok(()) };
        let previous = unlocked.previous_index_key().is_some();
        // A new index key comes with a new witness, which would not know that the owner's `unlock`
        // admitted others.
        let admits = unlocked.admits_login_only();
        let now = self.core.clock.now();
        let machine = self.machine()?;
        let renewal = match previous {
            true if machine.previous_index_key_is_unused() => Renewal::EndIndexRekey,
            false if !admits && machine.wants_index_rekey(now) => Renewal::BeginIndexRekey,
            _ => Renewal::EpochsOnly,
        };
        let renewed = blocking(move || renew_file(&core, account, authority, renewal)).await?;
        match renewed {
            Ok(Some((unlocked, rekey))) => {
                self.machine()?.adopt(unlocked.clone());
                self.resident.adopt(unlocked);
                self.index_rekey = Some(rekey);
                self.upkeep_due = true;
            }
            Ok(None) => {}
            Err(_) => {
                self.core.events.emit(&MailboxEvent::AccountFailed { account, what: "renewal" });
            }
        }
        Ok(())
    }

    /// The old index key leaves the vault once nothing is sealed under it any more.
    async fn end_index_rekey(&mut self) -> Result<(), Died> {
        let unused = self.machine()?.previous_index_key_is_unused();
        let Some(rekey) = self.index_rekey.take_if(|_| unused) else { return Ok(()) };
        let (core, account) = (self.core.clone(), self.resident.account());
        let ended = blocking(move || {
            core.directory.change(account, |file| {
                Ok::<_, NotRenewed>((Some(rekey.end(file, &*core.entropy)?), ()))
            })
        })
        .await?;
        if ended.is_err() {
            self.core.events.emit(&MailboxEvent::AccountFailed { account, what: "renewal" });
        }
        Ok(())
    }

    fn publish(&self) -> Result<(), Died> {
        self.resident.publish(self.shown().ok_or(Died)?);
        Ok(())
    }

    fn shown(&self) -> Option<Shown> {
        let opener = Opener::new(self.resident.unlocked()?, self.core.log.reader().clone());
        Some(shown(self.machine.as_ref()?, opener))
    }

    fn machine(&mut self) -> Result<&mut Machine, Died> {
        self.machine.as_mut().ok_or(Died)
    }

    /// Runs `work` with the machine on a thread that may block. If it panics the machine is gone.
    async fn on_machine<T: Send + 'static>(
        &mut self,
        work: impl FnOnce(&mut Machine) -> T + Send + 'static,
    ) -> Result<T, Died> {
        let mut machine = self.machine.take().ok_or(Died)?;
        let (machine, result) = blocking(move || {
            let result = work(&mut machine);
            (machine, result)
        })
        .await?;
        self.machine = Some(machine);
        Ok(result)
    }
}

/// What the account's file needs from the credential of a login.
enum Renewal {
    EpochsOnly,
    BeginIndexRekey,
    EndIndexRekey,
}

/// Why a file was not renewed. Reported as one word; the next unlock tries again.
struct NotRenewed;

impl From<AccountsError> for NotRenewed {
    fn from(_: AccountsError) -> Self {
        NotRenewed
    }
}

impl From<Denied> for NotRenewed {
    fn from(_: Denied) -> Self {
        NotRenewed
    }
}

fn renew_file(
    core: &Core,
    account: AccountNumber,
    authority: SlotAuthority,
    renewal: Renewal,
) -> Result<Option<(Unlocked, IndexRekey)>, NotRenewed> {
    let (entropy, now) = (&*core.entropy, core.clock.now());
    core.directory.change(account, |file| {
        Ok::<_, NotRenewed>((authority.prepare_epochs(file, now, entropy)?, ()))
    })?;
    core.directory.change(account, |file| match renewal {
        Renewal::EpochsOnly => Ok((None, None)),
        Renewal::EndIndexRekey => Ok((Some(authority.end_index_rekey(file, entropy)?), None)),
        Renewal::BeginIndexRekey => {
            let (file, unlocked, rekey) = authority.begin_index_rekey(file, entropy)?;
            Ok((Some(file), Some((unlocked, rekey))))
        }
    })
}

fn shown(machine: &Machine, opener: Opener) -> Shown {
    let catalog = machine.catalog();
    let views = catalog
        .mailboxes()
        .iter()
        .filter_map(|mailbox| Some((mailbox.id, machine.view(mailbox.id)?)))
        .collect();
    Shown { catalog, views: Arc::new(views), opener }
}

async fn finished(opening: &mut Option<JoinHandle<Option<Opened>>>) -> Option<Opened> {
    match opening {
        Some(handle) => handle.await.ok().flatten(),
        None => std::future::pending().await,
    }
}

async fn due(retry_at: Option<Instant>) {
    if let Some(at) = retry_at {
        tokio::time::sleep_until(at).await;
    }
}

impl From<Died> for ApplyError {
    fn from(_: Died) -> Self {
        ApplyError::Locked
    }
}

impl From<AppendError> for ApplyError {
    fn from(error: AppendError) -> Self {
        match error {
            AppendError::Full => ApplyError::Full,
            _ => ApplyError::Unavailable,
        }
    }
}
