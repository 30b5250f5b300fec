//! IDLE: what changes is told as it happens.
//!
//! # Standards
//! RFC 2177.
//!
//! # Known gaps
//! Nothing is sent to keep a silent connection alive; clients renew IDLE within 29 minutes, as the
//! standard tells them.

use super::link::{End, LOCKED, SILENCE};
use super::session::{Session, end_of, stopping};
use crate::imap::{Event, Tag};
use crate::mailbox::AccountHandle;
use tokio::time::{Instant, sleep_until};

impl Session {
    pub(super) async fn idle(&mut self, tag: &Tag) -> Result<(), End> {
        self.link.out.go_on("idling");
        self.link.receiver().expect_line();
        let mut changes = self.account.as_ref().map(AccountHandle::changes);
        let mut draining = self.draining();
        let until = Instant::now() + self.options.autologout;
        loop {
            if let Some(changes) = &mut changes
                && changes.borrow_and_update().locked
            {
                return Err(LOCKED);
            }
            self.sync(true).await?;
            if let Some(event) = self.link.ready() {
                return self.done_idling(tag, event).await;
            }
            self.link.flush().await?;
            let changed = async {
                match &mut changes {
                    Some(changes) => changes.changed().await.map_err(|_| LOCKED),
                    None => std::future::pending().await,
                }
            };
            tokio::select! {
                changed = changed => changed,
                read = self.link.read() => read,
                _ = draining.wait_for(|draining| *draining) => Err(stopping()),
                () = sleep_until(until) => Err(SILENCE),
            }?;
        }
    }

    async fn done_idling(&mut self, tag: &Tag, event: Event) -> Result<(), End> {
        match event {
            Event::Line(line) if line.expose().eq_ignore_ascii_case(b"DONE") => {
                self.done(tag, "IDLE completed").await
            }
            Event::Line(_) => self.count_bad(Some(tag), "Expected DONE"),
            Event::Fatal(fatal) => Err(end_of(fatal)),
            _ => Err(End::Closed),
        }
    }
}
