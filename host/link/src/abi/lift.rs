//! From guest memory to the encoding.

use std::slice;

use minicbor::Encoder;
use wasmtime::component::__internal::wasmtime_environ::component::StringEncoding;
use wasmtime::component::__internal::{CanonicalAbiInfo, InterfaceType, LiftContext};
use wasmtime::component::Lift;
use wasmtime::{Result, ValRaw, bail};

use super::choice::Choice;
use super::{MAX_FLAT_PARAMS, MAX_FLAT_RESULTS};
use crate::Error;
use crate::codec::flags_mask;

/// Reads one list of parameters or one result. Everything the guest says about memory is checked against its memory, and
/// what it makes the host copy is taken from the store's allowance, as wasmtime's own types do.
pub(super) struct Lifter<'c, 'a> {
    cx: &'c mut LiftContext<'a>,
    output: Encoder<Vec<u8>>,
}

impl<'c, 'a> Lifter<'c, 'a> {
    fn new(cx: &'c mut LiftContext<'a>) -> Self {
        Self {
            cx,
            output: Encoder::new(Vec::with_capacity(64)),
        }
    }

    fn finish(self) -> Vec<u8> {
        self.output.into_writer()
    }

    /// Parameters passed in slots.
    pub(super) fn params(cx: &'c mut LiftContext<'a>, ty: InterfaceType, slots: &[ValRaw]) -> Result<Vec<u8>> {
        let types = tuple(cx, ty)?.0;
        let mut lifter = Self::new(cx);
        lifter.output.array(types.len() as u64)?;
        let mut slots = slots.iter();
        for ty in types {
            lifter.flat(*ty, &mut slots)?;
        }
        Ok(lifter.finish())
    }

    /// Parameters passed in memory, whose place wasmtime has checked.
    pub(super) fn params_at(cx: &'c mut LiftContext<'a>, ty: InterfaceType, offset: usize) -> Result<Vec<u8>> {
        let (types, abi) = tuple(cx, ty)?;
        let bytes = range(cx.memory(), offset, abi.size32 as usize)?;
        let mut lifter = Self::new(cx);
        lifter.fields(types.iter().copied(), types.len(), bytes)?;
        Ok(lifter.finish())
    }

    /// A result: in its slot, or in memory with a pointer in the slot.
    pub(super) fn result(cx: &'c mut LiftContext<'a>, ty: InterfaceType, slots: &[ValRaw]) -> Result<Vec<u8>> {
        let (types, abi) = tuple(cx, ty)?;
        let mut slots = slots.iter();
        let mut lifter = Self::new(cx);
        match (types, abi.flat_count(MAX_FLAT_RESULTS)) {
            ([], _) => drop(lifter.output.array(0)?),
            ([ty], Some(_)) => lifter.flat(*ty, &mut slots)?,
            ([ty], None) => {
                let pointer = next(&mut slots)?.get_u32() as usize;
                let bytes = aligned(lifter.cx.memory(), pointer, abi.size32 as usize, abi.align32)?;
                lifter.memory(*ty, bytes)?;
            }
            _ => bail!("a function has one result at most"),
        }
        Ok(lifter.finish())
    }

    fn flat(&mut self, ty: InterfaceType, slots: &mut slice::Iter<'_, ValRaw>) -> Result<()> {
        let types = self.cx.types;
        match ty {
            InterfaceType::Bool => drop(self.output.bool(next(slots)?.get_u32() != 0)?),
            InterfaceType::S8 => drop(self.output.i8(next(slots)?.get_i32() as i8)?),
            InterfaceType::U8 => drop(self.output.u8(next(slots)?.get_u32() as u8)?),
            InterfaceType::S16 => drop(self.output.i16(next(slots)?.get_i32() as i16)?),
            InterfaceType::U16 => drop(self.output.u16(next(slots)?.get_u32() as u16)?),
            InterfaceType::S32 => drop(self.output.i32(next(slots)?.get_i32())?),
            InterfaceType::U32 => drop(self.output.u32(next(slots)?.get_u32())?),
            InterfaceType::S64 => drop(self.output.i64(next(slots)?.get_i64())?),
            InterfaceType::U64 => drop(self.output.u64(next(slots)?.get_u64())?),
            InterfaceType::Float32 => drop(self.output.f32(f32::from_bits(next(slots)?.get_f32()))?),
            InterfaceType::Float64 => drop(self.output.f64(f64::from_bits(next(slots)?.get_f64()))?),
            InterfaceType::Char => self.char(next(slots)?.get_u32())?,
            InterfaceType::String => {
                let (pointer, length) = (next(slots)?.get_u32(), next(slots)?.get_u32());
                self.string(pointer, length)?;
            }
            InterfaceType::List(index) => {
                let (pointer, length) = (next(slots)?.get_u32(), next(slots)?.get_u32());
                self.list(types[index].element, pointer, length)?;
            }
            InterfaceType::Record(index) => {
                let fields = &types[index].fields;
                self.output.array(fields.len() as u64)?;
                fields.iter().try_for_each(|field| self.flat(field.ty, slots))?;
            }
            InterfaceType::Tuple(index) => {
                let types = &types[index].types;
                self.output.array(types.len() as u64)?;
                types.iter().try_for_each(|ty| self.flat(*ty, slots))?;
            }
            InterfaceType::Flags(index) => {
                let count = flag_count(types[index].names.len())?;
                let bits = if count == 0 { 0 } else { next(slots)?.get_u32() };
                self.output.u32(bits & flags_mask(count))?;
            }
            _ => {
                let choice = Choice::of(types, ty).ok_or_else(unsupported)?;
                let case = next(slots)?.get_u32();
                let payload = choice.payload(case).ok_or_else(no_such_case)?;
                self.case(case, payload)?;
                if let Some(ty) = payload {
                    self.flat(ty, slots)?;
                }
                for _ in 0..choice.unused_slots(payload) {
                    next(slots)?;
                }
            }
        }
        Ok(())
    }

    /// `bytes` are as many as the type has.
    fn memory(&mut self, ty: InterfaceType, bytes: &'a [u8]) -> Result<()> {
        let types = self.cx.types;
        match ty {
            InterfaceType::Bool => drop(self.output.bool(u8::from_le_bytes(scalar(bytes)?) != 0)?),
            InterfaceType::S8 => drop(self.output.i8(i8::from_le_bytes(scalar(bytes)?))?),
            InterfaceType::U8 => drop(self.output.u8(u8::from_le_bytes(scalar(bytes)?))?),
            InterfaceType::S16 => drop(self.output.i16(i16::from_le_bytes(scalar(bytes)?))?),
            InterfaceType::U16 => drop(self.output.u16(u16::from_le_bytes(scalar(bytes)?))?),
            InterfaceType::S32 => drop(self.output.i32(i32::from_le_bytes(scalar(bytes)?))?),
            InterfaceType::U32 => drop(self.output.u32(u32::from_le_bytes(scalar(bytes)?))?),
            InterfaceType::S64 => drop(self.output.i64(i64::from_le_bytes(scalar(bytes)?))?),
            InterfaceType::U64 => drop(self.output.u64(u64::from_le_bytes(scalar(bytes)?))?),
            InterfaceType::Float32 => drop(self.output.f32(f32::from_le_bytes(scalar(bytes)?))?),
            InterfaceType::Float64 => drop(self.output.f64(f64::from_le_bytes(scalar(bytes)?))?),
            InterfaceType::Char => self.char(u32::from_le_bytes(scalar(bytes)?))?,
            InterfaceType::String => {
                let (pointer, length) = pointer_pair(bytes)?;
                self.string(pointer, length)?;
            }
            InterfaceType::List(index) => {
                let (pointer, length) = pointer_pair(bytes)?;
                self.list(types[index].element, pointer, length)?;
            }
            InterfaceType::Record(index) => {
                let fields = &types[index].fields;
                self.fields(fields.iter().map(|field| field.ty), fields.len(), bytes)?;
            }
            InterfaceType::Tuple(index) => {
                let types = &types[index].types;
                self.fields(types.iter().copied(), types.len(), bytes)?;
            }
            InterfaceType::Flags(index) => {
                let count = flag_count(types[index].names.len())?;
                let bits = number(bytes, types[index].abi.size32)?;
                self.output.u32(bits & flags_mask(count))?;
            }
            _ => {
                let choice = Choice::of(types, ty).ok_or_else(unsupported)?;
                let case = number(bytes, choice.number_size())?;
                let payload = choice.payload(case).ok_or_else(no_such_case)?;
                self.case(case, payload)?;
                if let Some(ty) = payload {
                    let size = types.canonical_abi(&ty).size32 as usize;
                    self.memory(ty, range(bytes, choice.payload_offset(), size)?)?;
                }
            }
        }
        Ok(())
    }

    fn fields(&mut self, types: impl Iterator<Item = InterfaceType>, count: usize, bytes: &'a [u8]) -> Result<()> {
        self.output.array(count as u64)?;
        let mut end = 0;
        for ty in types {
            let abi = self.cx.types.canonical_abi(&ty);
            let start = abi.next_field32(&mut end) as usize;
            let size = abi.size32 as usize;
            self.memory(ty, range(bytes, start, size)?)?;
        }
        Ok(())
    }

    fn case(&mut self, case: u32, payload: Option<InterfaceType>) -> Result<()> {
        if payload.is_some() {
            self.output.array(2)?;
        }
        self.output.u32(case)?;
        Ok(())
    }

    fn char(&mut self, code: u32) -> Result<()> {
        self.output
            .char(char::from_u32(code).ok_or(Error::GuestValue("not a character"))?)?;
        Ok(())
    }

    fn string(&mut self, pointer: u32, length: u32) -> Result<()> {
        if !matches!(self.cx.options().string_encoding, StringEncoding::Utf8) {
            // Rare enough that wasmtime may make a copy of it.
            let slots = [ValRaw::u32(pointer), ValRaw::u32(length)];
            let text = String::linear_lift_from_flat(self.cx, InterfaceType::String, &slots)?;
            self.output.str(&text)?;
            return Ok(());
        }
        let bytes = range(self.cx.memory(), pointer as usize, length as usize)?;
        self.cx.consume_fuel(bytes.len())?;
        self.output
            .str(str::from_utf8(bytes).map_err(|_| Error::GuestValue("a string that is not UTF-8"))?)?;
        Ok(())
    }

    fn list(&mut self, item: InterfaceType, pointer: u32, length: u32) -> Result<()> {
        let abi = self.cx.types.canonical_abi(&item);
        let size = abi.size32 as usize;
        let total = size.checked_mul(length as usize).ok_or_else(out_of_bounds)?;
        let bytes = aligned(self.cx.memory(), pointer as usize, total, abi.align32)?;
        self.cx.consume_fuel(total)?;
        if matches!(item, InterfaceType::U8) {
            self.output.bytes(bytes)?;
            return Ok(());
        }
        if size == 0 {
            // Nothing bounds the length of such a list. WIT has no type of size 0.
            bail!(Error::GuestValue("a list of nothing"));
        }
        self.output.array(length.into())?;
        bytes.chunks_exact(size).try_for_each(|bytes| self.memory(item, bytes))
    }
}

/// The types of a function's parameters or results.
fn tuple<'a>(cx: &LiftContext<'a>, ty: InterfaceType) -> Result<(&'a [InterfaceType], &'a CanonicalAbiInfo)> {
    let InterfaceType::Tuple(index) = ty else {
        bail!("not a list of parameters or results")
    };
    let tuple = &cx.types[index];
    debug_assert!(
        tuple
            .abi
            .flat_count(MAX_FLAT_PARAMS)
            .is_none_or(|count| count <= MAX_FLAT_PARAMS)
    );
    Ok((&tuple.types, &tuple.abi))
}

fn next<'s>(slots: &mut slice::Iter<'s, ValRaw>) -> Result<&'s ValRaw, Error> {
    slots.next().ok_or(Error::GuestValue("fewer values than its type has"))
}

fn range(memory: &[u8], offset: usize, size: usize) -> Result<&[u8], Error> {
    memory
        .get(offset..)
        .and_then(|rest| rest.get(..size))
        .ok_or_else(out_of_bounds)
}

fn aligned(memory: &[u8], offset: usize, size: usize, alignment: u32) -> Result<&[u8], Error> {
    if !offset.is_multiple_of(alignment as usize) {
        return Err(Error::GuestValue("a pointer that is not aligned"));
    }
    range(memory, offset, size)
}

fn scalar<const N: usize>(bytes: &[u8]) -> Result<[u8; N], Error> {
    bytes.first_chunk().copied().ok_or_else(out_of_bounds)
}

fn pointer_pair(bytes: &[u8]) -> Result<(u32, u32), Error> {
    let bytes: [u8; 8] = scalar(bytes)?;
    let [pointer, length] =
        [0, 4].map(|at| u32::from_le_bytes([bytes[at], bytes[at + 1], bytes[at + 2], bytes[at + 3]]));
    Ok((pointer, length))
}

/// A number of 0, 1, 2 or 4 bytes.
fn number(bytes: &[u8], size: u32) -> Result<u32, Error> {
    Ok(match size {
        0 => 0,
        1 => u8::from_le_bytes(scalar(bytes)?).into(),
        2 => u16::from_le_bytes(scalar(bytes)?).into(),
        _ => u32::from_le_bytes(scalar(bytes)?),
    })
}

fn flag_count(count: usize) -> Result<usize, Error> {
    if count <= 32 { Ok(count) } else { Err(unsupported()) }
}

fn out_of_bounds() -> Error {
    Error::GuestValue("a pointer outside its memory")
}

fn no_such_case() -> Error {
    Error::GuestValue("a case its type does not have")
}

/// Linking has refused such types already.
fn unsupported() -> Error {
    Error::GuestValue("a type that cannot cross components")
}
