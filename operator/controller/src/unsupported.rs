//! Says of the kinds whose behaviour is not there yet what is not done about them, instead of leaving them silent.

use std::fmt::Debug;
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;
use kube::core::Resource;
use kube::runtime::controller::Action;
use kube::{Api, Client, ResourceExt};
use serde::Serialize;
use serde::de::DeserializeOwned;
use sky_convert::status::transition;
use sky_crds::SkyNamespace;

use crate::host;

/// A kind whose behaviour is not there yet.
pub trait NotYet:
    Resource<DynamicType = ()> + Serialize + DeserializeOwned + Clone + Debug + Send + Sync
{
    /// What is done about such an object all the same.
    const DONE: &'static str = "nothing is done about this object";
    /// Its objects, where this one lives.
    fn api(&self, client: Client) -> Api<Self>;
    /// Its generation and conditions, to be set.
    fn report(&mut self) -> (&mut Option<i64>, &mut Vec<Condition>);
}

impl NotYet for SkyNamespace {
    const DONE: &'static str =
        "it restricts where workloads of this namespace are placed, but creates no namespace";

    fn api(&self, client: Client) -> Api<Self> {
        Api::all(client)
    }

    fn report(&mut self) -> (&mut Option<i64>, &mut Vec<Condition>) {
        let status = self.status.get_or_insert_default();
        (&mut status.observed_generation, &mut status.conditions)
    }
}

/// Reports `Stalled reason=NotSupported` once for each generation.
///
/// # Errors
/// When the host refuses the write.
pub async fn reconcile<K: NotYet>(object: Arc<K>, client: Arc<Client>) -> Result<Action, kube::Error> {
    let mut next = K::clone(&object);
    let generation = next.meta().generation.unwrap_or(0);
    let words = format!("{} is not supported yet: {}", K::kind(&()), K::DONE);
    let (observed, conditions) = next.report();
    if *observed == Some(generation) {
        return Ok(Action::await_change());
    }
    let stored = std::mem::take(conditions);
    conditions.push(transition(
        "Stalled",
        true,
        ("NotSupported", &words),
        generation,
        &stored,
        Timestamp::now(),
    ));
    *observed = Some(generation);
    next.meta_mut().managed_fields = None;
    match host::replace_status(&object.api((*client).clone()), &next).await {
        Ok(_) => Ok(Action::await_change()),
        Err(error) if host::is_stale(&error) => Ok(Action::requeue(Duration::from_secs(1))),
        Err(error) => Err(error),
    }
}

/// What happens after an error: again, soon but not at once.
#[must_use]
pub fn retry<K: NotYet>(object: Arc<K>, error: &kube::Error, _: Arc<Client>) -> Action {
    tracing::warn!(kind = %K::kind(&()), name = %object.name_any(), "failed to report: {error}");
    Action::requeue(Duration::from_secs(10))
}
