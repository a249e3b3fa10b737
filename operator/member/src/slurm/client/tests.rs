//! The client against a server that answers what real ones do, and what they do not.

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;

use super::*;

/// A client of a server that gives these answers in order, one for each connection, and the first lines it was sent.
async fn against(answers: Vec<(u16, &'static str)>) -> (Client, tokio::task::JoinHandle<Vec<String>>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let endpoint = format!("http://{}", listener.local_addr().expect("an address"));
    let served = tokio::spawn(async move {
        let mut asked = Vec::new();
        for (status, body) in answers {
            let (mut stream, _) = listener.accept().await.expect("a connection");
            let mut request = vec![0_u8; 64 * 1024];
            let length = stream.read(&mut request).await.expect("a request");
            let text = String::from_utf8_lossy(&request[..length]).into_owned();
            assert!(text.contains("x-slurm-user-token: t0ken"), "{text}");
            asked.push(text.lines().next().unwrap_or_default().to_owned());
            let head = format!(
                "HTTP/1.1 {status} X\r\nContent-Length: {}\r\nConnection: close\r\nLocation: http://127.0.0.1:1/\r\n\r\n",
                body.len()
            );
            stream.write_all(head.as_bytes()).await.expect("a reader");
            stream.write_all(body.as_bytes()).await.expect("a reader");
        }
        asked
    });
    let http =
        Http::new(&endpoint, "sky", "t0ken", None, crate::gate::Gate::always_open()).expect("a client");
    (Client::new(http), served)
}

const UNSERVED: (u16, &str) = (
    404,
    "Unable find requested URL. Please view /openapi/v3 for API reference.",
);
const PING: (u16, &str) = (200, include_str!("../fixtures/ping-22.05.8.json"));
const JOBS: (u16, &str) = (200, include_str!("../fixtures/jobs-22.05.8.json"));
const BAD_TOKEN: (u16, &str) = (500, include_str!("../fixtures/bad-token-22.05.8.json"));

/// A client that knows it speaks to 22.05.
async fn old(answers: Vec<(u16, &'static str)>) -> (Client, tokio::task::JoinHandle<Vec<String>>) {
    let (client, served) = against(answers).await;
    client.learn(Some(38));
    (client, served)
}

#[tokio::test]
async fn the_newest_version_that_is_served_is_spoken() {
    let mut answers = vec![UNSERVED; 6];
    answers.extend([PING, PING, JOBS]);
    let (client, served) = against(answers).await;
    let greeting = client.greet().await.expect("a greeting");
    assert_eq!((greeting.release.as_str(), greeting.cluster), ("22.05.8", None));
    assert!(client.jobs().await.expect("jobs").len() > 10);
    let asked = served.await.expect("answers");
    assert_eq!(asked[0], "GET /slurm/v0.0.45/ping HTTP/1.1");
    assert_eq!(asked[8], "GET /slurm/v0.0.38/jobs HTTP/1.1");
}

#[tokio::test]
async fn a_server_that_serves_no_known_version_is_named() {
    let (client, _served) = against(vec![UNSERVED; 7]).await;
    let error = client.greet().await.expect_err("no version");
    assert_eq!(error.class, Class::Unreachable);
    assert!(error.message.contains("v0.0.38"), "{error}");
}

#[tokio::test]
async fn an_empty_list_with_an_error_is_no_empty_cluster() {
    // A ping that is refused too: it is the token.
    let (client, _served) = old(vec![BAD_TOKEN, (500, "{}")]).await;
    let error = client.jobs().await.expect_err("refused");
    assert_eq!(error.class, Class::Unauthorized);
    let (client, _served) = old(vec![BAD_TOKEN, PING]).await;
    let error = client.jobs().await.expect_err("silent");
    assert_eq!(error.class, Class::Unreachable);
    assert!(!error.message.contains("t0ken"));
}

#[tokio::test]
async fn what_is_no_list_is_no_empty_list() {
    for body in [
        "{}",
        "{\"jobs\":null}",
        "[]",
        "<html>",
        "",
        "{\"jobs\":[{\"job_id\":",
    ] {
        let (client, _served) = old(vec![(200, body)]).await;
        let error = client.jobs().await.expect_err(body);
        assert_eq!(error.class, Class::Unreachable, "{body}");
    }
}

#[tokio::test]
async fn a_redirect_is_not_followed() {
    let (client, served) = old(vec![(302, "")]).await;
    let error = client.jobs().await.expect_err("a redirect");
    assert_eq!(error.class, Class::Unreachable);
    assert_eq!(served.await.expect("one request").len(), 1);
}

#[tokio::test]
async fn an_id_means_accepted_whatever_is_said_besides() {
    for held in [
        include_str!("../fixtures/submit-held-22.05.8.json"),
        include_str!("../fixtures/submit-held-24.11.5.json"),
    ] {
        let (client, _served) = old(vec![(200, held)]).await;
        assert_eq!(client.submit(&Submission::default()).await, Ok(1));
    }
}

#[tokio::test]
async fn a_refused_submit_says_slurms_own_words() {
    for refused in [
        include_str!("../fixtures/bad-partition-22.05.8.json"),
        include_str!("../fixtures/bad-partition-24.11.5.json"),
    ] {
        let (client, _served) = old(vec![(500, refused)]).await;
        let error = client.submit(&Submission::default()).await.expect_err("refused");
        assert_eq!(error.class, Class::Rejected);
        assert!(
            error.message.contains("Invalid partition name specified"),
            "{error}"
        );
    }
}

#[tokio::test]
async fn a_newer_server_says_who_it_is_and_that_a_token_is_bad() {
    for (release, ping) in [
        ("24.11.5", include_str!("../fixtures/ping-24.11.5.json")),
        ("26.05.5", include_str!("../fixtures/ping-26.05.5.json")),
    ] {
        let (client, _served) = old(vec![(200, ping)]).await;
        let greeting = client.greet().await.expect("a greeting");
        assert_eq!(
            (greeting.release.as_str(), greeting.cluster.as_deref()),
            (release, Some("hpc"))
        );
    }
    let (client, _served) = old(vec![(511, include_str!("../fixtures/bad-token-24.11.5.json"))]).await;
    let error = client.jobs().await.expect_err("refused");
    assert_eq!(error.class, Class::Unauthorized);
}

#[tokio::test]
async fn what_is_cancelled_and_unknown_is_gone_in_both_dialects() {
    let new = (200, include_str!("../fixtures/cancel-unknown-24.11.5.json"));
    let old_words = r#"{"errors":[{"error_number":2017,"error":"Invalid job id specified"}]}"#;
    for answer in [new, (500, old_words)] {
        let (client, _served) = old(vec![answer]).await;
        assert_eq!(client.cancel(9999).await, Ok(Changed::Gone));
    }
    let over = r#"{"errors":[{"description":"job array update failed","error_number":2084}]}"#;
    let (client, _served) = old(vec![(200, over)]).await;
    assert_eq!(client.change(1, "", Some(true)).await, Ok(Changed::Over));
}

#[tokio::test]
async fn a_token_that_is_replaced_is_sent_from_then_on() {
    let (client, served) = old(vec![JOBS]).await;
    client.http().set_token("other").expect("a token");
    client.http().set_token("t0ken-2").expect("a token");
    client.jobs().await.expect("jobs");
    served.await.expect("one request");
}

/// A server that reads the first request and closes its connection without an answer, then gives `answer`; how many
/// requests it was sent.
async fn closing(answer: &'static str) -> (Client, tokio::task::JoinHandle<usize>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let endpoint = format!("http://{}", listener.local_addr().expect("an address"));
    let served = tokio::spawn(async move {
        let patience = std::time::Duration::from_secs(2);
        let mut requests = 0;
        while let Ok(accepted) = tokio::time::timeout(patience, listener.accept()).await {
            let (mut stream, _) = accepted.expect("a connection");
            let mut request = vec![0_u8; 64 * 1024];
            let _ = stream.read(&mut request).await.expect("a request");
            requests += 1;
            if requests > 1 {
                let head = format!("HTTP/1.1 200 X\r\nContent-Length: {}\r\n\r\n", answer.len());
                stream.write_all(head.as_bytes()).await.expect("a reader");
                stream.write_all(answer.as_bytes()).await.expect("a reader");
                break;
            }
        }
        requests
    });
    let http =
        Http::new(&endpoint, "sky", "t0ken", None, crate::gate::Gate::always_open()).expect("a client");
    let client = Client::new(http);
    client.learn(Some(38));
    (client, served)
}

#[tokio::test]
async fn a_cancellation_that_gets_no_answer_is_sent_again_and_a_submit_is_not() {
    let (client, served) = closing("{\"errors\": []}").await;
    assert_eq!(client.cancel(7).await.expect("an answer"), Changed::Done);
    assert_eq!(served.await.expect("a count"), 2);
    let (client, served) = closing("{\"errors\": [], \"job_id\": 7}").await;
    let error = client
        .submit(&Submission::default())
        .await
        .expect_err("no answer");
    assert_eq!(error.class, Class::Unreachable);
    assert_eq!(served.await.expect("a count"), 1);
}
