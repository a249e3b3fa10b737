//! What the demonstration claims and whether it holds. Filled by its parts as they go, printed at its end.

use std::fmt::Display;

use anyhow::Result;

use crate::report::Reporter;

enum Outcome {
    Holds,
    Fails(String),
    Skipped(String),
}

/// The claims so far, in the order in which they were made.
#[derive(Default)]
pub struct Claims(Vec<(String, Outcome)>);

impl Claims {
    /// A claim and what was found; an error says what was seen instead.
    pub fn check(&mut self, claim: impl Display, found: Result<()>) {
        let outcome = match found {
            Ok(()) => Outcome::Holds,
            Err(error) => Outcome::Fails(format!("{error:#}")),
        };
        self.0.push((claim.to_string(), outcome));
    }

    /// A claim that cannot be checked here, and why.
    pub fn skip(&mut self, claim: impl Display, why: impl Display) {
        self.0
            .push((claim.to_string(), Outcome::Skipped(why.to_string())));
    }

    /// Prints each; true when none failed.
    pub fn conclude(&self, reporter: &Reporter) -> bool {
        for (claim, outcome) in &self.0 {
            reporter.result(match outcome {
                Outcome::Holds => format!("ok      {claim}"),
                Outcome::Fails(seen) => format!("FAILED  {claim}: {seen}"),
                Outcome::Skipped(why) => format!("skipped {claim}: {why}"),
            });
        }
        !self
            .0
            .iter()
            .any(|(_, outcome)| matches!(outcome, Outcome::Fails(_)))
    }
}

#[cfg(test)]
mod tests {
    use anyhow::anyhow;

    use super::*;

    #[test]
    fn one_failed_claim_is_enough() {
        let mut claims = Claims::default();
        claims.check("water is wet", Ok(()));
        claims.skip("rain is warm", "no rain today");
        assert!(claims.conclude(&Reporter::quiet()));
        claims.check("stones swim", Err(anyhow!("one sank")));
        assert!(!claims.conclude(&Reporter::quiet()));
    }
}
