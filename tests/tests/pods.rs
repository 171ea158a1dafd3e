//! Pods by the runtime's own interface, without the Kubernetes API: their names, their traffic, and what becomes of
//! both while the runtime is away.

use std::{process::ExitCode, sync::Mutex, time::Duration};

use anyhow::{Context, Result, ensure};
use netobs_tests::{
    agent::Agent,
    flows::{self, Flow},
    interval::Interval,
    kubelet::{Pod, PodSpec},
    netns::Stack,
    place::Place,
    pods::{GATEWAY, Pods},
    process::{self, Background, own_program, run, until},
    require::{PODS, TRAFFIC},
    site::{NODE, SERVER, Site},
    suite::{self, Case},
    traffic,
};
use serde_json::Value;

const BYTES: usize = 20_000;
const CONNECTIONS: u32 = 10;
/// How long whoever opens or accepts a connection may stay unnamed.
const NAMED_WITHIN: Duration = Duration::from_secs(2);
/// How long names may take to return with their source.
const BACK_WITHIN: Duration = Duration::from_secs(5);

/// Fields go in this order: the agent before what it observes.
struct Scene {
    agent: Agent,
    web: Pod,
    db: Pod,
    proxy: Pod,
    runtime: Mutex<Pods>,
    site: Site,
}

type Check = fn(&Scene) -> Result<()>;

fn main() -> ExitCode {
    let case = |name, check| Case { name, check };
    suite::run(
        &[TRAFFIC, PODS],
        scene,
        vec![
            case("every_pod_is_listed_once_as_it_is", every_pod_is_listed as Check),
            case("pods_on_one_node", pods_on_one_node),
            case("a_pod_and_the_host", a_pod_and_the_host),
            case("a_pod_and_the_outside", a_pod_and_the_outside),
            case("a_pod_on_the_hosts_network_is_not_the_host", a_pod_on_the_hosts_network),
            case("its_connections_end_within_five_seconds", its_connections_end),
            case("a_new_pod_is_named_within_two_seconds", a_new_pod),
            case("while_the_runtime_is_away_names_stay", while_the_runtime_is_away),
        ],
    )
}

fn spec(name: &str, host_network: bool, containers: &[&'static str]) -> PodSpec {
    PodSpec {
        namespace: "shop",
        name: name.into(),
        labels: Vec::new(),
        host_network,
        containers: containers.to_vec(),
    }
}

fn scene() -> Result<Scene> {
    let site = Site::new()?;
    site.node.sysctl("net/netfilter/nf_conntrack_acct", "1")?;
    let pods = Pods::start(&site.node(), &site.directory().join("pods"), &[own_program("traffic")?])?;
    let hash = ("pod-template-hash", "6d4cf56db6".to_owned());
    let web = PodSpec { labels: vec![hash], ..spec("web-6d4cf56db6-x2x7k", false, &["main", "sidecar"]) };
    let web = pods.run(&web)?;
    let db = pods.run(&spec("db", false, &["main"]))?;
    let proxy = pods.run(&spec("proxy", true, &["main"]))?;
    let directory = site.directory().join("agent");
    let socket = format!("--cri-socket={}", pods.socket().display());
    let agent = Agent::start(&site.node(), &directory, &directory.join("no-docker.sock"), &[&socket])?;
    let scene = Scene { agent, web, db, proxy, runtime: Mutex::new(pods), site };
    until("the pods' names", Duration::from_secs(10), || scene.named(&id(&scene.web)))?;
    Ok(scene)
}

fn id(pod: &Pod) -> String {
    format!("pod/{}/{}", pod.namespace, pod.name)
}

impl Scene {
    /// The endpoint of this id.
    fn named(&self, id: &str) -> Result<Value> {
        let document = self.agent.query(&["endpoints"])?;
        let list = document["endpoints"].as_array().context("no endpoints")?;
        let found = list.iter().find(|one| one["id"] == id);
        found.cloned().with_context(|| format!("no {id} in {document}"))
    }

    fn host(&self) -> Place<'static> {
        Place::Stack(self.site.node())
    }

    fn outside(&self) -> Place<'static> {
        Place::Stack(self.site.outside())
    }

    /// Connections from one place to another; each is a flow between these two endpoints, and all numbers agree.
    fn connections(
        &self,
        (client, server): (&Place, &Place),
        (address, port): (&str, u16),
        (source, destination): (&str, &str),
    ) -> Result<Flow> {
        let listener = traffic::tcp_server(server, &format!("0.0.0.0:{port}"))?;
        let target = format!("{address}:{port}");
        let (interval, ports) =
            Interval::around(&self.agent, || traffic::connect(client, &target, CONNECTIONS, BYTES))?;
        drop(listener);
        interval.must_be_exact()?;
        let mut last = None;
        for from in &ports {
            let what = format!("the flow from port {from} to {target}");
            let of_it = |flow: &Flow| flow.source.port == Some(*from) && flow.addressed() == target;
            let flow = flows::only(interval.flows(), &what, of_it)?;
            let ends = (flow.source.endpoint.as_deref(), flow.destination.endpoint.as_deref());
            ensure!(ends == (Some(source), Some(destination)), "{}", flow.brief());
            last = Some(flow.clone());
        }
        last.context("no connection")
    }
}

fn place(pod: &Pod) -> Place<'static> {
    Place::Stack(Stack::of_process(pod.pid))
}

fn address(pod: &Pod) -> &str {
    pod.address.as_deref().unwrap_or_default()
}

fn every_pod_is_listed(scene: &Scene) -> Result<()> {
    let document = scene.agent.query(&["endpoints"])?;
    let list = document["endpoints"].as_array().context("no endpoints")?;
    let mut ids: Vec<_> = list.iter().filter_map(|one| one["id"].as_str()).collect();
    ids.sort_unstable();
    let (web, db, proxy) = (id(&scene.web), id(&scene.db), id(&scene.proxy));
    ensure!(ids == ["host", &db, &proxy, &web], "{ids:?}");
    for (pod, workload, mode) in
        [(&scene.web, Some("web"), "cni"), (&scene.db, None, "cni"), (&scene.proxy, None, "host")]
    {
        let found = scene.named(&id(pod))?;
        let text = |field: &str| found[field].as_str().map(str::to_owned);
        ensure!(text("kind").as_deref() == Some("pod"), "{found}");
        ensure!(text("name").as_deref() == Some(pod.name.as_str()), "{found}");
        ensure!(text("namespace").as_deref() == Some("shop"), "{found}");
        ensure!(text("workload").as_deref() == workload, "{found}");
        ensure!(text("uid").as_deref() == Some(pod.uid.as_str()), "{found}");
        ensure!(text("runtime").as_deref() == Some("containerd"), "{found}");
        ensure!(text("mode").as_deref() == Some(mode), "{found}");
        let containers = found["containers"].as_array().context("no containers")?;
        let mut named: Vec<_> =
            containers.iter().map(|one| (one["name"].clone(), one["id"].clone())).collect();
        named.sort_by_key(|one| one.0.to_string());
        let expected: Vec<_> = pod
            .containers
            .iter()
            .map(|(name, id, _)| (Value::from(name.as_str()), Value::from(id.as_str())))
            .collect();
        ensure!(named == expected, "{found}");
        ensure!(found["provenance"][0] == "cri", "{found}");
        let interfaces = found["interfaces"].as_array().context("no interfaces")?;
        if pod.address.is_none() {
            ensure!(interfaces.is_empty(), "{found}");
            continue;
        }
        ensure!(interfaces.len() == 1, "{found}");
        let link = run(&mut place(pod).command("ip", ["-o", "link", "show", "eth0"]))?;
        let index =
            link.split("eth0@if").nth(1).and_then(|rest| rest.split(':').next()).context("no eth0")?;
        let index: u64 = index.parse()?;
        ensure!(interfaces[0]["ifindex"] == index, "{found}");
        ensure!(link.contains(interfaces[0]["mac"].as_str().context("no mac")?), "{found} {link}");
        ensure!(interfaces[0]["mode"] == "cni", "{found}");
        let addresses = interfaces[0]["addresses"].as_array().context("no addresses")?;
        ensure!(addresses.iter().any(|one| *one == address(pod)), "{found}");
    }
    Ok(())
}

fn pods_on_one_node(scene: &Scene) -> Result<()> {
    let (web, db) = (id(&scene.web), id(&scene.db));
    let ends = (&place(&scene.web), &place(&scene.db));
    let flow = scene.connections(ends, (address(&scene.db), 7_001), (&web, &db))?;
    ensure!((flow.path.as_str(), flow.nat.as_str()) == ("bridge", "none"), "{}", flow.brief());
    ensure!(flow.source.kind == "pod" && flow.destination.kind == "pod", "{}", flow.brief());
    Ok(())
}

fn a_pod_and_the_host(scene: &Scene) -> Result<()> {
    let web = id(&scene.web);
    let ends = (&scene.host(), &place(&scene.web));
    let flow = scene.connections(ends, (address(&scene.web), 7_002), ("host", &web))?;
    ensure!(flow.path == "host_direct", "{}", flow.brief());
    let ends = (&place(&scene.web), &scene.host());
    let flow = scene.connections(ends, (GATEWAY, 7_003), (&web, "host"))?;
    ensure!(flow.path == "host_direct", "{}", flow.brief());
    Ok(())
}

fn a_pod_and_the_outside(scene: &Scene) -> Result<()> {
    let ends = (&place(&scene.web), &scene.outside());
    let flow = scene.connections(ends, (SERVER, 7_004), (&id(&scene.web), "external"))?;
    ensure!((flow.path.as_str(), flow.nat.as_str()) == ("uplink", "snat"), "{}", flow.brief());
    Ok(())
}

fn a_pod_on_the_hosts_network(scene: &Scene) -> Result<()> {
    let proxy = id(&scene.proxy);
    let runtime = scene.runtime.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
    let container = &scene.proxy.containers[0].1;
    // Out: a program in the pod's own container.
    let server = traffic::tcp_server(&scene.outside(), "0.0.0.0:7005")?;
    let target = format!("{SERVER}:7005");
    let count = CONNECTIONS.to_string();
    let (interval, ports) = Interval::around(&scene.agent, || {
        let words = ["traffic", "tcp-connect", &target, "--count", &count, "--bytes", "20000"];
        run(&mut runtime.exec(container, &words))
    })?;
    drop(server);
    interval.must_be_exact()?;
    let ports: Vec<u16> = ports.split_whitespace().map(str::parse).collect::<Result<_, _>>()?;
    ensure!(ports.len() == CONNECTIONS as usize, "{ports:?}");
    for port in ports {
        let flow = flows::only(interval.flows(), "the pod's flow", |flow| {
            flow.source.port == Some(port) && flow.addressed() == target
        })?;
        let ends = (flow.source.endpoint.as_deref(), flow.destination.endpoint.as_deref());
        ensure!(ends == (Some(proxy.as_str()), Some("external")), "{}", flow.brief());
    }
    // In: a server in the pod's own container.
    let log = scene.site.directory().join("serve.log");
    let serve = ["traffic", "tcp-serve", "0.0.0.0:7006"];
    let server = Background::start(&mut runtime.exec(container, &serve), &log)?;
    until("the pod's server", Duration::from_secs(10), || scene.host().listens("tcp", 7_006))?;
    let target = format!("{NODE}:7006");
    let (interval, ports) =
        Interval::around(&scene.agent, || traffic::connect(&scene.outside(), &target, CONNECTIONS, BYTES))?;
    interval.must_be_exact()?;
    drop(server);
    for port in ports {
        let flow = flows::only(interval.flows(), "the flow to the pod", |flow| {
            flow.source.port == Some(port) && flow.addressed() == target
        })?;
        ensure!(flow.destination.endpoint.as_deref() == Some(proxy.as_str()), "{}", flow.brief());
    }
    // The host's own stay the host's.
    let ends = (&scene.host(), &scene.outside());
    scene.connections(ends, (SERVER, 7_007), ("host", "external"))?;
    Ok(())
}

fn its_connections_end(scene: &Scene) -> Result<()> {
    let server = traffic::tcp_server(&scene.outside(), "0.0.0.0:7008")?;
    let alive = || -> Result<i128> {
        let labels = [("source_kind", "pod"), ("destination_kind", "external"), ("protocol", "tcp")];
        Ok(netobs_tests::agent::whole(scene.agent.metrics()?.sum("netobs_path_flows", &labels)))
    };
    let before = alive()?;
    let runtime = scene.runtime.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
    let target = format!("{SERVER}:7008");
    run(&mut runtime.exec(
        &scene.proxy.containers[0].1,
        &["traffic", "tcp-connect", &target, "--count", "10", "--bytes", "1000"],
    ))?;
    drop(server);
    until("the end of its flows", Duration::from_secs(5), || {
        let now = alive()?;
        ensure!(now <= before, "{now} flows alive, {before} before");
        Ok(())
    })
}

fn a_new_pod(scene: &Scene) -> Result<()> {
    let runtime = scene.runtime.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
    let pod = runtime.run(&spec("young", false, &["main"]))?;
    until("the new pod's name", NAMED_WITHIN, || scene.named(&id(&pod)))?;
    runtime.kubelet()?.remove(&pod.sandbox)?;
    until("the end of the old pod", NAMED_WITHIN, || {
        ensure!(scene.named(&id(&pod)).is_err(), "{} is still listed", id(&pod));
        Ok(())
    })
}

/// The state a source of identity is in, by the metric.
fn source_state(scene: &Scene, source: &str) -> Result<String> {
    let page = scene.agent.metrics()?;
    let labels = [("source", source)];
    let set = page.select("netobs_identity_sources", &labels).find(|sample| sample.value > 0.0);
    Ok(set.with_context(|| format!("no state of {source}"))?.labels["state"].clone())
}

fn while_the_runtime_is_away(scene: &Scene) -> Result<()> {
    let (web, db) = (id(&scene.web), id(&scene.db));
    let mut runtime = scene.runtime.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
    ensure!(source_state(scene, "cri")? == "ready", "{}", source_state(scene, "cri")?);
    runtime.stop()?;
    until("the agent to miss the runtime", Duration::from_secs(10), || {
        let state = source_state(scene, "cri")?;
        ensure!(state == "failing" || state == "absent", "{state}");
        Ok(())
    })?;
    // Counters go on, and names stay.
    let ends = (&place(&scene.web), &place(&scene.db));
    scene.connections(ends, (address(&scene.db), 7_009), (&web, &db))?;
    let mut doctor = netobs_tests::agent::command(&scene.site.node(), &["doctor"])?;
    let told = process::finish(doctor.env("NETOBS_CRI_SOCKET", runtime.socket()), process::SHORT)?.stdout;
    ensure!(told.lines().any(|line| line.starts_with("cri ") && !line.contains(" ok ")), "{told}");
    runtime.start_again()?;
    until("the runtime to be ready again", BACK_WITHIN, || {
        let state = source_state(scene, "cri")?;
        ensure!(state == "ready", "{state}");
        Ok(())
    })?;
    let pod = runtime.run(&spec("later", false, &["main"]))?;
    until("the later pod's name", NAMED_WITHIN, || scene.named(&id(&pod)))?;
    runtime.kubelet()?.remove(&pod.sandbox)?;
    Ok(())
}
