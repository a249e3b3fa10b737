//! SkyClusters, FilterPolicies and SkyNamespaces as the scheduler reads them. Filled from the host by `live`, or from
//! documents, which add to it and replace what has their name; read by simulate and why.

pub mod live;

use std::collections::BTreeMap;
use std::path::PathBuf;

use anyhow::Context as _;
use serde::Deserialize as _;
use serde_json::Value;
use sky_convert::{fleet, namespace, policy};
use sky_core::cluster::Cluster;
use sky_core::schedule::Scheduler;
use sky_core::snapshot::Snapshot;
use sky_core::workload::{NamespaceRule, Policy};
use sky_crds::{FilterPolicy, SkyCluster, SkyNamespace};

use crate::errors::usage;
use crate::kinds::Kind;
use crate::subject::Subject;

/// Clusters and rules.
#[derive(Clone, Debug, Default)]
pub struct Fleet {
    members: BTreeMap<String, Member>,
    policies: BTreeMap<(String, String), Policy>,
    namespaces: BTreeMap<String, NamespaceRule>,
    remarks: Vec<String>,
}

#[derive(Clone, Debug)]
struct Member {
    api: SkyCluster,
    cluster: Cluster,
}

impl Fleet {
    /// Adds an object, or replaces the one of its name. A SkyCluster without a status keeps the one that is known, so
    /// that its manifest alone can be tried. `namespace` is that of a FilterPolicy that names none.
    ///
    /// # Errors
    /// When the object cannot be read, or is no rule and no cluster.
    pub fn take(&mut self, kind: Kind, object: &Value, namespace: &str) -> anyhow::Result<()> {
        let name = object.pointer("/metadata/name").and_then(Value::as_str);
        anyhow::ensure!(
            name.is_some_and(|name| !name.is_empty()),
            "metadata.name: a name is needed"
        );
        match kind {
            Kind::Cluster => {
                let mut api = SkyCluster::deserialize(object)?;
                let name = api.metadata.name.clone().unwrap_or_default();
                if api.status.is_none() {
                    api.status = self.members.get(&name).and_then(|known| known.api.status.clone());
                }
                let cluster = fleet::cluster(&api)?;
                self.members.insert(name, Member { api, cluster });
            }
            Kind::Policy => {
                let mut api = FilterPolicy::deserialize(object)?;
                api.metadata.namespace.get_or_insert_with(|| namespace.to_owned());
                self.insert(policy::policy(&api));
            }
            Kind::Namespace => {
                let api = SkyNamespace::deserialize(object)?;
                let name = api.metadata.name.clone().unwrap_or_default();
                self.namespaces.insert(name, namespace::rule(&api));
            }
            Kind::Job | Kind::Deployment => anyhow::bail!("neither a cluster nor a rule"),
        }
        Ok(())
    }

    /// Adds an object of the host. One that cannot be read counts as the operator counts it: rules refuse, a cluster is
    /// not there.
    pub fn take_stored(&mut self, kind: Kind, object: &Value) {
        let Err(error) = self.take(kind, object, "") else {
            return;
        };
        let text = |field: &str| object.pointer(field).and_then(Value::as_str).unwrap_or_default();
        let (name, error) = (text("/metadata/name"), error.to_string());
        match kind {
            Kind::Policy => self.insert(policy::unreadable(text("/metadata/namespace"), name, &error)),
            Kind::Namespace => {
                self.namespaces
                    .insert(name.to_owned(), namespace::unreadable(&error));
            }
            _ => self.remark(format!(
                "cluster {name} is left out, since it cannot be read: {error}"
            )),
        }
    }

    fn insert(&mut self, policy: Policy) {
        self.policies
            .insert((policy.namespace.clone(), policy.name.clone()), policy);
    }

    /// Notes what the user has to know of the answer.
    pub fn remark(&mut self, text: String) {
        self.remarks.push(text);
    }

    /// What the user has to know of every answer.
    #[must_use]
    pub fn remarks(&self) -> Vec<String> {
        let truncated = self
            .members
            .values()
            .filter(|member| fleet::is_truncated(&member.api));
        let truncated = truncated.map(|member| {
            format!(
                "cluster {} shows only its roomiest nodes (shapesTruncated): the answer is a lower bound",
                member.cluster.name
            )
        });
        self.remarks.iter().cloned().chain(truncated).collect()
    }

    /// What the user has to know of the answer about one workload.
    #[must_use]
    pub fn remark_on(&self, subject: &Subject) -> Option<String> {
        let workload = subject.parsed.as_ref().ok()?;
        let clusters = self.members.values().map(|member| &member.cluster);
        let unseen: Vec<String> = fleet::unseen_labels(&workload.needs, clusters)
            .into_iter()
            .collect();
        (!unseen.is_empty()).then(|| {
            format!(
                "{} asks for nodes by labels that no SkyCluster shows ({}): the answer is a lower bound, the operator \
                 sees the nodes themselves",
                subject.reference(),
                unseen.join(", ")
            )
        })
    }

    /// Names of clusters that have not said what room they have.
    #[must_use]
    pub fn unreported(&self) -> Vec<String> {
        let silent = self
            .members
            .values()
            .filter(|member| member.cluster.room.is_none());
        silent.map(|member| member.cluster.name.to_string()).collect()
    }

    /// Takes a cluster away.
    ///
    /// # Errors
    /// When there is none of this name.
    pub fn without(&mut self, name: &str) -> anyhow::Result<()> {
        match self.members.remove(name) {
            Some(_) => Ok(()),
            None => Err(self.unknown("--without", name)),
        }
    }

    /// Cordons a cluster.
    ///
    /// # Errors
    /// When there is none of this name.
    pub fn cordon(&mut self, name: &str) -> anyhow::Result<()> {
        match self.members.get_mut(name) {
            Some(member) => {
                member.cluster.unschedulable = true;
                Ok(())
            }
            None => Err(self.unknown("--cordon", name)),
        }
    }

    fn unknown(&self, flag: &str, name: &str) -> anyhow::Error {
        let known: Vec<&str> = self.members.keys().map(String::as_str).collect();
        let known = match known.as_slice() {
            [] => "there are none".to_owned(),
            names => format!("there are {}", names.join(", ")),
        };
        usage(format!("{flag}: no cluster is named {name:?}; {known}"))
    }

    /// What the scheduler reads, room promised to `bound` taken.
    #[must_use]
    pub fn snapshot<'s>(&self, bound: impl IntoIterator<Item = &'s Subject>) -> Snapshot {
        let clusters = self.members.values().map(|member| &member.cluster);
        let mut snapshot = Snapshot {
            clusters: clusters
                .map(|cluster| (cluster.name.clone(), cluster.clone()))
                .collect(),
            policies: policy::by_namespace(self.policies.values().cloned()),
            namespaces: self.namespaces.clone(),
        };
        for subject in bound {
            if let Ok(workload) = &subject.parsed {
                for (cluster, replicas) in subject.promised() {
                    snapshot.reserve_for(cluster, workload, replicas);
                }
            }
        }
        snapshot
    }
}

/// What the operator goes by: its configuration file, when there is one.
#[derive(clap::Args, Debug, Default)]
pub struct Configured {
    /// The operator's configuration file, when it has one: its plugins and expressions decide here too
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
}

impl Configured {
    /// The scheduler that simulate and why ask: the operator's.
    ///
    /// # Errors
    /// When the file cannot be read or is refused.
    pub fn scheduler(&self) -> anyhow::Result<Scheduler> {
        let Some(path) = &self.config else {
            return Ok(Scheduler::default());
        };
        let named = || format!("failed to use the configuration {}", path.display());
        let text = std::fs::read_to_string(path).with_context(named)?;
        let configuration = sky_convert::configuration::parse(&text).with_context(named)?;
        Ok(Scheduler::new(configuration.plugins))
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn cluster(name: &str, status: Option<Value>) -> Value {
        let mut object = json!({"metadata": {"name": name}, "spec": {"manager": "kubernetes"}});
        if let Some(status) = status {
            object["status"] = status;
        }
        object
    }

    fn fleet() -> Fleet {
        let mut fleet = Fleet::default();
        let free = json!({"free": {"cpu": "4", "memory": "4Gi"}});
        fleet.take(Kind::Cluster, &cluster("c1", Some(free)), "").unwrap();
        fleet
    }

    #[test]
    fn a_manifest_without_status_keeps_the_status_that_is_known() {
        let mut fleet = fleet();
        let mut manifest = cluster("c1", None);
        manifest["spec"]["unschedulable"] = json!(true);
        fleet.take(Kind::Cluster, &manifest, "").unwrap();
        let snapshot = fleet.snapshot([]);
        let c1 = &snapshot.clusters["c1"];
        assert!(c1.unschedulable && c1.room.is_some());
        assert!(fleet.unreported().is_empty());
    }

    #[test]
    fn an_unknown_cluster_is_answered_with_the_known_ones() {
        let mut fleet = fleet();
        let error = fleet.cordon("c2").unwrap_err().to_string();
        assert_eq!(error, "--cordon: no cluster is named \"c2\"; there are c1");
        fleet.without("c1").unwrap();
        assert!(
            fleet
                .without("c1")
                .unwrap_err()
                .to_string()
                .ends_with("there are none")
        );
    }

    #[test]
    fn stored_objects_that_cannot_be_read_count_as_the_operator_counts_them() {
        let mut fleet = Fleet::default();
        let bad = json!({"metadata": {"name": "p", "namespace": "n"}, "spec": {"clusterFilter": 1}});
        fleet.take_stored(Kind::Policy, &bad);
        fleet.take_stored(Kind::Cluster, &bad);
        let snapshot = fleet.snapshot([]);
        assert!(!snapshot.policies["n"][0].allows("c1", &Default::default()));
        assert!(
            fleet.remarks()[0].starts_with("cluster p is left out"),
            "{:?}",
            fleet.remarks()
        );
    }

    #[test]
    fn replicas_that_have_not_started_take_their_room() {
        let object = json!({"metadata": {"name": "a"}, "spec": {"replicas": 3},
            "status": {"clusters": [{"cluster": "c1", "replicas": 3, "pending": 3}]}});
        let bound = Subject::read(Kind::Job, &object, "default").unwrap();
        let snapshot = fleet().snapshot([&bound]);
        let room = snapshot.clusters["c1"].room.clone().unwrap();
        assert_eq!(room.fit(&bound.parsed.unwrap().needs), 1);
    }
}
