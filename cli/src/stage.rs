//! A host for tests: it answers from objects and from paths that the user may not read, and tells what was asked.

use http::{Response, StatusCode};
use kube::client::Body;
use kube::config::Kubeconfig;
use serde_json::{Value, json};
use tokio::task::JoinHandle;

use crate::client::{Host, MockServer, mock};

/// Objects and forbidden paths of a host.
#[derive(Clone, Debug, Default)]
pub struct Stage {
    /// YAML documents, each an object of ours.
    objects: Vec<Value>,
    /// Paths below the group's, such as `skyclusters`, that the user may not read.
    forbidden: Vec<&'static str>,
}

const GROUP: &str = "/apis/skymanager.io/v1alpha1/";

impl Stage {
    /// A host with these documents.
    pub fn of(yaml: &str) -> Self {
        Self {
            objects: serde_saphyr::from_multiple(yaml).unwrap(),
            forbidden: Vec::new(),
        }
    }

    /// Forbids a path.
    pub fn forbid(mut self, path: &'static str) -> Self {
        self.forbidden.push(path);
        self
    }

    /// The host in namespace `default`; the calls that were made, once it is dropped.
    pub fn open(self) -> (Host, JoinHandle<Vec<String>>) {
        let (connection, server) = mock("host");
        let host = Host {
            connection,
            namespace: "default".to_owned(),
            namespace_named: false,
            kubeconfig: Kubeconfig::default(),
        };
        (host, tokio::spawn(self.serve(server)))
    }

    async fn serve(self, mut server: MockServer) -> Vec<String> {
        let mut calls = Vec::new();
        while let Some((request, respond)) = server.next_request().await {
            let path = request.uri().path().trim_start_matches(GROUP).to_owned();
            let (code, body) = self.answer(&path);
            let status = StatusCode::from_u16(code).unwrap();
            let body = Body::from(serde_json::to_vec(&body).unwrap());
            respond.send_response(Response::builder().status(status).body(body).unwrap());
            calls.push(format!("{} {path}", request.method()));
        }
        calls
    }

    fn answer(&self, path: &str) -> (u16, Value) {
        if self.forbidden.contains(&path) {
            return failure(403, "Forbidden");
        }
        let (namespace, rest) = match path
            .strip_prefix("namespaces/")
            .and_then(|rest| rest.split_once('/'))
        {
            Some((namespace, rest)) => (Some(namespace), rest),
            None => (None, path),
        };
        let (plural, name) = rest
            .split_once('/')
            .map_or((rest, None), |(plural, name)| (plural, Some(name)));
        let of = |object: &&Value| {
            let text = |field: &str| object.pointer(field).and_then(Value::as_str);
            let kind = text("/kind").unwrap_or_default().to_lowercase();
            let named = name.is_none_or(|name| text("/metadata/name") == Some(name));
            let plurals = [format!("{kind}s"), kind.replace("policy", "policies")];
            plurals.iter().any(|one| one == plural)
                && named
                && namespace.is_none_or(|namespace| text("/metadata/namespace") == Some(namespace))
        };
        let found: Vec<&Value> = self.objects.iter().filter(of).collect();
        match (name, found.first()) {
            (Some(_), Some(object)) => (200, (*object).clone()),
            (Some(_), None) => failure(404, "NotFound"),
            (None, _) => (
                200,
                json!({"apiVersion": "v1", "kind": "List", "metadata": {}, "items": found}),
            ),
        }
    }
}

fn failure(code: u16, reason: &str) -> (u16, Value) {
    let status = json!({"kind": "Status", "apiVersion": "v1", "status": "Failure", "code": code, "reason": reason,
        "message": "no", "details": {"name": "x"}});
    (code, status)
}
