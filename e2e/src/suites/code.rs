//! Suite `code`: the five kinds from programs, by the library sky-crds and by the official Python client. The programs
//! are `crds/examples/`, run by the commands of docs/from-code.md as they stand there.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context as _, Result, anyhow, ensure};
use futures::FutureExt;
use tokio::process::Command;
use tokio::time::timeout;

use super::readme::shell_blocks;
use super::sky::Sky;
use super::{Case, Suite};
use crate::cluster;
use crate::packages;
use crate::report::Reporter;
use crate::runner::Context;
use crate::workspace;

pub const SUITE: Suite = Suite {
    name: "code",
    about: "programs create, watch and delete the five kinds, in Rust and in Python",
    cases: &[
        Case {
            name: "the_page_holds_in_rust",
            run: |context| in_rust(context).boxed_local(),
        },
        Case {
            name: "the_page_holds_in_python",
            run: |context| in_python(context).boxed_local(),
        },
    ],
};

const PAGE: &str = "docs/from-code.md";
/// Of one block.
const BOUND: Duration = Duration::from_secs(300);
const KINDS: [&str; 5] = [
    "SkyCluster",
    "SkyNamespace",
    "FilterPolicy",
    "SkyJob",
    "SkyDeployment",
];

/// What differs from a reader's shell: the examples are built already, with what tests are built from.
const PRELUDE: &str = r#"
cargo() {
  case "$*" in
    "run --locked -p sky-crds --example "*) "$EXAMPLES/${@: -1}" ;;
    *) command cargo "$@" ;;
  esac
}
trap 'echo "failed: $BASH_COMMAND"' ERR
"#;

async fn in_rust(context: &Context) -> Result<()> {
    let sky = Sky::on(context, &super::argocd::plan()).await?;
    let [block, _] = blocks()?;
    let said = typed(&sky, &block, &examples(&context.reporter).await?).await?;
    first_job(&said)?;
    five_kinds(&said)
}

async fn in_python(context: &Context) -> Result<()> {
    let sky = Sky::on(context, &super::argocd::plan()).await?;
    packages::python(&context.reporter).await?;
    let [_, block] = blocks()?;
    let said = typed(&sky, &block, Path::new("")).await?;
    first_job(&said)?;
    five_kinds(&said)
}

/// The commands of the page: in Rust and in Python.
fn blocks() -> Result<[String; 2]> {
    let page = fs::read_to_string(workspace::root().join(PAGE)).with_context(|| format!("read {PAGE}"))?;
    let blocks = shell_blocks(&page).try_into();
    blocks.map_err(|found: Vec<_>| anyhow!("{} blocks of sh in {PAGE}, not 2", found.len()))
}

fn first_job(said: &str) -> Result<()> {
    for wanted in ["cloud-1: ", "cloud-2: ", "cpu free", "Complete cloud-"] {
        ensure!(said.contains(wanted), "nothing says {wanted:?}:\n{said}");
    }
    Ok(())
}

fn five_kinds(said: &str) -> Result<()> {
    for kind in KINDS {
        let line = format!("{kind}: created, read, listed, updated, watched, deleted");
        ensure!(
            said.lines().any(|said| said == line),
            "nothing says {line:?}:\n{said}"
        );
    }
    Ok(())
}

/// Types a block of the page as a user of the host, beside what it names of the checkout; returns what it said.
async fn typed(sky: &Sky, block: &str, examples: &Path) -> Result<String> {
    let folder = tempfile::tempdir()?;
    symlink(workspace::root().join("crds"), folder.path().join("crds"))?;
    let mut bash = Command::new("bash");
    let script = format!("exec 2>&1\n{PRELUDE}\n{block}");
    bash.args(["-Eeuo", "pipefail", "-c", &script])
        .current_dir(folder.path())
        .envs(sky.lab.exec_env())
        .env("EXAMPLES", examples);
    timeout(BOUND, cluster::run(bash, PAGE, None))
        .await
        .context("not done in time")?
}

/// The folder of the built examples: of `SKY_LAB_BIN`, else built from this checkout, beside the program that runs now.
async fn examples(reporter: &Reporter) -> Result<PathBuf> {
    if let Some(folder) = std::env::var_os("SKY_LAB_BIN") {
        let folder = std::path::absolute(Path::new(&folder).join("examples"))?;
        ensure!(
            folder.join("five_kinds").is_file(),
            "SKY_LAB_BIN has no examples/five_kinds"
        );
        return Ok(folder);
    }
    // The whole workspace, so that what its tests were built from is used again.
    let arguments = [
        "build",
        "--workspace",
        "--locked",
        "--example",
        "first_job",
        "--example",
        "five_kinds",
    ];
    let (success, _) = workspace::run(&arguments, &[], reporter).await?;
    ensure!(success, "the examples do not build");
    let ourselves = std::env::current_exe()?;
    let folder = ourselves.parent().context("a program in no folder")?;
    Ok(folder.join("examples"))
}
