//! SkyDeployment as core sees it: the workload to schedule.

use sky_core::job::Refused;
use sky_core::workload::{Kind, Workload};
use sky_crds::SkyDeployment;

use crate::resources;
use crate::workload::{self, Defaults};

/// The workload of `api`: it takes what fits and keeps asking for the rest.
///
/// # Errors
/// `InvalidSpec` or `NotSupported`, with words that name the field and the fix.
pub fn workload(api: &SkyDeployment, defaults: &Defaults) -> Result<Workload, Refused> {
    let spec = &api.spec;
    let (_, needs) = workload::program(&spec.workload, defaults, resources::DEPLOYMENT_CPU)?;
    Ok(Workload {
        replicas: i64::from(spec.replicas),
        ..workload::workload(Kind::SkyDeployment, &api.metadata, &spec.workload, needs)
    })
}
