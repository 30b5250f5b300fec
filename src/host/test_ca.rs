//! The certificate authority of a test set-up: made once, signs one server certificate, and forgets
//! its key. Clients are told to trust the authority's certificate; it can never sign another one.
//!
//! # Standards
//! RFC 5280.

use crate::base::clock::UnixTime;
use rcgen::{
    BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair,
    KeyUsagePurpose,
};

/// The mean year, in seconds: near enough to find the calendar year but for hours at its ends.
const SECONDS_A_YEAR: i64 = 31_556_952;

/// What is made, as PEM texts.
pub struct TestCertificates {
    /// The authority's certificate.
    pub authority: String,
    /// The server's certificate.
    pub certificate: String,
    /// The server's private key.
    pub key: String,
}

impl std::fmt::Debug for TestCertificates {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("TestCertificates(..)")
    }
}

/// Makes an authority and a certificate for `names` (host names and addresses), valid from the year
/// of `now` until the end of the next: some clients refuse more than 825 days.
///
/// The key pairs come from the system's randomness through the library.
pub fn make(names: &[&str], now: UnixTime) -> Result<TestCertificates, rcgen::Error> {
    let year = 1970 + (now.0 / SECONDS_A_YEAR) as i32;
    let authority_key = KeyPair::generate()?;
    let authority = valid_from(year, authority());
    let authority_pem = authority.self_signed(&authority_key)?.pem();
    let issuer = Issuer::new(authority, authority_key);
    let key = KeyPair::generate()?;
    let certificate = valid_from(year, server(names)?).signed_by(&key, &issuer)?.pem();
    Ok(TestCertificates { authority: authority_pem, certificate, key: key.serialize_pem() })
}

fn authority() -> CertificateParams {
    let mut params = CertificateParams::default();
    params.distinguished_name.push(DnType::CommonName, "Postseal quickstart: test only");
    params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    params
}

fn server(names: &[&str]) -> Result<CertificateParams, rcgen::Error> {
    let names: Vec<String> = names.iter().map(|name| (*name).to_owned()).collect();
    let common = names.first().cloned().unwrap_or_default();
    let mut params = CertificateParams::new(names)?;
    params.distinguished_name.push(DnType::CommonName, common);
    params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
    params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
    params.use_authority_key_identifier_extension = true;
    Ok(params)
}

fn valid_from(year: i32, mut params: CertificateParams) -> CertificateParams {
    params.not_before = rcgen::date_time_ymd(year, 1, 1);
    params.not_after = rcgen::date_time_ymd(year + 2, 1, 1);
    params
}
