//! `netobs matrix` against what the same agent says otherwise: its flows of the same moment, one by one, and the metric
//! that counts pairs. Every number of every cell.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use anyhow::{Context, Result, bail, ensure};
use serde::Deserialize;
use serde_json::Value;

use crate::{
    agent::{Agent, whole},
    contract,
    exposition::Exposition,
    process::until,
};

/// Kinds of both sides, and the way.
pub type Key = (String, String, String);

/// One cell.
#[derive(Clone, Debug, Deserialize)]
pub struct Cell {
    /// Who opens.
    pub source_kind: String,
    /// Who answers.
    pub destination_kind: String,
    /// The way.
    pub path: String,
    /// Pairs.
    pub verdicts: BTreeMap<String, u64>,
    /// Flows.
    pub flows: u64,
    /// Of both directions.
    pub bytes: u64,
    /// Facts.
    pub evidence: Vec<Evidence>,
    /// RFC 3339.
    pub last_seen: String,
}

/// One kind of fact of a cell, and of a flow.
#[derive(Clone, Debug, Deserialize, PartialEq, Eq)]
pub struct Evidence {
    /// Its word.
    pub kind: String,
    /// In how many flows; of a flow's own there is no such number.
    #[serde(default)]
    pub flows: u64,
    /// How often.
    pub count: u64,
    /// RFC 3339.
    pub first_seen: String,
    /// RFC 3339.
    pub last_seen: String,
    /// Where.
    pub hop: Option<String>,
    /// What else.
    pub detail: Option<String>,
}

impl Cell {
    /// What it is the cell of.
    #[must_use]
    pub fn key(&self) -> Key {
        (self.source_kind.clone(), self.destination_kind.clone(), self.path.clone())
    }

    /// A fact, if there is one of the kind.
    #[must_use]
    pub fn fact(&self, kind: &str) -> Option<&Evidence> {
        self.evidence.iter().find(|one| one.kind == kind)
    }
}

/// The cell of these kinds and this way.
///
/// # Errors
/// With the cells there are.
pub fn cell<'a>(cells: &'a [Cell], key: (&str, &str, &str)) -> Result<&'a Cell> {
    let is_it =
        |cell: &&Cell| (cell.source_kind.as_str(), cell.destination_kind.as_str(), cell.path.as_str()) == key;
    let there = || cells.iter().map(Cell::key).collect::<Vec<_>>();
    cells.iter().find(is_it).with_context(|| format!("no cell {key:?} in {:?}", there()))
}

/// The cells of the answer to a filtered question.
///
/// # Errors
/// When it does not follow the contract.
pub fn asked(agent: &Agent, filter: &[&str]) -> Result<Vec<Cell>> {
    let mut words = vec!["matrix"];
    words.extend(filter);
    cells(&agent.query(&words)?)
}

fn cells(answer: &Value) -> Result<Vec<Cell>> {
    contract::envelope(answer)?;
    contract::matrix(answer)?;
    Ok(Vec::deserialize(&answer["cells"])?)
}

/// The whole matrix, once it agrees with the flows and the metric in every number, and the flows.
///
/// # Errors
/// With everything that does not agree; or when flows and pairs change all the time.
pub fn judged(agent: &Agent) -> Result<(Vec<Cell>, Vec<Value>)> {
    let (matrix, flows, metric) = until("one moment", Duration::from_secs(30), || {
        let before = pairs_counted(&agent.metrics()?);
        let matrix = agent.query(&["matrix"])?;
        let flows = agent.query(&["flows"])?;
        ensure!(
            matrix["time"] == flows["time"],
            "the matrix is of {}, flows of {}",
            matrix["time"],
            flows["time"]
        );
        let after = pairs_counted(&agent.metrics()?);
        ensure!(before == after, "pairs changed meanwhile: {before:?}, {after:?}");
        Ok((matrix, flows, before))
    })?;
    let cells = cells(&matrix)?;
    let flows = flows["flows"].as_array().context("no flows")?.clone();
    let mut wrong = Vec::new();
    let listed: BTreeMap<(Key, String), i128> = cells
        .iter()
        .flat_map(|cell| {
            let of = |(verdict, count): (&String, &u64)| ((cell.key(), verdict.clone()), i128::from(*count));
            cell.verdicts.iter().map(of).collect::<Vec<_>>()
        })
        .collect();
    if listed != metric {
        wrong.push(format!("pairs are {listed:?}, by the metric {metric:?}"));
    }
    let mut by_key: BTreeMap<Key, Vec<&Value>> = BTreeMap::new();
    for flow in &flows {
        by_key.entry(key_of(flow)?).or_default().push(flow);
    }
    for key in by_key.keys().filter(|key| !cells.iter().any(|cell| cell.key() == **key)) {
        wrong.push(format!("flows, and no cell: {key:?}"));
    }
    for cell in &cells {
        let own = by_key.get(&cell.key()).map(Vec::as_slice).unwrap_or_default();
        if let Err(error) = compare(cell, own) {
            wrong.push(format!("{:?}: {error:#}", cell.key()));
        }
    }
    if wrong.is_empty() { Ok((cells, flows)) } else { bail!("{}", wrong.join("\n")) }
}

/// `netobs_path_pairs` without its zeros.
fn pairs_counted(page: &Exposition) -> BTreeMap<(Key, String), i128> {
    let samples = page.select("netobs_path_pairs", &[]).filter(|sample| sample.value > 0.0);
    let key = |labels: &BTreeMap<String, String>| {
        let of = |name: &str| labels.get(name).cloned().unwrap_or_default();
        ((of("source_kind"), of("destination_kind"), of("path")), of("verdict"))
    };
    samples.map(|sample| (key(&sample.labels), whole(sample.value))).collect()
}

fn text(value: &Value) -> Result<String> {
    value.as_str().map(str::to_owned).with_context(|| format!("{value} is no text"))
}

/// The cell a flow belongs to.
///
/// # Errors
/// When a field is missing.
pub fn key_of(flow: &Value) -> Result<Key> {
    Ok((text(&flow["source"]["kind"])?, text(&flow["destination"]["kind"])?, text(&flow["path"])?))
}

/// Who a flow is between.
///
/// # Errors
/// When a field is missing.
pub fn ends_of(flow: &Value) -> Result<(String, String)> {
    Ok((text(&flow["source"]["endpoint"])?, text(&flow["destination"]["endpoint"])?))
}

fn carried(flow: &Value, direction: &str, unit: &str) -> Result<u64> {
    flow[direction][unit].as_u64().with_context(|| format!("{direction}.{unit} of {flow}"))
}

fn compare(cell: &Cell, flows: &[&Value]) -> Result<()> {
    ensure!(cell.flows == flows.len() as u64, "{} flows, {} are listed", cell.flows, flows.len());
    let mut bytes = 0;
    let mut facts: BTreeMap<String, Evidence> = BTreeMap::new();
    let mut last_seen = String::new();
    let mut proven: BTreeSet<(String, String)> = BTreeSet::new();
    for flow in flows {
        bytes += carried(flow, "forward", "bytes")? + carried(flow, "reply", "bytes")?;
        last_seen = last_seen.max(padded(&text(&flow["last_seen"])?));
        let own: Vec<Evidence> = Vec::deserialize(&flow["evidence"])?;
        let kinds: BTreeSet<&str> = own.iter().map(|one| one.kind.as_str()).collect();
        for one in &own {
            let none = Evidence { count: 0, flows: 0, ..one.clone() };
            let sum = facts.entry(one.kind.clone()).or_insert(none);
            sum.count += one.count;
            sum.first_seen = earlier(&sum.first_seen, &one.first_seen);
            sum.last_seen = later(&sum.last_seen, &one.last_seen);
            let keep =
                |known: &Option<String>, more: &Option<String>| known.clone().filter(|_| known == more);
            (sum.hop, sum.detail) = (keep(&sum.hop, &one.hop), keep(&sum.detail, &one.detail));
        }
        for kind in kinds {
            if let Some(sum) = facts.get_mut(kind) {
                sum.flows += 1;
            }
        }
        if flow["verdict"] == "reachable" {
            let both = [carried(flow, "forward", "packets")?, carried(flow, "reply", "packets")?];
            ensure!(both.iter().all(|packets| *packets > 0), "reachable without a packet each way: {flow}");
            proven.insert(ends_of(flow)?);
        }
    }
    ensure!(cell.bytes == bytes, "{} bytes, the flows carried {bytes}", cell.bytes);
    ensure!(padded(&cell.last_seen) >= last_seen, "seen {}, a flow {last_seen}", cell.last_seen);
    // One name may stand for several who are not known.
    let named = cell.source_kind != "unknown" && cell.destination_kind != "unknown";
    let reachable = cell.verdicts.get("reachable").copied().unwrap_or(0);
    ensure!(
        !named || proven.len() as u64 >= reachable,
        "{reachable} pairs are reachable, flows with packets each way prove {proven:?}"
    );
    for one in &cell.evidence {
        ensure!(padded(&one.first_seen) <= padded(&one.last_seen), "it ends before it begins: {one:?}");
        match facts.remove(&one.kind) {
            // Packets that no hook has seen are no flow's.
            Some(sum) if one.kind == "drop" => {
                ensure!(one.flows == sum.flows && one.count >= sum.count, "{one:?}, the flows say {sum:?}");
            }
            None if one.kind == "drop" => ensure!(one.flows == 0 && one.count > 0, "{one:?} of no flow"),
            Some(sum) => ensure!(*one == sum, "{one:?}, the flows say {sum:?}"),
            None => bail!("{one:?}, of no flow"),
        }
    }
    ensure!(facts.is_empty(), "not in the cell: {facts:?}");
    Ok(())
}

/// With nine digits after the second, so that texts compare as times do.
fn padded(time: &str) -> String {
    let bare = time.trim_end_matches('Z');
    let (seconds, fraction) = bare.split_once('.').unwrap_or((bare, ""));
    format!("{seconds}.{fraction:0<9}")
}

fn earlier(one: &str, other: &str) -> String {
    if padded(one) <= padded(other) { one.into() } else { other.into() }
}

fn later(one: &str, other: &str) -> String {
    if padded(one) >= padded(other) { one.into() } else { other.into() }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn flow() -> Value {
        json!({"source": {"kind": "vm", "endpoint": "vm/a"}, "destination": {"kind": "pod", "endpoint": "pod/s/b"},
               "path": "routed_local", "verdict": "reachable", "last_seen": "2026-01-02T03:04:05.5Z",
               "forward": {"bytes": 10, "packets": 1}, "reply": {"bytes": 20, "packets": 1},
               "evidence": [{"kind": "syn_ack", "count": 1, "first_seen": "2026-01-02T03:04:05Z",
                             "last_seen": "2026-01-02T03:04:05.5Z", "hop": "tap ingress", "detail": null}]})
    }

    fn of(flow: &Value, verdicts: Value, bytes: u64) -> Cell {
        let mut evidence = flow["evidence"].clone();
        evidence[0]["flows"] = json!(1);
        Cell::deserialize(json!({"source_kind": "vm", "destination_kind": "pod", "path": "routed_local",
            "verdicts": verdicts, "flows": 1, "bytes": bytes, "evidence": evidence,
            "last_seen": flow["last_seen"]}))
        .unwrap()
    }

    #[test]
    fn a_number_that_is_not_the_flows_is_found() {
        let flow = flow();
        assert_eq!(key_of(&flow).unwrap(), of(&flow, json!({}), 0).key());
        compare(&of(&flow, json!({"reachable": 1}), 30), &[&flow]).unwrap();
        for wrong in [
            of(&flow, json!({"reachable": 2}), 30),
            of(&flow, json!({"reachable": 1}), 31),
            Cell { flows: 2, ..of(&flow, json!({"reachable": 1}), 30) },
            Cell { evidence: Vec::new(), ..of(&flow, json!({"reachable": 1}), 30) },
            Cell { last_seen: "2026-01-02T03:04:05.4Z".into(), ..of(&flow, json!({"reachable": 1}), 30) },
        ] {
            assert!(compare(&wrong, &[&flow]).is_err(), "{wrong:?}");
        }
    }

    #[test]
    fn reachable_without_an_answer_is_found() {
        let mut flow = flow();
        flow["reply"]["packets"] = json!(0);
        let error = compare(&of(&flow, json!({"reachable": 1}), 30), &[&flow]).unwrap_err();
        assert!(error.to_string().contains("without a packet each way"), "{error}");
    }

    #[test]
    fn times_compare_whatever_their_digits() {
        assert_eq!(later("2026-01-02T03:04:05.1Z", "2026-01-02T03:04:05.09Z"), "2026-01-02T03:04:05.1Z");
        assert_eq!(earlier("2026-01-02T03:04:05Z", "2026-01-02T03:04:05.09Z"), "2026-01-02T03:04:05Z");
    }
}
