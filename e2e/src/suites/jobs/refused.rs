//! What is not done, and how it is said. Part of the suite `jobs`.

use anyhow::{Result, ensure};
use serde_json::json;

use super::{KWOK, nowhere, on, shared, simulated, with};
use crate::runner::Context;
use crate::suites::sky::{self, message};

pub(super) async fn what_no_schema_can_know_is_refused_by_the_operator_in_words(
    context: &Context,
) -> Result<()> {
    let sky = shared(context).await?;
    let asked = [
        (
            "absurd",
            json!({"resources": {"memory": "99999999Ei"}}),
            "spec.resources.memory: ",
        ),
        (
            "unknown",
            json!({"resources": {"ram": 1}}),
            "spec.resources.ram: is neither cpu, memory, gpu",
        ),
        (
            "twice",
            json!({"resources": {"cpu": 1, "cpus": 1}}),
            "spec.resources: cpu and cpus are the same resource",
        ),
        (
            "wide",
            json!({"placement": {"spread": {"minClusters": 2}}}),
            "spec.placement.spread.minClusters: 2 clusters cannot be used by 1 replicas",
        ),
        (
            "alone",
            json!({"slurm": {"directives": {"exclusive": "perhaps"}}}),
            "spec.slurm.directives.exclusive: \"perhaps\" is none of true, user, mcs, false",
        ),
    ];
    for (name, fields, says) in asked {
        sky.create(name, with(simulated("1s"), fields)).await?;
        let job = sky.until_true(name, "Stalled", "InvalidSpec").await?;
        let words = message(&job, "Stalled");
        ensure!(words.starts_with(says), "{name} says {words:?}");
        nowhere(&sky, name).await?;
        sky.delete(name).await?;
    }
    Ok(())
}

pub(super) async fn a_template_that_a_member_refuses_fails_the_job(context: &Context) -> Result<()> {
    let sky = shared(context).await?;
    let template = json!({"spec": {"containers": [{"name": "Not_A_Label", "image": "x", "resources":
        {"requests": {"cpu": "10m"}}}]}});
    sky.create(
        "misshapen",
        json!({"template": template, "placement": on(&[KWOK])}),
    )
    .await?;
    let job = sky.until_true("misshapen", "Failed", "InvalidTemplate").await?;
    ensure!(
        message(&job, "Failed").contains("Not_A_Label"),
        "{}",
        sky::describe(&job)
    );
    sky.until_true("misshapen", "Stalled", "InvalidTemplate").await?;
    sky.delete("misshapen").await
}
