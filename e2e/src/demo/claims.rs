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
        self.lines().for_each(|line| reporter.result(line));
        self.hold()
    }

    fn lines(&self) -> impl Iterator<Item = String> {
        self.0.iter().map(|(claim, outcome)| match outcome {
            Outcome::Holds => format!("ok      {claim}"),
            Outcome::Fails(seen) => format!("FAILED  {claim}: {seen}"),
            Outcome::Skipped(why) => format!("skipped {claim}: {why}"),
        })
    }

    fn hold(&self) -> bool {
        let fails = |(_, outcome): &(String, Outcome)| matches!(outcome, Outcome::Fails(_));
        !self.0.iter().any(fails)
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
        assert!(claims.hold());
        claims.check("stones swim", Err(anyhow!("one sank")));
        assert!(!claims.hold());
        let last = claims.lines().last();
        assert_eq!(last.as_deref(), Some("FAILED  stones swim: one sank"));
    }
}
