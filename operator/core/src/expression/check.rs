//! Walks the tree of an expression against the table of `types.rs`: every variable, field and function must exist, every
//! operator must get types that it takes, and the whole must give what its role asks for. The interpreter itself would
//! only notice when it gets there.

use std::collections::BTreeMap;

use cel::IdedExpr;
use cel::common::ast::{CallExpr, ComprehensionExpr, Expr, ListExpr, LiteralValue, SelectExpr, operators};
use regex::Regex;

use super::place::{Source, children};
use super::types::{Record, Type, VARIABLES, hint};
use super::{ExpressionError, MOST_DEPTH, MOST_LOOPS, MOST_NODES, Role, functions};

/// The name by which the parser calls what a loop has so far; nobody can write it.
const SO_FAR: &str = "@result";

/// What was found out about an expression.
#[derive(Default)]
pub(super) struct Checked {
    /// Patterns of `matches`, by their text.
    pub(super) patterns: BTreeMap<String, Regex>,
    pub(super) nodes: usize,
    /// Loops within each other.
    pub(super) loops: u32,
    /// Elements of the longest list written out.
    pub(super) longest: usize,
    pub(super) reads_nodes: bool,
}

type Outcome = Result<Type, ExpressionError>;

/// Checks a parsed expression.
pub(super) fn check(source: &Source<'_>, role: Role) -> Result<Checked, ExpressionError> {
    let mut walk = Walk {
        source,
        scopes: Vec::new(),
        loops: 0,
        checked: Checked::default(),
    };
    walk.count(source.tree(), 1)?;
    let gives = walk.expr(source.tree())?;
    let wanted = match role {
        Role::Filter => "a filter must give a bool, true where the cluster may be used",
        Role::Score => "a score must give an int or a double, from 0 to 100",
    };
    let fits = match role {
        Role::Filter => gives == Type::Bool,
        Role::Score => gives.is_number(),
    };
    if fits {
        Ok(walk.checked)
    } else {
        Err(source.error_from(source.tree(), format!("{wanted}; this gives {gives}")))
    }
}

struct Walk<'s, 't> {
    source: &'s Source<'t>,
    /// Variables of the loops around, innermost last.
    scopes: Vec<(String, Type)>,
    loops: u32,
    checked: Checked,
}

impl Walk<'_, '_> {
    /// Bounds nodes and depth, before anything else walks down.
    fn count(&mut self, expr: &IdedExpr, depth: usize) -> Result<(), ExpressionError> {
        self.checked.nodes += 1;
        if self.checked.nodes > MOST_NODES {
            return Err(self
                .source
                .error(expr, format!("more than {MOST_NODES} nodes up to here")));
        }
        if depth > MOST_DEPTH {
            return Err(self
                .source
                .error(expr, format!("operators more than {MOST_DEPTH} deep")));
        }
        children(expr)
            .into_iter()
            .try_for_each(|child| self.count(child, depth + 1))
    }

    fn expr(&mut self, expr: &IdedExpr) -> Outcome {
        match &expr.expr {
            Expr::Ident(name) => self.variable(expr, name),
            Expr::Literal(value) => self.literal(expr, value),
            Expr::Select(select) => self.select(expr, select),
            Expr::List(list) => self.list(list),
            Expr::Call(call) => self.call(expr, call),
            Expr::Comprehension(comprehension) => self.comprehension(expr, comprehension),
            Expr::Map(_) | Expr::Struct(_) => Err(self
                .source
                .error(expr, "a map cannot be written here; compare with ==, in or ?:")),
            Expr::Unspecified => Err(self.source.error(expr, "incomplete")),
        }
    }

    fn variable(&self, expr: &IdedExpr, name: &str) -> Outcome {
        if let Some((_, found)) = self.scopes.iter().rev().find(|(known, _)| known == name) {
            return Ok(found.clone());
        }
        if let Some((_, record)) = VARIABLES.iter().find(|(known, _)| *known == name) {
            return Ok(Type::Record(*record));
        }
        let loops = self.scopes.iter().map(|(known, _)| known.as_str());
        let known: Vec<&str> = VARIABLES
            .iter()
            .map(|(known, _)| *known)
            .chain(loops.filter(|known| *known != SO_FAR))
            .collect();
        Err(self
            .source
            .error(expr, format!("unknown variable {name:?}: {}", hint(name, &known))))
    }

    fn literal(&self, expr: &IdedExpr, value: &LiteralValue) -> Outcome {
        match value {
            LiteralValue::Boolean(_) => Ok(Type::Bool),
            LiteralValue::Int(_) => Ok(Type::Int),
            LiteralValue::Double(_) => Ok(Type::Double),
            LiteralValue::String(_) => Ok(Type::String),
            LiteralValue::UInt(_) => Err(self
                .source
                .error(expr, "unsigned numbers are not used here: drop the u")),
            LiteralValue::Bytes(_) => Err(self.source.error(expr, "bytes are not used here: drop the b")),
            LiteralValue::Null => Err(self
                .source
                .error(expr, "nothing here is ever null; ask with has() or in")),
        }
    }

    fn select(&mut self, expr: &IdedExpr, select: &SelectExpr) -> Outcome {
        let of = self.expr(&select.operand)?;
        let found = match &of {
            Type::Record(record) => self.field(expr, *record, &select.field)?,
            Type::Labels => Type::String,
            other => {
                let message = format!("{other} has no fields, and so no {:?}", select.field);
                return Err(self.source.error_at_field(expr, &select.field, message));
            }
        };
        Ok(if select.test { Type::Bool } else { found })
    }

    fn field(&mut self, expr: &IdedExpr, record: Record, name: &str) -> Outcome {
        let fields = record.fields();
        if let Some((known, found)) = fields.iter().find(|(known, _)| *known == name) {
            self.checked.reads_nodes |=
                record == Record::Cluster && ["free", "allocatable", "models"].contains(known);
            return Ok(found.clone());
        }
        let known: Vec<&str> = fields.iter().map(|(known, _)| *known).collect();
        let message = format!("{} has no field {name:?}: {}", record.name(), hint(name, &known));
        Err(self.source.error_at_field(expr, name, message))
    }

    fn list(&mut self, list: &ListExpr) -> Outcome {
        self.checked.longest = self.checked.longest.max(list.elements.len());
        let mut of: Option<Type> = None;
        for element in &list.elements {
            let next = self.expr(element)?;
            match of.as_ref().map(|of| of.join(&next)) {
                None => of = Some(next),
                Some(Some(both)) => of = Some(both),
                Some(None) => {
                    let before = of.map(|of| of.to_string()).unwrap_or_default();
                    let message = format!("a list holds one type: this is {next}, before it {before}");
                    return Err(self.source.error_from(element, message));
                }
            }
        }
        Ok(Type::List(of.map(Box::new)))
    }

    fn call(&mut self, expr: &IdedExpr, call: &CallExpr) -> Outcome {
        match (call.func_name.as_str(), call.args.as_slice()) {
            (operators::CONDITIONAL, [condition, yes, no]) => self.conditional(expr, condition, yes, no),
            (operators::LOGICAL_AND | operators::LOGICAL_OR | operators::LOGICAL_NOT, operands) => {
                operands.iter().try_for_each(|operand| self.bool(operand))?;
                Ok(Type::Bool)
            }
            (operators::NOT_STRICTLY_FALSE, [operand]) => self.expr(operand),
            (operators::EQUALS | operators::NOT_EQUALS, [left, right]) => self.equality(expr, left, right),
            (
                operators::LESS | operators::LESS_EQUALS | operators::GREATER | operators::GREATER_EQUALS,
                [left, right],
            ) => self.order(expr, left, right),
            (
                name @ (operators::ADD
                | operators::SUBSTRACT
                | operators::MULTIPLY
                | operators::DIVIDE
                | operators::MODULO),
                [left, right],
            ) => self.arithmetic(expr, name, left, right),
            (operators::NEGATE, [operand]) => self.number(operand),
            (operators::IN, [element, range]) => self.member(expr, element, range),
            (operators::INDEX, [of, index]) => self.index(expr, of, index),
            _ => self.function(expr, call),
        }
    }

    fn bool(&mut self, expr: &IdedExpr) -> Result<(), ExpressionError> {
        match self.expr(expr)? {
            Type::Bool => Ok(()),
            other => Err(self
                .source
                .error_from(expr, format!("must be a bool, and is {other}"))),
        }
    }

    fn number(&mut self, expr: &IdedExpr) -> Outcome {
        let found = self.expr(expr)?;
        if found.is_number() {
            Ok(found)
        } else {
            Err(self
                .source
                .error_from(expr, format!("must be a number, and is {found}")))
        }
    }

    fn conditional(
        &mut self,
        expr: &IdedExpr,
        condition: &IdedExpr,
        yes: &IdedExpr,
        no: &IdedExpr,
    ) -> Outcome {
        self.bool(condition)?;
        let (yes, no) = (self.expr(yes)?, self.expr(no)?);
        yes.join(&no).ok_or_else(|| {
            let fix = if yes.is_number() && no.is_number() {
                ": write 1.0 for 1"
            } else {
                ""
            };
            self.source.error(
                expr,
                format!("both sides of ?: must be of one type, and are {yes} and {no}{fix}"),
            )
        })
    }

    fn equality(&mut self, expr: &IdedExpr, left: &IdedExpr, right: &IdedExpr) -> Outcome {
        let (left, right) = (self.expr(left)?, self.expr(right)?);
        if left.is_comparable(&right) {
            Ok(Type::Bool)
        } else {
            Err(self
                .source
                .error(expr, format!("{left} is never equal to {right}")))
        }
    }

    fn order(&mut self, expr: &IdedExpr, left: &IdedExpr, right: &IdedExpr) -> Outcome {
        let (left, right) = (self.expr(left)?, self.expr(right)?);
        let numbers = left.is_number() && right.is_number();
        if numbers || (left == Type::String && right == Type::String) {
            Ok(Type::Bool)
        } else {
            Err(self
                .source
                .error(expr, format!("{left} and {right} have no order")))
        }
    }

    fn arithmetic(&mut self, expr: &IdedExpr, name: &str, left: &IdedExpr, right: &IdedExpr) -> Outcome {
        // Loops gather by `so far + [element]`. Lists that users join could grow without bound.
        let gathers = matches!(&left.expr, Expr::Ident(name) if name == SO_FAR);
        let (left, right) = (self.expr(left)?, self.expr(right)?);
        match (name, &left, &right) {
            (operators::ADD, Type::List(_), Type::List(_)) if gathers => left.join(&right),
            (operators::MODULO, Type::Double, Type::Double) => None,
            (_, Type::Int, Type::Int) | (_, Type::Double, Type::Double) => Some(left.clone()),
            (operators::ADD, Type::String, Type::String) => Some(Type::String),
            _ => None,
        }
        .ok_or_else(|| {
            let sign = name.trim_matches('_');
            let fix = if left.is_number() && right.is_number() && sign != "%" {
                ": numbers must be of one type, write 1.0 for 1, or double(x)"
            } else {
                ""
            };
            self.source
                .error(expr, format!("{sign} does not take {left} and {right}{fix}"))
        })
    }

    fn member(&mut self, expr: &IdedExpr, element: &IdedExpr, range: &IdedExpr) -> Outcome {
        let (element, range) = (self.expr(element)?, self.expr(range)?);
        let fits = match &range {
            Type::Labels => element == Type::String,
            Type::List(of) => of.as_ref().is_none_or(|of| of.is_comparable(&element)),
            _ => false,
        };
        if fits {
            Ok(Type::Bool)
        } else {
            Err(self.source.error(expr, format!("{element} is never in {range}")))
        }
    }

    fn index(&mut self, expr: &IdedExpr, of: &IdedExpr, index: &IdedExpr) -> Outcome {
        let (of, index) = (self.expr(of)?, self.expr(index)?);
        match (of, index) {
            (Type::Labels, Type::String) => Ok(Type::String),
            (Type::List(Some(of)), Type::Int) => Ok(*of),
            (of, index) => Err(self
                .source
                .error(expr, format!("{of} cannot be indexed by {index}"))),
        }
    }

    fn function(&mut self, expr: &IdedExpr, call: &CallExpr) -> Outcome {
        let name = call.func_name.as_str();
        if functions::MACROS.contains(&name) {
            let message = format!("write list.{name}(x, …) with a name and what is asked of it");
            return Err(self.source.error_at_name(expr, name, message));
        }
        if !functions::NAMES.contains(&name) {
            let known: Vec<&str> = functions::NAMES.into_iter().chain(functions::MACROS).collect();
            let message = format!("unknown function {name:?}: {}", hint(name, &known));
            return Err(self.source.error_at_name(expr, name, message));
        }
        let arguments = call.target.iter().map(AsRef::as_ref).chain(&call.args);
        let given = arguments
            .map(|argument| self.expr(argument))
            .collect::<Result<Vec<_>, _>>()?;
        let gives = functions::result(name, &given, call.target.is_some())
            .map_err(|usage| self.source.error_at_name(expr, name, format!("{name}: {usage}")))?;
        if name == "matches" {
            self.pattern(call)?;
        }
        Ok(gives)
    }

    /// Patterns are compiled when the expression is, so they cannot come from a label.
    fn pattern(&mut self, call: &CallExpr) -> Result<(), ExpressionError> {
        let Some(argument) = call.args.last() else {
            return Ok(());
        };
        let Expr::Literal(LiteralValue::String(text)) = &argument.expr else {
            let message = "matches: the pattern must be written out as a string";
            return Err(self.source.error_from(argument, message));
        };
        let text = text.inner();
        let regex = functions::pattern(text).map_err(|words| self.source.error_from(argument, words))?;
        self.checked.patterns.insert(text.to_owned(), regex);
        Ok(())
    }

    fn comprehension(&mut self, expr: &IdedExpr, loops: &ComprehensionExpr) -> Outcome {
        let element = match self.expr(&loops.iter_range)? {
            Type::Labels => Type::String,
            Type::List(Some(of)) => *of,
            other => {
                let message = format!("{other} cannot be looped over");
                return Err(self.source.error_from(&loops.iter_range, message));
            }
        };
        let name = &loops.iter_var;
        if VARIABLES.iter().any(|(known, _)| known == name)
            || self.scopes.iter().any(|(known, _)| known == name)
        {
            return Err(self
                .source
                .error(expr, format!("{name:?} is taken, choose another name")));
        }
        self.loops += 1;
        self.checked.loops = self.checked.loops.max(self.loops);
        if self.loops > MOST_LOOPS {
            return Err(self
                .source
                .error(expr, format!("loops more than {MOST_LOOPS} deep")));
        }
        let initial = self.expr(&loops.accu_init)?;
        self.scopes.push((name.clone(), element));
        self.scopes.push((loops.accu_var.clone(), initial));
        self.expr(&loops.loop_cond)?;
        let gathered = self.expr(&loops.loop_step)?;
        self.scopes.pop();
        self.scopes.push((loops.accu_var.clone(), gathered));
        let gives = self.expr(&loops.result);
        self.scopes.truncate(self.scopes.len().saturating_sub(2));
        self.loops -= 1;
        gives
    }
}
