//! Attempts against servers that a test scripts, over pipes, with virtual time.

use std::collections::HashMap;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::Mutex;
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream, duplex};
use tokio::time::{Instant, sleep};

use super::*;
use crate::base::entropy::SeededEntropy;
use crate::base::event::testing::Recorder;
use crate::base::event::{Log, LogSink};
use crate::base::secret::SecretBytes;
use crate::dns::{Lookup, Mx, Name, Proof, Resolver};
use crate::relay::outgoing::{OutgoingRecipient, QueueId};
use crate::relay::route::Relayhost;
use crate::seams::{BoxStream, Dial, TlsFacts, TlsStream};
use crate::smtp::client::Credential;

/// How a server behaves.
#[derive(Clone)]
struct Server {
    /// The extensions it offers.
    ehlo: &'static [&'static str],
    /// Its reply to a command that begins so, in place of the usual one.
    replies: Vec<(&'static str, &'static str)>,
    /// What it does after so many messages over one connection.
    messages_max: usize,
    /// Whether its handshakes work.
    tls_works: bool,
    /// How many recipients it takes in one transaction, and its reply to others.
    crowd: Option<(usize, &'static str)>,
    /// How long it thinks about each command that begins so.
    slow: Option<(&'static str, Duration)>,
}

impl Default for Server {
    fn default() -> Self {
        let ehlo = &["PIPELINING", "8BITMIME", "DSN"];
        let (replies, messages_max) = (Vec::new(), usize::MAX);
        Server { ehlo, replies, messages_max, tls_works: true, crowd: None, slow: None }
    }
}

/// The servers by address, and what happened.
#[derive(Default)]
struct Network {
    servers: Mutex<HashMap<IpAddr, Server>>,
    /// Who was connected to, and what each server heard.
    connected: Mutex<Vec<SocketAddr>>,
    heard: Mutex<Vec<String>>,
    checks: Mutex<Vec<PeerCheck>>,
}

/// `reply` may be `hang` (no reply ever) or `close`; either may stand behind other words, too.
async fn serve(network: Arc<Network>, server: Server, mut stream: DuplexStream) {
    let mut talk = Talk { network, server, messages: 0, recipients: 0 };
    let greeting = talk.reply("GREETING", "220 mx.example ESMTP");
    if talk.say(&mut stream, &greeting).await {
        while let Some(line) = read_line(&mut stream).await {
            if !talk.answer(&mut stream, &line).await {
                return;
            }
        }
    }
}

struct Talk {
    network: Arc<Network>,
    server: Server,
    messages: usize,
    /// Recipients of the transaction under way.
    recipients: usize,
}

impl Talk {
    fn reply(&self, command: &str, usual: &str) -> String {
        let own = self.server.replies.iter().find(|(verb, _)| command.starts_with(verb));
        own.map_or(usual, |(_, reply)| reply).to_owned()
    }

    /// `false`: the connection is over.
    async fn say(&self, stream: &mut DuplexStream, reply: &str) -> bool {
        let (words, then) = match reply {
            "close" | "hang" | "drip" => ("", reply),
            reply => reply.split_once(", then ").unwrap_or((reply, "")),
        };
        let words = if words.is_empty() { String::new() } else { format!("{words}\r\n") };
        if stream.write_all(words.as_bytes()).await.is_err() {
            return false;
        }
        match then {
            "" => true,
            // Takes an octet now and then.
            "drip" => {
                while stream.read_u8().await.is_ok() {
                    sleep(Duration::from_secs(100)).await;
                }
                false
            }
            "hang" => {
                sleep(Duration::from_secs(1_000_000)).await;
                false
            }
            _ => false,
        }
    }

    async fn answer(&mut self, stream: &mut DuplexStream, line: &str) -> bool {
        self.network.heard.lock().unwrap().push(line.to_owned());
        if let Some((verb, pause)) = self.server.slow
            && line.starts_with(verb)
        {
            sleep(pause).await;
        }
        let usual = match line.split(' ').next().unwrap_or_default() {
            "EHLO" => {
                let mut lines = vec!["mx.example"];
                lines.extend(self.server.ehlo);
                let last = lines.len() - 1;
                let line = |(at, text): (usize, &&str)| {
                    format!("250{}{text}", if at < last { '-' } else { ' ' })
                };
                lines.iter().enumerate().map(line).collect::<Vec<_>>().join("\r\n")
            }
            "DATA" => "354 go".to_owned(),
            "STARTTLS" => "220 go".to_owned(),
            "AUTH" => "235 hello".to_owned(),
            "QUIT" => "221 bye".to_owned(),
            _ => "250 ok".to_owned(),
        };
        let mut reply = self.reply(line, &usual);
        if line.starts_with("MAIL") && self.messages >= self.server.messages_max {
            reply = "close".to_owned();
        }
        self.recipients = match line.split(' ').next() {
            Some("RCPT") => self.recipients + 1,
            Some("MAIL") => 0,
            _ => self.recipients,
        };
        if let Some((max, no)) = self.server.crowd
            && self.recipients > max
            && line.starts_with("RCPT")
        {
            reply = no.to_owned();
        }
        if !self.say(stream, &reply).await || line == "QUIT" {
            return false;
        }
        if line == "DATA" && reply.starts_with("354") {
            while read_line(stream).await.is_some_and(|line| line != ".") {}
            self.messages += 1;
            let reply = self.reply("END", "250 2.0.0 queued");
            return self.say(stream, &reply).await;
        }
        true
    }
}

async fn read_line(stream: &mut DuplexStream) -> Option<String> {
    let mut line = Vec::new();
    while !line.ends_with(b"\r\n") {
        line.push(stream.read_u8().await.ok()?);
    }
    line.truncate(line.len() - 2);
    String::from_utf8(line).ok()
}

impl Network {
    fn heard(&self, verb: &str) -> usize {
        self.heard.lock().unwrap().iter().filter(|line| line.starts_with(verb)).count()
    }

    fn connected(&self) -> Vec<String> {
        self.connected.lock().unwrap().iter().map(SocketAddr::to_string).collect()
    }
}

struct Dialler(Arc<Network>);

impl Dial for Dialler {
    fn connect(&self, to: SocketAddr) -> BoxFuture<'_, io::Result<BoxStream>> {
        Box::pin(async move {
            self.0.connected.lock().unwrap().push(to);
            let server = self.0.servers.lock().unwrap().get(&to.ip()).cloned();
            let server = server.ok_or(io::ErrorKind::ConnectionRefused)?;
            // Small, so that groups of commands do not fit in.
            let (near, far) = duplex(64);
            tokio::spawn(serve(Arc::clone(&self.0), server, far));
            Ok(Box::new(near) as BoxStream)
        })
    }

    fn secure<'a>(
        &'a self,
        stream: BoxStream,
        name: &'a str,
        check: PeerCheck,
    ) -> BoxFuture<'a, io::Result<TlsStream>> {
        Box::pin(async move {
            self.0.checks.lock().unwrap().push(check);
            let broken = self.0.servers.lock().unwrap().values().any(|server| !server.tls_works);
            if broken {
                return Err(io::ErrorKind::InvalidData.into());
            }
            let facts =
                TlsFacts { version: "TLSv1.3", cipher: "TEST", server_name: Some(name.into()) };
            Ok(TlsStream { stream, facts })
        })
    }
}

/// `domain.example` has two servers, 10 `a` (192.0.2.1) and 20 `b` (192.0.2.2); `six.example` is
/// at 2001:db8::1 and 192.0.2.1. `isp.example` is at 192.0.2.1, and its MX, unsigned, is `b`.
struct Zone;

impl Resolver for Zone {
    fn addresses<'a>(&'a self, name: &'a Name) -> BoxFuture<'a, Lookup<IpAddr>> {
        let records = match name.as_str() {
            "a.example" | "relay.example" | "isp.example" => vec!["192.0.2.1"],
            "b.example" => vec!["192.0.2.2"],
            "six.example" => vec!["2001:db8::1", "192.0.2.1"],
            "near.example" => vec!["127.0.0.1"],
            _ => vec![],
        };
        let records: Vec<IpAddr> = records.iter().map(|text| text.parse().unwrap()).collect();
        Box::pin(async move { found(records) })
    }

    fn mx<'a>(&'a self, name: &'a Name) -> BoxFuture<'a, Lookup<Mx>> {
        let records: &[(u16, &str)] = match name.as_str() {
            "domain.example" => &[(10, "a.example"), (20, "b.example")],
            "other.example" => &[(10, "a.example")],
            "isp.example" => &[(10, "b.example")],
            _ => &[],
        };
        let records = records
            .iter()
            .map(|(preference, host)| Mx {
                preference: *preference,
                host: Name::parse(host).unwrap(),
            })
            .collect();
        Box::pin(async move { found(records) })
    }

    fn txt<'a>(&'a self, _: &'a Name) -> BoxFuture<'a, Lookup<Vec<u8>>> {
        Box::pin(async { found(Vec::new()) })
    }
}

fn found<T>(records: Vec<T>) -> Lookup<T> {
    match records.is_empty() {
        true => Lookup::Absent { no_name: false, proof: Proof::Insecure },
        false => Lookup::Found { records, proof: Proof::Insecure },
    }
}

struct Site {
    transmitter: Arc<Transmitter>,
    network: Arc<Network>,
    events: Arc<Recorder>,
}

impl Site {
    fn new(options: Options, servers: Vec<(&str, Server)>) -> Site {
        let (network, events) = (Arc::new(Network::default()), Arc::new(Recorder::default()));
        for (address, server) in servers {
            network.servers.lock().unwrap().insert(address.parse().unwrap(), server);
        }
        let world = World {
            dial: Arc::new(Dialler(Arc::clone(&network))),
            resolver: Arc::new(Zone),
            entropy: Arc::new(SeededEntropy::new(1)),
            log: Log::new(Arc::clone(&events) as Arc<dyn LogSink>),
        };
        Site { transmitter: Transmitter::new(options, world), network, events }
    }

    /// Sends to these local parts at `domain`; the outcomes in short.
    async fn send(&self, domain: &str, to: &[&str]) -> Vec<String> {
        let recipients = to.iter().map(|local| format!("{local}@{domain}"));
        let consignment = consignment(domain, recipients, "Hi\r\n.\r\n");
        let outcomes = self.transmitter.transmit(consignment).await;
        outcomes.iter().map(short).collect()
    }
}

fn consignment(
    domain: &str,
    recipients: impl Iterator<Item = String>,
    message: &str,
) -> Consignment {
    Consignment {
        id: QueueId(1),
        from: None,
        domain: domain.into(),
        recipients: recipients
            .map(|address| OutgoingRecipient {
                address: address.parse().unwrap(),
                notify: None,
                original: None,
            })
            .collect(),
        message: Arc::new(message.as_bytes().to_vec()),
        envelope_id: None,
        dsn_return: None,
        utf8: false,
    }
}

fn short(outcome: &Outcome) -> String {
    match outcome {
        Outcome::Delivered { host, tls, dsn, .. } => {
            format!("{host}{}{}", if *tls { " tls" } else { "" }, if *dsn { "" } else { " no-dsn" })
        }
        Outcome::Deferred(failure) => format!("later {}", failure.status),
        Outcome::Failed(failure) => format!("never {}", failure.status),
        Outcome::EightBit(failure) => format!("narrow {}", failure.status),
    }
}

fn options() -> Options {
    Options::new("us.example".into())
}

fn with(replies: &[(&'static str, &'static str)]) -> Server {
    Server { replies: replies.to_vec(), ..Server::default() }
}

fn one(server: Server) -> Site {
    Site::new(options(), vec![("192.0.2.1", server)])
}

fn two(first: Server) -> Site {
    Site::new(options(), vec![("192.0.2.1", first), ("192.0.2.2", Server::default())])
}

#[tokio::test(start_paused = true)]
async fn mail_goes_to_the_best_server_and_the_connection_is_kept_for_the_next() {
    let site = two(Server::default());
    for _ in 0..3 {
        assert_eq!(site.send("domain.example", &["x", "y"]).await, ["a.example", "a.example"]);
    }
    // Another domain with the same server.
    assert_eq!(site.send("other.example", &["z"]).await, ["a.example"]);
    assert_eq!(site.network.connected(), ["192.0.2.1:25"]);
    assert_eq!((site.network.heard("EHLO"), site.network.heard("RSET")), (1, 0));
    assert_eq!(site.transmitter.pool.count(), 1);
    sleep(Duration::from_secs(10)).await;
    assert_eq!((site.transmitter.pool.count(), site.network.heard("QUIT")), (0, 1));
    site.send("domain.example", &["x"]).await;
    assert_eq!(site.network.connected().len(), 2);
}

#[tokio::test(start_paused = true)]
async fn many_at_once_have_a_connection_each_and_all_are_kept() {
    let site = one(Server::default());
    for _ in 0..3 {
        let sends = (0..20).map(|_| site.send("other.example", &["x"]));
        let mut crowd: Vec<_> = sends.map(Box::pin).collect();
        for send in &mut crowd {
            // All are begun before any is awaited to its end.
            let once = std::future::poll_fn(|cx| {
                std::task::Poll::Ready(send.as_mut().poll(cx).is_pending())
            });
            assert!(once.await);
        }
        for send in crowd {
            assert_eq!(send.await, ["a.example"]);
        }
    }
    assert_eq!(site.network.connected().len(), 20);
    assert_eq!(site.network.heard("MAIL"), 60);
}

#[tokio::test(start_paused = true)]
async fn a_connection_is_kept_for_so_many_messages_and_so_long() {
    let mut worn = options();
    worn.reuse.transactions_max = 2;
    let site = Site::new(worn, vec![("192.0.2.1", Server::default())]);
    for _ in 0..4 {
        site.send("other.example", &["x"]).await;
    }
    assert_eq!(site.network.connected().len(), 2);
    let mut old = options();
    old.reuse.age = Duration::from_secs(5);
    let site = Site::new(old, vec![("192.0.2.1", Server::default())]);
    for _ in 0..8 {
        site.send("other.example", &["x"]).await;
        sleep(Duration::from_secs(1)).await;
    }
    assert_eq!(site.network.connected().len(), 2);
    let mut never = options();
    never.reuse.idle = Duration::ZERO;
    let site = Site::new(never, vec![("192.0.2.1", Server::default())]);
    site.send("other.example", &["x"]).await;
    site.send("other.example", &["x"]).await;
    assert_eq!(site.network.connected().len(), 2);
}

#[tokio::test(start_paused = true)]
async fn new_options_leave_no_old_connection() {
    let site = one(Server::default());
    site.send("other.example", &["x"]).await;
    site.transmitter.reload(Options { tls: TlsPolicy::Encrypt, ..options() });
    assert_eq!(site.send("other.example", &["x"]).await, ["later 4.7.4"]);
    assert_eq!(site.transmitter.pool.count(), 0);
}

#[tokio::test(start_paused = true)]
async fn a_kept_connection_that_died_is_replaced_in_silence_once() {
    // It closes instead of answering the second MAIL.
    let site = one(Server { messages_max: 1, ..Server::default() });
    for _ in 0..3 {
        assert_eq!(site.send("other.example", &["x"]).await, ["a.example"]);
    }
    assert_eq!(site.network.connected().len(), 3);
    // A fresh one that does so is no stale one.
    let site = one(Server { messages_max: 0, ..Server::default() });
    assert_eq!(site.send("other.example", &["x"]).await, ["later 4.4.2"]);
    assert_eq!(site.network.connected().len(), 1);
}

#[tokio::test(start_paused = true)]
async fn what_a_server_says_or_does_while_a_connection_waits_ends_it() {
    for reply in
        ["250 ok, then close", "250 ok\r\n421 4.4.2 bye, then hang", "250 ok\r\n42, then close"]
    {
        let site = one(with(&[("END", reply)]));
        for _ in 0..3 {
            assert_eq!(site.send("other.example", &["x"]).await, ["a.example"], "{reply}");
        }
        assert_eq!((site.network.connected().len(), site.network.heard("MAIL")), (3, 3));
    }
}

#[tokio::test(start_paused = true)]
async fn no_more_connections_are_kept_than_may_be() {
    let mut few = options();
    few.reuse.waiting_max = 1;
    let site = Site::new(few, vec![("192.0.2.1", Server::default())]);
    let (one, two) = (site.send("other.example", &["x"]), site.send("other.example", &["y"]));
    tokio::join!(one, two);
    assert_eq!((site.network.connected().len(), site.transmitter.pool.count()), (2, 1));
    sleep(Duration::from_millis(1)).await;
    assert_eq!(site.network.heard("QUIT"), 1);
    site.transmitter.close_idle();
    sleep(Duration::from_millis(1)).await;
    assert_eq!((site.network.heard("QUIT"), site.transmitter.pool.count()), (2, 0));
}

#[tokio::test(start_paused = true)]
async fn behind_the_end_nobody_else_is_asked_and_before_it_the_next_is() {
    // Behind the end nobody knows; within the transaction another server is asked at once.
    for (reply, expected, connections) in [
        (("END", "close"), "later 4.4.2", 1),
        (("RCPT", "close"), "b.example", 2),
        (("END", "hang"), "later 4.4.2", 1),
        (("DATA", "hang"), "b.example", 2),
    ] {
        let site = two(with(&[reply]));
        assert_eq!(site.send("domain.example", &["x"]).await, [expected], "{reply:?}");
        assert_eq!(site.network.connected().len(), connections, "{reply:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_server_that_fails_leads_to_the_next() {
    for (reply, connections) in [
        (("GREETING", "554 5.7.1 go away"), 2),
        (("GREETING", "421 4.3.2 full"), 2),
        (("GREETING", "521 no mail here"), 2),
        (("GREETING", "close"), 2),
        (("GREETING", "hang"), 2),
        (("GREETING", "nonsense"), 2),
        (("EHLO", "450 later"), 2),
        (("EHLO", "hang"), 2),
        (("MAIL", "451 4.7.1 greylisted"), 2),
        (("MAIL", "hang"), 2),
        (("MAIL", "421 bye"), 2),
        (("RCPT", "450 4.2.1 later"), 2),
        (("DATA", "451 later"), 2),
        (("END", "452 4.3.1 full"), 2),
    ] {
        let site = two(with(&[reply]));
        assert_eq!(site.send("domain.example", &["x"]).await, ["b.example"], "{reply:?}");
        assert_eq!(site.network.connected().len(), connections, "{reply:?}");
    }
    let site = Site::new(options(), vec![("192.0.2.2", Server::default())]);
    assert_eq!(site.send("domain.example", &["x"]).await, ["b.example"]);
}

#[tokio::test(start_paused = true)]
async fn a_server_that_refuses_the_session_hears_quit() {
    for reply in [("GREETING", "554 5.7.1 go away"), ("EHLO", "521 no mail here")] {
        let site = two(with(&[reply]));
        assert_eq!(site.send("domain.example", &["x"]).await, ["b.example"]);
        sleep(Duration::from_millis(1)).await;
        assert_eq!(site.network.heard("QUIT"), 1, "{reply:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_final_no_is_believed_and_nobody_else_is_asked() {
    for (reply, status) in [
        (("MAIL", "550 5.7.1 not you"), "never 5.7.1"),
        (("RCPT", "550 5.1.1 nobody"), "never 5.1.1"),
        (("RCPT", "553 nobody"), "never 5.1.3"),
        (("DATA", "554 no"), "never 5.0.0"),
        (("END", "554 5.6.0 spam"), "never 5.6.0"),
    ] {
        let site = two(with(&[reply]));
        assert_eq!(site.send("domain.example", &["x"]).await, [status], "{reply:?}");
        assert_eq!(site.network.connected().len(), 1, "{reply:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn each_recipient_has_an_outcome_of_its_own() {
    let replies = [("RCPT TO:<no@", "550 5.1.1 nobody"), ("RCPT TO:<later@", "450 4.2.1 busy")];
    let site = two(with(&replies));
    let got = site.send("domain.example", &["no", "yes", "later"]).await;
    assert_eq!(got, ["never 5.1.1", "a.example", "b.example"]);
    // Only who is left is offered to the second.
    assert_eq!(site.network.heard("RCPT"), 4);
    let site = one(with(&replies));
    let got = site.send("other.example", &["no", "yes", "later"]).await;
    assert_eq!(got, ["never 5.1.1", "a.example", "later 4.2.1"]);
    // The kept connection begins anew.
    let site = one(with(&replies));
    site.send("other.example", &["no"]).await;
    assert_eq!(site.send("other.example", &["yes"]).await, ["a.example"]);
    assert_eq!(site.network.connected().len(), 1);
}

#[tokio::test(start_paused = true)]
async fn many_recipients_go_in_several_transactions() {
    let site = one(Server::default());
    let recipients = (0..250).map(|at| format!("r{at}@other.example"));
    let consignment = consignment("other.example", recipients, "Hi\r\n");
    let outcomes = site.transmitter.transmit(consignment).await;
    assert!(outcomes.iter().all(|outcome| short(outcome) == "a.example"));
    assert_eq!((site.network.heard("MAIL"), site.network.heard("RCPT")), (3, 250));
    assert_eq!(site.network.connected().len(), 1);
}

#[tokio::test(start_paused = true)]
async fn recipients_that_were_too_many_go_in_another_transaction() {
    for no in ["552 too many", "552 5.5.3 too many", "452 4.5.3 too many"] {
        let site = two(Server { crowd: Some((2, no)), ..Server::default() });
        let got = site.send("domain.example", &["a", "b", "c", "d", "e"]).await;
        assert_eq!(got, ["a.example"; 5], "{no}");
        assert_eq!((site.network.heard("MAIL"), site.network.connected().len()), (3, 1));
    }
    // Where not one is taken it is no matter of their number, unless it says so.
    let send = async |no| {
        let site = one(Server { crowd: Some((0, no)), ..Server::default() });
        site.send("other.example", &["a", "b"]).await
    };
    assert_eq!(send("552 full").await, ["never 5.2.2"; 2]);
    assert_eq!(send("552 5.5.3 too many").await, ["later 4.5.3"; 2]);
    // The end of the message decides for those who were accepted, and nobody is asked in a circle.
    let site = one(Server { crowd: Some((1, "552 too many")), ..with(&[("END", "451 later")]) });
    assert_eq!(site.send("other.example", &["a", "b"]).await, ["later 4.0.0", "later 4.5.3"]);
    assert_eq!(site.network.heard("MAIL"), 1);
}

#[tokio::test(start_paused = true)]
async fn what_no_server_can_take_comes_back_and_what_one_might_waits() {
    let send = async |site: &Site, message: &str, utf8: bool| {
        let recipients = std::iter::once("x@domain.example".to_owned());
        let mut consignment = consignment("domain.example", recipients, message);
        consignment.utf8 = utf8;
        short(&site.transmitter.transmit(consignment).await[0])
    };
    let bare = || Server { ehlo: &[], ..Server::default() };
    let small = || Server { ehlo: &["SIZE 10"], ..Server::default() };
    let both =
        |first, second| Site::new(options(), vec![("192.0.2.1", first), ("192.0.2.2", second)]);
    assert_eq!(send(&both(bare(), bare()), "\u{fc}\r\n", false).await, "narrow 5.6.3");
    assert_eq!(send(&both(bare(), bare()), "u\r\n", true).await, "never 5.6.7");
    assert_eq!(send(&both(small(), small()), "more than ten\r\n", false).await, "never 5.3.4");
    assert_eq!(send(&both(small(), bare()), "\u{fc}\r\n", false).await, "narrow 5.6.3");
    let full = Server { ehlo: &["8BITMIME"], ..Server::default() };
    assert_eq!(send(&both(bare(), full), "\u{fc}\r\n", false).await, "b.example no-dsn");
    let busy = with(&[("GREETING", "421 later")]);
    assert_eq!(send(&both(bare(), busy), "u\r\n", true).await, "later 4.3.2");
    let closed = || with(&[("GREETING", "521 no mail here")]);
    assert_eq!(send(&both(closed(), closed()), "u\r\n", false).await, "never 5.3.2");
}

#[tokio::test(start_paused = true)]
async fn a_message_that_could_be_read_in_two_ways_is_never_offered() {
    let site = one(Server::default());
    for message in ["a\nb\r\n", "a\rb\r\n", "\0\r\n", &format!("{}\r\n", "x".repeat(999))] {
        let recipients = ["x@other.example", "y@other.example"].map(str::to_owned);
        let consignment = consignment("other.example", recipients.into_iter(), message);
        let outcomes = site.transmitter.transmit(consignment).await;
        let outcomes: Vec<_> = outcomes.iter().map(short).collect();
        assert_eq!(outcomes, ["never 5.6.0", "never 5.6.0"]);
    }
    assert!(site.network.connected().is_empty());
}

#[tokio::test(start_paused = true)]
async fn each_wait_has_its_time() {
    let minutes = |count: u64| Duration::from_secs(60 * count);
    for (verb, limit) in [
        ("GREETING", minutes(5)),
        ("EHLO", minutes(5)),
        ("MAIL", minutes(5)),
        ("RCPT", minutes(5)),
        ("DATA", minutes(2)),
        ("END", minutes(10)),
    ] {
        let site = one(with(&[(verb, "hang")]));
        let began = Instant::now();
        assert_eq!(site.send("other.example", &["x"]).await, ["later 4.4.2"], "{verb}");
        let took = began.elapsed();
        assert!(took >= limit && took < limit + Duration::from_secs(1), "{verb} {took:?}");
    }
    let mut hasty = options();
    hasty.timeouts.attempt = minutes(4);
    let servers = ["192.0.2.1", "192.0.2.2"];
    let hang = |address| (address, with(&[("MAIL", "hang")]));
    let site = Site::new(hasty, servers.map(hang).into());
    let began = Instant::now();
    assert!(site.send("domain.example", &["x"]).await[0].starts_with("later 4.4"));
    // A server that is ready for mail has its whole time, and then nobody else is asked.
    let took = began.elapsed();
    assert!(took >= minutes(5) && took < minutes(5) + Duration::from_secs(1), "{took:?}");
    assert_eq!(site.network.connected().len(), 1);
    let site = Site::new(
        Options { timeouts: Timeouts { attempt: minutes(4), ..Timeouts::default() }, ..options() },
        vec![("192.0.2.1", with(&[("EHLO", "hang")])), ("192.0.2.2", Server::default())],
    );
    let began = Instant::now();
    assert_eq!(site.send("domain.example", &["x"]).await, ["later 4.4.2"]);
    assert!(began.elapsed() < minutes(4) + Duration::from_secs(1));
}

#[tokio::test(start_paused = true)]
async fn a_server_that_is_slow_with_each_recipient_gets_the_message() {
    for ehlo in [&["8BITMIME"][..], &["PIPELINING"]] {
        let minutes = |count: u64| Duration::from_secs(60 * count);
        let slow = |pause| Server { ehlo, slow: Some(("RCPT", pause)), ..Server::default() };
        let to: Vec<String> = (0..16).map(|at| format!("r{at}")).collect();
        let to: Vec<&str> = to.iter().map(String::as_str).collect();
        let mut hasty = options();
        hasty.timeouts.attempt = minutes(12);
        let site = Site::new(hasty, vec![("192.0.2.1", slow(minutes(1)))]);
        let got = site.send("other.example", &to).await;
        assert!(got.iter().all(|outcome| outcome.starts_with("a.example")), "{got:?}");
        // Slower still: whoever was named gets it now, the others at another time, all in the end.
        let site = one(slow(minutes(4)));
        let (mut left, mut attempts) = (to.clone(), 0);
        while !left.is_empty() {
            let got = site.send("other.example", &left).await;
            let is_late = |outcome: &&String| outcome.as_str() == "later 4.4.7";
            assert!(got.iter().filter(is_late).count() < left.len(), "{got:?}");
            let both = left.iter().zip(&got).filter(|(_, outcome)| is_late(outcome));
            left = both.map(|(local, _)| *local).collect();
            attempts += 1;
        }
        assert_eq!(attempts, 2, "{ehlo:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_server_that_drips_has_no_more_time_for_it() {
    struct Drip;
    impl Dial for Drip {
        fn connect(&self, _: SocketAddr) -> BoxFuture<'_, io::Result<BoxStream>> {
            Box::pin(async {
                let (near, mut far) = duplex(64);
                tokio::spawn(async move {
                    while far.write_all(b"2").await.is_ok() {
                        sleep(Duration::from_secs(60)).await;
                    }
                });
                Ok(Box::new(near) as BoxStream)
            })
        }

        fn secure<'a>(
            &'a self,
            _: BoxStream,
            _: &'a str,
            _: PeerCheck,
        ) -> BoxFuture<'a, io::Result<TlsStream>> {
            Box::pin(async { Err(io::ErrorKind::Unsupported.into()) })
        }
    }
    let world = World {
        dial: Arc::new(Drip),
        resolver: Arc::new(Zone),
        entropy: Arc::new(SeededEntropy::new(1)),
        log: Log::silent(),
    };
    let transmitter = Transmitter::new(options(), world);
    let began = Instant::now();
    let recipients = std::iter::once("x@other.example".to_owned());
    let outcomes = transmitter.transmit(consignment("other.example", recipients, "")).await;
    assert_eq!(short(&outcomes[0]), "later 4.4.2");
    assert!(began.elapsed() <= Duration::from_secs(301));
}

/// A message that does not fit into the pipe.
fn large(domain: &str) -> Consignment {
    let recipients = std::iter::once(format!("x@{domain}"));
    consignment(domain, recipients, &"a line of the message\r\n".repeat(100))
}

#[tokio::test(start_paused = true)]
async fn a_server_that_does_not_take_the_message_has_its_time_too() {
    for (reply, limit) in [
        ("354 go, then hang", Duration::from_secs(180)),
        ("354 go, then drip", Duration::from_secs(3600)),
    ] {
        let site = one(with(&[("DATA", reply)]));
        let began = Instant::now();
        let outcomes = site.transmitter.transmit(large("other.example")).await;
        let Outcome::Deferred(failure) = &outcomes[0] else { panic!("{outcomes:?}") };
        assert!(failure.text.contains("to take the message"), "{failure:?}");
        let took = began.elapsed();
        assert!(took >= limit && took < limit + Duration::from_secs(1), "{reply} {took:?}");
    }
    // What is under way is not broken off by the time for the attempt.
    let mut hasty = options();
    hasty.timeouts.attempt = Duration::from_secs(60);
    let site = Site::new(hasty, vec![("192.0.2.1", with(&[("DATA", "354 go, then hang")]))]);
    let began = Instant::now();
    site.transmitter.transmit(large("other.example")).await;
    assert!(began.elapsed() >= Duration::from_secs(180));
}

#[tokio::test(start_paused = true)]
async fn what_a_server_says_in_the_midst_of_a_message_is_heard() {
    let outcome = async |reply| {
        let site = two(with(&[("DATA", reply)]));
        short(&site.transmitter.transmit(large("domain.example")).await[0])
    };
    // It is read while the message waits to be written, or although it cannot be written any more.
    assert_eq!(outcome("354 go\r\n552 5.3.4 too much, then hang").await, "never 5.3.4");
    assert_eq!(outcome("354 go\r\n552 5.3.4 too much, then close").await, "never 5.3.4");
    assert_eq!(outcome("354 go\r\n421 4.3.2 bye, then close").await, "b.example");
    assert_eq!(outcome("354 go\r\n250 thanks, then close").await, "b.example");
    assert_eq!(outcome("354 go, then close").await, "b.example");
}

#[tokio::test(start_paused = true)]
async fn tls_is_used_where_it_is_offered_and_mail_goes_in_clear_if_it_fails() {
    let offers = || Server { ehlo: &["STARTTLS", "DSN"], ..Server::default() };
    let site = one(offers());
    assert_eq!(site.send("other.example", &["x"]).await, ["a.example tls"]);
    assert_eq!(site.network.heard("EHLO"), 2);
    assert_eq!(*site.network.checks.lock().unwrap(), [PeerCheck::Nothing]);
    let broken = || Server { tls_works: false, ..offers() };
    let site = one(broken());
    assert_eq!(site.send("other.example", &["x"]).await, ["a.example"]);
    assert_eq!(site.network.connected().len(), 2);
    // After that a server that insists on TLS does not speak of the mail.
    let replies = vec![("MAIL", "530 5.7.0 STARTTLS first")];
    let site = one(Server { replies, ..broken() });
    assert_eq!(site.send("other.example", &["x"]).await, ["later 4.7.0"]);
    for (tls, check) in
        [(TlsPolicy::Encrypt, PeerCheck::Nothing), (TlsPolicy::Verify, PeerCheck::Name)]
    {
        let options = || Options { tls, ..options() };
        let site = Site::new(options(), vec![("192.0.2.1", offers())]);
        assert_eq!(site.send("other.example", &["x"]).await, ["a.example tls"]);
        assert_eq!(*site.network.checks.lock().unwrap(), [check]);
        let site = Site::new(options(), vec![("192.0.2.1", broken())]);
        assert_eq!(site.send("other.example", &["x"]).await, ["later 4.7.5"]);
        let site = Site::new(options(), vec![("192.0.2.1", Server::default())]);
        assert_eq!(site.send("other.example", &["x"]).await, ["later 4.7.4"]);
        assert_eq!(site.network.heard("MAIL"), 0);
    }
}

#[tokio::test(start_paused = true)]
async fn one_handshake_that_fails_puts_one_message_in_clear() {
    let broken = Server { ehlo: &["STARTTLS", "DSN"], tls_works: false, ..Server::default() };
    let refuses = Server { replies: vec![("STARTTLS", "454 4.7.0 not now")], ..broken.clone() };
    for (server, connections) in [(broken, 2), (refuses, 1)] {
        let site = one(server);
        assert_eq!(site.send("other.example", &["x"]).await, ["a.example"]);
        assert_eq!(site.network.connected().len(), connections);
        assert_eq!(site.transmitter.pool.count(), 0);
        assert_eq!(site.send("other.example", &["x"]).await, ["a.example"]);
        let told = site.events.lines();
        let told = told.iter().filter(|line| line.starts_with("smtp.sent-in-clear"));
        assert_eq!((told.count(), site.network.heard("STARTTLS")), (2, 2));
        // As soon as it works again there is TLS, and the connection is kept.
        let works = Server { ehlo: &["STARTTLS", "DSN"], ..Server::default() };
        site.network.servers.lock().unwrap().insert("192.0.2.1".parse().unwrap(), works);
        assert_eq!(site.send("other.example", &["x"]).await, ["a.example tls"]);
        assert_eq!(site.transmitter.pool.count(), 1);
    }
}

#[tokio::test(start_paused = true)]
async fn octets_behind_starttls_are_never_heard() {
    let server = Server {
        ehlo: &["STARTTLS"],
        replies: vec![("STARTTLS", "220 go\r\n250-mx.example\r\n250 AUTH PLAIN")],
        ..Server::default()
    };
    let site = one(server);
    assert_eq!(site.send("other.example", &["x"]).await, ["later 4.5.0"]);
    assert_eq!((site.network.heard("EHLO"), site.network.heard("MAIL")), (1, 0));
    assert!(site.network.checks.lock().unwrap().is_empty());
}

fn relay(text: &str, credential: bool) -> Options {
    let password = || SecretBytes::copy_from(b"secret");
    let login = || Arc::new(Credential { user: "me".into(), password: password() });
    Options {
        relayhost: Some(Relayhost::parse(text).unwrap()),
        credential: credential.then(login),
        ..options()
    }
}

/// Whoever forges the MX records of the relay's domain gets neither the password nor the mail.
#[tokio::test(start_paused = true)]
async fn what_names_the_relay_is_the_configuration_where_its_certificate_is_checked() {
    let offers = || Server { ehlo: &["STARTTLS", "AUTH PLAIN", "DSN"], ..Server::default() };
    let site = |options| Site::new(options, vec![("192.0.2.1", offers()), ("192.0.2.2", offers())]);
    let verify = Options { tls: TlsPolicy::Verify, ..relay("isp.example", false) };
    for (options, logins) in [(relay("isp.example", true), 1), (verify, 0)] {
        let site = site(options);
        assert_eq!(site.send("elsewhere.example", &["x"]).await, ["isp.example tls"]);
        assert_eq!(site.network.connected(), ["192.0.2.1:25"]);
        assert_eq!(*site.network.checks.lock().unwrap(), [PeerCheck::Name]);
        assert_eq!(site.network.heard("AUTH"), logins);
    }
    let site = site(relay("isp.example", false));
    assert_eq!(site.send("elsewhere.example", &["x"]).await, ["b.example tls"]);
}

#[tokio::test(start_paused = true)]
async fn a_relay_takes_all_and_is_logged_in_to_over_verified_tls() {
    let offers = Server { ehlo: &["STARTTLS", "AUTH PLAIN", "DSN"], ..Server::default() };
    let servers = || vec![("192.0.2.1", offers.clone())];
    let site = Site::new(relay("[relay.example]:587", true), servers());
    assert_eq!(site.send("elsewhere.example", &["x"]).await, ["relay.example tls"]);
    assert_eq!(site.network.connected(), ["192.0.2.1:587"]);
    assert_eq!(*site.network.checks.lock().unwrap(), [PeerCheck::Name]);
    assert_eq!(site.network.heard("AUTH PLAIN AG1l"), 1);
    // TLS from the first octet.
    let site = Site::new(relay("[192.0.2.1]:465", true), servers());
    assert_eq!(site.send("elsewhere.example", &["x"]).await, ["192.0.2.1 tls"]);
    assert_eq!((site.network.heard("STARTTLS"), site.network.heard("AUTH")), (0, 1));
    let broken = Server { tls_works: false, ..offers.clone() };
    for text in ["[relay.example]:587", "[relay.example]:465"] {
        let site = Site::new(relay(text, true), vec![("192.0.2.1", broken.clone())]);
        assert_eq!(site.send("elsewhere.example", &["x"]).await, ["later 4.7.5"]);
        assert_eq!(site.network.heard("AUTH"), 0);
    }
    let refuses = Server { replies: vec![("AUTH", "535 5.7.8 no")], ..offers.clone() };
    let site = Site::new(relay("[relay.example]", true), vec![("192.0.2.1", refuses)]);
    assert_eq!(site.send("elsewhere.example", &["x"]).await, ["later 4.7.8"]);
    let site = Site::new(relay("other.example", false), servers());
    assert_eq!(site.send("elsewhere.example", &["x"]).await, ["a.example tls"]);
    assert_eq!(site.network.heard("AUTH"), 0);
    // Without a relay a credential is nobody's.
    let stray = Options { relayhost: None, ..relay("[relay.example]", true) };
    let site = Site::new(stray, servers());
    assert_eq!(site.send("other.example", &["x"]).await, ["a.example tls"]);
    assert_eq!(site.network.heard("AUTH"), 0);
}

#[tokio::test(start_paused = true)]
async fn addresses_take_turns_until_one_answers() {
    let site = one(Server::default());
    assert_eq!(site.send("six.example", &["x"]).await, ["six.example"]);
    assert_eq!(site.network.connected(), ["[2001:db8::1]:25", "192.0.2.1:25"]);
    let site =
        Site::new(Options { ipv6: false, ..options() }, vec![("192.0.2.1", Server::default())]);
    assert_eq!(site.send("six.example", &["x"]).await, ["six.example"]);
    assert_eq!(site.network.connected(), ["192.0.2.1:25"]);
    // A session that breaks by one family is tried by the other.
    let servers =
        vec![("2001:db8::1", with(&[("DATA", "hang")])), ("192.0.2.1", Server::default())];
    let site = Site::new(options(), servers);
    assert_eq!(site.send("six.example", &["x"]).await, ["six.example"]);
    assert_eq!(site.network.connected().len(), 2);
    assert_eq!(one(Server::default()).send("nowhere.example", &["x"]).await, ["never 5.4.4"]);
}

#[tokio::test(start_paused = true)]
async fn mail_does_not_go_in_a_circle() {
    let own = Options { own_addresses: vec!["0.0.0.0:25".parse().unwrap()], ..options() };
    let site = Site::new(own.clone(), vec![("127.0.0.1", Server::default())]);
    assert_eq!(site.send("near.example", &["x"]).await, ["never 5.4.6"]);
    assert!(site.network.connected().is_empty());
    let site = Site::new(Options { port: 2525, ..own }, vec![("127.0.0.1", Server::default())]);
    assert_eq!(site.send("near.example", &["x"]).await, ["near.example"]);
    let listed = Options { own_addresses: vec!["192.0.2.1:25".parse().unwrap()], ..options() };
    let site = Site::new(listed, vec![("192.0.2.1", Server::default())]);
    // The second server is no better than we are.
    assert_eq!(site.send("domain.example", &["x"]).await, ["never 5.4.6"]);
    let mirror = with(&[("EHLO", "250 US.example")]);
    assert_eq!(two(mirror).send("domain.example", &["x"]).await, ["never 5.4.6"]);
}

#[test]
fn reports_quote_the_server_in_one_line() {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let site = one(with(&[("RCPT", "550-5.1.1 no\x1b\r\n550 5.1.1 such user")]));
    let recipients = std::iter::once("x@other.example".to_owned());
    let consignment = consignment("other.example", recipients, "Hi\r\n");
    let outcomes = runtime.block_on(site.transmitter.transmit(consignment));
    let Outcome::Failed(failure) = &outcomes[0] else { panic!("{outcomes:?}") };
    assert_eq!(failure.text, "550 5.1.1 no? such user");
    assert_eq!(failure.host.as_deref(), Some("a.example"));
}

#[tokio::test(start_paused = true)]
async fn reports_put_no_words_into_the_mouth_of_a_server() {
    let recipient = || std::iter::once("x@other.example".to_owned());
    let site = one(with(&[("RCPT", "550 unknown user")]));
    let outcomes = site.transmitter.transmit(consignment("other.example", recipient(), "")).await;
    let Outcome::Failed(failure) = &outcomes[0] else { panic!("{outcomes:?}") };
    assert_eq!((failure.status.as_str(), failure.text.as_str()), ("5.0.0", "550 unknown user"));
    // Where the sentence is ours, the server is not named as who said it.
    let server = Server { ehlo: &["STARTTLS"], ..with(&[("STARTTLS", "454 not now")]) };
    let encrypt = Options { tls: TlsPolicy::Encrypt, ..options() };
    let site = Site::new(encrypt, vec![("192.0.2.1", server)]);
    let outcomes = site.transmitter.transmit(consignment("other.example", recipient(), "")).await;
    let Outcome::Deferred(failure) = &outcomes[0] else { panic!("{outcomes:?}") };
    assert_eq!(failure.host, None);
    assert_eq!(failure.text, "a.example: TLS is required, and the server said 454 not now");
}
