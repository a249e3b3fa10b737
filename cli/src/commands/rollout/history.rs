//! The revisions of a deployment: all in a table, or one as it was.

use jiff::Timestamp;
use kube::ResourceExt as _;
use sky_convert::revision::{self, Kept};

use super::{Named, Target, numbered};
use crate::output;
use crate::table::{Table, age};

/// List the revisions of a deployment's template, or show one.
#[derive(clap::Args, Debug)]
pub(super) struct Args {
    #[command(flatten)]
    pub(super) named: Named,
    /// Show the template of this revision
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(i64).range(1..))]
    revision: Option<i64>,
}

pub(super) async fn run(target: &Target, args: &Args) -> anyhow::Result<()> {
    let deployment = target.get().await?;
    let kept = target.revisions(&deployment.uid().unwrap_or_default()).await?;
    let text = match args.revision {
        Some(number) => output::yaml(&[numbered(&kept, number, &target.reference())?.template.clone()])?,
        None if kept.is_empty() => {
            output::note(&format!(
                "{} has no revisions: no operator has rolled it out yet",
                target.reference()
            ));
            return Ok(());
        }
        None => table(&kept, Timestamp::now()).render(),
    };
    output::print(&text)?;
    Ok(())
}

pub(super) fn table(kept: &[Kept], now: Timestamp) -> Table {
    let mut table = Table::new(vec!["REVISION", "AGE", "CHANGE"]);
    for kept in kept {
        let created = kept.created.as_ref().map(|time| time.0);
        table.row(vec![
            kept.revision.number.to_string(),
            age(created, now),
            revision::change(&kept.template),
        ]);
    }
    table
}
