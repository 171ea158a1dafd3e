//! What is measured: which packets, how many flows of them, and how much room there is.

use netobs_tests::packets::{ACK, IPV4, IPV6, Ipv4, TCP, VLAN, ethernet, ipv6, join, tag, tcp};

/// Bytes behind the headers, about those of a small message: what is not read costs nothing.
const PAYLOAD: [u8; 64] = [0; 64];

/// A row of the table.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Workload {
    /// What it is called.
    pub(crate) name: &'static str,
    /// The headers.
    pub(crate) family: Family,
    /// How many flows take turns.
    pub(crate) flows: u32,
    /// Entries of the flow table.
    pub(crate) room: u32,
    /// Whether what is measured is the first packet of each flow, or any later one.
    pub(crate) first: bool,
}

/// Which headers.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Family {
    /// TCP, IPv4, Ethernet.
    V4,
    /// TCP, IPv6, Ethernet.
    V6,
    /// TCP, IPv4, 802.1Q, Ethernet.
    Vlan,
}

impl Family {
    /// The packet, and where its ports stand.
    pub(crate) fn packet(self) -> (Vec<u8>, u16) {
        let segment = join(&tcp(40_000, 80, ACK), &PAYLOAD);
        let four = Ipv4::new(TCP).around(&segment);
        match self {
            Self::V4 => (ethernet(IPV4, &four), 14 + 20),
            Self::V6 => (ethernet(IPV6, &ipv6(TCP, &segment)), 14 + 40),
            Self::Vlan => (ethernet(VLAN, &tag(100, IPV4, &four)), 18 + 20),
        }
    }
}

/// The default size of the flow table.
const DEFAULT: u32 = netobs_common::maps::FLOWS_CAPACITY;

const fn later(name: &'static str, family: Family, flows: u32) -> Workload {
    Workload { name, family, flows, room: DEFAULT, first: false }
}

/// The rows. The first is what the others are set against.
pub(crate) const ALL: &[Workload] = &[
    later("IPv4, 1 flow", Family::V4, 1),
    later("IPv4, 1k flows", Family::V4, 1_000),
    later("IPv4, 10k flows", Family::V4, 10_000),
    later("IPv4, 65k flows", Family::V4, 65_000),
    later("IPv6, 1 flow", Family::V6, 1),
    later("IPv6, 10k flows", Family::V6, 10_000),
    later("VLAN, 1 flow", Family::Vlan, 1),
    later("VLAN, 10k flows", Family::Vlan, 10_000),
    Workload {
        name: "IPv4, first packet of a flow",
        family: Family::V4,
        flows: 65_000,
        room: DEFAULT,
        first: true,
    },
    Workload { name: "IPv4, flow table full", family: Family::V4, flows: 65_000, room: 1_024, first: false },
];
