//! Verdicts over a written zone: nothing is asked on the wire.

use super::*;
use crate::base::clock::{ManualClock, UnixTime};
use crate::host::dkim_key::DkimKey;
use crate::mail::{Address, ProvedFields};
use crate::mailauth::{ArcResult, KeyKind, Signer, SigningKey, key_record, only_author};
use hickory_resolver::config::NameServerConfig;

const FAR: &str = "198.51.100.7";

/// RFC 8463 §A.3.
const RFC_8463: &str = "DKIM-Signature: v=1; a=ed25519-sha256; c=relaxed/relaxed;\n \
    d=football.example.com; i=@football.example.com;\n \
    q=dns/txt; s=brisbane; t=1528637909; h=from : to :\n \
    subject : date : message-id : from : subject : date;\n \
    bh=2jUSOH9NhtVGCQWNr9BrIAPreKQjO6Sn7XIkfJVOzv8=;\n \
    b=/gCrinpcQOoIfuHNQIbq4pgh9kyIK3AQUdt9OdqQehSwhEIug4D11Bus\n \
    Fa3bT3FY5OsU7ZbnKELq+eXdp1Q1Dw==\n\
    DKIM-Signature: v=1; a=rsa-sha256; c=relaxed/relaxed;\n \
    d=football.example.com; i=@football.example.com;\n \
    q=dns/txt; s=test; t=1528637909; h=from : to : subject :\n \
    date : message-id : from : subject : date;\n \
    bh=2jUSOH9NhtVGCQWNr9BrIAPreKQjO6Sn7XIkfJVOzv8=;\n \
    b=F45dVWDfMbQDGHJFlXUNB2HKfbCeLRyhDXgFpEL8GwpsRe0IeIixNTe3\n \
    DhCVlUrSjV4BwcVcOF6+FF3Zo9Rpo1tFOeS9mPYQTnGdaSGsgeefOsk2Jz\n \
    dA+L10TeYt9BgDfQNZtKdN1WO//KgIqXP7OdEFE4LjFYNcUxZQ4FADY+8=\n\
    From: Joe SixPack <joe@football.example.com>\n\
    To: Suzie Q <suzie@shopping.example.net>\n\
    Subject: Is dinner ready?\n\
    Date: Fri, 11 Jul 2003 21:00:37 -0700 (PDT)\n\
    Message-ID: <20030712040037.46341.5F8J@football.example.com>\n\
    \n\
    Hi.\n\
    \n\
    We lost the game.  Are you hungry yet?\n\
    \n\
    Joe.\n";

/// RFC 8463 §A.2, and what the other tests ask for.
const ZONE: &str = "\
brisbane._domainkey.football.example.com TXT \
\"v=DKIM1; k=ed25519; p=11qYAYKxCrfVS/7TyWQHOg7hcvPapiMlrwIaaPcHURo=\"\n\
test._domainkey.football.example.com TXT \"v=DKIM1; k=rsa; \
p=MIGfMA0GCSqGSIb3DQEBAQUAA4GNADCBiQKBgQDkHlOQoBTzWRiGs5V6NpP3idY6Wk08a5qhdR6wy5bdOKb2jLQi\
Y/J16JYi0Qvx/byYzCNb3W91y3FutACDfzwQ/BC/e/8uBsCR+yz1Lxj+PL6lHvqMKrM3rG4hstT5QjvHO9PzoxZyVYLz\
BfO2EeC3Ip3G+2kryOTIKT+l/K4w3QIDAQAB\"\n\
ours.example TXT \"v=spf1 ip4:198.51.100.7 -all\"\n\
_dmarc.ours.example TXT \"v=DMARC1; p=reject\"\n\
strict.example TXT \"v=spf1 mx ~all\"\n\
strict.example MX 10 mail.strict.example\n\
mail.strict.example A 198.51.100.8\n\
_dmarc.strict.example TXT \"v=DMARC1; p=quarantine; adkim=s\"\n\
odd.example TXT \"v=spf1 exists:any.example -all\"\n\
lame.example SERVFAIL\n\
_dmarc.lame.example SERVFAIL\n";

fn check_with(zone: &str) -> SenderCheck {
    let zone = Arc::new(Zone::parse(zone).unwrap());
    SenderCheck::new(resolver(Vec::new()), Some(zone))
}

fn resolver(servers: Vec<NameServerConfig>) -> TokioResolver {
    let config = ResolverConfig::from_parts(None, Vec::new(), servers);
    TokioResolver::builder_with_config(config, TokioRuntimeProvider::default()).build().unwrap()
}

async fn verdicts(check: &SenderCheck, peer: &str, from: &str, message: &str) -> Verdicts {
    let from = Address::parse(from.as_bytes()).ok();
    let envelope = Envelope {
        peer: peer.parse().unwrap(),
        helo: "mail.ours.example",
        from: from.as_ref(),
        hostname: "mx.here.example",
    };
    let message = message.replace("\r\n", "\n").replace('\n', "\r\n");
    check.check(envelope, message.as_bytes(), Duration::from_secs(5)).await
}

fn proved(verdicts: &Verdicts, message: &str) -> bool {
    let header = Outline::of(message.as_bytes()).header;
    only_author(header).is_some_and(|author| verdicts.proves(author.domain()))
}

#[tokio::test]
async fn the_message_of_rfc_8463_passes_twice_and_any_change_fails() {
    let check = check_with(ZONE);
    let found = verdicts(&check, "127.0.0.1", "", RFC_8463).await;
    let results: Vec<_> = found.dkim.iter().map(|v| (v.algorithm, v.result)).collect();
    let expected = [("ed25519-sha256", DkimResult::Pass), ("rsa-sha256", DkimResult::Pass)];
    assert_eq!(results, expected);
    assert!(proved(&found, RFC_8463));
    for (from, to) in [
        ("hungry", "Hungry"),
        ("Is dinner", "is dinner"),
        ("To: Suzie", "Subject: added\nTo: Suzie"),
        ("d=football.example.com", "d=footbal1.example.com"),
        ("t=1528637909", "t=1528637910"),
    ] {
        let changed = RFC_8463.replace(from, to);
        let found = verdicts(&check, "127.0.0.1", "", &changed).await;
        assert!(found.dkim.iter().all(|v| v.result != DkimResult::Pass), "{to}");
        assert!(!proved(&found, &changed));
    }
    let twice = RFC_8463.replace("To: Suzie", "From: Boss <boss@other.example>\nTo: Suzie");
    assert!(!proved(&verdicts(&check, "127.0.0.1", "", &twice).await, &twice));
    let unsigned_extra = format!("X-Added: yes\n{RFC_8463}");
    assert!(proved(&verdicts(&check, FAR, "", &unsigned_extra).await, &unsigned_extra));
}

/// Who mails a signed message again puts in front what the signature does not name.
#[tokio::test]
async fn a_signature_proves_the_fields_that_it_covers_and_no_other() {
    let check = check_with(ZONE);
    let covered = async |added: &str| {
        let found = verdicts(&check, FAR, "", &format!("{added}{RFC_8463}")).await;
        let fields = found.proved("football.example.com");
        assert_eq!(found.proved("other.example"), ProvedFields::NONE);
        ["From", "To", "Cc", "Subject", "Comments"].map(|name| fields.has(name.as_bytes()))
    };
    assert_eq!(covered("").await, [true, true, false, true, false]);
    assert_eq!(covered("Cc: eve@x.example\n").await, [true, true, false, true, false]);
    assert_eq!(covered("To: eve@x.example\n").await, [true, false, false, true, false]);
    assert_eq!(covered("Comments: x\nTo : eve@x\n").await, [true, false, false, true, false]);
    assert_eq!(covered("Subject: x\n").await, [false; 5], "that would break it");
}

#[tokio::test]
async fn a_damaged_message_is_judged_without_panic_and_never_proved() {
    let check = check_with(ZONE);
    let octets = RFC_8463.as_bytes();
    let body = RFC_8463.find("\n\n").unwrap();
    for at in (0..octets.len()).step_by(3) {
        for new in [b"".as_slice(), b"\n", b":", b";", b"=", b"\xff", b"\n From: x@y.example\n"] {
            let damaged = [&octets[..at], new, &octets[at + 1..]].concat();
            let message = String::from_utf8_lossy(&damaged).into_owned();
            let found = verdicts(&check, FAR, "a@ours.example", &message).await;
            // A header may be damaged where one of its two signatures does not look, and white
            // space at the end of a body is not signed.
            let is_text = at > body && octets[at].is_ascii_alphabetic();
            assert!(!is_text || !proved(&found, &message), "{at} {new:?}");
        }
    }
}

#[tokio::test]
async fn a_pass_of_another_domain_proves_nothing() {
    let check = check_with(ZONE);
    let other = RFC_8463.replace("from :", "to :");
    let found = verdicts(&check, "127.0.0.1", "", &other).await;
    assert!(found.dkim.iter().all(|v| v.result == DkimResult::PermError));
    let mut found = verdicts(&check, "127.0.0.1", "", RFC_8463).await;
    assert!(found.proves("football.example.com") && found.proves("sub.football.example.com"));
    assert!(!found.proves("example.com") && !found.proves("other.example"));
    found.dmarc = Some(DmarcVerdict {
        result: DmarcResult::Pass,
        policy: Policy::Reject,
        domain: "football.example.com".into(),
        strict_dkim: true,
    });
    assert!(found.proves("football.example.com") && !found.proves("sub.football.example.com"));
}

#[tokio::test]
async fn what_is_signed_here_is_believed_there() {
    let dir = std::env::temp_dir().join(format!("postseal-sign-{}", std::process::id()));
    let keys = [KeyKind::Ed25519, KeyKind::Rsa].map(|kind| {
        let key = DkimKey::create(&dir.join(kind.word()), kind).unwrap();
        Arc::new(key) as Arc<dyn SigningKey>
    });
    std::fs::remove_dir_all(&dir).unwrap();
    let records = keys.iter().map(|key| {
        let selector = key.kind().selector("s");
        format!("{selector}._domainkey.ours.example TXT {}\n", key_record(key.as_ref()))
    });
    let check = check_with(&(ZONE.to_owned() + &records.collect::<String>()));
    let clock = Arc::new(ManualClock::new(UnixTime(1_700_000_000)));
    let domains = vec!["ours.example".into()];
    let signer = Signer::new(keys.to_vec(), "s".into(), domains, clock);
    for message in [
        "From: a@ours.example\r\nSubject:  x\t y \r\n z\r\nTo: b@c.example\r\n\r\nHi \r\n\r\n\r\n",
        "From: a@ours.example\r\n\r\n",
        "From: a@ours.example\r\nTo: x@y.example\r\nTo: z@y.example\r\n\r\nno end of line",
        "from: \"A\"\r\n\t<a@ours.example>\r\nReceived: x\r\nContent-Type: text/plain;\r\n\
         \tcharset=utf-8\r\n\r\n\r\n\r\n \t \r\nx  \ty\r\n",
    ] {
        let fields = signer.sign(message.as_bytes(), "ours.example").unwrap();
        let signed = String::from_utf8(fields).unwrap() + message;
        let found = verdicts(&check, FAR, "a@ours.example", &signed).await;
        let results: Vec<_> = found.dkim.iter().map(|v| v.result).collect();
        assert_eq!(results, [DkimResult::Pass; 2], "{signed}");
        assert!(proved(&found, &signed));
        assert_eq!(found.dmarc.unwrap().result, DmarcResult::Pass);
        for added in ["From: b@ours.example\r\n", "Subject: new\r\n", "Cc: new@c.example\r\n"] {
            let changed = format!("{added}{signed}");
            let found = verdicts(&check, FAR, "a@ours.example", &changed).await;
            assert!(found.dkim.iter().all(|v| v.result == DkimResult::Fail), "{changed}");
        }
    }
}

#[tokio::test]
async fn spf_and_dmarc_follow_the_records() {
    let check = check_with(ZONE);
    let none = DmarcResult::None;
    for (peer, path, author, spf, dmarc, policy) in [
        (FAR, "a@ours.example", "a@ours.example", "pass", DmarcResult::Pass, Policy::None),
        (FAR, "a@ours.example", "a@sub.ours.example", "pass", DmarcResult::Pass, Policy::None),
        (
            "198.51.100.9",
            "a@ours.example",
            "a@ours.example",
            "fail",
            DmarcResult::Fail,
            Policy::Reject,
        ),
        (FAR, "a@ours.example", "a@strict.example", "pass", DmarcResult::Fail, Policy::Quarantine),
        (
            "198.51.100.8",
            "a@strict.example",
            "a@strict.example",
            "pass",
            DmarcResult::Pass,
            Policy::None,
        ),
        (FAR, "a@strict.example", "a@none.example", "softfail", none, Policy::None),
        (FAR, "a@none.example", "a@none.example", "none", none, Policy::None),
        (FAR, "a@odd.example", "a@none.example", "permerror", none, Policy::None),
        (FAR, "a@lame.example", "a@none.example", "temperror", none, Policy::None),
        (FAR, "a@none.example", "a@lame.example", "none", DmarcResult::TempError, Policy::None),
        // The null path: the name of HELO.
        (FAR, "", "a@ours.example", "none", DmarcResult::Fail, Policy::Reject),
        (FAR, "a@none.example", "a@[192.0.2.1]", "none", none, Policy::None),
        (
            FAR,
            "a@none.example",
            "a@ours.example, b@none.example",
            "none",
            DmarcResult::Fail,
            Policy::Reject,
        ),
        (
            FAR,
            "a@ours.example",
            "a@ours.example, b@none.example, c@strict.example",
            "pass",
            DmarcResult::Fail,
            Policy::Quarantine,
        ),
        (FAR, "a@ours.example", "a@ours.example, b@none.example", "pass", none, Policy::None),
    ] {
        let message = format!("From: {author}\r\n\r\nx\r\n");
        let found = verdicts(&check, peer, path, &message).await;
        let row = format!("{peer} {path} {author}: {found:?}");
        assert_eq!(found.spf.as_ref().map(|v| v.result.word()), Some(spf), "{row}");
        assert_eq!(found.dmarc.as_ref().map(|v| v.result), Some(dmarc), "{row}");
        assert_eq!(found.policy(), policy, "{row}");
        assert!(!proved(&found, &message), "SPF proves nobody: {row}");
    }
}

/// The author who is shown is not the one who is asked, or nobody is.
#[tokio::test]
async fn a_from_that_is_not_clear_does_not_evade_a_policy() {
    let check = check_with(ZONE);
    let long = format!("From: {}a@ours.example", "x ".repeat(5000));
    for header in [
        "From: a@none.example\r\nFrom: b@ours.example",
        "From : b@ours.example\r\nFrom: a@none.example",
        "From : b@ours.example",
        "From: boss: b@ours.example;",
        "From: b@ours.example.",
        "From: b@ours..example",
        "From: a@none.example\r\nno field\r\nFrom: b@ours.example",
        " x\r\nFrom: b@ours.example",
        "Sender: b@ours.example",
        &long,
    ] {
        let message = format!("{header}\r\n\r\nx\r\n");
        let found = verdicts(&check, FAR, "a@none.example", &message).await;
        assert_eq!(found.policy(), Policy::Quarantine, "{header}");
        assert!(!proved(&found, &message));
        let near = verdicts(&check, "10.0.0.1", "a@none.example", &message).await;
        assert_eq!(near.policy(), Policy::None, "mail of this house is not judged: {header}");
    }
}

#[tokio::test]
async fn a_near_peer_is_not_judged_by_where_it_is() {
    // Without a zone, and with a name server that never answers, a question would take a second.
    let server = NameServerConfig::udp("192.0.2.254".parse().unwrap());
    let check = SenderCheck::new(resolver(vec![server]), None);
    let began = std::time::Instant::now();
    for peer in ["127.0.0.1", "10.0.0.1", "fd00::1"] {
        let found = verdicts(&check, peer, "a@ours.example", "From: a@ours.example\n\nx\n").await;
        assert_eq!(found, Verdicts::default());
    }
    assert!(began.elapsed() < Duration::from_millis(500));
    let check = check_with(ZONE);
    let forged = RFC_8463.replace("hungry", "Hungry");
    let found = verdicts(&check, "10.0.0.1", "a@ours.example", &forged).await;
    assert_eq!((found.spf, found.dmarc), (None, None));
}

#[tokio::test]
async fn what_is_not_known_in_time_is_a_temporary_error() {
    let server = NameServerConfig::udp("192.0.2.254".parse().unwrap());
    let check = SenderCheck::new(resolver(vec![server]), None);
    let from: Address = "a@ours.example".parse().unwrap();
    let peer = FAR.parse().unwrap();
    let envelope = Envelope { peer, helo: "x.example", from: Some(&from), hostname: "h.example" };
    let message = RFC_8463.replace('\n', "\r\n");
    let began = std::time::Instant::now();
    let time_max = Duration::from_millis(100);
    let found = check.check(envelope, message.as_bytes(), time_max).await;
    assert!(began.elapsed() < Duration::from_secs(1), "{:?}", began.elapsed());
    assert_eq!(found.spf.unwrap().result, SpfResult::TempError);
    assert!(found.dkim.iter().all(|v| v.result == DkimResult::TempError));
    assert_eq!(found.dmarc.unwrap().result, DmarcResult::TempError);
}

#[tokio::test]
async fn floods_are_bounded_in_time() {
    let check = check_with(ZONE);
    let field = "DKIM-Signature: v=1; a=rsa-sha256; c=simple/relaxed; d=football.example.com; \
        s=test; h=from; bh=2jUSOH9NhtVGCQWNr9BrIAPreKQjO6Sn7XIkfJVOzv8=; b=AAAA\n";
    let names = format!("h=from{};", ":x".repeat(60_000));
    let chain = |i: usize| {
        format!(
            "ARC-Seal: i={i}; a=rsa-sha256; cv=pass; d=football.example.com; s=test; b=AAAA\n\
             ARC-Message-Signature: i={i}; a=rsa-sha256; d=football.example.com; s=test; h=from; \
             bh=AAAA; b=AAAA\nARC-Authentication-Results: i={i}; x; none\n"
        )
    };
    let floods = [
        field.repeat(10_000),
        field.repeat(900),
        field.replace("h=from;", &names).repeat(2),
        format!("X: {}\n{field}", "y".repeat(1 << 20)),
        "X: y\n".repeat(200_000) + field,
        (1..50).map(chain).collect(),
        "From: x\n".repeat(30_000),
    ];
    for flood in floods {
        let began = std::time::Instant::now();
        let message = format!("{flood}{RFC_8463}{}", "Hi.\r\n".repeat(200_000));
        let found = verdicts(&check, FAR, "a@ours.example", &message).await;
        assert!(found.dkim.len() <= 5 && began.elapsed() < Duration::from_secs(3), "{found:?}");
    }
}

#[tokio::test]
async fn a_chain_that_is_none_is_said_so() {
    let check = check_with(ZONE);
    for chain in [
        "ARC-Seal: i=1; a=rsa-sha256; cv=none; d=b.example; s=x; b=AAAA\n".to_owned(),
        "ARC-Seal: i=0; cv=none\n".to_owned(),
        "ARC-Message-Signature: i=1; a=rsa-sha1; d=b; s=x; h=from; bh=AAAA; b=AAAA\n\
         ARC-Seal: i=1; a=rsa-sha256; cv=none; d=b.example; s=x; b=AAAA\n\
         ARC-Authentication-Results: i=1; x; none\n"
            .to_owned(),
    ] {
        let message = format!("{chain}{RFC_8463}");
        let found = verdicts(&check, "127.0.0.1", "", &message).await;
        assert_eq!(found.arc, Some(ArcResult::Fail), "{chain}");
        assert!(proved(&found, &message), "a chain does not unprove");
    }
}
