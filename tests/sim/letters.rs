//! Mail that a peer encrypts to the account, and what it must be shown as.

use postseal::base::clock::UnixTime;
use sequoia_openpgp as openpgp;

use openpgp::Cert;
use openpgp::parse::Parse;
use openpgp::policy::StandardPolicy;
use openpgp::serialize::stream::{Armorer, Encryptor, LiteralWriter, Message};
use std::io::Write;
use std::time::{Duration, UNIX_EPOCH};

/// A letter.
pub struct Letter {
    /// The octets that arrive.
    pub wire: Vec<u8>,
    /// What is shown if its sender is proved.
    pub shown: String,
}

/// Encrypts a text with this subject to `cert`.
pub fn write(cert: &[u8], subject: u32, text: &str, at: UnixTime) -> Letter {
    let entity = format!(
        "Subject: {subject}\r\nContent-Type: text/plain; hp=\"cipher\"\r\n\
         From: bob@example.org\r\n\r\n{text}"
    );
    let head = "From: bob@example.org\r\nSubject: ...\r\nMIME-Version: 1.0\r\n\
         Content-Type: multipart/encrypted; boundary=b;\r\n protocol=\"application/pgp-encrypted\"\
         \r\n\r\n--b\r\nContent-Type: application/pgp-encrypted\r\n\r\nVersion: 1\r\n\r\n--b\r\n\
         Content-Type: application/octet-stream\r\n\r\n";
    let wire = [head.as_bytes(), &encrypt(cert, &entity, at), b"\r\n--b--\r\n"].concat();
    let shown = format!(
        "Postseal-Opened: sealed to you; sender proved on arrival; not signed; header protected\r\n\
         Subject: {subject}\r\nFrom: bob@example.org\r\nMIME-Version: 1.0\r\n\
         Content-Type: text/plain; hp=\"cipher\"\r\n\r\n{text}"
    );
    Letter { wire, shown }
}

fn encrypt(cert: &[u8], entity: &str, at: UnixTime) -> Vec<u8> {
    let time = UNIX_EPOCH + Duration::from_secs(at.0 as u64);
    let policy = StandardPolicy::at(time);
    let cert = Cert::from_bytes(cert).unwrap();
    let recipients = cert.keys().with_policy(&policy, time).for_transport_encryption();
    let mut armored = Vec::new();
    let message = Armorer::new(Message::new(&mut armored)).build().unwrap();
    let message = Encryptor::for_recipients(message, recipients).build().unwrap();
    let mut writer = LiteralWriter::new(message).build().unwrap();
    writer.write_all(entity.as_bytes()).unwrap();
    writer.finalize().unwrap();
    armored
}
