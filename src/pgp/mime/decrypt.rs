//! Encrypted data packets of peers, opened whole: nothing comes out before the last octet was
//! verified.
//!
//! This is where EFAIL was: readers that hand out plaintext while they go along have handed it out
//! when the tag at the end turns out wrong. Here the plaintext stays in one buffer, which is zeroed
//! if its integrity does not show.
//!
//! # Standards
//! RFC 9580 §5.13.1 (SEIPD version 1 with its MDC), §5.13.2 (version 2), §13.4 (why no prefix is
//! checked by itself).

use crate::base::crypto;
use crate::base::secret::SecretBytes;
use openpgp::crypto::SessionKey;
use openpgp::crypto::aead::{DecryptionContext, SEIPv2Schedule, Schedule};
use openpgp::crypto::symmetric::{BlockCipherMode, Decryptor, UnpaddingMode};
use openpgp::parse::buffered_reader::Memory;
use openpgp::types::{AEADAlgorithm, HashAlgorithm, SymmetricAlgorithm};
use sequoia_openpgp as openpgp;
use std::io::Read;

/// The MDC packet's header, and with its SHA-1 all of it (RFC 9580 §5.13.1).
const MDC_HEAD: [u8; 2] = [0xD3, 20];
const MDC_BYTES: usize = 22;
/// Octets of a cipher's block; of the ciphers that are taken, all have it.
const BLOCK_BYTES: usize = 16;
/// Octets in front of a version 1 plaintext: a random block, and its last two again.
const PREFIX_BYTES: usize = BLOCK_BYTES + 2;
/// Octets of version 2's salt.
const SALT_BYTES: usize = 32;
/// RFC 9580 §5.13.2: the greatest chunk size octet, 4 MiB.
const CHUNK_OCTET_MAX: u8 = 16;

/// An encrypted data packet that has been told apart.
pub enum Encrypted<'a> {
    /// Version 1: what follows the version.
    V1(&'a [u8]),
    /// Version 2.
    V2 {
        /// The cipher.
        cipher: SymmetricAlgorithm,
        /// The mode.
        mode: AEADAlgorithm,
        /// Octets of plaintext in a chunk.
        chunk_bytes: usize,
        /// The salt.
        salt: &'a [u8],
        /// Chunks with their tags, and the last tag.
        sealed: &'a [u8],
    },
}

impl<'a> Encrypted<'a> {
    /// Reads the front of a packet's body; `None` if it is of another version or algorithm.
    pub fn new(body: &'a [u8]) -> Option<Encrypted<'a>> {
        match body {
            [1, rest @ ..] => Some(Encrypted::V1(rest)),
            [2, cipher, mode, octet @ 0..=CHUNK_OCTET_MAX, rest @ ..] => {
                let (salt, sealed) = rest.split_at_checked(SALT_BYTES)?;
                let (cipher, mode) = (aes(*cipher)?, AEADAlgorithm::from(*mode));
                mode.is_supported().then_some(())?;
                let chunk_bytes = 1 << (octet + 6);
                Some(Encrypted::V2 { cipher, mode, chunk_bytes, salt, sealed })
            }
            _ => None,
        }
    }

    /// Which version.
    pub fn version(&self) -> u8 {
        match self {
            Encrypted::V1(_) => 1,
            Encrypted::V2 { .. } => 2,
        }
    }

    /// The plaintext, all of it verified. `named` is the cipher that a version 3 PKESK names.
    pub fn open(&self, named: Option<SymmetricAlgorithm>, key: &SessionKey) -> Option<SecretBytes> {
        match *self {
            Encrypted::V1(sealed) => open_v1(aes(named?.into())?, key, sealed),
            Encrypted::V2 { cipher, mode, chunk_bytes, salt, sealed } => {
                let fits = named.is_none() && key.len() == cipher.key_size().ok()?;
                fits.then_some(())?;
                let schedule = SEIPv2Schedule::new(key, cipher, mode, chunk_bytes, salt).ok()?;
                Chunked { schedule, cipher, mode, chunk_bytes }.open(sealed)
            }
        }
    }
}

/// Ciphers that are taken: AES. Every peer of the last twenty years has it (RFC 9580 §9.3).
fn aes(cipher: u8) -> Option<SymmetricAlgorithm> {
    let cipher = SymmetricAlgorithm::from(cipher);
    let known = matches!(
        cipher,
        SymmetricAlgorithm::AES128 | SymmetricAlgorithm::AES192 | SymmetricAlgorithm::AES256
    );
    known.then_some(cipher)
}

fn open_v1(cipher: SymmetricAlgorithm, key: &SessionKey, sealed: &[u8]) -> Option<SecretBytes> {
    let data_bytes = sealed.len().checked_sub(PREFIX_BYTES + MDC_BYTES)?;
    if key.len() != cipher.key_size().ok()? {
        return None;
    }
    let source = Memory::with_cookie(sealed, Default::default());
    let (mode, padding) = (BlockCipherMode::CFB, UnpaddingMode::None);
    let mut decryptor = Decryptor::new(cipher, mode, padding, key, None, source).ok()?;
    let mut plain = SecretBytes::zeroed(sealed.len());
    decryptor.read_exact(plain.expose_mut()).ok()?;
    let end = PREFIX_BYTES + data_bytes;
    let (hashed, digest) = plain.expose().split_at(end + MDC_HEAD.len());
    let authentic = hashed.ends_with(&MDC_HEAD) & crypto::equal(&sha1(hashed)?, digest);
    authentic.then_some(())?;
    plain.keep(PREFIX_BYTES..end);
    Some(plain)
}

/// Part of the format, not of what is trusted: it is encrypted together with what it covers.
fn sha1(octets: &[u8]) -> Option<Vec<u8>> {
    let mut context = HashAlgorithm::SHA1.context().ok()?.for_digest();
    context.update(octets);
    context.into_digest().ok()
}

struct Chunked {
    schedule: SEIPv2Schedule,
    cipher: SymmetricAlgorithm,
    mode: AEADAlgorithm,
    chunk_bytes: usize,
}

impl Chunked {
    fn open(&self, sealed: &[u8]) -> Option<SecretBytes> {
        let tag_bytes = self.mode.digest_size().ok()?;
        let chunks_bytes = sealed.len().checked_sub(tag_bytes)?;
        let (chunks, last) = sealed.split_at(chunks_bytes);
        let tags = chunks_bytes.div_ceil(self.chunk_bytes + tag_bytes) * tag_bytes;
        let mut plain = SecretBytes::zeroed(chunks_bytes.checked_sub(tags)?);
        let total = plain.expose().len();
        let mut places = plain.expose_mut().chunks_mut(self.chunk_bytes);
        let mut index = 0;
        for chunk in chunks.chunks(self.chunk_bytes + tag_bytes) {
            // A chunk of a tag alone has no place, and no writer makes one.
            self.context(index, None)?.decrypt_verify(places.next()?, chunk).ok()?;
            index += 1;
        }
        self.context(index, Some(total))?.decrypt_verify(&mut [], last).ok()?;
        Some(plain)
    }

    /// The cipher for one chunk, or for the last tag if the total is given.
    fn context(&self, index: u64, total: Option<usize>) -> Option<DecryptionContext> {
        let mut make = |key: &SessionKey, nonce: &[u8], aad: &[u8]| {
            self.mode.context(self.cipher, key, aad, nonce)?.for_decryption()
        };
        match total {
            None => self.schedule.chunk(index, &mut make).ok(),
            Some(bytes) => self.schedule.finalizer(index, bytes as u64, &mut make).ok(),
        }
    }
}
