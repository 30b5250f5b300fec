//! Connections that wait a few seconds for the next message to the same server.
//!
//! The one that came last is taken first, so that no more stay open than are needed. One task
//! closes those that have waited too long; it lives only while there are any. One in clear whose
//! server offers TLS is not kept.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::time::{Instant, sleep_until};

use super::connection::Connection;
use super::options::Reuse;

/// A server: its name as it was looked up, and the port.
pub(super) type Key = (Arc<str>, u16);

/// The connections that wait.
#[derive(Default)]
pub(super) struct Pool {
    inner: Mutex<Inner>,
}

#[derive(Default)]
struct Inner {
    /// By server; the oldest first. No list is empty.
    waiting: HashMap<Key, Vec<Parked>>,
    count: usize,
    is_swept: bool,
    /// Connections from before a change of options are not taken back.
    generation: u64,
}

struct Parked {
    connection: Connection,
    until: Instant,
}

impl Pool {
    /// A connection that seems to be alive.
    pub async fn take(&self, key: &Key) -> Option<Connection> {
        loop {
            let mut connection = self.take_any(key)?;
            if !connection.is_stale().await {
                return Some(connection);
            }
        }
    }

    fn take_any(&self, key: &Key) -> Option<Connection> {
        let mut inner = self.lock();
        let list = inner.waiting.get_mut(key)?;
        let parked = list.pop()?;
        if list.is_empty() {
            inner.waiting.remove(key);
        }
        inner.count -= 1;
        Some(parked.connection)
    }

    /// The present generation; see [`Pool::park`].
    pub fn generation(&self) -> u64 {
        self.lock().generation
    }

    /// Keeps a connection that is ready, or closes it.
    pub fn park(
        self: &Arc<Self>,
        key: Key,
        connection: Connection,
        reuse: &Reuse,
        generation: u64,
    ) {
        let now = Instant::now();
        let until = (now + reuse.idle).min(connection.since + reuse.age);
        let worn = connection.transactions >= reuse.transactions_max || until <= now;
        let worn = worn || connection.is_last_resort;
        let mut inner = self.lock();
        let full = inner.count >= reuse.waiting_max || inner.generation != generation;
        if worn || full || !connection.client.is_ready() {
            drop(inner);
            return close(connection);
        }
        inner.count += 1;
        inner.waiting.entry(key).or_default().push(Parked { connection, until });
        if !std::mem::replace(&mut inner.is_swept, true) {
            tokio::spawn(Arc::clone(self).sweep());
        }
    }

    /// Closes all that wait; those that are in use will not come back.
    pub fn clear(&self) {
        let mut inner = self.lock();
        inner.generation += 1;
        inner.count = 0;
        let waiting = std::mem::take(&mut inner.waiting);
        drop(inner);
        waiting.into_values().flatten().for_each(|parked| close(parked.connection));
    }

    async fn sweep(self: Arc<Self>) {
        while let Some(next) = self.close_expired() {
            sleep_until(next).await;
        }
    }

    /// When the next connection expires; `None` ends the sweeping.
    fn close_expired(&self) -> Option<Instant> {
        let now = Instant::now();
        let mut inner = self.lock();
        let mut expired = Vec::new();
        for list in inner.waiting.values_mut() {
            expired.extend(list.extract_if(.., |parked| parked.until <= now));
        }
        inner.waiting.retain(|_, list| !list.is_empty());
        inner.count -= expired.len();
        let next = inner.waiting.values().flatten().map(|parked| parked.until).min();
        inner.is_swept = next.is_some();
        drop(inner);
        expired.into_iter().for_each(|parked| close(parked.connection));
        next
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    #[cfg(test)]
    pub fn count(&self) -> usize {
        self.lock().count
    }
}

/// Says goodbye without making anybody wait for it.
pub(super) fn close(connection: Connection) {
    tokio::spawn(connection.close());
}
