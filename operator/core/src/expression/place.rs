//! The text of an expression with its tree, and where in the text a node stands. Feeds `check.rs`.

use cel::common::ast::{EntryExpr, Expr, SourceInfo};
use cel::{IdedExpr, ParseErrors};

use super::{ExpressionError, MOST_CHARACTERS, MOST_NESTING, functions};

/// A text that parses.
pub(super) struct Source<'t> {
    text: &'t str,
    tree: IdedExpr,
    offsets: SourceInfo,
}

impl<'t> Source<'t> {
    /// Parses `text`.
    pub(super) fn parse(text: &'t str) -> Result<Self, ExpressionError> {
        if let Some((offset, _)) = text.char_indices().nth(MOST_CHARACTERS) {
            let message = format!("longer than {MOST_CHARACTERS} characters");
            return Err(at(text, offset, message));
        }
        if text.trim().is_empty() {
            return Err(at(text, 0, "empty; leave the field out instead".into()));
        }
        let parser = functions::environment()
            .parser()
            .max_recursion_depth(MOST_NESTING);
        match parser.parse_with_source_info(text) {
            Ok((tree, offsets)) => Ok(Self { text, tree, offsets }),
            Err(errors) => Err(unparsed(text, &errors)),
        }
    }

    pub(super) fn tree(&self) -> &IdedExpr {
        &self.tree
    }

    pub(super) fn into_tree(self) -> IdedExpr {
        self.tree
    }

    /// An error at the node's own sign: its operator, dot or bracket.
    pub(super) fn error(&self, expr: &IdedExpr, message: impl Into<String>) -> ExpressionError {
        at(self.text, self.offset(expr), message.into())
    }

    /// An error where the node begins.
    pub(super) fn error_from(&self, expr: &IdedExpr, message: impl Into<String>) -> ExpressionError {
        at(self.text, self.start(expr), message.into())
    }

    /// An error at the field that a node selects.
    pub(super) fn error_at_field(&self, expr: &IdedExpr, field: &str, message: String) -> ExpressionError {
        let from = self.offset(expr);
        let rest = self.text.get(from..).unwrap_or_default();
        let named = |dot: usize| {
            let after = &rest[dot + 1..];
            let name = after.trim_start();
            let ends = |text: &str| !text.starts_with(|c: char| c.is_alphanumeric() || c == '_');
            name.strip_prefix(field)
                .is_some_and(ends)
                .then(|| from + dot + 1 + (after.len() - name.len()))
        };
        let offset = rest.match_indices('.').find_map(|(dot, _)| named(dot));
        at(self.text, offset.unwrap_or(from), message)
    }

    /// An error at the name of the function that a node calls: it stands before the node's bracket.
    pub(super) fn error_at_name(&self, expr: &IdedExpr, name: &str, message: String) -> ExpressionError {
        let bracket = self.offset(expr);
        let before = self.text.get(..bracket).unwrap_or_default();
        at(self.text, before.rfind(name).unwrap_or(bracket), message)
    }

    fn offset(&self, expr: &IdedExpr) -> usize {
        let offset = self.offsets.offset_for(expr.id).map(|(start, _)| start as usize);
        offset.unwrap_or(0).min(self.text.len())
    }

    /// The leftmost sign of a node. Called on checked trees only, whose depth is bounded.
    fn start(&self, expr: &IdedExpr) -> usize {
        let inner = children(expr).into_iter().map(|child| self.start(child)).min();
        self.offset(expr).min(inner.unwrap_or(usize::MAX))
    }
}

/// The nodes right below one.
pub(super) fn children(expr: &IdedExpr) -> Vec<&IdedExpr> {
    match &expr.expr {
        Expr::Call(call) => call.target.iter().map(AsRef::as_ref).chain(&call.args).collect(),
        Expr::Comprehension(c) => vec![&c.iter_range, &c.accu_init, &c.loop_cond, &c.loop_step, &c.result],
        Expr::List(list) => list.elements.iter().collect(),
        Expr::Select(select) => vec![select.operand.as_ref()],
        Expr::Map(map) => map.entries.iter().flat_map(|entry| values(&entry.expr)).collect(),
        Expr::Struct(of) => of.entries.iter().flat_map(|entry| values(&entry.expr)).collect(),
        Expr::Ident(_) | Expr::Literal(_) | Expr::Unspecified => Vec::new(),
    }
}

fn values(entry: &EntryExpr) -> Vec<&IdedExpr> {
    match entry {
        EntryExpr::MapEntry(entry) => vec![&entry.key, &entry.value],
        EntryExpr::StructField(field) => vec![&field.value],
    }
}

/// An error at a byte of `text`.
fn at(text: &str, offset: usize, message: String) -> ExpressionError {
    let before: Vec<char> = text
        .char_indices()
        .take_while(|(index, _)| *index < offset)
        .map(|(_, c)| c)
        .collect();
    let line_start = before
        .iter()
        .rposition(|c| *c == '\n')
        .map_or(0, |index| index + 1);
    ExpressionError {
        line: 1 + before.iter().filter(|c| **c == '\n').count(),
        column: 1 + before.len() - line_start,
        message,
    }
}

/// The first fault of a text that does not parse.
fn unparsed(text: &str, errors: &ParseErrors) -> ExpressionError {
    let Some(error) = errors.errors.first() else {
        return at(text, 0, "does not parse".into());
    };
    let message = if error.msg.contains("Recursion limit") {
        format!("nested more than {MOST_NESTING} deep")
    } else {
        plain(&error.msg)
    };
    let from_one = |number: isize| usize::try_from(number).unwrap_or(1).max(1);
    ExpressionError {
        line: from_one(error.pos.0),
        column: from_one(error.pos.1),
        message,
    }
}

/// The parser's words without the list of all tokens that it would have taken.
fn plain(message: &str) -> String {
    let message = message.trim_start_matches("Syntax error: ");
    let message = message.split(" expecting ").next().unwrap_or(message);
    if message.contains("'<EOF>'") {
        return "ends too early: something is missing after this".into();
    }
    let known = [
        ("mismatched input ", "cannot be read from "),
        ("extraneous input ", "cannot be read from "),
        ("no viable alternative at input ", "cannot be read from "),
        ("token recognition error at: ", "cannot be read from "),
    ];
    for (theirs, ours) in known {
        if let Some(rest) = message.strip_prefix(theirs) {
            return super::short(&format!("{ours}{rest}"));
        }
    }
    super::short(message)
}
