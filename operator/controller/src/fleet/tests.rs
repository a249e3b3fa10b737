//! What the fleet believes of members that come, go, fall silent and are replaced.

use sky_core::ranks::Ranks;
use sky_core::resources::Resources;
use sky_core::share::{Container, Program, Retry, Share, ShareKey, Stamp};
use sky_core::workload::Kind;
use sky_member::Desired;
use sky_member::fake::{Fake, node};
use tokio::sync::mpsc::{UnboundedReceiver, unbounded_channel};

use super::*;

fn fleet() -> (Arc<Fleet>, UnboundedReceiver<Stir>, CancellationToken) {
    let (stirs, stirred) = unbounded_channel();
    let stop = CancellationToken::new();
    (Fleet::new(stirs, stop.clone()), stirred, stop)
}

fn fake(name: &str) -> Fake {
    Fake::new(name, "o", vec![node("n", 1000)])
}

async fn give(fake: &Fake, job: &str) {
    let share = Share {
        key: ShareKey {
            kind: sky_core::workload::Kind::SkyJob,
            namespace: "default".into(),
            object: format!("{job}-0"),
        },
        stamp: Stamp {
            origin: "o".into(),
            kind: Kind::SkyJob,
            namespace: "default".into(),
            name: job.into(),
            uid: format!("uid-{job}"),
            run: String::new(),
            share: "1-0".into(),
            attempt: 1,
            spec_hash: "h".into(),
        },
        cluster: fake.name().into(),
        replicas: 1,
        total_replicas: 1,
        ranks: Ranks::consecutive(0, 1),
        suspended: false,
        known: false,
        instance: None,
        labels: Default::default(),
        annotations: Default::default(),
        program: Program::Container(Container::default()),
        requests: Resources::new(1, 1),
        patches: vec![],
        accelerator: None,
        retry: Retry::Replace(0),
        progress_deadline: None,
    };
    fake.ensure(Desired::Share(Box::new(share)))
        .await
        .expect("a share");
}

/// Lets listeners take in what was said; answers the jobs that were stirred.
async fn listen(stirred: &mut UnboundedReceiver<Stir>) -> Vec<String> {
    tokio::time::sleep(std::time::Duration::from_millis(10)).await;
    let mut jobs = Vec::new();
    while let Ok(stir) = stirred.try_recv() {
        if let Stir::Workload(WorkloadRef { name, .. }) = stir {
            jobs.push(name);
        }
    }
    jobs
}

fn held(fleet: &Fleet, job: &str) -> usize {
    fleet
        .shares_of(&WorkloadRef {
            kind: sky_core::workload::Kind::SkyJob,
            namespace: "default".into(),
            name: job.into(),
        })
        .len()
}

fn contact(fleet: &Fleet, name: &str) -> String {
    let word = fleet.read(name, |view| match view.contact() {
        Contact::Waiting => "waiting",
        Contact::Synced => "synced",
        Contact::Silent { .. } => "silent",
    });
    word.unwrap_or("not registered").to_owned()
}

#[tokio::test(start_paused = true)]
async fn a_registered_cluster_is_waited_for_until_it_speaks() {
    let (fleet, mut stirred, _stop) = fleet();
    assert_eq!(contact(&fleet, "a"), "not registered");
    fleet.register("a");
    assert_eq!(contact(&fleet, "a"), "waiting");
    assert!(fleet.member("a").is_none());
    fleet.seat(Arc::new(fake("a")));
    listen(&mut stirred).await;
    assert_eq!(contact(&fleet, "a"), "synced");
    assert_eq!(
        fleet.read("a", |view| view.nodes().map(|nodes| nodes.len())),
        Some(Some(1))
    );
}

#[tokio::test(start_paused = true)]
async fn what_a_silent_member_said_is_kept_and_what_vanished_meanwhile_stirs_its_job() {
    let (fleet, mut stirred, _stop) = fleet();
    let a = fake("a");
    fleet.seat(Arc::new(a.clone()));
    give(&a, "stays").await;
    give(&a, "vanishes").await;
    listen(&mut stirred).await;
    a.fall_silent();
    assert_eq!(listen(&mut stirred).await, ["stays", "vanishes"]);
    a.delete("vanishes");
    listen(&mut stirred).await;
    assert_eq!(
        (contact(&fleet, "a").as_str(), held(&fleet, "vanishes")),
        ("silent", 1)
    );
    a.speak();
    assert_eq!(listen(&mut stirred).await, ["stays", "vanishes"]);
    assert_eq!((held(&fleet, "stays"), held(&fleet, "vanishes")), (1, 0));
}

#[tokio::test(start_paused = true)]
async fn silence_is_counted_from_its_beginning() {
    let (fleet, mut stirred, _stop) = fleet();
    let a = fake("a");
    fleet.seat(Arc::new(a.clone()));
    listen(&mut stirred).await;
    a.fall_silent();
    listen(&mut stirred).await;
    tokio::time::advance(std::time::Duration::from_secs(100)).await;
    let trouble = Trouble {
        reason: "SecretNotFound".into(),
        message: "gone".into(),
    };
    fleet.silence("a", trouble);
    let since = fleet.read("a", |view| match view.contact() {
        Contact::Silent { since, .. } => since.elapsed().as_secs(),
        Contact::Waiting | Contact::Synced => 0,
    });
    assert_eq!(since, Some(100));
    a.speak();
    listen(&mut stirred).await;
    assert_eq!(
        contact(&fleet, "a"),
        "silent",
        "nobody listens to a member without a credential"
    );
}

#[tokio::test(start_paused = true)]
async fn a_member_that_was_replaced_is_not_heard_any_more() {
    let (fleet, mut stirred, _stop) = fleet();
    let (old, new) = (fake("a"), fake("a"));
    fleet.seat(Arc::new(old.clone()));
    give(&old, "job").await;
    listen(&mut stirred).await;
    new.fall_silent();
    fleet.seat(Arc::new(new.clone()));
    old.delete("job");
    listen(&mut stirred).await;
    assert_eq!(
        held(&fleet, "job"),
        1,
        "until the new one speaks, what was said is kept"
    );
    new.speak();
    assert_eq!(listen(&mut stirred).await, ["job"]);
    assert_eq!(held(&fleet, "job"), 0);
}

#[tokio::test(start_paused = true)]
async fn a_member_that_is_let_go_stirs_its_jobs_and_takes_its_shares_along() {
    let (fleet, mut stirred, _stop) = fleet();
    let (a, b) = (fake("a"), fake("b"));
    fleet.seat(Arc::new(a.clone()));
    fleet.seat(Arc::new(b.clone()));
    give(&a, "job").await;
    give(&b, "job").await;
    listen(&mut stirred).await;
    assert_eq!(held(&fleet, "job"), 2);
    fleet.unseat("a");
    assert_eq!(listen(&mut stirred).await, ["job"]);
    assert_eq!(
        (held(&fleet, "job"), contact(&fleet, "a").as_str()),
        (1, "not registered")
    );
}

#[tokio::test(start_paused = true)]
async fn every_listener_ends_with_the_fleet() {
    let (fleet, mut stirred, stop) = fleet();
    for name in ["a", "b", "c"] {
        fleet.seat(Arc::new(fake(name)));
    }
    listen(&mut stirred).await;
    stop.cancel();
    let ended = tokio::time::timeout(std::time::Duration::from_secs(1), fleet.ended()).await;
    assert!(ended.is_ok());
}
