//! Weeks of a queue in simulation: messages, servers that come and go, replies that are lost,
//! keys that cannot be looked up, disks that fail, crashes and commands, in an order that a seed
//! decides.
//!
//! What is checked: whoever was acknowledged is delivered, or his owner was told that he was not,
//! for a reason that held: the server's last word, or five days. Nothing comes twice except around
//! a crash, a lost record or a lost reply. Once all is well again, all goes out within hours.
//!
//! `SEED=n` replays one seed; `SEEDS=n` runs as many; `DAYS=23` gives each of them a month, and has
//! to be given again when such a seed is replayed.

use super::house::*;
use crate::base::clock::{Clock, UnixTime};
use crate::base::disk::memory::{Failure, Fault, Loss};
use crate::base::entropy::SeededEntropy;
use crate::relay::outgoing::*;
use crate::relay::queue::CommandError;
use crate::seams::DeliverError;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex};
use std::time::Duration;

/// Seeds of a normal run, over all tests of this file.
const SEEDS: u64 = 200;
const SHARES: u64 = 4;
const HOUR: u64 = 60 * 60;
/// Days on which things fail, in a normal run: more than a message lives (five), so that some are
/// given up, and enough that the places of days that are over are used again.
const DAYS: u64 = 9;
/// Days after them on which nothing fails any more.
const CALM_DAYS: i64 = 7;
const DOMAINS: u64 = 6;

/// How the world around the queue is now.
#[derive(Default)]
struct Weather {
    /// Domains whose servers do not answer.
    down: BTreeSet<u64>,
    /// Domains whose keys cannot be looked up.
    blind: BTreeSet<u64>,
    /// A reply in so many is lost: the server has the message, and we do not know it.
    lossy: Option<u64>,
    /// Deliveries whose reply was lost, by recipient.
    lost: BTreeMap<String, usize>,
    /// Recipients that a server has refused for good.
    refused: BTreeSet<String>,
}

struct World {
    house: House,
    dice: SeededEntropy,
    weather: Arc<Mutex<Weather>>,
    running: Option<Running>,
    sent: u64,
    /// When each recipient of an acknowledged message was sent.
    acknowledged: BTreeMap<String, UnixTime>,
    ids: Vec<(QueueId, Vec<String>)>,
    deleted: BTreeSet<String>,
    /// Starts and failures of the disk: each may repeat what was not recorded.
    mishaps: usize,
    /// Until when the mailbox role takes no reports, if it does not now.
    mailbox_ends: i64,
}

fn domain_of(to: &str) -> u64 {
    to.rsplit_once("@d").unwrap().1.split('.').next().unwrap().parse().unwrap()
}

impl World {
    async fn new(seed: u64) -> World {
        let house = House::new(!seed);
        let weather = Arc::new(Mutex::new(Weather::default()));
        let (seen, dice) = (weather.clone(), SeededEntropy::new(seed ^ 0x5eed));
        house.network(move |consignment| {
            let mut weather = seen.lock().unwrap();
            let outcome = |to: &OutgoingRecipient| weather.outcome(&to.address.to_string(), &dice);
            consignment.recipients.iter().map(outcome).collect()
        });
        let seen = weather.clone();
        house.plan(move |message, which| {
            let to = message.recipients[which[0]].address.to_string();
            if seen.lock().unwrap().blind.contains(&domain_of(&to)) {
                let (status, why) = ("4.7.5", "the key could not be looked up".to_owned());
                let action = Action::Defer { status, why };
                return vec![Prepared { recipients: which.to_vec(), action }];
            }
            send_plain(message, which)
        });
        let running = Some(house.start().await);
        World {
            house,
            dice: SeededEntropy::new(seed),
            weather,
            running,
            sent: 0,
            acknowledged: BTreeMap::new(),
            ids: Vec::new(),
            deleted: BTreeSet::new(),
            mishaps: 0,
            mailbox_ends: 0,
        }
    }

    fn below(&self, bound: u64) -> u64 {
        self.dice.next_u64() % bound
    }

    fn queue(&self) -> crate::relay::Queue {
        self.running.as_ref().unwrap().queue.clone()
    }

    async fn send(&mut self) {
        self.sent += 1;
        let names: Vec<String> = (0..1 + self.below(3))
            .map(|n| {
                let kind = if self.below(8) == 0 { "gone" } else { "user" };
                format!("{kind}{}x{n}@d{}.example", self.sent, self.below(DOMAINS))
            })
            .collect();
        let to: Vec<&str> = names.iter().map(String::as_str).collect();
        let text = "x".repeat(if self.below(20) == 0 { 270_000 } else { 100 });
        let message = self.house.message(&to, &text);
        match self.queue().accept(message).await {
            Ok(id) => {
                if self.below(30) == 0 {
                    return self.queue().withdraw(id).await;
                }
                self.queue().release(id);
                let now = self.house.clock.now();
                self.acknowledged.extend(names.iter().map(|name| (name.clone(), now)));
                self.ids.push((id, names));
            }
            Err(_) => assert!(self.mishaps > 0, "refused for no reason"),
        }
    }

    async fn step(&mut self) {
        if self.house.clock.now().0 > self.mailbox_ends {
            *self.house.others.mailbox.lock().unwrap() = Ok(());
        }
        match self.below(100) {
            0..45 => self.send().await,
            45..55 => self.change_weather(),
            55..60 => self.break_disk(),
            60..66 => self.crash().await,
            66..70 => self.restart().await,
            70..80 => self.command().await,
            80..83 if self.house.clock.now().0 > self.mailbox_ends + 2 * 24 * HOUR as i64 => {
                *self.house.others.mailbox.lock().unwrap() = Err(DeliverError::TryLater);
                self.mailbox_ends = self.house.clock.now().0 + 3 * 24 * HOUR as i64;
            }
            _ => {}
        }
        let seconds = self.below(36 * HOUR) / (1 + self.below(3));
        sleep(seconds).await;
    }

    fn change_weather(&mut self) {
        let (domain, kind) = (self.below(DOMAINS), self.below(5));
        let lossy = [None, Some(3), None][self.below(3) as usize];
        let mut weather = self.weather.lock().unwrap();
        match kind {
            0 => drop(weather.down.insert(domain)),
            1 => drop(weather.down.remove(&domain)),
            2 => drop(weather.blind.insert(domain)),
            3 => drop(weather.blind.remove(&domain)),
            _ => weather.lossy = lossy,
        }
    }

    fn break_disk(&mut self) {
        self.mishaps += 1;
        let failure = if self.below(3) == 0 { Failure::NoSpace } else { Failure::Io };
        let nth = 1 + self.below(6);
        let lasting = self.below(8) == 0;
        self.house.disk.inject(Fault { op: None, nth, lasting, failure });
    }

    async fn crash(&mut self) {
        self.mishaps += 1;
        self.running.take().unwrap().die().await;
        match self.below(3) {
            0 => self.house.disk.kill(),
            1 => self.house.disk.power_cut(Loss::All),
            _ => self.house.disk.power_cut(Loss::Some(self.dice.next_u64())),
        }
        self.house.disk.heal();
        self.running = Some(self.house.start().await);
    }

    async fn restart(&mut self) {
        self.house.disk.heal();
        self.running.take().unwrap().stop().await;
        self.running = Some(self.house.start().await);
    }

    async fn command(&mut self) {
        if self.ids.is_empty() {
            return;
        }
        let (id, names) = self.ids[self.below(self.ids.len() as u64) as usize].clone();
        let queue = self.queue();
        match self.below(6) {
            0 => drop(queue.flush(None)),
            1 => drop(queue.flush(Some(id))),
            2 => drop(queue.hold(id).await),
            3 | 4 => drop(queue.unhold(id).await),
            _ => {
                // Where the disk refuses, it is done all the same, and a crash may undo it.
                if queue.delete(id).await != Err(CommandError::NoSuchItem) {
                    self.deleted.extend(names);
                }
            }
        }
    }

    /// Everything works again, and nothing is held.
    async fn calm_down(&mut self) {
        self.house.disk.heal();
        {
            let mut weather = self.weather.lock().unwrap();
            (weather.down, weather.blind, weather.lossy) = Default::default();
        }
        *self.house.others.mailbox.lock().unwrap() = Ok(());
        for (id, _) in &self.ids {
            let _ = self.queue().unhold(*id).await;
        }
    }

    /// Whom the owner was told to be given up.
    fn given_up(&self) -> BTreeMap<String, String> {
        let mut all = BTreeMap::new();
        for report in self.house.reports() {
            for part in report.split("\r\n\r\n").filter(|part| part.contains("Action: failed")) {
                let line =
                    part.lines().find_map(|line| line.strip_prefix("Final-Recipient: rfc822; "));
                all.insert(line.unwrap().to_owned(), report.clone());
            }
        }
        all
    }

    fn check(&self) {
        let mut deliveries: BTreeMap<String, usize> = BTreeMap::new();
        self.house.delivered().into_iter().for_each(|to| *deliveries.entry(to).or_default() += 1);
        let given_up = self.given_up();
        let weather = self.weather.lock().unwrap();
        for to in self.acknowledged.keys().filter(|to| !self.deleted.contains(*to)) {
            let count = deliveries.get(to).copied().unwrap_or(0);
            let lost = weather.lost.get(to).copied().unwrap_or(0);
            assert!(count <= 1 + self.mishaps, "{to} came {count} times");
            let told = given_up.get(to);
            let story = || self.story(to);
            // A mailbox that takes nothing for a week is not told, and the log says so.
            let untold = || story().contains("queue.report-lost");
            let is_known = count + lost > 0 || told.is_some() || untold();
            assert!(is_known, "{to} is lost: {}", story());
            if let Some(report) = told {
                let is_over = report.contains("Status: 4.");
                assert!(weather.refused.contains(to) || is_over, "{to} bounced wrongly: {report}");
                assert!(!is_over || self.is_old(to, report), "{to} was given up early: {report}");
            }
        }
    }

    /// All events about the item of a recipient.
    fn story(&self, to: &str) -> String {
        let (id, _) = self.ids.iter().find(|(_, names)| names.iter().any(|it| it == to)).unwrap();
        let id = format!("id={id}");
        let about = |line: &&String| line.contains(&id) || line.starts_with("queue.restored");
        self.house.events.lines().iter().filter(about).map(|line| format!("\n{line}")).collect()
    }

    /// Whether a report was made after the lifetime.
    fn is_old(&self, to: &str, report: &str) -> bool {
        let date = report.lines().find_map(|line| line.strip_prefix("Date: ")).unwrap();
        let date = crate::mail::DateTime::parse_rfc5322(date.as_bytes()).unwrap().unix();
        date.0 - self.acknowledged[to].0 >= 5 * 24 * HOUR as i64
    }
}

impl Weather {
    fn outcome(&mut self, to: &str, dice: &SeededEntropy) -> Outcome {
        if self.down.contains(&domain_of(to)) {
            let mut silent = failure("4.4.1");
            silent.host = None;
            return Outcome::Deferred(silent);
        }
        if to.starts_with("gone") {
            self.refused.insert(to.to_owned());
            return Outcome::Failed(failure("5.1.1"));
        }
        if self.lossy.is_some_and(|one_in| dice.next_u64().is_multiple_of(one_in)) {
            *self.lost.entry(to.to_owned()).or_default() += 1;
            return Outcome::Deferred(failure("4.4.2"));
        }
        delivered()
    }
}

async fn run(seed: u64) {
    let mut world = World::new(seed).await;
    let day = |days: i64| START.0 + days * 24 * HOUR as i64;
    let calm = number("DAYS").unwrap_or(DAYS) as i64;
    while world.house.clock.now().0 < day(calm) {
        world.step().await;
    }
    world.calm_down().await;
    // The longest wait with its chance, and one more attempt for reports.
    tokio::time::sleep(Duration::from_secs(5 * HOUR)).await;
    assert!(world.queue().is_empty(), "{:?}", world.queue().list(None, 10).await);
    let left = u64::try_from(day(calm + CALM_DAYS) - world.house.clock.now().0).unwrap_or(0);
    sleep(left).await;
    world.crash().await;
    // What was refused after the disk had failed may stand there all the same.
    let (back, _) = world.queue().list(None, 100).await;
    let known = |line: &&crate::relay::queue::Line| world.ids.iter().any(|(id, _)| *id == line.id);
    assert_eq!(back.iter().find(known), None, "{}", world.mishaps);
    world.check();
    world.running.take().unwrap().stop().await;
    let secrets = world.house.disk.contents("relay/epochs").unwrap().len();
    assert!(secrets < 16_000, "{secrets} octets of secrets of days that are over");
}

fn number(name: &str) -> Option<u64> {
    std::env::var(name).ok().map(|text| text.parse().expect("the variable is a number"))
}

fn run_share(share: u64) {
    let seeds: Vec<u64> = match number("SEED") {
        Some(seed) => [seed].into_iter().filter(|_| share == 0).collect(),
        None => (share..number("SEEDS").unwrap_or(SEEDS)).step_by(SHARES as usize).collect(),
    };
    for seed in seeds {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_time()
            .start_paused(true)
            .build()
            .unwrap();
        let one = std::panic::AssertUnwindSafe(|| runtime.block_on(run(seed)));
        if let Err(panic) = std::panic::catch_unwind(one) {
            println!("\nthe simulation failed; replay it with SEED={seed}\n");
            std::panic::resume_unwind(panic);
        }
    }
}

#[test]
fn weeks_1() {
    run_share(0);
}

#[test]
fn weeks_2() {
    run_share(1);
}

#[test]
fn weeks_3() {
    run_share(2);
}

#[test]
fn weeks_4() {
    run_share(3);
}
