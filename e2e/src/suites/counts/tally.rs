//! Counts the operator's writes from audit logs, and compares them with the API servers' own metrics.
//! Part of the suite `counts`.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use anyhow::{Result, ensure};

use crate::cluster::{AuditEntry, Cluster};
use crate::lab::Lab;
use crate::operator;
use crate::plan::HOST;
use crate::wait;

/// The operator's account on members.
const ACCOUNT: &str = "system:serviceaccount:sky-system:sky-manager";
/// Resources whose counts by audit and by metrics are compared, with all users.
const METERED: [&str; 4] = ["skyjobs", "skyclusters", "jobs", "namespaces"];

/// A moment in the audit logs of all clusters.
pub(in crate::suites) struct Mark(BTreeMap<String, usize>);

/// Our writes since a mark.
#[derive(Default)]
pub(in crate::suites) struct Tally {
    /// By server, request and answer.
    rows: BTreeMap<(String, String, u16), usize>,
    /// By resource and object.
    objects: BTreeMap<(String, String), usize>,
}

impl Mark {
    pub(in crate::suites) fn now(lab: &Lab) -> Result<Self> {
        let lengths = lab.clusters().into_iter().map(|cluster| {
            let length = cluster.audit_entries()?.len();
            Ok((cluster.name().to_owned(), length))
        });
        Ok(Self(lengths.collect::<Result<_>>()?))
    }

    /// Everybody's writes on one cluster since then.
    pub(in crate::suites) fn entries(&self, cluster: &Cluster) -> Result<Vec<AuditEntry>> {
        let skipped = self.0.get(cluster.name()).copied().unwrap_or(0);
        Ok(cluster.audit_entries()?.split_off(skipped))
    }

    /// Our writes on all clusters, without Leases and the renewal of tokens.
    pub(in crate::suites) fn tally(&self, lab: &Lab) -> Result<Tally> {
        let mut tally = Tally::default();
        for cluster in lab.clusters() {
            for entry in self.entries(&cluster)?.iter().filter(|entry| is_counted(entry)) {
                let row = (cluster.name().to_owned(), request(entry), entry.code);
                *tally.rows.entry(row).or_default() += 1;
                let object = (
                    entry.resource.clone(),
                    format!("{}/{}", entry.namespace, entry.name),
                );
                *tally.objects.entry(object).or_default() += 1;
            }
        }
        Ok(tally)
    }

    /// Our writes to these resources in the order of their ends: cluster and request.
    pub(in crate::suites) fn story(&self, lab: &Lab, resources: &[&str]) -> Result<Vec<(String, String)>> {
        let mut told = Vec::new();
        for cluster in lab.clusters() {
            let entries = self.entries(&cluster)?.into_iter();
            let ours = entries.filter(|e| is_counted(e) && resources.contains(&e.resource.as_str()));
            told.extend(ours.map(|e| (e.stage_timestamp, cluster.name().to_owned(), request(&e))));
        }
        told.sort();
        Ok(told
            .into_iter()
            .map(|(_, cluster, request)| (cluster, request))
            .collect())
    }
}

impl Tally {
    /// All of them.
    pub(in crate::suites) fn all(&self) -> usize {
        self.rows.values().sum()
    }

    /// Those of one kind, such as `create jobs`, on all clusters.
    pub(in crate::suites) fn of(&self, request: &str) -> usize {
        let same = self.rows.iter().filter(|((_, of, _), _)| of == request);
        same.map(|(_, count)| count).sum()
    }

    pub(in crate::suites) fn on_members(&self) -> usize {
        let theirs = self.rows.iter().filter(|((cluster, ..), _)| cluster != HOST);
        theirs.map(|(_, count)| count).sum()
    }

    /// Those that were not answered with success.
    pub(in crate::suites) fn refused(&self) -> usize {
        let refused = self
            .rows
            .iter()
            .filter(|((_, _, code), _)| !(200..300).contains(code));
        refused.map(|(_, count)| count).sum()
    }

    /// The most writes that one object of this resource had.
    pub(in crate::suites) fn most_per_object(&self, resource: &str) -> usize {
        let same = self.objects.iter().filter(|((of, _), _)| of == resource);
        same.map(|(_, count)| *count).max().unwrap_or(0)
    }

    /// Objects of this resource that had more writes than `most`.
    pub(in crate::suites) fn objects_above(&self, resource: &str, most: usize) -> usize {
        let same = self.objects.iter().filter(|((of, _), _)| of == resource);
        same.filter(|(_, count)| **count > most).count()
    }
}

/// Requests by row, phases by column.
pub(in crate::suites) fn table(phases: &[(String, Tally)]) -> String {
    let rows: BTreeSet<_> = phases.iter().flat_map(|(_, tally)| tally.rows.keys()).collect();
    let heads: String = phases.iter().map(|(name, _)| format!("{name:>14}")).collect();
    let mut lines = vec![format!("  {:42}{heads}", "writes by the operator")];
    for row in rows {
        let (cluster, request, code) = row;
        let counts = phases
            .iter()
            .map(|(_, tally)| tally.rows.get(row).copied().unwrap_or(0));
        let counts: String = counts.map(|count| format!("{count:>14}")).collect();
        lines.push(format!("  {cluster:8} {request:28} {code:<4}{counts}"));
    }
    lines.join("\n")
}

/// Whose it is, by user or by agent.
pub(in crate::suites) fn is_ours(entry: &AuditEntry) -> bool {
    entry.user == operator::NAME
        || entry.user == ACCOUNT
        || entry.user_agent.starts_with(&format!("{}/", operator::NAME))
}

/// Leases and the renewal of tokens are counted apart: they go with time, not with work; so are the questions at a start.
fn is_counted(entry: &AuditEntry) -> bool {
    let apart = ["leases", "secrets", "selfsubjectaccessreviews"];
    let apart = apart.contains(&entry.resource.as_str()) || entry.subresource == "token";
    is_ours(entry) && !apart
}

fn request(entry: &AuditEntry) -> String {
    let part = if entry.subresource.is_empty() { "" } else { "/" };
    format!("{} {}{part}{}", entry.verb, entry.resource, entry.subresource)
}

/// Writes by everybody, counted by the API servers' metrics: cluster and resource.
pub(in crate::suites) async fn metered(lab: &Lab) -> Result<BTreeMap<(String, String), usize>> {
    let mut all = BTreeMap::new();
    for cluster in lab.clusters() {
        for (labels, value) in cluster.metric("apiserver_request_total").await? {
            let label = |name: &str| labels.get(name).map(String::as_str).unwrap_or_default();
            if METERED.contains(&label("resource")) && !["GET", "LIST", "WATCH"].contains(&label("verb")) {
                #[expect(
                    clippy::cast_possible_truncation,
                    clippy::cast_sign_loss,
                    reason = "a count of requests, far below 2^32"
                )]
                let count = value as usize;
                let key = (cluster.name().to_owned(), label("resource").to_owned());
                *all.entry(key).or_default() += count;
            }
        }
    }
    Ok(all)
}

/// The audit logs since `mark` and the metrics since `before` count the same writes.
pub(in crate::suites) async fn agree(
    mark: &Mark,
    before: &BTreeMap<(String, String), usize>,
    lab: &Lab,
) -> Result<()> {
    wait::until(
        "metrics and audit to agree",
        Duration::from_secs(20),
        async || {
            let now = metered(lab).await?;
            let mut audited: BTreeMap<(String, String), usize> = BTreeMap::new();
            for cluster in lab.clusters() {
                let entries = mark.entries(&cluster)?.into_iter();
                for entry in entries.filter(|entry| METERED.contains(&entry.resource.as_str())) {
                    *audited
                        .entry((cluster.name().to_owned(), entry.resource))
                        .or_default() += 1;
                }
            }
            for (key, total) in now {
                let counted = total - before.get(&key).copied().unwrap_or(0);
                let written = audited.get(&key).copied().unwrap_or(0);
                ensure!(
                    counted == written,
                    "{} {}: {counted} counted, {written} written down",
                    key.0,
                    key.1
                );
            }
            Ok(())
        },
    )
    .await
}
