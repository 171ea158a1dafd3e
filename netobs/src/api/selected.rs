//! `container/web`, a name, the beginning of an id, an address, a Service → the endpoints and flows that are meant. Pure.

use std::{collections::BTreeSet, net::IpAddr, sync::Arc};

use crate::report::{EndpointRow, FlowRow};

/// The addresses and ports of a flow's ends: both sides, and what the source addressed.
pub(super) fn sides(flow: &FlowRow) -> impl Iterator<Item = (IpAddr, u16)> {
    let original = flow.original_destination.as_ref().map(|one| (one.address, one.port));
    [(flow.source.address, flow.source.port), (flow.destination.address, flow.destination.port)]
        .into_iter()
        .chain(original)
}

/// The endpoints a selector means.
#[derive(Debug)]
pub(super) struct Selected {
    ids: BTreeSet<Arc<str>>,
    /// `NAMESPACE/NAME` of a Service: no endpoint, but what a source may address.
    service: Option<String>,
    address: Option<IpAddr>,
}

impl Selected {
    /// What is meant, of these endpoints.
    pub(super) fn of(selector: &str, endpoints: &[EndpointRow]) -> Self {
        let means = endpoints.iter().filter(|one| one.is(selector));
        let mut ids: BTreeSet<_> = means.map(|one| Arc::clone(&one.id)).collect();
        ids.insert(selector.into());
        let service = selector.strip_prefix("service/").map(str::to_owned);
        Self { ids, service, address: selector.parse().ok() }
    }

    /// Whether one of two ends is meant by its id.
    pub(super) fn is_either(&self, ends: [&Arc<str>; 2]) -> bool {
        ends.into_iter().any(|end| self.ids.contains(end))
    }

    /// Whether a flow is one of theirs.
    pub(super) fn has(&self, flow: &FlowRow) -> bool {
        self.is_either([&flow.source.endpoint, &flow.destination.endpoint])
            || self.service.as_deref().is_some_and(|wanted| {
                let addressed = flow.original_destination.as_ref();
                addressed.and_then(|one| one.service.as_deref()) == Some(wanted)
            })
            || self.address.is_some_and(|wanted| sides(flow).any(|(ip, _)| ip == wanted))
    }
}
