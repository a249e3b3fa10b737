//! Candidates on a host that holds one Lease in memory, with faults, by paused time.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard};

use http::{Method, Request, Response};
use kube::client::Body;
use serde_json::{Value, json};
use tokio::task::JoinHandle;

use super::*;

/// What goes wrong with a request.
#[derive(Clone, Copy, Debug)]
enum Fault {
    /// Refused with this code, without effect.
    Refused(u16),
    /// The effect happens, and no answer comes.
    Mute,
}

#[derive(Default)]
struct State {
    lease: Option<Value>,
    version: u64,
    /// Holder of each write that was taken.
    writes: Vec<String>,
    faults: VecDeque<Fault>,
    /// Every request is refused with this code.
    down: Option<u16>,
}

/// A host that has one Lease at most.
#[derive(Clone, Default)]
struct Host(Arc<Mutex<State>>);

impl Host {
    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().expect("the host")
    }

    fn client(&self) -> Client {
        let host = self.clone();
        let service = tower::service_fn(move |request: Request<Body>| {
            let host = host.clone();
            async move { host.serve(request).await }
        });
        Client::new(service, "default")
    }

    async fn serve(&self, request: Request<Body>) -> Result<Response<Body>, tower::BoxError> {
        let method = request.method().clone();
        let body = request.into_body().collect_bytes().await?;
        let fault = self.state().faults.pop_front();
        let down = self.state().down.map(Fault::Refused);
        let (code, answer) = match down.or(fault) {
            Some(Fault::Refused(code)) => refusal(code),
            _ => self.answer(&method, &body),
        };
        if matches!(fault, Some(Fault::Mute)) {
            std::future::pending::<()>().await;
        }
        Ok(Response::builder()
            .status(code)
            .body(Body::from(answer.to_string().into_bytes()))?)
    }

    fn answer(&self, method: &Method, body: &[u8]) -> (u16, Value) {
        let mut state = self.state();
        if *method == Method::GET {
            return state
                .lease
                .clone()
                .map_or_else(|| refusal(404), |lease| (200, lease));
        }
        let mut lease: Value = serde_json::from_slice(body).expect("JSON");
        let stored = state
            .lease
            .as_ref()
            .map(|lease| lease["metadata"]["resourceVersion"].clone());
        match (*method == Method::POST, stored) {
            (true, Some(_)) | (false, None) => return refusal(409),
            (false, Some(version)) if lease["metadata"]["resourceVersion"] != version => return refusal(409),
            _ => {}
        }
        state.version += 1;
        lease["metadata"]["resourceVersion"] = json!(state.version.to_string());
        let holder = lease["spec"]["holderIdentity"].as_str().unwrap_or_default();
        let holder = holder.to_owned();
        state.writes.push(holder);
        state.lease = Some(lease.clone());
        (200, lease)
    }

    /// Writes the Lease as another would.
    fn held_by(&self, holder: &str, seconds: i32, renewed: &str) {
        let mut state = self.state();
        state.version += 1;
        state.lease = Some(json!({
            "apiVersion": "coordination.k8s.io/v1", "kind": "Lease",
            "metadata": {"name": LEASE, "labels": {"kept": "yes"}, "resourceVersion": state.version.to_string()},
            "spec": {"holderIdentity": holder, "leaseDurationSeconds": seconds, "renewTime": renewed,
                     "leaseTransitions": 4},
        }));
    }

    fn holder(&self) -> String {
        self.spec("holderIdentity")
            .as_str()
            .unwrap_or_default()
            .to_owned()
    }

    fn spec(&self, field: &str) -> Value {
        self.state().lease.as_ref().expect("a lease")["spec"][field].clone()
    }
}

fn refusal(code: u16) -> (u16, Value) {
    let reason = match code {
        404 => "NotFound",
        409 => "Conflict",
        _ => "Other",
    };
    (
        code,
        json!({"kind": "Status", "apiVersion": "v1", "status": "Failure", "code": code, "reason": reason, "message": "no"}),
    )
}

thread_local! {
    /// What the paused clock said when it was first asked: every test has a thread, and a clock, of its own.
    static BEGIN: Instant = Instant::now();
}

/// The paused clock of the test's runtime.
fn paused() -> Duration {
    let now = Instant::now();
    Duration::from_secs(1) + BEGIN.with(|begin| now.saturating_duration_since(*begin))
}

/// A candidate that stands.
struct Standing {
    gate: Gate,
    leading: watch::Receiver<bool>,
    stop: CancellationToken,
    ended: CancellationToken,
    running: JoinHandle<Result<(), Lost>>,
    verdict: Verdict,
}

fn candidate(host: &Host, name: &str) -> Candidate {
    let terms = Terms::new(15, 10, 2).expect("terms");
    Candidate::new(
        host.client(),
        "sky-system",
        name.into(),
        terms,
        Gate::shut_by(paused),
    )
}

fn stand(host: &Host, name: &str) -> Standing {
    let candidate = candidate(host, name);
    let (stop, ended) = (CancellationToken::new(), CancellationToken::new());
    Standing {
        gate: candidate.gate.clone(),
        leading: candidate.leading(),
        verdict: candidate.verdict(),
        running: tokio::spawn(candidate.run(stop.clone(), ended.clone())),
        stop,
        ended,
    }
}

impl Standing {
    /// Seconds until it leads.
    async fn leads(&mut self) -> f64 {
        let begun = Instant::now();
        self.leading
            .wait_for(|leading| *leading)
            .await
            .expect("a candidate");
        begun.elapsed().as_secs_f64()
    }
}

async fn seconds(seconds: u64) {
    tokio::time::sleep(Duration::from_secs(seconds)).await;
}

const OLD: &str = "2001-01-01T00:00:00.000000Z";
const FUTURE: &str = "2099-01-01T00:00:00.000000Z";

#[tokio::test(start_paused = true)]
async fn the_first_creates_the_lease_and_renews_it() {
    let host = Host::default();
    let mut a = stand(&host, "a");
    assert!(a.leads().await < 0.1);
    assert!(a.gate.is_open());
    assert_eq!(host.spec("leaseDurationSeconds"), 15);
    assert_eq!(host.spec("leaseTransitions"), 0);
    let acquired = host.spec("acquireTime");
    seconds(61).await;
    assert!(a.gate.is_open());
    let writes = host.state().writes.clone();
    assert_eq!(writes.len(), 31, "one write in two seconds: {writes:?}");
    assert_eq!(host.spec("acquireTime"), acquired);
    assert_eq!(host.spec("leaseTransitions"), 0);
}

#[tokio::test(start_paused = true)]
async fn of_two_one_leads_and_the_other_writes_nothing() {
    let host = Host::default();
    let mut a = stand(&host, "a");
    a.leads().await;
    let b = stand(&host, "b");
    seconds(300).await;
    assert!(!*b.leading.borrow() && !b.gate.is_open());
    assert!(host.state().writes.iter().all(|holder| holder == "a"));
}

#[tokio::test(start_paused = true)]
async fn a_lease_expires_when_it_was_not_seen_to_change_whatever_its_clock_says() {
    for renewed in [OLD, FUTURE] {
        let host = Host::default();
        host.held_by("gone", 15, renewed);
        let mut a = stand(&host, "a");
        let waited = a.leads().await;
        assert!((15.0..20.0).contains(&waited), "{renewed}: {waited} s");
        assert_eq!(host.spec("leaseTransitions"), 5);
        let labels = host.state().lease.as_ref().expect("a lease")["metadata"]["labels"].clone();
        assert_eq!(labels, json!({"kept": "yes"}));
    }
}

#[tokio::test(start_paused = true)]
async fn a_lease_that_changes_is_in_force_whatever_its_clock_says() {
    let host = Host::default();
    let a = stand(&host, "a");
    for count in 0..20 {
        // The other's clock stands in the past and hardly moves.
        host.held_by("other", 15, &format!("2001-01-01T00:00:00.{count:06}Z"));
        seconds(10).await;
    }
    assert!(!*a.leading.borrow());
}

#[tokio::test(start_paused = true)]
async fn the_duration_that_counts_is_the_one_on_the_lease() {
    let host = Host::default();
    host.held_by("gone", 60, OLD);
    let mut a = stand(&host, "a");
    let waited = a.leads().await;
    assert!((60.0..65.0).contains(&waited), "{waited} s");
}

#[tokio::test(start_paused = true)]
async fn errors_of_the_host_are_outlived_until_the_deadline() {
    let host = Host::default();
    let mut a = stand(&host, "a");
    a.leads().await;
    for faults in [
        [Fault::Refused(500), Fault::Mute].as_slice(),
        &[Fault::Refused(503), Fault::Refused(500), Fault::Refused(429)],
    ] {
        host.state().faults = faults.iter().copied().collect();
        seconds(60).await;
        assert!(a.gate.is_open() && !a.running.is_finished(), "{faults:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn it_ends_at_the_deadline_and_not_after_it() {
    for fault in [Some(500), None] {
        let host = Host::default();
        let mut a = stand(&host, "a");
        a.leads().await;
        match fault {
            Some(code) => host.state().down = Some(code),
            None => host.state().faults = (0..100).map(|_| Fault::Mute).collect(),
        }
        let begun = Instant::now();
        let lost = a.running.await.expect("no panic").expect_err("lost");
        // From the begin of the last renewal that was answered.
        let lasted = begun.elapsed().as_secs_f64();
        assert!((7.9..=10.0).contains(&lasted), "{fault:?}: {lasted} s");
        assert!(lost.to_string().contains("not renewed in time"), "{lost}");
        a.gate.ran_out().await;
        assert!(a.gate.check(&Method::GET).is_err());
    }
}

#[tokio::test(start_paused = true)]
async fn a_renewal_whose_answer_was_lost_is_found_to_be_our_own() {
    let host = Host::default();
    let mut a = stand(&host, "a");
    a.leads().await;
    host.state().faults = VecDeque::from([Fault::Mute]);
    seconds(60).await;
    assert!(a.gate.is_open() && !a.running.is_finished());
    assert_eq!(host.spec("leaseTransitions"), 0);
}

#[tokio::test(start_paused = true)]
async fn a_conflict_is_no_loss_while_the_lease_names_us() {
    let host = Host::default();
    let mut a = stand(&host, "a");
    a.leads().await;
    {
        let mut state = host.state();
        let lease = state.lease.as_mut().expect("a lease");
        lease["metadata"]["resourceVersion"] = json!("1000");
    }
    seconds(60).await;
    assert!(a.gate.is_open() && !a.running.is_finished());
}

#[tokio::test(start_paused = true)]
async fn who_finds_another_on_the_lease_ends_at_once() {
    let host = Host::default();
    let mut a = stand(&host, "a");
    a.leads().await;
    host.held_by("b", 15, FUTURE);
    let begun = Instant::now();
    let lost = a.running.await.expect("no panic").expect_err("lost");
    assert!(begun.elapsed() <= Duration::from_secs(2));
    assert!(lost.to_string().contains("b holds it"), "{lost}");
    // Told by who ends the operator, who hears it from the gate.
    a.gate.ran_out().await;
    assert_eq!(a.verdict.lost(), lost);
    assert!(!a.gate.is_open());
    assert_eq!(host.holder(), "b");
}

#[tokio::test(start_paused = true)]
async fn one_that_was_overtaken_while_it_wrote_stands_by() {
    let host = Host::default();
    host.held_by("", 1, OLD);
    // Another is faster between the look and the write.
    let mut a = candidate(&host, "a");
    let lease = a.leases.get(LEASE).await.expect("the lease");
    a.observe(lease);
    host.held_by("b", 15, FUTURE);
    assert_eq!(a.write(false).await.expect("an answer"), Found::Overtaken);
    assert_eq!(a.attempt().await.expect("an answer"), Found::HeldBy("b".into()));
    assert!(!a.gate.is_open());
}

#[tokio::test(start_paused = true)]
async fn a_clean_end_gives_the_lease_back_and_the_next_leads_at_once() {
    let host = Host::default();
    let mut a = stand(&host, "a");
    a.leads().await;
    let mut b = stand(&host, "b");
    seconds(30).await;
    // Its controllers come to rest first: the lease is kept meanwhile.
    a.stop.cancel();
    seconds(18).await;
    assert_eq!(host.holder(), "a");
    assert!(a.gate.is_open());
    a.ended.cancel();
    a.running.await.expect("no panic").expect("not lost");
    assert!(a.gate.check(&Method::POST).is_err());
    assert_eq!(host.holder(), "");
    assert_eq!(host.spec("leaseDurationSeconds"), 1);
    let waited = b.leads().await;
    assert!(waited <= 2.5, "{waited} s");
    assert_eq!(host.spec("leaseTransitions"), 1);
}

#[tokio::test(start_paused = true)]
async fn one_that_stands_by_leaves_the_lease_alone_when_it_ends() {
    let host = Host::default();
    let mut a = stand(&host, "a");
    a.leads().await;
    let b = stand(&host, "b");
    seconds(5).await;
    b.stop.cancel();
    b.running.await.expect("no panic").expect("not lost");
    assert_eq!(host.holder(), "a");
}

#[tokio::test(start_paused = true)]
async fn the_gate_shuts_before_anybody_else_may_lead() {
    let host = Host::default();
    let mut a = stand(&host, "a");
    a.leads().await;
    let mut b = stand(&host, "b");
    seconds(31).await;
    // Frozen: nothing of it runs any more, its timers neither.
    a.running.abort();
    let begun = Instant::now();
    let shut = async {
        while a.gate.check(&Method::POST).is_ok() {
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
        begun.elapsed().as_secs_f64()
    };
    let (shut, leads) = tokio::join!(shut, b.leads());
    assert!(shut <= 10.1, "shut after {shut} s");
    assert!(
        leads - shut >= 2.9,
        "shut after {shut} s, taken over after {leads} s"
    );
}

#[test]
fn terms_that_do_not_fit_each_other_are_refused() {
    let check = |duration, deadline, retry, words: &str| {
        let said =
            Terms::new(duration, deadline, retry).map_or_else(|error| error.to_string(), |_| String::new());
        assert!(
            said.contains(words) && said.is_empty() == words.is_empty(),
            "{said}"
        );
    };
    check(15, 10, 2, "");
    check(4, 3, 1, "");
    check(10, 10, 2, "--lease-duration-seconds 10");
    check(15, 2, 2, "--renew-deadline-seconds 2");
    check(15, 6, 5, "--renew-deadline-seconds 6");
}
