//! `postseal account`: the accounts of the running server, by its control socket.
//!
//! Every verb that makes a way into an account asks for what opens it now: the server does not lend
//! the keys of somebody who happens to be logged in, not to root either.

use super::asker::{self, Asker, NOW};
use super::configuration::Configuration;
use super::{Failure, output};
use crate::server::protocol::{AccountLine, Answer, Request};
use clap::Subcommand;
use zeroize::Zeroizing;

/// Manage the accounts of the running server
#[derive(Debug, clap::Args)]
pub(super) struct Arguments {
    #[command(flatten)]
    configuration: Configuration,
    /// Read passwords from standard input, one a line, in the order in which they would be asked
    /// for
    #[arg(long, global = true)]
    password_stdin: bool,
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Debug, Subcommand)]
enum Verb {
    /// Make an account; prints its recovery code once
    Add(Address),
    /// Show all accounts
    List {
        /// Print JSON
        #[arg(long)]
        json: bool,
    },
    /// Remove an account and its mail
    Remove(Address),
    /// Set a new password: rewraps one slot, touches no mail, leaves other ways in as they are
    Passwd(Address),
    /// After a theft: new keys for mail to come, a new password, all other ways in dropped
    Rekey(Address),
    /// Draw a password for one mail program; prints it once
    AppPassword {
        #[command(flatten)]
        address: Address,
        /// Which program or device it is for; kept sealed
        #[arg(long, default_value = "")]
        label: String,
        /// It logs in but opens no mail: `unlock` does
        #[arg(long)]
        no_unlock: bool,
    },
    /// Draw a new recovery code; prints it once, the old one dies
    Recovery(Address),
    /// End a lock
    Unlock {
        #[command(flatten)]
        address: Address,
        /// Keep the account open for so long, even when nobody is logged in
        #[arg(long)]
        hours: Option<u32>,
    },
    /// Lock an account until `unlock`: its keys leave memory, and no login brings them back
    Lock(Address),
}

#[derive(Debug, clap::Args)]
struct Address {
    /// The account's address
    #[arg(value_name = "ADDRESS")]
    address: String,
}

pub(super) fn run(arguments: &Arguments) -> Result<(), Failure> {
    let config = arguments.configuration.read_to_ask()?;
    let request = request(&arguments.verb, &Asker { stdin: arguments.password_stdin })?;
    show(asker::ask_server(&config, &request)?, &arguments.verb)
}

fn request(verb: &Verb, asker: &Asker) -> Result<Request, Failure> {
    let address = |address: &Address| address.address.clone();
    Ok(match verb {
        Verb::Add(who) => {
            Request::AccountAdd { address: address(who), password: asker.new_password()? }
        }
        Verb::List { .. } => Request::AccountList {},
        Verb::Remove(who) => Request::AccountRemove { address: address(who) },
        Verb::Passwd(who) => Request::AccountPasswd {
            address: address(who),
            credential: asker.ask(NOW)?,
            new_password: asker.new_password()?,
        },
        Verb::Rekey(who) => Request::AccountRekey {
            address: address(who),
            credential: asker.ask(NOW)?,
            new_password: asker.new_password()?,
        },
        Verb::AppPassword { address: who, label, no_unlock } => Request::AccountAppPassword {
            address: address(who),
            credential: asker.ask(NOW)?,
            label: label.clone(),
            unlocks: !no_unlock,
        },
        Verb::Recovery(who) => {
            Request::AccountRecovery { address: address(who), credential: asker.ask(NOW)? }
        }
        Verb::Unlock { address: who, hours } => Request::AccountUnlock {
            address: address(who),
            credential: asker.ask(NOW)?,
            hours: *hours,
        },
        Verb::Lock(who) => Request::AccountLock { address: address(who) },
    })
}

fn show(answer: Answer, verb: &Verb) -> Result<(), Failure> {
    match answer {
        Answer::Done {} => output::line("done"),
        Answer::Removed { aliases, postmaster } => output::text(&removed(&aliases, postmaster)),
        Answer::Secret { what, secret } => {
            let secret = String::from_utf8_lossy(secret.0.expose()).into_owned();
            output::secret_once(&what, &Zeroizing::new(secret))
        }
        Answer::Accounts { accounts } => match verb {
            Verb::List { json: true } => output::json(&accounts),
            _ => accounts.iter().try_for_each(|account| output::line(&row(account))),
        },
        Answer::Failed { error } => Err(Failure(error)),
        Answer::Status { .. }
        | Answer::Key { .. }
        | Answer::Queue { .. }
        | Answer::Lookup { .. }
        | Answer::Explained(_) => Err(asker::unexpected()),
    }
}

/// What has to be mended after a removal.
fn removed(aliases: &[(usize, String)], postmaster: bool) -> String {
    let mut out = String::from("done\n");
    for (line, name) in aliases {
        out += &format!("mail.aliases, line {line}: {name} leads to the account that is gone\n");
    }
    if postmaster {
        out += "mail.postmaster leads to the account that is gone\n";
    }
    out
}

fn row(account: &AccountLine) -> String {
    let address = account.address.as_deref().unwrap_or("(file does not verify)");
    let operator = if account.known_to_operator { "  known to the operator" } else { "" };
    let (state, bytes, waiting) = (&account.state, account.bytes, account.waiting);
    format!("{address}  {state}  {bytes} octets  {waiting} waiting{operator}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_removal_breaks_is_named() {
        let text = removed(&[(3, "team".into()), (5, "a@b.example".into())], true);
        assert_eq!(
            text,
            "done\nmail.aliases, line 3: team leads to the account that is gone\n\
             mail.aliases, line 5: a@b.example leads to the account that is gone\n\
             mail.postmaster leads to the account that is gone\n"
        );
    }
}
