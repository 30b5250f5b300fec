//! A table that cannot grow beyond its bound: when it is full, the oldest eighth goes.

use std::collections::BTreeMap;

/// The HMAC by which something is known here.
pub(super) type Name = [u8; 32];

/// Something that has a date.
pub(super) trait Dated {
    /// When it was last of use, in seconds since 1970.
    fn date(&self) -> i64;
}

/// A table of at most a fixed number of entries.
pub(super) struct Bounded<V> {
    entries: BTreeMap<Name, V>,
    entries_max: usize,
}

impl<V: Dated> Bounded<V> {
    pub fn new(entries_max: usize) -> Self {
        Bounded { entries: BTreeMap::new(), entries_max }
    }

    pub fn get(&self, name: &Name) -> Option<&V> {
        self.entries.get(name)
    }

    pub fn get_mut(&mut self, name: &Name) -> Option<&mut V> {
        self.entries.get_mut(name)
    }

    pub fn remove(&mut self, name: &Name) -> Option<V> {
        self.entries.remove(name)
    }

    pub fn len(&self) -> usize {
        self.entries.len()
    }

    pub fn iter(&self) -> impl Iterator<Item = (&Name, &V)> {
        self.entries.iter()
    }

    pub fn values_mut(&mut self) -> impl Iterator<Item = &mut V> {
        self.entries.values_mut()
    }

    /// Puts `value` in, and may let old ones go for it; what is not in the table any more comes
    /// back.
    pub fn insert(&mut self, name: Name, value: V) -> Vec<V> {
        let mut gone = Vec::new();
        if self.entries.len() >= self.entries_max && !self.entries.contains_key(&name) {
            let mut dates: Vec<i64> = self.entries.values().map(V::date).collect();
            let place = dates.len() / 8;
            let (_, limit, _) = dates.select_nth_unstable(place);
            let limit = *limit;
            // Where dates are equal no more go than were to go.
            let mut left = place + 1;
            let old = self.entries.extract_if(.., |_, value| {
                let goes = value.date() <= limit && left > 0;
                left -= usize::from(goes);
                goes
            });
            gone.extend(old.map(|(_, value)| value));
        }
        gone.extend(self.entries.insert(name, value));
        gone
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    impl Dated for i64 {
        fn date(&self) -> i64 {
            *self
        }
    }

    #[test]
    fn the_oldest_eighth_goes_and_the_bound_holds() {
        let mut table = Bounded::new(16);
        for n in 0..1000u16 {
            let mut name = [0; 32];
            name[..2].copy_from_slice(&n.to_le_bytes());
            let before = table.len();
            let gone = table.insert(name, i64::from(n));
            assert_eq!(before + 1, table.len() + gone.len());
            assert!(table.len() <= 16);
            assert_eq!(table.get(&name), Some(&i64::from(n)));
        }
        assert!(table.iter().all(|(_, date)| *date >= 1000 - 16));
        assert!(table.len() >= 13);
    }

    #[test]
    fn equal_dates_do_not_empty_the_table() {
        let mut table = Bounded::new(16);
        for n in 0..100u8 {
            table.insert([n; 32], 7i64);
            assert!(table.len() >= usize::from(n + 1).min(13));
        }
    }
}
