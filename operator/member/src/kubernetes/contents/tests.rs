//! What is concluded from a quota that counts.

use super::*;

fn kinds() -> BTreeSet<String> {
    ["secrets".to_owned(), "widgets.example.com".to_owned()].into()
}

fn quota(hard: &str, taken_in: &str, used: serde_json::Value) -> ResourceQuota {
    let all = |limit: &str| json!({"count/secrets": limit, "count/widgets.example.com": limit});
    let quota = json!({"spec": {"hard": all(hard)}, "status": {"hard": all(taken_in), "used": used}});
    serde_json::from_value(quota).expect("a ResourceQuota")
}

#[test]
fn what_is_counted_is_known_for_every_kind_or_not_at_all() {
    let full = quota(
        "9",
        "9",
        json!({"count/secrets": "0", "count/widgets.example.com": "2"}),
    );
    assert_eq!(
        counted(&full, &kinds()),
        Ok(vec![("secrets", 0), ("widgets.example.com", 2)])
    );
    let odd = quota(
        "9",
        "9",
        json!({"count/secrets": "2k", "count/widgets.example.com": "0"}),
    );
    assert_eq!(counted(&odd, &kinds()).expect("counts")[0], ("secrets", i64::MAX));
    let part = quota("9", "9", json!({"count/secrets": "0"}));
    assert_eq!(counted(&part, &kinds()), Err("widgets.example.com"));
    assert_eq!(counted(&ResourceQuota::default(), &kinds()), Err("secrets"));
}

#[test]
fn a_quota_of_other_kinds_says_nothing() {
    let full = quota("9", "9", json!({}));
    assert!(counts(&full, &kinds()));
    let fewer: BTreeSet<String> = ["secrets".to_owned()].into();
    let other: BTreeSet<String> = ["secrets".to_owned(), "gadgets.example.com".to_owned()].into();
    assert!(!counts(&full, &fewer) && !counts(&full, &other) && !counts(&ResourceQuota::default(), &fewer));
}

#[test]
fn a_count_begins_when_the_member_has_taken_in_what_is_asked() {
    assert!(has_begun(&quota("9", "9", json!({}))));
    assert!(!has_begun(&quota("8", "9", json!({}))));
    assert_eq!(
        (
            limit(&quota("8", "9", json!({}))),
            limit(&ResourceQuota::default())
        ),
        (8, NO_LIMIT)
    );
}
