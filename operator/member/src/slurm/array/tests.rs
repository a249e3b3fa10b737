//! Arrays put together from records as recorded from 22.05.8.

use super::*;
use serde_json::Value;

fn listed() -> Listed {
    let body: Value = serde_json::from_str(include_str!("../fixtures/jobs-22.05.8.json")).expect("JSON");
    let records: Vec<JobRecord> = serde_json::from_value(body["jobs"].clone()).expect("jobs");
    sort(&records, "games")
}

fn named(listed: &Listed, name: &str) -> Array {
    let mut arrays = listed.arrays.iter();
    arrays
        .find(|array| array.comment.stamp().name == name)
        .expect("the array")
        .clone()
}

#[test]
fn records_of_one_array_come_together() {
    let listed = listed();
    let part = named(&listed, "part");
    assert_eq!((part.id, part.tasks.len()), (6, 2));
    assert!(part.has_started() && !part.is_over() && !part.is_held());
    assert_eq!(
        part.rest.as_ref().map(|rest| rest.reason.as_str()),
        Some("Resources")
    );
    assert_eq!(part.instance(), "6/0123456789ab");
    assert_eq!(part.key.namespace, "team-a");
    let held = named(&listed, "held");
    assert!(held.is_held() && !held.has_started());
    assert!(named(&listed, "done").is_over());
    assert_eq!(listed.cluster.as_deref(), Some("hpc"));
}

#[test]
fn what_others_submit_is_foreign_and_what_other_users_do_is_nothing() {
    assert_eq!(listed().foreign, ["someone-elses"]);
    let body: Value = serde_json::from_str(include_str!("../fixtures/jobs-22.05.8.json")).expect("JSON");
    let records: Vec<JobRecord> = serde_json::from_value(body["jobs"].clone()).expect("jobs");
    let theirs = sort(&records, "root");
    assert!(theirs.arrays.is_empty() && theirs.foreign.is_empty());
}

#[test]
fn what_somebody_cancelled_before_it_started_was_deleted() {
    let listed = listed();
    assert!(named(&listed, "gone").was_deleted());
    for name in ["held", "done", "code", "part"] {
        assert!(!named(&listed, name).was_deleted(), "{name}");
    }
}

#[test]
fn every_state_has_its_meaning() {
    let doing = |states: &[&str]| {
        let states: Vec<String> = states.iter().map(|state| (*state).to_owned()).collect();
        Doing::of(&states, "", Exit::default())
    };
    for state in [
        "PENDING",
        "CONFIGURING",
        "REQUEUED",
        "REQUEUE_HOLD",
        "SPECIAL_EXIT",
    ] {
        assert_eq!(doing(&[state]), Doing::Waiting, "{state}");
    }
    for state in [
        "RUNNING",
        "SUSPENDED",
        "STOPPED",
        "RESIZING",
        "COMPLETING",
        "STAGE_OUT",
    ] {
        assert_eq!(doing(&[state]), Doing::Running, "{state}");
    }
    assert_eq!(doing(&["COMPLETED"]), Doing::Succeeded);
    assert_eq!(doing(&["COMPLETED", "COMPLETING"]), Doing::Running);
    assert_eq!(doing(&["CANCELLED"]), Doing::Cancelled);
    assert_eq!(doing(&["PENDING", "REQUEUED"]), Doing::Waiting);
    for state in [
        "FAILED",
        "TIMEOUT",
        "NODE_FAIL",
        "PREEMPTED",
        "BOOT_FAIL",
        "DEADLINE",
        "OUT_OF_MEMORY",
    ] {
        assert!(matches!(doing(&[state]), Doing::Failed(..)), "{state}");
    }
}
