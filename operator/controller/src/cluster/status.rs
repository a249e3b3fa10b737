//! Last step: words the status of a SkyCluster and writes it: conditions at once, capacity at most every 10 s.

use std::time::Duration;

use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;
use kube::ResourceExt;
use kube::api::{Patch, PatchParams};
use serde_json::json;
use sky_convert::cluster::describe;
use sky_convert::status::transition;
use sky_crds::cluster::Manager;
use sky_crds::{SkyCluster, SkyClusterStatus, names};
use tokio::time::Instant;

use super::connect::{Link, Unlinked};
use super::credential::{Validity, validity};
use super::{ClusterError, Context, Memory};
use crate::fleet::Contact;
use crate::host;

/// Between two writes that only change capacity.
const CAPACITY_APART: Duration = Duration::from_secs(10);
/// Between any two writes.
const LEAST_APART: Duration = Duration::from_secs(1);

/// Conditions that a status is made of.
struct Words {
    ready: (bool, &'static str, String),
    reachable: (bool, &'static str, String),
    credentials: (bool, &'static str, String),
    reconciling: Option<(&'static str, String)>,
    stalled: Option<(&'static str, String)>,
}

/// Writes the status of a connected or unconnected cluster when it is due. Answers when to look again.
pub(super) async fn write(
    context: &Context,
    cluster: &SkyCluster,
    name: &str,
    linked: Result<&Link, &Unlinked>,
    memory: &mut Memory,
) -> Result<Option<Duration>, ClusterError> {
    let contact = context
        .fleet
        .read(name, |view| (view.contact().clone(), view.lost_after()));
    let synced = matches!(contact, Some((Contact::Synced, _)));
    if synced
        && (memory.version.is_none() || memory.unusable.is_some())
        && let Some(member) = context.fleet.member(name)
    {
        // Not answered: asked again at the next look.
        if let Ok(probe) = member.probe().await {
            memory.version = Some(probe.version);
            (memory.about, memory.unusable) = (probe.about, probe.unusable);
            if identify(context, cluster, name, probe.identity).await? {
                // The object has another version now: the status is written when the watch shows it.
                return Ok(Some(LEAST_APART));
            }
        }
    }
    let mut words = match linked {
        Err(unlinked) => not_connected(unlinked),
        Ok(link) => connected(
            contact.as_ref(),
            validity(link, Timestamp::now()),
            link.way.manager(),
        ),
    };
    add_probed(&mut words, memory);
    let turns_lost = turns_lost(context, name, contact.as_ref(), memory);
    let wait = store(context, cluster, name, &words, memory).await?;
    Ok([wait, turns_lost].into_iter().flatten().min())
}

/// Notes on the SkyCluster which cluster it is, once. Answers whether it was written.
async fn identify(
    context: &Context,
    cluster: &SkyCluster,
    name: &str,
    identity: Option<String>,
) -> Result<bool, ClusterError> {
    let noted = cluster.annotations().contains_key(names::CLUSTER_ID_ANNOTATION);
    let Some(identity) = identity.filter(|_| !noted) else {
        return Ok(false);
    };
    let patch = json!({"metadata": {"annotations": {names::CLUSTER_ID_ANNOTATION: identity}}});
    let patch = Patch::Merge(patch);
    match host::within(context.clusters().patch(name, &PatchParams::default(), &patch)).await {
        Ok(_) => Ok(true),
        Err(error) if host::is_gone(&error) => Ok(false),
        Err(source) => {
            let (what, name) = ("annotation", name.to_owned());
            Err(ClusterError::Host { what, name, source })
        }
    }
}

/// Writes the status of a cluster that is being deleted.
pub(super) async fn write_leaving(
    context: &Context,
    cluster: &SkyCluster,
    name: &str,
    linked: Result<&Link, &Unlinked>,
    left: &str,
    memory: &mut Memory,
) -> Result<Option<Duration>, ClusterError> {
    let contact = context
        .fleet
        .read(name, |view| (view.contact().clone(), view.lost_after()));
    let mut words = match linked {
        Err(unlinked) => not_connected(unlinked),
        Ok(link) => connected(
            contact.as_ref(),
            validity(link, Timestamp::now()),
            link.way.manager(),
        ),
    };
    words.ready = (false, "Deleting", left.to_owned());
    words.reconciling = Some(("Deleting", left.to_owned()));
    store(context, cluster, name, &words, memory).await
}

/// Has jobs looked at when the silence outlasts its grace. Answers when that will be.
fn turns_lost(
    context: &Context,
    name: &str,
    contact: Option<&(Contact, u64)>,
    memory: &mut Memory,
) -> Option<Duration> {
    let Some((Contact::Silent { since, .. }, grace)) = contact else {
        memory.told_lost = false;
        return None;
    };
    let left = Duration::from_secs(*grace).saturating_sub(since.elapsed());
    if left.is_zero() && !memory.told_lost {
        memory.told_lost = true;
        context.fleet.stir_workloads(name);
    }
    (!left.is_zero()).then_some(left)
}

fn not_connected(unlinked: &Unlinked) -> Words {
    let (reason, message) = (unlinked.reason, &unlinked.message);
    let bad_credential = reason != "InvalidSpec";
    Words {
        ready: (false, reason, message.clone()),
        reachable: (false, "NotConnected", "not tried: see condition Stalled".into()),
        credentials: (!bad_credential, reason, message.clone()),
        reconciling: None,
        stalled: Some((reason, message.clone())),
    }
}

fn connected(contact: Option<&(Contact, u64)>, validity: Validity, manager: Manager) -> Words {
    let mut words = match contact {
        None | Some((Contact::Waiting, _)) => Words {
            ready: (false, "Connecting", "has not answered yet".into()),
            reachable: (false, "Connecting", "has not answered yet".into()),
            credentials: credentials(validity),
            reconciling: Some(("Connecting", "has not answered yet".into())),
            stalled: None,
        },
        Some((Contact::Synced, _)) => Words {
            ready: (true, "Synced", "connected, nodes and shares are known".into()),
            reachable: (true, "Answering", "answers".into()),
            credentials: credentials(validity),
            reconciling: None,
            stalled: None,
        },
        Some((Contact::Silent { trouble, since }, grace)) if trouble.reason == "Unauthorized" => {
            let fix = "the credential is refused or lacks a right; run `kubectl sky join` again or replace the Secret";
            let message = format!("{fix}: {}", trouble.message);
            let _ = (since, grace);
            Words {
                ready: (false, "Unauthorized", message.clone()),
                reachable: (true, "Answering", "answers, but refuses the credential".into()),
                credentials: (false, "Unauthorized", message.clone()),
                reconciling: None,
                stalled: Some(("Unauthorized", message)),
            }
        }
        Some((Contact::Silent { trouble, .. }, _)) if trouble.reason == "Conflict" => {
            let label = names::CLUSTER_ID_ANNOTATION;
            let fix = "restore its Secret, or unjoin it first; if it is meant, remove the annotation";
            let message = format!("{}; {fix} {label}", trouble.message);
            Words {
                ready: (false, "OtherCluster", message.clone()),
                reachable: (true, "Answering", "answers, but is not the cluster it was".into()),
                credentials: credentials(validity),
                reconciling: None,
                stalled: Some(("OtherCluster", message)),
            }
        }
        Some((Contact::Silent { trouble, since }, grace)) => {
            let lost = since.elapsed() >= Duration::from_secs(*grace);
            let reason = if lost { "Lost" } else { "Unreachable" };
            let message = format!(
                "does not answer: {}; {}",
                trouble.message,
                advice(&trouble.message, manager)
            );
            Words {
                ready: (false, reason, message.clone()),
                reachable: (false, reason, message.clone()),
                credentials: credentials(validity),
                reconciling: Some((reason, message)),
                stalled: None,
            }
        }
    };
    if let Validity::Expired(at) = validity {
        let message = format!(
            "the token ended at {}; run `kubectl sky join` again or replace the Secret",
            Timestamp::from_second(at).unwrap_or_default()
        );
        words.ready = (false, "TokenExpired", message.clone());
        words.stalled = Some(("TokenExpired", message));
        words.reconciling = None;
    }
    words
}

/// What a member that can be used told of itself, and why nothing runs there all the same.
fn add_probed(words: &mut Words, memory: &Memory) {
    if !words.ready.0 {
        return;
    }
    if let Some(about) = &memory.about {
        words.reachable.2 = format!("answers: {about}");
    }
    if let Some(unusable) = &memory.unusable {
        words.ready = (false, "Misconfigured", unusable.clone());
        words.stalled = Some(("Misconfigured", unusable.clone()));
    }
}

/// What to look at when a member cannot be reached, by what the connection died of.
fn advice(cause: &str, manager: Manager) -> &'static str {
    match (cause.contains("certificate"), manager) {
        (true, Manager::Kubernetes) => {
            "check that certificate-authority-data of its kubeconfig is the authority of its server"
        }
        (true, Manager::Slurm) => "check that spec.slurm.caBundle is the authority of its server",
        (false, Manager::Kubernetes) => "check that the server of its kubeconfig is up",
        (false, Manager::Slurm) => "check that slurmrestd and slurmctld are up",
    }
}

fn credentials(validity: Validity) -> (bool, &'static str, String) {
    let time = |at| Timestamp::from_second(at).unwrap_or_default();
    match validity {
        Validity::Unbounded => (true, "Valid", "the credential names no end".into()),
        Validity::Until(at) => (true, "Valid", format!("the token ends at {}", time(at))),
        Validity::Expired(at) => (false, "TokenExpired", format!("the token ended at {}", time(at))),
    }
}

async fn store(
    context: &Context,
    cluster: &SkyCluster,
    name: &str,
    words: &Words,
    memory: &mut Memory,
) -> Result<Option<Duration>, ClusterError> {
    let stored = cluster.status.clone().unwrap_or_default();
    let mut wanted = stored.clone();
    wanted.observed_generation = cluster.metadata.generation;
    wanted.conditions = conditions(
        words,
        cluster.metadata.generation.unwrap_or(0),
        &stored.conditions,
    );
    if let Some(Some(nodes)) = context.fleet.read(name, |view| view.nodes()) {
        describe(&nodes, &mut wanted);
    }
    wanted.version = memory.version.clone().or(wanted.version);
    if wanted == stored {
        return Ok(None);
    }
    let apart = if news(&stored, &wanted) {
        LEAST_APART
    } else {
        CAPACITY_APART
    };
    let since = memory.written.map_or(CAPACITY_APART, |written| written.elapsed());
    if since < apart {
        return Ok(Some(apart - since));
    }
    let mut next = cluster.clone();
    next.status = Some(wanted);
    next.metadata.managed_fields = None;
    match host::replace_status(&context.clusters(), &next).await {
        Ok(_) => {
            memory.written = Some(Instant::now());
            Ok(None)
        }
        Err(error) if host::is_stale(&error) => Ok(Some(LEAST_APART)),
        Err(source) => Err(ClusterError::Host {
            what: "status",
            name: name.into(),
            source,
        }),
    }
}

/// Whether more than capacity changed.
fn news(stored: &SkyClusterStatus, wanted: &SkyClusterStatus) -> bool {
    let words = |status: &SkyClusterStatus| -> Vec<(String, String, String)> {
        let each = status.conditions.iter();
        each.map(|c| (c.type_.clone(), c.status.clone(), c.reason.clone()))
            .collect()
    };
    words(stored) != words(wanted) || stored.version != wanted.version || stored.nodes != wanted.nodes
}

fn conditions(words: &Words, generation: i64, stored: &[Condition]) -> Vec<Condition> {
    let now = Timestamp::now();
    let write = |kind: &str, status: bool, reason: &str, message: &str| {
        transition(kind, status, (reason, message), generation, stored, now)
    };
    let always = [
        ("Ready", &words.ready),
        ("Reachable", &words.reachable),
        ("CredentialsValid", &words.credentials),
    ];
    let always = always
        .into_iter()
        .map(|(kind, (status, reason, message))| write(kind, *status, reason, message));
    let only_true = [("Reconciling", &words.reconciling), ("Stalled", &words.stalled)];
    let only_true = only_true.into_iter().filter_map(|(kind, words)| {
        let (reason, message) = words.as_ref()?;
        Some(write(kind, true, reason, message))
    });
    always.chain(only_true).collect()
}

#[cfg(test)]
mod tests {
    use super::advice;

    #[test]
    fn a_wrong_authority_is_not_mended_by_looking_at_the_server() {
        let words = advice(
            "invalid peer certificate: UnknownIssuer",
            super::Manager::Kubernetes,
        );
        assert!(words.contains("certificate-authority-data"), "{words}");
        assert!(advice("Connection refused (os error 111)", super::Manager::Slurm).contains("slurmrestd"));
    }
}
