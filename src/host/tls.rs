//! TLS for all listeners: what is offered, the certificate that can be exchanged while sessions
//! run, and the session tickets whose keys live in memory for an hour at most.
//!
//! Every key exchange is ephemeral, so the certificate's key opens no recorded traffic. Key logging
//! is not compiled in, 0-RTT is off (it would repeat commands), and renegotiation does not exist.
//!
//! # Standards
//! RFC 8446 (TLS 1.3), RFC 5246 with RFC 5289 and RFC 7905 (TLS 1.2, ECDHE with AEAD only),
//! RFC 9325 (recommendations), draft-ietf-tls-ecdhe-mlkem (X25519MLKEM768).

mod doubts;

use super::files::{self, FileError};
use crate::base::BoxFuture;
use crate::seams::{BoxStream, TlsFacts, TlsStream, UpgradeTls};
use rustls::client::verify_server_name;
use rustls::crypto::aws_lc_rs as provider;
use rustls::crypto::{CryptoProvider, GetRandomFailed};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use rustls::server::{ClientHello, ParsedCertificate, ProducesTickets, ResolvesServerCert};
use rustls::sign::CertifiedKey;
use rustls::{ServerConfig, TicketRotator};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock};
use zeroize::Zeroizing;

pub use doubts::{Doubt, Look, doubts};

/// Octets that a certificate or key file may have: a long chain has some ten thousand.
const PEM_BYTES_MAX: u64 = 256 * 1024;

/// Certificates in a chain.
const CHAIN_CERTIFICATES_MAX: usize = 16;

/// How long a ticket key seals new tickets, in seconds. It opens them for as long again, so that it
/// is gone an hour after it was made.
const TICKET_KEY_SECONDS: u32 = 30 * 60;

/// Why TLS cannot be served.
#[derive(Debug)]
pub enum TlsError {
    /// A file cannot be read.
    File(FileError),
    /// The file has no certificate in it.
    NoCertificate(PathBuf),
    /// The file has more certificates than a chain may have.
    ChainTooLong(PathBuf),
    /// The file has no private key that we know.
    NoKey(PathBuf),
    /// Key and certificate do not belong together, or are of an unknown kind.
    Mismatch(PathBuf, PathBuf, rustls::Error),
    /// The library refuses the whole.
    Library(rustls::Error),
}

impl std::fmt::Display for TlsError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            TlsError::File(error) => error.fmt(f),
            TlsError::NoCertificate(path) => {
                write!(f, "{}: holds no PEM certificate that can be read", path.display())
            }
            TlsError::ChainTooLong(path) => {
                write!(f, "{}: more than {CHAIN_CERTIFICATES_MAX} certificates", path.display())
            }
            TlsError::NoKey(path) => {
                write!(f, "{}: holds no PEM private key that can be read", path.display())
            }
            TlsError::Mismatch(certificate, key, error) => {
                let (certificate, key) = (certificate.display(), key.display());
                write!(f, "{key} is not the key of {certificate}: {error}")
            }
            TlsError::Library(error) => write!(f, "TLS: {error}"),
        }
    }
}

impl std::error::Error for TlsError {}

/// The server's side of TLS. Clones share the certificate and the tickets.
#[derive(Clone)]
pub struct Tls {
    certificate: Arc<Exchangeable>,
    acceptor: tokio_rustls::TlsAcceptor,
    tickets: Arc<dyn ProducesTickets>,
    seen: Arc<Mutex<Stamps>>,
}

impl Tls {
    /// TLS for mail, with the certificate and key in these PEM files.
    pub fn load(certificate: &Path, key: &Path) -> Result<Tls, TlsError> {
        Tls::load_for(&[], certificate, key)
    }

    /// TLS for HTTP/1.1. A client that wants to speak something else and says so (RFC 7301) is
    /// turned away, so that nobody is led from one protocol into the other.
    pub fn load_for_web(certificate: &Path, key: &Path) -> Result<Tls, TlsError> {
        Tls::load_for(&[b"http/1.1"], certificate, key)
    }

    fn load_for(protocols: &[&[u8]], certificate: &Path, key: &Path) -> Result<Tls, TlsError> {
        let seen = Arc::new(Mutex::new(stamps(certificate, key)));
        let provider = Arc::new(offered());
        let certified = Arc::new(read_pair(&provider, certificate, key)?);
        let exchangeable = Arc::new(Exchangeable(RwLock::new(certified)));
        let tickets: Arc<dyn ProducesTickets> = Arc::new(
            TicketRotator::new(TICKET_KEY_SECONDS, ticket_key).map_err(TlsError::Library)?,
        );
        let mut config = ServerConfig::builder_with_provider(provider)
            .with_protocol_versions(&[&rustls::version::TLS13, &rustls::version::TLS12])
            .map_err(TlsError::Library)?
            .with_no_client_auth()
            .with_cert_resolver(Arc::clone(&exchangeable) as Arc<dyn ResolvesServerCert>);
        config.ticketer = Arc::clone(&tickets);
        // Resumption goes by tickets alone; a table of sessions would keep secrets for longer.
        config.session_storage = Arc::new(rustls::server::NoServerSessionStorage {});
        config.max_early_data_size = 0;
        config.alpn_protocols = protocols.iter().map(|protocol| protocol.to_vec()).collect();
        let acceptor = tokio_rustls::TlsAcceptor::from(Arc::new(config));
        Ok(Tls { certificate: exchangeable, acceptor, tickets, seen })
    }

    /// Serves `pair` from the next handshake on.
    pub fn serve(&self, pair: Pair) {
        *self.stamps() = pair.stamps;
        let mut place = self.certificate.0.write().unwrap_or_else(PoisonError::into_inner);
        *place = Arc::new(pair.certified);
    }

    /// Reads the files again and serves them from the next handshake on; on an error the old ones
    /// stay.
    fn reload(&self, certificate: &Path, key: &Path) -> Result<(), TlsError> {
        *self.stamps() = stamps(certificate, key);
        self.serve(Pair::read(certificate, key)?);
        Ok(())
    }

    /// Reads the files again if one of them is not as it was when it was last read, and serves
    /// them; whether it was done. The same files are tried once.
    pub fn reload_if_changed(&self, certificate: &Path, key: &Path) -> Result<bool, TlsError> {
        if *self.stamps() == stamps(certificate, key) {
            return Ok(false);
        }
        self.reload(certificate, key).map(|()| true)
    }

    fn stamps(&self) -> MutexGuard<'_, Stamps> {
        self.seen.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Lets old ticket keys go. The rotation looks at the clock only when tickets are made, so an
    /// idle server must call this now and then.
    pub fn forget_old_tickets(&self) {
        let _ = self.tickets.encrypt(&[]);
    }
}

/// A certificate and its key, read and found to belong together, but not served yet.
pub struct Pair {
    certified: CertifiedKey,
    stamps: Stamps,
}

impl Pair {
    /// Reads both files.
    pub fn read(certificate: &Path, key: &Path) -> Result<Pair, TlsError> {
        // The stamps first: what is changed while it is read will be looked at again.
        let stamps = stamps(certificate, key);
        Ok(Pair { certified: read_pair(&offered(), certificate, key)?, stamps })
    }
}

/// What tells a certificate's and a key's files from what they were.
type Stamps = [Option<files::Stamp>; 2];

fn stamps(certificate: &Path, key: &Path) -> Stamps {
    [files::stamp(certificate), files::stamp(key)]
}

/// Those of `names` that the first certificate in the file is not for.
pub fn names_missing(certificate: &Path, names: &[String]) -> Result<Vec<String>, TlsError> {
    let chain = read_chain(certificate)?;
    let first = chain.first().ok_or_else(|| TlsError::NoCertificate(certificate.into()))?;
    let refused = |_| TlsError::NoCertificate(certificate.into());
    let parsed = ParsedCertificate::try_from(first).map_err(refused)?;
    let is_missing = |name: &&String| {
        ServerName::try_from(name.as_str())
            .is_ok_and(|name| verify_server_name(&parsed, &name).is_err())
    };
    Ok(names.iter().filter(is_missing).cloned().collect())
}

/// Reads a pair of files and says what is wrong with them, for `check`.
pub fn check_pair(certificate: &Path, key: &Path) -> Result<(), TlsError> {
    Pair::read(certificate, key).map(drop)
}

impl UpgradeTls for Tls {
    fn accept(&self, stream: BoxStream) -> BoxFuture<'_, io::Result<TlsStream>> {
        Box::pin(async move {
            let stream = self.acceptor.accept(stream).await?;
            let connection = stream.get_ref().1;
            let facts = facts(connection, connection.server_name());
            Ok(TlsStream { stream: Box::new(stream), facts })
        })
    }
}

/// What a handshake of either side agreed on.
pub(super) fn facts(connection: &rustls::CommonState, server_name: Option<&str>) -> TlsFacts {
    use rustls::ProtocolVersion;
    TlsFacts {
        version: match connection.protocol_version() {
            Some(ProtocolVersion::TLSv1_3) => "TLSv1.3",
            Some(ProtocolVersion::TLSv1_2) => "TLSv1.2",
            _ => "unknown",
        },
        cipher: connection
            .negotiated_cipher_suite()
            .map_or("unknown", |suite| registered_name(suite.suite())),
        server_name: server_name.map(str::to_owned),
    }
}

/// The name in the IANA registry; the library's own names differ for TLS 1.3.
fn registered_name(suite: rustls::CipherSuite) -> &'static str {
    use rustls::CipherSuite as Suite;
    match suite {
        Suite::TLS13_AES_256_GCM_SHA384 => "TLS_AES_256_GCM_SHA384",
        Suite::TLS13_AES_128_GCM_SHA256 => "TLS_AES_128_GCM_SHA256",
        Suite::TLS13_CHACHA20_POLY1305_SHA256 => "TLS_CHACHA20_POLY1305_SHA256",
        other => other.as_str().unwrap_or("unknown"),
    }
}

/// What is offered, by either side: the hybrid post-quantum group first, ephemeral groups only,
/// AEAD only.
pub(super) fn offered() -> CryptoProvider {
    use provider::kx_group::{SECP256R1, SECP384R1, X25519, X25519MLKEM768};
    CryptoProvider {
        kx_groups: vec![X25519MLKEM768, X25519, SECP256R1, SECP384R1],
        ..provider::default_provider()
    }
}

/// The certificate that is served; handshakes take the one that is there when they begin.
#[derive(Debug)]
struct Exchangeable(RwLock<Arc<CertifiedKey>>);

impl ResolvesServerCert for Exchangeable {
    fn resolve(&self, _: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        Some(Arc::clone(&self.0.read().unwrap_or_else(PoisonError::into_inner)))
    }
}

fn read_pair(
    provider: &CryptoProvider,
    certificate: &Path,
    key: &Path,
) -> Result<CertifiedKey, TlsError> {
    let chain = read_chain(certificate)?;
    let private = read_private_key(key)?;
    CertifiedKey::from_der(chain, private, provider)
        .map_err(|error| TlsError::Mismatch(certificate.into(), key.into(), error))
}

fn read_chain(path: &Path) -> Result<Vec<CertificateDer<'static>>, TlsError> {
    let pem = files::read(path, PEM_BYTES_MAX).map_err(TlsError::File)?;
    let chain: Result<Vec<_>, _> =
        CertificateDer::pem_slice_iter(&pem).take(CHAIN_CERTIFICATES_MAX + 1).collect();
    match chain {
        Ok(chain) if chain.len() > CHAIN_CERTIFICATES_MAX => {
            Err(TlsError::ChainTooLong(path.into()))
        }
        Ok(chain) if !chain.is_empty() => Ok(chain),
        _ => Err(TlsError::NoCertificate(path.into())),
    }
}

fn read_private_key(path: &Path) -> Result<PrivateKeyDer<'static>, TlsError> {
    let pem = Zeroizing::new(files::read(path, PEM_BYTES_MAX).map_err(TlsError::File)?);
    PrivateKeyDer::from_pem_slice(&pem).map_err(|_| TlsError::NoKey(path.into()))
}

fn ticket_key() -> Result<Box<dyn ProducesTickets>, GetRandomFailed> {
    let inner = provider::Ticketer::new().map_err(|_| GetRandomFailed)?;
    Ok(Box::new(TicketKey(inner)))
}

/// One generation of tickets. The library's own rotation inside it (six hours) never comes to pass,
/// because this one is dropped long before.
#[derive(Debug)]
struct TicketKey(Arc<dyn ProducesTickets>);

impl ProducesTickets for TicketKey {
    fn enabled(&self) -> bool {
        true
    }

    fn lifetime(&self) -> u32 {
        TICKET_KEY_SECONDS
    }

    fn encrypt(&self, plain: &[u8]) -> Option<Vec<u8>> {
        self.0.encrypt(plain)
    }

    fn decrypt(&self, cipher: &[u8]) -> Option<Vec<u8>> {
        self.0.decrypt(cipher)
    }
}

#[cfg(test)]
mod tests;
