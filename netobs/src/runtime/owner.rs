//! A pod's name and labels → the workload it is an instance of. Pure.
//!
//! Controllers name what they make after themselves: ReplicaSets `DEPLOYMENT-HASH`, their pods with five further
//! characters, DaemonSets likewise, StatefulSets with a number, CronJobs their Jobs with the minute.

/// What random parts of names consist of (`SafeEncodeString`, k8s.io/apimachinery pkg/util/rand, 1.33).
const RANDOM: &str = "bcdfghjklmnpqrstvwxz2456789";

/// The workload, if the labels tell one. `get` reads a label.
#[must_use]
pub(super) fn by_labels<'a>(name: &'a str, get: impl Fn(&str) -> Option<&'a String>) -> Option<&'a str> {
    let label = |key: &str| get(key).map(String::as_str).filter(|value| !value.is_empty());
    if let Some(hash) = label("pod-template-hash")
        && let Some((set, _)) = name.rsplit_once('-')
        && let Some(deployment) = of_replica_set(set, Some(hash))
    {
        return Some(deployment);
    }
    if label("statefulset.kubernetes.io/pod-name") == Some(name) {
        return name.rsplit_once('-').map(|(set, _)| set);
    }
    if let Some(job) = label("batch.kubernetes.io/job-name").or_else(|| label("job-name")) {
        return Some(of_job(job).unwrap_or(job));
    }
    if label("controller-revision-hash").is_some()
        && let Some((set, random)) = name.rsplit_once('-')
        && random.len() == 5
    {
        return Some(set);
    }
    ["app.kubernetes.io/name", "k8s-app", "app"].into_iter().find_map(label)
}

/// The workload, if a pod's name alone tells one: with the random parts of a Deployment, or a DaemonSet's or Job's.
#[must_use]
pub fn by_name(name: &str) -> Option<&str> {
    let is_random = |part: &str| part.chars().all(|one| RANDOM.contains(one));
    let (rest, last) = name.rsplit_once('-')?;
    if last.len() != 5 || !is_random(last) {
        return None;
    }
    match rest.rsplit_once('-') {
        Some((deployment, hash)) if (8..=10).contains(&hash.len()) && is_random(hash) => Some(deployment),
        _ => Some(of_job(rest).unwrap_or(rest)),
    }
}

/// The Deployment that made a ReplicaSet, by the hash that both carry.
#[must_use]
pub(super) fn of_replica_set<'a>(set: &'a str, hash: Option<&str>) -> Option<&'a str> {
    set.strip_suffix(hash?)?.strip_suffix('-').filter(|deployment| !deployment.is_empty())
}

/// The CronJob that made a Job: `backup-29401230` → `backup`. Minutes since 1970 have eight digits until 2160.
#[must_use]
pub(super) fn of_job(job: &str) -> Option<&str> {
    let (name, minute) = job.rsplit_once('-')?;
    (minute.len() == 8 && minute.bytes().all(|one| one.is_ascii_digit())).then_some(name)
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;

    use super::*;

    fn guessed(name: &str, labels: &[(&str, &str)]) -> Option<String> {
        let labels: HashMap<String, String> =
            labels.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect();
        by_labels(name, |key| labels.get(key)).map(str::to_owned)
    }

    #[test]
    fn each_controller_is_known_by_its_marks() {
        type Labels<'a> = &'a [(&'a str, &'a str)];
        let table: [(&str, Labels<'_>, &str); 7] = [
            (
                "shop-web-6d4cf56db6-x2x7k",
                &[("pod-template-hash", "6d4cf56db6"), ("app", "other")],
                "shop-web",
            ),
            (
                "db-0",
                &[("statefulset.kubernetes.io/pod-name", "db-0"), ("controller-revision-hash", "db-7")],
                "db",
            ),
            ("agent-4kq9z", &[("controller-revision-hash", "6c9f")], "agent"),
            ("load-7xq2p", &[("job-name", "load")], "load"),
            ("backup-29401230-abcde", &[("batch.kubernetes.io/job-name", "backup-29401230")], "backup"),
            ("bare", &[("app", "thing")], "thing"),
            ("bare", &[("app", "thing"), ("app.kubernetes.io/name", "better")], "better"),
        ];
        for (name, labels, workload) in table {
            assert_eq!(guessed(name, labels).as_deref(), Some(workload), "{name} {labels:?}");
        }
    }

    #[test]
    fn what_fits_no_pattern_is_not_guessed() {
        assert_eq!(guessed("bare", &[]), None);
        assert_eq!(guessed("web-x", &[("pod-template-hash", "6d4c")]), None);
        assert_eq!(guessed("x", &[("app", "")]), None);
    }

    #[test]
    fn a_name_alone_tells_what_its_random_parts_tell() {
        assert_eq!(by_name("shop-web-6d4cf56db6-x2x7k"), Some("shop-web"));
        assert_eq!(by_name("backup-29401230-x2x7k"), Some("backup"));
        assert_eq!(by_name("agent-x2x7k"), Some("agent"));
        assert_eq!(by_name("db-0"), None);
        assert_eq!(by_name("web-apple"), None, "vowels are no random part");
    }
}
