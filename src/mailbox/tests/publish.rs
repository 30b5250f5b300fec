//! Which certificates are given out.

use super::house::*;
use super::{BOB, EVE, FILE, put_in_place, with_bob};
use crate::mailbox::wkd_hash;
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
