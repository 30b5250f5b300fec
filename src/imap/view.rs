//! The message numbers that one client knows.
//!
//! Numbers change only when the client is told (RFC 3501 §7.4.1), and expunges must not be told in
//! the answer to some commands. A session therefore keeps the newest picture of a mailbox that it
//! has looked at, how far into it the client was told (EXISTS), and *ghosts*: messages that are
//! gone but still have a number for this client. Between two pictures [`SequenceView::step`] says
//! what to tell.
//!
//! # Standards
//! RFC 3501 §2.3.1.2, §5.2, §5.5, §7.3.1-2, §7.4.1.

/// A picture of a mailbox: rows in ascending UID.
pub trait Rows {
    /// How many rows.
    fn count(&self) -> u32;
    /// The UID of the row at `index`, counted from 0.
    fn uid(&self, index: u32) -> Option<u32>;
    /// The index of the first row whose UID is `uid` or more; the count if there is none.
    fn lower_bound(&self, uid: u32) -> u32;
}

/// What lies between two pictures.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Step {
    /// UIDs that were in the old picture and are not in the new one, ascending.
    pub expunged: Vec<u32>,
    /// Rows of the new picture whose flags changed, by index, ascending.
    pub changed: Vec<u32>,
}

/// Something to tell the client, in this order.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Change {
    /// `* n EXPUNGE`
    Expunge(u32),
    /// `* n EXISTS`
    Exists(u32),
    /// `* n FETCH (FLAGS ..)`, of the row at this index.
    Flags {
        /// The message number.
        number: u32,
        /// The index in the newest picture, counted from 0.
        index: u32,
    },
}

/// What a message number stands for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Place {
    /// The row at this index of the newest picture.
    Row(u32),
    /// A message that is gone, with the UID that it had.
    Ghost(u32),
}

/// The numbers that a client knows, in relation to the newest picture that was looked at.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SequenceView {
    /// The client was told of all messages whose UID is below this one.
    told_below: u32,
    /// UIDs of messages that are gone and still have a number, ascending.
    ghosts: Vec<u32>,
}

impl SequenceView {
    /// Selects `rows`: the client is told of all of them.
    pub fn select(rows: &impl Rows) -> SequenceView {
        SequenceView { told_below: end(rows), ghosts: Vec::new() }
    }

    /// How many messages the client knows of.
    pub fn exists(&self, rows: &impl Rows) -> u32 {
        rows.lower_bound(self.told_below) + self.ghosts.len() as u32
    }

    /// Whether messages are gone that the client still has a number for.
    pub fn has_ghosts(&self) -> bool {
        !self.ghosts.is_empty()
    }

    /// The number of the row at `index`; `None` if the client was not told of it.
    pub fn number(&self, rows: &impl Rows, index: u32) -> Option<u32> {
        let uid = rows.uid(index).filter(|&uid| uid < self.told_below)?;
        Some(index + self.ghosts.partition_point(|&ghost| ghost < uid) as u32 + 1)
    }

    /// What `number` stands for; `None` if it is not in use.
    pub fn place(&self, rows: &impl Rows, number: u32) -> Option<Place> {
        if number == 0 || number > self.exists(rows) {
            return None;
        }
        let before = self.ghosts_below(rows, number);
        match self.ghosts.get(before) {
            Some(&uid) if self.ghost_number(rows, before) == number => Some(Place::Ghost(uid)),
            _ => Some(Place::Row(number - 1 - before as u32)),
        }
    }

    /// The rows that stand for the numbers `first` to `last`, as a range of indexes. Ghosts among
    /// them have no row.
    pub fn rows_between(&self, rows: &impl Rows, first: u32, last: u32) -> std::ops::Range<u32> {
        let last = last.min(self.exists(rows));
        if first == 0 || first > last {
            return 0..0;
        }
        let index = |number| number - 1 - self.ghosts_below(rows, number) as u32;
        let end = match self.place(rows, last) {
            Some(Place::Row(index)) => index + 1,
            _ => index(last),
        };
        index(first)..end
    }

    /// Passes on to `newest`, which `step` leads to. What is to be told is in the answer, in order;
    /// `silent` says of which rows the client knows the new flags already. Expunges are told only
    /// if `may_expunge`, else they become ghosts.
    pub fn step(
        &mut self,
        newest: &impl Rows,
        step: &Step,
        may_expunge: bool,
        silent: impl Fn(u32) -> bool,
    ) -> Vec<Change> {
        self.haunt(&step.expunged);
        let mut changes = Vec::new();
        if may_expunge {
            // From the highest down, so that each number still holds when it is told.
            for at in (0..self.ghosts.len()).rev() {
                changes.push(Change::Expunge(self.ghost_number(newest, at)));
            }
            self.ghosts.clear();
        }
        let known = newest.lower_bound(self.told_below);
        if newest.count() > known {
            self.told_below = end(newest);
            changes.push(Change::Exists(self.exists(newest)));
        }
        for &index in step.changed.iter().take_while(|&&index| index < known) {
            if let (Some(number), false) = (self.number(newest, index), silent(index)) {
                changes.push(Change::Flags { number, index });
            }
        }
        changes
    }

    /// Those of `expunged` that the client knows of become ghosts. Both lists ascend.
    fn haunt(&mut self, expunged: &[u32]) {
        let known = expunged.partition_point(|&uid| uid < self.told_below);
        if known > 0 {
            self.ghosts.extend_from_slice(&expunged[..known]);
            self.ghosts.sort_unstable();
        }
    }

    /// The number of the ghost at `at`.
    fn ghost_number(&self, rows: &impl Rows, at: usize) -> u32 {
        rows.lower_bound(self.ghosts[at]) + at as u32 + 1
    }

    /// How many ghosts have a number below `number`.
    fn ghosts_below(&self, rows: &impl Rows, number: u32) -> usize {
        let (mut low, mut high) = (0, self.ghosts.len());
        while low < high {
            let middle = (low + high) / 2;
            match self.ghost_number(rows, middle) < number {
                true => low = middle + 1,
                false => high = middle,
            }
        }
        low
    }
}

/// One above the last UID.
fn end(rows: &impl Rows) -> u32 {
    rows.count()
        .checked_sub(1)
        .and_then(|last| rows.uid(last))
        .map_or(1, |uid| uid.saturating_add(1))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    impl Rows for Vec<u32> {
        fn count(&self) -> u32 {
            self.len() as u32
        }

        fn uid(&self, index: u32) -> Option<u32> {
            self.get(index as usize).copied()
        }

        fn lower_bound(&self, uid: u32) -> u32 {
            self.partition_point(|&row| row < uid) as u32
        }
    }

    /// What a client does: a list of messages, changed only by what it is told.
    fn tell(client: &mut Vec<Option<u32>>, changes: &[Change]) {
        for change in changes {
            match *change {
                Change::Expunge(number) => drop(client.remove(number as usize - 1)),
                Change::Exists(count) => {
                    assert!(count as usize > client.len());
                    client.resize(count as usize, None);
                }
                Change::Flags { .. } => {}
            }
        }
    }

    /// The client fetches the UIDs of all numbers that it does not know and checks the others.
    fn check(client: &mut [Option<u32>], view: &SequenceView, rows: &Vec<u32>) {
        assert_eq!(client.len() as u32, view.exists(rows));
        for (at, known) in client.iter_mut().enumerate() {
            let number = at as u32 + 1;
            let uid = match view.place(rows, number).unwrap() {
                Place::Row(index) => {
                    assert_eq!(view.number(rows, index), Some(number));
                    rows[index as usize]
                }
                Place::Ghost(uid) => uid,
            };
            assert_eq!(*known.get_or_insert(uid), uid, "number {number}");
        }
        assert_eq!(view.place(rows, 0), None);
        assert_eq!(view.place(rows, client.len() as u32 + 1), None);
    }

    #[derive(Clone, Debug)]
    enum Act {
        Arrive(u8),
        Expunge(Vec<u8>),
        Look { may_expunge: bool },
    }

    fn act() -> impl Strategy<Value = Act> {
        prop_oneof![
            (1u8..4).prop_map(Act::Arrive),
            prop::collection::vec(any::<u8>(), 1..4).prop_map(Act::Expunge),
            any::<bool>().prop_map(|may_expunge| Act::Look { may_expunge }),
        ]
    }

    proptest! {
        #[test]
        fn a_client_that_believes_us_always_knows_the_right_message(
            acts in prop::collection::vec(act(), 0..60),
            start in 0u32..6,
        ) {
            let mut rows: Vec<u32> = (1..=start).map(|n| n * 3).collect();
            let mut next = start * 3 + 1;
            let mut seen = rows.clone();
            let mut view = SequenceView::select(&rows);
            let mut client: Vec<Option<u32>> = rows.iter().map(|&uid| Some(uid)).collect();
            for act in acts {
                match act {
                    Act::Arrive(count) => (0..count).for_each(|_| {
                        rows.push(next);
                        next += 2;
                    }),
                    Act::Expunge(which) => which.iter().for_each(|&at| {
                        if !rows.is_empty() {
                            rows.remove(usize::from(at) % rows.len());
                        }
                    }),
                    Act::Look { may_expunge } => {
                        let gone = seen.iter().filter(|uid| !rows.contains(uid)).copied();
                        let step = Step { expunged: gone.collect(), changed: Vec::new() };
                        let changes = view.step(&rows, &step, may_expunge, |_| false);
                        let expunges = changes.iter().any(|c| matches!(c, Change::Expunge(_)));
                        prop_assert!(may_expunge || !expunges);
                        seen = rows.clone();
                        tell(&mut client, &changes);
                        check(&mut client, &view, &rows);
                        prop_assert!(!may_expunge || !view.has_ghosts());
                    }
                }
            }
        }

        #[test]
        fn a_range_of_numbers_is_a_range_of_rows(
            rows in prop::collection::btree_set(1u32..60, 0..20),
            gone in prop::collection::btree_set(1u32..60, 0..8),
            first in 1u32..30,
            last in 0u32..30,
        ) {
            let before: Vec<u32> = rows.union(&gone).copied().collect();
            let mut view = SequenceView::select(&before);
            let now: Vec<u32> = rows.difference(&gone).copied().collect();
            let step = Step { expunged: gone.iter().copied().collect(), changed: Vec::new() };
            view.step(&now, &step, false, |_| false);
            let expected: Vec<u32> = (first..=last)
                .filter_map(|number| match view.place(&now, number) {
                    Some(Place::Row(index)) => Some(index),
                    _ => None,
                })
                .collect();
            let range: Vec<u32> = view.rows_between(&now, first, last).collect();
            prop_assert_eq!(range, expected);
        }
    }

    #[test]
    fn flags_are_told_by_number_once_and_not_to_who_set_them() {
        let rows = vec![1, 2, 3];
        let mut view = SequenceView::select(&rows);
        let now = vec![2, 3, 4];
        let step = Step { expunged: vec![1], changed: vec![0, 1] };
        let changes = view.step(&now, &step, false, |index| index == 1);
        assert_eq!(changes, [Change::Exists(4), Change::Flags { number: 2, index: 0 }]);
        let later = view.step(&now, &Step::default(), true, |_| false);
        assert_eq!(later, [Change::Expunge(1)]);
    }
}
