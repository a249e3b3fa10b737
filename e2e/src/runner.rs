//! Runs suites, some of them side by side: gives each case the labs it asks for, takes them down whatever happens,
//! counts, and prints the closing line. Fed by `commands`; the suites themselves are listed in `suites`.

use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
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

/// What a run has seen so far.
#[derive(Default)]
struct Tally {
    counts: Cell<Counts>,
    /// A line for each failure, told again at the end: the first one may be thousands of lines above it.
    failures: RefCell<Vec<String>>,
}

impl Tally {
    fn add(&self, more: Counts) {
        let mut sum = self.counts.get();
        sum.add(more);
        self.counts.set(sum);
    }

    fn fail(&self, line: impl Into<String>) {
        self.failures.borrow_mut().push(line.into());
    }

    fn conclude(&self, reporter: &Reporter) {
        let counts = self.counts.get();
        for line in self.failures.borrow().iter() {
            reporter.result(line);
        }
        if counts.skipped > 0 {
            reporter.result(format!("{} skipped", counts.skipped));
        }
        reporter.result(counts.line());
    }
}

/// What a case works with.
pub struct Context {
    pub reporter: Reporter,
    root: PathBuf,
    /// Which of those that work side by side this is; in the names of its labs.
    lane: usize,
    labs: Cell<u32>,
    shared: RefCell<Option<Lab>>,
    own: RefCell<Vec<PathBuf>>,
    remark: RefCell<Option<String>>,
}

impl Context {
    /// A lab of this plan, shared with the suite's cases before and after that want the same. A case that fails
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
        self.root.join(format!("{}.{}", self.lane, self.labs.get()))
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

/// A suite, and what the names of its cases to be run contain.
#[derive(Clone, Copy)]
struct Chosen<'a> {
    suite: &'static Suite,
    only: &'a str,
}

/// Runs the suites of these names, of them the cases with `only` in their names, or the workspace's checks and then every suite when there are none, and
/// prints the closing line. `lanes` suites run at the same time. False when anything failed.
pub async fn run(names: &[String], only: &str, lanes: usize, reporter: &Reporter) -> Result<bool> {
    let chosen = suites::named(names)?;
    let cases = |suite: &&Suite| suite.cases.iter().any(|case| case.name.contains(only));
    let chosen: Vec<Chosen> = chosen
        .into_iter()
        .filter(cases)
        .map(|suite| Chosen { suite, only })
        .collect();
    if chosen.is_empty() {
        bail!("no case of {} has {only:?} in its name", names.join(", "));
    }
    let root = labs_root()?;
    let tally = Tally::default();
    let outcome = run_all(&root, names.is_empty(), chosen, lanes, reporter, &tally).await;
    if let Err(error) = outcome {
        tally.fail(format!("FAILED the run: {error:#}"));
        tally.add(Counts::FAILED);
        abandon().await?;
    }
    let _ = fs::remove_dir_all(root);
    tally.conclude(reporter);
    Ok(tally.counts.get().failed == 0)
}

/// Adds to `tally` as it goes; an error ends the run.
async fn run_all(
    root: &Path,
    everything: bool,
    chosen: Vec<Chosen<'_>>,
    lanes: usize,
    reporter: &Reporter,
    tally: &Tally,
) -> Result<()> {
    if everything {
        let (counts, failed) = workspace::check(reporter).await?;
        tally.add(counts);
        failed.into_iter().for_each(|line| tally.fail(line));
    }
    let lanes = lanes.clamp(1, chosen.len().max(1));
    let waiting = RefCell::new(VecDeque::from(chosen));
    let lanes = (0..lanes).map(|lane| {
        let context = Context {
            reporter: reporter.clone(),
            root: root.to_owned(),
            lane,
            labs: Cell::new(0),
            shared: RefCell::new(None),
            own: RefCell::new(Vec::new()),
            remark: RefCell::new(None),
        };
        run_lane(context, &waiting, lanes > 1, tally)
    });
    futures::future::try_join_all(lanes).await?;
    Ok(())
}

/// Runs one suite after the other until none waits; when others do the same, a suite's results are printed at its end.
async fn run_lane(
    mut context: Context,
    waiting: &RefCell<VecDeque<Chosen<'_>>>,
    beside_others: bool,
    tally: &Tally,
) -> Result<()> {
    let reporter = context.reporter.clone();
    loop {
        // A suite may leave in its lab what another does not expect.
        context.drop_shared().await?;
        let Some(chosen) = waiting.borrow_mut().pop_front() else {
            return Ok(());
        };
        let suite = chosen.suite;
        if beside_others {
            context.reporter = reporter.page(suite.name);
        }
        context
            .reporter
            .result(format!("\n{}: {}", suite.name, suite.about));
        let outcome = run_suite(&context, chosen, tally).await;
        context.reporter.publish();
        outcome?;
    }
}

async fn run_suite(context: &Context, chosen: Chosen<'_>, tally: &Tally) -> Result<()> {
    let picked = |case: &&Case| case.name.contains(chosen.only);
    for case in chosen.suite.cases.iter().filter(picked) {
        let (counts, line) = run_case(context, case).await?;
        tally.add(counts);
        if counts == Counts::FAILED {
            tally.fail(format!("{}: {line}", chosen.suite.name));
        }
    }
    Ok(())
}

/// Takes down every lab of this run: for an interrupt.
pub async fn abandon() -> Result<()> {
    sweep_run(&run_dir()?).await
}

/// How the case ended, and the line that says so.
async fn run_case(context: &Context, case: &Case) -> Result<(Counts, String)> {
    let begin = Instant::now();
    let outcome = (case.run)(context).await;
    let seconds = begin.elapsed().as_secs_f32();
    let remark = context
        .remark
        .take()
        .map_or_else(String::new, |text| format!("{text}, "));
    let (counts, line) = match &outcome {
        Ok(()) => (
            Counts::PASSED,
            format!("ok {} ({remark}{seconds:.1} s)", case.name),
        ),
        Err(error) if error.is::<Skip>() => (Counts::SKIPPED, format!("skipped {}: {error}", case.name)),
        Err(error) => (Counts::FAILED, format!("FAILED {}: {error:#}", case.name)),
    };
    if context.reporter.holds() {
        context.reporter.note(&line);
    }
    context.reporter.result(&line);
    if counts == Counts::FAILED {
        context.reporter.result(context.log_tails());
        context.drop_shared().await?;
    }
    context
        .drop_own()
        .await
        .with_context(|| format!("take down the labs of {}", case.name))?;
    Ok((counts, line))
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
