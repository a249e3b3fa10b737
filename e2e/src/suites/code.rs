//! Suite `code`: the five kinds from programs, by the library sky-crds and by the official Python client. The programs
//! are `crds/examples/`, as docs/from-code.md shows them.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context as _, Result, bail, ensure};
use futures::FutureExt;
use sha2::{Digest, Sha256};
use tokio::process::Command;
use tokio::time::timeout;

use super::sky::Sky;
use super::{Case, Suite};
use crate::cluster;
use crate::packages;
use crate::programs::cache_home;
use crate::report::Reporter;
use crate::runner::Context;
use crate::workspace;

pub const SUITE: Suite = Suite {
    name: "code",
    about: "programs create, watch and delete the five kinds, in Rust and in Python",
    cases: &[
        Case {
            name: "the_rust_examples_do_what_they_say",
            run: |context| in_rust(context).boxed_local(),
        },
        Case {
            name: "the_python_examples_do_what_they_say",
            run: |context| in_python(context).boxed_local(),
        },
    ],
};

/// Of one program.
const BOUND: Duration = Duration::from_secs(300);
const KINDS: [&str; 5] = [
    "SkyCluster",
    "SkyNamespace",
    "FilterPolicy",
    "SkyJob",
    "SkyDeployment",
];

async fn in_rust(context: &Context) -> Result<()> {
    let sky = Sky::on(context, &super::argocd::plan()).await?;
    let folder = examples(&context.reporter).await?;
    let program = |name: &str| Command::new(folder.join(name));
    first_job(&run(&sky, program("first_job")).await?)?;
    five_kinds(&run(&sky, program("five_kinds")).await?)
}

async fn in_python(context: &Context) -> Result<()> {
    let sky = Sky::on(context, &super::argocd::plan()).await?;
    let folder = workspace::root().join("crds/examples/python");
    let python = python(&folder, &context.reporter).await?;
    let program = |name: &str| {
        let mut command = Command::new(&python);
        command.arg(folder.join(name));
        command
    };
    first_job(&run(&sky, program("first_job.py")).await?)?;
    five_kinds(&run(&sky, program("five_kinds.py")).await?)
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

/// Runs a program as a user of the host; returns what it said.
async fn run(sky: &Sky, mut command: Command) -> Result<String> {
    command.envs(sky.lab.exec_env());
    let what = format!("{:?}", command.as_std());
    timeout(BOUND, cluster::run(command, &what, None)).await?
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

/// A Python with what `requirements.txt` pins, made once per content in a cache outside the checkout.
async fn python(folder: &Path, reporter: &Reporter) -> Result<PathBuf> {
    let requirements = folder.join("requirements.txt");
    let interpreter = packages::python(reporter).await?.display().to_string();
    let version = output(&interpreter, &["--version"]).await?;
    let mut hash = Sha256::new();
    hash.update(fs::read(&requirements)?);
    hash.update(version);
    let key: String = hash
        .finalize()
        .iter()
        .take(8)
        .map(|byte| format!("{byte:02x}"))
        .collect();
    let home = cache_home()?
        .join("sky-manager/lab")
        .join(format!("python-{key}"));
    fs::create_dir_all(&home)?;
    let lock = File::create(home.join("lock"))?;
    // Held until the end of this function: two at once would write into each other's.
    let _lock = tokio::task::spawn_blocking(move || lock.lock().map(|()| lock)).await??;
    let (python, made) = (home.join("venv/bin/python"), home.join("made"));
    if !made.is_file() {
        let step = reporter.step("installing the Python client");
        let _ = fs::remove_dir_all(home.join("venv"));
        output(
            &interpreter,
            &["-m", "venv", &home.join("venv").display().to_string()],
        )
        .await?;
        let pinned = requirements.display().to_string();
        let install = [
            "-m",
            "pip",
            "install",
            "--quiet",
            "--require-hashes",
            "-r",
            &pinned,
        ];
        output(&python.display().to_string(), &install).await?;
        fs::write(&made, "")?;
        step.done();
    }
    Ok(python)
}

async fn output(program: &str, arguments: &[&str]) -> Result<String> {
    let mut command = Command::new(program);
    command.args(arguments);
    match cluster::run(command, program, None).await {
        Ok(said) => Ok(said),
        Err(error) => bail!("{program} {}: {error:#}", arguments.join(" ")),
    }
}
