//! Records of the file: what changed, sealed, padded, bound to its place in its file.
//!
//! A record is a length and a sealed text. The seal is bound to the file's random name and the
//! record's number in it, so that records cannot be taken out, exchanged or put into another file
//! without the rest being cut off there. Lengths are padded to 512 octets.

use super::bounded::Name;
use crate::base::clock::UnixTime;
use crate::base::crypto::{self, Key, SEAL_OVERHEAD_BYTES};
use crate::base::entropy::Entropy;
use crate::pgp::{Fingerprint, PEER_CERT_BYTES_MAX};
use serde::{Deserialize, Serialize};

/// How a file of this format begins.
pub(super) const MAGIC: &[u8; 18] = b"postseal ledger 1\n";
/// Octets of the file's random name.
pub(super) const ID_BYTES: usize = 16;
/// Octets before the first record.
pub(super) const HEADER_BYTES: usize = MAGIC.len() + ID_BYTES;
/// What lengths are padded to.
const PAD_BYTES: usize = 512;
/// Octets of a record: the largest certificate, and room for the rest.
const RECORD_BYTES_MAX: usize = PEER_CERT_BYTES_MAX + 4096;

/// One change.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) enum Record {
    /// A key is known for an address.
    Key {
        name: Name,
        primary: Fingerprint,
        /// Empty if it was given up.
        #[serde(with = "serde_bytes")]
        cert: Vec<u8>,
        first_seen: UnixTime,
        last_seen: UnixTime,
        missing_since: Option<UnixTime>,
    },
    /// The same key was looked for again.
    Asked { name: Name, last_seen: UnixTime, missing_since: Option<UnixTime> },
    /// An address was forgotten.
    Forgotten { name: Name },
    /// A message was sealed here.
    Sealed { name: Name, at: UnixTime },
    /// A message came sealed.
    Received { name: Name, at: UnixTime },
}

/// The name of a file and its key.
pub(super) struct Binding<'a> {
    pub key: &'a Key,
    pub id: &'a [u8; ID_BYTES],
}

impl Binding<'_> {
    fn aad(&self, number: u64) -> Vec<u8> {
        [MAGIC.as_slice(), self.id, &number.to_le_bytes()].concat()
    }

    /// Appends record `number` to `out`.
    pub fn write(&self, record: &Record, number: u64, entropy: &dyn Entropy, out: &mut Vec<u8>) {
        let mut text = postcard::to_allocvec(record).unwrap_or_default();
        text.resize(text.len().next_multiple_of(PAD_BYTES), 0);
        let sealed = crypto::seal(self.key, &self.aad(number), &text, entropy);
        out.extend_from_slice(&(sealed.len() as u32).to_le_bytes());
        out.extend_from_slice(&sealed);
    }

    /// Reads record `number` from the front of `bytes`; also how many octets it takes.
    fn read(&self, bytes: &[u8], number: u64) -> Option<(Record, usize)> {
        let (length, rest) = bytes.split_first_chunk::<4>()?;
        let length = u32::from_le_bytes(*length) as usize;
        if length > RECORD_BYTES_MAX + SEAL_OVERHEAD_BYTES {
            return None;
        }
        let text = crypto::open(self.key, &self.aad(number), rest.get(..length)?)?;
        let (record, _) = postcard::take_from_bytes(text.expose()).ok()?;
        Some((record, 4 + length))
    }
}

/// What a file holds, as far as it is whole.
pub(super) struct Contents {
    pub id: [u8; ID_BYTES],
    pub records: Vec<Record>,
    /// Octets that were understood.
    pub whole_bytes: usize,
}

/// Reads a whole file; `None` if even its beginning is not one's own.
pub(super) fn read_file(bytes: &[u8], key: &Key) -> Option<Contents> {
    let rest = bytes.strip_prefix(MAGIC)?;
    let (id, _) = rest.split_first_chunk::<ID_BYTES>()?;
    let mut contents = Contents { id: *id, records: Vec::new(), whole_bytes: HEADER_BYTES };
    let binding = Binding { key, id };
    while let Some((record, length)) =
        binding.read(&bytes[contents.whole_bytes..], contents.records.len() as u64)
    {
        contents.records.push(record);
        contents.whole_bytes += length;
    }
    Some(contents)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::entropy::SeededEntropy;
    use proptest::prelude::*;

    fn records() -> Vec<Record> {
        let (name, at) = ([7; 32], UnixTime(1_796_000_000));
        vec![
            Record::Key {
                name,
                primary: Fingerprint::V4([1; 20]),
                cert: vec![0x99; 700],
                first_seen: at,
                last_seen: at,
                missing_since: None,
            },
            Record::Asked { name, last_seen: at, missing_since: Some(at) },
            Record::Forgotten { name },
            Record::Sealed { name, at },
            Record::Received { name, at },
        ]
    }

    fn file(key: &Key) -> Vec<u8> {
        let entropy = SeededEntropy::new(1);
        let mut bytes = [MAGIC.as_slice(), &[5; ID_BYTES]].concat();
        let binding = Binding { key, id: &[5; ID_BYTES] };
        for (number, record) in records().iter().enumerate() {
            binding.write(record, number as u64, &entropy, &mut bytes);
        }
        bytes
    }

    fn key() -> Key {
        Key::random(&SeededEntropy::new(2))
    }

    #[test]
    fn what_is_written_is_read_and_shows_no_lengths() {
        let bytes = file(&key());
        let contents = read_file(&bytes, &key()).unwrap();
        assert_eq!((contents.records, contents.whole_bytes), (records(), bytes.len()));
        assert_eq!((bytes.len() - HEADER_BYTES) % 4, 0);
        let overhead = records().len() * (4 + SEAL_OVERHEAD_BYTES);
        assert_eq!((bytes.len() - HEADER_BYTES - overhead) % PAD_BYTES, 0);
        let other = Key::random(&SeededEntropy::new(3));
        assert_eq!(read_file(&bytes, &other).unwrap().records, []);
    }

    #[test]
    fn cut_anywhere_it_gives_the_records_before_the_cut() {
        let bytes = file(&key());
        let mut seen = 0;
        for cut in 0..bytes.len() {
            match read_file(&bytes[..cut], &key()) {
                None => assert!(cut < HEADER_BYTES),
                Some(contents) => {
                    assert_eq!(contents.records[..], records()[..contents.records.len()]);
                    assert!(contents.whole_bytes <= cut);
                    seen = seen.max(contents.records.len());
                }
            }
        }
        assert_eq!(seen, records().len() - 1);
    }

    #[test]
    fn a_record_in_another_place_is_none() {
        let bytes = file(&key());
        let first = 4 + u32::from_le_bytes(bytes[HEADER_BYTES..][..4].try_into().unwrap()) as usize;
        let mut without_first = bytes[..HEADER_BYTES].to_vec();
        without_first.extend_from_slice(&bytes[HEADER_BYTES + first..]);
        assert_eq!(read_file(&without_first, &key()).unwrap().records, []);
        let mut renamed = bytes;
        renamed[MAGIC.len()] ^= 1;
        assert_eq!(read_file(&renamed, &key()).unwrap().records, []);
    }

    proptest! {
        #[test]
        fn no_octets_make_it_panic(
            mut bytes in any::<Vec<u8>>(),
            at in 0usize..4000,
            bit in 0u8..8,
        ) {
            read_file(&bytes, &key());
            let mut whole = file(&key());
            let at = at % whole.len();
            whole[at] ^= 1 << bit;
            if let Some(contents) = read_file(&whole, &key()) {
                prop_assert!(contents.records.len() < records().len());
                prop_assert_eq!(&contents.records[..], &records()[..contents.records.len()]);
            }
            bytes.splice(0..0, MAGIC.iter().copied().chain([5; ID_BYTES]));
            read_file(&bytes, &key());
        }
    }
}
