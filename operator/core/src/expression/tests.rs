//! What is accepted, what is refused and where, and what comes of it.

mod hostile;

use super::*;
use crate::cluster::{Effect, Taint};
use crate::labels::Labels;

fn labels(pairs: &[(&str, &str)]) -> Labels {
    let owned = |(key, value): &(&str, &str)| ((*key).to_owned(), (*value).to_owned());
    pairs.iter().map(owned).collect()
}

fn taints() -> Vec<Taint> {
    let taint = |key: &str, value: &str, effect| Taint {
        key: key.into(),
        value: value.into(),
        effect,
    };
    vec![
        taint("dedicated", "ml", Effect::NoSchedule),
        taint("leaving", "", Effect::NoExecute),
    ]
}

/// Evaluates on one cluster and one workload.
fn evaluate(role: Role, text: &str) -> Result<Result<Answer, EvaluationError>, ExpressionError> {
    let (on_cluster, on_workload) = (
        labels(&[("region", "eu"), ("tier", "2")]),
        labels(&[("team", "ml")]),
    );
    let taints = taints();
    let cluster = ClusterVars {
        name: "c1",
        manager: "kubernetes",
        labels: &on_cluster,
        taints: &taints,
        unschedulable: false,
        nodes: 3,
        free: Room {
            cpu: 6500,
            memory: 8 << 30,
            accelerators: 2,
        },
        allocatable: Room {
            cpu: 26_000,
            memory: 32 << 30,
            accelerators: 8,
        },
        models: vec!["NVIDIA-A100-SXM4-80GB", "Tesla-T4"],
    };
    let workload = WorkloadVars {
        kind: "SkyJob",
        namespace: "research",
        name: "train-ü",
        labels: &on_workload,
        priority: 10,
        replicas: 4,
        gang: true,
        resources: RequestVars {
            cpu: 500,
            memory: 1 << 30,
            accelerators: 1,
            model: "A100",
        },
    };
    Ok(Expression::compile(role, text)?.evaluate(&cluster, &workload))
}

fn holds(text: &str, expect: bool) {
    match evaluate(Role::Filter, text) {
        Ok(Ok(Answer::Bool(answer))) => assert_eq!(answer, expect, "{text}"),
        Ok(Ok(Answer::Number(number))) => panic!("{text}: gave {number}"),
        Ok(Err(error)) => panic!("{text}: {error}"),
        Err(error) => panic!("{text}: {error}"),
    }
}

fn scores(text: &str, expect: i64) {
    match evaluate(Role::Score, text) {
        Ok(Ok(Answer::Number(answer))) => assert_eq!(answer, expect, "{text}"),
        Ok(Ok(Answer::Bool(answer))) => panic!("{text}: gave {answer}"),
        Ok(Err(error)) => panic!("{text}: {error}"),
        Err(error) => panic!("{text}: {error}"),
    }
}

fn fails(role: Role, text: &str, expect: &str) {
    match evaluate(role, text) {
        Ok(Err(error)) => assert_eq!(error.to_string(), expect, "{text}"),
        Ok(Ok(_)) => panic!("{text}: gave a value"),
        Err(error) => panic!("{text}: {error}"),
    }
}

#[track_caller]
fn refused(role: Role, text: &str, expect: &str) {
    match Expression::compile(role, text) {
        Ok(_) => panic!("{text}: accepted"),
        Err(error) => assert_eq!(error.to_string(), expect, "{text}"),
    }
}

fn filter_refused(text: &str, expect: &str) {
    refused(Role::Filter, text, expect);
}

#[test]
fn every_field_of_the_table_has_a_value_of_its_type() {
    fn walk(path: &str, of: &types::Type) {
        match of {
            types::Type::Record(record) => {
                for (field, of) in record.fields() {
                    walk(&format!("{path}.{field}"), &of);
                }
            }
            types::Type::List(Some(of)) => walk(&format!("{path}[0]"), of),
            types::Type::List(None) => panic!("{path}: of what?"),
            types::Type::Labels => holds(&format!("size({path}) > 0"), true),
            types::Type::String => holds(&format!("size({path}) >= 0"), true),
            types::Type::Bool => holds(&format!("{path} || !{path}"), true),
            types::Type::Int => holds(&format!("{path} % 1 == 0"), true),
            types::Type::Double => holds(&format!("{path} + 1.0 > 1.0"), true),
        }
    }
    for (name, record) in types::VARIABLES {
        walk(name, &types::Type::Record(record));
    }
}

#[test]
fn filters_read_clusters_and_workloads() {
    holds(
        r#"cluster.labels["region"] == "eu" && workload.labels.team == "ml""#,
        true,
    );
    holds(
        r#"!("region" in cluster.labels) || has(cluster.labels.zone)"#,
        false,
    );
    holds(r#"cluster.manager in ["slurm", "kubernetes"]"#, true);
    holds("cluster.free.cpu >= workload.resources.cpu * 13.0", true);
    holds("cluster.free.cpu > 6 && cluster.free.cpu < 7", true);
    holds("cluster.free.memory / 1073741824 == 8", true);
    holds(
        r#"cluster.name.matches("^c[0-9]+$") && matches(workload.name, "ü")"#,
        true,
    );
    holds(r#"int(cluster.labels["tier"]) + 1 == 3"#, true);
    holds(
        "cluster.free.accelerators >= workload.replicas * workload.resources.accelerators",
        false,
    );
    holds("size(workload.name) == 7", true);
}

#[test]
fn loops_run_over_taints_models_and_labels() {
    holds(
        r#"cluster.taints.exists(t, t.key == "dedicated" && t.value == workload.labels["team"])"#,
        true,
    );
    holds(r#"cluster.taints.all(t, t.effect == "NoExecute")"#, false);
    holds(r#"cluster.taints.exists_one(t, t.effect == "NoExecute")"#, true);
    holds(
        r#"cluster.taints.filter(t, t.value == "").map(t, t.key)[0] == "leaving""#,
        true,
    );
    holds(
        "cluster.models.exists(m, m.contains(workload.resources.model))",
        true,
    );
    holds(
        r#"cluster.labels.map(k, k + "=" + cluster.labels[k]) == ["region=eu", "tier=2"]"#,
        true,
    );
    holds("cluster.labels.all(k, workload.labels.all(w, w != k))", true);
    holds("size(cluster.taints.filter(t, size(t.key) > 7)) == 1", true);
}

#[test]
fn scores_are_cut_and_rounded() {
    scores("100.0 * cluster.free.cpu / cluster.allocatable.cpu", 25);
    scores(r#"cluster.labels["region"] == "eu" ? 100 : 0"#, 100);
    scores("workload.priority * 1000", 100);
    scores("-workload.priority", 0);
    scores("2.5", 3);
    scores("1.0 / 0.0", 100);
    scores("max(1, min(workload.replicas, 3), 2)", 3);
    scores("min(cluster.models.map(m, size(m)))", 8);
}

#[test]
fn an_error_at_run_time_is_an_answer_in_words() {
    fails(
        Role::Filter,
        r#"cluster.labels["zone"] == "a""#,
        r#"label "zone" is absent; ask for it first with `in`"#,
    );
    fails(
        Role::Filter,
        r#"cluster.taints[2].key == "a""#,
        "a list is too short",
    );
    fails(Role::Score, "100 / (cluster.nodes - 3)", "division by zero");
    fails(
        Role::Score,
        "0.0 / (cluster.free.cpu - 6.5)",
        "gave not a number (0.0 / 0.0)",
    );
    fails(
        Role::Score,
        "cluster.free.memory * cluster.allocatable.memory",
        "a number grows too large",
    );
}

#[test]
fn an_unknown_name_is_refused_where_it_stands() {
    filter_refused(
        "cluster.lables.region == \"eu\"",
        r#"line 1, column 9: cluster has no field "lables": did you mean "labels"?"#,
    );
    filter_refused(
        "cluster.name == \"a\"\n  || Cluster.name == \"b\"",
        r#"line 2, column 6: unknown variable "Cluster": did you mean "cluster"?"#,
    );
    filter_refused(
        "workload.resources.gpus > 1",
        "line 1, column 20: workload.resources has no field \"gpus\": there is cpu, memory, accelerators, model",
    );
    filter_refused(
        r#""é" == cluster.taints[0].foo"#,
        r#"line 1, column 26: a taint has no field "foo": there is key, value, effect"#,
    );
    filter_refused(
        "cluster.taints.exists(t, t.kye == \"a\")",
        r#"line 1, column 28: a taint has no field "kye": there is key, value, effect"#,
    );
    filter_refused(
        "has(cluster.node)",
        r#"line 1, column 13: cluster has no field "node": did you mean "nodes"?"#,
    );
    filter_refused(
        "cluster.name.startWith(\"a\")",
        r#"line 1, column 14: unknown function "startWith": did you mean "startsWith"?"#,
    );
    filter_refused(
        "timestamp(\"2020-01-01T00:00:00Z\") == timestamp(\"2020-01-01T00:00:00Z\")",
        "line 1, column 1: unknown function \"timestamp\": there is size, startsWith, endsWith, contains, matches, int, \
         double, string, min, max, all, exists, exists_one, filter, map, has",
    );
    filter_refused(
        "cluster.taints.all(t)",
        "line 1, column 16: write list.all(x, …) with a name and what is asked of it",
    );
    filter_refused(
        "cluster.taints.all(t, true) && t.key == \"a\"",
        r#"line 1, column 32: unknown variable "t": there is cluster, workload"#,
    );
}

#[test]
fn types_that_do_not_fit_are_refused() {
    filter_refused(
        "cluster.nodes",
        "line 1, column 1: a filter must give a bool, true where the cluster may be used; this gives int",
    );
    refused(
        Role::Score,
        "cluster.unschedulable",
        "line 1, column 1: a score must give an int or a double, from 0 to 100; this gives bool",
    );
    refused(
        Role::Score,
        "cluster.free.cpu * 100",
        "line 1, column 18: * does not take double and int: numbers must be of one type, write 1.0 for 1, or double(x)",
    );
    filter_refused(
        "cluster.nodes && true",
        "line 1, column 1: must be a bool, and is int",
    );
    filter_refused(
        "cluster.name == 1",
        "line 1, column 14: string is never equal to int",
    );
    filter_refused(
        "cluster.name < 1",
        "line 1, column 14: string and int have no order",
    );
    filter_refused(
        "cluster.labels == workload.labels",
        "line 1, column 16: map of labels is never equal to map of labels",
    );
    filter_refused("\"x\" in cluster", "line 1, column 5: string is never in cluster");
    filter_refused(
        "cluster[\"name\"] == \"a\"",
        "line 1, column 8: cluster cannot be indexed by string",
    );
    filter_refused(
        "(cluster.unschedulable ? cluster.labels : workload).name == \"a\"",
        "line 1, column 24: both sides of ?: must be of one type, and are map of labels and workload",
    );
    filter_refused(
        "cluster.all(x, true)",
        "line 1, column 1: cluster cannot be looped over",
    );
    filter_refused(
        "cluster.name.x == \"a\"",
        "line 1, column 14: string has no fields, and so no \"x\"",
    );
    filter_refused(
        "cluster.name in [\"a\", 1]",
        "line 1, column 23: a list holds one type: this is int, before it string",
    );
    filter_refused(
        "{\"a\": true}.a",
        "line 1, column 1: a map cannot be written here; compare with ==, in or ?:",
    );
    filter_refused(
        "cluster.nodes == 3u",
        "line 1, column 18: unsigned numbers are not used here: drop the u",
    );
    filter_refused(
        "cluster.labels.x == null",
        "line 1, column 21: nothing here is ever null; ask with has() or in",
    );
    filter_refused(
        "cluster.name.contains(1)",
        "line 1, column 14: contains: write text.contains(\"b\"), both strings; for a list or labels write x in list",
    );
}

#[test]
fn patterns_are_written_out_and_compiled_at_once() {
    filter_refused(
        "cluster.name.matches(workload.name)",
        "line 1, column 22: matches: the pattern must be written out as a string",
    );
    filter_refused(
        "cluster.name.matches(\"(\")",
        "line 1, column 22: not a pattern: unclosed group",
    );
    filter_refused(
        "cluster.name.matches(\"((a{1000}){1000}){1000}\")",
        "line 1, column 22: not a pattern: Compiled regex exceeds size limit of 1048576 bytes.",
    );
}

#[test]
fn what_does_not_parse_says_where() {
    filter_refused("", "line 1, column 1: empty; leave the field out instead");
    filter_refused(
        "cluster.name ==",
        "line 1, column 16: ends too early: something is missing after this",
    );
    filter_refused("cluster name", "line 1, column 9: cannot be read from 'name'");
    filter_refused(
        "cluster.name == \"a",
        "line 1, column 17: cannot be read from '\"a'",
    );
    filter_refused(
        "cluster.name = \"a\"",
        "line 1, column 14: cannot be read from '= '",
    );
    filter_refused(
        "cluster.taints.all(1, true)",
        "line 1, column 20: argument must be a simple name",
    );
}

#[test]
fn what_never_gives_a_value_is_refused() {
    filter_refused(
        "1 / 0 == 1",
        "line 1, column 1: gives no value on any sample: division by zero",
    );
    assert!(
        Expression::compile(
            Role::Filter,
            r#"cluster.labels["a"] == cluster.labels[workload.labels.b]"#
        )
        .is_ok()
    );
    assert!(Expression::compile(Role::Filter, r#"int(cluster.labels["x/" + workload.name]) > 2"#).is_ok());
}

#[test]
fn only_what_is_summed_up_over_nodes_counts_as_read() {
    let reads = |text| Expression::compile(Role::Filter, text).unwrap().reads_nodes();
    assert!(reads("cluster.free.cpu > 1.0"));
    assert!(reads("size(cluster.models) > 1"));
    assert!(!reads("cluster.name == \"a\" && workload.resources.cpu > 1.0"));
}
