//! What was measured → a table for the terminal, and the document of it.

use std::fmt::Write as _;

use crate::measure::{Bench, Spread};

/// For the terminal.
pub(crate) fn text(bench: &Bench) -> String {
    let mut text = format!("{}\n\n", summary(bench));
    for line in lines(bench) {
        let [name, raw, floor, net, times] = line;
        writeln!(text, "{name:<30} {raw:>16} {floor:>16} {net:>16} {times:>18}").ok();
    }
    text
}

/// `docs/performance.md`.
pub(crate) fn document(bench: &Bench) -> String {
    let mut text = format!(
        "# Performance\n\n\
         Written by `cargo xtask bench`. Nanoseconds of one machine, of use beside each other only: run it on yours.\n\n\
         {}\n\n",
        summary(bench)
    );
    for (number, line) in lines(bench).iter().enumerate() {
        writeln!(text, "| {} |", line.join(" | ")).ok();
        if number == 0 {
            text.push_str("| --- | --- | --- | --- | --- |\n");
        }
    }
    text.push_str(METHOD);
    text
}

const METHOD: &str = "
Medians of the rounds, quartiles in brackets. **Raw** is what the kernel tells of a run of the ingress classifier
as the agent loads it, on an interface with an owner on a bridge (`BPF_PROG_TEST_RUN`); **floor** is the empty
program, which returns \"go on\", in the same place and round; **net** and **× empty** are their difference and
quotient in each round. With more than one flow, a program in front writes another source port into the packet
before every run, at random over all flows, and goes on by tail call, to the empty program too; so only net is of
use there. *First packet of a flow* classifies both sides and makes the entry, each tuple once. *Flow table full*
has room for 1,024 of 65,000 flows: most packets are classified, refused by the table, and counted by path as
without flow detail. After every measurement the tables are read: all packets are counted and all flows that fit
are listed, or the bench fails.
";

fn summary(bench: &Bench) -> String {
    let verified: Vec<_> = bench
        .verified_instructions
        .iter()
        .map(|(hook, count)| format!("{hook} {}", count.map_or("unknown".into(), |count| count.to_string())))
        .collect();
    format!(
        "Linux {}, {} rounds; empty program {} ns; instructions verified: {}.",
        bench.kernel,
        bench.rounds,
        whole(bench.empty),
        verified.join(", ")
    )
}

fn lines(bench: &Bench) -> Vec<[String; 5]> {
    let head = ["packets", "raw ns", "floor ns", "net ns", "× empty"].map(str::to_owned);
    let rows = bench.rows.iter().map(|row| {
        [
            row.name.to_owned(),
            whole(row.raw),
            whole(row.floor),
            whole(row.net),
            row.times_empty.map_or_else(String::new, |times| {
                format!("{:.2} ({:.2}–{:.2})", times.median, times.low, times.high)
            }),
        ]
    });
    std::iter::once(head).chain(rows).collect()
}

fn whole(spread: Spread) -> String {
    format!("{:.0} ({:.0}–{:.0})", spread.median, spread.low, spread.high)
}
