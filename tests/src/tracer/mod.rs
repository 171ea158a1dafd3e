//! Every packet at every hook of a network stack, in order of time: what the agent's hops are judged by. A program of
//! its own at the end of each chain, a parser of its own, nothing of netobs.

pub mod frame;
mod program;

use std::{collections::BTreeMap, fmt, ops::Range, os::fd::OwnedFd};

use anyhow::{Context, Result, ensure};

use crate::{
    bpf::{self, Tcx},
    counters::{self, Count},
    flows::Carried,
    netns::Stack,
};
use frame::{Frame, Tuple};
use program::{HEAD, KEPT, RECORDS};

/// How the payload of requests begins, and that of answers (see the `traffic` program).
const MARKS: [&[u8]; 2] = [b"rrrrrrrr", b"aaaaaaaa"];

/// A traced stack; ends when dropped.
#[derive(Debug)]
pub struct Tracer {
    counter: OwnedFd,
    records: OwnedFd,
    names: BTreeMap<u32, String>,
    _links: Vec<OwnedFd>,
}

/// A packet at a hook.
#[derive(Clone, Debug)]
pub struct Seen {
    /// Nanoseconds of the kernel's monotonic clock, the same for all stacks.
    pub at: u64,
    /// The interface's name.
    pub interface: String,
    /// Whether at ingress.
    pub ingress: bool,
    /// `ingress_ifindex`: the interface it came by, 0 for none in this stack.
    pub came_by: u32,
    /// `skb->len`.
    pub length: u32,
    /// What it is; `None` for what has no ports.
    pub frame: Option<Frame>,
}

/// Where a packet was seen, and how.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TracedHop {
    /// The interface's name.
    pub interface: String,
    /// Whether at ingress.
    pub ingress: bool,
    /// Its own tuple there.
    pub tuple: Tuple,
    /// That of the encapsulation it had there, and its network's number.
    pub outer: Option<(Tuple, u32)>,
    /// The interface it had come by.
    pub came_by: u32,
    /// Everything of this tuple that passed there.
    pub carried: Carried,
}

impl TracedHop {
    /// `interface hook`.
    #[must_use]
    pub fn place(&self) -> String {
        format!("{} {}", self.interface, if self.ingress { "ingress" } else { "egress" })
    }

    /// Who sends to whom as the hook sees it: an encapsulation's tuple where there is one.
    #[must_use]
    pub fn shown(&self) -> Tuple {
        self.outer.map_or(self.tuple, |(outer, _)| outer)
    }
}

impl fmt::Display for TracedHop {
    fn fmt(&self, to: &mut fmt::Formatter<'_>) -> fmt::Result {
        let hook = if self.ingress { "I" } else { "E" };
        write!(to, "{} {hook} `{}`", self.interface, self.tuple)?;
        if let Some((outer, vni)) = &self.outer {
            write!(to, " in `{outer}` {vni}")?;
        }
        write!(to, " iif={}", self.came_by)
    }
}

impl Tracer {
    /// Traces every interface the stack has now.
    ///
    /// # Errors
    /// Without privilege, or where the kernel has no TCX.
    pub fn attach(stack: &Stack) -> Result<Self> {
        let (counter, records) = (bpf::array(8, 1)?, bpf::array(HEAD + KEPT, RECORDS)?);
        let names = counters::snapshot(stack)?;
        let names: BTreeMap<_, _> = names.into_iter().map(|(index, one)| (index, one.name)).collect();
        let mut links = Vec::new();
        for hook in [Tcx::Ingress, Tcx::Egress] {
            let loaded = program::load(hook, &counter, &records)?;
            for name in names.values() {
                links.push(bpf::attach_tcx(stack, &loaded, name, hook)?);
            }
        }
        Ok(Self { counter, records, names, _links: links })
    }

    /// All packets so far, in order of time.
    ///
    /// # Errors
    /// When there were more than the tracer holds.
    pub fn seen(&self) -> Result<Vec<Seen>> {
        let mut count = [0; 8];
        bpf::read_array(&self.counter, 0, &mut count)?;
        let end = u64::from_ne_bytes(count);
        ensure!(end <= u64::from(RECORDS), "{end} packets, and the tracer holds {RECORDS}");
        let mut seen = Vec::new();
        for index in 0..end {
            let mut record = [0; HEAD + KEPT];
            bpf::read_array(&self.records, index.try_into()?, &mut record)?;
            seen.push(self.read(&record)?);
        }
        seen.sort_by_key(|one| one.at);
        Ok(seen)
    }

    fn read(&self, record: &[u8; HEAD + KEPT]) -> Result<Seen> {
        let word =
            |at: usize| record[at..].first_chunk().copied().map(u32::from_ne_bytes).context("a short record");
        let index = word(8)?;
        let kept = usize::try_from(word(24)?)?;
        Ok(Seen {
            at: record.first_chunk().copied().map(u64::from_ne_bytes).context("a short record")?,
            interface: self.names.get(&index).cloned().with_context(|| format!("interface {index}"))?,
            ingress: word(20)? == Tcx::Ingress as u32,
            came_by: word(12)?,
            length: word(16)?,
            frame: frame::read(record[HEAD..].get(..kept).context("a long frame")?),
        })
    }
}

/// Everything that passed a hook.
#[must_use]
pub fn total(seen: &[Seen], interface: &str, ingress: bool) -> Count {
    let passed = seen.iter().filter(|one| one.interface == interface && one.ingress == ingress);
    passed.fold(Count::default(), |sum, one| Count {
        packets: sum.packets + 1,
        bytes: sum.bytes + i128::from(one.length),
    })
}

/// Now, by the clock of [`Seen::at`].
///
/// # Errors
/// When there is no such clock.
pub fn now() -> Result<u64> {
    let now = nix::time::clock_gettime(nix::time::ClockId::CLOCK_MONOTONIC)?;
    Ok(u64::try_from(now.tv_sec())? * 1_000_000_000 + u64::try_from(now.tv_nsec())?)
}

/// The hops of the requests (`forward`) or of the answers that were on the way in a span of time in which there was
/// but one conversation, in order of time; and how much of the same tuple passed each of them from then on.
#[must_use]
pub fn way(seen: &[Seen], span: &Range<u64>, forward: bool) -> Vec<TracedHop> {
    let mut hops: Vec<TracedHop> = Vec::new();
    for one in seen.iter().filter(|one| span.contains(&one.at)) {
        let Some(frame) = one.frame.as_ref().filter(|frame| is_marked(frame, forward)) else { continue };
        let hop = TracedHop {
            interface: one.interface.clone(),
            ingress: one.ingress,
            tuple: frame.tuple,
            outer: frame.outer,
            came_by: one.came_by,
            carried: Carried::default(),
        };
        if !hops.iter().any(|known| is_same(known, &hop)) {
            hops.push(hop);
        }
    }
    for hop in &mut hops {
        let passed: Vec<_> = seen.iter().filter(|one| one.at >= span.start && is_at(one, hop)).collect();
        hop.carried.packets = passed.len() as u64;
        hop.carried.bytes = passed.iter().map(|one| u64::from(one.length)).sum();
    }
    hops
}

fn is_marked(frame: &Frame, forward: bool) -> bool {
    if matches!(frame.tuple.protocol, 1 | 58) {
        return frame.is_echo_request == forward;
    }
    frame.payload.starts_with(MARKS[usize::from(!forward)])
}

fn is_at(one: &Seen, hop: &TracedHop) -> bool {
    let same = |frame: &Frame| frame.tuple == hop.tuple && frame.outer.is_some() == hop.outer.is_some();
    (&one.interface, one.ingress) == (&hop.interface, hop.ingress) && one.frame.as_ref().is_some_and(same)
}

/// The same hook, and the same conversation at it: the sender of an encapsulation may use several ports.
fn is_same(one: &TracedHop, other: &TracedHop) -> bool {
    (&one.interface, one.ingress, one.tuple) == (&other.interface, other.ingress, other.tuple)
}
