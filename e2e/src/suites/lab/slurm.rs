//! Slurm clusters are there, apart from each other, and run jobs: on nodes, on GPUs, in containers. Part of the suite
//! `lab`; `slurm_faults` hurts them.

use std::collections::BTreeSet;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::time::{Duration, SystemTime};

use anyhow::{Context as _, Result, bail, ensure};
use serde_json::{Value, json};
use tokio::process::Command;
use tokio::time::timeout;

use super::{KWOK, need_real};
use crate::cluster::run;
use crate::lab::Lab;
use crate::plan::{MemberSpec, Plan};
use crate::procfs;
use crate::runner::Context;
use crate::slot::Port;
use crate::slurm::rest::{self, Caller};
use crate::slurm::{JOB_USER, SHORT_PARTITION, SlurmCluster};

/// Two nodes, GPUs and containers.
pub(super) const FIRST: &str = "hpc-1";
/// Four nodes, a short memory, TLS and a partition of its own.
pub(super) const SECOND: &str = "hpc-2";
pub(super) const BOUND: Duration = Duration::from_secs(60);

/// The lab that all cases of Slurm share.
pub(super) async fn shared(context: &Context) -> Result<Lab> {
    need_real()?;
    let mut first = MemberSpec::slurm(FIRST).with_gpus("a100", 2);
    first.slurm.containers = true;
    let mut second = MemberSpec::slurm(SECOND).sized(4, 8, "8Gi");
    (second.slurm.min_job_age, second.slurm.https) = (2, true);
    second.slurm.extra = vec![format!(
        "PartitionName=closed Nodes={SECOND}-node-0 AllowAccounts=staff State=UP"
    )];
    context
        .lab(&Plan::bare(vec![MemberSpec::kwok(KWOK), first, second]))
        .await
}

pub(super) async fn two_slurm_clusters_and_a_kubernetes_one_stand_side_by_side(
    context: &Context,
) -> Result<()> {
    let lab = shared(context).await?;
    lab.member(KWOK)?.kubectl(&["get", "nodes"]).await?;
    ensure!(
        lab.member(FIRST).is_err() && lab.members().len() == 1,
        "a Slurm cluster is no Kubernetes cluster"
    );
    let script = "#!/bin/sh\necho $(id -un) $SLURM_CLUSTER_NAME $SLURMD_NODENAME\n";
    for (cluster, nodes, cpu) in [(lab.slurm(FIRST)?, 2, 4), (lab.slurm(SECOND)?, 4, 8)] {
        let name = format!("only-{}", cluster.name());
        let id = cluster.submit(&name, script, &json!({})).await?;
        cluster.job_until(id, "COMPLETED", BOUND).await?;
        let said = fs::read_to_string(cluster.output(&name))?;
        let said: Vec<&str> = said.split_whitespace().collect();
        let known_as = cluster.name().replace('-', "_");
        ensure!(
            said.len() == 3 && said[..2] == [JOB_USER, &known_as] && said[2].starts_with(cluster.name()),
            "the job said {said:?}"
        );
        let answer = cluster.rest("GET", "nodes", None).await?;
        let list = answer.body["nodes"].as_array().context("a list of nodes")?;
        ensure!(
            list.len() == nodes && list.iter().all(|node| node["cpus"] == cpu),
            "{} shows {list:?}",
            cluster.name()
        );
    }
    let (one, two) = (
        job_names(&lab.slurm(FIRST)?).await?,
        job_names(&lab.slurm(SECOND)?).await?,
    );
    ensure!(
        one.contains("only-hpc-1") && !one.contains("only-hpc-2") && !two.contains("only-hpc-1"),
        "the clusters are one: {one:?} {two:?}"
    );
    Ok(())
}

async fn job_names(cluster: &SlurmCluster) -> Result<BTreeSet<String>> {
    let answer = cluster.rest("GET", "jobs", None).await?;
    let jobs = answer.body["jobs"].as_array().context("a list of jobs")?;
    let names = jobs.iter().filter_map(|job| job["name"].as_str());
    Ok(names.map(str::to_owned).collect())
}

/// A ping says 200 to any token on some releases; a list does not.
pub(super) async fn a_slurm_token_is_good_on_its_own_cluster_while_it_lives(context: &Context) -> Result<()> {
    let lab = shared(context).await?;
    let (first, second) = (lab.slurm(FIRST)?, lab.slurm(SECOND)?);
    let mode = fs::metadata(first.token_file())?.permissions().mode() & 0o777;
    ensure!(mode == 0o600, "the token file has mode {mode:o}");
    let life = Duration::from_secs(60);
    let status = async |user: &str, token: &str| -> Result<u16> {
        Ok(second.rest_as(user, token, "GET", "jobs", None).await?.status)
    };
    let long_ago = SystemTime::now() - Duration::from_secs(3600);
    let table = [
        ("its own", JOB_USER, second.mint(JOB_USER, life)?, true),
        (
            "the other cluster's",
            JOB_USER,
            first.mint(JOB_USER, life)?,
            false,
        ),
        (
            "an expired",
            JOB_USER,
            second.mint_at(JOB_USER, long_ago, life)?,
            false,
        ),
        ("no", JOB_USER, String::new(), false),
        ("another user's", "daemon", second.mint(JOB_USER, life)?, false),
    ];
    for (what, user, token, good) in table {
        let status = status(user, &token).await?;
        ensure!((status == 200) == good, "{what} token: {status}");
    }
    // Through the lab's file too, and again after it was renewed.
    second.renew_token(life)?;
    let answer = second.rest("GET", "jobs", None).await?;
    ensure!(answer.status == 200, "{}", answer.status);
    Ok(())
}

/// By a client of somebody else's, who believes this authority alone.
pub(super) async fn slurmrestd_speaks_tls_where_asked(context: &Context) -> Result<()> {
    let lab = shared(context).await?;
    let (plain, cluster) = (lab.slurm(FIRST)?, lab.slurm(SECOND)?);
    ensure!(
        plain.authority().is_none()
            && plain.url().starts_with("http://")
            && cluster.url().starts_with("https://"),
        "{} and {}",
        plain.url(),
        cluster.url()
    );
    let own = cluster.authority().context("an authority")?;
    let said = tls(&cluster, &own).await?;
    ensure!(said.starts_with("HTTP/1.1 200 OK"), "{said}");
    let stranger = lab.member(KWOK)?.folder().join("pki/ca.crt");
    ensure!(
        tls(&cluster, &stranger).await.is_err(),
        "the wrong authority is believed"
    );
    let who = Caller {
        user: JOB_USER,
        token: "",
    };
    let http = rest::call(cluster.port(Port::Network), &who, "GET", "/", None).await;
    ensure!(http.is_err(), "http where https is spoken: {http:?}");
    Ok(())
}

/// A list of jobs through the proxy, as openssl receives it. The token goes by its stdin.
async fn tls(cluster: &SlurmCluster, authority: &Path) -> Result<String> {
    let token = cluster.mint(JOB_USER, Duration::from_secs(60))?;
    let request = format!(
        "GET /slurm/{}/jobs HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\nX-SLURM-USER-NAME: {JOB_USER}\r\n\
         X-SLURM-USER-TOKEN: {token}\r\n\r\n",
        cluster.api()?
    );
    let mut openssl = Command::new("openssl");
    openssl
        .args([
            "s_client",
            "-quiet",
            "-verify_return_error",
            "-verify_ip",
            "127.0.0.1",
        ])
        .arg("-CAfile")
        .arg(authority)
        .arg("-connect")
        .arg(format!("127.0.0.1:{}", cluster.port(Port::Network)));
    timeout(BOUND, run(openssl, "openssl s_client", Some(&request))).await?
}

/// Every program of the cluster, those that watch over a running job too.
pub(super) async fn a_slurm_cluster_listens_on_loopback_alone(context: &Context) -> Result<()> {
    for cluster in shared(context).await?.slurms() {
        let id = cluster
            .submit("listening", "#!/bin/sh\nsleep 600\n", &json!({}))
            .await?;
        cluster.job_until(id, "RUNNING", BOUND).await?;
        let sockets = procfs::listens(&cluster.programs());
        cluster.tool("scancel", &[&id.to_string()]).await?;
        let open: Vec<_> = sockets
            .iter()
            .filter(|socket| !socket.ip().is_loopback())
            .collect();
        ensure!(open.is_empty(), "these listen to the world: {open:?}");
        // slurmctld, slurmrestd, each slurmd.
        let least = 2 + cluster.spec().nodes as usize;
        ensure!(sockets.len() >= least, "only {sockets:?} listen");
    }
    Ok(())
}

pub(super) async fn slurm_gpus_are_counted_and_given_out(context: &Context) -> Result<()> {
    let cluster = shared(context).await?.slurm(FIRST)?;
    let shown = cluster
        .tool("scontrol", &["show", "node", &cluster.node_name(1)])
        .await?;
    ensure!(shown.contains("Gres=gpu:a100:2"), "{shown}");
    let script = "#!/bin/sh\necho $CUDA_VISIBLE_DEVICES\n";
    for (name, count, expect) in [("gpu-one", 1, "0\n"), ("gpu-both", 2, "0,1\n")] {
        let id = cluster.submit(name, script, &asking(&cluster, count)?).await?;
        cluster.job_until(id, "COMPLETED", BOUND).await?;
        let said = fs::read_to_string(cluster.output(name))?;
        ensure!(said == expect, "{name} was given {said:?}");
    }
    let none = cluster.submit("gpu-three", script, &asking(&cluster, 3)?).await;
    ensure!(
        none.as_ref()
            .is_err_and(|error| error.to_string().contains(":2014")),
        "three GPUs of a node that has two: {none:?}"
    );
    Ok(())
}

/// What asks for GPUs of a node: the field was renamed.
fn asking(cluster: &SlurmCluster, count: u32) -> Result<Value> {
    Ok(if cluster.api()?.as_str() < "v0.0.40" {
        json!({"gres": format!("gpu:a100:{count}")})
    } else {
        json!({"tres_per_node": format!("gres/gpu:a100:{count}")})
    })
}

/// Without oci.conf Slurm runs such a job on the node itself, and calls it completed.
pub(super) async fn a_slurm_job_runs_in_a_container_of_its_bundle(context: &Context) -> Result<()> {
    let lab = shared(context).await?;
    let cluster = lab.slurm(FIRST)?;
    let bundle = cluster.bundle().context("a bundle")?;
    let script = "#!/bin/sh\nid -u\nls /etc | sort\nexit 4\n";
    let id = cluster
        .submit("contained", script, &json!({"container": bundle}))
        .await?;
    cluster.job_until(id, "FAILED", BOUND).await?;
    let said = fs::read_to_string(cluster.output("contained"))?;
    ensure!(said.starts_with("0\ngroup\npasswd\n"), "it saw {said:?}");
    let shown = cluster
        .tool("scontrol", &["show", "job", &id.to_string()])
        .await?;
    ensure!(shown.contains("ExitCode=4:0"), "{shown}");
    ensure!(lab.slurm(SECOND)?.bundle().is_none(), "nobody asked for one");
    Ok(())
}

/// With Slurm's own codes, which operators go by. Without slurmdbd no account is known, whatever a partition allows.
pub(super) async fn what_a_slurm_cluster_lacks_is_refused(context: &Context) -> Result<()> {
    let cluster = shared(context).await?.slurm(SECOND)?;
    for (code, more) in [
        (2000, json!({"partition": "nowhere"})),
        (2045, json!({"partition": "closed", "account": "guests"})),
        (2014, json!({"memory_per_node": 9000})),
        (2051, json!({"partition": SHORT_PARTITION, "time_limit": 5})),
    ] {
        let answer = cluster.submit("refused", "#!/bin/sh\ntrue\n", &more).await;
        let Err(error) = answer else {
            bail!("{more} was accepted")
        };
        ensure!(error.to_string().contains(&format!(":{code}")), "{more}: {error}");
    }
    Ok(())
}
