//! `netobs map` on a real node: everybody where they hang, rates and verdicts where the traffic goes, and pictures
//! that the real Graphviz and the real Mermaid take, whatever the containers are called.

use std::{process::ExitCode, time::Duration};

use anyhow::{Context, Result, ensure};
use netobs::map::{self, MapDocument};
use netobs_tests::{
    contract,
    docker_site::{HOSTNET, LONELY, NONE, PLAIN, PUBLISHED, WEB},
    http, pictures,
    process::{Background, until},
    require::{DOCKER, PICTURES, TRAFFIC},
    site::{NODE, SERVER, UPLINK},
    stage::Stage,
    suite::{self, Case},
    traffic,
};
use serde_json::{Value, json};

fn main() -> ExitCode {
    let case = |name, check| Case { name, check };
    suite::run(
        &[TRAFFIC, DOCKER, PICTURES],
        Stage::new,
        vec![
            case("everybody_hangs_where_they_are_attached", everybody_hangs as Check),
            case("traffic_shows_its_rate_at_every_place_on_its_way", rates_are_shown),
            case("a_refused_connection_is_told_on_its_way", refusal_is_told),
            case("a_translation_stands_between_bridge_and_uplink", translation_stands_between),
            case("the_web_port_serves_the_same_map", the_web_port_serves_it),
            case("graphviz_and_mermaid_take_the_pictures", pictures_are_taken),
            case("hostile_names_are_taken_too", hostile_names_are_taken),
            case("a_quiet_node_is_drawn_the_same_twice", quiet_is_the_same),
            case("a_crowd_becomes_a_picture_that_leaves_nobody_out", a_crowd_is_folded),
        ],
    )
}

type Check = fn(&Stage) -> Result<()>;

fn asked(stage: &Stage) -> Result<Value> {
    let answer = stage.agent.query(&["map"])?;
    contract::envelope(&answer)?;
    contract::map(&answer)?;
    Ok(answer)
}

fn picture(stage: &Stage, words: &[&str]) -> Result<String> {
    let mut all = vec!["map"];
    all.extend(words);
    let done = stage.agent.client(&all)?;
    ensure!(done.status.success(), "netobs {}: {}", all.join(" "), done.stderr);
    Ok(done.stdout)
}

fn node<'a>(map: &'a Value, id: &str) -> Result<&'a Value> {
    let mut nodes = map["nodes"].as_array().context("nodes")?.iter();
    nodes.find(|node| node["id"] == id).with_context(|| format!("no {id} in {map}"))
}

fn edge<'a>(map: &'a Value, from: &str, to: &str) -> Result<&'a Value> {
    let mut edges = map["edges"].as_array().context("edges")?.iter();
    let edge = edges.find(|edge| edge["from"] == from && edge["to"] == to);
    edge.with_context(|| format!("no edge {from} - {to} in {}", map["edges"]))
}

fn rate(map: &Value, from: &str, to: &str) -> Result<f64> {
    edge(map, from, to)?["bits_per_second"].as_f64().context("bits_per_second")
}

fn id(container: &str) -> String {
    format!("container/{container}")
}

/// The node of the bridge a container hangs on.
fn bridge(map: &Value, container: &str) -> Result<String> {
    let parent = node(map, &id(container))?["parent"].as_str().map(str::to_owned);
    parent.with_context(|| format!("{container} hangs nowhere"))
}

fn everybody_hangs(stage: &Stage) -> Result<()> {
    let map = asked(stage)?;
    let host = node(&map, "host")?;
    ensure!(host["kind"] == "host" && host["parent"].is_null(), "{host}");
    let endpoints = stage.agent.query(&["endpoints"])?;
    for endpoint in endpoints["endpoints"].as_array().context("endpoints")? {
        node(&map, endpoint["id"].as_str().context("id")?)?;
    }
    let [docker, other] = [bridge(&map, WEB)?, bridge(&map, LONELY)?];
    ensure!(docker != other, "two networks, one bridge: {docker}");
    for (container, parent) in [(PLAIN, &*docker), (PUBLISHED, &*docker), (HOSTNET, "host"), (NONE, "host")] {
        ensure!(bridge(&map, container)? == parent, "{}", node(&map, &id(container))?);
    }
    for one in [&docker, &other, &format!("uplink/{UPLINK}")] {
        ensure!(node(&map, one)?["parent"] == "host", "{one} is not the host's");
    }
    let edge = edge(&map, &id(LONELY), &other)?;
    ensure!(edge["role"] == "veth" && edge["interface"] == stage.veth(LONELY)?.as_str(), "{edge}");
    ensure!(edge["bits_per_second"] == 0.0, "it is silent: {edge}");
    Ok(())
}

fn rates_are_shown(stage: &Stage) -> Result<()> {
    let _server = traffic::iperf_server(&stage.place(WEB)?, 5201)?;
    let log = tempfile::NamedTempFile::new()?;
    let web = stage.site.address(WEB)?;
    let words = ["-c", &web, "-p", "5201", "-b", "40M", "-t", "20"];
    let _client = Background::start(&mut stage.place(PLAIN)?.command("iperf3", words), log.path())?;
    until("40 Mbit/s on both veths, and on no other", Duration::from_secs(15), || {
        let map = asked(stage)?;
        let docker = bridge(&map, WEB)?;
        for container in [WEB, PLAIN] {
            let rate = rate(&map, &id(container), &docker)?;
            // iperf3 counts payload; headers, acknowledgements and a tick's edges are on top.
            ensure!((36e6..48e6).contains(&rate), "{container} has {rate} bit/s");
        }
        let total: f64 = map["edges"]
            .as_array()
            .context("edges")?
            .iter()
            .filter_map(|edge| edge["bits_per_second"].as_f64())
            .sum();
        ensure!((72e6..100e6).contains(&total), "all edges together have {total} bit/s");
        ensure!(rate(&map, &id(LONELY), &bridge(&map, LONELY)?)? < 1e5, "lonely has a rate");
        let verdict = &edge(&map, &id(PLAIN), &docker)?["verdict"];
        ensure!(verdict == "reachable", "the verdict is {verdict}");
        Ok(())
    })
}

fn refusal_is_told(stage: &Stage) -> Result<()> {
    let target = format!("{}:7399", stage.site.address(PUBLISHED)?);
    // Nobody listens there; the client's failure is what is wanted.
    traffic::connect(&stage.place(PLAIN)?, &target, 1, 10).err().context("somebody answered")?;
    until("the refusal", Duration::from_secs(10), || {
        let map = asked(stage)?;
        let verdict = &edge(&map, &id(PUBLISHED), &bridge(&map, PUBLISHED)?)?["verdict"];
        ensure!(verdict == "refused", "the verdict is {verdict}");
        let drawn = picture(stage, &[])?;
        ensure!(drawn.contains("refused"), "colour alone tells it:\n{drawn}");
        Ok(())
    })
}

fn translation_stands_between(stage: &Stage) -> Result<()> {
    let uplink = format!("uplink/{UPLINK}");
    traffic::ping(&stage.place(PLAIN)?, SERVER, 20)?;
    let _server = traffic::tcp_server(&stage.place(PUBLISHED)?, "0.0.0.0:80")?;
    traffic::connect(&stage.outside(), &format!("{NODE}:8080"), 1, 1000)?;
    until("the translation", Duration::from_secs(10), || {
        let map = asked(stage)?;
        let docker = bridge(&map, PLAIN)?;
        for (from, to, role) in
            [(&*docker, "nat", "nat"), ("nat", &*uplink, "nat"), (&*uplink, "external", "uplink")]
        {
            let edge = edge(&map, from, to)?;
            ensure!(edge["role"] == role && edge["flows"].as_u64() >= Some(2), "{edge}");
        }
        ensure!(edge(&map, &docker, &uplink).is_err(), "past the translation: {}", map["edges"]);
        Ok(())
    })
}

fn the_web_port_serves_it(stage: &Stage) -> Result<()> {
    let answer = http::get(stage.agent.stack(), stage.agent.web_address, "/api/v1/map", &[])?;
    ensure!(answer.status == 200, "{}: {}", answer.status, answer.body);
    let answer: Value = serde_json::from_str(&answer.body)?;
    contract::envelope(&answer)?;
    contract::map(&answer)
}

fn both_take(stage: &Stage, words: &[&str]) -> Result<()> {
    let directory = tempfile::tempdir_in(stage.site.directory())?;
    for (language, words) in [("mermaid", words), ("dot", words)] {
        let mut all = vec!["-o", language];
        all.extend(words);
        let text = picture(stage, &all)?;
        match language {
            "mermaid" => pictures::mermaid_takes(directory.path(), &text)?,
            _ => {
                let drawn = pictures::dot_draws(directory.path(), &text)?;
                ensure!(drawn.contains("<svg") && drawn.contains("NAT"), "{drawn:.500}");
            }
        }
    }
    Ok(())
}

fn pictures_are_taken(stage: &Stage) -> Result<()> {
    traffic::ping(&stage.place(PLAIN)?, SERVER, 10)?;
    ensure!(
        pictures::mermaid_takes(stage.site.directory(), "flowchart LR\n  n1 --- end\n").is_err(),
        "a judge that takes anything"
    );
    ensure!(
        pictures::dot_draws(stage.site.directory(), "graph a { n1 -- \"n2 }").is_err(),
        "a judge that takes anything"
    );
    both_take(stage, &[])?;
    ensure!(picture(stage, &[])?.starts_with("flowchart LR\n"), "Mermaid is what comes without a word");
    let hostile = "com.docker.compose.service=\"]; end %%{init}%% <b>`x`</b> \\\" } --> [(";
    stage.docker().start_container("hostile", &["--label", hostile], &["sleep", "1000"])?;
    until("the container", Duration::from_secs(10), || node(&asked(stage)?, "container/hostile").map(drop))?;
    let taken = both_take(stage, &["--all"]);
    stage.docker().docker(&["rm", "--force", "hostile"])?;
    taken
}

/// Of nodes, boxes, lines and groups, by the code that draws: Docker allows few of these names.
fn hostile_names_are_taken(stage: &Stage) -> Result<()> {
    let long = "x".repeat(65_536);
    let names = [
        "\"]; click n1 \"javascript:alert(1)\"",
        "end",
        "a\nb --> c",
        "}}\n%%{init: {}}%%",
        "exe.\u{202e}gpj \u{0} \u{1b}[2J",
        "1. list",
        "- list",
        "`code` **bold** __x__ <img src=x onerror=alert(1)>",
        "\\\" -- n2; } \\",
        "&quot;&#34;#quot;#35; $$x$$ \\N",
        "https://example.org/ www.example.org",
        "اسم 数据库 größe 🦀",
        "",
        &long,
    ];
    let directory = tempfile::tempdir_in(stage.site.directory())?;
    for name in names {
        let node = |id: &str, kind: &str, parent: Option<&str>, members: &[&str]| {
            json!({"id": id, "kind": kind, "name": name, "parent": parent, "namespace": name, "workload": name,
                "members": members})
        };
        let edge = |from: &str, to: &str| {
            json!({"from": from, "to": to, "role": "veth", "bits_per_second": 1.0, "verdict": "dropped",
                "flows": 1, "interface": name})
        };
        let nodes = [
            node("host", "host", None, &[]),
            node("bridge/b", "bridge", Some("host"), &[]),
            node("pod/p", "pod", Some("bridge/b"), &[]),
            node("group/g", "group", Some("bridge/b"), &[name, name]),
            node("external", "external", None, &[]),
        ];
        let edges = [edge("pod/p", "bridge/b"), edge("group/g", "bridge/b"), edge("bridge/b", "external")];
        let document = json!({"schema": "netobs/v1", "time": "2026-01-02T03:04:05Z", "node": name,
            "interval_seconds": 1.0, "nodes": nodes, "edges": edges});
        let document: MapDocument = serde_json::from_value(document)?;
        pictures::mermaid_takes(directory.path(), &map::mermaid(&document))?;
        pictures::dot_draws(directory.path(), &map::dot(&document))?;
    }
    Ok(())
}

/// Once nothing is on the move, the only traffic is the question itself, which the map does not show as a rate.
fn quiet_is_the_same(stage: &Stage) -> Result<()> {
    until("two equal pictures", Duration::from_secs(90), || {
        let [one, other] = [picture(stage, &["-o", "dot"])?, picture(stage, &["-o", "dot"])?];
        std::thread::sleep(Duration::from_millis(1_500));
        let third = picture(stage, &["-o", "dot"])?;
        ensure!(one == other && one == third, "{one}\n{third}");
        Ok(())
    })
}

fn a_crowd_is_folded(stage: &Stage) -> Result<()> {
    const MANY: usize = 30;
    let names: Vec<String> = (0..MANY).map(|number| format!("crowd{number}")).collect();
    for name in &names {
        stage.docker().start_container(name, &[], &["sleep", "1000"])?;
    }
    let check = || -> Result<()> {
        until("everybody", Duration::from_secs(30), || {
            let map = asked(stage)?;
            names.iter().try_for_each(|name| node(&map, &id(name)).map(drop))
        })?;
        let folded = picture(stage, &["-o", "dot"])?;
        let whole = picture(stage, &["-o", "dot", "--all"])?;
        let drawn = |text: &str| text.lines().filter(|line| line.contains("shape=")).count();
        ensure!(drawn(&folded) < 40 && drawn(&whole) > MANY, "{} and {}", drawn(&folded), drawn(&whole));
        ensure!(folded.contains(" quiet"), "{folded}");
        both_take(stage, &[])?;
        both_take(stage, &["--all"])
    };
    let checked = check();
    let mut remove = vec!["rm", "--force"];
    remove.extend(names.iter().map(String::as_str));
    stage.docker().docker(&remove)?;
    checked
}
