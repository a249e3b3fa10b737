//! Makes the submission of a share. Pure; sent by `dispatch`.
//!
//! No shell text is made of what a user wrote: the batch script is always the same, a user's script and words are values
//! of its environment.

use std::collections::BTreeMap;

use serde_json::{Value, json};
use sky_core::share::{Container, Entry, EnvValue, Program, Retry, Share, SlurmOptions};
use sky_core::workload::Kind;

use super::dialect::Submission;
use super::{Access, Runtime};
use crate::{Class, MemberError};

/// The batch script of every job.
const WRAPPER: &str = include_str!("wrapper.sh");

/// Where a job without a directory of its own works: every node has it.
const NOWHERE: &str = "/tmp";

/// What a job finds where nothing else is said: slurmd gives it no more than the environment that was submitted.
const PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/// Bytes of one value that Linux hands to a program, less its name.
const LONGEST_VALUE: usize = 128 * 1024 - 300;

/// Bytes of the whole environment: a quarter of the smallest stack in use, less what slurmd adds.
const LONGEST_ENVIRONMENT: usize = 1 << 20;

fn refused(words: impl Into<String>) -> MemberError {
    MemberError::new(Class::Rejected, words)
}

/// The array of `share` on the cluster of `access`, with this comment: held, and of all its replicas.
pub(super) fn of(share: &Share, access: &Access, comment: String) -> Result<Submission, MemberError> {
    let array = format!("0-{}", share.replicas.saturating_sub(1).max(0));
    Ok(Submission {
        array,
        hold: true,
        ..made(share, access, comment)?
    })
}

/// The replica of a SkyDeployment's `share` in this slot: it runs as soon as there is room.
pub(super) fn of_slot(
    share: &Share,
    slot: u32,
    access: &Access,
    comment: String,
) -> Result<Submission, MemberError> {
    Ok(Submission {
        array: slot.to_string(),
        append: true,
        ..made(share, access, comment)?
    })
}

fn made(share: &Share, access: &Access, comment: String) -> Result<Submission, MemberError> {
    let Program::Container(container) = &share.program else {
        return Err(refused("a pod template cannot run on Slurm"));
    };
    let options = container.slurm.as_deref().cloned().unwrap_or_default();
    let most = access.max_array_size.max(1);
    if share.replicas > most {
        return Err(refused(format!(
            "{} replicas are more than an array may have there ({most}); raise MaxArraySize in slurm.conf and \
             spec.slurm.maxArraySize",
            share.replicas
        )));
    }
    let (words, container_path) = words(container, access)?;
    let mut environment = environment(share, container, words)?;
    if share.key.kind == Kind::SkyJob {
        environment.insert("SKY_SLURM_MARK".into(), mark(access, &share.key.object));
    }
    let own = |option: &Option<String>, default: &Option<String>| option.clone().or_else(|| default.clone());
    let submission = Submission {
        name: share.key.object.clone(),
        comment,
        script: WRAPPER.to_owned(),
        environment,
        work_dir: own(&options.work_dir, &access.work_dir).unwrap_or_else(|| NOWHERE.into()),
        output: output(access, &share.key.object),
        partition: own(&options.partition, &access.partition),
        account: own(&options.account, &access.account),
        qos: own(&options.qos, &access.qos),
        time_limit: options.time_limit,
        cpus: up(share.requests.cpu, 1000),
        memory: up(share.requests.memory, 1 << 20),
        gres: gres(share)?,
        container: container_path,
        exclusive: options.directives.get("exclusive").cloned(),
        directives: directives(&options)?,
        ..Submission::default()
    };
    check(&submission)?;
    Ok(submission)
}

/// The file that the replica of index `%a` writes to.
pub(super) fn output(access: &Access, object: &str) -> String {
    format!("{}/{object}-%a.out", output_dir(access).trim_end_matches('/'))
}

/// What the names of marks begin with, which replicas leave beside their output when they start.
pub(super) fn mark(access: &Access, object: &str) -> String {
    format!("{}/.{object}", output_dir(access).trim_end_matches('/'))
}

pub(super) fn output_dir(access: &Access) -> &str {
    let given = access.logs.as_deref().or(access.work_dir.as_deref());
    given.unwrap_or(NOWHERE)
}

/// An array that runs nothing, should it ever be released, and takes a name.
pub(super) fn inert(name: &str, access: &Access, comment: String) -> Submission {
    Submission {
        name: name.to_owned(),
        comment,
        script: "#!/bin/sh\nexit 0\n".into(),
        environment: BTreeMap::from([("PATH".to_owned(), PATH.to_owned())]),
        work_dir: NOWHERE.into(),
        output: "/dev/null".into(),
        partition: access.partition.clone(),
        account: access.account.clone(),
        qos: access.qos.clone(),
        cpus: 1,
        memory: 1,
        array: "0".into(),
        hold: true,
        ..Submission::default()
    }
}

/// Whole units, at least one.
fn up(amount: i64, unit: i64) -> i64 {
    amount.max(0).saturating_add(unit - 1).max(unit) / unit
}

fn gres(share: &Share) -> Result<Option<String>, MemberError> {
    let explicit = share.requests.extended.iter().filter(|(_, amount)| **amount > 0);
    let mut asked: Vec<(String, i64)> = explicit.map(|(name, amount)| (name.clone(), *amount)).collect();
    if let Some(accelerator) = &share.accelerator {
        let model = accelerator.models.first();
        let name = model.map_or_else(|| accelerator.resource.clone(), |model| format!("gpu:{model}"));
        asked.push((name, accelerator.count));
    }
    if let Some((name, _)) = asked
        .iter()
        .find(|(name, _)| name != "gpu" && !name.starts_with("gpu:"))
    {
        return Err(refused(format!("resources.{name}: Slurm members have gpu only")));
    }
    let each = asked.iter().map(|(name, amount)| format!("{name}:{amount}"));
    let text = each.collect::<Vec<_>>().join(",");
    Ok((!text.is_empty()).then_some(text))
}

/// What is executed, word by word, and the bundle for Slurm's own container runtime.
fn words(container: &Container, access: &Access) -> Result<(Vec<String>, Option<String>), MemberError> {
    let own = match &container.entry {
        Entry::Script(script) => vec!["/bin/sh".to_owned(), "-c".to_owned(), script.clone()],
        Entry::Command { command, args } => command.iter().chain(args).cloned().collect(),
    };
    let image = access.images.get(&container.image);
    let has_entry = !matches!(&container.entry, Entry::Command { command, .. } if command.is_empty());
    let missing = || {
        let words = format!(
            "image {:?} is not in spec.slurm.imageMap of the SkyCluster",
            container.image
        );
        refused(words)
    };
    if !has_entry && access.runtime != Runtime::Apptainer {
        return Err(refused(
            "give run or command: an image's own entry point is not known there",
        ));
    }
    match access.runtime {
        Runtime::None if !container.no_image => Err(refused(
            "spec.image cannot run there: the cluster has no container runtime (spec.slurm.containerRuntime)",
        )),
        Runtime::None if container.slurm.is_none() => Err(refused(
            "the cluster runs scripts on its own system; allow it by spec.slurm: {}",
        )),
        Runtime::None => Ok((own, None)),
        Runtime::Oci => Ok((own, Some(image.ok_or_else(missing)?.clone()))),
        Runtime::Apptainer => {
            let image = image.cloned();
            let image = image.unwrap_or_else(|| format!("docker://{}", container.image));
            let verb = if has_entry { "exec" } else { "run" };
            let first = ["apptainer".to_owned(), verb.to_owned(), image];
            Ok((first.into_iter().chain(own).collect(), None))
        }
        Runtime::Pyxis => {
            let image = image.unwrap_or(&container.image);
            let first = [
                "srun".to_owned(),
                format!("--container-image={image}"),
                "--".to_owned(),
            ];
            Ok((first.into_iter().chain(own).collect(), None))
        }
    }
}

/// What a replica sees, what the wrapper reads, and what the user gave.
fn environment(
    share: &Share,
    container: &Container,
    words: Vec<String>,
) -> Result<BTreeMap<String, String>, MemberError> {
    let mut all = BTreeMap::from([("PATH".to_owned(), PATH.to_owned())]);
    for (name, value) in &container.env {
        let EnvValue::Literal(value) = value else {
            return Err(refused(format!("env {name}: valueFrom has no meaning on Slurm")));
        };
        if ["SLURM_", "SKY_"].iter().any(|prefix| name.starts_with(prefix)) || name.contains('=') {
            return Err(refused(format!(
                "env {name}: the name is taken by Slurm or Sky Manager"
            )));
        }
        all.insert(name.clone(), value.clone());
    }
    let ranks: Vec<String> = share.ranks.iter().map(|rank| rank.to_string()).collect();
    let (Retry::Replace(retries) | Retry::Restart(retries)) = share.retry;
    let mut ours = vec![
        ("SKY_CLUSTER", share.cluster.clone()),
        ("SKY_SLURM_WORDS", words.len().to_string()),
    ];
    ours.extend(match share.key.kind {
        Kind::SkyJob => vec![
            ("SKY_JOB", share.stamp.name.clone()),
            ("SKY_REPLICAS", share.total_replicas.to_string()),
            ("SKY_RANKS", ranks.join(",")),
            ("SKY_SLURM_RETRIES", retries.max(0).to_string()),
        ],
        Kind::SkyDeployment => vec![("SKY_DEPLOYMENT", share.stamp.name.clone())],
    });
    all.extend(ours.into_iter().map(|(name, value)| (name.to_owned(), value)));
    for (index, word) in words.into_iter().enumerate() {
        all.insert(format!("SKY_SLURM_WORD_{index}"), word);
    }
    Ok(all)
}

fn directives(options: &SlurmOptions) -> Result<BTreeMap<String, Value>, MemberError> {
    let mut all = BTreeMap::new();
    for (name, value) in &options.directives {
        let value = match name.as_str() {
            "constraints" | "dependency" | "reservation" | "wckey" => json!(value),
            // Its name and form differ between versions.
            "exclusive" => continue,
            "nice" => {
                let number = value.parse::<i64>();
                json!(number.map_err(|_| refused("spec.slurm.directives.nice: must be a number"))?)
            }
            other => {
                return Err(refused(format!("spec.slurm.directives.{other} is not supported")));
            }
        };
        all.insert(name.clone(), value);
    }
    Ok(all)
}

/// What would be cut, or end the text early, on its way to the node.
fn check(job: &Submission) -> Result<(), MemberError> {
    let fields = [
        Some(&job.work_dir),
        Some(&job.output),
        job.partition.as_ref(),
        job.account.as_ref(),
    ];
    let fields = fields
        .into_iter()
        .chain([job.qos.as_ref(), job.container.as_ref()]);
    let directives = job.directives.values().filter_map(Value::as_str);
    let lines = fields.flatten().map(String::as_str).chain(directives);
    for line in lines {
        if line.contains(['\0', '\n', '\r']) {
            return Err(refused(format!(
                "{line:?}: a name or path on Slurm has no line break and no NUL"
            )));
        }
    }
    let mut total = 0;
    for (name, value) in &job.environment {
        if name.contains('\0') || value.contains('\0') {
            return Err(refused(format!("{}: a NUL cannot be handed over", field(name))));
        }
        if value.len() > LONGEST_VALUE {
            let words = format!(
                "{}: {} bytes are more than a program can be given",
                field(name),
                value.len()
            );
            return Err(refused(words));
        }
        total += name.len() + value.len() + 2;
    }
    if total > LONGEST_ENVIRONMENT {
        return Err(refused(format!(
            "run, command, args and env have {total} bytes, more than a program can be given ({LONGEST_ENVIRONMENT})"
        )));
    }
    Ok(())
}

/// What a user calls a variable of ours.
fn field(name: &str) -> String {
    if name.starts_with("SKY_SLURM_WORD") {
        "run, command or args".into()
    } else {
        format!("env {name:?}")
    }
}

#[cfg(test)]
mod tests;
