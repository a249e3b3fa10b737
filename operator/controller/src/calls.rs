//! Has a workload looked at, whatever its kind: one way in for members that stir, rounds that answer and rules that
//! change. Read by the controllers that `run` starts.

use kube::Resource;
use kube::core::NamespaceResourceScope;
use kube::runtime::reflector::ObjectRef;
use sky_core::workload::{Kind, WorkloadRef};
use sky_crds::{SkyDeployment, SkyJob};
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};

/// Calls of workloads, by kind.
#[derive(Clone)]
pub struct Calls {
    jobs: UnboundedSender<ObjectRef<SkyJob>>,
    deployments: UnboundedSender<ObjectRef<SkyDeployment>>,
}

/// Who is called.
pub struct Called {
    /// SkyJobs.
    pub jobs: UnboundedReceiver<ObjectRef<SkyJob>>,
    /// SkyDeployments.
    pub deployments: UnboundedReceiver<ObjectRef<SkyDeployment>>,
}

impl Calls {
    /// A way to call, and its other end.
    #[must_use]
    pub fn new() -> (Self, Called) {
        let (jobs, called_jobs) = unbounded_channel();
        let (deployments, called_deployments) = unbounded_channel();
        let called = Called {
            jobs: called_jobs,
            deployments: called_deployments,
        };
        (Self { jobs, deployments }, called)
    }

    /// Has this workload looked at.
    pub fn call(&self, workload: &WorkloadRef) {
        // The receivers only go when the operator ends.
        match workload.kind {
            Kind::SkyJob => drop(self.jobs.send(object(workload))),
            Kind::SkyDeployment => drop(self.deployments.send(object(workload))),
        }
    }
}

fn object<K>(workload: &WorkloadRef) -> ObjectRef<K>
where
    K: Resource<DynamicType = (), Scope = NamespaceResourceScope>,
{
    ObjectRef::new(&workload.name).within(&workload.namespace)
}
