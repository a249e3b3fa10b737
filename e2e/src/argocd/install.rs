//! The objects that Argo CD wants to find: its configuration, its project, and the host as a cluster under its URL.
//! Written by `argocd` before the parts start.

use anyhow::Result;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};

use super::NAMESPACE;
use crate::cluster::Cluster;
use crate::slot::Port;

/// The URL under which Argo CD knows the host: by the usual name it is reached from a pod only.
pub(super) fn server(host: &Cluster) -> String {
    format!("https://127.0.0.1:{}", host.port(Port::ApiServer))
}

/// Everything in one text, for an apply.
pub(super) fn documents(host: &Cluster) -> Result<String> {
    let (authority, identity) = host.administrator()?;
    let access = json!({"tlsClientConfig": {
        "caData": STANDARD.encode(authority),
        "certData": STANDARD.encode(identity.certificate),
        "keyData": STANDARD.encode(identity.key),
    }});
    let mut documents = vec![json!({
        "apiVersion": "v1", "kind": "Namespace", "metadata": {"name": NAMESPACE},
    })];
    let empty = [
        "argocd-cm",
        "argocd-rbac-cm",
        "argocd-cmd-params-cm",
        "argocd-ssh-known-hosts-cm",
        "argocd-tls-certs-cm",
        "argocd-gpg-keys-cm",
    ];
    documents.extend(empty.map(config_map));
    documents.push(json!({
        "apiVersion": "v1", "kind": "Secret", "metadata": metadata("argocd-secret"),
        "stringData": {"server.secretkey": "only-for-a-lab"},
    }));
    let mut cluster = metadata("host");
    cluster["labels"]["argocd.argoproj.io/secret-type"] = json!("cluster");
    documents.push(json!({
        "apiVersion": "v1", "kind": "Secret", "metadata": cluster,
        "stringData": {"name": "host", "server": server(host), "config": access.to_string()},
    }));
    documents.push(json!({
        "apiVersion": "argoproj.io/v1alpha1", "kind": "AppProject", "metadata": metadata("default"),
        "spec": {
            "sourceRepos": ["*"],
            "destinations": [{"namespace": "*", "server": "*"}],
            "clusterResourceWhitelist": [{"group": "*", "kind": "*"}],
        },
    }));
    let texts: Vec<String> = documents.iter().map(Value::to_string).collect();
    Ok(texts.join("\n---\n"))
}

fn config_map(name: &str) -> Value {
    json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata(name)})
}

fn metadata(name: &str) -> Value {
    json!({"name": name, "namespace": NAMESPACE, "labels": {"app.kubernetes.io/part-of": "argocd"}})
}
