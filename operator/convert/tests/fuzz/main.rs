//! Mutated inputs for what reads texts and documents of users: quantities, selectors, documents of the original system.
//! Besides "no panic" each target says what must come out.
//!
//! A part of a few seconds runs with every `cargo test`, always the same; `FUZZ_SECONDS=600 cargo test -p sky-convert
//! --test fuzz` goes on for so long with each target, from a new seed. What fails prints its input and its seed.
#![expect(
    clippy::expect_used,
    clippy::panic,
    reason = "an input that is read wrongly is a failed test"
)]

mod dice;
mod documents;
mod quantities;
mod rounds;
mod selectors;
