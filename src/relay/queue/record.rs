//! The recorder: writes behind the machine what has changed, in order, many items at a time.
//!
//! What is recorded of an item is all of its progress, so that only the newest counts; the frame of
//! the one before is erased in the same batch. An item that is finished is erased whole. What the
//! disk refuses stays to be recorded and is tried again.

use super::Queue;
use super::events::QueueEvent;
use super::storage::{Place, ReadFailure, shard};
use crate::base::ids::AccountNumber;
use crate::journal::{Address, AppendError, Entry};
use crate::queue::ItemId;
use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

/// Items whose progress is one batch.
const BATCH_ITEMS_MAX: usize = 64;

/// Octets of one batch's heads; one that is larger by itself is a batch of its own.
const BATCH_BYTES_MAX: usize = 2 << 20;

/// Frames that one tombstone names here; the journal takes 1024.
const TOMBSTONE_FRAMES_MAX: usize = 256;

/// How long to wait after the disk has refused, at first and at most.
const RETRY_TIME: Duration = Duration::from_secs(1);
const RETRY_TIME_MAX: Duration = Duration::from_secs(60);

/// What is to be recorded.
#[derive(Default)]
pub(super) struct Pending {
    dirty: BTreeSet<ItemId>,
    /// Frames that nobody needs, by day and shard.
    useless: BTreeMap<(u32, AccountNumber), Vec<Address>>,
}

impl Pending {
    pub fn dirty(&mut self, id: ItemId) {
        self.dirty.insert(id);
    }

    pub fn gone(&mut self, place: Place) {
        let key = (place.epoch, shard(&place.object));
        self.useless.entry(key).or_default().extend(place.frames());
    }

    pub fn useless(&mut self, frames: Vec<(u32, AccountNumber, Address)>) {
        for (epoch, shard, at) in frames {
            self.useless.entry((epoch, shard)).or_default().push(at);
        }
    }

    fn is_empty(&self) -> bool {
        self.dirty.is_empty() && self.useless.is_empty()
    }

    fn put_back(&mut self, other: Pending) {
        self.dirty.extend(other.dirty);
        for (key, frames) in other.useless {
            self.useless.entry(key).or_default().extend(frames);
        }
    }
}

/// Some items of one day, about to be recorded.
#[derive(Default)]
struct Batch {
    entries: Vec<Entry>,
    /// Whose progress each of the first entries is.
    items: Vec<ItemId>,
    /// Frames that are erased with it.
    erased: BTreeMap<AccountNumber, Vec<Address>>,
    bytes: usize,
}

impl Queue {
    /// Records whenever something has changed.
    pub(super) async fn record_for_ever(&self) {
        let mut wait = RETRY_TIME;
        loop {
            match self.record().await {
                Ok(()) => wait = RETRY_TIME,
                Err(_) => {
                    tokio::time::sleep(wait).await;
                    wait = (wait * 2).min(RETRY_TIME_MAX);
                    continue;
                }
            }
            if self.pending().is_empty() {
                self.0.changed.notified().await;
            }
        }
    }

    /// Records all that has changed until now. When it returns `Ok`, that is durable; what was
    /// refused stays to be recorded.
    pub async fn record(&self) -> Result<(), AppendError> {
        let _one_at_a_time = self.0.recording.lock().await;
        let mut taken = std::mem::take(&mut *self.pending());
        let (mut failed, mut later) = (None, BTreeSet::new());
        while failed.is_none() && !taken.dirty.is_empty() {
            let some: Vec<_> = taken.dirty.iter().copied().take(BATCH_ITEMS_MAX).collect();
            taken.dirty.retain(|id| !some.contains(id));
            for (epoch, batch) in self.batches(some, &mut taken, &mut later) {
                match failed {
                    None => failed = self.write(epoch, batch, &mut taken, &mut later).await.err(),
                    Some(_) => later.extend(batch.items),
                }
            }
        }
        if failed.is_none() {
            failed = self.erase(&mut taken).await.err();
        }
        if failed.is_none() && !later.is_empty() {
            failed = Some(AppendError::Failed);
        }
        taken.dirty.extend(later);
        let items = taken.dirty.len() as u64;
        self.pending().put_back(taken);
        match failed {
            None => Ok(()),
            Some(error) => {
                self.emit(&QueueEvent::NotRecorded { items });
                Err(error)
            }
        }
    }

    /// What is to be written for some items, by day. Those that are finished leave; what cannot be
    /// read now is left for `later`.
    fn batches(
        &self,
        ids: Vec<ItemId>,
        taken: &mut Pending,
        later: &mut BTreeSet<ItemId>,
    ) -> Vec<(u32, Batch)> {
        let mut batches: Vec<(u32, Batch)> = Vec::new();
        for id in ids {
            if self.machine().is_finished(id) {
                self.leave(id, taken);
                continue;
            }
            let Some(place) = self.places().get(&id).copied() else { continue };
            let Some(progress) = self.machine().progress(id, self.at()) else { continue };
            let entry = match self.0.storage.progress_entry(place, &progress) {
                Ok(entry) => entry,
                Err(ReadFailure::Disk) => {
                    later.insert(id);
                    continue;
                }
                Err(ReadFailure::Damaged) => {
                    // It lives on in memory. After a restart it cannot be read either.
                    self.emit(&QueueEvent::Damaged { id: id.into() });
                    continue;
                }
            };
            let has_room = |(epoch, batch): &&mut (u32, Batch)| {
                *epoch == place.epoch && batch.bytes + entry.head.len() <= BATCH_BYTES_MAX
            };
            let batch = match batches.iter_mut().find(has_room) {
                Some((_, batch)) => batch,
                None => {
                    batches.push((place.epoch, Batch::default()));
                    let Some((_, batch)) = batches.last_mut() else { continue };
                    batch
                }
            };
            batch.bytes += entry.head.len();
            batch.erased.entry(entry.account).or_default().extend(place.progress);
            batch.entries.push(entry);
            batch.items.push(id);
        }
        batches
    }

    /// A finished item leaves the machine; its frames are erased.
    fn leave(&self, id: ItemId, taken: &mut Pending) {
        self.machine().remove(id);
        self.forget(id);
        if let Some(place) = self.places().remove(&id) {
            taken.gone(place);
            self.emit(&QueueEvent::Removed { id: id.into() });
        }
    }

    async fn write(
        &self,
        epoch: u32,
        mut batch: Batch,
        taken: &mut Pending,
        later: &mut BTreeSet<ItemId>,
    ) -> Result<(), AppendError> {
        for (shard, frames) in &batch.erased {
            if !frames.is_empty() {
                batch.entries.push(self.0.storage.tombstone(*shard, frames));
            }
        }
        let written = match self.0.storage.append(epoch, batch.entries).await {
            Ok(Some(addresses)) => addresses,
            Ok(None) => return Ok(()),
            Err(error) => {
                later.extend(batch.items);
                return Err(error);
            }
        };
        for (id, at) in batch.items.into_iter().zip(written) {
            let mut places = self.places();
            if let Some(place) = places.get_mut(&id) {
                place.progress = Some(at);
                continue;
            }
            drop(places);
            // It was taken away while this was being written.
            self.forget_frame(epoch, id, at, taken);
        }
        Ok(())
    }

    /// The place of the item is gone, and with it the shard; the item's frames say it still.
    fn forget_frame(&self, epoch: u32, id: ItemId, at: Address, taken: &mut Pending) {
        let log = self.0.storage.days().into_iter().find(|day| day.number == epoch);
        let info = log.and_then(|day| day.log.reader().info(at).ok());
        debug_assert!(info.is_none_or(|info| ItemId::of(&info.object) == id));
        if let Some(info) = info {
            taken.useless(vec![(epoch, info.account, at)]);
        }
    }

    async fn erase(&self, taken: &mut Pending) -> Result<(), AppendError> {
        while let Some(((epoch, shard), mut frames)) = taken.useless.pop_first() {
            let rest = frames.split_off(frames.len().min(TOMBSTONE_FRAMES_MAX));
            if !rest.is_empty() {
                taken.useless.insert((epoch, shard), rest);
            }
            let entry = self.0.storage.tombstone(shard, &frames);
            if let Err(error) = self.0.storage.append(epoch, vec![entry]).await {
                taken.useless.entry((epoch, shard)).or_default().extend(frames);
                return Err(error);
            }
        }
        Ok(())
    }
}
