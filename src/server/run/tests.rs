//! The whole server on loopback ports that the system chooses.

use super::*;
use crate::base::clock::Clock;
use crate::base::fetch::{Fetch, FetchRequest, Fetched};
use crate::base::secret::SecretBytes;
use crate::config::{Config, parse};
use crate::host::clock::SystemClock;
use crate::host::fetch::HttpsFetch;
use crate::host::{control, files, test_ca};
use crate::server::protocol::{Octets, Text};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::task::JoinHandle;

struct Site(PathBuf);

impl Site {
    fn new(name: &str) -> Site {
        let dir = std::env::temp_dir().join(format!("postseal-run-{name}-{}", std::process::id()));
        let _ = std::fs::remove_dir_all(&dir);
        let site = Site(dir);
        site.renew_certificate();
        site.configure("");
        site
    }

    fn renew_certificate(&self) {
        let made =
            test_ca::make(&["localhost", "openpgpkey.example.test"], SystemClock::new().now())
                .unwrap();
        let _ = std::fs::remove_dir_all(self.0.join("tls"));
        files::create_private(&self.0.join("tls/ca.pem"), made.authority.as_bytes()).unwrap();
        files::create_private(&self.0.join("tls/cert.pem"), made.certificate.as_bytes()).unwrap();
        files::create_private(&self.0.join("tls/key.pem"), made.key.as_bytes()).unwrap();
    }

    fn file(&self) -> PathBuf {
        self.0.join("postseal.toml")
    }

    fn configure(&self, more: &str) {
        let text = format!(
            "[server]\nhostname = \"localhost\"\ndata_dir = \"data\"\n\
             control_socket = \"control\"\n\
             drain = \"1 d\"\n[keys]\njournal = \"keys/journal.key\"\n\
             queue = \"keys/queue.key\"\n\
             [mail]\ndomains = [\"example.test\"]\n\
             [listen]\nsmtp = [\"127.0.0.1:0\"]\nsubmission = []\nsubmissions = []\n\
             imap = [\"127.0.0.1:0\"]\nimaps = []\nhttps = [\"127.0.0.1:0\"]\n\
             [tls]\ncertificate = \"tls/cert.pem\"\nkey = \"tls/key.pem\"\n\
             [log]\ndestination = \"log\"\n{more}"
        );
        std::fs::write(self.file(), text).unwrap();
    }

    fn config(&self) -> Config {
        parse(&std::fs::read_to_string(self.file()).unwrap(), &self.file()).unwrap()
    }

    async fn start(&self) -> Running {
        let server = Server::start(&self.file(), self.config()).await.unwrap();
        let password = SecretBytes::new(b"correct horse battery staple".to_vec());
        // Fails where an earlier start has made it.
        let _ = server.mailboxes().add("alice@example.test", password).await;
        let addresses = server.listeners.iter().map(|l| (l.kind(), l.address().unwrap())).collect();
        let (tell, told) = mpsc::channel(4);
        let shared = Arc::clone(&server.shared);
        Running { addresses, shared, tell, task: tokio::spawn(server.serve(told)) }
    }

    async fn ask(&self, request: &str) -> serde_json::Value {
        let (path, request) = (self.0.join("control"), request.to_owned());
        let line = tokio::task::spawn_blocking(move || control::ask(&path, request.as_bytes()));
        serde_json::from_slice(&line.await.unwrap().unwrap()).unwrap()
    }

    fn log(&self) -> String {
        std::fs::read_to_string(self.0.join("log")).unwrap()
    }
}

impl Drop for Site {
    fn drop(&mut self) {
        // The reserve alone has 64 MiB.
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

struct Running {
    addresses: Vec<(Kind, SocketAddr)>,
    shared: Arc<Shared>,
    tell: mpsc::Sender<Told>,
    task: JoinHandle<io::Result<()>>,
}

impl Running {
    fn address(&self, kind: Kind) -> SocketAddr {
        self.addresses.iter().find(|known| known.0 == kind).unwrap().1
    }

    async fn stop(self) {
        self.tell.send(Told::Stop).await.unwrap();
        self.task.await.unwrap().unwrap();
    }
}

async fn greeting(address: SocketAddr) -> (TcpStream, String) {
    let mut stream = TcpStream::connect(address).await.unwrap();
    let mut buffer = [0; 512];
    let len = stream.read(&mut buffer).await.unwrap();
    (stream, String::from_utf8_lossy(&buffer[..len]).into_owned())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn it_starts_greets_reports_and_starts_again_on_the_same_directory() {
    let site = Site::new("again");
    for round in 0..2 {
        let running = site.start().await;
        let (_, smtp) = greeting(running.address(Kind::Smtp)).await;
        assert!(smtp.starts_with("220 localhost "), "round {round}: {smtp}");
        let (_imap, text) = greeting(running.address(Kind::Imap)).await;
        assert!(text.starts_with("* OK "), "round {round}: {text}");
        let status = site.ask("{\"verb\":\"status\"}").await;
        assert_eq!(status["answer"], "status");
        assert_eq!(site.ask("{\"verb\":\"nonsense\"}").await["answer"], "failed");
        running.stop().await;
    }
    assert_eq!(site.log().matches("server.stopped").count(), 2);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_second_server_on_the_same_directory_is_refused() {
    let site = Site::new("twice");
    let running = site.start().await;
    let error = Server::start(&site.file(), site.config()).await.unwrap_err();
    assert!(matches!(error, crate::server::StartError::Store(_)), "{error}");
    running.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_journal_without_its_key_is_not_taken_over() {
    let site = Site::new("nokey");
    site.start().await.stop().await;
    std::fs::remove_file(site.0.join("keys/journal.key")).unwrap();
    let error = Server::start(&site.file(), site.config()).await.unwrap_err();
    assert!(matches!(error, crate::server::StartError::JournalKeyMissing(_)), "{error}");
    assert!(!Path::exists(&site.0.join("keys/journal.key")));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_idle_session_is_ended_when_the_server_stops() {
    let site = Site::new("drain");
    let running = site.start().await;
    let (mut smtp, _) = greeting(running.address(Kind::Smtp)).await;
    smtp.write_all(b"EHLO test.example\r\n").await.unwrap();
    let mut buffer = [0; 2048];
    assert!(smtp.read(&mut buffer).await.unwrap() > 0);
    running.stop().await;
    let len = smtp.read(&mut buffer).await.unwrap();
    assert!(buffer[..len].starts_with(b"421 "), "{:?}", String::from_utf8_lossy(&buffer[..len]));
    assert_eq!(smtp.read(&mut buffer).await.unwrap(), 0);
    assert!(site.log().contains("\"cut_off\":0"));
}

/// A session with a message half sent.
async fn in_data(address: SocketAddr) -> TcpStream {
    let (mut smtp, _) = greeting(address).await;
    for line in [
        "EHLO test.example\r\n",
        "MAIL FROM:<bob@test.example>\r\n",
        "RCPT TO:<alice@example.test>\r\n",
        "DATA\r\n",
    ] {
        let said = say(&mut smtp, line).await;
        assert!(said.starts_with("250") || said.starts_with("354"), "{line}: {said}");
    }
    smtp.write_all(b"Subject: half\r\n").await.unwrap();
    smtp
}

async fn say(smtp: &mut TcpStream, line: &str) -> String {
    smtp.write_all(line.as_bytes()).await.unwrap();
    let mut buffer = [0; 2048];
    let len = smtp.read(&mut buffer).await.unwrap();
    String::from_utf8_lossy(&buffer[..len]).into_owned()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_message_under_way_is_finished_before_the_end() {
    let site = Site::new("finish");
    let running = site.start().await;
    let mut smtp = in_data(running.address(Kind::Smtp)).await;
    running.tell.send(Told::Stop).await.unwrap();
    let said = say(&mut smtp, "\r\nwhole\r\n.\r\n").await;
    assert!(said.starts_with("250 "), "{said}");
    running.task.await.unwrap().unwrap();
    assert!(site.log().contains("\"cut_off\":0"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_second_stop_does_not_wait() {
    let site = Site::new("second");
    let running = site.start().await;
    let mut smtp = in_data(running.address(Kind::Smtp)).await;
    running.tell.send(Told::Stop).await.unwrap();
    // The drain is a day, so this ends only by the second stop.
    running.stop().await;
    let mut rest = Vec::new();
    let _ = smtp.read_to_end(&mut rest).await;
    assert!(!rest.starts_with(b"250"), "{:?}", String::from_utf8_lossy(&rest));
    assert!(site.log().contains("\"cut_off\":1"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_reload_takes_what_it_can_and_names_what_must_wait() {
    let site = Site::new("reload");
    let running = site.start().await;
    site.renew_certificate();
    site.configure("[accounts]\nwaiting = 7\n");
    assert_eq!(site.ask("{\"verb\":\"reload\"}").await["answer"], "done");
    site.configure("[acounts]\nwaiting = 7\n");
    let failed = site.ask("{\"verb\":\"reload\"}").await;
    assert!(failed["error"].as_str().unwrap().contains("did you mean [accounts]?"), "{failed}");
    running.stop().await;
    let log = site.log();
    assert!(log.contains("\"section\":\"accounts\",\"key\":\"waiting\""), "{log}");
    assert!(log.contains("server.not-reloaded"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_reload_that_fails_at_the_last_changes_nothing() {
    let site = Site::new("whole");
    site.configure("[outgoing]\nrelayhost = \"[before.example]\"\n");
    let running = site.start().await;
    let route = || running.shared.sending.transmitter.route("else.example");
    assert_eq!(route().await.unwrap(), ["before.example"]);
    site.configure("[outgoing]\nrelayhost = \"[after.example]\"\n");
    let good = std::fs::read_to_string(site.file()).unwrap();
    let bad = good.replace("destination = \"log\"", "destination = \"none/log\"");
    std::fs::write(site.file(), bad).unwrap();
    let failed = site.ask("{\"verb\":\"reload\"}").await;
    assert!(failed["error"].as_str().unwrap().starts_with("log.destination: "), "{failed}");
    assert_eq!(route().await.unwrap(), ["before.example"]);
    std::fs::write(site.file(), good).unwrap();
    assert_eq!(site.ask("{\"verb\":\"reload\"}").await["answer"], "done");
    assert_eq!(route().await.unwrap(), ["after.example"]);
    running.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn aliases_that_lead_to_nobody_are_named_at_start_reload_and_removal() {
    let site = Site::new("aliases");
    std::fs::write(site.0.join("aliases"), "a: alice\n# bob\nteam: alice, bob\n").unwrap();
    let text = std::fs::read_to_string(site.file()).unwrap();
    let more = "[mail]\naliases = \"aliases\"\npostmaster = \"alice@example.test\"\n";
    std::fs::write(site.file(), text.replace("[mail]\n", more)).unwrap();
    let running = site.start().await;
    let logged = |what: &str, times: usize| {
        let (log, what) = (site.0.join("log"), what.to_owned());
        async move {
            for _ in 0..500 {
                if std::fs::read_to_string(&log).unwrap().matches(&what).count() == times {
                    return;
                }
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
            panic!("{what}: {}", std::fs::read_to_string(&log).unwrap());
        }
    };
    logged("\"event\":\"smtp.alias-broken\",\"line\":3}", 1).await;
    let removed = site.ask("{\"verb\":\"account-remove\",\"address\":\"alice\"}").await;
    assert_eq!(removed["answer"], "removed", "{removed}");
    assert_eq!(removed["aliases"], serde_json::json!([[1, "a"]]), "{removed}");
    assert_eq!(removed["postmaster"], true, "{removed}");
    assert_eq!(site.ask("{\"verb\":\"reload\"}").await["answer"], "done");
    logged("smtp.alias-broken", 3).await;
    logged("smtp.postmaster-broken", 1).await;
    std::fs::write(site.0.join("aliases"), "a: b\nb: a\n").unwrap();
    let failed = site.ask("{\"verb\":\"reload\"}").await;
    assert!(failed["error"].as_str().unwrap().contains("aliases: line 1: a loop"), "{failed}");
    running.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_others_hold_against_the_certificate_is_said_once() {
    let site = Site::new("doubted");
    let text = std::fs::read_to_string(site.file()).unwrap();
    let text = text.replace("hostname = \"localhost\"", "hostname = \"mail.example.test\"");
    std::fs::write(site.file(), text).unwrap();
    let running = site.start().await;
    for _ in 0..3 {
        reload::doubted_certificates(&running.shared);
    }
    site.renew_certificate();
    for _ in 0..2 {
        assert_eq!(site.ask("{\"verb\":\"reload\"}").await["answer"], "done");
    }
    running.stop().await;
    assert_eq!(site.log().matches("server.certificate-doubted").count(), 2, "{}", site.log());
    assert_eq!(site.log().matches("\"why\":\"other-name\"").count(), 2);
}

/// What is found where programs look for alice's key.
async fn look_up(site: &Site, address: SocketAddr) -> Fetched {
    let fetch = HttpsFetch::new(Some(&site.0.join("tls/ca.pem"))).unwrap();
    let path = "/.well-known/openpgpkey/example.test/hu/kei1q4tipxxu1yj79k9kfukdhfy631xe?l=alice";
    let request = FetchRequest {
        host: "openpgpkey.example.test".into(),
        address: address.ip(),
        port: address.port(),
        path: path.into(),
        body_bytes_max: 64 * 1024,
        time_max: Duration::from_secs(20),
    };
    fetch.get(request).await.unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_key_is_found_over_https_until_its_owner_wants_it_no_longer() {
    let site = Site::new("wkd");
    let running = site.start().await;
    let address = running.address(Kind::Https);
    let key = site.ask("{\"verb\":\"key-show\",\"address\":\"alice\"}").await["key"].clone();
    let found = look_up(&site, address).await;
    assert_eq!(found.status, 200);
    let facts = crate::pgp::facts(&found.body, SystemClock::new().now()).unwrap();
    assert_eq!(facts.fingerprint.to_string(), key["fingerprint"], "{key}");
    assert_eq!(key["user_ids"][0], "alice@example.test");
    assert_eq!(key["wkd_hash"], "kei1q4tipxxu1yj79k9kfukdhfy631xe");
    let publish = |on| format!("{{\"verb\":\"key-publish\",\"address\":\"alice\",\"on\":{on}}}");
    assert_eq!(site.ask(&publish(false)).await["answer"], "done");
    assert_eq!(look_up(&site, address).await.status, 404);
    assert_eq!(site.ask(&publish(true)).await["answer"], "done");
    assert_eq!(look_up(&site, address).await.status, 200);
    // The renewed certificate is served without anybody telling.
    site.renew_certificate();
    reload::renewed_certificates(&running.shared);
    assert_eq!(look_up(&site, address).await.status, 200);
    let status = site.ask("{\"verb\":\"status\"}").await;
    assert_eq!(status["sessions"][5][0], "https", "{status}");
    running.stop().await;
    assert_eq!(site.log().matches("server.certificate-renewed").count(), 2);
    assert!(!site.log().contains("alice"), "whose key was asked for is in no log");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn secret_keys_go_out_and_come_in_with_a_credential_alone() {
    let site = Site::new("keys");
    let running = site.start().await;
    let export = |credential| {
        format!(
            "{{\"verb\":\"key-export\",\"address\":\"alice\",\"credential\":\"{credential}\",\
             \"storage\":false}}"
        )
    };
    let refused = site.ask(&export("not the right words at all")).await;
    assert_eq!(refused["answer"], "failed", "{refused}");
    let shown = site.ask(&export("correct horse battery staple")).await;
    let armoured = shown["secret"].as_str().unwrap();
    assert!(armoured.starts_with("-----BEGIN PGP PRIVATE KEY BLOCK-----"));
    let key = Octets(SecretBytes::new(armoured.as_bytes().to_vec()));
    let import = Request::KeyImport {
        address: "alice".into(),
        credential: Text(SecretBytes::new(b"correct horse battery staple".to_vec())),
        key,
        passphrase: None,
    };
    let done = site.ask(&serde_json::to_string(&import).unwrap()).await;
    assert_eq!(done["answer"], "done", "{done}");
    running.stop().await;
    assert!(!site.log().contains("PRIVATE"));
}
