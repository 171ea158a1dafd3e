//! Real virtual machines on taps: behind NAT, on the network of the uplink, and on a bridge that leads nowhere; by
//! hand and by libvirt. Their names, modes and traffic.

use std::{process::ExitCode, time::Duration};

use anyhow::{Context, Result, ensure};
use netobs_tests::{
    agent::Agent,
    endpoint,
    flows::{self, Flow},
    interval::Interval,
    libvirt::Libvirt,
    machine::{Card, Console, Machine},
    machine_image::MachineImage,
    place::Place,
    process::{own_program, until},
    require::{MACHINES, TRAFFIC},
    site::{NODE, ROUTER, SERVER, Site, UPLINK},
    suite::{self, Case},
    traffic,
};

/// Behind the node's address, by hand; its second card is on the bridge that leads nowhere.
const MAIL: &str = "vm/mail";
/// On the network of the uplink.
const FILES: &str = "vm/files";
/// Made by libvirt, behind the node's address.
const LEDGER: &str = "vm/ledger";

const MAIL_UUID: &str = "1b4e28ba-2fa1-11d2-883f-0016d3cca427";
const FILES_UUID: &str = "2b4e28ba-2fa1-11d2-883f-0016d3cca427";
const LEDGER_UUID: &str = "3b4e28ba-2fa1-11d2-883f-0016d3cca427";

const MAIL_CARDS: [Card; 2] = [
    Card { tap: "tap-mail", mac: 0x11, address: "10.21.0.11/24", gateway: Some("10.21.0.1") },
    Card { tap: "tap-aside", mac: 0x12, address: "10.22.0.12/24", gateway: None },
];
const FILES_CARD: Card =
    Card { tap: "tap-files", mac: 0x13, address: "198.51.100.13/24", gateway: Some(ROUTER) };
const LEDGER_CARD: Card =
    Card { tap: "tap-ledger", mac: 0x14, address: "10.21.0.14/24", gateway: Some("10.21.0.1") };

const BYTES: usize = 20_000;
const CONNECTIONS: u32 = 10;

/// Fields go in this order: the agent before what it observes.
struct Scene {
    agent: Agent,
    mail: Machine,
    files: Machine,
    ledger: Console,
    _libvirt: Libvirt,
    image: MachineImage,
    site: Site,
}

type Check = fn(&Scene) -> Result<()>;

fn main() -> ExitCode {
    let case = |name, check| Case { name, check };
    suite::run(
        &[TRAFFIC, MACHINES],
        scene,
        vec![
            case("every_machine_is_listed_once_as_it_is", every_machine_is_listed as Check),
            case("behind_nat_to_the_outside", behind_nat_to_the_outside),
            case("bridged_to_the_outside_and_back", bridged_to_the_outside),
            case("a_machine_and_the_host", a_machine_and_the_host),
            case("a_machine_and_another", a_machine_and_another),
            case("a_hostile_name_comes_out_harmless", a_hostile_name),
            case("a_tap_that_outlives_its_machine_is_the_next_ones", a_tap_that_outlives_its_machine),
        ],
    )
}

fn scene() -> Result<Scene> {
    let site = Site::new()?;
    site.node.sysctl("net/netfilter/nf_conntrack_acct", "1")?;
    let node = site.node();
    endpoint::bridge(&node, "br-nat", "10.21.0.1/24")?;
    endpoint::bridge(&node, "br-aside", "10.22.0.1/24")?;
    // The uplink becomes a port of the bridge that has the node's address, as on a host for bridged machines.
    endpoint::bridge(&node, "br-lan", &format!("{NODE}/24"))?;
    node.batch(&format!(
        "addr flush dev {UPLINK}\nlink set {UPLINK} master br-lan\nroute replace default via {ROUTER} dev br-lan\n"
    ))?;
    for (tap, bridge) in [("tap-mail", "br-nat"), ("tap-aside", "br-aside"), ("tap-files", "br-lan")] {
        node.run(&format!("ip tuntap add {tap} mode tap"))?;
        node.batch(&format!("link set {tap} master {bridge}\nlink set {tap} up\n"))?;
    }
    node.run("iptables -t nat -A POSTROUTING -s 10.21.0.0/24 ! -d 10.21.0.0/24 -j MASQUERADE")?;
    let directory = site.directory().join("machines");
    std::fs::create_dir_all(&directory)?;
    let image = MachineImage::build(&directory, &[own_program("traffic")?])?;
    let mut libvirt = Libvirt::start(&node, &directory.join("libvirt"))?;
    let mail = Machine::start(&node, &directory, &image, "mail", MAIL_UUID, &MAIL_CARDS)?;
    let files = Machine::start(&node, &directory, &image, "files", FILES_UUID, &[FILES_CARD])?;
    libvirt.wait()?;
    let ledger = libvirt.create(&image, "ledger", LEDGER_UUID, "br-nat", &LEDGER_CARD)?;
    mail.wait()?;
    files.wait()?;
    ledger.wait()?;
    let own = site.directory().join("agent");
    let status = format!("--libvirt-dir={}", libvirt.status_directory().display());
    let agent = Agent::start(&node, &own, &own.join("no-docker.sock"), &[&status])?;
    let scene = Scene { agent, mail, files, ledger, _libvirt: libvirt, image, site };
    until("the machines' names", Duration::from_secs(10), || scene.agent.endpoint(LEDGER))?;
    Ok(scene)
}

impl Scene {
    fn host(&self) -> Place<'static> {
        Place::Stack(self.site.node())
    }

    fn outside(&self) -> Place<'static> {
        Place::Stack(self.site.outside())
    }

    /// Connections from a machine to a server, each a flow between these two; all numbers agree.
    fn machine_connects(
        &self,
        machine: &Console,
        target: &str,
        (source, destination): (&str, &str),
    ) -> Result<Flow> {
        let line = format!("/bin/traffic tcp-connect {target} --count {CONNECTIONS} --bytes {BYTES}");
        let (interval, ports) = Interval::around(&self.agent, || machine.run(&line))?;
        let ports = ports.split_whitespace().map(str::parse).collect::<Result<Vec<u16>, _>>()?;
        self.judge(&interval, &ports, target, (source, destination))
    }

    /// The same from a place of the node or beyond it to a server in a machine.
    fn connects_to_machine(
        &self,
        place: &Place,
        (machine, address, port): (&Console, &str, u16),
        (source, destination): (&str, &str),
    ) -> Result<Flow> {
        machine.run(&format!("(/bin/traffic tcp-serve 0.0.0.0:{port} >/dev/null 2>&1 &) ; sleep 1"))?;
        let target = format!("{address}:{port}");
        let (interval, ports) =
            Interval::around(&self.agent, || traffic::connect(place, &target, CONNECTIONS, BYTES))?;
        machine.run("killall traffic")?;
        self.judge(&interval, &ports, &target, (source, destination))
    }

    fn judge(
        &self,
        interval: &Interval,
        ports: &[u16],
        target: &str,
        (source, destination): (&str, &str),
    ) -> Result<Flow> {
        ensure!(ports.len() == CONNECTIONS as usize, "{ports:?}");
        interval.must_be_exact()?;
        let mut last = None;
        for port in ports {
            let what = format!("the flow from port {port} to {target}");
            let of_it = |flow: &Flow| flow.source.port == Some(*port) && flow.addressed() == target;
            let flow = flows::only(interval.flows(), &what, of_it)?;
            let ends = (flow.source.endpoint.as_deref(), flow.destination.endpoint.as_deref());
            ensure!(ends == (Some(source), Some(destination)), "{}", flow.brief());
            last = Some(flow.clone());
        }
        last.context("no connection")
    }
}

fn every_machine_is_listed(scene: &Scene) -> Result<()> {
    // Nobody has asked them anything: what they send is all there is of some addresses.
    scene.mail.console.run("ping -c 1 -W 1 10.21.0.99; ping -c 1 -W 1 10.22.0.99; true")?;
    scene.ledger.run("ping -c 1 -W 1 10.21.0.99; true")?;
    scene.files.console.run("ping -c 1 -W 1 198.51.100.99; true")?;
    let expected = [
        (MAIL, "nat", MAIL_UUID, &MAIL_CARDS[..], ["nat", "host-only"].as_slice(), "qemu_process"),
        (FILES, "bridge", FILES_UUID, &[FILES_CARD][..], &["bridge"], "qemu_process"),
        (LEDGER, "nat", LEDGER_UUID, &[LEDGER_CARD][..], &["nat"], "libvirt"),
    ];
    until("addresses of all machines", Duration::from_secs(5), || {
        let document = scene.agent.query(&["endpoints"])?;
        let list = document["endpoints"].as_array().context("no endpoints")?;
        let mut ids: Vec<_> = list.iter().filter_map(|one| one["id"].as_str()).collect();
        ids.sort_unstable();
        ensure!(ids == ["host", FILES, LEDGER, MAIL], "{ids:?}");
        for (id, mode, uuid, cards, modes, first) in &expected {
            let found = scene.agent.endpoint(id)?;
            ensure!(found["kind"] == "vm" && found["mode"] == *mode, "{found}");
            ensure!(found["uid"] == *uuid && found["runtime"] == "qemu", "{found}");
            ensure!(found["provenance"][0] == *first, "{found}");
            let interfaces = found["interfaces"].as_array().context("no interfaces")?;
            ensure!(interfaces.len() == cards.len(), "{found}");
            for ((interface, card), mode) in interfaces.iter().zip(*cards).zip(*modes) {
                ensure!(interface["name"] == card.tap && interface["mode"] == *mode, "{found}");
                ensure!(interface["mac"] == card.mac(), "{found}");
                let address = card.address.split('/').next().context("no address")?;
                let addresses = interface["addresses"].as_array().context("no addresses")?;
                ensure!(addresses.iter().any(|one| *one == address), "{address} is not in {found}");
            }
        }
        Ok(())
    })
}

fn behind_nat_to_the_outside(scene: &Scene) -> Result<()> {
    for (console, id, port) in [(&scene.mail.console, MAIL, 7_001), (&scene.ledger, LEDGER, 7_002)] {
        let server = traffic::tcp_server(&scene.outside(), &format!("0.0.0.0:{port}"))?;
        let flow = scene.machine_connects(console, &format!("{SERVER}:{port}"), (id, "external"))?;
        drop(server);
        ensure!((flow.path.as_str(), flow.nat.as_str()) == ("uplink", "snat"), "{}", flow.brief());
    }
    Ok(())
}

fn bridged_to_the_outside(scene: &Scene) -> Result<()> {
    let server = traffic::tcp_server(&scene.outside(), "0.0.0.0:7003")?;
    let flow =
        scene.machine_connects(&scene.files.console, &format!("{SERVER}:7003"), (FILES, "external"))?;
    drop(server);
    ensure!((flow.path.as_str(), flow.nat.as_str()) == ("uplink", "none"), "{}", flow.brief());
    let to = (&scene.files.console, "198.51.100.13", 7_004);
    let flow = scene.connects_to_machine(&scene.outside(), to, ("external", FILES))?;
    ensure!((flow.path.as_str(), flow.nat.as_str()) == ("uplink", "none"), "{}", flow.brief());
    Ok(())
}

fn a_machine_and_the_host(scene: &Scene) -> Result<()> {
    let server = traffic::tcp_server(&scene.host(), "0.0.0.0:7005")?;
    let flow = scene.machine_connects(&scene.mail.console, "10.22.0.1:7005", (MAIL, "host"))?;
    ensure!(flow.path == "host_direct", "{}", flow.brief());
    drop(server);
    let to = (&scene.ledger, "10.21.0.14", 7_006);
    let flow = scene.connects_to_machine(&scene.host(), to, ("host", LEDGER))?;
    ensure!(flow.path == "host_direct", "{}", flow.brief());
    Ok(())
}

fn a_machine_and_another(scene: &Scene) -> Result<()> {
    scene.ledger.run("(/bin/traffic tcp-serve 0.0.0.0:7007 >/dev/null 2>&1 &) ; sleep 1")?;
    let flow = scene.machine_connects(&scene.mail.console, "10.21.0.14:7007", (MAIL, LEDGER))?;
    scene.ledger.run("killall traffic")?;
    ensure!((flow.path.as_str(), flow.nat.as_str()) == ("bridge", "none"), "{}", flow.brief());
    Ok(())
}

fn a_tap_that_outlives_its_machine(scene: &Scene) -> Result<()> {
    let node = scene.site.node();
    node.run("ip tuntap add tap-turns mode tap")?;
    node.batch("link set tap-turns master br-aside\nlink set tap-turns up\n")?;
    let card = Card { tap: "tap-turns", mac: 0x21, address: "10.22.0.21/24", gateway: None };
    let directory = scene.site.directory().join("machines");
    for (name, uuid) in [
        ("first", "4b4e28ba-2fa1-11d2-883f-0016d3cca427"),
        ("second", "5b4e28ba-2fa1-11d2-883f-0016d3cca427"),
    ] {
        let cards = std::slice::from_ref(&card);
        let machine = Machine::start(&node, &directory, &scene.image, name, uuid, cards)?;
        let id = format!("vm/{name}");
        until("the machine's name", Duration::from_secs(2), || scene.agent.endpoint(&id))?;
        machine.wait()?;
        machine.console.run("ping -c 3 -W 5 10.22.0.1")?;
        ensure!(scene.agent.endpoint(&id)?["uid"] == uuid, "{}", scene.agent.endpoint(&id)?);
        drop(machine);
        until("the end of the machine", Duration::from_secs(2), || {
            ensure!(scene.agent.endpoint(&id).is_err(), "{id} is still listed");
            Ok(())
        })?;
    }
    Ok(())
}

/// A title for the terminal, a text turned round, a quotation mark that would end a label.
fn a_hostile_name(scene: &Scene) -> Result<()> {
    const NAME: &str = "evil\u{1b}]0;root\u{7}\u{202e}\"} 1 x";
    let node = scene.site.node();
    node.run("ip tuntap add tap-evil mode tap")?;
    node.batch("link set tap-evil master br-aside\nlink set tap-evil up\n")?;
    let card = Card { tap: "tap-evil", mac: 0x22, address: "10.22.0.22/24", gateway: None };
    let directory = scene.site.directory().join("machines");
    let uuid = "6b4e28ba-2fa1-11d2-883f-0016d3cca427";
    let machine = Machine::start(&node, &directory, &scene.image, NAME, uuid, std::slice::from_ref(&card))?;
    let found = until("the machine", Duration::from_secs(2), || {
        let document = scene.agent.query(&["endpoints"])?;
        let list = document["endpoints"].as_array().context("no endpoints")?;
        list.iter().find(|one| one["uid"] == uuid).cloned().context("not there yet")
    })?;
    ensure!(found["name"] == "evil?]0;root??\"} 1 x", "{found}");
    machine.wait()?;
    machine.console.run("ping -c 3 -W 5 10.22.0.1")?;
    let mut outputs = vec![scene.agent.get("/metrics")?.body];
    for words in [
        &["endpoints"][..],
        &["endpoints", "-o", "json"],
        &["flows"],
        &["flows", "-o", "json"],
        &["top", "--once"],
    ] {
        outputs.push(scene.agent.client(words)?.stdout);
    }
    for text in &outputs {
        let harmful = text.chars().find(|one| (one.is_control() && *one != '\n') || *one == '\u{202e}');
        ensure!(harmful.is_none(), "{harmful:?} in {text}");
    }
    ensure!(outputs.iter().filter(|text| text.contains("evil")).count() >= 4, "the name is nowhere");
    let page = scene.agent.metrics()?;
    let named =
        page.samples.iter().any(|sample| sample.labels.values().any(|value| value.contains("\"} 1 x")));
    ensure!(named, "no metric has the name");
    Ok(())
}
