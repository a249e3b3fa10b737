//! Keeps the replicas of a SkyDeployment's share: submits those that are missing, cancels those that are not wanted. What
//! is next is said by `slots`; here it is done, some at the same time.

use std::sync::Arc;

use futures::stream::{self, StreamExt, TryStreamExt};
use sky_core::share::{Share, ShareKey, Stamp};

use super::array::Array;
use super::comment::Comment;
use super::dispatch::{cancel, taken};
use super::look::{Site, now};
use super::slots::{Slots, Turn, Wanted};
use super::submission;
use crate::{Class, Ensured, MemberError, Scale};

/// Replicas that are submitted or cancelled at the same time.
const AT_ONCE: usize = 8;

/// Replicas that are submitted or cancelled in one call: it must end in time, and another one goes on.
const IN_ONE_CALL: usize = 64;

/// Goes one step towards the share as it is wanted.
pub(super) async fn ensure(site: &Arc<Site>, share: &Share) -> Result<Ensured, MemberError> {
    let found = of_share(site, &share.key, &share.stamp).await?;
    let wanted = Wanted {
        replicas: share.replicas,
        hash: Some(&share.stamp.spec_hash),
    };
    let turn = slots(site, &found).turn(wanted);
    carry_out(site, &found, &turn, Some(share)).await?;
    generation(site, &share.key, &turn).await
}

/// Goes one step towards another number of the replicas that are there.
pub(super) async fn scale(site: &Arc<Site>, scale: &Scale) -> Result<Ensured, MemberError> {
    let found = of_share(site, &scale.key, &scale.stamp).await?;
    let (turn, hash) = {
        let slots = slots(site, &found);
        let wanted = Wanted {
            replicas: scale.replicas,
            hash: None,
        };
        (slots.turn(wanted), slots.hash().map(str::to_owned))
    };
    let Some(hash) = hash else {
        return Err(MemberError::new(Class::Throttled, "it was deleted meanwhile"));
    };
    let template = scale.template.as_deref();
    let template = template.filter(|share| share.stamp.spec_hash == hash);
    if template.is_none() && !turn.submit.is_empty() {
        let words = "a Slurm cluster keeps no template, and the one of the replicas there is not among the revisions any \
                     more: replicas are added when its turn for the changed template comes";
        return Err(MemberError::new(Class::Throttled, words));
    }
    carry_out(site, &found, &turn, template).await?;
    generation(site, &scale.key, &turn).await
}

/// The arrays of the share of this stamp.
async fn of_share(site: &Arc<Site>, key: &ShareKey, stamp: &Stamp) -> Result<Vec<Array>, MemberError> {
    let found = site.named(key).await?;
    let mut each = found.iter();
    match each.find(|array| !array.comment.stamp().is_of_same_share(stamp)) {
        Some(other) => Err(taken(other)),
        None => Ok(found),
    }
}

fn slots<'a>(site: &Arc<Site>, found: &'a [Array]) -> Slots<'a> {
    Slots::read(found, &site.past(), now())
}

async fn carry_out(
    site: &Arc<Site>,
    found: &[Array],
    turn: &Turn,
    template: Option<&Share>,
) -> Result<(), MemberError> {
    let going = found.iter().filter(|array| turn.cancel.contains(&array.id));
    let going: Vec<Array> = going.take(IN_ONE_CALL).cloned().collect();
    stream::iter(going)
        .map(async |array| cancel(site, &array).await)
        .buffer_unordered(AT_ONCE)
        .try_collect::<()>()
        .await?;
    let Some(share) = template else {
        return Ok(());
    };
    let slots: Vec<u32> = turn.submit.iter().take(IN_ONE_CALL).copied().collect();
    stream::iter(slots)
        .map(async |slot| submit(site, share, slot).await)
        .buffer_unordered(AT_ONCE)
        .try_collect::<()>()
        .await
}

async fn submit(site: &Arc<Site>, share: &Share, slot: u32) -> Result<(), MemberError> {
    let mut comment = Comment::new(&share.stamp, 1, site.nonce(&share.key));
    comment.slot = Some(slot);
    let submission = submission::of_slot(share, slot, &site.access, comment.write()?)?;
    let submitted = site.client.submit(&submission).await;
    site.stir();
    submitted.map(drop)
}

/// The generation that the share has now that `turn` is carried out.
async fn generation(site: &Arc<Site>, key: &ShareKey, turn: &Turn) -> Result<Ensured, MemberError> {
    if *turn != Turn::default() {
        site.list().await?;
    }
    Ok(Ensured::AsWanted(site.past().generation(key)))
}
