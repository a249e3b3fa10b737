//! `kubectl sky snapshot`: prints clusters and rules as documents for `simulate --offline`. Names no server, no Secret
//! and no user. Reads the host only.

use clap::ValueEnum;
use serde_json::{Map, Value, json};
use sky_crds::names::{GROUP, VERSION};

use crate::client::{self, Global, Host, Patience};
use crate::fleet::live;
use crate::kinds::Kind;
use crate::output;

const EXAMPLES: &str = "Examples:
  # Test placement rules in CI, without a cluster
  kubectl sky snapshot > fleet.yaml
  kubectl sky simulate --offline -f fleet.yaml -f policies/ -f jobs/ --exit-code";

/// Print the fleet as documents for `kubectl sky simulate --offline`.
///
/// Of each SkyCluster: labels, manager, taints, cordon, and of the status whether it is ready, version, nodes, amounts
/// and node shapes. Of FilterPolicies and SkyNamespaces: what they select. How clusters are reached is left out, so that
/// the documents can be kept with the rules they test: no server, no Secret, no account, no annotation, no message.
/// They are not for `kubectl apply`.
#[derive(clap::Args, Debug)]
#[command(after_help = EXAMPLES)]
pub struct Args {
    /// Format of the result
    #[arg(short, long, value_enum, default_value_t = Format::Yaml)]
    output: Format,
}

/// Formats that hold whole objects.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Format {
    /// YAML, one document for each object
    Yaml,
    /// JSON, a List
    Json,
}

/// Reads and prints.
///
/// # Errors
/// When the user may not list clusters or policies.
pub async fn run(global: &Global, args: Args) -> anyhow::Result<()> {
    let host = client::host(global, Patience::Calls).await?;
    let (documents, remarks) = read(&host).await?;
    remarks
        .iter()
        .for_each(|remark| output::note(&format!("note: {remark}")));
    let text = match args.output {
        Format::Yaml => output::yaml(&documents)?,
        Format::Json => output::json(&[output::list(&documents)])?,
    };
    Ok(output::print(&text)?)
}

/// The documents, and what they lack.
async fn read(host: &Host) -> anyhow::Result<(Vec<Value>, Vec<String>)> {
    let server = &host.connection.server;
    let mut remarks = Vec::new();
    let Some(clusters) = live::list(host, Kind::Cluster, None).await? else {
        anyhow::bail!("you may not list skyclusters on {server}; ask an administrator for that right");
    };
    let policies = match live::list(host, Kind::Policy, None).await? {
        Some(policies) => policies,
        None => {
            let namespace = &host.namespace;
            let Some(policies) = live::list(host, Kind::Policy, Some(namespace)).await? else {
                anyhow::bail!(
                    "you may not list filterpolicies on {server}, and without them the documents would allow too much; \
                     ask an administrator for that right"
                );
            };
            remarks.push(format!(
                "you may list filterpolicies of namespace {namespace} only: those of others are not among the documents"
            ));
            policies
        }
    };
    let namespaces = live::list(host, Kind::Namespace, None).await?;
    if namespaces.is_none() {
        remarks.push("you may not list skynamespaces: they are not among the documents".to_owned());
    }
    let documents = clusters
        .iter()
        .map(cluster)
        .chain(policies.iter().map(policy))
        .chain(namespaces.iter().flatten().map(namespace));
    Ok((documents.collect(), remarks))
}

/// The fields of `from` that are named, those it has.
fn pick(from: &Value, fields: &[&str]) -> Map<String, Value> {
    let each = fields
        .iter()
        .filter_map(|field| Some(((*field).to_owned(), from.get(field)?.clone())));
    each.collect()
}

fn document(kind: &str, object: &Value, metadata: &[&str], spec: &[&str]) -> Value {
    json!({
        "apiVersion": format!("{GROUP}/{VERSION}"),
        "kind": kind,
        "metadata": pick(&object["metadata"], metadata),
        "spec": pick(&object["spec"], spec),
    })
}

fn cluster(object: &Value) -> Value {
    let metadata = ["name", "labels", "deletionTimestamp"];
    let mut document = document(
        "SkyCluster",
        object,
        &metadata,
        &["manager", "taints", "unschedulable"],
    );
    let stored = &object["status"];
    let amounts = [
        "version",
        "nodes",
        "capacity",
        "allocatable",
        "free",
        "nodeShapes",
        "shapesTruncated",
    ];
    let mut status = pick(stored, &amounts);
    let conditions = stored["conditions"]
        .as_array()
        .map(Vec::as_slice)
        .unwrap_or_default();
    if !conditions.is_empty() {
        let ready = conditions.iter().filter(|condition| condition["type"] == "Ready");
        let mut kept: Vec<Value> = ready
            .map(|ready| {
                let mut ready = pick(ready, &["type", "status", "reason", "lastTransitionTime"]);
                // The message may name the server.
                ready.insert("message".to_owned(), json!(""));
                Value::Object(ready)
            })
            .collect();
        if kept.is_empty() {
            // No conditions at all would count as ready.
            let at = &conditions[0]["lastTransitionTime"];
            kept.push(json!({
                "type": "Ready", "status": "Unknown", "reason": "NotReported", "message": "", "lastTransitionTime": at,
            }));
        }
        status.insert("conditions".to_owned(), Value::Array(kept));
    }
    document["status"] = Value::Object(status);
    document
}

fn policy(object: &Value) -> Value {
    let spec = ["clusterFilter", "labelsSelector", "workloadSelector"];
    document("FilterPolicy", object, &["name", "namespace"], &spec)
}

fn namespace(object: &Value) -> Value {
    let spec = ["clusterSelector", "clusterFilter"];
    document("SkyNamespace", object, &["name", "deletionTimestamp"], &spec)
}

#[cfg(test)]
mod tests;
