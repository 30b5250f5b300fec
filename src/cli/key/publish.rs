//! `postseal key publish`: whether an account's key is given to whoever asks for it.

use super::{Failure, World};
use crate::cli::output;
use crate::server::protocol::Request;

/// Give an account's public key to whoever asks for it by WKD, or to nobody
#[derive(Debug, clap::Args)]
pub(super) struct Arguments {
    /// The account's address
    #[arg(value_name = "ADDRESS")]
    address: String,
    /// Whether it is given out
    #[arg(value_enum, default_value_t = Switch::On)]
    switch: Switch,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
enum Switch {
    /// To whoever asks
    On,
    /// To nobody
    Off,
}

pub(super) fn run(world: &World<'_>, arguments: &Arguments) -> Result<(), Failure> {
    let address = arguments.address.clone();
    world.ask(&Request::KeyPublish { address, on: arguments.switch == Switch::On })?;
    output::line("done")
}
