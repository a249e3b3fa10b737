//! What goes wrong on a Slurm cluster and how a SkyJob tells it: a node that fails, a token that ends, an end that nobody saw;
//! and containers, without which an image would be no image. Part of the suite `slurm`.

use std::fs;
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use serde_json::{Value, json};

use super::{HPC, forgotten, join, joined, ledger, queue_empties};
use crate::operator;
use crate::plan::{MemberSpec, Plan};
use crate::runner::Context;
use crate::slurm::JOB_USER;
use crate::suites::sky::{self, SOON, Sky, need_real};

/// A Slurm cluster of two nodes of 4 cpus that runs containers, soon forgets what ended, and requeues nothing by itself, as
/// its administrator is told.
async fn shared(context: &Context) -> Result<Sky> {
    need_real()?;
    let mut hpc = MemberSpec::slurm(HPC);
    (hpc.slurm.containers, hpc.slurm.min_job_age) = (true, 2);
    hpc.slurm.extra = vec!["JobRequeue=0".to_owned()];
    let plan = Plan {
        operator: true,
        ..Plan::bare(vec![hpc])
    };
    joined(context, &plan, &[HPC]).await
}

fn spec(replicas: i64, run: &str) -> Value {
    json!({"replicas": replicas, "run": run, "slurm": {}, "resources": {"cpu": 1, "memory": "64Mi"}})
}

pub(super) async fn an_image_is_the_container_that_the_cluster_maps_it_to(context: &Context) -> Result<()> {
    let sky = shared(context).await?;
    let bundle = sky.lab.slurm(HPC)?.bundle().context("a bundle")?;
    let mut asked = spec(2, "echo rank $SKY_RANK as $(id -u); ls /etc | sort");
    asked["image"] = "busybox-bundle:1".into();
    sky.create("contained", asked).await?;
    sky.until("contained", "refused without a runtime", |job| {
        sky::message(job, "Scheduled").contains("without a container runtime")
    })
    .await?;
    let runtime =
        json!({"spec": {"slurm": {"containerRuntime": "OCI", "imageMap": {"busybox-bundle:1": bundle}}}});
    sky.patch_cluster(HPC, runtime).await?;
    sky.complete("contained").await?;
    let said = sky.lab.sky(&["logs", "contained"]).await?;
    for wanted in ["rank 0 as 0", "rank 1 as 0", "passwd"] {
        ensure!(said.contains(wanted), "nothing says {wanted:?}: {said}");
    }
    ensure!(!said.contains("hostname"), "that is the node's own /etc: {said}");
    sky.delete("contained").await?;
    let runtime = json!({"spec": {"slurm": {"containerRuntime": null, "imageMap": null}}});
    sky.patch_cluster(HPC, runtime).await
}

pub(super) async fn a_node_that_fails_fails_its_replicas_in_words_and_none_runs_again(
    context: &Context,
) -> Result<()> {
    let sky = shared(context).await?;
    let cluster = sky.lab.slurm(HPC)?;
    let ledger = ledger(&cluster, "node-fails")?;
    let run = format!("echo $SKY_RANK >> {}; sleep 600", ledger.display());
    sky.create("struck", spec(8, &run)).await?;
    sky.until("struck", "running", |job| sky::phase(job) == "Running")
        .await?;
    let node = cluster.node_name(1);
    cluster.daemon("slurmd-1")?.kill().await?;
    let down = [
        "update",
        &format!("NodeName={node}"),
        "State=DOWN",
        "Reason=struck",
    ];
    cluster.tool("scontrol", &down).await?;
    let job = sky.until_true("struck", "Failed", "NodeFail").await?;
    ensure!(
        sky::message(&job, "Failed").contains("its node failed"),
        "{}",
        sky::describe(&job)
    );
    // The other replicas are stopped.
    queue_empties(&cluster).await?;
    cluster.daemon("slurmd-1")?.restart().await?;
    cluster.resume(&node).await?;
    cluster.nodes_idle(SOON).await?;
    let mut ran: Vec<String> = fs::read_to_string(&ledger)?.lines().map(str::to_owned).collect();
    let all = ran.len();
    ran.sort();
    ran.dedup();
    ensure!(all == ran.len(), "a replica ran twice: {ran:?} of {all}");
    sky.delete("struck").await
}

pub(super) async fn a_token_that_ends_is_said_and_with_a_new_one_it_goes_on(context: &Context) -> Result<()> {
    let sky = shared(context).await?;
    let cluster = sky.lab.slurm(HPC)?;
    let short = cluster.mint(JOB_USER, Duration::from_secs(12))?;
    let file = sky.lab.dir().join("short-token");
    fs::write(&file, short)?;
    join(&sky, HPC, &file).await?;
    let ledger = ledger(&cluster, "token-ends")?;
    let run = format!("echo $SKY_RANK >> {}; sleep 25", ledger.display());
    sky.create("lasting", spec(2, &run)).await?;
    sky.cluster_until(HPC, "its token has ended", |cluster| {
        let conditions = sky::cluster_conditions(cluster);
        let ready = conditions.iter().find(|c| c.type_ == "Ready");
        ready.is_some_and(|c| c.status == "False" && c.reason == "TokenExpired")
            && !sky::is_true(&conditions, "CredentialsValid")
    })
    .await?;
    join(&sky, HPC, &cluster.token_file()).await?;
    sky.cluster_until(HPC, "Ready", |cluster| {
        sky::is_true(&sky::cluster_conditions(cluster), "Ready")
    })
    .await?;
    sky.complete("lasting").await?;
    let ran = fs::read_to_string(&ledger)?.lines().count();
    ensure!(ran == 2, "{ran} starts of 2 replicas");
    sky.delete("lasting").await
}

/// One ended and was seen to; the other ended, and was forgotten, while the operator was away.
pub(super) async fn what_slurm_forgets_is_done_if_that_was_seen_and_never_run_again(
    context: &Context,
) -> Result<()> {
    let sky = shared(context).await?;
    let cluster = sky.lab.slurm(HPC)?;
    let ledger = ledger(&cluster, "forgotten")?;
    sky.create("seen", spec(2, &format!("echo seen >> {}", ledger.display())))
        .await?;
    sky.complete("seen").await?;
    let run = format!("sleep 15; echo unseen >> {}", ledger.display());
    sky.create("unseen", spec(1, &run)).await?;
    sky.until("unseen", "running", |job| sky::phase(job) == "Running")
        .await?;
    let operator = sky.lab.host()?.daemon(operator::NAME)?;
    operator.kill().await?;
    forgotten(&cluster, &["seen-", "unseen-"]).await?;
    operator.restart().await?;
    operator::ready(&sky.lab.host()?).await?;
    let job = sky
        .until("unseen", "its end", |job| {
            sky::condition(job, "Failed").is_some_and(|failed| failed.status == "True")
        })
        .await?;
    ensure!(
        sky::condition(&job, "Failed").is_some_and(|failed| failed.reason == "DeletedOnMember"),
        "{}",
        sky::describe(&job)
    );
    let job = sky.job("seen").await?;
    ensure!(
        sky::condition(&job, "Complete").is_some_and(|complete| complete.status == "True"),
        "what is finished stays finished: {}",
        sky::describe(&job)
    );
    let ran = fs::read_to_string(&ledger)?;
    ensure!(
        ran.matches("unseen").count() == 1 && ran.lines().count() == 3,
        "{ran:?}"
    );
    sky.delete("unseen").await?;
    sky.delete("seen").await
}
