//! `kubectl sky get`: lists objects of ours as tables whose columns `kubectl get` cannot make. Reads the host only.

mod columns;

use clap::ValueEnum;
use jiff::Timestamp;
use kube::api::{DynamicObject, ListParams};
use serde_json::Value;

use crate::client::{self, Global, Host, Patience};
use crate::errors::{At, usage};
use crate::kinds::Kind;
use crate::output;

/// List clusters, jobs, deployments, policies or namespaces.
///
/// Clusters: CPU and MEMORY show what is free of what the nodes give to workloads. Jobs: REPLICAS shows how many have
/// succeeded of how many are wanted, REASON why a job is not running.
#[derive(clap::Args, Debug)]
pub struct Args {
    /// What to list; singular, plural and short names mean the same
    #[arg(value_enum, ignore_case = true)]
    kind: Kind,
    /// Only these
    names: Vec<String>,
    /// Format
    #[arg(short, long, value_enum, default_value_t = Format::Table, hide_default_value = true)]
    output: Format,
    /// Objects of every namespace
    #[arg(short = 'A', long)]
    all_namespaces: bool,
    /// Only objects with these labels, such as `-l purpose=dev,location!=eu`
    #[arg(short = 'l', long, value_name = "LABELS")]
    selector: Option<String>,
}

/// Formats of `-o`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Format {
    /// A table
    Table,
    /// A table with more columns
    Wide,
    /// JSON
    Json,
    /// YAML
    Yaml,
    /// Kind and name
    Name,
}

/// Lists and prints.
///
/// # Errors
/// When the API server refuses, or a named object is not there.
pub async fn run(global: &Global, args: Args) -> anyhow::Result<()> {
    if !args.names.is_empty() && (args.all_namespaces || args.selector.is_some()) {
        return Err(usage("names cannot be given together with -A or -l"));
    }
    let host = client::host(global, Patience::Calls).await?;
    let (objects, missing) = read(&host, &args).await?;
    let values: Result<Vec<Value>, _> = objects.iter().map(serde_json::to_value).collect();
    let values: Vec<Value> = values?.into_iter().map(output::plain).collect();
    let single = args.names.len() == 1;
    match args.output {
        Format::Json if single || values.len() != 1 => output::print(&output::json(&values)?)?,
        Format::Json => output::print(&output::json(&[output::list(&values)])?)?,
        Format::Yaml if single => output::print(&output::yaml(&values)?)?,
        Format::Yaml => output::print(&output::yaml(&[output::list(&values)])?)?,
        Format::Name => {
            for object in &objects {
                let name = object.metadata.name.as_deref().unwrap_or_default();
                output::line(&args.kind.reference(name))?;
            }
        }
        Format::Table | Format::Wide if values.is_empty() && missing.is_empty() => {
            output::note(&nothing(args.kind, args.all_namespaces, &host.namespace));
        }
        Format::Table | Format::Wide if values.is_empty() => {}
        Format::Table | Format::Wide => {
            let options = columns::Options {
                wide: args.output == Format::Wide,
                namespaces: args.all_namespaces && args.kind.namespaced(),
                now: Timestamp::now(),
            };
            output::print(&columns::table(args.kind, &values, options).render())?;
        }
    }
    match missing.as_slice() {
        [] => Ok(()),
        [one] => Err(anyhow::anyhow!("{one}")),
        several => Err(anyhow::anyhow!("{}", several.join("; "))),
    }
}

/// The objects asked for, and a line for each name that could not be read.
async fn read(host: &Host, args: &Args) -> anyhow::Result<(Vec<DynamicObject>, Vec<String>)> {
    let at = &host.connection;
    let namespace = (!args.all_namespaces).then_some(host.namespace.as_str());
    let api = args.kind.api(at.client.clone(), namespace);
    let resource = args.kind.resource();
    if args.names.is_empty() {
        let mut params = ListParams::default();
        params.label_selector.clone_from(&args.selector);
        let list = api
            .list(&params)
            .await
            .at(at, format!("list {}", resource.plural))?;
        let types = |mut object: DynamicObject| {
            object.types = Some(kube::core::TypeMeta {
                api_version: resource.api_version.clone(),
                kind: resource.kind.clone(),
            });
            object
        };
        return Ok((list.items.into_iter().map(types).collect(), Vec::new()));
    }
    let mut objects = Vec::new();
    let mut missing = Vec::new();
    for name in &args.names {
        match api
            .get(name)
            .await
            .at(at, format!("get {}", args.kind.reference(name)))
        {
            Ok(object) => objects.push(object),
            Err(error) => missing.push(format!("{error:#}")),
        }
    }
    Ok((objects, missing))
}

fn nothing(kind: Kind, all: bool, namespace: &str) -> String {
    if all || !kind.namespaced() {
        "No resources found".to_owned()
    } else {
        format!("No resources found in {namespace} namespace.")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_empty_list_is_told_as_kubectl_tells_it() {
        assert_eq!(
            nothing(Kind::Job, false, "dev"),
            "No resources found in dev namespace."
        );
        assert_eq!(nothing(Kind::Job, true, "dev"), "No resources found");
        assert_eq!(nothing(Kind::Cluster, false, "dev"), "No resources found");
    }
}
