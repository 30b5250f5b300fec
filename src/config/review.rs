//! What is allowed but should be known: remarks on a configuration that parses.
//!
//! Pure: files are looked at by the commands, not here.

use super::values::LogAddresses;
use super::{Config, convert};
use crate::mailauth::KeyKind;
use crate::plan::{Policy, Whose};
use crate::relay::Relayhost;
use crate::relay::transmit::TlsPolicy;
use std::net::SocketAddr;
use std::path::Path;

/// How much a remark weighs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Weight {
    /// The server does not start with it.
    Error,
    /// It gives up something that Postseal is for.
    Warning,
}

/// One remark.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Remark {
    /// How much it weighs.
    pub weight: Weight,
    /// The key, `section.key`.
    pub key: &'static str,
    /// What is the matter, and what to do.
    pub text: String,
}

/// All remarks on `config`, errors first.
pub fn review(config: &Config) -> Vec<Remark> {
    let mut remarks = listeners(config);
    remarks.extend(limits(config));
    remarks.extend(mail(config));
    remarks.extend(outgoing(config));
    remarks.extend(keys(config));
    remarks.extend(network(config));
    remarks.extend(web(config));
    remarks.extend(dkim(config));
    remarks.extend(seal(config));
    remarks.extend(warnings(config));
    remarks.sort_by_key(|remark| remark.weight != Weight::Error);
    remarks
}

fn error(key: &'static str, text: impl Into<String>) -> Remark {
    Remark { weight: Weight::Error, key, text: text.into() }
}

fn warning(key: &'static str, text: impl Into<String>) -> Remark {
    Remark { weight: Weight::Warning, key, text: text.into() }
}

fn listeners(config: &Config) -> Vec<Remark> {
    let listen = &config.listen;
    let kinds = [
        ("listen.smtp", &listen.smtp),
        ("listen.submission", &listen.submission),
        ("listen.submissions", &listen.submissions),
        ("listen.imap", &listen.imap),
        ("listen.imaps", &listen.imaps),
        ("listen.https", &listen.https),
    ];
    let mut seen: Vec<(SocketAddr, &str)> = Vec::new();
    let mut remarks = Vec::new();
    for (kind, addresses) in kinds {
        for address in addresses.iter().filter(|address| address.port() != 0) {
            let other = seen.iter().find(|(other, _)| exclude_each_other(*address, *other));
            remarks.extend(other.map(|(other, its_kind)| match other == address {
                true => error(kind, format!("{address} is also in {its_kind}")),
                false => error(kind, format!("{address} is also {other} in {its_kind}")),
            }));
            seen.push((*address, kind));
        }
    }
    if kinds.iter().all(|(_, addresses)| addresses.is_empty()) {
        remarks.push(error("listen", "nothing is listened on"));
    }
    remarks
}

/// Whether the kernel gives only one of them to listeners: the same address, or one that stands for
/// all of its family. An IPv6 listener here never takes IPv4.
fn exclude_each_other(one: SocketAddr, other: SocketAddr) -> bool {
    let (ip, other_ip) = (one.ip(), other.ip());
    one.port() == other.port()
        && ip.is_ipv4() == other_ip.is_ipv4()
        && (ip == other_ip || ip.is_unspecified() || other_ip.is_unspecified())
}

/// What the standards ask for, and what would refuse all mail.
fn limits(config: &Config) -> Vec<Remark> {
    let smtp = &config.smtp;
    let mut remarks = Vec::new();
    if smtp.message_size.0 > smtp.memory.0 {
        let text = "is less than smtp.message_size, so that the largest messages never get in";
        remarks.push(error("smtp.memory", text));
    }
    if smtp.recipients < 100 {
        remarks.push(warning("smtp.recipients", "fewer than the 100 of RFC 5321 §4.5.3.1.8"));
    }
    if smtp.command_timeout.as_secs() < 300 {
        remarks.push(warning("smtp.command_timeout", "below the 5 min of RFC 5321 §4.5.3.2.7"));
    }
    if config.imap.idle_timeout.as_secs() < 30 * 60 {
        remarks.push(warning("imap.idle_timeout", "below the 30 min of RFC 3501 §5.4"));
    }
    remarks
}

fn mail(config: &Config) -> Vec<Remark> {
    let mut remarks = Vec::new();
    if config.mail.domains.is_empty() {
        remarks.push(error("mail.domains", "without a domain nothing is accepted"));
    }
    let postmaster = &config.mail.postmaster;
    let local = |domain: &str| config.mail.domains.iter().any(|known| known.0 == domain);
    match postmaster.rsplit_once('@') {
        None if postmaster.is_empty() => {}
        Some((name, domain)) if !name.is_empty() && local(&domain.to_ascii_lowercase()) => {}
        _ => remarks.push(error("mail.postmaster", "is no address in one of mail.domains")),
    }
    remarks
}

fn outgoing(config: &Config) -> Vec<Remark> {
    let outgoing = &config.outgoing;
    let (user, password) = (&outgoing.relayhost_user, &outgoing.relayhost_password_file);
    let mut remarks = Vec::new();
    if !user.is_empty() && outgoing.relayhost.is_none() {
        let text = "there is no outgoing.relayhost to log in at";
        remarks.push(error("outgoing.relayhost_user", text));
    }
    if user.is_empty() != password.is_none() {
        let text = "is needed together with the other of relayhost_user and \
                    relayhost_password_file";
        let key = match user.is_empty() {
            true => "outgoing.relayhost_user",
            false => "outgoing.relayhost_password_file",
        };
        remarks.push(error(key, text));
    }
    let checks_name = !user.is_empty() || outgoing.tls == TlsPolicy::Verify;
    if checks_name && outgoing.relayhost.as_ref().is_some_and(Relayhost::means_mx) {
        let text = "is connected to by this name itself and not by its MX records, because its \
                    certificate is checked; brackets around the name say so";
        remarks.push(warning("outgoing.relayhost", text));
    }
    if outgoing.port.0 != 25 && outgoing.relayhost.is_none() {
        let text = "other servers take mail at port 25; another one is for closed networks";
        remarks.push(warning("outgoing.port", text));
    }
    // RFC 5321 §4.5.3.2.1 and following: five minutes for each reply.
    if outgoing.attempt_timeout.as_secs() < 300 {
        remarks.push(warning("outgoing.attempt_timeout", "below the 5 min of RFC 5321 §4.5.3.2"));
    }
    remarks
}

fn network(config: &Config) -> Vec<Remark> {
    let mut remarks = Vec::new();
    if !config.network.dnssec {
        let text = "nothing that name servers say is proven any more: whoever is on the way to \
                    them can say that a domain has no keys";
        remarks.push(warning("network.dnssec", text));
    }
    if !config.network.private.is_empty() {
        let text = "whoever names a recipient can make this server connect to these networks";
        remarks.push(warning("network.private", text));
    }
    remarks
}

fn keys(config: &Config) -> Vec<Remark> {
    let data = &config.server.data_dir.0;
    let pepper = config.keys.pepper.as_ref().map(|path| ("keys.pepper", path.0.as_path()));
    let key = |(kind, path)| match kind {
        KeyKind::Ed25519 => ("dkim.ed25519_key", path),
        KeyKind::Rsa => ("dkim.rsa_key", path),
    };
    [("keys.journal", &config.keys.journal), ("keys.queue", &config.keys.queue)]
        .into_iter()
        .map(|(key, path)| (key, path.0.as_path()))
        .chain(pepper)
        .chain(convert::dkim_keys(config).into_iter().map(key))
        .filter(|(_, path)| is_inside(path, data))
        .map(|(key, _)| {
            let text = "LIES IN THE DATA DIRECTORY: who takes or copies the one has the other too. \
                        Put it on another disk or give it as a systemd credential";
            warning(key, text)
        })
        .collect()
}

fn web(config: &Config) -> Option<Remark> {
    match (&config.web.certificate, &config.web.key) {
        (Some(_), None) => Some(error("web.key", "is not set, and web.certificate is")),
        (None, Some(_)) => Some(error("web.certificate", "is not set, and web.key is")),
        _ => None,
    }
}

fn dkim(config: &Config) -> Option<Remark> {
    // RFC 6376 §3.1: labels of a name.
    let plain = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-';
    let label = |label: &str| (1..=50).contains(&label.len()) && label.bytes().all(plain);
    let valid = config.dkim.selector.split('.').all(label);
    let text = "is no selector: lower-case letters, digits and hyphens, parted by dots";
    (!valid).then(|| error("dkim.selector", text))
}

/// Rules that cannot all hold, and what gives up the seal.
fn seal(config: &Config) -> Vec<Remark> {
    let mut remarks = Vec::new();
    let rules = &config.seal.rules;
    for (at, rule) in rules.iter().enumerate() {
        if let Some(other) = rules[..at].iter().find(|other| other.whose == rule.whose) {
            remarks.push(error("seal.rules", format!("`{other}` and `{rule}` cannot both hold")));
        }
        let domain = match &rule.whose {
            Whose::From(address) => Some(address.domain()),
            Whose::FromDomain(domain) => Some(domain.as_str()),
            Whose::To(_) | Whose::ToDomain(_) => None,
        };
        let local = |domain: &str| config.mail.domains.iter().any(|known| known.0 == domain);
        if domain.is_some_and(|domain| !local(domain)) {
            let text = format!("`{rule}` is for nobody: its domain is not in mail.domains");
            remarks.push(warning("seal.rules", text));
        }
    }
    if config.seal.policy == Policy::Plain {
        let text = "mail to others is never sealed unless a rule says so";
        remarks.push(warning("seal.policy", text));
    }
    remarks
}

/// By the text of the paths, `..` and `.` taken out; links are not followed.
fn is_inside(path: &Path, dir: &Path) -> bool {
    plain(path).starts_with(plain(dir))
}

fn plain(path: &Path) -> std::path::PathBuf {
    use std::path::Component;
    path.components().fold(std::path::PathBuf::new(), |mut out, component| {
        match component {
            Component::CurDir => {}
            Component::ParentDir => {
                out.pop();
            }
            other => out.push(other),
        }
        out
    })
}

fn warnings(config: &Config) -> Vec<Remark> {
    let mut remarks = Vec::new();
    if config.server.test {
        let text =
            "THIS IS A TEST SET-UP: its passwords lie on the disk. Never use it for real mail";
        remarks.push(warning("server.test", text));
    }
    if config.log.addresses == LogAddresses::Full {
        let text = "the log becomes a record of who writes to whom, outside every seal";
        remarks.push(warning("log.addresses", text));
    }
    remarks
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::values::FilePath;
    use crate::config::{parse, reference};
    use crate::plan::Rule;

    fn sample() -> Config {
        parse(&reference::sample(), Path::new("/etc/postseal/postseal.toml")).unwrap()
    }

    #[test]
    fn the_sample_has_nothing_to_remark() {
        assert_eq!(review(&sample()), []);
    }

    #[test]
    fn a_key_in_the_data_directory_is_a_loud_warning_however_it_is_written() {
        for path in ["/var/lib/postseal/k", "/var/lib/postseal/../postseal/k"] {
            let mut config = sample();
            config.keys.journal.0 = path.into();
            let remarks = review(&config);
            assert_eq!((remarks.len(), remarks[0].key), (1, "keys.journal"), "{path}");
        }
        let mut config = sample();
        config.keys.journal.0 = "/var/lib/postseal-keys/k".into();
        assert_eq!(review(&config), []);
    }

    #[test]
    fn what_weakens_the_search_for_keys_is_told() {
        let mut config = sample();
        config.network.dnssec = false;
        config.network.private = vec![crate::discovery::Network::parse("10.0.0.0/8").unwrap()];
        let told: Vec<_> = review(&config).iter().map(|r| (r.key, r.weight)).collect();
        let keys = [("network.dnssec", Weight::Warning), ("network.private", Weight::Warning)];
        assert_eq!(told, keys);
    }

    #[test]
    fn a_selector_is_a_name() {
        for (selector, remarks) in [("2026-a", 0), ("a.b", 0), ("", 1), ("A", 1), ("a b", 1)] {
            let mut config = sample();
            config.dkim.selector = selector.into();
            assert_eq!(review(&config).len(), remarks, "{selector}");
        }
    }

    #[test]
    fn rules_that_contradict_each_other_are_errors() {
        let mut config = sample();
        let ruled = |texts: &[&str]| texts.iter().map(|text| Rule::parse(text).unwrap()).collect();
        config.seal.rules = ruled(&["x.example hold", "y.example plain", "X.example require"]);
        let remarks = review(&config);
        assert_eq!((remarks.len(), remarks[0].weight), (1, Weight::Error));
        assert!(remarks[0].text.contains("`x.example hold` and `x.example require`"));
        config.seal.rules = ruled(&["from a@example.org hold", "from elsewhere.example hold"]);
        let remarks = review(&config);
        assert_eq!((remarks.len(), remarks[0].weight), (1, Weight::Warning));
        config.seal.rules.clear();
        config.seal.policy = Policy::Plain;
        assert_eq!(review(&config)[0].key, "seal.policy");
    }

    #[test]
    fn one_address_cannot_serve_two_kinds() {
        let mut config = sample();
        config.listen.imap = config.listen.smtp.clone();
        assert_eq!(review(&config)[0].weight, Weight::Error);
    }

    #[test]
    fn an_address_that_stands_for_all_leaves_its_port_to_nobody_else() {
        let told = |smtp: &[&str], imap: &[&str]| {
            let mut config = sample();
            let read = |list: &[&str]| list.iter().map(|text| text.parse().unwrap()).collect();
            (config.listen.smtp, config.listen.imap) = (read(smtp), read(imap));
            review(&config).into_iter().map(|remark| remark.text).collect::<Vec<_>>()
        };
        let text = "127.0.0.1:25 is also 0.0.0.0:25 in listen.smtp";
        assert_eq!(told(&["0.0.0.0:25"], &["127.0.0.1:25"]), [text]);
        assert_eq!(told(&["127.0.0.1:25", "0.0.0.0:25"], &[]).len(), 1);
        assert_eq!(told(&["[::1]:25"], &["[::]:25"]).len(), 1);
        assert_eq!(told(&["0.0.0.0:25", "[::]:25"], &["0.0.0.0:26", "[::]:26"]), [""; 0]);
        assert_eq!(told(&["127.0.0.1:25"], &["127.0.0.2:25"]), [""; 0]);
    }

    #[test]
    fn a_login_at_the_relay_needs_all_its_parts() {
        let key = |host: &str, user: &str, file: &str| {
            let mut config = sample();
            let outgoing = &mut config.outgoing;
            outgoing.relayhost = crate::relay::Relayhost::parse(host).ok();
            outgoing.relayhost_user = user.into();
            outgoing.relayhost_password_file =
                Some(file).filter(|file| !file.is_empty()).map(|f| FilePath(f.into()));
            review(&config).first().map(|remark| remark.key)
        };
        assert_eq!(key("[relay.example]", "me", "/etc/password"), None);
        assert_eq!(key("[relay.example]", "", ""), None);
        assert_eq!(key("", "me", "/etc/password"), Some("outgoing.relayhost_user"));
        assert_eq!(key("[relay.example]", "", "/p"), Some("outgoing.relayhost_user"));
        assert_eq!(key("[relay.example]", "me", ""), Some("outgoing.relayhost_password_file"));
        assert_eq!(key("relay.example", "", ""), None);
        assert_eq!(key("relay.example", "me", "/p"), Some("outgoing.relayhost"));
    }

    #[test]
    fn an_odd_port_is_for_closed_networks() {
        let mut config = sample();
        config.outgoing.port.0 = 2525;
        assert_eq!(review(&config)[0].key, "outgoing.port");
        config.outgoing.relayhost = crate::relay::Relayhost::parse("[relay.example]").ok();
        assert_eq!(review(&config), []);
    }

    #[test]
    fn postmaster_must_be_local() {
        let mut config = sample();
        config.mail.postmaster = "alice@Example.ORG".into();
        assert_eq!(review(&config), []);
        for bad in ["alice", "@example.org", "alice@elsewhere.example"] {
            config.mail.postmaster = bad.into();
            assert_eq!(review(&config)[0].key, "mail.postmaster", "{bad}");
        }
    }
}
