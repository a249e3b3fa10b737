//! The five kinds as arguments name them: singular, plural, short, with and without "sky". Read by get and delete.

use clap::ValueEnum;
use kube::api::ApiResource;
use kube::core::DynamicObject;
use kube::{Api, Client, Resource};
use sky_crds::{FilterPolicy, SkyCluster, SkyDeployment, SkyJob, SkyNamespace};

use crate::errors::usage;

/// One of the five kinds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Kind {
    /// Member clusters
    #[value(
        name = "clusters",
        aliases = ["cluster", "skycluster", "skyclusters", "skyc", "skyclusters.skymanager.io", "skycluster.skymanager.io"]
    )]
    Cluster,
    /// Work that runs to completion
    #[value(
        name = "jobs",
        aliases = ["job", "skyjob", "skyjobs", "skyj", "skyjobs.skymanager.io", "skyjob.skymanager.io"]
    )]
    Job,
    /// Work that is kept running
    #[value(
        name = "deployments",
        aliases = ["deployment", "deploy", "skydeployment", "skydeployments", "skyd", "skydeployments.skymanager.io", "skydeployment.skymanager.io"]
    )]
    Deployment,
    /// Which members workloads may use
    #[value(
        name = "policies",
        aliases = ["policy", "filterpolicy", "filterpolicies", "fpol", "filterpolicies.skymanager.io", "filterpolicy.skymanager.io"]
    )]
    Policy,
    /// Namespaces on host and members
    #[value(
        name = "namespaces",
        aliases = ["namespace", "ns", "skynamespace", "skynamespaces", "skyns", "skynamespaces.skymanager.io", "skynamespace.skymanager.io"]
    )]
    Namespace,
}

impl Kind {
    /// What a dynamic client needs to know.
    #[must_use]
    pub fn resource(self) -> ApiResource {
        fn of<K: Resource<DynamicType = ()>>() -> ApiResource {
            ApiResource::erase::<K>(&())
        }
        match self {
            Self::Cluster => of::<SkyCluster>(),
            Self::Job => of::<SkyJob>(),
            Self::Deployment => of::<SkyDeployment>(),
            Self::Policy => of::<FilterPolicy>(),
            Self::Namespace => of::<SkyNamespace>(),
        }
    }

    /// Whether its objects live in namespaces.
    #[must_use]
    pub fn namespaced(self) -> bool {
        !matches!(self, Self::Cluster | Self::Namespace)
    }

    /// The kind of an object of ours.
    #[must_use]
    pub fn of_object(kind: &str) -> Option<Self> {
        Self::value_variants()
            .iter()
            .copied()
            .find(|known| known.resource().kind == kind)
    }

    /// An object in messages, as kubectl writes it: `skyjob.skymanager.io/NAME`.
    #[must_use]
    pub fn reference(self, name: &str) -> String {
        let resource = self.resource();
        format!("{}.{}/{name}", resource.kind.to_lowercase(), resource.group)
    }

    /// The API of its objects: of one namespace, of all, or of the cluster.
    #[must_use]
    pub fn api(self, client: Client, namespace: Option<&str>) -> Api<DynamicObject> {
        match namespace {
            Some(namespace) if self.namespaced() => Api::namespaced_with(client, namespace, &self.resource()),
            _ => Api::all_with(client, &self.resource()),
        }
    }
}

/// The name in `skyd/NAME`, in its other spellings, or in `NAME` alone.
///
/// # Errors
/// When it is of another kind, or there is none.
pub fn deployment_name(text: &str) -> anyhow::Result<String> {
    let name = match text.split_once('/') {
        None => text,
        Some((word, name)) => match Kind::from_str(word, true) {
            Ok(Kind::Deployment) => name,
            Ok(Kind::Job) => {
                return Err(usage(
                    "this is for deployments; the replicas of a job are as it was created",
                ));
            }
            _ => {
                return Err(usage(format!(
                    "this is for deployments (skyd/NAME); {word:?} is none"
                )));
            }
        },
    };
    match name {
        "" => Err(usage("the name of a deployment is needed: skyd/NAME")),
        name => Ok(name.to_owned()),
    }
}

/// The name in `job/NAME`, in its other spellings, or in `NAME` alone.
///
/// # Errors
/// When it is of another kind, or there is none.
pub fn job_name(text: &str) -> anyhow::Result<String> {
    let name = match text.split_once('/') {
        None => text,
        Some((word, name)) if Kind::from_str(word, true) == Ok(Kind::Job) => name,
        Some((word, _)) => return Err(usage(format!("this is for jobs (job/NAME); {word:?} is none"))),
    };
    match name {
        "" => Err(usage("the name of a job is needed: job/NAME")),
        name => Ok(name.to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn singular_plural_and_short_names_mean_the_same() {
        for (kind, names) in [
            (Kind::Cluster, ["cluster", "clusters", "skyc", "SkyClusters"]),
            (Kind::Job, ["job", "jobs", "skyj", "SkyJob"]),
            (
                Kind::Deployment,
                ["deploy", "deployments", "skyd", "skydeployment"],
            ),
            (Kind::Policy, ["policy", "fpol", "filterpolicy", "FilterPolicies"]),
            (Kind::Namespace, ["ns", "skyns", "namespace", "skynamespaces"]),
        ] {
            for name in names {
                assert_eq!(Kind::from_str(name, true), Ok(kind), "{name}");
            }
        }
    }

    #[test]
    fn a_deployment_is_named_as_kubectl_names_it() {
        for text in [
            "web",
            "skyd/web",
            "skydeployment/web",
            "deploy/web",
            "skydeployments.skymanager.io/web",
        ] {
            assert_eq!(deployment_name(text).unwrap(), "web", "{text}");
        }
        for (text, words) in [
            ("skyj/a", "the replicas of a job"),
            ("pod/a", "\"pod\" is none"),
            ("skyd/", "is needed"),
            ("", "is needed"),
        ] {
            let error = deployment_name(text).unwrap_err().to_string();
            assert!(error.contains(words), "{error}");
        }
    }

    #[test]
    fn a_job_is_named_as_kubectl_names_it() {
        for text in [
            "a",
            "job/a",
            "skyjob/a",
            "jobs/a",
            "skyj/a",
            "skyjob.skymanager.io/a",
        ] {
            assert_eq!(job_name(text).unwrap(), "a", "{text}");
        }
        for text in ["pod/a", "skyd/a", "job/", ""] {
            assert!(job_name(text).is_err(), "{text}");
        }
    }

    #[test]
    fn a_reference_is_written_as_kubectl_writes_it() {
        assert_eq!(Kind::Job.reference("a"), "skyjob.skymanager.io/a");
        assert_eq!(Kind::Policy.reference("p"), "filterpolicy.skymanager.io/p");
        assert_eq!(Kind::of_object("SkyNamespace"), Some(Kind::Namespace));
        assert_eq!(Kind::of_object("Job"), None);
    }
}
