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

/// A public certificate without an end, whose one encryption subkey expires after `validity`.
pub fn expiring_subkey(address: &str, now: UnixTime, validity: Duration) -> Vec<u8> {
    let seconds = u64::try_from(now.0).unwrap();
    let flags = openpgp::types::KeyFlags::empty().set_transport_encryption();
    let (cert, _) = CertBuilder::new()
        .set_creation_time(UNIX_EPOCH + Duration::from_secs(seconds))
        .add_userid(address)
        .add_subkey(flags, Some(validity), None)
        .generate()
        .unwrap();
    cert.to_vec().unwrap()
}

/// A public certificate of the newer kind: version 6, which says that it reads version 2 of
/// encrypted data.
pub fn current(address: &str, now: UnixTime) -> Vec<u8> {
    let seconds = u64::try_from(now.0).unwrap();
    let (cert, _) = CertBuilder::new()
        .set_profile(openpgp::Profile::RFC9580)
        .unwrap()
        .set_creation_time(UNIX_EPOCH + Duration::from_secs(seconds))
        .add_userid(address)
        .add_transport_encryption_subkey()
        .generate()
        .unwrap();
    cert.to_vec().unwrap()
}
