//! `kubectl sky simulate`: where workloads would go, decided by the operator's own code. Steps: documents → fleet →
//! what is changed for trial → answers → output. Writes nothing anywhere.

mod answer;

use std::collections::BTreeSet;

use anyhow::Context as _;
use clap::ValueEnum;
use serde::Serialize;
use serde_json::{Value, json};
use sky_core::job::Refused;
use sky_core::workload::Kind as WorkloadKind;

use crate::client::{self, Global, Host, Patience};
use crate::documents::{Document, Files};
use crate::errors::{self, usage};
use crate::fleet::live::{self, Rules};
use crate::fleet::{Configured, Fleet};
use crate::kinds::Kind;
use crate::output;
use crate::subject::Subject;

/// Namespace of documents that name none, where no kubeconfig is read.
const DEFAULT_NAMESPACE: &str = "default";

const EXAMPLES: &str = "Examples:
  # Where would this job go now?
  kubectl sky simulate -f job.yaml
  # And without cluster c1, with 20 replicas?
  kubectl sky simulate -f job.yaml --without c1 --replicas 20
  # Would a new policy still let the jobs of a folder run?
  kubectl sky simulate -f policy.yaml -f jobs/
  # Placement rules as a test, without any cluster
  kubectl sky snapshot > fleet.yaml
  kubectl sky simulate --offline -f fleet.yaml -f policies/ -f jobs/ -o json --exit-code";

/// Say where workloads would go, and why, without creating anything.
///
/// Decides with the operator's own code for each SkyJob and SkyDeployment of the files, those of higher priority first,
/// else in the order of the files; each takes its room from those after it. SkyClusters, FilterPolicies and
/// SkyNamespaces of the files are added to those of the host, or replace the ones of their name; a SkyCluster without
/// a status keeps the host's. Documents of the original system are converted first.
///
/// With --offline the documents are all there is. A SkyCluster then tells its room by `status.nodeShapes`, as
/// `kubectl sky snapshot` prints it, or just by `status.allocatable` and `status.free`; one without conditions counts
/// as ready. Documents are checked for fields that their kinds do not have; the bounds of values are checked by API
/// servers only.
///
/// What is free comes from the clusters' status, which is up to some seconds old. Placed replicas that have not
/// started keep their room on top of that, also those that are on a node already and still load their image, which the
/// status counts too: by these the answer may be too low. Jobs that wait take no room.
#[derive(clap::Args, Debug)]
#[command(after_help = EXAMPLES)]
pub struct Args {
    #[command(flatten)]
    files: Files,
    /// Read nothing but the files
    #[arg(long)]
    offline: bool,
    /// Format
    #[arg(short, long, value_enum, default_value_t = Format::Table, hide_default_value = true)]
    output: Format,
    /// As if these clusters were not there
    #[arg(long, value_name = "CLUSTER", value_delimiter = ',')]
    without: Vec<String>,
    /// As if these clusters were cordoned
    #[arg(long, value_name = "CLUSTER", value_delimiter = ',')]
    cordon: Vec<String>,
    /// As if every workload asked for this many replicas
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(i64).range(1..=100_000))]
    replicas: Option<i64>,
    /// Exit with 3 when a workload cannot be placed
    #[arg(long)]
    exit_code: bool,
    #[command(flatten)]
    configured: Configured,
}

/// Formats of `-o`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Format {
    /// A table of clusters for each workload
    Table,
    /// With the score of each plugin
    Wide,
    /// JSON
    Json,
    /// YAML
    Yaml,
}

/// Decides and prints.
///
/// # Errors
/// When documents or the host cannot be read; with --exit-code when a workload cannot be placed.
pub async fn run(global: &Global, args: Args) -> anyhow::Result<()> {
    let documents = args.files.read()?;
    let answers = if args.offline {
        let namespace = global.namespace.as_deref().unwrap_or(DEFAULT_NAMESPACE);
        let trial = Trial::read(&args, &documents, namespace)?;
        trial.answer(&args, Fleet::default(), Vec::new())?
    } else {
        let host = client::host(global, Patience::Calls).await?;
        let trial = Trial::read(&args, &documents, &host.namespace)?;
        live(&host, &args, trial).await?
    };
    print(&args, &answers)?;
    let open = answers.iter().filter(|answer| answer.is_open()).count();
    if args.exit_code && open > 0 {
        let of = answers.len();
        return Err(errors::unplaced(format!(
            "{open} of {of} workloads cannot be placed"
        )));
    }
    Ok(())
}

/// Answers on the host's clusters, rules and placements.
async fn live(host: &Host, args: &Args, trial: Trial<'_>) -> anyhow::Result<Vec<answer::Answer>> {
    let namespaces = trial.namespaces();
    let mut fleet = match live::rules(host, &namespaces).await? {
        Rules::Seen(fleet) => fleet,
        Rules::Denied(right) => anyhow::bail!(
            "you may not {right} on {}; ask an administrator for that right, or for the output of kubectl sky snapshot, \
             and use --offline",
            host.connection.server
        ),
    };
    let workloads = live::workloads(host, &namespaces).await?;
    if let Some(gap) = workloads.gap {
        fleet.remark(format!("{gap}: room promised to these is not counted"));
    }
    trial.answer(args, fleet, workloads.subjects)
}

/// Documents, sorted.
struct Trial<'d> {
    rules: Vec<(Kind, &'d Document)>,
    subjects: Vec<Subject>,
    namespace: &'d str,
}

impl<'d> Trial<'d> {
    /// # Errors
    /// When there is no workload, or a document is none of ours.
    fn read(args: &Args, documents: &'d [Document], namespace: &'d str) -> anyhow::Result<Self> {
        let mut trial = Self {
            rules: Vec::new(),
            subjects: Vec::new(),
            namespace,
        };
        for document in documents {
            let named = document
                .object
                .get("kind")
                .and_then(Value::as_str)
                .unwrap_or_default();
            match Kind::of_object(named) {
                Some(Kind::Job) => {
                    trial
                        .subjects
                        .push(subject(args, WorkloadKind::SkyJob, document, namespace))
                }
                Some(Kind::Deployment) => {
                    trial
                        .subjects
                        .push(subject(args, WorkloadKind::SkyDeployment, document, namespace));
                }
                Some(kind) => trial.rules.push((kind, document)),
                None => anyhow::bail!("{}: kind {named:?} is not one of ours", document.place),
            }
        }
        if trial.subjects.is_empty() {
            return Err(usage(
                "no SkyJob and no SkyDeployment is among the documents; nothing to place",
            ));
        }
        Ok(trial)
    }

    fn namespaces(&self) -> BTreeSet<String> {
        self.subjects
            .iter()
            .map(|subject| subject.namespace.clone())
            .collect()
    }

    /// Whether `held` is placed, and one of the documents is of its kind and name.
    fn has(&self, held: &Subject) -> bool {
        let named = |subject: &Subject| (subject.kind, subject.namespace.clone(), subject.name.clone());
        let placed = !held.record.placement.shares.is_empty();
        placed && self.subjects.iter().any(|subject| named(subject) == named(held))
    }

    /// Puts the documents over `fleet`, changes it as the flags say, and decides.
    fn answer(
        self,
        args: &Args,
        mut fleet: Fleet,
        bound: Vec<Subject>,
    ) -> anyhow::Result<Vec<answer::Answer>> {
        for (kind, document) in &self.rules {
            sky_convert::original::check_strictly(&document.object)
                .map_err(anyhow::Error::from)
                .and_then(|()| fleet.take(*kind, &document.object, self.namespace))
                .with_context(|| format!("failed to read {}", document.place))?;
        }
        args.without.iter().try_for_each(|name| fleet.without(name))?;
        args.cordon.iter().try_for_each(|name| fleet.cordon(name))?;
        let unreported = fleet.unreported();
        if args.offline && !unreported.is_empty() {
            fleet.remark(format!(
                "the room of {} is not known, and nothing fits there: give status.nodeShapes, or status.allocatable",
                unreported.join(", ")
            ));
        }
        for held in bound.iter().filter(|held| self.has(held)) {
            fleet.remark(format!(
                "{} is on the host already: what it holds stays held, the answer is for another one like it",
                held.reference()
            ));
        }
        let remarks = self
            .subjects
            .iter()
            .filter_map(|subject| fleet.remark_on(subject));
        for remark in fleet.remarks().into_iter().chain(remarks) {
            output::note(&format!("note: {remark}"));
        }
        let mut snapshot = fleet.snapshot(&bound);
        Ok(answer::decide(
            &args.configured.scheduler()?,
            &mut snapshot,
            self.subjects,
        ))
    }
}

/// The workload of a document. One that cannot be carried out is answered too, not an error of the command.
fn subject(args: &Args, kind: WorkloadKind, document: &Document, namespace: &str) -> Subject {
    let mut object = document.object.clone();
    if let (Some(replicas), Some(spec)) = (
        args.replicas,
        object.get_mut("spec").and_then(Value::as_object_mut),
    ) {
        spec.insert("replicas".to_owned(), json!(replicas));
    }
    // What a document says of its own past is no matter of where it would go.
    object.as_object_mut().map(|fields| fields.remove("status"));
    let text = |pointer: &str| object.pointer(pointer).and_then(Value::as_str);
    let (name, namespace) = (
        text("/metadata/name").unwrap_or_default(),
        text("/metadata/namespace").unwrap_or(namespace),
    );
    let refused = |message: String| {
        let reason = "InvalidSpec".to_owned();
        Subject::refused(kind, namespace, name, Refused { reason, message })
    };
    if name.is_empty() {
        return refused(format!("{}: metadata.name: a name is needed", document.place));
    }
    if let Err(error) = sky_convert::original::check_strictly(&object) {
        return refused(error.to_string());
    }
    let of = match kind {
        WorkloadKind::SkyJob => Kind::Job,
        WorkloadKind::SkyDeployment => Kind::Deployment,
    };
    Subject::read(of, &object, namespace).unwrap_or_else(|error| refused(error.to_string()))
}

fn print(args: &Args, answers: &[answer::Answer]) -> anyhow::Result<()> {
    let text = match args.output {
        Format::Table => answer::tables(answers, false),
        Format::Wide => answer::tables(answers, true),
        Format::Json => output::json_of(&Results { results: answers })?,
        Format::Yaml => output::yaml_of(&Results { results: answers })?,
    };
    Ok(output::print(&text)?)
}

#[derive(Serialize)]
struct Results<'a> {
    results: &'a [answer::Answer],
}

#[cfg(test)]
mod tests;
