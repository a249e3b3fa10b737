//! Reads logs and prints their lines: one replica after the other, or with -f all at once as they come.

use futures::io::AsyncBufReadExt as _;
use futures::stream::{BoxStream, StreamExt as _, select_all};
use k8s_openapi::api::core::v1::{ContainerState, Pod};
use kube::api::{ListParams, LogParams};
use kube::{Api, ResourceExt as _};
use sky_core::marks;
use tokio::time::sleep;

use super::POLL;
use super::select::Source;
use crate::errors::{At, explain};
use crate::output;

/// How logs are read and shown.
#[derive(Clone, Debug)]
pub(super) struct Options {
    pub(super) follow: bool,
    pub(super) tail: Option<i64>,
    pub(super) container: Option<String>,
    pub(super) prefix: bool,
}

impl Options {
    pub(super) fn line(&self, label: &str, line: &str) -> String {
        if self.prefix {
            format!("[{label}] {line}")
        } else {
            line.to_owned()
        }
    }

    fn parameters(&self, pod: &Pod) -> LogParams {
        let containers = pod
            .spec
            .as_ref()
            .map(|spec| spec.containers.as_slice())
            .unwrap_or_default();
        LogParams {
            follow: self.follow,
            tail_lines: self.tail,
            container: self
                .container
                .clone()
                .or_else(|| Some(containers.first()?.name.clone())),
            ..LogParams::default()
        }
    }
}

/// Prints what is there; how many replicas had nothing.
///
/// # Errors
/// When stdout cannot be written. A replica without a log is told on stderr.
pub(super) async fn print(sources: Vec<Source>, options: &Options) -> anyhow::Result<usize> {
    let mut missing = 0;
    for source in &sources {
        let mut lines = match open(source, source.pod.as_ref(), options).await {
            Ok(lines) => lines,
            Err(reason) => {
                missing += 1;
                output::note(&told(source, &reason));
                continue;
            }
        };
        while let Some(line) = lines.next().await {
            show(source, options, line)?;
        }
    }
    Ok(missing)
}

/// Prints lines of all replicas as they come, until every one has ended; how many had nothing.
///
/// # Errors
/// When stdout cannot be written.
pub(super) async fn follow(sources: Vec<Source>, options: &Options) -> anyhow::Result<usize> {
    let streams = sources.iter().map(|source| {
        futures::stream::once(started(source, options))
            .flat_map(|lines| match lines {
                Ok(lines) => lines,
                Err(reason) => futures::stream::iter([Err(reason)]).boxed(),
            })
            .map(move |line| (source, line))
            .boxed()
    });
    let mut lines = select_all(streams);
    let mut missing = 0;
    while let Some((source, line)) = lines.next().await {
        missing += usize::from(line.is_err());
        show(source, options, line)?;
    }
    Ok(missing)
}

fn show(source: &Source, options: &Options, line: Result<String, String>) -> anyhow::Result<()> {
    match line {
        Ok(line) => output::line(&options.line(&source.which.label(), &line))?,
        Err(reason) => output::note(&told(source, &reason)),
    }
    Ok(())
}

fn told(source: &Source, reason: &str) -> String {
    format!("{}: {reason}", source.which.label())
}

type Lines = BoxStream<'static, Result<String, String>>;

/// The lines of a pod's log, or why there are none.
async fn open(source: &Source, pod: Option<&Pod>, options: &Options) -> Result<Lines, String> {
    let Some(pod) = pod else {
        let told = source.told.clone();
        return Err(told.unwrap_or_else(|| "no pod; it has not been made yet, or was removed".to_owned()));
    };
    if let Some(reason) = waiting(pod) {
        return Err(match &source.told {
            Some(told) if !told.starts_with(&reason) => format!("not started: {reason} ({told})"),
            _ => format!("not started: {reason}"),
        });
    }
    let api: Api<Pod> = Api::namespaced(source.connection.client.clone(), &source.namespace);
    let log = api.log_stream(&pod.name_any(), &options.parameters(pod)).await;
    match log {
        Ok(log) => Ok(log
            .lines()
            .map(|line| line.map_err(|error| format!("its log broke off: {error}")))
            .boxed()),
        Err(error) => Err(explain(&error, &source.connection)),
    }
}

/// As `open`, but waits until the replica has started.
async fn started(source: &Source, options: &Options) -> Result<Lines, String> {
    let mut pod = source.pod.clone();
    let mut last = None;
    loop {
        let reason = match &pod {
            Some(pod) if waiting(pod).is_none() => return open(source, Some(pod), options).await,
            Some(pod) => waiting(pod).unwrap_or_default(),
            None => "no pod yet".to_owned(),
        };
        if last.as_ref() != Some(&reason) {
            output::note(&told(source, &format!("waiting: {reason}")));
            last = Some(reason);
        }
        sleep(POLL).await;
        let api: Api<Pod> = Api::namespaced(source.connection.client.clone(), &source.namespace);
        let params = ListParams::default().labels(&format!("{}={}", marks::UID, source.uid));
        let pods = api
            .list(&params)
            .await
            .at(&source.connection, "list the workload's pods");
        let pods = pods.map_err(|error| format!("{error:#}"))?;
        pod = source.which.pod(&pods.items).cloned();
    }
}

/// Why a pod has no log yet; none when it has started.
fn waiting(pod: &Pod) -> Option<String> {
    let status = pod.status.as_ref();
    let phase = status
        .and_then(|status| status.phase.as_deref())
        .unwrap_or("Pending");
    if phase != "Pending" {
        return None;
    }
    let containers = status.and_then(|status| status.container_statuses.as_ref());
    let state = containers.and_then(|containers| containers.first()?.state.as_ref());
    let waiting = match state {
        Some(ContainerState {
            waiting: Some(waiting),
            ..
        }) => waiting.reason.clone(),
        _ => None,
    };
    let conditions = status
        .and_then(|status| status.conditions.as_ref())
        .into_iter()
        .flatten();
    let unschedulable = conditions
        .filter(|condition| condition.type_ == "PodScheduled" && condition.status == "False")
        .find_map(|condition| condition.message.clone());
    Some(waiting.or(unschedulable).unwrap_or_else(|| "Pending".to_owned()))
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn pod(status: Value) -> Pod {
        serde_json::from_value(json!({"metadata": {"name": "p"}, "status": status})).unwrap()
    }

    #[test]
    fn a_pod_that_has_not_started_says_why() {
        for (status, reason) in [
            (json!({"phase": "Running"}), None),
            (json!({"phase": "Failed"}), None),
            (json!({"phase": "Pending"}), Some("Pending")),
            (
                json!({"phase": "Pending", "containerStatuses": [{"name": "c", "image": "", "imageID": "", "ready": false,
                    "restartCount": 0, "state": {"waiting": {"reason": "ImagePullBackOff"}}}]}),
                Some("ImagePullBackOff"),
            ),
            (
                json!({"phase": "Pending", "conditions": [{"type": "PodScheduled", "status": "False",
                    "message": "0/2 nodes are available"}]}),
                Some("0/2 nodes are available"),
            ),
        ] {
            assert_eq!(waiting(&pod(status)).as_deref(), reason);
        }
    }
}
