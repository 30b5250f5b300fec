//! Where items lie: a journal and a key pair for each day, and what is written to them.
//!
//! An item is one frame of class arrival; its newest progress is one frame of class account with
//! the same object name. Both are erased by a tombstone when the item has left. When a day is past
//! and its last item gone, its secret is destroyed and its journal removed, so that nothing of what
//! went through the queue grows for ever.

use super::super::outgoing::{EnqueueError, Outgoing};
use super::convert;
use super::events::QueueEvent;
use crate::base::BoxFuture;
use crate::base::clock::{Clock, Instant};
use crate::base::crypto::Key;
use crate::base::disk::Disk;
use crate::base::entropy::Entropy;
use crate::base::event::Log as EventLog;
use crate::base::ids::{AccountNumber, ObjectId};
use crate::journal::{Address, AppendError, Body, Class, Entry, ReadError};
use crate::pgp::{OpenKey, SealKey};
use crate::queue::epochs::{self, Epoch, Epochs, EpochsError};
use crate::queue::seal::{self, ContentKey, ItemKeys};
use crate::queue::{Envelope, Progress};
use crate::store::{LARGE_BODY_BYTES, Log};
use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock};
use std::time::Duration;

/// The journal shares its syncs among accounts; the queue has none, so that items are spread over
/// so many numbers. Each may have 64 entries of a sync.
const SHARDS: u8 = 16;

/// How long one content key is used.
const CONTENT_KEY_TIME: Duration = Duration::from_secs(60);

/// Content keys that are kept open.
const OPENED_KEYS_MAX: usize = 256;

/// Messages above this many octets are sealed and opened on a thread that may block.
const INLINE_BYTES_MAX: usize = 64 * 1024;

/// Makes and removes the journals of the queue. Implemented by the server.
pub trait Logs: Send + Sync {
    /// Opens the journal in the directory `relay/<slot>`, or makes it.
    fn open(&self, slot: u32) -> BoxFuture<'_, Result<Arc<dyn Log>, String>>;
    /// Closes that journal, if it is open, and removes all its files.
    fn remove(&self, slot: u32) -> BoxFuture<'_, Result<(), String>>;
    /// The slots that hold anything.
    fn slots(&self) -> BoxFuture<'_, Result<Vec<u32>, String>>;
}

/// What the queue is given to work with.
#[derive(Clone)]
pub struct World {
    /// The data directory.
    pub disk: Arc<dyn Disk>,
    /// The queue's root key, from outside the data directory.
    pub root: Key,
    /// The journals.
    pub logs: Arc<dyn Logs>,
    /// Time.
    pub clock: Arc<dyn Clock>,
    /// Randomness.
    pub entropy: Arc<dyn Entropy>,
    /// Where events go.
    pub events: EventLog,
}

/// Where an item lies.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Place {
    pub epoch: u32,
    pub object: ObjectId,
    pub at: Address,
    /// Its newest progress.
    pub progress: Option<Address>,
}

impl Place {
    /// The frames of an item.
    pub fn frames(&self) -> Vec<Address> {
        std::iter::once(self.at).chain(self.progress).collect()
    }
}

/// The journal's number for what belongs to an object.
pub(super) fn shard(object: &ObjectId) -> AccountNumber {
    AccountNumber(1 + u32::from(object.0[15] % SHARDS))
}

/// All numbers that [`shard`] gives.
pub(super) fn shards() -> impl Iterator<Item = AccountNumber> {
    (1..=u32::from(SHARDS)).map(AccountNumber)
}

/// A day that has items or takes them.
pub(super) struct Day {
    pub number: u32,
    pub day: i64,
    pub slot: u32,
    pub log: Arc<dyn Log>,
    /// All that accepting needs.
    seal: SealKey,
    open: OpenKey,
}

/// Why an item could not be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in super::super) enum ReadFailure {
    /// It will never be readable.
    Damaged,
    /// Perhaps later.
    Disk,
}

/// Why the queue cannot be opened.
#[derive(Debug)]
pub enum OpenError {
    /// The file of key pairs.
    Epochs(EpochsError),
    /// There are journals but no file of key pairs: what they hold cannot be read, and is not
    /// thrown away either.
    KeysMissing,
    /// A journal, with the words of who opened it.
    Journal(String),
}

pub(super) struct Storage {
    pub world: World,
    file: tokio::sync::Mutex<Epochs>,
    days: RwLock<Days>,
    minute: Mutex<Option<Minute>>,
    opened: Mutex<HashMap<Vec<u8>, ContentKey>>,
}

#[derive(Default)]
struct Days {
    all: BTreeMap<u32, Arc<Day>>,
    current: Option<Arc<Day>>,
    /// Days with items that could not be read: never removed by this process.
    kept: Vec<u32>,
}

/// The content key of the minute.
struct Minute {
    epoch: u32,
    began: Instant,
    content: ContentKey,
}

/// An item that was just stored.
pub(super) struct Stored {
    pub place: Place,
    pub envelope: Envelope,
    /// Keeps the day until the item is known.
    pub _day: Arc<Day>,
}

impl Storage {
    /// Opens the journals of all days, and begins today's.
    pub async fn open(world: World) -> Result<Storage, OpenError> {
        let loaded = Epochs::load(&*world.disk, &world.root).map_err(OpenError::Epochs)?;
        let is_new = loaded.is_none();
        let epochs = loaded.unwrap_or_default();
        for slot in world.logs.slots().await.map_err(OpenError::Journal)? {
            if epochs.all().iter().any(|epoch| epoch.slot == slot) {
                continue;
            }
            if is_new {
                return Err(OpenError::KeysMissing);
            }
            // Its secret was destroyed, or it never had one: the rest of an end or a beginning.
            world.logs.remove(slot).await.map_err(OpenError::Journal)?;
        }
        let mut days = Days::default();
        for epoch in epochs.all() {
            days.all.insert(epoch.number, Arc::new(open_day(&world, epoch).await?));
        }
        let storage = Storage {
            file: tokio::sync::Mutex::new(epochs),
            days: RwLock::new(days),
            minute: Mutex::new(None),
            opened: Mutex::new(HashMap::new()),
            world,
        };
        storage.begin_day().await?;
        Ok(storage)
    }

    /// All days, oldest first.
    pub fn days(&self) -> Vec<Arc<Day>> {
        self.read_days().all.values().cloned().collect()
    }

    fn day(&self, number: u32) -> Option<Arc<Day>> {
        self.read_days().all.get(&number).cloned()
    }

    fn read_days(&self) -> std::sync::RwLockReadGuard<'_, Days> {
        self.days.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn write_days(&self) -> std::sync::RwLockWriteGuard<'_, Days> {
        self.days.write().unwrap_or_else(PoisonError::into_inner)
    }

    /// Remembers that a day's journal holds something that could not be read.
    pub fn keep(&self, number: u32) {
        self.write_days().kept.push(number);
    }

    /// Makes sure that what is accepted from now on goes to today's journal. While that fails the
    /// old one goes on.
    pub async fn begin_day(&self) -> Result<(), OpenError> {
        let today = epochs::day(self.world.clock.now());
        let mut file = self.file.lock().await;
        if self.read_days().current.as_ref().is_some_and(|current| current.day == today) {
            return Ok(());
        }
        let known = self.read_days().all.values().rev().find(|day| day.day == today).cloned();
        let day = match known {
            Some(day) => day,
            None => self.make_day(&mut file).await?,
        };
        let mut days = self.write_days();
        days.all.insert(day.number, Arc::clone(&day));
        days.current = Some(day);
        Ok(())
    }

    async fn make_day(&self, file: &mut Epochs) -> Result<Arc<Day>, OpenError> {
        let world = &self.world;
        let mut epochs = file.clone();
        let epoch = epochs.begin(world.clock.now()).map_err(OpenError::Epochs)?.clone();
        // What an end left behind in the slot must not be taken for this day's.
        world.logs.remove(epoch.slot).await.map_err(OpenError::Journal)?;
        let made = world.disk.create_dir("relay").and_then(|()| world.disk.sync_dir(""));
        made.and_then(|()| epochs.store(&*world.disk, &world.root, &*world.entropy))
            .map_err(|error| OpenError::Epochs(EpochsError::Io(error)))?;
        *file = epochs;
        let opened = open_day(world, &epoch).await;
        if opened.is_err() {
            // Nothing was stored in it; the next one that is made leaves it out of the file.
            file.end(epoch.number);
        }
        Ok(Arc::new(opened?))
    }

    /// Ends each day but the current for which `is_empty` says so.
    pub async fn end_days(&self, is_empty: impl Fn(u32) -> bool) {
        for day in self.days() {
            let number = day.number;
            drop(day);
            let Some(day) = self.take_day(number, &is_empty) else { continue };
            if let Err(error) = self.end_day(day).await {
                self.world.events.emit(&QueueEvent::DayNotEnded { error: &error });
            }
        }
    }

    /// Takes a day out if it is past, nobody is about to store anything in it, and it is empty: in
    /// this order, for what is being stored shows itself first by the handle and then as an item.
    fn take_day(&self, number: u32, is_empty: &impl Fn(u32) -> bool) -> Option<Arc<Day>> {
        let mut days = self.write_days();
        let is_current = days.current.as_ref().is_some_and(|current| current.number == number);
        if is_current || days.kept.contains(&number) {
            return None;
        }
        let day = days.all.remove(&number)?;
        match Arc::strong_count(&day) == 1 && is_empty(number) {
            true => Some(day),
            false => {
                days.all.insert(number, day);
                None
            }
        }
    }

    /// First the secret, then the journal: what is left of the latter by a crash opens for nobody.
    /// While the secret is there, so is the day: what is still to be erased in it must be.
    async fn end_day(&self, day: Arc<Day>) -> Result<(), String> {
        let world = &self.world;
        let mut file = self.file.lock().await;
        let mut epochs = file.clone();
        epochs.end(day.number);
        let slot = day.slot;
        if let Err(error) = epochs.store(&*world.disk, &world.root, &*world.entropy) {
            self.write_days().all.insert(day.number, day);
            return Err(format!("{}: {error}", epochs::FILE));
        }
        *file = epochs;
        self.forget_keys(day.number);
        drop(day);
        world.logs.remove(slot).await
    }

    /// Stores a message. When it returns, it is durable.
    pub async fn store(
        &self,
        message: &Outgoing,
        object: ObjectId,
    ) -> Result<Stored, EnqueueError> {
        let day = self.read_days().current.clone().ok_or(EnqueueError::TryLater)?;
        let content = self.content_key(&day).ok_or(EnqueueError::TryLater)?;
        let keys = content.item(day.number, &object);
        let envelope = convert::envelope(message);
        let head = keys.seal_head(&content, &envelope, &*self.world.entropy);
        let head = head.ok_or(EnqueueError::TryLater)?;
        let body = self.seal_message(keys, Arc::clone(&message.message)).await;
        let body = body.ok_or(EnqueueError::TryLater)?;
        let body = match body.len() > LARGE_BODY_BYTES {
            true => Body::Large(day.log.write_large(object, body).await.map_err(refusal)?),
            false => Body::Inline(body),
        };
        let is_large = matches!(body, Body::Large(_));
        let entry = Entry { class: Class::Arrival, account: shard(&object), object, head, body };
        let appended = day.log.submit(vec![entry]).await;
        if let Err(error) = &appended
            && is_large
            && !matches!(error, AppendError::Failed | AppendError::Closed)
        {
            day.log.discard_large(object);
        }
        let at = appended.map_err(refusal)?.first().copied().ok_or(EnqueueError::TryLater)?;
        let place = Place { epoch: day.number, object, at, progress: None };
        Ok(Stored { place, envelope, _day: day })
    }

    async fn seal_message(&self, keys: ItemKeys, message: Arc<Vec<u8>>) -> Option<Vec<u8>> {
        let entropy = Arc::clone(&self.world.entropy);
        let is_small = message.len() <= INLINE_BYTES_MAX;
        let work = move || keys.seal_message(&message, &*entropy);
        match is_small {
            true => work(),
            false => tokio::task::spawn_blocking(work).await.ok()?,
        }
    }

    /// The content key of this minute.
    fn content_key(&self, day: &Day) -> Option<ContentKey> {
        let now = self.world.clock.monotonic();
        let mut minute = self.minute.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(known) = &*minute
            && known.epoch == day.number
            && now.since(known.began) < CONTENT_KEY_TIME
        {
            return Some(known.content.clone());
        }
        let content = ContentKey::fresh(&day.seal, &*self.world.entropy).ok()?;
        let epoch = day.number;
        *minute = Some(Minute { epoch, began: now, content: content.clone() });
        Some(content)
    }

    /// Reads an item whole.
    pub async fn read(&self, place: Place) -> Result<Outgoing, ReadFailure> {
        let day = self.day(place.epoch).ok_or(ReadFailure::Damaged)?;
        let (keys, envelope) = self.open_item(&day, place.at, &place.object)?;
        let read = move || {
            let body = day.log.reader().body(place.at).map_err(failure)?;
            keys.open_message(&body).ok_or(ReadFailure::Damaged)
        };
        let message = tokio::task::spawn_blocking(read).await.map_err(|_| ReadFailure::Disk)??;
        Ok(convert::outgoing(envelope, message.expose().to_vec()))
    }

    /// Reads an item's envelope.
    pub fn envelope(&self, place: Place) -> Result<Envelope, ReadFailure> {
        let day = self.day(place.epoch).ok_or(ReadFailure::Damaged)?;
        self.open_item(&day, place.at, &place.object).map(|(_, envelope)| envelope)
    }

    /// The head of an item, opened.
    pub fn open_item(
        &self,
        day: &Day,
        at: Address,
        object: &ObjectId,
    ) -> Result<(ItemKeys, Envelope), ReadFailure> {
        let head = day.log.reader().head(at).map_err(failure)?;
        let sealed = seal::sealed_key(&head).ok_or(ReadFailure::Damaged)?;
        let content = self.opened(day, sealed).ok_or(ReadFailure::Damaged)?;
        let keys = content.item(day.number, object);
        let envelope = keys.open_head(&head).ok_or(ReadFailure::Damaged)?;
        Ok((keys, envelope))
    }

    fn opened(&self, day: &Day, sealed: &[u8]) -> Option<ContentKey> {
        if let Some(known) = self.opened_keys().get(sealed) {
            return Some(known.clone());
        }
        let content = ContentKey::open(sealed, &day.open)?;
        let mut opened = self.opened_keys();
        if opened.len() >= OPENED_KEYS_MAX {
            opened.clear();
        }
        opened.insert(sealed.to_vec(), content.clone());
        Some(content)
    }

    fn opened_keys(&self) -> MutexGuard<'_, HashMap<Vec<u8>, ContentKey>> {
        self.opened.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Forgets what a day's secret opens: it would outlive it in memory else.
    fn forget_keys(&self, epoch: u32) {
        self.forget_opened();
        let mut minute = self.minute.lock().unwrap_or_else(PoisonError::into_inner);
        drop(minute.take_if(|minute| minute.epoch == epoch));
    }

    /// How many content keys are in memory.
    #[cfg(test)]
    pub fn content_keys(&self) -> usize {
        let minute = self.minute.lock().unwrap_or_else(PoisonError::into_inner);
        self.opened_keys().len() + usize::from(minute.is_some())
    }

    /// Forgets the content keys that were opened.
    pub fn forget_opened(&self) {
        self.opened_keys().clear();
    }

    /// The entry that records how far an item has come.
    pub fn progress_entry(&self, place: Place, progress: &Progress) -> Result<Entry, ReadFailure> {
        let day = self.day(place.epoch).ok_or(ReadFailure::Damaged)?;
        let (keys, _) = self.open_item(&day, place.at, &place.object)?;
        let head = keys.seal_progress(progress, &*self.world.entropy);
        let head = head.ok_or(ReadFailure::Damaged)?;
        let account = shard(&place.object);
        let (class, object) = (Class::Account, place.object);
        Ok(Entry { class, account, object, head, body: Body::None })
    }

    /// The entry that erases `frames`, all of one shard.
    pub fn tombstone(&self, account: AccountNumber, frames: &[Address]) -> Entry {
        Entry::tombstone(account, ObjectId::random(&*self.world.entropy), frames)
    }

    /// Appends to a day's journal. A day that is gone has nothing left to record.
    pub async fn append(
        &self,
        epoch: u32,
        batch: Vec<Entry>,
    ) -> Result<Option<Vec<Address>>, AppendError> {
        match self.day(epoch) {
            Some(day) => day.log.submit(batch).await.map(Some),
            None => Ok(None),
        }
    }
}

async fn open_day(world: &World, epoch: &Epoch) -> Result<Day, OpenError> {
    let key = |error| OpenError::Epochs(EpochsError::Key(error));
    let (seal, open) = (epoch.seal_key().map_err(key)?, epoch.open_key().map_err(key)?);
    let log = world.logs.open(epoch.slot).await.map_err(OpenError::Journal)?;
    Ok(Day { number: epoch.number, day: epoch.day, slot: epoch.slot, log, seal, open })
}

fn refusal(error: AppendError) -> EnqueueError {
    match error {
        AppendError::Full => EnqueueError::Full,
        _ => EnqueueError::TryLater,
    }
}

fn failure(error: ReadError) -> ReadFailure {
    match error {
        ReadError::Io(_) => ReadFailure::Disk,
        ReadError::Unknown(_) | ReadError::Erased(_) | ReadError::Damaged(..) => {
            ReadFailure::Damaged
        }
    }
}

impl std::fmt::Display for OpenError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            OpenError::Epochs(error) => error.fmt(f),
            OpenError::KeysMissing => write!(
                f,
                "{}: missing, and there are journals of the queue; put it back, or remove the \
                 directory `relay` if what was queued is to be given up",
                epochs::FILE
            ),
            OpenError::Journal(error) => f.write_str(error),
        }
    }
}

impl std::error::Error for OpenError {}
