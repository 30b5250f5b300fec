//! The machine by itself: turns, times, and what is stored of an item.

use super::*;
use crate::base::clock::{Instant, UnixTime};
use crate::base::ids::AccountNumber;
use proptest::prelude::*;
use std::sync::Arc;
use std::time::Duration;

fn at(seconds: u64) -> Due {
    let unix = UnixTime(1_795_000_000 + seconds as i64);
    Due { now: Instant(Duration::from_secs(seconds)), unix }
}

fn envelope(to: &[&str]) -> Envelope {
    let recipient = |to: &&str| {
        let address = to.parse().unwrap();
        EnvelopeRecipient { address, notify: None, original: None }
    };
    Envelope {
        from: Some("ann@a.example".parse().unwrap()),
        owner: Some(Owner { account: AccountNumber(1), address: "ann@a.example".parse().unwrap() }),
        recipients: to.iter().map(recipient).collect(),
        accepted: at(0).unix,
        envelope_id: None,
        return_full: None,
        utf8: false,
    }
}

fn add(machine: &mut Machine, id: u64, to: &[&str]) {
    let envelope = envelope(to);
    let new = NewItem { id: ItemId(id), envelope: &envelope, bytes: 1 };
    machine.insert(&new, at(0));
    machine.give(ItemId(id));
}

fn all(machine: &mut Machine, now: u64) -> Vec<Task> {
    std::iter::from_fn(|| machine.next(at(now).now)).collect()
}

fn defer(machine: &mut Machine, task: Task, now: u64) {
    let trouble = Trouble::new(None, "4.2.1", "later");
    let verdicts = task.waiting.iter().map(|at| (*at, Verdict::Deferred(trouble.clone()), false));
    let verdicts = verdicts.collect();
    machine.settle(task, verdicts, at(now));
}

#[test]
fn domains_take_turns_and_have_their_places() {
    let options =
        Options { destination_concurrency_max: 2, concurrency_max: 4, ..Options::default() };
    let mut machine = Machine::new(options, 1);
    (0..10).for_each(|id| add(&mut machine, id, &["x@crowd.example"]));
    add(&mut machine, 10, &["x@b.example", "y@b.example", "x@c.example"]);
    let tasks = all(&mut machine, 0);
    let turns: Vec<_> = tasks.iter().map(|task| (&*task.domain, task.waiting.clone())).collect();
    let crowd = ("crowd.example", vec![0]);
    let (b, c) = (("b.example", vec![0, 1]), ("c.example", vec![2]));
    assert_eq!(turns, [crowd.clone(), b, c, crowd]);
    let mut tasks = tasks.into_iter();
    defer(&mut machine, tasks.next().unwrap(), 1);
    assert_eq!(&*machine.next(at(1).now).unwrap().domain, "crowd.example");
    assert!(machine.next(at(1).now).is_none());
    assert_eq!(machine.running(), 4);
}

#[test]
fn places_beyond_the_first_are_taken_only_while_nobody_waits_for_them() {
    let options =
        Options { destination_concurrency_max: 3, concurrency_max: 4, ..Options::default() };
    let mut machine = Machine::new(options, 1);
    add(&mut machine, 1, &["x@b.example"]);
    let task = machine.next(at(0).now).unwrap();
    let domain = Arc::clone(&task.domain);
    let taken = |machine: &mut Machine| (0..9).filter(|_| machine.take_place(&domain)).count();
    assert_eq!((taken(&mut machine), machine.running()), (2, 3));
    // Others have their turn first, of this domain and of another.
    add(&mut machine, 2, &["x@b.example"]);
    assert!(machine.next(at(0).now).is_none());
    machine.give_back(&domain);
    assert_eq!(taken(&mut machine), 0);
    let second = machine.next(at(0).now).unwrap();
    add(&mut machine, 3, &["x@c.example"]);
    let third = machine.next(at(0).now).unwrap();
    assert_eq!((taken(&mut machine), machine.running()), (0, 4));
    [task, second, third].into_iter().for_each(|task| defer(&mut machine, task, 1));
    assert_eq!(machine.running(), 1);
    machine.give_back(&domain);
    assert_eq!(machine.running(), 0);
}

#[test]
fn a_leg_is_out_of_sight_until_its_time_and_back_at_a_flush() {
    let mut machine = Machine::new(Options::default(), 1);
    add(&mut machine, 1, &["x@b.example"]);
    let task = machine.next(at(0).now).unwrap();
    assert!(machine.next_at().is_none(), "what runs waits for nothing");
    defer(&mut machine, task, 10);
    let due = machine.next_at().unwrap();
    assert!((280..=340).contains(&due.0.as_secs()), "{due:?}");
    assert!(machine.next(at(200).now).is_none());
    assert!(machine.flush(ItemId(1), at(200).now));
    let task = machine.next(at(200).now).unwrap();
    defer(&mut machine, task, 201);
    assert!(machine.hold(ItemId(1)));
    assert!(machine.next(at(1_000_000).now).is_none() && machine.next_at().is_none());
    assert!(machine.unhold(ItemId(1), at(1_000_000).now));
    let task = machine.next(at(1_000_000).now).unwrap();
    assert!(machine.remove(ItemId(1)));
    defer(&mut machine, task, 1_000_001);
    assert!(machine.is_empty() && machine.next_at().is_none() && machine.running() == 0);
}

#[test]
fn what_is_stored_brings_an_item_back_as_it_was() {
    let mut machine = Machine::new(Options::default(), 1);
    add(&mut machine, 1, &["x@b.example", "y@c.example", "z@c.example"]);
    let tasks = all(&mut machine, 0);
    let (status, text) = ("5.1.1", "nobody");
    for task in tasks {
        let failed = Verdict::Failed(Trouble::new(Some("mx"), status, text));
        let verdicts = vec![(task.waiting[0], failed, true)];
        machine.settle(task, verdicts, at(5));
    }
    let now = at(100);
    let progress = machine.progress(ItemId(1), now).unwrap();
    let mut again = Machine::new(Options::default(), 2);
    let envelope = envelope(&["x@b.example", "y@c.example", "z@c.example"]);
    let item = NewItem { id: ItemId(1), envelope: &envelope, bytes: 1 };
    again.restore(Restored { item, progress: Some(progress.clone()) }, now);
    assert_eq!(again.progress(ItemId(1), now), Some(progress));
    assert_eq!(again.view(ItemId(1), now), machine.view(ItemId(1), now));
}

#[test]
fn times_of_a_clock_that_was_wrong_are_cut() {
    let mut machine = Machine::new(Options::default(), 1);
    let envelope = envelope(&["x@b.example"]);
    let item = NewItem { id: ItemId(1), envelope: &envelope, bytes: 1 };
    let legs = vec![(3, UnixTime(i64::MAX))];
    let progress = Some(Progress { legs, ..Progress::default() });
    machine.restore(Restored { item, progress }, at(0));
    assert_eq!(machine.next_at(), Some(Instant(Options::default().schedule.longest)));
}

proptest! {
    /// Whatever is done in whatever order: places are neither lost nor won, and in the end each
    /// item is finished or there is work for it.
    #[test]
    fn nothing_is_forgotten(steps in prop::collection::vec((0u8..8, 0u64..6), 0..120)) {
        let options =
            Options { destination_concurrency_max: 2, concurrency_max: 3, ..Options::default() };
        let mut machine = Machine::new(options, 7);
        let (mut running, mut now): (Vec<Task>, u64) = (Vec::new(), 0);
        for (what, which) in steps {
            let id = ItemId(which);
            match what {
                0 if !machine.contains(id) => {
                    add(&mut machine, which, &["x@b.example", "y@c.example", "z@d.example"]);
                }
                1 | 2 => running.extend(machine.next(at(now).now)),
                3 if !running.is_empty() => {
                    let task = running.remove(which as usize % running.len());
                    defer(&mut machine, task, now);
                }
                4 => drop(machine.hold(id)),
                5 => drop(machine.unhold(id, at(now).now)),
                6 => drop(machine.flush(id, at(now).now)),
                7 if which == 0 => drop(machine.remove(id)),
                _ => now += 100,
            }
            prop_assert_eq!(machine.running(), running.len());
            prop_assert!(running.len() <= 3);
        }
        running.into_iter().for_each(|task| defer(&mut machine, task, now));
        for id in 0..6 {
            machine.unhold(ItemId(id), at(now).now);
        }
        let mut delivered = 0;
        while let Some(task) = machine.next(at(now).now) {
            delivered += task.waiting.len();
            let reply = Trouble::new(None, "2.0.0", "ok");
            let verdict = Verdict::Delivered { reply, dsn: false };
            let verdicts = task.waiting.iter().map(|at| (*at, verdict.clone(), false)).collect();
            machine.settle(task, verdicts, at(now));
        }
        prop_assert_eq!(delivered, 3 * machine.len());
        prop_assert!(machine.ids().into_iter().all(|id| machine.is_finished(id)));
    }
}
