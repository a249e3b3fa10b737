//! What the chart renders to, and which values it refuses. Part of the suite `helm`; needs no cluster.

use std::fs;

use anyhow::{Context as _, Result, bail, ensure};

use crate::helm::{self, Helm};
use crate::runner::Context;
use crate::{chart, workspace};

pub(super) async fn both_majors_lint_it_and_render_what_is_stored(context: &Context) -> Result<()> {
    let cases = helm::cases()?;
    for helm in Helm::both(&context.reporter).await? {
        let mut files = vec![(helm::manifest_file(), helm.manifest().await?)];
        for (values, rendered) in &cases {
            let values = values.display().to_string();
            let flags = ["--values", values.as_str()];
            helm.run(None, &["lint", "--strict", "charts/sky", flags[0], flags[1]])
                .await?;
            let text = helm.template(&flags).await?;
            ensure!(
                text == helm.template(&flags).await?,
                "{values}: two renderings differ"
            );
            files.push((rendered.clone(), text));
        }
        for (path, wanted) in files {
            let found = fs::read_to_string(&path).with_context(|| format!("read {}", path.display()))?;
            ensure!(
                found == wanted,
                "{} is not what helm {} renders: run `{}`",
                path.display(),
                helm.major,
                chart::COMMAND
            );
        }
    }
    context.remark(format!("{} sets of values, 2 majors", cases.len() + 1));
    Ok(())
}

pub(super) async fn mistyped_values_are_refused_and_named(context: &Context) -> Result<()> {
    let folder = workspace::root().join("e2e/tests/chart/refused");
    let helms = Helm::both(&context.reporter).await?;
    let mut count = 0;
    for entry in fs::read_dir(&folder)? {
        let path = entry?.path();
        let text = fs::read_to_string(&path)?;
        let wanted = text.lines().next().and_then(|line| line.strip_prefix("# "));
        let wanted = wanted.with_context(|| format!("{} does not say what it wants", path.display()))?;
        for helm in &helms {
            match helm.template(&["--values", &path.display().to_string()]).await {
                Ok(_) => bail!("helm {} takes {}", helm.major, path.display()),
                Err(refusal) => ensure!(
                    refusal.to_string().contains(wanted),
                    "helm {}: {}: no {wanted:?} in {refusal}",
                    helm.major,
                    path.display()
                ),
            }
        }
        count += 1;
    }
    ensure!(count > 0, "nothing in {}", folder.display());
    context.remark(format!("{count} sets of values, 2 majors"));
    Ok(())
}
