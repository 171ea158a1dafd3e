//! A stack with everything that belongs to it → who it is, by every source that says something. Pure.

use std::sync::Arc;

use netobs_common::endpoint::{EndpointId, Kind};

use super::{pairing, stack::Draft};
use crate::{
    host::facts::LinkKind,
    identity::{
        cgroup::{self, CgroupIdentity},
        claim::{Claim, Identity, Provenance, Statement, Subject},
        endpoint::{Container, Endpoint, Interface, Mode},
        observed::Observed,
    },
    runtime::{
        facts::guest::{Guest, Names},
        facts::pod::{PodContainer, RuntimePod},
        facts::{RuntimeContainer, RuntimeNetwork},
    },
};

/// Who a stack is.
pub(super) fn identity(draft: &Draft<'_>, observed: &Observed<'_>) -> Identity {
    let cgroups = cgroups(draft, observed.own_cgroup);
    let mut claims: Vec<Claim> = Vec::new();
    claims.extend(draft.containers.first().map(|one| of_container(one, observed.containers)));
    claims.extend(draft.pod.map(of_pod));
    claims.extend(draft.guest.into_iter().flat_map(of_guest));
    claims.extend(cgroups.iter().map(of_cgroup));
    if draft.namespace.is_some() || draft.key.inode().is_some() {
        claims.push(Claim::by(Provenance::Netns));
    }
    claims.extend(
        observed.statements.iter().filter(|one| concerns(one, draft, &cgroups)).map(|one| one.claim.clone()),
    );
    Identity::from_claims(claims)
}

fn cgroups(draft: &Draft<'_>, own: &str) -> Vec<CgroupIdentity> {
    let processes = draft.namespace.into_iter().flat_map(|one| &one.processes);
    let is_around_us = |found: &CgroupIdentity| {
        found.container_id.as_ref().is_some_and(|id| cgroup::mentions(own, id)) && found.pod_uid.is_none()
    };
    processes.filter_map(|one| cgroup::identify(&one.cgroup)).filter(|one| !is_around_us(one)).collect()
}

fn concerns(statement: &Statement, draft: &Draft<'_>, cgroups: &[CgroupIdentity]) -> bool {
    match &statement.about {
        Subject::Namespace(inode) => draft.key.inode() == Some(*inode),
        Subject::Container(id) => {
            draft.containers.iter().any(|one| one.id == *id)
                || cgroups.iter().any(|one| one.container_id.as_ref() == Some(id))
        }
        Subject::Pod(uid) => {
            draft.pod.is_some_and(|pod| pod.uid == *uid)
                || cgroups.iter().any(|one| one.pod_uid.as_ref() == Some(uid))
        }
        Subject::Interface(index) => draft.links.iter().any(|one| one.index == *index),
    }
}

fn of_container(container: &RuntimeContainer, all: &[Arc<RuntimeContainer>]) -> Claim {
    let label = |names: [&str; 3]| names.iter().find_map(|name| container.label(name).cloned());
    Claim {
        kind: Some(Kind::CONTAINER),
        name: Some(Arc::clone(&container.name)),
        namespace: label(["netobs.namespace", "com.docker.compose.project", "io.podman.compose.project"]),
        workload: label(["netobs.workload", "com.docker.compose.service", "io.podman.compose.service"]),
        uid: Some(Arc::clone(&container.id)),
        runtime: Some(container.runtime.name().into()),
        mode: mode_of(container, all),
        ..Claim::by(Provenance::DockerApi)
    }
}

fn of_pod(pod: &RuntimePod) -> Claim {
    Claim {
        kind: Some(Kind::POD),
        name: Some(Arc::clone(&pod.name)),
        namespace: Some(Arc::clone(&pod.namespace)),
        workload: pod.workload.clone(),
        uid: Some(Arc::clone(&pod.uid)),
        runtime: Some(Arc::clone(&pod.runtime)),
        mode: Some(if pod.host_network { Mode::Host } else { Mode::Cni }),
        ..Claim::by(Provenance::Cri)
    }
}

fn of_guest(guest: &Guest) -> Vec<Claim> {
    let claim = |provenance, names: &Names| Claim {
        kind: Some(Kind::VM),
        name: names.name.clone(),
        uid: names.uuid.clone(),
        runtime: Some(Arc::clone(&guest.monitor)),
        ..Claim::by(provenance)
    };
    let libvirt = guest.by_libvirt.as_ref().map(|names| claim(Provenance::Libvirt, names));
    let process = claim(Provenance::QemuProcess, &guest.by_process);
    libvirt.into_iter().chain([process]).collect()
}

fn mode_of(container: &RuntimeContainer, all: &[Arc<RuntimeContainer>]) -> Option<Mode> {
    if let Some(other) = container.joined() {
        let name = pairing::find(all, other).map(|one| Arc::clone(&one.name));
        return Some(Mode::Container(name.unwrap_or_else(|| other.get(..12).unwrap_or(other).into())));
    }
    match &*container.network_mode {
        "host" => Some(Mode::Host),
        "none" => Some(Mode::None),
        "default" | "bridge" => Some(Mode::Bridge),
        named => container
            .networks
            .iter()
            .find(|one| &*one.name == named || &*one.id == named)
            .and_then(network_mode),
    }
}

/// How a network attaches its containers.
pub(super) fn network_mode(network: &RuntimeNetwork) -> Option<Mode> {
    match &*network.driver {
        "bridge" => Some(Mode::Bridge),
        "macvlan" => Some(Mode::Macvlan),
        "ipvlan" => Some(Mode::Ipvlan),
        "host" => Some(Mode::Host),
        "null" => Some(Mode::None),
        _ => None,
    }
}

fn of_cgroup(found: &CgroupIdentity) -> Claim {
    let (kind, uid) = match &found.pod_uid {
        Some(uid) => (Kind::POD, Some(uid)),
        None => (Kind::CONTAINER, found.container_id.as_ref()),
    };
    let short =
        |id: &Arc<str>| Arc::<str>::from(if kind == Kind::POD { id } else { id.get(..12).unwrap_or(id) });
    Claim {
        kind: Some(kind),
        name: uid.map(short),
        uid: uid.cloned(),
        runtime: found.runtime.map(Arc::from),
        ..Claim::by(Provenance::Cgroup)
    }
}

/// The endpoint as published. `also` are the sources of its addresses that are no source of its name.
pub(super) fn endpoint(
    number: EndpointId,
    draft: &Draft<'_>,
    identity: &Identity,
    own_namespace: u64,
    mut interfaces: Vec<Interface>,
    also: impl IntoIterator<Item = Provenance>,
) -> Endpoint {
    let is_guest = draft.links.iter().any(|one| !matches!(one.kind, LinkKind::Veth));
    let kind = identity.kind.unwrap_or(if is_guest { Kind::VM } else { Kind::UNKNOWN });
    let netns = if draft.key.is_host_container() { Some(own_namespace) } else { draft.key.inode() };
    let name: Arc<str> = match (&identity.name, netns, draft.links.first()) {
        (Some(name), _, _) => Arc::clone(name),
        (None, Some(inode), _) => named_file(draft).unwrap_or_else(|| inode.to_string().into()),
        (None, None, Some(link)) => crate::identity::text::clean(&link.name).into(),
        (None, None, None) => "unknown".into(),
    };
    if kind == Kind::POD {
        // However its network plug-in switches or routes it.
        interfaces.iter_mut().for_each(|one| one.mode = Some(Mode::Cni));
    }
    let mut provenance = identity.provenance.clone();
    provenance.extend(also);
    provenance.sort_unstable();
    provenance.dedup();
    let namespace = identity.namespace.clone();
    Endpoint {
        number,
        id: id(kind, namespace.as_deref(), &name, netns),
        kind,
        namespace,
        workload: identity.workload.clone(),
        uid: identity.uid.clone(),
        runtime: identity.runtime.clone(),
        mode: identity.mode.clone().or_else(|| default_mode(kind, &interfaces)),
        netns,
        interfaces,
        provenance,
        containers: containers(draft, identity),
        name,
    }
}

/// The name somebody gave the network namespace: `ip netns add NAME` mounts it at `/run/netns/NAME`.
fn named_file(draft: &Draft<'_>) -> Option<Arc<str>> {
    let path = draft.namespace?.path.as_deref()?;
    let name = ["/run/netns/", "/var/run/netns/"].iter().find_map(|folder| path.strip_prefix(folder))?;
    Some(crate::identity::text::clean(name).into())
}

fn id(kind: Kind, namespace: Option<&str>, name: &str, netns: Option<u64>) -> Arc<str> {
    match (kind, namespace) {
        (Kind::POD, Some(namespace)) => format!("pod/{namespace}/{name}"),
        (Kind::POD, None) => format!("pod/{name}"),
        (Kind::CONTAINER, _) => format!("container/{name}"),
        (Kind::VM, _) => format!("vm/{name}"),
        (Kind::HOST, _) => format!("node/{name}"),
        _ if netns.is_some() => format!("netns/{name}"),
        _ => format!("interface/{name}"),
    }
    .into()
}

/// Where no source says it, the interfaces may: a pod's are the plug-in's work, a guest's first card is its first;
/// others agree or not.
fn default_mode(kind: Kind, interfaces: &[Interface]) -> Option<Mode> {
    if kind == Kind::POD {
        return Some(Mode::Cni);
    }
    let first = interfaces.first()?.mode.clone();
    if kind == Kind::VM {
        return first;
    }
    if interfaces.iter().all(|one| one.mode == first) { first } else { None }
}

fn containers(draft: &Draft<'_>, identity: &Identity) -> Vec<Container> {
    if let Some(pod) = draft.pod {
        let one = |of: &PodContainer| Container {
            id: Arc::clone(&of.id),
            name: Arc::clone(&of.name),
            image: (!of.image.is_empty()).then(|| Arc::clone(&of.image)),
        };
        return pod.containers.iter().map(one).collect();
    }
    if draft.containers.is_empty() {
        // Known by its cgroup only; a pod's UID is no container.
        let alone = identity.uid.as_ref().filter(|_| identity.kind == Some(Kind::CONTAINER));
        let name = identity.name.clone();
        return alone
            .into_iter()
            .map(|id| Container {
                id: Arc::clone(id),
                name: name.clone().unwrap_or_else(|| Arc::clone(id)),
                image: None,
            })
            .collect();
    }
    let one = |of: &&Arc<RuntimeContainer>| Container {
        id: Arc::clone(&of.id),
        name: Arc::clone(&of.name),
        image: (!of.image.is_empty()).then(|| Arc::clone(&of.image)),
    };
    draft.containers.iter().map(one).collect()
}
