//! `postseal dns`: the records that make others find this server and believe its mail.
//!
//! Works from the configuration and the key files alone; nothing is asked on the wire and nothing
//! is published. Lines are in the form of a zone file (RFC 1035 §5); remarks begin with `;`.

use super::configuration::Configuration;
use super::{Failure, output};
use crate::config::{Config, convert};
use crate::host::dkim_key::DkimKey;
use crate::host::files;
use crate::mailauth::{KeyKind, SigningKey, key_record};
use std::net::{IpAddr, SocketAddr};

/// Octets of one string of a TXT record (RFC 1035 §3.3); longer texts are several.
const STRING_BYTES_MAX: usize = 255;

/// Print the DNS records to publish for a domain
#[derive(Debug, clap::Args)]
pub(super) struct Arguments {
    #[command(flatten)]
    configuration: Configuration,

    /// Make the keys that the configuration names and that do not exist yet
    #[arg(long)]
    make_keys: bool,

    /// The domain; without it, all of mail.domains
    domain: Option<String>,
}

pub(super) fn run(arguments: &Arguments) -> Result<(), Failure> {
    let config = arguments.configuration.read()?;
    let keys = keys(&config, arguments.make_keys)?;
    let wanted = arguments.domain.as_deref().map(|name| name.trim_end_matches('.'));
    let domains = config.mail.domains.iter().map(|domain| domain.0.as_str());
    let chosen: Vec<_> =
        domains.filter(|name| wanted.is_none_or(|want| want.eq_ignore_ascii_case(name))).collect();
    if let (Some(domain), []) = (&arguments.domain, chosen.as_slice()) {
        return Err(Failure(format!("{domain} is none of mail.domains")));
    }
    for domain in chosen {
        output::text(&zone(&config, domain, &keys))?;
    }
    output::text(&remarks(&config, &keys))
}

/// The keys that the configuration names, with those made that may be.
fn keys(config: &Config, make: bool) -> Result<Vec<DkimKey>, Failure> {
    let named = convert::dkim_keys(config);
    if make && named.is_empty() {
        let text = "set dkim.ed25519_key or dkim.rsa_key to the path that the key is to have";
        return Err(Failure(text.to_owned()));
    }
    let mut keys = Vec::new();
    for (kind, path) in named {
        if files::exists(path) {
            keys.push(DkimKey::read(path, kind)?);
        } else if make {
            keys.push(DkimKey::create(path, kind)?);
        } else {
            let path = path.display();
            return Err(Failure(format!("{path} does not exist; --make-keys makes it")));
        }
    }
    Ok(keys)
}

/// The records of one domain.
fn zone(config: &Config, domain: &str, keys: &[DkimKey]) -> String {
    let host = &config.server.hostname.0;
    let mut out = format!("; {domain}\n{domain}. IN MX 10 {host}.\n");
    out += &txt(domain, "v=spf1 mx -all");
    for key in keys {
        let selector = key.kind().selector(&config.dkim.selector);
        out += &txt(&format!("{selector}._domainkey.{domain}"), &key_record(key));
    }
    // Without DKIM every forwarded message would fail.
    let policy = if keys.is_empty() { "none" } else { "quarantine" };
    out += &txt(&format!("_dmarc.{domain}"), &format!("v=DMARC1; p={policy}"));
    out += &format!("openpgpkey.{domain}. IN CNAME {host}.\n");
    let listen = &config.listen;
    for (service, addresses) in [
        ("imaps", &listen.imaps),
        ("imap", &listen.imap),
        ("submissions", &listen.submissions),
        ("submission", &listen.submission),
    ] {
        if let Some(address) = addresses.first() {
            let port = address.port();
            out += &format!("_{service}._tcp.{domain}. IN SRV 0 1 {port} {host}.\n");
        }
    }
    out.push('\n');
    out
}

/// What belongs to the server itself, and what no zone file can hold.
fn remarks(config: &Config, keys: &[DkimKey]) -> String {
    let host = &config.server.hostname.0;
    let mut out = format!("; {host}\n");
    let known: Vec<_> = config.listen.smtp.iter().map(SocketAddr::ip).filter(is_public).collect();
    for address in &known {
        let kind = if address.is_ipv4() { "A" } else { "AAAA" };
        out += &format!("{host}. IN {kind} {address}\n");
    }
    if known.is_empty() {
        out += &format!("; {host}. IN A and AAAA: the addresses of this machine\n");
    }
    out += &txt(host, "v=spf1 a -all");
    out += &format!(
        "\n; The address must lead back to {host} (PTR), which whoever gave it to you sets.\n\
         ; openpgpkey.* must be among the certificate's names, or others find no keys.\n\
         ; Raise _dmarc from quarantine to reject when nothing of yours fails any more.\n"
    );
    if keys.is_empty() {
        out += "; Nothing is signed: set dkim.ed25519_key and run `postseal dns --make-keys`.\n";
    } else if keys.iter().all(|key| key.kind() == KeyKind::Ed25519) {
        out +=
            "; Some large providers verify RSA alone: set dkim.rsa_key too if mail goes there.\n";
    }
    out
}

fn is_public(address: &IpAddr) -> bool {
    !address.is_unspecified() && !address.is_loopback()
}

/// A TXT record, its text in as many strings as it needs.
fn txt(name: &str, text: &str) -> String {
    let strings = text.as_bytes().chunks(STRING_BYTES_MAX);
    let strings: Vec<_> =
        strings.map(|piece| format!("\"{}\"", String::from_utf8_lossy(piece))).collect();
    format!("{name}. IN TXT {}\n", strings.join(" "))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{parse, reference};
    use std::path::Path;

    fn config() -> Config {
        parse(&reference::sample(), Path::new("/etc/postseal/postseal.toml")).unwrap()
    }

    #[test]
    fn every_record_is_a_line_of_a_zone_file() {
        let dir = std::env::temp_dir().join(format!("postseal-dns-{}", std::process::id()));
        let mut config = config();
        config.dkim.ed25519_key = Some(crate::config::values::FilePath(dir.join("ed")));
        config.dkim.rsa_key = Some(crate::config::values::FilePath(dir.join("rsa")));
        assert!(keys(&config, false).is_err());
        let made = keys(&config, true).unwrap();
        assert_eq!(keys(&config, true).unwrap()[1].public(), made[1].public());
        std::fs::remove_dir_all(dir).unwrap();
        let text = zone(&config, "example.org", &made) + &remarks(&config, &made);
        for line in text.lines().filter(|line| !line.is_empty() && !line.starts_with(';')) {
            let words: Vec<_> = line.splitn(4, ' ').collect();
            assert!(words[0].ends_with('.') && words[1] == "IN", "{line}");
            assert!(["MX", "TXT", "CNAME", "SRV", "A"].contains(&words[2]), "{line}");
            assert!(line.split('"').all(|string| string.len() <= STRING_BYTES_MAX), "{line}");
        }
        for expected in [
            "example.org. IN MX 10 mail.example.org.\n",
            "example.org. IN TXT \"v=spf1 mx -all\"\n",
            "postseal-ed25519._domainkey.example.org. IN TXT \"v=DKIM1; k=ed25519; p=",
            "postseal-rsa._domainkey.example.org. IN TXT \"v=DKIM1; k=rsa; p=",
            "_dmarc.example.org. IN TXT \"v=DMARC1; p=quarantine\"\n",
            "openpgpkey.example.org. IN CNAME mail.example.org.\n",
            "_imaps._tcp.example.org. IN SRV 0 1 993 mail.example.org.\n",
        ] {
            assert!(text.contains(expected), "{expected}: {text}");
        }
    }

    #[test]
    fn without_a_key_nothing_strict_is_asked_for() {
        let config = config();
        assert!(keys(&config, true).is_err());
        let text = zone(&config, "example.org", &[]);
        assert!(text.contains("p=none") && !text.contains("_domainkey"));
        assert!(remarks(&config, &[]).contains("Nothing is signed"));
    }
}
