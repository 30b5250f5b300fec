//! Opening mail that was encrypted to an identity: all or nothing.
//!
//! Only a message that is encrypted as a whole is opened: multipart/encrypted at the root, exactly
//! the two parts of RFC 3156 §4, in the second one armored OpenPGP message, in that session keys
//! and one SEIPD packet, and nothing behind any of it. What is mixed, nested, inline, under a
//! password or without integrity protection stays as it came. Nothing is released before the whole
//! ciphertext was verified; what is inside is looked at only then.
//!
//! # What is trusted
//! That who calls has asked whether this message may be opened at all: an opened message shows what
//! it says as its sender's words. The offsets in the structure may be hostile; they are checked.
//!
//! # Known gaps
//! - An armored part that a gateway has re-encoded (base64, quoted-printable) is not opened.
//! - What inflates more than a hundredfold is not opened, nor what is compressed by bzip2.
//!
//! # Standards
//! RFC 3156 §4 (multipart/encrypted), RFC 9580 §6 (armor), §10.3 (messages), §5.13 (SEIPD).

use super::armor;
use super::content::{self, Content};
use super::decrypt::Encrypted;
use super::packets::{self, MARKER, PADDING, PKESK, SEIPD, SKESK};
use super::signature::{self, Against, InnerSignature};
use crate::base::clock::UnixTime;
use crate::base::secret::SecretBytes;
use crate::mail::{self, Analysis, Content as Kind, Encoding, Part, Structure};
use crate::pgp::IdentityKeys;
use openpgp::parse::Parse;
use sequoia_openpgp as openpgp;

/// Octets of a message that is opened. Larger ones stay as they came: each takes some times its
/// size of memory on the way (Postfix takes 10 MB, large providers 25 to 50).
pub const MESSAGE_BYTES_MAX: usize = 88 << 20;
/// Session key packets of one message: a list of a hundred, each with a key.
const SESSION_KEYS_MAX: usize = 100;
/// Octets of one session key packet: RSA of 16,384 bits takes 2 kB, ML-KEM-1024 1.7 kB.
const SESSION_KEY_BYTES_MAX: usize = 4096;
/// Public-key operations that one message may cost, anonymous recipients included.
const TRIES_MAX: usize = 4;
/// Packets in front of the encrypted data, markers and padding included.
const PACKETS_MAX: usize = 2 * SESSION_KEYS_MAX;

/// An opened message.
#[derive(Debug)]
pub struct OpenedMime {
    /// The MIME entity that was encrypted, octet for octet: its header, an empty line, its body.
    pub entity: SecretBytes,
    /// The entity, taken apart.
    pub analysis: Analysis,
    /// What is known of a signature on it.
    pub signature: InnerSignature,
    /// The addresses that signatures around the entity, and around signed parts of it, name as
    /// their makers', as they say.
    pub named_signers: Vec<String>,
    /// The version of the encrypted data packet: 1 or 2.
    pub version: u8,
}

/// Why a message stays as it came. It tells tests and nobody else: to a stranger all are one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NotOpened {
    /// It is not whole-message PGP/MIME.
    NotWhole,
    /// Its second part is not one armored message and nothing else.
    Armor,
    /// The armor does not hold session keys and one encrypted data packet.
    Packets,
    /// It is not encrypted to a key that is here, or asks for too many tries.
    NoKey,
    /// It was altered or cut, or is not protected as it should be.
    NotAuthentic,
    /// What is inside is no message.
    Content,
    /// It is compressed as nothing honest is, or by an algorithm that is not taken.
    Compression,
    /// It is above [`MESSAGE_BYTES_MAX`] or [`CONTENT_BYTES_MAX`](super::CONTENT_BYTES_MAX).
    TooLarge,
}

/// Whether a message is built as one that [`open`] opens. Looks at its structure only, so that it
/// can be asked where no key is.
pub fn is_whole(structure: &Structure) -> bool {
    let [root, control, data] = &structure.parts[..] else { return false };
    let is = |part: &Part, kind: (&str, &str)| (&*part.media_type, &*part.subtype) == kind;
    let plain = |part: &Part| matches!(part.encoding, Encoding::SevenBit | Encoding::EightBit);
    root.content == Kind::Multipart
        && is(root, ("multipart", "encrypted"))
        && param(root, "protocol").eq_ignore_ascii_case(b"application/pgp-encrypted")
        && [control, data].iter().all(|part| part.content == Kind::Leaf && plain(part))
        && is(control, ("application", "pgp-encrypted"))
        && is(data, ("application", "octet-stream"))
}

/// Opens `message`, of which `structure` says where its parts lie. `certificate` is the one that is
/// known for the sender, if any; `at` is when the message arrived. Takes as long as the message is
/// large, about 10 ms a megabyte. Blocks.
pub fn open(
    message: &[u8],
    structure: &Structure,
    keys: &IdentityKeys,
    certificate: Option<&[u8]>,
    at: UnixTime,
) -> Result<OpenedMime, NotOpened> {
    if message.len() > MESSAGE_BYTES_MAX {
        return Err(NotOpened::TooLarge);
    }
    if !is_whole(structure) {
        return Err(NotOpened::NotWhole);
    }
    let body = |part: &Part| message.get(part.body.range()).ok_or(NotOpened::NotWhole);
    if !is_control(body(&structure.parts[1])?) {
        return Err(NotOpened::NotWhole);
    }
    let packets = armor::read(body(&structure.parts[2])?).ok_or(NotOpened::Armor)?;
    let (plain, version) = decrypt(&packets, keys)?;
    drop(packets);
    let Content { literal, signed } = content::read(plain)?;
    if literal.expose().len() > content::CONTENT_BYTES_MAX {
        return Err(NotOpened::TooLarge);
    }
    let against = Against { certificate, reader: keys, at };
    let analysis = mail::analyse(literal.expose());
    let mut named_signers = detached_signers(literal.expose(), &analysis.structure);
    let signature = match signed {
        Some(packets) => {
            named_signers.extend(signature::named_signers(packets.expose()));
            against.message(packets.expose())
        }
        None => multipart_signed(literal.expose(), &analysis.structure, &against),
    };
    Ok(OpenedMime { entity: literal, analysis, signature, named_signers, version })
}

/// The value of a Content-Type parameter; empty if there is none.
pub(super) fn param<'a>(part: &'a Part, name: &str) -> &'a [u8] {
    part.params.iter().find(|param| param.name == name).map_or(b"", |param| &param.value)
}

/// RFC 3156 §4: the first part says `Version: 1`, and no more.
fn is_control(body: &[u8]) -> bool {
    let text = body.trim_ascii();
    let value = text.split_at_checked(8).filter(|(name, _)| name.eq_ignore_ascii_case(b"version:"));
    value.is_some_and(|(_, value)| value.trim_ascii() == b"1")
}

/// Finds the session key and opens the encrypted data; gives its version, too.
fn decrypt(packets: &[u8], keys: &IdentityKeys) -> Result<(SecretBytes, u8), NotOpened> {
    let (session_keys, body) = split(packets)?;
    let encrypted = Encrypted::new(&body).ok_or(NotOpened::NotAuthentic)?;
    let mut tries = TRIES_MAX;
    let mut outcome = NotOpened::NoKey;
    for pkesk in session_keys {
        // One of an unknown version or algorithm is for somebody else.
        let Ok(pkesk) = openpgp::packet::PKESK::from_bytes(&pkesk) else { continue };
        // RFC 9580 §5.13: version 3 belongs to version 1, version 6 to version 2.
        if (pkesk.version() == 3) != (encrypted.version() == 1) {
            continue;
        }
        let Some((cipher, key)) = keys.session_key(&pkesk, &mut tries) else { continue };
        match encrypted.open(cipher, &key) {
            Some(plain) => return Ok((plain, encrypted.version())),
            None => outcome = NotOpened::NotAuthentic,
        }
    }
    Err(outcome)
}

type Split<'a> = (Vec<std::borrow::Cow<'a, [u8]>>, std::borrow::Cow<'a, [u8]>);

/// The bodies of the public-key session keys, and of the encrypted data behind them.
fn split(bytes: &[u8]) -> Result<Split<'_>, NotOpened> {
    let mut session_keys = Vec::new();
    let mut rest = bytes;
    for _ in 0..=PACKETS_MAX {
        let packet = packets::next(rest).ok_or(NotOpened::Packets)?;
        rest = packet.rest;
        match packet.tag {
            PKESK if packet.body.len() > SESSION_KEY_BYTES_MAX => return Err(NotOpened::Packets),
            PKESK if session_keys.len() >= SESSION_KEYS_MAX => return Err(NotOpened::Packets),
            PKESK => session_keys.push(packet.body),
            // A password may open it, too; it is nobody's here.
            SKESK | MARKER | PADDING => {}
            SEIPD if rest.is_empty() => return Ok((session_keys, packet.body)),
            _ => return Err(NotOpened::Packets),
        }
    }
    Err(NotOpened::Packets)
}

/// The parts, by their index, whose fields and signatures speak of the message itself: all but
/// those of messages that are attached to it. Where the whole entity, or what is signed of the
/// whole, is a message (RFC 8551 §3.1 wraps one), that is not attached.
pub fn own_parts(structure: &Structure) -> Vec<usize> {
    let (mut own, mut at, mut whole) = (Vec::new(), 0, 0);
    while let Some(part) = structure.parts.get(at) {
        own.push(at);
        let is_message = matches!(part.content, Kind::Message(_));
        at += match is_message && at != whole {
            true => usize::from(part.entries.max(1)),
            false => 1,
        };
        if own.last() == Some(&whole) && (is_message || is_signed(part)) {
            whole = at;
        }
    }
    own
}

fn is_signed(part: &Part) -> bool {
    part.content == Kind::Multipart
        && (&*part.media_type, &*part.subtype) == ("multipart", "signed")
}

/// Whom the signatures of all multipart/signed name, whatever they are over.
fn detached_signers(entity: &[u8], structure: &Structure) -> Vec<String> {
    let parts = own_parts(structure).into_iter();
    let signed = parts.filter(|at| is_signed(&structure.parts[*at]));
    let signatures =
        signed.filter_map(|at| Some(structure.parts.get(*structure.children(at).get(1)?)?.body));
    let octets = signatures.filter_map(|body| entity.get(body.range()));
    octets.flat_map(signature::named_signers_of_detached).collect()
}

/// RFC 3156 §6.1: the signature of a multipart/signed within the encryption.
fn multipart_signed(entity: &[u8], structure: &Structure, against: &Against) -> InnerSignature {
    let root = &structure.parts[0];
    let signed = is_signed(root)
        && param(root, "protocol").eq_ignore_ascii_case(b"application/pgp-signature");
    let [data, signature] = structure.children(0)[..] else { return InnerSignature::Absent };
    if !signed {
        return InnerSignature::Absent;
    }
    let (data, signature) = (&structure.parts[data], &structure.parts[signature]);
    let data = entity.get(data.header.start as usize..data.body.end as usize);
    match (data, entity.get(signature.body.range())) {
        (Some(data), Some(signature)) => against.detached(data, signature),
        _ => InnerSignature::Unknown,
    }
}
