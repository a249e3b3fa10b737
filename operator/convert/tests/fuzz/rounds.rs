//! How long a target runs, and what is printed when it fails.

use std::time::{Duration, Instant, SystemTime};

use crate::dice::Dice;

/// A target stops here in any case, so that a slow machine is not kept by it.
const MOST: Duration = Duration::from_secs(5);
/// Inputs kept for more mutations.
const KEPT: usize = 256;

/// Says which input it was when a check panics.
struct Case<'c> {
    seed: u64,
    input: &'c dyn std::fmt::Debug,
}

impl Drop for Case<'_> {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("FUZZ_SEED={} fails with {:?}", self.seed, self.input);
        }
    }
}

/// Runs `check` on mutations of `corpus`, so many `rounds` or as long as FUZZ_SECONDS says. What `check` calls
/// interesting is kept and mutated again.
pub fn run<T: Clone + std::fmt::Debug>(
    rounds: u64,
    corpus: &[T],
    mutate: impl Fn(&mut Dice, &T) -> T,
    check: impl Fn(&T) -> bool,
) {
    let number = |name| std::env::var(name).ok().and_then(|text| text.parse::<u64>().ok());
    let seconds = number("FUZZ_SECONDS");
    let started = Instant::now();
    let clock = SystemTime::now()
        .duration_since(SystemTime::UNIX_EPOCH)
        .expect("a clock");
    let fresh = seconds.map_or(1, |_| clock.as_secs());
    let seed = number("FUZZ_SEED").unwrap_or(fresh);
    let mut dice = Dice(seed);
    let mut pool = corpus.to_vec();
    let (mut round, mut interesting) = (0, 0);
    for input in corpus {
        let _case = Case { seed, input };
        check(input);
    }
    loop {
        let over = match seconds {
            Some(seconds) => started.elapsed().as_secs() >= seconds,
            None => round >= rounds || started.elapsed() >= MOST,
        };
        if over {
            break;
        }
        let input = mutate(&mut dice, by_turns(&pool, round));
        let _case = Case { seed, input: &input };
        if check(&input) {
            interesting += 1;
            let at = corpus.len() + dice.below(KEPT);
            if at < pool.len() {
                pool[at] = input.clone();
            } else {
                pool.push(input.clone());
            }
        }
        round += 1;
    }
    println!(
        "{round} inputs, {interesting} of them read, seed {seed}, {:?}",
        started.elapsed()
    );
    assert!(
        interesting * 100 > round,
        "{interesting} of {round} inputs were read: this checks too little"
    );
}

/// The pool by turns, so that the first inputs are never forgotten.
fn by_turns<T>(pool: &[T], round: u64) -> &T {
    let size = u64::try_from(pool.len()).expect("64 bits");
    &pool[usize::try_from(round % size).expect("64 bits")]
}
