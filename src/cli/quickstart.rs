//! `postseal quickstart`: a whole server to try out, in one directory, in one command.
//!
//! Makes DIR once: a configuration marked as a test, a test authority with a certificate for
//! `localhost` and the domain, keys, and two accounts with fresh passwords. `DIR/quickstart.json`
//! has all of it for scripts and is written last, so a directory without it was not finished. Later
//! runs serve the same directory.
//!
//! It is for trying, and for nothing else: the passwords lie beside the data that they open, and
//! the configuration, this banner and `check` all say so.

use super::Failure;
use crate::base::clock::Clock;
use crate::base::entropy::Entropy;
use crate::base::secret::SecretBytes;
use crate::config::parse;
use crate::host::clock::SystemClock;
use crate::host::entropy::SystemEntropy;
use crate::host::{files, test_ca};
use crate::server::{Server, runtime};
use crate::vault::generate_passphrase;
use serde::{Deserialize, Serialize};
use std::path::{Path, PathBuf};

/// Octets that `quickstart.json` may have.
const FACTS_BYTES_MAX: u64 = 64 * 1024;

/// The highest base from which all ports exist: 65535 less the highest offset.
const PORT_BASE_MAX: u16 = 64_542;

/// Make a directory with a test server in it, and run it
///
/// Ports are counted from the base: SMTP +525, submission +587 (STARTTLS) and +465 (TLS), IMAP +143
/// (STARTTLS) and +993 (TLS), HTTPS +443. All listen on 127.0.0.1 only.
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
    /// The name that the certificate is for.
    host: String,
    domain: String,
    port_base: u16,
    ports: Ports,
    users: Vec<User>,
}

#[derive(Serialize, Deserialize)]
struct Ports {
    smtp: u16,
    submission: u16,
    submissions: u16,
    imap: u16,
    imaps: u16,
    https: u16,
}

#[derive(Serialize, Deserialize)]
struct User {
    name: String,
    address: String,
    password: String,
    recovery_code: String,
}

impl Ports {
    fn from(base: u16) -> Ports {
        Ports {
            smtp: base + 525,
            submission: base + 587,
            submissions: base + 465,
            imap: base + 143,
            imaps: base + 993,
            https: base + 443,
        }
    }
}

pub(super) fn run(arguments: &Arguments) -> Result<(), Failure> {
    let facts_path = arguments.dir.join("quickstart.json");
    let known = match files::exists(&facts_path) {
        true => Some(known(&facts_path, arguments)?),
        false => None,
    };
    let site = match &known {
        Some(facts) => site_of(facts),
        None => make(arguments)?,
    };
    let config = parse(&files::read_text(&site.config(), FACTS_BYTES_MAX)?, &site.config())?;
    runtime()?.block_on(async {
        let server = Server::start(&site.config(), config).await?;
        let facts = match known {
            Some(facts) => facts,
            None => fill(&server, &site, &facts_path).await?,
        };
        banner(&facts);
        Ok(server.run().await?)
    })
}

/// Reads what an earlier run has made, and refuses to run it under other names.
fn known(path: &Path, arguments: &Arguments) -> Result<Facts, Failure> {
    let facts: Facts = serde_json::from_str(&files::read_text(path, FACTS_BYTES_MAX)?)?;
    let other_base = arguments.port_base.is_some_and(|base| base != facts.port_base);
    let other_domain = arguments.domain.as_ref().is_some_and(|domain| *domain != facts.domain);
    match other_base || other_domain {
        true => Err(Failure(format!(
            "{} was made with --port-base {} --domain {}; take these, or another --dir",
            arguments.dir.display(),
            facts.port_base,
            facts.domain
        ))),
        false => Ok(facts),
    }
}

/// The directory and what is decided about it.
struct Site {
    dir: PathBuf,
    domain: String,
    port_base: u16,
}

impl Site {
    fn config(&self) -> PathBuf {
        self.dir.join("postseal.toml")
    }
}

fn site_of(facts: &Facts) -> Site {
    Site { dir: facts.dir.clone(), domain: facts.domain.clone(), port_base: facts.port_base }
}

/// Makes everything that does not need the running server.
fn make(arguments: &Arguments) -> Result<Site, Failure> {
    if files::exists(&arguments.dir.join("postseal.toml")) {
        let dir = arguments.dir.display();
        return Err(Failure(format!(
            "{dir} was not finished or is no test set-up; remove it first"
        )));
    }
    let site = Site {
        dir: std::path::absolute(&arguments.dir)?,
        domain: arguments.domain.clone().unwrap_or_else(|| "example.test".into()),
        port_base: arguments.port_base.unwrap_or(2000),
    };
    let text = configuration(&site);
    parse(&text, &site.config())?;
    let mail_host = format!("mail.{}", site.domain);
    let key_host = format!("openpgpkey.{}", site.domain);
    let names = ["localhost", "127.0.0.1", "::1", &site.domain, &mail_host, &key_host];
    let certificates = test_ca::make(&names, SystemClock::new().now())?;
    files::create_private(&site.dir.join("tls/ca.pem"), certificates.authority.as_bytes())?;
    files::create_private(&site.dir.join("tls/cert.pem"), certificates.certificate.as_bytes())?;
    files::create_private(&site.dir.join("tls/key.pem"), certificates.key.as_bytes())?;
    files::create_private(&site.config(), text.as_bytes())?;
    Ok(site)
}

fn configuration(site: &Site) -> String {
    let ports = Ports::from(site.port_base);
    let Site { domain, .. } = site;
    let Ports { smtp, submission, submissions, imap, imaps, https } = ports;
    format!(
        "# A TEST SET-UP made by `postseal quickstart`: passwords and keys lie in this directory.\n\
         # Options that are not here have their defaults; config/postseal.toml shows all of them.\n\
         \n\
         [server]\n\
         hostname = \"localhost\"\n\
         data_dir = \"data\"\n\
         control_socket = \"control\"\n\
         test = true\n\
         \n\
         [keys]\n\
         journal = \"keys/journal.key\"\n\
         queue = \"keys/queue.key\"\n\
         \n\
         [mail]\n\
         domains = [\"{domain}\"]\n\
         postmaster = \"alice@{domain}\"\n\
         \n\
         [listen]\n\
         smtp = [\"127.0.0.1:{smtp}\"]\n\
         submission = [\"127.0.0.1:{submission}\"]\n\
         submissions = [\"127.0.0.1:{submissions}\"]\n\
         imap = [\"127.0.0.1:{imap}\"]\n\
         imaps = [\"127.0.0.1:{imaps}\"]\n\
         https = [\"127.0.0.1:{https}\"]\n\
         \n\
         [tls]\n\
         certificate = \"tls/cert.pem\"\n\
         key = \"tls/key.pem\"\n\
         \n\
         [log]\n\
         destination = \"postseal.log\"\n"
    )
}

/// Makes the accounts and writes down what scripts need.
async fn fill(server: &Server, site: &Site, facts_path: &Path) -> Result<Facts, Failure> {
    let entropy = SystemEntropy::new();
    let mut users = Vec::new();
    for name in ["alice", "bob"] {
        users.push(add(server, name, &site.domain, &entropy).await?);
    }
    let facts = Facts {
        test: true,
        dir: site.dir.clone(),
        config: site.config(),
        ca: site.dir.join("tls/ca.pem"),
        control_socket: site.dir.join("control"),
        host: "localhost".into(),
        domain: site.domain.clone(),
        port_base: site.port_base,
        ports: Ports::from(site.port_base),
        users,
    };
    files::create_private(facts_path, serde_json::to_string_pretty(&facts)?.as_bytes())?;
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
fn banner(facts: &Facts) {
    let Facts { dir, ca, ports, users, .. } = facts;
    let (dir, ca) = (quoted(dir), quoted(ca));
    println!("THIS IS A TEST SET-UP: its passwords are in {dir}/quickstart.json");
    for user in users {
        println!("  {}  {}", user.address, user.password);
    }
    println!(
        "  SMTP {}, submission {} (STARTTLS) and {} (TLS)",
        ports.smtp, ports.submission, ports.submissions
    );
    println!(
        "  IMAP {} (STARTTLS) and {} (TLS), HTTPS {} (public keys), all on 127.0.0.1",
        ports.imap, ports.imaps, ports.https
    );
    let [alice, bob, ..] = users.as_slice() else { return };
    println!("Ready\n\nSend one:");
    println!(
        "  printf 'From: {bob}\\r\\nTo: {alice}\\r\\nSubject: hello\\r\\n\\r\\nSealed on \
         arrival.\\r\\n' | curl --url smtp://127.0.0.1:{port} --mail-from {bob} \
         --mail-rcpt {alice} --upload-file -",
        port = ports.smtp,
        bob = bob.address,
        alice = alice.address
    );
    println!("Read one:");
    println!(
        "  curl --cacert {ca} --user '{}:{}' 'imaps://localhost:{}/INBOX;MAILINDEX=*'",
        alice.address, alice.password, ports.imaps
    );
    println!("Look at the disk, which has nothing of it:");
    println!("  grep -rac 'Sealed on arrival' {dir}/data");
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
    use crate::config::{Weight, review};

    #[test]
    fn the_configuration_is_valid_marked_and_keeps_its_key_out_of_the_data() {
        let site = Site { dir: "/tmp/x".into(), domain: "example.test".into(), port_base: 2000 };
        let config = parse(&configuration(&site), &site.config()).unwrap();
        assert!(config.server.test);
        assert_eq!(config.listen.imaps[0].to_string(), "127.0.0.1:2993");
        let remarks = review(&config);
        assert!(remarks.iter().all(|remark| remark.weight == Weight::Warning));
        let keys: Vec<_> = remarks.iter().map(|remark| remark.key).collect();
        assert_eq!(keys, ["server.test"]);
    }

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
