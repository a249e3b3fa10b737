//! A typed client of slurmrestd: finds the version served, and makes the few calls that a member needs. Fed by `http`,
//! read through `dialect`; the rest of `slurm/` sees no version.

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use http::{Method, StatusCode};
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

use super::dialect::{
    self, AccountRecord, Dialect, JobRecord, NodeRecord, PartitionRecord, Submission, VERSIONS,
};
use super::errors::{self, ALREADY_DONE, INVALID_JOB, NOTHING_FOUND, UNSPECIFIED, complaints, judge};
use super::http::{Answer, Http, Repeat};
use crate::{Class, MemberError};

/// The longest wait for a ping that is to tell a bad token from a silent slurmctld.
const PING: Duration = Duration::from_secs(3);

/// The longest wait for accounting: a slurmdbd that hangs makes slurmrestd wait for longer than a look may take.
const ACCOUNTING: Duration = Duration::from_secs(4);

/// A server, and the version that it is spoken to in.
#[derive(Debug)]
pub(super) struct Client {
    http: Http,
    version: Mutex<Option<u32>>,
}

/// Who answered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Greeting {
    /// `22.05.8`.
    pub(super) release: String,
    /// ClusterName, where the version tells it.
    pub(super) cluster: Option<String>,
}

/// What became of a change or a cancellation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Changed {
    Done,
    /// It is over already.
    Over,
    /// There is no such job.
    Gone,
}

#[derive(Deserialize)]
struct Jobs {
    jobs: Vec<JobRecord>,
}

#[derive(Deserialize)]
struct Accounts {
    jobs: Vec<AccountRecord>,
}

#[derive(Deserialize)]
struct Nodes {
    nodes: Vec<NodeRecord>,
}

#[derive(Deserialize)]
struct Partitions {
    partitions: Vec<PartitionRecord>,
}

impl Client {
    pub(super) fn new(http: Http) -> Self {
        Self {
            http,
            version: Mutex::default(),
        }
    }

    pub(super) fn http(&self) -> &Http {
        &self.http
    }

    fn known(&self) -> Option<u32> {
        *self.version.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn learn(&self, version: Option<u32>) {
        *self.version.lock().unwrap_or_else(PoisonError::into_inner) = version;
    }

    /// The newest version that the server has and we know. Asked once, and again when a call finds it gone.
    async fn version(&self) -> Result<u32, MemberError> {
        if let Some(version) = self.known() {
            return Ok(version);
        }
        for version in VERSIONS {
            let path = format!("/slurm/v0.0.{version}/ping");
            let answer = self.http.send(Method::GET, &path, None, Repeat::Harmless).await?;
            match answer.status {
                StatusCode::NOT_FOUND => {}
                StatusCode::UNAUTHORIZED => return Err(refuse(&answer)),
                status if status.is_redirection() => return Err(refuse(&answer)),
                _ => {
                    self.learn(Some(version));
                    return Ok(version);
                }
            }
        }
        let words = format!(
            "it serves none of the versions v0.0.{} to v0.0.{}: is it slurmrestd?",
            VERSIONS[VERSIONS.len() - 1],
            VERSIONS[0]
        );
        Err(MemberError::new(Class::Unreachable, words))
    }

    /// One call below the version's path, read as JSON.
    async fn call(
        &self,
        method: Method,
        path: &str,
        repeat: Repeat,
        body: impl FnOnce(Dialect) -> Option<Value>,
    ) -> Result<(StatusCode, Value), MemberError> {
        let version = self.version().await?;
        let body = body(dialect::of(version)).map(|body| body.to_string().into_bytes());
        let full = format!("/slurm/v0.0.{version}/{path}");
        let answer = self.http.send(method, &full, body, repeat).await?;
        let read = serde_json::from_slice::<Value>(&answer.body);
        if answer.status == StatusCode::NOT_FOUND && read.is_err() {
            // slurmrestd was replaced by one of another version.
            self.learn(None);
        }
        match read {
            Ok(body) => Ok((answer.status, body)),
            Err(_) => Err(refuse(&answer)),
        }
    }

    async fn list<T: DeserializeOwned>(&self, path: &str) -> Result<T, MemberError> {
        let version = self.version().await?;
        let full = format!("/slurm/v0.0.{version}/{path}");
        let answer = self.http.send(Method::GET, &full, None, Repeat::Harmless).await?;
        if answer.status == StatusCode::OK
            && let Ok(list) = serde_json::from_slice::<T>(&answer.body)
            && let Ok(Errors { errors }) = serde_json::from_slice::<Errors>(&answer.body)
            && errors.iter().all(|error| errors::complaint(error).code == 0)
        {
            return Ok(list);
        }
        let Ok(body) = serde_json::from_slice::<Value>(&answer.body) else {
            if answer.status == StatusCode::NOT_FOUND {
                self.learn(None);
            }
            return Err(refuse(&answer));
        };
        Err(self.wrong(answer.status, &body).await)
    }

    /// The error that an answer is, which is not as expected.
    async fn wrong(&self, status: StatusCode, body: &Value) -> MemberError {
        let found = complaints(body);
        if found.iter().any(|complaint| complaint.code == UNSPECIFIED) {
            return self.unspecified().await;
        }
        let strange = || MemberError::new(Class::Unreachable, "slurmrestd answers with something else");
        judge(status, &found, "").unwrap_or_else(strange)
    }

    /// 22.05 says the same of a token that is not accepted and of a slurmctld that does not answer. A ping is refused in
    /// the first case, and at once.
    async fn unspecified(&self) -> MemberError {
        let silent = MemberError::new(Class::Unreachable, "slurmctld does not answer slurmrestd");
        let Some(version) = self.known() else {
            return silent;
        };
        let path = format!("/slurm/v0.0.{version}/ping");
        let ping =
            tokio::time::timeout(PING, self.http.send(Method::GET, &path, None, Repeat::Harmless)).await;
        match ping {
            Ok(Ok(answer)) if answer.status == StatusCode::INTERNAL_SERVER_ERROR => MemberError::new(
                Class::Unauthorized,
                "the token is not accepted: expired, of another cluster or of another user (Slurm: Unspecified error)",
            ),
            _ => silent,
        }
    }

    /// Asks who is there.
    pub(super) async fn greet(&self) -> Result<Greeting, MemberError> {
        let (status, body) = self.call(Method::GET, "ping", Repeat::Harmless, |_| None).await?;
        if !status.is_success() {
            return Err(self.wrong(status, &body).await);
        }
        let slurm = body.pointer("/meta/slurm").or(body.pointer("/meta/Slurm"));
        let text = |path: &str| {
            let found = slurm
                .and_then(|slurm| slurm.pointer(path))
                .and_then(Value::as_str);
            found.filter(|text| !text.is_empty()).map(str::to_owned)
        };
        Ok(Greeting {
            release: text("/release").unwrap_or_else(|| "unknown".into()),
            cluster: text("/cluster"),
        })
    }

    /// Name of the version that is spoken, such as `v0.0.38`.
    pub(super) async fn spoken(&self) -> Result<String, MemberError> {
        Ok(format!("v0.0.{}", self.version().await?))
    }

    /// Every job that the user may see.
    pub(super) async fn jobs(&self) -> Result<Vec<JobRecord>, MemberError> {
        Ok(self.list::<Jobs>("jobs").await?.jobs)
    }

    pub(super) async fn nodes(&self) -> Result<Vec<NodeRecord>, MemberError> {
        Ok(self.list::<Nodes>("nodes").await?.nodes)
    }

    pub(super) async fn partitions(&self) -> Result<Vec<PartitionRecord>, MemberError> {
        Ok(self.list::<Partitions>("partitions").await?.partitions)
    }

    /// What accounting knows of the jobs of `names`; `None`: the server has no accounting.
    ///
    /// # Errors
    /// When it is not clear: what is not found is an empty list.
    pub(super) async fn accounts(&self, names: &[&str]) -> Result<Option<Vec<AccountRecord>>, MemberError> {
        let path = dialect::accounting(self.version().await?, names);
        let asked = self.http.send(Method::GET, &path, None, Repeat::Harmless);
        let silent = |_| {
            let words = format!("slurmdbd does not answer within {} s", ACCOUNTING.as_secs());
            MemberError::new(Class::Unreachable, words)
        };
        let answer = tokio::time::timeout(ACCOUNTING, asked).await.map_err(silent)??;
        let Ok(body) = serde_json::from_slice::<Value>(&answer.body) else {
            return match answer.status {
                StatusCode::NOT_FOUND => Ok(None),
                _ => Err(refuse(&answer)),
            };
        };
        let found = complaints(&body);
        let mut codes = found
            .iter()
            .map(|complaint| complaint.code)
            .filter(|code| *code != 0);
        if codes.next() == Some(NOTHING_FOUND) && codes.next().is_none() {
            return Ok(Some(Vec::new()));
        }
        // 22.05 says 200 whatever is wrong.
        if let Some(error) = judge(answer.status, &found, "") {
            return Err(error);
        }
        let list = serde_json::from_value::<Accounts>(body);
        let strange = |_| MemberError::new(Class::Unreachable, "accounting answers with something else");
        list.map(|list| Some(list.jobs)).map_err(strange)
    }

    /// Submits an array. Its id.
    ///
    /// # Errors
    /// `Unreachable` when it may have been accepted all the same.
    pub(super) async fn submit(&self, job: &Submission) -> Result<i64, MemberError> {
        let (status, body) = self
            .call(Method::POST, "job/submit", Repeat::Never, |dialect| {
                Some(dialect.submit(job))
            })
            .await?;
        // An id means accepted, whatever is said besides: that it is held is said as an error.
        match body.get("job_id").and_then(Value::as_i64) {
            Some(id) if id > 0 => {
                if let Some(warnings) = body.get("warnings").filter(|_| status.is_success()) {
                    tracing::debug!(%warnings, job = job.name, "slurmrestd warns of a submit");
                }
                Ok(id)
            }
            _ => Err(self.wrong(status, &body).await),
        }
    }

    /// Changes an array as a whole: its comment, and whether it is held.
    pub(super) async fn change(
        &self,
        id: i64,
        comment: &str,
        hold: Option<bool>,
    ) -> Result<Changed, MemberError> {
        let mut body = json!({"comment": comment});
        if let Some(hold) = hold {
            body["hold"] = json!(hold);
        }
        let answer = self
            .call(Method::POST, &format!("job/{id}"), Repeat::Harmless, |_| {
                Some(body)
            })
            .await?;
        self.changed(answer).await
    }

    /// Cancels what of an array is not over.
    pub(super) async fn cancel(&self, id: i64) -> Result<Changed, MemberError> {
        let answer = self
            .call(Method::DELETE, &format!("job/{id}"), Repeat::Harmless, |_| None)
            .await?;
        self.changed(answer).await
    }

    async fn changed(&self, (status, body): (StatusCode, Value)) -> Result<Changed, MemberError> {
        // Newer versions say what became of each job beside an empty list of errors.
        let each = body.get("status").and_then(Value::as_array);
        let each = each.into_iter().flatten().filter_map(|one| one.get("error"));
        let nested: Vec<i64> = each
            .map(|error| errors::complaint(&code_of(error)).code)
            .collect();
        let found = complaints(&body);
        let mut codes = found.iter().map(|complaint| complaint.code).chain(nested);
        match codes.find(|code| *code != 0) {
            None if status.is_success() => Ok(Changed::Done),
            Some(INVALID_JOB) => Ok(Changed::Gone),
            Some(code) if ALREADY_DONE.contains(&code) => Ok(Changed::Over),
            _ => Err(self.wrong(status, &body).await),
        }
    }
}

#[derive(Deserialize)]
struct Errors {
    #[serde(default)]
    errors: Vec<Value>,
}

/// The inner error of newer versions has its number under `code`.
fn code_of(error: &Value) -> Value {
    json!({"error_number": error.get("code").and_then(Value::as_i64).unwrap_or(0)})
}

/// An answer that is no JSON.
fn refuse(answer: &Answer) -> MemberError {
    let text = String::from_utf8_lossy(&answer.body);
    if answer.status.is_redirection() {
        let words = "it answers with a redirect, which is not followed: give the endpoint itself";
        return MemberError::new(Class::Unreachable, words);
    }
    let strange = || {
        MemberError::new(
            Class::Unreachable,
            "it does not answer in JSON: is it slurmrestd?",
        )
    };
    judge(answer.status, &[], &text).unwrap_or_else(strange)
}

#[cfg(test)]
mod tests;
