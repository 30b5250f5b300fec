//! Where a message for a domain goes: which hosts, in which order (RFC 5321 §5.1), or why nowhere.
//!
//! That there are no MX records must be known, not guessed: when the resolver fails, the domain's
//! own address is not tried in their place, and the message waits.
//!
//! # Standards
//! RFC 5321 §5.1 and §4.1.3 (address literals), RFC 7505 (null MX), RFC 3463 (codes), RFC 6125 §6
//! (which name a certificate is for).
//!
//! # Known gaps
//! Whether DNSSEC vouches for the MX records of a domain is not looked at: where it does not, who
//! can forge them says which servers' certificates are asked for.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use crate::base::entropy::{self, Entropy};
use crate::dns::{DnsError, Lookup, Mx, Name, Resolver};
use crate::seams::PeerCheck;

/// MX records of one domain that are looked at, best first. Large sites have some ten.
const MX_HOSTS_MAX: usize = 20;

/// Addresses of one host that are tried. RFC 5321 §5.1 asks for at least two.
const HOST_ADDRESSES_MAX: usize = 8;

/// The port of SMTP implied where none is named.
pub const SMTP_PORT: u16 = 25;

/// A place to connect to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Place {
    /// A host, whose addresses are still to be looked up.
    Host(Name),
    /// An address.
    Address(IpAddr),
}

impl Place {
    /// What a certificate has to be valid for, and what reports call it.
    pub fn name(&self) -> String {
        match self {
            Place::Host(name) => name.to_string(),
            Place::Address(address) => address.to_string(),
        }
    }
}

/// Why there is nowhere to go.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct NoRoute {
    /// Whether it will stay so.
    pub permanent: bool,
    /// The enhanced code (RFC 3463).
    pub status: &'static str,
    /// A sentence.
    pub text: String,
}

impl NoRoute {
    pub(super) fn never(status: &'static str, text: String) -> NoRoute {
        NoRoute { permanent: true, status, text }
    }

    fn unknown(what: &str, name: &Name, error: DnsError) -> NoRoute {
        let text = format!("the {what} of {name} could not be looked up: {error}");
        NoRoute { permanent: false, status: "4.4.3", text }
    }
}

/// A relay that takes all mail (a smarthost).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Relayhost {
    place: Place,
    port: Option<u16>,
    mx: bool,
}

/// The text is not `host`, `host:port`, `[host]`, `[host]:port` or the same with an address in the
/// brackets.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RelayhostError;

impl std::fmt::Display for RelayhostError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("not a relay of the form host, host:port, [host] or [host]:port")
    }
}

impl std::error::Error for RelayhostError {}

impl Relayhost {
    /// Reads a relay. Brackets mean that the host itself is meant, without a look for MX records;
    /// an address has to stand in them. Where certificates are checked it is always meant itself.
    pub fn parse(text: &str) -> Result<Relayhost, RelayhostError> {
        let (inside, rest) = match text.strip_prefix('[') {
            Some(text) => text.split_once(']').ok_or(RelayhostError)?,
            None => text.split_at(text.find(':').unwrap_or(text.len())),
        };
        let bracketed = text.starts_with('[');
        let port = match rest.strip_prefix(':') {
            Some(port) => Some(port.parse().ok().filter(|port| *port > 0).ok_or(RelayhostError)?),
            None if rest.is_empty() => None,
            None => return Err(RelayhostError),
        };
        let place = match inside.parse::<IpAddr>() {
            Ok(address) if bracketed => Place::Address(address),
            Ok(_) => return Err(RelayhostError),
            Err(_) => match Name::parse(inside) {
                Ok(name) if !name.is_root() => Place::Host(name),
                _ => return Err(RelayhostError),
            },
        };
        Ok(Relayhost { place, port, mx: !bracketed })
    }

    /// Whether it is written so that its MX records are meant.
    pub fn means_mx(&self) -> bool {
        self.mx
    }

    /// The port, if one is named.
    pub fn port(&self) -> Option<u16> {
        self.port
    }

    /// The places, in the order in which they are tried.
    pub(super) async fn places(
        &self,
        resolver: &dyn Resolver,
        entropy: &dyn Entropy,
        check: PeerCheck,
    ) -> Result<Vec<Place>, NoRoute> {
        match (&self.place, check) {
            // Who can forge an answer of the name system could name the server that gets the mail,
            // and the password, and has a certificate for it. The name that counts is the one that
            // was written down (RFC 6125 §6.2.1).
            (place, PeerCheck::Name) => Ok(vec![place.clone()]),
            (Place::Host(name), PeerCheck::Nothing) if self.mx => {
                exchangers(name, resolver, entropy, None).await
            }
            (place, PeerCheck::Nothing) => Ok(vec![place.clone()]),
        }
    }
}

impl std::fmt::Display for Relayhost {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let name = self.place.name();
        if self.mx { write!(f, "{name}") } else { write!(f, "[{name}]") }?;
        self.port.map_or(Ok(()), |port| write!(f, ":{port}"))
    }
}

/// The places that take mail for `domain`, in the order in which they are tried. `own` is this
/// server's name: it and what is no better than it are left out.
pub(super) async fn places(
    domain: &str,
    resolver: &dyn Resolver,
    entropy: &dyn Entropy,
    own: &str,
) -> Result<Vec<Place>, NoRoute> {
    if let Some(literal) = domain.strip_prefix('[') {
        let address = literal_address(literal);
        let broken = || NoRoute::never("5.1.2", format!("{domain} is no address literal"));
        return Ok(vec![Place::Address(address.ok_or_else(broken)?)]);
    }
    match Name::parse(domain) {
        Ok(name) if !name.is_root() => exchangers(&name, resolver, entropy, Some(own)).await,
        _ => Err(NoRoute::never("5.1.2", format!("{domain} is no domain name"))),
    }
}

/// RFC 5321 §4.1.3, behind the opening bracket.
fn literal_address(literal: &str) -> Option<IpAddr> {
    let text = literal.strip_suffix(']')?;
    match text.get(..5).filter(|tag| tag.eq_ignore_ascii_case("IPv6:")) {
        Some(_) => text[5..].parse::<Ipv6Addr>().ok().map(IpAddr::V6),
        None => text.parse::<Ipv4Addr>().ok().map(IpAddr::V4),
    }
}

async fn exchangers(
    domain: &Name,
    resolver: &dyn Resolver,
    entropy: &dyn Entropy,
    own: Option<&str>,
) -> Result<Vec<Place>, NoRoute> {
    let mut records = match resolver.mx(domain).await {
        Lookup::Found { records, .. } => records,
        // The implicit MX: the domain's own address, with preference 0.
        Lookup::Absent { no_name: false, .. } => {
            vec![Mx { preference: 0, host: domain.clone() }]
        }
        Lookup::Absent { no_name: true, .. } => {
            return Err(NoRoute::never("5.1.2", format!("the domain {domain} does not exist")));
        }
        Lookup::Failed(error) => return Err(NoRoute::unknown("mail servers", domain, error)),
    };
    // RFC 7505 §3: one record, its host the root. Beside others it has no meaning.
    if records.iter().all(|mx| mx.host.is_root()) {
        return Err(NoRoute::never("5.1.10", format!("the domain {domain} takes no mail")));
    }
    records.retain(|mx| !mx.host.is_root());
    order(&mut records, entropy);
    if let Some(own) = own {
        let mine = records.iter().find(|mx| mx.host.as_str().eq_ignore_ascii_case(own));
        if let Some(preference) = mine.map(|mx| mx.preference) {
            records.retain(|mx| mx.preference < preference);
        }
        if records.is_empty() {
            return Err(loops(domain.as_str()));
        }
    }
    records.truncate(MX_HOSTS_MAX);
    Ok(records.into_iter().map(|mx| Place::Host(mx.host)).collect())
}

/// This server is the best place for a domain that is not its own (RFC 5321 §5.1).
pub(super) fn loops(domain: &str) -> NoRoute {
    let text = format!("mail for {domain} comes back to this server, which does not take it");
    NoRoute::never("5.4.6", text)
}

/// By preference; among equals by lot, so that the load is shared.
fn order(records: &mut [Mx], entropy: &dyn Entropy) {
    for at in (1..records.len()).rev() {
        let drawn = u64::from_le_bytes(entropy::bytes(entropy));
        records.swap(at, (drawn % (at as u64 + 1)) as usize);
    }
    records.sort_by_key(|mx| mx.preference);
}

/// What is known of a place's addresses.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Addresses {
    /// These, in the order in which they are tried.
    Some(Vec<IpAddr>),
    /// It has none: it cannot be reached, today or tomorrow.
    None(String),
    /// Nothing is known.
    Unknown(NoRoute),
}

/// The addresses of a place: the families in turn, IPv6 first, unless it is switched off.
pub(super) async fn addresses(place: &Place, resolver: &dyn Resolver, ipv6: bool) -> Addresses {
    let name = match place {
        Place::Address(address) => return Addresses::Some(vec![*address]),
        Place::Host(name) => name,
    };
    match resolver.addresses(name).await {
        Lookup::Found { records, .. } => {
            let (six, four): (Vec<_>, Vec<_>) = records.into_iter().partition(IpAddr::is_ipv6);
            let six = if ipv6 { six } else { Vec::new() };
            let mut out = Vec::new();
            for at in 0..six.len().max(four.len()) {
                out.extend(six.get(at));
                out.extend(four.get(at));
            }
            out.truncate(HOST_ADDRESSES_MAX);
            match out.is_empty() {
                true => Addresses::None(format!("{name} has only IPv6 addresses, which are off")),
                false => Addresses::Some(out),
            }
        }
        Lookup::Absent { .. } => Addresses::None(format!("{name} has no address")),
        Lookup::Failed(error) => Addresses::Unknown(NoRoute::unknown("addresses", name, error)),
    }
}

#[cfg(test)]
mod tests;
