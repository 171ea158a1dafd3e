//! Settings and the cluster → who is elsewhere, and what the cluster says of who is here. Pure.

use std::{
    collections::{BTreeMap, HashSet},
    net::IpAddr,
    sync::Arc,
};

use ipnet::IpNet;
use netobs_common::endpoint::Kind;

use crate::{
    identity::{
        claim::{Claim, Provenance, Statement, Subject},
        elsewhere::Place,
        endpoint::Mode,
    },
    runtime::{
        facts::cluster::{Cluster, ClusterPod},
        owner,
    },
    settings::Settings,
};

/// Other nodes, what runs on them, and networks with names. `own` is this node's name in the cluster.
pub(super) fn places(settings: &Settings, cluster: &Cluster, own: &str) -> Vec<Place> {
    let mut places = Vec::new();
    let mut nodes: HashSet<IpAddr> = HashSet::new();
    for node in &cluster.nodes {
        nodes.extend(&node.addresses);
        if &*node.name != own {
            let (addresses, networks) = (node.addresses.clone(), node.pod_networks.clone());
            places.extend(of_node(&node.name, addresses, networks, Provenance::KubernetesApi));
        }
    }
    for backend in cluster.backends.iter().flat_map(|slice| slice.iter()) {
        // On the node's own network a pod has the node's address, which does not tell them apart.
        let addresses: Vec<_> =
            backend.addresses.iter().filter(|one| !nodes.contains(one)).copied().collect();
        if backend.node.as_deref() == Some(own) || addresses.is_empty() {
            continue;
        }
        places.push(Place {
            id: format!("pod/{}/{}", backend.namespace, backend.name).into(),
            kind: Kind::POD,
            name: Arc::clone(&backend.name),
            namespace: Some(Arc::clone(&backend.namespace)),
            workload: owner::by_name(&backend.name).map(Into::into),
            addresses,
            networks: Vec::new(),
            provenance: Provenance::KubernetesApi,
        });
    }
    places.extend(configured(settings, own));
    merged(places)
}

fn configured(settings: &Settings, own: &str) -> Vec<Place> {
    let mut places = Vec::new();
    let mut nodes: BTreeMap<&Arc<str>, (Vec<IpAddr>, Vec<IpNet>)> = BTreeMap::new();
    for one in settings.nodes.iter().filter(|one| &*one.name != own) {
        let (addresses, networks) = nodes.entry(&one.name).or_default();
        match one.address() {
            Some(address) => addresses.push(address),
            None => networks.push(one.network),
        }
    }
    for (name, (addresses, networks)) in nodes {
        places.extend(of_node(name, addresses, networks, Provenance::Cidr));
    }
    for one in &settings.networks {
        places.push(Place {
            id: format!("external/{}", one.name).into(),
            kind: Kind::EXTERNAL,
            name: Arc::clone(&one.name),
            namespace: None,
            workload: None,
            addresses: one.address().into_iter().collect(),
            networks: vec![one.network],
            provenance: Provenance::Cidr,
        });
    }
    places
}

/// A node, and its pods as far as only their network is known.
fn of_node(name: &Arc<str>, addresses: Vec<IpAddr>, networks: Vec<IpNet>, by: Provenance) -> Vec<Place> {
    let place = |id: String, kind, name: Arc<str>| Place {
        id: id.into(),
        kind,
        name,
        namespace: None,
        workload: None,
        addresses: Vec::new(),
        networks: Vec::new(),
        provenance: by,
    };
    let node = Place { addresses, ..place(format!("node/{name}"), Kind::HOST, Arc::clone(name)) };
    let pods =
        Place { networks, ..place(format!("pods/{name}"), Kind::POD, format!("pods of {name}").into()) };
    [node, pods].into_iter().filter(|one| !one.addresses.is_empty() || !one.networks.is_empty()).collect()
}

/// A pod behind several Services, or a network named twice, is one.
fn merged(places: Vec<Place>) -> Vec<Place> {
    let mut by_id: BTreeMap<Arc<str>, Place> = BTreeMap::new();
    for place in places {
        match by_id.get_mut(&place.id) {
            Some(known) => {
                known.addresses.extend(place.addresses);
                known.networks.extend(place.networks);
                known.provenance = known.provenance.min(place.provenance);
            }
            None => {
                by_id.insert(Arc::clone(&place.id), place);
            }
        }
    }
    by_id.into_values().collect()
}

/// What the cluster says of this node's pods.
pub(super) fn statements(cluster: &Cluster) -> Vec<Statement> {
    let claim = |pod: &ClusterPod| Claim {
        kind: Some(Kind::POD),
        name: Some(Arc::clone(&pod.name)),
        namespace: Some(Arc::clone(&pod.namespace)),
        workload: pod.workload.clone(),
        uid: pod.uids.first().cloned(),
        mode: Some(if pod.host_network { Mode::Host } else { Mode::Cni }),
        ..Claim::by(Provenance::KubernetesApi)
    };
    let of = |pod: &Arc<ClusterPod>| {
        let claim = claim(pod);
        let uids = pod.uids.iter().map(|uid| Subject::Pod(Arc::clone(uid)));
        uids.map(|about| Statement { about, claim: claim.clone() }).collect::<Vec<_>>()
    };
    cluster.pods.iter().flat_map(of).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        runtime::facts::cluster::{Backend, ClusterNode},
        settings::Layer,
    };

    fn settings(networks: &[&str], nodes: &[&str]) -> Settings {
        let words = |all: &[&str]| all.iter().map(|&one| one.to_owned()).collect();
        let layer = Layer { network: words(networks), node: words(nodes), ..Layer::default() };
        Settings::check(layer).unwrap()
    }

    fn node(name: &str, address: &str, pods: &str) -> Arc<ClusterNode> {
        Arc::new(ClusterNode {
            name: name.into(),
            addresses: vec![address.parse().unwrap()],
            pod_networks: vec![pods.parse().unwrap()],
        })
    }

    fn backend(name: &str, node: &str, address: &str) -> Backend {
        Backend {
            namespace: "shop".into(),
            name: name.into(),
            node: Some(node.into()),
            addresses: vec![address.parse().unwrap()],
        }
    }

    #[test]
    fn other_nodes_and_their_pods_are_elsewhere_and_our_own_are_not() {
        let cluster = Cluster {
            nodes: vec![
                node("n1", "198.51.100.1", "10.244.1.0/24"),
                node("n2", "198.51.100.2", "10.244.2.0/24"),
            ],
            backends: vec![Arc::new(vec![
                backend("web-6d4cf56db6-x2x7k", "n2", "10.244.2.7"),
                backend("db-0", "n1", "10.244.1.7"),
                backend("proxy-x2x7k", "n2", "198.51.100.2"),
            ])],
            ..Cluster::default()
        };
        let found = places(&settings(&[], &[]), &cluster, "n1");
        let ids: Vec<_> = found.iter().map(|one| &*one.id).collect();
        assert_eq!(ids, ["node/n2", "pod/shop/web-6d4cf56db6-x2x7k", "pods/n2"]);
        assert_eq!(found[1].workload.as_deref(), Some("web"));
    }

    #[test]
    fn what_is_configured_stands_beside_it() {
        let settings = settings(
            &["office=203.0.113.0/24", "office=2001:db8::/32", "resolver=198.51.100.53"],
            &["n2=198.51.100.2", "n2=10.244.2.0/24", "n1=198.51.100.1"],
        );
        let found = places(&settings, &Cluster::default(), "n1");
        let said: Vec<_> =
            found.iter().map(|one| (&*one.id, one.addresses.len(), one.networks.len())).collect();
        assert_eq!(
            said,
            [("external/office", 0, 2), ("external/resolver", 1, 1), ("node/n2", 1, 0), ("pods/n2", 0, 1)]
        );
    }
}
