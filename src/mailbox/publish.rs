//! Gives out the public certificates of accounts: `seams::Publish`.
//!
//! Answers come from memory alone, so that a flood of questions costs neither disk nor key. What is
//! in memory came from account files under their MAC, and every unlock holds the certificate
//! against the vault; of an account that is suspect nothing is given out.
//!
//! # Known gaps
//! Aliases and addresses with a detail have no certificate of their own: a published one names the
//! address that was asked for, and an account's names one address.
//!
//! # Standards
//! draft-koch-openpgp-webkey-service-22 §3.1.

use super::directory::{Account, Found};
use super::service::Mailboxes;
use crate::base::{BoxFuture, zbase32};
use crate::mail::Address;
use crate::pgp;
use crate::seams::{Publish, Published};
use crate::vault::AccountFile;
use std::future::ready;

impl Publish for Mailboxes {
    fn by_hash<'a>(&'a self, domain: &'a str, hash: &'a str) -> BoxFuture<'a, Option<Published>> {
        Box::pin(ready(answer(self.directory().find_hash(hash, domain))))
    }

    fn by_address<'a>(&'a self, address: &'a Address) -> BoxFuture<'a, Option<Published>> {
        Box::pin(ready(answer(self.directory().find_login(address))))
    }
}

fn answer(found: Found) -> Option<Published> {
    let Found::Account(account) = found else { return None };
    let Account { address, published, .. } = &*account;
    published.clone().map(|certificate| Published { address: address.clone(), certificate })
}

/// The name under which an address is found in a Web Key Directory.
pub fn wkd_hash(address: &Address) -> String {
    zbase32::encode(&pgp::wkd_digest(address.local()))
}

/// The key of the index of hashes.
pub fn name(hash: &str, domain: &str) -> String {
    format!("{hash}@{domain}")
}

/// The certificate that is given out for the account of `file`.
pub fn certificate(file: &AccountFile) -> Option<Vec<u8>> {
    match file.is_published() {
        true => pgp::published(file.identity_cert(), file.address()).ok(),
        false => None,
    }
}
