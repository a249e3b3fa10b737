//! Suite `member`: the conformance suite of sky-member, which every manager has to pass, on a real API server.
//! The cases are in `operator/member/src/conformance`; they run as a test of that crate.

use anyhow::{Result, bail};
use futures::FutureExt;

use super::counts;
use super::{Case, Suite};
use crate::runner::Context;
use crate::workspace;

pub const SUITE: Suite = Suite {
    name: "member",
    about: "a Kubernetes member does what every manager must",
    cases: &[Case {
        name: "a_kubernetes_member_passes_the_conformance_suite",
        run: |context| conformance(context).boxed_local(),
    }],
};

async fn conformance(context: &Context) -> Result<()> {
    let lab = context.lab(&counts::plan()).await?;
    let kubeconfig = lab.members()[0].kubeconfig().display().to_string();
    // The whole workspace, so that what its tests were built from is used again.
    let test = [
        "test",
        "--workspace",
        "--locked",
        "--test",
        "conformance_kubernetes",
        "--",
    ];
    let arguments = [&test[..], &["--include-ignored", "--nocapture"]].concat();
    let env = [("SKY_CONFORMANCE_KUBECONFIG", kubeconfig.as_str())];
    let (success, lines) = workspace::run(&arguments, &env, &context.reporter).await?;
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
