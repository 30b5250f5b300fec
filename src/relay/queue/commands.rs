//! What the administrator sees of the queue and does to it.
//!
//! Each change is durable when its call returns; where the disk refuses, it holds in memory, is
//! recorded as soon as that works, and the caller hears so.

use super::super::outgoing::QueueId;
use super::Queue;
use super::events::QueueEvent;
use crate::base::clock::UnixTime;
use crate::mail::Address;
use crate::queue::{ItemId, Standing, View};

/// One item of a list.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Line {
    /// Its name.
    pub id: QueueId,
    /// When it was accepted.
    pub accepted: UnixTime,
    /// Octets of its message.
    pub bytes: u64,
    /// `waiting`, `held`, or `accepting` where its client was not answered yet.
    pub state: &'static str,
    /// When the next attempt is.
    pub next: Option<UnixTime>,
    /// The reverse path; nothing for the null one, or where the item cannot be read.
    pub from: Option<Address>,
    /// Its recipients; none where the item cannot be read.
    pub recipients: Vec<RecipientLine>,
}

/// One recipient of a [`Line`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RecipientLine {
    /// The address.
    pub address: Address,
    /// `waiting`, `held`, `delivered` or `failed`.
    pub state: &'static str,
    /// Attempts so far.
    pub attempts: u16,
    /// The status code of what happened last.
    pub status: Option<String>,
    /// What happened last, in words; begins with the server's name where one said so.
    pub text: Option<String>,
}

/// A place in the list of all items.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct After {
    /// When the item was accepted.
    pub accepted: UnixTime,
    /// Its name.
    pub id: QueueId,
}

/// Why a command was not carried out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CommandError {
    /// There is no such item.
    NoSuchItem,
    /// It is done, but could not be made durable yet.
    NotRecorded,
}

impl Queue {
    /// All items, oldest first, at most `most`; and how many more there are. With `after`, only
    /// those behind that one of an earlier list, whether it is still there or not.
    pub async fn list(&self, after: Option<After>, most: usize) -> (Vec<Line>, usize) {
        let mut ids =
            self.machine().ids_after(after.map(|after| (after.accepted, after.id.into())));
        let more = ids.len().saturating_sub(most);
        ids.truncate(most);
        let queue = self.clone();
        let work = move || ids.into_iter().filter_map(|id| queue.line(id)).collect();
        (tokio::task::spawn_blocking(work).await.unwrap_or_default(), more)
    }

    /// One item.
    pub async fn show(&self, id: QueueId) -> Result<Line, CommandError> {
        let queue = self.clone();
        let work = move || queue.line(id.into());
        let line = tokio::task::spawn_blocking(work).await.unwrap_or_default();
        line.ok_or(CommandError::NoSuchItem)
    }

    /// Tries an item now, or all. Held ones stay.
    pub fn flush(&self, id: Option<QueueId>) -> Result<(), CommandError> {
        let now = self.at().now;
        let ids = id.map_or_else(|| self.machine().ids(), |id| vec![id.into()]);
        let flushed = ids.into_iter().filter(|id| self.machine().flush(*id, now)).count();
        self.wake();
        match id {
            Some(_) if flushed == 0 => Err(CommandError::NoSuchItem),
            _ => Ok(()),
        }
    }

    /// Holds an item: nothing more is tried until it is released.
    pub async fn hold(&self, id: QueueId) -> Result<(), CommandError> {
        let is_there = self.machine().hold(id.into());
        self.command(id, is_there, "hold").await
    }

    /// Ends a hold, whoever laid it, and tries the item at once. The plan is made anew; where it
    /// would hold the item again, the item goes out plain: whoever releases has decided that.
    pub async fn unhold(&self, id: QueueId) -> Result<(), CommandError> {
        let now = self.at().now;
        let is_there = self.machine().unhold(id.into(), now);
        self.wake();
        self.command(id, is_there, "release").await
    }

    /// Takes an item away. What is under way to a server may still arrive there. Nobody is told.
    pub async fn delete(&self, id: QueueId) -> Result<(), CommandError> {
        let is_there = self.drop_item(id.into());
        self.command(id, is_there, "delete").await
    }

    async fn command(
        &self,
        id: QueueId,
        is_there: bool,
        what: &'static str,
    ) -> Result<(), CommandError> {
        if !is_there {
            return Err(CommandError::NoSuchItem);
        }
        self.emit(&QueueEvent::Command { id, what });
        self.note_change(id.into());
        self.record().await.map_err(|_| CommandError::NotRecorded)
    }

    fn line(&self, id: ItemId) -> Option<Line> {
        let view = self.machine().view(id, self.at())?;
        let place = self.places().get(&id).copied()?;
        let envelope = self.0.storage.envelope(place).ok();
        let state = match &view {
            View { released: false, .. } => "accepting",
            View { held: true, .. } => "held",
            _ if view.recipients.iter().any(|it| it.standing == Standing::Held) => "held",
            _ => "waiting",
        };
        let (from, addresses) = envelope.map_or((None, Vec::new()), |envelope| {
            let addresses = envelope.recipients.into_iter().map(|recipient| recipient.address);
            (envelope.from, addresses.collect())
        });
        let recipients = addresses.into_iter().zip(view.recipients).map(|(address, recipient)| {
            let trouble = recipient.trouble.as_deref();
            let text = trouble.map(|trouble| match &trouble.host {
                Some(host) => format!("{host}: {}", trouble.text),
                None => trouble.text.clone(),
            });
            RecipientLine {
                address,
                state: word(recipient.standing),
                attempts: recipient.attempts,
                status: trouble.map(|trouble| trouble.status.clone()),
                text,
            }
        });
        Some(Line {
            id: id.into(),
            accepted: view.accepted,
            bytes: view.bytes,
            state,
            next: view.next,
            from,
            recipients: recipients.collect(),
        })
    }
}

fn word(standing: Standing) -> &'static str {
    match standing {
        Standing::Waiting => "waiting",
        Standing::Held => "held",
        Standing::Delivered => "delivered",
        Standing::Failed => "failed",
    }
}

impl std::fmt::Display for CommandError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            CommandError::NoSuchItem => "there is no such message in the queue",
            CommandError::NotRecorded => {
                "done, but the disk did not take it yet: a restart may undo it"
            }
        })
    }
}

impl std::error::Error for CommandError {}
