//! `kubectl sky why`: why a workload is where it is, or nowhere. Steps: the object → what the user may see of the
//! host → report → output. The report is made by pure functions; this file reads and prints. Writes nothing.

mod advice;
mod queue;
mod report;
mod show;

use std::collections::BTreeSet;

use clap::ValueEnum;
use jiff::Timestamp;

use crate::client::{self, Global, Host, Patience};
use crate::errors::{At, usage};
use crate::fleet::Configured;
use crate::fleet::live::{self, Rules};
use crate::kinds::Kind;
use crate::output;
use crate::subject::Subject;
use report::{Report, Seen};

const EXAMPLES: &str = "Examples:
  kubectl sky why job/train
  kubectl sky why deployment/web -n shop -o wide
  kubectl sky why train -o json";

/// Say where a workload is and why, or why it waits and what would help.
///
/// For a workload that waits: each cluster with what it can take, its weight and score, and why it is not used; the
/// FilterPolicy or taint by name; the place in the queue and what is ahead; evictions, cool-downs and the next try;
/// and one line of advice. It is decided anew with the operator's own code, on what the clusters' status shows now.
///
/// Who may not list SkyClusters and the namespace's FilterPolicies is told what the operator last wrote into the
/// workload's own status. The place in the queue is among the workloads that the user may list.
#[derive(clap::Args, Debug)]
#[command(after_help = EXAMPLES)]
pub struct Args {
    /// The workload: job/NAME, deployment/NAME, or NAME of a job
    #[arg(required = true, num_args = 1..=2, value_name = "WORKLOAD")]
    workload: Vec<String>,
    /// Format
    #[arg(short, long, value_enum, default_value_t = Format::Text, hide_default_value = true)]
    output: Format,
    #[command(flatten)]
    configured: Configured,
}

/// Formats of `-o`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Format {
    /// Lines and tables
    Text,
    /// With the score of each plugin
    Wide,
    /// JSON
    Json,
    /// YAML
    Yaml,
}

/// Reads, judges, prints.
///
/// # Errors
/// When there is no such workload, or the host cannot be read.
pub async fn run(global: &Global, args: Args) -> anyhow::Result<()> {
    let (kind, name) = target(&args.workload)?;
    let host = client::host(global, Patience::Calls).await?;
    let report = report(&host, kind, &name, &args.configured, Timestamp::now()).await?;
    let text = match args.output {
        Format::Text => show::text(&report, false),
        Format::Wide => show::text(&report, true),
        Format::Json => output::json_of(&report)?,
        Format::Yaml => output::yaml_of(&report)?,
    };
    Ok(output::print(&text)?)
}

/// `job/NAME`, `job NAME` or `NAME`.
fn target(words: &[String]) -> anyhow::Result<(Kind, String)> {
    let (kind, name) = match words {
        [one] => one.split_once('/').unwrap_or(("job", one)),
        [kind, name] => (kind.as_str(), name.as_str()),
        _ => ("", ""),
    };
    match Kind::from_str(kind, true) {
        Ok(of @ (Kind::Job | Kind::Deployment)) if !name.is_empty() => Ok((of, name.to_owned())),
        Ok(Kind::Job | Kind::Deployment) => Err(usage("the name of a workload is needed, such as job/train")),
        _ => Err(usage(format!(
            "why is of jobs and deployments, such as job/train; {kind:?} is neither"
        ))),
    }
}

/// The report on one workload as this user may see it.
async fn report(
    host: &Host,
    kind: Kind,
    name: &str,
    configured: &Configured,
    now: Timestamp,
) -> anyhow::Result<Report> {
    let at = &host.connection;
    let object = kind
        .api(at.client.clone(), Some(&host.namespace))
        .get(name)
        .await
        .at(at, format!("get {}", kind.reference(name)))?;
    let subject = Subject::read(kind, &serde_json::to_value(object)?, &host.namespace)?;
    let now = now.as_second();
    if subject.asked(now).is_none() {
        return Ok(report::settled(&subject, now));
    }
    let namespaces = BTreeSet::from([subject.namespace.clone()]);
    let mut fleet = match live::rules(host, &namespaces).await? {
        Rules::Seen(fleet) => fleet,
        Rules::Denied(right) => return Ok(report::from_status(&subject, &right, now)),
    };
    let workloads = live::workloads(host, &namespaces).await?;
    if let Some(gap) = &workloads.gap {
        fleet.remark(format!(
            "{gap}: they are missing from the queue, and the room promised to them is counted as free"
        ));
    }
    let unseen = fleet.remark_on(&subject);
    let seen = Seen {
        snapshot: fleet.snapshot(&workloads.subjects),
        workloads: workloads.subjects,
        is_blind: unseen.is_some(),
        remarks: fleet.remarks().into_iter().chain(unseen).collect(),
    };
    Ok(report::waiting(&subject, &seen, &configured.scheduler()?, now))
}

#[cfg(test)]
mod tests;
