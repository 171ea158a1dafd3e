//! What the collector knows → the tables the classifier looks up. Only differences are written.

use std::collections::BTreeMap;

use anyhow::{Context as _, Result};
use aya::maps::{MapError, lpm_trie::Key};
use netobs_common::{
    endpoint::Party,
    interface::Interface,
    key::{AddressKey, PrefixKey},
    pod::{self, Pod},
};

use super::Kernel;

impl Kernel {
    /// Says what an interface is, for packets from now on.
    ///
    /// # Errors
    /// A full table.
    pub fn set_interface(&mut self, index: u32, interface: Interface) -> Result<()> {
        self.interfaces
            .insert(index, array(&interface), 0)
            .and_then(|()| self.renew())
            .with_context(|| format!("telling the kernel side of interface {index}"))
    }

    /// Makes every CPU look interfaces up again.
    fn renew(&mut self) -> Result<(), MapError> {
        let (map, number) = &mut self.generation;
        *number = number.wrapping_add(1);
        map.set(0, *number, 0)
    }

    pub(super) fn forget_interface(&mut self, index: u32) {
        if let Err(error) = self.interfaces.remove(&index).and_then(|()| self.renew())
            && !is_absent(&error)
        {
            tracing::debug!(index, %error, "forgetting an interface");
        }
    }

    /// Makes the address table equal to `wanted`; how many entries found no room.
    pub fn set_addresses(&mut self, wanted: BTreeMap<AddressKey, Party>) -> usize {
        let Self { addresses, written_addresses, .. } = self;
        reconcile(written_addresses, wanted, |key, party| match party {
            Some(party) => addresses.insert(array(key), array(party), 0),
            None => addresses.remove(&array(key)),
        })
    }

    /// Makes the prefix table equal to `wanted`, by prefix length; how many entries found no room.
    pub fn set_prefixes(&mut self, wanted: BTreeMap<(u8, PrefixKey), Party>) -> usize {
        let Self { prefixes, written_prefixes, .. } = self;
        reconcile(written_prefixes, wanted, |(length, prefix), party| {
            let key = Key::new(u32::from(*length), array(prefix));
            match party {
                Some(party) => prefixes.insert(&key, array(party), 0),
                None => prefixes.remove(&key),
            }
        })
    }
}

/// Removes what is not wanted, then writes what is new or different. What the kernel refuses is not
/// remembered as written, so it is tried again the next time.
pub(super) fn reconcile<K: Ord + Copy, V: PartialEq + Copy>(
    written: &mut BTreeMap<K, V>,
    wanted: BTreeMap<K, V>,
    mut write: impl FnMut(&K, Option<&V>) -> Result<(), MapError>,
) -> usize {
    written.retain(|key, _| {
        if wanted.contains_key(key) {
            return true;
        }
        match write(key, None) {
            Ok(()) => false,
            Err(error) => !is_absent(&error),
        }
    });
    let mut refused = 0;
    for (key, value) in wanted {
        if written.get(&key) == Some(&value) {
            continue;
        }
        match write(&key, Some(&value)) {
            Ok(()) => {
                written.insert(key, value);
            }
            Err(_) => refused += 1,
        }
    }
    refused
}

fn is_absent(error: &MapError) -> bool {
    match error {
        MapError::KeyNotFound | MapError::ElementNotFound => true,
        MapError::SyscallError(error) => error.io_error.raw_os_error() == Some(libc::ENOENT),
        _ => false,
    }
}

pub(super) fn array<T: Pod, const N: usize>(value: &T) -> [u8; N] {
    let mut bytes = [0; N];
    bytes.copy_from_slice(pod::bytes(value));
    bytes
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_differences_are_written() {
        let mut written = BTreeMap::from([(1, 'a'), (2, 'b'), (3, 'c')]);
        let mut calls = Vec::new();
        let wanted = BTreeMap::from([(2, 'b'), (3, 'C'), (4, 'd')]);
        let refused = reconcile(&mut written, wanted.clone(), |key, value| {
            calls.push((*key, value.copied()));
            Ok(())
        });
        assert_eq!(calls, [(1, None), (3, Some('C')), (4, Some('d'))]);
        assert_eq!((written, refused), (wanted, 0));
    }

    #[test]
    fn what_finds_no_room_is_tried_again() {
        let mut written = BTreeMap::new();
        let wanted = BTreeMap::from([(1, 'a')]);
        assert_eq!(reconcile(&mut written, wanted.clone(), |_, _| Err(MapError::KeyNotFound)), 1);
        assert_eq!(reconcile(&mut written, wanted, |_, _| Ok(())), 0);
        assert_eq!(written.len(), 1);
    }
}
