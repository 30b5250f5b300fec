//! The book over a network and a disk of the tests' making: what senders are told over days and
//! years, and what a disk may lose.

use super::{KeyBook, Options, Parts};
use crate::base::BoxFuture;
use crate::base::blocking::{Blocking, InPlace};
use crate::base::clock::Clock;
use crate::base::crypto::Key;
use crate::base::disk::memory::{Failure, Fault, Loss, MemoryDisk};
use crate::base::entropy::SeededEntropy;
use crate::base::event::{Event, Log, LogSink};
use crate::base::fetch::FetchError;
use crate::base::ids::AccountNumber;
use crate::discovery::testing::{NOW, TIME_MAX, TestNet, octets, status};
use crate::discovery::{Circle, FailWhy, FindKey, Verdict, Vet, testing};
use crate::mail::Address;
use crate::pgp::{self, Unusable};
use std::sync::{Arc, Mutex};
use std::time::Duration;

const ZONE: &str = "openpgpkey.peer.example A 9.9.9.9\npeer.example A 9.9.9.8\n";
const DAY: Duration = Duration::from_secs(86_400);

fn options() -> Options {
    Options {
        found: DAY,
        absent: DAY / 8,
        failed: DAY / 144,
        missing: 30 * DAY,
        searches_max: 64,
        searches_per_domain_max: 4,
        local_domains: vec!["home.example".into()],
    }
}

/// The names of the events that came.
#[derive(Default)]
struct Heard(Mutex<Vec<&'static str>>);

impl LogSink for Heard {
    fn emit(&self, event: &dyn Event) {
        self.0.lock().unwrap().push(event.name());
    }
}

impl Heard {
    fn take(&self) -> Vec<&'static str> {
        std::mem::take(&mut self.0.lock().unwrap())
    }
}

struct World {
    net: Arc<TestNet>,
    disk: MemoryDisk,
    heard: Arc<Heard>,
}

impl World {
    fn new() -> World {
        World {
            net: TestNet::new(ZONE),
            disk: MemoryDisk::new(),
            heard: Arc::new(Heard::default()),
        }
    }

    fn open(&self) -> KeyBook {
        self.open_with(1)
    }

    fn open_with(&self, root_seed: u64) -> KeyBook {
        self.open_over(root_seed, Arc::new(InPlace))
    }

    fn open_over(&self, root_seed: u64, blocking: Arc<dyn Blocking>) -> KeyBook {
        let world = self.net.world();
        KeyBook::open(Parts {
            finder: self.net.finder(Vet::default()),
            disk: Arc::new(self.disk.clone()),
            clock: world.clock,
            timer: world.timer,
            blocking,
            entropy: Arc::new(SeededEntropy::new(7)),
            log: Log::new(Arc::clone(&self.heard) as Arc<dyn LogSink>),
            root: Key::random(&SeededEntropy::new(root_seed)),
            options: options(),
        })
    }
}

fn address(text: &str) -> Address {
    text.parse().unwrap()
}

fn alice() -> Address {
    address("alice@peer.example")
}

fn cert() -> Vec<u8> {
    pgp::generate_identity("alice@peer.example", NOW).unwrap().public
}

async fn find(book: &KeyBook) -> Verdict {
    book.find(&alice(), TIME_MAX).await
}

fn is_stale(verdict: &Verdict) -> Option<bool> {
    match verdict {
        Verdict::Key { stale, .. } => Some(*stale),
        _ => None,
    }
}

#[tokio::test]
async fn each_kind_of_answer_is_believed_for_its_own_time() {
    let world = World::new();
    let book = world.open();
    let asked_after = async |pause: Duration| {
        world.net.clock.advance(pause);
        find(&book).await;
        world.net.asked().len()
    };
    // An absence for three hours.
    assert_eq!(find(&book).await, Verdict::None);
    assert_eq!(world.net.asked().len(), 1);
    assert_eq!(asked_after(DAY / 8).await, 0);
    assert_eq!(asked_after(Duration::from_secs(1)).await, 1);
    // A failure for ten minutes, and never as an absence.
    world.net.clock.advance(DAY);
    world.net.set_web(|_| Ok(status(503)));
    assert_eq!(find(&book).await, Verdict::Failed(FailWhy::Status(503)));
    world.net.asked();
    assert_eq!(asked_after(DAY / 144).await, 0);
    assert_eq!(find(&book).await, Verdict::Failed(FailWhy::Status(503)));
    assert_eq!(asked_after(Duration::from_secs(1)).await, 1);
    // A key for a day.
    world.net.clock.advance(DAY);
    world.net.serve(&cert());
    assert_eq!(is_stale(&find(&book).await), Some(false));
    world.net.asked();
    assert_eq!(asked_after(DAY).await, 0);
    assert_eq!(asked_after(Duration::from_secs(1)).await, 1);
    assert_eq!(
        world.heard.take(),
        ["ledger.opened", "key.search-failed", "key.search-failed", "key.found"]
    );
}

#[tokio::test]
async fn addresses_are_told_apart_but_not_by_the_case_of_their_letters() {
    let world = World::new();
    let book = world.open();
    world.net.serve(&cert());
    find(&book).await;
    world.net.asked();
    book.find(&address("ALICE@Peer.Example"), TIME_MAX).await;
    assert_eq!(world.net.asked().len(), 0);
    let other = book.find(&address("alicia@peer.example"), TIME_MAX).await;
    assert_eq!(other, Verdict::Unusable(Unusable::WrongUserId));
    assert_eq!(world.net.asked().len(), 1);
    assert_eq!(book.find(&address("x@home.example"), TIME_MAX).await, Verdict::None);
    assert_eq!((world.net.asked().len(), world.net.resolved().len()), (0, 2));
}

/// The first contact with an unsigned domain can be forged; that is said in the claims. After that
/// no forged absence makes mail go out plain, not in a year.
#[tokio::test]
async fn once_a_key_was_seen_no_absence_is_none_for_a_year() {
    for (name, zone, code) in [
        ("404", ZONE, 404),
        ("410", ZONE, 410),
        ("forged NXDOMAIN", "peer.example NXDOMAIN\nopenpgpkey.peer.example NXDOMAIN\n", 404),
        ("proven NXDOMAIN", "$secure\npeer.example NXDOMAIN\n", 404),
        ("no address", "peer.example MX 10 mail.peer.example\n", 404),
        ("forged, then 404 at the other", "peer.example A 9.9.9.8\n", 404),
    ] {
        let world = World::new();
        let book = world.open();
        world.net.serve(&cert());
        assert_eq!(is_stale(&find(&book).await), Some(false));
        world.net.set_zone(zone);
        world.net.set_web(move |_| Ok(status(code)));
        world.net.clock.advance(2 * DAY);
        let (mut stale, mut vanished) = (0, 0);
        for _ in 0..365 {
            match find(&book).await {
                Verdict::Key { stale: true, .. } => stale += 1,
                Verdict::Vanished => vanished += 1,
                other => panic!("{name}: {other:?}"),
            }
            world.net.clock.advance(DAY);
        }
        assert_eq!((stale, vanished), (31, 334), "{name}");
        let told = world.heard.take();
        assert_eq!(told, ["ledger.opened", "key.found", "key.missing"], "{name}");
        // A key that comes back is a key.
        world.net.set_zone(ZONE);
        world.net.serve(&cert());
        assert_eq!(is_stale(&find(&book).await), Some(false), "{name}");
        // Whoever is told to forget, forgets.
        world.net.set_web(|_| Ok(status(404)));
        assert!(book.forget(&alice()) && !book.forget(&alice()));
        assert_eq!(find(&book).await, Verdict::None, "{name}");
    }
}

#[tokio::test]
async fn failures_leave_a_known_key_in_use_for_as_long_as_an_absence_would() {
    let world = World::new();
    let book = world.open();
    world.net.serve(&cert());
    find(&book).await;
    world.net.set_web(|_| Err(FetchError::Connect));
    world.net.clock.advance(2 * DAY);
    assert_eq!(is_stale(&find(&book).await), Some(true));
    world.net.clock.advance(29 * DAY);
    assert_eq!(is_stale(&find(&book).await), Some(true));
    world.net.clock.advance(2 * DAY);
    assert_eq!(find(&book).await, Verdict::Failed(FailWhy::Connect));
    assert_eq!(book.known(&alice()), None);
}

#[tokio::test]
async fn a_key_that_was_revoked_is_not_used_from_memory() {
    let world = World::new();
    let book = world.open();
    world.net.serve(&cert());
    find(&book).await;
    world.net.clock.advance(2 * DAY);
    world.net.serve(&octets(testing::REVOKED));
    assert_eq!(find(&book).await, Verdict::Unusable(Unusable::WrongUserId));
    world.net.set_web(|_| Ok(status(404)));
    world.net.clock.advance(2 * DAY);
    assert_eq!(find(&book).await, Verdict::Vanished);
    book.flush();
    assert_eq!(world.open().known(&alice()), None);
}

#[tokio::test]
async fn a_changed_key_is_taken_and_told() {
    let world = World::new();
    let book = world.open();
    world.net.serve(&cert());
    find(&book).await;
    let second = cert();
    world.net.serve(&second);
    world.net.clock.advance(2 * DAY);
    let Verdict::Key { cert, stale: false } = find(&book).await else { panic!("no key") };
    assert_eq!(cert.primary(), pgp::fingerprint(&second).unwrap());
    assert_eq!(world.heard.take(), ["ledger.opened", "key.found", "key.changed"]);
}

#[tokio::test]
async fn what_was_flushed_is_there_after_a_restart_and_says_no_names() {
    let world = World::new();
    let book = world.open();
    let bytes = cert();
    world.net.serve(&bytes);
    find(&book).await;
    book.note_confidential(Circle::Everybody, "<secret-7@peer.example>");
    book.flush();
    book.note_confidential(Circle::Everybody, "<late@peer.example>");
    world.net.asked();
    world.disk.power_cut(Loss::All);
    let book = world.open();
    assert_eq!(is_stale(&find(&book).await), Some(false));
    assert_eq!(world.net.asked().len(), 0);
    let known = pgp::judge_cert(&book.known(&alice()).unwrap(), &alice(), NOW).unwrap();
    assert_eq!(known.primary(), pgp::fingerprint(&bytes).unwrap());
    assert!(book.is_confidential(None, " secret-7@peer.example "));
    assert!(!book.is_confidential(None, "<late@peer.example>") && !book.is_confidential(None, ""));
    let file = world.disk.contents("ledger/ledger").unwrap();
    for word in [&b"alice"[..], b"peer.example", b"secret-7", &bytes[20..40]] {
        assert!(!file.windows(word.len()).any(|window| window == word));
    }
    assert_eq!(world.heard.take().last(), Some(&"ledger.opened"));
}

/// Without a flush: a mail is sealed by the answer, and the next one must not be plain because the
/// power failed in between and the directory is hidden since.
#[tokio::test]
async fn a_first_sight_and_a_changed_key_outlive_a_power_cut_at_once() {
    let world = World::new();
    for bytes in [cert(), cert()] {
        world.net.clock.advance(2 * DAY);
        world.net.serve(&bytes);
        let book = world.open();
        assert_eq!(is_stale(&find(&book).await), Some(false));
        world.disk.power_cut(Loss::All);
        world.net.set_web(|_| Ok(status(404)));
        let book = world.open();
        let known = pgp::judge_cert(&book.known(&alice()).unwrap(), &alice(), NOW).unwrap();
        assert_eq!(known.primary(), pgp::fingerprint(&bytes).unwrap());
        world.net.clock.advance(2 * DAY);
        assert_eq!(is_stale(&find(&book).await), Some(true));
    }
}

/// A disk that does nothing until it is let.
#[derive(Default)]
struct SlowDisk(Mutex<Vec<Begun>>);

type Begun = (Box<dyn FnOnce() + Send>, tokio::sync::oneshot::Sender<()>);

impl SlowDisk {
    fn is_asked(&self) -> usize {
        self.0.lock().unwrap().len()
    }

    fn go_on(&self) {
        for (work, done) in std::mem::take(&mut *self.0.lock().unwrap()) {
            work();
            let _ = done.send(());
        }
    }
}

impl Blocking for SlowDisk {
    fn run(&self, work: Box<dyn FnOnce() + Send>) -> BoxFuture<'static, ()> {
        let (done, wait) = tokio::sync::oneshot::channel();
        self.0.lock().unwrap().push((work, done));
        Box::pin(async move { wait.await.unwrap_or(()) })
    }
}

/// Somebody else finds the key in memory while it is still being written for the first one, or has
/// been given up by him: he waits for the disk as well.
#[tokio::test]
async fn nobody_is_told_of_a_key_before_it_is_durable() {
    let world = World::new();
    let disk = Arc::new(SlowDisk::default());
    let book = Arc::new(world.open_over(1, disk.clone()));
    world.net.serve(&cert());
    let ask = |book: &Arc<KeyBook>| {
        let book = Arc::clone(book);
        tokio::spawn(async move { find(&book).await })
    };
    let settle = async || {
        for _ in 0..100 {
            tokio::task::yield_now().await;
        }
    };
    let first = ask(&book);
    settle().await;
    assert_eq!(disk.is_asked(), 1);
    let second = ask(&book);
    settle().await;
    assert!(!first.is_finished() && !second.is_finished());
    first.abort();
    let third = ask(&book);
    settle().await;
    assert!(!second.is_finished() && !third.is_finished());
    disk.go_on();
    for task in [second, third] {
        assert_eq!(is_stale(&task.await.unwrap()), Some(false));
    }
    world.disk.power_cut(Loss::All);
    assert!(world.open().known(&alice()).is_some());
    // What is written costs nobody a wait.
    assert_eq!(is_stale(&find(&book).await), Some(false));
    assert_eq!(world.net.asked().len(), 1);
}

/// The time is over while the disk is at it: mail waits, and is not sealed by what memory has.
#[tokio::test]
async fn who_has_no_time_for_the_disk_is_told_of_no_key() {
    let world = World::new();
    let disk = Arc::new(SlowDisk::default());
    let book = Arc::new(world.open_over(1, disk.clone()));
    world.net.serve(&cert());
    let first = {
        let book = Arc::clone(&book);
        tokio::spawn(async move { find(&book).await })
    };
    while disk.is_asked() == 0 {
        tokio::task::yield_now().await;
    }
    first.abort();
    *world.net.passed.lock().unwrap() = TIME_MAX;
    *world.net.stuck.lock().unwrap() = true;
    assert_eq!(find(&book).await, Verdict::Failed(FailWhy::Timeout));
    disk.go_on();
    assert_eq!(is_stale(&find(&book).await), Some(false));
}

/// A key is a key, also when it cannot be written.
#[tokio::test]
async fn a_first_sight_on_a_broken_disk_is_used_and_the_log_complains() {
    let world = World::new();
    world.net.serve(&cert());
    let book = world.open();
    world.disk.inject(Fault { op: None, nth: 1, lasting: true, failure: Failure::NoSpace });
    assert_eq!(is_stale(&find(&book).await), Some(false));
    assert_eq!(world.heard.take(), ["ledger.opened", "key.found", "ledger.not-written"]);
    world.disk.heal();
    book.flush();
    assert!(world.open().known(&alice()).is_some());
}

/// Anybody can send one account something sealed under the id of any message, and often.
#[tokio::test]
async fn what_strangers_send_concerns_its_recipient_alone_and_pushes_out_nothing_of_ours() {
    let world = World::new();
    let book = world.open();
    let (alice, bob) = (AccountNumber(1), AccountNumber(2));
    book.note_confidential(Circle::Everybody, "<ours@home.example>");
    world.net.clock.advance(DAY);
    book.note_confidential(Circle::Account(alice), "<thread@list.example>");
    book.flush();
    for book in [&book, &world.open()] {
        let heard = |who| book.is_confidential(who, "<thread@list.example>");
        assert_eq!([heard(Some(alice)), heard(Some(bob)), heard(None)], [true, false, false]);
    }
    for number in 0..5_000 {
        book.note_confidential(Circle::Account(bob), &format!("<{number}@flood.example>"));
    }
    book.flush();
    for book in [&book, &world.open()] {
        assert!(!book.is_confidential(Some(bob), "<0@flood.example>"), "it was no flood");
        for reader in [Some(alice), Some(bob), None] {
            assert!(book.is_confidential(reader, "<ours@home.example>"));
        }
    }
}

#[tokio::test]
async fn a_damaged_or_foreign_file_is_an_empty_one_and_is_told() {
    let world = World::new();
    let book = world.open();
    world.net.serve(&cert());
    find(&book).await;
    book.flush();
    world.heard.take();
    assert_eq!(world.open_with(2).known(&alice()), None);
    assert_eq!(world.heard.take(), ["ledger.damaged", "ledger.opened"]);
    world.disk.flip("ledger/ledger", 3, 1);
    let book = world.open();
    assert_eq!(book.known(&alice()), None);
    assert_eq!(world.heard.take(), ["ledger.damaged", "ledger.opened"]);
    // It begins anew.
    find(&book).await;
    book.flush();
    assert!(world.open().known(&alice()).is_some());
}

/// At any operation the disk may fail and the power may go: what was flushed without a complaint
/// is there afterwards, and the rest is there or not.
#[tokio::test]
async fn power_may_fail_at_any_write() {
    let bytes = cert();
    for nth in 1..40 {
        for (seed, failure) in [(1, Failure::Io), (2, Failure::NoSpace)] {
            let world = World::new();
            world.net.serve(&bytes);
            world.disk.inject(Fault { op: None, nth, lasting: true, failure });
            let book = world.open();
            let mut durable = Vec::new();
            for round in 0..6 {
                let id = format!("{round}@peer.example");
                book.note_confidential(Circle::Everybody, &id);
                if round == 2 {
                    find(&book).await;
                }
                world.heard.take();
                book.flush();
                if world.heard.take().is_empty() {
                    durable.push((round, id));
                }
            }
            world.disk.power_cut(Loss::Some(seed + nth));
            let book = world.open();
            for (round, id) in &durable {
                assert!(book.is_confidential(None, id), "{nth} {round}");
                assert!(*round < 2 || book.known(&alice()).is_some(), "{nth} {round}");
            }
            // And it can be written again.
            book.note_confidential(Circle::Everybody, "after");
            book.flush();
            assert!(world.open().is_confidential(None, "after"), "{nth}");
        }
    }
}

#[tokio::test]
async fn a_disk_that_fails_once_has_everything_after_the_next_flush() {
    let world = World::new();
    let book = world.open();
    book.note_confidential(Circle::Everybody, "one");
    book.flush();
    for nth in 1..4 {
        world.disk.inject(Fault { op: None, nth, lasting: false, failure: Failure::Io });
        book.note_confidential(Circle::Everybody, &format!("two {nth}"));
        book.flush();
        world.disk.heal();
        book.flush();
        world.disk.power_cut(Loss::All);
        let again = world.open();
        assert!(
            again.is_confidential(None, "one")
                && again.is_confidential(None, &format!("two {nth}"))
        );
        // The old book's handles are dead; it writes a new file.
        book.note_confidential(Circle::Everybody, &format!("three {nth}"));
        book.flush();
        book.flush();
        assert!(world.open().is_confidential(None, &format!("three {nth}")), "{nth}");
    }
}

#[tokio::test]
async fn the_file_is_written_anew_when_it_has_grown() {
    let world = World::new();
    let book = world.open();
    world.net.serve(&cert());
    find(&book).await;
    let mut longest = 0;
    for _ in 0..2500 {
        world.net.clock.advance(2 * DAY);
        find(&book).await;
        book.flush();
        longest = longest.max(world.disk.contents("ledger/ledger").unwrap().len());
    }
    assert!((1 << 20..3 << 20).contains(&longest), "{longest}");
    assert!(world.disk.contents("ledger/ledger").unwrap().len() < longest);
    assert!(world.open().known(&alice()).is_some());
    assert_eq!(world.disk.paths(), ["ledger/ledger"]);
}

#[tokio::test]
async fn many_who_ask_for_one_address_share_one_search() {
    let world = World::new();
    let book = Arc::new(world.open());
    world.net.serve(&cert());
    *world.net.slow.lock().unwrap() = true;
    let tasks: Vec<_> = (0..50)
        .map(|_| {
            let book = Arc::clone(&book);
            tokio::spawn(async move { find(&book).await })
        })
        .collect();
    for task in tasks {
        assert_eq!(is_stale(&task.await.unwrap()), Some(false));
    }
    assert_eq!(world.net.asked().len(), 1);
}

#[tokio::test]
async fn searches_for_one_domain_are_few_at_once() {
    let world = World::new();
    let book = Arc::new(world.open());
    *world.net.slow.lock().unwrap() = true;
    let tasks: Vec<_> = (0..40)
        .map(|n| {
            let book = Arc::clone(&book);
            let who = address(&format!("a{n}@peer.example"));
            tokio::spawn(async move { book.find(&who, TIME_MAX).await })
        })
        .collect();
    for task in tasks {
        assert_eq!(task.await.unwrap(), Verdict::None);
    }
    assert_eq!(world.net.most_at_once(), 4);
    assert_eq!(world.net.asked().len(), 40);
}

#[tokio::test]
async fn who_has_no_time_is_answered_from_memory_and_nothing_is_learnt() {
    let world = World::new();
    let book = world.open();
    let two_seconds = Duration::from_secs(2);
    *world.net.passed.lock().unwrap() = two_seconds;
    *world.net.stuck.lock().unwrap() = true;
    let failed = Verdict::Failed(FailWhy::Timeout);
    assert_eq!(book.find(&alice(), two_seconds).await, failed);
    *world.net.stuck.lock().unwrap() = false;
    world.net.serve(&cert());
    assert_eq!(is_stale(&find(&book).await), Some(false));
    world.net.clock.advance(2 * DAY);
    *world.net.stuck.lock().unwrap() = true;
    assert_eq!(is_stale(&book.find(&alice(), two_seconds).await), Some(true));
    *world.net.stuck.lock().unwrap() = false;
    assert_eq!(is_stale(&find(&book).await), Some(false));
}

#[tokio::test]
async fn a_lookup_by_hand_asks_anew_and_tells_each_step() {
    let world = World::new();
    let book = world.open();
    world.net.serve(&cert());
    find(&book).await;
    world.net.asked();
    let report = book.look_up(&alice(), TIME_MAX).await;
    assert_eq!(world.net.asked().len(), 1);
    assert_eq!(is_stale(&report.verdict), Some(false));
    assert_eq!(report.steps.len(), 4, "{:?}", report.steps);
    assert!(report.steps[0].starts_with("openpgpkey.peer.example is at 9.9.9.9"));
    assert_eq!(report.steps[3], "a key is known for 0 days, last seen 0 days ago");
    world.net.set_web(|_| Ok(status(404)));
    world.net.clock.advance(3 * DAY);
    let report = book.look_up(&alice(), TIME_MAX).await;
    assert_eq!(is_stale(&report.verdict), Some(true));
    assert_eq!(report.steps.last().unwrap(), "it is missing for 0 days");
    assert_eq!(world.net.clock.now().0, NOW.0 + 3 * 86_400);
}

/// A clock that jumps back makes nothing believed for longer, and nothing plain.
#[tokio::test]
async fn answers_from_the_future_are_not_believed() {
    let world = World::new();
    let book = world.open();
    world.net.serve(&cert());
    find(&book).await;
    world.net.clock.jump_to(crate::base::clock::UnixTime(NOW.0 - 100 * 86_400));
    world.net.asked();
    world.net.set_web(|_| Ok(status(404)));
    let verdict = find(&book).await;
    assert_eq!(world.net.asked().len(), 1);
    assert_eq!(is_stale(&verdict), Some(true), "{verdict:?}");
}
