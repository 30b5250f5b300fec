//! The data directory: disk, journal, index, and the order in which they are opened and closed.
//!
//! The index is a cache. If it cannot be opened, the server runs without one, and the journal is
//! read in its place at the next start.

use crate::base::crypto::Key;
use crate::base::disk::Disk;
use crate::base::entropy::Entropy;
use crate::base::event::Log;
use crate::host::disk::DataDir;
use crate::host::index_sled::{self, SledIndex};
use crate::host::journal_thread::{self, JournalLog, JournalThread};
use crate::journal::{self, OpenError};
use crate::store;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// What the roles store things in.
pub(super) struct Store {
    disk: Arc<dyn Disk>,
    log: JournalLog,
    thread: JournalThread,
}

/// Why the data directory cannot be used.
#[derive(Debug)]
pub enum StoreError {
    /// Another server uses it.
    InUse(PathBuf),
    /// The system says no.
    System(PathBuf, io::Error),
    /// The journal says no.
    Journal(PathBuf, OpenError),
}

impl std::fmt::Display for StoreError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            StoreError::InUse(path) => write!(f, "{}: another server uses it", path.display()),
            StoreError::System(path, error) => write!(f, "{}: {error}", path.display()),
            StoreError::Journal(path, error) => write!(f, "{}: {error}", path.display()),
        }
    }
}

impl std::error::Error for StoreError {}

/// Opens and locks a data directory.
pub fn lock(dir: &Path) -> Result<DataDir, StoreError> {
    DataDir::open(dir).map_err(|error| refusal(dir, error))
}

/// The same to look at it only.
pub fn lock_read_only(dir: &Path) -> Result<DataDir, StoreError> {
    DataDir::open_read_only(dir).map_err(|error| refusal(dir, error))
}

fn refusal(dir: &Path, error: io::Error) -> StoreError {
    match error.kind() {
        io::ErrorKind::WouldBlock => StoreError::InUse(dir.into()),
        _ => StoreError::System(dir.into(), error),
    }
}

impl Store {
    /// Opens everything in `dir`. Reads the journal where the index is not to be believed, which
    /// may take a while.
    pub(super) async fn open(
        dir: &Path,
        journal_key: &Key,
        entropy: &Arc<dyn Entropy>,
        events: &Log,
    ) -> Result<Store, StoreError> {
        let (path, events, entropy) = (dir.to_owned(), events.clone(), Arc::clone(entropy));
        let options = journal::Options::new(journal_key.clone());
        let open = move || open_blocking(&path, options, entropy, events);
        tokio::task::spawn_blocking(open)
            .await
            .unwrap_or_else(|failed| Err(StoreError::System(dir.into(), io::Error::other(failed))))
    }

    pub(super) fn log(&self) -> Arc<dyn store::Log> {
        Arc::new(self.log.clone())
    }

    pub(super) fn disk(&self) -> Arc<dyn Disk> {
        Arc::clone(&self.disk)
    }

    /// Returns when nothing can be stored any more until the next start.
    pub(super) async fn failed(&mut self) {
        self.thread.ended().await;
    }

    /// Closes journal and index and marks a clean stop.
    pub(super) async fn close(self) -> io::Result<()> {
        let stop = move || self.thread.stop().map(drop);
        tokio::task::spawn_blocking(stop).await.map_err(io::Error::other)?
    }
}

fn open_blocking(
    dir: &Path,
    options: journal::Options,
    entropy: Arc<dyn Entropy>,
    events: Log,
) -> Result<Store, StoreError> {
    let disk: Arc<dyn Disk> = Arc::new(lock(dir)?);
    // The index takes the marker with it.
    let options = journal::Options { stopped_at: index_sled::stopped_at(&*disk), ..options };
    let index = match SledIndex::open(dir, Arc::clone(&disk)) {
        Ok(index) => Some(index),
        Err(error) => {
            let error = error.to_string();
            events.emit(&super::events::ServerEvent::NoIndex { error: &error });
            None
        }
    };
    let (log, thread, _) =
        journal_thread::start(Arc::clone(&disk), options, entropy, index, events)
            .map_err(|error| StoreError::Journal(dir.into(), error))?;
    Ok(Store { disk, log, thread })
}
