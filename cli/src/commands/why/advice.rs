//! One line of advice, worked out from what was found: what would help is tried on the snapshot before it is advised.
//! Pure. Called by report; `room` speaks of capacity, `rules` of what keeps clusters from being used.

mod room;
mod rules;

use sky_core::Seconds;
use sky_core::decision::{Decision, Outcome, Verdict};
use sky_core::schedule::Scheduler;
use sky_core::snapshot::Snapshot;
use sky_core::workload::{Kind, Workload};

use crate::subject::Subject;
use crate::table::span;

/// A workload that waits, and what was decided about it.
pub(super) struct Situation<'a> {
    /// What waits of it.
    pub(super) workload: &'a Workload,
    /// What it was decided on.
    pub(super) snapshot: &'a Snapshot,
    /// The answer.
    pub(super) decision: &'a Decision,
    /// Who gave it.
    pub(super) scheduler: &'a Scheduler,
    /// When.
    pub(super) now: Seconds,
}

impl Situation<'_> {
    /// Where all that waits would go if `workload` and `snapshot` were so; `None` when it would still wait.
    fn would_go(&self, workload: &Workload, snapshot: &Snapshot) -> Option<Vec<(String, i64)>> {
        match self.scheduler.decide(workload, snapshot).outcome {
            Outcome::Placed(parts)
                if parts.iter().map(|(_, count)| count).sum::<i64>() == workload.replicas =>
            {
                Some(parts)
            }
            _ => None,
        }
    }

    /// Clusters that are refused for the reason of this code, by name.
    fn refused(&self, code: &str) -> impl Iterator<Item = &Verdict> {
        let of_code = move |verdict: &&Verdict| code_of(verdict) == Some(code);
        self.decision.verdicts.iter().filter(of_code)
    }

    /// What has to be added where the advice is to change the spec.
    fn on_change(&self) -> &'static str {
        match self.workload.kind {
            Kind::SkyJob => " (a SkyJob takes another spec only with a new spec.runId)",
            Kind::SkyDeployment => "",
        }
    }
}

fn code_of(verdict: &Verdict) -> Option<&str> {
    verdict.refusal.as_ref().map(|(_, refusal)| refusal.reason)
}

/// What would help a workload that waits.
pub(super) fn waiting(situation: &Situation<'_>) -> String {
    if situation.snapshot.clusters.is_empty() {
        return "no cluster is registered; join one: kubectl sky join NAME --from-context CONTEXT".to_owned();
    }
    match &situation.decision.outcome {
        Outcome::Placed(parts) if parts.iter().map(|(_, count)| count).sum::<i64>() == situation.workload.replicas => {
            "none: it fits by what the clusters' status shows; if it still waits in a minute, is the operator running?"
                .to_owned()
        }
        Outcome::TooLarge(_) => room::too_large(situation),
        Outcome::Placed(_) | Outcome::Queued(_) => cooling(situation)
            .or_else(|| room::short(situation))
            .unwrap_or_else(|| rules::excluded(situation)),
    }
}

/// Nothing has to be done when the clusters that cool down have room.
fn cooling(situation: &Situation<'_>) -> Option<String> {
    let cooling = &situation.workload.cooling;
    if cooling.is_empty() {
        return None;
    }
    let warm = Workload {
        cooling: Default::default(),
        ..situation.workload.clone()
    };
    let parts = situation.would_go(&warm, situation.snapshot)?;
    let needed = parts
        .iter()
        .filter_map(|(cluster, _)| Some((cooling.get(cluster)?, cluster)));
    let (until, cluster) = needed.max()?;
    let left = span(until - situation.now);
    Some(format!("none: {cluster} has room and is tried again in {left}"))
}

/// What would help a workload of which nothing waits for a place.
pub(super) fn settled(subject: &Subject, state: &str) -> Option<String> {
    let Subject { name, namespace, .. } = subject;
    match state {
        "Refused" => Some(match subject.kind {
            Kind::SkyJob => "correct it and apply it with a new spec.runId, or delete it first".to_owned(),
            Kind::SkyDeployment => "correct it and apply it again".to_owned(),
        }),
        "Suspended" => Some(format!(
            "to let it go on: kubectl patch skyjob {name} -n {namespace} --type merge -p '{{\"spec\":{{\"suspend\":false}}}}'"
        )),
        "Failed" => Some(format!(
            "kubectl sky logs job/{name} -n {namespace} shows what its replicas wrote; a new spec.runId runs it again"
        )),
        "Placed" => subject.record.clusters.iter().find_map(|counts| {
            let reason = counts.reason.as_deref()?;
            trouble(subject, &counts.cluster, reason)
        }),
        _ => None,
    }
}

/// What helps against what a member says of replicas there.
fn trouble(subject: &Subject, cluster: &str, reason: &str) -> Option<String> {
    let Subject { name, namespace, .. } = subject;
    Some(match reason {
        "ImagePullBackOff" | "ErrImagePull" | "InvalidImageName" => format!(
            "{cluster} cannot get the image: check spec.image, and spec.imagePullSecrets where the registry asks for them"
        ),
        "Unschedulable" => format!("{cluster}'s own scheduler has no node for it now, in the words above"),
        "FailedCreate" => format!(
            "{cluster} does not let its pods be created, in the words above: a quota, or Pod Security of namespace \
             {namespace}"
        ),
        "CreateContainerConfigError" => {
            format!(
                "a ConfigMap or Secret that it refers to is missing in namespace {namespace} of {cluster}"
            )
        }
        "OOMKilled" => "ask for more memory".to_owned(),
        "CrashLoopBackOff" | "Error" if subject.kind == Kind::SkyJob => {
            format!("kubectl sky logs job/{name} -n {namespace} shows what it wrote")
        }
        "Conflict" => {
            format!("an object of its name that is not Sky Manager's is on {cluster}: remove it there")
        }
        "ClusterUnreachable" | "ClusterLost" => {
            format!(
                "{cluster} does not answer: kubectl describe skycluster {cluster}; what runs there may go on"
            )
        }
        _ => return None,
    })
}

#[cfg(test)]
mod tests;
