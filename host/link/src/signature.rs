//! A function's type, as both ends of a crossing must agree on it.

use host_types::Digest;
use wasmtime::component::types::ComponentFunc;

use crate::schema::{MAX_NODES, Unfit};
use crate::{Error, Schema};

/// A function's parameters and result. Two functions with the same hash can be linked: what one encodes the other decodes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Signature {
    params: Vec<(String, Schema)>,
    result: Option<Schema>,
    hash: [u8; 8],
}

impl Signature {
    /// The signature of a function of a component. `name` is for the error that says why it cannot be linked.
    pub fn new(name: &str, ty: &ComponentFunc) -> Result<Self, Error> {
        let unfit = |unfit| match unfit {
            Unfit::Kind(kind) => Error::Unsupported {
                function: name.to_owned(),
                kind,
            },
            Unfit::TooLarge => Error::TypeTooLarge {
                function: name.to_owned(),
            },
        };
        if ty.async_() {
            return Err(unfit(Unfit::Kind("asynchronous functions")));
        }
        let mut nodes = MAX_NODES;
        let param = |(name, ty): (&str, _)| Ok((name.to_owned(), Schema::compile(&ty, &mut nodes)?));
        let params = ty.params().map(param).collect::<Result<_, _>>().map_err(unfit)?;
        let result = ty
            .results()
            .next()
            .map(|ty| Schema::compile(&ty, &mut nodes))
            .transpose()
            .map_err(unfit)?;
        Ok(Self::from_schemas(params, result))
    }

    /// A signature made of schemas.
    pub fn from_schemas(params: Vec<(String, Schema)>, result: Option<Schema>) -> Self {
        let mut identity = String::from("func(");
        for (name, schema) in &params {
            identity.extend([name, ":"]);
            schema.write_identity(&mut identity);
            identity.push(',');
        }
        identity.push(')');
        if let Some(schema) = &result {
            schema.write_identity(&mut identity);
        }
        let mut hash = [0; 8];
        hash.copy_from_slice(&Digest::of(identity.as_bytes()).0[..8]);
        Self { params, result, hash }
    }

    /// Names and types of the parameters.
    pub fn params(&self) -> &[(String, Schema)] {
        &self.params
    }

    /// The type of the result.
    pub fn result(&self) -> Option<&Schema> {
        self.result.as_ref()
    }

    /// Says which encoding a recorded call has: kept with the call, compared before it is decoded.
    pub fn hash(&self) -> [u8; 8] {
        self.hash
    }

    /// Whether the first parameter names the provider that is to answer: a `target` of `nexus:link/types`, which is the
    /// record with the single field `provider: string`. A component carries no names of types, so that any such record counts.
    pub fn has_target(&self) -> bool {
        matches!(self.params.first(), Some((_, Schema::Record(fields)))
            if matches!(&fields[..], [(name, Schema::String)] if name == "provider"))
    }

    /// The provider named by encoded parameters; none for a function without a target.
    pub fn target<'p>(&self, params: &'p [u8]) -> Result<Option<&'p str>, Error> {
        if !self.has_target() {
            return Ok(None);
        }
        let mut input = minicbor::Decoder::new(params);
        crate::codec::array_of(&mut input, self.params.len())?;
        crate::codec::array_of(&mut input, 1)?;
        Ok(Some(input.str()?))
    }

    /// How many core wasm values the parameters take, at most 16; more than that travel in memory.
    pub(crate) fn flat_params(&self) -> Option<usize> {
        let count = self.params.iter().map(|(_, schema)| schema.flat_count()).sum();
        (count <= 16).then_some(count)
    }

    /// How many core wasm values the result takes, at most 1; more than that travel in memory.
    pub(crate) fn flat_result(&self) -> Option<usize> {
        let count = self.result.as_ref().map_or(0, Schema::flat_count);
        (count <= 1).then_some(count)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn signature(params: Vec<Schema>, result: Option<Schema>) -> Signature {
        let named = params
            .into_iter()
            .enumerate()
            .map(|(index, schema)| (format!("p{index}"), schema));
        Signature::from_schemas(named.collect(), result)
    }

    #[test]
    fn any_difference_in_type_is_a_difference_in_hash() {
        let record = |name: &str, schema| Schema::Record(vec![(name.to_owned(), schema)]);
        let names = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect::<Vec<_>>();
        let result = |ok: Option<Schema>, err: Option<Schema>| Schema::Result {
            ok: ok.map(Box::new),
            err: err.map(Box::new),
        };
        let schemas = [
            Schema::U8,
            Schema::S8,
            Schema::Bytes,
            Schema::String,
            Schema::List(Box::new(Schema::String)),
            Schema::Option(Box::new(Schema::String)),
            record("a", Schema::U8),
            record("b", Schema::U8),
            record("a", Schema::U16),
            Schema::Tuple(vec![Schema::U8]),
            Schema::Tuple(vec![Schema::U8, Schema::U8]),
            Schema::Tuple(vec![Schema::Tuple(vec![Schema::U8]), Schema::U8]),
            Schema::Variant(vec![("a".to_owned(), None)]),
            Schema::Variant(vec![("a".to_owned(), Some(Schema::U8))]),
            Schema::Enum(names(&["a", "b"])),
            Schema::Enum(names(&["b", "a"])),
            Schema::Flags(names(&["a", "b"])),
            result(None, None),
            result(Some(Schema::U8), None),
            result(None, Some(Schema::U8)),
        ];
        let mut hashes: Vec<_> = schemas
            .iter()
            .flat_map(|schema| {
                [
                    signature(vec![schema.clone()], None),
                    signature(vec![], Some(schema.clone())),
                ]
            })
            .map(|signature| signature.hash())
            .collect();
        let count = hashes.len();
        hashes.sort_unstable();
        hashes.dedup();
        assert_eq!(hashes.len(), count);
    }

    #[test]
    fn the_target_is_the_first_parameter_or_none() {
        let target = Schema::Record(vec![("provider".to_owned(), Schema::String)]);
        let first = signature(vec![target.clone(), Schema::U8], None);
        let params = crate::encode_params(
            &first,
            &[
                crate::Value::Fields(vec![crate::Value::String("vnpay".to_owned())]),
                crate::Value::Unsigned(3),
            ],
        );
        assert_eq!(first.target(&params.unwrap()).unwrap(), Some("vnpay"));
        assert!(first.target(&[0x82, 0x81, 0x05]).is_err());
        assert!(first.target(&[]).is_err());
        let second = signature(vec![Schema::U8, target], None);
        assert!(!second.has_target());
        assert_eq!(second.target(&[]).unwrap(), None);
    }
}
