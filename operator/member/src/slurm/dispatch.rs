//! Submits, releases and holds arrays. A name is looked up before anything is submitted, and an array is released only by
//! who names its instance, which is recorded on the host by then: what slurmctld forgets before never ran.

use std::sync::Arc;

use sky_core::share::Share;

use super::array::Array;
use super::client::Changed;
use super::comment::Comment;
use super::look::Site;
use super::submission;
use crate::{Class, Ensured, MemberError};

/// Submits the array of `share`, held, or finds it, or changes whether it is held.
pub(super) async fn ensure(site: &Arc<Site>, share: &Share) -> Result<Ensured, MemberError> {
    let found = site.under(&share.key).await?;
    let Some(main) = found.first() else {
        return submit(site, share).await;
    };
    if let Some(other) = found
        .iter()
        .find(|array| !array.comment.stamp().is_of_same_share(&share.stamp))
    {
        return Err(taken(other));
    }
    if found.iter().any(|array| is_tombstone(site, array)) {
        let words = format!(
            "{} is a tombstone: this share was withdrawn for good",
            share.key.object
        );
        return Err(MemberError::new(Class::Conflict, words));
    }
    let named = match &share.instance {
        None => main,
        Some(instance) => match found.iter().find(|array| array.instance() == *instance) {
            Some(named) => named,
            None => return Err(gone(&share.key.object)),
        },
    };
    if named.is_over() || named.comment.removed {
        return Ok(Ensured::Present);
    }
    let release = share.instance.is_some() && !share.suspended && named.is_held();
    if named.comment.suspended == share.suspended && !release {
        return Ok(Ensured::Present);
    }
    let hold = match (share.suspended, release) {
        (true, _) => Some(true),
        (false, true) => Some(false),
        (false, false) => None,
    };
    let comment = named.comment.with(|comment| comment.suspended = share.suspended);
    if release {
        // Of the same share, submitted when the answer to the first was lost: they never run.
        for spare in found
            .iter()
            .filter(|array| array.id != named.id && !array.has_started())
        {
            cancel(site, spare).await?;
        }
    }
    let changed = site.client.change(named.id, &comment.write()?, hold).await;
    site.stir();
    match changed? {
        Changed::Done => Ok(Ensured::Updated),
        Changed::Over => Ok(Ensured::Present),
        // It was there when it was looked for: a first answer may have been lost, and with it the job that ran.
        Changed::Gone => Err(MemberError {
            class: Class::Unreachable,
            ..gone(&share.key.object)
        }),
    }
}

async fn submit(site: &Arc<Site>, share: &Share) -> Result<Ensured, MemberError> {
    if share.known || share.instance.is_some() {
        return Err(gone(&share.key.object));
    }
    let mut comment = Comment::new(&share.stamp, share.replicas, site.nonce(&share.key));
    comment.suspended = share.suspended;
    let submission = submission::of(share, &site.access, comment.write()?)?;
    let submitted = site.client.submit(&submission).await;
    site.stir();
    submitted.map(|_| Ensured::Created)
}

/// Cancels an array, marked so that nothing of it is shown when it is over.
pub(super) async fn cancel(site: &Arc<Site>, array: &Array) -> Result<(), MemberError> {
    let comment = array.comment.with(|comment| comment.removed = true);
    mark_and_cancel(site, array, &comment).await
}

/// Writes `comment`, holds what waits, so that it does not start meanwhile, and cancels the array.
pub(super) async fn mark_and_cancel(
    site: &Arc<Site>,
    array: &Array,
    comment: &Comment,
) -> Result<(), MemberError> {
    let marked = site.client.change(array.id, &comment.write()?, Some(true)).await;
    site.stir();
    if marked? == Changed::Done {
        site.client.cancel(array.id).await?;
        site.stir();
    }
    Ok(())
}

pub(super) fn is_tombstone(site: &Arc<Site>, array: &Array) -> bool {
    array.comment.tombstone.is_some() || site.past().tombstone(&array.instance()).is_some()
}

/// Something that is not of the share has its name.
pub(super) fn taken(array: &Array) -> MemberError {
    let words = format!(
        "job {} of the name {} is of another share or host",
        array.id, array.key.object
    );
    MemberError::new(Class::Conflict, words)
}

fn gone(object: &str) -> MemberError {
    let words = format!("job {object} is not there any more: it was cancelled, or slurmctld forgot it");
    MemberError::new(Class::Throttled, words)
}
