//! Faults of a cluster of two nodes, injected for real → `netobs explain` names the right cause first, on the node that
//! is asked, with the right last hop.

mod cluster_faults {
    pub(crate) mod overlay;
    pub(crate) mod rules;
}

use std::{process::ExitCode, time::Duration};

use anyhow::{Context, Result};
use cluster_faults::{overlay, rules};
use netobs_tests::{
    agent::Agent,
    cluster::{Between, Cluster, Rules, addresses::PORT},
    process::until,
    require::{CLUSTER, TRAFFIC},
    suite::{self, Case},
    traffic::{self, Server},
};

/// Pods: two of the first node, two of the second.
const A: &str = "pod/lab/a";
const B: &str = "pod/lab/b";
const C: &str = "pod/lab/c";
const D: &str = "pod/lab/d";

/// Fields go in this order: agents and servers before what they are in.
struct Scene {
    /// Of the first node and of the second.
    agents: [Agent; 2],
    _servers: Vec<Server>,
    cluster: Cluster,
}

type Check = fn(&Scene) -> Result<()>;

fn main() -> ExitCode {
    let case = |name, check| Case { name, check };
    suite::run(
        &[TRAFFIC, CLUSTER],
        scene,
        vec![
            case("pods_of_two_nodes_have_no_fault", overlay::no_fault as Check),
            case("large_packets_do_not_fit_below_and_may_not_be_cut", overlay::too_large_below),
            case("large_packets_do_not_fit_into_the_overlay_and_nobody_is_told", overlay::too_large_above),
            case("this_node_keeps_in_what_carries_the_overlay", overlay::kept_in),
            case("this_node_keeps_out_what_carries_the_overlay", overlay::kept_out),
            case("the_other_node_keeps_out_what_carries_the_overlay", overlay::kept_out_there),
            case("a_node_port_has_nobody_behind_it", rules::no_endpoints),
            case("a_node_port_has_nobody_behind_it_on_this_node", rules::no_local_endpoints),
            case("a_node_port_of_nft_has_nobody_behind_it", rules::no_endpoints_of_nft),
            case("a_policy_of_kube_router_denies", rules::kube_router),
            case("a_policy_of_calico_denies", rules::calico),
        ],
    )
}

fn scene() -> Result<Scene> {
    let cluster = Cluster::new(Between::Vxlan, Rules::Iptables)?;
    let servers = ["a", "c"].map(|name| {
        traffic::tcp_server(&cluster.place(name)?, &format!("[::]:{PORT}")).with_context(|| name.to_owned())
    });
    let servers = servers.into_iter().collect::<Result<_>>()?;
    let agents = [cluster.agent(1)?, cluster.agent(2)?];
    let scene = Scene { agents, _servers: servers, cluster };
    for (agent, id) in scene.agents.iter().zip([A, C]) {
        until("the endpoints' names", Duration::from_secs(10), || agent.endpoint(id))?;
    }
    Ok(scene)
}
