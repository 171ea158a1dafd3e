//! Interface numbers → what the collector knows of them. Numbers are never reused, indexes are.

use std::{collections::BTreeMap, sync::Arc};

use netobs_common::{
    endpoint::EndpointId,
    interface::{Interface, Role},
    tunnel::Encapsulation,
};

/// An observed interface.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Observed {
    /// Kernel index while it lived.
    pub ifindex: u32,
    /// Its name.
    pub name: Arc<str>,
    /// How many devices it lies on ([`crate::host::facts::Facts::height`]).
    pub height: u8,
    /// What it puts packets into that nobody can look into where they leave (WireGuard).
    pub seals: Encapsulation,
    /// Nanoseconds of the monotonic clock when programs were put on it.
    pub since: u64,
    /// What the kernel side was told of it last.
    pub kernel: Interface,
    /// Whether it is still there.
    pub alive: bool,
}

impl Observed {
    /// What it is for.
    #[must_use]
    pub const fn role(&self) -> Role {
        self.kernel.role
    }

    /// Whether it is inside an endpoint's network stack.
    #[must_use]
    pub const fn is_inside(&self) -> bool {
        self.kernel.inside != 0
    }

    /// The endpoint all of whose packets pass here.
    #[must_use]
    pub fn owner(&self) -> Option<EndpointId> {
        Some(self.kernel.owner).filter(|owner| *owner != EndpointId::UNKNOWN)
    }
}

/// All interfaces observed, and those that went while something of them is still shown.
#[derive(Clone, Debug, Default)]
pub struct Interfaces {
    by_number: BTreeMap<u32, Observed>,
    last: u32,
}

impl Interfaces {
    /// A number for a new interface.
    pub fn begin(&mut self, ifindex: u32, name: &str) -> u32 {
        self.last += 1;
        let observed = Observed {
            ifindex,
            name: name.into(),
            height: 0,
            seals: Encapsulation::NONE,
            since: 0,
            kernel: Interface { id: self.last, ..Interface::default() },
            alive: true,
        };
        self.by_number.insert(self.last, observed);
        self.last
    }

    /// An interface by number.
    #[must_use]
    pub fn get(&self, number: u32) -> Option<&Observed> {
        self.by_number.get(&number)
    }

    /// An interface to be changed.
    pub fn get_mut(&mut self, number: u32) -> Option<&mut Observed> {
        self.by_number.get_mut(&number)
    }

    /// Forgets interfaces that are gone and that nothing refers to.
    pub fn retain(&mut self, used: impl Fn(u32) -> bool) {
        self.by_number.retain(|number, observed| observed.alive || used(*number));
    }

    /// Every interface known.
    pub fn iter(&self) -> impl Iterator<Item = (u32, &Observed)> {
        self.by_number.iter().map(|(number, observed)| (*number, observed))
    }
}
