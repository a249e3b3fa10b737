//! Which revisions of a SkyDeployment's template are written to the host and which are removed. Fed by the reconciler
//! with those that are there (sky-convert reads them); it carries the plan out.

use serde_json::Value;

use crate::naming;

/// Older revisions that are kept beside the present one.
pub const KEPT: usize = 10;

/// A revision on the host.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Revision {
    /// 1, 2, … in the order in which templates were asked for.
    pub number: i64,
    /// Hash of its template.
    pub hash: String,
}

/// What is to be done so that the present template is the newest revision.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Plan {
    /// The number of the present template, once all is done.
    pub present: i64,
    /// How it gets there.
    pub change: Change,
    /// Numbers of those to delete.
    pub delete: Vec<i64>,
}

/// How the present template gets its number.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Change {
    /// It has it.
    #[default]
    None,
    /// It is new: one of number `present` is created.
    Create,
    /// It was asked for before, as the revision of this number, which becomes number `present`: as with Deployments.
    Renumber(i64),
}

impl Plan {
    /// Whether nothing is to be written.
    #[must_use]
    pub fn is_done(&self) -> bool {
        self.change == Change::None && self.delete.is_empty()
    }
}

/// The hash of a template: 8 hex digits, equal for equal templates whatever the order of their fields.
#[must_use]
pub fn hash(template: &Value) -> String {
    naming::hash(&[&sorted(template).to_string()], 8)
}

/// The same with the fields of every object in the order of their names.
fn sorted(value: &Value) -> Value {
    match value {
        Value::Object(fields) => {
            let mut names: Vec<&String> = fields.keys().collect();
            names.sort_unstable();
            let each = names
                .into_iter()
                .map(|name| (name.clone(), sorted(&fields[name])));
            Value::Object(each.collect())
        }
        Value::Array(items) => Value::Array(items.iter().map(sorted).collect()),
        other => other.clone(),
    }
}

/// What is to be done so that the template with this hash is the newest of `there`, in any order, and at most `limit`
/// older ones are kept.
#[must_use]
pub fn plan(there: &[Revision], hash: &str, limit: usize) -> Plan {
    let newest = there.iter().map(|revision| revision.number).max().unwrap_or(0);
    // Two of one hash are left by a stop between two writes: the newer one counts, the other goes as an older one.
    let known = there
        .iter()
        .filter(|revision| revision.hash == hash)
        .map(|revision| revision.number)
        .max();
    let (present, change) = match known {
        Some(number) if number == newest => (number, Change::None),
        Some(number) => (newest.saturating_add(1), Change::Renumber(number)),
        None => (newest.saturating_add(1), Change::Create),
    };
    let mut older: Vec<i64> = there
        .iter()
        .map(|revision| revision.number)
        .filter(|number| Some(*number) != known)
        .collect();
    older.sort_unstable();
    older.truncate(older.len().saturating_sub(limit));
    Plan {
        present,
        change,
        delete: older,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn there(hashes: &[(i64, &str)]) -> Vec<Revision> {
        let each = hashes.iter().map(|(number, hash)| Revision {
            number: *number,
            hash: (*hash).to_owned(),
        });
        each.collect()
    }

    fn done(there: &[Revision], hash: &str) -> Vec<Revision> {
        let plan = plan(there, hash, KEPT);
        let mut after = there.to_vec();
        match plan.change {
            Change::None => {}
            Change::Create => after.push(Revision {
                number: plan.present,
                hash: hash.to_owned(),
            }),
            Change::Renumber(from) => after
                .iter_mut()
                .filter(|revision| revision.number == from)
                .for_each(|revision| revision.number = plan.present),
        }
        after.retain(|revision| !plan.delete.contains(&revision.number));
        after
    }

    #[test]
    fn the_first_template_is_revision_1_and_a_new_one_takes_the_next_number() {
        let first = plan(&[], "a", KEPT);
        assert_eq!((first.present, first.change), (1, Change::Create));
        let second = plan(&there(&[(1, "a")]), "b", KEPT);
        assert_eq!((second.present, second.change), (2, Change::Create));
    }

    #[test]
    fn the_present_template_writes_nothing() {
        let plan = plan(&there(&[(2, "b"), (1, "a")]), "b", KEPT);
        assert!(plan.is_done());
        assert_eq!(plan.present, 2);
    }

    #[test]
    fn an_older_template_takes_the_next_number() {
        let plan = plan(&there(&[(1, "a"), (2, "b"), (3, "c")]), "a", KEPT);
        assert_eq!((plan.present, plan.change), (4, Change::Renumber(1)));
        assert!(plan.delete.is_empty());
    }

    #[test]
    fn the_oldest_go_and_what_is_done_stays_done() {
        let mut now = Vec::new();
        for number in 1..=30 {
            let hash = format!("h{number}");
            now = done(&now, &hash);
            assert!(plan(&now, &hash, KEPT).is_done(), "{number}");
        }
        let mut numbers: Vec<i64> = now.iter().map(|revision| revision.number).collect();
        numbers.sort_unstable();
        assert_eq!(numbers, (20..=30).collect::<Vec<_>>());
    }

    #[test]
    fn the_revision_that_is_returned_to_is_never_deleted() {
        let many: Vec<Revision> = (1..=15)
            .map(|number| Revision {
                number,
                hash: format!("h{number}"),
            })
            .collect();
        let plan = plan(&many, "h1", KEPT);
        assert_eq!((plan.present, plan.change), (16, Change::Renumber(1)));
        assert_eq!(plan.delete, [2, 3, 4, 5]);
    }

    #[test]
    fn two_of_one_template_count_as_the_newer_one() {
        let plan = plan(&there(&[(1, "a"), (2, "a")]), "a", KEPT);
        assert!(plan.is_done());
        assert_eq!(plan.present, 2);
    }

    #[test]
    fn equal_templates_have_equal_hashes_in_any_order() {
        let one = hash(&json!({"image": "a", "env": [{"name": "A", "value": "1"}]}));
        assert_eq!(
            one,
            hash(&json!({"env": [{"value": "1", "name": "A"}], "image": "a"}))
        );
        assert_ne!(one, hash(&json!({"image": "b"})));
        assert_eq!(one.len(), 8);
    }
}
