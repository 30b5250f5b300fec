//! Bodies that were written to files of their own and that no entry names yet.
//!
//! What comes to nothing must not stay: a full disk, a refused APPEND or a client that goes away
//! would else leave file after file behind, counted for nobody, until the next start.

use crate::base::ids::ObjectId;
use crate::journal::AppendError;
use crate::store::{self, SealedArrival};
use std::sync::Arc;

/// Files that are taken away again when this is dropped, unless they are given away first.
pub struct LargeBodies {
    log: Arc<dyn store::Log>,
    objects: Vec<ObjectId>,
}

impl LargeBodies {
    /// None yet.
    pub fn new(log: Arc<dyn store::Log>) -> LargeBodies {
        LargeBodies { log, objects: Vec::new() }
    }

    /// Moves the body of `sealed` into its file; durable when this returns.
    pub async fn write(&mut self, sealed: &mut SealedArrival) -> Result<(), AppendError> {
        if let Some(body) = sealed.take_body() {
            self.objects.push(sealed.object);
            sealed.set_large(self.log.write_large(sealed.object, body).await?);
        }
        Ok(())
    }

    /// From here on an entry may name them, whether or not anybody waits for it.
    pub fn submitted(&mut self) -> Vec<ObjectId> {
        std::mem::take(&mut self.objects)
    }

    /// The entries that named them were refused, so that they are on no disk.
    pub fn refused(&mut self, objects: Vec<ObjectId>) {
        self.objects.extend(objects);
    }
}

/// Whether an entry that was refused so cannot stand in the journal. After a failed sync it may
/// come back with the next start, and needs its body then.
pub fn leaves_nothing(error: AppendError) -> bool {
    match error {
        AppendError::Full
        | AppendError::TooLarge
        | AppendError::Malformed
        | AppendError::NotYours(_) => true,
        AppendError::Failed | AppendError::Closed => false,
    }
}

impl Drop for LargeBodies {
    fn drop(&mut self) {
        for object in self.objects.drain(..) {
            self.log.discard_large(object);
        }
    }
}
