//! Sets and maps that rules look into, and looking into them where not all is known. Pure.

use super::{Table, Verdict, bits::Bits};

/// A set, or a map.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Set {
    /// Its table.
    pub table: Table,
    /// Its name; the kernel's own for one that stands in a rule.
    pub name: String,
    /// Whether it stands in a rule.
    pub anonymous: bool,
    /// Whether its elements are ranges.
    pub interval: bool,
    /// What its keys are: a number of `nft`'s own, of which the kernel knows nothing.
    pub key_type: u32,
    /// Bytes of a key.
    pub key_length: u32,
    /// What its values are, likewise; none for a set.
    pub data_type: Option<u32>,
    /// Bytes of the parts of a key that is made of several, where ranges are among them.
    pub fields: Vec<u32>,
    /// What is in it.
    pub elements: Vec<Element>,
    /// Whether that is all.
    pub complete: bool,
}

/// A set's elements in the order of their keys: rules may look into a set of a hundred thousand elements a hundred
/// thousand times for one packet.
#[derive(Clone, Debug)]
pub(super) struct Sorted {
    /// Indexes of those with a key; of equal keys first those that end a range, then as they stand.
    by_key: Vec<u32>,
    /// The one for whatever is not found otherwise.
    catch_all: Option<u32>,
    /// Whether one says where its range ends.
    has_ends: bool,
}

impl Sorted {
    pub(super) fn new(elements: &[Element]) -> Self {
        let indexes = || (0_u32..).zip(elements);
        let mut keyed: Vec<(u32, &Element)> = indexes().filter(|(_, element)| !element.catch_all).collect();
        keyed.sort_by(|(_, a), (_, b)| a.key.cmp(&b.key).then(b.ends.cmp(&a.ends)));
        Self {
            by_key: keyed.into_iter().map(|(index, _)| index).collect(),
            catch_all: indexes().find(|(_, element)| element.catch_all).map(|(index, _)| index),
            has_ends: elements.iter().any(|element| element.to.is_some()),
        }
    }
}

/// One element.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Element {
    /// The key, or where a range begins.
    pub key: Vec<u8>,
    /// Where the range ends, its end included, where one element says both.
    pub to: Option<Vec<u8>>,
    /// Whether the range before ends here, its end excluded.
    pub ends: bool,
    /// Whether it is for whatever is not found otherwise.
    pub catch_all: bool,
    /// What it leads to.
    pub value: Value,
}

/// What an element leads to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Value {
    /// Nothing: a set.
    None,
    /// Bytes.
    Bytes(Vec<u8>),
    /// A verdict.
    Verdict(Verdict),
    /// Something that is not read.
    Unknown,
}

/// What a look brought.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Found<'a> {
    /// It is not in the set.
    No,
    /// It is.
    Yes(&'a Value),
    /// It may be any of these, or none.
    Maybe(Vec<&'a Value>),
}

/// Values told where it cannot be said which.
const MOST: usize = 256;

impl Set {
    /// Looks for a key, given the elements' order.
    pub(super) fn find<'a>(&'a self, sorted: &Sorted, key: &[Bits]) -> Found<'a> {
        let at = |index: u32| self.elements.get(usize::try_from(index).ok()?);
        let other = || match sorted.catch_all.and_then(at) {
            Some(element) => Found::Yes(&element.value),
            None if self.complete => Found::No,
            None => Found::Maybe(Vec::new()),
        };
        if let Some(known) = key.iter().map(|bits| bits.value()).collect::<Option<Vec<u8>>>() {
            let found = if sorted.has_ends {
                sorted.by_key.iter().filter_map(|index| at(*index)).find(|one| self.covers(one, &known))
            } else {
                let is_before = |index: &u32| at(*index).is_some_and(|one| one.key <= known);
                let before = sorted.by_key.partition_point(is_before).checked_sub(1);
                // Of those that begin, or end, at the same place the one that begins counts.
                let last = before.and_then(|last| sorted.by_key.get(last)).and_then(|index| at(*index));
                last.filter(|one| if self.interval { !one.ends } else { one.key == known })
            };
            return found.map_or_else(other, |element| Found::Yes(&element.value));
        }
        let possible = |element: &&Element| {
            self.interval || element.key.iter().zip(key).all(|(byte, bits)| bits.may_be(*byte))
        };
        let entries = self.elements.iter().filter(|element| !element.catch_all && !element.ends);
        let mut values: Vec<&Value> =
            entries.filter(possible).map(|element| &element.value).take(MOST).collect();
        if values.is_empty() {
            return other();
        }
        values.extend(sorted.catch_all.and_then(at).map(|element| &element.value));
        values.truncate(MOST);
        Found::Maybe(values)
    }

    fn covers(&self, element: &Element, key: &[u8]) -> bool {
        let Some(to) = &element.to else { return element.key == key };
        let mut at = 0_usize;
        let lengths: Vec<usize> = if self.fields.is_empty() {
            vec![key.len()]
        } else {
            self.fields.iter().filter_map(|length| usize::try_from(*length).ok()).collect()
        };
        lengths.into_iter().all(|length| {
            let part = at..at.saturating_add(length).min(key.len());
            // Each part begins at a register of four bytes.
            at = at.saturating_add(length.next_multiple_of(4)).min(key.len());
            match (element.key.get(part.clone()), key.get(part.clone()), to.get(part)) {
                (Some(from), Some(one), Some(to)) => from <= one && one <= to,
                _ => false,
            }
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn element(key: &[u8], ends: bool) -> Element {
        Element { key: key.to_vec(), to: None, ends, catch_all: false, value: Value::None }
    }

    fn known(bytes: &[u8]) -> Vec<Bits> {
        bytes.iter().copied().map(Bits::of).collect()
    }

    fn find<'a>(set: &'a Set, key: &[Bits]) -> Found<'a> {
        set.find(&Sorted::new(&set.elements), key)
    }

    fn is_in(set: &Set, bytes: &[u8]) -> bool {
        matches!(find(set, &known(bytes)), Found::Yes(_))
    }

    /// `{ 10.0.0.0/8, 11.0.0.0/8, 192.168.1.5 }`, as the kernel tells it: from the last to the first.
    fn intervals() -> Set {
        let elements = vec![
            element(&[192, 168, 1, 6], true),
            element(&[192, 168, 1, 5], false),
            element(&[12, 0, 0, 0], true),
            element(&[11, 0, 0, 0], false),
            element(&[11, 0, 0, 0], true),
            element(&[10, 0, 0, 0], false),
            element(&[0, 0, 0, 0], true),
        ];
        Set { interval: true, key_length: 4, elements, complete: true, ..Set::default() }
    }

    #[test]
    fn a_range_ends_before_its_end() {
        let set = intervals();
        for inside in [[10, 0, 0, 0], [10, 255, 255, 255], [11, 0, 0, 0], [192, 168, 1, 5]] {
            assert!(is_in(&set, &inside), "{inside:?}");
        }
        for outside in [[9, 255, 255, 255], [12, 0, 0, 0], [192, 168, 1, 4], [192, 168, 1, 6]] {
            assert!(!is_in(&set, &outside), "{outside:?}");
        }
    }

    #[test]
    fn parts_of_a_key_lie_each_in_their_own_range() {
        let one = Element {
            key: vec![10, 1, 1, 0, 0, 80, 0, 0],
            to: Some(vec![10, 1, 1, 255, 0, 90, 0, 0]),
            ends: false,
            catch_all: false,
            value: Value::None,
        };
        let set = Set {
            interval: true,
            key_length: 8,
            fields: vec![4, 2],
            elements: vec![one],
            complete: true,
            ..Set::default()
        };
        assert!(is_in(&set, &[10, 1, 1, 200, 0, 80, 0, 0]));
        assert!(!is_in(&set, &[10, 1, 1, 200, 0, 91, 0, 0]));
        assert!(!is_in(&set, &[10, 1, 2, 0, 0, 80, 0, 0]));
    }

    #[test]
    fn what_is_not_found_goes_to_what_catches_all() {
        let mut set = Set {
            key_length: 1,
            elements: vec![Element { value: Value::Verdict(Verdict::Accept), ..element(&[1], false) }],
            complete: true,
            ..Set::default()
        };
        assert_eq!(find(&set, &known(&[2])), Found::No);
        let drop = Value::Verdict(Verdict::Drop);
        set.elements.push(Element { catch_all: true, value: drop.clone(), ..element(&[], false) });
        assert_eq!(find(&set, &known(&[2])), Found::Yes(&drop));
        assert_eq!(find(&set, &known(&[1])), Found::Yes(&Value::Verdict(Verdict::Accept)));
        assert_eq!(find(&set, &[Bits::UNKNOWN]), Found::Maybe(vec![&Value::Verdict(Verdict::Accept), &drop]));
    }

    #[test]
    fn a_key_is_found_in_time_that_hardly_grows_with_the_set() {
        let elements = (0..131_072_u32).rev().map(|n| element(&(n * 2).to_be_bytes(), n % 2 == 1)).collect();
        let mut set = Set { interval: true, key_length: 4, elements, complete: true, ..Set::default() };
        let sorted = Sorted::new(&set.elements);
        let inside = |set: &Set, n: u32| matches!(set.find(&sorted, &known(&n.to_be_bytes())), Found::Yes(_));
        assert!(inside(&set, 40) && inside(&set, 41) && !inside(&set, 42) && !inside(&set, 43));
        // One after the other this is 10¹⁰ comparisons: minutes.
        assert_eq!((0..100_000).filter(|n| inside(&set, n * 2)).count(), 50_000);
        set.interval = false;
        assert!(inside(&set, 42) && !inside(&set, 43));
    }

    #[test]
    fn of_a_set_that_is_not_all_known_nothing_is_certainly_absent() {
        let set = Set { complete: false, ..intervals() };
        assert_eq!(find(&set, &known(&[9, 9, 9, 9])), Found::Maybe(vec![]));
        assert!(is_in(&set, &[10, 9, 9, 9]));
    }
}
