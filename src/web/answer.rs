//! What a question gets: pure but for the look-up, so that it is tested without a connection.

use crate::base::zbase32;
use crate::seams::Publish;

/// Letters of a name in a directory: SHA-1 in z-base-32.
const NAME_LETTERS: usize = 32;

/// Where everything lies that we serve (RFC 8615).
const WELL_KNOWN: &str = "/.well-known/openpgpkey/";

/// The host of the advanced method, before the domain.
const ADVANCED_HOST: &str = "openpgpkey.";

/// What of a request matters.
#[derive(Clone, Copy, Debug)]
pub struct Question<'a> {
    /// The method.
    pub method: &'a str,
    /// The host that was asked, with or without port; `None` if the request names none or several.
    pub host: Option<&'a str>,
    /// The path without query. The query says the local part again, as somebody's program
    /// wrote it, and is not looked at.
    pub path: &'a str,
}

/// What it gets.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Answer {
    /// 200: a certificate, binary.
    Key(Vec<u8>),
    /// 200: the policy file. It is empty: no keyword of the draft applies (§4.5).
    Policy,
    /// 400: no host, or more than one.
    BadRequest,
    /// 404. The same octets whatever was not found, and why.
    NotFound,
    /// 405: reading is all there is.
    MethodNotAllowed,
    /// 421: not a name that is served here (RFC 9110 §15.5.20).
    Misdirected,
}

/// Answers `question` for these domains.
pub async fn answer(domains: &[String], publish: &dyn Publish, question: &Question<'_>) -> Answer {
    match route(domains, question) {
        Ok(Target::Policy) => Answer::Policy,
        Ok(Target::Key { domain, name }) => match publish.by_hash(domain, name).await {
            Some(published) => Answer::Key(published.certificate),
            None => Answer::NotFound,
        },
        Err(answer) => answer,
    }
}

#[derive(Debug, PartialEq, Eq)]
enum Target<'a> {
    Policy,
    Key { domain: &'a str, name: &'a str },
}

fn route<'a>(domains: &'a [String], question: &Question<'a>) -> Result<Target<'a>, Answer> {
    if !matches!(question.method, "GET" | "HEAD") {
        return Err(Answer::MethodNotAllowed);
    }
    let host = host_name(question.host.ok_or(Answer::BadRequest)?);
    let is = |domain: &&String| host.eq_ignore_ascii_case(domain);
    let below = question.path.strip_prefix(WELL_KNOWN);
    // A domain of ours may itself begin with `openpgpkey.`; its own files come first.
    if let Some(domain) = domains.iter().find(is) {
        return file(domain, below.ok_or(Answer::NotFound)?);
    }
    let advanced = strip_advanced(host).ok_or(Answer::Misdirected)?;
    let is = |domain: &&String| advanced.eq_ignore_ascii_case(domain);
    let domain = domains.iter().find(is).ok_or(Answer::Misdirected)?;
    let (named, below) = below.and_then(|path| path.split_once('/')).ok_or(Answer::NotFound)?;
    match named.eq_ignore_ascii_case(domain) {
        true => file(domain, below),
        false => Err(Answer::NotFound),
    }
}

/// Where programs look for the key with this name in `domain`: the advanced method's place and the
/// direct one's.
pub fn key_urls(domain: &str, name: &str, local: &str) -> [String; 2] {
    let local = escaped(local);
    [
        format!("https://{ADVANCED_HOST}{domain}{WELL_KNOWN}{domain}/hu/{name}?l={local}"),
        format!("https://{domain}{WELL_KNOWN}hu/{name}?l={local}"),
    ]
}

/// RFC 3986 §2.1: all but the unreserved octets as percent and two digits.
fn escaped(text: &str) -> String {
    text.bytes().fold(String::new(), |mut out, octet| {
        match octet {
            octet if octet.is_ascii_alphanumeric() || b"-._~".contains(&octet) => {
                out.push(char::from(octet));
            }
            octet => out += &format!("%{octet:02X}"),
        }
        out
    })
}

/// A file of one domain's directory.
fn file<'a>(domain: &'a str, path: &'a str) -> Result<Target<'a>, Answer> {
    match path.strip_prefix("hu/") {
        Some(name) if name.len() == NAME_LETTERS && zbase32::is_encoded(name) => {
            Ok(Target::Key { domain, name })
        }
        None if path == "policy" => Ok(Target::Policy),
        _ => Err(Answer::NotFound),
    }
}

/// The host without its port and without the dot of a full name.
fn host_name(host: &str) -> &str {
    let name = match host.rsplit_once(':') {
        Some((name, port)) if port.bytes().all(|octet| octet.is_ascii_digit()) => name,
        _ => host,
    };
    name.strip_suffix('.').unwrap_or(name)
}

fn strip_advanced(host: &str) -> Option<&str> {
    let (first, rest) = host.split_at_checked(ADVANCED_HOST.len())?;
    first.eq_ignore_ascii_case(ADVANCED_HOST).then_some(rest)
}

impl Answer {
    /// Its status code.
    pub fn status(&self) -> u16 {
        match self {
            Answer::Key(_) | Answer::Policy => 200,
            Answer::BadRequest => 400,
            Answer::NotFound => 404,
            Answer::MethodNotAllowed => 405,
            Answer::Misdirected => 421,
        }
    }

    /// The type of what it holds, where it holds something.
    pub fn content_type(&self) -> Option<&'static str> {
        match self {
            Answer::Key(_) => Some("application/octet-stream"),
            Answer::Policy => Some("text/plain; charset=utf-8"),
            _ => None,
        }
    }

    /// What it holds.
    pub fn into_body(self) -> Vec<u8> {
        match self {
            Answer::Key(certificate) => certificate,
            _ => Vec::new(),
        }
    }
}
