//! Handshakes in memory against rustls' own client.

use super::*;
use crate::base::clock::{Clock, UnixTime};
use crate::host::clock::SystemClock;
use crate::host::test_ca;
use rustls::pki_types::ServerName;
use rustls::{ClientConfig, RootCertStore, SupportedProtocolVersion};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

struct Site {
    dir: PathBuf,
    authority: String,
}

impl Site {
    fn new(name: &str) -> Site {
        let dir = std::env::temp_dir().join(format!("postseal-tls-{name}-{}", std::process::id()));
        let _ = std::fs::remove_dir_all(&dir);
        let mut site = Site { dir, authority: String::new() };
        site.renew();
        site
    }

    /// Puts a fresh authority, certificate and key in place.
    fn renew(&mut self) {
        let made = test_ca::make(&["localhost", "127.0.0.1"], SystemClock::new().now()).unwrap();
        let _ = std::fs::remove_dir_all(&self.dir);
        files::create_private(&self.certificate(), made.certificate.as_bytes()).unwrap();
        files::create_private(&self.key(), made.key.as_bytes()).unwrap();
        self.authority = made.authority;
    }

    fn certificate(&self) -> PathBuf {
        self.dir.join("cert.pem")
    }

    fn key(&self) -> PathBuf {
        self.dir.join("key.pem")
    }

    fn tls(&self) -> Tls {
        Tls::load(&self.certificate(), &self.key()).unwrap()
    }

    fn client(&self, versions: &[&'static SupportedProtocolVersion]) -> Arc<ClientConfig> {
        let mut roots = RootCertStore::empty();
        roots.add(CertificateDer::from_pem_slice(self.authority.as_bytes()).unwrap()).unwrap();
        let config = ClientConfig::builder_with_provider(Arc::new(offered()))
            .with_protocol_versions(versions)
            .unwrap()
            .with_root_certificates(roots)
            .with_no_client_auth();
        Arc::new(config)
    }
}

async fn shake(
    tls: &Tls,
    client: Arc<ClientConfig>,
) -> (io::Result<TlsStream>, io::Result<tokio_rustls::client::TlsStream<tokio::io::DuplexStream>>) {
    let (near, far) = tokio::io::duplex(64 * 1024);
    let name = ServerName::try_from("localhost").unwrap();
    let connector = tokio_rustls::TlsConnector::from(client);
    tokio::join!(tls.accept(Box::new(near)), connector.connect(name, far))
}

#[tokio::test]
async fn both_versions_are_served_and_the_hybrid_group_is_taken() {
    let site = Site::new("versions");
    let tls = site.tls();
    for (version, name) in
        [(&rustls::version::TLS13, "TLSv1.3"), (&rustls::version::TLS12, "TLSv1.2")]
    {
        let (server, client) = shake(&tls, site.client(&[version])).await;
        let (mut server, mut client) = (server.unwrap(), client.unwrap());
        assert_eq!(server.facts.version, name);
        assert_eq!(server.facts.server_name.as_deref(), Some("localhost"));
        if name == "TLSv1.3" {
            let group = client.get_ref().1.negotiated_key_exchange_group().unwrap().name();
            assert_eq!(group, rustls::NamedGroup::X25519MLKEM768);
        }
        client.write_all(b"hello").await.unwrap();
        client.flush().await.unwrap();
        let mut got = [0; 5];
        server.stream.read_exact(&mut got).await.unwrap();
        assert_eq!(&got, b"hello");
    }
}

#[tokio::test]
async fn a_reload_serves_the_new_certificate_and_a_bad_one_keeps_the_old() {
    let mut site = Site::new("reload");
    let tls = site.tls();
    let old_client = site.client(&[&rustls::version::TLS13]);
    site.renew();
    let new_client = site.client(&[&rustls::version::TLS13]);
    assert!(shake(&tls, Arc::clone(&new_client)).await.1.is_err());
    tls.reload(&site.certificate(), &site.key()).unwrap();
    assert!(shake(&tls, Arc::clone(&new_client)).await.1.is_ok());
    assert!(shake(&tls, old_client).await.1.is_err());
    std::fs::write(site.key(), "nonsense").unwrap();
    assert!(matches!(tls.reload(&site.certificate(), &site.key()), Err(TlsError::NoKey(_))));
    assert!(shake(&tls, new_client).await.1.is_ok());
}

#[test]
fn errors_name_the_file() {
    let site = Site::new("errors");
    let other = Site::new("errors-other");
    let text =
        |certificate: &Path, key: &Path| check_pair(certificate, key).unwrap_err().to_string();
    assert!(text(&site.dir.join("none.pem"), &site.key()).contains("none.pem"));
    assert!(text(&site.key(), &site.key()).contains("no PEM certificate"));
    assert!(text(&site.certificate(), &site.certificate()).contains("no PEM private key"));
    assert!(text(&site.certificate(), &other.key()).contains("is not the key of"));
    assert!(check_pair(&site.certificate(), &site.key()).is_ok());
}

#[test]
fn a_ticket_key_lives_an_hour_at_most() {
    // The library accepts tickets for twice the span in which it makes them.
    const { assert!(2 * TICKET_KEY_SECONDS <= 3600) };
    let ticket = ticket_key().unwrap();
    let sealed = ticket.encrypt(b"state").unwrap();
    assert_eq!(ticket.decrypt(&sealed).unwrap(), b"state");
    assert!(ticket_key().unwrap().decrypt(&sealed).is_none());
}

#[test]
fn only_ephemeral_aead_suites_are_offered() {
    for suite in offered().cipher_suites {
        let name = registered_name(suite.suite());
        let ephemeral = suite.tls13().is_some() || name.starts_with("TLS_ECDHE_");
        let aead = name.contains("_GCM_") || name.contains("_CHACHA20_POLY1305_");
        assert!(ephemeral && aead, "{name}");
    }
}

#[tokio::test]
async fn files_that_change_are_read_again_once_and_no_sooner() {
    let mut site = Site::new("changed");
    let tls = site.tls();
    let look = |site: &Site| tls.reload_if_changed(&site.certificate(), &site.key());
    assert!(!look(&site).unwrap());
    let old = site.client(&[&rustls::version::TLS13]);
    site.renew();
    assert!(look(&site).unwrap());
    assert!(!look(&site).unwrap());
    assert!(shake(&tls, old).await.1.is_err());
    assert!(shake(&tls, site.client(&[&rustls::version::TLS13])).await.1.is_ok());
    // A key that does not fit yet is reported once, and the pair is taken when it does.
    let other = Site::new("changed-other");
    let (own, foreign) = (site.dir.join("own"), other.key());
    std::fs::rename(site.key(), &own).unwrap();
    std::fs::copy(foreign, site.key()).unwrap();
    assert!(matches!(look(&site), Err(TlsError::Mismatch(..))));
    assert!(!look(&site).unwrap());
    assert!(shake(&tls, site.client(&[&rustls::version::TLS13])).await.1.is_ok());
    std::fs::rename(&own, site.key()).unwrap();
    assert!(look(&site).unwrap());
}

#[tokio::test]
async fn https_is_led_into_no_other_protocol() {
    let site = Site::new("alpn");
    let web = Tls::load_for_web(&site.certificate(), &site.key()).unwrap();
    let offering = |protocols: &[&[u8]]| {
        let mut client = ClientConfig::clone(&site.client(&[&rustls::version::TLS13]));
        client.alpn_protocols = protocols.iter().map(|protocol| protocol.to_vec()).collect();
        Arc::new(client)
    };
    assert!(shake(&web, offering(&[])).await.0.is_ok());
    assert!(shake(&web, offering(&[b"h2", b"http/1.1"])).await.0.is_ok());
    assert!(shake(&web, offering(&[b"imap"])).await.0.is_err());
}

#[test]
fn what_others_hold_against_a_certificate_is_known() {
    let site = Site::new("doubts");
    // 2026-11-23: valid from 2026-01-01 to 2028-01-01.
    let made = test_ca::make(&["localhost"], UnixTime(1_795_400_812)).unwrap();
    std::fs::write(site.certificate(), made.certificate).unwrap();
    std::fs::write(site.key(), made.key).unwrap();
    let (from, end) = (UnixTime(1_767_225_600), UnixTime(1_830_297_600));
    let fortnight = 14 * 86_400;
    for (at, expected) in [
        (from.0 - 1, vec![Doubt::Early(from)]),
        (from.0, vec![]),
        (end.0 - fortnight, vec![]),
        (end.0 - fortnight + 1, vec![Doubt::NearEnd(end)]),
        (end.0 + 1, vec![Doubt::Over(end)]),
    ] {
        let of_file = doubts(&site.certificate(), Some("localhost"), UnixTime(at)).unwrap();
        assert_eq!(of_file, expected, "{at}");
        assert_eq!(site.tls().look(Some("localhost"), UnixTime(at)).doubts, expected, "{at}");
    }
    let other = site.tls().look(Some("mail.example.org"), UnixTime(end.0 + 1));
    assert_eq!(other.doubts, [Doubt::Over(end), Doubt::OtherName]);
    assert!(site.tls().look(None, from).doubts.is_empty());
    assert_ne!(other.digest, Site::new("doubts-other").tls().look(None, from).digest);
    assert!(Doubt::Over(end).to_string().contains("Sat, 1 Jan 2028"), "{}", Doubt::Over(end));
}

#[test]
fn names_that_a_certificate_lacks_are_named() {
    let site = Site::new("names");
    let names = ["localhost".to_owned(), "openpgpkey.example.org".to_owned()];
    assert_eq!(names_missing(&site.certificate(), &names).unwrap(), names[1..]);
    assert!(names_missing(&site.key(), &names).is_err());
}
