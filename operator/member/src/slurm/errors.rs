//! Slurm's errors, by class. What a code means is Slurm's own list; where it stands differs between versions.

use http::StatusCode;
use serde_json::Value;

use crate::{Class, MemberError};

/// No such job.
pub(super) const INVALID_JOB: i64 = 2017;
/// The job is over: nothing of it can be changed.
pub(super) const ALREADY_DONE: [i64; 2] = [2021, 2084];
/// A query of accounting to which nothing answers.
pub(super) const NOTHING_FOUND: i64 = 9003;
/// What 22.05 says for a token that is not accepted as well as for a silent slurmctld.
pub(super) const UNSPECIFIED: i64 = -1;

/// What a server says went wrong.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Complaint {
    /// Slurm's code; 0: none given.
    pub(super) code: i64,
    /// Slurm's words.
    pub(super) words: String,
}

/// The complaints in `errors` of an answer, which have their code under one of three keys.
pub(super) fn complaints(body: &Value) -> Vec<Complaint> {
    let list = body.get("errors").and_then(Value::as_array);
    list.into_iter().flatten().map(complaint).collect()
}

pub(super) fn complaint(error: &Value) -> Complaint {
    let keys = ["error_number", "error_code", "errno"];
    let code = keys
        .iter()
        .find_map(|key| error.get(key).and_then(Value::as_i64))
        .unwrap_or(0);
    let texts = ["error", "description"].map(|key| error.get(key).and_then(Value::as_str).unwrap_or(""));
    let mut words: Vec<&str> = texts.into_iter().filter(|text| !text.is_empty()).collect();
    words.dedup();
    Complaint {
        code,
        words: words.join(": "),
    }
}

/// The error that an answer of this status and with these complaints is; `None`: it is none.
pub(super) fn judge(status: StatusCode, complaints: &[Complaint], text: &str) -> Option<MemberError> {
    let worst = complaints.iter().find(|complaint| complaint.code != 0);
    if status.is_success() && worst.is_none() {
        return None;
    }
    let words = match worst.or(complaints.first()) {
        Some(complaint) if complaint.code > 0 => format!("{} ({})", complaint.words, complaint.code),
        Some(complaint) => complaint.words.clone(),
        None => first_line(text),
    };
    let words = if words.is_empty() {
        format!("slurmrestd answers {}", status.as_u16())
    } else {
        words
    };
    let class = match worst.map(|complaint| complaint.code) {
        Some(code) if code != UNSPECIFIED => of_code(code),
        _ => of_status(status),
    };
    Some(MemberError::new(class, words))
}

/// A code that is not listed is a refusal when it is one of slurmctld about a job, or of slurmrestd about a request.
fn of_code(code: i64) -> Class {
    match code {
        1007 | 2002 | 2010 => Class::Unauthorized,
        // Busy nodes, a job in between, a limit of an account or of the cluster that others fill.
        2016 | 2020 | 2050 | 2057 | 2081 => Class::Throttled,
        2000..3000 | 9000..10000 => Class::Rejected,
        _ => Class::Unreachable,
    }
}

fn of_status(status: StatusCode) -> Class {
    match status.as_u16() {
        401 | 403 | 511 => Class::Unauthorized,
        429 => Class::Throttled,
        400 | 405 | 413 | 415 | 422 => Class::Rejected,
        _ => Class::Unreachable,
    }
}

fn first_line(text: &str) -> String {
    text.lines()
        .next()
        .unwrap_or_default()
        .chars()
        .take(200)
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn check(status: u16, body: Value, class: Option<Class>) {
        let status = StatusCode::from_u16(status).expect("a status");
        let judged = judge(status, &complaints(&body), "");
        assert_eq!(judged.map(|error| error.class), class, "{status} {body}");
    }

    #[test]
    fn the_code_decides_before_the_status_wherever_it_stands() {
        check(500, json!({"errors": [{"errno": 2000}]}), Some(Class::Rejected));
        check(
            422,
            json!({"errors": [{"error_number": 2014}]}),
            Some(Class::Rejected),
        );
        check(
            500,
            json!({"errors": [{"error_code": 2050}]}),
            Some(Class::Throttled),
        );
        check(
            511,
            json!({"errors": [{"error_number": 1007}]}),
            Some(Class::Unauthorized),
        );
        check(
            502,
            json!({"errors": [{"error_number": 1800}]}),
            Some(Class::Unreachable),
        );
        check(
            500,
            json!({"errors": [{"error_number": -1}]}),
            Some(Class::Unreachable),
        );
        check(
            200,
            json!({"errors": [{"error_number": 2084}]}),
            Some(Class::Rejected),
        );
        check(200, json!({"errors": []}), None);
        check(401, json!({}), Some(Class::Unauthorized));
        check(302, json!({}), Some(Class::Unreachable));
        check(500, json!({}), Some(Class::Unreachable));
    }

    #[test]
    fn a_complaint_without_a_code_about_an_array_is_none() {
        // What 22.05 says to every change of an array that it has made.
        let body = json!({"errors": [{"description": "job array update from [localhost]:1 failed", "source": "_parse_job_list"}]});
        check(200, body, None);
    }

    #[test]
    fn slurms_own_words_are_kept() {
        let body = json!({"errors": [{"error_number": 2000, "error": "Invalid partition name specified"}]});
        let error = judge(StatusCode::INTERNAL_SERVER_ERROR, &complaints(&body), "").expect("an error");
        assert_eq!(error.message, "Invalid partition name specified (2000)");
    }
}
