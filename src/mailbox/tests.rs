//! The role as a whole: from delivery to what a session sees, and who may see it.

pub(crate) mod house;
mod letters;
mod publish;

use self::house::{House, PASSWORD, inbox, inbox_of, message, options, secret, subjects};
use super::{
    AccountHandle, AdminError, Append, ApplyError, Login, Options, ReadError, State, login,
};
use crate::account::{Command, FlagMode, FlagNames, Flags, Outcome, UidSet};
use crate::base::disk::Disk;
use crate::base::disk::memory::{Failure, Fault, Op};
use crate::base::ids::AccountNumber;
use crate::mail::Address;
use crate::seams::{
    AuthRequest, AuthVerdict, Authenticate, DeliverError, RecipientVerdict, Service,
};
use std::time::Duration;

const BOB: &str = "bob@example.org";
const EVE: &str = "eve@example.org";

/// Where bob's account file is.
const FILE: &str = "accounts/00000001.account";

/// The note that a new account begins with.
const WELCOME: &str = "Your account was made";

async fn with_bob() -> House {
    let house = House::new();
    house.add(BOB).await;
    house
}

fn flag(handle: &AccountHandle, uid: u32) -> Command {
    Command::Store {
        mailbox: inbox(handle).id,
        uids: UidSet::range(uid, uid),
        mode: FlagMode::Add,
        flags: FlagNames { system: Flags::FLAGGED, keywords: Vec::new() },
        unchanged_since: None,
    }
}

#[tokio::test(start_paused = true)]
async fn what_was_delivered_is_folded_after_login_in_the_order_of_arrival() {
    let house = with_bob().await;
    for subject in ["one", "two", "three"] {
        house.deliver(&[BOB], subject).await.unwrap();
    }
    let handle = house.open(BOB).await;
    let view = inbox_of(&handle, 4).await;
    assert_eq!(subjects(&handle, &view).await, [WELCOME, "one", "two", "three"]);
    let row = view.row(2).unwrap();
    assert_eq!(row.size as usize, message("two").len());
    assert_eq!(handle.body(row).await.unwrap().expose(), message("two"));
}

#[tokio::test(start_paused = true)]
async fn more_than_one_batch_of_arrivals_is_folded() {
    let house = with_bob().await;
    for n in 0..300 {
        house.deliver(&[BOB], &format!("s{n}")).await.unwrap();
    }
    let handle = house.open(BOB).await;
    let view = inbox_of_at_least(&handle, 301).await;
    assert_eq!(view, 301);
}

async fn inbox_of_at_least(handle: &AccountHandle, count: u32) -> u32 {
    let mut changes = handle.changes();
    while inbox(handle).exists() < count {
        changes.changed().await.unwrap();
    }
    inbox(handle).exists()
}

#[tokio::test(start_paused = true)]
async fn a_login_knows_names_without_domain_and_spellings() {
    let house = with_bob().await;
    for name in ["bob", "BOB@example.org", "bob@EXAMPLE.ORG"] {
        assert!(matches!(house.login(name, PASSWORD).await, Login::Open(_)), "{name}");
    }
    for name in ["bobby", "bob@example.com", "@", "", "bob@"] {
        assert!(matches!(house.login(name, PASSWORD).await, Login::Refused), "{name}");
    }
}

#[tokio::test(start_paused = true)]
async fn two_logins_at_once_share_one_unlock() {
    let house = with_bob().await;
    house.deliver(&[BOB], "one").await.unwrap();
    let (first, second) = tokio::join!(house.open(BOB), house.open(BOB));
    inbox_of(&first, 2).await;
    inbox_of(&second, 2).await;
    assert_eq!(house.events.all().matches("mailbox.unlocked").count(), 1);
    first.apply(flag(&first, 2)).await.unwrap();
    let row = inbox(&second).row(1).unwrap().clone();
    assert!(row.flags.has(Flags::FLAGGED), "both look at the same account");
}

#[tokio::test(start_paused = true)]
async fn mail_that_arrives_while_unlocked_appears() {
    let house = with_bob().await;
    let handle = house.open(BOB).await;
    inbox_of(&handle, 1).await;
    settle().await;
    house.deliver(&[BOB], "news").await.unwrap();
    let view = inbox_of(&handle, 2).await;
    assert_eq!(subjects(&handle, &view).await, [WELCOME, "news"]);
}

#[tokio::test(start_paused = true)]
async fn every_recipient_gets_one_copy_and_nobody_else() {
    let house = with_bob().await;
    house.add(EVE).await;
    house.deliver(&[BOB, EVE, BOB], "both").await.unwrap();
    for address in [BOB, EVE] {
        let handle = house.open(address).await;
        let view = inbox_of(&handle, 2).await;
        assert_eq!(subjects(&handle, &view).await, [WELCOME, "both"]);
    }
}

#[tokio::test(start_paused = true)]
async fn lock_is_at_once_sticky_and_durable() {
    let house = with_bob().await;
    let handle = house.open(BOB).await;
    let view = inbox_of(&handle, 1).await;
    let row = view.row(0).unwrap().clone();
    handle.body(&row).await.unwrap();
    house.mailboxes.lock(BOB).await.unwrap();
    assert!(handle.changes().borrow().locked);
    assert!(handle.catalog().is_err());
    assert_eq!(handle.body(&row).await.unwrap_err(), ReadError::Locked, "cached or not");
    assert!(matches!(handle.apply(flag_one(&view)).await, Err(ApplyError::Locked)));
    assert!(matches!(house.login(BOB, PASSWORD).await, Login::Locked { .. }));
    assert!(matches!(house.login(BOB, "not the right words").await, Login::Refused));
    house.deliver(&[BOB], "meanwhile").await.unwrap();
    let house = house.restart(options());
    assert!(matches!(house.login(BOB, PASSWORD).await, Login::Locked { .. }));
    let wrong = house.mailboxes.unlock(BOB, secret("not the right words"), None).await;
    assert_eq!(wrong, Err(AdminError::BadCredential));
    house.mailboxes.unlock(BOB, secret(PASSWORD), None).await.unwrap();
    let handle = house.open(BOB).await;
    inbox_of(&handle, 3).await;
}

fn flag_one(view: &crate::account::MailboxView) -> Command {
    Command::Expunge { mailbox: view.id, uids: None }
}

#[tokio::test(start_paused = true)]
async fn the_absolute_limit_ends_sessions_that_never_leave() {
    let house = with_bob().await;
    let handle = house.open(BOB).await;
    let mut changes = handle.changes();
    tokio::time::advance(Duration::from_secs(12 * 3600 - 5)).await;
    tokio::task::yield_now().await;
    assert!(!handle.is_locked());
    tokio::time::timeout(Duration::from_secs(10), changes.wait_for(|version| version.locked))
        .await
        .expect("locked at the limit")
        .unwrap();
    assert!(house.events.all().contains("why=limit"));
    assert!(matches!(house.login(BOB, PASSWORD).await, Login::Open(_)));
}

#[tokio::test(start_paused = true)]
async fn after_the_grace_time_without_sessions_the_account_locks() {
    let house = with_bob().await;
    drop(house.open(BOB).await);
    tokio::time::sleep(Duration::from_secs(4 * 60)).await;
    let again = house.open(BOB).await;
    tokio::time::sleep(Duration::from_secs(3600)).await;
    assert!(!again.is_locked(), "a session is there");
    let clone = again.clone();
    drop(again);
    tokio::time::sleep(Duration::from_secs(3600)).await;
    assert!(!clone.is_locked(), "a clone belongs to the session");
    drop(clone);
    tokio::time::sleep(Duration::from_secs(5 * 60 + 1)).await;
    assert!(house.events.all().contains("why=grace"));
    assert_eq!(house.events.all().matches("mailbox.unlocked").count(), 1);
}

#[tokio::test(start_paused = true)]
async fn unlock_by_command_holds_without_sessions_and_no_longer_than_asked() {
    let house = with_bob().await;
    house.mailboxes.unlock(BOB, secret(PASSWORD), Some(2)).await.unwrap();
    tokio::time::sleep(Duration::from_secs(2 * 3600 - 60)).await;
    assert_eq!(house.mailboxes.list().await.unwrap()[0].state, State::Unlocked);
    tokio::time::sleep(Duration::from_secs(120)).await;
    assert_eq!(house.mailboxes.list().await.unwrap()[0].state, State::Closed);
    let long = house.mailboxes.unlock(BOB, secret(PASSWORD), Some(100_000)).await;
    assert_eq!(long, Err(AdminError::TooLong));
}

#[tokio::test(start_paused = true)]
async fn attach_needs_the_witness_of_this_very_login() {
    let house = with_bob().await;
    let _owner = house.open(BOB).await;
    for wrong in ["not the right words", "", PASSWORD.trim_end_matches('y')] {
        assert!(matches!(house.login(BOB, wrong).await, Login::Refused), "{wrong:?}");
    }
    let code = house.mailboxes.app_password(BOB, secret(PASSWORD), "phone", false).await.unwrap();
    let verdict = house.login(BOB, code.expose()).await;
    assert!(matches!(verdict, Login::Locked { .. }), "right, but it opens nothing: {verdict:?}");
    house.mailboxes.unlock(BOB, secret(PASSWORD), None).await.unwrap();
    assert!(matches!(house.login(BOB, code.expose()).await, Login::Open(_)));
    house.mailboxes.lock(BOB).await.unwrap();
    assert!(matches!(house.login(BOB, code.expose()).await, Login::Locked { .. }));
}

#[tokio::test(start_paused = true)]
async fn an_unknown_user_costs_one_slow_derivation_like_a_wrong_password() {
    let house = with_bob().await;
    let cost = async |user: &str, password: &str| {
        let before = house.mailboxes.slow_derivations();
        let _ = house.login(user, password).await;
        house.mailboxes.slow_derivations() - before
    };
    assert_eq!(cost("nobody@example.org", "not the right words").await, 1);
    assert_eq!(cost("not even a name@@", "not the right words").await, 1);
    assert_eq!(cost(BOB, "not the right words").await, 1);
    let _open = house.open(BOB).await;
    assert_eq!(cost(BOB, PASSWORD).await, 0, "the second login is fast");
    assert_eq!(cost(BOB, "not the right words").await, 1, "a miss costs the full price");
    let code = house.mailboxes.app_password(BOB, secret(PASSWORD), "phone", true).await.unwrap();
    assert_eq!(cost(BOB, code.expose()).await, 0);
    assert_eq!(cost("nobody@example.org", code.expose()).await, 0);
}

/// A name that nobody has is put off just so, and another network has tries of its own.
#[tokio::test(start_paused = true)]
async fn who_guesses_is_put_off_for_a_minute_and_nobody_else_is() {
    let house = with_bob().await;
    let login = async |user: &str, password: &str, peer: [u8; 4]| {
        let (user, password, service) = (user.to_owned(), secret(password), Service::Submission);
        house
            .mailboxes
            .login(AuthRequest { user, password, peer: Some(peer.into()), service })
            .await
    };
    let (guesser, elsewhere) = ([192, 0, 2, 1], [198, 51, 100, 1]);
    for user in [BOB, "nobody@example.org"] {
        for _ in 0..8 {
            assert_eq!(login(user, "not the right words", guesser).await, AuthVerdict::Refused);
        }
        let before = house.mailboxes.slow_derivations();
        for password in [PASSWORD, "not the right words"] {
            assert_eq!(login(user, password, guesser).await, AuthVerdict::TryLater);
        }
        assert_eq!(house.mailboxes.slow_derivations(), before, "and nothing is computed");
    }
    let accepted = |verdict| matches!(verdict, AuthVerdict::Accepted { .. });
    assert!(accepted(login(BOB, PASSWORD, elsewhere).await));
    assert!(accepted(login(BOB, PASSWORD, [127, 0, 0, 1]).await));
    house.clock.advance(Duration::from_secs(61));
    assert!(accepted(login(BOB, PASSWORD, guesser).await));
}

#[tokio::test(start_paused = true)]
async fn the_fast_second_login_dies_with_the_unlock() {
    let house = with_bob().await;
    drop(house.open(BOB).await);
    tokio::time::sleep(Duration::from_secs(6 * 60)).await;
    let before = house.mailboxes.slow_derivations();
    house.open(BOB).await;
    assert_eq!(house.mailboxes.slow_derivations(), before + 1);
}

#[tokio::test(start_paused = true)]
async fn submission_learns_who_it_is_and_leaves_no_key_behind() {
    let house = with_bob().await;
    let ask = async |password: &str| {
        let (user, password) = (BOB.to_owned(), secret(password));
        let service = Service::Submission;
        house.mailboxes.login(AuthRequest { user, password, peer: None, service }).await
    };
    let accepted = AuthVerdict::Accepted {
        account: AccountNumber(1),
        address: BOB.parse::<Address>().unwrap(),
    };
    assert_eq!(ask(PASSWORD).await, accepted);
    assert_eq!(ask("not the right words").await, AuthVerdict::Refused);
    assert_eq!(house.mailboxes.list().await.unwrap()[0].state, State::Closed);
    assert!(!house.events.saw("mailbox.unlocked"));
}

#[tokio::test(start_paused = true)]
async fn root_without_a_credential_gets_no_slot_from_an_unlocked_account() {
    let house = with_bob().await;
    let _owner = house.open(BOB).await;
    let server = &house.mailboxes;
    for wrong in ["", "not the right words"] {
        let denied = Some(AdminError::BadCredential);
        let new = || secret("another six words of a key");
        assert_eq!(server.passwd(BOB, secret(wrong), new()).await.err(), denied);
        assert_eq!(server.rekey(BOB, secret(wrong), new()).await.err(), denied);
        assert_eq!(server.recovery(BOB, secret(wrong)).await.err(), denied);
        assert_eq!(server.app_password(BOB, secret(wrong), "x", true).await.err(), denied);
        assert_eq!(server.app_password(BOB, secret(wrong), "x", false).await.err(), denied);
        assert_eq!(server.unlock(BOB, secret(wrong), Some(1)).await.err(), denied);
    }
}

#[tokio::test(start_paused = true)]
async fn a_login_only_credential_changes_nothing() {
    let house = with_bob().await;
    let server = &house.mailboxes;
    let code = server.app_password(BOB, secret(PASSWORD), "phone", false).await.unwrap();
    let new = secret("another six words of a key");
    let result = server.passwd(BOB, secret(code.expose()), new).await;
    assert_eq!(result, Err(AdminError::BadCredential));
    let result = server.unlock(BOB, secret(code.expose()), None).await;
    assert_eq!(result, Err(AdminError::BadCredential));
}

#[tokio::test(start_paused = true)]
async fn every_verb_that_uses_a_credential_leaves_a_note_without_secrets() {
    let house = with_bob().await;
    let (server, new) = (&house.mailboxes, "another six words of a key");
    let app = server.app_password(BOB, secret(PASSWORD), "my label", true).await.unwrap();
    let code = server.recovery(BOB, secret(PASSWORD)).await.unwrap();
    server.passwd(BOB, secret(PASSWORD), secret(new)).await.unwrap();
    server.unlock(BOB, secret(new), Some(1)).await.unwrap();
    let last = server.rekey(BOB, secret(new), secret(PASSWORD)).await.unwrap();
    let handle = house.open(BOB).await;
    let view = inbox_of(&handle, 6).await;
    let mut all = house.events.all();
    for row in view.rows() {
        all += &String::from_utf8_lossy(handle.body(row).await.unwrap().expose());
    }
    for verb in ["app password", "recovery code", "password was changed", "unlocked", "master key"]
    {
        assert!(all.contains(verb), "no note about: {verb}");
    }
    for word in [PASSWORD, new, app.expose(), code.expose(), last.expose(), "my label"] {
        assert!(!all.contains(word), "a secret is in a note or in the log");
    }
}

#[tokio::test(start_paused = true)]
async fn a_new_password_closes_the_old_one_to_a_running_unlock_too() {
    let house = with_bob().await;
    let owner = house.open(BOB).await;
    let new = "another six words of a key";
    house.mailboxes.passwd(BOB, secret(PASSWORD), secret(new)).await.unwrap();
    assert!(matches!(house.login(BOB, PASSWORD).await, Login::Refused));
    assert!(matches!(house.login(BOB, new).await, Login::Open(_)));
    assert!(!owner.is_locked(), "passwd revokes no session");
}

#[tokio::test(start_paused = true)]
async fn rekey_ends_sessions_and_keeps_the_mail() {
    let house = with_bob().await;
    house.deliver(&[BOB], "before").await.unwrap();
    let app = house.mailboxes.app_password(BOB, secret(PASSWORD), "x", true).await.unwrap();
    let owner = house.open(BOB).await;
    inbox_of(&owner, 3).await;
    house.mailboxes.rekey(BOB, secret(PASSWORD), secret(PASSWORD)).await.unwrap();
    assert!(owner.is_locked());
    assert!(matches!(house.login(BOB, app.expose()).await, Login::Refused));
    house.deliver(&[BOB], "after").await.unwrap();
    let owner = house.open(BOB).await;
    let view = inbox_of(&owner, 5).await;
    let subjects = subjects(&owner, &view).await;
    assert_eq!((&*subjects[1], &*subjects[4]), ("before", "after"));
}

#[tokio::test(start_paused = true)]
async fn a_forged_account_file_defers_mail_and_raises_the_alarm() {
    let house = with_bob().await;
    house.add(EVE).await;
    put_in_place(&house, FILE, |octets| octets[40] ^= 1);
    let result = house.deliver(&[BOB, EVE], "to both").await;
    assert_eq!(result, Err(DeliverError::TryLater), "451");
    assert!(house.events.saw("mailbox.account-file-forged"));
    assert_eq!(house.recipient(BOB).await, RecipientVerdict::Unavailable);
    house.deliver(&[EVE], "to her alone").await.unwrap();
    assert!(matches!(house.login(BOB, PASSWORD).await, Login::TryLater));
    let house = house.restart(options());
    assert!(house.events.saw("mailbox.account-file-forged"), "at start too");
    assert_eq!(house.recipient(BOB).await, RecipientVerdict::Unavailable);
    let eve = house.open(EVE).await;
    let view = inbox_of(&eve, 2).await;
    assert_eq!(subjects(&eve, &view).await, [WELCOME, "to her alone"]);
}

/// Puts an altered copy in the place of a file.
fn put_in_place(house: &House, path: &str, alter: impl FnOnce(&mut Vec<u8>)) {
    let mut octets = house.disk.contents(path).unwrap();
    alter(&mut octets);
    crate::base::disk::replace(&house.disk, path, &octets).unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_faithful_copy_of_an_account_file_is_accepted_and_an_older_one_is_not() {
    let house = with_bob().await;
    put_in_place(&house, FILE, |_| {});
    house.deliver(&[BOB], "one").await.unwrap();
    let old = house.disk.contents(FILE).unwrap();
    let new = secret("another six words of a key");
    house.mailboxes.passwd(BOB, secret(PASSWORD), new).await.unwrap();
    house.deliver(&[BOB], "two").await.unwrap();
    put_in_place(&house, FILE, |octets| *octets = old);
    assert_eq!(house.deliver(&[BOB], "three").await, Err(DeliverError::TryLater));
    assert!(house.events.all().contains("older-file"));
}

#[tokio::test(start_paused = true)]
async fn on_a_failing_disk_all_copies_are_there_or_none() {
    for (op, nth) in [(Op::Write, 1), (Op::Write, 2), (Op::Sync, 1), (Op::Sync, 2)] {
        let house = with_bob().await;
        house.add(EVE).await;
        house.disk.inject(Fault { op: Some(op), nth, lasting: false, failure: Failure::Io });
        let lost = house.deliver(&[BOB, EVE], "lost").await;
        assert_eq!(lost.is_err(), house.disk.fired() > 0, "{op:?} {nth}");
        house.disk.heal();
        house.deliver(&[BOB, EVE], "kept").await.unwrap();
        let there: &[&str] = if lost.is_ok() { &["lost", "kept"] } else { &["kept"] };
        for address in [BOB, EVE] {
            let handle = house.open(address).await;
            let view = inbox_of(&handle, 1 + there.len() as u32).await;
            assert_eq!(&subjects(&handle, &view).await[1..], there, "{op:?} {nth}");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_full_disk_is_said_to_be_full() {
    let house = with_bob().await;
    let failure = Failure::NoSpace;
    house.disk.inject(Fault { op: Some(Op::Write), nth: 1, lasting: true, failure });
    assert_eq!(house.deliver(&[BOB], "no room").await, Err(DeliverError::Full));
    house.disk.heal();
    house.deliver(&[BOB], "room").await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn an_account_whose_new_file_is_there_but_not_synced_stays_usable() {
    let house = with_bob().await;
    let failure = Failure::Io;
    house.disk.inject(Fault { op: Some(Op::SyncDir), nth: 1, lasting: false, failure });
    assert!(house.mailboxes.app_password(BOB, secret(PASSWORD), "phone", false).await.is_err());
    house.deliver(&[BOB], "taken all the same").await.unwrap();
    house.open(BOB).await;
}

#[tokio::test(start_paused = true)]
async fn nothing_is_published_before_it_is_durable() {
    let house = with_bob().await;
    let (writer, reader) = (house.open(BOB).await, house.open(BOB).await);
    inbox_of(&reader, 1).await;
    settle().await;
    house.log.open.send_replace(false);
    let change = tokio::spawn({
        let command = flag(&writer, 1);
        async move { writer.apply(command).await }
    });
    let delivery = tokio::spawn({
        let mailboxes = house.mailboxes.clone();
        let delivery = crate::seams::Delivery {
            from: None,
            recipients: vec![crate::seams::LocalRecipient {
                account: AccountNumber(1),
                detail: None,
            }],
            message: message("held back"),
            received: house::START,
            role: crate::seams::Role::Inbox,
            sender: Default::default(),
        };
        async move { crate::seams::Deliver::deliver(&mailboxes, delivery).await }
    });
    settle().await;
    assert!(!change.is_finished() && !delivery.is_finished(), "answered before it was durable");
    let seen = inbox(&reader);
    assert!(!seen.row(0).unwrap().flags.has(Flags::FLAGGED), "seen before it was durable");
    assert_eq!(seen.exists(), 1);
    house.log.open.send_replace(true);
    assert!(matches!(change.await.unwrap(), Ok(Outcome::Stored { .. })));
    delivery.await.unwrap().unwrap();
    let seen = inbox_of(&reader, 2).await;
    assert!(seen.row(0).unwrap().flags.has(Flags::FLAGGED));
}

/// Lets everything that can happen happen: with the clock paused, it moves only when all is quiet.
async fn settle() {
    tokio::time::sleep(Duration::from_secs(1)).await;
}

#[tokio::test(start_paused = true)]
async fn a_change_that_failed_leaves_everything_as_it_was() {
    let house = with_bob().await;
    let handle = house.open(BOB).await;
    inbox_of(&handle, 1).await;
    settle().await;
    let failure = Failure::NoSpace;
    house.disk.inject(Fault { op: Some(Op::Write), nth: 1, lasting: true, failure });
    assert!(matches!(handle.apply(flag(&handle, 1)).await, Err(ApplyError::Full)));
    assert!(!inbox(&handle).row(0).unwrap().flags.has(Flags::FLAGGED));
    house.disk.heal();
    handle.apply(flag(&handle, 1)).await.unwrap();
    assert!(inbox(&handle).row(0).unwrap().flags.has(Flags::FLAGGED));
}

#[tokio::test(start_paused = true)]
async fn a_fold_that_failed_is_made_again() {
    let house = with_bob().await;
    let handle = house.open(BOB).await;
    inbox_of(&handle, 1).await;
    house.log.open.send_replace(true);
    house.deliver(&[BOB], "one").await.unwrap();
    let failure = Failure::NoSpace;
    house.disk.inject(Fault { op: Some(Op::Write), nth: 1, lasting: true, failure });
    tokio::time::sleep(Duration::from_secs(30)).await;
    house.disk.heal();
    let view = inbox_of(&handle, 2).await;
    assert_eq!(subjects(&handle, &view).await, [WELCOME, "one"]);
}

#[tokio::test(start_paused = true)]
async fn large_bodies_and_appended_messages_read_back() {
    let house = with_bob().await;
    house.add(EVE).await;
    let mut large = message("large");
    large.extend((0..400_000u32).map(|n| b'a' + (n % 23) as u8));
    large.extend_from_slice(b"\r\n");
    house.deliver_octets(&[BOB, EVE], large.clone()).await.unwrap();
    for address in [BOB, EVE] {
        let handle = house.open(address).await;
        let view = inbox_of(&handle, 2).await;
        assert_eq!(handle.body(view.row(1).unwrap()).await.unwrap().expose(), large);
    }
    let handle = house.open(BOB).await;
    for octets in [message("small"), large] {
        let append = Append {
            mailbox: "INBOX".into(),
            flags: FlagNames { system: Flags::SEEN, keywords: vec!["kept".into()] },
            received: None,
            message: octets.clone(),
        };
        let Ok(Outcome::Appended { uid, .. }) = handle.append(append).await else {
            panic!("not appended");
        };
        let view = inbox(&handle);
        let row = view.row(view.index_of(uid).unwrap()).unwrap();
        assert_eq!(handle.body(row).await.unwrap().expose(), octets);
        let first = handle.body(row).await.unwrap();
        let again = handle.body(row).await.unwrap();
        assert!(std::sync::Arc::ptr_eq(&first, &again), "opened once");
    }
}

fn octets_of(bytes: usize) -> Vec<u8> {
    let mut octets = message("large");
    octets.extend((0..bytes).map(|n| b'a' + (n % 23) as u8));
    octets
}

fn large_files(house: &House) -> usize {
    house.disk.list("journal/large").unwrap().len()
}

#[tokio::test(start_paused = true)]
async fn a_message_to_many_accounts_is_stored_whatever_all_copies_take_together() {
    let house = House::new();
    let addresses: Vec<String> = (0..80).map(|n| format!("user{n}@example.org")).collect();
    for address in &addresses {
        house.add(address).await;
    }
    let addresses: Vec<&str> = addresses.iter().map(String::as_str).collect();
    let octets = octets_of(220_000);
    house.deliver_octets(&addresses, octets.clone()).await.unwrap();
    for address in [addresses[0], addresses[79]] {
        let handle = house.open(address).await;
        let view = inbox_of(&handle, 2).await;
        assert_eq!(handle.body(view.row(1).unwrap()).await.unwrap().expose(), octets);
    }
}

#[tokio::test(start_paused = true)]
async fn a_large_body_that_came_to_nothing_leaves_no_file() {
    let house = with_bob().await;
    house.add(EVE).await;
    let handle = house.open(BOB).await;
    let append = |keywords: usize| Append {
        mailbox: "INBOX".into(),
        flags: FlagNames {
            keywords: (0..keywords).map(|n| format!("k{n}")).collect(),
            ..FlagNames::default()
        },
        received: None,
        message: octets_of(400_000),
    };
    assert!(matches!(handle.append(append(65)).await, Err(ApplyError::Refused(_))));
    assert_eq!(large_files(&house), 0);
    // The second copy finds no room.
    let failure = Failure::NoSpace;
    house.disk.inject(Fault { op: Some(Op::Write), nth: 2, lasting: true, failure });
    let full = house.deliver_octets(&[BOB, EVE], octets_of(400_000)).await;
    assert_eq!(full, Err(DeliverError::Full));
    house.disk.heal();
    assert_eq!(large_files(&house), 0);
    handle.append(append(1)).await.unwrap();
    assert_eq!(large_files(&house), 1);
}

#[tokio::test(start_paused = true)]
async fn what_a_session_files_counts_against_the_quota() {
    let options = Options { account_bytes_max: 100_000, ..options() };
    let house = House::on(crate::base::disk::memory::MemoryDisk::new(), options);
    house.add(BOB).await;
    let handle = house.open(BOB).await;
    let append = || Append {
        mailbox: "INBOX".into(),
        flags: FlagNames::default(),
        received: None,
        message: octets_of(100_000),
    };
    handle.append(append()).await.unwrap();
    assert!(matches!(handle.append(append()).await, Err(ApplyError::Full)));
}

#[tokio::test(start_paused = true)]
async fn uids_and_flags_survive_restarts() {
    let house = with_bob().await;
    house.deliver(&[BOB], "one").await.unwrap();
    let handle = house.open(BOB).await;
    inbox_of(&handle, 2).await;
    handle.apply(flag(&handle, 2)).await.unwrap();
    let before = inbox(&handle);
    let house = house.restart(options());
    house.deliver(&[BOB], "two").await.unwrap();
    let handle = house.open(BOB).await;
    let after = inbox_of(&handle, 3).await;
    assert_eq!(before.uid_validity, after.uid_validity);
    let uids: Vec<u32> = after.rows().map(|row| row.uid).collect();
    assert_eq!(uids, [1, 2, 3]);
    assert!(after.row(1).unwrap().flags.has(Flags::FLAGGED));
    assert_eq!(subjects(&handle, &after).await, [WELCOME, "one", "two"]);
}

#[tokio::test(start_paused = true)]
async fn after_an_expunge_the_next_unlock_turns_the_index_key_and_forgets_the_old_one() {
    let house = with_bob().await;
    house.deliver(&[BOB], "kept").await.unwrap();
    let bob = AccountNumber(1);
    let epoch = async || {
        let handle = house.open(BOB).await;
        inbox_of_at_least(&handle, 1).await;
        settle().await;
        let unlocked = house.mailboxes.core().registry.resident(bob).unwrap().unlocked().unwrap();
        (handle, unlocked.index_epoch(), unlocked.previous_index_key().is_some())
    };
    let lock = async || house.mailboxes.close().await;
    let (handle, first, _) = epoch().await;
    let command = Command::Store {
        mailbox: inbox(&handle).id,
        uids: UidSet::range(1, 1),
        mode: FlagMode::Add,
        flags: FlagNames { system: Flags::DELETED, keywords: Vec::new() },
        unchanged_since: None,
    };
    handle.apply(command).await.unwrap();
    handle.apply(flag_one(&inbox(&handle))).await.unwrap();
    lock().await;
    let (handle, second, _) = epoch().await;
    assert_eq!(second, first + 1);
    assert_eq!(subjects(&handle, &inbox(&handle)).await, ["kept"]);
    lock().await;
    let (handle, third, old_key_is_there) = epoch().await;
    assert_eq!((third, old_key_is_there), (second, false), "the old key has left the vault");
    assert_eq!(subjects(&handle, &inbox(&handle)).await, ["kept"]);
}

#[tokio::test(start_paused = true)]
async fn recipients_are_told_apart() {
    let house = House::on(
        crate::base::disk::memory::MemoryDisk::new(),
        Options { postmaster: Some(BOB.into()), tray_messages_max: 2, ..options() },
    );
    let bob = house.add(BOB).await;
    for address in [BOB, "Bob@Example.ORG", "postmaster@example.org", "PostMaster@example.net"] {
        assert_eq!(house.recipient(address).await, RecipientVerdict::Local(bob), "{address}");
    }
    assert_eq!(house.recipient("bob@example.net").await, RecipientVerdict::Unknown);
    assert_eq!(house.recipient("bob@example.com").await, RecipientVerdict::NotLocal);
    assert_eq!(house.recipient("postmaster@example.com").await, RecipientVerdict::NotLocal);
    house.deliver(&[BOB], "one").await.unwrap();
    assert_eq!(house.recipient(BOB).await, RecipientVerdict::OverQuota, "the tray is full");
    inbox_of(&house.open(BOB).await, 2).await;
    assert_eq!(house.recipient(BOB).await, RecipientVerdict::Local(bob), "the tray is empty");
}

#[tokio::test(start_paused = true)]
async fn a_name_that_no_certificate_carries_is_said_to_be_that() {
    let house = with_bob().await;
    let spaced = house.mailboxes.add("\"x y\"@example.net", secret(PASSWORD)).await.err();
    assert_eq!(spaced, Some(AdminError::BadName));
    let long = format!("{}@example.net", "x".repeat(65));
    let long = house.mailboxes.add(&long, secret(PASSWORD)).await.err();
    assert_eq!(long, Some(AdminError::BadName), "not every server would take it");
}

#[tokio::test(start_paused = true)]
async fn accounts_come_and_go() {
    let house = with_bob().await;
    let server = &house.mailboxes;
    assert_eq!(server.add(BOB, secret(PASSWORD)).await.err(), Some(AdminError::Exists));
    let foreign = server.add("x@example.com", secret(PASSWORD)).await.err();
    assert_eq!(foreign, Some(AdminError::BadAddress));
    assert_eq!(server.add(EVE, secret("short")).await.err(), Some(AdminError::BadPassword));
    let line = server.list().await.unwrap().remove(0);
    assert_eq!((line.state, line.known_to_operator, line.waiting), (State::Closed, true, 1));
    let session = house.open(BOB).await;
    server.remove(BOB).await.unwrap();
    assert!(session.is_locked());
    assert!(matches!(house.login(BOB, PASSWORD).await, Login::Refused));
    assert_eq!(house.recipient(BOB).await, RecipientVerdict::Unknown);
    assert_eq!(server.lock(BOB).await, Err(AdminError::NoSuchAccount));
    let again = server.add(BOB, secret(PASSWORD)).await.unwrap();
    assert_eq!(again.account, AccountNumber(2), "a number is never given twice");
    let handle = house.open(BOB).await;
    inbox_of(&handle, 1).await;
}

/// The directory of accounts was moved away or is not restored yet: senders must not hear that
/// nobody is here.
#[tokio::test(start_paused = true)]
async fn without_any_account_file_mail_waits_and_one_that_is_missing_is_named() {
    let house = with_bob().await;
    house.add(EVE).await;
    let missing = "mailbox.account-file-missing";
    let house = house.restart(options());
    assert!(!house.events.all().contains(missing));
    house.disk.remove(FILE).unwrap();
    let house = house.restart(options());
    assert_eq!(house.events.all().matches(missing).count(), 1);
    assert_eq!(house.recipient(BOB).await, RecipientVerdict::Unknown);
    house.disk.remove("accounts/00000002.account").unwrap();
    let house = house.restart(options());
    assert_eq!(house.recipient(BOB).await, RecipientVerdict::Unavailable);
    // An account that was removed as a whole is not missed.
    let house = with_bob().await;
    house.mailboxes.remove(BOB).await.unwrap();
    let house = house.restart(options());
    assert!(!house.events.all().contains(missing));
    assert_eq!(house.recipient(BOB).await, RecipientVerdict::Unknown);
}

#[tokio::test(start_paused = true)]
async fn close_locks_all_accounts() {
    let house = with_bob().await;
    house.add(EVE).await;
    let (bob, eve) = (house.open(BOB).await, house.open(EVE).await);
    house.mailboxes.close().await;
    assert!(bob.is_locked() && eve.is_locked());
}

#[tokio::test(start_paused = true)]
async fn no_address_of_a_user_or_secret_stands_on_the_disk_in_mail() {
    let house = with_bob().await;
    house.deliver(&[BOB], "canaryinthesubject").await.unwrap();
    let handle = house.open(BOB).await;
    inbox_of(&handle, 2).await;
    for path in house.disk.paths() {
        let octets = house.disk.contents(&path).unwrap();
        let found = octets.windows(6).any(|window| window.eq_ignore_ascii_case(b"canary"));
        assert!(!found, "{path}");
    }
    assert!(house.disk.list("journal").is_ok());
}

/// Real threads, no paused clock: deliveries, logins, changes and locks of several accounts at once
/// lose nothing and never hang.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_crowd_on_real_threads_loses_nothing() {
    const ACCOUNTS: usize = 3;
    const MESSAGES: usize = 25;
    let house = std::sync::Arc::new(House::new());
    let addresses: Vec<String> = (0..ACCOUNTS).map(|n| format!("u{n}@example.org")).collect();
    for address in &addresses {
        house.add(address).await;
    }
    let mut crowd = tokio::task::JoinSet::new();
    for n in 0..MESSAGES {
        let (house, addresses) = (house.clone(), addresses.clone());
        crowd.spawn(async move {
            let to: Vec<&str> = addresses.iter().map(String::as_str).collect();
            house.deliver(&to, &format!("m{n}")).await.unwrap();
        });
    }
    for address in addresses.iter().flat_map(|address| std::iter::repeat_n(address, 6)) {
        let (locker, house, address) = (house.clone(), house.clone(), address.clone());
        crowd.spawn(async move {
            if let Login::Open(handle) = house.login(&address, PASSWORD).await {
                // A session may be locked by its neighbour at any moment.
                if let Ok(catalog) = handle.catalog() {
                    let inbox = catalog.by_name("INBOX").unwrap().id;
                    let _ = handle.claim_recent(inbox).await;
                }
            }
        });
        crowd.spawn(async move { locker.mailboxes.close().await });
    }
    while let Some(done) = crowd.join_next().await {
        done.unwrap();
    }
    for address in &addresses {
        let handle = house.open(address).await;
        assert_eq!(inbox_of_at_least(&handle, 1 + MESSAGES as u32).await, 1 + MESSAGES as u32);
        let view = inbox(&handle);
        let mut seen = subjects(&handle, &view).await;
        seen.sort();
        seen.dedup();
        assert_eq!(seen.len(), 1 + MESSAGES, "each once");
    }
}

#[tokio::test(start_paused = true)]
async fn a_slot_that_was_opened_before_lock_or_rekey_starts_nothing_after_it() {
    let house = with_bob().await;
    let core = house.mailboxes.core();
    let open = async || {
        let (user, password) = (BOB.to_owned(), secret(PASSWORD));
        let request = AuthRequest { user, password, peer: None, service: Service::Imap };
        login::check(core, request, crate::vault::Purpose::Read).await.ok().unwrap()
    };
    let before = open().await;
    house.mailboxes.lock(BOB).await.unwrap();
    assert!(before.attach(core).await.is_err(), "lock came between");
    assert!(core.registry.resident(AccountNumber(1)).is_none());
    house.mailboxes.unlock(BOB, secret(PASSWORD), None).await.unwrap();
    house.mailboxes.close().await;
    let before = open().await;
    house.mailboxes.rekey(BOB, secret(PASSWORD), secret(PASSWORD)).await.unwrap();
    assert!(before.attach(core).await.is_err(), "rekey came between");
    house.open(BOB).await;
}

#[tokio::test(start_paused = true)]
async fn a_login_to_submit_opens_nothing() {
    let house = with_bob().await;
    let core = house.mailboxes.core();
    let submit = async |password: &str| {
        let (user, password) = (BOB.to_owned(), secret(password));
        let request = AuthRequest { user, password, peer: None, service: Service::Submission };
        house.mailboxes.login(request).await
    };
    let right = AuthVerdict::Accepted { account: AccountNumber(1), address: BOB.parse().unwrap() };
    for locked in [false, true] {
        if locked {
            house.mailboxes.lock(BOB).await.unwrap();
        }
        assert_eq!(submit(PASSWORD).await, right);
        assert_eq!(submit("wrong").await, AuthVerdict::Refused);
        settle().await;
        assert!(core.registry.resident(AccountNumber(1)).is_none());
        assert!(!house.events.all().contains("mailbox.unlocked"));
    }
}
