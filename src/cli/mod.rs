//! The command line: one file a command.
//!
//! Commands about accounts reach the running server by its control socket and need nothing but it;
//! the others work on files. Errors go to standard error in one sentence, and the exit code is 0
//! for success, 1 for failure, 2 for a command line that is not understood.
#![warn(clippy::print_stdout, clippy::print_stderr)]

mod account;
mod asker;
mod check;
mod configuration;
mod dns;
mod explain;
mod fsck;
mod key;
mod output;
mod queue;
mod quickstart;
mod serve;
mod version;

use clap::{Parser, Subcommand};
use std::process::ExitCode;

/// A mail server in one binary that seals every message to its owner.
#[derive(Debug, Parser)]
#[command(name = "postseal", version, max_term_width = 100, disable_help_subcommand = true)]
struct CommandLine {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    Quickstart(quickstart::Arguments),
    Serve(serve::Arguments),
    Check(check::Arguments),
    Account(account::Arguments),
    Key(key::Arguments),
    Dns(dns::Arguments),
    Explain(explain::Arguments),
    Queue(queue::Arguments),
    Fsck(fsck::Arguments),
    Version(version::Arguments),
}

/// Why a command failed: the sentence that is shown, or nothing where nobody would read it.
#[derive(Debug)]
struct Failure(String);

impl<E: std::error::Error> From<E> for Failure {
    fn from(error: E) -> Self {
        Failure(error.to_string())
    }
}

/// Reads the command line and carries it out.
pub fn run() -> ExitCode {
    let command = CommandLine::parse().command;
    if let Err(error) = crate::host::process::harden() {
        output::remark(&format!("postseal: the process cannot be protected: {error}"));
        return ExitCode::FAILURE;
    }
    let outcome = match command {
        Command::Quickstart(arguments) => quickstart::run(&arguments),
        Command::Serve(arguments) => serve::run(&arguments),
        Command::Check(arguments) => check::run(&arguments),
        Command::Account(arguments) => account::run(&arguments),
        Command::Key(arguments) => key::run(&arguments),
        Command::Dns(arguments) => dns::run(&arguments),
        Command::Explain(arguments) => explain::run(&arguments),
        Command::Queue(arguments) => queue::run(&arguments),
        Command::Fsck(arguments) => fsck::run(&arguments),
        Command::Version(arguments) => version::run(&arguments),
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(Failure(why)) => {
            if !why.is_empty() {
                output::remark(&format!("postseal: {why}"));
            }
            ExitCode::FAILURE
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory;

    #[test]
    fn the_command_line_is_consistent() {
        CommandLine::command().debug_assert();
    }

    #[test]
    fn every_command_and_argument_says_what_it_is_for() {
        fn look(command: &clap::Command) {
            assert!(command.get_about().is_some(), "{}", command.get_name());
            for argument in command.get_arguments() {
                assert!(argument.get_help().is_some(), "{} {argument}", command.get_name());
            }
            command.get_subcommands().for_each(look);
        }
        look(&CommandLine::command());
    }
}
