//! `postseal key`: the OpenPGP identities of accounts. One file a verb.

mod export;
mod import;
mod lookup;
mod publish;
mod show;

use super::Failure;
use super::asker::{self, Asker};
use super::configuration::Configuration;
use crate::server::protocol::{Answer, KeyLine, Request};
use clap::Subcommand;

/// Show and change the OpenPGP keys of accounts
#[derive(Debug, clap::Args)]
pub(super) struct Arguments {
    #[command(flatten)]
    configuration: Configuration,
    /// Read what opens the account from a line of standard input
    #[arg(long, global = true)]
    password_stdin: bool,
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Debug, Subcommand)]
enum Verb {
    Show(show::Arguments),
    Export(export::Arguments),
    Import(import::Arguments),
    Publish(publish::Arguments),
    Lookup(lookup::Arguments),
}

pub(super) fn run(arguments: &Arguments) -> Result<(), Failure> {
    let world = World {
        configuration: &arguments.configuration,
        asker: Asker { stdin: arguments.password_stdin },
    };
    match &arguments.verb {
        Verb::Show(arguments) => show::run(&world, arguments),
        Verb::Export(arguments) => export::run(&world, arguments),
        Verb::Import(arguments) => import::run(&world, arguments),
        Verb::Publish(arguments) => publish::run(&world, arguments),
        Verb::Lookup(arguments) => lookup::run(&world, arguments),
    }
}

/// What every verb works with.
struct World<'a> {
    configuration: &'a Configuration,
    asker: Asker,
}

impl World<'_> {
    /// Asks the running server; a refusal is an error.
    fn ask(&self, request: &Request) -> Result<Answer, Failure> {
        match asker::ask_server(&self.configuration.read_to_ask()?, request)? {
            Answer::Failed { error } => Err(Failure(error)),
            answer => Ok(answer),
        }
    }

    /// What is public of an account's identity.
    fn key(&self, address: &str) -> Result<KeyLine, Failure> {
        match self.ask(&Request::KeyShow { address: address.to_owned() })? {
            Answer::Key { key } => Ok(key),
            _ => Err(asker::unexpected()),
        }
    }
}
