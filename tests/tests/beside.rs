//! Living with other tc programs and dying without a trace: a dropper behind ours still drops, SIGKILL leaves
//! nothing where TCX exists, what clsact leaves is swept, foreign filters stay, and only one agent runs.

use std::{
    collections::BTreeSet,
    os::fd::OwnedFd,
    path::PathBuf,
    process::ExitCode,
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context, Result, bail, ensure};
use netobs_tests::{
    agent::{self, Agent},
    bare::{Bare, LEFT, LEFT_VETH, RIGHT, RIGHT_VETH},
    bpf::{self, Tcx},
    flows::Flow,
    process,
    require::TRAFFIC,
    residue,
    suite::{self, Case},
    traffic,
};
use nix::sys::signal::{SigSet, Signal};

fn main() -> ExitCode {
    let case = |name, check| Case { name, check };
    suite::run(
        &[TRAFFIC],
        Bare::new,
        vec![
            case("tcx_dropper_behind_ours_on_tcx_drops", (|bare| both_ways(bare, "tcx", Kind::Tcx)) as Check),
            case("clsact_dropper_behind_ours_on_tcx_drops", |bare| both_ways(bare, "tcx", Kind::Clsact)),
            case("tcx_dropper_beside_ours_on_clsact_drops", |bare| both_ways(bare, "clsact", Kind::Tcx)),
            case("clsact_dropper_behind_ours_on_clsact_drops", |bare| {
                both_ways(bare, "clsact", Kind::Clsact)
            }),
            case("a_dropper_that_was_first_drops_and_is_still_seen", a_dropper_that_was_first),
            case("a_program_before_ours_is_told", a_program_before_ours_is_told),
            case("sigterm_leaves_nothing_on_tcx", |bare| clean_exit(bare, "tcx")),
            case("sigterm_leaves_no_filter_on_clsact", |bare| clean_exit(bare, "clsact")),
            case("sigterm_is_heard_though_the_parent_blocked_it", sigterm_is_heard),
            case("sigkill_leaves_nothing_on_tcx", sigkill_leaves_nothing_on_tcx),
            case("what_sigkill_leaves_on_clsact_is_swept_at_the_next_start", swept_at_the_next_start),
            case("what_sigkill_leaves_on_clsact_is_swept_by_cleanup", swept_by_cleanup),
            case("cleanup_of_a_clean_machine_changes_nothing", cleanup_of_a_clean_machine),
            case("a_second_agent_names_the_first", a_second_agent_names_the_first),
            case("a_new_interface_is_attached_at_once", a_new_interface_is_attached_at_once),
            case("a_renamed_or_removed_interface_does_no_harm", a_renamed_or_removed_interface),
        ],
    )
}

type Check = fn(&Bare) -> Result<()>;

/// How the foreign program is attached.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Tcx,
    Clsact,
}

/// A program of somebody else that drops everything at one hook; gone when dropped.
struct Dropper<'a> {
    bare: &'a Bare,
    /// Detaches when closed.
    _link: Option<OwnedFd>,
    filter: Option<(PathBuf, String)>,
}

/// Where the foreign filter stands: behind any of ours.
const PREFERENCE: &str = "pref 30000";
const FOREIGN: &str = "pref 30000 handle 0x77";

impl<'a> Dropper<'a> {
    fn attach(bare: &'a Bare, kind: Kind, interface: &str, place: Tcx) -> Result<Self> {
        let node = bare.site.node();
        let program = bpf::load_dropper()?;
        if kind == Kind::Tcx {
            let link = bpf::attach_tcx(&node, &program, interface, place)?;
            return Ok(Self { bare, _link: Some(link), filter: None });
        }
        let hook = if place == Tcx::Ingress { "ingress" } else { "egress" };
        let pin = bpf_files(bare)?.join(format!("{interface}-{hook}"));
        bpf::pin(&program, &pin)?;
        // The agent may have made the qdisc already.
        node.run(&format!("tc qdisc add dev {interface} clsact")).ok();
        let added = node.run(&format!(
            "tc filter add dev {interface} {hook} {FOREIGN} bpf da object-pinned {}",
            pin.display()
        ));
        let dropper = Self { bare, _link: None, filter: Some((pin, format!("dev {interface} {hook}"))) };
        added.map(|_| dropper)
    }
}

/// A bpf file system of the site's own, unmounted with the site: `tc` takes programs by path only.
fn bpf_files(bare: &Bare) -> Result<PathBuf> {
    let directory = bare.directory().join("bpf");
    if !directory.exists() {
        std::fs::create_dir(&directory)?;
        process::run(process::command("mount", ["-t", "bpf", "none"]).arg(&directory))?;
    }
    Ok(directory)
}

impl Drop for Dropper<'_> {
    fn drop(&mut self) {
        if let Some((pin, place)) = &self.filter {
            std::fs::remove_file(pin).ok();
            self.bare.site.node().run(&format!("tc filter del {place} {FOREIGN} bpf")).ok();
        }
    }
}

/// Both ends know each other's hardware address from now on: a dropper drops the questions for it too, and
/// then there would be nothing to see.
fn acquaint(bare: &Bare) -> Result<()> {
    ensure!(pings(bare), "no ping before there is a dropper");
    for (place, other) in [(bare.left(), RIGHT), (bare.right(), LEFT)] {
        place.stack()?.run(&format!("ip neigh change {other} dev eth0 nud permanent"))?;
    }
    Ok(())
}

fn pings(bare: &Bare) -> bool {
    traffic::ping(&bare.left(), RIGHT, 3).is_ok()
}

/// Echo requests the agent saw at a hook.
fn requests_at(agent: &Agent, interface: &str, hook: &str) -> Result<u64> {
    let flows = agent.flows()?;
    let ours = |flow: &&Flow| flow.protocol == "icmp" && flow.source.address.as_deref() == Some(LEFT);
    let hops = flows.iter().filter(ours).flat_map(|flow| &flow.hops);
    Ok(hops
        .filter(|hop| hop.interface == interface && hop.hook == hook && hop.direction == "forward")
        .map(|hop| hop.carried.packets)
        .sum())
}

/// Ingress at the sender's veth and egress at the receiver's; ours first where it can be.
fn both_ways(bare: &Bare, attach: &str, kind: Kind) -> Result<()> {
    let agent = bare.agent(&["--attach", attach])?;
    acquaint(bare)?;
    for (interface, place, hook) in
        [(LEFT_VETH, Tcx::Ingress, "ingress"), (RIGHT_VETH, Tcx::Egress, "egress")]
    {
        // The agent books what it has seen within two ticks.
        thread::sleep(Duration::from_millis(2200));
        let seen_before = requests_at(&agent, interface, hook)?;
        let dropper = Dropper::attach(bare, kind, interface, place)?;
        ensure!(!pings(bare), "{kind:?} dropper at {interface} {hook} does not drop behind ours on {attach}");
        thread::sleep(Duration::from_millis(2200));
        let seen = requests_at(&agent, interface, hook)? - seen_before;
        // A TCX program runs before any filter of clsact, whoever came first.
        let ours_runs_first = !(attach == "clsact" && kind == Kind::Tcx);
        ensure!((seen >= 3) == ours_runs_first, "ours saw {seen} dropped packets at {interface} {hook}");
        drop(dropper);
        ensure!(pings(bare), "no ping after the dropper is gone from {interface} {hook}");
    }
    agent.stop()?;
    Ok(())
}

/// It was attached before the agent came; the agent goes to the head of the chain.
fn a_dropper_that_was_first(bare: &Bare) -> Result<()> {
    acquaint(bare)?;
    for kind in [Kind::Tcx, Kind::Clsact] {
        let dropper = Dropper::attach(bare, kind, LEFT_VETH, Tcx::Ingress)?;
        let agent = bare.agent(&["--attach", "tcx"])?;
        ensure!(!pings(bare), "{kind:?} dropper does not drop with the agent before it");
        thread::sleep(Duration::from_millis(2200));
        let seen = requests_at(&agent, LEFT_VETH, "ingress")?;
        let listed = netobs_tests::flows::list(&agent.flows()?);
        ensure!(seen >= 3, "ours saw {seen} packets that the {kind:?} dropper dropped; flows:\n{listed}");
        agent.stop()?;
        ensure!(!pings(bare), "{kind:?} dropper does not drop any more after the agent is gone");
        drop(dropper);
        ensure!(pings(bare), "no ping after the dropper is gone");
    }
    Ok(())
}

/// What it takes is not seen, and that is said; ours goes on where it is, and is not moved before it.
fn a_program_before_ours_is_told(bare: &Bare) -> Result<()> {
    let agent = bare.agent(&["--attach", "tcx"])?;
    let blind = |wanted: f64| {
        process::until("the count of blind interfaces", Duration::from_secs(5), || {
            let metrics = agent.metrics()?;
            let found = metrics.sum("netobs_interfaces", &[("state", "blind")]);
            ensure!((found - wanted).abs() < 0.1, "{found} blind, not {wanted}");
            Ok(())
        })
    };
    blind(0.0)?;
    let all = agent.metrics()?.sum("netobs_interfaces", &[("state", "attached")]);
    let program = bpf::load_dropper()?;
    let node = bare.site.node();
    for place in [Tcx::Ingress, Tcx::Egress] {
        let link = bpf::attach_tcx_first(&node, &program, LEFT_VETH, place)?;
        blind(1.0)?;
        let attached = agent.metrics()?.sum("netobs_interfaces", &[("state", "attached")]);
        ensure!((all - attached - 1.0).abs() < 0.1, "{attached} attached of {all}");
        drop(link);
        blind(0.0)?;
    }
    // Behind ours it hides nothing.
    let link = bpf::attach_tcx(&node, &program, LEFT_VETH, Tcx::Ingress)?;
    thread::sleep(Duration::from_millis(2_200));
    blind(0.0)?;
    drop(link);
    agent.stop()?;
    Ok(())
}

/// Filters, programs and the like; a clsact without filters may carry somebody else's and is nobody's.
fn on_interfaces(bare: &Bare) -> Result<BTreeSet<String>> {
    let found = residue::on_interfaces(&bare.site.node())?;
    Ok(found.into_iter().filter(|line| !line.contains("qdisc clsact")).collect())
}

fn must_be_attached(bare: &Bare, mode: &str) -> Result<()> {
    let found = on_interfaces(bare)?;
    for interface in ["lo", "up0", "lab0", LEFT_VETH, RIGHT_VETH] {
        for hook in ["ingress", "egress"] {
            let word = format!("{interface} {hook} ");
            let mut own = found.iter().filter(|line| line.starts_with(&word) && !line.contains(PREFERENCE));
            let tcx = if mode == "tcx" { "tcx netobs" } else { "netobs" };
            ensure!(
                own.clone().count() == 1 && own.all(|line| line.contains(tcx)),
                "not exactly one of ours at {word}by {mode}: {found:#?}"
            );
        }
    }
    Ok(())
}

/// As a task runner or a supervisor may, which waits for its signals in a thread.
fn sigterm_is_heard(bare: &Bare) -> Result<()> {
    let blocked = SigSet::from_iter([Signal::SIGTERM, Signal::SIGINT]);
    blocked.thread_block()?;
    let agent = bare.agent(&["--attach", "tcx"]);
    blocked.thread_unblock()?;
    let agent = agent?;
    let socket = agent.socket().to_owned();
    ensure!(socket.exists(), "no socket at {}", socket.display());
    let status = agent.stop()?;
    ensure!(status.success(), "{status}");
    ensure!(!socket.exists(), "{} is left", socket.display());
    Ok(())
}

fn clean_exit(bare: &Bare, mode: &str) -> Result<()> {
    let before = on_interfaces(bare)?;
    let agent = bare.agent(&["--attach", mode])?;
    must_be_attached(bare, mode)?;
    let held = residue::held_by(agent.id())?;
    ensure!(!held.is_empty(), "the agent holds no bpf objects");
    let (socket, id) = (agent.socket().to_owned(), agent.id());
    let status = agent.stop()?;
    ensure!(status.success(), "SIGTERM ends agent {id} with {status}");
    ensure!(on_interfaces(bare)? == before, "left: {:?}, before: {before:?}", on_interfaces(bare)?);
    gone(&held)?;
    ensure!(!socket.exists(), "{} is left", socket.display());
    Ok(())
}

/// The kernel frees objects a moment after the last descriptor.
fn gone(held: &BTreeSet<residue::Object>) -> Result<()> {
    process::until("the agent's bpf objects to vanish", Duration::from_secs(5), || {
        let left = residue::alive(held);
        if left.is_empty() { Ok(()) } else { bail!("left: {left:?}") }
    })
}

fn sigkill_leaves_nothing_on_tcx(bare: &Bare) -> Result<()> {
    let before = on_interfaces(bare)?;
    for round in 0..5 {
        let agent = bare.agent(&["--attach", "tcx"])?;
        let held = residue::held_by(agent.id())?;
        agent.kill()?;
        ensure!(on_interfaces(bare)? == before, "round {round} left {:?}", on_interfaces(bare)?);
        gone(&held)?;
    }
    Ok(())
}

/// Kills an agent on clsact while a foreign filter is there; returns the foreign filter and what was left.
fn leave_a_mess(bare: &Bare) -> Result<(Dropper<'_>, BTreeSet<String>)> {
    let foreign = Dropper::attach(bare, Kind::Clsact, RIGHT_VETH, Tcx::Egress)?;
    let before = on_interfaces(bare)?;
    let agent = bare.agent(&["--attach", "clsact"])?;
    must_be_attached(bare, "clsact")?;
    agent.kill()?;
    let left = on_interfaces(bare)?;
    ensure!(left != before, "clsact left nothing after SIGKILL: is it clsact at all?");
    Ok((foreign, before))
}

fn swept_at_the_next_start(bare: &Bare) -> Result<()> {
    for next in ["tcx", "clsact"] {
        let (foreign, before) = leave_a_mess(bare)?;
        let agent = bare.agent(&["--attach", next])?;
        must_be_attached(bare, next)?;
        agent.stop()?;
        ensure!(on_interfaces(bare)? == before, "{next}: left {:?}, not {before:?}", on_interfaces(bare)?);
        ensure!(!pings(bare), "the foreign filter was touched");
        drop(foreign);
    }
    ensure!(pings(bare), "no ping at the end");
    Ok(())
}

fn cleanup(bare: &Bare) -> Result<process::Finished> {
    process::finish(&mut agent::command(&bare.site.node(), &["cleanup"])?, process::SHORT)
}

fn swept_by_cleanup(bare: &Bare) -> Result<()> {
    let (foreign, before) = leave_a_mess(bare)?;
    for round in ["first", "second"] {
        let done = cleanup(bare)?;
        ensure!(done.status.success(), "{round} cleanup: {} {}", done.status, done.stderr);
        ensure!(on_interfaces(bare)? == before, "{round} cleanup left {:?}", on_interfaces(bare)?);
    }
    ensure!(!pings(bare), "the foreign filter was touched");
    drop(foreign);
    ensure!(pings(bare), "no ping at the end");
    Ok(())
}

fn cleanup_of_a_clean_machine(bare: &Bare) -> Result<()> {
    let before = residue::on_interfaces(&bare.site.node())?;
    let done = cleanup(bare)?;
    ensure!(done.status.success(), "{} {}", done.status, done.stderr);
    ensure!(residue::on_interfaces(&bare.site.node())? == before);
    Ok(())
}

fn a_second_agent_names_the_first(bare: &Bare) -> Result<()> {
    let first = bare.agent(&[])?;
    let attached = on_interfaces(bare)?;
    let mut words = agent::arguments(&bare.files("second"), &bare.no_docker(), &[]);
    words.retain(|word| !word.contains("listen"));
    words.extend(["--metrics-listen=127.0.0.1:9787".into(), "--web-listen=127.0.0.1:9788".into()]);
    let words: Vec<_> = words.iter().map(String::as_str).collect();
    let second = process::finish(&mut agent::command(&bare.site.node(), &words)?, process::SHORT)?;
    ensure!(!second.status.success(), "the second agent ended well");
    let pid = first.id().to_string();
    let last = second.stderr.lines().last().unwrap_or_default();
    ensure!(last.contains(&pid), "the first one is {pid}; the second says: {}", second.stderr);
    ensure!(on_interfaces(bare)? == attached, "the second agent attached something");
    ensure!(first.get("/healthz")?.status == 200, "the first agent is not healthy any more");
    first.stop()?;
    Ok(())
}

/// The time from the interface's appearance until our program is on both its hooks.
fn a_new_interface_is_attached_at_once(bare: &Bare) -> Result<()> {
    let agent = bare.agent(&["--attach", "tcx"])?;
    let node = bare.site.node();
    let mut took = Vec::new();
    for round in 0..20 {
        let name = format!("vnew{round}");
        node.batch(&format!("link add {name} type veth peer name {name}p\nlink set {name} up\n"))?;
        let appeared = Instant::now();
        process::until("our program on the new interface", Duration::from_secs(3), || {
            for place in [Tcx::Ingress, Tcx::Egress] {
                ensure!(!bpf::tcx_programs(&node, &name, place)?.is_empty(), "nothing at {name} {place:?}");
            }
            Ok(())
        })?;
        took.push(appeared.elapsed());
        node.batch(&format!("link del {name}\n"))?;
    }
    agent.stop()?;
    // A figure to read, not a bar: how long it takes depends on what else the machine does.
    took.sort_unstable();
    println!(
        "attached after {:?} (median of {}), {:?} at most",
        took[took.len() / 2],
        took.len(),
        took[took.len() - 1]
    );
    Ok(())
}

fn a_renamed_or_removed_interface(bare: &Bare) -> Result<()> {
    let agent = bare.agent(&[])?;
    let node = bare.site.node();
    node.batch("link add vold type veth peer name voldp\nlink set vold up\nlink set voldp up\n")?;
    thread::sleep(Duration::from_millis(500));
    node.batch("link set vold down\nlink set vold name vnew\nlink set vnew up\n")?;
    node.batch("link set vnew master lab0\nlink set vnew nomaster\nlink del vnew\n")?;
    // Appears and vanishes in one go: the agent may try to attach to what is gone.
    for _ in 0..50 {
        node.batch("link add vgone type veth peer name vgonep\nlink del vgone\n")?;
    }
    thread::sleep(Duration::from_secs(2));
    ensure!(agent.get("/healthz")?.status == 200, "not healthy: {}", agent.log());
    must_be_attached(bare, "tcx")?;
    let metrics = agent.metrics().context("metrics after the churn")?;
    let attached = metrics.sum("netobs_interfaces", &[("state", "attached")]);
    ensure!((attached - 5.0).abs() < 0.5, "{attached} interfaces attached, 5 exist");
    ensure!(pings(bare));
    agent.stop()?;
    Ok(())
}
