//! Where an account's task pins up its newest state, and where sessions read it.
//!
//! There is no queue of events: a session that stopped reading costs nothing, because it compares
//! what it has with the newest state when it comes to its next sync point. The board also counts
//! the sessions that look at it, so that the task knows when the last one has gone.

use std::sync::{Arc, Mutex, PoisonError};
use tokio::sync::watch;

/// Which state of the account was published last.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Version {
    /// Grows by one with each publication.
    pub number: u64,
    /// The account was locked; nothing will be published any more.
    pub locked: bool,
}

/// The newest state `S` of one unlocked account.
pub struct Board<S> {
    shown: Mutex<Option<S>>,
    version: watch::Sender<Version>,
    visitors: watch::Sender<usize>,
}

impl<S: Clone> Board<S> {
    /// A board that shows `first`.
    pub fn new(first: S) -> Arc<Self> {
        Arc::new(Board {
            shown: Mutex::new(Some(first)),
            version: watch::Sender::new(Version::default()),
            visitors: watch::Sender::new(0),
        })
    }

    /// Shows `state` from now on. Whoever waits for changes wakes after it can be seen.
    pub fn publish(&self, state: S) {
        let mut shown = self.shown.lock().unwrap_or_else(PoisonError::into_inner);
        if shown.is_none() {
            return;
        }
        *shown = Some(state);
        drop(shown);
        self.version.send_modify(|version| version.number += 1);
    }

    /// Takes everything down for good.
    pub fn lock(&self) {
        *self.shown.lock().unwrap_or_else(PoisonError::into_inner) = None;
        self.version.send_modify(|version| version.locked = true);
    }

    /// What is shown; `None` once the account is locked.
    pub fn shown(&self) -> Option<S> {
        self.shown.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Whether the account was locked.
    pub fn is_locked(&self) -> bool {
        self.version.borrow().locked
    }

    /// Wakes at each publication, and when the account locks.
    pub fn changes(&self) -> watch::Receiver<Version> {
        self.version.subscribe()
    }

    /// Counts the caller as a session until the guard is dropped.
    pub fn visit(self: &Arc<Self>) -> Visit<S> {
        self.visitors.send_modify(|count| *count += 1);
        Visit(self.clone())
    }

    /// How many sessions look at the board; wakes when the number changes.
    pub fn visitors(&self) -> watch::Receiver<usize> {
        self.visitors.subscribe()
    }
}

/// One session's presence.
pub struct Visit<S>(Arc<Board<S>>);

impl<S> std::ops::Deref for Visit<S> {
    type Target = Board<S>;

    fn deref(&self) -> &Board<S> {
        &self.0
    }
}

impl<S> Drop for Visit<S> {
    fn drop(&mut self) {
        self.0.visitors.send_modify(|count| *count -= 1);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn after_the_lock_nothing_is_shown_and_nothing_can_be_published() {
        let board = Board::new(1);
        let changes = board.changes();
        board.publish(2);
        assert_eq!((board.shown(), changes.borrow().number), (Some(2), 1));
        board.lock();
        board.publish(3);
        assert_eq!((board.shown(), *changes.borrow()), (None, Version { number: 1, locked: true }));
    }

    #[test]
    fn the_last_visitor_who_leaves_is_noticed() {
        let board = Board::new(());
        let mut visitors = board.visitors();
        let (one, two) = (board.visit(), board.visit());
        assert_eq!(*visitors.borrow_and_update(), 2);
        drop(one);
        drop(two);
        assert!(visitors.has_changed().unwrap());
        assert_eq!(*visitors.borrow_and_update(), 0);
    }
}
