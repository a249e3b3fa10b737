//! Takes arrays away: cancels them, holds them back while nothing of them has started, or makes tombstones of them. Every
//! call can be repeated; nothing foreign is touched.

use std::sync::Arc;

use sky_core::share::ShareKey;

use super::array::Array;
use super::comment::Comment;
use super::dispatch::{cancel, is_tombstone, mark_and_cancel, taken};
use super::look::Site;
use super::submission;
use crate::{Class, MemberError, Tombstone, Withdraw, Withdrawn};

/// Begins to take the share under `key` away, as `how` says, when it is ours.
pub(super) async fn withdraw(
    site: &Arc<Site>,
    key: &ShareKey,
    how: Withdraw,
) -> Result<Withdrawn, MemberError> {
    let found = site.under(key).await?;
    match how {
        Withdraw::Always(tombstone) => bury(site, key, &found, &tombstone).await,
        _ if found.iter().any(|array| array.comment.origin() != site.origin) => {
            let words = format!("the job {} is of another host", key.object);
            Err(MemberError::new(Class::Conflict, words))
        }
        Withdraw::Remove => remove(site, &found).await,
        Withdraw::IfNotStarted => hold_back(site, key, &found).await,
    }
}

async fn remove(site: &Arc<Site>, found: &[Array]) -> Result<Withdrawn, MemberError> {
    if found.is_empty() {
        return Ok(Withdrawn::Gone);
    }
    for array in found {
        if array.is_over() {
            // slurmctld lets nothing of it be changed any more, and drops it by itself.
            site.past().remove(array.instance());
            site.stir();
        } else {
            cancel(site, array).await?;
        }
    }
    Ok(Withdrawn::Going)
}

/// Holds an array unless a task of it has started. One may start between the look and the hold: then the rest is let go
/// again, for a share that has started is to be left as it is.
async fn hold_back(site: &Arc<Site>, key: &ShareKey, found: &[Array]) -> Result<Withdrawn, MemberError> {
    let Some(array) = found.first() else {
        return Ok(Withdrawn::Gone);
    };
    if is_tombstone(site, array) || array.comment.removed {
        return Ok(Withdrawn::Going);
    }
    if array.is_over() || (array.has_started() && !array.comment.suspended) {
        return Ok(Withdrawn::Started);
    }
    if array.comment.suspended {
        return Ok(Withdrawn::Going);
    }
    let was_held = array.is_held();
    let held = array.comment.with(|comment| comment.suspended = true);
    let changed = site.client.change(array.id, &held.write()?, Some(true)).await;
    site.stir();
    changed?;
    if was_held {
        return Ok(Withdrawn::Going);
    }
    let again = site.under(key).await?;
    let started = again.iter().find(|now| now.id == array.id && now.has_started());
    if started.is_none() {
        return Ok(Withdrawn::Going);
    }
    let changed = site
        .client
        .change(array.id, &array.comment.write()?, Some(false))
        .await;
    site.stir();
    changed.map(|_| Withdrawn::Started)
}

/// Makes a tombstone of what is there, or submits one, held, under the name.
async fn bury(
    site: &Arc<Site>,
    key: &ShareKey,
    found: &[Array],
    tombstone: &Tombstone,
) -> Result<Withdrawn, MemberError> {
    if let Some(other) = found
        .iter()
        .find(|array| !array.comment.stamp().is_of_same_share(&tombstone.stamp))
    {
        return Err(taken(other));
    }
    if found.is_empty() {
        let mut comment = Comment::new(&tombstone.stamp, 1, site.nonce(key));
        comment.tombstone = Some(tombstone.since);
        let submission = submission::inert(&key.object, &site.access, comment.write()?);
        let submitted = site.client.submit(&submission).await;
        site.stir();
        return submitted.map(|_| Withdrawn::Going);
    }
    if found.iter().any(|array| array.comment.removed) {
        let words = format!("the job {} is still on its way out", key.object);
        return Err(MemberError::new(Class::Throttled, words));
    }
    for array in found {
        if array.is_over() {
            site.past().bury(array.instance(), tombstone.since);
            site.stir();
        } else if !(is_tombstone(site, array) && array.tasks.is_empty()) {
            let since = array.comment.tombstone.or(Some(tombstone.since));
            let comment = array.comment.with(|comment| comment.tombstone = since);
            mark_and_cancel(site, array, &comment).await?;
        }
    }
    Ok(Withdrawn::Going)
}
