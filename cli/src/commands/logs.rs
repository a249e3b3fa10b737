//! `kubectl sky logs`: what the replicas of a workload wrote, wherever they ran. Steps: the job → its shares and ranks →
//! the members' pods → their logs. `deployment` does the same for deployments, whose replicas have no ranks.

mod deployment;
mod files;
mod growing;
mod select;
mod stream;

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use clap::ValueEnum as _;
use kube::{Api, ResourceExt as _};
use sky_crds::{SkyCluster, SkyJob};
use tokio::time::sleep;

use super::OPERATOR_NAMESPACE;
use crate::client::{self, Global, Host, Patience};
use crate::errors::{At, usage};
use crate::kinds::{Kind, deployment_name, job_name};
use crate::{member, output};
use select::{Replica, Source, Which};

/// Replicas that are printed without being asked for.
const MOST: usize = 20;
/// Time between two looks at what has not started.
const POLL: Duration = Duration::from_millis(500);

/// Print what the replicas of a job or a deployment wrote.
///
/// Prints every replica, of a job in the order of the ranks; with several, each line says whose it is. The members are reached by
/// a context of your kubeconfig for the same server, else by the member's Secret on the host, if you may read it.
#[derive(clap::Args, Debug)]
pub struct Args {
    /// The workload: job/NAME or NAME, or deploy/NAME
    #[arg(value_name = "job/NAME")]
    workload: String,
    /// Only the replica of this rank
    #[arg(long, value_name = "N", conflicts_with = "all")]
    rank: Option<u32>,
    /// Only replicas on this cluster
    #[arg(long, value_name = "NAME")]
    cluster: Option<String>,
    /// Only this pod of a deployment
    #[arg(long, value_name = "NAME", conflicts_with_all = ["all", "rank"])]
    pod: Option<String>,
    /// Go on as more is written, until the replicas end; waits for what has not started
    #[arg(short, long)]
    follow: bool,
    /// Only the last lines of each replica
    #[arg(long, value_name = "LINES", value_parser = clap::value_parser!(i64).range(0..))]
    tail: Option<i64>,
    /// Every replica, also more than 20
    #[arg(long)]
    all: bool,
    /// Say whose each line is, also for a single replica
    #[arg(long)]
    prefix: bool,
    /// Container of the pods [default: the first]
    #[arg(short, long, value_name = "NAME")]
    container: Option<String>,
    /// Namespace of the operator on the host
    #[arg(long, value_name = "NAMESPACE", default_value = OPERATOR_NAMESPACE)]
    operator_namespace: String,
}

/// Finds and prints the logs.
///
/// # Errors
/// When the job has nothing to show, or a member cannot be reached.
pub async fn run(global: &Global, args: Args) -> anyhow::Result<()> {
    let workload = workload(&args)?;
    let host = client::host(global, Patience::Calls).await?;
    let name = match workload {
        (Kind::Deployment, name) => return deployment::run(&host, &name, &args).await,
        (_, name) => name,
    };
    let job = placed_job(&host, &name, &args).await?;
    let replicas = wanted(&job, &args)?;
    let options = stream::Options {
        follow: args.follow,
        tail: args.tail,
        container: args.container.clone(),
        prefix: args.prefix || replicas.len() > 1,
    };
    let files = from_files(&host, replicas, &options).await?;
    let (printed, replicas) = (files.printed, files.elsewhere);
    let growing = growing::follow(&host, Some(&name), files.followed, &options);
    if replicas.is_empty() {
        let written = growing.await?;
        anyhow::ensure!(printed + written > 0, "no replica of job {name} has logs");
        return Ok(());
    }
    let (sources, unreachable) = sources(&host, &job, &replicas, &args).await?;
    let (written, missing) = if args.follow {
        tokio::try_join!(growing, stream::follow(sources, &options))?
    } else {
        (0, stream::print(sources, &options).await?)
    };
    let any = printed + written > 0 || missing < replicas.len();
    anyhow::ensure!(any, "no replica of job {name} has logs");
    anyhow::ensure!(
        unreachable == 0,
        "the logs of {unreachable} clusters of job {name} are missing"
    );
    Ok(())
}

/// The kind and name in `job/NAME`, `deploy/NAME`, their spellings, or of the job `NAME`.
fn workload(args: &Args) -> anyhow::Result<(Kind, String)> {
    let text = args.workload.as_str();
    let kind = match text.split_once('/') {
        None => Kind::Job,
        Some((word, _)) => Kind::from_str(word, true).unwrap_or(Kind::Cluster),
    };
    match kind {
        Kind::Job if args.pod.is_some() => Err(usage(
            "--pod is for deployments; choose a replica of a job by --rank",
        )),
        Kind::Job => Ok((kind, job_name(text)?)),
        Kind::Deployment if args.rank.is_some() => Err(usage(
            "--rank is for jobs; choose a replica of a deployment by --pod",
        )),
        Kind::Deployment => Ok((kind, deployment_name(text)?)),
        Kind::Cluster | Kind::Policy | Kind::Namespace => Err(usage(format!(
            "logs are of jobs and deployments; {text:?} is none"
        ))),
    }
}

/// The job, once it is placed; only with -f it is waited for.
async fn placed_job(host: &Host, name: &str, args: &Args) -> anyhow::Result<SkyJob> {
    let api: Api<SkyJob> = Api::namespaced(host.connection.client.clone(), &host.namespace);
    let mut last = None;
    let mut told = None;
    loop {
        let job = api
            .get(name)
            .await
            .at(&host.connection, format!("get job {name}"))?;
        if !select::shares(&job).is_empty() {
            return Ok(job);
        }
        let reason = select::why_unplaced(&job);
        if !args.follow || select::is_over(&job) {
            anyhow::bail!("job {name} has no replicas on any cluster: {reason}");
        }
        // What is so for a moment only is not worth a line.
        if last.as_ref() == Some(&reason) && told != last {
            output::note(&format!("waiting for job {name}: {reason}"));
            told = Some(reason.clone());
        }
        last = Some(reason);
        sleep(POLL).await;
    }
}

fn wanted(job: &SkyJob, args: &Args) -> anyhow::Result<Vec<Replica>> {
    let mut replicas = select::replicas(job)?;
    if let Some(cluster) = &args.cluster {
        replicas.retain(|replica| replica.cluster == *cluster);
        let name = job.name_any();
        anyhow::ensure!(
            !replicas.is_empty(),
            "job {name} has no replica on cluster {cluster}"
        );
    }
    match args.rank {
        Some(rank) => {
            let all = replicas.len();
            replicas.retain(|replica| replica.rank == rank);
            anyhow::ensure!(
                !replicas.is_empty(),
                "job {} has no replica of rank {rank} on a cluster; {all} are placed",
                job.name_any()
            );
        }
        None => anyhow::ensure!(
            args.all || replicas.len() <= MOST,
            "job {} has {} replicas; choose one by --rank N, or print them by --all",
            job.name_any(),
            replicas.len()
        ),
    }
    Ok(replicas)
}

/// What became of replicas on Slurm clusters.
struct Files {
    /// Replicas whose output was printed.
    printed: usize,
    /// Files that are followed instead.
    followed: Vec<growing::File>,
    /// Replicas on other clusters.
    elsewhere: Vec<Replica>,
}

/// Prints what replicas on Slurm clusters wrote, or finds the files to follow.
async fn from_files(host: &Host, replicas: Vec<Replica>, options: &stream::Options) -> anyhow::Result<Files> {
    let names: BTreeSet<String> = replicas.iter().map(|replica| replica.cluster.clone()).collect();
    let clusters: Api<SkyCluster> = Api::all(host.connection.client.clone());
    let mut left = replicas;
    let (mut printed, mut followed, mut failures) = (0, Vec::new(), Vec::new());
    for name in names {
        // One that cannot be read is told of with the others, which have pods.
        let Ok(cluster) = clusters.get(&name).await else {
            continue;
        };
        if !files::concerns(&cluster) {
            continue;
        }
        let (there, elsewhere): (Vec<_>, Vec<_>) =
            left.into_iter().partition(|replica| replica.cluster == name);
        left = elsewhere;
        let there: Vec<&Replica> = there.iter().collect();
        if options.follow {
            match files::followed(&cluster, &there) {
                Ok(files) => followed.extend(files),
                Err(error) => failures.push(format!("{error:#}")),
            }
            continue;
        }
        match files::print(&cluster, &there, options) {
            Ok(read) => printed += read,
            Err(error) => failures.push(format!("{error:#}")),
        }
    }
    let any = printed > 0 || !followed.is_empty();
    if left.is_empty() && !any && !failures.is_empty() {
        anyhow::bail!("{}", failures.join("; "));
    }
    for failure in &failures {
        output::note(&format!("warning: {failure}"));
    }
    Ok(Files {
        printed,
        followed,
        elsewhere: left,
    })
}

/// Where each replica's log comes from, and how many members cannot be reached; such a one takes only its own
/// replicas' logs away.
async fn sources(
    host: &Host,
    job: &SkyJob,
    replicas: &[Replica],
    args: &Args,
) -> anyhow::Result<(Vec<Source>, usize)> {
    let names: BTreeSet<&str> = replicas.iter().map(|replica| replica.cluster.as_str()).collect();
    let clusters: Api<SkyCluster> = Api::all(host.connection.client.clone());
    let uid = job.uid().unwrap_or_default();
    let mut reached = BTreeMap::new();
    let mut failures = Vec::new();
    for name in &names {
        let pods = match clusters
            .get(name)
            .await
            .at(&host.connection, format!("get cluster {name}"))
        {
            Ok(cluster) => {
                member::pods(host, &args.operator_namespace, &cluster, &host.namespace, &uid).await
            }
            Err(error) => Err(error),
        };
        match pods {
            Ok(pods) => {
                reached.insert((*name).to_owned(), pods);
            }
            Err(error) => failures.push(format!("{error:#}")),
        }
    }
    if reached.is_empty() {
        anyhow::bail!("{}", failures.join("; "));
    }
    failures
        .iter()
        .for_each(|failure| output::note(&format!("warning: {failure}")));
    let counts = job.status.as_ref().map_or(&[][..], |status| &status.clusters);
    let sources = replicas
        .iter()
        .filter_map(|replica| {
            let pods = reached.get(&replica.cluster)?;
            Some(Source {
                which: Which::Rank(replica.clone()),
                connection: pods.connection.clone(),
                namespace: host.namespace.clone(),
                uid: uid.clone(),
                pod: select::pod(replica, &pods.pods).cloned(),
                told: select::cluster_reason(counts, &replica.cluster),
            })
        })
        .collect();
    Ok((sources, failures.len()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_workload_is_named_as_kubectl_names_it() {
        use clap::Parser as _;
        #[derive(clap::Parser)]
        struct Line {
            #[command(flatten)]
            args: Args,
        }
        let read = |line: &str| {
            let words = std::iter::once("logs").chain(line.split(' '));
            workload(
                &Line::try_parse_from(words)
                    .unwrap_or_else(|error| panic!("{line}: {error}"))
                    .args,
            )
        };
        for (line, kind) in [
            ("a", Kind::Job),
            ("job/a", Kind::Job),
            ("skyjob.skymanager.io/a --rank 1", Kind::Job),
            ("deploy/a", Kind::Deployment),
            ("skyd/a --pod x", Kind::Deployment),
        ] {
            assert_eq!(read(line).unwrap(), (kind, "a".to_owned()), "{line}");
        }
        for line in [
            "pod/a",
            "job/",
            "skyc/a",
            "job/a --pod x",
            "skyd/a --rank 1",
            "skyd/",
        ] {
            assert!(read(line).is_err(), "{line}");
        }
    }
}
