//! The gate by a clock of the test's own, and what passes it on the way out.

use std::sync::Mutex;

use tokio::time::Instant;

use super::client::{Gated, Writes};
use super::wire::Guarded;
use super::*;

thread_local! {
    /// What the paused clock said when it was first asked: every test has a thread, and a clock, of its own.
    static BEGIN: Instant = Instant::now();
}

/// The paused clock of the test's runtime.
fn paused() -> Duration {
    let now = Instant::now();
    Duration::from_secs(1) + BEGIN.with(|begin| now.saturating_duration_since(*begin))
}

fn later(gate: &Gate, seconds: u64) -> Duration {
    gate.now() + Duration::from_secs(seconds)
}

#[tokio::test(start_paused = true)]
async fn it_is_shut_until_opened_and_shut_for_good_when_it_ran_out() {
    let gate = Gate::shut_by(paused);
    assert_eq!(gate.check(&Method::GET), Ok(()));
    assert_eq!(gate.check(&Method::POST), Err(Shut::NotLeading));
    assert!(!gate.is_open());
    gate.open_until(later(&gate, 3)).expect("open");
    tokio::time::advance(Duration::from_millis(2_999)).await;
    for method in [
        Method::GET,
        Method::POST,
        Method::PUT,
        Method::PATCH,
        Method::DELETE,
    ] {
        assert_eq!(gate.check(&method), Ok(()));
    }
    tokio::time::advance(Duration::from_millis(2)).await;
    // Nobody has noticed yet: the write itself does.
    assert_eq!(gate.check(&Method::PATCH), Err(Shut::RanOut));
    gate.ran_out().await;
    assert_eq!(gate.open_until(later(&gate, 60)), Err(Shut::RanOut));
    for method in [Method::GET, Method::POST] {
        assert_eq!(gate.check(&method), Err(Shut::RanOut));
    }
    assert!(!gate.is_open());
}

#[tokio::test(start_paused = true)]
async fn a_renewal_that_comes_too_late_opens_nothing() {
    let gate = Gate::shut_by(paused);
    let begun = gate.now();
    gate.open_until(begun + Duration::from_secs(3)).expect("open");
    tokio::time::advance(Duration::from_secs(5)).await;
    // The answer had come before the process was frozen, and is read only now.
    assert_eq!(gate.open_until(begun + Duration::from_secs(4)), Err(Shut::RanOut));
    gate.ran_out().await;
}

#[tokio::test(start_paused = true)]
async fn one_that_resigns_writes_nothing_more_and_has_not_lost() {
    let gate = Gate::shut_by(paused);
    gate.open_until(later(&gate, 3)).expect("open");
    gate.resign();
    assert_eq!(gate.check(&Method::PUT), Err(Shut::NotLeading));
    tokio::time::advance(Duration::from_secs(60)).await;
    assert_eq!(gate.wire(), Ok(()));
}

#[test]
fn one_that_is_always_open_never_runs_out() {
    let gate = Gate::always_open();
    assert!(gate.is_open());
    assert_eq!(gate.until(), None);
    assert_eq!(gate.check(&Method::DELETE), Ok(()));
}

/// A server that notes what reaches it.
fn noting(
    seen: Arc<Mutex<Vec<Method>>>,
) -> impl tower::Service<
    http::Request<()>,
    Response = http::Response<()>,
    Error = std::convert::Infallible,
    Future = impl Future<Output = Result<http::Response<()>, std::convert::Infallible>> + Send,
> {
    tower::service_fn(move |request: http::Request<()>| {
        seen.lock().expect("seen").push(request.method().clone());
        std::future::ready(Ok(http::Response::new(())))
    })
}

async fn ask(gate: &Gate, writes: Writes, method: Method) -> (Result<(), String>, usize) {
    let seen = Arc::new(Mutex::new(Vec::new()));
    let mut gated = Gated::new(noting(seen.clone()), gate.clone(), writes);
    let request = http::Request::builder()
        .method(method)
        .body(())
        .expect("a request");
    let answer = tower::Service::call(&mut gated, request).await;
    let count = seen.lock().expect("seen").len();
    (answer.map(drop).map_err(|error| error.to_string()), count)
}

#[tokio::test(start_paused = true)]
async fn a_request_that_is_refused_never_leaves() {
    let gate = Gate::shut_by(paused);
    let refused = |shut: Shut| (Err(shut.to_string()), 0);
    assert_eq!(ask(&gate, Writes::WhileOpen, Method::GET).await, (Ok(()), 1));
    assert_eq!(
        ask(&gate, Writes::WhileOpen, Method::POST).await,
        refused(Shut::NotLeading)
    );
    assert_eq!(ask(&gate, Writes::UntilRunOut, Method::PUT).await, (Ok(()), 1));
    gate.open_until(later(&gate, 3)).expect("open");
    assert_eq!(ask(&gate, Writes::WhileOpen, Method::POST).await, (Ok(()), 1));
    tokio::time::advance(Duration::from_secs(3)).await;
    for writes in [Writes::WhileOpen, Writes::UntilRunOut] {
        for method in [Method::PUT, Method::GET] {
            assert_eq!(ask(&gate, writes, method).await, refused(Shut::RanOut));
        }
    }
}

#[tokio::test(start_paused = true)]
async fn bytes_that_waited_for_their_connection_do_not_go_out_late() {
    let gate = Gate::shut_by(paused);
    let (near, mut far) = tokio::io::duplex(64);
    let mut near = Guarded::new(hyper_util::rt::TokioIo::new(near), gate.clone());
    gate.open_until(later(&gate, 3)).expect("open");
    let mut write = async |bytes: &'static [u8]| {
        std::future::poll_fn(|context| {
            hyper::rt::Write::poll_write(std::pin::Pin::new(&mut near), context, bytes)
        })
        .await
    };
    assert_eq!(write(b"early").await.expect("written"), 5);
    tokio::time::advance(Duration::from_secs(4)).await;
    let error = write(b"late").await.expect_err("refused");
    assert_eq!(error.kind(), std::io::ErrorKind::ConnectionAborted);
    drop(near);
    let mut all = Vec::new();
    tokio::io::AsyncReadExt::read_to_end(&mut far, &mut all)
        .await
        .expect("read");
    assert_eq!(all, b"early");
}
