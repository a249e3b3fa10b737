//! Both dialects: what is sent, and what is read of answers of each, all recorded from real servers; of those of 24.11
//! and 26.05 what is empty was left out.

use super::*;
use serde_json::from_str;

const OLD_JOBS: &str = include_str!("../fixtures/jobs-22.05.8.json");
const NEW_JOBS: [&str; 2] = [
    include_str!("../fixtures/jobs-24.11.5.json"),
    include_str!("../fixtures/jobs-26.05.5.json"),
];

type Jobs = BTreeMap<(String, Option<i64>), JobRecord>;

fn jobs(text: &str) -> Jobs {
    let body: Value = from_str(text).expect("JSON");
    let list: Vec<JobRecord> = serde_json::from_value(body["jobs"].clone()).expect("jobs");
    let each = list
        .into_iter()
        .map(|job| ((job.name.clone(), job.array_task_id), job));
    each.collect()
}

#[test]
fn all_releases_read_the_same() {
    for text in NEW_JOBS {
        reads_the_same(&jobs(OLD_JOBS), &jobs(text));
    }
}

fn reads_the_same(old: &Jobs, new: &Jobs) {
    for (name, index) in [
        ("held-0a1b2c3d", None),
        ("done-0a1b2c3d", Some(0)),
        ("part-0a1b2c3d", Some(1)),
        ("part-0a1b2c3d", None),
        ("gone-0a1b2c3d", None),
        ("someone-elses", None),
    ] {
        let key = (name.to_owned(), index);
        let alike = |job: &JobRecord| {
            let held = job.priority == Some(0);
            (
                job.array_job_id.is_some_and(|id| id > 0),
                job.job_state.clone(),
                job.comment.clone(),
                held,
                job.exit_code,
            )
        };
        assert_eq!(alike(&old[&key]), alike(&new[&key]), "{key:?}");
    }
}

#[test]
fn exit_codes_are_taken_apart_by_us_or_by_the_server() {
    for jobs in [OLD_JOBS, NEW_JOBS[0], NEW_JOBS[1]].map(jobs) {
        let exit = |name: &str| jobs[&(name.to_owned(), Some(0))].exit_code;
        assert_eq!(exit("code-0a1b2c3d"), Exit { code: 3, signal: 0 });
        assert_eq!(exit("sig-0a1b2c3d"), Exit { code: 0, signal: 9 });
        assert_eq!(exit("done-0a1b2c3d"), Exit::default());
    }
}

#[test]
fn numbers_that_are_not_set_are_none() {
    for (text, number) in [
        ("5", Some(5)),
        ("0", Some(0)),
        ("-1", None),
        ("null", None),
        (r#"{"set":true,"infinite":false,"number":7}"#, Some(7)),
        (r#"{"set":false,"infinite":false,"number":7}"#, None),
        (r#"{"set":true,"infinite":true,"number":7}"#, None),
        (r#""text""#, None),
    ] {
        let value: Value = from_str(text).expect("JSON");
        assert_eq!(number_of(&value), number, "{text}");
    }
}

#[test]
fn partitions_are_flat_or_nested() {
    let read = |text: &str| {
        let body: Value = from_str(text).expect("JSON");
        serde_json::from_value::<Vec<PartitionRecord>>(body["partitions"].clone()).expect("partitions")
    };
    let old = read(include_str!("../fixtures/partitions-22.05.8.json"));
    assert_eq!(
        (old[0].name.as_str(), old[0].up, old[0].default),
        ("main", true, true)
    );
    assert!(old[1].up && !old[1].default);
    for new in [
        include_str!("../fixtures/partitions-24.11.5.json"),
        include_str!("../fixtures/partitions-26.05.5.json"),
    ] {
        let new = read(new);
        assert!(new[0].up && !new[1].up);
    }
}

fn submission() -> Submission {
    Submission {
        name: "n".into(),
        script: "#!/bin/sh\n".into(),
        environment: [("A".to_owned(), "x=\"y\"\n$(id)".to_owned())].into(),
        work_dir: "/w".into(),
        gres: Some("gpu:a100:2".into()),
        time_limit: Some(9),
        memory: 100,
        cpus: 2,
        array: "0-2".into(),
        hold: true,
        ..Submission::default()
    }
}

#[test]
fn each_dialect_writes_what_it_takes() {
    let old = Dialect::Old.submit(&submission());
    assert_eq!(old["script"], "#!/bin/sh\n");
    assert_eq!(old["job"]["environment"]["A"], "x=\"y\"\n$(id)");
    assert_eq!(old["job"]["gres"], "gpu:a100:2");
    assert_eq!(old["job"]["memory_per_node"], 100);
    assert_eq!(old["job"]["time_limit"], 9);
    let new = Dialect::New.submit(&submission());
    assert_eq!(new["job"]["script"], "#!/bin/sh\n");
    assert_eq!(new["job"]["environment"][0], "A=x=\"y\"\n$(id)");
    assert_eq!(new["job"]["tres_per_node"], "gres/gpu:a100:2");
    assert_eq!(new["job"]["memory_per_node"]["number"], 100);
    assert_eq!(new["job"]["time_limit"]["number"], 9);
    for body in [old, new] {
        let job = &body["job"];
        assert_eq!((&job["array"], &job["hold"]), (&json!("0-2"), &json!(true)));
        assert!(job.get("exclusive").is_none() && job.get("shared").is_none());
        // 22.05 dies of it, after it has taken the job.
        assert!(job.get("argv").is_none());
    }
}

#[test]
fn with_whom_nodes_are_shared_is_said_as_each_dialect_says_it() {
    for (whom, old, new) in [
        ("true", json!("exclusive"), json!(["none"])),
        ("user", json!("user"), json!(["user"])),
        ("mcs", json!("mcs"), json!(["mcs"])),
        ("false", Value::Null, Value::Null),
    ] {
        let job = Submission {
            exclusive: Some(whom.into()),
            ..submission()
        };
        assert_eq!(Dialect::Old.submit(&job)["job"]["exclusive"], old);
        let body = Dialect::New.submit(&job);
        assert_eq!(
            (&body["job"]["shared"], &body["job"]["exclusive"]),
            (&new, &Value::Null)
        );
    }
}
