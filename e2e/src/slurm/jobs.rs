//! Jobs of a Slurm cluster as the lab itself submits and watches them, with no part of the operator: by REST in, by
//! Slurm's tools out. Used by suites.

use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Result, anyhow, bail};
use serde_json::{Value, json};

use super::version::Version;
use super::{PARTITION, SlurmCluster};
use crate::wait;

/// States of jobs that are not over.
const GOING_ON: [&str; 6] = [
    "PENDING",
    "CONFIGURING",
    "RUNNING",
    "COMPLETING",
    "SUSPENDED",
    "REQUEUED",
];

impl SlurmCluster {
    /// Submits a job of one task by REST and returns its id. `more` goes into the job's description.
    pub async fn submit(&self, name: &str, script: &str, more: &Value) -> Result<u64> {
        let body = self.submission(name, script, more)?;
        let answer = self.rest("POST", "job/submit", Some(&body)).await?;
        match answer.body["job_id"].as_u64() {
            Some(id) if id > 0 => Ok(id),
            _ => bail!("{} refused {name}: {} {}", self.name, answer.status, answer.body),
        }
    }

    /// The body of such a request.
    pub fn submission(&self, name: &str, script: &str, more: &Value) -> Result<Value> {
        let mut job = json!({
            "name": name,
            "partition": PARTITION,
            "tasks": 1,
            "current_working_directory": self.work_dir(),
            "standard_output": self.output(name),
        });
        for (key, value) in more.as_object().into_iter().flatten() {
            job[key] = value.clone();
        }
        Ok(Version::installed()?.submission(job, script))
    }

    /// Where a job that was submitted by [`Self::submit`] prints.
    pub fn output(&self, name: &str) -> PathBuf {
        self.work_dir().join(format!("{name}.out"))
    }

    /// The state of a job as squeue has it, such as PENDING; an error when Slurm does not know the job.
    pub async fn job_state(&self, id: u64) -> Result<String> {
        let id = id.to_string();
        let arguments = ["--noheader", "--states=all", "--format=%T", "--jobs", &id];
        let state = self.tool("squeue", &arguments).await?.trim().to_owned();
        if state.is_empty() {
            bail!("{} knows no job {id}", self.name);
        }
        Ok(state)
    }

    /// Waits until a job is in this state of squeue's; ends early when it is over in another.
    pub async fn job_until(&self, id: u64, wanted: &str, bound: Duration) -> Result<()> {
        let what = format!("job {id} of {} to be {wanted}", self.name);
        wait::until(&what, bound, async || match self.job_state(id).await? {
            state if state == wanted => Ok(()),
            state if GOING_ON.contains(&state.as_str()) => bail!("{state}"),
            state => Err(wait::hopeless(anyhow!("{what}: it ended {state}"))),
        })
        .await
    }

    /// What slurmctld writes about each job that ended, a line each: all that is known after `min_job_age`.
    pub fn finished_jobs(&self) -> PathBuf {
        self.folder().join("log/finished-jobs.txt")
    }
}
