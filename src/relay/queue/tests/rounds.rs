//! What happens to messages in the ordinary course of things.

use super::house::*;
use crate::base::clock::{Clock, UnixTime};
use crate::base::disk::memory::Loss;
use crate::relay::outgoing::*;
use crate::relay::queue::{After, CommandError, Line, OpenError};
use crate::seams::DeliverError;
use crate::smtp::{DsnNotify, DsnReturn};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

const HOUR: u64 = 60 * 60;
const DAY: u64 = 24 * HOUR;

#[tokio::test(start_paused = true)]
async fn what_was_accepted_is_hidden_until_it_is_released_and_then_leaves_at_once() {
    let house = House::new(1);
    let running = house.start().await;
    let id = running.queue.accept(house.message(&["bob@b.example"], "one")).await.unwrap();
    sleep(HOUR).await;
    assert_eq!(house.delivered(), [""; 0]);
    running.queue.release(id);
    sleep(5).await;
    assert_eq!(house.delivered(), ["bob@b.example"]);
    assert!(running.queue.is_empty());
    running.stop().await;
    house.disk.power_cut(Loss::All);
    let running = house.start().await;
    sleep(DAY).await;
    assert_eq!(house.delivered().len(), 1, "it is not delivered again");
    running.stop().await;
}

#[tokio::test(start_paused = true)]
async fn what_was_accepted_and_never_released_goes_out_after_a_restart() {
    let house = House::new(2);
    let running = house.start().await;
    running.queue.accept(house.message(&["bob@b.example"], "one")).await.unwrap();
    let taken = running.queue.accept(house.message(&["eve@b.example"], "two")).await.unwrap();
    running.queue.withdraw(taken).await;
    running.die().await;
    house.disk.power_cut(Loss::All);
    let running = house.start().await;
    sleep(5).await;
    assert_eq!(house.delivered(), ["bob@b.example"]);
    running.stop().await;
}

#[tokio::test(start_paused = true)]
async fn an_attempt_is_repeated_later_and_later_until_the_lifetime_is_over() {
    let house = House::new(3);
    house.network(defer_all);
    let running = house.start().await;
    running.send(house.message(&["bob@b.example"], "one")).await;
    sleep(4 * DAY + 23 * HOUR).await;
    assert_eq!(running.queue.len(), 1);
    let reports = house.reports();
    assert_eq!(reports.len(), 1, "one report that it takes long");
    assert!(reports[0].contains("Action: delayed"), "{}", reports[0]);
    sleep(6 * HOUR).await;
    let reports = house.reports();
    assert!(running.queue.is_empty());
    assert_eq!(reports.len(), 2);
    assert!(reports[1].contains("Action: failed\r\nStatus: 4.2.1\r\n"), "{}", reports[1]);
    let attempts = house.others.attempts.lock().unwrap().clone();
    let gaps: Vec<_> = attempts.windows(2).map(|pair| pair[1].1.0 - pair[0].1.0).collect();
    assert!((30..45).contains(&attempts.len()), "{gaps:?}");
    assert!((270..=332).contains(&gaps[0]), "{gaps:?}");
    assert!(*gaps.iter().max().unwrap() <= 4 * HOUR as i64 * 11 / 10 + 2, "{gaps:?}");
    running.stop().await;
}

#[tokio::test(start_paused = true)]
async fn a_restart_goes_on_where_the_schedule_was() {
    let house = House::new(4);
    house.network(defer_all);
    let mut running = house.start().await;
    running.send(house.message(&["bob@b.example"], "one")).await;
    for _ in 0..30 {
        sleep(4 * HOUR).await;
        running.die().await;
        house.disk.power_cut(Loss::All);
        running = house.start().await;
    }
    sleep(9 * HOUR).await;
    assert!(running.queue.is_empty());
    let attempts = house.others.attempts.lock().unwrap().len();
    assert!((20..60).contains(&attempts), "{attempts}");
    assert_eq!(house.reports().len(), 2, "each thing is told once");
    running.stop().await;
}

#[tokio::test(start_paused = true)]
async fn a_wall_clock_that_jumps_ahead_ends_nothing() {
    let house = House::new(5);
    house.network(defer_all);
    let running = house.start().await;
    running.send(house.message(&["bob@b.example"], "one")).await;
    sleep(HOUR).await;
    *house.clock.ahead.lock().unwrap() = 300 * DAY as i64;
    sleep(3 * HOUR).await;
    assert_eq!(running.queue.len(), 1);
    house.network(deliver_all);
    sleep(5 * HOUR).await;
    assert_eq!(house.delivered(), ["bob@b.example"]);
    running.stop().await;
}

#[tokio::test(start_paused = true)]
async fn recipients_are_settled_each_by_itself() {
    let house = House::new(6);
    house.network(|consignment| {
        let outcome = |to: &OutgoingRecipient| match to.address.local() {
            "good" => delivered(),
            "gone" => Outcome::Failed(failure("5.1.1")),
            _ => Outcome::Deferred(failure("4.2.1")),
        };
        consignment.recipients.iter().map(outcome).collect()
    });
    let running = house.start().await;
    let to = ["good@b.example", "gone@b.example", "later@b.example", "good@c.example"];
    let id = running.send(house.message(&to, "one")).await;
    sleep(60).await;
    let line = running.queue.show(id).await.unwrap();
    let states: Vec<_> = line.recipients.iter().map(|it| it.state).collect();
    assert_eq!(states, ["delivered", "failed", "waiting", "delivered"]);
    let text = "mx.example: 4.2.1 no, not that one";
    assert_eq!(line.recipients[2].text.as_deref(), Some(text));
    let reports = house.reports();
    assert_eq!(reports.len(), 1);
    assert!(reports[0].contains("gone@b.example") && !reports[0].contains("later@b.example"));
    running.die().await;
    house.disk.power_cut(Loss::All);
    house.network(deliver_all);
    let running = house.start().await;
    sleep(HOUR).await;
    let mut delivered = house.delivered();
    delivered.sort();
    assert_eq!(delivered, ["good@b.example", "good@c.example", "later@b.example"]);
    assert_eq!(house.reports().len(), 1);
    running.stop().await;
}

fn with_notify(mut message: Outgoing, notify: DsnNotify) -> Outgoing {
    message.recipients.iter_mut().for_each(|it| it.notify = Some(notify));
    message
}

#[tokio::test(start_paused = true)]
async fn reports_go_to_owners_who_want_them_and_to_nobody_else() {
    let house = House::new(7);
    house.network(fail_all);
    let running = house.start().await;
    let message = || house.message(&["bob@b.example"], "one");
    let ownerless = Outgoing { owner: None, ..message() };
    let null = Outgoing { from: None, ..message() };
    let never = with_notify(message(), DsnNotify::default());
    let success = with_notify(message(), DsnNotify { success: true, ..DsnNotify::default() });
    for silent in [ownerless, null, never, success] {
        running.send(silent).await;
        sleep(10).await;
        assert!(running.queue.is_empty());
        assert_eq!(house.reports(), [""; 0]);
    }
    running.send(message()).await;
    sleep(10).await;
    assert_eq!(house.others.reports.lock().unwrap()[0].0, OWNER);
    assert!(house.reports()[0].contains("Auto-Submitted: auto-replied\r\n"));
    running.stop().await;
}

#[tokio::test(start_paused = true)]
async fn success_is_told_where_the_next_server_does_not_do_it() {
    let house = House::new(8);
    let running = house.start().await;
    let wanted = DsnNotify { success: true, ..DsnNotify::default() };
    running.send(with_notify(house.message(&["bob@b.example"], "one"), wanted)).await;
    sleep(10).await;
    assert!(house.reports()[0].contains("Action: relayed\r\nStatus: 2.0.0\r\n"));
    house.network(|consignment| {
        let Outcome::Delivered { host, reply, tls, .. } = delivered() else { unreachable!() };
        vec![Outcome::Delivered { host, reply, tls, dsn: true }; consignment.recipients.len()]
    });
    running.send(with_notify(house.message(&["bob@b.example"], "one"), wanted)).await;
    sleep(10).await;
    assert_eq!(house.reports().len(), 1);
    running.stop().await;
}

#[tokio::test(start_paused = true)]
async fn a_report_that_cannot_be_stored_is_told_later_and_keeps_the_item() {
    let house = House::new(9);
    house.network(fail_all);
    *house.others.mailbox.lock().unwrap() = Err(DeliverError::TryLater);
    let running = house.start().await;
    running.send(house.message(&["bob@b.example"], "one")).await;
    sleep(HOUR).await;
    assert_eq!((running.queue.len(), house.reports().len()), (1, 0));
    running.die().await;
    house.disk.power_cut(Loss::All);
    let running = house.start().await;
    *house.others.mailbox.lock().unwrap() = Ok(());
    sleep(HOUR).await;
    assert_eq!((running.queue.len(), house.reports().len()), (0, 1));
    assert_eq!(house.others.attempts.lock().unwrap().len(), 1, "the failure itself stands");
    running.stop().await;
}

#[tokio::test(start_paused = true)]
async fn an_owner_who_never_can_be_told_does_not_keep_an_item_for_ever() {
    let house = House::new(10);
    house.network(fail_all);
    *house.others.mailbox.lock().unwrap() = Err(DeliverError::TryLater);
    let running = house.start().await;
    running.send(house.message(&["bob@b.example"], "one")).await;
    sleep(13 * DAY).await;
    assert!(running.queue.is_empty());
    assert!(house.saw("queue.report-lost"));
    running.stop().await;
}

#[tokio::test(start_paused = true)]
async fn what_is_held_waits_for_a_decision_and_says_how() {
    let house = House::new(11);
    let hold = |_: &Outgoing, which: &[usize]| {
        let why = "the recipient's key has expired".to_owned();
        vec![Prepared { recipients: which.to_vec(), action: Action::Hold { why } }]
    };
    house.plan(hold);
    let running = house.start().await;
    let id = running.send(house.message(&["bob@b.example"], "canary")).await;
    sleep(20 * DAY).await;
    assert_eq!(house.reports().len(), 1);
    let report = &house.reports()[0];
    assert!(report.contains(&format!("postseal queue release {id}")), "{report}");
    assert!(report.contains("the recipient's key has expired") && !report.contains("canary"));
    assert_eq!(running.queue.show(id).await.unwrap().state, "held");
    running.die().await;
    house.disk.power_cut(Loss::All);
    let running = house.start().await;
    sleep(DAY).await;
    assert_eq!(house.delivered(), [""; 0]);
    house.plan(send_plain);
    running.queue.unhold(id).await.unwrap();
    sleep(5).await;
    assert_eq!(house.delivered(), ["bob@b.example"]);
    running.stop().await;
}

/// RFC 5321 §6.1 keeps failures from being told; a hold is a question, and lies there for ever if
/// nobody hears it.
#[tokio::test(start_paused = true)]
async fn what_a_user_submits_under_the_null_path_and_is_held_is_told_him() {
    let house = House::new(31);
    house.plan(|_, which| {
        let action = Action::Hold { why: "the recipient's key has expired".to_owned() };
        vec![Prepared { recipients: which.to_vec(), action }]
    });
    let running = house.start().await;
    let message = house.message(&["bob@b.example"], "one");
    running.send(Outgoing { from: None, ..message }).await;
    sleep(10).await;
    assert_eq!(house.others.reports.lock().unwrap()[0].0, OWNER);
    assert!(house.reports()[0].contains("To: <ann@our.example>\r\n"), "{}", house.reports()[0]);
    running.stop().await;
}

#[tokio::test(start_paused = true)]
async fn a_release_is_for_those_who_are_held_and_for_nobody_else_also_after_a_restart() {
    let house = House::new(32);
    house.plan(|message, which| {
        let of = |at: &usize| {
            let action = match (message.permitted.contains(at), *at) {
                (true, _) => Action::Send {
                    message: Arc::clone(&message.message),
                    sealed: false,
                    utf8: false,
                },
                (false, 0) => Action::Hold { why: "there is no key".to_owned() },
                (false, _) => Action::Defer { status: "4.7.5", why: "no answer".to_owned() },
            };
            Prepared { recipients: vec![*at], action }
        };
        which.iter().map(of).collect()
    });
    let running = house.start().await;
    let id = running.send(house.message(&["bob@b.example", "eve@c.example"], "one")).await;
    sleep(10).await;
    running.queue.unhold(id).await.unwrap();
    running.die().await;
    house.disk.power_cut(Loss::All);
    let running = house.start().await;
    sleep(DAY).await;
    assert_eq!(house.delivered(), ["bob@b.example"]);
    assert_eq!(running.queue.len(), 1);
    running.stop().await;
}

/// Perhaps the other copy is being sealed at this moment.
#[tokio::test(start_paused = true)]
async fn while_a_recipient_was_not_tried_yet_no_report_quotes_the_message() {
    let orders = [["bob@b.example", "eve@c.example"], ["eve@c.example", "bob@b.example"]];
    for (order, quoted) in orders.iter().zip([false, true]) {
        let mut house = House::new(33);
        house.options.concurrency_max = 1;
        house.network(|consignment| match consignment.domain.as_str() {
            "b.example" => fail_all(consignment),
            _ => defer_all(consignment),
        });
        let running = house.start().await;
        let message = house.message(order, "canary");
        running.send(Outgoing { dsn_return: Some(DsnReturn::Full), ..message }).await;
        sleep(10).await;
        let told = house.reports().into_iter().find(|report| report.contains("bob@")).unwrap();
        assert_eq!(told.contains("canary"), quoted, "{order:?}: {told}");
        running.stop().await;
    }
}

#[tokio::test(start_paused = true)]
async fn what_was_sealed_or_meant_to_be_is_quoted_in_no_report() {
    let house = House::new(12);
    house.network(fail_all);
    let running = house.start().await;
    let sealed = |message: &Outgoing, which: &[usize]| {
        let action = Action::Send { message: message.message.clone(), sealed: true, utf8: false };
        vec![Prepared { recipients: which.to_vec(), action }]
    };
    let bounce = |_: &Outgoing, which: &[usize]| {
        let (status, why) = ("5.7.10", "the key could not be used".to_owned());
        vec![Prepared { recipients: which.to_vec(), action: Action::Bounce { status, why } }]
    };
    let defer = |_: &Outgoing, which: &[usize]| {
        let (status, why) = ("4.7.5", "the key could not be looked up".to_owned());
        vec![Prepared { recipients: which.to_vec(), action: Action::Defer { status, why } }]
    };
    let plans: [PlanFn; 3] = [sealed, bounce, defer];
    for plan in plans {
        house.plan(plan);
        let mut message = house.message(&["bob@b.example"], "canary");
        message.dsn_return = Some(DsnReturn::Full);
        let octets = [&b"Message-ID: <name@ours.example>\r\n"[..], &message.message].concat();
        message.message = Arc::new(octets);
        running.send(message).await;
        sleep(6 * DAY).await;
    }
    let reports = house.reports();
    assert_eq!(reports.len(), 4, "three failures and a delay");
    for report in reports {
        assert!(report.contains("Message-ID: <name@ours.example>\r\n"), "{report}");
        assert!(!report.contains("canary") && !report.contains("has no key"), "{report}");
    }
    running.stop().await;
}

#[tokio::test(start_paused = true)]
async fn a_plain_failure_brings_back_what_was_asked_for() {
    let house = House::new(13);
    house.network(fail_all);
    let running = house.start().await;
    for (wish, subject, body) in [
        (None, true, false),
        (Some(DsnReturn::Headers), true, false),
        (Some(DsnReturn::Full), true, true),
    ] {
        let mut message = house.message(&["bob@b.example"], "canary");
        message.dsn_return = wish;
        running.send(message).await;
        sleep(10).await;
        let report = house.reports().pop().unwrap();
        assert_eq!(report.contains("Subject: canary"), subject);
        assert_eq!(report.contains("\r\n\r\ncanary"), body, "{report}");
    }
    running.stop().await;
}

#[tokio::test(start_paused = true)]
async fn a_crowded_destination_keeps_no_other_waiting() {
    let mut house = House::new(14);
    house.options.concurrency_max = 30;
    *house.others.takes.lock().unwrap() = Duration::from_secs(60);
    let running = house.start().await;
    for n in 0..400 {
        running.send(house.message(&[&format!("u{n}@crowded.example")], "one")).await;
    }
    for n in 0..20 {
        running.send(house.message(&[&format!("bob@other{n}.example")], "one")).await;
    }
    sleep(200).await;
    let others = house.delivered().iter().filter(|to| to.contains("other")).count();
    assert_eq!(others, 20);
    sleep(HOUR).await;
    assert!(running.queue.is_empty());
    let busy = house.others.busy.lock().unwrap().clone();
    assert_eq!(busy["crowded.example"].1, 20);
    assert_eq!(busy[""].1, 30);
    running.stop().await;
}

#[tokio::test(start_paused = true)]
async fn copies_of_one_message_have_no_more_places_than_others() {
    let alone: PlanFn = |message, which| {
        let action =
            || Action::Send { message: message.message.clone(), sealed: true, utf8: false };
        which.iter().map(|at| Prepared { recipients: vec![*at], action: action() }).collect()
    };
    for (places, seconds) in [(2, 21), (20, 3)] {
        let mut house = House::new(35);
        house.options.destination_concurrency_max = places;
        house.options.concurrency_max = places;
        house.plan(alone);
        let running = house.start().await;
        let to: Vec<String> = (0..20).map(|at| format!("r{at}@b.example")).collect();
        let to: Vec<&str> = to.iter().map(String::as_str).collect();
        for _ in 0..2 {
            running.send(house.message(&to, "one")).await;
        }
        sleep(seconds).await;
        assert_eq!(house.delivered().len(), 40, "{places}");
        let busy = house.others.busy.lock().unwrap().clone();
        assert_eq!((busy["b.example"].1, busy[""].1), (places, places));
        assert_eq!(running.queue.machine().running(), 0);
        running.stop().await;
    }
}

/// What is delivered is recorded, and nothing is begun that could not be.
#[tokio::test(start_paused = true)]
async fn a_stop_between_two_copies_sends_none_of_them_twice() {
    let mut house = House::new(36);
    house.options.concurrency_max = 1;
    house.plan(|message, which| {
        let action =
            || Action::Send { message: message.message.clone(), sealed: true, utf8: false };
        which.iter().map(|at| Prepared { recipients: vec![*at], action: action() }).collect()
    });
    let running = house.start().await;
    let to: Vec<String> = (0..20).map(|at| format!("r{at}@b.example")).collect();
    let to: Vec<&str> = to.iter().map(String::as_str).collect();
    running.send(house.message(&to, "one")).await;
    sleep(3).await;
    running.stop().await;
    assert!((1..8).contains(&house.delivered().len()), "{:?}", house.delivered());
    let running = house.start().await;
    sleep(HOUR).await;
    let mut delivered = house.delivered();
    delivered.sort_unstable();
    delivered.dedup();
    assert_eq!((delivered.len(), house.delivered().len()), (20, 20));
    running.stop().await;
}

#[tokio::test(start_paused = true)]
async fn a_panic_ends_one_round_and_loses_nothing() {
    let house = House::new(15);
    house.plan(|message, which| match message.recipients[0].address.local() {
        "poison" => panic!("a test's own"),
        _ => send_plain(message, which),
    });
    let running = house.start().await;
    running.send(house.message(&["poison@b.example"], "one")).await;
    running.send(house.message(&["bob@b.example"], "two")).await;
    sleep(60).await;
    assert_eq!(house.delivered(), ["bob@b.example"]);
    assert!(house.saw("queue.round-failed"));
    house.plan(send_plain);
    house.network(|consignment| match consignment.recipients[0].address.local() {
        "poison" => panic!("a test's own"),
        _ => deliver_all(consignment),
    });
    sleep(HOUR).await;
    assert_eq!(running.queue.len(), 1);
    house.network(deliver_all);
    sleep(3 * HOUR).await;
    assert_eq!(house.delivered(), ["bob@b.example", "poison@b.example"]);
    running.stop().await;
}

#[tokio::test(start_paused = true)]
async fn a_plan_that_forgets_or_repeats_recipients_does_no_harm() {
    let house = House::new(16);
    let asked = AtomicBool::new(false);
    house.plan(move |message, which| {
        let action = Action::Send { message: message.message.clone(), sealed: false, utf8: false };
        let first = Prepared { recipients: vec![which[0], 77], action };
        // The second is forgotten once.
        match which == [1] && !asked.swap(true, Ordering::Relaxed) {
            true => Vec::new(),
            false => vec![first.clone(), first],
        }
    });
    let running = house.start().await;
    running.send(house.message(&["a@b.example", "b@b.example"], "one")).await;
    sleep(60).await;
    assert_eq!(house.delivered(), ["a@b.example"]);
    sleep(HOUR).await;
    assert_eq!(house.delivered(), ["a@b.example", "b@b.example"]);
    running.stop().await;
}

#[tokio::test(start_paused = true)]
async fn commands_hold_release_flush_and_delete() {
    let house = House::new(17);
    house.network(defer_all);
    let running = house.start().await;
    let queue = &running.queue;
    let first = running.send(house.message(&["bob@b.example"], "one")).await;
    let second = running.send(house.message(&["eve@c.example"], "two")).await;
    sleep(10).await;
    let (lines, more) = queue.list(None, 1).await;
    assert_eq!((lines.len(), more), (1, 1));
    let after = |line: &Line| Some(After { accepted: line.accepted, id: line.id });
    let (next, more) = queue.list(after(&lines[0]), 1).await;
    assert_eq!((next.len(), more, next[0].id != lines[0].id), (1, 0, true));
    assert_eq!(queue.list(after(&next[0]), 1).await, (Vec::new(), 0));
    queue.hold(first).await.unwrap();
    house.network(deliver_all);
    queue.flush(None).unwrap();
    sleep(10).await;
    assert_eq!(house.delivered(), ["eve@c.example"], "what is held is not flushed");
    assert_eq!(queue.show(first).await.unwrap().state, "held");
    assert_eq!(queue.show(second).await, Err(CommandError::NoSuchItem));
    queue.unhold(first).await.unwrap();
    sleep(10).await;
    assert_eq!(house.delivered(), ["eve@c.example", "bob@b.example"]);
    house.network(defer_all);
    let third = running.send(house.message(&["dan@d.example"], "three")).await;
    sleep(10).await;
    running.queue.hold(third).await.unwrap();
    running.die().await;
    house.disk.power_cut(Loss::All);
    let running = house.start().await;
    assert_eq!(running.queue.show(third).await.unwrap().state, "held");
    running.queue.delete(third).await.unwrap();
    assert_eq!(running.queue.delete(third).await, Err(CommandError::NoSuchItem));
    running.die().await;
    house.disk.power_cut(Loss::All);
    let running = house.start().await;
    assert!(running.queue.is_empty());
    assert_eq!(house.reports(), [""; 0]);
    running.stop().await;
}

#[tokio::test(start_paused = true)]
async fn large_messages_and_many_of_them_go_through_the_disk() {
    let mut house = House::new(18);
    house.memory_bytes = 1000;
    let running = house.start().await;
    let text = "x".repeat(700_000);
    running.send(house.message(&["bob@b.example"], &text)).await;
    running.send(house.message(&["eve@b.example"], "small")).await;
    sleep(10).await;
    let delivered = house.others.delivered.lock().unwrap().clone();
    assert_eq!(delivered.len(), 2);
    assert!(delivered.iter().any(|(_, message, _)| message.contains(&text)));
    running.stop().await;
}

#[tokio::test(start_paused = true)]
async fn a_full_queue_takes_nothing_more() {
    let mut house = House::new(19);
    house.options.items_max = 1;
    let running = house.start().await;
    let message = || house.message(&["bob@b.example"], "one");
    let id = running.queue.accept(message()).await.unwrap();
    assert_eq!(running.queue.accept(message()).await, Err(EnqueueError::Full));
    running.queue.withdraw(id).await;
    assert!(running.queue.accept(message()).await.is_ok());
    running.stop().await;
}

#[tokio::test(start_paused = true)]
async fn when_a_day_is_over_and_empty_its_secret_and_its_journal_are_gone() {
    let house = House::new(20);
    house.network(defer_all);
    let running = house.start().await;
    let late = running.send(house.message(&["bob@b.example"], "one")).await;
    sleep(DAY).await;
    let second = house.disk.contents("relay/epochs").unwrap().len();
    let begins = |prefix: &str| house.disk.paths().iter().any(|path| path.starts_with(prefix));
    assert!(begins("relay/0/journal/") && begins("relay/1/journal/"));
    running.queue.delete(late).await.unwrap();
    sleep(HOUR).await;
    assert!(!begins("relay/0/journal/"), "{:?}", house.disk.paths());
    assert!(house.disk.contents("relay/epochs").unwrap().len() < second);
    sleep(DAY).await;
    house.network(deliver_all);
    running.send(house.message(&["bob@b.example"], "two")).await;
    sleep(10).await;
    running.stop().await;
    house.disk.power_cut(Loss::All);
    house.start().await.stop().await;
    assert_eq!(house.delivered().len(), 1);
}

#[tokio::test(start_paused = true)]
async fn without_its_key_or_its_key_pairs_a_queue_is_not_taken_over() {
    let mut house = House::new(21);
    house.network(defer_all);
    let running = house.start().await;
    running.send(house.message(&["bob@b.example"], "one")).await;
    sleep(10).await;
    running.stop().await;
    let right = std::mem::replace(&mut house.root, crate::base::crypto::Key::zeroed());
    assert!(matches!(house.open().await, Err(OpenError::Epochs(_))));
    house.root = right;
    let kept = house.disk.contents("relay/epochs").unwrap();
    let disk: &dyn crate::base::disk::Disk = &house.disk;
    disk.remove("relay/epochs").unwrap();
    assert!(matches!(house.open().await, Err(OpenError::KeysMissing)));
    crate::base::disk::replace(disk, "relay/epochs", &kept).unwrap();
    assert_eq!(house.open().await.unwrap().0.len(), 1);
}

#[tokio::test(start_paused = true)]
async fn neither_names_nor_words_lie_on_the_disk() {
    let house = House::new(22);
    house.network(defer_all);
    let running = house.start().await;
    running.send(house.message(&["canarybob@canary.example"], "canarytext")).await;
    sleep(HOUR).await;
    running.stop().await;
    for path in house.disk.paths() {
        let contents = house.disk.contents(&path).unwrap();
        for word in ["canary", "ours.example", "mx.example", "4.2.1"] {
            let found = contents.windows(word.len()).any(|part| part == word.as_bytes());
            assert!(!found, "{word} in {path}");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_stop_waits_for_what_is_under_way() {
    let house = House::new(23);
    *house.others.takes.lock().unwrap() = Duration::from_secs(20);
    let running = house.start().await;
    running.send(house.message(&["bob@b.example"], "one")).await;
    sleep(1).await;
    running.send(house.message(&["bob@c.example"], "two")).await;
    let before: UnixTime = house.clock.now();
    running.stop().await;
    assert!((19..=22).contains(&(house.clock.now().0 - before.0)));
    house.disk.power_cut(Loss::All);
    assert!(house.delivered().contains(&"bob@b.example".to_owned()));
    let (queue, _) = house.open().await.unwrap();
    assert_eq!(queue.len() + house.delivered().len(), 2, "what was delivered is recorded");
}

#[tokio::test(start_paused = true)]
async fn what_a_day_s_secret_opened_is_forgotten_with_it() {
    let house = House::new(40);
    house.network(defer_all);
    let running = house.start().await;
    running.send(house.message(&["bob@b.example"], "one")).await;
    sleep(60).await;
    assert!(running.queue.0.storage.content_keys() > 0);
    house.network(deliver_all);
    sleep(2 * DAY).await;
    assert!(running.queue.is_empty());
    assert_eq!(running.queue.0.storage.content_keys(), 0);
    running.stop().await;
}

#[tokio::test(start_paused = true)]
async fn a_plan_may_come_in_parts() {
    let house = House::new(41);
    house.plan(|message, which| send_plain(message, &which[..1]));
    let running = house.start().await;
    running.send(house.message(&["a@b.example", "c@b.example", "d@b.example"], "one")).await;
    sleep(20).await;
    assert_eq!(house.delivered(), ["a@b.example", "c@b.example", "d@b.example"]);
    assert_eq!(house.others.busy.lock().unwrap()["b.example"].1, 1);
    assert!(running.queue.is_empty());
    // What is late is not begun, and nothing that was done is done again.
    *house.others.takes.lock().unwrap() = Duration::from_secs(30 * 60);
    running.send(house.message(&["e@b.example", "f@b.example"], "two")).await;
    sleep(3 * HOUR).await;
    assert_eq!(house.delivered()[3..], ["e@b.example", "f@b.example"]);
    running.stop().await;
}

#[tokio::test(start_paused = true)]
async fn eight_bit_text_that_a_server_does_not_take_goes_in_seven_bits() {
    let house = House::new(37);
    house.plan(|message, which| {
        let octets = match message.seven_bit && !message.message.ends_with(b"signed\r\n") {
            true => Arc::new(b"Subject: x\r\n\r\n=C3=BC\r\n".to_vec()),
            false => Arc::clone(&message.message),
        };
        let action = Action::Send { message: octets, sealed: false, utf8: false };
        vec![Prepared { recipients: which.to_vec(), action }]
    });
    house.network(|consignment| match consignment.message.is_ascii() {
        true => deliver_all(consignment),
        false => {
            let failure = Failure { host: None, status: "5.6.3".into(), text: "8-bit text".into() };
            vec![Outcome::EightBit(failure); consignment.recipients.len()]
        }
    });
    let running = house.start().await;
    for text in ["\u{fc}\r\n", "\u{fc} signed\r\n"] {
        let mut message = house.message(&["bob@b.example", "eve@b.example"], "one");
        message.message = Arc::new(format!("Subject: x\r\n\r\n{text}").into_bytes());
        running.send(message).await;
    }
    sleep(10).await;
    assert_eq!(house.delivered(), ["bob@b.example", "eve@b.example"]);
    assert!(running.queue.is_empty());
    assert!(house.reports().iter().all(|report| report.contains("5.6.3")));
    assert!(!house.reports().is_empty());
    running.stop().await;
}
