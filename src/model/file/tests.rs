// SPDX-License-Identifier: MPL-2.0
//! Tests of external weights, and of paths that must not be followed.

use std::fs::File;
use std::path::PathBuf;

use super::{WeightsError, from_bytes, read, whole};
use crate::model::ModelError;
use crate::onnx::tensor_proto::{DataLocation, DataType};
use crate::onnx::{
    self, AttributeProto, FunctionProto, GraphProto, ModelProto, NodeProto, OnnxError,
    SparseTensorProto, StringStringEntryProto, TensorProto, walk,
};

/// Three float32 numbers that lie there.
fn outside(entries: &[(&str, &str)]) -> TensorProto {
    let entry = |(key, value): &(&str, &str)| StringStringEntryProto {
        key: (*key).into(),
        value: (*value).into(),
    };
    TensorProto {
        name: "w".into(),
        data_type: DataType::Float as i32,
        dims: vec![3],
        data_location: DataLocation::External as i32,
        external_data: entries.iter().map(entry).collect(),
        ..TensorProto::default()
    }
}

fn of_tensor(tensor: TensorProto) -> ModelProto {
    ModelProto {
        graph: Some(GraphProto {
            initializer: vec![tensor],
            ..GraphProto::default()
        }),
        ..ModelProto::default()
    }
}

fn node(attribute: AttributeProto) -> NodeProto {
    NodeProto {
        attribute: vec![attribute],
        ..NodeProto::default()
    }
}

/// A folder with `model.onnx` and a file of weights, in a folder of its own.
fn folder(model: &ModelProto) -> (tempfile::TempDir, PathBuf) {
    let dir = tempfile::tempdir().expect("a folder");
    let inner = dir.path().join("models");
    std::fs::create_dir(&inner).expect("a folder");
    let file = inner.join("model.onnx");
    std::fs::write(&file, onnx::write(model).expect("bytes")).expect("a file");
    let weights: Vec<u8> = (0..100).collect();
    std::fs::write(inner.join("model.onnx.data"), &weights).expect("a file");
    std::fs::write(dir.path().join("secret"), &weights).expect("a file");
    (dir, file)
}

#[test]
fn weights_are_read_wherever_their_tensors_stand() {
    let mut offset = 0;
    let mut next = || {
        offset += 5;
        let place = ("offset", &*offset.to_string());
        outside(&[("location", "model.onnx.data"), place, ("length", "12")])
    };
    let mut sparse = || SparseTensorProto {
        values: Some(next()),
        indices: Some(next()),
        dims: vec![9],
    };
    let (sparse, sparse_in_node) = (sparse(), sparse());
    let branch = GraphProto {
        initializer: vec![next()],
        node: vec![node(AttributeProto {
            tensors: vec![next()],
            ..AttributeProto::default()
        })],
        ..GraphProto::default()
    };
    let mut model = of_tensor(next());
    let graph = model.graph.get_or_insert_default();
    graph.sparse_initializer.push(sparse);
    graph.node.push(node(AttributeProto {
        t: Some(next()),
        sparse_tensor: Some(sparse_in_node),
        g: Some(branch),
        ..AttributeProto::default()
    }));
    model.functions.push(FunctionProto {
        node: vec![node(AttributeProto {
            t: Some(next()),
            ..AttributeProto::default()
        })],
        attribute_proto: vec![AttributeProto {
            t: Some(next()),
            ..AttributeProto::default()
        }],
        ..FunctionProto::default()
    });
    let (_dir, file) = folder(&model);
    let mut found = read(&file).expect("a model");
    let mut starts = Vec::new();
    let visited = walk::tensors(&mut found, &mut |tensor| {
        assert_eq!(tensor.raw_data.len(), 12);
        starts.push(tensor.raw_data[0]);
        Ok::<_, ()>(())
    });
    assert_eq!(visited, Ok(()));
    starts.sort();
    assert_eq!(starts, (1..=10).map(|i| i * 5).collect::<Vec<u8>>());
    let bytes = whole(&file).expect("bytes");
    let names = |text: &[u8]| bytes.windows(text.len()).any(|part| part == text);
    assert!(!names(b"model.onnx.data") && !names(b"location"));
    // Without a folder there is nothing beside it.
    let alone = from_bytes(onnx::write(&model).expect("bytes").into());
    assert!(matches!(
        alone,
        Err(ModelError::Weights(WeightsError::Nowhere(_)))
    ));
}

fn refused(entries: &[(&str, &str)]) -> ModelError {
    let (_dir, file) = folder(&of_tensor(outside(entries)));
    read(&file).expect_err("must be refused")
}

#[test]
fn nothing_leads_out_of_the_folder() {
    for location in [
        "",
        ".",
        "..",
        "../secret",
        "a/../../secret",
        "/etc/hostname",
        "*/_ORT_MEM_ADDR_/*",
    ] {
        let err = refused(&[("location", location)]);
        assert!(matches!(err, ModelError::Weights(_)), "{location}: {err}");
    }
    let outside_of = |location| {
        let err = refused(&[("location", location)]);
        matches!(err, ModelError::Weights(WeightsError::Outside { .. }))
    };
    assert!(outside_of("../secret") && outside_of("/etc/hostname") && outside_of(""));
}

#[cfg(unix)]
#[test]
fn links_out_of_the_folder_are_not_followed() {
    use std::os::unix::fs::symlink;
    let model = of_tensor(outside(&[("location", "linked")]));
    let (dir, file) = folder(&model);
    symlink(dir.path().join("secret"), file.with_file_name("linked")).expect("a link");
    let err = read(&file).expect_err("must be refused");
    let ModelError::Weights(WeightsError::Outside { location, .. }) = err else {
        panic!("{err}");
    };
    assert_eq!(location, "linked");
    // If the model is a link itself, its weights may be beside the link's target, as in caches.
    let cache = dir.path().join("snapshot");
    std::fs::create_dir(&cache).expect("a folder");
    symlink(&file, cache.join("model.onnx")).expect("a link");
    symlink(file.with_file_name("model.onnx.data"), cache.join("linked")).expect("a link");
    assert!(read(&cache.join("model.onnx")).is_ok());
}

#[test]
fn numbers_that_do_not_fit_are_refused() {
    let location = ("location", "model.onnx.data");
    let of = |entries: &[(&str, &str)]| match refused(&[&[location], entries].concat()) {
        ModelError::Weights(err) => err,
        err => panic!("{err}"),
    };
    assert!(matches!(
        of(&[("offset", "89")]),
        WeightsError::Short { .. }
    ));
    let last = u64::MAX.to_string();
    assert!(matches!(
        of(&[("offset", &last)]),
        WeightsError::Short { .. }
    ));
    assert!(matches!(
        of(&[("offset", "-1")]),
        WeightsError::Entry { .. }
    ));
    assert!(matches!(of(&[("length", "13")]), WeightsError::Size { .. }));
    let missing = refused(&[("location", "model.data")]);
    assert!(matches!(
        missing,
        ModelError::Weights(WeightsError::Missing(_))
    ));
    let mut huge = outside(&[location]);
    huge.dims = vec![i64::MAX, 8];
    let (_dir, file) = folder(&of_tensor(huge));
    let err = read(&file).expect_err("must be refused");
    assert!(matches!(
        err,
        ModelError::Weights(WeightsError::Size { .. })
    ));
}

#[test]
fn many_tensors_of_the_same_bytes_do_not_add_up() {
    let (dir, file) = folder(&ModelProto::default());
    let data = file.with_file_name("model.onnx.data");
    // A hole takes no place on the disk.
    let hole = File::create(&data).and_then(|file| file.set_len(1 << 30));
    hole.expect("a file");
    let mut tensor = outside(&[("location", "model.onnx.data")]);
    tensor.dims = vec![1 << 28];
    let mut model = of_tensor(tensor.clone());
    model.graph.get_or_insert_default().initializer = vec![tensor; 3];
    std::fs::write(&file, onnx::write(&model).expect("bytes")).expect("a file");
    let err = read(&file).expect_err("must be refused");
    assert_eq!(err, ModelError::Onnx(OnnxError::TooLong(3 << 30)));
    drop(dir);
}

#[cfg(unix)]
#[test]
fn pipes_and_compiled_code_are_refused() {
    let dir = tempfile::tempdir().expect("a folder");
    let pipe = dir.path().join("model.onnx");
    let made = std::process::Command::new("mkfifo").arg(&pipe).status();
    assert!(made.is_ok_and(|status| status.success()));
    assert!(matches!(read(&pipe), Err(ModelError::Unreadable { .. })));
    let context = NodeProto {
        op_type: "EPContext".into(),
        domain: "com.microsoft".into(),
        ..NodeProto::default()
    };
    let graph = GraphProto {
        node: vec![context],
        ..GraphProto::default()
    };
    let model = ModelProto {
        graph: Some(graph),
        ..ModelProto::default()
    };
    let bytes = onnx::write(&model).expect("bytes");
    assert_eq!(from_bytes(bytes.into()), Err(ModelError::Compiled));
}
