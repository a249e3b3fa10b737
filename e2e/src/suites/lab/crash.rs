//! Labs keep out of each other's way and leave nothing behind, however they end. Part of the suite `lab`.

use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, SystemTime};

use anyhow::{Context as _, Result, bail, ensure};
use serde_json::json;
use tokio::time::sleep;

use super::{KWOK, REAL, job, need_real};
use crate::lab::{self, Lab};
use crate::machine;
use crate::plan::{MemberSpec, Plan};
use crate::runner::Context;
use crate::sweep;
use crate::wait;

const SLURM: &str = "hpc-1";

pub(super) async fn side_by_side(context: &Context) -> Result<()> {
    let plan = Plan::bare(vec![MemberSpec::kwok(KWOK)]);
    let (one, two) = tokio::try_join!(context.fresh_lab(&plan), context.fresh_lab(&plan))?;
    one.member(KWOK)?
        .kubectl(&["create", "namespace", "only-here"])
        .await?;
    let there = two
        .member(KWOK)?
        .kubectl(&["get", "namespace", "only-here"])
        .await;
    ensure!(there.is_err(), "the two labs are one");
    one.down().await?;
    gone(one.dir())?;
    two.member(KWOK)?.kubectl(&["get", "nodes"]).await?;
    two.host()?.kubectl(&["get", "namespaces"]).await?;
    Ok(())
}

pub(super) async fn running_containers(context: &Context) -> Result<()> {
    need_real()?;
    let lab = context
        .fresh_lab(&Plan::bare(vec![MemberSpec::real(REAL)]))
        .await?;
    let member = lab.member(REAL)?;
    member
        .apply(&job("sleeper", "echo up; trap '' TERM; sleep 600", &[]))
        .await?;
    wait::until("the sleeper's log", Duration::from_secs(60), async || {
        let log = member.kubectl(&["logs", "job/sleeper"]).await?;
        if log == "up\n" { Ok(()) } else { bail!("{log:?}") }
    })
    .await?;
    let traces = sweep::container_traces(lab.dir());
    let there = traces.iter().filter(|path| path.exists()).count();
    // A sandbox: namespace, shim, runc, loopback note. A container: runc.
    ensure!(there >= 5, "a sandbox and a container leave more than {traces:?}");
    // The next `up` finds a lab that is not whole and has to take it away first.
    member.daemon("kubelet")?.kill().await?;
    let lab = Lab::up(lab.dir(), lab.plan().clone(), &context.reporter).await?;
    let left: Vec<_> = traces.iter().filter(|path| path.exists()).collect();
    ensure!(left.is_empty(), "left behind: {left:?}");
    lab.down().await?;
    gone(lab.dir())
}

/// What runs a job carries no mark of the lab, and here nothing that would end it is left.
pub(super) async fn slurm_jobs_are_taken_away_whole(context: &Context) -> Result<()> {
    need_real()?;
    let mut member = MemberSpec::slurm(SLURM);
    member.slurm.containers = true;
    let lab = context.fresh_lab(&Plan::bare(vec![member])).await?;
    let cluster = lab.slurm(SLURM)?;
    let script = "#!/bin/sh\ntrap '' TERM\nsetsid sleep 600 &\necho up\nsleep 600\n";
    let bundle = cluster.bundle().context("a bundle")?;
    for (name, more) in [("bare", json!({})), ("contained", json!({"container": bundle}))] {
        cluster.submit(name, script, &more).await?;
        wait::until(&format!("{name} to print"), Duration::from_secs(60), async || {
            let said = fs::read_to_string(cluster.output(name))?;
            if said == "up\n" { Ok(()) } else { bail!("{said:?}") }
        })
        .await?;
    }
    for daemon in cluster.daemons() {
        daemon.kill().await?;
    }
    let left = cluster.programs();
    let unmarked = left.iter().filter(|running| running.mark().is_none()).count();
    // Of each job: slurmstepd, the script, two sleepers.
    ensure!(
        unmarked >= 8,
        "the jobs go on without a daemon: {unmarked} of {}",
        left.len()
    );
    lab.down().await?;
    let alive: Vec<_> = left.iter().filter(|running| running.alive()).collect();
    ensure!(alive.is_empty(), "still running: {alive:?}");
    ensure!(
        !cluster.home().exists(),
        "{} still exists",
        cluster.home().display()
    );
    gone(lab.dir())
}

/// Kills `up` early, late and at a moment nobody chose, then repeats it in the same directory.
pub(super) async fn killed_up(context: &Context) -> Result<()> {
    let dir = context.fresh_dir();
    let members = if machine::no_real_nodes().is_none() {
        "m-1:real,m-2:kwok,m-3:slurm"
    } else {
        "m-1:kwok,m-2:kwok"
    };
    let chosen = SystemTime::now()
        .duration_since(SystemTime::UNIX_EPOCH)?
        .subsec_millis()
        * 8;
    for after in [100, 700, 2_000, 4_500, chosen].map(|millis| Duration::from_millis(millis.into())) {
        let mut up = spawn_up(&dir, members)?;
        sleep(after).await;
        up.kill()?;
        up.wait()?;
        context.reporter.note(format!(
            "up killed after {after:?}: {} leftovers",
            sweep::leftovers(&dir).len()
        ));
    }
    let status = spawn_up(&dir, members)?.wait()?;
    ensure!(status.success(), "up after five kills: {status}");
    let lab = Lab::open(&dir)?;
    lab.member("m-2")?
        .kubectl(&["get", "serviceaccount", "default"])
        .await?;
    ensure!(!sweep::leftovers(&dir).is_empty(), "what runs is seen");
    lab.down().await?;
    gone(&dir)?;

    let mut up = spawn_up(&dir, members)?;
    sleep(Duration::from_secs(3)).await;
    up.kill()?;
    up.wait()?;
    lab::down(&dir).await?;
    gone(&dir)
}

fn gone(dir: &Path) -> Result<()> {
    let left = sweep::leftovers(dir);
    ensure!(left.is_empty(), "left behind: {left:?}");
    ensure!(!dir.exists(), "{} still exists", dir.display());
    Ok(())
}

/// Our own `up`, by the program that runs now, whatever cargo put in its place meanwhile.
fn spawn_up(dir: &Path, members: &str) -> Result<std::process::Child> {
    Command::new(format!("/proc/{}/exe", std::process::id()))
        .arg("up")
        .arg("--no-operator")
        .arg(format!("--members={members}"))
        .arg("--dir")
        .arg(dir)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .context("start up")
}
