//! The two ends of a crossing: an import whose calls arrive encoded, and an export called with encoded parameters.

use std::pin::Pin;
use std::sync::Arc;

use wasmtime::component::{Func, LinkerInstance, TypedFunc};
use wasmtime::{AsContextMut, Result, StoreContextMut};

use crate::abi::{Answer, Arguments, Parameters, Returned};
use crate::{Error, Signature};

/// The answer to an imported function's call: its encoded result.
pub type HandlerFuture<'a> = Pin<Box<dyn Future<Output = Result<Vec<u8>>> + Send + 'a>>;

/// Answers an imported function's calls: given the calling store and the encoded parameters. An error ends the caller's
/// instance; what the callee's WIT calls an error is a result.
pub type Handler<T> = Arc<dyn for<'a> Fn(StoreContextMut<'a, T>, Vec<u8>) -> HandlerFuture<'a> + Send + Sync>;

/// Defines an imported function. `signature` is that of the function as the importing component has it; instantiating a
/// component whose function takes its parameters otherwise is refused.
pub fn define_import<T: Send + 'static>(
    linker: &mut LinkerInstance<'_, T>,
    name: &str,
    signature: &Signature,
    handler: Handler<T>,
) -> Result<(), Error> {
    // Parameters and results that travel in memory do not mind how many slots the Rust type has.
    let (params, result) = (
        signature.flat_params().unwrap_or(0),
        signature.flat_result().unwrap_or(0),
    );
    macro_rules! by_slots {
        ($($slots:literal)*) => {
            match (params, result) {
                $(($slots, 0) => define::<T, $slots, 0>(linker, name, handler),)*
                $(($slots, _) => define::<T, $slots, 1>(linker, name, handler),)*
                _ => unreachable!("flat parameters are 16 at most"),
            }
        };
    }
    by_slots!(0 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16).map_err(|source| Error::Define {
        function: name.to_owned(),
        source,
    })
}

fn define<T: Send + 'static, const PARAMS: usize, const RESULTS: usize>(
    linker: &mut LinkerInstance<'_, T>,
    name: &str,
    handler: Handler<T>,
) -> Result<()> {
    linker.func_wrap_async(name, move |store, Arguments::<PARAMS>(params)| {
        let answer = handler(store, params);
        Box::new(async move { answer.await.map(Answer::<RESULTS>) })
    })
}

/// Calls an exported function with encoded parameters and encodes its result. Anything can be passed: what does not encode
/// parameters of the function is an error, after which the store must not be used again, as after any trap.
pub async fn call_export(store: impl AsContextMut<Data: Send>, function: &Func, params: &[u8]) -> Result<Vec<u8>> {
    let function: TypedFunc<Parameters<'_>, Returned> = function.typed(&store)?;
    Ok(function.call_async(store, Parameters(params)).await?.0)
}
