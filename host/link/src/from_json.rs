//! JSON with names as an encoded value: what a person answers with. The inverse of what an operator is shown.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::Value as Json;

use crate::{Schema, Signature, Value, encode, encode_result};

impl Signature {
    /// A result as [`Signature::result_to_json`] shows it, encoded. `Err` says where it differs from the function's type.
    pub fn result_from_json(&self, json: &Json) -> Result<Vec<u8>, String> {
        let value = match (self.result(), json) {
            (None, Json::Null) => None,
            (None, _) => return Err("the function has no result: write null".into()),
            (Some(schema), json) => Some(read(schema, json, "the result")?),
        };
        encode_result(self, value.as_ref()).map_err(|error| error.to_string())
    }
}

/// A value as [`crate::to_json`] shows it, encoded. `Err` says where it differs from the type.
pub fn from_json(schema: &Schema, json: &Json) -> Result<Vec<u8>, String> {
    encode(schema, &read(schema, json, "the value")?).map_err(|error| error.to_string())
}

/// `place` names what is read, for the person who wrote it. Recursion is as deep as the type is, which is bounded.
fn read(schema: &Schema, json: &Json, place: &str) -> Result<Value, String> {
    let wanted = |what: &str| format!("{place} must be {what}, not {json}");
    Ok(match schema {
        Schema::Bool => Value::Bool(json.as_bool().ok_or_else(|| wanted("true or false"))?),
        Schema::U8 | Schema::U16 | Schema::U32 | Schema::U64 => {
            Value::Unsigned(json.as_u64().ok_or_else(|| wanted("a whole number from 0"))?)
        }
        Schema::S8 | Schema::S16 | Schema::S32 | Schema::S64 => {
            Value::Signed(json.as_i64().ok_or_else(|| wanted("a whole number"))?)
        }
        #[expect(clippy::cast_possible_truncation, reason = "what was shown of an f32 is one")]
        Schema::F32 => Value::F32(number(json).ok_or_else(|| wanted("a number"))? as f32),
        Schema::F64 => Value::F64(number(json).ok_or_else(|| wanted("a number"))?),
        Schema::Char => {
            let mut chars = json.as_str().unwrap_or_default().chars();
            match (chars.next(), chars.next()) {
                (Some(char), None) => Value::Char(char),
                _ => return Err(wanted("one character")),
            }
        }
        Schema::String => Value::String(json.as_str().ok_or_else(|| wanted("a text"))?.to_owned()),
        Schema::Bytes => {
            let text = json.get("base64").and_then(Json::as_str);
            let bytes = text.and_then(|text| STANDARD.decode(text).ok());
            Value::Bytes(bytes.ok_or_else(|| wanted("bytes as {\"base64\": \"...\"}"))?)
        }
        Schema::List(item) => Value::List(items(json.as_array().ok_or_else(|| wanted("a list"))?, place, |_| {
            Some(item)
        })?),
        Schema::Tuple(types) => {
            let list = json.as_array().filter(|list| list.len() == types.len());
            let list = list.ok_or_else(|| wanted(&format!("a list of {}", types.len())))?;
            Value::Fields(items(list, place, |index| types.get(index))?)
        }
        Schema::Record(fields) => {
            let object = json.as_object().ok_or_else(|| wanted("an object"))?;
            if let Some(unknown) = object.keys().find(|key| !fields.iter().any(|(name, _)| name == *key)) {
                return Err(format!("{place} has no field {unknown:?}"));
            }
            let field = |(name, schema): &(String, Schema)| {
                // Null is what an option shows when it is none; it may be left out.
                let json = object.get(name).unwrap_or(&Json::Null);
                read(schema, json, &format!("{place}.{name}"))
            };
            Value::Fields(fields.iter().map(field).collect::<Result<_, _>>()?)
        }
        Schema::Flags(names) => {
            let list = json.as_array().ok_or_else(|| wanted("a list of names"))?;
            let mut bits = 0;
            for flag in list {
                let position = names.iter().position(|name| flag.as_str() == Some(name));
                bits |=
                    1 << position.ok_or_else(|| format!("{place} has no flag {flag}; it has {}", names.join(", ")))?;
            }
            Value::Flags(bits)
        }
        Schema::Option(_) if json.is_null() => Value::Case(0, None),
        Schema::Option(some) => {
            let inner = match &**some {
                Schema::Option(_) => json.get("some").ok_or_else(|| wanted("null or {\"some\": ...}"))?,
                _ => json,
            };
            Value::Case(1, Some(Box::new(read(some, inner, place)?)))
        }
        Schema::Enum(names) => case(json, place, names.iter().map(|name| (name.as_str(), None)))?,
        Schema::Variant(cases) => case(
            json,
            place,
            cases.iter().map(|(name, schema)| (name.as_str(), schema.as_ref())),
        )?,
        Schema::Result { ok, err } => case(
            json,
            place,
            [("ok", ok.as_deref()), ("err", err.as_deref())].into_iter(),
        )?,
    })
}

fn items<'a>(list: &[Json], place: &str, schema: impl Fn(usize) -> Option<&'a Schema>) -> Result<Vec<Value>, String> {
    let item = |(index, json): (usize, &Json)| {
        let place = format!("{place}[{index}]");
        let schema = schema(index).ok_or_else(|| format!("{place} is one too many"))?;
        read(schema, json, &place)
    };
    list.iter().enumerate().map(item).collect()
}

/// A case without a payload is its name, one with a payload an object of its name; `{"ok": null}` is right for both.
fn case<'a>(
    json: &Json,
    place: &str,
    cases: impl Iterator<Item = (&'a str, Option<&'a Schema>)> + Clone,
) -> Result<Value, String> {
    let (name, payload) = match json {
        Json::String(name) => (name.as_str(), None),
        Json::Object(object) if object.len() == 1 => {
            let (name, payload) = object.iter().next().ok_or_else(|| format!("{place} names no case"))?;
            (name.as_str(), Some(payload).filter(|payload| !payload.is_null()))
        }
        _ => {
            return Err(format!(
                "{place} must be a case's name, or an object with that one name, not {json}"
            ));
        }
    };
    let names = || cases.clone().map(|(name, _)| name).collect::<Vec<_>>().join(", ");
    let found = cases.clone().enumerate().find(|(_, (case, _))| *case == name);
    let (index, (_, schema)) = found.ok_or_else(|| format!("{place} has no case {name:?}; it has {}", names()))?;
    let place = format!("{place}.{name}");
    let payload = match (schema, payload) {
        (None, None) => None,
        (None, Some(_)) => return Err(format!("{place} has no value")),
        (Some(schema), payload) => Some(Box::new(read(schema, payload.unwrap_or(&Json::Null), &place)?)),
    };
    Ok(Value::Case(
        u32::try_from(index).map_err(|error| error.to_string())?,
        payload,
    ))
}

/// What JSON has no number for is shown as text.
fn number(json: &Json) -> Option<f64> {
    match json {
        Json::String(text) => match text.as_str() {
            "NaN" => Some(f64::NAN),
            "inf" => Some(f64::INFINITY),
            "-inf" => Some(f64::NEG_INFINITY),
            _ => None,
        },
        number => number.as_f64(),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::to_json;

    fn names(names: &[&str]) -> Vec<String> {
        names.iter().map(|name| (*name).to_owned()).collect()
    }

    fn receipt() -> Schema {
        Schema::Record(vec![
            ("id".to_owned(), Schema::U64),
            ("change".to_owned(), Schema::S32),
            ("level".to_owned(), Schema::Enum(names(&["low", "high"]))),
            ("rights".to_owned(), Schema::Flags(names(&["read", "write", "own"]))),
            (
                "shape".to_owned(),
                Schema::Variant(vec![("dot".to_owned(), None), ("disc".to_owned(), Some(Schema::F64))]),
            ),
            ("data".to_owned(), Schema::Bytes),
            (
                "note".to_owned(),
                Schema::Option(Box::new(Schema::Option(Box::new(Schema::Char)))),
            ),
            ("pair".to_owned(), Schema::Tuple(vec![Schema::Bool, Schema::String])),
            ("all".to_owned(), Schema::List(Box::new(Schema::U8))),
        ])
    }

    #[test]
    fn what_a_person_is_shown_can_be_written_back() {
        for (level, shape, note) in [
            (json!("low"), json!("dot"), json!(null)),
            (json!("high"), json!({ "disc": "inf" }), json!({ "some": null })),
            (json!("high"), json!({ "disc": 0.5 }), json!({ "some": "x" })),
        ] {
            let shown = json!({
                "id": u64::MAX, "change": -3, "level": level, "rights": ["read", "own"], "shape": shape,
                "data": { "base64": "YWJj" }, "note": note, "pair": [true, "b"], "all": [1, 2],
            });
            let encoded = from_json(&receipt(), &shown).unwrap_or_else(|error| panic!("{shown}: {error}"));
            assert_eq!(to_json(&receipt(), &encoded).unwrap(), shown);
        }
    }

    #[test]
    fn a_result_is_one_of_its_sides() {
        let signature = Signature::from_schemas(
            vec![],
            Some(Schema::Result {
                ok: None,
                err: Some(Box::new(Schema::String)),
            }),
        );
        for side in [json!({ "ok": null }), json!({ "err": "no" })] {
            let encoded = signature.result_from_json(&side).unwrap();
            assert_eq!(signature.result_to_json(&encoded).unwrap(), side);
        }
        assert!(signature.result_from_json(&json!({ "ok": 1 })).is_err());
        let none = Signature::from_schemas(vec![], None);
        assert_eq!(
            none.result_from_json(&Json::Null)
                .map(|bytes| none.result_to_json(&bytes).unwrap()),
            Ok(Json::Null)
        );
        assert!(none.result_from_json(&json!({})).is_err());
    }

    #[test]
    fn what_does_not_fit_is_said_with_its_place() {
        let signature = Signature::from_schemas(vec![], Some(receipt()));
        for (change, message) in [
            (
                json!({ "id": -1 }),
                "the result.id must be a whole number from 0, not -1",
            ),
            (json!({ "id": 1, "no": 1 }), "the result has no field \"no\""),
            (
                json!({ "id": 1, "change": 1, "level": "mid" }),
                "the result.level has no case \"mid\"; it has low, high",
            ),
            (json!([]), "the result must be an object, not []"),
        ] {
            assert_eq!(signature.result_from_json(&change), Err(message.to_owned()));
        }
        let too_large = from_json(&Schema::U8, &json!(256));
        assert!(too_large.is_err(), "{too_large:?}");
        assert!(
            from_json(&Schema::List(Box::new(Schema::U8)), &json!([1, "a"]))
                .unwrap_err()
                .contains("[1]")
        );
    }
}
