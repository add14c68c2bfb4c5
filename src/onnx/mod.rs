// SPDX-License-Identifier: MPL-2.0
//! ONNX's file format: the messages of its schema, and reading them from bytes that nobody vouches for.
//!
//! A file of a few megabytes can be written so that it takes gigabytes once it is read, or nests so deep
//! that the stack does not hold it. So bytes are looked over ([`scan`]) before anything is made of them. The
//! types are made from ONNX's own schema (`scripts/onnx-schema.sh`); weights share the memory that the
//! file was read into, so that a copy of a model costs next to nothing.

mod codec;
mod error;
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
pub use limits::MOST_BYTES;
pub use prost::Message;
pub use prost::bytes::Bytes;
pub use schema::*;
