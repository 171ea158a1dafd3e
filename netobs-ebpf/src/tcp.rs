//! A TCP header → how far its direction of the conversation has come: beginning and end, what was sent again, what is
//! timed.

use core::ptr;

use netobs_common::{
    counters::FlowCounters,
    parse::{Headers, Segment},
    progress::{Numbers, TcpProgress},
    wire::TcpFlags,
};

use crate::{clock, count};

/// Clocks of timestamps tick once a millisecond on Linux (`tcp_clock_ms`, Linux 6.18), so one packet in about a second
/// is timed.
const TIMED_EVERY: u32 = 10;

/// Takes in a packet of a flow that other CPUs may be adding to.
///
/// # Safety
/// Sums are added to atomically; what else is written is written whole, with a value any CPU may write. Two CPUs at once
/// can lose one of two SYNs, or take a packet for one sent again: one flow is on one CPU, but for a moment.
#[inline(always)]
pub(crate) unsafe fn follow(flow: &mut FlowCounters, headers: &Headers, segments: u64) {
    let tcp = headers.tcp;
    if tcp.0 & (TcpFlags::SYN.0 | TcpFlags::FIN.0 | TcpFlags::RST.0) != 0 {
        flags(flow, tcp, headers.hop_limit);
    }
    let flow = &mut flow.tcp;
    let opening = TcpFlags::SYN.0 | TcpFlags::ACK.0 | TcpFlags::RST.0;
    if flow.acknowledged_at == 0 && tcp.0 & opening == TcpFlags::ACK.0 {
        flow.acknowledged_at = clock::precise();
    }
    let segment = &headers.segment;
    if segment.is_whole == 0 || tcp.has(TcpFlags::RST) {
        return;
    }
    if segment.window == 0 {
        // SAFETY: the caller's.
        unsafe { count::add(&raw mut flow.zero_windows, 1) };
    }
    let sum = match flow.take(segment, tcp, clock::precise) {
        Numbers::AGAIN => &raw mut flow.retransmits,
        Numbers::FILLED => &raw mut flow.filled,
        _ => ptr::null_mut(),
    };
    if !sum.is_null() {
        // SAFETY: the caller's.
        unsafe { count::add(sum, segments) };
    }
    if segment.has_timestamps != 0 {
        time(flow, segment);
    }
}

/// A byte each, so that no CPU overwrites what another one saw.
#[inline(always)]
fn flags(flow: &mut FlowCounters, tcp: TcpFlags, hop_limit: u8) {
    if tcp.has(TcpFlags::SYN) {
        if tcp.has(TcpFlags::ACK) {
            flow.syn_ack = 1;
        } else {
            flow.syn = flow.syn.saturating_add(1);
        }
    }
    if tcp.has(TcpFlags::FIN) {
        flow.fin = 1;
    }
    if tcp.has(TcpFlags::RST) && flow.rst == 0 {
        flow.rst_hop_limit = hop_limit;
        flow.rst = 1;
    }
}

/// The packet with data that is timed, and the echo that tells when it came back, are chosen by the clock they carry:
/// each direction finds its own without looking at the other's entry.
#[inline(always)]
fn time(flow: &mut TcpProgress, segment: &Segment) {
    let begins = |at: u64, last: u32, now: u32| at == 0 || last >> TIMED_EVERY != now >> TIMED_EVERY;
    if segment.data != 0 && begins(flow.timed_at, flow.timed, segment.timestamp) {
        flow.timed = segment.timestamp;
        flow.timed_at = clock::precise();
    }
    if segment.echo != 0 && begins(flow.echoed_at, flow.echoed, segment.echo) {
        flow.echoed = segment.echo;
        flow.echoed_at = clock::precise();
    }
}
