//! Workloads of the host, of both kinds, and what their records have alike. Read by what looks at all of them.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use kube::core::DeserializeGuard;
use kube::runtime::reflector::Store;
use sky_convert::job::has_ended;
use sky_core::workload::Kind;
use sky_crds::status::{Eviction, PlacementStatus};
use sky_crds::{SkyDeployment, SkyJob};

/// Workloads of the host, of both kinds.
#[derive(Clone)]
pub struct Workloads {
    /// SkyJobs.
    pub jobs: Store<DeserializeGuard<SkyJob>>,
    /// SkyDeployments.
    pub deployments: Store<DeserializeGuard<SkyDeployment>>,
}

/// What is recorded of a workload.
pub trait Recorded {
    /// Its metadata.
    fn metadata(&self) -> &ObjectMeta;
    /// Whether it has not ended.
    fn goes_on(&self) -> bool;
    /// Where it is placed.
    fn placement(&self) -> Option<&PlacementStatus>;
    /// Its last evictions.
    fn evictions(&self) -> &[Eviction];
}

impl Workloads {
    /// Calls `look` for each workload that can be read.
    pub fn each(&self, mut look: impl FnMut(Kind, &dyn Recorded)) {
        for guard in self.jobs.state() {
            if let Ok(job) = &guard.0 {
                look(Kind::SkyJob, job);
            }
        }
        for guard in self.deployments.state() {
            if let Ok(deployment) = &guard.0 {
                look(Kind::SkyDeployment, deployment);
            }
        }
    }
}

impl Recorded for SkyJob {
    fn metadata(&self) -> &ObjectMeta {
        &self.metadata
    }

    fn goes_on(&self) -> bool {
        !has_ended(self)
    }

    fn placement(&self) -> Option<&PlacementStatus> {
        self.status.as_ref()?.placement.as_ref()
    }

    fn evictions(&self) -> &[Eviction] {
        self.status.as_ref().map_or(&[], |status| &status.evictions)
    }
}

impl Recorded for SkyDeployment {
    fn metadata(&self) -> &ObjectMeta {
        &self.metadata
    }

    fn goes_on(&self) -> bool {
        true
    }

    fn placement(&self) -> Option<&PlacementStatus> {
        self.status.as_ref()?.placement.as_ref()
    }

    fn evictions(&self) -> &[Eviction] {
        self.status.as_ref().map_or(&[], |status| &status.evictions)
    }
}
