//! Opened bodies that one session keeps, so that a large message that is fetched in pieces is
//! opened once. Bounded in octets and in entries; the one used longest ago goes first, and what
//! goes is zeroed with its last reader. What is kept holds room of the server's, and goes when that
//! is needed.

use crate::base::secret::SecretBytes;
use std::sync::Arc;

/// Entries at most. A client fetches pieces of one message, seldom of two; searching a small list
/// is cheaper than a map.
const ENTRIES_MAX: usize = 16;

/// Bodies by the key `K`, the one used last at the end, each with its room `R`.
pub struct BodyCache<K, R> {
    bytes_max: u64,
    entries: Vec<(K, Arc<SecretBytes>, R)>,
}

impl<K: PartialEq, R> BodyCache<K, R> {
    /// A cache of `bytes_max` octets. One body is kept even if it alone is larger: a 50 MB message
    /// read in pieces of 64 KiB would else be opened 800 times.
    pub fn new(bytes_max: u64) -> Self {
        BodyCache { bytes_max, entries: Vec::new() }
    }

    /// The body of `key`, if it is kept.
    pub fn get(&mut self, key: &K) -> Option<Arc<SecretBytes>> {
        let at = self.entries.iter().position(|(kept, ..)| kept == key)?;
        let entry = self.entries.remove(at);
        let body = entry.1.clone();
        self.entries.push(entry);
        Some(body)
    }

    /// Keeps `body`, at the cost of those used longest ago.
    pub fn put(&mut self, key: K, body: Arc<SecretBytes>, room: R) {
        self.entries.retain(|(kept, ..)| *kept != key);
        self.entries.push((key, body, room));
        while self.entries.len() > 1 && self.is_too_much() {
            self.entries.remove(0);
        }
    }

    /// Forgets everything.
    pub fn clear(&mut self) {
        self.entries.clear();
    }

    fn is_too_much(&self) -> bool {
        let bytes: u64 = self.entries.iter().map(|(_, body, _)| body.expose().len() as u64).sum();
        bytes > self.bytes_max || self.entries.len() > ENTRIES_MAX
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn body(len: usize) -> Arc<SecretBytes> {
        Arc::new(SecretBytes::new(vec![b'x'; len]))
    }

    #[test]
    fn what_was_used_longest_ago_goes_first_and_the_newest_always_stays() {
        let mut cache = BodyCache::new(100);
        cache.put(1, body(60), ());
        cache.put(2, body(30), ());
        assert!(cache.get(&1).is_some());
        cache.put(3, body(30), ());
        assert!(cache.get(&2).is_none(), "2 was used longest ago");
        assert!(cache.get(&1).is_some() && cache.get(&3).is_some());
        cache.put(4, body(500), ());
        assert!(cache.get(&4).is_some(), "one body is kept whatever its size");
        assert!(cache.get(&1).is_none() && cache.get(&3).is_none());
    }

    #[test]
    fn the_number_of_entries_is_bounded_too() {
        let mut cache = BodyCache::new(1 << 20);
        (0..100).for_each(|key| cache.put(key, body(0), ()));
        assert_eq!(cache.entries.len(), ENTRIES_MAX);
        assert!(cache.get(&99).is_some() && cache.get(&(99 - ENTRIES_MAX as i32)).is_none());
    }
}
