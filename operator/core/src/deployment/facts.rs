//! What is known when a SkyDeployment is planned: its own record on the host and what members say about its shares.

use std::collections::BTreeMap;

use super::shrink::Standing;
use super::status::ClusterStatus;
use crate::Seconds;
use crate::eviction::{CoolDown, Eviction, OnLost};
use crate::job::{Reach, Refused, SentBack};
use crate::observation::{Observation, Rollout, Trouble};
use crate::placement::{PlacedShare, Placement};
use crate::share::ShareKey;
use crate::workload::Strategy;

/// A SkyDeployment as its object on the host shows it.
#[derive(Clone, Debug, Default)]
pub struct Facts {
    /// Generation of the spec.
    pub generation: i64,
    /// Being deleted.
    pub deleting: bool,
    /// Carries our finalizer.
    pub finalizer: bool,
    /// Why the spec cannot be carried out, if it cannot: what runs is left as it is.
    pub refused: Option<Refused>,
    /// Its uid on the host.
    pub uid: String,
    /// Replicas asked for.
    pub replicas: i64,
    /// How they are spread.
    pub strategy: Strategy,
    /// A changed template waits.
    pub paused: bool,
    /// Clusters that may be in the middle of a rollout at once.
    pub most_unavailable: i64,
    /// What happens to shares of a lost cluster.
    pub on_lost: OnLost,
    /// Seconds in which a share must start its first replica; 0: any time.
    pub pending_timeout: Seconds,
    /// Where it is placed.
    pub placement: Placement,
    /// Hash of the template wanted, by cluster that it is placed on.
    pub hashes: BTreeMap<String, String>,
    /// Evictions so far, the last one last.
    pub evictions: Vec<Eviction>,
    /// Clusters that are not tried for a while.
    pub cool_downs: Vec<CoolDown>,
    /// What is recorded of each cluster: shown while it is silent and nothing newer is known.
    pub recorded: BTreeMap<String, ClusterStatus>,
}

/// What members say about the shares of one SkyDeployment.
#[derive(Clone, Debug, Default)]
pub struct Members {
    /// Clusters of its shares, and how far they can be believed. A cluster that is not listed is not registered.
    pub reach: BTreeMap<String, Reach>,
    /// Shares of its uid, by cluster, wherever they are.
    pub shares: Vec<(String, Observation)>,
    /// Objects that members were asked to create and that they have not shown yet, by cluster.
    pub unseen: Vec<(String, ShareKey)>,
    /// Shares that a member would not take, by share id.
    pub sent_back: BTreeMap<String, SentBack>,
    /// Clusters where no share of it may be any more, and why.
    pub forbidden: BTreeMap<String, Trouble>,
    /// How the clusters of its shares stand in its placement rules.
    pub standings: BTreeMap<String, Standing>,
    /// Generation of each share's object after it was last made as wanted, by share id. Any other was made by somebody
    /// else.
    pub applied: BTreeMap<String, i64>,
    /// Clusters that were silent, and since when they are not any more.
    pub back_since: BTreeMap<String, Seconds>,
    /// Since when as many replicas of a share as now wait to start, by share id.
    pub pending_since: BTreeMap<String, Seconds>,
    /// What is to be said of shares though they run, by share id.
    pub notes: BTreeMap<String, Trouble>,
    /// Until when shares waited for what only a user can mend, by share id: that is no lateness.
    pub waited: BTreeMap<String, Seconds>,
}

impl Members {
    /// The observation of `share`, if its member has it.
    pub(super) fn observed(&self, share: &PlacedShare) -> Option<&Observation> {
        let mut shares = self.shares.iter();
        let found = shares.find(|(cluster, seen)| *cluster == share.cluster && seen.stamp.share == share.id);
        found.map(|(_, seen)| seen)
    }

    /// How far the object of `share` has got, if its member has it.
    pub(super) fn rollout(&self, share: &PlacedShare) -> Option<&Rollout> {
        self.observed(share)?.rollout.as_ref()
    }

    /// Whether what the cluster says is what there is.
    pub(super) fn is_synced(&self, cluster: &str) -> bool {
        self.reach.get(cluster) == Some(&Reach::Synced)
    }
}
