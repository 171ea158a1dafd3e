//! One packet at one hook → counted, with its reason if it has no flow. Nothing is returned, so no path
//! through here can change what happens to the packet.

use aya_ebpf::programs::TcContext;
use netobs_common::{
    counters::Counters, hook::Hook, interface::Interface, key::Origin, packet::Packet, parse::parse,
    segments::segments, skip::Skip,
};

use crate::{
    count::{self, Seen},
    exact, fragment, icmp, inner, interface,
    maps::SCRATCH,
    skb::Skb,
    tunnel,
};

/// Counts a packet on an interface of the host.
#[inline(always)]
pub(crate) fn observe(ctx: &TcContext, hook: Hook) {
    look(ctx, hook, interface::find);
}

/// Counts a packet on an interface inside an endpoint's network stack.
#[inline(always)]
pub(crate) fn inside(ctx: &TcContext, hook: Hook) {
    look(ctx, hook, |index| inner::find(ctx, index));
}

#[inline(always)]
fn look(ctx: &TcContext, hook: Hook, find: impl FnOnce(u32) -> Option<Interface>) {
    // The only entry of an array: the verifier wants the question asked, the answer is always there.
    let Some(scratch) = SCRATCH.get_ptr_mut(0) else { return };
    // SAFETY: this CPU's own, and no other program of this CPU runs meanwhile (see `Scratch`).
    let scratch = unsafe { &mut *scratch };
    let skb = Skb::new(ctx, &raw mut scratch.copied);
    let length = skb.length();
    let (gso_size, gso_segs) = skb.offload();
    let Some(interface) = &find(skb.ifindex()) else {
        exact::skipped(0, hook, Skip::UNKNOWN_INTERFACE, Counters::one(gso_segs.max(1), length));
        return;
    };

    if let Err(reason) = parse(&skb, interface.link_layer, skb.tag(), &mut scratch.headers) {
        exact::skipped(interface.id, hook, reason, Counters::one(gso_segs.max(1), length));
        return;
    }
    let known = fragment::ports(
        interface,
        hook,
        &mut scratch.headers,
        &mut scratch.fragment_key,
        &mut scratch.datagram,
    );
    let ingress_ifindex = skb.ingress_ifindex();
    let forwarded = hook == Hook::EGRESS && ingress_ifindex != 0;
    let known = tunnel::enter(&skb, interface, hook, forwarded, scratch, known);

    let headers = &scratch.headers;
    let key = &mut scratch.flow_key;
    key.source = headers.source;
    key.destination = headers.destination;
    key.interface = interface.id;
    key.source_port = headers.ports.source;
    key.destination_port = headers.ports.destination;
    [key.vlan, key.inner_vlan] = headers.vlans;
    key.network = headers.network;
    key.proto = headers.proto;
    key.hook = hook;
    key.fragment = u8::from(!known);
    key.padding = [0; 3];

    let seen = Seen {
        interface,
        hook,
        origin: if forwarded { Origin::FORWARDED } else { Origin::LOCAL },
        ingress_ifindex,
        counters: Counters::one(segments(length, headers.length, gso_size, gso_segs), length),
    };
    count::seen(ctx, scratch, &seen);
    icmp::look(ctx, scratch, &seen);
}
