//! A WIT type as the codec needs it: positional, and independent of the component it came from.

use wasmtime::component::Type;

/// A type whose values may cross from one component to another.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
#[expect(missing_docs, reason = "the scalar types of WIT under their own names")]
pub enum Schema {
    Bool,
    U8,
    S8,
    U16,
    S16,
    U32,
    S32,
    U64,
    S64,
    F32,
    F64,
    Char,
    String,
    /// `list<u8>`.
    Bytes,
    /// Any other list.
    List(Box<Self>),
    /// Names and types of the fields.
    Record(Vec<(String, Self)>),
    Tuple(Vec<Self>),
    /// Names of the cases, and the types of their payloads.
    Variant(Vec<(String, Option<Self>)>),
    /// Names of the cases.
    Enum(Vec<String>),
    Option(Box<Self>),
    Result {
        /// Payload of the first case.
        ok: Option<Box<Self>>,
        /// Payload of the second case.
        err: Option<Box<Self>>,
    },
    /// Names of the flags, from the lowest bit; at most 32.
    Flags(Vec<String>),
}

/// Why a type has no schema.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Unfit {
    Kind(&'static str),
    TooLarge,
}

/// Types are graphs, schemas trees: a type that names another one twice, thirty times over, would fill the memory.
pub(crate) const MAX_NODES: u32 = 10_000;

/// Code here and in wasmtime recurses along types.
const MAX_DEPTH: u32 = 100;

impl Schema {
    /// The schema of a type. `nodes` is what is left of [`MAX_NODES`] for the function it belongs to.
    pub(crate) fn compile(ty: &Type, nodes: &mut u32) -> Result<Self, Unfit> {
        Compiler { nodes }.compile(ty, 0)
    }

    /// How many core wasm values the canonical ABI spreads a value over when it is passed without memory.
    pub(crate) fn flat_count(&self) -> usize {
        let payload = |schema: &Option<Box<Self>>| schema.as_deref().map_or(0, Self::flat_count);
        match self {
            Self::String | Self::Bytes | Self::List(_) => 2,
            Self::Record(fields) => fields.iter().map(|(_, schema)| schema.flat_count()).sum(),
            Self::Tuple(types) => types.iter().map(Self::flat_count).sum(),
            Self::Variant(cases) => {
                1 + cases
                    .iter()
                    .filter_map(|(_, schema)| schema.as_ref().map(Self::flat_count))
                    .max()
                    .unwrap_or(0)
            }
            Self::Option(some) => 1 + some.flat_count(),
            Self::Result { ok, err } => 1 + payload(ok).max(payload(err)),
            _ => 1,
        }
    }

    /// The number of cases and the payload of one, for the types the canonical ABI calls variants.
    pub(crate) fn case(&self, index: u32) -> Option<Option<&Self>> {
        let index = index as usize;
        match self {
            Self::Variant(cases) => cases.get(index).map(|(_, payload)| payload.as_ref()),
            Self::Enum(names) => names.get(index).map(|_| None),
            Self::Option(some) => [None, Some(some.as_ref())].get(index).copied(),
            Self::Result { ok, err } => [ok.as_deref(), err.as_deref()].get(index).copied(),
            _ => None,
        }
    }

    /// Appends a text that is the same for two types exactly if their values are encoded the same and mean the same.
    pub(crate) fn write_identity(&self, text: &mut String) {
        let optional = |schema: Option<&Self>, text: &mut String| match schema {
            Some(schema) => schema.write_identity(text),
            None => text.push('_'),
        };
        match self {
            Self::List(item) => {
                text.push_str("list<");
                item.write_identity(text);
                text.push('>');
            }
            Self::Record(fields) => {
                text.push_str("record{");
                for (name, schema) in fields {
                    text.extend([name, ":"]);
                    schema.write_identity(text);
                    text.push(',');
                }
                text.push('}');
            }
            Self::Tuple(types) => {
                text.push_str("tuple<");
                for schema in types {
                    schema.write_identity(text);
                    text.push(',');
                }
                text.push('>');
            }
            Self::Variant(cases) => {
                text.push_str("variant{");
                for (name, payload) in cases {
                    text.extend([name, ":"]);
                    optional(payload.as_ref(), text);
                    text.push(',');
                }
                text.push('}');
            }
            Self::Enum(names) => text.extend(["enum{", &names.join(","), "}"]),
            Self::Flags(names) => text.extend(["flags{", &names.join(","), "}"]),
            Self::Option(some) => {
                text.push_str("option<");
                some.write_identity(text);
                text.push('>');
            }
            Self::Result { ok, err } => {
                text.push_str("result<");
                optional(ok.as_deref(), text);
                text.push(',');
                optional(err.as_deref(), text);
                text.push('>');
            }
            scalar => text.push_str(scalar.kind()),
        }
    }

    /// The kind of type, in words of WIT.
    pub(crate) fn kind(&self) -> &'static str {
        match self {
            Self::Bool => "bool",
            Self::U8 => "u8",
            Self::S8 => "s8",
            Self::U16 => "u16",
            Self::S16 => "s16",
            Self::U32 => "u32",
            Self::S32 => "s32",
            Self::U64 => "u64",
            Self::S64 => "s64",
            Self::F32 => "f32",
            Self::F64 => "f64",
            Self::Char => "char",
            Self::String => "string",
            Self::Bytes => "list<u8>",
            Self::List(_) => "list",
            Self::Record(_) => "record",
            Self::Tuple(_) => "tuple",
            Self::Variant(_) => "variant",
            Self::Enum(_) => "enum",
            Self::Option(_) => "option",
            Self::Result { .. } => "result",
            Self::Flags(_) => "flags",
        }
    }
}

struct Compiler<'n> {
    nodes: &'n mut u32,
}

impl Compiler<'_> {
    fn compile(&mut self, ty: &Type, depth: u32) -> Result<Schema, Unfit> {
        *self.nodes = self.nodes.checked_sub(1).ok_or(Unfit::TooLarge)?;
        if depth == MAX_DEPTH {
            return Err(Unfit::TooLarge);
        }
        let depth = depth + 1;
        Ok(match ty {
            Type::Bool => Schema::Bool,
            Type::U8 => Schema::U8,
            Type::S8 => Schema::S8,
            Type::U16 => Schema::U16,
            Type::S16 => Schema::S16,
            Type::U32 => Schema::U32,
            Type::S32 => Schema::S32,
            Type::U64 => Schema::U64,
            Type::S64 => Schema::S64,
            Type::Float32 => Schema::F32,
            Type::Float64 => Schema::F64,
            Type::Char => Schema::Char,
            Type::String => Schema::String,
            Type::List(list) => match list.ty() {
                Type::U8 => Schema::Bytes,
                item => Schema::List(Box::new(self.compile(&item, depth)?)),
            },
            Type::Record(record) => {
                let field = |field: wasmtime::component::types::Field<'_>| {
                    Ok((field.name.to_owned(), self.compile(&field.ty, depth)?))
                };
                Schema::Record(record.fields().map(field).collect::<Result<_, _>>()?)
            }
            Type::Tuple(tuple) => Schema::Tuple(
                tuple
                    .types()
                    .map(|ty| self.compile(&ty, depth))
                    .collect::<Result<_, _>>()?,
            ),
            Type::Variant(variant) => {
                let case = |case: wasmtime::component::types::Case<'_>| {
                    Ok((
                        case.name.to_owned(),
                        case.ty.map(|ty| self.compile(&ty, depth)).transpose()?,
                    ))
                };
                Schema::Variant(variant.cases().map(case).collect::<Result<_, _>>()?)
            }
            Type::Enum(names) => Schema::Enum(names.names().map(str::to_owned).collect()),
            Type::Option(some) => Schema::Option(Box::new(self.compile(&some.ty(), depth)?)),
            Type::Result(result) => {
                let mut payload = |ty: Option<Type>| ty.map(|ty| self.compile(&ty, depth).map(Box::new)).transpose();
                Schema::Result {
                    ok: payload(result.ok())?,
                    err: payload(result.err())?,
                }
            }
            Type::Flags(flags) if flags.names().len() > 32 => return Err(Unfit::Kind("more than 32 flags")),
            Type::Flags(flags) => Schema::Flags(flags.names().map(str::to_owned).collect()),
            Type::Own(_) | Type::Borrow(_) => return Err(Unfit::Kind("resources")),
            Type::Future(_) => return Err(Unfit::Kind("futures")),
            Type::Stream(_) => return Err(Unfit::Kind("streams")),
            Type::ErrorContext => return Err(Unfit::Kind("error contexts")),
            Type::Map(_) => return Err(Unfit::Kind("maps")),
            Type::FixedLengthList(_) => return Err(Unfit::Kind("lists of fixed length")),
        })
    }
}
