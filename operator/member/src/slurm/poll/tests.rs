//! When the member is looked at, and what is told of two looks.

use super::*;

fn node(name: &str) -> (String, Node) {
    let node = Node {
        name: name.into(),
        ..Node::default()
    };
    (name.to_owned(), node)
}

#[test]
fn only_what_differs_is_told() {
    let before = Sight {
        nodes: [node("a"), node("b")].into(),
        ..Sight::default()
    };
    assert_eq!(difference(&before, &before), None);
    let mut now = before.clone();
    now.nodes.remove("a");
    now.nodes.get_mut("b").expect("b").ready = true;
    let Some(MemberEvent::Changed { upserts, gone }) = difference(&before, &now) else {
        panic!("a change");
    };
    assert_eq!((upserts.len(), gone), (1, vec![ItemKey::Node("a".into())]));
}

#[test]
fn a_large_cluster_is_looked_at_less_often_but_often_enough() {
    let idle = Sight::default();
    assert_eq!(pause(&idle, Duration::from_millis(20)), IDLE);
    assert_eq!(pause(&idle, Duration::from_secs(2)), Duration::from_secs(20));
    assert_eq!(pause(&idle, Duration::from_secs(14)), LONGEST);
}
