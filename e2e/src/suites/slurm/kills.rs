//! Two Slurm clusters and two of Kubernetes, two hundred jobs, and the daemons of Slurm killed among them: each replica runs
//! once, by a ledger that it writes itself, and what Slurm wrote down agrees. Part of the suite `slurm`.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use futures::{StreamExt, TryStreamExt, stream};
use serde_json::{Value, json};
use sky_crds::SkyJob;

use super::{HPC, joined, ledger, queue_empties};
use crate::plan::{MemberSpec, Plan};
use crate::runner::Context;
use crate::suites::sky::{self, Sky, need_real};
use crate::wait;

const HPC_2: &str = "hpc-2";
const CLOUDS: [&str; 2] = ["cloud-1", "cloud-2"];
const JOBS: usize = 200;
/// Which daemon of which cluster is killed, when that many jobs are complete.
const KILLS: [(usize, &str, &str); 5] = [
    (5, HPC, "slurmctld"),
    (30, HPC_2, "slurmrestd"),
    (60, HPC_2, "slurmctld"),
    (90, HPC, "slurmrestd"),
    (120, HPC, "slurmctld"),
];
const BOUND: Duration = Duration::from_secs(300);

/// A member and a rank of a job.
type Runs = BTreeMap<(String, String), usize>;

pub(super) async fn two_hundred_jobs_on_four_clusters_outlive_five_kills_and_run_once(
    context: &Context,
) -> Result<()> {
    let sky = four(context).await?;
    let ledger = Ledger(ledger(&sky.lab.slurm(HPC)?, "ledger")?);
    let names = (0..JOBS).map(|number| format!("many-{number}"));
    let created = stream::iter(names.enumerate()).map(|(number, name)| {
        let spec = spec(number, &ledger);
        let sky = &sky;
        async move { sky.create(&name, spec).await }
    });
    created
        .buffer_unordered(10)
        .try_for_each(async |()| Ok(()))
        .await?;
    for (complete, cluster, program) in KILLS {
        wait::until("enough jobs to be complete", BOUND, async || {
            let jobs = sky.all().await?;
            let done = jobs.iter().filter(|job| sky::phase(job) == "Complete").count();
            ensure!(done >= complete, "{done} of {complete}");
            Ok(())
        })
        .await?;
        sky.lab.slurm(cluster)?.daemon(program)?.restart().await?;
    }
    let jobs = sky.all_complete(BOUND).await?;
    ensure!(jobs.len() == JOBS, "{} jobs", jobs.len());
    once(&sky, &ledger, &jobs).await?;
    sky.delete_all().await?;
    sky.all_gone(BOUND).await?;
    for name in [HPC, HPC_2] {
        queue_empties(&sky.lab.slurm(name)?).await?;
    }
    context.remark(format!("{JOBS} jobs, {} kills", KILLS.len()));
    Ok(())
}

async fn four(context: &Context) -> Result<Sky> {
    need_real()?;
    let clouds = CLOUDS.map(|name| MemberSpec::kwok(name).sized(2, 8, "8Gi"));
    let hpcs = [HPC, HPC_2].map(|name| MemberSpec::slurm(name).sized(2, 16, "8Gi"));
    let plan = Plan {
        operator: true,
        ..Plan::bare(clouds.into_iter().chain(hpcs).collect())
    };
    joined(context, &plan, &[HPC, HPC_2]).await
}

/// One replica; three of four jobs want a Slurm cluster. A script runs nowhere on simulated nodes: what ran there is told by
/// their pods.
fn spec(number: usize, ledger: &Ledger) -> Value {
    let first = [HPC, HPC_2, HPC, CLOUDS[number / 4 % 2]][number % 4];
    let labels = json!({"skymanager.io/cluster-name": first});
    let run = format!(
        "echo \"$SKY_CLUSTER $SKY_JOB-$SKY_RANK\" >> {}",
        ledger.0.display()
    );
    json!({
        "replicas": 1, "run": run, "slurm": {}, "resources": {"cpu": 1, "memory": "64Mi"},
        "placement": {"preferences": [{"matchLabels": labels, "weight": 100}]},
    })
}

/// Each replica ran once where the status has it: by its own line on Slurm, by its pod on Kubernetes; and what Slurm itself
/// wrote down is as many replicas completed.
async fn once(sky: &Sky, ledger: &Ledger, jobs: &[SkyJob]) -> Result<()> {
    let ran = ledger.read()?;
    let mut placed = Runs::new();
    let mut on_slurm: BTreeMap<String, usize> = BTreeMap::new();
    for job in jobs {
        let name = job.metadata.name.clone().unwrap_or_default();
        let summary = sky::summary(job);
        let (cluster, replicas) = summary.split_once(':').with_context(|| sky::describe(job))?;
        ensure!(replicas == "1", "{name}: {}", sky::describe(job));
        if CLOUDS.contains(&cluster) {
            let uid = job.metadata.uid.clone().unwrap_or_default();
            let pods = sky.pods(&uid, cluster).await?;
            ensure!(pods.len() == 1, "{name} has {} pods on {cluster}", pods.len());
        } else {
            placed.insert((cluster.to_owned(), format!("{name}-0")), 1);
            *on_slurm.entry(cluster.to_owned()).or_default() += 1;
        }
    }
    let wrong: Vec<_> = ran
        .iter()
        .filter(|(key, count)| placed.get(*key) != Some(*count))
        .collect();
    ensure!(wrong.is_empty(), "ran elsewhere or not once: {wrong:?}");
    let missing: Vec<_> = placed.keys().filter(|key| !ran.contains_key(*key)).collect();
    ensure!(missing.is_empty(), "complete, but never ran: {missing:?}");
    ensure!(
        on_slurm.len() == 2 && on_slurm.values().all(|count| *count >= JOBS / 10),
        "Slurm got too little to show anything: {on_slurm:?}"
    );
    for (name, count) in on_slurm {
        let finished = fs::read_to_string(sky.lab.slurm(&name)?.finished_jobs())?;
        let completed: BTreeSet<&str> = finished
            .lines()
            .filter(|line| line.contains("JobState=COMPLETED"))
            .filter_map(|line| line.split(' ').find_map(|word| word.strip_prefix("Name=")))
            .filter(|name| name.starts_with("many-"))
            .collect();
        ensure!(
            completed.len() == count,
            "{name} wrote down {} complete of {count}",
            completed.len()
        );
    }
    Ok(())
}

/// A file that every replica on Slurm adds a line to.
struct Ledger(PathBuf);

impl Ledger {
    fn read(&self) -> Result<Runs> {
        let mut runs = Runs::new();
        for line in fs::read_to_string(&self.0)?.lines() {
            let (cluster, rank) = line
                .split_once(' ')
                .with_context(|| format!("a line {line:?} in the ledger"))?;
            *runs.entry((cluster.to_owned(), rank.to_owned())).or_default() += 1;
        }
        Ok(runs)
    }
}
