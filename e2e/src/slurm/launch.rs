//! The daemons of a Slurm cluster, in the foreground as children of the lab like any other, and what it takes to
//! call them ready. Called by `slurm`; what they leave behind, `sweep` takes away.

use std::collections::BTreeMap;
use std::fs;
use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context, Result, anyhow, bail};
use futures::future::try_join_all;

use super::version::Version;
use super::{PARTITION, REST_USER, SlurmCluster, account, accounting, tls};
use crate::daemon::Daemon;
use crate::machine;
use crate::network::{self, Network};
use crate::slot::Port;
use crate::sweep::outside::slurm_cgroup;

const BOUND: Duration = Duration::from_secs(60);
/// What a shell does before it becomes a daemon: it enters the cgroup, so that no job can slip out.
const ENTER: &str = r#"echo $$ >"$0" && exec "$@""#;

/// Starts everything and waits until slurmrestd answers and all nodes are idle.
pub(super) async fn start(cluster: &SlurmCluster) -> Result<()> {
    let cgroup = slurm_cgroup(&cluster.lab, &cluster.name);
    fs::create_dir_all(&cgroup).with_context(|| format!("make {}", cgroup.display()))?;
    let launch = |name: &str, command: Vec<String>, env: &[(&str, &str)]| {
        let env = env
            .iter()
            .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
        let entered = [
            vec![
                "/bin/sh".to_owned(),
                "-c".to_owned(),
                ENTER.to_owned(),
                cgroup.join("cgroup.procs").display().to_string(),
            ],
            command,
        ];
        Daemon::new(&cluster.lab, &cluster.name, name).start(&entered.concat(), &env.collect())
    };
    launch("munged", munged(cluster)?, &[])?;
    munge_ready(cluster).await?;
    accounting::start(cluster, launch).await?;
    launch("slurmctld", controller(cluster)?, &[])?;
    for index in 0..cluster.spec.nodes {
        launch(&format!("slurmd-{index}"), node(cluster, index)?, &[])?;
    }
    // Any value makes slurmrestd start without a token of its own.
    launch("slurmrestd", rest(cluster)?, &[("SLURM_JWT", REST_USER)])?;
    if let Some(command) = tls::command(cluster)? {
        launch("stunnel", command, &[])?;
        tls::ready(cluster, BOUND).await?;
    }
    start_network(cluster).await?;
    controller_ready(cluster, BOUND).await?;
    tokio::try_join!(rest_ready(cluster, BOUND), nodes_idle(cluster, BOUND))?;
    Ok(())
}

/// Waits until slurmctld answers; ends early when it ends.
pub(super) async fn controller_ready(cluster: &SlurmCluster, bound: Duration) -> Result<()> {
    let daemon = cluster.daemon("slurmctld")?;
    daemon
        .ready(bound, async || {
            let said = cluster.tool("scontrol", &["ping"]).await?;
            if said.contains(" is UP") {
                Ok(())
            } else {
                bail!("{said}")
            }
        })
        .await
}

/// Waits until slurmrestd tells what only slurmctld knows: a ping says 200 to any token.
pub(super) async fn rest_ready(cluster: &SlurmCluster, bound: Duration) -> Result<()> {
    let daemon = cluster.daemon("slurmrestd")?;
    daemon
        .ready(bound, async || {
            let answer = cluster.rest("GET", "partitions", None).await?;
            match answer.status {
                200 => Ok(()),
                status => bail!("GET partitions: {status} {}", answer.body),
            }
        })
        .await
}

/// Waits until every node is idle; ends early when a slurmd ends.
pub(super) async fn nodes_idle(cluster: &SlurmCluster, bound: Duration) -> Result<()> {
    let arguments = ["--noheader", "--Node", "--states=idle", "--format=%N"];
    let partition = format!("--partition={PARTITION}");
    let wanted = usize::try_from(cluster.spec.nodes)?;
    let idle = async || {
        let said = cluster
            .tool("sinfo", &[&arguments[..], &[&partition]].concat())
            .await?;
        let count = said.lines().count();
        if count == wanted {
            Ok(())
        } else {
            bail!("{count} of {wanted} nodes idle")
        }
    };
    let daemons: Vec<Daemon> = (0..cluster.spec.nodes)
        .map(|index| cluster.daemon(&format!("slurmd-{index}")))
        .collect::<Result<_>>()?;
    try_join_all(daemons.iter().map(|daemon| daemon.ready(bound, idle))).await?;
    Ok(())
}

async fn munge_ready(cluster: &SlurmCluster) -> Result<()> {
    let socket = munge_socket(cluster);
    cluster
        .daemon("munged")?
        .ready(BOUND, async || {
            tokio::net::UnixStream::connect(&socket).await?;
            Ok(())
        })
        .await
}

async fn start_network(cluster: &SlurmCluster) -> Result<()> {
    let daemon = Daemon::new(&cluster.lab, &cluster.name, "network");
    let program = cluster.lab.join("bin/sky-e2e");
    let server = if cluster.spec.slurm.https {
        Port::SlurmTls
    } else {
        Port::Slurmrestd
    };
    let ports = (cluster.port(Port::Network), cluster.port(server));
    daemon.start(
        &network::proxy_command(&program, &cluster.folder(), ports, false),
        &BTreeMap::new(),
    )?;
    daemon
        .ready(Duration::from_secs(10), async || {
            cluster.network(Network::Pass).await
        })
        .await
}

pub(super) fn munge_socket(cluster: &SlurmCluster) -> PathBuf {
    cluster.home().join("munge/socket")
}

fn munged(cluster: &SlurmCluster) -> Result<Vec<String>> {
    let folder = cluster.folder();
    let file = |name: &str| folder.join(name).display().to_string();
    Ok(vec![
        program("munged")?,
        "--foreground".to_owned(),
        format!("--key-file={}", cluster.key_path("munge").display()),
        format!("--socket={}", munge_socket(cluster).display()),
        format!("--pid-file={}", file("munged.pid")),
        format!("--seed-file={}", file("munged.seed")),
        "--num-threads=2".to_owned(),
    ])
}

fn controller(cluster: &SlurmCluster) -> Result<Vec<String>> {
    Ok(vec![
        program("slurmctld")?,
        "-D".to_owned(),
        "-f".to_owned(),
        cluster.conf().display().to_string(),
    ])
}

fn node(cluster: &SlurmCluster, index: u32) -> Result<Vec<String>> {
    Ok(vec![
        program("slurmd")?,
        "-D".to_owned(),
        "-f".to_owned(),
        cluster.conf().display().to_string(),
        "-N".to_owned(),
        cluster.node_name(index),
    ])
}

/// slurmrestd refuses root and what belongs to root's groups, and drops no rights itself.
fn rest(cluster: &SlurmCluster) -> Result<Vec<String>> {
    let user = account(REST_USER)?;
    let mut command = vec![
        program("setpriv")?,
        format!("--reuid={}", user.uid),
        format!("--regid={}", user.gid),
        "--clear-groups".to_owned(),
        "--no-new-privs".to_owned(),
        program("slurmrestd")?,
        "-f".to_owned(),
        cluster.conf().display().to_string(),
        "-a".to_owned(),
        "rest_auth/jwt".to_owned(),
    ];
    command.extend(Version::installed()?.plugins(cluster.spec.slurm.accounting));
    command.push(format!("127.0.0.1:{}", cluster.port(Port::Slurmrestd)));
    command.push(format!("unix:{}", cluster.rest_socket().display()));
    Ok(command)
}

pub(super) fn program(name: &str) -> Result<String> {
    let path = machine::find(name).ok_or_else(|| anyhow!("no {name}"))?;
    Ok(path.display().to_string())
}
