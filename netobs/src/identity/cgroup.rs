//! The text of `/proc/PID/cgroup` → the container and pod a process belongs to. Pure.
//!
//! A path is what the runtime made of its conventions, and a privileged container can make paths of its
//! own: this is weaker than a runtime's answer (see [`super::claim::Provenance`]).
//!
//! Sources: runc `libcontainer/cgroups`, containerd `pkg/cri`, kubelet `pkg/kubelet/cm`, podman `libpod`,
//! for the systemd driver (`docker-ID.scope`) and the cgroupfs driver (`/docker/ID`), version 1 and 2.

use std::sync::Arc;

/// Lines read: version 1 has one for each controller, a dozen or so.
const LINES_LIMIT: usize = 64;
/// Longest path read; the kernel's own limit is that of a path.
const PATH_LIMIT: usize = 4_096;

/// What a cgroup path says about its processes.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct CgroupIdentity {
    /// The container's 64 hexadecimal digits, of the innermost one where they are nested.
    pub container_id: Option<Arc<str>>,
    /// The pod's UID as the API writes it.
    pub pod_uid: Option<Arc<str>>,
    /// `docker`, `podman`, `containerd`, `cri-o`; `None` where the path does not say.
    pub runtime: Option<&'static str>,
}

impl CgroupIdentity {
    /// How much is known: a line that names pod and container beats one that names only one of them.
    fn weight(&self) -> u8 {
        u8::from(self.container_id.is_some()) * 2
            + u8::from(self.pod_uid.is_some()) * 2
            + u8::from(self.runtime.is_some())
    }
}

/// The container and pod of a process, by the best line of its `/proc/PID/cgroup`.
#[must_use]
pub fn identify(text: &str) -> Option<CgroupIdentity> {
    let mut best: Option<CgroupIdentity> = None;
    for line in text.lines().take(LINES_LIMIT) {
        // hierarchy ':' controllers ':' path; a path may contain colons.
        let Some(path) = line.splitn(3, ':').nth(2).filter(|path| path.len() <= PATH_LIMIT) else { continue };
        let found = of_path(path);
        if found.weight() > best.as_ref().map_or(0, CgroupIdentity::weight) {
            best = Some(found);
        }
    }
    best
}

/// Whether a container's id is anywhere in the text: its processes may sit in cgroups below its own.
#[must_use]
pub fn mentions(text: &str, container_id: &str) -> bool {
    text.contains(container_id)
}

fn of_path(path: &str) -> CgroupIdentity {
    let mut identity = CgroupIdentity::default();
    let mut in_kubepods = false;
    let mut above = "";
    // containerd with the cgroupfs driver and a systemd parent writes `…slice:cri-containerd:ID`.
    for segment in path.split(['/', ':']) {
        in_kubepods |= segment.starts_with("kubepods");
        if let Some(uid) = pod_uid(segment, in_kubepods) {
            identity = CgroupIdentity { pod_uid: Some(uid), ..CgroupIdentity::default() };
        }
        if let Some((id, runtime)) = container(segment, above) {
            identity.container_id = Some(id.into());
            identity.runtime = runtime;
        }
        above = segment;
    }
    identity
}

/// The container a path segment names, and its runtime as far as this segment or the one above says it.
fn container<'a>(segment: &'a str, above: &str) -> Option<(&'a str, Option<&'static str>)> {
    let scope = segment.strip_suffix(".scope").unwrap_or(segment);
    const PREFIXES: [(&str, &str); 5] = [
        ("docker-", "docker"),
        ("cri-containerd-", "containerd"),
        ("nerdctl-", "containerd"),
        ("crio-", "cri-o"),
        ("libpod-", "podman"),
    ];
    // `crio-conmon-ID` and `libpod-conmon-ID` are the monitors, outside the container: no digits follow.
    for (prefix, runtime) in PREFIXES {
        if let Some(id) = scope.strip_prefix(prefix).filter(|id| is_container_id(id)) {
            return Some((id, Some(runtime)));
        }
    }
    let runtime = match above {
        "docker" => Some("docker"),
        "libpod" | "libpod_parent" => Some("podman"),
        "cri-containerd" | "k8s.io" => Some("containerd"),
        "crio" => Some("cri-o"),
        _ => None,
    };
    is_container_id(segment).then_some((segment, runtime))
}

fn is_container_id(text: &str) -> bool {
    text.len() == 64 && text.bytes().all(|one| matches!(one, b'0'..=b'9' | b'a'..=b'f'))
}

/// `podUID` (cgroupfs) or `kubepods-burstable-podUID.slice` (systemd, dashes as underscores).
fn pod_uid(segment: &str, in_kubepods: bool) -> Option<Arc<str>> {
    let name = segment.strip_suffix(".slice").unwrap_or(segment);
    let uid = match name.strip_prefix("pod") {
        Some(uid) if in_kubepods => uid,
        _ => name.strip_prefix("kubepods")?.rsplit_once("-pod")?.1,
    };
    // A static pod's UID is the hash of its file: 32 digits without dashes.
    let digits = uid.bytes().filter(|one| one.is_ascii_hexdigit()).count();
    let marks = uid.bytes().filter(|one| matches!(one, b'-' | b'_')).count();
    (digits == 32 && marks <= 4 && digits + marks == uid.len()).then(|| uid.replace('_', "-").into())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const ID: &str = "5eba0a2244bdc4670b77560aa0fd487761bf1abdd40b410599d90596536fdd8f";
    const OTHER: &str = "00ba0a2244bdc4670b77560aa0fd487761bf1abdd40b410599d90596536fdd8f";
    const UID: &str = "1a2b3c4d-0001-4002-8003-0123456789ab";

    fn of(path: &str) -> CgroupIdentity {
        identify(&format!("0::{path}\n")).unwrap_or_default()
    }

    fn container_of(path: &str) -> (Option<String>, Option<&'static str>) {
        let found = of(path);
        (found.container_id.map(|id| id.to_string()), found.runtime)
    }

    #[test]
    fn docker_in_all_its_layouts() {
        let docker = (Some(ID.to_owned()), Some("docker"));
        assert_eq!(container_of(&format!("/docker/{ID}")), docker);
        assert_eq!(container_of(&format!("/system.slice/docker-{ID}.scope")), docker);
        assert_eq!(container_of(&format!("/docker/{ID}/init.scope")), docker);
        assert_eq!(container_of(&format!("/user.slice/user-1000.slice/docker-{ID}.scope")), docker);
    }

    #[test]
    fn podman_in_all_its_layouts() {
        let podman = (Some(ID.to_owned()), Some("podman"));
        assert_eq!(container_of(&format!("/machine.slice/libpod-{ID}.scope")), podman);
        assert_eq!(container_of(&format!("/machine.slice/libpod-{ID}.scope/container")), podman);
        assert_eq!(container_of(&format!("/libpod_parent/libpod-{ID}")), podman);
    }

    #[test]
    fn a_monitor_is_outside_its_container() {
        assert_eq!(identify(&format!("0::/machine.slice/libpod-conmon-{ID}.scope")), None);
        assert_eq!(identify(&format!("0::/machine.slice/crio-conmon-{ID}.scope")), None);
    }

    #[test]
    fn a_pod_by_the_systemd_driver() {
        let slice = format!("kubepods-burstable-pod{}.slice", UID.replace('-', "_"));
        let found =
            of(&format!("/kubepods.slice/kubepods-burstable.slice/{slice}/cri-containerd-{ID}.scope"));
        assert_eq!(found.container_id.as_deref(), Some(ID));
        assert_eq!(found.pod_uid.as_deref(), Some(UID));
        assert_eq!(found.runtime, Some("containerd"));
        let found =
            of(&format!("/kubepods.slice/kubepods-pod{}.slice/crio-{ID}.scope", UID.replace('-', "_")));
        assert_eq!((found.pod_uid.as_deref(), found.runtime), (Some(UID), Some("cri-o")));
    }

    #[test]
    fn a_pod_by_the_cgroupfs_driver() {
        for class in ["kubepods", "kubepods/besteffort", "kubepods/burstable"] {
            let found = of(&format!("/{class}/pod{UID}/{ID}"));
            assert_eq!((found.pod_uid.as_deref(), found.container_id.as_deref()), (Some(UID), Some(ID)));
            assert_eq!(found.runtime, None, "the path does not say");
        }
    }

    #[test]
    fn a_path_with_colons_is_read_to_its_end() {
        let found =
            of(&format!("/system.slice/containerd.service/kubepods-pod{UID}.slice:cri-containerd:{ID}"));
        assert_eq!((found.pod_uid.as_deref(), found.container_id.as_deref()), (Some(UID), Some(ID)));
        assert_eq!(found.runtime, Some("containerd"));
    }

    #[test]
    fn a_static_pod_has_a_hash_for_a_uid() {
        let found = of(&format!("/kubepods/pod0123456789abcdef0123456789abcdef/{ID}"));
        assert_eq!(found.pod_uid.as_deref(), Some("0123456789abcdef0123456789abcdef"));
    }

    #[test]
    fn the_innermost_container_counts() {
        assert_eq!(container_of(&format!("/docker/{OTHER}/docker/{ID}")).0.as_deref(), Some(ID));
        // kind: a node is a container, its pods are pods and not that container.
        let found = of(&format!("/docker/{OTHER}/kubelet/kubepods/pod{UID}/{ID}"));
        assert_eq!((found.pod_uid.as_deref(), found.container_id.as_deref()), (Some(UID), Some(ID)));
        let found = of(&format!("/docker/{OTHER}/kubelet/kubepods/pod{UID}"));
        assert_eq!((found.pod_uid.as_deref(), found.container_id), (Some(UID), None));
    }

    #[test]
    fn version_1_names_it_on_every_line_but_some() {
        let text = format!("12:rdma:/\n11:memory:/docker/{ID}\n1:name=systemd:/docker/{ID}\n0::/\n");
        assert_eq!(identify(&text).unwrap().container_id.as_deref(), Some(ID));
    }

    #[test]
    fn a_service_is_no_container() {
        for path in ["/", "/init.scope", "/system.slice/ssh.service", "/pod1/x", "/docker/buildkit/abc", ""] {
            assert_eq!(identify(&format!("0::{path}")), None, "{path}");
        }
        assert_eq!(identify(&format!("0::/elsewhere/pod{UID}")), None, "a pod is below kubepods");
    }

    proptest! {
        #[test]
        fn no_text_panics(text in any::<String>()) {
            if let Some(found) = identify(&text) {
                prop_assert!(found.weight() > 0);
            }
        }

        #[test]
        fn what_is_found_is_well_formed(
            parts in prop::collection::vec(
                prop_oneof!["[a-z]{1,8}", Just(format!("docker-{ID}.scope")), Just(format!("pod{UID}")),
                    Just("kubepods".to_owned()), Just(ID.to_owned()), "[0-9a-f_-]{30,70}"], 0..8),
        ) {
            let text = format!("0::/{}", parts.join("/"));
            if let Some(found) = identify(&text) {
                prop_assert!(found.container_id.is_none_or(|id| is_container_id(&id) && mentions(&text, &id)));
                prop_assert!(found.pod_uid.is_none_or(|uid| uid.len() >= 32 && uid.len() <= 36));
            }
        }
    }
}
