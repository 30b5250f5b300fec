//! Certificates of others, for the tests of rooms that do not know the OpenPGP library.

use crate::base::clock::UnixTime;
use openpgp::cert::CertBuilder;
use openpgp::serialize::SerializeInto;
use sequoia_openpgp as openpgp;
use std::time::{Duration, UNIX_EPOCH};

/// A public certificate with one encryption subkey, made at `now`, that expires after `validity`.
pub fn expiring(address: &str, now: UnixTime, validity: Duration) -> Vec<u8> {
    let seconds = u64::try_from(now.0).unwrap();
    let (cert, _) = CertBuilder::new()
        .set_creation_time(UNIX_EPOCH + Duration::from_secs(seconds))
        .set_validity_period(validity)
        .add_userid(address)
        .add_transport_encryption_subkey()
        .generate()
        .unwrap();
    cert.to_vec().unwrap()
}
