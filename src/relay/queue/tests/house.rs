//! A whole queue in memory: a disk that can fail, a clock that stands still, and a network, a plan
//! and a mailbox role that do what a test says.

use crate::base::BoxFuture;
use crate::base::clock::{Clock, Instant, UnixTime};
use crate::base::crypto::Key;
use crate::base::disk::memory::MemoryDisk;
use crate::base::disk::{Below, Disk};
use crate::base::entropy::SeededEntropy;
use crate::base::event::Log as EventLog;
use crate::base::event::testing::Recorder;
use crate::base::ids::{AccountNumber, ObjectId};
use crate::journal::{self, Address as At, AppendError, Budget, Entry, Journal, LargeBody, Reader};
use crate::mail::Address;
use crate::queue::Options;
use crate::relay::outgoing::*;
use crate::relay::queue::{Logs, OpenError, Queue, World};
use crate::relay::runner;
use crate::seams::{Deliver, DeliverError, Delivery, RecipientVerdict};
use crate::store::Log;
use std::collections::BTreeMap;
use std::io;
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tokio::sync::watch;
use tokio::task::JoinHandle;

/// When the tests begin: half past one in the morning, UTC.
pub const START: UnixTime = UnixTime(1_795_051_800);
pub const OWNER: AccountNumber = AccountNumber(7);

/// Both clocks follow the paused one of the runtime.
pub struct PausedClock {
    began: tokio::time::Instant,
    /// What the wall clock shows too much, in seconds.
    pub ahead: Mutex<i64>,
}

impl Clock for PausedClock {
    fn now(&self) -> UnixTime {
        let seconds = self.began.elapsed().as_secs() as i64;
        UnixTime(START.0 + seconds + *self.ahead.lock().unwrap())
    }

    fn monotonic(&self) -> Instant {
        Instant(self.began.elapsed())
    }
}

/// A journal in the caller's own task.
pub struct TestLog {
    disk: Below,
    journal: Mutex<Journal>,
    reader: Reader,
}

impl TestLog {
    fn submit_now(&self, batch: Vec<Entry>) -> Result<Vec<At>, AppendError> {
        let mut journal = self.journal.lock().unwrap();
        let outcome = journal.append(&[batch]).pop().unwrap();
        journal.maintain(Budget { frames: 16, bytes: 1 << 20 });
        outcome
    }
}

impl Log for TestLog {
    fn submit(&self, batch: Vec<Entry>) -> BoxFuture<'_, Result<Vec<At>, AppendError>> {
        Box::pin(async move {
            // Others get their turn, as with a thread of its own.
            tokio::task::yield_now().await;
            self.submit_now(batch)
        })
    }

    fn write_large(
        &self,
        object: ObjectId,
        bytes: Vec<u8>,
    ) -> BoxFuture<'_, Result<LargeBody, AppendError>> {
        Box::pin(async move {
            journal::write_large(&self.disk, object, &bytes).map_err(|error| match error.kind() {
                io::ErrorKind::StorageFull => AppendError::Full,
                _ => AppendError::Failed,
            })
        })
    }

    fn discard_large(&self, object: ObjectId) {
        let _ = journal::remove_large(&self.disk, object);
    }

    fn reader(&self) -> &Reader {
        &self.reader
    }
}

/// The journals of the queue on a disk in memory.
pub struct TestLogs {
    pub disk: MemoryDisk,
    pub entropy: Arc<SeededEntropy>,
    pub open: Mutex<BTreeMap<u32, Arc<TestLog>>>,
    rots: bool,
}

impl TestLogs {
    fn open_now(&self, slot: u32) -> Result<Arc<dyn Log>, String> {
        let disk = Below::make(Arc::new(self.disk.clone()), &format!("relay/{slot}"));
        let disk = disk.map_err(|error| error.to_string())?;
        let options = journal::Options::small(Key::zeroed());
        let shared = Arc::new(disk.clone());
        let (journal, recovery) = Journal::open(shared, options, self.entropy.clone())
            .map_err(|error| format!("{error:?}"))?;
        assert!(self.rots || recovery.damage.is_empty(), "{:?}", recovery.damage);
        let reader = journal.reader();
        let log = Arc::new(TestLog { disk, journal: Mutex::new(journal), reader });
        self.open.lock().unwrap().insert(slot, log.clone());
        Ok(log)
    }

    fn remove_now(&self, slot: u32) -> io::Result<()> {
        self.open.lock().unwrap().remove(&slot);
        super::super::remove_slot(&self.disk, slot)
    }
}

impl Logs for TestLogs {
    fn open(&self, slot: u32) -> BoxFuture<'_, Result<Arc<dyn Log>, String>> {
        Box::pin(async move { self.open_now(slot) })
    }

    fn remove(&self, slot: u32) -> BoxFuture<'_, Result<(), String>> {
        Box::pin(async move { self.remove_now(slot).map_err(|error| error.to_string()) })
    }

    fn slots(&self) -> BoxFuture<'_, Result<Vec<u32>, String>> {
        Box::pin(async { super::super::slots(&self.disk).map_err(|error| error.to_string()) })
    }
}

type Plan = dyn Fn(&Outgoing, &[usize]) -> Vec<Prepared> + Send + Sync;
type Network = dyn Fn(&Consignment) -> Vec<Outcome> + Send + Sync;

/// Everything that the runner meets; what it does can be changed while it runs.
pub struct Others {
    pub plan: Mutex<Arc<Plan>>,
    pub network: Mutex<Arc<Network>>,
    /// How long a delivery takes.
    pub takes: Mutex<Duration>,
    pub mailbox: Mutex<Result<(), DeliverError>>,
    /// Recipient and message of all that was delivered, in order, with the time.
    pub delivered: Mutex<Vec<(String, String, UnixTime)>>,
    /// When each attempt began.
    pub attempts: Mutex<Vec<(String, UnixTime)>>,
    /// Deliveries under way, and the most at once, by domain and ("") altogether.
    pub busy: Mutex<BTreeMap<String, (usize, usize)>>,
    pub reports: Mutex<Vec<(AccountNumber, String)>>,
    clock: Arc<PausedClock>,
}

impl Others {
    fn count(&self, domain: &str, begins: bool) {
        let mut busy = self.busy.lock().unwrap();
        for name in ["", domain] {
            let (now, most) = busy.entry(name.to_owned()).or_default();
            if begins {
                *now += 1
            } else {
                *now -= 1
            }
            *most = (*most).max(*now);
        }
    }
}

impl Prepare for Others {
    fn prepare<'a>(
        &'a self,
        message: &'a Outgoing,
        which: &'a [usize],
    ) -> BoxFuture<'a, Vec<Prepared>> {
        let plan = self.plan.lock().unwrap().clone();
        Box::pin(async move { plan(message, which) })
    }

    fn refusals<'a>(&'a self, _: &'a Outgoing) -> BoxFuture<'a, Vec<Refusal>> {
        Box::pin(async { Vec::new() })
    }
}

impl Transmit for Others {
    fn transmit(&self, consignment: Consignment) -> BoxFuture<'_, Vec<Outcome>> {
        Box::pin(async move {
            let now = self.clock.now();
            let to = |at: usize| consignment.recipients[at].address.to_string();
            (0..consignment.recipients.len())
                .for_each(|at| self.attempts.lock().unwrap().push((to(at), now)));
            self.count(&consignment.domain, true);
            let takes = *self.takes.lock().unwrap();
            tokio::time::sleep(takes).await;
            self.count(&consignment.domain, false);
            let network = self.network.lock().unwrap().clone();
            let outcomes = network(&consignment);
            let text = String::from_utf8_lossy(&consignment.message).into_owned();
            for (at, outcome) in outcomes.iter().enumerate() {
                if matches!(outcome, Outcome::Delivered { .. }) {
                    let now = self.clock.now();
                    self.delivered.lock().unwrap().push((to(at), text.clone(), now));
                }
            }
            outcomes
        })
    }
}

impl Deliver for Others {
    fn recipient<'a>(&'a self, _: &'a Address) -> BoxFuture<'a, RecipientVerdict> {
        Box::pin(async { RecipientVerdict::NotLocal })
    }

    fn deliver(&self, delivery: Delivery) -> BoxFuture<'_, Result<(), DeliverError>> {
        Box::pin(async move {
            (*self.mailbox.lock().unwrap())?;
            assert_eq!(delivery.from, None, "reports have the null reverse path");
            let text = String::from_utf8(delivery.message).unwrap();
            self.reports.lock().unwrap().push((delivery.recipients[0].account, text));
            Ok(())
        })
    }
}

pub struct House {
    pub disk: MemoryDisk,
    pub root: Key,
    pub clock: Arc<PausedClock>,
    pub entropy: Arc<SeededEntropy>,
    pub others: Arc<Others>,
    pub events: Arc<Recorder>,
    pub options: Options,
    pub memory_bytes: u64,
    /// Whether journals may be found damaged.
    pub rots: bool,
}

/// A queue that runs.
pub struct Running {
    pub queue: Queue,
    stop: watch::Sender<bool>,
    task: JoinHandle<()>,
}

impl House {
    pub fn new(seed: u64) -> House {
        let ahead = Mutex::new(0);
        let clock = Arc::new(PausedClock { began: tokio::time::Instant::now(), ahead });
        let entropy = Arc::new(SeededEntropy::new(seed));
        let others = Arc::new(Others {
            plan: Mutex::new(Arc::new(send_plain)),
            network: Mutex::new(Arc::new(deliver_all)),
            takes: Mutex::new(Duration::from_secs(1)),
            mailbox: Mutex::new(Ok(())),
            delivered: Mutex::default(),
            attempts: Mutex::default(),
            busy: Mutex::default(),
            reports: Mutex::default(),
            clock: clock.clone(),
        });
        House {
            disk: MemoryDisk::new(),
            root: Key::random(&*entropy),
            clock,
            entropy,
            others,
            events: Arc::default(),
            options: Options::default(),
            memory_bytes: 1 << 20,
            rots: false,
        }
    }

    /// Opens the queue; the runner does not run yet.
    pub async fn open(&self) -> Result<(Queue, Arc<TestLogs>), OpenError> {
        let (disk, entropy) = (self.disk.clone(), self.entropy.clone());
        let logs = Arc::new(TestLogs { disk, entropy, open: Mutex::default(), rots: self.rots });
        let world = World {
            disk: Arc::new(self.disk.clone()) as Arc<dyn Disk>,
            root: self.root.clone(),
            logs: logs.clone(),
            clock: self.clock.clone(),
            entropy: self.entropy.clone(),
            events: EventLog::new(self.events.clone()),
        };
        let queue = Queue::open(world, self.options.clone(), self.memory_bytes).await?;
        Ok((queue, logs))
    }

    pub async fn start(&self) -> Running {
        self.start_if_it_can().await.unwrap()
    }

    pub async fn start_if_it_can(&self) -> Option<Running> {
        let (queue, _) = self.open().await.ok()?;
        let parts = runner::Parts {
            queue: queue.clone(),
            prepare: self.others.clone(),
            transmit: self.others.clone(),
            deliver: self.others.clone(),
            hostname: "mail.ours.example".into(),
        };
        let (stop, stopping) = watch::channel(false);
        let task = tokio::spawn(runner::run(parts, stopping));
        Some(Running { queue, stop, task })
    }

    /// What the network does from now on.
    pub fn network(&self, network: impl Fn(&Consignment) -> Vec<Outcome> + Send + Sync + 'static) {
        *self.others.network.lock().unwrap() = Arc::new(network);
    }

    /// What is planned from now on.
    pub fn plan(
        &self,
        plan: impl Fn(&Outgoing, &[usize]) -> Vec<Prepared> + Send + Sync + 'static,
    ) {
        *self.others.plan.lock().unwrap() = Arc::new(plan);
    }

    pub fn reports(&self) -> Vec<String> {
        self.others.reports.lock().unwrap().iter().map(|(_, text)| text.clone()).collect()
    }

    pub fn delivered(&self) -> Vec<String> {
        self.others.delivered.lock().unwrap().iter().map(|(to, ..)| to.clone()).collect()
    }

    pub fn saw(&self, name: &str) -> bool {
        self.events.saw(name)
    }

    /// A message to these recipients; its text is its subject and body.
    pub fn message(&self, to: &[&str], text: &str) -> Outgoing {
        let recipients = to.iter().map(|to| OutgoingRecipient {
            address: to.parse().unwrap(),
            notify: None,
            original: None,
        });
        let text =
            format!("From: ann@ours.example\r\nSubject: {text}\r\n\r\n{text}\r\n").into_bytes();
        Outgoing {
            from: Some("ann@ours.example".parse().unwrap()),
            owner: Some(crate::queue::Owner {
                account: OWNER,
                address: "ann@our.example".parse().unwrap(),
            }),
            recipients: recipients.collect(),
            message: Arc::new(text),
            accepted: self.clock.now(),
            envelope_id: None,
            dsn_return: None,
            utf8: false,
            permitted: Vec::new(),
            seven_bit: false,
        }
    }
}

impl Running {
    pub async fn send(&self, message: Outgoing) -> QueueId {
        let id = self.queue.accept(message).await.unwrap();
        self.queue.release(id);
        id
    }

    /// Lets everything under way finish.
    pub async fn stop(self) {
        self.stop.send_replace(true);
        self.task.await.unwrap();
    }

    /// The process dies.
    pub async fn die(self) {
        self.task.abort();
        let _ = self.task.await;
    }
}

pub async fn sleep(seconds: u64) {
    tokio::time::sleep(Duration::from_secs(seconds)).await;
}

/// What a plan is in the tests: what is done for which recipients.
pub type PlanFn = fn(&Outgoing, &[usize]) -> Vec<Prepared>;

pub fn send_plain(message: &Outgoing, which: &[usize]) -> Vec<Prepared> {
    let action = Action::Send { message: message.message.clone(), sealed: false, utf8: false };
    vec![Prepared { recipients: which.to_vec(), action }]
}

pub fn delivered() -> Outcome {
    let (host, reply) = ("mx.example".to_owned(), "250 2.0.0 Ok".to_owned());
    Outcome::Delivered { host, reply, tls: true, dsn: false }
}

pub fn failure(status: &str) -> Failure {
    let text = format!("{status} no, not that one");
    Failure { host: Some("mx.example".into()), status: status.into(), text }
}

pub fn deliver_all(consignment: &Consignment) -> Vec<Outcome> {
    consignment.recipients.iter().map(|_| delivered()).collect()
}

pub fn defer_all(consignment: &Consignment) -> Vec<Outcome> {
    consignment.recipients.iter().map(|_| Outcome::Deferred(failure("4.2.1"))).collect()
}

pub fn fail_all(consignment: &Consignment) -> Vec<Outcome> {
    consignment.recipients.iter().map(|_| Outcome::Failed(failure("5.1.1"))).collect()
}
