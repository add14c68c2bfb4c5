// SPDX-License-Identifier: MPL-2.0
//! Traversal of a model's nodes, tensors and names: in its graph, in subgraphs of nodes and in local functions.

use super::{AttributeProto, FunctionProto, GraphProto, ModelProto, NodeProto, TensorProto};

impl NodeProto {
    /// The operator's type if it is in ONNX's default domain; empty for other domains, which may have operators of the
    /// same names, and for calls of local functions.
    pub fn operator(&self) -> &str {
        match is_default(&self.domain) {
            true => &self.op_type,
            false => "",
        }
    }
}

/// Whether a domain is ONNX's default domain.
pub fn is_default(domain: &str) -> bool {
    matches!(domain, "" | "ai.onnx")
}

/// Visits every tensor, in the same order each time, until `visit` returns an error.
///
/// # Errors
/// The first error of `visit`.
pub fn tensors<E>(
    model: &mut ModelProto,
    visit: &mut impl FnMut(&mut TensorProto) -> Result<(), E>,
) -> Result<(), E> {
    for training in &mut model.training_info {
        for graph in [&mut training.initialization, &mut training.algorithm] {
            in_graphs(graph, visit)?;
        }
    }
    for FunctionProto {
        node,
        attribute_proto,
        ..
    } in &mut model.functions
    {
        in_attributes(attribute_proto, visit)?;
        in_nodes(node, visit)?;
    }
    in_graphs(&mut model.graph, visit)
}

fn in_graphs<'a, E>(
    graphs: impl IntoIterator<Item = &'a mut GraphProto>,
    visit: &mut impl FnMut(&mut TensorProto) -> Result<(), E>,
) -> Result<(), E> {
    for graph in graphs {
        graph.initializer.iter_mut().try_for_each(&mut *visit)?;
        for sparse in &mut graph.sparse_initializer {
            let parts = [&mut sparse.values, &mut sparse.indices];
            parts.into_iter().flatten().try_for_each(&mut *visit)?;
        }
        in_nodes(&mut graph.node, visit)?;
    }
    Ok(())
}

fn in_nodes<E>(
    nodes: &mut [NodeProto],
    visit: &mut impl FnMut(&mut TensorProto) -> Result<(), E>,
) -> Result<(), E> {
    let mut nodes = nodes.iter_mut();
    nodes.try_for_each(|node| in_attributes(&mut node.attribute, visit))
}

fn in_attributes<E>(
    attributes: &mut [AttributeProto],
    visit: &mut impl FnMut(&mut TensorProto) -> Result<(), E>,
) -> Result<(), E> {
    for attribute in attributes {
        let tensors = attribute.t.iter_mut().chain(&mut attribute.tensors);
        let sparse = attribute.sparse_tensor.iter_mut();
        let sparse = sparse.chain(&mut attribute.sparse_tensors);
        let sparse = sparse.flat_map(|sparse| sparse.values.iter_mut().chain(&mut sparse.indices));
        tensors.chain(sparse).try_for_each(&mut *visit)?;
        in_graphs(attribute.g.iter_mut().chain(&mut attribute.graphs), visit)?;
    }
    Ok(())
}

/// Every node of a model.
pub fn nodes(model: &ModelProto) -> Vec<&NodeProto> {
    let functions = model.functions.iter().flat_map(|function| &function.node);
    let graph = model.graph.iter().flat_map(|graph| &graph.node);
    with_inner(graph.chain(functions).collect())
}

/// These nodes and those of their subgraphs.
fn with_inner(mut nodes: Vec<&NodeProto>) -> Vec<&NodeProto> {
    let mut next = 0;
    while let Some(node) = nodes.get(next) {
        let inner = graphs(node).flat_map(|graph| &graph.node);
        nodes.extend(inner.collect::<Vec<_>>());
        next += 1;
    }
    nodes
}

/// The subgraphs of a node: branches of `If`, bodies of loops.
pub fn graphs(node: &NodeProto) -> impl Iterator<Item = &GraphProto> {
    let attributes = node.attribute.iter();
    attributes.flat_map(|attribute| attribute.g.iter().chain(&attribute.graphs))
}

/// The names that a node reads: its inputs, and those read in its subgraphs, which may be tensors of the outer graph.
pub fn reads(node: &NodeProto) -> impl Iterator<Item = &str> {
    let all = with_inner(vec![node]);
    let outputs: Vec<&str> = (all.iter().flat_map(|node| graphs(node)))
        .flat_map(|graph| &graph.output)
        .map(|value| value.name.as_str())
        .collect();
    let inputs = all.into_iter().flat_map(|node| &node.input);
    inputs.map(String::as_str).chain(outputs)
}

/// Renames values and nodes in the whole model; `new` returns `None` for names that stay.
pub fn rename(model: &mut ModelProto, new: &impl Fn(&str) -> Option<String>) {
    if let Some(graph) = &mut model.graph {
        rename_in(graph, new);
    }
    for function in &mut model.functions {
        let values = function.input.iter_mut().chain(&mut function.output);
        values.for_each(|name| set(name, new));
        function
            .value_info
            .iter_mut()
            .for_each(|value| set(&mut value.name, new));
        rename_nodes(&mut function.node, new);
    }
}

fn rename_in(graph: &mut GraphProto, new: &impl Fn(&str) -> Option<String>) {
    let values = graph.input.iter_mut().chain(&mut graph.output);
    let values = values
        .chain(&mut graph.value_info)
        .map(|value| &mut value.name);
    let sparse = graph.sparse_initializer.iter_mut();
    let sparse = sparse.flat_map(|sparse| &mut sparse.values);
    let tensors = graph.initializer.iter_mut().chain(sparse);
    let tensors = tensors.map(|tensor| &mut tensor.name);
    let notes = graph.quantization_annotation.iter_mut();
    let notes = notes.flat_map(|note| {
        let parameters = note.quant_parameter_tensor_names.iter_mut();
        let parameters = parameters.map(|entry| &mut entry.value);
        std::iter::once(&mut note.tensor_name).chain(parameters)
    });
    values
        .chain(tensors)
        .chain(notes)
        .for_each(|name| set(name, new));
    rename_nodes(&mut graph.node, new);
}

fn rename_nodes(nodes: &mut [NodeProto], new: &impl Fn(&str) -> Option<String>) {
    for node in nodes {
        let names = node.input.iter_mut().chain(&mut node.output);
        let names = names.chain(std::iter::once(&mut node.name));
        names.for_each(|name| set(name, new));
        for attribute in &mut node.attribute {
            let graphs = attribute.g.iter_mut().chain(&mut attribute.graphs);
            graphs.for_each(|graph| rename_in(graph, new));
        }
    }
}

/// Makes nodes and their subgraphs read the tensor `to` instead of `from`.
pub fn reread(nodes: &mut [NodeProto], from: &str, to: &str) {
    for node in nodes {
        let inputs = node.input.iter_mut().filter(|name| *name == from);
        inputs.for_each(|name| *name = to.into());
        for attribute in &mut node.attribute {
            for graph in attribute.g.iter_mut().chain(&mut attribute.graphs) {
                reread(&mut graph.node, from, to);
                let outputs = graph.output.iter_mut().map(|value| &mut value.name);
                let outputs = outputs.filter(|name| *name == from);
                outputs.for_each(|name| *name = to.into());
            }
        }
    }
}

fn set(name: &mut String, new: &impl Fn(&str) -> Option<String>) {
    if let Some(new) = new(name) {
        *name = new;
    }
}
