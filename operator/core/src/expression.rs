//! Expressions in CEL over a cluster and a workload, as the operator's configuration gives them: parsed and checked once,
//! evaluated per cluster by `plugins/expression.rs`. What may be written is in `types.rs`, what is refused in `check.rs`.
//!
//! Bounded before it is run: text, nodes, nesting, loops within loops, and steps by the size of what is looped over.

mod check;
mod functions;
mod place;
mod samples;
mod types;
mod values;
mod vars;

use std::collections::BTreeMap;
use std::sync::Arc;

use cel::common::types::{CelBool, CelDouble, CelInt};
use cel::{Context, ExecutionError, IdedExpr, Value};
use regex::Regex;
use thiserror::Error;

pub use vars::{ClusterVars, RequestVars, Room, WorkloadVars};

/// Characters of an expression.
pub const MOST_CHARACTERS: usize = 2048;
/// Nodes of its tree, those that a macro stands for included.
pub const MOST_NODES: usize = 256;
/// Brackets, arguments and branches of `?:` within each other.
pub const MOST_NESTING: u16 = 16;
/// Operators within each other: bounds the stack that evaluation takes.
const MOST_DEPTH: usize = 32;
/// Loops (all, exists, exists_one, filter, map) within each other.
const MOST_LOOPS: u32 = 2;
/// Nodes times rounds of all loops: bounds the time of one evaluation to some milliseconds.
const MOST_STEPS: usize = 100_000;

/// What an expression is for, and so what it must give.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    /// Whether a cluster may be used: a bool.
    Filter,
    /// How good a cluster is: an int or a double, cut to 0..100.
    Score,
}

/// Why an expression is refused, and where in its text.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error("line {line}, column {column}: {message}")]
pub struct ExpressionError {
    /// Line, from 1.
    pub line: usize,
    /// Column in characters, from 1.
    pub column: usize,
    /// What is wrong and what would be right.
    pub message: String,
}

/// Why an expression gave no value for one cluster and workload.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum EvaluationError {
    /// A label was taken that is not there.
    #[error("label {0:?} is absent; ask for it first with `in`")]
    Absent(String),
    /// A list has no element of that index.
    #[error("a list is too short")]
    TooShort,
    /// The labels or taints to loop over are so many that it would take too long.
    #[error("{0} labels, taints or models are too many for its loops")]
    TooMany(usize),
    /// Everything else, in words.
    #[error("{0}")]
    Failed(String),
}

/// An expression that may be evaluated: it names only what exists and gives what its role asks for.
#[derive(Clone, Debug)]
pub struct Expression {
    role: Role,
    text: String,
    tree: IdedExpr,
    patterns: Arc<BTreeMap<String, Regex>>,
    nodes: usize,
    loops: u32,
    longest: usize,
    reads_nodes: bool,
}

impl Expression {
    /// Parses and checks `text`, and tries it on samples.
    ///
    /// # Errors
    /// Where it is wrong and what would be right.
    pub fn compile(role: Role, text: &str) -> Result<Self, ExpressionError> {
        let source = place::Source::parse(text)?;
        let checked = check::check(&source, role)?;
        let expression = Self {
            role,
            text: text.to_owned(),
            patterns: Arc::new(checked.patterns),
            nodes: checked.nodes,
            loops: checked.loops,
            longest: checked.longest,
            reads_nodes: checked.reads_nodes,
            tree: source.into_tree(),
        };
        samples::try_on(&expression).map_err(|message| ExpressionError {
            line: 1,
            column: 1,
            message,
        })?;
        Ok(expression)
    }

    /// What it is for.
    #[must_use]
    pub fn role(&self) -> Role {
        self.role
    }

    /// As it was written.
    #[must_use]
    pub fn text(&self) -> &str {
        &self.text
    }

    /// Whether it reads what must be summed up over nodes: `free`, `allocatable` or `models`. If not, they may be left
    /// empty.
    #[must_use]
    pub fn reads_nodes(&self) -> bool {
        self.reads_nodes
    }

    /// What a filter says: whether the cluster may be used.
    ///
    /// # Errors
    /// When it gives no bool for these two.
    pub fn holds(
        &self,
        cluster: &ClusterVars<'_>,
        workload: &WorkloadVars<'_>,
    ) -> Result<bool, EvaluationError> {
        match self.evaluate(cluster, workload)? {
            Answer::Bool(answer) => Ok(answer),
            Answer::Number(_) => Err(EvaluationError::Failed("gave a number instead of a bool".into())),
        }
    }

    /// What a score says, cut to 0..100; halves are rounded up.
    ///
    /// # Errors
    /// When it gives no number for these two.
    pub fn score(
        &self,
        cluster: &ClusterVars<'_>,
        workload: &WorkloadVars<'_>,
    ) -> Result<i64, EvaluationError> {
        match self.evaluate(cluster, workload)? {
            Answer::Number(answer) => Ok(answer),
            Answer::Bool(_) => Err(EvaluationError::Failed("gave a bool instead of a number".into())),
        }
    }

    fn evaluate(
        &self,
        cluster: &ClusterVars<'_>,
        workload: &WorkloadVars<'_>,
    ) -> Result<Answer, EvaluationError> {
        self.afford(cluster, workload)?;
        let mut context = Context::with_env(functions::environment());
        functions::add(&mut context, &self.patterns).map_err(EvaluationError::Failed)?;
        context.add_variable_as_val("cluster", Box::new(values::Object::Cluster(cluster)));
        context.add_variable_as_val("workload", Box::new(values::Object::Workload(workload)));
        let value = Value::resolve_val(&self.tree, &context).map_err(words)?;
        if let Some(answer) = value.downcast_ref::<CelBool>() {
            Ok(Answer::Bool(*answer.inner()))
        } else if let Some(answer) = value.downcast_ref::<CelInt>() {
            Ok(Answer::Number((*answer.inner()).clamp(0, 100)))
        } else if let Some(answer) = value.downcast_ref::<CelDouble>() {
            rounded(*answer.inner())
        } else {
            Err(EvaluationError::Failed("gave neither a bool nor a number".into()))
        }
    }

    /// Refuses what would take too long: a user may put any number of labels on a workload.
    fn afford(&self, cluster: &ClusterVars<'_>, workload: &WorkloadVars<'_>) -> Result<(), EvaluationError> {
        let collections = [
            cluster.labels.len(),
            cluster.taints.len(),
            cluster.models.len(),
            workload.labels.len(),
            self.longest,
        ];
        let largest = collections.into_iter().max().unwrap_or(0);
        let steps = largest.saturating_pow(self.loops).saturating_mul(self.nodes);
        if self.loops > 0 && steps > MOST_STEPS {
            Err(EvaluationError::TooMany(largest))
        } else {
            Ok(())
        }
    }
}

enum Answer {
    Bool(bool),
    Number(i64),
}

fn rounded(answer: f64) -> Result<Answer, EvaluationError> {
    if answer.is_nan() {
        return Err(EvaluationError::Failed("gave not a number (0.0 / 0.0)".into()));
    }
    // Cut before it is rounded, so that it always fits.
    Ok(Answer::Number((answer.clamp(0.0, 100.0) + 0.5).floor() as i64))
}

/// An error of the interpreter, in words for those who wrote the expression.
fn words(error: ExecutionError) -> EvaluationError {
    match error {
        ExecutionError::NoSuchKey(key) => EvaluationError::Absent(key.to_string()),
        ExecutionError::IndexOutOfBounds(_) => EvaluationError::TooShort,
        ExecutionError::DivisionByZero(_) | ExecutionError::RemainderByZero(_) => {
            EvaluationError::Failed("division by zero".into())
        }
        ExecutionError::Overflow(..) => EvaluationError::Failed("a number grows too large".into()),
        ExecutionError::FunctionError { function, message } => {
            EvaluationError::Failed(short(&format!("{function}: {message}")))
        }
        other => EvaluationError::Failed(short(&other.to_string())),
    }
}

/// The first line of `text`, at most 160 characters of it: it goes into messages that are counted and stored.
fn short(text: &str) -> String {
    text.lines()
        .next()
        .unwrap_or_default()
        .chars()
        .take(160)
        .collect()
}

#[cfg(test)]
mod tests;
