//! Signatures inside encrypted mail, held against the one certificate that is known for its sender.
//!
//! # Standards
//! RFC 9580 §5.2 (signatures), §5.2.3.36 (intended recipients: a signed text that was written to
//! somebody else proves nothing to us), RFC 3156 §5 (multipart/signed).

use super::{CLOCK_SKEW_SECONDS, packets};
use crate::base::clock::UnixTime;
use crate::pgp::IdentityKeys;
use openpgp::armor::{Reader, ReaderMode};
use openpgp::cert::Cert;
use openpgp::packet::{Signature, UserID};
use openpgp::parse::Parse;
use openpgp::parse::stream::{
    DetachedVerifierBuilder, MessageLayer, MessageStructure, VerificationError, VerificationHelper,
    VerifierBuilder,
};
use openpgp::policy::StandardPolicy;
use openpgp::{Fingerprint, KeyHandle};
use sequoia_openpgp as openpgp;
use std::io::Read;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// Octets of a sender's certificate that is looked at (RFC 9580 sets no bound; a post-quantum one
/// has 23 kB).
const CERT_BYTES_MAX: usize = 64 * 1024;

/// Octets of a detached signature that are looked at; real ones have below 1 kB a signer.
const DETACHED_BYTES_MAX: u64 = 1 << 20;

/// What is known of a signature inside the encryption.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum InnerSignature {
    /// There is none.
    Absent,
    /// Made by the certificate that is known for the sender, for this account or for anybody.
    Good,
    /// Made by that certificate, and wrong.
    Bad,
    /// There is one, and no certificate here that could have made it.
    Unknown,
}

/// The addresses that signatures name as their makers' (§5.2.3.30; GnuPG writes them), in the
/// packets of a signed message or a detached signature. Nothing is verified: this is what they say.
pub fn named_signers(packets: &[u8]) -> Vec<String> {
    let mut signers = Vec::new();
    let mut rest = packets;
    while let Some(packet) = packets::next(rest) {
        rest = packet.rest;
        if packet.tag != packets::SIGNATURE {
            continue;
        }
        let signature = Signature::from_bytes(&packet.body).ok();
        let name = signature.as_ref().and_then(|signature| signature.signers_user_id());
        let address = name.and_then(|name| UserID::from(name).email().ok()?.map(str::to_owned));
        signers.extend(address);
    }
    signers
}

/// The same of a detached signature, which is armored as a rule (RFC 3156 §5).
pub fn named_signers_of_detached(signature: &[u8]) -> Vec<String> {
    if signature.first().is_some_and(|octet| octet & 0x80 != 0) {
        return named_signers(signature);
    }
    let mut packets = Vec::new();
    let reader = Reader::from_bytes(signature, ReaderMode::Tolerant(None));
    // What was read before an error counts: another program may get as far.
    let _ = reader.take(DETACHED_BYTES_MAX).read_to_end(&mut packets);
    named_signers(&packets)
}

/// Whom a signature is held against.
pub struct Against<'a> {
    /// The certificate known for the sender, binary.
    pub certificate: Option<&'a [u8]>,
    /// Whose mail it is.
    pub reader: &'a IdentityKeys,
    /// When the message arrived.
    pub at: UnixTime,
}

impl Against<'_> {
    /// Verifies the packets of a signed message.
    pub fn message(&self, packets: &[u8]) -> InnerSignature {
        let Some((helper, policy, time)) = self.prepare() else { return InnerSignature::Unknown };
        let verifier = VerifierBuilder::from_bytes(packets)
            .and_then(|builder| builder.with_policy(&policy, time, helper));
        let Ok(mut verifier) = verifier else { return InnerSignature::Unknown };
        match std::io::copy(&mut verifier, &mut std::io::sink()) {
            Ok(_) if verifier.message_processed() => verifier.into_helper().judge(self.reader),
            _ => InnerSignature::Bad,
        }
    }

    /// Verifies a detached signature over `data`.
    pub fn detached(&self, data: &[u8], signature: &[u8]) -> InnerSignature {
        let Some((helper, policy, time)) = self.prepare() else { return InnerSignature::Unknown };
        let verifier = DetachedVerifierBuilder::from_bytes(signature)
            .and_then(|builder| builder.with_policy(&policy, time, helper));
        let Ok(mut verifier) = verifier else { return InnerSignature::Unknown };
        match verifier.verify_bytes(data) {
            Ok(()) => verifier.into_helper().judge(self.reader),
            Err(_) => InnerSignature::Bad,
        }
    }

    fn prepare(&self) -> Option<(Helper, StandardPolicy<'static>, SystemTime)> {
        let bytes = self.certificate.filter(|bytes| bytes.len() <= CERT_BYTES_MAX)?;
        let cert = Cert::from_bytes(bytes).ok()?;
        let seconds = u64::try_from(self.at.0).ok()?.checked_add(CLOCK_SKEW_SECONDS)?;
        let time = UNIX_EPOCH.checked_add(Duration::from_secs(seconds))?;
        let helper = Helper { cert, good: Vec::new(), bad: false, signed: false };
        Some((helper, StandardPolicy::at(time), time))
    }
}

/// Collects what the library finds. The policy is that of the time of arrival: no clock is read.
struct Helper {
    cert: Cert,
    /// The intended recipients of each good signature; none named means anybody.
    good: Vec<Vec<Fingerprint>>,
    bad: bool,
    signed: bool,
}

impl Helper {
    fn judge(self, reader: &IdentityKeys) -> InnerSignature {
        let for_us = |named: &Vec<Fingerprint>| {
            named.is_empty() || named.iter().any(|name| reader.is_identity(name))
        };
        match () {
            () if self.good.iter().any(for_us) => InnerSignature::Good,
            () if self.bad || !self.good.is_empty() => InnerSignature::Bad,
            () if self.signed => InnerSignature::Unknown,
            () => InnerSignature::Absent,
        }
    }
}

impl VerificationHelper for Helper {
    fn get_certs(&mut self, _ids: &[KeyHandle]) -> openpgp::Result<Vec<Cert>> {
        Ok(vec![self.cert.clone()])
    }

    fn check(&mut self, structure: MessageStructure<'_>) -> openpgp::Result<()> {
        for layer in structure {
            let MessageLayer::SignatureGroup { results } = layer else { continue };
            for result in results {
                self.signed = true;
                match result {
                    Ok(good) => self.good.push(intended(good.sig)),
                    Err(VerificationError::MissingKey { .. }) => {}
                    Err(VerificationError::UnknownSignature { .. }) => {}
                    Err(_) => self.bad = true,
                }
            }
        }
        Ok(())
    }
}

fn intended(signature: &Signature) -> Vec<Fingerprint> {
    signature.intended_recipients().cloned().collect()
}
