//! A gate that lets in only so many at once, of each kind: one search for an address, a few for a
//! domain, some for all together. Whoever waits is a future and can be dropped at any time.
//!
//! It knows no runtime: when somebody leaves, all who wait look again.

use super::bounded::Name;
use std::collections::BTreeMap;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};

/// Who may wait at once; more are turned away.
const WAITING_MAX: usize = 2048;

/// The gate; clones are the same one.
#[derive(Clone, Default)]
pub(super) struct Gate(Arc<Mutex<State>>);

#[derive(Default)]
struct State {
    inside: BTreeMap<Name, usize>,
    waiting: BTreeMap<u64, Waker>,
    next: u64,
}

/// So many wait that nobody more may.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Crowded;

/// Somebody inside, until dropped.
pub(super) struct Inside {
    gate: Gate,
    kinds: Vec<(Name, usize)>,
}

impl Gate {
    /// Waits until, for each kind, fewer than its number are inside. A kind may be named once.
    pub fn enter(&self, kinds: Vec<(Name, usize)>) -> Enter {
        Enter { gate: self.clone(), kinds, ticket: None }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Somebody who wants in.
pub(super) struct Enter {
    gate: Gate,
    kinds: Vec<(Name, usize)>,
    ticket: Option<u64>,
}

impl Future for Enter {
    type Output = Result<Inside, Crowded>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        let gate = self.gate.clone();
        let mut state = gate.state();
        let has_room = |(kind, most): &(Name, usize)| {
            state.inside.get(kind).copied().unwrap_or(0) < (*most).max(1)
        };
        if self.kinds.iter().all(has_room) {
            for (kind, _) in &self.kinds {
                *state.inside.entry(*kind).or_default() += 1;
            }
            if let Some(ticket) = self.ticket.take() {
                state.waiting.remove(&ticket);
            }
            drop(state);
            let kinds = std::mem::take(&mut self.kinds);
            return Poll::Ready(Ok(Inside { gate, kinds }));
        }
        if self.ticket.is_none() && state.waiting.len() >= WAITING_MAX {
            return Poll::Ready(Err(Crowded));
        }
        let ticket = self.ticket.unwrap_or(state.next);
        state.next = state.next.max(ticket + 1);
        state.waiting.insert(ticket, context.waker().clone());
        self.ticket = Some(ticket);
        Poll::Pending
    }
}

impl Drop for Enter {
    fn drop(&mut self) {
        if let Some(ticket) = self.ticket {
            self.gate.state().waiting.remove(&ticket);
        }
    }
}

impl Drop for Inside {
    fn drop(&mut self) {
        let mut state = self.gate.state();
        for (kind, _) in &self.kinds {
            if let Some(count) = state.inside.get_mut(kind) {
                *count -= 1;
                if *count == 0 {
                    state.inside.remove(kind);
                }
            }
        }
        let waiting: Vec<Waker> = state.waiting.values().cloned().collect();
        drop(state);
        waiting.into_iter().for_each(Waker::wake);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const A: Name = [1; 32];
    const B: Name = [2; 32];
    const ALL: Name = [0; 32];

    fn poll(enter: &mut Enter) -> Poll<Result<Inside, Crowded>> {
        Pin::new(enter).poll(&mut Context::from_waker(Waker::noop()))
    }

    fn inside(enter: &mut Enter) -> Option<Inside> {
        match poll(enter) {
            Poll::Ready(Ok(inside)) => Some(inside),
            _ => None,
        }
    }

    #[test]
    fn each_kind_has_its_own_number() {
        let gate = Gate::default();
        let first = inside(&mut gate.enter(vec![(A, 1), (ALL, 2)])).unwrap();
        let mut same = gate.enter(vec![(A, 1), (ALL, 2)]);
        assert!(poll(&mut same).is_pending());
        let other = inside(&mut gate.enter(vec![(B, 1), (ALL, 2)])).unwrap();
        let mut third = gate.enter(vec![([3; 32], 1), (ALL, 2)]);
        assert!(poll(&mut third).is_pending());
        drop(first);
        let same = inside(&mut same).unwrap();
        assert!(poll(&mut third).is_pending());
        drop((other, same));
        assert!(inside(&mut third).is_some());
        assert!(gate.state().inside.is_empty() && gate.state().waiting.is_empty());
    }

    #[test]
    fn who_gives_up_leaves_nothing_behind_and_a_crowd_is_turned_away() {
        let gate = Gate::default();
        let held = inside(&mut gate.enter(vec![(A, 1)])).unwrap();
        let mut crowd: Vec<Enter> = (0..WAITING_MAX).map(|_| gate.enter(vec![(A, 1)])).collect();
        assert!(crowd.iter_mut().all(|enter| poll(enter).is_pending()));
        assert!(matches!(poll(&mut gate.enter(vec![(A, 1)])), Poll::Ready(Err(Crowded))));
        assert!(inside(&mut gate.enter(vec![(B, 1)])).is_some(), "others need not wait");
        drop(crowd);
        assert!(gate.state().waiting.is_empty());
        drop(held);
        assert!(inside(&mut gate.enter(vec![(A, 1)])).is_some());
    }

    #[tokio::test]
    async fn who_waits_is_woken() {
        let gate = Gate::default();
        let held = gate.enter(vec![(A, 1)]).await.unwrap_or_else(|_| panic!("crowded"));
        let (one, two) = (gate.clone(), gate.clone());
        let waiting = [one, two]
            .map(|gate| tokio::spawn(async move { gate.enter(vec![(A, 1)]).await.is_ok() }));
        tokio::task::yield_now().await;
        drop(held);
        for task in waiting {
            assert!(task.await.unwrap());
        }
    }
}
