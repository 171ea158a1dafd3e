//! A pod's labels and name → the workload it is probably an instance of. Pure.
//!
//! Controllers name what they make after themselves: ReplicaSets `DEPLOYMENT-HASH`, their pods with five further
//! characters, DaemonSets likewise, StatefulSets with a number, CronJobs their Jobs with the minute. The Kubernetes
//! API knows the owner for certain; this is for nodes whose agent may not ask it.

use std::collections::HashMap;

/// The workload, if the labels tell one.
#[must_use]
pub(super) fn guess<'a>(name: &'a str, labels: &'a HashMap<String, String>) -> Option<&'a str> {
    let label = |key: &str| labels.get(key).map(String::as_str).filter(|value| !value.is_empty());
    if let Some(hash) = label("pod-template-hash")
        && let Some((set, _)) = name.rsplit_once('-')
        && let Some(deployment) = set.strip_suffix(hash).and_then(|set| set.strip_suffix('-'))
    {
        return Some(deployment);
    }
    if label("statefulset.kubernetes.io/pod-name") == Some(name) {
        return name.rsplit_once('-').map(|(set, _)| set);
    }
    if let Some(job) = label("batch.kubernetes.io/job-name").or_else(|| label("job-name")) {
        return Some(cron_job(job).unwrap_or(job));
    }
    if label("controller-revision-hash").is_some()
        && let Some((set, random)) = name.rsplit_once('-')
        && random.len() == 5
    {
        return Some(set);
    }
    ["app.kubernetes.io/name", "k8s-app", "app"].into_iter().find_map(label)
}

/// `backup-29401230` → `backup`: minutes since 1970 have eight digits until the year 2160.
fn cron_job(job: &str) -> Option<&str> {
    let (name, minute) = job.rsplit_once('-')?;
    (minute.len() == 8 && minute.bytes().all(|one| one.is_ascii_digit())).then_some(name)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn guessed(name: &str, labels: &[(&str, &str)]) -> Option<String> {
        let labels = labels.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect();
        guess(name, &labels).map(str::to_owned)
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
}
