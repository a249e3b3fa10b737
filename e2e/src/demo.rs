//! The demonstration: a job, a policy, a spread, a Slurm cluster, as a user sees them, on a lab of its own.
//! Called by `commands`. `stage` shows commands and what they print, `facts` reads the clusters, `claims` judges.

mod claims;
mod facts;
mod one_job;
mod overflow;
mod policy;
mod spread;
mod stage;

use std::path::Path;
use std::time::SystemTime;

use anyhow::{Result, bail};
use sha2::{Digest, Sha256};

use crate::lab::Lab;
use crate::machine;
use crate::plan::{MemberSpec, Plan};
use crate::report::Reporter;
use claims::Claims;
use stage::Stage;

const NO_SLURM: &str = "no Slurm cluster in this lab: it needs root, and a lab that `demo` itself brings up";

/// Whether a lab is up at `dir` on which the demonstration can run; an error if there is another.
pub fn finds_its_lab(dir: &Path) -> Result<bool> {
    let Ok(lab) = Lab::open(dir) else {
        return Ok(false);
    };
    let mut usual = Plan::default();
    if machine::no_real_nodes().is_some() {
        usual.without_real();
    }
    // On what `cargo e2e up` brings up, all of it can be shown but Slurm.
    if ![usual, plan()].contains(lab.plan()) {
        bail!(
            "a lab with other clusters is up at {}: `cargo e2e down` takes it away, --dir names another place",
            dir.display()
        );
    }
    Ok(true)
}

/// The usual clusters, and one of Slurm where this machine can run one.
fn plan() -> Plan {
    let mut plan = Plan::default();
    match machine::no_real_nodes() {
        Some(_) => plan.without_real(),
        None => plan.members.push(MemberSpec::slurm(overflow::HPC)),
    }
    plan
}

/// Runs the demonstration in `dir` and leaves the lab up. False when a claim does not hold; an error when
/// the lab did not come up.
pub async fn run(dir: &Path, reporter: &Reporter) -> Result<bool> {
    let plan = match Lab::open(dir) {
        Ok(lab) => lab.plan().clone(),
        Err(_) => plan(),
    };
    let lab = Lab::up(dir, plan, reporter).await?;
    let mut claims = Claims::default();
    let stage = Stage::new(lab, reporter.clone());
    if let Err(error) = tell(&stage, &mut claims).await {
        claims.check("every command of the demonstration succeeds", Err(error));
    }
    stage.heading("What was claimed");
    let holds = claims.conclude(reporter);
    if !holds {
        reporter.note(stage.lab().log_tails());
    }
    Ok(holds)
}

async fn tell(stage: &Stage, claims: &mut Claims) -> Result<()> {
    stage.heading("Three clusters join");
    stage.run("kubectl sky join --all-contexts").await?;
    stage.run("kubectl sky get clusters").await?;
    one_job::show(stage, claims).await?;
    policy::show(stage, claims).await?;
    spread::show(stage, claims).await?;
    if stage.lab().plan().wants_slurm() {
        overflow::show(stage, claims).await
    } else {
        claims.skip("4: a job overflows from Slurm to Kubernetes", NO_SLURM);
        Ok(())
    }
}

/// `sky-` and 8 hex digits, as the original named its jobs.
fn new_name() -> String {
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
    let digest = Sha256::digest(now.unwrap_or_default().as_nanos().to_be_bytes());
    let hex: String = digest.iter().take(4).map(|byte| format!("{byte:02x}")).collect();
    format!("sky-{hex}")
}
