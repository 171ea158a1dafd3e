//! Which interfaces programs are on: those that appeared wait their turn, those that went are let go.

use std::time::{Duration, Instant};

use netobs_common::{
    endpoint::Kind,
    interface::{Interface, Role},
};

use super::{interfaces, observer::Observer, tunnels};
use crate::{
    collector::Baseline,
    failure,
    host::facts::LinkKind,
    kernel::{self, Attached},
    report::InterfaceState,
};

/// Interfaces that programs are put on before anything else gets its turn: 0.2 s.
const AT_ONCE: usize = 8;
/// When attaching is tried again after it failed.
const AGAIN_AFTER: Duration = Duration::from_secs(5);
/// Interfaces looked at in one tick for programs before ours: two system calls each.
const LOOKED_AT: usize = 128;
/// How long an end of a pair waits for the other end to be moved away.
const MOVED_WITHIN: Duration = Duration::from_millis(50);

/// An interface that programs are on.
pub(super) struct Placed {
    pub(super) number: u32,
    pub(super) attached: Attached,
    pub(super) told: Interface,
    /// Both counts at the first tick after attaching.
    pub(super) baseline: Option<Baseline>,
    /// Whether another program runs before ours.
    pub(super) preceded: bool,
}

impl Observer {
    /// Whether interfaces wait for programs.
    pub(super) fn has_waiting(&self) -> bool {
        !self.waiting.is_empty()
    }

    /// Puts programs on a few of the waiting interfaces: the kernel takes some 25 ms for each (two hooks, each
    /// with a grace period under the lock of the network configuration, Linux 6.18), and ticks go on meanwhile.
    pub(super) fn place_waiting(&mut self) {
        if self.waiting.is_empty() {
            return;
        }
        for _ in 0..AT_ONCE {
            let Some(index) = self.waiting.pop_front() else { break };
            self.attach(index);
        }
        if self.waiting.is_empty() {
            // Ports and addresses refer to bridges that have a number only now.
            self.place_all();
            self.write();
        }
    }

    pub(super) fn place_all(&mut self) {
        // Bridges first: their ports refer to them.
        let mut links: Vec<u32> = self.facts.links.keys().copied().collect();
        links.sort_by_key(|index| self.facts.links.get(index).is_some_and(|link| link.master.is_some()));
        for index in links {
            self.place(index);
        }
    }

    /// What the kernel side is to be told of an interface, with its number left open; why it is not observed.
    fn described(&self, index: u32) -> Option<Result<Interface, &'static str>> {
        let link = self.facts.links.get(&index)?;
        let role = match interfaces::role(link, &self.uplinks) {
            Ok(role) => role,
            Err(why) => return Some(Err(why)),
        };
        let number = self.placed.get(&index).map_or(0, |placed| placed.number);
        let bridge = self.facts.bridge_of(index).and_then(|one| self.placed.get(&one)).map(|one| one.number);
        let owner = self.registry.owner_of(index).map(|owner| {
            (owner, self.registry.by_number(owner).map_or(Kind::UNKNOWN, |endpoint| endpoint.kind))
        });
        let tunnels = self.underlay.at(link, role);
        Some(Ok(interfaces::describe(&self.facts, link, role, number, bridge, owner, tunnels)))
    }

    fn place(&mut self, index: u32) {
        match self.described(index) {
            None => {}
            // A default route that blinks, or moves to another card, takes nobody's eyes away.
            Some(Err(_)) if self.placed.contains_key(&index) => {}
            Some(Err(why)) => {
                self.remove(index);
                self.unplaced.insert(index, (InterfaceState::Skipped, why.into()));
            }
            Some(Ok(told)) if self.placed.contains_key(&index) => self.tell(index, told),
            Some(Ok(_)) if self.failed_lately(index) => {}
            Some(Ok(_)) if self.waiting.contains(&index) => {}
            Some(Ok(_)) if self.may_be_moved(index) => {}
            Some(Ok(_)) => {
                self.deferred.remove(&index);
                self.waiting.push_back(index);
            }
        }
    }

    /// Whether an attempt failed under this name less than [`AGAIN_AFTER`] ago.
    fn failed_lately(&self, index: u32) -> bool {
        let name = self.facts.links.get(&index).map(|link| &link.name);
        self.failed.get(&index).is_some_and(|(at, tried)| at.elapsed() < AGAIN_AFTER && Some(tried) == name)
    }

    /// Tries again where attaching failed a while ago.
    pub(super) fn place_failed(&mut self) {
        if self.failed.values().any(|(at, _)| at.elapsed() >= AGAIN_AFTER) {
            self.place_all();
        }
    }

    /// Runtimes make a pair and move one end a moment later: until then it is not worth the kernel's time to
    /// attach to that end, and the other one is attached as soon as it has gone.
    fn may_be_moved(&mut self, index: u32) -> bool {
        let Some(link) = self.facts.links.get(&index) else { return false };
        let other_is_here = link.peer_namespace.is_none()
            && link.lower.and_then(|other| self.facts.links.get(&other)).is_some_and(|other| {
                other.kind == LinkKind::Veth && other.lower == Some(index) && other.peer_namespace.is_none()
            });
        if link.kind != LinkKind::Veth || !other_is_here {
            return false;
        }
        let now = Instant::now();
        now < *self.deferred.entry(index).or_insert(now + MOVED_WITHIN)
    }

    /// When the next deferred interface is due.
    pub(super) fn deferred_until(&self) -> Option<Instant> {
        self.deferred.values().min().copied()
    }

    /// Attaches deferred interfaces whose other end has stayed.
    pub(super) fn place_deferred(&mut self) {
        let now = Instant::now();
        let due: Vec<u32> =
            self.deferred.iter().filter(|(_, at)| **at <= now).map(|(index, _)| *index).collect();
        for index in due {
            self.place(index);
            self.deferred.remove(&index);
        }
        self.place_waiting();
    }

    fn attach(&mut self, index: u32) {
        // It may have gone, or become another kind of interface, while it waited.
        let Some(Ok(mut told)) = self.described(index) else { return };
        let Some(name) = self.facts.links.get(&index).map(|link| link.name.clone()) else { return };
        // The kernel is asked by name: one that is another interface's by now must not be attached to.
        if nix::net::if_::if_nametoindex(name.as_str()) != Ok(index) {
            self.failed.insert(index, (Instant::now(), name));
            return;
        }
        let number = self.collector.interfaces.begin(index, &name);
        told.id = number;
        if told.role == Role::BRIDGE {
            told.segment = number;
        }
        match self.kernel.attach(index, &name, told) {
            Ok(attached) => {
                self.unplaced.remove(&index);
                self.failed.remove(&index);
                self.placed.insert(index, Placed { number, attached, told, baseline: None, preceded: false });
                let height = self.facts.height(index, &self.uplinks);
                let seals = self.facts.links.get(&index).map(tunnels::seals).unwrap_or_default();
                if let Some(one) = self.collector.interfaces.get_mut(number) {
                    (one.kernel, one.height, one.since) = (told, height, kernel::monotonic_now());
                    one.seals = seals;
                }
                tracing::debug!(interface = %name, role = told.role.name(), how = attached.name(), "attached");
            }
            Err(error) => {
                let why = failure::one_line(&error);
                tracing::debug!(interface = %name, %why, "not observed");
                self.unplaced.insert(index, (InterfaceState::Failed, why.into()));
                self.failed.insert(index, (Instant::now(), name));
                if let Some(one) = self.collector.interfaces.get_mut(number) {
                    one.alive = false;
                }
            }
        }
    }

    /// Looks at some interfaces, others each time: has anybody put a program before ours?
    pub(super) fn look_for_programs_before_ours(&mut self) {
        let after = |index: u32| (std::ops::Bound::Excluded(index), std::ops::Bound::Unbounded);
        let some: Vec<u32> =
            self.placed.range(after(self.looked_at)).map(|(index, _)| *index).take(LOOKED_AT).collect();
        self.looked_at = if some.len() < LOOKED_AT { 0 } else { some.last().copied().unwrap_or(0) };
        for index in some {
            // An interface that is going away says nothing, and is gone by the next look.
            let Ok(preceded) = self.kernel.is_preceded(index) else { continue };
            let Some(placed) = self.placed.get_mut(&index).filter(|one| one.preceded != preceded) else {
                continue;
            };
            placed.preceded = preceded;
            let name = self.facts.links.get(&index).map_or("", |link| link.name.as_str());
            if preceded {
                tracing::warn!(interface = %name, "another program runs before netobs: what it takes is not seen; `bpftool net` names it");
            } else {
                tracing::info!(interface = %name, "netobs runs first again");
            }
        }
    }

    fn tell(&mut self, index: u32, told: Interface) {
        let Some(placed) = self.placed.get_mut(&index) else { return };
        let name = self.facts.links.get(&index).map_or("", |link| link.name.as_str());
        if let Some(one) = self.collector.interfaces.get_mut(placed.number) {
            one.height = self.facts.height(index, &self.uplinks);
            if &*one.name != name {
                one.name = name.into();
            }
            one.kernel = told;
        }
        if placed.told == told {
            return;
        }
        match self.kernel.set_interface(index, told) {
            Ok(()) => placed.told = told,
            Err(error) => tracing::warn!(interface = %name, why = %failure::one_line(&error), "not told"),
        }
    }

    pub(super) fn remove(&mut self, index: u32) {
        self.waiting.retain(|one| *one != index);
        self.deferred.remove(&index);
        self.failed.remove(&index);
        self.unplaced.remove(&index);
        if let Some(placed) = self.placed.remove(&index) {
            self.kernel.detach(index);
            if let Some(one) = self.collector.interfaces.get_mut(placed.number) {
                one.alive = false;
            }
        }
    }
}
