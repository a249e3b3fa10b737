//! A SkyCluster that is being deleted: takes no new shares, waits for what runs there, removes what is left, lets go.

use std::time::Duration;

use kube::ResourceExt;
use kube::runtime::controller::Action;
use sky_core::share::ShareKey;
use sky_crds::{SkyCluster, names};

use super::{ClusterError, Context, Memory, connect, status};
use crate::fleet::Contact;
use crate::host;

/// Looks again after this long while shares remain.
const LOOK_AGAIN: Duration = Duration::from_secs(5);

/// Shares on a cluster that is to go.
struct Remaining {
    /// SkyJobs that are not finished, as namespace/name.
    unfinished: Vec<String>,
    /// Objects of finished SkyJobs.
    finished: Vec<ShareKey>,
}

/// One step towards letting `cluster` go.
pub(super) async fn leave(
    context: &Context,
    cluster: &SkyCluster,
    name: &str,
    memory: &mut Memory,
) -> Result<Action, ClusterError> {
    if !cluster
        .finalizers()
        .iter()
        .any(|finalizer| finalizer == names::FINALIZER)
    {
        return Ok(Action::await_change());
    }
    let abandoned = cluster
        .annotations()
        .get(names::ABANDON_ANNOTATION)
        .is_some_and(|value| value == "true");
    let linked = connect::connect(context, cluster, name, memory).await;
    let remaining = remaining(context, name);
    let silent = !matches!(
        context.fleet.read(name, |view| view.contact().clone()),
        Some(Contact::Synced)
    );
    let held = !remaining.unfinished.is_empty() || !remaining.finished.is_empty();
    // A silent member may still hold shares of finished jobs; one that was never reached cannot.
    let unknown = silent
        && context
            .fleet
            .read(name, |view| view.nodes().is_some())
            .unwrap_or(false);
    if abandoned || !(held || unknown) {
        return let_go(context, cluster, name, memory).await;
    }
    if let Some(member) = context.fleet.member(name).filter(|_| !silent) {
        for key in &remaining.finished {
            if let Err(error) = member.withdraw(key).await {
                tracing::warn!(cluster = name, object = %key.object, "failed to withdraw: {error}");
            }
        }
    }
    let words = describe(&remaining, silent);
    status::write_leaving(context, cluster, name, linked.as_ref(), &words, memory).await?;
    Ok(Action::requeue(LOOK_AGAIN))
}

fn describe(remaining: &Remaining, silent: bool) -> String {
    let mut words = if remaining.unfinished.is_empty() {
        format!("{} finished shares are being removed", remaining.finished.len())
    } else {
        let some: Vec<&str> = remaining.unfinished.iter().take(5).map(String::as_str).collect();
        let more = remaining.unfinished.len() - some.len();
        let more = if more > 0 {
            format!(" and {more} more")
        } else {
            String::new()
        };
        format!("waiting for unfinished SkyJobs: {}{more}", some.join(", "))
    };
    if silent {
        let label = names::ABANDON_ANNOTATION;
        words.push_str(&format!(
            "; the cluster does not answer: annotate it {label}=true to let it go all the same"
        ));
    }
    words
}

/// What the host and the member say is still there.
fn remaining(context: &Context, name: &str) -> Remaining {
    let mut unfinished = Vec::new();
    let mut unfinished_uids = Vec::new();
    for guard in context.jobs.state() {
        let Ok(job) = &guard.0 else { continue };
        let Some(stored) = &job.status else { continue };
        let ended = stored
            .conditions
            .iter()
            .any(|c| ["Complete", "Failed"].contains(&c.type_.as_str()) && c.status == "True");
        let here = stored
            .placement
            .iter()
            .flat_map(|placement| &placement.shares)
            .any(|share| share.cluster == name);
        if here && !ended {
            unfinished.push(format!(
                "{}/{}",
                job.namespace().unwrap_or_default(),
                job.name_any()
            ));
            unfinished_uids.extend(job.uid());
        }
    }
    let finished = context.fleet.read(name, |view| {
        let over = view
            .shares()
            .filter(|share| !unfinished_uids.contains(&share.stamp.uid));
        over.map(|share| share.key.clone()).collect()
    });
    Remaining {
        unfinished,
        finished: finished.unwrap_or_default(),
    }
}

async fn let_go(
    context: &Context,
    cluster: &SkyCluster,
    name: &str,
    memory: &mut Memory,
) -> Result<Action, ClusterError> {
    let mut finalizers = cluster.finalizers().to_vec();
    finalizers.retain(|finalizer| finalizer != names::FINALIZER);
    let version = cluster.resource_version();
    match host::set_finalizers(&context.clusters(), name, version.as_deref(), &finalizers).await {
        Ok(_) => {
            context.fleet.unseat(name);
            *memory = Memory::default();
            Ok(Action::await_change())
        }
        Err(error) if host::is_stale(&error) => Ok(Action::requeue(Duration::from_secs(1))),
        Err(source) => Err(ClusterError::Host {
            what: "finalizer",
            name: name.into(),
            source,
        }),
    }
}
