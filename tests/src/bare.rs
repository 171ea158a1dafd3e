//! A site without a runtime: one bridge and two endpoints on it, for cases about attaching, tables and bad
//! days. Builds in a fifth of a second.

use std::path::{Path, PathBuf};

use anyhow::Result;

use crate::{
    agent::Agent,
    endpoint,
    netns::{self, Netns},
    place::Place,
    site::Site,
};

/// The bridge.
pub const BRIDGE: &str = "lab0";
/// Its address: the node's, towards its endpoints.
pub const GATEWAY: &str = "10.79.0.1";
/// The endpoints' addresses.
pub const LEFT: &str = "10.79.0.2";
/// See [`LEFT`].
pub const RIGHT: &str = "10.79.0.3";
/// The node's interface towards the endpoint at [`LEFT`].
pub const LEFT_VETH: &str = "vleft";
/// The node's interface towards the endpoint at [`RIGHT`].
pub const RIGHT_VETH: &str = "vright";

/// The node and its endpoints.
#[derive(Debug)]
pub struct Bare {
    left: Netns,
    right: Netns,
    /// Node and outside.
    pub site: Site,
}

impl Bare {
    /// Builds it.
    ///
    /// # Errors
    /// Without privilege.
    pub fn new() -> Result<Self> {
        let site = Site::new()?;
        let node = site.node();
        endpoint::bridge(&node, BRIDGE, &format!("{GATEWAY}/24"))?;
        let on_bridge = |word: &str, veth: &str, address: &str| {
            let name = netns::unique(word);
            endpoint::on_bridge(&node, &name, veth, BRIDGE, &format!("{address}/24"), Some(GATEWAY))
        };
        let left = on_bridge("left", LEFT_VETH, LEFT)?;
        let right = on_bridge("right", RIGHT_VETH, RIGHT)?;
        site.outside.batch(&format!("route add 10.79.0.0/24 via {}\n", crate::site::NODE))?;
        Ok(Self { left, right, site })
    }

    /// The endpoint at [`LEFT`].
    #[must_use]
    pub fn left(&self) -> Place<'static> {
        Place::Stack(self.left.stack())
    }

    /// The endpoint at [`RIGHT`].
    #[must_use]
    pub fn right(&self) -> Place<'static> {
        Place::Stack(self.right.stack())
    }

    /// The node.
    #[must_use]
    pub fn node(&self) -> Place<'static> {
        Place::Stack(self.site.node())
    }

    /// A socket path at which no runtime listens.
    #[must_use]
    pub fn no_docker(&self) -> PathBuf {
        self.site.directory().join("no-docker.sock")
    }

    /// Where an agent of this name keeps its files.
    #[must_use]
    pub fn files(&self, agent: &str) -> PathBuf {
        self.directory().join(agent)
    }

    /// The site's directory.
    #[must_use]
    pub fn directory(&self) -> &Path {
        self.site.directory()
    }

    /// An agent in the node, without a runtime.
    ///
    /// # Errors
    /// When it does not become ready.
    pub fn agent(&self, more: &[&str]) -> Result<Agent> {
        Agent::start(&self.site.node(), &self.files("agent"), &self.no_docker(), more)
    }
}
