//! The secret halves of an account's identity, for opening what was written to it.
//!
//! They open session keys and do nothing else: nothing is signed with them here. The primary key is
//! left where it is, in the vault.
//!
//! # Known gaps
//! - RSA and ElGamal secret keys are passed over unless the build has OpenSSL's constant-time code.
//! - A primary key that encrypts by itself is not used.
//!
//! # Standards
//! RFC 9580 §5.1 (PKESK), RFC 9980 (post-quantum algorithms).

use super::import::may_open;
use crate::base::secret::SecretBytes;
use openpgp::crypto::{KeyPair, SessionKey};
use openpgp::packet::PKESK;
use openpgp::parse::Parse;
use openpgp::types::{PublicKeyAlgorithm, SymmetricAlgorithm};
use openpgp::{Fingerprint, KeyHandle, Packet, PacketPile};
use sequoia_openpgp as openpgp;
use std::fmt;
use std::sync::{Mutex, PoisonError};

/// Subkeys that are kept: ten identities with some encryption subkeys each. More are passed over.
const SUBKEYS_MAX: usize = 64;

/// The encryption subkeys of one account's identity certificates, the current and kept older ones.
/// Their memory is zeroed when they are dropped.
pub struct IdentityKeys {
    /// The primary keys, by which signatures name intended recipients.
    identities: Vec<Fingerprint>,
    subkeys: Vec<Subkey>,
}

struct Subkey {
    handle: KeyHandle,
    algorithm: PublicKeyAlgorithm,
    // The library's interface wants `&mut`, for keys that are devices.
    pair: Mutex<KeyPair>,
}

/// A session key that a PKESK gave, and the cipher where the PKESK names it (version 3).
pub(super) type Found = (Option<SymmetricAlgorithm>, SessionKey);

impl IdentityKeys {
    /// The keys in transferable secret keys (RFC 9580 §10.2), the current one first. What is not
    /// one, or holds nothing that opens, is passed over: mail to it stays as it came.
    pub fn from_secrets<'a>(secrets: impl IntoIterator<Item = &'a SecretBytes>) -> IdentityKeys {
        let mut keys = IdentityKeys { identities: Vec::new(), subkeys: Vec::new() };
        for secret in secrets {
            let Ok(packets) = PacketPile::from_bytes(secret.expose()) else { continue };
            packets.into_children().for_each(|packet| keys.take(packet));
        }
        keys
    }

    fn take(&mut self, packet: Packet) {
        match packet {
            Packet::SecretKey(primary) => self.identities.push(primary.fingerprint()),
            Packet::SecretSubkey(subkey) => {
                let (handle, algorithm) = (subkey.key_handle(), subkey.pk_algo());
                let opens = algorithm.for_encryption() && may_open(algorithm);
                if !opens || self.subkeys.len() >= SUBKEYS_MAX {
                    return;
                }
                if let Ok(pair) = subkey.into_keypair() {
                    let pair = Mutex::new(pair);
                    self.subkeys.push(Subkey { handle, algorithm, pair });
                }
            }
            _ => {}
        }
    }

    /// Whether one of the identities has this fingerprint.
    pub(super) fn is_identity(&self, fingerprint: &Fingerprint) -> bool {
        self.identities.contains(fingerprint)
    }

    /// What a PKESK holds, tried with each subkey that it can be for, as long as `tries` last: one
    /// that names no recipient (RFC 9580 §5.1.1) can be for any of its algorithm.
    pub(super) fn session_key(&self, pkesk: &PKESK, tries: &mut usize) -> Option<Found> {
        let recipient = pkesk.recipient();
        let fits = |subkey: &&Subkey| {
            subkey.algorithm == pkesk.pk_algo()
                && recipient.as_ref().is_none_or(|named| named.aliases(&subkey.handle))
        };
        self.subkeys.iter().filter(fits).find_map(|subkey| {
            *tries = tries.checked_sub(1)?;
            let mut pair = subkey.pair.lock().unwrap_or_else(PoisonError::into_inner);
            pkesk.decrypt(&mut *pair, None)
        })
    }
}

impl fmt::Debug for IdentityKeys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "IdentityKeys({} subkeys)", self.subkeys.len())
    }
}
