//! The operator's configuration file: which plugins are asked, in which order and with which weight, plugins in CEL, and
//! defaults. Read by the operator at its start and whenever the file changes, and by anyone who wants to check one.
//!
//! Plugins that the file lists come first, in its order; the others follow in theirs, enabled; expressions come last.

mod file;

use std::sync::Arc;

use serde_saphyr::Spanned;
use sky_core::expression::{Expression, ExpressionError, Role};
use sky_core::plugin::Enabled;
use sky_core::plugins;
use sky_core::plugins::expression::ExpressionPlugin;
use thiserror::Error;

use file::{DefaultsEntry, ExpressionEntry, File, PluginEntry, Text};

/// The version that is read.
pub const API_VERSION: &str = "config.skymanager.io/v1alpha1";
/// The kind that is read.
pub const KIND: &str = "OperatorConfiguration";

/// Expressions in one file: each is evaluated for each cluster of each decision.
const MOST_EXPRESSIONS: usize = 32;
/// Characters of what an expression says of clusters that it refuses.
const MOST_MESSAGE: usize = 256;
/// Characters of an image's name.
const MOST_IMAGE: usize = 512;
/// A year, as for a workload's own timeout.
const MOST_TIMEOUT: i64 = 31_536_000;

/// Plugins that cannot be disabled, and why.
const FIXED: [(&str, &str); 8] = [
    (
        "ClusterReady",
        "a cluster that cannot be reached would be given work",
    ),
    (
        "NamespaceSelection",
        "workloads would leave the clusters chosen for their namespace",
    ),
    ("FilterPolicy", "FilterPolicies would be ignored"),
    ("ManagerFit", "work would go where it cannot run"),
    ("NodeFit", "work would go where there is no room"),
    ("Pack", "workloads ask for it by placement.spread.strategy"),
    ("Even", "workloads ask for it by placement.spread.strategy"),
    ("Weighted", "workloads ask for it by placement.spread.strategy"),
];

/// What the operator goes by.
#[derive(Clone, Debug)]
pub struct Configuration {
    /// Plugins in the order in which they are asked, expressions among them.
    pub plugins: Vec<Enabled>,
    /// The expressions again, for their counts of errors.
    pub expressions: Vec<Arc<ExpressionPlugin>>,
    /// What is added where a spec is silent.
    pub defaults: Defaults,
}

/// What is added where a spec is silent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Defaults {
    /// Image of a workload that names none; `None`: the operator's flag.
    pub image: Option<String>,
    /// Seconds after which what waits on a cluster is moved; 0: never.
    pub pending_timeout_seconds: i64,
}

impl Default for Defaults {
    fn default() -> Self {
        Self {
            image: None,
            pending_timeout_seconds: 600,
        }
    }
}

impl Configuration {
    /// What holds without a file: all of `known`, as they are.
    #[must_use]
    pub fn of(known: &[Enabled]) -> Self {
        Self {
            plugins: known.to_vec(),
            expressions: Vec::new(),
            defaults: Defaults::default(),
        }
    }
}

impl Default for Configuration {
    fn default() -> Self {
        Self::of(&plugins::builtin())
    }
}

/// Why a file is refused, and where.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error("{}line {line}, column {column}: {message}", if path.is_empty() { String::new() } else { format!("{path}, ") })]
pub struct ConfigurationError {
    /// The field, such as `scheduler.plugins[0].weight`; empty when the text is at fault as a whole.
    pub path: String,
    /// Line of the file, from 1.
    pub line: usize,
    /// Column in characters, from 1.
    pub column: usize,
    /// What is wrong and what would be right.
    pub message: String,
}

/// The configuration that `text` gives, for the plugins of ours.
///
/// # Errors
/// The first thing that is wrong, with its field, line and column. Nothing of a wrong file is used.
pub fn parse(text: &str) -> Result<Configuration, ConfigurationError> {
    parse_for(text, &plugins::builtin())
}

/// The configuration that `text` gives for the plugins `known`, in their default order and with their default weights.
///
/// # Errors
/// The first thing that is wrong, with its field, line and column. Nothing of a wrong file is used.
pub fn parse_for(text: &str, known: &[Enabled]) -> Result<Configuration, ConfigurationError> {
    let text = Text::new(text)?;
    let file = text.read()?;
    versioned(&text, &file)?;
    let scheduler = file.scheduler.unwrap_or_default();
    let mut plugins = arranged(&text, &scheduler.plugins.unwrap_or_default(), known)?;
    let mut expressions = Vec::new();
    let entries = scheduler.expressions.unwrap_or_default();
    for (index, entry) in entries.iter().enumerate() {
        let at = At {
            text: &text,
            path: format!("scheduler.expressions[{index}]"),
        };
        if index >= MOST_EXPRESSIONS {
            return Err(at.error(
                &entry.name,
                "name",
                format!("more than {MOST_EXPRESSIONS} expressions"),
            ));
        }
        named(&at, &entry.name, &entries[..index], known)?;
        let plugin = Arc::new(expression(&at, entry)?);
        let weight = weight(&at, entry.weight.as_ref())?;
        let unscored = if entry.score.is_some() { 1 } else { 0 };
        plugins.push(Enabled {
            plugin: plugin.clone(),
            weight: weight.unwrap_or(unscored),
        });
        expressions.push(plugin);
    }
    Ok(Configuration {
        plugins,
        expressions,
        defaults: defaults(&text, &file.defaults.unwrap_or_default())?,
    })
}

/// An entry of the file, for errors about its fields.
struct At<'t> {
    text: &'t Text<'t>,
    path: String,
}

impl At<'_> {
    fn error<T>(&self, value: &Spanned<T>, field: &str, message: impl Into<String>) -> ConfigurationError {
        self.text
            .error(value, format!("{}.{field}", self.path), message.into())
    }
}

fn versioned(text: &Text<'_>, file: &File) -> Result<(), ConfigurationError> {
    for (field, given, wanted) in [
        ("apiVersion", &file.api_version, API_VERSION),
        ("kind", &file.kind, KIND),
    ] {
        if given.value != wanted {
            let message = format!("must be {wanted}, and is {:?}", given.value);
            return Err(text.error(given, field.to_owned(), message));
        }
    }
    Ok(())
}

/// The plugins that are enabled: those listed in their order, then the others.
fn arranged(
    text: &Text<'_>,
    entries: &[PluginEntry],
    known: &[Enabled],
) -> Result<Vec<Enabled>, ConfigurationError> {
    let mut arranged = Vec::new();
    for (index, entry) in entries.iter().enumerate() {
        let at = At {
            text,
            path: format!("scheduler.plugins[{index}]"),
        };
        let name = &entry.name.value;
        let Some(plugin) = known.iter().find(|known| known.plugin.name() == name) else {
            let names: Vec<&str> = known.iter().map(|known| known.plugin.name()).collect();
            let message = format!("no plugin is called {name:?}; there is {}", names.join(", "));
            return Err(at.error(&entry.name, "name", message));
        };
        if entries[..index].iter().any(|before| before.name.value == *name) {
            return Err(at.error(&entry.name, "name", format!("{name} is listed twice")));
        }
        let weight = weight(&at, entry.weight.as_ref())?;
        if let (Some(given), 0) = (&entry.weight, plugin.weight) {
            let message = format!("{name} does not score, so it has no weight; remove it");
            return Err(at.error(given, "weight", message));
        }
        match &entry.enabled {
            Some(enabled) if !enabled.value => {
                if let Some((_, why)) = FIXED.iter().find(|(fixed, _)| fixed == name) {
                    let message = format!("{name} cannot be disabled: {why}");
                    return Err(at.error(enabled, "enabled", message));
                }
            }
            _ => arranged.push(Enabled {
                plugin: plugin.plugin.clone(),
                weight: weight.unwrap_or(plugin.weight),
            }),
        }
    }
    let listed = |plugin: &Enabled| {
        entries
            .iter()
            .any(|entry| entry.name.value == plugin.plugin.name())
    };
    arranged.extend(known.iter().filter(|plugin| !listed(plugin)).cloned());
    Ok(arranged)
}

fn weight(at: &At<'_>, given: Option<&Spanned<i64>>) -> Result<Option<i64>, ConfigurationError> {
    match given {
        Some(weight) if !(1..=100).contains(&weight.value) => {
            Err(at.error(weight, "weight", "must be a whole number from 1 to 100"))
        }
        given => Ok(given.map(|weight| weight.value)),
    }
}

/// Refuses a name that is no DNS label, or taken.
fn named(
    at: &At<'_>,
    name: &Spanned<String>,
    before: &[ExpressionEntry],
    known: &[Enabled],
) -> Result<(), ConfigurationError> {
    let text = &name.value;
    let sign = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
    let is_label = (1..=63).contains(&text.len())
        && text.chars().all(sign)
        && !text.starts_with('-')
        && !text.ends_with('-');
    if !is_label {
        let message = "must be 1 to 63 of a-z, 0-9 and -, with no - at either end";
        return Err(at.error(name, "name", message));
    }
    if known.iter().any(|plugin| plugin.plugin.name() == text) {
        return Err(at.error(name, "name", format!("{text} is the name of a plugin")));
    }
    if before.iter().any(|entry| entry.name.value == *text) {
        return Err(at.error(name, "name", format!("{text} is the name of two expressions")));
    }
    Ok(())
}

fn expression(at: &At<'_>, entry: &ExpressionEntry) -> Result<ExpressionPlugin, ConfigurationError> {
    let compile = |role, field: &str, given: &Option<Spanned<String>>| match given {
        None => Ok(None),
        Some(given) => Expression::compile(role, &given.value)
            .map(Some)
            .map_err(|error| misplaced(at, field, given, &error)),
    };
    let filter = compile(Role::Filter, "filter", &entry.filter)?;
    let score = compile(Role::Score, "score", &entry.score)?;
    if filter.is_none() && score.is_none() {
        return Err(at.error(
            &entry.name,
            "name",
            "has neither filter nor score; give one, or both",
        ));
    }
    if let (Some(weight), None) = (&entry.weight, &score) {
        return Err(at.error(
            weight,
            "weight",
            "without score there is nothing to weigh; remove it",
        ));
    }
    if let Some(message) = &entry.message {
        if filter.is_none() {
            let words = "is said of clusters that filter refuses, and there is no filter; remove it";
            return Err(at.error(message, "message", words));
        }
        let length = message.value.chars().count();
        if !(1..=MOST_MESSAGE).contains(&length) || message.value.chars().any(char::is_control) {
            let words = format!("must be one line of 1 to {MOST_MESSAGE} characters");
            return Err(at.error(message, "message", words));
        }
    }
    let message = entry.message.as_ref().map(|message| message.value.clone());
    Ok(ExpressionPlugin::new(
        entry.name.value.clone(),
        filter,
        score,
        message,
    ))
}

/// An error in an expression, at its place in the file.
fn misplaced(
    at: &At<'_>,
    field: &str,
    given: &Spanned<String>,
    error: &ExpressionError,
) -> ConfigurationError {
    let mut refused = at.error(given, field, error.message.clone());
    match at.text.inside(given, error.line, error.column) {
        Some((line, column)) => (refused.line, refused.column) = (line, column),
        // Folded or escaped: a place in the expression is no place in the file.
        None => {
            let (line, column) = (error.line, error.column);
            refused.message = format!(
                "at line {line}, column {column} of the expression: {}",
                error.message
            );
        }
    }
    refused
}

fn defaults(text: &Text<'_>, entry: &DefaultsEntry) -> Result<Defaults, ConfigurationError> {
    let at = At {
        text,
        path: "defaults".to_owned(),
    };
    let mut defaults = Defaults::default();
    if let Some(image) = &entry.image {
        let length = image.value.chars().count();
        if !(1..=MOST_IMAGE).contains(&length)
            || image.value.chars().any(|c| c.is_whitespace() || c.is_control())
        {
            let message =
                format!("must be the name of an image: 1 to {MOST_IMAGE} characters without blanks");
            return Err(at.error(image, "image", message));
        }
        defaults.image = Some(image.value.clone());
    }
    if let Some(seconds) = &entry.pending_timeout_seconds {
        if !(0..=MOST_TIMEOUT).contains(&seconds.value) {
            let message = format!("must be a whole number from 0 (never) to {MOST_TIMEOUT}");
            return Err(at.error(seconds, "pendingTimeoutSeconds", message));
        }
        defaults.pending_timeout_seconds = seconds.value;
    }
    Ok(defaults)
}

#[cfg(test)]
mod tests;
