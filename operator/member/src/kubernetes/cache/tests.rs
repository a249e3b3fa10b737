//! What a cache makes of events, relists among them.

use super::*;
use serde_json::{Value, json};

fn node(name: &str, cpu: &str) -> ApiNode {
    let status = json!({
        "allocatable": {"cpu": cpu, "memory": "1Gi", "pods": "10"},
        "conditions": [{"type": "Ready", "status": "True"}],
    });
    serde_json::from_value(json!({"metadata": {"name": name}, "status": status})).expect("a Node")
}

fn pod(name: &str, node: Option<&str>, phase: &str, share: Option<&str>) -> LeanPod {
    let labels: Value = share.map_or(json!({}), |share| json!({"skymanager.io/share": share}));
    let containers = json!([{"name": "c", "resources": {"requests": {"cpu": "500m"}}}]);
    let pod = json!({
        "metadata": {"name": name, "namespace": "n", "labels": labels},
        "spec": {"nodeName": node, "containers": containers},
        "status": {"phase": phase},
    });
    serde_json::from_value(pod).expect("a Pod")
}

fn synced(pods: Vec<LeanPod>) -> Cache {
    let mut cache = Cache::default();
    cache.hear(Heard::Node(Box::new(Event::Init)));
    cache.hear(Heard::Node(Box::new(Event::InitApply(node("a", "2")))));
    cache.hear(Heard::Node(Box::new(Event::InitDone)));
    cache.hear(Heard::Job(Box::new(Event::Init)));
    cache.hear(Heard::Job(Box::new(Event::InitDone)));
    assert_eq!(cache.drain(), None, "pods are not listed yet");
    cache.hear(Heard::Pod(Box::new(Event::Init)));
    pods.into_iter()
        .for_each(|pod| cache.hear(Heard::Pod(Box::new(Event::InitApply(pod)))));
    cache.hear(Heard::Pod(Box::new(Event::InitDone)));
    cache
}

fn free_cpu(event: Option<MemberEvent>) -> Option<i64> {
    let items = match event? {
        MemberEvent::Reset(items) | MemberEvent::Changed { upserts: items, .. } => items,
        MemberEvent::Lost(_) => return None,
    };
    items.into_iter().find_map(|item| match item {
        Item::Node(node) => Some(node.free.cpu),
        Item::Share(_) => None,
    })
}

#[test]
fn pods_take_room_from_their_node_until_they_end() {
    let mut cache = synced(vec![pod("p", Some("a"), "Running", None)]);
    assert_eq!(free_cpu(cache.drain()), Some(1500));
    cache.hear(Heard::Pod(Box::new(Event::Apply(pod(
        "p",
        Some("a"),
        "Succeeded",
        None,
    )))));
    assert_eq!(free_cpu(cache.drain()), Some(2000));
    assert_eq!(cache.drain(), None);
}

#[test]
fn a_pod_without_node_takes_no_room_yet() {
    let mut cache = synced(vec![pod("p", None, "Pending", Some("s"))]);
    assert_eq!(free_cpu(cache.drain()), Some(2000));
    cache.hear(Heard::Pod(Box::new(Event::Apply(pod(
        "p",
        Some("a"),
        "Pending",
        Some("s"),
    )))));
    assert_eq!(free_cpu(cache.drain()), Some(1500));
}

#[test]
fn a_relist_forgets_what_vanished_in_between() {
    let mut cache = synced(vec![pod("p", Some("a"), "Running", None)]);
    cache.drain();
    cache.hear(Heard::Pod(Box::new(Event::Init)));
    cache.hear(Heard::Pod(Box::new(Event::InitDone)));
    let event = cache.drain();
    assert!(matches!(event, Some(MemberEvent::Reset(_))));
    assert_eq!(free_cpu(event), Some(2000));
}

#[test]
fn a_node_that_goes_is_gone() {
    let mut cache = synced(vec![]);
    cache.drain();
    cache.hear(Heard::Node(Box::new(Event::Delete(node("a", "2")))));
    let gone = vec![ItemKey::Node("a".into())];
    assert_eq!(
        cache.drain(),
        Some(MemberEvent::Changed {
            upserts: vec![],
            gone
        })
    );
}
