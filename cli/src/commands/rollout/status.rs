//! The state of a rollout: one line for each change of it, until it is done, has stopped, or time is up.

use std::time::Duration;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;
use sky_crds::{SkyDeployment, SkyDeploymentStatus};
use tokio::time::{Instant, sleep};

use super::{Named, Target};
use crate::output;

/// Time between two looks.
const POLL: Duration = Duration::from_millis(500);

/// Wait until a deployment's template is rolled out.
///
/// Prints a line whenever the counts change. Ends with code 1 when the rollout has stopped or time is up.
#[derive(clap::Args, Debug)]
pub(super) struct Args {
    #[command(flatten)]
    pub(super) named: Named,
    /// Wait until it is done; false: tell the present state
    #[arg(long, value_name = "BOOL", default_value_t = true, action = clap::ArgAction::Set,
          num_args = 0..=1, require_equals = true, default_missing_value = "true")]
    watch: bool,
    /// Longest wait; 0: for ever
    #[arg(long, value_name = "SECONDS", default_value_t = 0)]
    timeout: u64,
}

/// What a look at a deployment finds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Found {
    /// All replicas are of the present template and available.
    Done,
    /// Not yet; how far it is.
    Waiting(String),
    /// It will not go on by itself; why.
    Stopped(String),
}

pub(super) async fn run(target: &Target, args: &Args) -> anyhow::Result<()> {
    let end = (args.timeout > 0).then(|| Instant::now() + Duration::from_secs(args.timeout));
    let reference = target.reference();
    let mut told = None;
    loop {
        let words = match judge(&target.get().await?) {
            Found::Done => {
                output::line(&format!("{reference} successfully rolled out"))?;
                return Ok(());
            }
            Found::Stopped(why) => anyhow::bail!("the rollout of {reference} has stopped: {why}"),
            Found::Waiting(words) => words,
        };
        if told.as_ref() != Some(&words) {
            output::line(&format!("Waiting for {reference}: {words}"))?;
        }
        if !args.watch {
            return Ok(());
        }
        if end.is_some_and(|end| Instant::now() >= end) {
            anyhow::bail!("{reference} is not rolled out after {} s: {words}", args.timeout);
        }
        told = Some(words);
        sleep(POLL).await;
    }
}

pub(super) fn judge(deployment: &SkyDeployment) -> Found {
    let status = deployment.status.clone().unwrap_or_default();
    let generation = deployment.metadata.generation.unwrap_or(0);
    if status.observed_generation.unwrap_or(-1) < generation {
        return Found::Waiting("the operator has not looked at the change yet".to_owned());
    }
    let told = |kind: &str, value: &str| {
        let mut conditions = status.conditions.iter();
        conditions.find(|condition| condition.type_ == kind && condition.status == value)
    };
    let words = |condition: &Condition| format!("{}: {}", condition.reason, condition.message);
    if let Some(stalled) = told("Stalled", "True") {
        return Found::Stopped(words(stalled));
    }
    let wanted = deployment.spec.replicas;
    let rolled = |count: Option<i32>| count.unwrap_or(0) >= wanted;
    let none_old = status.replicas.unwrap_or(0) <= status.updated_replicas.unwrap_or(0);
    let whole = rolled(status.updated_replicas) && rolled(status.available_replicas) && none_old;
    if whole && told("Ready", "True").is_some() {
        return Found::Done;
    }
    let mut line = counts(wanted, &status);
    if deployment.spec.paused == Some(true) {
        line.push_str("; it is paused");
    }
    let why = told("Progressing", "False")
        .or_else(|| told("Progressing", "True"))
        .or_else(|| told("Ready", "False"));
    if let Some(why) = why.filter(|why| !why.message.is_empty()) {
        line.push_str(&format!("; {}", why.message));
    }
    Found::Waiting(line)
}

/// `2 of 5 updated, 1 available (c1: 2 of 3 running, c2: 0 of 2 running, ImagePullBackOff)`.
fn counts(wanted: i32, status: &SkyDeploymentStatus) -> String {
    let clusters = status.clusters.iter().map(|cluster| {
        let reason = cluster.reason.as_ref().map(|reason| format!(", {reason}"));
        format!(
            "{}: {} of {} running{}",
            cluster.cluster,
            cluster.running,
            cluster.replicas,
            reason.unwrap_or_default()
        )
    });
    let clusters: Vec<String> = clusters.collect();
    let by_cluster = if clusters.is_empty() {
        String::new()
    } else {
        format!(" ({})", clusters.join("; "))
    };
    format!(
        "{} of {wanted} updated, {} available{by_cluster}",
        status.updated_replicas.unwrap_or(0),
        status.available_replicas.unwrap_or(0)
    )
}
