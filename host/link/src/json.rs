//! Encoded values as JSON with names: what an operator sees. One way only.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Map, Value as Json, json};

use crate::{Error, Schema, Signature, Value, decode, decode_params, decode_result};

/// An encoded value for people: fields, cases and flags by name; bytes as `{"base64": …}`; an option as its value or null
/// (`{"some": …}` where null would be ambiguous); NaN and infinities as text.
pub fn to_json(schema: &Schema, bytes: &[u8]) -> Result<Json, Error> {
    decode(schema, bytes).map(|value| render(schema, &value))
}

impl Signature {
    /// Encoded parameters for people: an object with a field each.
    pub fn params_to_json(&self, bytes: &[u8]) -> Result<Json, Error> {
        let values = decode_params(self, bytes)?;
        let fields = self.params().iter().zip(&values);
        Ok(Json::Object(
            fields
                .map(|((name, schema), value)| (name.clone(), render(schema, value)))
                .collect(),
        ))
    }

    /// An encoded result for people; null if the function has none.
    pub fn result_to_json(&self, bytes: &[u8]) -> Result<Json, Error> {
        let value = decode_result(self, bytes)?;
        Ok(self
            .result()
            .zip(value)
            .map_or(Json::Null, |(schema, value)| render(schema, &value)))
    }
}

/// `value` has been decoded with `schema`, or is shown as it is.
fn render(schema: &Schema, value: &Value) -> Json {
    match (schema, value) {
        (_, Value::Bool(value)) => json!(value),
        (_, Value::Unsigned(value)) => json!(value),
        (_, Value::Signed(value)) => json!(value),
        (_, Value::F32(value)) if value.is_finite() => json!(value),
        (_, Value::F32(value)) => json!(value.to_string()),
        (_, Value::F64(value)) if value.is_finite() => json!(value),
        (_, Value::F64(value)) => json!(value.to_string()),
        (_, Value::Char(value)) => json!(value),
        (_, Value::String(value)) => json!(value),
        (_, Value::Bytes(value)) => json!({ "base64": STANDARD.encode(value) }),
        (Schema::List(item), Value::List(values)) => values.iter().map(|value| render(item, value)).collect(),
        (Schema::Record(fields), Value::Fields(values)) => {
            let fields = fields.iter().zip(values);
            Json::Object(
                fields
                    .map(|((name, schema), value)| (name.clone(), render(schema, value)))
                    .collect(),
            )
        }
        (Schema::Tuple(types), Value::Fields(values)) => types
            .iter()
            .zip(values)
            .map(|(schema, value)| render(schema, value))
            .collect(),
        (Schema::Flags(names), Value::Flags(bits)) => {
            let set = names.iter().enumerate().filter(|(index, _)| bits & (1 << index) != 0);
            set.map(|(_, name)| json!(name)).collect()
        }
        (Schema::Option(some), Value::Case(_, payload)) => match (&**some, payload) {
            (_, None) => Json::Null,
            (Schema::Option(_), Some(value)) => json!({ "some": render(some, value) }),
            (_, Some(value)) => render(some, value),
        },
        (_, Value::Case(index, payload)) => {
            let name = case_name(schema, *index);
            match (payload, schema.case(*index).flatten(), schema) {
                (Some(value), Some(schema), _) => Json::Object(Map::from_iter([(name, render(schema, value))])),
                (_, _, Schema::Result { .. }) => Json::Object(Map::from_iter([(name, Json::Null)])),
                _ => Json::String(name),
            }
        }
        (_, Value::List(_) | Value::Fields(_) | Value::Flags(_)) => Json::String(format!("{value:?}")),
    }
}

fn case_name(schema: &Schema, index: u32) -> String {
    let position = index as usize;
    let name = match schema {
        Schema::Variant(cases) => cases.get(position).map(|(name, _)| name.as_str()),
        Schema::Enum(names) => names.get(position).map(String::as_str),
        Schema::Result { .. } => ["ok", "err"].get(position).copied(),
        _ => None,
    };
    name.map_or_else(|| index.to_string(), str::to_owned)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::encode;

    fn shown(schema: &Schema, value: &Value) -> Json {
        to_json(schema, &encode(schema, value).unwrap()).unwrap()
    }

    fn case(index: u32, payload: Option<Value>) -> Value {
        Value::Case(index, payload.map(Box::new))
    }

    #[test]
    fn a_person_can_read_it() {
        let schema = Schema::Record(vec![
            ("id".to_owned(), Schema::U64),
            (
                "level".to_owned(),
                Schema::Enum(vec!["low".to_owned(), "high".to_owned()]),
            ),
            (
                "rights".to_owned(),
                Schema::Flags(vec!["read".to_owned(), "write".to_owned(), "own".to_owned()]),
            ),
            (
                "shape".to_owned(),
                Schema::Variant(vec![("dot".to_owned(), None), ("disc".to_owned(), Some(Schema::F64))]),
            ),
            ("data".to_owned(), Schema::Bytes),
        ]);
        let value = Value::Fields(vec![
            Value::Unsigned(u64::MAX),
            case(1, None),
            Value::Flags(0b101),
            case(1, Some(Value::F64(f64::INFINITY))),
            Value::Bytes(b"abc".to_vec()),
        ]);
        let expected = json!({
            "id": u64::MAX, "level": "high", "rights": ["read", "own"], "shape": { "disc": "inf" }, "data": { "base64": "YWJj" },
        });
        assert_eq!(shown(&schema, &value), expected);
    }

    #[test]
    fn nested_options_stay_apart() {
        let schema = Schema::Option(Box::new(Schema::Option(Box::new(Schema::U8))));
        assert_eq!(shown(&schema, &case(0, None)), Json::Null);
        assert_eq!(shown(&schema, &case(1, Some(case(0, None)))), json!({ "some": null }));
        assert_eq!(
            shown(&schema, &case(1, Some(case(1, Some(Value::Unsigned(7)))))),
            json!({ "some": 7 })
        );
    }

    #[test]
    fn results_name_their_side() {
        let schema = Schema::Result {
            ok: None,
            err: Some(Box::new(Schema::String)),
        };
        assert_eq!(shown(&schema, &case(0, None)), json!({ "ok": null }));
        assert_eq!(
            shown(&schema, &case(1, Some(Value::String("no".to_owned())))),
            json!({ "err": "no" })
        );
    }
}
