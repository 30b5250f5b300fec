//! `postseal quickstart`: a whole server to try out, in one directory, in one command.
//!
//! Makes DIR once: a configuration marked as a test, a test authority with a certificate for all
//! names, keys, and two accounts with fresh passwords. `DIR/quickstart.json` has all of it for
//! scripts and is written last, so a directory without it was not finished. Later runs serve the
//! same directory. With `--peer` a second server of another domain runs beside it, in `DIR/peer`,
//! so that mail can be seen to travel.
//!
//! It is for trying, and for nothing else: the passwords lie beside the data that they open, and
//! the configuration, this banner and `check` all say so.

mod site;

use super::{Failure, output};
use crate::base::entropy::Entropy;
use crate::base::secret::SecretBytes;
use crate::config::parse;
use crate::host::entropy::SystemEntropy;
use crate::host::files;
use crate::server::{Server, runtime};
use crate::vault::generate_passphrase;
use serde::{Deserialize, Serialize};
use site::{Ports, Site, make};
use std::path::{Path, PathBuf};
use zeroize::Zeroizing;

/// Octets that `quickstart.json` may have.
const FACTS_BYTES_MAX: u64 = 64 * 1024;

/// The highest base from which all ports exist: 65535 less the highest offset.
const PORT_BASE_MAX: u16 = 64_542;

/// Make a directory with a test server in it, and run it
///
/// Ports are counted from the base: SMTP +525, submission +587 (STARTTLS) and +465 (TLS), IMAP +143
/// (STARTTLS) and +993 (TLS), HTTPS +443. All listen on 127.0.0.1 only, the peer on 127.0.0.2.
#[derive(Debug, clap::Args)]
pub(super) struct Arguments {
    /// Where to make it, or where it was made
    #[arg(long, default_value = "postseal-quickstart")]
    dir: PathBuf,
    /// What ports are counted from [default: 2000]
    #[arg(long, value_name = "N", value_parser = ports())]
    port_base: Option<u16>,
    /// The domain of the accounts [default: example.test]
    #[arg(long)]
    domain: Option<String>,
    /// Run a second server of another domain beside it, to see mail travel
    #[arg(long)]
    peer: bool,
}

fn ports() -> clap::builder::RangedI64ValueParser<u16> {
    clap::value_parser!(u16).range(0..=i64::from(PORT_BASE_MAX))
}

/// What scripts need to know: `DIR/quickstart.json`.
#[derive(Serialize, Deserialize)]
struct Facts {
    /// Always true: this set-up is for tests.
    test: bool,
    /// The directory, absolute.
    dir: PathBuf,
    /// The configuration file, absolute.
    config: PathBuf,
    /// The certificate of the authority to trust, absolute.
    ca: PathBuf,
    /// The control socket, absolute.
    control_socket: PathBuf,
    /// A name that the certificate is for and that means this machine.
    host: String,
    /// Where it listens.
    address: String,
    domain: String,
    port_base: u16,
    ports: Ports,
    users: Vec<User>,
}

#[derive(Serialize, Deserialize)]
struct User {
    name: String,
    address: String,
    password: String,
    recovery_code: String,
}

pub(super) fn run(arguments: &Arguments) -> Result<(), Failure> {
    let facts_path = arguments.dir.join("quickstart.json");
    let site = match files::exists(&facts_path) {
        true => known(&facts_path, arguments)?,
        false => {
            let domain = arguments.domain.clone().unwrap_or_else(|| "example.test".into());
            let base = arguments.port_base.unwrap_or(2000);
            let site = Site::own(std::path::absolute(&arguments.dir)?, domain, base);
            make(&site)?;
            site
        }
    };
    let sites = if arguments.peer { vec![site.peer(), site] } else { vec![site] };
    runtime()?.block_on(serve(sites))
}

/// Starts the servers, says how to try them, and runs them until they are told to stop.
async fn serve(sites: Vec<Site>) -> Result<(), Failure> {
    let (mut servers, mut all) = (tokio::task::JoinSet::new(), Vec::new());
    for site in &sites {
        let text = files::read_text(&site.config(), FACTS_BYTES_MAX)?;
        let server = Server::start(&site.config(), parse(&text, &site.config())?).await?;
        let facts = match files::exists(&site.facts()) {
            true => read(&site.facts())?,
            false => fill(&server, site).await?,
        };
        all.push(facts);
        servers.spawn(server.run());
    }
    all.reverse();
    output::text(&Zeroizing::new(banner(&all)))?;
    // The passwords stay on the disk; this process has no further use for them.
    drop(all);
    while let Some(ended) = servers.join_next().await {
        ended??;
    }
    Ok(())
}

fn read(path: &Path) -> Result<Facts, Failure> {
    let text = Zeroizing::new(files::read_text(path, FACTS_BYTES_MAX)?);
    Ok(serde_json::from_str(&text)?)
}

/// What an earlier run has made; it is not run under other names.
fn known(path: &Path, arguments: &Arguments) -> Result<Site, Failure> {
    let facts = read(path)?;
    let other_base = arguments.port_base.is_some_and(|base| base != facts.port_base);
    let other_domain = arguments.domain.as_ref().is_some_and(|domain| *domain != facts.domain);
    match other_base || other_domain {
        true => Err(Failure(format!(
            "{} was made with --port-base {} --domain {}; take these, or another --dir",
            arguments.dir.display(),
            facts.port_base,
            facts.domain
        ))),
        false => Ok(Site::own(facts.dir, facts.domain, facts.port_base)),
    }
}

/// Makes the accounts and writes down what scripts need.
async fn fill(server: &Server, site: &Site) -> Result<Facts, Failure> {
    let entropy = SystemEntropy::new();
    let mut users = Vec::new();
    for name in site.users() {
        users.push(add(server, name, &site.domain, &entropy).await?);
    }
    let facts = Facts {
        test: true,
        dir: site.dir.clone(),
        config: site.config(),
        ca: site.ca(),
        control_socket: site.dir.join("control"),
        host: "localhost".into(),
        address: site.address().into(),
        domain: site.domain.clone(),
        port_base: site.port_base,
        ports: Ports::from(site.port_base),
        users,
    };
    files::create_private(&site.facts(), serde_json::to_string_pretty(&facts)?.as_bytes())?;
    Ok(facts)
}

async fn add(
    server: &Server,
    name: &str,
    domain: &str,
    entropy: &dyn Entropy,
) -> Result<User, Failure> {
    let address = format!("{name}@{domain}");
    let password = generate_passphrase(entropy).expose().to_owned();
    let secret = SecretBytes::new(password.clone().into_bytes());
    let added = server.mailboxes().add(&address, secret).await?;
    let recovery_code = added.recovery_code.expose().to_owned();
    Ok(User { name: name.into(), address, password, recovery_code })
}

/// What to try, each line ready to be pasted. Standard output, so that scripts can wait for
/// `Ready`.
fn banner(all: &[Facts]) -> String {
    let Some(first) = all.first() else { return String::new() };
    let dir = quoted(&first.dir);
    let mut out = format!("THIS IS A TEST SET-UP: its passwords are in {dir}/quickstart.json\n");
    for facts in all {
        let Facts { ports, address, .. } = facts;
        out += &format!("{} on {address}:\n", facts.domain);
        for user in &facts.users {
            out += &format!("  {}  {}\n", user.address, user.password);
        }
        out += &format!(
            "  SMTP {}, submission {} (STARTTLS) and {} (TLS), IMAP {} (STARTTLS) and {} (TLS), \
             HTTPS {}\n",
            ports.smtp, ports.submission, ports.submissions, ports.imap, ports.imaps, ports.https
        );
    }
    out += "Ready\n";
    out += &match all {
        [own, peer] => try_two(own, peer),
        _ => try_one(first),
    };
    out
}

fn try_one(facts: &Facts) -> String {
    let Facts { dir, ca, ports, users, .. } = facts;
    let (dir, ca) = (quoted(dir), quoted(ca));
    let [alice, bob, ..] = users.as_slice() else { return String::new() };
    format!(
        "\nSend one:\n\
         \x20 printf 'From: {bob}\\r\\nTo: {to}\\r\\nSubject: hello\\r\\n\\r\\nSealed on \
         arrival.\\r\\n' | curl --url smtp://127.0.0.1:{port} --mail-from {bob} \
         --mail-rcpt {to} --upload-file -\n\
         Read one:\n  {read}\n\
         Look at the disk, which has nothing of it:\n\
         \x20 grep -rac 'Sealed on arrival' {dir}/data\n",
        port = ports.smtp,
        bob = bob.address,
        to = alice.address,
        read = reading(&ca, &facts.address, alice, ports)
    )
}

fn try_two(own: &Facts, peer: &Facts) -> String {
    let ([alice, ..], [carol, ..]) = (own.users.as_slice(), peer.users.as_slice()) else {
        return String::new();
    };
    let ca = quoted(&own.ca);
    format!(
        "\nWrite to the other domain; its key is looked up there:\n\
         \x20 printf 'From: {alice}\\r\\nTo: {carol}\\r\\nSubject: hello\\r\\n\\r\\nSealed all the \
         way.\\r\\n' | curl --cacert {ca} --user '{alice}:{password}' --url \
         smtps://localhost:{port} --mail-from {alice} --mail-rcpt {carol} --upload-file -\n\
         Read it there, opened because its sender is proved:\n  {read}\n\
         See the key that it was sealed to, and how it was found:\n\
         \x20 postseal key lookup --config {config} {carol}\n",
        port = own.ports.submissions,
        password = alice.password,
        read = reading(&ca, &peer.address, carol, &peer.ports),
        config = quoted(&own.config),
        alice = alice.address,
        carol = carol.address
    )
}

/// The command that shows a user's newest message.
fn reading(ca: &str, address: &str, user: &User, ports: &Ports) -> String {
    format!(
        "curl --cacert {ca} --user '{}:{}' 'imaps://{address}:{}/INBOX;MAILINDEX=*'",
        user.address, user.password, ports.imaps
    )
}

/// A path for the shell.
fn quoted(path: &Path) -> String {
    let text = path.display().to_string();
    match text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"/._-".contains(&byte)) {
        true => text,
        false => format!("'{}'", text.replace('\'', r"'\''")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_highest_base_still_has_all_ports() {
        assert_eq!(Ports::from(PORT_BASE_MAX).imaps, u16::MAX);
    }

    #[test]
    fn paths_are_safe_for_the_shell() {
        assert_eq!(quoted(Path::new("/tmp/a-b")), "/tmp/a-b");
        assert_eq!(quoted(Path::new("/tmp/it's")), r"'/tmp/it'\''s'");
    }
}
