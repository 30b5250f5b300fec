//! The role without a network: the table of answers, and connections over pipes with the clock
//! standing still unless it is moved.

use super::*;
use crate::base::BoxFuture;
use crate::base::event::testing::Recorder;
use crate::mail::Address;
use crate::seams::{Published, TlsFacts, TlsStream};
use std::io;
use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream, duplex};
use tokio::task::JoinHandle;

const ALICE: &str = "kei1q4tipxxu1yj79k9kfukdhfy631xe";
const NOBODY: &str = "iy9q119eutrkn8s1mk4r39qejnbu3n5q";

/// Publishes one certificate: of alice in example.org.
struct Keys;

impl Publish for Keys {
    fn by_hash<'a>(&'a self, domain: &'a str, hash: &'a str) -> BoxFuture<'a, Option<Published>> {
        let found = (domain, hash) == ("example.org", ALICE);
        let address = "alice@example.org".parse().unwrap();
        let published = found.then(|| Published { address, certificate: b"CERT".to_vec() });
        Box::pin(std::future::ready(published))
    }

    fn by_address<'a>(&'a self, _: &'a Address) -> BoxFuture<'a, Option<Published>> {
        Box::pin(std::future::ready(None))
    }
}

async fn ask(method: &str, host: Option<&str>, path: &str) -> Answer {
    let domains = ["example.org".to_owned(), "openpgpkey.example.net".to_owned()];
    answer(&domains, &Keys, &Question { method, host, path }).await
}

#[tokio::test]
async fn the_table_of_questions() {
    let key = || Answer::Key(b"CERT".to_vec());
    let (direct, advanced) = ("/.well-known/openpgpkey/", "/.well-known/openpgpkey/example.org/");
    let table = [
        ("openpgpkey.example.org", format!("{advanced}hu/{ALICE}"), key()),
        ("OpenPGPkey.Example.ORG.:443", format!("{advanced}hu/{ALICE}"), key()),
        ("example.org", format!("{direct}hu/{ALICE}"), key()),
        ("example.org:8443", format!("{direct}hu/{ALICE}"), key()),
        ("openpgpkey.example.org", format!("{advanced}policy"), Answer::Policy),
        ("example.org", format!("{direct}policy"), Answer::Policy),
        ("openpgpkey.example.net", format!("{direct}policy"), Answer::Policy),
        // Not found, whatever the reason.
        ("example.org", format!("{direct}hu/{NOBODY}"), Answer::NotFound),
        ("example.org", format!("{direct}hu/{}", ALICE.to_uppercase()), Answer::NotFound),
        ("example.org", format!("{direct}hu/{ALICE}/"), Answer::NotFound),
        ("example.org", format!("{direct}hu/{}", &ALICE[1..]), Answer::NotFound),
        ("example.org", format!("{direct}hu/../policy"), Answer::NotFound),
        ("example.org", format!("{direct}hu/"), Answer::NotFound),
        ("example.org", format!("{direct}hu"), Answer::NotFound),
        ("example.org", direct.to_owned(), Answer::NotFound),
        ("example.org", format!("{direct}submission-address"), Answer::NotFound),
        ("example.org", "/".to_owned(), Answer::NotFound),
        ("example.org", "*".to_owned(), Answer::NotFound),
        ("example.org", format!("{advanced}hu/{ALICE}"), Answer::NotFound),
        ("openpgpkey.example.org", format!("{direct}hu/{ALICE}"), Answer::NotFound),
        ("openpgpkey.example.org", format!("{direct}example.net/hu/{ALICE}"), Answer::NotFound),
        // Not ours.
        ("mail.example.org", format!("{direct}hu/{ALICE}"), Answer::Misdirected),
        ("example.org.evil.example", format!("{direct}hu/{ALICE}"), Answer::Misdirected),
        ("openpgpkey.example.com", format!("{advanced}hu/{ALICE}"), Answer::Misdirected),
        ("user@example.org", format!("{direct}hu/{ALICE}"), Answer::Misdirected),
        ("", format!("{direct}hu/{ALICE}"), Answer::Misdirected),
        ("[::1]:443", format!("{direct}hu/{ALICE}"), Answer::Misdirected),
    ];
    for (host, path, wanted) in table {
        assert_eq!(ask("GET", Some(host), &path).await, wanted, "{host} {path}");
        assert_eq!(ask("HEAD", Some(host), &path).await, wanted, "{host} {path}");
        let posted = ask("POST", Some(host), &path).await;
        assert_eq!(posted, Answer::MethodNotAllowed, "{host} {path}");
    }
    assert_eq!(ask("GET", None, "/").await, Answer::BadRequest);
}

#[test]
fn urls_are_those_of_the_draft() {
    let urls = key_urls("example.org", NOBODY, "Joe.Doe");
    let hash = "hu/iy9q119eutrkn8s1mk4r39qejnbu3n5q?l=Joe.Doe";
    let advanced = "https://openpgpkey.example.org/.well-known/openpgpkey/example.org/";
    assert_eq!(urls[0], format!("{advanced}{hash}"));
    assert_eq!(urls[1], format!("https://example.org/.well-known/openpgpkey/{hash}"));
    assert!(key_urls("example.org", NOBODY, "a&b ä")[1].ends_with("?l=a%26b%20%C3%A4"));
}

proptest::proptest! {
    #[test]
    fn nothing_but_the_two_paths_gets_a_key(host in ".{0,40}", path in ".{0,90}") {
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        let got = runtime.block_on(ask("GET", Some(&host), &path));
        proptest::prop_assert!(!matches!(got, Answer::Key(_)));
    }
}

/// Hands the stream through as if it were protected.
struct Open;

impl UpgradeTls for Open {
    fn accept(&self, stream: BoxStream) -> BoxFuture<'_, io::Result<TlsStream>> {
        let facts = TlsFacts { version: "TLSv1.3", cipher: "none", server_name: None };
        Box::pin(std::future::ready(Ok(TlsStream { stream, facts })))
    }
}

/// A handshake that never comes.
struct Stuck;

impl UpgradeTls for Stuck {
    fn accept(&self, _: BoxStream) -> BoxFuture<'_, io::Result<TlsStream>> {
        Box::pin(std::future::pending())
    }
}

struct Client {
    stream: DuplexStream,
    words: Arc<Recorder>,
    stop: watch::Sender<bool>,
    task: JoinHandle<()>,
}

impl Client {
    fn connect(tls: impl UpgradeTls + 'static) -> Client {
        let words = Arc::new(Recorder::default());
        let log = Log::new(words.clone());
        let options = Options { domains: vec!["example.org".into()], ..Options::default() };
        let world = World { publish: Arc::new(Keys), tls: Arc::new(tls), log };
        let web = Web::new(options, world);
        let (stream, theirs) = duplex(64 * 1024);
        let (stop, stopping) = watch::channel(false);
        let peer = "192.0.2.1".parse().unwrap();
        let task = tokio::spawn(async move { web.serve(Box::new(theirs), peer, stopping).await });
        Client { stream, words, stop, task }
    }

    async fn say(&mut self, text: &str) {
        self.stream.write_all(text.as_bytes()).await.unwrap();
    }

    /// Everything until the server closes.
    async fn rest(mut self) -> (String, Vec<String>) {
        let mut said = Vec::new();
        self.stream.read_to_end(&mut said).await.unwrap();
        self.task.await.unwrap();
        let words = self.words.lines();
        (String::from_utf8(said).unwrap(), words)
    }
}

fn get(path: &str, more: &str) -> String {
    format!("GET {path} HTTP/1.1\r\nHost: example.org\r\n{more}\r\n")
}

fn key_path() -> String {
    format!("/.well-known/openpgpkey/hu/{ALICE}?l=Alice")
}

#[tokio::test(start_paused = true)]
async fn a_key_comes_whole_with_its_fields_and_nobody_says_what_serves_it() {
    let mut client = Client::connect(Open);
    client.say(&get(&key_path(), "")).await;
    client.say(&get(&key_path(), "Connection: close\r\n").replace("GET", "HEAD")).await;
    let (said, words) = client.rest().await;
    let (first, second) = said.split_once("CERT").unwrap();
    for head in [first, second] {
        let head = head.to_ascii_lowercase();
        assert!(head.starts_with("http/1.1 200 ok\r\n"), "{head}");
        assert!(head.contains("\r\ncontent-type: application/octet-stream\r\n"), "{head}");
        assert!(head.contains("\r\ncontent-length: 4\r\n"), "{head}");
        assert!(head.contains("\r\naccess-control-allow-origin: *\r\n"), "{head}");
        assert!(head.contains("\r\ncache-control: max-age="), "{head}");
        assert!(head.ends_with("\r\n\r\n") && !head.contains("\r\nserver:"), "{head}");
    }
    assert_eq!(words, ["web.ended peer=192.0.2.1 why=closed requests=2 keys=2"]);
}

#[tokio::test(start_paused = true)]
async fn what_is_not_found_looks_the_same_whatever_was_asked_for() {
    let mut seen = std::collections::BTreeSet::new();
    for path in ["/", "/index.html", "/.well-known/openpgpkey/hu/", "/.well-known/security.txt"] {
        seen.insert(alone(path).await);
    }
    seen.insert(alone(&format!("/.well-known/openpgpkey/hu/{NOBODY}")).await);
    assert_eq!(seen.len(), 1, "{seen:?}");
    assert!(seen.pop_first().unwrap().starts_with("HTTP/1.1 404 "));
}

/// The answer to one question, without the time.
async fn alone(path: &str) -> String {
    let mut client = Client::connect(Open);
    client.say(&get(path, "Connection: close\r\n")).await;
    let said = client.rest().await.0;
    said.lines().filter(|line| !line.starts_with("date:")).collect::<Vec<_>>().join("\n")
}

#[tokio::test(start_paused = true)]
async fn a_client_that_drips_is_cut_off_in_time() {
    let mut client = Client::connect(Open);
    let begun = tokio::time::Instant::now();
    client.say("GET / HTTP/1.1\r\nHost: example.org\r\n").await;
    for _ in 0..100 {
        tokio::time::sleep(Duration::from_secs(1)).await;
        if client.stream.write_all(b"X: y\r\n").await.is_err() {
            break;
        }
    }
    assert!(begun.elapsed() <= Duration::from_secs(12), "{:?}", begun.elapsed());
    assert_eq!(client.rest().await.1, ["web.ended peer=192.0.2.1 why=silence requests=0 keys=0"]);
}

#[tokio::test(start_paused = true)]
async fn silence_between_requests_and_a_long_life_both_end() {
    let mut silent = Client::connect(Open);
    silent.say(&get("/", "")).await;
    let begun = tokio::time::Instant::now();
    let (said, _) = silent.rest().await;
    assert!(said.starts_with("HTTP/1.1 404 "), "{said}");
    assert!(begun.elapsed() <= Duration::from_secs(11), "{:?}", begun.elapsed());

    let mut busy = Client::connect(Open);
    let begun = tokio::time::Instant::now();
    while busy.stream.write_all(get("/", "").as_bytes()).await.is_ok() {
        tokio::time::sleep(Duration::from_secs(5)).await;
    }
    assert!(begun.elapsed() <= Duration::from_secs(66), "{:?}", begun.elapsed());
    assert!(busy.rest().await.1[0].contains(" why=time "));
}

#[tokio::test(start_paused = true)]
async fn a_handshake_has_its_time() {
    let client = Client::connect(Stuck);
    let begun = tokio::time::Instant::now();
    assert_eq!(client.rest().await.1, ["web.handshake-failed peer=192.0.2.1"]);
    assert!(begun.elapsed() <= Duration::from_secs(11), "{:?}", begun.elapsed());
}

#[tokio::test(start_paused = true)]
async fn a_hundred_questions_are_all_for_one_connection() {
    let mut client = Client::connect(Open);
    for _ in 0..150 {
        // Those after the last answer may find the connection closed.
        let _ = client.stream.write_all(get("/", "").as_bytes()).await;
    }
    let (said, words) = client.rest().await;
    assert_eq!(said.matches("HTTP/1.1 404 ").count(), 100);
    assert_eq!(said.matches("connection: close").count(), 1);
    assert_eq!(words, ["web.ended peer=192.0.2.1 why=closed requests=100 keys=0"]);
}

#[tokio::test(start_paused = true)]
async fn headers_without_end_and_bodies_are_not_read() {
    let long = format!("X: {}\r\n", "y".repeat(16 * 1024));
    let many = "X: y\r\n".repeat(200);
    for more in [long, many] {
        let mut client = Client::connect(Open);
        client.say(&get(&key_path(), &more)).await;
        let (said, _) = client.rest().await;
        assert!(said.starts_with("HTTP/1.1 431 "), "{said}");
    }
    let mut client = Client::connect(Open);
    let posted = get("/", "Content-Length: 1000000\r\n").replace("GET", "POST");
    client.say(&posted).await;
    client.say(&"z".repeat(30_000)).await;
    let (said, words) = client.rest().await;
    assert!(said.starts_with("HTTP/1.1 405 "), "{said}");
    assert_eq!(words, ["web.ended peer=192.0.2.1 why=closed requests=1 keys=0"]);
}

#[tokio::test(start_paused = true)]
async fn two_hosts_are_none() {
    let mut client = Client::connect(Open);
    client.say(&get(&key_path(), "Host: other.example\r\nConnection: close\r\n")).await;
    let (said, _) = client.rest().await;
    assert!(said.starts_with("HTTP/1.1 400 "), "{said}");
}

#[tokio::test(start_paused = true)]
async fn the_end_of_the_server_ends_idle_connections_at_once() {
    let mut client = Client::connect(Open);
    client.say(&get("/", "")).await;
    tokio::time::sleep(Duration::from_millis(10)).await;
    let begun = tokio::time::Instant::now();
    client.stop.send_replace(true);
    assert_eq!(client.rest().await.1, ["web.ended peer=192.0.2.1 why=shutdown requests=1 keys=0"]);
    assert!(begun.elapsed() < Duration::from_secs(1), "{:?}", begun.elapsed());
}
