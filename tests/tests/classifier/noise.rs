//! Arbitrary bytes and mutated packets → each goes on as it came, and each is counted once: in a path or under
//! a reason.

use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use netobs_common::interface::{Interface, LinkLayer};
use netobs_tests::{packets::samples, suite::Case, test_run::Context};

use super::site::{HOOKS, SHORT, Site, sum};

/// Packets sent.
const PACKETS: u64 = 200_000;
/// A machine that is slower than this has not stalled, but the case says so instead of going on for ever.
const LIMIT: Duration = Duration::from_secs(120);

pub(crate) fn cases() -> Vec<Case<()>> {
    vec![Case { name: "noise_goes_on_as_it_came_and_is_counted_once", check: noise }]
}

/// xorshift64 (Marsaglia 2003): the same packets in every run, so that a failure can be repeated.
struct Numbers(u64);

impl Numbers {
    fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0
    }

    fn below(&mut self, end: usize) -> usize {
        (self.next() % end as u64) as usize
    }
}

fn noise(_: &()) -> Result<()> {
    let mut site = Site::new(1024)?;
    let samples = samples::all();
    let mut numbers = Numbers(0x6e65_746f_6273);
    let (started, mut bytes_sent, mut segments_sent) = (Instant::now(), 0, 0);
    for number in 0..PACKETS {
        if number % 1_000 == 0 {
            // Few interfaces: what must not run over here is the path table.
            let link_layer = LinkLayer((number / 1_000 % 2) as u8);
            site.interface(Interface {
                id: 1 + (number / 1_000 % 4) as u32,
                link_layer,
                ..Interface::default()
            })?;
            ensure!(started.elapsed() < LIMIT, "only {number} packets in {LIMIT:?}");
        }
        let packet = made_up(&mut numbers, &samples);
        let context = if packet.len() < SHORT { Context::default() } else { made_up_context(&mut numbers) };
        site.send_as(HOOKS[numbers.below(2)], &packet, &context)
            .with_context(|| format!("packet {number}: {packet:02x?} {context:?}"))?;
        bytes_sent += packet.len() as u64;
        // Packets with a flow are unfolded by their headers; only whole packets make a sum of segments.
        segments_sent += u64::from(context.gso_segs.max(1));
    }
    let drain = site.read()?;
    let counted = sum(drain.paths.iter().map(|(_, path)| path.all));
    let skipped = sum(drain.skips.values().copied());
    let all = sum([counted, skipped]);
    ensure!((all.packets, all.bytes) == (PACKETS, bytes_sent), "{counted:?} counted and {skipped:?} skipped");
    ensure!(all.segments == segments_sent, "{} segments, not {segments_sent}", all.segments);
    let listed = sum(drain.flows.iter().map(|(_, flow)| flow.counters));
    let unlisted = sum(drain.paths.iter().map(|(_, path)| path.unlisted));
    ensure!(sum([listed, unlisted]) == counted, "{listed:?} listed, {unlisted:?} not, {counted:?} counted");
    ensure!(
        counted.packets > PACKETS / 10 && skipped.packets > PACKETS / 10,
        "{counted:?} {skipped:?}: one-sided"
    );
    Ok(())
}

/// A sample with some bytes replaced, and perhaps cut or made longer; one in eight is all noise.
fn made_up(numbers: &mut Numbers, samples: &[samples::Sample]) -> Vec<u8> {
    if numbers.below(8) == 0 {
        let length = 14 + numbers.below(300);
        return (0..length).map(|_| numbers.next() as u8).collect();
    }
    let mut packet = samples[numbers.below(samples.len())].bytes.clone();
    for _ in 0..numbers.below(4) {
        let at = numbers.below(packet.len());
        packet[at] = numbers.next() as u8;
    }
    match numbers.below(4) {
        0 => packet.truncate(14 + numbers.below(packet.len())),
        1 => packet.resize(packet.len() + numbers.below(1_000), 0xa5),
        _ => {}
    }
    packet.resize(packet.len().max(14), 0);
    packet
}

/// Half are plain; the others are super packets whose segments the kernel has counted.
fn made_up_context(numbers: &mut Numbers) -> Context {
    let ingress_ifindex = numbers.below(2) as u32;
    if numbers.below(2) == 0 {
        return Context { ingress_ifindex, ..Context::default() };
    }
    Context {
        ingress_ifindex,
        gso_size: 1 + numbers.below(2_000) as u32,
        gso_segs: 1 + numbers.below(60) as u32,
    }
}
