//! The site with real containers and an agent that observes it: where most cases play.

use anyhow::{Context, Result};

use crate::{
    agent::Agent,
    docker_site::{DockerSite, WEB},
    dockerd::Docker,
    flows::Flow,
    interval::{Expected, Interval},
    place::Place,
    site::UPLINK,
};

/// Fields go in this order: the agent before what it observes.
#[derive(Debug)]
pub struct Stage {
    /// The agent, in the node's stack, with the daemon's socket.
    pub agent: Agent,
    /// What it observes.
    pub site: DockerSite,
}

impl Stage {
    /// Builds the site and starts the agent.
    ///
    /// # Errors
    /// When one of them does not come up.
    pub fn new() -> Result<Self> {
        Self::on(DockerSite::new()?)
    }

    /// Starts the agent on a site that may already have traffic.
    ///
    /// # Errors
    /// When it does not come up.
    pub fn on(site: DockerSite) -> Result<Self> {
        let agent =
            Agent::start(&site.site.node(), &site.directory().join("agent"), &site.docker.socket(), &[])?;
        let stage = Self { agent, site };
        stage.wait_for_names()?;
        Ok(stage)
    }

    /// Containers that run when the agent starts must be named soon after.
    fn wait_for_names(&self) -> Result<()> {
        crate::process::until("the containers' names", std::time::Duration::from_secs(10), || {
            let answer = self.agent.query(&["endpoints"])?;
            let list = answer["endpoints"].as_array().context("no list of endpoints")?;
            let named = list.iter().any(|one| one["id"] == format!("container/{WEB}"));
            named.then_some(()).with_context(|| format!("no container/{WEB} in {answer}"))
        })
    }

    /// The daemon.
    #[must_use]
    pub fn docker(&self) -> &Docker {
        &self.site.docker
    }

    /// The node as a place.
    #[must_use]
    pub fn node(&self) -> Place<'static> {
        self.site.node()
    }

    /// The outside as a place.
    #[must_use]
    pub fn outside(&self) -> Place<'static> {
        self.site.outside()
    }

    /// A container as a place.
    ///
    /// # Errors
    /// When it does not run.
    pub fn place<'a>(&'a self, name: &'a str) -> Result<Place<'a>> {
        self.site.place(name)
    }

    /// Runs traffic and checks that every number agrees with every other.
    ///
    /// # Errors
    /// When the traffic fails or a number does not add up.
    pub fn observe<T>(&self, traffic: impl FnOnce() -> Result<T>) -> Result<(Interval, T)> {
        let (interval, result) = Interval::around(&self.agent, traffic)?;
        Ok((interval, result))
    }

    /// The host-side veth of a container.
    ///
    /// # Errors
    /// When it has none.
    pub fn veth(&self, container: &str) -> Result<String> {
        self.site.host_side_name(container)
    }
}

/// `interface hook` words from pairs such as `("up0", "E")`.
#[must_use]
pub fn way(hops: &[(&str, &str)]) -> Vec<String> {
    let hook = |letter: &str| if letter == "I" { "ingress" } else { "egress" };
    hops.iter().map(|(interface, letter)| format!("{interface} {}", hook(letter))).collect()
}

/// The side of a flow that a container is.
#[must_use]
pub fn container(name: &str) -> (String, &'static str) {
    (format!("container/{name}"), "container")
}

/// The side of a flow that the node is.
#[must_use]
pub fn host() -> (String, &'static str) {
    ("host".into(), "host")
}

/// The side of a flow beyond the uplink.
#[must_use]
pub fn external() -> (String, &'static str) {
    ("external".into(), "external")
}

/// A row for the uplink between the host itself and the outside.
#[must_use]
pub fn at_uplink(
    source: (String, &'static str),
    destination: (String, &'static str),
    leaves: bool,
) -> Expected {
    let (first, second) = if leaves { ("E", "I") } else { ("I", "E") };
    Expected {
        protocol: "tcp",
        source,
        destination,
        path: "uplink",
        nat: "none",
        via: Some("direct"),
        forward: way(&[(UPLINK, first)]),
        reply: way(&[(UPLINK, second)]),
        counted_at: UPLINK.into(),
    }
}

/// Whether a flow is the TCP connection with this source port, as the source sent it.
#[must_use]
pub fn from_port(flow: &Flow, protocol: &str, port: u16) -> bool {
    flow.protocol == protocol && flow.source.port == Some(port)
}
