//! An unlocked account as the rest of the role sees it: what is published, and where requests go.

use super::board::{Board, Visit};
use super::cache::BodyCache;
use super::handle::ApplyError;
use super::life::Limit;
use super::opened::{Opened, Room};
use crate::account::{Catalog, Command, MailboxId, MailboxView, Opener, Outcome};
use crate::base::budget::ByteBudget;
use crate::base::ids::AccountNumber;
use crate::journal::Address;
use crate::vault::Unlocked;
use std::collections::BTreeMap;
use std::ops::Range;
use std::sync::{Arc, Mutex, OnceLock, PoisonError, Weak};
use tokio::sync::{Notify, mpsc, oneshot, watch};
use tokio::time::Instant;

/// What sessions see of the account, all of it durable.
#[derive(Clone)]
pub struct Shown {
    /// The mailboxes.
    pub catalog: Arc<Catalog>,
    /// Their messages.
    pub views: Arc<BTreeMap<MailboxId, Arc<MailboxView>>>,
    /// What opens messages.
    pub opener: Opener,
}

/// What is asked of the task.
pub enum Request {
    /// A change.
    Apply(Command, oneshot::Sender<Result<Outcome, ApplyError>>),
    /// To claim messages as recent.
    ClaimRecent(MailboxId, oneshot::Sender<Range<u32>>),
}

type SessionCache = Mutex<BodyCache<Address, Room>>;

/// What waits to be given its places.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Tray {
    /// Something may wait.
    waits: bool,
    /// Batches that were gone through, with success or not.
    batches: u64,
}

/// An unlocked account as the rest of the role sees it.
pub struct Resident {
    account: AccountNumber,
    board: Arc<Board<Shown>>,
    requests: mpsc::Sender<Request>,
    nudge: Notify,
    tray: watch::Sender<Tray>,
    limit: watch::Sender<Limit>,
    unlocked: Mutex<Option<Unlocked>>,
    caches: Mutex<Vec<Weak<SessionCache>>>,
    appends: OnceLock<ByteBudget>,
    opened: OnceLock<Opened>,
}

impl Resident {
    /// An account that shows `first` and is unlocked until `limit` says otherwise.
    pub fn new(
        unlocked: Unlocked,
        first: Shown,
        limit: Limit,
        requests: mpsc::Sender<Request>,
    ) -> Arc<Resident> {
        Arc::new(Resident {
            account: unlocked.account(),
            board: Board::new(first),
            requests,
            nudge: Notify::new(),
            tray: watch::Sender::new(Tray { waits: true, batches: 0 }),
            limit: watch::Sender::new(limit),
            unlocked: Mutex::new(Some(unlocked)),
            caches: Mutex::default(),
            appends: OnceLock::new(),
            opened: OnceLock::new(),
        })
    }

    /// Whose.
    pub fn account(&self) -> AccountNumber {
        self.account
    }

    /// The witness of this unlock; `None` once it is over.
    pub fn unlocked(&self) -> Option<Unlocked> {
        self.unlocked.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Says that something has arrived.
    pub fn nudge(&self) {
        self.tray.send_modify(|tray| tray.waits = true);
        self.nudge.notify_one();
    }

    /// Says that a batch of what waited was gone through.
    pub fn batch_filed(&self) {
        self.tray.send_modify(|tray| tray.batches += 1);
    }

    /// Says that nothing waits.
    pub fn tray_empty(&self) {
        self.tray.send_modify(|tray| tray.waits = false);
    }

    /// Returns when nothing waits to be given its places, or when one more batch was.
    pub async fn next_batch(&self) {
        let mut tray = self.tray.subscribe();
        let before = tray.borrow().batches;
        // The resident holds the sender, so that this ends by its condition alone.
        let _ = tray.wait_for(|tray| !tray.waits || tray.batches > before).await;
    }

    /// Waits until something has arrived. A nudge that nobody waited for is kept.
    pub async fn nudged(&self) {
        self.nudge.notified().await;
    }

    /// Shows a new state, all of it durable.
    pub fn publish(&self, shown: Shown) {
        self.board.publish(shown);
    }

    /// Goes on with a witness that has a new index key.
    pub fn adopt(&self, unlocked: Unlocked) {
        *self.unlocked.lock().unwrap_or_else(PoisonError::into_inner) = Some(unlocked);
    }

    /// How many sessions there are; wakes when the number changes.
    pub fn visitors(&self) -> watch::Receiver<usize> {
        self.board.visitors()
    }

    /// How long it stays unlocked; wakes when that changes.
    pub fn limit(&self) -> watch::Receiver<Limit> {
        self.limit.subscribe()
    }

    /// Where requests go.
    pub fn requests(&self) -> &mpsc::Sender<Request> {
        &self.requests
    }

    /// Counts a session in, and gives it its cache, which is emptied when the account locks.
    pub fn seat(&self, cache_bytes_max: u64) -> (Visit<Shown>, Arc<SessionCache>) {
        let cache = Arc::new(Mutex::new(BodyCache::new(cache_bytes_max)));
        let mut caches = self.caches.lock().unwrap_or_else(PoisonError::into_inner);
        caches.retain(|cache| cache.strong_count() > 0);
        caches.push(Arc::downgrade(&cache));
        (self.board.visit(), cache)
    }

    /// What all its sessions may hold by APPEND: `limit_bytes`, as the first of them says.
    pub fn appends(&self, limit_bytes: u64) -> &ByteBudget {
        self.appends.get_or_init(|| ByteBudget::new(limit_bytes))
    }

    /// Its share of `all` that may be open.
    pub fn opened(&self, all: &Opened) -> &Opened {
        self.opened.get_or_init(|| all.share())
    }

    /// Gives back the room of all that its sessions keep.
    pub fn forget_bodies(&self) {
        let caches = self.caches.lock().unwrap_or_else(PoisonError::into_inner);
        for cache in caches.iter().filter_map(Weak::upgrade) {
            cache.lock().unwrap_or_else(PoisonError::into_inner).clear();
        }
    }

    /// Keeps the account unlocked until then, sessions or not.
    pub fn hold(&self, until: Instant) {
        self.limit.send_replace(Limit { until, held: true });
    }

    /// Takes away what opens anything.
    pub fn lock(&self) {
        self.unlocked.lock().unwrap_or_else(PoisonError::into_inner).take();
        self.board.lock();
        let mut caches = self.caches.lock().unwrap_or_else(PoisonError::into_inner);
        for cache in caches.drain(..).filter_map(|cache| cache.upgrade()) {
            cache.lock().unwrap_or_else(PoisonError::into_inner).clear();
        }
    }
}
