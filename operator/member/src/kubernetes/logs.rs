//! Output of one replica of a Kubernetes share.

use bytes::Bytes;
use futures::StreamExt;
use futures::io::AsyncReadExt;
use futures::stream::{self, BoxStream};
use k8s_openapi::api::core::v1::Pod;
use kube::api::{ListParams, LogParams};
use kube::{Api, Client, ResourceExt};
use sky_core::marks;

use super::errors::classify;
use crate::{Class, LogQuery, MemberError};

/// Opens the output of the newest pod of the replica that `query` names.
pub(super) async fn open(
    client: &Client,
    query: LogQuery,
) -> Result<BoxStream<'static, Result<Bytes, MemberError>>, MemberError> {
    let pods: Api<Pod> = Api::namespaced(client.clone(), &query.key.namespace);
    let index = format!("batch.kubernetes.io/job-completion-index={}", query.index);
    let selector = ListParams::default().labels(&format!("{}={},{index}", marks::SHARE, query.key.object));
    let list = pods.list(&selector).await.map_err(|error| classify(&error))?;
    let newest = list
        .items
        .into_iter()
        .max_by_key(|pod| pod.metadata.creation_timestamp.clone());
    // For a pod that is on no node the API server answers with empty output, not with an error.
    let on_node = |pod: &Pod| pod.spec.as_ref().is_some_and(|spec| spec.node_name.is_some());
    let no_output = || {
        let words = format!(
            "no output of {} with index {} on the member: not started, or removed",
            query.key.object, query.index
        );
        MemberError::new(Class::Rejected, words)
    };
    let pod = newest.filter(on_node).ok_or_else(no_output)?;
    let params = LogParams {
        follow: query.follow,
        tail_lines: query.tail,
        ..LogParams::default()
    };
    let output = pods
        .log_stream(&pod.name_any(), &params)
        .await
        .map_err(|error| match error {
            kube::Error::Api(status) if status.code == 404 => no_output(),
            error => classify(&error),
        })?;
    let chunks = stream::unfold(Some(Box::pin(output)), |output| async move {
        let mut output = output?;
        let mut chunk = vec![0_u8; 16 * 1024];
        match output.read(&mut chunk).await {
            Ok(0) => None,
            Ok(length) => {
                chunk.truncate(length);
                Some((Ok(Bytes::from(chunk)), Some(output)))
            }
            Err(error) => Some((Err(MemberError::new(Class::Unreachable, error.to_string())), None)),
        }
    });
    Ok(chunks.boxed())
}
