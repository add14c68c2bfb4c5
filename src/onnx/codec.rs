// SPDX-License-Identifier: MPL-2.0
//! Decoding and encoding of models.

use prost::Message;
use prost::bytes::Bytes;

use super::error::{NEWEST, OnnxError};
use super::limits::MAX_BYTES;
use super::scan;
use super::schema::ModelProto;

/// Decodes a model. Its weights share the memory of `bytes`.
///
/// # Errors
/// [`OnnxError`] for bytes that are not a model, or that exceed the limits of size, nesting or memory.
pub fn read(bytes: impl Into<Bytes>) -> Result<ModelProto, OnnxError> {
    let bytes = bytes.into();
    if bytes.len() > MAX_BYTES {
        return Err(OnnxError::TooLong(bytes.len() as u64));
    }
    let unknown = scan::check(&bytes)?;
    let model = ModelProto::decode(bytes).map_err(|err| OnnxError::Damaged(err.to_string()))?;
    match unknown {
        // In older formats, unknown fields are ones that ONNX has removed; ONNX Runtime skips them as well.
        Some(field) if model.ir_version > NEWEST => Err(OnnxError::Newer {
            version: model.ir_version,
            field,
        }),
        _ => Ok(model),
    }
}

/// Protobuf bytes of a model.
///
/// # Errors
/// [`OnnxError::TooLong`] for a model of more than [`MAX_BYTES`].
pub fn write(model: &ModelProto) -> Result<Vec<u8>, OnnxError> {
    let len = model.encoded_len();
    match len > MAX_BYTES {
        true => Err(OnnxError::TooLong(len as u64)),
        false => Ok(model.encode_to_vec()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A field of a message, its length in front.
    fn field(number: u64, content: &[u8]) -> Vec<u8> {
        let mut bytes = Vec::new();
        for mut rest in [number << 3 | 2, content.len() as u64] {
            while rest >= 0x80 {
                bytes.push(rest as u8 | 0x80);
                rest >>= 7;
            }
            bytes.push(rest as u8);
        }
        bytes.extend(content);
        bytes
    }

    #[test]
    fn nested_groups_do_not_end_the_process() {
        // 0x4b and 0x4c open and close a group as field 9: RUSTSEC-2024-0437.
        for depth in [1, 100, 1_000_000] {
            let mut bytes = vec![0x4b; depth];
            bytes.extend(vec![0x4c; depth]);
            assert!(matches!(read(bytes), Err(OnnxError::Damaged(_))), "{depth}");
        }
        assert!(matches!(
            read(vec![0x4b; 1_000_000]),
            Err(OnnxError::Damaged(_))
        ));
    }

    #[test]
    fn nested_graphs_and_types_are_limited() {
        // Attribute.g, Node.attribute, Graph.node.
        let nested = |turns: usize| {
            let mut graph = Vec::new();
            for _ in 0..turns {
                graph = field(1, &field(5, &field(6, &graph)));
            }
            read(field(7, &graph))
        };
        assert!(nested(30).is_ok());
        assert_eq!(nested(40), Err(OnnxError::Deep));
        // A sequence of sequences of sequences: Type.sequence_type, Sequence.elem_type.
        let mut kind = Vec::new();
        for _ in 0..5_000 {
            kind = field(4, &field(1, &kind));
        }
        let value = field(2, &kind);
        assert_eq!(read(field(7, &field(11, &value))), Err(OnnxError::Deep));
    }

    #[test]
    fn small_files_stay_small() {
        // Four million nodes in eight megabytes.
        let nodes = field(1, &[]).repeat(4_000_000);
        assert_eq!(read(field(7, &nodes)), Err(OnnxError::Large));
        // A number for each byte.
        let numbers = field(7, &vec![0; 65 << 20]);
        assert_eq!(read(field(7, &field(5, &numbers))), Err(OnnxError::Large));
        // As raw data, the same bytes take no more memory than in the file.
        let weights = field(9, &vec![0; 65 << 20]);
        assert!(read(field(7, &field(5, &weights))).is_ok());
    }

    #[test]
    fn what_is_unknown_is_skipped_where_it_is_old() {
        let unknown = field(99, b"x");
        let of = |version: u8| read([vec![8, version], unknown.clone()].concat());
        assert!(of(14).is_ok());
        let Err(OnnxError::Newer { version, field }) = of(15) else {
            panic!("must be refused");
        };
        assert_eq!((version, field.as_str()), (15, "field 99 of ModelProto"));
    }

    #[test]
    fn a_model_survives() {
        let bytes = Bytes::from_static(include_bytes!("../../models/gallery-lite.onnx"));
        let model = read(bytes).expect("a model");
        let again = read(write(&model).expect("bytes")).expect("a model");
        assert!(model == again);
    }
}
