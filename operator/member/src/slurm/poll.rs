//! Listens to a Slurm member by looking: one list of jobs, one of nodes, one of partitions. What differs from the look
//! before is told. The jobs are looked at first: what they call running is then not free on any node.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use futures::stream::{self, BoxStream, StreamExt};
use sky_core::cluster::Node;
use sky_core::observation::{Item, ItemKey, MemberEvent, Observation, Trouble};
use sky_core::share::ShareKey;
use tokio::sync::watch;
use tokio::time::{Instant, sleep, sleep_until, timeout};

use super::look::Site;
use crate::{CALL_DEADLINE, Class, MemberError};

/// Between two looks while something of ours waits, or runs to its end.
const BUSY: Duration = Duration::from_secs(1);
/// The same, when nothing does: nodes may change all the time.
const IDLE: Duration = Duration::from_secs(5);
/// After a change of ours: several come together.
const STIRRED: Duration = Duration::from_millis(100);
/// The longest between two looks, a third of the MinJobAge that a cluster must have: what ends in between is still listed.
const LONGEST: Duration = Duration::from_secs(30);
/// A look may take a tenth of the time, so that a large cluster is not kept busy with being looked at.
const SHARE_OF_TIME: u32 = 10;
/// Between two tries to reach a silent member.
const RETRY: Duration = Duration::from_secs(2);
/// Looks in a row that may fail before the member counts as silent: slurmctld takes a second to start anew.
const MISSED: u32 = 2;

/// What a look shows.
#[derive(Clone, Debug, Default, PartialEq)]
struct Sight {
    shares: BTreeMap<ShareKey, Observation>,
    nodes: BTreeMap<String, Node>,
}

struct Ear {
    site: Arc<Site>,
    stirs: watch::Receiver<u64>,
    /// Identity of the cluster that this is to be.
    expected: Option<String>,
    /// What was told last; `None`: nothing yet, or it is silent.
    told: Option<Sight>,
    /// The reason that was last given for a silence that still lasts.
    said_lost: Option<String>,
    missed: u32,
    next: Instant,
}

/// What happens on the member, from now on.
pub(super) fn events(site: Arc<Site>, expected: Option<String>) -> BoxStream<'static, MemberEvent> {
    let stirs = site.stirs();
    let ear = Ear {
        site,
        stirs,
        expected,
        told: None,
        said_lost: None,
        missed: 0,
        next: Instant::now(),
    };
    stream::unfold(ear, |mut ear| async move {
        let event = ear.next().await;
        Some((event, ear))
    })
    .boxed()
}

impl Ear {
    async fn next(&mut self) -> MemberEvent {
        loop {
            self.wait().await;
            let began = Instant::now();
            let looked = match timeout(CALL_DEADLINE, self.look()).await {
                Ok(looked) => looked,
                Err(_) => {
                    let words = format!("no answer within {} s", CALL_DEADLINE.as_secs());
                    Err(MemberError::new(Class::Unreachable, words))
                }
            };
            let event = match looked {
                Ok(sight) => {
                    self.missed = 0;
                    self.said_lost = None;
                    self.next = began + pause(&sight, began.elapsed());
                    self.tell(sight)
                }
                Err(error) => {
                    self.next = Instant::now() + RETRY;
                    self.miss(error)
                }
            };
            if let Some(event) = event {
                return event;
            }
        }
    }

    /// Until it is time to look, or something was changed there by us.
    async fn wait(&mut self) {
        let silent = self.told.is_none();
        tokio::select! {
            () = sleep_until(self.next) => {}
            Ok(()) = self.stirs.changed(), if !silent => sleep(STIRRED).await,
        }
        self.stirs.mark_unchanged();
    }

    async fn look(&self) -> Result<Sight, MemberError> {
        let listed = self.site.list().await?;
        if self.told.is_none()
            && let Some(expected) = &self.expected
            && let (_, Some(found)) = self.site.identity(Some(&listed)).await?
            && found != *expected
        {
            let words = format!("another cluster answers: its ClusterName is {found}, not {expected}");
            return Err(MemberError::new(Class::Conflict, words));
        }
        let (shares, lost) = self.site.say(&listed);
        // No other replica of a share goes on when one has failed for good. Who does not lead only looks.
        let may_write = self.site.client.http().may_write();
        for id in lost.into_iter().filter(|_| may_write) {
            if let Err(error) = self.site.client.cancel(id).await {
                tracing::warn!(
                    job = id,
                    "failed to stop the other replicas of a share that failed: {error}"
                );
            }
        }
        let nodes = self.site.nodes().await?;
        Ok(Sight { shares, nodes })
    }

    fn tell(&mut self, sight: Sight) -> Option<MemberEvent> {
        let event = match &self.told {
            None => Some(MemberEvent::Reset(all(&sight))),
            Some(told) => difference(told, &sight),
        };
        self.told = Some(sight);
        event
    }

    fn miss(&mut self, error: MemberError) -> Option<MemberEvent> {
        self.missed += 1;
        let passing = error.class == Class::Unreachable && self.told.is_some() && self.missed < MISSED;
        let reason = error.class.as_str();
        if passing || self.said_lost.as_deref() == Some(reason) {
            return None;
        }
        self.told = None;
        self.said_lost = Some(reason.to_owned());
        Some(MemberEvent::Lost(Trouble {
            reason: reason.to_owned(),
            message: error.message,
        }))
    }
}

/// How long after the beginning of a look that took `took` the next one begins.
fn pause(sight: &Sight, took: Duration) -> Duration {
    let serves = |seen: &Observation| {
        let rollout = seen.rollout.as_ref();
        let all =
            rollout.is_some_and(|rollout| rollout.available == seen.active && rollout.updated == seen.active);
        all && seen.trouble.is_none()
    };
    let unfinished = |seen: &Observation| seen.end.is_none() && seen.tombstone.is_none() && !serves(seen);
    let base = if sight.shares.values().any(unfinished) {
        BUSY
    } else {
        IDLE
    };
    base.max(took.saturating_mul(SHARE_OF_TIME)).min(LONGEST)
}

fn all(sight: &Sight) -> Vec<Item> {
    let nodes = sight.nodes.values().cloned().map(Item::Node);
    nodes
        .chain(sight.shares.values().cloned().map(Item::Share))
        .collect()
}

/// `None` when nothing differs.
fn difference(before: &Sight, now: &Sight) -> Option<MemberEvent> {
    let nodes = now
        .nodes
        .iter()
        .filter(|(name, node)| before.nodes.get(*name) != Some(node));
    let shares = now
        .shares
        .iter()
        .filter(|(key, share)| before.shares.get(*key) != Some(share));
    let upserts: Vec<Item> = nodes
        .map(|(_, node)| Item::Node(node.clone()))
        .chain(shares.map(|(_, share)| Item::Share(share.clone())))
        .collect();
    let nodes = before.nodes.keys().filter(|name| !now.nodes.contains_key(*name));
    let shares = before.shares.keys().filter(|key| !now.shares.contains_key(*key));
    let gone: Vec<ItemKey> = nodes
        .map(|name| ItemKey::Node(name.clone()))
        .chain(shares.map(|key| ItemKey::Share(key.clone())))
        .collect();
    let differs = !upserts.is_empty() || !gone.is_empty();
    differs.then_some(MemberEvent::Changed { upserts, gone })
}

#[cfg(test)]
mod tests;
