//! Everything at once on one node: containers in every mode, pods, virtual machines, and another node. Each is listed
//! once as it is, each of the communications between them has the right names on both sides, and the matrix has them all.

mod everything {
    pub(crate) mod communications;
    pub(crate) mod matrix;
}

use std::{
    collections::BTreeMap,
    process::ExitCode,
    sync::{Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use anyhow::{Context, Result, ensure};
use everything::{communications, matrix};
use netobs_tests::{
    agent::Agent,
    contract::PROVENANCES,
    docker_site::{DockerSite, HOSTNET, LONELY, NONE, PLAIN, PUBLISHED, SIDECAR, WEB},
    endpoint,
    flows::Flow,
    interval::Interval,
    kubelet::{Pod, PodSpec},
    libvirt::Libvirt,
    machine::{Card, Console, Machine},
    machine_image::MachineImage,
    netns::Stack,
    other_node::{self, OtherNode},
    place::Place,
    pods::Pods,
    process::{self, own_program, until},
    require::{DOCKER, MACHINES, PODS, TRAFFIC},
    site::{NODE, ROUTER, UPLINK},
    suite::{self, Case},
    traffic,
};
use serde_json::Value;

/// On the parent's network, with a hardware address of its own.
const LAN: &str = "lan";
/// On two bridges.
const BOTH: &str = "both";

const MAIL_CARDS: [Card; 2] = [
    Card { tap: "tap-mail", mac: 0x11, address: "10.21.0.11/24", gateway: Some("10.21.0.1") },
    Card { tap: "tap-aside", mac: 0x12, address: "10.22.0.12/24", gateway: None },
];
const LEDGER_CARD: Card =
    Card { tap: "tap-ledger", mac: 0x14, address: "10.21.0.14/24", gateway: Some("10.21.0.1") };

/// Fields go in this order: the agent before what it observes.
struct Scene {
    agent: Agent,
    mail: Machine,
    ledger: Console,
    _libvirt: Libvirt,
    front: Pod,
    back: Pod,
    daemon: Pod,
    _pods: Pods,
    other: OtherNode,
    site: Mutex<DockerSite>,
}

impl Scene {
    fn site(&self) -> MutexGuard<'_, DockerSite> {
        self.site.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

type Check = fn(&Scene) -> Result<()>;

fn main() -> ExitCode {
    let case = |name, check| Case { name, check };
    suite::run(
        &[TRAFFIC, DOCKER, PODS, MACHINES],
        scene,
        vec![
            case("everybody_is_listed_once_as_they_are", everybody_is_listed as Check),
            case("every_communication_has_both_names", communications::have_both_names),
            case("the_matrix_has_all_ten_communications", matrix::has_all_ten),
            case("no_fault_is_claimed_in_any_of_the_ten", matrix::has_no_fault),
            case("a_refusal_is_in_the_matrix_for_its_pair", matrix::has_a_refusal),
            case("while_dockerd_is_away_names_stay", while_dockerd_is_away),
        ],
    )
}

fn scene() -> Result<Scene> {
    let site = DockerSite::new()?;
    let node = site.site.node();
    let docker = &site.docker;
    let lan = ["network", "create", "-d", "macvlan", "--subnet", "198.51.100.0/24", "--gateway", ROUTER];
    let parent = format!("parent={UPLINK}");
    docker.docker(&[&lan[..], &["-o", &parent, LAN]].concat())?;
    let forever = &["sleep", "100000"];
    docker.start_container(LAN, &["--network", LAN, "--ip", "198.51.100.77"], forever)?;
    docker.start_container(BOTH, &[], forever)?;
    docker.docker(&["network", "connect", site.network(), BOTH])?;

    let traffic = own_program("traffic")?;
    let pods = Pods::start(&node, &site.directory().join("pods"), std::slice::from_ref(&traffic))?;
    let spec = |name: &str, host_network, containers: &[&'static str]| PodSpec {
        namespace: "shop",
        name: name.into(),
        labels: Vec::new(),
        host_network,
        containers: containers.to_vec(),
    };
    let front = pods.run(&spec("front", false, &["main"]))?;
    let back = pods.run(&spec("back", false, &["main", "sidecar"]))?;
    let daemon = pods.run(&spec("daemon", true, &["main"]))?;

    let other = OtherNode::new(&site.site)?;
    // Whoever is outside may address pods and machines as they are.
    site.site
        .outside
        .batch(&format!("route add 10.88.0.0/24 via {NODE}\nroute add 10.21.0.0/24 via {NODE}\n"))?;

    endpoint::bridge(&node, "br-nat", "10.21.0.1/24")?;
    endpoint::bridge(&node, "br-aside", "10.22.0.1/24")?;
    for (tap, bridge) in [("tap-mail", "br-nat"), ("tap-aside", "br-aside")] {
        node.run(&format!("ip tuntap add {tap} mode tap"))?;
        node.batch(&format!("link set {tap} master {bridge}\nlink set {tap} up\n"))?;
    }
    node.run("iptables -t nat -A POSTROUTING -s 10.21.0.0/24 ! -d 10.21.0.0/24 -j MASQUERADE")?;
    // Docker drops what is not its own; an operator who wants all of them to talk allows it.
    node.run("iptables -P FORWARD ACCEPT")?;
    let directory = site.directory().join("machines");
    std::fs::create_dir_all(&directory)?;
    let image = MachineImage::build(&directory, &[traffic])?;
    let mut libvirt = Libvirt::start(&node, &directory.join("libvirt"))?;
    let uuid = "1b4e28ba-2fa1-11d2-883f-0016d3cca427";
    let mail = Machine::start(&node, &directory, &image, "mail", uuid, &MAIL_CARDS)?;
    libvirt.wait()?;
    let uuid = "3b4e28ba-2fa1-11d2-883f-0016d3cca427";
    let ledger = libvirt.create(&image, "ledger", uuid, "br-nat", &LEDGER_CARD)?;
    mail.wait()?;
    ledger.wait()?;

    let options = [
        format!("--cri-socket={}", pods.socket().display()),
        format!("--libvirt-dir={}", libvirt.status_directory().display()),
        format!("--node=n2={}", other_node::ADDRESS),
        format!("--node=n2={}", other_node::PODS),
    ];
    let options: Vec<_> = options.iter().map(String::as_str).collect();
    let agent = Agent::start(&node, &site.directory().join("agent"), &docker.socket(), &options)?;
    Ok(Scene {
        agent,
        mail,
        ledger,
        _libvirt: libvirt,
        front,
        back,
        daemon,
        _pods: pods,
        other,
        site: Mutex::new(site),
    })
}

fn place(pod: &Pod) -> Place<'static> {
    Place::Stack(Stack::of_process(pod.pid))
}

/// What an endpoint must be: kind, mode, runtime, containers, and for each interface its mode and an address.
struct Expected {
    kind: &'static str,
    mode: String,
    runtime: Option<&'static str>,
    containers: Vec<String>,
    interfaces: Vec<(&'static str, String)>,
}

fn everybody_is_listed(scene: &Scene) -> Result<()> {
    scene.mail.console.run("ping -c 1 -W 5 10.21.0.1; ping -c 1 -W 5 10.22.0.1")?;
    scene.ledger.run("ping -c 1 -W 5 10.21.0.1")?;
    let expected = expected(scene)?;
    until("everybody as they are", Duration::from_secs(10), || {
        let document = scene.agent.query(&["endpoints"])?;
        let list = document["endpoints"].as_array().context("no endpoints")?;
        let mut ids: Vec<&str> = list.iter().filter_map(|one| one["id"].as_str()).collect();
        ids.sort_unstable();
        let wanted: Vec<&str> = expected.keys().map(String::as_str).chain(["host"]).collect();
        let mut wanted = wanted;
        wanted.sort_unstable();
        ensure!(ids == wanted, "{ids:?}, not {wanted:?}");
        list.iter().try_for_each(ranked)?;
        for (id, expected) in &expected {
            let found = list.iter().find(|one| one["id"] == **id).context("gone")?;
            compare(found, expected).with_context(|| found.to_string())?;
        }
        Ok(())
    })
}

/// Strongest first, and somebody's word at all.
fn ranked(one: &Value) -> Result<()> {
    let words = one["provenance"].as_array().context("no provenance")?;
    let ranks: Option<Vec<usize>> =
        words.iter().map(|word| PROVENANCES.iter().position(|known| word == known)).collect();
    let ranks = ranks.with_context(|| format!("a word that the contract does not have in {one}"))?;
    ensure!(!ranks.is_empty() && ranks.is_sorted(), "{one}");
    Ok(())
}

fn expected(scene: &Scene) -> Result<BTreeMap<String, Expected>> {
    let site = scene.site();
    let docker = &site.docker;
    let mut all = BTreeMap::new();
    let mut container =
        |name: &str, mode: &str, networks: &[(&str, &'static str)], more: &[&str]| -> Result<()> {
            let interfaces =
                networks.iter().map(|(network, mode)| Ok((*mode, docker.address(name, network)?)));
            let containers = std::iter::once(name).chain(more.iter().copied()).map(str::to_owned).collect();
            let expected = Expected {
                kind: "container",
                mode: mode.into(),
                runtime: Some("docker"),
                containers,
                interfaces: interfaces.collect::<Result<_>>()?,
            };
            all.insert(format!("container/{name}"), expected);
            Ok(())
        };
    let network = site.network();
    container(WEB, "bridge", &[("bridge", "bridge")], &[])?;
    container(PLAIN, "bridge", &[("bridge", "bridge")], &[SIDECAR])?;
    container(PUBLISHED, "bridge", &[("bridge", "bridge")], &[])?;
    container(LONELY, "bridge", &[(network, "bridge")], &[])?;
    container(BOTH, "bridge", &[("bridge", "bridge"), (network, "bridge")], &[])?;
    container(LAN, "macvlan", &[(LAN, "macvlan")], &[])?;
    container(HOSTNET, "host", &[], &[])?;
    container(NONE, "none", &[], &[])?;
    for pod in [&scene.front, &scene.back, &scene.daemon] {
        let interfaces = pod.address.iter().map(|address| ("cni", address.clone()));
        let expected = Expected {
            kind: "pod",
            mode: if pod.address.is_some() { "cni" } else { "host" }.into(),
            runtime: Some("containerd"),
            containers: pod.containers.iter().map(|(name, ..)| name.clone()).collect(),
            interfaces: interfaces.collect(),
        };
        all.insert(format!("pod/shop/{}", pod.name), expected);
    }
    let mut machine = |name: &str, interfaces: &[(&'static str, &str)]| {
        let expected = Expected {
            kind: "vm",
            mode: "nat".into(),
            runtime: Some("qemu"),
            containers: Vec::new(),
            interfaces: interfaces.iter().map(|(mode, address)| (*mode, (*address).to_owned())).collect(),
        };
        all.insert(format!("vm/{name}"), expected);
    };
    machine("mail", &[("nat", "10.21.0.11"), ("host-only", "10.22.0.12")]);
    machine("ledger", &[("nat", "10.21.0.14")]);
    Ok(all)
}

fn compare(found: &Value, expected: &Expected) -> Result<()> {
    ensure!(found["kind"] == expected.kind, "not a {}", expected.kind);
    ensure!(found["mode"] == expected.mode, "not {}", expected.mode);
    ensure!(found["runtime"].as_str() == expected.runtime, "not by {:?}", expected.runtime);
    let listed = found["containers"].as_array().context("no containers")?;
    let mut names: Vec<_> = listed.iter().filter_map(|one| one["name"].as_str()).collect();
    names.sort_unstable();
    ensure!(names == expected.containers, "containers are not {:?}", expected.containers);
    let interfaces = found["interfaces"].as_array().context("no interfaces")?;
    ensure!(interfaces.len() == expected.interfaces.len(), "not {} interfaces", expected.interfaces.len());
    for (mode, address) in &expected.interfaces {
        let fits = |one: &&Value| {
            let addresses = one["addresses"].as_array();
            one["mode"] == *mode && addresses.is_some_and(|all| all.iter().any(|one| one == address))
        };
        ensure!(interfaces.iter().any(|one| fits(&one)), "no interface with {mode} and {address}");
    }
    Ok(())
}

fn while_dockerd_is_away(scene: &Scene) -> Result<()> {
    let mut site = scene.site();
    let node = site.site.node();
    let plain = site.address(PLAIN)?;
    let (web_place, plain_stack) =
        (Place::Stack(site.docker.stack(WEB)?), Place::Stack(site.docker.stack(PLAIN)?));
    let docker_is = |states: &'static [&'static str]| move || scene.agent.source_is("docker", states);
    until("Docker to be ready", Duration::from_secs(5), docker_is(&["ready"]))?;
    site.docker.stop()?;
    until("the agent to miss Docker", Duration::from_secs(10), docker_is(&["failing", "absent"]))?;
    // Counters go on and names stay; who is new goes by the next best name.
    let _late =
        endpoint::on_bridge(&node, "nobt-late", "vlate", "docker0", "10.77.0.200/24", Some("10.77.0.1"))?;
    let server = traffic::tcp_server(&plain_stack, "0.0.0.0:7020")?;
    let (interval, ports) = Interval::around(&scene.agent, || {
        let mut ports = traffic::connect(&web_place, &format!("{plain}:7020"), 5, 10_000)?;
        let late = Place::Stack(_late.stack());
        ports.extend(traffic::connect(&late, &format!("{plain}:7020"), 5, 10_000)?);
        Ok(ports)
    })?;
    drop(server);
    interval.must_be_exact()?;
    for (at, port) in ports.iter().enumerate() {
        let source = if at < 5 { "container/web" } else { "netns/nobt-late" };
        let of_it = |flow: &&Flow| flow.source.port == Some(*port) && flow.destination.port == Some(7_020);
        let found: Vec<&Flow> = interval.flows().iter().filter(of_it).collect();
        ensure!(found.len() == 1, "{} flows from {port}", found.len());
        let ends = (found[0].source.endpoint.as_deref(), found[0].destination.endpoint.as_deref());
        ensure!(ends == (Some(source), Some("container/plain")), "{}", found[0].brief());
    }
    let mut doctor = netobs_tests::agent::command(&node, &["doctor"])?;
    let told =
        process::finish(doctor.env("NETOBS_DOCKER_SOCKET", site.docker.socket()), process::SHORT)?.stdout;
    ensure!(told.lines().any(|line| line.starts_with("docker ") && !line.contains(" ok ")), "{told}");
    site.docker.start_again(&node)?;
    until("Docker to be ready again", Duration::from_secs(5), docker_is(&["ready"]))?;
    site.docker.start_container("after", &[], &["sleep", "100000"])?;
    until("the new container's name", Duration::from_secs(2), || scene.agent.endpoint("container/after"))?;
    Ok(())
}
