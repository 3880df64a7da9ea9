//! What the host does with the parameters and the result of a function that runs one at a time: it reads the key, and says that there is
//! no waiting for it.

use minicbor::{Decoder, Encoder};

use crate::codec::array_of;
use crate::{Error, Schema, Signature};

/// The case of an error variant that any reason fits in.
const OTHER: &str = "other";

impl Signature {
    /// The number of the parameter of this name.
    pub fn parameter(&self, name: &str) -> Option<usize> {
        self.params().iter().position(|(own, _)| own == name)
    }

    /// The encoded value of a parameter.
    pub fn value_of<'p>(&self, number: usize, params: &'p [u8]) -> Result<&'p [u8], Error> {
        let mut input = Decoder::new(params);
        array_of(&mut input, self.params().len())?;
        for _ in 0..number {
            input.skip()?;
        }
        let begin = input.position();
        input.skip()?;
        Ok(&params[begin..input.position()])
    }

    /// A result that says why the function was not run; `None` when its result has no place for a reason.
    pub fn refusal(&self, reason: &str) -> Option<Vec<u8>> {
        let Some(Schema::Result { err: Some(error), .. }) = self.result() else {
            return None;
        };
        let mut output = Encoder::new(Vec::with_capacity(reason.len() + 16));
        // Into a vector, which cannot fail.
        let _ = output.array(2).and_then(|output| output.u32(1));
        match &**error {
            Schema::String => drop(output.str(reason)),
            Schema::Variant(cases) => {
                let fits =
                    |(name, payload): &(String, Option<Schema>)| name == OTHER && *payload == Some(Schema::String);
                let case = u32::try_from(cases.iter().position(fits)?).ok()?;
                let _ = output.array(2).and_then(|output| output.u32(case)?.str(reason));
            }
            _ => return None,
        }
        Some(output.into_writer())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Value, decode_result, encode_params};

    fn signature(result: Option<Schema>) -> Signature {
        let list = Schema::List(Box::new(Schema::String));
        let params = [("list", list), ("key", Schema::U64), ("last", Schema::Bool)];
        let params = params.map(|(name, schema)| (name.to_owned(), schema));
        Signature::from_schemas(params.into(), result)
    }

    fn failing(error: Schema) -> Option<Schema> {
        Some(Schema::Result {
            ok: None,
            err: Some(Box::new(error)),
        })
    }

    #[test]
    fn a_key_is_the_encoded_value_of_its_parameter() {
        let signature = signature(None);
        let encode = |key| {
            let list = Value::List(vec![Value::String("a".into())]);
            encode_params(&signature, &[list, Value::Unsigned(key), Value::Bool(true)]).unwrap()
        };
        let number = signature.parameter("key").unwrap();
        assert_eq!(signature.value_of(number, &encode(7)).unwrap(), [7]);
        assert_eq!(signature.value_of(number, &encode(300)).unwrap(), [0x19, 1, 44]);
        assert_eq!(signature.value_of(2, &encode(7)).unwrap(), [0xf5]);
        assert_eq!(signature.parameter("other"), None);
        assert!(signature.value_of(number, b"").is_err() && signature.value_of(number, &[0x83, 0x60]).is_err());
    }

    #[test]
    fn a_refusal_is_an_error_that_the_function_could_return() {
        let case = |name: &str, payload| (name.to_owned(), payload);
        let variant = Schema::Variant(vec![case("gone", None), case("other", Some(Schema::String))]);
        let reason = || Value::String("no".into());
        for (error, value) in [
            (Schema::String, reason()),
            (variant, Value::Case(1, Some(Box::new(reason())))),
        ] {
            let signature = signature(failing(error));
            let refused = decode_result(&signature, &signature.refusal("no").unwrap()).unwrap();
            assert_eq!(refused, Some(Value::Case(1, Some(Box::new(value)))));
        }
        let without = Schema::Variant(vec![case("other", None)]);
        for result in [None, Some(Schema::String), failing(Schema::U8), failing(without)] {
            assert_eq!(signature(result).refusal("no"), None);
        }
    }
}
