//! Which certificates are given out, and who changes them or sees a secret key.

use super::house::*;
use super::{BOB, EVE, FILE, put_in_place, with_bob};
use crate::base::clock::UnixTime;
use crate::base::secret::SecretBytes;
use crate::mailbox::{AdminError, wkd_hash};
use crate::pgp;
use crate::seams::{Publish, Published};

async fn by_hash(house: &House, address: &str) -> Option<Published> {
    let address = address.parse().unwrap();
    house.mailboxes.by_hash("example.org", &wkd_hash(&address)).await
}

#[tokio::test(start_paused = true)]
async fn a_certificate_is_given_out_from_add_to_remove() {
    let house = with_bob().await;
    assert_eq!(by_hash(&house, EVE).await, None);
    house.add(EVE).await;
    let eve = by_hash(&house, EVE).await.unwrap();
    assert_eq!(eve.address.to_string(), EVE);
    let facts = pgp::facts(&eve.certificate, START).unwrap();
    assert_eq!(facts.user_ids, [EVE]);
    assert_eq!(by_hash(&house, &EVE.to_uppercase()).await, Some(eve.clone()));
    let address = EVE.parse().unwrap();
    assert_eq!(house.mailboxes.by_address(&address).await, Some(eve));
    assert_eq!(house.mailboxes.by_hash("example.com", &wkd_hash(&address)).await, None);
    house.mailboxes.remove(EVE).await.unwrap();
    assert_eq!(by_hash(&house, EVE).await, None);
    let house = house.restart(options());
    assert!(by_hash(&house, BOB).await.is_some());
    assert_eq!(by_hash(&house, EVE).await, None);
}

#[tokio::test(start_paused = true)]
async fn details_and_postmaster_have_no_certificate() {
    let house = with_bob().await;
    for address in ["bob+lists@example.org", "postmaster@example.org", "bob@example.com"] {
        let address = address.parse().unwrap();
        assert_eq!(house.mailboxes.by_address(&address).await, None, "{address}");
    }
}

#[tokio::test(start_paused = true)]
async fn of_a_suspect_account_nothing_is_given_out() {
    let house = with_bob().await;
    put_in_place(&house, FILE, |octets| octets[60] ^= 1);
    house.deliver(&[BOB], "to a forged file").await.unwrap_err();
    assert_eq!(by_hash(&house, BOB).await, None);
    assert_eq!(house.mailboxes.by_address(&BOB.parse().unwrap()).await, None);
    let house = house.restart(options());
    assert_eq!(by_hash(&house, BOB).await, None, "after a start, too");
}

fn identity(address: &str) -> pgp::CertPair {
    pgp::generate_identity(address, START).unwrap()
}

fn octets(pair: &pgp::CertPair) -> SecretBytes {
    SecretBytes::copy_from(pair.secret.expose())
}

#[tokio::test(start_paused = true)]
async fn an_owner_decides_whether_it_is_given_out_and_a_start_forgets_it_not() {
    let house = with_bob().await;
    house.mailboxes.publish_key(BOB, false).await.unwrap();
    assert_eq!(by_hash(&house, BOB).await, None);
    assert!(!house.mailboxes.key(BOB).await.unwrap().published);
    house.deliver(&[BOB], "mail goes on").await.unwrap();
    let house = house.restart(options());
    assert_eq!(by_hash(&house, BOB).await, None);
    house.mailboxes.publish_key(BOB, true).await.unwrap();
    assert!(by_hash(&house, BOB).await.is_some());
    assert_eq!(house.mailboxes.publish_key(EVE, true).await, Err(AdminError::NoSuchAccount));
}

#[tokio::test(start_paused = true)]
async fn an_imported_key_is_published_at_once_and_after_a_start_and_ends_sessions() {
    let house = with_bob().await;
    let owner = house.open(BOB).await;
    let (old, new) = (house.mailboxes.key(BOB).await.unwrap(), identity(BOB));
    let import = |credential, key| house.mailboxes.import_key(BOB, secret(credential), key, None);
    let wrong = import("six wrong words make no key", octets(&new)).await;
    assert_eq!(wrong, Err(AdminError::BadCredential));
    let others = import(PASSWORD, SecretBytes::new(identity(EVE).public)).await;
    assert_eq!(others, Err(AdminError::BadKey(pgp::ImportError::OtherAddress)));
    assert_eq!(house.mailboxes.key(BOB).await.unwrap(), old);
    assert!(!owner.is_locked());
    import(PASSWORD, octets(&new)).await.unwrap();
    assert!(owner.is_locked());
    let shown = house.mailboxes.key(BOB).await.unwrap();
    assert_eq!(shown.facts.fingerprint, new.fingerprint);
    assert_eq!(by_hash(&house, BOB).await.unwrap().certificate, shown.certificate);
    let house = house.restart(options());
    assert_eq!(by_hash(&house, BOB).await.unwrap().certificate, shown.certificate);
    let handle = house.open(BOB).await;
    let view = inbox_of(&handle, 2).await;
    assert_eq!(subjects(&handle, &view).await[1], "Your account has another public key");
}

#[tokio::test(start_paused = true)]
async fn a_secret_key_is_shown_for_a_credential_alone_and_its_owner_hears_of_it() {
    let house = with_bob().await;
    let server = &house.mailboxes;
    let app = server.app_password(BOB, secret(PASSWORD), "x", true).await.unwrap();
    // Somebody is logged in, which helps nobody.
    let handle = house.open(BOB).await;
    for wrong in ["six wrong words make no key", app.expose()] {
        let refused = server.export_key(BOB, secret(wrong), false).await;
        assert_eq!(refused.unwrap_err(), AdminError::BadCredential);
    }
    let identity = server.export_key(BOB, secret(PASSWORD), false).await.unwrap();
    let storage = server.export_key(BOB, secret(PASSWORD), true).await.unwrap();
    let block = b"-----BEGIN PGP PRIVATE KEY BLOCK-----";
    let count = |text: &SecretBytes| {
        text.expose().windows(block.len()).filter(|octets| octets == block).count()
    };
    assert_eq!((count(&identity), count(&storage)), (1, 2));
    // What was taken away can be brought back.
    let key = SecretBytes::copy_from(identity.expose());
    let before = server.key(BOB).await.unwrap();
    server.import_key(BOB, secret(PASSWORD), key, None).await.unwrap();
    assert_eq!(server.key(BOB).await.unwrap().facts.fingerprint, before.facts.fingerprint);
    drop(handle);
    let handle = house.open(BOB).await;
    let view = inbox_of(&handle, 5).await;
    let subjects = subjects(&handle, &view).await;
    let shown = subjects.iter().filter(|text| *text == "A secret key of your account was shown");
    assert_eq!(shown.count(), 2, "{subjects:?}");
    assert!(!house.events.all().contains("PRIVATE KEY"));
}

#[tokio::test(start_paused = true)]
async fn of_a_certificate_alone_there_is_no_secret_to_show() {
    let house = with_bob().await;
    let public = SecretBytes::new(identity(BOB).public);
    house.mailboxes.import_key(BOB, secret(PASSWORD), public, None).await.unwrap();
    let refused = house.mailboxes.export_key(BOB, secret(PASSWORD), false).await;
    assert_eq!(refused.unwrap_err(), AdminError::NoSecretKey);
    assert!(by_hash(&house, BOB).await.is_some());
}

#[tokio::test(start_paused = true)]
async fn an_imported_key_that_ends_is_announced_to_its_owner() {
    let house = with_bob().await;
    let validity = std::time::Duration::from_secs(40 * 86_400);
    let public = SecretBytes::new(pgp::testing::expiring(BOB, START, validity));
    house.mailboxes.import_key(BOB, secret(PASSWORD), public, None).await.unwrap();
    let before = 2;
    let mut since = START;
    for hour in 1..=(41 * 24) {
        let until = UnixTime(START.0 + hour * 3600);
        house.mailboxes.announce_expiries(since, until).await;
        since = until;
    }
    let handle = house.open(BOB).await;
    let view = inbox_of(&handle, before + 4).await;
    let subjects = subjects(&handle, &view).await;
    let (soon, over) = ("Your public key expires soon", "Your public key has expired");
    assert_eq!(subjects[before as usize..], [soon, soon, soon, over]);
}
