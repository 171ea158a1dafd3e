//! A TCP header → how far its direction of the conversation has come: beginning and end, what was sent again, what is
//! timed.

use netobs_common::{
    counters::{FlowCounters, TcpProgress},
    parse::{Headers, Segment},
    wire::TcpFlags,
};

use crate::{clock, count};

/// Clocks of timestamps tick once a millisecond on Linux (`tcp_clock_ms`, Linux 6.18), so one packet in about a second
/// is timed.
const TIMED_EVERY: u32 = 10;

/// Farther back than any window reaches (2^30, RFC 7323, 2.3).
const FAR: i32 = 1 << 30;

/// Takes in a packet of a flow that other CPUs may be adding to.
///
/// # Safety
/// Sums are added to atomically; what else is written is written whole, with a value any CPU may write. Two CPUs at once
/// can lose one of two SYNs, or take a packet that overtook another one for one sent again: one flow is on one CPU, but
/// for a moment.
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
    // SAFETY: the caller's.
    unsafe { sequence(flow, segment, tcp, segments) };
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

/// Whether all that the packet holds was seen before. A probe of an idle connection or of a closed window holds
/// nothing (Linux `tcp_xmit_probe_skb`), and is none.
///
/// # Safety
/// `flow` is a map entry's, or this CPU's own.
#[inline(always)]
unsafe fn sequence(flow: &mut TcpProgress, segment: &Segment, tcp: TcpFlags, segments: u64) {
    let numbers = segment.data + u32::from(tcp.has(TcpFlags::SYN)) + u32::from(tcp.has(TcpFlags::FIN));
    if numbers == 0 {
        return;
    }
    // One byte that was there before asks whether the other side still lives (RFC 9293, 3.8.4).
    if segment.data == 1 && numbers == 1 && segment.sequence.wrapping_add(1) == flow.next {
        return;
    }
    let end = segment.sequence.wrapping_add(numbers);
    let ahead = end.wrapping_sub(flow.next) as i32;
    // A connection that takes the place of an earlier one begins anew, and one that was elsewhere for long goes on.
    let begins = tcp.has(TcpFlags::SYN) && ahead != 0;
    if flow.has_next == 0 || ahead > 0 || begins || ahead < -FAR {
        flow.next = end;
        flow.has_next = 1;
    } else {
        // SAFETY: the caller's.
        unsafe { count::add(&raw mut flow.retransmits, segments) };
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
