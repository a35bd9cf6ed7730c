//! Times in JSON: each as seconds since 1970 and in RFC 3339.

use serde_json::Value;

use crate::model::time::Time;

/// The fields that are times, in seconds since 1970.
const FIELDS: [&str; 19] = [
    "checkpoint",
    "counted_since",
    "counters_read",
    "ended",
    "failing_since",
    "knocked",
    "last",
    "last_failed",
    "last_fetched",
    "last_heal",
    "last_line",
    "last_try",
    "login",
    "paused_until",
    "saved",
    "since",
    "time",
    "until",
    "written",
];

/// Adds to each field of seconds one in RFC 3339, in UTC, with `_at` behind its name; and to `time` in RFC 3339, as `replay`
/// has it, `time_secs`.
pub fn say_both(value: &mut Value) {
    match value {
        Value::Array(values) => values.iter_mut().for_each(say_both),
        Value::Object(fields) => {
            let before = std::mem::take(fields);
            for (name, mut value) in before {
                say_both(&mut value);
                let other = other(&name, &value);
                fields.insert(name, value);
                fields.extend(other);
            }
        }
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
    }
}

/// Returns the other way to say a time.
fn other(name: &str, value: &Value) -> Option<(String, Value)> {
    if !FIELDS.contains(&name) {
        return None;
    }
    match value {
        Value::Null => Some((format!("{name}_at"), Value::Null)),
        Value::Number(secs) => {
            Some((format!("{name}_at"), Time::from_secs(secs.as_i64()?).utc().into()))
        }
        Value::String(text) if name == "time" => {
            let stamp: jiff::Timestamp = text.parse().ok()?;
            Some((format!("{name}_secs"), stamp.as_second().into()))
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn each_time_is_said_in_both_ways() {
        let mut value = json!({
            "host": "192.0.2.1", "until": null, "since": 1_795_308_766, "left": 5,
            "bans": [{ "time": "2026-11-22T00:52:46Z", "login": "x" }],
        });
        say_both(&mut value);
        assert_eq!(
            value.to_string(),
            r#"{"host":"192.0.2.1","until":null,"until_at":null,"since":1795308766,"since_at":"2026-11-22T00:52:46Z","left":5,"bans":[{"time":"2026-11-22T00:52:46Z","time_secs":1795308766,"login":"x"}]}"#
        );
    }
}
