//! Templates that differ by cluster: what members get, and what room is promised for it.

use serde_json::json;

use super::replicas;
use crate::tests::stage::Stage;

/// An override of the cpu that the only container asks for.
fn asking(cluster: &str, cpu: &str) -> serde_json::Value {
    let container = json!({"name": "main", "resources": {"requests": {"cpu": cpu}}});
    json!({"clusters": [cluster], "strategicMerge": {"spec": {"containers": [container]}}})
}

#[tokio::test(start_paused = true)]
async fn each_member_gets_the_patches_for_it_alone() {
    let mut stage = Stage::new(&[("a", 2000), ("b", 2000)]).await;
    let by_label = json!({"clusterSelector": {"matchLabels": {"skymanager.io/cluster-name": "b"}},
        "jsonPatch": [{"op": "add", "path": "/spec/hostNetwork", "value": true}]});
    let mut spec = replicas(4);
    spec["overrides"] = json!([asking("b", "1"), by_label]);
    stage.apply("job", spec);
    stage.run(1).await;
    assert_eq!(stage.line("job"), "Pending a:2,b:2");
    let patches = |member: &str| stage.member(member).patches("job").len();
    assert_eq!((patches("a"), patches("b")), (0, 2));
}

#[tokio::test(start_paused = true)]
async fn room_is_promised_for_what_an_override_asks_for() {
    let mut stage = Stage::new(&[("a", 3000)]).await;
    for name in ["one", "two"] {
        let mut spec = replicas(1);
        spec["overrides"] = json!([asking("a", "2")]);
        stage.apply(name, spec);
    }
    stage.run(30).await;
    let lines = [stage.line("one"), stage.line("two")];
    assert!(lines.contains(&"Pending a:1".to_owned()), "{lines:?}");
    assert!(lines.contains(&"Queued".to_owned()), "{lines:?}");
    stage.apply("three", replicas(1));
    stage.run(30).await;
    assert_eq!(
        stage.line("three"),
        "Pending a:1",
        "what asks for less has room yet"
    );
}
