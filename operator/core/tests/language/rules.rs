//! Selectors, taints, tolerations, FilterPolicies and SkyNamespaces of a scenario.

use sky_core::cluster::{Effect, Taint, Toleration};
use sky_core::labels::{Expression, Operator, Selector};
use sky_core::workload::{NamespaceRule, Policy, PolicyRule};

use super::words::{Words, pair};

/// Words that begin a clause of a policy or a namespace.
pub const KEYWORDS: &[&str] = &[
    "in",
    "for",
    "include",
    "exclude",
    "select",
    "deleting",
    "unreadable",
];

/// `purpose=dev, location notin eu ap, gpu exists, spot absent`: all must hold. `everything` is the empty selector.
pub fn selector(words: &mut Words) -> Result<Selector, String> {
    let mut all = Selector::default();
    if words.is("everything") {
        return Ok(all);
    }
    loop {
        let key = words.want("a label or an expression")?;
        if let Ok((key, value)) = pair(&key, '=') {
            all.labels.insert(key, value);
        } else {
            let operator = operator(words)?;
            all.expressions.push(Expression { key, operator });
        }
        if !words.is(",") {
            return Ok(all);
        }
    }
}

fn operator(words: &mut Words) -> Result<Operator, String> {
    let bound = |words: &mut Words| words.number("a label's value");
    match words.want("in, notin, exists or absent")?.as_str() {
        "in" => Ok(Operator::In(words.names())),
        "notin" => Ok(Operator::NotIn(words.names())),
        "exists" => Ok(Operator::Exists),
        "absent" => Ok(Operator::DoesNotExist),
        "above" => Ok(Operator::Gt(bound(words)?)),
        "below" => Ok(Operator::Lt(bound(words)?)),
        other => Err(format!(
            "{other:?} is neither in, notin, exists, absent, above nor below"
        )),
    }
}

fn effect(word: &str) -> Result<Effect, String> {
    match word {
        "NoSchedule" => Ok(Effect::NoSchedule),
        "NoExecute" => Ok(Effect::NoExecute),
        other => Err(format!("{other:?} is neither NoSchedule nor NoExecute")),
    }
}

/// `gpu:NoSchedule` or `gpu=yes:NoExecute`.
pub fn taint(word: &str) -> Result<Taint, String> {
    let (key, name) = pair(word, ':')?;
    let (key, value) = pair(&key, '=').unwrap_or((key, String::new()));
    Ok(Taint {
        key,
        value,
        effect: effect(&name)?,
    })
}

/// `gpu` (any value), `gpu=yes`, either with `:NoSchedule` or `:NoExecute`; `everything`.
pub fn toleration(word: &str) -> Result<Toleration, String> {
    let (rest, name) = match pair(word, ':') {
        Ok((rest, name)) => (rest, Some(name)),
        Err(_) => (word.to_owned(), None),
    };
    let (key, value) = match pair(&rest, '=') {
        Ok((key, value)) => (key, Some(value)),
        Err(_) => (rest, None),
    };
    Ok(Toleration {
        key: (key != "everything").then_some(key),
        value,
        effect: name.map(|name| effect(&name)).transpose()?,
    })
}

/// `policy NAME in NAMESPACE for SELECTOR include a b exclude c select SELECTOR`, or `unreadable`.
pub fn policy(words: &mut Words) -> Result<Policy, String> {
    let name = words.want("the policy's name")?;
    let (mut namespace, mut governs) = ("default".to_owned(), Selector::default());
    let mut rule = Rule::default();
    while let Some(word) = words.take() {
        match word.as_str() {
            "in" => namespace = words.want("a namespace")?,
            "for" => governs = selector(words)?,
            other => rule.read(other, words)?,
        }
    }
    Ok(Policy {
        namespace,
        name,
        selector: governs,
        rule: rule.finish(),
    })
}

/// `namespace NAME include a exclude b select SELECTOR`, `unreadable`, `deleting`. One that neither includes nor
/// selects means every Kubernetes member, as a SkyNamespace does.
pub fn namespace(words: &mut Words) -> Result<(String, NamespaceRule), String> {
    let name = words.want("the namespace's name")?;
    let (mut rule, mut deleting) = (Rule::default(), false);
    while let Some(word) = words.take() {
        match word.as_str() {
            "deleting" => deleting = true,
            other => rule.read(other, words)?,
        }
    }
    if rule.include.is_empty() && rule.selector.is_none() {
        rule.selector = Some(Selector {
            labels: [(super::MANAGER.to_owned(), "kubernetes".to_owned())].into(),
            expressions: vec![],
        });
    }
    let rule = rule.finish();
    Ok((name, NamespaceRule { rule, deleting }))
}

#[derive(Default)]
struct Rule {
    include: Vec<String>,
    exclude: Vec<String>,
    selector: Option<Selector>,
    unreadable: bool,
}

impl Rule {
    fn read(&mut self, word: &str, words: &mut Words) -> Result<(), String> {
        match word {
            "include" => self.include = words.names(),
            "exclude" => self.exclude = words.names(),
            "select" => self.selector = Some(selector(words)?),
            "unreadable" => self.unreadable = true,
            other => return Err(format!("{other:?} says nothing about a policy or a namespace")),
        }
        Ok(())
    }

    fn finish(self) -> PolicyRule {
        if self.unreadable {
            return PolicyRule::Unreadable("not a FilterPolicy".into());
        }
        PolicyRule::Clusters {
            include: self.include,
            exclude: self.exclude,
            selector: self.selector,
        }
    }
}
