//! Rule sets of nft: firewalld's shape with maps of verdicts, sets with ranges and of several parts, kube-proxy's maps,
//! several tables at one hook.

use super::{
    super::shot::{Shot, Way::*},
    Kind, Row,
};

const FIREWALLD: &str = r#"
table inet firewalld {
  set trusted {
    type ipv4_addr
    flags interval
    elements = { 10.70.1.128/25, 10.70.5.0/24, 10.70.9.1 }
  }
  chain mangle_PREROUTING {
    type filter hook prerouting priority mangle + 10; policy accept;
    iifname "va" udp dport 5301 counter meta mark set 0x00000007
  }
  chain filter_INPUT {
    type filter hook input priority filter + 10; policy accept;
    ct state established,related counter accept
    ct status dnat counter accept
    iifname "lo" counter accept
    ct state invalid counter drop
    jump filter_INPUT_ZONES
    counter reject with icmpx admin-prohibited
  }
  chain filter_FORWARD {
    type filter hook forward priority filter + 10; policy accept;
    ct state vmap { established : accept, related : accept, invalid : drop }
    ct status dnat counter accept
    ip6 daddr { ::/96, ::ffff:0.0.0.0/96 } counter reject with icmpv6 addr-unreachable
    ip saddr @trusted counter drop
    jump filter_FORWARD_ZONES
    counter reject with icmpx admin-prohibited
  }
  chain filter_INPUT_ZONES {
    iifname vmap { "va" : goto filter_IN_public, "br0" : goto filter_IN_drop }
    goto filter_IN_drop
  }
  chain filter_IN_public {
    udp dport { 53, 5300-5301 } ct state new counter accept
    meta l4proto { icmp, ipv6-icmp } counter accept
    tcp dport 22 counter accept
  }
  chain filter_IN_drop {
    counter drop
  }
  chain filter_FORWARD_ZONES {
    iifname . oifname vmap { "va" . "vb" : goto filter_FWD_public }
  }
  chain filter_FWD_public {
    ip daddr 10.70.2.2 udp dport 80 counter accept
    meta mark 0x00000007 counter accept comment "marked on the way"
    meta l4proto tcp counter reject with tcp reset
  }
}
"#;

const SETS: &str = r#"
table inet fw {
  set pairs {
    type ipv4_addr . inet_service
    elements = { 10.70.2.2 . 80 }
  }
  set nets {
    type ipv4_addr . inet_proto . inet_service
    flags interval
    elements = { 10.70.2.0/24 . udp . 5300-5301 }
  }
  set six {
    type ipv6_addr
    flags interval
    elements = { fd70:2::/64 }
  }
  map to {
    type inet_service : verdict
    elements = { 53 : drop, 8080 : accept }
  }
  chain forward {
    type filter hook forward priority filter; policy drop;
    ip daddr . udp dport @pairs counter accept
    ip daddr . meta l4proto . th dport @nets counter accept
    ip6 daddr @six udp dport 5300 counter accept
    ip6 daddr @six udp dport != 53 counter reject
    ip daddr != { 10.70.2.2, 10.70.2.3 } counter drop
    ip daddr 10.70.2.2-10.70.2.3 udp dport > 9000 counter reject with icmp net-prohibited
    udp dport vmap @to
    meta nfproto ipv6 counter drop
  }
}
"#;

const KUBE_PROXY: &str = r#"
table ip kube-proxy {
  map service-ips {
    type ipv4_addr . inet_proto . inet_service : verdict
    elements = { 10.96.0.10 . udp . 80 : goto service-web }
  }
  map no-endpoint-services {
    type ipv4_addr . inet_proto . inet_service : verdict
    elements = { 10.96.0.11 . udp . 80 : goto reject-chain }
  }
  chain nat-prerouting {
    type nat hook prerouting priority dstnat; policy accept;
    jump services
  }
  chain nat-postrouting {
    type nat hook postrouting priority srcnat; policy accept;
    meta mark & 0x00004000 == 0x00000000 return
    meta mark set meta mark ^ 0x00004000
    counter masquerade
  }
  chain filter-forward {
    type filter hook forward priority filter; policy accept;
    ct state new jump service-endpoints-check
    ct state new ct original ip daddr 10.96.0.10 counter accept
  }
  chain services {
    ip daddr . meta l4proto . th dport vmap @service-ips
  }
  chain service-endpoints-check {
    ip daddr . meta l4proto . th dport vmap @no-endpoint-services
  }
  chain reject-chain {
    counter reject
  }
  chain service-web {
    ip daddr 10.96.0.10 udp dport 80 ip saddr != 10.70.2.0/24 jump mark-for-masquerade
    numgen random mod 2 vmap { 0 : goto endpoint-a, 1 : goto endpoint-b }
  }
  chain mark-for-masquerade {
    meta mark set meta mark | 0x00004000
  }
  chain endpoint-a {
    meta l4proto udp counter dnat to 10.70.2.2:5300
  }
  chain endpoint-b {
    meta l4proto udp counter dnat to 10.70.2.3:5301
  }
}
"#;

const SEVERAL: &str = r#"
table ip first {
  counter refused { }
  chain late {
    type filter hook forward priority filter + 5; policy accept;
    udp dport 5300 counter drop
    udp dport 5301 counter accept
  }
  chain output {
    type filter hook output priority filter; policy accept;
    oifname "vb" udp dport 5300 counter drop
    udp dport 5301 counter accept
    fib daddr type local counter accept
    udp dport 80 counter name "refused" reject with icmp port-unreachable
  }
}
table inet second {
  chain early {
    type filter hook forward priority filter - 5; policy accept;
    udp dport { 5300, 5301 } counter accept
    udp dport 53 jump inner
    udp dport 8080 counter jump { counter drop; }
  }
  chain inner {
    ip saddr 10.70.1.2 return
    counter drop
  }
}
table inet third {
  chain forward {
    type filter hook forward priority filter; policy drop;
    udp dport 5300-5301 counter accept
    udp dport 53 counter accept
  }
}
"#;

const EQUAL: &str = r#"
table ip one {
  chain forward {
    type filter hook forward priority filter; policy accept;
    udp dport 5300 counter drop
    udp dport 5301 counter accept
  }
}
table inet two {
  chain forward {
    type filter hook forward priority filter; policy accept;
    udp dport 5300 counter drop
    udp dport 5301 counter drop
  }
}
"#;

const DORMANT: &str = r#"
table inet asleep {
  flags dormant;
  chain forward {
    type filter hook forward priority filter; policy drop;
    counter drop
  }
}
"#;

/// Rules of nft.
pub(crate) fn nft() -> Vec<Row> {
    let row = |name, rules, shots| Row { name, rules: vec![(Kind::Nft, rules)], shots };
    vec![
        row(
            "firewalld",
            FIREWALLD,
            vec![
                Shot::udp(Routed, "10.70.2.2", 80, "accept filter_FWD_public 1"),
                Shot::udp(Routed, "10.70.2.2", 5301, "accept filter_FWD_public 2"),
                Shot::udp(Routed, "10.70.2.2", 5300, "reject filter_FORWARD 6"),
                Shot::tcp(Routed, "10.70.2.2", 5300, "reject filter_FWD_public 3"),
                Shot::udp(Routed, "fd70:2::2", 80, "reject filter_FORWARD 6"),
                Shot::udp(In, "10.70.1.1", 5300, "accept filter_IN_public 1"),
                Shot::again(In, "10.70.1.1", 5300, "accept filter_INPUT 1"),
                Shot::udp(In, "10.70.1.1", 80, "reject filter_INPUT 6"),
            ],
        ),
        row(
            "sets",
            SETS,
            vec![
                Shot::udp(Routed, "10.70.2.2", 80, "accept forward 1"),
                Shot::udp(Routed, "10.70.2.3", 80, "drop forward 0"),
                Shot::udp(Routed, "10.70.2.3", 5301, "accept forward 2"),
                Shot::udp(Routed, "10.70.2.3", 9001, "reject forward 6"),
                Shot::udp(Routed, "10.70.2.9", 80, "drop forward 5"),
                Shot::udp(Routed, "fd70:2::2", 5300, "accept forward 3"),
                Shot::udp(Routed, "fd70:2::2", 80, "reject forward 4"),
                Shot::udp(Routed, "10.70.2.3", 8080, "accept forward 7"),
                Shot::udp(Routed, "10.70.2.3", 53, "drop forward 7"),
            ],
        ),
        row(
            "kube_proxy_of_nft",
            KUBE_PROXY,
            vec![
                Shot::udp(Routed, "10.96.0.10", 80, "accept filter-forward 2"),
                Shot::udp(Routed, "10.96.0.10", 80, "accept filter-forward 2"),
                Shot::udp(Routed, "10.96.0.11", 80, "reject reject-chain 1"),
                Shot::udp(Routed, "10.70.2.2", 80, "accept filter-forward 0"),
            ],
        ),
        row(
            "several_tables",
            SEVERAL,
            vec![
                Shot::udp(Routed, "10.70.2.2", 5300, "drop late 1"),
                Shot::udp(Routed, "10.70.2.2", 5301, "accept late 2"),
                Shot::udp(Routed, "10.70.2.2", 53, "accept late 0"),
                Shot::udp(Routed, "10.70.2.2", 80, "drop forward 0"),
                Shot::udp(Routed, "10.70.2.2", 8080, "drop __chain 1"),
                Shot::udp(Out, "10.70.2.2", 5300, "drop output 1"),
                Shot::udp(Out, "10.70.2.2", 5301, "accept output 2"),
                Shot::udp(Out, "10.70.2.2", 80, "reject output 4"),
            ],
        ),
        row(
            "equal_priorities",
            EQUAL,
            vec![
                Shot::udp(Routed, "10.70.2.2", 5300, "drop forward 1"),
                Shot::udp(Routed, "10.70.2.2", 5301, "drop forward 2"),
            ],
        ),
    ]
}

/// Nothing that keeps anything.
pub(crate) fn empty() -> Vec<Row> {
    vec![
        Row {
            name: "dormant",
            rules: vec![(Kind::Nft, DORMANT)],
            shots: vec![Shot::udp(Routed, "10.70.2.2", 80, "")],
        },
        Row { name: "empty", rules: vec![], shots: vec![Shot::udp(Routed, "10.70.2.2", 80, "")] },
    ]
}
