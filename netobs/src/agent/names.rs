//! Endpoints → their rows in the report. Pure.

use std::sync::Arc;

use crate::{
    identity::endpoint::Endpoint,
    report::{ContainerRow, EndpointRow, InterfaceRow},
};

/// The row of an endpoint.
pub(super) fn row(endpoint: &Endpoint) -> EndpointRow {
    EndpointRow {
        id: Arc::clone(&endpoint.id),
        kind: endpoint.kind.into(),
        name: Arc::clone(&endpoint.name),
        namespace: endpoint.namespace.clone(),
        workload: endpoint.workload.clone(),
        uid: endpoint.uid.clone(),
        runtime: endpoint.runtime.clone(),
        mode: endpoint.mode.as_ref().map(|mode| mode.to_string().into()),
        netns: endpoint.netns,
        interfaces: endpoint
            .interfaces
            .iter()
            .map(|one| InterfaceRow {
                name: Arc::clone(&one.name),
                ifindex: one.index,
                mac: one.mac.map(written),
                addresses: one.addresses.clone(),
                mode: one.mode.as_ref().map(|mode| mode.to_string().into()),
            })
            .collect(),
        provenance: endpoint.provenance.iter().map(|one| one.name().into()).collect(),
        containers: endpoint
            .containers
            .iter()
            .map(|one| ContainerRow {
                id: Arc::clone(&one.id),
                name: Arc::clone(&one.name),
                image: one.image.clone(),
            })
            .collect(),
    }
}

fn written(mac: [u8; 6]) -> Arc<str> {
    let [a, b, c, d, e, f] = mac;
    format!("{a:02x}:{b:02x}:{c:02x}:{d:02x}:{e:02x}:{f:02x}").into()
}
