//! The conformance suite on a real Kubernetes member, named by SKY_CONFORMANCE_KUBECONFIG.

#![expect(clippy::expect_used, reason = "what a test cannot go on without")]

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use http::{Method, Request, Response};
use k8s_openapi::ByteString;
use k8s_openapi::api::batch::v1::Job;
use k8s_openapi::api::core::v1::{ConfigMap, Namespace, Pod, Secret};
use kube::api::{DeleteParams, ListParams, Patch, PatchParams, PostParams};
use kube::client::Body;
use kube::config::{KubeConfigOptions, Kubeconfig};
use kube::{Api, Client, Config, ResourceExt};
use serde_json::json;
use sky_core::config::{ConfigKind, ConfigName};
use sky_core::labels::Labels;
use sky_core::marks;
use sky_core::share::{Program, Share, ShareKey};
use sky_member::Member;
use sky_member::conformance::{Failure, Subject, Verdict, cases};
use sky_member::kubernetes::Kubernetes;

const VARIABLE: &str = "SKY_CONFORMANCE_KUBECONFIG";
const ORIGIN: &str = "conformance";

struct Real {
    /// Sees the cluster as it is.
    client: Client,
    member: Arc<Kubernetes>,
    lose_next: Arc<AtomicBool>,
    planted: Mutex<BTreeMap<ShareKey, Option<String>>>,
}

impl Real {
    async fn new(path: &str) -> Self {
        let kubeconfig = Kubeconfig::read_from(path).expect("a readable kubeconfig");
        let options = KubeConfigOptions::default();
        let config = Config::from_custom_kubeconfig(kubeconfig, &options)
            .await
            .expect("a usable kubeconfig");
        let client = Client::try_from(config).expect("a client");
        let lose_next = Arc::new(AtomicBool::new(false));
        let member = Kubernetes::new("real", ORIGIN, None, losing(client.clone(), lose_next.clone()));
        Self {
            client,
            member: Arc::new(member),
            lose_next,
            planted: Mutex::default(),
        }
    }

    fn jobs(&self, namespace: &str) -> Api<Job> {
        Api::namespaced(self.client.clone(), namespace)
    }
}

/// A client like `inner` that loses the answer to a creation when `lose_next` is set.
fn losing(inner: Client, lose_next: Arc<AtomicBool>) -> Client {
    let service = tower::service_fn(move |request: Request<Body>| {
        let (inner, lose_next) = (inner.clone(), lose_next.clone());
        async move {
            let creates = request.method() == Method::POST;
            let answer: Response<Body> = inner.send(request).await?;
            if creates && lose_next.swap(false, Ordering::SeqCst) {
                return Err(kube::Error::Service("connection reset".into()));
            }
            Ok(answer)
        }
    });
    Client::new(service, "default")
}

fn failure(error: kube::Error) -> Failure {
    Failure(format!("the other side: {error}"))
}

#[async_trait]
impl Subject for Real {
    fn member(&self) -> Arc<dyn Member> {
        self.member.clone()
    }

    fn origin(&self) -> &str {
        ORIGIN
    }

    fn lose_next_reply(&self) {
        self.lose_next.store(true, Ordering::SeqCst);
    }

    async fn plant(&self, key: &ShareKey) -> Verdict {
        let namespace: Namespace =
            serde_json::from_value(json!({"metadata": {"name": key.namespace}})).expect("a Namespace");
        Api::<Namespace>::all(self.client.clone())
            .create(&PostParams::default(), &namespace)
            .await
            .map_err(failure)?;
        let pod = json!({"containers": [{"name": "c", "image": "localhost/none"}], "restartPolicy": "Never"});
        let job =
            json!({"metadata": {"name": key.object}, "spec": {"suspend": true, "template": {"spec": pod}}});
        let job: Job = serde_json::from_value(job).expect("a Job");
        let created = self
            .jobs(&key.namespace)
            .create(&PostParams::default(), &job)
            .await;
        let uid = created.map_err(failure)?.uid();
        self.planted.lock().expect("planted").insert(key.clone(), uid);
        Ok(())
    }

    async fn is_untouched(&self, key: &ShareKey) -> Result<bool, Failure> {
        let found = self
            .jobs(&key.namespace)
            .get_opt(&key.object)
            .await
            .map_err(failure)?;
        let planted = self.planted.lock().expect("planted").get(key).cloned();
        Ok(found.is_some_and(|job| {
            let suspended = job.spec.as_ref().and_then(|spec| spec.suspend);
            let ours = job.labels().keys().chain(job.annotations().keys());
            Some(job.uid()) == planted
                && job.metadata.deletion_timestamp.is_none()
                && suspended == Some(true)
                && !ours.into_iter().any(|name| name.starts_with("skymanager.io/"))
        }))
    }

    async fn count(&self, namespace: &str) -> Result<usize, Failure> {
        let list = self.jobs(namespace).list(&ListParams::default()).await;
        Ok(list.map_err(failure)?.items.len())
    }

    async fn has_namespace(&self, name: &str) -> Result<bool, Failure> {
        let found = Api::<Namespace>::all(self.client.clone()).get_opt(name).await;
        Ok(found.map_err(failure)?.is_some())
    }

    async fn namespace_labels(&self, name: &str) -> Result<Option<Labels>, Failure> {
        let found = Api::<Namespace>::all(self.client.clone()).get_opt(name).await;
        Ok(found
            .map_err(failure)?
            .map(|namespace| namespace.labels().clone()))
    }

    async fn label_namespace(&self, name: &str, key: &str, value: &str) -> Verdict {
        let all = Api::<Namespace>::all(self.client.clone());
        let labelled = json!({"metadata": {"name": name, "labels": {key: value}}});
        if all.get_opt(name).await.map_err(failure)?.is_none() {
            let namespace: Namespace = serde_json::from_value(labelled).expect("a Namespace");
            let created = all.create(&PostParams::default(), &namespace).await;
            return created.map(drop).map_err(failure);
        }
        let patched = all
            .patch(name, &PatchParams::default(), &Patch::Merge(labelled))
            .await;
        patched.map(drop).map_err(failure)
    }

    async fn put_secret(&self, namespace: &str) -> Verdict {
        let secrets: Api<Secret> = Api::namespaced(self.client.clone(), namespace);
        let secret: Secret =
            serde_json::from_value(json!({"metadata": {"name": "theirs"}})).expect("a Secret");
        let created = secrets.create(&PostParams::default(), &secret).await;
        created.map(drop).map_err(failure)
    }

    async fn put_config(&self, namespace: &str, name: &ConfigName) -> Verdict {
        self.label_namespace(namespace, "theirs", "stays").await?;
        let metadata = json!({"name": name.name});
        let texts = json!({"theirs": "stays"});
        let created = match name.kind {
            ConfigKind::ConfigMap => {
                let map = serde_json::from_value(json!({"metadata": metadata, "data": texts}));
                let maps: Api<ConfigMap> = Api::namespaced(self.client.clone(), namespace);
                let map = map.expect("a ConfigMap");
                maps.create(&PostParams::default(), &map).await.map(drop)
            }
            ConfigKind::Secret => {
                let secret = serde_json::from_value(json!({"metadata": metadata, "stringData": texts}));
                let secrets: Api<Secret> = Api::namespaced(self.client.clone(), namespace);
                let secret = secret.expect("a Secret");
                secrets.create(&PostParams::default(), &secret).await.map(drop)
            }
        };
        created.map_err(failure)
    }

    async fn config(
        &self,
        namespace: &str,
        name: &ConfigName,
    ) -> Result<Option<BTreeMap<String, String>>, Failure> {
        match name.kind {
            ConfigKind::ConfigMap => {
                let maps: Api<ConfigMap> = Api::namespaced(self.client.clone(), namespace);
                let found = maps.get_opt(&name.name).await.map_err(failure)?;
                Ok(found.map(|map| map.data.unwrap_or_default()))
            }
            ConfigKind::Secret => {
                let secrets: Api<Secret> = Api::namespaced(self.client.clone(), namespace);
                let found = secrets.get_opt(&name.name).await.map_err(failure)?;
                let text = |bytes: ByteString| String::from_utf8_lossy(&bytes.0).into_owned();
                let texts = |secret: Secret| {
                    let each = secret.data.unwrap_or_default().into_iter();
                    each.map(|(key, bytes)| (key, text(bytes))).collect()
                };
                Ok(found.map(texts))
            }
        }
    }

    async fn delete(&self, key: &ShareKey) -> Verdict {
        let jobs = self.jobs(&key.namespace);
        let deleted = jobs.delete(&key.object, &DeleteParams::background()).await;
        deleted.map(drop).map_err(failure)
    }

    /// The replica waits for room that no node has: what its kubelet would say of it is written in its stead.
    async fn start(&self, share: &Share) -> Verdict {
        let pods: Api<Pod> = Api::namespaced(self.client.clone(), &share.key.namespace);
        let of_share = ListParams::default().labels(&format!("{}={}", marks::SHARE, share.key.object));
        let appear = async {
            loop {
                if let Some(pod) = pods.list(&of_share).await.map_err(failure)?.items.pop() {
                    return Ok::<_, Failure>(pod.name_any());
                }
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
        };
        let late = Failure("no pod of the share within 30 s".into());
        let pod = tokio::time::timeout(Duration::from_secs(30), appear)
            .await
            .map_err(|_| late)??;
        let running = json!({
            "name": "main", "image": "localhost/none", "imageID": "", "ready": true, "restartCount": 0,
            "state": {"running": {"startedAt": "2026-01-01T00:00:00Z"}},
        });
        let status = json!({"status": {"phase": "Running", "containerStatuses": [running]}});
        pods.patch_status(&pod, &PatchParams::default(), &Patch::Merge(status))
            .await
            .map(drop)
            .map_err(failure)
    }

    fn refused(&self) -> (Program, &'static str) {
        (
            Program::Template(json!({"spec": {"containers": []}})),
            "spec.template.spec.containers",
        )
    }
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs SKY_CONFORMANCE_KUBECONFIG; run by cargo e2e test member"]
async fn a_kubernetes_member_does_what_every_manager_must() {
    let path = std::env::var(VARIABLE).expect(VARIABLE);
    let real = Real::new(&path).await;
    let started = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
    let run = format!("{:?}", started.expect("a time after 1970"));
    let mut failed = Vec::new();
    for case in cases() {
        if !(case.concerns)(&real.description()) {
            println!("n/a    {}", case.name);
            continue;
        }
        let verdict = case.check(&real, &run).await;
        println!(
            "{} {}",
            if verdict.is_ok() { "ok    " } else { "FAILED" },
            case.name
        );
        if let Err(failure) = verdict {
            failed.push(format!("{}: {failure}", case.name));
        }
    }
    assert!(failed.is_empty(), "{}", failed.join("\n"));
}
