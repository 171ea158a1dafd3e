//! Who talks to whom on the node: each kind with each, both ways, and what the agent makes of it.

use anyhow::{Context, Result, bail};
use netobs_tests::{
    docker_site::{DockerSite, PLAIN, PUBLISHED, WEB},
    flows::Flow,
    interval::Interval,
    machine::Console,
    other_node,
    place::Place,
    site::{NODE, SERVER},
    traffic::{self, Server},
};

use crate::{LAN, Scene, place};

/// Who opens connections.
enum Client<'a> {
    Place(Place<'a>),
    Machine(&'a Console),
}

impl Client<'_> {
    fn connect(&self, target: &str) -> Result<Vec<u16>> {
        match self {
            Self::Place(place) => traffic::connect(place, target, 5, 10_000),
            Self::Machine(console) => {
                let line = format!("/bin/traffic tcp-connect {target} --count 5 --bytes 10000");
                console.run(&line)?.split_whitespace().map(|port| Ok(port.parse()?)).collect()
            }
        }
    }
}

/// One communication: who, to which address and port, whom it is, and by which way.
type Row<'a> = (&'static str, Client<'a>, String, &'static str, &'static str);

/// Connections that were opened.
pub(crate) struct Sent {
    pub(crate) source: &'static str,
    pub(crate) ports: Vec<u16>,
    pub(crate) target: String,
    pub(crate) destination: &'static str,
    pub(crate) path: &'static str,
}

impl Sent {
    /// Kinds of both sides, and the way.
    pub(crate) fn key(&self) -> (&'static str, &'static str, &'static str) {
        (kind(self.source), kind(self.destination), self.path)
    }
}

fn kind(endpoint: &'static str) -> &'static str {
    match endpoint.split('/').next().unwrap_or_default() {
        "pods" => "pod",
        kind => kind,
    }
}

/// Everybody who answers, for as long as it is held. One server each, on a port of its own wherever the address is the
/// host's too.
struct Servers<'a> {
    _servers: Vec<Server>,
    machine: &'a Console,
}

impl<'a> Servers<'a> {
    fn start(scene: &'a Scene, site: &DockerSite) -> Result<Self> {
        let listen = |place: &Place, port: u16| traffic::tcp_server(place, &format!("0.0.0.0:{port}"));
        let servers = vec![
            listen(&site.node(), 7_001)?,
            listen(&site.place(WEB)?, 7_002)?,
            listen(&place(&scene.back), 7_003)?,
            listen(&site.outside(), 7_005)?,
            listen(&site.place(PLAIN)?, 7_006)?,
            listen(&Place::Stack(scene.other.stack()), 7_007)?,
            listen(&site.place(PUBLISHED)?, 80)?,
        ];
        scene.ledger.run("(/bin/traffic tcp-serve 0.0.0.0:7004 >/dev/null 2>&1 &) ; sleep 1")?;
        Ok(Self { _servers: servers, machine: &scene.ledger })
    }
}

impl Drop for Servers<'_> {
    fn drop(&mut self) {
        if let Err(error) = self.machine.run("killall traffic") {
            eprintln!("{error:#}");
        }
    }
}

fn rows<'a>(scene: &'a Scene, site: &'a DockerSite) -> Result<Vec<Row<'a>>> {
    let (host, outside) = (|| Client::Place(site.node()), || Client::Place(site.outside()));
    let container = |name: &'static str| anyhow::Ok(Client::Place(site.place(name)?));
    let (web, lan) = (|| container(WEB), || container(LAN));
    let machine = || Client::Machine(&scene.mail.console);
    let front = || Client::Place(place(&scene.front));
    let far = || Client::Place(Place::Stack(scene.other.stack()));
    let at = |address: &str, port: u16| format!("{address}:{port}");
    let (web_at, plain_at) = (at(&site.address(WEB)?, 7_002), at(&site.address(PLAIN)?, 7_006));
    let back_at = at(scene.back.address.as_deref().context("no address")?, 7_003);
    let (ledger_at, outside_at) = (at("10.21.0.14", 7_004), at(SERVER, 7_005));
    let (front_is, back_is, far_is) = ("pod/shop/front", "pod/shop/back", "pods/n2");
    Ok(vec![
        ("host", host(), web_at.clone(), "container/web", "host_direct"),
        ("container/web", web()?, at("10.77.0.1", 7_001), "host", "host_direct"),
        ("host", host(), back_at.clone(), back_is, "host_direct"),
        (front_is, front(), at("10.88.0.1", 7_001), "host", "host_direct"),
        ("host", host(), ledger_at.clone(), "vm/ledger", "host_direct"),
        ("vm/mail", machine(), at("10.21.0.1", 7_001), "host", "host_direct"),
        ("container/web", web()?, plain_at, "container/plain", "bridge"),
        ("container/web", web()?, back_at.clone(), back_is, "routed_local"),
        (front_is, front(), web_at.clone(), "container/web", "routed_local"),
        (front_is, front(), back_at.clone(), back_is, "bridge"),
        (front_is, front(), at(other_node::POD, 7_007), far_is, "overlay"),
        (far_is, far(), back_at.clone(), back_is, "overlay"),
        ("vm/mail", machine(), back_at.clone(), back_is, "routed_local"),
        (front_is, front(), ledger_at.clone(), "vm/ledger", "routed_local"),
        ("vm/mail", machine(), web_at, "container/web", "routed_local"),
        ("container/web", web()?, ledger_at.clone(), "vm/ledger", "routed_local"),
        ("vm/mail", machine(), ledger_at.clone(), "vm/ledger", "bridge"),
        ("container/web", web()?, outside_at.clone(), "external", "uplink"),
        (front_is, front(), outside_at.clone(), "external", "uplink"),
        ("vm/mail", machine(), outside_at.clone(), "external", "uplink"),
        ("container/lan", lan()?, outside_at, "external", "macvlan"),
        ("external", outside(), at(NODE, 8_080), "container/published", "uplink"),
        ("external", outside(), back_at, back_is, "uplink"),
        ("external", outside(), ledger_at, "vm/ledger", "uplink"),
    ])
}

/// All of them, one after the other.
pub(crate) fn happen(scene: &Scene, site: &DockerSite) -> Result<Vec<Sent>> {
    let _servers = Servers::start(scene, site)?;
    connect(scene, site)
}

fn connect(scene: &Scene, site: &DockerSite) -> Result<Vec<Sent>> {
    let open = |(source, client, target, destination, path): Row<'_>| {
        let ports =
            client.connect(&target).with_context(|| format!("{source} to {destination} at {target}"))?;
        anyhow::Ok(Sent { source, ports, target, destination, path })
    };
    let mut rows = rows(scene, site)?;
    // A guest without hardware support takes seconds for what others do at once, and what is over is listed for thirty:
    // the slow ones first, so that all are listed at the end.
    rows.sort_by_key(|(_, client, ..)| !matches!(client, Client::Machine(_)));
    rows.into_iter().map(open).collect()
}

pub(crate) fn have_both_names(scene: &Scene) -> Result<()> {
    let site = &*scene.site();
    let servers = Servers::start(scene, site)?;
    let (interval, sent) = Interval::around(&scene.agent, || connect(scene, site))?;
    drop(servers);
    interval.must_be_exact()?;
    let mut wrong = Vec::new();
    for one in &sent {
        let Sent { source, ports, target, destination, path } = one;
        for port in ports {
            let of_it = |flow: &&Flow| flow.source.port == Some(*port) && flow.addressed() == *target;
            let found: Vec<&Flow> = interval.flows().iter().filter(of_it).collect();
            let is = |flow: &Flow, source: &str, destination: &str, path: &str| {
                let ends = (flow.source.endpoint.as_deref(), flow.destination.endpoint.as_deref());
                ends == (Some(source), Some(destination)) && flow.path == path
            };
            let named = found.iter().filter(|flow| is(flow, source, destination, path)).count();
            // Two sources may happen on the same port; then each has its own flow.
            let anothers = |flow: &&&Flow| {
                sent.iter().any(|other| {
                    other.ports.contains(port)
                        && other.target == *target
                        && other.source != *source
                        && is(flow, other.source, other.destination, other.path)
                })
            };
            if named + found.iter().filter(anothers).count() != found.len() || named != 1 {
                let briefs: Vec<_> = found.iter().map(|flow| flow.brief()).collect();
                wrong.push(format!("{source} → {destination} by {path} at {target} from {port}: {briefs:?}"));
                break;
            }
        }
    }
    if wrong.is_empty() { Ok(()) } else { bail!("{}", wrong.join("\n")) }
}
