//! Every metric family netobs has. The page is encoded from this table, and docs/metrics.md written from it.

use netobs_common::{icmp_error::IcmpErrorType, skip::Skip};

use super::family::{
    BaseUnit::{Bytes, Ratio, Seconds},
    Family, Label,
    Shown::{self, Always, Endpoint, Itself, Workload},
    Type::{self, Counter, Gauge, Histogram},
    Values::{Closed, Open},
};
use crate::report::{
    Close, DROP_REASONS, Direction, EvidenceKind, HookName, HopName, InterfaceState, KindName, Nat,
    OTHER_REASON, Outcome, Path, ProtocolName, Reporter, RoleName, Verdict,
};

/// The sum of the worst cases of the families that are always on, as documented.
pub const ALWAYS_ON_WORST_CASE: usize = 425_737;

const fn closed(name: &'static str, values: fn() -> Vec<&'static str>) -> Label {
    Label { name, values: Closed(values) }
}

const fn open(name: &'static str, what: &'static str) -> Label {
    Label { name, values: Open(what) }
}

fn kinds() -> Vec<&'static str> {
    KindName::ALL.iter().map(|one| one.name()).collect()
}
fn paths() -> Vec<&'static str> {
    Path::ALL.iter().map(|one| one.name()).collect()
}
fn nats() -> Vec<&'static str> {
    Nat::ALL.iter().map(|one| one.name()).collect()
}
fn protocols() -> Vec<&'static str> {
    ProtocolName::ALL.iter().map(|one| one.name()).collect()
}
fn directions() -> Vec<&'static str> {
    Direction::ALL.iter().map(|one| one.name()).collect()
}
fn reporters() -> Vec<&'static str> {
    Reporter::ALL.iter().map(|one| one.name()).collect()
}
fn closes() -> Vec<&'static str> {
    Close::ALL.iter().map(|one| one.name()).collect()
}
fn verdicts() -> Vec<&'static str> {
    Verdict::ALL.iter().map(|one| one.name()).collect()
}
fn outcomes() -> Vec<&'static str> {
    Outcome::ALL.iter().map(|one| one.name()).collect()
}
fn evidence() -> Vec<&'static str> {
    EvidenceKind::ALL.iter().map(|one| one.name()).collect()
}
fn icmp_errors() -> Vec<&'static str> {
    IcmpErrorType::all().map(IcmpErrorType::name).collect()
}
fn roles() -> Vec<&'static str> {
    RoleName::ALL.iter().map(|one| one.name()).collect()
}
fn hooks() -> Vec<&'static str> {
    HookName::ALL.iter().map(|one| one.name()).collect()
}
fn hops() -> Vec<&'static str> {
    HopName::ALL.iter().map(|one| one.name()).collect()
}
/// Where a dropped packet was seen last: the role of the interface, or nowhere.
fn last_hops() -> Vec<&'static str> {
    RoleName::ALL.iter().map(|one| one.name()).chain([NOWHERE]).collect()
}
fn reasons() -> Vec<&'static str> {
    DROP_REASONS.into_iter().chain([OTHER_REASON]).collect()
}
/// What of a flow's addresses can be translated.
fn translations() -> Vec<&'static str> {
    [Nat::Snat, Nat::Dnat, Nat::Both].iter().map(|one| one.name()).collect()
}
fn states() -> Vec<&'static str> {
    InterfaceState::ALL.iter().map(|one| one.name()).collect()
}
/// How endpoints are attached: Docker's modes, the cluster's, the virtual machines'; empty for the host.
pub(super) fn modes() -> Vec<&'static str> {
    let mut all = vec![
        "",
        "bridge",
        "host",
        "none",
        "container",
        "macvlan",
        "ipvlan",
        "cni",
        "nat",
        "host-only",
        "macvtap",
    ];
    all.push(OTHER);
    all
}
/// Who runs endpoints; empty where nobody does, or it is not known.
pub(super) fn runtimes() -> Vec<&'static str> {
    vec!["", "docker", "podman", "containerd", "cri-o", "libvirt", "qemu", OTHER]
}
pub(super) fn skips() -> Vec<&'static str> {
    (1..Skip::COUNT).map(|one| Skip(one).name()).collect()
}
pub(super) fn source_states() -> Vec<&'static str> {
    vec!["ready", "absent", "failing", "disabled"]
}
pub(super) fn attach_modes() -> Vec<&'static str> {
    vec!["tcx", "clsact"]
}
pub(super) fn overflowing() -> Vec<&'static str> {
    vec!["endpoint", "workload", OTHER]
}

/// What a value outside a closed set is called, and what is over `--max-series`.
pub(super) const OTHER: &str = "other";

/// The last hop of a dropped packet that no hook has seen.
pub(super) const NOWHERE: &str = "none";

const SOURCE_KIND: Label = closed("source_kind", kinds);
const DESTINATION_KIND: Label = closed("destination_kind", kinds);
const PATH: Label = closed("path", paths);
const PROTOCOL: Label = closed("protocol", protocols);
const REPORTER: Label = closed("reporter", reporters);

const BY_PATH: &[Label] = &[
    SOURCE_KIND,
    DESTINATION_KIND,
    PATH,
    closed("nat", nats),
    PROTOCOL,
    closed("direction", directions),
    REPORTER,
];
const BY_FLOW: &[Label] = &[SOURCE_KIND, DESTINATION_KIND, PATH, PROTOCOL];
const BY_CLOSE: &[Label] = &[SOURCE_KIND, DESTINATION_KIND, PATH, PROTOCOL, closed("close", closes)];
const BY_VERDICT: &[Label] = &[SOURCE_KIND, DESTINATION_KIND, PATH, closed("verdict", verdicts)];
const BY_OUTCOME: &[Label] = &[SOURCE_KIND, DESTINATION_KIND, PATH, closed("outcome", outcomes)];
const BY_EVIDENCE: &[Label] = &[SOURCE_KIND, DESTINATION_KIND, PATH, closed("evidence", evidence)];
const BY_ICMP_ERROR: &[Label] = &[SOURCE_KIND, DESTINATION_KIND, PATH, closed("type", icmp_errors)];
const BY_PAIR: &[Label] = &[SOURCE_KIND, DESTINATION_KIND, PATH];
const BY_DROP: &[Label] =
    &[SOURCE_KIND, DESTINATION_KIND, PATH, closed("last_hop", last_hops), closed("reason", reasons)];
const BY_HOP: &[Label] = &[closed("role", roles), closed("hook", hooks)];
const BY_WORKLOAD: &[Label] = &[
    SOURCE_KIND,
    open("source_namespace", "namespace, empty where there is none"),
    open("source_workload", "workload, else name; `external`, `host`, `other`"),
    DESTINATION_KIND,
    open("destination_namespace", "namespace, empty where there is none"),
    open("destination_workload", "workload, else name; `external`, `host`, `other`"),
    REPORTER,
];

const fn family(
    name: &'static str,
    kind: Type,
    shown: Shown,
    labels: &'static [Label],
    help: &'static str,
) -> Family {
    Family { name, kind, unit: None, help, labels, shown }
}

macro_rules! families {
    ($($(#[$unit:ident])? $constant:ident = $kind:ident $shown:ident $name:literal $labels:expr, $help:literal;)+) => {
        $(
            pub(super) const $constant: Family = Family {
                $(unit: Some($unit),)?
                ..family($name, $kind, $shown, $labels, $help)
            };
        )+

        /// Every family, in the order of the page.
        pub const ALL: &[&Family] = &[$(&$constant,)+];
    };
}

families! {
    #[Bytes] PATH_BYTES = Counter Always "netobs_path_bytes_total" BY_PATH,
        "Bytes (sum of skb->len) by path, each conversation counted once, at one interface";
    PATH_PACKETS = Counter Always "netobs_path_packets_total" BY_PATH,
        "Packets (socket buffers) by path, each conversation counted once, at one interface";
    PATH_FLOWS = Gauge Always "netobs_path_flows" BY_FLOW, "Flows alive";
    FLOWS_OPENED = Counter Always "netobs_path_flows_opened_total" BY_FLOW, "Flows that began";
    FLOWS_CLOSED = Counter Always "netobs_path_flows_closed_total" BY_CLOSE, "Flows that ended, and how";
    PATH_PAIRS = Gauge Always "netobs_path_pairs" BY_VERDICT,
        "Pairs of endpoints now in that verdict; all that lies outside is one endpoint";
    ATTEMPTS = Counter Always "netobs_connection_attempts_total" BY_OUTCOME,
        "TCP connections attempted, each counted once, when its outcome is decided";
    EVIDENCE = Counter Always "netobs_path_evidence_total" BY_EVIDENCE,
        "Conversations in which a fact was observed, each kind once a conversation";
    ICMP_ERRORS = Counter Always "netobs_icmp_errors_total" BY_ICMP_ERROR,
        "ICMP errors, each counted once, under the flow whose packet they quote";
    NEIGHBOUR_FAILURES = Counter Always "netobs_neighbor_failures_total" BY_PAIR,
        "Times a neighbour was asked for (ARP, neighbour discovery) and did not answer, by who asked and who has the address";
    #[Seconds] HANDSHAKE = Histogram Always "netobs_tcp_handshake_seconds" BY_PAIR,
        "Time from the first SYN to the ACK that ends the handshake, where the source's packets are seen first";
    #[Seconds] ROUND_TRIP = Histogram Always "netobs_tcp_rtt_seconds" BY_PAIR,
        "Time from a packet to its answer: of handshakes, and about once a second by the timestamps of open connections";
    RETRANSMITS = Counter Always "netobs_tcp_retransmitted_segments_total" BY_PAIR,
        "Segments sent again, both directions, where each is seen first";
    RESETS = Counter Always "netobs_tcp_resets_total" BY_PAIR,
        "Connections and attempts that ended by a reset";
    DROPPED_PACKETS = Counter Always "netobs_dropped_packets_total" BY_DROP,
        "Packets (socket buffers) the kernel dropped, from their sender to their receiver; reasons beyond thirty are `other`";
    #[Bytes] DROPPED_BYTES = Counter Always "netobs_dropped_bytes_total" BY_DROP,
        "Bytes the kernel dropped, from the network header on, as a firewall rule counts them";
    #[Bytes] HOP_BYTES = Counter Always "netobs_hop_bytes_total" BY_HOP,
        "Bytes seen at tc hooks; a packet counts at each, so this is not to be added to the path families";
    HOP_PACKETS = Counter Always "netobs_hop_packets_total" BY_HOP,
        "Packets seen at tc hooks; a packet counts at each, so this is not to be added to the path families";
    HOP_LOST = Counter Always "netobs_hop_lost_segments_total"
        &[PATH, closed("from_hop", hops), closed("to_hop", hops)],
        "Segments that passed one hop of a flow and not the next, counted once both were quiet for two seconds";
    NAT_TRANSLATIONS = Counter Always "netobs_nat_translations_total" &[closed("type", translations)],
        "Flows with a translated address, by what was translated: the source, the destination, both";
    CONNTRACK_ENTRIES = Gauge Always "netobs_conntrack_entries" &[],
        "Connections the kernel tracks in this network namespace";
    CONNTRACK_LIMIT = Gauge Always "netobs_conntrack_entries_limit" &[],
        "Connections it can track; at the limit it drops the packets of new ones";
    ENDPOINTS = Gauge Always "netobs_endpoints"
        &[closed("kind", kinds), closed("mode", modes), closed("runtime", runtimes)],
        "Endpoints on this host";

    #[Bytes] WORKLOAD_BYTES = Counter Workload "netobs_workload_bytes_total" BY_WORKLOAD,
        "Bytes (sum of skb->len) between workloads, each conversation counted once";
    WORKLOAD_PACKETS = Counter Workload "netobs_workload_packets_total" BY_WORKLOAD,
        "Packets (socket buffers) between workloads, each conversation counted once";

    WORKLOAD_ATTEMPTS = Counter Workload "netobs_workload_connection_attempts_total" BY_WORKLOAD,
        "TCP connections attempted between workloads, each counted once, when its outcome is decided";
    WORKLOAD_DROPPED = Counter Workload "netobs_workload_dropped_packets_total" BY_WORKLOAD,
        "Packets (socket buffers) the kernel dropped, from their sender to their receiver";

    ENDPOINT_INFO = Gauge Endpoint "netobs_endpoint_info"
        &[
            open("endpoint", "id as in `netobs endpoints`"),
            closed("kind", kinds),
            closed("mode", modes),
            closed("runtime", runtimes),
            open("endpoint_namespace", "namespace, empty where there is none"),
            open("workload", "workload, empty where there is none"),
        ],
        "One for each endpoint on this host";

    BUILD_INFO = Gauge Itself "netobs_build_info"
        &[open("version", "version of netobs"), open("arch", "processor it was built for")],
        "One; the version of the agent is a label";
    #[Seconds] START_TIME = Gauge Itself "process_start_time_seconds" &[],
        "When the agent started, seconds since 1970";
    #[Seconds] CPU = Counter Itself "process_cpu_seconds_total" &[],
        "Processor time the agent used, in its own code and in the kernel on its behalf";
    #[Bytes] RESIDENT = Gauge Itself "process_resident_memory_bytes" &[], "Memory of the agent, without kernel tables";
    #[Bytes] VIRTUAL = Gauge Itself "process_virtual_memory_bytes" &[], "Address space of the agent";
    OPEN_FDS = Gauge Itself "process_open_fds" &[], "Open file descriptors";
    MAX_FDS = Gauge Itself "process_max_fds" &[], "File descriptors the agent may open";
    INTERFACES = Gauge Itself "netobs_interfaces" &[closed("state", states)],
        "Interfaces of the host: observed, not of a kind that is, attaching failed, or another program takes the packets before";
    ATTACH_MODE = Gauge Itself "netobs_attach_mode" &[closed("mode", attach_modes)],
        "One for each way in which programs are attached";
    #[Ratio] COVERAGE = Gauge Itself "netobs_coverage_ratio" &[],
        "Bytes seen by the bytes the interfaces counted themselves since netobs attached; 1 if they counted none";
    BPF_ENTRIES = Gauge Itself "netobs_bpf_map_entries" &[open("map", "name of the kernel table")],
        "Entries of a kernel table";
    BPF_CAPACITY = Gauge Itself "netobs_bpf_map_capacity" &[open("map", "name of the kernel table")],
        "Entries a kernel table can hold";
    LOST_EVENTS = Counter Itself "netobs_bpf_lost_events_total" &[open("source", "what could not deliver them")],
        "Events that could not be delivered; drop_details are dropped packets counted without their addresses; drops are packets freed while another one on the same processor was being looked at, which no count has";
    DROPS_APART = Counter Itself "netobs_drops_apart_packets_total" &[open("reason", "the kernel's word for why, or `not_ip`, `uncounted`")],
        "Socket buffers the kernel freed and that are no dropped packets: a socket was closed, the data had come before, no IP; and those that were dropped and found no room in any table";
    OVERFLOW = Counter Itself "netobs_flow_table_overflow_packets_total" &[],
        "Packets counted in the path families whose flow has no detail, because the flow table was full";
    SPILLED_PACKETS = Counter Itself "netobs_path_table_overflow_packets_total" &[],
        "Packets counted by kinds and protocol only, because the path table was full as well";
    #[Bytes] SPILLED_BYTES = Counter Itself "netobs_path_table_overflow_bytes_total" &[],
        "Bytes counted by kinds and protocol only, because the path table was full as well";
    #[Bytes] PENDING = Gauge Itself "netobs_pending_bytes" &[],
        "Bytes seen and not yet booked: for up to 2 s until identity, NAT and direction are settled";
    AMBIGUOUS = Counter Itself "netobs_conntrack_ambiguous_sightings_total" &[],
        "Hops shown unjoined: conntrack has their addresses in several zones, and nothing tells which connection they are of";
    #[Bytes] UNATTRIBUTED = Counter Itself "netobs_unattributed_bytes_total" &[],
        "Bytes booked with an unknown kind on either side";
    SKIPPED_PACKETS = Counter Itself "netobs_skipped_packets_total" &[closed("reason", skips)],
        "Packets seen that belong to no flow";
    #[Bytes] SKIPPED_BYTES = Counter Itself "netobs_skipped_bytes_total" &[closed("reason", skips)],
        "Bytes seen that belong to no flow";
    SOURCES = Gauge Itself "netobs_identity_sources"
        &[open("source", "`docker`, `netlink`, `conntrack` …"), closed("state", source_states)],
        "One for the state a source of identity is in, zero for the others";
    #[Seconds] TICK = Gauge Itself "netobs_tick_duration_seconds" &[],
        "How long the latest round of reading, joining and publishing took";
    #[Seconds] SCRAPE = Gauge Itself "netobs_scrape_duration_seconds" &[],
        "How long it took to write the previous version of this page";
    SERIES_OVERFLOW = Counter Itself "netobs_series_overflow_total" &[closed("family", overflowing)],
        "Label sets that got no series of their own, because --max-series was reached";
    SERIES = Gauge Itself "netobs_series" &[], "Series on this page";
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn the_documented_worst_case_of_the_always_on_families_holds() {
        let always = ALL.iter().filter(|one| one.shown == Always);
        let sum: usize = always.map(|one| one.worst_case().expect(one.name)).sum();
        assert_eq!(sum, ALWAYS_ON_WORST_CASE);
    }

    #[test]
    fn names_are_unique_and_follow_the_conventions() {
        let names: BTreeSet<_> = ALL.iter().map(|one| one.name).collect();
        assert_eq!(names.len(), ALL.len());
        for family in ALL {
            assert_eq!(family.kind == Counter, family.name.ends_with("_total"), "{}", family.name);
            assert!(family.unit.is_none() || family.stem().len() < family.name.len() - "_total".len() + 1);
            assert!(!family.help.ends_with('.'), "the encoder adds the full stop: {}", family.name);
        }
    }

    #[test]
    fn no_label_takes_the_place_of_one_that_a_scrape_adds() {
        for label in ALL.iter().flat_map(|one| one.labels) {
            assert!(!["namespace", "pod", "container", "node", "instance", "job"].contains(&label.name));
        }
    }
}
