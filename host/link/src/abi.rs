//! Values between guest memory and their encoding, without a tree in between.
//!
//! Wasmtime lets host types choose how they are read from a guest and written to it, by three unsafe traits meant for its
//! macros. The types here implement them once for all functions: what they hold is encoded bytes, and how to lift or lower
//! them is decided while running, from the [`InterfaceType`] that wasmtime passes along. It is the calling component's or
//! the called component's own type, in its own type tables, whose sizes and offsets wasmtime computed.
//!
//! # Why this is sound
//!
//! The traits' contract has three parts that memory safety rests on.
//!
//! * *`Lower` is a sequence of `ValRaw`, as long as the flat representation.* It is an array here. Its length is checked
//!   against the function's type in `typecheck` where wasmtime chooses the slots to read and write ([`Arguments`],
//!   [`Answer`]); where wasmtime provides as many slots as `Lower` has and then looks at those the function's type asks
//!   for ([`Parameters`], [`Returned`]) it is the longest the canonical ABI has, as in wasmtime's own `Func::call`.
//! * *Lowering initializes everything the trampoline reads.* Every slot is zeroed before anything else.
//! * *`SIZE32` is right wherever wasmtime skips bounds checks because of it.* It is 0 here: wasmtime slices nothing out of
//!   memory on these types' behalf. All access to memory is by checked indexing of safe slices.
//!
//! Beyond that the code is safe Rust; a mistake in it could produce a wrong value or a panic, not an invalid access. The
//! version of wasmtime is pinned in the workspace because of this file.

mod choice;
mod lift;
mod lower;

use std::mem::MaybeUninit;

use wasmtime::component::__internal::{CanonicalAbiInfo, InstanceType, InterfaceType, LiftContext, LowerContext};
use wasmtime::component::{ComponentNamedList, ComponentType, Lift, Lower};
use wasmtime::{Result, ValRaw, bail};

use lift::Lifter;
use lower::Lowerer;

/// The longest flat parameters of the canonical ABI (`MAX_FLAT_PARAMS`).
const MAX_FLAT_PARAMS: usize = 16;

/// The longest flat result of the canonical ABI (`MAX_FLAT_RESULTS`).
const MAX_FLAT_RESULTS: usize = 1;

/// What an import is given: encoded parameters lifted from the caller, in `N` slots or, for any `N`, in memory.
pub(crate) struct Arguments<const N: usize>(pub(crate) Vec<u8>);

/// What an import answers: an encoded result, lowered into the caller, in `N` slots or, for any `N`, in memory.
pub(crate) struct Answer<const N: usize>(pub(crate) Vec<u8>);

/// What an export is called with: encoded parameters, lowered into the callee.
pub(crate) struct Parameters<'p>(pub(crate) &'p [u8]);

/// What an export returns: an encoded result, lifted from the callee.
pub(crate) struct Returned(pub(crate) Vec<u8>);

fn zero() -> ValRaw {
    ValRaw::u64(0)
}

/// The types wasmtime passes are the tuples of a function's parameters or results.
fn expect_flat(ty: &InterfaceType, cx: &InstanceType<'_>, max: usize, slots: usize) -> Result<()> {
    let InterfaceType::Tuple(index) = ty else {
        bail!("not a list of parameters or results")
    };
    match cx.types[*index].abi.flat_count(max) {
        Some(count) if count != slots => bail!("takes {count} values, not {slots}"),
        _ => Ok(()),
    }
}

// SAFETY: see the module. `typecheck` holds `N` to the number of slots unless the parameters are in memory.
#[expect(unsafe_code, reason = "the contract is argued at the top of the module")]
unsafe impl<const N: usize> ComponentType for Arguments<N> {
    type Lower = [ValRaw; N];
    const ABI: CanonicalAbiInfo = CanonicalAbiInfo::ZERO;

    fn typecheck(ty: &InterfaceType, types: &InstanceType<'_>) -> Result<()> {
        expect_flat(ty, types, MAX_FLAT_PARAMS, N)
    }
}

// SAFETY: stands for a function's parameters, which `typecheck` insists on.
#[expect(unsafe_code, reason = "the contract is argued at the top of the module")]
unsafe impl<const N: usize> ComponentNamedList for Arguments<N> {}

// SAFETY: see the module.
#[expect(unsafe_code, reason = "the contract is argued at the top of the module")]
unsafe impl<const N: usize> Lift for Arguments<N> {
    fn linear_lift_from_flat(cx: &mut LiftContext<'_>, ty: InterfaceType, src: &[ValRaw; N]) -> Result<Self> {
        Lifter::params(cx, ty, src).map(Self)
    }

    fn linear_lift_from_memory(cx: &mut LiftContext<'_>, ty: InterfaceType, bytes: &[u8]) -> Result<Self> {
        // `SIZE32` is 0, so the slice is empty, and where it starts is where the parameters are.
        let offset = bytes.as_ptr().addr() - cx.memory().as_ptr().addr();
        Lifter::params_at(cx, ty, offset).map(Self)
    }
}

// SAFETY: see the module. `typecheck` holds `N` to the number of slots unless the result goes to memory.
#[expect(unsafe_code, reason = "the contract is argued at the top of the module")]
unsafe impl<const N: usize> ComponentType for Answer<N> {
    type Lower = [ValRaw; N];
    const ABI: CanonicalAbiInfo = CanonicalAbiInfo::ZERO;

    fn typecheck(ty: &InterfaceType, types: &InstanceType<'_>) -> Result<()> {
        expect_flat(ty, types, MAX_FLAT_RESULTS, N)
    }
}

// SAFETY: stands for a function's results, which `typecheck` insists on.
#[expect(unsafe_code, reason = "the contract is argued at the top of the module")]
unsafe impl<const N: usize> ComponentNamedList for Answer<N> {}

// SAFETY: see the module. All of `dst` is written first.
#[expect(unsafe_code, reason = "the contract is argued at the top of the module")]
unsafe impl<const N: usize> Lower for Answer<N> {
    fn linear_lower_to_flat<T>(
        &self,
        cx: &mut LowerContext<'_, T>,
        ty: InterfaceType,
        dst: &mut MaybeUninit<[ValRaw; N]>,
    ) -> Result<()> {
        Lowerer::new(cx, &self.0).result(ty, dst.write([zero(); N]))
    }

    fn linear_lower_to_memory<T>(&self, cx: &mut LowerContext<'_, T>, ty: InterfaceType, offset: usize) -> Result<()> {
        Lowerer::new(cx, &self.0).result_at(ty, offset)
    }
}

// SAFETY: see the module. Wasmtime hands out the slots of `Lower`, and no function takes more of them than it has.
#[expect(unsafe_code, reason = "the contract is argued at the top of the module")]
unsafe impl ComponentType for Parameters<'_> {
    type Lower = [ValRaw; MAX_FLAT_PARAMS];
    const ABI: CanonicalAbiInfo = CanonicalAbiInfo::ZERO;

    fn typecheck(ty: &InterfaceType, _: &InstanceType<'_>) -> Result<()> {
        if matches!(ty, InterfaceType::Tuple(_)) {
            Ok(())
        } else {
            bail!("not a list of parameters")
        }
    }
}

// SAFETY: stands for a function's parameters, which `typecheck` insists on.
#[expect(unsafe_code, reason = "the contract is argued at the top of the module")]
unsafe impl ComponentNamedList for Parameters<'_> {}

// SAFETY: see the module. All of `dst` is written first.
#[expect(unsafe_code, reason = "the contract is argued at the top of the module")]
unsafe impl Lower for Parameters<'_> {
    fn linear_lower_to_flat<T>(
        &self,
        cx: &mut LowerContext<'_, T>,
        ty: InterfaceType,
        dst: &mut MaybeUninit<[ValRaw; MAX_FLAT_PARAMS]>,
    ) -> Result<()> {
        Lowerer::new(cx, self.0).params(ty, dst.write([zero(); MAX_FLAT_PARAMS]))
    }

    fn linear_lower_to_memory<T>(&self, _: &mut LowerContext<'_, T>, _: InterfaceType, _: usize) -> Result<()> {
        // Wasmtime would allocate `SIZE32` bytes and lower here if `Lower` were longer than 16 slots.
        bail!("parameters are always lowered to slots")
    }
}

// SAFETY: see the module. A function fills one slot or none; the slot is one of those the parameters were written to,
// hence initialized in either case.
#[expect(unsafe_code, reason = "the contract is argued at the top of the module")]
unsafe impl ComponentType for Returned {
    type Lower = [ValRaw; MAX_FLAT_RESULTS];
    const ABI: CanonicalAbiInfo = CanonicalAbiInfo::ZERO;

    fn typecheck(ty: &InterfaceType, _: &InstanceType<'_>) -> Result<()> {
        if matches!(ty, InterfaceType::Tuple(_)) {
            Ok(())
        } else {
            bail!("not a list of results")
        }
    }
}

// SAFETY: stands for a function's results, which `typecheck` insists on.
#[expect(unsafe_code, reason = "the contract is argued at the top of the module")]
unsafe impl ComponentNamedList for Returned {}

// SAFETY: see the module.
#[expect(unsafe_code, reason = "the contract is argued at the top of the module")]
unsafe impl Lift for Returned {
    fn linear_lift_from_flat(
        cx: &mut LiftContext<'_>,
        ty: InterfaceType,
        src: &[ValRaw; MAX_FLAT_RESULTS],
    ) -> Result<Self> {
        Lifter::result(cx, ty, src).map(Self)
    }

    fn linear_lift_from_memory(_: &mut LiftContext<'_>, _: InterfaceType, _: &[u8]) -> Result<Self> {
        // Wasmtime would read a pointer and lift from there if `Lower` were longer than one slot.
        bail!("results are always lifted from slots")
    }
}
