//! Scenarios of SkyJobs: the operator between a host in memory and fake members, with faults and virtual time.

mod changes;
mod confirm;
mod evictions;
mod faults;
mod kills;
mod life;
mod lost;
mod overrides;
mod silence;

use serde_json::{Value, json};

use crate::tests::stage::Stage;

/// The writes of a life without trouble.
const THREE_WRITES: [&str; 3] = ["job +finalizer", "job status Pending", "job status Complete"];

/// A spec of this many replicas of one cpu.
fn replicas(count: i64) -> Value {
    json!({"replicas": count, "resources": {"cpu": 1}, "run": "true"})
}

/// A spec of one replica of one cpu for this cluster alone.
fn only_on(cluster: &str) -> Value {
    let mut spec = replicas(1);
    let labels = json!({"skymanager.io/cluster-name": cluster});
    spec["placement"] = json!({"filters": [{"name": "here", "matchLabels": labels}]});
    spec
}

/// Two members of two cpus each, and a job of four replicas that runs on both.
async fn running() -> Stage {
    let mut stage = Stage::new(&[("a", 2000), ("b", 2000)]).await;
    stage.apply("job", replicas(4));
    stage.run(1).await;
    start(&stage);
    stage.run(20).await;
    assert_eq!(stage.line("job"), "Running a:2,b:2");
    stage
}

fn start(stage: &Stage) {
    for member in ["a", "b"] {
        stage.member(member).place("job");
        stage.member(member).start("job");
    }
}

fn succeed(stage: &Stage) {
    for member in ["a", "b"] {
        stage.member(member).succeed("job");
    }
}
