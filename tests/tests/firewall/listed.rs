//! What our reader reads against what `iptables-save` and `nft -j` list: the same rules, policies and counters, and the
//! same words.

use std::collections::BTreeMap;

use anyhow::{Context, Result, ensure};
use netobs::host::facts::firewall::{Counter, Firewall, Ruleset, Table, family};
use netobs_tests::netns::Stack;
use serde_json::Value;

use super::scene::Scene;

/// Tables, chains and rules of `iptables-save -c`, word for word.
pub(crate) fn by_iptables(scene: &Scene) -> Result<()> {
    let ruleset = scene.read()?;
    let firewall = Firewall::new(&ruleset);
    for (program, family) in [("iptables-save", family::IPV4), ("ip6tables-save", family::IPV6)] {
        let listed = listed(&scene.node(), program)?;
        let mut ours: BTreeMap<String, Vec<String>> = BTreeMap::new();
        for chain in ruleset.chains.iter().filter(|chain| chain.table.family == family) {
            let counted = counted(chain.counter.unwrap_or_default());
            let policy = match chain.drops {
                Some(true) => "DROP",
                Some(false) => "ACCEPT",
                None => "-",
            };
            let lines = ours.entry(chain.table.name.clone()).or_default();
            lines.push(format!(":{} {policy} {counted}", chain.name));
        }
        for rule in ruleset.rules.iter().filter(|rule| rule.table.family == family) {
            ensure!(ruleset.is_of_iptables(&rule.table), "{:?} is taken for one of nft", rule.table);
            let lines = ours.entry(rule.table.name.clone()).or_default();
            lines.push(format!("{} {}", counted(rule.counter.context("no counter")?), firewall.line(rule)));
        }
        for lines in ours.values_mut() {
            lines.sort();
        }
        for (table, lines) in &listed {
            let lines: Vec<&String> =
                lines.iter().filter(|line| !is_made_up(line, ours.get(table))).collect();
            let found = ours.get(table).with_context(|| format!("no table {table}"))?;
            for (found, line) in found.iter().zip(&lines) {
                ensure!(found == *line, "we read:\n  {found}\n{program} writes:\n  {line}");
            }
            ensure!(found.len() == lines.len(), "{} lines, not {}", found.len(), lines.len());
        }
        ensure!(listed.len() == ours.len(), "{program} lists {} tables, we {}", listed.len(), ours.len());
    }
    Ok(())
}

/// `iptables-save` lists chains that a table would have if anything were in them.
fn is_made_up(line: &str, ours: Option<&Vec<String>>) -> bool {
    line.starts_with(':')
        && line.ends_with(" ACCEPT [0:0]")
        && ours.is_some_and(|ours| !ours.iter().any(|own| own == line))
}

fn counted(counter: Counter) -> String {
    format!("[{}:{}]", counter.packets, counter.bytes)
}

/// Lines of each table, sorted.
fn listed(node: &Stack, program: &str) -> Result<BTreeMap<String, Vec<String>>> {
    let mut tables: BTreeMap<String, Vec<String>> = BTreeMap::new();
    let mut table = String::new();
    for line in node.run(&format!("{program} -c"))?.lines() {
        if let Some(name) = line.strip_prefix('*') {
            name.clone_into(&mut table);
            tables.entry(table.clone()).or_default();
        } else if line.starts_with([':', '[']) {
            tables.entry(table.clone()).or_default().push(line.trim_end().to_owned());
        }
    }
    for lines in tables.values_mut() {
        lines.sort();
    }
    Ok(tables)
}

/// Handles, comments and counters of all rules, and the policies and priorities of all chains, of `nft -j`; and of tables
/// of nft the words of its list.
pub(crate) fn by_nft(scene: &Scene) -> Result<()> {
    let ruleset = scene.read()?;
    let document: Value = serde_json::from_str(&scene.node().run("nft -j list ruleset")?)?;
    let entries = document["nftables"].as_array().context("no list")?;
    let of = |kind: &'static str| entries.iter().filter_map(move |entry| entry.get(kind));
    chains(&ruleset, of("chain").collect())?;
    rules(&ruleset, of("rule").collect())?;
    let elements: usize = of("set").chain(of("map")).filter(|set| set.get("elem").is_some()).count();
    let named = ruleset.sets.iter().filter(|set| !set.anonymous && !set.elements.is_empty()).count();
    ensure!(named <= elements, "{named} sets with elements, nft has {elements}");
    words(scene, &ruleset)
}

fn table(entry: &Value) -> Result<Table> {
    let family = match entry["family"].as_str() {
        Some("ip") => family::IPV4,
        Some("ip6") => family::IPV6,
        Some("inet") => family::INET,
        Some("bridge") => family::BRIDGE,
        other => anyhow::bail!("family {other:?}"),
    };
    Ok(Table { family, name: entry["table"].as_str().context("no table")?.to_owned() })
}

fn chains(ruleset: &Ruleset, listed: Vec<&Value>) -> Result<()> {
    // Chains that stand in a rule are not listed as such.
    let ours = ruleset.chains.iter().filter(|chain| !chain.name.starts_with("__chain"));
    ensure!(ours.count() == listed.len(), "nft lists {} chains", listed.len());
    for entry in listed {
        let (table, name) = (table(entry)?, entry["name"].as_str().context("no name")?);
        let chain = ruleset.chains.iter().find(|chain| chain.table == table && chain.name == name);
        let chain = chain.with_context(|| format!("no chain {name}"))?;
        let policy = entry.get("policy").and_then(Value::as_str).map(|policy| policy == "drop");
        ensure!(chain.drops == policy, "{chain:?}: {entry}");
        let priority = entry.get("prio").and_then(Value::as_i64);
        ensure!(chain.hook.map(|(_, priority)| i64::from(priority)) == priority, "{chain:?}: {entry}");
    }
    Ok(())
}

fn rules(ruleset: &Ruleset, listed: Vec<&Value>) -> Result<()> {
    let ours = ruleset.rules.iter().filter(|rule| !rule.chain.starts_with("__chain"));
    ensure!(ours.count() == listed.len(), "nft lists {} rules", listed.len());
    let mut positions: BTreeMap<(Table, String), u32> = BTreeMap::new();
    for entry in listed {
        let (table, chain) = (table(entry)?, entry["chain"].as_str().context("no chain")?.to_owned());
        let handle = entry["handle"].as_u64().context("no handle")?;
        let rule = ruleset.rules.iter().find(|rule| rule.table == table && rule.handle == handle);
        let rule = rule.with_context(|| format!("no rule {entry}"))?;
        let position = positions.entry((table, chain.clone())).or_default();
        *position += 1;
        ensure!(rule.chain == chain && rule.position == *position, "{rule:?}: {entry}");
        if let Some(comment) = entry["comment"].as_str() {
            ensure!(rule.comment.as_deref() == Some(comment), "{rule:?}: {entry}");
        }
        let expressions = entry["expr"].as_array().context("no expressions")?;
        let counter = expressions.iter().find_map(|one| one.get("counter"));
        let counted = counter.and_then(|one| Some((one["packets"].as_u64()?, one["bytes"].as_u64()?)));
        // A counter that has a name is listed elsewhere, and its rule says the name.
        let by_name = counter.is_some_and(Value::is_string);
        let ours = rule.counter.map(|one| (one.packets, one.bytes));
        ensure!(ours == counted || by_name && ours.is_some(), "{rule:?}: {entry}");
    }
    Ok(())
}

fn words(scene: &Scene, ruleset: &Ruleset) -> Result<()> {
    let text = scene.node().run("nft -a list ruleset")?;
    let squeezed = |line: &str| line.split_whitespace().collect::<Vec<_>>().join(" ");
    // Sets that do not fit a line go on in the next.
    let mut listed: Vec<String> = Vec::new();
    let mut open = String::new();
    for line in text.lines() {
        open.push_str(&format!(" {}", line.trim()));
        if !line.trim_end().ends_with(',') {
            listed.push(squeezed(&open));
            open.clear();
        }
    }
    let firewall = Firewall::new(ruleset);
    for rule in ruleset.rules.iter().filter(|rule| !ruleset.is_of_iptables(&rule.table)) {
        let line = firewall.line(rule);
        // A chain that stands in a rule is written out there, over several lines.
        if line.contains("__chain") || rule.chain.starts_with("__chain") {
            continue;
        }
        ensure!(listed.contains(&line), "we write:\n  {line}\nand nft none like it:\n{}", listed.join("\n"));
    }
    Ok(())
}
