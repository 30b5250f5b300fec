//! Which accounts are unlocked: at most one task per account, and one unlock under way.
//!
//! The first login that opened a slot starts the account's task; logins that come while it loads
//! wait for it and attach to the same one. Nobody attaches without the proof that his own
//! credential was right: [`Registry::get_or_start`] takes the vault's witness.

use super::core::Core;
use super::events::MailboxEvent;
use super::life::Why;
use super::resident::Resident;
use super::task;
use crate::base::ids::AccountNumber;
use crate::vault::{SlotAuthority, Unlocked};
use std::collections::HashMap;
use std::collections::hash_map::Entry as Slot;
use std::sync::{Arc, Mutex, PoisonError};
use tokio::sync::watch;

/// The unlocked accounts.
#[derive(Default)]
pub struct Registry {
    table: Mutex<HashMap<AccountNumber, Arc<Entry>>>,
}

/// One account's place in the registry.
struct Entry {
    state: watch::Sender<State>,
    /// Says that the account has to be locked, also while it is still being loaded.
    stop: watch::Sender<Option<Why>>,
}

#[derive(Clone)]
enum State {
    Starting,
    Running(Arc<Resident>),
    Over,
}

/// The account could not be loaded, or was locked meanwhile.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NotStarted;

impl Registry {
    /// The account's task, if it is unlocked now. No proof of anything: for the role's own use.
    pub fn resident(&self, account: AccountNumber) -> Option<Arc<Resident>> {
        let entry = self.table().get(&account)?.clone();
        match &*entry.state.borrow() {
            State::Running(resident) => Some(resident.clone()),
            State::Starting | State::Over => None,
        }
    }

    /// Attaches with a slot that was just opened: starts the account's task, or joins the one there
    /// is. `authority` is used for upkeep of the account's own file if this unlock starts the task,
    /// and comes back if not. No task is started if the file is no longer the `generation` that the
    /// witness is good for, or says that the account is locked.
    pub async fn get_or_start(
        &self,
        core: &Arc<Core>,
        unlocked: Unlocked,
        generation: u64,
        authority: SlotAuthority,
    ) -> Result<(Arc<Resident>, Option<SlotAuthority>), NotStarted> {
        let (entry, is_new) = self.entry(unlocked.account()).await;
        let mut left = Some(authority);
        if let Some(authority) = left.take_if(|_| is_new) {
            // A task of its own: a client that goes away must not stop a load that others wait for.
            let start = Start { unlocked, generation, authority };
            tokio::spawn(run(core.clone(), entry.clone(), start));
        }
        Ok((entry.started().await?, left))
    }

    /// Gives back the room of all opened messages that sessions keep.
    pub fn forget_bodies(&self) {
        let entries: Vec<_> = self.table().values().cloned().collect();
        for entry in entries {
            if let State::Running(resident) = &*entry.state.borrow() {
                resident.forget_bodies();
            }
        }
    }

    /// Says that an account is to be locked, and does not wait for it.
    pub fn stop(&self, account: AccountNumber, why: Why) {
        if let Some(entry) = self.table().get(&account) {
            entry.stop.send_replace(Some(why));
        }
    }

    /// Locks an account: what its task does now is finished, then its keys are gone. Returns when
    /// they are.
    pub async fn lock(&self, account: AccountNumber, why: Why) {
        let entry = self.table().get(&account).cloned();
        if let Some(entry) = entry {
            entry.stop.send_replace(Some(why));
            entry.gone().await;
        }
    }

    /// Locks all accounts.
    pub async fn lock_all(&self, why: Why) {
        let accounts: Vec<_> = self.table().keys().copied().collect();
        for account in accounts {
            self.lock(account, why).await;
        }
    }

    /// The account's entry, and whether it is new. An account that is being locked has to be gone
    /// first: two tasks at once would both continue its chain of records.
    async fn entry(&self, account: AccountNumber) -> (Arc<Entry>, bool) {
        loop {
            let going = match self.table().entry(account) {
                Slot::Vacant(place) => {
                    let entry = Arc::new(Entry {
                        state: watch::Sender::new(State::Starting),
                        stop: watch::Sender::new(None),
                    });
                    return (place.insert(entry).clone(), true);
                }
                Slot::Occupied(place) if place.get().is_stopping() => place.get().clone(),
                Slot::Occupied(place) => return (place.get().clone(), false),
            };
            going.gone().await;
        }
    }

    fn remove(&self, account: AccountNumber, entry: &Arc<Entry>) {
        let mut table = self.table();
        if table.get(&account).is_some_and(|current| Arc::ptr_eq(current, entry)) {
            table.remove(&account);
        }
    }

    fn table(&self) -> std::sync::MutexGuard<'_, HashMap<AccountNumber, Arc<Entry>>> {
        self.table.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Entry {
    fn is_stopping(&self) -> bool {
        self.stop.borrow().is_some() || matches!(&*self.state.borrow(), State::Over)
    }

    /// Waits until the account's task has ended.
    async fn gone(&self) {
        let mut state = self.state.subscribe();
        // It cannot fail: the sender is in this entry.
        let _ = state.wait_for(|state| matches!(state, State::Over)).await;
    }

    async fn started(&self) -> Result<Arc<Resident>, NotStarted> {
        let mut state = self.state.subscribe();
        let started = state.wait_for(|state| !matches!(state, State::Starting)).await;
        match started.as_deref() {
            Ok(State::Running(resident)) => Ok(resident.clone()),
            _ => Err(NotStarted),
        }
    }
}

/// Makes the entry say `Over` however its task ends, a panic included.
struct Ending {
    core: Arc<Core>,
    account: AccountNumber,
    entry: Arc<Entry>,
}

impl Drop for Ending {
    fn drop(&mut self) {
        // Off the table first: whoever waits for `Over` may start the account again at once.
        self.core.registry.remove(self.account, &self.entry);
        if let State::Running(resident) = self.entry.state.borrow().clone() {
            resident.lock();
        }
        self.entry.state.send_replace(State::Over);
    }
}

/// What a task is started with.
struct Start {
    unlocked: Unlocked,
    generation: u64,
    authority: SlotAuthority,
}

impl Start {
    /// Whether the file still is what the slot was opened from. Asked when the entry is in the
    /// table already: a verb changes the file first and stops the entry second, so that one of the
    /// two meets every unlock that is under way.
    fn is_current(&self, core: &Core) -> bool {
        let account = core.directory.get(self.unlocked.account());
        account.is_some_and(|account| {
            account.file.generation() == self.generation && !account.file.is_locked()
        })
    }
}

/// One account from unlock to lock.
async fn run(core: Arc<Core>, entry: Arc<Entry>, start: Start) {
    let account = start.unlocked.account();
    let ending = Ending { core: core.clone(), account, entry: entry.clone() };
    if !start.is_current(&core) {
        return;
    }
    let Some(task) = task::load(&core, start.unlocked, start.authority).await else {
        core.events.emit(&MailboxEvent::AccountFailed { account, what: "load" });
        return;
    };
    core.events.emit(&MailboxEvent::Unlocked { account });
    entry.state.send_replace(State::Running(task.resident().clone()));
    let why = task.run(entry.stop.subscribe()).await;
    drop(ending);
    core.events.emit(&MailboxEvent::Locked { account, why: why.word() });
}
