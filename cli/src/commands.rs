//! The commands and their common flags. Each command's arguments and behaviour are in its own file.

pub mod allow_config;
pub mod apply;
pub mod convert;
pub mod create;
pub mod delete;
pub mod get;
pub mod join;
pub mod logs;
pub mod retry;
pub mod rollout;
pub mod scale;
pub mod simulate;
pub mod snapshot;
pub mod unjoin;
pub mod why;

use clap::{Parser, Subcommand};

use crate::client::Global;

/// Namespace of the operator, its Secrets and its configuration, unless a flag says otherwise.
pub const OPERATOR_NAMESPACE: &str = "sky-system";

/// One gigantic cluster out of many: jobs and deployments over Kubernetes and Slurm clusters.
///
/// Sky Manager's objects live in one host cluster, which is the context that kubectl would use. `kubectl get sky`
/// lists them all; these commands add what needs more than one object or a member cluster.
#[derive(Parser, Debug)]
#[command(name = "kubectl-sky", bin_name = "kubectl sky", version, max_term_width = 100)]
pub struct Cli {
    /// Flags of kubectl.
    #[command(flatten)]
    pub global: Global,
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

/// The commands; each is described at its arguments.
#[derive(Subcommand, Debug)]
pub enum Command {
    Join(join::Args),
    Unjoin(unjoin::Args),
    Get(get::Args),
    Create(create::Args),
    Delete(delete::Args),
    Logs(logs::Args),
    Retry(retry::Args),
    Scale(scale::Args),
    Rollout(rollout::Args),
    #[command(visible_alias = "explain")]
    Why(why::Args),
    Simulate(simulate::Args),
    Snapshot(snapshot::Args),
    AllowConfig(allow_config::Args),
    Apply(apply::Args),
    Convert(convert::Args),
}

/// Runs a parsed command line.
///
/// # Errors
/// The command's own, as one line with what to do.
pub async fn run(cli: Cli) -> anyhow::Result<()> {
    let global = &cli.global;
    match cli.command {
        Command::Join(args) => join::run(global, args).await,
        Command::Unjoin(args) => unjoin::run(global, args).await,
        Command::Get(args) => get::run(global, args).await,
        Command::Create(args) => create::run(global, args).await,
        Command::Delete(args) => delete::run(global, args).await,
        Command::Logs(args) => logs::run(global, args).await,
        Command::Retry(args) => retry::run(global, args).await,
        Command::Scale(args) => scale::run(global, args).await,
        Command::Rollout(args) => rollout::run(global, args).await,
        Command::Why(args) => why::run(global, args).await,
        Command::Simulate(args) => simulate::run(global, args).await,
        Command::Snapshot(args) => snapshot::run(global, args).await,
        Command::AllowConfig(args) => allow_config::run(global, args).await,
        Command::Apply(args) => apply::run(global, args).await,
        Command::Convert(args) => convert::run(&args),
    }
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory as _;

    use super::*;

    fn parse(line: &str) -> Result<Cli, clap::Error> {
        Cli::try_parse_from(line.split_whitespace())
    }

    #[test]
    fn the_command_line_is_sound() {
        Cli::command().debug_assert();
    }

    #[test]
    fn the_original_command_lines_parse() {
        for line in [
            "sky get clusters",
            "sky get cluster cluster-2",
            "sky create cluster skycluster --manager k8",
            "sky create cluster cluster-1 --manager k8s --labels sky-cluster-name mycluster-dev-1 --labels purpose dev",
            "sky get jobs",
            "sky get job hello",
            "sky create job sky-1 --resources cpu 1 --run echo",
            "sky create job sky-1 --resources cpu 1 --resources memory 128 --run echo --namespace other",
            "sky delete cluster cluster-1",
            "sky join --all-contexts",
            "sky logs -f job/a --rank 0",
            "sky why job/a -o wide",
            "sky explain job a",
            "sky why a -n other",
            "sky simulate -f a.yaml b/ --offline -o json --without c1,c2 --cordon c3 --replicas 4 --exit-code",
            "sky snapshot -o json",
            "sky retry job/a -n shop",
            "sky scale skyd/web --replicas 0 -n shop",
            "sky scale web --replicas 100",
            "sky rollout status skydeployment/web --watch=false --timeout 60",
            "sky rollout status skyd/web --watch",
            "sky rollout history skyd/web --revision 3",
            "sky rollout undo skyd/web --to-revision 2",
            "sky rollout restart skyd/web",
            "sky rollout pause skyd/web -n shop",
            "sky rollout resume skyd/web",
            "sky allow-config shop",
            "sky allow-config shop --remove --operator-namespace ops --service-account o",
        ] {
            assert!(parse(line).is_ok(), "{line}: {}", parse(line).unwrap_err());
        }
    }

    #[test]
    fn wrong_uses_exit_with_2() {
        for line in [
            "sky",
            "sky get",
            "sky get nothing",
            "sky join",
            "sky join a --all-contexts",
            "sky join a",
            "sky join a --from-context c --token-seconds 599",
            "sky create cluster a",
            "sky create cluster a --manager slurm",
            "sky create job a --resources cpu",
            "sky apply",
            "sky unjoin",
            "sky why",
            "sky why a b c",
            "sky simulate",
            "sky simulate -f a --replicas 0",
            "sky retry",
            "sky scale skyd/web",
            "sky scale skyd/web --replicas -1",
            "sky scale skyd/web --replicas many",
            "sky rollout",
            "sky allow-config",
            "sky rollout undo",
            "sky rollout undo skyd/web --to-revision 0",
        ] {
            assert_eq!(
                parse(line).map(|_| 0).unwrap_or_else(|error| error.exit_code()),
                2,
                "{line}"
            );
        }
    }
}
