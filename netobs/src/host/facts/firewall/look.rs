//! One rule and one packet → whether it holds, and what it then does. Pure.
//!
//! A register holds bytes of which not every bit need be known. A condition holds, does not hold, or cannot be told;
//! the first that does not hold ends the rule, as in the kernel (nft_do_chain, net/netfilter/nf_tables_core.c, Linux
//! 6.18).

mod matches;
mod registers;
mod unknown;

use self::{
    registers::Registers,
    unknown::{Unknown, unknown_step, unknown_target},
};
use super::{
    Firewall, Hook, Layer, NatRange, PacketState, Port, Range, Reject, Rule, Step, Target, Value, Verdict,
    bits::{self, Bits, Word},
    connection, fib, meta, operator,
    set::Found,
    state::State,
};

/// What a rule does with the packet.
#[derive(Clone, Debug)]
pub(super) enum Action<'a> {
    Verdict(&'a Verdict),
    Reject(Reject),
    /// Another destination, or source; which is not known where there is none.
    Translate {
        source: bool,
        targets: Vec<NatRange>,
    },
    /// A program, or something not followed here, decides.
    Handed,
}

/// What looking at a rule brought.
#[derive(Debug)]
pub(super) struct Looked<'a> {
    /// Whether it holds.
    pub(super) holds: Option<bool>,
    /// What it does if so: one of these.
    pub(super) actions: Vec<Action<'a>>,
    /// Where it cannot be told which: whether one of them certainly is done if it holds.
    pub(super) total: bool,
    /// The packet after it, where that is another.
    pub(super) state: Option<State>,
}

/// Where a rule is looked at.
#[derive(Clone, Copy, Debug)]
pub(super) struct At {
    pub(super) layer: Layer,
    pub(super) hook: Hook,
    /// Of the base chain.
    pub(super) priority: i32,
}

impl At {
    /// Whether conntrack has not seen the packet yet (`NF_IP_PRI_CONNTRACK`).
    fn is_before_conntrack(self) -> bool {
        matches!(self.hook, Hook::Prerouting | Hook::Output) && self.priority < -200
    }

    /// None where it is not known.
    fn state(self, state: &State) -> Option<PacketState> {
        match state.untracked {
            Some(true) => Some(PacketState::Untracked),
            _ if self.is_before_conntrack() => Some(PacketState::Invalid),
            Some(false) => Some(state.packet.state),
            None => None,
        }
    }
}

pub(super) fn look<'a>(firewall: &Firewall<'a>, rule: &'a Rule, at: At, state: &State) -> Looked<'a> {
    let mut look = Look {
        firewall,
        rule,
        at,
        state,
        registers: Registers::default(),
        choices: None,
        number: None,
        certain: true,
        changed: None,
    };
    for step in &rule.steps {
        match look.step(step) {
            Went::On => {}
            Went::Nowhere => return look.done(Some(false), Vec::new(), true),
            Went::To(actions, total) => {
                let holds = look.certain.then_some(true);
                return look.done(holds, actions, total);
            }
        }
    }
    let holds = look.certain.then_some(true);
    look.done(holds, Vec::new(), true)
}

enum Went<'a> {
    On,
    /// A condition does not hold.
    Nowhere,
    To(Vec<Action<'a>>, bool),
}

struct Look<'f, 'a> {
    firewall: &'f Firewall<'a>,
    rule: &'a Rule,
    at: At,
    state: &'f State,
    registers: Registers,
    /// The register a map's value went to, and which it may be.
    choices: Option<(u32, Vec<&'a Value>)>,
    /// The register a random number went to, and how many there are.
    number: Option<(u32, u32)>,
    certain: bool,
    changed: Option<State>,
}

impl<'a> Look<'_, 'a> {
    fn done(self, holds: Option<bool>, actions: Vec<Action<'a>>, total: bool) -> Looked<'a> {
        // What was changed before a condition that cannot be told is changed all the same, and one that does not
        // hold undoes nothing.
        Looked { holds, actions, total, state: self.changed }
    }

    fn now(&self) -> &State {
        self.changed.as_ref().unwrap_or(self.state)
    }

    fn change(&mut self, change: impl FnOnce(&mut State)) {
        let mut state = self.now().clone();
        change(&mut state);
        self.changed = Some(if self.certain { state } else { state.merge(self.now()) });
    }

    fn condition(&mut self, holds: Option<bool>) -> Went<'a> {
        self.certain &= holds.is_some();
        if holds == Some(false) { Went::Nowhere } else { Went::On }
    }

    fn step(&mut self, step: &'a Step) -> Went<'a> {
        match step {
            Step::Payload { to, base, offset, length } => {
                let bytes = self.now().bytes(*base, *offset, *length);
                self.registers.store(*to, &bytes);
            }
            Step::Meta { to, key } => {
                let bytes = self.meta(*key);
                self.registers.store(*to, &bytes);
            }
            Step::SetMeta { from, key: meta::MARK } => {
                let mark = self.registers.word(*from);
                self.change(|state| state.mark = mark);
            }
            Step::SetConnection { from, key: connection::MARK } => {
                let mark = self.registers.word(*from);
                self.change(|state| state.connection_mark = mark);
            }
            Step::Connection { to, key, direction } => match self.connection(*key, *direction) {
                Some(bytes) => self.registers.store(*to, &bytes),
                None => return Went::Nowhere,
            },
            Step::Mask { from, to, mask, flip } => self.registers.mask(*from, *to, mask, flip),
            Step::ByteOrder { from, to, size, length } => self.registers.swap(*from, *to, *size, *length),
            Step::Compare { of, operator, with } => {
                let holds = self.compare(*of, *operator, with);
                return self.condition(holds);
            }
            Step::Range { of, outside, low, high } => {
                let holds = self.between(*of, low, high).map(|inside| inside != *outside);
                return self.condition(holds);
            }
            Step::Lookup { of, set, to, absent } => return self.lookup(*of, set, *to, *absent),
            Step::Load { to, value } => {
                let bytes: Vec<Bits> = value.iter().copied().map(Bits::of).collect();
                self.registers.store(*to, &bytes);
            }
            Step::Fib { to, result, flags } => {
                let bytes = self.fib(*result, *flags);
                self.registers.store(*to, &bytes);
            }
            Step::Number { to, modulus, offset, .. } => {
                let bytes = match *modulus {
                    1 => Word::of(*offset).bytes(),
                    _ => [Bits::UNKNOWN; 4],
                };
                self.registers.store(*to, &bytes);
                self.number = Some((*to, *modulus));
            }
            Step::Limit { .. } => return self.condition(None),
            Step::Counter
            | Step::NamedCounter(_)
            | Step::Log { .. }
            | Step::SetMeta { .. }
            | Step::SetConnection { .. } => {}
            // Whether there is an end to it: the next rule, and no verdict.
            Step::Verdict(Verdict::Continue) => {}
            Step::Verdict(verdict) => return Went::To(vec![Action::Verdict(verdict)], true),
            Step::Reject(reject) => return Went::To(vec![Action::Reject(*reject)], true),
            Step::Nat { source, addresses, ports } => {
                let targets = self.targets(*addresses, *ports);
                return Went::To(vec![Action::Translate { source: *source, targets }], true);
            }
            Step::Masquerade { ports } => {
                let targets = self.targets(None, *ports);
                return Went::To(vec![Action::Translate { source: true, targets }], true);
            }
            Step::Redirect { ports } => {
                let targets = self.targets(None, *ports);
                return Went::To(vec![Action::Translate { source: false, targets }], true);
            }
            Step::Match(one) => {
                let holds = self.matches(one);
                return self.condition(holds);
            }
            Step::Target(target) => return self.target(target),
            Step::Unknown(name) if name == "notrack" => self.change(|state| state.untracked = Some(true)),
            Step::Unknown(name) => match unknown_step(name) {
                Unknown::Idle => {}
                Unknown::Ends => return Went::To(vec![Action::Handed], true),
                Unknown::Open => {
                    self.registers = Registers::default();
                    return self.condition(None);
                }
            },
        }
        Went::On
    }

    fn target(&mut self, target: &'a Target) -> Went<'a> {
        let (source, range) = match target {
            Target::Reject(reject) => return Went::To(vec![Action::Reject(*reject)], true),
            Target::Mark { value, mask } => {
                self.change(|state| state.mark = state.mark.masked(!mask, *value));
                return Went::On;
            }
            Target::ConnectionMark { mode, value, mask, packet_mask, shifted } => {
                self.change(|state| match (*mode, *shifted) {
                    (0, false) => state.connection_mark = state.connection_mark.masked(!mask, *value),
                    (1, false) => {
                        let given = state.mark.masked(*packet_mask, 0);
                        state.connection_mark = state.connection_mark.masked(!mask, 0).flipped(given);
                    }
                    (2, false) => {
                        let given = state.connection_mark.masked(*mask, 0);
                        state.mark = state.mark.masked(!packet_mask, 0).flipped(given);
                    }
                    _ => (state.mark, state.connection_mark) = (Word::UNKNOWN, Word::UNKNOWN),
                });
                return Went::On;
            }
            Target::Log { .. } => return Went::On,
            Target::Dnat(range) | Target::Redirect(range) => (false, range),
            Target::Snat(range) | Target::Masquerade(range) => (true, range),
            Target::Netmap(range) => (matches!(self.at.hook, Hook::Postrouting | Hook::Input), range),
            Target::Other { name, .. } if name == "NOTRACK" => {
                self.change(|state| state.untracked = Some(true));
                return Went::On;
            }
            // With `--notrack`, or with something else: that is not read.
            Target::Other { name, .. } if name == "CT" => {
                self.change(|state| state.untracked = None);
                return Went::On;
            }
            Target::Other { name, .. } if name == "HMARK" => {
                self.change(|state| state.mark = Word::UNKNOWN);
                return Went::On;
            }
            Target::Other { name, .. } => {
                return match unknown_target(name) {
                    Unknown::Idle => Went::On,
                    _ => Went::To(vec![Action::Handed], true),
                };
            }
        };
        Went::To(vec![Action::Translate { source, targets: vec![*range] }], true)
    }

    fn meta(&self, key: u32) -> Vec<Bits> {
        let packet = &self.now().packet;
        let word =
            |word: Option<u32>| word.map_or([Bits::UNKNOWN; 4], |word| Word::of(word).bytes()).to_vec();
        match key {
            meta::IIFNAME | meta::IIF if self.at.layer == Layer::Bridge => {
                self.port(&packet.incoming_port, key == meta::IIFNAME)
            }
            meta::OIFNAME | meta::OIF if self.at.layer == Layer::Bridge => {
                self.port(&packet.outgoing_port, key == meta::OIFNAME)
            }
            meta::IIFNAME => registers::name(self.incoming().map(|device| device.name.as_str())),
            meta::OIFNAME => registers::name(self.outgoing().map(|device| device.name.as_str())),
            meta::IIF => word(self.incoming().and_then(index)),
            meta::OIF => word(self.outgoing().and_then(index)),
            meta::MARK => self.now().mark.bytes().to_vec(),
            meta::NFPROTO => vec![Bits::of(if packet.is_ipv6() { 10 } else { 2 })],
            meta::L4PROTO => vec![packet.protocol_bits()],
            meta::PROTOCOL => {
                let kind: u16 = if packet.is_ipv6() { 0x86dd } else { 0x0800 };
                kind.to_be_bytes().map(Bits::of).to_vec()
            }
            meta::BRI_IIFNAME if self.at.layer == Layer::Bridge => {
                registers::name(packet.incoming.as_ref().map(|bridge| bridge.name.as_str()))
            }
            meta::BRI_OIFNAME if self.at.layer == Layer::Bridge => {
                registers::name(packet.outgoing.as_ref().map(|bridge| bridge.name.as_str()))
            }
            meta::PKTTYPE if matches!(self.at.hook, Hook::Prerouting | Hook::Input | Hook::Forward) => {
                match self.now().destination().and_then(|_| packet.kind_of(true)) {
                    Some(super::AddressKind::Broadcast) => vec![Bits::of(1)],
                    Some(super::AddressKind::Multicast) => vec![Bits::of(2)],
                    Some(_) => vec![Bits::of(0)],
                    None => vec![Bits::UNKNOWN],
                }
            }
            _ => vec![Bits::UNKNOWN; 16],
        }
    }

    /// The interface of a bridged frame.
    fn port(&self, port: &Port, by_name: bool) -> Vec<Bits> {
        match port {
            Port::Named(name) if by_name => registers::name(Some(name)),
            Port::None if by_name => registers::name(Some("")),
            Port::None => Word::of(0).bytes().to_vec(),
            Port::Named(_) | Port::Unknown => vec![Bits::UNKNOWN; 16],
        }
    }

    /// `None` where there is no connection of which it could be told: the kernel ends the rule there (nft_ct_get_eval).
    fn connection(&self, key: u32, direction: Option<u8>) -> Option<Vec<Bits>> {
        const DNAT: u32 = 1 << 5;
        let packet = &self.now().packet;
        let Some(state) = self.at.state(self.now()) else { return Some(vec![Bits::UNKNOWN; 16]) };
        if key == connection::STATE {
            let bit = match state {
                PacketState::Invalid => 1,
                PacketState::Established => 2,
                PacketState::Related => 4,
                PacketState::New => 8,
                PacketState::Untracked => 64,
            };
            return Some(Word::of(bit).bytes().to_vec());
        }
        if matches!(state, PacketState::Invalid | PacketState::Untracked) {
            return None;
        }
        let original = || {
            let here = || self.now().destination();
            (!packet.reply && direction == Some(0)).then(|| packet.original.or_else(here)).flatten()
        };
        let found = match key {
            connection::DIRECTION => vec![Bits::of(u8::from(packet.reply))],
            connection::STATUS => {
                let set = if packet.original.is_some() { DNAT } else { 0 };
                let known = if self.now().translated.is_some() { DNAT } else { 0 };
                let (set, known) = (set.to_ne_bytes(), known.to_ne_bytes());
                set.iter().zip(known).map(|(set, known)| Bits::partly(*set, known)).collect()
            }
            connection::MARK => self.now().connection_mark.bytes().to_vec(),
            connection::DST_IP | connection::DST_IP6 => match original().map(|(address, _)| address) {
                Some(std::net::IpAddr::V4(address)) => address.octets().map(Bits::of).to_vec(),
                Some(std::net::IpAddr::V6(address)) => address.octets().map(Bits::of).to_vec(),
                None => vec![Bits::UNKNOWN; 16],
            },
            connection::PROTO_DST => match original().and_then(|(_, port)| port) {
                Some(port) => port.to_be_bytes().map(Bits::of).to_vec(),
                None => vec![Bits::UNKNOWN; 2],
            },
            _ => vec![Bits::UNKNOWN; 16],
        };
        Some(found)
    }

    fn fib(&self, result: u32, flags: u32) -> Vec<Bits> {
        let of_interface = flags & (fib::INCOMING | fib::OUTGOING) != 0;
        let kind = match flags & (fib::SOURCE | fib::DESTINATION) {
            fib::SOURCE => self.now().packet.kind_of(false),
            fib::DESTINATION => self.now().destination().and_then(|_| self.now().packet.kind_of(true)),
            _ => None,
        };
        match kind {
            Some(kind) if result == fib::ADDRESS_TYPE && !of_interface => {
                Word::of(kind.number()).bytes().to_vec()
            }
            _ => vec![Bits::UNKNOWN; 16],
        }
    }

    fn compare(&self, of: u32, operator: u32, with: &[u8]) -> Option<bool> {
        let bytes = self.registers.read(of, with.len());
        let order = || bits::compare(&bytes, with);
        match operator {
            operator::EQUAL => bits::equal(&bytes, with),
            operator::UNEQUAL => bits::equal(&bytes, with).map(|equal| !equal),
            operator::LESS => order().map(std::cmp::Ordering::is_lt),
            operator::AT_MOST => order().map(std::cmp::Ordering::is_le),
            operator::MORE => order().map(std::cmp::Ordering::is_gt),
            operator::AT_LEAST => order().map(std::cmp::Ordering::is_ge),
            _ => None,
        }
    }

    fn between(&self, of: u32, low: &[u8], high: &[u8]) -> Option<bool> {
        let from = bits::compare(&self.registers.read(of, low.len()), low).map(std::cmp::Ordering::is_ge);
        let to = bits::compare(&self.registers.read(of, high.len()), high).map(std::cmp::Ordering::is_le);
        matches::both(from, to)
    }

    fn lookup(&mut self, of: u32, set: &str, to: Option<u32>, absent: bool) -> Went<'a> {
        let table = &self.rule.table;
        let length = self.firewall.set(table, set).map_or(0, |set| set.key_length);
        let length = usize::try_from(length).unwrap_or(usize::MAX).min(registers::SIZE);
        let key = self.registers.read(of, length);
        let found = self.firewall.find(table, set, &key).unwrap_or_else(|| Found::Maybe(Vec::new()));
        let Some(to) = to else {
            let holds = match found {
                Found::Yes(_) => Some(!absent),
                Found::No => Some(absent),
                Found::Maybe(_) => None,
            };
            return self.condition(holds);
        };
        let (values, sure) = match found {
            Found::No => return Went::Nowhere,
            Found::Yes(value) => (vec![value], *value != Value::Unknown),
            Found::Maybe(values) => (values, false),
        };
        // A number for each of which there is an element is certainly found.
        let numbered = self.number.is_some_and(|(register, modulus)| {
            register == of && usize::try_from(modulus).is_ok_and(|modulus| modulus <= values.len())
        });
        let total = sure || numbered;
        if to == 0 {
            let verdicts = values.iter().filter_map(|value| match value {
                Value::Verdict(verdict) => Some(Action::Verdict(verdict)),
                _ => None,
            });
            let actions: Vec<Action<'a>> = verdicts.collect();
            if actions.is_empty() {
                return self.condition(None);
            }
            return Went::To(actions, total);
        }
        match &values[..] {
            [Value::Bytes(bytes)] if sure => {
                let bytes: Vec<Bits> = bytes.iter().copied().map(Bits::of).collect();
                self.registers.store(to, &bytes);
            }
            _ => {
                self.certain &= total;
                self.registers.store(to, &[Bits::UNKNOWN; 16]);
                self.choices = Some((to, values));
            }
        }
        Went::On
    }

    /// What a translation may lead to, from registers.
    fn targets(&self, addresses: Option<(u32, u32)>, ports: Option<(u32, u32)>) -> Vec<NatRange> {
        let read = |registers: &Registers| {
            let addresses = match addresses {
                Some((first, last)) => {
                    let address = |register| registers.address(register, self.now().packet.is_ipv6());
                    Some(Range { first: address(first)?, last: address(last)? })
                }
                None => None,
            };
            let ports = match ports {
                Some((first, last)) => {
                    Some(Range { first: registers.port(first)?, last: registers.port(last)? })
                }
                None => None,
            };
            Some(NatRange { addresses, ports, flags: 0 })
        };
        if let Some(one) = read(&self.registers) {
            return vec![one];
        }
        let Some((to, values)) = &self.choices else { return Vec::new() };
        let each = values.iter().filter_map(|value| match value {
            Value::Bytes(bytes) => {
                let mut registers = self.registers.clone();
                registers.store(*to, &bytes.iter().copied().map(Bits::of).collect::<Vec<_>>());
                read(&registers)
            }
            _ => None,
        });
        each.collect()
    }
}

fn index(device: &super::Device) -> Option<u32> {
    if device.name.is_empty() { Some(0) } else { device.index }
}
