//! Functions that stand for another one: the parameters of the function that is meant, and an id for its result where its calls become
//! messages, a number where they are begun; or that number, and its result.

use minicbor::{Decoder, Encoder};

use crate::codec::{array, array_of};
use crate::{Error, Schema, Signature};

/// The name of the parameter that says how much later a scheduled call begins, milliseconds.
const DELAY: &str = "delay-ms";

/// The name of the parameter that says which begun call is to be finished.
const CALL: &str = "call";

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

    /// Whether this is `meant` with the number of a call for its result.
    pub fn begins(&self, meant: &Self) -> bool {
        self.params() == meant.params() && self.result() == Some(&Schema::U32)
    }

    /// Whether this takes the number of a call and has the result of `meant`.
    pub fn finishes(&self, meant: &Self) -> bool {
        matches!(self.params(), [(name, Schema::U32)] if name == CALL) && self.result() == meant.result()
    }
}

/// The only parameter of a function that finishes a call.
pub fn call_number(params: &[u8]) -> Result<u32, Error> {
    let mut input = Decoder::new(params);
    array_of(&mut input, 1)?;
    Ok(input.u32()?)
}

/// A number as a function's result.
pub fn number_result(number: u32) -> Vec<u8> {
    let mut output = Encoder::new(Vec::with_capacity(5));
    // Into a vector, which cannot fail.
    let _ = output.u32(number);
    output.into_writer()
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
    fn a_call_is_begun_with_its_parameters_and_finished_by_its_number() {
        let meant = signature(&[("id", Schema::String)], Some(Schema::Bool));
        let begin = signature(&[("id", Schema::String)], Some(Schema::U32));
        let finish = signature(&[(CALL, Schema::U32)], Some(Schema::Bool));
        assert!(begin.begins(&meant) && finish.finishes(&meant));
        assert!(!meant.begins(&meant) && !finish.begins(&meant) && !begin.finishes(&meant));
        assert!(!signature(&[("number", Schema::U32)], Some(Schema::Bool)).finishes(&meant));
        assert!(!signature(&[(CALL, Schema::U32)], None).finishes(&meant));
        let nothing = signature(&[("id", Schema::String)], None);
        assert!(signature(&[(CALL, Schema::U32)], None).finishes(&nothing) && begin.begins(&nothing));

        let params = encode_params(&finish, &[Value::Unsigned(300)]).unwrap();
        assert_eq!(call_number(&params).unwrap(), 300);
        assert_eq!(
            decode_result(&begin, &number_result(300)).unwrap(),
            Some(Value::Unsigned(300))
        );
        assert!(call_number(b"").is_err() && call_number(&[0x80]).is_err() && call_number(&[0x81, 0x60]).is_err());
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
