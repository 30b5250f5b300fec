//! The queue of mail that goes out: stored before anybody is told so, tried until it is delivered,
//! given up or taken away.
//!
//! [`Queue`] is the handle that submission ([`Enqueue`]), the runner and the commands share. The
//! truth while the process runs is the machine in memory; what changes there is recorded behind it,
//! in order, by one recorder. What was not recorded when the process ends is done again at the next
//! start: a message may be delivered twice around a crash, and is never lost by one.
//!
//! # What it trusts
//! The root key, which lies outside the data directory, and the journal's checks. A message is
//! sealed before it touches the disk and opened when it is tried; one that was just accepted is
//! kept in memory, within a budget, for the first attempt.
//!
//! # Standards
//! RFC 5321 §4.5.4 (queues), §6.1 (responsibility once accepted).
//!
//! # Known gaps
//! Held messages are sealed to the queue, not to their sender: who has the disk and the root key
//! reads them. A wall clock that is set back far lengthens the life of what is queued.

mod commands;
pub(super) mod convert;
pub(super) mod events;
mod record;
mod restore;
mod slots;
mod storage;
#[cfg(test)]
mod tests;

pub use commands::{After, CommandError, Line, RecipientLine};
pub use slots::{remove_slot, slot_dir, slots};
pub use storage::{Logs, OpenError, World};

use super::outgoing::{Enqueue, EnqueueError, Outgoing, QueueId};
use crate::base::BoxFuture;
use crate::base::budget::{ByteBudget, Reservation};
use crate::base::ids::ObjectId;
use crate::queue::{Due, ItemId, Machine, NewItem, Options};
use events::QueueEvent;
use record::Pending;
use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
pub(super) use storage::ReadFailure;
use storage::{Place, Storage};
use tokio::sync::Notify;

/// Recipients of one item at most: what its progress takes must fit into one frame of the journal.
pub const RECIPIENTS_MAX: usize = 1000;

/// How often days are begun and ended and memory is tidied.
const CARE_TIME: Duration = Duration::from_secs(10 * 60);

/// The queue; clones are the same one.
#[derive(Clone)]
pub struct Queue(Arc<Core>);

struct Core {
    storage: Storage,
    machine: Mutex<Machine>,
    places: Mutex<HashMap<ItemId, Place>>,
    /// Messages that were accepted a moment ago.
    recent: Mutex<HashMap<ItemId, (Arc<Outgoing>, Reservation)>>,
    budget: ByteBudget,
    pending: Mutex<Pending>,
    /// One recorder at a time, so that what is recorded last is what happened last.
    recording: tokio::sync::Mutex<()>,
    /// Something may be due.
    wake: Notify,
    /// Something is to be recorded.
    changed: Notify,
}

impl Queue {
    /// Opens the queue: reads what is stored and gives it out. `memory_bytes` is what messages on
    /// their way may take in memory.
    pub async fn open(
        world: World,
        options: Options,
        memory_bytes: u64,
    ) -> Result<Queue, OpenError> {
        let storage = Storage::open(world).await?;
        let seed = crate::base::entropy::bytes(&*storage.world.entropy);
        let machine = Machine::new(options, u64::from_le_bytes(seed));
        let core = Core {
            storage,
            machine: Mutex::new(machine),
            places: Mutex::default(),
            recent: Mutex::default(),
            budget: ByteBudget::new(memory_bytes),
            pending: Mutex::default(),
            recording: tokio::sync::Mutex::new(()),
            wake: Notify::new(),
            changed: Notify::new(),
        };
        let queue = Queue(Arc::new(core));
        let restoring = queue.clone();
        let restored = tokio::task::spawn_blocking(move || restoring.restore()).await;
        restored.map_err(|_| OpenError::Journal("reading the queue failed".into()))?;
        Ok(queue)
    }

    fn restore(&self) {
        let core = &*self.0;
        let (at, mut found) = (self.at(), restore::Found::default());
        let mut machine = self.machine();
        for day in core.storage.days() {
            restore::restore(&core.storage, &day, &mut machine, at, &mut found);
        }
        core.storage.forget_opened();
        let items = machine.len() as u64;
        let finished: Vec<_> =
            found.places.keys().copied().filter(|id| machine.is_finished(*id)).collect();
        drop(machine);
        *self.places() = found.places;
        let mut pending = self.pending();
        pending.useless(found.useless);
        finished.into_iter().for_each(|id| pending.dirty(id));
        drop(pending);
        let unreadable = found.unreadable;
        self.emit(&QueueEvent::Restored { items, unreadable });
    }

    /// Other options, from now on.
    pub fn reload(&self, options: Options) {
        self.machine().reload(options);
        self.0.wake.notify_one();
    }

    /// How many items there are.
    pub fn len(&self) -> usize {
        self.machine().len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.machine().is_empty()
    }

    /// Records what is to be recorded and takes care of days, for ever.
    pub(super) async fn keep(&self) {
        let care = async {
            loop {
                self.care().await;
                tokio::time::sleep(CARE_TIME).await;
            }
        };
        tokio::select! {
            () = care => {}
            () = self.record_for_ever() => {}
        }
    }

    /// Begins and ends days, and tidies up.
    async fn care(&self) {
        let storage = &self.0.storage;
        if let Err(error) = storage.begin_day().await {
            self.emit(&QueueEvent::DayNotBegun { error: &error.to_string() });
        }
        storage
            .end_days(|number| {
                let places = self.places();
                !places.values().any(|place| place.epoch == number)
            })
            .await;
        self.machine().tidy();
    }

    /// A message to be tried.
    pub(super) async fn read(&self, id: ItemId) -> Result<Arc<Outgoing>, ReadFailure> {
        let recent = self.recent().get(&id).map(|(message, _)| Arc::clone(message));
        if let Some(message) = recent {
            return Ok(message);
        }
        let place = self.places().get(&id).copied().ok_or(ReadFailure::Damaged)?;
        self.0.storage.read(place).await.map(Arc::new)
    }

    /// The envelope of an item, if it can be read.
    pub(super) fn envelope(&self, id: ItemId) -> Option<crate::queue::Envelope> {
        let place = self.places().get(&id).copied()?;
        self.0.storage.envelope(place).ok()
    }

    /// Nobody needs the message in memory now.
    pub(super) fn forget(&self, id: ItemId) {
        self.recent().remove(&id);
    }

    /// An item has changed, or is finished.
    pub(super) fn note_change(&self, id: ItemId) {
        self.pending().dirty(id);
        self.0.changed.notify_one();
    }

    pub(super) fn machine(&self) -> MutexGuard<'_, Machine> {
        self.0.machine.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn places(&self) -> MutexGuard<'_, HashMap<ItemId, Place>> {
        self.0.places.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn recent(&self) -> MutexGuard<'_, HashMap<ItemId, (Arc<Outgoing>, Reservation)>> {
        self.0.recent.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn pending(&self) -> MutexGuard<'_, Pending> {
        self.0.pending.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn at(&self) -> Due {
        let clock = &self.0.storage.world.clock;
        Due { now: clock.monotonic(), unix: clock.now() }
    }

    pub(super) fn world(&self) -> &World {
        &self.0.storage.world
    }

    /// Returns when something may have become due.
    pub(super) async fn woken(&self) {
        self.0.wake.notified().await;
    }

    pub(super) fn wake(&self) {
        self.0.wake.notify_one();
    }

    pub(super) fn emit(&self, event: &QueueEvent<'_>) {
        self.world().events.emit(event);
    }

    /// A name that no other item has.
    fn fresh_object(&self) -> ObjectId {
        loop {
            let object = ObjectId::random(&*self.world().entropy);
            if !self.places().contains_key(&ItemId::of(&object)) {
                return object;
            }
        }
    }

    fn keep_in_memory(&self, id: ItemId, message: Outgoing) {
        if let Some(reservation) = self.0.budget.reserve(message.message.len() as u64) {
            self.recent().insert(id, (Arc::new(message), reservation));
        }
    }

    async fn take(&self, message: Outgoing) -> Result<QueueId, EnqueueError> {
        if self.machine().is_full() {
            return Err(EnqueueError::Full);
        }
        let recipients = message.recipients.len();
        if recipients == 0 || recipients > RECIPIENTS_MAX {
            return Err(EnqueueError::TryLater);
        }
        let stored = self.0.storage.store(&message, self.fresh_object()).await?;
        let id = ItemId::of(&stored.place.object);
        let bytes = message.message.len();
        let item = NewItem { id, envelope: &stored.envelope, bytes: bytes as u64 };
        self.places().insert(id, stored.place);
        self.machine().insert(&item, self.at());
        self.emit(&QueueEvent::Queued {
            id: id.into(),
            from: message.from.as_ref(),
            recipients,
            bytes,
        });
        self.keep_in_memory(id, message);
        Ok(id.into())
    }

    /// Takes an item away. `false` if there is none.
    fn drop_item(&self, id: ItemId) -> bool {
        self.machine().remove(id);
        self.forget(id);
        let Some(place) = self.places().remove(&id) else { return false };
        self.pending().gone(place);
        self.emit(&QueueEvent::Removed { id: id.into() });
        true
    }
}

impl Enqueue for Queue {
    fn accept(&self, message: Outgoing) -> BoxFuture<'_, Result<QueueId, EnqueueError>> {
        Box::pin(self.take(message))
    }

    fn release(&self, id: QueueId) {
        self.machine().give(id.into());
        self.wake();
    }

    fn abandon(&self, id: QueueId) {
        if self.drop_item(id.into()) {
            self.0.changed.notify_one();
        }
    }

    /// Where the disk does not take it, the next start would send the message: its client heard no
    /// 250 and sends it again, so that it comes twice at worst.
    fn withdraw(&self, id: QueueId) -> BoxFuture<'_, ()> {
        Box::pin(async move {
            if self.drop_item(id.into()) {
                let _ = self.record().await;
            }
        })
    }
}

impl std::fmt::Debug for Queue {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Queue")
    }
}
