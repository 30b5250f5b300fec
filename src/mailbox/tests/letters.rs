//! Mail that came encrypted to an account, from delivery to what a session reads.

use super::house::{House, inbox, inbox_of, subjects};
use super::{BOB, FILE, WELCOME, large_files, with_bob};
use crate::base::clock::Clock;
use crate::base::crypto::Key;
use crate::base::disk::memory::{Failure, Fault, Op};
use crate::mail::ProvedFields;
use crate::pgp::mime::testing;
use crate::seams::SenderProof;
use crate::vault::{AccountFile, ServerKeys};
use std::time::Duration;

fn letter(house: &House, subject: &str, octets: usize) -> Vec<u8> {
    let keys = ServerKeys::new(&Key::copy_from(&[7; 32]).unwrap(), None);
    let file = AccountFile::from_bytes(&house.disk.contents(FILE).unwrap(), &keys).unwrap();
    let entity = format!(
        "Subject: {subject}\r\nContent-Type: text/plain; hp=\"cipher\"\r\n\r\n{}\r\n",
        "x".repeat(octets)
    );
    let fields = "From: ann@example.com\r\nSubject: ...\r\n";
    testing::mail(fields, file.identity_cert(), None, entity.as_bytes(), house.clock.now())
}

fn proved() -> SenderProof {
    SenderProof { proved: ProvedFields::ALL, certificate: None }
}

#[tokio::test(start_paused = true)]
async fn mail_from_a_proved_sender_is_read_opened_and_other_mail_as_it_came() {
    let house = with_bob().await;
    let (small, large) = (letter(&house, "small", 10), letter(&house, "large", 500_000));
    house.deliver_from(proved(), &[BOB], small.clone()).await.unwrap();
    house.deliver_from(proved(), &[BOB], large).await.unwrap();
    house.deliver_from(SenderProof::default(), &[BOB], small.clone()).await.unwrap();
    assert_eq!(large_files(&house), 1);
    let handle = house.open(BOB).await;
    let view = inbox_of(&handle, 4).await;
    assert_eq!(subjects(&handle, &view).await, [WELCOME, "small", "large", "..."]);
    let body = |index: u32| {
        let row = view.row(index).unwrap().clone();
        let handle = handle.clone();
        async move { handle.body(&row).await.unwrap().expose().to_vec() }
    };
    assert!(body(1).await.starts_with(b"Postseal-Opened: "));
    assert_eq!(body(2).await.len(), view.row(2).unwrap().size as usize);
    assert!(body(2).await.len() > 500_000);
    assert_eq!(body(3).await, small);
    // It comes into an open mailbox the same way.
    house.deliver_from(proved(), &[BOB], letter(&house, "later", 10)).await.unwrap();
    let view = inbox_of(&handle, 5).await;
    assert_eq!(subjects(&handle, &view).await[4], "later");
}

#[tokio::test(start_paused = true)]
async fn a_disk_that_is_full_at_the_fold_leaves_no_file_and_the_next_try_opens() {
    let house = with_bob().await;
    let handle = house.open(BOB).await;
    inbox_of(&handle, 1).await;
    house.deliver_from(proved(), &[BOB], letter(&house, "large", 500_000)).await.unwrap();
    let failure = Failure::NoSpace;
    house.disk.inject(Fault { op: Some(Op::Write), nth: 1, lasting: true, failure });
    tokio::time::sleep(Duration::from_secs(30)).await;
    assert_eq!((inbox(&handle).exists(), large_files(&house)), (1, 1));
    house.disk.heal();
    let view = inbox_of(&handle, 2).await;
    assert_eq!(subjects(&handle, &view).await, [WELCOME, "large"]);
}
