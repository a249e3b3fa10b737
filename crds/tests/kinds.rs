//! The documents of `documents/` against the schemas and rules of the kinds, offline.

#![expect(
    clippy::unwrap_used,
    reason = "clippy allows it in test functions only, not in what they share"
)]

mod documents;
mod judge;

use std::collections::BTreeMap;
use std::path::Path;

use documents::Document;
use judge::{Judge, visit};
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};
use sky_crds::{FilterPolicy, SkyCluster, SkyDeployment, SkyJob, SkyNamespace};

fn all_documents() -> Vec<Document> {
    documents::load(&Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/documents")).unwrap()
}

fn judges() -> BTreeMap<String, Judge> {
    sky_crds::schema::all()
        .iter()
        .map(|crd| (crd.spec.names.kind.clone(), Judge::new(crd)))
        .collect()
}

fn kind(object: &Value) -> &str {
    object["kind"].as_str().unwrap()
}

/// What is wrong with the document's last object; its first must be right.
fn complaints(judge: &Judge, document: &Document) -> Vec<String> {
    let Some(update) = &document.update else {
        return judge.complaints(&document.create, None);
    };
    let first = judge.complaints(&document.create, None);
    assert!(
        first.is_empty(),
        "{}: the first object is refused: {first:#?}",
        document.path.display()
    );
    if document.updates_status() {
        assert_eq!(
            update["spec"],
            document.create["spec"],
            "{}: a status write",
            document.path.display()
        );
    }
    judge.complaints(update, Some(&document.create))
}

#[test]
fn accepted_documents_are_accepted() {
    let judges = judges();
    for document in all_documents().iter().filter(|document| document.accepted) {
        let complaints = complaints(&judges[kind(&document.create)], document);
        assert!(
            complaints.is_empty(),
            "{}: {complaints:#?}",
            document.path.display()
        );
    }
}

#[test]
fn refused_documents_are_refused_with_their_message() {
    let judges = judges();
    for document in all_documents().iter().filter(|document| !document.accepted) {
        let complaints = complaints(&judges[kind(&document.create)], document);
        assert!(!complaints.is_empty(), "{} is accepted", document.path.display());
        let said = complaints.join("\n");
        for wanted in &document.wanted {
            assert!(
                said.contains(wanted),
                "{}: no `{wanted}` in\n{said}",
                document.path.display()
            );
        }
    }
}

#[test]
fn every_rule_refuses_a_document() {
    let judges = judges();
    let mut said = String::new();
    for document in all_documents().iter().filter(|document| !document.accepted) {
        said += &complaints(&judges[kind(&document.create)], document).join("\n");
    }
    for (kind, judge) in &judges {
        for message in judge.rule_messages() {
            assert!(
                said.contains(&message),
                "no document is refused by the rule of {kind}: {message}"
            );
        }
    }
}

/// The object as the type gives it back.
fn through<K: DeserializeOwned + Serialize>(object: &Value) -> Value {
    serde_json::to_value(serde_json::from_value::<K>(object.clone()).unwrap()).unwrap()
}

#[test]
fn what_a_client_reads_and_writes_back_is_accepted() {
    let judges = judges();
    for document in all_documents().iter().filter(|document| document.accepted) {
        let judge = &judges[kind(&document.create)];
        let stored = judge.stored(document.update.as_ref().unwrap_or(&document.create));
        let written = match kind(&stored) {
            "SkyJob" => through::<SkyJob>(&stored),
            "SkyDeployment" => through::<SkyDeployment>(&stored),
            "SkyCluster" => through::<SkyCluster>(&stored),
            "SkyNamespace" => through::<SkyNamespace>(&stored),
            _ => through::<FilterPolicy>(&stored),
        };
        let complaints = judge.complaints(&written, Some(&stored));
        assert!(
            complaints.is_empty(),
            "{}: {complaints:#?}",
            document.path.display()
        );
    }
}

#[test]
fn a_new_object_has_a_status_that_says_nobody_looked_yet() {
    for document in all_documents().iter().filter(|document| document.accepted) {
        let stored = judges()[kind(&document.create)].stored(&document.create);
        assert_eq!(
            stored["status"],
            json!({"observedGeneration": -1}),
            "{}",
            document.path.display()
        );
    }
}

#[test]
fn every_text_list_and_map_is_bounded() {
    for (kind, judge) in judges() {
        visit(judge.schema(), "", &mut |path, schema| {
            let bound = match schema["type"].as_str() {
                Some("string") => schema
                    .get("maxLength")
                    .or(schema.get("enum"))
                    .or(schema.get("format")),
                Some("array") => schema.get("maxItems"),
                Some("object") if schema.get("additionalProperties").is_some() => schema.get("maxProperties"),
                Some("object" | "boolean") => return,
                Some("integer") => schema.get("minimum"),
                _ => schema.get("maxLength"),
            };
            assert!(bound.is_some(), "{kind}{path} has no bound");
        });
    }
}

#[test]
fn every_list_says_how_it_merges_and_nothing_is_nullable() {
    for (kind, judge) in judges() {
        visit(judge.schema(), "", &mut |path, schema| {
            let merges = schema["type"] != json!("array") || schema.get("x-kubernetes-list-type").is_some();
            assert!(merges, "{kind}{path} has no list type");
            assert!(schema.get("nullable").is_none(), "{kind}{path} is nullable");
        });
    }
}

#[test]
fn no_rule_mentions_what_cel_cannot_see() {
    for (kind, judge) in judges() {
        visit(judge.schema(), "", &mut |path, schema| {
            for rule in schema
                .get("x-kubernetes-validations")
                .and_then(Value::as_array)
                .into_iter()
                .flatten()
            {
                let text = rule["rule"].as_str().unwrap();
                assert!(!text.contains("resources"), "{kind}{path}: {text}");
                let placed = !text.contains("oldSelf") || path == ".spec";
                assert!(
                    placed,
                    "{kind}{path}: oldSelf belongs to the rules of the spec: {text}"
                );
            }
        });
    }
}
