//! `kubectl sky create`: objects from flags, with the flags of the original command line.

use clap::{Subcommand, ValueEnum};
use kube::api::{DynamicObject, PostParams};
use serde_json::{Map, Value, json};
use sky_crds::names::{GROUP, VERSION};

use super::join;
use crate::client::{self, FIELD_MANAGER, Global, Patience};
use crate::errors::At;
use crate::kinds::Kind;
use crate::output::{self, Format};
use crate::pairs;

/// Create a job, a cluster or a filter policy from flags.
#[derive(clap::Args, Debug)]
pub struct Args {
    #[command(subcommand)]
    what: What,
}

#[derive(Subcommand, Debug)]
enum What {
    #[command(visible_alias = "skyjob")]
    Job(JobArgs),
    #[command(visible_alias = "skycluster")]
    Cluster(ClusterArgs),
    #[command(visible_aliases = ["policy", "fpol"])]
    Filterpolicy(PolicyArgs),
}

/// Create a job: N equal replicas that run to completion.
///
/// Example: kubectl sky create job hello --resources cpu 1 --run "echo Sky!; sleep 10"
#[derive(clap::Args, Debug)]
struct JobArgs {
    /// Name of the job
    name: String,
    /// What one replica needs, such as `--resources cpu 1 --resources memory 128` (MiB without a unit)
    #[arg(long, num_args = 2, value_names = ["NAME", "AMOUNT"])]
    resources: Vec<String>,
    /// Shell script that a replica runs
    #[arg(long, value_name = "SCRIPT", allow_hyphen_values = true)]
    run: Option<String>,
    /// Container image [default: the operator's]
    #[arg(long)]
    image: Option<String>,
    /// Number of replicas
    #[arg(long, value_parser = clap::value_parser!(i64).range(1..=100_000), value_name = "N")]
    replicas: Option<i64>,
    /// Labels of the job, such as `--labels my_app testing`
    #[arg(long, num_args = 2, value_names = ["KEY", "VALUE"])]
    labels: Vec<String>,
    /// Variables of every replica
    #[arg(long, value_name = "NAME=VALUE")]
    env: Vec<String>,
    /// Jobs of a higher priority are scheduled first
    #[arg(long, allow_negative_numbers = true, value_name = "N")]
    priority: Option<i32>,
    #[command(flatten)]
    printing: Printing,
}

/// Make a cluster of the kubeconfig a member.
///
/// The context is the one of --from-context, else the one named as the cluster. See `kubectl sky join --help`.
#[derive(clap::Args, Debug)]
struct ClusterArgs {
    /// What runs the cluster; a Slurm cluster is written as a SkyCluster with its `slurm` section
    #[arg(long, value_enum)]
    manager: Manager,
    /// Name of the cluster
    name: String,
    /// Context of the kubeconfig that reaches it [default: NAME]
    #[arg(long, value_name = "CONTEXT")]
    from_context: Option<String>,
    #[command(flatten)]
    options: join::Options,
}

/// Spellings of the original.
#[derive(Clone, Copy, Debug, ValueEnum)]
enum Manager {
    /// Kubernetes
    #[value(name = "kubernetes", aliases = ["k8", "k8s"])]
    Kubernetes,
}

/// Create a filter policy: which members the matching workloads of its namespace may use.
///
/// Example: kubectl sky create filterpolicy no-cloud --exclude cloud-1,cloud-2 --selector my_app testing
#[derive(clap::Args, Debug)]
struct PolicyArgs {
    /// Name of the policy
    name: String,
    /// Clusters that may be used [default: every cluster]
    #[arg(long, value_delimiter = ',', value_name = "CLUSTER,…")]
    include: Vec<String>,
    /// Clusters that may not be used; wins over --include
    #[arg(long, value_delimiter = ',', value_name = "CLUSTER,…")]
    exclude: Vec<String>,
    /// Labels of the workloads it governs [default: all of the namespace]
    #[arg(long, num_args = 2, value_names = ["KEY", "VALUE"])]
    selector: Vec<String>,
    #[command(flatten)]
    printing: Printing,
}

#[derive(clap::Args, Debug)]
struct Printing {
    /// Print the object instead of one line
    #[arg(short, long, value_enum)]
    output: Option<Format>,
    /// client: only print it; server: let the API server check it without keeping it
    #[arg(long, value_enum, num_args = 0..=1, require_equals = true, default_value = "none", default_missing_value = "client")]
    dry_run: DryRun,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum DryRun {
    None,
    Client,
    Server,
}

/// Creates what the flags describe.
///
/// # Errors
/// When a flag is wrong or the API server refuses the object.
pub async fn run(global: &Global, args: Args) -> anyhow::Result<()> {
    match args.what {
        What::Job(args) => create(global, Kind::Job, &job(&args)?, &args.printing).await,
        What::Filterpolicy(args) => create(global, Kind::Policy, &policy(&args)?, &args.printing).await,
        What::Cluster(args) => {
            let Manager::Kubernetes = args.manager;
            let context = args.from_context.unwrap_or_else(|| args.name.clone());
            join::one(global, &args.name, &context, &args.options).await
        }
    }
}

fn job(args: &JobArgs) -> anyhow::Result<Value> {
    let mut spec = Map::new();
    let mut set = |key: &str, value: Option<Value>| {
        if let Some(value) = value {
            spec.insert(key.to_owned(), value);
        }
    };
    let resources = pairs::map("--resources", &args.resources)?;
    let env: Vec<Value> = pairs::list("--env", &args.env)?
        .into_iter()
        .map(|(name, value)| json!({"name": name, "value": value}))
        .collect();
    set("image", args.image.as_ref().map(|image| json!(image)));
    set("run", args.run.as_ref().map(|run| json!(run)));
    set("resources", (!resources.is_empty()).then(|| json!(resources)));
    set("replicas", args.replicas.map(|replicas| json!(replicas)));
    set("env", (!env.is_empty()).then_some(Value::Array(env)));
    set("priority", args.priority.map(|priority| json!(priority)));
    let labels = pairs::map("--labels", &args.labels)?;
    let mut metadata = json!({"name": args.name});
    if !labels.is_empty() {
        metadata["labels"] = json!(labels);
    }
    Ok(object(Kind::Job, &metadata, &Value::Object(spec)))
}

fn policy(args: &PolicyArgs) -> anyhow::Result<Value> {
    let mut filter = Map::new();
    for (key, names) in [("include", &args.include), ("exclude", &args.exclude)] {
        if !names.is_empty() {
            filter.insert(key.to_owned(), json!(names));
        }
    }
    let selector = pairs::map("--selector", &args.selector)?;
    let mut spec = json!({"clusterFilter": filter});
    if !selector.is_empty() {
        spec["labelsSelector"] = json!(selector);
    }
    Ok(object(Kind::Policy, &json!({"name": args.name}), &spec))
}

fn object(kind: Kind, metadata: &Value, spec: &Value) -> Value {
    let resource = kind.resource();
    json!({"apiVersion": format!("{GROUP}/{VERSION}"), "kind": resource.kind, "metadata": metadata, "spec": spec})
}

async fn create(global: &Global, kind: Kind, object: &Value, printing: &Printing) -> anyhow::Result<()> {
    let name = object["metadata"]["name"].as_str().unwrap_or_default().to_owned();
    let mut object = object.clone();
    if printing.dry_run == DryRun::Client {
        if let Some(namespace) = &global.namespace {
            object["metadata"]["namespace"] = json!(namespace);
        }
    } else {
        let host = client::host(global, Patience::Calls).await?;
        let api = kind.api(host.connection.client.clone(), Some(&host.namespace));
        let params = PostParams {
            dry_run: printing.dry_run == DryRun::Server,
            field_manager: Some(FIELD_MANAGER.to_owned()),
        };
        let wanted: DynamicObject = serde_json::from_value(object)?;
        let created = api
            .create(&params, &wanted)
            .await
            .at(&host.connection, format!("create {}", kind.reference(&name)))?;
        object = serde_json::to_value(created)?;
    }
    let text = match printing.output {
        Some(Format::Yaml) => output::yaml(&[output::plain(object)])?,
        Some(Format::Json) => output::json(&[output::plain(object)])?,
        Some(Format::Name) => kind.reference(&name) + "\n",
        None if printing.dry_run == DryRun::None => format!("{} created\n", kind.reference(&name)),
        None => format!("{} created (dry run)\n", kind.reference(&name)),
    };
    Ok(output::print(&text)?)
}

#[cfg(test)]
mod tests {
    use clap::Parser as _;

    use super::*;
    use crate::commands::{Cli, Command};

    fn what(arguments: &[&str]) -> What {
        let line = ["sky", "create"].iter().chain(arguments);
        match Cli::try_parse_from(line).unwrap().command {
            Command::Create(args) => args.what,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn the_demo_job_is_made_of_its_flags() {
        let What::Job(args) = what(&[
            "job",
            "sky-1",
            "--resources",
            "cpu",
            "1",
            "--resources",
            "memory",
            "128",
            "--run",
            "echo Sky!; sleep 10",
            "--labels",
            "my_app",
            "testing",
            "--replicas",
            "4",
            "--env",
            "A=1",
            "--priority",
            "-3",
        ]) else {
            panic!("not a job")
        };
        assert_eq!(
            job(&args).unwrap(),
            json!({
                "apiVersion": "skymanager.io/v1alpha1",
                "kind": "SkyJob",
                "metadata": {"name": "sky-1", "labels": {"my_app": "testing"}},
                "spec": {"run": "echo Sky!; sleep 10", "resources": {"cpu": "1", "memory": "128"}, "replicas": 4,
                         "env": [{"name": "A", "value": "1"}], "priority": -3}
            })
        );
    }

    #[test]
    fn the_demo_policy_is_made_of_its_flags() {
        let What::Filterpolicy(args) = what(&[
            "filterpolicy",
            "remove-mluo-cloud",
            "--include",
            "mluo-onprem,mluo-cloud,cloud-2",
            "--exclude",
            "mluo-cloud",
            "--selector",
            "my_app",
            "testing",
        ]) else {
            panic!("not a policy")
        };
        assert_eq!(
            policy(&args).unwrap()["spec"],
            json!({
                "clusterFilter": {"include": ["mluo-onprem", "mluo-cloud", "cloud-2"], "exclude": ["mluo-cloud"]},
                "labelsSelector": {"my_app": "testing"}
            })
        );
    }
}
