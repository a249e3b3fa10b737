//! The list of suites. A suite is a file of cases; a case is an async function that takes a context and
//! fails by returning an error. Run by `runner`.

/// A case of a module, named as its function.
macro_rules! case {
    ($module:ident::$name:ident) => {
        $crate::suites::Case {
            name: stringify!($name),
            run: |context| futures::FutureExt::boxed_local($module::$name(context)),
        }
    };
}

mod argocd;
mod code;
mod config;
mod counts;
mod credentials;
mod deployments;
mod documents;
mod evictions;
mod faults;
mod helm;
mod in_cluster;
mod jobs;
mod lab;
mod leader;
mod member;
mod namespaces;
mod readme;
mod sky;
mod slurm;

use std::fmt;

use anyhow::{Result, bail};
use futures::future::LocalBoxFuture;

use crate::runner::Context;

/// Cases that belong together.
pub struct Suite {
    pub name: &'static str,
    /// What it shows, in one line.
    pub about: &'static str,
    pub cases: &'static [Case],
}

/// One thing to be shown. Its name states the behaviour.
pub struct Case {
    pub name: &'static str,
    pub run: for<'a> fn(&'a Context) -> LocalBoxFuture<'a, Result<()>>,
}

/// All suites, in the order in which they start: first what is quick and tells most, then the long ones, so that no lane
/// is left with one at the end.
pub const ALL: &[Suite] = &[
    documents::SUITE,
    in_cluster::SUITE,
    helm::SUITE,
    argocd::SUITE,
    slurm::SUITE,
    faults::SUITE,
    leader::SUITE,
    deployments::SUITE,
    jobs::SUITE,
    config::SUITE,
    lab::SUITE,
    counts::SUITE,
    namespaces::SUITE,
    readme::SUITE,
    evictions::SUITE,
    member::SUITE,
    credentials::SUITE,
    code::SUITE,
];

/// An error that makes a case count as skipped; the text says why.
#[derive(Debug)]
pub struct Skip(pub String);

impl fmt::Display for Skip {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for Skip {}

/// The suites of these names; all of them when there are none.
pub fn named(names: &[String]) -> Result<Vec<&'static Suite>> {
    if names.is_empty() {
        return Ok(ALL.iter().collect());
    }
    let find = |name: &String| {
        let Some(suite) = ALL.iter().find(|suite| suite.name == name) else {
            let known: Vec<_> = ALL.iter().map(|suite| suite.name).collect();
            bail!("no suite {name}; there are {}", known.join(", "));
        };
        Ok(suite)
    };
    names.iter().map(find).collect()
}
