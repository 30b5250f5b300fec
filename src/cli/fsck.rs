//! `postseal fsck`: reads everything that a stopped server has stored and names what is damaged.
//!
//! Verifies checksums, digests and MACs under the outside keys; no password is needed and nothing
//! is opened. It can be asked of a snapshot or a backup on a read-only file system: nothing is
//! changed, but for the mark that lets the next start believe the index, a cache.
//!
//! # Known gaps
//! An account file is believed when its MAC is right: what only its vault knows is compared at the
//! next unlock.

use super::configuration::Configuration;
use super::{Failure, output};
use crate::base::disk::Disk;
use crate::host::{files, index_sled};
use crate::journal::fsck::{Report, verify};
use crate::journal::{Damage, What};
use crate::server::{lock, lock_read_only};
use crate::store::Accounts;
use crate::vault::ServerKeys;
use std::io;
use std::path::Path;
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
    let dir = &config.server.data_dir.0;
    let disk: Arc<dyn Disk> = Arc::new(lock_read_only(dir)?);
    let report = verify(Arc::clone(&disk), &key, index_sled::stopped_at(&*disk))?;
    for damage in &report.damage {
        output::line(&sentence(damage))?;
    }
    let keys = Arc::new(ServerKeys::new(&key, None));
    let bad_accounts = accounts(disk, keys, &report)?;
    output::line(&summary(&report))?;
    // Of a journal that was cut short, the mark is all that knows.
    if !report.damage.iter().any(|damage| damage.what == What::Shortened) {
        forget_index(dir)?;
    }
    match report.damage.len() + bad_accounts {
        0 => Ok(()),
        count => Err(Failure(format!("{count} damaged; everything else stays readable"))),
    }
}

/// What cannot be written to will not be started on either.
fn forget_index(dir: &Path) -> Result<(), Failure> {
    let forgotten = index_sled::forget(&lock(dir)?);
    match forgotten {
        Err(error) if error.kind() != io::ErrorKind::ReadOnlyFilesystem => Err(error.into()),
        _ => Ok(()),
    }
}

/// Reads the account files; returns how many are not what they should be, or are not there.
fn accounts(disk: Arc<dyn Disk>, keys: Arc<ServerKeys>, report: &Report) -> Result<usize, Failure> {
    let mut accounts = Accounts::read(disk, keys)?;
    for bad in accounts.bad_files() {
        output::line(&format!("account file {}: {}", bad.name, bad.error))?;
    }
    let missing = accounts.missing(&report.accounts);
    for account in &missing {
        output::line(&format!(
            "account {account}: the journal holds mail of it, and its file is not there"
        ))?;
    }
    Ok(accounts.bad_files().len() + missing.len())
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
         {torn_bytes} octets of batches that are not whole"
    )
}
