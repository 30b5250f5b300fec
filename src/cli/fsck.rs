//! `postseal fsck`: reads everything that a stopped server has stored and names what is damaged.
//!
//! Verifies checksums, digests and MACs under the outside keys; no password is needed and nothing
//! is opened. Nothing is changed but for the index, a cache that the next start makes anew.
//!
//! # Known gaps
//! An account file is believed when its MAC is right: what only its vault knows is compared at the
//! next unlock.

use super::Failure;
use super::configuration::Configuration;
use crate::base::disk::Disk;
use crate::host::{files, index_sled};
use crate::journal::Damage;
use crate::journal::fsck::{Report, verify};
use crate::server::lock;
use crate::store::Accounts;
use crate::vault::ServerKeys;
use std::sync::Arc;

/// Verify what a stopped server has stored, name what is damaged, and have the index made anew
#[derive(Debug, clap::Args)]
pub(super) struct Arguments {
    #[command(flatten)]
    configuration: Configuration,
}

pub(super) fn run(arguments: &Arguments) -> Result<(), Failure> {
    let config = arguments.configuration.read()?;
    let key = files::read_key(&config.keys.journal.0)?;
    if !files::exists(&config.server.data_dir.0) {
        let dir = config.server.data_dir.0.display();
        return Err(Failure(format!("{dir}: there is nothing yet")));
    }
    let disk: Arc<dyn Disk> = Arc::new(lock(&config.server.data_dir.0)?);
    let report = verify(Arc::clone(&disk), &key)?;
    report.damage.iter().for_each(|damage| println!("{}", sentence(damage)));
    let keys = Arc::new(ServerKeys::new(&key, None));
    let bad_accounts = accounts(Arc::clone(&disk), keys)?;
    index_sled::forget(&*disk)?;
    println!("{}", summary(&report));
    match report.damage.len() + bad_accounts {
        0 => Ok(()),
        count => Err(Failure(format!("{count} damaged; everything else stays readable"))),
    }
}

/// Reads the account files; returns how many are not what they should be.
fn accounts(disk: Arc<dyn Disk>, keys: Arc<ServerKeys>) -> Result<usize, Failure> {
    let accounts = Accounts::load(disk, keys)?;
    for bad in accounts.bad_files() {
        println!("account file {}: {}", bad.name, bad.error);
    }
    Ok(accounts.bad_files().len())
}

fn sentence(damage: &Damage) -> String {
    let Damage { segment, offset, slot, what } = damage;
    match (segment, slot) {
        (0, _) => format!("journal: {what}"),
        (_, Some(slot)) => format!("segment {segment}, octet {offset}, frame {slot}: {what}"),
        (_, None) => format!("segment {segment}, octet {offset}: {what}"),
    }
}

fn summary(report: &Report) -> String {
    let Report { segments, frames_good, frames_dead, torn_bytes, .. } = report;
    format!(
        "{segments} segments: {frames_good} frames as they were written, {frames_dead} deleted, \
         {torn_bytes} octets that were never acknowledged"
    )
}
