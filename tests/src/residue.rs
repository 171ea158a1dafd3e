//! What an agent may leave behind: tc programs, filters and queueing disciplines on the interfaces of its
//! namespace, and bpf objects it held. Only its own are looked at: other programs load theirs meanwhile.

use std::{collections::BTreeSet, fs};

use anyhow::{Context, Result};
use serde_json::Value;

use crate::{
    bpf::{Tcx, tcx_programs},
    netns::Stack,
    process::{command, finish},
};

/// Everything tc holds on the interfaces of a namespace, one line each, in a fixed order.
///
/// # Errors
/// When `ip` or `tc` fails.
pub fn on_interfaces(stack: &Stack) -> Result<BTreeSet<String>> {
    let links: Value = serde_json::from_str(&stack.run("ip -j link")?)?;
    let mut found = BTreeSet::new();
    for name in links.as_array().into_iter().flatten().filter_map(|link| link["ifname"].as_str()) {
        for (place, word) in [(Tcx::Ingress, "ingress"), (Tcx::Egress, "egress")] {
            for program in tcx_programs(stack, name, place)? {
                found.insert(format!("{name} {word} tcx {}", program_name(program)));
            }
            let filters = stack.run(&format!("tc filter show dev {name} {word}")).unwrap_or_default();
            for line in filters.lines().filter(|line| line.contains("handle")) {
                found.insert(format!("{name} {word} {}", line.trim()));
            }
        }
        let disciplines = stack.run(&format!("tc qdisc show dev {name}"))?;
        for line in disciplines.lines().filter(|line| line.contains("clsact") || line.contains("ingress")) {
            found.insert(format!("{name} {}", line.trim()));
        }
    }
    Ok(found)
}

/// The name of a loaded program, or its number once it is gone.
fn program_name(id: u32) -> String {
    let shown =
        finish(&mut command("bpftool", ["-j", "prog", "show", "id", &id.to_string()]), crate::process::SHORT);
    let name = shown.ok().and_then(|done| {
        let program: Value = serde_json::from_str(&done.stdout).ok()?;
        Some(program["name"].as_str()?.to_owned())
    });
    name.unwrap_or_else(|| id.to_string())
}

/// One bpf object by class (`prog`, `map`, `link`) and number.
pub type Object = (&'static str, u32);

/// The bpf objects a process holds by descriptor.
///
/// # Errors
/// When the process is gone.
pub fn held_by(pid: u32) -> Result<BTreeSet<Object>> {
    let mut held = BTreeSet::new();
    for entry in fs::read_dir(format!("/proc/{pid}/fdinfo")).with_context(|| format!("process {pid}"))? {
        let text = fs::read_to_string(entry?.path()).unwrap_or_default();
        for (class, key) in [("prog", "prog_id:"), ("map", "map_id:"), ("link", "link_id:")] {
            // A link's entry names its program too; that program is held by its own descriptor or by the link.
            let number = text.lines().find_map(|line| line.strip_prefix(key)?.trim().parse().ok());
            held.extend(number.map(|number: u32| (class, number)));
        }
    }
    Ok(held)
}

/// Those of the objects that still exist.
#[must_use]
pub fn alive(objects: &BTreeSet<Object>) -> BTreeSet<Object> {
    let exists = |(class, number): &Object| {
        let shown = finish(
            &mut command("bpftool", ["-j", class, "show", "id", &number.to_string()]),
            crate::process::SHORT,
        );
        shown.is_ok_and(|done| done.status.success())
    };
    objects.iter().copied().filter(exists).collect()
}
