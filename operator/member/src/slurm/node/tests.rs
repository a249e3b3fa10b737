//! Nodes as recorded from 22.05.8, 24.11.5 and 26.05.5.

use super::*;
use serde_json::Value;

fn nodes(nodes: &str, partitions: &str, partition: Option<&str>) -> BTreeMap<String, Node> {
    let list = |text: &str, key: &str| -> Value {
        let body: Value = serde_json::from_str(text).expect("JSON");
        body[key].clone()
    };
    let nodes: Vec<NodeRecord> = serde_json::from_value(list(nodes, "nodes")).expect("nodes");
    let partitions: Vec<PartitionRecord> =
        serde_json::from_value(list(partitions, "partitions")).expect("partitions");
    read(&nodes, &partitions, partition)
}

fn old(partition: Option<&str>) -> BTreeMap<String, Node> {
    nodes(
        include_str!("../fixtures/nodes-22.05.8.json"),
        include_str!("../fixtures/partitions-22.05.8.json"),
        partition,
    )
}

fn new(partition: Option<&str>) -> BTreeMap<String, Node> {
    nodes(
        include_str!("../fixtures/nodes-24.11.5.json"),
        include_str!("../fixtures/partitions-24.11.5.json"),
        partition,
    )
}

fn newest(partition: Option<&str>) -> BTreeMap<String, Node> {
    nodes(
        include_str!("../fixtures/nodes-26.05.5.json"),
        include_str!("../fixtures/partitions-26.05.5.json"),
        partition,
    )
}

#[test]
fn a_node_has_its_cpus_memory_and_gpus_less_what_is_allocated() {
    let nodes = old(None);
    let busy = &nodes["hpc-n1"];
    assert!(busy.ready);
    assert_eq!((busy.allocatable.cpu, busy.free.cpu), (4000, 1000));
    assert_eq!(
        (busy.allocatable.memory, busy.free.memory),
        (2000 << 20, 1900 << 20)
    );
    assert_eq!(
        (busy.allocatable.extended["gpu"], busy.free.extended["gpu"]),
        (2, 2)
    );
    assert_eq!(busy.accelerator.as_deref(), Some("a100"));
    assert_eq!((busy.pods, busy.free_pods), (4, 1));
    assert_eq!(busy.labels["kubernetes.io/arch"], "amd64");
    for new in [new(None), newest(None)] {
        assert_eq!(new["hpc-n1"].free.extended["gpu"], 1);
        assert_eq!(new["hpc-n1"].free.cpu, 1000);
    }
}

#[test]
fn drained_nodes_and_closed_partitions_take_nothing() {
    for nodes in [old(None), new(None), newest(None)] {
        assert!(nodes["hpc-n2"].ready);
        assert!(!nodes["hpc-n3"].ready);
    }
    assert_eq!(old(Some("short")).into_keys().collect::<Vec<_>>(), ["hpc-n1"]);
    assert!(!new(Some("short"))["hpc-n1"].ready, "the partition is closed");
    assert!(old(Some("nowhere")).is_empty());
}

#[test]
fn states_of_trouble_do_not_count() {
    for (state, flags, ready) in [
        ("IDLE", "", true),
        ("MIXED", "PLANNED", true),
        ("ALLOCATED", "", true),
        ("IDLE", "DRAIN", false),
        ("DOWN", "", false),
        ("IDLE", "NOT_RESPONDING", false),
        ("IDLE", "MAINTENANCE", false),
        ("IDLE", "RESERVED", false),
        ("IDLE", "POWERED_DOWN", false),
        ("FUTURE", "", false),
        ("UNKNOWN", "", false),
        ("ERROR", "", false),
    ] {
        let record = NodeRecord {
            state: vec![state.into()],
            state_flags: vec![flags.into()],
            ..NodeRecord::default()
        };
        assert_eq!(node(&record, true).ready, ready, "{state} {flags}");
        assert!(!node(&record, false).ready);
    }
}

#[test]
fn gres_of_every_spelling() {
    let read = |text: &'static str| gres(text).collect::<Vec<_>>();
    assert_eq!(read("gpu:2"), [("gpu", None, 2)]);
    assert_eq!(read("gpu:a100:2(S:0-1,3)"), [("gpu", Some("a100"), 2)]);
    assert_eq!(
        read("gpu:a100:1(IDX:0,2),mps:4K"),
        [("gpu", Some("a100"), 1), ("mps", None, 4096)]
    );
    for none in ["", "(null)", "N/A", "gpu", "gpu:a:b:c", "gpu:x"] {
        assert_eq!(read(none), [], "{none}");
    }
    assert_eq!(
        gpus("gpu:h100:4,gpu:a100:2"),
        [(Some("a100"), 2), (Some("h100"), 4)]
    );
}

#[test]
fn a_partition_that_is_not_there_is_said_with_those_that_are() {
    let partition = |name: &str, default, up| PartitionRecord {
        name: name.into(),
        up,
        default,
    };
    let all = [
        partition("main", true, true),
        partition("short", false, true),
        partition("old", false, false),
    ];
    assert_eq!(listed(&all), "partitions main (default), short, old (not UP)");
    assert_eq!(unusable(&all, Some("short")), None);
    assert_eq!(unusable(&all, None), None);
    let words = unusable(&all, Some("nope")).expect("words");
    assert!(
        words.starts_with("spec.slurm.partition \"nope\"") && words.contains("main (default)"),
        "{words}"
    );
}

#[test]
fn a_node_with_several_models_has_each_by_its_name() {
    let record = NodeRecord {
        state: vec!["MIXED".into()],
        cpus: Some(8),
        gres: "gpu:h100:4(S:0),gpu:a100:2(S:1)".into(),
        gres_used: "gpu:h100:3(IDX:0-2),gpu:a100:0(IDX:N/A)".into(),
        ..NodeRecord::default()
    };
    let read = node(&record, true);
    assert_eq!(read.accelerator, None);
    let free = |name: &str| (read.allocatable.extended[name], read.free.extended[name]);
    assert_eq!((free("gpu:h100"), free("gpu:a100")), ((4, 1), (2, 2)));
    assert!(!read.free.extended.contains_key("gpu"));
}
