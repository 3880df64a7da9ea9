//! The errors that a function's type declares, each in its plainest form: what a test has a call return in place of entering it.

use crate::{Schema, Signature, Value, encode_result};

impl Signature {
    /// Name and encoded result of each; none for a function whose result is no `result` with an error.
    pub fn declared_errors(&self) -> Vec<(String, Vec<u8>)> {
        let Some(Schema::Result { err: Some(error), .. }) = self.result() else {
            return Vec::new();
        };
        let mut errors = Vec::new();
        for (name, value) in cases(error) {
            let result = Value::Case(1, Some(Box::new(value)));
            // A value of our own making is of its type.
            if let Ok(encoded) = encode_result(self, Some(&result)) {
                errors.push((name, encoded));
            }
        }
        errors
    }
}

/// Every case of a variant or an enum; of any other type one value.
fn cases(schema: &Schema) -> Vec<(String, Value)> {
    match schema {
        Schema::Enum(names) => (0..)
            .zip(names)
            .map(|(index, name)| (name.clone(), Value::Case(index, None)))
            .collect(),
        Schema::Variant(cases) => (0..)
            .zip(cases)
            .map(|(index, (name, payload))| {
                let payload = payload.as_ref().map(|payload| Box::new(plainest(payload)));
                (name.clone(), Value::Case(index, payload))
            })
            .collect(),
        other => vec![("error".to_owned(), plainest(other))],
    }
}

/// Nothing, nought, none, the first case. Recursion is as deep as the type is, which is bounded.
fn plainest(schema: &Schema) -> Value {
    match schema {
        Schema::Bool => Value::Bool(false),
        Schema::U8 | Schema::U16 | Schema::U32 | Schema::U64 => Value::Unsigned(0),
        Schema::S8 | Schema::S16 | Schema::S32 | Schema::S64 => Value::Signed(0),
        Schema::F32 => Value::F32(0.0),
        Schema::F64 => Value::F64(0.0),
        Schema::Char => Value::Char('-'),
        Schema::String => Value::String("injected".into()),
        Schema::Bytes => Value::Bytes(Vec::new()),
        Schema::List(_) => Value::List(Vec::new()),
        Schema::Record(fields) => Value::Fields(fields.iter().map(|(_, field)| plainest(field)).collect()),
        Schema::Tuple(types) => Value::Fields(types.iter().map(plainest).collect()),
        Schema::Variant(cases) => {
            let payload = cases.first().and_then(|(_, payload)| payload.as_ref());
            Value::Case(0, payload.map(|payload| Box::new(plainest(payload))))
        }
        Schema::Enum(_) | Schema::Option(_) => Value::Case(0, None),
        Schema::Result { ok, .. } => Value::Case(0, ok.as_deref().map(|ok| Box::new(plainest(ok)))),
        Schema::Flags(_) => Value::Flags(0),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::decode_result;

    #[test]
    fn each_case_of_an_error_is_a_result_of_the_function() {
        let error = Schema::Variant(vec![
            ("sold-out".into(), Some(Schema::U32)),
            ("unknown".into(), None),
            ("other".into(), Some(Schema::String)),
        ]);
        let result = Schema::Result {
            ok: Some(Box::new(Schema::String)),
            err: Some(Box::new(error)),
        };
        let function = Signature::from_schemas(Vec::new(), Some(result));
        let errors = function.declared_errors();
        let names: Vec<_> = errors.iter().map(|(name, _)| name.as_str()).collect();
        assert_eq!(names, ["sold-out", "unknown", "other"]);
        for (_, encoded) in &errors {
            assert!(matches!(
                decode_result(&function, encoded),
                Ok(Some(Value::Case(1, Some(_))))
            ));
        }
        assert_eq!(
            Signature::from_schemas(Vec::new(), Some(Schema::U32)).declared_errors(),
            []
        );
    }
}
