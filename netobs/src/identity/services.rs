//! Services of the cluster → which of them an address and port mean. Pure.

use std::{collections::HashMap, net::IpAddr, sync::Arc};

use crate::{report::Via, runtime::facts::cluster::ClusterService};

/// Every address and port by which a Service may be reached.
#[derive(Debug, Default)]
pub struct Services {
    by_address: HashMap<(IpAddr, u8, u16), (Arc<str>, Via)>,
    by_node_port: HashMap<(u8, u16), Arc<str>>,
}

impl Services {
    /// From what the API says.
    #[must_use]
    pub fn of(services: &[Arc<ClusterService>]) -> Self {
        let mut all = Self::default();
        for service in services {
            let id: Arc<str> = format!("{}/{}", service.namespace, service.name).into();
            for port in &service.ports {
                let inner = service.cluster_addresses.iter().map(|address| (address, Via::ClusterIp));
                let outer = service.outer_addresses.iter().map(|address| (address, Via::LoadBalancer));
                for (address, via) in inner.chain(outer) {
                    let key = (address.to_canonical(), port.protocol, port.port);
                    all.by_address.entry(key).or_insert_with(|| (Arc::clone(&id), via));
                }
                if port.node_port != 0 {
                    all.by_node_port.insert((port.protocol, port.node_port), Arc::clone(&id));
                }
            }
        }
        all
    }

    /// The Service at an address and port as `NAMESPACE/NAME`, and how it was addressed. `is_node` says whether the
    /// address is a node's.
    #[must_use]
    pub fn at(&self, address: IpAddr, protocol: u8, port: u16, is_node: bool) -> Option<(&Arc<str>, Via)> {
        let own = self.by_address.get(&(address.to_canonical(), protocol, port));
        let own = own.map(|(id, via)| (id, *via));
        own.or_else(|| {
            let id = self.by_node_port.get(&(protocol, port)).filter(|_| is_node)?;
            Some((id, Via::NodePort))
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::runtime::facts::cluster::ServicePort;

    #[test]
    fn a_service_is_known_by_each_way_to_it() {
        let service = ClusterService {
            namespace: "shop".into(),
            name: "web".into(),
            cluster_addresses: vec!["10.96.0.7".parse().unwrap()],
            outer_addresses: vec!["203.0.113.80".parse().unwrap()],
            ports: vec![ServicePort { protocol: 6, port: 80, node_port: 30_080 }],
        };
        let all = Services::of(&[Arc::new(service)]);
        let at = |address: &str, protocol, port, is_node| {
            let found = all.at(address.parse().unwrap(), protocol, port, is_node);
            found.map(|(id, via)| (id.to_string(), via))
        };
        assert_eq!(at("10.96.0.7", 6, 80, false), Some(("shop/web".into(), Via::ClusterIp)));
        assert_eq!(at("203.0.113.80", 6, 80, false), Some(("shop/web".into(), Via::LoadBalancer)));
        assert_eq!(at("198.51.100.2", 6, 30_080, true), Some(("shop/web".into(), Via::NodePort)));
        assert_eq!(at("198.51.100.2", 6, 30_080, false), None);
        assert_eq!(at("10.96.0.7", 17, 80, false), None);
    }
}
