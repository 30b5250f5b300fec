//! Connections to other servers: TCP, and the client's side of TLS.
//!
//! Key exchange and ciphers are those of our own listeners. Nothing is kept from one connection to
//! the next: no session is resumed, so that no secret of one outlives it, and no key log exists.
//!
//! # Standards
//! RFC 8446, RFC 5246, RFC 6125 (names, by the library), RFC 7435 (opportunistic security).
//!
//! # Known gaps
//! A server whose certificate the library cannot read at all (X.509 version 1, RSA below 2,048
//! bits), or that knows no cipher with authentication, cannot be shaken hands with.

use super::roots;
use super::tls::{TlsError, facts, offered};
use crate::base::BoxFuture;
use crate::seams::{BoxStream, Dial, PeerCheck, TlsStream};
use rustls::client::Resumption;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{CryptoProvider, verify_tls12_signature, verify_tls13_signature};
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{ClientConfig, DigitallySignedStruct, SignatureScheme};
use std::io;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;
use tokio::net::{TcpSocket, TcpStream};
use tokio_rustls::TlsConnector;

/// How long a connection may be silent before the other side is asked whether it is still there: a
/// reply may take ten minutes (RFC 5321 §4.5.3.2.6), and routers forget sooner.
const KEEPALIVE_IDLE: Duration = Duration::from_secs(120);

/// Makes connections.
pub struct Dialer {
    unchecked: TlsConnector,
    checked: RwLock<TlsConnector>,
}

impl Dialer {
    /// Trusts the system's authorities and those in the PEM file `extra_roots`, where a name is to
    /// be verified. Reads the system's files.
    pub fn new(extra_roots: Option<&Path>) -> Result<Dialer, TlsError> {
        let unchecked = TlsConnector::from(Arc::new(unchecked()?));
        Ok(Dialer { unchecked, checked: RwLock::new(checked(extra_roots)?) })
    }

    /// Trusts others, for connections from now on.
    pub fn trust(&self, trust: Trust) {
        *self.checked.write().unwrap_or_else(PoisonError::into_inner) = trust.0;
    }

    fn connector(&self, check: PeerCheck) -> TlsConnector {
        match check {
            PeerCheck::Nothing => self.unchecked.clone(),
            PeerCheck::Name => self.checked.read().unwrap_or_else(PoisonError::into_inner).clone(),
        }
    }
}

/// Authorities for a [`Dialer`], read and not believed yet.
pub struct Trust(TlsConnector);

impl Trust {
    /// Reads those of the system and of the PEM file `extra_roots`.
    pub fn read(extra_roots: Option<&Path>) -> Result<Trust, TlsError> {
        checked(extra_roots).map(Trust)
    }
}

fn checked(extra_roots: Option<&Path>) -> Result<TlsConnector, TlsError> {
    let config = roots::client(roots::load(extra_roots)?)?;
    Ok(TlsConnector::from(Arc::new(config)))
}

fn unchecked() -> Result<ClientConfig, TlsError> {
    let provider = Arc::new(offered());
    let mut config = ClientConfig::builder_with_provider(Arc::clone(&provider))
        .with_protocol_versions(&[&rustls::version::TLS13, &rustls::version::TLS12])
        .map_err(TlsError::Library)?
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(Anybody(provider)))
        .with_no_client_auth();
    config.resumption = Resumption::disabled();
    Ok(config)
}

impl Dial for Dialer {
    fn connect(&self, to: SocketAddr) -> BoxFuture<'_, io::Result<BoxStream>> {
        Box::pin(async move {
            let socket = match to {
                SocketAddr::V4(_) => TcpSocket::new_v4()?,
                SocketAddr::V6(_) => TcpSocket::new_v6()?,
            };
            let stream = socket.connect(to).await?;
            prepare(&stream);
            Ok(Box::new(stream) as BoxStream)
        })
    }

    fn secure<'a>(
        &'a self,
        stream: BoxStream,
        server_name: &'a str,
        check: PeerCheck,
    ) -> BoxFuture<'a, io::Result<TlsStream>> {
        Box::pin(async move {
            let name = ServerName::try_from(server_name.to_owned())
                .map_err(|error| io::Error::new(io::ErrorKind::InvalidInput, error))?;
            let stream = self.connector(check).connect(name, stream).await?;
            let facts = facts(stream.get_ref().1, Some(server_name));
            Ok(TlsStream { stream: Box::new(stream), facts })
        })
    }
}

/// What a system does not grant here only makes things slower.
fn prepare(stream: &TcpStream) {
    // Commands are written whole; waiting to fill segments would only delay them.
    let _ = stream.set_nodelay(true);
    let _ = rustix::net::sockopt::set_socket_keepalive(stream, true);
    let _ = rustix::net::sockopt::set_tcp_keepidle(stream, KEEPALIVE_IDLE);
}

/// Believes any certificate, but not that somebody has its key: the handshake is still checked to
/// be by who showed it.
#[derive(Debug)]
struct Anybody(Arc<CryptoProvider>);

impl ServerCertVerifier for Anybody {
    fn verify_server_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        let known = &self.0.signature_verification_algorithms;
        verify_tls12_signature(message, certificate, signed, known)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        let known = &self.0.signature_verification_algorithms;
        verify_tls13_signature(message, certificate, signed, known)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.signature_verification_algorithms.supported_schemes()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::clock::Clock;
    use crate::host::clock::SystemClock;
    use crate::host::files;
    use crate::host::test_ca;
    use crate::host::tls::Tls;
    use crate::seams::UpgradeTls;
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::net::TcpListener;

    /// A listener's TLS for `localhost`, and a client that knows its authority.
    fn site(name: &str) -> (Tls, Dialer) {
        let dir = std::env::temp_dir().join(format!("postseal-dial-{name}-{}", std::process::id()));
        let _ = std::fs::remove_dir_all(&dir);
        let made = test_ca::make(&["localhost", "127.0.0.1"], SystemClock::new().now()).unwrap();
        files::create_private(&dir.join("cert.pem"), made.certificate.as_bytes()).unwrap();
        files::create_private(&dir.join("key.pem"), made.key.as_bytes()).unwrap();
        files::create_private(&dir.join("ca.pem"), made.authority.as_bytes()).unwrap();
        let tls = Tls::load(&dir.join("cert.pem"), &dir.join("key.pem")).unwrap();
        let dialer = Dialer::new(Some(&dir.join("ca.pem"))).unwrap();
        std::fs::remove_dir_all(&dir).unwrap();
        (tls, dialer)
    }

    async fn shake(
        dialer: &Dialer,
        tls: &Tls,
        name: &str,
        check: PeerCheck,
    ) -> io::Result<TlsStream> {
        let (near, far) = tokio::io::duplex(64 * 1024);
        let (secured, _) =
            tokio::join!(dialer.secure(Box::new(near), name, check), tls.accept(Box::new(far)));
        secured
    }

    #[tokio::test]
    async fn a_name_is_verified_and_nothing_takes_anybody() {
        let (tls, knows) = site("names");
        let does_not = Dialer::new(None).unwrap();
        let facts = shake(&knows, &tls, "localhost", PeerCheck::Name).await.unwrap().facts;
        assert_eq!(facts.version, "TLSv1.3");
        assert_eq!(facts.server_name.as_deref(), Some("localhost"));
        assert!(shake(&knows, &tls, "127.0.0.1", PeerCheck::Name).await.is_ok());
        assert!(shake(&knows, &tls, "other.example", PeerCheck::Name).await.is_err());
        assert!(shake(&does_not, &tls, "localhost", PeerCheck::Name).await.is_err());
        for name in ["localhost", "other.example", "192.0.2.1"] {
            assert!(shake(&does_not, &tls, name, PeerCheck::Nothing).await.is_ok(), "{name}");
        }
        knows.trust(Trust::read(None).unwrap());
        assert!(shake(&knows, &tls, "localhost", PeerCheck::Name).await.is_err());
    }

    #[tokio::test]
    async fn what_is_no_handshake_is_an_error() {
        let dialer = Dialer::new(None).unwrap();
        let (near, mut far) = tokio::io::duplex(64 * 1024);
        let secured = dialer.secure(Box::new(near), "localhost", PeerCheck::Nothing);
        let (secured, written) = tokio::join!(secured, far.write_all(b"250 injected\r\n"));
        assert!(secured.is_err() && written.is_ok());
    }

    #[test]
    fn the_hybrid_group_is_offered_first_and_nothing_is_resumed() {
        let dialer = Dialer::new(None).unwrap();
        for check in [PeerCheck::Name, PeerCheck::Nothing] {
            let connector = dialer.connector(check);
            let config = connector.config();
            let first = config.crypto_provider().kx_groups[0].name();
            assert_eq!(first, rustls::NamedGroup::X25519MLKEM768);
            assert!(format!("{:?}", config.resumption).contains("Disabled"));
        }
    }

    #[tokio::test]
    async fn connections_are_made() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let dialer = Dialer::new(None).unwrap();
        let mut stream = dialer.connect(listener.local_addr().unwrap()).await.unwrap();
        let (mut peer, _) = listener.accept().await.unwrap();
        stream.write_all(b"hello").await.unwrap();
        let mut got = [0; 5];
        peer.read_exact(&mut got).await.unwrap();
        assert_eq!(&got, b"hello");
        drop(listener);
    }
}
