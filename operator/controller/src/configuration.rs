//! Follows the configuration file: read at start, where a bad one ends the operator, then again whenever its content
//! changes. A bad or absent file leaves the last good configuration in force.
//!
//! Run by `run`; `Configured` is what the others read. Content is compared, not times: a ConfigMap's volume swaps links.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use sky_convert::configuration::{Configuration, ConfigurationError, parse_for};
use sky_convert::workload::Defaults;
use sky_core::plugin::Enabled;
use thiserror::Error;
use tokio::io::AsyncReadExt;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

/// How often the file is looked at.
const INTERVAL: Duration = Duration::from_secs(2);
/// Bytes that are read: more is refused by the reader of the text.
const MOST_BYTES: u64 = 1 << 20;

/// Why a configuration file is not used.
#[derive(Debug, Error)]
pub enum FileError {
    /// It cannot be read.
    #[error("read the configuration {0}: {1}")]
    Unreadable(PathBuf, String),
    /// What is in it is refused.
    #[error("use the configuration {0}: {1}")]
    Refused(PathBuf, ConfigurationError),
}

/// What is in force, for those who go by it.
#[derive(Clone, Debug)]
pub struct Configured {
    /// The last good configuration. It changes as long as the operator runs.
    pub current: watch::Receiver<Arc<Configuration>>,
    /// Why the file as it is now is not used; `None`: it is, or there is none.
    pub last_error: watch::Receiver<Option<String>>,
}

impl Configured {
    /// What holds without a file.
    #[must_use]
    pub fn fixed() -> Self {
        let (_, current) = watch::channel(Arc::new(Configuration::default()));
        let (_, last_error) = watch::channel(None);
        Self { current, last_error }
    }

    /// What is added where a spec is silent; `image` if the file names none.
    #[must_use]
    pub fn defaults(&self, image: &str) -> Defaults {
        let current = self.current.borrow();
        Defaults {
            image: current.defaults.image.clone().unwrap_or_else(|| image.to_owned()),
            pending_timeout: current.defaults.pending_timeout_seconds,
        }
    }
}

/// What is added where a spec is silent, as the configuration says at the time.
#[derive(Clone, Debug)]
pub struct LiveDefaults {
    configured: Configured,
    image: String,
}

impl LiveDefaults {
    /// The defaults of `configured`; `image` if it names none.
    #[must_use]
    pub fn new(configured: Configured, image: String) -> Self {
        Self { configured, image }
    }

    /// The defaults now.
    #[must_use]
    pub fn now(&self) -> Defaults {
        self.configured.defaults(&self.image)
    }
}

/// Keeps `Configured` up to date.
pub struct Follower {
    path: Option<PathBuf>,
    known: Vec<Enabled>,
    /// What the file was found to be when it was last judged.
    judged: Content,
    /// What it was a moment ago, if that was new: a file that is still being written is not judged.
    unsettled: Option<Content>,
    current: watch::Sender<Arc<Configuration>>,
    last_error: watch::Sender<Option<String>>,
}

/// The text of the file, or why there is none.
#[derive(Clone, PartialEq, Eq)]
enum Content {
    Text(String),
    Unreadable(String),
}

impl Follower {
    /// Reads the file for the plugins `known`. Without a path all of them are in force as they are, for good.
    ///
    /// # Errors
    /// When there is a path and the file cannot be read or is refused.
    pub async fn start(path: Option<PathBuf>, known: Vec<Enabled>) -> Result<(Self, Configured), FileError> {
        let (configuration, judged) = match &path {
            None => (Configuration::of(&known), Content::Text(String::new())),
            Some(path) => {
                let content = read(path).await;
                (use_of(path, &content, &known)?, content)
            }
        };
        let (current, reads_current) = watch::channel(Arc::new(configuration));
        let (last_error, reads_error) = watch::channel(None);
        let follower = Self {
            path,
            known,
            judged,
            unsettled: None,
            current,
            last_error,
        };
        let configured = Configured {
            current: reads_current,
            last_error: reads_error,
        };
        Ok((follower, configured))
    }

    /// Looks at the file every 2 s until `stop`.
    pub async fn run(mut self, stop: CancellationToken) {
        loop {
            tokio::select! {
                () = stop.cancelled() => return,
                () = tokio::time::sleep(INTERVAL) => self.look().await,
            }
        }
    }

    /// Looks at the file once. New content counts when it is found a second time.
    async fn look(&mut self) {
        let Some(path) = self.path.clone() else {
            return;
        };
        let content = read(&path).await;
        if content == self.judged {
            self.unsettled = None;
        } else if self.unsettled.as_ref() != Some(&content) {
            self.unsettled = Some(content);
        } else {
            self.unsettled = None;
            self.judged = content;
            self.judge(&path);
        }
    }

    /// Takes the content into use, or says why not.
    fn judge(&self, path: &Path) {
        match use_of(path, &self.judged, &self.known) {
            Ok(configuration) => {
                tracing::info!(plugins = ?configuration.plugins, "the configuration has changed");
                self.current.send_replace(Arc::new(configuration));
                self.last_error.send_replace(None);
            }
            Err(error) => {
                tracing::error!("failed to {error}; the last good configuration stays in force");
                self.last_error.send_replace(Some(error.to_string()));
            }
        }
    }
}

fn use_of(path: &Path, content: &Content, known: &[Enabled]) -> Result<Configuration, FileError> {
    match content {
        Content::Text(text) => {
            parse_for(text, known).map_err(|error| FileError::Refused(path.to_owned(), error))
        }
        Content::Unreadable(words) => Err(FileError::Unreadable(path.to_owned(), words.clone())),
    }
}

async fn read(path: &Path) -> Content {
    let text = async {
        let file = tokio::fs::File::open(path).await?;
        let mut text = String::new();
        file.take(MOST_BYTES).read_to_string(&mut text).await?;
        Ok::<_, std::io::Error>(text)
    };
    text.await
        .map_or_else(|error| Content::Unreadable(error.to_string()), Content::Text)
}

#[cfg(test)]
mod tests;
