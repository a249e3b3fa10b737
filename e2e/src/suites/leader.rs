//! Suite `leader`: of two operators of one host one leads, and only that one writes, whatever happens to it. Both share
//! the credentials of members; audit logs tell them apart by the user agent. Every case ends with the ledger of the suite
//! `faults`: each job ran once. `story` reads who led when.

mod health;
mod replicas;
mod story;
mod takeover;

use super::Suite;

pub const SUITE: Suite = Suite {
    name: "leader",
    about: "of two operators one leads, and only that one writes",
    cases: &[
        case!(health::metrics_of_both_pass_promtool_and_tell_who_leads),
        case!(health::an_operator_without_rights_says_which_and_ends),
        case!(takeover::a_leader_that_is_killed_is_followed_after_the_lease),
        case!(takeover::a_leader_that_was_frozen_past_its_lease_writes_nothing_and_ends),
        case!(takeover::a_clean_stop_hands_over_at_once),
        case!(takeover::a_leader_whose_lease_another_takes_says_so_once_and_ends),
    ],
};
