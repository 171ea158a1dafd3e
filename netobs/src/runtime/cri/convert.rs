//! Messages of a pod runtime → pods. Pure.

use std::{net::IpAddr, sync::Arc};

use jiff::Timestamp;
use serde::Deserialize;

use super::wire::{self, Container, PodSandbox, PodSandboxStatusResponse};
use crate::{
    identity::text,
    runtime::{
        facts::pod::{PodContainer, RuntimePod},
        owner,
    },
};

/// The annotation of a pod that is not to be shown.
const IGNORE: &str = "netobs.io/ignore";
/// Longest path of a namespace taken as it is.
const PATH_LIMIT: usize = 512;
/// Addresses of one pod.
const ADDRESSES_LIMIT: usize = 64;

/// What `info["info"]` of a verbose status holds; containerd and CRI-O write the same keys.
#[derive(Default, Deserialize)]
struct Info {
    #[serde(default)]
    pid: u32,
    #[serde(default, rename = "runtimeSpec")]
    spec: Option<Spec>,
}

#[derive(Deserialize)]
struct Spec {
    #[serde(default)]
    linux: Option<Linux>,
}

#[derive(Deserialize)]
struct Linux {
    #[serde(default)]
    namespaces: Vec<Namespace>,
}

#[derive(Deserialize)]
struct Namespace {
    #[serde(default, rename = "type")]
    kind: String,
    #[serde(default)]
    path: String,
}

/// A pod; `None` for a sandbox that nobody could ask for by name.
pub(super) fn pod(
    listed: &PodSandbox,
    said: &PodSandboxStatusResponse,
    runtime: &Arc<str>,
) -> Option<RuntimePod> {
    let metadata = listed.metadata.as_ref()?;
    if !is_id(&listed.id) || metadata.name.is_empty() {
        return None;
    }
    let status = said.status.as_ref();
    let options = status
        .and_then(|status| status.linux.as_ref()?.namespaces.as_ref()?.options.as_ref())
        .map(|options| options.network);
    let info = info(said.info.get("info"));
    let network = status.and_then(|status| status.network.as_ref());
    let all = network.into_iter().flat_map(|network| {
        std::iter::once(&network.ip).chain(network.additional_ips.iter().map(|one| &one.ip))
    });
    let addresses: Vec<IpAddr> = all.filter_map(|text| text.parse().ok()).take(ADDRESSES_LIMIT).collect();
    let host_network = options == Some(wire::NODE);
    let namespaces = info.spec.and_then(|spec| spec.linux).map(|linux| linux.namespaces).unwrap_or_default();
    let netns = namespaces.into_iter().find(|one| one.kind == "network").map(|one| one.path);
    Some(RuntimePod {
        sandbox: listed.id.as_str().into(),
        uid: text::clean(&metadata.uid).into(),
        namespace: text::clean(&metadata.namespace).into(),
        name: text::clean(&metadata.name).into(),
        workload: owner::by_labels(&metadata.name, |key| listed.labels.get(key))
            .map(|name| text::clean(name).into()),
        runtime: Arc::clone(runtime),
        created_at: Timestamp::from_nanosecond(i128::from(listed.created_at)).ok(),
        host_network,
        ignored: listed.annotations.get(IGNORE).is_some_and(|value| value == "true"),
        pid: info.pid,
        netns: netns.filter(|path| path.starts_with('/') && path.len() <= PATH_LIMIT).map(Into::into),
        addresses: if host_network { Vec::new() } else { addresses },
        containers: Vec::new(),
    })
}

/// A container of a pod, its process not known yet; `None` for one without a usable id.
pub(super) fn container(said: &Container) -> Option<PodContainer> {
    let name = said.metadata.as_ref().map(|metadata| metadata.name.as_str()).unwrap_or_default();
    is_id(&said.id).then(|| PodContainer {
        name: text::clean(name).into(),
        id: said.id.as_str().into(),
        image: text::clean(said.image.as_ref().map(|image| image.image.as_str()).unwrap_or_default()).into(),
        pid: 0,
    })
}

/// The first process of a container, from `info["info"]` of its verbose status; 0 if it is not said.
pub(super) fn pid(info: Option<&String>) -> u32 {
    self::info(info).pid
}

fn info(json: Option<&String>) -> Info {
    json.and_then(|json| serde_json::from_str(json).ok()).unwrap_or_default()
}

/// Ids become part of requests and of file names: letters and digits, as every runtime makes them.
fn is_id(id: &str) -> bool {
    (1..=128).contains(&id.len())
        && id.bytes().all(|one| one.is_ascii_alphanumeric() || one == b'-' || one == b'_')
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;

    use proptest::prelude::*;

    use super::{super::wire::*, *};

    pub(in super::super) fn listed(id: &str, name: &str) -> PodSandbox {
        PodSandbox {
            id: id.into(),
            metadata: Some(PodSandboxMetadata {
                name: name.into(),
                uid: format!("uid-of-{name}"),
                namespace: "shop".into(),
            }),
            state: SANDBOX_READY,
            created_at: 1_700_000_000_000_000_000,
            labels: HashMap::from([("app".to_owned(), "thing".to_owned())]),
            annotations: HashMap::new(),
        }
    }

    fn status(network: i32, ip: &str, info: &str) -> PodSandboxStatusResponse {
        PodSandboxStatusResponse {
            status: Some(PodSandboxStatus {
                id: "a1".into(),
                network: Some(PodSandboxNetworkStatus {
                    ip: ip.into(),
                    additional_ips: vec![PodIp { ip: "2001:db8::7".into() }],
                }),
                linux: Some(LinuxPodSandboxStatus {
                    namespaces: Some(wire::Namespace { options: Some(NamespaceOption { network }) }),
                }),
            }),
            info: HashMap::from([("info".to_owned(), info.to_owned())]),
        }
    }

    const INFO: &str = r#"{"pid": 4711, "runtimeSpec": {"linux": {"namespaces": [{"type": "pid"},
        {"type": "network", "path": "/var/run/netns/cni-1"}]}}}"#;

    fn runtime() -> Arc<str> {
        "containerd".into()
    }

    #[test]
    fn a_pod_with_a_network_of_its_own() {
        let pod = pod(&listed("a1", "web-0"), &status(0, "10.88.0.2", INFO), &runtime()).unwrap();
        assert_eq!((&*pod.namespace, &*pod.name, &*pod.uid), ("shop", "web-0", "uid-of-web-0"));
        assert_eq!(
            (pod.host_network, pod.pid, pod.netns.as_deref()),
            (false, 4711, Some("/var/run/netns/cni-1"))
        );
        let expected: [IpAddr; 2] = ["10.88.0.2".parse().unwrap(), "2001:db8::7".parse().unwrap()];
        assert_eq!(pod.addresses, expected);
        assert_eq!(pod.workload.as_deref(), Some("thing"));
    }

    #[test]
    fn a_pod_on_the_hosts_network_has_no_address_of_its_own() {
        let pod = pod(&listed("a1", "proxy"), &status(NODE, "", "{\"pid\": 7}"), &runtime()).unwrap();
        assert!(pod.host_network && pod.addresses.is_empty() && pod.netns.is_none());
        assert_eq!(pod.pid, 7);
    }

    #[test]
    fn a_runtime_that_says_little_is_enough() {
        let little = PodSandboxStatusResponse::default();
        let pod = pod(&listed("a1", "web-0"), &little, &runtime()).unwrap();
        assert_eq!((pod.pid, pod.host_network, pod.addresses.len()), (0, false, 0));
        assert_eq!(super::pod(&listed("../a", "web-0"), &little, &runtime()), None);
        assert_eq!(super::pod(&listed("a1", ""), &little, &runtime()), None);
    }

    #[test]
    fn wrong_json_is_no_json() {
        for json in ["", "[]", "{\"pid\": \"x\"}", "{\"pid\": -1}", "{\"runtimeSpec\": 7}"] {
            assert_eq!(pid(Some(&json.to_owned())), 0, "{json}");
        }
        assert_eq!(pid(None), 0);
    }

    proptest! {
        #[test]
        fn names_come_out_harmless(name in ".{1,40}", namespace in ".{0,300}", uid in ".{0,40}", label in ".{0,40}") {
            let mut listed = listed("a1", &name);
            listed.metadata = Some(PodSandboxMetadata { name, uid, namespace });
            listed.labels = HashMap::from([("app".to_owned(), label)]);
            if let Some(pod) = pod(&listed, &status(0, "x", INFO), &runtime()) {
                for said in [Some(&pod.name), Some(&pod.namespace), Some(&pod.uid), pod.workload.as_ref()] {
                    let said = said.map_or("", |said| &**said);
                    prop_assert!(!said.chars().any(text::is_hostile), "{said:?}");
                    prop_assert!(said.chars().count() <= text::NAME_LIMIT);
                }
            }
        }
    }
}
