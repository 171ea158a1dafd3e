//! The matrix of the full node: every communication in its cell, and every number again from another source.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use anyhow::{Context, Result, ensure};
use netobs_tests::{
    docker_site::{PLAIN, WEB},
    explained,
    matrix::{self, Cell},
    process::until,
    traffic,
};
use serde_json::Value;

use super::communications::{self, Sent};
use crate::Scene;

/// Kinds of both sides, and the way.
type Key = (&'static str, &'static str, &'static str);

/// The ten, each with the cells that whoever opens it makes of it.
const TEN: [(&str, &[Key]); 10] = [
    ("host ↔ container", &[("host", "container", "host_direct"), ("container", "host", "host_direct")]),
    ("host ↔ pod", &[("host", "pod", "host_direct"), ("pod", "host", "host_direct")]),
    ("host ↔ VM", &[("host", "vm", "host_direct"), ("vm", "host", "host_direct")]),
    ("container ↔ container", &[("container", "container", "bridge")]),
    ("container ↔ pod", &[("container", "pod", "routed_local"), ("pod", "container", "routed_local")]),
    ("pod ↔ pod, here and on another node", &[("pod", "pod", "bridge"), ("pod", "pod", "overlay")]),
    ("VM ↔ pod", &[("vm", "pod", "routed_local"), ("pod", "vm", "routed_local")]),
    ("container ↔ outside", &[("container", "external", "uplink"), ("external", "container", "uplink")]),
    ("pod ↔ outside", &[("pod", "external", "uplink"), ("external", "pod", "uplink")]),
    ("VM ↔ outside", &[("vm", "external", "uplink"), ("external", "vm", "uplink")]),
];

pub(crate) fn has_all_ten(scene: &Scene) -> Result<()> {
    let sent = communications::happen(scene, &scene.site())?;
    let by_cell = pairs(&sent);
    let cells = until("every communication in its cell", Duration::from_secs(15), || {
        let (cells, flows) = matrix::judged(&scene.agent)?;
        for (what, keys) in TEN {
            for key in keys {
                let expected = by_cell.get(key).with_context(|| format!("{what}: nobody did {key:?}"))?;
                well(&cells, *key, expected).with_context(|| what.to_owned())?;
            }
        }
        for (key, expected) in &by_cell {
            well(&cells, *key, expected)?;
        }
        // The cells may be well by what the case before left in the list; these are there a tick later.
        sent.iter().try_for_each(|one| proven(&flows, one))?;
        Ok(cells)
    })?;
    filtered(scene, &cells)?;
    printed(scene, &cells)
}

/// Nothing was injected: nobody is blamed, whatever is configured, and the proof is shown.
pub(crate) fn has_no_fault(scene: &Scene) -> Result<()> {
    let sent = communications::happen(scene, &scene.site())?;
    for (what, keys) in TEN {
        for key in keys {
            ensure!(sent.iter().any(|one| one.key() == *key), "{what}: nobody did {key:?}");
        }
    }
    for Sent { source, target, destination, .. } in &sent {
        let port = target.rsplit(':').next().unwrap_or_default();
        // Who asks for a published port knows the node's address.
        let by_name = format!("{destination}:{port}");
        let to = if *destination == "container/published" { target } else { &by_name };
        let answer = explained::faultless(&scene.agent, source, to)
            .with_context(|| format!("{source} → {destination} at {target}"))?;
        let ends = [&answer["source"], &answer["destination"]].map(|side| side["endpoint"].as_str());
        ensure!(ends == [Some(*source), Some(*destination)], "{source} → {destination}: {answer:#}");
    }
    Ok(())
}

/// Who must be in which cell.
fn pairs(sent: &[Sent]) -> BTreeMap<Key, BTreeSet<(&'static str, &'static str)>> {
    let mut pairs: BTreeMap<Key, BTreeSet<_>> = BTreeMap::new();
    for one in sent {
        pairs.entry(one.key()).or_default().insert((one.source, one.destination));
    }
    pairs
}

/// Everybody of a cell reaches everybody, and what proves it is told.
fn well(cells: &[Cell], key: Key, expected: &BTreeSet<(&str, &str)>) -> Result<()> {
    let cell = matrix::cell(cells, key)?;
    let reachable = cell.verdicts.get("reachable").copied().unwrap_or(0);
    ensure!(
        reachable >= expected.len() as u64 && cell.verdicts.len() == 1,
        "{key:?} has {:?}, expected are {expected:?}",
        cell.verdicts
    );
    ensure!(cell.flows >= 5 * expected.len() as u64, "{cell:?}");
    // 10,000 bytes of each connection, and its headers.
    ensure!(cell.bytes > 50_000 * expected.len() as u64, "{cell:?}");
    for kind in ["handshake", "syn_ack", "reply_packet"] {
        let fact = cell.fact(kind).with_context(|| format!("no {kind} in {cell:?}"))?;
        ensure!(fact.flows >= 5 * expected.len() as u64 && fact.count >= fact.flows, "{cell:?}");
    }
    Ok(())
}

/// Each connection is a flow of its cell with packets in both directions.
fn proven(flows: &[Value], sent: &Sent) -> Result<()> {
    let (source, destination, path) = sent.key();
    for port in &sent.ports {
        let is_it = |flow: &&Value| {
            flow["source"]["port"] == *port
                && flow["source"]["endpoint"] == sent.source
                && flow["destination"]["endpoint"] == sent.destination
        };
        let flow = flows.iter().find(is_it).with_context(|| {
            format!("no flow from port {port} of {} to {}", sent.source, sent.destination)
        })?;
        let key = matrix::key_of(flow)?;
        ensure!(key == (source.into(), destination.into(), path.into()), "{key:?}: {flow}");
        ensure!(flow["verdict"] == "reachable", "{flow}");
        for direction in ["forward", "reply"] {
            ensure!(flow[direction]["packets"].as_u64() > Some(0), "nothing {direction}: {flow}");
        }
    }
    Ok(())
}

/// A filter leaves cells as they are or takes pairs out, and no other.
fn filtered(scene: &Scene, whole: &[Cell]) -> Result<()> {
    let keys = |cells: &[Cell]| cells.iter().map(Cell::key).collect::<Vec<_>>();
    let of = |keep: &dyn Fn(&Cell) -> bool| {
        keys(&whole.iter().filter(|cell| keep(cell)).cloned().collect::<Vec<_>>())
    };
    let machines = matrix::asked(&scene.agent, &["--kind", "vm"])?;
    ensure!(keys(&machines) == of(&|cell| cell.source_kind == "vm" || cell.destination_kind == "vm"));
    let overlay = matrix::asked(&scene.agent, &["--path", "overlay"])?;
    ensure!(keys(&overlay) == of(&|cell| cell.path == "overlay"), "{:?}", keys(&overlay));
    let mail = matrix::asked(&scene.agent, &["--endpoint", "vm/mail", "--verdict", "reachable"])?;
    let expected = [("vm", "host"), ("vm", "vm"), ("vm", "container"), ("vm", "pod"), ("vm", "external")];
    for (source, destination) in expected {
        let is_it = |cell: &&Cell| cell.source_kind == source && cell.destination_kind == destination;
        let cell = mail.iter().find(is_it).with_context(|| format!("no {source} → {destination}"))?;
        ensure!(cell.verdicts == BTreeMap::from([("reachable".to_owned(), 1)]), "{cell:?}");
    }
    let nobody = scene.agent.client(&["matrix", "--endpoint", "container/nobody"])?;
    ensure!(nobody.status.success() && nobody.stdout.lines().count() == 1, "{}", nobody.stdout);
    ensure!(
        nobody.stderr.contains("no pair passes") && nobody.stderr.lines().count() == 1,
        "{}",
        nobody.stderr
    );
    Ok(())
}

/// For people: a line for each cell, and no colour where nobody sees it.
fn printed(scene: &Scene, cells: &[Cell]) -> Result<()> {
    for (words, before) in [(&["matrix"][..], 1), (&["matrix", "-o", "markdown"], 4)] {
        let done = scene.agent.client(words)?;
        ensure!(done.status.success() && done.stderr.is_empty(), "{words:?}: {}", done.stderr);
        ensure!(!done.stdout.contains('\u{1b}'), "{words:?} colours a pipe");
        let lines: Vec<&str> = done.stdout.lines().skip(before).collect();
        for cell in cells {
            let (source, destination, path) = cell.key();
            let is_it = |line: &&&str| {
                let words: Vec<&str> = line.split([' ', '|']).filter(|word| !word.is_empty()).collect();
                words.starts_with(&[source.as_str(), destination.as_str(), path.as_str()])
            };
            let line = lines
                .iter()
                .find(is_it)
                .with_context(|| format!("{words:?}: no line for {:?} in\n{}", cell.key(), done.stdout))?;
            for verdict in cell.verdicts.keys() {
                ensure!(line.contains(verdict.as_str()), "{words:?}: no {verdict} in {line}");
            }
        }
    }
    Ok(())
}

pub(crate) fn has_a_refusal(scene: &Scene) -> Result<()> {
    let site = &*scene.site();
    let target = format!("{}:7399", site.address(PLAIN)?);
    traffic::connect(&site.place(WEB)?, &target, 1, 10).err().context("somebody answered")?;
    until("the refusal in its cell", Duration::from_secs(10), || {
        let (cells, _) = matrix::judged(&scene.agent)?;
        let cell = matrix::cell(&cells, ("container", "container", "bridge"))?;
        ensure!(cell.verdicts.get("refused") == Some(&1), "{cell:?}");
        ensure!(cell.fact("rst").is_some_and(|rst| rst.count >= 1), "{cell:?}");
        let refused = matrix::asked(&scene.agent, &["--verdict", "refused"])?;
        ensure!(refused.iter().map(Cell::key).collect::<Vec<_>>() == [cell.key()], "{refused:?}");
        ensure!(refused[0].verdicts == BTreeMap::from([("refused".to_owned(), 1)]), "{refused:?}");
        Ok(())
    })
}
