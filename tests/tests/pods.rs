//! Pods by the runtime's own interface, without the Kubernetes API: their names, their traffic, and what becomes of
//! both while the runtime is away.

use std::{process::ExitCode, sync::Mutex, time::Duration};

use anyhow::{Context, Result, ensure};
use netobs_tests::{
    agent::Agent,
    api_server::ApiServer,
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
use serde_json::{Value, json};

const BYTES: usize = 20_000;
const CONNECTIONS: u32 = 10;
/// How long whoever opens or accepts a connection may stay unnamed.
const NAMED_WITHIN: Duration = Duration::from_secs(2);
/// How long names may take to return with their source.
const BACK_WITHIN: Duration = Duration::from_secs(5);

/// Fields go in this order: the agent before what it observes.
struct Scene {
    agent: Agent,
    api: Mutex<ApiServer>,
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
            case("who_is_elsewhere_has_a_name", who_is_elsewhere),
            case("a_service_is_named_where_it_is_addressed", a_service_is_named),
            case("while_the_api_is_away_names_stay", while_the_api_is_away),
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
    std::fs::create_dir_all(&directory)?;
    let api = api(&site, &web, &proxy)?;
    let options = [
        format!("--cri-socket={}", pods.socket().display()),
        format!("--kubeconfig={}", api.kubeconfig(&directory)?.display()),
        "--node-name=n1".to_owned(),
        format!("--network=office={OFFICE}"),
    ];
    let options: Vec<_> = options.iter().map(String::as_str).collect();
    let agent = Agent::start(&site.node(), &directory, &directory.join("no-docker.sock"), &options)?;
    let scene = Scene { agent, api: Mutex::new(api), web, db, proxy, runtime: Mutex::new(pods), site };
    until("the pods' names", Duration::from_secs(10), || scene.agent.endpoint(&id(&scene.web)))?;
    Ok(scene)
}

/// Another node, a pod of it behind a Service, its pods' network, and a network with a name: all beyond the uplink.
const OTHER_NODE: &str = "203.0.113.20";
const OTHER_POD: &str = "203.0.113.30";
const OTHER_PODS: &str = "203.0.113.40/29";
const OFFICE: &str = "203.0.113.48/28";
/// The address of the Service in front of `web`.
const SERVICE: &str = "10.96.0.7";

/// What the API says: of the node's pods it knows `web` and `proxy`, and not `db`.
fn api(site: &Site, web: &Pod, proxy: &Pod) -> Result<ApiServer> {
    let api = ApiServer::start(&site.node(), ([127, 0, 0, 1], 6_443).into())?;
    let pod = |pod: &Pod, owner: Value| {
        json!({
            "metadata": {"name": pod.name, "namespace": pod.namespace, "uid": pod.uid, "ownerReferences": owner,
                         "labels": {"pod-template-hash": "6d4cf56db6"}},
            "spec": {"nodeName": "n1", "containers": [], "hostNetwork": pod.address.is_none()},
            "status": {"phase": "Running", "podIP": pod.address},
        })
    };
    let owner = |kind: &str, name: &str| json!([{"apiVersion": "apps/v1", "kind": kind, "name": name, "uid": "o", "controller": true}]);
    api.put("pods", pod(web, owner("ReplicaSet", "web-6d4cf56db6")))?;
    api.put("pods", pod(proxy, owner("DaemonSet", "proxies")))?;
    let node = |name: &str, address: &str, pods: &str| {
        json!({"metadata": {"name": name}, "spec": {"podCIDR": pods},
               "status": {"addresses": [{"type": "InternalIP", "address": address}]}})
    };
    api.put("nodes", node("n1", NODE, "10.88.0.0/24"))?;
    api.put("nodes", node("n2", OTHER_NODE, OTHER_PODS))?;
    api.put(
        "services",
        json!({"metadata": {"name": "web", "namespace": "shop"},
               "spec": {"clusterIP": SERVICE, "ports": [{"port": 80}]}}),
    )?;
    api.put(
        "endpointslices",
        json!({"metadata": {"name": "far-1", "namespace": "shop"}, "addressType": "IPv4", "endpoints": [
            {"addresses": [OTHER_POD], "nodeName": "n2", "targetRef": {"kind": "Pod", "name": "far-0"}},
        ]}),
    )?;
    for address in [OTHER_NODE, OTHER_POD, "203.0.113.41", "203.0.113.50"] {
        site.outside.batch(&format!("addr add {address}/32 dev lo\n"))?;
    }
    let rule = format!("-p tcp -d {SERVICE} --dport 80 -j DNAT --to-destination {}:7080", address(web));
    for chain in ["PREROUTING", "OUTPUT"] {
        site.node().run(&format!("iptables -t nat -A {chain} {rule}"))?;
    }
    Ok(api)
}

fn who_is_elsewhere(scene: &Scene) -> Result<()> {
    let web = id(&scene.web);
    let table = [
        (OTHER_NODE, 7_010, "node/n2", "host", "routed_remote"),
        (OTHER_POD, 7_011, "pod/shop/far-0", "pod", "routed_remote"),
        ("203.0.113.41", 7_012, "pods/n2", "pod", "routed_remote"),
        ("203.0.113.50", 7_013, "external/office", "external", "uplink"),
    ];
    for (address, port, endpoint, kind, path) in table {
        let ends = (&place(&scene.web), &scene.outside());
        let flow = scene.connections(ends, (address, port), (&web, endpoint))?;
        ensure!(flow.destination.kind == kind && flow.path == path, "{}", flow.brief());
        ensure!(flow.reporter == "source", "{}", flow.brief());
    }
    let page = scene.agent.metrics()?;
    let named = page.sum("netobs_workload_bytes_total", &[("destination_workload", "office")]);
    ensure!(named > 0.0, "no workload office");
    Ok(())
}

fn a_service_is_named(scene: &Scene) -> Result<()> {
    let listener = traffic::tcp_server(&place(&scene.web), "0.0.0.0:7080")?;
    let target = format!("{SERVICE}:80");
    let client = place(&scene.db);
    let (interval, ports) =
        Interval::around(&scene.agent, || traffic::connect(&client, &target, CONNECTIONS, BYTES))?;
    drop(listener);
    interval.must_be_exact()?;
    let answer = scene.agent.query(&["flows", "--endpoint", "service/shop/web"])?;
    let flows = answer["flows"].as_array().context("no flows")?;
    for port in ports {
        let flow = flows.iter().find(|flow| flow["source"]["port"] == port);
        let flow = flow.with_context(|| format!("no flow from port {port} to the service"))?;
        ensure!(flow["original_destination"]["service"] == "shop/web", "{flow}");
        ensure!(flow["via"] == "cluster_ip" && flow["nat"] == "dnat", "{flow}");
        ensure!(flow["destination"]["endpoint"] == id(&scene.web), "{flow}");
    }
    Ok(())
}

fn while_the_api_is_away(scene: &Scene) -> Result<()> {
    let mut api = scene.api.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
    until("the API to be ready", BACK_WITHIN, || scene.agent.source_is("kubernetes_api", &["ready"]))?;
    api.stop()?;
    until("the agent to miss the API", Duration::from_secs(10), || {
        scene.agent.source_is("kubernetes_api", &["failing"])
    })?;
    // Counters go on and names stay, here and elsewhere; a new pod goes by the next best name.
    let web = id(&scene.web);
    // The agent's own tries travel over the very `lo` that is observed, so there is no quiet moment for exact books.
    let carried = || {
        Ok::<_, anyhow::Error>(
            scene.agent.metrics()?.sum("netobs_path_bytes_total", &[("path", "routed_remote")]),
        )
    };
    let before = carried()?;
    let server = traffic::tcp_server(&scene.outside(), "0.0.0.0:7014")?;
    let ports = traffic::connect(&place(&scene.web), &format!("{OTHER_NODE}:7014"), CONNECTIONS, BYTES)?;
    drop(server);
    until("the flows' names and bytes", Duration::from_secs(5), || {
        let flows = scene.agent.flows()?;
        for port in &ports {
            let flow = flows::only(&flows, "the flow", |flow| {
                flow.source.port == Some(*port) && flow.destination.port == Some(7_014)
            })?;
            let ends = (flow.source.endpoint.as_deref(), flow.destination.endpoint.as_deref());
            ensure!(ends == (Some(web.as_str()), Some("node/n2")), "{}", flow.brief());
        }
        let grown = carried()? - before;
        ensure!(grown >= (CONNECTIONS as usize * BYTES) as f64, "grown by {grown}");
        Ok(())
    })?;
    let runtime = scene.runtime.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
    let pod = runtime.run(&spec("meanwhile", false, &["main"]))?;
    until("the new pod's name", NAMED_WITHIN, || scene.agent.endpoint(&id(&pod)))?;
    ensure!(scene.agent.endpoint(&id(&pod))?["provenance"][0] == "cri");
    let mut doctor = netobs_tests::agent::command(&scene.site.node(), &["doctor"])?;
    let kubeconfig = scene.site.directory().join("agent/kubeconfig");
    let told = process::finish(doctor.env("NETOBS_KUBECONFIG", kubeconfig), process::SHORT)?.stdout;
    ensure!(told.lines().any(|line| line.starts_with("kubernetes_api ") && !line.contains(" ok ")), "{told}");
    api.start_again()?;
    until("the API to be ready again", BACK_WITHIN, || scene.agent.source_is("kubernetes_api", &["ready"]))?;
    api.put(
        "pods",
        json!({"metadata": {"name": pod.name, "namespace": pod.namespace, "uid": pod.uid},
               "spec": {"nodeName": "n1", "containers": []}, "status": {"phase": "Running"}}),
    )?;
    let log = scene.agent.log();
    let said = log.matches("the Kubernetes API does not answer").count();
    ensure!(said == 1 && !log.contains("ERROR"), "said {said} times:\n{log}");
    until("the API's word for the pod", BACK_WITHIN, || {
        ensure!(
            scene.agent.endpoint(&id(&pod))?["provenance"][0] == "kubernetes_api",
            "{}",
            scene.agent.endpoint(&id(&pod))?
        );
        Ok(())
    })?;
    runtime.kubelet()?.remove(&pod.sandbox)
}

fn id(pod: &Pod) -> String {
    format!("pod/{}/{}", pod.namespace, pod.name)
}

impl Scene {
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
        [(&scene.web, Some("web"), "cni"), (&scene.db, None, "cni"), (&scene.proxy, Some("proxies"), "host")]
    {
        let first = if pod.name == scene.db.name { "cri" } else { "kubernetes_api" };
        let found = scene.agent.endpoint(&id(pod))?;
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
        ensure!(found["provenance"][0] == first, "{found}");
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
    until("the new pod's name", NAMED_WITHIN, || scene.agent.endpoint(&id(&pod)))?;
    runtime.kubelet()?.remove(&pod.sandbox)?;
    until("the end of the old pod", NAMED_WITHIN, || {
        ensure!(scene.agent.endpoint(&id(&pod)).is_err(), "{} is still listed", id(&pod));
        Ok(())
    })
}

fn while_the_runtime_is_away(scene: &Scene) -> Result<()> {
    let (web, db) = (id(&scene.web), id(&scene.db));
    let mut runtime = scene.runtime.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
    scene.agent.source_is("cri", &["ready"])?;
    runtime.stop()?;
    until("the agent to miss the runtime", Duration::from_secs(10), || {
        scene.agent.source_is("cri", &["failing", "absent"])
    })?;
    // Counters go on, and names stay.
    let ends = (&place(&scene.web), &place(&scene.db));
    scene.connections(ends, (address(&scene.db), 7_009), (&web, &db))?;
    let mut doctor = netobs_tests::agent::command(&scene.site.node(), &["doctor"])?;
    let told = process::finish(doctor.env("NETOBS_CRI_SOCKET", runtime.socket()), process::SHORT)?.stdout;
    ensure!(told.lines().any(|line| line.starts_with("cri ") && !line.contains(" ok ")), "{told}");
    runtime.start_again()?;
    until("the runtime to be ready again", BACK_WITHIN, || scene.agent.source_is("cri", &["ready"]))?;
    let pod = runtime.run(&spec("later", false, &["main"]))?;
    until("the later pod's name", NAMED_WITHIN, || scene.agent.endpoint(&id(&pod)))?;
    runtime.kubelet()?.remove(&pod.sandbox)?;
    Ok(())
}
