//! Sets of message numbers or UIDs as a client writes them: `1,3:5,7:*`.
//!
//! # Standards
//! RFC 3501 §9, `sequence-set`.

use std::fmt;

/// One end of a range; `None` is `*`, the largest number in use.
type End = Option<u32>;

/// A sequence set. Never empty; no number is zero.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SequenceSet(Vec<(End, End)>);

impl SequenceSet {
    /// A set of ranges with both ends within, `None` for `*`; `None` if there is no range, or a
    /// zero.
    pub fn new(ranges: Vec<(Option<u32>, Option<u32>)>) -> Option<SequenceSet> {
        let zero = |end: End| end == Some(0);
        let valid = !ranges.is_empty() && !ranges.iter().any(|&(a, b)| zero(a) || zero(b));
        valid.then_some(SequenceSet(ranges))
    }

    /// The ranges as they were written.
    pub fn ranges(&self) -> &[(Option<u32>, Option<u32>)] {
        &self.0
    }

    /// Ascending ranges that neither touch nor overlap, `*` being `largest`. RFC 3501 §6.4.8: with
    /// UIDs, `n:*` always holds the last message, also where `n` is above it.
    pub fn resolve(&self, largest: u32) -> Vec<(u32, u32)> {
        let number = |end: End| end.unwrap_or(largest);
        let mut sorted: Vec<(u32, u32)> = self
            .0
            .iter()
            .map(|&(a, b)| (number(a).min(number(b)), number(a).max(number(b))))
            .collect();
        sorted.sort_unstable();
        let mut out: Vec<(u32, u32)> = Vec::with_capacity(sorted.len());
        for (first, last) in sorted {
            match out.last_mut() {
                Some(end) if first <= end.1.saturating_add(1) => end.1 = end.1.max(last),
                _ => out.push((first, last)),
            }
        }
        out
    }

    /// The highest number that is written out; zero if there is only `*`.
    pub fn highest_named(&self) -> u32 {
        self.0.iter().flat_map(|&(a, b)| [a, b]).flatten().max().unwrap_or(0)
    }
}

impl fmt::Display for SequenceSet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let end = |end: End| end.map_or("*".to_owned(), |number| number.to_string());
        for (at, &(first, last)) in self.0.iter().enumerate() {
            let comma = if at == 0 { "" } else { "," };
            match first == last {
                true => write!(f, "{comma}{}", end(first))?,
                false => write!(f, "{comma}{}:{}", end(first), end(last))?,
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::BTreeSet;

    #[test]
    fn a_star_is_the_last_and_an_upside_down_range_counts() {
        let set = SequenceSet::new(vec![(Some(10), None), (Some(3), Some(1))]).unwrap();
        assert_eq!(set.resolve(5), [(1, 3), (5, 10)]);
        assert_eq!(set.resolve(20), [(1, 3), (10, 20)]);
        assert_eq!(set.to_string(), "10:*,3:1");
        assert!(SequenceSet::new(vec![(Some(0), None)]).is_none());
        assert!(SequenceSet::new(Vec::new()).is_none());
    }

    fn end() -> impl Strategy<Value = Option<u32>> {
        prop::option::of(1u32..40)
    }

    proptest! {
        #[test]
        fn resolving_keeps_exactly_the_numbers(
            ranges in prop::collection::vec((end(), end()), 1..9),
            largest in 1u32..40,
        ) {
            let oracle: BTreeSet<u32> = ranges
                .iter()
                .map(|&(a, b)| (a.unwrap_or(largest), b.unwrap_or(largest)))
                .flat_map(|(a, b)| a.min(b)..=a.max(b))
                .collect();
            let resolved = SequenceSet::new(ranges).unwrap().resolve(largest);
            prop_assert!(resolved.windows(2).all(|pair| pair[0].1 + 1 < pair[1].0));
            let numbers: BTreeSet<u32> = resolved.iter().flat_map(|&(a, b)| a..=b).collect();
            prop_assert_eq!(numbers, oracle);
        }
    }
}
