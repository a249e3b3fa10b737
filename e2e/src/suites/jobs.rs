//! Suite `jobs`: what a SkyJob is for, on real containers where it shows, else on simulated nodes.
//! Cases: `placing` (where it goes, why it waits), `spreading` (in which numbers, and with what), `running` (how it runs
//! and ends), `overriding` (how it differs by member), `refused` (what is not done).

mod overriding;
mod placing;
mod refused;
mod running;
mod spreading;

use anyhow::{Result, ensure};
use futures::future::try_join_all;
use serde_json::{Value, json};

use super::Suite;
use super::sky::Sky;
use crate::plan::Plan;
use crate::runner::Context;

pub(super) const ONPREM: &str = "mluo-onprem";
pub(super) const CLOUD: &str = "mluo-cloud";
/// The member whose pods only seem to run.
pub(super) const KWOK: &str = "cloud-2";

pub const SUITE: Suite = Suite {
    name: "jobs",
    about: "SkyJobs are placed, run, end and go as the design says",
    cases: &[
        case!(placing::replicas_on_two_members_know_their_ranks),
        case!(placing::the_original_job_goes_where_filters_and_preferences_say),
        case!(placing::a_policy_keeps_matching_jobs_off_a_cluster),
        case!(placing::a_queued_job_counts_its_reasons_and_starts_when_a_cordon_is_lifted),
        case!(placing::a_gang_waits_whole_and_starts_when_room_comes),
        case!(placing::a_label_added_to_a_cluster_starts_a_queued_job),
        case!(placing::a_node_selector_in_a_template_decides),
        case!(placing::what_no_cluster_could_ever_hold_is_too_large),
        case!(spreading::an_even_spread_uses_as_many_clusters_as_it_may),
        case!(spreading::without_a_gang_what_fits_starts_and_the_rest_follows),
        case!(spreading::an_accelerator_is_asked_for_by_the_name_of_its_model),
        case!(running::a_failing_replica_fails_the_job_and_withdraws_the_rest),
        case!(running::a_failed_replica_is_tried_as_often_as_asked),
        case!(running::a_template_runs_as_it_is_written),
        case!(running::a_missing_image_is_named_in_the_status),
        case!(running::a_job_can_be_held_back_before_and_after_it_is_placed),
        case!(running::a_new_run_id_starts_once_more_and_a_used_one_never),
        case!(running::what_has_expired_leaves_members_and_keeps_its_record),
        case!(running::a_deadline_ends_a_job),
        case!(running::a_namespace_comes_to_a_member_when_first_needed),
        case!(running::a_running_job_that_is_deleted_leaves_nothing),
        case!(overriding::pods_differ_by_member_as_overrides_say),
        case!(overriding::an_override_that_cannot_be_applied_fails_the_job_in_words),
        case!(refused::what_no_schema_can_know_is_refused_by_the_operator_in_words),
        case!(refused::a_template_that_a_member_refuses_fails_the_job),
    ],
};

/// The lab of the original demonstration, its clusters labelled as the original text's job wants them.
pub(super) async fn shared(context: &Context) -> Result<Sky> {
    let sky = Sky::on(context, &Plan::default()).await?;
    let labels = [
        (
            ONPREM,
            json!({"purpose": "dev", "location": "us", "sky-cluster-name": "mycluster-dev-1"}),
        ),
        (CLOUD, json!({"purpose": "dev", "location": "na"})),
        (KWOK, json!({"purpose": "staging", "location": "us"})),
    ];
    try_join_all(labels.map(async |(name, labels)| {
        sky.patch_cluster(name, json!({"metadata": {"labels": labels}}))
            .await
    }))
    .await?;
    Ok(sky)
}

/// A placement on these clusters alone, the first preferred.
pub(super) fn on(clusters: &[&str]) -> Value {
    let name = |value| json!({"key": "skymanager.io/cluster-name", "operator": "In", "values": value});
    json!({
        "filters": [{"matchExpressions": [name(json!(clusters))]}],
        "preferences": [{"matchExpressions": [name(json!([clusters[0]]))], "weight": 100}],
    })
}

/// One replica of one cpu on the kwok member, where it runs this long.
pub(super) fn simulated(run_for: &str) -> Value {
    json!({
        "run": "true", "resources": {"cpu": 1}, "placement": on(&[KWOK]),
        "env": [{"name": "LAB_RUN_FOR", "value": run_for}],
    })
}

/// `spec` with these fields set.
fn with(mut spec: Value, fields: Value) -> Value {
    if let (Some(spec), Value::Object(fields)) = (spec.as_object_mut(), fields) {
        spec.extend(fields);
    }
    spec
}

/// What a real replica runs that is to be there until it is stopped.
pub(super) const UNTIL_STOPPED: &str = "trap 'exit 1' TERM; sleep 600 & wait";

/// Fails unless nothing of this SkyJob is on any member.
async fn nowhere(sky: &Sky, name: &str) -> Result<()> {
    for member in sky.lab.members() {
        let held = sky.shares(name, member.name()).await?.len();
        ensure!(held == 0, "{} holds {held} Jobs of {name}", member.name());
    }
    Ok(())
}
