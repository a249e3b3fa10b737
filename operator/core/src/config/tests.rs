//! Which ConfigMaps and Secrets templates name, and what never shows of them.

use serde_json::json;

use super::*;
use crate::share::{Container, Patch, Retry, Stamp};
use crate::workload::Kind;

fn words(named: &Named) -> Vec<String> {
    let each = named.iter();
    each.map(|(name, need)| match need {
        Need::Required => name.to_string(),
        Need::Optional => format!("{name}?"),
    })
    .collect()
}

fn share(program: Program, patches: Vec<Patch>) -> Share {
    Share {
        key: ShareKey {
            kind: Kind::SkyJob,
            namespace: "default".into(),
            object: "a-1-0".into(),
        },
        stamp: Stamp {
            origin: "o".into(),
            kind: Kind::SkyJob,
            namespace: "default".into(),
            name: "a".into(),
            uid: "u".into(),
            run: String::new(),
            share: "1-0".into(),
            attempt: 1,
            spec_hash: "h".into(),
        },
        cluster: "c".into(),
        replicas: 1,
        total_replicas: 1,
        ranks: crate::ranks::Ranks::consecutive(0, 1),
        suspended: false,
        known: false,
        instance: None,
        labels: Labels::new(),
        annotations: Labels::new(),
        program,
        patches,
        requests: crate::resources::Resources::default(),
        accelerator: None,
        retry: Retry::Replace(0),
        progress_deadline: None,
    }
}

#[test]
fn every_place_of_a_template_is_read() {
    let template = json!({"spec": {
        "initContainers": [{"env": [{"name": "A", "valueFrom": {"secretKeyRef": {"name": "init-key", "key": "k"}}}]}],
        "containers": [
            {"env": [{"name": "A", "valueFrom": {"configMapKeyRef": {"name": "key", "key": "k"}}},
                     {"name": "B", "value": "b"}, {"name": "C", "valueFrom": {"fieldRef": {"fieldPath": "x"}}}]},
            {"envFrom": [{"configMapRef": {"name": "all"}}, {"prefix": "P_", "secretRef": {"name": "all", "optional": true}}]},
        ],
        "volumes": [
            {"name": "a", "configMap": {"name": "volume", "items": []}},
            {"name": "b", "secret": {"secretName": "volume", "optional": true}},
            {"name": "c", "projected": {"sources": [
                {"configMap": {"name": "projected"}}, {"secret": {"name": "projected"}},
                {"serviceAccountToken": {"path": "token"}}, {"configMap": {"name": "kube-root-ca.crt"}},
            ]}},
            {"name": "d", "csi": {"driver": "d", "nodePublishSecretRef": {"name": "csi"}}},
            {"name": "e", "cephfs": {"secretRef": {"name": "ceph"}}},
            {"name": "f", "azureFile": {"secretName": "azure"}},
            {"name": "g", "emptyDir": {}},
        ],
        "imagePullSecrets": [{"name": "registry"}],
    }});
    assert_eq!(
        words(&named(&template)),
        [
            "ConfigMap all",
            "ConfigMap key",
            "ConfigMap projected",
            "ConfigMap volume",
            "Secret all?",
            "Secret azure",
            "Secret ceph",
            "Secret csi",
            "Secret init-key",
            "Secret projected",
            "Secret registry",
            "Secret volume?",
        ]
    );
}

#[test]
fn what_is_needed_once_is_needed() {
    let reference = |optional: bool| json!({"configMapRef": {"name": "a", "optional": optional}});
    for order in [[true, false], [false, true]] {
        let from: Vec<Value> = order.into_iter().map(reference).collect();
        let template = json!({"spec": {"containers": [{"envFrom": from}]}});
        assert_eq!(words(&named(&template)), ["ConfigMap a"]);
    }
}

#[test]
fn what_is_no_name_is_never_asked_for() {
    let long = "a".repeat(254);
    for name in [
        "",
        "../secrets/a",
        "a/b",
        "A",
        "a?b",
        "-a",
        "a-",
        "a..b",
        long.as_str(),
    ] {
        let template = json!({"spec": {"imagePullSecrets": [{"name": name}]}});
        assert!(named(&template).is_empty(), "{name:?}");
    }
    let template = json!({"spec": {"imagePullSecrets": [{"name": 7}], "volumes": {}, "containers": [null]}});
    assert!(named(&template).is_empty());
}

#[test]
fn a_program_that_is_no_template_names_what_its_fields_do() {
    let container = |pull_secrets: &[&str], env: Vec<(String, EnvValue)>| {
        Program::Container(Container {
            image: "i".into(),
            pull_secrets: pull_secrets.iter().map(|name| (*name).to_owned()).collect(),
            env,
            ..Container::default()
        })
    };
    let of = |program| words(&of_share(&share(program, vec![])));
    let literal = ("A".to_owned(), EnvValue::Literal("a".into()));
    let from = EnvValue::From(json!({"configMapKeyRef": {"name": "key", "key": "k"}}));
    assert!(of(container(&[], vec![literal.clone()])).is_empty());
    assert_eq!(of(container(&["registry"], vec![])), ["Secret registry"]);
    assert_eq!(
        of(container(&[], vec![literal, ("B".into(), from)])),
        ["ConfigMap key"]
    );
}

#[test]
fn what_an_override_names_counts_and_what_it_takes_away_does_not() {
    let template =
        json!({"spec": {"containers": [{"name": "c", "envFrom": [{"configMapRef": {"name": "base"}}]}]}});
    let patch = Patch::Strategic(json!({"spec": {
        "containers": [{"name": "c", "envFrom": [{"configMapRef": {"name": "here"}}]}],
        "imagePullSecrets": [{"name": "mirror"}],
    }}));
    let program = Program::Template(template);
    assert_eq!(
        words(&of_share(&share(program.clone(), vec![]))),
        ["ConfigMap base"]
    );
    assert_eq!(
        words(&of_share(&share(program.clone(), vec![patch]))),
        ["ConfigMap here", "Secret mirror"]
    );
    let broken = Patch::Json(vec![json!({"op": "remove", "path": "/spec/nothing"})]);
    assert!(of_share(&share(program, vec![broken])).is_empty());
}

#[test]
fn what_a_content_holds_is_not_shown() {
    let content = Content {
        source: "uid".into(),
        texts: [("key-one".to_owned(), "value-one".to_owned())].into(),
        bytes: [("key-two".to_owned(), b"value-two".to_vec())].into(),
        ..Content::default()
    };
    assert_eq!(format!("{content:?}"), "Content(2 keys of uid)");
}
