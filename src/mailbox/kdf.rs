//! The driver of the queue for the slow key derivation: who waits, wakes in its turn.
//!
//! The queue itself is a pure machine (`vault::KdfQueue`). Here its tickets are tied to waiting
//! tasks; a task that goes away gives its place up, and a run that has begun counts until it ends,
//! also when nobody waits for it any more: its memory is in use.
//!
//! Who guesses is put off before he gets a place. The machine itself (loopback: a webmail, a
//! command) is not counted: all its users come from one address.

use crate::base::clock::Clock;
use crate::base::crypto::{self, Key};
use crate::base::entropy::Entropy;
use crate::vault::{Guesses, KdfLimits, KdfQueue, Network, Source, Ticket, TryLater};
use std::collections::HashMap;
use std::net::{IpAddr, Ipv4Addr};
use std::sync::{Arc, Mutex, PoisonError};
use tokio::sync::oneshot;

/// The queue, shared by all logins.
#[derive(Clone)]
pub struct Kdf(Arc<Inner>);

struct Inner {
    /// Names are put into the queue as numbers under a key of this run.
    name_key: Key,
    clock: Arc<dyn Clock>,
    state: Mutex<State>,
}

struct State {
    queue: KdfQueue,
    guesses: Guesses,
    turns: u64,
    waiting: HashMap<Ticket, oneshot::Sender<()>>,
}

/// The permission for one run. Dropping it without [`Run::ended`] counts as a wrong secret.
pub struct Run {
    place: Place,
}

/// A place in the queue or a run under way; gives itself up when dropped.
struct Place {
    kdf: Kdf,
    ticket: Ticket,
    source: Source,
    is_counted: bool,
    /// It is this one's turn.
    runs: bool,
    /// How it ended; nothing if it was not tried.
    good: Option<bool>,
}

impl Kdf {
    /// An empty queue.
    pub fn new(limits: KdfLimits, clock: Arc<dyn Clock>, entropy: &dyn Entropy) -> Kdf {
        let state = State {
            queue: KdfQueue::new(limits),
            guesses: Guesses::default(),
            turns: 0,
            waiting: HashMap::new(),
        };
        let name_key = Key::random(entropy);
        Kdf(Arc::new(Inner { name_key, clock, state: Mutex::new(state) }))
    }

    /// Waits for the turn of a login of `name` (known or not) from `peer`.
    pub async fn turn(&self, peer: Option<IpAddr>, name: &str) -> Result<Run, TryLater> {
        let (wake, woken) = oneshot::channel();
        let (source, now) = (self.source(peer, name), self.0.clock.monotonic());
        let is_counted = peer.is_some_and(|peer| !peer.to_canonical().is_loopback());
        let ticket = self.with(|state| {
            let known = state.queue.is_known(&source);
            if is_counted && !state.guesses.may_try(&source, known, now) {
                return Err(TryLater);
            }
            let ticket = state.queue.ask(source)?;
            state.waiting.insert(ticket, wake);
            Ok(ticket)
        })?;
        let kdf = self.clone();
        let mut place = Place { kdf, ticket, source, is_counted, runs: false, good: None };
        self.start();
        woken.await.map_err(|_| TryLater)?;
        place.runs = true;
        Ok(Run { place })
    }

    /// Turns given since the start.
    pub fn turns(&self) -> u64 {
        self.with(|state| state.turns)
    }

    /// Wakes those whose turn it is.
    fn start(&self) {
        self.with(|state| {
            while let Some(ticket) = state.queue.start() {
                state.turns += 1;
                // Nobody there: the receiver is dropped after its place was given up, or is about
                // to be, and then `Place` ends the run.
                if let Some(wake) = state.waiting.remove(&ticket) {
                    let _ = wake.send(());
                }
            }
        });
    }

    fn source(&self, peer: Option<IpAddr>, name: &str) -> Source {
        let peer = peer.unwrap_or(IpAddr::V4(Ipv4Addr::LOCALHOST));
        let hash = crypto::hmac(&self.0.name_key, &[name.as_bytes()]);
        let account = u64::from_le_bytes(hash[..8].try_into().expect("eight of 32 octets"));
        Source { network: Network::of(peer), account }
    }

    fn with<T>(&self, work: impl FnOnce(&mut State) -> T) -> T {
        work(&mut self.0.state.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

impl Run {
    /// The run has ended; `good` if the secret was right.
    pub fn ended(mut self, good: bool) {
        self.place.good = Some(good);
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let Place { ticket, source, is_counted, runs, good, .. } = *self;
        let now = self.kdf.0.clock.monotonic();
        self.kdf.with(|state| {
            match good.filter(|_| is_counted) {
                Some(true) => state.guesses.succeeded(&source),
                Some(false) => state.guesses.failed(source, now),
                None => {}
            }
            // Woken and dropped before it noticed: the queue counts it as running.
            let was_waiting = state.waiting.remove(&ticket).is_some();
            match runs || !was_waiting {
                true => state.queue.done(ticket, good == Some(true)),
                false => state.queue.give_up(ticket),
            }
        });
        self.kdf.start();
    }
}
