//! A plan → namespaces, bridge, NAT, perhaps a real dockerd, perhaps traffic; and a text that says what there
//! is and how to look at it.

use std::{fs, path::Path};

use anyhow::{Context, Result};

use super::{DEMO_BRIDGE, DEMO_GATEWAY, DIRECTORY, NAMES, down, scene, scene::Actor, state_file};
use crate::{
    dockerd::{Bridge, Docker},
    endpoint,
    netns::{Netns, Stack},
    process::own_program,
    site::{self, NODE, SERVER, Site},
};

/// What to build.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Plan {
    /// In the machine's own namespace, with a bridge of its own and nothing else changed; else a node made
    /// of a namespace.
    pub demo: bool,
    /// Containers of a real dockerd; else namespaces that look like containers.
    pub docker: bool,
    /// Steady traffic between them.
    pub traffic: bool,
}

/// Builds the lab, or says that this very lab is there already. Another or an incomplete one is removed first.
///
/// # Errors
/// When a part cannot be built; what was built until then is removed.
pub fn up(plan: Plan) -> Result<String> {
    let state = format!("{plan:?}\n");
    if fs::read_to_string(state_file()).is_ok_and(|text| text.starts_with(&state)) {
        let text = fs::read_to_string(state_file())?;
        return Ok(format!("the lab is up already\n{}", &text[state.len()..]));
    }
    down()?;
    let prefixes = if plan.demo { &site::PREFIXES[..1] } else { site::PREFIXES };
    site::refuse_routed_prefixes(prefixes)?;
    fs::create_dir_all(DIRECTORY)?;
    let built = if plan.demo { demo(plan) } else { node(plan) };
    match built {
        Ok(text) => {
            fs::write(state_file(), format!("{state}{text}"))?;
            Ok(text)
        }
        Err(error) => match down() {
            Ok(()) => Err(error),
            Err(second) => Err(error.context(format!("and removing what was built failed: {second:#}"))),
        },
    }
}

/// A node made of a namespace, with the outside behind its uplink.
fn node(plan: Plan) -> Result<String> {
    let site =
        Site::build(&format!("{NAMES}node"), &format!("{NAMES}outside"), Path::new(DIRECTORY).join("site"))?;
    let node = site.node();
    let outside = Actor { name: "outside", stack: site.outside() };
    let (server, clients, text) = if plan.docker {
        let docker = start_docker(&node, &Bridge::Own { ipv4: "10.77.0.1/24", ipv6: "2001:db8:d0c::/64" })?;
        scene::containers(&docker, true)?;
        let (address, server, clients) = cast(&docker)?;
        docker.leave();
        (
            (address, server),
            clients,
            format!("containers  web (published on {NODE}:8080), shop, monitor (host)\n"),
        )
    } else {
        endpoint::bridge(&node, "docker0", "172.17.0.1/16")?;
        let web = container(&node, "web", "docker0", "172.17.0.2/16", "172.17.0.1")?;
        let shop = container(&node, "shop", "docker0", "172.17.0.3/16", "172.17.0.1")?;
        node.run("iptables -w -t nat -A POSTROUTING -s 172.17.0.0/16 ! -o docker0 -j MASQUERADE")?;
        node.run(
            "iptables -w -t nat -A PREROUTING -m addrtype --dst-type LOCAL -p tcp --dport 8080 \
             -j DNAT --to-destination 172.17.0.2:8000",
        )?;
        let text = format!(
            "containers  web 172.17.0.2 (published on {NODE}:8080), shop 172.17.0.3, as namespaces\n"
        );
        (("172.17.0.2".to_owned(), web), vec![shop], text)
    };
    if plan.traffic {
        scene::play(&server.1, &server.0, &clients, &[SERVER, site::ROUTER])?;
        scene::play(&outside, SERVER, &clients, &[])?;
        scene::request(&outside, &format!("{NODE}:8080"))?;
    }
    site.leave();
    Ok(describe(&format!("{NAMES}node"), &format!("nsenter --net=/run/netns/{NAMES}node "), plan, &text))
}

/// A bridge with containers in the machine's own namespace; no sysctl and no firewall rule is touched.
fn demo(plan: Plan) -> Result<String> {
    let host = Stack::own();
    endpoint::bridge(&host, DEMO_BRIDGE, &format!("{DEMO_GATEWAY}/24"))?;
    let (server, clients, text) = if plan.docker {
        let docker = start_docker(&host, &Bridge::Existing(DEMO_BRIDGE))?;
        scene::containers(&docker, false)?;
        let (address, server, clients) = cast(&docker)?;
        docker.leave();
        ((address, server), clients, "containers  web, shop, monitor (host)\n".to_owned())
    } else {
        let web = container(&host, "web", DEMO_BRIDGE, "198.51.100.10/24", DEMO_GATEWAY)?;
        let shop = container(&host, "shop", DEMO_BRIDGE, "198.51.100.11/24", DEMO_GATEWAY)?;
        let text = "containers  web 198.51.100.10, shop 198.51.100.11, as namespaces\n".to_owned();
        (("198.51.100.10".to_owned(), web), vec![shop], text)
    };
    if plan.traffic {
        scene::play(&server.1, &server.0, &clients, &[DEMO_GATEWAY])?;
    }
    let warning = if bridged_traffic_is_filtered(&host) {
        "note        this machine's firewall also filters bridged packets and may stop container to container\n"
    } else {
        ""
    };
    Ok(describe(
        "the machine itself",
        "",
        plan,
        &format!("bridge      {DEMO_BRIDGE} {DEMO_GATEWAY}/24\n{text}{warning}"),
    ))
}

fn start_docker(stack: &Stack, bridge: &Bridge) -> Result<Docker> {
    Docker::start(stack, &Path::new(DIRECTORY).join("docker"), bridge)
}

/// The containers as actors: the server's address, the server, its clients.
fn cast(docker: &Docker) -> Result<(String, Actor, Vec<Actor>)> {
    let web = Actor { name: "web", stack: docker.stack("web")? };
    let shop = Actor { name: "shop", stack: docker.stack("shop")? };
    Ok((docker.address("web", "bridge")?, web, vec![shop]))
}

fn container(node: &Stack, name: &'static str, bridge: &str, address: &str, gateway: &str) -> Result<Actor> {
    let host_side = format!("nob{name}");
    let mut made: Netns =
        endpoint::on_bridge(node, &format!("{NAMES}{name}"), &host_side, bridge, address, Some(gateway))?;
    made.keep();
    // Without a process inside, nothing would tell the namespace from a forgotten one.
    let log = Path::new(DIRECTORY).join(format!("{name}-init.log"));
    let program = own_program("traffic")?.display().to_string();
    let words = ["tcp-serve", "127.0.0.1:1"];
    crate::process::Background::start(&mut made.stack().command(&program, words), &log)
        .context("the container's first process")?
        .leave();
    Ok(Actor { name, stack: made.stack() })
}

fn bridged_traffic_is_filtered(host: &Stack) -> bool {
    let on = fs::read_to_string("/proc/sys/net/bridge/bridge-nf-call-iptables");
    let policy = host.run("iptables -w -S FORWARD").unwrap_or_default();
    on.is_ok_and(|text| text.trim() == "1") && policy.contains("-P FORWARD DROP")
}

fn describe(node: &str, enter: &str, plan: Plan, parts: &str) -> String {
    let docker = Path::new(DIRECTORY).join("docker/docker.sock");
    let option = if plan.docker { format!(" --docker-socket {}", docker.display()) } else { String::new() };
    let outside = if plan.demo {
        String::new()
    } else {
        format!("outside     {SERVER}, {} beyond the uplink\n", site::SERVER_V6)
    };
    let traffic =
        if plan.traffic { "traffic     requests, a stream of 8 Mbit/s, pings; for one hour\n" } else { "" };
    format!(
        "node        {node}\n{parts}{outside}{traffic}look        {enter}netobs agent{option}\nremove      lab down\n"
    )
}
