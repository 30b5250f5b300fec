//! The certificate authorities that other servers' certificates are checked against: the system's,
//! and those of one more file for closed networks.
//!
//! # Standards
//! RFC 5280 (paths), RFC 6125 (names), through rustls and webpki.
//!
//! # Known gaps
//! Revocation is not looked up.

use super::files;
use super::tls::{TlsError, offered};
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;
use rustls::{ClientConfig, RootCertStore};
use std::path::Path;
use std::sync::Arc;

/// Octets of the file of further authorities: the whole Mozilla list has about 230 KiB.
const ROOTS_BYTES_MAX: u64 = 1024 * 1024;

/// Reads the authorities of the system and those in the PEM file `extra`. What the system has and
/// does not parse is passed over; a file of ours must be whole.
pub fn load(extra: Option<&Path>) -> Result<RootCertStore, TlsError> {
    let mut roots = RootCertStore::empty();
    roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
    if let Some(path) = extra {
        let pem = files::read(path, ROOTS_BYTES_MAX).map_err(TlsError::File)?;
        let mut count = 0;
        for certificate in CertificateDer::pem_slice_iter(&pem) {
            let certificate = certificate.map_err(|_| TlsError::NoCertificate(path.into()))?;
            roots.add(certificate).map_err(TlsError::Library)?;
            count += 1;
        }
        if count == 0 {
            return Err(TlsError::NoCertificate(path.into()));
        }
    }
    Ok(roots)
}

/// The client's side of TLS 1.3 and 1.2 with these authorities. Sessions are not resumed: what
/// resumes them would link one question to another.
pub fn client(roots: RootCertStore) -> Result<ClientConfig, TlsError> {
    let mut config = ClientConfig::builder_with_provider(Arc::new(offered()))
        .with_protocol_versions(&[&rustls::version::TLS13, &rustls::version::TLS12])
        .map_err(TlsError::Library)?
        .with_root_certificates(roots)
        .with_no_client_auth();
    config.resumption = rustls::client::Resumption::disabled();
    Ok(config)
}
