//! What the canonical ABI calls a variant: variants, enums, options and results.

use wasmtime::component::__internal::wasmtime_environ::component::VariantInfo;
use wasmtime::component::__internal::{CanonicalAbiInfo, ComponentTypes, InterfaceType};

/// The cases of a type that has some, and where they lie.
pub(super) struct Choice<'t> {
    types: &'t ComponentTypes,
    ty: InterfaceType,
    abi: &'t CanonicalAbiInfo,
    info: &'t VariantInfo,
}

impl<'t> Choice<'t> {
    /// The cases of `ty`, if it is a type of that sort.
    pub(super) fn of(types: &'t ComponentTypes, ty: InterfaceType) -> Option<Self> {
        let (abi, info) = match ty {
            InterfaceType::Variant(index) => (&types[index].abi, &types[index].info),
            InterfaceType::Enum(index) => (&types[index].abi, &types[index].info),
            InterfaceType::Option(index) => (&types[index].abi, &types[index].info),
            InterfaceType::Result(index) => (&types[index].abi, &types[index].info),
            _ => return None,
        };
        Some(Self { types, ty, abi, info })
    }

    /// The type of a case's payload; the outer option is whether there is such a case.
    pub(super) fn payload(&self, case: u32) -> Option<Option<InterfaceType>> {
        let position = case as usize;
        match self.ty {
            InterfaceType::Variant(index) => self.types[index].cases.get_index(position).map(|(_, payload)| *payload),
            InterfaceType::Enum(index) => (position < self.types[index].names.len()).then_some(None),
            InterfaceType::Option(index) => [None, Some(self.types[index].ty)].get(position).copied(),
            InterfaceType::Result(index) => [self.types[index].ok, self.types[index].err].get(position).copied(),
            _ => None,
        }
    }

    /// Slots that a case leaves unused: each case takes as many as the longest.
    pub(super) fn unused_slots(&self, payload: Option<InterfaceType>) -> usize {
        let all = self.abi.flat_count(usize::MAX).unwrap_or(1);
        let payload = payload
            .and_then(|ty| self.types.canonical_abi(&ty).flat_count(usize::MAX))
            .unwrap_or(0);
        all.saturating_sub(1 + payload)
    }

    /// Bytes of the case's number: 1, 2 or 4.
    pub(super) fn number_size(&self) -> u32 {
        self.info.size.into()
    }

    /// Where the payload starts, bytes.
    pub(super) fn payload_offset(&self) -> usize {
        self.info.payload_offset32 as usize
    }
}
