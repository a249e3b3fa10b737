//! Suite `member`: the conformance suite of sky-member, which every manager has to pass, on a real API server and on a real
//! Slurm. The cases are in `operator/member/src/conformance`; they run as tests of that crate.

use anyhow::{Result, bail};
use futures::FutureExt;

use super::counts;
use super::{Case, Suite};
use crate::plan::{MemberSpec, Plan};
use crate::runner::Context;
use crate::slurm::JOB_USER;
use crate::suites::sky::need_real;
use crate::workspace;

const SLURM: &str = "hpc-1";

pub const SUITE: Suite = Suite {
    name: "member",
    about: "members do what every manager must, on a real API server and a real Slurm",
    cases: &[
        Case {
            name: "a_kubernetes_member_passes_the_conformance_suite",
            run: |context| kubernetes(context).boxed_local(),
        },
        Case {
            name: "a_slurm_member_passes_the_conformance_suite_and_runs_each_replica_once",
            run: |context| slurm(context).boxed_local(),
        },
    ],
};

async fn kubernetes(context: &Context) -> Result<()> {
    let lab = context.lab(&counts::plan()).await?;
    let kubeconfig = lab.members()[0].kubeconfig().display().to_string();
    let env = [("SKY_CONFORMANCE_KUBECONFIG", kubeconfig.as_str())];
    conformance(context, &["conformance_kubernetes"], &env).await
}

async fn slurm(context: &Context) -> Result<()> {
    need_real()?;
    let member = MemberSpec::slurm(SLURM).with_gpus("a100", 2);
    let lab = context.lab(&Plan::bare(vec![member])).await?;
    let cluster = lab.slurm(SLURM)?;
    let (url, token) = (cluster.direct_url(), cluster.token_file().display().to_string());
    let conf = cluster.conf().display().to_string();
    let env = [
        ("SKY_CONFORMANCE_SLURM_URL", url.as_str()),
        ("SKY_CONFORMANCE_SLURM_USER", JOB_USER),
        ("SKY_CONFORMANCE_SLURM_TOKEN_FILE", token.as_str()),
        ("SKY_CONFORMANCE_SLURM_CONF", conf.as_str()),
    ];
    conformance(context, &["conformance_slurm", "life_slurm"], &env).await
}

/// Runs these tests of sky-member with this in their environment.
async fn conformance(context: &Context, tests: &[&str], env: &[(&str, &str)]) -> Result<()> {
    // The whole workspace, so that what its tests were built from is used again.
    let mut arguments = vec!["test", "--workspace", "--locked"];
    for test in tests {
        arguments.extend(["--test", test]);
    }
    arguments.extend(["--", "--include-ignored", "--nocapture"]);
    let (success, lines) = workspace::run(&arguments, env, &context.reporter).await?;
    let passed = lines.iter().filter(|line| line.starts_with("ok ")).count();
    if success && passed > 0 {
        context
            .reporter
            .result(format!("  {passed} cases of the conformance suite passed"));
        Ok(())
    } else {
        bail!("the conformance suite failed, or had no cases: {passed} passed")
    }
}
