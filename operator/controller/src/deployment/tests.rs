//! Scenarios of SkyDeployments: the operator between a host in memory and fake members, with faults and virtual time.

mod life;
mod loss;

use serde_json::{Value, json};

use crate::tests::stage::Stage;

/// A spec of this many replicas of one cpu.
fn replicas(count: i64) -> Value {
    json!({"replicas": count, "resources": {"cpu": 1}, "image": "nginx"})
}

/// Has every replica of `web` get a node and start.
fn serve(stage: &Stage, members: &[&str]) {
    for member in members {
        stage.member(member).place("web");
        stage.member(member).start("web");
    }
}

/// Two members of three cpus each, and a deployment of four replicas that runs on both.
async fn serving() -> Stage {
    let mut stage = Stage::new(&[("a", 3000), ("b", 3000)]).await;
    stage.deploy("web", replicas(4));
    stage.run(1).await;
    serve(&stage, &["a", "b"]);
    stage.run(5).await;
    assert_eq!(
        stage.line("web"),
        "Ready a:3,b:1 Ready=Available Progressing=Complete"
    );
    stage
}

fn scale(stage: &Stage, count: i64) {
    stage.edit("web", |web| web["spec"]["replicas"] = json!(count));
}
