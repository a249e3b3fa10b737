//! `kubectl sky simulate --offline` as users run it: documents in, answers out, compared with the files beside them.
//! `UPDATE=1 cargo test -p kubectl-sky --test simulate` writes these anew, for review.
#![expect(clippy::unwrap_used, reason = "what cannot be run or read is a failed test")]

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/simulate")
}

/// Runs it in the folder of the documents, without any kubeconfig.
fn simulate(arguments: &str) -> Output {
    Command::new(env!("CARGO_BIN_EXE_kubectl-sky"))
        .args(["simulate", "--offline"])
        .args(arguments.split_whitespace())
        .current_dir(folder())
        .env("KUBECONFIG", "/nonexistent")
        .output()
        .unwrap()
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8(bytes.to_vec()).unwrap()
}

/// The answer must be the one in the file.
fn check(arguments: &str, golden: &str, code: i32) {
    let output = simulate(arguments);
    let told = text(&output.stderr);
    assert_eq!(output.status.code(), Some(code), "{arguments}: {told}");
    let (path, answer) = (folder().join(golden), text(&output.stdout));
    if std::env::var_os("UPDATE").is_some() {
        fs::write(&path, &answer).unwrap();
    }
    let expected = fs::read_to_string(&path).unwrap_or_default();
    assert_eq!(answer, expected, "{arguments}");
}

/// It must fail with this code and words that have each of these.
fn refused(arguments: &str, code: i32, words: &[&str]) {
    let output = simulate(arguments);
    let told = text(&output.stderr);
    assert_eq!(output.status.code(), Some(code), "{arguments}: {told}");
    for word in words {
        assert!(told.contains(word), "{arguments}: {told}");
    }
}

#[test]
fn the_job_of_the_original_text_goes_to_the_cluster_it_prefers() {
    check("-f fleet.yaml my-job.yaml -o json --exit-code", "my-job.json", 0);
    check("-f fleet.yaml my-job.yaml", "my-job.txt", 0);
    check("-f fleet.yaml my-job.yaml -o yaml", "my-job-yaml.txt", 0);
    check("-f fleet.yaml my-job.yaml -o wide", "my-job-wide.txt", 0);
}

#[test]
fn it_falls_through_the_preferences_as_clusters_are_full_or_gone() {
    check("-f fleet.yaml my-job.yaml my-job.yaml my-job.yaml", "full.txt", 0);
    check("-f fleet.yaml my-job.yaml --replicas 20", "spilled.txt", 0);
    check("-f fleet.yaml my-job.yaml --replicas 27", "too-few.txt", 0);
    check("-f fleet.yaml my-job.yaml --cordon cluster-1", "second.txt", 0);
    check(
        "-f fleet.yaml my-job.yaml --without cluster-1,cluster-2",
        "third.txt",
        0,
    );
    let no_dev = "--without cluster-1,cluster-2 --cordon cluster-3";
    check(&format!("-f fleet.yaml my-job.yaml {no_dev}"), "fourth.txt", 0);
    let nothing = "--without cluster-1,cluster-2,cluster-3,cluster-5 --exit-code";
    check(&format!("-f fleet.yaml my-job.yaml {nothing}"), "nowhere.txt", 3);
}

#[test]
fn policies_and_namespaces_rule_and_higher_priority_takes_its_room_first() {
    check("-f fleet.yaml governed.yaml", "governed.txt", 0);
    check(
        "-f fleet.yaml governed.yaml -o json --exit-code",
        "governed.json",
        3,
    );
}

#[test]
fn what_cannot_be_carried_out_is_an_answer() {
    check("-f fleet.yaml refused.yaml", "refused.txt", 0);
    check("-f fleet.yaml refused.yaml --exit-code", "refused.txt", 3);
}

#[test]
fn wrong_uses_say_what_to_do() {
    refused("-f fleet.yaml", 2, &["no SkyJob and no SkyDeployment"]);
    refused(
        "-f fleet.yaml my-job.yaml --without cluster-9",
        2,
        &[
            "--without: no cluster is named \"cluster-9\"",
            "cluster-1, cluster-2",
        ],
    );
    refused("-f absent.yaml", 1, &["failed to read absent.yaml"]);
}

#[test]
fn a_cluster_that_says_nothing_of_its_room_is_told() {
    let output = simulate("-f silent.yaml my-job.yaml");
    let told = text(&output.stderr);
    assert!(
        told.starts_with("note: the room of silent is not known"),
        "{told}"
    );
    assert!(text(&output.stdout).contains("not reported yet"));
}
