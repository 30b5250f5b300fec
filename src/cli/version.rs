//! `postseal version`: which program this is and how it was built.

use super::{Failure, output};

/// Say which version this is and how it was built
#[derive(Debug, clap::Args)]
pub(super) struct Arguments {}

pub(super) fn run(_: &Arguments) -> Result<(), Failure> {
    let backend = if cfg!(feature = "crypto-openssl") { "crypto-openssl" } else { "crypto-rust" };
    output::line(&format!("postseal {} ({backend})", env!("CARGO_PKG_VERSION")))
}
