//! The command line: what it takes and which part of the lab does it. Called by `main`.

use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, Result, bail};
use clap::{Args, Parser, Subcommand, ValueEnum};
use tokio::signal::unix::{SignalKind, signal};

use crate::demo;
use crate::doctor;
use crate::helm;
use crate::lab::{self, Lab};
use crate::network::Network;
use crate::network::proxy;
use crate::operator;
use crate::plan::{HOST, MemberSpec, NodeKind, Plan};
use crate::report::Reporter;
use crate::runner;
use crate::slurm;
use crate::state;

/// Real clusters, Kubernetes and Slurm, on this machine, with Sky Manager on them
#[derive(Debug, Parser)]
#[command(name = "sky-e2e", bin_name = "cargo e2e", version)]
pub struct CommandLine {
    /// The lab's directory [default: sky-lab in the user's state directory]
    #[arg(long, global = true, env = "SKY_LAB_DIR")]
    dir: Option<PathBuf>,
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Bring up a lab, wait until it is ready, leave it running
    Up(Up),
    /// Take the lab down and delete its directory
    Down,
    /// Bring up a lab and show what Sky Manager does on it
    Demo {
        /// Leave the lab running
        #[arg(long)]
        keep: bool,
    },
    /// Run suites; with no names the workspace's own checks and then all suites
    Test {
        suites: Vec<String>,
        /// How many suites run side by side [default: 2, with one CPU 1]
        #[arg(long, value_parser = clap::value_parser!(u8).range(1..=16))]
        lanes: Option<u8>,
        /// Only cases whose name contains this
        #[arg(long, value_name = "TEXT", requires = "suites")]
        case: Option<String>,
    },
    /// Say what is there, what is missing and what to do
    Doctor,
    /// Write what is made from the chart: dist/install.yaml, the table in its README, what the tests compare
    Render,
    /// Print the path of a kubeconfig: the host's with all contexts, or one cluster's
    Kubeconfig { name: Option<String> },
    /// Print what to export to work with the lab: eval "$(cargo e2e env)"
    Env,
    /// Print a new token for the REST API of a Slurm member
    Token {
        member: String,
        /// Whose token
        #[arg(long, default_value = slurm::JOB_USER)]
        user: String,
        /// How long it is good for
        #[arg(long, value_name = "SECONDS", default_value_t = 3600)]
        life: u64,
    },
    /// Run a command with the host's KUBECONFIG and the lab's programs on PATH
    Exec {
        #[arg(trailing_var_arg = true, allow_hyphen_values = true, required = true)]
        command: Vec<String>,
    },
    /// Set the network to a member: pass, refuse, hang, freeze, mute, reset or delay:MILLISECONDS
    Net { member: String, network: Network },
    /// Stop, continue, terminate, kill or restart one program of one cluster
    Daemon {
        cluster: String,
        program: String,
        action: Action,
    },
    /// The proxy between operator and member
    #[command(hide = true)]
    NetworkProxy(proxy::Settings),
}

#[derive(Debug, Args)]
struct Up {
    /// Members as NAME[:real|kwok|slurm] [default: mluo-onprem:real,mluo-cloud:real,cloud-2:kwok]
    #[arg(long, value_delimiter = ',')]
    members: Vec<MemberSpec>,
    /// Neither build nor start the operator
    #[arg(long)]
    no_operator: bool,
    /// Give the host a node of its own
    #[arg(long, value_name = "KIND")]
    host_node: Option<NodeKind>,
    /// Nodes of each kwok member
    #[arg(long, default_value_t = 1)]
    kwok_nodes: u32,
    /// Cores of each kwok node
    #[arg(long, default_value_t = 2)]
    kwok_cpu: u32,
    /// Memory of each kwok node
    #[arg(long, default_value = "2Gi")]
    kwok_memory: String,
    #[command(flatten)]
    slurm: SlurmNodes,
}

#[derive(Debug, Args)]
struct SlurmNodes {
    /// Nodes of each Slurm member
    #[arg(long, default_value_t = 2)]
    slurm_nodes: u32,
    /// Cores of each Slurm node; the machine need not have them
    #[arg(long, default_value_t = 4)]
    slurm_cpu: u32,
    /// Memory of each Slurm node
    #[arg(long, default_value = "4Gi")]
    slurm_memory: String,
    /// GPUs of each Slurm node as MODEL:COUNT; they are only counted
    #[arg(long, value_name = "MODEL:COUNT", value_parser = gpus)]
    slurm_gpus: Option<(String, u32)>,
    /// Seconds that Slurm remembers a finished job
    #[arg(long, value_name = "SECONDS", default_value_t = 300)]
    slurm_min_job_age: u32,
    /// Let jobs of Slurm members run in containers, by runc
    #[arg(long)]
    slurm_containers: bool,
    /// Put TLS before slurmrestd of Slurm members
    #[arg(long)]
    slurm_https: bool,
    /// Give Slurm members accounting: slurmdbd and a database
    #[arg(long)]
    slurm_accounting: bool,
    /// A line for slurm.conf of Slurm members, instead of the lab's own of that key; may be given again
    #[arg(long, value_name = "KEY=VALUE")]
    slurm_conf: Vec<String>,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum Action {
    /// SIGSTOP
    Stop,
    /// SIGCONT
    Continue,
    /// SIGTERM
    Terminate,
    /// SIGKILL
    Kill,
    /// SIGKILL and start again with the same arguments
    Restart,
}

/// Does what the command line says; the value is the exit code.
pub async fn run(line: CommandLine) -> Result<u8> {
    let dir = state::resolve(line.dir.as_deref())?;
    let reporter = Reporter::new();
    match line.command {
        Command::Up(up) => return bring_up(&dir, up.plan(), &reporter).await,
        Command::Down => {
            lab::down(&dir).await?;
            reporter.note(format!("no lab is left at {}", dir.display()));
        }
        Command::Demo { keep } => return demonstrate(&dir, keep, &reporter).await,
        Command::Render => helm::render(&reporter).await?,
        Command::Test { suites, lanes, case } => {
            let only = case.unwrap_or_default();
            return test(&suites, &only, lanes, &reporter).await;
        }
        Command::Doctor => return Ok(u8::from(!doctor::run(&dir, &reporter)?)),
        Command::Kubeconfig { name } => {
            let lab = Lab::open(&dir)?;
            let path = match name.as_deref() {
                None | Some(HOST) => lab.kubeconfig(),
                Some(name) => lab.member(name)?.kubeconfig(),
            };
            reporter.result(path.display());
        }
        Command::Env => reporter.result(Lab::open(&dir)?.exports()),
        Command::Token { member, user, life } => {
            let cluster = Lab::open(&dir)?.slurm(&member)?;
            reporter.result(cluster.mint(&user, Duration::from_secs(life))?);
        }
        Command::Exec { command } => return exec(&Lab::open(&dir)?, &command).await,
        Command::Net { member, network } => Lab::open(&dir)?.network(&member, network).await?,
        Command::Daemon {
            cluster,
            program,
            action,
        } => {
            let daemon = Lab::open(&dir)?.daemon(&cluster, &program)?;
            match action {
                Action::Stop => daemon.stop()?,
                Action::Continue => daemon.cont()?,
                Action::Terminate => daemon.terminate().await?,
                Action::Kill => daemon.kill().await?,
                Action::Restart => daemon.restart().await?,
            }
        }
        Command::NetworkProxy(settings) => proxy::run(settings).await?,
    }
    Ok(0)
}

impl Up {
    fn plan(self) -> Plan {
        let mut plan = Plan {
            host_node: self.host_node,
            operator: !self.no_operator,
            ..Plan::default()
        };
        if !self.members.is_empty() {
            plan.members = self.members;
        }
        for member in &mut plan.members {
            match member.kind {
                NodeKind::Real => {}
                NodeKind::Kwok => {
                    (member.nodes, member.cpu) = (self.kwok_nodes, self.kwok_cpu);
                    member.memory.clone_from(&self.kwok_memory);
                }
                NodeKind::Slurm => self.slurm.shape(member),
            }
        }
        plan
    }
}

impl SlurmNodes {
    fn shape(&self, member: &mut MemberSpec) {
        (member.nodes, member.cpu) = (self.slurm_nodes, self.slurm_cpu);
        member.memory.clone_from(&self.slurm_memory);
        if let Some((model, count)) = &self.slurm_gpus {
            (member.slurm.gpu_model, member.slurm.gpus) = (model.clone(), *count);
        }
        member.slurm.min_job_age = self.slurm_min_job_age;
        member.slurm.extra.clone_from(&self.slurm_conf);
        (member.slurm.containers, member.slurm.https) = (self.slurm_containers, self.slurm_https);
        member.slurm.accounting = self.slurm_accounting;
    }
}

fn gpus(text: &str) -> Result<(String, u32)> {
    let (model, count) = text.split_once(':').context("MODEL:COUNT")?;
    Ok((model.to_owned(), count.parse()?))
}

async fn bring_up(dir: &Path, plan: Plan, reporter: &Reporter) -> Result<u8> {
    let up = tokio::select! {
        up = Lab::up(dir, plan, reporter) => Some(up?),
        () = interrupted() => None,
    };
    let Some(lab) = up else {
        reporter.note("interrupted: taking it down");
        lab::down(dir).await?;
        return Ok(130);
    };
    let log = lab
        .host()?
        .folder()
        .join("log")
        .join(format!("{}.log", operator::NAME));
    reporter.note(format!("ready; export KUBECONFIG={}", lab.kubeconfig().display()));
    if lab.plan().operator {
        reporter.note(format!("the operator's log is {}", log.display()));
    }
    Ok(0)
}

/// Takes the lab down unless it shall be kept or was up before.
async fn demonstrate(dir: &Path, keep: bool, reporter: &Reporter) -> Result<u8> {
    let was_up = demo::finds_its_lab(dir)?;
    let outcome = tokio::select! {
        holds = demo::run(dir, reporter) => Some(holds?),
        () = interrupted() => None,
    };
    if was_up || (keep && outcome.is_some()) {
        reporter.result(format!(
            "\nThe lab is still up; `cargo e2e down` takes it down. To work with it:\n{}",
            Lab::open(dir)?.exports()
        ));
    } else {
        reporter.note("taking the lab down");
        lab::down(dir).await?;
    }
    Ok(match outcome {
        Some(true) => 0,
        Some(false) => 1,
        None => 130,
    })
}

async fn test(suites: &[String], only: &str, lanes: Option<u8>, reporter: &Reporter) -> Result<u8> {
    // A suite mostly waits for others' processes. Three labs are near the 128 inotify instances that a user may have.
    let cpus = std::thread::available_parallelism().map_or(1, usize::from);
    let lanes = lanes.map_or(cpus.min(2), usize::from);
    runner::clean()
        .await
        .context("take away the labs of a run that was killed")?;
    let result = tokio::select! {
        result = runner::run(suites, only, lanes, reporter) => Some(result),
        () = interrupted() => None,
    };
    match result {
        Some(Ok(good)) => Ok(u8::from(!good)),
        Some(Err(error)) => {
            runner::abandon().await?;
            Err(error)
        }
        None => {
            reporter.note("interrupted: taking the labs down");
            runner::abandon().await?;
            Ok(130)
        }
    }
}

async fn exec(lab: &Lab, command: &[String]) -> Result<u8> {
    let [program, arguments @ ..] = command else {
        bail!("no command")
    };
    // The new PATH must also decide where the program itself is found.
    let path = lab
        .exec_env()
        .into_iter()
        .find_map(|(name, value)| (name == "PATH").then_some(value));
    let found = std::env::split_paths(&path.unwrap_or_default())
        .map(|folder| folder.join(program))
        .find(|path| !program.contains('/') && path.is_file());
    let status = tokio::process::Command::new(found.unwrap_or_else(|| program.into()))
        .args(arguments)
        .envs(lab.exec_env())
        .status()
        .await
        .with_context(|| format!("run {program}"))?;
    Ok(status
        .code()
        .and_then(|code| u8::try_from(code).ok())
        .unwrap_or(1))
}

/// Returns on Ctrl-C or SIGTERM; never when they cannot be caught.
async fn interrupted() {
    let (Ok(mut interrupt), Ok(mut terminate)) =
        (signal(SignalKind::interrupt()), signal(SignalKind::terminate()))
    else {
        return std::future::pending().await;
    };
    tokio::select! {
        _ = interrupt.recv() => {}
        _ = terminate.recv() => {}
    }
}
