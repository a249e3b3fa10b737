//! Scenarios of SkyClusters: credentials that are not usable, and clusters that are to go.

use base64::Engine;
use serde_json::{Value, json};
use sky_core::namespace::{Namespace, Wanted};
use sky_core::ranks::Ranks;
use sky_core::resources::Resources;
use sky_core::share::{Container, Program, Retry, Share, ShareKey, Stamp};
use sky_core::workload::Kind;
use sky_member::fake::{Fake, node};
use sky_member::{Desired, Member};
use tokio_util::sync::CancellationToken;

use super::*;
use crate::tests::stage::cache_of;
use crate::tests::stage::host::Host;

struct Scene {
    host: Host,
    fleet: Arc<Fleet>,
    context: Arc<Context>,
}

/// A host with the SkyCluster `c`, and these SkyJobs.
fn scene(manager: &str, jobs: Vec<Value>) -> Scene {
    scene_behind(Gate::always_open(), manager, jobs)
}

fn scene_behind(gate: Gate, manager: &str, jobs: Vec<Value>) -> Scene {
    let host = Host::default();
    let mut spec = json!({"manager": manager});
    if manager == "kubernetes" {
        spec["kubernetes"] = json!({"kubeconfigSecretRef": {"name": "c"}});
    } else {
        let token = json!({"name": "c"});
        spec["slurm"] = json!({"endpoint": "https://s", "userName": "u", "tokenSecretRef": token});
    }
    host.create(json!({
        "apiVersion": "skymanager.io/v1alpha1", "kind": "SkyCluster", "metadata": {"name": "c", "uid": "c"}, "spec": spec,
    }));
    let (stirs, _) = tokio::sync::mpsc::unbounded_channel();
    let fleet = Fleet::new(stirs, CancellationToken::new());
    let context = Context::new(
        Caller {
            client: host.client(),
            agent: http::HeaderValue::from_static("sky-operator/test"),
            gate,
        },
        "sky-system".into(),
        "o".into(),
        fleet.clone(),
        Arc::default(),
        cache_of::<SkyJob>(jobs),
        cache_of::<SkyDeployment>(Vec::new()),
    );
    Scene {
        host,
        fleet,
        context: Arc::new(context),
    }
}

impl Scene {
    /// Reconciles `c` a few times, as long as it is there.
    async fn look(&self) {
        for _ in 0..4 {
            self.glance().await;
            tokio::time::sleep(Duration::from_secs(15)).await;
        }
    }

    async fn glance(&self) {
        let Some(cluster) = self.host.find("SkyCluster", "c") else {
            return;
        };
        let guard = serde_json::from_value(cluster).expect("a SkyCluster");
        reconcile(Arc::new(guard), self.context.clone())
            .await
            .expect("no fault");
    }

    fn secret(&self, labels: Value, data: Value) {
        self.host.create(json!({
            "apiVersion": "v1", "kind": "Secret", "data": data,
            "metadata": {"name": "c", "namespace": "sky-system", "labels": labels},
        }));
    }

    fn delete(&self) {
        self.host.edit("SkyCluster", "c", |cluster| {
            cluster["metadata"]["deletionTimestamp"] = json!("2026-01-02T00:00:00Z");
        });
    }

    /// Reason and message of a condition.
    fn condition(&self, kind: &str) -> (String, String) {
        let status = self
            .host
            .find("SkyCluster", "c")
            .map(|cluster| cluster["status"].clone());
        let conditions = status
            .and_then(|status| status["conditions"].as_array().cloned())
            .unwrap_or_default();
        let found = conditions.into_iter().find(|condition| condition["type"] == kind);
        let text = |key: &str| {
            let value = found.as_ref().and_then(|condition| condition[key].as_str());
            value.unwrap_or_default().to_owned()
        };
        (text("reason"), text("message"))
    }
}

fn ours() -> Value {
    json!({names::SECRET_MEMBER_LABEL: "c"})
}

fn kubeconfig(user: &Value) -> Value {
    let text = json!({
        "apiVersion": "v1", "kind": "Config", "current-context": "x",
        "clusters": [{"name": "x", "cluster": {"server": "https://127.0.0.1:1"}}],
        "users": [{"name": "x", "user": user}],
        "contexts": [{"name": "x", "context": {"cluster": "x", "user": "x"}}],
    });
    let encoded = base64::engine::general_purpose::STANDARD.encode(text.to_string());
    json!({"kubeconfig": encoded})
}

/// What is shown of `c` with this Secret, and that it is written once.
async fn check(manager: &str, secret: Option<(Value, Value)>, reason: &str, says: &str) {
    let scene = scene(manager, Vec::new());
    if let Some((labels, data)) = secret {
        scene.secret(labels, data);
    }
    scene.look().await;
    let (found, message) = scene.condition("Stalled");
    assert_eq!(found, reason);
    assert!(message.contains(says), "{message}");
    assert_eq!(scene.condition("Ready").0, reason);
    assert_eq!(
        scene.host.writes(),
        ["c +finalizer".to_owned(), format!("c status {reason}")]
    );
    assert!(scene.fleet.member("c").is_none());
}

#[tokio::test(start_paused = true)]
async fn who_stands_by_listens_to_members_and_writes_nothing() {
    for (data, listens) in [(kubeconfig(&json!({"token": "t"})), true), (json!({}), false)] {
        let scene = scene_behind(Gate::shut(), "kubernetes", Vec::new());
        scene.secret(ours(), data);
        scene.look().await;
        scene.delete();
        scene.look().await;
        assert_eq!(scene.fleet.member("c").is_some(), listens);
        assert_eq!(scene.host.writes(), Vec::<String>::new());
        // Gone and created again while this operator stands by.
        scene.fleet.keep_only(|_| false);
        assert!(scene.fleet.member("c").is_none());
        scene.look().await;
        assert_eq!(scene.fleet.member("c").is_some(), listens);
    }
}

#[tokio::test(start_paused = true)]
async fn a_credential_that_is_not_usable_says_what_to_do() {
    check("kubernetes", None, "SecretNotFound", "kubectl sky join c").await;
    let data = kubeconfig(&json!({"token": "t"}));
    let foreign = Some((json!({}), data.clone()));
    check(
        "kubernetes",
        foreign,
        "SecretNotLabelled",
        "skymanager.io/member=c",
    )
    .await;
    let another = Some((json!({names::SECRET_MEMBER_LABEL: "d"}), data));
    check(
        "kubernetes",
        another,
        "SecretNotLabelled",
        "skymanager.io/member=c",
    )
    .await;
    let keyless = Some((ours(), json!({"other": "eA=="})));
    check("kubernetes", keyless, "SecretKeyMissing", "no key kubeconfig").await;
    let exec = kubeconfig(&json!({"exec": {"apiVersion": "v1", "command": "sh"}}));
    check("kubernetes", Some((ours(), exec)), "InvalidKubeconfig", "exec").await;
    let path = kubeconfig(&json!({"tokenFile": "/etc/passwd"}));
    check(
        "kubernetes",
        Some((ours(), path)),
        "InvalidKubeconfig",
        "tokenFile",
    )
    .await;
    check("slurm", None, "SecretNotFound", "kubectl sky join c").await;
    let keyless = Some((ours(), json!({"other": "eA=="})));
    check("slurm", keyless, "SecretKeyMissing", "no key token").await;
    let foreign = Some((json!({}), json!({"token": "eA=="})));
    check("slurm", foreign, "SecretNotLabelled", "skymanager.io/member=c").await;
    // "\n": no token.
    let empty = Some((ours(), json!({"token": "Cg=="})));
    check("slurm", empty, "InvalidAccess", "token").await;
}

/// A SkyJob that is placed on `c`, with this phase as its true condition.
fn job(name: &str, ended: Option<&str>) -> Value {
    let condition = |kind: &str| json!({"type": kind, "status": "True", "reason": "R", "message": "", "lastTransitionTime": "2026-01-01T00:00:00Z"});
    let conditions: Vec<Value> = ended.into_iter().map(condition).collect();
    json!({
        "apiVersion": "skymanager.io/v1alpha1", "kind": "SkyJob", "spec": {"run": "true"},
        "metadata": {"name": name, "namespace": "default", "uid": format!("uid-{name}"), "resourceVersion": "1"},
        "status": {
            "observedGeneration": 1, "conditions": conditions,
            "placement": {"revision": 1, "shares": [{"id": "1-0", "cluster": "c", "replicas": 1, "ranks": "0", "attempt": 1}]},
        },
    })
}

/// A member `c` that holds a share of each of these jobs, in the place of the one that the Secret leads to.
async fn seat(scene: &Scene, jobs: &[&str]) -> Fake {
    scene.secret(ours(), kubeconfig(&json!({"token": "t"})));
    scene.look().await;
    let fake = Fake::new("c", "o", vec![node("n", 1000)]);
    for name in jobs {
        let share = Share {
            key: ShareKey {
                kind: sky_core::workload::Kind::SkyJob,
                namespace: "default".into(),
                object: format!("{name}-0"),
            },
            stamp: Stamp {
                origin: "o".into(),
                kind: Kind::SkyJob,
                namespace: "default".into(),
                name: (*name).into(),
                uid: format!("uid-{name}"),
                run: String::new(),
                share: "1-0".into(),
                attempt: 1,
                spec_hash: "h".into(),
            },
            cluster: "c".into(),
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
    scene.fleet.seat(Arc::new(fake.clone()));
    tokio::time::sleep(Duration::from_millis(10)).await;
    fake
}

#[tokio::test(start_paused = true)]
async fn a_cluster_that_was_never_reached_goes_at_once() {
    let scene = scene("kubernetes", Vec::new());
    scene.look().await;
    scene.delete();
    scene.look().await;
    assert!(scene.host.find("SkyCluster", "c").is_none());
}

#[tokio::test(start_paused = true)]
async fn a_cluster_that_goes_waits_for_unfinished_jobs_and_removes_finished_ones() {
    let scene = scene(
        "kubernetes",
        vec![job("runs", None), job("over", Some("Complete"))],
    );
    scene.look().await;
    let fake = seat(&scene, &["runs", "over"]).await;
    scene.delete();
    scene.look().await;
    assert!(
        scene
            .condition("Ready")
            .1
            .contains("waiting for workloads to leave: default/runs")
    );
    assert_eq!(
        fake.effects().last().map(String::as_str),
        Some("withdraw over/1-0")
    );
    assert_eq!(fake.keys().len(), 1, "what runs goes on");
}

#[tokio::test(start_paused = true)]
async fn a_dead_cluster_is_let_go_only_when_it_is_abandoned() {
    let scene = scene("kubernetes", vec![job("runs", None)]);
    let fake = seat(&scene, &["runs"]).await;
    fake.fall_silent();
    scene.delete();
    scene.look().await;
    let (_, message) = scene.condition("Ready");
    assert!(message.contains("skymanager.io/abandon=true"), "{message}");
    let annotations = json!({names::ABANDON_ANNOTATION: "true"});
    scene.host.edit("SkyCluster", "c", |cluster| {
        cluster["metadata"]["annotations"] = annotations
    });
    scene.look().await;
    assert!(scene.host.find("SkyCluster", "c").is_none());
    assert!(scene.fleet.member("c").is_none());
}

#[tokio::test(start_paused = true)]
async fn a_namespace_that_was_made_there_goes_before_the_cluster_and_one_in_use_stays_and_is_named() {
    for in_use in [false, true] {
        let scene = scene("kubernetes", Vec::new());
        let fake = seat(&scene, &[]).await;
        let shop = Namespace {
            name: "shop".into(),
            origin: "o".into(),
            wanted: Wanted::Needed,
        };
        fake.ensure(Desired::Namespace(Box::new(shop)))
            .await
            .expect("a namespace");
        if in_use {
            fake.edit_namespace("shop", |_, contents| contents.extend(["configmaps".to_owned()]));
        }
        scene.delete();
        tokio::time::sleep(Duration::from_millis(10)).await;
        scene.glance().await;
        let (_, message) = scene.condition("Ready");
        assert_eq!(message, "the namespaces made there are being removed: shop");
        scene.look().await;
        assert!(scene.host.find("SkyCluster", "c").is_none(), "{in_use}");
        assert_eq!(fake.has_namespace("shop"), in_use);
        let told = scene.host.events();
        let named = told
            .iter()
            .any(|line| line.contains("namespace shop stays on c: holds configmaps"));
        assert_eq!(named, in_use, "{told:?}");
    }
}
