//! Sources of identity that answer as no server should, from the start and after they were well: the agent says so
//! once, stays within memory, counts on, and knows a source again that is well again.
//!
//! `NETOBS_HOSTILE` is for how many seconds each abuse of each source is borne, measured beside an agent without
//! sources, and held to a hundredth of a processor; without it they all are hostile at once, for a short time, and the
//! processor's share is printed and not judged.

use std::{
    env,
    fs::{self, File},
    path::{Path, PathBuf},
    process::ExitCode,
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context, Result, bail, ensure};
use netobs_tests::{
    agent::Agent,
    hostile::{Abuse, Role, Server},
    netns::Netns,
    process::{self, until},
    require::TRAFFIC,
    suite::{self, Case},
};
use nix::{
    time::{ClockId, clock_gettime},
    unistd::Pid,
};

fn main() -> ExitCode {
    suite::run(
        &[TRAFFIC],
        || Ok(()),
        vec![Case {
            name: "hostile_sources_cost_little_and_are_told_of_once",
            check: all as fn(&()) -> Result<()>,
        }],
    )
}

/// Most memory that an agent may ever have taken, in MiB: one list of 64 MiB as bytes, and what is made of it.
const MEMORY: u64 = 400;
/// Percent of one processor that a hostile source must stay below: what an agent with it takes more than one without
/// sources.
const SHARE: f64 = 1.0;

/// What answers for longer was well.
const LASTS: Duration = Duration::from_secs(12);

/// Who is hostile.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Source {
    Docker,
    Cri,
    Kubernetes,
    Libvirt,
}

impl Source {
    const ALL: [Self; 4] = [Self::Kubernetes, Self::Cri, Self::Libvirt, Self::Docker];

    const fn name(self) -> &'static str {
        match self {
            Self::Docker => "docker",
            Self::Cri => "cri",
            Self::Kubernetes => "kubernetes_api",
            Self::Libvirt => "libvirt",
        }
    }

    /// What the log calls it; nothing is logged of libvirt's files.
    const fn in_log(self) -> Option<&'static str> {
        match self {
            Self::Docker => Some("container runtime"),
            Self::Cri => Some("pod runtime"),
            Self::Kubernetes => Some("Kubernetes API"),
            Self::Libvirt => None,
        }
    }

    /// Files have no answer to wait for, and no changes to tell.
    fn knows(self, abuse: Abuse) -> bool {
        self != Self::Libvirt || abuse != Abuse::Stream
    }

    /// Events that mean nothing are passed over: what there is shows in the next list.
    fn bears(self, abuse: Abuse) -> bool {
        abuse == Abuse::Stream && matches!(self, Self::Docker | Self::Cri)
    }
}

/// An agent in a stack of its own, with its sources. Fields go in this order.
struct Scene {
    agent: Agent,
    servers: Vec<(Source, Server)>,
    files: Option<PathBuf>,
    abuse: Abuse,
    sources: Vec<Source>,
    _directory: tempfile::TempDir,
    _stack: Netns,
}

impl Scene {
    /// `hostile` says of which sources that are so from the start.
    fn new(abuse: Abuse, sources: &[Source], hostile: impl Fn(Source) -> bool) -> Result<Self> {
        let sources: Vec<Source> = sources.iter().copied().filter(|one| one.knows(abuse)).collect();
        let stack = Netns::new("hostile")?;
        let directory = tempfile::tempdir()?;
        let at = |name: &str| directory.path().join(name);
        let mut options = Vec::new();
        let (mut servers, mut files) = (Vec::new(), None);
        for &source in &sources {
            let first = hostile(source).then_some(abuse);
            match source {
                Source::Docker => {
                    servers.push((source, Server::at(Role::Docker, &at("docker.sock"), first)?))
                }
                Source::Cri => {
                    servers.push((source, Server::at(Role::Cri, &at("cri.sock"), first)?));
                    options.push(format!("--cri-socket={}", at("cri.sock").display()));
                }
                Source::Kubernetes => {
                    let address = ([127, 0, 0, 1], 6443).into();
                    servers.push((source, Server::within(Role::Kubernetes, &stack.stack(), address, first)?));
                    fs::write(at("kubeconfig"), KUBECONFIG)?;
                    options.push(format!("--kubeconfig={}", at("kubeconfig").display()));
                    options.push("--node-name=n1".into());
                }
                Source::Libvirt => {
                    status_files(&at("libvirt"), first)?;
                    options.push(format!("--libvirt-dir={}", at("libvirt").display()));
                    files = Some(at("libvirt"));
                }
            }
        }
        let options: Vec<&str> = options.iter().map(String::as_str).collect();
        let agent = Agent::start(&stack.stack(), &at("agent"), &at("docker.sock"), &options)?;
        Ok(Self { agent, servers, files, abuse, sources, _directory: directory, _stack: stack })
    }

    fn turn(&self, hostile: bool) -> Result<()> {
        let abuse = hostile.then_some(self.abuse);
        for (_, server) in &self.servers {
            server.turn(abuse);
            // Where it cost much to find out, only a new socket is asked at once.
            if !hostile && !self.abuse.is_cheap() {
                server.restart()?;
            }
        }
        self.files.as_deref().map_or(Ok(()), |files| status_files(files, abuse))
    }

    /// Whether a source that was hostile is asked again before long.
    fn returns(&self, source: Source) -> bool {
        self.abuse.is_cheap() || matches!(source, Source::Docker | Source::Cri)
    }

    fn state_is(&self, source: Source, hostile: bool) -> Result<()> {
        let word = if hostile && !source.bears(self.abuse) { "failing" } else { "ready" };
        // A list may take a minute; a read of files is every ten seconds.
        let patience = Duration::from_secs(if hostile { 100 } else { 30 });
        until(&format!("{} to be {word} at {:?}", source.name(), self.abuse), patience, || {
            self.agent.source_is(source.name(), &[word])
        })
        .with_context(|| format!("log: {}", self.agent.log()))
    }

    fn told(&self, source: Source) -> usize {
        let log = self.agent.log();
        source.in_log().map_or(0, |word| log.lines().filter(|line| line.contains(word)).count())
    }

    fn used(&self) -> Result<Used> {
        let id = Pid::from_raw(i32::try_from(self.agent.id())?);
        let clock = ClockId::pid_cpu_clock_id(id)?;
        let status = fs::read_to_string(format!("/proc/{id}/status"))?;
        let peak = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).context("no VmHWM")?;
        let peak = peak.trim().trim_end_matches(" kB").parse::<u64>()? >> 10;
        Ok(Used { at: Instant::now(), processor: clock_gettime(clock)?.into(), peak })
    }

    /// It is not only alive: what passes is counted.
    fn counts(&self) -> Result<()> {
        let counted = || Ok::<_, anyhow::Error>(self.agent.metrics()?.sum("netobs_path_bytes_total", &[]));
        let before = counted()?;
        until("traffic to be counted", Duration::from_secs(10), || {
            ensure!(counted()? > before, "nothing counted since {before}");
            Ok(())
        })
    }

    fn is_sound(&self, peak: u64) -> Result<()> {
        let log = self.agent.log();
        ensure!(!log.contains("panicked"), "{log}");
        ensure!(peak <= MEMORY, "{:?} took {peak} MiB", self.abuse);
        Ok(())
    }
}

const KUBECONFIG: &str = r#"{"apiVersion": "v1", "kind": "Config", "current-context": "lab",
    "clusters": [{"name": "lab", "cluster": {"server": "http://127.0.0.1:6443"}}],
    "users": [{"name": "lab", "user": {}}],
    "contexts": [{"name": "lab", "context": {"cluster": "lab", "user": "lab"}}]}"#;

/// libvirt's directory with one guest's file, which is well, or not.
fn status_files(directory: &Path, abuse: Option<Abuse>) -> Result<()> {
    if directory.exists() {
        fs::remove_dir_all(directory)?;
    }
    fs::create_dir(directory)?;
    let file = directory.join("guest.xml");
    let good = "<domstatus pid='1'><domain><name>guest</name><devices/></domain></domstatus>";
    match abuse {
        None => fs::write(file, good)?,
        Some(Abuse::Hung) => {
            process::run(process::command("mkfifo", [] as [&str; 0]).arg(&file))?;
        }
        // Of holes, so that the disk has room for it.
        Some(Abuse::Gigabyte) => File::create(file)?.set_len(1 << 30)?,
        Some(Abuse::Cut) => fs::write(file, good.get(..40).unwrap_or_default())?,
        Some(Abuse::Wrong) => fs::write(file, "<domstatus pid=7>")?,
        Some(Abuse::WrongLarge) => {
            let long = format!("<domstatus>{}</wrong>", "<a b='c'/>".repeat(100_000));
            for at in 0..20 {
                fs::write(directory.join(format!("guest{at}.xml")), &long)?;
            }
        }
        Some(Abuse::Stream) => bail!("a file tells nothing"),
    }
    Ok(())
}

struct Used {
    at: Instant,
    processor: Duration,
    peak: u64,
}

impl Used {
    /// Percent of one processor since then.
    fn share_since(&self, before: &Self) -> f64 {
        (self.processor - before.processor).as_secs_f64() / (self.at - before.at).as_secs_f64() * 100.0
    }
}

fn all(_: &()) -> Result<()> {
    match env::var("NETOBS_HOSTILE") {
        Ok(seconds) => long(Duration::from_secs(seconds.parse().context("NETOBS_HOSTILE is seconds")?)),
        Err(_) => short(),
    }
}

/// At once for each scene, with the first error.
fn each<T: Sync>(scenes: &[T], act: impl Fn(&T) -> Result<()> + Sync) -> Result<()> {
    thread::scope(|scope| {
        let all: Vec<_> = scenes.iter().map(|scene| scope.spawn(|| act(scene))).collect();
        let done = all.into_iter().map(|one| one.join().unwrap_or_else(|_| bail!("a scene panicked")));
        done.collect::<Vec<_>>().into_iter().collect()
    })
}

/// All sources of an agent at once: hostile from the start, well, hostile, and well again.
fn short() -> Result<()> {
    let from_start =
        |abuse: Abuse, source| abuse.is_cheap() || matches!(source, Source::Docker | Source::Cri);
    let scenes = Abuse::ALL.map(|abuse| Scene::new(abuse, &Source::ALL, |one| from_start(abuse, one)));
    let scenes: Vec<Scene> = scenes.into_iter().collect::<Result<_>>()?;
    let alone = Scene::new(Abuse::Hung, &[], |_| false)?;
    each(&scenes, |scene| {
        let sources = || scene.sources.iter().copied();
        sources().try_for_each(|one| scene.state_is(one, from_start(scene.abuse, one)))?;
        scene.turn(false)?;
        sources().try_for_each(|one| scene.state_is(one, false))?;
        // What did not last is not asked again as soon.
        thread::sleep(LASTS);
        let told: Vec<usize> = sources().map(|one| scene.told(one)).collect();
        for (source, lines) in sources().zip(&told) {
            // Whose first sessions did not last is told of as answering, failing and answering.
            ensure!(*lines <= 3, "{lines} lines of {}: {}", source.name(), scene.agent.log());
        }
        let (before, idle) = (scene.used()?, alone.used()?);
        scene.turn(true)?;
        sources().try_for_each(|one| scene.state_is(one, true))?;
        thread::sleep(Duration::from_secs(5));
        sources().try_for_each(|one| scene.state_is(one, true))?;
        let (after, idle_after) = (scene.used()?, alone.used()?);
        scene.counts()?;
        scene.is_sound(after.peak)?;
        // That it answers again is told once it lasts: late for what did not.
        for (source, before) in sources().zip(&told) {
            let lines = scene.told(source) - before;
            ensure!(lines <= 2, "{lines} lines of {}: {}", source.name(), scene.agent.log());
        }
        println!(
            "    all sources, {:?}: {:.2} % of a processor in {:.0} s (without sources {:.2} %), {} MiB at most",
            scene.abuse,
            after.share_since(&before),
            (after.at - before.at).as_secs_f64(),
            idle_after.share_since(&idle),
            after.peak,
        );
        scene.turn(false)?;
        sources().filter(|one| scene.returns(*one)).try_for_each(|one| scene.state_is(one, false))
    })
}

/// One source of an agent at a time, from the start and after it was well, for so long.
fn long(lasting: Duration) -> Result<()> {
    let mut wrong = Vec::new();
    for source in Source::ALL {
        for from_start in [true, false] {
            let abuses = Abuse::ALL.into_iter().filter(|abuse| source.knows(*abuse));
            let scenes = abuses.map(|abuse| Scene::new(abuse, &[source], |_| from_start));
            let scenes: Vec<Scene> = scenes.collect::<Result<_>>()?;
            let alone = Scene::new(Abuse::Hung, &[], |_| false)?;
            let begun = |scene: &Scene| {
                Ok::<_, anyhow::Error>((scene.used()?, if from_start { 0 } else { scene.told(source) }))
            };
            if !from_start {
                each(&scenes, |scene| scene.state_is(source, false))?;
            }
            // What an agent does once is done; what finding out costs is in the figures of what was well before.
            thread::sleep(LASTS);
            let before: Vec<_> = scenes.iter().map(begun).collect::<Result<_>>()?;
            let idle = alone.used()?;
            if !from_start {
                each(&scenes, |scene| scene.turn(true))?;
            }
            thread::sleep(lasting);
            let idle = alone.used()?.share_since(&idle);
            for (scene, (before, told)) in scenes.iter().zip(before) {
                let after = scene.used()?;
                let (share, lines) = (after.share_since(&before), scene.told(source) - told);
                let when = if from_start { "from the start" } else { "after it was well" };
                let what = format!("{:14} {:10} {when}", source.name(), format!("{:?}", scene.abuse));
                println!(
                    "    {what:40} {share:.2} % (without sources {idle:.2} %), {lines} lines, {} MiB at most",
                    after.peak
                );
                if share - idle >= SHARE {
                    wrong.push(format!("{what}: {share:.2} % of a processor, {idle:.2} % without sources"));
                }
                // Where the turn itself broke a connection, it is told that it was made again.
                // A Kubernetes API whose lists are well is told of as answering before its watches show that it is not.
                let twice = if from_start { source == Source::Kubernetes } else { source.bears(scene.abuse) };
                let most = if twice && scene.abuse == Abuse::Stream { 2 } else { 1 };
                let sound = scene.state_is(source, true).and_then(|()| {
                    ensure!(lines <= most, "{lines} lines: {}", scene.agent.log());
                    scene.counts()?;
                    scene.is_sound(after.peak)
                });
                if let Err(error) = sound {
                    wrong.push(format!("{what}: {error:#}"));
                }
            }
            if !from_start {
                each(&scenes, |scene| scene.turn(false))?;
                let returns = |scene: &Scene| {
                    if scene.returns(source) { scene.state_is(source, false) } else { Ok(()) }
                };
                each(&scenes, returns)?;
            }
        }
    }
    ensure!(wrong.is_empty(), "{wrong:#?}");
    Ok(())
}
