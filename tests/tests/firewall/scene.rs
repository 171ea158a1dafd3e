//! A router between two namespaces, and a bridge of it with two more: who sends, who listens, and the rules between.

use std::{io::ErrorKind, net::UdpSocket};

use anyhow::{Context, Result, bail};
use netobs::host::{facts::firewall::Ruleset, firewall};
use netobs_tests::{
    endpoint,
    netns::{self, Netns, Stack},
};

use super::rows::{Kind, Row};

/// Ports listened to, over UDP, by everybody but the sender.
const PORTS: &[u16] = &[53, 80, 5300, 5301, 8080];

pub(crate) struct Scene {
    left: Netns,
    port: Netns,
    /// Who is only sent to.
    _far: [Netns; 2],
    router: Netns,
    listeners: Vec<UdpSocket>,
}

impl Scene {
    pub(crate) fn new() -> Result<Self> {
        let router = Netns::new("fw")?;
        for (name, value) in [
            ("net/ipv4/ip_forward", "1"),
            ("net/ipv6/conf/all/forwarding", "1"),
            ("net/ipv6/conf/default/accept_dad", "0"),
            ("net/ipv4/conf/all/rp_filter", "0"),
            ("net/ipv4/conf/default/rp_filter", "0"),
        ] {
            router.sysctl(name, value)?;
        }
        let node = router.stack();
        let behind = |word: &str, device: &str| endpoint::behind_veth(&node, &netns::unique(word), device);
        let (left, right) = (behind("left", "va")?, behind("right", "vb")?);
        let (port, other_port) = (behind("port", "p1")?, behind("other", "p2")?);
        endpoint::bridge(&node, "br0", "10.70.3.1/24")?;
        // Who is where is said once, so that no neighbour is asked for while counters are compared.
        node.batch(
            "link set va address 02:00:00:00:01:01\nlink set vb address 02:00:00:00:02:01\n\
             addr add 10.70.1.1/24 dev va\naddr add 10.70.2.1/24 dev vb\n\
             addr add fd70:1::1/64 dev va nodad\naddr add fd70:2::1/64 dev vb nodad\n\
             link set p1 master br0\nlink set p2 master br0\n\
             route add 10.96.0.0/16 via 10.70.2.2\n",
        )?;
        left.batch(
            "link set eth0 address 02:00:00:00:01:02\naddr add 10.70.1.2/24 dev eth0\n\
             addr add fd70:1::2/64 dev eth0 nodad\nroute add default via 10.70.1.1\n\
             route add default via fd70:1::1\n\
             neigh replace fd70:1::1 lladdr 02:00:00:00:01:01 dev eth0 nud permanent\n",
        )?;
        right.batch(
            "link set eth0 address 02:00:00:00:02:02\naddr add 10.70.2.2/24 dev eth0\n\
             addr add 10.70.2.3/24 dev eth0\naddr add fd70:2::2/64 dev eth0 nodad\n\
             route add default via 10.70.2.1\nroute add default via fd70:2::1\n\
             neigh replace fd70:2::1 lladdr 02:00:00:00:02:01 dev eth0 nud permanent\n",
        )?;
        node.batch(
            "neigh replace fd70:1::2 lladdr 02:00:00:00:01:02 dev va nud permanent\n\
             neigh replace fd70:2::2 lladdr 02:00:00:00:02:02 dev vb nud permanent\n",
        )?;
        port.batch("addr add 10.70.3.2/24 dev eth0\nroute add default via 10.70.3.1\n")?;
        other_port.batch("addr add 10.70.3.3/24 dev eth0\nroute add default via 10.70.3.1\n")?;
        let mut listeners = Vec::new();
        for stack in [right.stack(), other_port.stack(), node] {
            for port in PORTS {
                let socket = stack.within(|| UdpSocket::bind(("::", *port)))?.context("listening")?;
                socket.set_nonblocking(true)?;
                listeners.push(socket);
            }
        }
        Ok(Self { left, port, _far: [right, other_port], router, listeners })
    }

    pub(crate) fn node(&self) -> Stack {
        self.router.stack()
    }

    pub(crate) fn left(&self) -> Stack {
        self.left.stack()
    }

    pub(crate) fn port(&self) -> Stack {
        self.port.stack()
    }

    /// The rules of a row, and no others.
    pub(crate) fn load(&self, row: &Row) -> Result<()> {
        let node = self.node();
        node.run("nft flush ruleset")?;
        // What was tracked under other rules is no matter of these.
        node.run("conntrack -F").ok();
        let file = tempfile::NamedTempFile::new()?;
        for (kind, text) in &row.rules {
            std::fs::write(file.path(), text)?;
            let path = file.path().display();
            match kind {
                Kind::Iptables => node.run(&format!("iptables-restore -w --noflush {path}"))?,
                Kind::Ip6tables => node.run(&format!("ip6tables-restore -w --noflush {path}"))?,
                Kind::Nft => node.run(&format!("nft -f {path}"))?,
            };
        }
        Ok(())
    }

    /// What our reader reads.
    pub(crate) fn read(&self) -> Result<Ruleset> {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        Ok(runtime.block_on(firewall::dump_inside(self.node().file()))?)
    }

    /// Whom datagrams reached since the last question, and answers them if that is wanted.
    pub(crate) fn arrived(&self, answer: bool) -> Result<usize> {
        let mut count = 0;
        for socket in &self.listeners {
            loop {
                match socket.recv_from(&mut [0; 64]) {
                    Ok((_, from)) => {
                        count += 1;
                        if answer {
                            socket.send_to(b"answer", from)?;
                        }
                    }
                    Err(error) if error.kind() == ErrorKind::WouldBlock => break,
                    Err(error) => bail!("listening: {error}"),
                }
            }
        }
        Ok(count)
    }
}
