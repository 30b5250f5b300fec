//! `postseal queue`: the mail that waits to go out, by the running server's control socket.

use super::Failure;
use super::asker::{self, date};
use super::configuration::Configuration;
use crate::server::protocol::{Answer, QueueItem, QueueVerb, Request};
use clap::Subcommand;

/// Look after the mail that waits to go out
#[derive(Debug, clap::Args)]
pub(super) struct Arguments {
    #[command(flatten)]
    configuration: Configuration,
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Debug, Subcommand)]
enum Verb {
    /// Show all messages, oldest first
    List {
        #[command(flatten)]
        json: Json,
    },
    /// Show one message: its recipients, and what happened to each
    Show {
        #[command(flatten)]
        id: Id,
        #[command(flatten)]
        json: Json,
    },
    /// Try one message now, or all; held ones stay
    Flush {
        /// The message's name, as `list` shows it
        id: Option<String>,
    },
    /// Hold a message: nothing more is tried until `release`
    Hold(Id),
    /// End a hold, whoever laid it, and try the message
    Release(Id),
    /// Take a message away; nobody is told
    Delete(Id),
}

#[derive(Debug, clap::Args)]
struct Id {
    /// The message's name, as `list` shows it
    id: String,
}

#[derive(Debug, clap::Args)]
struct Json {
    /// Print JSON
    #[arg(long)]
    json: bool,
}

pub(super) fn run(arguments: &Arguments) -> Result<(), Failure> {
    let config = arguments.configuration.read()?;
    match asker::ask_server(&config, &request(&arguments.verb))? {
        Answer::Done {} => println!("done"),
        Answer::Queue { items, more } => show(&items, more, &arguments.verb)?,
        Answer::Failed { error } => return Err(Failure(error)),
        _ => return Err(asker::unexpected()),
    }
    Ok(())
}

fn request(verb: &Verb) -> Request {
    let (what, id) = match verb {
        Verb::List { .. } => (QueueVerb::List, None),
        Verb::Show { id, .. } => (QueueVerb::Show, Some(&id.id)),
        Verb::Flush { id } => (QueueVerb::Flush, id.as_ref()),
        Verb::Hold(id) => (QueueVerb::Hold, Some(&id.id)),
        Verb::Release(id) => (QueueVerb::Release, Some(&id.id)),
        Verb::Delete(id) => (QueueVerb::Delete, Some(&id.id)),
    };
    Request::Queue { what, id: id.cloned() }
}

fn show(items: &[QueueItem], more: u64, verb: &Verb) -> Result<(), Failure> {
    match verb {
        Verb::List { json: Json { json: true } } => {
            println!("{}", serde_json::to_string_pretty(items)?);
        }
        Verb::Show { json: Json { json: true }, .. } => {
            println!("{}", serde_json::to_string_pretty(&items.first())?);
        }
        Verb::Show { .. } => items.iter().for_each(|item| print!("{}", whole(item))),
        _ => {
            items.iter().for_each(|item| println!("{}", row(item)));
            if items.is_empty() {
                println!("nothing waits to go out");
            }
        }
    }
    if more > 0 {
        eprintln!("and {more} more");
    }
    Ok(())
}

fn row(item: &QueueItem) -> String {
    let from = item.from.as_deref().unwrap_or("<>");
    let to = match item.recipients.as_slice() {
        [] => "(cannot be read)".to_owned(),
        [only] => only.address.clone(),
        [first, rest @ ..] => format!("{} and {} more", first.address, rest.len()),
    };
    let QueueItem { id, state, bytes, accepted, .. } = item;
    format!("{id}  {state}  {}  {bytes} octets  {from}  {to}", date(*accepted))
}

fn whole(item: &QueueItem) -> String {
    let mut out = row(item);
    if let Some(next) = item.next_attempt {
        out.push_str(&format!("\nnext attempt: {}", date(next)));
    }
    for recipient in &item.recipients {
        let attempts = recipient.attempts;
        out.push_str(&format!("\n{}  {}  {attempts} attempts", recipient.address, recipient.state));
        let status = recipient.status.as_deref().unwrap_or_default();
        if let Some(text) = &recipient.text {
            out.push_str(&format!("\n    {status} {text}"));
        }
    }
    out + "\n"
}
