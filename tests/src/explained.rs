//! A fault that is injected and an attempt → what `netobs explain` says of it, held against what it must say: the cause
//! named first, with what was seen and what is configured, the last hop, the exit status.

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use serde_json::Value;

use crate::{
    agent::Agent,
    netns::Stack,
    place::Place,
    process::{Background, Finished, until},
};

/// How soon after the attempt the cause must be named.
pub const SOON: Duration = Duration::from_secs(10);

/// What undoes a change, when dropped.
#[derive(Debug)]
pub struct Undo {
    stack: Stack,
    command: String,
}

impl Undo {
    /// Runs that command line in the stack once dropped.
    #[must_use]
    pub fn new(stack: &Stack, command: &str) -> Self {
        Self { stack: stack.clone(), command: command.to_owned() }
    }
}

impl Drop for Undo {
    fn drop(&mut self) {
        if let Err(error) = self.stack.run(&self.command) {
            eprintln!("{error:#}");
        }
    }
}

/// Changes something for as long as the value lives.
///
/// # Errors
/// When the command fails.
pub fn change(stack: &Stack, command: &str, undo: &str) -> Result<Undo> {
    stack.run(command)?;
    Ok(Undo::new(stack, undo))
}

/// A rule of iptables at the head of a chain, for as long as the value lives.
///
/// # Errors
/// When iptables refuses it.
pub fn rule(stack: &Stack, table: &str, chain: &str, rule: &str) -> Result<Undo> {
    change(
        stack,
        &format!("iptables -w -t {table} -I {chain} {rule}"),
        &format!("iptables -w -t {table} -D {chain} {rule}"),
    )
}

/// The packets a rule of a chain has taken, by a word that stands in it.
///
/// # Errors
/// When there is no such rule.
pub fn taken(stack: &Stack, chain: &str, word: &str) -> Result<u64> {
    let text = stack.run(&format!("iptables -w -nvxL {chain}"))?;
    let line =
        text.lines().find(|line| line.contains(word)).with_context(|| format!("no {word} in {text}"))?;
    line.split_whitespace().next().context("no counter")?.parse().context("no number")
}

/// Asks once.
///
/// # Errors
/// When the answer is no JSON.
pub fn ask(agent: &Agent, source: &str, destination: &str) -> Result<(Finished, Value)> {
    let done = agent.client(&["explain", source, destination, "-o", "json"])?;
    let answer = serde_json::from_str(&done.stdout)
        .with_context(|| format!("{}: {:.300}{}", done.status, done.stdout, done.stderr))?;
    Ok((done, answer))
}

/// What an explanation must say.
#[derive(Clone, Copy, Debug)]
pub struct Expected<'a> {
    /// The first cause.
    pub cause: &'a str,
    /// One of these.
    pub verdicts: &'a [&'a str],
    /// Of what was seen.
    pub observed: &'a str,
    /// Of what is configured.
    pub configured: &'a str,
    /// Interface and hook.
    pub last_hop: Option<(&'a str, &'a str)>,
}

impl Expected<'_> {
    fn is_met(&self, (done, answer): &(Finished, Value)) -> Result<()> {
        let first = &answer["causes"][0];
        ensure!(first["cause"] == self.cause, "{answer:#}");
        ensure!(done.status.code() == Some(1), "{}: {answer:#}", done.status);
        ensure!(self.verdicts.iter().any(|one| answer["verdict"] == *one), "{answer:#}");
        let says = |field: &str, words: &str| first[field].as_str().is_some_and(|text| text.contains(words));
        ensure!(says("observed", self.observed) && says("configured", self.configured), "{answer:#}");
        let hop = &answer["last_hop"];
        match self.last_hop {
            Some((interface, hook)) => {
                ensure!(hop["interface"] == interface && hop["hook"] == hook, "{answer:#}");
            }
            None => ensure!(hop.is_null(), "{answer:#}"),
        }
        Ok(())
    }
}

/// Waits until the answer to a question is as expected; returns it.
///
/// # Errors
/// With the last answer, when it is not as expected soon.
pub fn told(agent: &Agent, ends: [&str; 2], wanted: &Expected<'_>) -> Result<Value> {
    until("the explanation", SOON, || {
        let answer = ask(agent, ends[0], ends[1])?;
        wanted.is_met(&answer)?;
        Ok(answer.1)
    })
}

/// Tries, by words of the `traffic` program, and waits until the answer is as expected; returns it.
///
/// # Errors
/// With the last answer, when it is not as expected soon.
pub fn explained(
    agent: &Agent,
    (from, attempt): (&Place<'_>, &[&str]),
    ends: [&str; 2],
    wanted: &Expected<'_>,
) -> Result<Value> {
    let log = tempfile::NamedTempFile::new()?;
    let trying = Background::start(&mut from.traffic(attempt)?, log.path())?;
    let found = told(agent, ends, wanted);
    drop(trying);
    let answer = found?;
    // What a person reads names it too, and the ticket has the way drawn.
    let page = agent.client(&["explain", ends[0], ends[1]])?.stdout;
    ensure!(page.contains(&format!("1. {}", wanted.cause)), "{page}");
    let ticket = agent.client(&["explain", ends[0], ends[1], "-o", "markdown"])?.stdout;
    ensure!(ticket.contains("```mermaid") != answer["last_hop"].is_null(), "{ticket}");
    Ok(answer)
}

/// Waits until a pair that talked is said to be without a fault, with its proof.
///
/// # Errors
/// With the last answer, when a fault is claimed or the proof is missing.
pub fn faultless(agent: &Agent, source: &str, destination: &str) -> Result<Value> {
    let answer = until("the proof", SOON, || {
        let (done, answer) = ask(agent, source, destination)?;
        ensure!(answer["verdict"] == "reachable" && done.status.success(), "{answer:#}");
        let no_causes = answer["causes"].as_array().is_some_and(Vec::is_empty);
        ensure!(no_causes, "{answer:#}");
        let kinds: Vec<_> =
            answer["evidence"].as_array().into_iter().flatten().map(|one| one["kind"].clone()).collect();
        ensure!(kinds.contains(&"syn_ack".into()) && kinds.contains(&"reply_packet".into()), "{answer:#}");
        Ok(answer)
    })?;
    let page = agent.client(&["explain", source, destination])?.stdout;
    ensure!(page.contains("No fault found"), "{page}");
    Ok(answer)
}
