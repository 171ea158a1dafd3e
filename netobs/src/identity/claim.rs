//! What sources say about an endpoint → what is believed, and why. Pure.
//!
//! Each source claims what it knows; field by field the strongest source that says anything is believed.
//! A further source (CRI, Kubernetes, libvirt) adds [`Statement`]s and changes nothing here.

use std::sync::Arc;

use netobs_common::endpoint::Kind;

use super::endpoint::Mode;

/// Why an endpoint's identity is believed, strongest first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Provenance {
    /// The cluster's API names the pod.
    KubernetesApi,
    /// The pod runtime's socket names the sandbox.
    Cri,
    /// The container runtime's socket names the container.
    DockerApi,
    /// libvirt's status file names the guest.
    Libvirt,
    /// The command line of the process that holds the tap names the guest.
    QemuProcess,
    /// The cgroup path of a process in the stack holds an id.
    Cgroup,
    /// The network namespace itself was looked at.
    Netns,
    /// The host's neighbour table has the address.
    Neighbor,
    /// A bridge learned the hardware address.
    Fdb,
    /// A configured or assigned prefix covers the address.
    Cidr,
}

impl Provenance {
    /// The word in JSON and tables.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::KubernetesApi => "kubernetes_api",
            Self::Cri => "cri",
            Self::DockerApi => "docker_api",
            Self::Libvirt => "libvirt",
            Self::QemuProcess => "qemu_process",
            Self::Cgroup => "cgroup",
            Self::Netns => "netns",
            Self::Neighbor => "neighbor",
            Self::Fdb => "fdb",
            Self::Cidr => "cidr",
        }
    }
}

/// What one source says about an endpoint; `None` where it does not know. Text has passed [`super::text`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Claim {
    /// The source.
    pub provenance: Provenance,
    /// What it is.
    pub kind: Option<Kind>,
    /// Its name.
    pub name: Option<Arc<str>>,
    /// Its namespace.
    pub namespace: Option<Arc<str>>,
    /// What it is an instance of.
    pub workload: Option<Arc<str>>,
    /// Its identifier.
    pub uid: Option<Arc<str>>,
    /// Who runs it.
    pub runtime: Option<Arc<str>>,
    /// How it is attached.
    pub mode: Option<Mode>,
}

impl Claim {
    /// A claim that it exists, and no more.
    #[must_use]
    pub const fn by(provenance: Provenance) -> Self {
        Self {
            provenance,
            kind: None,
            name: None,
            namespace: None,
            workload: None,
            uid: None,
            runtime: None,
            mode: None,
        }
    }
}

/// Whom a claim is about.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Subject {
    /// The stack with this namespace inode.
    Namespace(u64),
    /// The stack of the container with this id.
    Container(Arc<str>),
    /// The stack of the pod with this UID.
    Pod(Arc<str>),
    /// The endpoint behind the host's interface of this index.
    Interface(u32),
}

/// A claim about somebody, by a source that the registry itself does not know.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Statement {
    /// Whom it is about.
    pub about: Subject,
    /// What is said.
    pub claim: Claim,
}

/// What is believed.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Identity {
    /// What it is.
    pub kind: Option<Kind>,
    /// Its name.
    pub name: Option<Arc<str>>,
    /// Its namespace.
    pub namespace: Option<Arc<str>>,
    /// What it is an instance of.
    pub workload: Option<Arc<str>>,
    /// Its identifier.
    pub uid: Option<Arc<str>>,
    /// Who runs it.
    pub runtime: Option<Arc<str>>,
    /// How it is attached.
    pub mode: Option<Mode>,
    /// The sources, strongest first, each once.
    pub provenance: Vec<Provenance>,
    /// The source of the name.
    pub named_by: Option<Provenance>,
}

impl Identity {
    /// Weighs claims. Of two claims by the same source the earlier counts.
    #[must_use]
    pub fn from_claims(mut claims: Vec<Claim>) -> Self {
        claims.sort_by_key(|claim| claim.provenance);
        let mut identity = Self::default();
        for claim in claims {
            if identity.name.is_none() && claim.name.is_some() {
                identity.named_by = Some(claim.provenance);
            }
            identity.kind = identity.kind.or(claim.kind);
            identity.name = identity.name.or(claim.name);
            identity.namespace = identity.namespace.or(claim.namespace);
            identity.workload = identity.workload.or(claim.workload);
            identity.uid = identity.uid.or(claim.uid);
            identity.runtime = identity.runtime.or(claim.runtime);
            identity.mode = identity.mode.or(claim.mode);
            identity.provenance.push(claim.provenance);
        }
        identity.provenance.dedup();
        identity
    }

    /// Whether this one's name rests on a weaker source than the other's.
    #[must_use]
    pub fn is_weaker_than(&self, other: &Self) -> bool {
        match (self.named_by, other.named_by) {
            (Some(mine), Some(theirs)) => mine > theirs,
            (None, theirs) => theirs.is_some(),
            (Some(_), None) => false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn named(provenance: Provenance, kind: Kind, name: &str) -> Claim {
        Claim { kind: Some(kind), name: Some(name.into()), ..Claim::by(provenance) }
    }

    #[test]
    fn the_strongest_source_names_it_whatever_the_order() {
        let weak = named(Provenance::Cgroup, Kind::CONTAINER, "5eba0a2244bd");
        let strong = named(Provenance::DockerApi, Kind::CONTAINER, "web");
        for claims in [vec![weak.clone(), strong.clone()], vec![strong, weak]] {
            let identity = Identity::from_claims(claims);
            assert_eq!(identity.name.as_deref(), Some("web"));
            assert_eq!(identity.named_by, Some(Provenance::DockerApi));
            assert_eq!(identity.provenance, [Provenance::DockerApi, Provenance::Cgroup]);
        }
    }

    #[test]
    fn a_weaker_source_fills_what_a_stronger_one_leaves_open() {
        let api =
            Claim { kind: Some(Kind::POD), name: Some("api".into()), ..Claim::by(Provenance::KubernetesApi) };
        let cri = Claim { runtime: Some("containerd".into()), ..Claim::by(Provenance::Cri) };
        let identity = Identity::from_claims(vec![cri, api]);
        assert_eq!(
            (identity.name.as_deref(), identity.runtime.as_deref()),
            (Some("api"), Some("containerd"))
        );
    }

    #[test]
    fn a_name_is_weaker_only_than_one_from_a_stronger_source() {
        let docker = Identity::from_claims(vec![named(Provenance::DockerApi, Kind::CONTAINER, "web")]);
        let cgroup = Identity::from_claims(vec![named(Provenance::Cgroup, Kind::CONTAINER, "5e")]);
        let nothing = Identity::from_claims(vec![]);
        assert!(cgroup.is_weaker_than(&docker) && nothing.is_weaker_than(&cgroup));
        assert!(!docker.is_weaker_than(&cgroup) && !docker.is_weaker_than(&docker));
        assert!(!nothing.is_weaker_than(&nothing));
    }

    #[test]
    fn the_words_are_ordered_as_the_contract_lists_them() {
        let words = [
            Provenance::KubernetesApi,
            Provenance::Cri,
            Provenance::DockerApi,
            Provenance::Libvirt,
            Provenance::QemuProcess,
            Provenance::Cgroup,
            Provenance::Netns,
            Provenance::Neighbor,
            Provenance::Fdb,
            Provenance::Cidr,
        ];
        assert!(words.is_sorted());
        let names: Vec<_> = words.iter().map(|one| one.name()).collect();
        assert_eq!(
            names.join(", "),
            "kubernetes_api, cri, docker_api, libvirt, qemu_process, cgroup, netns, neighbor, fdb, cidr"
        );
    }
}
