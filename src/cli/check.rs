//! `postseal check`: says what is wrong with a configuration, all of it at once.
//!
//! Looks at the text, at what the options mean together, and at the files they name; starts nothing
//! and changes nothing.

use super::Failure;
use super::configuration::Configuration;
use crate::config::{Config, Remark, Weight, review};
use crate::host::{files, tls};
use std::path::Path;

/// Say what is wrong with a configuration, with line and nearest key
#[derive(Debug, clap::Args)]
pub(super) struct Arguments {
    #[command(flatten)]
    configuration: Configuration,
}

pub(super) fn run(arguments: &Arguments) -> Result<(), Failure> {
    let config = arguments.configuration.read()?;
    let mut remarks = review(&config);
    remarks.extend(look_at_files(&config));
    let file = arguments.configuration.config.display();
    for remark in &remarks {
        println!("{file}: {}: {}: {}", word(remark.weight), remark.key, remark.text);
    }
    let errors = remarks.iter().filter(|remark| remark.weight == Weight::Error).count();
    match errors {
        0 if remarks.is_empty() => println!("{file}: nothing to remark"),
        0 => println!("{file}: usable"),
        _ => return Err(Failure(format!("{file}: {errors} to be corrected"))),
    }
    Ok(())
}

fn word(weight: Weight) -> &'static str {
    match weight {
        Weight::Error => "error",
        Weight::Warning => "warning",
    }
}

/// What the named files are like, without making any.
fn look_at_files(config: &Config) -> Vec<Remark> {
    let mut remarks = Vec::new();
    let mut error = |key, text: String| {
        remarks.push(Remark { weight: Weight::Error, key, text });
    };
    if let Err(problem) = tls::check_pair(&config.tls.certificate.0, &config.tls.key.0) {
        error("tls", problem.to_string());
    } else if let Err(problem) = files::refuse_exposed(&config.tls.key.0) {
        error("tls.key", problem.to_string());
    }
    if let Some(problem) = key_problem(&config.keys.journal.0, made_at_start(config)) {
        error("keys.journal", problem);
    }
    let queue_made = !files::exists(&config.server.data_dir.0.join(crate::queue::epochs::FILE));
    if let Some(problem) = key_problem(&config.keys.queue.0, queue_made) {
        error("keys.queue", problem);
    }
    if let Some(path) = &config.keys.pepper
        && let Some(problem) = key_problem(&path.0, false)
    {
        error("keys.pepper", problem);
    }
    remarks
}

/// The journal key is made at the first start, and only then.
fn made_at_start(config: &Config) -> bool {
    !files::exists(&config.server.data_dir.0.join("journal"))
}

fn key_problem(path: &Path, may_be_missing: bool) -> Option<String> {
    match files::exists(path) {
        false if may_be_missing => None,
        _ => files::read_key(path).err().map(|problem| problem.to_string()),
    }
}
