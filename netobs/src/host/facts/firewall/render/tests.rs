//! Lines as the tools write them.

use super::super::{
    AddressTypes, Connection, Counter, Element, Match, NatRange, Ports, Range, Reject, Set, Step, Target,
    Value, Verdict, connection,
    made_up::{chain, rule, ruleset, to},
    meta, operator, payload,
};
use super::*;

fn filter() -> Table {
    Table { family: 2, name: "filter".into() }
}

fn of_iptables(steps: Vec<Step>, comment: Option<&str>) -> String {
    let mut all = ruleset(
        vec![chain(&filter(), "FORWARD", Some(("filter", (2, 0))))],
        vec![rule(&filter(), "DOCKER-USER", steps)],
    );
    all.rules[0].comment = comment.map(Into::into);
    Firewall::new(&all).line(&all.rules[0])
}

fn of_nft(steps: Vec<Step>, sets: Vec<Set>) -> String {
    let table = Table { family: 1, name: "fw".into() };
    let mut all = ruleset(
        vec![chain(&table, "forward", Some(("filter", (2, 0))))],
        vec![rule(&table, "forward", steps)],
    );
    all.sets = sets;
    Firewall::new(&all).line(&all.rules[0])
}

fn load(base: u32, offset: u32, length: u32) -> Step {
    Step::Payload { to: 1, base, offset, length }
}

fn is(operator: u32, with: &[u8]) -> Step {
    Step::Compare { of: 1, operator, with: with.to_vec() }
}

fn name(name: &str) -> Vec<u8> {
    [name.as_bytes(), &[0]].concat()
}

fn over(number: u8) -> Vec<Step> {
    vec![Step::Meta { to: 1, key: meta::L4PROTO }, is(operator::EQUAL, &[number])]
}

#[test]
fn rules_of_iptables_read_as_iptables_writes_them() {
    let drop = || vec![Step::Counter, Step::Verdict(Verdict::Drop)];
    assert_eq!(
        of_iptables([to("172.17.0.3"), drop()].concat(), None),
        "-A DOCKER-USER -d 172.17.0.3/32 -j DROP"
    );
    let interfaces = vec![
        Step::Meta { to: 1, key: meta::IIFNAME },
        is(operator::EQUAL, &name("docker0")),
        Step::Meta { to: 1, key: meta::OIFNAME },
        is(operator::UNEQUAL, b"eth"),
        load(payload::NETWORK, 12, 2),
        is(operator::EQUAL, &[172, 17]),
        Step::Verdict(Verdict::Goto("A".into())),
    ];
    assert_eq!(of_iptables(interfaces, None), "-A DOCKER-USER -s 172.17.0.0/16 -i docker0 ! -o eth+ -g A");
    let tcp = [
        over(6),
        vec![
            load(payload::TRANSPORT, 13, 1),
            Step::Mask { from: 1, to: 1, mask: vec![0x12], flip: vec![0] },
            is(operator::EQUAL, &[2]),
            load(payload::TRANSPORT, 0, 2),
            Step::Range { of: 1, outside: false, low: vec![3, 232], high: vec![7, 208] },
            load(payload::TRANSPORT, 2, 2),
            is(operator::UNEQUAL, &[0, 80]),
            Step::Verdict(Verdict::Accept),
        ],
    ];
    assert_eq!(
        of_iptables(tcp.concat(), None),
        "-A DOCKER-USER -p tcp -m tcp --sport 1000:2000 ! --dport 80 --tcp-flags SYN,ACK SYN -j ACCEPT"
    );
    let no_endpoints = vec![
        Step::Match(Match::Comment),
        Step::Match(Match::AddressTypes(AddressTypes {
            source: (0, false),
            destination: (4, false),
            of_interface: None,
        })),
        Step::Counter,
        Step::Target(Target::Reject(Reject::Icmp(3))),
    ];
    assert_eq!(
        of_iptables(no_endpoints, Some("default/web has no endpoints")),
        "-A DOCKER-USER -m comment --comment \"default/web has no endpoints\" -m addrtype --dst-type LOCAL \
         -j REJECT --reject-with icmp-port-unreachable"
    );
}

#[test]
fn targets_of_iptables_read_as_iptables_writes_them() {
    let address = "10.0.0.5".parse().unwrap();
    let range = NatRange {
        addresses: Some(Range { first: address, last: address }),
        ports: Some(Range { first: 80, last: 80 }),
        flags: 3,
    };
    let dnat = of_iptables(vec![Step::Target(Target::Dnat(range))], None);
    assert_eq!(dnat, "-A DOCKER-USER -j DNAT --to-destination 10.0.0.5:80");
    let mark = Step::Target(Target::Mark { value: 0x4000, mask: 0x4000 });
    assert_eq!(of_iptables(vec![mark], None), "-A DOCKER-USER -j MARK --set-xmark 0x4000/0x4000");
    let known = Connection { states: Some((6, false)), ..Connection::default() };
    let udp = Ports { first: 53, last: 53, inverted: false };
    let any = Ports { first: 0, last: u16::MAX, inverted: false };
    let steps = vec![
        Step::Match(Match::Udp { source: any, destination: udp }),
        Step::Match(Match::Connection(known)),
        Step::Match(Match::Other { name: "u32".into(), revision: 0 }),
        Step::Unknown("socket".into()),
    ];
    assert_eq!(
        of_iptables([over(17), steps].concat(), None),
        "-A DOCKER-USER -p udp -m udp --dport 53 -m conntrack --ctstate RELATED,ESTABLISHED -m u32 [...] [socket]"
    );
}

#[test]
fn rules_of_nft_read_as_nft_writes_them() {
    let ipv4 = || vec![Step::Meta { to: 1, key: meta::NFPROTO }, is(operator::EQUAL, &[2])];
    let steps = [
        ipv4(),
        to("10.0.0.1"),
        over(6),
        vec![
            load(payload::TRANSPORT, 2, 2),
            is(operator::AT_LEAST, &[3, 232]),
            is(operator::AT_MOST, &[7, 208]),
            Step::Counter,
            Step::Reject(Reject::Either(3)),
        ],
    ];
    assert_eq!(
        of_nft(steps.concat(), vec![]),
        "ip daddr 10.0.0.1 tcp dport 1000-2000 counter packets 0 bytes 0 reject with icmpx admin-prohibited # handle 1"
    );
    let state = vec![
        Step::Connection { to: 1, key: connection::STATE, direction: None },
        Step::Mask { from: 1, to: 1, mask: 6_u32.to_ne_bytes().to_vec(), flip: vec![0; 4] },
        is(operator::UNEQUAL, &[0; 4]),
        Step::Verdict(Verdict::Accept),
    ];
    assert_eq!(of_nft(state, vec![]), "ct state established,related accept # handle 1");
    let fib = vec![
        Step::Fib { to: 1, result: 3, flags: 2 },
        is(operator::EQUAL, &2_u32.to_ne_bytes()),
        Step::Verdict(Verdict::Jump("services".into())),
    ];
    assert_eq!(of_nft(fib, vec![]), "fib daddr type local jump services # handle 1");
}

#[test]
fn sets_in_a_rule_are_written_out_and_others_by_name() {
    let table = Table { family: 1, name: "fw".into() };
    let element = |key: [u8; 2], ends| Element {
        key: key.to_vec(),
        to: None,
        ends,
        catch_all: false,
        value: Value::None,
    };
    let mut set = Set {
        table,
        name: "__set0".into(),
        anonymous: true,
        interval: true,
        key_length: 2,
        elements: vec![
            element([0, 91], true),
            element([0, 80], false),
            element([0, 23], true),
            element([0, 22], false),
            element([0, 0], true),
        ],
        complete: true,
        ..Set::default()
    };
    let steps = || {
        let find = vec![
            load(payload::TRANSPORT, 2, 2),
            Step::Lookup { of: 1, set: "__set0".into(), to: None, absent: false },
            Step::Verdict(Verdict::Accept),
        ];
        [over(6), find].concat()
    };
    assert_eq!(of_nft(steps(), vec![set.clone()]), "tcp dport { 22, 80-90 } accept # handle 1");
    set.anonymous = false;
    assert_eq!(of_nft(steps(), vec![set]), "tcp dport @__set0 accept # handle 1");
}

#[test]
fn each_place_has_the_command_that_shows_it() {
    let inet = Table { family: 1, name: "fw".into() };
    let native = Table { family: 2, name: "filter".into() };
    let of_iptables = ruleset(vec![chain(&filter(), "FORWARD", Some(("filter", (2, 0))))], vec![]);
    let of_nft = ruleset(vec![chain(&native, "forward", Some(("filter", (2, 0))))], vec![]);
    assert_eq!(
        of_iptables.command(&filter(), "DOCKER-USER"),
        "iptables -w -L DOCKER-USER -v -n --line-numbers"
    );
    let nat = Table { family: 10, name: "nat".into() };
    let all = ruleset(vec![chain(&nat, "OUTPUT", Some(("nat", (3, -100))))], vec![]);
    assert_eq!(all.command(&nat, "OUTPUT"), "ip6tables -w -t nat -L OUTPUT -v -n --line-numbers");
    assert_eq!(of_nft.command(&native, "forward"), "nft -a list chain ip filter forward");
    assert_eq!(of_nft.command(&inet, "forward"), "nft -a list chain inet fw forward");
    let firewall = Firewall::new(&of_iptables);
    assert_eq!(firewall.policy(&of_iptables.chains[0]), "-P FORWARD ACCEPT");
    let counter = Counter::default();
    assert_eq!(counter.packets, 0);
}

#[test]
fn a_name_is_one_word_of_a_shell_whatever_it_is() {
    let all = Ruleset::default();
    let table = Table { family: 2, name: "x;reboot".into() };
    assert_eq!(all.command(&table, "a'b$(c)"), r"nft -a list chain ip 'x;reboot' 'a'\''b$(c)'");
    assert_eq!(
        all.command(&Table { family: 2, name: "t".into() }, "DOCKER-USER"),
        "nft -a list chain ip t DOCKER-USER"
    );
}
