//! A packet at a hook → what becomes of it, by which rule of which chain, and what it is translated to. Pure.
//!
//! Base chains are asked in the order of their priorities, those that translate as one group at the priority of the
//! translation, and only for the first packet of a connection (nf_nat_inet_fn, net/netfilter/nf_nat_core.c, Linux
//! 6.18). What cannot be told is followed both ways: everything that may end the packet is named.

use super::{
    Chain, Counter, Firewall, Hook, Layer, NatRange, Packet, PacketState, Reject, Rule, Table, Verdict,
    family,
    look::{Action, At, look},
    state::State,
};

/// Chains that jump to chains that jump …; the kernel allows sixteen (`NFT_JUMP_STACK_SIZE`).
const DEEPEST: u32 = 16;
/// Rules looked at for one answer: chains that are jumped to from many places are looked at many times. Of a node with
/// ten thousand Services it is some twenty thousand.
const MOST: u32 = 65_536;
/// Places told in one answer.
const MOST_PLACES: usize = 64;

/// How a packet ends at a hook.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    /// It goes on with the next base chain.
    Accepted,
    /// It is dropped.
    Dropped,
    /// It is dropped, and its sender told.
    Rejected(Reject),
    /// A program decides, or something not followed here.
    Handed,
}

/// A rule, or the end of a base chain, and how one came there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Place<'a> {
    /// The base chain.
    pub base: &'a Chain,
    /// The rule; none for the base chain's policy.
    pub rule: Option<&'a Rule>,
    /// The rules that led from the base chain to the rule's chain.
    pub via: Vec<&'a Rule>,
}

impl<'a> Place<'a> {
    /// The table.
    #[must_use]
    pub const fn table(&self) -> &'a Table {
        &self.base.table
    }

    /// The chain.
    #[must_use]
    pub fn chain(&self) -> &'a str {
        self.rule.map_or(&self.base.name, |rule| &rule.chain)
    }

    /// What was counted here.
    #[must_use]
    pub fn counter(&self) -> Option<Counter> {
        self.rule.map_or(self.base.counter, |rule| rule.counter)
    }

    fn is(&self, other: &Self) -> bool {
        std::ptr::eq(self.base, other.base)
            && match (self.rule, other.rule) {
                (Some(one), Some(other)) => std::ptr::eq(one, other),
                (one, other) => one.is_none() && other.is_none(),
            }
    }
}

/// Something that becomes of the packet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ended<'a> {
    /// What.
    pub end: End,
    /// Where.
    pub place: Place<'a>,
    /// Whether it certainly does; else it may.
    pub certain: bool,
}

/// Another destination, or source.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Translation<'a> {
    /// The rule.
    pub place: Place<'a>,
    /// Whether the source is meant.
    pub source: bool,
    /// What it may become; addresses of none are the host's own. Empty: not known.
    pub targets: Vec<NatRange>,
    /// Whether it certainly is translated by this rule.
    pub certain: bool,
}

/// What becomes of a packet at a hook.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Answer<'a> {
    /// What may keep it from going on, in the order of the rules.
    pub kept: Vec<Ended<'a>>,
    /// Whether it goes on: `Some(false)` is "perhaps".
    pub goes_on: Option<bool>,
    /// What let it through, chain by chain.
    pub passed: Vec<Ended<'a>>,
    /// What it may be translated to.
    pub translations: Vec<Translation<'a>>,
    /// The packet as it goes on, where it may: its mark, and its destination, as far as they are known for certain.
    pub after: Option<Packet>,
    /// Whether that destination is the only one it may have.
    pub destination_known: bool,
    /// Tables of the older back end that are asked here too, and are not seen.
    pub unseen: Vec<&'a Table>,
    /// Whether not all was looked at.
    pub incomplete: bool,
}

impl<'a> Answer<'a> {
    /// What keeps it from going on: what certainly does, else the first that may.
    #[must_use]
    pub fn keeper(&self) -> Option<&Ended<'a>> {
        self.kept.iter().find(|end| end.certain).or_else(|| self.kept.first())
    }

    /// Whether it certainly goes on.
    #[must_use]
    pub fn certainly_goes_on(&self) -> bool {
        self.goes_on == Some(true)
    }
}

impl<'a> Firewall<'a> {
    /// Asks the base chains of a hook.
    #[must_use]
    pub fn pass(&self, layer: Layer, hook: Hook, packet: &Packet) -> Answer<'a> {
        let mut walk = Walk {
            firewall: self,
            at: At { layer, hook, priority: 0 },
            base: None,
            via: Vec::new(),
            left: MOST,
            exits: 0,
            kept: 0,
            accepted: None,
            answer: Answer { incomplete: self.ruleset.incomplete, ..Answer::default() },
        };
        if layer == Layer::Network {
            let here = |table: &&Table| is_asked(table, hook, packet.is_ipv6());
            walk.answer.unseen = self.ruleset.legacy.iter().filter(here).collect();
        }
        // Of which interfaces chains are is not read.
        let mut on = Some((State::of(packet), layer != Layer::Device));
        for chain in self.base_chains(layer, hook, packet.is_ipv6()) {
            let Some((state, certain)) = on else { break };
            on = walk.base(chain, state, certain);
        }
        walk.finish(on)
    }

    fn base_chains(&self, layer: Layer, hook: Hook, ipv6: bool) -> Vec<&'a Chain> {
        let mut chains: Vec<(i32, i32, std::cmp::Reverse<usize>, &Chain)> = Vec::new();
        for (index, chain) in self.ruleset.chains.iter().enumerate() {
            let Some((number, priority)) = chain.hook else { continue };
            if !calls(layer, hook, ipv6, chain.table.family, number)
                || self.ruleset.dormant.contains(&chain.table)
            {
                continue;
            }
            let group = match hook {
                Hook::Prerouting | Hook::Output => -100,
                _ => 100,
            };
            let first = if chain.is_nat() { group } else { priority };
            // Of equal priorities the one made last is asked first (nf_hook_entries_grow, net/netfilter/core.c).
            chains.push((first, priority, std::cmp::Reverse(index), chain));
        }
        chains.sort_by_key(|(first, priority, index, _)| (*first, *priority, *index));
        chains.into_iter().map(|(.., chain)| chain).collect()
    }
}

/// Whether base chains of a family are called from there, given the number they have as their hook.
fn calls(layer: Layer, hook: Hook, ipv6: bool, of: u8, number: u32) -> bool {
    /// `NF_INET_INGRESS`; `NF_NETDEV_INGRESS`, `NF_NETDEV_EGRESS` (include/uapi/linux/netfilter.h, Linux 6.18).
    const INET_INGRESS: u32 = 5;
    const INGRESS: u32 = 0;
    const EGRESS: u32 = 1;
    match (layer, of) {
        (Layer::Bridge, family::BRIDGE) | (Layer::Network, family::INET) => number == hook.number(),
        (Layer::Network, family::IPV4) => !ipv6 && number == hook.number(),
        (Layer::Network, family::IPV6) => ipv6 && number == hook.number(),
        (Layer::Device, family::INET) => hook == Hook::Prerouting && number == INET_INGRESS,
        (Layer::Device, family::NETDEV) => match hook {
            Hook::Prerouting => number == INGRESS,
            Hook::Postrouting => number == EGRESS,
            _ => false,
        },
        _ => false,
    }
}

/// Whether the older back end asks the table at the hook.
fn is_asked(table: &Table, hook: Hook, ipv6: bool) -> bool {
    let family = if ipv6 { family::IPV6 } else { family::IPV4 };
    let hooks: &[Hook] = match table.name.as_str() {
        "raw" => &[Hook::Prerouting, Hook::Output],
        "nat" => &[Hook::Prerouting, Hook::Input, Hook::Output, Hook::Postrouting],
        "filter" | "security" => &[Hook::Input, Hook::Forward, Hook::Output],
        _ => &[hook],
    };
    table.family == family && hooks.contains(&hook)
}

struct Walk<'f, 'a> {
    firewall: &'f Firewall<'a>,
    at: At,
    base: Option<&'a Chain>,
    via: Vec<&'a Rule>,
    left: u32,
    /// How often a way out of the chains was met: afterwards nothing is certain.
    exits: usize,
    /// How often one was met that does not go on.
    kept: usize,
    /// The packet as the base chain lets it on.
    accepted: Option<State>,
    answer: Answer<'a>,
}

impl<'a> Walk<'_, 'a> {
    fn finish(mut self, on: Option<(State, bool)>) -> Answer<'a> {
        if let Some((state, certain)) = on {
            // Rules that are not seen may still keep it.
            self.answer.goes_on = Some(certain && self.answer.unseen.is_empty() && !self.answer.incomplete);
            let (packet, told) = state.packet();
            self.answer.incomplete |= !told;
            self.answer.destination_known = state.destination_known;
            self.answer.after = Some(packet);
        }
        self.answer
    }

    /// The packet as it goes on, and whether it certainly does.
    fn base(&mut self, chain: &'a Chain, state: State, certain: bool) -> Option<(State, bool)> {
        // Later packets are translated as the first one was.
        let first =
            matches!(state.packet.state, PacketState::New | PacketState::Related) && !state.packet.reply;
        if chain.is_nat() && (!first || state.translated == Some(true)) {
            return Some((state, certain));
        }
        self.base = Some(chain);
        self.at = At { priority: chain.hook.map_or(0, |(_, priority)| priority), ..self.at };
        let kept = self.kept;
        // Where it may have been translated before, it may as well not be asked.
        let translated_before = (chain.is_nat() && state.translated.is_none()).then(|| state.clone());
        self.accepted = None;
        let sure = certain && translated_before.is_none();
        if let Some((state, certain)) = self.chain(&chain.name, state, sure, DEEPEST) {
            if chain.drops == Some(true) && self.is_idle(chain.counter) {
                self.accept(None, state, false);
            } else if chain.drops == Some(true) {
                self.keep(End::Dropped, None, certain);
            } else {
                self.accept(None, state, certain);
            }
        }
        let state = match (self.accepted.take(), translated_before) {
            (Some(state), Some(before)) => state.merge(&before),
            (state, before) => state.or(before)?,
        };
        Some((state, certain && self.kept == kept))
    }

    /// Whether something has counted no packet.
    fn is_idle(&self, counter: Option<Counter>) -> bool {
        self.firewall.counted && counter.is_some_and(|count| count.packets == 0)
    }

    fn place(&self, rule: Option<&'a Rule>) -> Option<Place<'a>> {
        let via = if rule.is_some() { self.via.clone() } else { Vec::new() };
        self.base.map(|base| Place { base, rule, via })
    }

    fn keep(&mut self, end: End, rule: Option<&'a Rule>, certain: bool) {
        self.exits += 1;
        self.kept += 1;
        let Some(place) = self.place(rule) else { return };
        note(&mut self.answer.kept, &mut self.answer.incomplete, Ended { end, place, certain });
    }

    /// Whoever decides may as well let it go on.
    fn hand(&mut self, rule: &'a Rule, state: &State) {
        self.keep(End::Handed, Some(rule), false);
        self.accept(Some(rule), state.clone(), false);
    }

    fn accept(&mut self, rule: Option<&'a Rule>, state: State, certain: bool) {
        self.exits += 1;
        if let Some(place) = self.place(rule) {
            let passed = Ended { end: End::Accepted, place, certain };
            note(&mut self.answer.passed, &mut self.answer.incomplete, passed);
        }
        self.accepted = Some(match self.accepted.take() {
            Some(before) => before.merge(&state),
            None => state,
        });
    }

    /// The packet as it comes back from a chain, and whether it certainly does.
    fn chain(&mut self, name: &str, state: State, certain: bool, depth: u32) -> Option<(State, bool)> {
        let entered = self.exits;
        let table = &self.base?.table;
        if depth == 0 {
            self.answer.incomplete = true;
            return Some((state, false));
        }
        let firewall = self.firewall;
        // As it comes to the next rule; as it was sent back before.
        let mut here = Some((state, certain));
        let mut back: Option<State> = None;
        for rule in firewall.rules(table, name) {
            let Some((state, reached)) = here else { break };
            if self.left == 0 {
                self.answer.incomplete = true;
                here = Some((state, false));
                break;
            }
            self.left -= 1;
            here = self.rule(rule, state, reached, depth, &mut back);
        }
        let state = match (here, back) {
            (Some((state, _)), Some(back)) => Some(state.merge(&back)),
            (Some((state, _)), None) => Some(state),
            (None, back) => back,
        }?;
        // All ways through the chain meet here: what went in comes out, if nothing left on the way.
        Some((state, certain && self.exits == entered && !self.answer.incomplete))
    }

    /// The packet as it comes to the next rule, and whether it certainly does.
    fn rule(
        &mut self,
        rule: &'a Rule,
        state: State,
        reached: bool,
        depth: u32,
        back: &mut Option<State>,
    ) -> Option<(State, bool)> {
        if self.is_idle(rule.counter) {
            return Some((state, reached));
        }
        let looked = look(self.firewall, rule, self.at, &state);
        let after = looked.state.unwrap_or_else(|| state.clone());
        if looked.holds == Some(false) {
            return Some((after, reached));
        }
        let alone = looked.actions.len() == 1 && looked.total;
        let holds = looked.holds == Some(true);
        if looked.actions.is_empty() {
            return Some((after, reached));
        }
        // Whether it may go on with the next rule without any of this being done.
        let mut next = (!(holds && looked.total)).then(|| after.clone());
        let entered = self.exits;
        let mut left = false;
        for action in looked.actions {
            let certain = reached && holds && alone;
            let verdict = match action {
                Action::Verdict(verdict) => verdict,
                Action::Reject(reject) => {
                    self.keep(End::Rejected(reject), Some(rule), certain);
                    continue;
                }
                Action::Handed => {
                    self.hand(rule, &after);
                    continue;
                }
                Action::Translate { source, targets } => {
                    self.translate(rule, source, targets, &after, certain);
                    continue;
                }
            };
            match verdict {
                Verdict::Accept => self.accept(Some(rule), after.clone(), certain),
                Verdict::Drop => self.keep(End::Dropped, Some(rule), certain),
                Verdict::Other(_) => self.hand(rule, &after),
                Verdict::Continue => merge(&mut next, after.clone()),
                Verdict::Return => {
                    merge(back, after.clone());
                    left = true;
                }
                Verdict::Jump(chain) | Verdict::Goto(chain) => {
                    self.via.push(rule);
                    let from = self.chain(chain, after.clone(), certain, depth - 1);
                    self.via.pop();
                    let Some((from, _)) = from else { continue };
                    if matches!(verdict, Verdict::Goto(_)) {
                        merge(back, from);
                        left = true;
                    } else {
                        merge(&mut next, from);
                    }
                }
            }
        }
        let same = self.exits == entered && !left && !self.answer.incomplete;
        next.map(|state| (state, reached && same))
    }

    fn translate(
        &mut self,
        rule: &'a Rule,
        source: bool,
        targets: Vec<NatRange>,
        state: &State,
        certain: bool,
    ) {
        let after = if source { state.clone() } else { state.translated_to(&targets) };
        if let Some(place) = self.place(Some(rule)) {
            let full = self.answer.translations.len() >= MOST_PLACES;
            let seen = self.answer.translations.iter_mut().find(|seen| seen.place.is(&place));
            match seen {
                Some(seen) => seen.certain |= certain,
                None if full => self.answer.incomplete = true,
                None => self.answer.translations.push(Translation { place, source, targets, certain }),
            }
        }
        self.accept(Some(rule), after, certain);
    }
}

fn merge(into: &mut Option<State>, state: State) {
    *into = Some(match into.take() {
        Some(before) => before.merge(&state),
        None => state,
    });
}

/// Each place once; of many the first.
fn note<'a>(list: &mut Vec<Ended<'a>>, incomplete: &mut bool, one: Ended<'a>) {
    let full = list.len() >= MOST_PLACES;
    match list.iter_mut().find(|seen| seen.end == one.end && seen.place.is(&one.place)) {
        Some(seen) => seen.certain |= one.certain,
        None if full => *incomplete = true,
        None => list.push(one),
    }
}

#[cfg(test)]
mod tests;
