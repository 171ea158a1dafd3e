//! What the observer takes in → the journal.

use std::{
    collections::{BTreeSet, VecDeque},
    sync::Arc,
    time::{Duration, Instant},
};

use jiff::Timestamp;

use crate::{
    collector::{Clock, Names},
    evidence::changes::VerdictChange,
    host::{
        self,
        facts::{AddressScope, Facts, HostEvent},
    },
    journal::{Change, Journal, bursts::Bursts, network, settings},
    report::{DropRow, EventKind, Shown},
};

/// How often settings are looked at: the kernel announces some of them only.
const LOOK: Duration = Duration::from_secs(2);
/// Interfaces whose settings are looked at: those with an address, by which packets are routed.
const INTERFACES: usize = 32;

/// Names of interfaces that are gone and still known.
const GONE: usize = 256;

/// The journal, and what was before.
#[derive(Default)]
pub(super) struct Watch {
    journal: Journal,
    bursts: Bursts,
    settings: settings::Settings,
    looked: Option<Instant>,
    /// Names of interfaces that went lately: their addresses and routes are told of later.
    gone: VecDeque<(u32, String)>,
}

impl Watch {
    /// Takes in a change of the host, given how it was before.
    pub(super) fn host(&mut self, event: &HostEvent, before: &Facts, time: Timestamp) {
        let name = |index: u32| match before.links.get(&index) {
            Some(link) => link.name.clone(),
            None => {
                let gone = self.gone.iter().rfind(|(gone, _)| *gone == index);
                gone.map_or_else(|| format!("interface {index}"), |(_, name)| name.clone())
            }
        };
        let mut changes: Vec<Change> = Vec::new();
        match event {
            // How it was when the agent began; there is nothing before it. Neighbours come and go with the traffic.
            HostEvent::Synced(_) | HostEvent::NeighbourFailed { .. } => {}
            HostEvent::LinkAppeared(link) => changes.extend(network::link(None, Some(link))),
            HostEvent::LinkChanged { before, after } => {
                changes.extend(network::link(Some(before), Some(after)));
            }
            HostEvent::LinkGone(link) => {
                changes.extend(network::link(Some(link), None));
                if self.gone.len() >= GONE {
                    self.gone.pop_front();
                }
                self.gone.push_back((link.index, link.name.clone()));
            }
            HostEvent::FactsChanged(tables) => {
                if let Some(after) = &tables.addresses {
                    changes.extend(network::addresses(&before.addresses, after, name));
                }
                if let Some(after) = &tables.routes {
                    changes.extend(network::routes(&before.routes, after, name));
                }
            }
        }
        self.journal.note(changes, time);
    }

    /// Takes in verdicts that changed.
    pub(super) fn verdicts(&mut self, changes: Vec<VerdictChange>, names: &Names<'_>, time: Timestamp) {
        let shown = changes.into_iter().filter(|one| !one.pair.0.iter().any(|end| names.is_hidden(*end)));
        let told = shown.map(|one| {
            let [source, destination] = one.pair.0.map(|end| names.id(end));
            Change {
                kind: EventKind::Verdict,
                subject: format!("{source} → {destination}"),
                before: one.before.map(|verdict| verdict.to_string()),
                after: Some(one.after.to_string()),
                detail: Some(one.pair.1.path.to_string()),
            }
        });
        self.journal.note(told, time);
    }

    /// Takes in the rows of drops of a tick.
    pub(super) fn drops(&mut self, rows: &[DropRow], clock: Clock) {
        let changes = self.bursts.read(rows, clock.monotonic);
        self.journal.note(changes, clock.wall);
    }

    /// Looks at settings, now and then.
    pub(super) fn settings(&mut self, facts: &Facts, time: Timestamp) {
        if self.looked.is_some_and(|at| at.elapsed() < LOOK) {
            return;
        }
        let routed = facts.addresses.values().filter(|one| one.scope == AddressScope::Global);
        let links: BTreeSet<u32> = routed.map(|one| one.link).collect();
        let names = links.iter().filter_map(|link| Some(facts.links.get(link)?.name.as_str()));
        let now = host::settings::read(names.take(INTERFACES));
        if self.looked.is_some() {
            self.journal.note(settings::changes(&self.settings, &now), time);
        }
        (self.settings, self.looked) = (now, Some(Instant::now()));
    }

    /// Takes in changes that are told as they are.
    pub(super) fn changes(&mut self, changes: Vec<Change>, time: Timestamp) {
        self.journal.note(changes, time);
    }

    pub(super) fn shown(&mut self) -> Arc<Shown> {
        self.journal.shown()
    }
}
