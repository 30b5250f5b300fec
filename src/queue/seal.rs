//! What an item looks like on the disk.
//!
//! Items are sealed to a key pair of which the accepting side holds the public half only (see
//! [`mod@super::epochs`]). So that this costs one public-key operation a minute and not one a
//! message, a random *content key* is sealed to the pair by OpenPGP, and its sealed form is stored
//! with each item of that minute; envelope, message and progress are sealed under keys derived
//! from it and the item's random name.
//!
//! ```text
//! head of an item      version u8 = 1 · length of the sealed content key u16 LE · it ·
//!                      sealed envelope
//! body of an item      sealed message
//! head of a progress   version u8 = 1 · sealed progress
//! ```
//! *Sealed* is AES-256-GCM-SIV (RFC 8452) under HKDF-SHA256(content key, object's name, label),
//! with label, epoch and name as associated data; the plaintext is length u32 LE · octets · zeros
//! up to a size that lets only the magnitude be told (Padmé). Envelope and progress are postcard.
//!
//! What is not believed: all of it, until its tag was checked.

use super::item::{Envelope, Progress};
use crate::base::crypto::{self, Key};
use crate::base::entropy::Entropy;
use crate::base::ids::ObjectId;
use crate::base::secret::SecretBytes;
use crate::pgp::{self, OpenKey, SealError, SealKey};
use std::sync::Arc;

/// The format version that is written.
const VERSION: u8 = 2;

/// Octets of a sealed content key at most: a PKESK of 1200 and 32 octets of literal.
const SEALED_KEY_BYTES_MAX: usize = 4096;

/// Octets that envelopes and progresses are padded to at least.
const PADDED_BYTES_MIN: usize = 256;

/// A key for the items of a minute, and its form that only the epoch's secret opens.
#[derive(Clone, Debug)]
pub struct ContentKey {
    key: Key,
    sealed: Arc<[u8]>,
}

impl ContentKey {
    /// A fresh one, sealed to `epoch`'s public half.
    pub fn fresh(epoch: &SealKey, entropy: &dyn Entropy) -> Result<ContentKey, SealError> {
        let key = Key::random(entropy);
        let sealed = epoch.seal(key.expose(), entropy)?.message.into();
        Ok(ContentKey { key, sealed })
    }

    /// Opens a sealed form; `None` if it is not what this epoch's public half has sealed.
    pub fn open(sealed: &[u8], epoch: &OpenKey) -> Option<ContentKey> {
        let session_key = epoch.session_key(sealed).ok()?;
        let literal = pgp::open(&session_key, sealed).ok()?;
        Some(ContentKey { key: Key::copy_from(literal.expose())?, sealed: sealed.into() })
    }

    /// The sealed form.
    pub fn sealed(&self) -> &[u8] {
        &self.sealed
    }

    /// The keys of one item of `epoch`.
    pub fn item(&self, epoch: u32, object: &ObjectId) -> ItemKeys {
        let key = |label| crypto::derive(self.key.expose(), &object.0, label);
        ItemKeys {
            envelope: key("postseal queue envelope 1"),
            message: key("postseal queue message 1"),
            progress: key("postseal queue progress 1"),
            binding: [&epoch.to_le_bytes()[..], &object.0].concat(),
        }
    }
}

/// The keys of one item.
#[derive(Clone, Debug)]
pub struct ItemKeys {
    envelope: Key,
    message: Key,
    progress: Key,
    /// What every part is bound to.
    binding: Vec<u8>,
}

impl ItemKeys {
    /// The head of an item.
    pub fn seal_head(
        &self,
        content: &ContentKey,
        envelope: &Envelope,
        entropy: &dyn Entropy,
    ) -> Option<Vec<u8>> {
        let plain = postcard::to_allocvec(envelope).ok()?;
        let sealed = self.seal(&self.envelope, &plain, PADDED_BYTES_MIN, entropy)?;
        let key_bytes = u16::try_from(content.sealed.len()).ok()?;
        Some([&[VERSION], &key_bytes.to_le_bytes()[..], &content.sealed, &sealed].concat())
    }

    /// The envelope in an item's head.
    pub fn open_head(&self, head: &[u8]) -> Option<Envelope> {
        let (_, sealed) = parts(head)?;
        let plain = self.open(&self.envelope, sealed)?;
        postcard::from_bytes(plain.expose()).ok()
    }

    /// The body of an item.
    pub fn seal_message(&self, message: &[u8], entropy: &dyn Entropy) -> Option<Vec<u8>> {
        self.seal(&self.message, message, 1, entropy)
    }

    /// The message in an item's body.
    pub fn open_message(&self, body: &[u8]) -> Option<SecretBytes> {
        self.open(&self.message, body)
    }

    /// The head of a progress.
    pub fn seal_progress(&self, progress: &Progress, entropy: &dyn Entropy) -> Option<Vec<u8>> {
        let plain = postcard::to_allocvec(progress).ok()?;
        let sealed = self.seal(&self.progress, &plain, PADDED_BYTES_MIN, entropy)?;
        Some([&[VERSION], &sealed[..]].concat())
    }

    /// The progress in its head.
    pub fn open_progress(&self, head: &[u8]) -> Option<Progress> {
        let (version, sealed) = head.split_first()?;
        if *version != VERSION {
            return None;
        }
        let plain = self.open(&self.progress, sealed)?;
        postcard::from_bytes(plain.expose()).ok()
    }

    fn seal(
        &self,
        key: &Key,
        plain: &[u8],
        bytes_min: usize,
        entropy: &dyn Entropy,
    ) -> Option<Vec<u8>> {
        let bytes = u32::try_from(plain.len()).ok()?;
        let padded_bytes = padded(plain.len() + 4).max(bytes_min);
        let mut padded = SecretBytes::zeroed(padded_bytes);
        padded.expose_mut()[..4].copy_from_slice(&bytes.to_le_bytes());
        padded.expose_mut()[4..4 + plain.len()].copy_from_slice(plain);
        Some(crypto::seal(key, &self.binding, padded.expose(), entropy))
    }

    fn open(&self, key: &Key, sealed: &[u8]) -> Option<SecretBytes> {
        let mut plain = crypto::open(key, &self.binding, sealed)?;
        let (bytes, rest) = plain.expose().split_first_chunk::<4>()?;
        let bytes = u32::from_le_bytes(*bytes) as usize;
        if bytes > rest.len() {
            return None;
        }
        plain.keep(4..4 + bytes);
        Some(plain)
    }
}

/// The sealed content key in an item's head.
pub fn sealed_key(head: &[u8]) -> Option<&[u8]> {
    parts(head).map(|(key, _)| key)
}

/// Sealed content key and sealed envelope.
fn parts(head: &[u8]) -> Option<(&[u8], &[u8])> {
    let (version, rest) = head.split_first()?;
    let (key_bytes, rest) = rest.split_first_chunk::<2>()?;
    let key_bytes = usize::from(u16::from_le_bytes(*key_bytes));
    if *version != VERSION || key_bytes > SEALED_KEY_BYTES_MAX {
        return None;
    }
    rest.split_at_checked(key_bytes)
}

/// Padmé: lengths rounded up so that of a length with `e` bits only `log2 e` are told, at a cost of
/// an eighth at most (Nikitin et al., "Reducing Metadata Leakage from Encrypted Files", 2019, §4).
fn padded(bytes: usize) -> usize {
    let exponent = usize::BITS - 1 - bytes.max(2).leading_zeros();
    let told = u32::BITS - exponent.leading_zeros();
    let mask = (1usize << (exponent - told.min(exponent))) - 1;
    bytes.saturating_add(mask) & !mask
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::clock::UnixTime;
    use crate::base::entropy::SeededEntropy;
    use crate::queue::{RecipientProgress, Standing};
    use proptest::prelude::*;

    fn envelope() -> Envelope {
        Envelope {
            from: Some("ann@example.org".parse().unwrap()),
            owner: None,
            recipients: Vec::new(),
            accepted: UnixTime(1),
            envelope_id: None,
            return_full: None,
            utf8: false,
        }
    }

    #[test]
    fn an_item_opens_with_the_secret_half_and_as_itself_only() {
        let entropy = SeededEntropy::new(1);
        let pair = pgp::generate_storage(UnixTime(1_795_000_000)).unwrap();
        let other = pgp::generate_storage(UnixTime(1_795_000_000)).unwrap();
        let public = SealKey::from_cert(&pair.public, &pair.subkey).unwrap();
        let secret = OpenKey::from_secret(&pair.secret, &pair.subkey).unwrap();
        let strange = OpenKey::from_secret(&other.secret, &other.subkey).unwrap();
        let content = ContentKey::fresh(&public, &entropy).unwrap();
        let object = ObjectId([7; 16]);
        let keys = content.item(3, &object);
        let head = keys.seal_head(&content, &envelope(), &entropy).unwrap();
        let body = keys.seal_message(b"Subject: x\r\n\r\n", &entropy).unwrap();

        let sealed = sealed_key(&head).unwrap();
        assert!(ContentKey::open(sealed, &strange).is_none());
        let opened = ContentKey::open(sealed, &secret).unwrap();
        let again = opened.item(3, &object);
        assert_eq!(again.open_head(&head), Some(envelope()));
        assert_eq!(again.open_message(&body).unwrap().expose(), b"Subject: x\r\n\r\n");
        for wrong in [opened.item(4, &object), opened.item(3, &ObjectId([8; 16]))] {
            assert_eq!(wrong.open_head(&head), None);
            assert!(wrong.open_message(&body).is_none());
        }
        let recipients = vec![RecipientProgress { standing: Standing::Held, ..Default::default() }];
        let legs = vec![(3, UnixTime(9))];
        let progress = Progress { held: true, legs, recipients };
        let sealed = keys.seal_progress(&progress, &entropy).unwrap();
        assert_eq!(again.open_progress(&sealed), Some(progress));
        assert_eq!(again.open_progress(&sealed[..sealed.len() - 1]), None);
        assert_eq!(again.open_progress(&body), None, "each part has its own key");
    }

    #[test]
    fn sizes_are_told_by_magnitude_only() {
        let sizes: Vec<_> = [1, 9, 100, 1000, 1001, 1025, 50_000_000].map(padded).into();
        assert_eq!(sizes, [1, 10, 104, 1024, 1024, 1088, 50_331_648]);
        for bytes in 1..5000 {
            assert!(padded(bytes) >= bytes && padded(bytes) * 8 <= bytes * 9 + 8, "{bytes}");
        }
    }

    proptest! {
        #[test]
        fn any_octets_are_a_head_or_none(head in prop::collection::vec(any::<u8>(), 0..200)) {
            let entropy = SeededEntropy::new(1);
            let pair = ContentKey { key: Key::random(&entropy), sealed: Arc::from([]) };
            let keys = pair.item(0, &ObjectId([0; 16]));
            prop_assert_eq!(keys.open_head(&head), None);
            prop_assert_eq!(keys.open_progress(&head), None);
        }
    }
}
