//! Functions whose calls become messages: the parameters of the function that is meant, and an id for its result.

use minicbor::{Decoder, Encoder};

use crate::codec::array;
use crate::{Error, Schema, Signature};

/// The name of the parameter that says how much later a scheduled call begins, milliseconds.
const DELAY: &str = "delay-ms";

impl Signature {
    /// Whether this is `meant` with the id of an invocation for its result.
    pub fn sends(&self, meant: &Self) -> bool {
        self.params() == meant.params() && self.result() == Some(&Schema::String)
    }

    /// The same with a delay before the parameters.
    pub fn schedules(&self, meant: &Self) -> bool {
        let Some(((name, schema), rest)) = self.params().split_first() else {
            return false;
        };
        name == DELAY && *schema == Schema::U64 && *rest == *meant.params() && self.result() == Some(&Schema::String)
    }
}

/// The delay of a scheduled call, and the parameters of the function that is meant.
pub fn split_delay(params: &[u8]) -> Result<(u64, Vec<u8>), Error> {
    let mut input = Decoder::new(params);
    let count = array(&mut input)?;
    let delay_ms = input.u64()?;
    let mut rest = Encoder::new(Vec::with_capacity(params.len()));
    // Into a vector, which cannot fail.
    let _ = rest.array(count.saturating_sub(1) as u64);
    let mut rest = rest.into_writer();
    rest.extend_from_slice(&params[input.position()..]);
    Ok((delay_ms, rest))
}

/// A text as a function's result.
pub fn text_result(text: &str) -> Vec<u8> {
    let mut output = Encoder::new(Vec::with_capacity(text.len() + 2));
    // Into a vector, which cannot fail.
    let _ = output.str(text);
    output.into_writer()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Value, decode_params, decode_result, encode_params};

    fn signature(params: &[(&str, Schema)], result: Option<Schema>) -> Signature {
        let params = params.iter().map(|(name, schema)| ((*name).to_owned(), schema.clone()));
        Signature::from_schemas(params.collect(), result)
    }

    #[test]
    fn a_variant_has_the_parameters_of_what_is_meant_and_an_id_for_its_result() {
        let id = ("id", Schema::String);
        let meant = signature(std::slice::from_ref(&id), Some(Schema::Bool));
        let sent = signature(std::slice::from_ref(&id), Some(Schema::String));
        let scheduled = signature(&[(DELAY, Schema::U64), id.clone()], Some(Schema::String));
        assert!(sent.sends(&meant) && scheduled.schedules(&meant));
        assert!(!sent.schedules(&meant) && !scheduled.sends(&meant) && !meant.sends(&meant));
        assert!(!signature(&[("other", Schema::String)], Some(Schema::String)).sends(&meant));
        assert!(!signature(&[("delay", Schema::U64), id.clone()], Some(Schema::String)).schedules(&meant));
        assert!(!signature(&[(DELAY, Schema::U32), id], Some(Schema::String)).schedules(&meant));
    }

    #[test]
    fn what_is_left_without_the_delay_are_the_parameters() {
        let meant = signature(&[("id", Schema::String), ("count", Schema::U32)], None);
        let scheduled = signature(
            &[(DELAY, Schema::U64), ("id", Schema::String), ("count", Schema::U32)],
            Some(Schema::String),
        );
        let values = [Value::String("a".into()), Value::Unsigned(7)];
        let params = [&[Value::Unsigned(60_000)], &values[..]].concat();
        let (delay_ms, rest) = split_delay(&encode_params(&scheduled, &params).unwrap()).unwrap();
        assert_eq!(delay_ms, 60_000);
        assert_eq!(decode_params(&meant, &rest).unwrap(), values);
        assert_eq!(
            decode_result(&scheduled, &text_result("id")).unwrap(),
            Some(Value::String("id".into()))
        );
        assert!(split_delay(b"").is_err() && split_delay(&[0x80]).is_err());
    }
}
