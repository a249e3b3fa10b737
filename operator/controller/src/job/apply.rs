//! Step 4: carries out the plan's steps on members. Makes no choices; what a member answers is remembered and planned
//! with the next time.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use futures::future::join_all;
use sky_convert::accelerator::accelerator;
use sky_convert::job::{Job, share};
use sky_core::cluster::Cluster;
use sky_core::job::{SentBack, Step};
use sky_core::labels::Labels;
use sky_core::share::{Share, ShareKey};
use sky_member::{Class, Desired, Member, MemberError, Tombstone, Withdraw, Withdrawn};
use tokio::time::Instant;

use super::Context;
use super::memory::Memory;
use crate::clock;
use crate::fleet::View;
use crate::follow::{BLOCKED, Ledger, Setback};
use crate::namespace::claim;

/// A step whose effect is not seen after this long is taken again.
const UNSEEN: Duration = Duration::from_secs(30);

/// What one step came to.
struct Outcome {
    /// What it was for.
    mark: String,
    /// The share, when its object was to be created.
    share: Option<String>,
    cluster: String,
    key: ShareKey,
    /// Whether its object is known to be gone.
    result: Result<bool, Setback>,
}

/// Carries out all steps, each on its own member. Answers when to try again what did not succeed.
pub(super) async fn steps(
    context: &Context,
    job: &Job,
    steps: &[Step],
    memory: &mut Memory,
) -> Option<Duration> {
    let now = Instant::now();
    forget_seen(steps, memory);
    let due: Vec<&Step> = steps.iter().filter(|step| is_due(step, memory, now)).collect();
    // From the moment on that it is asked for, an instance may run, unless it is answered that it was not let go.
    let mut asked: BTreeMap<String, String> = BTreeMap::new();
    for step in &due {
        if let Step::Ensure {
            share,
            suspended: false,
            ..
        } = step
            && let Some(instance) = &share.instance
        {
            let instance = (share.id.clone(), instance.clone());
            memory.unreleased.remove(&instance);
            if memory.released.insert(instance.clone()) {
                asked.extend([instance]);
            }
        }
    }
    let ledger = &memory.ledger;
    let outcomes = join_all(due.into_iter().map(|step| async move {
        match step {
            Step::Withdraw { cluster, key } => withdraw(context, step, cluster, key, Withdraw::Remove).await,
            Step::Hold { cluster, key } => {
                withdraw(context, step, cluster, key, Withdraw::IfNotStarted).await
            }
            Step::Bury { share: placed } => {
                let Share { key, stamp, .. } = share(job, placed, &Labels::new(), &context.origin);
                let since = clock::now().as_second();
                let tombstone = Withdraw::Always(Tombstone { stamp, since });
                let outcome = withdraw(context, step, &placed.cluster, &key, tombstone).await;
                Outcome {
                    share: Some(placed.id.clone()),
                    ..outcome
                }
            }
            Step::Ensure {
                share: placed,
                suspended,
                known,
            } => {
                let rules = context.rules.read();
                let standing = rules.clusters.get(&*placed.cluster);
                let labels = standing.map(|cluster| cluster.labels.clone()).unwrap_or_default();
                let desired = Share {
                    suspended: *suspended,
                    known: *known,
                    ..share(job, placed, &labels, &context.origin)
                };
                ensure(context, job, step, standing, desired, ledger).await
            }
        }
    }))
    .await;
    take_back(&outcomes, &asked, memory);
    remember(outcomes, memory, now);
    next_try(memory, now)
}

/// Forgets that instances were asked for, for the first time, whose member answered that it did nothing.
fn take_back(outcomes: &[Outcome], asked: &BTreeMap<String, String>, memory: &mut Memory) {
    for outcome in outcomes {
        let refused = outcome
            .result
            .as_ref()
            .err()
            .is_some_and(|setback| !setback.is_unknown());
        let named = outcome
            .share
            .as_ref()
            .and_then(|share| asked.get_key_value(share));
        if let Some((share, instance)) = named.filter(|_| refused) {
            let instance = (share.clone(), instance.clone());
            memory.released.remove(&instance);
            memory.unreleased.insert(instance);
        }
    }
}

/// Only the withdrawals among `steps`: for a job whose spec cannot be carried out, or is not bound yet.
pub(super) async fn withdrawals(context: &Context, steps: &[Step], memory: &mut Memory) -> Option<Duration> {
    let now = Instant::now();
    forget_seen(steps, memory);
    let due = steps.iter().filter(|step| is_due(step, memory, now));
    let outcomes = join_all(due.filter_map(|step| match step {
        Step::Withdraw { cluster, key } => Some(withdraw(context, step, cluster, key, Withdraw::Remove)),
        Step::Hold { .. } | Step::Bury { .. } | Step::Ensure { .. } => None,
    }))
    .await;
    remember(outcomes, memory, now);
    next_try(memory, now)
}

/// `standing` is the share's cluster as its SkyCluster says; `None` when that is gone.
async fn ensure(
    context: &Context,
    job: &Job,
    step: &Step,
    standing: Option<&Cluster>,
    mut desired: Share,
    ledger: &Ledger,
) -> Outcome {
    let cluster = desired.cluster.clone();
    let asks = job.workload.needs.accelerator.is_some();
    if asks {
        let nodes = context
            .fleet
            .read(&cluster, View::nodes)
            .flatten()
            .unwrap_or_default();
        let needs = standing.map_or_else(
            || job.workload.needs.clone(),
            |standing| job.workload.needs_on(standing).into_owned(),
        );
        desired.accelerator = accelerator(&needs, &nodes);
    }
    let (key, share) = (desired.key.clone(), desired.stamp.share.clone());
    let lacks_accelerator = asks && desired.accelerator.is_none();
    // Without its labels nobody knows which overrides apply.
    let unknown = standing.is_none() && !job.overrides.is_empty();
    let result = match context.fleet.member(&cluster) {
        Some(_) if lacks_accelerator && !desired.known => {
            let words = "no node there has the accelerators any more";
            Err(MemberError::new(Class::Throttled, words).into())
        }
        Some(member) if !unknown || desired.known => send(context, job, &*member, desired, ledger).await,
        Some(_) | None => Err(unseated(&cluster).into()),
    };
    Outcome {
        mark: mark(step),
        share: Some(share),
        cluster,
        key,
        result,
    }
}

/// Sends a share, after what its pods need to start.
async fn send(
    context: &Context,
    job: &Job,
    member: &dyn Member,
    desired: Share,
    ledger: &Ledger,
) -> Result<bool, Setback> {
    claim(&context.fleet, member, &desired.key.namespace, &context.origin).await?;
    if job.follow_config && !desired.known {
        context.follow.supply(member, &desired, None, ledger).await?;
    }
    member.ensure(Desired::Share(Box::new(desired))).await?;
    Ok(false)
}

async fn withdraw(context: &Context, step: &Step, cluster: &str, key: &ShareKey, how: Withdraw) -> Outcome {
    let result = match context.fleet.member(cluster) {
        Some(member) => take_away(context, &*member, key, how)
            .await
            .map_err(Setback::from),
        None => Err(unseated(cluster).into()),
    };
    Outcome {
        mark: mark(step),
        share: None,
        cluster: cluster.to_owned(),
        key: key.clone(),
        result,
    }
}

/// Answers whether nothing is there any more.
async fn take_away(
    context: &Context,
    member: &dyn Member,
    key: &ShareKey,
    how: Withdraw,
) -> Result<bool, MemberError> {
    // A tombstone may be a new object.
    if matches!(how, Withdraw::Always(_)) {
        claim(&context.fleet, member, &key.namespace, &context.origin).await?;
    }
    let found = member.withdraw(key, how).await?;
    Ok(found == Withdrawn::Gone)
}

fn unseated(cluster: &str) -> MemberError {
    MemberError::new(Class::Unreachable, format!("{cluster} is not connected"))
}

fn mark(step: &Step) -> String {
    match step {
        Step::Ensure { share, suspended, .. } => {
            let instance = share.instance.as_deref().unwrap_or_default();
            format!("ensure {} {suspended} {instance}", share.id)
        }
        Step::Withdraw { cluster, key } => format!("withdraw {cluster} {}", key.object),
        Step::Hold { cluster, key } => format!("hold {cluster} {}", key.object),
        Step::Bury { share } => format!("bury {} {}", share.cluster, share.id),
    }
}

/// A step that is not planned any more has had its effect, or is not wanted: should it be planned again, it is due.
fn forget_seen(steps: &[Step], memory: &mut Memory) {
    let planned: BTreeSet<String> = steps.iter().map(mark).collect();
    memory.under_way.retain(|mark, _| planned.contains(mark));
    let named: BTreeSet<&str> = steps.iter().filter_map(named).collect();
    // What is in the way of a share is remembered until it is recorded that the share goes elsewhere for it.
    let lasts = |why: &SentBack| why.for_good || why.trouble.reason == Class::Conflict.as_str();
    memory
        .sent_back
        .retain(|share, (why, _)| lasts(why) || named.contains(share.as_str()));
}

/// The share whose object a step is to create: its name may be taken.
fn named(step: &Step) -> Option<&str> {
    match step {
        Step::Ensure { share, .. } | Step::Bury { share } => Some(&share.id),
        Step::Withdraw { .. } | Step::Hold { .. } => None,
    }
}

/// Not while its effect may still come, nor before a share that was sent back may be tried again.
fn is_due(step: &Step, memory: &Memory, now: Instant) -> bool {
    let waiting = memory
        .under_way
        .get(&mark(step))
        .is_some_and(|until| *until > now);
    let sent_back = named(step).and_then(|share| memory.sent_back.get(share));
    !waiting && sent_back.is_none_or(|(_, until)| *until <= now)
}

fn remember(outcomes: Vec<Outcome>, memory: &mut Memory, now: Instant) {
    for Outcome {
        mark,
        share,
        cluster,
        key,
        result,
    } in outcomes
    {
        if let Some(share) = share.as_ref().filter(|share| !memory.seen.contains(*share))
            && result.as_ref().err().is_none_or(Setback::is_unknown)
        {
            memory.unseen.insert(share.clone(), (cluster, key.clone()));
        }
        let setback = match result {
            Err(setback) => setback,
            Ok(gone) => {
                let before = memory.unseen.len();
                memory.unseen.retain(|_, (_, unseen)| !gone || *unseen != key);
                // What is planned next depends on it: at once.
                let pause = if memory.unseen.len() < before {
                    Duration::ZERO
                } else {
                    UNSEEN
                };
                memory.under_way.insert(mark, now + pause);
                if let Some(share) = share {
                    let before = memory.sent_back.remove(&share);
                    if before.is_some_and(|(why, _)| why.waits_for_a_user()) {
                        memory.waited.insert(share, clock::now().as_second());
                    }
                }
                continue;
            }
        };
        tracing::info!(step = %mark, "a member did not take a step: {setback}");
        let pause = match setback.class() {
            None => BLOCKED,
            Some(Class::Unreachable) => Duration::from_secs(5),
            Some(Class::Throttled) => Duration::from_secs(15),
            Some(Class::Unauthorized | Class::Conflict | Class::Rejected) => Duration::from_secs(60),
        };
        match share {
            Some(share) => {
                if setback.class().is_none() {
                    memory.waited.insert(share.clone(), clock::now().as_second());
                }
                memory.sent_back.insert(share, (setback.sent_back(), now + pause));
            }
            None => {
                memory.under_way.insert(mark, now + pause);
            }
        }
    }
}

fn next_try(memory: &Memory, now: Instant) -> Option<Duration> {
    let sent_back = memory
        .sent_back
        .values()
        .filter(|(why, until)| !why.for_good && *until > now)
        .map(|(_, until)| until);
    let soonest = memory.under_way.values().chain(sent_back).min()?;
    Some(
        soonest
            .saturating_duration_since(now)
            .max(Duration::from_millis(500)),
    )
}
