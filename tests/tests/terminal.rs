//! `netobs top` as a person sees it: 80 × 24, the busiest flow first within three seconds, its rate right,
//! keys that work, a terminal given back; and on a machine without containers a header that says so.

use std::{
    process::ExitCode,
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context, Result, ensure};
use netobs_tests::{
    agent::{self, Agent},
    docker_site::{PLAIN, WEB},
    process::{self, Background},
    require::{DOCKER, TERMINAL, TRAFFIC},
    stage::Stage,
    suite::{self, Case},
    terminal::Terminal,
    traffic,
};

fn main() -> ExitCode {
    let case = |name, check| Case { name, check };
    suite::run(
        &[TRAFFIC, DOCKER, TERMINAL],
        Stage::new,
        vec![
            case("the_busiest_flow_is_first_within_three_seconds", busiest_first as Check),
            case("its_rate_is_iperf3s_within_ten_percent", rate_is_iperfs),
            case("keys_sort_filter_pause_drill_down_and_quit", keys_work),
            case("the_terminal_is_restored_by_sigterm_and_ctrl_c", restored_by_signals),
            case("the_terminal_is_restored_by_a_panic", restored_by_a_panic),
            case("odd_sizes_do_no_harm", odd_sizes),
            case("the_matrix_fits_eighty_columns", the_matrix_fits),
            case("an_empty_machine_says_what_was_looked_for", empty_machine),
        ],
    )
}

type Check = fn(&Stage) -> Result<()>;

/// A stream of 100 Mbit/s between two containers for as long as it is held.
struct Stream {
    _server: traffic::Server,
    _client: Background,
    _log: tempfile::NamedTempFile,
}

impl Stream {
    fn start(stage: &Stage) -> Result<Self> {
        let server = traffic::iperf_server(&stage.place(WEB)?, 5201)?;
        let log = tempfile::NamedTempFile::new()?;
        let web = stage.site.address(WEB)?;
        let words = ["-c", &web, "-p", "5201", "-b", "100M", "-t", "60", "-J"];
        let client = Background::start(&mut stage.place(PLAIN)?.command("iperf3", words), log.path())?;
        Ok(Self { _server: server, _client: client, _log: log })
    }
}

fn top(stage: &Stage) -> Result<(Terminal, Instant)> {
    let directory = tempfile::tempdir_in(stage.site.directory())?.keep();
    let terminal = Terminal::open(&directory)?;
    let program = agent::program()?;
    let stack = stage.agent.stack().file().display().to_string();
    let line = format!("nsenter --net={stack} {} top --agent {}", program.display(), stage.agent.url());
    terminal.press(&["clear; ", &line, "Enter"])?;
    Ok((terminal, Instant::now()))
}

/// The line below the column titles.
fn first_row(screen: &str) -> Option<&str> {
    screen.lines().skip_while(|line| !line.starts_with("SOURCE")).nth(1)
}

fn is_the_stream(row: &str) -> bool {
    row.contains(PLAIN)
        && row.contains(&format!("{WEB}:5201"))
        && row.contains("tcp")
        && row.contains("bridge")
}

fn busiest_first(stage: &Stage) -> Result<()> {
    let (terminal, _) = top(stage)?;
    let _stream = Stream::start(stage)?;
    let started = Instant::now();
    let screen = terminal.shows_within("the stream first", Duration::from_secs(8), |screen| {
        first_row(screen).is_some_and(is_the_stream)
    })?;
    let took = started.elapsed();
    ensure!(took < Duration::from_secs(3), "it took {took:?}");
    let titles = screen.lines().find(|line| line.starts_with("SOURCE")).context("no titles")?;
    for word in ["SOURCE", "DESTINATION", "PROTO", "PATH", "TX/s", "RX/s", "RETX", "VERDICT"] {
        ensure!(titles.contains(word), "no {word} in {titles}");
    }
    ensure!(screen.lines().all(|line| line.chars().count() <= 80), "wider than 80:\n{screen}");
    terminal.press(&["q"])?;
    terminal.must_be_restored()
}

/// `942M` → 942e6: the rates of the table are bits a second.
fn rate(word: &str) -> Option<f64> {
    let (digits, factor) = match word.chars().last()? {
        'k' => (&word[..word.len() - 1], 1e3),
        'M' => (&word[..word.len() - 1], 1e6),
        'G' => (&word[..word.len() - 1], 1e9),
        _ => (word, 1.0),
    };
    Some(digits.parse::<f64>().ok()? * factor)
}

fn rate_is_iperfs(stage: &Stage) -> Result<()> {
    let stream = Stream::start(stage)?;
    let (terminal, _) = top(stage)?;
    thread::sleep(Duration::from_secs(5));
    let screen = terminal.shows("the stream", |screen| first_row(screen).is_some_and(is_the_stream))?;
    let row = first_row(&screen).context("no row")?;
    let sent =
        row.split_whitespace().filter_map(rate).find(|rate| *rate > 1e6).context("no rate in the row")?;
    // Paced by iperf3 itself; what it adds of headers to skbs of many segments is far below a percent.
    ensure!((sent / 100e6 - 1.0).abs() < 0.1, "iperf3 sends 100 Mbit/s, the row says {sent}: {row}");
    let answer = stage.agent.query(&["top", "--once"])?;
    let first = &answer["flows"][0];
    let told = first["forward"]["bits_per_second"].as_f64().context("no rate in the JSON")?;
    ensure!((told / 100e6 - 1.0).abs() < 0.1, "the JSON says {told}");
    drop(stream);
    Ok(())
}

fn keys_work(stage: &Stage) -> Result<()> {
    let stream = Stream::start(stage)?;
    let _other = traffic::tcp_server(&stage.place(WEB)?, "0.0.0.0:7400")?;
    traffic::connect(&stage.place(PLAIN)?, &format!("{}:7400", stage.site.address(WEB)?), 1, 1000)?;
    let (terminal, _) = top(stage)?;
    let both = |screen: &str| screen.contains(":5201") && screen.contains(":7400");
    terminal.shows("two flows", both)?;
    // Filter.
    terminal.press(&["/", "7400", "Enter"])?;
    terminal.shows("the filtered flow alone", |screen| {
        first_row(screen).is_some_and(|row| row.contains(":7400")) && !screen.contains(":5201")
    })?;
    terminal.press(&["Escape"])?;
    terminal.shows("all flows again", both)?;
    // Sort: the same column twice turns the order round.
    terminal.press(&["s"])?;
    let sorted = terminal.shows("another order", |screen| !screen.contains("by rate"))?;
    terminal.press(&["0"])?;
    terminal
        .shows("the order by rate", |screen| {
            screen.contains("by rate") && first_row(screen).is_some_and(is_the_stream)
        })
        .with_context(|| format!("sorted before:\n{sorted}"))?;
    // Drill down to the hops.
    terminal.press(&["Enter"])?;
    let veth = stage.veth(PLAIN)?;
    terminal.shows("the hops", |screen| screen.contains(&veth) && screen.contains("ingress"))?;
    terminal.press(&["Escape"])?;
    terminal.shows("the list", both)?;
    // Pause: the numbers stand still, then move.
    terminal.press(&["p"])?;
    thread::sleep(Duration::from_millis(500));
    let still = terminal.screen()?;
    thread::sleep(Duration::from_secs(3));
    ensure!(terminal.screen()? == still, "paused, yet the screen changes");
    terminal.press(&["p"])?;
    terminal.shows("a change after the pause", |screen| screen != still)?;
    // Help and quit.
    terminal.press(&["?"])?;
    terminal.shows("the help", |screen| screen.contains("leave") || screen.contains("quit"))?;
    terminal.press(&["Escape"])?;
    terminal.press(&["q"])?;
    drop(stream);
    terminal.must_be_restored()
}

fn restored_by_signals(stage: &Stage) -> Result<()> {
    let (terminal, _) = top(stage)?;
    terminal.shows("the table", |screen| screen.contains("SOURCE"))?;
    ensure!(terminal.state("alternate_on")? == "1", "top does not use the alternate screen");
    terminal.press(&["C-c"])?;
    terminal.must_be_restored().context("after Ctrl-C")?;
    let (terminal, _) = top(stage)?;
    terminal.shows("the table", |screen| screen.contains("SOURCE"))?;
    let shell: i32 = terminal.state("pane_pid")?.parse()?;
    let child =
        process::run(&mut process::command("pgrep", ["-P", &shell.to_string(), "-f", "top --agent"]))?;
    nix::sys::signal::kill(
        nix::unistd::Pid::from_raw(child.trim().parse()?),
        nix::sys::signal::Signal::SIGTERM,
    )?;
    terminal.must_be_restored().context("after SIGTERM")
}

fn odd_sizes(stage: &Stage) -> Result<()> {
    let (terminal, _) = top(stage)?;
    terminal.shows("the table", |screen| screen.contains("SOURCE"))?;
    for (columns, rows) in [(1, 1), (10, 3), (200, 60), (79, 5), (40, 24), (80, 24)] {
        terminal.resize(columns, rows)?;
        thread::sleep(Duration::from_millis(150));
    }
    terminal.shows("the table again", |screen| screen.contains("SOURCE"))?;
    terminal.press(&["q"])?;
    terminal.must_be_restored()
}

/// A line that is too long would go on at the beginning of the next one, where nothing but kinds stand.
fn the_matrix_fits(stage: &Stage) -> Result<()> {
    let _server = traffic::tcp_server(&stage.place(WEB)?, "0.0.0.0:7401")?;
    let web = stage.site.address(WEB)?;
    traffic::connect(&stage.place(PLAIN)?, &format!("{web}:7401"), 2, 1000)?;
    traffic::connect(&stage.place(PLAIN)?, &format!("{web}:7402"), 1, 10)
        .err()
        .context("somebody answered")?;
    traffic::connect(&stage.node(), &format!("{web}:7401"), 1, 1000)?;
    thread::sleep(Duration::from_secs(3));
    let directory = tempfile::tempdir_in(stage.site.directory())?.keep();
    let terminal = Terminal::open(&directory)?;
    let program = agent::program()?;
    let stack = stage.agent.stack().file().display().to_string();
    let line = format!("nsenter --net={stack} {} matrix --agent {}", program.display(), stage.agent.url());
    terminal.press(&[&format!("clear; {line}; echo status:$?"), "Enter"])?;
    let screen = terminal.shows("its end", |screen| screen.lines().any(|line| line == "status:0"))?;
    let head = screen.lines().position(|line| line.starts_with("FROM ") && line.ends_with("EVIDENCE"));
    let rows = screen.lines().skip(head.with_context(|| screen.clone())? + 1);
    let rows: Vec<&str> = rows.take_while(|line| *line != "status:0").collect();
    let kinds = ["host ", "vm ", "container ", "pod ", "external ", "unknown "];
    let is_row = |line: &&str| line.starts_with("    ") || kinds.iter().any(|kind| line.starts_with(kind));
    ensure!(rows.len() >= 3 && rows.iter().all(is_row), "{screen}");
    ensure!(rows.iter().any(|line| line.contains("1 refused")), "{screen}");
    ensure!(rows.iter().all(|line| line.chars().count() <= 80), "{screen}");
    Ok(())
}

/// No runtime, no containers: what was looked for and where, and the agent of another namespace.
/// The message stands on the main screen, below what was there, and can be read.
fn restored_by_a_panic(stage: &Stage) -> Result<()> {
    let directory = tempfile::tempdir_in(stage.site.directory())?.keep();
    let terminal = Terminal::open(&directory)?;
    let program = process::own_program("examples/top_that_panics")?;
    terminal.press(&[&format!("clear; RUST_BACKTRACE=0 {}; echo status:$?", program.display()), "Enter"])?;
    terminal.shows("the view", |_| terminal.state("alternate_on").is_ok_and(|on| on == "1"))?;
    let screen = terminal.shows("its end", |screen| screen.lines().any(|line| line == "status:1"))?;
    for words in ["a fault made on purpose", "a part of netobs failed"] {
        ensure!(screen.contains(words), "{words:?} is not to be read:\n{screen}");
    }
    terminal.must_be_restored()
}

fn empty_machine(stage: &Stage) -> Result<()> {
    let node = netobs_tests::netns::Netns::new("empty")?;
    let no_docker = stage.site.directory().join("no-docker.sock");
    let agent = Agent::start(&node.stack(), &stage.site.directory().join("empty"), &no_docker, &[])?;
    thread::sleep(Duration::from_secs(2));
    let done = agent.client(&["top", "--once"])?;
    ensure!(done.status.success(), "{}", done.stderr);
    let matrix = agent.client(&["matrix"])?;
    ensure!(matrix.status.success() && matrix.stderr.lines().count() == 1, "{}", matrix.stderr);
    ensure!(matrix.stderr.contains("netobs endpoints"), "not said what to do: {}", matrix.stderr);
    let head = done.stdout.to_lowercase();
    ensure!(head.contains("no containers found"), "not said: {}", done.stdout);
    ensure!(
        head.contains(&no_docker.display().to_string().to_lowercase()),
        "the socket is not named: {}",
        done.stdout
    );
    agent.stop()?;
    Ok(())
}
