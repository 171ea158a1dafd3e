//! Events of a watch → what there is. Pure.

use std::{collections::BTreeMap, sync::Arc};

use kube::runtime::watcher::Event;

/// Namespace and name; the namespace is empty for what has none.
pub(super) type Key = (String, String);

/// Everything of one kind. While it is listed anew, what was known before stays.
#[derive(Debug)]
pub(super) struct Table<V> {
    known: BTreeMap<Key, Arc<V>>,
    listing: Option<BTreeMap<Key, Arc<V>>>,
    /// Whether it was listed once.
    pub(super) is_listed: bool,
}

impl<V> Default for Table<V> {
    fn default() -> Self {
        Self { known: BTreeMap::new(), listing: None, is_listed: false }
    }
}

impl<V: PartialEq> Table<V> {
    /// Takes an event in; whether anything changed. An object without a value is of no use here, and as good as gone.
    pub(super) fn take(&mut self, event: Event<(Key, Option<V>)>) -> bool {
        match event {
            Event::Apply((key, Some(value))) => {
                if self.known.get(&key).is_some_and(|known| **known == value) {
                    return false;
                }
                self.known.insert(key, Arc::new(value));
                true
            }
            Event::Apply((key, None)) | Event::Delete((key, _)) => self.known.remove(&key).is_some(),
            Event::Init => {
                self.listing = Some(BTreeMap::new());
                false
            }
            Event::InitApply((key, value)) => {
                if let (Some(listing), Some(value)) = (&mut self.listing, value) {
                    listing.insert(key, Arc::new(value));
                }
                false
            }
            Event::InitDone => {
                let listing = self.listing.take().unwrap_or_default();
                let changed = !self.is_listed || listing != self.known;
                self.is_listed = true;
                self.known = listing;
                changed
            }
        }
    }

    pub(super) fn values(&self) -> impl Iterator<Item = &Arc<V>> {
        self.known.values()
    }

    pub(super) fn get(&self, key: &Key) -> Option<&Arc<V>> {
        self.known.get(key)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(name: &str) -> Key {
        (String::new(), name.into())
    }

    #[test]
    fn a_list_replaces_what_was_known_once_it_is_whole() {
        let mut table = Table::default();
        assert!(!table.take(Event::Init));
        table.take(Event::InitApply((key("a"), Some(1))));
        assert_eq!(table.values().count(), 0, "half a list is none");
        assert!(table.take(Event::InitDone) && table.is_listed);
        assert!(table.take(Event::Apply((key("b"), Some(2)))));
        assert!(!table.take(Event::Apply((key("b"), Some(2)))), "nothing new");
        table.take(Event::Init);
        table.take(Event::InitApply((key("b"), Some(2))));
        assert_eq!(table.values().count(), 2, "known until the new list is whole");
        assert!(table.take(Event::InitDone));
        assert_eq!(table.values().map(|one| **one).collect::<Vec<_>>(), [2]);
        table.take(Event::Init);
        table.take(Event::InitApply((key("b"), Some(2))));
        assert!(!table.take(Event::InitDone), "the same again");
    }

    #[test]
    fn what_is_of_no_use_any_more_is_gone() {
        let mut table = Table::default();
        table.take(Event::Apply((key("a"), Some(1))));
        assert!(table.take(Event::Apply((key("a"), None))));
        assert!(!table.take(Event::Delete((key("a"), None))));
    }
}
