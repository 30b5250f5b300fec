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

/// How long after one record the next is begun: a busy queue gathers what many syncs would take.
const GATHER_TIME: Duration = Duration::from_millis(20);

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
            // The first change of a quiet time is recorded at once; of many, some together.
            tokio::time::sleep(GATHER_TIME).await;
            if self.pending().is_empty() {
                self.0.changed.notified().await;
            }
        }
    }

    /// Records all that has changed until now. When it returns `Ok`, that is durable; what was
    /// refused stays to be recorded, as does everything if the future is dropped.
    pub async fn record(&self) -> Result<(), AppendError> {
        let _one_at_a_time = self.0.recording.lock().await;
        let mut taken = Taken::of(self);
        let result = self.write_all(&mut taken).await;
        if result.is_err() {
            let items = taken.left.len() as u64;
            self.emit(&QueueEvent::NotRecorded { items });
        }
        result
    }

    async fn write_all(&self, taken: &mut Taken<'_>) -> Result<(), AppendError> {
        let ids: Vec<_> = taken.left.iter().copied().collect();
        for some in ids.chunks(BATCH_ITEMS_MAX) {
            for (epoch, batch) in self.batches(some, taken) {
                self.write(epoch, batch, taken).await?;
            }
        }
        self.erase(taken).await?;
        match taken.left.is_empty() {
            true => Ok(()),
            false => Err(AppendError::Failed),
        }
    }

    /// What is to be written for some items, by day. Those that are finished leave; what cannot be
    /// read now is left for later.
    fn batches(&self, ids: &[ItemId], taken: &mut Taken<'_>) -> Vec<(u32, Batch)> {
        let mut batches: Vec<(u32, Batch)> = Vec::new();
        for id in ids.iter().copied() {
            if self.machine().is_finished(id) {
                self.leave(id, taken);
                continue;
            }
            let place = self.places().get(&id).copied();
            let progress = self.machine().progress(id, self.at());
            let (Some(place), Some(progress)) = (place, progress) else {
                taken.left.remove(&id);
                continue;
            };
            let entry = match self.0.storage.progress_entry(place, &progress) {
                Ok(entry) => entry,
                Err(ReadFailure::Disk) => continue,
                Err(ReadFailure::Damaged) => {
                    // It lives on in memory. After a restart it cannot be read either.
                    self.emit(&QueueEvent::Damaged { id: id.into() });
                    taken.left.remove(&id);
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
    fn leave(&self, id: ItemId, taken: &mut Taken<'_>) {
        self.machine().remove(id);
        self.forget(id);
        taken.left.remove(&id);
        if let Some(place) = self.places().remove(&id) {
            taken.erase.gone(place);
            self.emit(&QueueEvent::Removed { id: id.into() });
        }
    }

    async fn write(
        &self,
        epoch: u32,
        mut batch: Batch,
        taken: &mut Taken<'_>,
    ) -> Result<(), AppendError> {
        for (shard, frames) in &batch.erased {
            if !frames.is_empty() {
                batch.entries.push(self.0.storage.tombstone(*shard, frames));
            }
        }
        let shards: Vec<_> = batch.entries.iter().map(|entry| entry.account).collect();
        let written = self.0.storage.append(epoch, batch.entries).await?;
        let written = written.unwrap_or_default().into_iter().zip(shards);
        for (id, (at, shard)) in batch.items.into_iter().zip(written) {
            taken.left.remove(&id);
            match self.places().get_mut(&id) {
                Some(place) => place.progress = Some(at),
                // It was taken away while this was being written.
                None => taken.erase.useless(vec![(epoch, shard, at)]),
            }
        }
        Ok(())
    }

    /// Writes tombstones, those of all shards of a day at once: each append is a sync.
    async fn erase(&self, taken: &mut Taken<'_>) -> Result<(), AppendError> {
        while let Some((epoch, _)) = taken.erase.useless.keys().next().copied() {
            let of_day = (epoch, AccountNumber(0))..=(epoch, AccountNumber(u32::MAX));
            let some = |frames: &Vec<Address>| frames.len().min(TOMBSTONE_FRAMES_MAX);
            let entries = taken.erase.useless.range(of_day.clone());
            let entries = entries
                .map(|((_, shard), all)| self.0.storage.tombstone(*shard, &all[..some(all)]));
            let entries: Vec<Entry> = entries.collect();
            self.0.storage.append(epoch, entries).await?;
            for (_, frames) in taken.erase.useless.range_mut(of_day) {
                frames.drain(..some(frames));
            }
            taken.erase.useless.retain(|_, frames| !frames.is_empty());
        }
        Ok(())
    }
}

/// What is being recorded. What is left of it when this is dropped stays to be recorded, however
/// the recording ended.
struct Taken<'a> {
    queue: &'a Queue,
    left: BTreeSet<ItemId>,
    erase: Pending,
}

impl<'a> Taken<'a> {
    fn of(queue: &'a Queue) -> Taken<'a> {
        let mut erase = std::mem::take(&mut *queue.pending());
        Taken { queue, left: std::mem::take(&mut erase.dirty), erase }
    }
}

impl Drop for Taken<'_> {
    fn drop(&mut self) {
        let mut pending = self.queue.pending();
        pending.dirty.append(&mut self.left);
        for (key, frames) in std::mem::take(&mut self.erase.useless) {
            pending.useless.entry(key).or_default().extend(frames);
        }
    }
}
