//! Bad command lines, files, privileges, kernels and neighbours: one clear line each, the contract's exit
//! status, no panic, and what can still work works.

use std::{
    fs,
    io::{Read, Write},
    os::unix::net::UnixListener,
    path::{Path, PathBuf},
    process::{Command, ExitCode},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context, Result, bail, ensure};
use netobs_tests::{
    agent::{self, Agent},
    bare::{Bare, LEFT, RIGHT},
    flows,
    process::{self, Finished},
    require::TRAFFIC,
    suite::{self, Case},
    traffic,
};

fn main() -> ExitCode {
    let case = |name, check| Case { name, check };
    suite::run(
        &[TRAFFIC],
        Bare::new,
        vec![
            case("bad_command_lines_end_with_2", bad_command_lines as Check),
            case("bad_configurations_end_with_2_and_name_the_place", bad_configurations),
            case("bad_environment_ends_with_2", bad_environment),
            case("flags_win_over_environment_over_file", flags_win_over_environment_over_file),
            case("without_an_agent_commands_end_with_3", without_an_agent),
            case("without_privilege_the_agent_ends_with_3", without_privilege),
            case("a_taken_address_is_named", a_taken_address_is_named),
            case("without_btf_it_says_so", without_btf),
            case("without_a_docker_socket_it_works_and_says_so", without_a_docker_socket),
            case("garbage_from_the_docker_socket_does_no_harm", |bare| {
                hostile_docker(bare, Hostile::Garbage)
            }),
            case("a_silent_docker_socket_does_no_harm", |bare| hostile_docker(bare, Hostile::Silent)),
            case("an_endless_answer_of_docker_does_no_harm", |bare| hostile_docker(bare, Hostile::Endless)),
            case("half_an_answer_of_docker_does_no_harm", |bare| hostile_docker(bare, Hostile::Truncated)),
            case("doctor_reports_what_is_missing", doctor_reports_what_is_missing),
        ],
    )
}

type Check = fn(&Bare) -> Result<()>;

fn run(bare: &Bare, words: &[&str]) -> Result<Finished> {
    process::finish(&mut agent::command(&bare.site.node(), words)?, process::SHORT)
}

/// Exactly one line on standard error, this status, nothing on standard output.
fn one_line(what: &str, done: &Finished, status: i32) -> Result<String> {
    ensure!(
        done.status.code() == Some(status),
        "{what}: {} instead of {status}: {}",
        done.status,
        done.stderr
    );
    let lines: Vec<_> = done.stderr.lines().filter(|line| !line.trim().is_empty()).collect();
    let [line] = lines.as_slice() else { bail!("{what}: not one line but {lines:#?}") };
    ensure!(!line.contains("panicked") && !line.contains("RUST_BACKTRACE"), "{what}: {line}");
    ensure!(done.stdout.is_empty(), "{what}: prints {}", done.stdout);
    Ok((*line).to_owned())
}

/// As [`one_line`] for the daemon, whose log lines come before.
fn last_line(what: &str, done: &Finished, status: i32) -> Result<String> {
    ensure!(
        done.status.code() == Some(status),
        "{what}: {} instead of {status}: {}",
        done.status,
        done.stderr
    );
    ensure!(!done.stderr.contains("panicked"), "{what}: {}", done.stderr);
    done.stderr.lines().last().map(str::to_owned).with_context(|| format!("{what}: says nothing"))
}

fn bad_command_lines(bare: &Bare) -> Result<()> {
    let table: &[(&[&str], &str)] = &[
        (&["agent", "--no-such-flag"], "--no-such-flag"),
        (&["nonsense"], "nonsense"),
        (&[], ""),
        (&["agent", "--metrics-listen", "not an address"], "--metrics-listen"),
        (&["agent", "--max-flows", "-1"], "-1"),
        (&["agent", "--max-flows=-1"], "--max-flows"),
        (&["agent", "--max-flows", "many"], "--max-flows"),
        (&["agent", "--max-flows", "0"], "max"),
        (&["agent", "--attach", "xdp"], "--attach"),
        (&["agent", "--detail", "everything"], "--detail"),
        (&["agent", "--web-listen", "0.0.0.0:9778"], "web"),
        (&["flows", "-o", "xml"], "xml"),
        (&["flows", "--path", "sideways"], "sideways"),
        (&["flows", "--verdict", "fine"], "fine"),
        (&["flows", "--port", "70000"], "70000"),
        (&["matrix", "-o", "jsonl"], "jsonl"),
        (&["matrix", "--verdict", "fine"], "fine"),
        (&["matrix", "--port", "80"], "--port"),
        (&["endpoints", "--agent", "nonsense"], "unix:///"),
        (&["endpoints", "--agent", "unix://relative"], "unix:///"),
        (&["agent", "--config", "/no/such/file.toml"], "/no/such/file.toml"),
    ];
    for (words, needle) in table {
        let line = one_line(&format!("{words:?}"), &run(bare, words)?, 2)?;
        ensure!(line.contains(needle), "{words:?} says nothing of {needle}: {line}");
    }
    Ok(())
}

fn configuration(bare: &Bare, text: &[u8]) -> Result<PathBuf> {
    let path = bare.directory().join("netobs.toml");
    fs::write(&path, text)?;
    Ok(path)
}

fn bad_configurations(bare: &Bare) -> Result<()> {
    let large = vec![b'#'; 100 << 20];
    let table: &[(&str, &[u8], &str)] = &[
        ("an unknown key", b"max_flows = 1000\nmax_flow = 1\n", ":2:1:"),
        ("a wrong type", b"\n\nmax_flows = \"many\"\n", ":3:13:"),
        ("a wrong word", b"attach = \"xdp\"\n", ":1:10:"),
        ("no TOML", b"max_flows = = 1\n", ":1:13:"),
        ("a bad address", b"metrics_listen = \"here\"\n", ":1:18:"),
        ("no text", b"socket = \"\xff\"\n", ":1:11:"),
        ("a hundred megabytes", &large, "netobs.toml"),
    ];
    for (what, text, needle) in table {
        let path = configuration(bare, text)?;
        let started = Instant::now();
        for command in ["agent", "top"] {
            let done = run(bare, &[command, "--config", &path.display().to_string()])?;
            let line = one_line(&format!("{what} for {command}"), &done, 2)?;
            ensure!(line.contains(needle), "{what}: no {needle} in {line:.300}");
        }
        ensure!(started.elapsed() < Duration::from_secs(5), "{what} takes {:?}", started.elapsed());
    }
    let directory = bare.directory().display().to_string();
    one_line("a directory", &run(bare, &["agent", "--config", &directory])?, 2)?;
    let pipe = bare.directory().join("pipe");
    process::run(process::command("mkfifo", [] as [&str; 0]).arg(&pipe))?;
    one_line("a pipe", &run(bare, &["agent", "--config", &pipe.display().to_string()])?, 2)?;
    // Empty is fine, and checked without starting.
    let empty = configuration(bare, b"")?;
    let done = run(bare, &["agent", "--check", "--config", &empty.display().to_string()])?;
    ensure!(done.status.success(), "an empty file: {}", done.stderr);
    Ok(())
}

fn bad_environment(bare: &Bare) -> Result<()> {
    for (name, value) in
        [("NETOBS_MAX_FLOWS", "many"), ("NETOBS_METRICS_LISTEN", "here"), ("NETOBS_ATTACH", "xdp")]
    {
        let mut command = agent::command(&bare.site.node(), &["agent"])?;
        let done = process::finish(command.env(name, value), process::SHORT)?;
        let line = one_line(name, &done, 2)?;
        ensure!(line.contains(name), "{name} is not named: {line}");
    }
    Ok(())
}

fn flags_win_over_environment_over_file(bare: &Bare) -> Result<()> {
    let file = configuration(bare, b"max_series = 11\nmax_flows = 1111\ndetail = \"path\"\n")?;
    let file = file.display().to_string();
    let words = ["agent", "--check", "--config", &file, "--max-series", "33"];
    let mut command = agent::command(&bare.site.node(), &words)?;
    let done = process::finish(
        command.env("NETOBS_MAX_SERIES", "22").env("NETOBS_MAX_FLOWS", "2222"),
        process::SHORT,
    )?;
    ensure!(done.status.success(), "{}", done.stderr);
    for (present, absent) in [("33", "22\n"), ("2222", "1111"), ("path", "workload")] {
        ensure!(done.stdout.contains(present), "no {present} in {}", done.stdout);
        ensure!(!done.stdout.contains(absent) || absent == "22\n", "{absent} in {}", done.stdout);
    }
    Ok(())
}

fn without_an_agent(bare: &Bare) -> Result<()> {
    let nobody = format!("unix://{}", bare.directory().join("nobody.sock").display());
    // A socket file whose process is gone.
    let dead = bare.directory().join("dead.sock");
    drop(UnixListener::bind(&dead)?);
    for address in [nobody, format!("unix://{}", dead.display())] {
        for command in ["endpoints", "flows", "matrix"] {
            let line = one_line(command, &run(bare, &[command, "--agent", &address])?, 3)?;
            ensure!(line.contains("netobs agent"), "{command} does not say what to do: {line}");
        }
    }
    Ok(())
}

/// The agent with less than it needs, as `setpriv` words; and the word its complaint must hold.
fn without_privilege(bare: &Bare) -> Result<()> {
    // Another user may not enter where cargo puts the program.
    let copy = bare.directory().join("netobs");
    fs::copy(agent::program()?, &copy)?;
    process::run(process::command("chmod", ["-R", "go+rX"]).arg(bare.directory()))?;
    let table: &[(&str, &[&str], &str)] = &[
        ("another user", &["--reuid=65534", "--regid=65534", "--clear-groups"], "CAP_BPF"),
        ("root without capabilities", &["--bounding-set=-all", "--inh-caps=-all"], "CAP_BPF"),
        ("root without bpf", &["--bounding-set=-bpf,-sys_admin"], "CAP_BPF"),
        ("root without net_admin", &["--bounding-set=-net_admin"], "CAP_NET_ADMIN"),
        ("root without perfmon", &["--bounding-set=-perfmon,-sys_admin"], "CAP_PERFMON"),
    ];
    let before = netobs_tests::residue::on_interfaces(&bare.site.node())?;
    for (who, words, needle) in table {
        let socket = bare.directory().join("unprivileged.sock");
        let mut command = bare.site.node().command("setpriv", *words);
        command.arg(&copy).args(["agent", "--docker-socket="]).arg(format!("--socket={}", socket.display()));
        // An older setpriv does not know the newer capabilities by name.
        let done = process::finish(&mut command, process::SHORT)?;
        ensure!(!done.stderr.contains("unknown capability"), "setpriv: {}", done.stderr);
        let line = last_line(who, &done, 3)?;
        ensure!(line.contains(needle), "{who}: {needle} is not named: {line}");
        let after = netobs_tests::residue::on_interfaces(&bare.site.node())?;
        ensure!(after == before, "{who}: half attached: {after:?}");
    }
    Ok(())
}

fn a_taken_address_is_named(bare: &Bare) -> Result<()> {
    let node = bare.site.node();
    let listener = node.within(|| std::net::TcpListener::bind("127.0.0.1:9777"))??;
    let words = agent::arguments(&bare.files("taken"), &bare.no_docker(), &[]);
    fs::create_dir_all(bare.files("taken"))?;
    let words: Vec<_> = words.iter().map(String::as_str).collect();
    let done = run(bare, &words)?;
    drop(listener);
    ensure!(!done.status.success(), "started with its address taken");
    let status = done.status.code().unwrap_or_default();
    let line = last_line("a taken address", &done, status)?;
    ensure!(line.contains("127.0.0.1:9777"), "the address is not named: {line}");
    Ok(())
}

/// Runs until told, then gives back what it said.
fn agent_for_a_while(
    mut command: Command,
    log: &Path,
    while_it_runs: impl FnOnce() -> Result<()>,
) -> Result<Finished> {
    let mut agent = process::Background::start(&mut command, log)?;
    thread::sleep(Duration::from_secs(4));
    let done = if agent.ended().is_none() { while_it_runs() } else { Ok(()) };
    let status = agent.stop(Duration::from_secs(10))?;
    done?;
    Ok(Finished { status, stdout: String::new(), stderr: agent.log() })
}

/// Either it can do without and works, or it ends with 3; both say BTF.
fn without_btf(bare: &Bare) -> Result<()> {
    let hide = "mount -t tmpfs none /sys/kernel/btf && exec \"$@\"";
    let files = bare.files("nobtf");
    fs::create_dir_all(&files)?;
    let mut words = vec!["--mount".to_owned(), "sh".into(), "-c".into(), hide.into(), "sh".into()];
    words.push(agent::program()?.display().to_string());
    words.extend(agent::arguments(&files, &bare.no_docker(), &[]));
    let command = bare.site.node().command("unshare", &words);
    let client = format!("unix://{}", files.join("netobs.sock").display());
    let done = agent_for_a_while(command, &files.join("agent.log"), || {
        traffic::ping(&bare.left(), RIGHT, 10)?;
        thread::sleep(Duration::from_millis(2500));
        let listed = run(bare, &["flows", "-o", "json", "--agent", &client])?;
        let listed = flows::read(&serde_json::from_str(&listed.stdout)?)?;
        flows::only(&listed, "the pings", |flow| {
            flow.protocol == "icmp" && flow.source.address.as_deref() == Some(LEFT)
        })?;
        Ok(())
    })?;
    ensure!(!done.stderr.contains("panicked"), "{}", done.stderr);
    ensure!(
        done.stderr.contains("BTF") || done.stderr.contains("btf"),
        "says nothing of BTF: {}",
        done.stderr
    );
    ensure!(done.status.success() || done.status.code() == Some(3), "{}: {}", done.status, done.stderr);
    Ok(())
}

/// The rest of the agent: attached, counting, and honest about the source.
fn works_without_docker(bare: &Bare, agent: &Agent) -> Result<()> {
    traffic::ping(&bare.left(), RIGHT, 10)?;
    thread::sleep(Duration::from_millis(2500));
    let flows = agent.flows()?;
    let pings = flows::only(&flows, "the pings", |flow| {
        flow.protocol == "icmp" && flow.source.address.as_deref() == Some(LEFT) && flow.forward.packets == 10
    })?;
    ensure!(pings.path == "bridge", "{}", pings.brief());
    let metrics = agent.metrics()?;
    let docker: Vec<_> = metrics
        .select("netobs_identity_sources", &[])
        .filter(|sample| sample.labels["source"].contains("docker") && sample.value > 0.0)
        .collect();
    ensure!(!docker.is_empty(), "netobs_identity_sources says nothing of Docker");
    ensure!(
        docker.iter().all(|sample| sample.labels["state"] != "ready"),
        "Docker is said to be ready: {docker:?}"
    );
    ensure!(agent.get("/readyz")?.status == 200, "readiness depends on Docker");
    Ok(())
}

/// Lines of the log that speak of Docker as a warning: state changes, not a stream.
fn warnings(agent: &Agent) -> usize {
    agent
        .log()
        .lines()
        .filter(|line| line.to_lowercase().contains("docker") && !line.contains(" DEBUG "))
        .count()
}

fn without_a_docker_socket(bare: &Bare) -> Result<()> {
    let agent = bare.agent(&[])?;
    works_without_docker(bare, &agent)?;
    thread::sleep(Duration::from_secs(4));
    ensure!(warnings(&agent) <= 3, "a stream of complaints:\n{}", agent.log());
    agent.stop()?;
    Ok(())
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Hostile {
    Garbage,
    Silent,
    Endless,
    Truncated,
}

/// A process that claims to be Docker. Ends when dropped.
struct FakeDocker {
    stop: Arc<AtomicBool>,
    thread: Option<thread::JoinHandle<()>>,
}

impl FakeDocker {
    fn listen(path: &Path, how: Hostile) -> Result<Self> {
        let listener = UnixListener::bind(path)?;
        listener.set_nonblocking(true)?;
        let stop = Arc::new(AtomicBool::new(false));
        let stopped = Arc::clone(&stop);
        let thread = thread::spawn(move || {
            let mut silent = Vec::new();
            while !stopped.load(Ordering::Relaxed) {
                match listener.accept() {
                    Ok((stream, _)) if how == Hostile::Silent => silent.push(stream),
                    Ok((stream, _)) => {
                        let stopped = Arc::clone(&stopped);
                        thread::spawn(move || answer(stream, how, &stopped));
                    }
                    Err(_) => thread::sleep(Duration::from_millis(20)),
                }
            }
        });
        Ok(Self { stop, thread: Some(thread) })
    }
}

fn answer(mut stream: std::os::unix::net::UnixStream, how: Hostile, stop: &AtomicBool) {
    stream.set_nonblocking(false).ok();
    stream.set_read_timeout(Some(Duration::from_secs(1))).ok();
    let mut request = [0; 4096];
    if stream.read(&mut request).unwrap_or(0) == 0 {
        return;
    }
    let head = "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n";
    match how {
        Hostile::Garbage => {
            stream.write_all(&[0xff, 0x00, 0x1b, b'[', b'2', b'J', b'\n'].repeat(500)).ok();
        }
        Hostile::Truncated => {
            stream.write_all(format!("{head}Content-Length: 1000\r\n\r\n[{{\"Id\":\"abc").as_bytes()).ok();
        }
        Hostile::Endless => {
            // A gigabyte of spaces inside a list, while the reader takes it.
            stream.write_all(format!("{head}Content-Length: 1073741824\r\n\r\n[").as_bytes()).ok();
            let block = [b' '; 65_536];
            for _ in 0..16_384 {
                if stop.load(Ordering::Relaxed) || stream.write_all(&block).is_err() {
                    break;
                }
            }
        }
        Hostile::Silent => {}
    }
}

impl Drop for FakeDocker {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            thread.join().ok();
        }
    }
}

/// Clock ticks of processor time and resident bytes of a process.
fn usage(pid: u32) -> Result<(u64, u64)> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat"))?;
    let fields: Vec<_> = stat.rsplit_once(')').context("stat")?.1.split_whitespace().collect();
    let number = |at: usize| -> Result<u64> { Ok(fields.get(at).context("short stat")?.parse()?) };
    Ok((number(11)? + number(12)?, number(21)? * 4096))
}

fn hostile_docker(bare: &Bare, how: Hostile) -> Result<()> {
    let path = bare.directory().join(format!("{how:?}.sock"));
    let _fake = FakeDocker::listen(&path, how)?;
    let agent = Agent::start(&bare.site.node(), &bare.files("hostile"), &path, &[])?;
    works_without_docker(bare, &agent)?;
    let (before, _) = usage(agent.id())?;
    thread::sleep(Duration::from_secs(8));
    let (after, resident) = usage(agent.id())?;
    // A hundred ticks are a second; this is the unoptimised build with its ticks and queries.
    ensure!(after - before < 80, "{} ticks of processor time in 8 s", after - before);
    ensure!(resident < 256 << 20, "{} MiB resident", resident >> 20);
    ensure!(warnings(&agent) <= 6, "a stream of complaints:\n{}", agent.log());
    ensure!(!agent.log().contains('\u{1b}'), "the log carries the socket's escape sequences");
    agent.stop()?;
    Ok(())
}

fn doctor_reports_what_is_missing(bare: &Bare) -> Result<()> {
    let socket = format!("--docker-socket={}", bare.no_docker().display());
    let mut done = run(bare, &["doctor", "-o", "json", &socket])?;
    if done.status.code() == Some(2) {
        // The flag is the agent's; doctor reads the environment and the file.
        let mut command = agent::command(&bare.site.node(), &["doctor", "-o", "json"])?;
        done = process::finish(command.env("NETOBS_DOCKER_SOCKET", bare.no_docker()), process::SHORT)?;
    }
    let answer: serde_json::Value = serde_json::from_str(&done.stdout)
        .with_context(|| format!("doctor: {} {:.300} {}", done.status, done.stdout, done.stderr))?;
    let checks = answer["checks"].as_array().context("no checks")?;
    for check in checks {
        for key in ["name", "status", "found", "needed_for", "fix"] {
            ensure!(check.get(key).is_some(), "no {key} in {check}");
        }
        ensure!(
            ["ok", "missing", "degraded"].contains(&check["status"].as_str().unwrap_or_default()),
            "{check}"
        );
        let fine = check["status"] == "ok";
        ensure!(fine || !check["fix"].as_str().unwrap_or_default().is_empty(), "no fix for {check}");
    }
    let missing = checks.iter().any(|check| check["status"] == "missing");
    let expected = if missing { 1 } else { 0 };
    ensure!(done.status.code() == Some(expected), "{} with missing={missing}", done.status);
    let docker = checks.iter().find(|check| check["name"].to_string().to_lowercase().contains("docker"));
    ensure!(docker.is_some_and(|check| check["status"] != "ok"), "Docker is absent, doctor says {docker:?}");
    Ok(())
}
