//! Step 4: carries out the plan's steps on members. Makes no choices; what a member answers is remembered and planned
//! with the next time.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use futures::future::join_all;
use sky_convert::accelerator::accelerator;
use sky_convert::deployment::{Deployment, key, share, stamp};
use sky_core::deployment::Step;
use sky_core::placement::PlacedShare;
use sky_core::share::{Share, ShareKey};
use sky_member::{Class, Desired, Ensured, Member, MemberError, Scale, Withdraw, Withdrawn};
use tokio::time::Instant;

use super::Context;
use super::memory::Memory;
use crate::clock;
use crate::fleet::View;
use crate::follow::{BLOCKED, Ledger, Setback};
use crate::namespace::claim;

/// A step whose effect is not seen after this long is taken again.
const UNSEEN: Duration = Duration::from_secs(30);

/// The soonest that the deployment is looked at again.
const AT_ONCE: Duration = Duration::from_millis(500);

/// What one step came to.
struct Outcome<'s> {
    step: &'s Step,
    result: Result<Done, Setback>,
}

/// What a member did.
enum Done {
    /// The share's object is as wanted, and this is its generation.
    AsWanted(i64),
    /// The object goes.
    Going,
    /// It is gone.
    Gone,
}

/// What shares are made of.
#[derive(Clone, Copy)]
pub(super) struct Wanted<'d> {
    /// The deployment; `None`: its spec cannot be parsed, and nothing is created or changed.
    pub(super) present: Option<&'d Deployment>,
    /// The same with the template that its replicas still have, while a changed one waits.
    pub(super) before: Option<&'d Deployment>,
}

/// Carries out all steps, each on its own member. Answers when to try again what did not succeed.
pub(super) async fn steps(
    context: &Context,
    wanted: Wanted<'_>,
    steps: &[Step],
    memory: &mut Memory,
) -> Option<Duration> {
    let now = Instant::now();
    forget_seen(steps, memory);
    let due: Vec<&Step> = steps.iter().filter(|step| is_due(step, memory, now)).collect();
    for step in &due {
        if let (Step::Ensure { share, seen: 0, .. }, Some(deployment)) = (step, wanted.present) {
            let object = key(&deployment.workload, share);
            memory
                .unseen
                .insert(share.id.clone(), (share.cluster.clone(), object));
        }
    }
    let ledger = &memory.ledger;
    let outcomes = join_all(due.into_iter().map(|step| async move {
        let result = match step {
            Step::Withdraw { cluster, key } => {
                Some(withdraw(context, cluster, key).await.map_err(Setback::from))
            }
            Step::Ensure {
                share,
                only_scale,
                as_before,
                ..
            } => match (wanted.present, wanted.before) {
                (Some(_), None) if *as_before => Some(Err(not_kept().into())),
                (Some(_), Some(before)) if *as_before => Some(ensure(context, before, share, ledger).await),
                (Some(present), before) if *only_scale => Some(
                    scale(context, present, before, share)
                        .await
                        .map_err(Setback::from),
                ),
                (Some(present), _) => Some(ensure(context, present, share, ledger).await),
                (None, _) => None,
            },
        };
        result.map(|result| Outcome { step, result })
    }))
    .await;
    let before = memory.sent_back.len();
    for outcome in outcomes.into_iter().flatten() {
        remember(outcome, memory, now);
    }
    // What is planned and said next depends on it: at once.
    let news = memory.sent_back.len() > before;
    next_try(memory, now).map(|wait| if news { AT_ONCE } else { wait })
}

async fn ensure(
    context: &Context,
    deployment: &Deployment,
    placed: &PlacedShare,
    ledger: &Ledger,
) -> Result<Done, Setback> {
    let member = member_of(context, placed)?;
    let share = desired(context, deployment, placed)?;
    claim_for(context, &*member, deployment).await?;
    if deployment.follow_config {
        let found = |view: &View| view.share(&share.key).map(|seen| seen.instance.clone());
        let instance = context.fleet.read(&placed.cluster, found).flatten();
        context
            .follow
            .supply(&*member, &share, instance.as_deref(), ledger)
            .await?;
    }
    Ok(done(member.ensure(Desired::Share(Box::new(share))).await?))
}

/// Changes only the number of replicas, which are those of `before`.
async fn scale(
    context: &Context,
    deployment: &Deployment,
    before: Option<&Deployment>,
    placed: &PlacedShare,
) -> Result<Done, MemberError> {
    let member = member_of(context, placed)?;
    let template = before
        .map(|before| desired(context, before, placed))
        .transpose()?;
    claim_for(context, &*member, deployment).await?;
    let scale = Scale {
        key: key(&deployment.workload, placed),
        stamp: stamp(deployment, placed, &context.origin),
        replicas: placed.replicas,
        template: template.map(Box::new),
    };
    Ok(done(member.ensure(Desired::Replicas(Box::new(scale))).await?))
}

fn done(ensured: Ensured) -> Done {
    match ensured {
        Ensured::AsWanted(generation) => Done::AsWanted(generation),
        Ensured::Created | Ensured::Present | Ensured::Updated | Ensured::Absent => Done::AsWanted(0),
    }
}

fn member_of(context: &Context, placed: &PlacedShare) -> Result<Arc<dyn Member>, MemberError> {
    let member = context.fleet.member(&placed.cluster);
    member.ok_or_else(|| unseated(&placed.cluster))
}

async fn claim_for(
    context: &Context,
    member: &dyn Member,
    deployment: &Deployment,
) -> Result<(), MemberError> {
    let namespace = &deployment.workload.namespace;
    claim(&context.fleet, member, namespace, &context.origin).await
}

/// The share as its member is to have it.
fn desired(context: &Context, deployment: &Deployment, placed: &PlacedShare) -> Result<Share, MemberError> {
    // Without its labels nobody knows which overrides apply.
    let rules = context.rules.read();
    let standing = rules.clusters.get(placed.cluster.as_str());
    let standing = standing.ok_or_else(|| unseated(&placed.cluster))?;
    let mut share = share(deployment, placed, standing, &context.origin);
    if deployment.workload.needs.accelerator.is_some() {
        let nodes = context.fleet.read(&placed.cluster, View::nodes).flatten();
        let needs = deployment.workload.needs_on(standing);
        share.accelerator = accelerator(&needs, &nodes.unwrap_or_default());
        if share.accelerator.is_none() {
            let words = "no node there has the accelerators any more";
            return Err(MemberError::new(Class::Throttled, words));
        }
    }
    Ok(share)
}

async fn withdraw(context: &Context, cluster: &str, key: &ShareKey) -> Result<Done, MemberError> {
    let member = context.fleet.member(cluster).ok_or_else(|| unseated(cluster))?;
    Ok(match member.withdraw(key, Withdraw::Remove).await? {
        Withdrawn::Gone => Done::Gone,
        Withdrawn::Going | Withdrawn::Started => Done::Going,
    })
}

fn not_kept() -> MemberError {
    let words = "spec.paused is true, and the template that the other replicas have is not among the revisions any more; \
                 resume the rollout";
    MemberError::new(Class::Throttled, words)
}

fn unseated(cluster: &str) -> MemberError {
    MemberError::new(Class::Unreachable, format!("{cluster} is not connected"))
}

fn mark(step: &Step) -> String {
    match step {
        Step::Ensure {
            share,
            only_scale,
            seen,
            as_before,
        } => format!(
            "ensure {} {} {only_scale} {seen} {as_before}",
            share.id, share.replicas
        ),
        Step::Withdraw { cluster, key } => format!("withdraw {cluster} {}", key.object),
    }
}

/// A step that is not planned any more has had its effect, or is not wanted: should it be planned again, it is due.
fn forget_seen(steps: &[Step], memory: &mut Memory) {
    let planned: BTreeSet<String> = steps.iter().map(mark).collect();
    memory.under_way.retain(|mark, _| planned.contains(mark));
    let ensured: BTreeSet<&str> = steps
        .iter()
        .filter_map(|step| match step {
            Step::Ensure { share, .. } => Some(share.id.as_str()),
            Step::Withdraw { .. } => None,
        })
        .collect();
    memory
        .sent_back
        .retain(|share, _| ensured.contains(share.as_str()));
}

/// Not while its effect may still come, nor before a share that was sent back may be tried again.
fn is_due(step: &Step, memory: &Memory, now: Instant) -> bool {
    let waiting = memory
        .under_way
        .get(&mark(step))
        .is_some_and(|until| *until > now);
    let sent_back = match step {
        Step::Ensure { share, .. } => memory.sent_back.get(&share.id),
        Step::Withdraw { .. } => None,
    };
    !waiting && sent_back.is_none_or(|(_, until)| *until <= now)
}

fn remember(Outcome { step, result }: Outcome<'_>, memory: &mut Memory, now: Instant) {
    let mark = mark(step);
    let setback = match (result, step) {
        (Ok(Done::AsWanted(generation)), Step::Ensure { share, .. }) => {
            memory.applied.insert(share.id.clone(), generation);
            let before = memory.sent_back.remove(&share.id);
            if before.is_some_and(|(why, _)| why.waits_for_a_user()) {
                memory.waited.insert(share.id.clone(), clock::now().as_second());
            }
            memory.under_way.insert(mark, now + UNSEEN);
            return;
        }
        (Ok(Done::Gone), Step::Withdraw { key, .. }) => {
            memory.unseen.retain(|_, (_, unseen)| unseen != key);
            memory.under_way.insert(mark, now);
            return;
        }
        (Ok(_), _) => {
            memory.under_way.insert(mark, now + UNSEEN);
            return;
        }
        (Err(setback), _) => setback,
    };
    tracing::info!(step = %mark, "a member did not take a step: {setback}");
    // What is refused as it is, is tried again as long as its spec stays only because quotas and policies change.
    let pause = match setback.class() {
        None => BLOCKED,
        Some(Class::Unreachable) => Duration::from_secs(5),
        Some(Class::Throttled) => Duration::from_secs(15),
        Some(Class::Unauthorized | Class::Conflict) => Duration::from_secs(60),
        Some(Class::Rejected) => Duration::from_secs(600),
    };
    match step {
        Step::Ensure { share, .. } => {
            if !setback.is_unknown() {
                memory.unseen.remove(&share.id);
            }
            if setback.class().is_none() {
                memory.waited.insert(share.id.clone(), clock::now().as_second());
            }
            memory
                .sent_back
                .insert(share.id.clone(), (setback.sent_back(), now + pause));
        }
        Step::Withdraw { .. } => drop(memory.under_way.insert(mark, now + pause)),
    }
}

fn next_try(memory: &Memory, now: Instant) -> Option<Duration> {
    let sent_back = memory.sent_back.values().map(|(_, until)| until);
    let soonest = memory.under_way.values().chain(sent_back).min()?;
    let wait = soonest.saturating_duration_since(now);
    Some(wait.max(AT_ONCE))
}
