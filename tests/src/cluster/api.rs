//! What the Kubernetes API says of the cluster: nodes, pods, Services and what is behind them.

use anyhow::Result;
use serde_json::json;

use super::{
    addresses::{Both, NODES, PORT, SERVICES, pod, tunnel},
    endpoints::uid,
};
use crate::api_server::ApiServer;

/// The pods, their nodes and addresses.
const PODS: [(&str, usize, Both); 4] =
    [("a", 1, pod(1, 2)), ("b", 1, pod(1, 3)), ("c", 2, pod(2, 2)), ("d", 2, pod(2, 3))];

/// Tells a server everything.
pub(super) fn fill(api: &ApiServer) -> Result<()> {
    for (number, own) in [1, 2].into_iter().zip(NODES) {
        let first = tunnel(number);
        let networks = [format!("{}/24", first.v4), format!("{}/64", first.v6)];
        api.put(
            "nodes",
            json!({"metadata": {"name": format!("n{number}")},
                   "spec": {"podCIDR": networks[0], "podCIDRs": networks},
                   "status": {"addresses": [{"type": "InternalIP", "address": own.v4},
                                            {"type": "InternalIP", "address": own.v6}]}}),
        )?;
    }
    for (name, node, own) in PODS {
        let node = format!("n{node}");
        api.put(
            "pods",
            json!({"metadata": {"name": name, "namespace": "lab", "uid": uid(name)},
                   "spec": {"nodeName": node, "containers": []},
                   "status": {"phase": "Running", "podIP": own.v4, "podIPs": [{"ip": own.v4}, {"ip": own.v6}]}}),
        )?;
        for (family, address) in [("IPv4", own.v4.to_string()), ("IPv6", own.v6.to_string())] {
            api.put(
                "endpointslices",
                json!({"metadata": {"name": format!("{name}-{family}"), "namespace": "lab"}, "addressType": family,
                       "endpoints": [{"addresses": [address], "nodeName": node,
                                      "targetRef": {"kind": "Pod", "name": name}}]}),
            )?;
        }
    }
    for (name, own, node_port, _) in SERVICES {
        api.put(
            "services",
            json!({"metadata": {"name": name, "namespace": "lab"},
                   "spec": {"clusterIP": own.v4, "clusterIPs": [own.v4, own.v6],
                            "ports": [{"port": 80, "targetPort": PORT, "nodePort": node_port}]}}),
        )?;
    }
    Ok(())
}
