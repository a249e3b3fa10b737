//! First part: one job is placed by itself, watched to its end, its log shown.

use anyhow::{Result, ensure};

use super::claims::Claims;
use super::facts::{self, Job};
use super::new_name;
use super::stage::Stage;

pub async fn show(stage: &Stage, claims: &mut Claims) -> Result<()> {
    stage.heading("1. One job: Sky Manager chooses the cluster");
    let name = new_name();
    let env = facts::run_for(10);
    stage
        .run(&format!(
            "kubectl sky create job {name} --resources cpu 1{env} --run \"echo Sky!; sleep 10\""
        ))
        .await?;
    stage
        .watch(&format!("kubectl get skyj {name} --watch"), ends)
        .await?;
    stage.run(&format!("kubectl sky get job {name}")).await?;

    let job = Job::read(stage.lab(), &name).await?;
    claims.check("1: the job is Complete", job.is_complete());
    let created = facts::jobs_created(stage.lab(), &name)?;
    claims.check(
        format!(
            "1: it was placed by itself, on {}, and created there once",
            job.summary()
        ),
        placed_once(&job, created.values().sum()),
    );
    let claim = "1: its log is `Sky!`";
    match facts::really_prints(stage.lab(), &job) {
        Ok(()) => {
            let log = stage.run(&format!("kubectl sky logs {name}")).await?;
            claims.check(claim, is_sky(&log));
        }
        Err(why) => {
            stage.say(&format!("`kubectl sky logs {name}` is left out: {why}"));
            claims.skip(claim, why);
        }
    }
    Ok(())
}

/// Whether a line of `kubectl get skyj --watch` shows a job that has ended.
pub fn ends(line: &str) -> bool {
    phase_is(line, &["Complete", "Failed"])
}

/// Whether the second column of a line is one of `phases`.
fn phase_is(line: &str, phases: &[&str]) -> bool {
    line.split_whitespace()
        .nth(1)
        .is_some_and(|phase| phases.contains(&phase))
}

fn placed_once(job: &Job, created: usize) -> Result<()> {
    let placement = job.placement();
    ensure!(placement.len() == 1, "it is on {}", job.summary());
    ensure!(created == 1, "{created} Jobs were created on the members");
    Ok(())
}

fn is_sky(log: &str) -> Result<()> {
    ensure!(log == "Sky!\n", "the log is {log:?}");
    Ok(())
}
