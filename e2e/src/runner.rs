//! Runs suites: gives each case the labs it asks for, takes them down whatever happens, counts, and prints
//! the closing line. Fed by `commands`; the suites themselves are listed in `suites`.

use std::cell::{Cell, RefCell};
use std::fs;
use std::path::{Path, PathBuf};
use std::time::Instant;

use anyhow::{Context as _, Result, bail};

use crate::lab::{self, Lab};
use crate::plan::Plan;
use crate::procfs::Running;
use crate::report::Reporter;
use crate::state;
use crate::suites::{self, Case, Skip, Suite};
use crate::workspace;

/// How many cases ended how.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    pub passed: u32,
    pub failed: u32,
    pub skipped: u32,
}

impl Counts {
    pub const PASSED: Self = Self {
        passed: 1,
        failed: 0,
        skipped: 0,
    };
    pub const FAILED: Self = Self {
        passed: 0,
        failed: 1,
        skipped: 0,
    };
    pub const SKIPPED: Self = Self {
        passed: 0,
        failed: 0,
        skipped: 1,
    };

    pub fn add(&mut self, other: Self) {
        self.passed += other.passed;
        self.failed += other.failed;
        self.skipped += other.skipped;
    }

    /// The closing line. Skipped cases have a line of their own before it, so that this one is always alike.
    fn line(self) -> String {
        format!("{} passed, {} failed", self.passed, self.failed)
    }
}

/// What a case works with.
pub struct Context {
    pub reporter: Reporter,
    root: PathBuf,
    labs: Cell<u32>,
    shared: RefCell<Option<Lab>>,
    own: RefCell<Vec<PathBuf>>,
    remark: RefCell<Option<String>>,
}

impl Context {
    /// A lab of this plan, shared with the cases before and after that want the same. A case that fails
    /// spoils it: the next gets a new one.
    pub async fn lab(&self, plan: &Plan) -> Result<Lab> {
        let kept = self.shared.borrow().clone().filter(|lab| *lab.plan() == *plan);
        if let Some(lab) = kept {
            return Ok(lab);
        }
        self.drop_shared().await?;
        let lab = Lab::up(&self.new_dir(), plan.clone(), &self.reporter).await?;
        self.shared.replace(Some(lab.clone()));
        Ok(lab)
    }

    /// A lab for this case alone, taken down at its end.
    pub async fn fresh_lab(&self, plan: &Plan) -> Result<Lab> {
        Lab::up(&self.fresh_dir(), plan.clone(), &self.reporter).await
    }

    /// Where this case may bring up a lab by itself; what is there is taken down at its end.
    pub fn fresh_dir(&self) -> PathBuf {
        let dir = self.new_dir();
        self.own.borrow_mut().push(dir.clone());
        dir
    }

    /// Says in the case's line how much was tried, if it passes.
    pub fn remark(&self, text: String) {
        self.remark.replace(Some(text));
    }

    fn new_dir(&self) -> PathBuf {
        self.labs.set(self.labs.get() + 1);
        self.root.join(self.labs.get().to_string())
    }

    async fn drop_shared(&self) -> Result<()> {
        let lab = self.shared.take();
        if let Some(lab) = lab {
            lab.down().await
        } else {
            Ok(())
        }
    }

    async fn drop_own(&self) -> Result<()> {
        let dirs = self.own.take();
        for dir in dirs {
            lab::down(&dir).await?;
        }
        Ok(())
    }

    fn log_tails(&self) -> String {
        let own = self
            .own
            .borrow()
            .iter()
            .filter_map(|dir| Lab::open(dir).ok())
            .collect::<Vec<_>>();
        own.iter()
            .chain(self.shared.borrow().iter())
            .map(Lab::log_tails)
            .collect()
    }
}

/// Runs the suites of these names, or the workspace's checks and then every suite when there are none, and
/// prints the closing line. False when anything failed.
pub async fn run(names: &[String], reporter: &Reporter) -> Result<bool> {
    let chosen = suites::named(names)?;
    let root = labs_root()?;
    let context = Context {
        reporter: reporter.clone(),
        root: root.clone(),
        labs: Cell::new(0),
        shared: RefCell::new(None),
        own: RefCell::new(Vec::new()),
        remark: RefCell::new(None),
    };
    let mut counts = Counts::default();
    if let Err(error) = run_all(&context, names.is_empty(), &chosen, &mut counts).await {
        reporter.result(format!("FAILED the run: {error:#}"));
        counts.add(Counts::FAILED);
        abandon().await?;
    }
    let _ = fs::remove_dir_all(root);
    if counts.skipped > 0 {
        reporter.result(format!("{} skipped", counts.skipped));
    }
    reporter.result(counts.line());
    Ok(counts.failed == 0)
}

/// Adds to `counts` as it goes; an error ends the run.
async fn run_all(context: &Context, everything: bool, chosen: &[&Suite], counts: &mut Counts) -> Result<()> {
    if everything {
        counts.add(workspace::check(&context.reporter).await?);
    }
    for suite in chosen {
        context
            .reporter
            .result(format!("\n{}: {}", suite.name, suite.about));
        for case in suite.cases {
            counts.add(run_case(context, case).await?);
        }
    }
    context.drop_shared().await
}

/// Takes down every lab of this run: for an interrupt.
pub async fn abandon() -> Result<()> {
    sweep_run(&run_dir()?).await
}

async fn run_case(context: &Context, case: &Case) -> Result<Counts> {
    let begin = Instant::now();
    let outcome = (case.run)(context).await;
    let seconds = begin.elapsed().as_secs_f32();
    let remark = context
        .remark
        .take()
        .map_or_else(String::new, |text| format!("{text}, "));
    let counts = match &outcome {
        Ok(()) => {
            context
                .reporter
                .result(format!("ok {} ({remark}{seconds:.1} s)", case.name));
            Counts::PASSED
        }
        Err(error) if error.is::<Skip>() => {
            context.reporter.result(format!("skipped {}: {error}", case.name));
            Counts::SKIPPED
        }
        Err(error) => {
            context
                .reporter
                .result(format!("FAILED {}: {error:#}", case.name));
            context.reporter.result(context.log_tails());
            context.drop_shared().await?;
            Counts::FAILED
        }
    };
    context
        .drop_own()
        .await
        .with_context(|| format!("take down the labs of {}", case.name))?;
    Ok(counts)
}

/// A directory for this run's labs, after those of runs that were killed are taken away.
fn labs_root() -> Result<PathBuf> {
    let root = run_dir()?;
    fs::create_dir_all(&root)?;
    Ok(root)
}

/// Takes away the labs of runs that were killed.
pub async fn clean() -> Result<()> {
    let home = state::home()?.join("sky-test");
    for entry in fs::read_dir(home).into_iter().flatten() {
        let path = entry?.path();
        let alive = path
            .file_name()
            .and_then(|name| name.to_str())
            .and_then(owner)
            .is_some_and(Running::alive);
        if !alive {
            sweep_run(&path).await?;
        }
    }
    Ok(())
}

async fn sweep_run(run: &Path) -> Result<()> {
    for entry in fs::read_dir(run).into_iter().flatten() {
        let path = entry?.path();
        if state::is_lab(&path) {
            lab::down(&path).await?;
        }
    }
    let _ = fs::remove_dir(run);
    Ok(())
}

/// `PID-START` of ourselves, so that another run can tell whether we live.
fn run_dir() -> Result<PathBuf> {
    let Some(we) = Running::of(i32::try_from(std::process::id())?) else {
        bail!("/proc does not know us")
    };
    Ok(state::home()?
        .join("sky-test")
        .join(format!("{}-{}", we.pid, we.started)))
}

fn owner(name: &str) -> Option<Running> {
    let (pid, started) = name.split_once('-')?;
    Some(Running {
        pid: pid.parse().ok()?,
        started: started.parse().ok()?,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_closing_line_is_always_alike() {
        let mut counts = Counts {
            passed: 4,
            failed: 1,
            skipped: 0,
        };
        counts.add(Counts::SKIPPED);
        assert_eq!(counts.line(), "4 passed, 1 failed");
    }
}
