//! `FIELD OPERATOR VALUE`, of any field of a flow's JSON → the rows for which it holds. Pure.

use std::{cmp::Ordering, fmt, str::FromStr};

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::report::FlowRow;

/// What must hold of a field. The field is named as in the JSON, with dots: `tcp.state`, `overlay.vni`,
/// `hops.interface`; of a list, one element must do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Condition {
    field: String,
    operator: Operator,
    value: String,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Operator {
    Equal,
    Differs,
    Above,
    Below,
    AtLeast,
    AtMost,
}

/// The longer ones first: `>` begins `>=`.
const OPERATORS: [(&str, Operator); 6] = [
    ("!=", Operator::Differs),
    (">=", Operator::AtLeast),
    ("<=", Operator::AtMost),
    ("=", Operator::Equal),
    (">", Operator::Above),
    ("<", Operator::Below),
];

impl Condition {
    /// Whether it holds of a flow as JSON.
    #[must_use]
    pub fn holds(&self, row: &Value) -> bool {
        let mut found = Vec::new();
        collect(row, &mut self.field.split('.'), &mut found);
        let is = |wanted: fn(Ordering) -> bool| {
            found.iter().any(|one| compare(one, &self.value).is_some_and(wanted))
        };
        match self.operator {
            Operator::Equal => is(Ordering::is_eq),
            Operator::Differs => !is(Ordering::is_eq),
            Operator::Above => is(Ordering::is_gt),
            Operator::Below => is(Ordering::is_lt),
            Operator::AtLeast => is(Ordering::is_ge),
            Operator::AtMost => is(Ordering::is_le),
        }
    }
}

/// Every value a field has: those of all elements, where a list is on the way.
fn collect<'v>(value: &'v Value, path: &mut std::str::Split<'_, char>, found: &mut Vec<&'v Value>) {
    match value {
        Value::Array(all) => all.iter().for_each(|one| collect(one, &mut path.clone(), found)),
        Value::Object(fields) => {
            if let Some(inner) = path.next().and_then(|name| fields.get(name)) {
                collect(inner, path, found);
            }
        }
        plain => {
            if path.next().is_none() {
                found.push(plain);
            }
        }
    }
}

/// Numbers by size, anything else by its text; `None` where the two cannot be compared.
fn compare(value: &Value, wanted: &str) -> Option<Ordering> {
    match value {
        Value::Number(number) => number.as_f64()?.partial_cmp(&wanted.parse().ok()?),
        Value::String(text) => Some(text.as_str().cmp(wanted)),
        Value::Bool(truth) => Some(truth.to_string().as_str().cmp(wanted)),
        Value::Null => (wanted == "null").then_some(Ordering::Equal),
        Value::Array(_) | Value::Object(_) => None,
    }
}

impl Condition {
    /// Of a text, where flows have these fields.
    fn read(text: &str, fields: &[String]) -> Result<Self, String> {
        let at = |(sign, operator): (&'static str, Operator)| {
            text.split_once(sign).map(|(field, value)| (field.trim(), operator, value.trim()))
        };
        // The first sign in the text, for a value may contain one too.
        let parts = OPERATORS.into_iter().filter_map(at).min_by_key(|(field, ..)| field.len());
        let (field, operator, value) = parts
            .ok_or_else(|| format!("`{text}` is no condition: give FIELD=VALUE, or one of != > >= < <="))?;
        if !fields.iter().any(|known| known == field) {
            return Err(format!("flows have no field `{field}`; they have {}", fields.join(", ")));
        }
        if value.contains('\n') {
            return Err("a value has no line breaks".to_owned());
        }
        Ok(Self { field: field.to_owned(), operator, value: value.to_owned() })
    }
}

impl FromStr for Condition {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        Self::read(text, &fields())
    }
}

impl fmt::Display for Condition {
    fn fmt(&self, to: &mut fmt::Formatter<'_>) -> fmt::Result {
        let sign = OPERATORS.iter().find(|(_, one)| *one == self.operator).map_or("=", |(sign, _)| sign);
        write!(to, "{}{sign}{}", self.field, self.value)
    }
}

/// Several conditions, in a query one a line. All must hold.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Conditions(pub Vec<Condition>);

impl Conditions {
    /// Whether all hold of a flow; one that cannot be written as JSON meets none.
    #[must_use]
    pub fn hold(&self, flow: &FlowRow) -> bool {
        self.0.is_empty()
            || serde_json::to_value(flow).is_ok_and(|row| self.0.iter().all(|one| one.holds(&row)))
    }
}

impl TryFrom<String> for Conditions {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        // Once for all of them: the schema is walked for it.
        let fields = if text.is_empty() { Vec::new() } else { fields() };
        text.lines().map(|line| Condition::read(line, &fields)).collect::<Result<_, _>>().map(Self)
    }
}

impl From<Conditions> for String {
    fn from(conditions: Conditions) -> Self {
        conditions.0.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n")
    }
}

/// Every field of a flow that has a plain value, with dots, by the schema of the document.
fn fields() -> Vec<String> {
    let schema = schemars::schema_for!(FlowRow).to_value();
    let mut all = Vec::new();
    walk(&schema, &schema, "", &mut all);
    all.sort();
    all.dedup();
    all
}

fn walk(root: &Value, schema: &Value, name: &str, all: &mut Vec<String>) {
    if let Some(target) = schema["$ref"].as_str() {
        let target = target.trim_start_matches('#');
        return root.pointer(target).into_iter().for_each(|one| walk(root, one, name, all));
    }
    let several = ["anyOf", "oneOf", "allOf"].into_iter().filter_map(|word| schema[word].as_array());
    let inner: Vec<&Value> = several.flatten().chain(schema.get("items")).collect();
    if !inner.is_empty() {
        return inner.into_iter().for_each(|one| walk(root, one, name, all));
    }
    match schema["properties"].as_object() {
        Some(properties) => properties.iter().for_each(|(field, one)| {
            let dot = if name.is_empty() { "" } else { "." };
            walk(root, one, &format!("{name}{dot}{field}"), all);
        }),
        None => all.push(name.to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::{super::made_up, *};

    fn passing(conditions: &[&str]) -> Vec<String> {
        let all = Conditions(conditions.iter().map(|one| one.parse().unwrap()).collect());
        let report = made_up::report();
        report.flows.iter().filter(|flow| all.hold(flow)).map(|flow| flow.id.to_string()).collect()
    }

    #[test]
    fn any_field_can_be_asked_for() {
        assert_eq!(passing(&[]), ["f1", "f2", "f3"]);
        assert_eq!(passing(&["id=f2"]), ["f2"]);
        assert_eq!(passing(&["id!=f2"]), ["f1", "f3"]);
        assert_eq!(passing(&["id>=f2", "id < f3"]), ["f2"]);
        assert_eq!(passing(&["overlay.vni=100"]), [""; 0], "none of them is in a tunnel");
    }

    #[test]
    fn numbers_are_compared_by_size_and_absent_values_are_null() {
        let holds = |condition: &str, row: Value| condition.parse::<Condition>().unwrap().holds(&row);
        assert!(holds("forward.bytes>9", serde_json::json!({"forward": {"bytes": 10}})));
        assert!(!holds("forward.bytes>10", serde_json::json!({"forward": {"bytes": 10}})));
        assert!(holds("proxied_by=null", serde_json::json!({"proxied_by": null})));
        assert!(!holds("forward.bytes=many", serde_json::json!({"forward": {"bytes": 10}})));
    }

    #[test]
    fn of_a_list_one_element_must_do_and_for_difference_all() {
        let row = serde_json::json!({"hops": [{"interface": "va"}, {"interface": "eth0"}]});
        let holds = |condition: &str| condition.parse::<Condition>().unwrap().holds(&row);
        assert!(holds("hops.interface=eth0") && !holds("hops.interface!=eth0"));
        assert!(!holds("hops.interface=vb") && holds("hops.interface!=vb"));
    }

    #[test]
    fn a_field_nobody_has_is_an_error_that_names_those_there_are() {
        let error = "tcp.sate=closed".parse::<Condition>().unwrap_err();
        assert!(error.contains("tcp.state") && error.contains("hops.interface"), "{error}");
        assert!("verdict".parse::<Condition>().unwrap_err().contains("FIELD=VALUE"));
    }

    #[test]
    fn conditions_read_back_as_they_are_written() {
        let all =
            Conditions(vec!["path!=uplink".parse().unwrap(), "source.endpoint=pod/a>b".parse().unwrap()]);
        let text = String::from(all.clone());
        assert_eq!(Conditions::try_from(text).unwrap(), all);
    }
}
