//! `postseal key import`: an identity of the owner's own choosing.

use super::super::asker::NOW;
use super::super::output;
use super::{Failure, World};
use crate::base::secret::SecretBytes;
use crate::host::files;
use crate::pgp;
use crate::server::protocol::{Octets, Request, Text};
use std::path::PathBuf;

/// Give an account another key: a certificate whose secret key its owner keeps, or a secret key
///
/// With a certificate alone, what others encrypt to it opens in the owner's mail program and
/// nowhere else. Of a secret key the server keeps a copy and opens such mail itself. Its User ID
/// must have the account's address; the key before it is kept for mail that was encrypted to it.
#[derive(Debug, clap::Args)]
pub(super) struct Arguments {
    /// The account's address
    #[arg(value_name = "ADDRESS")]
    address: String,
    /// An OpenPGP certificate or secret key, binary or in ASCII armour
    #[arg(value_name = "FILE")]
    file: PathBuf,
    /// Read the secret key's passphrase from the next line of standard input
    #[arg(long)]
    passphrase_stdin: bool,
}

pub(super) fn run(world: &World<'_>, arguments: &Arguments) -> Result<(), Failure> {
    let octets = SecretBytes::new(files::read(&arguments.file, pgp::IMPORT_BYTES_MAX as u64)?);
    let credential = world.asker.ask(NOW)?;
    let passphrase = match pgp::needs_passphrase(octets.expose()) {
        true => Some(world.passphrase(arguments.passphrase_stdin)?),
        false => None,
    };
    let (address, key) = (arguments.address.clone(), Octets(octets));
    world.ask(&Request::KeyImport { address, credential, key, passphrase })?;
    output::line("done")
}

impl World<'_> {
    fn passphrase(&self, stdin: bool) -> Result<Text, Failure> {
        let asker = super::Asker { stdin: stdin || self.asker.stdin };
        asker.ask("The key's passphrase")
    }
}
