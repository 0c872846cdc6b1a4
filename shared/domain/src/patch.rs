//! What a PUT does to a document: it changes what is named, leaves the rest, and null clears.

use crate::problem::{FieldErrors, child};
use serde::{Deserialize, Deserializer};
use serde_json::Value;
use std::collections::BTreeMap;

/// `target` with the changes of `patch`, a JSON merge patch (RFC 7396): objects merge field by field, null removes a
/// field, and any other value replaces what was there.
pub fn merged(target: &Value, patch: &Value) -> Value {
    apply(target, patch, Null::Removes)
}

/// As [`merged`], for a document in which null is a value of its own: it stays where the patch puts it.
pub fn named(target: &Value, patch: &Value) -> Value {
    apply(target, patch, Null::Stays)
}

/// What a null of the patch does.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Null {
    Removes,
    Stays,
}

fn apply(target: &Value, patch: &Value, null: Null) -> Value {
    let Value::Object(changes) = patch else {
        return patch.clone();
    };
    let mut fields = target.as_object().cloned().unwrap_or_default();
    for (name, change) in changes {
        if change.is_null() && null == Null::Removes {
            fields.remove(name);
        } else {
            let before = fields.get(name).unwrap_or(&Value::Null);
            fields.insert(name.clone(), apply(before, change, null));
        }
    }
    Value::Object(fields)
}

/// As [`merged`], for a document that its field `id` identifies: the patch may repeat the id but not change it.
///
/// # Errors
/// The patch names another id.
pub fn identified(target: &Value, patch: &Value, id: &str) -> Result<Value, FieldErrors> {
    let known = target.get(id).unwrap_or(&Value::Null);
    match patch.get(id) {
        Some(given) if !given.is_null() && given != known => {
            let known = known.as_str().unwrap_or_default();
            let detail = format!("must be {known} or absent");
            Err(FieldErrors::one(child("", id), "range", detail))
        }
        _ => {
            let mut after = merged(target, patch);
            if let Value::Object(fields) = &mut after {
                fields.insert(id.to_owned(), known.clone());
            }
            Ok(after)
        }
    }
}

/// Deserialises a map without its entries that are null: with [`named`], that is how a patch removes an entry.
pub(crate) fn entries<'de, D, K, V>(deserializer: D) -> Result<BTreeMap<K, V>, D::Error>
where
    D: Deserializer<'de>,
    K: Deserialize<'de> + Ord,
    V: Deserialize<'de>,
{
    Ok(present(BTreeMap::deserialize(deserializer)?))
}

/// As [`entries`], on both levels.
pub(crate) fn nested_entries<'de, D, K, L, V>(deserializer: D) -> Result<BTreeMap<K, BTreeMap<L, V>>, D::Error>
where
    D: Deserializer<'de>,
    K: Deserialize<'de> + Ord,
    L: Deserialize<'de> + Ord,
    V: Deserialize<'de>,
{
    let outer = BTreeMap::<K, Option<BTreeMap<L, Option<V>>>>::deserialize(deserializer)?;
    let inner = present(outer).into_iter().map(|(key, inner)| (key, present(inner)));
    Ok(inner.collect())
}

fn present<K: Ord, V>(map: BTreeMap<K, Option<V>>) -> BTreeMap<K, V> {
    map.into_iter().filter_map(|(key, value)| Some((key, value?))).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn the_examples_of_the_rfc_hold() {
        for (target, patch, expected) in [
            (json!({"a": "b"}), json!({"a": "c"}), json!({"a": "c"})),
            (json!({"a": "b"}), json!({"b": "c"}), json!({"a": "b", "b": "c"})),
            (json!({"a": "b"}), json!({"a": null}), json!({})),
            (json!({"a": "b", "b": "c"}), json!({"a": null}), json!({"b": "c"})),
            (json!({"a": ["b"]}), json!({"a": "c"}), json!({"a": "c"})),
            (json!({"a": "c"}), json!({"a": ["b"]}), json!({"a": ["b"]})),
            (
                json!({"a": {"b": "c"}}),
                json!({"a": {"b": "d", "c": null}}),
                json!({"a": {"b": "d"}}),
            ),
            (json!({"a": [{"b": "c"}]}), json!({"a": [1]}), json!({"a": [1]})),
            (json!(["a", "b"]), json!(["c", "d"]), json!(["c", "d"])),
            (json!({"a": "b"}), json!(["c"]), json!(["c"])),
            (json!({"a": "foo"}), json!(null), json!(null)),
            (json!({"a": "foo"}), json!("bar"), json!("bar")),
            (json!({"e": null}), json!({"a": 1}), json!({"e": null, "a": 1})),
            (json!([1, 2]), json!({"a": "b", "c": null}), json!({"a": "b"})),
            (json!({}), json!({"a": {"bb": {"ccc": null}}}), json!({"a": {"bb": {}}})),
        ] {
            assert_eq!(merged(&target, &patch), expected, "{target} with {patch}");
        }
    }

    #[test]
    fn a_null_can_be_a_value() {
        let target = json!({"a": {"b": 1, "c": 2}, "d": 3});
        let after = named(&target, &json!({"a": {"b": null}, "d": null}));
        assert_eq!(after, json!({"a": {"b": null, "c": 2}, "d": null}));
    }

    #[test]
    fn the_id_stays() {
        let target = json!({"id": "A", "n": 1});
        for patch in [json!({"n": 2}), json!({"id": null, "n": 2}), json!({"id": "A", "n": 2})] {
            assert_eq!(identified(&target, &patch, "id"), Ok(json!({"id": "A", "n": 2})));
        }
        for other in [json!("B"), json!(1)] {
            let refused = identified(&target, &json!({ "id": other }), "id").unwrap_err();
            assert_eq!(refused.to_string(), "/id must be A or absent");
        }
        assert_eq!(identified(&target, &json!([]), "id"), Ok(json!([])));
    }
}
