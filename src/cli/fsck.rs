//! `postseal fsck`: reads the whole journal of a stopped server and names what is damaged.

use super::Failure;
use super::configuration::Configuration;
use crate::host::files;

/// Verify the journal of a stopped server, name what is damaged, and drop the index
#[derive(Debug, clap::Args)]
pub(super) struct Arguments {
    #[command(flatten)]
    configuration: Configuration,
}

pub(super) fn run(arguments: &Arguments) -> Result<(), Failure> {
    let config = arguments.configuration.read()?;
    let key = files::read_key(&config.keys.journal.0)?;
    let _ = key;
    Err(Failure("not yet".into()))
}
