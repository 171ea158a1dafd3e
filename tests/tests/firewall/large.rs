//! A stack whose first rule is larger than what the kernel tells at once: whoever owns it hides no other rule behind it.

use anyhow::{Result, ensure};
use netobs::host::{
    facts::firewall::{Rule, Ruleset},
    firewall,
};
use netobs_tests::netns::Stack;

use super::{listed, scene::Scene};

/// A table that nothing asks comes first, then one that drops.
fn load(node: &Stack, nft: &str) -> Result<()> {
    node.run("nft flush ruleset")?;
    let file = tempfile::NamedTempFile::new()?;
    std::fs::write(file.path(), nft)?;
    node.run(&format!("nft -f {}", file.path().display()))?;
    Ok(())
}

const DROPS: &str =
    "table ip own {\nchain input {\ntype filter hook input priority 0\ntcp dport 80 counter drop\n}\n}\n";

fn drops(ruleset: &Ruleset) -> bool {
    ruleset.rules.iter().any(|rule| rule.table.name == "own" && rule.chain == "input")
}

/// Sixty conditions: more than a page, which is all that the kernel gives a socket that has read nothing yet.
pub(crate) fn are_read(scene: &Scene) -> Result<()> {
    let conditions: Vec<String> = (1..=60).map(|port| format!("tcp dport != {port}")).collect();
    let conditions = conditions.join(" ");
    load(&scene.node(), &format!("table ip fat {{\nchain x {{\n{conditions}\n}}\n}}\n{DROPS}"))?;
    let ruleset = scene.read()?;
    ensure!(ruleset.rules.len() == 2 && drops(&ruleset), "read {} of 2 rules", ruleset.rules.len());
    ensure!(!ruleset.incomplete, "all of it was read");
    listed::by_nft(scene)
}

/// As many conditions of two kilobytes as one rule can have are more than the largest piece the kernel makes of a dump, for anybody:
/// what it does not tell is counted.
pub(crate) fn are_missed(scene: &Scene) -> Result<()> {
    let node = scene.node();
    load(&node, "")?;
    let conditions = "-m u32 --u32 0=1 ".repeat(31);
    node.run("iptables -N FAT")?;
    node.run(&format!("iptables -A FAT {conditions}"))?;
    node.run("iptables -A INPUT -p udp -j DROP")?;
    let ruleset = scene.read()?;
    let all = ruleset.rules.len() == 2;
    ensure!(
        all != ruleset.incomplete,
        "{} of 2 rules, incomplete: {}",
        ruleset.rules.len(),
        ruleset.incomplete
    );
    ensure!(!all, "this kernel tells the whole of it: make it larger");
    Ok(())
}

/// No more is kept than there is room for.
pub(crate) fn have_no_room(scene: &Scene) -> Result<()> {
    let rules = "tcp dport 81 accept\n".repeat(500);
    load(&scene.node(), &format!("table ip many {{\nchain x {{\n{rules}}}\n}}\n{DROPS}"))?;
    let read = |room| -> Result<Ruleset> {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        scene.node().within(|| runtime.block_on(firewall::dump(room)))?
    };
    let whole = read(firewall::ROOM_OF_ENDPOINT)?;
    ensure!(whole.rules.len() == 501 && !whole.incomplete, "{} rules", whole.rules.len());
    let weight: usize = whole.rules.iter().map(Rule::weight).sum();
    let part = read(weight / 2)?;
    ensure!(part.incomplete && part.rules.len() > 200, "{} rules", part.rules.len());
    ensure!(part.rules.iter().map(Rule::weight).sum::<usize>() <= weight / 2);
    Ok(())
}
