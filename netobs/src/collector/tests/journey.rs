//! Connections and the hooks their packets pass, in the measured order (docs/paths.md).

use netobs_common::{
    hook::Hook,
    wire::{Network, Proto},
};

use crate::{
    flow::{
        made_up::{peer, tuple},
        translation::Tracked,
        tuple::Tuple,
    },
    report::KindName,
};

/// What translation has made of the tuple at a hook.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Form {
    /// As the initiator sends it.
    Original,
    /// The destination translated, the source not yet.
    Half,
    /// As the other side receives it.
    Translated,
}

use Form::{Half, Original, Translated};

/// One hook on the way.
#[derive(Clone, Copy, Debug)]
pub(super) struct Step {
    pub(super) interface: &'static str,
    pub(super) hook: Hook,
    /// The interface it came in by (`ingress_ifindex`), none for what this host made.
    pub(super) from: Option<&'static str>,
    pub(super) form: Form,
}

const fn enters(interface: &'static str, form: Form) -> Step {
    Step { interface, hook: Hook::INGRESS, from: Some(interface), form }
}

pub(super) const fn made(interface: &'static str, form: Form) -> Step {
    Step { interface, hook: Hook::EGRESS, from: None, form }
}

const fn leaves(interface: &'static str, from: &'static str, form: Form) -> Step {
    Step { interface, hook: Hook::EGRESS, from: Some(from), form }
}

/// A conversation to be had.
#[derive(Clone, Debug)]
pub(super) struct Connection {
    pub(super) original: Tuple,
    pub(super) translated: Tuple,
    pub(super) forward: Vec<Step>,
    pub(super) reply: Vec<Step>,
    /// Sent to a group's hardware address.
    pub(super) group: bool,
    /// Asks for a neighbour, who answers the asker alone.
    pub(super) asks: bool,
    pub(super) mac: [u8; 6],
    /// What initiator and other side really are.
    pub(super) kinds: [KindName; 2],
    /// Where the firewall tracks it.
    pub(super) zones: [u16; 2],
}

use KindName::{Container, External, Host, Unknown};

pub(super) const A: &str = "172.17.0.2";
pub(super) const B: &str = "172.17.0.3";
pub(super) const C: &str = "172.18.0.2";
pub(super) const GATEWAY: &str = "172.17.0.1";
pub(super) const NODE: &str = "198.51.100.1";
pub(super) const OUTSIDE: &str = "203.0.113.9";

fn direct(
    proto: Proto,
    (source, destination): (&str, &str),
    kinds: [KindName; 2],
    forward: Vec<Step>,
    reply: Vec<Step>,
) -> Connection {
    let original = tuple(proto, source, destination);
    let mac = [2, 0, 0, 0, 0, 9];
    let (group, asks) = (false, false);
    Connection { original, translated: original, forward, reply, group, asks, mac, kinds, zones: [0; 2] }
}

fn at(address: &str, port: u16) -> String {
    format!("{address}:{port}")
}

impl Connection {
    /// Another protocol over the same way.
    pub(super) fn over(mut self, proto: Proto) -> Self {
        (self.original.proto, self.translated.proto) = (proto, proto);
        if proto == Proto::ICMP {
            // An echo: the identifier on both sides.
            for tuple in [&mut self.original, &mut self.translated] {
                tuple.destination.port = tuple.source.port;
            }
        }
        self
    }

    pub(super) const fn tracked(&self) -> Tracked {
        Tracked { original: self.original, translated: self.translated, zones: self.zones }
    }

    /// The tuple of a direction at a step.
    pub(super) const fn seen_as(&self, forward: bool, form: Form) -> Tuple {
        let tuple = match form {
            Original => self.original,
            Translated => self.translated,
            Half => Tuple { destination: self.translated.destination, ..self.original },
        };
        if forward { tuple } else { tuple.reversed() }
    }

    pub(super) fn steps(&self, forward: bool) -> &[Step] {
        if forward { &self.forward } else { &self.reply }
    }

    pub(super) fn host_to_container(port: u16) -> Self {
        direct(
            Proto::TCP,
            (&at(GATEWAY, port), &at(A, 80)),
            [Host, Container],
            vec![made("docker0", Original), made("va", Original)],
            vec![enters("va", Original), enters("docker0", Original)],
        )
    }

    pub(super) fn container_to_host(port: u16) -> Self {
        direct(
            Proto::TCP,
            (&at(A, port), &at(GATEWAY, 22)),
            [Container, Host],
            vec![enters("va", Original), enters("docker0", Original)],
            vec![made("docker0", Original), made("va", Original)],
        )
    }

    pub(super) fn on_one_bridge(port: u16) -> Self {
        direct(
            Proto::TCP,
            (&at(A, port), &at(B, 80)),
            [Container, Container],
            vec![enters("va", Original), leaves("vb", "va", Original)],
            vec![enters("vb", Original), leaves("va", "vb", Original)],
        )
    }

    pub(super) fn between_bridges(port: u16) -> Self {
        direct(
            Proto::TCP,
            (&at(A, port), &at(C, 80)),
            [Container, Container],
            vec![
                enters("va", Original),
                enters("docker0", Original),
                leaves("br1", "docker0", Original),
                leaves("vc", "docker0", Original),
            ],
            vec![
                enters("vc", Original),
                enters("br1", Original),
                leaves("docker0", "br1", Original),
                leaves("va", "br1", Original),
            ],
        )
    }

    pub(super) fn masqueraded(port: u16) -> Self {
        let mut one = direct(
            Proto::TCP,
            (&at(A, port), &at(OUTSIDE, 443)),
            [Container, External],
            vec![enters("va", Original), enters("docker0", Original), leaves("eth0", "docker0", Translated)],
            vec![
                enters("eth0", Translated),
                leaves("docker0", "eth0", Original),
                leaves("va", "eth0", Original),
            ],
        );
        // Another port: joining by equal ports must not work.
        one.translated.source = peer(&at(NODE, port ^ 0x4000));
        one
    }

    pub(super) fn published(port: u16) -> Self {
        let mut one = direct(
            Proto::TCP,
            (&at(OUTSIDE, port), &at(NODE, 8080)),
            [External, Container],
            vec![
                enters("eth0", Original),
                leaves("docker0", "eth0", Translated),
                leaves("va", "eth0", Translated),
            ],
            vec![
                enters("va", Translated),
                enters("docker0", Translated),
                leaves("eth0", "docker0", Original),
            ],
        );
        one.translated.destination = peer(&at(A, 80));
        one
    }

    /// To a published port from a container of another bridge: the destination alone is translated.
    pub(super) fn published_across(port: u16) -> Self {
        let mut one = direct(
            Proto::TCP,
            (&at(C, port), &at(NODE, 8080)),
            [Container, Container],
            vec![
                enters("vc", Original),
                enters("br1", Original),
                leaves("docker0", "br1", Translated),
                leaves("va", "br1", Translated),
            ],
            vec![
                enters("va", Translated),
                enters("docker0", Translated),
                leaves("br1", "docker0", Original),
                leaves("vc", "docker0", Original),
            ],
        );
        one.translated.destination = peer(&at(A, 80));
        one
    }

    /// To a published port from the same bridge, with bridge netfilter.
    pub(super) fn hairpin(port: u16) -> Self {
        let mut one = direct(
            Proto::TCP,
            (&at(B, port), &at(NODE, 8080)),
            [Container, Container],
            vec![enters("vb", Original), leaves("docker0", "vb", Half), leaves("va", "vb", Translated)],
            vec![enters("va", Translated), leaves("docker0", "va", Half), leaves("vb", "va", Original)],
        );
        one.translated.source = peer(&at(GATEWAY, port));
        one.translated.destination = peer(&at(A, 80));
        one
    }

    pub(super) fn loopback(port: u16) -> Self {
        let both = || vec![made("lo", Original), enters("lo", Original)];
        direct(Proto::TCP, (&at("127.0.0.1", port), &at("127.0.0.1", 8080)), [Host, Host], both(), both())
    }

    pub(super) fn host_to_outside(port: u16) -> Self {
        let (out, back) = (vec![made("eth0", Original)], vec![enters("eth0", Original)]);
        direct(Proto::TCP, (&at(NODE, port), &at(OUTSIDE, 443)), [Host, External], out, back)
    }

    pub(super) fn outside_to_host(port: u16) -> Self {
        let (out, back) = (vec![made("eth0", Original)], vec![enters("eth0", Original)]);
        direct(Proto::TCP, (&at(OUTSIDE, port), &at(NODE, 22)), [External, Host], back, out)
    }

    /// Into `wg0`: what leaves at the uplink is nothing of its own.
    pub(super) fn into_wireguard(port: u16) -> Self {
        let forward =
            vec![enters("va", Original), enters("docker0", Original), leaves("wg0", "docker0", Original)];
        let reply =
            vec![enters("wg0", Original), leaves("docker0", "wg0", Original), leaves("va", "wg0", Original)];
        direct(Proto::TCP, (&at(A, port), "10.99.0.2:443"), [Container, External], forward, reply)
    }

    pub(super) fn multicast_of_container(port: u16) -> Self {
        let flooded = vec![enters("va", Original), enters("docker0", Original), leaves("vb", "va", Original)];
        let ends = (&*at(A, port), "239.1.2.3:5353");
        Self { group: true, ..direct(Proto::UDP, ends, [Container, Unknown], flooded, Vec::new()) }
    }

    pub(super) fn multicast_of_host(port: u16) -> Self {
        let flooded = vec![made("docker0", Original), made("va", Original), made("vb", Original)];
        let ends = (&*at(GATEWAY, port), "239.1.2.3:5353");
        Self { group: true, ..direct(Proto::UDP, ends, [Host, Unknown], flooded, Vec::new()) }
    }

    /// A container asks for the gateway's hardware address. The question is flooded, the answer is not.
    pub(super) fn address_resolution() -> Self {
        let question =
            vec![enters("va", Original), enters("docker0", Original), leaves("vb", "va", Original)];
        let answer = vec![made("docker0", Original), made("va", Original)];
        let mut one = direct(Proto(0), (&at(A, 0), &at(GATEWAY, 0)), [Container, Host], question, answer);
        (one.original.network, one.translated.network) = (Network::ARP, Network::ARP);
        one.asks = true;
        one
    }

    /// The same for an address on its bridge, from any address of its own; who has it is behind `vb`.
    pub(super) fn question(from: &str, to: &str) -> Self {
        let mut one = Self::address_resolution();
        one.reply = vec![enters("vb", Original), leaves("va", "vb", Original)];
        let ends = tuple(Proto(0), &at(from, 0), &at(to, 0));
        one.original = Tuple { network: Network::ARP, ..ends };
        (one.translated, one.group, one.kinds) = (one.original, true, [Container, Unknown]);
        one
    }

    /// The host asks for one on `docker0`.
    pub(super) fn question_of_host(to: &str) -> Self {
        let mut one = Self::question(GATEWAY, to);
        one.forward = vec![made("docker0", Original), made("va", Original), made("vb", Original)];
        one.kinds = [Host, Unknown];
        one
    }

    /// Somebody on the uplink's network asks for somebody else on it.
    pub(super) fn question_of_others(to: &str) -> Self {
        let mut one = Self::question("198.51.100.7", to);
        one.forward = vec![enters("eth0", Original)];
        one.kinds = [External, Unknown];
        one
    }
}
