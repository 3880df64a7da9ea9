//! Functions that stand for another one: the parameters of the function that is meant, and an id for its result where its calls become
//! messages, a number where they are begun; or that number, and its result.

use minicbor::data::Type;
use minicbor::{Decoder, Encoder};

use crate::codec::{array, array_of};
use crate::{Error, Schema, Signature};

/// The name of the parameter that says how much later a scheduled call begins, milliseconds.
const DELAY: &str = "delay-ms";

/// The name of the parameter that says which begun call is to be finished.
const CALL: &str = "call";
/// The name of the parameter that holds a workflow's id.
const WORKFLOW: &str = "workflow-id";
/// The name of the parameter that says how long to wait for a workflow at most.
const TIMEOUT: &str = "timeout-ms";

/// Why there is no result of a workflow, by the number of its case.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AttachError {
    /// The time was up before.
    TimedOut,
    /// Nothing was started under that id, or it is forgotten.
    NotFound,
    /// An operator ended it.
    Cancelled,
    /// It waits for the one who asks.
    Circle,
}

/// The cases of `attach-error`. Those that were built before there were circles have all but the last.
const ATTACH_ERRORS: [&str; 4] = ["timed-out", "not-found", "cancelled", "circle"];

impl Signature {
    /// Whether this is `meant` with the id of an invocation for its result.
    pub fn sends(&self, meant: &Self) -> bool {
        self.params() == meant.params() && self.result() == Some(&Schema::String)
    }

    /// Whether this starts `meant` as a workflow: with an id before the parameters, and the variant `started` for its result.
    pub fn starts(&self, meant: &Self) -> bool {
        let Some(((name, schema), rest)) = self.params().split_first() else {
            return false;
        };
        let case = |name: &str| (name.to_owned(), Some(Schema::String));
        let started = Schema::Variant(vec![case("started"), case("already-started")]);
        name == WORKFLOW && *schema == Schema::String && *rest == *meant.params() && self.result() == Some(&started)
    }

    /// Whether this waits for what `meant` returns as a workflow.
    pub fn attaches(&self, meant: &Self) -> bool {
        let timeout = Schema::Option(Box::new(Schema::U64));
        let params = [(WORKFLOW.to_owned(), Schema::String), (TIMEOUT.to_owned(), timeout)];
        let Some(Schema::Result { ok, err: Some(err) }) = self.result() else {
            return false;
        };
        let Schema::Enum(errors) = &**err else {
            return false;
        };
        let is_known = errors.len() >= 3 && *errors == ATTACH_ERRORS[..errors.len().min(4)];
        *self.params() == params && ok.as_deref() == meant.result() && is_known
    }

    /// Whether this, which attaches to a workflow, has a word for [`AttachError::Circle`].
    pub fn knows_circles(&self) -> bool {
        let Some(Schema::Result { err: Some(err), .. }) = self.result() else {
            return false;
        };
        matches!(&**err, Schema::Enum(errors) if errors.len() == ATTACH_ERRORS.len())
    }

    /// What waiting for a workflow came to, as the result of a function that attaches to it; `Ok` holds what it returned, encoded.
    pub fn attach_result(&self, outcome: Result<&[u8], AttachError>) -> Vec<u8> {
        let has_value = matches!(self.result(), Some(Schema::Result { ok: Some(_), .. }));
        let mut output = Encoder::new(Vec::new());
        // Into a vector, which cannot fail.
        match outcome {
            Ok(returned) if has_value => {
                let _ = output.array(2).and_then(|output| output.u32(0));
                output.writer_mut().extend_from_slice(returned);
            }
            Ok(_) => drop(output.u32(0)),
            Err(error) => drop(output.array(2).and_then(|output| output.u32(1)?.u32(error as u32))),
        }
        output.into_writer()
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
    Ok((delay_ms, without_first(count, &params[input.position()..])))
}

/// The id of a workflow that is started, and the parameters of the function that is meant.
pub fn split_workflow(params: &[u8]) -> Result<(String, Vec<u8>), Error> {
    let mut input = Decoder::new(params);
    let count = array(&mut input)?;
    let id = input.str()?.to_owned();
    Ok((id, without_first(count, &params[input.position()..])))
}

/// The parameters of a function that attaches to a workflow: its id, and how long to wait at most.
pub fn attach_params(params: &[u8]) -> Result<(String, Option<u64>), Error> {
    let mut input = Decoder::new(params);
    array_of(&mut input, 2)?;
    let id = input.str()?.to_owned();
    let timeout_ms = match input.datatype()? {
        Type::Array | Type::ArrayIndef => {
            array_of(&mut input, 2)?;
            input.u32()?;
            Some(input.u64()?)
        }
        _ => None,
    };
    Ok((id, timeout_ms))
}

fn without_first(count: usize, values: &[u8]) -> Vec<u8> {
    let mut rest = Encoder::new(Vec::with_capacity(values.len() + 9));
    // Into a vector, which cannot fail.
    let _ = rest.array(count.saturating_sub(1) as u64);
    let mut rest = rest.into_writer();
    rest.extend_from_slice(values);
    rest
}

/// The result of starting a workflow: whether it was started, and the id of its invocation.
pub fn started_result(is_new: bool, invocation: &str) -> Vec<u8> {
    let mut output = Encoder::new(Vec::with_capacity(invocation.len() + 4));
    // Into a vector, which cannot fail.
    let _ = output
        .array(2)
        .and_then(|output| output.u32(u32::from(!is_new))?.str(invocation));
    output.into_writer()
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
    fn a_workflow_is_started_under_an_id_and_attached_to_by_it() {
        let id = (WORKFLOW, Schema::String);
        let timeout = (TIMEOUT, Schema::Option(Box::new(Schema::U64)));
        let case = |name: &str| (name.to_owned(), Some(Schema::String));
        let started = Schema::Variant(vec![case("started"), case("already-started")]);
        let errors = Schema::Enum(ATTACH_ERRORS.map(str::to_owned).into());
        let attached = |ok: Option<Schema>| Schema::Result {
            ok: ok.map(Box::new),
            err: Some(Box::new(errors.clone())),
        };
        let params = [("count", Schema::U32)];
        for result in [Some(Schema::Bool), None] {
            let meant = signature(&params, result.clone());
            let starting = signature(
                &[std::slice::from_ref(&id), &params[..]].concat(),
                Some(started.clone()),
            );
            let attaching = signature(&[id.clone(), timeout.clone()], Some(attached(result.clone())));
            assert!(starting.starts(&meant) && attaching.attaches(&meant));
            assert!(!starting.attaches(&meant) && !attaching.starts(&meant) && !starting.sends(&meant));
            let other = signature(&[id.clone(), timeout.clone()], Some(attached(Some(Schema::String))));
            assert!(!other.attaches(&meant));
            // One that was built before there were circles; and what no version had.
            for (cases, is_known) in [(3, true), (2, false), (4, true)] {
                let err = Some(Box::new(Schema::Enum(
                    ATTACH_ERRORS[..cases].iter().map(|case| (*case).to_owned()).collect(),
                )));
                let ok = result.clone().map(Box::new);
                let built = signature(&[id.clone(), timeout.clone()], Some(Schema::Result { ok, err }));
                assert_eq!((built.attaches(&meant), built.knows_circles()), (is_known, cases == 4));
            }

            let encoded = encode_params(&starting, &[Value::String("a".into()), Value::Unsigned(7)]).unwrap();
            let (split, rest) = split_workflow(&encoded).unwrap();
            assert_eq!(split, "a");
            assert_eq!(decode_params(&meant, &rest).unwrap(), [Value::Unsigned(7)]);
            for (case, is_new) in [(0, true), (1, false)] {
                let told = decode_result(&starting, &started_result(is_new, "x")).unwrap();
                assert_eq!(told, Some(Value::Case(case, Some(Box::new(Value::String("x".into()))))));
            }
            for (option, timeout_ms) in [
                (Value::Case(0, None), None),
                (Value::Case(1, Some(Box::new(Value::Unsigned(9)))), Some(9)),
            ] {
                let encoded = encode_params(&attaching, &[Value::String("a".into()), option]).unwrap();
                assert_eq!(attach_params(&encoded).unwrap(), ("a".into(), timeout_ms));
            }
            let value = result.is_some().then_some(Value::Bool(true));
            let returned = crate::encode_result(&meant, value.as_ref()).unwrap();
            let told = decode_result(&attaching, &attaching.attach_result(Ok(&returned))).unwrap();
            assert_eq!(told, Some(Value::Case(0, value.map(Box::new))));
            let told = decode_result(&attaching, &attaching.attach_result(Err(AttachError::Cancelled))).unwrap();
            assert_eq!(told, Some(Value::Case(1, Some(Box::new(Value::Case(2, None))))));
            let told = decode_result(&attaching, &attaching.attach_result(Err(AttachError::Circle))).unwrap();
            assert_eq!(told, Some(Value::Case(1, Some(Box::new(Value::Case(3, None))))));
        }
        assert!(split_workflow(b"").is_err() && attach_params(&[0x81, 0x60]).is_err());
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
