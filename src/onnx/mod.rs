// SPDX-License-Identifier: MPL-2.0
//! ONNX's file format: the messages of its schema, and decoding them from untrusted bytes.
//!
//! A file of a few megabytes can be constructed to take gigabytes when decoded, or to nest so deeply that decoding
//! overflows the stack. So bytes are checked ([`scan`]) before they are decoded. The types are generated from ONNX's
//! schema (`scripts/onnx-schema.sh`). Weights share the memory of the file's bytes, so that a copy of a model is cheap.

mod codec;
mod error;
// Generated, as is `schema`.
#[rustfmt::skip]
mod fields;
mod limits;
mod scan;
#[allow(missing_docs, clippy::all, clippy::pedantic)]
mod schema;
mod table;
pub mod walk;

pub use codec::{read, write};
pub use error::OnnxError;
pub use limits::MAX_BYTES;
pub use prost::Message;
pub use prost::bytes::Bytes;
pub use schema::*;
