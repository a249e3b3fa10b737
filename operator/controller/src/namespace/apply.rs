//! Step 4: carries out the plan's steps on the host and the members. Makes no choices; what fails is remembered and
//! planned with the next time.

use std::collections::BTreeSet;
use std::mem::discriminant;
use std::time::Duration;

use futures::future::join_all;
use kube::ResourceExt;
use sky_core::namespace::{Namespace, Place, Step, Wanted};
use sky_core::observation::Trouble;
use sky_crds::SkyNamespace;
use sky_member::{Class, Desired, Ensured, MemberError};
use tokio::time::Instant;

use super::{Context, HOST, Memory};

/// A step whose effect is not seen after this long is taken again.
const UNSEEN: Duration = Duration::from_secs(30);

/// Carries out the steps that are due. Answers when to try again what is under way or did not succeed.
pub(super) async fn steps(
    context: &Context,
    namespace: &SkyNamespace,
    steps: &[Step],
    memory: &mut Memory,
) -> Option<Duration> {
    let now = Instant::now();
    let planned: BTreeSet<&Place> = steps.iter().map(|step| &step.place).collect();
    memory.under_way.retain(|place, _| planned.contains(place));
    let due = steps.iter().filter(|step| is_due(step, memory, now));
    let name = namespace.name_any();
    let outcomes = join_all(due.map(|step| async {
        let answer = take(context, &name, step).await;
        (step.clone(), answer)
    }))
    .await;
    for (step, answer) in outcomes {
        match answer {
            Ok(_) => {
                memory.refused.remove(&step.place);
                memory.under_way.insert(step.place, (step.wanted, now + UNSEEN));
            }
            Err(error) => {
                tracing::info!(namespace = name, place = %step.place, class = error.class.as_str(), message = %error.message, "a namespace is not as it is to be");
                let until = now + pause(&error, &step.wanted);
                let trouble = Trouble {
                    reason: error.class.as_str().into(),
                    message: error.message,
                };
                memory.refused.insert(step.place, (step.wanted, trouble, until));
            }
        }
    }
    let times = memory.under_way.values().map(|(_, until)| until);
    let soonest = times
        .chain(memory.refused.values().map(|(_, _, until)| until))
        .min()?;
    let wait = soonest.saturating_duration_since(now);
    Some(wait.max(Duration::from_millis(500)))
}

/// Forgets failures of calls that are not planned any more; answers whether there were any. A plan that took them into
/// account is not to be acted on.
pub(super) fn forget_other(steps: &[Step], memory: &mut Memory) -> bool {
    let before = memory.refused.len();
    memory.refused.retain(|place, (wanted, ..)| {
        let kind = discriminant(wanted);
        let same = |step: &&Step| step.place == *place && discriminant(&step.wanted) == kind;
        steps.iter().any(|step| same(&step))
    });
    memory.refused.len() < before
}

/// Not while its effect may still be seen, nor before what failed may be tried again.
fn is_due(step: &Step, memory: &Memory, now: Instant) -> bool {
    let under_way = memory.under_way.get(&step.place);
    let sent = under_way.is_some_and(|(wanted, until)| *wanted == step.wanted && *until > now);
    let refused = memory.refused.get(&step.place);
    !sent && refused.is_none_or(|(_, _, until)| *until <= now)
}

async fn take(context: &Context, name: &str, step: &Step) -> Result<Ensured, MemberError> {
    let member = match &step.place {
        Place::Host => context.host.member(HOST),
        Place::Member(cluster) => context.fleet.member(cluster),
    };
    let Some(member) = member else {
        let words = format!("{} is not connected", step.place);
        return Err(MemberError::new(Class::Unreachable, words));
    };
    let namespace = Namespace {
        name: name.to_owned(),
        origin: context.origin.clone(),
        wanted: step.wanted.clone(),
    };
    member.ensure(Desired::Namespace(Box::new(namespace))).await
}

/// How long after a failure the next try comes.
pub(super) fn pause(error: &MemberError, wanted: &Wanted) -> Duration {
    Duration::from_secs(match (error.class, wanted) {
        // What others have put into it will hardly be gone soon.
        (Class::Conflict, Wanted::Gone { .. }) => 300,
        (Class::Conflict | Class::Unauthorized | Class::Rejected, _) => 60,
        (Class::Unreachable, _) => 5,
        // Its contents are being counted: nearly always done at the first try.
        (Class::Throttled, Wanted::Gone { .. }) => 10,
        (Class::Throttled, _) => 3,
    })
}
