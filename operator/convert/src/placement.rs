//! `status.placement` between core and the API.

use sky_core::observation::Trouble;
use sky_core::placement::{PlacedShare, Placement, Unplaced};
use sky_crds::status::{ClusterReplicas, Evicting, PlacementStatus, Share, Unplaced as ApiUnplaced};

use crate::status::{LONGEST_MESSAGE, code, cut, time};

/// The placement as it is stored.
#[must_use]
pub fn to_api(placement: &Placement) -> PlacementStatus {
    let clusters = placement.by_cluster().into_iter();
    PlacementStatus {
        revision: placement.revision,
        shares: placement.shares.iter().map(share_to_api).collect(),
        unplaced: placement.unplaced.iter().map(unplaced_to_api).collect(),
        clusters: clusters
            .map(|(cluster, replicas)| ClusterReplicas {
                cluster: cluster.into(),
                replicas,
            })
            .collect(),
    }
}

/// A stored placement. Ranks that cannot be read are nobody's: such a share has none.
#[must_use]
pub fn from_api(api: &PlacementStatus) -> Placement {
    Placement {
        revision: api.revision,
        shares: api.shares.iter().map(share_from_api).collect(),
        unplaced: api.unplaced.iter().map(unplaced_from_api).collect(),
    }
}

fn share_to_api(share: &PlacedShare) -> Share {
    Share {
        id: share.id.clone(),
        cluster: share.cluster.clone(),
        replicas: share.replicas,
        ranks: Some(share.ranks.to_string()).filter(|ranks| !ranks.is_empty()),
        attempt: share.attempt,
        interruptions: counted(share.interruptions),
        bind_time: share.bound.and_then(time),
        started: share.seen.then_some(true),
        complete: share.complete.then_some(true),
        evicting: share.evicting.as_ref().map(|why| Evicting {
            reason: code(&why.reason),
            message: Some(cut(&why.message, LONGEST_MESSAGE)),
        }),
        done: Some(share.done.to_string()).filter(|ranks| !ranks.is_empty()),
        instance: share.instance.clone(),
    }
}

fn share_from_api(share: &Share) -> PlacedShare {
    PlacedShare {
        id: share.id.clone(),
        cluster: share.cluster.clone(),
        replicas: share.replicas,
        ranks: share
            .ranks
            .as_deref()
            .and_then(|text| text.parse().ok())
            .unwrap_or_default(),
        attempt: share.attempt,
        interruptions: share.interruptions.unwrap_or(0),
        bound: share.bind_time.as_ref().map(|time| time.0.as_second()),
        seen: share.started.unwrap_or(false),
        complete: share.complete.unwrap_or(false),
        evicting: share.evicting.as_ref().map(|why| Trouble {
            reason: why.reason.clone(),
            message: why.message.clone().unwrap_or_default(),
        }),
        done: share
            .done
            .as_deref()
            .and_then(|text| text.parse().ok())
            .unwrap_or_default(),
        instance: share.instance.clone(),
    }
}

fn unplaced_to_api(waiting: &Unplaced) -> ApiUnplaced {
    ApiUnplaced {
        ranks: waiting.ranks.to_string(),
        attempt: waiting.attempt,
        interruptions: counted(waiting.interruptions),
    }
}

fn unplaced_from_api(api: &ApiUnplaced) -> Unplaced {
    Unplaced {
        ranks: api.ranks.parse().unwrap_or_default(),
        attempt: api.attempt,
        interruptions: api.interruptions.unwrap_or(0),
    }
}

fn counted(number: i64) -> Option<i64> {
    (number > 0).then_some(number)
}

#[cfg(test)]
mod tests {
    #[test]
    fn core_knows_how_many_shares_a_status_holds() {
        assert_eq!(sky_core::placement::MOST_SHARES, sky_crds::bounds::MAX_SHARES);
    }
}
