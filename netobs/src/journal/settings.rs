//! Kernel settings at two moments → those that changed. Pure.

use std::collections::BTreeMap;

use super::Change;
use crate::report::EventKind;

/// Settings by dotted name.
pub type Settings = BTreeMap<String, String>;

/// What changed. A setting that appears or goes with its interface is no change of a setting.
#[must_use]
pub fn changes(before: &Settings, after: &Settings) -> Vec<Change> {
    let changed = after.iter().filter_map(|(name, value)| {
        let old = before.get(name).filter(|old| *old != value)?;
        Some(Change {
            kind: EventKind::Sysctl,
            subject: name.clone(),
            before: Some(old.clone()),
            after: Some(value.clone()),
            detail: None,
        })
    });
    changed.collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn settings(all: &[(&str, &str)]) -> Settings {
        all.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
    }

    #[test]
    fn only_what_was_there_before_changes() {
        let before = settings(&[("net.ipv4.ip_forward", "1"), ("net.ipv4.conf.va.rp_filter", "0")]);
        let after = settings(&[("net.ipv4.ip_forward", "0"), ("net.ipv4.conf.vb.rp_filter", "1")]);
        let changes = changes(&before, &after);
        assert_eq!(changes.len(), 1);
        assert_eq!(
            (changes[0].subject.as_str(), changes[0].before.as_deref(), changes[0].after.as_deref()),
            ("net.ipv4.ip_forward", Some("1"), Some("0"))
        );
    }
}
