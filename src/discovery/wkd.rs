//! Where a Web Key Directory keeps the key of an address: the two places, and the way from one to
//! another by redirect. Pure.
//!
//! # Standards
//! draft-koch-openpgp-webkey-service-22 §3.1, RFC 6189 §5.1.6 (z-base-32), RFC 3986 (URIs).
//!
//! # Known gaps
//! A redirect may lead to names within the mail domain only. Without a list of public suffixes
//! nothing else is surely the same owner's, so that a sub-domain cannot refer to its parent.

use crate::base::zbase32;
use crate::dns::Name;
use crate::mail::Address;
use crate::pgp;
use std::fmt::Write;

/// Octets of a redirect's target: twice the path of the longest local part.
const LOCATION_BYTES_MAX: usize = 2048;

/// What is asked of whom, always by HTTPS.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Place {
    /// The host.
    pub host: Name,
    /// Path and query, percent-encoded.
    pub path: String,
}

/// The name under which a directory keeps the key of `local_part`: 32 characters.
pub fn wkd_hash(local_part: &str) -> String {
    zbase32::encode(&pgp::wkd_digest(local_part))
}

/// The place that is asked first: a host of its own. `None` for a domain that is no name, such as
/// an address literal, and where the name would be too long.
pub(super) fn advanced(address: &Address) -> Option<Place> {
    let domain = Name::parse(address.domain()).ok()?;
    let host = domain.prepend("openpgpkey").ok()?;
    Some(Place { path: path(address, &format!("/{domain}")), host })
}

/// The place that is asked if the other host has no address.
pub(super) fn direct(address: &Address) -> Option<Place> {
    let host = Name::parse(address.domain()).ok()?;
    Some(Place { path: path(address, ""), host })
}

fn path(address: &Address, between: &str) -> String {
    let hash = wkd_hash(address.local());
    format!("/.well-known/openpgpkey{between}/hu/{hash}?l={}", escaped(address.local()))
}

/// RFC 3986 §2.3: all but the unreserved characters.
fn escaped(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
            out.push(char::from(byte));
        } else {
            let _ = write!(out, "%{byte:02X}");
        }
    }
    out
}

/// Where `location`, an answer from `from`, sends a question about an address at `domain`. Only
/// https, only the ports that questions go to, only names within the domain; else `None`.
pub(super) fn redirected(
    from: &Place,
    location: &str,
    domain: &Name,
    https_port: u16,
) -> Option<Place> {
    if location.len() > LOCATION_BYTES_MAX || !location.bytes().all(|b| b.is_ascii_graphic()) {
        return None;
    }
    let location = location.split('#').next().unwrap_or_default();
    let (host, path) = match (strip_scheme(location), location.strip_prefix("//")) {
        (Some(rest), _) | (None, Some(rest)) => authority(rest, https_port)?,
        (None, None) if location.starts_with('/') => (from.host.clone(), location.to_owned()),
        _ => return None,
    };
    if !host.is_within(domain) || path.contains('\\') {
        return None;
    }
    Some(Place { host, path })
}

fn strip_scheme(location: &str) -> Option<&str> {
    let (scheme, rest) = location.split_once("://")?;
    scheme.eq_ignore_ascii_case("https").then_some(rest)
}

/// RFC 3986 §3.2: host and port, without user information; and the path behind them.
fn authority(rest: &str, https_port: u16) -> Option<(Name, String)> {
    let end = rest.find(['/', '?']).unwrap_or(rest.len());
    let (authority, path) = rest.split_at(end);
    let (host, port) = match authority.split_once(':') {
        Some((host, port)) => (host, port.parse().ok()?),
        None => (authority, 443),
    };
    let host = Name::parse(host).ok().filter(|host| !host.is_root())?;
    let slash = if path.starts_with('/') { "" } else { "/" };
    (port == 443 || port == https_port).then(|| (host, format!("{slash}{path}")))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn address(text: &str) -> Address {
        text.parse().unwrap()
    }

    /// The draft's example, the keys of GnuPG's own tests, and a known directory.
    #[test]
    fn the_published_hashes_come_out() {
        for (local, hash) in [
            ("Joe.Doe", "iy9q119eutrkn8s1mk4r39qejnbu3n5q"),
            ("joe.doe", "iy9q119eutrkn8s1mk4r39qejnbu3n5q"),
            ("test1", "stnkabub89rpcphiz4ppbxixkwyt1pic"),
            ("patrice.lumumba", "gzfxrwe6o9qrddujrwnjran6nh41hfex"),
            ("test-wkd", "4hg7tescnttreaouu4z1izeuuyibwww1"),
        ] {
            assert_eq!(wkd_hash(local), hash, "{local}");
        }
        assert_ne!(wkd_hash("Ü"), wkd_hash("ü"), "only ASCII is mapped");
    }

    #[test]
    fn the_two_places_are_the_drafts() {
        let url = |place: Option<Place>| place.map(|p| format!("https://{}{}", p.host, p.path));
        let hash = "iy9q119eutrkn8s1mk4r39qejnbu3n5q";
        let joe = address("Joe.Doe@Example.ORG");
        assert_eq!(
            url(advanced(&joe)).unwrap(),
            format!(
                "https://openpgpkey.example.org/.well-known/openpgpkey/example.org/hu/{hash}\
                 ?l=Joe.Doe"
            )
        );
        assert_eq!(
            url(direct(&joe)).unwrap(),
            format!("https://example.org/.well-known/openpgpkey/hu/{hash}?l=Joe.Doe")
        );
        for (text, query) in [
            ("a+b@x.example", "?l=a%2Bb"),
            ("\"a b&c=d\"@x.example", "?l=a%20b%26c%3Dd"),
            ("\"ü/../x\"@bücher.example", "?l=%C3%BC%2F..%2Fx"),
            ("a?l=b#c@x.example", "?l=a%3Fl%3Db%23c"),
        ] {
            assert!(url(direct(&address(text))).unwrap().ends_with(query), "{text}");
        }
        let idn = url(direct(&address("ü@bücher.example"))).unwrap();
        assert!(idn.starts_with("https://xn--bcher-kva.example/"), "{idn}");
        assert_eq!(advanced(&address("x@[192.0.2.1]")), None);
        assert_eq!(direct(&address("x@[IPv6:2001:db8::1]")), None);
    }

    #[test]
    fn redirects_stay_with_https_and_the_domain() {
        let domain = Name::parse("example.org").unwrap();
        let from = advanced(&address("joe@example.org")).unwrap();
        let follow = |location: &str| {
            redirected(&from, location, &domain, 8443).map(|p| format!("{}{}", p.host, p.path))
        };
        for (location, place) in [
            ("https://keys.example.org/x?l=joe", "keys.example.org/x?l=joe"),
            ("HTTPS://Example.ORG/x#top", "example.org/x"),
            ("https://example.org:443/x", "example.org/x"),
            ("https://example.org:8443", "example.org/"),
            ("https://example.org?x", "example.org/?x"),
            ("/elsewhere", "openpgpkey.example.org/elsewhere"),
            ("//www.example.org/x", "www.example.org/x"),
        ] {
            assert_eq!(follow(location).as_deref(), Some(place), "{location}");
        }
        let long = format!("/{}", "x".repeat(LOCATION_BYTES_MAX));
        for location in [
            "",
            "x",
            "?x",
            "http://example.org/x",
            "ftp://example.org/x",
            "javascript:alert(1)",
            "https://evil.example/x",
            "https://evilexample.org/x",
            "https://example.org.evil.example/x",
            "https://example.org@evil.example/x",
            "https://user@example.org/x",
            "https://example.org:22/x",
            "https://example.org:/x",
            "https://example.org:99999/x",
            "https://127.0.0.1/x",
            "https://[::1]/x",
            "https://localhost/x",
            "https:///x",
            "https://org/x",
            "///x",
            "/x y",
            "/x\r\nHost: evil.example",
            "/\\evil.example",
            "\\\\evil.example/x",
            "//evil.example/x",
            long.as_str(),
        ] {
            assert_eq!(follow(location), None, "{location:?}");
        }
    }

    proptest! {
        #[test]
        fn no_location_leads_out_of_the_domain(
            location in "(https?:)?/{0,3}\\PC{0,20}(example\\.org)?[:@/?#.\\\\]?\\PC{0,20}"
        ) {
            let domain = Name::parse("example.org").unwrap();
            let from = direct(&address("joe@example.org")).unwrap();
            if let Some(place) = redirected(&from, &location, &domain, 443) {
                prop_assert!(place.host.is_within(&domain));
                prop_assert!(place.path.starts_with('/'));
                prop_assert!(place.path.bytes().all(|b| b.is_ascii_graphic()));
            }
        }

        #[test]
        fn every_address_has_a_place_of_safe_characters(local in "[^\\p{C}]{1,20}") {
            let base = address("x@example.org");
            if let Ok(address) = base.with_local(&local) {
                let place = direct(&address).unwrap();
                prop_assert!(place.path.bytes().all(|b| b.is_ascii_graphic()));
                prop_assert_eq!(place.path.matches('?').count(), 1);
                prop_assert_eq!(wkd_hash(address.local()).len(), 32);
            }
        }
    }
}
