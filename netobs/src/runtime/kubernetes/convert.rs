//! Objects of the API → the few fields that are kept. Pure.

use std::{collections::BTreeMap, net::IpAddr, sync::Arc};

use k8s_openapi::{
    api::{
        core::v1::{Namespace, Node, Pod, Service},
        discovery::v1::EndpointSlice,
    },
    apimachinery::pkg::apis::meta::v1::ObjectMeta,
};

use super::store::Key;
use crate::{
    identity::text,
    runtime::{
        facts::cluster::{Backend, ClusterNode, ClusterPod, ClusterService, ServicePort},
        owner,
    },
};

/// Who carries it is not shown.
const IGNORE: &str = "netobs.io/ignore";
/// On the mirror of a static pod: the UID the kubelet runs it by.
const MIRROR: &str = "kubernetes.io/config.mirror";

pub(super) fn key(metadata: &ObjectMeta) -> Key {
    (metadata.namespace.clone().unwrap_or_default(), metadata.name.clone().unwrap_or_default())
}

fn name(metadata: &ObjectMeta) -> Arc<str> {
    text::clean(metadata.name.as_deref().unwrap_or_default()).into()
}

fn namespace(metadata: &ObjectMeta) -> Arc<str> {
    text::clean(metadata.namespace.as_deref().unwrap_or_default()).into()
}

fn is_ignored(metadata: &ObjectMeta) -> bool {
    let says = |all: Option<&BTreeMap<String, String>>| {
        all.and_then(|all| all.get(IGNORE)).is_some_and(|value| value == "true")
    };
    says(metadata.annotations.as_ref()) || says(metadata.labels.as_ref())
}

/// A namespace that is not to be shown; others are of no use here.
pub(super) fn ignored(said: &Namespace) -> Option<()> {
    is_ignored(&said.metadata).then_some(())
}

/// A pod; `None` for one that has ended, whose address may be another's.
pub(super) fn pod(said: &Pod) -> Option<ClusterPod> {
    let phase = said.status.as_ref().and_then(|status| status.phase.as_deref());
    if matches!(phase, Some("Succeeded" | "Failed")) {
        return None;
    }
    let metadata = &said.metadata;
    let mirror = metadata.annotations.as_ref().and_then(|all| all.get(MIRROR));
    let uids = metadata.uid.iter().chain(mirror).map(|uid| text::clean(uid).into());
    Some(ClusterPod {
        uids: uids.collect(),
        namespace: namespace(metadata),
        name: name(metadata),
        workload: workload(metadata).map(|name| text::clean(name).into()),
        host_network: said.spec.as_ref().is_some_and(|spec| spec.host_network == Some(true)),
        ignored: is_ignored(metadata),
    })
}

/// The controller that somebody made, behind the one that made the pod.
fn workload(metadata: &ObjectMeta) -> Option<&str> {
    let pod = metadata.name.as_deref()?;
    let owners = metadata.owner_references.iter().flatten();
    let Some(controller) = owners.clone().find(|one| one.controller == Some(true)) else {
        return metadata.labels.as_ref().and_then(|labels| owner::by_labels(pod, |key| labels.get(key)));
    };
    Some(match controller.kind.as_str() {
        "ReplicaSet" => {
            let hash = metadata.labels.as_ref().and_then(|labels| labels.get("pod-template-hash"));
            owner::of_replica_set(&controller.name, hash.map(String::as_str)).unwrap_or(&controller.name)
        }
        "Job" => owner::of_job(&controller.name).unwrap_or(&controller.name),
        // The node itself owns a static pod.
        "Node" => pod,
        _ => &controller.name,
    })
}

/// A node.
pub(super) fn node(said: &Node) -> Option<ClusterNode> {
    let status = said.status.as_ref();
    let addresses = status.and_then(|status| status.addresses.as_ref()).into_iter().flatten();
    let spec = said.spec.as_ref();
    let all = spec.and_then(|spec| spec.pod_cidrs.as_ref()).into_iter().flatten();
    let one = spec.and_then(|spec| spec.pod_cidr.as_ref());
    let mut pod_networks: Vec<_> = all.chain(one).filter_map(|text| text.parse().ok()).collect();
    pod_networks.sort_unstable();
    pod_networks.dedup();
    Some(ClusterNode {
        name: name(&said.metadata),
        addresses: addresses.filter_map(|one| one.address.parse().ok()).collect(),
        pod_networks,
    })
}

/// A Service; `None` for one without an address and without a port of the nodes.
pub(super) fn service(said: &Service) -> Option<ClusterService> {
    let spec = said.spec.as_ref()?;
    let parse = |text: &String| text.parse::<IpAddr>().ok();
    let own = spec.cluster_ips.iter().flatten().chain(&spec.cluster_ip).filter_map(parse);
    let mut cluster_addresses: Vec<IpAddr> = own.collect();
    cluster_addresses.sort_unstable();
    cluster_addresses.dedup();
    let balancers = said.status.as_ref().and_then(|status| status.load_balancer.as_ref()?.ingress.as_ref());
    let balancers = balancers.into_iter().flatten().filter_map(|one| one.ip.as_ref().and_then(parse));
    let given = spec.external_ips.iter().flatten().filter_map(parse);
    let port = |number: i32| u16::try_from(number).ok();
    let ports = spec.ports.iter().flatten().filter_map(|one| {
        Some(ServicePort {
            protocol: match one.protocol.as_deref() {
                None | Some("TCP") => 6,
                Some("UDP") => 17,
                Some("SCTP") => 132,
                Some(_) => return None,
            },
            port: port(one.port)?,
            node_port: one.node_port.and_then(port).unwrap_or(0),
        })
    });
    let service = ClusterService {
        namespace: namespace(&said.metadata),
        name: name(&said.metadata),
        cluster_addresses,
        outer_addresses: balancers.chain(given).collect(),
        ports: ports.collect(),
    };
    let is_useful = !service.cluster_addresses.is_empty()
        || !service.outer_addresses.is_empty()
        || service.ports.iter().any(|one| one.node_port != 0);
    is_useful.then_some(service)
}

/// The pods of a slice; `None` if it holds none. Who may write slices in one namespace has nothing to say about pods
/// of another.
pub(super) fn backends(said: &EndpointSlice) -> Option<Vec<Backend>> {
    let endpoints = said.endpoints.iter().filter_map(|endpoint| {
        let target = endpoint.target_ref.as_ref().filter(|target| target.kind.as_deref() == Some("Pod"))?;
        let addresses: Vec<IpAddr> = endpoint.addresses.iter().filter_map(|text| text.parse().ok()).collect();
        let namespace = said.metadata.namespace.as_deref()?;
        if target.namespace.as_deref().is_some_and(|named| named != namespace) {
            return None;
        }
        (!addresses.is_empty()).then_some(Backend {
            namespace: text::clean(namespace).into(),
            name: text::clean(target.name.as_deref()?).into(),
            node: endpoint.node_name.as_deref().map(|name| text::clean(name).into()),
            addresses,
        })
    });
    let all: Vec<Backend> = endpoints.collect();
    (!all.is_empty()).then_some(all)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;

    fn read<T: serde::de::DeserializeOwned>(value: serde_json::Value) -> T {
        serde_json::from_value(value).unwrap()
    }

    fn pod_of(owner: serde_json::Value, labels: serde_json::Value) -> ClusterPod {
        pod(&read(json!({
            "metadata": {"name": "web-6d4cf56db6-x2x7k", "namespace": "shop", "uid": "u-1", "labels": labels,
                         "ownerReferences": owner},
            "spec": {"containers": []},
            "status": {"phase": "Running"},
        })))
        .unwrap()
    }

    fn owned_by(kind: &str, name: &str) -> serde_json::Value {
        json!([{"apiVersion": "v1", "kind": kind, "name": name, "uid": "o", "controller": true}])
    }

    #[test]
    fn the_owner_is_the_one_somebody_made() {
        let hash = json!({"pod-template-hash": "6d4cf56db6"});
        let workload = |owner, labels| pod_of(owner, labels).workload.map(|name| name.to_string());
        assert_eq!(workload(owned_by("ReplicaSet", "web-6d4cf56db6"), hash), Some("web".into()));
        assert_eq!(workload(owned_by("ReplicaSet", "bare"), json!({})), Some("bare".into()));
        assert_eq!(workload(owned_by("Job", "backup-29401230"), json!({})), Some("backup".into()));
        assert_eq!(workload(owned_by("DaemonSet", "agent"), json!({})), Some("agent".into()));
        assert_eq!(workload(json!([]), json!({"app": "thing"})), Some("thing".into()));
        assert_eq!(workload(json!([]), json!({})), None);
    }

    #[test]
    fn a_static_pod_goes_by_both_uids_and_an_ended_one_by_none() {
        let said = |phase: &str| {
            read::<Pod>(json!({
                "metadata": {"name": "etcd-n1", "namespace": "kube-system", "uid": "api",
                             "annotations": {MIRROR: "kubelet", IGNORE: "true"}, "ownerReferences": owned_by("Node", "n1")},
                "spec": {"containers": [], "hostNetwork": true},
                "status": {"phase": phase},
            }))
        };
        let found = pod(&said("Running")).unwrap();
        assert_eq!(found.uids, [Arc::from("api"), Arc::from("kubelet")]);
        assert!(found.host_network && found.ignored);
        assert_eq!(pod(&said("Succeeded")), None);
    }

    #[test]
    fn a_service_has_addresses_and_ports() {
        let said: Service = read(json!({
            "metadata": {"name": "web", "namespace": "shop"},
            "spec": {"clusterIP": "10.96.0.7", "clusterIPs": ["10.96.0.7", "fd00::7"], "externalIPs": ["198.51.100.9"],
                     "ports": [{"port": 80, "nodePort": 30080}, {"port": 53, "protocol": "UDP"}]},
            "status": {"loadBalancer": {"ingress": [{"ip": "203.0.113.80"}, {"hostname": "x"}]}},
        }));
        let found = service(&said).unwrap();
        assert_eq!((found.cluster_addresses.len(), found.outer_addresses.len()), (2, 2));
        let first = ServicePort { protocol: 6, port: 80, node_port: 30080 };
        assert_eq!(found.ports, [first, ServicePort { protocol: 17, port: 53, node_port: 0 }]);
        let headless: Service =
            read(json!({"metadata": {"name": "x"}, "spec": {"clusterIP": "None", "ports": [{"port": 80}]}}));
        assert_eq!(service(&headless), None);
    }

    #[test]
    fn a_slice_names_the_pods_behind_a_service() {
        let said: EndpointSlice = read(json!({
            "metadata": {"name": "web-1", "namespace": "shop"}, "addressType": "IPv4",
            "endpoints": [
                {"addresses": ["10.244.2.7"], "nodeName": "n2", "targetRef": {"kind": "Pod", "name": "web-x"}},
                {"addresses": ["203.0.113.1"]},
                {"addresses": ["10.244.2.8"], "targetRef": {"kind": "Pod", "name": "web-y", "namespace": "shop"}},
                {"addresses": ["198.51.100.9"],
                 "targetRef": {"kind": "Pod", "name": "dns", "namespace": "kube-system"}},
            ],
            "ports": [],
        }));
        let found = backends(&said).unwrap();
        assert_eq!((found.len(), &*found[0].name, found[0].node.as_deref()), (2, "web-x", Some("n2")));
        assert_eq!(
            (&*found[1].namespace, &*found[1].name),
            ("shop", "web-y"),
            "and nobody of another namespace"
        );
    }

    #[test]
    fn a_node_has_addresses_and_networks_of_pods() {
        let said: Node = read(json!({
            "metadata": {"name": "n2"},
            "spec": {"podCIDR": "10.244.2.0/24", "podCIDRs": ["10.244.2.0/24", "fd00:2::/64"]},
            "status": {"addresses": [{"type": "InternalIP", "address": "198.51.100.3"},
                                     {"type": "Hostname", "address": "n2"}]},
        }));
        let found = node(&said).unwrap();
        assert_eq!((found.addresses.len(), found.pod_networks.len()), (1, 2));
    }

    proptest! {
        #[test]
        fn names_come_out_harmless(name in ".{0,40}", namespace in ".{0,300}", owner in ".{0,40}") {
            let said: Pod = read(json!({
                "metadata": {"name": name, "namespace": namespace, "uid": name, "ownerReferences": owned_by("X", &owner)},
                "spec": {"containers": []},
            }));
            let found = pod(&said).unwrap();
            let workload = found.workload.as_deref().unwrap_or_default();
            for text in [&*found.name, &*found.namespace, &*found.uids[0], workload] {
                prop_assert!(!text.chars().any(text::is_hostile), "{text:?}");
                prop_assert!(text.chars().count() <= text::NAME_LIMIT);
            }
        }
    }
}
