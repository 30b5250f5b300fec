//! Work that waits for a disk, apart from the threads that serve sessions.

use super::BoxFuture;

/// Does what would hold up others.
pub trait Blocking: Send + Sync {
    /// Is ready when `work` is done. Work that was begun is done to its end, also when nobody waits
    /// for it any more.
    fn run(&self, work: Box<dyn FnOnce() + Send>) -> BoxFuture<'static, ()>;
}

/// Does it where it stands: for tests and simulations, where nobody else is held up.
#[derive(Clone, Copy, Debug, Default)]
pub struct InPlace;

impl Blocking for InPlace {
    fn run(&self, work: Box<dyn FnOnce() + Send>) -> BoxFuture<'static, ()> {
        work();
        Box::pin(std::future::ready(()))
    }
}
