//! `kubectl sky convert`: prints documents of the original system as objects of ours. Talks to no cluster.

use clap::ValueEnum;
use serde_json::Value;

use crate::documents::Files;
use crate::output;

/// Print documents of the original system as objects of ours.
///
/// `kind: Job`, `Deployment`, `Cluster`, `Namespace` and `FilterPolicy` without an apiVersion become SkyJob,
/// SkyDeployment, SkyCluster, SkyNamespace and FilterPolicy. Documents of ours pass unchanged, but for quoted
/// `replicas` of a SkyDeployment, which become a number. Anything else is refused with its place.
#[derive(clap::Args, Debug)]
pub struct Args {
    #[command(flatten)]
    files: Files,
    /// Format of the result
    #[arg(short, long, value_enum, default_value_t = Format::Yaml)]
    output: Format,
}

/// Formats that hold whole objects.
#[derive(Clone, Copy, Debug, ValueEnum)]
enum Format {
    /// YAML, one document for each object
    Yaml,
    /// JSON; several objects as a List
    Json,
}

/// Reads, converts, prints.
///
/// # Errors
/// When a document cannot be read or is not one of ours or the original's.
pub fn run(args: &Args) -> anyhow::Result<()> {
    let objects: Vec<Value> = args
        .files
        .read()?
        .into_iter()
        .map(|document| document.object)
        .collect();
    let text = match args.output {
        Format::Yaml => output::yaml(&objects)?,
        Format::Json => output::json(&objects)?,
    };
    Ok(output::print(&text)?)
}
