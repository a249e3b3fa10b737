//! Made, adopted, kept in step; and nothing is written where nothing changes.

use anyhow::{Result, ensure};
use futures::future::try_join_all;
use serde_json::json;

use super::{A, B, apply, delete, dismiss, labelled, labels, reads, shared};
use crate::runner::Context;
use crate::suites::counts::tally::Mark;
use crate::suites::counts::{quiet_minute, settle};

const ENFORCE: &str = "pod-security.kubernetes.io/enforce";

pub(super) async fn it_is_made_where_it_is_selected_and_what_drifts_is_put_back(
    context: &Context,
) -> Result<()> {
    let sky = shared(context).await?;
    let (host, a, b) = (sky.lab.host()?, sky.lab.member(A)?, sky.lab.member(B)?);
    let mark = Mark::now(&sky.lab)?;
    apply(&sky, "red", json!({"team": "red", ENFORCE: "baseline"}), &[A]).await?;
    reads(&sky, "red", "Ready=InPlace cloud-1:Created").await?;
    for cluster in [&host, &a] {
        labelled(cluster, "red", "team", Some("red")).await?;
        labelled(cluster, "red", ENFORCE, Some("baseline")).await?;
    }
    ensure!(labels(&b, "red").await?.is_none(), "it is on {B} too");
    let told = mark.story(&sky.lab, &["skynamespaces", "namespaces", "resourcequotas"])?;
    let lines = told
        .iter()
        .map(|(cluster, request)| format!("  {cluster:8} {request}"));
    context.reporter.result(lines.collect::<Vec<_>>().join("\n"));
    ensure!(
        told.len() == 6,
        "more writes than the finalizer, two for each place, and the status"
    );

    for cluster in [&host, &a] {
        cluster
            .kubectl(&["label", "--overwrite", "ns", "red", "team=theirs", "more=theirs"])
            .await?;
        labelled(cluster, "red", "team", Some("red")).await?;
        cluster
            .kubectl(&["label", "ns", "red", "team-", "skymanager.io/origin-"])
            .await?;
        labelled(cluster, "red", "team", Some("red")).await?;
        labelled(cluster, "red", "more", Some("theirs")).await?;
    }
    a.kubectl(&["delete", "ns", "red", "--timeout=30s"]).await?;
    labelled(&a, "red", "team", Some("red")).await?;

    apply(&sky, "red", json!({"other": "x"}), &[A]).await?;
    for cluster in [&host, &a] {
        labelled(cluster, "red", "other", Some("x")).await?;
        labelled(cluster, "red", "team", None).await?;
    }
    dismiss(&sky, "red").await
}

pub(super) async fn what_was_there_is_adopted_but_for_pod_security_and_stays(
    context: &Context,
) -> Result<()> {
    let sky = shared(context).await?;
    let (host, a) = (sky.lab.host()?, sky.lab.member(A)?);
    for cluster in [&host, &a] {
        cluster.kubectl(&["create", "namespace", "old"]).await?;
        cluster
            .kubectl(&[
                "label",
                "ns",
                "old",
                "theirs=yes",
                "pod-security.kubernetes.io/warn=baseline",
            ])
            .await?;
    }
    let wanted =
        json!({"team": "old", ENFORCE: "restricted", "pod-security.kubernetes.io/warn": "restricted"});
    apply(&sky, "old", wanted, &[A]).await?;
    reads(&sky, "old", "Ready=InPlace cloud-1:Adopted").await?;
    for cluster in [&host, &a] {
        labelled(cluster, "old", "team", Some("old")).await?;
        labelled(cluster, "old", ENFORCE, None).await?;
        labelled(
            cluster,
            "old",
            "pod-security.kubernetes.io/warn",
            Some("baseline"),
        )
        .await?;
    }
    delete(&sky, "old").await?;
    for cluster in [&host, &a] {
        let left = labels(cluster, "old").await?.unwrap_or_default();
        let ours = left
            .keys()
            .any(|key| key == "team" || key.starts_with("skymanager.io/"));
        ensure!(
            left.contains_key("theirs") && !ours,
            "{}: {left:?}",
            cluster.name()
        );
    }
    Ok(())
}

pub(super) async fn a_quiet_minute_has_no_write(context: &Context) -> Result<()> {
    let sky = shared(context).await?;
    let a = sky.lab.member(A)?;
    a.kubectl(&["create", "namespace", "calm-old"]).await?;
    // One that is in place, one that was adopted, and one that is to go and cannot.
    apply(&sky, "calm", json!({"team": "calm"}), &[A, B]).await?;
    apply(&sky, "calm-old", json!({"team": "calm"}), &[A]).await?;
    apply(&sky, "calm-kept", json!({}), &[A]).await?;
    reads(&sky, "calm", "Ready=InPlace cloud-1:Created cloud-2:Created").await?;
    reads(&sky, "calm-old", "Ready=InPlace cloud-1:Adopted").await?;
    reads(&sky, "calm-kept", "Ready=InPlace cloud-1:Created").await?;
    a.kubectl(&["create", "-n", "calm-kept", "configmap", "theirs"])
        .await?;
    apply(&sky, "calm-kept", json!({}), &[B]).await?;
    let found = reads(&sky, "calm-kept", "Ready=InPlace cloud-1:Kept cloud-2:Created").await?;
    let words = found.status.unwrap_or_default().clusters.remove(0).message;
    ensure!(words.as_deref() == Some("holds 1 configmaps"), "{words:?}");
    settle(&Mark::now(&sky.lab)?, &sky).await?;
    let quiet = quiet_minute(&sky).await?;
    context
        .reporter
        .result(format!("  {} writes in a quiet minute", quiet.all()));
    ensure!(
        quiet.all() == 0,
        "{}",
        crate::suites::counts::tally::table(&[("quiet minute".into(), quiet)])
    );
    try_join_all(["calm", "calm-old", "calm-kept"].map(|name| dismiss(&sky, name)))
        .await
        .map(drop)
}
