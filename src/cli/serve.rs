//! `postseal serve`: runs the server in the foreground until it is told to stop.

use super::configuration::Configuration;
use super::{Failure, output};
use crate::config::{Weight, review};
use crate::server::{Server, runtime};

/// Run the server; SIGHUP reloads, SIGTERM drains, a second SIGTERM stops at once
#[derive(Debug, clap::Args)]
pub(super) struct Arguments {
    #[command(flatten)]
    configuration: Configuration,
}

pub(super) fn run(arguments: &Arguments) -> Result<(), Failure> {
    let config = arguments.configuration.read()?;
    for remark in review(&config) {
        output::remark(&format!("postseal: {}: {}", remark.key, remark.text));
        if remark.weight == Weight::Error {
            return Err(Failure("the configuration cannot be used".into()));
        }
    }
    let file = &arguments.configuration.config;
    runtime()?.block_on(async {
        let server = Server::start(file, config).await?;
        Ok(server.run().await?)
    })
}
