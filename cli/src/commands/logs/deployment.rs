//! Logs of a deployment: of the pods of its shares, by cluster and name, for its replicas have no ranks; on Slurm clusters of
//! the files that its replicas write to.

use std::collections::BTreeSet;

use k8s_openapi::api::core::v1::Pod;
use kube::{Api, ResourceExt as _};
use sky_core::marks;
use sky_core::naming::share_object;
use sky_crds::{SkyCluster, SkyDeployment};

use super::select::{self, Source, Which};
use super::{Args, MOST, files, growing, stream};
use crate::client::Host;
use crate::errors::At;
use crate::{member, output};

/// Finds and prints the logs.
///
/// # Errors
/// When there is nothing to show, or a member cannot be reached.
pub(super) async fn run(host: &Host, name: &str, args: &Args) -> anyhow::Result<()> {
    let api: Api<SkyDeployment> = Api::namespaced(host.connection.client.clone(), &host.namespace);
    let deployment = api
        .get(name)
        .await
        .at(&host.connection, format!("get deployment {name}"))?;
    let clusters = clusters(&deployment, args.cluster.as_deref())?;
    let (written, with_pods) = written(host, &deployment, &clusters, args).await?;
    let (sources, unreachable) = match with_pods.is_empty() {
        true => (Vec::new(), 0),
        false => sources(host, &deployment, &with_pods, args).await?,
    };
    let found = sources.len() + written.len();
    match &args.pod {
        Some(pod) => anyhow::ensure!(
            found > 0,
            "deployment {name} has no pod {pod} on {}",
            listed(&clusters)
        ),
        None => anyhow::ensure!(
            args.all || found <= MOST,
            "deployment {name} has {found} pods; choose by --cluster or --pod, or print them by --all"
        ),
    }
    anyhow::ensure!(
        found > 0,
        "deployment {name} has no pods on {} yet",
        listed(&clusters)
    );
    let options = stream::Options {
        follow: args.follow,
        tail: args.tail,
        container: args.container.clone(),
        prefix: args.prefix || found > 1,
    };
    let pods = sources.len();
    let (files, missing) = if args.follow {
        let growing = growing::follow(host, None, written, &options);
        tokio::try_join!(growing, stream::follow(sources, &options))?
    } else {
        let files = growing::print(written, &options)?;
        (files, stream::print(sources, &options).await?)
    };
    anyhow::ensure!(
        files > 0 || missing < pods,
        "no pod of deployment {name} has logs"
    );
    anyhow::ensure!(
        unreachable == 0,
        "the logs of {unreachable} clusters of deployment {name} are missing"
    );
    Ok(())
}

/// Files of its replicas on Slurm clusters, and the other clusters. One that cannot be read is told of with these.
async fn written(
    host: &Host,
    deployment: &SkyDeployment,
    clusters: &BTreeSet<String>,
    args: &Args,
) -> anyhow::Result<(Vec<growing::File>, BTreeSet<String>)> {
    let registered: Api<SkyCluster> = Api::all(host.connection.client.clone());
    let (mut found, mut others) = (Vec::new(), BTreeSet::new());
    for name in clusters {
        let cluster = registered.get(name).await.ok();
        let Some(cluster) = cluster.filter(files::concerns) else {
            others.insert(name.clone());
            continue;
        };
        for object in objects(deployment, name) {
            match files::of_share(&cluster, &object) {
                Ok(files) => found.extend(files),
                Err(error) if clusters.len() == 1 => return Err(error),
                Err(error) => output::note(&format!("warning: {error:#}")),
            }
        }
    }
    if let Some(only) = &args.pod {
        found.retain(|file| file.label().split_once('/').is_some_and(|(_, name)| name == only));
    }
    Ok((found, others))
}

/// Names of the objects of its shares on `cluster`.
fn objects(deployment: &SkyDeployment, cluster: &str) -> BTreeSet<String> {
    let placement = deployment
        .status
        .as_ref()
        .and_then(|status| status.placement.as_ref());
    let shares = placement.into_iter().flat_map(|placement| &placement.shares);
    let uid = deployment.uid().unwrap_or_default();
    shares
        .filter(|share| share.cluster == cluster)
        .map(|share| share_object(&deployment.name_any(), &uid, "", &share.id))
        .collect()
}

/// Clusters on which it has a share, or the one of them that is asked for.
fn clusters(deployment: &SkyDeployment, only: Option<&str>) -> anyhow::Result<BTreeSet<String>> {
    let name = deployment.name_any();
    let placement = deployment
        .status
        .as_ref()
        .and_then(|status| status.placement.as_ref());
    let shares = placement.map_or(&[][..], |placement| &placement.shares);
    let mut clusters: BTreeSet<String> = shares.iter().map(|share| share.cluster.clone()).collect();
    anyhow::ensure!(
        !clusters.is_empty(),
        "deployment {name} has no replicas on any cluster; kubectl sky why deploy/{name} says why"
    );
    if let Some(only) = only {
        let placed = listed(&clusters);
        clusters.retain(|cluster| cluster == only);
        anyhow::ensure!(
            !clusters.is_empty(),
            "deployment {name} has no replicas on cluster {only}; it has on {placed}"
        );
    }
    Ok(clusters)
}

fn listed(clusters: &BTreeSet<String>) -> String {
    clusters.iter().map(String::as_str).collect::<Vec<_>>().join(", ")
}

/// Its pods on these clusters, and how many clusters cannot be reached; such a one takes only its own pods away.
async fn sources(
    host: &Host,
    deployment: &SkyDeployment,
    clusters: &BTreeSet<String>,
    args: &Args,
) -> anyhow::Result<(Vec<Source>, usize)> {
    let registered: Api<SkyCluster> = Api::all(host.connection.client.clone());
    let uid = deployment.uid().unwrap_or_default();
    let counts = deployment
        .status
        .as_ref()
        .map_or(&[][..], |status| &status.clusters);
    let (mut sources, mut failures) = (Vec::new(), Vec::new());
    for name in clusters {
        let cluster = registered
            .get(name)
            .await
            .at(&host.connection, format!("get cluster {name}"));
        let pods = match cluster {
            Ok(cluster) => {
                member::pods(host, &args.operator_namespace, &cluster, &host.namespace, &uid).await
            }
            Err(error) => Err(error),
        };
        let pods = match pods {
            Ok(pods) => pods,
            Err(error) => {
                failures.push(format!("{error:#}"));
                continue;
            }
        };
        let wanted = placed(deployment, name, &pods.pods).into_iter();
        let wanted = wanted.filter(|pod| args.pod.as_ref().is_none_or(|only| pod.name_any() == *only));
        sources.extend(wanted.map(|pod| Source {
            which: Which::Pod {
                name: pod.name_any(),
                cluster: name.clone(),
            },
            connection: pods.connection.clone(),
            namespace: host.namespace.clone(),
            uid: uid.clone(),
            pod: Some(pod.clone()),
            told: select::cluster_reason(counts, name),
        }));
    }
    if failures.len() == clusters.len() {
        anyhow::bail!("{}", failures.join("; "));
    }
    failures
        .iter()
        .for_each(|failure| output::note(&format!("warning: {failure}")));
    Ok((sources, failures.len()))
}

/// Pods of the shares that are placed on `cluster`, by name.
fn placed<'p>(deployment: &SkyDeployment, cluster: &str, pods: &'p [Pod]) -> Vec<&'p Pod> {
    let objects = objects(deployment, cluster);
    let of_share = |pod: &&Pod| {
        let object = pod.labels().get(marks::SHARE);
        object.is_some_and(|object| objects.contains(object))
    };
    let mut found: Vec<&Pod> = pods.iter().filter(of_share).collect();
    found.sort_by_key(|pod| pod.name_any());
    found
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn deployment() -> SkyDeployment {
        let object = json!({"apiVersion": "skymanager.io/v1alpha1", "kind": "SkyDeployment",
            "metadata": {"name": "web", "namespace": "dev", "uid": "u"}, "spec": {"replicas": 2},
            "status": {"placement": {"revision": 2, "shares": [
                {"id": "1-0", "cluster": "a", "replicas": 1, "attempt": 1},
                {"id": "2-0", "cluster": "b", "replicas": 1, "attempt": 1}]}}});
        serde_json::from_value(object).unwrap()
    }

    fn pod(name: &str, share: &str) -> Pod {
        let labels = json!({(marks::SHARE): share_object("web", "u", "", share)});
        serde_json::from_value(json!({"metadata": {"name": name, "labels": labels}})).unwrap()
    }

    #[test]
    fn only_pods_of_shares_that_are_placed_there_are_shown() {
        let pods = [pod("new-2", "2-0"), pod("left", "1-1"), pod("new-1", "2-0")];
        let names: Vec<String> = placed(&deployment(), "b", &pods)
            .iter()
            .map(|pod| pod.name_any())
            .collect();
        assert_eq!(names, ["new-1", "new-2"]);
    }

    #[test]
    fn a_cluster_without_replicas_of_it_is_an_error_that_says_where_there_are_some() {
        assert_eq!(listed(&clusters(&deployment(), None).unwrap()), "a, b");
        assert_eq!(listed(&clusters(&deployment(), Some("b")).unwrap()), "b");
        let error = clusters(&deployment(), Some("c")).unwrap_err().to_string();
        assert_eq!(
            error,
            "deployment web has no replicas on cluster c; it has on a, b"
        );
    }
}
