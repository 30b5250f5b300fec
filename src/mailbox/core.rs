//! What all parts of the role share.

use super::directory::Directory;
use super::kdf::Kdf;
use super::opened::Opened;
use super::options::Options;
use super::registry::Registry;
use crate::base::clock::Clock;
use crate::base::entropy::Entropy;
use crate::base::event::Log;
use crate::base::secret::scrub_stack;
use crate::store;
use crate::vault::ServerKeys;
use std::sync::Arc;
use tokio::sync::Semaphore;

/// The role's parts, shared by all its tasks.
pub struct Core {
    /// Where entries are made durable.
    pub log: Arc<dyn store::Log>,
    /// The accounts.
    pub directory: Directory,
    /// The server's keys.
    pub keys: Arc<ServerKeys>,
    /// Time.
    pub clock: Arc<dyn Clock>,
    /// Randomness.
    pub entropy: Arc<dyn Entropy>,
    /// Where events go.
    pub events: Log,
    /// What the administrator set.
    pub options: Options,
    /// Whose turn it is for a slow key derivation.
    pub kdf: Kdf,
    /// The unlocked accounts.
    pub registry: Registry,
    /// Permits for long computations, as many as there are cores.
    pub cores: Arc<Semaphore>,
    /// Permits for searches: one less, so that what is short always finds a core. Where there is
    /// but one, a search gives it back between two chunks.
    pub searches: Arc<Semaphore>,
    /// Room for what is open, over all sessions.
    pub opened: Opened,
}

/// Work that did not end: it panicked, or the runtime is shutting down.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Died;

/// Runs `work` on a thread that may block. It runs to its end even if nobody waits any more.
pub async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> T + Send + 'static,
) -> Result<T, Died> {
    let work = move || {
        let done = work();
        scrub_stack();
        done
    };
    tokio::task::spawn_blocking(work).await.map_err(|_| Died)
}

impl Core {
    /// [`blocking`] for long computations: at most as many at a time as there are cores.
    pub async fn compute<T: Send + 'static>(
        &self,
        work: impl FnOnce() -> T + Send + 'static,
    ) -> Result<T, Died> {
        let permit = self.cores.clone().acquire_owned().await.map_err(|_| Died)?;
        blocking(move || {
            let _permit = permit;
            work()
        })
        .await
    }

    /// [`Core::compute`] for one chunk of a search, behind the searches that wait already.
    pub async fn search<T: Send + 'static>(
        &self,
        work: impl FnOnce() -> T + Send + 'static,
    ) -> Result<T, Died> {
        let permit = self.searches.clone().acquire_owned().await.map_err(|_| Died)?;
        self.compute(move || {
            let _permit = permit;
            work()
        })
        .await
    }
}
