//! The directory of a test set-up: its configurations, keys, certificates, and the names of a small
//! closed network in which two domains find each other.
//!
//! Everything for both servers is made at once, so that the second can be started at any later
//! time: one authority and one certificate for all names, a signing key each, and one zone that
//! both read in place of the domain name system. The second server has the same ports on another
//! address of the machine itself.

use super::super::Failure;
use crate::base::clock::Clock;
use crate::config::parse;
use crate::host::clock::SystemClock;
use crate::host::dkim_key::DkimKey;
use crate::host::{files, test_ca};
use crate::mailauth::{KeyKind, key_record};
use serde::{Deserialize, Serialize};
use std::path::{Path, PathBuf};

/// Below the first server's directory.
const PEER_DIR: &str = "peer";
/// The domain of the second server, unless the first has it.
const PEER_DOMAIN: &str = "peer.test";
const OTHER_PEER_DOMAIN: &str = "other.test";
/// Under which selector the signing key is published; the key's kind is appended.
const SELECTOR: &str = "quickstart";

/// One server's place, and what is decided about it.
#[derive(Clone, Debug)]
pub(super) struct Site {
    /// Its directory, absolute.
    pub dir: PathBuf,
    /// The domain of its accounts.
    pub domain: String,
    /// What ports are counted from.
    pub port_base: u16,
    /// Whether it is the second one.
    pub is_peer: bool,
}

/// The ports of a server.
#[derive(Serialize, Deserialize)]
pub(super) struct Ports {
    pub smtp: u16,
    pub submission: u16,
    pub submissions: u16,
    pub imap: u16,
    pub imaps: u16,
    pub https: u16,
}

impl Ports {
    pub(super) fn from(base: u16) -> Ports {
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

impl Site {
    /// The first server's.
    pub(super) fn own(dir: PathBuf, domain: String, port_base: u16) -> Site {
        Site { dir, domain, port_base, is_peer: false }
    }

    /// The second server's, below the first.
    pub(super) fn peer(&self) -> Site {
        let domain = if self.domain == PEER_DOMAIN { OTHER_PEER_DOMAIN } else { PEER_DOMAIN };
        Site {
            dir: self.dir.join(PEER_DIR),
            domain: domain.into(),
            port_base: self.port_base,
            is_peer: true,
        }
    }

    pub(super) fn config(&self) -> PathBuf {
        self.dir.join("postseal.toml")
    }

    /// What scripts read.
    pub(super) fn facts(&self) -> PathBuf {
        self.dir.join("quickstart.json")
    }

    /// The certificate of the authority to trust.
    pub(super) fn ca(&self) -> PathBuf {
        let dir = if self.is_peer { self.dir.parent().unwrap_or(&self.dir) } else { &self.dir };
        dir.join("tls/ca.pem")
    }

    /// Where it listens; all of 127.0.0.0/8 is the machine itself.
    pub(super) fn address(&self) -> &'static str {
        if self.is_peer { "127.0.0.2" } else { "127.0.0.1" }
    }

    /// The names of its two accounts.
    pub(super) fn users(&self) -> [&'static str; 2] {
        if self.is_peer { ["carol", "dave"] } else { ["alice", "bob"] }
    }

    /// What its certificate must have.
    fn names(&self) -> Vec<String> {
        let Site { domain, .. } = self;
        let mut names = vec![self.address().to_owned(), domain.clone()];
        names.extend(["mail", "openpgpkey"].map(|host| format!("{host}.{domain}")));
        names
    }
}

/// Makes everything that does not need the running server, for both.
pub(super) fn make(site: &Site) -> Result<(), Failure> {
    if files::exists(&site.config()) {
        let dir = site.dir.display();
        return Err(Failure(format!(
            "{dir} was not finished or is no test set-up; remove it first"
        )));
    }
    let sites = [site.clone(), site.peer()];
    for site in &sites {
        parse(&configuration(site), &site.config())?;
    }
    certificates(&site.dir.join("tls"), &sites)?;
    let mut zone = String::from("# The names of a closed test network, in place of the DNS.\n");
    for site in &sites {
        let key = DkimKey::create(&site.dir.join("keys/dkim.pem"), KeyKind::Ed25519)?;
        zone += &records(site, &key_record(&key));
    }
    files::create_private(&site.dir.join("zone"), zone.as_bytes())?;
    for site in sites.iter().rev() {
        files::create_private(&site.config(), configuration(site).as_bytes())?;
    }
    Ok(())
}

fn certificates(dir: &Path, sites: &[Site]) -> Result<(), Failure> {
    let mut names = vec!["localhost".to_owned(), "::1".to_owned()];
    names.extend(sites.iter().flat_map(Site::names));
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    let made = test_ca::make(&names, SystemClock::new().now())?;
    files::create_private(&dir.join("ca.pem"), made.authority.as_bytes())?;
    files::create_private(&dir.join("cert.pem"), made.certificate.as_bytes())?;
    files::create_private(&dir.join("key.pem"), made.key.as_bytes())?;
    Ok(())
}

/// The lines of the zone for one server.
fn records(site: &Site, key_record: &str) -> String {
    let (domain, address) = (&site.domain, site.address());
    let selector = KeyKind::Ed25519.selector(SELECTOR);
    format!(
        "\n\
         $zone {domain}\n\
         {domain} MX 10 mail.{domain}\n\
         {domain} TXT \"v=spf1 mx -all\"\n\
         mail.{domain} A {address}\n\
         openpgpkey.{domain} A {address}\n\
         {selector}._domainkey.{domain} TXT \"{key_record}\"\n\
         _dmarc.{domain} TXT \"v=DMARC1; p=reject\"\n"
    )
}

pub(super) fn configuration(site: &Site) -> String {
    let Site { domain, is_peer, .. } = site;
    let Ports { smtp, submission, submissions, imap, imaps, https } = Ports::from(site.port_base);
    let (address, first) = (site.address(), site.users()[0]);
    let above = if *is_peer { "../" } else { "" };
    format!(
        "# A TEST SET-UP made by `postseal quickstart`: passwords and keys lie in this directory.\n\
         # Options that are not here have their defaults; config/postseal.toml shows all of them.\n\
         \n\
         [server]\n\
         hostname = \"mail.{domain}\"\n\
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
         postmaster = \"{first}@{domain}\"\n\
         \n\
         [listen]\n\
         smtp = [\"{address}:{smtp}\"]\n\
         submission = [\"{address}:{submission}\"]\n\
         submissions = [\"{address}:{submissions}\"]\n\
         imap = [\"{address}:{imap}\"]\n\
         imaps = [\"{address}:{imaps}\"]\n\
         https = [\"{address}:{https}\"]\n\
         \n\
         [tls]\n\
         certificate = \"{above}tls/cert.pem\"\n\
         key = \"{above}tls/key.pem\"\n\
         \n\
         # The closed network: its names, its authority, its ports, and that its hosts are here.\n\
         [network]\n\
         zone = \"{above}zone\"\n\
         tls_roots = \"{above}tls/ca.pem\"\n\
         https_port = {https}\n\
         private = [\"127.0.0.0/8\"]\n\
         \n\
         [outgoing]\n\
         port = {smtp}\n\
         \n\
         [dkim]\n\
         selector = \"{SELECTOR}\"\n\
         ed25519_key = \"keys/dkim.pem\"\n\
         \n\
         [log]\n\
         destination = \"postseal.log\"\n"
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{Weight, review};

    #[test]
    fn the_configurations_are_valid_marked_and_keep_their_keys_out_of_the_data() {
        let site = Site::own("/tmp/x".into(), "example.test".into(), 2000);
        for site in [site.peer(), site] {
            let config = parse(&configuration(&site), &site.config()).unwrap();
            assert!(config.server.test);
            assert_eq!(config.listen.imaps[0].to_string(), format!("{}:2993", site.address()));
            let remarks = review(&config);
            assert!(remarks.iter().all(|remark| remark.weight == Weight::Warning), "{remarks:?}");
            let keys: Vec<_> = remarks.iter().map(|remark| remark.key).collect();
            assert_eq!(keys, ["outgoing.port", "network.private", "server.test"]);
        }
    }

    #[test]
    fn the_zone_answers_for_both_domains() {
        let site = Site::own("/tmp/x".into(), "peer.test".into(), 2000);
        let text = records(&site, "v=DKIM1") + &records(&site.peer(), "v=DKIM1");
        let zone = crate::dns::Zone::parse(&text).unwrap();
        for name in ["peer.test", "openpgpkey.other.test"] {
            assert!(zone.covers(&crate::dns::Name::parse(name).unwrap()), "{name}");
        }
    }
}
