//! `postseal queue`: the mail that waits to go out, by the running server's control socket.

use super::asker::{self, date};
use super::configuration::Configuration;
use super::{Failure, output};
use crate::config::Config;
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
    let config = arguments.configuration.read_to_ask()?;
    if let Verb::List { json } = &arguments.verb {
        return list(&config, json.json);
    }
    match asker::ask_server(&config, &request(&arguments.verb))? {
        Answer::Done {} => output::line("done"),
        Answer::Queue { items, .. } => show(&items, &arguments.verb),
        Answer::Failed { error } => Err(Failure(error)),
        _ => Err(asker::unexpected()),
    }
}

/// Shows page after page, until there is none.
fn list(config: &Config, json: bool) -> Result<(), Failure> {
    let (mut all, mut last, mut is_empty) = (Vec::new(), None, true);
    loop {
        let (id, accepted) = last.unzip();
        let request = Request::Queue { what: QueueVerb::List, id, accepted };
        let (items, more) = match asker::ask_server(config, &request)? {
            Answer::Queue { items, more } => (items, more),
            Answer::Failed { error } => return Err(Failure(error)),
            _ => return Err(asker::unexpected()),
        };
        last = items.last().map(|item| (item.id.clone(), item.accepted));
        is_empty &= items.is_empty();
        match json {
            true => all.extend(items),
            false => items.iter().try_for_each(|item| output::line(&row(item)))?,
        }
        if more == 0 || last.is_none() {
            break;
        }
    }
    match json {
        true => output::json(&all),
        false if is_empty => output::line("nothing waits to go out"),
        false => Ok(()),
    }
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
    Request::Queue { what, id: id.cloned(), accepted: None }
}

fn show(items: &[QueueItem], verb: &Verb) -> Result<(), Failure> {
    match verb {
        Verb::Show { json: Json { json: true }, .. } => output::json(&items.first()),
        _ => items.iter().try_for_each(|item| output::text(&whole(item))),
    }
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
