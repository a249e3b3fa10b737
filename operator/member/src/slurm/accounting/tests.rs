//! Accounting against a server that answers as real ones of 22.05.8 and 24.11.5 did, and what follows for a share.

use serde_json::{Value, json};
use sky_core::observation::{End, Observation, Started};
use sky_core::workload::Kind;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;

use super::*;
use crate::slurm::Access;
use crate::slurm::client::Client;
use crate::slurm::http::Http;

type Answer = (u16, String);

const FOUND: &str = include_str!("../fixtures/accounting-22.05.8.json");
const NOTHING: &str = include_str!("../fixtures/accounting-nothing-22.05.8.json");
const NEW: &str = include_str!("../fixtures/accounting-24.11.5.json");
const NEW_NOTHING: &str = include_str!("../fixtures/accounting-nothing-24.11.5.json");
const BAD_TOKEN: &str = include_str!("../fixtures/accounting-bad-token-22.05.8.json");
const SILENT: &str = include_str!("../fixtures/accounting-silent-22.05.8.json");
const UNSERVED: &str = "Unable find requested URL. Please view /openapi/v3 for API reference.";

fn stamp() -> Stamp {
    Stamp {
        origin: "host".into(),
        kind: Kind::SkyJob,
        namespace: "team".into(),
        name: "job".into(),
        uid: "u".into(),
        run: String::new(),
        share: "1-0".into(),
        attempt: 1,
        spec_hash: "0".into(),
    }
}

fn recorded(object: &str, instance: &str, replicas: i64) -> Recorded {
    Recorded {
        key: ShareKey {
            kind: Kind::SkyJob,
            namespace: "team".into(),
            object: object.into(),
        },
        stamp: stamp(),
        instance: instance.into(),
        replicas,
    }
}

/// A server of v0.0.38 that lists `jobs` and gives `accounting` for every question; counts these.
async fn serve(jobs: Value, accounting: Answer) -> (String, tokio::sync::watch::Receiver<usize>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let endpoint = format!("http://{}", listener.local_addr().expect("an address"));
    let (count, counted) = tokio::sync::watch::channel(0);
    tokio::spawn(async move {
        loop {
            let (mut stream, _) = listener.accept().await.expect("a connection");
            let mut request = vec![0_u8; 64 * 1024];
            let length = stream.read(&mut request).await.expect("a request");
            let text = String::from_utf8_lossy(&request[..length]).into_owned();
            let path = text.split(' ').nth(1).unwrap_or_default();
            let (status, body) = if path.starts_with("/slurmdb/v0.0.38/jobs?") {
                count.send_modify(|count| *count += 1);
                accounting.clone()
            } else if path == "/slurm/v0.0.38/jobs" {
                (200, json!({"errors": [], "jobs": jobs}).to_string())
            } else if path == "/slurm/v0.0.38/ping" {
                (200, "{}".to_owned())
            } else {
                (404, UNSERVED.to_owned())
            };
            let head = format!(
                "HTTP/1.1 {status} X\r\nContent-Length: {}\r\nConnection: close\r\n\r\n",
                body.len()
            );
            let _ = stream.write_all(head.as_bytes()).await;
            let _ = stream.write_all(body.as_bytes()).await;
        }
    });
    (endpoint, counted)
}

fn site(endpoint: &str, recorded: Vec<Recorded>) -> Arc<Site> {
    let http = Http::new(endpoint, "games", "t", None, crate::gate::Gate::always_open()).expect("a client");
    let access = Access {
        endpoint: endpoint.to_owned(),
        user: "games".into(),
        max_array_size: 1001,
        confirm_seconds: 6,
        ..Access::default()
    };
    let site = Arc::new(Site::new(Client::new(http), access, "host"));
    let record: Record = Arc::new(move |known| {
        let unknown = recorded.iter().filter(|one| !known.contains(&one.instance));
        unknown.cloned().collect()
    });
    assert!(site.record.set(record).is_ok());
    site
}

/// What is said of the only share, when slurmctld lists nothing.
async fn said(object: &str, instance: &str, accounting: (u16, &str)) -> Option<Observation> {
    said_of(recorded(object, instance, 6), accounting).await
}

async fn said_of(recorded: Recorded, accounting: (u16, &str)) -> Option<Observation> {
    let (endpoint, _) = serve(json!([]), (accounting.0, accounting.1.to_owned())).await;
    let site = site(&endpoint, vec![recorded]);
    look(&site).await
}

async fn look(site: &Arc<Site>) -> Option<Observation> {
    let listed = site.list().await.expect("a list");
    site.say(&listed).0.into_values().next()
}

#[tokio::test]
async fn what_slurmctld_forgot_is_said_as_accounting_has_it() {
    let seen = said("rec-1", "1/n", (200, FOUND)).await.expect("a share");
    assert_eq!((seen.counts.succeeded, seen.counts.failed), (2, 4));
    assert_eq!((seen.instance.as_str(), seen.started), ("1/n", Started::Yes));
    assert_eq!(seen.stamp, stamp());
    let Some(End::Failed(trouble)) = seen.end else {
        panic!("{:?}", seen.end)
    };
    assert_eq!(
        (trouble.reason.as_str(), trouble.message.as_str()),
        (
            "Failed",
            "replica 1: accounting does not say how it ended (FAILED)"
        )
    );
    let seen = said("rec-2", "7/n", (200, FOUND)).await.expect("a share");
    assert_eq!((seen.counts.failed, seen.active), (6, 0));
    assert!(matches!(seen.end, Some(End::Failed(trouble)) if trouble.reason == "Cancelled"));
}

#[tokio::test]
async fn newer_accounting_tells_exit_codes_and_signals_and_says_nothing_of_what_it_does_not_know() {
    let done = said_of(recorded("rec-done", "4/n", 2), (200, NEW)).await;
    assert_eq!(done.expect("a share").end, Some(End::Complete));
    for (object, instance, replicas, words) in [
        ("rec-code", "5/n", 2, "replica 0: exit code 3 (FAILED)"),
        ("rec-sig", "6/n", 1, "replica 0: ended by signal 9 (FAILED)"),
    ] {
        let seen = said_of(recorded(object, instance, replicas), (200, NEW)).await;
        let Some(End::Failed(trouble)) = seen.and_then(|seen| seen.end) else {
            panic!("{object} has not failed")
        };
        assert_eq!(trouble.message, words);
    }
    let other = said_of(recorded("rec-code", "77/n", 2), (200, NEW)).await;
    assert!(other.is_none(), "an array of another id");
    let gone = said_of(recorded("rec-none", "8/n", 1), (200, NEW_NOTHING)).await;
    assert!(gone.is_none());
}

/// The answer of 22.05 has 0 for every exit code.
#[tokio::test]
async fn an_exit_code_that_accounting_does_not_tell_is_read_beside_the_output() {
    let directory = std::env::temp_dir().join(format!("sky-accounting-{}", std::process::id()));
    std::fs::create_dir_all(directory.join(".rec-1-1.0")).expect("a mark");
    std::fs::write(directory.join(".rec-1-1.0/code"), "3\n").expect("a code");
    let (endpoint, _) = serve(json!([]), (200, FOUND.to_owned())).await;
    let mut site = site(&endpoint, vec![recorded("rec-1", "1/n", 6)]);
    let alone = Arc::get_mut(&mut site).expect("nobody else has it");
    alone.access.logs = Some(directory.display().to_string());
    let seen = look(&site).await.expect("a share");
    std::fs::remove_dir_all(&directory).expect("the marks");
    let Some(End::Failed(trouble)) = seen.end else {
        panic!("{:?}", seen.end)
    };
    assert_eq!(trouble.message, "replica 1: exit code 3 (FAILED)");
}

#[tokio::test]
async fn an_id_that_is_another_jobs_is_not_ours() {
    assert_eq!(said("rec-1", "7/n", (200, FOUND)).await, None);
    assert_eq!(said("other", "1/n", (200, FOUND)).await, None);
}

#[tokio::test]
async fn what_is_not_found_there_either_is_gone_and_so_it_is_without_accounting() {
    assert_eq!(said("rec-1", "1/n", (200, NOTHING)).await, None);
    assert_eq!(said("rec-1", "1/n", (404, UNSERVED)).await, None);
}

#[tokio::test]
async fn an_unclear_answer_is_neither_an_end_nor_gone() {
    for body in [SILENT, BAD_TOKEN, "<html>", "{\"errors\":[]}"] {
        let seen = said("rec-1", "1/n", (200, body)).await.expect("a share");
        assert_eq!((seen.end, seen.started), (None, Started::Unknown), "{body}");
        let trouble = seen.trouble.expect("a trouble");
        assert_eq!(trouble.reason, UNCLEAR);
        assert!(trouble.message.contains("accounting"), "{}", trouble.message);
    }
    let silent = said("rec-1", "1/n", (200, SILENT))
        .await
        .and_then(|seen| seen.trouble);
    let words = silent.expect("a trouble").message;
    assert!(words.contains("Unable to connect to database"), "{words}");
}

#[tokio::test]
async fn it_is_asked_for_again_later_and_not_once_it_is_clear() {
    let (endpoint, asked) = serve(json!([]), (200, SILENT.to_owned())).await;
    let site = site(&endpoint, vec![recorded("rec-1", "1/n", 6)]);
    for _ in 0..3 {
        assert!(look(&site).await.is_some_and(|seen| seen.end.is_none()));
    }
    assert_eq!(*asked.borrow(), 1);
    site.past().set_unclear(0, String::new());
    look(&site).await;
    assert_eq!(*asked.borrow(), 2);
    let (endpoint, asked) = serve(json!([]), (200, FOUND.to_owned())).await;
    let site = super::tests::site(&endpoint, vec![recorded("rec-1", "1/n", 6)]);
    for _ in 0..3 {
        assert!(look(&site).await.is_some_and(|seen| seen.end.is_some()));
    }
    assert_eq!(*asked.borrow(), 1);
}

/// Of six replicas one is still listed.
#[tokio::test]
async fn of_an_array_that_is_forgotten_in_part_the_rest_is_asked_for() {
    let comment = Comment::new(&stamp(), 6, "n".into()).write().expect("a comment");
    let last = json!([{
        "job_id": 1, "array_job_id": 1, "array_task_id": 5, "name": "rec-1", "user_name": "games",
        "comment": comment, "job_state": "COMPLETED", "batch_host": "a", "exit_code": 0,
    }]);
    for (answer, counts) in [(FOUND, (2, 4)), (NOTHING, (1, 0))] {
        let (endpoint, _) = serve(last.clone(), (200, answer.to_owned())).await;
        let seen = look(&site(&endpoint, Vec::new())).await.expect("a share");
        assert_eq!((seen.counts.succeeded, seen.counts.failed), counts);
        let Some(End::Failed(trouble)) = seen.end else {
            panic!("{:?}", seen.end)
        };
        assert_eq!(trouble.reason == "OutcomeUnknown", answer == NOTHING);
    }
}

#[test]
fn what_accounting_calls_running_is_open_and_what_waits_there_was_lost() {
    let array = forgotten(&recorded("a", "3/n", 2)).expect("an array");
    let told = |states: &[(&str, Option<u32>)]| {
        let records: Vec<AccountRecord> = states
            .iter()
            .map(|(state, index)| AccountRecord {
                name: "a".into(),
                array_id: Some(3),
                index: *index,
                state: vec![(*state).to_owned()],
                ..AccountRecord::default()
            })
            .collect();
        read(&records, &array)
    };
    let open = told(&[("COMPLETED", Some(0)), ("RUNNING", Some(1))]);
    assert_eq!((open.ends.len(), open.open.as_deref()), (1, Some("RUNNING")));
    assert_eq!(told(&[("PENDING", None)]), Told::default());
    assert_eq!(told(&[("COMPLETED", Some(0)), ("CANCELLED", None)]).ends.len(), 2);
}

/// As the published schema of v0.0.40 and later has it.
#[test]
fn the_newer_dialect_reads_the_same() {
    let record: AccountRecord = serde_json::from_value(json!({
        "name": "a", "job_id": 9, "user": "games",
        "array": {"job_id": 3, "task_id": {"set": true, "infinite": false, "number": 1}, "task": ""},
        "state": {"current": ["FAILED"], "reason": "None"},
        "exit_code": {"status": ["ERROR"], "return_code": {"set": true, "infinite": false, "number": 3},
            "signal": {"id": {"set": false, "infinite": false, "number": 0}, "name": ""}},
    }))
    .expect("a record");
    assert_eq!((record.array_id, record.index), (Some(3), Some(1)));
    assert_eq!((record.state, record.exit.code), (vec!["FAILED".to_owned()], 3));
}
