//! What one `wasi:http` resource may hold of the host's memory. An instance's own limit does not count it; with the number of handles
//! that an instance may have, these bounds do.

use wasmtime::StoreContextMut;
use wasmtime::component::{Linker, Resource};
use wasmtime_wasi_http::p2::bindings::http::types as p2;
use wasmtime_wasi_http::p2::types::HostOutgoingRequest;
use wasmtime_wasi_http::p3::Request;
use wasmtime_wasi_http::p3::bindings::http::types as p3;
use wasmtime_wasi_http::{WasiHttpCtx, WasiHttpCtxView};

/// The fields of one message. As much as the largest head that the server or a peer may send (32 KiB), so that a component can send it
/// on, with what wasmtime counts besides for each of its names and values (up to 72 bytes, 128 times).
const MAX_FIELDS_BYTES: usize = 48 << 10;

/// A path with its query: as much as a head that the server takes.
const MAX_PATH_BYTES: usize = 32 << 10;

/// A method, or an authority: a name of the DNS has 253 bytes, and its port six.
const MAX_NAME_BYTES: usize = 1 << 10;

/// What 0.2 takes of a body at once: as much lies in one that nobody reads. What the SDK writes is a quarter of it.
pub(crate) const CHUNK_BYTES: usize = 16 << 10;

/// The versions wasmtime's linker defines; imports of any compatible one find them.
pub(crate) const P2_TYPES: &str = "wasi:http/types@0.2.12";
const P3_TYPES: &str = "wasi:http/types@0.3.0";

/// `wasi:http` of one instance, with bounded fields.
pub fn bounded() -> WasiHttpCtx {
    let mut wasi = WasiHttpCtx::new();
    wasi.set_field_size_limit(MAX_FIELDS_BYTES);
    wasi
}

/// The function that puts bounds before what a request of one version can be told: wasmtime keeps methods and authorities of any length. The
/// version's interface must be in the linker already, and shadowing allowed.
macro_rules! bound {
    ($(#[$doc:meta])* $name:ident in $types:ident: $resource:literal, $wasi:ident::$host:ident for $request:ty) => {
        $(#[$doc])*
        pub fn $name<T: 'static>(
            linker: &mut Linker<T>,
            get: fn(&mut T) -> WasiHttpCtxView<'_>,
        ) -> wasmtime::Result<()> {
            let mut types = linker.instance($types)?;
            types.func_wrap(
                concat!("[method]", $resource, ".set-method"),
                move |mut store: StoreContextMut<'_, T>, (request, method): (Resource<$request>, $wasi::Method)| {
                    let name = match &method {
                        $wasi::Method::Other(name) => Some(name),
                        _ => None,
                    };
                    Ok((match fits(name, MAX_NAME_BYTES) {
                        true => $wasi::$host::set_method(&mut get(store.data_mut()), request, method)?,
                        false => Err(()),
                    },))
                },
            )?;
            types.func_wrap(
                concat!("[method]", $resource, ".set-authority"),
                move |mut store: StoreContextMut<'_, T>, (request, authority): (Resource<$request>, Option<String>)| {
                    Ok((match fits(authority.as_ref(), MAX_NAME_BYTES) {
                        true => $wasi::$host::set_authority(&mut get(store.data_mut()), request, authority)?,
                        false => Err(()),
                    },))
                },
            )?;
            types.func_wrap(
                concat!("[method]", $resource, ".set-path-with-query"),
                move |mut store: StoreContextMut<'_, T>, (request, path): (Resource<$request>, Option<String>)| {
                    Ok((match fits(path.as_ref(), MAX_PATH_BYTES) {
                        true => $wasi::$host::set_path_with_query(&mut get(store.data_mut()), request, path)?,
                        false => Err(()),
                    },))
                },
            )
        }
    };
}

bound! {
    /// Puts bounds before what a request of `wasi:http` 0.2 can be told. Its interface must be in the linker already, and shadowing allowed.
    bound_p2 in P2_TYPES: "outgoing-request", p2::HostOutgoingRequest for HostOutgoingRequest
}

bound! {
    /// The same for 0.3.
    bound_p3 in P3_TYPES: "request", p3::HostRequest for Request
}

fn fits(text: Option<&String>, bytes: usize) -> bool {
    text.is_none_or(|text| text.len() <= bytes)
}
