//! What suites count with: the audit log and the metrics of an API server agree. Part of the suite `lab`.

use std::time::Duration;

use anyhow::{Result, bail, ensure};

use super::{KWOK, shared};
use crate::cluster::Cluster;
use crate::runner::Context;
use crate::wait;

pub(super) async fn writes(context: &Context) -> Result<()> {
    let member = shared(context).await?.member(KWOK)?;
    let (audited, counted) = (audited(&member)?, counted(&member).await?);
    for name in ["one", "two", "three"] {
        member.kubectl(&["create", "configmap", name]).await?;
        member.kubectl(&["get", "configmap", name]).await?;
    }
    member.kubectl(&["delete", "configmap", "three"]).await?;
    let (audited, counted) = (
        self::audited(&member)? - audited,
        self::counted(&member).await? - counted,
    );
    ensure!(
        (audited, counted) == (3, 3),
        "3 creates: {audited} audited, {counted} counted"
    );

    let entry = wait::until(
        "the delete in the audit log",
        Duration::from_secs(10),
        async || {
            let entries = member.audit_entries()?;
            let delete = |entry: &&_| is_ours(entry) && entry.verb == "delete" && entry.name == "three";
            let Some(found) = entries.iter().find(delete) else {
                bail!("{} entries", entries.len())
            };
            Ok(found.clone())
        },
    )
    .await?;
    ensure!(
        entry.user == "admin" && entry.namespace == "default" && entry.code == 200,
        "{entry:?}"
    );
    ensure!(
        entry.user_agent.starts_with("kubectl") && entry.subresource.is_empty(),
        "{entry:?}"
    );
    let age = jiff::Timestamp::now().duration_since(entry.stage_timestamp);
    ensure!(age.as_secs().abs() < 60, "{entry:?} is {age} old");
    let reads = member
        .audit_entries()?
        .iter()
        .filter(|entry| entry.verb == "get")
        .count();
    ensure!(reads == 0, "{reads} reads in the audit log");
    Ok(())
}

fn is_ours(entry: &crate::cluster::AuditEntry) -> bool {
    entry.resource == "configmaps" && entry.namespace == "default"
}

fn audited(member: &Cluster) -> Result<u32> {
    let entries = member.audit_entries()?;
    let creates = entries
        .iter()
        .filter(|entry| is_ours(entry) && entry.verb == "create" && entry.code == 201);
    Ok(u32::try_from(creates.count())?)
}

async fn counted(member: &Cluster) -> Result<u32> {
    let samples = member.metric("apiserver_request_total").await?;
    let ours = [("resource", "configmaps"), ("verb", "POST"), ("code", "201")];
    let matching = samples.iter().filter(|(labels, _)| {
        ours.iter()
            .all(|(key, value)| labels.get(*key).is_some_and(|v| v == value))
    });
    let sum: f64 = matching.map(|(_, value)| value).sum();
    // A count of requests; far below 2^32.
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "a small whole number"
    )]
    Ok(sum as u32)
}
