//! What a start finds: one pass over each day's journal, newest frame first.
//!
//! Messages stay on the disk; an item costs its compact state only. A progress that is met before
//! its item is remembered by its address and read when the item comes. Items are given out, whether
//! or not they had been: one that never was belongs to a client that heard no 250, which may send
//! it a second time, but must not lose it.
//!
//! An item whose newest progress cannot be read is held: it may have been on hold, and who was
//! reached is not known. So is one without any progress before which, on the way from the newest
//! frame, something was damaged: that may have been its progress.

use super::events::QueueEvent;
use super::storage::{Day, Place, ReadFailure, Storage, shards};
use crate::base::ids::{AccountNumber, ObjectId};
use crate::journal::{Address, Class, FrameInfo, ReadError};
use crate::queue::{
    Due, Envelope, ItemId, Machine, NewItem, Progress, RecipientProgress, Restored, Trouble,
};
use std::collections::HashMap;

/// What was found.
#[derive(Default)]
pub(super) struct Found {
    pub places: HashMap<ItemId, Place>,
    /// Frames that a newer one has made useless.
    pub useless: Vec<(u32, AccountNumber, Address)>,
    /// Frames that should be items, or their progress, and do not open.
    pub unreadable: u64,
}

/// Goes through a day.
pub(super) fn restore(
    storage: &Storage,
    day: &Day,
    machine: &mut Machine,
    at: Due,
    found: &mut Found,
) {
    let unreadable = found.unreadable;
    for shard in shards() {
        let mut walk = Walk { storage, day, shard, at, progress: HashMap::new(), damage: false };
        walk.run(machine, found);
    }
    if found.unreadable > unreadable {
        storage.keep(day.number);
    }
}

struct Walk<'a> {
    storage: &'a Storage,
    day: &'a Day,
    shard: AccountNumber,
    at: Due,
    /// The newest progress of items that were not met yet.
    progress: HashMap<ObjectId, Address>,
    /// A frame was passed that nobody knows to be whose.
    damage: bool,
}

/// It was recorded, and cannot be read.
struct Lost;

impl Walk<'_> {
    fn run(&mut self, machine: &mut Machine, found: &mut Found) {
        let reader = self.day.log.reader().clone();
        let mut next = reader.account(self.shard).last;
        while let Some(at) = next {
            next = match reader.info(at) {
                Ok(info) => {
                    if !info.dead {
                        self.take(at, &info, machine, found);
                    }
                    info.previous
                }
                Err(error) => {
                    found.unreadable += 1;
                    self.damage = true;
                    match error {
                        ReadError::Io(_) => None,
                        _ => reader.earlier(self.shard, at).unwrap_or(None),
                    }
                }
            };
        }
        let useless = self.progress.drain().map(|(_, at)| (self.day.number, self.shard, at));
        if found.unreadable == 0 {
            found.useless.extend(useless);
        }
    }

    fn take(&mut self, at: Address, info: &FrameInfo, machine: &mut Machine, found: &mut Found) {
        match info.class {
            Class::Tombstone => {}
            Class::Account => {
                let newest = *self.progress.entry(info.object).or_insert(at);
                if newest != at {
                    found.useless.push((self.day.number, self.shard, at));
                }
            }
            Class::Arrival => {
                if self.take_item(at, info, machine, found).is_err() {
                    found.unreadable += 1;
                }
            }
        }
    }

    fn take_item(
        &mut self,
        at: Address,
        info: &FrameInfo,
        machine: &mut Machine,
        found: &mut Found,
    ) -> Result<(), ReadFailure> {
        let newest = self.progress.remove(&info.object);
        let (keys, envelope) = self.storage.open_item(self.day, at, &info.object)?;
        let read = |at| {
            let head = self.day.log.reader().head(at).ok()?;
            keys.open_progress(&head)
        };
        let stored = match newest {
            Some(at) => read(at).map(Some).ok_or(Lost),
            None if self.damage => Err(Lost),
            None => Ok(None),
        };
        let id = ItemId::of(&info.object);
        let progress = stored.unwrap_or_else(|Lost| {
            found.unreadable += 1;
            self.storage.world.events.emit(&QueueEvent::ProgressLost { id: id.into() });
            Some(held(&envelope))
        });
        let item = NewItem { id, envelope: &envelope, bytes: info.body_bytes };
        machine.restore(Restored { item, progress }, self.at);
        let (epoch, object) = (self.day.number, info.object);
        found.places.insert(id, Place { epoch, object, at, progress: newest });
        Ok(())
    }
}

/// The progress of an item of which nothing is known: nothing more is begun, and no report quotes
/// what may have been sealed.
fn held(envelope: &Envelope) -> Progress {
    let text = "what was recorded of this message cannot be read, so that it is held: who was \
                reached already would get it twice";
    let trouble = Some(Trouble::new(None, "4.3.0", text));
    let recipient = RecipientProgress { sealed: true, trouble, ..RecipientProgress::default() };
    let recipients = vec![recipient; envelope.recipients.len()];
    Progress { held: true, recipients, ..Progress::default() }
}
