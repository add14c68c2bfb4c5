// SPDX-License-Identifier: MPL-2.0
#![allow(unused_doc_comments)]

//! GStreamer plugin with the element `stylize`, which turns video into paintings: every frame goes
//! through an ONNX generator with instance normalization (Ulyanov et al. 2016).
/**
 * plugin-stylize:
 *
 * Since: 0.1.0
 */
use gst::glib;

pub mod engine;
mod files;
pub mod gallery;
pub mod graph;
pub mod model;
mod numbers;
pub mod onnx;
pub mod planes;
pub mod stylize;

fn plugin_init(plugin: &gst::Plugin) -> Result<(), glib::BoolError> {
    if let Some(dir) = plugin.filename().as_deref().and_then(|file| file.parent()) {
        engine::runtime::set_plugin_dir(dir);
    }
    stylize::register(plugin)
}

gst::plugin_define!(
    stylize,
    env!("CARGO_PKG_DESCRIPTION"),
    plugin_init,
    concat!(env!("CARGO_PKG_VERSION"), "-", env!("COMMIT_ID")),
    "MPL-2.0",
    env!("CARGO_PKG_NAME"),
    env!("CARGO_PKG_NAME"),
    env!("CARGO_PKG_REPOSITORY"),
    env!("BUILD_REL_DATE")
);
