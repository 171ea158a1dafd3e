//! The closed sets of words that only the map uses.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::names::{KindName, words};

words! {
    /// What a node of the map is.
    NodeKind {
        /// This host's own network stack, or another node.
        Host = "host",
        /// A bridge.
        Bridge = "bridge",
        /// The way out.
        Uplink = "uplink",
        /// A device that encapsulates.
        Overlay = "overlay",
        /// Another interface that endpoints hang on: the parent of a macvlan.
        Device = "device",
        /// Where addresses are translated.
        Nat = "nat",
        /// A guest behind a tap.
        Vm = "vm",
        /// A container.
        Container = "container",
        /// A pod.
        Pod = "pod",
        /// Beyond the uplink.
        External = "external",
        /// Not known.
        Unknown = "unknown",
        /// Several nodes drawn as one.
        Group = "group",
    }
}

words! {
    /// By what two neighbours on the map are connected.
    EdgeRole {
        /// A pair of interfaces, one end in an endpoint.
        Veth = "veth",
        /// A guest's network card.
        Tap = "tap",
        /// A bridge's own device.
        Bridge = "bridge",
        /// A device that encapsulates.
        Overlay = "overlay",
        /// A macvlan or ipvlan device.
        Macvlan = "macvlan",
        /// The way out.
        Uplink = "uplink",
        /// The same network stack.
        Loopback = "loopback",
        /// A translation of addresses.
        Nat = "nat",
        /// None of these.
        Other = "other",
    }
}

impl From<KindName> for NodeKind {
    fn from(kind: KindName) -> Self {
        match kind {
            KindName::Host => Self::Host,
            KindName::Vm => Self::Vm,
            KindName::Container => Self::Container,
            KindName::Pod => Self::Pod,
            KindName::External => Self::External,
            KindName::Unknown => Self::Unknown,
        }
    }
}
