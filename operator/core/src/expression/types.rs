//! What an expression may name: the table of fields with their types. Read by `check.rs`; `values.rs` gives each field
//! its value, and a test holds the two together.

use std::fmt;

/// The type of a part of an expression.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Type {
    Bool,
    Int,
    Double,
    String,
    /// A map from string to string.
    Labels,
    /// Something with fields.
    Record(Record),
    /// A list; `None`: the empty list, which is one of everything.
    List(Option<Box<Type>>),
}

/// What has fields.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Record {
    Cluster,
    Workload,
    Taint,
    Room,
    Request,
}

/// The two variables of every expression.
pub(super) const VARIABLES: [(&str, Record); 2] =
    [("cluster", Record::Cluster), ("workload", Record::Workload)];

impl Record {
    /// Its fields.
    pub(super) fn fields(self) -> Vec<(&'static str, Type)> {
        let list = |of: Type| Type::List(Some(Box::new(of)));
        match self {
            Self::Cluster => vec![
                ("name", Type::String),
                ("manager", Type::String),
                ("labels", Type::Labels),
                ("taints", list(Type::Record(Self::Taint))),
                ("unschedulable", Type::Bool),
                ("nodes", Type::Int),
                ("free", Type::Record(Self::Room)),
                ("allocatable", Type::Record(Self::Room)),
                ("models", list(Type::String)),
            ],
            Self::Workload => vec![
                ("kind", Type::String),
                ("namespace", Type::String),
                ("name", Type::String),
                ("labels", Type::Labels),
                ("priority", Type::Int),
                ("replicas", Type::Int),
                ("gang", Type::Bool),
                ("resources", Type::Record(Self::Request)),
            ],
            Self::Taint => vec![
                ("key", Type::String),
                ("value", Type::String),
                ("effect", Type::String),
            ],
            Self::Room => vec![
                ("cpu", Type::Double),
                ("memory", Type::Int),
                ("accelerators", Type::Int),
            ],
            Self::Request => vec![
                ("cpu", Type::Double),
                ("memory", Type::Int),
                ("accelerators", Type::Int),
                ("model", Type::String),
            ],
        }
    }

    /// What it is called in messages.
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Cluster => "cluster",
            Self::Workload => "workload",
            Self::Taint => "a taint",
            Self::Room => "free or allocatable",
            Self::Request => "workload.resources",
        }
    }
}

impl Type {
    pub(super) fn is_number(&self) -> bool {
        matches!(self, Self::Int | Self::Double)
    }

    /// The type that fits both, if there is one.
    pub(super) fn join(&self, other: &Self) -> Option<Self> {
        match (self, other) {
            (Self::List(None), Self::List(_)) => Some(other.clone()),
            (Self::List(_), Self::List(None)) => Some(self.clone()),
            _ => (self == other).then(|| self.clone()),
        }
    }

    /// Whether `==` may ask about the two: numbers of both types are equal by value.
    pub(super) fn is_comparable(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Labels | Self::Record(_), _) | (_, Self::Labels | Self::Record(_)) => false,
            (Self::List(one), Self::List(two)) => match (one, two) {
                (Some(one), Some(two)) => one.is_comparable(two),
                _ => true,
            },
            _ => self == other || (self.is_number() && other.is_number()),
        }
    }
}

impl fmt::Display for Type {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Bool => out.write_str("bool"),
            Self::Int => out.write_str("int"),
            Self::Double => out.write_str("double"),
            Self::String => out.write_str("string"),
            Self::Labels => out.write_str("map of labels"),
            Self::Record(record) => out.write_str(record.name()),
            Self::List(None) => out.write_str("empty list"),
            Self::List(Some(of)) => write!(out, "list of {of}"),
        }
    }
}

/// `did you mean "x"?` when one of `known` is `name` but for a letter in three, else the list of all.
pub(super) fn hint(name: &str, known: &[&str]) -> String {
    let near = known.iter().map(|word| (distance(name, word), *word)).min();
    match near {
        Some((distance, word)) if distance * 3 <= word.len() => format!("did you mean {word:?}?"),
        _ => format!("there is {}", known.join(", ")),
    }
}

/// Letters to add, drop or change to make `one` of `two`; case counts as nothing.
fn distance(one: &str, two: &str) -> usize {
    let (one, two) = (one.to_lowercase(), two.to_lowercase());
    let two: Vec<char> = two.chars().collect();
    let mut row: Vec<usize> = (0..=two.len()).collect();
    for (index, a) in one.chars().enumerate() {
        let mut diagonal = row[0];
        row[0] = index + 1;
        for (column, b) in two.iter().enumerate() {
            let changed = diagonal + usize::from(a != *b);
            diagonal = row[column + 1];
            row[column + 1] = changed.min(row[column] + 1).min(diagonal + 1);
        }
    }
    row.last().copied().unwrap_or(0)
}
