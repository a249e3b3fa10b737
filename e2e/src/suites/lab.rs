//! Suite `lab`: the lab does what the other suites rely on. Needs no operator.
//! Cases: `clusters` (pods run), `faults` (network, daemons), `records` (audit, metrics),
//! `slurm` and `slurm_faults` (the same of Slurm), `crash` (nothing left).

mod clusters;
mod crash;
mod faults;
mod records;
mod slurm;
mod slurm_faults;

use anyhow::Result;
use futures::FutureExt;

use super::{Case, Skip, Suite};
use crate::lab::Lab;
use crate::machine;
use crate::plan::{MemberSpec, Plan};
use crate::runner::Context;

const REAL: &str = "mluo-onprem";
const KWOK: &str = "cloud-2";

pub const SUITE: Suite = Suite {
    name: "lab",
    about: "real clusters come up, can be hurt, and leave nothing behind",
    cases: &[
        Case {
            name: "every_cluster_has_ready_nodes_and_accounts",
            run: |context| clusters::ready(context).boxed_local(),
        },
        Case {
            name: "a_real_job_prints_and_a_real_pod_can_be_entered",
            run: |context| clusters::real_containers(context).boxed_local(),
        },
        Case {
            name: "kwok_jobs_run_as_long_and_end_as_asked",
            run: |context| clusters::kwok_jobs(context).boxed_local(),
        },
        Case {
            name: "a_deleted_kwok_pod_ends_before_it_goes",
            run: |context| clusters::kwok_deletion(context).boxed_local(),
        },
        Case {
            name: "the_network_refuses_hangs_delays_resets_and_heals",
            run: |context| faults::network(context).boxed_local(),
        },
        Case {
            name: "an_apiserver_stops_continues_dies_and_starts_again",
            run: |context| faults::daemon(context).boxed_local(),
        },
        Case {
            name: "etcd_killed_and_started_again_keeps_its_objects",
            run: |context| faults::etcd(context).boxed_local(),
        },
        Case {
            name: "a_real_pod_outlives_its_kubelet_and_containerd",
            run: |context| faults::node_daemons(context).boxed_local(),
        },
        Case {
            name: "audit_log_and_metrics_count_the_same_writes",
            run: |context| records::writes(context).boxed_local(),
        },
        case!(slurm::two_slurm_clusters_and_a_kubernetes_one_stand_side_by_side),
        case!(slurm::a_slurm_token_is_good_on_its_own_cluster_while_it_lives),
        case!(slurm::slurmrestd_speaks_tls_where_asked),
        case!(slurm::a_slurm_cluster_listens_on_loopback_alone),
        case!(slurm::slurm_gpus_are_counted_and_given_out),
        case!(slurm::a_slurm_job_runs_in_a_container_of_its_bundle),
        case!(slurm::what_a_slurm_cluster_lacks_is_refused),
        case!(slurm_faults::slurmctld_killed_and_started_again_keeps_a_held_job),
        case!(slurm_faults::a_slurm_job_outlives_its_slurmd_and_slurmrestd_comes_back),
        case!(slurm_faults::a_drained_slurm_node_takes_no_job_until_it_is_resumed),
        case!(slurm_faults::a_slurm_job_whose_reply_is_lost_is_there),
        case!(slurm_faults::a_slurm_job_is_forgotten_after_its_time),
        Case {
            name: "two_labs_come_up_at_once_and_stand_side_by_side",
            run: |context| crash::side_by_side(context).boxed_local(),
        },
        Case {
            name: "running_containers_are_taken_away_whole",
            run: |context| crash::running_containers(context).boxed_local(),
        },
        case!(crash::slurm_jobs_are_taken_away_whole),
        Case {
            name: "up_killed_at_any_moment_can_be_repeated_and_taken_down",
            run: |context| crash::killed_up(context).boxed_local(),
        },
    ],
};

/// The lab that most cases share.
async fn shared(context: &Context) -> Result<Lab> {
    context
        .lab(&Plan::bare(vec![MemberSpec::real(REAL), MemberSpec::kwok(KWOK)]))
        .await
}

/// Ends a case that needs real containers where there are none.
fn need_real() -> Result<()> {
    match machine::no_real_nodes() {
        None => Ok(()),
        Some(reason) => Err(Skip(format!("no real nodes here: {reason}")).into()),
    }
}

/// A Job of one pod.
fn job(name: &str, script: &str, env: &[(&str, &str)]) -> String {
    let env: Vec<_> = env
        .iter()
        .map(|(name, value)| format!("{{name: {name}, value: {value:?}}}"))
        .collect();
    format!(
        "apiVersion: batch/v1\nkind: Job\nmetadata: {{name: {name}}}\nspec:\n  backoffLimit: 0\n  \
         podReplacementPolicy: Failed\n  template:\n    spec:\n      restartPolicy: Never\n      \
         terminationGracePeriodSeconds: 1\n      containers:\n      - name: main\n        \
         image: ubuntu:latest\n        imagePullPolicy: IfNotPresent\n        \
         command: [/bin/sh, -c, {script:?}]\n        env: [{}]\n",
        env.join(", ")
    )
}
