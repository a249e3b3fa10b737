//! Refuses clusters whose manager cannot run the workload: what only Kubernetes knows, images that a Slurm cluster does not
//! run, scripts that nobody allowed to run on its nodes' own system.

use crate::cluster::{Cluster, Images, Manager};
use crate::plugin::{Context, Refusal, SchedulerPlugin, Steps};
use crate::workload::{Kind, Workload};

pub(super) struct ManagerFit;

impl SchedulerPlugin for ManagerFit {
    fn name(&self) -> &str {
        "ManagerFit"
    }

    fn steps(&self, _: Context<'_>) -> Steps {
        Steps::FILTER
    }

    fn filter(&self, context: Context<'_>, cluster: &Cluster) -> Result<(), Refusal> {
        match cluster.manager {
            Manager::Kubernetes => Ok(()),
            Manager::Slurm => on_slurm(context.workload, cluster),
        }
    }
}

fn on_slurm(workload: &Workload, cluster: &Cluster) -> Result<(), Refusal> {
    let refuse = |words: String| Err(Refusal::new("ManagerUnsupported", words));
    let program = &workload.program;
    if workload.kind == Kind::SkyDeployment && !program.slurm {
        return refuse("run by Slurm, which spec.slurm must allow for a SkyDeployment".into());
    }
    if let Some(field) = &program.kubernetes_only {
        return refuse(format!("run by Slurm, which does not know {field}"));
    }
    let overrides = workload.overrides.as_deref();
    if overrides.is_some_and(|overrides| overrides.needs(&cluster.name, &cluster.labels).is_some()) {
        return refuse("run by Slurm, which has no pod template that spec.overrides could patch".into());
    }
    let declared = cluster.slurm.as_deref();
    let most = declared.and_then(|slurm| slurm.most_replicas);
    if let Some(most) = most.filter(|most| workload.replicas > *most) {
        return refuse(format!(
            "run by Slurm with at most {most} replicas of a job (maxArraySize)"
        ));
    }
    match declared.map_or(&Images::None, |slurm| &slurm.images) {
        Images::Any => Ok(()),
        Images::Listed(images) if images.contains(&program.image) => Ok(()),
        Images::Listed(_) => refuse(format!("without image {} in spec.slurm.imageMap", program.image)),
        Images::None if program.names_image => {
            refuse("run by Slurm without a container runtime for spec.image".into())
        }
        Images::None if !program.slurm => {
            refuse("run by Slurm without containers, which spec.slurm must allow".into())
        }
        Images::None => Ok(()),
    }
}
