//! What differs between versions of slurmrestd, in one place: how a job is submitted and how answers are read.
//!
//! Two dialects: that of v0.0.38 (Slurm 22.05), and that of v0.0.40 and later. A server speaks several versions; the
//! newest that we know is used. Answers are read leniently, by one reader for both: the published schemas do not say what
//! servers send.

use std::collections::BTreeMap;

use serde::{Deserialize, Deserializer};
use serde_json::{Value, json};

/// Versions that are tried, the newest first. v0.0.39 is wanted by nobody: 38 or 40 is always beside it.
pub(super) const VERSIONS: [u32; 7] = [45, 44, 43, 42, 41, 40, 38];

/// How a version is spoken to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Dialect {
    /// v0.0.38.
    Old,
    /// v0.0.40 and later.
    New,
}

/// The dialect of version v0.0.`version`.
pub(super) fn of(version: u32) -> Dialect {
    if version < 40 { Dialect::Old } else { Dialect::New }
}

/// An array to be submitted.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Submission {
    pub(super) name: String,
    pub(super) comment: String,
    pub(super) script: String,
    pub(super) environment: BTreeMap<String, String>,
    pub(super) work_dir: String,
    pub(super) output: String,
    pub(super) partition: Option<String>,
    pub(super) account: Option<String>,
    pub(super) qos: Option<String>,
    /// Minutes.
    pub(super) time_limit: Option<i64>,
    pub(super) cpus: i64,
    /// MiB for each task.
    pub(super) memory: i64,
    /// `gpu:2` or `gpu:a100:2`.
    pub(super) gres: Option<String>,
    /// Indexes of the array's tasks: `0-4`, or `3` alone.
    pub(super) array: String,
    /// Does not run before it is released.
    pub(super) hold: bool,
    /// What it writes goes behind what is there.
    pub(super) append: bool,
    /// Path of an OCI bundle.
    pub(super) container: Option<String>,
    /// `true`, `user`, `mcs` or `false`: with whom it shares nodes.
    pub(super) exclusive: Option<String>,
    pub(super) directives: BTreeMap<String, Value>,
}

impl Dialect {
    /// The body of a submit.
    pub(super) fn submit(self, job: &Submission) -> Value {
        let mut body = json!({
            "name": job.name,
            "comment": job.comment,
            "current_working_directory": job.work_dir,
            "standard_output": job.output,
            "tasks": 1,
            "cpus_per_task": job.cpus,
            "memory_per_node": job.memory,
            "nodes": "1",
            "array": job.array,
            "hold": job.hold,
        });
        let optional = [
            ("partition", job.partition.as_ref()),
            ("account", job.account.as_ref()),
            ("qos", job.qos.as_ref()),
            ("container", job.container.as_ref()),
        ];
        for (field, value) in optional {
            if let Some(value) = value {
                body[field] = json!(value);
            }
        }
        for (field, value) in &job.directives {
            body[field] = value.clone();
        }
        match self {
            Self::Old => submit_old(job, body),
            Self::New => submit_new(job, body),
        }
    }
}

fn submit_old(job: &Submission, mut body: Value) -> Value {
    if job.append {
        body["open_mode"] = json!("append");
    }
    if let Some(minutes) = job.time_limit {
        body["time_limit"] = json!(minutes);
    }
    if let Some(gres) = &job.gres {
        body["gres"] = json!(gres);
    }
    // Not what its schema says: neither true nor false is taken.
    match job.exclusive.as_deref() {
        None | Some("false") => {}
        Some("true") => body["exclusive"] = json!("exclusive"),
        Some(whom) => body["exclusive"] = json!(whom),
    }
    body["environment"] = json!(job.environment);
    json!({"script": job.script, "job": body})
}

fn submit_new(job: &Submission, mut body: Value) -> Value {
    // 22.05 reads it as true, whatever it is, even where slurm.conf has JobRequeue=0.
    body["requeue"] = json!(false);
    if job.append {
        body["open_mode"] = json!(["APPEND"]);
    }
    if let Some(minutes) = job.time_limit {
        body["time_limit"] = json!({"set": true, "infinite": false, "number": minutes});
    }
    if let Some(gres) = &job.gres {
        body["tres_per_node"] = json!(format!("gres/{gres}"));
    }
    // It is called `shared` from v0.0.40 on, and v0.0.42 has nothing else.
    match job.exclusive.as_deref() {
        None | Some("false") => {}
        Some("true") => body["shared"] = json!(["none"]),
        Some(whom) => body["shared"] = json!([whom]),
    }
    body["memory_per_node"] = json!({"set": true, "infinite": false, "number": job.memory});
    let environment = job
        .environment
        .iter()
        .map(|(name, value)| format!("{name}={value}"));
    body["environment"] = environment.collect();
    body["script"] = json!(job.script);
    json!({"job": body})
}

/// One record of `GET /jobs`: an array's tasks that wait are one, each task that has started has its own.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(default)]
pub(super) struct JobRecord {
    #[serde(deserialize_with = "number")]
    pub(super) job_id: Option<i64>,
    #[serde(deserialize_with = "number")]
    pub(super) array_job_id: Option<i64>,
    #[serde(deserialize_with = "number")]
    pub(super) array_task_id: Option<i64>,
    #[serde(deserialize_with = "text")]
    pub(super) name: String,
    #[serde(deserialize_with = "text")]
    pub(super) comment: String,
    #[serde(deserialize_with = "text")]
    pub(super) user_name: String,
    #[serde(deserialize_with = "text")]
    pub(super) cluster: String,
    #[serde(deserialize_with = "text")]
    pub(super) batch_host: String,
    #[serde(deserialize_with = "words")]
    pub(super) job_state: Vec<String>,
    #[serde(deserialize_with = "text")]
    pub(super) state_reason: String,
    #[serde(deserialize_with = "text")]
    pub(super) state_description: String,
    #[serde(deserialize_with = "exit")]
    pub(super) exit_code: Exit,
    #[serde(deserialize_with = "number")]
    pub(super) restart_cnt: Option<i64>,
    #[serde(deserialize_with = "number")]
    pub(super) priority: Option<i64>,
    #[serde(deserialize_with = "number")]
    pub(super) start_time: Option<i64>,
    /// Of one that runs: when its time limit is.
    #[serde(deserialize_with = "number")]
    pub(super) end_time: Option<i64>,
}

/// One record of `GET /nodes`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(default)]
pub(super) struct NodeRecord {
    #[serde(deserialize_with = "text")]
    pub(super) name: String,
    #[serde(deserialize_with = "words")]
    pub(super) state: Vec<String>,
    /// v0.0.38 tells flags apart from the state.
    #[serde(deserialize_with = "words")]
    pub(super) state_flags: Vec<String>,
    #[serde(deserialize_with = "number")]
    pub(super) cpus: Option<i64>,
    #[serde(deserialize_with = "number")]
    pub(super) effective_cpus: Option<i64>,
    #[serde(deserialize_with = "number")]
    pub(super) alloc_cpus: Option<i64>,
    #[serde(deserialize_with = "number")]
    pub(super) real_memory: Option<i64>,
    #[serde(deserialize_with = "number")]
    pub(super) specialized_memory: Option<i64>,
    #[serde(deserialize_with = "number")]
    pub(super) alloc_memory: Option<i64>,
    #[serde(deserialize_with = "text")]
    pub(super) gres: String,
    #[serde(deserialize_with = "text")]
    pub(super) gres_used: String,
    #[serde(deserialize_with = "words")]
    pub(super) partitions: Vec<String>,
    #[serde(deserialize_with = "text")]
    pub(super) architecture: String,
    #[serde(deserialize_with = "text")]
    pub(super) operating_system: String,
}

/// One record of `GET /partitions`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct PartitionRecord {
    pub(super) name: String,
    pub(super) up: bool,
    /// The one for jobs that name none; v0.0.42 does not tell.
    pub(super) default: bool,
}

impl<'de> Deserialize<'de> for PartitionRecord {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        let body = Value::deserialize(from)?;
        let nested = body.pointer("/partition/state");
        let states = words_of(nested.or(body.get("state")).unwrap_or(&Value::Null));
        let flags = words_of(body.get("flags").unwrap_or(&Value::Null));
        let name = body.get("name").and_then(Value::as_str).unwrap_or_default();
        Ok(Self {
            name: name.to_owned(),
            up: states == ["UP"],
            default: flags.iter().any(|flag| flag.eq_ignore_ascii_case("default")),
        })
    }
}

/// One record of accounting: as `JobRecord`, for jobs that slurmctld may have forgotten.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct AccountRecord {
    pub(super) name: String,
    pub(super) array_id: Option<i64>,
    /// `None`: all tasks that have no record of their own.
    pub(super) index: Option<u32>,
    pub(super) state: Vec<String>,
    /// v0.0.38 has no exit codes here, whatever a script ended with: always 0. Signals are told.
    pub(super) exit: Exit,
}

impl<'de> Deserialize<'de> for AccountRecord {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        let body = Value::deserialize(from)?;
        let number = |path: &str| body.pointer(path).and_then(number_of);
        let name = body.get("name").and_then(Value::as_str).unwrap_or_default();
        let array = number("/array/job_id").filter(|id| *id > 0);
        Ok(Self {
            name: name.to_owned(),
            array_id: array.or_else(|| number("/job_id")),
            index: number("/array/task_id").and_then(|index| u32::try_from(index).ok()),
            state: words_of(body.pointer("/state/current").unwrap_or(&Value::Null)),
            exit: Exit {
                code: number("/exit_code/return_code").unwrap_or(0),
                signal: number("/exit_code/signal/id")
                    .or_else(|| number("/exit_code/signal/signal_id"))
                    .unwrap_or(0),
            },
        })
    }
}

/// What accounting is asked for the jobs of `names`, which are DNS labels. v0.0.38 takes no comma as it is.
pub(super) fn accounting(version: u32, names: &[&str]) -> String {
    let names = names.join("%2C");
    format!("/slurmdb/v0.0.{version}/jobs?skip_steps=true&job_name={names}")
}

/// How a batch script ended: its exit code, or the signal that ended it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Exit {
    pub(super) code: i64,
    pub(super) signal: i64,
}

/// A plain number, null or a negative one for none, or `{set, infinite, number}`.
fn number<'de, D: Deserializer<'de>>(from: D) -> Result<Option<i64>, D::Error> {
    Ok(number_of(&Value::deserialize(from)?))
}

fn number_of(value: &Value) -> Option<i64> {
    match value {
        Value::Object(wrapper) => {
            let holds = |key: &str| wrapper.get(key).and_then(Value::as_bool).unwrap_or(false);
            let number = wrapper.get("number").and_then(Value::as_i64);
            number.filter(|_| holds("set") && !holds("infinite"))
        }
        other => other.as_i64().filter(|number| *number >= 0),
    }
}

fn text<'de, D: Deserializer<'de>>(from: D) -> Result<String, D::Error> {
    Ok(match Value::deserialize(from)? {
        Value::String(text) => text,
        _ => String::new(),
    })
}

/// One word, words with commas between, or a list of words; in capitals.
fn words<'de, D: Deserializer<'de>>(from: D) -> Result<Vec<String>, D::Error> {
    Ok(words_of(&Value::deserialize(from)?))
}

fn words_of(value: &Value) -> Vec<String> {
    let split = |text: &str| {
        let words = text.split(',').filter(|word| !word.is_empty());
        words.map(str::to_owned).collect::<Vec<_>>()
    };
    match value {
        Value::String(text) => split(text),
        Value::Array(list) => list.iter().filter_map(Value::as_str).map(str::to_owned).collect(),
        _ => Vec::new(),
    }
}

/// A wait status as of wait(2), or an object that has it taken apart.
fn exit<'de, D: Deserializer<'de>>(from: D) -> Result<Exit, D::Error> {
    let value = Value::deserialize(from)?;
    let at = |path: &str| value.pointer(path).and_then(number_of).unwrap_or(0);
    Ok(match &value {
        Value::Object(_) => Exit {
            code: at("/return_code"),
            signal: at("/signal/id"),
        },
        other => {
            let raw = other.as_i64().unwrap_or(0);
            Exit {
                code: (raw >> 8) & 0xff,
                signal: raw & 0x7f,
            }
        }
    })
}

#[cfg(test)]
mod tests;
