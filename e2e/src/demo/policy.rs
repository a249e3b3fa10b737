//! Second part: a FilterPolicy keeps the jobs that it matches away from a cluster.

use anyhow::{Result, ensure};

use super::claims::Claims;
use super::facts::{self, Job};
use super::one_job::ends;
use super::stage::Stage;
use super::{facts::run_for, new_name};

/// The original's document, as it was; from the checkout's root.
const POLICY: &str = "e2e/assets/demo/remove-mluo-cloud.json";
const EXCLUDED: &str = "mluo-cloud";

pub async fn show(stage: &Stage, claims: &mut Claims) -> Result<()> {
    stage.heading("2. A FilterPolicy: never on mluo-cloud");
    stage.run(&format!("cat {POLICY}")).await?;
    stage.run(&format!("kubectl sky apply -f {POLICY}")).await?;
    stage.run("kubectl sky get policies").await?;
    let name = new_name();
    let env = run_for(5);
    stage
        .run(&format!(
            "kubectl sky create job {name} --labels my_app testing --resources cpu 1{env} --run \"sleep 5\""
        ))
        .await?;
    stage
        .watch(&format!("kubectl get skyj {name} --watch"), ends)
        .await?;
    let job = Job::read(stage.lab(), &name).await?;
    claims.check(
        "2: the job labelled my_app=testing is Complete",
        job.is_complete(),
    );
    let created = facts::jobs_created(stage.lab(), &name)?;
    claims.check(
        format!("2: it ran on {}, never on {EXCLUDED}", job.summary()),
        never_there(&job, created.get(EXCLUDED).copied()),
    );

    stage.say("A job that may only run where the policy forbids it waits, and says why:");
    let name = new_name();
    stage
        .run(&format!("{} | kubectl apply -f -", pinned(&name)))
        .await?;
    stage
        .run(&format!(
            "kubectl wait skyj/{name} --for=condition=Scheduled=False --timeout=30s"
        ))
        .await?;
    let message = stage
        .run(&format!(
            "kubectl get skyj {name} -o jsonpath='{{.status.conditions[?(@.type==\"Scheduled\")].message}}{{\"\\n\"}}'"
        ))
        .await?;
    claims.check(
        format!("2: a job pinned to {EXCLUDED} waits, and its message names the policy"),
        names_policy(&message),
    );
    stage.run(&format!("kubectl sky delete job {name}")).await?;
    Ok(())
}

/// A shell command that prints a job which only the excluded cluster would take.
fn pinned(name: &str) -> String {
    let document = format!(
        "{{apiVersion: skymanager.io/v1alpha1, kind: SkyJob, metadata: {{name: {name}, labels: {{my_app: \
         testing}}}}, spec: {{run: sleep 5, placement: {{filters: [{{name: only-there, matchLabels: \
         {{skymanager.io/cluster-name: {EXCLUDED}}}}}]}}}}}}"
    );
    format!("echo '{document}'")
}

fn never_there(job: &Job, created: Option<usize>) -> Result<()> {
    ensure!(!job.placement().is_empty(), "it was placed nowhere");
    ensure!(
        !job.placement().contains_key(EXCLUDED),
        "it is on {}",
        job.summary()
    );
    ensure!(
        created == Some(0),
        "Jobs created on {EXCLUDED} by its audit log: {created:?}"
    );
    Ok(())
}

fn names_policy(message: &str) -> Result<()> {
    ensure!(message.contains("remove-mluo-cloud"), "it says {message:?}");
    Ok(())
}
