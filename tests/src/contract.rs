//! The contract's words, fields and labels, written out once, and judges that hold an answer against them.

use std::collections::{BTreeMap, BTreeSet};

use anyhow::{Context, Result, bail, ensure};
use serde_json::Value;

use crate::exposition::Exposition;

/// Closed sets of words by field.
const WORDS: &[(&str, &[&str])] = &[
    ("kind", &["host", "vm", "container", "pod", "external", "unknown"]),
    ("protocol", &["tcp", "udp", "sctp", "icmp", "icmpv6", "arp", "other"]),
    (
        "path",
        &[
            "loopback",
            "host_direct",
            "bridge",
            "routed_local",
            "macvlan",
            "overlay",
            "routed_remote",
            "uplink",
            "unknown",
        ],
    ),
    ("nat", &["none", "snat", "dnat", "both", "unknown"]),
    ("via", &["direct", "published_port", "host_port", "cluster_ip", "node_port", "load_balancer"]),
    ("reporter", &["source", "destination", "transit"]),
    ("initiator_by", &["syn", "conntrack", "listener", "first_packet"]),
    (
        "verdict",
        &["dropped", "refused", "unreachable", "one_way", "unanswered", "degraded", "reachable", "unknown"],
    ),
    (
        "evidence",
        &[
            "syn_ack",
            "reply_packet",
            "handshake",
            "rst",
            "syn_retransmit",
            "no_reply",
            "icmp_error",
            "neighbor_unanswered",
            "drop",
            "retransmit",
            "hop_loss",
            "socket_error",
        ],
    ),
    ("hook", &["ingress", "egress"]),
    ("role", &["veth", "tap", "bridge", "overlay", "macvlan", "uplink", "loopback"]),
    ("provenance", &PROVENANCES),
];

/// Why an endpoint's identity is believed, strongest first.
pub const PROVENANCES: [&str; 10] = [
    "kubernetes_api",
    "cri",
    "docker_api",
    "libvirt",
    "qemu_process",
    "cgroup",
    "netns",
    "neighbor",
    "fdb",
    "cidr",
];

/// A value must be one of the field's words.
fn word(field: &str, value: &Value) -> Result<()> {
    let words = WORDS.iter().find(|(name, _)| *name == field).map_or(&[][..], |(_, words)| words);
    let text = value.as_str().with_context(|| format!("{field} is {value}, no word"))?;
    ensure!(words.contains(&text), "{field} is `{text}`, not one of {words:?}");
    Ok(())
}

/// Every key must be there, null or not.
fn keys(what: &str, value: &Value, names: &[&str]) -> Result<()> {
    let object = value.as_object().with_context(|| format!("{what} is {value}, no object"))?;
    for name in names {
        ensure!(object.contains_key(*name), "{what} has no `{name}`: {value}");
    }
    Ok(())
}

/// RFC 3339 in UTC: `2026-01-02T03:04:05.678Z`.
fn time(what: &str, value: &Value) -> Result<()> {
    let text = value.as_str().with_context(|| format!("{what} is {value}, no time"))?;
    let shape: String = text.chars().map(|one| if one.is_ascii_digit() { '0' } else { one }).collect();
    ensure!(
        shape.starts_with("0000-00-00T00:00:00") && shape.ends_with('Z'),
        "{what} is {text}, not RFC 3339 UTC"
    );
    Ok(())
}

/// What every answer begins with.
///
/// # Errors
/// With what is missing.
pub fn envelope(answer: &Value) -> Result<()> {
    keys("the answer", answer, &["schema", "time", "node", "interval_seconds"])?;
    ensure!(answer["schema"] == "netobs/v1", "schema is {}", answer["schema"]);
    ensure!(answer["interval_seconds"].is_number(), "interval_seconds is {}", answer["interval_seconds"]);
    time("time", &answer["time"])
}

/// A row of `netobs endpoints`.
///
/// # Errors
/// With what deviates.
pub fn endpoint(row: &Value) -> Result<()> {
    let names = [
        "id",
        "kind",
        "name",
        "namespace",
        "workload",
        "uid",
        "runtime",
        "mode",
        "netns",
        "interfaces",
        "provenance",
        "containers",
    ];
    keys("an endpoint", row, &names)?;
    word("kind", &row["kind"])?;
    for one in row["interfaces"].as_array().context("interfaces")? {
        keys("an interface", one, &["name", "ifindex", "mac", "addresses", "mode"])?;
    }
    let provenance = row["provenance"].as_array().context("provenance")?;
    ensure!(!provenance.is_empty(), "an identity without a reason: {row}");
    provenance.iter().try_for_each(|one| word("provenance", one))
}

/// A row of `netobs flows`.
///
/// # Errors
/// With what deviates.
pub fn flow(row: &Value) -> Result<()> {
    flow_fields(row).with_context(|| format!("flow {row}"))
}

fn flow_fields(row: &Value) -> Result<()> {
    let names = [
        "id",
        "source",
        "destination",
        "initiator_by",
        "original_destination",
        "protocol",
        "path",
        "nat",
        "via",
        "reporter",
        "overlay",
        "proxied_by",
        "forward",
        "reply",
        "hops",
        "tcp",
        "verdict",
        "evidence",
        "first_seen",
        "last_seen",
    ];
    keys("a flow", row, &names)?;
    for field in ["initiator_by", "protocol", "path", "nat", "via", "reporter", "verdict"] {
        word(field, &row[field])?;
    }
    for side in ["source", "destination"] {
        keys(side, &row[side], &["endpoint", "kind", "address", "port"])?;
        word("kind", &row[side]["kind"])?;
    }
    for direction in ["forward", "reply"] {
        keys(direction, &row[direction], &["packets", "segments", "bytes", "bits_per_second"])?;
    }
    for hop in row["hops"].as_array().context("hops")? {
        let names = [
            "direction",
            "interface",
            "ifindex",
            "hook",
            "role",
            "source",
            "destination",
            "packets",
            "segments",
            "bytes",
        ];
        keys("a hop", hop, &names)?;
        word("hook", &hop["hook"])?;
        word("role", &hop["role"])?;
    }
    if !row["tcp"].is_null() {
        let names = ["state", "handshake_seconds", "rtt_seconds", "retransmits", "resets", "zero_windows"];
        keys("tcp", &row["tcp"], &names)?;
    }
    for one in row["evidence"].as_array().context("evidence")? {
        keys("evidence", one, &["kind", "count", "first_seen", "last_seen", "hop", "detail"])?;
        word("evidence", &one["kind"])?;
    }
    time("first_seen", &row["first_seen"])?;
    time("last_seen", &row["last_seen"])
}

/// Kinds of nodes of the map: those of endpoints, of what lies between them, and of several drawn as one.
const NODE_KINDS: &[&str] = &[
    "host",
    "bridge",
    "uplink",
    "overlay",
    "device",
    "nat",
    "vm",
    "container",
    "pod",
    "external",
    "unknown",
    "group",
];
/// By what two neighbours on the map are connected: the roles of hops, and a translation.
const EDGE_ROLES: &[&str] =
    &["veth", "tap", "bridge", "overlay", "macvlan", "uplink", "loopback", "nat", "other"];

/// The whole map: words, and that nodes and edges refer to nodes that are there.
///
/// # Errors
/// With what deviates.
pub fn map(answer: &Value) -> Result<()> {
    let nodes = answer["nodes"].as_array().context("no list of nodes")?;
    let ids: BTreeSet<_> = nodes.iter().filter_map(|node| node["id"].as_str()).collect();
    ensure!(ids.len() == nodes.len(), "an id is missing, or given twice");
    let there = |value: &Value| value.as_str().is_some_and(|id| ids.contains(id));
    for node in nodes {
        keys("a node", node, &["id", "kind", "name", "parent"])?;
        ensure!(NODE_KINDS.iter().any(|kind| node["kind"] == *kind), "a kind: {node}");
        ensure!(node["parent"].is_null() || there(&node["parent"]), "its parent is not there: {node}");
    }
    let mut pairs = BTreeSet::new();
    for edge in answer["edges"].as_array().context("no list of edges")? {
        keys("an edge", edge, &["from", "to", "role", "bits_per_second", "verdict"])?;
        ensure!(there(&edge["from"]) && there(&edge["to"]), "an end is not there: {edge}");
        ensure!(EDGE_ROLES.iter().any(|role| edge["role"] == *role), "a role: {edge}");
        ensure!(edge["bits_per_second"].as_f64().is_some_and(|rate| rate >= 0.0), "a rate: {edge}");
        word("verdict", &edge["verdict"])?;
        let mut pair = [edge["from"].as_str(), edge["to"].as_str()];
        pair.sort_unstable();
        ensure!(pairs.insert(pair), "these two are neighbours twice: {edge}");
    }
    Ok(())
}

/// The whole matrix: words, and each cell once.
///
/// # Errors
/// With what deviates.
pub fn matrix(answer: &Value) -> Result<()> {
    let mut found = BTreeSet::new();
    for cell in answer["cells"].as_array().context("no list of cells")? {
        let names = [
            "source_kind",
            "destination_kind",
            "path",
            "verdicts",
            "flows",
            "bytes",
            "evidence",
            "last_seen",
        ];
        keys("a cell", cell, &names)?;
        word("kind", &cell["source_kind"])?;
        word("kind", &cell["destination_kind"])?;
        word("path", &cell["path"])?;
        let key = ["source_kind", "destination_kind", "path"].map(|name| cell[name].to_string());
        ensure!(found.insert(key), "a cell twice: {cell}");
        for (verdict, pairs) in cell["verdicts"].as_object().context("verdicts")? {
            word("verdict", &Value::String(verdict.clone()))?;
            ensure!(pairs.as_u64().is_some_and(|pairs| pairs > 0), "{verdict} without a pair: {cell}");
        }
        let mut kinds = BTreeSet::new();
        for one in cell["evidence"].as_array().context("evidence")? {
            keys("evidence", one, &["kind", "count", "first_seen", "last_seen", "hop", "detail"])?;
            word("evidence", &one["kind"])?;
            ensure!(kinds.insert(one["kind"].to_string()), "a kind of evidence twice: {cell}");
            time("first_seen", &one["first_seen"])?;
            time("last_seen", &one["last_seen"])?;
        }
        ensure!(cell["flows"].is_u64() && cell["bytes"].is_u64(), "{cell}");
        time("last_seen", &cell["last_seen"])?;
    }
    Ok(())
}

const PATH: &[&str] =
    &["source_kind", "destination_kind", "path", "nat", "protocol", "direction", "reporter"];
const WORKLOAD: &[&str] = &[
    "source_kind",
    "source_namespace",
    "source_workload",
    "destination_kind",
    "destination_namespace",
    "destination_workload",
    "reporter",
];

/// Families of the first landing, with exactly these labels.
const FAMILIES: &[(&str, &[&str])] = &[
    ("netobs_path_bytes_total", PATH),
    ("netobs_path_packets_total", PATH),
    ("netobs_path_flows", &["source_kind", "destination_kind", "path", "protocol"]),
    ("netobs_path_flows_opened_total", &["source_kind", "destination_kind", "path", "protocol"]),
    ("netobs_path_pairs", &["source_kind", "destination_kind", "path", "verdict"]),
    ("netobs_path_evidence_total", &["source_kind", "destination_kind", "path", "evidence"]),
    ("netobs_connection_attempts_total", &["source_kind", "destination_kind", "path", "outcome"]),
    ("netobs_workload_connection_attempts_total", WORKLOAD),
    ("netobs_hop_bytes_total", &["role", "hook"]),
    ("netobs_hop_packets_total", &["role", "hook"]),
    ("netobs_workload_bytes_total", WORKLOAD),
    ("netobs_workload_packets_total", WORKLOAD),
    ("netobs_endpoints", &["kind", "mode", "runtime"]),
    ("netobs_interfaces", &["state"]),
    ("netobs_coverage_ratio", &[]),
    ("netobs_flow_table_overflow_packets_total", &[]),
    ("netobs_pending_bytes", &[]),
    ("netobs_unattributed_bytes_total", &[]),
    ("netobs_identity_sources", &["source", "state"]),
];

/// Families that must exist, whatever their labels.
const PRESENT: &[&str] = &[
    "netobs_build_info",
    "netobs_bpf_map_entries",
    "netobs_bpf_map_capacity",
    "netobs_series",
    "process_start_time_seconds",
    "process_resident_memory_bytes",
    "process_cpu_seconds_total",
];

/// Holds a scrape against the contract: families, labels, closed words, and no name a cluster's scrape adds.
///
/// # Errors
/// With everything that deviates.
pub fn families(scrape: &Exposition) -> Result<()> {
    let mut wrong = Vec::new();
    let mut labels: BTreeMap<&str, BTreeSet<Vec<&str>>> = BTreeMap::new();
    for sample in &scrape.samples {
        let names: Vec<_> = sample.labels.keys().map(String::as_str).collect();
        wrong.extend(odd_labels(&sample.name, &names));
        wrong.extend(odd_words(&sample.name, &sample.labels));
        labels.entry(&sample.name).or_default().insert(names);
    }
    for (family, expected) in FAMILIES {
        let expected: Vec<_> = expected.iter().copied().collect::<BTreeSet<_>>().into_iter().collect();
        match labels.get(family) {
            None => wrong.push(format!("{family} is missing")),
            Some(found) if *found != BTreeSet::from([expected]) => {
                wrong.push(format!("{family} has labels {found:?}"))
            }
            Some(_) => {}
        }
    }
    wrong.extend(PRESENT.iter().filter(|name| !scrape.has(name)).map(|name| format!("{name} is missing")));
    if wrong.is_empty() { Ok(()) } else { bail!("{}", wrong.join("\n")) }
}

/// A scrape of a DaemonSet adds these names; an interface or an address would make sums meaningless.
fn odd_labels(family: &str, names: &[&str]) -> Option<String> {
    let reserved = ["namespace", "pod", "container", "node", "interface", "address", "port", "ifindex"];
    let odd: Vec<_> = names.iter().filter(|name| reserved.contains(name)).collect();
    (!odd.is_empty() && family.starts_with("netobs_")).then(|| format!("{family} has the labels {odd:?}"))
}

fn odd_words(family: &str, labels: &BTreeMap<String, String>) -> Option<String> {
    let fields = [
        ("source_kind", "kind"),
        ("destination_kind", "kind"),
        ("path", "path"),
        ("nat", "nat"),
        ("protocol", "protocol"),
        ("reporter", "reporter"),
        ("hook", "hook"),
    ];
    if !family.starts_with("netobs_path_") && !family.starts_with("netobs_hop_") {
        return None;
    }
    let wrong = fields.iter().filter_map(|(label, field)| {
        let value = labels.get(*label)?;
        word(field, &Value::String(value.clone())).err().map(|error| format!("{family}: {label}: {error}"))
    });
    let wrong: Vec<_> = wrong.collect();
    (!wrong.is_empty()).then(|| wrong.join("; "))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_word_outside_the_closed_set_is_found() {
        assert!(word("path", &json!("bridge")).is_ok());
        assert!(word("path", &json!("Bridge")).is_err());
        assert!(word("path", &json!(null)).is_err());
    }

    #[test]
    fn a_missing_key_is_named_and_a_null_is_there() {
        assert!(keys("x", &json!({"a": null}), &["a"]).is_ok());
        assert!(keys("x", &json!({"a": 1}), &["b"]).unwrap_err().to_string().contains("`b`"));
    }

    #[test]
    fn times_are_utc() {
        assert!(time("t", &json!("2026-01-02T03:04:05.678Z")).is_ok());
        assert!(time("t", &json!("2026-01-02T03:04:05+01:00")).is_err());
        assert!(time("t", &json!(1_700_000_000)).is_err());
    }
}
