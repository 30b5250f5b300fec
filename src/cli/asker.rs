//! Secrets from people, and questions to the running server: what several commands share.

use super::Failure;
use crate::base::clock::UnixTime;
use crate::base::secret::SecretBytes;
use crate::config::Config;
use crate::host::{control, terminal};
use crate::mail::DateTime;
use crate::server::protocol::{Answer, Request, Text};
use zeroize::Zeroizing;

/// What is asked for where an account has to be opened.
pub(super) const NOW: &str = "What opens the account now (password or recovery code)";

/// Asks the server that runs on `config`.
pub(super) fn ask_server(config: &Config, request: &Request) -> Result<Answer, Failure> {
    let line = Zeroizing::new(serde_json::to_vec(request)?);
    let socket = &config.server.control_socket.0;
    let answer = control::ask(socket, &line)
        .map_err(|error| Failure(format!("no server at {}: {error}", socket.display())))?;
    Ok(serde_json::from_slice(&answer)?)
}

/// The server answered, but not to this question.
pub(super) fn unexpected() -> Failure {
    Failure("the server answered something else".into())
}

/// A time of an answer, in seconds since 1970, for people.
pub(super) fn date(seconds: i64) -> String {
    DateTime::from_unix(UnixTime(seconds), 0).to_rfc5322()
}

/// Where passwords come from.
pub(super) struct Asker {
    /// Standard input, one a line; else the terminal.
    pub(super) stdin: bool,
}

impl Asker {
    pub(super) fn ask(&self, question: &str) -> Result<Text, Failure> {
        let secret = if self.stdin { terminal::from_stdin() } else { terminal::ask(question) };
        secret.map(Text).map_err(|error| Failure(format!("no password: {error}")))
    }

    /// A new one is asked for twice at the terminal, where nobody sees what was typed.
    pub(super) fn new_password(&self) -> Result<Text, Failure> {
        let first = self.ask("New password")?;
        if self.stdin || same(&first.0, &self.ask("The same again")?.0) {
            return Ok(first);
        }
        Err(Failure("the two passwords differ".into()))
    }
}

fn same(left: &SecretBytes, right: &SecretBytes) -> bool {
    crate::base::crypto::equal(left.expose(), right.expose())
}
