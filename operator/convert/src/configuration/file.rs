//! The configuration file as it is written: its fields with their places, and where in the text a place is. Read by
//! `configuration.rs`, which judges what is in the fields.

use serde::Deserialize;
use serde_saphyr::{Error, Location, Spanned};

use super::ConfigurationError;

/// Bytes of a file: what a ConfigMap may hold is more than anyone writes.
const MOST_BYTES: usize = 256 * 1024;

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(super) struct File {
    pub(super) api_version: Spanned<String>,
    pub(super) kind: Spanned<String>,
    pub(super) scheduler: Option<SchedulerEntry>,
    pub(super) defaults: Option<DefaultsEntry>,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(super) struct SchedulerEntry {
    pub(super) plugins: Option<Vec<PluginEntry>>,
    pub(super) expressions: Option<Vec<ExpressionEntry>>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(super) struct PluginEntry {
    pub(super) name: Spanned<String>,
    pub(super) enabled: Option<Spanned<bool>>,
    pub(super) weight: Option<Spanned<i64>>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(super) struct ExpressionEntry {
    pub(super) name: Spanned<String>,
    pub(super) filter: Option<Spanned<String>>,
    pub(super) score: Option<Spanned<String>>,
    pub(super) weight: Option<Spanned<i64>>,
    pub(super) message: Option<Spanned<String>>,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(super) struct DefaultsEntry {
    pub(super) image: Option<Spanned<String>>,
    pub(super) pending_timeout_seconds: Option<Spanned<i64>>,
}

/// The text of a file.
pub(super) struct Text<'t>(&'t str);

impl<'t> Text<'t> {
    pub(super) fn new(text: &'t str) -> Result<Self, ConfigurationError> {
        if text.len() > MOST_BYTES {
            return Err(ConfigurationError {
                path: String::new(),
                line: 1,
                column: 1,
                message: format!("larger than {} KiB", MOST_BYTES / 1024),
            });
        }
        Ok(Self(text))
    }

    /// Its fields, without judging what is in them.
    pub(super) fn read(&self) -> Result<File, ConfigurationError> {
        let options = serde_saphyr::options! { with_snippet: false };
        let mut path = String::new();
        let file = serde_saphyr::with_deserializer_from_str_with_options(self.0, options, |deserializer| {
            serde_path_to_error::deserialize(deserializer).map_err(|error| {
                path = error.path().to_string();
                error.into_inner()
            })
        });
        file.map_err(|error| unread(&path, &error))
    }

    /// An error about the field at `path`, at its value's place.
    pub(super) fn error<T>(&self, value: &Spanned<T>, path: String, message: String) -> ConfigurationError {
        let (line, column) = place(value.referenced);
        ConfigurationError {
            path,
            line,
            column,
            message,
        }
    }

    /// The place in the file of a line and column of `value`; `None` when it is not written there as it is.
    pub(super) fn inside(
        &self,
        value: &Spanned<String>,
        line: usize,
        column: usize,
    ) -> Option<(usize, usize)> {
        let span = value.defined.span();
        let start = usize::try_from(span.byte_offset()?).ok()?;
        let length = usize::try_from(span.byte_len()?).ok()?;
        let raw = self.0.get(start..start.checked_add(length)?)?;
        let wanted = value.value.lines().nth(line.checked_sub(1)?)?;
        let above: usize = raw.split_inclusive('\n').take(line - 1).map(str::len).sum();
        let found = start + above + raw.get(above..)?.find(wanted)?;
        let before = self.0.get(..found)?;
        let line_start = before.rfind('\n').map_or(0, |end| end + 1);
        let indent = before[line_start..].chars().count();
        Some((before.matches('\n').count() + 1, indent + column))
    }
}

fn place(location: Location) -> (usize, usize) {
    let from_one = |number: u64| usize::try_from(number).unwrap_or(1).max(1);
    (from_one(location.line()), from_one(location.column()))
}

/// Words of the YAML parser, and ours.
const WORDS: [(&str, &str); 5] = [
    ("expected mapping start", "must be fields with values"),
    ("expected sequence start", "must be a list"),
    ("expected string scalar", "must be a string"),
    ("invalid i64", "must be a whole number"),
    ("unexpected end of input", "the file is empty"),
];

/// What the YAML parser or the fields' types refuse, in one line.
fn unread(path: &str, error: &Error) -> ConfigurationError {
    let (line, column) = error.location().map_or((1, 1), place);
    let words = error.without_snippet().to_string();
    // Behind these come the parser's own place, which ours repeats, and advice to those who call it.
    let cuts = ["\n", " at line ", ", set ", "; use "];
    let words = cuts.iter().fold(words.as_str(), |words, cut| {
        words.split(cut).next().unwrap_or(words)
    });
    let ours = WORDS.iter().find(|(theirs, _)| words.starts_with(theirs));
    ConfigurationError {
        // A value with its place is a field of its own to the path.
        path: path
            .trim_end_matches(".value")
            .trim_matches(['.', '?'])
            .to_owned(),
        line,
        column,
        message: ours.map_or(words, |(_, ours)| ours).chars().take(300).collect(),
    }
}
