//! The reconcilers as kube's controllers run them: what each watches, how many objects at once, and who else calls it.
//! Started by `run`.

use std::future::Future;
use std::sync::Arc;

use futures::{Stream, StreamExt, future};
use k8s_openapi::api::core::v1::Secret;
use kube::core::DeserializeGuard;
use kube::runtime::controller::{Config, Controller};
use kube::runtime::reflector::ObjectRef;
use kube::runtime::watcher;
use kube::{Api, Client, ResourceExt};
use sky_crds::{FilterPolicy, SkyCluster, SkyDeployment, SkyJob, SkyNamespace, names};
use tokio::sync::mpsc::UnboundedReceiver;
use tokio_util::sync::CancellationToken;

use crate::{cluster, deployment, job, metrics, namespace, policy};

fn calls<K: 'static>(called: UnboundedReceiver<K>) -> impl Stream<Item = K> {
    futures::stream::unfold(called, |mut called| async move {
        called.recv().await.map(|call| (call, called))
    })
}

/// Any number of SkyJobs at once: those of a member that hangs would else use up the places of the others. Writes to
/// the host are bounded by the job context, calls to a member by the member.
pub fn jobs(
    client: &Client,
    called: UnboundedReceiver<ObjectRef<SkyJob>>,
    context: job::Context,
    stop: CancellationToken,
) -> impl Future<Output = ()> + use<> {
    let api: Api<DeserializeGuard<SkyJob>> = Api::all(client.clone());
    let called = calls(called)
        .map(|job| ObjectRef::new(&job.name).within(job.namespace.as_deref().unwrap_or_default()));
    Controller::new(api, watcher::Config::default())
        .reconcile_on(called)
        .graceful_shutdown_on(stop.cancelled_owned())
        .run(
            |object, context| metrics::reconciled("skyjob", job::reconcile(object, context)),
            job::retry,
            Arc::new(context),
        )
        .for_each(|_| future::ready(()))
}

/// Any number at once, as SkyJobs.
pub fn deployments(
    client: &Client,
    called: UnboundedReceiver<ObjectRef<SkyDeployment>>,
    context: deployment::Context,
    stop: CancellationToken,
) -> impl Future<Output = ()> + use<> {
    let api: Api<DeserializeGuard<SkyDeployment>> = Api::all(client.clone());
    let called = calls(called)
        .map(|one| ObjectRef::new(&one.name).within(one.namespace.as_deref().unwrap_or_default()));
    Controller::new(api, watcher::Config::default())
        .reconcile_on(called)
        .graceful_shutdown_on(stop.cancelled_owned())
        .run(
            |object, context| metrics::reconciled("skydeployment", deployment::reconcile(object, context)),
            deployment::retry,
            Arc::new(context),
        )
        .for_each(|_| future::ready(()))
}

pub fn clusters(
    client: &Client,
    namespace: &str,
    called: UnboundedReceiver<ObjectRef<DeserializeGuard<SkyCluster>>>,
    context: cluster::Context,
    stop: CancellationToken,
) -> impl Future<Output = ()> + use<> {
    let api: Api<DeserializeGuard<SkyCluster>> = Api::all(client.clone());
    let secrets: Api<Secret> = Api::namespaced(client.clone(), namespace);
    let labelled = watcher::Config::default().labels(names::SECRET_MEMBER_LABEL);
    Controller::new(api, watcher::Config::default())
        .watches(secrets, labelled, |secret: Secret| {
            let member = secret.labels().get(names::SECRET_MEMBER_LABEL).cloned();
            member.map(|name| ObjectRef::new(&name))
        })
        .with_config(Config::default().concurrency(16))
        .reconcile_on(calls(called))
        .graceful_shutdown_on(stop.cancelled_owned())
        .run(
            |object, context| metrics::reconciled("skycluster", cluster::reconcile(object, context)),
            cluster::retry,
            Arc::new(context),
        )
        .for_each(|_| future::ready(()))
}

pub fn namespaces(
    client: &Client,
    called: UnboundedReceiver<ObjectRef<DeserializeGuard<SkyNamespace>>>,
    context: namespace::Context,
    stop: CancellationToken,
) -> impl Future<Output = ()> + use<> {
    let api: Api<DeserializeGuard<SkyNamespace>> = Api::all(client.clone());
    Controller::new(api, watcher::Config::default())
        .with_config(Config::default().concurrency(16))
        .reconcile_on(calls(called))
        .graceful_shutdown_on(stop.cancelled_owned())
        .run(
            |object, context| metrics::reconciled("skynamespace", namespace::reconcile(object, context)),
            namespace::retry,
            Arc::new(context),
        )
        .for_each(|_| future::ready(()))
}

pub fn policies(
    client: &Client,
    context: policy::Context,
    stop: CancellationToken,
) -> impl Future<Output = ()> + use<> {
    let api: Api<DeserializeGuard<FilterPolicy>> = Api::all(client.clone());
    let every: Api<SkyCluster> = Api::all(client.clone());
    let controller = Controller::new(api, watcher::Config::default());
    let policies = controller.store();
    // A cluster that comes or goes changes which names are unknown.
    let all = move |_: SkyCluster| -> Vec<ObjectRef<DeserializeGuard<FilterPolicy>>> {
        policies
            .state()
            .iter()
            .map(|policy| ObjectRef::from_obj(policy.as_ref()))
            .collect()
    };
    controller
        .watches(every, watcher::Config::default(), all)
        .with_config(Config::default().concurrency(4))
        .graceful_shutdown_on(stop.cancelled_owned())
        .run(
            |object, context| metrics::reconciled("filterpolicy", policy::reconcile(object, context)),
            policy::retry,
            Arc::new(context),
        )
        .for_each(|_| future::ready(()))
}
