//! What the user sees of long steps: a progress bar at a terminal, plain lines elsewhere, elapsed times in
//! both. Progress goes to stderr, results to stdout. Passed to everything that takes longer than a second.

use std::fmt::Display;
use std::io::{IsTerminal, Write};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use indicatif::{MultiProgress, ProgressBar, ProgressStyle};

/// Where progress is shown. Cheap to clone.
#[derive(Clone)]
pub struct Reporter {
    begin: Instant,
    bars: Option<Arc<MultiProgress>>,
    quiet: bool,
    page: Option<Page>,
}

/// Results that are held until they are printed in one piece, because others report at the same time.
#[derive(Clone)]
struct Page {
    name: String,
    lines: Arc<Mutex<Vec<String>>>,
}

/// One step under way; dropped without [`Step::done`] it leaves no line.
pub struct Step {
    reporter: Reporter,
    name: String,
    begin: Instant,
    bar: Option<ProgressBar>,
    spoke: Instant,
}

impl Default for Reporter {
    fn default() -> Self {
        Self::new()
    }
}

impl Reporter {
    /// Bars if stderr is a terminal.
    pub fn new() -> Self {
        let bars = std::io::stderr()
            .is_terminal()
            .then(|| Arc::new(MultiProgress::new()));
        Self {
            begin: Instant::now(),
            bars,
            quiet: false,
            page: None,
        }
    }

    /// Shows no progress at all; results are still printed.
    pub fn quiet() -> Self {
        Self {
            begin: Instant::now(),
            bars: None,
            quiet: true,
            page: None,
        }
    }

    /// One that shows progress under `name`, and holds results until [`Reporter::publish`].
    pub fn page(&self, name: &str) -> Self {
        Self {
            page: Some(Page {
                name: name.to_owned(),
                lines: Arc::default(),
            }),
            ..self.clone()
        }
    }

    /// Prints the results that were held, if this is a page; later ones are held again.
    pub fn publish(&self) {
        if let Some(page) = &self.page {
            let lines = std::mem::take(&mut *page.lines.lock().unwrap_or_else(PoisonError::into_inner));
            self.print(lines.join("\n"));
        }
    }

    /// Whether results are held: progress then says what they are.
    pub fn holds(&self) -> bool {
        self.page.is_some()
    }

    /// A line of progress with the time since the start.
    pub fn note(&self, text: impl Display) {
        if !self.quiet {
            let seconds = self.begin.elapsed().as_secs_f32();
            let line = match &self.page {
                Some(page) => format!("[{seconds:6.1} s] {}: {text}", page.name),
                None => format!("[{seconds:6.1} s] {text}"),
            };
            self.apart(|| {
                let _ = writeln!(std::io::stderr(), "{line}");
            });
        }
    }

    /// A line of the result, as it is.
    pub fn result(&self, text: impl Display) {
        match &self.page {
            Some(page) => {
                let mut lines = page.lines.lock().unwrap_or_else(PoisonError::into_inner);
                lines.push(text.to_string());
            }
            None => self.print(text.to_string()),
        }
    }

    fn print(&self, text: String) {
        // A reader that went away (`| head`) is no reason to fail.
        self.apart(|| {
            let _ = writeln!(std::io::stdout(), "{text}");
        });
    }

    /// Begins a step that may take long.
    pub fn step(&self, name: impl Into<String>) -> Step {
        let name = name.into();
        let bar = self.bars.as_ref().map(|bars| {
            let bar = bars.add(ProgressBar::new_spinner());
            if let Ok(style) = ProgressStyle::with_template("{spinner} {prefix} {wide_msg} {elapsed}") {
                bar.set_style(style);
            }
            bar.set_prefix(name.clone());
            bar.enable_steady_tick(Duration::from_millis(120));
            bar
        });
        Step {
            reporter: self.clone(),
            name,
            begin: Instant::now(),
            bar,
            spoke: Instant::now(),
        }
    }

    fn apart(&self, print: impl FnOnce()) {
        match &self.bars {
            Some(bars) => bars.suspend(print),
            None => print(),
        }
    }
}

impl Step {
    /// Says how far it is: at once on a bar, every 15 s as a line.
    pub fn at(&mut self, text: impl Display) {
        match &self.bar {
            Some(bar) => bar.set_message(text.to_string()),
            None if self.spoke.elapsed() > Duration::from_secs(15) => {
                self.spoke = Instant::now();
                self.reporter.note(format!("{}: {text}", self.name));
            }
            None => {}
        }
    }

    /// Ends the step with a line that says how long it took.
    pub fn done(self) {
        if let Some(bar) = &self.bar {
            bar.finish_and_clear();
        }
        self.reporter.note(format!(
            "{}: done ({:.1} s)",
            self.name,
            self.begin.elapsed().as_secs_f32()
        ));
    }
}

impl Drop for Step {
    fn drop(&mut self) {
        if let Some(bar) = &self.bar {
            bar.finish_and_clear();
        }
    }
}
