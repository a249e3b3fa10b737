//! A SkyCluster that is being deleted: takes no new shares, waits for what runs there, removes what is left, lets go.

use std::collections::BTreeSet;
use std::time::Duration;

use kube::ResourceExt;
use kube::runtime::controller::Action;
use kube::runtime::reflector::ObjectRef;
use sky_convert::job::has_ended;
use sky_core::share::{ShareKey, Stamp};
use sky_core::workload::Kind;
use sky_crds::status::PlacementStatus;
use sky_crds::{SkyCluster, names};
use sky_member::Withdraw;

use super::{ClusterError, Context, Memory, connect, namespaces, status};
use crate::fleet::{Contact, View};
use crate::host;

/// Looks again after this long while shares remain.
const LOOK_AGAIN: Duration = Duration::from_secs(5);

/// Shares on a cluster that is to go.
#[derive(Default)]
struct Remaining {
    /// Workloads that have not ended, as namespace/name.
    unfinished: BTreeSet<String>,
    /// Objects of SkyJobs that have ended.
    over: Vec<ShareKey>,
    /// Tombstones of shares that have moved.
    tombstones: usize,
    /// Objects that no workload accounts for, as namespace/name: nobody can say whether they may go.
    unaccounted: BTreeSet<String>,
    /// Whether a workload, ended or not, was ever placed there.
    placed: bool,
}

impl Remaining {
    fn is_empty(&self) -> bool {
        let tombstones = self.tombstones > 0;
        self.unfinished.is_empty() && self.over.is_empty() && self.unaccounted.is_empty() && !tombstones
    }
}

/// One step towards letting `cluster` go.
pub(super) async fn leave(
    context: &Context,
    cluster: &SkyCluster,
    name: &str,
    memory: &mut Memory,
) -> Result<Action, ClusterError> {
    let finalizers = cluster.finalizers();
    if !finalizers.iter().any(|finalizer| finalizer == names::FINALIZER) {
        return Ok(Action::await_change());
    }
    let annotation = cluster.annotations().get(names::ABANDON_ANNOTATION);
    let abandoned = annotation.is_some_and(|value| value == "true");
    let linked = connect::connect(context, cluster, name, memory).await;
    let remaining = remaining(context, name);
    let contact = context
        .fleet
        .read(name, |view| (view.contact().clone(), view.nodes().is_some()));
    let silent = !matches!(contact, Some((Contact::Synced, _)));
    let known = contact.is_some_and(|(_, known)| known);
    // What was never reached and never placed on holds nothing; what is silent may hold what has ended.
    let may_hold = !remaining.is_empty() || (silent && (known || remaining.placed));
    if abandoned && may_hold {
        let left = describe(&remaining, silent);
        tracing::warn!(cluster = name, "abandoned; what may still run there: {left}");
    }
    if abandoned || !may_hold {
        let waiting = match silent {
            false if !abandoned => namespaces::depart(context, cluster, name, memory).await,
            _ => BTreeSet::new(),
        };
        if waiting.is_empty() {
            return let_go(context, cluster, name, memory).await;
        }
        let words = format!("the namespaces made there are being removed: {}", some(&waiting));
        status::write_leaving(context, cluster, name, linked.as_ref(), &words, memory).await?;
        return Ok(Action::requeue(LOOK_AGAIN));
    }
    if let Some(member) = context.fleet.member(name).filter(|_| !silent) {
        for key in &remaining.over {
            if let Err(error) = member.withdraw(key, Withdraw::Remove).await {
                tracing::warn!(cluster = name, object = %key.object, "failed to withdraw: {error}");
            }
        }
    }
    let words = describe(&remaining, silent);
    status::write_leaving(context, cluster, name, linked.as_ref(), &words, memory).await?;
    Ok(Action::requeue(LOOK_AGAIN))
}

fn describe(remaining: &Remaining, silent: bool) -> String {
    let label = names::ABANDON_ANNOTATION;
    let mut words = Vec::new();
    if !remaining.unfinished.is_empty() {
        words.push(format!(
            "waiting for workloads to leave: {}",
            some(&remaining.unfinished)
        ));
    }
    if !remaining.unaccounted.is_empty() {
        let objects = some(&remaining.unaccounted);
        words.push(format!(
            "no workload accounts for {objects}: delete them there, or annotate {label}=true"
        ));
    }
    if remaining.tombstones > 0 {
        words.push(format!(
            "the names of {} shares that have left are kept for two minutes",
            remaining.tombstones
        ));
    }
    if !remaining.over.is_empty() {
        words.push(format!(
            "{} finished shares are being removed",
            remaining.over.len()
        ));
    }
    if silent {
        words.push(format!(
            "the cluster does not answer: annotate it {label}=true to let it go all the same"
        ));
    }
    words.join("; ")
}

/// The first five of `names`, and how many more there are.
fn some(names: &BTreeSet<String>) -> String {
    let shown = names
        .iter()
        .take(5)
        .map(String::as_str)
        .collect::<Vec<_>>()
        .join(", ");
    let more = names.len().saturating_sub(5);
    if more > 0 {
        format!("{shown} and {more} more")
    } else {
        shown
    }
}

/// What the host and the member say is still there. Only what is proved to be over may go.
fn remaining(context: &Context, name: &str) -> Remaining {
    let mut remaining = Remaining::default();
    for guard in context.jobs.state() {
        let Ok(job) = &guard.0 else { continue };
        let status = job.status.as_ref();
        if is_placed_on(status.and_then(|status| status.placement.as_ref()), name) {
            remaining.placed = true;
            if !has_ended(job) {
                remaining.unfinished.insert(full_name(job));
            }
        }
    }
    for guard in context.deployments.state() {
        let Ok(deployment) = &guard.0 else { continue };
        let status = deployment.status.as_ref();
        if is_placed_on(status.and_then(|status| status.placement.as_ref()), name) {
            remaining.placed = true;
            remaining.unfinished.insert(full_name(deployment));
        }
    }
    let each = |view: &View| {
        view.shares()
            .map(|share| (share.stamp.clone(), share.key.clone(), share.tombstone.is_some()))
            .collect()
    };
    let shares: Vec<(Stamp, ShareKey, bool)> = context.fleet.read(name, each).unwrap_or_default();
    for (stamp, key, tombstone) in shares {
        if stamp.kind == Kind::SkyDeployment {
            let of = ObjectRef::new(&stamp.name).within(&stamp.namespace);
            let name = format!("{}/{}", key.namespace, key.object);
            match context.deployments.get(&of) {
                // Its reconciler withdraws what has left the placement.
                Some(guard) => drop(remaining.unfinished.insert(full_name(&*guard))),
                None => drop(remaining.unaccounted.insert(name)),
            }
            continue;
        }
        let job = context
            .jobs
            .get(&ObjectRef::new(&stamp.name).within(&stamp.namespace));
        match job.as_ref().and_then(|guard| guard.0.as_ref().ok()) {
            Some(job) if has_ended(job) => remaining.over.push(key),
            // What may still run of it is told by its placement.
            Some(_) if tombstone => remaining.tombstones += 1,
            Some(job) => {
                remaining.unfinished.insert(full_name(job));
            }
            None => {
                remaining
                    .unaccounted
                    .insert(format!("{}/{}", key.namespace, key.object));
            }
        }
    }
    remaining
}

fn full_name(object: &impl ResourceExt) -> String {
    format!("{}/{}", object.namespace().unwrap_or_default(), object.name_any())
}

/// Whether a placement that is recorded has a share on this cluster.
fn is_placed_on(placement: Option<&PlacementStatus>, cluster: &str) -> bool {
    let mut shares = placement.into_iter().flat_map(|placement| &placement.shares);
    shares.any(|share| share.cluster == cluster && share.complete != Some(true))
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
        Ok(_) => {}
        // Gone already: this was a cache that is behind.
        Err(kube::Error::Api(status)) if status.code == 404 => {}
        Err(error) if host::is_stale(&error) => return Ok(Action::requeue(Duration::from_secs(1))),
        Err(source) => {
            let (what, name) = ("finalizer", name.to_owned());
            return Err(ClusterError::Host { what, name, source });
        }
    }
    context.fleet.unseat(name);
    *memory = Memory::default();
    Ok(Action::await_change())
}
