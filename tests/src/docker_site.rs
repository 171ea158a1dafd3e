//! A site with a real dockerd in its node and one container of every kind the cases speak of.

use std::path::Path;

use anyhow::{Context, Result};

use crate::{
    dockerd::{Bridge, Docker},
    netns::Stack,
    place::Place,
    process::own_program,
    require::find,
    site::Site,
};

/// On the default bridge, with the compose labels of a service.
pub const WEB: &str = "web";
/// On the default bridge.
pub const PLAIN: &str = "plain";
/// On the default bridge, its port 80 published as 8080 of the node.
pub const PUBLISHED: &str = "published";
/// On a network of its own.
pub const LONELY: &str = "lonely";
/// On the node's own stack.
pub const HOSTNET: &str = "hostnet";
/// Without a network.
pub const NONE: &str = "none";
/// In the stack of [`PLAIN`].
pub const SIDECAR: &str = "sidecar";

/// The user-defined network, on a bridge whose name Docker chooses.
const NETWORK: &str = "backend";

/// The node with its daemon and containers. Fields go in this order: containers before namespaces.
#[derive(Debug)]
pub struct DockerSite {
    /// The daemon.
    pub docker: Docker,
    /// Node and outside.
    pub site: Site,
}

impl DockerSite {
    /// Builds everything; about five seconds.
    ///
    /// # Errors
    /// When a part cannot be built.
    pub fn new() -> Result<Self> {
        let site = Site::new()?;
        // Its sysctls decide what conntrack says to the cases that use it as a witness.
        site.node.sysctl("net/netfilter/nf_conntrack_acct", "1")?;
        let bridge = Bridge::Own { ipv4: "10.77.0.1/24", ipv6: "2001:db8:d0c::/64" };
        let docker = Docker::start(&site.node(), &site.directory().join("docker"), &bridge)?;
        let made = Self { docker, site };
        made.containers()?;
        Ok(made)
    }

    fn containers(&self) -> Result<()> {
        let docker = &self.docker;
        let mut programs = vec![own_program("traffic")?];
        for name in ["iperf3", "ping"] {
            programs.push(find(name).with_context(|| format!("{name} is not installed"))?);
        }
        docker.import_image(&programs)?;
        docker.docker(&["network", "create", "--subnet", "10.78.0.0/24", NETWORK])?;
        let forever = &["sleep", "100000"];
        let labels =
            ["--label", "com.docker.compose.project=shop", "--label", "com.docker.compose.service=frontend"];
        docker.start_container(WEB, &labels, forever)?;
        docker.start_container(PLAIN, &[], forever)?;
        docker.start_container(PUBLISHED, &["--publish", "8080:80"], forever)?;
        docker.start_container(LONELY, &["--network", NETWORK], forever)?;
        docker.start_container(HOSTNET, &["--network", "host"], forever)?;
        docker.start_container(NONE, &["--network", "none"], forever)?;
        docker.start_container(SIDECAR, &["--network", "container:plain"], forever)
    }

    /// The name of the user-defined network.
    #[must_use]
    pub fn network(&self) -> &'static str {
        NETWORK
    }

    /// A container as a place: its stack entered from outside, so that a server ends with the handle on it.
    /// On the node's own stack only `docker exec` makes a socket the container's.
    ///
    /// # Errors
    /// When it does not run.
    pub fn place<'a>(&'a self, name: &'a str) -> Result<Place<'a>> {
        Ok(if name == HOSTNET {
            Place::Container(&self.docker, name)
        } else {
            Place::Stack(self.docker.stack(name)?)
        })
    }

    /// The node as a place.
    #[must_use]
    pub fn node(&self) -> Place<'static> {
        Place::Stack(self.site.node())
    }

    /// The outside as a place.
    #[must_use]
    pub fn outside(&self) -> Place<'static> {
        Place::Stack(self.site.outside())
    }

    /// A container's address on the default bridge.
    ///
    /// # Errors
    /// When it has none.
    pub fn address(&self, name: &str) -> Result<String> {
        self.docker.address(name, "bridge")
    }

    /// Where the site's agents keep their files.
    #[must_use]
    pub fn directory(&self) -> &Path {
        self.site.directory()
    }

    /// The index, in the node, of the veth behind which a container's `eth0` lies.
    ///
    /// # Errors
    /// When the container has no such interface.
    pub fn host_side(&self, name: &str) -> Result<u32> {
        host_side(&self.docker.stack(name)?)
    }

    /// That veth's name.
    ///
    /// # Errors
    /// When the container has no such interface.
    pub fn host_side_name(&self, name: &str) -> Result<String> {
        let index = self.host_side(name)?;
        let links = crate::counters::snapshot(&self.site.node())?;
        Ok(links.get(&index).with_context(|| format!("no interface {index} in the node"))?.name.clone())
    }
}

fn host_side(stack: &Stack) -> Result<u32> {
    let text = stack.run("ip -o link show dev eth0")?;
    let index = text.split_once("eth0@if").and_then(|(_, rest)| rest.split(':').next());
    index.and_then(|digits| digits.parse().ok()).with_context(|| format!("no peer in {text}"))
}
