//! What is Slurm's own of connecting: the section of the SkyCluster as access, and a token that is replaced while the member
//! goes on.

use std::fmt;
use std::sync::Arc;

use sky_convert::cluster::MAX_ARRAY_SIZE;
use sky_crds::cluster::{ContainerRuntime, SlurmAccess};
use sky_member::slurm::{Access, Record, Recorded, Runtime, Slurm};

use super::connect::{Unlinked, unlinked};
use super::{Context, Memory};

/// Seconds that an array stays held: slurmctld saves what it accepted within five.
const CONFIRM: i32 = 6;

/// A member that is seated, and what it was made from.
#[derive(Clone)]
pub(super) struct Seated {
    access: Access,
    expected: Option<String>,
    token: Arc<str>,
    member: Arc<Slurm>,
}

impl fmt::Debug for Seated {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.debug_struct("Seated")
            .field("access", &self.access)
            .finish_non_exhaustive()
    }
}

/// How the cluster is reached, and what holds for every job there.
pub(super) fn access(slurm: &SlurmAccess) -> Access {
    Access {
        endpoint: slurm.endpoint.clone(),
        user: slurm.user_name.clone(),
        ca_bundle: slurm.ca_bundle.clone(),
        partition: slurm.partition.clone(),
        account: slurm.account.clone(),
        qos: slurm.qos.clone(),
        work_dir: slurm.work_dir.clone(),
        logs: slurm.logs.clone(),
        runtime: match slurm.container_runtime {
            None | Some(ContainerRuntime::None) => Runtime::None,
            Some(ContainerRuntime::Apptainer) => Runtime::Apptainer,
            Some(ContainerRuntime::Oci) => Runtime::Oci,
            Some(ContainerRuntime::Pyxis) => Runtime::Pyxis,
        },
        images: slurm.image_map.clone(),
        max_array_size: i64::from(slurm.max_array_size.unwrap_or(MAX_ARRAY_SIZE)),
        confirm_seconds: i64::from(slurm.confirm_seconds.unwrap_or(CONFIRM)),
    }
}

/// Tells the member what SkyJobs have recorded as being there.
fn record(context: &Context, name: &str) -> Record {
    let (jobs, origin, cluster) = (context.jobs.clone(), context.origin.clone(), name.to_owned());
    Arc::new(move |known| {
        let jobs = jobs.state();
        let readable = jobs.iter().filter_map(|guard| guard.0.as_ref().ok());
        let each = readable.flat_map(|job| sky_convert::job::recorded(job, &cluster, &origin, known));
        let recorded = each.filter_map(|(key, stamp, placed)| {
            Some(Recorded {
                key,
                stamp,
                instance: placed.instance?,
                replicas: placed.replicas,
            })
        });
        recorded.collect()
    })
}

/// Seats the member, or gives the one that is seated its new token. What is noted of the cluster's identity while it is
/// seated changes nothing: it is what it said itself.
pub(super) fn seat(
    context: &Context,
    name: &str,
    (access, token): (&Access, &str),
    expected: Option<String>,
    accepted: bool,
    memory: &mut Memory,
) -> Result<(), Unlinked> {
    let refused =
        |error: sky_member::slurm::AccessError| unlinked("InvalidAccess", format!("failed to {error}"));
    let same = |seated: &&mut Seated| {
        let known = seated.expected.is_none() || seated.expected == expected;
        seated.access == *access && known && !accepted
    };
    if let Some(seated) = memory.slurm.as_mut().filter(same) {
        if *seated.token != *token {
            seated.member.set_token(token).map_err(refused)?;
            seated.token = token.into();
            tracing::info!(cluster = name, "the member's token was replaced");
        }
        return Ok(());
    }
    let member = Slurm::new(
        name,
        &context.origin,
        expected.clone(),
        access.clone(),
        token,
        &context.gate,
    );
    let member = member.map_err(|error| {
        memory.slurm = None;
        memory.fingerprint = None;
        refused(error)
    })?;
    let member = Arc::new(member.recorded_by(record(context, name)));
    context.fleet.seat(member.clone());
    memory.slurm = Some(Seated {
        access: access.clone(),
        expected,
        token: token.into(),
        member,
    });
    memory.fingerprint = Some(String::new());
    memory.version = None;
    tracing::info!(cluster = name, endpoint = %access.endpoint, "connecting");
    Ok(())
}
