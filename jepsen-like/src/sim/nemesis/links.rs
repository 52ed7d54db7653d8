//! Which nodes hear which: the cut links of all faults together.

use std::collections::{BTreeMap, BTreeSet};

/// A direction between two nodes.
pub type Way = (u64, u64);

/// The directions that are cut, each with the number of faults that cut it. A node that is down is cut in every
/// direction.
#[derive(Debug, Default)]
pub struct Links {
    cut: BTreeMap<Way, u32>,
}

/// The changes that must be made to the network.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Changes {
    /// The directions to cut.
    pub cut: Vec<Way>,
    /// The directions to mend.
    pub mended: Vec<Way>,
}

impl Links {
    /// Adds a fault that cuts these directions.
    pub fn cut(&mut self, ways: &BTreeSet<Way>) -> Changes {
        let mut changes = Changes::default();
        for way in ways {
            let count = self.cut.entry(*way).or_insert(0);
            *count = count.saturating_add(1);
            if *count == 1 {
                changes.cut.push(*way);
            }
        }
        changes
    }

    /// Removes a fault that cuts these directions.
    pub fn mend(&mut self, ways: &BTreeSet<Way>) -> Changes {
        let mut changes = Changes::default();
        for way in ways {
            if let Some(count) = self.cut.get_mut(way) {
                *count = count.saturating_sub(1);
                if *count == 0 {
                    self.cut.remove(way);
                    changes.mended.push(*way);
                }
            }
        }
        changes
    }

    /// Whether two nodes hear each other.
    pub fn both_ways(&self, a: u64, b: u64) -> bool {
        !self.cut.contains_key(&(a, b)) && !self.cut.contains_key(&(b, a))
    }
}

/// Every link between the members of two groups, in both directions.
pub fn between(one: &[u64], other: &[u64]) -> BTreeSet<Way> {
    let mut ways = BTreeSet::new();
    for a in one {
        for b in other.iter().filter(|b| *b != a) {
            ways.insert((*a, *b));
            ways.insert((*b, *a));
        }
    }
    ways
}

/// Every direction from the members of one group to those of another.
pub fn from_to(from: &[u64], to: &[u64]) -> BTreeSet<Way> {
    from.iter().flat_map(|a| to.iter().filter(move |b| *b != a).map(move |b| (*a, *b))).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_way_is_mended_once_the_last_fault_that_cut_it_is_over() {
        let mut links = Links::default();
        let (isolated, halves) = (between(&[1], &[2, 3]), between(&[1, 2], &[3]));
        assert_eq!(links.cut(&isolated).cut.len(), 4);
        assert_eq!(links.cut(&halves).cut, vec![(2, 3), (3, 2)], "1 and 3 were cut before");
        assert_eq!(links.mend(&isolated).mended, vec![(1, 2), (2, 1)]);
        assert!(!links.both_ways(1, 3) && links.both_ways(1, 2));
        links.mend(&halves);
        assert!(links.both_ways(1, 3));
    }

    #[test]
    fn one_way_is_not_both() {
        let mut links = Links::default();
        links.cut(&from_to(&[1], &[2]));
        assert!(!links.both_ways(1, 2) && !links.both_ways(2, 1));
    }
}
