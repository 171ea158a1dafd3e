//! Rule sets, and for each what must become of packets: Docker's, Kubernetes', ufw's, libvirt's, firewalld's.

mod nft;

pub(crate) use self::nft::{empty, nft};
use super::shot::{Shot, Way::*};

/// What a text of rules is for.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Kind {
    /// `iptables-restore`.
    Iptables,
    /// `ip6tables-restore`.
    Ip6tables,
    /// `nft -f`.
    Nft,
}

/// A rule set and packets.
#[derive(Clone, Debug)]
pub(crate) struct Row {
    pub(crate) name: &'static str,
    pub(crate) rules: Vec<(Kind, &'static str)>,
    pub(crate) shots: Vec<Shot>,
}

const DOCKER: &str = "\
*raw
:PREROUTING ACCEPT [0:0]
-A PREROUTING -d 10.70.2.9/32 ! -i vb -j DROP
COMMIT
*nat
:PREROUTING ACCEPT [0:0]
:OUTPUT ACCEPT [0:0]
:POSTROUTING ACCEPT [0:0]
:DOCKER - [0:0]
-A PREROUTING -m addrtype --dst-type LOCAL -j DOCKER
-A OUTPUT ! -d 127.0.0.0/8 -m addrtype --dst-type LOCAL -j DOCKER
-A POSTROUTING -s 10.70.2.0/24 ! -o vb -j MASQUERADE
-A DOCKER -i vb -j RETURN
-A DOCKER ! -i vb -p udp -m udp --dport 8081 -j DNAT --to-destination 10.70.2.2:80
COMMIT
*filter
:INPUT ACCEPT [0:0]
:FORWARD DROP [0:0]
:OUTPUT ACCEPT [0:0]
:DOCKER - [0:0]
:DOCKER-ISOLATION-STAGE-1 - [0:0]
:DOCKER-ISOLATION-STAGE-2 - [0:0]
:DOCKER-USER - [0:0]
-A FORWARD -j DOCKER-USER
-A FORWARD -j DOCKER-ISOLATION-STAGE-1
-A FORWARD -o vb -m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT
-A FORWARD -o vb -j DOCKER
-A FORWARD -i vb ! -o vb -j ACCEPT
-A DOCKER -d 10.70.2.2/32 ! -i vb -o vb -p udp -m udp --dport 80 -j ACCEPT
-A DOCKER -d 10.70.2.2/32 ! -i vb -o vb -p udp -m udp --dport 5300 -j ACCEPT
-A DOCKER-ISOLATION-STAGE-1 -i va ! -o va -j DOCKER-ISOLATION-STAGE-2
-A DOCKER-ISOLATION-STAGE-1 -j RETURN
-A DOCKER-ISOLATION-STAGE-2 -o br0 -j DROP
-A DOCKER-ISOLATION-STAGE-2 -j RETURN
-A DOCKER-USER -d 10.70.2.3/32 -j DROP
-A DOCKER-USER -j RETURN
COMMIT
";

const ISOLATED: &str = "\
*filter
:INPUT ACCEPT [0:0]
:FORWARD DROP [0:0]
:OUTPUT ACCEPT [0:0]
:DOCKER-ISOLATION-STAGE-1 - [0:0]
:DOCKER-ISOLATION-STAGE-2 - [0:0]
-A FORWARD -j DOCKER-ISOLATION-STAGE-1
-A FORWARD -i va -o vb -j ACCEPT
-A DOCKER-ISOLATION-STAGE-1 -i va ! -o va -j DOCKER-ISOLATION-STAGE-2
-A DOCKER-ISOLATION-STAGE-1 -j RETURN
-A DOCKER-ISOLATION-STAGE-2 -o vb -j DROP
-A DOCKER-ISOLATION-STAGE-2 -j RETURN
COMMIT
";

const UFW: &str = "\
*filter
:INPUT DROP [0:0]
:FORWARD DROP [0:0]
:OUTPUT ACCEPT [0:0]
:ufw-after-input - [0:0]
:ufw-after-logging-input - [0:0]
:ufw-before-input - [0:0]
:ufw-not-local - [0:0]
:ufw-skip-to-policy-input - [0:0]
:ufw-user-input - [0:0]
-A INPUT -j ufw-before-input
-A INPUT -j ufw-after-input
-A INPUT -j ufw-after-logging-input
-A ufw-before-input -i lo -j ACCEPT
-A ufw-before-input -m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT
-A ufw-before-input -m conntrack --ctstate INVALID -j DROP
-A ufw-before-input -p icmp -m icmp --icmp-type 8 -j ACCEPT
-A ufw-before-input -j ufw-not-local
-A ufw-before-input -j ufw-user-input
-A ufw-not-local -m addrtype --dst-type LOCAL -j RETURN
-A ufw-not-local -m addrtype --dst-type MULTICAST -j RETURN
-A ufw-not-local -j DROP
-A ufw-user-input -p udp -m udp --dport 53 -j ACCEPT
-A ufw-user-input -s 10.70.1.0/24 -p udp -m multiport --dports 80,5300:5301 -j ACCEPT
-A ufw-user-input -p tcp -m tcp --dport 22 -j REJECT --reject-with tcp-reset
-A ufw-after-input -p udp -m udp --dport 137 -j ufw-skip-to-policy-input
-A ufw-after-logging-input -m limit --limit 3/min --limit-burst 10 -j LOG --log-prefix \"[UFW BLOCK] \"
-A ufw-skip-to-policy-input -j DROP
COMMIT
";

const LIBVIRT: &str = "\
*filter
:INPUT ACCEPT [0:0]
:FORWARD ACCEPT [0:0]
:OUTPUT ACCEPT [0:0]
:LIBVIRT_FWI - [0:0]
:LIBVIRT_FWO - [0:0]
:LIBVIRT_FWX - [0:0]
-A FORWARD -j LIBVIRT_FWX
-A FORWARD -j LIBVIRT_FWI
-A FORWARD -j LIBVIRT_FWO
-A LIBVIRT_FWI -d 10.70.2.0/24 -o vb -m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT
-A LIBVIRT_FWI -d 10.70.2.2/32 -o vb -j ACCEPT
-A LIBVIRT_FWI -o vb -j REJECT --reject-with icmp-port-unreachable
-A LIBVIRT_FWO -s 10.70.2.0/24 -i vb -j ACCEPT
-A LIBVIRT_FWX -i br0 -o br0 -j ACCEPT
COMMIT
";

const REJECTS: &str = "\
*filter
:INPUT ACCEPT [0:0]
:FORWARD ACCEPT [0:0]
:OUTPUT ACCEPT [0:0]
-A FORWARD -p udp -m udp --dport 80 -m comment --comment \"not that one\" -j REJECT --reject-with icmp-admin-prohibited
-A FORWARD -p tcp -m tcp --dport 80 --tcp-flags FIN,SYN,RST,ACK SYN -j REJECT --reject-with tcp-reset
-A FORWARD -p tcp -m tcp --dport 81 -m mark ! --mark 0x1 -j DROP
-A FORWARD -m iprange --dst-range 10.70.2.3-10.70.2.9 -j DROP
-A FORWARD -p udp -m udp ! --dport 5300:5301 -j DROP
-A OUTPUT -d 10.70.2.3/32 -p udp -m udp --dport 5300 -j DROP
-A OUTPUT -d 10.70.2.2/32 -p udp -m udp --dport 5300 -j REJECT --reject-with icmp-host-prohibited
COMMIT
";

const SIX: &str = "\
*filter
:INPUT ACCEPT [0:0]
:FORWARD DROP [0:0]
:OUTPUT ACCEPT [0:0]
:USER - [0:0]
-A FORWARD -j USER
-A FORWARD -d fd70:2::/64 -p udp -m udp --dport 5300 -j ACCEPT
-A FORWARD -d fd70:2::2/128 -p udp -m udp --dport 5301 -j REJECT --reject-with icmp6-adm-prohibited
-A USER -d fd70:2::2/128 -p udp -m udp --dport 53 -j DROP
COMMIT
";

const BRIDGED: &str = "\
*filter
:INPUT ACCEPT [0:0]
:FORWARD DROP [0:0]
:OUTPUT ACCEPT [0:0]
-A FORWARD -i va -o vb -j ACCEPT
-A FORWARD -m physdev --physdev-in p1 --physdev-out p2 --physdev-is-bridged -p udp -m udp --dport 5301 -j ACCEPT
-A FORWARD -m physdev --physdev-in p+ -p udp -m udp --dport 8080 -j ACCEPT
-A FORWARD -m physdev ! --physdev-is-bridged -j ACCEPT
COMMIT
";

/// Rules of iptables as programs other than Kubernetes' make them.
pub(crate) fn iptables() -> Vec<Row> {
    let row = |name, rules, shots| Row { name, rules: vec![(Kind::Iptables, rules)], shots };
    vec![
        row(
            "docker",
            DOCKER,
            vec![
                Shot::udp(Routed, "10.70.2.3", 5300, "drop DOCKER-USER 1"),
                Shot::udp(Routed, "10.70.2.2", 5300, "accept DOCKER 2"),
                Shot::again(Routed, "10.70.2.2", 5300, "accept FORWARD 3"),
                Shot::udp(Routed, "10.70.2.2", 5301, "drop FORWARD 0"),
                Shot::udp(Routed, "10.70.1.1", 8081, "accept DOCKER 1"),
                Shot::udp(Routed, "10.70.2.9", 80, "drop PREROUTING 1"),
                Shot::tcp(Routed, "10.70.2.2", 80, "drop FORWARD 0"),
                Shot::udp(Bridged, "10.70.3.3", 5300, "drop FORWARD 0"),
                Shot::udp(In, "10.70.1.1", 5300, "accept INPUT 0"),
            ],
        ),
        row(
            "docker_isolation",
            ISOLATED,
            vec![Shot::udp(Routed, "10.70.2.2", 5300, "drop DOCKER-ISOLATION-STAGE-2 1")],
        ),
        row(
            "ufw",
            UFW,
            vec![
                Shot::udp(In, "10.70.1.1", 53, "accept ufw-user-input 1"),
                Shot::udp(In, "10.70.1.1", 5301, "accept ufw-user-input 2"),
                Shot::again(In, "10.70.1.1", 5301, "accept ufw-before-input 2"),
                Shot::udp(In, "10.70.1.1", 137, "drop ufw-skip-to-policy-input 1"),
                Shot::udp(In, "10.70.1.1", 8080, "drop INPUT 0"),
                Shot::tcp(In, "10.70.1.1", 22, "reject ufw-user-input 3"),
                Shot::udp(Routed, "10.70.2.2", 5300, "drop FORWARD 0"),
            ],
        ),
        row(
            "libvirt",
            LIBVIRT,
            vec![
                Shot::udp(Routed, "10.70.2.3", 5300, "reject LIBVIRT_FWI 3"),
                Shot::udp(Routed, "10.70.2.2", 5300, "accept LIBVIRT_FWI 2"),
                Shot::again(Routed, "10.70.2.2", 5300, "accept LIBVIRT_FWI 1"),
                Shot::udp(Bridged, "10.70.3.3", 5300, "accept LIBVIRT_FWX 1"),
            ],
        ),
        row(
            "rejections_and_the_hosts_own_packets",
            REJECTS,
            vec![
                Shot::udp(Routed, "10.70.2.2", 80, "reject FORWARD 1"),
                Shot::tcp(Routed, "10.70.2.2", 80, "reject FORWARD 2"),
                Shot::tcp(Routed, "10.70.2.2", 81, "drop FORWARD 3"),
                Shot::udp(Routed, "10.70.2.3", 5300, "drop FORWARD 4"),
                Shot::udp(Routed, "10.70.2.2", 53, "drop FORWARD 5"),
                Shot::udp(Routed, "10.70.2.2", 5301, "accept FORWARD 0"),
                Shot::udp(Out, "10.70.2.3", 5300, "drop OUTPUT 1"),
                Shot::udp(Out, "10.70.2.2", 5300, "reject OUTPUT 2"),
                Shot::udp(Out, "10.70.2.2", 5301, "accept OUTPUT 0"),
            ],
        ),
        Row {
            name: "ipv6",
            rules: vec![(Kind::Ip6tables, SIX)],
            shots: vec![
                Shot::udp(Routed, "fd70:2::2", 5300, "accept FORWARD 2"),
                Shot::udp(Routed, "fd70:2::2", 5301, "reject FORWARD 3"),
                Shot::udp(Routed, "fd70:2::2", 53, "drop USER 1"),
                Shot::udp(Routed, "fd70:2::2", 80, "drop FORWARD 0"),
            ],
        },
        row(
            "bridged",
            BRIDGED,
            vec![
                Shot::udp(Bridged, "10.70.3.3", 5300, "drop FORWARD 0"),
                Shot::udp(Bridged, "10.70.3.3", 5301, "accept FORWARD 2"),
                Shot::udp(Bridged, "10.70.3.3", 8080, "accept FORWARD 3"),
                Shot::udp(Routed, "10.70.2.2", 5300, "accept FORWARD 1"),
            ],
        ),
    ]
}

const KUBE_PROXY: &str = "\
*nat
:PREROUTING ACCEPT [0:0]
:OUTPUT ACCEPT [0:0]
:POSTROUTING ACCEPT [0:0]
:KUBE-MARK-MASQ - [0:0]
:KUBE-NODEPORTS - [0:0]
:KUBE-POSTROUTING - [0:0]
:KUBE-SEP-A - [0:0]
:KUBE-SEP-B - [0:0]
:KUBE-SERVICES - [0:0]
:KUBE-SVC-A - [0:0]
-A PREROUTING -m comment --comment \"kubernetes service portals\" -j KUBE-SERVICES
-A OUTPUT -m comment --comment \"kubernetes service portals\" -j KUBE-SERVICES
-A POSTROUTING -m comment --comment \"kubernetes postrouting rules\" -j KUBE-POSTROUTING
-A KUBE-MARK-MASQ -j MARK --set-xmark 0x4000/0x4000
-A KUBE-NODEPORTS -p udp -m comment --comment default/web -m udp --dport 30080 -j KUBE-SVC-A
-A KUBE-POSTROUTING -m mark ! --mark 0x4000/0x4000 -j RETURN
-A KUBE-POSTROUTING -j MARK --set-xmark 0x4000/0x0
-A KUBE-POSTROUTING -m comment --comment \"kubernetes service traffic requiring SNAT\" -j MASQUERADE
-A KUBE-SEP-A -s 10.70.2.2/32 -m comment --comment default/web -j KUBE-MARK-MASQ
-A KUBE-SEP-A -p udp -m comment --comment default/web -m udp -j DNAT --to-destination 10.70.2.2:5300
-A KUBE-SEP-B -s 10.70.2.3/32 -m comment --comment default/web -j KUBE-MARK-MASQ
-A KUBE-SEP-B -p udp -m comment --comment default/web -m udp -j DNAT --to-destination 10.70.2.3:5300
-A KUBE-SERVICES -d 10.96.0.10/32 -p udp -m comment --comment \"default/web cluster IP\" -m udp --dport 80 -j KUBE-SVC-A
-A KUBE-SERVICES -m comment --comment \"last\" -m addrtype --dst-type LOCAL -j KUBE-NODEPORTS
-A KUBE-SVC-A ! -s 10.70.2.0/24 -d 10.96.0.10/32 -p udp -m comment --comment \"default/web cluster IP\" -m udp --dport 80 -j KUBE-MARK-MASQ
-A KUBE-SVC-A -m comment --comment \"default/web -> 10.70.2.2:5300\" -m statistic --mode random --probability 0.50000000000 -j KUBE-SEP-A
-A KUBE-SVC-A -m comment --comment \"default/web -> 10.70.2.3:5300\" -j KUBE-SEP-B
COMMIT
*filter
:INPUT ACCEPT [0:0]
:FORWARD DROP [0:0]
:OUTPUT ACCEPT [0:0]
:KUBE-EXTERNAL-SERVICES - [0:0]
:KUBE-FORWARD - [0:0]
:KUBE-SERVICES - [0:0]
-A INPUT -m conntrack --ctstate NEW -m comment --comment \"kubernetes externally-visible service portals\" -j KUBE-EXTERNAL-SERVICES
-A FORWARD -m comment --comment \"kubernetes forwarding rules\" -j KUBE-FORWARD
-A FORWARD -m conntrack --ctstate NEW -m comment --comment \"kubernetes service portals\" -j KUBE-SERVICES
-A FORWARD -m conntrack --ctstate DNAT -j ACCEPT
-A KUBE-EXTERNAL-SERVICES -p udp -m comment --comment \"default/none has no endpoints\" -m addrtype --dst-type LOCAL -m udp --dport 30081 -j REJECT --reject-with icmp-port-unreachable
-A KUBE-FORWARD -m conntrack --ctstate INVALID -j DROP
-A KUBE-FORWARD -m comment --comment \"kubernetes forwarding rules\" -m mark --mark 0x4000/0x4000 -j ACCEPT
-A KUBE-SERVICES -d 10.96.0.11/32 -p udp -m comment --comment \"default/none has no endpoints\" -m udp --dport 80 -j REJECT --reject-with icmp-port-unreachable
COMMIT
";

const KUBE_ROUTER: &str = "\
*filter
:INPUT ACCEPT [0:0]
:FORWARD ACCEPT [0:0]
:OUTPUT ACCEPT [0:0]
:KUBE-NWPLCY-A - [0:0]
:KUBE-NWPLCY-DEFAULT - [0:0]
:KUBE-POD-FW-A - [0:0]
:KUBE-ROUTER-FORWARD - [0:0]
-A FORWARD -m comment --comment \"kube-router netpol\" -j KUBE-ROUTER-FORWARD
-A KUBE-ROUTER-FORWARD -d 10.70.2.2/32 -m comment --comment \"rule to jump traffic destined to POD name:web\" -j KUBE-POD-FW-A
-A KUBE-ROUTER-FORWARD -d 10.70.3.3/32 -m physdev --physdev-is-bridged -m comment --comment \"rule to jump traffic destined to POD name:other\" -j KUBE-POD-FW-A
-A KUBE-ROUTER-FORWARD -m comment --comment \"rule to explicitly ACCEPT traffic that comply to network policies\" -m mark --mark 0x20000/0x20000 -j ACCEPT
-A KUBE-POD-FW-A -m comment --comment \"rule for stateful firewall for pod\" -m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT
-A KUBE-POD-FW-A -m comment --comment \"rule to drop invalid state for pod\" -m conntrack --ctstate INVALID -j DROP
-A KUBE-POD-FW-A -d 10.70.2.2/32 -m comment --comment \"run through default ingress policy\" -j KUBE-NWPLCY-DEFAULT
-A KUBE-POD-FW-A -m comment --comment \"run through nw policy web\" -j KUBE-NWPLCY-A
-A KUBE-POD-FW-A -m comment --comment \"rule to REJECT traffic destined for POD name:web\" -m mark ! --mark 0x10000/0x10000 -j REJECT --reject-with icmp-port-unreachable
-A KUBE-POD-FW-A -j MARK --set-xmark 0x0/0x10000
-A KUBE-POD-FW-A -m comment --comment \"set mark to ACCEPT traffic that comply to network policies\" -j MARK --set-xmark 0x20000/0x20000
-A KUBE-NWPLCY-A -p udp -m comment --comment \"rule to ACCEPT traffic from source pods\" -m udp --dport 5300 -j MARK --set-xmark 0x10000/0x10000
-A KUBE-NWPLCY-A -p udp -m comment --comment \"rule to ACCEPT traffic from source pods\" -m udp --dport 5300 -m mark --mark 0x10000/0x10000 -j RETURN
-A KUBE-NWPLCY-DEFAULT -p udp -m comment --comment \"allow dns\" -m udp --dport 53 -j MARK --set-xmark 0x10000/0x10000
COMMIT
";

const CALICO: &str = "\
*filter
:INPUT ACCEPT [0:0]
:FORWARD ACCEPT [0:0]
:OUTPUT ACCEPT [0:0]
:cali-FORWARD - [0:0]
:cali-from-wl-dispatch - [0:0]
:cali-fw-va - [0:0]
:cali-pi-web - [0:0]
:cali-to-wl-dispatch - [0:0]
:cali-tw-vb - [0:0]
-A FORWARD -m comment --comment \"cali:wUHhoiAYhphO9Mso\" -j cali-FORWARD
-A FORWARD -m comment --comment \"cali:S93hcgKJrXEqnTfs\" -m mark --mark 0x10000/0x10000 -j ACCEPT
-A cali-FORWARD -m comment --comment \"cali:vjrMJCRpqwy5oRoX\" -j MARK --set-xmark 0x0/0xe0000
-A cali-FORWARD -i v+ -m comment --comment \"cali:7lLSHvgf\" -j cali-from-wl-dispatch
-A cali-FORWARD -o v+ -m comment --comment \"cali:NOSxoaGx\" -j cali-to-wl-dispatch
-A cali-from-wl-dispatch -i va -m comment --comment \"cali:zTj6P0TIgYvgz-md\" -g cali-fw-va
-A cali-from-wl-dispatch -m comment --comment \"Unknown interface\" -j DROP
-A cali-fw-va -m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT
-A cali-fw-va -m conntrack --ctstate INVALID -j DROP
-A cali-fw-va -j MARK --set-xmark 0x0/0x10000
-A cali-fw-va -m comment --comment \"Profile\" -j MARK --set-xmark 0x10000/0x10000
-A cali-fw-va -m comment --comment \"Return if profile accepted\" -m mark --mark 0x10000/0x10000 -j RETURN
-A cali-fw-va -m comment --comment \"Drop if no profiles matched\" -j DROP
-A cali-pi-web -p udp -m multiport --dports 5300,5301 -j MARK --set-xmark 0x10000/0x10000
-A cali-pi-web -m mark --mark 0x10000/0x10000 -j RETURN
-A cali-to-wl-dispatch -o vb -g cali-tw-vb
-A cali-to-wl-dispatch -m comment --comment \"Unknown interface\" -j DROP
-A cali-tw-vb -j MARK --set-xmark 0x0/0x10000
-A cali-tw-vb -m comment --comment \"Start of policies\" -j MARK --set-xmark 0x0/0x20000
-A cali-tw-vb -m mark --mark 0x0/0x20000 -j cali-pi-web
-A cali-tw-vb -m comment --comment \"Return if policy accepted\" -m mark --mark 0x10000/0x10000 -j RETURN
-A cali-tw-vb -m comment --comment \"Drop if no policies passed packet\" -m mark --mark 0x0/0x20000 -j DROP
COMMIT
";

/// Rules as kube-proxy, kube-router and Calico make them.
pub(crate) fn kubernetes() -> Vec<Row> {
    let row = |name, rules, shots| Row { name, rules: vec![(Kind::Iptables, rules)], shots };
    vec![
        row(
            "kube_proxy",
            KUBE_PROXY,
            vec![
                Shot::udp(Routed, "10.96.0.10", 80, "accept KUBE-FORWARD 2"),
                Shot::udp(Routed, "10.96.0.10", 80, "accept KUBE-FORWARD 2"),
                Shot::udp(Routed, "10.96.0.10", 80, "accept KUBE-FORWARD 2"),
                Shot::udp(Routed, "10.70.1.1", 30080, "accept FORWARD 3"),
                Shot::udp(Routed, "10.96.0.11", 80, "reject KUBE-SERVICES 1"),
                Shot::udp(In, "10.70.1.1", 30081, "reject KUBE-EXTERNAL-SERVICES 1"),
                Shot::udp(Routed, "10.70.2.2", 5300, "drop FORWARD 0"),
            ],
        ),
        row(
            "kube_router",
            KUBE_ROUTER,
            vec![
                Shot::udp(Routed, "10.70.2.2", 5300, "accept KUBE-ROUTER-FORWARD 3"),
                Shot::again(Routed, "10.70.2.2", 5300, "accept KUBE-POD-FW-A 1"),
                Shot::udp(Routed, "10.70.2.2", 53, "accept KUBE-ROUTER-FORWARD 3"),
                Shot::udp(Routed, "10.70.2.2", 80, "reject KUBE-POD-FW-A 5"),
                Shot::udp(Bridged, "10.70.3.3", 5300, "accept KUBE-ROUTER-FORWARD 3"),
                Shot::udp(Bridged, "10.70.3.3", 80, "reject KUBE-POD-FW-A 5"),
                Shot::udp(Routed, "10.70.2.3", 80, "accept FORWARD 0"),
            ],
        ),
        row(
            "calico",
            CALICO,
            vec![
                Shot::udp(Routed, "10.70.2.2", 5301, "accept FORWARD 2"),
                Shot::again(Routed, "10.70.2.2", 5301, "accept cali-fw-va 1"),
                Shot::udp(Routed, "10.70.2.2", 80, "drop cali-tw-vb 5"),
                Shot::udp(Bridged, "10.70.3.3", 80, "accept FORWARD 0"),
            ],
        ),
    ]
}
