//! The journal's thread: the one writer, and the queue in front of it.
//!
//! Tasks submit batches and wait. The thread takes what is there (no timer: a group is whatever
//! came while the last one was being synced), a fair share of each account's, appends it as one
//! group and replies. Maintenance and the index follow when there is nothing to append, and at
//! least once a second; the index is never in the path of an acknowledgement.

use super::index_sled::SledIndex;
use crate::base::BoxFuture;
use crate::base::disk::Disk;
use crate::base::entropy::Entropy;
use crate::base::event::Log as EventLog;
use crate::base::ids::{AccountNumber, ObjectId};
use crate::journal::events::JournalEvent;
use crate::journal::{
    self, Address, AppendError, Body, Budget, Entry, Journal, LargeBody, OpenError, Options,
    Position, Reader, Recovery,
};
use crate::store::{Index, Log};
use std::collections::{BTreeSet, HashMap, VecDeque};
use std::io;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, oneshot};

/// Batches that may wait for the thread; more submitters wait for their turn to submit.
const WAITING_BATCHES_MAX: usize = 4096;
/// Octets that one account may have in one group, so that one import cannot own the disk.
const ACCOUNT_GROUP_BYTES_MAX: usize = 1 << 20;
/// Entries that one account may have in one group.
const ACCOUNT_GROUP_ENTRIES_MAX: usize = 64;
/// Octets of one group over all accounts: what one sync makes everybody wait for.
const GROUP_BYTES_MAX: usize = 8 << 20;
/// How long the thread does nothing before it marks the last batch and cleans up, in milliseconds.
const IDLE_MS: u64 = 200;
/// How often cleaning up and the index get their turn under load, in milliseconds.
const MAINTAIN_EVERY_MS: u64 = 1000;
/// What one turn of cleaning up may do: some milliseconds.
const MAINTAIN_BUDGET: Budget = Budget { frames: 64, bytes: 2 << 20 };

/// Submits to the journal; cheap to clone.
#[derive(Clone)]
pub struct JournalLog {
    submissions: Sender<Message>,
    places: Arc<Semaphore>,
    reader: Reader,
    disk: Arc<dyn Disk>,
}

/// The running thread.
#[derive(Debug)]
pub struct JournalThread {
    submissions: Sender<Message>,
    thread: JoinHandle<io::Result<Position>>,
    /// Its other half goes with the thread.
    alive: oneshot::Receiver<()>,
}

enum Message {
    Append(Submission),
    Stop,
}

struct Submission {
    batch: Vec<Entry>,
    bytes: usize,
    reply: oneshot::Sender<Result<Vec<Address>, AppendError>>,
    _place: OwnedSemaphorePermit,
}

/// Opens the journal on `disk` and starts its thread. The index, if there is one, comes with what
/// it claims to hold.
pub fn start(
    disk: Arc<dyn Disk>,
    mut options: Options,
    entropy: Arc<dyn Entropy>,
    index: Option<(SledIndex, Option<super::index_sled::Claim>)>,
    events: EventLog,
) -> Result<(JournalLog, JournalThread, Recovery), OpenError> {
    let (index, claim) = index.map_or((None, None), |(index, claim)| (Some(index), claim));
    let claimed = claim.as_ref().map(|(position, _)| *position);
    options.index = claim;
    let (journal, recovery) = Journal::open(disk.clone(), options, entropy)?;
    journal::events::report(&recovery, &events);
    if let Some(index) = &index
        && !(recovery.clean && claimed == Some(journal.position()))
    {
        index.replace_all(&journal.heads());
    }
    let (submissions, queue) = channel();
    let log = JournalLog {
        submissions: submissions.clone(),
        places: Arc::new(Semaphore::new(WAITING_BATCHES_MAX)),
        reader: journal.reader(),
        disk,
    };
    let writer = Writer { journal, index, events, queue, dirty: BTreeSet::new() };
    let (life, alive) = oneshot::channel();
    let run = move || {
        let _life = life;
        writer.run()
    };
    let thread = std::thread::Builder::new().name("journal".into()).spawn(run)?;
    Ok((log, JournalThread { submissions, thread, alive }, recovery))
}

impl JournalThread {
    /// Returns when the thread has ended without being told to: it panicked, and nothing will be
    /// stored until the next start. May be dropped and called again, until it has returned.
    pub async fn ended(&mut self) {
        let _ = (&mut self.alive).await;
    }

    /// Appends what was submitted before this call, then closes the journal and the index. Blocks.
    pub fn stop(self) -> io::Result<Position> {
        // The thread may have ended by itself; joining says how.
        let _ = self.submissions.send(Message::Stop);
        self.thread.join().unwrap_or_else(|_| Err(io::Error::other("the journal's thread failed")))
    }
}

impl Log for JournalLog {
    /// Once submitted, a batch is appended even if the caller no longer waits for the answer.
    fn submit(&self, batch: Vec<Entry>) -> BoxFuture<'_, Result<Vec<Address>, AppendError>> {
        Box::pin(async move {
            let place = self.places.clone().acquire_owned().await;
            let place = place.map_err(|_| AppendError::Closed)?;
            let (reply, answer) = oneshot::channel();
            let bytes = batch.iter().map(entry_bytes).sum();
            let submission = Submission { batch, bytes, reply, _place: place };
            let sent = self.submissions.send(Message::Append(submission));
            sent.map_err(|_| AppendError::Closed)?;
            answer.await.unwrap_or(Err(AppendError::Closed))
        })
    }

    fn write_large(
        &self,
        object: ObjectId,
        bytes: Vec<u8>,
    ) -> BoxFuture<'_, Result<LargeBody, AppendError>> {
        let disk = self.disk.clone();
        Box::pin(async move {
            let write = move || journal::write_large(&*disk, object, &bytes);
            let written = tokio::task::spawn_blocking(write).await;
            match written.map_err(|_| AppendError::Failed)? {
                Ok(body) => Ok(body),
                Err(error) if error.kind() == io::ErrorKind::StorageFull => Err(AppendError::Full),
                Err(_) => Err(AppendError::Failed),
            }
        })
    }

    fn discard_large(&self, object: ObjectId) {
        let disk = self.disk.clone();
        if let Ok(runtime) = tokio::runtime::Handle::try_current() {
            runtime.spawn_blocking(move || journal::remove_large(&*disk, object));
        }
    }

    fn reader(&self) -> &Reader {
        &self.reader
    }
}

impl std::fmt::Debug for JournalLog {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "JournalLog")
    }
}

/// What the thread owns.
struct Writer {
    journal: Journal,
    index: Option<SledIndex>,
    events: EventLog,
    queue: Receiver<Message>,
    /// Accounts whose head in the index is old.
    dirty: BTreeSet<AccountNumber>,
}

impl Writer {
    fn run(mut self) -> io::Result<Position> {
        let mut waiting = Waiting::default();
        let mut maintained = Instant::now();
        let mut busy = false;
        let mut stopping = false;
        while !(stopping && waiting.is_empty()) {
            if waiting.is_empty() && !self.wait(&mut waiting, &mut busy, &mut stopping) {
                maintained = Instant::now();
                continue;
            }
            while let Ok(message) = self.queue.try_recv() {
                waiting.take(message, &mut stopping);
            }
            self.append(waiting.next_group());
            if maintained.elapsed() >= Duration::from_millis(MAINTAIN_EVERY_MS) {
                self.maintain();
                maintained = Instant::now();
            }
        }
        self.close()
    }

    /// Waits for a submission; cleans up when none comes. `false`: nothing came.
    fn wait(&mut self, waiting: &mut Waiting, busy: &mut bool, stopping: &mut bool) -> bool {
        let timeout = Duration::from_millis(if *busy { 0 } else { IDLE_MS });
        match self.queue.recv_timeout(timeout) {
            Ok(message) => {
                waiting.take(message, stopping);
                true
            }
            Err(RecvTimeoutError::Timeout) => {
                self.journal.mark();
                *busy = self.maintain();
                false
            }
            Err(RecvTimeoutError::Disconnected) => {
                *stopping = true;
                false
            }
        }
    }

    fn append(&mut self, group: Vec<Submission>) {
        let (mut batches, mut replies) = (Vec::new(), Vec::new());
        for submission in group {
            batches.push(submission.batch);
            replies.push((submission.reply, submission._place));
        }
        let outcomes = self.journal.append(&batches);
        for ((reply, _place), outcome) in replies.into_iter().zip(outcomes) {
            if let Err(error) = &outcome {
                self.events.emit(&JournalEvent::Refused(*error));
            }
            // Who no longer waits need not be told.
            let _ = reply.send(outcome);
        }
        self.dirty.extend(batches.iter().flatten().map(|entry| entry.account));
    }

    /// Brings the index up to date and cleans up a little. `true` if there is more to clean up.
    fn maintain(&mut self) -> bool {
        if let Some(index) = &self.index {
            let reader = self.journal.reader();
            let dirty = std::mem::take(&mut self.dirty);
            dirty.into_iter().for_each(|account| index.put(account, reader.account(account)));
        }
        self.journal.maintain(MAINTAIN_BUDGET)
    }

    fn close(mut self) -> io::Result<Position> {
        self.maintain();
        let position = self.journal.close()?;
        if let Some(index) = self.index {
            index.close(position)?;
        }
        Ok(position)
    }
}

/// Submissions that wait, by account, in a fair order.
#[derive(Default)]
struct Waiting {
    queues: HashMap<AccountNumber, VecDeque<Submission>>,
    /// The accounts that have a queue; whose turn it is, first.
    order: VecDeque<AccountNumber>,
}

impl Waiting {
    fn is_empty(&self) -> bool {
        self.order.is_empty()
    }

    fn take(&mut self, message: Message, stopping: &mut bool) {
        match message {
            Message::Stop => *stopping = true,
            Message::Append(submission) => self.push(submission),
        }
    }

    /// A batch of several accounts counts for the first of them.
    fn push(&mut self, submission: Submission) {
        let account = submission.batch.first().map_or(AccountNumber(0), |entry| entry.account);
        let queue = self.queues.entry(account).or_default();
        if queue.is_empty() {
            self.order.push_back(account);
        }
        queue.push_back(submission);
    }

    /// What the next sync shall take: of each account in turn at most its share, but at least one
    /// batch of somebody's. Who did not get everything in keeps his place.
    fn next_group(&mut self) -> Vec<Submission> {
        let (mut group, mut bytes) = (Vec::new(), 0);
        let mut served = VecDeque::new();
        for account in std::mem::take(&mut self.order) {
            let Some(queue) = self.queues.get_mut(&account) else { continue };
            let before = group.len();
            take_share(queue, &mut group, &mut bytes);
            match (queue.is_empty(), group.len() > before) {
                (true, _) => drop(self.queues.remove(&account)),
                (false, true) => served.push_back(account),
                (false, false) => self.order.push_back(account),
            }
        }
        // Whoever got something and has more waits behind those who got nothing, so that each comes
        // to the front, where everything fits.
        self.order.append(&mut served);
        group
    }
}

/// Moves one account's share into the group.
fn take_share(queue: &mut VecDeque<Submission>, group: &mut Vec<Submission>, bytes: &mut usize) {
    let (mut own_bytes, mut own_entries) = (0, 0);
    while let Some(next) = queue.front() {
        let in_share = own_entries == 0
            || (own_bytes + next.bytes <= ACCOUNT_GROUP_BYTES_MAX
                && own_entries + next.batch.len() <= ACCOUNT_GROUP_ENTRIES_MAX);
        let in_group = group.is_empty() || *bytes + next.bytes <= GROUP_BYTES_MAX;
        if !in_share || !in_group {
            return;
        }
        *bytes += next.bytes;
        own_bytes += next.bytes;
        own_entries += next.batch.len().max(1);
        group.extend(queue.pop_front());
    }
}

fn entry_bytes(entry: &Entry) -> usize {
    let body = match &entry.body {
        Body::Inline(body) => body.len(),
        Body::None | Body::Large(_) => 0,
    };
    entry.head.len() + body
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::crypto::Key;
    use crate::base::disk::memory::{Loss, MemoryDisk};
    use crate::base::entropy::SeededEntropy;
    use crate::journal::Class;

    fn started(disk: &MemoryDisk) -> (JournalLog, JournalThread) {
        let options = Options::small(Key::copy_from(&[3; 32]).unwrap());
        let entropy = Arc::new(SeededEntropy::new(1));
        let disk = Arc::new(disk.clone());
        let (log, thread, _) = start(disk, options, entropy, None, EventLog::silent()).unwrap();
        (log, thread)
    }

    fn arrival(account: u32, bytes: usize) -> Entry {
        Entry {
            class: Class::Arrival,
            account: AccountNumber(account),
            object: ObjectId([account as u8; 16]),
            head: vec![1; 10],
            body: Body::Inline(vec![2; bytes]),
        }
    }

    fn submission(account: u32, bytes: usize) -> Submission {
        let places = Arc::new(Semaphore::new(1));
        Submission {
            batch: vec![arrival(account, 0)],
            bytes,
            reply: oneshot::channel().0,
            _place: places.try_acquire_owned().unwrap(),
        }
    }

    #[tokio::test]
    async fn what_many_tasks_submit_is_durable_when_they_are_told() {
        let disk = MemoryDisk::new();
        let (log, thread) = started(&disk);
        let submit = |n: u32| {
            let log = log.clone();
            tokio::spawn(async move { log.submit(vec![arrival(n, 100)]).await.unwrap()[0] })
        };
        let tasks: Vec<_> = (0..50).map(submit).collect();
        for task in tasks {
            let at = task.await.unwrap();
            assert_eq!(log.reader().body(at).unwrap(), vec![2; 100]);
        }
        disk.power_cut(Loss::All);
        drop(thread);
        let (log, _thread) = started(&disk);
        for account in 0..50 {
            let head = log.reader().account(AccountNumber(account));
            assert_eq!(head.arrivals_since_record, 1, "account {account}");
        }
    }

    #[tokio::test]
    async fn after_a_stop_nothing_is_taken() {
        let disk = MemoryDisk::new();
        let (log, thread) = started(&disk);
        log.submit(vec![arrival(1, 1)]).await.unwrap();
        let position = tokio::task::spawn_blocking(|| thread.stop()).await.unwrap().unwrap();
        assert_eq!(log.submit(vec![arrival(1, 1)]).await, Err(AppendError::Closed));
        let (log, thread) = started(&disk);
        assert_eq!(log.reader().account(AccountNumber(1)).arrivals_since_record, 1);
        assert_eq!(tokio::task::spawn_blocking(|| thread.stop()).await.unwrap().unwrap(), position);
    }

    #[tokio::test]
    async fn it_is_noticed_that_the_thread_has_ended() {
        let disk = MemoryDisk::new();
        let (log, mut thread) = started(&disk);
        log.submit(vec![arrival(1, 1)]).await.unwrap();
        let early = tokio::time::timeout(Duration::from_millis(1), thread.ended()).await;
        assert!(early.is_err(), "it runs");
        thread.submissions.send(Message::Stop).unwrap();
        thread.ended().await;
    }

    #[tokio::test]
    async fn on_the_real_disk_the_index_is_believed_after_a_clean_stop() {
        let name = format!("postseal-thread-{}", std::process::id());
        let dir = std::env::temp_dir().join(name);
        let _ = std::fs::remove_dir_all(&dir);
        let mut at = None;
        for run in 0..2 {
            let disk: Arc<dyn Disk> = Arc::new(crate::host::disk::DataDir::open(&dir).unwrap());
            let (index, claim) = SledIndex::open(&dir, disk.clone()).unwrap();
            assert_eq!(claim.is_some(), run == 1);
            let options = Options {
                reserve_bytes: 1 << 20,
                ..Options::new(Key::copy_from(&[3; 32]).unwrap())
            };
            let entropy = Arc::new(SeededEntropy::new(1));
            let (log, thread, recovery) =
                start(disk, options, entropy, Some((index, claim)), EventLog::silent()).unwrap();
            assert_eq!((recovery.clean, recovery.copied), (run == 1, false));
            if let Some(at) = at {
                assert_eq!(log.reader().body(at).unwrap(), vec![2; 5000]);
                assert_eq!(log.reader().account(AccountNumber(7)).arrivals_since_record, 1);
            }
            at = Some(log.submit(vec![arrival(7, 5000)]).await.unwrap()[0]);
            tokio::task::spawn_blocking(|| thread.stop()).await.unwrap().unwrap();
        }
        std::fs::remove_dir_all(dir).unwrap();
    }

    #[test]
    fn one_account_cannot_fill_a_group() {
        let mut waiting = Waiting::default();
        (0..200).for_each(|_| waiting.push(submission(1, 1000)));
        (2..5).for_each(|account| waiting.push(submission(account, 1000)));
        let group = waiting.next_group();
        let of = |account: u32| {
            group.iter().filter(|it| it.batch[0].account == AccountNumber(account)).count()
        };
        assert_eq!((of(1), of(2), of(3), of(4)), (ACCOUNT_GROUP_ENTRIES_MAX, 1, 1, 1));
        let mut left = 0;
        while !waiting.is_empty() {
            left += waiting.next_group().len();
        }
        assert_eq!(left, 200 - ACCOUNT_GROUP_ENTRIES_MAX);
    }

    #[test]
    fn a_large_batch_is_not_passed_over_for_ever() {
        let mut waiting = Waiting::default();
        waiting.push(submission(1, 10));
        waiting.push(submission(2, GROUP_BYTES_MAX));
        let mut rounds = 0;
        while waiting.queues.contains_key(&AccountNumber(2)) {
            // Others keep coming, each with something small.
            (3..6).for_each(|account| waiting.push(submission(account, 10)));
            waiting.next_group();
            rounds += 1;
            assert!(rounds < 5, "it starves");
        }
    }

    #[test]
    fn a_batch_above_every_share_still_gets_its_turn() {
        let mut waiting = Waiting::default();
        waiting.push(submission(1, GROUP_BYTES_MAX * 2));
        waiting.push(submission(2, 10));
        assert_eq!(waiting.next_group().len() + waiting.next_group().len(), 2);
        assert!(waiting.is_empty());
    }

    /// Prints what a message of 10 kB costs, by the size of the group; asserts nothing. Run it in
    /// release: `cargo test --release --lib thread::tests::figures -- --ignored --nocapture`.
    #[test]
    #[ignore = "prints figures"]
    fn figures() {
        let dir = std::env::temp_dir().join(format!("postseal-figures-{}", std::process::id()));
        for group in [1, 4, 16, 64] {
            let _ = std::fs::remove_dir_all(&dir);
            let disk = Arc::new(crate::host::disk::DataDir::open(&dir).unwrap());
            let options = Options::new(Key::copy_from(&[3; 32]).unwrap());
            let entropy = Arc::new(SeededEntropy::new(1));
            let (mut journal, _) = Journal::open(disk, options, entropy).unwrap();
            let batches: Vec<_> = (0..group).map(|n| vec![arrival(n, 10_000)]).collect();
            let (start, cpu) = (Instant::now(), cpu_us());
            let rounds = 8000 / u128::from(group);
            (0..rounds).for_each(|_| assert!(journal.append(&batches).iter().all(Result::is_ok)));
            let messages = rounds * u128::from(group);
            let (wall, cpu) = (start.elapsed().as_micros(), cpu_us() - cpu);
            println!("groups of {group}: {} us CPU, {} us wall", cpu / messages, wall / messages);
        }
        std::fs::remove_dir_all(dir).unwrap();
    }

    /// What this thread has used of the processor, in microseconds.
    fn cpu_us() -> u128 {
        let stat = std::fs::read_to_string("/proc/thread-self/schedstat").unwrap();
        stat.split(' ').next().unwrap().parse::<u128>().unwrap() / 1000
    }
}
