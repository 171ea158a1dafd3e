//! What is announced of the firewall's rules → what is told of them. Pure.
//!
//! Of a rule that goes the kernel gives only a number, so rules are remembered by their words. Who writes all rules
//! anew, as `iptables-restore` does, changes only those that are other ones afterwards.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    sync::Arc,
};

use super::Change;
use crate::{
    host::facts::firewall::{
        Announced, Chain, Counter, Firewall, MOST_REMEMBERED, News, Rule, Ruleset, Table, Transaction,
    },
    identity::text,
    report::EventKind,
};

/// Rules told one by one of those that change at once; more are told by their number.
const TOLD: usize = 16;
/// Characters of a rule that are kept.
const LONGEST: usize = 400;

/// A rule as it is told: where, and its words; none of one that was not known.
type Place = (Table, String);
type Line = Option<Arc<str>>;

/// The rules that are known.
#[derive(Debug, Default)]
pub struct Rules {
    /// Chains that the kernel itself calls: they tell `iptables` from `nft`, and have policies.
    base: Vec<Chain>,
    lines: HashMap<(Table, u64), (String, Arc<str>)>,
    began: bool,
}

/// A rule that came or went.
#[derive(Debug)]
struct Moved {
    place: Place,
    came: bool,
    line: Line,
    handle: u64,
}

impl Rules {
    /// Takes in what was heard; what there is at the beginning is no change.
    pub fn heard(&mut self, news: News) -> Vec<Change> {
        match news {
            News::All(ruleset) => self.all(ruleset),
            News::Changed(transaction) => self.changed(transaction),
        }
    }

    fn all(&mut self, ruleset: Ruleset) -> Vec<Change> {
        let before = std::mem::take(self);
        self.base = ruleset.chains.iter().filter(|chain| chain.hook.is_some()).cloned().collect();
        let shown = Ruleset { chains: self.base.clone(), sets: ruleset.sets, ..Ruleset::default() };
        let firewall = Firewall::new(&shown);
        for rule in ruleset.rules {
            let line = line(&firewall, &rule);
            self.remember(rule, line);
        }
        self.began = true;
        if !before.began {
            return Vec::new();
        }
        if ruleset.incomplete {
            // What is missing need not be gone.
            for (key, known) in before.lines {
                if self.lines.len() < MOST_REMEMBERED {
                    self.lines.entry(key).or_insert(known);
                }
            }
            return vec![Change {
                kind: EventKind::Firewall,
                subject: "all tables".to_owned(),
                before: None,
                after: None,
                detail: Some("announcements were lost, and not all rules could be read".to_owned()),
            }];
        }
        let mut policies = Vec::new();
        for chain in &self.base {
            policies.extend(policy(&firewall, before.base_chain(&chain.table, &chain.name), Some(chain)));
        }
        let gone = before.base.iter().filter(|chain| self.base_chain(&chain.table, &chain.name).is_none());
        policies.extend(gone.filter_map(|chain| policy(&firewall, Some(chain), None)));
        let moved = |from: &HashMap<(Table, u64), (String, Arc<str>)>, came| {
            let one = |((table, handle), (chain, line)): (&(Table, u64), &(String, Arc<str>))| Moved {
                place: (table.clone(), chain.clone()),
                came,
                line: Some(Arc::clone(line)),
                handle: *handle,
            };
            from.iter().map(one).collect::<Vec<_>>()
        };
        let mut all = moved(&before.lines, false);
        all.extend(moved(&self.lines, true));
        all.sort_by_key(|one| (one.came, one.handle));
        policies.extend(told(all, 0));
        for change in &mut policies {
            change.detail = with(change.detail.take(), "noticed late: announcements were lost");
        }
        policies
    }

    fn changed(&mut self, transaction: Transaction) -> Vec<Change> {
        let Transaction { changes, more, by } = transaction;
        let mut shown = Ruleset::default();
        let mut told_first = Vec::new();
        let mut elements: Vec<(Place, usize, usize)> = Vec::new();
        let mut rules = Vec::new();
        for change in changes {
            match change {
                Announced::Chain(chain) if chain.hook.is_some() => {
                    let before = self.base_chain(&chain.table, &chain.name).cloned();
                    let known = Ruleset { chains: self.base.clone(), ..Ruleset::default() };
                    told_first.extend(policy(&Firewall::new(&known), before.as_ref(), Some(&chain)));
                    self.base.retain(|one| !is(one, &chain.table, &chain.name));
                    self.base.push(chain);
                }
                Announced::Chain(_) => {}
                Announced::ChainGone { table, name } => {
                    let known = Ruleset { chains: self.base.clone(), ..Ruleset::default() };
                    told_first.extend(policy(&Firewall::new(&known), self.base_chain(&table, &name), None));
                    self.base.retain(|one| !is(one, &table, &name));
                }
                Announced::Set(set) => shown.sets.push(set),
                Announced::Elements { table, set, elements: new } => {
                    let own = shown.sets.iter_mut().find(|one| one.table == table && one.name == set);
                    let anonymous = own.as_ref().is_some_and(|set| set.anonymous);
                    let count = new.len();
                    if let Some(own) = own {
                        own.elements.extend(new);
                        own.complete = true;
                    }
                    if !anonymous {
                        add(&mut elements, (table, set), 0, count);
                    }
                }
                Announced::ElementsGone { table, set, count } => add(&mut elements, (table, set), count, 0),
                Announced::Rule(_) | Announced::RuleGone { .. } => rules.push(change),
            }
        }
        shown.chains.clone_from(&self.base);
        let firewall = Firewall::new(&shown);
        let mut moved = Vec::new();
        for change in rules {
            match change {
                Announced::Rule(rule) => {
                    let (key, place) =
                        ((rule.table.clone(), rule.handle), (rule.table.clone(), rule.chain.clone()));
                    let (new, handle) = (line(&firewall, &rule), rule.handle);
                    match self.lines.get(&key) {
                        // Read before it was announced.
                        Some((_, known)) if *known == new => continue,
                        Some((_, known)) => {
                            let line = Some(Arc::clone(known));
                            moved.push(Moved { place: place.clone(), came: false, line, handle });
                        }
                        None => {}
                    }
                    self.remember(rule, Arc::clone(&new));
                    moved.push(Moved { place, came: true, line: Some(new), handle });
                }
                Announced::RuleGone { table, chain, handle } => {
                    let line = self.lines.remove(&(table.clone(), handle)).map(|(_, line)| line);
                    moved.push(Moved { place: (table, chain), came: false, line, handle });
                }
                _ => {}
            }
        }
        let mut all = told_first;
        all.extend(told(moved, more));
        all.extend(elements.into_iter().map(|((table, set), went, came)| Change {
            kind: EventKind::Firewall,
            subject: text::clean(&format!("{table} @{set}")),
            before: (went > 0).then(|| format!("{went} elements")),
            after: (came > 0).then(|| format!("{came} elements")),
            detail: None,
        }));
        if let Some(by) = by {
            let by = format!("by {}", text::clean(&by));
            all.iter_mut().for_each(|change| change.detail = with(change.detail.take(), &by));
        }
        all
    }

    fn base_chain(&self, table: &Table, name: &str) -> Option<&Chain> {
        self.base.iter().find(|one| is(one, table, name))
    }

    fn remember(&mut self, rule: Rule, line: Arc<str>) {
        let key = (rule.table, rule.handle);
        if self.lines.len() < MOST_REMEMBERED || self.lines.contains_key(&key) {
            self.lines.insert(key, (rule.chain, line));
        }
    }
}

fn is(chain: &Chain, table: &Table, name: &str) -> bool {
    chain.table == *table && chain.name == name
}

fn add(all: &mut Vec<(Place, usize, usize)>, place: Place, went: usize, came: usize) {
    match all.iter_mut().find(|(one, ..)| *one == place) {
        Some((_, gone, new)) => (*gone, *new) = (*gone + went, *new + came),
        None => all.push((place, went, came)),
    }
}

/// A rule's words without its counts and its number, which are no part of it.
fn line(firewall: &Firewall<'_>, rule: &Rule) -> Arc<str> {
    let counter = rule.counter.map(|_| Counter::default());
    let bare = Rule { counter, ..rule.clone() };
    let line = firewall.line(&bare);
    let words = line.strip_suffix(&format!(" # handle {}", rule.handle)).unwrap_or(&line);
    text::clean_to(&words.replace("counter packets 0 bytes 0", "counter"), LONGEST).into()
}

/// Another policy of a chain; a chain that comes or goes is told where it drops.
fn policy(firewall: &Firewall<'_>, before: Option<&Chain>, after: Option<&Chain>) -> Option<Change> {
    let drops = |chain: Option<&Chain>| chain.is_some_and(|chain| chain.drops == Some(true));
    if drops(before) == drops(after) {
        return None;
    }
    let chain = after.or(before)?;
    let words = |chain: &Chain| text::clean_to(&firewall.policy(chain), LONGEST);
    Some(Change {
        kind: EventKind::Firewall,
        subject: subject(&(chain.table.clone(), chain.name.clone())),
        before: before.map(words),
        after: after.map(words),
        detail: None,
    })
}

fn subject((table, chain): &Place) -> String {
    text::clean(&format!("{table} {chain}"))
}

fn with(detail: Option<String>, more: &str) -> Option<String> {
    Some(detail.map_or_else(|| more.to_owned(), |detail| format!("{detail}; {more}")))
}

/// Rules that came and went at once, and how many more did → changes. What goes from a chain and comes to it again in
/// the same words has not changed.
fn told(moved: Vec<Moved>, more: u64) -> Vec<Change> {
    let mut balance: HashMap<(Place, Arc<str>), [usize; 2]> = HashMap::new();
    for one in &moved {
        if let Some(line) = &one.line {
            let counts = balance.entry((one.place.clone(), Arc::clone(line))).or_default();
            counts[usize::from(one.came)] += 1;
        }
    }
    for counts in balance.values_mut() {
        let both = counts[0].min(counts[1]);
        *counts = [both, both];
    }
    let mut left = moved;
    left.retain(|one| {
        let Some(line) = &one.line else { return true };
        let Some(counts) = balance.get_mut(&(one.place.clone(), Arc::clone(line))) else { return true };
        let same = &mut counts[usize::from(one.came)];
        let is_same = *same > 0;
        *same = same.saturating_sub(1);
        !is_same
    });
    if left.len() > TOLD || more > 0 {
        return summed(&left, more);
    }
    let mut places: Vec<(Place, Vec<Moved>)> = Vec::new();
    for one in left {
        match places.iter_mut().find(|(place, _)| *place == one.place) {
            Some((_, all)) => all.push(one),
            None => places.push((one.place.clone(), vec![one])),
        }
    }
    places.into_iter().flat_map(|(place, all)| of_chain(&place, &all)).collect()
}

fn of_chain(place: &Place, moved: &[Moved]) -> Vec<Change> {
    let words = |one: &Moved| {
        one.line.as_deref().map_or_else(|| format!("rule with handle {}", one.handle), str::to_owned)
    };
    let change = |before, after| Change {
        kind: EventKind::Firewall,
        subject: subject(place),
        before,
        after,
        detail: None,
    };
    // One rule that becomes another one.
    match moved {
        [went, came] if !went.came && came.came => vec![change(Some(words(went)), Some(words(came)))],
        [came, went] if came.came && !went.came => vec![change(Some(words(went)), Some(words(came)))],
        _ => moved
            .iter()
            .map(|one| if one.came { change(None, Some(words(one))) } else { change(Some(words(one)), None) })
            .collect(),
    }
}

/// One change for each table.
fn summed(moved: &[Moved], more: u64) -> Vec<Change> {
    let mut tables: BTreeMap<&Table, ([usize; 2], BTreeSet<&str>)> = BTreeMap::new();
    for one in moved {
        let (counts, chains) = tables.entry(&one.place.0).or_default();
        counts[usize::from(one.came)] += 1;
        chains.insert(&one.place.1);
    }
    let count = |count: usize| (count > 0).then(|| format!("{count} rules"));
    let mut changes: Vec<Change> = tables
        .into_iter()
        .map(|(table, ([went, came], chains))| Change {
            kind: EventKind::Firewall,
            subject: text::clean(&table.to_string()),
            before: count(went),
            after: count(came),
            detail: Some(format!("in {} chain{}", chains.len(), if chains.len() == 1 { "" } else { "s" })),
        })
        .collect();
    if more > 0 {
        changes.push(Change {
            kind: EventKind::Firewall,
            subject: "all tables".to_owned(),
            before: None,
            after: None,
            detail: Some(format!("{more} rules more came or went at once")),
        });
    }
    changes
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::host::facts::firewall::{
        Step, Verdict, family,
        made_up::{chain, rule, to},
    };

    fn filter() -> Table {
        Table { family: family::IPV4, name: "filter".into() }
    }

    fn forward(drops: bool) -> Chain {
        Chain { drops: Some(drops), ..chain(&filter(), "FORWARD", Some(("filter", (2, 0)))) }
    }

    fn drop_to(address: &str, handle: u64) -> Rule {
        let steps = [to(address), vec![Step::Counter, Step::Verdict(Verdict::Drop)]].concat();
        let counter = Some(Counter { packets: handle, bytes: 0 });
        Rule { handle, counter, ..rule(&filter(), "FORWARD", steps) }
    }

    fn gone(handle: u64) -> Announced {
        Announced::RuleGone { table: filter(), chain: "FORWARD".into(), handle }
    }

    fn begun(rules: Vec<Rule>) -> Rules {
        let mut known = Rules::default();
        let all = Ruleset { chains: vec![forward(false)], rules, ..Ruleset::default() };
        assert!(known.heard(News::All(all)).is_empty(), "nothing has changed yet");
        known
    }

    fn heard(known: &mut Rules, changes: Vec<Announced>) -> Vec<Change> {
        known.heard(News::Changed(Transaction { changes, more: 0, by: Some("iptables".into()) }))
    }

    fn words(change: &Change) -> [Option<&str>; 2] {
        [change.before.as_deref(), change.after.as_deref()]
    }

    const LINE: &str = "-A FORWARD -d 10.0.0.3/32 -j DROP";

    #[test]
    fn a_rule_that_comes_and_goes_is_told_by_its_words() {
        let mut known = begun(Vec::new());
        let came = heard(&mut known, vec![Announced::Rule(drop_to("10.0.0.3", 9))]);
        assert_eq!((came[0].subject.as_str(), words(&came[0])), ("ip filter FORWARD", [None, Some(LINE)]));
        assert_eq!(came[0].detail.as_deref(), Some("by iptables"));
        let went = heard(&mut known, vec![gone(9), gone(10)]);
        assert_eq!(words(&went[0]), [Some(LINE), None]);
        assert_eq!(words(&went[1]), [Some("rule with handle 10"), None], "nobody knew it");
    }

    #[test]
    fn a_rule_from_before_the_beginning_is_told_by_its_words_as_well() {
        let mut known = begun(vec![drop_to("10.0.0.3", 4)]);
        assert!(heard(&mut known, vec![Announced::Rule(drop_to("10.0.0.3", 4))]).is_empty(), "read before");
        assert_eq!(words(&heard(&mut known, vec![gone(4)])[0]), [Some(LINE), None]);
    }

    #[test]
    fn one_that_becomes_another_one_is_one_change_and_all_anew_is_none() {
        let mut known = begun(vec![drop_to("10.0.0.3", 4)]);
        let other = heard(&mut known, vec![Announced::Rule(drop_to("10.0.0.4", 5)), gone(4)]);
        assert_eq!(other.len(), 1, "{other:?}");
        assert_eq!(words(&other[0]), [Some(LINE), Some("-A FORWARD -d 10.0.0.4/32 -j DROP")]);
        // `iptables-restore` writes all of them again, with other counts.
        let anew =
            (0..40).flat_map(|round| [gone(5 + round), Announced::Rule(drop_to("10.0.0.4", 6 + round))]);
        assert!(heard(&mut known, anew.collect()).is_empty());
    }

    #[test]
    fn another_policy_is_told() {
        let mut known = begun(Vec::new());
        let drops = heard(&mut known, vec![Announced::Chain(forward(true))]);
        assert_eq!(words(&drops[0]), [Some("-P FORWARD ACCEPT"), Some("-P FORWARD DROP")]);
        assert!(heard(&mut known, vec![Announced::Chain(forward(true))]).is_empty());
        let gone = Announced::ChainGone { table: filter(), name: "FORWARD".into() };
        assert_eq!(words(&heard(&mut known, vec![gone])[0]), [Some("-P FORWARD DROP"), None]);
    }

    #[test]
    fn many_at_once_are_told_by_their_number() {
        let mut known = begun(Vec::new());
        let many = (0..100).map(|one| Announced::Rule(drop_to(&format!("10.0.1.{one}"), 100 + one)));
        let told = heard(&mut known, many.collect());
        assert_eq!(told.len(), 1);
        assert_eq!((told[0].subject.as_str(), words(&told[0])), ("ip filter", [None, Some("100 rules")]));
        assert_eq!(told[0].detail.as_deref(), Some("in 1 chain; by iptables"));
        let beyond = Transaction { changes: Vec::new(), more: 7, by: None };
        let told = known.heard(News::Changed(beyond));
        assert_eq!(told[0].detail.as_deref(), Some("7 rules more came or went at once"));
    }

    #[test]
    fn what_was_lost_is_found_in_what_there_is() {
        let mut known = begun(vec![drop_to("10.0.0.3", 4), drop_to("10.0.0.5", 5)]);
        let rules = vec![drop_to("10.0.0.5", 7), drop_to("10.0.0.4", 8)];
        let all = Ruleset { chains: vec![forward(true)], rules, ..Ruleset::default() };
        let part = Ruleset { incomplete: true, chains: vec![forward(false)], ..Ruleset::default() };
        let told = known.heard(News::All(part));
        assert!(
            told.len() == 1 && words(&told[0]) == [None, None],
            "what was not read is not gone: {told:?}"
        );
        let told = known.heard(News::All(all));
        assert_eq!(told.len(), 2, "{told:?}");
        assert_eq!(words(&told[1]), [Some(LINE), Some("-A FORWARD -d 10.0.0.4/32 -j DROP")]);
        assert!(told.iter().all(|one| one.detail.as_deref().is_some_and(|text| text.contains("lost"))));
    }

    #[test]
    fn elements_of_a_set_are_counted() {
        let mut known = begun(Vec::new());
        let gone = Announced::ElementsGone { table: filter(), set: "blocked".into(), count: 2 };
        let told = heard(&mut known, vec![gone]);
        assert_eq!(
            (told[0].subject.as_str(), words(&told[0])),
            ("ip filter @blocked", [Some("2 elements"), None])
        );
    }

    #[test]
    fn what_is_remembered_is_bounded() {
        let mut known = begun(Vec::new());
        for handle in 0..MOST_REMEMBERED as u64 + 10 {
            heard(&mut known, vec![Announced::Rule(drop_to("10.0.0.3", handle))]);
        }
        assert_eq!(known.lines.len(), MOST_REMEMBERED);
    }
}
