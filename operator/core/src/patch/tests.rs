//! What becomes of a template that is patched.

use super::*;
use serde_json::json;

fn template() -> Value {
    json!({"metadata": {"labels": {"tier": "web"}}, "spec": {
        "containers": [
            {"name": "main", "image": "a", "env": [{"name": "A", "value": "1"}, {"name": "B", "value": "2"}],
             "args": ["x", "y"], "ports": [{"containerPort": 80}]},
            {"name": "side", "image": "s"},
        ],
        "tolerations": [{"key": "spot"}],
        "nodeSelector": {"disk": "ssd", "zone": "a"},
    }})
}

fn patched(patches: &[Patch]) -> Result<Value, String> {
    let mut template = template();
    apply(&mut template, patches).map_err(|error| error.to_string())?;
    Ok(template)
}

fn merged(patch: Value) -> Value {
    patched(&[Patch::Strategic(patch)]).expect("it applies")
}

fn refused(operations: Value) -> String {
    let operations = operations.as_array().cloned().expect("operations");
    match patched(&[Patch::Json(operations)]) {
        Ok(_) => String::from("it applies"),
        Err(words) => words,
    }
}

#[test]
fn lists_with_a_key_are_merged_and_others_are_replaced() {
    let after = merged(json!({"spec": {
        "containers": [{"name": "main", "image": "b", "args": ["z"], "ports": [{"containerPort": 80, "name": "http"}],
                        "env": [{"name": "B", "value": "3"}, {"name": "C", "value": "4"}]},
                       {"name": "new", "image": "n"}],
        "tolerations": [{"key": "gpu"}],
    }}));
    let expect = json!([
        {"name": "main", "image": "b", "args": ["z"], "ports": [{"containerPort": 80, "name": "http"}],
         "env": [{"name": "A", "value": "1"}, {"name": "B", "value": "3"}, {"name": "C", "value": "4"}]},
        {"name": "side", "image": "s"},
        {"name": "new", "image": "n"},
    ]);
    assert_eq!(after["spec"]["containers"], expect);
    assert_eq!(after["spec"]["tolerations"], json!([{"key": "gpu"}]));
    assert_eq!(after["metadata"]["labels"]["tier"], "web");
}

#[test]
fn null_removes_a_field() {
    let after = merged(
        json!({"spec": {"nodeSelector": {"disk": null}, "tolerations": null,
        "containers": [{"name": "main", "env": null, "resources": {"limits": null, "requests": {"cpu": "1"}}}]}}),
    );
    assert_eq!(after["spec"]["nodeSelector"], json!({"zone": "a"}));
    assert_eq!(after["spec"].get("tolerations"), None);
    let main = &after["spec"]["containers"][0];
    assert_eq!((main.get("env"), &main["image"]), (None, &json!("a")));
    assert_eq!(main["resources"], json!({"requests": {"cpu": "1"}}));
}

#[test]
fn of_two_patches_of_one_path_the_later_wins_and_sees_the_earlier() {
    let image = |image: &str| json!({"spec": {"containers": [{"name": "main", "image": image}]}});
    let replace = json!({"op": "replace", "path": "/spec/containers/0/image", "value": "d"});
    let test = json!({"op": "test", "path": "/spec/containers/0/image", "value": "c"});
    let patches = [
        Patch::Strategic(image("b")),
        Patch::Strategic(image("c")),
        Patch::Json(vec![test, replace]),
    ];
    let after = patched(&patches).expect("they apply");
    assert_eq!(after["spec"]["containers"][0]["image"], "d");
}

#[test]
fn directives_and_items_without_a_key_are_refused() {
    let refused = |patch: Value| {
        let patch = Patch::Strategic(patch);
        let words = check(&patch).and_then(|()| apply(&mut template(), &[patch]));
        words.expect_err("refused").to_string()
    };
    let delete = json!({"spec": {"containers": [{"name": "side", "$patch": "delete"}]}});
    assert!(refused(delete).starts_with("strategicMerge: the directive $patch is not supported"));
    let deep = json!({"spec": {"tolerations": [{"$patch": "replace"}]}});
    assert!(refused(deep).contains("directive $patch"));
    let order = json!({"spec": {"$setElementOrder/containers": []}});
    assert!(refused(order).contains("$setElementOrder/containers"));
    assert_eq!(
        refused(json!({"spec": {"containers": [{"image": "x"}]}})),
        "strategicMerge: spec.containers: every item must be an object with name"
    );
    assert_eq!(
        refused(json!({"containers": [{"name": "main"}]})),
        "strategicMerge: containers: a pod template has the fields metadata and spec alone"
    );
}

#[test]
fn an_operation_that_cannot_be_carried_out_is_named() {
    assert_eq!(
        refused(json!([{"op": "test", "path": "/spec/containers/0/image", "value": "z"}])),
        "jsonPatch[0]: test /spec/containers/0/image: value did not match"
    );
    let remove = json!({"op": "remove", "path": "/spec/nodeSelector/disk"});
    assert_eq!(
        refused(json!([remove, {"op": "replace", "path": "/spec/nowhere/x", "value": 1}])),
        "jsonPatch[1]: replace /spec/nowhere/x: path is invalid"
    );
    assert!(refused(json!([{"op": "add", "path": "/spec/x"}])).contains("missing field `value`"));
}

#[test]
fn what_no_template_has_is_refused_without_one() {
    let check = |operation: Value| check(&Patch::Json(vec![operation])).map_err(|error| error.to_string());
    assert_eq!(
        check(json!({"op": "add", "path": "/spec/x", "value": null})),
        Ok(())
    );
    assert_eq!(
        check(json!({"op": "add", "path": "/kind", "value": "Pod"})),
        Err("jsonPatch[0]: /kind: a pod template has the fields metadata and spec alone".into())
    );
    assert!(check(json!({"op": "add", "path": "", "value": {}})).is_err());
    assert!(check(json!({"op": "copy", "from": "/kind", "path": "/spec/x"})).is_err());
    assert!(check(json!({"op": "stir", "path": "/spec/x"})).is_err());
}

#[test]
fn copies_cannot_fill_the_memory_nor_nest_without_end() {
    let double = |index: i64| json!({"op": "copy", "from": "/spec", "path": format!("/spec/x{index}")});
    let words = refused((0..64).map(double).collect());
    assert!(words.contains("too much is copied or moved"), "{words}");
    let deep = |path: String| json!({"op": "copy", "from": "/spec/nodeSelector", "path": path});
    let nested = (1..200).map(|depth| deep(format!("/spec{}", "/x".repeat(depth))));
    let words = refused(Value::Array(nested.collect()));
    assert!(words.contains("too much is copied or moved"), "{words}");
}
