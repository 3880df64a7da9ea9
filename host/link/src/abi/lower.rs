//! From the encoding to guest memory.

use std::slice;

use minicbor::Decoder;
use wasmtime::component::__internal::{CanonicalAbiInfo, InterfaceType, LowerContext};
use wasmtime::component::Lower;
use wasmtime::{Result, ValRaw, bail};

use super::choice::Choice;
use super::{MAX_FLAT_PARAMS, zero};
use crate::Error;
use crate::codec::{array, array_of, case, end, flags};

/// Writes one list of parameters or one result. The bytes may be anything: what does not fit the type is an error, and
/// the instance it was meant for is then given up, since it holds half a value.
pub(super) struct Lowerer<'c, 'a, 'i, T: 'static> {
    cx: &'c mut LowerContext<'a, T>,
    input: Decoder<'i>,
}

impl<'c, 'a, 'i, T: 'static> Lowerer<'c, 'a, 'i, T> {
    pub(super) fn new(cx: &'c mut LowerContext<'a, T>, encoded: &'i [u8]) -> Self {
        Self {
            cx,
            input: Decoder::new(encoded),
        }
    }

    /// Parameters into slots; or into memory allocated by the guest, and its address into the first slot.
    pub(super) fn params(mut self, ty: InterfaceType, slots: &mut [ValRaw]) -> Result<()> {
        let (types, abi) = self.tuple(ty)?;
        array_of(&mut self.input, types.len())?;
        let mut slots = slots.iter_mut();
        if abi.flat_count(MAX_FLAT_PARAMS).is_some() {
            types.iter().try_for_each(|ty| self.flat(*ty, &mut slots))?;
        } else {
            let offset = self.cx.realloc(0, 0, abi.align32, abi.size32 as usize)?;
            self.fields(types.iter().copied(), offset)?;
            put(&mut slots, ValRaw::i64(offset as i64))?;
        }
        Ok(end(&self.input)?)
    }

    /// A result into its slot.
    pub(super) fn result(mut self, ty: InterfaceType, slots: &mut [ValRaw]) -> Result<()> {
        match self.tuple(ty)?.0 {
            [] => array_of(&mut self.input, 0)?,
            [ty] => self.flat(*ty, &mut slots.iter_mut())?,
            _ => bail!("a function has one result at most"),
        }
        Ok(end(&self.input)?)
    }

    /// A result into memory, at a place wasmtime has checked.
    pub(super) fn result_at(mut self, ty: InterfaceType, offset: usize) -> Result<()> {
        let [ty] = self.tuple(ty)?.0 else {
            bail!("a function has one result at most")
        };
        self.memory(*ty, offset)?;
        Ok(end(&self.input)?)
    }

    fn tuple(&self, ty: InterfaceType) -> Result<(&'a [InterfaceType], &'a CanonicalAbiInfo)> {
        let InterfaceType::Tuple(index) = ty else {
            bail!("not a list of parameters or results")
        };
        let tuple = &self.cx.types[index];
        Ok((&tuple.types, &tuple.abi))
    }

    /// The slots are zero, also those a case leaves unused.
    fn flat(&mut self, ty: InterfaceType, slots: &mut slice::IterMut<'_, ValRaw>) -> Result<()> {
        let types = self.cx.types;
        match ty {
            InterfaceType::Bool => put(slots, ValRaw::u32(self.input.bool()?.into()))?,
            InterfaceType::S8 => put(slots, ValRaw::i32(self.input.i8()?.into()))?,
            InterfaceType::U8 => put(slots, ValRaw::u32(self.input.u8()?.into()))?,
            InterfaceType::S16 => put(slots, ValRaw::i32(self.input.i16()?.into()))?,
            InterfaceType::U16 => put(slots, ValRaw::u32(self.input.u16()?.into()))?,
            InterfaceType::S32 => put(slots, ValRaw::i32(self.input.i32()?))?,
            InterfaceType::U32 => put(slots, ValRaw::u32(self.input.u32()?))?,
            InterfaceType::S64 => put(slots, ValRaw::i64(self.input.i64()?))?,
            InterfaceType::U64 => put(slots, ValRaw::u64(self.input.u64()?))?,
            InterfaceType::Float32 => put(slots, ValRaw::f32(self.input.f32()?.to_bits()))?,
            InterfaceType::Float64 => put(slots, ValRaw::f64(self.input.f64()?.to_bits()))?,
            InterfaceType::Char => put(slots, ValRaw::u32(self.input.char()?.into()))?,
            InterfaceType::String => {
                // The callee chooses the encoding of its strings; wasmtime converts.
                let mut pair = std::mem::MaybeUninit::new([zero(); 2]);
                self.input
                    .str()?
                    .linear_lower_to_flat(self.cx, InterfaceType::String, &mut pair)?;
                let [pointer, length] = written(pair);
                put(slots, pointer)?;
                put(slots, length)?;
            }
            InterfaceType::List(index) => {
                let (pointer, length) = self.list(types[index].element)?;
                put(slots, ValRaw::i64(pointer as i64))?;
                put(slots, ValRaw::i64(length as i64))?;
            }
            InterfaceType::Record(index) => {
                let fields = &types[index].fields;
                array_of(&mut self.input, fields.len())?;
                fields.iter().try_for_each(|field| self.flat(field.ty, slots))?;
            }
            InterfaceType::Tuple(index) => {
                let types = &types[index].types;
                array_of(&mut self.input, types.len())?;
                types.iter().try_for_each(|ty| self.flat(*ty, slots))?;
            }
            InterfaceType::Flags(index) => {
                let bits = flags(&mut self.input, types[index].names.len())?;
                if types[index].abi.flat_count(1) == Some(1) {
                    put(slots, ValRaw::u32(bits))?;
                }
            }
            _ => {
                let choice = Choice::of(types, ty).ok_or_else(unsupported)?;
                let (case, payload) = self.case(&choice)?;
                put(slots, ValRaw::u32(case))?;
                if let Some(ty) = payload {
                    self.flat(ty, slots)?;
                }
                for _ in 0..choice.unused_slots(payload) {
                    put(slots, zero())?;
                }
            }
        }
        Ok(())
    }

    /// `offset` is aligned and has room for the type: the guest's allocation or its return pointer, both checked by wasmtime.
    fn memory(&mut self, ty: InterfaceType, offset: usize) -> Result<()> {
        let types = self.cx.types;
        match ty {
            InterfaceType::Bool => *self.cx.get(offset) = [self.input.bool()?.into()],
            InterfaceType::S8 => *self.cx.get(offset) = self.input.i8()?.to_le_bytes(),
            InterfaceType::U8 => *self.cx.get(offset) = self.input.u8()?.to_le_bytes(),
            InterfaceType::S16 => *self.cx.get(offset) = self.input.i16()?.to_le_bytes(),
            InterfaceType::U16 => *self.cx.get(offset) = self.input.u16()?.to_le_bytes(),
            InterfaceType::S32 => *self.cx.get(offset) = self.input.i32()?.to_le_bytes(),
            InterfaceType::U32 => *self.cx.get(offset) = self.input.u32()?.to_le_bytes(),
            InterfaceType::S64 => *self.cx.get(offset) = self.input.i64()?.to_le_bytes(),
            InterfaceType::U64 => *self.cx.get(offset) = self.input.u64()?.to_le_bytes(),
            InterfaceType::Float32 => *self.cx.get(offset) = self.input.f32()?.to_le_bytes(),
            InterfaceType::Float64 => *self.cx.get(offset) = self.input.f64()?.to_le_bytes(),
            InterfaceType::Char => *self.cx.get(offset) = u32::from(self.input.char()?).to_le_bytes(),
            InterfaceType::String => {
                self.input
                    .str()?
                    .linear_lower_to_memory(self.cx, InterfaceType::String, offset)?;
            }
            InterfaceType::List(index) => {
                let (pointer, length) = self.list(types[index].element)?;
                *self.cx.get(offset) = u32::try_from(pointer)?.to_le_bytes();
                *self.cx.get(offset + 4) = u32::try_from(length)?.to_le_bytes();
            }
            InterfaceType::Record(index) => {
                let fields = &types[index].fields;
                array_of(&mut self.input, fields.len())?;
                self.fields(fields.iter().map(|field| field.ty), offset)?;
            }
            InterfaceType::Tuple(index) => {
                let types = &types[index].types;
                array_of(&mut self.input, types.len())?;
                self.fields(types.iter().copied(), offset)?;
            }
            InterfaceType::Flags(index) => {
                let bits = flags(&mut self.input, types[index].names.len())?;
                self.number(bits, types[index].abi.size32, offset);
            }
            _ => {
                let choice = Choice::of(types, ty).ok_or_else(unsupported)?;
                let (case, payload) = self.case(&choice)?;
                self.number(case, choice.number_size(), offset);
                if let Some(ty) = payload {
                    self.memory(ty, offset + choice.payload_offset())?;
                }
            }
        }
        Ok(())
    }

    fn fields(&mut self, types: impl Iterator<Item = InterfaceType>, offset: usize) -> Result<()> {
        let mut end = 0;
        for ty in types {
            let start = self.cx.types.canonical_abi(&ty).next_field32(&mut end);
            self.memory(ty, offset + start as usize)?;
        }
        Ok(())
    }

    /// The number of a case and its payload's type; the payload comes next in the input.
    fn case(&mut self, choice: &Choice<'_>) -> Result<(u32, Option<InterfaceType>), Error> {
        let (case, has_payload) = case(&mut self.input)?;
        let payload = choice.payload(case).ok_or(Error::Shape("no such case"))?;
        if payload.is_some() == has_payload {
            Ok((case, payload))
        } else {
            Err(Error::Shape("a payload too many or too few"))
        }
    }

    /// A number of 0, 1, 2 or 4 bytes, which it fits.
    fn number(&mut self, number: u32, size: u32, offset: usize) {
        match size {
            0 => {}
            1 => *self.cx.get(offset) = (number as u8).to_le_bytes(),
            2 => *self.cx.get(offset) = (number as u16).to_le_bytes(),
            _ => *self.cx.get(offset) = number.to_le_bytes(),
        }
    }

    /// A list in memory allocated by the guest: its address and length.
    fn list(&mut self, item: InterfaceType) -> Result<(usize, usize)> {
        if matches!(item, InterfaceType::U8) {
            let bytes = self.input.bytes()?;
            let pointer = self.cx.realloc(0, 0, 1, bytes.len())?;
            self.cx.as_slice_mut()[pointer..][..bytes.len()].copy_from_slice(bytes);
            return Ok((pointer, bytes.len()));
        }
        let length = array(&mut self.input)?;
        let abi = self.cx.types.canonical_abi(&item);
        let size = abi.size32 as usize;
        let total = size
            .checked_mul(length)
            .ok_or(Error::Shape("a list larger than memory"))?;
        let pointer = self.cx.realloc(0, 0, abi.align32, total)?;
        for index in 0..length {
            self.memory(item, pointer + index * size)?;
        }
        Ok((pointer, length))
    }
}

fn put(slots: &mut slice::IterMut<'_, ValRaw>, value: ValRaw) -> Result<(), Error> {
    *slots.next().ok_or(Error::Shape("more values than slots"))? = value;
    Ok(())
}

#[expect(unsafe_code, reason = "wasmtime's own lowering takes uninitialized slots")]
fn written(pair: std::mem::MaybeUninit<[ValRaw; 2]>) -> [ValRaw; 2] {
    // SAFETY: the caller made it of two initialized values.
    unsafe { pair.assume_init() }
}

/// Linking has refused such types already.
fn unsupported() -> Error {
    Error::Shape("a type that cannot cross components")
}
