//! `postseal key export`: keys on standard output.

use super::{Failure, World};
use crate::cli::asker::{NOW, unexpected};
use crate::cli::output;
use crate::pgp;
use crate::server::protocol::{Answer, Request};

const KEEP: &str = "Who has this can read what is encrypted to it. Keep it as you keep a password.";

/// Print an account's key: the public one, or with what opens the account a secret one
///
/// A secret key is printed in armour and without a passphrase. The owner finds a note of it in
/// INBOX.
#[derive(Debug, clap::Args)]
pub(super) struct Arguments {
    /// The account's address
    #[arg(value_name = "ADDRESS")]
    address: String,
    /// Print the public key in ASCII armour
    #[arg(long)]
    armor: bool,
    /// Print the secret key of the identity: what others encrypt to, and what signs
    #[arg(long, conflicts_with = "storage")]
    secret: bool,
    /// Print the secret keys that stored mail is sealed to
    #[arg(long)]
    storage: bool,
}

pub(super) fn run(world: &World<'_>, arguments: &Arguments) -> Result<(), Failure> {
    if arguments.secret || arguments.storage {
        let credential = world.asker.ask(NOW)?;
        let (address, storage) = (arguments.address.clone(), arguments.storage);
        let Answer::Secret { secret, .. } =
            world.ask(&Request::KeyExport { address, credential, storage })?
        else {
            return Err(unexpected());
        };
        output::octets(secret.0.expose())?;
        output::remark(KEEP);
        return Ok(());
    }
    let key = world.key(&arguments.address)?;
    let certificate = key.certificate.0.expose();
    match arguments.armor {
        true => output::text(&pgp::armored(certificate)?),
        false => output::octets(certificate),
    }
}
