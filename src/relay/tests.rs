//! Whole sessions over a pipe, with virtual time and stand-ins for the mailbox role.

use std::net::IpAddr;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream, duplex};
use tokio::sync::watch;
use tokio::task::JoinHandle;

use super::*;
mod submit;

use crate::base::BoxFuture;
use crate::base::budget::ByteBudget;
use crate::base::clock::{ManualClock, UnixTime};
use crate::base::entropy::SeededEntropy;
use crate::base::event::Log;
use crate::base::event::testing::Recorder;
use crate::base::ids::AccountNumber;
use crate::discovery::{Circle, FindKey, Verdict};
use crate::mail::Address;
use crate::mailauth::{CheckSender, DkimResult, DkimVerdict, Envelope, Verdicts};
use crate::seams::{
    AuthRequest, AuthVerdict, Authenticate, BoxStream, Deliver, DeliverError, Delivery,
    RecipientVerdict, TlsFacts, TlsStream, UpgradeTls,
};
use crate::smtp::BareNewlines;

/// Knows alice (1), bob (2), full, locked of ours.example; stores what it is given.
#[derive(Default)]
struct Mailbox {
    stored: Mutex<Vec<Delivery>>,
    fails: Mutex<Option<DeliverError>>,
    /// Storing takes for ever.
    stuck: Mutex<bool>,
    /// Is called when a message comes.
    before: Mutex<Option<Box<dyn Fn() + Send>>>,
}

impl Deliver for Mailbox {
    fn recipient<'a>(&'a self, address: &'a Address) -> BoxFuture<'a, RecipientVerdict> {
        let verdict = match (address.local().to_lowercase().as_str(), address.domain()) {
            (_, domain) if !["ours.example", "also.example"].contains(&domain) => {
                RecipientVerdict::NotLocal
            }
            ("alice", _) => RecipientVerdict::Local(AccountNumber(1)),
            ("bob", _) => RecipientVerdict::Local(AccountNumber(2)),
            // An account whose name looks like one of alice's details.
            ("alice+club", _) => RecipientVerdict::Local(AccountNumber(3)),
            ("full", _) => RecipientVerdict::OverQuota,
            ("locked", _) => RecipientVerdict::Unavailable,
            _ => RecipientVerdict::Unknown,
        };
        Box::pin(async move { verdict })
    }

    fn deliver(&self, delivery: Delivery) -> BoxFuture<'_, Result<(), DeliverError>> {
        if let Some(before) = &*self.before.lock().unwrap() {
            before();
        }
        Box::pin(async move {
            if *self.stuck.lock().unwrap() {
                std::future::pending::<()>().await;
            }
            if let Some(error) = *self.fails.lock().unwrap() {
                return Err(error);
            }
            self.stored.lock().unwrap().push(delivery);
            Ok(())
        })
    }
}

struct Logins;

impl Authenticate for Logins {
    fn login(&self, request: AuthRequest) -> BoxFuture<'_, AuthVerdict> {
        let right = request.user == "alice" && request.password.expose() == b"secret";
        Box::pin(async move {
            match right {
                true => AuthVerdict::Accepted {
                    account: AccountNumber(1),
                    address: "alice@ours.example".parse().unwrap(),
                },
                false => AuthVerdict::Refused,
            }
        })
    }
}

/// A handshake of one line each way.
struct Handshake;

impl UpgradeTls for Handshake {
    fn accept(&self, mut stream: BoxStream) -> BoxFuture<'_, std::io::Result<TlsStream>> {
        Box::pin(async move {
            let mut hello = [0; 6];
            stream.read_exact(&mut hello).await?;
            if &hello != b"HELLO\n" {
                return Err(std::io::ErrorKind::InvalidData.into());
            }
            let facts = TlsFacts { version: "TLSv1.3", cipher: "TEST", server_name: None };
            Ok(TlsStream { stream, facts })
        })
    }
}

/// Knows one certificate of whoever is at b.example, and remembers what it is told.
#[derive(Default)]
pub(super) struct Keys(Mutex<Vec<String>>);

pub(super) const KNOWN: &[u8] = b"certificate";

impl FindKey for Keys {
    fn find<'a>(&'a self, _: &'a Address, _: Duration) -> BoxFuture<'a, Verdict> {
        unreachable!("nobody is asked when mail comes")
    }

    fn known(&self, address: &Address) -> Option<Vec<u8>> {
        (address.domain() == "b.example").then(|| KNOWN.to_vec())
    }

    fn note_confidential(&self, _: Circle, message_id: &str) {
        self.0.lock().unwrap().push(message_id.to_owned());
    }

    fn is_confidential(&self, _: Option<AccountNumber>, message_id: &str) -> bool {
        self.0.lock().unwrap().iter().any(|id| id == message_id)
    }
}

struct Site {
    keys: Arc<Keys>,
    clock: Arc<ManualClock>,
    receiver: Arc<Receiver>,
    mailbox: Arc<Mailbox>,
    log: Arc<Recorder>,
    drain: watch::Sender<bool>,
    budget: ByteBudget,
}

const ALIASES: &str = "sales: alice, bob\nteam: sales+x, alice\nloop: pool\npool: loop\n\
    half: alice, nobody\ngone: nobody\n\
    away: x@elsewhere.example\nalice: alice, bob\nmany: full, alice\n";

fn options() -> Options {
    let domains = ["ours.example".to_owned(), "also.example".to_owned()];
    Options {
        hostname: "mx.ours.example".into(),
        aliases: Aliases::read(ALIASES, &domains).unwrap(),
        local_domains: domains.into(),
        postmaster: Some("bob@ours.example".parse().unwrap()),
        recipient_delimiter: Some('+'),
        incoming: Incoming::default(),
        limits: Limits { message_bytes_max: 20_000, ..Limits::default() },
        submission: SubmissionOptions::default(),
    }
}

/// A world whose mailbox and log nobody looks at.
pub(super) fn world(check_sender: Option<Arc<dyn CheckSender>>) -> World {
    World {
        deliver: Arc::new(Mailbox::default()),
        outbound: None,
        check_sender,
        keys: Some(Arc::new(Keys::default())),
        authenticate: Arc::new(Logins),
        tls: Some(Arc::new(Handshake)),
        message_budget: ByteBudget::new(1024 * 1024),
        clock: Arc::new(ManualClock::new(UnixTime(880_127_706))),
        entropy: Arc::new(SeededEntropy::new(7)),
        log: Log::silent(),
    }
}

fn site_with(options: Options) -> Site {
    site_in(options, None)
}

fn site_in(options: Options, outbound: Option<Outbound>) -> Site {
    let clock = Arc::new(ManualClock::new(UnixTime(880_127_706)));
    let (mailbox, log) = (Arc::new(Mailbox::default()), Arc::new(Recorder::default()));
    let mut world = world(None);
    (world.deliver, world.log) = (mailbox.clone(), Log::new(log.clone()));
    (world.outbound, world.clock) = (outbound, clock.clone());
    let (budget, keys) = (world.message_budget.clone(), Arc::new(Keys::default()));
    world.keys = Some(keys.clone());
    let receiver = Receiver::new(options, world);
    Site { keys, clock, receiver, mailbox, log, drain: watch::Sender::new(false), budget }
}

fn site() -> Site {
    site_with(options())
}

/// The client's end of a session.
struct Client {
    stream: DuplexStream,
    buffer: Vec<u8>,
    served: JoinHandle<()>,
}

impl Site {
    fn connect_to(&self, kind: ListenerKind) -> Client {
        self.connect_from(kind, "192.0.2.7".parse().unwrap())
    }

    fn connect_from(&self, kind: ListenerKind, peer: IpAddr) -> Client {
        let (stream, theirs) = duplex(4096);
        let listener = Listener { kind, bare_newlines: BareNewlines::Refuse };
        let connection = Connection { stream: Box::new(theirs), peer, listener };
        let (receiver, draining) = (self.receiver.clone(), self.drain.subscribe());
        let served = tokio::spawn(async move { receiver.serve(connection, draining).await });
        Client { stream, buffer: Vec::new(), served }
    }

    async fn connect(&self) -> Client {
        let mut client = self.connect_to(ListenerKind::Mx);
        assert!(client.line().await.starts_with("220 "));
        client.ask("EHLO client.example", "250").await;
        client
    }

    fn stored(&self) -> Vec<Delivery> {
        self.mailbox.stored.lock().unwrap().clone()
    }

    fn logged(&self, name: &str) -> bool {
        self.log.saw(name)
    }
}

impl Client {
    async fn send(&mut self, text: &str) {
        self.stream.write_all(text.as_bytes()).await.unwrap();
    }

    /// One line, empty at the end of the stream.
    async fn line(&mut self) -> String {
        loop {
            if let Some(end) = self.buffer.iter().position(|b| *b == b'\n') {
                let line = self.buffer.drain(..=end).collect();
                return String::from_utf8(line).unwrap().trim_end().to_owned();
            }
            let mut piece = [0; 512];
            match self.stream.read(&mut piece).await {
                Ok(count) if count > 0 => self.buffer.extend_from_slice(&piece[..count]),
                _ => return String::new(),
            }
        }
    }

    /// The last line of a reply.
    async fn reply(&mut self) -> String {
        loop {
            let line = self.line().await;
            if line.as_bytes().get(3) != Some(&b'-') {
                return line;
            }
        }
    }

    async fn ask(&mut self, command: &str, expected: &str) {
        self.send(&format!("{command}\r\n")).await;
        let reply = self.reply().await;
        assert!(reply.starts_with(expected), "{command}: {reply}");
    }

    async fn begin(&mut self, recipients: &[&str]) {
        self.ask("MAIL FROM:<a@b.example>", "250").await;
        for recipient in recipients {
            self.ask(&format!("RCPT TO:<{recipient}>"), "250").await;
        }
    }

    async fn message(&mut self, content: &str, expected: &str) {
        self.ask("DATA", "354").await;
        self.ask(&format!("{content}\r\n."), expected).await;
    }

    async fn ends_with(&mut self, expected: &str) {
        let line = self.line().await;
        assert!(line.starts_with(expected), "{line}");
        assert_eq!(self.line().await, "");
    }
}

#[tokio::test(start_paused = true)]
async fn a_message_reaches_its_account_with_its_trace() {
    let site = site();
    let mut client = site.connect().await;
    client.begin(&["bob+lists@ours.example"]).await;
    client.message("Subject: x\r\n\r\nhello", "250 2.0.0").await;
    client.ask("QUIT", "221").await;
    client.served.await.unwrap();
    let delivery = site.stored().remove(0);
    assert_eq!(delivery.recipients.len(), 1);
    assert_eq!(delivery.recipients[0].account, AccountNumber(2));
    assert_eq!(delivery.recipients[0].detail.as_deref(), Some("lists"));
    assert_eq!(delivery.received, UnixTime(880_127_706));
    let text = String::from_utf8(delivery.message).unwrap();
    let head = "Return-Path: <a@b.example>\r\nReceived: from client.example ([192.0.2.7])\r\n\t\
                by mx.ours.example with ESMTP\r\n\tid ";
    assert!(text.starts_with(head), "{text}");
    assert!(text.ends_with(
        ".1\r\n\tfor <bob+lists@ours.example>;\r\n\tFri, 21 Nov 1997 15:55:06 +0000\r\n\
         Subject: x\r\n\r\nhello\r\n"
    ));
    assert!(site.logged("smtp.message-accepted"));
}

#[tokio::test(start_paused = true)]
async fn recipients_are_resolved_at_rcpt() {
    let site = site();
    let mut client = site.connect().await;
    client.ask("MAIL FROM:<>", "250").await;
    for (recipient, expected) in [
        ("nobody@ours.example", "550 5.1.1"),
        ("full@ours.example", "452 4.2.2"),
        ("locked@ours.example", "451 4.3.0"),
        ("many@ours.example", "452 4.2.2"),
        ("loop@ours.example", "550 5.1.1"),
        ("gone@ours.example", "550 5.1.1"),
        ("half@ours.example", "250"),
        ("away@ours.example", "550 5.1.1"),
        ("x@elsewhere.example", "550 5.7.1 relaying is not offered"),
        ("sales@elsewhere.example", "550 5.7.1"),
        ("team@also.example", "250"),
        ("ALICE@ours.example", "250"),
    ] {
        client.ask(&format!("RCPT TO:<{recipient}>"), expected).await;
    }
    assert!(site.logged("smtp.alias-broken"));
    client.message("x", "250").await;
    // Every account once, whatever led to it.
    let accounts: Vec<_> = site.stored()[0].recipients.iter().map(|r| r.account.0).collect();
    assert_eq!(accounts, [1, 2]);
}

#[tokio::test(start_paused = true)]
async fn who_is_there_gets_the_mail_of_an_alias_whose_others_are_gone() {
    let site = site();
    let mut client = site.connect().await;
    client.begin(&["half@ours.example"]).await;
    client.message("x", "250").await;
    let accounts: Vec<_> = site.stored()[0].recipients.iter().map(|r| r.account.0).collect();
    // `alice` is an alias too, for both.
    assert_eq!(accounts, [1, 2]);
    let broken = site.receiver.broken().await;
    let named = |(line, name): (usize, &str)| (line, name.to_owned());
    let expected = [(5, "half"), (6, "gone"), (7, "away")].map(named);
    assert_eq!((broken.aliases.as_slice(), broken.postmaster), (&expected[..], false));
    let mut options = options();
    options.postmaster = Some("nobody@ours.example".parse().unwrap());
    site.receiver.reload(options);
    site.receiver.report_broken().await;
    assert!(site.logged("smtp.postmaster-broken"));
}

#[tokio::test(start_paused = true)]
async fn a_whole_name_goes_before_a_name_with_a_detail() {
    let site = site();
    let mut client = site.connect().await;
    client.begin(&["alice+club@ours.example", "bob+club@ours.example"]).await;
    client.message("x", "250").await;
    let stored = site.stored().remove(0).recipients;
    let reached = stored.iter().map(|to| (to.account.0, to.detail.as_deref()));
    assert_eq!(reached.collect::<Vec<_>>(), [(3, None), (2, Some("club"))]);
}

#[tokio::test(start_paused = true)]
async fn postmaster_is_always_taken() {
    let site = site();
    let mut client = site.connect().await;
    client.begin(&["postmaster", "PostMaster@ours.example", "postmaster+x@also.example"]).await;
    client.message("x", "250").await;
    assert_eq!(site.stored()[0].recipients[0].account, AccountNumber(2));
    client.ask("MAIL FROM:<>", "250").await;
    client.ask("RCPT TO:<postmaster@elsewhere.example>", "550 5.7.1").await;
    // The server's own name is no mail domain, but reports come from there and say so.
    for who in ["Postmaster", "MAILER-DAEMON"] {
        client.ask(&format!("RCPT TO:<{who}@mx.Ours.example>"), "250").await;
    }
    for who in ["alice", "mailer-daemon+x"] {
        client.ask(&format!("RCPT TO:<{who}@mx.ours.example>"), "550 5.7.1").await;
    }
    client.ask("RCPT TO:<mailer-daemon@ours.example>", "550 5.1.1").await;

    // Where that name is a mail domain, reports come from an address of it.
    let site = site_with(Options { hostname: "ours.example".into(), ..options() });
    let mut client = site.connect().await;
    client.begin(&["mailer-daemon@ours.example"]).await;
    client.ask("RCPT TO:<mailer-daemon@also.example>", "550 5.1.1").await;

    let site = site_with(Options { postmaster: None, ..options() });
    let mut client = site.connect().await;
    client.ask("MAIL FROM:<>", "250").await;
    client.ask("RCPT TO:<postmaster>", "451 4.3.5").await;
    assert!(site.logged("smtp.postmaster-missing"));
}

/// Forty ways to ask a server to relay. None is accepted, and none delivered to a local account by
/// some reading of it.
#[tokio::test(start_paused = true)]
async fn no_form_of_address_opens_a_relay() {
    const FORMS: [&str; 40] = [
        "<x@elsewhere.example>",
        "<x@[192.0.2.99]>",
        "<x@[IPv6:2001:db8::1]>",
        "<x@192.0.2.99>",
        "<x%elsewhere.example>",
        "<x%elsewhere.example@ours.example>",
        "<x%elsewhere.example@mx.ours.example>",
        "<x%elsewhere.example@[192.0.2.1]>",
        "<x%elsewhere.example@localhost>",
        "<alice%ours.example@elsewhere.example>",
        "<elsewhere.example!x>",
        "<elsewhere.example!x@ours.example>",
        "<ours.example!elsewhere.example!x@ours.example>",
        "<elsewhere.example!x@mx.ours.example>",
        "<\"x@elsewhere.example\">",
        "<\"x@elsewhere.example\"@ours.example>",
        "<\"x%elsewhere.example\"@ours.example>",
        "<\"elsewhere.example!x\"@ours.example>",
        "<\"x@elsewhere.example>",
        "<x@elsewhere.example@ours.example>",
        "<x@elsewhere.example@[127.0.0.1]>",
        "<@ours.example:x@elsewhere.example>",
        "<@mx.ours.example:x@elsewhere.example>",
        "<@ours.example,@also.example:x@elsewhere.example>",
        "<@[127.0.0.1]:x@elsewhere.example>",
        "<@elsewhere.example:x%other.example@ours.example>",
        "<x@ours.example.elsewhere.example>",
        "<x@elsewhere.example.>",
        "<x@ours.example:elsewhere.example>",
        "<x@elsewhere.example%ours.example>",
        "<alice@ours.example%elsewhere.example>",
        "<x @elsewhere.example>",
        "<x@elsewhere.example >",
        "<x@elsewhere.example\0@ours.example>",
        "<x@elsewhere.example\\@ours.example>",
        "<x@elsewhere.example,alice@ours.example>",
        "<x@elsewhere.example> <alice@ours.example>",
        "x@elsewhere.example",
        "<alice+x%elsewhere.example@elsewhere.example>",
        "<postmaster@elsewhere.example>",
    ];
    // Whether there is a way out or not, it is not for strangers.
    let (sending, queue) = submit::sending();
    for site in [site(), sending] {
        for sender in ["<>", "<alice@ours.example>", "<x@elsewhere.example>"] {
            for form in FORMS {
                let mut client = site.connect().await;
                client.ask(&format!("MAIL FROM:{sender}"), "250").await;
                client.ask(&format!("RCPT TO:{form}"), "5").await;
                client.ask("DATA", "554").await;
            }
        }
        assert!(site.stored().is_empty());
    }
    assert!(queue.is_empty());
}

#[tokio::test(start_paused = true)]
async fn users_submit_over_tls_to_local_recipients_only() {
    let site = site();
    let mut client = site.connect_to(ListenerKind::Submission);
    assert!(client.line().await.starts_with("220 "));
    client.ask("EHLO [10.1.2.3]", "250 STARTTLS").await;
    client.ask("STARTTLS", "220").await;
    client.send("HELLO\n").await;
    client.ask("EHLO [10.1.2.3]", "250 AUTH PLAIN LOGIN").await;
    client.ask("MAIL FROM:<alice@ours.example>", "530 5.7.0").await;
    client.ask("AUTH PLAIN AGFsaWNlAHdyb25n", "535 5.7.8").await;
    client.ask("AUTH PLAIN AGFsaWNlAHNlY3JldA==", "235").await;
    client.ask("MAIL FROM:<alice@ours.example>", "250").await;
    client.ask("RCPT TO:<x@elsewhere.example>", "550 5.7.1 relaying is not offered").await;
    client.ask("RCPT TO:<bob@ours.example>", "250").await;
    client.message("Subject: x\r\n\r\nhello", "250").await;
    let message = String::from_utf8(site.stored().remove(0).message).unwrap();
    assert!(message.contains("Received: by mx.ours.example with ESMTPSA (TLSv1.3 TEST)\r\n"));
    assert!(!message.contains("10.1.2.3") && !message.contains("192.0.2.7"), "{message}");
    assert!(site.logged("smtp.login-refused") && site.logged("smtp.login-accepted"));
}

/// Says that everything was signed by b.example.
struct Signed;

impl CheckSender for Signed {
    fn check<'a>(&'a self, _: Envelope<'a>, _: &'a [u8], _: Duration) -> BoxFuture<'a, Verdicts> {
        let domain = "b.example".into();
        let verdict = DkimVerdict { domain, ..DkimVerdict::unread(DkimResult::Pass) };
        Box::pin(async { Verdicts { dkim: vec![verdict], ..Verdicts::default() } })
    }
}

#[tokio::test(start_paused = true)]
async fn mail_of_other_servers_is_judged_and_mail_of_users_is_not() {
    let (mailbox, mut world) = (Arc::new(Mailbox::default()), world(Some(Arc::new(Signed))));
    world.deliver = mailbox.clone();
    let site = Site { receiver: Receiver::new(options(), world), mailbox, ..site() };
    let forged = "From: a@b.example\r\nAuthentication-Results: mx.ours.example; spf=pass\r\n\r\nx";
    let mut client = site.connect().await;
    client.begin(&["alice@ours.example"]).await;
    client.message(forged, "250").await;

    let mut client = site.connect_to(ListenerKind::Submissions);
    client.send("HELLO\n").await;
    assert!(client.line().await.starts_with("220 "));
    client.ask("EHLO x", "250").await;
    client.ask("AUTH PLAIN AGFsaWNlAHNlY3JldA==", "235").await;
    client.ask("MAIL FROM:<alice@ours.example>", "250").await;
    client.ask("RCPT TO:<alice@ours.example>", "250").await;
    let claimed = forged.replace("a@b.example", "alice@ours.example");
    client.message(&claimed, "250").await;

    let stored = site.stored();
    let text = |at: usize| String::from_utf8_lossy(&stored[at].message).into_owned();
    let field = "Authentication-Results: mx.ours.example;\r\n\tdkim=pass header.d=b.example\r\n";
    assert!(text(0).starts_with(&format!("{field}Return-Path: <a@b.example>\r\n")), "{}", text(0));
    assert!(stored[0].sender.proved.author() && !text(0).contains("spf=pass"));
    assert!(text(1).starts_with("Return-Path: "), "{}", text(1));
    // A user is proved by his login alone, and what he says of checks is taken out.
    assert!(!text(1).contains("Authentication-Results") && stored[1].sender.proved.author());
}

#[tokio::test(start_paused = true)]
async fn a_line_of_an_mbox_in_front_is_taken_out() {
    let site = site();
    for line in ["From a@b.example Thu Jan  1 00:00:00 2026\r\n", ">From a@b.example\r\nFrom x\r\n"]
    {
        let mut client = site.connect().await;
        client.begin(&["alice@ours.example"]).await;
        client.message(&format!("{line}From: a@b.example\r\n\r\nFrom x\r\n"), "250").await;
        let message = site.stored().pop().unwrap().message;
        let text = String::from_utf8(message).unwrap();
        assert!(text.starts_with("Return-Path: <a@b.example>\r\nReceived: "), "{text}");
        assert!(text.contains(" +0000\r\nFrom: a@b.example\r\n\r\nFrom x\r\n"), "{text}");
        assert_eq!(
            crate::mail::header::header_bytes(text.as_bytes()),
            text.find("\r\n\r\n").unwrap() + 4
        );
    }
}

#[tokio::test(start_paused = true)]
async fn port_465_shakes_hands_first() {
    let site = site();
    let mut client = site.connect_to(ListenerKind::Submissions);
    client.send("HELLO\n").await;
    assert!(client.line().await.starts_with("220 "));
    client.ask("EHLO x", "250 AUTH PLAIN LOGIN").await;

    let mut client = site.connect_to(ListenerKind::Submissions);
    client.send("EHLO x").await;
    assert_eq!(client.line().await, "");
    assert!(site.logged("smtp.handshake-failed"));
}

#[tokio::test(start_paused = true)]
async fn what_is_pipelined_behind_starttls_ends_the_session() {
    let site = site();
    let mut client = site.connect().await;
    client.send("STARTTLS\r\nEHLO evil\r\nHELLO\n").await;
    client.ends_with("554 5.5.0").await;
    client.served.await.unwrap();
    assert!(site.logged("smtp.session-ended"));
}

#[tokio::test(start_paused = true)]
async fn octets_before_the_banner_end_the_session() {
    let site = site();
    let (mut stream, theirs) = duplex(4096);
    stream.write_all(b"EHLO early\r\n").await.unwrap();
    let listener = Listener { kind: ListenerKind::Mx, bare_newlines: BareNewlines::Refuse };
    let peer = "192.0.2.7".parse().unwrap();
    let connection = Connection { stream: Box::new(theirs), peer, listener };
    site.receiver.serve(connection, site.drain.subscribe()).await;
    let mut said = String::new();
    stream.read_to_string(&mut said).await.unwrap();
    assert!(said.starts_with("554 5.5.0 ") && !said.contains("220 "), "{said}");
}

#[tokio::test(start_paused = true)]
async fn an_idle_client_is_told_after_five_minutes_even_if_it_dribbles() {
    let site = site();
    let mut client = site.connect().await;
    let began = tokio::time::Instant::now();
    client.ends_with("421 4.4.2").await;
    assert_eq!(began.elapsed(), Duration::from_secs(300));

    let mut client = site.connect().await;
    let began = tokio::time::Instant::now();
    for _ in 0..5 {
        client.send("N").await;
        tokio::time::sleep(Duration::from_secs(59)).await;
    }
    client.ends_with("421 4.4.2").await;
    assert_eq!(began.elapsed(), Duration::from_secs(300));
}

#[tokio::test(start_paused = true)]
async fn a_message_that_stands_still_is_given_up() {
    let site = site();
    let mut client = site.connect().await;
    client.begin(&["bob@ours.example"]).await;
    client.ask("DATA", "354").await;
    let began = tokio::time::Instant::now();
    client.send("half a mess").await;
    client.ends_with("421 4.4.2").await;
    assert_eq!(began.elapsed(), Duration::from_secs(180));

    let mut client = site.connect().await;
    client.begin(&["bob@ours.example"]).await;
    client.ask("DATA", "354").await;
    let began = tokio::time::Instant::now();
    while began.elapsed() < Duration::from_secs(3599) {
        client.send("x\r\n").await;
        tokio::time::sleep(Duration::from_secs(100)).await;
    }
    client.ends_with("421 4.4.2").await;
    assert_eq!(began.elapsed(), Duration::from_secs(3600));
    assert!(site.stored().is_empty());
    assert_eq!(site.budget.free_bytes(), 1024 * 1024);
}

#[tokio::test(start_paused = true)]
async fn a_half_sent_transaction_at_shutdown_is_not_stored_a_message_under_way_is() {
    let site = site();
    let mut idle = site.connect().await;
    let mut begun = site.connect().await;
    begun.begin(&["bob@ours.example"]).await;
    let mut sending = site.connect().await;
    sending.begin(&["alice@ours.example"]).await;
    sending.ask("DATA", "354").await;
    sending.send("first half\r\n").await;
    site.drain.send_replace(true);
    idle.ends_with("421 4.3.2").await;
    begun.ends_with("421 4.3.2").await;
    sending.send("second half\r\n.\r\n").await;
    assert!(sending.line().await.starts_with("250 2.0.0"));
    sending.ends_with("421 4.3.2").await;
    sending.served.await.unwrap();
    let stored = site.stored();
    assert_eq!(stored.len(), 1);
    assert!(stored[0].message.ends_with(b"first half\r\nsecond half\r\n"));
    // A client that goes away half way, and a session that is cut: nothing is stored either.
    site.drain.send_replace(false);
    for cut in [false, true] {
        let mut client = site.connect().await;
        client.begin(&["bob@ours.example"]).await;
        client.ask("DATA", "354").await;
        client.send("half\r\n.").await;
        if cut {
            client.served.abort()
        } else {
            drop(client.stream)
        }
        let _ = client.served.await;
    }
    assert_eq!(site.stored().len(), 1);
    assert_eq!(site.budget.free_bytes(), 1024 * 1024);
}

#[tokio::test(start_paused = true)]
async fn memory_is_admitted_before_data_and_while_it_comes() {
    let mut large = options();
    large.limits.message_bytes_max = 4 * 1024 * 1024;
    let site = site_with(large);
    let mut first = site.connect().await;
    first.ask("MAIL FROM:<> SIZE=900000", "250").await;
    first.ask("RCPT TO:<bob@ours.example>", "250").await;
    first.ask("DATA", "354").await;
    assert_eq!(site.budget.free_bytes(), 1024 * 1024 - 900_000);
    let mut second = site.connect().await;
    second.begin(&["bob@ours.example"]).await;
    second.ask("DATA", "452 4.3.1").await;
    drop(first.stream);
    first.served.await.unwrap();
    assert_eq!(site.budget.free_bytes(), 1024 * 1024);
    // Undeclared, it grows until nothing is left; the rest is read and refused.
    second.begin(&["bob@ours.example"]).await;
    second.ask("DATA", "354").await;
    for _ in 0..20 {
        second.send(&"x".repeat(100_000)).await;
    }
    second.ask("\r\n.", "452 4.3.1").await;
    second.ask("NOOP", "250").await;
    assert_eq!(site.budget.free_bytes(), 1024 * 1024);
    assert!(site.stored().is_empty());
}

#[tokio::test(start_paused = true)]
async fn a_piece_is_admitted_before_its_octets() {
    let mut large = options();
    large.limits.message_bytes_max = 4 * 1024 * 1024;
    let site = site_with(large);
    let mut client = site.connect().await;
    client.begin(&["bob@ours.example"]).await;
    client.send("BDAT 100000\r\nx").await;
    tokio::time::sleep(Duration::from_millis(1)).await;
    assert_eq!(site.budget.free_bytes(), 1024 * 1024 - 100_000);
    client.send(&"x".repeat(99_999)).await;
    assert!(client.reply().await.starts_with("250 2.0.0 The piece"));
    // Between two pieces what is held stays reserved.
    assert_eq!(site.budget.free_bytes(), 1024 * 1024 - 100_000);
    client.send("BDAT 400000\r\nx").await;
    tokio::time::sleep(Duration::from_millis(1)).await;
    assert_eq!(site.budget.free_bytes(), 1024 * 1024 - 500_000);
    client.send(&"x".repeat(399_999)).await;
    assert!(client.reply().await.starts_with("250 2.0.0 The piece"));
    // There is no room for more: the piece is read, not kept, and refused.
    client.send(&format!("BDAT 900000 LAST\r\n{}", "x".repeat(900_000))).await;
    assert!(client.reply().await.starts_with("452 4.3.1"));
    client.ask("NOOP", "250").await;
    assert_eq!(site.budget.free_bytes(), 1024 * 1024);
    // A session that stands still between two pieces is given up as within DATA.
    client.begin(&["bob@ours.example"]).await;
    client.ask("BDAT 3\r\nx", "250").await;
    let began = tokio::time::Instant::now();
    client.ends_with("421 4.4.2").await;
    assert_eq!(began.elapsed(), Duration::from_secs(180));
    assert!(site.stored().is_empty());
}

#[tokio::test(start_paused = true)]
async fn large_messages_that_stand_still_leave_room_for_small_ones() {
    let mut large = options();
    large.limits.message_bytes_max = 600_000;
    let site = site_with(large);
    let mut held = Vec::new();
    for (size, answer) in [(600_000, "354"), (600_000, "452 4.3.1"), (200_000, "354")] {
        let mut client = site.connect().await;
        client.ask(&format!("MAIL FROM:<> SIZE={size}"), "250").await;
        client.ask("RCPT TO:<bob@ours.example>", "250").await;
        client.ask("DATA", answer).await;
        held.push(client);
    }
}

/// A network holds a quarter of the budget without a login, or its one largest message.
#[tokio::test(start_paused = true)]
async fn one_network_does_not_keep_everybodys_mail_out() {
    let mut small = options();
    small.limits.message_bytes_max = 100_000;
    let site = site_with(small);
    let mut held = Vec::new();
    let rounds = [([192, 0, 2, 7], 4, "354"), ([192, 0, 2, 8], 1, "452 4.3.1")];
    for (peer, count, answer) in rounds.into_iter().chain([([198, 51, 100, 7], 2, "354")]) {
        for _ in 0..count {
            let mut client = site.connect_from(ListenerKind::Mx, peer.into());
            assert!(client.line().await.starts_with("220 "));
            client.ask("EHLO client.example", "250").await;
            client.ask("MAIL FROM:<> SIZE=90000", "250").await;
            client.ask("RCPT TO:<bob@ours.example>", "250").await;
            client.ask("DATA", answer).await;
            held.push(client);
        }
    }
    // What was held is given back with the session.
    drop(held.remove(0).stream);
    tokio::time::sleep(Duration::from_millis(1)).await;
    held[3].ask("RSET", "250").await;
    held[3].ask("MAIL FROM:<> SIZE=90000", "250").await;
    held[3].ask("RCPT TO:<bob@ours.example>", "250").await;
    held[3].ask("DATA", "354").await;
}

#[tokio::test(start_paused = true)]
async fn what_the_store_refuses_is_put_off_and_loops_are_cut() {
    let site = site();
    let mut client = site.connect().await;
    for (error, expected) in
        [(DeliverError::Full, "452 4.3.1"), (DeliverError::TryLater, "451 4.3.0")]
    {
        *site.mailbox.fails.lock().unwrap() = Some(error);
        client.begin(&["bob@ours.example"]).await;
        client.message("x", expected).await;
    }
    *site.mailbox.fails.lock().unwrap() = None;
    client.begin(&["bob@ours.example"]).await;
    client.message(&"Received: x\r\n".repeat(51), "554 5.4.6").await;
    client.begin(&["bob@ours.example"]).await;
    client.message(&"Received: x\r\n".repeat(50), "250").await;
    client.ask("MAIL FROM:<> SIZE=20001", "552 5.3.4").await;
    assert!(site.logged("smtp.message-refused"));
}

#[tokio::test(start_paused = true)]
async fn a_network_has_its_share_of_sessions() {
    let mut few = options();
    few.limits.sessions_per_network_max = 1;
    let site = site_with(few);
    let _first = site.connect().await;
    let mut second = site.connect_to(ListenerKind::Mx);
    second.ends_with("421 4.7.0 Too many sessions").await;
    assert!(site.logged("smtp.connection-refused"));
    site.receiver.reload(options());
    site.connect().await;
}
