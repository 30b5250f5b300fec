//! Encrypted mail as other people's programs write it, for the tests of rooms above.

use crate::base::clock::UnixTime;
use crate::base::secret::SecretBytes;
use openpgp::Cert;
use openpgp::packet::signature::SignatureBuilder;
use openpgp::parse::Parse;
use openpgp::policy::StandardPolicy;
use openpgp::serialize::stream::{Armorer, Encryptor, LiteralWriter, Message, Signer};
use openpgp::types::SignatureType;
use sequoia_openpgp as openpgp;
use std::io::Write;
use std::time::{Duration, UNIX_EPOCH};

/// `entity` encrypted to the certificate `to`, signed with the secret key `signer` if there is one,
/// in a message with these outer `fields` (each with its line end).
pub fn mail(
    fields: &str,
    to: &[u8],
    signer: Option<&SecretBytes>,
    entity: &[u8],
    at: UnixTime,
) -> Vec<u8> {
    let time = UNIX_EPOCH + Duration::from_secs(at.0 as u64);
    let policy = StandardPolicy::at(time);
    let cert = Cert::from_bytes(to).unwrap();
    let recipients = cert.keys().with_policy(&policy, time).for_transport_encryption();
    let mut armored = Vec::new();
    let message = Armorer::new(Message::new(&mut armored)).build().unwrap();
    let mut message = Encryptor::for_recipients(message, recipients).build().unwrap();
    if let Some(secret) = signer {
        let cert = Cert::from_bytes(secret.expose()).unwrap();
        let key = cert.keys().with_policy(&policy, time).for_signing().secret().next().unwrap();
        let pair = key.key().clone().into_keypair().unwrap();
        // As GnuPG does it, the signature names its maker.
        let name = cert.userids().next().unwrap().userid().value().to_vec();
        let template = SignatureBuilder::new(SignatureType::Binary);
        let template = template.set_signers_user_id(name).unwrap();
        let signer = Signer::with_template(message, pair, template).unwrap();
        message = signer.creation_time(time).build().unwrap();
    }
    let mut writer = LiteralWriter::new(message).build().unwrap();
    writer.write_all(entity).unwrap();
    writer.finalize().unwrap();
    let head = "MIME-Version: 1.0\r\nContent-Type: multipart/encrypted; boundary=\"pgp\";\r\n \
         protocol=\"application/pgp-encrypted\"\r\n\r\n--pgp\r\n\
         Content-Type: application/pgp-encrypted\r\n\r\nVersion: 1\r\n\r\n--pgp\r\n\
         Content-Type: application/octet-stream; name=\"encrypted.asc\"\r\n\r\n";
    [fields.as_bytes(), head.as_bytes(), &armored, b"\r\n--pgp--\r\n"].concat()
}
