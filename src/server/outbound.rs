//! Mail that goes out: the queue's key and journals, its runner, and the end of both.
//!
//! A journal is a thread of its own, as the store's is; there is one for each day that has items.

use super::sending::Sending;
use super::start::StartError;
use crate::base::BoxFuture;
use crate::base::clock::Clock;
use crate::base::crypto::Key;
use crate::base::disk::{Below, Disk};
use crate::base::entropy::Entropy;
use crate::base::event::Log as EventLog;
use crate::config::{Config, convert};
use crate::host::files;
use crate::host::journal_thread::{self, JournalThread};
use crate::journal;
use crate::queue::epochs;
use crate::relay::prepare::Preparer;
use crate::relay::queue::{Logs, World, remove_slot, slot_dir, slots};
use crate::relay::{Queue, Transmitter, runner};
use crate::seams::Deliver;
use crate::store::Log;
use std::collections::BTreeMap;
use std::io;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::{Mutex, watch};
use tokio::task::JoinHandle;

/// Octets of a segment: small, for what is written once and erased within the hour.
const SEGMENT_BYTES_MAX: u64 = 16 << 20;

/// Octets held back for erases when the disk is full.
const RESERVE_BYTES: u64 = 4 << 20;

/// How often it is looked whether the journals' threads live.
const LOOK_TIME: Duration = Duration::from_secs(5);

/// The queue and what it stands on.
pub(super) struct Outbound {
    pub queue: Queue,
    logs: Arc<QueueLogs>,
}

/// What the queue is opened with.
pub(super) struct Parts {
    pub disk: Arc<dyn Disk>,
    pub clock: Arc<dyn Clock>,
    pub entropy: Arc<dyn Entropy>,
    pub events: EventLog,
}

impl Outbound {
    /// Opens the queue; nothing is sent yet.
    pub async fn open(config: &Config, parts: Parts) -> Result<Outbound, StartError> {
        let root = root_key(config, &*parts.entropy)?;
        let logs = Arc::new(QueueLogs {
            disk: Arc::clone(&parts.disk),
            key: epochs::journal_key(&root),
            entropy: Arc::clone(&parts.entropy),
            events: parts.events.clone(),
            threads: Mutex::default(),
        });
        let world = World {
            disk: parts.disk,
            root,
            logs: Arc::<QueueLogs>::clone(&logs),
            clock: parts.clock,
            entropy: parts.entropy,
            events: parts.events,
        };
        let queue = Queue::open(world, convert::queue(config), config.queue.memory.0).await;
        Ok(Outbound { queue: queue.map_err(StartError::Queue)?, logs })
    }

    /// Starts the runner.
    pub fn run(
        &self,
        sending: &Sending,
        deliver: Arc<dyn Deliver>,
        hostname: String,
        stopping: watch::Receiver<bool>,
    ) -> JoinHandle<()> {
        let parts = runner::Parts {
            queue: self.queue.clone(),
            prepare: Arc::<Preparer>::clone(&sending.preparer),
            transmit: Arc::<Transmitter>::clone(&sending.transmitter),
            deliver,
            hostname,
        };
        tokio::spawn(runner::run(parts, stopping))
    }

    /// Returns when a journal's thread has ended by itself.
    pub async fn failed(&self) {
        loop {
            tokio::time::sleep(LOOK_TIME).await;
            for thread in self.logs.threads.lock().await.values_mut() {
                if tokio::time::timeout(Duration::ZERO, thread.ended()).await.is_ok() {
                    return;
                }
            }
        }
    }

    /// Records what is left to be recorded and closes the journals.
    pub async fn close(self) -> io::Result<()> {
        // What is not recorded is done again at the next start.
        let _ = self.queue.record().await;
        let threads = std::mem::take(&mut *self.logs.threads.lock().await);
        let stop = move || {
            // All of them, whatever the first one says.
            let stopped: Vec<io::Result<()>> =
                threads.into_values().map(|thread| thread.stop().map(drop)).collect();
            stopped.into_iter().collect()
        };
        tokio::task::spawn_blocking(stop).await.map_err(io::Error::other)?
    }
}

/// The root key is made at the first start; a queue whose key is gone is not taken over.
fn root_key(config: &Config, entropy: &dyn Entropy) -> Result<Key, StartError> {
    let path = &config.keys.queue.0;
    match files::exists(path) {
        true => files::read_key(path),
        false if files::exists(&config.server.data_dir.0.join(epochs::FILE)) => {
            return Err(StartError::QueueKeyMissing(path.clone()));
        }
        false => files::create_key(path, entropy),
    }
    .map_err(StartError::File)
}

/// The queue's journals, each with its thread.
struct QueueLogs {
    disk: Arc<dyn Disk>,
    key: Key,
    entropy: Arc<dyn Entropy>,
    events: EventLog,
    threads: Mutex<BTreeMap<u32, JournalThread>>,
}

impl QueueLogs {
    async fn open_slot(&self, slot: u32) -> Result<Arc<dyn Log>, String> {
        let (disk, key) = (Arc::clone(&self.disk), self.key.clone());
        let (entropy, events) = (Arc::clone(&self.entropy), self.events.clone());
        let open = move || {
            let below = Below::make(disk, &slot_dir(slot)).map_err(|error| error.to_string())?;
            let options = journal::Options {
                segment_bytes_max: SEGMENT_BYTES_MAX,
                reserve_bytes: RESERVE_BYTES,
                ..journal::Options::new(key)
            };
            journal_thread::start(Arc::new(below), options, entropy, None, events)
                .map_err(|error| error.to_string())
        };
        let opened = blocking(open).await;
        let (log, thread, _) = opened.map_err(|error| format!("{}: {error}", slot_dir(slot)))?;
        self.threads.lock().await.insert(slot, thread);
        Ok(Arc::new(log))
    }

    async fn remove_slot(&self, slot: u32) -> Result<(), String> {
        let thread = self.threads.lock().await.remove(&slot);
        let disk = Arc::clone(&self.disk);
        let remove = move || {
            // How it ended does not matter: its files go.
            let _ = thread.map(JournalThread::stop);
            remove_slot(&*disk, slot).map_err(|error| format!("{}: {error}", slot_dir(slot)))
        };
        blocking(remove).await
    }
}

impl Logs for QueueLogs {
    fn open(&self, slot: u32) -> BoxFuture<'_, Result<Arc<dyn Log>, String>> {
        Box::pin(self.open_slot(slot))
    }

    fn remove(&self, slot: u32) -> BoxFuture<'_, Result<(), String>> {
        Box::pin(self.remove_slot(slot))
    }

    fn slots(&self) -> BoxFuture<'_, Result<Vec<u32>, String>> {
        let disk = Arc::clone(&self.disk);
        Box::pin(blocking(move || slots(&*disk).map_err(|error| error.to_string())))
    }
}

async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, String> + Send + 'static,
) -> Result<T, String> {
    let done = tokio::task::spawn_blocking(work).await;
    done.unwrap_or_else(|failed| Err(failed.to_string()))
}
