//! The option `--config` that most commands share.

use super::Failure;
use crate::config::{CONFIG_BYTES_MAX, Config, Invalid, parse, parse_without_credentials};
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
        self.parsed(parse)
    }

    /// The same for a command that asks the running server and opens no file: root has none of the
    /// credentials that systemd gives to the server.
    pub(super) fn read_to_ask(&self) -> Result<Config, Failure> {
        self.parsed(parse_without_credentials)
    }

    fn parsed(&self, parse: fn(&str, &Path) -> Result<Config, Invalid>) -> Result<Config, Failure> {
        let text = files::read_text(&self.config, CONFIG_BYTES_MAX)?;
        parse(&text, &self.config)
            .map_err(|invalid| Failure(format!("invalid configuration\n{invalid}")))
    }
}
