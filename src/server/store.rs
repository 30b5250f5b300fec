//! The data directory: disk, journal, index, and the order in which they are opened and closed.

use crate::base::crypto::Key;
use crate::base::disk::Disk;
use crate::base::entropy::Entropy;
use crate::base::event::Log;
use crate::store;
use std::io;
use std::path::Path;
use std::sync::Arc;

/// What the roles store things in.
pub(super) struct Store {
    log: Arc<dyn store::Log>,
    disk: Arc<dyn Disk>,
}

/// Why the data directory cannot be used.
#[derive(Debug)]
pub enum StoreError {
    /// The system says no.
    System(std::path::PathBuf, io::Error),
}

impl std::fmt::Display for StoreError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            StoreError::System(path, error) => write!(f, "{}: {error}", path.display()),
        }
    }
}

impl std::error::Error for StoreError {}

impl Store {
    pub(super) async fn open(
        dir: &Path,
        journal_key: &Key,
        entropy: &Arc<dyn Entropy>,
        events: &Log,
    ) -> Result<Store, StoreError> {
        let _ = (dir, journal_key, entropy, events);
        todo!()
    }

    pub(super) fn log(&self) -> Arc<dyn store::Log> {
        Arc::clone(&self.log)
    }

    pub(super) fn disk(&self) -> Arc<dyn Disk> {
        Arc::clone(&self.disk)
    }

    pub(super) async fn close(self) -> io::Result<()> {
        todo!()
    }
}
