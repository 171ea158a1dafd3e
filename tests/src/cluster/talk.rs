//! One conversation in the cluster: who opens it, what they address; and after it, the ways it took through both nodes
//! as the tracers saw them.

use std::{fmt, net::SocketAddr, ops::Range};

use anyhow::{Context, Result};

use super::{
    Cluster,
    addresses::{Family, PORT, SERVICES},
};
use crate::{
    machine::Console,
    process::{SHORT, run_within},
    tracer::{self, Seen, TracedHop},
    traffic,
};

/// What is addressed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum To {
    /// Somebody's own address.
    At(&'static str),
    /// A Service by its name.
    Service(&'static str),
    /// A port of a node.
    Port(&'static str, u16),
    /// The node's own loopback.
    Loopback,
}

/// What is spoken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Protocol {
    /// A connection with a request of 100 bytes and an answer.
    Tcp,
    /// A datagram and its answer.
    Udp,
    /// An echo request and its reply.
    Icmp,
}

impl Protocol {
    /// The word of the contract.
    #[must_use]
    pub const fn word(self, family: Family) -> &'static str {
        match (self, family) {
            (Self::Tcp, _) => "tcp",
            (Self::Udp, _) => "udp",
            (Self::Icmp, Family::V4) => "icmp",
            (Self::Icmp, Family::V6) => "icmpv6",
        }
    }
}

/// A conversation that is to be.
#[derive(Clone, Copy, Debug)]
pub struct Talk {
    /// Who opens it.
    pub client: &'static str,
    /// What is addressed.
    pub to: To,
    /// By which family.
    pub family: Family,
    /// And which protocol.
    pub protocol: Protocol,
}

impl fmt::Display for Talk {
    fn fmt(&self, to: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(to, "{} to {:?}, {:?} over {}", self.client, self.to, self.protocol, self.family)
    }
}

/// A conversation that was.
#[derive(Clone, Debug)]
pub struct Spoken {
    /// What was to be.
    pub talk: Talk,
    /// What was addressed.
    pub target: SocketAddr,
    /// When, by the tracers' clock.
    pub span: Range<u64>,
}

impl Talk {
    /// What is addressed.
    ///
    /// # Errors
    /// When there is nobody of that name.
    pub fn target(&self, cluster: &Cluster) -> Result<SocketAddr> {
        let (address, port) = match self.to {
            To::At(name) => (cluster.address(name, self.family)?, PORT),
            To::Port(node, port) => (cluster.address(node, self.family)?, port),
            To::Loopback if self.family == Family::V4 => ([127, 0, 0, 1].into(), PORT),
            To::Loopback => (std::net::Ipv6Addr::LOCALHOST.into(), PORT),
            To::Service(name) => {
                let service = SERVICES.iter().find(|one| one.0 == name);
                (service.with_context(|| format!("no service {name}"))?.1.of(self.family), 80)
            }
        };
        Ok(SocketAddr::new(address, if self.protocol == Protocol::Icmp { 0 } else { port }))
    }

    /// Has it. A machine is asked by its console; whoever else answers at [`PORT`] does so already, or for a datagram
    /// is told to here.
    ///
    /// # Errors
    /// When there is no answer.
    pub fn have(&self, cluster: &Cluster, machine: Option<&Console>) -> Result<Spoken> {
        let target = self.target(cluster)?;
        let text = target.to_string();
        let from = tracer::now()?;
        match (self.protocol, machine) {
            (Protocol::Tcp, Some(console)) => {
                console.run(&format!("/bin/traffic tcp-connect {text} --bytes 100"))?;
            }
            (Protocol::Tcp, None) => {
                traffic::connect(&cluster.place(self.client)?, &text, 1, 100)?;
            }
            (Protocol::Udp, _) => {
                let To::At(server) = self.to else { anyhow::bail!("{self}: nobody to answer") };
                let server = cluster.place(server)?;
                let sink =
                    server.traffic(&["udp-sink", &format!("[::]:{PORT}"), "--count", "1", "--echo"])?;
                let sink = traffic::serve(&server, sink, "udp", PORT)?;
                run_within(&mut cluster.place(self.client)?.traffic(&["udp-ask", &text])?, SHORT)?;
                sink.output()?;
            }
            (Protocol::Icmp, _) => traffic::ping(&cluster.place(self.client)?, &target.ip().to_string(), 1)?,
        }
        Ok(Spoken { talk: *self, target, span: from..tracer::now()? })
    }
}

/// The ways a conversation took through a node.
#[derive(Clone, Debug, Default)]
pub struct Ways {
    /// From who opened it.
    pub forward: Vec<TracedHop>,
    /// Back to them.
    pub reply: Vec<TracedHop>,
}

impl Spoken {
    /// Its ways through the node whose packets these are.
    #[must_use]
    pub fn ways(&self, seen: &[Seen]) -> Ways {
        let way = |forward| tracer::way(seen, &self.span, forward);
        Ways { forward: way(true), reply: way(false) }
    }
}

impl fmt::Display for Ways {
    fn fmt(&self, to: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (word, hops) in [("forward", &self.forward), ("reply", &self.reply)] {
            let hops: Vec<_> = hops.iter().map(ToString::to_string).collect();
            writeln!(to, "      {word}: {}", hops.join(", "))?;
        }
        Ok(())
    }
}
