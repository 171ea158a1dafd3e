//! What the commands and ports print, against the contract: endpoints and their modes, every field of the
//! JSON, closed sets of words, metric families with exactly their labels, and a real Prometheus.

use std::{
    collections::BTreeSet,
    fs,
    io::Write,
    process::{ExitCode, Stdio},
    time::Duration,
};

use anyhow::{Context, Result, bail, ensure};
use netobs_tests::{
    contract,
    docker_site::{HOSTNET, LONELY, NONE, PLAIN, PUBLISHED, SIDECAR, WEB},
    exposition::Exposition,
    http, matrix,
    process::{Background, until},
    require::{self, DOCKER, PROMETHEUS, TRAFFIC},
    site::SERVER,
    stage::Stage,
    suite::{self, Case},
    traffic,
};
use serde_json::Value;

fn main() -> ExitCode {
    let case = |name, check| Case { name, check };
    suite::run(
        &[TRAFFIC, DOCKER, PROMETHEUS],
        Stage::new,
        vec![
            case("every_container_is_an_endpoint_with_its_mode", every_container_is_an_endpoint as Check),
            case(
                "a_container_that_starts_and_goes_is_followed",
                a_container_that_starts_and_goes_is_followed,
            ),
            case("endpoints_follow_the_contract", |stage| listing(stage, "endpoints", &["endpoints"])),
            case("flows_follow_the_contract", |stage| listing(stage, "flows", &["flows"])),
            case("top_follows_the_contract", |stage| listing(stage, "flows", &["top", "--once"])),
            case("the_matrix_agrees_with_flows_and_metrics", the_matrix_agrees),
            case("flows_are_filtered", flows_are_filtered),
            case("tables_name_the_containers", tables_name_the_containers),
            case("the_web_port_serves_the_same_documents", the_web_port_serves_the_same_documents),
            case("health_and_readiness_are_served", health_and_readiness_are_served),
            case("the_socket_is_roots_alone", the_socket_is_roots_alone),
            case("families_have_exactly_their_labels", families_have_exactly_their_labels),
            case("attempts_and_evidence_are_what_was_tried", attempts_and_evidence),
            case("every_source_of_identity_is_ready", every_source_of_identity_is_ready),
            case("what_was_seen_is_what_the_interfaces_counted", coverage_is_whole),
            case("promtool_finds_nothing", promtool_finds_nothing),
            case("openmetrics_is_negotiated", openmetrics_is_negotiated),
            case("a_real_prometheus_scrapes_it", a_real_prometheus_scrapes_it),
        ],
    )
}

type Check = fn(&Stage) -> Result<()>;

/// Something of every kind to list.
fn some_traffic(stage: &Stage) -> Result<()> {
    traffic::ping(&stage.place(PLAIN)?, &stage.site.address(WEB)?, 20)?;
    traffic::ping(&stage.place(PLAIN)?, SERVER, 20)?;
    let _server = traffic::tcp_server(&stage.place(WEB)?, "0.0.0.0:7300")?;
    traffic::connect(&stage.place(PLAIN)?, &format!("{}:7300", stage.site.address(WEB)?), 2, 1000)?;
    std::thread::sleep(Duration::from_millis(3500));
    Ok(())
}

fn endpoint<'a>(answer: &'a Value, id: &str) -> Result<&'a Value> {
    let list = answer["endpoints"].as_array().context("no list of endpoints")?;
    let found: Vec<_> = list.iter().filter(|one| one["id"] == id).collect();
    match found.as_slice() {
        [one] => Ok(one),
        [] => bail!("no {id} in {:?}", list.iter().map(|one| &one["id"]).collect::<Vec<_>>()),
        _ => bail!("{} endpoints are {id}", found.len()),
    }
}

fn every_container_is_an_endpoint(stage: &Stage) -> Result<()> {
    let answer = stage.agent.query(&["endpoints"])?;
    for (name, mode) in
        [(WEB, "bridge"), (PUBLISHED, "bridge"), (LONELY, "bridge"), (HOSTNET, "host"), (NONE, "none")]
    {
        let one = endpoint(&answer, &format!("container/{name}"))?;
        ensure!(one["kind"] == "container" && one["name"] == name, "{one}");
        ensure!(one["mode"] == mode, "{name} has mode {}, not {mode}", one["mode"]);
        ensure!(one["runtime"] == "docker", "{name} has runtime {}", one["runtime"]);
        let provenance = one["provenance"].as_array().context("provenance")?;
        ensure!(provenance.contains(&"docker_api".into()), "{name} is believed because of {provenance:?}");
    }
    let web = endpoint(&answer, "container/web")?;
    let interfaces = web["interfaces"].as_array().context("interfaces")?;
    ensure!(interfaces.len() == 1, "web has one interface: {interfaces:?}");
    let address = stage.site.address(WEB)?;
    ensure!(interfaces[0]["addresses"].to_string().contains(&address), "no {address} in {}", interfaces[0]);
    let mac = stage.docker().inspect(WEB, "{{.NetworkSettings.MacAddress}}")?;
    ensure!(interfaces[0]["mac"] == mac.as_str(), "{} has not the MAC {mac}", interfaces[0]);
    ensure!(web["workload"].to_string().contains("frontend"), "workload is {}", web["workload"]);
    ensure!(
        endpoint(&answer, "container/none")?["interfaces"] == Value::Array(Vec::new()),
        "none has interfaces"
    );
    let shared = endpoint(&answer, "container/plain").or_else(|_| endpoint(&answer, "container/sidecar"))?;
    let inside = shared["containers"].to_string();
    ensure!(inside.contains(PLAIN) && inside.contains(SIDECAR), "one stack, two containers: {inside}");
    endpoint(&answer, "host")?;
    Ok(())
}

fn a_container_that_starts_and_goes_is_followed(stage: &Stage) -> Result<()> {
    stage.docker().start_container("passing", &[], &["sleep", "100"])?;
    until("the new container by name", Duration::from_secs(3), || {
        endpoint(&stage.agent.query(&["endpoints"])?, "container/passing").map(drop)
    })?;
    stage.docker().docker(&["rename", "passing", "renamed"])?;
    until("its new name", Duration::from_secs(5), || {
        endpoint(&stage.agent.query(&["endpoints"])?, "container/renamed").map(drop)
    })?;
    stage.docker().docker(&["rm", "--force", "renamed"])?;
    until("its end", Duration::from_secs(5), || {
        match endpoint(&stage.agent.query(&["endpoints"])?, "container/renamed") {
            Ok(one) => bail!("still listed: {one}"),
            Err(_) => Ok(()),
        }
    })
}

fn listing(stage: &Stage, list: &str, words: &[&str]) -> Result<()> {
    some_traffic(stage)?;
    let answer = stage.agent.query(words)?;
    contract::envelope(&answer)?;
    let rows = answer[list].as_array().with_context(|| format!("no list `{list}`"))?;
    ensure!(!rows.is_empty(), "nothing listed");
    for row in rows {
        if list == "endpoints" { contract::endpoint(row)? } else { contract::flow(row)? }
    }
    Ok(())
}

fn flows_are_filtered(stage: &Stage) -> Result<()> {
    some_traffic(stage)?;
    let count = |words: &[&str]| -> Result<Vec<Value>> {
        let mut all = vec!["flows"];
        all.extend(words);
        Ok(stage.agent.query(&all)?["flows"].as_array().context("flows")?.clone())
    };
    let all = count(&[])?;
    let outside = count(&["--path", "uplink"])?;
    ensure!(!outside.is_empty() && outside.len() < all.len());
    ensure!(outside.iter().all(|flow| flow["path"] == "uplink"));
    let web = count(&["--endpoint", "container/web"])?;
    let touches = |flow: &Value| {
        flow["source"]["endpoint"] == "container/web" || flow["destination"]["endpoint"] == "container/web"
    };
    ensure!(!web.is_empty() && web.iter().all(touches));
    ensure!(web.len() == all.iter().filter(|flow| touches(flow)).count(), "not all flows of container/web");
    Ok(())
}

/// Whatever happened here before, and on the web port as on the socket.
fn the_matrix_agrees(stage: &Stage) -> Result<()> {
    some_traffic(stage)?;
    let (cells, _) = matrix::judged(&stage.agent)?;
    for key in [("container", "container", "bridge"), ("container", "external", "uplink")] {
        let cell = matrix::cell(&cells, key)?;
        ensure!(cell.verdicts.get("reachable") >= Some(&1) && cell.flows >= 1, "{cell:?}");
    }
    let path = "/api/v1/matrix?kind=external&verdict=reachable";
    let answer = http::get(stage.agent.stack(), stage.agent.web_address, path, &[])?;
    ensure!(answer.status == 200, "{}: {}", answer.status, answer.body);
    let answer: Value = serde_json::from_str(&answer.body)?;
    contract::envelope(&answer)?;
    contract::matrix(&answer)?;
    let cells = answer["cells"].as_array().context("cells")?;
    ensure!(!cells.is_empty() && cells.iter().all(|cell| cell["path"] == "uplink"), "{answer}");
    Ok(())
}

fn tables_name_the_containers(stage: &Stage) -> Result<()> {
    some_traffic(stage)?;
    for words in [&["endpoints"][..], &["flows"], &["flows", "--hops"], &["top", "--once"]] {
        let done = stage.agent.client(words)?;
        ensure!(done.status.success(), "{words:?}: {}", done.stderr);
        ensure!(
            done.stdout.contains(WEB) && done.stdout.contains(PLAIN),
            "{words:?} prints\n{}",
            done.stdout
        );
        ensure!(!done.stdout.contains('\u{1b}'), "{words:?} colours a pipe");
    }
    Ok(())
}

fn the_web_port_serves_the_same_documents(stage: &Stage) -> Result<()> {
    for list in ["endpoints", "flows"] {
        let answer =
            http::get(stage.agent.stack(), stage.agent.web_address, &format!("/api/v1/{list}"), &[])?;
        ensure!(answer.status == 200, "/api/v1/{list}: {}", answer.status);
        let document: Value = serde_json::from_str(&answer.body)?;
        contract::envelope(&document)?;
        ensure!(document[list].is_array(), "no list in /api/v1/{list}");
    }
    let nothing = http::get(stage.agent.stack(), stage.agent.web_address, "/api/v1/../../etc/passwd", &[])?;
    ensure!(nothing.status == 404 || nothing.status == 400, "{}", nothing.status);
    // The metrics port serves nothing but metrics and health.
    ensure!(stage.agent.get("/api/v1/flows")?.status == 404);
    Ok(())
}

fn health_and_readiness_are_served(stage: &Stage) -> Result<()> {
    for path in ["/healthz", "/readyz"] {
        ensure!(stage.agent.get(path)?.status == 200, "{path}");
    }
    Ok(())
}

fn the_socket_is_roots_alone(stage: &Stage) -> Result<()> {
    use std::os::unix::fs::{MetadataExt, PermissionsExt};
    let data = fs::metadata(stage.agent.socket())?;
    ensure!(data.permissions().mode() & 0o777 == 0o600, "mode {:o}", data.permissions().mode());
    ensure!(data.uid() == 0, "owner {}", data.uid());
    Ok(())
}

fn families_have_exactly_their_labels(stage: &Stage) -> Result<()> {
    some_traffic(stage)?;
    let scrape = stage.agent.metrics()?;
    contract::families(&scrape)
}

/// A connection is an attempt, established or refused, and counted once; the client's own TCP is the witness.
fn attempts_and_evidence(stage: &Stage) -> Result<()> {
    let (web, plain) = (stage.site.address(WEB)?, stage.place(PLAIN)?);
    let server = traffic::tcp_server(&stage.place(WEB)?, "0.0.0.0:7301")?;
    let before = stage.agent.books()?.1;
    let opened = traffic::tcp_statistic(&plain, "ActiveOpens")?;
    traffic::connect(&plain, &format!("{web}:7301"), 10, 1_000)?;
    let refused = traffic::connect(&plain, &format!("{web}:7302"), 1, 1_000);
    ensure!(refused.is_err(), "nothing listens on 7302");
    let opened = traffic::tcp_statistic(&plain, "ActiveOpens")? - opened;
    let after = stage.agent.books()?.1;
    drop(server);
    let grown = |family: &str, labels: &[(&str, &str)]| {
        netobs_tests::agent::whole(after.sum(family, labels) - before.sum(family, labels))
    };
    let attempts = |outcome: &str| {
        let labels = [("source_kind", "container"), ("destination_kind", "container"), ("path", "bridge")];
        grown("netobs_connection_attempts_total", &[&labels[..], &[("outcome", outcome)]].concat())
    };
    let opened = i128::from(opened);
    ensure!(
        (attempts("established"), attempts("refused")) == (10, opened - 10) && opened > 10,
        "{} established and {} refused of {opened}",
        attempts("established"),
        attempts("refused")
    );
    let from = [("source_workload", PLAIN)];
    ensure!(grown("netobs_workload_connection_attempts_total", &from) == opened, "by workload");
    let evidence = |kind| grown("netobs_path_evidence_total", &[("path", "bridge"), ("evidence", kind)]);
    ensure!((evidence("syn_ack"), evidence("rst")) == (10, opened - 10), "evidence of it");
    Ok(())
}

/// Everything this machine has for telling who is who works; what it has not is absent, not failing, and what is not to
/// be asked is disabled.
fn every_source_of_identity_is_ready(stage: &Stage) -> Result<()> {
    let metrics = stage.agent.metrics()?;
    let failing: Vec<_> = metrics
        .select("netobs_identity_sources", &[])
        .filter(|sample| {
            sample.value > 0.0 && !["ready", "absent", "disabled"].contains(&sample.labels["state"].as_str())
        })
        .map(|sample| &sample.labels)
        .collect();
    ensure!(failing.is_empty(), "{failing:?}; log:\n{}", stage.agent.log());
    ensure!(metrics.sum("netobs_identity_sources", &[("state", "ready")]) >= 2.0);
    let failed = metrics.sum("netobs_interfaces", &[("state", "failed")]);
    ensure!(failed.abs() < 0.5, "{failed} interfaces could not be attached");
    Ok(())
}

fn coverage_is_whole(stage: &Stage) -> Result<()> {
    some_traffic(stage)?;
    let ratio = stage.agent.metrics()?.sum("netobs_coverage_ratio", &[]);
    ensure!((0.999..=1.001).contains(&ratio), "netobs_coverage_ratio is {ratio}");
    Ok(())
}

fn promtool_finds_nothing(stage: &Stage) -> Result<()> {
    some_traffic(stage)?;
    let body = stage.agent.get("/metrics")?.body;
    let promtool = require::find("promtool").context("promtool")?;
    let mut check = std::process::Command::new(promtool)
        .args(["check", "metrics"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()?;
    check.stdin.take().context("stdin")?.write_all(body.as_bytes())?;
    let done = check.wait_with_output()?;
    let said = format!("{}{}", String::from_utf8_lossy(&done.stdout), String::from_utf8_lossy(&done.stderr));
    ensure!(done.status.success() && said.trim().is_empty(), "promtool: {said}");
    Ok(())
}

fn openmetrics_is_negotiated(stage: &Stage) -> Result<()> {
    let ask = |accept: &str| {
        http::get(stage.agent.stack(), stage.agent.metrics_address, "/metrics", &[("Accept", accept)])
    };
    let classic = ask("text/plain;version=0.0.4")?;
    ensure!(
        classic.header("content-type").is_some_and(|kind| kind.starts_with("text/plain")),
        "{:?}",
        classic.headers
    );
    let open = ask("application/openmetrics-text;version=1.0.0")?;
    let kind = open.header("content-type").unwrap_or_default();
    ensure!(kind.starts_with("application/openmetrics-text"), "content type is {kind}");
    ensure!(open.body.trim_end().ends_with("# EOF"), "OpenMetrics without its end");
    let names = |text: &str| -> Result<BTreeSet<String>> {
        Ok(Exposition::parse(text)?
            .samples
            .into_iter()
            .map(|sample| sample.name)
            .filter(|name| !name.ends_with("_created"))
            .collect())
    };
    let (classic, open) = (names(&classic.body)?, names(&open.body)?);
    ensure!(classic == open, "in one only: {:?}", classic.symmetric_difference(&open).collect::<Vec<_>>());
    Ok(())
}

fn a_real_prometheus_scrapes_it(stage: &Stage) -> Result<()> {
    let directory = stage.site.directory().join("prometheus");
    fs::create_dir_all(&directory)?;
    let configuration = directory.join("prometheus.yml");
    fs::write(
        &configuration,
        format!(
            "global: {{scrape_interval: 1s}}\nscrape_configs:\n- job_name: netobs\n  static_configs:\n  \
             - targets: ['{}']\n",
            stage.agent.metrics_address
        ),
    )?;
    let words = [
        format!("--config.file={}", configuration.display()),
        format!("--storage.tsdb.path={}", directory.join("data").display()),
        "--web.listen-address=127.0.0.1:9799".into(),
    ];
    let mut command = stage.agent.stack().command("prometheus", &words);
    let mut prometheus = Background::start(&mut command, &directory.join("prometheus.log"))?;
    let ask = |query: &str| -> Result<f64> {
        let path = format!("/api/v1/query?query={query}");
        let answer = http::get(stage.agent.stack(), ([127, 0, 0, 1], 9799).into(), &path, &[])?;
        let answer: Value = serde_json::from_str(&answer.body)?;
        let value = answer["data"]["result"][0]["value"][1].as_str();
        Ok(value.with_context(|| format!("{query}: {answer}"))?.parse()?)
    };
    until("a scrape", Duration::from_secs(30), || {
        let up = ask("up")?;
        ensure!((up - 1.0).abs() < f64::EPSILON, "up is {up}; {}", prometheus.log());
        ask("sum(netobs_path_bytes_total)")
    })?;
    // What Prometheus holds is what we read ourselves; loopback grows by the scrapes.
    let own = stage.agent.metrics()?;
    let held = ask("sum(netobs_path_bytes_total%7Bpath%3D%22bridge%22%7D)")?;
    ensure!(
        (held - own.sum("netobs_path_bytes_total", &[("path", "bridge")])).abs() < 0.5,
        "Prometheus holds {held}"
    );
    let dropped = ask("sum(scrape_samples_scraped)%20-%20sum(scrape_samples_post_metric_relabeling)")?;
    ensure!(dropped.abs() < f64::EPSILON, "{dropped} samples were refused");
    prometheus.stop(Duration::from_secs(10))?;
    let log = prometheus.log();
    ensure!(!log.contains("Error on ingesting"), "{log}");
    Ok(())
}
