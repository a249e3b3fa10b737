//! The host in memory: objects by path, writes fenced by resourceVersion, a journal of writes, and faults.

use std::collections::{BTreeMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use http::{Method, Request, Response};
use kube::Client;
use kube::client::Body;
use serde_json::{Value, json};

/// What goes wrong with one write.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fault {
    /// Refused with this code, without effect.
    Refused(u16),
    /// The user changes the object just before.
    Overtaken,
    /// The effect happens, the answer is lost at once.
    LostReply,
    /// The effect happens, and no answer comes.
    Mute,
    /// Nothing happens, and no answer comes.
    Hang,
}

#[derive(Default)]
struct State {
    objects: BTreeMap<String, Value>,
    version: u64,
    writes: Vec<String>,
    events: Vec<String>,
    faults: VecDeque<Option<Fault>>,
    /// ConfigMaps and Secrets may not be read.
    configs_forbidden: bool,
    config_reads: usize,
}

/// The host. A clone is the same host.
#[derive(Clone, Default)]
pub(crate) struct Host(Arc<Mutex<State>>);

fn path_of(object: &Value) -> String {
    let text = |pointer: &str| {
        object
            .pointer(pointer)
            .and_then(Value::as_str)
            .unwrap_or_default()
    };
    let plural = format!("{}s", text("/kind").to_lowercase());
    let name = text("/metadata/name");
    match text("/metadata/namespace") {
        namespace if text("/apiVersion") == "v1" => format!("/api/v1/namespaces/{namespace}/{plural}/{name}"),
        "" => format!("/apis/{}/{plural}/{name}", text("/apiVersion")),
        namespace => format!(
            "/apis/{}/namespaces/{namespace}/{plural}/{name}",
            text("/apiVersion")
        ),
    }
}

impl Host {
    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().expect("the host")
    }

    /// A client that talks to it.
    pub(crate) fn client(&self) -> Client {
        let host = self.clone();
        let service = tower::service_fn(move |request: Request<Body>| {
            let host = host.clone();
            async move { host.serve(request).await }
        });
        Client::new(service, "default")
    }

    /// Creates `object`, as its user.
    pub(crate) fn create(&self, mut object: Value) {
        let mut state = self.state();
        state.version += 1;
        object["metadata"]["resourceVersion"] = json!(state.version.to_string());
        object["metadata"]["generation"] = json!(1);
        state.objects.insert(path_of(&object), object);
    }

    /// Changes the object of this kind and name, as its user; a changed spec is a new generation.
    pub(crate) fn edit(&self, kind: &str, name: &str, change: impl FnOnce(&mut Value)) {
        let mut state = self.state();
        state.version += 1;
        let version = state.version;
        let is_it = |object: &&mut Value| object["kind"] == kind && object["metadata"]["name"] == name;
        let object = state.objects.values_mut().find(is_it).expect("the object");
        let before = object["spec"].clone();
        change(object);
        object["metadata"]["resourceVersion"] = json!(version.to_string());
        if object["spec"] != before {
            let generation = object["metadata"]["generation"].as_i64().unwrap_or(0) + 1;
            object["metadata"]["generation"] = json!(generation);
        }
    }

    /// The object of this kind and name.
    pub(crate) fn find(&self, kind: &str, name: &str) -> Option<Value> {
        let state = self.state();
        let is_it = |object: &&Value| object["kind"] == kind && object["metadata"]["name"] == name;
        state.objects.values().find(is_it).cloned()
    }

    /// All objects of this kind.
    pub(crate) fn all(&self, kind: &str) -> Vec<Value> {
        let state = self.state();
        state
            .objects
            .values()
            .filter(|object| object["kind"] == kind)
            .cloned()
            .collect()
    }

    /// Grows with every change.
    pub(crate) fn version(&self) -> u64 {
        self.state().version
    }

    /// The next writes go so, in order; `None` goes well.
    pub(crate) fn faults(&self, faults: impl IntoIterator<Item = Option<Fault>>) {
        self.state().faults.extend(faults);
    }

    /// Whether faults are still to come.
    pub(crate) fn has_faults(&self) -> bool {
        !self.state().faults.is_empty()
    }

    /// Whether the operator may not read ConfigMaps and Secrets.
    pub(crate) fn forbid_configs(&self, forbidden: bool) {
        self.state().configs_forbidden = forbidden;
    }

    /// How often one was asked for.
    pub(crate) fn config_reads(&self) -> usize {
        self.state().config_reads
    }

    /// The user removes the object of this kind and name.
    pub(crate) fn remove(&self, kind: &str, name: &str) {
        let mut state = self.state();
        state.version += 1;
        state
            .objects
            .retain(|_, object| object["kind"] != kind || object["metadata"]["name"] != name);
    }

    /// Events so far: reason and note.
    pub(crate) fn events(&self) -> Vec<String> {
        self.state().events.clone()
    }

    /// Writes so far, in order: `job +finalizer`, `job status Pending`, `job status Complete: 409`.
    pub(crate) fn writes(&self) -> Vec<String> {
        self.state().writes.clone()
    }

    async fn serve(&self, request: Request<Body>) -> Result<Response<Body>, tower::BoxError> {
        let (method, path) = (request.method().clone(), request.uri().path().to_owned());
        let bytes = request.into_body().collect_bytes().await?;
        if path.contains("/controllerrevisions") {
            return respond(self.serve_revisions(&method, &path, &bytes));
        }
        if method == Method::GET {
            if path.contains("/configmaps/") || path.contains("/secrets/") {
                let mut state = self.state();
                state.config_reads += 1;
                if state.configs_forbidden {
                    return respond(refusal(403));
                }
            }
            let found = self.state().objects.get(&path).cloned();
            return respond(found.map_or_else(|| refusal(404), |object| (200, object)));
        }
        let body: Value = serde_json::from_slice(&bytes)?;
        if method == Method::POST && path.ends_with("/events") {
            let line = format!("{} {}", body["reason"], body["note"]).replace('"', "");
            self.state().events.push(line);
            return respond((201, body));
        }
        let fault = self.state().faults.pop_front().flatten();
        let line = describe(&path, &body);
        let answer = match fault {
            Some(Fault::Refused(code)) => refusal(code),
            Some(Fault::Hang) => refusal(0),
            Some(Fault::Overtaken) => {
                let name = path
                    .trim_end_matches("/status")
                    .rsplit('/')
                    .next()
                    .unwrap_or_default();
                let kind = if path.contains("/skydeployments/") {
                    "SkyDeployment"
                } else {
                    "SkyJob"
                };
                self.edit(kind, name, |object| {
                    object["metadata"]["annotations"] = json!({"changed": "meanwhile"})
                });
                self.write(&method, &path, &body)
            }
            Some(Fault::LostReply | Fault::Mute) | None => self.write(&method, &path, &body),
        };
        let line = match answer.0 {
            200 => line,
            code => format!("{line}: {code}"),
        };
        self.state().writes.push(line);
        match fault {
            Some(Fault::LostReply) => Err("connection reset".into()),
            Some(Fault::Mute | Fault::Hang) => {
                tokio::time::sleep(Duration::from_secs(3600)).await;
                Err("timed out".into())
            }
            Some(Fault::Refused(_) | Fault::Overtaken) | None => respond(answer),
        }
    }

    /// ControllerRevisions, without faults and beside the journal.
    fn serve_revisions(&self, method: &Method, path: &str, bytes: &[u8]) -> (u16, Value) {
        let mut state = self.state();
        if *method == Method::GET {
            let all = state.objects.iter().filter(|(at, _)| at.starts_with(path));
            let items: Vec<&Value> = all.map(|(_, object)| object).collect();
            let list = json!({"kind": "ControllerRevisionList", "apiVersion": "apps/v1", "metadata": {}, "items": items});
            return (200, list);
        }
        let body: Value = serde_json::from_slice(bytes).unwrap_or_default();
        let at = match body.pointer("/metadata/name").and_then(Value::as_str) {
            Some(name) if *method == Method::POST => format!("{path}/{name}"),
            _ => path.to_owned(),
        };
        if *method == Method::DELETE {
            let gone = state.objects.remove(&at);
            return gone.map_or_else(|| refusal(404), |object| (200, object));
        }
        let object = state.objects.entry(at).or_insert_with(|| json!({}));
        merge(object, &body);
        (200, object.clone())
    }

    fn write(&self, method: &Method, path: &str, body: &Value) -> (u16, Value) {
        let mut state = self.state();
        let (path, to_status) = match path.strip_suffix("/status") {
            Some(path) => (path, true),
            None => (path, false),
        };
        let Some(stored) = state.objects.get(path).cloned() else {
            return refusal(404);
        };
        let version = &body["metadata"]["resourceVersion"];
        if !version.is_null() && *version != stored["metadata"]["resourceVersion"] {
            return refusal(409);
        }
        let mut next = stored;
        if *method == Method::PATCH {
            merge(&mut next, body);
        } else if to_status {
            next["status"] = body["status"].clone();
        } else {
            next = body.clone();
        }
        state.version += 1;
        next["metadata"]["resourceVersion"] = json!(state.version.to_string());
        let held = next["metadata"]["finalizers"]
            .as_array()
            .is_some_and(|list| !list.is_empty());
        if next["metadata"]["deletionTimestamp"].is_string() && !held {
            state.objects.remove(path);
        } else {
            state.objects.insert(path.to_owned(), next.clone());
        }
        (200, next)
    }
}

fn merge(target: &mut Value, patch: &Value) {
    match (target, patch) {
        (Value::Object(target), Value::Object(patch)) => {
            for (key, value) in patch {
                merge(target.entry(key.clone()).or_insert(Value::Null), value);
            }
        }
        (target, patch) => *target = patch.clone(),
    }
}

/// A write in a few words.
fn describe(path: &str, body: &Value) -> String {
    let name = path
        .trim_end_matches("/status")
        .rsplit('/')
        .next()
        .unwrap_or_default();
    if path.ends_with("/status") {
        let ready = body["status"]["conditions"].as_array().into_iter().flatten();
        let ready = ready.filter(|condition| condition["type"] == "Ready");
        let reason = ready.filter_map(|condition| condition["reason"].as_str()).next();
        let phase = body["status"]["phase"].as_str().or(reason).unwrap_or("?");
        return format!("{name} status {phase}");
    }
    match body["metadata"]["finalizers"].as_array().map(Vec::len) {
        Some(0) => format!("{name} -finalizer"),
        Some(_) if body["spec"].is_null() => format!("{name} +finalizer"),
        _ => format!("{name} replaced"),
    }
}

fn refusal(code: u16) -> (u16, Value) {
    let reason = match code {
        403 => "Forbidden",
        404 => "NotFound",
        409 => "Conflict",
        _ => "InternalError",
    };
    let body = json!({
        "kind": "Status", "apiVersion": "v1", "status": "Failure",
        "code": code, "reason": reason, "message": format!("told to answer {code}"),
    });
    (code, body)
}

fn respond((code, body): (u16, Value)) -> Result<Response<Body>, tower::BoxError> {
    let body = Body::from(body.to_string().into_bytes());
    Ok(Response::builder().status(code).body(body)?)
}
