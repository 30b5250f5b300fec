//! The secret keys of DKIM: PKCS#8 in PEM, by aws-lc.
//!
//! A file can be made by `postseal dns --make-keys` or by others (`openssl genpkey`). It must lie
//! outside the data directory and be readable for the server's user alone.
//!
//! # Standards
//! RFC 5208 and RFC 8410 (PKCS#8, Ed25519), RFC 7468 (PEM), RFC 8301 §3.2 (RSA of at least 2048
//! bits), RFC 8463.

use super::files::{self, FileError};
use crate::mailauth::{KeyKind, SigningKey};
use aws_lc_rs::encoding::{AsDer, Pkcs8V1Der, PublicKeyX509Der};
use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::rsa::KeySize;
use aws_lc_rs::signature::{Ed25519KeyPair, KeyPair, RSA_PKCS1_SHA256, RsaKeyPair};
use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use rustls::pki_types::PrivatePkcs8KeyDer;
use rustls::pki_types::pem::PemObject;
use std::path::{Path, PathBuf};
use zeroize::Zeroizing;

/// Octets of a key file: RSA of 8192 bits has about 6,500.
const PEM_BYTES_MAX: u64 = 16 * 1024;

/// RFC 8301 §3.2.
const RSA_BITS_MIN: usize = 2048;

/// Characters of a line of PEM (RFC 7468 §2).
const PEM_LINE_BYTES: usize = 64;

/// Why a key cannot be used.
#[derive(Debug)]
pub enum KeyError {
    /// The file cannot be read or written, or others can read it.
    File(FileError),
    /// The file holds no PKCS#8 key of this kind, or an RSA key that is too short.
    NotAKey(PathBuf, KeyKind),
    /// The library made no key.
    NotMade,
}

impl std::fmt::Display for KeyError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            KeyError::File(error) => error.fmt(f),
            KeyError::NotAKey(path, KeyKind::Ed25519) => {
                write!(f, "{}: holds no Ed25519 key in PKCS#8 PEM", path.display())
            }
            KeyError::NotAKey(path, KeyKind::Rsa) => {
                let path = path.display();
                write!(f, "{path}: holds no RSA key of {RSA_BITS_MIN} bits or more in PKCS#8 PEM")
            }
            KeyError::NotMade => f.write_str("no key could be made"),
        }
    }
}

impl std::error::Error for KeyError {}

/// A key in memory.
pub struct DkimKey(Pair);

enum Pair {
    Ed25519(Ed25519KeyPair),
    Rsa(RsaKeyPair),
}

impl DkimKey {
    /// Reads the key in `path`, which must be of `kind`.
    pub fn read(path: &Path, kind: KeyKind) -> Result<DkimKey, KeyError> {
        files::refuse_exposed(path).map_err(KeyError::File)?;
        let text = Zeroizing::new(files::read(path, PEM_BYTES_MAX).map_err(KeyError::File)?);
        DkimKey::from_pem(&text, kind).ok_or_else(|| KeyError::NotAKey(path.into(), kind))
    }

    fn from_pem(text: &[u8], kind: KeyKind) -> Option<DkimKey> {
        let der = PrivatePkcs8KeyDer::from_pem_slice(text).ok()?;
        DkimKey::from_der(der.secret_pkcs8_der(), kind)
    }

    fn from_der(der: &[u8], kind: KeyKind) -> Option<DkimKey> {
        let pair = match kind {
            // A file of OpenSSL holds the seed alone; the public key is computed from it.
            KeyKind::Ed25519 => {
                Pair::Ed25519(Ed25519KeyPair::from_pkcs8_maybe_unchecked(der).ok()?)
            }
            KeyKind::Rsa => {
                let pair = RsaKeyPair::from_pkcs8(der).ok()?;
                Pair::Rsa((pair.public_modulus_len() * 8 >= RSA_BITS_MIN).then_some(pair)?)
            }
        };
        Some(DkimKey(pair))
    }

    /// Makes a key and its file, which must not exist yet.
    pub fn create(path: &Path, kind: KeyKind) -> Result<DkimKey, KeyError> {
        let der = generate(kind).ok_or(KeyError::NotMade)?;
        let key = DkimKey::from_der(&der, kind).ok_or(KeyError::NotMade)?;
        files::create_private(path, pem(&der).as_bytes()).map_err(KeyError::File)?;
        Ok(key)
    }
}

impl SigningKey for DkimKey {
    fn kind(&self) -> KeyKind {
        match self.0 {
            Pair::Ed25519(_) => KeyKind::Ed25519,
            Pair::Rsa(_) => KeyKind::Rsa,
        }
    }

    fn sign(&self, octets: &[u8]) -> Option<Vec<u8>> {
        match &self.0 {
            Pair::Ed25519(pair) => pair.try_sign(octets).ok().map(|found| found.as_ref().to_vec()),
            Pair::Rsa(pair) => {
                let mut signature = vec![0; pair.public_modulus_len()];
                let random = SystemRandom::new();
                pair.sign(&RSA_PKCS1_SHA256, &random, octets, &mut signature).ok()?;
                Some(signature)
            }
        }
    }

    fn public(&self) -> Vec<u8> {
        match &self.0 {
            Pair::Ed25519(pair) => pair.public_key().as_ref().to_vec(),
            Pair::Rsa(pair) => {
                let der: Result<PublicKeyX509Der<'_>, _> = pair.public_key().as_der();
                der.map(|der| der.as_ref().to_vec()).unwrap_or_default()
            }
        }
    }
}

fn generate(kind: KeyKind) -> Option<Zeroizing<Vec<u8>>> {
    let der = match kind {
        KeyKind::Ed25519 => Ed25519KeyPair::generate().ok()?.to_pkcs8v1().ok()?.as_ref().to_vec(),
        KeyKind::Rsa => {
            let pair = RsaKeyPair::generate(KeySize::Rsa2048).ok()?;
            let der: Pkcs8V1Der<'_> = pair.as_der().ok()?;
            der.as_ref().to_vec()
        }
    };
    Some(Zeroizing::new(der))
}

fn pem(der: &[u8]) -> Zeroizing<String> {
    let base64 = Zeroizing::new(BASE64_STANDARD.encode(der));
    // Reserved whole, so that no shorter copy of the secret is left behind by growth.
    let mut out = Zeroizing::new(String::with_capacity(base64.len() * 2 + 64));
    out.push_str("-----BEGIN PRIVATE KEY-----\n");
    for line in base64.as_bytes().chunks(PEM_LINE_BYTES) {
        out.extend(line.iter().copied().map(char::from));
        out.push('\n');
    }
    out.push_str("-----END PRIVATE KEY-----\n");
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_that_was_made_is_read_again() {
        let dir = std::env::temp_dir().join(format!("postseal-dkim-{}", std::process::id()));
        for kind in [KeyKind::Ed25519, KeyKind::Rsa] {
            let path = dir.join(kind.word());
            let made = DkimKey::create(&path, kind).unwrap();
            let read = DkimKey::read(&path, kind).unwrap();
            assert_eq!(made.public(), read.public());
            assert_eq!(read.kind(), kind);
            assert_eq!(made.sign(b"x").unwrap(), read.sign(b"x").unwrap());
            assert!(matches!(DkimKey::create(&path, kind), Err(KeyError::File(_))));
            let other = if kind == KeyKind::Rsa { KeyKind::Ed25519 } else { KeyKind::Rsa };
            assert!(matches!(DkimKey::read(&path, other), Err(KeyError::NotAKey(..))));
        }
        std::fs::remove_dir_all(dir).unwrap();
    }

    /// RFC 8463 §A.1: the seed of RFC 8032 §7.1, in the PKCS#8 of RFC 8410.
    #[test]
    fn a_seed_alone_gives_the_public_key() {
        let der = "MC4CAQAwBQYDK2VwBCIEIJ1hsZ3v/VpguoRK9JLsLMREScVpezJpGXA7rAMcrn9g";
        let text = format!("-----BEGIN PRIVATE KEY-----\n{der}\n-----END PRIVATE KEY-----\n");
        let key = DkimKey::from_pem(text.as_bytes(), KeyKind::Ed25519).unwrap();
        let public = "11qYAYKxCrfVS/7TyWQHOg7hcvPapiMlrwIaaPcHURo=";
        assert_eq!(BASE64_STANDARD.encode(key.public()), public);
    }
}
