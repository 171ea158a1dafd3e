//! A stack of this moment → its endpoint, with what was believed of it before. Pure.

use std::{collections::BTreeSet, sync::Arc};

use netobs_common::endpoint::EndpointId;

use super::{
    attachments::{self, Attachment},
    describe,
    numbers::Slot,
    stack::Draft,
};
use crate::identity::{claim::Identity, endpoint::Endpoint, observed::Observed};

/// A stack of this moment, described.
pub(super) struct Found<'d, 'a> {
    pub(super) draft: &'d Draft<'a>,
    pub(super) attachments: Vec<Attachment>,
    pub(super) endpoint: Endpoint,
    identity: Identity,
    /// Whether it is only remembered who it is.
    is_kept: bool,
}

impl<'d, 'a> Found<'d, 'a> {
    /// Describes a stack. While its container is taken down, or the runtime restarts, who it was `before`
    /// is not forgotten.
    pub(super) fn describe(
        number: EndpointId,
        draft: &'d Draft<'a>,
        observed: &Observed<'_>,
        before: Option<&Slot>,
    ) -> Self {
        let mut identity = describe::identity(draft, observed);
        let mut attachments = attachments::of(draft, observed);
        let kept = before.filter(|slot| identity.is_weaker_than(&slot.identity));
        if let Some(slot) = kept {
            identity = keep(&identity, &slot.identity);
            keep_addresses(&mut attachments, &slot.endpoint);
        }
        let also = attachments.iter().flat_map(Attachment::sources);
        let interfaces = attachments.iter().map(|one| one.interface.clone()).collect();
        let own = observed.own_namespace;
        let mut endpoint = describe::endpoint(number, draft, &identity, own, interfaces, also);
        if let Some(slot) = kept
            && draft.containers.is_empty()
            && draft.pod.is_none()
        {
            endpoint.containers.clone_from(&slot.endpoint.containers);
        }
        Self { draft, attachments, endpoint, identity, is_kept: kept.is_some() }
    }

    pub(super) fn into_slot(self) -> Slot {
        Slot {
            key: self.draft.key.clone(),
            anchors: self.draft.anchors.clone(),
            identity: self.identity,
            endpoint: Arc::new(self.endpoint),
            gone: None,
        }
    }
}

/// Gives those whose id is taken one with their number. A container that was started again has its name
/// back at once, although its old stack may still be on its way out.
pub(super) fn name_uniquely(found: &mut [Found<'_, '_>], host: &Arc<str>) {
    found.sort_by_key(|one| (one.is_kept || one.draft.lost.is_some(), one.endpoint.number));
    let mut names = BTreeSet::from([Arc::clone(host)]);
    for Found { endpoint, .. } in found {
        if !names.insert(Arc::clone(&endpoint.id)) {
            endpoint.id = format!("{}~{}", endpoint.id, endpoint.number.0).into();
            names.insert(Arc::clone(&endpoint.id));
        }
    }
}

/// What was believed, with the sources of this moment beside it.
fn keep(now: &Identity, before: &Identity) -> Identity {
    let mut kept = before.clone();
    kept.provenance.extend(&now.provenance);
    kept.provenance.sort_unstable();
    kept.provenance.dedup();
    kept
}

/// Addresses of before, for interfaces that have none now; remembered is the weakest claim, so that whoever
/// is given the address next has it at once.
fn keep_addresses(attachments: &mut [Attachment], before: &Endpoint) {
    for one in attachments {
        let old = before.interfaces.iter().find(|old| old.own && old.index == one.interface.index);
        if let Some(old) = old.filter(|_| one.interface.own && one.interface.addresses.is_empty()) {
            one.interface.addresses.clone_from(&old.addresses);
            one.interface.mac = one.interface.mac.or(old.mac);
            one.known_by = vec![None; old.addresses.len()];
        }
    }
}
