//! Hosts that lack kinds, fields or rights, by paused time.

use std::sync::{Arc, Mutex};

use clap::Parser;
use http::Response;
use kube::client::Body;
use serde_json::json;

use super::*;

/// What a host serves.
#[derive(Clone, Default)]
struct Host {
    kinds: bool,
    /// Pointer to a field that its kinds lack.
    lacks: Option<&'static str>,
    /// Resource that may not be touched.
    forbids: Option<&'static str>,
    /// Number of the question about kinds from which on they are served.
    from: usize,
    asked: Arc<Mutex<usize>>,
}

fn document(lacks: Option<&str>) -> Value {
    let schemas = schema::all().into_iter().map(|crd| {
        let kind = crd.spec.names.kind.clone();
        let mut schema =
            serde_json::to_value(&crd.spec.versions[0].schema).expect("a schema")["openAPIV3Schema"].take();
        schema["x-kubernetes-group-version-kind"] = json!([{"group": names::GROUP, "kind": kind}]);
        if let Some((parent, name)) = lacks.and_then(|at| at.strip_prefix(&kind)?.rsplit_once('/')) {
            let parent = schema
                .pointer_mut(parent)
                .and_then(Value::as_object_mut)
                .expect("its parent");
            parent.remove(name).expect("the field");
        }
        (format!("io.skymanager.v1alpha1.{kind}"), schema)
    });
    json!({"components": {"schemas": schemas.collect::<serde_json::Map<_, _>>()}})
}

impl Host {
    fn client(&self) -> Client {
        let host = self.clone();
        let service = tower::service_fn(move |request: Request<Body>| {
            let host = host.clone();
            async move {
                let path = request.uri().path().to_owned();
                let body = request.into_body().collect_bytes().await?;
                let (code, answer) = host.answer(&path, &body);
                let body = Body::from(answer.to_string().into_bytes());
                Ok::<_, tower::BoxError>(Response::builder().status(code).body(body)?)
            }
        });
        Client::new(service, "default")
    }

    fn answer(&self, path: &str, body: &[u8]) -> (u16, Value) {
        let refused =
            json!({"kind": "Status", "apiVersion": "v1", "code": 404, "reason": "NotFound", "message": "no"});
        if path.starts_with("/openapi/") {
            return (200, document(self.lacks));
        }
        if path.ends_with("/selfsubjectaccessreviews") {
            let mut review: Value = serde_json::from_slice(body).expect("JSON");
            let resource = review["spec"]["resourceAttributes"]["resource"]
                .as_str()
                .unwrap_or_default();
            review["status"] = json!({"allowed": self.forbids != Some(resource)});
            return (201, review);
        }
        let mut asked = self.asked.lock().expect("a count");
        *asked += 1;
        if !self.kinds || *asked < self.from {
            return (404, refused);
        }
        let resources = schema::all().into_iter().map(|crd| {
            let names = crd.spec.names;
            json!({"name": names.plural, "kind": names.kind, "singularName": "", "namespaced": true, "verbs": []})
        });
        let resources: Vec<Value> = resources.collect();
        (
            200,
            json!({"kind": "APIResourceList", "groupVersion": group_version(), "resources": resources}),
        )
    }
}

/// What is said of `host` in the end; empty: it is as it must be.
async fn said(host: &Host) -> String {
    let settings = Settings::parse_from(["sky-operator", "--leader-elect"]);
    let outcome = check(&host.client(), &settings).await;
    outcome.map_or_else(|unfit| unfit.to_string(), |()| String::new())
}

#[tokio::test(start_paused = true)]
async fn a_host_that_has_everything_is_used_at_once() {
    let host = Host {
        kinds: true,
        ..Host::default()
    };
    let begun = Instant::now();
    assert_eq!(said(&host).await, "");
    assert!(begun.elapsed() < PAUSE);
}

#[tokio::test(start_paused = true)]
async fn kinds_that_are_just_being_installed_are_waited_for() {
    let host = Host {
        kinds: true,
        from: 4,
        ..Host::default()
    };
    assert_eq!(said(&host).await, "");
}

#[tokio::test(start_paused = true)]
async fn a_host_without_the_kinds_is_told_what_to_apply() {
    let words = said(&Host::default()).await;
    assert!(
        words.starts_with("the host has no filterpolicies, skyclusters, skydeployments"),
        "{words}"
    );
    assert!(words.contains("kubectl apply -f crds/manifests"), "{words}");
}

#[tokio::test(start_paused = true)]
async fn kinds_that_are_older_are_told_by_the_fields_they_lack() {
    for (at, shown) in [
        ("SkyJob/properties/spec/properties/runId", "SkyJob.spec.runId;"),
        (
            "SkyCluster/properties/status/properties/nodeShapes/items/properties/accelerator",
            "SkyCluster.status.nodeShapes[].accelerator;",
        ),
    ] {
        let host = Host {
            kinds: true,
            lacks: Some(at),
            ..Host::default()
        };
        let words = said(&host).await;
        assert!(
            words.contains("are older than this operator") && words.contains(shown),
            "{words}"
        );
    }
}

#[tokio::test(start_paused = true)]
async fn missing_rights_are_named_with_their_namespace() {
    let host = Host {
        kinds: true,
        forbids: Some("leases"),
        ..Host::default()
    };
    let words = said(&host).await;
    let lists = "create leases in namespace sky-system, get leases sky-operator in namespace sky-system, update leases \
                 sky-operator in";
    assert!(words.contains(lists), "{words}");
    let host = Host {
        kinds: true,
        forbids: Some("namespaces"),
        ..Host::default()
    };
    assert!(said(&host).await.contains("list namespaces, watch namespaces"));
}
