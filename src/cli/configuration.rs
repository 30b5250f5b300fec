//! The option `--config` that most commands share.

use super::Failure;
use crate::config::{CONFIG_BYTES_MAX, Config, parse};
use crate::host::files;
use std::path::{Path, PathBuf};

/// Where the configuration is.
#[derive(Debug, clap::Args)]
pub(super) struct Configuration {
    /// The configuration file
    #[arg(long, global = true, value_name = "FILE", default_value = "/etc/postseal/postseal.toml")]
    pub(super) config: PathBuf,
}

impl Configuration {
    /// Reads it, with all its problems in the error.
    pub(super) fn read(&self) -> Result<Config, Failure> {
        read(&self.config)
    }
}

/// Reads the configuration file at `path`.
pub(super) fn read(path: &Path) -> Result<Config, Failure> {
    let text = files::read_text(path, CONFIG_BYTES_MAX)?;
    parse(&text, path).map_err(|invalid| Failure(format!("invalid configuration\n{invalid}")))
}
