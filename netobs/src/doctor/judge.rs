//! Findings → checks. Pure.

use super::{
    document::{
        Check,
        CheckStatus::{self, Degraded, Missing, Ok},
    },
    read::{Answer, Findings},
};
use crate::{
    api::Occupant,
    host::environment::{Capabilities, Environment, KernelVersion},
};

/// The oldest kernel netobs is tried on.
const OLDEST: KernelVersion = KernelVersion { major: 5, minor: 10, patch: 0 };

/// Whether this process may load and attach: what decides if a command starts an agent inside itself.
#[must_use]
pub fn may_observe(capabilities: Capabilities) -> bool {
    lacking(capabilities).is_empty()
}

/// The capabilities without which nothing can be observed, of those this process does not hold.
#[must_use]
pub fn lacking(capabilities: Capabilities) -> Vec<&'static str> {
    // CAP_SYS_ADMIN includes CAP_BPF and CAP_PERFMON (capabilities(7)), not CAP_NET_ADMIN.
    let admin = capabilities.has(Capabilities::SYS_ADMIN);
    let table = [
        ("CAP_NET_ADMIN", capabilities.has(Capabilities::NET_ADMIN)),
        ("CAP_BPF", admin || capabilities.has(Capabilities::BPF)),
        ("CAP_PERFMON", admin || capabilities.has(Capabilities::PERFMON)),
    ];
    table.into_iter().filter(|(_, held)| !held).map(|(name, _)| name).collect()
}

/// One check for each thing.
#[must_use]
pub fn checks(findings: &Findings) -> Vec<Check> {
    let environment = &findings.environment;
    let mut all = vec![kernel(environment), btf(environment), attach(findings)];
    all.push(drops(findings));
    all.extend(capabilities(environment));
    all.extend([
        memlock(environment),
        bpffs(environment),
        cgroup(environment),
        conntrack(environment),
        docker(findings),
        cri(findings),
        kubernetes(findings),
        libvirt(findings),
        agent(findings),
    ]);
    all
}

fn check(name: &str, status: CheckStatus, found: impl Into<String>, needed_for: &str, fix: &str) -> Check {
    Check {
        name: name.to_owned(),
        status,
        found: found.into(),
        needed_for: needed_for.to_owned(),
        fix: (status != Ok).then(|| fix.to_owned()),
    }
}

fn kernel(environment: &Environment) -> Check {
    let status = match environment.kernel_version {
        Some(version) if version >= OLDEST => Ok,
        Some(_) => Missing,
        None => Degraded,
    };
    let found = format!("Linux {}", environment.kernel_release);
    check("kernel", status, found, "everything", "run Linux 5.10 or later")
}

fn btf(environment: &Environment) -> Check {
    let (status, found) =
        if environment.btf { (Ok, "/sys/kernel/btf/vmlinux") } else { (Missing, "nothing") };
    let fix = "boot a kernel with CONFIG_DEBUG_INFO_BTF=y; in a container, mount /sys";
    check("btf", status, found, "kernel events: drops with their reasons", fix)
}

fn drops(findings: &Findings) -> Check {
    let own = findings.environment.capabilities;
    let traces = own.has(Capabilities::PERFMON) || own.has(Capabilities::SYS_ADMIN);
    let (status, found) = match findings.drop_reasons {
        Result::Ok(reasons) if traces => (Ok, format!("{reasons} reasons, by the kernel's own names")),
        Result::Ok(_) => (Degraded, "told by the kernel, and CAP_PERFMON is not held".to_owned()),
        Err(why) => (Degraded, why.to_owned()),
    };
    let fix = "run Linux 5.17 or later with CONFIG_DEBUG_INFO_BTF=y, as root or with CAP_PERFMON; without, everything \
               else goes on";
    check("drops", status, found, "packets the kernel drops, with their reasons", fix)
}

fn attach(findings: &Findings) -> Check {
    let by_version = findings.environment.kernel_version.map(|version| version >= KernelVersion::TCX);
    let (status, found) = match (findings.tcx, by_version) {
        (Some(true), _) => (Ok, "TCX"),
        (Some(false), _) => (Degraded, "no TCX: clsact stands in"),
        (None, Some(true)) => (Ok, "TCX by the kernel's version; not tried, for lack of privilege"),
        (None, _) => (Degraded, "no TCX by the kernel's version: clsact stands in"),
    };
    let fix = "run Linux 6.6 or later; after a crash, `netobs cleanup` removes what clsact keeps";
    check("attach", status, found, "seeing packets, and leaving nothing behind", fix)
}

fn capabilities(environment: &Environment) -> Vec<Check> {
    let own = environment.capabilities;
    let by_admin = own.has(Capabilities::SYS_ADMIN);
    let table = [
        ("CAP_NET_ADMIN", Capabilities::NET_ADMIN, false, Missing, "attaching programs to interfaces"),
        ("CAP_BPF", Capabilities::BPF, true, Missing, "loading programs"),
        ("CAP_PERFMON", Capabilities::PERFMON, true, Missing, "loading programs"),
        (
            "CAP_SYS_ADMIN",
            Capabilities::SYS_ADMIN,
            false,
            Degraded,
            "looking at interfaces inside containers",
        ),
        ("CAP_SYS_PTRACE", Capabilities::SYS_PTRACE, false, Degraded, "telling whose interface is whose"),
    ];
    let judge = |(name, capability, included, otherwise, needed_for): (&str, Capabilities, bool, _, &str)| {
        let (status, found) = match own.has(capability) {
            true => (Ok, "held"),
            false if included && by_admin => (Ok, "included in CAP_SYS_ADMIN"),
            false => (otherwise, "not held"),
        };
        let fix = format!("run as root, or give the service {name}");
        check(&name.to_lowercase(), status, found, needed_for, &fix)
    };
    table.into_iter().map(judge).collect()
}

fn memlock(environment: &Environment) -> Check {
    let charged = environment.kernel_version.is_some_and(|version| version < KernelVersion::NO_MEMLOCK);
    let raises = environment.capabilities.has(Capabilities::SYS_RESOURCE);
    let (status, found) = match environment.memlock {
        _ if !charged => (Ok, "tables are not charged to it on this kernel".to_owned()),
        None => (Ok, "no limit".to_owned()),
        Some(limit) if raises => (Ok, format!("{limit} bytes, and CAP_SYS_RESOURCE to raise it")),
        Some(limit) => (Missing, format!("{limit} bytes")),
    };
    let fix = "set LimitMEMLOCK=infinity (ulimit -l unlimited), or give the service CAP_SYS_RESOURCE";
    check("memlock", status, found, "kernel tables before Linux 5.11", fix)
}

fn bpffs(environment: &Environment) -> Check {
    let (status, found) = match &environment.mounts.bpf {
        Some(path) => (Ok, path.display().to_string()),
        None => (Degraded, "not mounted".to_owned()),
    };
    let fix = "mount -t bpf bpf /sys/fs/bpf";
    check("bpffs", status, found, "looking at netobs's tables from outside; it pins nothing itself", fix)
}

fn cgroup(environment: &Environment) -> Check {
    let (status, found) = match &environment.mounts.cgroup2 {
        Some(path) => (Ok, path.display().to_string()),
        None => (Degraded, "no cgroup v2".to_owned()),
    };
    let fix = "mount -t cgroup2 none /sys/fs/cgroup/unified; until then those count as the host";
    check("cgroup2", status, found, "telling containers of the host's network apart by their sockets", fix)
}

fn conntrack(environment: &Environment) -> Check {
    let settings = environment.settings;
    let (status, found) = match (settings.conntrack_max, settings.conntrack_events) {
        (Some(max), Some(false)) => (Degraded, format!("{max} connections, without events")),
        (Some(max), _) => {
            let count = settings.conntrack_count.unwrap_or_default();
            let full = full_of_connections(count, max);
            let so_far = if full { "; at the limit the kernel drops new ones" } else { "" };
            (if full { Degraded } else { Ok }, format!("{count} of {max} connections{so_far}"))
        }
        (None, _) => (Degraded, "not loaded".to_owned()),
    };
    let fix = match settings.conntrack_max {
        Some(max) if full_of_connections(settings.conntrack_count.unwrap_or_default(), max) => {
            "sysctl -w net.netfilter.nf_conntrack_max=N with a larger N"
        }
        Some(_) => "sysctl -w net.netfilter.nf_conntrack_events=1",
        None => "modprobe nf_conntrack; without it there is no NAT to be told either",
    };
    check("conntrack", status, found, "joining both sides of NAT to one flow", fix)
}

/// Nine tenths: a burst may take the rest before anybody looks again.
const fn full_of_connections(count: u64, max: u64) -> bool {
    max > 0 && count >= max / 10 * 9
}

fn docker(findings: &Findings) -> Check {
    let path = findings.docker_socket.as_ref().map(|path| path.display().to_string()).unwrap_or_default();
    let (status, found, fix) = match &findings.docker {
        Answer::Off => (Ok, "switched off".to_owned(), ""),
        Answer::Answers => (Ok, format!("{path} answers"), ""),
        Answer::Absent => (
            Degraded,
            format!("nobody listens at {path}"),
            "start Docker, or name its socket with --docker-socket (empty: do not look); until then containers are \
             told apart by cgroup and namespace",
        ),
        Answer::Denied => (Missing, format!("{path}: permission denied"), "run as root"),
        Answer::Wrong(said) => (
            Missing,
            format!("{path}: {said}"),
            "look after the Docker daemon, or name its socket with --docker-socket",
        ),
    };
    check("docker", status, found, "names of containers", fix)
}

/// A host without pods lacks nothing; one whose runtime was named, or misbehaves, does.
fn cri(findings: &Findings) -> Check {
    let path = findings.cri_socket.as_ref().map(|path| path.display().to_string()).unwrap_or_default();
    let (status, found, fix) = match &findings.cri {
        Answer::Off => (Ok, "switched off".to_owned(), ""),
        Answer::Answers => (Ok, format!("{path} answers"), ""),
        Answer::Absent if !findings.cri_is_named => (Ok, "nobody runs pods here".to_owned(), ""),
        Answer::Absent => (
            Degraded,
            format!("nobody runs pods at {path}"),
            "start the pod runtime, or name its socket with --cri-socket; until then pods are told apart by cgroup \
             and namespace",
        ),
        Answer::Denied => (Missing, format!("{path}: permission denied"), "run as root"),
        Answer::Wrong(said) => (
            Missing,
            format!("{path}: {said}"),
            "look after the pod runtime, or name its socket with --cri-socket",
        ),
    };
    check("cri", status, found, "names of pods", fix)
}

fn kubernetes(findings: &Findings) -> Check {
    let (status, found, fix) = match &findings.kubernetes {
        Answer::Off => (Ok, "not asked: this is no pod, and no --kubeconfig is set".to_owned(), ""),
        Answer::Answers => (Ok, "it answers".to_owned(), ""),
        Answer::Absent => (Degraded, "nobody answers".to_owned(), "look after the way to the API"),
        Answer::Denied => {
            (Missing, "permission denied".to_owned(), "give the agent's account get, list and watch")
        }
        Answer::Wrong(said) => (
            Missing,
            said.clone(),
            "look after the API, its --kubeconfig or the service account; until then pods go by the pod runtime's \
             names, and who is on other nodes stays unknown",
        ),
    };
    check("kubernetes_api", status, found, "workloads, Services, other nodes", fix)
}

fn libvirt(findings: &Findings) -> Check {
    let path = findings.libvirt_dir.as_ref().map(|path| path.display().to_string()).unwrap_or_default();
    let (status, found, fix) = match &findings.libvirt {
        Answer::Off => (Ok, "switched off".to_owned(), ""),
        Answer::Answers => (Ok, format!("{path} can be read"), ""),
        Answer::Absent => (Ok, "no libvirt here".to_owned(), ""),
        Answer::Denied => (Missing, format!("{path}: permission denied"), "run as root"),
        Answer::Wrong(said) => (
            Degraded,
            said.clone(),
            "let netobs read the status files, or name their directory with --libvirt-dir; until then guests go by \
             the command lines of their monitors",
        ),
    };
    check("libvirt", status, found, "names of virtual machines", fix)
}

fn agent(findings: &Findings) -> Check {
    let path = findings.socket.display();
    let (status, found, fix) = match &findings.agent {
        Occupant::Alive(Some(pid)) => (Ok, format!("pid {pid} answers at {path}"), ""),
        Occupant::Alive(None) => (Ok, format!("answers at {path}"), ""),
        Occupant::Nobody => (Degraded, format!("nobody listens at {path}"), "start `netobs agent`"),
        Occupant::Stale => (Degraded, format!("a socket without an agent at {path}"), "start `netobs agent`"),
        Occupant::Denied => (Degraded, format!("{path}: permission denied"), "ask as root"),
        Occupant::NoSocket => (Missing, format!("{path} is no socket"), "choose another --socket"),
    };
    check("agent", status, found, "every other command", fix)
}

#[cfg(test)]
mod tests {
    use std::path::PathBuf;

    use super::*;
    use crate::host::environment::{Mounts, Settings};

    const ALL: Capabilities = Capabilities(u64::MAX);

    fn findings() -> Findings {
        Findings {
            environment: Environment {
                kernel_release: "6.18.1-test".into(),
                kernel_version: KernelVersion::parse("6.18.1-test"),
                btf: true,
                mounts: Mounts {
                    bpf: Some(PathBuf::from("/sys/fs/bpf")),
                    cgroup2: Some(PathBuf::from("/sys/fs/cgroup")),
                    ..Mounts::default()
                },
                capabilities: ALL,
                uid: 0,
                memlock: Some(65_536),
                possible_cpus: Some(2),
                settings: Settings {
                    conntrack_max: Some(262_144),
                    conntrack_events: Some(true),
                    ..Settings::default()
                },
            },
            tcx: Some(true),
            drop_reasons: Result::Ok(128),
            socket: "/run/netobs/netobs.sock".into(),
            agent: Occupant::Alive(Some(7)),
            docker_socket: Some("/var/run/docker.sock".into()),
            docker: Answer::Answers,
            cri_socket: Some("/run/containerd/containerd.sock".into()),
            cri_is_named: false,
            cri: Answer::Absent,
            kubernetes: Answer::Off,
            libvirt_dir: Some("/run/libvirt/qemu".into()),
            libvirt: Answer::Absent,
        }
    }

    fn not_ok(findings: &Findings) -> Vec<(String, CheckStatus)> {
        let all = checks(findings);
        assert!(all.iter().all(|one| (one.status == Ok) == one.fix.is_none()));
        assert!(all.iter().all(|one| one.fix.as_deref() != Some("") && !one.found.is_empty()));
        all.into_iter().filter(|one| one.status != Ok).map(|one| (one.name, one.status)).collect()
    }

    #[test]
    fn a_table_of_connections_near_its_limit_is_no_surprise_later() {
        let mut near = findings();
        near.environment.settings.conntrack_count = Some(240_000);
        assert_eq!(not_ok(&near), [("conntrack".to_owned(), Degraded)]);
    }

    #[test]
    fn a_host_that_has_everything_has_nothing_to_fix() {
        assert_eq!(not_ok(&findings()), []);
    }

    #[test]
    fn an_old_kernel_without_tcx_and_memory_to_lock_is_told() {
        let mut old = findings();
        old.environment.kernel_version = KernelVersion::parse("5.10.0");
        old.environment.capabilities = Capabilities(!Capabilities::SYS_RESOURCE.0);
        old.tcx = None;
        assert_eq!(not_ok(&old), [("attach".into(), Degraded), ("memlock".into(), Missing)]);
        old.environment.kernel_version = KernelVersion::parse("4.19.0");
        assert!(not_ok(&old).contains(&("kernel".into(), Missing)));
    }

    #[test]
    fn an_ordinary_user_lacks_what_loading_and_attaching_need() {
        let mut user = findings();
        user.environment.capabilities = Capabilities(0);
        assert_eq!(
            not_ok(&user),
            [
                ("drops".into(), Degraded),
                ("cap_net_admin".into(), Missing),
                ("cap_bpf".into(), Missing),
                ("cap_perfmon".into(), Missing),
                ("cap_sys_admin".into(), Degraded),
                ("cap_sys_ptrace".into(), Degraded),
            ]
        );
        assert_eq!(lacking(Capabilities(0)), ["CAP_NET_ADMIN", "CAP_BPF", "CAP_PERFMON"]);
    }

    #[test]
    fn cap_sys_admin_stands_for_cap_bpf_and_cap_perfmon_but_not_for_net_admin() {
        let mut admin = findings();
        admin.environment.capabilities = Capabilities::SYS_ADMIN.and(Capabilities::NET_ADMIN);
        assert_eq!(not_ok(&admin), [("cap_sys_ptrace".into(), Degraded)]);
        assert!(may_observe(admin.environment.capabilities));
        assert!(!may_observe(Capabilities::SYS_ADMIN));
        assert!(may_observe(Capabilities::BPF.and(Capabilities::PERFMON).and(Capabilities::NET_ADMIN)));
        assert!(!may_observe(Capabilities::BPF.and(Capabilities::NET_ADMIN)));
    }

    #[test]
    fn what_is_configured_and_broken_is_missing_and_what_is_absent_is_degraded() {
        let mut bare = findings();
        bare.environment.btf = false;
        bare.drop_reasons = Err("this kernel does not describe its own structures");
        bare.environment.mounts = Mounts::default();
        bare.environment.settings = Settings::default();
        bare.docker = Answer::Absent;
        bare.agent = Occupant::Nobody;
        let expected = [
            ("btf", Missing),
            ("drops", Degraded),
            ("bpffs", Degraded),
            ("cgroup2", Degraded),
            ("conntrack", Degraded),
            ("docker", Degraded),
            ("agent", Degraded),
        ];
        assert_eq!(not_ok(&bare), expected.map(|(name, status)| (name.to_owned(), status)));
        let mut broken = findings();
        broken.docker = Answer::Wrong("no answer within 2 s".into());
        assert_eq!(not_ok(&broken), [("docker".to_owned(), Missing)]);
        let mut without_pods = findings();
        without_pods.cri_is_named = true;
        assert_eq!(not_ok(&without_pods), [("cri".to_owned(), Degraded)]);
        without_pods.cri = Answer::Wrong("no answer within 2s".into());
        without_pods.libvirt = Answer::Wrong("web.xml: permission denied".into());
        assert_eq!(not_ok(&without_pods), [("cri".to_owned(), Missing), ("libvirt".to_owned(), Degraded)]);
    }
}
