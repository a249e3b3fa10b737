//! The functions that an expression may call, beyond operators, and what the interpreter is given for them.

use std::collections::BTreeMap;
use std::sync::{Arc, LazyLock};

use cel::extractors::This;
use cel::{Context, Env, ExecutionError};
use regex::{Regex, RegexBuilder};

use super::types::Type;

/// Bytes that a compiled pattern may take.
const MOST_PATTERN: usize = 1 << 20;

/// All functions, for messages.
pub(super) const NAMES: [&str; 10] = [
    "size",
    "startsWith",
    "endsWith",
    "contains",
    "matches",
    "int",
    "double",
    "string",
    "min",
    "max",
];

/// The loops, which the parser turns into comprehensions, and `has`.
pub(super) const MACROS: [&str; 6] = ["all", "exists", "exists_one", "filter", "map", "has"];

static ENVIRONMENT: LazyLock<Arc<Env>> =
    LazyLock::new(|| Arc::new(Env::stdlib().with_optional_support(false)));

/// The standard operators, functions and macros, without optional values.
pub(super) fn environment() -> Arc<Env> {
    ENVIRONMENT.clone()
}

/// Adds what the standard lacks: `min`, `max`, and `matches` by patterns compiled beforehand.
pub(super) fn add(
    context: &mut Context<'_, '_>,
    patterns: &Arc<BTreeMap<String, Regex>>,
) -> Result<(), String> {
    let patterns = patterns.clone();
    let matches =
        move |This(text): This<Arc<String>>, pattern: Arc<String>| match patterns.get(pattern.as_str()) {
            Some(regex) => Ok(regex.is_match(&text)),
            None => Err(ExecutionError::function_error(
                "matches",
                "not a pattern of this expression",
            )),
        };
    context
        .add_function("matches", matches)
        .and_then(|()| context.add_function("min", cel::functions::min))
        .and_then(|()| context.add_function("max", cel::functions::max))
        .map_err(|error| error.to_string())
}

/// The pattern of a call to `matches`.
pub(super) fn pattern(text: &str) -> Result<Regex, String> {
    RegexBuilder::new(text)
        .size_limit(MOST_PATTERN)
        .build()
        .map_err(|error| {
            let error = error.to_string();
            let last = error.lines().last().unwrap_or_default();
            format!("not a pattern: {}", last.trim_start_matches("error: "))
        })
}

/// What a call gives; the first of `given` is the target of a method. `Err`: how it must be called.
pub(super) fn result(name: &str, given: &[Type], is_method: bool) -> Result<Type, &'static str> {
    match (name, given) {
        ("size", [Type::String | Type::Labels | Type::List(_)]) => Ok(Type::Int),
        ("size", _) => Err("size(x) takes a string, a list or labels"),
        ("startsWith" | "endsWith" | "contains", [Type::String, Type::String]) if is_method => Ok(Type::Bool),
        ("startsWith", _) => Err("write text.startsWith(\"a\"), both strings"),
        ("endsWith", _) => Err("write text.endsWith(\"z\"), both strings"),
        ("contains", _) => {
            Err("write text.contains(\"b\"), both strings; for a list or labels write x in list")
        }
        ("matches", [Type::String, Type::String]) => Ok(Type::Bool),
        ("matches", _) => Err("write text.matches(\"^pattern$\"), both strings"),
        ("int", [Type::Int | Type::Double | Type::String]) if !is_method => Ok(Type::Int),
        ("int", _) => Err("int(x) takes a number or a string"),
        ("double", [Type::Int | Type::Double | Type::String]) if !is_method => Ok(Type::Double),
        ("double", _) => Err("double(x) takes a number or a string"),
        ("string", [Type::Int | Type::Double | Type::String | Type::Bool]) if !is_method => Ok(Type::String),
        ("string", _) => Err("string(x) takes a number, a string or a bool"),
        _ => extreme(given, is_method).ok_or("takes numbers of one type, or a list of them: min(a, b)"),
    }
}

/// The type of the least or greatest of `given`.
fn extreme(given: &[Type], is_method: bool) -> Option<Type> {
    let of = match given {
        [Type::List(Some(of))] => of.as_ref(),
        [first, rest @ ..] if rest.iter().all(|other| other == first) => first,
        _ => return None,
    };
    (of.is_number() && !is_method).then(|| of.clone())
}
