//! What `kubectl sky join` says of a Slurm cluster: what was found there, or what is wrong. Part of the suite `slurm`.

use std::fs;
use std::time::Duration;

use anyhow::{Result, bail, ensure};
use serde_json::json;

use super::{HPC, shared};
use crate::runner::Context;
use crate::slurm::JOB_USER;
use crate::suites::sky::{self, Sky};

/// Said as well when it is joined again.
pub(super) async fn joining_says_what_was_found_and_what_is_wrong(context: &Context) -> Result<()> {
    let sky = shared(context).await?;
    let cluster = sky.lab.slurm(HPC)?;
    let (url, token) = (cluster.direct_url(), cluster.token_file().display().to_string());
    let said = join(&sky, HPC, &url, &token, &[]).await?;
    let api = format!("slurmrestd speaks {}", cluster.api()?);
    for wanted in [
        "2 nodes, ",
        " cpu free, ",
        &api,
        "partitions main (default), short",
        "without accounting",
    ] {
        ensure!(said.contains(wanted), "nothing says {wanted:?}: {said}");
    }
    let words = refusal(&sky, HPC, &url, &token, &["--partition", "nope"]).await?;
    ensure!(
        words.contains("spec.slurm.partition \"nope\": Slurm has no partition of this name"),
        "{words}"
    );
    sky.patch_cluster(HPC, json!({"spec": {"slurm": {"partition": null}}}))
        .await?;
    let bad = sky.lab.dir().join("bad-token");
    fs::write(&bad, cluster.mint("daemon", Duration::from_secs(600))?)?;
    let (bad, proxied) = (bad.display().to_string(), cluster.url());
    for (name, url, token, says) in [
        (
            "stranger",
            proxied.as_str(),
            &bad,
            ["the token is not accepted", "Slurm: "],
        ),
        (
            "nobody",
            "http://127.0.0.1:1",
            &token,
            ["Connection refused", "check that slurmrestd"],
        ),
    ] {
        let words = refusal(&sky, name, url, token, &[]).await?;
        ensure!(says.iter().all(|part| words.contains(part)), "{name}: {words}");
        let abandoned = json!({"metadata": {"annotations": {"skymanager.io/abandon": "true"}}});
        sky.patch_cluster(name, abandoned).await?;
        sky.lab.sky(&["unjoin", name]).await?;
    }
    sky.cluster_until(HPC, "Ready", |cluster| {
        sky::is_true(&sky::cluster_conditions(cluster), "Ready")
    })
    .await
    .map(|_| ())
}

async fn join(sky: &Sky, name: &str, url: &str, token: &str, more: &[&str]) -> Result<String> {
    let from = [
        "--slurm",
        url,
        "--user",
        JOB_USER,
        "--token-file",
        token,
        "--wait",
        "5",
    ];
    sky.lab.sky(&[&["join", name], &from[..], more].concat()).await
}

/// What is said of one that is not Ready.
async fn refusal(sky: &Sky, name: &str, url: &str, token: &str, more: &[&str]) -> Result<String> {
    match join(sky, name, url, token, more).await {
        Ok(said) => bail!("{name} is joined: {said}"),
        Err(error) => Ok(format!("{error:#}")),
    }
}
