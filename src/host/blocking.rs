//! The runtime's threads for work that blocks.

use crate::base::BoxFuture;
use crate::base::blocking::Blocking;

/// Has it done by the runtime. To be used within it.
#[derive(Clone, Copy, Debug, Default)]
pub struct TokioBlocking;

impl Blocking for TokioBlocking {
    fn run(&self, work: Box<dyn FnOnce() + Send>) -> BoxFuture<'static, ()> {
        let done = tokio::task::spawn_blocking(work);
        Box::pin(async move {
            // A panic in it is reported by the process's hook; there is nobody else to tell.
            let _ = done.await;
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::Arc;
    use std::sync::atomic::{AtomicBool, Ordering};

    #[tokio::test]
    async fn work_is_done_when_it_is_ready_and_a_panic_stays_in_it() {
        let done = Arc::new(AtomicBool::new(false));
        let told = Arc::clone(&done);
        TokioBlocking.run(Box::new(move || told.store(true, Ordering::Relaxed))).await;
        assert!(done.load(Ordering::Relaxed));
        TokioBlocking.run(Box::new(|| panic!("of the test"))).await;
    }
}
