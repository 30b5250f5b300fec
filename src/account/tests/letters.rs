//! Mail that came encrypted to the owner: folded opened, or left as it came.

use super::*;
use crate::base::secret::SecretBytes;
use crate::mail::{ProvedFields, Section};
use crate::pgp::mime::testing;
use crate::pgp::{CertPair, generate_identity};
use crate::store::Sender;

static BOB: LazyLock<CertPair> =
    LazyLock::new(|| generate_identity("bob@example.org", NOW).unwrap());

const FIELDS: &str = "Received: by mx\r\nFrom: bob@example.org\r\nTo: ann@example.org\r\n\
    Subject: ...\r\nDate: Thu, 1 Jan 2026 00:00:00 +0000\r\n";
const ENTITY: &str = "Content-Type: text/plain; hp=\"cipher\"\r\nFrom: bob@example.org\r\n\
    Subject: dinner\r\n\r\nat eight\r\n";

const PLAIN: &str = "Content-Type: text/plain\r\n\r\nat eight\r\n";

fn letter(entity: &str, signer: Option<&SecretBytes>) -> String {
    let cert = CREATED.file.identity_cert();
    let mail = testing::mail(FIELDS, cert, signer, entity.as_bytes(), NOW);
    String::from_utf8(mail).unwrap()
}

fn proved() -> Sender {
    Sender { proved: ProvedFields::ALL, certificate: None }
}

fn known() -> Sender {
    Sender { proved: ProvedFields::NONE, certificate: Some(BOB.public.clone()) }
}

impl Rig {
    fn letter_entry(&self, text: &str, role: Role, sender: Sender) -> Entry {
        let server = self.journal.reader().identity().server;
        let to = Destination { server, account: ACCOUNT, key: UNLOCKED.seal_key() };
        let message = text.as_bytes();
        let record = ArrivalRecord::new(role, None, NOW, message, analyse(message)).unwrap();
        seal(&to, message, &record.with_sender(sender), &*self.entropy).unwrap().into_entry()
    }

    fn deliver_letter(&mut self, text: &str, sender: Sender) -> Address {
        let entry = self.letter_entry(text, Role::Inbox, sender);
        self.submit(vec![entry])[0]
    }

    fn is_dead(&self, at: Address) -> bool {
        self.journal.reader().info(at).unwrap().dead
    }
}

#[test]
fn mail_from_a_proved_sender_is_shown_opened_and_stays_so() {
    let mut rig = Rig::new();
    rig.deliver("Subject: before\r\n\r\n");
    let arrival = rig.deliver_letter(&letter(ENTITY, None), proved());
    rig.deliver("Subject: behind\r\n\r\n");
    let folded = rig.fold();
    assert_eq!((folded.messages, folded.opened, folded.placeholders), (3, 1, 0));
    assert_eq!(rig.uids("INBOX"), [1, 2, 3]);
    let shown = rig.bodies("INBOX");
    assert!(shown[0].contains("before") && shown[2].contains("behind"));
    assert!(shown[1].starts_with("Postseal-Opened: sealed to you; sender proved on arrival; "));
    assert!(shown[1].contains("\r\nSubject: dinner\r\n") && !shown[1].contains("..."));
    assert!(shown[1].ends_with("\r\n\r\nat eight\r\n"));
    // All that FETCH says is of the view.
    let view = rig.view("INBOX");
    let row = view.row(1).unwrap();
    let card = Opener::new(UNLOCKED.clone(), rig.journal.reader()).card(row).unwrap();
    assert_eq!((row.size as usize, card.size), (shown[1].len(), row.size));
    assert_eq!(card.envelope.as_ref().unwrap().subject.as_deref(), Some(&b"dinner"[..]));
    let text = card.structure.unwrap().section(&[], Section::Text).unwrap();
    assert_eq!(&shown[1][text.range()], "at eight\r\n");
    assert!(!rig.is_dead(arrival), "what arrived stays until the view is durable");
    rig.reload();
    rig.settle();
    assert!(rig.is_dead(arrival), "it is one message, and stored once");
    rig.machine.want_snapshot();
    rig.settle();
    rig.reload();
    assert_eq!(rig.bodies("INBOX"), shown);
    assert!(rig.fold().is_nothing());
    assert_eq!(rig.uids("INBOX"), [1, 2, 3]);
}

#[test]
fn what_is_not_proved_or_says_another_sender_stays_as_it_came() {
    let mut rig = Rig::new();
    let another = ENTITY.replace("From: bob", "From: eve");
    let mails = [
        (letter(ENTITY, None), Sender::default()),
        (letter(ENTITY, None), known()),
        (letter(ENTITY, Some(&BOB.secret)), Sender::default()),
        (letter(&another, None), proved()),
        (letter(&another, Some(&BOB.secret)), known()),
        (letter(ENTITY, None).replace("From: bob", "From: mallory"), proved()),
        (letter(ENTITY, None).replace("From: bob@", "From: eve@example.net, bob@"), proved()),
        // Signed by bob, mailed again by another; the header was not protected.
        (letter(PLAIN, Some(&BOB.secret)).replace("From: bob", "From: mallory"), proved()),
        (letter("Content-Type: text/plain\r\n\r\na\0b", None), proved()),
        (letter(ENTITY, None).replace("multipart/encrypted", "multipart/mixed"), proved()),
        (flip(&letter(ENTITY, None)), proved()),
        (ENTITY.to_owned(), proved()),
    ];
    for (text, sender) in &mails {
        rig.deliver_letter(text, sender.clone());
    }
    let folded = rig.fold();
    assert_eq!((folded.messages, folded.opened), (mails.len() as u32, 0));
    for (shown, (text, _)) in rig.bodies("INBOX").iter().zip(&mails) {
        assert_eq!(shown, text);
    }
    rig.settle();
    rig.reload();
}

/// One digit of the armor is another.
fn flip(text: &str) -> String {
    let at = text.find("-----BEGIN").unwrap() + 250;
    let digit = if &text[at..=at] == "A" { "B" } else { "A" };
    format!("{}{digit}{}", &text[..at], &text[at + 1..])
}

#[test]
fn a_signature_by_the_known_certificate_is_proof_too() {
    let mut rig = Rig::new();
    rig.deliver_letter(&letter(ENTITY, Some(&BOB.secret)), known());
    rig.deliver_letter(&flip(&letter(ENTITY, Some(&BOB.secret))), known());
    rig.deliver_letter(&letter(PLAIN, Some(&BOB.secret)), proved());
    assert_eq!(rig.fold().opened, 2);
    let shown = rig.bodies("INBOX");
    assert!(shown[0].starts_with("Postseal-Opened: sealed to you; sender proved by his signature"));
    assert!(shown[1].contains("-----BEGIN PGP MESSAGE-----"));
    assert!(shown[2].contains("; signature not checked; header not protected\r\n"));
}

#[test]
fn opened_junk_lies_in_junk_and_a_second_arrival_of_it_is_dropped() {
    let mut rig = Rig::new();
    let entry = rig.letter_entry(&letter(ENTITY, None), Role::Junk, proved());
    rig.submit(vec![entry.clone(), entry.clone()]);
    let folded = rig.fold();
    assert_eq!((folded.messages, folded.opened, folded.repeated), (1, 1, 1));
    rig.settle();
    rig.submit(vec![entry]);
    assert_eq!(rig.fold().repeated, 1);
    assert_eq!((rig.uids("INBOX").len(), rig.uids("Junk").len()), (0, 1));
    rig.settle();
    rig.reload();
}

/// At every step before the record is durable, a crash leaves what arrived, and no UID was used.
#[test]
fn a_crash_before_the_view_is_durable_changes_nothing() {
    let mut rig = Rig::new();
    rig.deliver_letter(&letter(ENTITY, None), proved());
    let reload = |rig: &mut Rig| {
        rig.machine = load(rig.journal.reader(), rig.entropy.clone()).machine;
        assert_eq!((rig.uids("INBOX").len(), rig.view("INBOX").uid_next), (0, 1));
    };
    // Opened, and forgotten.
    rig.machine.fold_work(9).unwrap().unwrap().run();
    reload(&mut rig);
    // Planned, and forgotten.
    let opened = rig.machine.fold_work(9).unwrap().unwrap().run();
    let planned = rig.machine.plan_fold(opened, NOW);
    assert_eq!(planned.objects().count(), 2, "the view and its record, in one batch");
    drop(planned);
    reload(&mut rig);
    // The view came to the disk without its record: nobody was told of it.
    let opened = rig.machine.fold_work(9).unwrap().unwrap().run();
    let mut planned = rig.machine.plan_fold(opened, NOW);
    let view = planned.take_batches().remove(0).remove(0);
    rig.submit(vec![view]);
    reload(&mut rig);
    assert_eq!(rig.fold().messages, 1);
    assert_eq!(rig.uids("INBOX"), [1]);
    assert!(rig.bodies("INBOX")[0].contains("dinner"));
    rig.settle();
    rig.reload();
    // Durable, but not committed: the next load sees it.
    rig.deliver_letter(&letter(ENTITY, None), proved());
    let opened = rig.machine.fold_work(9).unwrap().unwrap().run();
    let batch = rig.machine.plan_fold(opened, NOW).take_batches().remove(0);
    rig.submit(batch);
    let Loaded { machine, damage } = load(rig.journal.reader(), rig.entropy.clone());
    assert_eq!(damage, []);
    rig.machine = machine;
    assert_eq!(rig.uids("INBOX"), [1, 2]);
    assert!(rig.bodies("INBOX")[1].contains("dinner") && rig.fold().is_nothing());
}

#[test]
fn flags_copies_and_expunges_are_of_the_view() {
    let mut rig = Rig::new();
    rig.deliver_letter(&letter(ENTITY, None), proved());
    rig.fold();
    rig.settle();
    let before = rig.view("INBOX").highest_modseq;
    rig.store("INBOX", UidSet::range(1, 1), deleted());
    let (mailbox, uids) = (rig.id("INBOX"), UidSet::range(1, 1));
    rig.apply(Command::Copy { from: mailbox, uids, to: "Archive".into() }).unwrap();
    rig.apply(Command::Expunge { mailbox, uids: None }).unwrap();
    assert!(rig.view("INBOX").highest_modseq > before);
    rig.settle();
    rig.reload();
    let shown = rig.bodies("Archive");
    assert!(shown[0].contains("dinner"));
    let frame = rig.view("Archive").row(0).unwrap().frame;
    rig.store("Archive", UidSet::range(1, 1), deleted());
    let mailbox = rig.id("Archive");
    rig.apply(Command::Expunge { mailbox, uids: None }).unwrap();
    rig.settle();
    assert!(rig.is_dead(frame));
    rig.reload();
}

#[test]
fn a_large_view_that_has_no_file_is_not_shown_and_one_that_has_is() {
    let mut rig = Rig::new();
    let entity = format!("Content-Type: text/plain\r\n\r\n{}\r\n", "x".repeat(300_000));
    for with_file in [false, true] {
        let text = letter(&entity, None);
        let server = rig.journal.reader().identity().server;
        let to = Destination { server, account: ACCOUNT, key: UNLOCKED.seal_key() };
        let record =
            ArrivalRecord::new(Role::Inbox, None, NOW, text.as_bytes(), analyse(text.as_bytes()));
        let record = record.unwrap().with_sender(proved());
        let mut sealed = seal(&to, text.as_bytes(), &record, &*rig.entropy).unwrap();
        store_large(&rig, &mut sealed);
        rig.submit(vec![sealed.into_entry()]);
        let mut opened = rig.machine.fold_work(9).unwrap().unwrap().run();
        assert_eq!(opened.large_views().count(), 1);
        if with_file {
            opened.large_views().for_each(|view| store_large(&rig, view));
        }
        let planned = rig.machine.plan_fold(opened, NOW);
        rig.run(planned);
    }
    let shown = rig.bodies("INBOX");
    assert!(shown[0].contains("BEGIN PGP MESSAGE"));
    assert!(shown[1].starts_with("Postseal-Opened: ") && shown[1].len() > 300_000);
    rig.settle();
    rig.reload();
}

fn store_large(rig: &Rig, sealed: &mut SealedArrival) {
    if let Some(body) = sealed.take_large() {
        let large = crate::journal::write_large(&rig.disk, sealed.object, &body).unwrap();
        sealed.set_large(large);
    }
}

#[test]
fn a_step_stops_when_its_views_are_many_octets_and_the_next_goes_on() {
    let mut rig = Rig::new();
    let entity = format!("Content-Type: text/plain\r\n\r\n{}\r\n", "x".repeat(200_000));
    let text = letter(&entity, None);
    for _ in 0..30 {
        let entry = rig.letter_entry(&text, Role::Inbox, proved());
        let mut sealed = entry;
        if let Body::Inline(body) = &sealed.body
            && body.len() > crate::store::LARGE_BODY_BYTES
        {
            let large = crate::journal::write_large(&rig.disk, sealed.object, body).unwrap();
            sealed.body = Body::Large(large);
        }
        rig.submit(vec![sealed]);
    }
    let first = rig.machine.fold_work(256).unwrap().unwrap().run();
    assert!((15..25).contains(&first.len()), "{}", first.len());
    let planned = rig.machine.plan_fold(first, NOW);
    rig.run(planned);
    rig.fold();
    assert_eq!(rig.uids("INBOX"), (1..=30).collect::<Vec<u32>>());
    assert!(rig.bodies("INBOX").iter().all(|body| body.starts_with("Postseal-Opened: ")));
}
