//! Devices that this machine's kernel may lack, in a virtual machine with another one: Geneve, IPIP, GRE, GRETAP, SIT,
//! VXLAN, VLAN and WireGuard between two stacks, an agent in one of them, and each conversation one flow with its
//! tunnel.

use std::{collections::BTreeMap, path::PathBuf, process::ExitCode, time::Duration};

use anyhow::{Context, Result, ensure};
use netobs_tests::{
    agent,
    flows::{self, Flow},
    machine::Machine,
    machine_image::MachineImage,
    netns::Stack,
    process::{command, own_program, run, until},
    require::{NEWER_MACHINES, find},
    suite::{self, Case},
};
use serde_json::Value;

fn main() -> ExitCode {
    let case = |name, check| Case { name, check };
    suite::run(
        &[NEWER_MACHINES],
        Scene::new,
        vec![
            case("each_tunnel_is_one_flow_with_what_is_around_it", tunnels as fn(&Scene) -> Result<()>),
            case("wireguard_is_recognised_by_its_device", wireguard),
            case("a_vlan_device_and_its_trunk_are_two_hops_of_one_flow", vlan),
            case("every_packet_of_every_device_is_in_a_flow_or_skipped", every_packet),
        ],
    )
}

/// A device on both sides, its addresses, and what a flow through it says.
struct Tunnel {
    device: &'static str,
    /// What follows `link add DEVICE`, with the other side's address for `FAR` and one's own for `OWN`.
    made: &'static str,
    network: u8,
    kind: &'static str,
    vni: Option<u64>,
    v6: bool,
}

const TUNNELS: [Tunnel; 6] = [
    Tunnel {
        device: "gnv",
        made: "type geneve id 9 remote FAR",
        network: 1,
        kind: "geneve",
        vni: Some(9),
        v6: false,
    },
    Tunnel {
        device: "ipt",
        made: "type ipip remote FAR local OWN",
        network: 2,
        kind: "ipip",
        vni: None,
        v6: false,
    },
    Tunnel {
        device: "grt",
        made: "type gre remote FAR local OWN",
        network: 3,
        kind: "gre",
        vni: None,
        v6: false,
    },
    Tunnel {
        device: "gtp",
        made: "type gretap remote FAR local OWN key 77",
        network: 4,
        kind: "gre",
        vni: Some(77),
        v6: false,
    },
    Tunnel {
        device: "six",
        made: "type sit remote FAR local OWN",
        network: 5,
        kind: "ipip",
        vni: None,
        v6: true,
    },
    Tunnel {
        device: "vxl",
        made: "type vxlan id 100 remote FAR local OWN dstport 4789",
        network: 6,
        kind: "vxlan",
        vni: Some(100),
        v6: false,
    },
];

const OWN: &str = "198.51.100.2";
const FAR: &str = "198.51.100.3";
const WIREGUARD_PORT: u16 = 51_820;
const BEHIND_WIREGUARD: &str = "10.9.8.3:7000";
/// In the order of their dependencies.
const MODULES: &str = "llc stp garp mrp 8021q veth udp_tunnel ip6_udp_tunnel ip_tunnel tunnel4 ipip gre ip_gre sit \
                       vxlan geneve libcurve25519-generic curve25519-x86_64 libchacha chacha-x86_64 poly1305-x86_64 \
                       libchacha20poly1305 wireguard";

impl Tunnel {
    fn address(&self, last: u8) -> String {
        if self.v6 {
            format!("2001:db8:{}::{last}", self.network)
        } else {
            format!("10.9.{}.{last}", self.network)
        }
    }

    fn prefix(&self, last: u8) -> String {
        format!("{}/{}", self.address(last), if self.v6 { 64 } else { 24 })
    }

    fn made(&self, own: &str, far: &str) -> String {
        self.made.replace("OWN", own).replace("FAR", far)
    }

    fn target(&self) -> String {
        if self.v6 { format!("[{}]:7000", self.address(3)) } else { format!("{}:7000", self.address(3)) }
    }
}

/// The machine; its files go with it.
struct Scene {
    machine: Machine,
    _files: tempfile::TempDir,
}

impl Scene {
    fn new() -> Result<Self> {
        let files = tempfile::tempdir()?;
        let wg = find("wg").context("wg is not installed")?;
        let programs = vec![slim(agent::program()?, &files)?, own_program("traffic")?, iproute(&files)?, wg];
        let image = MachineImage::newer(files.path(), &programs)?;
        let uuid = "6e65746f-6273-4000-8000-74756e6e656c";
        let machine = Machine::start(&Stack::own(), files.path(), &image, "tunnels", uuid, &[])?;
        machine.wait()?;
        let scene = Self { machine, _files: files };
        scene.stacks()?;
        scene.agent()?;
        Ok(scene)
    }

    fn run(&self, line: &str) -> Result<String> {
        self.machine.console.run(line)
    }

    fn far(&self, line: &str) -> Result<String> {
        self.run(&format!("nsenter -t $(cat /tmp/far) -n {line}"))
    }

    /// Two stacks and a cable, on it every device.
    fn stacks(&self) -> Result<()> {
        self.run(&format!("for module in {MODULES}; do insmod /modules/$module.ko; done; true"))?;
        self.run("mount -t tmpfs run /run; (unshare -n sleep 100000 & echo $! >/tmp/far); sleep 1")?;
        for stack in ["", "nsenter -t $(cat /tmp/far) -n "] {
            self.run(&format!("{stack}sh -c 'echo 0 >/proc/sys/net/ipv6/conf/default/accept_dad'; true"))?;
        }
        self.run("iproute2 link add up0 type veth peer name up0 netns $(cat /tmp/far)")?;
        for (far, own, other, last) in [(false, OWN, FAR, 2), (true, FAR, OWN, 3)] {
            let say = |line: &str| if far { self.far(line) } else { self.run(line) };
            say(&format!("iproute2 addr add {own}/24 dev up0"))?;
            say("iproute2 link set up0 up")?;
            say("iproute2 link set lo up")?;
            for tunnel in &TUNNELS {
                let Tunnel { device, .. } = tunnel;
                say(&format!("iproute2 link add {device} {}", tunnel.made(own, other)))?;
                say(&format!("iproute2 addr add {} dev {device}", tunnel.prefix(last)))?;
                // Without fragments of the outer packets: hops on both sides of them are not comparable.
                say(&format!("iproute2 link set {device} mtu 1400 up"))?;
            }
            say("iproute2 link add link up0 name up0.7 type vlan id 7")?;
            say(&format!("iproute2 addr add 10.9.7.{last}/24 dev up0.7"))?;
            say("iproute2 link set up0.7 up")?;
        }
        for stack in ["own", "far"] {
            self.run(&format!(
                "wg genkey >/tmp/{stack}.key && wg pubkey </tmp/{stack}.key >/tmp/{stack}.pub"
            ))?;
        }
        for (far, own, other, address, last) in [(false, "own", "far", FAR, 2), (true, "far", "own", OWN, 3)]
        {
            let say = |line: &str| if far { self.far(line) } else { self.run(line) };
            say("iproute2 link add wgd type wireguard")?;
            say(&format!(
                "wg set wgd listen-port {WIREGUARD_PORT} private-key /tmp/{own}.key peer $(cat /tmp/{other}.pub) \
                 allowed-ips 10.9.8.0/24 endpoint {address}:{WIREGUARD_PORT}"
            ))?;
            say(&format!("iproute2 addr add 10.9.8.{last}/24 dev wgd"))?;
            say("iproute2 link set wgd mtu 1400 up")?;
        }
        self.run(&format!("iproute2 route add default via {FAR}"))?;
        let mut servers: Vec<String> = TUNNELS.iter().map(Tunnel::target).collect();
        servers.extend(["10.9.7.3:7000".into(), BEHIND_WIREGUARD.into()]);
        for server in servers {
            self.far(&format!("traffic tcp-serve {server} >/dev/null 2>&1 &"))?;
        }
        Ok(())
    }

    fn agent(&self) -> Result<()> {
        self.run(
            "netobs agent --socket /run/netobs.sock --docker-socket= --cri-socket= --libvirt-dir= \
             --uplink up0,up0.7 >/tmp/agent.log 2>&1 &",
        )?;
        until("the agent in the machine", Duration::from_secs(90), || {
            self.run("wget -q -O - http://127.0.0.1:9777/readyz")
                .map_err(|error| error.context(self.run("cat /tmp/agent.log").unwrap_or_default()))
        })?;
        Ok(())
    }

    fn query(&self, words: &str) -> Result<Value> {
        let text = self.run(&format!("netobs {words} -o json --agent unix:///run/netobs.sock"))?;
        serde_json::from_str(text.trim()).with_context(|| format!("{text:.300}"))
    }

    /// One connection, and the flow it is.
    fn connect(&self, to: &str) -> Result<(Flow, Value)> {
        let port = self.run(&format!("traffic tcp-connect {to} --bytes 3000"))?;
        let port: u16 = port.trim().parse().with_context(|| port.clone())?;
        until("its flow", Duration::from_secs(20), || {
            let answer = self.query(&format!("flows --port {port} --where protocol=tcp"))?;
            let all = flows::read(&answer)?;
            let flow = flows::only(&all, to, |one| one.source.port == Some(port) && one.reply.packets > 3)?;
            Ok((flow.clone(), answer["flows"][0].clone()))
        })
    }
}

/// The agent without its debug information: the machine holds it in memory.
fn slim(program: PathBuf, files: &tempfile::TempDir) -> Result<PathBuf> {
    let Some(strip) = find("strip") else { return Ok(program) };
    let to = files.path().join("netobs");
    run(command(&strip.display().to_string(), ["-o"]).arg(&to).arg(&program))?;
    Ok(to)
}

/// By another name than busybox's applet has.
fn iproute(files: &tempfile::TempDir) -> Result<PathBuf> {
    let to = files.path().join("iproute2");
    std::fs::copy(find("ip").context("ip is not installed")?, &to)?;
    Ok(to)
}

fn tunnels(scene: &Scene) -> Result<()> {
    for tunnel in &TUNNELS {
        let (flow, raw) = scene.connect(&tunnel.target())?;
        through(tunnel, &flow, &raw).with_context(|| format!("{}: {}", tunnel.device, flow.brief()))?;
    }
    Ok(())
}

fn through(tunnel: &Tunnel, flow: &Flow, raw: &Value) -> Result<()> {
    let Tunnel { device, kind, .. } = tunnel;
    let there = vec![format!("{device} egress"), "up0 egress".to_owned()];
    let back = vec!["up0 ingress".to_owned(), format!("{device} ingress")];
    ensure!(flow.way("forward") == there && flow.way("reply") == back, "another way");
    ensure!((&*flow.path, &*flow.nat, &*flow.verdict) == ("overlay", "none", "reachable"), "another path");
    let overlay = &raw["overlay"];
    ensure!(overlay["type"] == *kind && overlay["vni"].as_u64() == tunnel.vni, "its tunnel is {overlay}");
    ensure!(overlay["outer_source"] == OWN && overlay["outer_destination"] == FAR, "its tunnel is {overlay}");
    let hops = raw["hops"].as_array().context("no hops")?;
    let at = |interface: &'static str| hops.iter().filter(move |hop| hop["interface"] == interface);
    ensure!(at("up0").all(|hop| hop["encapsulation"] == *kind), "{hops:?}");
    ensure!(at(device).all(|hop| hop["encapsulation"].is_null() && hop["role"] == "overlay"), "{hops:?}");
    ensure!(at("up0").any(|hop| hop["source"].to_string().contains(OWN)), "{hops:?}");
    let carried: Vec<_> = flow.hops.iter().filter(|hop| hop.direction == "forward").collect();
    ensure!(carried[0].carried.segments == carried[1].carried.segments, "lost between two hops");
    ensure!(carried[0].carried.bytes < carried[1].carried.bytes, "the tunnel adds nothing");
    // Made here: counted where it is put into the tunnel, or leaves.
    ensure!(flow.forward.packets == carried[0].carried.packets, "counted more than once");
    Ok(())
}

/// Two conversations: what goes into the device, and the datagrams it sends, of which nobody can say what is in them.
fn wireguard(scene: &Scene) -> Result<()> {
    let (flow, raw) = scene.connect(BEHIND_WIREGUARD)?;
    ensure!(
        flow.way("forward") == ["wgd egress"] && flow.way("reply") == ["wgd ingress"],
        "{}",
        flow.brief()
    );
    ensure!((&*flow.path, &*flow.verdict) == ("overlay", "reachable"), "{}", flow.brief());
    let nothing = Value::Null;
    let overlay = &raw["overlay"];
    ensure!(overlay["type"] == "wireguard", "its tunnel is {overlay}");
    let unknown = ["vni", "outer_source", "outer_destination"].map(|field| overlay.get(field));
    ensure!(unknown == [Some(&nothing); 3], "its tunnel is {overlay}");
    let datagrams =
        flows::read(&scene.query(&format!("flows --port {WIREGUARD_PORT} --where protocol=udp"))?)?;
    let outer = flows::only(&datagrams, "the device's datagrams", |_| true)?;
    ensure!(outer.overlay.is_none() && outer.path == "uplink", "{}", outer.brief());
    ensure!(outer.forward.bytes > flow.forward.bytes, "{}", outer.brief());
    Ok(())
}

fn vlan(scene: &Scene) -> Result<()> {
    let (flow, raw) = scene.connect("10.9.7.3:7000")?;
    let there = vec!["up0.7 egress".to_owned(), "up0 egress".to_owned()];
    let back = vec!["up0 ingress".to_owned(), "up0.7 ingress".to_owned()];
    ensure!(flow.way("forward") == there && flow.way("reply") == back, "{}", flow.brief());
    ensure!(raw["overlay"].is_null() && flow.path == "uplink", "{}", flow.brief());
    Ok(())
}

/// Packets received and sent, by the device's own counters.
fn counted(scene: &Scene, device: &str) -> Result<[u64; 2]> {
    let files = format!("cd /sys/class/net/{device}/statistics && cat rx_packets tx_packets");
    let text = scene.run(&files)?;
    let numbers: Vec<u64> = text.split_whitespace().map(str::parse).collect::<Result<_, _>>()?;
    numbers.try_into().map_err(|_| anyhow::anyhow!("{text}"))
}

/// Packets by who says so (a flow, or the skips), device, and whether sent.
type Listed = BTreeMap<(String, String, bool), u64>;

fn listed(scene: &Scene) -> Result<Listed> {
    let status = scene.run("wget -q -O - http://127.0.0.1:9778/api/v1/status")?;
    let status: Value = serde_json::from_str(&status)?;
    let mut found = Listed::new();
    for flow in flows::read(&scene.query("flows")?)? {
        for hop in &flow.hops {
            let key = (flow.id.to_string(), hop.interface.clone(), hop.hook == "egress");
            *found.entry(key).or_default() += hop.carried.packets;
        }
    }
    for one in status["skipped_at"].as_array().context("no skipped_at")? {
        let interface = one["interface"].as_str().context("no interface")?;
        let key = (String::new(), interface.to_owned(), one["hook"] == "egress");
        *found.entry(key).or_default() += one["packets"].as_u64().unwrap_or_default();
    }
    Ok(found)
}

/// How much a device's packets have grown; a flow that is listed no more carried nothing meanwhile.
fn grown(before: &Listed, after: &Listed, device: &str, sent: bool) -> u64 {
    let of_it = after.iter().filter(|((_, interface, out), _)| interface == device && *out == sent);
    of_it.map(|(key, packets)| packets - before.get(key).copied().unwrap_or_default()).sum()
}

fn every_packet(scene: &Scene) -> Result<()> {
    let devices: Vec<&str> = TUNNELS.iter().map(|one| one.device).chain(["up0.7", "up0"]).collect();
    let counters = || devices.iter().map(|device| counted(scene, device)).collect::<Result<Vec<_>>>();
    let quiet = || {
        until("a quiet moment", Duration::from_secs(60), || {
            let before = counters()?;
            std::thread::sleep(Duration::from_millis(3_200));
            let seen = listed(scene)?;
            ensure!(counters()? == before, "packets are under way");
            Ok((before, seen))
        })
    };
    let (before, seen) = quiet()?;
    for tunnel in &TUNNELS {
        scene.run(&format!("traffic tcp-connect {} --count 5 --bytes 20000", tunnel.target()))?;
    }
    scene.run("traffic tcp-connect 10.9.7.3:7000 --count 5 --bytes 20000")?;
    let (after, seen_after) = quiet()?;
    for (at, device) in devices.iter().enumerate() {
        let by_device = [after[at][0] - before[at][0], after[at][1] - before[at][1]];
        let by_agent = [false, true].map(|sent| grown(&seen, &seen_after, device, sent));
        ensure!(
            by_device == by_agent,
            "{device} counted {by_device:?} packets, flows and skips {by_agent:?}"
        );
        ensure!(by_device[0] > 0 && by_device[1] > 0, "{device} carried nothing");
    }
    Ok(())
}
