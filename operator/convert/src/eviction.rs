//! `status.evictions` and `status.coolDowns` between core and the API.

use sky_core::eviction::{CoolDown, Eviction};
use sky_crds::status::{CoolDown as ApiCoolDown, Eviction as ApiEviction};

use crate::status::{LONGEST_MESSAGE, code, cut, time};

/// An eviction as it is stored; `None` when its time is none of the calendar's.
#[must_use]
pub fn to_api(eviction: &Eviction) -> Option<ApiEviction> {
    Some(ApiEviction {
        cluster: eviction.cluster.clone(),
        replicas: eviction.replicas,
        reason: code(&eviction.reason),
        message: Some(cut(&eviction.message, LONGEST_MESSAGE)),
        time: time(eviction.at)?,
        attempt: eviction.attempt,
    })
}

/// A stored eviction.
#[must_use]
pub fn from_api(api: &ApiEviction) -> Eviction {
    Eviction {
        cluster: api.cluster.clone(),
        replicas: api.replicas,
        reason: api.reason.clone(),
        message: api.message.clone().unwrap_or_default(),
        at: api.time.0.as_second(),
        attempt: api.attempt,
    }
}

/// A cool-down as it is stored; `None` when its time is none of the calendar's.
#[must_use]
pub fn cool_down_to_api(cooling: &CoolDown) -> Option<ApiCoolDown> {
    Some(ApiCoolDown {
        cluster: cooling.cluster.clone(),
        until: time(cooling.until)?,
        count: cooling.count,
    })
}

/// A stored cool-down.
#[must_use]
pub fn cool_down_from_api(api: &ApiCoolDown) -> CoolDown {
    CoolDown {
        cluster: api.cluster.clone(),
        until: api.until.0.as_second(),
        count: api.count,
    }
}
