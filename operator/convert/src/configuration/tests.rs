//! Files that are accepted and what they come to, files that are refused and where.

use proptest::prelude::*;

use super::*;

const HEAD: &str = "apiVersion: config.skymanager.io/v1alpha1\nkind: OperatorConfiguration\n";

fn file(rest: &str) -> String {
    format!("{HEAD}{rest}")
}

/// Plugins with weights, as `name:weight`.
fn plugins_of(rest: &str) -> Vec<String> {
    match parse(&file(rest)) {
        Ok(configuration) => configuration
            .plugins
            .iter()
            .map(|plugin| format!("{plugin:?}"))
            .collect(),
        Err(error) => panic!("{rest}: {error}"),
    }
}

fn builtin() -> Vec<String> {
    plugins::builtin()
        .iter()
        .map(|plugin| format!("{plugin:?}"))
        .collect()
}

#[track_caller]
fn refused(text: &str, expect: &str) {
    match parse(text) {
        Ok(_) => panic!("accepted: {text}"),
        Err(error) => assert!(
            error.to_string().starts_with(expect),
            "{error}\nexpected {expect}"
        ),
    }
}

#[test]
fn a_file_that_says_nothing_changes_nothing() {
    for rest in [
        "",
        "scheduler:\n",
        "scheduler: {}\ndefaults: {}\n",
        "scheduler:\n  plugins:\n  expressions: []\n",
    ] {
        assert_eq!(plugins_of(rest), builtin(), "{rest}");
    }
    let configuration = parse(HEAD).unwrap();
    assert_eq!(configuration.defaults, Defaults::default());
    assert_eq!(configuration.defaults.pending_timeout_seconds, 600);
}

#[test]
fn listed_plugins_come_first_and_the_others_follow() {
    let plugins =
        plugins_of("scheduler:\n  plugins:\n  - name: FreeCapacity\n    weight: 7\n  - name: NodeFit\n");
    assert_eq!(plugins[0], "FreeCapacity:7");
    assert!(plugins[1].starts_with("NodeFit:"));
    let others: Vec<String> = builtin()
        .into_iter()
        .filter(|plugin| !plugin.starts_with("FreeCapacity:") && !plugin.starts_with("NodeFit:"))
        .collect();
    assert_eq!(plugins[2..], others);
}

#[test]
fn a_disabled_plugin_is_not_asked() {
    let plugins = plugins_of(
        "scheduler:\n  plugins:\n  - {name: Taints, enabled: false}\n  - {name: Unschedulable, enabled: true}\n",
    );
    assert!(plugins[0].starts_with("Unschedulable:"));
    assert_eq!(plugins.len(), builtin().len() - 1);
}

#[test]
fn expressions_come_last() {
    let rest = "scheduler:\n  expressions:\n  - name: eu\n    filter: cluster.name != \"a\"\n    message: not eu\n  - name: big\n    score: cluster.nodes\n  - name: both\n    filter: 'true'\n    score: '1'\n    weight: 9\n";
    let plugins = plugins_of(rest);
    assert_eq!(plugins[..plugins.len() - 3], builtin());
    assert_eq!(plugins[plugins.len() - 3..], ["eu:0", "big:1", "both:9"]);
    assert_eq!(parse(&file(rest)).unwrap().expressions.len(), 3);
}

#[test]
fn plugins_from_elsewhere_are_configured_like_ours() {
    let mut theirs = plugins::builtin();
    let expression = ExpressionPlugin::new("Theirs".into(), None, None, None);
    theirs.push(Enabled {
        plugin: Arc::new(expression),
        weight: 3,
    });
    let text = file("scheduler:\n  plugins:\n  - name: Theirs\n    weight: 5\n");
    let configuration = parse_for(&text, &theirs).unwrap();
    assert_eq!(format!("{:?}", configuration.plugins[0]), "Theirs:5");
    refused(
        &text,
        "scheduler.plugins[0].name, line 5, column 11: no plugin is called \"Theirs\"; there is ",
    );
}

#[test]
fn defaults_are_read() {
    let text = file("defaults:\n  image: busybox:1\n  pendingTimeoutSeconds: 0\n");
    let defaults = Defaults {
        image: Some("busybox:1".into()),
        pending_timeout_seconds: 0,
    };
    assert_eq!(parse(&text).unwrap().defaults, defaults);
    let at = "defaults.pendingTimeoutSeconds, line 4, column 26: must be a whole number";
    refused(&file("defaults:\n  pendingTimeoutSeconds: -1\n"), at);
    refused(&file("defaults:\n  pendingTimeoutSeconds: 1.5\n"), at);
    refused(
        &file("defaults:\n  pendingTimeoutSeconds: 99999999999999999999\n"),
        at,
    );
    refused(
        &file("defaults:\n  image: a b\n"),
        "defaults.image, line 4, column 10: must be the name of an image",
    );
    refused(
        &file("defaults:\n  image: ''\n"),
        "defaults.image, line 4, column 10: must be the name",
    );
}

#[test]
fn another_version_or_kind_is_refused() {
    refused(
        "apiVersion: config.skymanager.io/v1\nkind: OperatorConfiguration\n",
        "apiVersion, line 1, column 13: must be config.skymanager.io/v1alpha1, and is \"config.skymanager.io/v1\"",
    );
    refused(
        "apiVersion: config.skymanager.io/v1alpha1\nkind: SkyJob\n",
        "kind, line 2, column 7: must be OperatorConfiguration, and is \"SkyJob\"",
    );
    refused(
        "kind: OperatorConfiguration\n",
        "line 1, column 1: missing field `apiVersion`",
    );
}

#[test]
fn what_is_no_such_file_is_refused_with_its_place() {
    refused("", "line 1, column 1: the file is empty");
    refused("a", "line 1, column 1: must be fields with values");
    refused(
        &file("schedular: {}\n"),
        "schedular, line 3, column 1: unknown field `schedular`, expected one of",
    );
    refused(
        &file("scheduler:\n  plugins:\n  - name: Taints\n    wieght: 3\n"),
        "scheduler.plugins[0].wieght, line 6, column 5: unknown field `wieght`, expected one of name, enabled, weight",
    );
    refused(
        &file("scheduler:\n  plugins:\n  - weight: 1\n"),
        "scheduler.plugins[0], line 5, column 5: missing field `name`",
    );
    refused(
        &file("scheduler:\n  plugins: Taints\n"),
        "scheduler.plugins, line 4, column 12: must be a list",
    );
    refused(
        &file("scheduler:\n  plugins:\n  - name: [a]\n"),
        "scheduler.plugins[0].name, line 5, column 11: must be a string",
    );
    refused(
        &file("kind: x\n"),
        "line 3, column 1: duplicate mapping key: kind",
    );
    refused(
        &file("---\na: b\n"),
        "line 4, column 1: multiple YAML documents detected",
    );
    refused(
        &file(&format!("# {}\n", "x".repeat(300_000))),
        "line 1, column 1: larger than 256 KiB",
    );
}

#[test]
fn plugins_that_do_not_fit_are_refused() {
    let plugin = |fields: &str| file(&format!("scheduler:\n  plugins:\n  - {{{fields}}}\n"));
    refused(
        &plugin("name: Tains"),
        "scheduler.plugins[0].name, line 5, column 12: no plugin is called \"Tains\"; there is ClusterReady, ",
    );
    refused(
        &plugin("name: Taints, weight: 3"),
        "scheduler.plugins[0].weight, line 5, column 28: Taints does not score, so it has no weight; remove it",
    );
    for weight in ["0", "101", "-1"] {
        refused(
            &plugin(&format!("name: FreeCapacity, weight: {weight}")),
            "scheduler.plugins[0].weight, line 5, column 34: must be a whole number from 1 to 100",
        );
    }
    refused(
        &file("scheduler:\n  plugins:\n  - name: Taints\n  - name: Taints\n"),
        "scheduler.plugins[1].name, line 6, column 11: Taints is listed twice",
    );
}

#[test]
fn what_keeps_the_fleet_safe_cannot_be_disabled() {
    for (name, why) in FIXED {
        if plugins::builtin()
            .iter()
            .any(|plugin| plugin.plugin.name() == name)
        {
            refused(
                &file(&format!(
                    "scheduler:\n  plugins:\n  - name: {name}\n    enabled: false\n"
                )),
                &format!("scheduler.plugins[0].enabled, line 6, column 14: {name} cannot be disabled: {why}"),
            );
        }
    }
}

#[test]
fn expressions_that_do_not_fit_are_refused() {
    let expression = |fields: &str| file(&format!("scheduler:\n  expressions:\n  - {{{fields}}}\n"));
    let at = |field: &str, column: u32, words: &str| {
        format!("scheduler.expressions[0].{field}, line 5, column {column}: {words}")
    };
    for name in ["Eu", "-eu", "eu-", "''", "a_b", "ü"] {
        refused(
            &expression(&format!("name: {name}, score: '1'")),
            &at("name", 12, "must be 1 to 63 of"),
        );
    }
    refused(
        &expression("name: eu"),
        &at("name", 12, "has neither filter nor score"),
    );
    refused(
        &expression("name: eu, filter: 'true', weight: 2"),
        &at("weight", 40, "without score there is nothing to weigh"),
    );
    refused(
        &expression("name: eu, score: '1', message: no"),
        &at("message", 37, "is said of clusters that filter refuses"),
    );
    refused(
        &expression("name: eu, filter: 'true', message: \"a\\nb\""),
        &at("message", 41, "must be one line of 1 to 256 characters"),
    );
    refused(
        &file("scheduler:\n  expressions:\n  - {name: eu, score: '1'}\n  - {name: eu, score: '2'}\n"),
        "scheduler.expressions[1].name, line 6, column 12: eu is the name of two expressions",
    );
    let many: String = (0..33)
        .map(|n| format!("  - {{name: e{n}, score: '1'}}\n"))
        .collect();
    refused(
        &file(&format!("scheduler:\n  expressions:\n{many}")),
        "scheduler.expressions[32].name, line 37, column 12: more than 32 expressions",
    );
}

/// However a string is written in YAML, an error in it is found in the file or, failing that, in the string.
#[test]
fn an_error_in_an_expression_is_placed_in_the_file() {
    let check = |written: &str, expect: &str| {
        let text = file(&format!(
            "scheduler:\n  expressions:\n  - name: eu\n    filter: {written}\n"
        ));
        refused(
            &text,
            &format!("scheduler.expressions[0].filter, {expect}cluster has no field \"x\""),
        );
    };
    check("cluster.x == 1", "line 6, column 21: ");
    check("'cluster.x == 1'", "line 6, column 22: ");
    check("\"cluster.name == 'é' || cluster.x == 1\"", "line 6, column 45: ");
    check("|\n      true &&\n        cluster.x == 1", "line 8, column 17: ");
    check(">-\n      true && cluster.x == 1", "line 7, column 23: ");
    check(
        ">-\n      true &&\n      cluster.x == 1",
        "line 7, column 7: at line 1, column 17 of the expression: ",
    );
    check(
        "\"cluster.name == \\\"a\\\" || cluster.x == 1\"",
        "line 6, column 13: at line 1, column 32 of the expression: ",
    );
}

#[test]
fn an_anchor_is_placed_where_it_is_written() {
    let text = file(
        "scheduler:\n  expressions:\n  - name: one\n    message: &same cluster.x\n    filter: 'true'\n  - name: two\n    filter: *same\n",
    );
    refused(
        &text,
        "scheduler.expressions[1].filter, line 6, column 28: cluster has no field \"x\"",
    );
}

proptest! {
    #[test]
    fn no_text_makes_it_panic(text in "\\PC{0,80}") {
        let _ = parse(&text);
    }

    #[test]
    fn no_fields_make_it_panic(rest in prop::collection::vec(
        prop::sample::select(vec![
            "scheduler:", "plugins:", "expressions:", "defaults:", "- ", "name: ", "Taints", "eu", "filter: ", "score: ",
            "cluster.x", "1", "true", "|", ">-", "\n", "\n  ", "\n    ", "&a ", "*a", "!!str ", "\"", "'", "{", "}", "[",
            "]", ", ", "weight: ", "message: ", "é", "\t", "<<: ", "~", "# ",
        ]),
        0..24,
    )) {
        if let Err(error) = parse(&file(&rest.concat())) {
            prop_assert!(error.line >= 1 && error.column >= 1);
            prop_assert!(!error.message.is_empty() && !error.message.contains('\n'), "{error:?}");
        }
    }
}
