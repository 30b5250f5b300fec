//! The journal as the mailbox role sees it, and the index over it.
//!
//! The real log is the journal's thread in `host`; the real index is sled, also there. The index
//! has a twin in memory: [`MemoryIndex`].

use crate::base::BoxFuture;
use crate::base::ids::{AccountNumber, ObjectId};
use crate::journal::{AccountHead, Address, AppendError, Entry, LargeBody, Reader};
use std::collections::BTreeMap;
use std::sync::Mutex;

/// A journal that takes batches from many tasks and makes them durable together.
pub trait Log: Send + Sync {
    /// Appends a batch, all or nothing. When it returns addresses, the batch is durable; when it
    /// returns an error, nobody will ever see any of it in this life of the server.
    fn submit(&self, batch: Vec<Entry>) -> BoxFuture<'_, Result<Vec<Address>, AppendError>>;

    /// Writes a body (one above [`super::LARGE_BODY_BYTES`] must) to a file of its own and makes it
    /// durable, before the entry that names it is submitted.
    fn write_large(
        &self,
        object: ObjectId,
        bytes: Vec<u8>,
    ) -> BoxFuture<'_, Result<LargeBody, AppendError>>;

    /// Takes away a body that no entry names and none ever will. Does not wait; what stays all the
    /// same is removed at the next start.
    fn discard_large(&self, object: ObjectId);

    /// Reads what is durable.
    fn reader(&self) -> &Reader;
}

/// A table from account to the head of its chain: a cache that may vanish at any time.
pub trait Index: Send + Sync {
    /// The head that was put last, if it is still known.
    fn get(&self, account: AccountNumber) -> Option<AccountHead>;
    /// Remembers a head. Failing silently is allowed.
    fn put(&self, account: AccountNumber, head: AccountHead);
    /// Forgets an account.
    fn remove(&self, account: AccountNumber);
    /// All that is known.
    fn all(&self) -> Vec<(AccountNumber, AccountHead)>;
}

/// The index in memory.
#[derive(Debug, Default)]
pub struct MemoryIndex(Mutex<BTreeMap<AccountNumber, AccountHead>>);

impl MemoryIndex {
    fn table(&self) -> std::sync::MutexGuard<'_, BTreeMap<AccountNumber, AccountHead>> {
        self.0.lock().unwrap_or_else(|poisoned| poisoned.into_inner())
    }
}

impl Index for MemoryIndex {
    fn get(&self, account: AccountNumber) -> Option<AccountHead> {
        self.table().get(&account).copied()
    }

    fn put(&self, account: AccountNumber, head: AccountHead) {
        self.table().insert(account, head);
    }

    fn remove(&self, account: AccountNumber) {
        self.table().remove(&account);
    }

    fn all(&self) -> Vec<(AccountNumber, AccountHead)> {
        self.table().iter().map(|(account, head)| (*account, *head)).collect()
    }
}
