//! What the members were asked to create, against what was placed: nothing lost, nothing doubled.
//! Part of the suite `faults`.

use std::collections::BTreeMap;
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use k8s_openapi::api::batch::v1::Job;
use k8s_openapi::api::core::v1::Pod;
use kube::api::ListParams;
use kube::{Api, ResourceExt};
use sky_crds::SkyJob;

use crate::suites::counts::tally::{Mark, is_ours};
use crate::suites::sky::{self, ORIGIN_LABEL, Sky, UID_LABEL};
use crate::wait;

const BOUND: Duration = Duration::from_secs(240);

/// Waits until every SkyJob is Complete and shows that each of its shares was created once since `mark`, and each
/// replica has run once. Then deletes them all and shows that members are empty.
pub(in crate::suites) async fn close(sky: &Sky, mark: &Mark) -> Result<()> {
    let jobs = sky.all_complete(BOUND).await?;
    once(sky, mark, &jobs).await?;
    sky.delete_all().await?;
    empty(sky).await
}

/// Waits until there is no SkyJob, and nothing of one on any member.
pub(in crate::suites) async fn empty(sky: &Sky) -> Result<()> {
    sky.all_gone(BOUND).await?;
    for member in sky.lab.members() {
        let left = member
            .kubectl(&["get", "jobs,pods", "-A", "-o", "name", "-l", ORIGIN_LABEL])
            .await?;
        ensure!(left.is_empty(), "{} still holds {left}", member.name());
    }
    Ok(())
}

/// Every share of these jobs was created once, and each of its replicas ran once.
pub(in crate::suites) async fn once(sky: &Sky, mark: &Mark, jobs: &[SkyJob]) -> Result<()> {
    let mut shares = 0;
    for job in jobs {
        let status = job.status.clone().unwrap_or_default();
        let placement = status.placement.with_context(|| sky::describe(job))?;
        ensure!(
            placement.revision == 1 && status.runs.len() == 1,
            "{} was placed {} times in {} runs",
            job.name_any(),
            placement.revision,
            status.runs.len()
        );
        shares += placement.shares.len();
    }
    let (mut created, mut present): (BTreeMap<String, usize>, usize) = (BTreeMap::new(), 0);
    for member in sky.lab.members() {
        let entries = mark.entries(&member)?.into_iter();
        for entry in entries.filter(|entry| is_ours(entry) && entry.resource == "jobs") {
            ensure!(entry.verb != "delete", "deleted before it was to go: {entry:?}");
            // A request whose client died has been carried out or not, and has no code that says so.
            if entry.verb == "create" && entry.code == 201 {
                *created
                    .entry(format!("{}/{}", member.name(), entry.name))
                    .or_default() += 1;
            }
        }
        let all: Api<Job> = Api::all(member.client().await?);
        let ours = ListParams::default().labels(ORIGIN_LABEL);
        present += all.list(&ours).await?.items.len();
    }
    let twice: Vec<_> = created.iter().filter(|(_, count)| **count != 1).collect();
    ensure!(twice.is_empty(), "created more than once: {twice:?}");
    ensure!(
        present == shares && created.len() <= shares,
        "{shares} shares, but {present} Jobs, of which these were answered: {created:?}"
    );
    pods_ran_once(sky, jobs).await
}

/// Just these requests were carried out on the members' Jobs since `mark`: cluster and verb, once each.
pub(super) fn made(sky: &Sky, mark: &Mark, expected: &[(&str, &str)]) -> Result<()> {
    let mut found = Vec::new();
    for member in sky.lab.members() {
        for entry in mark.entries(&member)? {
            let counts = is_ours(&entry) && entry.resource == "jobs" && (200..300).contains(&entry.code);
            if counts && ["create", "delete"].contains(&entry.verb.as_str()) {
                found.push((member.name().to_owned(), entry.verb));
            }
        }
    }
    found.sort();
    let expected: Vec<(String, String)> = expected
        .iter()
        .map(|(cluster, verb)| ((*cluster).to_owned(), (*verb).to_owned()))
        .collect();
    ensure!(found == expected, "made {found:?}, expected {expected:?}");
    Ok(())
}

/// Each member has one pod for each replica placed there.
async fn pods_ran_once(sky: &Sky, jobs: &[SkyJob]) -> Result<()> {
    let mut placed: BTreeMap<(String, String), i64> = BTreeMap::new();
    for job in jobs {
        let status = job.status.clone().unwrap_or_default();
        for share in status
            .placement
            .into_iter()
            .flat_map(|placement| placement.shares)
        {
            *placed
                .entry((share.cluster, job.uid().unwrap_or_default()))
                .or_default() += share.replicas;
        }
    }
    wait::until("one pod for each replica", BOUND, async || {
        let mut found: BTreeMap<(String, String), i64> = BTreeMap::new();
        for member in sky.lab.members() {
            let pods: Api<Pod> = Api::all(member.client().await?);
            let ours = ListParams::default().labels(ORIGIN_LABEL);
            for pod in pods.list(&ours).await?.items {
                let uid = pod.labels().get(UID_LABEL).cloned().unwrap_or_default();
                *found.entry((member.name().to_owned(), uid)).or_default() += 1;
            }
        }
        let differ = |(key, count): &(&(String, String), &i64)| found.get(*key) != Some(*count);
        let wrong = placed.iter().find(differ);
        ensure!(
            wrong.is_none() && found.len() == placed.len(),
            "placed {wrong:?}, but of {} placements {} have pods",
            placed.len(),
            found.len()
        );
        Ok(())
    })
    .await
}
