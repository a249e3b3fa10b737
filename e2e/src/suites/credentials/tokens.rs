//! The account's token and its rights. The operator's clock is moved by Debian's libfaketime.
//! Part of the suite `credentials`.

use std::fs;
use std::time::Duration;

use anyhow::{Result, ensure};
use tokio::time::Instant;

use super::{A, kubeconfig, shared, token};
use crate::cluster::{self, AuditEntry};
use crate::runner::Context;
use crate::suites::Skip;
use crate::suites::counts::tally::{Mark, is_ours};
use crate::suites::sky::{SOON, Sky, cluster_conditions, is_true, words};
use crate::{machine, operator, packages, wait};

/// What the account may do on its member: verb, resource, name or namespace flags, and whether.
const RIGHTS: [(&str, bool); 42] = [
    ("create jobs.batch -A", true),
    ("delete jobs.batch -A", true),
    ("patch jobs.batch -A", true),
    ("watch jobs.batch -A", true),
    ("watch pods -A", true),
    ("watch nodes", true),
    ("watch events -A", true),
    ("get pods --subresource=log -A", true),
    ("create namespaces", true),
    ("patch namespaces", true),
    ("delete namespaces", true),
    ("update namespaces", false),
    ("create resourcequotas/sky-contents -A", true),
    ("patch resourcequotas/sky-contents -A", true),
    ("patch resourcequotas/theirs -A", false),
    ("create resourcequotas/theirs -A", false),
    ("delete resourcequotas/sky-contents -A", false),
    ("list resourcequotas -A", false),
    ("get configmaps/kube-root-ca.crt -A", true),
    // Copies are looked at, made and removed by name.
    ("get configmaps/theirs -A", true),
    ("watch configmaps -A", false),
    ("list configmaps -A", false),
    (
        "create serviceaccounts/sky-manager --subresource=token -n sky-system",
        true,
    ),
    (
        "create serviceaccounts/default --subresource=token -n sky-system",
        false,
    ),
    (
        "create serviceaccounts/default --subresource=token -n default",
        false,
    ),
    ("patch deployments.apps -A", true),
    ("delete deployments.apps -A", true),
    ("list horizontalpodautoscalers.autoscaling -A", true),
    ("patch horizontalpodautoscalers.autoscaling -A", false),
    ("get secrets -A", true),
    ("list secrets -A", false),
    ("patch secrets -A", false),
    ("list secrets -n sky-system", false),
    ("watch secrets -A", false),
    ("create secrets -A", true),
    ("create pods --subresource=exec -A", false),
    ("get pods --subresource=exec -A", false),
    ("create pods --subresource=attach -A", false),
    ("create pods --subresource=portforward -A", false),
    ("create pods -A", false),
    ("create clusterrolebindings.rbac.authorization.k8s.io", false),
    ("impersonate users", false),
];

pub(super) async fn the_account_may_do_what_dispatch_needs_and_no_more(context: &Context) -> Result<()> {
    let sky = shared(context).await?;
    for (asked, may) in RIGHTS {
        let answer = as_account(&sky, &format!("auth can-i {asked}")).await;
        // kubectl says no with exit code 1.
        let allowed = answer.as_ref().is_ok_and(|text| text.trim() == "yes");
        let denied = answer
            .as_ref()
            .is_err_and(|error| error.to_string().trim_end().ends_with("no"));
        ensure!(allowed == may && denied != may, "{asked}: {answer:?}");
    }
    let list = as_account(&sky, "auth can-i --list -n default").await?;
    let surplus = list
        .lines()
        .find(|line| line.contains("exec") || (line.contains("secrets") && line.contains("list")));
    ensure!(surplus.is_none(), "the account may {surplus:?}");
    Ok(())
}

/// kubectl with the operator's own way to A.
async fn as_account(sky: &Sky, line: &str) -> Result<String> {
    let path = sky.lab.dir().join("account.kubeconfig");
    fs::write(&path, kubeconfig(sky).await?.to_string())?;
    let arguments: Vec<&str> = line.split(' ').collect();
    cluster::kubectl(sky.lab.dir(), &path, &arguments, None).await
}

pub(super) async fn a_token_is_renewed_before_it_ends(context: &Context) -> Result<()> {
    let sky = shared(context).await?;
    sky.lab
        .sky(&["join", A, "--from-context", A, "--token-seconds", "600"])
        .await?;
    let before = token(&kubeconfig(&sky).await?)?;
    let mark = Mark::now(&sky.lab)?;
    // Two thirds of its ten minutes have passed, for the operator.
    at(&sky, context, "+7m").await?;
    let after = wait::until("another token in the Secret", SOON, async || {
        let token = token(&kubeconfig(&sky).await?)?;
        ensure!(token != before, "it is still the old one");
        Ok(token)
    })
    .await?;
    ensure!(after.split('.').count() == 3, "the new one is no web token");
    as_account(&sky, "get nodes -o name").await?;
    sky.cluster_until(A, "Ready with the new token", |cluster| {
        let conditions = cluster_conditions(cluster);
        is_true(&conditions, "Ready") && is_true(&conditions, "CredentialsValid")
    })
    .await?;
    // As jobs need it, by the new token alone.
    sky.create("renewed", crate::suites::counts::tiny("1s")).await?;
    sky.complete("renewed").await?;
    sky.delete("renewed").await?;
    let issued = issued(&sky, &mark)?;
    ensure!(
        issued.iter().all(|entry| entry.code == 201),
        "refused: {issued:?}"
    );
    real_time(&sky).await
}

pub(super) async fn a_clock_far_ahead_makes_no_storm(context: &Context) -> Result<()> {
    let sky = shared(context).await?;
    sky.lab
        .sky(&["join", A, "--from-context", A, "--token-seconds", "600"])
        .await?;
    let mark = Mark::now(&sky.lab)?;
    // Every token is old to this clock, also the one that has just been issued.
    at(&sky, context, "+24h").await?;
    let begin = Instant::now();
    let quiet = Duration::from_secs(25);
    wait::until("a while without a storm", SOON, async || {
        let count = issued(&sky, &mark)?.len();
        ensure!(begin.elapsed() >= quiet || count > 1, "{count} so far");
        Ok(())
    })
    .await?;
    let count = issued(&sky, &mark)?.len();
    ensure!(
        count == 1,
        "{count} renewals in {} s, at most one a minute is allowed",
        quiet.as_secs()
    );
    real_time(&sky).await?;
    let ready = |cluster: &_| is_true(&cluster_conditions(cluster), "Ready");
    let cluster = sky
        .cluster_until(A, "Ready when the clock is right", ready)
        .await?;
    context
        .reporter
        .result(format!("  {}", words(&cluster_conditions(&cluster))));
    Ok(())
}

/// Tokens that we asked A for since `mark`.
fn issued(sky: &Sky, mark: &Mark) -> Result<Vec<AuditEntry>> {
    let entries = mark.entries(&sky.lab.member(A)?)?.into_iter();
    Ok(entries
        .filter(|entry| is_ours(entry) && entry.subresource == "token")
        .collect())
}

/// Starts the operator anew with a clock that is this much off.
async fn at(sky: &Sky, context: &Context, offset: &str) -> Result<()> {
    let library = match packages::faketime(&context.reporter).await {
        Err(error) if !machine::is_root() => return Err(Skip(error.to_string()).into()),
        other => other?,
    };
    let host = sky.lab.host()?;
    let change = |env: &mut std::collections::BTreeMap<String, String>| {
        env.insert("LD_PRELOAD".to_owned(), library.display().to_string());
        env.insert("FAKETIME".to_owned(), offset.to_owned());
        // Timers and deadlines stay as they are.
        env.insert("FAKETIME_DONT_FAKE_MONOTONIC".to_owned(), "1".to_owned());
    };
    host.daemon(operator::NAME)?.restart_with(change).await?;
    operator::ready(&host).await
}

/// Starts the operator anew with the machine's clock.
async fn real_time(sky: &Sky) -> Result<()> {
    let host = sky.lab.host()?;
    let change = |env: &mut std::collections::BTreeMap<String, String>| {
        env.retain(|name, _| name != "LD_PRELOAD" && !name.starts_with("FAKETIME"));
    };
    host.daemon(operator::NAME)?.restart_with(change).await?;
    operator::ready(&host).await
}
