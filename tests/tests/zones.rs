//! Two bridges of equal addresses, each in a conntrack zone of its own, masqueraded to one address: every connection is
//! its own container's, although conntrack has most of their tuples twice.

use std::{collections::BTreeMap, fs, net::SocketAddr, process::ExitCode};

use anyhow::{Context, Result, bail, ensure};
use netobs_tests::{
    bare::{BRIDGE, Bare, GATEWAY, LEFT, LEFT_VETH},
    endpoint,
    interval::Interval,
    netns::{self, Netns},
    place::Place,
    process::run,
    require::{CLUSTER, TRAFFIC},
    site::{NODE, SERVER, UPLINK},
    suite::{self, Case},
    traffic,
};

/// The second bridge, with the first one's address, and the port of who has the address of [`LEFT`] there.
const TWIN_BRIDGE: &str = "lab1";
const TWIN_VETH: &str = "vtwin";
/// Connections of each, and as many ports to choose from: both choose the same.
const EACH: u32 = 10;
const PORTS: &str = "40000 40009";

fn main() -> ExitCode {
    let case = |name, check| Case { name, check };
    suite::run(
        &[TRAFFIC, CLUSTER],
        Scene::new,
        vec![
            case("zones_by_nft_keep_equal_tuples_apart", nft as fn(&Scene) -> Result<()>),
            case("zones_by_iptables_keep_equal_tuples_apart", iptables),
        ],
    )
}

/// Fields go in this order: who is on the bridges before the node.
struct Scene {
    twin: Netns,
    bare: Bare,
}

impl Scene {
    fn new() -> Result<Self> {
        let bare = Bare::new()?;
        let node = bare.site.node();
        endpoint::bridge(&node, TWIN_BRIDGE, &format!("{GATEWAY}/24"))?;
        let name = netns::unique("twin");
        let address = format!("{LEFT}/24");
        let twin = endpoint::on_bridge(&node, &name, TWIN_VETH, TWIN_BRIDGE, &address, Some(GATEWAY))?;
        // Answers have one address for both, and their connection's mark tells the bridge.
        for (mark, bridge) in [("1", BRIDGE), ("2", TWIN_BRIDGE)] {
            node.run(&format!("ip rule add fwmark {mark} lookup 10{mark}"))?;
            node.batch(&format!("route add 10.79.0.0/24 dev {bridge} table 10{mark}\n"))?;
        }
        for interface in ["all", BRIDGE, TWIN_BRIDGE, UPLINK] {
            node.sysctl(&format!("net/ipv4/conf/{interface}/rp_filter"), "0")?;
        }
        let scene = Self { twin, bare };
        for place in scene.places() {
            place.stack()?.sysctl("net/ipv4/ip_local_port_range", PORTS)?;
        }
        Ok(scene)
    }

    fn places(&self) -> [Place<'static>; 2] {
        [self.bare.left(), Place::Stack(self.twin.stack())]
    }

    fn rules(&self, program: &[&str], text: &str) -> Result<()> {
        let file = tempfile::NamedTempFile::new()?;
        fs::write(file.path(), text)?;
        run(self.bare.site.node().command(program[0], &program[1..]).arg(file.path())).map(drop)
    }
}

fn nft(scene: &Scene) -> Result<()> {
    scene.rules(
        &["nft", "-f"],
        &format!(
            "table ip zones {{\n\
             chain into_zones {{ type filter hook prerouting priority raw;\n\
             iifname {BRIDGE} ct original zone set 1\niifname {TWIN_BRIDGE} ct original zone set 2\n}}\n\
             chain marks {{ type filter hook prerouting priority mangle;\n\
             iifname {BRIDGE} ct mark set 1\niifname {TWIN_BRIDGE} ct mark set 2\n\
             iifname {UPLINK} meta mark set ct mark\n}}\n\
             chain hides {{ type nat hook postrouting priority srcnat;\noifname {UPLINK} masquerade\n}}\n}}\n"
        ),
    )?;
    let told = told_apart(scene, 8_080);
    scene.bare.site.node().run("nft delete table ip zones")?;
    told
}

fn iptables(scene: &Scene) -> Result<()> {
    scene.rules(
        &["iptables-restore"],
        &format!(
            "*raw\n-A PREROUTING -i {BRIDGE} -j CT --zone-orig 1\n\
             -A PREROUTING -i {TWIN_BRIDGE} -j CT --zone-orig 2\nCOMMIT\n\
             *mangle\n-A PREROUTING -i {BRIDGE} -j CONNMARK --set-mark 1\n\
             -A PREROUTING -i {TWIN_BRIDGE} -j CONNMARK --set-mark 2\n\
             -A PREROUTING -i {UPLINK} -j CONNMARK --restore-mark\nCOMMIT\n\
             *nat\n-A POSTROUTING -o {UPLINK} -j MASQUERADE\nCOMMIT\n"
        ),
    )?;
    let told = told_apart(scene, 8_081);
    scene.rules(&["iptables-restore"], "*raw\nCOMMIT\n*mangle\nCOMMIT\n*nat\nCOMMIT\n")?;
    told
}

/// Connections of both at once, each from every port.
fn told_apart(scene: &Scene, port: u16) -> Result<()> {
    let server = Place::Stack(scene.bare.site.outside());
    let _server = traffic::tcp_server(&server, &format!("[::]:{port}"))?;
    let agent = scene.bare.agent(&[])?;
    let target = format!("{SERVER}:{port}");
    let (interval, ports) = Interval::around(&agent, || {
        let [one, other] = std::thread::scope(|scope| {
            let both = scene.places().map(|place| {
                let target = target.clone();
                scope.spawn(move || traffic::connect(&place, &target, EACH, 100))
            });
            both.map(|one| one.join().unwrap_or_else(|_| bail!("a panic")))
        });
        Ok([one?, other?])
    })?;
    let became = tracked(scene, port)?;
    let mut wrong = Vec::new();
    let (veths, bridges) = ([LEFT_VETH, TWIN_VETH], [BRIDGE, TWIN_BRIDGE]);
    for (at, (place, ports)) in scene.places().into_iter().zip(ports).enumerate() {
        let stack = place.stack()?;
        let name = stack.file().file_name().context("no name")?.to_string_lossy();
        let id = format!("netns/{name}");
        for own in ports {
            let became = became.get(&(at + 1, own)).with_context(|| format!("zone {}: no {own}", at + 1))?;
            let way = [
                format!("{} ingress", veths[at]),
                format!("{} ingress", bridges[at]),
                format!("{UPLINK} egress"),
            ];
            let back = [
                format!("{UPLINK} ingress"),
                format!("{} egress", bridges[at]),
                format!("{} egress", veths[at]),
            ];
            let fits = interval.flows().iter().filter(|flow| {
                let sent = flow.hops.iter().find(|hop| hop.role == "uplink" && hop.direction == "forward");
                flow.source.endpoint.as_deref() == Some(&*id)
                    && flow.source.port == Some(own)
                    && flow.destination.address.as_deref() == Some(SERVER)
                    && flow.nat == "snat"
                    && sent.is_some_and(|hop| hop.source == became.to_string())
                    && flow.way("forward") == way
                    && flow.way("reply") == back
            });
            if fits.count() != 1 {
                wrong.push(format!("{id} port {own}, which became {became}"));
            }
        }
    }
    let to_server = |flow: &&netobs_tests::flows::Flow| flow.addressed() == target;
    let listed: Vec<_> = interval.flows().iter().filter(to_server).map(|flow| flow.brief()).collect();
    ensure!(wrong.is_empty(), "not one flow each: {}\n{}", wrong.join("; "), listed.join("\n"));
    ensure!(listed.len() == 2 * EACH as usize, "{} flows to {target}", listed.len());
    ensure!(interval.grown("netobs_conntrack_ambiguous_sightings_total", &[]) == 0);
    interval.must_be_exact()?;
    agent.stop()?;
    Ok(())
}

/// What conntrack says each port of each zone became.
fn tracked(scene: &Scene, port: u16) -> Result<BTreeMap<(usize, u16), SocketAddr>> {
    let table = scene.bare.site.node().run(&format!("conntrack -L -p tcp --orig-port-dst {port}"))?;
    let line = |line: &str| -> Option<((usize, u16), SocketAddr)> {
        let all = |key: &str| -> Vec<&str> {
            line.split_whitespace().filter_map(|word| word.strip_prefix(key)).collect()
        };
        let zone = all("zone-orig=").first()?.parse().ok()?;
        let became = SocketAddr::new(all("dst=").get(1)?.parse().ok()?, all("dport=").get(1)?.parse().ok()?);
        Some(((zone, all("sport=").first()?.parse().ok()?), became))
    };
    let found: BTreeMap<_, _> = table.lines().filter_map(line).collect();
    ensure!(found.values().all(|one| one.ip().to_string() == NODE), "{table}");
    let twice = found.keys().filter(|(zone, own)| *zone == 1 && found.contains_key(&(2, *own))).count();
    ensure!(twice > 0, "no tuple is in both zones: nothing is proved\n{table}");
    Ok(found)
}
