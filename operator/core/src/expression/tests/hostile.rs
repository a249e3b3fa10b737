//! Texts and values made to hurt: bounds hold, and nothing panics.

use proptest::prelude::*;

use super::*;

fn is_refused(text: &str, words: &str) {
    match Expression::compile(Role::Filter, text) {
        Ok(_) => panic!("accepted: {text}"),
        Err(error) => assert!(error.to_string().contains(words), "{error}"),
    }
}

#[test]
fn length_nodes_nesting_and_loops_are_bounded() {
    is_refused(
        &"a".repeat(MOST_CHARACTERS + 1),
        "column 2049: longer than 2048 characters",
    );
    is_refused(&format!("{}true", "true || ".repeat(200)), "more than 256 nodes");
    is_refused(
        &format!("{}true{}", "(".repeat(17), ")".repeat(17)),
        "nested more than 16 deep",
    );
    is_refused(
        &format!("cluster.nodes == {}1", "1 + ".repeat(40)),
        "operators more than 32 deep",
    );
    is_refused(
        &format!("{}true", "true ? true : ".repeat(40)),
        "nested more than 16 deep",
    );
    is_refused(
        "cluster.taints.all(a, cluster.taints.all(b, cluster.taints.all(c, true)))",
        "column 63: loops more than 2 deep",
    );
    let list = format!("[{}1]", "1, ".repeat(99));
    is_refused(
        &format!("{list}.all(a, {list}.all(b, a < b))"),
        "too many for its loops",
    );
}

#[test]
fn what_is_within_the_bounds_is_accepted() {
    let accepted = |text: &str| assert!(Expression::compile(Role::Filter, text).is_ok(), "{text}");
    accepted(&format!("{}true{}", "(".repeat(14), ")".repeat(14)));
    accepted(&format!("{}true", "true ? true : ".repeat(14)));
    accepted(&format!("cluster.nodes == {}1", "1 + ".repeat(25)));
    accepted(&format!("{}true", "true || ".repeat(120)));
}

#[test]
fn deep_texts_of_every_kind_are_refused_and_do_not_overflow_the_stack() {
    let texts = [
        format!("{}a", "1+".repeat(1023)),
        format!("{}a", "a.".repeat(1023)),
        format!("a{}", "[0]".repeat(680)),
        format!("{}a", "!".repeat(2047)),
        format!("{}a", "-".repeat(2047)),
        format!("{}a", "a?b:".repeat(511)),
        format!("{}a{}", "a?".repeat(300), ":a".repeat(300)),
        format!("{}a{}", "f(".repeat(600), ")".repeat(600)),
        "[".repeat(2048),
        ")(".repeat(1024),
        "[1]".to_owned() + &".map(x,1)".repeat(220),
        "\u{0}\u{feff}\"\\u".repeat(100),
        "-9223372036854775809 == 0x1ffffffffffffffffff".to_owned(),
        "cluster.name == '''\n\n'''.x".to_owned(),
    ];
    for text in texts {
        assert!(Expression::compile(Role::Filter, &text).is_err(), "{text}");
    }
}

#[test]
fn a_workload_with_very_many_labels_is_not_looped_over() {
    let many: Labels = (0..2000).map(|n| (format!("k{n}"), String::new())).collect();
    let none = Labels::new();
    let expression = Expression::compile(
        Role::Filter,
        "workload.labels.all(a, workload.labels.all(b, a == b))",
    )
    .unwrap();
    let cluster = samples::bare_cluster(&none);
    let answer = expression.holds(&cluster, &samples::bare_workload(&many));
    assert_eq!(answer, Err(EvaluationError::TooMany(2000)));
    assert_eq!(
        expression.holds(&cluster, &samples::bare_workload(&none)),
        Ok(true)
    );
}

#[test]
fn the_same_input_gives_the_same_answer() {
    let labels: Labels = (0..50).map(|n| (format!("k{n}"), n.to_string())).collect();
    let text = r#"workload.labels.filter(k, workload.labels[k].endsWith("7")).map(k, k) == ["k17", "k27", "k37", "k47", "k7"]"#;
    let expression = Expression::compile(Role::Filter, text).unwrap();
    let none = Labels::new();
    for _ in 0..20 {
        let answer = expression.holds(&samples::bare_cluster(&none), &samples::bare_workload(&labels));
        assert_eq!(answer, Ok(true));
    }
}

/// Pieces of expressions, right and wrong.
fn piece() -> impl Strategy<Value = String> {
    let pieces = [
        "cluster",
        "workload",
        ".name",
        ".labels",
        ".taints",
        "[0]",
        "[\"a\"]",
        ".key",
        "(",
        ")",
        "[",
        "]",
        "{",
        "}",
        " && ",
        " || ",
        "!",
        "-",
        " + ",
        " == ",
        " < ",
        " in ",
        " ? ",
        " : ",
        ", ",
        "1",
        "1.5",
        "1u",
        "\"é\"",
        "'a'",
        "b'a'",
        "r\"a\"",
        "null",
        "true",
        ".all(x, ",
        ".map(x, ",
        ".filter(x, ",
        ".exists_one(x, ",
        "x",
        "has(",
        "size(",
        ".matches(",
        "max(",
        "@result",
        "\n",
        "//",
        "`a`",
        ".?a",
        "A{b: 1}",
        "\"",
        "\\",
    ];
    prop_oneof![9 => prop::sample::select(pieces.to_vec()).prop_map(str::to_owned), 1 => ".{0,3}"]
}

proptest! {
    #[test]
    fn no_text_makes_it_panic(text in ".{0,60}") {
        let _ = Expression::compile(Role::Filter, &text);
    }

    #[test]
    fn nothing_put_together_of_pieces_makes_it_panic(pieces in prop::collection::vec(piece(), 0..24)) {
        let text = pieces.concat();
        for role in [Role::Filter, Role::Score] {
            match evaluate(role, &text) {
                Ok(Ok(Answer::Number(number))) => prop_assert!((0..=100).contains(&number)),
                Ok(_) => {}
                Err(error) => {
                    let lines: Vec<&str> = text.split('\n').collect();
                    prop_assert!(error.line >= 1 && error.line <= lines.len(), "{error}");
                    prop_assert!(error.column >= 1 && error.column <= text.chars().count() + 1, "{error}");
                }
            }
        }
    }
}
