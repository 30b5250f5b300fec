//! The fields that a receiver puts in front of a message (RFC 5321 §4.4), and the count of those
//! that others put there (§6.3).
//!
//! On port 25 the Received field names the client's address, as the standard asks. Of a user's own
//! submission it does not: where somebody sat when he wrote is nobody's business.

use std::net::IpAddr;

use crate::base::clock::UnixTime;
use crate::mail::{Address, DateTime, header};
use crate::seams::TlsFacts;

/// What is said of an arrival.
pub(super) struct Arrival<'a> {
    pub hostname: &'a str,
    pub id: &'a str,
    pub from: Option<&'a Address>,
    /// The client's address; `None` for a submission.
    pub peer: Option<IpAddr>,
    /// The name of EHLO or HELO, cleaned, and whether it was EHLO.
    pub helo: Option<(&'a str, bool)>,
    pub tls: Option<&'a TlsFacts>,
    pub authenticated: bool,
    /// SMTPUTF8 was asked for.
    pub utf8: bool,
    /// The recipient, if there is exactly one: others must not learn of each other.
    pub only_recipient: Option<&'a Address>,
    pub at: UnixTime,
}

/// Return-Path and Received.
pub(super) fn fields(arrival: &Arrival<'_>) -> Vec<u8> {
    let mut out = Vec::with_capacity(512);
    let path = arrival.from.map(Address::to_string).unwrap_or_default();
    let mut pieces = Vec::new();
    if let Some(peer) = arrival.peer {
        let name = arrival.helo.map_or("unknown", |(name, _)| name);
        pieces.push(format!("from {name} ({})", literal(peer)));
    }
    let tls = arrival.tls.map(|tls| format!(" ({} {})", tls.version, tls.cipher));
    pieces.push(format!(
        "by {} with {}{}",
        arrival.hostname,
        protocol(arrival),
        tls.unwrap_or_default()
    ));
    pieces.push(format!("id {}", arrival.id));
    if let Some(recipient) = arrival.only_recipient {
        pieces.push(format!("for <{recipient}>"));
    }
    let date = DateTime::from_unix(arrival.at, 0).to_rfc5322();
    if let Some(last) = pieces.last_mut() {
        last.push(';');
    }
    pieces.push(date);
    let pieces: Vec<_> = pieces.iter().map(String::as_bytes).collect();
    // Neither an address nor a cleaned name can hold what the writer refuses.
    let written = header::write(&mut out, "Return-Path", format!("<{path}>").as_bytes())
        .and_then(|()| header::write_folded(&mut out, "Received", &pieces));
    debug_assert!(written.is_ok());
    out
}

/// Takes out the mbox lines (`From a@b.example Thu ...`) that programs leave in front of a message.
/// Behind what the receiver wrote one would end the header: the rest of it would be text for us,
/// and for others who knows what.
pub(super) fn drop_mbox_lines(message: &mut Vec<u8>, prefix_bytes: usize) {
    let bytes = header::mbox_bytes(&message[prefix_bytes..]);
    message.drain(prefix_bytes..prefix_bytes + bytes);
}

/// How many servers a message says to have come through.
pub(super) fn hops(message: &[u8]) -> usize {
    header::fields(message).filter(|field| field.is("Received")).count()
}

/// RFC 3848, and RFC 6531 §4.3.
fn protocol(arrival: &Arrival<'_>) -> &'static str {
    let extended = arrival.helo.is_some_and(|(_, extended)| extended);
    if arrival.utf8 {
        return match (arrival.tls.is_some(), arrival.authenticated) {
            (false, false) => "UTF8SMTP",
            (true, false) => "UTF8SMTPS",
            (false, true) => "UTF8SMTPA",
            (true, true) => "UTF8SMTPSA",
        };
    }
    match (extended, arrival.tls.is_some(), arrival.authenticated) {
        (false, false, false) => "SMTP",
        (true, false, false) => "ESMTP",
        (_, true, false) => "ESMTPS",
        (_, false, true) => "ESMTPA",
        (_, true, true) => "ESMTPSA",
    }
}

/// RFC 5321 §4.1.3.
fn literal(peer: IpAddr) -> String {
    match peer.to_canonical() {
        IpAddr::V4(v4) => format!("[{v4}]"),
        IpAddr::V6(v6) => format!("[IPv6:{v6}]"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn written(change: impl FnOnce(&mut Arrival<'static>)) -> String {
        let mut arrival = Arrival {
            hostname: "mx.ours.example",
            id: "0011",
            from: None,
            peer: Some("2001:db8::1".parse().unwrap()),
            helo: Some(("client.example", true)),
            tls: None,
            authenticated: false,
            utf8: false,
            only_recipient: None,
            at: UnixTime(880_127_706),
        };
        change(&mut arrival);
        String::from_utf8(fields(&arrival)).unwrap()
    }

    #[test]
    fn port_25_names_the_client() {
        assert_eq!(
            written(|_| {}),
            "Return-Path: <>\r\nReceived: from client.example ([IPv6:2001:db8::1])\r\n\t\
             by mx.ours.example with ESMTP\r\n\tid 0011;\r\n\tFri, 21 Nov 1997 15:55:06 +0000\r\n"
        );
    }

    #[test]
    fn a_submission_does_not_say_where_its_writer_was() {
        let address: &'static Address = Box::leak(Box::new("a@b.example".parse().unwrap()));
        let facts = TlsFacts { version: "TLSv1.3", cipher: "X", server_name: None };
        let facts: &'static TlsFacts = Box::leak(Box::new(facts));
        let text = written(|arrival| {
            (arrival.peer, arrival.authenticated) = (None, true);
            (arrival.from, arrival.only_recipient) = (Some(address), Some(address));
            arrival.tls = Some(facts);
        });
        assert_eq!(
            text,
            "Return-Path: <a@b.example>\r\n\
             Received: by mx.ours.example with ESMTPSA (TLSv1.3 X)\r\n\t\
             id 0011\r\n\tfor <a@b.example>;\r\n\tFri, 21 Nov 1997 15:55:06 +0000\r\n"
        );
        assert!(!text.contains("client.example"));
    }

    #[test]
    fn utf8_is_named_as_rfc_6531_says() {
        assert!(written(|arrival| arrival.utf8 = true).contains(" with UTF8SMTP\r\n"));
        let text = written(|arrival| (arrival.utf8, arrival.authenticated) = (true, true));
        assert!(text.contains(" with UTF8SMTPA\r\n"));
    }

    #[test]
    fn hops_are_the_received_fields_of_the_header() {
        assert_eq!(hops(b"Received: a\r\n b\r\nX: y\r\nRECEIVED: c\r\n\r\nReceived: d\r\n"), 2);
    }
}
