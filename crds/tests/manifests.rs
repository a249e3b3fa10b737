//! `manifests/`, and the chart's copy of it, is what the types say, and small enough for plain `kubectl apply`.

#[path = "../examples/generate/manifest.rs"]
mod manifest;

use std::path::Path;

const COMMAND: &str = "cargo run -p sky-crds --example generate";

#[test]
fn manifests_are_current() {
    for name in manifest::FOLDERS {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join(name);
        let mut expected = Vec::new();
        for crd in sky_crds::schema::all() {
            let file = manifest::file_name(&crd);
            let text = std::fs::read_to_string(folder.join(&file)).unwrap_or_default();
            assert!(
                text == manifest::text(&crd).unwrap(),
                "{name}/{file} is out of date: run `{COMMAND}`"
            );
            expected.push(file);
        }
        let mut found: Vec<String> = std::fs::read_dir(&folder)
            .unwrap()
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .collect();
        found.sort();
        assert_eq!(
            found, expected,
            "{name} holds other files: run `{COMMAND}` and remove them"
        );
    }
}

#[test]
fn each_crd_fits_into_the_annotation_of_kubectl_apply() {
    for crd in sky_crds::schema::all() {
        let size = serde_json::to_string(&crd).unwrap().len();
        assert!(
            size <= 200 * 1024,
            "{} has {size} bytes of compact JSON",
            crd.spec.names.plural
        );
    }
}
