//! A component's import answered by another component's export.

mod abi;
mod call;
mod codec;
mod declared;
mod error;
mod exclusive;
mod from_json;
mod json;
mod schema;
mod signature;
mod variant;

pub use call::{Handler, HandlerFuture, call_export, define_import};
pub use codec::{Value, decode, decode_params, decode_result, encode, encode_params, encode_result};
pub use error::Error;
pub use from_json::from_json;
pub use json::to_json;
pub use schema::Schema;
pub use signature::Signature;
pub use variant::{
    AttachError, attach_params, call_number, number_result, split_delay, split_workflow, started_result, text_result,
};
